//! `turso-sync pull`.

use std::path::Path;

use libsql_diff::MergePolicy;
use turso_sync::{PullEnd, PullOptions, PullReport, Remote, shell_word};

use super::report;
use crate::{
    Ending,
    args::{GlobalArgs, workflow::PullArgs},
    environment,
    output::{self, Talk, count},
};

pub(crate) fn run(args: &PullArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote, global)?;
    let file = args.file.path();
    let outcome = pull(file, &remote, args.policy.into(), args.manner.dry_run, talk)?;
    if args.manner.json {
        output::print_json(&outcome)?;
    } else {
        output::print(&text(file, &outcome))?;
    }
    Ok(Ending::of(outcome.exit_code()))
}

pub(crate) fn pull(
    file: &Path,
    remote: &Remote,
    policy: MergePolicy,
    dry_run: bool,
    talk: Talk,
) -> anyhow::Result<PullReport> {
    let bar = talk.bar("Asking the server");
    Ok(turso_sync::pull(file, remote, &PullOptions { policy, dry_run }, &bar)?)
}

/// The report as text.
pub(crate) fn text(file: &Path, outcome: &PullReport) -> String {
    let name = file.display();
    let incoming = report::in_words(&outcome.incoming);
    let conflicts = report::conflicts(&outcome.conflicts, outcome.conflicts_count);
    let number = count(outcome.conflicts_count);
    let settled = if outcome.conflicts_count > 0 {
        format!("{conflicts}{number} conflicts settled by --policy\n")
    } else {
        String::new()
    };
    let local = if outcome.local.is_empty() {
        String::new()
    } else {
        format!("Local changes stay: {}\n", report::in_words(&outcome.local))
    };
    match outcome.end {
        PullEnd::Nothing => format!("Nothing new for {name}.\n{local}"),
        PullEnd::DryRun => format!(
            "{settled}Would bring into {name}: {incoming}\n{}{local}",
            report::by_table(&outcome.incoming)
        ),
        PullEnd::Pulled => format!("{settled}Brought into {name}: {incoming}\n{local}"),
        _ => match &outcome.reason {
            // Both sides' changes go together row by row, and break a rule of the database.
            Some(reason) => format!(
                "{reason}\nWhat both sides did cannot stand together, and no --policy settles that; \
                 {name} is as it was. Change or delete one of the rows in the file, then pull again\n"
            ),
            None => format!(
                "{conflicts}{number} conflicts; {name} is as it was. Settle them in the file, or \
                 choose a side: `turso-sync pull {0} --policy ours` or `--policy theirs`\n",
                shell_word(file)
            ),
        },
    }
}
