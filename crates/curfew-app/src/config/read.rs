//! From the tree of a YAML text to a configuration, noting every problem on the way.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ops::Range,
};

use curfew_engine::{
    Day, Decimal, PlanConfig, State,
    rule::{Rule, RuleTable},
};
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json};

use super::{
    CampaignInstance, CampaignType, Config, ConfigError, Problem, Problems,
    keys::{
        CAMPAIGN_INSTANCE, CAMPAIGN_TYPE, CONFIG, Key, Kind, MONTH_DAY, MonthDay, OVERRIDES, Value,
    },
    yaml::{self, Node, Tree},
};

pub(super) fn config(text: &str, name: &str) -> Result<Config, ConfigError> {
    // Some editors begin files with a byte-order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader =
        Reader { text, problems: Vec::new(), more: 0, places: BTreeMap::new(), states: Vec::new() };
    let mut config = Config::default();
    match yaml::parse(text) {
        Err(fault) => {
            let hint = fault.hint.map(str::to_owned);
            reader.problem(&fault.place, "", fault.message, hint);
        }
        Ok(None) => {}
        Ok(Some(root)) => {
            reader.keys(&root, "", "", CONFIG, PARTS, &mut config);
            reader.default_rules_reach_no_further_than_a_year(&config.plan);
            reader.follow_ups_end_after_they_begin(&config);
        }
    }
    if reader.problems.is_empty() {
        Ok(config)
    } else {
        Err(Problems::new(name, reader.problems, reader.more).into())
    }
}

/// What lies below a key whose own keys are names.
type Part<T> = (&'static str, fn(&mut Reader<'_>, &Node, &mut T));

/// In the order in which they are read: the reach of a rule is checked with the days of all keys.
const PARTS: &[Part<Config>] = &[
    ("state_rules", |reader, node, config| reader.state_rules(node, config)),
    ("campaign_types", |reader, node, config| reader.campaign_types(node, config)),
    ("campaign_instances", |reader, node, config| reader.campaign_instances(node, config)),
];

const PRE_WINDOW: &str = "timing_constants.pre_window_exclusion_days";
const DELAY: &str = "timing_constants.followup_delay_days";
const LOOKBACK: &str = "timing_constants.followup_lookback_days";

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
    /// Problems beyond [`Problems::LISTED_MAX`].
    more: usize,
    /// Where the values stand that are checked against others.
    places: BTreeMap<String, Range<usize>>,
    /// The states to which the file gives rules.
    states: Vec<State>,
}

impl Reader<'_> {
    fn problem(&mut self, place: &Range<usize>, key: &str, message: String, hint: Option<String>) {
        if self.problems.len() < Problems::LISTED_MAX {
            self.problems.push(Problem::new(self.text, place.clone(), key, message, hint));
        } else {
            self.more += 1;
        }
    }

    /// How many problems there are so far.
    fn count(&self) -> usize {
        self.problems.len() + self.more
    }

    fn expected(&mut self, node: &Node, key: &str, expected: &str, hint: Option<String>) {
        let message = format!("expected {expected}, found {}", found(node));
        self.problem(&node.place, key, message, hint);
    }

    /// The keys and values of a mapping, each key once; nothing at all is a mapping without keys.
    fn entries<'n>(&mut self, node: &'n Node, key: &str) -> Vec<(&'n yaml::Key, &'n Node)> {
        let Tree::Mapping(entries) = &node.tree else {
            if !node.is_null() {
                let message = "keys and values, such as `key: value`";
                self.expected(node, key, message, None);
            }
            return Vec::new();
        };
        let mut places = BTreeMap::new();
        let mut once = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            match places.entry(name.text.as_str()) {
                Entry::Vacant(entry) => {
                    entry.insert(name.place.start);
                    once.push((name, value));
                }
                Entry::Occupied(entry) => {
                    let line = 1 + self.text[..*entry.get()].matches('\n').count();
                    let message = format!("is given twice, first on line {line}");
                    self.problem(&name.place, &join(key, &name.text), message, None);
                }
            }
        }
        once
    }

    fn items<'n>(&mut self, node: &'n Node, key: &str, expected: &str) -> &'n [Node] {
        if let Tree::List(items) = &node.tree {
            return items;
        }
        if !node.is_null() {
            self.expected(node, key, expected, None);
        }
        &[]
    }

    /// Reads the mapping `node`: its keys are those of the table below `section`. Errors call them
    /// by `path`.
    fn keys<T>(
        &mut self,
        node: &Node,
        path: &str,
        section: &str,
        keys: &'static [Key<T>],
        parts: &[Part<T>],
        target: &mut T,
    ) {
        let entries = self.entries(node, path);
        let mut given = Vec::new();
        let mut later = Vec::new();
        for (name, value) in &entries {
            let path = join(path, &name.text);
            if name.text.contains('.') {
                // In the table the point separates levels; no name has one.
                self.unknown_key(name, &path, section, keys, parts);
                continue;
            }
            let in_table = join(section, &name.text);
            if let Some(key) = keys.iter().find(|key| key.path == in_table) {
                given.push(key.path);
                if let Some(read) = self.value(key.kind, value, &path) {
                    (key.set)(target, read);
                    self.places.insert(path, value.place.clone());
                }
            } else if let Some((_, read)) = parts.iter().find(|(part, _)| *part == in_table) {
                later.push((read, value));
            } else if keys.iter().any(|key| below(key.path, &in_table).is_some()) {
                self.keys(value, &path, &in_table, keys, &[], target);
            } else {
                self.unknown_key(name, &path, section, keys, parts);
            }
        }
        for (read, value) in later {
            read(self, value, target);
        }
        let missing: Vec<String> = keys
            .iter()
            .filter(|key| key.required && !given.contains(&key.path))
            .map(|key| format!("`{}`", key.path))
            .collect();
        if !missing.is_empty() && (node.is_null() || matches!(node.tree, Tree::Mapping(_))) {
            let message = format!("{} missing", and_verb(&missing));
            self.problem(&node.place, path, message, None);
        }
    }

    fn unknown_key<T>(
        &mut self,
        name: &yaml::Key,
        path: &str,
        section: &str,
        keys: &[Key<T>],
        parts: &[Part<T>],
    ) {
        let mut here: Vec<&str> = Vec::new();
        for key in keys {
            let child = below(key.path, section).and_then(|rest| rest.split('.').next());
            here.extend(child.filter(|child| !here.contains(child)));
        }
        here.extend(parts.iter().map(|(part, _)| *part).filter(|_| section.is_empty()));
        // A key of another section is at the wrong depth, or too far left.
        let last = name.text.rsplit('.').next().unwrap_or_default();
        let elsewhere = keys
            .iter()
            .filter_map(|key| key.path.rsplit_once('.'))
            .find(|(above, key)| *key == last && *above != section);
        let hint = match (closest(&name.text, here.iter().copied()), elsewhere) {
            (Some(close), None) => format!("did you mean `{close}`?"),
            (_, Some((above, last))) => format!("`{last}` belongs below `{above}`"),
            (None, None) => format!("the keys here are {}", here.join(", ")),
        };
        self.problem(&name.place, path, "there is no such key".to_owned(), Some(hint));
    }

    /// Reads one value; if it is refused, the problem is noted.
    fn value(&mut self, kind: Kind, node: &Node, key: &str) -> Option<Value> {
        let expected = kind.expected();
        let result = match kind {
            Kind::Dates => return self.dates(node, key).map(Value::Dates),
            Kind::Years => return self.years(node, key).map(Value::Years),
            Kind::Object => return self.object(node, key),
            Kind::OptionalName(_) | Kind::OptionalDate if node.is_null() => {
                return Some(Value::Nothing);
            }
            _ if node.is_null() => Err(Some("write a value, or leave the key out".to_owned())),
            _ => match &node.tree {
                Tree::Scalar { text, plain } => scalar(kind, text, *plain),
                Tree::List(_) | Tree::Mapping(_) => Err(None),
            },
        };
        result.map_err(|hint| self.expected(node, key, &expected, hint)).ok()
    }

    fn dates(&mut self, node: &Node, key: &str) -> Option<Vec<(i8, i8)>> {
        let problems = self.count();
        let mut dates = Vec::new();
        for (i, item) in self.items(node, key, &Kind::Dates.expected()).iter().enumerate() {
            let key = format!("{key}[{i}]");
            let mut date = MonthDay::default();
            let before = self.count();
            self.keys(item, &key, "", MONTH_DAY, &[], &mut date);
            if self.count() > before {
                continue;
            }
            let MonthDay { month, day } = date;
            // 2028 is a leap year: February 29 is a date.
            if Day::from_ymd(2028, month, day).is_none() {
                let message = format!("there is no day {day} of month {month}");
                self.problem(&item.place, &key, message, None);
            } else if dates.contains(&(month, day)) {
                let message = "this date is given twice".to_owned();
                self.problem(&item.place, &key, message, None);
            } else {
                dates.push((month, day));
            }
        }
        dates.sort_unstable();
        let null = node.is_null() && self.count() == problems;
        (self.count() == problems && !null).then_some(dates)
    }

    fn years(&mut self, node: &Node, key: &str) -> Option<Vec<i16>> {
        const YEAR: Kind = Kind::Whole(1900, 9000);
        let problems = self.count();
        let mut years = BTreeSet::new();
        for (i, item) in self.items(node, key, &Kind::Years.expected()).iter().enumerate() {
            let key = format!("{key}[{i}]");
            let Some(Value::Whole(year)) = self.value(YEAR, item, &key) else { continue };
            let Ok(year) = i16::try_from(year) else { continue };
            if !years.insert(year) {
                let message = "this year is given twice".to_owned();
                self.problem(&item.place, &key, message, None);
            }
        }
        (self.count() == problems).then(|| years.into_iter().collect())
    }

    /// The metadata of a campaign instance.
    fn object(&mut self, node: &Node, key: &str) -> Option<Value> {
        if node.is_null() {
            return Some(Value::Nothing);
        }
        let problems = self.count();
        if let Tree::Mapping(entries) = &node.tree {
            for (name, value) in entries {
                if let Some((_, kind)) = OVERRIDES.iter().find(|(known, _)| *known == name.text) {
                    self.value(*kind, value, &join(key, &name.text));
                }
            }
        }
        let map = self.map(node, key);
        (self.count() == problems).then_some(Value::Object(map))
    }

    fn map(&mut self, node: &Node, key: &str) -> Map<String, Json> {
        const NAME_MAX: usize = 255;
        let mut map = Map::new();
        for (name, value) in self.entries(node, key) {
            if name.text.chars().count() > NAME_MAX {
                let message = format!("the key is longer than {NAME_MAX} characters");
                self.problem(&name.place, key, message, None);
            } else {
                let value = self.json(value, &join(key, &name.text));
                map.insert(name.text.clone(), value);
            }
        }
        map
    }

    fn json(&mut self, node: &Node, key: &str) -> Json {
        match &node.tree {
            Tree::Mapping(_) => Json::Object(self.map(node, key)),
            Tree::List(items) => Json::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| self.json(item, &format!("{key}[{i}]")))
                    .collect(),
            ),
            Tree::Scalar { .. } if node.is_null() => Json::Null,
            Tree::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => Json::Bool(true),
                "false" | "False" | "FALSE" => Json::Bool(false),
                _ if looks_like_json_number(text) => json_number(text).unwrap_or_else(|| {
                    let hint = Some("write it in quotes to have it as a text".to_owned());
                    self.expected(node, key, "a number that JSON can hold", hint);
                    Json::Null
                }),
                _ => Json::from(text.as_str()),
            },
            Tree::Scalar { text, plain: false } => Json::from(text.as_str()),
        }
    }

    fn state_rules(&mut self, node: &Node, config: &mut Config) {
        let pre_window_days = config.plan.pre_window_days;
        for (name, value) in self.entries(node, "state_rules") {
            let key = join("state_rules", &name.text);
            let Some(state) = State::from_code(&name.text) else {
                let military = State::all().any(|state| state.code() == name.text);
                let hint = if military {
                    "armed-forces post offices cannot have rules of their own"
                } else {
                    "write the two letters of a state or territory, such as `CA`"
                };
                let message = "there is no such state".to_owned();
                self.problem(&name.place, &key, message, Some(hint.to_owned()));
                continue;
            };
            if self.states.contains(&state) {
                let message = format!("the rules of {state} are given twice");
                self.problem(&name.place, &key, message, None);
                continue;
            }
            self.states.push(state);
            let rules = match &value.tree {
                Tree::List(items) => items
                    .iter()
                    .enumerate()
                    .filter_map(|(i, item)| {
                        self.rule(item, &format!("{key}[{i}]"), pre_window_days)
                    })
                    .collect(),
                _ => self.rule(value, &key, pre_window_days).into_iter().collect(),
            };
            config.plan.rules.set(state, rules);
        }
    }

    fn rule(&mut self, node: &Node, key: &str, pre_window_days: u16) -> Option<Rule> {
        const RULE: &str = "a rule, such as `birthday -30..+60`, or a list of rules";
        let Tree::Scalar { text, plain } = &node.tree else {
            self.expected(node, key, RULE, None);
            return None;
        };
        let none = node.is_null() || ["none", "no"].contains(&text.to_ascii_lowercase().as_str());
        if none || text.trim().is_empty() {
            let hint = "write `[]` for a state without rules";
            self.expected(node, key, RULE, Some(hint.to_owned()));
            return None;
        }
        let error = match Rule::parse(text, pre_window_days) {
            Ok(rule) => return Some(rule),
            Err(error) => error,
        };
        // Where the text stands in the file as it was read, the place within it is marked.
        let written = &self.text[node.place.clone()];
        let quotes = usize::from(!plain);
        let inner = written.get(quotes..written.len().saturating_sub(quotes));
        let hint = error.hint().map(str::to_owned);
        if inner == Some(text.as_str()) {
            let start = node.place.start + quotes;
            let place = start + error.span().start..start + error.span().end;
            self.problem(&place, key, error.problem().to_string(), hint);
        } else {
            let message = format!("{} in `{}`", error.problem(), shorten(text));
            self.problem(&node.place, key, message, hint);
        }
        None
    }

    /// With more days in front of every window, rules that the file does not name may reach too far.
    fn default_rules_reach_no_further_than_a_year(&mut self, plan: &PlanConfig) {
        let pre_window_days = plan.pre_window_days;
        let Some(place) = self.places.get(PRE_WINDOW).cloned() else { return };
        let worst = plan
            .rules
            .lines()
            .filter(|line| !self.states.contains(&line.state))
            .filter_map(|line| Some((line, line.rule.check_reach(pre_window_days).err()?)))
            .max_by_key(|(_, error)| error.reach_days());
        let Some((line, error)) = worst else { return };
        let days = u32::from(error.before_days) + u32::from(error.after_days);
        let message = format!(
            "with {pre_window_days} days the rule `{line}` reaches over {} days, it must be below {}",
            error.reach_days(),
            RuleTable::REACH_DAYS_BELOW
        );
        let most = (RuleTable::REACH_DAYS_BELOW - 1).saturating_sub(days);
        let hint = format!("write at most {most}, or give {} another rule", line.state);
        self.problem(&place, PRE_WINDOW, message, Some(hint));
    }

    fn campaign_types(&mut self, node: &Node, config: &mut Config) {
        let mut seen = BTreeMap::new();
        for (name, value) in self.entries(node, "campaign_types") {
            let key = join("campaign_types", &name.text);
            if let Err(hint) = scalar(Kind::Name(100), &name.text, false) {
                let message = format!("the name must be {}", Kind::Name(100).expected());
                self.problem(&name.place, &key, message, hint);
            } else if let Some(other) = seen.insert(name.text.to_lowercase(), &name.text) {
                let message = format!("differs from `{other}` in capitals only");
                let hint = "the kind of its messages is written in lower case".to_owned();
                self.problem(&name.place, &key, message, Some(hint));
            }
            let mut campaign_type = CampaignType::default();
            self.keys(value, &key, "", CAMPAIGN_TYPE, &[], &mut campaign_type);
            config.campaign_types.insert(name.text.clone(), campaign_type);
        }
    }

    fn campaign_instances(&mut self, node: &Node, config: &mut Config) {
        const LIST: &str = "a list of campaign instances";
        let mut seen = BTreeMap::new();
        for (i, item) in self.items(node, "campaign_instances", LIST).iter().enumerate() {
            let key = format!("campaign_instances[{i}]");
            let mut instance = CampaignInstance::default();
            let problems = self.count();
            self.keys(item, &key, "", CAMPAIGN_INSTANCE, &[], &mut instance);
            if let (Some(start), Some(end)) = (instance.active_start_date, instance.active_end_date)
                && start > end
            {
                let name = format!("{key}.active_end_date");
                let place = self.places.get(&name).unwrap_or(&item.place).clone();
                let message = format!("the last day {end} is before the first day {start}");
                self.problem(&place, &name, message, None);
            }
            if self.count() > problems {
                continue;
            }
            let identity = (instance.campaign_type.to_lowercase(), instance.instance_name.clone());
            if let Some(first) = seen.insert(identity, i) {
                let message = format!(
                    "the instance `{}` of `{}` is given twice, first as campaign_instances[{first}]",
                    instance.instance_name, instance.campaign_type
                );
                self.problem(&item.place, &key, message, None);
            }
            config.campaign_instances.push(instance);
        }
    }

    fn follow_ups_end_after_they_begin(&mut self, config: &Config) {
        let (delay, lookback) =
            (config.plan.followup_delay_days, config.plan.followup_lookback_days);
        let place = |key| self.places.get(key).cloned();
        let (key, message) = if let Some(place) = place(DELAY) {
            let message = format!(
                "{delay} is more than `followup_lookback_days`, {lookback}: no follow-up could go out"
            );
            ((place, DELAY), message)
        } else if let Some(place) = place(LOOKBACK) {
            let message = format!(
                "{lookback} is less than `followup_delay_days`, {delay}: no follow-up could go out"
            );
            ((place, LOOKBACK), message)
        } else {
            return;
        };
        if delay > lookback {
            self.problem(&key.0, key.1, message, None);
        }
    }
}

/// Reads a value that is one word or text; if it is refused, what to do about it.
fn scalar(kind: Kind, text: &str, plain: bool) -> Result<Value, Option<String>> {
    match kind {
        Kind::Zone => match TimeZone::get(text) {
            Ok(zone) if !zone.is_unknown() && zone.iana_name().is_some() => Ok(Value::Zone(zone)),
            _ => {
                let names: Vec<String> =
                    jiff::tz::db().available().map(|name| name.to_string()).collect();
                Err(closest(text, names.iter().map(String::as_str))
                    .map(|name| format!("did you mean `{name}`?")))
            }
        },
        Kind::Time => time(text),
        Kind::Whole(min, max) => {
            let number = whole(text, plain)?;
            if (min..=max).contains(&number) { Ok(Value::Whole(number)) } else { Err(None) }
        }
        Kind::Share | Kind::Factor => {
            let number: Decimal = text.parse().map_err(|_| decimal_hint(text))?;
            let fits = match kind {
                Kind::Share => number > Decimal::new(0, 0) && number <= Decimal::new(1, 0),
                _ => number >= Decimal::new(1, 0) && number <= Decimal::new(1000, 0),
            };
            if fits { Ok(Value::Decimal(number)) } else { Err(None) }
        }
        Kind::Name(max) | Kind::OptionalName(max) => {
            if text.trim() != text {
                Err(Some("remove the space at its beginning or end".to_owned()))
            } else if text.chars().any(char::is_control) {
                Err(Some("remove line breaks and other control characters".to_owned()))
            } else if plain && reads_as_another_type(text) {
                Err(Some("write it in quotes to have it as a text".to_owned()))
            } else if (1..=max).contains(&text.chars().count()) {
                Ok(Value::Text(text.to_owned()))
            } else {
                Err(None)
            }
        }
        Kind::Flag => match (text, plain) {
            ("true" | "True" | "TRUE", true) => Ok(Value::Flag(true)),
            ("false" | "False" | "FALSE", true) => Ok(Value::Flag(false)),
            ("true" | "false", false) => Err(Some(format!("write `{text}` without quotes"))),
            _ => Err(match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "on" | "1" => Some("write `true`".to_owned()),
                "no" | "n" | "off" | "0" => Some("write `false`".to_owned()),
                _ => None,
            }),
        },
        Kind::OptionalDate => match Day::parse(text) {
            Ok(day) if text.len() == 10 => Ok(Value::Date(day)),
            Err(curfew_engine::DateError::NotReal) => Err(Some("there is no such date".to_owned())),
            _ => Err(None),
        },
        Kind::Dates | Kind::Years | Kind::Object => Err(None),
    }
}

fn time(text: &str) -> Result<Value, Option<String>> {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |part: &str, below: u8| {
        let digits = matches!(part.len(), 1 | 2) && part.bytes().all(|c| c.is_ascii_digit());
        part.parse().ok().filter(|number: &u8| digits && *number < below)
    };
    let (hour, minute, second) = match parts[..] {
        [hour, minute] => (number(hour, 24), number(minute, 60), Some(0)),
        [hour, minute, second] => (number(hour, 24), number(minute, 60), number(second, 60)),
        _ => (None, None, None),
    };
    let (Some(hour), Some(minute), Some(second)) = (hour, minute, second) else { return Err(None) };
    let full = format!("{hour:02}:{minute:02}:{second:02}");
    if full == text { Ok(Value::Text(full)) } else { Err(Some(format!("write `\"{full}\"`"))) }
}

fn whole(text: &str, plain: bool) -> Result<i64, Option<String>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    if all_digits && plain && (digits == "0" || !digits.starts_with('0')) {
        return text.parse().map_err(|_| None);
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    let kept: String =
        digits.chars().filter(|c| !matches!(c, '_' | ',' | '\'' | ' ' | '+')).collect();
    let kept = kept.split_once('.').map_or(kept.as_str(), |(whole, fraction)| {
        if fraction.bytes().all(|c| c == b'0') { whole } else { "" }
    });
    let kept = kept.trim_start_matches('0');
    let plain_number = match kept {
        "" if digits.bytes().any(|c| c == b'0') && digits.bytes().all(|c| b"0._".contains(&c)) => {
            "0"
        }
        kept if !kept.is_empty() && kept.bytes().all(|c| c.is_ascii_digit()) => kept,
        _ => return Err(None),
    };
    let hint = format!("write `{sign}{plain_number}`");
    Err(Some(if plain { hint } else { hint + " without quotes" }))
}

fn decimal_hint(text: &str) -> Option<String> {
    let (number, percent) = match text.strip_suffix('%') {
        Some(number) => (number.trim(), true),
        None => (text, false),
    };
    let number: f64 = number.replace(',', ".").parse().ok()?;
    let number = if percent { number / 100.0 } else { number };
    let written = number.to_string();
    let decimal: Decimal = written.parse().ok()?;
    Some(format!("write `{decimal}`"))
}

/// Whether YAML takes the bare word for a number, a truth value or nothing.
fn reads_as_another_type(text: &str) -> bool {
    looks_like_json_number(text)
        || ["true", "false", "null", "~"].contains(&text.to_ascii_lowercase().as_str())
}

fn looks_like_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let split = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(split);
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    (whole == "0" || (all_digits(whole) && !whole.starts_with('0')))
        && (fraction.is_empty() || fraction.strip_prefix('.').is_some_and(all_digits))
        && exponent.is_none_or(|exponent| all_digits(exponent.trim_start_matches(['+', '-'])))
}

/// The number, to the last bit; `None` if it is out of all ranges.
fn json_number(text: &str) -> Option<Json> {
    let whole =
        text.parse::<i64>().map(Json::from).or_else(|_| text.parse::<u64>().map(Json::from));
    whole.ok().or_else(|| serde_json::Number::from_f64(text.parse().ok()?).map(Json::Number))
}

/// What stands where something else was expected.
fn found(node: &Node) -> String {
    match &node.tree {
        Tree::List(_) => "a list".to_owned(),
        Tree::Mapping(_) => "keys and values".to_owned(),
        Tree::Scalar { .. } if node.is_null() => "nothing".to_owned(),
        Tree::Scalar { text, plain: true } => format!("`{}`", shorten(text)),
        Tree::Scalar { text, .. } => format!("the text \"{}\"", shorten(text)),
    }
}

fn shorten(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut shown: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The candidate that looks most like the word, if one does.
fn closest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // Long words are never near, and comparing costs the product of the lengths.
    if word.len() > 60 {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The key `name` below the key `path`.
fn join(path: &str, name: &str) -> String {
    let name = shorten(name);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// The rest of a path below a section; the section "" holds every path.
fn below<'p>(path: &'p str, section: &str) -> Option<&'p str> {
    if section.is_empty() {
        return Some(path);
    }
    path.strip_prefix(section)?.strip_prefix('.')
}

/// `a is`, or `a and b are`.
fn and_verb(names: &[String]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(" and "))
}
