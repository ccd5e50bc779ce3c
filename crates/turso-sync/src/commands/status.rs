//! `turso-sync status`.

use std::fmt::Write as _;

use turso_sync::{RemoteStatus, StatusReport};

use super::report;
use crate::{
    Ending,
    args::{GlobalArgs, workflow::StatusArgs},
    environment,
    output::{self, Talk},
};

pub(crate) fn run(args: &StatusArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote, global)?;
    let bar = talk.bar("Comparing");
    let outcome = turso_sync::status(args.file.path(), &remote, !args.offline, &bar);
    drop(bar);
    let outcome = outcome?;
    if args.json {
        output::print_json(&outcome)?;
    } else {
        output::print(&text(&outcome))?;
    }
    Ok(Ending::of(outcome.exit_code()))
}

fn text(outcome: &StatusReport) -> String {
    let mut text = String::new();
    let out = &mut text;
    // Writing to a string does not fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<9} {value}");
    };
    line("File", &outcome.file.display().to_string());
    line("Remote", &outcome.url);
    line("Pulled", outcome.pulled_at.as_deref().unwrap_or("never"));
    line("Pushed", outcome.pushed_at.as_deref().unwrap_or("never"));
    if outcome.push_pending {
        line("Pending", "a push that was interrupted");
    }
    match &outcome.local {
        Some(local) => line("Here", &report::in_words(local)),
        None => line("Here", "the file is missing"),
    }
    if let Some(remote) = &outcome.remote {
        line("There", &there(remote));
        if let Some(at) = &remote.pushed_by_others_at {
            line("Others", &format!("pushed last at {at}"));
        }
    }
    line("Next", &outcome.next);
    text
}

fn there(remote: &RemoteStatus) -> String {
    if !remote.reachable {
        return remote.error.clone().unwrap_or_else(|| "cannot be reached".to_owned());
    }
    let mut text = match remote.changed {
        Some(true) => "changed since the last pull".to_owned(),
        Some(false) => "no change".to_owned(),
        None => "not known whether it changed".to_owned(),
    };
    if let Some(version) = &remote.version {
        let _ = write!(text, "; {version}");
    }
    if let Some(round_trip) = remote.round_trip_ms {
        let _ = write!(text, "; {round_trip:.1} ms");
    }
    if let Some(error) = &remote.error {
        let _ = write!(text, "; {error}");
    }
    text
}
