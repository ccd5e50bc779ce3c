use std::ops::ControlFlow;

use curfew_engine::{
    Catalog, Change, Changes, DeleteReason, EventColumns, Field, Issue, KindClass, Problem,
    SkipReason, State, TargetStatus, WantedRow, WindowClass, WindowReason,
};
use curfew_store::{Applied, Checked, Database, PlanWriter, StoreError, Visited, Written, history};

use crate::fixture::{
    CONTACTS, Folder, LEGACY, NOW, catalog, config, day, query, read_write, start,
};

const CAMPAIGN: &str = "
INSERT INTO campaign_types (name, priority) VALUES ('Sale', 5);
INSERT INTO campaign_instances (id, campaign_type, instance_name, email_template, sms_template)
  VALUES (3, 'Sale', 'May', 'may', 'may_sms');
";

/// A migrated database with a campaign, in memory.
fn memory() -> Database {
    let mut db = Database::in_memory().unwrap();
    db.migrate(NOW).unwrap();
    db.connection().execute_batch(CAMPAIGN).unwrap();
    db
}

/// A migrated database of the older application, with contacts 1 to 3.
fn legacy(folder: &Folder) -> Database {
    let contacts = "
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3)
        INSERT INTO contacts (id, first_name, last_name, email, current_carrier, plan_type,
          effective_date, birth_date, tobacco_user, gender, state, zip_code)
        SELECT i, 'A', 'B', 'a' || i || '@x.org', '', '', '2020-01-01', '1950-01-01', 0, 'F', 'CA',
          '90210' FROM n;";
    let mut db = read_write(&folder.file(&format!("{LEGACY}{contacts}")));
    db.migrate(NOW).unwrap();
    db.connection().execute_batch(CAMPAIGN).unwrap();
    db
}

fn birthday(catalog: &Catalog, date: &str) -> WantedRow {
    WantedRow {
        kind: catalog.id_of(KindClass::Birthday),
        date: day(date),
        skip: None,
        priority: 10,
        instance_id: None,
        event: EventColumns::of(day("2027-01-05")),
        initial_id: None,
        shift_days: 2,
        sms: false,
        metadata: None,
    }
}

fn changes(rows: impl IntoIterator<Item = Change>) -> Changes {
    Changes { rows: rows.into_iter().collect(), targets: Vec::new() }
}

const COLUMNS: &str = "SELECT id, contact_id, email_type, scheduled_send_date, scheduled_send_time,
  status, skip_reason, priority, campaign_instance_id, email_template, sms_template,
  scheduler_run_id, event_year, event_month, event_day, initial_schedule_id, shift_days, metadata,
  created_at, updated_at FROM email_schedules ORDER BY id";

#[test]
fn inserted_rows_have_every_column_of_the_specification() {
    let folder = Folder::new();
    for db in [memory(), legacy(&folder)] {
        let (config, catalog) = (config(), catalog(&db));
        start(&db, "r1");
        let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
        let planned = birthday(&catalog, "2026-12-24");
        let campaign = WantedRow {
            kind: catalog.find("campaign_sale", Some(3)).unwrap(),
            skip: Some(SkipReason::Window(WindowReason {
                class: WindowClass::Birthday,
                state: State::from_code("CA").unwrap(),
            })),
            instance_id: Some(3),
            priority: 5,
            sms: true,
            ..planned.clone()
        };
        let follow_up = WantedRow {
            kind: catalog.find("followup_1_cold", None).unwrap(),
            event: EventColumns { year: None, month: None, day: None },
            initial_id: Some(77),
            metadata: Some(r#"{"initial_comm_log_id":77}"#.into()),
            shift_days: -1,
            ..planned.clone()
        };
        writer.apply(1, &changes([Change::Insert(planned), Change::Insert(campaign)])).unwrap();
        writer.apply(2, &changes([Change::Insert(follow_up)])).unwrap();
        writer.commit_batch(Some(2)).unwrap();
        assert_eq!(writer.written(), Written { inserted: 3, ..Written::default() });
        drop(writer);
        assert_eq!(
            query(&db, COLUMNS),
            [
                "1|1|birthday|2026-12-24|08:30:00|pre-scheduled||10||birthday||r1|2027|1|5||2||\
                 2026-11-20 06:00:00|2026-11-20 06:00:00",
                "2|1|campaign_sale|2026-12-24|08:30:00|skipped|Birthday exclusion window for CA|5|3|\
                 may|may_sms|r1|2027|1|5||2||2026-11-20 06:00:00|2026-11-20 06:00:00",
                "3|2|followup_1_cold|2026-12-24|08:30:00|pre-scheduled||10||followup_1_cold||r1||||\
                 77|-1|{\"initial_comm_log_id\":77}|2026-11-20 06:00:00|2026-11-20 06:00:00",
            ]
        );
        assert_eq!(
            query(
                &db,
                "SELECT status, batches_done, last_contact_id, rows_inserted, rows_deleted,
                   history_id FROM scheduler_checkpoints"
            ),
            ["started|1|2|3|0|"]
        );
    }
}

/// Rows of contact 1 to change.
const ROWS: &str = "
INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date, scheduled_send_time,
    status, priority, event_year, event_month, event_day, shift_days, email_template, created_at,
    updated_at, scheduler_run_id) VALUES
  (11, 1, 'birthday', '2026-12-22', '08:30:00', 'pre-scheduled', 10, 2027, 1, 5, 0, 'birthday',
     'then', 'then', 'r0'),
  (12, 1, 'AEP', '2026-09-15', '08:30:00', 'skipped', 30, 2026, 9, 15, 0, 'aep', 'then', 'then',
     'r0'),
  (13, 1, 'effective_date', '2026-11-01', '08:30:00', 'pre-scheduled', 20, 2026, 12, 1, 0,
     'effective_date', 'then', 'then', 'r0'),
  (14, 1, 'post_window', '2026-12-30', '08:30:00', 'pre-scheduled', 40, 2026, 12, 29, 0,
     'post_window', 'then', 'then', 'r0'),
  (15, 1, 'birthday', '2025-12-22', '08:30:00', 'sent', 10, 2026, 1, 5, 0, 'birthday', 'then',
     'then', 'r0');
";

fn every_change(catalog: &Catalog) -> Changes {
    changes([
        Change::Delete { id: 14, why: DeleteReason::NotPlanned },
        Change::Expire { id: 13 },
        Change::LowerCase { id: 12 },
        Change::Update { id: 11, row: birthday(catalog, "2026-12-24") },
    ])
}

#[test]
fn every_changed_and_deleted_row_is_in_the_history_as_it_was() {
    let db = memory();
    db.connection().execute_batch(ROWS).unwrap();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    writer.apply(1, &every_change(&catalog)).unwrap();
    writer.commit_batch(Some(1)).unwrap();
    assert_eq!(
        writer.written(),
        Written { updated: 2, expired: 1, deleted: 1, ..Written::default() }
    );
    drop(writer);
    let rows = query(&db, COLUMNS);
    assert_eq!(
        rows,
        [
            "11|1|birthday|2026-12-24|08:30:00|pre-scheduled||10||birthday||r1|2027|1|5||2||then|\
             2026-11-20 06:00:00",
            "12|1|aep|2026-09-15|08:30:00|skipped||30||aep||r1|2026|9|15||0||then|\
             2026-11-20 06:00:00",
            "13|1|effective_date|2026-11-01|08:30:00|skipped|Expired before it was sent|20||\
             effective_date||r1|2026|12|1||0||then|2026-11-20 06:00:00",
            "15|1|birthday|2025-12-22|08:30:00|sent||10||birthday||r0|2026|1|5||0||then|then",
        ]
    );
    assert_eq!(
        query(
            &db,
            "SELECT id, run_id, schedule_id, contact_id, what, why, recorded_at
             FROM schedule_history ORDER BY id"
        ),
        [
            "1|r1|14|1|deleted|no longer in the plan|2026-11-20 06:00:00",
            "2|r1|13|1|expired|not sent on its day, and not planned any more|2026-11-20 06:00:00",
            "3|r1|12|1|updated|changed: email_type|2026-11-20 06:00:00",
            "4|r1|11|1|updated|changed: scheduled_send_date, shift_days|2026-11-20 06:00:00",
        ]
    );
    assert_eq!(
        query(&db, "SELECT old_values FROM schedule_history WHERE id = 1"),
        ["{\"id\":14,\"contact_id\":1,\"email_type\":\"post_window\",\
          \"scheduled_send_date\":\"2026-12-30\",\"scheduled_send_time\":\"08:30:00\",\
          \"status\":\"pre-scheduled\",\"skip_reason\":null,\"priority\":40,\
          \"campaign_instance_id\":null,\"email_template\":\"post_window\",\"sms_template\":null,\
          \"scheduler_run_id\":\"r0\",\"event_year\":2026,\"event_month\":12,\"event_day\":29,\
          \"initial_schedule_id\":null,\"shift_days\":0,\"metadata\":null,\"created_at\":\"then\",\
          \"updated_at\":\"then\",\"actual_send_datetime\":null}"]
    );
    let verification = history::verify(&db, None).unwrap();
    assert_eq!((verification.entries, verification.faults), (4, vec![]));
}

#[test]
fn a_row_that_the_sender_took_meanwhile_is_not_touched() {
    let folder = Folder::new();
    for db in [memory(), legacy(&folder)] {
        db.connection()
            .execute_batch(&format!(
                "{ROWS} UPDATE email_schedules SET status = 'processing' WHERE id IN (11, 13);
                 UPDATE email_schedules SET contact_id = 2 WHERE id = 12;
                 DELETE FROM email_schedules WHERE id = 14;"
            ))
            .unwrap();
        let before = query(&db, "SELECT * FROM email_schedules");
        let (config, catalog) = (config(), catalog(&db));
        start(&db, "r1");
        let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
        writer.apply(1, &every_change(&catalog)).unwrap();
        writer.commit_batch(Some(1)).unwrap();
        assert_eq!(writer.written(), Written { overtaken: 4, ..Written::default() });
        drop(writer);
        assert_eq!(query(&db, "SELECT * FROM email_schedules"), before);
        assert!(query(&db, "SELECT * FROM schedule_history").is_empty());
    }
}

#[test]
fn rows_may_exchange_what_tells_them_apart_and_the_history_has_them_as_they_were() {
    let folder = Folder::new();
    for db in [memory(), legacy(&folder)] {
        let (config, catalog) = (config(), catalog(&db));
        start(&db, "r1");
        let event = |date| EventColumns::of(day(date));
        let first = birthday(&catalog, "2026-12-24");
        let second = WantedRow { event: event("2028-01-05"), ..first.clone() };
        let third = WantedRow { event: event("2029-01-05"), ..first.clone() };
        let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
        let rows = [&first, &second, &third].map(|row| Change::Insert(row.clone()));
        writer.apply(1, &changes(rows)).unwrap();
        let update = |id, row: &WantedRow| Change::Update { id, row: row.clone() };
        writer
            .apply(1, &changes([update(1, &second), update(2, &third), update(3, &first)]))
            .unwrap();
        // The key of a deleted row is free for a new one.
        let delete = Change::Delete { id: 3, why: DeleteReason::NotPlanned };
        writer.apply(1, &changes([delete, Change::Insert(first.clone())])).unwrap();
        writer.commit_batch(Some(1)).unwrap();
        drop(writer);
        assert_eq!(
            query(&db, "SELECT id, event_year FROM email_schedules ORDER BY id"),
            ["1|2028", "2|2029", "4|2027"]
        );
        assert_eq!(
            query(
                &db,
                "SELECT schedule_id, json_extract(old_values, '$.event_year')
                 FROM schedule_history ORDER BY id"
            ),
            ["1|2027", "2|2028", "3|2029", "3|2027"]
        );
        assert!(history::verify(&db, None).unwrap().faults.is_empty());
    }
}

#[test]
fn a_change_that_the_database_refuses_costs_one_contact_and_not_the_batch() {
    let db = memory();
    db.connection()
        .execute_batch(&format!(
            "{ROWS} CREATE TRIGGER no_two BEFORE INSERT ON email_schedules WHEN new.contact_id = 2
             BEGIN SELECT RAISE(ABORT, 'not to contact 2'); END;"
        ))
        .unwrap();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    let insert = changes([Change::Insert(birthday(&catalog, "2026-12-24"))]);
    writer.apply(3, &insert).unwrap();
    let refusal = writer.apply(2, &insert).unwrap_err();
    assert!(refusal.is_refusal() && refusal.to_string().contains("not to contact 2"), "{refusal}");
    assert!(!refusal.is_transient());
    // The batch is gone, as documented.
    writer.commit_batch(Some(3)).unwrap();
    assert_eq!(writer.written(), Written::default());

    let mut refused = Vec::new();
    let mut partly = every_change(&catalog);
    partly.rows.push(Change::Insert(birthday(&catalog, "2026-12-24")));
    for (contact_id, changes) in [(1, &partly), (2, &insert), (3, &insert)] {
        match writer.apply_or_refuse(contact_id, changes).unwrap() {
            Applied::Done => {}
            Applied::Refused(why) => refused.push((contact_id, why.is_refusal())),
        }
    }
    writer.commit_batch(Some(3)).unwrap();
    assert_eq!(refused, [(1, true), (2, true)]);
    assert_eq!(writer.written(), Written { inserted: 1, ..Written::default() });
    drop(writer);
    assert_eq!(
        query(&db, "SELECT contact_id FROM email_schedules WHERE scheduler_run_id = 'r1'"),
        ["3"]
    );
    assert!(query(&db, "SELECT * FROM schedule_history").is_empty());
}

#[test]
fn a_trigger_that_rolls_everything_back_ends_the_batch() {
    let db = memory();
    db.connection()
        .execute_batch(
            "CREATE TRIGGER none BEFORE INSERT ON email_schedules WHEN new.contact_id = 2
             BEGIN SELECT RAISE(ROLLBACK, 'no'); END;",
        )
        .unwrap();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    let insert = changes([Change::Insert(birthday(&catalog, "2026-12-24"))]);
    assert!(matches!(writer.apply_or_refuse(1, &insert).unwrap(), Applied::Done));
    assert!(writer.apply_or_refuse(2, &insert).is_err());
    writer.apply(3, &insert).unwrap();
    writer.commit_batch(Some(3)).unwrap();
    drop(writer);
    assert_eq!(query(&db, "SELECT contact_id FROM email_schedules"), ["3"]);
}

#[test]
fn what_is_not_committed_is_rolled_back_and_a_batch_without_changes_is_not_written() {
    let db = memory();
    db.connection().execute_batch(ROWS).unwrap();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let before = query(&db, "SELECT * FROM email_schedules");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    writer.commit_batch(Some(5)).unwrap();
    writer.apply(1, &every_change(&catalog)).unwrap();
    drop(writer);
    assert!(db.connection().is_autocommit());
    assert_eq!(query(&db, "SELECT * FROM email_schedules"), before);
    assert_eq!(query(&db, "SELECT batches_done FROM scheduler_checkpoints"), ["0"]);
    // The chain goes on where the database ends, not where the batch did.
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    writer.apply(1, &changes([Change::Expire { id: 13 }])).unwrap();
    writer.roll_back();
    writer.apply(1, &changes([Change::LowerCase { id: 12 }])).unwrap();
    writer.commit_batch(None).unwrap();
    drop(writer);
    assert_eq!(query(&db, "SELECT id, schedule_id FROM schedule_history"), ["1|12"]);
    assert!(history::verify(&db, None).unwrap().faults.is_empty());
}

#[test]
fn a_run_that_was_not_started_cannot_write() {
    let db = memory();
    let (config, catalog) = (config(), catalog(&db));
    let mut writer = PlanWriter::begin(&db, "r9", NOW, &config, &catalog).unwrap();
    let insert = changes([Change::Insert(birthday(&catalog, "2026-12-24"))]);
    writer.apply(1, &insert).unwrap();
    let error = writer.commit_batch(Some(1)).unwrap_err();
    assert!(matches!(error, StoreError::NoSuchRun { .. }), "{error}");
    drop(writer);
    assert!(query(&db, "SELECT * FROM email_schedules").is_empty());
}

#[test]
fn a_locked_database_fails_a_batch_for_now_and_a_repetition_succeeds() {
    let folder = Folder::new();
    let path = folder.file(CONTACTS);
    let mut db = read_write(&path);
    db.migrate(NOW).unwrap();
    db.connection().busy_timeout(std::time::Duration::ZERO).unwrap();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    let insert = changes([Change::Insert(birthday(&catalog, "2026-12-24"))]);
    let error = writer.apply(1, &insert).unwrap_err();
    assert!(error.is_transient(), "{error}");
    other.execute_batch("ROLLBACK; BEGIN; SELECT * FROM contacts").unwrap();
    writer.apply(1, &insert).unwrap();
    // A reader keeps a database that is not in WAL mode from being committed to.
    let mut reading = other.prepare("SELECT * FROM sqlite_schema").unwrap();
    let mut rows = reading.query([]).unwrap();
    assert!(rows.next().unwrap().is_some());
    let error = writer.commit_batch(Some(1)).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(rows);
    other.execute_batch("ROLLBACK").unwrap();
    writer.apply(1, &insert).unwrap();
    writer.commit_batch(Some(1)).unwrap();
    assert_eq!(writer.written().inserted, 1);
}

#[test]
fn targets_keep_sent_and_get_every_other_status() {
    let db = memory();
    db.connection()
        .execute_batch(
            "INSERT INTO contact_campaigns (id, contact_id, campaign_instance_id, status) VALUES
               (1, 1, 3, 'pending'), (2, 1, 3, 'sent'), (3, 1, 3, 'odd');",
        )
        .unwrap();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    let targets = vec![(1, TargetStatus::Scheduled), (2, TargetStatus::Pending)];
    writer.apply(1, &Changes { rows: Vec::new(), targets }).unwrap();
    writer.set_target_status(3, TargetStatus::Skipped).unwrap();
    writer.commit_batch(Some(1)).unwrap();
    assert_eq!(writer.written(), Written { targets: 2, ..Written::default() });
    drop(writer);
    assert_eq!(
        query(&db, "SELECT id, status FROM contact_campaigns"),
        ["1|scheduled", "2|sent", "3|skipped"]
    );
}

#[test]
fn issues_are_recorded_for_the_run() {
    let db = memory();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    let issue = |field, problem| Issue { field, problem };
    let issues = [
        (Some(7), issue(Field::ZipCode, Problem::UnknownZip)),
        (None, issue(Field::Id, Problem::Missing)),
    ];
    writer.issues(&issues).unwrap();
    writer.commit_batch(Some(7)).unwrap();
    drop(writer);
    assert_eq!(
        query(&db, "SELECT run_id, contact_id, field, reason FROM contact_issues"),
        ["r1|7|zip_code|is not a known ZIP code", "r1||id|is missing"]
    );
}

#[test]
fn what_was_written_reads_back_as_what_was_wanted() {
    let folder = Folder::new();
    for db in [memory(), legacy(&folder)] {
        let (config, catalog) = (config(), catalog(&db));
        start(&db, "r1");
        let wanted = [
            birthday(&catalog, "2026-12-24"),
            WantedRow {
                kind: catalog.find("campaign_sale", Some(3)).unwrap(),
                instance_id: Some(3),
                skip: Some(SkipReason::FrequencyLimit),
                sms: true,
                ..birthday(&catalog, "2026-12-25")
            },
            WantedRow {
                kind: catalog.find("followup_2_clicked_no_hq", None).unwrap(),
                skip: Some(SkipReason::LowerPriority("campaign_sale".into())),
                initial_id: Some(4),
                metadata: Some(r#"{"initial_comm_log_id":4}"#.into()),
                ..birthday(&catalog, "2026-12-26")
            },
        ];
        let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
        writer.apply(1, &changes(wanted.iter().cloned().map(Change::Insert))).unwrap();
        // Reading goes on in the middle of a transaction, and sees it.
        let mut scanner = db.scanner(&config, &catalog).unwrap();
        let mut matching = 0;
        let flow = scanner.chosen(&[1], |visited| {
            let Visited::Contact(input) = visited else { return ControlFlow::Break(()) };
            for (row, wanted) in input.rows.iter().zip(&wanted) {
                assert!(row.is(wanted, &catalog), "{row:?} {wanted:?}");
                matching += 1;
            }
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        assert_eq!(matching, 3);
        writer.commit_batch(Some(1)).unwrap();
    }
}

#[test]
fn many_contacts_at_once_come_to_the_same_as_one_after_the_other() {
    let write = |at_once: bool| {
        let db = memory();
        db.connection().execute_batch(ROWS).unwrap();
        db.connection()
            .execute_batch(
                "INSERT INTO contact_campaigns (id, contact_id, campaign_instance_id) \
                 VALUES (1, 2, 3)",
            )
            .unwrap();
        let (config, catalog) = (config(), catalog(&db));
        start(&db, "r1");
        let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
        let new = birthday(&catalog, "2026-12-24");
        let skipped = WantedRow {
            kind: catalog.find("followup_1_cold", None).unwrap(),
            skip: Some(SkipReason::LowerPriority("campaign_sale".into())),
            initial_id: Some(15),
            metadata: Some("{}".into()),
            ..new.clone()
        };
        let mut first = every_change(&catalog);
        first.rows.push(Change::Insert(skipped));
        let mut second = changes([Change::Insert(new.clone())]);
        second.targets.push((1, TargetStatus::Scheduled));
        let contacts =
            [(1, first), (2, second), (3, Changes::default()), (4, changes([Change::Insert(new)]))];
        if at_once {
            writer.apply_all(&contacts).unwrap();
        } else {
            for (contact_id, changes) in &contacts {
                writer.apply(*contact_id, changes).unwrap();
            }
        }
        writer.commit_batch(Some(4)).unwrap();
        let written = writer.written();
        drop(writer);
        let tables =
            ["email_schedules", "schedule_history", "contact_campaigns", "scheduler_checkpoints"];
        let rows = tables.map(|table| query(&db, &format!("SELECT * FROM {table} ORDER BY 1")));
        (written, rows)
    };
    let (written, rows) = write(true);
    assert_eq!((written.inserted, written.updated, written.targets), (3, 2, 1));
    assert_eq!((written, rows), write(false));
}

#[test]
fn a_row_that_the_database_refuses_undoes_all_that_were_to_be_written_at_once() {
    let db = memory();
    db.connection().execute_batch(ROWS).unwrap();
    let before = query(&db, "SELECT * FROM email_schedules");
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    // Contact 1 has a row of this event.
    let insert = changes([Change::Insert(birthday(&catalog, "2026-12-24"))]);
    let contacts = [(3, insert.clone()), (1, insert)];
    let refusal = writer.apply_all(&contacts).unwrap_err();
    assert!(refusal.is_refusal(), "{refusal}");
    assert!(refusal.to_string().contains("UNIQUE constraint failed"), "{refusal}");
    writer.commit_batch(Some(1)).unwrap();
    assert_eq!(writer.written(), Written::default());
    assert_eq!(query(&db, "SELECT * FROM email_schedules"), before);
    // The writer is as good as new.
    writer.apply_all(&contacts[..1]).unwrap();
    writer.commit_batch(Some(3)).unwrap();
    assert_eq!(writer.written().inserted, 1);
}

#[test]
fn a_trigger_of_the_owner_decides_its_own_conflicts() {
    let db = memory();
    db.connection()
        .execute_batch(
            "CREATE TABLE seen (email_type TEXT UNIQUE);
             CREATE TRIGGER see AFTER INSERT ON Email_Schedules
             BEGIN INSERT OR IGNORE INTO seen VALUES (new.email_type); END;",
        )
        .unwrap();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    let insert = changes([Change::Insert(birthday(&catalog, "2026-12-24"))]);
    writer.apply_all(&[(1, insert.clone()), (2, insert)]).unwrap();
    writer.commit_batch(Some(2)).unwrap();
    assert_eq!(writer.written().inserted, 2);
    drop(writer);
    assert_eq!(query(&db, "SELECT * FROM seen"), ["birthday"]);
}

#[test]
fn the_checksum_of_what_a_writer_leaves_is_known_without_reading() {
    let folder = Folder::new();
    for db in [memory(), legacy(&folder)] {
        db.connection()
            .execute_batch(&format!(
                "DROP TRIGGER IF EXISTS update_email_schedules_updated_at; {ROWS}
                 ALTER TABLE email_schedules ADD COLUMN note TEXT DEFAULT 'it''s';
                 ALTER TABLE email_schedules ADD COLUMN number INTEGER DEFAULT -7;"
            ))
            .unwrap();
        let (config, catalog) = (config(), catalog(&db));
        start(&db, "r1");
        let found = db.checksum(Checked::Schedules).unwrap();
        let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
        let expect = |writer: &PlanWriter<'_>, differs: bool| {
            let now = db.checksum(Checked::Schedules).unwrap();
            assert_eq!(writer.checksum_after(found), Some(now));
            assert_eq!(now != found, differs);
        };
        expect(&writer, false);

        let new = birthday(&catalog, "2026-12-24");
        let follow_up = WantedRow {
            kind: catalog.find("followup_1_cold", None).unwrap(),
            skip: Some(SkipReason::LowerPriority("campaign_sale".into())),
            initial_id: Some(15),
            metadata: Some("{}".into()),
            ..new.clone()
        };
        let insert = changes([Change::Insert(new.clone())]);
        writer.apply_all(&[(1, every_change(&catalog)), (2, insert.clone())]).unwrap();
        writer.roll_back();
        expect(&writer, false);
        let mut first = every_change(&catalog);
        first.rows.push(Change::Insert(follow_up));
        writer.apply_all(&[(1, first), (2, insert.clone())]).unwrap();
        writer.commit_batch(Some(2)).unwrap();
        expect(&writer, true);

        // One at a time, and one of them refused.
        writer.apply(3, &insert).unwrap();
        assert!(matches!(writer.apply_or_refuse(3, &insert).unwrap(), Applied::Refused(_)));
        assert!(matches!(writer.apply_or_refuse(4, &insert).unwrap(), Applied::Done));
        writer.commit_batch(Some(4)).unwrap();
        expect(&writer, true);

        // Rows that step aside.
        let id: i64 = query(&db, "SELECT max(id) FROM email_schedules")[0].parse().unwrap();
        let second = WantedRow { event: EventColumns::of(day("2028-01-05")), ..new.clone() };
        writer.apply(4, &changes([Change::Insert(second.clone())])).unwrap();
        let exchange = [(id, second), (id + 1, new)].map(|(id, row)| Change::Update { id, row });
        writer.apply(4, &changes(exchange)).unwrap();
        writer.commit_batch(Some(4)).unwrap();
        expect(&writer, true);
    }
}

#[test]
fn a_checksum_is_not_taken_for_known_where_more_may_have_changed() {
    let triggers = [
        "CREATE TRIGGER see AFTER UPDATE ON contact_campaigns
         BEGIN DELETE FROM email_schedules; END;",
        "CREATE TRIGGER see AFTER INSERT ON email_schedules
         BEGIN UPDATE email_schedules SET metadata = 'm' WHERE id = new.id; END;",
    ]
    .map(|trigger| ("", trigger));
    let columns = [
        "UNIQUE (contact_id, email_type) ON CONFLICT REPLACE",
        "seen DEFAULT (random())",
        "twice GENERATED ALWAYS AS (2 * priority)",
        "weight REAL DEFAULT 1",
    ]
    .map(|column| (column, ""));
    for (column, trigger) in triggers.into_iter().chain(columns).chain([("", "")]) {
        let db = memory();
        let table = query(&db, "SELECT sql FROM sqlite_schema WHERE name = 'email_schedules'");
        let table = table[0].trim_end_matches(')');
        let comma = if column.is_empty() { "" } else { "," };
        db.connection()
            .execute_batch(&format!(
                "DROP TABLE email_schedules; {table}{comma} {column}); {trigger}"
            ))
            .unwrap();
        let (config, catalog) = (config(), catalog(&db));
        start(&db, "r1");
        let found = db.checksum(Checked::Schedules).unwrap();
        let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
        writer.apply(1, &changes([Change::Insert(birthday(&catalog, "2026-12-24"))])).unwrap();
        writer.commit_batch(Some(1)).unwrap();
        let is_known = writer.checksum_after(found).is_some();
        assert_eq!(is_known, column.is_empty() && trigger.is_empty(), "{column}{trigger}");
    }
}

#[test]
fn more_contacts_than_one_statement_takes_come_to_the_same_as_one_after_the_other() {
    let write = |at_once: bool| {
        let db = memory();
        let (config, catalog) = (config(), catalog(&db));
        db.connection()
            .execute_batch(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
                 INSERT INTO contact_campaigns (id, contact_id, campaign_instance_id, status)
                 SELECT 2000 - i, i, 3, iif(i % 3, 'pending', 'sent') FROM n",
            )
            .unwrap();
        start(&db, "r1");
        let found = db.checksum(Checked::Schedules).unwrap();
        let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
        let mut sums = writer.sum_beside();
        let mut apply = |writer: &mut PlanWriter<'_>, contacts: &[(i64, Changes)]| {
            if at_once {
                writer.apply_all(contacts).unwrap();
            } else {
                for (contact_id, changes) in contacts {
                    writer.apply(*contact_id, changes).unwrap();
                }
            }
            writer.commit_batch(Some(1200)).unwrap();
            sums.add(contacts, writer.take_new_ids());
        };
        let new = birthday(&catalog, "2026-12-24");
        let insert = changes([Change::Insert(new.clone())]);
        let first: Vec<_> = (1..=1200).map(|id| (id, insert.clone())).collect();
        apply(&mut writer, &first);
        let second = (1..=1200).map(|id| {
            let delete = Change::Delete { id, why: DeleteReason::NotPlanned };
            let update = Change::Update { id, row: birthday(&catalog, "2026-12-28") };
            let mut changes = match id % 4 {
                0 => changes([Change::Insert(new.clone()), delete]),
                1 => changes([update]),
                2 => changes([Change::Expire { id }]),
                _ => Changes::default(),
            };
            changes.targets.push((2000 - id, TargetStatus::Scheduled));
            (id, changes)
        });
        apply(&mut writer, &second.collect::<Vec<_>>());
        let written = writer.written();
        assert_eq!((written.inserted, written.deleted), (1500, 300));
        assert_eq!((written.updated, written.expired, written.targets), (300, 300, 800));
        writer.add_sums(&sums);
        let after = db.checksum(Checked::Schedules).unwrap();
        assert_eq!(writer.checksum_after(found), Some(after));
        drop(writer);
        assert!(history::verify(&db, None).unwrap().faults.is_empty());
        ["email_schedules", "schedule_history", "contact_campaigns"]
            .map(|table| query(&db, &format!("SELECT * FROM {table} ORDER BY 1")))
    };
    assert!(write(true) == write(false));
}

#[test]
fn rows_that_are_not_summed_up_make_the_checksum_unknown() {
    let db = memory();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let found = db.checksum(Checked::Schedules).unwrap();
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    let sums = writer.sum_beside();
    let insert = changes([Change::Insert(birthday(&catalog, "2026-12-24"))]);
    writer.apply_all(&[(1, insert)]).unwrap();
    writer.commit_batch(Some(1)).unwrap();
    assert_eq!(writer.checksum_after(found), None);
    writer.add_sums(&sums);
    assert_eq!(writer.checksum_after(found), None);
}

#[test]
fn triggers_of_the_owner_fire_for_every_target_issue_and_entry_of_the_history() {
    let db = memory();
    db.connection()
        .execute_batch(&format!(
            "{ROWS} CREATE TABLE seen (what TEXT UNIQUE);
             CREATE TRIGGER t AFTER UPDATE ON contact_campaigns
             BEGIN INSERT OR REPLACE INTO seen VALUES ('target ' || new.id); END;
             CREATE TRIGGER i AFTER INSERT ON contact_issues
             BEGIN INSERT OR IGNORE INTO seen VALUES ('issue'); END;
             CREATE TRIGGER h AFTER INSERT ON schedule_history
             BEGIN INSERT INTO seen VALUES ('entry ' || new.schedule_id); END;
             INSERT INTO contact_campaigns (id, contact_id, campaign_instance_id)
               VALUES (1, 1, 3), (2, 2, 3);"
        ))
        .unwrap();
    let (config, catalog) = (config(), catalog(&db));
    start(&db, "r1");
    let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
    let issue = Issue { field: Field::Id, problem: Problem::Missing };
    writer.issues(&[(None, issue), (None, issue)]).unwrap();
    let mut first = every_change(&catalog);
    first.targets.push((1, TargetStatus::Scheduled));
    let second = Changes { rows: Vec::new(), targets: vec![(2, TargetStatus::Skipped)] };
    writer.apply_all(&[(1, first), (2, second)]).unwrap();
    writer.commit_batch(Some(2)).unwrap();
    assert_eq!((writer.written().issues, writer.written().targets), (2, 2));
    drop(writer);
    assert_eq!(
        query(&db, "SELECT what FROM seen ORDER BY rowid"),
        ["issue", "entry 14", "entry 13", "entry 12", "entry 11", "target 1", "target 2"]
    );
}
