//! What all commands print alike: errors and progress; the rest is `terminal`'s.

use std::io::{self, IsTerminal as _, Write as _};

use curfew_app::{Fault, Progress, Stage};

pub(crate) use terminal::{print, print_json, table, table_text};

use crate::log;

/// Prints an error with its causes and says by the exit code whose fault it is.
pub(crate) fn report_error(error: &anyhow::Error) -> u8 {
    if terminal::is_broken_pipe(error) {
        // The reader has seen enough, as with `curfew plan --csv | head`.
        return 0;
    }
    if log::is_on() {
        tracing::error!("{error:#}");
    } else {
        // A failure to print the error cannot be reported anywhere.
        let _ = io::stderr().lock().write_all(terminal::error_text(error).as_bytes());
    }
    if let Some(error) = error.downcast_ref::<turso_sync::Error>() {
        return if error.exit_code() == 2 { 2 } else { 3 };
    }
    let fault = error.downcast_ref::<curfew_app::Error>().map(curfew_app::Error::fault);
    match fault {
        Some(Fault::Input) => 2,
        Some(Fault::Failure) | None => 3,
    }
}

/// A progress bar on stderr, if that is a terminal and not a log.
#[derive(Debug)]
pub(crate) struct Bar(terminal::Bar);

impl Default for Bar {
    fn default() -> Self {
        Self(terminal::Bar::new(!log::is_on() && io::stderr().is_terminal()))
    }
}

impl Bar {
    /// Begins work of so many steps that is no stage of a run.
    pub(crate) fn begin(&self, what: &str, steps: u64) {
        self.0.begin(&format!("{what:>10}"), Some(steps));
    }

    /// Takes the bar away, before something is printed.
    pub(crate) fn finish(&self) {
        self.0.finish();
    }
}

impl Progress for Bar {
    fn stage(&self, stage: Stage, contacts: Option<u64>) {
        self.0.begin(&format!("{:>10}", stage.name()), contacts);
    }

    fn advance(&self, contacts: u64) {
        self.0.add(contacts);
    }
}

impl turso_sync::Progress for Bar {
    fn step(&self, step: turso_sync::Step) {
        self.0.begin(&step.to_string(), None);
    }

    fn total(&self, rows: u64) {
        self.0.total(rows);
    }

    fn advance(&self, table: &str, rows: u64, bytes: u64) {
        self.0.rows(table, rows, bytes);
    }
}
