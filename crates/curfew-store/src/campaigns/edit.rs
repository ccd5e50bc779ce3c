//! Changing campaign types and instances, with each change on record.

use curfew_engine::Day;
use rusqlite::{Transaction, TransactionBehavior, types::Value};

use super::{
    CampaignChange, CampaignSettings, Flaw, InstanceRecord, TypeRecord, log, overrides,
    record::{Edit, INSTANCE_FIELDS, Records, Subject, TYPE_FIELDS, date_value},
};
use crate::{Database, StoreError, schema::quote};

/// Why a campaign could not be changed. Nothing is written then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the messages name")]
pub enum CampaignError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No type has this name.
    #[error("there is no campaign type `{name}`; {}", candidates(.similar.as_deref(), .known, "add it with `curfew campaign type add`"))]
    UnknownType { name: String, similar: Option<String>, known: Vec<String> },
    /// No instance has this id or name.
    #[error("there is no campaign instance `{name}`; {}", candidates(.similar.as_deref(), .known, "add it with `curfew campaign instance add`"))]
    UnknownInstance { name: String, similar: Option<String>, known: Vec<String> },
    /// Several instances have this name.
    #[error("several campaign instances are named `{name}`; give the id: {}", .ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    AmbiguousInstance { name: String, ids: Vec<i64> },
    /// There is such a type, perhaps in other capitals.
    #[error(
        "there is a campaign type `{name}` already; change it with `curfew campaign type edit`"
    )]
    TypeExists { name: String },
    /// The type has an instance of this name.
    #[error(
        "the campaign type `{campaign_type}` has an instance `{name}` already, with the id {id}; \
         change it with `curfew campaign instance edit`"
    )]
    InstanceExists { campaign_type: String, name: String, id: i64 },
    /// A type cannot go while there are instances of it.
    #[error("the campaign type `{name}` has {instances} instances; remove them first")]
    TypeHasInstances { name: String, instances: usize },
    /// A name that cannot be told from others or from nothing.
    #[error(
        "the name `{name}` is not 1 to {chars_max} characters without control characters and blanks around it"
    )]
    BadName { name: String, chars_max: usize },
    /// The last day is before the first.
    #[error("the active_end_date {end} is before the active_start_date {start}")]
    EndsBeforeStart { start: Day, end: Day },
    /// A value that no plan can be made with.
    #[error("campaign instance `{name}` cannot be so: {flaw}")]
    Unsound { name: String, flaw: Flaw },
    /// There is no such contact.
    #[error("there is no contact {contact}")]
    UnknownContact { contact: String },
    /// Several contacts have this address.
    #[error("several contacts have the address {email}; give the id: {}", .ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    AmbiguousContact { email: String, ids: Vec<i64> },
    /// The contact is not a target.
    #[error("contact {contact_id} is no such target of campaign instance {instance_id}")]
    NoSuchTarget { instance_id: i64, contact_id: i64 },
}

fn candidates(similar: Option<&str>, known: &[String], otherwise: &str) -> String {
    match (similar, known) {
        (Some(similar), _) => format!("did you mean `{similar}`?"),
        (None, []) => otherwise.to_owned(),
        (None, known) => format!("there are {}", known.join(", ")),
    }
}

/// What to set for a campaign type; what is `None` stays as it is, or as in a new type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeFields {
    /// Whether exclusion windows apply; in a new type they do.
    pub respect_exclusion_windows: Option<bool>,
    /// Whether its messages are followed up; in a new type they are.
    pub enable_followups: Option<bool>,
    /// Days from the ideal date to the trigger date; negative: after it. In a new type 0.
    pub days_before_event: Option<i32>,
    /// Whether every valid contact is a target; in a new type not.
    pub target_all_contacts: Option<bool>,
    /// A lower number is more important; in a new type 10.
    pub priority: Option<i64>,
    /// Whether its instances take part; in a new type they do.
    pub active: Option<bool>,
}

impl TypeFields {
    pub(super) fn values(&self) -> Vec<(&'static str, Value)> {
        let flag = |value: Option<bool>| value.map(Value::from);
        let values = [
            flag(self.respect_exclusion_windows),
            flag(self.enable_followups),
            self.days_before_event.map(Value::from),
            flag(self.target_all_contacts),
            self.priority.map(Value::from),
            flag(self.active),
        ];
        TYPE_FIELDS.into_iter().zip(values).filter_map(|(f, value)| Some((f, value?))).collect()
    }

    /// With what a new type has where nothing is given.
    fn or_new(&self) -> Self {
        Self {
            respect_exclusion_windows: self.respect_exclusion_windows.or(Some(true)),
            enable_followups: self.enable_followups.or(Some(true)),
            days_before_event: self.days_before_event.or(Some(0)),
            target_all_contacts: self.target_all_contacts.or(Some(false)),
            priority: self.priority.or(Some(10)),
            active: self.active.or(Some(true)),
        }
    }
}

/// What to set for a campaign instance; what is `None` stays as it is. `Some(None)` sets nothing:
/// no template, no bound, no metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::option_option, reason = "left alone, set to nothing, or set to a value")]
pub struct InstanceFields {
    /// Name of its type.
    pub campaign_type: Option<String>,
    /// Its name.
    pub instance_name: Option<String>,
    /// Name of its e-mail template.
    pub email_template: Option<Option<String>>,
    /// Name of its SMS template.
    pub sms_template: Option<Option<String>>,
    /// First day on which it takes part.
    pub active_start_date: Option<Option<Day>>,
    /// Last day on which it takes part.
    pub active_end_date: Option<Option<Day>>,
    /// A JSON object as text.
    pub metadata: Option<Option<String>>,
}

impl InstanceFields {
    pub(super) fn values(&self) -> Vec<(&'static str, Value)> {
        let text = |value: &Option<Option<String>>| value.clone().map(Value::from);
        let values = [
            self.campaign_type.clone().map(Value::from),
            self.instance_name.clone().map(Value::from),
            text(&self.email_template),
            text(&self.sms_template),
            self.active_start_date.map(date_value),
            self.active_end_date.map(date_value),
            text(&self.metadata),
        ];
        INSTANCE_FIELDS.into_iter().zip(values).filter_map(|(f, value)| Some((f, value?))).collect()
    }
}

/// What came of removing something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone. The scheduler's own rows go with the next run.
    Removed,
    /// It stays, because this many rows of it are committed: a type is no longer active, an
    /// instance has ended, a target is as it was, since nothing more is sent to it.
    Deactivated {
        /// Rows that are the sender's or were sent.
        committed: u64,
    },
}

/// One transaction of changes to campaigns. Without [`CampaignEditor::commit`] nothing is written.
#[derive(Debug)]
#[must_use = "changes are kept by committing them"]
pub struct CampaignEditor<'d> {
    pub(super) database: &'d Database,
    pub(super) transaction: Transaction<'d>,
    pub(super) records: Records,
    pub(super) by: &'d str,
    pub(super) now: &'d str,
    pub(super) changes: Vec<CampaignChange>,
}

impl Database {
    /// Begins to change campaigns, on record as changed by `by` at `now`. The database must have
    /// been migrated.
    pub fn edit_campaigns<'d>(
        &'d self,
        by: &'d str,
        now: &'d str,
    ) -> Result<CampaignEditor<'d>, StoreError> {
        let begin = || {
            let db = self.connection();
            let transaction = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            Ok((transaction, Records::read(db)?))
        };
        let (transaction, records) =
            begin().map_err(|error| self.fail("begin to change campaigns", error))?;
        Ok(CampaignEditor { database: self, transaction, records, by, now, changes: Vec::new() })
    }

    /// Creates or updates the types and instances of a configuration, and says what changed. Where
    /// everything is so already, nothing is written.
    pub fn apply_campaign_settings(
        &self,
        settings: &CampaignSettings,
        by: &str,
        now: &str,
    ) -> Result<Vec<CampaignChange>, StoreError> {
        if settings.types.is_empty() && settings.instances.is_empty() {
            return Ok(Vec::new());
        }
        let mut editor = self.edit_campaigns(by, now)?;
        for edit in editor.records.overlay(settings) {
            editor.write(&edit)?;
        }
        editor.commit()
    }

    /// Whether [`Database::apply_campaign_settings`] would change anything.
    pub fn campaign_settings_differ(
        &self,
        settings: &CampaignSettings,
    ) -> Result<bool, StoreError> {
        Ok(!self.campaign_records()?.overlay(settings).is_empty())
    }

    /// All campaign types, by name.
    pub fn campaign_types(&self) -> Result<Vec<TypeRecord>, StoreError> {
        let records = self.campaign_records()?;
        Ok(records.types.keys().filter_map(|name| records.type_record(name)).collect())
    }

    /// All campaign instances, by id.
    pub fn campaign_instances(&self) -> Result<Vec<InstanceRecord>, StoreError> {
        let records = self.campaign_records()?;
        Ok(records.instances.keys().filter_map(|id| records.instance_record(*id)).collect())
    }

    /// One campaign type; capitals may differ.
    pub fn campaign_type(&self, name: &str) -> Result<TypeRecord, CampaignError> {
        let records = self.campaign_records()?;
        let name = known_type(&records, name)?;
        records.type_record(&name).ok_or_else(|| unknown_type(&records, &name))
    }

    /// One campaign instance by its id or its name.
    pub fn campaign_instance(&self, id_or_name: &str) -> Result<InstanceRecord, CampaignError> {
        let records = self.campaign_records()?;
        let id = known_instance(&records, id_or_name)?;
        records.instance_record(id).ok_or_else(|| unknown_instance(&records, id_or_name))
    }

    fn campaign_records(&self) -> Result<Records, StoreError> {
        Records::read(self.connection()).map_err(|error| self.fail("read the campaigns", error))
    }
}

impl CampaignEditor<'_> {
    /// Adds a type.
    pub fn add_type(&mut self, name: &str, fields: &TypeFields) -> Result<(), CampaignError> {
        check_name(name, 100)?;
        if let Some(name) = self.records.type_name(name) {
            return Err(CampaignError::TypeExists { name: name.to_owned() });
        }
        let edit = self.records.set_type(name, &fields.or_new());
        edit.map_or(Ok(()), |edit| self.write(&edit).map_err(Into::into))
    }

    /// Changes a type.
    pub fn edit_type(&mut self, name: &str, fields: &TypeFields) -> Result<(), CampaignError> {
        let name = known_type(&self.records, name)?;
        let edit = self.records.set_type(&name, fields);
        edit.map_or(Ok(()), |edit| self.write(&edit).map_err(Into::into))
    }

    /// Removes a type that has no instances. If messages of an instance of it are committed, it is
    /// made inactive instead.
    pub fn remove_type(&mut self, name: &str) -> Result<Removal, CampaignError> {
        let name = known_type(&self.records, name)?;
        let of_it: Vec<i64> = self
            .records
            .instances
            .iter()
            .filter(|(_, fields)| fields.text("campaign_type") == Some(&name))
            .map(|(id, _)| *id)
            .collect();
        let mut committed = 0;
        for id in &of_it {
            committed += self.committed(*id, None)?;
        }
        if committed > 0 {
            let inactive = TypeFields { active: Some(false), ..TypeFields::default() };
            self.edit_type(&name, &inactive)?;
            return Ok(Removal::Deactivated { committed });
        }
        if !of_it.is_empty() {
            return Err(CampaignError::TypeHasInstances { name, instances: of_it.len() });
        }
        self.execute("DELETE FROM main.campaign_types WHERE name = ?1", [&name])?;
        let before = self.records.types.remove(&name).unwrap_or_default();
        let fields = TYPE_FIELDS.map(|field| (field, before.shown(field))).to_vec();
        self.log(&Edit { subject: Subject::Type(name), is_new: false, fields })?;
        Ok(Removal::Removed)
    }

    /// Adds an instance of a type that there is, and gives its id.
    pub fn add_instance(&mut self, fields: &InstanceFields) -> Result<i64, CampaignError> {
        let mut fields = fields.clone();
        let name = fields.instance_name.clone().unwrap_or_default();
        check_name(&name, 255)?;
        let of_type = known_type(&self.records, fields.campaign_type.as_deref().unwrap_or(""))?;
        if let Some(id) = self.records.instance_id(&of_type, &name) {
            return Err(CampaignError::InstanceExists { campaign_type: of_type, name, id });
        }
        fields.campaign_type = Some(of_type);
        let (id, edit) = self.records.add_instance(&fields);
        self.check_instance(id)?;
        self.write(&edit)?;
        Ok(id)
    }

    /// Changes an instance.
    pub fn edit_instance(&mut self, id: i64, fields: &InstanceFields) -> Result<(), CampaignError> {
        let mut fields = fields.clone();
        if let Some(of_type) = &fields.campaign_type {
            fields.campaign_type = Some(known_type(&self.records, of_type)?);
        }
        if let Some(name) = &fields.instance_name {
            check_name(name, 255)?;
        }
        let Some(edit) = self.records.set_instance(id, &fields) else { return Ok(()) };
        self.check_instance(id)?;
        Ok(self.write(&edit)?)
    }

    /// Removes an instance and its targets. If messages of it are committed, it ends the day before
    /// `today` instead.
    pub fn remove_instance(&mut self, id: i64, today: Day) -> Result<Removal, CampaignError> {
        let committed = self.committed(id, None)?;
        if committed > 0 {
            let end = today - 1;
            let fields = self.records.instances.get(&id).cloned().unwrap_or_default();
            // One that has ended already keeps its end.
            let ended = super::date(&fields, "active_end_date").ok().flatten();
            if ended.is_none_or(|ended| ended > end) {
                let ended = InstanceFields {
                    active_end_date: Some(Some(end)),
                    ..InstanceFields::default()
                };
                if let Some(edit) = self.records.set_instance(id, &ended) {
                    self.write(&edit)?;
                }
            }
            return Ok(Removal::Deactivated { committed });
        }
        self.remove_all_targets(id)?;
        self.execute("DELETE FROM main.campaign_instances WHERE id = ?1", [id])?;
        let before = self.records.instances.remove(&id).unwrap_or_default();
        let fields = INSTANCE_FIELDS
            .iter()
            .map(|field| (*field, before.shown(field)))
            .filter(|(_, old)| old.is_some())
            .collect();
        self.log(&Edit { subject: Subject::Instance(id), is_new: false, fields })?;
        Ok(Removal::Removed)
    }

    /// The id of an instance by its id or its name.
    pub fn instance(&self, id_or_name: &str) -> Result<i64, CampaignError> {
        known_instance(&self.records, id_or_name)
    }

    /// Keeps all changes and says what they are.
    pub fn commit(self) -> Result<Vec<CampaignChange>, StoreError> {
        let Self { database, transaction, changes, .. } = self;
        transaction.commit().map_err(|error| database.fail("change campaigns", error))?;
        Ok(changes)
    }

    /// How many committed rows there are of an instance, or of one of its contacts.
    pub(super) fn committed(
        &self,
        instance_id: i64,
        contact_id: Option<i64>,
    ) -> Result<u64, StoreError> {
        self.transaction
            .query_row(
                "SELECT count(*) FROM main.email_schedules
                 WHERE campaign_instance_id = ?1 AND (?2 IS NULL OR contact_id = ?2)
                   AND coalesce(status, '') NOT IN ('pre-scheduled', 'skipped')",
                (instance_id, contact_id),
                |row| row.get::<_, i64>(0),
            )
            .map(i64::unsigned_abs)
            .map_err(|error| self.database.fail("count committed messages", error))
    }

    fn check_instance(&self, id: i64) -> Result<(), CampaignError> {
        let Some(fields) = self.records.instances.get(&id) else { return Ok(()) };
        let name = fields.text("instance_name").unwrap_or_default();
        let unsound = |flaw| CampaignError::Unsound { name: name.to_owned(), flaw };
        overrides(fields.text("metadata")).map_err(unsound)?;
        let start = super::date(fields, "active_start_date").map_err(unsound)?;
        let end = super::date(fields, "active_end_date").map_err(unsound)?;
        match (start, end) {
            (Some(start), Some(end)) if start > end => {
                Err(CampaignError::EndsBeforeStart { start, end })
            }
            _ => Ok(()),
        }
    }

    /// Writes and logs an edit, which the records hold already.
    fn write(&mut self, edit: &Edit) -> Result<(), StoreError> {
        let (table, key, id, fields) = match &edit.subject {
            Subject::Type(name) => {
                ("campaign_types", "name", Value::from(name.clone()), self.records.types.get(name))
            }
            Subject::Instance(id) => {
                ("campaign_instances", "id", Value::from(*id), self.records.instances.get(id))
            }
        };
        let fields = fields.cloned().unwrap_or_default();
        let names: Vec<&'static str> = edit.fields.iter().map(|(field, _)| *field).collect();
        let mut values = vec![id];
        values.extend(names.iter().map(|field| Value::from(fields.get(field))));
        let sql = if edit.is_new {
            let columns: Vec<String> =
                std::iter::once(key).chain(names.iter().copied()).map(quote).collect();
            let places: Vec<String> = (1..=values.len()).map(|at| format!("?{at}")).collect();
            let (columns, places) = (columns.join(", "), places.join(", "));
            format!("INSERT INTO main.{table} ({columns}) VALUES ({places})")
        } else {
            let sets: Vec<String> = names
                .iter()
                .zip(2..)
                .map(|(name, at)| format!("{} = ?{at}", quote(name)))
                .collect();
            format!("UPDATE main.{table} SET {} WHERE {key} = ?1", sets.join(", "))
        };
        self.execute(&sql, rusqlite::params_from_iter(values))?;
        self.log(edit)
    }

    fn log(&mut self, edit: &Edit) -> Result<(), StoreError> {
        log::changes(&self.records, edit).into_iter().try_for_each(|change| self.record(change))
    }

    /// Puts a change on record.
    pub(super) fn record(&mut self, change: CampaignChange) -> Result<(), StoreError> {
        log::write(&self.transaction, self.by, self.now, &change)
            .map_err(|error| self.database.fail("log a change of a campaign", error))?;
        self.changes.push(change);
        Ok(())
    }

    pub(super) fn execute(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
    ) -> Result<usize, StoreError> {
        self.transaction
            .execute(sql, values)
            .map_err(|error| self.database.fail("change a campaign", error))
    }
}

fn check_name(name: &str, chars_max: usize) -> Result<(), CampaignError> {
    let is_good = name.trim() == name
        && (1..=chars_max).contains(&name.chars().count())
        && !name.chars().any(char::is_control);
    let bad = || CampaignError::BadName { name: name.to_owned(), chars_max };
    if is_good { Ok(()) } else { Err(bad()) }
}

fn known_type(records: &Records, name: &str) -> Result<String, CampaignError> {
    records.type_name(name).map(str::to_owned).ok_or_else(|| unknown_type(records, name))
}

fn unknown_type(records: &Records, name: &str) -> CampaignError {
    let known: Vec<String> = records.types.keys().cloned().collect();
    CampaignError::UnknownType { name: name.to_owned(), similar: similar(name, &known), known }
}

/// An id comes before a name that looks like one.
fn known_instance(records: &Records, id_or_name: &str) -> Result<i64, CampaignError> {
    if let Ok(id) = id_or_name.parse()
        && records.instances.contains_key(&id)
    {
        return Ok(id);
    }
    let has_name = |fields: &super::Fields| fields.text("instance_name") == Some(id_or_name);
    let ids: Vec<i64> = records
        .instances
        .iter()
        .filter(|(_, fields)| has_name(fields))
        .map(|(id, _)| *id)
        .collect();
    match ids[..] {
        [id] => Ok(id),
        [] => Err(unknown_instance(records, id_or_name)),
        _ => Err(CampaignError::AmbiguousInstance { name: id_or_name.to_owned(), ids }),
    }
}

fn unknown_instance(records: &Records, name: &str) -> CampaignError {
    let names = records.instances.values().filter_map(|fields| fields.text("instance_name"));
    let known: Vec<String> = names.map(str::to_owned).collect();
    CampaignError::UnknownInstance { name: name.to_owned(), similar: similar(name, &known), known }
}

/// The name that is most like this one, if one is.
fn similar(name: &str, known: &[String]) -> Option<String> {
    // Comparing costs the product of the lengths.
    if name.len() > 255 {
        return None;
    }
    let name = name.to_lowercase();
    known
        .iter()
        .map(|other| (strsim::damerau_levenshtein(&name, &other.to_lowercase()), other))
        .filter(|(distance, _)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other.clone())
}
