//! The door to SQLite's C interface: the only module with unsafe code.
//!
//! rusqlite's own statements convert the text of UTF-16 databases with loss, and copy large texts to
//! terminate them; this module does neither, for the few calls that this crate needs.
#![allow(unsafe_code, reason = "calls into SQLite's C interface; see the module's comment")]

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

pub use libsql_pages::Encoding;
use rusqlite::{Connection, ffi};

use crate::error::{Error, Result};
use crate::value::ValueRef;
use crate::wtf8;

/// `SQLITE_UTF8` and `SQLITE_UTF16`, in the type that binding takes.
const UTF8: u8 = 1;
const UTF16: u8 = 4;
const _: () = assert!(ffi::SQLITE_UTF8 == UTF8 as i32 && ffi::SQLITE_UTF16 == UTF16 as i32);

const NATIVE_BIG_ENDIAN: bool = cfg!(target_endian = "big");

pub(crate) fn encoding(conn: &Connection) -> Result<Encoding> {
    let name: String = conn
        .query_row("PRAGMA main.encoding", [], |row| row.get(0))
        .map_err(|error| Error::from_rusqlite("reading the encoding", &error))?;
    Ok(match name.as_str() {
        "UTF-16le" => Encoding::Utf16le,
        "UTF-16be" => Encoding::Utf16be,
        _ => Encoding::Utf8,
    })
}

/// SQLite's extended code and message of the last failed call on `db`.
fn last_error(db: *mut ffi::sqlite3, doing: &str) -> Error {
    // SAFETY: `db` comes from a live `Connection`; errmsg returns a NUL-terminated string that
    // stays valid until the next call on `db`, and it is copied here.
    let (code, message) = unsafe {
        let message = ffi::sqlite3_errmsg(db);
        let message = if message.is_null() {
            String::new()
        } else {
            CStr::from_ptr(message).to_string_lossy().into_owned()
        };
        (ffi::sqlite3_extended_errcode(db), message)
    };
    Error::Sqlite { doing: doing.to_owned(), code, message }
}

/// A prepared statement whose values are exact in every encoding.
pub(crate) struct Stmt<'c> {
    raw: NonNull<ffi::sqlite3_stmt>,
    db: *mut ffi::sqlite3,
    columns: usize,
    /// Text of the current row, converted; used with UTF-16 databases only.
    converted: Option<Vec<Vec<u8>>>,
    doing: String,
    _conn: PhantomData<&'c Connection>,
}

impl<'c> Stmt<'c> {
    /// Prepares `sql`. `doing` says in error messages what it is for.
    pub(crate) fn prepare(
        conn: &'c Connection,
        encoding: Encoding,
        sql: &str,
        doing: impl Into<String>,
    ) -> Result<Self> {
        let doing = doing.into();
        // SAFETY: the handle is valid as long as `conn` is borrowed, which the lifetime ensures.
        let db = unsafe { conn.handle() };
        let length = c_int::try_from(sql.len()).map_err(|_| Error::Unsupported {
            subject: doing.clone(),
            what: "a statement of more than 2 GB".into(),
        })?;
        let mut raw = ptr::null_mut();
        // SAFETY: `sql` is `length` bytes long and is only read during the call.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                db,
                sql.as_ptr().cast(),
                length,
                ffi::SQLITE_PREPARE_PERSISTENT.cast_unsigned(),
                &raw mut raw,
                ptr::null_mut(),
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(last_error(db, &doing));
        }
        let Some(raw) = NonNull::new(raw) else {
            return Err(Error::Unsupported { subject: doing, what: "an empty statement".into() });
        };
        // SAFETY: `raw` is a statement that was just prepared.
        let columns = unsafe { ffi::sqlite3_column_count(raw.as_ptr()) };
        let columns = usize::try_from(columns).unwrap_or(0);
        let converted = encoding.is_utf16().then(|| vec![Vec::new(); columns]);
        Ok(Self { raw, db, columns, converted, doing, _conn: PhantomData })
    }

    /// Binds `value` to the parameter at `index`, counted from 1. The value is copied.
    pub(crate) fn bind(&mut self, index: usize, value: ValueRef<'_>) -> Result<()> {
        let stmt = self.raw.as_ptr();
        let index = c_int::try_from(index).unwrap_or(c_int::MAX);
        let mut units = Vec::new();
        if let (ValueRef::Text(bytes), Some(_)) = (value, &self.converted) {
            units.reserve(bytes.len() * 2);
            if !wtf8::to_utf16(bytes, NATIVE_BIG_ENDIAN, &mut units) {
                return Err(Error::Unsupported {
                    subject: self.doing.clone(),
                    what: "a text that is not UTF-8, which a database in UTF-16 cannot hold".into(),
                });
            }
        }
        // SAFETY: `stmt` is live; pointers and lengths belong to slices that outlive the call, and
        // SQLITE_TRANSIENT makes SQLite copy them.
        let code = unsafe {
            match value {
                ValueRef::Null => ffi::sqlite3_bind_null(stmt, index),
                ValueRef::Integer(value) => ffi::sqlite3_bind_int64(stmt, index, value),
                ValueRef::Real(value) => ffi::sqlite3_bind_double(stmt, index, value),
                ValueRef::Text(_) if self.converted.is_some() => ffi::sqlite3_bind_text64(
                    stmt,
                    index,
                    units.as_ptr().cast(),
                    units.len() as u64,
                    ffi::SQLITE_TRANSIENT(),
                    UTF16,
                ),
                ValueRef::Text(bytes) => ffi::sqlite3_bind_text64(
                    stmt,
                    index,
                    bytes.as_ptr().cast(),
                    bytes.len() as u64,
                    ffi::SQLITE_TRANSIENT(),
                    UTF8,
                ),
                ValueRef::Blob(bytes) => ffi::sqlite3_bind_blob64(
                    stmt,
                    index,
                    bytes.as_ptr().cast(),
                    bytes.len() as u64,
                    ffi::SQLITE_TRANSIENT(),
                ),
            }
        };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(last_error(self.db, &self.doing)) }
    }

    /// Whether every text among `values` can be bound, as the database's encoding allows.
    pub(crate) fn can_hold<'v>(&self, mut values: impl Iterator<Item = ValueRef<'v>>) -> bool {
        self.converted.is_none()
            || values.all(|value| match value {
                ValueRef::Text(bytes) => wtf8::to_utf16(bytes, NATIVE_BIG_ENDIAN, &mut Vec::new()),
                _ => true,
            })
    }

    /// Binds `values` to the parameters from `first` on, counted from 1.
    pub(crate) fn bind_all<'v>(
        &mut self,
        first: usize,
        values: impl IntoIterator<Item = ValueRef<'v>>,
    ) -> Result<()> {
        for (offset, value) in values.into_iter().enumerate() {
            self.bind(first + offset, value)?;
        }
        Ok(())
    }

    /// Runs to the next row; false at the end.
    pub(crate) fn step(&mut self) -> Result<bool> {
        // SAFETY: the statement is live, and `&mut self` means no borrowed column is left.
        match unsafe { ffi::sqlite3_step(self.raw.as_ptr()) } {
            ffi::SQLITE_ROW => {
                self.convert();
                Ok(true)
            }
            ffi::SQLITE_DONE => Ok(false),
            _ => {
                let error = last_error(self.db, &self.doing);
                self.reset();
                Err(error)
            }
        }
    }

    /// Runs a statement without rows from its beginning; returns the number of changed rows.
    pub(crate) fn run(&mut self) -> Result<u64> {
        self.step()?;
        // SAFETY: `db` is the live connection of this statement.
        let changed = unsafe { ffi::sqlite3_changes64(self.db) };
        self.reset();
        Ok(changed.cast_unsigned())
    }

    /// Back to the beginning; bound values stay.
    pub(crate) fn reset(&mut self) {
        // SAFETY: the statement is live. The returned code repeats the last step's error.
        unsafe { ffi::sqlite3_reset(self.raw.as_ptr()) };
    }

    /// The current row's value in `column`, counted from 0.
    pub(crate) fn column(&self, column: usize) -> ValueRef<'_> {
        debug_assert!(column < self.columns);
        let stmt = self.raw.as_ptr();
        let index = c_int::try_from(column).unwrap_or(c_int::MAX);
        // SAFETY: the statement is live; what column_blob returns stays valid until the next step,
        // reset or finalize, each of which needs `&mut self`. Its length is column_bytes, read
        // after it as SQLite's documentation asks.
        unsafe {
            match ffi::sqlite3_column_type(stmt, index) {
                ffi::SQLITE_INTEGER => ValueRef::Integer(ffi::sqlite3_column_int64(stmt, index)),
                ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_column_double(stmt, index)),
                ffi::SQLITE_TEXT => match &self.converted {
                    Some(texts) => ValueRef::Text(&texts[column]),
                    // Not column_text, which would copy the text to terminate it.
                    None => ValueRef::Text(column_bytes(stmt, index)),
                },
                ffi::SQLITE_BLOB => ValueRef::Blob(column_bytes(stmt, index)),
                _ => ValueRef::Null,
            }
        }
    }

    /// The current row's integer in `column`; 0 if it is something else.
    pub(crate) fn integer(&self, column: usize) -> i64 {
        match self.column(column) {
            ValueRef::Integer(value) => value,
            _ => 0,
        }
    }

    fn convert(&mut self) {
        let Some(texts) = &mut self.converted else { return };
        for (index, text) in (0..).zip(texts) {
            text.clear();
            // SAFETY: as in `column`; the bytes are copied at once.
            unsafe {
                let stmt = self.raw.as_ptr();
                if ffi::sqlite3_column_type(stmt, index) != ffi::SQLITE_TEXT {
                    continue;
                }
                let start = ffi::sqlite3_column_text16(stmt, index);
                let length = ffi::sqlite3_column_bytes16(stmt, index);
                if let Ok(length @ 1..) = usize::try_from(length)
                    && !start.is_null()
                {
                    let units = std::slice::from_raw_parts(start.cast::<u8>(), length);
                    wtf8::from_utf16(units, NATIVE_BIG_ENDIAN, text);
                }
            }
        }
    }
}

/// # Safety
///
/// `stmt` is live and on a row; the result must not be used after the next step or reset.
unsafe fn column_bytes<'s>(stmt: *mut ffi::sqlite3_stmt, index: c_int) -> &'s [u8] {
    // SAFETY: column_blob and column_bytes describe one buffer of SQLite's, see the caller.
    unsafe {
        let start = ffi::sqlite3_column_blob(stmt, index);
        let length = ffi::sqlite3_column_bytes(stmt, index);
        match usize::try_from(length) {
            Ok(length @ 1..) if !start.is_null() => {
                std::slice::from_raw_parts(start.cast::<u8>(), length)
            }
            _ => &[],
        }
    }
}

impl Drop for Stmt<'_> {
    fn drop(&mut self) {
        // SAFETY: prepared once, finalized once, while its connection is still borrowed.
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}
