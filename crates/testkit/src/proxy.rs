//! A network that misbehaves, between a client and a real server.
//!
//! Bytes pass through untouched until the test says otherwise; then they are delayed, cut off,
//! swallowed, or answered with a lie. All orders count for connections that are open and for those
//! to come, until [`Proxy::resume`]. When an order returns it holds: what it breaks is broken.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// A proxy on a free port of this machine.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    delay_one_way: Duration,
    cut: Option<(Direction, u64)>,
    cut_next_response: bool,
    /// What requests are answered with whose beginning has these bytes.
    answered: Option<(Vec<u8>, Vec<u8>)>,
    connections: u64,
    requests: u64,
    bytes_to_server: u64,
    bytes_to_client: u64,
    /// Those that are open.
    pairs: Vec<Arc<Pair>>,
    /// One more whenever all connections break, for those that are just being made.
    generation: u64,
    gone: bool,
}

impl State {
    fn break_connections(&mut self) {
        self.generation += 1;
        for pair in self.pairs.drain(..) {
            pair.close();
        }
    }
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Mode {
    #[default]
    Pass,
    Silent,
    Refuse,
    /// What every request is answered with.
    Lie(Vec<u8>),
}

impl Proxy {
    /// A proxy that passes everything on to `upstream`, such as
    /// [`Sqld::address`](crate::sqld::Sqld::address).
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no free port");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { upstream, state, changed: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if for_thread.lock().gone {
                    break;
                }
                let shared = Arc::clone(&for_thread);
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Proxy { address, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Delays every byte by half of `round_trip` in each direction. What is sent meanwhile is on its
    /// way at the same time, as in a real network.
    pub fn set_delay(&self, round_trip: Duration) {
        self.order(|state| state.delay_one_way = round_trip / 2);
    }

    /// Lets `bytes` more bytes pass in this direction, on all connections together; then breaks all
    /// connections, and every new one, until [`resume`](Proxy::resume).
    pub fn cut_after_bytes(&self, direction: Direction, bytes: u64) {
        self.order(|state| state.cut = Some((direction, bytes)));
    }

    /// Lets the next request through, waits until the server answers, and breaks the connection
    /// without passing on a byte of that answer. Once; everything after that passes.
    pub fn cut_next_response(&self) {
        self.order(|state| state.cut_next_response = true);
    }

    /// Accepts connections and requests, passes nothing on and answers nothing.
    pub fn answer_nothing(&self) {
        self.order(|state| state.mode = Mode::Silent);
    }

    /// Breaks every connection, old and new, at its first byte.
    pub fn refuse(&self) {
        self.order(|state| state.mode = Mode::Refuse);
    }

    /// Answers every request itself, with this status and body.
    pub fn lie(&self, status: u16, body: &str) {
        self.lie_bytes(answer(status, body));
    }

    /// Answers requests to addresses that begin with `path` as a server that does not know them,
    /// with 404, and passes all others on.
    pub fn know_not(&self, path: &str) {
        self.lie_to(&format!("POST {path}"), 404, "");
    }

    /// Answers requests itself that have `part` in their head, or among the first bytes of their
    /// body, and passes all others on.
    pub fn lie_to(&self, part: &str, status: u16, body: &str) {
        let answered = Some((part.as_bytes().to_vec(), answer(status, body)));
        self.order(|state| state.answered = answered);
    }

    /// Answers every request itself, with these bytes, and closes the connection.
    pub fn lie_bytes(&self, answer: impl Into<Vec<u8>>) {
        let answer = answer.into();
        self.order(|state| state.mode = Mode::Lie(answer));
    }

    /// Passes everything through again. The delay stays. Connections with bytes that were held back
    /// break; those that were idle go on, so that a client that keeps them meets no fault any more.
    pub fn resume(&self) {
        self.order(|state| {
            for pair in &state.pairs {
                if pair.server.is_none() || pair.holds_back() {
                    pair.close();
                }
            }
            state.mode = Mode::Pass;
            state.cut = None;
            state.cut_next_response = false;
            state.answered = None;
        });
    }

    /// Breaks all connections that are open now.
    pub fn break_connections(&self) {
        self.order(State::break_connections);
    }

    /// Connections that clients have made so far.
    pub fn connections(&self) -> u64 {
        self.shared.lock().connections
    }

    /// HTTP requests that clients have sent so far.
    pub fn requests(&self) -> u64 {
        self.shared.lock().requests
    }

    /// Bytes that were passed on so far in this direction.
    pub fn bytes(&self, direction: Direction) -> u64 {
        let state = self.shared.lock();
        match direction {
            Direction::ToServer => state.bytes_to_server,
            Direction::ToClient => state.bytes_to_client,
        }
    }

    fn order(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.lock());
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.order(|state| {
            state.gone = true;
            state.break_connections();
        });
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

/// What becomes of some bytes that arrived.
enum Fate {
    Pass,
    /// Only the first so many bytes, then everything breaks.
    PassThenBreak(usize),
    Break,
    Answer(Vec<u8>),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a thread panicked")
    }

    fn serve(self: &Arc<Self>, client: TcpStream) {
        let (mode, generation) = {
            let mut state = self.lock();
            state.connections += 1;
            (state.mode.clone(), state.generation)
        };
        if mode == Mode::Refuse {
            return;
        }
        // In every other mode, too: it is needed when the proxy resumes.
        let server = TcpStream::connect(self.upstream).ok();
        if mode == Mode::Pass && server.is_none() {
            return;
        }
        for stream in server.iter().chain([&client]) {
            let _ = stream.set_nodelay(true);
        }
        let (closed, held) = (AtomicBool::new(false), AtomicBool::new(false));
        let pair = Arc::new(Pair { client, server, closed, held });
        {
            let mut state = self.lock();
            if state.generation != generation {
                return;
            }
            state.pairs.push(Arc::clone(&pair));
        }
        for direction in [Direction::ToServer, Direction::ToClient] {
            if let Some((from, to)) = pair.ways(direction) {
                let (shared, pair) = (Arc::clone(self), Arc::clone(&pair));
                std::thread::spawn(move || {
                    shared.pump(direction, from, to, &pair);
                    pair.close();
                    shared.lock().pairs.retain(|one| !Arc::ptr_eq(one, &pair));
                    shared.changed.notify_all();
                });
            }
        }
    }

    /// Reads one way of a connection to its end. What passes is written by a thread of its own, when
    /// its delay is over.
    fn pump(
        self: &Arc<Self>,
        direction: Direction,
        mut from: TcpStream,
        to: Option<TcpStream>,
        pair: &Arc<Pair>,
    ) {
        let (passed_on, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
        let writer = to.map(|to| {
            let (shared, pair) = (Arc::clone(self), Arc::clone(pair));
            std::thread::spawn(move || shared.write_delayed(&arriving, to, &pair))
        });
        let mut buffer = vec![0; 64 * 1024];
        let mut cuts = false;
        loop {
            let count = match from.read(&mut buffer) {
                Ok(count @ 1..) => count,
                // It is just being looked at whether bytes wait here.
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                _ => break,
            };
            let bytes = &buffer[..count];
            let (fate, delay) = self.decide(direction, bytes, pair);
            let passing = match &fate {
                Fate::Pass => count,
                Fate::PassThenBreak(count) => *count,
                Fate::Break | Fate::Answer(_) => 0,
            };
            if passing > 0 && writer.is_some() {
                // Fails when the other side is gone, which the next read tells.
                let _ = passed_on.send((Instant::now() + delay, bytes[..passing].to_vec()));
            }
            match fate {
                Fate::Pass => {}
                Fate::PassThenBreak(_) => {
                    cuts = true;
                    break;
                }
                Fate::Break => break,
                Fate::Answer(answer) => {
                    read_rest(&mut from, bytes);
                    let _ = from.write_all(&answer);
                    break;
                }
            }
        }
        drop(passed_on);
        if let Some(writer) = writer {
            // What has passed arrives before the connection breaks.
            let _ = writer.join();
        }
        let mut state = self.lock();
        // Unless it was taken back meanwhile.
        if cuts && state.cut == Some((direction, 0)) {
            state.cut = None;
            state.mode = Mode::Refuse;
            state.break_connections();
            drop(state);
            self.changed.notify_all();
        }
    }

    fn decide(&self, direction: Direction, bytes: &[u8], pair: &Pair) -> (Fate, Duration) {
        let mut state = self.lock();
        let request = [&b"GET "[..], b"POST ", b"PUT "].iter().any(|one| bytes.starts_with(one));
        if direction == Direction::ToServer && request {
            state.requests += 1;
        }
        while state.mode == Mode::Silent && !pair.is_closed() {
            pair.held.store(true, Ordering::Release);
            state = self.changed.wait(state).expect("a thread panicked");
        }
        if pair.is_closed() || state.mode == Mode::Refuse {
            return (Fate::Break, Duration::ZERO);
        }
        if let (Mode::Lie(answer), Direction::ToServer) = (&state.mode, direction) {
            return (Fate::Answer(answer.clone()), Duration::ZERO);
        }
        if let (Some((part, answer)), Direction::ToServer) = (&state.answered, direction)
            && bytes.windows(part.len()).any(|bytes| bytes == part)
        {
            return (Fate::Answer(answer.clone()), Duration::ZERO);
        }
        if direction == Direction::ToClient && state.cut_next_response {
            state.cut_next_response = false;
            return (Fate::Break, Duration::ZERO);
        }
        let delay = state.delay_one_way;
        let count = bytes.len() as u64;
        let (fate, passing) = match state.cut {
            Some((cut, rest)) if cut == direction && rest <= count => {
                state.cut = Some((cut, 0));
                (Fate::PassThenBreak(usize::try_from(rest).expect("at most a buffer")), rest)
            }
            Some((cut, rest)) if cut == direction => {
                state.cut = Some((cut, rest - count));
                (Fate::Pass, count)
            }
            _ => (Fate::Pass, count),
        };
        match direction {
            Direction::ToServer => state.bytes_to_server += passing,
            Direction::ToClient => state.bytes_to_client += passing,
        }
        (fate, delay)
    }

    fn write_delayed(
        &self,
        arriving: &Receiver<(Instant, Vec<u8>)>,
        mut to: TcpStream,
        pair: &Pair,
    ) {
        for (at, bytes) in arriving {
            let mut state = self.lock();
            loop {
                let rest = at.saturating_duration_since(Instant::now());
                if rest.is_zero() || pair.is_closed() {
                    break;
                }
                state = self.changed.wait_timeout(state, rest).expect("a thread panicked").0;
            }
            drop(state);
            if pair.is_closed() || to.write_all(&bytes).is_err() {
                pair.close();
                return;
            }
        }
    }
}

/// The two connections that are one to client and server.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    /// `None` where nobody listened and nothing was to be passed on.
    server: Option<TcpStream>,
    closed: AtomicBool,
    /// Whether bytes were read that a silent proxy did not pass on.
    held: AtomicBool,
}

impl Pair {
    /// Where bytes of this direction are read, and where they are written.
    fn ways(&self, direction: Direction) -> Option<(TcpStream, Option<TcpStream>)> {
        let client = self.client.try_clone().ok()?;
        let server = self.server.as_ref().and_then(|server| server.try_clone().ok());
        match direction {
            Direction::ToServer => Some((client, server)),
            Direction::ToClient => server.map(|server| (server, Some(client))),
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let _ = self.client.shutdown(Shutdown::Both);
        if let Some(server) = &self.server {
            let _ = server.shutdown(Shutdown::Both);
        }
    }

    /// Whether bytes have arrived that were not passed on, or not even read.
    fn holds_back(&self) -> bool {
        let waiting = |stream: &TcpStream| {
            let _ = stream.set_nonblocking(true);
            let peeked = stream.peek(&mut [0]);
            let _ = stream.set_nonblocking(false);
            // An end that waits is as good as bytes.
            !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
        };
        self.held.load(Ordering::Acquire)
            || waiting(&self.client)
            || self.server.as_ref().is_some_and(waiting)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// An answer after which the connection ends.
fn answer(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Reads an HTTP request to the end of its body, so that the client has sent all before it is
/// answered.
fn read_rest(from: &mut TcpStream, first: &[u8]) {
    let mut request = first.to_vec();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let head = request.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length = length.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or(0);
            if request.len() >= head + 4 + length {
                return;
            }
        }
        match from.read(&mut buffer) {
            Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every byte with the same byte.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut writes = client.try_clone().unwrap();
                    let mut reads = client;
                    let _ = std::io::copy(&mut reads, &mut writes);
                });
            }
        });
        address
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.address()).unwrap()
    }

    fn read_all(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    }

    #[test]
    fn bytes_pass_and_come_back() {
        let proxy = Proxy::start(echo());
        proxy.set_delay(Duration::from_millis(10));
        let mut client = connect(&proxy);
        client.write_all(b"there and back").unwrap();
        let mut back = [0; 14];
        client.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"there and back");
        assert_eq!((proxy.connections(), proxy.bytes(Direction::ToServer)), (1, 14));
    }

    #[test]
    fn the_connection_breaks_after_the_given_byte_and_new_ones_break_too() {
        for (direction, arrives) in
            [(Direction::ToClient, &b"abc"[..]), (Direction::ToServer, b"abc")]
        {
            let proxy = Proxy::start(echo());
            proxy.cut_after_bytes(direction, 3);
            let mut client = connect(&proxy);
            client.write_all(b"abcdef").unwrap();
            let back = read_all(&mut client);
            assert!(arrives.starts_with(&back), "{direction:?}: {back:?}");
            assert_eq!(proxy.bytes(direction), 3, "{direction:?}");
            assert_eq!(read_all(&mut connect(&proxy)), b"");
            proxy.resume();
            let mut client = connect(&proxy);
            client.write_all(b"x").unwrap();
            let mut back = [0];
            client.read_exact(&mut back).unwrap();
        }
    }

    #[test]
    fn the_answer_that_is_cut_off_was_given() {
        let proxy = Proxy::start(echo());
        proxy.cut_next_response();
        let mut client = connect(&proxy);
        client.write_all(b"abc").unwrap();
        assert_eq!(read_all(&mut client), b"");
        assert_eq!(proxy.bytes(Direction::ToServer), 3);
        let mut client = connect(&proxy);
        client.write_all(b"x").unwrap();
        let mut back = [0];
        client.read_exact(&mut back).unwrap();
    }

    #[test]
    fn a_silent_proxy_holds_connections_until_it_resumes() {
        let proxy = Proxy::start(echo());
        let mut old = connect(&proxy);
        old.write_all(b"x").unwrap();
        old.read_exact(&mut [0]).unwrap();
        proxy.answer_nothing();
        let mut new = connect(&proxy);
        for client in [&mut old, &mut new] {
            client.write_all(b"y").unwrap();
            client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let error = client.read(&mut [0]).unwrap_err();
            assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock), "{error:?}");
            client.set_read_timeout(None).unwrap();
        }
        proxy.resume();
        for client in [&mut old, &mut new] {
            assert_eq!(read_all(client), b"");
        }
    }

    #[test]
    fn what_was_idle_while_the_proxy_was_silent_goes_on() {
        let proxy = Proxy::start(echo());
        let mut before = connect(&proxy);
        before.write_all(b"x").unwrap();
        before.read_exact(&mut [0]).unwrap();
        proxy.answer_nothing();
        let mut meanwhile = connect(&proxy);
        proxy.resume();
        for client in [&mut before, &mut meanwhile] {
            client.write_all(b"y").unwrap();
            client.read_exact(&mut [0]).unwrap();
        }
    }

    #[test]
    fn when_an_order_to_break_returns_the_connection_is_broken() {
        let proxy = Proxy::start(echo());
        for _ in 0..100 {
            let mut client = connect(&proxy);
            client.write_all(b"x").unwrap();
            client.read_exact(&mut [0]).unwrap();
            proxy.break_connections();
            client.set_nonblocking(true).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
    }

    #[test]
    fn a_lie_is_told_to_every_request() {
        let proxy = Proxy::start(echo());
        proxy.lie(500, "no");
        let mut client = connect(&proxy);
        client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        let answer = String::from_utf8(read_all(&mut client)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 500 ") && answer.ends_with("\r\n\r\nno"), "{answer}");
        assert_eq!((proxy.requests(), proxy.bytes(Direction::ToServer)), (1, 0));
    }
}
