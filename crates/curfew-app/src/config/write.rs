//! Configurations as YAML in one canonical form, and what differs between two of them.

use std::{collections::BTreeMap, fmt::Write as _};

use curfew_engine::rule;
use serde_json::Value as Json;

use super::{
    Config,
    keys::{CAMPAIGN_INSTANCE, CAMPAIGN_TYPE, CONFIG, Key},
};

/// A key whose value differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The key: `timing_constants.grace_days`, `state_rules.CA`,
    /// `campaign_types.rate_increase.priority`, `campaign_instances[rate_increase/May].metadata`.
    pub key: String,
    /// The value in the first configuration as YAML on one line; `None` where it has no such
    /// campaign.
    pub old: Option<String>,
    /// The value in the second.
    pub new: Option<String>,
}

/// The keys whose values differ, in the order in which they are written; those that only `new` has
/// come last. Empty if and only if the configurations are equal.
///
/// ```
/// use curfew_app::config::{Config, diff};
/// let old = Config::default();
/// let new = Config::parse("timing_constants: {grace_days: 10}", "new.yaml")?;
/// let changes = diff(&old, &new);
/// assert_eq!(changes.len(), 1);
/// assert_eq!(changes[0].key, "timing_constants.grace_days");
/// assert_eq!(changes[0].old.as_deref(), Some("30"));
/// assert_eq!(changes[0].new.as_deref(), Some("10"));
/// # Ok::<(), curfew_app::config::ConfigError>(())
/// ```
pub fn diff(old: &Config, new: &Config) -> Vec<Difference> {
    let mut added = entries(new);
    let mut by_key: BTreeMap<String, String> = added.iter().cloned().collect();
    let mut differences = Vec::new();
    for (key, old) in entries(old) {
        let new = by_key.remove(&key);
        if new.as_ref() != Some(&old) {
            differences.push(Difference { key, old: Some(old), new });
        }
    }
    added.retain(|(key, _)| by_key.contains_key(key));
    differences.extend(added.into_iter().map(|(key, new)| Difference {
        key,
        old: None,
        new: Some(new),
    }));
    differences
}

impl Config {
    /// The configuration as YAML: every key with its value, every state with its rules, always in
    /// the same order and form. Reading it gives an equal configuration, also where the defaults of
    /// a later version differ.
    ///
    /// ```
    /// use curfew_app::config::Config;
    /// let config = Config::default();
    /// assert_eq!(Config::parse(&config.to_yaml(), "stored")?, config);
    /// # Ok::<(), curfew_app::config::ConfigError>(())
    /// ```
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        let mut above: Vec<&str> = Vec::new();
        for key in CONFIG {
            let mut names: Vec<&str> = key.path.split('.').collect();
            let name = names.pop().unwrap_or_default();
            let shared = above.iter().zip(&names).take_while(|(a, b)| a == b).count();
            for (depth, section) in names.iter().enumerate().skip(shared) {
                line(&mut out, depth, section, "");
            }
            line(&mut out, names.len(), name, &(key.get)(self).to_string());
            above = names;
        }
        line(&mut out, 0, "state_rules", "");
        for (state, rules) in state_rules(self) {
            line(&mut out, 1, state, &rules);
        }
        line(&mut out, 0, "campaign_types", if self.campaign_types.is_empty() { "{}" } else { "" });
        for (name, campaign_type) in &self.campaign_types {
            line(&mut out, 1, &quoted(name), "");
            for key in CAMPAIGN_TYPE {
                line(&mut out, 2, key.path, &(key.get)(campaign_type).to_string());
            }
        }
        let none = if self.campaign_instances.is_empty() { "[]" } else { "" };
        line(&mut out, 0, "campaign_instances", none);
        for instance in &self.campaign_instances {
            for (i, key) in CAMPAIGN_INSTANCE.iter().enumerate() {
                let name = format!("{} {}", if i == 0 { "-" } else { " " }, key.path);
                line(&mut out, 1, &name, &(key.get)(instance).to_string());
            }
        }
        out
    }

    /// A hash of [`Config::to_yaml`] in 64 hexadecimal digits: equal configurations have the same,
    /// on every machine.
    pub fn hash(&self) -> String {
        blake3::hash(self.to_yaml().as_bytes()).to_hex().to_string()
    }
}

fn line(out: &mut String, depth: usize, name: &str, value: &str) {
    let indent = "  ".repeat(depth);
    let space = if value.is_empty() { "" } else { " " };
    writeln!(out, "{indent}{name}:{space}{value}").expect("a String takes all text");
}

/// Every state with its rules as a value.
fn state_rules(config: &Config) -> impl Iterator<Item = (&'static str, String)> {
    rule::states_with_law().map(|state| {
        let rules: Vec<String> =
            config.plan.rules.of(state).iter().map(|rule| quoted(&rule.to_string())).collect();
        let value = match &rules[..] {
            [rule] => rule.clone(),
            rules => format!("[{}]", rules.join(", ")),
        };
        (state.code(), value)
    })
}

/// Every key with its value, each key once.
fn entries(config: &Config) -> Vec<(String, String)> {
    fn of<T>(above: &str, keys: &[Key<T>], it: &T, list: &mut Vec<(String, String)>) {
        list.extend(
            keys.iter().map(|key| (format!("{above}{}", key.path), (key.get)(it).to_string())),
        );
    }
    let mut list = Vec::new();
    of("", CONFIG, config, &mut list);
    list.extend(state_rules(config).map(|(state, rules)| (format!("state_rules.{state}"), rules)));
    for (name, campaign_type) in &config.campaign_types {
        of(&format!("campaign_types.{}.", quoted(name)), CAMPAIGN_TYPE, campaign_type, &mut list);
    }
    // New instances get their ids in the order of the list: it is a part of the configuration.
    let mut names = Vec::new();
    for instance in &config.campaign_instances {
        let name =
            format!("{}/{}", quoted(&instance.campaign_type), quoted(&instance.instance_name));
        of(&format!("campaign_instances[{name}]."), CAMPAIGN_INSTANCE, instance, &mut list);
        names.push(name);
    }
    list.push(("campaign_instances".to_owned(), format!("[{}]", names.join(", "))));
    list
}

/// A text as it is written in YAML: as it is where nothing can be misread, else in double quotes.
pub(super) fn quoted(text: &str) -> String {
    const WORDS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-/.+ ".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && text.chars().all(safe)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { json(&Json::from(text)) }
}

/// JSON on one line, with nothing in it that YAML would not take as it stands.
pub(super) fn json(value: &Json) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        // All but ASCII stands within quotes only, where JSON's escapes are YAML's.
        let printable = matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}'
            | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..);
        if printable {
            out.push(c);
        } else {
            write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes all text");
        }
    }
    out
}
