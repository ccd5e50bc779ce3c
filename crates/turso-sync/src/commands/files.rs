//! Files that commands are given: what they are, and which of them may be written.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use tempfile::{NamedTempFile, TempDir};

use crate::output::{self, Usage};

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
    open_as(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Opens a database that exists, to read it.
pub(crate) fn open_to_read(path: &Path) -> anyhow::Result<Connection> {
    open_as(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn open_as(path: &Path, flags: OpenFlags) -> anyhow::Result<Connection> {
    expect_database(path)?;
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
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
    let folder = folder_of(out);
    if !folder.is_dir() {
        return Err(Usage::error(format!("there is no folder {}", folder.display())));
    }
    if !out.exists() {
        // SQLite would carry out what is in there on whatever has the name.
        for end in ["-wal", "-journal"] {
            let mut left = out.as_os_str().to_owned();
            left.push(end);
            if std::fs::metadata(&left).is_ok_and(|metadata| metadata.len() > 0) {
                return Err(Usage::error(format!(
                    "{} is left of an earlier database; remove it, or name another file",
                    Path::new(&left).display()
                )));
            }
        }
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

/// Writes a file such that it appears under its name only when it is complete and on disk.
pub(crate) fn write_whole(
    path: &Path,
    content: impl FnOnce(&mut dyn io::Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut builder = tempfile::Builder::new();
    // As for any other file: the user's mask says who else may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder_of(path)).with_context(cannot)?;
    let mut out = io::BufWriter::new(file.as_file_mut());
    content(&mut out)?;
    out.flush().with_context(cannot)?;
    drop(out);
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).map_err(|error| error.error).with_context(cannot)?;
    Ok(())
}

pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A file that is read: the one at `path`, or a copy of stdin for `-`.
#[derive(Debug)]
pub(crate) struct Given {
    path: PathBuf,
    /// Removed when the command ends.
    copy: Option<NamedTempFile>,
}

impl Given {
    pub(crate) fn new(path: &Path) -> anyhow::Result<Self> {
        if path != Path::new("-") {
            expect_file(path)?;
            return Ok(Self { path: path.to_owned(), copy: None });
        }
        let cannot = "cannot copy stdin to a temporary file";
        let mut copy = NamedTempFile::new().context(cannot)?;
        io::copy(&mut io::stdin().lock(), copy.as_file_mut()).context(cannot)?;
        Ok(Self { path: copy.path().to_owned(), copy: Some(copy) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Says which file an error is about, as the user knows it.
    pub(crate) fn name_in(&self, error: anyhow::Error) -> anyhow::Error {
        use libsql_diff::Error;
        let path = self.path.display().to_string();
        let name = if self.copy.is_some() { "stdin" } else { &path };
        match error.downcast_ref::<Error>() {
            Some(Error::Script { .. }) => Usage::error(format!("{name}: {error}")),
            Some(Error::Format { .. } | Error::Version { .. }) => {
                Usage::error(error.to_string().replace(&path, name))
            }
            _ => error,
        }
    }
}

/// Writes to a file, which appears only when it is complete, or else to stdout.
pub(crate) fn write_to(
    out: Option<&Path>,
    content: impl FnOnce(&mut dyn io::Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if let Some(path) = out {
        return write_whole(path, content);
    }
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    content(&mut stdout)?;
    stdout.flush().context("cannot write to stdout")
}

/// Writes over a database in one transaction, so that programs that have it open see the old one or
/// the new one.
pub(crate) fn overwrite(source: &Path, dest: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot replace {}", dest.display());
    let from = open_to_read(source)?;
    let mut to = open_database(dest)?;
    let outcome = Backup::new(&from, &mut to)
        .and_then(|copy| copy.step(-1))
        .map_err(with_message)
        .with_context(cannot)?;
    if outcome == StepResult::Done {
        return Ok(());
    }
    Err(output::locked(dest)).with_context(cannot)
}

/// The backup API gives codes without messages.
fn with_message(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(failure, text)
            if text.as_deref().is_none_or(|text| text == "not an error") =>
        {
            let text = rusqlite::ffi::code_to_str(failure.extended_code);
            rusqlite::Error::SqliteFailure(failure, Some(text.to_owned()))
        }
        error => error,
    }
}

/// Makes `dest` a copy of the database `source`, whatever database it was.
pub(crate) fn replace_copy(source: &Path, dest: &Path) -> anyhow::Result<()> {
    if dest.exists() && is_database(dest)? {
        return overwrite(source, dest);
    }
    expect_writable(dest, &[source])?;
    Scratch::of(&open_to_read(source)?, source, Some(dest))?.keep(dest)
}

/// A copy of a database on which something is tried or made, in a folder of its own that goes with
/// it.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) conn: Connection,
    folder: TempDir,
}

const SCRATCH_NAME: &str = "scratch.db";

impl Scratch {
    /// Copies the database behind `conn`, whose file is `path`, into a folder beside `beside` or
    /// the system's one for temporary files.
    pub(crate) fn of(
        conn: &Connection,
        path: &Path,
        beside: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let cannot = || format!("cannot copy {}", path.display());
        let folder = match beside {
            Some(beside) => TempDir::new_in(folder_of(beside)),
            None => TempDir::new(),
        };
        let folder = folder.with_context(cannot)?;
        let copy = || -> rusqlite::Result<(Connection, StepResult)> {
            let mut copy = Connection::open(folder.path().join(SCRATCH_NAME))?;
            // Nobody needs this file after a crash; `keep` flushes it.
            copy.execute_batch("PRAGMA synchronous = OFF")?;
            // All pages in one step: of one state, whatever other programs write meanwhile.
            let outcome = Backup::new(conn, &mut copy)?.step(-1)?;
            Ok((copy, outcome))
        };
        match copy().map_err(with_message).with_context(cannot)? {
            (conn, StepResult::Done) => Ok(Self { conn, folder }),
            _ => Err(output::locked(path)).with_context(cannot),
        }
    }

    /// Gives the copy its name, complete and on disk.
    pub(crate) fn keep(self, path: &Path) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", path.display());
        let Self { conn, folder } = self;
        // Everything into the one file.
        conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).with_context(cannot)?;
        conn.close().map_err(|(_, error)| error).with_context(cannot)?;
        let made = folder.path().join(SCRATCH_NAME);
        File::open(&made).and_then(|file| file.sync_all()).with_context(cannot)?;
        std::fs::rename(&made, path).with_context(cannot)
    }
}
