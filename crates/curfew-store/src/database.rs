//! Opening a database: what must be there, and what is set for every connection.

use std::{
    borrow::Cow,
    fmt::Write as _,
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{
    StoreError,
    schema::{Affinity, Table},
};

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading. Works on files that must not be written to, and on databases that were never
    /// migrated; makes no file, except those that SQLite itself needs to read a database in
    /// WAL mode (`-wal`, `-shm`).
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// How long a step waits for other programs that hold the database, unless told otherwise.
pub const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Page cache in KiB: more gains nothing (measured), and a run over three million contacts is to stay
/// below 250 MB.
const CACHE_KIB: i64 = 56 * 1024;

/// Pages of files that we make ourselves.
const PAGE_SIZE: i64 = 16 * 1024;

/// A database with contacts.
///
/// Foreign keys are not enforced on this connection, so that nothing of other tables is changed or
/// deleted in cascade when rows of the plan are; triggers of the database's owner fire.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    path: PathBuf,
    access: Access,
}

/// The table of contacts of a database that is being made.
const CREATE_CONTACTS: &str = "
CREATE TABLE contacts (
  id INTEGER PRIMARY KEY,
  email TEXT,
  first_name TEXT,
  last_name TEXT,
  zip_code TEXT,
  state TEXT,
  birth_date TEXT,
  effective_date TEXT,
  phone_number TEXT,
  status TEXT
)";

impl Database {
    /// Opens a database that exists, waiting at most [`BUSY_WAIT`] for other programs at every
    /// step.
    ///
    /// # Errors
    /// One variant of [`StoreError`] for each of: no such file, a directory, not a database, a
    /// damaged one, locked, read-only (for [`Access::ReadWrite`]), no `contacts`, or `contacts`
    /// without the columns that a plan needs (SPEC section 2).
    pub fn open(path: impl AsRef<Path>, access: Access) -> Result<Self, StoreError> {
        Self::open_waiting(path, access, BUSY_WAIT)
    }

    /// Like [`Database::open`] with another bound for the wait.
    pub fn open_waiting(
        path: impl AsRef<Path>,
        access: Access,
        wait_max: Duration,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        check_file(&path, access)?;
        let flags = match access {
            Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let connect = |target: &Path, flags| {
            let connection = Connection::open_with_flags(target, flags)?;
            connection.busy_timeout(wait_max)?;
            // SQLite does not look at the file before it must.
            connection
                .query_row("SELECT count(*) FROM main.sqlite_schema", [], |_| Ok(()))
                .map(|()| connection)
        };
        let fail = |error| StoreError::of(&path, "open the database", error);
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match connect(&sqlite_path(&path), flags) {
            Ok(connection) => connection,
            // In WAL mode reading needs files beside the database. Where they can be neither
            // opened nor made and no log waits to be applied, the file itself is all there is.
            Err(error) if cannot_open(&error) && access == Access::ReadOnly => {
                if wal_is_empty(&path) {
                    connect(&immutable_uri(&path), flags | OpenFlags::SQLITE_OPEN_URI)
                        .map_err(fail)?
                } else {
                    return Err(StoreError::NeedsRecovery { path });
                }
            }
            Err(error) if cannot_open(&error) => return Err(StoreError::ReadOnly { path }),
            Err(error) => return Err(fail(error)),
        };
        let db = Self { connection, path, access };
        db.configure().map_err(|error| db.fail("open the database", error))?;
        db.check_contacts()?;
        Ok(db)
    }

    /// Makes a new database in WAL mode with an empty table `contacts`. An empty file is taken as
    /// not existing.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is something at this path.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => return Err(StoreError::IsDirectory { path }),
            Ok(found) if found.len() > 0 => return Err(StoreError::Exists { path }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::CannotOpen { path, source }),
        }
        if let Err(source) = fs::OpenOptions::new().append(true).create(true).open(&path) {
            return Err(StoreError::CannotOpen { path, source });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let make = || {
            let connection = Connection::open_with_flags(sqlite_path(&path), flags)?;
            connection.busy_timeout(BUSY_WAIT)?;
            connection.pragma_update(None, "page_size", PAGE_SIZE)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.execute_batch(CREATE_CONTACTS)?;
            Ok(connection)
        };
        let connection =
            make().map_err(|error| StoreError::of(&path, "make the database", error))?;
        let db = Self { connection, path, access: Access::ReadWrite };
        db.configure().map_err(|error| db.fail("make the database", error))?;
        Ok(db)
    }

    /// A database in memory with an empty table `contacts`, gone when it is dropped.
    pub fn in_memory() -> Result<Self, StoreError> {
        let path = PathBuf::from(":memory:");
        let make = || {
            let connection = Connection::open_in_memory()?;
            connection.execute_batch(CREATE_CONTACTS)?;
            Ok(connection)
        };
        let connection =
            make().map_err(|error| StoreError::of(&path, "make a database in memory", error))?;
        let db = Self { connection, path, access: Access::ReadWrite };
        db.configure().map_err(|error| db.fail("make a database in memory", error))?;
        Ok(db)
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What this connection may do.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The connection, for statements about tables that are not this crate's.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Holds what is read from now on, until the snapshot is dropped, to one state of the database,
    /// whatever others write meanwhile. Where the database is not in WAL mode, others cannot write
    /// meanwhile, so drop it before writing.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        let begin = || {
            self.connection.execute_batch("BEGIN")?;
            let held = Snapshot { connection: &self.connection };
            // A transaction holds nothing before its first read.
            self.connection.query_row("SELECT count(*) FROM main.sqlite_schema", [], |_| Ok(()))?;
            Ok(held)
        };
        begin().map_err(|error| self.fail("begin to read", error))
    }

    /// Waits until this connection may write, without writing anything.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another program keeps the database longer than the wait, and
    /// [`StoreError::ReadOnly`].
    pub fn await_writing(&self) -> Result<(), StoreError> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE; ROLLBACK")
            .map_err(|error| self.fail("begin to write", error))
    }

    /// A number that changes with every change of the database by another connection, and by none of
    /// this one's own. Only equality means anything, and only on this connection.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        self.connection
            .query_row("PRAGMA main.data_version", [], |row| row.get(0))
            .map_err(|error| self.fail("look for changes by others", error))
    }

    /// How many rows `contacts` has: `N` of SPEC section 6.
    pub fn contact_count(&self) -> Result<u64, StoreError> {
        self.connection
            .query_row("SELECT count(*) FROM main.contacts", [], |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(|error| self.fail("count the contacts", error))
    }

    /// Splits all possible contact ids into at most `parts` ranges, which follow each other and
    /// hold about equally many of the ids in use if those are evenly spread.
    pub fn contact_ranges(&self, parts: u32) -> Result<Vec<RangeInclusive<i64>>, StoreError> {
        let Some((first, last)) = self.contact_ids()? else { return Ok(vec![i64::MIN..=i64::MAX]) };
        let (first, last) = (i128::from(first), i128::from(last));
        let width = (last - first + 1).div_euclid(i128::from(parts.max(1))).max(1);
        let mut ranges = Vec::new();
        let mut start = i64::MIN;
        for part in 1..i128::from(parts) {
            let Ok(end) = i64::try_from(first + part * width - 1) else { break };
            if i128::from(end) >= last {
                break;
            }
            ranges.push(start..=end);
            start = end + 1;
        }
        ranges.push(start..=i64::MAX);
        Ok(ranges)
    }

    /// The lowest and the highest of the contacts' ids that are whole numbers, if there are any.
    pub fn contact_ids(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let extreme = |function: &str| {
            // One aggregate per statement: SQLite finds it at the end of the index.
            let sql =
                format!("SELECT {function}(id) FROM main.contacts WHERE typeof(id) = 'integer'");
            self.connection.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0))
        };
        let found = extreme("min").and_then(|first| Ok((first, extreme("max")?)));
        match found.map_err(|error| self.fail("read the contacts' ids", error))? {
            (Some(first), Some(last)) => Ok(Some((first, last))),
            _ => Ok(None),
        }
    }

    pub(crate) fn fail(&self, doing: &'static str, error: rusqlite::Error) -> StoreError {
        StoreError::of(&self.path, doing, error)
    }

    pub(crate) fn unsupported(&self, table: &str, reason: impl Into<String>) -> StoreError {
        StoreError::UnsupportedTable {
            path: self.path.clone(),
            table: table.to_owned(),
            reason: reason.into(),
        }
    }

    fn configure(&self) -> rusqlite::Result<()> {
        self.connection.set_prepared_statement_cache_capacity(64);
        self.connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        self.connection.pragma_update(None, "foreign_keys", false)?;
        self.connection.pragma_update(None, "query_only", self.access == Access::ReadOnly)
    }

    fn check_contacts(&self) -> Result<(), StoreError> {
        let table = Table::read(&self.connection, "contacts")
            .map_err(|error| self.fail("read the schema", error))?;
        let path = || self.path.clone();
        let Some(table) = table else { return Err(StoreError::NoContacts { path: path() }) };
        if table.sort == "view" {
            return Err(self.unsupported("contacts", "it is a view, not a table"));
        }
        let mut missing = Vec::new();
        for name in ["id", "email", "zip_code", "effective_date"] {
            if table.column(name).is_none() {
                missing.push(name);
            }
        }
        if table.column("birth_date").or(table.column("birthday")).is_none() {
            missing.push("birth_date");
        }
        if !missing.is_empty() {
            return Err(StoreError::ContactColumns { path: path(), missing });
        }
        match table.column("id").map(|id| (id.affinity(), &id.declared)) {
            Some((Affinity::Text | Affinity::Real, declared)) => {
                Err(StoreError::ContactIdNotInteger { path: path(), declared: declared.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// One state of a database, see [`Database::snapshot`].
#[derive(Debug)]
#[must_use = "the snapshot ends when it is dropped"]
pub struct Snapshot<'d> {
    connection: &'d Connection,
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // Nothing was written, so nothing is lost if this fails: the connection then says so
            // at its next step.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}

fn check_file(path: &Path, access: Access) -> Result<(), StoreError> {
    let path_buf = || path.to_owned();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::Missing { path: path_buf() });
        }
        Err(source) => return Err(StoreError::CannotOpen { path: path_buf(), source }),
    };
    if found.is_dir() {
        return Err(StoreError::IsDirectory { path: path_buf() });
    }
    // Opening a pipe would wait for ever.
    if !found.is_file() {
        return Err(StoreError::NotAFile { path: path_buf() });
    }
    match access {
        Access::ReadOnly => match fs::File::open(path) {
            Ok(_) => Ok(()),
            Err(source) => Err(StoreError::CannotOpen { path: path_buf(), source }),
        },
        // What cannot even be read is another matter than what must not be written to.
        Access::ReadWrite if fs::File::open(path).is_err() => check_file(path, Access::ReadOnly),
        // A superuser could write to a file that its owner marked as read-only, but should not.
        Access::ReadWrite if found.permissions().readonly() => {
            Err(StoreError::ReadOnly { path: path_buf() })
        }
        Access::ReadWrite => match fs::OpenOptions::new().read(true).append(true).open(path) {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Err(StoreError::ReadOnly { path: path_buf() })
            }
            Err(source) => Err(StoreError::CannotOpen { path: path_buf(), source }),
        },
    }
}

/// The path as SQLite is told it: it takes `file:…` for a URI and `:memory:` for no file at all.
pub(crate) fn sqlite_path(path: &Path) -> Cow<'_, Path> {
    let begins = |start: &str| path.as_os_str().as_encoded_bytes().starts_with(start.as_bytes());
    if begins("file:") || begins(":") { Path::new(".").join(path).into() } else { path.into() }
}

/// Whether a file beside the database could be neither opened nor made.
fn cannot_open(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_READONLY_CANTINIT, SQLITE_READONLY_DIRECTORY};
    error.sqlite_error().is_some_and(|failure| {
        failure.code == rusqlite::ErrorCode::CannotOpen
            || [SQLITE_READONLY_CANTINIT, SQLITE_READONLY_DIRECTORY]
                .contains(&failure.extended_code)
    })
}

/// Whether no log waits to be applied to the database.
pub(crate) fn wal_is_empty(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    fs::metadata(wal).map_or(true, |found| found.len() == 0)
}

/// The path as a URI that tells SQLite that nobody will write to the file.
fn immutable_uri(path: &Path) -> PathBuf {
    let absolute = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = String::from("file:");
    for byte in absolute.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            other => write!(uri, "%{other:02X}").expect("a String takes everything"),
        }
    }
    uri.push_str("?immutable=1");
    uri.into()
}
