//! For tests only: a second, naive planner, sample organizations, promises to check; a libSQL server
//! ([`sqld`]) and a network that misbehaves ([`proxy`]).
//!
//! The planner here ([`model`]) is written straight from the scheduling rules, with plain loops over days and years,
//! and shares no code with the real one. Two programs that were written apart and agree on thousands of nasty
//! databases are hardly wrong in the same way.
//!
//! "Section" in comments always means a section of the scheduling rules. Everything here panics on a broken
//! database or an impossible configuration: in a test there is nothing better to do with either.

#![allow(clippy::missing_panics_doc, reason = "said once, above")]

mod calendar;
pub mod differential;
pub mod http_proxy;
pub mod jwt;
pub mod model;
pub mod offline_server;
pub mod organization;

pub mod periods;
pub mod promises;
pub mod proxy;
pub mod sender;
pub mod sqld;
pub mod tls;
