//! A database in a file of this machine.
//!
//! Read and written through libsql-rusqlite, not through the libsql crate, which ends every text at
//! the character NUL and takes any number of parameters. Both are the same SQLite.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, InterruptHandle, OpenFlags, ToSql};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{Call, Error, code};
use crate::options::Options;
use crate::packed::{PackedRows, pack};
use crate::repeat::until_cancelled;
use crate::transport::Deadline;
use crate::value::{Rows, Statement, Value};

/// A file and one connection to it, used by one call at a time.
#[derive(Clone)]
pub(crate) struct Local {
    path: PathBuf,
    subject: Arc<str>,
    options: Options,
    connection: Arc<Mutex<Connection>>,
    interrupt: Arc<InterruptHandle>,
}

impl Local {
    pub(crate) async fn open(path: &Path, options: &Options) -> Result<Self, Error> {
        let subject: Arc<str> = path.display().to_string().into();
        let local = connect(path.to_owned(), subject, options.clone()).await?;
        // SQLite opens a file when it is first read; whether that works is what the caller asked.
        local.run("open", &["SELECT 1 FROM sqlite_schema LIMIT 1".into()], Around::Nothing).await?;
        Ok(local)
    }

    /// For what somebody else writes: no call on it changes the file.
    pub(crate) async fn open_to_read(path: &Path, options: &Options) -> Result<Self, Error> {
        let local = Local::open(path, options).await?;
        local.execute("PRAGMA query_only = ON", &[]).await?;
        Ok(local)
    }

    pub(crate) async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        let statements = [Statement::new(sql, params.to_vec())];
        let rows = self.run("query", &statements, Around::Nothing).await?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    pub(crate) async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let statements = [Statement::new(sql, params.to_vec())];
        let rows = self.run("execute", &statements, Around::Nothing).await?;
        Ok(rows.first().map_or(0, |rows| rows.affected))
    }

    pub(crate) async fn batch(&self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        self.run("batch", statements, Around::Transaction).await
    }

    pub(crate) async fn batch_without_foreign_keys(
        &self,
        statements: &[Statement],
    ) -> Result<Vec<Rows>, Error> {
        self.run("batch", statements, Around::TransactionWithoutForeignKeys).await
    }

    /// A second connection, within a transaction that reads.
    pub(crate) async fn snapshot(&self) -> Result<LocalSnapshot, Error> {
        let (path, subject) = (self.path.clone(), Arc::clone(&self.subject));
        let local = connect(path, subject, self.options.clone()).await?;
        let begin = ["BEGIN".into(), "SELECT 1 FROM sqlite_schema LIMIT 1".into()];
        local.run("begin a snapshot", &begin, Around::Nothing).await?;
        Ok(LocalSnapshot { local })
    }

    async fn run(
        &self,
        operation: &'static str,
        statements: &[Statement],
        around: Around,
    ) -> Result<Vec<Rows>, Error> {
        let statements: Arc<[Statement]> = statements.into();
        // What is interrupted is rolled back: no failure leaves a change behind.
        let call = Call { subject: &self.subject, operation, changes: false };
        let deadline = Deadline::after(self.options.call_timeout);
        // Nothing to repeat: SQLite itself waits for a lock.
        let work = self.attempt(statements, around, call, deadline);
        until_cancelled(&self.options, call, work).await
    }

    /// SQLite blocks: it runs on a thread of its own and is interrupted when the deadline passes or
    /// the caller goes away.
    async fn attempt(
        &self,
        statements: Arc<[Statement]>,
        around: Around,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Vec<Rows>, Error> {
        let taken = timeout_at(deadline.at, Arc::clone(&self.connection).lock_owned()).await;
        let connection = taken.map_err(|_| call.timed_out(deadline.after, false))?;
        let subject = Arc::clone(&self.subject);
        let running = Running::new(Arc::clone(&self.interrupt));
        let done = Arc::clone(&running.done);
        let mut work = tokio::task::spawn_blocking(move || {
            let result = all(&connection, &statements, around, &subject, deadline);
            // Before the next call gets the connection: it must not be interrupted instead.
            *done.lock().unwrap_or_else(PoisonError::into_inner) = true;
            drop(connection);
            result
        });
        let mut joined = timeout_at(deadline.at, &mut work).await;
        // It ends at SQLite's next step; only then is it known what became of it. A statement that
        // is just about to begin does not notice: hence the repetition.
        while joined.is_err() {
            running.interrupt();
            joined = timeout(INTERRUPT_EVERY, &mut work).await;
        }
        let Ok(joined) = joined else { unreachable!("the loop ends when the work has") };
        let result = joined.map_err(|error| Error::Io {
            subject: self.subject.to_string(),
            reason: format!("the thread of the call ended: {error}"),
        })?;
        match result {
            Err(Error::Sqlite { extended_code: code::INTERRUPT, .. }) => {
                Err(call.timed_out(deadline.after, false))
            }
            // Possibly in the last moment.
            result => result,
        }
    }
}

async fn connect(path: PathBuf, subject: Arc<str>, options: Options) -> Result<Local, Error> {
    let open = {
        let (path, subject) = (path.clone(), Arc::clone(&subject));
        #[cfg(feature = "encryption")]
        let key = options.encryption_key.clone();
        move || {
            // Serialized, and the path as it is: `file:` was read by `Location`.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_FULL_MUTEX;
            let connection = Connection::open_with_flags(&path, flags)
                .map_err(|error| failed(&error, &subject))?;
            #[cfg(feature = "encryption")]
            if let Some(key) = &key {
                unlock(&connection, key, &subject)?;
            }
            Ok(connection)
        }
    };
    let opened = tokio::task::spawn_blocking(open).await;
    let connection = opened.map_err(|error| Error::Io {
        subject: subject.to_string(),
        reason: format!("the thread that opens it ended: {error}"),
    })??;
    let interrupt = Arc::new(connection.get_interrupt_handle());
    let connection = Arc::new(Mutex::new(connection));
    Ok(Local { path, subject, options, connection, interrupt })
}

/// Gives the key, and reads with it: whether it is the right one, SQLite says only then.
#[cfg(feature = "encryption")]
fn unlock(
    connection: &Connection,
    key: &crate::options::EncryptionKey,
    subject: &str,
) -> Result<(), Error> {
    let failed = |error| match failed(&error, subject) {
        Error::Sqlite { extended_code: code::NOTADB, .. } => Error::Refused {
            subject: subject.to_owned(),
            status: None,
            reason: "the encryption key is wrong, or it is no database".into(),
        },
        error => error,
    };
    // The answers to these are rows.
    connection.query_row("PRAGMA cipher = 'aes256cbc'", [], |_| Ok(())).map_err(failed)?;
    let hex = key.hex();
    connection.query_row(&format!("PRAGMA hexkey = '{hex}'"), [], |_| Ok(())).map_err(failed)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)
}

#[derive(Clone, Copy, PartialEq)]
enum Around {
    Nothing,
    Transaction,
    TransactionWithoutForeignKeys,
}

const INTERRUPT_EVERY: Duration = Duration::from_millis(10);

/// What runs on a connection; interrupted when this is dropped before it is done.
struct Running {
    handle: Arc<InterruptHandle>,
    done: Arc<std::sync::Mutex<bool>>,
}

impl Running {
    fn new(handle: Arc<InterruptHandle>) -> Self {
        Running { handle, done: Arc::default() }
    }

    fn interrupt(&self) -> bool {
        interrupt(&self.handle, &self.done)
    }
}

/// Gives whether it was still running.
fn interrupt(handle: &InterruptHandle, done: &std::sync::Mutex<bool>) -> bool {
    let done = done.lock().unwrap_or_else(PoisonError::into_inner);
    if !*done {
        handle.interrupt();
    }
    !*done
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.interrupt()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (handle, done) = (Arc::clone(&self.handle), Arc::clone(&self.done));
            runtime.spawn(async move {
                while interrupt(&handle, &done) {
                    tokio::time::sleep(INTERRUPT_EVERY).await;
                }
            });
        }
    }
}

/// Foreign keys off, until it is dropped.
struct Unenforced<'c> {
    connection: &'c Connection,
    before: bool,
}

impl<'c> Unenforced<'c> {
    fn begin(connection: &'c Connection) -> rusqlite::Result<Self> {
        let before = connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
        Ok(Unenforced { connection, before })
    }
}

impl Drop for Unenforced<'_> {
    fn drop(&mut self) {
        // Fails only on a connection that can no longer be used.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, self.before);
    }
}

fn all(
    connection: &OwnedMutexGuard<Connection>,
    statements: &[Statement],
    around: Around,
    subject: &str,
    deadline: Deadline,
) -> Result<Vec<Rows>, Error> {
    let failed = |error: rusqlite::Error| failed(&error, subject);
    // Waiting for a lock cannot be interrupted. It ends early enough to say who is to blame: that it
    // is busy, not that the time is over.
    let rest = deadline.at.saturating_duration_since(Instant::now());
    let patience = rest.saturating_sub((rest / 4).min(Duration::from_millis(500)));
    connection.busy_timeout(patience.min(Duration::from_hours(1))).map_err(failed)?;
    // Restored when the batch is over; within a transaction it could not be changed.
    let _enforced = match around {
        Around::TransactionWithoutForeignKeys => {
            Some(Unenforced::begin(connection).map_err(failed)?)
        }
        _ => None,
    };
    let in_transaction = around != Around::Nothing;
    if in_transaction {
        connection.execute("BEGIN IMMEDIATE", []).map_err(failed)?;
    }
    let mut result = statements.iter().map(|one| run_one(connection, one, subject)).collect();
    if in_transaction {
        if let Ok(answers) = result {
            result = connection.execute("COMMIT", []).map(|_| answers).map_err(failed);
        }
        if result.is_err() && !connection.is_autocommit() {
            // An error leaves the transaction open, unless SQLite itself has rolled it back.
            let _ = connection.execute("ROLLBACK", []);
        }
    }
    result
}

fn run_one(connection: &Connection, statement: &Statement, subject: &str) -> Result<Rows, Error> {
    let failed = |error: rusqlite::Error| failed(&error, subject);
    let bad_sql = |reason: String| Error::BadSql { subject: subject.to_owned(), reason };
    let mut batch = rusqlite::Batch::new(connection, &statement.sql);
    let Some(mut prepared) = batch.next().map_err(failed)? else {
        return Err(bad_sql("it contains no statement".into()));
    };
    let expected = prepared.parameter_count();
    let given = statement.params.len();
    if expected != given {
        return Err(bad_sql(format!(
            "it has {expected} parameters, and {given} values were given"
        )));
    }
    // Before it is run: what follows may be no SQL, or need what this one creates.
    if batch.next().map_or(true, |next| next.is_some()) {
        return Err(bad_sql("it is more than one statement; use a batch".into()));
    }
    let columns: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
    for (index, value) in statement.params.iter().enumerate() {
        prepared.raw_bind_parameter(index + 1, Bound(value)).map_err(failed)?;
    }
    let changes_nothing = prepared.readonly();
    let total = || connection.query_row("SELECT total_changes()", [], |row| row.get::<_, i64>(0));
    let before = if changes_nothing { 0 } else { total().map_err(failed)? };
    let mut rows = Vec::new();
    let mut given = prepared.raw_query();
    while let Some(row) = given.next().map_err(failed)? {
        let values = (0..columns.len()).map(|index| {
            let value = row.get_ref(index).map_err(failed)?;
            from_sqlite(value).ok_or_else(|| Error::Unreadable {
                subject: subject.to_owned(),
                reason: format!(
                    "a text in column `{}` is not UTF-8; read it with hex()",
                    columns[index]
                ),
                // The statement has run, and outside of a transaction that counts.
                maybe_applied: !changes_nothing && connection.is_autocommit(),
            })
        });
        rows.push(values.collect::<Result<_, _>>()?);
    }
    drop(given);
    // `changes` keeps the count of an earlier statement when this one changes no rows by nature.
    let changed = !changes_nothing && total().map_err(failed)? != before;
    let affected = if changed { connection.changes() } else { 0 };
    Ok(Rows { columns, rows, affected })
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Real(value) => ValueRef::Real(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

/// `None` for a text that is not UTF-8.
fn from_sqlite(value: ValueRef<'_>) -> Option<Value> {
    Some(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(value) => Value::Text(std::str::from_utf8(value).ok()?.to_owned()),
        ValueRef::Blob(value) => Value::Blob(value.to_vec()),
    })
}

fn failed(error: &rusqlite::Error, subject: &str) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(error, Some(message)) => {
            Error::from_sqlite(subject, error.extended_code, message)
        }
        rusqlite::Error::SqliteFailure(error, None) => {
            Error::from_sqlite(subject, error.extended_code, &error.to_string())
        }
        rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
            Error::from_sqlite(subject, error.extended_code, &format!("{msg} (at offset {offset})"))
        }
        _ => Error::Sqlite {
            subject: subject.to_owned(),
            extended_code: 1,
            reason: error.to_string(),
        },
    }
}

/// One state of a local database, for several queries.
pub(crate) struct LocalSnapshot {
    local: Local,
}

impl LocalSnapshot {
    pub(crate) async fn query_all(&mut self, statements: &[Statement]) -> Result<Vec<Rows>, Error> {
        self.local.run("query a snapshot", statements, Around::Nothing).await
    }

    pub(crate) async fn query_all_packed(
        &mut self,
        statements: &[Statement],
    ) -> Result<Vec<PackedRows>, Error> {
        let packed = self.query_all(statements).await?.into_iter().map(pack).collect();
        let subject = &self.local.subject;
        let call = Call { subject, operation: "query a snapshot", changes: false };
        Option::ok_or_else(packed, || call.too_large("its rows exceed 4 GiB"))
    }
}
