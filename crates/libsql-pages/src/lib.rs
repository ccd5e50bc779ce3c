//! Tables of a SQLite file, read from its pages within a read transaction.
//!
//! A statement spends most of its time on the way from the page to its caller: an instruction for
//! every column, and a call for every value. Where millions of rows are read in order and compared
//! with what they should be, this crate takes the values from where they lie
//! (<https://www.sqlite.org/fileformat2.html>).
//!
//! It reads what is certain and nothing else: [`Pages::open`] gives `None` where pages cannot be
//! read this way (a database in memory, an encrypted one, a long write-ahead log), and the caller
//! then asks SQLite. What else a caller takes for granted, as the encoding of text, it finds in
//! [`Pages::layout`].
#![deny(missing_docs)]

mod file;
mod pages;
mod record;
mod shape;
mod tree;

pub use file::MainFile;
pub use pages::{Encoding, Layout, LogMark, Pages, Stretch};
pub use record::{Field, NumberPlace, Record, encode, varint};
pub use shape::{Shape, Shapes};
pub use tree::{IndexCursor, Payload, TableCursor, TreeOf};

/// A page is not what it should be: the file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database file is damaged: {0}")]
pub struct Damaged(pub &'static str);

impl From<Damaged> for rusqlite::Error {
    fn from(damaged: Damaged) -> Self {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Self::SqliteFailure(code, Some(damaged.to_string()))
    }
}
