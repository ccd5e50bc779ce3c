//! `curfew runs`.

use std::fmt::Write as _;

use curfew_app::runs::{self, RunRecord};

use super::run::count;
use crate::{
    Ending,
    args::{RunsArgs, RunsCommand},
    output,
};

pub(crate) fn run(args: &RunsArgs) -> anyhow::Result<Ending> {
    if let Some(RunsCommand::Show { id, db, json }) = &args.command {
        let run = runs::show(db, id)?;
        if *json {
            output::print_json(&run)?;
        } else {
            output::print(&text(&run).unwrap_or_default())?;
        }
    } else if let Some(db) = &args.db {
        let runs = runs::list(db, args.limit)?;
        if args.json {
            output::print_json(&runs)?;
        } else {
            output::print(&list(&runs))?;
        }
    }
    Ok(Ending::Done)
}

fn list(runs: &[RunRecord]) -> String {
    let header =
        ["run", "for", "status", "config", "inserted", "changed", "expired", "deleted", "error"];
    let mut table = output::table(&header);
    for run in runs {
        table.add_row([
            run.run_id.clone(),
            run.today.clone().unwrap_or_default(),
            run.status.clone(),
            run.config_version.map(|version| version.to_string()).unwrap_or_default(),
            count(run.rows_inserted),
            count(run.rows_updated),
            count(run.rows_expired),
            count(run.rows_deleted),
            run.error.clone().unwrap_or_default(),
        ]);
    }
    output::table_text(&table)
}

/// A run as text. Writing to a string does not fail.
fn text(run: &RunRecord) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    writeln!(out, "Run          {}: {}", run.run_id, run.status)?;
    if let Some(command) = run.command.as_deref().filter(|command| *command != "run") {
        writeln!(out, "Command      {command}")?;
    }
    if let Some(error) = &run.error {
        writeln!(out, "Error        {error}")?;
    }
    writeln!(out, "For          {}", or_unknown(&run.today))?;
    writeln!(
        out,
        "Time         {} to {} (UTC)",
        or_unknown(&run.started_at),
        run.completed_at.as_deref().unwrap_or("…")
    )?;
    if let Some(version) = run.config_version {
        writeln!(out, "Config       version {version}")?;
    }
    writeln!(
        out,
        "Rows         {} inserted, {} changed, {} expired, {} deleted, in {} batches",
        count(run.rows_inserted),
        count(run.rows_updated),
        count(run.rows_expired),
        count(run.rows_deleted),
        run.batches_done
    )?;
    if let Some(id) = run.last_contact_id {
        writeln!(out, "Last contact {id}")?;
    }
    if let Some((id, hash)) = run.history_id.zip(run.history_hash.as_deref()) {
        writeln!(out, "History      up to entry {id}, {hash}")?;
    }
    let checksums = [
        ("Contacts", &run.contacts_checksum_before, &run.contacts_checksum_after),
        ("Schedules", &run.schedules_checksum_before, &run.schedules_checksum_after),
    ];
    for (name, before, after) in checksums {
        if before.is_some() || after.is_some() {
            let (before, after) = (or_unknown(before), or_unknown(after));
            writeln!(out, "{name:<12} {before} before, {after} after")?;
        }
    }
    let Some(counts) = &run.counts else { return Ok(out) };
    if counts.get("seconds").is_some() {
        writeln!(out, "\nStages")?;
        out.push_str(&stages(counts));
    }
    let Some(messages) = counts.get("messages").and_then(serde_json::Value::as_object) else {
        return Ok(out);
    };
    let mut table = output::table(&["kind", "planned", "excluded", "frequency", "lower priority"]);
    for (kind, numbers) in messages {
        let number = |name: &str| {
            numbers.get(name).and_then(serde_json::Value::as_u64).map(count).unwrap_or_default()
        };
        table.add_row([
            kind.clone(),
            number("planned"),
            number("excluded"),
            number("frequency_limit"),
            number("lower_priority"),
        ]);
    }
    writeln!(out, "\nMessages")?;
    out.push_str(&output::table_text(&table));
    Ok(out)
}

/// The stages of a run, each with its seconds and its counts.
fn stages(counts: &serde_json::Value) -> String {
    /// The stages in order; with each, where its counts are and which they are.
    const STAGES: [(&str, &str, &[&str]); 6] = [
        ("prepare", "", &[]),
        ("backup", "backup", &["contacts", "schedules", "bytes"]),
        ("read", "contacts", &["read", "valid", "inactive", "invalid"]),
        ("balance", "", &["moved_by_cap", "days_above_threshold"]),
        ("write", "rows", &["inserted", "updated", "expired", "deleted", "unchanged"]),
        ("total", "", &["contacts_postponed", "rows_overtaken", "targets_changed"]),
    ];
    let mut table = output::table(&["stage", "seconds", "counts"]);
    for (stage, place, names) in STAGES {
        let seconds = counts.get("seconds").and_then(|seconds| seconds.get(stage)?.as_f64());
        let place = if place.is_empty() { Some(counts) } else { counts.get(place) };
        let numbers: Vec<String> = names
            .iter()
            .filter_map(|name| {
                let number = place?.get(name)?.as_u64()?;
                Some(format!("{} {}", count(number), name.replace('_', " ")))
            })
            .collect();
        table.add_row([
            stage.to_owned(),
            seconds.map(|seconds| format!("{seconds:.3}")).unwrap_or_default(),
            numbers.join(", "),
        ]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    output::table_text(&table)
}
