//! The file's pages, where its tables are read from them.

use libsql_pages::{Encoding, LogMark, Pages};
use rusqlite::Connection;

/// To look at more frames of the log takes longer than what reading pages saves.
const FRAMES_MAX: u32 = 40_000;

/// `None` where the rows of this database are read by statements. See [`Pages::open`].
pub(crate) fn open(db: &Connection, mark: LogMark) -> Option<Pages<'_>> {
    let pages = Pages::open(db, mark, FRAMES_MAX)?;
    let layout = pages.layout();
    // Text is handed on as it is stored, and records are compared with those of format 4.
    let is_plain = layout.encoding == Encoding::Utf8 && layout.schema_format == 4;
    is_plain.then_some(pages)
}
