//! The configuration file (SPEC section 10): reading it, writing it, comparing two of them.
//!
//! ```
//! use curfew_app::config::Config;
//! let config = Config::parse("batch_size: 500\nstate_rules: {NV: all year}\n", "curfew.yaml")?;
//! assert_eq!(config.batch_size, 500);
//! assert_eq!(config.plan.grace_days, 30); // not given: the default
//! assert!(Config::parse("batch_sise: 500\n", "curfew.yaml").is_err());
//! # Ok::<(), curfew_app::config::ConfigError>(())
//! ```

mod error;
mod keys;
mod read;
mod reference;
#[cfg(test)]
mod tests;
mod write;
mod yaml;

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

use curfew_engine::{Day, PlanConfig, rule};
use jiff::tz::TimeZone;

pub use error::{ConfigError, Problem, Problems};
pub use reference::key_tables;
pub use write::{Difference, diff};

/// Everything that can be configured, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the organization's days begin and end; always one with an IANA name.
    pub timezone: TimeZone,
    /// Contacts per transaction, 1 to 1,000,000.
    pub batch_size: u32,
    /// What the engine needs to know.
    pub plan: PlanConfig,
    /// Where backups go, and for how long.
    pub backup: Backup,
    /// Campaign types to create or update, by name. No two names differ in case only.
    pub campaign_types: BTreeMap<String, CampaignType>,
    /// Campaign instances to create or update, in the order of the file. No two have the same type
    /// (case apart) and name.
    pub campaign_instances: Vec<CampaignInstance>,
}

/// Where backups of the database go, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// A folder; if relative, to the folder of the database.
    pub directory: String,
    /// For how many days backups are kept, 1 to 3650.
    pub retention_days: u16,
}

/// A campaign type (SPEC section 7). A key that the file leaves out has its default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the columns of campaign_types")]
pub struct CampaignType {
    /// Whether exclusion windows apply to its messages.
    pub respect_exclusion_windows: bool,
    /// Whether its messages are followed up.
    pub enable_followups: bool,
    /// Days from the ideal date to the trigger date, -3650 to 3650; negative: after it.
    pub days_before_event: i32,
    /// Whether every valid contact is a target.
    pub target_all_contacts: bool,
    /// Priority; a lower number is more important.
    pub priority: i64,
    /// Whether its instances take part.
    pub active: bool,
}

impl Default for CampaignType {
    fn default() -> Self {
        Self {
            respect_exclusion_windows: true,
            enable_followups: true,
            days_before_event: 0,
            target_all_contacts: false,
            priority: 10,
            active: true,
        }
    }
}

/// A campaign instance (SPEC section 7).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CampaignInstance {
    /// Name of its type, given in the file or stored in the database.
    pub campaign_type: String,
    /// Its name.
    pub instance_name: String,
    /// Name of its e-mail template.
    pub email_template: Option<String>,
    /// Name of its SMS template.
    pub sms_template: Option<String>,
    /// First day on which it takes part; `None`: no bound.
    pub active_start_date: Option<Day>,
    /// Last day on which it takes part, not before the first; `None`: no bound.
    pub active_end_date: Option<Day>,
    /// A JSON object, in which `days_before_event`, `respect_exclusion_windows`,
    /// `enable_followups` and `priority` override the type's settings and have their types.
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timezone: TimeZone::get("America/Chicago").expect("time zones are built in"),
            batch_size: 10_000,
            plan: PlanConfig::with_rules(rule::default_table()),
            backup: Backup { directory: "backups".to_owned(), retention_days: 7 },
            campaign_types: BTreeMap::new(),
            campaign_instances: Vec::new(),
        }
    }
}

impl Config {
    /// Files above this are refused.
    pub const FILE_BYTES_MAX: u64 = 4 << 20;

    /// Reads a configuration file.
    ///
    /// # Errors
    /// If the file cannot be read, is larger than [`Config::FILE_BYTES_MAX`], is not text in UTF-8,
    /// or does not hold a configuration: see [`Config::parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(Self::FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > Self::FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let text = str::from_utf8(&bytes).map_err(|_| {
            let before = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            let line = 1 + before.matches('\n').count();
            ConfigError::NotText { path: path.to_owned(), line }
        })?;
        Self::parse(text, &path.display().to_string())
    }

    /// Reads a configuration from YAML; `name` is what errors call it. A key that is not given has
    /// its default, so that an empty text gives [`Config::default`].
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every problem of the text: unknown and repeated keys, values of
    /// a wrong type or out of range, rules that cannot be read. If the text is not YAML, that is the
    /// only problem.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        read::config(text, name)
    }

    /// The time zone's IANA name.
    pub fn timezone_name(&self) -> &str {
        self.timezone.iana_name().unwrap_or("UTC")
    }
}
