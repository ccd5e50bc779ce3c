//! The sample organization.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{collections::BTreeSet, fs, path::Path};

use curfew_app::{
    import::{ImportRequest, Reason, import},
    sample::{self, SampleError},
};
use curfew_engine::{Day, Today};
use rusqlite::Connection;
use tempfile::TempDir;

fn today() -> Today {
    Today::new(Day::parse("2026-11-20").unwrap()).unwrap()
}

fn number(path: &Path, sql: &str) -> u64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn the_folder_has_contacts_of_all_states_sent_messages_and_every_sort_of_dirt() {
    let folder = TempDir::new().unwrap();
    let sample = sample::write_folder(&folder.path().join("demo"), today()).unwrap();
    let import = &sample.import;
    assert!(import.written);
    assert_eq!(import.inserted, 56 * 5 + 13 * 8 + 2);
    let problems: BTreeSet<Reason> = import.problems.by_reason.keys().copied().collect();
    assert_eq!(
        problems,
        BTreeSet::from([
            Reason::NotUtf8,
            Reason::OpenQuote,
            Reason::FieldCount,
            Reason::IdMalformed,
            Reason::EmailMissing,
            Reason::EmailMalformed,
            Reason::ZipMissing,
            Reason::ZipMalformed,
            Reason::ZipUnknown,
            Reason::DateMalformed,
            Reason::DateNotReal,
            Reason::DateTwoDigitYear,
            Reason::EmailOfAnother,
        ])
    );
    assert_eq!(import.rejected, 13);
    let notes: BTreeSet<Reason> = import.notes.by_reason.keys().copied().collect();
    assert_eq!(
        notes,
        BTreeSet::from([
            Reason::ZipPadded,
            Reason::StateMismatch,
            Reason::BirthDateInTheFuture,
            Reason::Repeated,
        ])
    );
    assert!(import.dates_normalized > 80 && import.states_derived > 70);

    let db = &sample.database;
    assert_eq!(number(db, "SELECT count(*) FROM contacts"), import.inserted + sample.dirty);
    assert_eq!(number(db, "SELECT count(*) FROM email_schedules"), sample.sent);
    assert!(sample.sent > 200);
    assert_eq!(number(db, "SELECT count(DISTINCT state) FROM contacts WHERE id < 9000"), 56);
    assert_eq!(number(db, "SELECT count(*) FROM contacts WHERE phone_number = '907-555-0123'"), 1);
    // Some messages that a plan would consider are handled by what was sent.
    assert!(
        number(
            db,
            "SELECT count(*) FROM email_schedules WHERE email_type = 'birthday'
               AND printf('%d-%02d-%02d', event_year, event_month, event_day) >= '2026-11-20'"
        ) > 0
    );

    // Importing the file again changes nothing, whatever else is in the database.
    let again = import_again(&sample.contacts, db);
    assert!(again.is_unchanged());
    assert_eq!(again.problems, import.problems);

    let error = sample::write_folder(&folder.path().join("demo"), today()).unwrap_err();
    assert!(matches!(error, SampleError::Exists { .. }), "{error}");
}

fn import_again(file: &Path, database: &Path) -> curfew_app::import::ImportReport {
    import(&ImportRequest::new(database, file, today())).unwrap()
}

#[test]
fn the_sample_is_the_same_every_time() {
    let folder = TempDir::new().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let one = sample::write_folder(&first, today()).unwrap();
    let two = sample::write_folder(&second, today()).unwrap();
    for (one, two) in [(one.contacts, two.contacts), (one.database, two.database)] {
        assert!(fs::read(one).unwrap() == fs::read(two).unwrap());
    }
}

#[test]
fn the_database_can_be_made_without_an_import() {
    let folder = TempDir::new().unwrap();
    let [direct, imported] = ["direct.db", "imported"].map(|name| folder.path().join(name));
    sample::write_database(&direct, today()).unwrap();
    let sample = sample::write_folder(&imported, today()).unwrap();
    let connection = Connection::open(&direct).unwrap();
    connection.execute("ATTACH ?1 AS other", [sample.database.to_str().unwrap()]).unwrap();
    let count = |sql: &str| -> u64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    // The import came to the same contacts; two more are in the file only, one got a new number.
    let columns = "id, first_name, last_name, email, zip_code, state, birth_date, effective_date,
                   phone_number, current_carrier, plan_type, status";
    assert_eq!(
        count(&format!(
            "SELECT count(*) FROM (SELECT {columns} FROM contacts EXCEPT
               SELECT {columns} FROM other.contacts)"
        )),
        1
    );
    assert_eq!(
        count("SELECT count(*) FROM other.contacts"),
        count("SELECT count(*) FROM contacts") + 2
    );
    for table in ["email_schedules", "tracking_clicks", "contact_events"] {
        assert_eq!(
            count(&format!(
                "SELECT count(*) FROM (SELECT * FROM {table} EXCEPT SELECT * FROM other.{table})"
            )),
            0
        );
    }
}
