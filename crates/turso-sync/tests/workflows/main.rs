//! The workflows against a real server.

#![expect(clippy::unwrap_used, reason = "what cannot be set up fails the test")]

mod desk;
mod exactness;
mod faults;
mod kills;
mod position;
mod steps;
