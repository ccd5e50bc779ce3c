//! `curfew audit`.

use std::{fmt::Write as _, io};

use anyhow::Context as _;
use curfew_app::audit::{self, Entry, PlanRow, VerifyReport, Wanted};

use super::run::count;
use crate::{
    Ending,
    args::{AuditArgs, AuditCommand, AuditShowArgs, Form},
    output,
};

pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<Ending> {
    match &args.command {
        AuditCommand::Verify { db, expect, json } => {
            let report = audit::verify(db, expect.as_deref())?;
            if *json {
                output::print_json(&report)?;
            } else {
                output::print(&verdict(&report).unwrap_or_default())?;
            }
            return Ok(if report.stands { Ending::Done } else { Ending::NeedsAttention });
        }
        AuditCommand::Show(args) => match args.as_of {
            Some(day) => show_plan(args, day)?,
            None => show(args)?,
        },
    }
    Ok(Ending::Done)
}

/// The result as text. Writing to a string does not fail.
fn verdict(report: &VerifyReport) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let entries = count(report.entries);
    if report.stands {
        writeln!(out, "The record stands: {entries} entries, none edited")?;
        if let Some(hash) = &report.last_hash {
            writeln!(out, "Last hash: {hash}")?;
        }
    } else {
        writeln!(out, "The record was edited ({entries} entries checked)")?;
    }
    for (at, fault) in report.faults.iter().enumerate() {
        writeln!(out, "  {:<6} {fault}", if at == 0 { "first:" } else { "" })?;
    }
    if report.unchained > 0 {
        writeln!(
            out,
            "{} entries of another program came before; nothing vouches for them",
            count(report.unchained)
        )?;
    }
    Ok(out)
}

fn show_plan(args: &AuditShowArgs, day: jiff::civil::Date) -> anyhow::Result<()> {
    let rows = audit::plan_as_of(&args.db, day, args.contact)?;
    if args.form.json {
        output::print_json(&rows)
    } else if args.form.csv {
        csv(&rows)
    } else {
        output::print(&plan_text(&rows, &args.form))
    }
}

fn show(args: &AuditShowArgs) -> anyhow::Result<()> {
    let wanted =
        Wanted { contact_id: args.contact, run_id: args.run.clone(), from: args.from, to: args.to };
    let entries = audit::entries(&args.db, &wanted)?;
    if args.form.json {
        return output::print_json(&entries);
    }
    if args.form.csv {
        let lines: Vec<EntryLine<'_>> = entries.iter().map(EntryLine::of).collect();
        return csv(&lines);
    }
    let mut table = output::table(&[
        "entry",
        "recorded (UTC)",
        "contact",
        "row",
        "what",
        "was",
        "on",
        "status",
        "why",
    ]);
    for entry in entries.iter().take(args.form.limit) {
        let number = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
        let old = |column: &str| entry.old(column).unwrap_or_default();
        table.add_row([
            entry.id.to_string(),
            entry.recorded_at.clone().unwrap_or_default(),
            number(entry.contact_id),
            number(entry.schedule_id),
            entry.what.clone().unwrap_or_default(),
            old("email_type"),
            old("scheduled_send_date"),
            old("status"),
            entry.why.clone().unwrap_or_default(),
        ]);
    }
    output::print(&listed(&table, entries.len(), &args.form, "changes"))
}

/// An entry as a line of CSV: what is asked for most in columns, the rest of the former row as JSON.
#[derive(serde::Serialize)]
struct EntryLine<'e> {
    id: i64,
    recorded_at: Option<&'e str>,
    run_id: Option<&'e str>,
    contact_id: Option<i64>,
    schedule_id: Option<i64>,
    what: Option<&'e str>,
    why: Option<&'e str>,
    old_email_type: Option<String>,
    old_scheduled_send_date: Option<String>,
    old_status: Option<String>,
    old_skip_reason: Option<String>,
    old_values: String,
    hash: Option<&'e str>,
}

impl<'e> EntryLine<'e> {
    fn of(entry: &'e Entry) -> Self {
        Self {
            id: entry.id,
            recorded_at: entry.recorded_at.as_deref(),
            run_id: entry.run_id.as_deref(),
            contact_id: entry.contact_id,
            schedule_id: entry.schedule_id,
            what: entry.what.as_deref(),
            why: entry.why.as_deref(),
            old_email_type: entry.old("email_type"),
            old_scheduled_send_date: entry.old("scheduled_send_date"),
            old_status: entry.old("status"),
            old_skip_reason: entry.old("skip_reason"),
            old_values: entry.old_values.to_string(),
            hash: entry.hash.as_deref(),
        }
    }
}

fn plan_text(rows: &[PlanRow], form: &Form) -> String {
    let mut table = output::table(&["contact", "row", "kind", "date", "status", "reason"]);
    for row in rows.iter().take(form.limit) {
        table.add_row([
            row.contact_id.map(|id| id.to_string()).unwrap_or_default(),
            row.schedule_id.to_string(),
            row.email_type.clone().unwrap_or_default(),
            row.scheduled_send_date.clone().unwrap_or_default(),
            row.status.clone().unwrap_or_default(),
            row.skip_reason.clone().unwrap_or_default(),
        ]);
    }
    listed(&table, rows.len(), form, "rows")
}

fn listed(table: &comfy_table::Table, total: usize, form: &Form, what: &str) -> String {
    let mut text = output::table_text(table);
    if total > form.limit {
        let more = count((total - form.limit) as u64);
        // Writing to a string does not fail.
        let _ =
            writeln!(text, "… and {more} more {what}; --limit shows more, --csv and --json all");
    }
    text
}

fn csv(lines: &[impl serde::Serialize]) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(io::stdout().lock());
    for line in lines {
        writer.serialize(line).context("cannot write to stdout")?;
    }
    writer.flush().context("cannot write to stdout")
}
