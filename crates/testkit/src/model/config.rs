//! The configuration of section 10.

use std::{collections::BTreeMap, fmt::Write as _};

use super::decimal::Decimal;
use crate::periods::{Rule, default_rules};

/// The names of an e-mail template and an SMS template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    /// Written to `email_template`.
    pub email: String,
    /// Written to `sms_template` of contacts with a phone number.
    pub sms: String,
}

/// Priority numbers by kind; the lowest number is the most important.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priorities {
    /// `birthday`
    pub birthday: i64,
    /// `effective_date`
    pub effective_date: i64,
    /// `aep`
    pub aep: i64,
    /// `post_window`
    pub post_window: i64,
    /// The follow-ups of initial rows without a priority.
    pub followup: i64,
}

/// A row of `campaign_types`.
#[allow(clippy::struct_excessive_bools, reason = "the table has these columns")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignType {
    /// Exclusion windows hold for its messages.
    pub respect_exclusion_windows: bool,
    /// Its messages have follow-ups.
    pub enable_followups: bool,
    /// Days from the ideal date to the trigger: positive is before the trigger, negative after it.
    pub days_before_event: i64,
    /// Every valid contact is a target.
    pub target_all_contacts: bool,
    /// Priority number of its messages.
    pub priority: i64,
    /// Instances of an inactive type take no part.
    pub active: bool,
}

/// A row of `campaign_instances`. Dates and JSON are kept as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CampaignInstance {
    /// Name of its type.
    pub campaign_type: String,
    /// Its own name.
    pub instance_name: String,
    /// Template of its e-mails.
    pub email_template: Option<String>,
    /// Template of its text messages.
    pub sms_template: Option<String>,
    /// First day on which it takes part, `YYYY-MM-DD`; none is open.
    pub active_start_date: Option<String>,
    /// Last day on which it takes part, `YYYY-MM-DD`; none is open.
    pub active_end_date: Option<String>,
    /// A JSON object that may override some settings of the type.
    pub metadata: Option<String>,
}

/// Every key of section 10. [`Default`] gives the default values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// Time zone name; the model is given its date and only passes this on.
    pub timezone: String,
    /// `HH:MM:SS`, written to `scheduled_send_time`.
    pub send_time: String,
    /// Contacts per transaction; changes no row.
    pub batch_size: u32,
    /// Days from a birthday message's ideal date to the birthday.
    pub birthday_email_days_before: i64,
    /// Days from an effective-date message's ideal date to the effective date.
    pub effective_date_days_before: i64,
    /// Days added before every window.
    pub pre_window_exclusion_days: i64,
    /// Days from the sent date to the follow-up's ideal date.
    pub followup_delay_days: i64,
    /// Days after the sent date during which a follow-up may go out.
    pub followup_lookback_days: i64,
    /// Every "+ 30" of a deadline in sections 5 and 7.
    pub grace_days: i64,
    /// Messages with an ideal date later than this many days from today are not considered.
    pub horizon_days: i64,
    /// Messages a contact may get within `period_days`.
    pub max_emails_per_period: i64,
    /// Length of the period of the frequency limit, in days.
    pub period_days: i64,
    /// Share of the contacts that may be written to on one day.
    pub daily_send_percentage_cap: Decimal,
    /// Effective-date messages with one ideal date above which they are smoothed, at most.
    pub ed_daily_soft_limit: i64,
    /// Days over which they are smoothed, at least 1.
    pub ed_smoothing_window_days: i64,
    /// Days over which late messages are spread, at least 1.
    pub catch_up_spread_days: i64,
    /// Factor of the daily cap that is the threshold, at least 1.
    pub overage_threshold: Decimal,
    /// Days a message may be moved by the daily cap.
    pub max_overflow_days: i64,
    /// Month and day of the yearly enrollment messages.
    pub aep_dates: Vec<(i8, i8)>,
    /// The years that have them; empty: every year.
    pub aep_years: Vec<i16>,
    /// Priority numbers.
    pub priorities: Priorities,
    /// Templates by kind: birthday, `effective_date`, aep, `post_window` and the four follow-ups.
    pub templates: BTreeMap<String, Templates>,
    /// The rules of all states: the whole table, not only what differs from the default.
    pub state_rules: Vec<Rule>,
    /// Types created or updated at the start of a run, by name.
    pub campaign_types: BTreeMap<String, CampaignType>,
    /// Instances created or updated at the start of a run.
    pub campaign_instances: Vec<CampaignInstance>,
    /// Where backups go; changes no row.
    pub backup_directory: String,
    /// How long they stay; changes no row.
    pub backup_retention_days: i64,
}

/// The kinds that have templates in the configuration.
pub const TEMPLATE_KINDS: [&str; 8] = [
    "birthday",
    "effective_date",
    "aep",
    "post_window",
    "followup_1_cold",
    "followup_2_clicked_no_hq",
    "followup_3_hq_no_yes",
    "followup_4_hq_with_yes",
];

impl Default for ModelConfig {
    fn default() -> Self {
        let templates = TEMPLATE_KINDS.map(|kind| {
            (kind.to_owned(), Templates { email: kind.to_owned(), sms: format!("{kind}_sms") })
        });
        Self {
            timezone: "America/Chicago".to_owned(),
            send_time: "08:30:00".to_owned(),
            batch_size: 10_000,
            birthday_email_days_before: 14,
            effective_date_days_before: 30,
            pre_window_exclusion_days: 60,
            followup_delay_days: 2,
            followup_lookback_days: 35,
            grace_days: 30,
            horizon_days: 366,
            max_emails_per_period: 3,
            period_days: 30,
            daily_send_percentage_cap: Decimal::new(7, 2),
            ed_daily_soft_limit: 15,
            ed_smoothing_window_days: 5,
            catch_up_spread_days: 7,
            overage_threshold: Decimal::new(12, 1),
            max_overflow_days: 30,
            aep_dates: vec![(9, 15)],
            aep_years: Vec::new(),
            priorities: Priorities {
                birthday: 10,
                effective_date: 20,
                aep: 30,
                post_window: 40,
                followup: 50,
            },
            templates: templates.into(),
            state_rules: default_rules(),
            campaign_types: BTreeMap::new(),
            campaign_instances: Vec::new(),
            backup_directory: "backups".to_owned(),
            backup_retention_days: 7,
        }
    }
}

/// A double-quoted YAML scalar: JSON's quoting is YAML's, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl ModelConfig {
    /// The configuration file with exactly these values, every key written out, so that the real program runs with the
    /// same configuration.
    pub fn to_yaml(&self) -> String {
        self.write_yaml().expect("writing to a String cannot fail")
    }

    fn write_yaml(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        writeln!(out, "timezone: {}", quoted(&self.timezone))?;
        writeln!(out, "send_time: {}", quoted(&self.send_time))?;
        writeln!(out, "batch_size: {}", self.batch_size)?;
        writeln!(out, "timing_constants:")?;
        for (key, value) in [
            ("birthday_email_days_before", self.birthday_email_days_before),
            ("effective_date_days_before", self.effective_date_days_before),
            ("pre_window_exclusion_days", self.pre_window_exclusion_days),
            ("followup_delay_days", self.followup_delay_days),
            ("followup_lookback_days", self.followup_lookback_days),
            ("grace_days", self.grace_days),
            ("horizon_days", self.horizon_days),
        ] {
            writeln!(out, "  {key}: {value}")?;
        }
        writeln!(out, "frequency_limits:")?;
        writeln!(out, "  max_emails_per_period: {}", self.max_emails_per_period)?;
        writeln!(out, "  period_days: {}", self.period_days)?;
        writeln!(out, "load_balancing:")?;
        writeln!(out, "  daily_send_percentage_cap: {}", self.daily_send_percentage_cap)?;
        writeln!(out, "  ed_daily_soft_limit: {}", self.ed_daily_soft_limit)?;
        writeln!(out, "  ed_smoothing_window_days: {}", self.ed_smoothing_window_days)?;
        writeln!(out, "  catch_up_spread_days: {}", self.catch_up_spread_days)?;
        writeln!(out, "  overage_threshold: {}", self.overage_threshold)?;
        writeln!(out, "  max_overflow_days: {}", self.max_overflow_days)?;
        let dates: Vec<String> = self
            .aep_dates
            .iter()
            .map(|(month, day)| format!("{{month: {month}, day: {day}}}"))
            .collect();
        writeln!(out, "aep_config:")?;
        writeln!(out, "  default_dates: [{}]", dates.join(", "))?;
        let years: Vec<String> = self.aep_years.iter().map(ToString::to_string).collect();
        writeln!(out, "  years: [{}]", years.join(", "))?;
        let Priorities { birthday, effective_date, aep, post_window, followup } = self.priorities;
        writeln!(
            out,
            "priorities: {{birthday: {birthday}, effective_date: {effective_date}, aep: {aep}, \
             post_window: {post_window}, followup: {followup}}}"
        )?;
        writeln!(out, "templates:")?;
        for (kind, Templates { email, sms }) in &self.templates {
            writeln!(out, "  {kind}: {{email: {}, sms: {}}}", quoted(email), quoted(sms))?;
        }
        self.write_rules(&mut out)?;
        self.write_campaigns(&mut out)?;
        writeln!(
            out,
            "backup: {{directory: {}, retention_days: {}}}",
            quoted(&self.backup_directory),
            self.backup_retention_days
        )?;
        Ok(out)
    }

    /// A default state without rules in this table is written as `[]`, or it would keep its default.
    fn write_rules(&self, out: &mut String) -> std::fmt::Result {
        let mut by_state: BTreeMap<String, Vec<String>> =
            default_rules().into_iter().map(|rule| (rule.state, Vec::new())).collect();
        for rule in &self.state_rules {
            by_state.entry(rule.state.clone()).or_default().push(quoted(&rule.to_string()));
        }
        writeln!(out, "state_rules:")?;
        for (state, rules) in by_state {
            match rules.as_slice() {
                [rule] => writeln!(out, "  {state}: {rule}")?,
                rules => writeln!(out, "  {state}: [{}]", rules.join(", "))?,
            }
        }
        Ok(())
    }

    fn write_campaigns(&self, out: &mut String) -> std::fmt::Result {
        if self.campaign_types.is_empty() {
            writeln!(out, "campaign_types: {{}}")?;
        } else {
            writeln!(out, "campaign_types:")?;
        }
        for (name, kind) in &self.campaign_types {
            writeln!(
                out,
                "  {}: {{respect_exclusion_windows: {}, enable_followups: {}, days_before_event: {}, \
                 target_all_contacts: {}, priority: {}, active: {}}}",
                quoted(name),
                kind.respect_exclusion_windows,
                kind.enable_followups,
                kind.days_before_event,
                kind.target_all_contacts,
                kind.priority,
                kind.active
            )?;
        }
        if self.campaign_instances.is_empty() {
            writeln!(out, "campaign_instances: []")?;
        } else {
            writeln!(out, "campaign_instances:")?;
        }
        for instance in &self.campaign_instances {
            writeln!(out, "  - campaign_type: {}", quoted(&instance.campaign_type))?;
            writeln!(out, "    instance_name: {}", quoted(&instance.instance_name))?;
            for (key, value) in [
                ("email_template", &instance.email_template),
                ("sms_template", &instance.sms_template),
                ("active_start_date", &instance.active_start_date),
                ("active_end_date", &instance.active_end_date),
            ] {
                if let Some(value) = value {
                    writeln!(out, "    {key}: {}", quoted(value))?;
                }
            }
            if let Some(metadata) = &instance.metadata {
                // A JSON object is a YAML flow mapping.
                writeln!(out, "    metadata: {metadata}")?;
            }
        }
        Ok(())
    }
}
