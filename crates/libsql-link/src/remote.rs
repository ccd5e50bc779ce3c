//! A database on a server.
//!
//! The protocol is spoken here and not through the libsql crate, which turns every error into text,
//! sends no values with a batch, opens streams that it has to close later, and knows no deadlines.
//! Every call here is one request that opens and closes its stream; only a snapshot keeps one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::body::Bytes;

use crate::error::{Call, Error};
use crate::hrana::{
    Batch, Column, Cursor, CursorAnswer, CursorEntry, EntryKind, INFINITE, Kind, Pipeline,
    PipelineAnswer, Request, RequestResult, ResponseResult, Stmt, WireError,
};
use crate::location::RemoteUrl;
use crate::options::Options;
use crate::packed::{PackedRows, pack};
use crate::position::{self, Position};
use crate::protobuf::{self, Malformed};
use crate::repeat::{repeat, until_cancelled};
use crate::sql::only_reads;
use crate::transport::{Answer, Deadline, Encoding, Http};
use crate::value::{Rows, Statement, Value};

const PIPELINE: &str = "/v3/pipeline";
const PIPELINE_PROTOBUF: &str = "/v3-protobuf/pipeline";
const CURSOR: &str = "/v3/cursor";

#[derive(Clone)]
pub(crate) struct Remote {
    http: Http,
    options: Options,
    /// Whether the server has let know that it speaks JSON only.
    only_json: Arc<AtomicBool>,
}

/// What can be told about a server without touching its database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// As the server calls itself, such as `sqld 0.24.32 (40c272de 2025-02-14)`; `None` where it
    /// does not say.
    pub version: Option<String>,
    /// Whether it says that it is well; `None` where it does not know the question.
    pub healthy: Option<bool>,
    /// The generation of its log, if it speaks the protocol of offline writes.
    pub offline_generation: Option<u64>,
}

/// What `/info` answers.
#[derive(serde::Deserialize)]
struct Info {
    current_generation: u64,
}

impl Remote {
    pub(crate) fn new(url: &RemoteUrl, options: &Options) -> Self {
        let only_json = Arc::new(AtomicBool::new(false));
        Remote { http: Http::new(url, options), options: options.clone(), only_json }
    }

    fn call(&self, operation: &'static str, changes: bool) -> Call<'_> {
        Call { subject: self.http.base(), operation, changes }
    }

    pub(crate) async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        let call = self.call("query", !only_reads(sql));
        repeat(&self.options, call, false, |deadline| self.run(sql, params, call, deadline)).await
    }

    pub(crate) async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let call = self.call("execute", true);
        let run = |deadline| self.run(sql, params, call, deadline);
        Ok(repeat(&self.options, call, false, run).await?.affected)
    }

    pub(crate) async fn batch(
        &self,
        statements: &[Statement],
        repeatable: bool,
    ) -> Result<Vec<Rows>, Error> {
        self.transaction(&["BEGIN IMMEDIATE"], statements, repeatable).await
    }

    /// Turns foreign keys off on the stream that carries the batch, which ends with it. If that is
    /// refused, nothing of the batch is run.
    pub(crate) async fn batch_without_foreign_keys(
        &self,
        statements: &[Statement],
    ) -> Result<Vec<Rows>, Error> {
        let first = ["PRAGMA foreign_keys = OFF", "BEGIN IMMEDIATE"];
        self.transaction(&first, statements, false).await
    }

    async fn transaction(
        &self,
        first: &[&str],
        statements: &[Statement],
        repeatable: bool,
    ) -> Result<Vec<Rows>, Error> {
        let call = self.call("batch", true);
        let attempt = |deadline| async move {
            let batch = Batch::transaction(first, statements);
            let requests = vec![Request::Batch { batch }, Request::Close];
            let [result] = Stream::new(self).ask(requests, call, deadline).await?;
            steps(result, first.len(), statements.len(), call)
        };
        repeat(&self.options, call, repeatable, attempt).await
    }

    pub(crate) async fn snapshot(&self) -> Result<RemoteSnapshot, Error> {
        let call = self.call("begin a snapshot", false);
        repeat(&self.options, call, false, |deadline| async move {
            let mut stream = Stream::new(self);
            // A deferred transaction sees the state of its first read.
            let [_, _] = stream
                .ask(
                    vec![
                        Request::Execute { stmt: Stmt::new("BEGIN", &[]) },
                        Request::Execute {
                            stmt: Stmt::new("SELECT 1 FROM sqlite_schema LIMIT 1", &[]),
                        },
                    ],
                    call,
                    deadline,
                )
                .await?;
            Ok(RemoteSnapshot { stream })
        })
        .await
    }

    /// Makes and fills a table in a transaction that is rolled back in the same request.
    pub(crate) async fn write_and_undo(&self) -> Result<(), Error> {
        // What is rolled back was never there, even if the answer is lost.
        let call = self.call("write", false);
        let table = format!("libsql_link_probe_{:016x}", fastrand::u64(..));
        let create = format!("CREATE TABLE {table} (a)");
        let insert = format!("INSERT INTO {table} VALUES (1)");
        let all = ["BEGIN IMMEDIATE", &create, &insert, "ROLLBACK"];
        repeat(&self.options, call, false, |deadline| async move {
            let requests = all.iter().map(|sql| Request::Execute { stmt: Stmt::new(sql, &[]) });
            let requests = requests.chain([Request::Close]).collect();
            let [_, _, _, _] = Stream::new(self).ask(requests, call, deadline).await?;
            Ok(())
        })
        .await
    }

    /// As the server calls itself; `None` where it does not say.
    pub(crate) async fn version(&self) -> Result<Option<String>, Error> {
        let call = self.call("ask for the version", false);
        let ask = |deadline| self.http.get("/version", call, deadline);
        let answer = repeat(&self.options, call, false, ask).await?;
        let text = String::from_utf8_lossy(&answer.body).trim().to_owned();
        let is_line = !text.is_empty() && text.len() < 200 && !text.contains(['<', '\n']);
        Ok((answer.status.is_success() && is_line).then_some(text))
    }

    /// `None` where the server keeps no log, or does not tell.
    pub(crate) async fn position(&self) -> Result<Option<Position>, Error> {
        let call = self.call("ask for its position", false);
        let ask = |deadline| self.http.hello(call, deadline);
        match repeat(&self.options, call, false, ask).await {
            Ok(answer) if answer.status.is_success() => Ok(position::read(&answer.body.into())),
            Ok(_) | Err(Error::Protocol { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn server(&self) -> Result<ServerInfo, Error> {
        let version = self.version().await?;
        let call = self.call("ask for its state", false);
        let ask = |deadline| async move {
            let health = self.http.get("/health", call, deadline).await?;
            let info = self.http.get("/info", call, deadline).await?;
            Ok((health, info))
        };
        let (health, info) = repeat(&self.options, call, false, ask).await?;
        if let 401 | 403 = info.status.as_u16() {
            return Err(refused(&info, call));
        }
        let info =
            info.status.is_success().then(|| serde_json::from_slice::<Info>(&info.body).ok());
        Ok(ServerInfo {
            version,
            healthy: match health.status.as_u16() {
                404 => None,
                _ => Some(health.status.is_success()),
            },
            offline_generation: info.flatten().map(|info| info.current_generation),
        })
    }

    async fn run(
        &self,
        sql: &str,
        params: &[Value],
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Rows, Error> {
        let requests = vec![Request::Execute { stmt: Stmt::new(sql, params) }, Request::Close];
        match Stream::new(self).ask(requests, call, deadline).await {
            Ok([result]) => rows(result, call),
            // Once more, row by row; what only reads can be asked again.
            Err(Error::TooLarge { .. }) if !call.changes => {
                let mut stream = Stream::new(self);
                let rows = stream.ask_rows(Stmt::new(sql, params), call, deadline).await?;
                let [] = stream.ask(vec![Request::Close], call, deadline).await?;
                Ok(rows)
            }
            Err(error) => Err(error),
        }
    }
}

/// One state of a remote database, for several queries.
pub(crate) struct RemoteSnapshot {
    stream: Stream,
}

impl RemoteSnapshot {
    /// The answers to all statements in one request.
    pub(crate) async fn query_all(&mut self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        let remote = self.stream.remote.clone();
        let call = remote.call("query a snapshot", false);
        let deadline = Deadline::after(remote.options.call_timeout);
        if statements.is_empty() {
            return Ok(vec![]);
        }
        let requests = statements
            .iter()
            .map(|one| Request::Execute { stmt: Stmt::new(&one.sql, &one.params) })
            .collect();
        let work = async {
            match self.stream.ask_any(requests, call, deadline).await {
                Ok(results) => results.into_iter().map(|result| rows(result, call)).collect(),
                Err(Error::TooLarge { .. })
                    if statements.iter().all(|one| only_reads(&one.sql)) =>
                {
                    let mut answers = Vec::with_capacity(statements.len());
                    for one in statements {
                        let stmt = Stmt::new(&one.sql, &one.params);
                        answers.push(self.stream.ask_rows(stmt, call, deadline).await?);
                    }
                    Ok(answers)
                }
                Err(error) => Err(error),
            }
        };
        until_cancelled(&remote.options, call, work).await
    }

    /// As [`query_all`](Self::query_all), but an answer that the server finds too large is an error.
    pub(crate) async fn query_all_packed(
        &mut self,
        statements: &[Statement],
    ) -> Result<Vec<PackedRows>, Error> {
        let remote = self.stream.remote.clone();
        let call = remote.call("query a snapshot", false);
        let deadline = Deadline::after(remote.options.call_timeout);
        if statements.is_empty() {
            return Ok(vec![]);
        }
        until_cancelled(&remote.options, call, self.stream.ask_packed(statements, call, deadline))
            .await
    }

    pub(crate) async fn end(mut self) -> Result<(), Error> {
        let remote = self.stream.remote.clone();
        let call = remote.call("end a snapshot", false);
        let deadline = Deadline::after(remote.options.call_timeout);
        let [] = self.stream.ask(vec![Request::Close], call, deadline).await?;
        self.stream.baton = None;
        Ok(())
    }
}

impl Drop for RemoteSnapshot {
    /// Tells the server, as well as that can be done without waiting; otherwise it ends the stream
    /// itself after 10 s.
    fn drop(&mut self) {
        if self.stream.baton.is_none() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut stream = Stream { baton: self.stream.baton.take(), ..self.stream.clone() };
            runtime.spawn(async move {
                let remote = stream.remote.clone();
                let call = remote.call("end a snapshot", false);
                let deadline = Deadline::after(remote.options.call_timeout);
                let _: Result<[RequestResult; 0], Error> =
                    stream.ask(vec![Request::Close], call, deadline).await;
            });
        }
    }
}

/// A stream of the protocol: what shares one connection to the database on the server.
#[derive(Clone)]
struct Stream {
    remote: Remote,
    baton: Option<String>,
    /// Where the server wants the stream to go on, if not where it began.
    base: Option<String>,
    broken: bool,
}

impl Stream {
    fn new(remote: &Remote) -> Self {
        Stream { remote: remote.clone(), baton: None, base: None, broken: false }
    }

    /// As [`ask_any`](Stream::ask_any), for a known number of results (`Close` has none).
    async fn ask<const N: usize>(
        &mut self,
        requests: Vec<Request<'_>>,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<[RequestResult; N], Error> {
        let results = self.ask_any(requests, call, deadline).await?;
        let count = results.len();
        results.try_into().map_err(|_| {
            call.protocol(None, format_args!("it gives {count} results instead of {N}"))
        })
    }

    /// Sends all requests at once. The first one that failed is the error of all.
    async fn ask_any(
        &mut self,
        requests: Vec<Request<'_>>,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Vec<RequestResult>, Error> {
        let expected = requests.len();
        let closes = matches!(requests.last(), Some(Request::Close));
        let pipeline = Pipeline { baton: self.baton.as_deref(), requests };
        let json = to_json(&pipeline, call)?;
        let answer = self.post(PIPELINE, Encoding::Json, json, call, deadline).await?;
        let answer: PipelineAnswer =
            serde_json::from_slice(&answer.body).map_err(|error| not_understood(&error, call))?;
        self.goes_on_with(answer.baton, answer.base_url, call)?;
        let mut results = answer.results;
        if results.len() != expected {
            let count = results.len();
            let reason = format_args!("it gives {count} results to {expected} requests");
            return Err(call.protocol(None, reason));
        }
        if closes {
            results.pop();
        }
        self.broken = !closes && self.baton.is_none();
        if let Some(failed) = results.iter().find(|result| result.kind == Kind::Error) {
            let Some(error) = &failed.error else {
                return Err(call.protocol(None, "it gives an error without saying which"));
            };
            return Err(from_wire(error, call));
        }
        Ok(results)
    }

    /// Runs all statements at once, in the encoding that takes least time if the server knows it.
    async fn ask_packed(
        &mut self,
        statements: &[Statement],
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Vec<PackedRows>, Error> {
        let only_json = Arc::clone(&self.remote.only_json);
        if !only_json.load(Ordering::Relaxed) && !self.broken {
            let request = protobuf::pipeline(self.baton.as_deref(), statements);
            match self.post(PIPELINE_PROTOBUF, Encoding::Protobuf, request, call, deadline).await {
                Ok(answer) => return self.packed(&answer.body.into(), statements.len(), call),
                // A server that does not know the address has not looked at the request. If it is
                // the stream that it does not know, it says so again.
                Err(
                    Error::Protocol { status: Some(400..=499 | 501), .. } | Error::Expired { .. },
                ) => self.broken = false,
                Err(error) => return Err(error),
            }
        }
        let requests = statements
            .iter()
            .map(|one| Request::Execute { stmt: Stmt::new(&one.sql, &one.params) })
            .collect();
        let results = self.ask_any(requests, call, deadline).await?;
        only_json.store(true, Ordering::Relaxed);
        results
            .into_iter()
            .map(|result| {
                let most = || call.too_large("its answer exceeds 4 GiB");
                pack(rows(result, call)?).ok_or_else(most)
            })
            .collect()
    }

    fn packed(
        &mut self,
        body: &Bytes,
        expected: usize,
        call: Call<'_>,
    ) -> Result<Vec<PackedRows>, Error> {
        let malformed = |Malformed(what)| {
            call.protocol(None, format_args!("its answer cannot be read: {what}"))
        };
        let answer = protobuf::answer(body).map_err(malformed)?;
        self.goes_on_with(answer.baton, answer.base_url, call)?;
        let count = answer.results.len();
        if count != expected {
            let reason = format_args!("it gives {count} results to {expected} requests");
            return Err(call.protocol(None, reason));
        }
        self.broken = self.baton.is_none();
        let results: Result<_, WireError> = answer.results.into_iter().collect();
        results.map_err(|error| from_wire(&error, call))
    }

    /// The rows of one statement, however many; the stream stays open.
    async fn ask_rows(
        &mut self,
        stmt: Stmt<'_>,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Rows, Error> {
        let cursor = Cursor { baton: self.baton.as_deref(), batch: Batch::single(stmt) };
        let json = to_json(&cursor, call)?;
        let answer = self.post(CURSOR, Encoding::Json, json, call, deadline).await?;
        let mut lines = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let first: CursorAnswer =
            serde_json::from_slice(first).map_err(|error| not_understood(&error, call))?;
        self.goes_on_with(first.baton, first.base_url, call)?;
        self.broken = self.baton.is_none();
        let mut all = Rows::default();
        let mut complete = false;
        for line in lines {
            let entry: CursorEntry =
                serde_json::from_slice(line).map_err(|error| not_understood(&error, call))?;
            match (entry.kind, entry.error) {
                (EntryKind::StepBegin, _) => {
                    all.columns = column_names(entry.cols);
                }
                (EntryKind::Row, _) => {
                    all.rows.push(entry.row.into_iter().map(|value| value.0).collect());
                }
                (EntryKind::StepEnd, _) => complete = true,
                (EntryKind::StepError | EntryKind::Error, Some(error)) => {
                    return Err(from_wire(&error, call));
                }
                (EntryKind::StepError | EntryKind::Error, None) => {
                    return Err(call.protocol(None, "it gives an error without saying which"));
                }
                (EntryKind::Other, _) => {}
            }
        }
        if !complete {
            return Err(call.protocol(None, "its answer ends before the last row"));
        }
        checked(all, call)
    }

    /// Sends the next request of the stream. Until its answer is understood, none may follow: each
    /// answer brings the baton for the next one.
    async fn post(
        &mut self,
        path: &str,
        encoding: Encoding,
        request: Vec<u8>,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Error> {
        if self.broken {
            return Err(Error::Expired {
                subject: call.subject.to_owned(),
                reason: "an earlier call on it failed".into(),
            });
        }
        self.broken = true;
        let base = self.base.as_deref().unwrap_or(call.subject);
        let answer = self.remote.http.post(base, path, encoding, request, call, deadline).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(failed(&answer, self.baton.is_some(), call))
        }
    }

    fn goes_on_with(
        &mut self,
        baton: Option<String>,
        base: Option<String>,
        call: Call<'_>,
    ) -> Result<(), Error> {
        if let Some(base) = base {
            // The token is sent there: never in the clear where it was encrypted before.
            if call.subject.starts_with("https://") && !base.starts_with("https://") {
                return Err(call.protocol(None, "it points to an address without TLS"));
            }
            self.base = Some(base.trim_end_matches('/').to_owned());
        }
        self.baton = baton;
        Ok(())
    }
}

fn to_json(request: &impl serde::Serialize, call: Call<'_>) -> Result<Vec<u8>, Error> {
    let unsent = Call { changes: false, ..call };
    serde_json::to_vec(request).map_err(|error| unsent.unreadable(error))
}

fn from_wire(error: &WireError, call: Call<'_>) -> Error {
    Error::from_server(call, error.code.as_deref().unwrap_or_default(), &error.message)
}

fn refused(answer: &Answer, call: Call<'_>) -> Error {
    Error::Refused {
        subject: call.subject.to_owned(),
        status: Some(answer.status.as_u16()),
        reason: answer.says(),
    }
}

/// An answer that is no success. `goes_on`: the request belonged to a stream that was open.
fn failed(answer: &Answer, goes_on: bool, call: Call<'_>) -> Error {
    let subject = || call.subject.to_owned();
    let says = answer.says();
    if let (400, Ok(error)) =
        (answer.status.as_u16(), serde_json::from_slice::<WireError>(&answer.body))
        && error.code.is_some()
    {
        return from_wire(&error, call);
    }
    match answer.status.as_u16() {
        401 | 403 => refused(answer, call),
        400 if goes_on && (says.contains("baton") || says.contains("stream")) => {
            Error::Expired { subject: subject(), reason: says }
        }
        // Nothing was carried out: the server could not read the request.
        400 => Call { changes: false, ..call }.protocol(Some(400), says),
        404 if goes_on => Error::Expired { subject: subject(), reason: says },
        404 | 405 => Call { changes: false, ..call }.protocol(Some(answer.status.as_u16()), says),
        413 => Call { changes: false, ..call }.too_large(says),
        429 => Error::Busy { subject: subject(), reason: says },
        500 if says.contains("utf-8") => {
            call.unreadable(format_args!("a text that is not UTF-8; read it with hex(): {says}"))
        }
        status => call.protocol(Some(status), says),
    }
}

fn not_understood(error: &serde_json::Error, call: Call<'_>) -> Error {
    if error.to_string().starts_with(INFINITE) {
        return call.unreadable("an infinity; read it with quote()");
    }
    call.protocol(None, format_args!("its answer cannot be read: {error}"))
}

fn rows(result: RequestResult, call: Call<'_>) -> Result<Rows, Error> {
    let result = result.response.and_then(|response| response.result);
    let result = result.ok_or_else(|| call.protocol(None, "its answer has no result"))?;
    rows_of(result, call)
}

fn rows_of(result: ResponseResult, call: Call<'_>) -> Result<Rows, Error> {
    let columns = column_names(result.cols);
    let rows =
        result.rows.into_iter().map(|row| row.into_iter().map(|value| value.0).collect()).collect();
    checked(Rows { columns, rows, affected: result.affected_row_count.unwrap_or(0) }, call)
}

fn column_names(columns: Vec<Column>) -> Vec<String> {
    columns.into_iter().map(|column| column.name.unwrap_or_default()).collect()
}

fn checked(rows: Rows, call: Call<'_>) -> Result<Rows, Error> {
    if rows.rows.iter().any(|row| row.len() != rows.columns.len()) {
        return Err(call.protocol(None, "a row has another number of values than of columns"));
    }
    Ok(rows)
}

/// What the `count` statements gave that stand between the `first` ones and `COMMIT`.
fn steps(
    result: RequestResult,
    first: usize,
    count: usize,
    call: Call<'_>,
) -> Result<Vec<Rows>, Error> {
    let commit = first + count;
    let result = result.response.and_then(|response| response.result);
    let (results, errors) =
        match result {
            Some(ResponseResult {
                step_results: Some(results), step_errors: Some(errors), ..
            }) if results.len() == commit + 2 && errors.len() == results.len() => (results, errors),
            _ => return Err(call.protocol(None, "its answer has not the results of the batch")),
        };
    if let Some(error) = errors[..=commit].iter().flatten().next() {
        return Err(from_wire(error, call));
    }
    if results[commit].is_none() {
        return Err(call.protocol(None, "it neither committed nor says why not"));
    }
    results
        .into_iter()
        .skip(first)
        .take(count)
        .map(|result| {
            rows_of(result.ok_or_else(|| call.protocol(None, "a result is missing"))?, call)
        })
        .collect()
}
