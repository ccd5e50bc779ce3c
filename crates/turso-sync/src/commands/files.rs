//! Files that commands are given: what they are, and which of them may be written.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};
use tempfile::NamedTempFile;

use crate::output::Usage;

/// How long to wait for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The first bytes of every SQLite database that is not empty.
const DATABASE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Refuses a path at which there is no file.
pub(crate) fn expect_file(path: &Path) -> anyhow::Result<()> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Usage::error(format!("there is no file {}", path.display())));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    if metadata.is_dir() {
        return Err(Usage::error(format!("{} is a directory, not a file", path.display())));
    }
    Ok(())
}

/// Refuses a path at which there is no SQLite database. An empty file is an empty database.
pub(crate) fn expect_database(path: &Path) -> anyhow::Result<()> {
    expect_file(path)?;
    let start = start_of(path)?;
    if start.is_empty() || start.starts_with(DATABASE_MAGIC) {
        return Ok(());
    }
    Err(Usage::error(format!("{} is not an SQLite database", path.display())))
}

/// Opens a database that exists, to write to it.
pub(crate) fn open_database(path: &Path) -> anyhow::Result<Connection> {
    expect_database(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        Ok(conn)
    };
    open().with_context(|| format!("cannot open {}", path.display()))
}

/// Whether the file holds an SQLite database with something in it.
pub(crate) fn is_database(path: &Path) -> anyhow::Result<bool> {
    Ok(start_of(path)?.starts_with(DATABASE_MAGIC))
}

fn start_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut start = Vec::new();
        File::open(path)?.take(DATABASE_MAGIC.len() as u64).read_to_end(&mut start)?;
        Ok(start)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// Refuses to write over a database or over one of the files that are read: a slip of the hand that
/// would cost data.
pub(crate) fn expect_writable(out: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    if !out.exists() {
        return Ok(());
    }
    if out.is_dir() {
        return Err(Usage::error(format!("{} is a directory, not a file", out.display())));
    }
    let canonical = |path: &Path| std::fs::canonicalize(path).ok();
    if inputs.iter().any(|input| canonical(input) == canonical(out)) {
        let message = format!("{} is read; name another file to write to", out.display());
        return Err(Usage::error(message));
    }
    if out.is_file() && is_database(out)? {
        return Err(Usage::error(format!(
            "{} is a database and would be overwritten; name another file, or remove it first",
            out.display()
        )));
    }
    Ok(())
}

/// A file that is read: the one at `path`, or a copy of stdin for `-`.
#[derive(Debug)]
pub(crate) struct Given {
    path: PathBuf,
    /// Removed when the command ends.
    _copy: Option<NamedTempFile>,
}

impl Given {
    pub(crate) fn new(path: &Path) -> anyhow::Result<Self> {
        if path != Path::new("-") {
            expect_file(path)?;
            return Ok(Self { path: path.to_owned(), _copy: None });
        }
        let cannot = "cannot copy stdin to a temporary file";
        let mut copy = NamedTempFile::new().context(cannot)?;
        io::copy(&mut io::stdin().lock(), copy.as_file_mut()).context(cannot)?;
        Ok(Self { path: copy.path().to_owned(), _copy: Some(copy) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
