//! Rows of the older application: what becomes of each kind, and its rate increases as a campaign.

mod analysis;
mod write;

use serde::Serialize;

use self::analysis::analyse;
use super::CampaignError;
use crate::{Database, StoreError};

/// The campaign type that its rows come to.
const CAMPAIGN_TYPE: &str = "rate_increase";
/// The kind of the messages of that type.
const CAMPAIGN_KIND: &str = "campaign_rate_increase";
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
    /// Those of them that are known from the history alone, because a run had removed their rows.
    pub targets_recovered: u64,
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
