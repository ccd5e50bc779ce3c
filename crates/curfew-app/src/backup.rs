//! Backups: making one, keeping the recent ones, going back to one.

use std::path::{Path, PathBuf};

use curfew_store::{
    Access, Database, Retry, RunLock,
    backup::{Copied, remove_old_backups, restore as put_back},
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{Error, Stage, config::Config, run::timestamp};

/// A backup that was made.
#[derive(Clone, Debug, Serialize)]
pub struct BackupReport {
    /// The database.
    #[serde(serialize_with = "crate::path_text::one")]
    pub database: PathBuf,
    /// The backup.
    #[serde(serialize_with = "crate::path_text::one")]
    pub backup: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Contacts in it.
    pub contacts: u64,
    /// Rows of `email_schedules` in it.
    pub schedules: u64,
    /// Backups that were removed because they are older than `backup.retention_days`.
    #[serde(serialize_with = "crate::path_text::list")]
    pub removed: Vec<PathBuf>,
    /// Why old backups could not be removed.
    pub not_removed: Option<String>,
}

/// A database that was restored.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The database.
    #[serde(serialize_with = "crate::path_text::one")]
    pub database: PathBuf,
    /// The backup that it is a copy of now.
    #[serde(serialize_with = "crate::path_text::one")]
    pub backup: PathBuf,
    /// Where the replaced database is kept; absent if there was none.
    #[serde(serialize_with = "crate::path_text::optional")]
    pub kept_aside: Option<PathBuf>,
    /// Contacts in it.
    pub contacts: u64,
    /// Rows of `email_schedules` in it.
    pub schedules: u64,
}

/// The folder for the backups of a database: `backup.directory`, relative to the database's folder.
pub fn folder(database: &Path, config: &Config) -> PathBuf {
    database.parent().unwrap_or(Path::new("")).join(&config.backup.directory)
}

/// Backs up a database while others read and write it, and removes its old backups.
///
/// # Errors
/// If the database cannot be read, the copy cannot be written, or it does not pass its checks. That
/// an old backup cannot be removed is no error.
pub fn back_up(database: &Path, config: &Config) -> Result<BackupReport, Error> {
    let report = of(&Database::open(database, Access::ReadOnly)?, config)?;
    tracing::info!(
        bytes = report.bytes,
        contacts = report.contacts,
        schedules = report.schedules,
        removed = report.removed.len(),
        "backup ends"
    );
    Ok(report)
}

/// Backs up a database that is open.
pub(crate) fn of(database: &Database, config: &Config) -> Result<BackupReport, Error> {
    let folder = folder(database.path(), config);
    let now = Timestamp::now();
    let Copied { path, bytes, contacts, schedules } = database.back_up(&folder, now)?;
    let removal = remove_old_backups(database.path(), &folder, config.backup.retention_days, now);
    let (removed, not_removed) = match removal {
        Ok(removed) => (removed, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    Ok(BackupReport {
        database: database.path().to_owned(),
        backup: path,
        bytes,
        contacts,
        schedules,
        removed,
        not_removed,
    })
}

/// Puts a copy of a backup in the place of a database, which is kept beside it.
///
/// # Errors
/// If the backup is damaged or no backup, or a run or another program is at work on the database.
/// The database is as it was then.
pub fn restore(database: &Path, backup: &Path) -> Result<RestoreReport, Error> {
    let now = Timestamp::now();
    let _lock = RunLock::acquire(database, "curfew restore", &timestamp(now))?;
    let restored = put_back(database, backup, now)?;
    let copied = &restored.database;
    tracing::info!(contacts = copied.contacts, schedules = copied.schedules, "restore ends");
    Ok(RestoreReport {
        database: database.to_owned(),
        backup: backup.to_owned(),
        kept_aside: restored.kept_aside,
        contacts: restored.database.contacts,
        schedules: restored.database.schedules,
    })
}

/// The backup before the first write of a run: made once, when it is asked for.
pub(crate) struct Precaution<'r> {
    config: &'r Config,
    /// Whether one is still to be made.
    is_due: bool,
    report: Option<BackupReport>,
    seconds: f64,
}

impl<'r> Precaution<'r> {
    /// `wanted`: whether a backup is to be made at all.
    pub(crate) fn new(config: &'r Config, wanted: bool) -> Self {
        Self { config, is_due: wanted, report: None, seconds: 0.0 }
    }

    /// Called before something is written; no transaction may be open.
    pub(crate) fn take(&mut self, database: &Database) -> Result<(), Error> {
        if self.is_due {
            let watch = Stage::Backup.begin();
            let report =
                Retry::default().run_where(Error::is_transient, |_| of(database, self.config))?;
            self.seconds = watch.seconds();
            tracing::info!(
                seconds = self.seconds,
                bytes = report.bytes,
                contacts = report.contacts,
                schedules = report.schedules,
                removed = report.removed.len(),
                backup = %report.backup.display(),
                "stage ends"
            );
            self.report = Some(report);
            self.is_due = false;
        }
        Ok(())
    }

    /// How long the backup took; 0 if none was made.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The backup, if one was made.
    pub(crate) fn into_report(self) -> Option<BackupReport> {
        self.report
    }
}
