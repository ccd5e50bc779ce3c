//! Use cases: run, plan, explain, import, demo, configuration. Owns the clock and the configuration
//! file.

pub mod campaigns;
pub mod config;
mod error;
pub mod explain;
pub mod import;
mod progress;
pub mod rules;
pub mod run;
pub mod sample;
mod scan;

pub use error::{Error, Fault};
pub use progress::{NoProgress, Progress, Stage};
