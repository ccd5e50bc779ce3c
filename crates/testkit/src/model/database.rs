//! Reads whatever a database has: every table as records of named values, so that missing tables and columns are
//! nothing special.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rusqlite::{Connection, types::Value};

use super::config::{CampaignInstance, CampaignType, ModelConfig};
use crate::calendar::{parse_date, parse_moment};

/// One row of any table, by column name in lower case.
#[derive(Debug)]
pub(crate) struct Record(BTreeMap<String, Value>);

impl Record {
    /// The value as text; `None` for NULL and for a missing column.
    pub(crate) fn text(&self, column: &str) -> Option<String> {
        match self.value(column) {
            Value::Text(text) => Some(text),
            Value::Integer(number) => Some(number.to_string()),
            Value::Real(number) => Some(number.to_string()),
            Value::Null | Value::Blob(_) => None,
        }
    }

    /// The value as an integer; `None` for NULL, for a missing column and for anything else.
    pub(crate) fn integer(&self, column: &str) -> Option<i64> {
        match self.value(column) {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// The value; NULL for a missing column.
    pub(crate) fn value(&self, column: &str) -> Value {
        self.0.get(column).cloned().unwrap_or(Value::Null)
    }

    /// All values by column.
    pub(crate) fn into_values(self) -> BTreeMap<String, Value> {
        self.0
    }

    /// Whether the table has the column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.0.contains_key(column)
    }
}

/// All rows of a table in the order of their row ids (as column `rowid`); none when there is no such table.
pub(crate) fn records(conn: &Connection, table: &str) -> Vec<Record> {
    let exists: bool = conn
        .query_row(
            "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = ?1",
            [table],
            |row| row.get(0),
        )
        .expect("reading sqlite_master");
    if !exists {
        return Vec::new();
    }
    let mut statement = conn
        .prepare(&format!("SELECT rowid AS rowid, * FROM {table} ORDER BY rowid"))
        .expect("a table with row ids");
    let names: Vec<String> =
        statement.column_names().into_iter().map(str::to_ascii_lowercase).collect();
    let mut rows = statement.query([]).expect("a readable table");
    let mut records = Vec::new();
    while let Some(row) = rows.next().expect("a readable row") {
        let values = names
            .iter()
            .enumerate()
            .map(|(i, name)| (name.clone(), row.get(i).expect("a readable value")));
        records.push(Record(values.collect()));
    }
    records
}

/// What the scheduler writes into a row of `email_schedules` (section 9), without the run's id and the timestamps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowContent {
    /// The contact.
    pub contact_id: i64,
    /// The kind.
    pub email_type: String,
    /// `YYYY-MM-DD`
    pub scheduled_send_date: String,
    /// `HH:MM:SS`
    pub scheduled_send_time: String,
    /// `pre-scheduled`, `skipped`, or one of the sender's.
    pub status: String,
    /// Why it is skipped; none for planned rows.
    pub skip_reason: Option<String>,
    /// Priority number.
    pub priority: Option<i64>,
    /// The campaign instance; none for other kinds.
    pub campaign_instance_id: Option<i64>,
    /// Template of the e-mail.
    pub email_template: Option<String>,
    /// Template of the text message; none without a phone number.
    pub sms_template: Option<String>,
    /// Year of the event date.
    pub event_year: Option<i64>,
    /// Month of the event date.
    pub event_month: Option<i64>,
    /// Day of the event date.
    pub event_day: Option<i64>,
    /// The row a follow-up follows; none for other kinds.
    pub initial_schedule_id: Option<i64>,
    /// Days from the ideal date to the row's date.
    pub shift_days: Option<i64>,
    /// JSON of a follow-up; none for other kinds.
    pub metadata: Option<String>,
}

/// A row of `email_schedules` as found.
#[derive(Debug, Clone)]
pub(crate) struct StoredRow {
    pub(crate) id: i64,
    pub(crate) content: RowContent,
    pub(crate) actual_send_datetime: Option<String>,
}

/// The statuses that count in volumes, frequency and collisions (section 6).
pub(crate) const VOLUME_STATUSES: [&str; 4] = ["scheduled", "processing", "sent", "delivered"];

impl StoredRow {
    fn new(record: &Record) -> Self {
        let content = RowContent {
            contact_id: record.integer("contact_id").unwrap_or(0),
            email_type: record.text("email_type").unwrap_or_default(),
            scheduled_send_date: record.text("scheduled_send_date").unwrap_or_default(),
            scheduled_send_time: record.text("scheduled_send_time").unwrap_or_default(),
            status: record.text("status").unwrap_or_default(),
            skip_reason: record.text("skip_reason"),
            priority: record.integer("priority"),
            campaign_instance_id: record.integer("campaign_instance_id"),
            email_template: record.text("email_template"),
            sms_template: record.text("sms_template"),
            event_year: record.integer("event_year"),
            event_month: record.integer("event_month"),
            event_day: record.integer("event_day"),
            initial_schedule_id: record.integer("initial_schedule_id"),
            shift_days: record.integer("shift_days"),
            metadata: record.text("metadata"),
        };
        Self {
            id: record.integer("rowid").expect("a row id"),
            content,
            actual_send_datetime: record.text("actual_send_datetime").filter(|t| !t.is_empty()),
        }
    }

    /// The kind: `email_type` in lower case.
    pub(crate) fn kind(&self) -> String {
        self.content.email_type.to_lowercase()
    }

    pub(crate) fn is_owned(&self) -> bool {
        is_owned(&self.content.status)
    }

    pub(crate) fn is_planned(&self) -> bool {
        self.content.status == "pre-scheduled"
    }

    /// A committed row that counts in volumes, frequency and collisions.
    pub(crate) fn has_volume(&self) -> bool {
        VOLUME_STATUSES.contains(&self.content.status.as_str())
    }

    pub(crate) fn is_sent(&self) -> bool {
        ["sent", "delivered"].contains(&self.content.status.as_str())
    }

    pub(crate) fn date(&self) -> Option<Date> {
        parse_date(&self.content.scheduled_send_date)
    }

    /// Year, month and day of the event date, where the row has all three.
    pub(crate) fn event(&self) -> Option<(i64, i64, i64)> {
        Some((self.content.event_year?, self.content.event_month?, self.content.event_day?))
    }

    /// The campaign instance; 0 is none.
    pub(crate) fn instance(&self) -> Option<i64> {
        self.content.campaign_instance_id.filter(|id| *id != 0)
    }

    /// The initial row in the column; 0 is none.
    pub(crate) fn initial(&self) -> Option<i64> {
        self.content.initial_schedule_id.filter(|id| *id != 0)
    }

    /// The initial row in the metadata, as older follow-ups name it.
    pub(crate) fn initial_in_metadata(&self) -> Option<i64> {
        let metadata: serde_json::Value =
            serde_json::from_str(self.content.metadata.as_deref()?).ok()?;
        metadata.get("initial_comm_log_id")?.as_i64()
    }

    /// The reason of a skipped row begins like this.
    pub(crate) fn skipped_for(&self, beginnings: &[&str]) -> bool {
        let reason = self.content.skip_reason.as_deref().unwrap_or("");
        self.content.status == "skipped" && beginnings.iter().any(|b| reason.starts_with(b))
    }

    /// When it was sent: the recorded moment, else the scheduled date and time.
    pub(crate) fn sent_at(&self) -> Option<(Date, String)> {
        let recorded = self.actual_send_datetime.as_deref().and_then(parse_moment);
        recorded.or_else(|| Some((self.date()?, self.content.scheduled_send_time.clone())))
    }
}

/// The statuses of section 1 that let the scheduler change a row.
pub(crate) fn is_owned(status: &str) -> bool {
    status == "pre-scheduled" || status == "skipped"
}

/// All rows of `email_schedules`.
pub(crate) fn stored_rows(conn: &Connection) -> Vec<StoredRow> {
    records(conn, "email_schedules").iter().map(StoredRow::new).collect()
}

/// A row of `contact_campaigns`.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) id: i64,
    pub(crate) contact_id: i64,
    pub(crate) instance_id: i64,
    pub(crate) trigger: Option<String>,
    pub(crate) status: Option<String>,
}

/// An answer to the eligibility questions.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) contact_id: i64,
    pub(crate) at: (Date, String),
    pub(crate) metadata: serde_json::Value,
}

/// Campaigns, as they are once the configuration's own are created or updated, and what contacts did.
#[derive(Debug)]
pub(crate) struct Campaigns {
    pub(crate) types: BTreeMap<String, CampaignType>,
    pub(crate) instances: BTreeMap<i64, CampaignInstance>,
    pub(crate) targets: Vec<Target>,
    pub(crate) clicks: Vec<(i64, (Date, String))>,
    pub(crate) answers: Vec<Answer>,
}

impl Campaigns {
    pub(crate) fn read(conn: &Connection, config: &ModelConfig) -> Self {
        let flag = |record: &Record, column: &str, missing: bool| {
            record.integer(column).map_or(missing, |n| n != 0)
        };
        let dated =
            |record: &Record, column: &str| record.text(column).as_deref().and_then(parse_moment);
        let mut types: BTreeMap<String, CampaignType> = records(conn, "campaign_types")
            .iter()
            .map(|record| {
                let kind = CampaignType {
                    respect_exclusion_windows: flag(record, "respect_exclusion_windows", true),
                    enable_followups: flag(record, "enable_followups", true),
                    days_before_event: record.integer("days_before_event").unwrap_or(0),
                    target_all_contacts: flag(record, "target_all_contacts", false),
                    priority: record.integer("priority").unwrap_or(10),
                    active: flag(record, "active", true),
                };
                (record.text("name").unwrap_or_default(), kind)
            })
            .collect();
        types.extend(config.campaign_types.clone());

        let some = |record: &Record, column: &str| record.text(column).filter(|t| !t.is_empty());
        let mut instances: BTreeMap<i64, CampaignInstance> = records(conn, "campaign_instances")
            .iter()
            .map(|record| {
                let instance = CampaignInstance {
                    campaign_type: record.text("campaign_type").unwrap_or_default(),
                    instance_name: record.text("instance_name").unwrap_or_default(),
                    email_template: record.text("email_template"),
                    sms_template: record.text("sms_template"),
                    active_start_date: some(record, "active_start_date"),
                    active_end_date: some(record, "active_end_date"),
                    metadata: some(record, "metadata"),
                };
                (record.integer("rowid").expect("a row id"), instance)
            })
            .collect();
        for wanted in &config.campaign_instances {
            let known = instances.iter().find(|(_, known)| {
                known.campaign_type == wanted.campaign_type
                    && known.instance_name == wanted.instance_name
            });
            let id = match known {
                Some((id, _)) => *id,
                None => instances.last_key_value().map_or(1, |(id, _)| id + 1),
            };
            instances.insert(id, wanted.clone());
        }

        let targets = records(conn, "contact_campaigns")
            .iter()
            .map(|record| Target {
                id: record.integer("rowid").expect("a row id"),
                contact_id: record.integer("contact_id").unwrap_or(0),
                instance_id: record.integer("campaign_instance_id").unwrap_or(0),
                trigger: some(record, "trigger_date"),
                status: record.text("status"),
            })
            .collect();
        let clicks = records(conn, "tracking_clicks")
            .iter()
            .filter_map(|r| Some((r.integer("contact_id")?, dated(r, "clicked_at")?)))
            .collect();
        let answers = records(conn, "contact_events")
            .iter()
            .filter(|r| r.text("event_type").as_deref() == Some("eligibility_answered"))
            .filter_map(|r| {
                let metadata = r.text("metadata").unwrap_or_default();
                Some(Answer {
                    contact_id: r.integer("contact_id")?,
                    at: dated(r, "created_at")?,
                    metadata: serde_json::from_str(&metadata).unwrap_or_default(),
                })
            })
            .collect();
        Self { types, instances, targets, clicks, answers }
    }

    /// The settings of an instance: its type's, with what its metadata overrides. `None` when there is no such type.
    pub(crate) fn settings(&self, instance: &CampaignInstance) -> Option<CampaignType> {
        let mut settings = self.types.get(&instance.campaign_type)?.clone();
        let metadata: serde_json::Value =
            serde_json::from_str(instance.metadata.as_deref().unwrap_or("{}")).unwrap_or_default();
        let flag = |key: &str| metadata.get(key).and_then(serde_json::Value::as_bool);
        let number = |key: &str| metadata.get(key).and_then(serde_json::Value::as_i64);
        if let Some(days) = number("days_before_event") {
            settings.days_before_event = days;
        }
        if let Some(respect) = flag("respect_exclusion_windows") {
            settings.respect_exclusion_windows = respect;
        }
        if let Some(enable) = flag("enable_followups") {
            settings.enable_followups = enable;
        }
        if let Some(priority) = number("priority") {
            settings.priority = priority;
        }
        Some(settings)
    }
}
