//! `schedule_history`: what became of rows that a run changed or deleted.
//!
//! Entries are only ever added. Each holds the hash of the one before and a hash over itself, and
//! each run records the entry it ended with, so that [`verify`] finds what was edited, removed or
//! cut off later.
//!
//! The hash of an entry is BLAKE3, in lower-case hexadecimal digits, over the previous hash, a line
//! feed, and the JSON array `[id, run_id, schedule_id, contact_id, what, why, old_values,
//! recorded_at]` without blanks. Before the first entry stand 64 zeros.

use std::{collections::HashMap, fmt, mem};

use rusqlite::{Connection, OptionalExtension as _, Statement, params, types::ValueRef};

use crate::{
    Database, StoreError,
    cell::{self, integer, owned},
    json,
    schema::Table,
};

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// It got new content.
    Updated,
    /// It was removed.
    Deleted,
    /// Its day passed, and it became `skipped`.
    Expired,
}

impl Happening {
    /// The text of the column `what`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// The last entry of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its id.
    pub id: i64,
    /// Its hash.
    pub hash: String,
}

/// The beginning of what entries of migrations name in the place of a run.
pub(crate) const MIGRATION_RUN: &str = "migration-";

const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What is recorded about a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) schedule_id: i64,
    pub(crate) contact_id: Option<i64>,
    pub(crate) what: Happening,
    pub(crate) why: &'a str,
    /// The former row, see [`old_values`].
    pub(crate) old_values: &'a str,
    pub(crate) recorded_at: &'a str,
}

/// What ties an entry to the one before it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: i64,
    pub(crate) previous_hash: String,
    pub(crate) hash: String,
}

/// The end of the chain, where entries are added. Valid within one transaction.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    last_id: i64,
    hash: String,
}

impl Chain {
    pub(crate) fn at_end(db: &Connection) -> rusqlite::Result<Self> {
        let last_id: Option<i64> =
            db.query_row("SELECT max(id) FROM main.schedule_history", [], |row| row.get(0))?;
        let hash = db
            .query_row(
                "SELECT hash FROM main.schedule_history WHERE hash IS NOT NULL
                 ORDER BY id DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        Ok(Self { last_id: last_id.unwrap_or(0), hash: hash.unwrap_or_else(|| GENESIS.to_owned()) })
    }

    /// The statement for [`Chain::append`].
    pub(crate) fn prepare(db: &Connection) -> rusqlite::Result<Statement<'_>> {
        db.prepare(
            "INSERT INTO main.schedule_history (id, run_id, schedule_id, contact_id, what, why,
               old_values, recorded_at, previous_hash, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
    }

    pub(crate) fn append(
        &mut self,
        insert: &mut Statement<'_>,
        entry: &Entry<'_>,
    ) -> rusqlite::Result<()> {
        let link = self.link(entry);
        insert.execute(params![
            link.id,
            entry.run_id,
            entry.schedule_id,
            entry.contact_id,
            entry.what.text(),
            entry.why,
            entry.old_values,
            entry.recorded_at,
            link.previous_hash,
            link.hash
        ])?;
        Ok(())
    }

    /// Makes an entry the last one of the chain; it is to be inserted as that, or all is to be rolled
    /// back.
    pub(crate) fn link(&mut self, entry: &Entry<'_>) -> Link {
        let id = self.last_id + 1;
        let fields = (
            id,
            entry.run_id,
            entry.schedule_id,
            entry.contact_id,
            entry.what.text(),
            entry.why,
            entry.old_values,
            entry.recorded_at,
        );
        let hash = hash_of(&self.hash, &fields);
        self.last_id = id;
        Link { id, previous_hash: mem::replace(&mut self.hash, hash.clone()), hash }
    }

    /// The last entry, if there is one.
    pub(crate) fn head(&self) -> Option<Head> {
        (self.hash != GENESIS).then(|| Head { id: self.last_id, hash: self.hash.clone() })
    }
}

fn hash_of(previous: &str, fields: &impl serde::Serialize) -> String {
    // In one piece, as the hash takes many small ones slowly.
    let mut text = Vec::with_capacity(1024);
    text.extend_from_slice(previous.as_bytes());
    text.push(b'\n');
    serde_json::to_writer(&mut text, fields).expect("numbers and texts are JSON");
    blake3::hash(&text).to_hex().to_string()
}

/// All columns of a row as a JSON object in the order of the columns, each value in a form from which
/// it can be restored exactly, see [`json::write_value`].
pub(crate) fn old_values(row: &rusqlite::Row<'_>, columns: &[String]) -> rusqlite::Result<String> {
    let mut out = String::with_capacity(512);
    for (at, name) in columns.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        json::write_text(&mut out, name);
        out.push(':');
        json::write_value(&mut out, row.get_ref(at)?);
    }
    out.push('}');
    Ok(out)
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Entries in the chain.
    pub entries: u64,
    /// Entries that another program made before the chain began; nothing vouches for them.
    pub unchained: u64,
    /// The hash of the last entry.
    pub last_hash: Option<String>,
    /// What is wrong, in the order of the entries. Empty: the history stands.
    pub faults: Vec<Fault>,
}

/// A sign that the history was edited.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the messages name")]
pub enum Fault {
    /// An entry's content is not what its hash was made of.
    Changed { id: i64 },
    /// An entry does not follow the one before it: its predecessor was exchanged or removed.
    Unlinked { id: i64 },
    /// Entries are missing before this one.
    Gap { before: i64 },
    /// A run ended with an entry that is not there, or not the same.
    EndOfRun { run_id: String, id: i64 },
    /// An entry names a run that did not make it: one that is not on record, or had ended before.
    Foreign { id: i64, run_id: String },
    /// A hash that was noted elsewhere is not that of any entry.
    Missing { hash: String },
    /// Nothing keeps entries from being edited any more: a trigger was removed.
    Unguarded { trigger: &'static str },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { id } => write!(f, "entry {id} was changed after it was recorded"),
            Self::Unlinked { id } => write!(f, "entry {id} does not follow the entry before it"),
            Self::Gap { before } => write!(f, "entries are missing before entry {before}"),
            Self::EndOfRun { run_id, id } => {
                write!(f, "run {run_id} ended with entry {id}, which is not there as it was")
            }
            Self::Foreign { id, run_id } => {
                write!(f, "entry {id} was not made by run {run_id}, which it names")
            }
            Self::Missing { hash } => write!(f, "no entry has the hash {hash}"),
            Self::Unguarded { trigger } => write!(f, "the trigger {trigger} was removed"),
        }
    }
}

/// The triggers that make the table append-only, with the statement that each refuses.
pub(crate) const GUARDS: [(&str, &str); 2] =
    [("schedule_history_no_update", "UPDATE"), ("schedule_history_no_delete", "DELETE")];

/// Checks every entry of the history against the chain of hashes, and the chain against the ends
/// that the runs recorded and, if there is one, against the hash of an entry that was noted outside
/// of the database.
///
/// # Errors
/// Only if the history cannot be read. That it was edited is the result, not an error. A database
/// without the table has an empty history.
pub fn verify(db: &Database, noted: Option<&str>) -> Result<Verification, StoreError> {
    let _snapshot = db.connection().is_autocommit().then(|| db.snapshot()).transpose()?;
    let missing = |found: &mut Verification| {
        found.faults.extend(noted.map(|hash| Fault::Missing { hash: hash.to_owned() }));
    };
    let verified = verify_within(db.connection(), noted).map(|(mut found, is_noted)| {
        if !is_noted {
            missing(&mut found);
        }
        found
    });
    verified.map_err(|error| db.fail("verify the history", error))
}

/// Also says whether the noted hash is that of an entry.
fn verify_within(db: &Connection, noted: Option<&str>) -> rusqlite::Result<(Verification, bool)> {
    let mut verification = Verification::default();
    let mut is_noted = noted.is_none();
    let Some(table) = Table::read(db, "schedule_history")? else {
        return Ok((verification, is_noted));
    };
    if table.column("hash").is_none() {
        return Ok((verification, is_noted));
    }
    let faults = &mut verification.faults;
    let mut ends = ends_of_runs(db)?;
    // A run records its end with each batch.
    let last_of_run: HashMap<String, i64> =
        ends.iter().map(|(run_id, id, _)| (run_id.clone(), *id)).collect();
    let mut statement = db.prepare(
        "SELECT id, run_id, schedule_id, contact_id, what, why, old_values, recorded_at,
           previous_hash, hash FROM main.schedule_history ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut last: Option<(i64, String)> = None;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let text = |at| cell::text(row, at).ok().flatten();
        let (previous, hash) = (text(8), text(9));
        if last.is_none() && row.get_ref(9)? == ValueRef::Null {
            verification.unchained += 1;
            continue;
        }
        verification.entries += 1;
        match &last {
            Some((last_id, last_hash)) => {
                if id != last_id + 1 {
                    faults.push(Fault::Gap { before: id });
                } else if previous != Some(last_hash) {
                    faults.push(Fault::Unlinked { id });
                }
            }
            None if previous != Some(GENESIS) => faults.push(Fault::Gap { before: id }),
            None => {}
        }
        let computed =
            previous.zip(text(1)).zip(text(4).zip(text(5))).zip(text(6).zip(text(7))).and_then(
                |(((previous, run_id), (what, why)), (old_values, recorded_at))| {
                    let schedule_id: i64 = row.get(2).ok()?;
                    let contact_id: Option<i64> = row.get(3).ok()?;
                    let fields =
                        (id, run_id, schedule_id, contact_id, what, why, old_values, recorded_at);
                    Some(hash_of(previous, &fields))
                },
            );
        if computed.is_none() || computed.as_deref() != hash {
            faults.push(Fault::Changed { id });
        } else if let Some(run_id) = text(1).filter(|run_id| !run_id.starts_with(MIGRATION_RUN))
            && last_of_run.get(run_id).is_none_or(|last| *last < id)
        {
            faults.push(Fault::Foreign { id, run_id: run_id.to_owned() });
        }
        let hash = hash.unwrap_or_default();
        is_noted |= noted.is_some_and(|noted| noted.eq_ignore_ascii_case(hash));
        ends.retain(|(_, end_id, end_hash)| *end_id != id || end_hash != hash);
        last = Some((id, hash.to_owned()));
    }
    verification.last_hash = last.map(|(_, hash)| hash);
    faults.extend(ends.into_iter().map(|(run_id, id, _)| Fault::EndOfRun { run_id, id }));
    let mut guard = db.prepare(
        "SELECT 1 FROM main.sqlite_schema
         WHERE type = 'trigger' AND tbl_name = 'schedule_history' COLLATE NOCASE AND name = ?1",
    )?;
    for (trigger, _) in GUARDS {
        if !guard.exists([trigger])? {
            faults.push(Fault::Unguarded { trigger });
        }
    }
    Ok((verification, is_noted))
}

/// Run, entry and hash, as the runs recorded them.
fn ends_of_runs(db: &Connection) -> rusqlite::Result<Vec<(String, i64, String)>> {
    let known = Table::read(db, "scheduler_checkpoints")?.is_some_and(|table| {
        ["run_id", "history_id", "history_hash"].iter().all(|name| table.column(name).is_some())
    });
    if !known {
        return Ok(Vec::new());
    }
    let mut statement = db.prepare(
        "SELECT run_id, history_id, history_hash FROM main.scheduler_checkpoints
         WHERE history_id IS NOT NULL ORDER BY history_id",
    )?;
    let ends = statement.query_map([], |row| {
        let run_id = owned(row, 0)?.unwrap_or_default();
        let id = integer(row, 1)?.unwrap_or_default();
        Ok((run_id, id, owned(row, 2)?.unwrap_or_default()))
    })?;
    ends.collect()
}
