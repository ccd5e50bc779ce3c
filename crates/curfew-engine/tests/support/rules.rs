//! Rules as text, until the engine reads them itself.

use curfew_engine::{
    Day, State,
    rule::{Rule, RuleKind, RuleTable, Span},
};

/// The default table, copied from SPEC section 4.
pub(crate) const DEFAULT_TABLE: [&str; 13] = [
    "CA: birthday -30..+60",
    "ID: birthday -0..+63",
    "KY: birthday -0..+60",
    "MD: birthday -0..+30",
    "NV: birthday from month start -0..+60",
    "OK: birthday -0..+60",
    "OR: birthday -0..+31",
    "VA: birthday -0..+30",
    "MO: effective date -30..+33",
    "CT: all year",
    "MA: all year",
    "NY: all year",
    "WA: all year",
];

/// The default table.
pub(crate) fn default_table() -> RuleTable {
    table(DEFAULT_TABLE)
}

/// A table of these lines; several of one state add up.
pub(crate) fn table<'l>(lines: impl IntoIterator<Item = &'l str>) -> RuleTable {
    let mut table = RuleTable::empty();
    for line in lines {
        let (state, rule) = read_line(line).unwrap_or_else(|why| panic!("`{line}`: {why}"));
        let mut rules = table.of(state).to_vec();
        rules.push(rule);
        table.set(state, rules);
    }
    table
}

/// Reads `CA: birthday -30..+60`.
pub(crate) fn read_line(line: &str) -> Result<(State, Rule), String> {
    let (code, rule) = line.split_once(':').ok_or("expected `STATE: RULE`")?;
    let state = State::from_code(code.trim()).ok_or_else(|| format!("no state `{code}`"))?;
    Ok((state, read_rule(rule)?))
}

fn read_rule(text: &str) -> Result<Rule, String> {
    let text = text.trim();
    let (kind, mut rest): (fn(Span) -> RuleKind, &str) =
        if let Some(rest) = text.strip_prefix("birthday from month start ") {
            (RuleKind::BirthdayMonth, rest)
        } else if let Some(rest) = text.strip_prefix("birthday ") {
            (RuleKind::Birthday, rest)
        } else if let Some(rest) = text.strip_prefix("effective date ") {
            (RuleKind::EffectiveDate, rest)
        } else if let Some(rest) = text.strip_prefix("all year") {
            (|_| RuleKind::AllYear, rest)
        } else {
            return Err(format!("no rule `{text}`"));
        };
    let mut span = Span { before_days: 0, after_days: 0 };
    if kind(span) != RuleKind::AllYear {
        let (days, conditions) = rest.split_once(' ').unwrap_or((rest, ""));
        let numbers = days.strip_prefix('-').and_then(|days| days.split_once("..+"));
        let (before, after) = numbers.ok_or_else(|| format!("expected -B..+A, not `{days}`"))?;
        span = Span { before_days: number(before)?, after_days: number(after)? };
        rest = conditions;
    }
    let mut rule = Rule::new(kind(span));
    let mut words = rest.split_whitespace();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("nothing after `{word}`"))?;
        let date = || Day::parse(value).map_err(|why| format!("`{value}` {why}"));
        match word {
            "age" => {
                let (low, high) = value.split_once("..").ok_or("expected LOW..HIGH")?;
                rule.age_min = (!low.is_empty()).then(|| number(low)).transpose()?;
                rule.age_max = (!high.is_empty()).then(|| number(high)).transpose()?;
            }
            "from" => rule.from = Some(date()?),
            "until" => rule.until = Some(date()?),
            _ => return Err(format!("no condition `{word}`")),
        }
    }
    Ok(rule)
}

fn number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number of days or years"))
}
