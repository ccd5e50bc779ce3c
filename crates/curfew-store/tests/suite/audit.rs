use curfew_engine::{Change, Changes, DeleteReason};
use curfew_store::{Database, PlanWriter, audit::Selection};

use crate::fixture::{CONTACTS, Folder, catalog, config, query, read_write, start};

const MONDAY: &str = "2026-11-16 06:00:00";
const TUESDAY: &str = "2026-11-17 06:00:00";
const WEDNESDAY: &str = "2026-11-18 06:00:00";

fn apply(db: &Database, run: &str, now: &str, contact: i64, change: Change) {
    start(db, run);
    let (config, catalog) = (config(), catalog(db));
    let mut writer = PlanWriter::begin(db, run, now, &config, &catalog).unwrap();
    writer.apply(contact, &Changes { rows: vec![change], targets: Vec::new() }).unwrap();
    writer.commit_batch(Some(contact)).unwrap();
}

/// Rows 1 to 4 made on Monday; on Tuesday row 1 expires and row 2 goes; on Wednesday row 1 goes,
/// row 3 is sent and row 5 is made.
fn recorded(folder: &Folder) -> Database {
    let mut db = read_write(&folder.file(CONTACTS));
    db.migrate(MONDAY).unwrap();
    let insert = |id: i64, at: &str| {
        db.connection()
            .execute(
                "INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date,
                   scheduled_send_time, status, created_at)
                 VALUES (?1, ?1, 'aep', '2026-11-16', '08:30:00', 'pre-scheduled', ?2)",
                (id, at),
            )
            .unwrap();
    };
    (1..=4).for_each(|id| insert(id, MONDAY));
    apply(&db, "r1", TUESDAY, 1, Change::Expire { id: 1 });
    let gone = |id| Change::Delete { id, why: DeleteReason::NotPlanned };
    apply(&db, "r2", TUESDAY, 2, gone(2));
    apply(&db, "r3", WEDNESDAY, 1, gone(1));
    insert(5, WEDNESDAY);
    db.connection()
        .execute_batch(
            "UPDATE email_schedules SET status = 'sent',
               actual_send_datetime = '2026-11-18 09:00:00' WHERE id = 3",
        )
        .unwrap();
    db
}

/// Rows and their statuses as of the end of a day, in UTC.
fn plan(db: &Database, day: &str, contact: Option<i64>) -> Vec<String> {
    let rows = db.plan_as_of(&format!("{day} 24:00:00"), day, contact).unwrap();
    rows.iter()
        .map(|row| format!("{} {}", row.schedule_id, row.status.as_deref().unwrap_or("?")))
        .collect()
}

#[test]
fn the_plan_of_an_earlier_day_is_what_it_was() {
    let folder = Folder::new();
    let db = recorded(&folder);
    assert!(plan(&db, "2026-11-15", None).is_empty());
    assert_eq!(
        plan(&db, "2026-11-16", None),
        ["1 pre-scheduled", "2 pre-scheduled", "3 pre-scheduled", "4 pre-scheduled"]
    );
    assert_eq!(plan(&db, "2026-11-17", None), ["1 skipped", "3 pre-scheduled", "4 pre-scheduled"]);
    assert_eq!(plan(&db, "2026-11-18", None), ["3 sent", "4 pre-scheduled", "5 pre-scheduled"]);
    assert_eq!(plan(&db, "2026-11-17", Some(1)), ["1 skipped"]);
    assert!(plan(&db, "2026-11-18", Some(1)).is_empty());
}

#[test]
fn entries_are_found_by_contact_run_and_time() {
    let folder = Folder::new();
    let db = recorded(&folder);
    let found = |selection: Selection<'_>| -> Vec<String> {
        let entries = db.history_entries(&selection).unwrap();
        entries
            .iter()
            .map(|entry| {
                let what = entry.what.as_deref().unwrap_or("?");
                format!("{} {what} {}", entry.id, entry.old("status").unwrap_or_default())
            })
            .collect()
    };
    let all = ["1 expired pre-scheduled", "2 deleted pre-scheduled", "3 deleted skipped"];
    let every = Selection::default();
    assert_eq!(found(every), all);
    assert_eq!(found(Selection { contact_id: Some(1), ..every }), [all[0], all[2]]);
    assert_eq!(found(Selection { run_id: Some("r2"), ..every }), [all[1]]);
    assert_eq!(found(Selection { from: Some(WEDNESDAY), ..every }), [all[2]]);
    assert_eq!(found(Selection { before: Some(WEDNESDAY), ..every }), [all[0], all[1]]);
    assert!(found(Selection { contact_id: Some(9), ..every }).is_empty());
}

#[test]
fn a_database_without_history_has_an_empty_record() {
    let folder = Folder::new();
    let db = read_write(&folder.file(CONTACTS));
    assert!(db.history_entries(&Selection::default()).unwrap().is_empty());
    assert!(plan(&db, "2026-11-18", None).is_empty());
    assert!(query(&db, "SELECT name FROM sqlite_schema WHERE name <> 'contacts'").is_empty());
}
