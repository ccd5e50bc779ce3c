//! `turso-sync push`.

use std::path::Path;

use turso_sync::{PushEnd, PushOptions, PushReport, Remote, shell_word};

use super::{files, report, step};
use crate::{
    Ending,
    args::{GlobalArgs, workflow::PushArgs},
    environment,
    output::{self, Talk, count},
};

pub(crate) fn run(args: &PushArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote, global)?;
    let file = args.file.path();
    if let Some(diff_file) = &args.diff_file {
        keep_changes(file, diff_file, talk)?;
    }
    let outcome = push(file, &remote, args.manner.dry_run, talk)?;
    if args.manner.json {
        output::print_json(&outcome)?;
    } else {
        output::print(&text(file, &outcome))?;
    }
    if let Some(replica) = &args.replica_path
        && !args.manner.dry_run
        && matches!(outcome.end, PushEnd::Pushed | PushEnd::Nothing)
    {
        step::bring_in_step(replica, &remote, false, talk)?;
    }
    Ok(Ending::of(outcome.exit_code()))
}

pub(crate) fn push(
    file: &Path,
    remote: &Remote,
    dry_run: bool,
    talk: Talk,
) -> anyhow::Result<PushReport> {
    let bar = talk.bar("Comparing");
    Ok(turso_sync::push(file, remote, &PushOptions { dry_run }, &bar)?)
}

/// Keeps what is about to be pushed as SQL text, for reading.
pub(crate) fn keep_changes(file: &Path, diff_file: &Path, talk: Talk) -> anyhow::Result<()> {
    files::expect_writable(diff_file, &[file])?;
    let bar = talk.bar("Comparing");
    let diff = turso_sync::diff(file, &bar)?;
    drop(bar);
    files::write_whole(diff_file, |to| Ok(diff.write_sql(to)?))
}

/// The report as text.
pub(crate) fn text(file: &Path, outcome: &PushReport) -> String {
    let name = file.display();
    let changes = report::in_words(&outcome.changes);
    let notes: String = outcome.notes.iter().flat_map(|note| ["Note: ", note, "\n"]).collect();
    let resumed =
        if outcome.resumed { "A push that was interrupted came to its end.\n" } else { "" };
    let end = match outcome.end {
        PushEnd::Nothing => "Nothing to push.\n".to_owned(),
        PushEnd::DryRun => {
            format!("Would push {name}: {changes}\n{}", report::by_table(&outcome.changes))
        }
        PushEnd::Pushed => format!("Pushed {name}: {changes}\n"),
        _ => {
            let reason = outcome.reason.as_deref().map(|why| format!("{why}\n"));
            let number = match outcome.conflicts_count {
                0 => String::new(),
                number => format!(" ({} conflicts)", count(number)),
            };
            format!(
                "{}{}The remote database changed meanwhile{number}; nothing was pushed. \
                 Run `turso-sync pull {}`, then push again\n",
                report::conflicts(&outcome.conflicts, outcome.conflicts_count),
                reason.unwrap_or_default(),
                shell_word(file)
            )
        }
    };
    format!("{resumed}{end}{notes}")
}
