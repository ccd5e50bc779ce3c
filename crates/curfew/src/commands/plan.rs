//! `curfew plan`: `curfew run --dry-run`, showing what would change.

use curfew_app::run::{PlannedChange, RunReport};
use serde::Serialize;

use super::run::{count, ending, request, summary};
use crate::{
    Ending,
    args::PlanArgs,
    output::{self, Bar},
};

#[derive(Serialize)]
struct PlanJson<'a> {
    changes: &'a [PlannedChange],
    summary: &'a RunReport,
}

pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<Ending> {
    let request = request(&args.source)?;
    let bar = Bar::default();
    if args.csv {
        let mut writer = csv::Writer::from_writer(std::io::stdout().lock());
        let mut is_empty = true;
        let report = curfew_app::run::preview(&request, &bar, &mut |change| {
            is_empty = false;
            writer.serialize(change).map_err(std::io::Error::from)
        });
        bar.finish();
        let report = report?;
        if is_empty {
            writer.write_record(PlannedChange::FIELDS)?;
        }
        writer.flush()?;
        return Ok(ending(&report));
    }

    let mut changes = Vec::new();
    let mut total = 0_u64;
    let keep = if args.json { usize::MAX } else { args.limit };
    let report = curfew_app::run::preview(&request, &bar, &mut |change| {
        total += 1;
        if changes.len() < keep {
            changes.push(change);
        }
        Ok(())
    });
    bar.finish();
    let report = report?;
    if args.json {
        output::print_json(&PlanJson { changes: &changes, summary: &report })?;
        return Ok(ending(&report));
    }
    output::print(&table(&changes))?;
    if total > changes.len() as u64 {
        output::print(&format!(
            "… and {} more changes; --limit, --csv and --json show them\n",
            count(total - changes.len() as u64)
        ))?;
    }
    output::print(&format!("\n{}", summary(&report)))?;
    Ok(ending(&report))
}

fn table(changes: &[PlannedChange]) -> String {
    if changes.is_empty() {
        return "Nothing would change.\n".to_owned();
    }
    let mut table = output::table(&[
        "change", "contact", "row", "kind", "event", "was", "date", "status", "reason",
    ]);
    for change in changes {
        table.add_row([
            change.change.to_owned(),
            change.contact_id.to_string(),
            change.schedule_id.map(|id| id.to_string()).unwrap_or_default(),
            change.email_type.clone().unwrap_or_default(),
            change.event_date.clone().unwrap_or_default(),
            was(change),
            change.scheduled_send_date.clone().unwrap_or_default(),
            change.status.unwrap_or_default().to_owned(),
            change.reason.clone().unwrap_or_default(),
        ]);
    }
    output::table_text(&table)
}

/// What of a row was otherwise before.
fn was(change: &PlannedChange) -> String {
    let date = change.old_scheduled_send_date.as_deref().unwrap_or_default();
    let status = change.old_status.as_deref().unwrap_or_default();
    let same_status = change.status.is_none_or(|now| now == status);
    match (change.old_scheduled_send_date == change.scheduled_send_date, same_status) {
        _ if change.change == "delete" => format!("{date} {status}"),
        (true, true) => String::new(),
        (true, false) => status.to_owned(),
        (false, true) => date.to_owned(),
        (false, false) => format!("{date} {status}"),
    }
}
