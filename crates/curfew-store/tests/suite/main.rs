//! The store as others see it, over databases in memory, in files, and of the older application.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod audit;
mod backup;
mod campaign_edits;
mod campaigns;
mod crash;
mod fixture;
mod history;
mod legacy;
mod lock;
mod log;
mod open;
mod runs;
mod scan;
mod writer;
