//! `turso-sync merge`.

use libsql_diff::{ApplyOptions, Options, Summary};
use serde_json::json;
use turso_sync::Conflict;

use super::{
    diff::in_words,
    files::{self, Scratch},
    report,
};
use crate::{
    Ending,
    args::MergeArgs,
    output::{self, Talk, count},
};

/// How many conflicts are listed as text.
const CONFLICTS_SHOWN_MAX: usize = 50;

pub(crate) fn run(args: &MergeArgs, talk: Talk) -> anyhow::Result<Ending> {
    for input in [&args.base, &args.ours, &args.theirs] {
        files::expect_database(input)?;
    }
    files::expect_writable(&args.out, &[&args.base, &args.ours, &args.theirs])?;
    let bar = talk.bar("Comparing");
    let merge = libsql_diff::merge_files(
        &args.base,
        &args.ours,
        &args.theirs,
        args.policy.into(),
        &Options::default(),
        &mut |at| bar.show(at),
    );
    drop(bar);
    let merge = merge?;
    let summary = merge.diff.as_ref().map(|diff| diff.summary().clone());
    if let Some(diff) = &merge.diff
        && !args.manner.dry_run
    {
        let ours = files::open_to_read(&args.ours)?;
        let merged = Scratch::of(&ours, &args.ours, Some(&args.out))?;
        let bar = talk.bar("Merging");
        bar.total(diff.summary().rows_changed());
        libsql_diff::apply_with(diff, &merged.conn, &ApplyOptions::default(), &mut |at| {
            bar.show(at)
        })?;
        drop(bar);
        merged.keep(&args.out)?;
    }
    if args.manner.json {
        let sum = |of: fn(&libsql_diff::TableSummary) -> u64| -> Option<u64> {
            summary.as_ref().map(|summary| summary.tables.iter().map(of).sum())
        };
        output::print_json(&json!({
            "merged": summary.is_some(),
            "dry_run": args.manner.dry_run,
            "inserted": sum(|table| table.inserted),
            "updated": sum(|table| table.updated),
            "deleted": sum(|table| table.deleted),
            "conflicts_count": merge.conflicts_count,
            "conflicts": merge.conflicts.iter().map(Conflict::of).collect::<Vec<_>>(),
        }))?;
    } else {
        let shown: Vec<Conflict> =
            merge.conflicts.iter().take(CONFLICTS_SHOWN_MAX).map(Conflict::of).collect();
        let conflicts = report::conflicts(&shown, merge.conflicts_count);
        output::print(&(conflicts + &outcome(args, summary.as_ref(), merge.conflicts_count)))?;
    }
    Ok(if summary.is_some() { Ending::Done } else { Ending::Different })
}

/// The last line: what came of it.
fn outcome(args: &MergeArgs, summary: Option<&Summary>, conflicts: u64) -> String {
    let Some(summary) = summary else {
        return format!(
            "{} conflicts; nothing was written. Settle them, or choose a side with --policy\n",
            count(conflicts)
        );
    };
    let (out, taken) = (args.out.display(), in_words(summary));
    let done = if args.manner.dry_run { "Would write" } else { "Wrote" };
    let settled = match conflicts {
        0 => String::new(),
        conflicts => format!("; {} conflicts settled by --policy", count(conflicts)),
    };
    format!("{done} {out}: ours with {taken} taken from theirs{settled}\n")
}
