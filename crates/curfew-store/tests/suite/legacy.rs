//! A database of the older application: what the sender has stays as it is, to the byte.

use curfew_engine::{Change, Changes, DeleteReason};
use curfew_store::{Database, PlanWriter, history};

use crate::fixture::{Folder, LEGACY, NOW, catalog, config, query, read_write, start};

const CONTACTS: i64 = 10_000;

/// Contacts with rows in every status and kind that the older application wrote: per contact two
/// committed rows, one owned, and for every tenth a second owned one of the same event.
fn organization(folder: &Folder) -> Database {
    let sql = format!(
        "{LEGACY}
         DROP INDEX idx_email_schedules_unique_event;
         BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {CONTACTS})
         INSERT INTO contacts (id, first_name, last_name, email, current_carrier, plan_type,
             effective_date, birth_date, tobacco_user, gender, state, zip_code)
           SELECT i, 'A', 'B', 'a' || i || '@x.org', 'C', 'N', '2020-01-01', '1950-01-01', 0, 'F',
             'CA', '90210' FROM n;
         INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, status, event_year,
             event_month, event_day, batch_id, metadata, sent_at)
           SELECT id, iif(id % 2, 'BIRTHDAY', 'birthday'), '2024-12-' || (10 + id % 20),
             iif(id % 3, 'sent', iif(id % 2, 'failed', 'delivered')), 2025, 1, 1, 'b' || id % 7,
             iif(id % 5, NULL, x'00ff'), iif(id % 4, 'then', 1.5)
           FROM contacts
           UNION ALL
           SELECT id, 'SCHEDULED_RATE_INCREASE', '2025-03-01', iif(id % 2, 'scheduled', 'processing'),
             NULL, NULL, NULL, 'b', '{{\"a\": 1}}', NULL FROM contacts
           UNION ALL
           SELECT id, 'effective_date', '2026-12-02', iif(id % 2, 'pre-scheduled', 'skipped'), 2027,
             1, 2, 'b', NULL, NULL FROM contacts
           UNION ALL
           SELECT id, 'effective_date', '2026-12-03', 'pre-scheduled', 2027, 1, 2, 'b', NULL, NULL
           FROM contacts WHERE id % 10 = 0;
         COMMIT;"
    );
    read_write(&folder.file(&sql))
}

/// Every value of every committed row, with its type, in the columns that there were.
fn committed(db: &Database) -> Vec<String> {
    let columns = query(db, "SELECT name FROM pragma_table_info('email_schedules')");
    let mut columns: Vec<String> =
        columns.into_iter().map(|name| format!("quote({name})")).collect();
    columns.retain(|name| !name.contains("initial_schedule_id") && !name.contains("shift_days"));
    let sql = format!(
        "SELECT {} FROM email_schedules WHERE status NOT IN ('pre-scheduled', 'skipped') ORDER BY id",
        columns.join(", ")
    );
    query(db, &sql)
}

#[test]
fn committed_rows_of_10000_contacts_stay_as_they_are_through_migration_and_writing() {
    let folder = Folder::new();
    let mut db = organization(&folder);
    let before = committed(&db);
    assert_eq!(before.len(), 20_000);
    let count = "SELECT count(*) FROM email_schedules";
    assert_eq!(query(&db, count), ["31000"]);

    let report = db.migrate(NOW).unwrap();
    assert_eq!(report.duplicates_deleted(), 1000);
    assert_eq!(committed(&db), before);
    // Of the duplicates the planned ones stay.
    assert_eq!(
        query(
            &db,
            "SELECT status, scheduled_send_date, count(*) FROM email_schedules
             WHERE email_type = 'effective_date' AND contact_id % 10 = 0 GROUP BY 1, 2"
        ),
        ["pre-scheduled|2026-12-03|1000"]
    );

    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let ids = query(&db, "SELECT contact_id, group_concat(id) FROM email_schedules GROUP BY 1");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    for line in &ids {
        let (contact, ids) = line.split_once('|').unwrap();
        let contact: i64 = contact.parse().unwrap();
        // A plan that wants to change every row, the sender's too.
        let rows = ids.split(',').map(|id| {
            let id = id.parse().unwrap();
            match contact % 3 {
                0 => Change::Expire { id },
                1 => Change::LowerCase { id },
                _ => Change::Delete { id, why: DeleteReason::NotPlanned },
            }
        });
        writer.apply(contact, &Changes { rows: rows.collect(), targets: Vec::new() }).unwrap();
        if contact % 500 == 0 {
            writer.commit_batch(Some(contact)).unwrap();
        }
    }
    writer.commit_batch(None).unwrap();
    let written = writer.written();
    assert_eq!((written.rows(), written.overtaken), (10_000, 20_000));
    drop(writer);
    assert_eq!(committed(&db), before);
    let verification = history::verify(&db, None).unwrap();
    assert_eq!((verification.entries, verification.faults), (11_000, vec![]));
}
