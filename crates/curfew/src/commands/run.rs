//! `curfew run`.

use std::fmt::Write as _;

use curfew_app::{
    config::Config,
    run::{RunReport, RunRequest},
};

use super::sync::Synced;
use crate::{
    Ending,
    args::{PlanSource, RunArgs},
    output::{self, Bar},
};

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<Ending> {
    let request = RunRequest { backup: !args.no_backup, ..request(&args.source)? };
    let file = &args.source.db;
    let server = &args.server;
    let mut synced =
        if server.sync { Some(Synced::pull(file, server.sync_url.as_deref())?) } else { None };
    let bar = Bar::default();
    let result = if args.dry_run {
        curfew_app::run::preview(&request, &bar, &mut |_| Ok(()))
    } else {
        curfew_app::run::run(&request, &bar)
    };
    bar.finish();
    let report = result?;
    let mut ending = ending(&report);
    // What was planned is on record here, whether it can be pushed or not.
    let mut not_pushed = None;
    if let Some(synced) = &mut synced
        && ending != Ending::Failed
    {
        not_pushed = synced.push(file).err();
        if synced.needs_attention() {
            ending = Ending::NeedsAttention;
        }
    }
    if args.json {
        output::print_json(&WithSync { report: &report, sync: synced.as_ref() })?;
    } else {
        let server = synced.as_ref().filter(|_| not_pushed.is_none()).map(Synced::summary);
        output::print(&(summary(&report) + &server.unwrap_or_default()))?;
    }
    match not_pushed {
        Some(error) => Err(error.context(format!(
            "the run is done, but its changes are not on the server yet; \
             `turso-sync push {}` sends them",
            file.display()
        ))),
        None => Ok(ending),
    }
}

#[derive(serde::Serialize)]
struct WithSync<'r> {
    #[serde(flatten)]
    report: &'r RunReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<&'r Synced>,
}

/// The request that the common arguments make.
pub(crate) fn request(source: &PlanSource) -> anyhow::Result<RunRequest> {
    Ok(RunRequest {
        database: source.db.clone(),
        config: load_config(source.config.as_deref())?,
        today: source.today,
        threads: source.threads.map(usize::from),
        backup: true,
    })
}

/// The configuration file's settings, or the defaults.
pub(crate) fn load_config(file: Option<&std::path::Path>) -> anyhow::Result<Config> {
    Ok(match file {
        Some(file) => Config::load(file).map_err(curfew_app::Error::from)?,
        None => Config::default(),
    })
}

pub(crate) fn ending(report: &RunReport) -> Ending {
    if report.is_failed() {
        Ending::Failed
    } else if report.needs_attention() {
        Ending::NeedsAttention
    } else {
        Ending::Done
    }
}

/// The summary as text.
pub(crate) fn summary(report: &RunReport) -> String {
    let mut text = String::new();
    let out = &mut text;
    let verb = if report.dry_run { "Dry run" } else { "Run" };
    let id = report.run_id.as_deref().map(|id| format!(" ({id})")).unwrap_or_default();
    line(out, format_args!("{verb} for {}{id}: {}", report.today, report.database.display()));

    let contacts = &report.contacts;
    line(
        out,
        format_args!(
            "\nContacts     {} read: {} valid, {} inactive, {} invalid",
            count(contacts.read),
            count(contacts.valid),
            count(contacts.inactive),
            count(contacts.invalid)
        ),
    );
    for (issue, number) in &contacts.issues {
        line(out, format_args!("  {:>9}  {issue}", count(*number)));
    }

    line(out, format_args!("\nMessages"));
    let mut table = output::table(&["kind", "planned", "excluded", "frequency", "lower priority"]);
    for (kind, counts) in &report.messages {
        table.add_row([
            kind.clone(),
            count(counts.planned),
            count(counts.excluded),
            count(counts.frequency_limit),
            count(counts.lower_priority),
        ]);
    }
    for index in 1..5 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    out.push_str(&output::table_text(&table));

    let rows = &report.rows;
    line(
        out,
        format_args!(
            "\nRows         {} inserted, {} changed, {} expired, {} deleted, {} unchanged",
            count(rows.inserted),
            count(rows.updated),
            count(rows.expired),
            count(rows.deleted),
            count(rows.unchanged)
        ),
    );
    if report.targets_changed > 0 {
        line(out, format_args!("Targets      {} changed status", count(report.targets_changed)));
    }
    line(
        out,
        format_args!(
            "Daily cap    {} messages, moved from days above {}: {} moved, {} days still above",
            count(report.daily_cap),
            count(report.daily_threshold),
            count(report.moved_by_cap),
            report.days_above_threshold
        ),
    );
    let busiest: Vec<String> = report
        .busiest_days(3)
        .into_iter()
        .map(|day| format!("{} ({})", day.date, count(day.messages)))
        .collect();
    if !busiest.is_empty() {
        line(out, format_args!("Busiest days {}", busiest.join(", ")));
    }
    if let Some(backup) = &report.backup {
        line(out, format_args!("Backup       {}", backup.backup.display()));
        if let Some(why) = &backup.not_removed {
            line(out, format_args!("             old backups stay: {why}"));
        }
    }
    for batch in &report.failed_batches {
        line(
            out,
            format_args!(
                "Not written  {} contacts from {} to {}: {}",
                count(batch.contacts),
                batch.first_contact_id,
                batch.last_contact_id,
                batch.error
            ),
        );
    }
    for refusal in &report.refused {
        line(out, format_args!("Refused      {refusal}"));
    }
    for problem in &report.problems {
        line(out, format_args!("Left out     {problem}"));
    }
    if report.contacts_postponed > 0 {
        line(
            out,
            format_args!(
                "Postponed    {} contacts changed while the plan was made; run again to plan them",
                count(report.contacts_postponed)
            ),
        );
    }
    let seconds = &report.seconds;
    line(
        out,
        format_args!(
            "Time         {:.2} s (preparing {:.2}, backing up {:.2}, reading {:.2}, balancing {:.2}, \
             writing {:.2})",
            seconds.total,
            seconds.prepare,
            seconds.backup,
            seconds.read,
            seconds.balance,
            seconds.write
        ),
    );
    text
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}

/// A number with commas between thousands.
pub(crate) fn count(number: u64) -> String {
    terminal::count(number)
}
