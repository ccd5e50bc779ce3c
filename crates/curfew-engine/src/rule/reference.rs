//! `docs/rules.md`: the rule language and the default table, for readers.

use super::{RuleTable, default_entries, states_with_law};

/// The contents of `docs/rules.md`.
pub fn markdown() -> String {
    let entries = default_entries();
    let mut page = format!(
        "# Exclusion rules

<!-- Generated from crates/curfew-engine/src/rule/; do not edit. -->

**This page is not legal advice.** It says which days Curfew keeps closed unless it is configured
otherwise. The laws that are named grant people rights to buy; that an agency sends nothing while
they hold is the agency's own policy. Laws change: have the table reviewed, and put what you decide
into `state_rules` of the configuration ([configure.md](configure.md)).

## How a rule is written

| rule | closes |
| --- | --- |
| `birthday -B..+A` | from B days before to A days after every birthday |
| `birthday from month start -B..+A` | the same around the first day of the birthday's month |
| `effective date -B..+A` | the same around every return of the policy effective date |
| `all year` | every day |

Both ends are closed, too. In front of every window lie further closed days
(`pre_window_exclusion_days`, 60 by default). Together they must be fewer than {max} days.
A birthday on February 29 falls on February 28 in a year without one.

Behind it, in any order, each at most once:

| condition | the rule holds when |
| --- | --- |
| `age LOW..HIGH`, `age LOW..`, `age ..HIGH` | the age in completed years lies between these, both included (0 to {age}) |
| `from DATE` | the date (`YYYY-MM-DD`) has come |
| `until DATE` | the date has not passed |

For windows the conditions look at the birthday, the first of its month or the effective date, not at
the day on which something would be sent; for `all year` at that day. Where the birth date is unknown,
a condition on the age holds. Capitals and spaces do not matter. A state may have several rules; a day
is closed when any of them closes it.

```
CA: birthday -30..+60
IL: birthday -0..+45 age 65..75 from 2026-01-01
```

`curfew rules check FILE` checks such a list, in which `#` begins a comment, or a whole configuration
(`.yaml`), and points at what is wrong. `curfew rules --config curfew.yaml` shows the rules in force.

## The default table

| state | rules | source | remark | last checked |
| --- | --- | --- | --- | --- |
",
        max = RuleTable::REACH_DAYS_BELOW,
        age = super::Rule::AGE_MAX,
    );
    for entry in &entries {
        let rules: Vec<String> = entry.rules.iter().map(|rule| format!("`{rule}`")).collect();
        let row = [
            entry.state.to_string(),
            rules.join(", "),
            entry.source.to_owned(),
            entry.remark.to_owned(),
            entry.checked_on.to_string(),
        ];
        page += &format!("| {} |\n", row.join(" | ")).replace("|  |", "| |");
    }
    let others: Vec<&str> = states_with_law()
        .filter(|state| entries.iter().all(|entry| entry.state != *state))
        .map(crate::State::code)
        .collect();
    page.push_str(
        "
No rule: ",
    );
    page.push_str(&others.join(", "));
    page.push_str(
        "; nor have the armed-forces post offices (AA, AE, AP), which cannot be given one.
",
    );
    page
}
