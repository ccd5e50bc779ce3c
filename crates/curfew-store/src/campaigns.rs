//! Campaigns as the database has them (SPEC section 7).

mod edit;
mod legacy;
mod log;
mod record;
mod target;

use std::{collections::BTreeMap, fmt};

use curfew_engine::{Campaign, Catalog, DateError, Day};
use rusqlite::types::ValueRef;
use serde_json::Value;

use self::record::{Fields, Records};
pub use self::{
    edit::{CampaignEditor, CampaignError, InstanceFields, Removal, TypeFields},
    legacy::{LegacyCampaign, LegacyInstance, LegacyKind, LegacyReport, LegacyRequest},
    log::{CampaignChange, LogEntry},
    record::{CampaignSettings, InstanceRecord, TypeRecord},
    target::{NewTarget, TargetOutcome, TargetRecord},
};
use crate::{Database, StoreError, json};

/// Something wrong with a campaign instance, because of which it does not take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationProblem {
    /// Id of the instance.
    pub instance_id: i64,
    /// Name of the instance.
    pub instance_name: String,
    /// What is wrong.
    pub flaw: Flaw,
}

/// What is wrong with a campaign instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the messages name")]
pub enum Flaw {
    /// No campaign type has the name that it gives.
    UnknownType { campaign_type: String },
    /// `metadata` is not a JSON object.
    MetadataMalformed,
    /// A setting, of the type or in the instance's metadata, has a value that it cannot have.
    Setting { setting: &'static str, expected: &'static str },
    /// A bound of its activity is not a date.
    Date { column: &'static str, error: DateError },
    /// Its type has every contact as a target, and then the first day is the trigger date.
    StartMissing,
    /// The database has more instances than a plan can tell apart.
    TooMany,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType { campaign_type } => {
                write!(f, "there is no campaign type `{campaign_type}`")
            }
            Self::MetadataMalformed => f.write_str("its metadata is not a JSON object"),
            Self::Setting { setting, expected } => write!(f, "its {setting} is not {expected}"),
            Self::Date { column, error } => write!(f, "its {column} {error}"),
            Self::StartMissing => {
                f.write_str("its type targets all contacts, so it needs an active_start_date")
            }
            Self::TooMany => {
                write!(f, "a plan takes at most {} instances", Catalog::CAMPAIGNS_MAX)
            }
        }
    }
}

impl fmt::Display for ConfigurationProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance_id, instance_name, flaw } = self;
        write!(f, "campaign instance {instance_id} `{instance_name}` is left out: {flaw}")
    }
}

impl Database {
    /// The campaign instances by id, with the settings in force for each: those of its type,
    /// overridden by its metadata. What an instance does not say is as in a new campaign type.
    ///
    /// An instance with a problem is among them, but not active, so that its rows are recognized;
    /// one without a type is not. A database that was never migrated has no campaigns.
    pub fn campaigns(&self) -> Result<(Vec<Campaign>, Vec<ConfigurationProblem>), StoreError> {
        self.campaigns_with(&CampaignSettings::default())
    }

    /// The campaigns as [`Database::campaigns`] gives them once these settings have been applied
    /// with [`Database::apply_campaign_settings`]. Nothing is written, so that a dry run says what
    /// a run does.
    pub fn campaigns_with(
        &self,
        settings: &CampaignSettings,
    ) -> Result<(Vec<Campaign>, Vec<ConfigurationProblem>), StoreError> {
        let mut records = Records::read(self.connection())
            .map_err(|error| self.fail("read the campaigns", error))?;
        records.overlay(settings);
        Ok(resolve(&records))
    }
}

/// What is set for a type, and may be set for an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Settings {
    respects_windows: Option<bool>,
    follow_ups: Option<bool>,
    days_before_event: Option<i32>,
    priority: Option<i64>,
}

#[derive(Clone, Debug)]
struct CampaignType {
    settings: Result<Settings, Flaw>,
    targets_all: Result<Option<bool>, Flaw>,
    active: Result<Option<bool>, Flaw>,
}

/// The campaigns of these records, and what is wrong with them.
fn resolve(records: &Records) -> (Vec<Campaign>, Vec<ConfigurationProblem>) {
    let (mut campaigns, mut problems) = (Vec::new(), Vec::new());
    let types: BTreeMap<&str, CampaignType> =
        records.types.iter().map(|(name, fields)| (name.as_str(), campaign_type(fields))).collect();
    for (&instance_id, fields) in &records.instances {
        let text = |field| fields.text(field).map(ToOwned::to_owned);
        let instance_name = text("instance_name").unwrap_or_default();
        let mut report = |flaw| {
            let instance_name = instance_name.clone();
            problems.push(ConfigurationProblem { instance_id, instance_name, flaw });
        };
        if campaigns.len() == Catalog::CAMPAIGNS_MAX {
            report(Flaw::TooMany);
            continue;
        }
        let campaign_type = text("campaign_type").unwrap_or_default();
        let Some(of_type) = types.get(campaign_type.as_str()) else {
            report(Flaw::UnknownType { campaign_type });
            continue;
        };
        let mut flaws = Vec::new();
        let own = sound(overrides(fields.text("metadata")), &mut flaws);
        let of_all = sound(of_type.settings.clone(), &mut flaws);
        let active = sound(of_type.active.clone(), &mut flaws).unwrap_or(true);
        let targets_all = sound(of_type.targets_all.clone(), &mut flaws).unwrap_or(false);
        let active_start = sound(date(fields, "active_start_date"), &mut flaws);
        let active_end = sound(date(fields, "active_end_date"), &mut flaws);
        if flaws.is_empty() && targets_all && active_start.is_none() {
            flaws.push(Flaw::StartMissing);
        }
        let is_sound = flaws.is_empty();
        flaws.into_iter().for_each(report);
        campaigns.push(Campaign {
            instance_id,
            campaign_type,
            name: instance_name,
            email_template: text("email_template"),
            sms_template: text("sms_template"),
            active_start,
            active_end,
            active: active && is_sound,
            respects_windows: own.respects_windows.or(of_all.respects_windows).unwrap_or(true),
            follow_ups: own.follow_ups.or(of_all.follow_ups).unwrap_or(true),
            days_before_event: own.days_before_event.or(of_all.days_before_event).unwrap_or(0),
            targets_all,
            priority: own.priority.or(of_all.priority).unwrap_or(10),
        });
    }
    (campaigns, problems)
}

/// The value, or what stands for none, with the flaw put on the list.
fn sound<T: Default>(value: Result<T, Flaw>, flaws: &mut Vec<Flaw>) -> T {
    value.unwrap_or_else(|flaw| {
        flaws.push(flaw);
        T::default()
    })
}

fn campaign_type(fields: &Fields) -> CampaignType {
    let settings = || {
        Ok(Settings {
            respects_windows: flag(fields, RESPECTS_WINDOWS)?,
            follow_ups: flag(fields, FOLLOW_UPS)?,
            days_before_event: days(number(fields, DAYS_BEFORE)?)?,
            priority: number(fields, PRIORITY)?,
        })
    };
    CampaignType {
        settings: settings(),
        targets_all: flag(fields, "target_all_contacts"),
        active: flag(fields, "active"),
    }
}

const RESPECTS_WINDOWS: &str = "respect_exclusion_windows";
const FOLLOW_UPS: &str = "enable_followups";
const DAYS_BEFORE: &str = "days_before_event";
const PRIORITY: &str = "priority";

const A_FLAG: &str = "true or false";
const A_NUMBER: &str = "a whole number";

/// What an instance's metadata sets. Other keys are nobody's business here.
fn overrides(metadata: Option<&str>) -> Result<Settings, Flaw> {
    let Some(metadata) = metadata.map(str::trim).filter(|text| !matches!(*text, "" | "null"))
    else {
        return Ok(Settings::default());
    };
    let keys = [RESPECTS_WINDOWS, FOLLOW_UPS, DAYS_BEFORE, PRIORITY];
    let [respects_windows, follow_ups, days_before, priority] =
        json::pick(metadata, keys).ok_or(Flaw::MetadataMalformed)?;
    let flag = |value, setting| match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(value)),
        Some(Value::Number(number)) if number.as_i64() == Some(0) => Ok(Some(false)),
        Some(Value::Number(number)) if number.as_i64() == Some(1) => Ok(Some(true)),
        Some(_) => Err(Flaw::Setting { setting, expected: A_FLAG }),
    };
    let number = |value: Option<Value>, setting| match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            value.as_i64().map(Some).ok_or(Flaw::Setting { setting, expected: A_NUMBER })
        }
    };
    Ok(Settings {
        respects_windows: flag(respects_windows, RESPECTS_WINDOWS)?,
        follow_ups: flag(follow_ups, FOLLOW_UPS)?,
        days_before_event: days(number(days_before, DAYS_BEFORE)?)?,
        priority: number(priority, PRIORITY)?,
    })
}

/// Whether two texts of metadata set the same.
fn overrides_same(one: Option<&str>, other: Option<&str>) -> bool {
    matches!((overrides(one), overrides(other)), (Ok(one), Ok(other)) if one == other)
}

/// More days than this from an ideal date to its trigger would leave the calendar.
const DAYS_MAX: i64 = 36_500;

fn days(number: Option<i64>) -> Result<Option<i32>, Flaw> {
    let too_many =
        Flaw::Setting { setting: DAYS_BEFORE, expected: "a number of days within a century" };
    match number {
        None => Ok(None),
        Some(days) if days.abs() <= DAYS_MAX => i32::try_from(days).map(Some).map_err(|_| too_many),
        Some(_) => Err(too_many),
    }
}

fn flag(fields: &Fields, setting: &'static str) -> Result<Option<bool>, Flaw> {
    match fields.get(setting) {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(number) => Ok(Some(number != 0)),
        ValueRef::Text(text) if text.eq_ignore_ascii_case(b"true") => Ok(Some(true)),
        ValueRef::Text(text) if text.eq_ignore_ascii_case(b"false") => Ok(Some(false)),
        _ => Err(Flaw::Setting { setting, expected: A_FLAG }),
    }
}

fn number(fields: &Fields, setting: &'static str) -> Result<Option<i64>, Flaw> {
    match fields.get(setting) {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(number) => Ok(Some(number)),
        _ => Err(Flaw::Setting { setting, expected: A_NUMBER }),
    }
}

fn date(fields: &Fields, column: &'static str) -> Result<Option<Day>, Flaw> {
    let day = match fields.get(column) {
        ValueRef::Null | ValueRef::Text(b"") => Ok(None),
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map_or(Err(DateError::Malformed), Day::parse).map(Some)
        }
        _ => Err(DateError::Malformed),
    };
    day.map_err(|error| Flaw::Date { column, error })
}
