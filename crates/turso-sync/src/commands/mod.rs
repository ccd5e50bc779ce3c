//! One module for each command.

pub(crate) mod apply;
pub(crate) mod diff;
mod files;
