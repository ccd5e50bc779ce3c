//! Writing a plan: the differences between the rows that exist and those that are wanted.

use std::{
    borrow::Cow,
    mem,
    ops::{AddAssign, RangeInclusive},
    slice,
};

use curfew_engine::{
    Catalog, Change, Changes, Day, Issue, Kind, PlanConfig, SkipReason, Status, TargetStatus,
    WantedRow,
};
use rusqlite::{
    Connection, ErrorCode, Row, Statement, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use crate::{
    Checksum, Database, StoreError,
    bulk::{Bulk, NewRows},
    cell::{integer, text},
    followed::Followed,
    history::{Chain, Entry, GUARDS, Happening, Link, old_values},
    runs::record_progress,
    schema::Table,
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
    /// What is written row by row in this transaction.
    one_by_one: OneByOne,
    committed: Written,
    pending: Written,
    sum: Followed,
    /// Whether the new rows of many contacts are summed up elsewhere; their ids, of the open
    /// transaction, and of the last that was committed.
    sums_beside: bool,
    pending_ids: NewIds,
    committed_ids: NewIds,
}

/// The ids of new rows that are still to be summed up.
#[derive(Debug, Default)]
#[must_use = "the rows are to be summed up"]
pub struct NewIds(Vec<RangeInclusive<i64>>);

/// Sums up new rows beside the writer that has inserted them, see [`PlanWriter::sum_beside`].
#[derive(Debug)]
pub struct NewRowSums<'d> {
    sum: Followed,
    config: &'d PlanConfig,
    catalog: &'d Catalog,
}

impl NewRowSums<'_> {
    /// Takes in the new rows of a batch: what was given to [`PlanWriter::apply_all`], and what
    /// [`PlanWriter::take_new_ids`] gave after the commit.
    pub fn add(&mut self, contacts: &[(i64, Changes)], ids: NewIds) {
        let mut rows = NewRowsOf::new(contacts, self.config, self.catalog);
        for id in ids.0.into_iter().flatten() {
            if !rows.advance() {
                // These are not the rows with these ids.
                return self.sum.lose();
            }
            self.sum.add_new(id, |at| rows.value(at));
        }
    }
}

/// Tables whose rows are written one at a time: their owner has triggers on them. What a trigger does
/// on a conflict is for its owner to say; `OR ROLLBACK`, by which many rows are written at once, would
/// decide it.
#[derive(Clone, Copy, Debug, Default)]
struct OneByOne {
    /// `email_schedules` and `schedule_history`.
    rows: bool,
    targets: bool,
    issues: bool,
}

/// Contacts whose rows are deleted, and inserted, with one statement for each of the two. Few enough
/// that the pages of indexes that both change stay in the cache; more gain nothing.
const CONTACTS_AT_ONCE: usize = 500;

#[derive(Debug)]
struct Statements<'d> {
    /// Tables with triggers of their owner.
    triggers: Statement<'d>,
    highest: Statement<'d>,
    former: Statement<'d>,
    insert: Statement<'d>,
    insert_many: Bulk<'d>,
    update: Statement<'d>,
    expire: Statement<'d>,
    lower_case: Statement<'d>,
    vacate: Statement<'d>,
    delete: Statement<'d>,
    delete_many: Bulk<'d>,
    history: Statement<'d>,
    history_many: Bulk<'d>,
    target: Statement<'d>,
    /// `None` if targets have no rowid to be found by.
    target_many: Option<Bulk<'d>>,
    issue: Statement<'d>,
    issue_many: Bulk<'d>,
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

/// The columns of `email_schedules` to which this program gives values. What another column holds in a
/// row of the plan is its default.
pub(crate) fn written_columns() -> impl Iterator<Item = &'static str> {
    inserted_columns().into_iter().chain(constants("", "").map(|(name, _)| name))
}

// Places in [`inserted_columns`], and after them in [`constants`].
const EMAIL_TYPE: usize = 1;
const STATUS: usize = 4;
const SKIP_REASON: usize = 5;
const RUN_ID: usize = 1 + PLANNED_COLUMNS.len();
const UPDATED_AT: usize = RUN_ID + 2;

/// A row as it is before it is changed.
#[derive(Debug)]
struct Former<'c> {
    contact_id: i64,
    id: i64,
    change: &'c Change,
    what: Happening,
    /// For the history.
    why: Cow<'static, str>,
    /// See [`old_values`].
    values: String,
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
            one_by_one: OneByOne::default(),
            committed: Written::default(),
            pending: Written::default(),
            sum,
            sums_beside: false,
            pending_ids: NewIds::default(),
            committed_ids: NewIds::default(),
        })
    }

    /// From now on the new rows of [`PlanWriter::apply_all`] are to be summed up by the caller, for
    /// [`PlanWriter::checksum_after`], on another thread perhaps: after each commit, what
    /// [`PlanWriter::take_new_ids`] gives goes to [`NewRowSums::add`], and in the end that to
    /// [`PlanWriter::add_sums`].
    pub fn sum_beside(&mut self) -> NewRowSums<'d> {
        self.sums_beside = true;
        NewRowSums { sum: self.sum.beside(), config: self.config, catalog: self.catalog }
    }

    /// The ids of the rows that are still to be summed up of the batch that was committed last.
    pub fn take_new_ids(&mut self) -> NewIds {
        mem::take(&mut self.committed_ids)
    }

    /// Ends what [`PlanWriter::sum_beside`] began.
    pub fn add_sums(&mut self, sums: &NewRowSums<'_>) {
        self.sum.join(&sums.sum);
        if !self.committed_ids.0.is_empty() {
            // Nobody has taken them.
            self.sum.lose();
            self.sum.commit();
        }
        self.sums_beside = false;
    }

    /// What has been committed so far.
    pub fn written(&self) -> Written {
        self.committed
    }

    /// The checksum of `email_schedules` after all that is committed, if it was `before` when this
    /// writer began, all that is to be summed up beside it was, and nobody else changed the database since ([`Database::data_version`]).
    /// `None` where only reading the table can tell: triggers may have changed rows, say.
    pub fn checksum_after(&self, before: Checksum) -> Option<Checksum> {
        let mut sum = before;
        sum += self.sum.committed().filter(|_| !self.sums_beside)?;
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

    /// Records what is wrong with contacts for this run. `None`: the contact has no usable id.
    ///
    /// # Errors
    /// As [`PlanWriter::apply`].
    pub fn issues(&mut self, issues: &[(Option<i64>, Issue)]) -> Result<(), StoreError> {
        let result = self.open().and_then(|()| {
            if self.one_by_one.issues {
                for (contact_id, issue) in issues {
                    let (field, reason) = (issue.field.to_string(), issue.to_string());
                    self.statements.issue.execute((&self.run_id, contact_id, field, reason))?;
                }
            } else {
                let mut rows = IssueRows { issues: issues.iter(), current: None };
                self.statements.issue_many.execute(&mut rows)?;
            }
            self.pending.issues += issues.len() as u64;
            Ok(())
        });
        self.or_roll_back("record issues", result)
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
        if !self.committed_ids.0.is_empty() {
            // Nobody has taken them.
            self.sum.lose();
        }
        self.committed_ids = mem::take(&mut self.pending_ids);
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
        self.pending_ids = NewIds::default();
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
        let one_by_one = self.statements.one_by_one();
        match one_by_one.and_then(|found| Ok((Chain::at_end(connection)?, found))) {
            Ok((chain, one_by_one)) => {
                self.chain = Some(chain);
                self.one_by_one = one_by_one;
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
        if self.one_by_one.rows {
            for (contact_id, changes) in contacts {
                self.write_changes([(*contact_id, changes)], false)?;
            }
            for (contact_id, changes) in contacts {
                self.write_new(*contact_id, changes)?;
            }
        } else {
            for contacts in contacts.chunks(CONTACTS_AT_ONCE) {
                self.write_changes(contacts.iter().map(|(id, changes)| (*id, changes)), true)?;
                self.write_all_new(contacts)?;
            }
        }
        match &mut self.statements.target_many {
            Some(update) if !self.one_by_one.targets => {
                let all = contacts.iter().flat_map(|(_, changes)| &changes.targets);
                let mut rows = TargetRows { targets: all, current: None };
                update.execute(&mut rows)?;
                self.pending.targets += self.db.connection().changes();
                Ok(())
            }
            _ => contacts.iter().try_for_each(|(_, changes)| self.write_targets(changes)),
        }
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
        if self.sums_beside {
            self.pending_ids.0.push(before + 1..=last);
            return Ok(());
        }
        let mut rows = new();
        for id in before + 1..=last {
            rows.advance();
            self.sum.add_new(id, |at| rows.value(at));
        }
        Ok(())
    }

    fn write(&mut self, contact_id: i64, changes: &Changes) -> SqlResult<()> {
        self.write_changes([(contact_id, changes)], false)?;
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

    /// Writes deletions, then changes of rows that exist; `at_once`: with one statement for many
    /// rows, where any that is refused rolls everything back.
    fn write_changes<'c>(
        &mut self,
        contacts: impl IntoIterator<Item = (i64, &'c Changes)>,
        at_once: bool,
    ) -> SqlResult<()> {
        // What is on record of the rows is read before any of them changes.
        let mut former = Vec::new();
        for (contact_id, changes) in contacts {
            for deletes in [true, false] {
                for change in &changes.rows {
                    let id = match change {
                        Change::Delete { id, .. } if deletes => *id,
                        Change::Update { id, .. }
                        | Change::Expire { id }
                        | Change::LowerCase { id }
                            if !deletes =>
                        {
                            *id
                        }
                        _ => continue,
                    };
                    former.extend(self.former(contact_id, id, change)?);
                }
            }
        }
        if former.is_empty() {
            return Ok(());
        }
        self.record(&former, at_once)?;

        let is_deletion = |former: &&Former<'_>| former.what == Happening::Deleted;
        if at_once {
            let deleted = former.iter().filter(is_deletion).map(|former| former.id);
            self.statements.delete_many.execute(&mut Ids { ids: deleted, current: 0 })?;
        }
        for former in former.iter().filter(is_deletion) {
            if !at_once {
                self.statements.delete.execute([former.id])?;
            }
            self.sum.note(former.sum);
            self.pending.deleted += 1;
        }
        for of_contact in former.chunk_by(|a, b| a.contact_id == b.contact_id) {
            self.change_all(of_contact)?;
        }
        Ok(())
    }

    /// Changes the rows of one contact.
    fn change_all(&mut self, rows: &[Former<'_>]) -> SqlResult<()> {
        let mut vacated = false;
        for former in rows.iter().filter(|former| former.what != Happening::Deleted) {
            let mut changed = self.change(former.id, former.change);
            // Two rows may exchange what tells them apart. All that are about to change step aside.
            if !vacated && changed.as_ref().is_err_and(is_unique_violation) {
                vacated = true;
                for former in rows {
                    if let Change::Update { id, .. } = former.change {
                        self.statements.vacate.execute([id])?;
                    }
                }
                changed = self.change(former.id, former.change);
            }
            changed?;
            self.sum.note(former.sum);
            match former.what {
                Happening::Expired => self.pending.expired += 1,
                _ => self.pending.updated += 1,
            }
        }
        Ok(())
    }

    /// A row as it is now; `None`, and counted, if it must not be changed any more.
    fn former<'c>(
        &mut self,
        contact_id: i64,
        id: i64,
        change: &'c Change,
    ) -> SqlResult<Option<Former<'c>>> {
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
        let (what, why, sum) = match change {
            Change::Update { row: wanted, .. } => {
                let wanted = PlannedRow::new(wanted, self.config, self.catalog);
                let sum = self.sum.change(id, &values, |at| match at.checked_sub(1) {
                    Some(planned) if planned < PLANNED_COLUMNS.len() => Some(wanted.value(planned)),
                    _ => marked(at),
                });
                (Happening::Updated, differences(row, at + 2, &wanted)?.into(), sum)
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
                let sum = sum.filter(|_| kind.is_some());
                if expires {
                    let why = "not sent on its day, and not planned any more";
                    (Happening::Expired, why.into(), sum)
                } else {
                    (Happening::Updated, "changed: email_type".into(), sum)
                }
            }
            Change::Delete { why, .. } => {
                (Happening::Deleted, why.to_string().into(), self.sum.removal(id, &values))
            }
            Change::Insert(_) => return Ok(None),
        };
        let values = old_values(row, &self.columns)?;
        Ok(Some(Former { contact_id, id, change, what, why, values, sum }))
    }

    /// Puts rows on record as they were.
    fn record(&mut self, rows: &[Former<'_>], at_once: bool) -> SqlResult<()> {
        let chain = self.chain.as_mut().expect("a transaction is open");
        let entries = rows.iter().map(|former| Entry {
            run_id: &self.run_id,
            schedule_id: former.id,
            contact_id: Some(former.contact_id),
            what: former.what,
            why: &former.why,
            old_values: &former.values,
            recorded_at: &self.now,
        });
        if at_once {
            let entries = entries.map(|entry| (chain.link(&entry), entry));
            self.statements.history_many.execute(&mut HistoryRows { entries, current: None })?;
            return Ok(());
        }
        for entry in entries {
            chain.append(&mut self.statements.history, &entry)?;
        }
        Ok(())
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
                "SELECT DISTINCT lower(tbl_name) FROM main.sqlite_schema
                 WHERE type = 'trigger' AND NOT (tbl_name = 'schedule_history' COLLATE NOCASE
                   AND name IN (?1, ?2))",
            )?,
            insert_many: Bulk::insert(db, "main.email_schedules", &columns, &constants)?,
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
            delete_many: Bulk::prepare(
                db,
                "DELETE FROM main.email_schedules WHERE id IN (SELECT c0 FROM curfew_new_rows(?1))",
                &[],
            )?,
            history: Chain::prepare(db)?,
            history_many: Bulk::insert(
                db,
                "main.schedule_history",
                &HISTORY_COLUMNS,
                &[("run_id", run_id), ("recorded_at", now)],
            )?,
            target: db.prepare(
                "UPDATE main.contact_campaigns SET status = ?2
                 WHERE id = ?1 AND status IS NOT 'sent'",
            )?,
            target_many: has_rowid(db, "contact_campaigns")?
                .then(|| {
                    let sql = "UPDATE OR ROLLBACK main.contact_campaigns SET status = n.c1
                               FROM curfew_new_rows(?1) AS n
                               WHERE contact_campaigns.id = n.c0
                                 AND contact_campaigns.status IS NOT 'sent'";
                    Bulk::prepare(db, sql, &[])
                })
                .transpose()?,
            issue_many: Bulk::insert(
                db,
                "main.contact_issues",
                &["contact_id", "field", "reason"],
                &[("run_id", run_id)],
            )?,
            issue: db.prepare(
                "INSERT INTO main.contact_issues (run_id, contact_id, field, reason)
                 VALUES (?1, ?2, ?3, ?4)",
            )?,
        })
    }

    /// Reads which tables have triggers of their owner.
    fn one_by_one(&mut self) -> SqlResult<OneByOne> {
        let [update, delete] = GUARDS.map(|(name, _)| name);
        let mut found = OneByOne::default();
        let mut rows = self.triggers.query([update, delete])?;
        while let Some(row) = rows.next()? {
            match text(row, 0)? {
                Some("email_schedules" | "schedule_history") => found.rows = true,
                Some("contact_campaigns") => found.targets = true,
                Some("contact_issues") => found.issues = true,
                _ => {}
            }
        }
        Ok(found)
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

/// The new rows of many contacts, as [`Bulk`] reads them: the contact's id, then
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

/// Whether the rows of a table are found by their id at once.
fn has_rowid(db: &Connection, table: &str) -> SqlResult<bool> {
    let table = Table::read(db, table)?;
    let key = table.as_ref().and_then(Table::rowid_column);
    Ok(key.is_some_and(|key| key.name.eq_ignore_ascii_case("id")))
}

/// Ids, one to a row.
struct Ids<I> {
    ids: I,
    current: i64,
}

impl<I: Iterator<Item = i64>> NewRows for Ids<I> {
    fn advance(&mut self) -> bool {
        let next = self.ids.next();
        self.current = next.unwrap_or_default();
        next.is_some()
    }

    fn value(&self, _: usize) -> ValueRef<'_> {
        ValueRef::Integer(self.current)
    }
}

/// The columns of the history that differ from entry to entry.
const HISTORY_COLUMNS: [&str; 8] =
    ["id", "schedule_id", "contact_id", "what", "why", "old_values", "previous_hash", "hash"];

/// Entries with [`HISTORY_COLUMNS`].
struct HistoryRows<'e, I> {
    entries: I,
    current: Option<(Link, Entry<'e>)>,
}

impl<'e, I: Iterator<Item = (Link, Entry<'e>)>> NewRows for HistoryRows<'e, I> {
    fn advance(&mut self) -> bool {
        self.current = self.entries.next();
        self.current.is_some()
    }

    fn value(&self, at: usize) -> ValueRef<'_> {
        let Some((link, entry)) = &self.current else { return ValueRef::Null };
        match at {
            0 => ValueRef::Integer(link.id),
            1 => ValueRef::Integer(entry.schedule_id),
            2 => entry.contact_id.map_or(ValueRef::Null, ValueRef::Integer),
            3 => ValueRef::from(entry.what.text()),
            4 => ValueRef::from(entry.why),
            5 => ValueRef::from(entry.old_values),
            6 => ValueRef::from(&*link.previous_hash),
            _ => ValueRef::from(&*link.hash),
        }
    }
}

/// The ids of targets with their new status.
struct TargetRows<'a, I> {
    targets: I,
    current: Option<&'a (i64, TargetStatus)>,
}

impl<'a, I: Iterator<Item = &'a (i64, TargetStatus)>> NewRows for TargetRows<'a, I> {
    fn advance(&mut self) -> bool {
        self.current = self.targets.next();
        self.current.is_some()
    }

    fn value(&self, at: usize) -> ValueRef<'_> {
        match (at, self.current) {
            (_, None) => ValueRef::Null,
            (0, Some((id, _))) => ValueRef::Integer(*id),
            (_, Some((_, status))) => ValueRef::from(status.text()),
        }
    }
}

/// What is wrong with contacts: the contact's id, the field, the reason.
struct IssueRows<'a> {
    issues: slice::Iter<'a, (Option<i64>, Issue)>,
    current: Option<(Option<i64>, String, String)>,
}

impl NewRows for IssueRows<'_> {
    fn advance(&mut self) -> bool {
        self.current = self
            .issues
            .next()
            .map(|(contact_id, issue)| (*contact_id, issue.field.to_string(), issue.to_string()));
        self.current.is_some()
    }

    fn value(&self, at: usize) -> ValueRef<'_> {
        match (at, &self.current) {
            (0, Some((Some(id), ..))) => ValueRef::Integer(*id),
            (1, Some((_, field, _))) => ValueRef::from(&**field),
            (2, Some((_, _, reason))) => ValueRef::from(&**reason),
            _ => ValueRef::Null,
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
