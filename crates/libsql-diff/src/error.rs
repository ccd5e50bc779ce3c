//! What can go wrong, with its subject.

use std::path::PathBuf;

use crate::operation::RowKey;
use crate::value::Value;

/// Everything this crate can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite refused something.
    #[error("{doing}: {message} (SQLite code {code})")]
    Sqlite {
        /// What was being done.
        doing: String,
        /// SQLite's extended result code.
        code: i32,
        /// SQLite's message.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Writing to a sink, a pipe or a temporary file failed.
    #[error("{doing}: {source}")]
    Stream {
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file holds a transaction that a crash interrupted; reading it correctly would need
    /// writing to it, which this crate never does to an input.
    #[error(
        "{}: an interrupted transaction is waiting in its journal; \
         open it once with the program that owns it, then try again",
        path.display()
    )]
    HotJournal {
        /// The database file.
        path: PathBuf,
    },
    /// Another program wrote to an input while it was read.
    #[error("{}: changed while it was being read; try again", path.display())]
    InputChanged {
        /// The database file.
        path: PathBuf,
    },
    /// A database file that contradicts the file format.
    #[error("{subject}: damaged database: {what}; run PRAGMA integrity_check on it")]
    Damaged {
        /// The file or table.
        subject: String,
        /// What does not hold.
        what: String,
    },
    /// A key sorted by a collation that only the owning program knows.
    #[error("table {table}: the collation {collation} of its key is not known here")]
    UnknownCollation {
        /// The table.
        table: String,
        /// The collation's name.
        collation: String,
    },
    /// Something in the schema that cannot be compared or carried over.
    #[error("{subject}: {what}")]
    Unsupported {
        /// The table or object.
        subject: String,
        /// Why not.
        what: String,
    },
    /// The database that a diff or changeset is applied to is not in the state that it expects.
    /// Nothing was applied.
    #[error("{0}")]
    Conflict(Box<Conflict>),
    /// A table does not have the number of rows that it should. Nothing was applied.
    #[error(
        "table {table}: {found} rows {when} where {expected} were expected; nothing was applied"
    )]
    RowCount {
        /// The table.
        table: String,
        /// `before applying` or `after applying`.
        when: &'static str,
        /// The number in the diff.
        expected: u64,
        /// The number in the database.
        found: u64,
    },
    /// Foreign keys that would hold nothing after applying. Nothing was applied.
    #[error(
        "{found} rows would refer to rows that do not exist where {expected} were expected, \
         first in table {table}; nothing was applied"
    )]
    ForeignKeys {
        /// The table of the first such row.
        table: String,
        /// How many such rows the diff's target has.
        expected: u64,
        /// How many there would be.
        found: u64,
    },
    /// A diff, a changeset or a script can only be applied outside of a transaction.
    #[error("the connection is inside a transaction; commit or roll back first")]
    InTransaction,
    /// A statement of an SQL script that SQLite refused, or that cannot be run as part of one
    /// transaction. Nothing was applied.
    #[error("line {line}: {what}; nothing was applied")]
    Script {
        /// The line on which the statement begins, counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// Not a file of the expected kind, or one cut off or altered.
    #[error("{subject}: byte {offset}: {what}")]
    Format {
        /// What was read: a path, or `diff`, or `changeset`.
        subject: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A diff file from a later version of this crate.
    #[error(
        "{subject}: written in format version {found}, this program reads up to {supported}; \
         update it"
    )]
    Version {
        /// The path, or `diff`.
        subject: String,
        /// The file's version.
        found: u16,
        /// The newest version known here.
        supported: u16,
    },
    /// A merge met conflicts and its policy is to stop.
    #[error("{count} conflicts between the two sides, first in table {table}; nothing was merged")]
    MergeConflicts {
        /// How many.
        count: usize,
        /// The table of the first.
        table: String,
    },
    /// The progress callback asked to stop.
    #[error("stopped")]
    Stopped,
}

/// How a row in the database contradicts the change that was to be made to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictKind {
    /// The row to change or delete is not there.
    Missing,
    /// The row to change or delete holds other values.
    Changed,
    /// The row to insert is already there.
    Exists,
    /// The change would break a constraint.
    Constraint,
    /// A table, view, index or trigger is not as the diff expects it.
    Schema,
}

/// One change that does not fit the database it is applied to.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// What kind.
    pub kind: ConflictKind,
    /// The table, or the object for [`ConflictKind::Schema`].
    pub table: String,
    /// The row.
    pub key: Option<RowKey>,
    /// The column, where one column decides.
    pub column: Option<String>,
    /// The value that the change expects to find.
    pub expected: Option<Value>,
    /// The value found.
    pub found: Option<Value>,
    /// SQLite's message, or what is different.
    pub detail: String,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.table)?;
        if let Some(key) = &self.key {
            write!(f, " {key}")?;
        }
        match self.kind {
            ConflictKind::Missing => f.write_str(": the row is not there")?,
            ConflictKind::Changed => f.write_str(": the row holds other values")?,
            ConflictKind::Exists => f.write_str(": the row is already there")?,
            ConflictKind::Constraint => f.write_str(": a constraint forbids the change")?,
            ConflictKind::Schema => f.write_str(": not defined as expected")?,
        }
        if let (Some(column), Some(expected), Some(found)) =
            (&self.column, &self.expected, &self.found)
        {
            write!(f, " (column {column}: expected {expected}, found {found})")?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl Error {
    /// SQLite's extended result code, if SQLite refused something.
    pub fn sqlite_code(&self) -> Option<i32> {
        match self {
            Self::Sqlite { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether another connection held a lock for longer than the busy timeout. Worth a retry.
    pub fn is_busy(&self) -> bool {
        self.sqlite_code().is_some_and(|code| {
            matches!(code & 0xff, rusqlite::ffi::SQLITE_BUSY | rusqlite::ffi::SQLITE_LOCKED)
        })
    }

    pub(crate) fn from_rusqlite(doing: impl Into<String>, error: &rusqlite::Error) -> Self {
        let code = match error {
            rusqlite::Error::SqliteFailure(failure, _) => failure.extended_code,
            _ => rusqlite::ffi::SQLITE_ERROR,
        };
        Self::Sqlite { doing: doing.into(), code, message: error.to_string() }
    }

    pub(crate) fn stream(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Stream { doing, source }
    }

    pub(crate) fn damaged(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged { subject: subject.into(), what: what.into() }
    }
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
