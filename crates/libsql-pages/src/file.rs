//! The file below a connection: the only module with unsafe code.
//!
//! The file is read through SQLite's own handle: to open it a second time and close it would drop
//! the locks that this process holds on it.
#![allow(unsafe_code, reason = "calls into SQLite's C interface; see the module's comment")]

use std::ffi::c_int;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use rusqlite::{Connection, ffi};

/// The main database file of a connection.
pub struct MainFile<'c> {
    file: NonNull<ffi::sqlite3_file>,
    db: *mut ffi::sqlite3,
    _conn: PhantomData<&'c Connection>,
}

impl<'c> MainFile<'c> {
    /// `None` for a database that is not a file, and before the first statement that reads it.
    pub fn of(conn: &'c Connection) -> Option<Self> {
        let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
        // SAFETY: the handle is used while `conn` is borrowed; FILE_POINTER stores one pointer where
        // the argument points to.
        let (db, code) = unsafe {
            let db = conn.handle();
            let code = ffi::sqlite3_file_control(
                db,
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                (&raw mut file).cast(),
            );
            (db, code)
        };
        let file = NonNull::new(file).filter(|_| code == ffi::SQLITE_OK)?;
        // SAFETY: SQLite's file object, alive with its connection; one that is not open has no
        // methods.
        let is_open = unsafe { !file.as_ref().pMethods.is_null() };
        is_open.then_some(Self { file, db, _conn: PhantomData })
    }

    /// Fills `buffer` with the bytes from `offset`, as they are in the file: an encrypted one stays
    /// so, and what is in its log is not seen. False if the file ends before.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> bool {
        let (Ok(length), Ok(offset)) = (c_int::try_from(buffer.len()), i64::try_from(offset))
        else {
            return false;
        };
        // SAFETY: the file object belongs to the borrowed connection and is used on its thread;
        // xRead writes at most `length` bytes into `buffer`.
        unsafe {
            let methods = self.file.as_ref().pMethods;
            (*methods).xRead.is_some_and(|read| {
                read(self.file.as_ptr(), buffer.as_mut_ptr().cast(), length, offset)
                    == ffi::SQLITE_OK
            })
        }
    }

    /// The number of frames in the write-ahead log that this connection's open read transaction
    /// sees. None if that cannot be told at this moment, as while somebody writes.
    pub(crate) fn log_frames(&self) -> Option<u32> {
        let mut frames = 0;
        // SAFETY: `db` is the live connection; the count is stored in `frames`.
        let code = unsafe { ffi::libsql_wal_frame_count(self.db, &raw mut frames) };
        (code == ffi::SQLITE_OK).then_some(frames)
    }

    /// Reads frame `number`, counted from 1: 24 bytes of header, then the page.
    pub(crate) fn log_frame(&self, number: u32, buffer: &mut [u8]) -> bool {
        let Ok(length) = u32::try_from(buffer.len()) else { return false };
        // SAFETY: at most `length` bytes are written into `buffer`.
        let code = unsafe {
            ffi::libsql_wal_get_frame(self.db, number, buffer.as_mut_ptr().cast(), length)
        };
        code == ffi::SQLITE_OK
    }
}

impl std::fmt::Debug for MainFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MainFile")
    }
}
