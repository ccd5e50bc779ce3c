//! The asynchronous door.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::initialize::initialize;
use crate::local::{Local, LocalSnapshot};
use crate::location::Location;
use crate::options::Options;
use crate::packed::PackedRows;
use crate::position::Position;
use crate::remote::{Remote, RemoteSnapshot, ServerInfo};
use crate::replica::{Replica, Synced};
use crate::value::{Rows, Statement, Value};

/// An open database, wherever it is. Clones share it; calls from several tasks are fine.
///
/// Every call ends within [`Options::call_timeout`], and dropping its future cancels it.
#[derive(Clone)]
pub struct Link {
    location: Location,
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    Local(Arc<Local>),
    Remote(Arc<Remote>),
    Replica(Arc<Replica>),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Link {
    /// Opens a database. A server is not asked yet: that it cannot be reached shows at the first
    /// call. A replica that does not exist yet is fetched.
    ///
    /// # Errors
    /// When a file cannot be opened, or is no database or no replica; when a new replica cannot be
    /// fetched; [`Error::Busy`] when another program has the replica open.
    pub async fn open(location: &Location, options: Options) -> Result<Self, Error> {
        // Only replicas depend on it; they say so themselves when it is too late.
        let _ = initialize();
        let engine = match location {
            Location::Local(path) => Engine::Local(Arc::new(Local::open(path, &options).await?)),
            Location::Remote(url) => Engine::Remote(Arc::new(Remote::new(url, &options))),
            Location::Replica { path, url } => {
                Engine::Replica(Arc::new(Replica::open(path, url, &options).await?))
            }
        };
        Ok(Link { location: location.clone(), engine })
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The rows of one statement, all of them.
    ///
    /// Repeated after transient failures if the statement surely only reads (`SELECT`, `VALUES`,
    /// `EXPLAIN`, `WITH` without a change); one with `RETURNING` is treated as
    /// [`execute`](Link::execute) treats it.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        match &self.engine {
            Engine::Local(local) => local.query(sql, params).await,
            Engine::Remote(remote) => remote.query(sql, params).await,
            Engine::Replica(replica) => replica.query(sql, params).await,
        }
    }

    /// Runs one statement; gives the number of rows that it changed.
    ///
    /// Repeated only after failures that surely left the database as it was.
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        match &self.engine {
            Engine::Local(local) => local.execute(sql, params).await,
            Engine::Remote(remote) => remote.execute(sql, params).await,
            Engine::Replica(replica) => replica.execute(sql, params).await,
        }
    }

    /// Runs all statements in one transaction, in one round trip: all of them or none.
    ///
    /// Gives what each statement gave. Repeated only after failures that surely left the database
    /// as it was. The statements must not contain `BEGIN`, `COMMIT` or `ROLLBACK`.
    pub async fn batch(&self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        match &self.engine {
            Engine::Local(local) => local.batch(statements).await,
            Engine::Remote(remote) => remote.batch(statements, false).await,
            Engine::Replica(replica) => replica.batch(statements, false).await,
        }
    }

    /// As [`batch`](Link::batch), for statements that do no harm when they are run twice: repeated
    /// after every transient failure.
    pub async fn batch_repeatable(&self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        match &self.engine {
            Engine::Local(local) => local.batch(statements).await,
            Engine::Remote(remote) => remote.batch(statements, true).await,
            Engine::Replica(replica) => replica.batch(statements, true).await,
        }
    }

    /// As [`batch`](Link::batch), while no foreign key is enforced and no cascade runs: for changes
    /// that hold already what the cascades did elsewhere. Whether references lead somewhere
    /// afterwards is the caller's to check, within the batch.
    pub async fn batch_without_foreign_keys(
        &self,
        statements: &[Statement],
    ) -> Result<Vec<Rows>, Error> {
        match &self.engine {
            Engine::Local(local) => local.batch_without_foreign_keys(statements).await,
            Engine::Remote(remote) => remote.batch_without_foreign_keys(statements).await,
            Engine::Replica(replica) => replica.batch_without_foreign_keys(statements).await,
        }
    }

    /// One state of the database, the one at this moment, for as many queries as are made on it.
    ///
    /// A server ends it when no query comes for 10 s; the next one then fails with
    /// [`Error::Expired`].
    pub async fn read_transaction(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot(match &self.engine {
            Engine::Local(local) => Of::Local(Box::new(local.snapshot().await?)),
            Engine::Remote(remote) => Of::Remote(Box::new(remote.snapshot().await?)),
            Engine::Replica(replica) => Of::Local(Box::new(replica.snapshot().await?)),
        }))
    }

    /// What the server says about itself.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a file.
    pub async fn server(&self) -> Result<ServerInfo, Error> {
        match &self.engine {
            Engine::Local(_) => Err(Error::Unsupported {
                subject: self.location.to_string(),
                reason: "it is a file, not a server".into(),
            }),
            Engine::Remote(remote) => remote.server().await,
            Engine::Replica(replica) => replica.remote().server().await,
        }
    }

    /// Where the server's log of changes has got to; `None` for a file, and for servers that do not
    /// tell. See [`Position`] for what equal positions mean.
    pub async fn position(&self) -> Result<Option<Position>, Error> {
        match &self.engine {
            Engine::Local(_) => Ok(None),
            Engine::Remote(remote) => remote.position().await,
            Engine::Replica(replica) => replica.remote().position().await,
        }
    }

    /// Fetches what is new on the server into a replica, and compares both.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a file or a server; otherwise, reads still see what the replica
    /// had.
    pub async fn sync(&self) -> Result<Synced, Error> {
        match &self.engine {
            Engine::Replica(replica) => replica.sync().await,
            _ => Err(Error::Unsupported {
                subject: self.location.to_string(),
                reason: "it is no replica, so there is nothing to sync".into(),
            }),
        }
    }

    /// What the last sync of a replica failed with, whoever began it; `None` when it succeeded, or
    /// when there was none.
    pub fn last_sync_error(&self) -> Option<Error> {
        match &self.engine {
            Engine::Replica(replica) => replica.last_sync_error(),
            _ => None,
        }
    }
}

/// One state of a database, for several queries: see [`Link::read_transaction`].
pub struct Snapshot(Of);

enum Of {
    Local(Box<LocalSnapshot>),
    Remote(Box<RemoteSnapshot>),
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The rows of one statement, all of them. Never repeated.
    pub async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        let mut all = self.query_all(&[Statement::new(sql, params.to_vec())]).await?;
        Ok(all.pop().unwrap_or_default())
    }

    /// The rows of each statement, in one round trip.
    pub async fn query_all(&mut self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        match &mut self.0 {
            Of::Local(local) => local.query_all(statements).await,
            Of::Remote(remote) => remote.query_all(statements).await,
        }
    }

    /// As [`query_all`](Snapshot::query_all), for many rows.
    ///
    /// From servers that speak Hrana's protobuf encoding, infinities come, too.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the server does not send so much at once (10 MB unless it is set
    /// otherwise); ask for fewer rows then.
    pub async fn query_all_packed(
        &mut self,
        statements: &[Statement],
    ) -> Result<Vec<PackedRows>, Error> {
        match &mut self.0 {
            Of::Local(local) => local.query_all_packed(statements).await,
            Of::Remote(remote) => remote.query_all_packed(statements).await,
        }
    }

    /// Lets go of the state. Dropping does so, too, without saying whether the server heard it.
    pub async fn end(self) -> Result<(), Error> {
        match self.0 {
            Of::Local(_) => Ok(()),
            Of::Remote(remote) => remote.end().await,
        }
    }
}
