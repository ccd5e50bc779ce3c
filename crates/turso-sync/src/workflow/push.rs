//! Local changes go to the server.

use std::path::Path;

use libsql_diff::{Diff, MergePolicy, Setting};
use libsql_link::blocking::Link;

use super::{Remote, compare, copy_database, require_file};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::push::{ENCODING, Fate, Outcome, Push, Reason, abandon, fate};
use crate::report::{CONFLICTS_LISTED_MAX, Changes, Conflict, PushEnd, PushReport};
use crate::state::{Folder, Journal, Phase, STATE_FORMAT, State, now, random_id, sync_file};

/// How to push.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// Only look: the server is not written to, and not even asked.
    pub dry_run: bool,
}

/// Sends what the working file has that the base has not, and makes it the new base.
///
/// All of it is applied on the server, or nothing. Whenever this is interrupted, running it again
/// ends in the same state as if it had not been.
///
/// # Errors
/// When the server cannot be reached or refuses; [`Error::Undecided`] when it is not known whether
/// it carried the push out. A row that changed on the server meanwhile is no error but a
/// [`PushEnd::Conflict`].
pub fn push(
    file: &Path,
    remote: &Remote,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<PushReport> {
    let folder = Folder::of(file);
    let _lock = folder.lock()?;
    let mut state = folder.state()?;
    require_file(file)?;
    let mut report = PushReport {
        end: PushEnd::Nothing,
        changes: Changes::default(),
        resumed: false,
        reason: None,
        conflicts_count: 0,
        conflicts: Vec::new(),
        notes: Vec::new(),
    };
    if !options.dry_run
        && let Some(journal) = folder.journal()?
    {
        if journal.phase == Phase::Applied {
            finish(&folder, &mut state, &journal)?;
        } else {
            let link = remote.open_known(&folder, &state)?;
            // Else it was given up: its changes are still in the working file.
            if let Some(changes) = resume(&folder, &mut state, &link, &journal, progress)? {
                report.resumed = true;
                report.end = PushEnd::Pushed;
                report.changes = changes;
            }
        }
    }
    // Cheaper than the copy that a push needs, if there is nothing to push.
    let changes = compare(&folder.base(), file, progress)?;
    if changes.is_empty() {
        return Ok(report);
    }
    report.notes = notes(&changes);
    if options.dry_run {
        report.end = PushEnd::DryRun;
        report.changes = Changes::of(changes.summary());
        return Ok(report);
    }
    let link = remote.open_known(&folder, &state)?;
    folder.begin_push()?;
    copy_database(file, &folder.target())?;
    let changes = compare(&folder.base(), &folder.target(), progress)?;
    changes.save(folder.changes())?;
    sync_file(&folder.changes())?;
    let journal = Journal {
        format: STATE_FORMAT,
        push: random_id(),
        encoding: ENCODING,
        begun_at: now(),
        phase: Phase::Sending,
    };
    folder.save_journal(&journal)?;
    report.changes = Changes::of(changes.summary());
    match send(&folder, &mut state, &link, &journal, &changes, true, progress)? {
        None => report.end = PushEnd::Pushed,
        Some(reason) => {
            report.end = PushEnd::Conflict;
            explain(&folder, &link, &state, &reason, &mut report, progress);
        }
    }
    Ok(report)
}

/// What cannot travel.
fn notes(changes: &Diff) -> Vec<String> {
    let is_application_id = |setting: Setting| setting == Setting::ApplicationId;
    let settings = &changes.summary().settings;
    if settings.iter().any(|change| is_application_id(change.setting)) {
        vec!["a server cannot keep application_id; it stays in the file".to_owned()]
    } else {
        Vec::new()
    }
}

/// Runs a push to its end. Some reason if the server's database does not fit it; the push is then
/// given up.
fn send(
    folder: &Folder,
    state: &mut State,
    link: &Link,
    journal: &Journal,
    changes: &Diff,
    is_new: bool,
    progress: &dyn Progress,
) -> Result<Option<Reason>> {
    let (url, base) = (state.url.clone(), folder.base());
    let client = state.client.clone();
    let push = Push {
        link,
        url: &url,
        id: &journal.push,
        is_new,
        client: &client,
        diff: changes,
        base: &base,
        progress,
    };
    match push.run() {
        Ok(Outcome::Applied) => {
            finish(folder, state, journal)?;
            Ok(None)
        }
        Ok(Outcome::Conflict(reason)) => {
            give_up(folder, state, link, journal)?;
            Ok(Some(reason))
        }
        // Another attempt would end the same way; the next push begins with what is there then.
        Err(error) if !error.is_transient() && !may_be_applied(&error) => {
            give_up(folder, state, link, journal)?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn may_be_applied(error: &Error) -> bool {
    match error {
        Error::Link(error) => error.may_have_been_applied(),
        Error::Undecided { .. } => true,
        _ => false,
    }
}

/// The server has the changes: what is left is to be done here.
fn finish(folder: &Folder, state: &mut State, journal: &Journal) -> Result<()> {
    if journal.phase != Phase::Applied {
        folder.save_journal(&Journal { phase: Phase::Applied, ..journal.clone() })?;
    }
    let target = folder.target();
    // Gone if this was interrupted after it became the base.
    if target.exists() {
        folder.replace_base(&target)?;
    }
    state.pushed_at = Some(now());
    state.last_push = Some(journal.push.clone());
    // Others may have written other rows meanwhile, which no number tells apart from the push.
    state.position = None;
    folder.save_state(state)?;
    folder.end_push()
}

/// Makes sure that the push is not carried out any more, and forgets it, unless it was carried out.
fn give_up(folder: &Folder, state: &mut State, link: &Link, journal: &Journal) -> Result<Fate> {
    let fate = abandon(link, &state.url, &journal.push, &state.client)?;
    match fate {
        Fate::Applied => finish(folder, state, journal)?,
        _ => folder.end_push()?,
    }
    Ok(fate)
}

/// Brings an interrupted push to its end. None if it was given up; its changes are then still
/// local ones.
fn resume(
    folder: &Folder,
    state: &mut State,
    link: &Link,
    journal: &Journal,
    progress: &dyn Progress,
) -> Result<Option<Changes>> {
    let changes = Diff::open(folder.changes()).ok().filter(|_| folder.target().exists());
    let summary =
        changes.as_ref().map(|changes| Changes::of(changes.summary())).unwrap_or_default();
    match fate(link, &state.url, &journal.push)? {
        Fate::Applied => {
            finish(folder, state, journal)?;
            return Ok(Some(summary));
        }
        Fate::Abandoned => {
            folder.end_push()?;
            return Ok(None);
        }
        Fate::Unknown => {}
    }
    match changes {
        Some(changes) if journal.encoding == ENCODING => {
            let conflict = send(folder, state, link, journal, &changes, false, progress)?;
            Ok(conflict.is_none().then_some(summary))
        }
        _ => {
            let fate = give_up(folder, state, link, journal)?;
            Ok((fate == Fate::Applied).then_some(summary))
        }
    }
}

/// Before anything else is done with the base: what became of an interrupted push?
pub(super) fn settle(folder: &Folder, state: &mut State, link: &Link) -> Result<()> {
    let Some(journal) = folder.journal()? else { return Ok(()) };
    if journal.phase == Phase::Applied {
        return finish(folder, state, &journal);
    }
    match fate(link, &state.url, &journal.push)? {
        Fate::Applied => finish(folder, state, &journal),
        Fate::Abandoned => folder.end_push(),
        Fate::Unknown => give_up(folder, state, link, &journal).map(|_| ()),
    }
}

/// Finds the conflicts with all three values, by fetching what the server has.
fn explain(
    folder: &Folder,
    link: &Link,
    state: &State,
    reason: &Reason,
    report: &mut PushReport,
    progress: &dyn Progress,
) {
    match reason {
        Reason::Rows(what) => report.reason = Some(what.clone()),
        Reason::Definitions(misfits) => {
            report.reason = Some("definitions on the server have changed".to_owned());
            report.conflicts_count = misfits.len() as u64;
            report.conflicts =
                misfits.iter().take(CONFLICTS_LISTED_MAX).map(Conflict::of_misfit).collect();
        }
    }
    let incoming = folder.incoming();
    let listed = || -> Result<(u64, Vec<Conflict>)> {
        crate::pull::fetch(link, &state.url, &incoming, progress)?;
        super::carry_application_id(&folder.base(), &incoming)?;
        let ours = compare(&folder.base(), folder.file(), progress)?;
        let theirs = compare(&folder.base(), &incoming, progress)?;
        let merge = libsql_diff::merge(&ours, &theirs, MergePolicy::Abort)?;
        let listed = merge.conflicts.iter().take(CONFLICTS_LISTED_MAX).map(Conflict::of).collect();
        Ok((merge.conflicts_count, listed))
    };
    // The conflict is known without; this only shows it better.
    if let Ok((count, conflicts)) = listed()
        && count > 0
    {
        report.conflicts_count = count;
        report.conflicts = conflicts;
    }
    let _ = crate::state::remove_database(&incoming);
}
