//! The log of changes to campaigns: field by field, old and new value, who and when.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::record::{Edit, Records, Subject};
use crate::{Database, StoreError, schema::Table};

/// A change of one field of a campaign type (`campaign_type`), instance (`campaign_instance`) or
/// target (`campaign_target`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CampaignChange {
    /// What was changed.
    pub entity: &'static str,
    /// The type's name, the instance's id, or `instance/contact`.
    pub entity_id: String,
    /// The column.
    pub field: &'static str,
    /// Its value before; `None` for NULL, and for what is new.
    pub old_value: Option<String>,
    /// Its value now; `None` for NULL, and for what was removed.
    pub new_value: Option<String>,
    /// Whether the next run may plan other messages because of it. It does for every field but
    /// `instance_name`; a change of a type that has no instance, and one of `metadata` that sets
    /// none of the four settings otherwise, does not.
    pub requires_rescheduling: bool,
}

/// An entry of `campaign_change_log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// Its number; later entries have higher ones.
    pub id: i64,
    /// When, in UTC.
    pub changed_at: Option<String>,
    /// Who.
    pub changed_by: Option<String>,
    /// What was changed.
    pub entity: Option<String>,
    /// Which one.
    pub entity_id: Option<String>,
    /// The column.
    pub field: Option<String>,
    /// Its value before.
    pub old_value: Option<String>,
    /// Its value after.
    pub new_value: Option<String>,
    /// Whether the next run may plan other messages because of it.
    pub requires_rescheduling: Option<bool>,
}

pub(super) const INSERT: &str = "INSERT INTO main.campaign_change_log (changed_at, changed_by, \
     entity, entity_id, field, old_value, new_value, requires_rescheduling) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

pub(super) fn write(
    db: &Connection,
    by: &str,
    now: &str,
    change: &CampaignChange,
) -> rusqlite::Result<()> {
    db.prepare_cached(INSERT)?.execute(params![
        now,
        by,
        change.entity,
        change.entity_id,
        change.field,
        change.old_value,
        change.new_value,
        change.requires_rescheduling,
    ])?;
    Ok(())
}

/// The changes of an edit of these records, which hold the new values.
pub(super) fn changes(records: &Records, edit: &Edit) -> Vec<CampaignChange> {
    let (entity, entity_id, fields) = match &edit.subject {
        Subject::Type(name) => ("campaign_type", name.clone(), records.types.get(name)),
        Subject::Instance(id) => ("campaign_instance", id.to_string(), records.instances.get(id)),
    };
    let has_instances = match &edit.subject {
        Subject::Type(name) => {
            records.instances.values().any(|other| other.text("campaign_type") == Some(name))
        }
        Subject::Instance(_) => true,
    };
    let change = |(field, old_value): &(&'static str, Option<String>)| {
        let new_value = fields.and_then(|fields| fields.shown(field));
        let matters = match *field {
            "instance_name" => false,
            "metadata" => !super::overrides_same(old_value.as_deref(), new_value.as_deref()),
            _ => has_instances,
        };
        CampaignChange {
            entity,
            entity_id: entity_id.clone(),
            field,
            old_value: old_value.clone(),
            new_value,
            requires_rescheduling: matters,
        }
    };
    edit.fields.iter().map(change).collect()
}

impl Database {
    /// The last `limit` entries of the log of campaign changes, the oldest of them first; only those
    /// of this entity and id where they are given. A database without the log has none.
    pub fn campaign_log(
        &self,
        entity: Option<&str>,
        entity_id: Option<&str>,
        limit: u32,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let read = || {
            let db = self.connection();
            if Table::read(db, "campaign_change_log")?.is_none() {
                return Ok(Vec::new());
            }
            // The targets of an instance belong to its log.
            let mut statement = db.prepare(
                "SELECT id, changed_at, changed_by, entity, entity_id, field, old_value, new_value,
                   requires_rescheduling
                 FROM main.campaign_change_log
                 WHERE (?1 IS NULL
                     OR (entity = ?1 AND (?2 IS NULL OR entity_id = ?2))
                     OR (?1 = 'campaign_instance' AND entity = 'campaign_target'
                         AND substr(entity_id, 1, length(?2) + 1) = ?2 || '/'))
                 ORDER BY id DESC LIMIT ?3",
            )?;
            let entries = statement.query_map(params![entity, entity_id, limit], |row| {
                Ok(LogEntry {
                    id: row.get(0)?,
                    changed_at: row.get(1)?,
                    changed_by: row.get(2)?,
                    entity: row.get(3)?,
                    entity_id: row.get(4)?,
                    field: row.get(5)?,
                    old_value: row.get(6)?,
                    new_value: row.get(7)?,
                    requires_rescheduling: row.get(8)?,
                })
            })?;
            let mut entries = entries.collect::<rusqlite::Result<Vec<_>>>()?;
            entries.reverse();
            Ok(entries)
        };
        read().map_err(|error| self.fail("read the log of campaign changes", error))
    }
}
