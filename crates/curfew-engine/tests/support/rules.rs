//! Tables of rules as text.

use curfew_engine::{
    State,
    rule::{Rule, RuleLine, RuleTable},
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
    line.parse().map(|RuleLine { state, rule }| (state, rule)).map_err(|why| why.to_string())
}
