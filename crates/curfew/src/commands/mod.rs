//! One module for each command.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod campaign;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod migrate_legacy;
pub(crate) mod plan;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod status;
pub(crate) mod sync;
