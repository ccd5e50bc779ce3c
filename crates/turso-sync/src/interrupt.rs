//! What ends a command early: a signal, and the time that `--timeout` allows.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use turso_sync::Stop;

/// What a shell says of a command that Ctrl-C ended: 128 and the number of the signal.
pub(crate) const EXIT_CODE: u8 = 130;

/// Why a command is to end early.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// Ctrl-C, or a request to terminate.
    Signal,
    /// It took longer than it may.
    Time(Duration),
}

static STOP: LazyLock<Stop> = LazyLock::new(Stop::new);
static CAUSE: Mutex<Option<Cause>> = Mutex::new(None);
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Ends what the command is doing: calls to the server and work on files.
pub(crate) fn stop() -> &'static Stop {
    &STOP
}

/// Why the command is to end, if it is.
pub(crate) fn cause() -> Option<Cause> {
    *CAUSE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `Break` once the command is to end.
pub(crate) fn check() -> ControlFlow<()> {
    if STOP.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn end(cause: Cause) {
    CAUSE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
    STOP.stop();
}

/// A first signal ends work in good order; without work under way, or the second time, it ends the
/// process.
pub(crate) fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if AT_WORK.load(Ordering::SeqCst) == 0 || STOP.is_stopped() {
            std::process::exit(EXIT_CODE.into());
        }
        end(Cause::Signal);
    })
    .context("cannot listen for signals")
}

/// Ends the command when `time` is over.
pub(crate) fn after(time: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(time);
        end(Cause::Time(time));
    });
}

/// Work is under way while it lives.
#[derive(Debug)]
pub(crate) struct AtWork(());

impl AtWork {
    pub(crate) fn begin() -> Self {
        AT_WORK.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits for an answer: there, a signal ends the process.
pub(crate) fn while_asking<T>(ask: impl FnOnce() -> T) -> T {
    let at_work = AT_WORK.swap(0, Ordering::SeqCst);
    let answer = ask();
    AT_WORK.store(at_work, Ordering::SeqCst);
    answer
}
