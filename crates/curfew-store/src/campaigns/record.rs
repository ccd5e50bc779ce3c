//! Campaign types and instances as they are stored, and configured ones laid over them.

use std::collections::BTreeMap;

use curfew_engine::Day;
use rusqlite::{
    Connection, OptionalExtension as _,
    types::{Value, ValueRef},
};
use serde::Serialize;

use super::{InstanceFields, TypeFields, date, flag};
use crate::schema::{Table, quote};

/// The settings of a type, in the order in which they are shown.
pub(super) const TYPE_FIELDS: [&str; 6] = [
    "respect_exclusion_windows",
    "enable_followups",
    "days_before_event",
    "target_all_contacts",
    "priority",
    "active",
];

/// Those of them that are true or false.
const FLAGS: [&str; 4] =
    ["respect_exclusion_windows", "enable_followups", "target_all_contacts", "active"];

/// The fields of an instance, in the order in which they are shown.
pub(super) const INSTANCE_FIELDS: [&str; 7] = [
    "campaign_type",
    "instance_name",
    "email_template",
    "sms_template",
    "active_start_date",
    "active_end_date",
    "metadata",
];

/// Values by column; a column that is not there is NULL.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields(BTreeMap<&'static str, Value>);

impl Fields {
    pub(super) fn get(&self, field: &str) -> ValueRef<'_> {
        self.0.get(field).map_or(ValueRef::Null, ValueRef::from)
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        match self.get(field) {
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The value as it is shown and logged: flags as `true` and `false`.
    pub(super) fn shown(&self, field: &'static str) -> Option<String> {
        if FLAGS.contains(&field)
            && let Ok(Some(flag)) = flag(self, field)
        {
            return Some(flag.to_string());
        }
        match self.get(field) {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
        }
    }

    /// Whether both mean the same: a date may have a time, a flag be a word, metadata be spaced.
    fn is_same(&self, other: &Self, field: &'static str) -> bool {
        if FLAGS.contains(&field) {
            return matches!((flag(self, field), flag(other, field)), (Ok(a), Ok(b)) if a == b);
        }
        match field {
            "active_start_date" | "active_end_date" => {
                matches!((date(self, field), date(other, field)), (Ok(a), Ok(b)) if a == b)
            }
            "metadata" => {
                let json = |fields: &Self| {
                    let text = fields.text(field).map(str::trim);
                    text.filter(|text| !matches!(*text, "" | "null"))
                        .map(|text| serde_json::from_str::<serde_json::Value>(text).ok())
                };
                match (json(self), json(other)) {
                    (None, None) => true,
                    (Some(Some(a)), Some(Some(b))) => a == b,
                    _ => false,
                }
            }
            _ => self.get(field) == other.get(field),
        }
    }
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Type(String),
    Instance(i64),
}

/// What is written for one type or instance: the values of these fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Edit {
    pub(super) subject: Subject,
    pub(super) is_new: bool,
    /// Fields with what they were; what they are is among the records.
    pub(super) fields: Vec<(&'static str, Option<String>)>,
}

/// Everything that is stored about types and instances.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) types: BTreeMap<String, Fields>,
    pub(super) instances: BTreeMap<i64, Fields>,
    /// The id of the next instance: no id is ever used twice.
    next_id: i64,
}

impl Records {
    /// Reads them; without tables there are none.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut records = Self { next_id: 1, ..Self::default() };
        if let Some(table) = Table::read(db, "campaign_types")? {
            for (key, fields) in read_table(db, &table, "name", &TYPE_FIELDS)? {
                let name = match key {
                    Value::Text(name) => name,
                    _ => String::new(),
                };
                records.types.insert(name, fields);
            }
        }
        if let Some(table) = Table::read(db, "campaign_instances")? {
            for (key, fields) in read_table(db, &table, "id", &INSTANCE_FIELDS)? {
                if let Value::Integer(id) = key {
                    records.instances.insert(id, fields);
                    records.next_id = records.next_id.max(id.saturating_add(1));
                }
            }
            if Table::read(db, "sqlite_sequence")?.is_some() {
                let last: Option<i64> = db
                    .query_row(
                        "SELECT seq FROM main.sqlite_sequence WHERE name = ?1",
                        [&table.name],
                        |row| row.get(0),
                    )
                    .optional()?;
                records.next_id = records.next_id.max(last.unwrap_or(0).saturating_add(1));
            }
        }
        Ok(records)
    }

    /// The stored name of a type: exactly this one, else the one that differs in capitals only.
    pub(super) fn type_name(&self, name: &str) -> Option<&str> {
        let exact = self.types.get_key_value(name).map(|(name, _)| name);
        let folded = || self.types.keys().find(|other| other.to_lowercase() == name.to_lowercase());
        exact.or_else(folded).map(String::as_str)
    }

    /// The instance with this type and name.
    pub(super) fn instance_id(&self, campaign_type: &str, name: &str) -> Option<i64> {
        let is_it = |fields: &Fields| {
            fields.text("campaign_type") == Some(campaign_type)
                && fields.text("instance_name") == Some(name)
        };
        self.instances.iter().find(|(_, fields)| is_it(fields)).map(|(id, _)| *id)
    }

    /// Creates or updates what the settings name, and leaves everything else as it is.
    pub(super) fn overlay(&mut self, settings: &CampaignSettings) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (name, fields) in &settings.types {
            let name = self.type_name(name).unwrap_or(name).to_owned();
            edits.extend(self.set_type(&name, fields));
        }
        for fields in &settings.instances {
            let mut fields = fields.clone();
            let given = fields.campaign_type.clone().unwrap_or_default();
            let of_type = self.type_name(&given).unwrap_or(&given).to_owned();
            let id = self.instance_id(&of_type, fields.instance_name.as_deref().unwrap_or(""));
            fields.campaign_type = Some(of_type);
            edits.extend(match id {
                Some(id) => self.set_instance(id, &fields),
                None => Some(self.add_instance(&fields).1),
            });
        }
        edits
    }

    /// Sets what is given of a type, which is made if there is none; `None` if nothing differs.
    pub(super) fn set_type(&mut self, name: &str, given: &TypeFields) -> Option<Edit> {
        let is_new = !self.types.contains_key(name);
        let fields = self.types.entry(name.to_owned()).or_default();
        set(fields, given.values(), Subject::Type(name.to_owned()), is_new)
    }

    /// Adds an instance.
    pub(super) fn add_instance(&mut self, given: &InstanceFields) -> (i64, Edit) {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        let subject = Subject::Instance(id);
        let fields = self.instances.entry(id).or_default();
        let edit = set(fields, given.values(), subject.clone(), true);
        (id, edit.unwrap_or(Edit { subject, is_new: true, fields: Vec::new() }))
    }

    /// Sets what is given of an instance that there is; `None` if nothing differs.
    pub(super) fn set_instance(&mut self, id: i64, given: &InstanceFields) -> Option<Edit> {
        let fields = self.instances.entry(id).or_default();
        set(fields, given.values(), Subject::Instance(id), false)
    }
}

fn set(
    fields: &mut Fields,
    given: Vec<(&'static str, Value)>,
    subject: Subject,
    is_new: bool,
) -> Option<Edit> {
    let before = fields.clone();
    let wanted = Fields(given.iter().cloned().collect());
    let mut changed = Vec::new();
    for (field, value) in given {
        if !before.is_same(&wanted, field) {
            changed.push((field, before.shown(field)));
            fields.0.insert(field, value);
        }
    }
    (is_new || !changed.is_empty()).then_some(Edit { subject, is_new, fields: changed })
}

fn read_table(
    db: &Connection,
    table: &Table,
    key: &str,
    fields: &[&'static str],
) -> rusqlite::Result<Vec<(Value, Fields)>> {
    let columns: Vec<String> =
        std::iter::once(&key).chain(fields).map(|name| table.expression(name)).collect();
    let sql = format!("SELECT {} FROM main.{} ORDER BY 1", columns.join(", "), quote(&table.name));
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = BTreeMap::new();
        for (at, field) in fields.iter().enumerate() {
            values.insert(*field, lossy(row.get_ref(at + 1)?));
        }
        found.push((lossy(row.get_ref(0)?), Fields(values)));
    }
    Ok(found)
}

/// A text that is not UTF-8 counts as none, like everywhere in the store.
fn lossy(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map_or(Value::Null, |text| Value::Text(text.to_owned()))
        }
        other => other.into(),
    }
}

/// The campaign types and instances of a configuration (SPEC section 10). What it does not name
/// stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CampaignSettings {
    /// Types by name.
    pub types: BTreeMap<String, TypeFields>,
    /// Instances; type and name tell one from another.
    pub instances: Vec<InstanceFields>,
}

/// A campaign type as stored. What is not stored is `None`, and then as in a new type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeRecord {
    /// Its name.
    pub name: String,
    /// Its settings by column, as texts.
    #[serde(flatten)]
    pub settings: BTreeMap<&'static str, Option<String>>,
    /// How many instances are of this type.
    pub instances: usize,
}

/// A campaign instance as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceRecord {
    /// Its id.
    pub id: i64,
    /// Its fields by column, as texts.
    #[serde(flatten)]
    pub fields: BTreeMap<&'static str, Option<String>>,
}

impl Records {
    pub(super) fn type_record(&self, name: &str) -> Option<TypeRecord> {
        let fields = self.types.get(name)?;
        let is_of_it = |instance: &&Fields| instance.text("campaign_type") == Some(name);
        Some(TypeRecord {
            name: name.to_owned(),
            settings: TYPE_FIELDS.iter().map(|field| (*field, fields.shown(field))).collect(),
            instances: self.instances.values().filter(is_of_it).count(),
        })
    }

    pub(super) fn instance_record(&self, id: i64) -> Option<InstanceRecord> {
        let fields = self.instances.get(&id)?;
        let shown = INSTANCE_FIELDS.iter().map(|field| (*field, fields.shown(field))).collect();
        Some(InstanceRecord { id, fields: shown })
    }
}

/// A date as it is stored.
pub(super) fn date_value(day: Option<Day>) -> Value {
    day.map_or(Value::Null, |day| Value::Text(day.to_string()))
}
