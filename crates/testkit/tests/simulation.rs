//! The model under its own promises (end of section 6): simulated days with runs and a sender.

use std::path::{Path, PathBuf};

use jiff::{ToSpan, civil::Date};
use rusqlite::Connection;
use testkit::{
    model::{Decimal, ModelConfig, ModelPlan, RowContent, apply, plan, upgrade_schema},
    organization::{self, Level, Organization},
    promises::{Simulation, after_a_run, sent_exactly_once},
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

/// Organizations of every shape, brought to the current tables, which the model can write to.
fn organizations(
    folder: &Path,
    seeds: std::ops::Range<u64>,
    contacts: usize,
) -> impl Iterator<Item = (u64, PathBuf, Organization)> {
    seeds.map(move |seed| {
        let path = folder.join(format!("{seed}.db"));
        let organization = organization::write(&path, seed, Level::Full, contacts)
            .expect("a database the model can write");
        forget_the_unborn(&path, organization.today);
        let conn = Connection::open(&path).expect("a database the model can write");
        upgrade_schema(&conn).expect("a database the model can write");
        (seed, path, organization)
    })
}

/// A birth date after today is treated as absent until that day has come; then windows appear under rows that are
/// planned already. That is right, and the only way in which dates change while the data do not.
fn forget_the_unborn(path: &Path, today: Date) {
    let conn = Connection::open(path).expect("a database the model can write");
    for column in ["birth_date", "birthday"] {
        let sql = format!("UPDATE contacts SET {column} = '' WHERE {column} > ?1");
        if let Ok(mut statement) = conn.prepare(&sql) {
            statement.execute([today.to_string()]).expect("a database the model can write");
        }
    }
}

#[test]
fn a_damaged_database_keeps_the_promises_for_sixty_days_with_an_unreliable_sender() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken: Vec<String> = Vec::new();
    for (seed, path, organization) in organizations(folder.path(), seeds(0, 6), 25) {
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
    for (seed, path, organization) in organizations(folder.path(), seeds(100, 103), 25) {
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(
            "DELETE FROM email_schedules; UPDATE contact_campaigns SET status = 'pending'",
        )
        .unwrap();
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

#[test]
fn a_second_run_changes_nothing_and_the_next_day_keeps_the_dates() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken: Vec<String> = Vec::new();
    for (seed, path, organization) in organizations(folder.path(), seeds(300, 320), 60) {
        let simulation = Simulation {
            first: organization.today,
            days: 3,
            config: &organization.config,
            sender_first: false,
        };
        let mut nobody = Sender::reliable();
        nobody.misses_days = 100;
        let mut schedule = run_model(&organization.config);
        let found = simulation.run(&path, &mut nobody, &mut schedule);
        broken.extend(found.into_iter().map(|text| format!("seed {seed}: {text}")));
        std::fs::remove_file(path).unwrap();
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A run that was killed wrote the rows of some contacts only.
#[test]
fn after_a_crash_the_next_run_ends_in_the_rows_of_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, path, organization) in organizations(folder.path(), seeds(200, 212), 60) {
        let Organization { today, mut config } = organization;
        // Rows are the same only where the daily cap moves nothing; what always holds, holds in any case.
        let roomy = seed % 3 != 0;
        if roomy {
            config.daily_send_percentage_cap = Decimal::new(1000, 0);
        }
        let copy = folder.path().join("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        let contents = |plan: &ModelPlan| -> Vec<RowContent> {
            plan.rows.iter().map(|row| row.content.clone()).collect()
        };

        let mut conn = Connection::open(&path).unwrap();
        let undisturbed = plan(&conn, today, &config);
        apply(&mut conn, &undisturbed, "undisturbed").unwrap();

        let mut conn = Connection::open(&copy).unwrap();
        let mut partial = plan(&conn, today, &config);
        let written = |contact_id: i64| contact_id % 3 != 0;
        partial.rows.retain(|row| written(row.content.contact_id));
        partial.deleted.retain(|id| {
            let sql = "SELECT contact_id FROM email_schedules WHERE id = ?1";
            written(conn.query_row(sql, [id], |row| row.get(0)).unwrap())
        });
        apply(&mut conn, &partial, "killed").unwrap();
        let next = plan(&conn, today, &config);
        apply(&mut conn, &next, "next").unwrap();

        let broken = after_a_run(&conn, today, &config);
        assert!(broken.is_empty(), "seed {seed}: {}", broken.join("\n"));
        if roomy {
            assert_eq!(contents(&next), contents(&undisturbed), "seed {seed}");
        }
    }
}

/// The seeds of a test; `SEEDS=from..to` runs others.
fn seeds(from: u64, to: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return from..to };
    let (from, to) = text.split_once("..").expect("SEEDS=from..to");
    let number = |text: &str| text.parse().expect("a number");
    number(from)..number(to)
}
