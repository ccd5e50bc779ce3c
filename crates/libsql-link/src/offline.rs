//! libSQL's protocol for offline writes, of servers that have it (sqld has not).
//!
//! A synced database is a file that was fetched from a server as it was, and a write-ahead log: the
//! log's frames are what was written here and fetched since. A push sends frames, a pull fetches
//! some. The libsql crate does both; it says `Ok` also when the server is down, and what another
//! program's checkpoint moved out of the log is never sent. So nothing here is a success before the
//! log has been compared with the server's, frame by frame.
//!
//! An application that writes to such a file must do so in WAL mode and must never checkpoint it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use libsql::{Builder, Database};
use tokio::time::timeout_at;

use crate::blocking::Engine;
use crate::error::{Call, Error, chain};
use crate::initialize::initialize;
use crate::location::RemoteUrl;
use crate::options::Options;
use crate::repeat::{repeat, until_cancelled};
use crate::transport::{Answer, Deadline, Http, connector};

/// Which way changes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the server into the file; the file is fetched where there is none.
    Pull,
    /// From the file to the server.
    Push,
    /// Push, then pull.
    Both,
}

/// What a sync of a database with offline writes did; all of it was compared with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OfflineSynced {
    /// Frames (changed pages) that went to the server.
    pub pushed_frames: u32,
    /// Frames that came from the server.
    pub pulled_frames: u32,
    /// Whether the file was fetched because there was none.
    pub fetched: bool,
    /// The server's generation that both are in now.
    pub generation: u32,
}

/// The only page size that the protocol knows, in bytes.
const PAGE: usize = 4096;
const FRAME_HEADER: usize = 24;
const FRAME: usize = FRAME_HEADER + PAGE;
const WAL_HEADER: usize = 32;
/// Frames that are compared at a time.
const COMPARED_AT_ONCE: u32 = 128;

/// All files that make a synced database: what a backup has to copy, all of them or none.
///
/// The file itself, its write-ahead log and index, and what libSQL knows about the server.
pub fn files(path: &Path) -> [PathBuf; 4] {
    [path.to_owned(), beside(path, "-wal"), beside(path, "-shm"), beside(path, "-info")]
}

/// Syncs a file with a server that speaks the protocol of offline writes. Blocks; not to be called
/// within asynchronous code.
///
/// Make a backup of all [`files`] before. Nobody else may have the file open.
///
/// # Errors
/// * [`Error::Unsupported`] when the server does not speak the protocol: nothing was done.
/// * [`Error::Conflict`] when both sides have changes, when another program has checkpointed the
///   file, or when the server has another history. Neither side was overwritten, but what was
///   changed here cannot be sent with this protocol any more.
/// * [`Error::Lost`] when the server did not take everything, [`Error::Protocol`] when it keeps
///   something other than what was sent. `may_have_been_applied` says whether it may have taken a
///   part; syncing again goes on from there.
/// * The usual ones when it cannot be reached, does not answer, or refuses.
///   [`Options::sync_timeout`] is the deadline.
pub fn sync(
    path: &Path,
    url: &RemoteUrl,
    options: &Options,
    direction: Direction,
) -> Result<OfflineSynced, Error> {
    initialize()?;
    let engine = Engine::new()?;
    let sync = Sync::new(path, url, options);
    engine.wait(sync.run(direction))
}

/// What [`sync`] would do: asks the server and looks at the file, and changes neither. The number of
/// frames that would go to the server, or `None` where there is no file yet.
///
/// # Errors
/// Those of [`sync`] that are known before anything is sent.
pub fn preview(
    path: &Path,
    url: &RemoteUrl,
    options: &Options,
    direction: Direction,
) -> Result<Option<u32>, Error> {
    initialize()?;
    let engine = Engine::new()?;
    let sync = Sync::new(path, url, options);
    let here = engine.wait(async {
        let server = sync.ask_generation().await?;
        sync.look_and_check(direction, server).await
    })?;
    Ok(here.map(|here| if direction == Direction::Pull { 0 } else { here.ahead() }))
}

struct Sync {
    path: PathBuf,
    url: RemoteUrl,
    options: Options,
    http: Http,
    subject: String,
    deadline: Deadline,
}

/// What `/info` answers.
#[derive(serde::Deserialize)]
struct Info {
    current_generation: u32,
}

/// What libSQL keeps in the file `-info`.
#[derive(serde::Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    generation: u32,
    /// The last frame that the server has, as far as is known here.
    durable_frame_num: u32,
}

/// The file and its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Here {
    known: Known,
    /// The last frame of a whole transaction in the log.
    committed: u32,
}

impl Here {
    fn ahead(self) -> u32 {
        self.committed.saturating_sub(self.known.durable_frame_num)
    }
}

impl Sync {
    fn new(path: &Path, url: &RemoteUrl, options: &Options) -> Self {
        Sync {
            path: path.to_owned(),
            url: url.clone(),
            options: options.clone(),
            http: Http::new(url, options),
            subject: format!("{} (synced with {url})", path.display()),
            deadline: Deadline::after(options.sync_timeout),
        }
    }

    /// What is here, if a sync of it can work.
    async fn look_and_check(
        &self,
        direction: Direction,
        server: u32,
    ) -> Result<Option<Here>, Error> {
        let before = self.look()?;
        if let Some(here) = before {
            self.check(here, server)?;
        }
        match (direction, before) {
            (Direction::Push, None) => {
                return Err(Error::Io {
                    subject: self.path.display().to_string(),
                    reason: "there is no such file, so nothing to push; pull first".into(),
                });
            }
            (Direction::Pull, Some(here)) if here.ahead() > 0 => {
                return Err(self.conflict(format!(
                    "it has {} changed pages that the server has not; push them first",
                    here.ahead()
                )));
            }
            _ => {}
        }
        if let Some(here) = before {
            self.check_history(here).await?;
        }
        Ok(before)
    }

    async fn run(&self, direction: Direction) -> Result<OfflineSynced, Error> {
        let server = self.ask_generation().await?;
        let mut synced = OfflineSynced { generation: server, ..OfflineSynced::default() };
        let before = self.look_and_check(direction, server).await?;
        let call = self.call("sync", true);
        let mut now = before;
        if let (Direction::Push | Direction::Both, Some(here)) = (direction, before)
            && here.ahead() > 0
        {
            let note = beside(&self.path, "-info");
            let before = std::fs::read(&note);
            self.step(call).await?;
            let after = self.must_look()?;
            if after.known.generation != here.known.generation || after.ahead() > 0 {
                return Err(call.lost(format_args!(
                    "{} changed pages were not taken by the server",
                    after.ahead()
                )));
            }
            if let Err(error) = self.compare(here.known, after.committed).await {
                // libSQL has noted that the server has them, and would never send them again.
                if let (Error::Protocol { .. }, Ok(before)) = (&error, before) {
                    std::fs::write(&note, before).map_err(|error| Error::Io {
                        subject: note.display().to_string(),
                        reason: error.to_string(),
                    })?;
                }
                return Err(error);
            }
            synced.pushed_frames = after.committed - here.known.durable_frame_num;
            now = Some(after);
        }
        if let Direction::Pull | Direction::Both = direction {
            synced.fetched = now.is_none();
            self.step(self.call("sync", false)).await?;
            let after = self.must_look()?;
            // In a new generation, the log begins anew.
            let from = match now {
                Some(here) if here.known.generation == after.known.generation => here.known,
                _ => Known { durable_frame_num: 0, ..after.known },
            };
            self.compare(from, after.committed).await?;
            self.must_be_newest(after).await?;
            synced.pulled_frames = after.committed - from.durable_frame_num;
            synced.generation = after.known.generation;
        }
        Ok(synced)
    }

    fn call(&self, operation: &'static str, changes: bool) -> Call<'_> {
        Call { subject: &self.subject, operation, changes }
    }

    fn conflict(&self, reason: String) -> Error {
        Error::Conflict { subject: self.subject.clone(), reason }
    }

    async fn ask_generation(&self) -> Result<u32, Error> {
        let call = Call { subject: self.http.base(), operation: "ask for /info", changes: false };
        let ask = |deadline| self.http.get("/info", call, deadline);
        let answer = repeat(&self.options, call, false, ask).await?;
        match answer.status.as_u16() {
            404 => Err(Error::Unsupported {
                subject: self.http.base().to_owned(),
                reason:
                    "the server does not know libSQL's protocol for offline writes (it answers \
                         404 to /info)"
                        .into(),
            }),
            _ if !answer.status.is_success() => Err(failed(&answer, call)),
            _ => match serde_json::from_slice::<Info>(&answer.body) {
                Ok(Info { current_generation: generation @ 1.. }) => Ok(generation),
                _ => Err(call.protocol(None, "its answer to /info has no generation")),
            },
        }
    }

    /// What is here; `None` when there is nothing yet.
    fn look(&self) -> Result<Option<Here>, Error> {
        let info = beside(&self.path, "-info");
        let odd = |reason: String| Error::Io { subject: self.path.display().to_string(), reason };
        match (self.path.exists(), info.exists()) {
            (false, false) => return Ok(None),
            (true, true) => {}
            (true, false) => {
                return Err(odd("it is a database but not a synced one (-info is missing beside \
                                it); move it away and pull, or use `pull` and `push`"
                    .into()));
            }
            (false, true) => {
                return Err(odd(
                    "-info is there without its database; move it away and pull".into()
                ));
            }
        }
        let text =
            std::fs::read(&info).map_err(|error| odd(format!("cannot read -info: {error}")))?;
        let known: Known = serde_json::from_slice(&text).map_err(|error| {
            odd(format!("-info is damaged ({error}); move all files away and pull"))
        })?;
        Ok(Some(Here { known, committed: self.log()?.committed }))
    }

    fn must_look(&self) -> Result<Here, Error> {
        let call = self.call("sync", true);
        self.look()?.ok_or_else(|| call.protocol(None, "libsql left no file behind"))
    }

    /// Whether a sync can work at all.
    fn check(&self, here: Here, server: u32) -> Result<(), Error> {
        let Known { generation, durable_frame_num } = here.known;
        if here.committed < durable_frame_num {
            return Err(self.conflict(
                "another program has checkpointed it: what was changed here since the last sync is \
                 not in its log any more"
                    .into(),
            ));
        }
        if generation > server || (generation < server && here.ahead() > 0) {
            return Err(self.conflict(format!(
                "it is in generation {generation}, with {} changed pages, and the server in {server}",
                here.ahead()
            )));
        }
        Ok(())
    }

    /// Whether what the log goes on from is what the server goes on from.
    ///
    /// After a checkpoint by another program, the log begins anew, and what was in it is in the file:
    /// libSQL would send the new frames as if they followed the old ones. The last frame that both
    /// have tells it; before the first one, the file itself.
    async fn check_history(&self, here: Here) -> Result<(), Error> {
        let Known { generation, durable_frame_num: last } = here.known;
        let same = if last > 0 {
            let theirs = self.frames(generation, last, last + 1).await?;
            same_frames(&theirs, &self.log()?.read(last, last + 1)?)
        } else if here.ahead() > 0 || !self.frames(generation, 1, 2).await?.is_empty() {
            let ours = std::fs::read(&self.path).map_err(|error| Error::Io {
                subject: self.path.display().to_string(),
                reason: format!("cannot read it: {error}"),
            })?;
            same_images(&self.export(generation).await?, &ours)
        } else {
            true
        };
        if same {
            return Ok(());
        }
        Err(self.conflict(
            "its log does not go on from what the server has: another program has checkpointed it, \
             or the server was replaced"
                .into(),
        ))
    }

    /// The server's file at the beginning of a generation.
    async fn export(&self, generation: u32) -> Result<Vec<u8>, Error> {
        let call = Call { subject: self.http.base(), operation: "compare", changes: false };
        let path = format!("/export/{generation}");
        let ask = |deadline| self.http.get(&path, call, deadline);
        let answer = repeat(&self.options, call, false, ask).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(failed(&answer, call)) }
    }

    /// One sync of the libsql crate: a push if the log is ahead, else a pull. On a task of its own,
    /// because it cannot be cancelled; the connector ends it when the server stays silent.
    async fn step(&self, call: Call<'_>) -> Result<(), Error> {
        let token = self.options.token.as_ref().map_or("", |token| token.text()).to_owned();
        let builder = Builder::new_synced_database(self.path.clone(), self.url.base(), token)
            .connector(connector(&self.options));
        let task = tokio::spawn(async move {
            let database: Database = builder.build().await?;
            database.sync().await.map(drop)
        });
        let abort = task.abort_handle();
        let work = async {
            match timeout_at(self.deadline.at, task).await {
                Ok(Ok(Ok(()))) => Ok(()),
                Ok(Ok(Err(error))) => Err(from_libsql(&error, call)),
                Ok(Err(error)) => Err(call.protocol(None, format_args!("libsql gave up: {error}"))),
                Err(_) => Err(call.timed_out(self.deadline.after, true)),
            }
        };
        let result = until_cancelled(&self.options, call, work).await;
        abort.abort();
        result
    }

    /// Compares the frames of the log after `from` with the server's.
    async fn compare(&self, from: Known, committed: u32) -> Result<(), Error> {
        let call = self.call("compare", true);
        let mut log = self.log()?;
        let mut first = from.durable_frame_num + 1;
        while first <= committed {
            let end = committed.saturating_add(1).min(first + COMPARED_AT_ONCE);
            let theirs = self.frames(from.generation, first, end).await?;
            let ours = log.read(first, end)?;
            if !same_frames(&theirs, &ours) {
                return Err(call.protocol(
                    None,
                    format_args!("its frames {first} to {} are not those of this log", end - 1),
                ));
            }
            first = end;
        }
        Ok(())
    }

    /// Whether the server has nothing after what is here.
    async fn must_be_newest(&self, here: Here) -> Result<(), Error> {
        let call = self.call("sync", false);
        let Known { generation, .. } = here.known;
        let next = here.committed + 1;
        if self.frames(generation, next, next + 1).await?.is_empty()
            && self.ask_generation().await? == generation
        {
            return Ok(());
        }
        // Either it said `Ok` without having fetched, or somebody has just written.
        Err(call.lost("the server has more than was fetched"))
    }

    /// The server's frames from `first` up to `end`, which is not among them; fewer where it has no
    /// more.
    async fn frames(&self, generation: u32, first: u32, end: u32) -> Result<Vec<u8>, Error> {
        let call = Call { subject: self.http.base(), operation: "compare", changes: false };
        let path = format!("/sync/{generation}/{first}/{end}");
        let ask = |deadline| self.http.get(&path, call, deadline);
        let answer = repeat(&self.options, call, false, ask).await?;
        match answer.status.as_u16() {
            // So it says that there are none; 500 is what it says when the database is empty.
            400 | 500 if serde_json::from_slice::<End>(&answer.body).is_ok() => Ok(vec![]),
            _ if !answer.status.is_success() => Err(failed(&answer, call)),
            _ if !answer.body.len().is_multiple_of(FRAME) => {
                Err(call.protocol(None, "it sends a part of a frame"))
            }
            _ => Ok(answer.body),
        }
    }

    fn log(&self) -> Result<Log, Error> {
        Log::open(&self.path)
    }
}

/// Frames are the same by page number, size and page. Between them stand salts and checksums, which
/// each log has of its own.
fn same_frames(theirs: &[u8], ours: &[u8]) -> bool {
    let same = |theirs: &[u8], ours: &[u8]| {
        theirs[..8] == ours[..8] && theirs[FRAME_HEADER..] == ours[FRAME_HEADER..]
    };
    theirs.len() == ours.len()
        && theirs.chunks_exact(FRAME).zip(ours.chunks_exact(FRAME)).all(|(a, b)| same(a, b))
}

/// Files are the same but for what SQLite changes in the header when a connection turns on WAL mode:
/// the format versions, the change counter, and which version of SQLite wrote it.
fn same_images(theirs: &[u8], ours: &[u8]) -> bool {
    let pieces = |file: &'_ [u8]| {
        Some([file.get(..18)?, file.get(20..24)?, file.get(28..92)?, file.get(100..)?].concat())
    };
    pieces(theirs).is_some() && pieces(theirs) == pieces(ours)
}

/// How a server says that there are no such frames.
#[derive(serde::Deserialize)]
struct End {
    #[serde(rename = "generation")]
    _generation: u32,
}

fn failed(answer: &Answer, call: Call<'_>) -> Error {
    let status = answer.status.as_u16();
    match status {
        401 | 403 => Error::Refused {
            subject: call.subject.to_owned(),
            status: Some(status),
            reason: answer.says(),
        },
        _ => call.protocol(Some(status), answer.says()),
    }
}

/// Its errors hide what happened behind a type of their own, of which only the text can be seen.
fn from_libsql(error: &libsql::Error, call: Call<'_>) -> Error {
    let reason = chain(error);
    let subject = || call.subject.to_owned();
    match error {
        libsql::Error::WalConflict => Error::Conflict { subject: subject(), reason },
        libsql::Error::SqliteFailure(code, message) => {
            Error::from_sqlite(call.subject, *code, message)
        }
        _ if reason.contains("conflict") || reason.contains("lower generation") => {
            Error::Conflict { subject: subject(), reason }
        }
        _ if reason.contains("status=401") || reason.contains("status=403") => {
            Error::Refused { subject: subject(), status: None, reason }
        }
        _ if reason.contains("timed out") || reason.contains("deadline") => {
            call.lost(format_args!("it fell silent ({reason})"))
        }
        _ => call.lost(reason),
    }
}

/// A write-ahead log, read as a file: SQLite would checkpoint it when it closes.
struct Log {
    subject: String,
    file: Option<File>,
    committed: u32,
}

impl Log {
    /// A missing log is an empty one.
    fn open(database: &Path) -> Result<Self, Error> {
        let path = beside(database, "-wal");
        let subject = path.display().to_string();
        let mut log = Log { subject, file: None, committed: 0 };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(log),
            Err(error) => return Err(log.io(&error)),
        };
        let length = file.metadata().map_err(|error| log.io(&error))?.len();
        let mut header = [0; WAL_HEADER];
        if length < WAL_HEADER as u64 {
            return Ok(log);
        }
        file.read_exact(&mut header).map_err(|error| log.io(&error))?;
        let page_size = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if page_size as usize != PAGE {
            return Err(Error::Unsupported {
                subject: database.display().to_string(),
                reason: format!("the protocol knows only pages of {PAGE} bytes, not {page_size}"),
            });
        }
        // A frame whose salts are not the log's is left over from an earlier log.
        let mut reader = std::io::BufReader::with_capacity(64 * FRAME, file);
        let mut frame = vec![0; FRAME];
        let mut number = 0;
        while reader.read_exact(&mut frame).is_ok() && frame[8..16] == header[16..24] {
            number += 1;
            if frame[4..8] != [0; 4] {
                log.committed = number;
            }
        }
        log.file = Some(reader.into_inner());
        Ok(log)
    }

    /// The frames from `first` up to `end`, which is not among them.
    fn read(&mut self, first: u32, end: u32) -> Result<Vec<u8>, Error> {
        let mut frames = vec![0; (end - first) as usize * FRAME];
        if let Some(file) = &mut self.file {
            let at = WAL_HEADER as u64 + u64::from(first - 1) * FRAME as u64;
            let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut frames));
            read.map_err(|error| self.io(&error))?;
        }
        Ok(frames)
    }

    fn io(&self, error: &std::io::Error) -> Error {
        Error::Io { subject: self.subject.clone(), reason: format!("cannot read it: {error}") }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
