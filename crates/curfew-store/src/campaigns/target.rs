//! Targets of campaigns: which contacts get the message of an instance, and for which date.

use std::collections::HashMap;

use curfew_engine::Day;
use rusqlite::{OptionalExtension as _, params, types::ValueRef};
use serde::Serialize;

use super::{CampaignChange, CampaignEditor, CampaignError, Removal};
use crate::{Database, StoreError, cell, schema::Table};

/// A row of `contact_campaigns`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetRecord {
    /// The instance.
    pub campaign_instance_id: i64,
    /// The contact.
    pub contact_id: i64,
    /// The date that the message is for, as stored.
    pub trigger_date: Option<String>,
    /// `pending`, `scheduled`, `skipped` or `sent`.
    pub status: Option<String>,
}

/// A contact that is to be a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTarget<'a> {
    /// Its id, if that is how it is named.
    pub contact_id: Option<i64>,
    /// Its e-mail address; it must be that of the contact with the id where both are given.
    pub email: Option<&'a str>,
    /// The date that the message is for.
    pub trigger_date: Day,
}

/// What came of a new target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what the variants name")]
pub enum TargetOutcome {
    /// The contact is a target for this date now. Another date is another target.
    Added { contact_id: i64 },
    /// The contact was a target without a date, and has got one.
    Dated { contact_id: i64 },
    /// The contact was a target for this date already.
    Unchanged { contact_id: i64 },
    /// No contact has this id or address.
    UnknownContact,
    /// Several contacts have this address; the id tells which one is meant.
    SeveralContacts { contact_ids: Vec<i64> },
    /// The contact with this id has another address.
    OtherEmail { contact_id: i64 },
}

impl Database {
    /// The targets of an instance, or of all, by instance, contact and date.
    pub fn campaign_targets(
        &self,
        instance_id: Option<i64>,
    ) -> Result<Vec<TargetRecord>, StoreError> {
        let read = || {
            let db = self.connection();
            let Some(table) = Table::read(db, "contact_campaigns")? else { return Ok(Vec::new()) };
            let columns = ["campaign_instance_id", "contact_id", "trigger_date", "status"]
                .map(|name| table.expression(name))
                .join(", ");
            let mut statement = db.prepare(&format!(
                "SELECT {columns} FROM main.contact_campaigns
                 WHERE ?1 IS NULL OR campaign_instance_id = ?1 ORDER BY 1, 2, 3"
            ))?;
            let mut rows = statement.query([instance_id])?;
            let mut targets = Vec::new();
            while let Some(row) = rows.next()? {
                let ids = (cell::integer(row, 0)?, cell::integer(row, 1)?);
                let (Some(campaign_instance_id), Some(contact_id)) = ids else { continue };
                targets.push(TargetRecord {
                    campaign_instance_id,
                    contact_id,
                    trigger_date: cell::owned(row, 2)?,
                    status: cell::owned(row, 3)?,
                });
            }
            Ok(targets)
        };
        read().map_err(|error| self.fail("read the targets of campaigns", error))
    }
}

/// What is known of the contacts and targets that a list speaks of.
#[derive(Default)]
struct Known<'a> {
    /// Whether there is a contact with this id, and its address in lower case.
    by_id: HashMap<i64, Option<String>>,
    by_email: HashMap<&'a str, Vec<i64>>,
    /// The rowids and dates of the targets of the instance, by contact.
    targets: HashMap<i64, Vec<(i64, Option<Day>)>>,
}

impl CampaignEditor<'_> {
    /// Adds targets to an instance, and says what came of each, in their order. Contacts are looked
    /// up in one pass over their table, so that a long list takes little more time than a short one.
    ///
    /// A contact may be a target for several dates. What is a target already stays as it is.
    pub fn add_targets(
        &mut self,
        instance_id: i64,
        new: &[NewTarget<'_>],
    ) -> Result<Vec<TargetOutcome>, CampaignError> {
        let emails: Vec<Option<String>> =
            new.iter().map(|target| target.email.map(folded)).collect();
        let mut known = self
            .known(instance_id, new, &emails)
            .map_err(|error| self.database.fail("look up contacts", error))?;
        let mut outcomes = Vec::with_capacity(new.len());
        for (target, email) in new.iter().zip(&emails) {
            let contact_id = match find(&known, target.contact_id, email.as_deref()) {
                Ok(contact_id) => contact_id,
                Err(outcome) => {
                    outcomes.push(outcome);
                    continue;
                }
            };
            let dates = known.targets.entry(contact_id).or_default();
            let date = Some(target.trigger_date);
            if dates.iter().any(|(_, other)| *other == date) {
                outcomes.push(TargetOutcome::Unchanged { contact_id });
                continue;
            }
            let undated = dates.iter_mut().find(|(_, other)| other.is_none());
            let text = target.trigger_date.to_string();
            if let Some((rowid, other)) = undated {
                self.execute(
                    "UPDATE main.contact_campaigns SET trigger_date = ?2 WHERE rowid = ?1",
                    params![*rowid, text],
                )?;
                *other = date;
                outcomes.push(TargetOutcome::Dated { contact_id });
            } else {
                let insert = || {
                    self.transaction
                        .prepare_cached(
                            "INSERT INTO main.contact_campaigns
                               (contact_id, campaign_instance_id, trigger_date, status)
                             VALUES (?1, ?2, ?3, 'pending')",
                        )?
                        .insert(params![contact_id, instance_id, text])
                };
                let rowid = insert().map_err(|error| self.database.fail("add a target", error))?;
                dates.push((rowid, date));
                outcomes.push(TargetOutcome::Added { contact_id });
            }
            self.record(change(instance_id, contact_id, "trigger_date", None, Some(text)))?;
        }
        Ok(outcomes)
    }

    /// Removes a contact from the targets of an instance: for one date, or for all. If a message of
    /// the instance to the contact is committed, nothing is changed.
    pub fn remove_target(
        &mut self,
        instance_id: i64,
        contact_id: i64,
        trigger_date: Option<Day>,
    ) -> Result<Removal, CampaignError> {
        let read = || {
            let mut statement = self.transaction.prepare(
                "SELECT rowid, trigger_date, status FROM main.contact_campaigns
                 WHERE campaign_instance_id = ?1 AND contact_id = ?2",
            )?;
            let rows = statement.query_map([instance_id, contact_id], |row| {
                Ok((row.get::<_, i64>(0)?, cell::owned(row, 1)?, cell::owned(row, 2)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut targets = read().map_err(|error| self.database.fail("look up a target", error))?;
        if let Some(wanted) = trigger_date {
            targets.retain(|(_, date, _)| {
                date.as_deref().is_some_and(|date| Day::parse(date) == Ok(wanted))
            });
        }
        if targets.is_empty() {
            return Err(CampaignError::NoSuchTarget { instance_id, contact_id });
        }
        let committed = self.committed(instance_id, Some(contact_id))?;
        if committed > 0 {
            return Ok(Removal::Deactivated { committed });
        }
        for (rowid, date, status) in targets {
            self.execute("DELETE FROM main.contact_campaigns WHERE rowid = ?1", [rowid])?;
            self.record(change(instance_id, contact_id, "trigger_date", date, None))?;
            self.record(change(instance_id, contact_id, "status", status, None))?;
        }
        Ok(Removal::Removed)
    }

    /// The id of a contact by its id or e-mail address.
    pub fn contact(&self, id_or_email: &str) -> Result<i64, CampaignError> {
        let unknown = || CampaignError::UnknownContact { contact: id_or_email.to_owned() };
        if let Ok(id) = id_or_email.parse::<i64>() {
            let found = self
                .transaction
                .query_row("SELECT 1 FROM main.contacts WHERE id = ?1", [id], |_| Ok(()))
                .optional()
                .map_err(|error| self.database.fail("look up a contact", error))?;
            return found.map(|()| id).ok_or_else(unknown);
        }
        let read = || {
            let mut statement = self.transaction.prepare(
                "SELECT id FROM main.contacts WHERE lower(trim(email)) = lower(trim(?1))",
            )?;
            let ids = statement.query_map([id_or_email], |row| row.get(0))?;
            ids.collect::<rusqlite::Result<Vec<i64>>>()
        };
        let ids = read().map_err(|error| self.database.fail("look up a contact", error))?;
        match ids[..] {
            [id] => Ok(id),
            [] => Err(unknown()),
            _ => Err(CampaignError::AmbiguousContact { email: id_or_email.to_owned(), ids }),
        }
    }

    /// Removes every target of an instance, of which no message is committed.
    pub(super) fn remove_all_targets(&mut self, instance_id: i64) -> Result<(), CampaignError> {
        let targets = self.database.campaign_targets(Some(instance_id))?;
        self.execute(
            "DELETE FROM main.contact_campaigns WHERE campaign_instance_id = ?1",
            [instance_id],
        )?;
        for TargetRecord { contact_id, trigger_date, status, .. } in targets {
            self.record(change(instance_id, contact_id, "trigger_date", trigger_date, None))?;
            self.record(change(instance_id, contact_id, "status", status, None))?;
        }
        Ok(())
    }

    fn known<'a>(
        &self,
        instance_id: i64,
        new: &[NewTarget<'_>],
        emails: &'a [Option<String>],
    ) -> rusqlite::Result<Known<'a>> {
        let mut known = Known::default();
        let ids: std::collections::HashSet<i64> =
            new.iter().filter_map(|target| target.contact_id).collect();
        known.by_email.extend(emails.iter().flatten().map(|email| (email.as_str(), Vec::new())));
        let mut statement = self.transaction.prepare("SELECT id, email FROM main.contacts")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Some(id) = cell::integer(row, 0)? else { continue };
            let is_asked_for = ids.contains(&id);
            if !is_asked_for && known.by_email.is_empty() {
                continue;
            }
            let email = cell::text(row, 1)?.map(folded);
            if let Some(ids) = email.as_deref().and_then(|email| known.by_email.get_mut(email)) {
                ids.push(id);
            }
            if is_asked_for {
                known.by_id.insert(id, email);
            }
        }
        let mut statement = self.transaction.prepare(
            "SELECT rowid, contact_id, trigger_date FROM main.contact_campaigns
             WHERE campaign_instance_id = ?1",
        )?;
        let mut rows = statement.query([instance_id])?;
        while let Some(row) = rows.next()? {
            let Some(contact_id) = cell::integer(row, 1)? else { continue };
            let date = match row.get_ref(2)? {
                ValueRef::Null | ValueRef::Text(b"") => None,
                // One that cannot be read is another date than any.
                _ => match cell::text(row, 2)?.and_then(|text| Day::parse(text).ok()) {
                    Some(day) => Some(day),
                    None => continue,
                },
            };
            known.targets.entry(contact_id).or_default().push((row.get(0)?, date));
        }
        Ok(known)
    }
}

fn find(
    known: &Known<'_>,
    contact_id: Option<i64>,
    email: Option<&str>,
) -> Result<i64, TargetOutcome> {
    if let Some(contact_id) = contact_id {
        return match (known.by_id.get(&contact_id), email) {
            (None, _) => Err(TargetOutcome::UnknownContact),
            (Some(found), Some(email)) if found.as_deref() != Some(email) => {
                Err(TargetOutcome::OtherEmail { contact_id })
            }
            _ => Ok(contact_id),
        };
    }
    match email.and_then(|email| known.by_email.get(email)).map_or(&[][..], Vec::as_slice) {
        [] => Err(TargetOutcome::UnknownContact),
        [id] => Ok(*id),
        ids => Err(TargetOutcome::SeveralContacts { contact_ids: ids.to_vec() }),
    }
}

/// Addresses that differ in capitals only are the same.
fn folded(email: &str) -> String {
    email.trim().to_lowercase()
}

/// A change of one value of a target, for the log.
pub(super) fn change(
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
