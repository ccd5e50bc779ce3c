//! Imports: which contact a line speaks of, and what of it is new.

mod apply;
mod place;
mod sql;
mod staging;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use curfew_engine::{Field, Issue};
use rusqlite::{Connection, OpenFlags};

pub use self::staging::Staging;
use super::{
    ContactsError, Doing,
    table::{self, ContactsTable},
};
use crate::database::sqlite_path;

/// How long another writer may keep the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// In KiB, as `PRAGMA cache_size` counts when negative: 64 MB, of which an import of any size
/// needs no more.
const CACHE: i32 = -65_536;

/// What an import may do to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Write contacts; make the file and the table where they are missing.
    Write,
    /// Write nothing, only find out what an import would do.
    DryRun,
}

/// A database whose contacts are about to be imported.
#[derive(Debug)]
pub struct ContactsDatabase {
    connection: Connection,
    path: PathBuf,
    access: Access,
    table: ContactsTable,
    /// The table does not exist yet in the file.
    table_is_new: bool,
    file_is_new: bool,
}

/// One line of a file, its cells in the order of the columns given to
/// [`ContactsDatabase::stage`].
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its number in the file.
    pub number: u64,
    /// The contact's id, 1 or more, where the line gives one.
    pub id: Option<i64>,
    /// The cells; `None` leaves what the contact has.
    pub cells: &'a [Option<&'a str>],
}

/// What becomes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It is the first line that speaks of its contact.
    Staged,
    /// It adds to the contact that this other line spoke of; of two values for one column, the one
    /// of the later line is taken.
    Repeats {
        /// The other line.
        line: u64,
    },
    /// It can only be placed when all lines are read; [`Staging::settle`] will tell.
    Postponed,
    /// It is not taken.
    Refused(Refusal),
}

/// Why a line is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such contact yet, and a new one needs this column.
    Missing(Field),
    /// The id says one contact, the e-mail address another.
    EmailOfAnother {
        /// The contact that has the address.
        id: i64,
    },
    /// Several contacts have the e-mail address, and no id tells which one is meant.
    EmailOfSeveral {
        /// Two of them.
        ids: [i64; 2],
    },
    /// Another line gives the contact with the same id another address.
    OtherEmail {
        /// That line.
        line: u64,
    },
    /// The contact is to get a new address, but another line still uses the one it has.
    OldEmailInUse {
        /// The address it has.
        email: String,
    },
    /// The database does not store it, because of a condition of the table.
    Database {
        /// What the database says.
        message: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(_) => f.write_str("is missing, and there is no such contact yet"),
            Self::EmailOfAnother { id } => {
                write!(f, "belongs to contact {id}, but the id names another")
            }
            Self::EmailOfSeveral { ids: [first, second] } => {
                write!(
                    f,
                    "belongs to several contacts ({first}, {second}, …); \
                     give the id of the one that is meant"
                )
            }
            Self::OtherEmail { line } => {
                write!(f, "is not the address that line {line} gives the same contact")
            }
            Self::OldEmailInUse { email } => write!(
                f,
                "would replace {email}, which another line of the file uses; \
                 change addresses in a file of their own"
            ),
            Self::Database { message } => write!(f, "the database refuses the line: {message}"),
        }
    }
}

/// What happened to a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Inserted,
    /// At least one column differed.
    Updated,
    /// It was like that already.
    Unchanged,
}

/// What was done, or on a dry run would be done, for one contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The first line that speaks of it.
    pub line: u64,
    /// How many lines do.
    pub lines: u64,
    /// What happened; a refusal is [`Refusal::Database`].
    pub change: Result<Change, Refusal>,
    /// The state was taken from the ZIP code.
    pub state_derived: bool,
    /// The state is not the one of the ZIP code, and one of them comes from the file.
    pub mismatch: Option<Issue>,
}

impl ContactsDatabase {
    /// Opens a database. For [`Access::Write`] a missing file or table will be made; on a dry run
    /// a missing one counts as empty.
    ///
    /// # Errors
    /// If the file is not a database, cannot be read, or if its `contacts` is not a table with
    /// the columns `id` (unique), `email` and `zip_code`.
    pub fn open(path: impl Into<PathBuf>, access: Access) -> Result<Self, ContactsError> {
        let path = path.into();
        let file_is_new = !path.exists();
        // Opening a pipe would wait for ever.
        if std::fs::metadata(&path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            return Err(ContactsError::CannotOpen { path, reason: "it is not a file".to_owned() });
        }
        let opening = "opening the database";
        let connection = match access {
            Access::Write => Connection::open_with_flags(
                sqlite_path(&path),
                OpenFlags::SQLITE_OPEN_READ_WRITE
                    | OpenFlags::SQLITE_OPEN_CREATE
                    | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            ),
            Access::DryRun if file_is_new => Connection::open_in_memory(),
            Access::DryRun => Connection::open_with_flags(
                sqlite_path(&path),
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            ),
        }
        .doing(opening, &path)?;
        connection.busy_timeout(BUSY_TIMEOUT).doing(opening, &path)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection
            .execute_batch(&format!(
                "PRAGMA cache_size = {CACHE}; PRAGMA temp.cache_size = {CACHE}; \
                 PRAGMA temp.journal_mode = OFF;"
            ))
            .doing(opening, &path)?;
        let found = match ContactsTable::find(&connection, &path) {
            Ok(found) => found,
            Err(error) => {
                drop(connection);
                remove_if_empty(file_is_new, &path);
                return Err(error);
            }
        };
        let table_is_new = found.is_none();
        let table = match found {
            Some(table) => table,
            None => new_table(&path)?,
        };
        Ok(Self { connection, path, access, table, table_is_new, file_is_new })
    }

    /// The names of the columns that can be written, `id` apart.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.table.columns.iter().map(|column| column.name.as_str())
    }

    /// The column that birth dates are read from: `birth_date`, else `birthday`.
    pub fn birth_date_column(&self) -> Option<&str> {
        self.table.birth_date().map(|place| self.table.columns[place].name.as_str())
    }

    /// Begins an import of these columns (their names, in any case; `id` is not among them).
    /// `ids_given` tells whether lines may have ids. For [`Access::Write`] no other program can
    /// write from here on until the end of the import.
    ///
    /// # Errors
    /// If another program is writing, or the file is write-protected.
    ///
    /// # Panics
    /// If there is no column of a given name.
    pub fn stage(
        self,
        columns: &[impl AsRef<str>],
        ids_given: bool,
        now: &str,
    ) -> Result<Staging, ContactsError> {
        Staging::begin(self, columns, ids_given, now)
    }
}

/// The table that is made where there is none, as the database describes it.
fn new_table(path: &Path) -> Result<ContactsTable, ContactsError> {
    let doing = "making the table contacts";
    let memory = Connection::open_in_memory().doing(doing, path)?;
    memory.execute_batch(table::CREATE).doing(doing, path)?;
    let table = ContactsTable::find(&memory, path)?;
    Ok(table.expect("the table was just made"))
}

/// A file that was made, but into which nothing was written, is not left behind.
fn remove_if_empty(file_is_new: bool, path: &Path) {
    if file_is_new && fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        // If it stays, it is an empty database; there is nobody to tell.
        let _ = fs::remove_file(path);
    }
}

impl Drop for ContactsDatabase {
    fn drop(&mut self) {
        remove_if_empty(self.access == Access::Write && self.file_is_new, &self.path);
    }
}
