//! Exclusion windows against a second, naive implementation: every day of eight years, every rule
//! (SPEC section 4). The years hold two leap days and, with 2100, a leap day that is missing.

mod support;

use curfew_engine::{
    Anniversary, Day, Exclusions, State, Today,
    rule::{RuleKind, RuleTable, default_table},
};
use support::{
    day,
    naive::{self, NaiveWindow, Person},
    rules,
};

const FIRST_YEAR: i16 = 2023;
const LAST_YEAR: i16 = 2030;

/// Every month and day that there is, in a leap year.
fn all_birthdays() -> impl Iterator<Item = Day> {
    let first = day("1960-01-01");
    (0..366).map(move |ahead| first + ahead)
}

fn first_of(year: i16) -> Day {
    Day::from_ymd(year, 1, 1).expect("a year of our times")
}

fn person(states: &[State], birth: Option<Day>, effective: Option<Day>) -> Person {
    Person {
        states: states.to_vec(),
        birth: birth.map(naive::date),
        effective: effective.map(naive::date),
    }
}

/// Compares the engine with the naive windows on every day from the first of `years.0` to the last
/// of `years.1`, planning on the first of July of each of these years.
fn compare_years(
    table: &RuleTable,
    states: &[State],
    birth: Option<Day>,
    effective: Option<Day>,
    pre_window_days: u16,
    years: (i16, i16),
) {
    let person = person(states, birth, effective);
    let (from, to) = (first_of(years.0), first_of(years.1 + 1) - 1);
    let windows = naive::windows(
        &person,
        table,
        pre_window_days,
        naive::date(from - 800),
        naive::date(to + 800),
    );
    let marks = Marks::new(&windows, from - 400, to + 400);
    for year in years.0..=years.1 {
        let today = day(&format!("{year}-07-01"));
        let today = Today::new(today).expect("a year of our times");
        let exclusions = Exclusions::new(
            table,
            states.iter().copied(),
            birth.map(Anniversary::of),
            effective.map(Anniversary::of),
            pre_window_days.into(),
            today,
        );
        let context =
            |on: Day| format!("{states:?} born {birth:?} effective {effective:?} on {on}");
        let mut on = first_of(year);
        while on < first_of(year + 1) {
            assert_eq!(exclusions.in_closed_period(on), marks.is_marked(on), "{}", context(on));
            // The naive reason looks at every window: ask for it at edges, and now and then.
            let is_edge = marks.is_marked(on) != marks.is_marked(on - 1)
                || marks.is_marked(on) != marks.is_marked(on + 1);
            if is_edge || on.number() % 16 == 0 {
                let expected = naive::reason(&person, table, &windows, naive::date(on));
                let found = exclusions.reason_on(on).map(|reason| reason.to_string());
                assert_eq!(found, expected, "{}", context(on));
                let (start, end) = marks.period_around(on);
                let found = (
                    exclusions.closed_period_start(on, today.day - 1100),
                    exclusions.closed_period_end(on, today.day + 1100),
                );
                assert_eq!(found, (start, end), "{}", context(on));
            }
            on += 1;
        }
        let (first, last) = (first_of(year), first_of(year + 1) - 1);
        let ends: Vec<Day> = (first.number()..=last.number())
            .map(Day::new)
            .filter(|day| marks.is_marked(*day) && !marks.is_marked(*day + 1))
            .collect();
        assert_eq!(exclusions.period_ends(first, last).to_vec(), ends, "{}", context(first));
    }
}

/// One mark for every day that lies in a window.
struct Marks {
    first: Day,
    marks: Vec<bool>,
}

impl Marks {
    fn new(windows: &[NaiveWindow], first: Day, last: Day) -> Self {
        let mut marks = vec![false; usize::try_from(last - first + 1).expect("ascending")];
        for window in windows {
            let (from, to) = (Day::from_date(window.first), Day::from_date(window.last));
            for number in from.number()..=to.number() {
                if let Ok(place) = usize::try_from(Day::new(number) - first)
                    && let Some(mark) = marks.get_mut(place)
                {
                    *mark = true;
                }
            }
        }
        Self { first, marks }
    }

    fn is_marked(&self, day: Day) -> bool {
        self.marks[usize::try_from(day - self.first).expect("within the marks")]
    }

    /// First and last day of the closed period that holds `day`.
    fn period_around(&self, day: Day) -> (Option<Day>, Option<Day>) {
        if !self.is_marked(day) {
            return (None, None);
        }
        let (mut start, mut end) = (day, day);
        while self.is_marked(start - 1) {
            start = start - 1;
        }
        while self.is_marked(end + 1) {
            end += 1;
        }
        (Some(start), Some(end))
    }
}

fn compare(table: &RuleTable, states: &[State], birth: Option<Day>, effective: Option<Day>) {
    compare_years(table, states, birth, effective, 60, (FIRST_YEAR, LAST_YEAR));
}

fn state(code: &str) -> State {
    State::from_code(code).expect("a state")
}

#[test]
fn the_default_table_is_that_of_the_specification() {
    assert_eq!(default_table(), rules::table(rules::DEFAULT_TABLE));
}

#[test]
fn every_birthday_has_the_windows_of_the_default_table() {
    let table = default_table();
    for (state, list) in table.states() {
        if list.iter().any(|rule| matches!(rule.kind, RuleKind::EffectiveDate(_))) {
            continue;
        }
        for birth in all_birthdays() {
            compare(&table, &[state], Some(birth), None);
        }
    }
}

#[test]
fn every_effective_date_has_the_windows_of_missouri() {
    let table = default_table();
    for ahead in 0..366 {
        // Policies from before these years, and such as begin in the middle of them.
        compare(&table, &[state("MO")], None, Some(day("2012-01-01") + ahead));
        compare(&table, &[state("MO")], Some(day("1960-03-01")), Some(day("2026-05-20") + ahead));
    }
}

#[test]
fn states_without_a_rule_are_open_on_every_day() {
    let table = default_table();
    let ruled = ["CA", "CT", "ID", "KY", "MA", "MD", "MO", "NV", "NY", "OK", "OR", "VA", "WA"];
    let found: Vec<&str> = table.states().map(|(state, _)| state.code()).collect();
    assert_eq!(found, ruled);
    for state in State::all().filter(|state| !ruled.contains(&state.code())) {
        let birth = Some(day("1960-02-29"));
        compare(&table, &[state], birth, Some(day("2020-06-01")));
    }
}

#[test]
fn year_round_states_are_closed_on_every_day() {
    let table = default_table();
    for code in ["CT", "MA", "NY", "WA"] {
        for number in first_of(FIRST_YEAR).number()..first_of(LAST_YEAR + 1).number() {
            let on = Day::new(number);
            let today = Today::new(on).unwrap();
            let exclusions = Exclusions::new(&table, [state(code)], None, None, 60, today);
            let reason = exclusions.reason_on(on).map(|reason| reason.to_string());
            assert_eq!(reason, Some(format!("Year-round exclusion for {code}")));
            assert!(!exclusions.in_closed_period(on), "a year-round rule is no closed period");
        }
    }
}

#[test]
fn the_rules_of_two_states_hold_together() {
    let table = default_table();
    let pairs =
        [("CA", "NV"), ("NV", "CA"), ("MO", "OR"), ("NY", "ID"), ("KY", "MO"), ("TX", "MD")];
    for (one, other) in pairs {
        for ahead in (0..366).step_by(3) {
            let birth = Some(day("1960-01-01") + ahead);
            for effective in ["2019-02-28", "2020-02-29", "2024-11-01"] {
                compare(&table, &[state(one), state(other)], birth, Some(day(effective)));
            }
        }
    }
}

#[test]
fn conditions_look_at_the_anchor() {
    let lists: [&[&str]; 10] = [
        &["TX: birthday -30..+60 age 65..66"],
        &["TX: birthday from month start -0..+60 age 65.."],
        &["TX: birthday from month start -10..+200 age ..65"],
        &["TX: effective date -30..+33 age 66..67"],
        &["TX: birthday -0..+60 from 2025-02-28 until 2027-02-28"],
        &["TX: birthday from month start -0..+60 from 2025-02-01"],
        &["TX: effective date -30..+33 until 2026-06-15"],
        &["TX: all year age 65..66", "TX: birthday -5..+5"],
        &["TX: all year from 2025-03-01 until 2026-02-28"],
        &["TX: birthday -30..+60 age ..65", "TX: effective date -0..+90 age 66.. until 2028-01-01"],
    ];
    for list in lists {
        let table = rules::table(list.iter().copied());
        for ahead in (0..366).step_by(5) {
            // They turn 65 in 2025: most conditions begin or end within the years.
            let birth = day("1960-01-01") + ahead;
            let effective = day("2020-02-29") + ahead * 2;
            compare(&table, &[state("TX")], Some(birth), Some(effective));
            compare(&table, &[state("TX")], None, Some(effective));
        }
        compare(&table, &[state("TX")], Some(day("1960-02-29")), Some(day("2020-02-29")));
    }
}

#[test]
fn windows_that_touch_or_overlap_are_one_period() {
    // With 362 days a window and its successor of the next year leave no open day, or one or two.
    for days in [301, 302, 303] {
        let line = format!("TX: birthday -0..+{days}");
        let table = rules::table([line.as_str()]);
        for birth in ["1960-02-29", "1960-03-01", "1960-12-31"] {
            compare(&table, &[state("TX")], Some(day(birth)), None);
        }
    }
    let table = rules::table(["TX: birthday -0..+10", "TX: effective date -0..+10"]);
    for ahead in 0..366 {
        compare(&table, &[state("TX")], Some(day("1960-06-15")), Some(day("2016-01-01") + ahead));
    }
}

#[test]
fn a_period_without_an_end_has_none() {
    // Two windows of 363 days each, half a year apart: no day is ever open.
    let table = rules::table(["TX: birthday -0..+303", "TX: effective date -0..+303"]);
    let today = Today::new(day("2026-01-05")).unwrap();
    let (birth, effective) = (day("1960-01-01"), day("1960-07-01"));
    let (birth, effective) = (Some(Anniversary::of(birth)), Some(Anniversary::of(effective)));
    let exclusions = Exclusions::new(&table, [state("TX")], birth, effective, 60, today);
    assert!(exclusions.excludes(today.day));
    assert_eq!(exclusions.closed_period_start(today.day, today.day - 1100), None);
    assert_eq!(exclusions.closed_period_end(today.day, today.day + 1100), None);
    assert!(exclusions.period_ends(today.day - 31, today.day + 366).is_empty());
}

#[test]
fn the_days_before_a_window_are_configurable() {
    let table = default_table();
    for pre_window_days in [0, 1, 59, 200] {
        for code in ["CA", "NV", "MO"] {
            let (birth, effective) = (Some(day("1960-02-29")), Some(day("2020-01-31")));
            let years = (FIRST_YEAR, LAST_YEAR);
            compare_years(&table, &[state(code)], birth, effective, pre_window_days, years);
        }
    }
}

#[test]
fn a_century_without_a_leap_day_is_no_exception() {
    let table = default_table();
    for code in ["CA", "NV"] {
        compare_years(&table, &[state(code)], Some(day("2032-02-29")), None, 60, (2098, 2105));
    }
}

/// A plan asks for days years away from its own: those answers come another way than near ones.
#[test]
fn days_far_from_the_plan_have_the_same_windows() {
    let table = default_table();
    let (birth, effective) = (Some(day("1960-02-29")), Some(day("2020-11-30")));
    for code in ["CA", "NV", "MO"] {
        let person = person(&[state(code)], birth, effective);
        for planned_on in ["2019-12-31", "2020-01-01", "2027-02-28", "2034-06-30"] {
            let today = Today::new(day(planned_on)).unwrap();
            let exclusions = Exclusions::new(
                &table,
                [state(code)],
                birth.map(Anniversary::of),
                effective.map(Anniversary::of),
                60,
                today,
            );
            for number in first_of(FIRST_YEAR).number()..first_of(LAST_YEAR + 1).number() {
                let on = Day::new(number);
                let expected = naive::reason_on(&person, &table, 60, naive::date(on));
                let found = exclusions.reason_on(on).map(|reason| reason.to_string());
                assert_eq!(found, expected, "{code} on {on}, planned on {planned_on}");
            }
        }
    }
}
