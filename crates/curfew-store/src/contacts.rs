//! Writing contacts: imports into any `contacts` table, and made-up organizations.
//!
//! An import goes in three steps, so that what a file says of one contact in several places is
//! one change, and so that a second import of the same file changes nothing:
//!
//! 1. [`ContactsDatabase::open`] finds the table `contacts`, or makes one.
//! 2. [`ContactsDatabase::stage`] begins one transaction; [`Staging::add`] and
//!    [`Staging::settle`] find out which contact each line speaks of, and collect the lines in
//!    temporary tables.
//! 3. [`Staging::apply`] writes what differs, and [`Staging::commit`] makes it last. Without it
//!    nothing is written.
//!
//! [`OrganizationWriter`] fills databases for demonstrations, tests and benchmarks.

mod import;
mod organization;
mod table;

use std::path::{Path, PathBuf};

pub use import::{Access, Applied, Change, ContactsDatabase, Line, Placement, Refusal, Staging};
pub use organization::{
    AnswerRow, CampaignRow, CampaignTypeRow, Cell, ClickRow, ContactRow, OrganizationWriter, Parts,
    SentRow, TargetRow,
};

/// What can go wrong with a database of contacts as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContactsError {
    /// The file cannot be opened or made.
    #[error("the database {} cannot be opened: {reason}", path.display())]
    CannotOpen {
        /// The database.
        path: PathBuf,
        /// What the database says.
        reason: String,
    },
    /// The file is something else.
    #[error("{} is not an SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A file that was to be made is there already.
    #[error("{} exists already; name another file, or remove it first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The folder of a file that was to be made is missing.
    #[error("the folder {} does not exist; make it first, or name another", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// Another program is writing.
    #[error("another program is writing to {}; try again when it has finished", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The file or its folder is write-protected.
    #[error("the database {} is write-protected", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// `contacts` is a view or a virtual table.
    #[error("contacts in {} is a {kind}, not a table that can be written to", path.display())]
    NotATable {
        /// The database.
        path: PathBuf,
        /// What it is.
        kind: String,
    },
    /// A column that every table of contacts must have is missing.
    #[error("the table contacts in {} has no column {column}", path.display())]
    MissingColumn {
        /// The database.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// Several contacts could have the same id.
    #[error(
        "the column id of contacts in {} is not unique; make it so with: \
         CREATE UNIQUE INDEX contacts_id ON contacts (id)",
        path.display()
    )]
    IdNotUnique {
        /// The database.
        path: PathBuf,
    },
    /// The highest id there is is taken.
    #[error("there are no ids left for new contacts in {}", path.display())]
    NoIdsLeft {
        /// The database.
        path: PathBuf,
    },
    /// A trigger of the database ended the transaction.
    #[error("a trigger in {} ended the import: {reason}", path.display())]
    Aborted {
        /// The database.
        path: PathBuf,
        /// What the trigger says.
        reason: String,
    },
    /// Anything else.
    #[error("{doing} failed in {}: {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the database says.
        source: rusqlite::Error,
    },
    /// The finished file could not be put in its place.
    #[error("{} cannot be put in its place: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl ContactsError {
    /// The error for what the database answered to `doing`.
    fn of(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::CannotOpen) => Self::CannotOpen { path, reason: message(&source) },
            _ => Self::Sqlite { path, doing, source },
        }
    }
}

/// What the database says, without the name of its error code.
fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}

/// Turns an answer of the database into a result with the database's path and what was tried.
trait Doing<T> {
    fn doing(self, what: &'static str, path: &Path) -> Result<T, ContactsError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, what: &'static str, path: &Path) -> Result<T, ContactsError> {
        self.map_err(|source| ContactsError::of(path, what, source))
    }
}
