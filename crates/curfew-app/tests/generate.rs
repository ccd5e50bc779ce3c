//! Generated organizations: the same for the same seed, and as organizations are.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{fs, path::Path};

use curfew_app::generate::{
    GenerateError, GenerateReport, GenerateRequest, generate, generate_with,
};
use curfew_engine::{Day, State, Today};
use rusqlite::Connection;
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

    // ZIP codes exist and agree with the state, but for the dirty ones.
    let mut statement = connection.prepare("SELECT zip_code, state FROM contacts").unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, String>(1)?)))
        .unwrap();
    let agreeing = rows
        .map(Result::unwrap)
        .filter(|(zip, state)| {
            let zip = zip.as_ref().filter(|zip| zip.len() == 5);
            let of_zip = zip.and_then(|zip| State::of_zip(zip.parse().unwrap()));
            of_zip == State::from_code(state)
        })
        .count();
    assert!(agreeing as u64 + dirty >= contacts && (agreeing as u64) < contacts, "{agreeing}");

    // States by population, none left out that has many inhabitants.
    let largest = number(&connection, "SELECT count(*) FROM contacts WHERE state = 'CA'");
    assert!((2100..2700).contains(&largest), "{largest}");
    assert!(number(&connection, "SELECT count(DISTINCT state) FROM contacts") > 50);

    // Nobody real can be written to or called.
    assert_eq!(
        count(
            "contacts WHERE email NOT LIKE '%@example.com' AND email NOT LIKE '%@example.org'
               AND email NOT LIKE '%@example.net' AND email LIKE '%@%'"
        ),
        0
    );
    assert_eq!(count("contacts WHERE phone_number NOT LIKE '___-555-01__'"), 0);
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
    assert!(error.to_string().contains("cannot be opened"), "{error}");

    let empty = folder.path().join("empty.db");
    let report = generate(&GenerateRequest::new(&empty, 0, 1)).unwrap();
    assert_eq!(report, GenerateReport::default());
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
