//! `turso-sync reset`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use turso_sync::ResetPreview;

use super::report;
use crate::{
    Ending,
    args::{GlobalArgs, workflow::ResetArgs},
    environment,
    output::{self, Talk, Usage, count},
};

pub(crate) fn run(args: &ResetArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    if !args.yes && !io::stdin().is_terminal() {
        return Err(Usage::error(
            "reset throws local changes away and asks before; nobody can answer here, so give --yes",
        ));
    }
    let remote = environment::remote(&args.remote, global)?;
    let file = args.file.path();
    let name = file.display();
    let bar = talk.bar("Comparing");
    let mut confirm = |preview: &ResetPreview| args.yes || ask(&name.to_string(), preview);
    let outcome = turso_sync::reset(file, &remote, &mut confirm, &bar);
    drop(bar);
    let outcome = outcome?;
    if args.json {
        output::print_json(&outcome)?;
        return Ok(Ending::Done);
    }
    let kept = match &outcome.backup {
        Some(backup) => format!("What it was is in {}\n", backup.display()),
        None => String::new(),
    };
    output::print(&format!(
        "{name} is what the remote database has: {} rows fetched\nThrown away: {}\n{kept}",
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
