//! The planner against a second, naive one that was written from the specification alone: on the same
//! database, day and configuration both must want the same rows.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use curfew_app::{
    NoProgress,
    config::Config,
    run::{RunRequest, run},
};
use jiff::{ToSpan as _, civil::Date};
use rusqlite::Connection;
use testkit::{
    differential::{compare, report},
    organization::{self, Level},
    promises::{Simulation, Snapshot, nothing_changed, sent_exactly_once},
    sender::Sender,
};

/// Runs the planner as the command does.
fn run_planner(threads: usize) -> impl FnMut(&Path, Date, &Path) {
    move |database, today, config| {
        let request = RunRequest {
            database: database.to_owned(),
            config: Config::load(config).unwrap(),
            today: Some(today),
            threads: Some(threads),
            backup: false,
        };
        let report = run(&request, &NoProgress).unwrap();
        assert!(report.refused.is_empty(), "{:?}", report.refused);
        assert_eq!((report.rows_overtaken, report.contacts_postponed), (0, 0));
    }
}

/// Organizations of one level, each planned on several days with a sender that is not to be relied
/// on; after each run the rows are those of the second planner, and a second run touches nothing.
fn agrees(level: Level, seeds: std::ops::Range<u64>, contacts: usize) {
    let folder = tempfile::tempdir().unwrap();
    for seed in seeds {
        let path = folder.path().join(format!("{seed}.db"));
        let organization = organization::write(&path, seed, level, contacts).unwrap();
        let mut sender = Sender::unreliable(seed);
        let mut today = organization.today;
        for step in [1, 1, 1, 6, 35, 1] {
            let mut planner = run_planner(1 + usize::try_from(seed % 3).unwrap());
            let differences = compare(&path, today, &organization.config, &mut planner);
            assert!(
                differences.is_empty(),
                "seed {seed}, {level:?}:\n{}",
                report(&path, today, &differences)
            );
            let mut conn = Connection::open(&path).unwrap();
            let before = Snapshot::of(&conn);
            compare(&path, today, &organization.config, &mut planner);
            let touched = nothing_changed(&before, &Snapshot::of(&conn));
            assert!(touched.is_empty(), "seed {seed}: {}", touched.join("\n"));
            sender.send(&mut conn, today).unwrap();
            today = today.checked_add(step.days()).unwrap();
        }
    }
}

#[test]
fn on_contacts_alone_both_planners_want_the_same_rows() {
    agrees(Level::Plain, seeds(0, 12), 60);
}

#[test]
fn with_a_history_both_planners_want_the_same_rows() {
    agrees(Level::History, seeds(1000, 1012), 60);
}

#[test]
fn with_campaigns_and_follow_ups_both_planners_want_the_same_rows() {
    agrees(Level::Full, seeds(2000, 2012), 60);
}

/// The whole program, with its store, under the same simulation as the second planner is: 400 days,
/// a run and a sender on each, with campaigns and follow-ups.
#[test]
fn in_a_year_of_runs_every_message_is_sent_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    for seed in seeds(100, 101) {
        let path = folder.path().join(format!("{seed}.db"));
        let organization = organization::write(&path, seed, Level::Full, 15).unwrap();
        let config = folder.path().join("curfew.yaml");
        std::fs::write(&config, organization.config.to_yaml()).unwrap();
        let first = organization.today;
        let mut planner = run_planner(1);
        // The tables as they are now, and a year that nothing was sent before.
        planner(&path, first, &config);
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(
            "DELETE FROM email_schedules; UPDATE contact_campaigns SET status = 'pending'",
        )
        .unwrap();
        for column in ["birth_date", "birthday"] {
            // Who is not born yet has windows from then on only, under rows that are planned already.
            let sql = format!("UPDATE contacts SET {column} = '' WHERE {column} > ?1");
            let _ = conn.execute(&sql, [first.to_string()]);
        }
        let simulation =
            Simulation { first, days: 400, config: &organization.config, sender_first: false };
        let mut schedule = |path: &Path, today| planner(path, today, &config);
        let mut found = simulation.run(&path, &mut Sender::reliable(), &mut schedule);
        let last = first.checked_add(399.days()).unwrap();
        if found.is_empty() {
            found = sent_exactly_once(&conn, first, last, &organization.config);
        }
        assert!(found.is_empty(), "seed {seed}: {}", found.join("\n"));
        for kind in ["campaign_%", "followup_%", "post_window", "birthday"] {
            let sql = "SELECT count(*) FROM email_schedules WHERE email_type LIKE ?1
              AND status = 'sent'";
            let sent: i64 = conn.query_row(sql, [kind], |row| row.get(0)).unwrap();
            assert!(sent > 2, "seed {seed}: only {sent} of {kind} were sent");
        }
    }
}

/// The seeds of a test; `SEEDS=from..to` runs others.
fn seeds(from: u64, to: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return from..to };
    let (from, to) = text.split_once("..").expect("SEEDS=from..to");
    from.parse().unwrap()..to.parse().unwrap()
}
