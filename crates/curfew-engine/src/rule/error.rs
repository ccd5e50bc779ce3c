//! What can be wrong with a rule, and where in its text.

use std::{error::Error, fmt, ops::Range};

use super::{Rule, RuleTable};
use crate::Day;

/// What is wrong with the text of a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// Another word or sign is wanted here.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What could stand here.
        expected: &'static str,
        /// What stands here instead, in backticks, or `the end of the line`.
        found: String,
    },
    /// `age`, `from` or `until` occurs a second time.
    #[error("`{0}` is given twice")]
    Twice(&'static str),
    /// The date has the right form, but there is no such day.
    #[error("there is no such date as {0}")]
    NoSuchDate(String),
    /// The days before or after the anchor are more than any window can have.
    #[error("{0} days are too many, a window has at most {max}", max = RuleTable::REACH_DAYS_BELOW - 1)]
    TooManyDays(String),
    /// The window reaches over more days than the specification allows.
    #[error(transparent)]
    TooLong(#[from] ReachError),
    /// The age is higher than any that can be asked for.
    #[error("{0} is too high an age, the highest is {max}", max = Rule::AGE_MAX)]
    TooOld(String),
    /// The lowest age is above the highest.
    #[error("the lowest age {low} is above the highest age {high}")]
    AgesReversed {
        /// The lowest age.
        low: u16,
        /// The highest age.
        high: u16,
    },
    /// The first date is after the last.
    #[error("the first date {from} is after the last date {until}")]
    DatesReversed {
        /// The first date.
        from: Day,
        /// The last date.
        until: Day,
    },
    /// There is no state with this code that could have rules.
    #[error("there is no state {0}")]
    NoSuchState(String),
}

/// B + A + the pre-window days of a rule reach [`RuleTable::REACH_DAYS_BELOW`] days or more, so that
/// the windows of two years could meet (SPEC section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the window reaches over {reach} days ({before_days} before, {after_days} after, \
     {pre_window_days} ahead of it), it must be below {max}",
    reach = self.reach_days(),
    max = RuleTable::REACH_DAYS_BELOW
)]
pub struct ReachError {
    /// B: the days before the anchor.
    pub before_days: u16,
    /// A: the days after the anchor.
    pub after_days: u16,
    /// The days that are added in front of every window.
    pub pre_window_days: u16,
}

impl ReachError {
    /// B + A + the pre-window days.
    pub fn reach_days(&self) -> u32 {
        u32::from(self.before_days) + u32::from(self.after_days) + u32::from(self.pre_window_days)
    }
}

/// A text that is not a rule: what is wrong, the place, and what to write instead.
///
/// Prints as the problem, the line with carets below the place, and the hint if there is one:
///
/// ```
/// use curfew_engine::rule::Rule;
/// let error = "birthdy -30..+60".parse::<Rule>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "expected `birthday`, `effective date` or `all year`, found `birthdy`
///   birthdy -30..+60
///   ^^^^^^^
///   did you mean `birthday`?"
/// );
/// assert_eq!(error.span(), 0..7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError(Box<Parts>);

/// Boxed, so that a `Result` with a rule or its error stays small.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    text: Box<str>,
    span: Range<usize>,
    problem: RuleProblem,
    hint: Option<String>,
}

impl RuleError {
    pub(super) fn new(
        text: &str,
        span: Range<usize>,
        problem: RuleProblem,
        hint: Option<String>,
    ) -> Self {
        Self(Box::new(Parts { text: text.into(), span, problem, hint }))
    }

    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The place in the text, in bytes; empty at its end.
    pub fn span(&self) -> Range<usize> {
        self.0.span.clone()
    }

    /// What is wrong.
    pub fn problem(&self) -> &RuleProblem {
        &self.0.problem
    }

    /// What to write instead, if that can be told.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem())?;
        let [line, carets] = point_at(self.text(), self.span());
        if !line.is_empty() {
            write!(f, "\n  {line}\n  {carets}")?;
        }
        self.hint().map_or(Ok(()), |hint| write!(f, "\n  {hint}"))
    }
}

impl Error for RuleError {}

/// How much of a long line is shown before and after a place, in characters.
const SHOWN_BEFORE: usize = 60;
const SHOWN_AFTER: usize = 40;

/// A text as one line, and a line with carets below the bytes of `span`, at least one.
///
/// Line breaks and other characters that would move the carets are shown as spaces. Of a long text
/// the part around the place is shown. Neither line ends with spaces.
///
/// ```
/// use curfew_engine::rule::point_at;
/// assert_eq!(point_at("all yaer", 4..8), ["all yaer", "    ^^^^"]);
/// assert_eq!(point_at("all", 3..3), ["all", "   ^"]);
/// ```
pub fn point_at(text: &str, span: Range<usize>) -> [String; 2] {
    let plain = |c: char| if c.is_control() || c.is_whitespace() { ' ' } else { c };
    let (mut before, mut inside, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for (at, c) in text.char_indices() {
        let part = if at < span.start {
            &mut before
        } else if at < span.end {
            &mut inside
        } else {
            &mut after
        };
        part.push(plain(c));
    }
    let mut line = String::new();
    let cut = before.len().saturating_sub(SHOWN_BEFORE);
    if cut > 0 {
        line.push('…');
    }
    let column = usize::from(cut > 0) + before.len() - cut;
    line.extend(&before[cut..]);
    let width = inside.len().min(SHOWN_AFTER);
    line.extend(&inside[..width]);
    let rest = after.len().min(SHOWN_AFTER - width);
    line.extend(&after[..rest]);
    if width < inside.len() || rest < after.len() {
        line.push('…');
    }
    let carets = " ".repeat(column) + &"^".repeat(width.max(1));
    [line.trim_end().to_owned(), carets]
}
