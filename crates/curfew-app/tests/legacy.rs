//! A database of the older application, planned: its committed rows stay to the byte, its own wrong
//! rows are planned anew, and a second run writes nothing.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use curfew_app::{
    NoProgress,
    config::Config,
    run::{RunReport, RunRequest, run},
};
use jiff::civil::date;
use rusqlite::Connection;
use testkit::organization::LEGACY_SCHEMA;

const COMMITTED: &str = "status NOT IN ('pre-scheduled', 'skipped')";

/// Ten thousand contacts of six states, and what the older application wrote for them: kinds in
/// capitals, birthdays on January 1 and effective dates on January 2, sent messages without event
/// columns, no shift.
fn organization(path: &Path) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(LEGACY_SCHEMA).unwrap();
    conn.execute_batch(
        "BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
         INSERT INTO contacts (id, first_name, last_name, email, current_carrier, plan_type,
             effective_date, birth_date, tobacco_user, gender, state, zip_code, phone_number, status)
           SELECT i, 'A', 'B', iif(i % 97, 'a' || i || '@example.com', 'bad' || i), 'C', 'N',
             iif(i % 11, date('2010-01-01', '+' || (i % 4000) || ' days'), ''),
             iif(i % 13, date('1940-01-01', '+' || (i % 9000) || ' days'), 'unknown'),
             0, 'F', '', substr('902106310189101100017520160601', 1 + 5 * (i % 6), 5),
             iif(i % 2, '555-0100', ''), iif(i % 89, 'active', 'cancelled')
           FROM n;
         INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, status,
             skip_reason, event_year, event_month, event_day, batch_id, metadata, sent_at)
           SELECT id, iif(id % 2, 'BIRTHDAY', 'birthday'),
             date('2027-01-01', '+' || (id % 300) || ' days'),
             iif(id % 3, 'pre-scheduled', 'skipped'), iif(id % 3, NULL, 'Year-round exclusion'),
             2027, 1, 1, 'b1', NULL, NULL FROM contacts
           UNION ALL
           SELECT id, 'effective_date', date('2026-10-01', '+' || (id % 100) || ' days'),
             'pre-scheduled', NULL, 2026, 1, 2, 'b1', NULL, NULL FROM contacts WHERE id % 2
           UNION ALL
           SELECT id, 'AEP', '2026-09-15', iif(id % 5, 'sent', 'bounced'), NULL, 2026, 9, 15,
             'b0', x'00ff', 1.5 FROM contacts WHERE id % 4 = 0
           UNION ALL
           SELECT id, 'effective_date', '2026-11-19', iif(id % 7, 'delivered', 'processing'), NULL,
             NULL, NULL, NULL, 'b0', '{\"a\": 1}', 'then' FROM contacts WHERE id % 10 = 0;
         COMMIT;",
    )
    .unwrap();
}

fn planned(path: &Path) -> RunReport {
    let request = RunRequest {
        database: path.to_owned(),
        config: Config::default(),
        today: Some(date(2026, 11, 20)),
        threads: Some(2),
        backup: false,
    };
    run(&request, &NoProgress).unwrap()
}

/// Every value of the rows that `condition` holds for, with its type, in the columns that the older
/// application knows.
fn rows(path: &Path, table: &str, condition: &str) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let older = Connection::open_in_memory().unwrap();
    older.execute_batch(LEGACY_SCHEMA).unwrap();
    let columns: Vec<String> = older
        .prepare(&format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"))
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let sql = format!(
        "SELECT {} FROM {table} WHERE {condition} ORDER BY id",
        columns.join(" || ' ' || ")
    );
    let mut statement = conn.prepare(&sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every value of every table, apart from what records that there was a run.
fn contents(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = conn.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let tables = texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    assert!(tables.iter().any(|name| name == "schedule_history"), "{tables:?}");
    let mut found = texts("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name");
    for table in tables {
        if ["scheduler_checkpoints", "contact_issues", "sqlite_sequence"].contains(&&*table) {
            continue;
        }
        let columns =
            texts(&format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"));
        let sql = format!("SELECT {} FROM {table} ORDER BY rowid", columns.join(" || ' ' || "));
        found.extend(texts(&sql));
    }
    found
}

fn count(path: &Path, condition: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM email_schedules WHERE {condition}");
    Connection::open(path).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_legacy_database_of_10000_contacts_is_planned_and_its_committed_rows_are_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("legacy.db");
    organization(&path);
    let before = rows(&path, "email_schedules", COMMITTED);
    let contacts = rows(&path, "contacts", "true");
    assert_eq!((before.len(), contacts.len()), (3500, 10_000));

    let report = planned(&path);
    assert_eq!((report.contacts.read, report.rows_overtaken), (10_000, 0));
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    assert_eq!(rows(&path, "email_schedules", COMMITTED), before);
    assert_eq!(rows(&path, "contacts", "true"), contacts);

    // Rows under a wrong event date are gone where their day is to come, and history where not.
    let wrong =
        "status <> 'sent' AND (email_type = 'birthday' AND event_month = 1 AND event_day = 1
         AND contact_id NOT IN (SELECT id FROM contacts WHERE birth_date LIKE '%-01-01')
       OR email_type = 'effective_date' AND event_month = 1 AND event_day = 2
         AND contact_id NOT IN (SELECT id FROM contacts WHERE effective_date LIKE '%-01-02'))";
    assert_eq!(count(&path, &format!("{wrong} AND scheduled_send_date >= '2026-11-20'")), 0);
    let late = format!("{wrong} AND scheduled_send_date < '2026-11-20'");
    assert!(count(&path, &late) > 1000);
    assert_eq!(
        count(&path, &format!("{late} AND skip_reason IS NOT 'Expired before it was sent'")),
        0
    );
    assert_eq!(count(&path, "status = 'pre-scheduled' AND email_type <> lower(email_type)"), 0);
    // What was sent on 2026-11-19 without event columns handles the messages that were due then.
    assert_eq!(
        count(
            &path,
            "status = 'pre-scheduled' AND email_type = 'effective_date'
             AND contact_id % 10 = 0 AND event_year = 2026 AND event_month = 12"
        ),
        0
    );
    let planned_rows = count(&path, "status = 'pre-scheduled'");
    assert!(planned_rows > 15_000, "{planned_rows}");

    let written = contents(&path);
    assert!(planned(&path).is_unchanged());
    assert!(contents(&path) == written, "a second run on the same day wrote something");
}
