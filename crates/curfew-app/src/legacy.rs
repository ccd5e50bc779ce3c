//! Moving from the older application.

use std::path::PathBuf;

use curfew_store::{Access, Database, LegacyRequest, Retry, RunEnd, RunLock, RunStart};
pub use curfew_store::{LegacyCampaign, LegacyInstance, LegacyKind, LegacyReport};
use serde::Serialize;

use crate::{
    Error, Stage,
    backup::{BackupReport, Precaution},
    config::Config,
    run::{timestamp, today_or},
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct MigrateRequest {
    /// The database file.
    pub database: PathBuf,
    /// The configuration, which says where backups go.
    pub config: Config,
    /// Who is on record for it.
    pub by: String,
    /// From the ideal date to the trigger date of rate increases; `None`: as most rows have it.
    pub days_before_event: Option<i32>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Whether the database is backed up before anything of it is changed.
    pub backup: bool,
}

/// What was done, or would be. Its JSON form is documented in `docs/json.md`.
#[derive(Clone, Debug, Serialize)]
pub struct MigrateReport {
    /// The database file.
    #[serde(serialize_with = "crate::path_text::one")]
    pub database: PathBuf,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The id under which it is on record; absent if there was nothing to do, and for a dry run.
    pub run_id: Option<String>,
    /// The migrations of the tables that were, or would be, applied.
    pub table_migrations: Vec<&'static str>,
    /// What became of the rows.
    #[serde(flatten)]
    pub rows: LegacyReport,
    /// The backup that was made before the first change; absent if none was.
    pub backup: Option<BackupReport>,
}

impl MigrateReport {
    /// Whether everything had been done before.
    pub fn is_unchanged(&self) -> bool {
        self.table_migrations.is_empty() && self.rows.is_unchanged()
    }
}

/// Brings the rows of the older application in order, see [`Database::migrate_legacy`]. It may be
/// killed at any moment and repeated.
///
/// # Errors
/// If the database cannot be used, a run is at work on it, or writing fails. Its rows are as they
/// were then.
pub fn migrate(request: &MigrateRequest) -> Result<MigrateReport, Error> {
    let now = jiff::Timestamp::now();
    let started_at = timestamp(now);
    let run_id = format!("{}-{}", now.strftime("%Y%m%dT%H%M%S%.6fZ"), std::process::id());
    let access = if request.dry_run { Access::ReadOnly } else { Access::ReadWrite };
    let mut database = Database::open(&request.database, access)?;
    let pending = database.pending_migrations()?;
    let mut report = MigrateReport {
        database: request.database.clone(),
        dry_run: request.dry_run,
        run_id: None,
        table_migrations: pending.into_iter().map(|(_, name)| name).collect(),
        rows: database.survey_legacy(request.days_before_event)?,
        backup: None,
    };
    if request.dry_run || report.is_unchanged() {
        return Ok(report);
    }
    let _lock = RunLock::acquire(&request.database, "curfew migrate-legacy", &started_at)?;
    let _span = tracing::info_span!("migrate-legacy", run_id).entered();
    let mut precaution = Precaution::new(&request.config, request.backup);
    precaution.take(&database)?;
    let watch = Stage::Prepare.begin();
    database.migrate(&started_at)?;
    database.fail_abandoned_runs(&started_at)?;
    database.start_run(&RunStart {
        run_id: &run_id,
        command: "migrate-legacy",
        today: today_or(None, &request.config)?.day,
        started_at: &started_at,
        config_version_id: None,
        contacts_checksum: None,
        schedules_checksum: None,
    })?;
    tracing::info!(seconds = watch.seconds(), "stage ends");
    drop(watch);

    let watch = Stage::Write.begin();
    let legacy = LegacyRequest {
        run_id: &run_id,
        by: &request.by,
        now: &started_at,
        days_before_event: request.days_before_event,
    };
    let ended_at = || timestamp(jiff::Timestamp::now());
    match database.migrate_legacy(&legacy) {
        Ok(rows) => report.rows = rows,
        Err(error) => {
            // The error that ended it says more than one of recording it.
            let _ = database.fail_run(&run_id, &ended_at(), &error.to_string(), None);
            return Err(error.into());
        }
    }
    tracing::info!(
        seconds = watch.seconds(),
        converted = report.rows.campaign.as_ref().map_or(0, |campaign| campaign.rows_converted),
        stand_ins = report.rows.stand_ins_added,
        "stage ends"
    );
    drop(watch);
    let counts = serde_json::json!({ "migration": report.rows }).to_string();
    Retry::default().run(|_| {
        database.complete_run(
            &run_id,
            &RunEnd {
                completed_at: &ended_at(),
                counts: &counts,
                contacts_checksum: None,
                schedules_checksum: None,
            },
        )
    })?;
    report.run_id = Some(run_id);
    report.backup = precaution.into_report();
    Ok(report)
}
