//! The beginning: a base and a working file from what the server has.

use std::path::Path;

use libsql_diff::MergePolicy;
use rusqlite::Connection;

use super::pull::restore;
use super::{
    Remote, apply_to, carry_application_id, compare, copy_database, merged_with, require_file,
};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::{CONFLICTS_LISTED_MAX, Changes, Conflict, InitReport};
use crate::state::{Folder, State, now, remove_database};

/// What to do with a working file that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Keep it if the server is empty: all of it is then pushed. Else [`Error::BothExist`].
    #[default]
    KeepIfRemoteIsEmpty,
    /// Bring it together with what the server has: what only one of them has stays, what both have
    /// alike is one. What both have differently is settled so.
    Merge(MergePolicy),
}

/// How to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InitOptions {
    /// What to do with a working file that is there already.
    pub existing: Existing,
    /// Only look: what the server has is fetched and compared, and nothing is written.
    pub dry_run: bool,
}

impl From<Existing> for InitOptions {
    fn from(existing: Existing) -> Self {
        Self { existing, dry_run: false }
    }
}

/// Begins to sync `file` with a server.
///
/// Without a file, the server's content is fetched into it. It may be repeated after a failure.
///
/// # Errors
/// [`Error::NoUrl`], [`Error::AlreadyInitialized`], [`Error::BothExist`]; and when the server
/// cannot be reached, refuses, or contradicts itself.
pub fn init(
    file: &Path,
    remote: &Remote,
    options: impl Into<InitOptions>,
    progress: &dyn Progress,
) -> Result<InitReport> {
    let InitOptions { existing, dry_run } = options.into();
    let url = remote.url.as_ref().ok_or(Error::NoUrl)?;
    require_place(file)?;
    let folder = Folder::of(file);
    if dry_run {
        return preview(&folder, remote, existing, progress);
    }
    let had_folder = folder.path().exists();
    folder.create()?;
    let lock = folder.lock()?;
    if folder.is_initialized() {
        return Err(Error::AlreadyInitialized {
            file: file.to_owned(),
            folder: folder.path().to_owned(),
            url: folder.state()?.url,
        });
    }
    let outcome = begin(&folder, remote, url.base(), existing, progress);
    let is_done =
        outcome.as_ref().is_ok_and(|report| report.conflicts_count == 0) || folder.is_initialized();
    if !is_done && !had_folder {
        drop(lock);
        // Nothing in it means anything yet.
        let _ = std::fs::remove_dir_all(folder.path());
    }
    outcome
}

/// A mistyped folder is not created, and a folder is no file.
fn require_place(file: &Path) -> Result<()> {
    let what = if file.is_dir() {
        "it is a directory; name a file in it".to_owned()
    } else {
        match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                format!("there is no folder {}; make it first", folder.display())
            }
            _ => return Ok(()),
        }
    };
    Err(Error::NoPlace { file: file.to_owned(), what })
}

/// Begins with a copy of the file, which goes with all that was made of it.
fn preview(
    folder: &Folder,
    remote: &Remote,
    existing: Existing,
    progress: &dyn Progress,
) -> Result<InitReport> {
    if folder.is_initialized() {
        return Err(Error::AlreadyInitialized {
            file: folder.file().to_owned(),
            folder: folder.path().to_owned(),
            url: folder.state()?.url,
        });
    }
    let place = tempfile::tempdir()
        .map_err(Error::io(&std::env::temp_dir(), "creating a folder for intermediate files"))?;
    let copy = place.path().join("copy.db");
    if folder.file().exists() {
        copy_database(folder.file(), &copy)?;
    }
    let copy_options = InitOptions { existing, dry_run: false };
    let report = init(&copy, remote, copy_options, progress).map_err(|error| match error {
        Error::BothExist { url, .. } => Error::BothExist { file: folder.file().to_owned(), url },
        error => error,
    })?;
    Ok(InitReport { dry_run: true, ..report })
}

/// Begins to sync `file`, which was made from `base`, itself a copy of what the server has or had.
///
/// The server is not asked. What the file has and the base has not is pushed next; a row that the
/// server has otherwise than the base is then a conflict.
///
/// # Errors
/// [`Error::NoUrl`], [`Error::AlreadyInitialized`], [`Error::FileMissing`].
pub fn adopt(file: &Path, base: &Path, remote: &Remote) -> Result<()> {
    let url = remote.url.as_ref().ok_or(Error::NoUrl)?;
    require_place(file)?;
    require_file(file)?;
    let folder = Folder::of(file);
    folder.create()?;
    let _lock = folder.lock()?;
    if folder.is_initialized() {
        return Err(Error::AlreadyInitialized {
            file: file.to_owned(),
            folder: folder.path().to_owned(),
            url: folder.state()?.url,
        });
    }
    let incoming = folder.incoming();
    copy_database(base, &incoming)?;
    folder.replace_base(&incoming)?;
    folder.save_state(&State::new(url.base()))
}

fn begin(
    folder: &Folder,
    remote: &Remote,
    url: String,
    existing: Existing,
    progress: &dyn Progress,
) -> Result<InitReport> {
    let address = remote.url.as_ref().ok_or(Error::NoUrl)?;
    let link = remote.open(address)?;
    let (incoming, file) = (folder.incoming(), folder.file());
    let fetched = crate::pull::fetch(&link, &url, &incoming, progress)?;
    let mut report = InitReport {
        dry_run: false,
        url: url.clone(),
        tables: fetched.tables,
        rows: fetched.rows,
        bytes: fetched.bytes,
        kept_file: file.exists(),
        local: Changes::default(),
        conflicts_count: 0,
        conflicts: Vec::new(),
    };
    let mut state = State::new(url.clone());
    state.pulled_at = Some(now());
    state.position = fetched.position;
    if !file.exists() {
        folder.replace_base(&incoming)?;
        // From here on, a pull brings the file back that is not there yet.
        folder.save_state(&state)?;
        restore(folder, &folder.base())?;
        return Ok(report);
    }
    carry_application_id(file, &incoming)?;
    let is_empty = fetched.tables == 0;
    if !is_empty {
        let Existing::Merge(policy) = existing else {
            remove_database(&incoming)?;
            return Err(Error::BothExist { file: file.to_owned(), url });
        };
        // Nothing is known of a common past: everything was added by either side.
        let nothing = folder.path().join("nothing.db");
        create_empty(&nothing, file)?;
        let ours = compare(&nothing, file, progress)?;
        let theirs = compare(&nothing, &incoming, progress)?;
        let files = (&*nothing, file, &*incoming);
        let merge = merged_with(files, &ours, &theirs, policy, progress)?;
        remove_database(&nothing)?;
        report.conflicts_count = merge.conflicts_count;
        report.conflicts =
            merge.conflicts.iter().take(CONFLICTS_LISTED_MAX).map(Conflict::of).collect();
        let Some(diff) = merge.diff else {
            remove_database(&incoming)?;
            return Ok(report);
        };
        apply_to(file, &diff, progress)?;
        report.conflicts_count = 0;
    }
    folder.replace_base(&incoming)?;
    folder.save_state(&state)?;
    report.local = Changes::of(compare(&folder.base(), file, progress)?.summary());
    Ok(report)
}

/// A database without anything, besides the settings of `like`.
pub(super) fn create_empty(path: &Path, like: &Path) -> Result<()> {
    remove_database(path)?;
    Connection::open(path)
        .and_then(|conn| conn.execute_batch("PRAGMA user_version = 1; PRAGMA user_version = 0"))
        .map_err(Error::sqlite(path, "creating an empty database"))?;
    carry_application_id(like, path)
}
