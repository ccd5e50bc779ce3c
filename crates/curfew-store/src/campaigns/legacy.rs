//! Rows of the older application: what becomes of each kind, and its rate increases as a campaign.

use std::collections::{BTreeMap, BTreeSet};

use curfew_engine::{Day, DeleteReason, Status};
use jiff::civil::Date;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{
    CampaignChange, CampaignEditor, CampaignError, InstanceFields, TypeFields, record::Records,
    resolve,
};
use crate::{
    Database, StoreError,
    cell::{self, integer, owned, text},
    history::{Chain, Entry, Happening, old_values},
    json,
    schema::Table,
};

/// The older application's kind for rate increases, in lower case.
const RATE_INCREASE: &str = "scheduled_rate_increase";
/// The campaign type that its rows come to.
const CAMPAIGN_TYPE: &str = "rate_increase";
/// The kind of the messages of that type.
const CAMPAIGN_KIND: &str = "campaign_rate_increase";
/// The name of the first instance; others get a number.
const INSTANCE_NAME: &str = "Rate increase (migrated)";
/// Kinds of the older application that are `post_window` messages, in lower case.
const POST_WINDOW_KINDS: [&str; 2] = ["post_window_birthday", "post_window_effective_date"];
/// The kinds that a plan has.
const PLAN_KINDS: [&str; 8] = [
    "birthday",
    "effective_date",
    "aep",
    "post_window",
    "followup_1_cold",
    "followup_2_clicked_no_hq",
    "followup_3_hq_no_yes",
    "followup_4_hq_with_yes",
];
/// The status of a row that stands for one of the older application, so that its message counts as
/// handled. Nobody sends it, and it counts for no limit.
const STAND_IN: &str = "handled";

/// What [`Database::migrate_legacy`] does, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LegacyReport {
    /// Every kind and status with the number of its rows and what becomes of them.
    pub kinds: Vec<LegacyKind>,
    /// The campaign that the rate increases come to; none if there are no such rows.
    pub campaign: Option<LegacyCampaign>,
    /// Committed rows that stay exactly as they are, of every kind.
    pub committed_kept: u64,
    /// Rows added that stand for committed rows whose kind is not that of the message they handle.
    pub stand_ins_added: u64,
    /// What somebody should look at.
    pub problems: Vec<String>,
}

impl LegacyReport {
    /// Whether everything was done before.
    pub fn is_unchanged(&self) -> bool {
        self.stand_ins_added == 0 && self.campaign.as_ref().is_none_or(LegacyCampaign::is_unchanged)
    }
}

/// The rows of a kind with a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LegacyKind {
    /// `email_type` as stored.
    pub email_type: Option<String>,
    /// `status` as stored.
    pub status: Option<String>,
    /// How many rows there are.
    pub rows: u64,
    /// What becomes of them.
    pub becomes: &'static str,
}

/// The rate increases as a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LegacyCampaign {
    /// The name of its type.
    pub campaign_type: String,
    /// Whether the type is new.
    pub type_added: bool,
    /// From the ideal date to the trigger date: given, or of the type that there was, or what most
    /// rows with an event date have.
    pub days_before_event: i32,
    /// Its instances: one for each pair of templates that rows have.
    pub instances: Vec<LegacyInstance>,
    /// New targets.
    pub targets_added: u64,
    /// Those of them that are `sent`.
    pub targets_sent: u64,
    /// Targets that there were, and that have become `sent`.
    pub targets_updated: u64,
    /// Targets that there were already.
    pub targets_unchanged: u64,
    /// Owned rows that became messages of the campaign, with their dates.
    pub rows_converted: u64,
    /// Owned rows that went because another one of the same contact and date is kept; they are in
    /// the history.
    pub rows_deleted: u64,
}

impl LegacyCampaign {
    fn is_unchanged(&self) -> bool {
        !self.type_added
            && self.instances.iter().all(|instance| !instance.added)
            && self.targets_added + self.targets_updated + self.rows_converted + self.rows_deleted
                == 0
    }
}

/// An instance for rate increases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LegacyInstance {
    /// Its id; a new one has none yet in a dry run.
    pub id: Option<i64>,
    /// Its name.
    pub name: String,
    /// Its e-mail template.
    pub email_template: Option<String>,
    /// Its SMS template.
    pub sms_template: Option<String>,
    /// Whether it is new.
    pub added: bool,
}

/// How rows of the older application are to be migrated.
#[derive(Clone, Copy, Debug)]
pub struct LegacyRequest<'a> {
    /// The run that it is on record as; it must have been started.
    pub run_id: &'a str,
    /// Who does it.
    pub by: &'a str,
    /// The time that goes on record.
    pub now: &'a str,
    /// From the ideal date to the trigger date, for a new type; `None`: as most rows have it.
    pub days_before_event: Option<i32>,
}

/// A row of the older application's rate increases.
#[derive(Debug)]
struct LegacyRow {
    id: i64,
    contact_id: Option<i64>,
    has_contact: bool,
    date: Option<Day>,
    event: Option<Day>,
    status: Status,
    templates: Templates,
}

/// E-mail and SMS template.
type Templates = (Option<String>, Option<String>);

/// What is to be done, found by reading alone.
#[derive(Debug, Default)]
struct Analysis {
    report: LegacyReport,
    groups: Vec<Group>,
    /// Committed rows that need a stand-in of kind `post_window`.
    post_window: Vec<i64>,
}

/// What is to be done for one instance.
#[derive(Debug)]
struct Group {
    templates: Templates,
    /// New targets by contact and trigger date; whether they are sent.
    targets: BTreeMap<(i64, Option<Day>), bool>,
    /// Targets that there are and that have become sent, by rowid, with contact and former status.
    sent_now: Vec<(i64, i64, Option<String>)>,
    /// Owned rows that become messages of the campaign, with trigger date and shift.
    converted: Vec<(i64, Option<Day>, Option<i32>)>,
    /// Owned rows of which another one is kept.
    deleted: Vec<i64>,
    /// Committed rows that need a stand-in, with the trigger date.
    stand_ins: Vec<(i64, Day)>,
}

impl Database {
    /// What [`Database::migrate_legacy`] would do. Nothing is written, and the database need not
    /// have been migrated.
    pub fn survey_legacy(
        &self,
        days_before_event: Option<i32>,
    ) -> Result<LegacyReport, StoreError> {
        analyse(self.connection(), days_before_event)
            .map(|analysis| analysis.report)
            .map_err(|error| self.fail("read the older application's rows", error))
    }

    /// Brings the rows of the older application in order, in one transaction: its rate increases
    /// become a campaign with instances and targets, their owned rows messages of it with the dates
    /// that they have. Committed rows stay as they are, to the byte; where their kind is not that of
    /// the message that they handle, a row with the status `handled` is added that stands for them.
    ///
    /// What was done before is not done again. The database must have been migrated.
    ///
    /// # Errors
    /// If the database cannot be read or written; nothing is changed then.
    pub fn migrate_legacy(
        &self,
        request: &LegacyRequest<'_>,
    ) -> Result<LegacyReport, CampaignError> {
        let mut editor = self.edit_campaigns(request.by, request.now)?;
        let mut analysis = analyse(&editor.transaction, request.days_before_event)
            .map_err(|error| self.fail("read the older application's rows", error))?;
        editor.apply_legacy(request, &mut analysis)?;
        editor.commit()?;
        Ok(analysis.report)
    }
}

fn analyse(db: &Connection, days_before_event: Option<i32>) -> rusqlite::Result<Analysis> {
    let mut analysis = Analysis::default();
    let Some(table) = Table::read(db, "email_schedules")? else { return Ok(analysis) };
    count_kinds(db, &table, &mut analysis.report)?;
    let stood_for = stood_for(db, &table)?;
    for id in post_window_rows(db, &table)? {
        if !stood_for.contains(&id) {
            analysis.post_window.push(id);
        }
    }
    let rows = rate_increases(db, &table)?;
    let records = Records::read(db)?;
    if !rows.is_empty() {
        analyse_rate_increases(
            db,
            &table,
            &records,
            rows,
            days_before_event,
            &stood_for,
            &mut analysis,
        )?;
    }
    let stand_ins: usize = analysis.groups.iter().map(|group| group.stand_ins.len()).sum();
    analysis.report.stand_ins_added = (analysis.post_window.len() + stand_ins) as u64;
    Ok(analysis)
}

/// Counts all rows by kind and status, and says what becomes of them.
fn count_kinds(db: &Connection, table: &Table, report: &mut LegacyReport) -> rusqlite::Result<()> {
    let (kind, status) = (table.expression("email_type"), table.expression("status"));
    let mut statement = db.prepare(&format!(
        "SELECT {kind}, {status}, count(*) FROM main.email_schedules GROUP BY 1, 2 ORDER BY 1, 2"
    ))?;
    let mut rows = statement.query([])?;
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (email_type, status) = (owned(row, 0)?, owned(row, 1)?);
        let number = row.get::<_, i64>(2)?.unsigned_abs();
        let is_owned = Status::of(status.as_deref()).is_owned();
        let stored = email_type.clone().unwrap_or_default();
        let lower = stored.to_ascii_lowercase();
        let is_known = PLAN_KINDS.contains(&lower.as_str()) || lower.starts_with("campaign_");
        let becomes = match (lower.as_str(), is_owned) {
            (RATE_INCREASE, true) => "a message of the campaign `rate_increase`, with its date",
            (RATE_INCREASE, false) => "stays as it is; its target counts as handled",
            (kind, false) if POST_WINDOW_KINDS.contains(&kind) => {
                "stays as it is; handles a `post_window` message"
            }
            (kind, true) if POST_WINDOW_KINDS.contains(&kind) => {
                "goes with the next run, which plans `post_window` messages itself"
            }
            (_, false) if is_known && lower == stored => "stays as it is",
            (_, false) if is_known => "stays as it is; recognized in capitals too",
            (_, true) if is_known && lower == stored => "stays; the next run plans it",
            (_, true) if is_known => "stays; the next run plans it, in small letters",
            (_, false) => "stays as it is; of a kind that handles no message",
            (_, true) => "goes with the next run, which knows no such kind",
        };
        if !is_owned {
            report.committed_kept += number;
        }
        let is_legacy = lower == RATE_INCREASE || POST_WINDOW_KINDS.contains(&lower.as_str());
        if !is_known && !is_legacy {
            *unknown.entry(stored).or_default() += number;
        }
        report.kinds.push(LegacyKind { email_type, status, rows: number, becomes });
    }
    report.problems.extend(unknown.into_iter().map(|(kind, number)| {
        format!("rows of the unknown kind `{kind}`: {number}; the next run removes those that are its own")
    }));
    Ok(())
}

/// The rows for which another row stands already.
fn stood_for(db: &Connection, table: &Table) -> rusqlite::Result<BTreeSet<i64>> {
    let (status, metadata) = (table.expression("status"), table.expression("metadata"));
    let mut statement = db.prepare(&format!(
        "SELECT {metadata} FROM main.email_schedules WHERE {status} = '{STAND_IN}'"
    ))?;
    let mut rows = statement.query([])?;
    let mut ids = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let picked = text(row, 0)?.and_then(|text| json::pick(text, ["stands_for"]));
        ids.extend(picked.and_then(|[id]| id?.as_i64()));
    }
    Ok(ids)
}

/// Committed rows of kinds that are `post_window` under another name, with a date.
fn post_window_rows(db: &Connection, table: &Table) -> rusqlite::Result<Vec<i64>> {
    let [kind, status, date] =
        ["email_type", "status", "scheduled_send_date"].map(|name| table.expression(name));
    let [first, second] = POST_WINDOW_KINDS;
    let mut statement = db.prepare(&format!(
        "SELECT id, {status}, {date} FROM main.email_schedules
         WHERE lower({kind}) IN ('{first}', '{second}') AND contact_id IS NOT NULL ORDER BY id"
    ))?;
    let mut rows = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        let has_date = text(row, 2)?.is_some_and(|date| Day::parse(date).is_ok());
        if has_date && !Status::of(text(row, 1)?).is_owned() {
            ids.extend(integer(row, 0)?);
        }
    }
    Ok(ids)
}

fn rate_increases(db: &Connection, table: &Table) -> rusqlite::Result<Vec<LegacyRow>> {
    let columns = [
        "id",
        "contact_id",
        "scheduled_send_date",
        "status",
        "email_template",
        "sms_template",
        "event_year",
        "event_month",
        "event_day",
    ]
    .map(|name| table.expression(name))
    .join(", ");
    let kind = table.expression("email_type");
    let mut statement = db.prepare(&format!(
        "SELECT {columns}, EXISTS (SELECT 1 FROM main.contacts AS c WHERE c.id = s.contact_id)
         FROM main.email_schedules AS s WHERE lower({kind}) = '{RATE_INCREASE}' ORDER BY 1"
    ))?;
    let rows = statement.query_map([], |row| {
        let event = [6, 7, 8].map(|at| integer(row, at).ok().flatten());
        let event = match event {
            [Some(year), Some(month), Some(day)] => (|| {
                let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
                Day::from_ymd(i16::try_from(year).ok()?, month, day)
            })(),
            _ => None,
        };
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(LegacyRow {
            id: row.get(0)?,
            contact_id: integer(row, 1)?,
            has_contact: row.get(9)?,
            date: text(row, 2)?.and_then(|text| Day::parse(text).ok()),
            event,
            status: Status::of(text(row, 3)?),
            templates: (filled(owned(row, 4)?), filled(owned(row, 5)?)),
        })
    })?;
    rows.collect()
}

/// The days from date to event that most rows have; 0 without any.
fn usual_days(rows: &[LegacyRow]) -> i32 {
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    for row in rows {
        if let (Some(date), Some(event)) = (row.date, row.event) {
            *counts.entry(event - date).or_default() += 1;
        }
    }
    // Of equally frequent ones the lowest.
    counts.into_iter().rev().max_by_key(|(_, number)| *number).map_or(0, |(days, _)| days)
}

/// What an instance's metadata says of where it comes from.
fn marker((email, sms): &Templates) -> serde_json::Value {
    serde_json::json!({
        "migrated_from": "SCHEDULED_RATE_INCREASE", "email_template": email, "sms_template": sms
    })
}

fn analyse_rate_increases(
    db: &Connection,
    table: &Table,
    records: &Records,
    rows: Vec<LegacyRow>,
    days_before_event: Option<i32>,
    stood_for: &BTreeSet<i64>,
    analysis: &mut Analysis,
) -> rusqlite::Result<()> {
    let type_name = records.type_name(CAMPAIGN_TYPE).map(str::to_owned);
    let of_type = type_name.as_deref().and_then(|name| {
        match records.types.get(name)?.get("days_before_event") {
            rusqlite::types::ValueRef::Integer(days) => i32::try_from(days).ok(),
            _ => Some(0),
        }
    });
    let days = of_type.or(days_before_event).unwrap_or_else(|| usual_days(&rows));
    let mut campaign = LegacyCampaign {
        campaign_type: type_name.clone().unwrap_or_else(|| CAMPAIGN_TYPE.to_owned()),
        type_added: type_name.is_none(),
        days_before_event: days,
        ..LegacyCampaign::default()
    };
    let mut by_templates: BTreeMap<Templates, Vec<LegacyRow>> = BTreeMap::new();
    for row in rows {
        by_templates.entry(row.templates.clone()).or_default().push(row);
    }
    let (campaigns, _) = resolve(records);
    let (mut undated, mut orphans) = (0, 0);
    // The most frequent templates first.
    let mut by_templates: Vec<(Templates, Vec<LegacyRow>)> = by_templates.into_iter().collect();
    by_templates.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    for (templates, rows) in by_templates {
        let wanted = marker(&templates);
        let found = records.instances.iter().find(|(_, fields)| {
            let metadata = fields.text("metadata");
            let metadata = metadata.and_then(|text| serde_json::from_str(text).ok());
            // What was added to it since does not matter.
            metadata.is_some_and(|metadata: serde_json::Value| {
                wanted.as_object().is_some_and(|wanted| {
                    wanted.iter().all(|(key, value)| metadata.get(key) == Some(value))
                })
            })
        });
        let id = found.map(|(id, _)| *id);
        let named = |name: &str| {
            campaign.instances.iter().any(|other: &LegacyInstance| other.name == name)
                || records.instances.values().any(|other| other.text("instance_name") == Some(name))
        };
        let name = match found {
            Some((_, fields)) => fields.text("instance_name").unwrap_or_default().to_owned(),
            None if !named(INSTANCE_NAME) => INSTANCE_NAME.to_owned(),
            None => (2..=records.instances.len() + campaign.instances.len() + 2)
                .map(|number| format!("{INSTANCE_NAME} {number}"))
                .find(|name| !named(name))
                .unwrap_or_default(),
        };
        // The instance may have other days than its type by now.
        let days = campaigns
            .iter()
            .find(|other| Some(other.instance_id) == id)
            .map_or(days, |other| other.days_before_event);
        campaign.instances.push(LegacyInstance {
            id,
            name,
            email_template: templates.0.clone(),
            sms_template: templates.1.clone(),
            added: id.is_none(),
        });
        let existing = existing_targets(db, id)?;
        let mut taken = taken_events(db, table, id)?;
        let mut group = Group {
            templates,
            targets: BTreeMap::new(),
            sent_now: Vec::new(),
            converted: Vec::new(),
            deleted: Vec::new(),
            stand_ins: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        // Of owned rows for one date a planned one is kept, then the first.
        let (owned_rows, committed): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.status.is_owned());
        let mut in_order: Vec<&LegacyRow> = owned_rows.iter().chain(&committed).collect();
        in_order.sort_by_key(|row| (row.status == Status::Skipped, row.id));
        for row in in_order {
            let trigger = row.event.or(row.date.map(|date| date + days));
            if trigger.is_none() {
                undated += 1;
            }
            let is_sent = matches!(row.status, Status::Committed { sent: true, .. });
            if let Some(contact_id) = row.contact_id.filter(|_| row.has_contact) {
                let key = (contact_id, trigger);
                if let Some((rowid, status)) = existing.get(&key) {
                    if seen.insert(key) {
                        campaign.targets_unchanged += 1;
                    }
                    let was_sent = status.as_deref() == Some("sent");
                    if is_sent && !was_sent && group.sent_now.iter().all(|(id, ..)| id != rowid) {
                        campaign.targets_unchanged -= 1;
                        group.sent_now.push((*rowid, contact_id, status.clone()));
                    }
                } else {
                    *group.targets.entry(key).or_default() |= is_sent;
                }
            } else {
                orphans += 1;
            }
            if row.status.is_owned() {
                let is_taken = row.contact_id.zip(trigger).is_some_and(|key| !taken.insert(key));
                if is_taken {
                    group.deleted.push(row.id);
                } else {
                    let shift =
                        trigger.zip(row.date).map(|(trigger, date)| date - (trigger - days));
                    group.converted.push((row.id, trigger, shift));
                }
            } else if let Some(trigger) =
                trigger.filter(|_| !is_sent && !stood_for.contains(&row.id))
            {
                group.stand_ins.push((row.id, trigger));
            }
        }
        campaign.targets_added += group.targets.len() as u64;
        campaign.targets_sent += group.targets.values().filter(|sent| **sent).count() as u64;
        campaign.targets_updated += group.sent_now.len() as u64;
        campaign.rows_converted += group.converted.len() as u64;
        campaign.rows_deleted += group.deleted.len() as u64;
        if id.is_none() && group.templates.0.is_none() {
            analysis.report.problems.push(format!(
                "campaign instance `{}` has no e-mail template, as its rows had none; set it with \
                 `curfew campaign instance edit`",
                campaign.instances.last().map_or("", |instance| instance.name.as_str())
            ));
        }
        analysis.groups.push(group);
    }
    let problems = &mut analysis.report.problems;
    if undated > 0 {
        problems.push(format!(
            "rate increases without a date that can be read: {undated}; their targets have no \
             trigger date and get no message until they have one"
        ));
    }
    if orphans > 0 {
        problems.push(format!(
            "rate increases of contacts that do not exist: {orphans}; they have no targets"
        ));
    }
    analysis.report.campaign = Some(campaign);
    Ok(())
}

type ExistingTargets = BTreeMap<(i64, Option<Day>), (i64, Option<String>)>;

/// The targets of an instance by contact and trigger date, with rowid and status.
fn existing_targets(
    db: &Connection,
    instance_id: Option<i64>,
) -> rusqlite::Result<ExistingTargets> {
    let mut found = BTreeMap::new();
    let Some(instance_id) = instance_id else { return Ok(found) };
    let mut statement = db.prepare(
        "SELECT rowid, contact_id, trigger_date, status FROM main.contact_campaigns
         WHERE campaign_instance_id = ?1",
    )?;
    let mut rows = statement.query([instance_id])?;
    while let Some(row) = rows.next()? {
        let Some(contact_id) = integer(row, 1)? else { continue };
        let trigger = text(row, 2)?.and_then(|text| Day::parse(text).ok());
        found.insert((contact_id, trigger), (row.get(0)?, owned(row, 3)?));
    }
    Ok(found)
}

/// Contacts and events that have an owned row of an instance already.
fn taken_events(
    db: &Connection,
    table: &Table,
    instance_id: Option<i64>,
) -> rusqlite::Result<BTreeSet<(i64, Day)>> {
    let mut taken = BTreeSet::new();
    let Some(instance_id) = instance_id else { return Ok(taken) };
    let columns = ["contact_id", "event_year", "event_month", "event_day"]
        .map(|name| table.expression(name))
        .join(", ");
    let mut statement = db.prepare(&format!(
        "SELECT {columns} FROM main.email_schedules
         WHERE campaign_instance_id = ?1 AND lower(email_type) = '{CAMPAIGN_KIND}'
           AND status IN ('pre-scheduled', 'skipped')"
    ))?;
    let mut rows = statement.query([instance_id])?;
    while let Some(row) = rows.next()? {
        let part = |at| cell::integer(row, at);
        let (Some(contact), Some(year), Some(month), Some(day)) =
            (part(0)?, part(1)?, part(2)?, part(3)?)
        else {
            continue;
        };
        let date = (|| {
            let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
            Day::from_ymd(i16::try_from(year).ok()?, month, day)
        })();
        taken.extend(date.map(|date| (contact, date)));
    }
    Ok(taken)
}

impl CampaignEditor<'_> {
    fn apply_legacy(
        &mut self,
        request: &LegacyRequest<'_>,
        analysis: &mut Analysis,
    ) -> Result<(), CampaignError> {
        if let Some(campaign) = &analysis.report.campaign
            && campaign.type_added
        {
            let fields = TypeFields {
                days_before_event: Some(campaign.days_before_event),
                ..TypeFields::default()
            };
            self.add_type(CAMPAIGN_TYPE, &fields)?;
        }
        let mut record = Recorder::begin(&self.transaction)
            .map_err(|error| self.database.fail("migrate the older application's rows", error))?;
        for (at, group) in analysis.groups.iter().enumerate() {
            let instances =
                analysis.report.campaign.as_mut().map(|campaign| &mut campaign.instances);
            let Some(instance) = instances.and_then(|instances| instances.get_mut(at)) else {
                continue;
            };
            let instance_id = match instance.id {
                Some(id) => id,
                None => self.add_instance(&InstanceFields {
                    campaign_type: Some(CAMPAIGN_TYPE.to_owned()),
                    instance_name: Some(instance.name.clone()),
                    email_template: Some(group.templates.0.clone()),
                    sms_template: Some(group.templates.1.clone()),
                    metadata: Some(Some(marker(&group.templates).to_string())),
                    ..InstanceFields::default()
                })?,
            };
            instance.id = Some(instance_id);
            self.add_legacy_targets(instance_id, group)?;
            record
                .rows(&self.transaction, instance_id, group, request)
                .map_err(|error| self.database.fail("migrate the rate increases", error))?;
        }
        for id in &analysis.post_window {
            stand_in(&self.transaction, *id, "post_window", None, request)
                .map_err(|error| self.database.fail("add a row that stands for another", error))?;
        }
        record
            .end(&self.transaction, request, &analysis.report)
            .map_err(|error| self.database.fail("record the run", error))?;
        Ok(())
    }

    fn add_legacy_targets(&mut self, instance_id: i64, group: &Group) -> Result<(), StoreError> {
        for ((contact_id, trigger), is_sent) in &group.targets {
            let status = if *is_sent { "sent" } else { "pending" };
            let trigger = trigger.map(|day| day.to_string());
            self.execute(
                "INSERT INTO main.contact_campaigns
                   (contact_id, campaign_instance_id, trigger_date, status) VALUES (?1, ?2, ?3, ?4)",
                params![contact_id, instance_id, trigger, status],
            )?;
            self.record(change(instance_id, *contact_id, "trigger_date", None, trigger))?;
            if *is_sent {
                let sent = Some(status.to_owned());
                self.record(change(instance_id, *contact_id, "status", None, sent))?;
            }
        }
        for (rowid, contact_id, former) in &group.sent_now {
            self.execute(
                "UPDATE main.contact_campaigns SET status = 'sent' WHERE rowid = ?1",
                [rowid],
            )?;
            let sent = Some("sent".to_owned());
            self.record(change(instance_id, *contact_id, "status", former.clone(), sent))?;
        }
        Ok(())
    }
}

fn change(
    instance_id: i64,
    contact_id: i64,
    field: &'static str,
    old_value: Option<String>,
    new_value: Option<String>,
) -> CampaignChange {
    CampaignChange {
        entity: "campaign_target",
        entity_id: format!("{instance_id}/{contact_id}"),
        field,
        old_value,
        new_value,
        requires_rescheduling: true,
    }
}

/// Changes owned rows, each of which goes to the history before.
struct Recorder {
    chain: Chain,
    columns: Vec<String>,
}

const FORMER: &str = "SELECT *, contact_id FROM main.email_schedules WHERE id = ?1";

impl Recorder {
    fn begin(db: &Connection) -> rusqlite::Result<Self> {
        let former = db.prepare(FORMER)?;
        let mut columns: Vec<String> =
            former.column_names().iter().map(ToString::to_string).collect();
        columns.pop();
        Ok(Self { chain: Chain::at_end(db)?, columns })
    }

    fn rows(
        &mut self,
        db: &Connection,
        instance_id: i64,
        group: &Group,
        request: &LegacyRequest<'_>,
    ) -> rusqlite::Result<()> {
        let duplicate = DeleteReason::Duplicate.to_string();
        for id in &group.deleted {
            self.record(db, *id, Happening::Deleted, &duplicate, request)?;
            db.prepare_cached("DELETE FROM main.email_schedules WHERE id = ?1")?.execute([id])?;
        }
        for (id, trigger, shift) in &group.converted {
            let why = "migrated from SCHEDULED_RATE_INCREASE";
            self.record(db, *id, Happening::Updated, why, request)?;
            let (year, month, day) = event_columns(*trigger);
            db.prepare_cached(
                "UPDATE main.email_schedules SET email_type = ?2, campaign_instance_id = ?3,
                   event_year = ?4, event_month = ?5, event_day = ?6,
                   shift_days = coalesce(?7, shift_days), scheduler_run_id = ?8, updated_at = ?9
                 WHERE id = ?1",
            )?
            .execute(params![
                id,
                CAMPAIGN_KIND,
                instance_id,
                year,
                month,
                day,
                shift,
                request.run_id,
                request.now
            ])?;
        }
        for (id, trigger) in &group.stand_ins {
            stand_in(db, *id, CAMPAIGN_KIND, Some((instance_id, *trigger)), request)?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        db: &Connection,
        id: i64,
        what: Happening,
        why: &str,
        request: &LegacyRequest<'_>,
    ) -> rusqlite::Result<()> {
        let columns = &self.columns;
        let read = |row: &Row<'_>| Ok((old_values(row, columns)?, integer(row, columns.len())?));
        let (values, contact_id) = db.prepare_cached(FORMER)?.query_row([id], read)?;
        let entry = Entry {
            run_id: request.run_id,
            schedule_id: id,
            contact_id,
            what,
            why,
            old_values: &values,
            recorded_at: request.now,
        };
        self.chain.append(&mut Chain::prepare(db)?, &entry)
    }

    /// Puts on record how the run ended the history, within its transaction.
    fn end(
        &self,
        db: &Connection,
        request: &LegacyRequest<'_>,
        report: &LegacyReport,
    ) -> rusqlite::Result<usize> {
        let campaign = report.campaign.clone().unwrap_or_default();
        let head = self.chain.head();
        db.execute(
            "UPDATE main.scheduler_checkpoints SET rows_inserted = ?2, rows_updated = ?3,
               rows_deleted = ?4, history_id = ?5, history_hash = ?6 WHERE run_id = ?1",
            params![
                request.run_id,
                report.stand_ins_added.cast_signed(),
                campaign.rows_converted.cast_signed(),
                campaign.rows_deleted.cast_signed(),
                head.as_ref().map(|head| head.id),
                head.as_ref().map(|head| &head.hash)
            ],
        )
    }
}

type Parts = (Option<i16>, Option<i8>, Option<i8>);

fn event_columns(day: Option<Day>) -> Parts {
    let date = day.map(Day::to_date);
    (date.map(Date::year), date.map(Date::month), date.map(Date::day))
}

/// Adds a row that stands for a committed one: of the kind whose message that one handles.
fn stand_in(
    db: &Connection,
    id: i64,
    kind: &str,
    campaign: Option<(i64, Day)>,
    request: &LegacyRequest<'_>,
) -> rusqlite::Result<usize> {
    let (instance_id, trigger) = campaign.unzip();
    let (year, month, day) = event_columns(trigger);
    db.prepare_cached(&format!(
        "INSERT INTO main.email_schedules (contact_id, email_type, scheduled_send_date,
           scheduled_send_time, status, skip_reason, campaign_instance_id, event_year, event_month,
           event_day, scheduler_run_id, metadata, created_at, updated_at)
         SELECT contact_id, ?2, scheduled_send_date, coalesce(scheduled_send_time, '00:00:00'),
           '{STAND_IN}', 'Stands for row ' || id || ' (' || email_type || ')', ?3, ?4, ?5, ?6, ?7,
           json_object('stands_for', id), ?8, ?8
         FROM main.email_schedules WHERE id = ?1"
    ))?
    .execute(params![id, kind, instance_id, year, month, day, request.run_id, request.now])
}
