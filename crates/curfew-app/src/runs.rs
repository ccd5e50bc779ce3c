//! Runs on record.

use std::path::Path;

use curfew_store::{Access, Database, Run, StoreError};
use serde::Serialize;

use crate::Error;

/// A run. What is not on record is absent.
#[derive(Clone, Debug, Serialize)]
pub struct RunRecord {
    /// Its id.
    pub run_id: String,
    /// What it did, like `run`.
    pub command: Option<String>,
    /// The day it planned for.
    pub today: Option<String>,
    /// `started`, `completed` or `failed`.
    pub status: String,
    /// When it began, in UTC.
    pub started_at: Option<String>,
    /// When it ended, in UTC.
    pub completed_at: Option<String>,
    /// The version of the configuration that it used.
    pub config_version: Option<i64>,
    /// Batches of contacts that were written.
    pub batches_done: i64,
    /// The last contact of the last batch.
    pub last_contact_id: Option<i64>,
    /// New rows.
    pub rows_inserted: u64,
    /// Rows with new content.
    pub rows_updated: u64,
    /// Rows that were not sent in time.
    pub rows_expired: u64,
    /// Rows removed.
    pub rows_deleted: u64,
    /// Checksum of the contacts when it began.
    pub contacts_checksum_before: Option<String>,
    /// Checksum of the contacts when it ended.
    pub contacts_checksum_after: Option<String>,
    /// Checksum of the schedules when it began.
    pub schedules_checksum_before: Option<String>,
    /// Checksum of the schedules when it ended.
    pub schedules_checksum_after: Option<String>,
    /// The last entry of the history when it wrote last.
    pub history_id: Option<i64>,
    /// That entry's hash.
    pub history_hash: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Its report: the counts and the seconds of each stage.
    pub counts: Option<serde_json::Value>,
}

impl From<Run> for RunRecord {
    fn from(run: Run) -> Self {
        let (history_id, history_hash) = run.history.map(|head| (head.id, head.hash)).unzip();
        Self {
            run_id: run.run_id,
            command: run.command,
            today: run.today.map(|day| day.to_string()),
            status: run.status.text().to_owned(),
            started_at: run.started_at,
            completed_at: run.completed_at,
            config_version: run.config_version_id,
            batches_done: run.batches_done,
            last_contact_id: run.last_contact_id,
            rows_inserted: run.written.inserted,
            rows_updated: run.written.updated,
            rows_expired: run.written.expired,
            rows_deleted: run.written.deleted,
            contacts_checksum_before: run.contacts_checksum_before,
            contacts_checksum_after: run.contacts_checksum_after,
            schedules_checksum_before: run.schedules_checksum_before,
            schedules_checksum_after: run.schedules_checksum_after,
            history_id,
            history_hash,
            error: run.error,
            counts: run.counts.and_then(|counts| serde_json::from_str(&counts).ok()),
        }
    }
}

/// The latest runs, at most `limit` of them, the latest first.
///
/// # Errors
/// If the database cannot be read.
pub fn list(database: &Path, limit: u32) -> Result<Vec<RunRecord>, Error> {
    let runs = Database::open(database, Access::ReadOnly)?.runs(limit)?;
    Ok(runs.into_iter().map(RunRecord::from).collect())
}

/// The run with this id.
///
/// # Errors
/// [`StoreError::NoSuchRun`], or if the database cannot be read.
pub fn show(database: &Path, run_id: &str) -> Result<RunRecord, Error> {
    let run = Database::open(database, Access::ReadOnly)?.run(run_id)?;
    let run = run.ok_or_else(|| StoreError::NoSuchRun { run_id: run_id.to_owned() })?;
    Ok(run.into())
}
