//! The nightly run: plan every message and write what differs. And the same without writing.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use curfew_engine::{
    Balance, Catalog, Change, Changes, Day, Draft, KindId, Limits, Planner, Today, WantedRow,
};
use curfew_store::{
    Access, Checked, Checksum, Checksums, Database, PlanWriter, Retry, RunEnd, RunLock, RunStart,
    Visited, audit::PlanRow,
};
use serde::Serialize;

use crate::{
    Error, Progress, Stage,
    backup::{BackupReport, Precaution},
    campaigns,
    config::Config,
    explain::{Explanation, explain as tell},
    scan::{Census, balance, survey},
    versions::login_name,
    write::{PlanWriting, Sink, each_batch, each_change},
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
    /// Whether the database is backed up before anything of it is changed.
    pub backup: bool,
}

impl RunRequest {
    /// A run with a backup before its first change, on all cores.
    pub fn new(
        database: impl Into<PathBuf>,
        config: Config,
        today: Option<jiff::civil::Date>,
    ) -> Self {
        Self { database: database.into(), config, today, threads: None, backup: true }
    }
}

/// What a run did, or would do. Its JSON form is documented in `docs/json.md`.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run's id; absent if nothing was written.
    pub run_id: Option<String>,
    /// The database file.
    #[serde(serialize_with = "crate::path_text::one")]
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
    /// Changes left out because the sender took the row meanwhile.
    pub rows_overtaken: u64,
    /// Contacts of whom the database refused a row (a constraint or trigger of its owner), and why.
    pub refused: Vec<String>,
    /// Batches that could not be written, although they were tried several times; all others were.
    pub failed_batches: Vec<FailedBatch>,
    /// What is wrong with campaigns, so that they are left out.
    pub problems: Vec<String>,
    /// The backup that was made before the first change; absent if none was.
    pub backup: Option<BackupReport>,
    /// Time taken in seconds.
    pub seconds: StageSeconds,
}

impl RunReport {
    /// Whether somebody should look at something: exit code 1.
    pub fn needs_attention(&self) -> bool {
        self.contacts_postponed > 0 || !self.refused.is_empty() || !self.problems.is_empty()
    }

    /// Whether batches could not be written: exit code 3. The run is on record as failed.
    pub fn is_failed(&self) -> bool {
        !self.failed_batches.is_empty()
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

/// A batch of contacts of which nothing was written.
#[derive(Clone, Debug, Serialize)]
pub struct FailedBatch {
    /// Its first contact.
    pub first_contact_id: i64,
    /// Its last contact.
    pub last_contact_id: i64,
    /// How many contacts it has.
    pub contacts: u64,
    /// Why it could not be written.
    pub error: String,
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
    /// Migrating the database and bringing campaigns in step with the configuration, without the
    /// backup.
    pub prepare: f64,
    /// The backup before the first change; 0 if none was made.
    pub backup: f64,
    /// Reading and drafting.
    pub read: f64,
    /// Balancing.
    pub balance: f64,
    /// Writing, without the backup.
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
    /// `email_type` afterwards; of a row that is deleted, as it was.
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
    /// `scheduled_send_date` before; absent for a new row.
    pub old_scheduled_send_date: Option<String>,
    /// `status` before; absent for a new row.
    pub old_status: Option<String>,
}

impl PlannedChange {
    /// The names of the fields, in order.
    pub const FIELDS: [&'static str; 11] = [
        "contact_id",
        "change",
        "schedule_id",
        "email_type",
        "campaign_instance_id",
        "event_date",
        "scheduled_send_date",
        "status",
        "reason",
        "old_scheduled_send_date",
        "old_status",
    ];

    /// Adds what the row was before, and what of it stays.
    fn of_row(mut self, row: Option<PlanRow>) -> Self {
        let Some(row) = row else { return self };
        let kind = row.email_type.map(|kind| match self.change {
            "delete" => kind,
            _ => kind.to_ascii_lowercase(),
        });
        self.email_type = self.email_type.or(kind);
        self.campaign_instance_id = self.campaign_instance_id.or(row.campaign_instance_id);
        if self.change == "expire" || self.change == "lowercase" {
            self.scheduled_send_date.clone_from(&row.scheduled_send_date);
        }
        self.old_scheduled_send_date = row.scheduled_send_date;
        self.old_status = row.status;
        self
    }
}

/// The day to plan for: the date asked for, or today in the organization's time zone.
///
/// # Errors
/// [`Error::TodayOutOfRange`].
pub fn today_or(date: Option<jiff::civil::Date>, config: &Config) -> Result<Today, Error> {
    let date =
        date.unwrap_or_else(|| jiff::Timestamp::now().to_zoned(config.timezone.clone()).date());
    Today::new(Day::from_date(date)).ok_or(Error::TodayOutOfRange { date })
}

/// All that a plan is made of besides the contacts.
struct Setting {
    today: Today,
    threads: usize,
    catalog: Catalog,
    problems: Vec<String>,
}

impl Setting {
    fn new(request: &RunRequest, database: &Database) -> Result<Self, Error> {
        let today = today_or(request.today, &request.config)?;
        let threads = request.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        let (campaigns, problems) =
            database.campaigns_with(&campaigns::settings(&request.config))?;
        Ok(Self {
            today,
            threads,
            catalog: Catalog::new(&request.config.plan, campaigns),
            problems: problems.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Opens a database for planning only. What a run would refuse is refused here as well.
fn open_to_read(path: &Path) -> Result<Database, Error> {
    let database = Database::open(path, Access::ReadOnly)?;
    database.pending_migrations()?;
    Ok(database)
}

/// A plan of all contacts, settled but not written.
struct Settlement {
    balance: Balance,
    census: Census,
    seconds: StageSeconds,
}

fn settle(
    database: &Database,
    planner: &Planner<'_>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Settlement, Error> {
    let mut seconds = StageSeconds::default();
    let watch = Stage::Read.begin();
    let (ledgers, census) = Retry::default()
        .run_where(Error::is_transient, |_| survey(database, planner, threads, progress))?;
    seconds.read = watch.seconds();
    tracing::info!(
        seconds = seconds.read,
        contacts = census.contacts,
        valid = census.valid,
        inactive = census.inactive,
        invalid = census.invalid,
        issues = census.issues.len(),
        owned_rows = census.owned_rows,
        "stage ends"
    );
    drop(watch);

    let watch = Stage::Balance.begin();
    let balance = balance(planner, ledgers, &census, progress);
    seconds.balance = watch.seconds();
    tracing::info!(
        seconds = seconds.balance,
        moved_by_cap = balance.moved(),
        days_above_threshold = balance.days_above_threshold(),
        "stage ends"
    );
    drop(watch);
    Ok(Settlement { balance, census, seconds })
}

/// Plans every message and writes what differs (SPEC sections 1 to 9).
///
/// A run may be killed at any moment and repeated: what it has written then is kept, and the next
/// one ends in the same state. A batch that cannot be written, because another program holds the
/// database for too long, say, is left out and reported ([`RunReport::is_failed`]); the next run
/// writes it.
///
/// # Errors
/// If the database or the date cannot be used, another scheduler is at work on the database, or
/// writing fails for good. Batches that were written before stay, and the run is on record as failed.
pub fn run(request: &RunRequest, progress: &dyn Progress) -> Result<RunReport, Error> {
    let start = Instant::now();
    let now = jiff::Timestamp::now();
    let started_at = timestamp(now);
    // A day that no plan can be made for is refused before anything is written.
    let today = today_or(request.today, &request.config)?.day;
    let run_id = format!("{}-{}", now.strftime("%Y%m%dT%H%M%S%.6fZ"), std::process::id());
    let _span = tracing::info_span!("run", run_id, %today).entered();
    let watch = Stage::Prepare.begin();
    progress.stage(Stage::Prepare, None);
    let mut database = Database::open(&request.database, Access::ReadWrite)?;
    let _lock = RunLock::acquire(&request.database, "curfew run", &started_at)?;
    // A run that cannot write makes no backup either. Whoever has started it waits for it, so this
    // is tried only twice.
    Retry { attempts_max: 2, ..Retry::default() }.run(|_| database.await_writing())?;
    let mut precaution = Precaution::new(&request.config, request.backup);
    let pending = Retry::default().run(|_| database.pending_migrations())?;
    if !pending.is_empty() {
        precaution.take(&database)?;
    }
    let migrated = Retry::default().run(|_| database.migrate(&started_at))?;
    campaigns::apply(&database, &request.config, &started_at, || precaution.take(&database))?;
    let abandoned = Retry::default().run(|_| database.fail_abandoned_runs(&started_at))?;
    let setting = Setting::new(request, &database)?;
    for problem in &setting.problems {
        tracing::warn!("{problem}");
    }

    let content = request.config.to_yaml();
    let by = login_name();
    let version =
        Retry::default().run(|_| database.store_config(&content, by.as_deref(), &started_at))?;
    Retry::default().run(|_| {
        database.start_run(&RunStart {
            run_id: &run_id,
            command: "run",
            today: setting.today.day,
            started_at: &started_at,
            config_version_id: Some(version),
            contacts_checksum: None,
            schedules_checksum: None,
        })
    })?;
    let prepare = watch.seconds() - precaution.seconds();
    tracing::info!(
        seconds = prepare,
        migrations = migrated.applied.len() + migrated.mended.len(),
        abandoned_runs = abandoned,
        config_version = version,
        "stage ends"
    );
    drop(watch);

    let mut report = None;
    // Whatever is lost of the plan without power, the next run makes up for; the end of the run is
    // on record only when all before it is on the disk.
    database.commit_without_waiting()?;
    let mut left = None;
    let result = plan_and_write(
        request,
        &database,
        &setting,
        &mut precaution,
        &run_id,
        &started_at,
        &mut report,
        &mut left,
        progress,
    );
    let result = result.and_then(|()| Ok(database.commit_to_disk()?));
    if let Some(report) = &mut report {
        report.seconds.prepare = prepare;
        report.seconds.backup = precaution.seconds();
        report.seconds.total = start.elapsed().as_secs_f64();
        report.backup = precaution.into_report();
    }
    let counts = report.as_ref().map(RunReport::counts);
    let ended_at = timestamp(jiff::Timestamp::now());
    let fail = |error: &str| {
        Retry::default().run(|_| database.fail_run(&run_id, &ended_at, error, counts.as_deref()))
    };
    match (result, report) {
        (Ok(()), Some(report)) => {
            if let Some(error) = report.failure() {
                tracing::error!("{error}");
                fail(&error)?;
            } else {
                let sums = left.map(|sums| sums.map(|sum| sum.to_string()));
                let [contacts, schedules] = [0, 1].map(|at| Some(sums.as_ref()?[at].as_str()));
                Retry::default().run(|_| {
                    database.complete_run(
                        &run_id,
                        &RunEnd {
                            completed_at: &ended_at,
                            counts: counts.as_deref().unwrap_or("{}"),
                            contacts_checksum: contacts,
                            schedules_checksum: schedules,
                        },
                    )
                })?;
            }
            tracing::info!(seconds = report.seconds.total, failed = report.is_failed(), "run ends");
            Ok(report)
        }
        (Err(error), _) => {
            // The error that ended the run says more than one of recording it.
            let _ = fail(&error.to_string());
            Err(error)
        }
        (Ok(()), None) => unreachable!("a plan that was written has a report"),
    }
}

/// The report goes to `slot` as soon as there is a plan, and tells what was written also if that
/// ends with an error.
#[expect(clippy::too_many_arguments, reason = "a step of one function, cut off for its errors")]
fn plan_and_write(
    request: &RunRequest,
    database: &Database,
    setting: &Setting,
    precaution: &mut Precaution<'_>,
    run_id: &str,
    now: &str,
    slot: &mut Option<RunReport>,
    left: &mut Option<[Checksum; 2]>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let planner = Planner::new(&request.config.plan, &setting.catalog, setting.today);
    let version = Retry::default().run(|_| database.data_version())?;
    let settlement = settle(database, &planner, setting.threads, progress)?;
    let found = checksums(database, settlement.census.checksums)?;
    Retry::default().run(|_| database.record_checksums(run_id, found[0], found[1]))?;
    let report = slot.insert(report(request, setting, &settlement, false));
    report.run_id = Some(run_id.to_owned());

    let watch = Stage::Write.begin();
    let before = precaution.seconds();
    let mut writer = PlanWriter::begin(database, run_id, now, planner.config(), planner.catalog())?;
    let result = write_plan(
        database,
        &planner,
        &settlement,
        request.config.batch_size as usize,
        setting.threads,
        &mut writer,
        precaution,
        report,
        progress,
    );
    let written = writer.written();
    report.rows = RowCounts {
        inserted: written.inserted,
        updated: written.updated,
        expired: written.expired,
        deleted: written.deleted,
        unchanged: 0,
    };
    report.rows.count_unchanged(settlement.census.owned_rows);
    report.targets_changed = written.targets;
    report.rows_overtaken = written.overtaken;
    report.seconds.write = watch.seconds() - (precaution.seconds() - before);
    tracing::info!(
        seconds = report.seconds.write,
        inserted = written.inserted,
        updated = written.updated,
        expired = written.expired,
        deleted = written.deleted,
        targets = written.targets,
        overtaken = written.overtaken,
        postponed = report.contacts_postponed,
        refused = report.refused.len(),
        failed_batches = report.failed_batches.len(),
        "stage ends"
    );
    result?;
    *left = Some(if report.is_unchanged() {
        // A run that wrote nothing left what it found.
        found
    } else {
        // What it wrote is known; what others wrote meanwhile is not.
        let is_alone = Retry::default().run(|_| database.data_version())? == version;
        let schedules = writer.checksum_after(found[1]).filter(|_| is_alone);
        let contacts = schedules.map(|_| found[0]);
        checksums(database, Checksums { contacts, schedules })?
    });
    Ok(())
}

/// The checksums of contacts and schedules; those that are not known are computed now.
fn checksums(database: &Database, known: Checksums) -> Result<[Checksum; 2], Error> {
    let sum = |known: Option<Checksum>, table| {
        known.map_or_else(|| Retry::default().run(|_| database.checksum(table)), Ok)
    };
    Ok([sum(known.contacts, Checked::Contacts)?, sum(known.schedules, Checked::Schedules)?])
}

/// Writes the issues and what differs, batch by batch.
#[expect(clippy::too_many_arguments, reason = "a step of one function, cut off for its errors")]
fn write_plan<'d>(
    database: &'d Database,
    planner: &Planner<'_>,
    settlement: &Settlement,
    batch_size: usize,
    threads: usize,
    writer: &mut PlanWriter<'d>,
    precaution: &mut Precaution<'_>,
    report: &mut RunReport,
    progress: &dyn Progress,
) -> Result<(), Error> {
    for issues in settlement.census.issues.chunks(batch_size) {
        Retry::default().run(|_| {
            writer.issues(issues)?;
            writer.commit_batch(None)
        })?;
    }

    progress.stage(Stage::Write, Some(settlement.balance.changed_count() as u64));
    let (balance, failures_in_a_row) = (&settlement.balance, 0);
    let sink = Sink { database, writer, precaution, report, progress, failures_in_a_row };
    PlanWriting { database, planner, balance, batch_size, threads, sink }.run()
}

/// An instant as text, in UTC, to the second.
pub(crate) fn timestamp(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Says what a run would change, without writing anything: the same plan, made by the same code. The
/// changes go to `sink` in the order of the contacts.
///
/// # Errors
/// If the database or the date cannot be used, or `sink` fails.
pub fn preview(
    request: &RunRequest,
    progress: &dyn Progress,
    sink: &mut dyn FnMut(PlannedChange) -> std::io::Result<()>,
) -> Result<RunReport, Error> {
    let start = Instant::now();
    let database = open_to_read(&request.database)?;
    let setting = Setting::new(request, &database)?;
    let planner = Planner::new(&request.config.plan, &setting.catalog, setting.today);
    let settlement = settle(&database, &planner, setting.threads, progress)?;
    let mut report = report(request, &setting, &settlement, true);

    let writing = Instant::now();
    progress.stage(Stage::Write, Some(settlement.balance.changed_count() as u64));
    let mut scanner = database.scanner(planner.config(), planner.catalog())?;
    for batch in each_batch(&settlement.balance, request.config.batch_size as usize) {
        each_change(&mut scanner, &planner, &batch, &mut |contact_id, outcome| {
            let Ok(changes) = outcome else {
                report.contacts_postponed += 1;
                return Ok(());
            };
            report.rows.add(changes);
            report.targets_changed += changes.targets.len() as u64;
            changes.rows.iter().try_for_each(|change| {
                let planned = planned_change(contact_id, change, &planner);
                let former = planned.schedule_id.map(|id| database.plan_row(id)).transpose()?;
                sink(planned.of_row(former.flatten())).map_err(Error::Sink)
            })
        })?;
        progress.advance(batch.len() as u64);
    }
    report.rows.count_unchanged(settlement.census.owned_rows);
    report.seconds.write = writing.elapsed().as_secs_f64();
    report.seconds.total = start.elapsed().as_secs_f64();
    Ok(report)
}

/// Explains the plan of one contact. Nothing is written.
///
/// # Errors
/// [`Error::NoSuchContact`], or if the database or the date cannot be used.
pub fn explain(
    request: &RunRequest,
    contact_id: i64,
    progress: &dyn Progress,
) -> Result<Explanation, Error> {
    let database = open_to_read(&request.database)?;
    let setting = Setting::new(request, &database)?;
    let planner = Planner::new(&request.config.plan, &setting.catalog, setting.today);
    let Settlement { balance, .. } = settle(&database, &planner, setting.threads, progress)?;
    let mut draft = Draft { explain: true, ..Draft::default() };
    let mut scanner = database.scanner(planner.config(), planner.catalog())?;
    let found = scanner.chosen(&[contact_id], |visited| match visited {
        Visited::Unreadable { .. } => ControlFlow::Continue(()),
        Visited::Contact(input) => {
            planner.draft(input, &mut draft);
            let settled = balance.settled(contact_id);
            ControlFlow::Break(tell(&planner, input, &draft, settled, balance.limits()))
        }
    })?;
    match found {
        ControlFlow::Break(told) => told.map_err(|_| Error::ChangedMeanwhile { contact_id }),
        ControlFlow::Continue(()) => {
            Err(Error::NoSuchContact { database: request.database.clone(), contact_id })
        }
    }
}

/// The report of a plan before anything of it is written.
fn report(
    request: &RunRequest,
    setting: &Setting,
    settlement: &Settlement,
    dry_run: bool,
) -> RunReport {
    let Settlement { balance, census, seconds } = settlement;
    let Limits { cap, threshold, .. } = balance.limits();
    RunReport {
        run_id: None,
        database: request.database.clone(),
        today: setting.today.day.to_string(),
        dry_run,
        contacts: ContactCounts {
            read: census.contacts,
            valid: census.valid,
            inactive: census.inactive,
            invalid: census.invalid,
            issues: census.issue_counts(),
        },
        messages: message_counts(balance, &setting.catalog),
        rows: RowCounts::default(),
        targets_changed: 0,
        daily_cap: cap,
        daily_threshold: threshold,
        moved_by_cap: balance.moved(),
        days_above_threshold: balance.days_above_threshold() as u64,
        volume: balance
            .volume()
            .map(|(day, messages)| DayVolume { date: day.to_string(), messages })
            .collect(),
        contacts_postponed: 0,
        rows_overtaken: 0,
        refused: Vec::new(),
        failed_batches: Vec::new(),
        problems: setting.problems.clone(),
        backup: None,
        seconds: seconds.clone(),
    }
}

fn message_counts(balance: &Balance, catalog: &Catalog) -> BTreeMap<String, MessageCounts> {
    let mut counts: BTreeMap<String, MessageCounts> = BTreeMap::new();
    let tally = balance.tally();
    let mut add = |by_kind: &BTreeMap<KindId, u64>, field: fn(&mut MessageCounts) -> &mut u64| {
        for (kind, number) in by_kind {
            *field(counts.entry(catalog.kind(*kind).text.to_string()).or_default()) += number;
        }
    };
    add(&tally.planned, |counts| &mut counts.planned);
    add(&tally.excluded, |counts| &mut counts.excluded);
    add(&tally.lower_priority, |counts| &mut counts.lower_priority);
    add(&tally.refused, |counts| &mut counts.frequency_limit);
    counts
}

impl RunReport {
    /// What goes on record with the run: everything but the volume of each day.
    fn counts(&self) -> String {
        let counts = Self { volume: Vec::new(), ..self.clone() };
        serde_json::to_string(&counts).expect("a report has only texts and numbers")
    }

    /// Why the run failed, if batches of it did.
    fn failure(&self) -> Option<String> {
        let first = self.failed_batches.first()?;
        let batches = match self.failed_batches.len() {
            1 => "1 batch".to_owned(),
            number => format!("{number} batches"),
        };
        let contacts = match self.failed_batches.iter().map(|batch| batch.contacts).sum() {
            1_u64 => "1 contact".to_owned(),
            number => format!("{number} contacts"),
        };
        let was = if self.failed_batches.len() == 1 { "was" } else { "were" };
        let error = &first.error;
        Some(format!("{batches} with {contacts} {was} not written, the first because {error}"))
    }

    /// The days with the most messages, the fullest first.
    pub fn busiest_days(&self, number: usize) -> Vec<&DayVolume> {
        let mut days: Vec<&DayVolume> = self.volume.iter().collect();
        days.sort_by(|a, b| b.messages.cmp(&a.messages).then(a.date.cmp(&b.date)));
        days.truncate(number);
        days
    }
}

impl RowCounts {
    fn add(&mut self, changes: &Changes) {
        for change in &changes.rows {
            *match change {
                Change::Insert(_) => &mut self.inserted,
                Change::Update { .. } | Change::LowerCase { .. } => &mut self.updated,
                Change::Expire { .. } => &mut self.expired,
                Change::Delete { .. } => &mut self.deleted,
            } += 1;
        }
    }

    fn count_unchanged(&mut self, owned_rows: u64) {
        self.unchanged = owned_rows.saturating_sub(self.updated + self.expired + self.deleted);
    }
}

fn planned_change(contact_id: i64, change: &Change, planner: &Planner<'_>) -> PlannedChange {
    let of_row = |change, schedule_id, row: &WantedRow| PlannedChange {
        contact_id,
        change,
        schedule_id,
        email_type: Some(planner.catalog().kind(row.kind).text.to_string()),
        campaign_instance_id: row.instance_id,
        event_date: row.event.date().map(|day| day.to_string()),
        scheduled_send_date: Some(row.date.to_string()),
        status: Some(if row.skip.is_none() { "pre-scheduled" } else { "skipped" }),
        reason: row.skip.as_ref().map(|reason| reason.text(planner.config()).into_owned()),
        old_scheduled_send_date: None,
        old_status: None,
    };
    let of_id = |change, id, status, reason: Option<String>| PlannedChange {
        contact_id,
        change,
        schedule_id: Some(id),
        email_type: None,
        campaign_instance_id: None,
        event_date: None,
        scheduled_send_date: None,
        status,
        reason,
        old_scheduled_send_date: None,
        old_status: None,
    };
    match change {
        Change::Insert(row) => of_row("insert", None, row),
        Change::Update { id, row } => of_row("update", Some(*id), row),
        Change::Expire { id } => {
            let reason = curfew_engine::SkipReason::Expired.text(planner.config()).into_owned();
            of_id("expire", *id, Some("skipped"), Some(reason))
        }
        Change::LowerCase { id } => of_id("lowercase", *id, None, None),
        Change::Delete { id, why } => of_id("delete", *id, None, Some(why.to_string())),
    }
}
