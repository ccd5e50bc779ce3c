//! What the tests of the engine share: an organization in memory that is planned as a database is,
//! the readable form of a case, and the rules as text.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod case_file;
pub(crate) mod differences;
pub(crate) mod naive;
pub(crate) mod organization;
pub(crate) mod promises;
pub(crate) mod rules;
pub(crate) mod sample;

use curfew_engine::Day;

/// The day of a date in a test.
#[track_caller]
pub(crate) fn day(text: &str) -> Day {
    Day::parse(text).unwrap_or_else(|why| panic!("`{text}` {why}"))
}
