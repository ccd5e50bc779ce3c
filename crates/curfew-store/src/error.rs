//! What can go wrong with a database, by situation.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

use crate::lock::Holder;

/// Why something could not be done with a database. Every variant names the file, the situation,
/// and, where there is one, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the messages name")]
pub enum StoreError {
    /// There is no such file.
    #[error("there is no file {}; check the path", .path.display())]
    Missing { path: PathBuf },
    /// The path leads to a directory.
    #[error("{} is a directory; give the path of a database file in it", .path.display())]
    IsDirectory { path: PathBuf },
    /// The path leads to a device, a pipe or the like.
    #[error("{} is not a file; give the path of a database file", .path.display())]
    NotAFile { path: PathBuf },
    /// A new database was to be made where something exists already.
    #[error("{} exists already; choose another path or remove it", .path.display())]
    Exists { path: PathBuf },
    /// The operating system does not let the file be opened.
    #[error("{} cannot be opened: {source}", .path.display())]
    CannotOpen { path: PathBuf, source: io::Error },
    /// The file is something else.
    #[error("{} is not an SQLite database, or it is encrypted", .path.display())]
    NotADatabase { path: PathBuf },
    /// The file was a database, but is broken.
    #[error(
        "the database {} is damaged ({detail}); restore a backup, or let `sqlite3` try `.recover`",
        .path.display()
    )]
    Damaged { path: PathBuf, detail: String },
    /// Another program holds the database.
    #[error(
        "the database {} is locked by another program; wait until that one is done, then run again",
        .path.display()
    )]
    Locked { path: PathBuf },
    /// The file, or the folder it is in, must not be written to.
    #[error("the database {} is read-only; make the file and its folder writable", .path.display())]
    ReadOnly { path: PathBuf },
    /// A program was interrupted while writing, and a reader may not clean up after it.
    #[error(
        "the database {} was left in the middle of a change; \
         open it once with a program that may write to it",
        .path.display()
    )]
    NeedsRecovery { path: PathBuf },
    /// No space is left for the database.
    #[error("no space is left for the database {}; nothing of this step was kept", .path.display())]
    DiskFull { path: PathBuf },
    /// There is nobody to write to.
    #[error(
        "the database {} has no table `contacts`; name another file, or fill it with `curfew import`",
        .path.display()
    )]
    NoContacts { path: PathBuf },
    /// Columns that a plan cannot do without.
    #[error(
        "the table `contacts` of {} lacks the column{} {}",
        .path.display(),
        if .missing.len() == 1 { "" } else { "s" },
        .missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    )]
    ContactColumns { path: PathBuf, missing: Vec<&'static str> },
    /// Contacts are told apart by whole numbers.
    #[error(
        "the column `id` of `contacts` in {} is declared as {declared}; it must hold whole numbers",
        .path.display()
    )]
    ContactIdNotInteger { path: PathBuf, declared: String },
    /// A table has a shape that no migration can bring into order.
    #[error("the table `{table}` of {} cannot be used: {reason}", .path.display())]
    UnsupportedTable { path: PathBuf, table: String, reason: String },
    /// A newer version has migrated the database.
    #[error(
        "the database {} has had migration {found}, but this version knows only {known}; \
         use the newer version",
        .path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    /// Another scheduler is at work on this database.
    #[error(
        "the database {} is in use by {}; wait until that is done (the lock is the file {})",
        .path.display(),
        .holder.as_ref().map_or_else(|| "another scheduler".to_owned(), ToString::to_string),
        .lock.display()
    )]
    Held { path: PathBuf, lock: PathBuf, holder: Option<Box<Holder>> },
    /// The lock file cannot be made.
    #[error("the lock file {} cannot be used: {source}", .lock.display())]
    LockFile { lock: PathBuf, source: io::Error },
    /// A file beside the database cannot be made, moved or removed.
    #[error("cannot {doing} {}: {source}", .path.display())]
    File { path: PathBuf, doing: &'static str, source: io::Error },
    /// A copy has not as many rows as the original.
    #[error(
        "the copy of {} does not have the same rows; nothing was kept of it, try again",
        .path.display()
    )]
    BadCopy { path: PathBuf },
    /// A database was to be restored from itself.
    #[error("{} is the database itself; give the path of a backup", .path.display())]
    SameFile { path: PathBuf },
    /// Two clocks, two machines or two programs gave a run the same id.
    #[error("there is a run {run_id} already")]
    RunExists { run_id: String },
    /// No run has this id.
    #[error("there is no run {run_id}")]
    NoSuchRun { run_id: String },
    /// Anything else that SQLite objects to.
    #[error("could not {doing} in {}: {source}", .path.display())]
    Sqlite { path: PathBuf, doing: &'static str, source: rusqlite::Error },
}

impl StoreError {
    /// Names the situation that an error of SQLite stands for.
    pub(crate) fn of(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let Some(failure) = source.sqlite_error() else {
            return Self::Sqlite { path, doing, source };
        };
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked
                if failure.extended_code != rusqlite::ffi::SQLITE_LOCKED =>
            {
                Self::Locked { path }
            }
            ErrorCode::ReadOnly => match failure.extended_code {
                rusqlite::ffi::SQLITE_READONLY_RECOVERY
                | rusqlite::ffi::SQLITE_READONLY_ROLLBACK => Self::NeedsRecovery { path },
                _ => Self::ReadOnly { path },
            },
            ErrorCode::NotADatabase => Self::NotADatabase { path },
            ErrorCode::DatabaseCorrupt => Self::Damaged { path, detail: source.to_string() },
            ErrorCode::DiskFull => Self::DiskFull { path },
            _ => Self::Sqlite { path, doing, source },
        }
    }

    /// Whether the same step may succeed when it is repeated: the database was locked, or reading
    /// or writing failed in a way that may pass.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Locked { .. } => true,
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed)
            ),
            _ => false,
        }
    }

    /// Whether the database refused a row: a constraint, or a trigger of its owner.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. }
            if source.sqlite_error_code() == Some(ErrorCode::ConstraintViolation))
    }
}
