//! One module for each command.

pub(crate) mod apply;
pub(crate) mod changeset;
pub(crate) mod copy;
pub(crate) mod diff;
mod files;
pub(crate) mod init;
pub(crate) mod merge;
pub(crate) mod offline_sync;
pub(crate) mod older;
pub(crate) mod pull;
pub(crate) mod push;
mod report;
pub(crate) mod reset;
pub(crate) mod status;
mod step;
pub(crate) mod test;
mod values;
pub(crate) mod watch;
