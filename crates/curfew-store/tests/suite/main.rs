//! The store as others see it, over databases in memory, in files, and of the older application.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod campaign_edits;
mod campaigns;
mod fixture;
mod history;
mod lock;
mod open;
mod runs;
mod scan;
mod writer;
