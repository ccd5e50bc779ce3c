//! The workflows: what the commands do, without talking to anybody.

mod begin;
mod copy;
mod init;
mod pull;
mod push;
mod reset;
mod status;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use libsql_diff::{ApplyOptions, Databases, Diff, Merge, MergePolicy, Setting};
use libsql_link::blocking::Link;
use libsql_link::{Location, Options, RemoteUrl, Token};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result};
use crate::progress::{Progress, Step, watch as watched};
use crate::state::{Folder, State, remove_database, sync_file};

pub use begin::{Begun, begin};
pub use copy::{CopyOptions, Place, copy};
pub use init::{Existing, InitOptions, adopt, init};
pub use pull::{PullOptions, pull};
pub use push::{PushOptions, push};
pub use reset::{ResetOptions, reset};
pub use status::status;
pub use watch::{Stop, WatchEvent, WatchOptions, watch};

/// How long to wait for another program's lock on a local file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The server, and how to talk to it.
#[derive(Clone, Debug, Default)]
pub struct Remote {
    /// Its address; None for the one in the state folder.
    pub url: Option<RemoteUrl>,
    /// Token, deadlines, retries, cancellation.
    pub options: Options,
}

impl Remote {
    /// The server at `url`, which may hold a token as `?authToken=`; `token` counts if both are
    /// given. Without a URL it is the one in the state folder.
    ///
    /// # Errors
    /// [`Error::Link`] for an address or token that is none, or for the address of a file.
    pub fn new(url: Option<&str>, token: Option<&str>) -> Result<Self> {
        let mut remote = Self::default();
        let mut found = None;
        if let Some(url) = url {
            let (location, in_url) = Location::parse(url)?;
            let Location::Remote(address) = location else {
                return Err(Error::Unsupported {
                    subject: location.to_string(),
                    what: "it is no server; an address is such as libsql://host".to_owned(),
                });
            };
            remote.url = Some(address);
            found = in_url;
        }
        if let Some(token) = token {
            found = Some(Token::new(token)?);
        }
        remote.options = remote.options.token(found);
        Ok(remote)
    }

    fn open(&self, url: &RemoteUrl) -> Result<Link> {
        Ok(Link::open(&Location::Remote(url.clone()), self.options.clone())?)
    }

    /// Opens the server that the state folder names; another one must not be given.
    fn open_known(&self, folder: &Folder, state: &State) -> Result<Link> {
        let (Location::Remote(url), _) = Location::parse(&state.url)? else {
            return Err(Error::StateDamaged {
                path: folder.path().join("state.json"),
                what: format!("{} is no address of a server", state.url),
            });
        };
        if let Some(given) = &self.url
            && given.base() != url.base()
        {
            return Err(Error::OtherUrl {
                file: folder.file().to_owned(),
                folder: folder.path().to_owned(),
                known: url.base(),
                given: given.base(),
            });
        }
        self.open(&url)
    }
}

/// What the working file has that the base has not.
///
/// # Errors
/// [`Error::NotInitialized`] without a state folder, [`Error::FileMissing`] without the file.
pub fn diff(file: &Path, progress: &dyn Progress) -> Result<Diff> {
    let folder = Folder::of(file);
    folder.state()?;
    require_file(file)?;
    compare(&folder.base(), file, progress)
}

/// The file with what both sides had when they were last in step; it must not be written to.
///
/// # Errors
/// [`Error::NotInitialized`] without a state folder.
pub fn base(file: &Path) -> Result<PathBuf> {
    let folder = Folder::of(file);
    folder.state()?;
    Ok(folder.base())
}

fn require_file(file: &Path) -> Result<()> {
    if file.exists() { Ok(()) } else { Err(Error::FileMissing { file: file.to_owned() }) }
}

fn compare(a: &Path, b: &Path, progress: &dyn Progress) -> Result<Diff> {
    progress.step(Step::Comparing);
    Ok(libsql_diff::diff_with(a, b, &libsql_diff::Options::default(), &mut watched(progress))?)
}

/// Brings two sides' changes together; the files are the base, ours and theirs.
fn merged_with(
    (base, ours, theirs): (&Path, &Path, &Path),
    our_changes: &Diff,
    their_changes: &Diff,
    policy: MergePolicy,
    progress: &dyn Progress,
) -> Result<Merge> {
    Ok(libsql_diff::merge_databases(
        &Databases { base, ours, theirs },
        our_changes,
        their_changes,
        policy,
        &libsql_diff::Options::default(),
        &mut watched(progress),
    )?)
}

/// Carries a diff out on a file that other programs use.
fn apply_to(file: &Path, diff: &Diff, progress: &dyn Progress) -> Result<()> {
    progress.step(Step::Writing);
    progress.total(diff.summary().rows_changed());
    let conn = open_working(file)?;
    libsql_diff::apply_with(diff, &conn, &ApplyOptions::default(), &mut watched(progress))?;
    Ok(())
}

/// Opens a file that other programs use, without side effects besides those asked for.
fn open_working(file: &Path) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(file, flags)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // A pull must be on disk before the base says that it was.
        conn.execute_batch("PRAGMA synchronous = FULL")?;
        Ok(conn)
    };
    open().map_err(Error::sqlite(file, "opening"))
}

/// Copies one state of a database, its log included, into a new file, and brings it to the disk.
fn copy_database(from: &Path, to: &Path) -> Result<()> {
    remove_database(to)?;
    let conn = open_working(from)?;
    let copy = || -> rusqlite::Result<()> {
        let mut target = Connection::open(to)?;
        target.execute_batch("PRAGMA synchronous = OFF")?;
        // In one step it holds one state, whoever writes meanwhile.
        let outcome = Backup::new(&conn, &mut target)?.step(-1)?;
        if outcome != StepResult::Done {
            // It has waited as long as for any lock.
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            return Err(rusqlite::Error::SqliteFailure(busy, Some("database is locked".into())));
        }
        target.execute_batch("PRAGMA journal_mode = DELETE")?;
        target.close().map_err(|(_, error)| error)
    };
    copy().map_err(Error::sqlite(from, format!("copying to {}", to.display())))?;
    sync_file(to)
}

/// The server cannot keep an `application_id`: what the file has stays.
fn carry_application_id(from: &Path, to: &Path) -> Result<()> {
    let pragma = Setting::ApplicationId.pragma();
    let read = || -> rusqlite::Result<i64> {
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?.query_row(
            &format!("PRAGMA {pragma}"),
            [],
            |row| row.get(0),
        )
    };
    let id = read().map_err(Error::sqlite(from, "reading its settings"))?;
    if id != 0 {
        Connection::open(to)
            .and_then(|conn| conn.execute_batch(&format!("PRAGMA {pragma} = {id}")))
            .map_err(Error::sqlite(to, "writing its settings"))?;
        sync_file(to)?;
    }
    Ok(())
}

fn backup_path(folder: &Folder) -> PathBuf {
    let time = crate::state::now().replace(':', "");
    let name = folder.file().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut path = folder.backups().join(format!("{name}.{time}"));
    let mut number = 1;
    while path.exists() {
        number += 1;
        path = folder.backups().join(format!("{name}.{time}.{number}"));
    }
    path
}
