//! Campaigns: what the configuration says of them, changing them, reading them.

use std::path::Path;

use curfew_engine::Day;
use curfew_store::{Access, Database};
pub use curfew_store::{
    CampaignChange, CampaignEditor, CampaignError, CampaignSettings, ConfigurationProblem,
    InstanceFields, InstanceRecord, LogEntry, NewTarget, Removal, TargetOutcome, TargetRecord,
    TypeFields, TypeRecord,
};

use crate::{Error, config::Config};

/// Who is on record for changes that a run makes because of its configuration.
const CONFIGURATION: &str = "configuration file";

/// The campaigns of a configuration. What an entry leaves out has its default, also where the
/// database has something else.
pub fn settings(config: &Config) -> CampaignSettings {
    let types = config.campaign_types.iter().map(|(name, given)| {
        let fields = TypeFields {
            respect_exclusion_windows: Some(given.respect_exclusion_windows),
            enable_followups: Some(given.enable_followups),
            days_before_event: Some(given.days_before_event),
            target_all_contacts: Some(given.target_all_contacts),
            priority: Some(given.priority),
            active: Some(given.active),
        };
        (name.clone(), fields)
    });
    let instances = config.campaign_instances.iter().map(|given| InstanceFields {
        campaign_type: Some(given.campaign_type.clone()),
        instance_name: Some(given.instance_name.clone()),
        email_template: Some(given.email_template.clone()),
        sms_template: Some(given.sms_template.clone()),
        active_start_date: Some(given.active_start_date),
        active_end_date: Some(given.active_end_date),
        metadata: Some(
            given.metadata.as_ref().map(|map| serde_json::Value::from(map.clone()).to_string()),
        ),
    });
    CampaignSettings { types: types.collect(), instances: instances.collect() }
}

/// Creates and updates the campaigns of a configuration in the database, on record as changed by
/// the configuration file. Where something is to be written, `before` is called first.
pub(crate) fn apply(
    database: &Database,
    config: &Config,
    now: &str,
    before: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let settings = settings(config);
    if database.campaign_settings_differ(&settings)? {
        before()?;
        database.apply_campaign_settings(&settings, CONFIGURATION, now)?;
    }
    Ok(())
}

/// Opens a database to read its campaigns.
///
/// # Errors
/// If the database cannot be used.
pub fn open(database: &Path) -> Result<Database, Error> {
    Ok(Database::open(database, Access::ReadOnly)?)
}

/// Changes campaigns in one transaction, on record as changed by `by`, and returns what `change`
/// does and the changes that were made. With an error nothing is changed.
///
/// # Errors
/// If the database cannot be used, or `change` fails.
pub fn edit<T>(
    database: &Path,
    by: &str,
    change: impl FnOnce(&mut CampaignEditor<'_>) -> Result<T, Error>,
) -> Result<(T, Vec<CampaignChange>), Error> {
    edit_if(database, by, |editor| Ok((change(editor)?, true)))
}

/// Like [`edit`], but the changes are kept only if `change` says so; else there are none.
pub(crate) fn edit_if<T>(
    database: &Path,
    by: &str,
    change: impl FnOnce(&mut CampaignEditor<'_>) -> Result<(T, bool), Error>,
) -> Result<(T, Vec<CampaignChange>), Error> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut database = Database::open(database, Access::ReadWrite)?;
    database.migrate(&now)?;
    let mut editor = database.edit_campaigns(by, &now)?;
    let (result, is_kept) = change(&mut editor)?;
    Ok((result, if is_kept { editor.commit()? } else { Vec::new() }))
}

/// A day as campaigns have it.
pub fn day(date: jiff::civil::Date) -> Day {
    Day::from_date(date)
}
