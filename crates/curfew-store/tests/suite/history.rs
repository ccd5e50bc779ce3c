use curfew_engine::{Change, Changes};
use curfew_store::{Database, PlanWriter, history, history::Fault};

use crate::fixture::{CONTACTS, Folder, NOW, catalog, config, query, read_write, start};

/// Two runs that expired two rows each.
fn recorded(folder: &Folder) -> Database {
    let mut db = read_write(&folder.file(CONTACTS));
    db.migrate(NOW).unwrap();
    let (config, catalog) = (config(), catalog(&db));
    for (run, ids) in [("r1", [1, 2]), ("r2", [3, 4])] {
        start(&db, run);
        let mut writer = PlanWriter::begin(&db, run, NOW, &config, &catalog).unwrap();
        for id in ids {
            db.connection()
                .execute(
                    "INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date,
                       scheduled_send_time, status)
                     VALUES (?1, ?1, 'aep', '2026-01-01', '08:30:00', 'pre-scheduled')",
                    [id],
                )
                .unwrap();
            let rows = vec![Change::Expire { id }];
            writer.apply(id, &Changes { rows, targets: Vec::new() }).unwrap();
            writer.commit_batch(Some(id)).unwrap();
        }
    }
    db
}

/// The faults after these statements, with nothing to stop them.
fn faults(tampering: &str) -> Vec<String> {
    let folder = Folder::new();
    let db = recorded(&folder);
    let triggers = query(&db, "SELECT sql FROM sqlite_schema WHERE type = 'trigger'").join(";");
    db.connection()
        .execute_batch(&format!(
            "DROP TRIGGER schedule_history_no_update; DROP TRIGGER schedule_history_no_delete;
             {tampering}; {}",
            triggers.replace("; END", "; END;")
        ))
        .unwrap();
    history::verify(&db, None).unwrap().faults.iter().map(ToString::to_string).collect()
}

#[test]
fn an_untouched_history_stands() {
    let folder = Folder::new();
    let db = recorded(&folder);
    let verification = history::verify(&db, None).unwrap();
    assert_eq!((verification.entries, verification.unchained), (4, 0));
    assert!(verification.faults.is_empty());
    assert!(faults("SELECT 1").is_empty());
    let run = db.run("r1").unwrap().unwrap();
    assert_eq!(run.history.unwrap().id, 2);
    assert_eq!((run.batches_done, run.last_contact_id), (2, Some(2)));
}

#[test]
fn entries_can_be_neither_changed_nor_deleted() {
    let folder = Folder::new();
    let db = recorded(&folder);
    for sql in
        ["UPDATE schedule_history SET why = 'x' WHERE id = 1", "DELETE FROM schedule_history"]
    {
        let error = db.connection().execute_batch(sql).unwrap_err().to_string();
        assert_eq!(error, "schedule_history is append-only");
    }
}

#[test]
fn every_later_edit_is_found() {
    for column in ["run_id", "what", "why", "old_values", "recorded_at"] {
        assert_eq!(
            faults(&format!("UPDATE schedule_history SET {column} = 'x' WHERE id = 2")),
            ["entry 2 was changed after it was recorded"],
            "{column}"
        );
    }
    for column in ["schedule_id", "contact_id"] {
        for value in ["9", "'x'", "2.0"] {
            // A real that is whole is stored as an integer, and so is no change.
            let expected: &[&str] =
                if value == "2.0" { &[] } else { &["entry 2 was changed after it was recorded"] };
            let sql = format!("UPDATE schedule_history SET {column} = {value} WHERE id = 2");
            assert_eq!(faults(&sql), expected, "{sql}");
        }
    }
    assert_eq!(
        faults("UPDATE schedule_history SET contact_id = NULL WHERE id = 4"),
        ["entry 4 was changed after it was recorded"]
    );
    assert_eq!(
        faults("UPDATE schedule_history SET hash = 'x' WHERE id = 3"),
        [
            "entry 3 was changed after it was recorded",
            "entry 4 does not follow the entry before it"
        ]
    );
    assert_eq!(
        faults("UPDATE schedule_history SET hash = 'x' WHERE id = 2"),
        [
            "entry 2 was changed after it was recorded",
            "entry 3 does not follow the entry before it",
            "run r1 ended with entry 2, which is not there as it was",
        ]
    );
}

#[test]
fn every_removal_is_found() {
    assert_eq!(
        faults("DELETE FROM schedule_history WHERE id = 3"),
        ["entries are missing before entry 4"]
    );
    assert_eq!(
        faults("DELETE FROM schedule_history WHERE id = 1"),
        ["entries are missing before entry 2"]
    );
    assert_eq!(
        faults("DELETE FROM schedule_history WHERE id = 4"),
        ["run r2 ended with entry 4, which is not there as it was"]
    );
    assert_eq!(
        faults("DELETE FROM schedule_history"),
        [
            "run r1 ended with entry 2, which is not there as it was",
            "run r2 ended with entry 4, which is not there as it was"
        ]
    );
    assert_eq!(
        faults(
            "DELETE FROM schedule_history WHERE id = 3;
             UPDATE schedule_history SET id = 3 WHERE id = 4"
        ),
        [
            "entry 3 does not follow the entry before it",
            "entry 3 was changed after it was recorded",
            "run r2 ended with entry 4, which is not there as it was"
        ]
    );
}

#[test]
fn entries_in_another_order_are_found() {
    // Two entries exchange everything but their ids.
    let columns = "run_id, schedule_id, contact_id, what, why, old_values, recorded_at";
    let exchanged = |columns: &str| {
        let taken = |id: i64| format!("(SELECT {columns} FROM was WHERE id = {id})");
        faults(&format!(
            "CREATE TEMP TABLE was AS SELECT * FROM schedule_history;
             UPDATE schedule_history SET ({columns}) = {} WHERE id = 2;
             UPDATE schedule_history SET ({columns}) = {} WHERE id = 3",
            taken(3),
            taken(2)
        ))
    };
    let changed =
        ["entry 2 was changed after it was recorded", "entry 3 was changed after it was recorded"];
    assert_eq!(exchanged(columns), changed);
    // And their hashes.
    assert_eq!(
        exchanged(&format!("{columns}, previous_hash, hash")),
        [
            "entry 2 does not follow the entry before it",
            "entry 2 was changed after it was recorded",
            "entry 3 does not follow the entry before it",
            "entry 3 was changed after it was recorded",
            "entry 4 does not follow the entry before it",
            "run r1 ended with entry 2, which is not there as it was",
        ]
    );
}

#[test]
fn every_insertion_is_found() {
    let insert = |id: &str| {
        faults(&format!(
            "UPDATE schedule_history SET id = id + 100 WHERE id >= {id};
             INSERT INTO schedule_history SELECT {id}, run_id, schedule_id, contact_id, what, why,
               old_values, recorded_at, previous_hash, hash FROM schedule_history WHERE id = 1;
             UPDATE schedule_history SET id = id - 99 WHERE id > 100"
        ))
    };
    for id in ["2", "3", "4"] {
        assert!(insert(id).len() >= 3, "{:?}", insert(id));
    }
}

#[test]
fn an_entry_added_at_the_end_is_found_even_with_a_right_hash() {
    let folder = Folder::new();
    let db = recorded(&folder);
    let add = |run_id: &str| {
        let previous = query(&db, "SELECT max(id) || '|' || hash FROM schedule_history");
        let (id, hash) = previous[0].split_once('|').unwrap();
        let id = id.parse::<i64>().unwrap() + 1;
        let fields = (id, run_id, 1, 1, "updated", "never", "{}", NOW);
        let text = serde_json::to_string(&fields).unwrap();
        let new = blake3::hash(format!("{hash}\n{text}").as_bytes()).to_hex().to_string();
        db.connection()
            .execute(
                "INSERT INTO schedule_history VALUES (?1, ?2, 1, 1, 'updated', 'never', '{}', ?3, ?4, ?5)",
                (id, run_id, NOW, hash, &new),
            )
            .unwrap();
        new
    };
    add("r2");
    add("nobody");
    let found = history::verify(&db, None).unwrap();
    let faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "entry 5 was not made by run r2, which it names",
            "entry 6 was not made by run nobody, which it names"
        ]
    );
}

#[test]
fn a_hash_noted_elsewhere_must_be_there() {
    let folder = Folder::new();
    let db = recorded(&folder);
    let noted = history::verify(&db, None).unwrap().last_hash.unwrap();
    assert!(history::verify(&db, Some(&noted)).unwrap().faults.is_empty());
    assert!(history::verify(&db, Some(&noted.to_uppercase())).unwrap().faults.is_empty());
    // Who removes the runs along with the end of the history is found by it alone.
    db.connection()
        .execute_batch(
            "DROP TRIGGER schedule_history_no_delete;
             DELETE FROM schedule_history WHERE id > 2;
             DELETE FROM scheduler_checkpoints WHERE run_id = 'r2';
             CREATE TRIGGER schedule_history_no_delete BEFORE DELETE ON schedule_history
               BEGIN SELECT raise(abort, 'no'); END;",
        )
        .unwrap();
    assert!(history::verify(&db, None).unwrap().faults.is_empty());
    let faults = history::verify(&db, Some(&noted)).unwrap().faults;
    assert_eq!(faults, [Fault::Missing { hash: noted }]);
}

#[test]
fn a_history_without_its_guards_is_reported() {
    let folder = Folder::new();
    let mut db = recorded(&folder);
    db.connection().execute_batch("DROP TRIGGER schedule_history_no_delete").unwrap();
    let trigger = "schedule_history_no_delete";
    assert_eq!(history::verify(&db, None).unwrap().faults, [Fault::Unguarded { trigger }]);
    assert!(!db.migrate(NOW).unwrap().is_empty());
    assert!(history::verify(&db, None).unwrap().faults.is_empty());
}

#[test]
fn a_hash_is_made_as_documented() {
    let folder = Folder::new();
    let db = recorded(&folder);
    let hashed = |previous: &str, id: i64| {
        let entry = query(
            &db,
            &format!(
                "SELECT json_array(id, run_id, schedule_id, contact_id, what, why, old_values,
                   recorded_at) FROM schedule_history WHERE id = {id}"
            ),
        );
        blake3::hash(format!("{previous}\n{}", entry[0]).as_bytes()).to_hex().to_string()
    };
    let first = hashed(&"0".repeat(64), 1);
    let second = hashed(&first, 2);
    assert_eq!(
        query(&db, "SELECT previous_hash, hash FROM schedule_history WHERE id = 2"),
        [format!("{first}|{second}")]
    );
}

#[test]
fn a_database_without_a_history_has_nothing_to_verify() {
    let folder = Folder::new();
    let db = read_write(&folder.file(CONTACTS));
    assert_eq!(history::verify(&db, None).unwrap(), history::Verification::default());
    let sql = "CREATE TABLE schedule_history (id INTEGER PRIMARY KEY, note)";
    db.connection().execute_batch(sql).unwrap();
    assert_eq!(history::verify(&db, None).unwrap(), history::Verification::default());
}
