//! The planner against a second, naive one that was written from the specification alone: on the same
//! database, day and configuration both must want the same rows.

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
    promises::{Snapshot, nothing_changed},
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

/// The seeds of a test; `SEEDS=from..to` runs others.
fn seeds(from: u64, to: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return from..to };
    let (from, to) = text.split_once("..").expect("SEEDS=from..to");
    from.parse().unwrap()..to.parse().unwrap()
}
