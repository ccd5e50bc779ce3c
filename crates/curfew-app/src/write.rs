//! The second half of a run: draft once more what changes, and write it batch by batch.
//!
//! In WAL mode three threads share the work on a large plan: one sums up the last batch and drafts the
//! next, one writes, and one moves the log into the database file. The first is never more than a batch
//! ahead, so memory does not grow with the plan. Otherwise a reader would stand in the writer's way, and one
//! thread does everything.

use std::{
    mem,
    ops::ControlFlow,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use curfew_engine::{Balance, Changed, ChangedMeanwhile, Changes, Draft, Planner, Settled};
use curfew_store::{
    Access, Applied, Database, LogWatch, NewIds, PlanWriter, Retry, Scanner, StoreError, Visited,
};

use crate::{
    Error, Progress,
    backup::Precaution,
    run::{FailedBatch, RunReport},
};

/// After so many failed batches in a row the run is given up.
const FAILED_BATCHES_MAX: usize = 3;

/// From this length on the log is moved beside the writer. Pages of indexes that batch after batch
/// changes are moved once for all of them, so not too often.
const LOG_BYTES_MOVED: u64 = 32 << 20;
/// At this length the writer waits until all of the log is moved, so that it begins anew.
const LOG_BYTES_MAX: u64 = 96 << 20;

/// What becomes of a contact: its changes, or that it changed meanwhile.
type ContactOutcome<'a> = Result<&'a mut Changes, ChangedMeanwhile>;

/// Drafts contacts once more and hands over what has to be written for each.
pub(crate) fn each_change(
    scanner: &mut Scanner<'_>,
    planner: &Planner<'_>,
    batch: &[Changed<'_>],
    use_changes: &mut dyn FnMut(i64, ContactOutcome<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let ids: Vec<i64> = batch.iter().map(|changed| changed.id).collect();
    let mut settled = batch.iter().peekable();
    let mut draft = Draft::default();
    let mut changes = Changes::default();
    let flow = scanner.chosen(&ids, |visited| {
        let Visited::Contact(input) = visited else { return ControlFlow::Continue(()) };
        // A contact that is gone by now is passed over.
        while settled.next_if(|changed| changed.id < input.id).is_some() {}
        let settled: Option<Settled<'_>> =
            settled.next_if(|changed| changed.id == input.id).map(|changed| changed.settled);
        planner.draft(input, &mut draft);
        let outcome = planner.changes(input, &draft, settled, &mut changes);
        match use_changes(input.id, outcome.map(|()| &mut changes)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    })?;
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// What is to be written for some contacts.
#[derive(Debug, Default)]
struct Batch {
    /// Those for which there is something.
    contacts: Vec<(i64, Changes)>,
    /// How many were looked at.
    looked_at: u64,
    /// How many changed since the plan was made.
    postponed: u64,
}

impl Batch {
    fn draft(
        scanner: &mut Scanner<'_>,
        planner: &Planner<'_>,
        changed: &[Changed<'_>],
    ) -> Result<Self, Error> {
        let mut batch = Self { looked_at: changed.len() as u64, ..Self::default() };
        each_change(scanner, planner, changed, &mut |contact_id, outcome| {
            match outcome {
                Ok(changes) if changes.is_empty() => {}
                Ok(changes) => {
                    // Two batches and more are held at once: of a contact only what there is.
                    changes.rows.shrink_to_fit();
                    batch.contacts.push((contact_id, mem::take(changes)));
                }
                Err(ChangedMeanwhile) => batch.postponed += 1,
            }
            Ok(())
        })?;
        Ok(batch)
    }
}

/// The changed contacts of a plan, some at a time.
pub(crate) fn each_batch(
    balance: &Balance,
    batch_size: usize,
) -> impl Iterator<Item = Vec<Changed<'_>>> {
    let mut changed = balance.changed();
    std::iter::from_fn(move || {
        let batch: Vec<_> = changed.by_ref().take(batch_size).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

/// Writes what differs between the rows that exist and a settled plan.
pub(crate) struct PlanWriting<'w, 'd, 'p> {
    pub(crate) database: &'d Database,
    pub(crate) planner: &'w Planner<'w>,
    pub(crate) balance: &'w Balance,
    /// How many contacts a transaction has at most.
    pub(crate) batch_size: usize,
    /// With one, nothing is done side by side.
    pub(crate) threads: usize,
    pub(crate) sink: Sink<'w, 'd, 'p>,
}

impl PlanWriting<'_, '_, '_> {
    pub(crate) fn run(self) -> Result<(), Error> {
        let is_small = self.balance.changed_count() <= self.batch_size;
        if is_small || self.threads == 1 || !self.database.has_log()? {
            self.run_alone()
        } else {
            self.run_side_by_side()
        }
    }

    fn run_alone(self) -> Result<(), Error> {
        let Self { database, planner, balance, batch_size, mut sink, .. } = self;
        let mut scanner = database.scanner(planner.config(), planner.catalog())?;
        for changed in each_batch(balance, batch_size) {
            let _ = sink.write(&Batch::draft(&mut scanner, planner, &changed)?)?;
        }
        Ok(())
    }

    fn run_side_by_side(self) -> Result<(), Error> {
        let Self { database, planner, balance, batch_size, mut sink, .. } = self;
        let reader = database.beside(Access::ReadOnly)?;
        let mover = database.beside(Access::ReadWrite)?;
        let watch = LogWatch::begin(database)?;
        // Held by whoever reads a batch: what is read must stay in the log.
        let reading = &Mutex::new(());
        // Held by whoever moves the log.
        let moving = &Mutex::new(());
        thread::scope(|scope| {
            let (drafted, batches) = mpsc::sync_channel::<Result<Batch, Error>>(0);
            let (written, to_sum_up) = mpsc::channel::<(Batch, NewIds)>();
            let mut sums = sink.writer.sum_beside();
            let drafting = scope.spawn(move || {
                let mut draft_all = || {
                    let mut scanner = reader.scanner(planner.config(), planner.catalog())?;
                    for changed in each_batch(balance, batch_size) {
                        // Before another batch takes memory.
                        for (batch, ids) in to_sum_up.try_iter() {
                            sums.add(&batch.contacts, ids);
                        }
                        let held = lock(reading);
                        let batch = Batch::draft(&mut scanner, planner, &changed)?;
                        drop(held);
                        if drafted.send(Ok(batch)).is_err() {
                            // The writer gave up.
                            break;
                        }
                    }
                    Ok(())
                };
                if let Err(error) = draft_all() {
                    let _ = drafted.send(Err(error));
                    return None;
                }
                drop(drafted);
                for (batch, ids) in to_sum_up {
                    sums.add(&batch.contacts, ids);
                }
                Some(sums)
            });

            let (moves, wanted) = mpsc::sync_channel::<()>(1);
            scope.spawn(move || {
                while wanted.recv().is_ok() {
                    let _held = lock(moving);
                    // If it fails, the log is longer for a while; the writer is the one to say so.
                    let _ = mover.move_log();
                }
            });

            for batch in batches {
                let batch = batch?;
                let ids = sink.write(&batch)?;
                // Where nobody takes them, there are no sums either.
                let _ = written.send((batch, ids));
                let bytes = watch.bytes();
                if bytes >= LOG_BYTES_MAX {
                    let _held = (lock(moving), lock(reading));
                    Retry::default().run(|_| database.move_log())?;
                } else if bytes >= LOG_BYTES_MOVED {
                    // One that is waiting will do.
                    let _ = moves.try_send(());
                }
            }
            drop(written);
            if let Some(sums) = drafting.join().expect("the drafting thread panicked") {
                sink.writer.add_sums(&sums);
            }
            Ok(())
        })
    }
}

/// Where batches go: the database and the report.
pub(crate) struct Sink<'w, 'd, 'p> {
    pub(crate) database: &'d Database,
    pub(crate) writer: &'w mut PlanWriter<'d>,
    pub(crate) precaution: &'w mut Precaution<'p>,
    pub(crate) report: &'w mut RunReport,
    pub(crate) progress: &'w dyn Progress,
    pub(crate) failures_in_a_row: usize,
}

impl Sink<'_, '_, '_> {
    fn write(&mut self, batch: &Batch) -> Result<NewIds, Error> {
        let contacts = &batch.contacts;
        self.report.contacts_postponed += batch.postponed;
        if !contacts.is_empty() {
            self.precaution.take(self.database)?;
        }
        match write_batch(self.writer, contacts) {
            Ok(mut refused) => {
                for refusal in &refused {
                    tracing::warn!("refused: {refusal}");
                }
                self.report.refused.append(&mut refused);
                self.failures_in_a_row = 0;
            }
            Err(error) if error.is_transient() || error.is_refusal() => {
                let id = |contact: Option<&(i64, Changes)>| {
                    contact.map(|(id, _)| *id).unwrap_or_default()
                };
                let failed = FailedBatch {
                    first_contact_id: id(contacts.first()),
                    last_contact_id: id(contacts.last()),
                    contacts: contacts.len() as u64,
                    error: error.to_string(),
                };
                tracing::error!(
                    first_contact_id = failed.first_contact_id,
                    last_contact_id = failed.last_contact_id,
                    "a batch was not written: {error}"
                );
                self.report.failed_batches.push(failed);
                self.failures_in_a_row += 1;
                if self.failures_in_a_row == FAILED_BATCHES_MAX {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.progress.advance(batch.looked_at);
        Ok(self.writer.take_new_ids())
    }
}

/// Writes one batch. Contacts whose rows the database refuses are left out and returned, with why.
fn write_batch(
    writer: &mut PlanWriter<'_>,
    contacts: &[(i64, Changes)],
) -> Result<Vec<String>, StoreError> {
    let last = contacts.last().map(|(id, _)| *id);
    let result = Retry::default().run(|_| {
        writer.apply_all(contacts)?;
        writer.commit_batch(last)
    });
    match result {
        Ok(()) => Ok(Vec::new()),
        Err(error) if error.is_refusal() => {
            let mut refused = Vec::new();
            Retry::default().run(|_| {
                refused.clear();
                for (contact_id, changes) in contacts {
                    if let Applied::Refused(why) = writer.apply_or_refuse(*contact_id, changes)? {
                        refused.push(format!("contact {contact_id}: {why}"));
                    }
                }
                writer.commit_batch(last)
            })?;
            Ok(refused)
        }
        Err(error) => Err(error),
    }
}

/// Nothing is left half done by a panic while one of these is held: they guard no data.
fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
