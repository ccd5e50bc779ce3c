//! `curfew import`.

use std::fmt::Write as _;

use curfew_app::{
    config::Config,
    import::{Findings, ImportReport, ImportRequest},
    run::today_or,
};

use super::run::count;
use crate::{Ending, args::ImportArgs, output};

/// How many problems and notes the text names one by one; `--report` has all of them.
const SHOWN_MAX: usize = 20;

pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<Ending> {
    let request = ImportRequest {
        strict: args.strict,
        dry_run: args.dry_run,
        report: args.report.clone(),
        ..ImportRequest::new(&args.db, &args.csv, today_or(None, &Config::default())?)
    };
    let report = curfew_app::import::import(&request).map_err(curfew_app::Error::from)?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report).unwrap_or_default())?;
    }
    Ok(if report.rejected > 0 { Ending::NeedsAttention } else { Ending::Done })
}

/// The report as text. Writing to a string does not fail.
fn text(report: &ImportReport) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let what = match (report.dry_run, report.written) {
        (true, _) => "Dry run, nothing written",
        (false, true) => "Imported",
        (false, false) if report.rejected > 0 && report.strict => {
            "Nothing written, because lines were rejected and --strict was given"
        }
        (false, false) => "Nothing to write",
    };
    writeln!(out, "{what}: {} into {}", report.file, report.database)?;
    writeln!(
        out,
        "Lines {}: {} inserted, {} updated, {} unchanged, {} repeated, {} rejected",
        count(report.lines),
        count(report.inserted),
        count(report.updated),
        count(report.unchanged),
        count(report.repeated),
        count(report.rejected)
    )?;
    if report.dates_normalized > 0 {
        writeln!(out, "Dates written as YYYY-MM-DD: {}", count(report.dates_normalized))?;
    }
    if report.states_derived > 0 {
        writeln!(out, "States taken from ZIP codes: {}", count(report.states_derived))?;
    }
    let ignored: Vec<&str> = report
        .columns
        .iter()
        .filter(|column| column.column.is_none())
        .map(|column| column.header.as_str())
        .collect();
    if !ignored.is_empty() {
        writeln!(out, "Columns ignored: {}", ignored.join(", "))?;
    }
    write_findings(&mut out, "Rejected", &report.problems)?;
    write_findings(&mut out, "Notes", &report.notes)?;
    Ok(out)
}

fn write_findings(out: &mut String, title: &str, findings: &Findings) -> std::fmt::Result {
    if findings.listed.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}")?;
    for entry in findings.listed.iter().take(SHOWN_MAX) {
        let column = entry.column.as_deref().map(|name| format!("{name} ")).unwrap_or_default();
        let value = entry.value.as_deref().map(|value| format!("{value:?} ")).unwrap_or_default();
        writeln!(out, "  line {}: {column}{value}{}", entry.line, entry.text)?;
    }
    let more = findings.listed.len().saturating_sub(SHOWN_MAX) as u64 + findings.not_listed;
    if more > 0 {
        writeln!(out, "  … and {} more; --report FILE writes all of them", count(more))?;
    }
    Ok(())
}
