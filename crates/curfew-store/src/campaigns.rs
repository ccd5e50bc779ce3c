//! Campaigns as the database has them (SPEC section 7).

use std::{collections::BTreeMap, fmt};

use curfew_engine::{Campaign, Catalog, DateError, Day};
use rusqlite::{Connection, Row, types::ValueRef};
use serde_json::Value;

use crate::{
    Database, StoreError,
    cell::{owned, text},
    json,
    schema::{Table, quote},
};

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
        read(self.connection()).map_err(|error| self.fail("read the campaigns", error))
    }
}

/// What is set for a type, and may be set for an instance.
#[derive(Clone, Debug, Default)]
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

type Read = rusqlite::Result<(Vec<Campaign>, Vec<ConfigurationProblem>)>;

fn read(db: &Connection) -> Read {
    let (mut campaigns, mut problems) = (Vec::new(), Vec::new());
    let Some(table) = Table::read(db, "campaign_instances")? else {
        return Ok((campaigns, problems));
    };
    let types = read_types(db)?;
    let columns = [
        "id",
        "instance_name",
        "campaign_type",
        "email_template",
        "sms_template",
        "active_start_date",
        "active_end_date",
        "metadata",
    ]
    .map(|name| table.expression(name))
    .join(", ");
    let sql = format!("SELECT {columns} FROM main.{} ORDER BY 1", quote(&table.name));
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let ValueRef::Integer(instance_id) = row.get_ref(0)? else { continue };
        let instance_name = owned(row, 1)?.unwrap_or_default();
        let mut report = |flaw| {
            let instance_name = instance_name.clone();
            problems.push(ConfigurationProblem { instance_id, instance_name, flaw });
        };
        if campaigns.len() == Catalog::CAMPAIGNS_MAX {
            report(Flaw::TooMany);
            continue;
        }
        let campaign_type = owned(row, 2)?.unwrap_or_default();
        let Some(of_type) = types.get(&campaign_type) else {
            report(Flaw::UnknownType { campaign_type });
            continue;
        };
        let mut flaws = Vec::new();
        let own = sound(overrides(text(row, 7)?), &mut flaws);
        let of_all = sound(of_type.settings.clone(), &mut flaws);
        let active = sound(of_type.active.clone(), &mut flaws).unwrap_or(true);
        let targets_all = sound(of_type.targets_all.clone(), &mut flaws).unwrap_or(false);
        let active_start = sound(date(row, 5, "active_start_date")?, &mut flaws);
        let active_end = sound(date(row, 6, "active_end_date")?, &mut flaws);
        if flaws.is_empty() && targets_all && active_start.is_none() {
            flaws.push(Flaw::StartMissing);
        }
        let is_sound = flaws.is_empty();
        flaws.into_iter().for_each(report);
        campaigns.push(Campaign {
            instance_id,
            campaign_type,
            name: instance_name,
            email_template: owned(row, 3)?,
            sms_template: owned(row, 4)?,
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
    Ok((campaigns, problems))
}

/// The value, or what stands for none, with the flaw put on the list.
fn sound<T: Default>(value: Result<T, Flaw>, flaws: &mut Vec<Flaw>) -> T {
    value.unwrap_or_else(|flaw| {
        flaws.push(flaw);
        T::default()
    })
}

fn read_types(db: &Connection) -> rusqlite::Result<BTreeMap<String, CampaignType>> {
    let Some(table) = Table::read(db, "campaign_types")? else { return Ok(BTreeMap::new()) };
    let columns = [
        "name",
        "respect_exclusion_windows",
        "enable_followups",
        "days_before_event",
        "priority",
        "target_all_contacts",
        "active",
    ]
    .map(|name| table.expression(name))
    .join(", ");
    let mut statement =
        db.prepare(&format!("SELECT {columns} FROM main.{}", quote(&table.name)))?;
    let types = statement.query_map([], |row| {
        let settings = || {
            Ok(Settings {
                respects_windows: flag(row, 1, RESPECTS_WINDOWS)?,
                follow_ups: flag(row, 2, FOLLOW_UPS)?,
                days_before_event: days(number(row, 3, DAYS_BEFORE)?)?,
                priority: number(row, 4, PRIORITY)?,
            })
        };
        let of_type = CampaignType {
            settings: settings(),
            targets_all: flag(row, 5, "target_all_contacts"),
            active: flag(row, 6, "active"),
        };
        Ok((owned(row, 0)?.unwrap_or_default(), of_type))
    })?;
    types.collect()
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

fn flag(row: &Row<'_>, at: usize, setting: &'static str) -> Result<Option<bool>, Flaw> {
    let flaw = Flaw::Setting { setting, expected: A_FLAG };
    match row.get_ref(at) {
        Ok(ValueRef::Null) => Ok(None),
        Ok(ValueRef::Integer(number)) => Ok(Some(number != 0)),
        Ok(ValueRef::Text(text)) if text.eq_ignore_ascii_case(b"true") => Ok(Some(true)),
        Ok(ValueRef::Text(text)) if text.eq_ignore_ascii_case(b"false") => Ok(Some(false)),
        _ => Err(flaw),
    }
}

fn number(row: &Row<'_>, at: usize, setting: &'static str) -> Result<Option<i64>, Flaw> {
    match row.get_ref(at) {
        Ok(ValueRef::Null) => Ok(None),
        Ok(ValueRef::Integer(number)) => Ok(Some(number)),
        _ => Err(Flaw::Setting { setting, expected: A_NUMBER }),
    }
}

fn date(
    row: &Row<'_>,
    at: usize,
    column: &'static str,
) -> rusqlite::Result<Result<Option<Day>, Flaw>> {
    let day = match row.get_ref(at)? {
        ValueRef::Null | ValueRef::Text(b"") => Ok(None),
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map_or(Err(DateError::Malformed), Day::parse).map(Some)
        }
        _ => Err(DateError::Malformed),
    };
    Ok(day.map_err(|error| Flaw::Date { column, error }))
}
