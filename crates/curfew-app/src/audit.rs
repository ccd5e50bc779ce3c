//! The record for an auditor: whether it stands, what was changed, and the plan of an earlier day.

use std::path::Path;

pub use curfew_store::audit::{Entry, PlanRow};
use curfew_store::{Access, Database, audit::Selection, history};
use jiff::civil::Date;
use serde::Serialize;

use crate::{
    Error,
    versions::{end_of_day, start_of_day, time_zone},
};

/// What the check of the history found.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// Whether nothing was edited.
    pub stands: bool,
    /// Entries in the chain.
    pub entries: u64,
    /// Entries that another program made before the chain began; nothing vouches for them.
    pub unchained: u64,
    /// The hash of the last entry, to be noted elsewhere; absent without entries.
    pub last_hash: Option<String>,
    /// What is wrong, the first bad entry first.
    pub faults: Vec<String>,
}

/// Checks the whole history, and that it has the entry whose hash was noted elsewhere.
///
/// # Errors
/// If the database cannot be read. An edited history is the result, not an error.
pub fn verify(database: &Path, noted: Option<&str>) -> Result<VerifyReport, Error> {
    let found = history::verify(&Database::open(database, Access::ReadOnly)?, noted)?;
    Ok(VerifyReport {
        stands: found.faults.is_empty(),
        entries: found.entries,
        unchained: found.unchained,
        last_hash: found.last_hash,
        faults: found.faults.iter().map(ToString::to_string).collect(),
    })
}

/// Which changes are asked for; `None` takes all.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Those of one contact.
    pub contact_id: Option<i64>,
    /// Those of one run.
    pub run_id: Option<String>,
    /// Those of this day of the organization and later ones.
    pub from: Option<Date>,
    /// Those of this day and earlier ones.
    pub to: Option<Date>,
}

/// The changes on record, in their order.
///
/// # Errors
/// [`Error::NoDays`], [`curfew_store::StoreError::NoSuchRun`] for a run that is not on record and
/// changed nothing, or if the database cannot be read.
pub fn entries(database: &Path, wanted: &Wanted) -> Result<Vec<Entry>, Error> {
    if let (Some(from), Some(to)) = (wanted.from, wanted.to)
        && from > to
    {
        return Err(Error::NoDays { from, to });
    }
    let open = Database::open(database, Access::ReadOnly)?;
    let zone = time_zone(&open)?;
    let from = wanted.from.and_then(|date| start_of_day(date, &zone));
    let before = wanted.to.and_then(|date| end_of_day(date, &zone));
    let found = open.history_entries(&Selection {
        contact_id: wanted.contact_id,
        run_id: wanted.run_id.as_deref(),
        from: from.as_deref(),
        before: before.as_deref(),
    })?;
    if let (true, Some(run_id)) = (found.is_empty(), &wanted.run_id)
        && open.run(run_id)?.is_none()
    {
        return Err(curfew_store::StoreError::NoSuchRun { run_id: run_id.clone() }.into());
    }
    Ok(found)
}

/// The plan as it stood at the end of a day of the organization.
///
/// # Errors
/// If the database cannot be read.
pub fn plan_as_of(
    database: &Path,
    date: Date,
    contact_id: Option<i64>,
) -> Result<Vec<PlanRow>, Error> {
    let open = Database::open(database, Access::ReadOnly)?;
    let before = end_of_day(date, &time_zone(&open)?).unwrap_or_else(|| "9999-12-31".to_owned());
    Ok(open.plan_as_of(&before, &date.to_string(), contact_id)?)
}
