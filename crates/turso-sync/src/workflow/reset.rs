//! Back to what the server has.

use std::path::Path;

use super::pull::restore;
use super::push::settle;
use super::{Remote, apply_to, backup_path, carry_application_id, compare, copy_database};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::{Changes, ResetPreview, ResetReport};
use crate::state::{Folder, now, remove_database};

/// How to reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetOptions {
    /// Only look: what the server has is fetched and compared, and nothing is written. Nobody is
    /// asked then.
    pub dry_run: bool,
}

/// Makes the working file what the server has, after a copy of it was put aside.
///
/// `confirm` is asked before anything changes, and may say no.
///
/// # Errors
/// [`Error::Declined`] if it did; when the server cannot be reached, refuses, or contradicts
/// itself. The working file is then as it was.
pub fn reset(
    file: &Path,
    remote: &Remote,
    options: ResetOptions,
    confirm: &mut dyn FnMut(&ResetPreview) -> bool,
    progress: &dyn Progress,
) -> Result<ResetReport> {
    let folder = Folder::of(file);
    let _lock = folder.lock()?;
    let mut state = folder.state()?;
    let link = remote.open_known(&folder, &state)?;
    let local = if file.exists() {
        match compare(&folder.base(), file, progress) {
            Ok(diff) => Changes::of(diff.summary()),
            // It cannot be compared; that is when a reset is wanted most.
            Err(error) if is_damage(&error) => Changes::default(),
            // What would be lost has to be known.
            Err(error) => return Err(error),
        }
    } else {
        Changes::default()
    };
    let backup = file.exists().then(|| backup_path(&folder));
    let preview = ResetPreview { local, backup };
    let ResetOptions { dry_run } = options;
    if !dry_run && !confirm(&preview) {
        return Err(Error::Declined);
    }
    let ResetPreview { local, backup } = preview;
    if !dry_run {
        settle(&folder, &mut state, &link)?;
    }
    let incoming = folder.incoming();
    let fetched = crate::pull::fetch(&link, &state.url, &incoming, progress)?;
    let report = ResetReport { dry_run, local, backup, rows: fetched.rows, bytes: fetched.bytes };
    if dry_run {
        remove_database(&incoming)?;
        return Ok(report);
    }
    let backup = &report.backup;
    if let Some(backup) = backup {
        std::fs::create_dir_all(folder.backups())
            .map_err(Error::io(&folder.backups(), "creating the folder for backups"))?;
        if copy_database(file, backup).is_err() {
            // Too damaged for SQLite; its log, if it has one, belongs to it.
            for suffix in ["", "-wal", "-journal"] {
                let (from, to) =
                    (crate::state::beside(file, suffix), crate::state::beside(backup, suffix));
                if from.exists() {
                    std::fs::copy(&from, &to).map_err(Error::io(&to, "keeping a copy"))?;
                }
            }
        }
        carry_application_id(&folder.base(), &incoming)?;
        let changed =
            compare(file, &incoming, progress).and_then(|diff| apply_to(file, &diff, progress));
        match changed {
            Ok(()) => {}
            Err(error) if is_damage(&error) => restore(&folder, &incoming)?,
            Err(error) => {
                remove_database(&incoming)?;
                return Err(error);
            }
        }
    } else {
        restore(&folder, &incoming)?;
    }
    folder.replace_base(&incoming)?;
    state.pulled_at = Some(now());
    state.position = fetched.position;
    folder.save_state(&state)?;
    Ok(report)
}

fn is_damage(error: &Error) -> bool {
    let damaged = [rusqlite::ffi::SQLITE_CORRUPT, rusqlite::ffi::SQLITE_NOTADB];
    match error {
        Error::Diff(libsql_diff::Error::Damaged { .. }) => true,
        Error::Diff(error) => {
            error.sqlite_code().is_some_and(|code| damaged.contains(&(code & 0xff)))
        }
        _ => false,
    }
}
