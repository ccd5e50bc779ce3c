//! Exclusion windows once more, as plainly as SPEC section 4 says it: calendar dates, every
//! occurrence of every year, one day after the other. Shares nothing with the engine but the rules
//! as data.

use curfew_engine::{
    Day, State,
    rule::{Rule, RuleKind, RuleTable, Span},
};
use jiff::{ToSpan as _, civil::Date};

/// What is known of a contact where windows are concerned.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) states: Vec<State>,
    pub(crate) birth: Option<Date>,
    pub(crate) effective: Option<Date>,
}

/// One exclusion window, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NaiveWindow {
    pub(crate) first: Date,
    pub(crate) last: Date,
    /// 0 year-round, 1 birthday, 2 effective date.
    rank: u8,
    state: State,
}

pub(crate) fn date(day: Day) -> Date {
    day.to_date()
}

fn days_later(date: Date, days: i64) -> Date {
    date.checked_add(days.days()).expect("a date of our times")
}

fn is_leap(year: i16) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The occurrence of a date in a year.
fn occurrence(original: Date, year: i16) -> Date {
    let (month, day) = (original.month(), original.day());
    let day = if (month, day) == (2, 29) && !is_leap(year) { 28 } else { day };
    Date::new(year, month, day).expect("a real date")
}

/// Completed years on a date: how many occurrences after the original date have been.
fn age(birth: Date, on: Date) -> i32 {
    let this_year = occurrence(birth, on.year());
    i32::from(on.year()) - i32::from(birth.year()) - i32::from(on < this_year)
}

fn conditions_hold(rule: &Rule, on: Date, birth: Option<Date>) -> bool {
    let years = birth.map(|birth| age(birth, on));
    rule.from.is_none_or(|from| date(from) <= on)
        && rule.until.is_none_or(|until| on <= date(until))
        && rule.age_min.is_none_or(|low| years.is_none_or(|years| i32::from(low) <= years))
        && rule.age_max.is_none_or(|high| years.is_none_or(|years| years <= i32::from(high)))
}

/// The windows with anchors from the year before `from` to the year after `to`.
pub(crate) fn windows(
    person: &Person,
    table: &RuleTable,
    pre_window_days: u16,
    from: Date,
    to: Date,
) -> Vec<NaiveWindow> {
    let mut windows = Vec::new();
    for state in &person.states {
        for rule in table.of(*state) {
            let (original, Span { before_days, after_days }, rank) = match rule.kind {
                RuleKind::Birthday(span) | RuleKind::BirthdayMonth(span) => (person.birth, span, 1),
                RuleKind::EffectiveDate(span) => (person.effective, span, 2),
                RuleKind::AllYear => continue,
            };
            let Some(original) = original else { continue };
            for year in original.year().max(from.year() - 1)..=to.year() + 1 {
                let mut anchor = occurrence(original, year);
                if matches!(rule.kind, RuleKind::BirthdayMonth(_)) {
                    anchor = Date::new(anchor.year(), anchor.month(), 1).expect("a real date");
                }
                if conditions_hold(rule, anchor, person.birth) {
                    let before = i64::from(before_days) + i64::from(pre_window_days);
                    windows.push(NaiveWindow {
                        first: days_later(anchor, -before),
                        last: days_later(anchor, after_days.into()),
                        rank,
                        state: *state,
                    });
                }
            }
        }
    }
    windows
}

/// The skip reason on a date, given all windows around it; `None`: it is open.
pub(crate) fn reason(
    person: &Person,
    table: &RuleTable,
    windows: &[NaiveWindow],
    on: Date,
) -> Option<String> {
    let mut reasons: Vec<(u8, State)> = windows
        .iter()
        .filter(|window| window.first <= on && on <= window.last)
        .map(|window| (window.rank, window.state))
        .collect();
    for state in &person.states {
        for rule in table.of(*state) {
            if rule.kind == RuleKind::AllYear && conditions_hold(rule, on, person.birth) {
                reasons.push((0, *state));
            }
        }
    }
    let (rank, state) = reasons.into_iter().min()?;
    Some(match rank {
        0 => format!("Year-round exclusion for {state}"),
        1 => format!("Birthday exclusion window for {state}"),
        _ => format!("Effective date exclusion window for {state}"),
    })
}

/// The skip reason on a date; `None`: it is open.
pub(crate) fn reason_on(
    person: &Person,
    table: &RuleTable,
    pre_window_days: u16,
    on: Date,
) -> Option<String> {
    reason(person, table, &windows(person, table, pre_window_days, on, on), on)
}
