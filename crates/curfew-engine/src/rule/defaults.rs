//! The default table of SPEC section 4: which rules hold where nothing else is configured, where
//! they come from, and when that was last checked.

use super::{Rule, RuleTable};
use crate::{Day, State};

/// The rules of one state in the default table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultEntry {
    /// The state.
    pub state: State,
    /// Its rules, at least one.
    pub rules: Vec<Rule>,
    /// The law behind them, as far as it was found, or that it was not found.
    pub source: &'static str,
    /// Where the rule goes beyond its source or stays behind it; may be empty.
    pub remark: &'static str,
    /// The day on which the source was last looked up.
    pub checked_on: Day,
}

/// One row of [`TABLE`].
struct Row {
    code: &'static str,
    rules: &'static [&'static str],
    source: &'static str,
    remark: &'static str,
    /// `YYYY-MM-DD`.
    checked_on: &'static str,
}

/// The table as it is maintained, in the order of the codes.
///
/// A law is named only where its text, or a summary by the state's own insurance department, was
/// read; what rests on something weaker says so.
const TABLE: &[Row] = &[
    Row {
        code: "CA",
        rules: &["birthday -30..+60"],
        source: "California Insurance Code § 10192.11, as amended by SB 407 (Statutes of 2019, \
                 chapter 549)",
        remark: "The days after the birthday were read in summaries by brokers, not in the code. \
                 The 30 days before it are the agency's policy.",
        checked_on: "2026-11-20",
    },
    Row {
        code: "CT",
        rules: &["all year"],
        source: "Connecticut General Statutes § 38a-495c: coverage is not denied for age, claims \
                 history or medical condition",
        remark: "",
        checked_on: "2026-11-20",
    },
    Row {
        code: "ID",
        rules: &["birthday -0..+63"],
        source: "IDAPA 18.04.10 (Idaho Department of Insurance, notice of the changes effective \
                 after 2022-02-28): 63 days beginning on the birthday",
        remark: "The rule closes one day more.",
        checked_on: "2026-11-20",
    },
    Row {
        code: "KY",
        rules: &["birthday -0..+60"],
        source: "Kentucky HB 345 of 2023",
        remark: "The 60 days were read in reports on the bill; the section of the statutes was \
                 not traced.",
        checked_on: "2026-11-20",
    },
    Row {
        code: "MA",
        rules: &["all year"],
        source: "211 CMR 71.10(1): no issuer may at any time deny or condition a policy",
        remark: "",
        checked_on: "2026-11-20",
    },
    Row {
        code: "MD",
        rules: &["birthday -0..+30"],
        source: "Maryland Insurance Article § 15-909(b)(6) (Laws of 2022, chapter 680), COMAR \
                 31.10.06.06: the 30 days following the birthday",
        remark: "",
        checked_on: "2026-11-20",
    },
    Row {
        code: "MO",
        rules: &["effective date -30..+33"],
        source: "20 CSR 400-3.650(10), as explained in the Missouri Department of Insurance's \
                 bulletin 99-03: within 30 days of the annual policy anniversary",
        remark: "The last three days are the agency's policy. The bulletin has since been \
                 repealed; the regulation's current text was not read.",
        checked_on: "2026-11-20",
    },
    Row {
        code: "NV",
        rules: &["birthday from month start -0..+60"],
        source: "NRS 687B.352: from the first day of the birthday month, open for at least 60 \
                 days thereafter",
        remark: "",
        checked_on: "2026-11-20",
    },
    Row {
        code: "NY",
        rules: &["all year"],
        source: "New York Insurance Law § 3231(a), and the state's answers to consumers on open \
                 enrollment: applicants for Medicare supplement coverage are accepted at all times \
                 throughout the year",
        remark: "",
        checked_on: "2026-11-20",
    },
    Row {
        code: "OK",
        rules: &["birthday -0..+60"],
        source: "OAC 365:10-5-129 (Oklahoma Insurance Department, questions and answers on open \
                 enrollment)",
        remark: "The number of days was read in summaries by brokers, not in the code.",
        checked_on: "2026-11-20",
    },
    Row {
        code: "OR",
        rules: &["birthday -0..+31"],
        source: "OAR 836-052-0143(2): from 30 days before to 30 days after the birthday",
        remark: "The 31st day after is the agency's policy. The 30 days before the birthday are \
                 closed only by the days ahead of every window (`pre_window_exclusion_days`).",
        checked_on: "2026-11-20",
    },
    Row {
        code: "VA",
        rules: &["birthday -0..+30"],
        source: "Virginia HB 2100 and SB 1199 of 2025, in force since 2025-07-01: from the \
                 birthday, open for at least 60 days thereafter",
        remark: "The 30 days are the agency's policy and end before the period of the law: have \
                 this entry reviewed.",
        checked_on: "2026-11-20",
    },
    Row {
        code: "WA",
        rules: &["all year"],
        source: "RCW 48.66.045: replacement policies are issued without evidence of insurability",
        remark: "",
        checked_on: "2026-11-20",
    },
];

/// The entries of the default table, by state code. States that are not among them have no rule.
pub fn default_entries() -> Vec<DefaultEntry> {
    TABLE
        .iter()
        .map(|row| DefaultEntry {
            state: State::from_code(row.code).expect("the table's codes exist"),
            rules: row
                .rules
                .iter()
                .map(|rule| rule.parse().expect("the table's rules are well formed"))
                .collect(),
            source: row.source,
            remark: row.remark,
            checked_on: Day::parse(row.checked_on).expect("the table's dates are real"),
        })
        .collect()
}

/// The default table.
pub fn default_table() -> RuleTable {
    let mut table = RuleTable::empty();
    for entry in default_entries() {
        table.set(entry.state, entry.rules);
    }
    table
}
