//! Logs on stderr, for `--log-format`.

use std::{
    io::{self, IsTerminal as _},
    sync::atomic::{AtomicBool, Ordering},
};

use tracing::level_filters::LevelFilter;

use crate::args::{LogFormat, LogLevel};

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Whether stderr belongs to the log: no progress bars then, and errors are entries of it.
pub(crate) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// Logs from now on.
pub(crate) fn begin(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        // Each entry names the spans that it is in, the outermost first.
        LogFormat::Json => log.json().with_current_span(false).flatten_event(true).init(),
    }
    IS_ON.store(true, Ordering::Relaxed);
}
