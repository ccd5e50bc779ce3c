//! Doing with the older application's rows what the analysis found.

use curfew_engine::{Day, DeleteReason};
use jiff::civil::Date;
use rusqlite::{Connection, Row, params};

use super::{
    super::{CampaignEditor, CampaignError, InstanceFields, TypeFields, target::change},
    CAMPAIGN_KIND, CAMPAIGN_TYPE, LegacyReport, LegacyRequest, STAND_IN,
    analysis::{Analysis, Group, marker},
};
use crate::{
    StoreError,
    cell::integer,
    history::{Chain, Entry, Happening, old_values},
};

impl CampaignEditor<'_> {
    pub(super) fn apply_legacy(
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
        for (rowid, (contact_id, former)) in &group.sent_now {
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
