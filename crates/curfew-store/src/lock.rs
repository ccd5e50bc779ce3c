//! One scheduler at a time: a lock file beside the database.

use std::{
    fmt, fs,
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use fs4::{FileExt, TryLockError};
use serde_json::json;

use crate::{StoreError, json};

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// What it is doing, like `curfew run`.
    pub command: String,
    /// Since when, as given to [`RunLock::acquire`].
    pub since: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, host, command, since } = self;
        write!(f, "`{command}`, process {pid} on {host}, since {since}")
    }
}

impl Holder {
    fn parse(text: &str) -> Option<Self> {
        let [pid, host, command, since] = json::pick(text, ["pid", "host", "command", "since"])?;
        let text = |value: Option<serde_json::Value>| Some(value?.as_str()?.to_owned());
        Some(Self {
            pid: u32::try_from(pid?.as_u64()?).ok()?,
            host: text(host)?,
            command: text(command)?,
            since: text(since)?,
        })
    }
}

/// The right to plan and write, held until it is dropped or the process ends in whatever way.
///
/// The lock belongs to the file `<database>.curfew-lock`, which says who holds it. That the file
/// exists means nothing: the operating system keeps the lock, and gives it up with the process.
#[derive(Debug)]
pub struct RunLock {
    file: fs::File,
    path: PathBuf,
}

impl RunLock {
    /// Takes the lock of a database, at once or not at all. `command` and `since` are for others
    /// to read.
    ///
    /// # Errors
    /// [`StoreError::Held`] if another scheduler has it, [`StoreError::LockFile`] if the file
    /// cannot be made or locked.
    pub fn acquire(
        database: impl AsRef<Path>,
        command: &str,
        since: &str,
    ) -> Result<Self, StoreError> {
        let database = database.as_ref();
        let path = Self::path_for(database);
        let fail = |source| StoreError::LockFile { lock: path.clone(), source };
        loop {
            let mut file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(fail)?;
            match FileExt::try_lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    // Where a locked file cannot be read, its holder stays unnamed.
                    let _ = file.read_to_string(&mut text);
                    return Err(StoreError::Held {
                        path: database.to_owned(),
                        lock: path.clone(),
                        holder: Holder::parse(&text).map(Box::new),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(fail(source)),
            }
            // The last holder may have removed the file after it was opened here: the lock is then
            // on a file that nobody else will ever find.
            if !is_file_at(&file, &path).map_err(fail)? {
                continue;
            }
            let holder = json!({
                "pid": std::process::id(),
                "host": gethostname::gethostname().to_string_lossy(),
                "command": command,
                "since": since,
            });
            let mut write = || {
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{holder}")?;
                file.flush()
            };
            write().map_err(fail)?;
            return Ok(Self { file, path });
        }
    }

    /// Where the lock file of a database is, however the path leads to it.
    pub fn path_for(database: &Path) -> PathBuf {
        let resolved = fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
        let mut name = resolved.into_os_string();
        name.push(".curfew-lock");
        name.into()
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Removed while it is held: who opens it from now on makes a new one, who opened it before
        // sees that it is gone. If removing fails, the file stays and means nothing.
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        } else {
            let _ = self.file.set_len(0);
        }
        let _ = FileExt::unlock(&self.file);
    }
}

/// Whether the open file is the one that the path leads to.
#[cfg(unix)]
fn is_file_at(file: &fs::File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok(found.dev() == ours.dev() && found.ino() == ours.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lock files are not removed here, see the implementation of [`Drop`].
#[cfg(not(unix))]
fn is_file_at(_: &fs::File, _: &Path) -> io::Result<bool> {
    Ok(true)
}
