//! The scheduler's tables: migrations, reading contacts, writing a plan, checkpoints, history.
//!
//! The only room with SQL about schedules. Everything is blocking, uses prepared statements, and
//! takes the time of day as a text from its caller.
#![deny(missing_docs)]

pub mod audit;
pub mod backup;
mod bulk;
mod campaigns;
mod cell;
mod checksum;
mod config_versions;
pub mod contacts;
mod create_table;
mod database;
mod error;
mod followed;
pub mod history;
mod json;
mod lock;
mod log;
mod migrate;
mod pages;
mod retry;
mod runs;
mod scan;
mod schedules;
mod schema;
mod stream;
mod writer;

pub use campaigns::{
    CampaignChange, CampaignEditor, CampaignError, CampaignSettings, ConfigurationProblem, Flaw,
    InstanceFields, InstanceRecord, LegacyCampaign, LegacyInstance, LegacyKind, LegacyReport,
    LegacyRequest, LogEntry, NewTarget, Removal, TargetOutcome, TargetRecord, TypeFields,
    TypeRecord,
};
pub use checksum::{Checked, Checksum, Checksums};
pub use config_versions::ConfigVersion;
pub use database::{Access, BUSY_WAIT, Database, Snapshot};
pub use error::StoreError;
pub use lock::{Holder, RunLock};
pub use log::LogWatch;
pub use migrate::{MigrationReport, Step};
pub use retry::Retry;
pub use runs::{Run, RunEnd, RunStart, RunStatus};
pub use scan::{Scanner, Visited};
pub use writer::{Applied, NewIds, NewRowSums, PlanWriter, Written};
