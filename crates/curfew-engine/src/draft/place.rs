//! Steps 1 to 3 of section 6: a message keeps its date, is caught up, or goes to its ideal date.

use super::{Message, Placement};
use crate::{Day, Exclusions, ExistingRow, KindClass, Planner, Status};

impl Planner<'_> {
    /// A row skipped for the frequency limit or lower priority on a past day stays as history.
    pub(super) fn is_history(&self, row: &ExistingRow) -> bool {
        row.status == Status::Skipped
            && (row.reason.is_frequency() || row.reason.is_lower_priority())
            && row.date.is_some_and(|date| date < self.today.day)
    }

    /// Steps 1 to 3 of section 6, except for the decision whether effective-date messages are
    /// spread, which depends on all contacts.
    pub(super) fn place(
        &self,
        message: &mut Message,
        contact_id: i64,
        exclusions: &Exclusions<'_>,
        rows: &[ExistingRow],
    ) {
        let today = self.today.day;
        let open = |day: Day| !message.respects_windows || !exclusions.excludes(day);
        if message.respects_windows
            && let Some(reason) = exclusions.reason_on(message.ideal)
        {
            message.placement = Placement::Excluded(reason);
            return;
        }

        if let Some(row) = message.row.map(|at| &rows[at])
            && let Some(date) = row.date
            && (row.status == Status::PreScheduled
                || row.reason.is_frequency()
                || row.reason.is_lower_priority())
            && date >= today
            && date <= message.deadline
            && row.shift_days == Some((date - message.ideal).into())
            && open(date)
        {
            message.placement = Placement::Kept { planned: row.status == Status::PreScheduled };
            message.date = date;
            return;
        }

        let kind = self.catalog.kind(message.kind);
        let hash = || spreading_hash(contact_id, &kind.text, message.hash_year());
        if message.ideal < today {
            let left = u64::try_from(message.deadline - today).expect("the deadline is not past");
            let wanted = if left == 0 {
                today
            } else {
                let spread = match kind.class {
                    KindClass::FollowUp(_) => 1,
                    _ => u64::from(self.config.catch_up_spread_days),
                };
                let sum = i128::from(hash()) + i128::from(today.number());
                let offset = sum.rem_euclid(i128::from(spread.min(left)));
                today + 1 + i32::try_from(offset).expect("below the spread")
            };
            let first = if left == 0 { today } else { today + 1 };
            let later = days(wanted, message.deadline).find(|day| open(*day));
            let date = later.or_else(|| days(first, wanted - 1).rev().find(|day| open(*day)));
            if let Some(date) = date {
                message.placement = Placement::CaughtUp { wanted };
                message.date = date;
            } else {
                let reason = exclusions.reason_on(wanted).expect("the day is not open");
                message.placement = Placement::NoOpenDay { wanted, reason };
            }
        } else if kind.class == KindClass::EffectiveDate {
            let window = self.config.ed_smoothing_window_days;
            let place = hash() % u64::from(window);
            let shift = i32::try_from(place).expect("below the window") - i32::from(window / 2);
            let day = message.ideal + shift;
            if day >= today && day <= message.deadline && open(day) {
                let spread_days = i8::try_from(shift).expect("the window is at most 255 days");
                message.placement = Placement::Ideal { spread_days };
            }
        }
    }
}

/// `h` of SPEC section 6: the 64-bit FNV-1a hash of `<contact id>-<kind>-<event year>`.
///
/// ```
/// // The offset basis and prime are those of the algorithm's published 64-bit variant.
/// assert_eq!(curfew_engine::spreading_hash(1, "birthday", 2026), 0xe720_2145_2d7e_42ab);
/// ```
pub fn spreading_hash(contact_id: i64, kind: &str, event_year: i64) -> u64 {
    struct Fnv(u64);
    impl std::fmt::Write for Fnv {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for byte in text.bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
            Ok(())
        }
    }
    let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
    std::fmt::Write::write_fmt(&mut fnv, format_args!("{contact_id}-{kind}-{event_year}"))
        .expect("hashing does not fail");
    fnv.0
}

/// The days from `first` to `last`, both included; none if `last` is before `first`.
pub(super) fn days(first: Day, last: Day) -> impl DoubleEndedIterator<Item = Day> {
    (first.number()..=last.number()).map(Day::new)
}
