//! The keys of the configuration: one table that the reader, the writer, the comparison and the
//! documentation share.

use std::fmt;

use curfew_engine::{Day, Decimal};
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json};

use super::{CampaignInstance, CampaignType, Config, write::quoted};

/// A key that holds one value.
pub(super) struct Key<T> {
    /// Its name, with those of the keys above it: `timing_constants.grace_days`.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// Whether it must be given. Such keys have no default.
    pub(super) required: bool,
    /// For the documentation: what the value counts, what it is for.
    pub(super) unit: &'static str,
    pub(super) about: &'static str,
    pub(super) get: fn(&T) -> Value,
    pub(super) set: fn(&mut T, Value),
}

/// What a key's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The IANA name of a time zone.
    Zone,
    /// A time of day.
    Time,
    /// A whole number from one number to another.
    Whole(i64, i64),
    /// A decimal number above 0 and at most 1.
    Share,
    /// A decimal number from 1 to 1000.
    Factor,
    /// A text of at most so many characters.
    Name(usize),
    /// Such a text, or nothing.
    OptionalName(usize),
    /// `true` or `false`.
    Flag,
    /// A date, or nothing.
    OptionalDate,
    /// A list of months and days.
    Dates,
    /// A list of years.
    Years,
    /// A JSON object, or nothing.
    Object,
}

impl Kind {
    /// What is expected, as it stands in errors and in the documentation.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Zone => "the name of a time zone, such as `America/Chicago`".to_owned(),
            Self::Time => "a time of day `HH:MM:SS` in quotes".to_owned(),
            Self::Whole(i64::MIN, i64::MAX) => "a whole number".to_owned(),
            Self::Whole(min, max) => format!("a whole number from {min} to {max}"),
            Self::Share => "a decimal number above 0 and at most 1".to_owned(),
            Self::Factor => "a decimal number from 1 to 1000".to_owned(),
            Self::Name(max) | Self::OptionalName(max) => format!("a text of 1 to {max} characters"),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::OptionalDate => "a date `YYYY-MM-DD`".to_owned(),
            Self::Dates => "a list such as `[{month: 9, day: 15}]`".to_owned(),
            Self::Years => "a list of years from 1900 to 9000, such as `[2026, 2027]`".to_owned(),
            Self::Object => "keys and values".to_owned(),
        }
    }

    /// A value that is refused, for the documentation.
    pub(super) fn refused(self) -> String {
        match self {
            Self::Zone => "Chicago".to_owned(),
            Self::Time => "\"8:30\"".to_owned(),
            Self::Whole(min, i64::MAX) if min < 0 => "high".to_owned(),
            Self::Whole(_, max) => (max + 1).to_string(),
            Self::Share => "7%".to_owned(),
            Self::Factor => "0.9".to_owned(),
            Self::Name(_) => "\"\"".to_owned(),
            Self::OptionalName(_) => "[]".to_owned(),
            Self::Flag => "yes".to_owned(),
            Self::OptionalDate => "2027-02-29".to_owned(),
            Self::Dates => "[{month: 2, day: 30}]".to_owned(),
            Self::Years => "[26]".to_owned(),
            Self::Object => "text".to_owned(),
        }
    }
}

/// A value that was read, or is to be written. Prints as YAML on one line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nothing,
    Flag(bool),
    Whole(i64),
    Decimal(Decimal),
    Text(String),
    Zone(TimeZone),
    Date(Day),
    Dates(Vec<(i8, i8)>),
    Years(Vec<i16>),
    Object(Map<String, Json>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        match self {
            Self::Nothing => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Decimal(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Zone(zone) => f.write_str(&quoted(zone.iana_name().unwrap_or("UTC"))),
            Self::Date(day) => write!(f, "{day}"),
            Self::Dates(dates) => {
                let of = |(month, day): &(i8, i8)| format!("{{month: {month}, day: {day}}}");
                f.write_str(&list(dates.iter().map(of).collect()))
            }
            Self::Years(years) => {
                f.write_str(&list(years.iter().map(ToString::to_string).collect()))
            }
            Self::Object(map) => f.write_str(&super::write::json(&Json::Object(map.clone()))),
        }
    }
}

/// A field that a key sets.
pub(super) trait Field: Sized {
    fn value(&self) -> Value;
    /// `None` if the value is of another sort or does not fit.
    fn of(value: Value) -> Option<Self>;
}

macro_rules! field {
    ($type:ty, $case:ident) => {
        impl Field for $type {
            fn value(&self) -> Value {
                Value::$case(self.clone())
            }
            fn of(value: Value) -> Option<Self> {
                if let Value::$case(it) = value { Some(it) } else { None }
            }
        }
    };
    (whole $($type:ty),*) => {
        $(impl Field for $type {
            fn value(&self) -> Value {
                Value::Whole(i64::from(*self))
            }
            fn of(value: Value) -> Option<Self> {
                if let Value::Whole(it) = value { Self::try_from(it).ok() } else { None }
            }
        })*
    };
    (optional $type:ty, $case:ident) => {
        impl Field for Option<$type> {
            fn value(&self) -> Value {
                self.clone().map_or(Value::Nothing, Value::$case)
            }
            fn of(value: Value) -> Option<Self> {
                match value {
                    Value::Nothing => Some(None),
                    Value::$case(it) => Some(Some(it)),
                    _ => None,
                }
            }
        }
    };
}

field!(whole u16, u32, i32, i64, i8);
field!(bool, Flag);
field!(Decimal, Decimal);
field!(String, Text);
field!(TimeZone, Zone);
field!(Vec<(i8, i8)>, Dates);
field!(Vec<i16>, Years);
field!(optional String, Text);
field!(optional Day, Date);
field!(optional Map<String, Json>, Object);

macro_rules! key {
    (required $($key:tt)*) => { Key { required: true, ..key!($($key)*) } };
    ($path:literal, $kind:expr, $unit:literal, $about:literal, $($field:ident).+) => {
        Key {
            path: $path,
            kind: $kind,
            required: false,
            unit: $unit,
            about: $about,
            get: |it| it.$($field).+.value(),
            set: |it, value| {
                it.$($field).+ = Field::of(value).expect("the kind of the key fits its field");
            },
        }
    };
}

use Kind::{
    Dates, Factor, Flag, Name, Object, OptionalDate, OptionalName, Share, Time, Whole, Years, Zone,
};

const ANY: Kind = Whole(i64::MIN, i64::MAX);
const TEMPLATE: Kind = Name(255);

/// How far a trigger may be from the ideal date of a campaign message, in days.
pub(super) const TRIGGER_DAYS: Kind = Whole(-3650, 3650);
/// Priorities may be any whole number.
pub(super) const PRIORITY: Kind = ANY;

/// The keys of the file, in the order in which they are written. `state_rules`, `campaign_types`
/// and `campaign_instances`, whose keys are names, come in addition.
pub(super) static CONFIG: &[Key<Config>] = &[
    key!("timezone", Zone, "", "Where the organization's days begin and end.", timezone),
    key!("send_time", Time, "", "Time of day written to every planned message.", plan.send_time),
    key!("batch_size", Whole(1, 1_000_000), "contacts", "Contacts per transaction.", batch_size),
    // Up to 300: with more, last year's message would count as this year's (SPEC section 5 takes
    // any sent message from 60 days before the ideal date on for the one of the event).
    key!(
        "timing_constants.birthday_email_days_before",
        Whole(0, 300),
        "days",
        "From the ideal date of a birthday message to the birthday.",
        plan.birthday_days_before
    ),
    key!(
        "timing_constants.effective_date_days_before",
        Whole(0, 300),
        "days",
        "From the ideal date of an effective-date message to the effective date.",
        plan.effective_date_days_before
    ),
    key!(
        "timing_constants.pre_window_exclusion_days",
        Whole(0, 363),
        "days",
        "Closed days in front of every exclusion window. With the days of any rule they must stay \
         below 364.",
        plan.pre_window_days
    ),
    key!(
        "timing_constants.followup_delay_days",
        Whole(0, 3650),
        "days",
        "From the sending of a message to its follow-up. Not above `followup_lookback_days`.",
        plan.followup_delay_days
    ),
    key!(
        "timing_constants.followup_lookback_days",
        Whole(0, 3650),
        "days",
        "Days after the sending of a message until which its follow-up may go out.",
        plan.followup_lookback_days
    ),
    key!(
        "timing_constants.grace_days",
        Whole(0, 365),
        "days",
        "Days after its ideal date until which a message without a firm deadline may go out.",
        plan.grace_days
    ),
    key!(
        "timing_constants.horizon_days",
        Whole(1, 3650),
        "days",
        "How far ahead messages are planned.",
        plan.horizon_days
    ),
    key!(
        "frequency_limits.max_emails_per_period",
        Whole(1, 1000),
        "messages",
        "Messages that a contact gets within a period, follow-ups apart.",
        plan.emails_per_period_max
    ),
    key!(
        "frequency_limits.period_days",
        Whole(1, 3650),
        "days",
        "Length of that period.",
        plan.period_days
    ),
    key!(
        "load_balancing.daily_send_percentage_cap",
        Share,
        "share of all contacts",
        "How many contacts are written to on one day: 0.07 is 7 percent.",
        plan.daily_cap
    ),
    key!(
        "load_balancing.ed_daily_soft_limit",
        Whole(1, 1_000_000),
        "messages",
        "Effective-date messages with one ideal date, at most, that are not spread.",
        plan.ed_daily_soft_limit
    ),
    key!(
        "load_balancing.ed_smoothing_window_days",
        Whole(1, 366),
        "days",
        "Days over which they are spread; 1 spreads nothing.",
        plan.ed_smoothing_window_days
    ),
    key!(
        "load_balancing.catch_up_spread_days",
        Whole(1, 366),
        "days",
        "Days over which late messages are spread.",
        plan.catch_up_spread_days
    ),
    key!(
        "load_balancing.overage_threshold",
        Factor,
        "times the daily cap",
        "Volume of a day above which messages are moved to later days.",
        plan.overage_threshold
    ),
    key!(
        "load_balancing.max_overflow_days",
        Whole(0, 366),
        "days",
        "How far they may be moved; 0 moves nothing.",
        plan.max_overflow_days
    ),
    key!(
        "aep_config.default_dates",
        Dates,
        "",
        "Days of the annual enrollment messages; `[]` sends none. Of dates 60 days apart or less, \
         one message may count for both.",
        plan.aep_dates
    ),
    key!(
        "aep_config.years",
        Years,
        "",
        "Years in which they are sent; `[]` is every year.",
        plan.aep_years
    ),
    key!(
        "priorities.birthday",
        ANY,
        "",
        "A lower number is more important.",
        plan.priorities.birthday
    ),
    key!(
        "priorities.effective_date",
        ANY,
        "",
        "A lower number is more important.",
        plan.priorities.effective_date
    ),
    key!("priorities.aep", ANY, "", "A lower number is more important.", plan.priorities.aep),
    key!(
        "priorities.post_window",
        ANY,
        "",
        "A lower number is more important.",
        plan.priorities.post_window
    ),
    key!(
        "priorities.followup",
        ANY,
        "",
        "Of follow-ups whose first message has no priority of its own.",
        plan.priorities.followup
    ),
    key!(
        "templates.birthday.email",
        TEMPLATE,
        "",
        "E-mail template.",
        plan.templates.birthday.email
    ),
    key!("templates.birthday.sms", TEMPLATE, "", "SMS template.", plan.templates.birthday.sms),
    key!(
        "templates.effective_date.email",
        TEMPLATE,
        "",
        "E-mail template.",
        plan.templates.effective_date.email
    ),
    key!(
        "templates.effective_date.sms",
        TEMPLATE,
        "",
        "SMS template.",
        plan.templates.effective_date.sms
    ),
    key!("templates.aep.email", TEMPLATE, "", "E-mail template.", plan.templates.aep.email),
    key!("templates.aep.sms", TEMPLATE, "", "SMS template.", plan.templates.aep.sms),
    key!(
        "templates.post_window.email",
        TEMPLATE,
        "",
        "E-mail template.",
        plan.templates.post_window.email
    ),
    key!(
        "templates.post_window.sms",
        TEMPLATE,
        "",
        "SMS template.",
        plan.templates.post_window.sms
    ),
    key!(
        "templates.followup_1_cold.email",
        TEMPLATE,
        "",
        "E-mail template.",
        plan.templates.followup_1_cold.email
    ),
    key!(
        "templates.followup_1_cold.sms",
        TEMPLATE,
        "",
        "SMS template.",
        plan.templates.followup_1_cold.sms
    ),
    key!(
        "templates.followup_2_clicked_no_hq.email",
        TEMPLATE,
        "",
        "E-mail template.",
        plan.templates.followup_2_clicked_no_hq.email
    ),
    key!(
        "templates.followup_2_clicked_no_hq.sms",
        TEMPLATE,
        "",
        "SMS template.",
        plan.templates.followup_2_clicked_no_hq.sms
    ),
    key!(
        "templates.followup_3_hq_no_yes.email",
        TEMPLATE,
        "",
        "E-mail template.",
        plan.templates.followup_3_hq_no_yes.email
    ),
    key!(
        "templates.followup_3_hq_no_yes.sms",
        TEMPLATE,
        "",
        "SMS template.",
        plan.templates.followup_3_hq_no_yes.sms
    ),
    key!(
        "templates.followup_4_hq_with_yes.email",
        TEMPLATE,
        "",
        "E-mail template.",
        plan.templates.followup_4_hq_with_yes.email
    ),
    key!(
        "templates.followup_4_hq_with_yes.sms",
        TEMPLATE,
        "",
        "SMS template.",
        plan.templates.followup_4_hq_with_yes.sms
    ),
    key!(
        "backup.directory",
        Name(1000),
        "",
        "Folder of the backups; if relative, to the folder of the database.",
        backup.directory
    ),
    key!(
        "backup.retention_days",
        Whole(1, 3650),
        "days",
        "For how long backups are kept.",
        backup.retention_days
    ),
];

/// The keys of an entry of `campaign_types`.
pub(super) static CAMPAIGN_TYPE: &[Key<CampaignType>] = &[
    key!(
        "respect_exclusion_windows",
        Flag,
        "",
        "Whether exclusion rules apply, those for the whole year included.",
        respect_exclusion_windows
    ),
    key!("enable_followups", Flag, "", "Whether its messages are followed up.", enable_followups),
    key!(
        "days_before_event",
        TRIGGER_DAYS,
        "days",
        "From the ideal date to the trigger date; negative: after it.",
        days_before_event
    ),
    key!(
        "target_all_contacts",
        Flag,
        "",
        "Whether every valid contact gets it, on the start date of the instance.",
        target_all_contacts
    ),
    key!("priority", PRIORITY, "", "A lower number is more important.", priority),
    key!("active", Flag, "", "Whether its instances take part.", active),
];

/// The keys of an entry of `campaign_instances`.
pub(super) static CAMPAIGN_INSTANCE: &[Key<CampaignInstance>] = &[
    key!(required "campaign_type", Name(100), "", "Its type, from the file or the database.", campaign_type),
    key!(
        required "instance_name",
        Name(255),
        "",
        "Its name; with the type it tells instances apart.",
        instance_name
    ),
    key!("email_template", OptionalName(255), "", "E-mail template.", email_template),
    key!("sms_template", OptionalName(255), "", "SMS template.", sms_template),
    key!(
        "active_start_date",
        OptionalDate,
        "",
        "First day on which it takes part.",
        active_start_date
    ),
    key!(
        "active_end_date",
        OptionalDate,
        "",
        "Last day on which it takes part, and a deadline. Not before the first.",
        active_end_date
    ),
    key!(
        "metadata",
        Object,
        "",
        "Any JSON object. In it `days_before_event`, `respect_exclusion_windows`, \
         `enable_followups` and `priority` override the type.",
        metadata
    ),
];

/// A month and a day of `aep_config.default_dates`.
#[derive(Default)]
pub(super) struct MonthDay {
    pub(super) month: i8,
    pub(super) day: i8,
}

pub(super) static MONTH_DAY: &[Key<MonthDay>] = &[
    key!(required "month", Whole(1, 12), "", "", month),
    key!(required "day", Whole(1, 31), "", "", day),
];

/// What an instance's metadata overrides, and what it must be there.
pub(super) const OVERRIDES: [(&str, Kind); 4] = [
    ("days_before_event", TRIGGER_DAYS),
    ("respect_exclusion_windows", Flag),
    ("enable_followups", Flag),
    ("priority", PRIORITY),
];
