//! The days on which nothing may go out to a contact (SPEC section 4).

use std::fmt;

use smallvec::SmallVec;

use crate::{
    Anniversary, Day, State, Today,
    rule::{Rule, RuleKind, RuleTable, Span},
};

/// Which sort of rule closes a date. Orders as reasons take precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowClass {
    /// `all year`.
    YearRound,
    /// A window around a birthday.
    Birthday,
    /// A window around the policy effective date.
    EffectiveDate,
}

/// Why a date is excluded: the rule that takes precedence among those that exclude it.
///
/// Prints as the skip reason of SPEC section 4, for example `Birthday exclusion window for CA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowReason {
    /// The sort of rule.
    pub class: WindowClass,
    /// The state whose rule it is.
    pub state: State,
}

impl WindowReason {
    const TEXTS: [(WindowClass, &'static str); 3] = [
        (WindowClass::Birthday, "Birthday exclusion window for "),
        (WindowClass::EffectiveDate, "Effective date exclusion window for "),
        (WindowClass::YearRound, "Year-round exclusion for "),
    ];

    /// Reads a skip reason exactly as it is printed.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (start, code) = text.split_last_chunk::<2>()?;
        let (class, _) = Self::TEXTS.iter().find(|(_, text)| text.as_bytes() == start)?;
        let state = State::from_bytes(code).filter(|state| state.code().as_bytes() == code)?;
        Some(Self { class: *class, state })
    }
}

impl fmt::Display for WindowReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = match self.class {
            WindowClass::Birthday => Self::TEXTS[0].1,
            WindowClass::EffectiveDate => Self::TEXTS[1].1,
            WindowClass::YearRound => Self::TEXTS[2].1,
        };
        write!(f, "{start}{}", self.state)
    }
}

/// The exclusion window of one occurrence, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first excluded day: `anchor - B - pre_window_days`.
    pub first: Day,
    /// The last excluded day: `anchor + A`.
    pub last: Day,
    /// The first day of the statutory window: `anchor - B`.
    pub statutory_first: Day,
    /// The occurrence's date, or the first day of its month.
    pub anchor: Day,
    /// The rule's sort and state.
    pub reason: WindowReason,
}

impl Window {
    fn holds(&self, day: Day) -> bool {
        self.first <= day && day <= self.last
    }
}

/// Windows of one contact that overlap or touch, as one stretch of days; both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedPeriod {
    /// The first day; `None` if the stretch begins before all days that were looked at.
    pub first: Option<Day>,
    /// The last day; `None` if the stretch goes on beyond all days that were looked at.
    pub last: Option<Day>,
}

type RuleList<'r> = SmallVec<[(WindowReason, &'r Rule); 4]>;
type Windows = SmallVec<[Window; 12]>;

/// One contact's rules and dates: answers which days are excluded, and why.
#[derive(Clone, Debug)]
pub struct Exclusions<'r> {
    /// In order of precedence.
    rules: RuleList<'r>,
    birth: Option<Anniversary>,
    effective: Option<Anniversary>,
    pre_window_days: i32,
    /// The windows with anchors from two years before to two years after the year of the plan:
    /// all windows that reach into `near`.
    windows: Windows,
    near: (Day, Day),
}

impl<'r> Exclusions<'r> {
    /// The exclusions of a contact under the rules of `states` (one, or two where the ZIP code and
    /// the stored state differ).
    pub fn new(
        table: &'r RuleTable,
        states: impl IntoIterator<Item = State>,
        birth: Option<Anniversary>,
        effective: Option<Anniversary>,
        pre_window_days: i32,
        today: Today,
    ) -> Self {
        // Filled where it stays: it is large.
        let mut this = Self {
            rules: RuleList::new(),
            birth,
            effective,
            pre_window_days,
            windows: Windows::new(),
            near: (today.day, today.day - 1),
        };
        for state in states {
            for rule in table.of(state) {
                let class = match rule.kind {
                    RuleKind::AllYear => WindowClass::YearRound,
                    RuleKind::Birthday(_) | RuleKind::BirthdayMonth(_) => WindowClass::Birthday,
                    RuleKind::EffectiveDate(_) => WindowClass::EffectiveDate,
                };
                this.rules.push((WindowReason { class, state }, rule));
            }
        }
        if !this.rules.is_empty() {
            this.rules.sort_by_key(|(reason, _)| *reason);
            this.windows = this.windows_of_years(today.year - 2, today.year + 2);
            this.near = (first_of_year(today.year - 1), first_of_year(today.year + 2) - 1);
        }
        this
    }

    /// Whether there is no rule at all, so that every day is open.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Why `day` is excluded, or `None` if it is open.
    pub fn reason_on(&self, day: Day) -> Option<WindowReason> {
        if self.rules.is_empty() {
            return None;
        }
        self.year_round_on(day).or_else(|| {
            self.with_windows_around(day, |windows| {
                windows.iter().filter(|window| window.holds(day)).map(|window| window.reason).min()
            })
        })
    }

    /// Whether nothing may go out on `day`.
    pub fn excludes(&self, day: Day) -> bool {
        self.reason_on(day).is_some()
    }

    /// Whether a window (not only an `all year` rule) holds `day`.
    pub fn in_closed_period(&self, day: Day) -> bool {
        !self.rules.is_empty()
            && self.with_windows_around(day, |windows| windows.iter().any(|w| w.holds(day)))
    }

    /// The last day of the closed period that holds `day`; `None` if no period does, or if it goes
    /// on beyond `limit`.
    pub fn closed_period_end(&self, day: Day, limit: Day) -> Option<Day> {
        if !self.in_closed_period(day) {
            return None;
        }
        let mut end = day;
        loop {
            // A window belongs to the period when it touches it: it holds the day after the end so
            // far, or the end itself.
            let reach = self.with_windows_around(end, |windows| {
                windows.iter().filter(|w| w.first <= end + 1 && w.last > end).map(|w| w.last).max()
            });
            match reach {
                None => return (end <= limit).then_some(end),
                Some(last) if last > limit => return None,
                Some(last) => end = last,
            }
        }
    }

    /// The first day of the closed period that holds `day`; `None` if no period does, or if it
    /// begins before `limit`.
    pub fn closed_period_start(&self, day: Day, limit: Day) -> Option<Day> {
        if !self.in_closed_period(day) {
            return None;
        }
        let mut start = day;
        loop {
            let reach = self.with_windows_around(start, |windows| {
                windows
                    .iter()
                    .filter(|w| w.last >= start - 1 && w.first < start)
                    .map(|w| w.first)
                    .min()
            });
            match reach {
                None => return (start >= limit).then_some(start),
                Some(first) if first < limit => return None,
                Some(first) => start = first,
            }
        }
    }

    /// The last days from `from` to `to` (both included) of closed periods, ascending.
    pub fn period_ends(&self, from: Day, to: Day) -> SmallVec<[Day; 4]> {
        let mut ends = SmallVec::new();
        if self.rules.is_empty() {
            return ends;
        }
        let others;
        let windows = if from >= self.near.0 && to <= self.near.1 {
            &self.windows
        } else {
            others = self.windows_of_years(from.year() - 1, to.year() + 1);
            &others
        };
        for window in windows.iter().filter(|w| w.last >= from && w.last <= to) {
            if !self.in_closed_period(window.last + 1) {
                ends.push(window.last);
            }
        }
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// The windows that reach into the days from `from` to `to`, by first day.
    pub fn windows_between(&self, from: Day, to: Day) -> Vec<Window> {
        let mut windows: Vec<Window> = self
            .windows_of_years(from.year() - 1, to.year() + 1)
            .into_iter()
            .filter(|window| window.last >= from && window.first <= to)
            .collect();
        windows.sort_by_key(|window| (window.first, window.last, window.reason));
        windows
    }

    /// The reason of the first `all year` rule that holds on `day`.
    fn year_round_on(&self, day: Day) -> Option<WindowReason> {
        self.rules
            .iter()
            .take_while(|(reason, _)| reason.class == WindowClass::YearRound)
            .find(|(_, rule)| rule.holds_on(day, || self.age_on(day)))
            .map(|(reason, _)| *reason)
    }

    fn age_on(&self, day: Day) -> Option<i32> {
        self.birth.map(|birth| birth.completed_years(day))
    }

    /// Calls `look` with windows among which are all that hold `day`, or a neighbour of it.
    fn with_windows_around<T>(&self, day: Day, look: impl FnOnce(&[Window]) -> T) -> T {
        if day > self.near.0 && day < self.near.1 {
            look(&self.windows)
        } else {
            let year = day.year();
            look(&self.windows_of_years(year.saturating_sub(2), year.saturating_add(2)))
        }
    }

    /// The windows of the occurrences in these years. A window is shorter than a year, so those of
    /// one year more on each side are all that can hold a day.
    fn windows_of_years(&self, from: i16, to: i16) -> Windows {
        let mut windows = Windows::new();
        for (reason, rule) in &self.rules {
            let (anniversary, span, month_start) = match rule.kind {
                RuleKind::AllYear => continue,
                RuleKind::Birthday(span) => (self.birth, span, false),
                RuleKind::BirthdayMonth(span) => (self.birth, span, true),
                RuleKind::EffectiveDate(span) => (self.effective, span, false),
            };
            let Some(anniversary) = anniversary else { continue };
            for occurrence in (from.max(1)..=to.min(9999)).filter_map(|y| anniversary.in_year(y)) {
                let anchor = if month_start { occurrence.month_start() } else { occurrence };
                if rule.holds_on(anchor, || self.age_on(anchor)) {
                    windows.push(self.window(anchor, span, *reason));
                }
            }
        }
        windows
    }

    fn window(&self, anchor: Day, span: Span, reason: WindowReason) -> Window {
        let statutory_first = anchor - i32::from(span.before_days);
        Window {
            first: statutory_first - self.pre_window_days,
            last: anchor + i32::from(span.after_days),
            statutory_first,
            anchor,
            reason,
        }
    }
}

fn first_of_year(year: i16) -> Day {
    Day::from_date(jiff::civil::date(year.clamp(1, 9999), 1, 1))
}
