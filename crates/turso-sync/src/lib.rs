//! A local SQLite file and a libSQL or Turso database, in step, without loss.
//!
//! An application works on a local file; the truth is shared through a server. [`init`] begins,
//! [`push`] sends local changes, [`pull`] brings in what is new, [`status`] tells how things stand.
//! Beside the file stands a folder `FILE.sync` with what both sides last had in common.
//!
//! A program that also uses the `libsql` crate calls `libsql_link::initialize()` before anything
//! else.

#![deny(missing_docs)]

mod error;
mod progress;
mod pull;
mod push;
mod report;
mod state;
mod workflow;

pub use error::{Error, Result, shell_word};
pub use progress::{Progress, Step, Unwatched};
pub use report::{
    CONFLICTS_LISTED_MAX, Changes, Conflict, ConflictColumn, CopyReport, InitReport, PullEnd,
    PullReport, PushEnd, PushReport, RemoteStatus, ResetPreview, ResetReport, Shown, StatusReport,
    TableChanges,
};
pub use state::STATE_FORMAT;
pub use workflow::{
    Begun, CopyOptions, Existing, InitOptions, Place, PullOptions, PushOptions, Remote,
    ResetOptions, Stop, WatchEvent, WatchOptions, adopt, base, begin, copy, diff, init, pull, push,
    reset, status, watch,
};
