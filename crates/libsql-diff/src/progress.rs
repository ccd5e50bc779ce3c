//! Telling a caller how far a long piece of work has come, and letting it stop.

use std::ops::ControlFlow;

use crate::error::{Error, Result};

/// How far the work has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The table that is being read or written.
    pub table: String,
    /// Rows passed so far, over all tables. Comparing counts a row once, not once for each side.
    pub rows: u64,
    /// Bytes passed so far, over all tables; an estimate where SQLite reads the rows.
    pub bytes: u64,
}

/// Called now and then during long work, at least at the beginning of every table. `Break` stops
/// the work with [`Error::Stopped`]; nothing is then applied.
pub type OnProgress<'p> = dyn FnMut(&Progress) -> ControlFlow<()> + 'p;

/// Rows between two calls.
const ROWS_PER_CALL: u64 = 10_000;

pub(crate) struct Meter<'p> {
    callback: &'p mut OnProgress<'p>,
    progress: Progress,
    due: u64,
}

impl<'p> Meter<'p> {
    pub(crate) fn new(callback: &'p mut OnProgress<'p>) -> Self {
        Self { callback, progress: Progress::default(), due: ROWS_PER_CALL }
    }

    pub(crate) fn table(&mut self, name: &str) -> Result<()> {
        name.clone_into(&mut self.progress.table);
        self.call()
    }

    pub(crate) fn add(&mut self, rows: u64, bytes: u64) -> Result<()> {
        self.progress.rows += rows;
        self.progress.bytes += bytes;
        if self.progress.rows >= self.due { self.call() } else { Ok(()) }
    }

    fn call(&mut self) -> Result<()> {
        self.due = self.progress.rows + ROWS_PER_CALL;
        match (self.callback)(&self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        }
    }
}

/// For work that nobody watches.
pub(crate) fn unwatched(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
