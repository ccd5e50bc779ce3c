//! Writing a plan: the differences between the rows that exist and those that are wanted.

use std::{borrow::Cow, ops::AddAssign, slice};

use curfew_engine::{
    Catalog, Change, Changes, Day, Issue, Kind, PlanConfig, SkipReason, Status, TargetStatus,
    WantedRow,
};
use rusqlite::{
    ErrorCode, Row, Statement, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use crate::{
    Checksum, Database, StoreError,
    bulk::{BulkInsert, NewRows},
    cell::{integer, text},
    followed::Followed,
    history::{Chain, Entry, Happening, old_values},
    runs::record_progress,
};

type SqlResult<T> = rusqlite::Result<T>;

/// What has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// New rows.
    pub inserted: u64,
    /// Rows with new content, those whose kind became lower case among them.
    pub updated: u64,
    /// Rows that were not sent in time.
    pub expired: u64,
    /// Rows removed.
    pub deleted: u64,
    /// Changes that were left out because the row is not what it was when the plan was made: the
    /// sender has it by now, or it is gone.
    pub overtaken: u64,
    /// Targets with a new status.
    pub targets: u64,
    /// Issues recorded.
    pub issues: u64,
}

impl Written {
    /// Changes of `email_schedules`.
    pub fn rows(&self) -> u64 {
        self.inserted + self.updated + self.expired + self.deleted
    }
}

impl AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.expired += other.expired;
        self.deleted += other.deleted;
        self.overtaken += other.overtaken;
        self.targets += other.targets;
        self.issues += other.issues;
    }
}

/// What became of a contact's changes.
#[derive(Debug)]
#[must_use = "a refusal has to be reported"]
pub enum Applied {
    /// They are written.
    Done,
    /// The database refuses one of them (a constraint, or a trigger of its owner); none of this
    /// contact's is written. The transaction goes on.
    Refused(StoreError),
}

/// Writes a run's changes, in transactions of as many contacts as its caller likes. What is not
/// committed when it is dropped is rolled back.
///
/// A transaction begins with the first change after a commit, so a batch without changes is not
/// written at all. No row is touched that is not owned by the scheduler at that moment, whatever
/// the plan was made from. Every row that is changed or deleted goes to `schedule_history` before.
#[derive(Debug)]
pub struct PlanWriter<'d> {
    db: &'d Database,
    config: &'d PlanConfig,
    catalog: &'d Catalog,
    run_id: String,
    now: String,
    statements: Statements<'d>,
    /// The columns of `email_schedules`.
    columns: Vec<String>,
    /// The end of the history, while a transaction is open.
    chain: Option<Chain>,
    /// Whether each row is inserted on its own, in this transaction.
    one_by_one: bool,
    committed: Written,
    pending: Written,
    sum: Followed,
}

#[derive(Debug)]
struct Statements<'d> {
    /// Whether the table has triggers of its owner.
    triggers: Statement<'d>,
    highest: Statement<'d>,
    former: Statement<'d>,
    insert: Statement<'d>,
    insert_many: BulkInsert<'d>,
    update: Statement<'d>,
    expire: Statement<'d>,
    lower_case: Statement<'d>,
    vacate: Statement<'d>,
    delete: Statement<'d>,
    history: Statement<'d>,
    target: Statement<'d>,
    issue: Statement<'d>,
}

/// The columns of a row that a plan decides, in the order of [`PlannedRow::value`].
const PLANNED_COLUMNS: [&str; 15] = [
    "email_type",
    "scheduled_send_date",
    "scheduled_send_time",
    "status",
    "skip_reason",
    "priority",
    "campaign_instance_id",
    "email_template",
    "sms_template",
    "event_year",
    "event_month",
    "event_day",
    "initial_schedule_id",
    "shift_days",
    "metadata",
];

/// The columns that every new row gets a value for.
fn inserted_columns() -> Vec<&'static str> {
    ["contact_id"].into_iter().chain(PLANNED_COLUMNS).collect()
}

/// The columns with the same value in all new rows.
fn constants<'a>(run_id: &'a str, now: &'a str) -> [(&'static str, &'a str); 3] {
    [("scheduler_run_id", run_id), ("created_at", now), ("updated_at", now)]
}

// Places in [`inserted_columns`], and after them in [`constants`].
const EMAIL_TYPE: usize = 1;
const STATUS: usize = 4;
const SKIP_REASON: usize = 5;
const RUN_ID: usize = 1 + PLANNED_COLUMNS.len();
const UPDATED_AT: usize = RUN_ID + 2;

/// A row as it is before it is changed.
#[derive(Debug)]
struct Former {
    /// See [`old_values`].
    values: String,
    /// What will be different, for an update.
    why: String,
    /// What the change does to the checksum; `None` if that is not known.
    sum: Option<Checksum>,
}

impl<'d> PlanWriter<'d> {
    /// A writer for a run that was started. `now` becomes `created_at` and `updated_at` of the rows
    /// and the time of the history's entries.
    pub fn begin(
        db: &'d Database,
        run_id: &str,
        now: &str,
        config: &'d PlanConfig,
        catalog: &'d Catalog,
    ) -> Result<Self, StoreError> {
        let prepare = || {
            let statements = Statements::prepare(db, run_id, now)?;
            let names = statements.former.column_names();
            let names = names.iter().map(ToString::to_string);
            let columns = names.take(statements.former.column_count() - EXTRA_COLUMNS);
            let columns: Vec<String> = columns.collect();
            let constants = constants(run_id, now);
            let sum = Followed::begin(
                db.connection(),
                "email_schedules",
                &inserted_columns(),
                &constants,
            )?;
            Ok((statements, columns, sum))
        };
        let (mut statements, columns, sum) =
            prepare().map_err(|error| db.fail("prepare to write", error))?;
        statements
            .bind_constants(run_id, now)
            .map_err(|error| db.fail("prepare to write", error))?;
        Ok(Self {
            db,
            config,
            catalog,
            run_id: run_id.to_owned(),
            now: now.to_owned(),
            statements,
            columns,
            chain: None,
            one_by_one: false,
            committed: Written::default(),
            pending: Written::default(),
            sum,
        })
    }

    /// What has been committed so far.
    pub fn written(&self) -> Written {
        self.committed
    }

    /// The checksum of `email_schedules` after all that is committed, if it was `before` when this
    /// writer began, and nobody else changed the database since ([`Database::data_version`]).
    /// `None` where only reading the table can tell: triggers may have changed rows, say.
    pub fn checksum_after(&self, before: Checksum) -> Option<Checksum> {
        let mut sum = before;
        sum += self.sum.committed()?;
        Some(sum)
    }

    /// Writes the changes of one contact: deletions, then changes, then new rows, so that no two
    /// rows of one event ever exist at once.
    ///
    /// # Errors
    /// With any error the whole batch is rolled back: apply it again from its first contact, if
    /// [`StoreError::is_transient`], or give it up. If [`StoreError::is_refusal`], apply it again
    /// with [`PlanWriter::apply_or_refuse`], which leaves out this contact only.
    pub fn apply(&mut self, contact_id: i64, changes: &Changes) -> Result<(), StoreError> {
        let result = self.open().and_then(|()| self.write(contact_id, changes));
        self.or_roll_back("write the plan", result)
    }

    /// Writes the changes of many contacts, as [`PlanWriter::apply`] would one after the other, but
    /// in less time: the new rows of all of them are inserted last, with one statement.
    ///
    /// # Errors
    /// As [`PlanWriter::apply`].
    pub fn apply_all(&mut self, contacts: &[(i64, Changes)]) -> Result<(), StoreError> {
        let result = self.open().and_then(|()| self.write_all(contacts));
        self.or_roll_back("write the plan", result)
    }

    /// Like [`PlanWriter::apply`], but changes that the database refuses do not end the
    /// batch. Slower, so for batches that were refused.
    pub fn apply_or_refuse(
        &mut self,
        contact_id: i64,
        changes: &Changes,
    ) -> Result<Applied, StoreError> {
        const DOING: &str = "write the plan";
        let opened = self.open().and_then(|()| self.savepoint("SAVEPOINT contact"));
        self.or_roll_back(DOING, opened)?;
        let before = (self.chain.clone(), self.pending);
        let sum_before = self.sum.pending();
        match self.write(contact_id, changes) {
            Ok(()) => {
                let released = self.savepoint("RELEASE contact");
                self.or_roll_back(DOING, released)?;
                Ok(Applied::Done)
            }
            // A trigger may have rolled back everything.
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
                    && !self.db.connection().is_autocommit() =>
            {
                let undone = self.savepoint("ROLLBACK TO contact; RELEASE contact");
                self.or_roll_back(DOING, undone)?;
                (self.chain, self.pending) = before;
                self.sum.roll_back_to(sum_before);
                Ok(Applied::Refused(self.db.fail(DOING, error)))
            }
            Err(error) => self.or_roll_back(DOING, Err(error)).map(|()| Applied::Done),
        }
    }

    /// Sets the status of a row of `contact_campaigns`, unless it is `sent` by now.
    ///
    /// # Errors
    /// As [`PlanWriter::apply`].
    pub fn set_target_status(
        &mut self,
        target_id: i64,
        status: TargetStatus,
    ) -> Result<(), StoreError> {
        let result = self.open().and_then(|()| self.write_target(target_id, status));
        self.or_roll_back("write a target's status", result)
    }

    /// Records something wrong with a contact for this run. `None`: the contact has no usable id.
    ///
    /// # Errors
    /// As [`PlanWriter::apply`].
    pub fn issue(&mut self, contact_id: Option<i64>, issue: &Issue) -> Result<(), StoreError> {
        let result = self.open().and_then(|()| {
            let (field, reason) = (issue.field.to_string(), issue.to_string());
            self.statements.issue.execute((&self.run_id, contact_id, field, reason))?;
            self.pending.issues += 1;
            Ok(())
        });
        self.or_roll_back("record an issue", result)
    }

    /// Ends a batch: records how far the run has come, and commits. Nothing happens if nothing was
    /// written since the last commit.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`] if the run was never started. With any error the batch is rolled
    /// back.
    pub fn commit_batch(&mut self, last_contact_id: Option<i64>) -> Result<(), StoreError> {
        let Some(chain) = &self.chain else { return Ok(()) };
        let mut total = self.committed;
        total += self.pending;
        let connection = self.db.connection();
        let recorded = record_progress(connection, &self.run_id, last_contact_id, &total, chain);
        let result = match recorded {
            Ok(0) => {
                self.roll_back();
                return Err(StoreError::NoSuchRun { run_id: self.run_id.clone() });
            }
            Ok(_) => connection.execute_batch("COMMIT"),
            Err(error) => Err(error),
        };
        self.or_roll_back("commit the plan", result)?;
        self.committed = total;
        self.sum.commit();
        self.pending = Written::default();
        self.chain = None;
        Ok(())
    }

    /// Gives up what was written since the last commit.
    pub fn roll_back(&mut self) {
        self.chain = None;
        self.pending = Written::default();
        self.sum.roll_back();
        let connection = self.db.connection();
        if !connection.is_autocommit() {
            // If this fails, nothing is committed either: the transaction ends with the connection.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }

    /// Begins a transaction if none is open.
    fn open(&mut self) -> SqlResult<()> {
        if self.chain.is_some() {
            return Ok(());
        }
        let connection = self.db.connection();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        // What a trigger does on a conflict is for its owner to say; `OR ROLLBACK` would decide it.
        let triggers = self.statements.triggers.exists([]);
        match triggers.and_then(|found| Ok((Chain::at_end(connection)?, found))) {
            Ok((chain, has_triggers)) => {
                self.chain = Some(chain);
                self.one_by_one = has_triggers;
                Ok(())
            }
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }

    fn savepoint(&self, sql: &str) -> SqlResult<()> {
        self.db.connection().execute_batch(sql)
    }

    fn or_roll_back(
        &mut self,
        doing: &'static str,
        result: SqlResult<()>,
    ) -> Result<(), StoreError> {
        result.map_err(|error| {
            // Not what another transaction on this connection holds.
            if self.chain.is_some() {
                self.roll_back();
            }
            self.db.fail(doing, error)
        })
    }

    fn write_all(&mut self, contacts: &[(i64, Changes)]) -> SqlResult<()> {
        for (contact_id, changes) in contacts {
            self.write_changes(*contact_id, changes)?;
        }
        if self.one_by_one {
            for (contact_id, changes) in contacts {
                self.write_new(*contact_id, changes)?;
            }
        } else {
            self.write_all_new(contacts)?;
        }
        contacts.iter().try_for_each(|(_, changes)| self.write_targets(changes))
    }

    /// Writes the new rows of many contacts with one statement.
    fn write_all_new(&mut self, contacts: &[(i64, Changes)]) -> SqlResult<()> {
        let highest: Option<i64> = self.statements.highest.query_row([], |row| row.get(0))?;
        let new = || NewRowsOf::new(contacts, self.config, self.catalog);
        let count = self.statements.insert_many.execute(&mut new())?;
        self.pending.inserted += count;
        if count == 0 {
            return Ok(());
        }
        let last = self.db.connection().last_insert_rowid();
        let before = last.checked_sub_unsigned(count);
        // Ids ascend one by one, unless the highest of all is in use.
        let Some(before) = before.filter(|before| *before >= highest.unwrap_or(0)) else {
            self.sum.lose();
            return Ok(());
        };
        let mut rows = new();
        for id in before + 1..=last {
            rows.advance();
            self.sum.add_new(id, |at| rows.value(at));
        }
        Ok(())
    }

    fn write(&mut self, contact_id: i64, changes: &Changes) -> SqlResult<()> {
        self.write_changes(contact_id, changes)?;
        self.write_new(contact_id, changes)?;
        self.write_targets(changes)
    }

    fn write_new(&mut self, contact_id: i64, changes: &Changes) -> SqlResult<()> {
        for change in &changes.rows {
            if let Change::Insert(row) = change {
                self.insert(contact_id, row)?;
            }
        }
        Ok(())
    }

    fn write_targets(&mut self, changes: &Changes) -> SqlResult<()> {
        changes.targets.iter().try_for_each(|(id, status)| self.write_target(*id, *status))
    }

    /// Writes deletions, then changes of rows that exist.
    fn write_changes(&mut self, contact_id: i64, changes: &Changes) -> SqlResult<()> {
        if changes.rows.iter().all(|change| matches!(change, Change::Insert(_))) {
            return Ok(());
        }
        // What is on record of the rows is read before any of them changes.
        let mut former = Vec::new();
        for change in &changes.rows {
            former.push(match change {
                Change::Insert(_) => None,
                Change::Update { id, .. }
                | Change::Expire { id }
                | Change::LowerCase { id }
                | Change::Delete { id, .. } => self.former(contact_id, *id, change)?,
            });
        }
        let pairs = || changes.rows.iter().zip(&former);
        for (change, former) in pairs() {
            let Change::Delete { id, why } = change else { continue };
            let Some(former) = former else { continue };
            self.record(contact_id, *id, Happening::Deleted, &why.to_string(), &former.values)?;
            self.statements.delete.execute([id])?;
            self.sum.note(former.sum);
            self.pending.deleted += 1;
        }
        let mut vacated = false;
        for (change, former) in pairs() {
            let (id, what, why) = match change {
                Change::Insert(_) | Change::Delete { .. } => continue,
                Change::Update { id, .. } => (*id, Happening::Updated, None),
                Change::LowerCase { id } => (*id, Happening::Updated, Some("changed: email_type")),
                Change::Expire { id } => {
                    (*id, Happening::Expired, Some("not sent on its day, and not planned any more"))
                }
            };
            let Some(former) = former else { continue };
            self.record(contact_id, id, what, why.unwrap_or(&former.why), &former.values)?;
            let mut changed = self.change(id, change);
            // Two rows may exchange what tells them apart. All that are about to change step aside.
            if !vacated && changed.as_ref().is_err_and(is_unique_violation) {
                vacated = true;
                for (change, former) in pairs() {
                    if let (Change::Update { id, .. }, Some(_)) = (change, former) {
                        self.statements.vacate.execute([id])?;
                    }
                }
                changed = self.change(id, change);
            }
            changed?;
            self.sum.note(former.sum);
            match what {
                Happening::Expired => self.pending.expired += 1,
                _ => self.pending.updated += 1,
            }
        }
        Ok(())
    }

    /// A row as it is now; `None`, and counted, if it must not be changed any more.
    fn former(&mut self, contact_id: i64, id: i64, change: &Change) -> SqlResult<Option<Former>> {
        let mut rows = self.statements.former.query([id])?;
        let Some(row) = rows.next()? else {
            self.pending.overtaken += 1;
            return Ok(None);
        };
        let at = self.columns.len();
        let is_ours = integer(row, at + 1)? == Some(contact_id);
        if !Status::of(text(row, at)?).is_owned() || !is_ours {
            self.pending.overtaken += 1;
            return Ok(None);
        }
        let values: Vec<ValueRef<'_>> =
            (0..at).map(|at| row.get_ref(at)).collect::<SqlResult<_>>()?;
        let (run_id, now) = (ValueRef::from(&*self.run_id), ValueRef::from(&*self.now));
        let marked = |at: usize| match at {
            RUN_ID => Some(run_id),
            UPDATED_AT => Some(now),
            _ => None,
        };
        let (why, sum) = match change {
            Change::Update { row: wanted, .. } => {
                let wanted = PlannedRow::new(wanted, self.config, self.catalog);
                let sum = self.sum.change(id, &values, |at| match at.checked_sub(1) {
                    Some(planned) if planned < PLANNED_COLUMNS.len() => Some(wanted.value(planned)),
                    _ => marked(at),
                });
                (differences(row, at + 2, &wanted)?, sum)
            }
            Change::Expire { .. } | Change::LowerCase { .. } => {
                // What SQL's `lower` makes of it.
                let kind = text(row, at + 2)?.map(str::to_ascii_lowercase);
                let reason = SkipReason::Expired.text(self.config);
                let expires = matches!(change, Change::Expire { .. });
                let sum = self.sum.change(id, &values, |at| match at {
                    EMAIL_TYPE => kind.as_deref().map(ValueRef::from),
                    STATUS if expires => Some(ValueRef::Text(b"skipped")),
                    SKIP_REASON if expires => Some(ValueRef::from(&*reason)),
                    _ => marked(at),
                });
                (String::new(), sum.filter(|_| kind.is_some()))
            }
            Change::Delete { .. } => (String::new(), self.sum.removal(id, &values)),
            Change::Insert(_) => (String::new(), None),
        };
        Ok(Some(Former { values: old_values(row, &self.columns)?, why, sum }))
    }

    fn record(
        &mut self,
        contact_id: i64,
        schedule_id: i64,
        what: Happening,
        why: &str,
        values: &str,
    ) -> SqlResult<()> {
        let chain = self.chain.as_mut().expect("a transaction is open");
        chain.append(
            &mut self.statements.history,
            &Entry {
                run_id: &self.run_id,
                schedule_id,
                contact_id: Some(contact_id),
                what,
                why,
                old_values: values,
                recorded_at: &self.now,
            },
        )
    }

    /// Changes a row in place.
    fn change(&mut self, id: i64, change: &Change) -> SqlResult<usize> {
        match change {
            Change::Update { row, .. } => {
                let row = PlannedRow::new(row, self.config, self.catalog);
                let update = &mut self.statements.update;
                for (at, value) in (UPDATE_FIRST..).zip(row.values()) {
                    update.raw_bind_parameter(at, Bound(value))?;
                }
                update.raw_bind_parameter(1, id)?;
                update.raw_execute()
            }
            Change::Expire { .. } => {
                let reason = SkipReason::Expired.text(self.config);
                self.statements.expire.execute((id, reason, &self.run_id, &self.now))
            }
            Change::LowerCase { .. } => {
                self.statements.lower_case.execute((id, &self.run_id, &self.now))
            }
            Change::Insert(_) | Change::Delete { .. } => Ok(0),
        }
    }

    fn insert(&mut self, contact_id: i64, row: &WantedRow) -> SqlResult<()> {
        let row = PlannedRow::new(row, self.config, self.catalog);
        let insert = &mut self.statements.insert;
        insert.raw_bind_parameter(1, contact_id)?;
        for (at, value) in (INSERT_FIRST..).zip(row.values()) {
            insert.raw_bind_parameter(at, Bound(value))?;
        }
        insert.raw_execute()?;
        self.pending.inserted += 1;
        self.sum.add_new(self.db.connection().last_insert_rowid(), |at| match at.checked_sub(1) {
            None => ValueRef::Integer(contact_id),
            Some(planned) => row.value(planned),
        });
        Ok(())
    }

    fn write_target(&mut self, target_id: i64, status: TargetStatus) -> SqlResult<()> {
        let changed = self.statements.target.execute((target_id, status.text()))?;
        self.pending.targets += changed as u64;
        Ok(())
    }
}

impl Drop for PlanWriter<'_> {
    fn drop(&mut self) {
        if self.chain.is_some() {
            self.roll_back();
        }
    }
}

/// Columns at the end of the statement that reads a former row: status, contact, and
/// [`PLANNED_COLUMNS`].
const EXTRA_COLUMNS: usize = 2 + PLANNED_COLUMNS.len();

// Places of parameters: those that differ from row to row begin here, those that are the same for
// the whole run come after them.
const INSERT_FIRST: usize = 2;
const INSERT_CONSTANTS: usize = INSERT_FIRST + PLANNED_COLUMNS.len();
const UPDATE_FIRST: usize = 2;
const UPDATE_CONSTANTS: usize = UPDATE_FIRST + PLANNED_COLUMNS.len();

impl<'d> Statements<'d> {
    fn prepare(db: &'d Database, run_id: &str, now: &str) -> SqlResult<Self> {
        let db = db.connection();
        let planned = PLANNED_COLUMNS.join(", ");
        let places = |first: usize, count: usize| {
            (first..first + count).map(|at| format!("?{at}")).collect::<Vec<_>>().join(", ")
        };
        let assignments: Vec<String> = (UPDATE_FIRST..)
            .zip(PLANNED_COLUMNS)
            .map(|(at, name)| format!("{name} = ?{at}"))
            .collect();
        let (columns, constants) = (inserted_columns(), constants(run_id, now));
        Ok(Self {
            triggers: db.prepare(
                "SELECT 1 FROM main.sqlite_schema
                 WHERE type = 'trigger' AND tbl_name = 'email_schedules' COLLATE NOCASE",
            )?,
            insert_many: BulkInsert::prepare(db, "main.email_schedules", &columns, &constants)?,
            highest: db.prepare("SELECT max(id) FROM main.email_schedules")?,
            former: db.prepare(&format!(
                "SELECT *, status, contact_id, {planned} FROM main.email_schedules WHERE id = ?1"
            ))?,
            insert: db.prepare(&format!(
                "INSERT INTO main.email_schedules
                   (contact_id, {planned}, scheduler_run_id, created_at, updated_at)
                 VALUES ({}, ?{INSERT_CONSTANTS}, ?{}, ?{})",
                places(1, INSERT_CONSTANTS - 1),
                INSERT_CONSTANTS + 1,
                INSERT_CONSTANTS + 1,
            ))?,
            update: db.prepare(&format!(
                "UPDATE main.email_schedules
                 SET {}, scheduler_run_id = ?{UPDATE_CONSTANTS}, updated_at = ?{} WHERE id = ?1",
                assignments.join(", "),
                UPDATE_CONSTANTS + 1,
            ))?,
            expire: db.prepare(
                "UPDATE main.email_schedules SET email_type = lower(email_type), status = 'skipped', skip_reason = ?2,
                   scheduler_run_id = ?3, updated_at = ?4 WHERE id = ?1",
            )?,
            lower_case: db.prepare(
                "UPDATE main.email_schedules SET email_type = lower(email_type),
                   scheduler_run_id = ?2, updated_at = ?3 WHERE id = ?1",
            )?,
            vacate: db
                .prepare("UPDATE main.email_schedules SET event_year = NULL WHERE id = ?1")?,
            delete: db.prepare("DELETE FROM main.email_schedules WHERE id = ?1")?,
            history: Chain::prepare(db)?,
            target: db.prepare(
                "UPDATE main.contact_campaigns SET status = ?2
                 WHERE id = ?1 AND status IS NOT 'sent'",
            )?,
            issue: db.prepare(
                "INSERT INTO main.contact_issues (run_id, contact_id, field, reason)
                 VALUES (?1, ?2, ?3, ?4)",
            )?,
        })
    }

    /// Bound once, not with every row.
    fn bind_constants(&mut self, run_id: &str, now: &str) -> SqlResult<()> {
        self.insert.raw_bind_parameter(INSERT_CONSTANTS, run_id)?;
        self.insert.raw_bind_parameter(INSERT_CONSTANTS + 1, now)?;
        self.update.raw_bind_parameter(UPDATE_CONSTANTS, run_id)?;
        self.update.raw_bind_parameter(UPDATE_CONSTANTS + 1, now)
    }
}

/// A row as it is written: what a plan says, and the texts that do not stand anywhere else.
#[derive(Debug)]
struct PlannedRow<'a> {
    row: &'a WantedRow,
    kind: &'a Kind,
    config: &'a PlanConfig,
    date: [u8; 10],
    reason: Option<Cow<'a, str>>,
}

impl<'a> PlannedRow<'a> {
    fn new(row: &'a WantedRow, config: &'a PlanConfig, catalog: &'a Catalog) -> Self {
        Self {
            row,
            kind: catalog.kind(row.kind),
            config,
            date: day_text(row.date),
            reason: row.skip.as_ref().map(|reason| reason.text(config)),
        }
    }

    /// The value of a column, by its place in [`PLANNED_COLUMNS`].
    fn value(&self, at: usize) -> ValueRef<'_> {
        let text = |text: Option<&'a str>| text.map_or(ValueRef::Null, ValueRef::from);
        let number = |number: Option<i64>| number.map_or(ValueRef::Null, ValueRef::Integer);
        let (row, kind) = (self.row, self.kind);
        match at {
            0 => text(Some(&kind.text)),
            1 => ValueRef::Text(&self.date),
            2 => text(Some(&self.config.send_time)),
            3 => text(Some(if row.skip.is_some() { "skipped" } else { "pre-scheduled" })),
            4 => self.reason.as_deref().map_or(ValueRef::Null, ValueRef::from),
            5 => ValueRef::Integer(row.priority),
            6 => number(row.instance_id),
            7 => text(kind.email_template.as_deref()),
            8 => text(kind.sms_template.as_deref().filter(|_| row.sms)),
            9 => number(row.event.year),
            10 => number(row.event.month),
            11 => number(row.event.day),
            12 => number(row.initial_id),
            13 => ValueRef::Integer(row.shift_days.into()),
            14 => text(row.metadata.as_deref()),
            _ => unreachable!("there are {} columns", PLANNED_COLUMNS.len()),
        }
    }

    fn values(&self) -> impl Iterator<Item = ValueRef<'_>> {
        (0..PLANNED_COLUMNS.len()).map(|at| self.value(at))
    }
}

/// The new rows of many contacts, as [`BulkInsert`] reads them: the contact's id, then
/// [`PLANNED_COLUMNS`].
#[derive(Debug)]
struct NewRowsOf<'a> {
    contacts: slice::Iter<'a, (i64, Changes)>,
    config: &'a PlanConfig,
    catalog: &'a Catalog,
    contact_id: i64,
    changes: slice::Iter<'a, Change>,
    row: Option<PlannedRow<'a>>,
}

impl<'a> NewRowsOf<'a> {
    fn new(contacts: &'a [(i64, Changes)], config: &'a PlanConfig, catalog: &'a Catalog) -> Self {
        let (contacts, changes) = (contacts.iter(), [].iter());
        Self { contacts, config, catalog, contact_id: 0, changes, row: None }
    }
}

impl NewRows for NewRowsOf<'_> {
    fn advance(&mut self) -> bool {
        loop {
            for change in self.changes.by_ref() {
                if let Change::Insert(row) = change {
                    self.row = Some(PlannedRow::new(row, self.config, self.catalog));
                    return true;
                }
            }
            let Some((contact_id, changes)) = self.contacts.next() else { return false };
            self.contact_id = *contact_id;
            self.changes = changes.rows.iter();
        }
    }

    fn value(&self, at: usize) -> ValueRef<'_> {
        match (at.checked_sub(1), &self.row) {
            (None, _) => ValueRef::Integer(self.contact_id),
            (Some(at), Some(row)) => row.value(at),
            (Some(_), None) => ValueRef::Null,
        }
    }
}

/// A date as `YYYY-MM-DD`.
fn day_text(day: Day) -> [u8; 10] {
    let date = day.to_date();
    let digit = |number: i32, unit: i32| {
        b'0' + u8::try_from(number / unit % 10).expect("years are not negative")
    };
    let (year, month, day) =
        (i32::from(date.year()), i32::from(date.month()), i32::from(date.day()));
    [
        digit(year, 1000),
        digit(year, 100),
        digit(year, 10),
        digit(year, 1),
        b'-',
        digit(month, 10),
        digit(month, 1),
        b'-',
        digit(day, 10),
        digit(day, 1),
    ]
}

/// A value to bind.
struct Bound<'a>(ValueRef<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> SqlResult<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

/// Which columns of a row, from column `first` on in the order of [`PLANNED_COLUMNS`], get another
/// value.
fn differences(row: &Row<'_>, first: usize, wanted: &PlannedRow<'_>) -> SqlResult<String> {
    let mut changed = Vec::new();
    for ((at, name), value) in (first..).zip(PLANNED_COLUMNS).zip(wanted.values()) {
        if row.get_ref(at)? != value {
            changed.push(name);
        }
    }
    Ok(format!("changed: {}", changed.join(", ")))
}

fn is_unique_violation(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|failure| failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}
