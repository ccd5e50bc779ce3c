//! Generated organizations: the same for the same seed, and as organizations are.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{collections::BTreeMap, fs, path::Path};

use curfew_app::generate::{
    GenerateError, GenerateReport, GenerateRequest, generate, generate_with,
};
use curfew_engine::{Day, Field, Problem, RawContact, Standing, Today, Value};
use rusqlite::{Connection, types::ValueRef};
use tempfile::TempDir;

fn full(out: &Path, contacts: u32, seed: u64) -> GenerateRequest {
    GenerateRequest {
        campaigns: true,
        history: true,
        clicks: true,
        ..GenerateRequest::new(out, contacts, seed)
    }
}

fn number(connection: &Connection, sql: &str) -> u64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The 64-bit FNV-1a hash of a file.
fn hash(path: &Path) -> u64 {
    fs::read(path).unwrap().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let folder = TempDir::new().unwrap();
    let [first, second, other] =
        ["first.db", "second.db", "other.db"].map(|n| folder.path().join(n));
    let report = generate(&full(&first, 20_000, 7)).unwrap();
    assert_eq!(generate(&full(&second, 20_000, 7)).unwrap(), report);
    generate(&full(&other, 20_000, 8)).unwrap();
    assert!(fs::metadata(&first).unwrap().len() > 4_000_000);
    assert_eq!(hash(&first), hash(&second));
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    assert_ne!(hash(&first), hash(&other));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "no journal and no partial file is left"
    );
}

/// Threads, clocks, locales and the order of hash maps would show here. Another version of this
/// program or of SQLite may give others: then see what differs, and `UPDATE_EXPECT=1`.
#[test]
fn the_bytes_of_a_seed_are_the_same_on_every_machine() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("org.db");
    generate(&full(&path, 3000, 1)).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    let found = format!("{length} bytes, FNV-1a {:016x}", hash(&path));
    expect_test::expect!["1409024 bytes, FNV-1a 52d6b2445fa5b9c2"].assert_eq(&found);
}

#[test]
fn the_organization_of_a_seed_stays_the_same_from_version_to_version() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("org.db");
    generate(&full(&path, 300, 1)).unwrap();
    let connection = Connection::open(&path).unwrap();
    let mut statement = connection
        .prepare(
            "SELECT concat_ws('|', id, first_name, last_name, email, zip_code, state, birth_date,
               effective_date, phone_number, current_carrier, plan_type, status)
             FROM contacts WHERE id IN (1, 2, 300)",
        )
        .unwrap();
    let rows: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    expect_test::expect![[r"
        1|Florence|Rivera|florence.rivera.1@example.net|76652|TX|1959-04-16|2024-08-01|905-555-0170|Cedar Health|High-deductible G|active
        2|Henry|Vega|henry.vega.2@example.net|21734|MD|1955-12-01|2022-05-01|462-555-0118|First Prairie|N|active
        300|Elmer|Oakley|elmer.oakley.300@example.com|98929|WA|1948-03-14|2023-10-01|783-555-0169|United Hearth|F|active"]].assert_eq(&rows.join("\n"));
}

#[test]
fn a_contact_does_not_depend_on_how_many_there_are_or_on_what_else_is_made() {
    let folder = TempDir::new().unwrap();
    let [small, large] = ["small.db", "large.db"].map(|name| folder.path().join(name));
    generate(&GenerateRequest::new(&small, 500, 3)).unwrap();
    generate(&full(&large, 2000, 3)).unwrap();
    let connection = Connection::open(&large).unwrap();
    connection.execute("ATTACH ?1 AS small", [small.to_str().unwrap()]).unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM small.contacts"), 500);
    assert_eq!(
        number(
            &connection,
            "SELECT count(*) FROM (SELECT * FROM small.contacts INTERSECT SELECT * FROM contacts)"
        ),
        500
    );
}

#[test]
fn organizations_are_as_organizations_are() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("org.db");
    let report = generate(&full(&path, 20_000, 1)).unwrap();
    let GenerateReport { contacts, dirty, inactive, sent, clicks, answers, targets, .. } = report;
    let connection = Connection::open(&path).unwrap();
    let count = |table: &str| number(&connection, &format!("SELECT count(*) FROM {table}"));
    assert_eq!(contacts, 20_000);
    assert_eq!(count("contacts"), contacts);
    assert_eq!(count("email_schedules"), sent);
    assert_eq!(count("tracking_clicks"), clicks);
    assert_eq!(count("contact_events"), answers);
    assert_eq!(count("contact_campaigns"), targets);
    assert_eq!(count("contacts WHERE status = 'inactive'"), inactive);
    // One in a hundred is dirty, three in a hundred are inactive, and one and a half messages or
    // more went to each.
    assert!((150..250).contains(&dirty), "{dirty}");
    assert!((500..700).contains(&inactive), "{inactive}");
    assert!(sent > 25_000 && clicks > 2500 && answers > 1000, "{report:?}");
    assert!((2700..3300).contains(&targets), "{targets}");

    // Nobody real can be written to or called.
    assert_eq!(
        count(
            "contacts WHERE email NOT LIKE '%@example.com' AND email NOT LIKE '%@example.org'
               AND email NOT LIKE '%@example.net' AND email NOT LIKE '%@example' AND email LIKE '%@%'"
        ),
        0
    );
    assert_eq!(count("contacts WHERE phone_number NOT LIKE '___-555-01__'"), 0);
    assert_eq!(
        number(
            &connection,
            "SELECT count(email) - count(DISTINCT email) FROM contacts
        WHERE typeof(email) = 'text' AND email <> ''"
        ),
        0
    );
}

/// What the engine makes of a row of `contacts`, and what it finds wrong with it.
fn check(row: &rusqlite::Row<'_>, today: Today) -> (Standing, Vec<(Field, Problem)>) {
    let value = |column| match row.get_ref_unwrap(column) {
        ValueRef::Null => Value::Null,
        ValueRef::Text(text) => Value::Text(text),
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(_) | ValueRef::Blob(_) => Value::Other,
    };
    let contact = RawContact {
        id: row.get_unwrap("id"),
        email: value("email"),
        zip_code: value("zip_code"),
        birth_date: value("birth_date"),
        effective_date: value("effective_date"),
        state: value("state"),
        phone_number: value("phone_number"),
        status: Value::Null,
    };
    let mut problems = Vec::new();
    let standing = contact.check(today, |issue| problems.push((issue.field, issue.problem)));
    (standing, problems)
}

#[test]
fn one_in_a_hundred_is_dirty_in_every_way_and_all_others_are_clean() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("org.db");
    let request = GenerateRequest::new(&path, 30_000, 1);
    let report = generate(&request).unwrap();
    let connection = Connection::open(&path).unwrap();
    let mut statement = connection.prepare("SELECT * FROM contacts").unwrap();
    let mut rows = statement.query([]).unwrap();
    let (mut dirty, mut kinds) = (0, BTreeMap::new());
    while let Some(row) = rows.next().unwrap() {
        let (standing, problems) = check(row, request.today);
        if let [(field, problem), more @ ..] = &problems[..] {
            assert_eq!(more, [], "one thing is wrong with a dirty contact");
            let problem = match problem {
                Problem::StateMismatch { .. } => "StateMismatch".to_owned(),
                problem => format!("{problem:?}"),
            };
            *kinds.entry(format!("{field} {problem}")).or_insert(0) += 1;
            dirty += 1;
            continue;
        }
        let Standing::Valid(contact) = standing else { panic!("a clean contact is {standing:?}") };
        let state: String = row.get_unwrap("state");
        assert_eq!(contact.state.code(), state, "the ZIP code agrees with the state");
        if let Some(birth) = contact.birth {
            let age = birth.completed_years(request.today.day);
            assert!((64..=95).contains(&age), "contact {} is {age}", contact.id);
        }
    }
    assert_eq!(dirty, report.dirty);
    // Of 30,000 draws of one in a hundred the deviation is 17.
    assert!((250..=350).contains(&dirty), "{dirty}");
    expect_test::expect![[r#"
        {
            "birth_date InTheFuture": 8,
            "birth_date Malformed": 25,
            "birth_date NotARealDate": 15,
            "effective_date Malformed": 15,
            "effective_date NotARealDate": 15,
            "email Malformed": 92,
            "email Missing": 25,
            "state StateMismatch": 7,
            "zip_code Malformed": 49,
            "zip_code Missing": 28,
            "zip_code UnknownZip": 8,
        }"#]]
    .assert_eq(&format!("{kinds:#?}"));
    let mut storage = connection
        .prepare("SELECT count(*) FROM contacts WHERE 'blob' IN (typeof(email), typeof(zip_code), typeof(birth_date))")
        .unwrap();
    assert!(storage.query_row([], |row| row.get::<_, u64>(0)).unwrap() > 20);
}

#[test]
fn effective_dates_cluster_on_the_first_and_in_january_and_ages_thin_out() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("org.db");
    generate(&GenerateRequest::new(&path, 30_000, 2)).unwrap();
    let connection = Connection::open(&path).unwrap();
    let share = |condition: &str| {
        let sql = format!(
            "SELECT 1000 * sum({condition}) / count(*) FROM contacts
             WHERE effective_date GLOB '????-??-??' AND birth_date GLOB '????-??-??'"
        );
        number(&connection, &sql)
    };
    // In a thousand.
    let first = share("substr(effective_date, 9) = '01'");
    assert!((915..=965).contains(&first), "{first}");
    let january = share("substr(effective_date, 6, 2) = '01'");
    assert!((300..=420).contains(&january), "{january}");
    for month in 2..=12 {
        let other = share(&format!("substr(effective_date, 6, 2) = printf('%02d', {month})"));
        assert!((45..=80).contains(&other), "{other} in month {month}");
    }
    let young = share("birth_date > '1951-11-20'");
    let old = share("birth_date <= '1941-11-20'");
    assert!((550..=620).contains(&young), "{young} below 75");
    assert!((85..=125).contains(&old), "{old} of 85 and more");
    assert_eq!(share("effective_date > '2028-01-01'"), 0);
}

#[test]
fn the_history_keeps_to_the_rules_and_to_the_last_year() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("org.db");
    let today = Today::new(Day::parse("2028-02-29").unwrap()).unwrap();
    generate(&GenerateRequest { today, ..full(&path, 5000, 5) }).unwrap();
    let connection = Connection::open(&path).unwrap();
    let count = |sql: &str| number(&connection, &format!("SELECT count(*) FROM {sql}"));
    for never in [
        "email_schedules WHERE scheduled_send_date NOT BETWEEN '2027-03-01' AND '2028-02-28'",
        "email_schedules JOIN contacts ON contacts.id = contact_id
           WHERE state IN ('NY', 'CT', 'MA', 'WA')",
        "email_schedules JOIN contacts ON contacts.id = contact_id
           WHERE scheduled_send_date <= effective_date",
        "email_schedules JOIN contacts ON contacts.id = contact_id WHERE state = 'KY'
           AND substr(birth_date, 6) = '06-15'
           AND scheduled_send_date BETWEEN '2027-04-16' AND '2027-08-14'",
        "email_schedules WHERE status NOT IN ('sent', 'delivered', 'bounced', 'failed')",
        "(SELECT 1 FROM email_schedules
          GROUP BY contact_id, email_type, event_year, event_month, event_day HAVING count(*) > 1)",
        "tracking_clicks WHERE clicked_at >= '2028-02-29'",
        "contact_events WHERE json_extract(metadata, '$.main_questions_yes_count') IS NULL",
    ] {
        assert_eq!(count(never), 0, "{never}");
    }
    for kind in ["birthday", "effective_date", "aep", "post_window"] {
        assert!(count(&format!("email_schedules WHERE email_type = '{kind}'")) > 50, "{kind}");
    }
    assert_eq!(
        count("email_schedules WHERE email_type = 'aep' AND (event_month, event_day) <> (9, 15)"),
        0
    );
}

#[test]
fn what_cannot_be_made_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("org.db");
    let clicks_only = GenerateRequest { clicks: true, ..GenerateRequest::new(&path, 10, 1) };
    assert!(matches!(generate(&clicks_only), Err(GenerateError::ClicksWithoutHistory)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    fs::write(&path, "mine").unwrap();
    let error = generate(&GenerateRequest::new(&path, 10, 1)).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");

    let nowhere = folder.path().join("missing").join("org.db");
    let error = generate(&GenerateRequest::new(nowhere, 10, 1)).unwrap_err();
    assert!(error.to_string().contains("missing does not exist; make it first"), "{error}");

    let empty = folder.path().join("empty.db");
    let report = generate(&GenerateRequest::new(&empty, 0, 1)).unwrap();
    assert_eq!(report, GenerateReport::default());
}

#[test]
fn a_file_is_made_once_and_never_over_another_that_came_meanwhile() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("org.db");
    let mut second = None;
    let first = generate_with(&GenerateRequest::new(&path, 10_000, 1), |_| {
        second.get_or_insert_with(|| generate(&GenerateRequest::new(&path, 10, 2)));
    });
    first.unwrap();
    let error = second.unwrap().unwrap_err();
    assert!(error.to_string().contains("another program is writing"), "{error}");
    assert_eq!(number(&Connection::open(&path).unwrap(), "SELECT count(*) FROM contacts"), 10_000);

    fs::remove_file(&path).unwrap();
    let request = GenerateRequest::new(&path, 10_000, 1);
    let error = generate_with(&request, |_| fs::write(&path, "mine").unwrap());
    assert!(error.unwrap_err().to_string().contains("exists already"));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
}

#[test]
fn progress_runs_from_nothing_to_all() {
    let folder = TempDir::new().unwrap();
    let mut shares = Vec::new();
    generate_with(&full(&folder.path().join("org.db"), 20_000, 1), |share| shares.push(share))
        .unwrap();
    assert!(shares.is_sorted());
    assert_eq!(shares.len(), 6);
    assert!((shares[5] - 1.0).abs() < 1e-9);
}
