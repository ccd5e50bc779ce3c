//! `turso-sync copy`.

use std::path::Path;

use super::files::{self, Scratch};
use crate::{
    Ending,
    args::workflow::CopyArgs,
    output::{Talk, Usage},
};

pub(crate) fn run(args: &CopyArgs, talk: Talk) -> anyhow::Result<Ending> {
    let source = args.source.as_deref().unwrap_or(&args.source_option);
    let dest = args.dest.as_deref().unwrap_or(&args.dest_option);
    files::expect_database(source)?;
    if dest.exists() && files::is_database(dest)? {
        replace(source, dest, args.replace)?;
    } else {
        files::expect_writable(dest, &[source])?;
        let from = files::open_to_read(source)?;
        Scratch::of(&from, source, Some(dest))?.keep(dest)?;
    }
    talk.say(&format!("Copied {} to {}", source.display(), dest.display()));
    Ok(Ending::Done)
}

/// Writes over a database in one transaction, so that programs that have it open see the old one or
/// the new one.
fn replace(source: &Path, dest: &Path, force: bool) -> anyhow::Result<()> {
    let canonical = |path: &Path| std::fs::canonicalize(path).ok();
    if canonical(source) == canonical(dest) {
        return Err(Usage::error(format!("{} cannot be copied to itself", source.display())));
    }
    if !force {
        let diff = libsql_diff::diff(source, dest)?;
        if diff.is_empty() {
            return Ok(());
        }
        return Err(Usage::error(format!(
            "{} is there and holds something else; give --replace to replace it",
            dest.display()
        )));
    }
    files::overwrite(source, dest)
}
