//! One module for each command.

pub(crate) mod apply;
pub(crate) mod changeset;
pub(crate) mod diff;
mod files;
pub(crate) mod merge;
mod values;
