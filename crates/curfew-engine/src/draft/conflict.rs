//! Step 4 of section 6: one campaign message and one follow-up a day.

use smallvec::SmallVec;

use super::{Draft, Placement, place::days};
use crate::{ContactInput, Day, Exclusions, ExistingRow, KindClass, Planner, Status, StoredReason};

impl Planner<'_> {
    /// Step 4: of several campaign messages (or follow-ups) on one day one stays.
    pub(super) fn resolve_conflicts(
        &self,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        draft: &mut Draft,
        is_row: fn(&ExistingRow) -> bool,
        is_class: fn(KindClass) -> bool,
    ) {
        let group: SmallVec<[usize; 8]> = (0..draft.messages.len())
            .filter(|at| {
                let message = &draft.messages[*at];
                message.is_dated() && is_class(self.catalog.kind(message.kind).class)
            })
            .collect();
        let committed = |day: Day| {
            input.rows.iter().find(|row| {
                matches!(row.status, Status::Committed { counts: true, .. })
                    && is_row(row)
                    && row.date == Some(day)
            })
        };
        if group.is_empty()
            || (group.len() == 1 && committed(draft.messages[group[0]].date).is_none())
        {
            return;
        }
        let mut dates: SmallVec<[Day; 8]> =
            group.iter().map(|at| draft.messages[*at].date).collect();
        dates.sort_unstable();
        dates.dedup();
        // Moved messages only go to days that have none, so that these dates are all to look at.
        for date in dates {
            let mut rivals: SmallVec<[usize; 8]> = group
                .iter()
                .copied()
                .filter(|at| draft.messages[*at].is_dated() && draft.messages[*at].date == date)
                .collect();
            rivals.sort_by_key(|at| {
                let message = &draft.messages[*at];
                let is_planned = message.placement == Placement::Kept { planned: true };
                // Follow-ups go by their initial row alone.
                let instance = match message.initial_id {
                    Some(initial) => initial,
                    None => message.instance_id.unwrap_or(0),
                };
                (message.priority, !is_planned, instance, message.event)
            });
            refused_before_what_gave_way(&mut rivals, draft, input);
            let (than, movers): (Box<str>, &[usize]) = match (committed(date), rivals.split_first())
            {
                (Some(row), _) => (row.kind_text(self.catalog).into(), &rivals),
                (None, Some((stays, movers))) => {
                    let kind = draft.messages[*stays].kind;
                    (self.catalog.kind(kind).text.clone(), movers)
                }
                (None, None) => continue,
            };
            for at in movers {
                let message = &draft.messages[*at];
                let free = days(date + 1, message.deadline).find(|day| {
                    (!message.respects_windows || !exclusions.excludes(*day))
                        && committed(*day).is_none()
                        && !group.iter().any(|other| {
                            let other = &draft.messages[*other];
                            other.is_dated() && other.date == *day
                        })
                });
                match free {
                    Some(day) => {
                        draft.messages[*at].date = day;
                        draft.messages[*at].gave_way_on = Some(date);
                    }
                    None => {
                        draft.messages[*at].placement =
                            Placement::LowerPriority { than: than.clone() };
                    }
                }
            }
        }
    }
}

/// A message that had the day in the last run, and was refused by the frequency limit afterwards, has
/// it before one that gave way to it then: else a second run on the same day would change both.
fn refused_before_what_gave_way(rivals: &mut [usize], draft: &Draft, input: &ContactInput<'_>) {
    let is_kept_from = |at: usize, is_reason: fn(&StoredReason) -> bool| {
        let message = &draft.messages[at];
        message.placement == Placement::Kept { planned: false }
            && message.row.is_some_and(|row| is_reason(&input.rows[row].reason))
    };
    let Some(first) = rivals.first() else { return };
    if !is_kept_from(*first, StoredReason::is_lower_priority) {
        return;
    }
    let priority = draft.messages[*first].priority;
    let refused = rivals.iter().position(|at| {
        draft.messages[*at].priority == priority && is_kept_from(*at, StoredReason::is_frequency)
    });
    if let Some(place) = refused {
        rivals[..=place].rotate_right(1);
    }
}
