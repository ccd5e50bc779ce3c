//! What all commands print alike: errors, JSON, tables, progress.

use std::{
    cell::Cell,
    fmt,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use turso_sync::Step;

/// What the user asked for cannot be done as it was asked: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl Usage {
    /// An error that says what to do instead.
    pub(crate) fn error(message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(message.into()))
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Prints an error with its causes and says by the exit code what kind it is.
pub(crate) fn report_error(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        // The reader has seen enough, as with `turso-sync diff a.db b.db --sql | head`.
        return ExitCode::SUCCESS;
    }
    let mut stderr = io::stderr().lock();
    // A failure to print the error cannot be reported anywhere.
    let mut said = error.to_string();
    let _ = writeln!(stderr, "error: {said}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Many errors name their cause themselves.
        if !said.contains(&cause) {
            let _ = writeln!(stderr, "  because {cause}");
            said = cause;
        }
    }
    if let Some(hint) = hint(error) {
        let _ = writeln!(stderr, "  {hint}");
    }
    ExitCode::from(exit_code(error))
}

/// What to do about what SQLite says in few words.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let from_sync = match error.downcast_ref::<turso_sync::Error>() {
        Some(turso_sync::Error::Diff(error)) => Some(error),
        _ => None,
    };
    let code = match error.downcast_ref::<libsql_diff::Error>().or(from_sync) {
        Some(error) => error.sqlite_code()?,
        None => error.downcast_ref::<rusqlite::Error>()?.sqlite_error()?.extended_code,
    };
    match code & 0xff {
        rusqlite::ffi::SQLITE_BUSY | rusqlite::ffi::SQLITE_LOCKED => {
            Some("another program is writing to it; end that, or try again when it has finished")
        }
        rusqlite::ffi::SQLITE_NOTADB => {
            Some("it is no SQLite database, or an encrypted one; name another file")
        }
        rusqlite::ffi::SQLITE_FULL => Some("the disk is full; make room and try again"),
        rusqlite::ffi::SQLITE_READONLY => {
            Some("it, or its folder, cannot be written to; change its permissions")
        }
        _ => None,
    }
}

/// 1: what was found does not fit, and somebody has to look at it. 2: the input is at fault. 3: it
/// failed.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        return 2;
    }
    if let Some(error) = error.downcast_ref::<libsql_diff::Error>() {
        return diff_exit_code(error);
    }
    match error.downcast_ref::<turso_sync::Error>() {
        Some(turso_sync::Error::Diff(error)) => return diff_exit_code(error),
        Some(error) => return error.exit_code(),
        None => {}
    }
    match error.downcast_ref::<libsql_link::Error>() {
        Some(libsql_link::Error::BadLocation { .. }) => 2,
        Some(libsql_link::Error::Conflict { .. }) => 1,
        _ => 3,
    }
}

fn diff_exit_code(error: &libsql_diff::Error) -> u8 {
    use libsql_diff::Error;
    match error {
        Error::Conflict(_)
        | Error::RowCount { .. }
        | Error::ForeignKeys { .. }
        | Error::MergeConflicts { .. } => 1,
        Error::Format { .. }
        | Error::Version { .. }
        | Error::Unsupported { .. }
        | Error::Script { .. } => 2,
        Error::Io { source, .. } => match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => 2,
            _ => 3,
        },
        Error::Sqlite { code, .. } if code & 0xff == rusqlite::ffi::SQLITE_NOTADB => 2,
        _ => 3,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Says on stderr what must not go unnoticed, `--quiet` or not.
pub(crate) fn warn(text: &str) {
    // As with errors: there is nowhere to report that this failed.
    let _ = writeln!(io::stderr().lock(), "warning: {text}");
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

/// A number with separators.
pub(crate) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// Another program has the file and does not let go of it in time.
pub(crate) fn locked(path: &std::path::Path) -> anyhow::Error {
    anyhow::anyhow!("{} is locked by another program; end it, or try again", path.display())
}

/// What is said on stderr besides errors: nothing with `--quiet`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    is_quiet: bool,
}

impl Talk {
    pub(crate) fn new(is_quiet: bool) -> Self {
        Self { is_quiet }
    }

    /// Says one line.
    pub(crate) fn say(self, text: &str) {
        if !self.is_quiet {
            // Talk that cannot be heard is no reason to stop.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// A progress bar, shown if stderr is a terminal.
    pub(crate) fn bar(self, doing: &'static str) -> Bar {
        let doing = Cell::new(doing);
        if self.is_quiet || !io::stderr().is_terminal() {
            return Bar { bar: None, doing };
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        bar.set_message(doing.get());
        Bar { bar: Some(bar), doing }
    }
}

/// Rows and bytes passed so far, on one line that disappears at the end.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    doing: Cell<&'static str>,
}

impl Bar {
    pub(crate) fn show(&self, table: &str, rows: u64, bytes: u64) {
        if let Some(bar) = &self.bar {
            let (doing, rows, bytes) = (self.doing.get(), HumanCount(rows), HumanBytes(bytes));
            bar.set_message(format!("{doing} {table}: {rows} rows, {bytes}"));
        }
    }
}

impl turso_sync::Progress for Bar {
    fn step(&self, step: Step) {
        self.doing.set(match step {
            Step::Asking => "Asking the server",
            Step::Fetching => "Fetching",
            Step::Comparing => "Comparing",
            Step::Staging => "Sending",
            Step::Applying => "The server applies the changes",
            _ => "Writing",
        });
        if let Some(bar) = &self.bar {
            bar.set_message(self.doing.get());
        }
    }

    fn advance(&self, table: &str, rows: u64, bytes: u64) {
        self.show(table, rows, bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
