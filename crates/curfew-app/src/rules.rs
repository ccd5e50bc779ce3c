//! The exclusion rules in force, and checking a file of rules.

use std::path::Path;

use curfew_engine::rule::{self, RuleLine};
use serde::Serialize;

use crate::{Error, config::Config};

/// A rule of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// The state's code.
    pub state: &'static str,
    /// The rule, as it is written in a configuration.
    pub rule: String,
    /// `default` if the rules of this state are those of the default table, else `configuration`.
    pub origin: &'static str,
    /// Where a default rule comes from.
    pub source: Option<&'static str>,
    /// The day on which that source was last looked up.
    pub checked_on: Option<String>,
}

/// The rules of a configuration, by state.
pub fn in_force(config: &Config) -> Vec<RuleReport> {
    let defaults = rule::default_entries();
    config
        .plan
        .rules
        .states()
        .flat_map(|(state, rules)| {
            let default =
                defaults.iter().find(|entry| entry.state == state && entry.rules == rules);
            rules.iter().map(move |rule| RuleReport {
                state: state.code(),
                rule: rule.to_string(),
                origin: if default.is_some() { "default" } else { "configuration" },
                source: default.map(|entry| entry.source),
                checked_on: default.map(|entry| entry.checked_on.to_string()),
            })
        })
        .collect()
}

/// What is wrong with a file of rules.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.join("\n\n"))]
pub struct RulesError {
    /// One text for each bad line: file, line, the place, and what was expected.
    pub problems: Vec<String>,
}

/// Checks a file: a configuration if its name ends in `.yaml` or `.yml`, else a list with a rule in
/// each line (`CA: birthday -30..+60`). Empty lines, and what follows a `#` at the beginning of a line
/// or after a space, are left out. Returns the rules of the file: of a configuration all in force.
///
/// # Errors
/// If the file cannot be read or a rule is wrong; every wrong line is named.
pub fn check(path: &Path) -> Result<Vec<RuleReport>, Error> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if matches!(extension, Some("yaml" | "yml")) {
        return Ok(in_force(&Config::load(path)?));
    }
    let text = read(path)?;
    // Without a configuration its defaults are in force, the days ahead of every window among them.
    let pre_window_days = Config::default().plan.pre_window_days;
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for (line, number) in text.lines().zip(1..) {
        let line = without_comment(line);
        if line.trim().is_empty() {
            continue;
        }
        match RuleLine::parse(line, pre_window_days) {
            Err(error) => problems.push(format!("{}:{number}: {error}", path.display())),
            Ok(RuleLine { state, rule }) => rules.push(RuleReport {
                state: state.code(),
                rule: rule.to_string(),
                origin: "configuration",
                source: None,
                checked_on: None,
            }),
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(RulesError { problems }.into()) }
}

fn read(path: &Path) -> Result<String, Error> {
    let refused = |why: String| {
        Error::from(RulesError { problems: vec![format!("{}: {why}", path.display())] })
    };
    let bytes = std::fs::read(path).map_err(|cause| refused(format!("cannot be read: {cause}")))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        refused("is not text in UTF-8; save it as UTF-8, with one rule in each line".to_owned())
    })?;
    // Some editors write a mark before the first line.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The line up to a `#` at its beginning or after white space, as in YAML.
fn without_comment(line: &str) -> &str {
    let is_comment = |at: &usize| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let end = line.match_indices('#').map(|(at, _)| at).find(is_comment);
    &line[..end.unwrap_or(line.len())]
}
