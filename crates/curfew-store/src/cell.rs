//! Single values of a row, as what they should be or as nothing.

use rusqlite::{Row, types::ValueRef};

type SqlResult<T> = rusqlite::Result<T>;

/// The text in this column; `None` for a value of another type, and for a text that is not UTF-8.
pub(crate) fn text<'r>(row: &'r Row<'_>, at: usize) -> SqlResult<Option<&'r str>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    })
}

/// Like [`text`], to keep.
pub(crate) fn owned(row: &Row<'_>, at: usize) -> SqlResult<Option<String>> {
    text(row, at).map(|text| text.map(str::to_owned))
}

/// The whole number in this column; `None` for a value of another type.
pub(crate) fn integer(row: &Row<'_>, at: usize) -> SqlResult<Option<i64>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    })
}
