//! Opening a database file to read it, and leaving no trace of that.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use libsql_pages::MainFile;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use crate::error::{Error, Result};

/// How long to wait for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A database file, open for reading.
#[derive(Debug)]
pub(crate) struct Input {
    pub conn: Connection,
    path: PathBuf,
    /// What must not change while the file is read, where no lock keeps others from writing.
    unlocked: Option<Vec<Stamp>>,
}

/// What shows that a file was written to.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    state: Option<(u64, Option<SystemTime>)>,
}

impl Stamp {
    fn of(path: PathBuf) -> Self {
        // A write-ahead log that is empty holds as much as one that is missing.
        let state = std::fs::metadata(&path).ok().map(|meta| (meta.len(), meta.modified().ok()));
        Self { path, state: state.filter(|(length, _)| *length > 0) }
    }

    fn is_unchanged(&self) -> bool {
        Self::of(self.path.clone()) == *self
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

impl Input {
    /// Opens the file at `path` such that neither it nor its write-ahead log is written to,
    /// checkpointed or deleted, and no file appears beside it.
    ///
    /// A file that other programs have open is read under SQLite's locks. A WAL file that nobody
    /// has open is read without any, because SQLite would create its `-shm`; [`Input::check`]
    /// then tells whether somebody wrote to it meanwhile.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let io =
            |source| Error::Io { path: path.to_owned(), doing: "opening the database", source };
        let path = std::fs::canonicalize(path).map_err(io)?;
        if path.is_dir() {
            return Err(io(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        let is_shared = beside(&path, "-shm").exists();
        let has_log = std::fs::metadata(beside(&path, "-wal")).is_ok_and(|meta| meta.len() > 0);
        if is_shared {
            return Self::open_as(path, "", false);
        }
        if has_log {
            if !cfg!(unix) {
                return Self::open_as(path, "", false);
            }
            // Without locks and in exclusive mode, SQLite keeps the log's index in its own memory.
            let input = Self::open_as(path, "?vfs=unix-none", true)?;
            input
                .conn
                .query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))
                .map_err(|error| input.error("opening the database", &error))?;
            return Ok(input);
        }
        let still = Self::open_as(path, "?immutable=1", true)?;
        if still.is_in_wal_mode() { Ok(still) } else { Self::open_as(still.path, "", false) }
    }

    fn open_as(path: PathBuf, parameters: &str, is_unlocked: bool) -> Result<Self> {
        let unlocked = is_unlocked.then(|| {
            [path.clone(), beside(&path, "-wal"), beside(&path, "-journal")].map(Stamp::of).into()
        });
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let name = || path.display().to_string();
        let uri = format!("{}{parameters}", uri_of(&path));
        let conn = Connection::open_with_flags(uri, flags)
            .map_err(|error| Error::from_rusqlite(format!("opening {}", name()), &error))?;
        let prepare = || -> rusqlite::Result<()> {
            conn.busy_timeout(BUSY_TIMEOUT)?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            Ok(())
        };
        prepare().map_err(|error| Error::from_rusqlite(format!("opening {}", name()), &error))?;
        Ok(Self { conn, path, unlocked })
    }

    /// Whether the header says that the file is written through a log.
    fn is_in_wal_mode(&self) -> bool {
        let mut versions = [0; 2];
        // The pager opens its file with the first statement.
        let opened = self.conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
        let read = MainFile::of(&self.conn).is_some_and(|file| file.read(&mut versions, 18));
        opened.is_ok() && read && versions.contains(&2)
    }

    /// Names the file in an error of SQLite's, and its cause where it has a name.
    pub(crate) fn error(&self, doing: &str, error: &rusqlite::Error) -> Error {
        if let rusqlite::Error::SqliteFailure(failure, _) = error
            && failure.extended_code == ffi::SQLITE_READONLY_ROLLBACK
        {
            return Error::HotJournal { path: self.path.clone() };
        }
        Error::from_rusqlite(format!("{doing} {}", self.path.display()), error)
    }

    /// Fails if somebody wrote to the file since it was opened, where no lock forbade it.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.unlocked {
            Some(stamps) if !stamps.iter().all(Stamp::is_unchanged) => {
                Err(Error::InputChanged { path: self.path.clone() })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A path as a `file:` URI.
fn uri_of(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut uri = String::from("file:");
    if cfg!(windows) {
        uri.push('/');
    }
    for byte in text.bytes() {
        match byte {
            b'\\' if cfg!(windows) => uri.push('/'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b':' => {
                uri.push(char::from(byte));
            }
            _ => {
                use std::fmt::Write;
                let _ = write!(uri, "%{byte:02x}");
            }
        }
    }
    uri
}
