//! The blocking door: the same calls without `async`.
//!
//! Not to be used within asynchronous code, where it would panic; use [`crate::Link`] there.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::error::Error;
use crate::location::{Location, RemoteUrl};
use crate::options::Options;
use crate::packed::PackedRows;
use crate::position::Position;
use crate::probe::Probed;
use crate::remote::ServerInfo;
use crate::replica::Synced;
use crate::value::{Rows, Statement, Value};

/// An open database; the blocking twin of [`crate::Link`], with one thread of its own for what
/// happens between calls. Clones share both.
#[derive(Debug, Clone)]
pub struct Link {
    link: crate::Link,
    engine: Arc<Engine>,
}

/// What the calls run on.
#[derive(Debug)]
pub(crate) struct Engine(Option<Runtime>);

impl Engine {
    pub(crate) fn new() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("libsql-link")
            .enable_all()
            .build()
            .map_err(|error| Error::Io {
                subject: "this program".into(),
                reason: format!("cannot start a thread: {error}"),
            })?;
        Ok(Engine(Some(runtime)))
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("the runtime is taken in drop only"),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Nobody waits for a name look-up that hangs.
            runtime.shutdown_background();
        }
    }
}

impl Link {
    /// See [`crate::Link::open`].
    pub fn open(location: &Location, options: Options) -> Result<Self, Error> {
        let engine = Engine::new()?;
        let link = engine.wait(crate::Link::open(location, options))?;
        Ok(Link { link, engine: Arc::new(engine) })
    }

    pub fn location(&self) -> &Location {
        self.link.location()
    }

    /// See [`crate::Link::query`].
    pub fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        self.engine.wait(self.link.query(sql, params))
    }

    /// See [`crate::Link::execute`].
    pub fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        self.engine.wait(self.link.execute(sql, params))
    }

    /// See [`crate::Link::batch`].
    pub fn batch(&self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        self.engine.wait(self.link.batch(statements))
    }

    /// See [`crate::Link::batch_repeatable`].
    pub fn batch_repeatable(&self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        self.engine.wait(self.link.batch_repeatable(statements))
    }

    /// See [`crate::Link::batch_without_foreign_keys`].
    pub fn batch_without_foreign_keys(&self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        self.engine.wait(self.link.batch_without_foreign_keys(statements))
    }

    /// See [`crate::Link::read_transaction`].
    pub fn read_transaction(&self) -> Result<Snapshot, Error> {
        let snapshot = self.engine.wait(self.link.read_transaction())?;
        Ok(Snapshot { snapshot: Some(snapshot), engine: Arc::clone(&self.engine) })
    }

    /// See [`crate::Link::server`].
    pub fn server(&self) -> Result<ServerInfo, Error> {
        self.engine.wait(self.link.server())
    }

    /// See [`crate::Link::position`].
    pub fn position(&self) -> Result<Option<Position>, Error> {
        self.engine.wait(self.link.position())
    }

    /// See [`crate::Link::sync`].
    pub fn sync(&self) -> Result<Synced, Error> {
        self.engine.wait(self.link.sync())
    }

    /// See [`crate::Link::last_sync_error`].
    pub fn last_sync_error(&self) -> Option<Error> {
        self.link.last_sync_error()
    }
}

/// See [`crate::probe`].
///
/// # Errors
/// [`Error::Io`] when no thread can be started; what is wrong with the connection is in the steps.
pub fn probe(url: &RemoteUrl, options: &Options) -> Result<Vec<Probed>, Error> {
    Ok(Engine::new()?.wait(crate::probe(url, options)))
}

/// One state of a database; the blocking twin of [`crate::Snapshot`].
#[derive(Debug)]
pub struct Snapshot {
    /// Always there until it is dropped.
    snapshot: Option<crate::Snapshot>,
    engine: Arc<Engine>,
}

impl Snapshot {
    /// See [`crate::Snapshot::query`].
    pub fn query(&mut self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        let snapshot = self.snapshot.as_mut().ok_or_else(ended)?;
        self.engine.wait(snapshot.query(sql, params))
    }

    /// See [`crate::Snapshot::query_all`].
    pub fn query_all(&mut self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        let snapshot = self.snapshot.as_mut().ok_or_else(ended)?;
        self.engine.wait(snapshot.query_all(statements))
    }

    /// See [`crate::Snapshot::query_all_packed`].
    pub fn query_all_packed(&mut self, statements: &[Statement]) -> Result<Vec<PackedRows>, Error> {
        let snapshot = self.snapshot.as_mut().ok_or_else(ended)?;
        self.engine.wait(snapshot.query_all_packed(statements))
    }

    /// See [`crate::Snapshot::end`].
    pub fn end(mut self) -> Result<(), Error> {
        let snapshot = self.snapshot.take().ok_or_else(ended)?;
        self.engine.wait(snapshot.end())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let (Some(snapshot), Some(runtime)) = (self.snapshot.take(), &self.engine.0) {
            // Within the runtime, so that the server can be told.
            let _within = runtime.enter();
            drop(snapshot);
        }
    }
}

fn ended() -> Error {
    Error::Expired { subject: "the snapshot".into(), reason: "it was ended".into() }
}
