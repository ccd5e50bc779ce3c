//! How long to wait, how often to try again, how a replica follows its server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use crate::error::Error;
use crate::location::Token;
use crate::proxy::{Proxies, Proxy};
use crate::replica::Synced;

/// How a database is opened and every call on it is made.
///
/// ```
/// use std::time::Duration;
/// use libsql_link::Options;
///
/// let options = Options::new().call_timeout(Duration::from_secs(5));
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) token: Option<Token>,
    #[cfg(feature = "encryption")]
    pub(crate) encryption_key: Option<EncryptionKey>,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) proxies: Proxies,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) answer_max_bytes: usize,
    pub(crate) retry: Retry,
    pub(crate) sync: SyncStrategy,
    pub(crate) sync_timeout: Duration,
    pub(crate) on_sync: Option<OnSync>,
    pub(crate) cancel: Option<CancelToken>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            token: None,
            #[cfg(feature = "encryption")]
            encryption_key: None,
            certificates: vec![],
            proxies: Proxies::OfEnvironment,
            connect_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            answer_max_bytes: 1 << 30,
            retry: Retry::default(),
            sync: SyncStrategy::Manual,
            sync_timeout: Duration::from_mins(10),
            on_sync: None,
            cancel: None,
        }
    }
}

impl Options {
    pub fn new() -> Self {
        Options::default()
    }

    /// What the server asks for; none unless set.
    #[must_use]
    pub fn token(mut self, token: impl Into<Option<Token>>) -> Self {
        self.token = token.into();
        self
    }

    /// The key of an encrypted local file; a new file is encrypted with it. Of no effect on servers
    /// and replicas. Only with the cargo feature `encryption`, which builds SQLite with cmake.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn encryption_key(mut self, key: impl Into<Option<EncryptionKey>>) -> Self {
        self.encryption_key = key.into();
        self
    }

    /// More certificates to trust, in PEM: those of an authority of one's own. What the machine
    /// trusts is trusted all the same.
    ///
    /// # Errors
    /// [`Error::BadLocation`] when the text holds no certificate.
    pub fn trust(mut self, pem: &[u8]) -> Result<Self, Error> {
        let given = || "the certificate".to_owned();
        let found: Result<Vec<_>, _> = rustls_pemfile::certs(&mut &*pem).collect();
        let mut found = found
            .map_err(|error| Error::BadLocation { given: given(), problem: error.to_string() })?;
        if found.is_empty() {
            return Err(Error::BadLocation {
                given: given(),
                problem: "it is not in PEM; that begins with -----BEGIN CERTIFICATE-----".into(),
            });
        }
        self.certificates.append(&mut found);
        Ok(self)
    }

    /// The HTTP proxy on the way to the server, or none. Unless set, the environment says it:
    /// `HTTPS_PROXY` for servers with TLS, `http_proxy` for those without, `ALL_PROXY` for both; the
    /// hosts and domains of `NO_PROXY`, and this machine itself, are reached directly.
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxies = Proxies::Given(proxy.into());
        self
    }

    /// How long a connection may take to be made, name look-up and TLS included: 10 s unless set,
    /// never longer than the call.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The deadline of one call, repetitions and the waits between them included: 30 s unless set.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// The most that one answer of a server may have: 1 GiB unless set. A longer one is
    /// [`Error::TooLarge`], so that a server that never stops cannot fill the memory.
    #[must_use]
    pub fn answer_max_bytes(mut self, bytes: usize) -> Self {
        self.answer_max_bytes = bytes;
        self
    }

    /// How often and after which waits a call is repeated that is safe to repeat.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// When a replica fetches what is new on the server: only when told to, unless set. Of no
    /// effect on a file or a server.
    #[must_use]
    pub fn sync(mut self, strategy: SyncStrategy) -> Self {
        self.sync = strategy;
        self
    }

    /// The deadline of one sync of a replica, which may have a whole database to fetch: 10 minutes
    /// unless set. A server that falls silent ends it earlier, after the time of a call.
    #[must_use]
    pub fn sync_timeout(mut self, timeout: Duration) -> Self {
        self.sync_timeout = timeout;
        self
    }

    /// Tells `hear` how every sync of a replica ended, whoever began it. It must not block.
    #[must_use]
    pub fn on_sync(
        mut self,
        hear: impl Fn(Result<&Synced, &Error>) + Send + Sync + 'static,
    ) -> Self {
        self.on_sync = Some(OnSync(Arc::new(hear)));
        self
    }

    /// Ends every call as soon as `cancel` is cancelled; for programs that block in a call and
    /// want out of it from another thread.
    #[must_use]
    pub fn cancel(mut self, cancel: CancelToken) -> Self {
        self.cancel = Some(cancel);
        self
    }
}

/// A passphrase for local files: AES with 256 bits in CBC mode, as the libsql crate encrypts with
/// `Cipher::Aes256Cbc`.
///
/// Its bytes reach SQLite and nothing else: `Debug` prints `…`.
#[cfg(feature = "encryption")]
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptionKey(Vec<u8>);

#[cfg(feature = "encryption")]
impl EncryptionKey {
    /// # Errors
    /// [`Error::BadLocation`] when there are no bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(Error::BadLocation {
                given: "the encryption key".into(),
                problem: "it is empty; SQLite would not encrypt".into(),
            });
        }
        Ok(EncryptionKey(bytes))
    }

    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }
}

#[cfg(feature = "encryption")]
impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(…)")
    }
}

/// Who wants to know how a sync ended.
#[derive(Clone)]
pub(crate) struct OnSync(pub(crate) Arc<Hear>);

type Hear = dyn Fn(Result<&Synced, &Error>) + Send + Sync;

impl fmt::Debug for OnSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnSync(…)")
    }
}

/// Bounded repetition with growing, random waits.
///
/// The wait before the n-th repetition is `first_delay` · 2ⁿ⁻¹, at most `delay_max`, of which a
/// random part between half and all is taken, so that many clients do not return at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first one included; 0 counts as 1.
    pub attempts_max: u32,
    pub first_delay: Duration,
    pub delay_max: Duration,
}

impl Default for Retry {
    /// Four attempts, waiting up to 0.1 s, 0.2 s and 0.4 s between them.
    fn default() -> Self {
        Retry {
            attempts_max: 4,
            first_delay: Duration::from_millis(100),
            delay_max: Duration::from_secs(2),
        }
    }
}

impl Retry {
    /// Every call is tried once.
    pub const NEVER: Retry =
        Retry { attempts_max: 1, first_delay: Duration::ZERO, delay_max: Duration::ZERO };

    /// The wait after `attempts_made` attempts (1 or more); `None` when there is no further one.
    pub(crate) fn delay(&self, attempts_made: u32) -> Option<Duration> {
        if attempts_made >= self.attempts_max {
            return None;
        }
        let doubled = 2_u32.saturating_pow(attempts_made.saturating_sub(1));
        let longest = self.first_delay.saturating_mul(doubled).min(self.delay_max);
        Some(longest.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

/// When a replica fetches what is new on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SyncStrategy {
    /// Only by [`Link::sync`](crate::Link::sync).
    #[default]
    Manual,
    /// Before every query, so that it sees what was on the server when it was asked.
    BeforeReads,
    /// After every write, so that the next query sees it. A write whose sync fails has succeeded
    /// all the same: what failed is kept for
    /// [`Link::last_sync_error`](crate::Link::last_sync_error).
    AfterWrites,
    /// In the background, whenever this time has passed since the last sync. What fails is kept
    /// for [`Link::last_sync_error`](crate::Link::last_sync_error) and told to
    /// [`Options::on_sync`].
    Every(Duration),
}

/// Ends calls from outside: clones share one state, and once cancelled it stays so.
#[derive(Debug, Clone)]
pub struct CancelToken(Arc<watch::Sender<bool>>);

impl Default for CancelToken {
    fn default() -> Self {
        CancelToken(Arc::new(watch::Sender::new(false)))
    }
}

impl CancelToken {
    pub fn new() -> Self {
        CancelToken::default()
    }

    /// Ends every call that was given this token, those under way and those to come, with
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) async fn cancelled(&self) {
        // Cannot fail: this very token holds the sender.
        let _ = self.0.subscribe().wait_for(|cancelled| *cancelled).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_maximum_and_end() {
        let milliseconds = Duration::from_millis;
        let retry =
            Retry { attempts_max: 5, first_delay: milliseconds(100), delay_max: milliseconds(300) };
        for (made, longest) in [(1, 100), (2, 200), (3, 300), (4, 300)] {
            let delay = retry.delay(made).unwrap();
            assert!(delay >= milliseconds(longest) / 2 && delay <= milliseconds(longest));
        }
        assert_eq!(retry.delay(5), None);
        assert_eq!(Retry::NEVER.delay(1), None);
        assert_eq!(Retry { attempts_max: 0, ..retry }.delay(1), None);
    }
}
