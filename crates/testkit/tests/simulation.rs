//! The model under its own promises (end of section 6): simulated days with runs and a sender.

use std::path::Path;

use jiff::{ToSpan, civil::Date};
use rusqlite::Connection;
use testkit::{
    model::{ModelConfig, apply, plan},
    organization::{self, Level, Organization},
    promises::{Simulation, sent_exactly_once},
    sender::Sender,
};

fn run_model(config: &ModelConfig) -> impl FnMut(&Path, Date) {
    move |path, today| {
        let mut conn = Connection::open(path).expect("a database the model can write");
        let plan = plan(&conn, today, config);
        apply(&mut conn, &plan, &format!("run of {today}"))
            .expect("a database the model can write");
    }
}

/// Organizations in the current tables, which the model can write to.
fn organizations(
    folder: &Path,
    seeds: std::ops::Range<u64>,
) -> Vec<(u64, std::path::PathBuf, Organization)> {
    seeds
        .map(|seed| {
            let path = folder.join(format!("{seed}.db"));
            let organization = organization::write(&path, seed, Level::Full, 25)
                .expect("a database the model can write");
            forget_the_unborn(&path, organization.today);
            (seed, path, organization)
        })
        .filter(|(_, path, _)| {
            let conn = Connection::open(path).expect("a database the model can write");
            conn.prepare("SELECT shift_days FROM email_schedules").is_ok()
        })
        .collect()
}

/// A birth date after today is treated as absent until that day has come; then windows appear under rows that are
/// planned already. That is right, and the only way in which dates change while the data do not.
fn forget_the_unborn(path: &Path, today: Date) {
    let conn = Connection::open(path).expect("a database the model can write");
    for column in ["birth_date", "birthday"] {
        let sql = format!("UPDATE contacts SET {column} = NULL WHERE {column} > ?1");
        if let Ok(mut statement) = conn.prepare(&sql) {
            statement.execute([today.to_string()]).expect("a database the model can write");
        }
    }
}

#[test]
fn a_damaged_database_keeps_the_promises_for_sixty_days_with_an_unreliable_sender() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken: Vec<String> = Vec::new();
    for (seed, path, organization) in organizations(folder.path(), seeds(0, 6)) {
        let simulation = Simulation {
            first: organization.today,
            days: 60,
            config: &organization.config,
            sender_first: seed % 2 == 0,
        };
        let mut schedule = run_model(&organization.config);
        let found = simulation.run(&path, &mut Sender::unreliable(seed), &mut schedule);
        broken.extend(found.into_iter().map(|text| format!("seed {seed}: {text}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn in_a_year_every_message_is_sent_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken: Vec<String> = Vec::new();
    for (seed, path, organization) in organizations(folder.path(), seeds(100, 103)) {
        let conn = Connection::open(&path).unwrap();
        conn.execute("DELETE FROM email_schedules", []).unwrap();
        let first = organization.today;
        let simulation =
            Simulation { first, days: 400, config: &organization.config, sender_first: false };
        let mut schedule = run_model(&organization.config);
        let mut found = simulation.run(&path, &mut Sender::reliable(), &mut schedule);
        let last = first.checked_add(399.days()).unwrap();
        if found.is_empty() {
            found = sent_exactly_once(&conn, first, last, &organization.config);
        }
        broken.extend(found.into_iter().map(|text| format!("seed {seed}: {text}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The seeds of a test; `SEEDS=from..to` runs others.
fn seeds(from: u64, to: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return from..to };
    let (from, to) = text.split_once("..").expect("SEEDS=from..to");
    let number = |text: &str| text.parse().expect("a number");
    number(from)..number(to)
}
