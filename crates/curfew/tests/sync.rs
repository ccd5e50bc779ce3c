//! `curfew run --sync` with a real server.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::process::{Command, Output};

use libsql_link::blocking::Link;
use libsql_link::{Location, Options, Value};
use testkit::sqld::Sqld;

fn link(url: &str) -> Link {
    Link::open(&Location::parse(url).unwrap().0, Options::new()).unwrap()
}

fn count(url: &str, sql: &str) -> i64 {
    link(url).query(sql, &[]).unwrap().single().and_then(Value::as_integer).unwrap()
}

/// A server with two contacts.
fn agency() -> Sqld {
    let sqld = Sqld::start();
    let link = link(&sqld.url());
    for sql in [
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT, birth_date TEXT, \
         effective_date TEXT)",
        "INSERT INTO contacts VALUES (1, 'ann@example.com', '90210', '1955-02-10', '2019-05-01'), \
         (2, 'bob@example.com', '60601', '1956-12-24', '2020-01-01')",
    ] {
        link.execute(sql, &[]).unwrap();
    }
    sqld
}

fn run(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_curfew"))
        .args(["run", "--db", "agency.db", "--today", "2026-11-20"])
        .args(more)
        .env_remove("TURSO_DATABASE_URL")
        .env_remove("TURSO_AUTH_TOKEN")
        .current_dir(folder)
        .output()
        .unwrap()
}

#[track_caller]
fn ends(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    out + &err
}

#[test]
fn a_run_on_one_machine_reaches_the_server_and_the_next_machine() {
    let sqld = agency();
    let first = tempfile::tempdir().unwrap();
    let url = sqld.url();
    let text = ends(&run(first.path(), &["--sync", "--sync-url", &url]), 0);
    assert!(text.contains("fetched for the first time: 1 tables, 2 rows"), "{text}");
    let planned = count(&url, "SELECT count(*) FROM email_schedules");
    assert!(planned > 0);

    let second = tempfile::tempdir().unwrap();
    let text = ends(&run(second.path(), &["--sync", "--sync-url", &url, "--json"]), 0);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["rows"]["inserted"], 0, "the plan is there already: {text}");
    assert_eq!(report["sync"]["after"]["end"], "pushed", "the run itself is on record: {text}");
    assert_eq!(count(&url, "SELECT count(*) FROM email_schedules"), planned);

    // The address is known by now; a new contact on the server is planned for.
    link(&url)
        .execute(
            "INSERT INTO contacts VALUES (3, 'eve@example.com', '60601', '1957-12-24', '2020-01-01')",
            &[],
        )
        .unwrap();
    ends(&run(first.path(), &["--sync"]), 0);
    let of_three = "SELECT count(*) FROM email_schedules WHERE contact_id = 3";
    assert!(count(&url, of_three) > 0);
}

#[test]
fn a_contact_changed_on_both_sides_stops_the_run() {
    let sqld = agency();
    let place = tempfile::tempdir().unwrap();
    ends(&run(place.path(), &["--sync", "--sync-url", &sqld.url()]), 0);
    let runs = count(&sqld.url(), "SELECT count(*) FROM scheduler_checkpoints");
    link(&sqld.url()).execute("UPDATE contacts SET zip_code = '10001' WHERE id = 1", &[]).unwrap();
    rusqlite::Connection::open(place.path().join("agency.db"))
        .unwrap()
        .execute("UPDATE contacts SET zip_code = '60601' WHERE id = 1", [])
        .unwrap();
    let text = ends(&run(place.path(), &["--sync"]), 3);
    assert!(text.contains("turso-sync pull agency.db --policy ours"), "{text}");
    assert_eq!(count(&sqld.url(), "SELECT count(*) FROM scheduler_checkpoints"), runs);
}

#[test]
fn without_a_server_nothing_is_planned() {
    let place = tempfile::tempdir().unwrap();
    let text = ends(&run(place.path(), &["--sync"]), 2);
    assert!(text.contains("not synced yet"), "{text}");
    let text = ends(&run(place.path(), &["--sync", "--sync-url", "http://127.0.0.1:9"]), 3);
    assert!(text.contains("cannot reach"), "{text}");
    assert!(!place.path().join("agency.db.sync").exists());
}
