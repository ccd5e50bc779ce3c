//! From a contact's draft and what balancing decided to the rows that are written (SPEC section 9).

use crate::{
    Catalog, Change, Contact, ContactInput, Day, Draft, ExistingRow, Fate, KindClass, KindId,
    Message, Placement, Planner, Settled, SkipReason, Status, StoredKind, Target, TargetStatus,
    WantedRow,
};

/// What has to be written for one contact, in an order in which no two rows of one event ever exist
/// at once: deletions, then changes, then new rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Changes of `email_schedules`.
    pub rows: Vec<Change>,
    /// New statuses of rows of `contact_campaigns`, by id.
    pub targets: Vec<(i64, TargetStatus)>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.targets.is_empty()
    }
}

/// The contact is not what it was when the plan was balanced: its data changed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the contact changed while the plan was made")]
pub struct ChangedMeanwhile;

/// How a message ends.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'d> {
    /// The message, with the date it had before balancing.
    pub message: &'d Message,
    /// The date of its row.
    pub date: Day,
    /// Whether smoothing moved it from its ideal date (effective-date messages only).
    pub smoothed: bool,
    /// Whether the daily cap moved it.
    pub moved: bool,
    /// Whether the frequency limit refuses it.
    pub refused: bool,
}

impl Outcome<'_> {
    /// Whether the row is `pre-scheduled`.
    pub fn is_planned(&self) -> bool {
        self.message.is_dated() && !self.refused
    }

    /// The row that is wanted for it.
    fn wanted(&self, contact: &Contact) -> WantedRow {
        let mut wanted = self.message.wanted(contact);
        wanted.date = self.date;
        wanted.shift_days = self.date - self.message.ideal;
        if self.refused {
            wanted.skip = Some(SkipReason::FrequencyLimit);
        }
        wanted
    }
}

impl Draft {
    /// How each message ends.
    ///
    /// # Errors
    /// [`ChangedMeanwhile`] if `settled` was made from another draft.
    pub fn outcomes(
        &self,
        settled: Option<Settled<'_>>,
    ) -> Result<Vec<Outcome<'_>>, ChangedMeanwhile> {
        if settled.is_some_and(|settled| settled.fingerprint != self.fingerprint()) {
            return Err(ChangedMeanwhile);
        }
        let records = settled.map_or(&[][..], |settled| settled.records);
        let mut records = records.iter().filter(|record| !record.is_committed());
        let outcomes = self.messages.iter().map(|message| {
            if !message.is_dated() {
                let date = message.date;
                return Ok(Outcome {
                    message,
                    date,
                    smoothed: false,
                    moved: false,
                    refused: false,
                });
            }
            let record = records.next().ok_or(ChangedMeanwhile)?;
            let spread = matches!(message.placement, Placement::Ideal { .. });
            Ok(Outcome {
                message,
                date: record.date(),
                smoothed: spread && !record.is_moved() && record.date() != message.date,
                moved: record.is_moved(),
                refused: record.is_refused(),
            })
        });
        outcomes.collect()
    }
}

impl Planner<'_> {
    /// What has to be written for a contact, given its draft and what balancing decided for it.
    /// `changes` is overwritten.
    ///
    /// # Errors
    /// [`ChangedMeanwhile`] if the contact's data is not what was balanced; `changes` is then empty.
    pub fn changes(
        &self,
        input: &ContactInput<'_>,
        draft: &Draft,
        settled: Option<Settled<'_>>,
        changes: &mut Changes,
    ) -> Result<(), ChangedMeanwhile> {
        changes.rows.clear();
        changes.targets.clear();
        let outcomes = draft.outcomes(settled)?;

        for (row, fate) in input.rows.iter().zip(&draft.fates) {
            if let Fate::Deleted(why) = fate {
                changes.rows.push(Change::Delete { id: row.id, why: *why });
            }
        }
        for (row, fate) in input.rows.iter().zip(&draft.fates) {
            match fate {
                Fate::Expires => changes.rows.push(Change::Expire { id: row.id }),
                Fate::HistoryLowerCase => changes.rows.push(Change::LowerCase { id: row.id }),
                Fate::Committed | Fate::OfMessage | Fate::History | Fate::Deleted(_) => {}
            }
        }
        if let Some(contact) = draft.contact() {
            let mut inserts = Vec::new();
            for outcome in &outcomes {
                let wanted = outcome.wanted(contact);
                match outcome.message.row.map(|at| &input.rows[at]) {
                    None => inserts.push(Change::Insert(wanted)),
                    Some(row) if row.is(&wanted, self.catalog()) => {}
                    Some(row) => changes.rows.push(Change::Update { id: row.id, row: wanted }),
                }
            }
            changes.rows.append(&mut inserts);
        }
        for target in input.targets {
            let status = target_status(target, input.rows, self.catalog(), |aim| {
                aim.status_of_message(&outcomes)
                    .or_else(|| aim.status_of_leftover(input.rows, &draft.fates))
            });
            if status != target.status {
                changes.targets.push((target.id, status));
            }
        }
        Ok(())
    }

    /// Whether a target's status does not fit the rows as they are.
    pub fn has_stale_targets(&self, input: &ContactInput<'_>) -> bool {
        input.targets.iter().any(|target| {
            let status = target_status(target, input.rows, self.catalog(), |aim| {
                let row =
                    input.rows.iter().find(|row| row.status.is_owned() && aim.has_row(row))?;
                Some(if row.status == Status::PreScheduled {
                    TargetStatus::Scheduled
                } else {
                    TargetStatus::Skipped
                })
            });
            status != target.status
        })
    }
}

/// A target of an instance that exists, and what its rows and message are known by.
struct Aim {
    kind: KindId,
    targets_all: bool,
    trigger: Option<Day>,
}

impl Aim {
    fn of(target: &Target, catalog: &Catalog) -> Option<Self> {
        let index = target.campaign?;
        let campaign = &catalog.campaigns()[usize::from(index)];
        Some(Self {
            kind: catalog.id_of(KindClass::Campaign(index)),
            targets_all: campaign.targets_all,
            trigger: if campaign.targets_all {
                campaign.active_start
            } else {
                target.trigger.ok().flatten()
            },
        })
    }

    fn is_of_kind(&self, row: &ExistingRow) -> bool {
        row.kind == StoredKind::Known(self.kind)
    }

    /// Whether the sender has sent the message.
    fn is_sent(&self, rows: &[ExistingRow]) -> bool {
        rows.iter().any(|row| {
            matches!(row.status, Status::Committed { sent: true, .. })
                && self.is_of_kind(row)
                && (self.targets_all
                    || (self.trigger.is_some()
                        && (!row.event.is_complete() || row.event.date() == self.trigger)))
        })
    }

    fn has_row(&self, row: &ExistingRow) -> bool {
        self.is_of_kind(row) && self.trigger.is_some() && row.event.date() == self.trigger
    }

    fn status_of_message(&self, outcomes: &[Outcome<'_>]) -> Option<TargetStatus> {
        let outcome = outcomes.iter().find(|outcome| {
            outcome.message.kind == self.kind
                && self.trigger.is_some()
                && outcome.message.event.date() == self.trigger
        })?;
        Some(if outcome.is_planned() { TargetStatus::Scheduled } else { TargetStatus::Skipped })
    }

    /// The status by an owned row that remains although its message is not considered.
    fn status_of_leftover(&self, rows: &[ExistingRow], fates: &[Fate]) -> Option<TargetStatus> {
        rows.iter().zip(fates).find_map(|(row, fate)| {
            let remains = matches!(fate, Fate::Expires | Fate::History | Fate::HistoryLowerCase);
            (remains && self.has_row(row)).then_some(TargetStatus::Skipped)
        })
    }
}

/// The status of a target after a run (SPEC section 7): `sent` stays; `sent` if the message was; else
/// as its owned row is; else `pending`.
fn target_status(
    target: &Target,
    rows: &[ExistingRow],
    catalog: &Catalog,
    of_owned_row: impl FnOnce(&Aim) -> Option<TargetStatus>,
) -> TargetStatus {
    if target.status == TargetStatus::Sent {
        return TargetStatus::Sent;
    }
    match Aim::of(target, catalog) {
        Some(aim) if aim.is_sent(rows) => TargetStatus::Sent,
        Some(aim) => of_owned_row(&aim).unwrap_or(TargetStatus::Pending),
        None => TargetStatus::Pending,
    }
}
