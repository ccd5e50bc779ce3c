//! What the command says: errors, warnings, talk, progress; the rest is `terminal`'s.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    ops::ControlFlow,
    process::ExitCode,
};

use turso_sync::Step;

pub(crate) use terminal::{count, print_json, table, table_text};

use crate::interrupt::{self, AtWork, Cause};

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
pub(crate) fn report_error(error: anyhow::Error) -> ExitCode {
    if terminal::is_broken_pipe(&error) {
        // The reader has seen enough, as with `turso-sync diff a.db b.db --sql | head`.
        return ExitCode::SUCCESS;
    }
    let mut stderr = io::stderr().lock();
    let error = match interrupt::cause() {
        None => error,
        Some(Cause::Signal) => {
            // A failure to print the error cannot be reported anywhere, here and below.
            let _ = writeln!(stderr, "error: stopped; the next command takes up what was begun");
            return ExitCode::from(interrupt::EXIT_CODE);
        }
        Some(Cause::Time(time)) => error.context(format!(
            "not finished within {time:?}; try again, or allow more time with --timeout"
        )),
    };
    let _ = stderr.write_all(terminal::error_text(&error).as_bytes());
    if let Some(hint) = hint(&error) {
        let _ = writeln!(stderr, "  {hint}");
    }
    ExitCode::from(exit_code(&error))
}

/// What to do about what SQLite says in few words.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let from_sync = match error.downcast_ref::<turso_sync::Error>() {
        Some(turso_sync::Error::Diff(error)) => Some(error),
        Some(turso_sync::Error::Sqlite { code, .. }) => return hint_of(*code),
        _ => None,
    };
    let code = match error.downcast_ref::<libsql_diff::Error>().or(from_sync) {
        Some(error) => error.sqlite_code()?,
        None => error.downcast_ref::<rusqlite::Error>()?.sqlite_error()?.extended_code,
    };
    hint_of(code)
}

fn hint_of(code: i32) -> Option<&'static str> {
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

/// Prints a text for people to stdout.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    terminal::print(&terminal::visible(text))
}

/// Says on stderr what must not go unnoticed, `--quiet` or not.
pub(crate) fn warn(text: &str) {
    // As with errors: there is nowhere to report that this failed.
    let _ = writeln!(io::stderr().lock(), "warning: {}", terminal::visible(text));
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
            let _ = writeln!(io::stderr().lock(), "{}", terminal::visible(text));
        }
    }

    /// A progress bar for work that begins now, shown if stderr is a terminal.
    pub(crate) fn bar(self, doing: &'static str) -> Bar {
        let bar = terminal::Bar::new(!self.is_quiet && io::stderr().is_terminal());
        bar.begin(doing, None);
        Bar { bar, _at_work: AtWork::begin() }
    }
}

/// Rows and bytes passed so far, on one line that disappears at the end. While it lives, a signal
/// ends the work in good order.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: terminal::Bar,
    _at_work: AtWork,
}

impl Bar {
    /// How many rows there are in all.
    pub(crate) fn total(&self, rows: u64) {
        self.bar.total(rows);
    }

    /// Shows how far libsql-diff has come. `Break` when the command is to end.
    pub(crate) fn show(&self, at: &libsql_diff::Progress) -> ControlFlow<()> {
        self.bar.rows(&at.table, at.rows, at.bytes);
        interrupt::check()
    }

    /// Takes the line away until the next step.
    pub(crate) fn pause(&self) {
        self.bar.finish();
    }
}

impl turso_sync::Progress for Bar {
    fn step(&self, step: Step) {
        let doing = match step {
            Step::Asking => "Asking the server",
            Step::Fetching => "Fetching",
            Step::Comparing => "Comparing",
            Step::Staging => "Sending",
            Step::Applying => "The server applies the changes",
            _ => "Writing",
        };
        self.bar.begin(doing, None);
    }

    fn total(&self, rows: u64) {
        self.bar.total(rows);
    }

    fn advance(&self, table: &str, rows: u64, bytes: u64) {
        self.bar.rows(table, rows, bytes);
    }

    fn check(&self) -> ControlFlow<()> {
        interrupt::check()
    }
}
