//! One call: its deadline, its cancellation, and its repetitions where they do no harm.

use std::future::Future;

use tokio::time::{Instant, sleep_until};

use crate::error::{Call, Error};
use crate::options::Options;
use crate::transport::Deadline;

/// Makes a call until it succeeds, fails for good, or its deadline or attempts are used up.
///
/// A failed attempt is repeated if it is transient and either surely changed nothing, or
/// `repeatable`: the caller promises that doing it twice does no harm.
pub(crate) async fn repeat<T, F>(
    options: &Options,
    call: Call<'_>,
    repeatable: bool,
    mut attempt: impl FnMut(Deadline) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let deadline = Deadline::after(options.call_timeout);
    let mut attempts_made = 0;
    loop {
        let result = until_cancelled(options, call, attempt(deadline)).await;
        attempts_made += 1;
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let harmless = repeatable || !error.may_have_been_applied();
        let Some(delay) = options.retry.delay(attempts_made) else { return Err(error) };
        let again_at = Instant::now() + delay;
        if !harmless || !error.is_transient() || again_at >= deadline.at {
            return Err(error);
        }
        let wait = async {
            sleep_until(again_at).await;
            Ok(())
        };
        until_cancelled(options, Call { changes: error.may_have_been_applied(), ..call }, wait)
            .await?;
    }
}

/// Ends `work` early when the caller cancels. Whatever it fails with, the token is not in it.
pub(crate) async fn until_cancelled<T>(
    options: &Options,
    call: Call<'_>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let result = match &options.cancel {
        None => work.await,
        Some(cancel) if cancel.is_cancelled() => Err(call.cancelled(false)),
        Some(cancel) => tokio::select! {
            biased;
            result = work => result,
            () = cancel.cancelled() => Err(call.cancelled(true)),
        },
    };
    result.map_err(|mut error| {
        if let (Some(token), Some(reason)) = (&options.token, error.reason_mut()) {
            *reason = token.hidden_in(reason).into_owned();
        }
        error
    })
}
