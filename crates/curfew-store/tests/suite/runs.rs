use curfew_store::{Access, Checked, Database, RunEnd, RunStart, RunStatus, StoreError};

use crate::fixture::{CONTACTS, Folder, NOW, day, query, read_write, start};

fn migrated() -> Database {
    let mut db = Database::in_memory().unwrap();
    db.migrate(NOW).unwrap();
    db
}

#[test]
fn a_run_is_on_record_from_its_start_to_its_end() {
    let db = migrated();
    let config = db.store_config("timezone: America/Chicago", Some("ann"), NOW).unwrap();
    db.start_run(&RunStart {
        run_id: "r1",
        command: "run",
        today: day("2026-11-20"),
        started_at: NOW,
        config_version_id: Some(config),
        contacts_checksum: Some("c1"),
        schedules_checksum: Some("s1"),
    })
    .unwrap();
    let run = db.run("r1").unwrap().unwrap();
    assert_eq!(run.status, RunStatus::Started);
    assert_eq!(run.today, Some(day("2026-11-20")));
    assert_eq!(run.config_version_id, Some(config));
    assert_eq!((run.batches_done, run.last_contact_id, run.completed_at), (0, None, None));

    db.complete_run(
        "r1",
        &RunEnd {
            completed_at: "later",
            counts: r#"{"contacts":3}"#,
            contacts_checksum: Some("c2"),
            schedules_checksum: Some("s2"),
        },
    )
    .unwrap();
    let run = db.run("r1").unwrap().unwrap();
    assert_eq!(run.status, RunStatus::Completed);
    assert_eq!(run.completed_at.as_deref(), Some("later"));
    assert_eq!(run.counts.as_deref(), Some(r#"{"contacts":3}"#));
    assert_eq!(run.contacts_checksum_before.as_deref(), Some("c1"));
    assert_eq!(run.contacts_checksum_after.as_deref(), Some("c2"));
    assert_eq!(run.schedules_checksum_after.as_deref(), Some("s2"));
}

#[test]
fn failed_and_abandoned_runs_say_why() {
    let db = migrated();
    start(&db, "r1");
    start(&db, "r2");
    db.fail_run("r2", "at noon", "no space is left", None).unwrap();
    assert_eq!(db.fail_abandoned_runs("in the evening").unwrap(), 1);
    assert_eq!(db.fail_abandoned_runs("at night").unwrap(), 0);
    let runs = db.runs(10).unwrap();
    let told: Vec<_> = runs
        .iter()
        .map(|run| {
            (
                run.run_id.as_str(),
                run.status.text(),
                run.completed_at.as_deref(),
                run.error.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("r2", "failed", Some("at noon"), Some("no space is left")),
            ("r1", "failed", Some("in the evening"), Some("the process ended before the run did")),
        ]
    );
    assert_eq!(db.runs(1).unwrap().len(), 1);
}

#[test]
fn a_run_has_an_id_of_its_own() {
    let db = migrated();
    start(&db, "r1");
    let again = db.start_run(&RunStart {
        run_id: "r1",
        command: "run",
        today: day("2026-11-20"),
        started_at: NOW,
        config_version_id: None,
        contacts_checksum: None,
        schedules_checksum: None,
    });
    assert!(matches!(again.unwrap_err(), StoreError::RunExists { .. }));
    let end = RunEnd {
        completed_at: NOW,
        counts: "{}",
        contacts_checksum: None,
        schedules_checksum: None,
    };
    assert!(matches!(db.complete_run("r2", &end).unwrap_err(), StoreError::NoSuchRun { .. }));
    assert!(matches!(db.fail_run("r2", NOW, "x", None).unwrap_err(), StoreError::NoSuchRun { .. }));
    assert_eq!(db.run("r2").unwrap(), None);
}

#[test]
fn a_database_never_migrated_has_no_runs_and_no_configurations() {
    let folder = Folder::new();
    let path = folder.file(&format!(
        "{CONTACTS} CREATE TABLE scheduler_checkpoints (id INTEGER PRIMARY KEY, status TEXT);"
    ));
    let db = Database::open(path, Access::ReadOnly).unwrap();
    assert!(db.runs(10).unwrap().is_empty());
    assert_eq!(db.run("r1").unwrap(), None);
    assert!(db.config_versions().unwrap().is_empty());
    assert_eq!(db.config_version(1).unwrap(), None);
}

#[test]
fn a_configuration_is_kept_when_it_first_differs() {
    let db = migrated();
    let one = db.store_config("a: 1", Some("ann"), "monday").unwrap();
    assert_eq!(db.store_config("a: 1", Some("bob"), "tuesday").unwrap(), one);
    let two = db.store_config("a: 2", None, "wednesday").unwrap();
    let three = db.store_config("a: 1", Some("ann"), "thursday").unwrap();
    assert!(one < two && two < three);
    assert_eq!(
        query(&db, "SELECT id, valid_from, valid_to, created_by, content FROM config_versions"),
        ["1|monday|wednesday|ann|a: 1", "2|wednesday|thursday||a: 2", "3|thursday||ann|a: 1"]
    );
    let versions = db.config_versions().unwrap();
    assert_eq!(versions.iter().map(|version| version.id).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(db.config_version(two).unwrap().unwrap(), versions[1]);
    assert_eq!(versions[1].content, "a: 2");
}

#[test]
fn checksums_tell_contents_apart_and_nothing_else() {
    let contents = |statements: &str| {
        let db = migrated();
        db.connection().execute_batch(statements).unwrap();
        (db.checksum(Checked::Contacts).unwrap(), db.checksum(Checked::Schedules).unwrap())
    };
    let empty = contents("");
    let two = contents("INSERT INTO contacts (id, email) VALUES (1, 'a'), (2, 'b')");
    assert_ne!(two.0, empty.0);
    assert_eq!(two.1, empty.1);
    assert_eq!(
        two,
        contents(
            "INSERT INTO contacts (id, email) VALUES (3, 'c'), (2, 'x'), (1, 'a');
             DELETE FROM contacts WHERE id = 3; UPDATE contacts SET email = 'b' WHERE id = 2"
        )
    );
    let mut seen = vec![empty.0, two.0];
    for other in [
        "(1, 'a', NULL), (2, 'c', NULL)",
        "(1, 'a', NULL), (3, 'b', NULL)",
        "(1, 'a', ''), (2, 'b', NULL)",
        "(1, NULL, 'a'), (2, 'b', NULL)",
        "(1, 'ab', NULL), (2, '', NULL)",
        "(1, x'61', NULL), (2, 'b', NULL)",
        "(1, 'a', NULL)",
    ] {
        let sum = contents(&format!("INSERT INTO contacts (id, email, state) VALUES {other}")).0;
        assert!(!seen.contains(&sum), "{other}");
        seen.push(sum);
    }
    assert_eq!(empty.0.to_string(), format!("0-{}", "0".repeat(32)));
    assert_eq!(two.0.to_string().len(), 2 + 32);
    let folder = Folder::new();
    let db = read_write(&folder.file(CONTACTS));
    assert_eq!(db.checksum(Checked::Schedules).unwrap(), empty.1);
}
