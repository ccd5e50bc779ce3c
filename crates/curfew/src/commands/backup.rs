//! `curfew backup` and `curfew restore`.

use std::fmt::Write as _;

use curfew_app::backup::{BackupReport, RestoreReport};

use super::run::{count, load_config};
use crate::{
    Ending,
    args::{BackupArgs, RestoreArgs},
    output,
};

pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<Ending> {
    let config = load_config(args.config.as_deref())?;
    let report = curfew_app::backup::back_up(&args.db, &config)?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&backup_text(&report).unwrap_or_default())?;
    }
    Ok(if report.not_removed.is_some() { Ending::NeedsAttention } else { Ending::Done })
}

/// The report as text. Writing to a string does not fail.
fn backup_text(report: &BackupReport) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(
        out,
        "Backup {} ({}): {} contacts, {} rows; checked",
        report.backup.display(),
        terminal::bytes(report.bytes),
        count(report.contacts),
        count(report.schedules)
    )?;
    for removed in &report.removed {
        writeln!(out, "Removed {}", removed.display())?;
    }
    if let Some(why) = &report.not_removed {
        writeln!(out, "Old backups stay: {why}")?;
    }
    Ok(out)
}

pub(crate) fn restore(args: &RestoreArgs) -> anyhow::Result<Ending> {
    let report = curfew_app::backup::restore(&args.db, &args.backup)?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&restore_text(&report).unwrap_or_default())?;
    }
    Ok(Ending::Done)
}

fn restore_text(report: &RestoreReport) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(
        out,
        "Restored {} from {}: {} contacts, {} rows",
        report.database.display(),
        report.backup.display(),
        count(report.contacts),
        count(report.schedules)
    )?;
    if let Some(aside) = &report.kept_aside {
        writeln!(out, "The replaced database is kept as {}", aside.display())?;
    }
    Ok(out)
}
