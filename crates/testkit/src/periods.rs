//! The naive oracle of closed periods (sections 3 and 4): every occurrence of every year, day by day.
//!
//! ```
//! use jiff::civil::date;
//! use testkit::periods::{Kind, Person, Rule};
//!
//! let rules = [Rule::new("CA", Kind::Birthday, 30, 60)];
//! let person = Person { birth: Some(date(1960, 3, 1)), effective: None };
//! // The birthday less 30 days of the rule and 60 days before the window is 2025-12-01.
//! assert_eq!(testkit::periods::excluded(&rules, person, 60, date(2025, 11, 30)), None);
//! assert_eq!(
//!     testkit::periods::excluded(&rules, person, 60, date(2025, 12, 1)).as_deref(),
//!     Some("Birthday exclusion window for CA")
//! );
//! ```

use std::fmt;

use jiff::civil::Date;

use crate::calendar::{completed_years, occurrence_in, plus};

/// What a rule's window hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `birthday -B..+A`
    Birthday,
    /// `birthday from month start -B..+A`: the anchor is the first day of the birthday's month.
    BirthdayFromMonthStart,
    /// `effective date -B..+A`
    EffectiveDate,
    /// `all year`: every date, without an end. `before` and `after` mean nothing.
    AllYear,
}

/// One exclusion rule of one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Two capital letters.
    pub state: String,
    /// What the window hangs on.
    pub kind: Kind,
    /// Days before the anchor, the `B` of the rule, at least 0.
    pub before: i64,
    /// Days after the anchor, the `A` of the rule, at least 0.
    pub after: i64,
    /// The lowest age in completed years, included.
    pub age_low: Option<i64>,
    /// The highest age in completed years, included.
    pub age_high: Option<i64>,
    /// The first anchor the rule knows, included.
    pub from: Option<Date>,
    /// The last anchor the rule knows, included.
    pub until: Option<Date>,
}

impl Rule {
    /// A rule without conditions.
    pub fn new(state: &str, kind: Kind, before: i64, after: i64) -> Self {
        Self {
            state: state.to_owned(),
            kind,
            before,
            after,
            age_low: None,
            age_high: None,
            from: None,
            until: None,
        }
    }

    /// The same rule with an age condition.
    #[must_use]
    pub fn with_ages(mut self, low: Option<i64>, high: Option<i64>) -> Self {
        (self.age_low, self.age_high) = (low, high);
        self
    }

    /// The same rule with dates between which it holds.
    #[must_use]
    pub fn with_dates(mut self, from: Option<Date>, until: Option<Date>) -> Self {
        (self.from, self.until) = (from, until);
        self
    }

    /// All conditions hold for the anchor: the age in completed years (an unknown birth date holds), from and until.
    fn conditions_hold(&self, person: Person, anchor: Date) -> bool {
        let age_holds = match person.birth {
            None => true,
            Some(birth) => {
                let age = completed_years(birth, anchor);
                self.age_low.is_none_or(|low| low <= age)
                    && self.age_high.is_none_or(|high| age <= high)
            }
        };
        age_holds
            && self.from.is_none_or(|from| from <= anchor)
            && self.until.is_none_or(|until| anchor <= until)
    }

    /// The exclusion window of the occurrence in `year`, both ends included, if there is one.
    fn window_in(&self, person: Person, pre_window_days: i64, year: i16) -> Option<(Date, Date)> {
        let anchor = match self.kind {
            Kind::Birthday => occurrence_in(person.birth?, year)?,
            Kind::BirthdayFromMonthStart => occurrence_in(person.birth?, year)?.first_of_month(),
            Kind::EffectiveDate => occurrence_in(person.effective?, year)?,
            Kind::AllYear => return None,
        };
        self.conditions_hold(person, anchor)
            .then(|| (plus(anchor, -self.before - pre_window_days), plus(anchor, self.after)))
    }

    /// The first year that can have an occurrence.
    fn first_year(&self, person: Person) -> Option<i16> {
        match self.kind {
            Kind::Birthday | Kind::BirthdayFromMonthStart => person.birth.map(Date::year),
            Kind::EffectiveDate => person.effective.map(Date::year),
            Kind::AllYear => None,
        }
    }

    /// Year-round first, then birthday, then effective date, then by state code.
    fn rank(&self) -> (u8, &str) {
        let kind = match self.kind {
            Kind::AllYear => 0,
            Kind::Birthday | Kind::BirthdayFromMonthStart => 1,
            Kind::EffectiveDate => 2,
        };
        (kind, &self.state)
    }

    /// The skip reason of section 4.
    pub fn reason(&self) -> String {
        match self.kind {
            Kind::AllYear => format!("Year-round exclusion for {}", self.state),
            Kind::Birthday | Kind::BirthdayFromMonthStart => {
                format!("Birthday exclusion window for {}", self.state)
            }
            Kind::EffectiveDate => format!("Effective date exclusion window for {}", self.state),
        }
    }
}

/// The rule in the language of section 4, without its state.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anchor = match self.kind {
            Kind::Birthday => "birthday",
            Kind::BirthdayFromMonthStart => "birthday from month start",
            Kind::EffectiveDate => "effective date",
            Kind::AllYear => "all year",
        };
        f.write_str(anchor)?;
        if self.kind != Kind::AllYear {
            write!(f, " -{}..+{}", self.before, self.after)?;
        }
        match (self.age_low, self.age_high) {
            (None, None) => {}
            (Some(low), Some(high)) => write!(f, " age {low}..{high}")?,
            (Some(low), None) => write!(f, " age {low}..")?,
            (None, Some(high)) => write!(f, " age ..{high}")?,
        }
        if let Some(from) = self.from {
            write!(f, " from {from}")?;
        }
        if let Some(until) = self.until {
            write!(f, " until {until}")?;
        }
        Ok(())
    }
}

/// The dates of a contact that rules hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Person {
    /// Birth date, where known.
    pub birth: Option<Date>,
    /// Policy effective date, where known.
    pub effective: Option<Date>,
}

/// A closed period: exclusion windows that overlap or touch, as one. Both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// The first excluded day.
    pub start: Date,
    /// The last excluded day.
    pub end: Date,
}

/// Why `date` is excluded for `person` under `rules` (those of all the person's states), or `None` when it is open.
///
/// Looks at the occurrences of all years from two before `date` to two after it; a window of less than 364 days cannot
/// reach further.
pub fn excluded(
    rules: &[Rule],
    person: Person,
    pre_window_days: i64,
    date: Date,
) -> Option<String> {
    let holds = |rule: &&Rule| match rule.first_year(person) {
        _ if rule.kind == Kind::AllYear => rule.conditions_hold(person, date),
        None => false,
        Some(first) => (date.year() - 2..=date.year() + 2).any(|year| {
            year >= first
                && rule
                    .window_in(person, pre_window_days, year)
                    .is_some_and(|(start, end)| start <= date && date <= end)
        }),
    };
    rules.iter().filter(holds).min_by_key(|rule| rule.rank()).map(Rule::reason)
}

/// The closed period that holds `date`, found by walking day by day to both sides. `None` when only an `all year` rule,
/// or nothing, excludes it. Walks at most `days_max` days to each side.
pub fn period_around(
    rules: &[Rule],
    person: Person,
    pre_window_days: i64,
    date: Date,
    days_max: i64,
) -> Option<Period> {
    let windows: Vec<Rule> = rules.iter().filter(|r| r.kind != Kind::AllYear).cloned().collect();
    let closed = |date| excluded(&windows, person, pre_window_days, date).is_some();
    if !closed(date) {
        return None;
    }
    let walk = |step: i64| {
        let mut day = date;
        for _ in 0..days_max {
            if !closed(plus(day, step)) {
                break;
            }
            day = plus(day, step);
        }
        day
    };
    Some(Period { start: walk(-1), end: walk(1) })
}

/// The windows of one person, listed once so that many dates can be asked for.
#[derive(Debug, Clone)]
pub struct ClosedDays {
    rules: Vec<Rule>,
    person: Person,
    windows: Vec<(usize, Date, Date)>,
    periods: Vec<Period>,
}

impl ClosedDays {
    /// Lists the windows of all occurrences from the original dates through `last_year`. Dates after the end of
    /// `last_year - 2` must not be asked for: a window of a later year may reach there.
    pub fn new(rules: &[Rule], person: Person, pre_window_days: i64, last_year: i16) -> Self {
        let mut windows = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            for year in rule.first_year(person).into_iter().flat_map(|first| first..=last_year) {
                if let Some((start, end)) = rule.window_in(person, pre_window_days, year) {
                    windows.push((index, start, end));
                }
            }
        }
        let mut spans: Vec<Period> =
            windows.iter().map(|&(_, start, end)| Period { start, end }).collect();
        spans.sort_unstable();
        let mut periods: Vec<Period> = Vec::new();
        for span in spans {
            match periods.last_mut() {
                // Overlapping, or touching: the next day belongs to the following window.
                Some(last) if span.start <= plus(last.end, 1) => last.end = last.end.max(span.end),
                _ => periods.push(span),
            }
        }
        Self { rules: rules.to_vec(), person, windows, periods }
    }

    /// Why the date is excluded, or `None` when it is open.
    pub fn reason_on(&self, date: Date) -> Option<String> {
        let all_year = self
            .rules
            .iter()
            .filter(|rule| rule.kind == Kind::AllYear && rule.conditions_hold(self.person, date));
        let windows = self
            .windows
            .iter()
            .filter(|(_, start, end)| *start <= date && date <= *end)
            .map(|(index, ..)| &self.rules[*index]);
        all_year.chain(windows).min_by_key(|rule| rule.rank()).map(Rule::reason)
    }

    /// The closed period that holds the date; `None` where only an `all year` rule, or nothing, excludes it.
    pub fn period_on(&self, date: Date) -> Option<Period> {
        self.periods.iter().copied().find(|period| period.start <= date && date <= period.end)
    }

    /// All closed periods, in order.
    pub fn periods(&self) -> &[Period] {
        &self.periods
    }
}

/// The default table of section 4.
pub fn default_rules() -> Vec<Rule> {
    let mut rules = vec![
        Rule::new("CA", Kind::Birthday, 30, 60),
        Rule::new("ID", Kind::Birthday, 0, 63),
        Rule::new("KY", Kind::Birthday, 0, 60),
        Rule::new("MD", Kind::Birthday, 0, 30),
        Rule::new("NV", Kind::BirthdayFromMonthStart, 0, 60),
        Rule::new("OK", Kind::Birthday, 0, 60),
        Rule::new("OR", Kind::Birthday, 0, 31),
        Rule::new("VA", Kind::Birthday, 0, 30),
        Rule::new("MO", Kind::EffectiveDate, 30, 33),
    ];
    for state in ["CT", "MA", "NY", "WA"] {
        rules.push(Rule::new(state, Kind::AllYear, 0, 0));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn born(year: i16, month: i8, day: i8) -> Person {
        Person { birth: Some(date(year, month, day)), effective: None }
    }

    #[test]
    fn section_4_a_window_has_a_first_and_a_last_day() {
        // (rule, first day in, last day in) for a birthday or effective date on 2025-06-15.
        let cases = [
            (Rule::new("CA", Kind::Birthday, 30, 60), date(2025, 3, 17), date(2025, 8, 14)),
            (Rule::new("ID", Kind::Birthday, 0, 63), date(2025, 4, 16), date(2025, 8, 17)),
            (Rule::new("MD", Kind::Birthday, 0, 30), date(2025, 4, 16), date(2025, 7, 15)),
            // From 2025-06-01: less 60 days, plus 60 days.
            (
                Rule::new("NV", Kind::BirthdayFromMonthStart, 0, 60),
                date(2025, 4, 2),
                date(2025, 7, 31),
            ),
            (Rule::new("MO", Kind::EffectiveDate, 30, 33), date(2025, 3, 17), date(2025, 7, 18)),
        ];
        let person = Person { birth: Some(date(1960, 6, 15)), effective: Some(date(2020, 6, 15)) };
        for (rule, first, last) in cases {
            let reason = Some(rule.reason());
            let rules = [rule];
            assert_eq!(excluded(&rules, person, 60, plus(first, -1)), None, "{rules:?}");
            assert_eq!(excluded(&rules, person, 60, first), reason);
            assert_eq!(excluded(&rules, person, 60, last), reason);
            assert_eq!(excluded(&rules, person, 60, plus(last, 1)), None, "{rules:?}");
        }
    }

    #[test]
    fn section_4_windows_cross_the_year() {
        let rules = [Rule::new("CA", Kind::Birthday, 30, 60)];
        let person = born(1960, 1, 10);
        assert!(excluded(&rules, person, 60, date(2025, 10, 12)).is_some());
        assert!(excluded(&rules, person, 60, date(2025, 10, 11)).is_none());
        assert!(excluded(&rules, person, 60, date(2025, 12, 31)).is_some());
    }

    #[test]
    fn section_4_there_is_no_window_before_the_first_occurrence() {
        let rules = [Rule::new("MO", Kind::EffectiveDate, 30, 33)];
        let person = Person { birth: None, effective: Some(date(2025, 6, 15)) };
        assert!(excluded(&rules, person, 60, date(2024, 6, 15)).is_none());
        assert!(excluded(&rules, person, 60, date(2025, 3, 17)).is_some());
    }

    #[test]
    fn section_4_conditions_look_at_the_anchor() {
        let ages = [Rule::new("CA", Kind::Birthday, 30, 60).with_ages(Some(65), Some(75))];
        // Turns 65 on 2025-06-15; the window before that day is the 65th birthday's already.
        assert!(excluded(&ages, born(1960, 6, 15), 60, date(2025, 3, 17)).is_some());
        assert!(excluded(&ages, born(1960, 6, 15), 60, date(2024, 6, 15)).is_none());
        assert!(excluded(&ages, born(1949, 6, 15), 60, date(2025, 6, 15)).is_none());
        let until =
            [Rule::new("VA", Kind::Birthday, 0, 30).with_dates(None, Some(date(2025, 6, 30)))];
        assert!(excluded(&until, born(1960, 6, 30), 60, date(2025, 7, 30)).is_some());
        assert!(excluded(&until, born(1960, 7, 1), 60, date(2025, 6, 30)).is_none());
        let all = [Rule::new("NY", Kind::AllYear, 0, 0)
            .with_ages(Some(65), None)
            .with_dates(Some(date(2025, 7, 1)), None)];
        assert!(excluded(&all, born(1960, 6, 15), 60, date(2025, 6, 30)).is_none());
        assert!(excluded(&all, born(1960, 6, 15), 60, date(2025, 7, 1)).is_some());
        assert!(excluded(&all, born(1960, 9, 15), 60, date(2025, 9, 14)).is_none());
        assert!(excluded(&all, born(1960, 9, 15), 60, date(2025, 9, 15)).is_some());
        assert!(excluded(&all, Person::default(), 60, date(2025, 9, 14)).is_some());
    }

    #[test]
    fn section_4_reasons_have_an_order() {
        let person = Person { birth: Some(date(1960, 6, 15)), effective: Some(date(2020, 6, 15)) };
        let mut rules = vec![
            Rule::new("MO", Kind::EffectiveDate, 30, 33),
            Rule::new("OR", Kind::Birthday, 0, 31),
            Rule::new("CA", Kind::Birthday, 30, 60),
        ];
        let on = date(2025, 6, 15);
        let reason = |rules: &[Rule]| excluded(rules, person, 60, on).unwrap();
        assert_eq!(reason(&rules), "Birthday exclusion window for CA");
        rules.push(Rule::new("WA", Kind::AllYear, 0, 0));
        rules.push(Rule::new("CT", Kind::AllYear, 0, 0));
        assert_eq!(reason(&rules), "Year-round exclusion for CT");
        assert_eq!(reason(&rules[..1]), "Effective date exclusion window for MO");
    }

    #[test]
    fn section_4_windows_that_touch_are_one_period() {
        // 2025-06-15 - 60 .. + 10 and 2025-08-26 - 60 .. + 10: June 25 and June 27, a day apart; then touching.
        let rules =
            [Rule::new("OR", Kind::Birthday, 0, 10), Rule::new("MO", Kind::EffectiveDate, 0, 10)];
        let person =
            |effective| Person { birth: Some(date(1960, 6, 15)), effective: Some(effective) };
        let apart = ClosedDays::new(&rules, person(date(2025, 8, 26)), 60, 2025);
        assert_eq!(
            apart.period_on(date(2025, 6, 15)),
            Some(Period { start: date(2025, 4, 16), end: date(2025, 6, 25) })
        );
        assert_eq!(apart.reason_on(date(2025, 6, 26)), None);
        let touching = ClosedDays::new(&rules, person(date(2025, 8, 25)), 60, 2025);
        assert_eq!(
            touching.period_on(date(2025, 6, 15)),
            Some(Period { start: date(2025, 4, 16), end: date(2025, 9, 4) })
        );
    }

    #[test]
    fn listed_windows_and_the_day_by_day_oracle_agree() {
        let mut rules = default_rules();
        rules.push(Rule::new("CA", Kind::EffectiveDate, 45, 10).with_ages(Some(64), Some(66)));
        rules.push(
            Rule::new("OR", Kind::AllYear, 0, 0)
                .with_dates(Some(date(2025, 2, 27)), Some(date(2025, 3, 2))),
        );
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..60 {
            let rules: Vec<Rule> = rules.iter().filter(|_| random.u8(..4) == 0).cloned().collect();
            let day = |year: i16, day: i64| plus(date(year, 1, 1), day);
            let person = Person {
                birth: Some(day(1960, random.i64(0..366))).filter(|_| random.u8(..5) > 0),
                effective: Some(day(2018, random.i64(0..365))).filter(|_| random.u8(..5) > 0),
            };
            let listed = ClosedDays::new(&rules, person, 60, 2029);
            for n in (0..800).step_by(3) {
                let date = day(2024, n);
                assert_eq!(listed.reason_on(date), excluded(&rules, person, 60, date));
                if n % 60 == 0
                    && let Some(period) = listed.period_on(date)
                    && period.end < day(2027, 0)
                    && period.start > day(2023, 0)
                {
                    assert_eq!(Some(period), period_around(&rules, person, 60, date, 1500));
                }
            }
        }
    }

    #[test]
    fn rules_print_in_the_rule_language() {
        let rule = Rule::new("NV", Kind::BirthdayFromMonthStart, 0, 60)
            .with_ages(Some(65), None)
            .with_dates(Some(date(2025, 7, 1)), Some(date(2026, 6, 30)));
        assert_eq!(
            rule.to_string(),
            "birthday from month start -0..+60 age 65.. from 2025-07-01 until 2026-06-30"
        );
        assert_eq!(
            Rule::new("NY", Kind::AllYear, 0, 0).with_ages(None, Some(70)).to_string(),
            "all year age ..70"
        );
    }
}
