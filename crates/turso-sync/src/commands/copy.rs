//! `turso-sync copy`.

use std::path::{Path, PathBuf};

use libsql_link::Location;
use turso_sync::{CopyOptions, Error};

use super::{files, report};
use crate::{
    Ending,
    args::{GlobalArgs, workflow::CopyArgs},
    environment,
    output::{self, Talk, Usage},
};

pub(crate) fn run(args: &CopyArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    let named = |place: &Option<String>, option: &PathBuf| match place {
        Some(text) => environment::place(text, args.token.as_ref(), global),
        None => Ok(environment::local(option)),
    };
    let from = named(&args.source, &args.source_option)?;
    let to = named(&args.dest, &args.dest_option)?;
    if let Location::Local(path) = &from.location {
        files::expect_database(path)?;
    }
    if let Location::Local(path) = &to.location {
        expect_target(path, &from.location)?;
    }
    let bar = talk.bar("Copying");
    let options = CopyOptions { replaces: args.replace, dry_run: args.manner.dry_run };
    let outcome = turso_sync::copy(&from, &to, options, &bar);
    drop(bar);
    let outcome = match outcome {
        Err(Error::TargetNotEmpty { target }) => {
            return Err(Usage::error(format!(
                "{target} is there and holds something; give --replace to make it a copy"
            )));
        }
        outcome => outcome?,
    };
    if args.manner.json {
        output::print_json(&outcome)?;
    } else {
        output::print(&format!(
            "{} {} to {}: {}\n",
            if outcome.dry_run { "Would copy" } else { "Copied" },
            outcome.from,
            outcome.to,
            report::in_words(&outcome.changes)
        ))?;
    }
    Ok(Ending::Done)
}

/// Refuses a target that is the source, no database, or has files of another one beside it.
fn expect_target(path: &Path, from: &Location) -> anyhow::Result<()> {
    let canonical = |path: &Path| std::fs::canonicalize(path).ok();
    if let Location::Local(from) = from
        && path.exists()
        && canonical(from) == canonical(path)
    {
        return Err(Usage::error(format!("{} cannot be copied to itself", path.display())));
    }
    if path.exists() { files::expect_database(path) } else { files::expect_writable(path, &[]) }
}
