//! Telling a caller what is being done and how far it has come.

use std::fmt;
use std::ops::ControlFlow;

/// What a workflow is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Asking the server what it has.
    Asking,
    /// Fetching a table from the server.
    Fetching,
    /// Comparing two files.
    Comparing,
    /// Sending changes ahead, where they wait to be applied.
    Staging,
    /// The server applies the changes.
    Applying,
    /// Changing the working file.
    Writing,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asking => "asking the server",
            Self::Fetching => "fetching",
            Self::Comparing => "comparing",
            Self::Staging => "sending",
            Self::Applying => "the server applies the changes",
            Self::Writing => "writing",
        })
    }
}

/// Takes reports of progress; each method does nothing unless written.
///
/// Called from the thread that runs the workflow.
pub trait Progress {
    /// A step begins; the counts of [`Progress::advance`] begin at zero.
    fn step(&self, step: Step) {
        let _ = step;
    }

    /// How many rows this step has in all, where that is known; told after [`Progress::step`].
    fn total(&self, rows: u64) {
        let _ = rows;
    }

    /// So far in this step: the table, rows of all tables, and bytes.
    fn advance(&self, table: &str, rows: u64, bytes: u64) {
        let _ = (table, rows, bytes);
    }

    /// `Break` ends comparing and writing with an error, with nothing changed. What waits for the
    /// server is ended by the options' `CancelToken`.
    fn check(&self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {}

/// Hands what libsql-diff reports on.
pub(crate) fn watch(
    progress: &dyn Progress,
) -> impl FnMut(&libsql_diff::Progress) -> ControlFlow<()> + '_ {
    |at| {
        progress.advance(&at.table, at.rows, at.bytes);
        progress.check()
    }
}
