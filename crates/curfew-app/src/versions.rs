//! The configurations that were in force, as the runs recorded them.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use curfew_store::{Access, ConfigVersion, Database, backup::with_ending};
use jiff::{Timestamp, Zoned, civil::Date, tz::TimeZone};
use serde::Serialize;

use crate::{
    Error,
    config::{Config, Difference, diff},
};

/// One version.
#[derive(Clone, Debug, Serialize)]
pub struct VersionReport {
    /// Its number.
    pub version: i64,
    /// Since when it was in force, in UTC.
    pub valid_from: String,
    /// Until when, in UTC; absent for the one in force.
    pub valid_to: Option<String>,
    /// Who brought it into force.
    pub created_by: Option<String>,
    /// What differs from the version before; absent for the first.
    pub changes: Option<Vec<Change>>,
}

/// A key with another value.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The key, as in `timing_constants.grace_days`.
    pub key: String,
    /// Its former value; absent if there was none.
    pub old: Option<String>,
    /// Its new value; absent if there is none.
    pub new: Option<String>,
}

impl From<Difference> for Change {
    fn from(Difference { key, old, new }: Difference) -> Self {
        Self { key, old, new }
    }
}

/// One of two configurations to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// A version on record.
    Version(i64),
    /// A file.
    File(PathBuf),
}

/// The versions on record, the latest first.
///
/// # Errors
/// If the database cannot be read, or a version on record is no configuration.
pub fn history(database: &Path) -> Result<Vec<VersionReport>, Error> {
    let versions = Database::open(database, Access::ReadOnly)?.config_versions()?;
    let configs: Vec<Config> = versions.iter().map(read).collect::<Result<_, _>>()?;
    let reports = versions.into_iter().enumerate().map(|(at, version)| VersionReport {
        version: version.id,
        valid_from: version.valid_from,
        valid_to: version.valid_to,
        created_by: version.created_by,
        changes: configs.get(at + 1).map(|before| changes(before, &configs[at])),
    });
    Ok(reports.collect())
}

/// A version as YAML with all keys: the one with this number, or the one in force.
///
/// # Errors
/// [`Error::NoSuchVersion`], or if the database cannot be read.
pub fn show(database: &Path, version: Option<i64>) -> Result<String, Error> {
    let open = Database::open(database, Access::ReadOnly)?;
    match version {
        Some(id) => Ok(find(&open, id)?.content),
        None => Ok(in_force(&open)?
            .ok_or_else(|| Error::NoVersion { database: database.to_owned(), on: None })?
            .content),
    }
}

/// What differs between two configurations. Versions are of `database`.
///
/// # Errors
/// [`Error::NoSuchVersion`], or if a file or the database cannot be read.
pub fn compare(database: Option<&Path>, old: &Side, new: &Side) -> Result<Vec<Change>, Error> {
    let open = match database {
        Some(path) => Some(Database::open(path, Access::ReadOnly)?),
        None => None,
    };
    let config = |side: &Side| match (side, &open) {
        (Side::File(path), _) => Ok(Config::load(path)?),
        (Side::Version(id), Some(open)) => read(&find(open, *id)?),
        (Side::Version(id), None) => Err(Error::VersionWithoutDatabase { version: *id }),
    };
    Ok(changes(&config(old)?, &config(new)?))
}

/// A file that holds an earlier version again.
#[derive(Clone, Debug, Serialize)]
pub struct RollbackReport {
    /// The version.
    pub version: i64,
    /// The file that holds it now.
    #[serde(serialize_with = "crate::path_text::one")]
    pub file: PathBuf,
    /// Where the former file is kept; absent if there was none.
    #[serde(serialize_with = "crate::path_text::optional")]
    pub kept_aside: Option<PathBuf>,
}

/// Writes a version to a configuration file, from which the next run brings it into force. A file
/// that exists is kept beside it, as `curfew.yaml.replaced-20261120T060000.000Z`.
///
/// # Errors
/// [`Error::NoSuchVersion`], or if the file cannot be written.
pub fn roll_back(database: &Path, version: i64, file: &Path) -> Result<RollbackReport, Error> {
    let found = find(&Database::open(database, Access::ReadOnly)?, version)?;
    // A version that this program cannot read is not worth going back to.
    read(&found)?;
    let failed = |operation| move |cause| Error::File { operation, path: file.to_owned(), cause };
    let incoming = with_ending(file, ".unfinished");
    let write = || {
        let mut out = fs::File::create(&incoming)?;
        out.write_all(found.content.as_bytes())?;
        out.sync_all()
    };
    write().map_err(failed("write"))?;
    let kept_aside = if file.exists() {
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ");
        let aside = with_ending(file, &format!(".replaced-{time}"));
        fs::copy(file, &aside).map_err(failed("keep a copy of"))?;
        Some(aside)
    } else {
        None
    };
    fs::rename(&incoming, file).map_err(failed("replace"))?;
    Ok(RollbackReport { version, file: file.to_owned(), kept_aside })
}

/// The configuration that was in force at the end of a day of the organization.
///
/// # Errors
/// [`Error::NoVersion`] if none is on record for that day.
pub fn as_of(database: &Path, date: Date) -> Result<Config, Error> {
    let open = Database::open(database, Access::ReadOnly)?;
    // The latest comes first: of several on one day, the last one counts.
    for version in open.config_versions()? {
        let config = read(&version)?;
        let began = version.valid_from.parse::<jiff::civil::DateTime>().ok();
        let began = began.and_then(|at| at.to_zoned(TimeZone::UTC).ok());
        let began = began.map(|at| at.with_time_zone(config.timezone.clone()).date());
        if began.is_some_and(|began| began <= date) {
            return Ok(config);
        }
    }
    Err(Error::NoVersion { database: database.to_owned(), on: Some(date) })
}

/// The time zone of the configuration that was in force last; the default one without any.
pub(crate) fn time_zone(database: &Database) -> Result<TimeZone, Error> {
    let config = in_force(database)?.map(|version| read(&version)).transpose()?;
    Ok(config.unwrap_or_default().timezone)
}

/// The first instant after a day, as UTC text in the form in which times are on record; `None`
/// beyond the last day that there is.
pub(crate) fn end_of_day(date: Date, zone: &TimeZone) -> Option<String> {
    start_of_day(date.tomorrow().ok()?, zone)
}

/// The first instant of a day, as UTC text.
pub(crate) fn start_of_day(date: Date, zone: &TimeZone) -> Option<String> {
    let start: Zoned = date.to_zoned(zone.clone()).ok()?;
    Some(crate::run::timestamp(start.timestamp()))
}

/// The name of who runs this program, if the environment or the list of users tells.
pub fn login_name() -> Option<String> {
    ["LOGNAME", "USER", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()))
        .or_else(user_of_process)
}

/// A service may run without these variables.
#[cfg(unix)]
fn user_of_process() -> Option<String> {
    let uid = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").ok()?).to_string();
    let users = fs::read_to_string("/etc/passwd").ok()?;
    // Name, password, user id, and so on.
    let mut lines = users.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

#[cfg(not(unix))]
fn user_of_process() -> Option<String> {
    None
}

fn in_force(database: &Database) -> Result<Option<ConfigVersion>, Error> {
    Ok(database.config_versions()?.into_iter().next())
}

fn find(database: &Database, id: i64) -> Result<ConfigVersion, Error> {
    database
        .config_version(id)?
        .ok_or_else(|| Error::NoSuchVersion { database: database.path().to_owned(), version: id })
}

fn read(version: &ConfigVersion) -> Result<Config, Error> {
    Ok(Config::parse(&version.content, &format!("configuration version {}", version.id))?)
}

fn changes(old: &Config, new: &Config) -> Vec<Change> {
    diff(old, new).into_iter().map(Change::from).collect()
}
