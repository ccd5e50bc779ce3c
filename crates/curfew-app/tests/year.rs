//! Years of daily runs of the planner on a database, with a sender between them (the end of SPEC
//! section 6).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use curfew_app::{
    NoProgress,
    config::Config,
    run::{RunRequest, run},
};
use fastrand::Rng;
use jiff::{ToSpan as _, civil::Date};
use rusqlite::{Connection, params};
use testkit::{
    differential::{compare, report},
    model::ModelConfig,
    organization::{self, Level},
    promises::{Simulation, Snapshot, after_a_run, nothing_changed, sent_exactly_once, sent_twice},
    sender::Sender,
};

const DAYS: i64 = 400;

fn plan_and_write(database: &Path, today: Date, config: Config) {
    let request = RunRequest {
        database: database.to_owned(),
        config,
        today: Some(today),
        threads: Some(1),
        backup: false,
    };
    let report = run(&request, &NoProgress).unwrap();
    assert!(report.refused.is_empty(), "{:?}", report.refused);
}

fn loaded(config: &ModelConfig, folder: &Path) -> Config {
    let yaml = folder.join("curfew.yaml");
    std::fs::write(&yaml, config.to_yaml()).unwrap();
    Config::load(&yaml).unwrap()
}

/// As in `second_planner.rs`, where the sender comes after the scheduler.
#[test]
fn with_a_sender_that_comes_before_the_scheduler_every_message_is_sent_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("year.db");
    let organization = organization::write(&path, 101, Level::Full, 12).unwrap();
    let first = organization.today;
    let conn = Connection::open(&path).unwrap();
    wait_for_the_disk_less(&conn);
    forget_the_unborn(&conn, first);
    conn.execute_batch(
        "DELETE FROM email_schedules; UPDATE contact_campaigns SET status = 'pending'",
    )
    .unwrap();
    let simulation =
        Simulation { first, days: DAYS, config: &organization.config, sender_first: true };
    let config = loaded(&organization.config, folder.path());
    let found = simulation.run(&path, &mut Sender::reliable(), &mut |path, today| {
        plan_and_write(path, today, config.clone());
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
    let last = first.checked_add((DAYS - 1).days()).unwrap();
    // What is due on the first day of all cannot be sent before the first run.
    let from = first.tomorrow().unwrap();
    let found = sent_exactly_once(&conn, from, last, &organization.config);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A thousand runs wait for the disk several times each; in WAL mode once a transaction.
fn wait_for_the_disk_less(conn: &Connection) {
    conn.pragma_update(None, "journal_mode", "wal").unwrap();
}

/// A birth date after today is treated as absent until that day has come; then windows appear under
/// rows that are planned already.
fn forget_the_unborn(conn: &Connection, today: Date) {
    for column in ["birth_date", "birthday"] {
        let sql = format!("UPDATE contacts SET {column} = '' WHERE {column} > ?1");
        if let Ok(mut statement) = conn.prepare(&sql) {
            statement.execute([today.to_string()]).unwrap();
        }
    }
}

#[test]
fn in_a_year_of_changing_contacts_and_a_sender_that_comes_and_goes_the_promises_hold() {
    let seed = 7;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("year.db");
    let organization = organization::write(&path, seed, Level::Full, 14).unwrap();
    let config = &organization.config;
    let mut conn = Connection::open(&path).unwrap();
    wait_for_the_disk_less(&conn);
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    let mut random = Rng::with_seed(seed);
    let mut sender = Sender::unreliable(seed);
    let mut today = organization.today;
    for day in 0..DAYS {
        change_contacts(&conn, &mut random, today);
        // Before the scheduler, after it, before and after it, or not at all.
        let (before, after) = match random.u8(..8) {
            0 | 1 => (true, false),
            2 => (true, true),
            3 => (false, false),
            _ => (false, true),
        };
        if before {
            sender.send(&mut conn, today).unwrap();
        }
        // Nobody plans on some days.
        if day > 0 && random.u8(..12) == 0 {
            today = today.tomorrow().unwrap();
            continue;
        }
        let mut planner = |path: &Path, today: Date, yaml: &Path| {
            plan_and_write(path, today, Config::load(yaml).unwrap());
        };
        let differences = compare(&path, today, config, &mut planner);
        assert!(differences.is_empty(), "seed {seed}:\n{}", report(&path, today, &differences));
        let broken = after_a_run(&conn, today, config);
        assert!(broken.is_empty(), "seed {seed}, {today}: {}", broken.join("\n"));
        if day % 20 == 0 {
            let snapshot = Snapshot::of(&conn);
            compare(&path, today, config, &mut planner);
            let touched = nothing_changed(&snapshot, &Snapshot::of(&conn));
            assert!(touched.is_empty(), "seed {seed}, {today}: {}", touched.join("\n"));
        }
        if after {
            sender.send(&mut conn, today).unwrap();
        }
        today = today.tomorrow().unwrap();
    }
    let twice = sent_twice(&conn, today, config);
    assert!(twice.is_empty(), "seed {seed}: {}", twice.join("\n"));
    let sent: i64 = conn
        .query_row(
            "SELECT count(*) FROM email_schedules WHERE actual_send_datetime > '2024'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(sent > 30, "{sent} messages in a year say nothing");
}

/// What happens to contacts on a day: moves, corrections, departures, returns, newcomers.
fn change_contacts(conn: &Connection, random: &mut Rng, today: Date) {
    let ids: Vec<i64> = conn
        .prepare("SELECT id FROM contacts ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    if random.u8(..5) != 0 {
        return;
    }
    let columns: Vec<String> = conn
        .prepare("SELECT lower(name) FROM pragma_table_info('contacts')")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let birth =
        if columns.iter().any(|name| name == "birth_date") { "birth_date" } else { "birthday" };
    let day_near = |random: &mut Rng, years: std::ops::Range<i64>| {
        let date = today.checked_add(random.i64(-120..120).days()).unwrap();
        date.checked_sub(random.i64(years).years()).unwrap().to_string()
    };
    let id = ids[random.usize(..ids.len())];
    let set = |column: &str, value: &str| {
        if columns.iter().any(|name| name == column) {
            let sql = format!("UPDATE contacts SET {column} = ?2 WHERE id = ?1");
            conn.execute(&sql, params![id, value]).unwrap();
        }
    };
    let choose = |random: &mut Rng, values: &[&'static str]| values[random.usize(..values.len())];
    match random.u8(..8) {
        0 => set(
            "zip_code",
            choose(random, &["90210", "89101", "63101", "10001", "75201", "60601", "x"]),
        ),
        1 => set("state", choose(random, &["CA", "nv", "MO", "ID", "TX", ""])),
        2 => set(birth, &day_near(random, 40..80)),
        3 => set("effective_date", &day_near(random, 0..9)),
        4 => set("status", choose(random, &["active", "Active", "inactive", ""])),
        5 => {
            let domains = ["@x.example", "@y.example", "@z.example", ""];
            set("email", &format!("p{id}{}", choose(random, &domains)));
        }
        6 if ids.len() > 10 => {
            conn.execute("DELETE FROM contacts WHERE id = ?1", [id]).unwrap();
        }
        _ => {
            let copied: Vec<&str> =
                columns.iter().map(String::as_str).filter(|name| *name != "id").collect();
            let values = copied.iter().map(|name| match *name {
                "email" => "'n' || (SELECT max(id) + 1 FROM contacts) || '@x.example'".to_owned(),
                name => name.to_owned(),
            });
            let sql = format!(
                "INSERT INTO contacts ({}) SELECT {} FROM contacts WHERE id = ?1",
                copied.join(", "),
                values.collect::<Vec<_>>().join(", ")
            );
            conn.execute(&sql, [id]).unwrap();
        }
    }
}
