//! Use cases: run, plan, explain, import, demo, configuration. Owns the clock and the configuration
//! file.

pub mod audit;
pub mod backup;
pub mod campaigns;
pub mod config;
mod error;
pub mod explain;
pub mod generate;
pub mod import;
pub mod legacy;
mod path_text;
mod progress;
pub mod rules;
pub mod run;
pub mod runs;
pub mod sample;
mod scan;
pub mod status;
pub mod versions;
mod write;

pub use error::{Error, Fault};
pub use progress::{NoProgress, Progress, Stage};
