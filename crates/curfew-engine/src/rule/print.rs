//! Writes rules in the one form that the documentation uses; reading it gives the same rule.

use std::fmt;

use super::{Rule, RuleKind, RuleLine, Span};

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-{}..+{}", self.before_days, self.after_days)
    }
}

impl fmt::Display for RuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Birthday(span) => write!(f, "birthday {span}"),
            Self::BirthdayMonth(span) => write!(f, "birthday from month start {span}"),
            Self::EffectiveDate(span) => write!(f, "effective date {span}"),
            Self::AllYear => f.write_str("all year"),
        }
    }
}

/// The kind, then the conditions in the order age, from, until: `birthday -0..+45 age 65..75 from
/// 2026-01-01`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        match (self.age_min, self.age_max) {
            (None, None) => {}
            (Some(low), None) => write!(f, " age {low}..")?,
            (None, Some(high)) => write!(f, " age ..{high}")?,
            (Some(low), Some(high)) => write!(f, " age {low}..{high}")?,
        }
        if let Some(from) = self.from {
            write!(f, " from {from}")?;
        }
        self.until.map_or(Ok(()), |until| write!(f, " until {until}"))
    }
}

impl fmt::Display for RuleLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state, self.rule)
    }
}
