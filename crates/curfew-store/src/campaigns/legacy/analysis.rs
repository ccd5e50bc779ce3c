//! What is to be done with the older application's rows, found by reading alone.

use std::collections::{BTreeMap, BTreeSet};

use curfew_engine::{Campaign, Day, Status};
use rusqlite::{Connection, Row, types::ValueRef};

use super::{
    super::{record::Records, resolve},
    CAMPAIGN_KIND, CAMPAIGN_TYPE, LegacyCampaign, LegacyInstance, LegacyKind, LegacyReport,
    STAND_IN,
};
use crate::{
    cell::{integer, owned, text},
    json,
    schema::Table,
};

/// The older application's kind for rate increases, in lower case.
const RATE_INCREASE: &str = "scheduled_rate_increase";
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
    /// A run removed it, before it could be migrated; it is known from the history.
    is_gone: bool,
}

/// E-mail and SMS template.
pub(super) type Templates = (Option<String>, Option<String>);

/// What is to be done, found by reading alone.
#[derive(Debug, Default)]
pub(super) struct Analysis {
    pub(super) report: LegacyReport,
    pub(super) groups: Vec<Group>,
    /// Committed rows that need a stand-in of kind `post_window`.
    pub(super) post_window: Vec<i64>,
}

/// What is to be done for one instance.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) templates: Templates,
    /// New targets by contact and trigger date; whether they are sent.
    pub(super) targets: BTreeMap<(i64, Option<Day>), bool>,
    /// How many of them are known from the history alone.
    recovered: u64,
    /// Targets that there are and that have become sent, by rowid, with contact and former status.
    pub(super) sent_now: BTreeMap<i64, (i64, Option<String>)>,
    /// Targets that there are and that stay as they are, by rowid.
    unchanged: BTreeSet<i64>,
    /// Owned rows that become messages of the campaign, with trigger date and shift.
    pub(super) converted: Vec<(i64, Option<Day>, Option<i32>)>,
    /// Owned rows of which another one is kept.
    pub(super) deleted: Vec<i64>,
    /// Committed rows that need a stand-in, with the trigger date.
    pub(super) stand_ins: Vec<(i64, Day)>,
}

pub(super) fn analyse(
    db: &Connection,
    days_before_event: Option<i32>,
) -> rusqlite::Result<Analysis> {
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
    if !rows.is_empty() {
        let records = Records::read(db)?;
        let campaigns = resolve(&records).0;
        let (table, records, stood_for) = (&table, &records, &stood_for);
        let known = Known { db, table, records, campaigns, stood_for };
        analyse_rate_increases(&known, rows, days_before_event, &mut analysis)?;
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

/// The columns of a rate increase that are looked at.
const COLUMNS: [&str; 9] = [
    "id",
    "contact_id",
    "scheduled_send_date",
    "status",
    "email_template",
    "sms_template",
    "event_year",
    "event_month",
    "event_day",
];

/// The older application's rate increases, and those that a run removed meanwhile.
fn rate_increases(db: &Connection, table: &Table) -> rusqlite::Result<Vec<LegacyRow>> {
    let columns = COLUMNS.map(|name| table.expression(name)).join(", ");
    let kind = table.expression("email_type");
    let mut statement = db.prepare(&format!(
        "SELECT {columns}, EXISTS (SELECT 1 FROM main.contacts AS c WHERE c.id = s.contact_id)
         FROM main.email_schedules AS s WHERE lower({kind}) = '{RATE_INCREASE}' ORDER BY 1"
    ))?;
    let rows = statement.query_map([], |row| read_row(row, false))?;
    let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    rows.extend(removed_rate_increases(db)?);
    Ok(rows)
}

/// Rate increases that a run removed because it knows no such kind.
fn removed_rate_increases(db: &Connection) -> rusqlite::Result<Vec<LegacyRow>> {
    let recorded = Table::read(db, "schedule_history")?.is_some_and(|table| {
        ["what", "old_values"].iter().all(|name| table.column(name).is_some())
    });
    if !recorded {
        return Ok(Vec::new());
    }
    let columns = COLUMNS.map(|name| format!("old_values ->> '{name}'")).join(", ");
    let mut statement = db.prepare(&format!(
        "SELECT {columns}, EXISTS (
           SELECT 1 FROM main.contacts AS c WHERE c.id = old_values ->> 'contact_id')
         FROM main.schedule_history
         WHERE what = 'deleted' AND json_valid(old_values)
           AND lower(old_values ->> 'email_type') = '{RATE_INCREASE}' ORDER BY id"
    ))?;
    let rows = statement.query_map([], |row| read_row(row, true))?;
    rows.collect()
}

fn read_row(row: &Row<'_>, is_gone: bool) -> rusqlite::Result<LegacyRow> {
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
        is_gone,
    })
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
pub(super) fn marker((email, sms): &Templates) -> serde_json::Value {
    serde_json::json!({
        "migrated_from": "SCHEDULED_RATE_INCREASE", "email_template": email, "sms_template": sms
    })
}

/// What the rate increases are compared with.
struct Known<'k> {
    db: &'k Connection,
    table: &'k Table,
    records: &'k Records,
    campaigns: Vec<Campaign>,
    /// Committed rows for which another row stands already.
    stood_for: &'k BTreeSet<i64>,
}

/// What nothing can be done about.
#[derive(Default)]
struct Unusable {
    undated: u64,
    orphans: u64,
}

impl Unusable {
    fn report(&self, problems: &mut Vec<String>) {
        if self.undated > 0 {
            problems.push(format!(
                "rate increases without a date that can be read: {}; their targets have no \
                 trigger date and get no message until they have one",
                self.undated
            ));
        }
        if self.orphans > 0 {
            problems.push(format!(
                "rate increases of contacts that do not exist: {}; they have no targets",
                self.orphans
            ));
        }
    }
}

fn analyse_rate_increases(
    known: &Known<'_>,
    rows: Vec<LegacyRow>,
    days_before_event: Option<i32>,
    analysis: &mut Analysis,
) -> rusqlite::Result<()> {
    let records = known.records;
    let type_name = records.type_name(CAMPAIGN_TYPE).map(str::to_owned);
    let of_type = type_name.as_deref().and_then(|name| {
        match records.types.get(name)?.get("days_before_event") {
            ValueRef::Integer(days) => i32::try_from(days).ok(),
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
    // The most frequent templates first.
    let mut by_templates: Vec<(Templates, Vec<LegacyRow>)> = by_templates.into_iter().collect();
    by_templates.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    let mut unusable = Unusable::default();
    for (templates, rows) in by_templates {
        let instance = instance_for(&templates, records, &campaign.instances);
        if instance.added && templates.0.is_none() {
            analysis.report.problems.push(format!(
                "campaign instance `{}` has no e-mail template, as its rows had none; set it with \
                 `curfew campaign instance edit`",
                instance.name
            ));
        }
        // The instance may have other days than its type by now.
        let own = known.campaigns.iter().find(|other| Some(other.instance_id) == instance.id);
        let days = own.map_or(days, |other| other.days_before_event);
        let group = group_of(known, &instance, templates, rows, days, &mut unusable)?;
        campaign.targets_added += group.targets.len() as u64;
        campaign.targets_sent += group.targets.values().filter(|sent| **sent).count() as u64;
        campaign.targets_recovered += group.recovered;
        campaign.targets_updated += group.sent_now.len() as u64;
        campaign.targets_unchanged += group.unchanged.len() as u64;
        campaign.rows_converted += group.converted.len() as u64;
        campaign.rows_deleted += group.deleted.len() as u64;
        campaign.instances.push(instance);
        analysis.groups.push(group);
    }
    unusable.report(&mut analysis.report.problems);
    analysis.report.campaign = Some(campaign);
    Ok(())
}

/// The instance of these templates: the one that was made for them before, or a new one.
fn instance_for(
    templates: &Templates,
    records: &Records,
    others: &[LegacyInstance],
) -> LegacyInstance {
    let wanted = marker(templates);
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
    let named = |name: &str| {
        others.iter().any(|other| other.name == name)
            || records.instances.values().any(|other| other.text("instance_name") == Some(name))
    };
    let name = match found {
        Some((_, fields)) => fields.text("instance_name").unwrap_or_default().to_owned(),
        None if !named(INSTANCE_NAME) => INSTANCE_NAME.to_owned(),
        None => (2..=records.instances.len() + others.len() + 2)
            .map(|number| format!("{INSTANCE_NAME} {number}"))
            .find(|name| !named(name))
            .unwrap_or_default(),
    };
    LegacyInstance {
        id: found.map(|(id, _)| *id),
        name,
        email_template: templates.0.clone(),
        sms_template: templates.1.clone(),
        added: found.is_none(),
    }
}

/// What is to be done with the rows of one instance.
fn group_of(
    known: &Known<'_>,
    instance: &LegacyInstance,
    templates: Templates,
    mut rows: Vec<LegacyRow>,
    days: i32,
    unusable: &mut Unusable,
) -> rusqlite::Result<Group> {
    let existing = existing_targets(known.db, instance.id)?;
    let mut taken = taken_events(known.db, known.table, instance.id)?;
    let mut group = Group { templates, ..Group::default() };
    // Of owned rows for one date a planned one is kept, then the first.
    rows.sort_by_key(|row| (row.is_gone, row.status == Status::Skipped, row.id));
    for row in rows {
        let trigger = row.event.or(row.date.map(|date| date + days));
        if row.is_gone && (trigger.is_none() || !row.has_contact) {
            continue;
        }
        unusable.undated += u64::from(trigger.is_none());
        let is_sent = matches!(row.status, Status::Committed { sent: true, .. });
        match row.contact_id.filter(|_| row.has_contact) {
            None => unusable.orphans += 1,
            Some(contact_id) => match existing.get(&(contact_id, trigger)) {
                None => {
                    let count = group.targets.len();
                    *group.targets.entry((contact_id, trigger)).or_default() |= is_sent;
                    group.recovered += u64::from(row.is_gone && group.targets.len() > count);
                }
                Some((rowid, status)) if is_sent && status.as_deref() != Some("sent") => {
                    group.sent_now.insert(*rowid, (contact_id, status.clone()));
                    group.unchanged.remove(rowid);
                }
                Some((rowid, _)) if !group.sent_now.contains_key(rowid) => {
                    group.unchanged.insert(*rowid);
                }
                Some(_) => {}
            },
        }
        if row.is_gone {
            continue;
        }
        if row.status.is_owned() {
            let is_taken = row.contact_id.zip(trigger).is_some_and(|key| !taken.insert(key));
            if is_taken {
                group.deleted.push(row.id);
            } else {
                let ideal = trigger.map(|trigger| trigger - days);
                let shift = row.date.zip(ideal).map(|(date, ideal)| date - ideal);
                group.converted.push((row.id, trigger, shift));
            }
        } else if let (Some(trigger), false) = (trigger, is_sent)
            && !known.stood_for.contains(&row.id)
        {
            group.stand_ins.push((row.id, trigger));
        }
    }
    Ok(group)
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
        let part = |at| integer(row, at);
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
