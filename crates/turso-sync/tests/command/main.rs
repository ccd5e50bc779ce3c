//! The command as a user meets it: exit codes, what goes to stdout and what to stderr.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod changesets;
mod connection;
mod desk;
mod dry_runs;
mod files;
mod forms;
mod merges;
mod older;
mod readme;
mod refused;
mod timeouts;
mod workflow;
