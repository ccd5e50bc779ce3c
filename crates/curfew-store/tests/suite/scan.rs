use std::ops::{ControlFlow, RangeBounds};

use curfew_engine::{Catalog, Status, Value};
use curfew_store::{Access, Database, Scanner, Visited};

use crate::fixture::{CONTACTS, Folder, LEGACY, NOW, catalog, config, read_write};

/// What is visited, in words.
fn describe(visited: Visited<'_>) -> String {
    let input = match visited {
        Visited::Unreadable { id, issue } => return format!("{id:?} {} {issue}", issue.field),
        Visited::Contact(input) => input,
    };
    let mut words = vec![input.id.to_string()];
    match input.contact {
        None => words.push("-".to_owned()),
        Some(contact) => {
            assert_eq!(contact.id, input.id);
            let values = [
                contact.email,
                contact.zip_code,
                contact.birth_date,
                contact.effective_date,
                contact.state,
                contact.phone_number,
                contact.status,
            ];
            words.extend(values.map(|value| match value {
                Value::Null => ".".to_owned(),
                Value::Integer(number) => number.to_string(),
                Value::Text(text) => format!("'{}'", text.escape_ascii()),
                Value::Other => "?".to_owned(),
            }));
        }
    }
    for row in input.rows {
        let status = match row.status {
            Status::PreScheduled => "planned",
            Status::Skipped => "skipped",
            Status::Committed { .. } => "committed",
        };
        words.push(format!("| row {} {status}", row.id));
        words.extend(row.metadata_initial_id.map(|initial| format!("after {initial}")));
    }
    let targets = input.targets.iter();
    words.extend(targets.map(|target| {
        let campaign = target.campaign.map_or("of nothing ", |_| "");
        format!("| target {} {campaign}{:?}", target.id, target.trigger)
    }));
    let clicks = input.behaviour.clicks.iter();
    words.extend(clicks.map(|click| format!("| click {}", click.day())));
    words.extend(input.behaviour.answers.iter().map(|answer| {
        let (conditions, any_yes) = (answer.has_medical_conditions, answer.any_yes);
        format!("| answer {} {conditions} {any_yes}", answer.at.day())
    }));
    words.join(" ")
}

fn collect(
    db: &Database,
    catalog: &Catalog,
    read: impl FnOnce(&mut Scanner<'_>, &mut dyn FnMut(Visited<'_>) -> ControlFlow<()>),
) -> Vec<String> {
    let config = config();
    let mut lines = Vec::new();
    let mut scanner = db.scanner(&config, catalog).unwrap();
    read(&mut scanner, &mut |visited| {
        lines.push(describe(visited));
        ControlFlow::Continue(())
    });
    lines
}

fn range(db: &Database, ids: impl RangeBounds<i64> + Clone) -> Vec<String> {
    let read = |ids| {
        collect(db, &catalog(db), |scanner, visit| {
            assert!(scanner.range(ids, visit).unwrap().is_continue());
        })
    };
    let from_pages = read(ids.clone());
    // Within a transaction of its caller a scanner asks SQLite for every row.
    let _transaction = db.snapshot().unwrap();
    assert_eq!(from_pages, read(ids));
    from_pages
}

fn chosen(db: &Database, ids: &[i64]) -> Vec<String> {
    collect(db, &catalog(db), |scanner, visit| {
        assert!(scanner.chosen(ids, visit).unwrap().is_continue());
    })
}

/// A migrated database with rows in every table.
const EVERYTHING: &str = "
INSERT INTO contacts VALUES
  (1, 'a@x.org', '90210', '1960-01-01', NULL),
  (2, 'b@x.org', 501, NULL, '2020-05-01'),
  (-4, NULL, x'00', x'01', ''),
  (30, 'c@x.org', '10001', '1970-02-02', '2021-06-01');
INSERT INTO campaign_types (name) VALUES ('sale');
INSERT INTO campaign_instances (id, campaign_type, instance_name) VALUES (5, 'sale', 'May');
INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date, scheduled_send_time,
    status, metadata) VALUES
  (9, 1, 'birthday', '2026-12-18', '08:30:00', 'pre-scheduled', '{\"initial_comm_log_id\": 3}'),
  (4, 1, 'aep', '2026-09-15', '08:30:00', 'sent', NULL),
  (5, 3, 'aep', '2026-09-15', '08:30:00', 'skipped', NULL),
  (6, 30, 'Followup_1_cold', '2026-09-15', '08:30:00', 'sent',
     '{\"x\": [1], \"initial_comm_log_id\": 4}'),
  (7, 30, 'followup_2_clicked_no_hq', '2026-09-15', '08:30:00', 'sent', '{not json');
INSERT INTO contact_campaigns (id, contact_id, campaign_instance_id, trigger_date) VALUES
  (2, 2, 5, '2026-05-01'), (1, 2, 5, NULL), (3, 2, 99, '2026-05-01'), (4, 2, 5, 'soon'),
  (5, 77, 5, '2026-02-30'), (6, 78, 99, NULL);
INSERT INTO tracking_clicks (contact_id, clicked_at) VALUES
  (2, '2026-09-17 10:00:00'), (2, '2026-09-16T10:00:00Z'), (2, 'yesterday'), (55, '2026-09-16');
INSERT INTO contact_events (contact_id, event_type, metadata, created_at) VALUES
  (2, 'eligibility_answered', '{\"has_medical_conditions\": true}', '2026-09-18'),
  (2, 'eligibility_answered', '{\"main_questions_yes_count\": 2}', '2026-09-17'),
  (2, 'eligibility_answered', '{\"main_questions_yes_count\": 0}', '2026-09-17'),
  (2, 'opened', '{\"has_medical_conditions\": true}', '2026-09-18'),
  (2, 'eligibility_answered', 'garbage', '2026-09-16'),
  (2, 'eligibility_answered', NULL, NULL || 'never'),
  (30, 'eligibility_answered', '{\"has_medical_conditions\": \"true\"}', '2026-09-18');
";

fn everything(folder: &Folder) -> Database {
    let mut db = read_write(&folder.file(CONTACTS));
    db.migrate(NOW).unwrap();
    // What a table of the older application may hold, ours does not allow.
    let sql = EVERYTHING.replace("NULL || 'never'", "'never'");
    db.connection().execute_batch(&sql).unwrap();
    db
}

const EXPECTED: [&str; 7] = [
    "-4 . ? ? '' . . .",
    "1 'a@x.org' '90210' '1960-01-01' . . . . | row 4 committed | row 9 planned after 3",
    "2 'b@x.org' '501' . '2020-05-01' . . . | target 1 Ok(None) | target 2 Ok(Some(2026-05-01)) \
     | target 3 of nothing Ok(Some(2026-05-01)) | target 4 Err(Malformed) | click 2026-09-16 | click 2026-09-17 \
     | answer 2026-09-16 false false | answer 2026-09-17 false true \
     | answer 2026-09-17 false false | answer 2026-09-18 true false",
    "3 - | row 5 skipped",
    "30 'c@x.org' '10001' '1970-02-02' '2021-06-01' . . . | row 6 committed after 4 \
     | row 7 committed | answer 2026-09-18 false false",
    "77 - | target 5 Err(NotReal)",
    "78 - | target 6 of nothing Ok(None)",
];

#[test]
fn five_tables_are_merged_in_the_order_of_contacts() {
    let folder = Folder::new();
    let db = everything(&folder);
    assert_eq!(range(&db, ..), EXPECTED);
    assert_eq!(range(&db, 2..=3), EXPECTED[2..4]);
    assert_eq!(range(&db, ..2), EXPECTED[..2]);
    assert_eq!(range(&db, 79..), [""; 0]);
    assert_eq!(range(&db, i64::MAX..i64::MAX), [""; 0]);
    let parts = db.contact_ranges(3).unwrap();
    assert_eq!(parts.len(), 3);
    let joined: Vec<String> = parts.into_iter().flat_map(|part| range(&db, part)).collect();
    assert_eq!(joined, EXPECTED);
}

#[test]
fn rows_are_read_from_the_pages_as_sqlite_reads_them() {
    let folder = Folder::new();
    let mut db = read_write(&folder.file(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email, zip_code TEXT, birth_date TEXT,
           effective_date TEXT, phone_number);
         WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO contacts SELECT i * 3, 'a' || i || '@example.com', 10000 + i, '1960-01-01',
           CASE i % 5 WHEN 0 THEN NULL ELSE '2020-01-0' || (i % 9) END, i FROM n;
         ALTER TABLE contacts ADD COLUMN status TEXT NOT NULL DEFAULT 'active';
         ALTER TABLE contacts ADD COLUMN state;",
    ));
    db.migrate(NOW).unwrap();
    let db = &db;
    let run = |sql: &str| db.connection().execute_batch(sql).unwrap();
    run("INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date,
           scheduled_send_time, status, metadata)
         SELECT c.id + n.column1 - 1, 'followup_1_cold', '2026-09-1' || (c.id % 10), '08:30:00',
           CASE c.id % 4 WHEN 0 THEN 'sent' ELSE 'skipped' END,
           '{\"initial_comm_log_id\": ' || c.id || ', \"x\": \"'
             || CASE c.id % 97 WHEN 0 THEN hex(zeroblob(9000)) ELSE '' END || '\"}'
         FROM contacts AS c, (VALUES (0), (1), (1)) AS n ORDER BY c.id");
    let before = range(db, ..);
    assert!(before.len() > 3000, "{}", before.len());
    // Rows of one contact far from each other, and others gone.
    run("DELETE FROM email_schedules WHERE id % 11 = 0;
         UPDATE email_schedules SET contact_id = contact_id / 2 WHERE id % 13 = 0;
         UPDATE contacts SET state = 'NY', email = hex(zeroblob(3000)) WHERE id % 300 = 0;
         INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date,
           scheduled_send_time, status) SELECT id, 'aep', 'x', 'y', 'sent' FROM contacts
           WHERE id % 7 = 0");
    let after = range(db, ..);
    assert_ne!(before, after);
    let parts = db.contact_ranges(7).unwrap();
    let joined: Vec<String> = parts.into_iter().flat_map(|part| range(db, part)).collect();
    assert_eq!(joined, after);
}

/// What is read of one row may serve for others that have some columns alike.
#[test]
fn rows_that_differ_in_one_column_are_told_apart() {
    // Values of one length are stored in records of one shape.
    const VALUES: [(&str, &[&str]); 15] = [
        ("email_type", &["'aep'", "'AEP'", "'xyz'", "'followup_1_cold'", "'followup_1_COLD'"]),
        ("scheduled_send_date", &["'2026-09-10'", "'2026-09-11'", "'2026-02-30'", "'next month'"]),
        ("scheduled_send_time", &["'08:30:00'", "'09:30:00'", "8"]),
        ("status", &["'skipped'", "'Skipped'", "'sending'", "'sent'", "'gone'", "'pre-scheduled'"]),
        (
            "skip_reason",
            &[
                "NULL",
                "'Birthday exclusion window for CA'",
                "'Birthday exclusion window for NV'",
                "'Birthday exclusion window for XX'",
                "'Lower priority than x on the same day'",
                "'Lower priority than y on the same day'",
            ],
        ),
        ("priority", &["30", "31", "300", "NULL"]),
        ("campaign_instance_id", &["NULL", "5", "6"]),
        ("email_template", &["'aep'", "'bep'", "NULL"]),
        ("sms_template", &["'aep_sms'", "'bep_sms'", "NULL"]),
        ("event_month", &["9", "10", "1", "NULL", "'9'"]),
        ("event_day", &["15", "16", "0"]),
        ("initial_schedule_id", &["NULL", "7", "8", "'7'"]),
        ("shift_days", &["0", "1", "2", "200", "-1"]),
        (
            "metadata",
            &["NULL", "'{\"initial_comm_log_id\": 3}'", "'{\"initial_comm_log_id\": 4}'", "3"],
        ),
        ("actual_send_datetime", &["NULL", "'2026-09-12 10:00:00'", "'2026-09-12 11:00:00'"]),
    ];
    let folder = Folder::new();
    let mut db = read_write(&folder.file(CONTACTS));
    db.migrate(NOW).unwrap();
    let names: Vec<&str> = VALUES.iter().map(|(name, _)| *name).collect();
    let mut rows = Vec::new();
    let mut insert = |chosen: &[usize]| {
        let values = VALUES.iter().zip(chosen).map(|((_, values), at)| values[*at]);
        rows.push(format!("({}, {})", rows.len() / 4, values.collect::<Vec<_>>().join(", ")));
    };
    // From each of some rows one step in each column, and back.
    for start in 0..8 {
        let common: Vec<usize> =
            (0..).zip(VALUES).map(|(at, (_, values))| start * at % values.len()).collect();
        for column in 0..VALUES.len() {
            for value in 0..VALUES[column].1.len() {
                let mut other = common.clone();
                other[column] = value;
                insert(&common);
                insert(&other);
            }
        }
    }
    let sql = format!(
        "INSERT INTO email_schedules (contact_id, {}) VALUES {}",
        names.join(", "),
        rows.join(", ")
    );
    db.connection().execute_batch(&sql).unwrap();

    let (config, catalog) = (config(), catalog(&db));
    let read = || {
        let mut read = Vec::new();
        let mut scanner = db.scanner(&config, &catalog).unwrap();
        let flow = scanner.range(.., |visited| {
            if let Visited::Contact(input) = visited {
                read.extend(input.rows.iter().map(|row| format!("{row:?}")));
            }
            ControlFlow::<()>::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        read
    };
    let from_pages = read();
    assert_eq!(from_pages.len(), rows.len());
    // Within a transaction of its caller a scanner asks SQLite for every row.
    let _transaction = db.snapshot().unwrap();
    for (from_page, by_sqlite) in from_pages.iter().zip(read()) {
        assert_eq!(*from_page, by_sqlite);
    }
}

#[test]
fn chosen_contacts_are_read_as_the_whole_is() {
    let folder = Folder::new();
    let db = everything(&folder);
    assert_eq!(chosen(&db, &[]), [""; 0]);
    assert_eq!(chosen(&db, &[2]), EXPECTED[2..3]);
    assert_eq!(chosen(&db, &[-4, 2, 30]), [EXPECTED[0], EXPECTED[2], EXPECTED[4]]);
    assert_eq!(chosen(&db, &[-5, 3, 4, 31, 77]), [EXPECTED[3], EXPECTED[5]]);
    assert_eq!(chosen(&db, &(-10..=80).collect::<Vec<_>>()), EXPECTED);
    assert_eq!(chosen(&db, &[i64::MIN, 1, i64::MAX]), EXPECTED[1..2]);
}

#[test]
fn a_database_never_migrated_is_read_without_writing() {
    let folder = Folder::new();
    let path = folder.file(
        "CREATE TABLE Contacts (ID INTEGER PRIMARY KEY, E_MAIL, EMAIL, Zip_Code, BIRTHDAY,
           Effective_Date, State, status);
         INSERT INTO contacts VALUES (1, 'no', 'a@x.org', 12345, '1960-01-01', NULL, 'ny', 'x');
         CREATE TABLE email_schedules (contact_id INTEGER, id INTEGER PRIMARY KEY, status TEXT);
         INSERT INTO email_schedules VALUES (2, 1, 'sent'), (1, 2, 'skipped'), (1, 3, 'sent'),
           (NULL, 4, 'sent'), ('x', 5, 'sent');
         CREATE TABLE tracking_clicks (contact_id TEXT, clicked_at TEXT);
         INSERT INTO tracking_clicks VALUES ('1', '2026-09-16'), ('10', '2026-09-16');
         CREATE TABLE contact_events (contact_id INTEGER);
         INSERT INTO contact_events VALUES (1);",
    );
    let db = Database::open(&path, Access::ReadOnly).unwrap();
    assert_eq!(
        range(&db, ..),
        [
            "1 'a@x.org' 12345 '1960-01-01' . 'ny' . 'x' | row 2 skipped | row 3 committed \
             | click 2026-09-16",
            "2 - | row 1 committed",
        ]
    );
    assert_eq!(folder.files(), ["test.db"]);
}

#[test]
fn a_legacy_database_is_read() {
    let folder = Folder::new();
    let path = folder.file(&format!(
        "{LEGACY}
         INSERT INTO contacts (id, first_name, last_name, email, current_carrier, plan_type,
           effective_date, birth_date, tobacco_user, gender, state, zip_code) VALUES
           (1, 'A', 'B', 'a@x.org', '', '', '2020-01-01', '1950-01-01', 0, 'F', 'CA', '90210');
         INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, status) VALUES
           (1, 'BIRTHDAY', '2026-01-01', 'pre-scheduled');"
    ));
    let db = Database::open(&path, Access::ReadOnly).unwrap();
    assert_eq!(
        range(&db, ..),
        ["1 'a@x.org' '90210' '1950-01-01' '2020-01-01' 'CA' '' 'active' | row 1 planned"]
    );
}

#[test]
fn contacts_without_an_id_of_their_own_are_reported_and_the_others_read() {
    let folder = Folder::new();
    let path = folder.file(
        "CREATE TABLE contacts (id INT, email, zip_code, birth_date, effective_date);
         INSERT INTO contacts (id, email) VALUES (2, 'first'), (NULL, 'nobody'), (1, 'one'),
           (2, 'second'), ('seven', 'x'), (2.5, 'half'), (2, 'third'), (3, 'three');",
    );
    let db = Database::open(&path, Access::ReadOnly).unwrap();
    let issues =
        ["None id is missing", "None id is not a whole number", "None id is not a whole number"];
    let contacts = [
        "1 'one' . . . . . .",
        "2 'first' . . . . . .",
        "Some(2) id occurs more than once",
        "Some(2) id occurs more than once",
        "3 'three' . . . . . .",
    ];
    let all: Vec<&str> = issues.into_iter().chain(contacts).collect();
    assert_eq!(range(&db, ..), all);
    assert_eq!(range(&db, 2..), contacts[1..]);
    assert_eq!(chosen(&db, &[1, 2]), contacts[..4]);
}

#[test]
fn a_row_of_any_kind_names_its_initial_row_in_its_metadata() {
    let folder = Folder::new();
    let path = folder.file(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email, zip_code, birth_date, effective_date);
         CREATE TABLE email_schedules (id INTEGER PRIMARY KEY, contact_id, email_type, status, metadata);
         INSERT INTO email_schedules VALUES (1, 7, 'newsletter', 'sent', '{\"initial_comm_log_id\": 5}'),
           (2, 7, 'Followup_1_Cold', 'sent', '{\"initial_comm_log_id\": 6}'),
           (3, 7, 'aep', 'sent', '{\"initial_comm_log_id\": \"6\"}'), (4, 7, 'aep', 'sent', '{');",
    );
    let db = Database::open(&path, Access::ReadOnly).unwrap();
    assert_eq!(
        range(&db, ..),
        [
            "7 - | row 1 committed after 5 | row 2 committed after 6 | row 3 committed | row 4 committed"
        ]
    );
}

#[test]
fn a_visitor_can_break_off_and_say_why() {
    let folder = Folder::new();
    let db = everything(&folder);
    let (config, catalog) = (config(), catalog(&db));
    let mut scanner = db.scanner(&config, &catalog).unwrap();
    let mut visit = |visited: Visited<'_>| match visited {
        Visited::Contact(input) if input.id == 2 => ControlFlow::Break("found"),
        _ => ControlFlow::Continue(()),
    };
    assert_eq!(scanner.range(.., &mut visit).unwrap(), ControlFlow::Break("found"));
    assert_eq!(scanner.chosen(&[1, 2, 30], &mut visit).unwrap(), ControlFlow::Break("found"));
    assert_eq!(scanner.range(3.., &mut visit).unwrap(), ControlFlow::Continue(()));
    // Nothing is held afterwards.
    db.connection().execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
}
