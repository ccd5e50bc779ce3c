//! A small server of libSQL's protocol for offline writes, which sqld does not have.
//!
//! It keeps generations of a database, each an image and the frames of a write-ahead log after it,
//! and serves them as the real client (libsql 0.10.0, `src/sync.rs`) asks for them: `/info`,
//! `/export/G`, `/sync/G/FROM/TO`. SQL over `/v3/pipeline` is answered from the same pages, for
//! single statements.
//!
//! It uses SQLite: a test that also uses the libsql crate calls `libsql_link::initialize` before.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

/// The only page size that the protocol knows.
const PAGE: usize = 4096;
const FRAME_HEADER: usize = 24;
const FRAME: usize = FRAME_HEADER + PAGE;
const WAL_HEADER: usize = 32;

/// A server on a free port of this machine.
#[derive(Debug)]
pub struct OfflineServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Generation 1 first; the last one is the current one.
    generations: Vec<Generation>,
    token: Option<String>,
    swallow: bool,
    spoil: bool,
    gone: bool,
}

#[derive(Debug)]
struct Generation {
    image: Vec<u8>,
    /// Frame 1 first, [`FRAME`] bytes each.
    frames: Vec<Vec<u8>>,
}

impl OfflineServer {
    /// A server whose database holds what `sql` makes.
    pub fn start(sql: &str) -> Self {
        let image = run_on_image(None, |connection| {
            connection.execute_batch("PRAGMA page_size = 4096").expect("a page size");
            connection.execute_batch(sql).expect("the database can be made");
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no free port");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State {
            generations: vec![Generation { image, frames: vec![] }],
            token: None,
            swallow: false,
            spoil: false,
            gone: false,
        }));
        let for_thread = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if for_thread.lock().expect("a thread panicked").gone {
                    break;
                }
                let state = Arc::clone(&for_thread);
                std::thread::spawn(move || serve(client, &state));
            }
        });
        OfflineServer { address, state }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, only requests with this token are answered.
    pub fn require_token(&self, token: &str) {
        self.lock().token = Some(token.to_owned());
    }

    /// From now on, frames that are pushed are welcomed and thrown away.
    pub fn swallow_pushes(&self, swallow: bool) {
        self.lock().swallow = swallow;
    }

    /// From now on, one byte of every page that is pushed is kept wrong.
    pub fn spoil_pushes(&self, spoil: bool) {
        self.lock().spoil = spoil;
    }

    /// Changes the database as another client does.
    pub fn execute(&self, sql: &str) {
        let mut state = self.lock();
        let image = state.current().materialized();
        let frames = frames_of(&image, sql);
        state.current().frames.extend(frames);
    }

    /// Writes the log into the image and begins the next generation.
    pub fn checkpoint(&self) {
        let mut state = self.lock();
        let image = state.current().materialized();
        state.generations.push(Generation { image, frames: vec![] });
    }

    /// The first column of the first row, as text.
    pub fn query(&self, sql: &str) -> String {
        let image = self.lock().current().materialized();
        let mut answer = String::new();
        run_on_image(Some(&image), |connection| {
            answer = connection
                .query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0))
                .map_or_else(|error| panic!("{sql}: {error}"), |value| format!("{value:?}"));
        });
        answer
    }

    /// Frames in the log of the current generation.
    pub fn frames(&self) -> usize {
        self.lock().current().frames.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a thread panicked")
    }
}

impl Drop for OfflineServer {
    fn drop(&mut self) {
        self.lock().gone = true;
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn current(&mut self) -> &mut Generation {
        self.generations.last_mut().expect("there is always one")
    }

    fn answer(&mut self, request: &Request) -> (u16, Vec<u8>) {
        let expected = self.token.as_ref().map(|token| format!("Bearer {token}"));
        if expected.is_some() && request.authorization != expected {
            return (401, b"Unauthorized".to_vec());
        }
        let generation = self.generations.len();
        let parts: Vec<&str> = request.path.split('/').skip(1).collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["info"]) => {
                (200, json!({ "current_generation": generation }).to_string().into())
            }
            ("GET", ["version"]) => (200, b"offline server of the tests".to_vec()),
            ("GET", ["health"]) => (200, vec![]),
            ("GET", ["export", asked]) => match self.generation(asked) {
                Some(one) => (200, one.image.clone()),
                None => (404, b"no such generation".to_vec()),
            },
            ("GET", ["sync", asked, from, to]) => {
                let end = json!({ "generation": generation }).to_string().into_bytes();
                match (self.generation(asked), from.parse::<usize>(), to.parse::<usize>()) {
                    (Some(one), Ok(from @ 1..), Ok(to)) if from < to => {
                        let frames = one.frames.iter().skip(from - 1).take(to - from);
                        let frames: Vec<u8> = frames.flatten().copied().collect();
                        if frames.is_empty() { (400, end) } else { (200, frames) }
                    }
                    _ => (404, b"no such frames".to_vec()),
                }
            }
            ("POST", ["sync", asked, from, _to, ..]) => {
                let next = self.current().frames.len() + 1;
                let fits = *asked == generation.to_string() && *from == next.to_string();
                if !fits || !request.body.len().is_multiple_of(FRAME) {
                    let answer = json!({
                        "status": "conflict", "generation": generation, "max_frame_no": next - 1
                    });
                    return (200, answer.to_string().into());
                }
                let count = request.body.len() / FRAME;
                let (swallow, spoil) = (self.swallow, self.spoil);
                if !swallow {
                    let frames = request.body.chunks(FRAME).map(|frame| {
                        let mut frame = frame.to_vec();
                        if spoil {
                            frame[FRAME - 1] ^= 1;
                        }
                        frame
                    });
                    self.current().frames.extend(frames);
                }
                let answer = json!({
                    "status": "ok", "generation": generation, "max_frame_no": next - 1 + count
                });
                (200, answer.to_string().into())
            }
            ("POST", ["v3", "pipeline"]) => {
                (200, pipeline(&self.current().materialized(), &request.body).to_string().into())
            }
            _ => (404, vec![]),
        }
    }

    fn generation(&self, asked: &str) -> Option<&Generation> {
        self.generations.get(asked.parse::<usize>().ok()?.checked_sub(1)?)
    }
}

impl Generation {
    /// The database after the last transaction of the log.
    fn materialized(&self) -> Vec<u8> {
        let mut image = self.image.clone();
        let mut pending: Vec<&Vec<u8>> = vec![];
        for frame in &self.frames {
            let number = |at: usize| {
                u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes")) as usize
            };
            pending.push(frame);
            let pages = number(4);
            if pages == 0 {
                continue;
            }
            image.resize(pages * PAGE, 0);
            for frame in pending.drain(..) {
                let page = u32::from_be_bytes(frame[..4].try_into().expect("four bytes")) as usize;
                if page <= pages {
                    image[(page - 1) * PAGE..page * PAGE].copy_from_slice(&frame[FRAME_HEADER..]);
                }
            }
        }
        image
    }
}

/// Runs `work` on a database of these pages; gives the pages afterwards.
fn run_on_image(image: Option<&[u8]>, work: impl FnOnce(&rusqlite::Connection)) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("no temporary folder");
    let path = folder.path().join("image.db");
    if let Some(image) = image {
        std::fs::write(&path, image).expect("the image can be written");
    }
    let connection = rusqlite::Connection::open(&path).expect("the image opens");
    work(&connection);
    // As the real server's images are.
    connection.execute_batch("PRAGMA journal_mode = WAL").expect("WAL");
    drop(connection);
    std::fs::read(&path).expect("the image can be read")
}

/// The frames that `sql` puts into the log of a database of these pages.
fn frames_of(image: &[u8], sql: &str) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("no temporary folder");
    let path = folder.path().join("image.db");
    std::fs::write(&path, image).expect("the image can be written");
    let connection = open_unchecked(&path);
    connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    drop(connection);
    let wal = std::fs::read(folder.path().join("image.db-wal")).unwrap_or_default();
    wal.get(WAL_HEADER..).unwrap_or_default().chunks_exact(FRAME).map(<[u8]>::to_vec).collect()
}

/// A connection in WAL mode that never writes its log into the database, as libSQL keeps databases
/// with offline writes: what an application does that writes to one.
pub fn open_unchecked(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).expect("it opens");
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .expect("the setting exists");
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")
        .expect("WAL");
    connection
}

/// Answers a pipeline of single statements without parameters.
fn pipeline(image: &[u8], body: &[u8]) -> Value {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut results = vec![];
    run_on_image(Some(image), |connection| {
        for request in asked["requests"].as_array().into_iter().flatten() {
            results.push(match request["type"].as_str() {
                Some("execute") => {
                    let sql = request["stmt"]["sql"].as_str().unwrap_or_default();
                    match execute(connection, sql) {
                        Ok(result) => json!({ "type": "ok", "response": { "type": "execute", "result": result } }),
                        Err(error) => json!({ "type": "error", "error": {
                            "message": error.to_string(), "code": "SQLITE_ERROR" } }),
                    }
                }
                Some("close") => json!({ "type": "ok", "response": { "type": "close" } }),
                _ => json!({ "type": "error", "error": {
                    "message": "only single statements", "code": "SQL_INPUT_ERROR" } }),
            });
        }
    });
    json!({ "baton": null, "base_url": null, "results": results })
}

fn execute(connection: &rusqlite::Connection, sql: &str) -> rusqlite::Result<Value> {
    let mut statement = connection.prepare(sql)?;
    let names = statement.column_names();
    let columns: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    let count = columns.len();
    let mut rows = statement.query([])?;
    let mut all = vec![];
    while let Some(row) = rows.next()? {
        let values = (0..count).map(|index| {
            Ok(match row.get_ref(index)? {
                ValueRef::Null => json!({ "type": "null" }),
                ValueRef::Integer(value) => {
                    json!({ "type": "integer", "value": value.to_string() })
                }
                ValueRef::Real(value) => json!({ "type": "float", "value": value }),
                ValueRef::Text(text) => {
                    json!({ "type": "text", "value": String::from_utf8_lossy(text) })
                }
                ValueRef::Blob(blob) => {
                    json!({ "type": "blob", "base64": STANDARD_NO_PAD.encode(blob) })
                }
            })
        });
        all.push(Value::Array(values.collect::<rusqlite::Result<_>>()?));
    }
    Ok(json!({ "cols": columns, "rows": all, "affected_row_count": 0, "last_insert_rowid": null }))
}

struct Request {
    method: String,
    path: String,
    authorization: Option<String>,
    body: Vec<u8>,
}

fn serve(mut client: TcpStream, state: &Mutex<State>) {
    let Some(request) = read_request(&mut client) else { return };
    let (status, body) = state.lock().expect("a thread panicked").answer(&request);
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // A client that is gone needs no answer.
    let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&body));
}

fn read_request(client: &mut TcpStream) -> Option<Request> {
    let mut bytes = vec![];
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = client.read(&mut buffer).ok()?;
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&buffer[..count]);
        let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let header = |name: &str| {
            text.lines().skip(1).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if bytes.len() < head + 4 + length {
            continue;
        }
        let mut first = text.split_whitespace();
        return Some(Request {
            method: first.next()?.to_owned(),
            path: first.next()?.to_owned(),
            authorization: header("authorization"),
            body: bytes[head + 4..head + 4 + length].to_vec(),
        });
    }
}
