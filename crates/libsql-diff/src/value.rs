//! Values as SQLite stores them, compared by type and bit.
//!
//! SQL's own comparison is too coarse for telling two files apart: there `1 = 1.0`, `0.0 = -0.0`
//! and, under NOCASE, `'a' = 'A'`. Here two values are equal when a reader could not tell them
//! apart: same storage class, same bits.

use std::fmt;
use std::hash::{Hash, Hasher};

use rusqlite::types::{ToSql, ToSqlOutput};

/// One stored value, owned.
///
/// Text is kept as bytes: it is UTF-8 in all but damaged or deliberately odd databases, may hold
/// NUL, and is carried through unchanged when it is not valid UTF-8. Text of a UTF-16 database is
/// held as UTF-8, lone surrogates in their three-byte form.
#[derive(Clone, Default)]
pub enum Value {
    /// SQL NULL.
    #[default]
    Null,
    /// A 64-bit signed integer.
    Integer(i64),
    /// A 64-bit float; ±Inf and -0.0 occur, NaN does not (SQLite stores it as NULL).
    Real(f64),
    /// Text, normally UTF-8.
    Text(Vec<u8>),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One stored value, borrowed. See [`Value`].
#[derive(Clone, Copy)]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// A 64-bit signed integer.
    Integer(i64),
    /// A 64-bit float.
    Real(f64),
    /// Text, normally UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

impl Value {
    /// The value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }

    /// A text value from a string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into().into_bytes())
    }

    /// The text, if this is text and valid UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

impl ValueRef<'_> {
    /// The value, owned.
    pub fn to_owned(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(value) => Value::Integer(value),
            Self::Real(value) => Value::Real(value),
            Self::Text(bytes) => Value::Text(bytes.to_vec()),
            Self::Blob(bytes) => Value::Blob(bytes.to_vec()),
        }
    }

    /// SQLite's name of the storage class, as `typeof()` gives it.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "integer",
            Self::Real(_) => "real",
            Self::Text(_) => "text",
            Self::Blob(_) => "blob",
        }
    }

    pub(crate) fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Real(a), Self::Real(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) | (Self::Blob(a), Self::Blob(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for ValueRef<'_> {}

impl Hash for ValueRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Integer(value) => value.hash(state),
            Self::Real(value) => value.to_bits().hash(state),
            Self::Text(bytes) | Self::Blob(bytes) => bytes.hash(state),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

/// Bytes shown of a long text or blob.
const SHOWN_BYTES_MAX: usize = 60;

impl fmt::Display for ValueRef<'_> {
    /// For people: long texts and blobs are cut. Exact SQL literals are made by
    /// [`crate::Diff::write_sql`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value:?}"),
            Self::Text(bytes) => {
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]);
                if bytes.len() > SHOWN_BYTES_MAX {
                    write!(f, "{shown:?}... ({} bytes)", bytes.len())
                } else {
                    write!(f, "{shown:?}")
                }
            }
            Self::Blob(bytes) => {
                f.write_str("x'")?;
                for byte in bytes.iter().take(SHOWN_BYTES_MAX / 2) {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str("'")?;
                if bytes.len() > SHOWN_BYTES_MAX / 2 {
                    write!(f, "... ({} bytes)", bytes.len())?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        use rusqlite::types::ValueRef as Bound;
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => Bound::Null,
            Self::Integer(value) => Bound::Integer(*value),
            Self::Real(value) => Bound::Real(*value),
            Self::Text(bytes) => Bound::Text(bytes),
            Self::Blob(bytes) => Bound::Blob(bytes),
        }))
    }
}

impl<'a> From<rusqlite::types::ValueRef<'a>> for ValueRef<'a> {
    fn from(value: rusqlite::types::ValueRef<'a>) -> Self {
        use rusqlite::types::ValueRef as Bound;
        match value {
            Bound::Null => Self::Null,
            Bound::Integer(value) => Self::Integer(value),
            Bound::Real(value) => Self::Real(value),
            Bound::Text(bytes) => Self::Text(bytes),
            Bound::Blob(bytes) => Self::Blob(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_sql_calls_equal_are_told_apart() {
        assert_ne!(Value::Integer(1), Value::Real(1.0));
        assert_ne!(Value::Real(0.0), Value::Real(-0.0));
        assert_ne!(Value::text("a"), Value::Blob(b"a".to_vec()));
        assert_ne!(Value::text("a"), Value::text("A"));
        assert_ne!(Value::Blob(Vec::new()), Value::Null);
        assert_eq!(Value::Real(f64::INFINITY), Value::Real(f64::INFINITY));
    }
}
