//! Whether all is well: the database, the runs, and what was not sent.

use std::path::{Path, PathBuf};

use curfew_store::{Access, Database, Run, RunStatus};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::Serialize;

use crate::{Error, versions::time_zone};

/// From where on something is not well.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Thresholds {
    /// Hours since the last successful run began, at most.
    pub age_hours_max: f64,
    /// Rows that are `pre-scheduled` on days before today, at most.
    pub overdue_max: u64,
    /// Part of the contacts that is invalid in the last successful run, at most; 0 to 1.
    pub invalid_rate_max: f64,
    /// Runs that failed since the last successful one, at most.
    pub failed_max: u64,
}

impl Default for Thresholds {
    /// For a run every night: one may take some hours longer than the one before.
    fn default() -> Self {
        Self { age_hours_max: 30.0, overdue_max: 0, invalid_rate_max: 0.1, failed_max: 0 }
    }
}

/// How things stand. What is not known is absent.
#[derive(Clone, Debug, Serialize)]
pub struct StatusReport {
    /// The database.
    #[serde(serialize_with = "crate::path_text::one")]
    pub database: PathBuf,
    /// Whether nothing is wrong.
    pub healthy: bool,
    /// What is wrong.
    pub problems: Vec<String>,
    /// Whether the database can be read.
    pub reachable: bool,
    /// Whether `PRAGMA quick_check` finds nothing.
    pub sound: Option<bool>,
    /// The last run that was completed.
    pub last_run: Option<String>,
    /// When it began, in UTC.
    pub last_run_started_at: Option<String>,
    /// How long ago that was.
    pub last_run_age_hours: Option<f64>,
    /// Runs since then that failed, or whose process ended without a word.
    pub failed_runs: Option<u64>,
    /// The latest run, if it is still at work or its process ended without a word.
    pub unfinished_run: Option<String>,
    /// Rows that are `pre-scheduled` on days before today.
    pub overdue: Option<u64>,
    /// Contacts in the last successful run.
    pub contacts: Option<u64>,
    /// Those of them that were invalid.
    pub contacts_invalid: Option<u64>,
    /// Their part, 0 to 1.
    pub invalid_rate: Option<f64>,
    /// The thresholds.
    pub thresholds: Thresholds,
}

/// So many of the latest runs are looked at.
const RUNS_MAX: u32 = 1000;

/// Says how things stand now. A database that cannot be read is part of the answer.
pub fn status(database: &Path, thresholds: Thresholds) -> StatusReport {
    let now = Timestamp::now();
    let mut report = StatusReport {
        database: database.to_owned(),
        healthy: false,
        problems: Vec::new(),
        reachable: false,
        sound: None,
        last_run: None,
        last_run_started_at: None,
        last_run_age_hours: None,
        failed_runs: None,
        unfinished_run: None,
        overdue: None,
        contacts: None,
        contacts_invalid: None,
        invalid_rate: None,
        thresholds,
    };
    if let Err(error) = look(&mut report, now) {
        report.problems.push(error.to_string());
    }
    report.healthy = report.problems.is_empty();
    report
}

fn look(report: &mut StatusReport, now: Timestamp) -> Result<(), Error> {
    let database = Database::open(&report.database, Access::ReadOnly)?;
    report.reachable = true;
    let found = database.quick_check(1)?;
    report.sound = Some(found.is_empty());
    if let Some(problem) = found.first() {
        report.problems.push(format!("the database is damaged: {problem}; restore a backup"));
    }
    look_at_runs(report, database.runs(RUNS_MAX)?, now);

    let today = now.to_zoned(time_zone(&database)?).date().to_string();
    let overdue = database.overdue(&today)?;
    report.overdue = Some(overdue);
    if overdue > report.thresholds.overdue_max {
        report.problems.push(format!(
            "{overdue} messages were planned for days before {today} and not sent; \
             is the sender at work?"
        ));
    }
    Ok(())
}

fn look_at_runs(report: &mut StatusReport, runs: Vec<Run>, now: Timestamp) {
    let Thresholds { age_hours_max, invalid_rate_max, failed_max, .. } = report.thresholds;
    let mut failed = 0;
    let mut last_error = None;
    let mut last = None;
    // Other commands on record say nothing of the plan.
    let is_plan = |run: &Run| run.command.as_deref().is_none_or(|command| command == "run");
    for (at, run) in runs.into_iter().filter(is_plan).enumerate() {
        match run.status {
            RunStatus::Completed => {
                last = Some(run);
                break;
            }
            // Only the latest run can still be at work.
            RunStatus::Started if at == 0 => report.unfinished_run = Some(run.run_id),
            RunStatus::Started | RunStatus::Failed => {
                failed += 1;
                last_error = last_error.or(run.error);
            }
            RunStatus::Other(_) => {}
        }
    }
    report.failed_runs = Some(failed);
    if failed > failed_max {
        let why = last_error.map(|error| format!(", lastly because {error}")).unwrap_or_default();
        report.problems.push(format!(
            "{failed} {} failed since the last successful one{why}",
            if failed == 1 { "run" } else { "runs" }
        ));
    }
    let Some(run) = last else {
        report.problems.push("no run was ever completed".to_owned());
        return;
    };
    let counted = |name: &str| {
        let counts = serde_json::from_str::<serde_json::Value>(run.counts.as_deref()?).ok()?;
        counts.get("contacts")?.get(name)?.as_u64()
    };
    report.contacts = counted("read");
    report.contacts_invalid = counted("invalid");
    if let (Some(contacts @ 1..), Some(invalid)) = (report.contacts, report.contacts_invalid) {
        #[expect(clippy::cast_precision_loss, reason = "a rate of whole contacts")]
        let rate = invalid as f64 / contacts as f64;
        report.invalid_rate = Some(rate);
        if rate > invalid_rate_max {
            report.problems.push(format!(
                "{:.1} % of the contacts are invalid, more than {:.1} %",
                100.0 * rate,
                100.0 * invalid_rate_max
            ));
        }
    }
    let began = run.started_at.as_deref().and_then(|at| at.parse::<DateTime>().ok());
    let began = began.and_then(|at| at.to_zoned(TimeZone::UTC).ok());
    let age = began.map(|at| now.duration_since(at.timestamp()).as_secs_f64() / 3600.0);
    report.last_run_age_hours = age;
    match age {
        Some(age) if age > age_hours_max => report.problems.push(format!(
            "the last successful run began {age:.1} hours ago, more than {age_hours_max}"
        )),
        Some(_) => {}
        None => report
            .problems
            .push(format!("when the last successful run {} began is not on record", run.run_id)),
    }
    report.last_run = Some(run.run_id);
    report.last_run_started_at = run.started_at;
}
