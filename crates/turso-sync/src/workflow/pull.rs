//! What is new on the server comes in; local changes stay.

use std::path::Path;

use libsql_diff::{ApplyOptions, Diff, MergePolicy};
use libsql_link::blocking::Link;

use super::push::settle;
use super::{Remote, carry_application_id, compare, merged_with, open_working};
use crate::error::{Error, Result};
use crate::progress::{Progress, Step, watch};
use crate::push::schema::Schema;
use crate::report::{CONFLICTS_LISTED_MAX, Changes, Conflict, PullEnd, PullReport};
use crate::state::{Folder, State, now, remove_database};

/// How often merging begins anew because somebody changed the working file meanwhile.
const ATTEMPTS_MAX: u32 = 5;

/// How to pull.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Who wins where both sides changed the same; nobody unless set.
    pub policy: MergePolicy,
    /// Only look: neither the working file nor the base changes.
    pub dry_run: bool,
}

/// Fetches what the server has and brings what is new into the working file.
///
/// Nothing is fetched if the server says that nothing was written since the last time.
///
/// Local changes stay. The working file changes in one transaction of SQLite's, so that other
/// programs may have it open; a failure leaves it as it was.
///
/// # Errors
/// When the server cannot be reached, refuses, or contradicts itself;
/// [`Error::KeepsChanging`] when another program does not stop changing the file. Conflicts are no
/// error but a [`PullEnd::Conflict`].
pub fn pull(
    file: &Path,
    remote: &Remote,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<PullReport> {
    let folder = Folder::of(file);
    let _lock = folder.lock()?;
    let mut state = folder.state()?;
    let link = remote.open_known(&folder, &state)?;
    if !options.dry_run {
        settle(&folder, &mut state, &link)?;
    }
    if file.exists() && stands_still(&state, &link)? {
        return unchanged(&folder, &mut state, options, progress);
    }
    let incoming = folder.incoming();
    let fetched = crate::pull::fetch(&link, &state.url, &incoming, progress)?;
    state.position = fetched.position;
    let mut report = PullReport {
        end: PullEnd::Nothing,
        rows: fetched.rows,
        bytes: fetched.bytes,
        incoming: Changes::default(),
        local: Changes::default(),
        reason: None,
        conflicts_count: 0,
        conflicts: Vec::new(),
    };
    let outcome = bring_in(&folder, &mut state, options, &mut report, progress);
    let removed = remove_database(&incoming);
    outcome?;
    removed?;
    Ok(report)
}

/// Whether the server surely has what the base has.
pub(super) fn stands_still(state: &State, link: &Link) -> Result<bool> {
    let Some(known) = &state.position else { return Ok(false) };
    Ok(link.position()?.as_ref() == Some(known))
}

/// A pull from a server that was not written to.
fn unchanged(
    folder: &Folder,
    state: &mut State,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<PullReport> {
    let ours = compare(&folder.base(), folder.file(), progress)?;
    if !options.dry_run {
        state.pulled_at = Some(now());
        folder.save_state(state)?;
    }
    Ok(PullReport {
        end: if options.dry_run { PullEnd::DryRun } else { PullEnd::Nothing },
        rows: 0,
        bytes: 0,
        incoming: Changes::default(),
        local: Changes::of(ours.summary()),
        reason: None,
        conflicts_count: 0,
        conflicts: Vec::new(),
    })
}

/// From the fetched file into the working file, then into the base.
fn bring_in(
    folder: &Folder,
    state: &mut State,
    options: &PullOptions,
    report: &mut PullReport,
    progress: &dyn Progress,
) -> Result<()> {
    let (base, incoming, file) = (folder.base(), folder.incoming(), folder.file());
    // That everything was deleted is possible, that a server came up without its data more likely.
    if Schema::of_file(&incoming)?.has_no_table() && !Schema::of_file(&base)?.has_no_table() {
        return Err(Error::ServerEmpty {
            url: state.url.clone(),
            file: file.to_owned(),
            folder: folder.path().to_owned(),
        });
    }
    carry_application_id(&base, &incoming)?;
    let theirs = compare(&base, &incoming, progress)?;
    if file.exists() {
        merge_into_file(folder, &theirs, options, report, progress)?;
        if matches!(report.end, PullEnd::Conflict | PullEnd::DryRun) {
            return Ok(());
        }
    } else {
        // It was lost, or init was interrupted: there is nothing to merge with.
        report.incoming = Changes::of(theirs.summary());
        if options.dry_run {
            report.end = PullEnd::DryRun;
            return Ok(());
        }
        restore(folder, &incoming)?;
        report.end = PullEnd::Pulled;
    }
    // The working file first: had the base what it has not, that would look like a local deletion.
    if !theirs.is_empty() {
        folder.replace_base(&incoming)?;
    }
    state.pulled_at = Some(now());
    folder.save_state(state)
}

/// Puts a copy of `incoming` in the place of a missing working file.
pub(super) fn restore(folder: &Folder, incoming: &Path) -> Result<()> {
    let copy = folder.path().join("restored.db");
    // Nobody else knows the file, and nothing of it is in a log: its bytes are all there is.
    std::fs::copy(incoming, &copy).map_err(Error::io(&copy, "copying the base"))?;
    crate::state::sync_file(&copy)?;
    // What may be left of the lost file would be taken for the new one's.
    remove_database(folder.file())?;
    std::fs::rename(&copy, folder.file())
        .map_err(Error::io(folder.file(), "putting the file in its place"))?;
    if let Some(parent) = folder.path().parent() {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        crate::state::sync_folder(parent)?;
    }
    Ok(())
}

fn merge_into_file(
    folder: &Folder,
    theirs: &Diff,
    options: &PullOptions,
    report: &mut PullReport,
    progress: &dyn Progress,
) -> Result<()> {
    let file = folder.file();
    let mut former: Option<Diff> = None;
    for _ in 0..ATTEMPTS_MAX {
        let ours = compare(&folder.base(), file, progress)?;
        report.local = Changes::of(ours.summary());
        if theirs.is_empty() {
            report.end = if options.dry_run { PullEnd::DryRun } else { PullEnd::Nothing };
            return Ok(());
        }
        let merged;
        let changes = if ours.is_empty() {
            theirs
        } else {
            let incoming = folder.incoming();
            let files = (&*folder.base(), file, &*incoming);
            let merge = merged_with(files, &ours, theirs, options.policy, progress)?;
            report.conflicts_count = merge.conflicts_count;
            report.conflicts =
                merge.conflicts.iter().take(CONFLICTS_LISTED_MAX).map(Conflict::of).collect();
            let Some(diff) = merge.diff else {
                report.end = PullEnd::Conflict;
                return Ok(());
            };
            merged = diff;
            &merged
        };
        report.incoming = Changes::of(changes.summary());
        if options.dry_run {
            report.end = PullEnd::DryRun;
            return Ok(());
        }
        progress.step(Step::Writing);
        progress.total(changes.summary().rows_changed());
        let conn = open_working(file)?;
        let applied =
            libsql_diff::apply_with(changes, &conn, &ApplyOptions::default(), &mut watch(progress));
        // Without this, the file would stay open while it is compared again.
        drop(conn);
        match applied {
            Ok(_) => {
                report.end = PullEnd::Pulled;
                return Ok(());
            }
            Err(
                error @ (libsql_diff::Error::Conflict(_)
                | libsql_diff::Error::RowCount { .. }
                | libsql_diff::Error::ForeignKeys { .. }),
            ) => {
                // Either somebody wrote between comparing and applying, or what both sides did
                // cannot stand together, as two rows with one unique value.
                if former.as_ref().is_some_and(|former| is_same(former, &ours)) {
                    report.end = PullEnd::Conflict;
                    report.reason = Some(error.to_string());
                    return Ok(());
                }
                former = Some(ours);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::KeepsChanging { file: file.to_owned() })
}

fn is_same(a: &Diff, b: &Diff) -> bool {
    a.size_bytes() == b.size_bytes() && a.summary() == b.summary()
}
