//! How far a server's log of changes has got: what its replicas ask before they fetch anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::location::RemoteUrl;
use crate::protobuf::{Field, Fields};

/// What replicas call.
pub(crate) const HELLO: &str = "/wal_log.ReplicationLog/Hello";
/// The first version of the handshake, in which a server keeps nothing about who asks.
const HANDSHAKE: &[u8] = &[1 << 3, 1];
/// The flag of a frame with the outcome of the call.
const TRAILERS: u8 = 0x80;

/// Where a server's log of changes has got to.
///
/// Whoever saw the position, then read the database, and later sees an equal position, knows that
/// nothing was written in between. The other way round it does not hold: a server also moves on
/// when it tidies up its log, and gives a new generation whenever it starts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Which log: another one when the database was made anew.
    pub log: String,
    /// Changes with every start of the server, and so with everything that is done to its files
    /// meanwhile, such as bringing back a backup.
    pub generation: String,
    /// The number of the last page written to the log.
    pub frame: u64,
}

/// The question, as gRPC for browsers writes it: a flag and the length stand before each message.
pub(crate) fn question() -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 0, HANDSHAKE.len().to_le_bytes()[0]];
    frame.extend_from_slice(HANDSHAKE);
    frame
}

/// What this question needs besides the headers of all others.
pub(crate) fn headers(url: &RemoteUrl, all: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(token) = all.get(hyper::header::AUTHORIZATION) {
        headers.insert(HeaderName::from_static("x-authorization"), token.clone());
    }
    // A server with several databases tells them apart by the first part of its name.
    let database = url.host().split_once('.').map_or("default", |(first, _)| first);
    if let Ok(database) = HeaderValue::from_str(&STANDARD.encode(database)) {
        headers.insert(HeaderName::from_static("x-namespace-bin"), database);
    }
    headers
}

/// Reads the answer; `None` unless it is one that says it all.
pub(crate) fn read(body: &Bytes) -> Option<Position> {
    let (mut message, mut succeeded) = (None, false);
    let mut rest = &body[..];
    while !rest.is_empty() {
        let (head, more) = rest.split_at_checked(5)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let (frame, more) = more.split_at_checked(usize::try_from(length).ok()?)?;
        rest = more;
        if head[0] == TRAILERS {
            let outcome = std::str::from_utf8(frame).ok()?;
            let status = outcome.lines().find_map(|line| line.split_once(':'));
            succeeded = status.is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("grpc-status") && value.trim() == "0"
            });
        } else {
            message = Some(frame);
        }
    }
    let (mut log, mut generation, mut frame) = (String::new(), String::new(), None);
    for field in Fields(message.filter(|_| succeeded)?) {
        match field.ok()? {
            (1, field) => generation = field.text().ok()?,
            (3, field) => log = field.text().ok()?,
            (5, Field::Varint(number)) => frame = Some(number),
            _ => {}
        }
    }
    let frame = frame.filter(|_| !log.is_empty() && !generation.is_empty())?;
    Some(Position { log, generation, frame })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Message;

    fn answer(log: &str, frame: Option<u64>, outcome: &str) -> Bytes {
        let mut message = Message::default();
        message.bytes(1, b"generation");
        message.bytes(3, log.as_bytes());
        if let Some(frame) = frame {
            message.varint(5, frame);
        }
        let mut body = Vec::new();
        for (flag, part) in [(0, message.into_bytes()), (TRAILERS, outcome.as_bytes().to_vec())] {
            body.push(flag);
            body.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            body.extend_from_slice(&part);
        }
        body.into()
    }

    #[test]
    fn a_position_is_read_from_a_whole_answer_only() {
        let whole = answer("log", Some(300), "grpc-status:0\r\n");
        let expected = Position { log: "log".into(), generation: "generation".into(), frame: 300 };
        assert_eq!(read(&whole), Some(expected));
        for length in 0..whole.len() {
            assert_eq!(read(&whole.slice(..length)), None, "{length}");
        }
        for incomplete in [
            answer("log", Some(300), "grpc-status:16\r\n"),
            answer("log", None, "grpc-status:0\r\n"),
            answer("", Some(300), "grpc-status:0\r\n"),
            Bytes::from_static(b"<html>not found</html>"),
        ] {
            assert_eq!(read(&incomplete), None);
        }
    }
}
