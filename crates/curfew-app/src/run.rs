//! The nightly run: plan every message and write what differs. And the same without writing.

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use curfew_engine::{
    Balance, Catalog, Change, Changes, Draft, Planner, RowReader, SkipReason, Tally, TargetStatus,
    Today, WantedRow,
};
use curfew_store::{Access, Database, RunLock};
use serde::Serialize;

use crate::{
    Error, Progress, Stage,
    config::Config,
    explain::{self, Explanation},
    scan::{Survey, survey},
};

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The database file.
    pub database: PathBuf,
    /// The configuration in force.
    pub config: Config,
    /// The day to plan for; `None`: today in the organization's time zone.
    pub today: Option<jiff::civil::Date>,
    /// How many threads read and plan; `None`: one for each core.
    pub threads: Option<usize>,
}

/// What a run did, or would do. Its JSON form is documented in `docs/json.md`.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run's id; absent if nothing was written.
    pub run_id: Option<String>,
    /// The database file.
    pub database: PathBuf,
    /// The day of the plan.
    pub today: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The contacts.
    pub contacts: ContactCounts,
    /// The considered messages by kind.
    pub messages: BTreeMap<String, MessageCounts>,
    /// The scheduler's rows.
    pub rows: RowCounts,
    /// Rows of `contact_campaigns` that got another status.
    pub targets_changed: u64,
    /// How many messages a day is brought down to when it has too many.
    pub daily_cap: u64,
    /// How many messages a day may have before any is moved.
    pub daily_threshold: u64,
    /// How many messages the daily cap moved to later days.
    pub moved_by_cap: u64,
    /// How many days remain above the threshold.
    pub days_above_threshold: u64,
    /// Messages by day, from today on, the sender's rows included.
    pub volume: Vec<DayVolume>,
    /// Contacts that changed while the plan was made; the next run plans them.
    pub contacts_postponed: u64,
    /// What is wrong with campaigns, so that they are left out.
    pub problems: Vec<String>,
    /// Time taken in seconds.
    pub seconds: StageSeconds,
}

impl RunReport {
    /// Whether somebody should look at something: exit code 1.
    pub fn needs_attention(&self) -> bool {
        self.contacts_postponed > 0 || !self.problems.is_empty()
    }

    /// Whether no row is inserted, changed or deleted.
    pub fn is_unchanged(&self) -> bool {
        let rows = &self.rows;
        rows.inserted + rows.updated + rows.expired + rows.deleted + self.targets_changed == 0
    }
}

/// How many contacts are what.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ContactCounts {
    /// All rows of `contacts`.
    pub read: u64,
    /// Valid and active: messages are planned.
    pub valid: u64,
    /// Inactive.
    pub inactive: u64,
    /// Invalid.
    pub invalid: u64,
    /// What is wrong with contacts, by reason; a contact may have several issues.
    pub issues: BTreeMap<String, u64>,
}

/// How the considered messages of one kind end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MessageCounts {
    /// `pre-scheduled`.
    pub planned: u64,
    /// Skipped because of an exclusion window.
    pub excluded: u64,
    /// Skipped because another message of the day comes first.
    pub lower_priority: u64,
    /// Skipped for the frequency limit.
    pub frequency_limit: u64,
}

/// What happens to the scheduler's own rows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RowCounts {
    /// New rows.
    pub inserted: u64,
    /// Rows with new content.
    pub updated: u64,
    /// Rows whose day passed before they were sent.
    pub expired: u64,
    /// Rows removed.
    pub deleted: u64,
    /// Rows left alone.
    pub unchanged: u64,
}

/// The messages of one day.
#[derive(Clone, Debug, Serialize)]
pub struct DayVolume {
    /// The day.
    pub date: String,
    /// How many messages it has.
    pub messages: u64,
}

/// Time taken by each stage, in seconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StageSeconds {
    /// Reading and drafting.
    pub read: f64,
    /// Balancing.
    pub balance: f64,
    /// Writing.
    pub write: f64,
    /// Everything.
    pub total: f64,
}

/// One change of a row, as `curfew plan` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedChange {
    /// The contact.
    pub contact_id: i64,
    /// `insert`, `update`, `expire`, `lowercase` or `delete`.
    pub change: &'static str,
    /// The row; absent for a new one.
    pub schedule_id: Option<i64>,
    /// `email_type` afterwards.
    pub email_type: Option<String>,
    /// `campaign_instance_id` afterwards.
    pub campaign_instance_id: Option<i64>,
    /// The event date.
    pub event_date: Option<String>,
    /// `scheduled_send_date` afterwards.
    pub scheduled_send_date: Option<String>,
    /// `status` afterwards.
    pub status: Option<&'static str>,
    /// Why it is skipped, or deleted.
    pub reason: Option<String>,
}

/// Plans for one day: everything that a plan is made of besides the contacts.
struct Setting {
    today: Today,
    threads: usize,
    catalog: Catalog,
    problems: Vec<String>,
}

impl Setting {
    fn new(request: &RunRequest, database: &Database) -> Result<Self, Error> {
        let date = request.today.unwrap_or_else(|| {
            jiff::Timestamp::now().to_zoned(request.config.timezone.clone()).date()
        });
        let today =
            Today::new(Day::from_date(date)).ok_or(Error::TodayOutOfRange { date })?;
        let threads = request.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        let (campaigns, problems) = database.campaigns()?;
        Ok(Self {
            today,
            threads,
            catalog: Catalog::new(&request.config.plan, campaigns),
            problems: problems.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Plans every message and writes what differs (SPEC sections 1 to 9).
///
/// A run may be killed at any moment and repeated: what it has written then is kept, and the next
/// one ends in the same state.
///
/// # Errors
/// If the database or the date cannot be used, another scheduler is at work on the database, or
/// writing fails. Batches that were written before stay.
pub fn run(request: &RunRequest, progress: &dyn Progress) -> Result<RunReport, Error> {
    let start = Instant::now();
    let now = jiff::Timestamp::now();
    let _lock = RunLock::acquire(&request.database, "curfew run")?;
    let mut database = Database::open(&request.database, Access::ReadWrite)?;
    database.migrate(&timestamp(now))?;
    let setting = Setting::new(request, &database)?;
    let planner = Planner::new(&request.config.plan, &setting.catalog, setting.today);

    let reading = Instant::now();
    let (ledgers, census) = survey(&database, &planner, setting.threads, progress)?;
    let balancing = Instant::now();
    let balance = balance(&planner, ledgers, &census, progress);

    let writing = Instant::now();
    let run_id = run_id(now);
    let mut report = Report::new(request, &setting, &census, &balance, false);
    report.0.run_id = Some(run_id.clone());
    let mut writer = PlanWriter::begin(&mut database, &run_id, &timestamp(now), setting.today.day)?;
    let outcome = write(request, &planner, &census, &balance, &mut writer, &mut report, progress);
    outcome?;
    Ok(report.finish(Times { start, reading, balancing, writing }))
}
