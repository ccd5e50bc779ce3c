//! What happens to owned rows that are not the row of a message (SPEC sections 5 and 9).

use super::{Draft, Fate};
use crate::{ContactInput, DeleteReason, ExistingRow, Planner, Status, StoredKind};

impl Planner<'_> {
    /// Decides on every owned row that is not the row of a message.
    pub(super) fn settle_rows_without_message(
        &self,
        input: &ContactInput<'_>,
        draft: &mut Draft,
        why: Option<DeleteReason>,
    ) {
        for message in &draft.messages {
            if let Some(row) = message.row {
                draft.fates[row] = Fate::OfMessage;
            }
        }
        for at in 0..input.rows.len() {
            let row = &input.rows[at];
            if draft.fates[at] != Fate::History {
                continue;
            }
            draft.fates[at] = match (row.date, row.status) {
                (Some(date), _) if date >= self.today.day => {
                    Fate::Deleted(why.unwrap_or_else(|| {
                        let handled = input
                            .rows
                            .iter()
                            .any(|other| !other.status.is_owned() && other.kind == row.kind);
                        if handled { DeleteReason::Handled } else { DeleteReason::NotPlanned }
                    }))
                }
                (_, Status::PreScheduled) => Fate::Expires,
                _ if !row.kind_is_lower() => Fate::HistoryLowerCase,
                _ => Fate::History,
            };
        }
    }
}

/// Whether an owned row takes part in planning: it is not a duplicate that goes.
pub(super) fn is_live(row: &ExistingRow, fate: Fate) -> bool {
    row.status.is_owned() && fate == Fate::History
}

/// Of several owned rows of one event key one is kept: a `pre-scheduled` one before a `skipped`
/// one, then the lowest id (SPEC section 9).
pub(super) fn mark_duplicates(rows: &[ExistingRow], fates: &mut [Fate]) {
    if have_kinds_of_their_own(rows) {
        return;
    }
    for at in 0..rows.len() {
        if !is_live(&rows[at], fates[at]) {
            continue;
        }
        let mut best = at;
        for other in at + 1..rows.len() {
            if !is_live(&rows[other], fates[other]) || !same_event_key(&rows[at], &rows[other]) {
                continue;
            }
            let rank = |i: usize| (rows[i].status != Status::PreScheduled, rows[i].id);
            let loser =
                if rank(other) < rank(best) { std::mem::replace(&mut best, other) } else { other };
            fates[loser] = Fate::Deleted(DeleteReason::Duplicate);
        }
    }
}

/// Whether no two rows are of one kind, and none is a follow-up, so that no two have one event key.
/// False also for kinds that are not counted here.
fn have_kinds_of_their_own(rows: &[ExistingRow]) -> bool {
    let mut seen = 0_u64;
    rows.iter().all(|row| {
        let StoredKind::Known(kind) = row.kind else { return false };
        let bit = 1_u64.checked_shl(kind.0.into()).unwrap_or(0);
        let is_first = bit & !seen != 0 && !row.is_follow_up;
        seen |= bit;
        is_first
    })
}

pub(super) fn same_event_key(a: &ExistingRow, b: &ExistingRow) -> bool {
    if a.is_follow_up && b.is_follow_up && a.initial_id.is_some() {
        return a.initial_id == b.initial_id;
    }
    // Only follow-ups have an initial row: what another kind's row names is no part of its key.
    a.kind == b.kind
        && a.event.is_complete()
        && a.event == b.event
        && a.instance_id.unwrap_or(0) == b.instance_id.unwrap_or(0)
        && (!a.is_follow_up || a.initial_id == b.initial_id)
}
