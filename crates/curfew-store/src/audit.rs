//! Reading the record: what became of rows, and the plan as it stood at an earlier time.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, types::ValueRef};
use serde::Serialize;

use crate::{
    Database, StoreError,
    cell::{integer, owned},
    schema::Table,
};

/// Which entries of `schedule_history` are wanted; `None` takes all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// Those of one contact.
    pub contact_id: Option<i64>,
    /// Those of one run.
    pub run_id: Option<&'a str>,
    /// Those recorded at this time or later, as UTC in the form of `recorded_at`.
    pub from: Option<&'a str>,
    /// Those recorded before this time.
    pub before: Option<&'a str>,
}

/// An entry of `schedule_history`: a row was changed or deleted, and this is what it was before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its number.
    pub id: i64,
    /// When, in UTC.
    pub recorded_at: Option<String>,
    /// By which run; migrations have names of their own.
    pub run_id: Option<String>,
    /// The contact.
    pub contact_id: Option<i64>,
    /// The row.
    pub schedule_id: Option<i64>,
    /// `updated`, `expired` or `deleted`.
    pub what: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// The former row: a JSON object of all its columns.
    pub old_values: serde_json::Value,
    /// The entry's hash.
    pub hash: Option<String>,
}

impl Entry {
    /// A column of the former row as text.
    pub fn old(&self, column: &str) -> Option<String> {
        match self.old_values.get(column)? {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// A row of the plan as it stood at some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are the columns")]
pub struct PlanRow {
    pub schedule_id: i64,
    pub contact_id: Option<i64>,
    pub email_type: Option<String>,
    pub scheduled_send_date: Option<String>,
    pub scheduled_send_time: Option<String>,
    pub status: Option<String>,
    pub skip_reason: Option<String>,
    pub campaign_instance_id: Option<i64>,
    pub priority: Option<i64>,
    pub email_template: Option<String>,
    pub sms_template: Option<String>,
    pub scheduler_run_id: Option<String>,
    pub created_at: Option<String>,
    pub actual_send_datetime: Option<String>,
}

/// The columns of [`PlanRow`].
const COLUMNS: [&str; 14] = [
    "id",
    "contact_id",
    "email_type",
    "scheduled_send_date",
    "scheduled_send_time",
    "status",
    "skip_reason",
    "campaign_instance_id",
    "priority",
    "email_template",
    "sms_template",
    "scheduler_run_id",
    "created_at",
    "actual_send_datetime",
];

impl Database {
    /// The selected entries of the history, in the order in which they were recorded. A database
    /// without history has none.
    pub fn history_entries(&self, selection: &Selection<'_>) -> Result<Vec<Entry>, StoreError> {
        entries(self.connection(), selection).map_err(|error| self.fail("read the history", error))
    }

    /// The plan as it stood just before the time `before` (UTC, in the form of `recorded_at`), of
    /// one contact or of all, by contact, date and row. It is made of the rows that were not
    /// changed since, and of the former values of those that were.
    ///
    /// What the sender does is not in the history. A row that it sent on a later day than
    /// `sent_until` (`YYYY-MM-DD`) is shown as `pre-scheduled`, which it was until then; what else
    /// the sender changed is shown as it is now.
    pub fn plan_as_of(
        &self,
        before: &str,
        sent_until: &str,
        contact_id: Option<i64>,
    ) -> Result<Vec<PlanRow>, StoreError> {
        let _snapshot = self.connection().is_autocommit().then(|| self.snapshot()).transpose()?;
        plan_as_of(self.connection(), before, sent_until, contact_id)
            .map_err(|error| self.fail("read the plan of an earlier day", error))
    }
}

fn entries(db: &Connection, selection: &Selection<'_>) -> rusqlite::Result<Vec<Entry>> {
    let Some(table) = Table::read(db, "schedule_history")? else { return Ok(Vec::new()) };
    let names = [
        "id",
        "recorded_at",
        "run_id",
        "contact_id",
        "schedule_id",
        "what",
        "why",
        "old_values",
        "hash",
    ];
    let columns = names.map(|name| table.expression(name));
    let sql = format!(
        "SELECT {} FROM main.schedule_history
         WHERE (?1 IS NULL OR {} = ?1) AND (?2 IS NULL OR {} = ?2)
           AND (?3 IS NULL OR {recorded_at} >= ?3) AND (?4 IS NULL OR {recorded_at} < ?4)
         ORDER BY 1",
        columns.join(", "),
        columns[3],
        columns[2],
        recorded_at = columns[1],
    );
    let mut statement = db.prepare(&sql)?;
    let Selection { contact_id, run_id, from, before } = *selection;
    let found = statement.query_map((contact_id, run_id, from, before), |row| {
        let old_values = owned(row, 7)?.unwrap_or_default();
        Ok(Entry {
            id: integer(row, 0)?.unwrap_or_default(),
            recorded_at: owned(row, 1)?,
            run_id: owned(row, 2)?,
            contact_id: integer(row, 3)?,
            schedule_id: integer(row, 4)?,
            what: owned(row, 5)?,
            why: owned(row, 6)?,
            // Another program's entry may be anything; it is shown as it is.
            old_values: serde_json::from_str(&old_values)
                .unwrap_or(serde_json::Value::String(old_values)),
            hash: owned(row, 8)?,
        })
    })?;
    found.collect()
}

fn plan_as_of(
    db: &Connection,
    before: &str,
    sent_until: &str,
    contact_id: Option<i64>,
) -> rusqlite::Result<Vec<PlanRow>> {
    let mut rows: BTreeMap<i64, PlanRow> = BTreeMap::new();
    // The first change of a row after that time tells what the row was then.
    let later = Selection { contact_id, from: Some(before), ..Selection::default() };
    for entry in entries(db, &later)? {
        if let Some(row) = former(&entry) {
            rows.entry(row.schedule_id).or_insert(row);
        }
    }
    if let Some(table) = Table::read(db, "email_schedules")? {
        let columns = COLUMNS.map(|name| table.expression(name));
        let sql = format!(
            "SELECT {} FROM main.email_schedules WHERE ?1 IS NULL OR {} = ?1",
            columns.join(", "),
            columns[1]
        );
        let mut statement = db.prepare(&sql)?;
        let mut current = statement.query([contact_id])?;
        while let Some(row) = current.next()? {
            let row = read(row)?;
            rows.entry(row.schedule_id).or_insert(row);
        }
    }
    let mut plan: Vec<PlanRow> = rows
        .into_values()
        // A row without a time was made by an older program, before any run of ours.
        .filter(|row| {
            row.created_at.as_deref().is_none_or(|at| at.replace('T', " ").as_str() < before)
        })
        .map(|mut row| {
            let sent_on = row.actual_send_datetime.as_deref().and_then(|at| at.get(..10));
            if sent_on.is_some_and(|day| day > sent_until) {
                row.status = Some("pre-scheduled".to_owned());
                row.actual_send_datetime = None;
            }
            row
        })
        .collect();
    plan.sort_by(|a, b| {
        let key =
            |row: &PlanRow| (row.contact_id, row.scheduled_send_date.clone(), row.schedule_id);
        key(a).cmp(&key(b))
    });
    Ok(plan)
}

fn read(row: &Row<'_>) -> rusqlite::Result<PlanRow> {
    let id = match row.get_ref(0)? {
        ValueRef::Integer(id) => id,
        _ => 0,
    };
    Ok(PlanRow {
        schedule_id: id,
        contact_id: integer(row, 1)?,
        email_type: owned(row, 2)?,
        scheduled_send_date: owned(row, 3)?,
        scheduled_send_time: owned(row, 4)?,
        status: owned(row, 5)?,
        skip_reason: owned(row, 6)?,
        campaign_instance_id: integer(row, 7)?,
        priority: integer(row, 8)?,
        email_template: owned(row, 9)?,
        sms_template: owned(row, 10)?,
        scheduler_run_id: owned(row, 11)?,
        created_at: owned(row, 12)?,
        actual_send_datetime: owned(row, 13)?,
    })
}

/// The row that an entry kept.
fn former(entry: &Entry) -> Option<PlanRow> {
    let schedule_id = entry.schedule_id?;
    let number = |name: &str| entry.old_values.get(name)?.as_i64();
    let text = |name: &str| Some(entry.old_values.get(name)?.as_str()?.to_owned());
    entry.old_values.as_object()?;
    Some(PlanRow {
        schedule_id,
        contact_id: number("contact_id").or(entry.contact_id),
        email_type: text("email_type"),
        scheduled_send_date: text("scheduled_send_date"),
        scheduled_send_time: text("scheduled_send_time"),
        status: text("status"),
        skip_reason: text("skip_reason"),
        campaign_instance_id: number("campaign_instance_id"),
        priority: number("priority"),
        email_template: text("email_template"),
        sms_template: text("sms_template"),
        scheduler_run_id: text("scheduler_run_id"),
        created_at: text("created_at"),
        actual_send_datetime: text("actual_send_datetime"),
    })
}

impl Database {
    /// A row of `email_schedules` as it is now.
    pub fn plan_row(&self, schedule_id: i64) -> Result<Option<PlanRow>, StoreError> {
        let look = || {
            let db = self.connection();
            let Some(table) = Table::read(db, "email_schedules")? else { return Ok(None) };
            let columns = COLUMNS.map(|name| table.expression(name));
            let sql = format!(
                "SELECT {} FROM main.email_schedules WHERE {} = ?1",
                columns.join(", "),
                columns[0]
            );
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query([schedule_id])?;
            rows.next()?.map(read).transpose()
        };
        look().map_err(|error| self.fail("read a planned row", error))
    }

    /// How many rows are `pre-scheduled` for days before `today` (`YYYY-MM-DD`).
    pub fn overdue(&self, today: &str) -> Result<u64, StoreError> {
        let count = || {
            let db = self.connection();
            let Some(table) = Table::read(db, "email_schedules")? else { return Ok(0) };
            let (status, date) =
                (table.expression("status"), table.expression("scheduled_send_date"));
            let sql = format!(
                "SELECT count(*) FROM main.email_schedules
                 WHERE {status} = 'pre-scheduled' AND {date} < ?1"
            );
            db.query_row(&sql, [today], |row| row.get::<_, i64>(0))
        };
        count()
            .map(i64::unsigned_abs)
            .map_err(|error| self.fail("count the overdue messages", error))
    }
}
