//! Data in, plan out: what Curfew's scheduler decides, with no clock, I/O or threads.
#![deny(missing_docs)]

pub mod balance;
mod config;
mod contact;
mod day;
mod draft;
mod exclusion;
mod input;
mod kind;
mod row;
pub mod rule;
mod settle;
mod state;

pub use balance::{Balance, Changed, Ledger, Limits, Settled, Tally};
pub use config::{Decimal, DecimalError, PlanConfig, Priorities, Template, Templates};
pub use contact::{Contact, Field, Issue, Problem, RawContact, Standing, Value, is_email};
pub use day::{Anniversary, DateError, Day, Today};
pub use draft::{Draft, Fate, Message, Note, Placement, Planner, Verdict, spreading_hash};
pub use exclusion::{ClosedPeriod, Exclusions, Window, WindowClass, WindowReason};
pub use input::{Answer, Behaviour, ContactInput, Target, TargetStatus};
pub use kind::{
    CAMPAIGN_PREFIX, Campaign, Catalog, FOLLOWUP_PREFIX, FollowUpKind, Kind, KindClass, KindId,
};
pub use row::{
    Change, DeleteReason, EventColumns, ExistingRow, Moment, RawRow, RowReader, SkipReason, Status,
    StoredKind, StoredReason, VaryingColumns, WantedRow,
};
pub use settle::{ChangedMeanwhile, Changes, Outcome};
pub use state::State;
