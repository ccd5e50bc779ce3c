//! A run's rows depend neither on the number of threads nor on the size of the batches; and the
//! checksums on record are those of the tables.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{fs, path::Path};

use curfew_app::{
    NoProgress,
    config::Config,
    generate::{GenerateRequest, generate},
    run::{RunReport, RunRequest, run},
};
use curfew_store::{Access, Checked, Database};
use rusqlite::Connection;
use tempfile::TempDir;

fn organization(path: &Path, contacts: u32) {
    let request = GenerateRequest {
        campaigns: true,
        history: true,
        clicks: true,
        ..GenerateRequest::new(path, contacts, 11)
    };
    generate(&request).unwrap();
}

fn plan(db: &Path, today: &str, threads: usize, batch_size: u32) -> RunReport {
    let config = Config { batch_size, ..Config::default() };
    let mut request = RunRequest::new(db, config, Some(today.parse().unwrap()));
    request.threads = Some(threads);
    request.backup = false;
    run(&request, &NoProgress).unwrap()
}

/// All that a run decides, row by row: not its id and the time of day.
fn everything(db: &Path) -> Vec<String> {
    let connection = Connection::open(db).unwrap();
    let mut lines = Vec::new();
    for sql in [
        "SELECT id, contact_id, email_type, scheduled_send_date, scheduled_send_time, status,
           skip_reason, priority, campaign_instance_id, email_template, sms_template, event_year,
           event_month, event_day, initial_schedule_id, shift_days, metadata, actual_send_datetime
         FROM email_schedules ORDER BY id",
        "SELECT id, contact_id, campaign_instance_id, trigger_date, status FROM contact_campaigns
         ORDER BY id",
        "SELECT schedule_id, contact_id, what, why FROM schedule_history ORDER BY id",
        "SELECT contact_id, field, reason FROM contact_issues ORDER BY id",
    ] {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values = (0..columns).map(|at| Ok(format!("{:?}", row.get_ref(at)?)));
            Ok(values.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
        });
        lines.extend(rows.unwrap().map(Result::unwrap));
    }
    lines
}

#[test]
fn rows_are_the_same_whatever_the_number_of_threads_and_the_size_of_batches() {
    let folder = TempDir::new().unwrap();
    let fresh = folder.path().join("fresh.db");
    organization(&fresh, 400);
    let mut expected: Option<[Vec<String>; 2]> = None;
    let settings =
        [(1, 10_000), (1, 1), (1, 7), (2, 7), (2, 1_000), (3, 1), (3, 1_000), (8, 7), (8, 10_000)];
    for (threads, batch_size) in settings {
        let db = folder.path().join("plan.db");
        fs::copy(&fresh, &db).unwrap();
        let cold = plan(&db, "2026-11-20", threads, batch_size);
        assert!(cold.rows.inserted > 500, "{}", cold.rows.inserted);
        let first = everything(&db);
        let next = plan(&db, "2026-11-21", threads, batch_size);
        assert!(!next.is_unchanged());
        let found = [first, everything(&db)];
        let expected = expected.get_or_insert_with(|| found.clone());
        assert!(*expected == found, "{threads} threads, {batch_size} contacts to a batch");
        fs::remove_file(&db).unwrap();
    }
}

/// Both checksums before and after the last run.
fn on_record(db: &Path) -> [String; 4] {
    let connection = Connection::open(db).unwrap();
    connection
        .query_row(
            "SELECT contacts_checksum_before, schedules_checksum_before, contacts_checksum_after,
               schedules_checksum_after FROM scheduler_checkpoints ORDER BY rowid DESC LIMIT 1",
            [],
            |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]),
        )
        .unwrap()
}

fn computed(db: &Path) -> [String; 2] {
    let database = Database::open(db, Access::ReadOnly).unwrap();
    [Checked::Contacts, Checked::Schedules]
        .map(|table| database.checksum(table).unwrap().to_string())
}

#[test]
fn the_checksums_on_record_are_those_of_the_tables_before_and_after() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("plan.db");
    organization(&db, 300);
    let [contacts, sent] = computed(&db);
    plan(&db, "2026-11-20", 2, 100);
    let [planned_contacts, planned] = computed(&db);
    assert_eq!(planned_contacts, contacts);
    assert_ne!(planned, sent);
    assert_eq!(on_record(&db)[2..], [contacts.clone(), planned.clone()]);

    // Nothing to do: what was found is what is left.
    for threads in [1, 3] {
        assert!(plan(&db, "2026-11-20", threads, 100).is_unchanged());
        let same = [contacts.clone(), planned.clone(), contacts.clone(), planned.clone()];
        assert_eq!(on_record(&db), same);
    }

    // What others change between two runs is seen, in any column and whoever a row belongs to.
    let mut seen = vec![contacts, planned];
    for sql in [
        "UPDATE contacts SET last_name = last_name || '' || 'x' WHERE id = 7",
        "UPDATE contacts SET plan_type = CAST(plan_type AS BLOB) WHERE id = 7",
        "UPDATE email_schedules SET updated_at = 'later' WHERE id = (SELECT max(id) FROM email_schedules)",
        "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date,
           scheduled_send_time, status) VALUES ('nobody', 'aep', '', '', 'sent')",
        "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date,
           scheduled_send_time, status) VALUES (7.5, 'aep', '', '', 'sent')",
        "DELETE FROM email_schedules WHERE contact_id = 'nobody'",
    ] {
        Connection::open(&db).unwrap().execute_batch(sql).unwrap();
        let now = computed(&db);
        assert!(now.iter().any(|sum| !seen.contains(sum)), "{sql}");
        seen.extend(now.clone());
        plan(&db, "2026-11-20", 2, 100);
        assert_eq!(on_record(&db)[..2], now, "{sql}");
        assert_eq!(on_record(&db)[2..], computed(&db), "{sql}");
    }
}
