//! One module for each command.

pub(crate) mod campaign;
pub(crate) mod explain;
pub(crate) mod import;
pub(crate) mod plan;
pub(crate) mod rules;
pub(crate) mod run;
