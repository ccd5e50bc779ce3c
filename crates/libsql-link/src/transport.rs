//! HTTP with deadlines: connections that give up, and requests that know whether they were sent.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Bytes, HttpBody};
use hyper::client::HttpConnector;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use hyper::{Client, Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};

use crate::error::{Call, Error, chain};
use crate::location::{RemoteUrl, Token};
use crate::options::Options;
use crate::position;
use crate::proxy::Tunnel;

/// Connections that end by themselves: connecting has a limit, and so has every silence of the
/// other side. The latter is what ends calls of the libsql crate that cannot be cancelled.
pub(crate) type Connector = TimeoutConnector<HttpsConnector<Tunnel>>;

pub(crate) fn connector(options: &Options) -> Connector {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(Duration::from_mins(1)));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls(&options.certificates))
        .https_or_http()
        .enable_http1()
        .wrap_connector(Tunnel { http, proxies: options.proxies.clone() });
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(Some(options.connect_timeout.min(options.call_timeout)));
    connector.set_read_timeout(Some(options.call_timeout));
    connector.set_write_timeout(Some(options.call_timeout));
    connector
}

/// Trusts what the machine trusts, `more`, and on a machine without certificates of its own those
/// that browsers trust.
fn tls(more: &[CertificateDer<'static>]) -> ClientConfig {
    static OF_THE_MACHINE: OnceLock<RootCertStore> = OnceLock::new();
    let mut roots = OF_THE_MACHINE
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            // What cannot be read is as good as not there.
            roots.add_parsable_certificates(
                rustls_native_certs::load_native_certs().unwrap_or_default(),
            );
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
            roots
        })
        .clone();
    roots.add_parsable_certificates(more.iter().cloned());
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// How a request and its answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Protobuf,
    GrpcWeb,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::GrpcWeb => "application/grpc-web+proto",
        }
    }
}

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<Connector, Body>,
    url: RemoteUrl,
    base: String,
    headers: HeaderMap,
    answer_max_bytes: usize,
    token: Option<Token>,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
    /// What must not be repeated.
    token: Option<Token>,
}

impl Answer {
    /// The first line or so of what the server says, for an error.
    pub(crate) fn says(&self) -> String {
        // More than is shown, so that no token is cut where it is not recognized any more.
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(64 * 1024)]);
        // Servers answer with a text, or with JSON that has the text under `error`.
        let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let text = match json.as_ref().and_then(|json| json.get("error")?.as_str()) {
            Some(error) => error,
            None => text.trim(),
        };
        let text = self.token.as_ref().map_or(text.into(), |token| token.hidden_in(text));
        let line: String =
            text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if line.is_empty() {
            format!("it answers {}", self.status)
        } else {
            format!("it answers {}: {line}", self.status)
        }
    }
}

impl Http {
    pub(crate) fn new(url: &RemoteUrl, options: &Options) -> Self {
        let client = Client::builder()
            // Shorter than what servers and what stands before them close idle connections after.
            .pool_idle_timeout(Duration::from_secs(8))
            .build(connector(options));
        let mut headers = HeaderMap::new();
        if let Some(token) = &options.token {
            headers.insert(AUTHORIZATION, bearer(token));
        }
        Http {
            client,
            url: url.clone(),
            base: url.base(),
            headers,
            answer_max_bytes: options.answer_max_bytes,
            token: options.token.clone(),
        }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// # Errors
    /// Only when no whole answer came; every status is an answer.
    pub(crate) async fn get(
        &self,
        path: &str,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Error> {
        self.send(Method::GET, &format!("{}{path}", self.base), None, None, call, deadline).await
    }

    pub(crate) async fn post(
        &self,
        base: &str,
        path: &str,
        encoding: Encoding,
        request: Vec<u8>,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Error> {
        let uri = format!("{base}{path}");
        self.send(Method::POST, &uri, Some((encoding, request)), None, call, deadline).await
    }

    /// Asks where the log of changes has got to.
    pub(crate) async fn hello(&self, call: Call<'_>, deadline: Deadline) -> Result<Answer, Error> {
        let uri = format!("{}{}", self.base, position::HELLO);
        let question = Some((Encoding::GrpcWeb, position::question()));
        let headers = Some(position::headers(&self.url, &self.headers));
        self.send(Method::POST, &uri, question, headers, call, deadline).await
    }

    async fn send(
        &self,
        method: Method,
        uri: &str,
        body: Option<(Encoding, Vec<u8>)>,
        more_headers: Option<HeaderMap>,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Error> {
        let sent = Arc::new(AtomicBool::new(false));
        let mut request = Request::new(Body { rest: None, sent: Arc::clone(&sent) });
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().map_err(|error| call.unreachable(error))?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(more_headers.unwrap_or_default());
        let has_body = body.is_some();
        if let Some((encoding, body)) = body {
            let name = HeaderValue::from_static(encoding.name());
            request.headers_mut().insert(CONTENT_TYPE, name);
            request.body_mut().rest = Some(body.into());
        }
        let answer = timeout_at(deadline.at, self.exchange(request, call)).await;
        // Without a body, only a connection that never came about says that nothing was sent.
        let sent = sent.load(Ordering::Acquire) || !has_body;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Failure::Hyper(error))) => Err(from_hyper(&error, sent, call, deadline)),
            Ok(Err(Failure::Other(error))) => Err(error),
            Err(_) => Err(call.timed_out(deadline.after, sent)),
        }
    }

    async fn exchange(&self, request: Request<Body>, call: Call<'_>) -> Result<Answer, Failure> {
        let response = self.client.request(request).await.map_err(Failure::Hyper)?;
        let status = response.status();
        if status.is_redirection() {
            let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
            // Neither the token nor a change goes to where nobody sent it.
            let place = place.unwrap_or("an address that it does not give");
            let place = place.split('?').next().unwrap_or_default();
            let reason = format!("it answers {status}, pointing to {place}; use that address");
            return Err(Failure::Other(call.protocol(Some(status.as_u16()), reason)));
        }
        let mut body = response.into_body();
        // As long as it says, but nobody makes this program ask for memory by saying so.
        let length = body.size_hint().lower().min(16 << 20);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        while let Some(part) = body.data().await {
            let part = part.map_err(Failure::Hyper)?;
            if bytes.len() + part.len() > self.answer_max_bytes {
                let most = self.answer_max_bytes;
                let reason = format_args!("its answer exceeds {most} bytes");
                return Err(Failure::Other(call.too_large(reason)));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Answer { status, body: bytes, token: self.token.clone() })
    }
}

enum Failure {
    Hyper(hyper::Error),
    Other(Error),
}

fn from_hyper(error: &hyper::Error, sent: bool, call: Call<'_>, deadline: Deadline) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut timed_out = false;
    while let Some(error) = cause {
        timed_out |= error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        cause = error.source();
    }
    if timed_out {
        return call.timed_out(deadline.after, sent);
    }
    let reason = chain(error);
    if error.is_connect() || !sent { call.unreachable(reason) } else { call.lost(reason) }
}

fn bearer(token: &Token) -> HeaderValue {
    // A token is visible ASCII, which every header takes.
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.text()))
        .unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// When a call has to have ended, and what was allowed for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) after: Duration,
}

impl Deadline {
    pub(crate) fn after(after: Duration) -> Self {
        // A deadline beyond what the clock can tell is one in some years.
        let years = Duration::from_hours(26280);
        Deadline { at: Instant::now() + after.min(years), after }
    }
}

/// A body in one piece that notes when it is taken to be sent. A request whose body was never taken
/// has certainly not been carried out.
pub(crate) struct Body {
    rest: Option<Bytes>,
    sent: Arc<AtomicBool>,
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_data(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.sent.store(true, Ordering::Release);
        Poll::Ready(self.rest.take().map(Ok))
    }

    fn poll_trailers(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Infallible>> {
        Poll::Ready(Ok(None))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.rest.as_ref().map_or(0, |rest| rest.len() as u64))
    }
}
