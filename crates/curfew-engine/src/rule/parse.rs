//! Reads the rule language of SPEC section 4.
//!
//! ```text
//! line      = STATE ":" rule
//! rule      = kind { condition }
//! kind      = "birthday" [ "from month start" ] days | "effective date" days | "all year"
//! days      = "-" NUMBER ".." "+" NUMBER
//! condition = "age" [ NUMBER ] ".." [ NUMBER ] | "from" DATE | "until" DATE
//! ```
//!
//! Conditions come in any order, each at most once; `age` has at least one of its numbers. Letters
//! may be of either case; between words and signs there may be any white space, or none.

use std::{ops::Range, str::FromStr};

use super::{ReachError, Rule, RuleError, RuleKind, RuleLine, RuleProblem, RuleTable, Span};
use crate::{DateError, Day, State};

const KINDS: &str = "`birthday`, `effective date` or `all year`";
const CONDITIONS: &str = "`age`, `from`, `until` or the end of the line";

impl FromStr for Rule {
    type Err = RuleError;

    /// Reads a rule such as `birthday -30..+60 age 65..75`; its reach is checked with no days ahead
    /// of the window. [`Rule::parse`] checks it with the configured ones.
    fn from_str(text: &str) -> Result<Self, RuleError> {
        Self::parse(text, 0)
    }
}

impl Rule {
    /// Reads a rule that will be used with so many days ahead of its windows.
    ///
    /// # Errors
    /// If the text is not a rule, or if the rule reaches too far with these days.
    ///
    /// ```
    /// use curfew_engine::rule::Rule;
    /// assert!(Rule::parse("birthday -30..+60", 60).is_ok());
    /// assert!(Rule::parse("birthday -30..+60", 274).is_err());
    /// ```
    pub fn parse(text: &str, pre_window_days: u16) -> Result<Self, RuleError> {
        let mut reader = Reader { text, at: 0 };
        reader.rule(pre_window_days)
    }
}

impl FromStr for RuleLine {
    type Err = RuleError;

    /// Reads a line such as `CA: birthday -30..+60`, as [`Rule::from_str`] reads the rule.
    fn from_str(text: &str) -> Result<Self, RuleError> {
        Self::parse(text, 0)
    }
}

impl RuleLine {
    /// Reads a line whose rule will be used with so many days ahead of its windows.
    ///
    /// # Errors
    /// If the text is not a state and a rule, or if the rule reaches too far with these days.
    ///
    /// ```
    /// use curfew_engine::rule::RuleLine;
    /// assert!(RuleLine::parse("CA: birthday -30..+60", 60).is_ok());
    /// assert!(RuleLine::parse("CA: birthday -30..+60", 274).is_err());
    /// ```
    pub fn parse(text: &str, pre_window_days: u16) -> Result<Self, RuleError> {
        let mut reader = Reader { text, at: 0 };
        let (code, place) = reader.word();
        if code.is_empty() {
            return Err(reader.unexpected("the code of a state", None));
        }
        let state = State::from_code(code).ok_or_else(|| {
            let hint = "write the two letters of a state or territory, such as `CA`";
            reader.error(place, RuleProblem::NoSuchState(quote(code)), Some(hint.to_owned()))
        })?;
        if !reader.eat(':') {
            return Err(reader.unexpected("`:`", Some(format!("write `{state}: RULE`"))));
        }
        Ok(Self { state, rule: reader.rule(pre_window_days)? })
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rule(&mut self, pre_window_days: u16) -> Result<Rule, RuleError> {
        let (kind, days) = self.kind()?;
        let mut rule = Rule::new(kind);
        let mut dates = (0..0, 0..0);
        loop {
            let (word, place) = self.word();
            match word.to_ascii_lowercase().as_str() {
                "" if self.rest().is_empty() => break,
                "age" => {
                    if rule.age_min.is_some() || rule.age_max.is_some() {
                        return Err(self.error(place, RuleProblem::Twice("age"), None));
                    }
                    (rule.age_min, rule.age_max) = self.ages()?;
                }
                "from" => {
                    if rule.from.is_some() {
                        return Err(self.error(place, RuleProblem::Twice("from"), None));
                    }
                    let date;
                    (date, dates.0) = self.date()?;
                    rule.from = Some(date);
                }
                "until" => {
                    if rule.until.is_some() {
                        return Err(self.error(place, RuleProblem::Twice("until"), None));
                    }
                    let date;
                    (date, dates.1) = self.date()?;
                    rule.until = Some(date);
                }
                other => {
                    let hint = did_you_mean(other, &["age", "from", "until"]);
                    self.at = place.start;
                    return Err(self.unexpected(CONDITIONS, hint));
                }
            }
        }
        if let (Some(from), Some(until)) = (rule.from, rule.until)
            && from > until
        {
            let place = if dates.0.start > dates.1.start { dates.0 } else { dates.1 };
            let hint = Some(format!("write `from {until} until {from}`"));
            return Err(self.error(place, RuleProblem::DatesReversed { from, until }, hint));
        }
        rule.check_reach(pre_window_days).map_err(|error| {
            let most = RuleTable::REACH_DAYS_BELOW - 1;
            let hint = format!(
                "before and after together may be at most {} days",
                most.saturating_sub(u32::from(pre_window_days))
            );
            self.error(days, RuleProblem::TooLong(error), Some(hint))
        })?;
        Ok(rule)
    }

    /// The kind of rule, and the place of its days.
    fn kind(&mut self) -> Result<(RuleKind, Range<usize>), RuleError> {
        let (word, place) = self.word();
        match word.to_ascii_lowercase().as_str() {
            "birthday" => {
                let (next, place) = self.word();
                if next.is_empty() {
                    let (span, days) =
                        self.days("`-` and the days before it, or `from month start`")?;
                    return Ok((RuleKind::Birthday(span), days));
                }
                if !next.eq_ignore_ascii_case("from") {
                    self.at = place.start;
                    return Err(self.unexpected(
                        "`-` and the days before it, or `from month start`",
                        did_you_mean(next, &["from month start"]),
                    ));
                }
                if self.rest().trim_start().starts_with(|c: char| c.is_ascii_digit()) {
                    let hint = "conditions come last: `birthday -30..+60 from 2026-01-01`";
                    return Err(self.unexpected("`month start`", Some(hint.to_owned())));
                }
                self.keyword("month", "`month start`")?;
                self.keyword("start", "`start`")?;
                let (span, days) = self.days("`-` and the days before it")?;
                Ok((RuleKind::BirthdayMonth(span), days))
            }
            "effective" => {
                self.keyword("date", "`date`")?;
                let (span, days) = self.days("`-` and the days before it")?;
                Ok((RuleKind::EffectiveDate(span), days))
            }
            "all" => {
                self.keyword("year", "`year`")?;
                Ok((RuleKind::AllYear, self.at..self.at))
            }
            other => {
                let line = self.rest().trim_start().starts_with(':');
                let hint = if line && !other.is_empty() {
                    Some(format!("the rule is what stands after `{word}:`"))
                } else {
                    did_you_mean(other, &["birthday", "effective date", "all year"])
                };
                self.at = place.start;
                Err(self.unexpected(KINDS, hint))
            }
        }
    }

    fn keyword(&mut self, keyword: &str, expected: &'static str) -> Result<(), RuleError> {
        let (word, place) = self.word();
        if word.eq_ignore_ascii_case(keyword) {
            return Ok(());
        }
        self.at = place.start;
        Err(self.unexpected(expected, did_you_mean(word, &[keyword])))
    }

    /// `-B..+A` and its place.
    fn days(&mut self, expected: &'static str) -> Result<(Span, Range<usize>), RuleError> {
        self.skip_space();
        let start = self.at;
        let run = self.run(is_part_of_days);
        let hint = || Some(days_hint(run));
        if !self.eat('-') {
            return Err(self.unexpected(expected, hint()));
        }
        let before_days = self.day_count(hint)?;
        self.dots(hint)?;
        if !self.eat('+') {
            return Err(self.unexpected("`+` and the days after it", hint()));
        }
        let after_days = self.day_count(hint)?;
        Ok((Span { before_days, after_days }, start..self.at))
    }

    fn day_count(&mut self, hint: impl Fn() -> Option<String>) -> Result<u16, RuleError> {
        let (digits, place) = self.digits();
        if digits.is_empty() {
            return Err(self.unexpected("a number of days", hint()));
        }
        match digits.parse() {
            Ok(days) if u32::from(days) < RuleTable::REACH_DAYS_BELOW => Ok(days),
            _ => Err(self.error(place, RuleProblem::TooManyDays(shorten(digits)), None)),
        }
    }

    fn dots(&mut self, hint: impl Fn() -> Option<String>) -> Result<(), RuleError> {
        self.skip_space();
        let dots = self.run(|c| c == '.').len();
        if dots != 2 {
            return Err(self.unexpected("`..`", hint()));
        }
        self.at += dots;
        Ok(())
    }

    /// `LOW..HIGH` with one of both, or both.
    fn ages(&mut self) -> Result<(Option<u16>, Option<u16>), RuleError> {
        self.skip_space();
        let start = self.at;
        let run = self.run(|c| c.is_ascii_digit() || ".+-–—−…".contains(c));
        let hint = || Some(age_hint(run));
        let low = self.age()?;
        if low.is_none() && !self.rest().starts_with('.') {
            return Err(self.unexpected("`LOW..HIGH`, `LOW..` or `..HIGH`", hint()));
        }
        self.dots(hint)?;
        let high = self.age()?;
        match (low, high) {
            (None, None) => Err(self.unexpected("an age", hint())),
            (Some(low), Some(high)) if low > high => Err(self.error(
                start..self.at,
                RuleProblem::AgesReversed { low, high },
                Some(format!("write `age {high}..{low}`")),
            )),
            ages => Ok(ages),
        }
    }

    fn age(&mut self) -> Result<Option<u16>, RuleError> {
        let (digits, place) = self.digits();
        if digits.is_empty() {
            return Ok(None);
        }
        match digits.parse() {
            Ok(age) if age <= Rule::AGE_MAX => Ok(Some(age)),
            _ => Err(self.error(place, RuleProblem::TooOld(shorten(digits)), None)),
        }
    }

    /// A date and its place.
    fn date(&mut self) -> Result<(Day, Range<usize>), RuleError> {
        self.skip_space();
        let start = self.at;
        let text = self.run(|c| !c.is_whitespace());
        // `Day::parse` would also take a time.
        match if text.len() == 10 { Day::parse(text) } else { Err(DateError::Malformed) } {
            Ok(day) => {
                self.at += text.len();
                Ok((day, start..self.at))
            }
            Err(DateError::NotReal) => {
                let place = start..start + text.len();
                Err(self.error(place, RuleProblem::NoSuchDate(text.to_owned()), None))
            }
            Err(_) => Err(self.unexpected("a date `YYYY-MM-DD`", None)),
        }
    }

    /// The word that begins here, with its place; empty if there is none.
    fn word(&mut self) -> (&'t str, Range<usize>) {
        self.take(|c| c.is_alphabetic() || c == '_')
    }

    fn digits(&mut self) -> (&'t str, Range<usize>) {
        self.take(|c| c.is_ascii_digit())
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> (&'t str, Range<usize>) {
        self.skip_space();
        let start = self.at;
        let taken = self.run(wanted);
        self.at += taken.len();
        (taken, start..start + taken.len())
    }

    fn eat(&mut self, sign: char) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    fn skip_space(&mut self) {
        self.at += self.run(char::is_whitespace).len();
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The longest run of such characters from here on.
    fn run(&self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        &rest[..rest.find(|c| !wanted(c)).unwrap_or(rest.len())]
    }

    /// Something else than `expected` stands here.
    fn unexpected(&self, expected: &'static str, hint: Option<String>) -> RuleError {
        let rest = self.rest();
        let space = rest.len() - rest.trim_start().len();
        let word = rest[space..].split(char::is_whitespace).next().unwrap_or_default();
        let found = if word.is_empty() { "the end of the line".to_owned() } else { quote(word) };
        // At the end the place is right behind the text.
        let start = if word.is_empty() { self.text.trim_end().len() } else { self.at + space };
        let place = start..start + word.len();
        self.error(place, RuleProblem::Unexpected { expected, found }, hint)
    }

    fn error(&self, place: Range<usize>, problem: RuleProblem, hint: Option<String>) -> RuleError {
        RuleError::new(self.text, place, problem, hint)
    }
}

impl Rule {
    /// B + A + `pre_window_days` must be below [`RuleTable::REACH_DAYS_BELOW`], or windows of
    /// different years could meet; `all year` has no reach.
    ///
    /// # Errors
    /// If they are not below.
    ///
    /// ```
    /// use curfew_engine::rule::Rule;
    /// let rule: Rule = "effective date -30..+33".parse().unwrap();
    /// assert!(rule.check_reach(300).is_ok());
    /// assert!(rule.check_reach(301).is_err());
    /// ```
    pub fn check_reach(&self, pre_window_days: u16) -> Result<(), ReachError> {
        let (RuleKind::Birthday(span)
        | RuleKind::BirthdayMonth(span)
        | RuleKind::EffectiveDate(span)) = self.kind
        else {
            return Ok(());
        };
        let Span { before_days, after_days } = span;
        let error = ReachError { before_days, after_days, pre_window_days };
        if error.reach_days() < RuleTable::REACH_DAYS_BELOW { Ok(()) } else { Err(error) }
    }
}

fn is_part_of_days(c: char) -> bool {
    c.is_ascii_digit() || c.is_whitespace() || "+-.…–—−".contains(c)
}

/// Two numbers are written as days should be; else an example is given.
fn days_hint(run: &str) -> String {
    let run = run.trim();
    let numbers: Vec<&str> =
        run.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    match numbers[..] {
        [before, after] if before.len() <= 3 && after.len() <= 3 && !run.starts_with('+') => {
            format!("write `-{before}..+{after}`")
        }
        _ => "write the days before and after, such as `-30..+60`".to_owned(),
    }
}

fn age_hint(run: &str) -> String {
    let numbers: Vec<&str> =
        run.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    match numbers[..] {
        [low, high] if low.len() <= 3 && high.len() <= 3 => format!("write `age {low}..{high}`"),
        [age] if age.len() <= 3 => {
            format!("write `age {age}..` for {age} or older, `age ..{age}` for {age} or younger")
        }
        _ => "write `age 65..75`, `age 76..` or `age ..75`".to_owned(),
    }
}

/// The candidate that looks most like the word, if one does.
fn did_you_mean(word: &str, candidates: &[&str]) -> Option<String> {
    // Long words are never near, and comparing costs the product of the lengths.
    if word.is_empty() || word.len() > 40 {
        return None;
    }
    let letters = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect()
    };
    let word = letters(word);
    candidates
        .iter()
        .map(|candidate| {
            let wanted = letters(candidate);
            let first = candidate.split(' ').next().map(letters).unwrap_or_default();
            let distance = |wanted: &str| strsim::damerau_levenshtein(&word, wanted);
            (distance(&wanted).min(distance(&first)), candidate)
        })
        .filter(|(distance, _)| *distance <= 1.max(word.chars().count() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// In backticks, cut where it is long.
fn quote(text: &str) -> String {
    let shown: String =
        shorten(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("`{shown}`")
}

fn shorten(text: &str) -> String {
    const SHOWN: usize = 30;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
