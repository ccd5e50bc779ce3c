//! `curfew status`.

use std::fmt::Write as _;

use curfew_app::status::{self, StatusReport, Thresholds};

use super::run::count;
use crate::{Ending, args::StatusArgs, output};

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<Ending> {
    let thresholds = Thresholds {
        age_hours_max: args.max_age_hours,
        overdue_max: args.max_overdue,
        invalid_rate_max: args.max_invalid_rate,
        failed_max: args.max_failed_runs,
    };
    let report = status::status(&args.db, thresholds);
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report).unwrap_or_default())?;
    }
    Ok(if report.healthy { Ending::Done } else { Ending::NeedsAttention })
}

/// The status as text. Writing to a string does not fail.
fn text(report: &StatusReport) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let verdict = if report.healthy { "all is well" } else { "something is wrong" };
    writeln!(out, "{}: {verdict}", report.database.display())?;
    for problem in &report.problems {
        writeln!(out, "  ! {problem}")?;
    }
    if let (Some(run), Some(at)) = (&report.last_run, &report.last_run_started_at) {
        let age = report.last_run_age_hours.map(|age| format!(", {age:.1} hours ago"));
        writeln!(out, "Last run     {run}, {at} UTC{}", age.unwrap_or_default())?;
    }
    if let Some(failed) = report.failed_runs {
        writeln!(out, "Failed since {}", count(failed))?;
    }
    if let Some(run) = &report.unfinished_run {
        writeln!(out, "Unfinished   {run}: at work, or its process ended")?;
    }
    if let Some(overdue) = report.overdue {
        writeln!(out, "Overdue      {} messages", count(overdue))?;
    }
    if let (Some(contacts), Some(invalid), Some(rate)) =
        (report.contacts, report.contacts_invalid, report.invalid_rate)
    {
        let (contacts, invalid) = (count(contacts), count(invalid));
        writeln!(out, "Invalid      {invalid} of {contacts} contacts ({:.1} %)", 100.0 * rate)?;
    }
    Ok(out)
}
