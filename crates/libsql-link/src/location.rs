//! Where a database is: a file, a server, or a file that follows a server.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hyper::Uri;

use crate::error::Error;

/// A secret that a server asks for, such as a JWT.
///
/// Its text reaches the `Authorization` header and nothing else: `Debug` and `Display` print `…`,
/// and no error contains it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// # Errors
    /// [`Error::BadLocation`] when the text is empty or cannot stand in an HTTP header: it may
    /// contain visible ASCII characters only. White space around it is taken off.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Error> {
        let text = text.as_ref().trim();
        let problem = if text.is_empty() {
            "it is empty"
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            "it contains a character other than visible ASCII"
        } else {
            return Ok(Token(text.to_owned()));
        };
        Err(Error::BadLocation {
            given: "the token".into(),
            problem: format!("{problem}; copy the token again, on one line"),
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// `text` without the token: there are servers that repeat what they are sent.
    pub(crate) fn hidden_in<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.contains(&self.0) { text.replace(&self.0, "…").into() } else { text.into() }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The address of a server: scheme, host, port, path. Never a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteUrl {
    tls: bool,
    /// Without brackets around an IPv6 address.
    host: String,
    port: u16,
    /// Empty, or `/` and more; without a `/` at the end.
    path: String,
}

impl RemoteUrl {
    /// Whether the connection is encrypted.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// A name or an IP address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address with `http://` or `https://`, without `/` at the end.
    pub fn base(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = &self.host;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let path = &self.path;
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => format!("{scheme}://{host}{path}"),
            (_, port) => format!("{scheme}://{host}:{port}{path}"),
        }
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base())
    }
}

/// Where a database is.
///
/// | written | meaning |
/// | --- | --- |
/// | `libsql://host` | a server, encrypted; `?tls=0` for one that is not |
/// | `https://host`, `wss://host` | a server, encrypted |
/// | `http://host:8080`, `ws://host:8080` | a server, not encrypted |
/// | `file:plan.db`, `plan.db`, `/data/plan.db` | a local file |
///
/// A token may stand in the address as `?authToken=`: [`Location::parse`] takes it out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A SQLite file, created when it is missing.
    Local(PathBuf),
    /// A server.
    Remote(RemoteUrl),
    /// A local copy that follows a server: reads are local, writes go to the server.
    Replica { path: PathBuf, url: RemoteUrl },
}

impl Location {
    /// Reads an address; gives the token apart, if the address has one.
    ///
    /// # Errors
    /// [`Error::BadLocation`], which says what was expected. The address in it has no query, for
    /// the token may stand there.
    ///
    /// ```
    /// use libsql_link::Location;
    ///
    /// let (location, token) = Location::parse("libsql://plan.example.org?authToken=secret")?;
    /// assert_eq!(location.to_string(), "https://plan.example.org");
    /// assert_eq!(format!("{:?}", token.unwrap()), "Token(…)");
    ///
    /// assert!(Location::parse("ftp://plan.example.org").is_err());
    /// # Ok::<(), libsql_link::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<(Self, Option<Token>), Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(bad(text, "it is empty; name a file or an address such as libsql://host"));
        }
        let Some((scheme, _)) = text.split_once("://") else {
            let path = text.strip_prefix("file:").unwrap_or(text);
            return local(text, path);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => local(text, text.split_at("file://".len()).1),
            "libsql" => remote(text, None),
            "https" | "wss" => remote(text, Some(true)),
            "http" | "ws" => remote(text, Some(false)),
            _ => Err(bad(
                text,
                "the scheme is unknown; use libsql://, https://, http://, file: or a path",
            )),
        }
    }

    /// The address of the server, if there is one.
    pub fn url(&self) -> Option<&RemoteUrl> {
        match self {
            Location::Local(_) => None,
            Location::Remote(url) | Location::Replica { url, .. } => Some(url),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Local(path) => path.display().fmt(f),
            Location::Remote(url) => url.fmt(f),
            Location::Replica { path, url } => write!(f, "{} (from {url})", path.display()),
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    /// As [`Location::parse`], but an address with a token in it is an error: the token would be
    /// lost.
    fn from_str(text: &str) -> Result<Self, Error> {
        match Location::parse(text)? {
            (location, None) => Ok(location),
            (_, Some(_)) => Err(bad(text, "it contains a token, which must be given apart")),
        }
    }
}

impl FromStr for RemoteUrl {
    type Err = Error;

    /// As [`Location::parse`], for servers only and without a token.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse()? {
            Location::Remote(url) => Ok(url),
            _ => Err(bad(text, "it is a file; the address of a server begins with libsql://")),
        }
    }
}

fn bad(text: &str, problem: &str) -> Error {
    // The query may hold a token, and so may what stands before an `@`.
    let given = text.split(['?', '#']).next().unwrap_or_default();
    let given = match (given.split_once("://"), given.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => given.to_owned(),
    };
    Error::BadLocation { given: format!("bad address `{given}`"), problem: problem.to_owned() }
}

fn local(text: &str, path: &str) -> Result<(Location, Option<Token>), Error> {
    if path.is_empty() {
        return Err(bad(text, "the path is empty; write file: and a path, such as file:plan.db"));
    }
    if path.contains('\0') {
        return Err(bad(text, "a path cannot contain the character NUL"));
    }
    if text.starts_with("file:") && path.contains('?') {
        return Err(bad(text, "a file takes no options after `?`; give the path alone"));
    }
    Ok((Location::Local(PathBuf::from(path)), None))
}

/// `tls`: what the scheme says; `None` leaves it to `?tls=`.
fn remote(text: &str, tls: Option<bool>) -> Result<(Location, Option<Token>), Error> {
    let expected = "expected something like libsql://host or http://localhost:8080";
    // `http` knows no other schemes with an authority; the part after `://` is the same for all.
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    let uri: Uri = format!("http://{rest}").parse().map_err(|_| bad(text, expected))?;
    let authority = uri.authority().ok_or_else(|| bad(text, expected))?;
    if authority.as_str().contains('@') {
        return Err(bad(text, "a user name is not used by libSQL; give a token instead"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(bad(text, expected));
    }
    let mut token = None;
    let mut asked_tls = None;
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("authToken", value) => {
                let value =
                    decode_percent(value).ok_or_else(|| bad(text, "its token is broken"))?;
                token = Some(Token::new(value)?);
            }
            ("tls", "0") => asked_tls = Some(false),
            ("tls", "1") => asked_tls = Some(true),
            ("tls", _) => return Err(bad(text, "`tls` is 0 or 1")),
            (name, _) => {
                let name: String = name.chars().take(40).collect();
                return Err(bad(text, &format!("`{name}` is unknown; known: authToken, tls")));
            }
        }
    }
    let tls = match (tls, asked_tls) {
        (Some(tls), Some(asked)) if tls != asked => {
            return Err(bad(text, "`tls` contradicts the scheme; leave it out"));
        }
        (Some(tls), _) => tls,
        (None, asked) => asked.unwrap_or(true),
    };
    let port = match authority.port_u16() {
        Some(0) => return Err(bad(text, "a port is 1 to 65535")),
        Some(port) => port,
        None if authority.as_str().len() > authority.host().len() => {
            return Err(bad(text, "a port is 1 to 65535"));
        }
        None => {
            if tls {
                443
            } else {
                80
            }
        }
    };
    let path = uri.path().trim_end_matches('/').to_owned();
    Ok((Location::Remote(RemoteUrl { tls, host: host.to_owned(), port, path }), token))
}

fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Location, Option<Token>) {
        Location::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_way_to_write_a_server_gives_its_address() {
        for (text, address) in [
            ("libsql://plan.example.org", "https://plan.example.org"),
            ("LibSQL://plan.example.org/", "https://plan.example.org"),
            ("libsql://localhost:8080?tls=0", "http://localhost:8080"),
            ("libsql://localhost?tls=0", "http://localhost"),
            ("libsql://localhost:8080/?tls=1", "https://localhost:8080"),
            ("https://plan.example.org:443", "https://plan.example.org"),
            ("http://plan.example.org:443", "http://plan.example.org:443"),
            ("http://127.0.0.1:8080/a/b/", "http://127.0.0.1:8080/a/b"),
            ("ws://localhost:8080", "http://localhost:8080"),
            ("wss://plan.example.org#part", "https://plan.example.org"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            let (location, token) = parsed(text);
            assert_eq!(location.to_string(), address, "{text}");
            assert_eq!(token, None, "{text}");
            assert_eq!(location.url().unwrap().base().parse::<Location>().unwrap(), location);
        }
    }

    #[test]
    fn every_way_to_write_a_file_gives_its_path() {
        for (text, path) in [
            ("plan.db", "plan.db"),
            ("./a b/plan.db", "./a b/plan.db"),
            ("/data/plan.db", "/data/plan.db"),
            ("file:plan.db", "plan.db"),
            ("file:/data/plan.db", "/data/plan.db"),
            ("file:///data/plan.db", "/data/plan.db"),
            ("what?.db", "what?.db"),
        ] {
            assert_eq!(parsed(text), (Location::Local(path.into()), None), "{text}");
        }
    }

    #[test]
    fn a_token_in_the_address_is_taken_out_of_it() {
        let (location, token) = parsed("libsql://h:1?tls=0&authToken=a.b%2Dc");
        assert_eq!(location.to_string(), "http://h:1");
        assert_eq!(token.unwrap().text(), "a.b-c");
        let error = "libsql://h?authToken=abc".parse::<Location>().unwrap_err();
        assert!(!error.to_string().contains("abc"), "{error}");
    }

    #[test]
    fn a_bad_address_is_an_error_that_says_what_was_expected_and_hides_what_may_be_secret() {
        for (text, says) in [
            ("", "empty"),
            ("file:", "path is empty"),
            ("ftp://h", "scheme is unknown"),
            ("libsql://", "expected something like"),
            ("http://h:99999", "port"),
            ("http://h:0", "port"),
            ("http://h:", "port"),
            ("http://h?tls=2&authToken=s3cret", "`tls` is 0 or 1"),
            ("http://h?tls=1&authToken=s3cret", "contradicts"),
            ("https://h?tls=0&authToken=s3cret", "contradicts"),
            ("https://h?authTokn=s3cret", "authTokn"),
            ("https://h?authToken=s3cret%", "token is broken"),
            ("https://h?authToken=", "empty"),
            ("https://me:s3cret@h", "user name"),
            ("file:plan.db?authToken=s3cret", "no options"),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert!(matches!(error, Error::BadLocation { .. }), "{text}: {error:?}");
            let message = format!("{error} {error:?}");
            assert!(message.contains(says), "{text}: {message}");
            assert!(!message.contains("s3cret"), "{text}: {message}");
        }
    }

    #[test]
    fn a_token_prints_as_an_ellipsis() {
        let token = Token::new(" s3cret\n").unwrap();
        assert_eq!(format!("{token} {token:?}"), "… Token(…)");
        assert_eq!(token.text(), "s3cret");
        for bad in ["", "a b", "a\nb", "é"] {
            assert!(Token::new(bad).is_err(), "{bad:?}");
        }
    }
}
