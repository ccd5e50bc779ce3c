//! Step 4 of section 6: one campaign message and one follow-up a day.

use smallvec::SmallVec;

use super::{Draft, Placement, place::days};
use crate::{ContactInput, Day, Exclusions, ExistingRow, KindClass, Planner, Status};

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
                // A message that had the day in the last run and was refused there keeps it before
                // those that gave way to it, or a second run on the same day would differ.
                let was_refused =
                    || message.row.is_some_and(|row| input.rows[row].reason.is_frequency());
                let rank = match message.placement {
                    Placement::Kept { planned: true } => 0,
                    Placement::Kept { planned: false } if was_refused() => 1,
                    _ => 2,
                };
                // Follow-ups go by their initial row alone.
                let instance = match message.initial_id {
                    Some(initial) => initial,
                    None => message.instance_id.unwrap_or(0),
                };
                (message.priority, rank, instance, message.event)
            });
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
                    Some(day) => draft.messages[*at].date = day,
                    None => {
                        draft.messages[*at].placement =
                            Placement::LowerPriority { than: than.clone() };
                    }
                }
            }
        }
    }
}
