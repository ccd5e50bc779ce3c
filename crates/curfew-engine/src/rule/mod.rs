//! Exclusion rules (SPEC section 4): what a state's rule says, and the table of all states.
//!
//! Rules are written in a small language, `birthday -30..+60 age 65..75`: [`Rule`] reads it with
//! `parse` and prints it. Which rules hold by default is data, [`default_entries`].

mod defaults;
mod error;
mod parse;
mod print;
mod reference;
#[cfg(test)]
mod tests;

use crate::{Day, State};

pub use defaults::{DefaultEntry, default_entries, default_table};
pub use error::{ReachError, RuleError, RuleProblem, point_at};
pub use reference::markdown;

/// What a rule hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleKind {
    /// `birthday -B..+A`: around every birthday.
    Birthday(Span),
    /// `birthday from month start -B..+A`: around the first day of the birthday's month.
    BirthdayMonth(Span),
    /// `effective date -B..+A`: around every return of the policy effective date.
    EffectiveDate(Span),
    /// `all year`: every date.
    AllYear,
}

/// Days around an anchor, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Days before the anchor, 0 or more.
    pub before_days: u16,
    /// Days after the anchor, 0 or more.
    pub after_days: u16,
}

/// One exclusion rule of a state. All its conditions must hold for the anchor (for `all year`: for
/// the date itself).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What the rule hangs on.
    pub kind: RuleKind,
    /// The lowest age in completed years, if there is one.
    pub age_min: Option<u16>,
    /// The highest age in completed years, if there is one.
    pub age_max: Option<u16>,
    /// The first anchor date that the rule holds for.
    pub from: Option<Day>,
    /// The last anchor date that the rule holds for.
    pub until: Option<Day>,
}

impl Rule {
    /// The highest age that a condition can name.
    pub const AGE_MAX: u16 = 150;

    /// A rule without conditions.
    pub const fn new(kind: RuleKind) -> Self {
        Self { kind, age_min: None, age_max: None, from: None, until: None }
    }

    /// Whether the conditions hold for an anchor on `day` of a person who is `age` years old then
    /// (`None`: the birth date is unknown, every age condition holds).
    pub fn holds_on(&self, day: Day, age: impl FnOnce() -> Option<i32>) -> bool {
        if self.from.is_some_and(|from| day < from) || self.until.is_some_and(|until| day > until) {
            return false;
        }
        if self.age_min.is_none() && self.age_max.is_none() {
            return true;
        }
        age().is_none_or(|age| {
            self.age_min.is_none_or(|low| age >= i32::from(low))
                && self.age_max.is_none_or(|high| age <= i32::from(high))
        })
    }
}

/// A rule and its state: a line of a table of rules, `CA: birthday -30..+60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleLine {
    /// The state.
    pub state: State,
    /// One of its rules.
    pub rule: Rule,
}

/// The states, districts and territories that can have rules, by code: all but the armed-forces
/// post regions.
pub fn states_with_law() -> impl Iterator<Item = State> {
    State::all().filter(|state| State::from_code(state.code()).is_some())
}

/// The rules in force, by state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTable {
    by_state: Vec<Vec<Rule>>,
}

impl RuleTable {
    /// B + A + `pre_window_days` of a rule must stay below this (SPEC section 4).
    pub const REACH_DAYS_BELOW: u32 = 364;

    /// A table in which no state has a rule.
    pub fn empty() -> Self {
        Self { by_state: vec![Vec::new(); State::count()] }
    }

    /// The rules of a state; none means that nothing is ever closed there.
    pub fn of(&self, state: State) -> &[Rule] {
        &self.by_state[state.index()]
    }

    /// Replaces the rules of a state.
    pub fn set(&mut self, state: State, rules: Vec<Rule>) {
        self.by_state[state.index()] = rules;
    }

    /// The states that have rules, in the order of their codes.
    pub fn states(&self) -> impl Iterator<Item = (State, &[Rule])> {
        State::all().map(|state| (state, self.of(state))).filter(|(_, rules)| !rules.is_empty())
    }

    /// Every rule with its state: by code, then as they were set.
    pub fn lines(&self) -> impl Iterator<Item = RuleLine> {
        self.states()
            .flat_map(|(state, rules)| rules.iter().map(move |&rule| RuleLine { state, rule }))
    }
}
