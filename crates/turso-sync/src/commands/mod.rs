//! One module for each command.

pub(crate) mod apply;
pub(crate) mod apply_diff;
pub(crate) mod changeset;
pub(crate) mod copy;
pub(crate) mod diff;
mod files;
pub(crate) mod merge;
pub(crate) mod offline_sync;
mod values;
