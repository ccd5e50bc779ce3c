//! Use cases: run, plan, explain, import, demo, configuration. Owns the clock and the configuration file.

pub mod generate;
pub mod import;
pub mod sample;
