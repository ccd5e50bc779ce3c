//! `turso-sync reset`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use turso_sync::{ResetOptions, ResetPreview};

use super::report;
use crate::{
    Ending,
    args::{GlobalArgs, workflow::ResetArgs},
    environment, interrupt,
    output::{self, Talk, Usage, count},
};

pub(crate) fn run(args: &ResetArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    let dry_run = args.manner.dry_run;
    if !args.yes && !dry_run && !io::stdin().is_terminal() {
        return Err(Usage::error(
            "reset throws local changes away and asks before; nobody can answer here, so give --yes",
        ));
    }
    let remote = environment::remote(&args.remote, global)?;
    let file = args.file.path();
    let name = file.display();
    let bar = talk.bar("Comparing");
    let mut confirm = |preview: &ResetPreview| {
        args.yes || {
            bar.pause();
            interrupt::while_asking(|| ask(&name.to_string(), preview))
        }
    };
    let options = ResetOptions { dry_run };
    let outcome = turso_sync::reset(file, &remote, options, &mut confirm, &bar);
    drop(bar);
    let outcome = outcome?;
    if args.manner.json {
        output::print_json(&outcome)?;
        return Ok(Ending::Done);
    }
    let (made, thrown, kept) = if dry_run {
        ("would be", "Would throw away", "What it is would be kept in")
    } else {
        ("is", "Thrown away", "What it was is in")
    };
    let kept = match &outcome.backup {
        Some(backup) => format!("{kept} {}\n", backup.display()),
        None => String::new(),
    };
    output::print(&format!(
        "{name} {made} what the remote database has: {} rows fetched\n{thrown}: {}\n{kept}",
        count(outcome.rows),
        report::in_words(&outcome.local)
    ))?;
    Ok(Ending::Done)
}

/// Asks on the terminal; anything but yes is no.
fn ask(name: &str, preview: &ResetPreview) -> bool {
    let mut stderr = io::stderr().lock();
    let lost = report::in_words(&preview.local);
    let kept = match &preview.backup {
        Some(backup) => format!(" (a copy is kept in {})", backup.display()),
        None => String::new(),
    };
    let asked = write!(stderr, "Throw away in {name}: {lost}{kept}? [y/N] ");
    if asked.and_then(|()| stderr.flush()).is_err() {
        return false;
    }
    let mut answer = String::new();
    let heard = io::stdin().lock().read_line(&mut answer);
    heard.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
