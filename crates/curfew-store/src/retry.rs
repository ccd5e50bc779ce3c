//! Repeating what may succeed the next time.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    thread,
    time::Duration,
};

use crate::StoreError;

/// How often, and after which pauses, a step is repeated that failed for a reason that may pass
/// (see [`StoreError::is_transient`]).
///
/// The pauses double from `first_pause` up to `pause_max`. Each is shortened by up to a half at
/// random, so that two programs that met once do not meet again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often the step is tried altogether; at least once.
    pub attempts_max: u32,
    /// The pause after the first failure.
    pub first_pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for Retry {
    /// Six attempts within about six seconds, on top of what each waits for locks itself.
    fn default() -> Self {
        Self {
            attempts_max: 6,
            first_pause: Duration::from_millis(200),
            pause_max: Duration::from_secs(5),
        }
    }
}

impl Retry {
    /// Does `work` until it succeeds, fails for a reason that will not pass, or has failed
    /// `attempts_max` times. `work` gets the number of the attempt, from 1, and must be safe to
    /// repeat.
    ///
    /// # Errors
    /// The last one.
    pub fn run<T>(&self, work: impl FnMut(u32) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.run_where(StoreError::is_transient, work)
    }

    /// Like [`Retry::run`] for work with errors of another type; `may_pass` says which of them may
    /// pass.
    ///
    /// # Errors
    /// The last one.
    pub fn run_where<T, E: fmt::Display>(
        &self,
        may_pass: impl Fn(&E) -> bool,
        work: impl FnMut(u32) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run_pausing(RandomState::new().build_hasher().finish(), thread::sleep, may_pass, work)
    }

    fn run_pausing<T, E: fmt::Display>(
        &self,
        seed: u64,
        mut pause: impl FnMut(Duration),
        may_pass: impl Fn(&E) -> bool,
        mut work: impl FnMut(u32) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut pauses = self.pauses(seed);
        for attempt in 1.. {
            match work(attempt) {
                Err(error) if may_pass(&error) => match pauses.next() {
                    Some(length) => {
                        let milliseconds = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
                        tracing::warn!(
                            attempt,
                            pause_milliseconds = milliseconds,
                            "retry: {error}"
                        );
                        pause(length);
                    }
                    None => return Err(error),
                },
                result => return result,
            }
        }
        unreachable!("the pauses come to an end")
    }

    /// The pauses between the attempts.
    fn pauses(&self, seed: u64) -> impl Iterator<Item = Duration> + use<> {
        let Self { attempts_max, first_pause, pause_max } = *self;
        // Xorshift; any state but 0 will do.
        let mut state = seed | 1;
        (0..attempts_max.saturating_sub(1)).map(move |at| {
            let factor = 2_u32.checked_pow(at).unwrap_or(u32::MAX);
            let longest = first_pause.saturating_mul(factor).min(pause_max);
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let thousandths = u32::try_from(state % 501).unwrap_or_default();
            longest.saturating_sub(longest / 1000 * thousandths)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn locked() -> StoreError {
        StoreError::Locked { path: PathBuf::from("x.db") }
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_differ_from_program_to_program() {
        let retry = Retry {
            attempts_max: 8,
            first_pause: Duration::from_millis(100),
            pause_max: Duration::from_secs(1),
        };
        for seed in 0..1000 {
            let longest = [100, 200, 400, 800, 1000, 1000, 1000];
            let pauses: Vec<Duration> = retry.pauses(seed).collect();
            assert_eq!(pauses.len(), longest.len());
            for (pause, longest) in pauses.iter().zip(longest) {
                let longest = Duration::from_millis(longest);
                assert!(*pause <= longest && *pause >= longest / 2, "{pauses:?}");
            }
        }
        assert_ne!(
            retry.pauses(12).collect::<Vec<_>>(),
            retry.pauses(12_345_678).collect::<Vec<_>>()
        );
        let huge = Retry { attempts_max: 80, pause_max: Duration::MAX, ..retry };
        assert_eq!(huge.pauses(1).count(), 79);
    }

    #[test]
    fn what_may_pass_is_repeated_within_bounds_and_nothing_else() {
        let retry = Retry { attempts_max: 3, ..Retry::default() };
        let mut pauses = 0;
        let mut attempts = Vec::new();
        let done = retry.run_pausing(
            1,
            |_| pauses += 1,
            StoreError::is_transient,
            |attempt| {
                attempts.push(attempt);
                if attempt < 3 { Err(locked()) } else { Ok("done") }
            },
        );
        assert_eq!((done.unwrap(), pauses, attempts), ("done", 2, vec![1, 2, 3]));

        let mut pauses = 0;
        let transient = StoreError::is_transient;
        let gave_up: Result<(), _> =
            retry.run_pausing(1, |_| pauses += 1, transient, |_| Err(locked()));
        assert!(gave_up.unwrap_err().is_transient());
        assert_eq!(pauses, 2);

        let no_run = || StoreError::NoSuchRun { run_id: "r".to_owned() };
        let mut pauses = 0;
        let failed: Result<(), _> =
            retry.run_pausing(1, |_| pauses += 1, transient, |_| Err(no_run()));
        assert!(matches!(failed.unwrap_err(), StoreError::NoSuchRun { .. }));
        assert_eq!(pauses, 0);

        let once = Retry { attempts_max: 0, ..retry };
        assert!(once.run(|_| Ok(())).is_ok());
    }
}
