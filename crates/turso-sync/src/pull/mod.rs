//! Fetching a server's database into a file: one snapshot, in pages, checked.
//!
//! One thread asks for pages while this one writes those that came. The rows of each table are
//! counted by the server in the same snapshot.

mod asking;
mod table;
mod writing;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use libsql_link::blocking::Link;
use libsql_link::{Error as LinkError, Position, Value};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use asking::Asking;
use table::Table;
use writing::Writing;

use crate::error::{Error, Result};
use crate::progress::{Progress, Step};
use crate::push::inconsistent;
use crate::push::literal;
use crate::push::schema::{Entry, SCHEMA_SQL, Schema};
use crate::state::{remove_database, sync_file};

/// How often fetching begins anew after a break.
const ATTEMPTS_MAX: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_millis(300);

/// What was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) tables: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Where the server stood just before, if it tells: as long as it stands there, this is what it
    /// has.
    pub(crate) position: Option<Position>,
}

/// Fetches the database behind `link` into a new file at `to`; a file that is there is replaced.
///
/// On success the file is complete and on disk, and nothing is left beside it; on failure it is
/// without meaning.
pub(crate) fn fetch(link: &Link, url: &str, to: &Path, progress: &dyn Progress) -> Result<Fetched> {
    let mut marked = HashSet::new();
    let mut attempt = 1;
    loop {
        remove_database(to)?;
        let mut now = Vec::new();
        let attempted = Fetch { link, url, to, progress, marked: &marked, now: &mut now };
        match attempted.run() {
            Ok(fetched) => {
                sync_file(to)?;
                return Ok(fetched);
            }
            // Some text in them is not UTF-8. The server ends the snapshot with such an answer.
            Err(Error::Link(LinkError::Unreadable { .. }))
                if now.iter().any(|table| !marked.contains(table)) =>
            {
                marked.extend(now);
            }
            // Who has waited as long as a call may take has waited long enough.
            Err(error @ Error::Link(LinkError::TimedOut { .. })) => {
                remove_database(to)?;
                return Err(error);
            }
            Err(error) if error.is_transient() && attempt < ATTEMPTS_MAX => {
                attempt += 1;
                std::thread::sleep(RETRY_DELAY);
            }
            Err(error) => {
                remove_database(to)?;
                return Err(error);
            }
        }
    }
}

struct Fetch<'f> {
    link: &'f Link,
    url: &'f str,
    to: &'f Path,
    progress: &'f dyn Progress,
    /// Tables whose rows come marked.
    marked: &'f HashSet<String>,
    /// The tables that are being fetched.
    now: &'f mut Vec<String>,
}

/// Whether a table is kept by SQLite or libSQL itself.
fn is_internal(entry: &Entry, schema: &Schema) -> bool {
    let name = entry.name.to_ascii_lowercase();
    if name.starts_with("sqlite_") || name == "libsql_vector_meta_shadow" {
        return true;
    }
    // libSQL keeps a vector index in a table named after it.
    name.strip_suffix("_shadow").is_some_and(|index| {
        schema.find("index", index).is_some_and(|index| {
            index.sql.as_deref().is_some_and(|sql| sql.contains("libsql_vector_idx"))
        })
    })
}

fn is_virtual(sql: &str) -> bool {
    let mut words = sql.split_ascii_whitespace();
    let is = |word: Option<&str>, expected| {
        word.is_some_and(|word: &str| word.eq_ignore_ascii_case(expected))
    };
    is(words.next(), "CREATE") && is(words.next(), "VIRTUAL")
}

fn define(conn: &Connection, entry: &Entry) -> Result<()> {
    let Some(sql) = &entry.sql else { return Ok(()) };
    conn.execute_batch(sql).map_err(|error| Error::Unsupported {
        subject: format!("{} {}", entry.kind, entry.name),
        what: format!("the server has it, but it cannot be created here: {error}"),
    })
}

impl Fetch<'_> {
    fn run(self) -> Result<Fetched> {
        self.progress.step(Step::Asking);
        // Before the snapshot: what is written in between is then seen as news.
        let position = self.link.position()?;
        let mut snapshot = self.link.read_transaction()?;
        let about = snapshot.query_all(&[
            SCHEMA_SQL.into(),
            "SELECT encoding FROM pragma_encoding".into(),
            "SELECT user_version FROM pragma_user_version".into(),
        ])?;
        let [schema, encoding, user_version] = &about[..] else {
            return Err(self.inconsistent("an answer is missing"));
        };
        let schema = schema.single().and_then(Value::as_text).and_then(Schema::parse);
        let schema = schema.ok_or_else(|| self.inconsistent("its schema cannot be read"))?;
        let user_version = user_version.single().and_then(Value::as_integer);
        let user_version =
            user_version.ok_or_else(|| self.inconsistent("it has no user_version"))?;
        if encoding.single().and_then(Value::as_text) != Some("UTF-8") {
            return Err(Error::Unsupported {
                subject: self.url.to_owned(),
                what: "its database stores text as UTF-16; only UTF-8 can be fetched".to_owned(),
            });
        }
        self.progress.step(Step::Fetching);
        let conn = self.create()?;
        let all: Vec<&Entry> = schema
            .entries
            .iter()
            .filter(|entry| entry.kind == "table" && !is_internal(entry, &schema))
            .collect();
        let (virtual_tables, ordinary): (Vec<&Entry>, Vec<&Entry>) =
            all.iter().partition(|entry| entry.sql.as_deref().is_some_and(is_virtual));
        for entry in &ordinary {
            define(&conn, entry)?;
        }
        let tables = ordinary
            .iter()
            .map(|entry| Table::read(&conn, self.to, &entry.name))
            .collect::<Result<Vec<_>>>()?;
        let has_sequences = schema.find("table", "sqlite_sequence").is_some();
        let (to, answers) = sync_channel(1);
        let mut asking = Asking::new(self.url, &tables, self.marked, has_sequences, to);
        let writing = Writing { conn: &conn, url: self.url, file: self.to, tables: &tables };
        let (told, written) = std::thread::scope(|scope| {
            // The connection stays here, where it may be used.
            let asker = scope.spawn(move || (asking.run(snapshot), asking.now));
            let written = writing.run(&answers, self.progress);
            // An asker that still sends ends now.
            drop(answers);
            let (told, now) = asker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            *self.now = now;
            (told, written)
        });
        let written = written?;
        let Some(told) = told? else { return Err(self.inconsistent("its pages end early")) };
        self.now.clear();
        let tables_count = all.len() as u64;
        let mut fetched = Fetched { tables: tables_count, position, ..Fetched::default() };
        for ((table, written), count) in tables.iter().zip(&written).zip(told.counts) {
            if written.rows != count {
                let what =
                    format!("table {} has {count} rows, and {} came", table.name, written.rows);
                return Err(self.inconsistent(&what));
            }
            fetched.rows += written.rows;
            fetched.bytes += written.bytes;
        }
        self.virtual_tables(&conn, &virtual_tables)?;
        self.sequences(&conn, &told.sequences.rows)?;
        for kind in ["index", "view", "trigger"] {
            for entry in schema.entries.iter().filter(|entry| entry.kind == kind) {
                if entry.sql.is_some() {
                    define(&conn, entry)?;
                }
            }
        }
        self.finish(conn, user_version)?;
        Ok(fetched)
    }

    fn inconsistent(&self, what: &str) -> Error {
        inconsistent(self.url, what)
    }

    fn sqlite(&self, doing: &str) -> impl FnOnce(rusqlite::Error) -> Error {
        Error::sqlite(self.to, doing)
    }

    fn create(&self) -> Result<Connection> {
        let create = || -> rusqlite::Result<Connection> {
            let conn = Connection::open(self.to)?;
            // A file that a crash damages is fetched again: nothing is lost.
            conn.execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; \
                 PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -65536; \
                 PRAGMA ignore_check_constraints = ON; BEGIN",
            )?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
            Ok(conn)
        };
        create().map_err(self.sqlite("creating the file"))
    }

    /// Their content is in the tables that they keep it in; creating them would make those anew.
    fn virtual_tables(&self, conn: &Connection, tables: &[&Entry]) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        let write = || -> rusqlite::Result<()> {
            conn.execute_batch("PRAGMA writable_schema = ON")?;
            let mut insert = conn.prepare(
                "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) \
                 VALUES ('table', ?1, ?1, 0, ?2)",
            )?;
            for entry in tables {
                insert.execute((&entry.name, &entry.sql))?;
            }
            drop(insert);
            // Read anew, so that indexes and triggers can be created with what is there now.
            conn.execute_batch("COMMIT; PRAGMA writable_schema = RESET; BEGIN")
        };
        write().map_err(self.sqlite("creating a virtual table"))
    }

    fn sequences(&self, conn: &Connection, rows: &[Vec<Value>]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut sql = "DELETE FROM sqlite_sequence;".to_owned();
        for row in rows {
            let [Value::Text(name), Value::Integer(number)] = &row[..] else {
                return Err(self.inconsistent("a counter is no number"));
            };
            // Writing to a String cannot fail.
            let _ = write!(
                sql,
                "INSERT INTO sqlite_sequence (name, seq) SELECT {0}, {number} \
                 WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE lower(name) = lower({0}));",
                literal(name)
            );
        }
        conn.execute_batch(&sql).map_err(self.sqlite("setting counters"))
    }

    fn finish(&self, conn: Connection, user_version: i64) -> Result<()> {
        conn.execute_batch(&format!(
            "PRAGMA user_version = {user_version}; COMMIT; PRAGMA locking_mode = NORMAL; \
             PRAGMA journal_mode = DELETE"
        ))
        .map_err(self.sqlite("finishing the file"))?;
        conn.close().map_err(|(_, error)| self.sqlite("closing the file")(error))
    }
}
