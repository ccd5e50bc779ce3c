//! The second planner: reads a database, says what must be in it after a run (all sections).
//!
//! Readings of the rules where they leave a choice are listed in `README.md` beside this file.

mod config;
mod contacts;
mod database;
mod dates;
mod decimal;
mod messages;
mod rows;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use rusqlite::Connection;

pub use self::{
    config::{CampaignInstance, CampaignType, ModelConfig, Priorities, TEMPLATE_KINDS, Templates},
    contacts::Issue,
    database::RowContent,
    dates::Limits,
    decimal::Decimal,
    schema::{apply, create_schema, upgrade_schema},
};
pub(crate) use self::{
    contacts::Contact,
    database::{StoredRow, records, stored_rows},
    messages::{FREQUENCY, Message, is_campaign, is_followup},
    rows::EXPIRED,
};
use self::{
    database::Campaigns,
    dates::Dating,
    messages::{ContactMessages, World},
};
use crate::{
    calendar::{parse_date, plus},
    periods::ClosedDays,
};

/// An owned row as it must be after the run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelRow {
    /// The id of the row that is kept or updated; none when the row is new.
    pub existing_id: Option<i64>,
    /// The existing row is not touched: it keeps its run id and its `updated_at`.
    pub unchanged: bool,
    /// What it says.
    pub content: RowContent,
}

/// What a run must do, and what it must find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPlan {
    /// The day of the run.
    pub today: Date,
    /// All owned rows after the run, in the order of their contents.
    pub rows: Vec<ModelRow>,
    /// Owned rows that are deleted, by id.
    pub deleted: BTreeSet<i64>,
    /// What is wrong with contacts, sorted.
    pub issues: Vec<Issue>,
    /// What `contact_campaigns.status` must be, by row id.
    pub target_statuses: BTreeMap<i64, String>,
    /// Campaign instances left out as configuration errors, by id.
    pub rejected_instances: Vec<i64>,
    /// The limits of the day.
    pub limits: Limits,
    /// Messages by date from today on after the daily cap (section 6, step 5): committed rows that count, and messages.
    pub volumes: BTreeMap<Date, i64>,
    /// Days that the daily cap left above the threshold.
    pub days_above_threshold: usize,
}

/// What a database says about contacts, campaigns and rows: all that the rules look at.
pub(crate) struct Facts<'a> {
    pub(crate) today: Date,
    pub(crate) config: &'a ModelConfig,
    pub(crate) contacts: Vec<Contact>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) campaigns: Campaigns,
    pub(crate) stored: Vec<StoredRow>,
    /// Owned rows that are one too many.
    pub(crate) duplicates: BTreeSet<i64>,
    /// Of valid, active contacts.
    pub(crate) closed: BTreeMap<i64, ClosedDays>,
}

impl<'a> Facts<'a> {
    pub(crate) fn read(conn: &Connection, today: Date, config: &'a ModelConfig) -> Self {
        let mut issues = Vec::new();
        let contacts = contacts::read(conn, today, &mut issues);
        let campaigns = Campaigns::read(conn, config);
        let stored = stored_rows(conn);
        let last_year = last_year(today, config, &campaigns);
        let closed = contacts
            .iter()
            .filter(|contact| contact.active && contact.valid)
            .map(|contact| (contact.id, closed_days(contact, config, last_year)))
            .collect();
        let duplicates = rows::duplicates(&stored);
        Self { today, config, contacts, issues, campaigns, stored, duplicates, closed }
    }

    /// The contact, if it is valid and active.
    pub(crate) fn contact(&self, id: i64) -> Option<&Contact> {
        self.contacts.iter().find(|contact| contact.id == id && contact.active && contact.valid)
    }

    /// The stored rows, sorted into what the rules ask for.
    pub(crate) fn world(&self) -> World<'_> {
        let mut world = World {
            today: self.today,
            config: self.config,
            campaigns: &self.campaigns,
            committed: BTreeMap::new(),
            committed_followups: BTreeMap::new(),
            owned: BTreeMap::new(),
            owned_followups: BTreeMap::new(),
        };
        for row in &self.stored {
            let contact_id = row.content.contact_id;
            if !row.is_owned() {
                world.committed.entry(contact_id).or_default().push(row);
                let named: BTreeSet<i64> =
                    row.initial().into_iter().chain(row.initial_in_metadata()).collect();
                for initial in named {
                    world.committed_followups.entry(initial).or_default().push(row);
                }
            } else if !self.duplicates.contains(&row.id) {
                world.owned.entry(contact_id).or_default().push(row);
                if let Some(initial) = row.initial().filter(|_| is_followup(&row.kind())) {
                    world.owned_followups.insert(initial, row);
                }
            }
        }
        world
    }
}

/// Plans a database as it is, without changing it.
///
/// # Panics
///
/// When the database cannot be read, or when the configuration is not one that section 10 accepts.
pub fn plan(conn: &Connection, today: Date, config: &ModelConfig) -> ModelPlan {
    for rule in &config.state_rules {
        let days = rule.before + rule.after + config.pre_window_exclusion_days;
        assert!(days < 364, "a window of {days} days: {rule}");
    }
    let facts = Facts::read(conn, today, config);
    let world = facts.world();
    let Facts { contacts, campaigns, stored, duplicates, closed, .. } = &facts;
    let mut issues = facts.issues.clone();
    issues
        .extend(world.targets_without_trigger().iter().map(|id| (*id, "trigger_date".to_owned())));
    issues.sort_unstable();
    issues.dedup();

    let mut considered = Vec::new();
    let mut effective_ideals = Vec::new();
    for contact in contacts {
        let Some(days) = closed.get(&contact.id) else { continue };
        let ContactMessages { considered: messages, effective_ideals: ideals } =
            world.messages_of(contact, days);
        considered.extend(messages);
        effective_ideals.extend(ideals);
    }

    let limits = Limits::new(config, i64::try_from(contacts.len()).expect("few contacts"));
    let mut dating =
        Dating { today, config, limits, messages: considered, closed, committed: &world.committed };
    dating.smooth(&effective_ideals);
    dating.one_a_day();
    dating.relieve_full_days();
    let mut volumes = dating.volumes();
    volumes.retain(|date, _| *date >= today);
    dating.limit_frequency();
    let messages = dating.messages;

    let owned: BTreeMap<i64, &StoredRow> =
        stored.iter().filter(|row| row.is_owned()).map(|row| (row.id, row)).collect();
    let mut deleted = duplicates.clone();
    let mut rows: Vec<ModelRow> = Vec::new();
    let mut matched = BTreeSet::new();
    for message in &messages {
        matched.extend(message.owned_id);
        let row = message.owned_id.map(|id| owned[&id]);
        rows.push(rows::row_of(message, row, config));
    }
    for row in owned.values().filter(|row| !matched.contains(&row.id)) {
        if deleted.contains(&row.id) {
            continue;
        }
        match rows::row_without_message(row, today) {
            Some(row) => rows.push(row),
            None => {
                deleted.insert(row.id);
            }
        }
    }
    rows.sort_by(|a, b| (&a.content, a.existing_id).cmp(&(&b.content, b.existing_id)));

    ModelPlan {
        today,
        target_statuses: target_statuses(&world, contacts, &rows),
        rows,
        deleted,
        issues,
        rejected_instances: rejected_instances(campaigns),
        limits,
        days_above_threshold: volumes.values().filter(|n| **n > limits.threshold).count(),
        volumes,
    }
}

/// A year that no date asked for comes near: deadlines lie within the horizon, or at the end of a campaign.
fn last_year(today: Date, config: &ModelConfig, campaigns: &Campaigns) -> i16 {
    let ends = campaigns
        .instances
        .values()
        .filter_map(|instance| instance.active_end_date.as_deref().and_then(parse_date));
    let horizon = plus(today, config.horizon_days + config.grace_days + config.max_overflow_days);
    let last = ends.chain([horizon]).max().map_or(today.year(), Date::year);
    last.saturating_add(3).min(9999)
}

fn closed_days(contact: &Contact, config: &ModelConfig, last_year: i16) -> ClosedDays {
    let rules: Vec<_> = config
        .state_rules
        .iter()
        .filter(|rule| contact.states.contains(&rule.state))
        .cloned()
        .collect();
    ClosedDays::new(&rules, contact.person, config.pre_window_exclusion_days, last_year)
}

/// Instances that target all contacts and have no start (section 7).
fn rejected_instances(campaigns: &Campaigns) -> Vec<i64> {
    campaigns
        .instances
        .iter()
        .filter(|(_, instance)| instance.active_start_date.is_none())
        .filter(|(_, i)| campaigns.settings(i).is_some_and(|s| s.active && s.target_all_contacts))
        .map(|(id, _)| *id)
        .collect()
}

/// `contact_campaigns.status` after the run (section 7).
fn target_statuses(
    world: &World<'_>,
    contacts: &[Contact],
    rows: &[ModelRow],
) -> BTreeMap<i64, String> {
    let mut statuses = BTreeMap::new();
    for target in &world.campaigns.targets {
        let status = if target.status.as_deref() == Some("sent") {
            "sent"
        } else {
            target_status(world, target, contacts, rows)
        };
        statuses.insert(target.id, status.to_owned());
    }
    statuses
}

fn target_status(
    world: &World<'_>,
    target: &database::Target,
    contacts: &[Contact],
    rows: &[ModelRow],
) -> &'static str {
    // The message of the target, whether it is in the plan or not.
    let message = || {
        let instance = world.campaigns.instances.get(&target.instance_id)?;
        let settings = world.campaigns.settings(instance)?;
        let trigger = if settings.target_all_contacts {
            instance.active_start_date.as_deref()
        } else {
            target.trigger.as_deref()
        };
        let trigger = trigger.and_then(parse_date)?;
        // Rows outlive their contact, and the status is that of the row.
        let nobody = Contact::nobody(target.contact_id);
        let contact = contacts.iter().find(|contact| contact.id == target.contact_id);
        let contact = contact.unwrap_or(&nobody);
        Some(world.campaign_message(contact, target.instance_id, instance, &settings, trigger))
    };
    let Some(message) = message() else { return "pending" };
    if world.handlers(&message).iter().any(|row| row.is_sent()) {
        return "sent";
    }
    let own = rows.iter().map(|row| &row.content).find(|row| {
        row.contact_id == message.contact_id
            && row.email_type == message.kind
            && row.campaign_instance_id == message.instance
            && row.event_year.zip(row.event_month).zip(row.event_day)
                == message.event.map(|(year, month, day)| ((year, month), day))
    });
    match own.map(|row| row.status.as_str()) {
        Some("pre-scheduled") => "scheduled",
        Some(_) => "skipped",
        None => "pending",
    }
}

#[cfg(test)]
mod tests;
