//! Runs on record: one row of `scheduler_checkpoints` each.

use std::fmt;

use curfew_engine::Day;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::{
    Checksum, Database, StoreError,
    cell::{integer, owned},
    history::{Chain, Head},
    schema::Table,
    writer::Written,
};

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// It is at work, or its process ended without a word.
    Started,
    /// It did all it had to do.
    Completed,
    /// It ended with an error.
    Failed,
    /// What another program wrote.
    Other(String),
}

impl RunStatus {
    /// The text of the column `status`.
    pub fn text(&self) -> &str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Other(text) => text,
        }
    }

    fn of(text: Option<String>) -> Self {
        match text.as_deref() {
            Some("started") => Self::Started,
            Some("completed") => Self::Completed,
            Some("failed") => Self::Failed,
            _ => Self::Other(text.unwrap_or_default()),
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// What is known of a run when it begins.
#[derive(Clone, Copy, Debug)]
pub struct RunStart<'a> {
    /// Its id, different from that of every other run.
    pub run_id: &'a str,
    /// What it does, like `run`.
    pub command: &'a str,
    /// The day it plans for.
    pub today: Day,
    /// When it began.
    pub started_at: &'a str,
    /// The configuration it uses, see [`Database::store_config`].
    pub config_version_id: Option<i64>,
    /// Checksum of the contacts, if it is known already, see [`Database::record_checksums`].
    pub contacts_checksum: Option<&'a str>,
    /// Checksum of the schedules before anything is written.
    pub schedules_checksum: Option<&'a str>,
}

/// What is known of a run when it has done all.
#[derive(Clone, Copy, Debug)]
pub struct RunEnd<'a> {
    /// When it ended.
    pub completed_at: &'a str,
    /// Its counts, a JSON object.
    pub counts: &'a str,
    /// Checksum of the contacts.
    pub contacts_checksum: Option<&'a str>,
    /// Checksum of the schedules as it left them.
    pub schedules_checksum: Option<&'a str>,
}

/// A run on record. What an older program did not record is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the columns")]
pub struct Run {
    pub run_id: String,
    pub command: Option<String>,
    pub today: Option<Day>,
    pub status: RunStatus,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub config_version_id: Option<i64>,
    /// Batches of contacts that were written.
    pub batches_done: i64,
    /// The last contact of the last batch.
    pub last_contact_id: Option<i64>,
    /// Rows changed so far.
    pub written: Written,
    /// A JSON object.
    pub counts: Option<String>,
    pub contacts_checksum_before: Option<String>,
    pub contacts_checksum_after: Option<String>,
    pub schedules_checksum_before: Option<String>,
    pub schedules_checksum_after: Option<String>,
    /// The last entry of the history when it wrote last.
    pub history: Option<Head>,
    pub error: Option<String>,
}

/// Recorded as the error of runs whose process ended without a word.
const ABANDONED: &str = "the process ended before the run did";

/// An index finds them among all runs that there ever were.
const FAIL_STARTED: &str = "UPDATE main.scheduler_checkpoints
     SET status = 'failed', completed_at = ?1, error = ?2
     WHERE status = 'started' AND run_id IS NOT NULL";

impl Database {
    /// Records that a run begins.
    ///
    /// # Errors
    /// [`StoreError::RunExists`] if there is one with this id.
    pub fn start_run(&self, run: &RunStart<'_>) -> Result<(), StoreError> {
        let insert = || {
            self.connection()
                .prepare_cached(
                    "INSERT INTO main.scheduler_checkpoints (run_id, command, today, status,
                       started_at, config_version_id, contacts_checksum_before,
                       schedules_checksum_before, batches_done, rows_inserted, rows_updated,
                       rows_expired, rows_deleted)
                     VALUES (?1, ?2, ?3, 'started', ?4, ?5, ?6, ?7, 0, 0, 0, 0, 0)",
                )?
                .execute(params![
                    run.run_id,
                    run.command,
                    run.today.to_string(),
                    run.started_at,
                    run.config_version_id,
                    run.contacts_checksum,
                    run.schedules_checksum,
                ])
        };
        match insert() {
            Ok(_) => Ok(()),
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
                    && matches!(self.run(run.run_id), Ok(Some(_))) =>
            {
                Err(StoreError::RunExists { run_id: run.run_id.to_owned() })
            }
            Err(error) => Err(self.fail("record the run", error)),
        }
    }

    /// Records the checksums of what a run found, before it writes anything.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`] if it was never started.
    pub fn record_checksums(
        &self,
        run_id: &str,
        contacts: Checksum,
        schedules: Checksum,
    ) -> Result<(), StoreError> {
        let update = || {
            self.connection()
                .prepare_cached(
                    "UPDATE main.scheduler_checkpoints
                     SET contacts_checksum_before = ?2, schedules_checksum_before = ?3
                     WHERE run_id = ?1",
                )?
                .execute(params![run_id, contacts.to_string(), schedules.to_string()])
        };
        self.expect_run(run_id, update())
    }

    /// Records that a run did all it had to do, and with which entry the history ends then, also if
    /// the run added none.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`] if it was never started.
    pub fn complete_run(&self, run_id: &str, end: &RunEnd<'_>) -> Result<(), StoreError> {
        let update = || {
            self.connection()
                .prepare_cached(
                    "UPDATE main.scheduler_checkpoints SET status = 'completed', completed_at = ?2,
                       counts = ?3, contacts_checksum_after = ?4, schedules_checksum_after = ?5,
                       error = NULL,
                       history_id = (SELECT max(id) FROM main.schedule_history),
                       history_hash = (SELECT hash FROM main.schedule_history
                         ORDER BY id DESC LIMIT 1)
                     WHERE run_id = ?1",
                )?
                .execute(params![
                    run_id,
                    end.completed_at,
                    end.counts,
                    end.contacts_checksum,
                    end.schedules_checksum
                ])
        };
        self.expect_run(run_id, update())
    }

    /// Records that a run ended with an error, with its counts if it has any. What it wrote before
    /// stays.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`] if it was never started.
    pub fn fail_run(
        &self,
        run_id: &str,
        at: &str,
        error: &str,
        counts: Option<&str>,
    ) -> Result<(), StoreError> {
        let update = || {
            self.connection()
                .prepare_cached(
                    "UPDATE main.scheduler_checkpoints
                     SET status = 'failed', completed_at = ?2, error = ?3,
                       counts = coalesce(?4, counts)
                     WHERE run_id = ?1",
                )?
                .execute(params![run_id, at, error, counts])
        };
        self.expect_run(run_id, update())
    }

    /// Records of every run that began and never ended that it failed, and says how many there were.
    /// Only who holds the [`crate::RunLock`] knows that none of them is still at work.
    pub fn fail_abandoned_runs(&self, at: &str) -> Result<usize, StoreError> {
        let update = || self.connection().prepare_cached(FAIL_STARTED)?.execute([at, ABANDONED]);
        update().map_err(|error| self.fail("record the end of earlier runs", error))
    }

    /// The run with this id.
    pub fn run(&self, run_id: &str) -> Result<Option<Run>, StoreError> {
        let find = || match select(self.connection())? {
            None => Ok(None),
            Some(select) => self
                .connection()
                .query_row(&format!("{select} WHERE run_id = ?1"), [run_id], read)
                .optional(),
        };
        find().map_err(|error| self.fail("read the runs", error))
    }

    /// The latest runs, at most `limit` of them, latest first.
    pub fn runs(&self, limit: u32) -> Result<Vec<Run>, StoreError> {
        let list = || {
            let Some(select) = select(self.connection())? else { return Ok(Vec::new()) };
            let sql = format!("{select} WHERE run_id IS NOT NULL ORDER BY rowid DESC LIMIT ?1");
            let mut statement = self.connection().prepare(&sql)?;
            let runs = statement.query_map([limit], read)?;
            runs.collect()
        };
        list().map_err(|error| self.fail("read the runs", error))
    }

    fn expect_run(&self, run_id: &str, updated: rusqlite::Result<usize>) -> Result<(), StoreError> {
        match updated {
            Ok(0) => Err(StoreError::NoSuchRun { run_id: run_id.to_owned() }),
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail("record the run", error)),
        }
    }
}

/// Records how far a run has come, within the transaction of the batch that it tells of.
pub(crate) fn record_progress(
    db: &Connection,
    run_id: &str,
    last_contact_id: Option<i64>,
    written: &Written,
    chain: &Chain,
) -> rusqlite::Result<usize> {
    let head = chain.head();
    db.prepare_cached(
        "UPDATE main.scheduler_checkpoints SET batches_done = batches_done + 1,
           last_contact_id = coalesce(?2, last_contact_id), rows_inserted = ?3, rows_updated = ?4,
           rows_expired = ?5, rows_deleted = ?6, history_id = ?7, history_hash = ?8
         WHERE run_id = ?1",
    )?
    .execute(params![
        run_id,
        last_contact_id,
        written.inserted.cast_signed(),
        written.updated.cast_signed(),
        written.expired.cast_signed(),
        written.deleted.cast_signed(),
        head.as_ref().map(|head| head.id),
        head.as_ref().map(|head| &head.hash),
    ])
}

const COLUMNS: [&str; 21] = [
    "run_id",
    "command",
    "today",
    "status",
    "started_at",
    "completed_at",
    "config_version_id",
    "batches_done",
    "last_contact_id",
    "rows_inserted",
    "rows_updated",
    "rows_expired",
    "rows_deleted",
    "counts",
    "contacts_checksum_before",
    "contacts_checksum_after",
    "schedules_checksum_before",
    "schedules_checksum_after",
    "history_id",
    "history_hash",
    "error",
];

/// The statement that reads all runs; `None` if the database has no record of any of ours.
fn select(db: &Connection) -> rusqlite::Result<Option<String>> {
    let Some(table) = Table::read(db, "scheduler_checkpoints")? else { return Ok(None) };
    if table.column("run_id").is_none() {
        return Ok(None);
    }
    let columns = COLUMNS.map(|name| table.expression(name)).join(", ");
    Ok(Some(format!("SELECT {columns} FROM main.scheduler_checkpoints")))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
    let (text, integer) = (|at| owned(row, at), |at| integer(row, at));
    let count =
        |at| integer(at).map(|count| count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0));
    Ok(Run {
        run_id: text(0)?.unwrap_or_default(),
        command: text(1)?,
        today: text(2)?.and_then(|day| Day::parse(&day).ok()),
        status: RunStatus::of(text(3)?),
        started_at: text(4)?,
        completed_at: text(5)?,
        config_version_id: integer(6)?,
        batches_done: integer(7)?.unwrap_or(0),
        last_contact_id: integer(8)?,
        written: Written {
            inserted: count(9)?,
            updated: count(10)?,
            expired: count(11)?,
            deleted: count(12)?,
            ..Written::default()
        },
        counts: text(13)?,
        contacts_checksum_before: text(14)?,
        contacts_checksum_after: text(15)?,
        schedules_checksum_before: text(16)?,
        schedules_checksum_after: text(17)?,
        history: integer(18)?.zip(text(19)?).map(|(id, hash)| Head { id, hash }),
        error: text(20)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_never_ended_are_found_without_reading_all() {
        let mut db = Database::in_memory().unwrap();
        db.migrate("now").unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {FAIL_STARTED}");
        let plan: String =
            db.connection().query_row(&sql, ["", ""], |row| row.get("detail")).unwrap();
        assert!(plan.contains("USING INDEX curfew_run_started"), "{plan}");
    }
}
