//! An embedded replica: a local file that follows a server page by page.
//!
//! Reads go to the file, writes to the server. The libsql crate fetches the pages; it says `Ok`
//! also when it copied nothing, so every sync is compared with the server afterwards, and a replica
//! that differs is made anew: it is a cache, and holds nothing that the server does not have.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use libsql::{Builder, Database, SyncProtocol};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::timeout_at;

use crate::error::{Call, Error, chain};
use crate::initialize::initialize;
use crate::local::{Local, LocalSnapshot};
use crate::location::RemoteUrl;
use crate::options::{Options, SyncStrategy};
use crate::remote::Remote;
use crate::repeat::until_cancelled;
use crate::sql::only_reads;
use crate::transport::{Deadline, connector};
use crate::value::{Rows, Statement, Value};

/// How a sync ended that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Synced {
    /// Pages that were fetched.
    pub pages: u64,
    /// Whether the replica was compared with the server afterwards and agreed with it: in its
    /// schema and its number of pages. False only if the server changed during every comparison.
    pub compared: bool,
    /// Whether the file was fetched from the beginning, because there was none or it differed.
    pub anew: bool,
}

/// How often a replica is compared while the server changes.
const ROUNDS_MAX: u32 = 3;

/// What the database and the replica must agree on: number of pages and schema.
const FINGERPRINT: &str = "SELECT (SELECT page_count FROM pragma_page_count),
     (SELECT group_concat(quote(type) || quote(name) || quote(tbl_name) || quote(sql))
      FROM (SELECT * FROM sqlite_schema ORDER BY rowid))";

/// What libSQL and SQLite put beside a replica's file.
const SIDECARS: &[&str] = &["-client_wal_index", "-wal", "-shm", "-journal", "-info"];

const METADATA: &str = "-client_wal_index";

const LOCK: &str = "-lock";

pub(crate) struct Replica {
    inner: Arc<Inner>,
    _background: Option<AbortOnDrop>,
}

struct Inner {
    path: PathBuf,
    url: RemoteUrl,
    subject: String,
    options: Options,
    remote: Remote,
    /// For reading; made anew together with the file.
    local: RwLock<Option<Local>>,
    /// For syncing, one sync at a time; made anew after one that did not end well.
    database: Mutex<Option<Database>>,
    last_error: std::sync::Mutex<Option<Error>>,
    _lock: File,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Removes a replica's file and all that libSQL keeps beside it, together: alone, each of them makes
/// the next sync believe what is not so.
///
/// Nothing is lost that the server has. The file must not be open.
///
/// # Errors
/// [`Error::Busy`] when the replica is in use, [`Error::Io`] when a file cannot be removed or is no
/// replica: then nothing is removed.
pub fn remove_replica(path: &Path) -> Result<(), Error> {
    let lock = lock(path)?;
    if path.exists() && !beside(path, METADATA).exists() {
        return Err(no_replica(path));
    }
    remove_files(path)?;
    drop(lock);
    remove_if_there(&beside(path, LOCK))
}

impl Replica {
    pub(crate) async fn open(
        path: &Path,
        url: &RemoteUrl,
        options: &Options,
    ) -> Result<Self, Error> {
        initialize()?;
        let lock = lock(path)?;
        match (path.exists(), beside(path, METADATA).exists()) {
            (true, false) => return Err(no_replica(path)),
            (true, true) => {}
            // Metadata without a file would make libSQL believe that all is there.
            (false, _) => remove_files(path)?,
        }
        let is_new = !path.exists();
        let subject = format!("{} (replica of {url})", path.display());
        let inner = Arc::new(Inner {
            path: path.to_owned(),
            url: url.clone(),
            subject,
            options: options.clone(),
            remote: Remote::new(url, options),
            local: RwLock::default(),
            database: Mutex::default(),
            last_error: std::sync::Mutex::default(),
            _lock: lock,
        });
        if is_new && let Err(error) = inner.sync().await {
            inner.close(&mut *inner.database.lock().await);
            remove_files(path)?;
            return Err(error);
        }
        inner.local().await?;
        let background = match options.sync {
            SyncStrategy::Every(interval) => {
                let weak = Arc::downgrade(&inner);
                let task = tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(interval).await;
                        let Some(inner) = weak.upgrade() else { break };
                        // Reported by `sync` itself.
                        let _ = inner.sync().await;
                    }
                });
                Some(AbortOnDrop(task.abort_handle()))
            }
            _ => None,
        };
        Ok(Replica { inner, _background: background })
    }

    pub(crate) async fn sync(&self) -> Result<Synced, Error> {
        self.inner.sync().await
    }

    pub(crate) fn last_sync_error(&self) -> Option<Error> {
        self.inner.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.inner.remote
    }

    pub(crate) async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        if only_reads(sql) {
            self.before_read().await?;
            self.inner.local().await?.query(sql, params).await
        } else {
            let rows = self.inner.remote.query(sql, params).await?;
            self.after_write().await;
            Ok(rows)
        }
    }

    pub(crate) async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let affected = self.inner.remote.execute(sql, params).await?;
        self.after_write().await;
        Ok(affected)
    }

    pub(crate) async fn batch(
        &self,
        statements: &[Statement],
        repeatable: bool,
    ) -> Result<Vec<Rows>, Error> {
        let rows = self.inner.remote.batch(statements, repeatable).await?;
        self.after_write().await;
        Ok(rows)
    }

    pub(crate) async fn batch_without_foreign_keys(
        &self,
        statements: &[Statement],
    ) -> Result<Vec<Rows>, Error> {
        let rows = self.inner.remote.batch_without_foreign_keys(statements).await?;
        self.after_write().await;
        Ok(rows)
    }

    pub(crate) async fn snapshot(&self) -> Result<LocalSnapshot, Error> {
        self.before_read().await?;
        self.inner.local().await?.snapshot().await
    }

    async fn before_read(&self) -> Result<(), Error> {
        if self.inner.options.sync == SyncStrategy::BeforeReads {
            self.inner.sync().await?;
        }
        Ok(())
    }

    /// What was written is written, whether or not it can be fetched.
    async fn after_write(&self) {
        if self.inner.options.sync == SyncStrategy::AfterWrites {
            let _ = self.inner.sync().await;
        }
    }
}

impl Inner {
    async fn local(&self) -> Result<Local, Error> {
        if let Some(local) = &*self.local.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(local.clone());
        }
        let local = Local::open_to_read(&self.path, &self.options).await?;
        let mut place = self.local.write().unwrap_or_else(PoisonError::into_inner);
        Ok(place.get_or_insert(local).clone())
    }

    /// Closes everything that has the file open here.
    fn close(&self, database: &mut Option<Database>) {
        *database = None;
        *self.local.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn sync(&self) -> Result<Synced, Error> {
        let call = Call { subject: &self.subject, operation: "sync", changes: false };
        let deadline = Deadline::after(self.options.sync_timeout);
        let work = async {
            // In a box: it is large, and in every call of a replica.
            let work = Box::pin(self.sync_and_compare(call, deadline));
            match timeout_at(deadline.at, work).await {
                Ok(result) => result,
                Err(_) => Err(call.timed_out(deadline.after, true)),
            }
        };
        let result = until_cancelled(&self.options, call, work).await;
        let error = result.as_ref().err().cloned();
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        if let Some(on_sync) = &self.options.on_sync {
            on_sync.0(result.as_ref());
        }
        result
    }

    async fn sync_and_compare(&self, call: Call<'_>, deadline: Deadline) -> Result<Synced, Error> {
        let mut database = self.database.lock().await;
        let mut synced = Synced { pages: 0, compared: false, anew: !self.path.exists() };
        let mut made_anew = false;
        let mut before = self.remote.query(FINGERPRINT, &[]).await?;
        for _ in 0..ROUNDS_MAX {
            synced.pages += self.fetch(&mut database, call, deadline).await?;
            let here = self.local().await?.query(FINGERPRINT, &[]).await;
            let after = self.remote.query(FINGERPRINT, &[]).await?;
            let same = here.as_ref().is_ok_and(|here| here.rows == after.rows);
            if same {
                synced.compared = true;
                return Ok(synced);
            }
            if before.rows == after.rows {
                // The server stood still: what is here is something else.
                if made_anew {
                    return Err(match here {
                        Err(error) => error,
                        Ok(_) => call.protocol(None, "what it sends is not what it has"),
                    });
                }
                self.close(&mut database);
                remove_files(&self.path)?;
                made_anew = true;
                synced.anew = true;
            }
            before = after;
        }
        Ok(synced)
    }

    /// Fetches what is new. On a task of its own: the libsql crate waits and repeats as it likes,
    /// and cannot be told not to.
    async fn fetch(
        &self,
        place: &mut Option<Database>,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<u64, Error> {
        let database = match place.take() {
            Some(database) => database,
            None => self.build().await?,
        };
        let task = tokio::spawn(async move {
            let result = database.sync().await;
            (database, result)
        });
        let _abort = AbortOnDrop(task.abort_handle());
        match timeout_at(deadline.at, task).await {
            Ok(Ok((database, Ok(replicated)))) => {
                *place = Some(database);
                Ok(replicated.frames_synced() as u64)
            }
            // The database is dropped: after a failure, the next sync begins with a new one.
            Ok(Ok((_, Err(error)))) => Err(from_libsql(&error, call)),
            Ok(Err(error)) => Err(call.protocol(None, format_args!("libsql gave up: {error}"))),
            Err(_) => Err(call.timed_out(deadline.after, true)),
        }
    }

    async fn build(&self) -> Result<Database, Error> {
        let token = self.options.token.as_ref().map_or("", |token| token.text());
        let builder =
            Builder::new_remote_replica(self.path.clone(), self.url.base(), token.to_owned());
        let call = Call { subject: &self.subject, operation: "open", changes: false };
        builder
            .connector(connector(&self.options))
            // The other protocol is that of offline writes; this one opens without the server.
            .sync_protocol(SyncProtocol::V1)
            .build()
            .await
            .map_err(|error| from_libsql(&error, call))
    }
}

/// Errors of fetching; that the server is there and lets us in was asked before.
fn from_libsql(error: &libsql::Error, call: Call<'_>) -> Error {
    let reason = chain(error);
    match error {
        libsql::Error::SqliteFailure(code, message) => {
            Error::from_sqlite(call.subject, *code, message)
        }
        libsql::Error::InvalidUTF8Path => Error::BadLocation {
            given: call.subject.to_owned(),
            problem: "libSQL takes only paths in UTF-8".into(),
        },
        libsql::Error::ConnectionFailed(_) => {
            Error::Io { subject: call.subject.to_owned(), reason }
        }
        _ => call.lost(reason),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn io(path: &Path, doing: &str, error: &std::io::Error) -> Error {
    Error::Io { subject: path.display().to_string(), reason: format!("cannot {doing}: {error}") }
}

fn no_replica(path: &Path) -> Error {
    Error::Io {
        subject: path.display().to_string(),
        reason: format!(
            "it is a database but no replica ({METADATA} is missing beside it); move it away, or \
             choose another path"
        ),
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let place = beside(path, LOCK);
    let file = File::create(&place).map_err(|error| io(&place, "create it", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Busy {
            subject: path.display().to_string(),
            reason: "another program has this replica open, and only one can".into(),
        }),
        Err(TryLockError::Error(error)) => Err(io(&place, "lock it", &error)),
    }
}

fn remove_files(path: &Path) -> Result<(), Error> {
    // The metadata first: without it, what is left is not taken for a replica.
    let sidecars = SIDECARS.iter().map(|suffix| beside(path, suffix));
    for file in sidecars.chain([path.to_owned()]) {
        remove_if_there(&file)?;
    }
    Ok(())
}

fn remove_if_there(file: &Path) -> Result<(), Error> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io(file, "remove it", &error))
        }
        _ => Ok(()),
    }
}
