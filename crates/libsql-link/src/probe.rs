//! A connection, looked at step by step: where it ends, and how long each step takes.

use std::time::Duration;

use hyper::service::Service as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::error::{Call, Error, chain};
use crate::location::RemoteUrl;
use crate::options::{Options, Retry};
use crate::remote::Remote;
use crate::transport::{Deadline, connector};
use crate::value::Value;

/// What [`probe`] looks at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Step {
    /// The name leads to addresses.
    Resolve,
    /// A TCP connection to one of them comes about.
    Connect,
    /// Over a second connection, encryption comes about and the certificate is trusted. Left out
    /// where the address is without TLS. The time includes that of connecting.
    Encrypt,
    /// The server says what it is. That it does not is no failure.
    Version,
    /// The server lets the token in: it answers `SELECT 1`.
    Authenticate,
    /// The schema can be read.
    Read,
    /// A table can be made and written, in a transaction that is then rolled back. (A temporary
    /// table would do, but sqld has none.)
    Write,
    /// The time of one call, the median of five.
    RoundTrip,
}

/// How one step went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probed {
    pub step: Step,
    pub took: Duration,
    /// What was found, in a few words, or what went wrong.
    pub result: Result<String, Error>,
}

/// Looks at the connection to a server. Ends with the first step that the following ones need and
/// that failed; never repeats anything, so that the times are those of the network.
///
/// Each step has [`Options::call_timeout`], making a connection [`Options::connect_timeout`].
pub async fn probe(url: &RemoteUrl, options: &Options) -> Vec<Probed> {
    let options = options.clone().retry(Retry::NEVER);
    let mut probe = Probe { steps: vec![], subject: url.base(), options };
    // What went wrong is among the steps.
    let _ = probe.all(url).await;
    probe.steps
}

struct Probe {
    steps: Vec<Probed>,
    subject: String,
    options: Options,
}

impl Probe {
    /// `None` as soon as nothing further makes sense.
    async fn all(&mut self, url: &RemoteUrl) -> Option<()> {
        let subject = self.subject.clone();
        let call = |operation| Call { subject: &subject, operation, changes: false };
        let connect_timeout = self.options.connect_timeout;
        let deadline = || Deadline::after(connect_timeout);

        let began = Instant::now();
        let proxy = self.options.proxies.of(url.tls(), url.host(), url.port());
        let proxy = match proxy {
            Ok(proxy) => proxy,
            Err(error) => return self.add(Step::Resolve, began, Err(error)),
        };
        let place = match &proxy {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (url.host(), url.port()),
        };
        let found = resolve(place, call("resolve"), deadline()).await;
        let names = found.as_ref().map(|all| {
            all.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ")
        });
        let names = names.map_err(Clone::clone).map(|names| match &proxy {
            Some(proxy) => format!("{names}, of the proxy {proxy}"),
            None => names,
        });
        self.add(Step::Resolve, began, names)?;

        let began = Instant::now();
        let addresses = found.unwrap_or_default();
        let connected = connect(&addresses, call("connect"), deadline()).await;
        self.add(Step::Connect, began, connected)?;

        if url.tls() {
            let began = Instant::now();
            let encrypted = encrypt(url, &self.options, call("encrypt")).await;
            self.add(Step::Encrypt, began, encrypted)?;
        }

        let remote = Remote::new(url, &self.options);
        let began = Instant::now();
        let version = remote.version().await;
        let version = version.map(|version| version.unwrap_or("it does not say".into()));
        self.add(Step::Version, began, version)?;

        let began = Instant::now();
        let one = remote.query("SELECT 1", &[]).await;
        let has_token = self.options.token.is_some();
        let with = if has_token { "with the token" } else { "without a token" };
        self.add(Step::Authenticate, began, one.map(|_| with.to_owned()))?;

        let began = Instant::now();
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
        let tables = remote.query(sql, &[]).await;
        let tables = tables.map(|rows| match rows.single() {
            Some(Value::Integer(count)) => format!("tables: {count}"),
            _ => "an odd answer".into(),
        });
        self.add(Step::Read, began, tables);

        let began = Instant::now();
        let written = remote.write_and_undo().await;
        self.add(Step::Write, began, written.map(|()| "a table, rolled back".to_owned()));

        let mut times = vec![];
        for _ in 0..5 {
            let began = Instant::now();
            if let Err(error) = remote.query("SELECT 1", &[]).await {
                return self.add(Step::RoundTrip, began, Err(error));
            }
            times.push(began.elapsed());
        }
        times.sort();
        let took = times[times.len() / 2];
        let result = Ok("median of 5".to_owned());
        self.steps.push(Probed { step: Step::RoundTrip, took, result });
        Some(())
    }

    fn add(&mut self, step: Step, began: Instant, result: Result<String, Error>) -> Option<()> {
        let succeeded = result.is_ok();
        self.steps.push(Probed { step, took: began.elapsed(), result });
        succeeded.then_some(())
    }
}

async fn resolve(
    place: (&str, u16),
    call: Call<'_>,
    deadline: Deadline,
) -> Result<Vec<std::net::SocketAddr>, Error> {
    match timeout_at(deadline.at, lookup_host(place)).await {
        Err(_) => Err(call.timed_out(deadline.after, false)),
        Ok(Err(error)) => Err(call.unreachable(error)),
        Ok(Ok(found)) => {
            let found: Vec<_> = found.collect();
            if found.is_empty() {
                return Err(call.unreachable("the name has no address"));
            }
            Ok(found)
        }
    }
}

async fn connect(
    addresses: &[std::net::SocketAddr],
    call: Call<'_>,
    deadline: Deadline,
) -> Result<String, Error> {
    match timeout_at(deadline.at, TcpStream::connect(addresses)).await {
        Err(_) => Err(call.timed_out(deadline.after, false)),
        Ok(Err(error)) => Err(call.unreachable(error)),
        Ok(Ok(stream)) => Ok(stream.peer_addr().map_or_else(|_| String::new(), |a| a.to_string())),
    }
}

async fn encrypt(url: &RemoteUrl, options: &Options, call: Call<'_>) -> Result<String, Error> {
    let uri = url.base().parse().map_err(|error| call.unreachable(error))?;
    let deadline = Deadline::after(options.connect_timeout);
    match timeout_at(deadline.at, connector(options).call(uri)).await {
        Err(_) => Err(call.timed_out(deadline.after, false)),
        Ok(Err(error)) => Err(call.unreachable(chain(&*error))),
        Ok(Ok(_)) => Ok("the certificate is trusted".into()),
    }
}
