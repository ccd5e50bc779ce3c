//! Syncing in the background until it is stopped.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libsql_diff::MergePolicy;
use libsql_link::CancelToken;

use super::{PullOptions, PushOptions, Remote, pull, push};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::{PullEnd, PullReport, PushReport};

/// No wait between two rounds is longer, unless `every` is.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// How to watch.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// How long to wait after a round. After failures in a row the wait doubles each time, up to
    /// one hour.
    pub every: Duration,
    /// Who wins where both sides changed the same; nobody unless set.
    pub policy: MergePolicy,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { every: Duration::from_mins(5), policy: MergePolicy::Abort }
    }
}

/// What happens while watching.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEvent<'e> {
    /// A pull ended, perhaps with conflicts.
    Pulled(&'e PullReport),
    /// A push ended, perhaps with a conflict.
    Pushed(&'e PushReport),
    /// A round failed; the next one follows after the wait.
    Failed {
        /// Why.
        error: &'e Error,
        /// The wait.
        again_after: Duration,
    },
}

/// Ends [`watch`] from another thread. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    stopped: Arc<(Mutex<bool>, Condvar)>,
    cancel: CancelToken,
}

impl Stop {
    /// Not stopped yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the wait, or the call that is being made. What is half done is finished by the next
    /// command.
    pub fn stop(&self) {
        *self.stopped.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopped.1.notify_all();
        self.cancel.cancel();
    }

    /// What ends calls to a server when this is stopped, for [`Options::cancel`].
    ///
    /// [`Options::cancel`]: libsql_link::Options::cancel
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Whether [`Stop::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when stopped, or when the time is over.
    fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut stopped = self.stopped.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            let Some(rest) = until.checked_duration_since(Instant::now()) else { return };
            let waited = self.stopped.1.wait_timeout(stopped, rest);
            stopped = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Pulls and pushes, waits, and begins anew, until it is stopped.
///
/// Conflicts and failures are told and end nothing; a wrong request does.
///
/// # Errors
/// When the request is wrong, as [`Error::NotInitialized`] or [`Error::OtherUrl`].
pub fn watch(
    file: &Path,
    remote: &Remote,
    options: &WatchOptions,
    stop: &Stop,
    on_event: &mut dyn FnMut(&WatchEvent<'_>),
    progress: &dyn Progress,
) -> Result<()> {
    let remote = Remote {
        url: remote.url.clone(),
        options: remote.options.clone().cancel(stop.cancel.clone()),
    };
    let mut failures = 0;
    while !stop.is_stopped() {
        let wait = match round(file, &remote, options, on_event, progress) {
            Ok(()) => {
                failures = 0;
                options.every
            }
            Err(_) if stop.is_stopped() => return Ok(()),
            // Nothing that passes by itself.
            Err(error) if error.exit_code() == 2 => return Err(error),
            Err(error) => {
                failures += 1;
                let again_after = wait_after(options.every, failures);
                on_event(&WatchEvent::Failed { error: &error, again_after });
                again_after
            }
        };
        stop.wait(wait);
    }
    Ok(())
}

fn wait_after(every: Duration, failures: u32) -> Duration {
    every.saturating_mul(2_u32.saturating_pow(failures)).min(WAIT_MAX.max(every))
}

fn round(
    file: &Path,
    remote: &Remote,
    options: &WatchOptions,
    on_event: &mut dyn FnMut(&WatchEvent<'_>),
    progress: &dyn Progress,
) -> Result<()> {
    let pull_options = PullOptions { policy: options.policy, dry_run: false };
    let pulled = pull(file, remote, &pull_options, progress)?;
    on_event(&WatchEvent::Pulled(&pulled));
    if pulled.end == PullEnd::Conflict {
        // The push would meet the same conflict.
        return Ok(());
    }
    let pushed = push(file, remote, &PushOptions::default(), progress)?;
    on_event(&WatchEvent::Pushed(&pushed));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let minutes = Duration::from_mins;
        for (every, failures, expected) in [
            (minutes(5), 1, minutes(10)),
            (minutes(5), 3, minutes(40)),
            (minutes(5), 4, minutes(60)),
            (minutes(5), 400, minutes(60)),
            (minutes(90), 1, minutes(90)),
        ] {
            assert_eq!(wait_after(every, failures), expected, "{every:?} {failures}");
        }
    }

    #[test]
    fn a_stop_ends_a_wait_that_has_not_begun() {
        let stop = Stop::new();
        stop.stop();
        stop.wait(Duration::from_hours(1));
        assert!(stop.is_stopped());
    }
}
