//! Making large, realistic organizations for tests and benchmarks.
//!
//! The same seed gives the same bytes of the database file, with the same version of this program
//! on every machine; and contact number 7 is the same person among ten and among ten million. The
//! random numbers are those of [`rand_chacha`]'s 8 rounds of a published
//! algorithm, with one stream for each contact, so that it can be entered at any contact.

use std::path::PathBuf;

use curfew_engine::{Day, State, Today, rule};
use curfew_store::contacts::{
    CampaignRow, CampaignTypeRow, ContactsError, OrganizationWriter, Parts, TargetRow,
};
use serde::Serialize;

use crate::sample::{
    history::{History, Written},
    people::{Dirt, People},
    random::Part,
};

/// What to make.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// The database file to make; it must not exist.
    pub out: PathBuf,
    /// How many contacts.
    pub contacts: u32,
    /// Another seed makes another organization.
    pub seed: u64,
    /// The day on which the contacts are from 64 to 95 years old, and the history ends. A fixed
    /// day unless it is set, so that the same seed gives the same file tomorrow.
    pub today: Today,
    /// Campaign types, instances and targets.
    pub campaigns: bool,
    /// Messages sent in the year before `today`.
    pub history: bool,
    /// Clicks and answers; they need `history`.
    pub clicks: bool,
}

impl GenerateRequest {
    /// So many contacts and nothing else, on [`reference_day`].
    pub fn new(out: impl Into<PathBuf>, contacts: u32, seed: u64) -> Self {
        Self {
            out: out.into(),
            contacts,
            seed,
            today: reference_day(),
            campaigns: false,
            history: false,
            clicks: false,
        }
    }
}

/// The day for which organizations are made: 2026-11-20.
pub fn reference_day() -> Today {
    Today::new(Day::new(20_777)).expect("a year from 1900 to 9000")
}

/// What was made. Its JSON form, with these names, is a promise (`docs/import.md`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GenerateReport {
    /// Rows of `contacts`.
    pub contacts: u64,
    /// Contacts of which a column is wrong.
    pub dirty: u64,
    /// Contacts that are inactive.
    pub inactive: u64,
    /// Rows of `email_schedules`.
    pub sent: u64,
    /// Rows of `tracking_clicks`.
    pub clicks: u64,
    /// Rows of `contact_events`.
    pub answers: u64,
    /// Rows of `contact_campaigns`.
    pub targets: u64,
}

/// Why no organization could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// What was sent is not to be written, so it cannot have been clicked.
    #[error("clicks need messages that were sent; ask for the history too")]
    ClicksWithoutHistory,
    /// The file cannot be written.
    #[error(transparent)]
    Database(#[from] ContactsError),
}

/// So many of a thousand contacts have a wrong column.
const DIRTY_IN_THOUSAND: u32 = 10;

/// How many contacts are written between two calls of a progress function.
const PROGRESS_STEP: i64 = 10_000;

/// Makes an organization.
///
/// # Errors
/// If the file exists or cannot be written; then nothing is left behind.
pub fn generate(request: &GenerateRequest) -> Result<GenerateReport, GenerateError> {
    generate_with(request, |_| {})
}

/// Makes an organization and tells now and then how much of it is done: a share from 0 to 1.
///
/// # Errors
/// As [`generate`].
pub fn generate_with(
    request: &GenerateRequest,
    mut progress: impl FnMut(f64),
) -> Result<GenerateReport, GenerateError> {
    if request.clicks && !request.history {
        return Err(GenerateError::ClicksWithoutHistory);
    }
    let parts =
        Parts { campaigns: request.campaigns, history: request.history, behaviour: request.clicks };
    let mut writer = OrganizationWriter::create(&request.out, parts)?;
    let people = People::new(request.seed, request.today);
    let mut report = GenerateReport::default();
    let passes = 1 + u8::from(request.campaigns) + u8::from(request.history);
    let mut passes_done = 0;
    let mut step = |pass: u8, id: i64| {
        if id % PROGRESS_STEP == 0 {
            let within = f64::from(u32::try_from(id).unwrap_or(0)) / f64::from(request.contacts);
            progress((f64::from(pass) + within) / f64::from(passes));
        }
    };
    let ids = 1..=i64::from(request.contacts);

    // One pass for each table: rows that are read together stand together in the file.
    for id in ids.clone() {
        let (person, dirt) = contact(&people, id);
        people.with_row(&person, dirt, |row| writer.contact(row))?;
        report.contacts += 1;
        report.dirty += u64::from(dirt.is_some());
        report.inactive += u64::from(!person.is_active);
        step(passes_done, id);
    }
    if request.campaigns {
        passes_done += 1;
        write_campaigns(&mut writer, request.today.day)?;
        for id in ids.clone() {
            report.targets += write_targets(&mut writer, &people, request.today.day, id)?;
            step(passes_done, id);
        }
    }
    if request.history {
        passes_done += 1;
        let rules = rule::default_table();
        let history = History { rules: &rules, today: request.today, behaviour: request.clicks };
        let mut written = Written::default();
        for id in ids {
            let (person, dirt) = contact(&people, id);
            if dirt.is_none() && person.is_active {
                let mut random = people.random(Part::History, id);
                history.write(&person, &mut random, &mut writer, &mut written)?;
            }
            step(passes_done, id);
        }
        report.sent = written.sent;
        report.clicks = written.clicks;
        report.answers = written.answers;
    }
    writer.finish()?;
    Ok(report)
}

/// A contact, and what is wrong with it.
fn contact(people: &People, id: i64) -> (crate::sample::people::Person, Option<Dirt>) {
    let (person, mut random) = people.person(id, None::<State>);
    let is_dirty = random.in_thousand(DIRTY_IN_THOUSAND);
    let dirt = random.pick(&Dirt::ALL);
    (person, is_dirty.then_some(dirt))
}

/// Instances by id, with how many of a thousand contacts are their targets, and within how many
/// days from the reference day on the trigger dates lie.
const TARGETS: [(i64, u32, u16); 3] = [(1, 60, 120), (2, 40, 60), (3, 50, 30)];

/// Three campaigns that run, and one to all contacts whose type is not active: whoever wants 3
/// million messages at once, switches it on.
fn write_campaigns(writer: &mut OrganizationWriter, today: Day) -> Result<(), ContactsError> {
    let types = [
        ("rate_increase", true, true, 14, false, 1, true),
        ("seasonal_promo", true, false, 7, false, 5, true),
        ("initial_blast", false, false, 0, true, 10, false),
    ];
    for (name, respects, follow_ups, days_before_event, all, priority, active) in types {
        writer.campaign_type(&CampaignTypeRow {
            name,
            respect_exclusion_windows: respects,
            enable_followups: follow_ups,
            days_before_event,
            target_all_contacts: all,
            priority,
            active,
        })?;
    }
    let instances = [
        (1, "rate_increase", "rate_increase_alpine", today - 90, today + 180),
        (2, "rate_increase", "rate_increase_cedar", today - 30, today + 120),
        (3, "seasonal_promo", "winter_checkup", today - 10, today + 60),
        (4, "initial_blast", "hello_everybody", today, today + 60),
    ];
    for (id, campaign_type, instance_name, first, last) in instances {
        writer.campaign(&CampaignRow {
            id,
            campaign_type,
            instance_name,
            email_template: instance_name,
            sms_template: campaign_type,
            active_start_date: first,
            active_end_date: last,
        })?;
    }
    Ok(())
}

fn write_targets(
    writer: &mut OrganizationWriter,
    people: &People,
    today: Day,
    contact_id: i64,
) -> Result<u64, ContactsError> {
    let mut random = people.random(Part::Campaigns, contact_id);
    let mut count = 0;
    for (campaign_instance_id, in_thousand, days) in TARGETS {
        let is_target = random.in_thousand(in_thousand);
        let trigger_date = today + random.days(days);
        if is_target {
            writer.target(&TargetRow { contact_id, campaign_instance_id, trigger_date })?;
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_day_is_the_documented_one() {
        assert_eq!(reference_day().day.to_string(), "2026-11-20");
    }
}
