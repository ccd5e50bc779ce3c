//! How cost grows with what is not the number of contacts: rows that change, days that passed,
//! campaigns, all of these together, and what was sent and changed in the past.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;

use super::{Bench, Scenario, TODAY, TOMORROW, copy_database, remove_database, repeated, sql};

/// More contacts are not needed to see how cost grows with other things.
pub(super) const CONTACTS_MAX: u64 = 100_000;

const TEN_DAYS_LATER: &str = "2026-11-30";

/// Past messages of each contact, and as many rows of the history.
const PAST: u64 = 10;

/// A database at hand, and the one that a run is measured on.
struct Growth<'b> {
    bench: &'b Bench,
    planned: PathBuf,
    db: PathBuf,
    /// A run with nothing to change.
    unchanged: Scenario,
}

/// Measures at one size and writes the tables.
pub(super) fn measure(bench: &Bench, contacts: u64, out: &mut String) -> Result<()> {
    eprintln!("\n==== growth, {contacts} contacts");
    let planned = bench.folder.join("planned.db");
    let db = bench.folder.join("plan.db");
    bench.generate(contacts, &planned)?;
    let no_backup = &["--no-backup"];
    bench.plan("cold", &planned, TODAY, no_backup)?;
    copy_database(&planned, &db)?;
    let unchanged = repeated(|| bench.plan("unchanged", &db, TODAY, no_backup))?;
    let growth = Growth { bench, planned, db, unchanged };
    growth.write_costs(contacts, out)?;
    growth.write_memory(contacts, out)?;
    remove_database(&growth.planned)?;
    remove_database(&growth.db)
}

impl Growth<'_> {
    /// A run on a copy of the planned database after a change of it.
    fn after(&self, name: &str, change: &str, today: &str) -> Result<Scenario> {
        repeated(|| {
            copy_database(&self.planned, &self.db)?;
            if !change.is_empty() {
                sql(&self.db, change)?;
            }
            self.bench.plan(name, &self.db, today, &["--no-backup"])
        })
    }

    fn write_costs(&self, contacts: u64, out: &mut String) -> Result<()> {
        writeln!(
            out,
            "\n### With what the cost grows, at {contacts} contacts\n\n\
             Each line is a run after the plan of {TODAY}, nothing sent meanwhile. *More than \
             unchanged* is what it takes beyond a run without any change, {:.2} s of CPU.\n\n\
             | run | rows written | wall, s | CPU, s | CPU more than unchanged, s | for each 100,000 rows |\n\
             | --- | ---: | ---: | ---: | ---: | ---: |",
            self.unchanged.cost.cpu_seconds
        )?;
        let mut line = |scenario: &Scenario| -> Result<f64> {
            let Scenario { name, cost, rows, .. } = scenario;
            let more = cost.cpu_seconds - self.unchanged.cost.cpu_seconds;
            #[expect(clippy::cast_precision_loss, reason = "a number for people")]
            let each = if *rows == 0 { 0.0 } else { more / (*rows as f64) * 100_000.0 };
            writeln!(
                out,
                "| {name} | {rows} | {:.2} | {:.2} | {more:.2} | {each:.2} |",
                cost.wall_seconds, cost.cpu_seconds
            )?;
            Ok(more)
        };
        let half = changed(50);
        line(&self.after("1% of the contacts changed", &changed(1), TODAY)?)?;
        line(&self.after("10% of the contacts changed", &changed(10), TODAY)?)?;
        let half_changed = line(&self.after("50% of the contacts changed", &half, TODAY)?)?;
        line(&self.after("100% of the contacts changed", &changed(100), TODAY)?)?;
        line(&self.after("1 day later", "", TOMORROW)?)?;
        let days_later = line(&self.after("10 days later", "", TEN_DAYS_LATER)?)?;
        line(&self.after("100 days later", "", "2027-02-28")?)?;
        let hundred = campaigns(100, false);
        let one_of = |number: &str| format!("{number} more, each contact a target of one");
        line(&self.after(&one_of("1 campaign"), &campaigns(1, false), TODAY)?)?;
        line(&self.after(&one_of("10 campaigns"), &campaigns(10, false), TODAY)?)?;
        let more_campaigns = line(&self.after(&one_of("100 campaigns"), &hundred, TODAY)?)?;
        for number in [3, 10] {
            let name = format!("{number} campaigns more, each contact a target of all");
            line(&self.after(&name, &campaigns(number, true), TODAY)?)?;
        }
        let name = "50% changed, 10 days later and 100 campaigns more at once";
        let together = line(&self.after(name, &format!("{half}; {hundred}"), TEN_DAYS_LATER)?)?;
        writeln!(
            out,
            "\nThe three of the last line one by one take {:.2} s of CPU more than unchanged in sum, at \
             once {together:.2} s. If cost grew with their products, it would be many times as much.",
            half_changed + days_later + more_campaigns
        )?;
        Ok(())
    }

    fn write_memory(&self, contacts: u64, out: &mut String) -> Result<()> {
        writeln!(
            out,
            "\n### Memory beside a long past, at {contacts} contacts\n\n\
             {} past messages and as many rows of the history are added to the planned database.\n\n\
             | run | past | wall, s | CPU, s | peak memory, MiB | database, MiB |\n\
             | --- | --- | ---: | ---: | ---: | ---: |",
            contacts * PAST
        )?;
        for past in [false, true] {
            if past {
                sql(&self.planned, &long_past())?;
            }
            for (name, change, today) in [
                ("unchanged", String::new(), TODAY),
                ("1% of the contacts changed", changed(1), TODAY),
                ("next day", String::new(), TOMORROW),
            ] {
                let Scenario { cost, database_mib, .. } = self.after(name, &change, today)?;
                writeln!(
                    out,
                    "| {name} | {} | {:.2} | {:.2} | {:.0} | {database_mib:.0} |",
                    if past { "long" } else { "none" },
                    cost.wall_seconds,
                    cost.cpu_seconds,
                    cost.peak_mib,
                )?;
            }
        }
        Ok(())
    }
}

/// So many of a hundred contacts have another birth date.
fn changed(percent: u32) -> String {
    format!(
        "UPDATE contacts SET birth_date = date(birth_date, '+17 days') WHERE id % 100 < {percent}"
    )
}

/// Campaigns whose targets are due a week after one another.
fn campaigns(number: u32, everybody_of_all: bool) -> String {
    let condition =
        if everybody_of_all { "true".into() } else { format!("i.id - 1 = contacts.id % {number}") };
    format!(
        "INSERT INTO campaign_types (name, priority) VALUES ('notice', 5);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number})
         INSERT INTO campaign_instances (id, campaign_type, instance_name, email_template,
           active_start_date, active_end_date)
         SELECT i, 'notice', 'notice ' || i, 'notice', '2026-11-20', '2027-11-20' FROM n;
         INSERT INTO contact_campaigns (contact_id, campaign_instance_id, trigger_date)
         SELECT contacts.id, i.id, date('2026-12-01', (i.id % 40 * 7) || ' days')
         FROM contacts CROSS JOIN campaign_instances AS i
         WHERE {condition} ORDER BY contacts.id, i.id"
    )
}

/// Messages that were sent in the years before, month after month, and rows of the history.
fn long_past() -> String {
    format!(
        "PRAGMA cache_size = -65536;
         CREATE TEMP TABLE months AS
           WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {PAST})
           SELECT i, date('2025-06-15', -(i * 31) || ' days') AS sent_on FROM n;
         INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, status, priority,
           email_template, scheduler_run_id, event_year, event_month, event_day, shift_days,
           created_at, updated_at, actual_send_datetime)
         SELECT contacts.id, 'birthday', sent_on, 'delivered', 10, 'birthday', 'earlier',
           substr(sent_on, 1, 4) + 0, substr(sent_on, 6, 2) + 0, substr(sent_on, 9, 2) + 0, 0,
           sent_on || ' 06:00:00', sent_on || ' 08:30:00', sent_on || ' 08:30:00'
         FROM temp.months CROSS JOIN contacts;
         INSERT INTO schedule_history (run_id, schedule_id, contact_id, what, why, old_values,
           recorded_at, previous_hash, hash)
         SELECT 'earlier', contacts.id, contacts.id, 'update', 'the date differs',
           json_object('id', contacts.id, 'contact_id', contacts.id, 'email_type', 'birthday',
             'scheduled_send_date', sent_on, 'status', 'pre-scheduled'),
           sent_on || ' 06:00:00', hex(zeroblob(32)), hex(zeroblob(32))
         FROM temp.months CROSS JOIN contacts"
    )
}
