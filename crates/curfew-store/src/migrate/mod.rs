//! Numbered migrations: from any database with contacts to one that the scheduler can work on.
//!
//! A migration looks at what is there and adds what is missing, in one transaction. It therefore
//! suits databases of every age, can be repeated, and can be killed at any point. It never loses a
//! row, except for planned rows of which another of the same event is kept, and never changes a
//! committed one.

mod step;
pub(crate) mod tables;
#[cfg(test)]
mod tests;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

pub use self::step::Step;
use self::{
    step::{Obstacle, Todo},
    tables as t,
};
use crate::{Database, StoreError, history, schema::Table};

/// A migration, recorded in the table `curfew_migrations`.
#[derive(Debug)]
struct Migration {
    name: &'static str,
    /// What is left to do; empty when the migration is in force.
    todos: fn(&Connection) -> Result<Vec<Todo>, Obstacle>,
}

/// In order; the first has number 1. A migration that was once released keeps its number.
const MIGRATIONS: [Migration; 7] = [
    Migration { name: "history, runs and configuration versions", todos: record },
    Migration { name: "email_schedules", todos: |db| step::table(db, &t::EMAIL_SCHEDULES) },
    Migration { name: "no constraint forbids legitimate rows", todos: step::unique_constraints },
    Migration { name: "one owned row per event", todos: step::event_index },
    Migration { name: "indexes for reading", todos: reading_indexes },
    Migration { name: "campaigns", todos: campaigns },
    Migration { name: "behaviour", todos: behaviour },
];

const CREATE_MIGRATIONS: &str = "
CREATE TABLE IF NOT EXISTS curfew_migrations (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  applied_at TEXT NOT NULL
)";

fn record(db: &Connection) -> Result<Vec<Todo>, Obstacle> {
    let mut todos = Vec::new();
    for spec in
        [&t::SCHEDULE_HISTORY, &t::SCHEDULER_CHECKPOINTS, &t::CONTACT_ISSUES, &t::CONFIG_VERSIONS]
    {
        todos.extend(step::table(db, spec)?);
    }
    if !todos.is_empty() {
        return Ok(todos);
    }
    for (trigger, statement) in history::GUARDS {
        todos.extend(step::guard(db, t::SCHEDULE_HISTORY.name, trigger, statement)?);
    }
    let name = "curfew_history_contact";
    todos.extend(step::index(db, t::SCHEDULE_HISTORY.name, name, &["contact_id"])?);
    todos.extend(step::index(db, t::CONTACT_ISSUES.name, "curfew_issue_run", &["run_id"])?);
    let runs = t::SCHEDULER_CHECKPOINTS.name;
    todos.extend(step::index(db, runs, "curfew_run", &["run_id"])?);
    // Every run looks for one that never ended, among all that there were.
    let name = "curfew_run_started";
    let sql = format!("CREATE INDEX {name} ON {runs} (run_id) WHERE status = 'started'");
    todos.extend(step::exact_index(db, runs, name, &sql)?);
    Ok(todos)
}

fn reading_indexes(db: &Connection) -> Result<Vec<Todo>, Obstacle> {
    let table = t::EMAIL_SCHEDULES.name;
    let mut todos = step::index(db, table, "curfew_schedule_contact", &["contact_id"])?;
    // The sender asks for what is planned for a day.
    let columns = ["status", "scheduled_send_date"];
    todos.extend(step::index(db, table, "curfew_schedule_status_date", &columns)?);
    Ok(todos)
}

fn campaigns(db: &Connection) -> Result<Vec<Todo>, Obstacle> {
    let mut todos = Vec::new();
    for spec in
        [&t::CAMPAIGN_TYPES, &t::CAMPAIGN_INSTANCES, &t::CONTACT_CAMPAIGNS, &t::CAMPAIGN_CHANGE_LOG]
    {
        todos.extend(step::table(db, spec)?);
    }
    if todos.is_empty() {
        let name = "curfew_target_contact";
        todos = step::index(db, t::CONTACT_CAMPAIGNS.name, name, &["contact_id"])?;
    }
    Ok(todos)
}

fn behaviour(db: &Connection) -> Result<Vec<Todo>, Obstacle> {
    let mut todos = step::table(db, &t::TRACKING_CLICKS)?;
    todos.extend(step::table(db, &t::CONTACT_EVENTS)?);
    if todos.is_empty() {
        todos = step::index(db, t::TRACKING_CLICKS.name, "curfew_click_contact", &["contact_id"])?;
        let name = "curfew_event_contact";
        todos.extend(step::index(db, t::CONTACT_EVENTS.name, name, &["contact_id"])?);
    }
    Ok(todos)
}

/// What [`Database::migrate`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationReport {
    /// The migrations that were applied for the first time, by number and name.
    pub applied: Vec<(i64, &'static str)>,
    /// The migrations that were in force once, but had to be mended: another program had undone
    /// part of them.
    pub mended: Vec<(i64, &'static str)>,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

impl MigrationReport {
    /// Whether everything was in order already, and nothing was written.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.mended.is_empty()
    }

    /// How many planned rows went because another of the same event is kept.
    pub fn duplicates_deleted(&self) -> u64 {
        let rows = self.steps.iter().map(|step| match step {
            Step::DeleteDuplicates { rows } => *rows,
            _ => 0,
        });
        rows.sum()
    }
}

impl Database {
    /// Brings the database up to date. Each migration is one transaction; with an error, those
    /// before it stand. `now` is recorded as the time of each.
    ///
    /// Where everything is in order, nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if a newer version was here, [`StoreError::UnsupportedTable`] if a
    /// table of one of our names cannot be brought into shape, and what can go wrong in writing.
    pub fn migrate(&mut self, now: &str) -> Result<MigrationReport, StoreError> {
        self.migrate_watched(now, &mut |_| Ok(()))
    }

    /// The numbers and names of the migrations that [`Database::migrate`] would apply or mend.
    pub fn pending_migrations(&self) -> Result<Vec<(i64, &'static str)>, StoreError> {
        let look = || {
            let applied = applied(self.connection())?;
            let mut pending = Vec::new();
            for (number, migration) in (1..).zip(&MIGRATIONS) {
                let todos = (migration.todos)(self.connection())?;
                if !applied.contains(&number) || !todos.is_empty() {
                    pending.push((number, migration.name));
                }
            }
            Ok(pending)
        };
        look().map_err(|obstacle| self.obstacle(obstacle))
    }

    /// `before` is called before every step and every commit.
    fn migrate_watched(
        &mut self,
        now: &str,
        before: &mut dyn FnMut(&Connection) -> Result<(), Obstacle>,
    ) -> Result<MigrationReport, StoreError> {
        let mut report = MigrationReport::default();
        let applied = applied(self.connection()).map_err(|error| self.fail(DOING, error))?;
        let known = MIGRATIONS.len() as i64;
        if let Some(found) = applied.iter().copied().find(|number| *number > known) {
            return Err(StoreError::Newer { path: self.path().to_owned(), found, known });
        }
        for (number, migration) in (1..).zip(&MIGRATIONS) {
            let is_recorded = applied.contains(&number);
            let in_force = is_recorded && {
                // One lock for all that is looked at.
                let _snapshot = self.snapshot()?;
                (migration.todos)(self.connection())
                    .map_err(|obstacle| self.obstacle(obstacle))?
                    .is_empty()
            };
            if in_force {
                continue;
            }
            let steps = apply(self.connection(), number, migration, now, before)
                .map_err(|obstacle| self.obstacle(obstacle))?;
            let list = if is_recorded { &mut report.mended } else { &mut report.applied };
            list.push((number, migration.name));
            report.steps.extend(steps);
        }
        Ok(report)
    }

    fn obstacle(&self, obstacle: Obstacle) -> StoreError {
        match obstacle {
            Obstacle::Sqlite(error) => self.fail(DOING, error),
            Obstacle::Unsupported { table, reason } => self.unsupported(&table, reason),
            #[cfg(test)]
            Obstacle::Killed => self.fail(DOING, rusqlite::Error::InvalidQuery),
        }
    }
}

const DOING: &str = "migrate the database";

/// The numbers of the migrations on record.
fn applied(db: &Connection) -> rusqlite::Result<Vec<i64>> {
    if Table::read(db, "curfew_migrations")?.is_none() {
        return Ok(Vec::new());
    }
    let mut statement = db.prepare("SELECT number FROM main.curfew_migrations ORDER BY number")?;
    let numbers = statement.query_map([], |row| row.get(0))?;
    numbers.collect()
}

/// Applies a migration in one transaction.
fn apply(
    db: &Connection,
    number: i64,
    migration: &Migration,
    now: &str,
    before: &mut dyn FnMut(&Connection) -> Result<(), Obstacle>,
) -> Result<Vec<Step>, Obstacle> {
    /// Steps make further ones visible, like the index of a table; more rounds than this would mean
    /// that a step has no effect.
    const ROUNDS_MAX: usize = 8;

    let transaction = rusqlite::Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    before(db)?;
    db.execute_batch(CREATE_MIGRATIONS)?;
    let run_id = format!("{}{number}", history::MIGRATION_RUN);
    let mut done = Vec::new();
    for round in 0.. {
        let todos = (migration.todos)(db)?;
        if todos.is_empty() {
            break;
        }
        assert!(round < ROUNDS_MAX, "migration {number} does not come to an end: {todos:?}");
        for todo in todos {
            before(db)?;
            done.extend(todo.take(db, &run_id, now)?);
        }
    }
    let recorded = db
        .query_row("SELECT 1 FROM main.curfew_migrations WHERE number = ?1", [number], |_| Ok(()))
        .optional()?;
    if recorded.is_none() {
        db.execute(
            "INSERT INTO main.curfew_migrations (number, name, applied_at) VALUES (?1, ?2, ?3)",
            (number, migration.name, now),
        )?;
    }
    before(db)?;
    transaction.commit()?;
    Ok(done)
}
