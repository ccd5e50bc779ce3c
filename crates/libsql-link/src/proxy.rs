//! The way to a server through an HTTP proxy, as companies have them: the proxy is asked for a
//! tunnel (`CONNECT`), and what goes through it is the same as without.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use hyper::Uri;
use hyper::client::HttpConnector;
use hyper::service::Service;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::Error;

/// An HTTP proxy. Its password reaches the proxy and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// As the header has it.
    authorization: Option<String>,
}

/// Which proxy a connection goes through.
#[derive(Clone, Debug, Default)]
pub(crate) enum Proxies {
    /// As `HTTPS_PROXY`, `http_proxy`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    OfEnvironment,
    /// Always this one, or none.
    Given(Option<Proxy>),
}

impl Proxy {
    /// Reads `http://host:port`, perhaps with `user:password@`; the scheme may be left out, and the
    /// port is 80 then.
    ///
    /// # Errors
    /// [`Error::BadLocation`] for another scheme, as `socks5`, and for what is no address. The text
    /// is not in it, as it may hold a password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |problem: &str| Error::BadLocation {
            given: "the proxy".into(),
            problem: format!("{problem}; write http://host:port"),
        };
        let rest = match text.trim().split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(bad("only proxies of the scheme http are known")),
            None => text.trim(),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let uri: Uri = format!("http://{place}").parse().map_err(|_| bad("it is no address"))?;
        let host =
            uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
        let authorization = user.map(|user| {
            let user = percent_decoded(user);
            let user = if user.contains(&b':') { user } else { [&user[..], b":"].concat() };
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user))
        });
        Ok(Proxy {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            authorization,
        })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// The address, without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl Proxies {
    /// The proxy on the way to a server; none for this machine itself.
    ///
    /// # Errors
    /// [`Error::BadLocation`] when a variable names none that can be used.
    pub(crate) fn of(&self, tls: bool, host: &str, port: u16) -> Result<Option<Proxy>, Error> {
        match self {
            Proxies::Given(proxy) => Ok(proxy.clone()),
            Proxies::OfEnvironment => {
                let variable =
                    |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
                of_variables(tls, host, port, &variable)
            }
        }
    }
}

fn of_variables(
    tls: bool,
    host: &str,
    port: u16,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, Error> {
    // HTTP_PROXY in capitals can be set by whoever calls a CGI program.
    let names: &[&str] = if tls { &["https_proxy", "HTTPS_PROXY"] } else { &["http_proxy"] };
    let mut all = names.iter().chain(&["all_proxy", "ALL_PROXY"]);
    let Some((name, text)) = all.find_map(|name| Some((name, variable(name)?))) else {
        return Ok(None);
    };
    let is_here = host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let exempt = ["no_proxy", "NO_PROXY"].iter().find_map(|name| variable(name));
    if is_here || exempt.is_some_and(|list| is_exempt(&list, host, port)) {
        return Ok(None);
    }
    Proxy::parse(&text).map(Some).map_err(|error| match error {
        Error::BadLocation { problem, .. } => {
            Error::BadLocation { given: format!("the proxy in {name}"), problem }
        }
        error => error,
    })
}

/// Whether a list such as `intern.example, .local, 10.0.0.7:8080` or `*` names the host, or a domain
/// that it is in.
fn is_exempt(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        if entry == "*" || entry.trim_matches(['[', ']']) == host {
            return true;
        }
        let name = match entry.rsplit_once(':') {
            Some((name, of)) if of.parse() == Ok(port) => name,
            Some((name, of)) if of.parse::<u16>().is_ok() && !name.contains(':') => return false,
            _ => &entry,
        };
        let name = name.trim_matches(['[', ']']).trim_start_matches("*.").trim_matches('.');
        host == name
            || (!name.is_empty()
                && host.strip_suffix(name).is_some_and(|domain| domain.ends_with('.')))
    })
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

/// Connects to a server, or to the proxy before it.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    pub(crate) http: HttpConnector,
    pub(crate) proxies: Proxies,
}

type Failure = Box<dyn StdError + Send + Sync>;

impl Service<Uri> for Tunnel {
    type Response = TcpStream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<TcpStream, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let proxy = match self.proxies.of(tls, host.trim_matches(['[', ']']), port) {
            Ok(proxy) => proxy,
            Err(error) => return Box::pin(async move { Err(error.into()) }),
        };
        let Some(proxy) = proxy else {
            let connecting = self.http.call(uri);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        let address: Uri = match proxy.to_string().parse() {
            Ok(address) => address,
            Err(error) => return Box::pin(async move { Err(Failure::from(error)) }),
        };
        let connecting = self.http.call(address);
        Box::pin(async move {
            let stream = connecting.await.map_err(|error| {
                let reason = crate::error::chain(&error);
                format!("the proxy {proxy} cannot be reached: {reason}; check HTTPS_PROXY")
            })?;
            tunnel(stream, &host, port, &proxy).await
        })
    }
}

/// How long the head of a proxy's answer may be, in bytes.
const HEAD_MAX: usize = 8 << 10;

async fn tunnel(
    mut stream: TcpStream,
    host: &str,
    port: u16,
    proxy: &Proxy,
) -> Result<TcpStream, Failure> {
    let authorization = match &proxy.authorization {
        Some(authorization) => format!("Proxy-Authorization: {authorization}\r\n"),
        None => String::new(),
    };
    let request =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await?;
    // Byte by byte, as what follows the head is not the proxy's.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return Err(format!("the proxy {proxy} closes the connection").into());
        };
        head.push(byte);
        if head.len() > HEAD_MAX {
            return Err(format!("the proxy {proxy} gives no proper answer").into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let line: String = head.lines().next().unwrap_or_default().chars().take(100).collect();
    match line.split_ascii_whitespace().nth(1) {
        Some("200") => Ok(stream),
        Some("407") => Err(format!(
            "the proxy {proxy} asks for a user and a password (407); write \
             http://user:password@host:port"
        )
        .into()),
        _ => Err(format!("the proxy {proxy} does not connect to {host}:{port}: {line}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_proxy_is_read_and_shown_without_its_password() {
        for (text, shown, authorization) in [
            ("http://proxy.example:3128", "http://proxy.example:3128", None),
            ("proxy.example", "http://proxy.example:80", None),
            (
                "HTTP://me:s%40cret@10.0.0.1:8080/",
                "http://10.0.0.1:8080",
                Some("Basic bWU6c0BjcmV0"),
            ),
            ("http://me@[::1]:3128", "http://[::1]:3128", Some("Basic bWU6")),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.to_string(), shown, "{text}");
            assert_eq!(proxy.authorization.as_deref(), authorization, "{text}");
            assert!(!format!("{proxy:?}").contains("cret"));
        }
        for text in ["socks5://me:s3cret@host:1", "https://me:s3cret@host", "http://", "http://a b"]
        {
            let error = Proxy::parse(text).unwrap_err().to_string();
            assert!(error.contains("write http://host:port"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn variables_say_which_way_to_go() {
        let cases: &[(&str, bool, &str, u16, bool)] = &[
            ("HTTPS_PROXY=p:1", true, "db.example", 443, true),
            ("HTTPS_PROXY=p:1", false, "db.example", 80, false),
            ("http_proxy=p:1", false, "db.example", 80, true),
            ("HTTP_PROXY=p:1", false, "db.example", 80, false),
            ("ALL_PROXY=p:1", true, "db.example", 443, true),
            ("ALL_PROXY=p:1", false, "db.example", 80, true),
            ("ALL_PROXY=p:1", false, "localhost", 8080, false),
            ("ALL_PROXY=p:1", false, "127.0.0.1", 8080, false),
            ("ALL_PROXY=p:1", false, "::1", 8080, false),
            ("ALL_PROXY=p:1;NO_PROXY=*", true, "db.example", 443, false),
            ("ALL_PROXY=p:1;NO_PROXY=db.example", true, "DB.example", 443, false),
            ("ALL_PROXY=p:1;NO_PROXY=a, example", true, "db.example", 443, false),
            ("ALL_PROXY=p:1;no_proxy=.example", true, "db.example", 443, false),
            ("ALL_PROXY=p:1;no_proxy=*.example", true, "db.example", 443, false),
            ("ALL_PROXY=p:1;NO_PROXY=xample", true, "db.example", 443, true),
            ("ALL_PROXY=p:1;NO_PROXY=db.example:443", true, "db.example", 443, false),
            ("ALL_PROXY=p:1;NO_PROXY=db.example:8443", true, "db.example", 443, true),
            ("ALL_PROXY=p:1;NO_PROXY=10.0.0.7", false, "10.0.0.7", 80, false),
            ("ALL_PROXY=p:1;NO_PROXY=10.0.0.7", false, "10.0.0.70", 80, true),
            ("ALL_PROXY=p:1;NO_PROXY=fd00::7", false, "fd00::7", 80, false),
            ("ALL_PROXY=p:1;NO_PROXY=,", true, "db.example", 443, true),
            ("ALL_PROXY=", true, "db.example", 443, false),
        ];
        for (variables, tls, host, port, goes) in cases {
            let variable = |name: &str| {
                let value =
                    variables.split(';').find_map(|one| one.strip_prefix(&format!("{name}=")));
                value.filter(|value| !value.is_empty()).map(str::to_owned)
            };
            let proxy = of_variables(*tls, host, *port, &variable).unwrap();
            assert_eq!(proxy.is_some(), *goes, "{variables} {tls} {host}:{port}");
        }
        let bad = |name: &str| (name == "ALL_PROXY").then(|| "socks5://me:s3cret@p".to_owned());
        let error = of_variables(true, "db.example", 443, &bad).unwrap_err().to_string();
        assert!(error.contains("in ALL_PROXY") && !error.contains("s3cret"), "{error}");
    }
}
