//! Small organizations in which everything goes wrong at once, made from a seed.
//!
//! One seed always gives the same bytes. Few birthdays, few effective dates and few trigger dates make contacts collide;
//! states are mostly those with rules; every column has values that must be refused. Rows of earlier runs come from
//! the model itself, run on earlier days, and are then sent, moved, doubled and damaged.

mod campaigns;
mod configuration;
mod history;
mod people;

use std::path::Path;

use fastrand::Rng;
use jiff::civil::{Date, date};
use rusqlite::{Connection, Result, types::Value};

use crate::{calendar::plus, model::ModelConfig};

/// How much of the rules an organization needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Contacts only: sections 1 to 6, in a database that no scheduler has seen.
    Plain,
    /// Contacts, and rows of earlier runs and of the sender: sections 1 to 6, in the older and in the current schema.
    History,
    /// Everything: campaigns and follow-ups, too.
    Full,
}

/// What to run on a database that was written.
#[derive(Debug, Clone)]
pub struct Organization {
    /// The day for which the database is made.
    pub today: Date,
    /// The configuration to run with: often the default, often not.
    pub config: ModelConfig,
}

/// The older application's tables.
pub const LEGACY_SCHEMA: &str = include_str!("legacy-schema.sql");

/// Writes an organization of about `contacts` contacts (from 1 up) into a new file at `path`.
///
/// # Errors
///
/// When the file cannot be written, or exists and is not empty.
pub fn write(path: &Path, seed: u64, level: Level, contacts: usize) -> Result<Organization> {
    // Levels differ from each other although they share their seeds.
    let mut random = Rng::with_seed(seed.wrapping_mul(4).wrapping_add(level as u64));
    let today = today(&mut random);
    let config = configuration::random(&mut random, today);

    let mut conn = Connection::open(path)?;
    // Rows of contacts that are gone are among the things that go wrong.
    conn.pragma_update(None, "foreign_keys", false)?;
    let transaction = conn.transaction()?;
    let triggers = create_tables(&transaction, &mut random, level)?;
    people::write(&transaction, &mut random, today, contacts)?;
    if level >= Level::Full {
        campaigns::write(&transaction, &mut random, today)?;
    }
    if level >= Level::History {
        history::write(&transaction, &mut random, today, &config)?;
    }
    if level >= Level::Full {
        campaigns::write_behaviour(&transaction, &mut random)?;
    }
    transaction.execute_batch(&triggers)?;
    transaction.commit()?;
    Ok(Organization { today, config })
}

/// A day at the edge of something, or any.
fn today(random: &mut Rng) -> Date {
    let edges = [
        date(2024, 2, 29),
        date(2025, 2, 28),
        date(2025, 3, 1),
        date(2025, 12, 31),
        date(2026, 1, 1),
        date(2025, 9, 14),
        date(2025, 9, 15),
        date(2025, 9, 16),
        date(2025, 10, 15),
        date(2025, 10, 16),
    ];
    if random.bool() {
        pick(random, &edges)
    } else {
        plus(date(2024, 1, 1), random.i64(0..4 * 365))
    }
}

/// Creates the tables of one of the shapes that databases come in; returns the triggers to create at the end, because
/// they write the time of day into rows.
fn create_tables(conn: &Connection, random: &mut Rng, level: Level) -> Result<String> {
    let legacy = random.u8(..3) == 0;
    if legacy && level >= Level::History || random.u8(..4) == 0 {
        let (tables, trigger) = LEGACY_SCHEMA.split_at(
            LEGACY_SCHEMA.find("CREATE TRIGGER").expect("the older schema has a trigger"),
        );
        conn.execute_batch(tables)?;
        if level == Level::Plain {
            conn.execute_batch("DROP TABLE email_schedules")?;
            return Ok(String::new());
        }
        if level == Level::Full {
            create_current(conn, &CURRENT_CAMPAIGN_TABLES)?;
        }
        return Ok(trigger.to_owned());
    }
    let contacts = match random.u8(..4) {
        0 => {
            "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT,
             birthday TEXT, effective_date TEXT)"
        }
        1 => {
            "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code INTEGER,
             birth_date TEXT, effective_date TEXT, state TEXT, phone_number TEXT)"
        }
        _ => {
            "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT, birth_date TEXT,
             effective_date TEXT, state TEXT, phone_number TEXT, status TEXT)"
        }
    };
    conn.execute_batch(contacts)?;
    if level >= Level::History {
        create_current(conn, &["email_schedules"])?;
    }
    if level >= Level::Full {
        create_current(conn, &CURRENT_CAMPAIGN_TABLES)?;
    }
    Ok(String::new())
}

const CURRENT_CAMPAIGN_TABLES: [&str; 5] = [
    "campaign_types",
    "campaign_instances",
    "contact_campaigns",
    "tracking_clicks",
    "contact_events",
];

/// Creates some of the current tables.
fn create_current(conn: &Connection, tables: &[&str]) -> Result<()> {
    let current = Connection::open_in_memory()?;
    crate::model::create_schema(&current)?;
    for table in tables {
        let sql: String = current.query_row(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?1",
            [table],
            |row| row.get(0),
        )?;
        conn.execute_batch(&sql)?;
    }
    Ok(())
}

/// A table that may lack some columns, and may refuse some rows.
struct Table<'a> {
    conn: &'a Connection,
    name: &'static str,
    columns: Vec<String>,
}

impl<'a> Table<'a> {
    fn new(conn: &'a Connection, name: &'static str) -> Result<Self> {
        let mut statement =
            conn.prepare(&format!("SELECT name FROM pragma_table_info('{name}')"))?;
        let columns = statement.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
        Ok(Self { conn, name, columns })
    }

    /// Writes a row; values of columns that are not there are left out. Answers whether the table took it.
    fn insert(&self, values: &[(&str, Value)]) -> Result<bool> {
        let values: Vec<&(&str, Value)> =
            values.iter().filter(|(name, _)| self.columns.iter().any(|c| c == name)).collect();
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        let sql = format!(
            "INSERT OR IGNORE INTO {} ({}) VALUES ({})",
            self.name,
            names.join(", "),
            vec!["?"; names.len()].join(", ")
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let count =
            statement.execute(rusqlite::params_from_iter(values.iter().map(|(_, value)| value)))?;
        Ok(count > 0)
    }
}

fn pick<T: Clone>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(..from.len())].clone()
}

/// True `n` times out of a hundred.
fn chance(random: &mut Rng, n: u8) -> bool {
    random.u8(..100) < n
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn optional(text: Option<impl Into<String>>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan;

    #[test]
    fn one_seed_gives_the_same_bytes_and_another_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = |name: &str, seed, level| {
            let path = folder.path().join(name);
            write(&path, seed, level, 25).unwrap();
            std::fs::read(path).unwrap()
        };
        for (number, level) in [Level::Plain, Level::History, Level::Full].into_iter().enumerate() {
            for seed in 0..6 {
                let first = bytes(&format!("{number}-{seed}-a"), seed, level);
                let second = bytes(&format!("{number}-{seed}-b"), seed, level);
                assert!(first == second, "{level:?} {seed}");
            }
            assert!(
                bytes(&format!("{number}-x"), 1, level) != bytes(&format!("{number}-y"), 2, level)
            );
        }
    }

    /// What must come up, and does within a few seeds: every status, every sort of skip and of owned row.
    #[test]
    fn organizations_are_nasty() {
        let folder = tempfile::tempdir().unwrap();
        let mut seen = std::collections::BTreeMap::new();
        for seed in 0..30 {
            let path = folder.path().join(format!("{seed}.db"));
            let organization = write(&path, seed, Level::Full, 40).unwrap();
            let conn = Connection::open(&path).unwrap();
            let plan = plan(&conn, organization.today, &organization.config);
            let mut see = |what: String| *seen.entry(what).or_insert(0) += 1;
            for (_, field) in &plan.issues {
                see(format!("issue {field}"));
            }
            for row in &plan.rows {
                let reason = row.content.skip_reason.as_deref().unwrap_or("planned");
                let reason = reason.split([':', ' ']).next().unwrap_or_default();
                let sort = match (row.existing_id, row.unchanged) {
                    (None, _) => "new",
                    (_, true) => "kept",
                    (_, false) => "updated",
                };
                let kind = &row.content.email_type;
                see(format!("{sort} {reason}"));
                see(format!("kind {kind}"));
                see(format!("{reason} {kind}"));
                if row.content.shift_days.is_some_and(|days| days != 0) {
                    see(format!("shifted {sort}"));
                }
            }
            for status in plan.target_statuses.values() {
                see(format!("target {status}"));
            }
            for _ in &plan.deleted {
                see("deleted".to_owned());
            }
            if plan.days_above_threshold > 0 {
                see("days above the threshold".to_owned());
            }
        }
        for what in [
            "issue email",
            "issue zip_code",
            "issue birth_date",
            "issue effective_date",
            "issue state",
            "issue trigger_date",
            "new planned",
            "kept planned",
            "updated planned",
            "new Birthday",
            "kept Birthday",
            "new Year-round",
            "new Effective",
            "new Frequency",
            "kept Frequency",
            "updated Expired",
            "kept Expired",
            "new Lower",
            "kept Lower",
            "kind birthday",
            "kind effective_date",
            "kind aep",
            "kind post_window",
            "kind followup_1_cold",
            "kind followup_2_clicked_no_hq",
            "kind followup_3_hq_no_yes",
            "kind followup_4_hq_with_yes",
            "shifted new",
            "shifted kept",
            "target sent",
            "target pending",
            "target scheduled",
            "target skipped",
            "deleted",
            "days above the threshold",
            "Lower followup",
            "Lower campaign",
        ] {
            assert!(seen.keys().any(|key: &String| key.starts_with(what)), "{what} never came up");
        }
    }
}
