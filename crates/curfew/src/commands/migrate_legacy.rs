//! `curfew migrate-legacy`.

use std::fmt::Write as _;

use curfew_app::legacy::{MigrateReport, MigrateRequest, migrate};

use super::run::{count, load_config};
use crate::{
    Ending,
    args::{MigrateLegacyArgs, campaign::who},
    output,
};

pub(crate) fn run(args: &MigrateLegacyArgs) -> anyhow::Result<Ending> {
    let report = migrate(&MigrateRequest {
        database: args.db.clone(),
        config: load_config(args.config.as_deref())?,
        by: who(args.by.as_deref()),
        days_before_event: args.days_before_event,
        dry_run: args.dry_run,
        backup: !args.no_backup,
    })?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report).unwrap_or_default())?;
    }
    Ok(if report.rows.problems.is_empty() { Ending::Done } else { Ending::NeedsAttention })
}

/// The report as text. Writing to a string does not fail.
fn text(report: &MigrateReport) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let verb = if report.dry_run { "Dry run of migrating" } else { "Migrated" };
    let id = report.run_id.as_deref().map(|id| format!(" ({id})")).unwrap_or_default();
    writeln!(out, "{verb}{id}: {}", report.database.display())?;
    if report.is_unchanged() {
        writeln!(out, "There is nothing to do")?;
    }
    for name in &report.table_migrations {
        writeln!(out, "Tables       {name}")?;
    }
    let mut table = output::table(&["rows", "kind", "status", "what becomes of them"]);
    for kind in &report.rows.kinds {
        table.add_row([
            count(kind.rows),
            kind.email_type.clone().unwrap_or_default(),
            kind.status.clone().unwrap_or_default(),
            kind.becomes.to_owned(),
        ]);
    }
    writeln!(out)?;
    out.push_str(&output::table_text(&table));
    writeln!(out)?;
    if let Some(campaign) = &report.rows.campaign {
        writeln!(
            out,
            "Campaign     type `{}`{}, {} days before the event",
            campaign.campaign_type,
            if campaign.type_added { " (new)" } else { "" },
            campaign.days_before_event
        )?;
        for instance in &campaign.instances {
            writeln!(
                out,
                "Instance     `{}`{}, e-mail template {}, SMS template {}",
                instance.name,
                match (instance.id, instance.added) {
                    (Some(id), true) => format!(" (new, {id})"),
                    (None, _) => " (new)".to_owned(),
                    (Some(id), false) => format!(" ({id})"),
                },
                instance.email_template.as_deref().unwrap_or("none"),
                instance.sms_template.as_deref().unwrap_or("none")
            )?;
        }
        writeln!(
            out,
            "Targets      {} added ({} of them sent, {} from the history), {} became sent, {} unchanged",
            count(campaign.targets_added),
            count(campaign.targets_sent),
            count(campaign.targets_recovered),
            count(campaign.targets_updated),
            count(campaign.targets_unchanged)
        )?;
        writeln!(
            out,
            "Rows         {} became messages of the campaign, {} went as doubles (in the history)",
            count(campaign.rows_converted),
            count(campaign.rows_deleted)
        )?;
    }
    writeln!(
        out,
        "Committed    {} rows stay as they are; {} rows added that stand for some of them",
        count(report.rows.committed_kept),
        count(report.rows.stand_ins_added)
    )?;
    if let Some(backup) = &report.backup {
        writeln!(out, "Backup       {}", backup.backup.display())?;
    }
    for problem in &report.rows.problems {
        writeln!(out, "Look at      {problem}")?;
    }
    Ok(out)
}
