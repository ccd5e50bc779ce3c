//! `turso-sync init`.

use std::path::Path;

use turso_sync::{Existing, InitOptions, InitReport, shell_word};

use super::report;
use crate::{
    Ending,
    args::{GlobalArgs, workflow::InitArgs},
    environment,
    output::{self, Talk, count},
};

pub(crate) fn run(args: &InitArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    let (remote, _) = environment::named_remote(&args.remote, global)?;
    let existing = if args.merge {
        Existing::Merge(args.policy.into())
    } else {
        Existing::KeepIfRemoteIsEmpty
    };
    let options = InitOptions { existing, dry_run: args.manner.dry_run };
    let file = args.file.path();
    let bar = talk.bar("Asking the server");
    let outcome = turso_sync::init(file, &remote, options, &bar);
    drop(bar);
    let outcome = outcome?;
    if args.manner.json {
        output::print_json(&outcome)?;
    } else {
        output::print(&text(file, &outcome))?;
    }
    Ok(Ending::of(outcome.exit_code()))
}

/// The report as text.
pub(crate) fn text(file: &Path, outcome: &InitReport) -> String {
    let (url, name) = (&outcome.url, file.display());
    if outcome.conflicts_count > 0 {
        return format!(
            "{}{} conflicts between {name} and {url}; nothing was written. Choose a side with \
             --policy, or settle them\n",
            report::conflicts(&outcome.conflicts, outcome.conflicts_count),
            count(outcome.conflicts_count),
        );
    }
    let fetched = format!("{} rows in {} tables", count(outcome.rows), count(outcome.tables));
    let dry = outcome.dry_run;
    if !outcome.kept_file {
        let done = if dry { "Would fetch" } else { "Fetched" };
        return format!("{done} {name} from {url}: {fetched}\n");
    }
    let next = if outcome.local.is_empty() {
        String::new()
    } else {
        format!(
            "To push: {}. Send it with `turso-sync push {}`\n",
            report::in_words(&outcome.local),
            shell_word(file)
        )
    };
    let done = if dry { "Would keep" } else { "Kept" };
    format!("{done} {name}, compared with {url}: {fetched}\n{next}")
}
