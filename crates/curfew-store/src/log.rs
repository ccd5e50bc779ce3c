//! The write-ahead log beside a database while a run writes to it.
//!
//! A writer that moves its log into the database file itself stands still meanwhile. So a run has
//! another connection do that, and needs to know how long the log is: SQLite tells it after every
//! commit.

#![expect(unsafe_code, reason = "calls into SQLite's C interface; see `LogWatch`")]

use std::{
    ffi::{c_char, c_int, c_void},
    sync::atomic::{AtomicU64, Ordering},
};

use rusqlite::ffi;

use crate::{Access, Database, StoreError};

/// Page cache in KiB of a connection that reads contact after contact: every page is needed once.
const READER_CACHE_KIB: i64 = 8 * 1024;

/// SQLite's own choice: after so many pages a commit moves the log.
const AUTOMATIC_PAGES: c_int = 1000;

impl Database {
    /// Whether the database is in WAL mode, so that it can be read while it is written.
    pub fn has_log(&self) -> Result<bool, StoreError> {
        self.connection()
            .query_row("PRAGMA main.journal_mode", [], |row| row.get::<_, String>(0))
            .map(|mode| mode == "wal")
            .map_err(|error| self.fail("read the journal mode", error))
    }

    /// Another connection to the same file, with a small cache of its own.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn beside(&self, access: Access) -> Result<Self, StoreError> {
        let other = Self::open(self.path(), access)?;
        other
            .connection()
            .pragma_update(None, "cache_size", -READER_CACHE_KIB)
            .map_err(|error| other.fail("open the database", error))?;
        Ok(other)
    }

    /// Moves what the log holds into the database file, as far as nobody reads an older state.
    /// Waits for nobody: what others keep from being moved stays for the next time.
    pub fn move_log(&self) -> Result<(), StoreError> {
        self.connection()
            .query_row("PRAGMA main.wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(|error| self.fail("move the log into the database", error))
    }

    /// From now on a commit does not wait until the disk has it, if the database is in WAL mode:
    /// without power, the last commits may be lost, but no half of one is kept.
    pub fn commit_without_waiting(&self) -> Result<(), StoreError> {
        self.set_synchronous("normal")
    }

    /// From now on a commit waits until the disk has it and everything before it.
    pub fn commit_to_disk(&self) -> Result<(), StoreError> {
        self.set_synchronous("full")
    }

    fn set_synchronous(&self, level: &str) -> Result<(), StoreError> {
        // In the other modes nothing but waiting keeps a database whole.
        if self.has_log()? {
            self.connection()
                .pragma_update(None, "synchronous", level)
                .map_err(|error| self.fail("set how commits wait", error))?;
        }
        Ok(())
    }
}

/// Knows how long the log is after each commit of a connection. While there is one, that connection
/// does not move the log by itself.
#[derive(Debug)]
pub struct LogWatch<'d> {
    db: &'d Database,
    /// Where SQLite leaves the number; it has its address.
    pages: Box<AtomicU64>,
    page_bytes: u64,
}

impl<'d> LogWatch<'d> {
    /// Watches the commits of this connection; one watch at a time.
    pub fn begin(db: &'d Database) -> Result<Self, StoreError> {
        let page_bytes = db
            .connection()
            .query_row("PRAGMA main.page_size", [], |row| row.get::<_, i64>(0))
            .map_err(|error| db.fail("read the size of pages", error))?;
        let watch = Self { db, pages: Box::default(), page_bytes: page_bytes.unsigned_abs() };
        // SAFETY: the connection is open. The number lives as long as the hook: dropping the watch
        // replaces it before the number is freed, and SQLite calls it only within a commit on this
        // connection, which is used by one thread at a time.
        unsafe {
            let pages = (&raw const *watch.pages).cast_mut().cast();
            ffi::sqlite3_wal_hook(db.connection().handle(), Some(note_pages), pages);
        }
        Ok(watch)
    }

    /// Size of the log in bytes after the last commit, whether or not parts of it are moved.
    pub fn bytes(&self) -> u64 {
        self.pages.load(Ordering::Relaxed) * self.page_bytes
    }
}

impl Drop for LogWatch<'_> {
    fn drop(&mut self) {
        // SAFETY: the connection is open: it is borrowed. This replaces our hook.
        unsafe {
            ffi::sqlite3_wal_autocheckpoint(self.db.connection().handle(), AUTOMATIC_PAGES);
        }
    }
}

unsafe extern "C" fn note_pages(
    number: *mut c_void,
    _: *mut ffi::sqlite3,
    _: *const c_char,
    pages: c_int,
) -> c_int {
    // SAFETY: this is the address of the watch's number, which is freed after the hook is replaced.
    let number = unsafe { &*number.cast::<AtomicU64>() };
    number.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
    ffi::SQLITE_OK
}
