//! `turso-sync apply-diff`, of the older tool.

use super::apply;
use crate::{
    Ending,
    args::older::ApplyDiffArgs,
    output::{self, Talk, Usage},
};

pub(crate) fn run(args: &ApplyDiffArgs, talk: Talk) -> anyhow::Result<Ending> {
    if !args.no_sync {
        return Err(Usage::error("pushing from here is not there yet; give --no-sync"));
    }
    let report = apply::apply(&args.diff_file, &args.db_path, args.dry_run, talk)?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&format!("{}\n", report.in_words(&args.db_path)))?;
    }
    Ok(Ending::Done)
}
