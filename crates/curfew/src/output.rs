//! What all commands print alike: errors, JSON, tables, progress.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Mutex,
};

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets};
use curfew_app::{Fault, Progress, Stage};
use indicatif::{ProgressBar, ProgressStyle};

use crate::log;

/// Prints an error with its causes and says by the exit code whose fault it is.
pub(crate) fn report_error(error: &anyhow::Error) -> u8 {
    if is_broken_pipe(error) {
        // The reader has seen enough, as with `curfew plan --csv | head`.
        return 0;
    }
    if log::is_on() {
        tracing::error!("{error:#}");
    } else {
        let mut stderr = io::stderr().lock();
        let mut said = error.to_string();
        // A failure to print the error cannot be reported anywhere.
        let _ = writeln!(stderr, "error: {said}");
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // Many messages name their cause themselves.
            if !said.contains(&cause) {
                let _ = writeln!(stderr, "  because {cause}");
                said = cause;
            }
        }
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

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a text to stdout.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    io::stdout().lock().write_all(text.as_bytes()).context("cannot write to stdout")
}

/// Prints a value as JSON to stdout.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// An empty table that reads well without colours.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    table
}

/// A table as text, without spaces at the ends of lines.
pub(crate) fn table_text(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A progress bar on stderr, if that is a terminal.
#[derive(Debug, Default)]
pub(crate) struct Bar {
    bar: Mutex<Option<ProgressBar>>,
}

impl Bar {
    /// Takes the bar away, before something is printed.
    pub(crate) fn finish(&self) {
        if let Some(bar) = self.lock().take() {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Progress for Bar {
    fn stage(&self, stage: Stage, contacts: Option<u64>) {
        self.finish();
        if log::is_on() || !io::stderr().is_terminal() {
            return;
        }
        let bar = match contacts {
            Some(contacts) => ProgressBar::new(contacts).with_style(
                ProgressStyle::with_template(
                    "{msg:>10} [{wide_bar}] {human_pos}/{human_len} {eta}",
                )
                .expect("the template is valid"),
            ),
            None => ProgressBar::new_spinner(),
        };
        bar.set_message(stage.name());
        *self.lock() = Some(bar);
    }

    fn advance(&self, contacts: u64) {
        if let Some(bar) = &*self.lock() {
            bar.inc(contacts);
        }
    }
}
