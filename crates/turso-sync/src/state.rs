//! The state folder beside the working file.
//!
//! ```text
//! plan.db                 the working file
//! plan.db.sync/
//!   lock                  locked while a command works; names the process that holds it
//!   state.json            format, address, identity of this copy, times
//!   base.db               what both sides had when they were last in step
//!   incoming.db           while a pull fetches; without meaning afterwards
//!   backups/              the working file before a reset
//!   push/                 the push under way, if any
//!     journal.json        its identity; the push exists if this file does
//!     changes.diff        what it changes
//!     target.db           the base after it
//! ```
//!
//! Files appear under their names only when they are complete and on disk. There is no token in
//! any of them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use libsql_link::Position;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The format of the state folder that is written, and the newest that is read.
pub const STATE_FORMAT: u32 = 1;

/// What `state.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) format: u32,
    /// Who this copy is, towards the server: random, no secret.
    pub(crate) client: String,
    /// The server's address, without token.
    pub(crate) url: String,
    pub(crate) created_at: String,
    /// When the base was last fetched.
    pub(crate) pulled_at: Option<String>,
    /// When changes were last pushed.
    pub(crate) pushed_at: Option<String>,
    /// The last push that the server carried out.
    pub(crate) last_push: Option<String>,
    /// Where the server stood before the base was fetched from it; None where it does not tell, or
    /// if the base came from a push.
    #[serde(default)]
    pub(crate) position: Option<Position>,
}

impl State {
    pub(crate) fn new(url: String) -> Self {
        Self {
            format: STATE_FORMAT,
            client: random_id(),
            url,
            created_at: now(),
            pulled_at: None,
            pushed_at: None,
            last_push: None,
            position: None,
        }
    }
}

/// What `push/journal.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub(crate) format: u32,
    /// The push's identity on the server: random, used once.
    pub(crate) push: String,
    /// How the changes are cut into chunks; chunks of another encoding cannot be added to.
    pub(crate) encoding: u32,
    pub(crate) begun_at: String,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// The server may or may not have carried the push out.
    Sending,
    /// It has; what remains is to be done here.
    Applied,
}

/// Random, in hex: 128 bits.
pub(crate) fn random_id() -> String {
    format!("{:032x}", u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..)))
}

/// The time to the second, such as `2026-11-20T08:15:00Z`.
pub(crate) fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// A path with something put behind its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A working file and its state folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    file: PathBuf,
    path: PathBuf,
}

impl Folder {
    pub(crate) fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), path: beside(file, ".sync") }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.path.join("base.db")
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        self.path.join("incoming.db")
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.path.join("backups")
    }

    fn push(&self) -> PathBuf {
        self.path.join("push")
    }

    pub(crate) fn changes(&self) -> PathBuf {
        self.push().join("changes.diff")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.push().join("target.db")
    }

    fn journal_path(&self) -> PathBuf {
        self.push().join("journal.json")
    }

    fn state_path(&self) -> PathBuf {
        self.path.join("state.json")
    }

    /// Whether the folder belongs to a file that was initialized.
    pub(crate) fn is_initialized(&self) -> bool {
        self.state_path().exists()
    }

    /// Locks the folder against other processes until the lock is dropped.
    pub(crate) fn lock(&self) -> Result<Lock> {
        if !self.path.is_dir() {
            return Err(Error::NotInitialized { file: self.file.clone() });
        }
        Lock::take(&self.path)
    }

    pub(crate) fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.path).map_err(Error::io(&self.path, "creating the state folder"))
    }

    pub(crate) fn state(&self) -> Result<State> {
        let path = self.state_path();
        let state: State =
            read_json(&path)?.ok_or_else(|| Error::NotInitialized { file: self.file.clone() })?;
        check_format(&path, state.format)?;
        if !self.base().exists() {
            let what = "it is missing".to_owned();
            return Err(Error::StateDamaged { path: self.base(), what });
        }
        Ok(state)
    }

    pub(crate) fn save_state(&self, state: &State) -> Result<()> {
        write_json(&self.state_path(), state)
    }

    /// The push under way.
    pub(crate) fn journal(&self) -> Result<Option<Journal>> {
        let path = self.journal_path();
        let Some(journal) = read_json::<Journal>(&path)? else { return Ok(None) };
        check_format(&path, journal.format)?;
        Ok(Some(journal))
    }

    /// An empty folder for a new push.
    pub(crate) fn begin_push(&self) -> Result<()> {
        self.end_push()?;
        let push = self.push();
        fs::create_dir_all(&push).map_err(Error::io(&push, "creating the journal"))
    }

    pub(crate) fn save_journal(&self, journal: &Journal) -> Result<()> {
        write_json(&self.journal_path(), journal)
    }

    /// Forgets the push: first that it exists, then what belongs to it.
    pub(crate) fn end_push(&self) -> Result<()> {
        remove(&self.journal_path())?;
        let push = self.push();
        match fs::remove_dir_all(&push) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&push, "removing the journal")(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes a complete database file, of which nobody has a connection open, the new base.
    pub(crate) fn replace_base(&self, with: &Path) -> Result<()> {
        let base = self.base();
        sync_file(with)?;
        // The former base's, if a command was killed while it had them.
        for suffix in ["-wal", "-shm", "-journal"] {
            remove(&beside(&base, suffix))?;
        }
        fs::rename(with, &base).map_err(Error::io(&base, "replacing the base"))?;
        sync_folder(&self.path)
    }
}

/// A locked state folder.
#[derive(Debug)]
pub(crate) struct Lock {
    // Unlocked by the system when it is closed, however the process ends.
    _file: File,
}

impl Lock {
    fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io(&path, "opening the lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who it is only makes the message better.
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    holder => holder.to_owned(),
                };
                return Err(Error::Locked { folder: folder.to_owned(), holder });
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(Error::io(&path, "locking")(error));
            }
        }
        let holder = format!("process {} since {}\n", std::process::id(), now());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(Error::io(&path, "writing the lock"))?;
        Ok(Self { _file: file })
    }
}

fn check_format(path: &Path, found: u32) -> Result<()> {
    if found <= STATE_FORMAT {
        return Ok(());
    }
    Err(Error::StateVersion { path: path.to_owned(), found, known: STATE_FORMAT })
}

/// What all formats of all files have.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// None if the file is not there.
fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path, "reading")(error)),
    };
    // A later format may lack what this one needs.
    if let Ok(Format { format }) = serde_json::from_str(&text) {
        check_format(path, format)?;
    }
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| Error::StateDamaged { path: path.to_owned(), what: error.to_string() })
}

/// The file appears, or is replaced, only when the new one is on disk.
fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let io = Error::io(path, "writing");
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, value)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(io)?;
    sync_folder(folder)
}

/// Brings a file's content to the disk.
pub(crate) fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path, "writing to disk"))
}

/// Brings a folder's names to the disk.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(windows) {
        // Folders cannot be opened there, and renames are on disk by themselves.
        return Ok(());
    }
    sync_file(path)
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(path, "removing")(error))
        }
        _ => Ok(()),
    }
}

/// Removes a database file with what belongs to it.
pub(crate) fn remove_database(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        remove(&beside(path, suffix))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_holds_the_lock() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::of(&place.path().join("plan.db"));
        assert!(matches!(folder.lock(), Err(Error::NotInitialized { .. })));
        folder.create().unwrap();
        let lock = folder.lock().unwrap();
        let error = folder.lock().unwrap_err();
        let holder = format!("in use by process {} since ", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
        drop(lock);
        folder.lock().unwrap();
    }

    #[test]
    fn a_state_of_a_later_format_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::of(&place.path().join("plan.db"));
        folder.create().unwrap();
        fs::write(folder.state_path(), r#"{"format": 2, "shape": "another"}"#).unwrap();
        assert!(matches!(folder.state(), Err(Error::StateVersion { found: 2, .. })));
        fs::write(folder.state_path(), r#"{"format": 1, "client"#).unwrap();
        assert!(matches!(folder.state(), Err(Error::StateDamaged { .. })));
    }

    #[test]
    fn identities_differ() {
        assert_ne!(random_id(), random_id());
        assert_eq!(random_id().len(), 32);
    }
}
