//! `curfew run --sync`: the server before and after a run.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use turso_sync::{Begun, PushEnd, PushOptions, PushReport, Remote};

use super::run::count;
use crate::output::Bar;

/// The variable that holds the token. It is no argument: those are seen by everybody on the machine.
const TOKEN: &str = "TURSO_AUTH_TOKEN";
/// The variable that holds the address, if no argument does.
const URL: &str = "TURSO_DATABASE_URL";

/// What the server had, and what it got.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Synced {
    before: Begun,
    after: Option<PushReport>,
    #[serde(skip)]
    remote: Remote,
}

impl Synced {
    /// Brings the file up to date. Stops if the file and the server have changed the same rows: a
    /// plan for one of the two would be a plan for half of the truth.
    pub(crate) fn pull(file: &Path, url: Option<&str>) -> anyhow::Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        let url = url.map(str::to_owned).or_else(|| variable(URL));
        let remote = Remote::new(url.as_deref(), variable(TOKEN).as_deref())?;
        let before = turso_sync::begin(file, &remote, &Bar::default())?;
        let conflicts = before.conflicts_count();
        if conflicts > 0 {
            bail!(
                "{}: {} changed both here and on the server; nothing was planned; settle it with \
                 `turso-sync pull {} --policy ours` (or `theirs`) and run again",
                file.display(),
                if conflicts == 1 {
                    "a row was".to_owned()
                } else {
                    format!("{conflicts} rows were")
                },
                file.display()
            );
        }
        Ok(Self { before, after: None, remote })
    }

    /// Sends what the run changed. Whether it fitted is part of the summary.
    pub(crate) fn push(&mut self, file: &Path) -> anyhow::Result<()> {
        let options = PushOptions::default();
        self.after = Some(turso_sync::push(file, &self.remote, &options, &Bar::default())?);
        Ok(())
    }

    /// Whether somebody changed the server meanwhile so that the push did not fit.
    pub(crate) fn needs_attention(&self) -> bool {
        self.after.as_ref().is_some_and(|report| report.end == PushEnd::Conflict)
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = match &self.before {
            Begun::Initialized(report) => writeln!(
                text,
                "Server       fetched for the first time: {} tables, {} rows",
                count(report.tables),
                count(report.rows)
            ),
            Begun::Pulled(report) => writeln!(
                text,
                "Server       {} rows came in new, {} changed, {} went",
                count(report.incoming.inserted),
                count(report.incoming.updated),
                count(report.incoming.deleted)
            ),
        };
        let _ = match &self.after {
            None => writeln!(text, "             nothing pushed, as the run failed"),
            Some(report) if report.end == PushEnd::Conflict => writeln!(
                text,
                "             not pushed: the server changed during the run; run again"
            ),
            Some(report) => writeln!(
                text,
                "             {} rows pushed new, {} changed, {} deleted",
                count(report.changes.inserted),
                count(report.changes.updated),
                count(report.changes.deleted)
            ),
        };
        text
    }
}
