//! Sending a diff to a server: staged in chunks, applied in one short transaction, exactly once.
//!
//! Every push has an identity of its own. Its chunks can be sent any number of times; the
//! transaction that applies them writes the identity into a table of the server, where it is unique,
//! and so succeeds once at most. Whoever does not hear the answer looks there.

mod cell;
mod chunks;
pub(crate) mod schema;
mod script;
mod survey;

use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use libsql_diff::Diff;
use libsql_link::blocking::Link;
use libsql_link::{Error as LinkError, Rows, Statement, Value};

use crate::error::{Error, Result};
use crate::progress::{Progress, Step};
use chunks::Chunk;
pub(crate) use chunks::ENCODING;
use schema::{Misfit, SCHEMA_SQL, Schema};
use script::{Plan, ROW_CHECK, SIGN, Staged, ZERO_SIGN, script};
pub(crate) use script::{listed, literal};
use survey::survey;

/// One row for each push that was carried out or given up: kept [`KEPT_DAYS`] days.
pub(crate) const MARKER: &str = "\"_turso_sync_push\"";
/// What is sent before it is applied.
pub(crate) const STAGE: &str = "\"_turso_sync_stage\"";
/// How long markers, and chunks of clients that never came back, are kept.
const KEPT_DAYS: u32 = 7;

/// Diffs of at most so many bytes are sent together with the transaction that applies them.
const INLINE_BYTES_MAX: u64 = 512 << 10;
/// How often the transaction is sent.
const ATTEMPTS_MAX: u32 = 5;
/// After the first time that others took the server's database; longer each time.
const PAUSE: Duration = Duration::from_millis(200);

/// How a push ended, if it did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    Applied,
    /// The server's database is not as expected; nothing was applied.
    Conflict(Reason),
}

/// Why nothing was applied.
#[derive(Debug)]
pub(crate) enum Reason {
    /// A row to change or delete holds other values, or is gone; or a constraint forbids a change.
    Rows(String),
    /// Definitions are others.
    Definitions(Vec<Misfit>),
}

/// A push, begun now or earlier.
pub(crate) struct Push<'p> {
    pub(crate) link: &'p Link,
    pub(crate) url: &'p str,
    pub(crate) id: &'p str,
    /// Whether nothing of it was ever sent.
    pub(crate) is_new: bool,
    pub(crate) client: &'p str,
    pub(crate) diff: &'p Diff,
    /// The file that the diff begins at.
    pub(crate) base: &'p Path,
    pub(crate) progress: &'p dyn Progress,
}

/// What the server says about a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Unknown,
    Applied,
    Abandoned,
}

/// What became of a push.
pub(crate) fn fate(link: &Link, url: &str, id: &str) -> Result<Fate> {
    // The identity comes back, so that no answer to another question is taken for this one's.
    let sql = format!("SELECT id, state FROM {MARKER} WHERE id = '{id}'");
    let rows = match link.query(&sql, &[]) {
        Ok(rows) => rows,
        // Nothing was ever pushed there, or the server refuses for a reason that it gives again.
        Err(error @ LinkError::BadSql { .. }) => {
            let exists = "SELECT count(*) FROM sqlite_schema WHERE name = '_turso_sync_push'";
            let exists = link.query(exists, &[])?;
            return match exists.single().and_then(Value::as_integer) {
                Some(0) => Ok(Fate::Unknown),
                _ => Err(error.into()),
            };
        }
        Err(error) => return Err(error.into()),
    };
    let odd = || inconsistent(url, "a push has no proper state");
    match &rows.rows[..] {
        [] => Ok(Fate::Unknown),
        [row] => match &row[..] {
            [Value::Text(of), Value::Text(state)] if of == id => match state.as_str() {
                "applied" => Ok(Fate::Applied),
                "abandoned" => Ok(Fate::Abandoned),
                _ => Err(odd()),
            },
            _ => Err(odd()),
        },
        _ => Err(odd()),
    }
}

/// Gives a push up for good; whatever of it is still on its way does nothing any more. Says what
/// became of it, for the server may have carried it out by now.
pub(crate) fn abandon(link: &Link, url: &str, id: &str, client: &str) -> Result<Fate> {
    link.batch_repeatable(&script::abandon(id, client))?;
    fate(link, url, id)
}

/// The schema of a server, as text and read.
pub(crate) fn server_schema(link: &Link, url: &str) -> Result<(String, Schema)> {
    let rows = link.query(SCHEMA_SQL, &[])?;
    let text = rows.single().and_then(Value::as_text);
    let text = text.ok_or_else(|| inconsistent(url, "it has no schema"))?;
    let schema = Schema::parse(text).ok_or_else(|| inconsistent(url, "its schema is none"))?;
    Ok((text.to_owned(), schema))
}

pub(crate) fn inconsistent(url: &str, what: &str) -> Error {
    Error::Inconsistent { url: url.to_owned(), what: what.to_owned() }
}

impl Push<'_> {
    /// Sends what the server does not have yet and has it applied.
    ///
    /// After an error that [`Error::is_transient`], the same push can be run again.
    pub(crate) fn run(&self) -> Result<Outcome> {
        self.progress.step(Step::Asking);
        let base = Schema::of_file(self.base)?;
        let mut survey = survey(self.diff)?;
        let mut allows_dangling = false;
        let mut checks_references = true;
        let mut tells_zeros = true;
        // Where an attempt before this one may have got to, nothing is known.
        let mut may_be_applied = !self.is_new;
        let mut attempt = 0;
        loop {
            attempt += 1;
            if may_be_applied {
                match fate(self.link, self.url, self.id)? {
                    Fate::Applied => return Ok(Outcome::Applied),
                    Fate::Abandoned => {
                        return Err(inconsistent(self.url, "the push was given up meanwhile"));
                    }
                    Fate::Unknown => {}
                }
            }
            let (schema_text, schema) = server_schema(self.link, self.url)?;
            let misfits = schema.misfits(&base, self.diff)?;
            if !misfits.is_empty() {
                return Ok(Outcome::Conflict(Reason::Definitions(misfits)));
            }
            let is_first = self.is_new && attempt == 1;
            let (mut statements, staged) = self.stage(&mut survey, is_first)?;
            self.progress.step(Step::Applying);
            statements.append(&mut script(&Plan {
                diff: self.diff,
                survey: &survey,
                push: self.id,
                client: self.client,
                staged,
                schema_text: &schema_text,
                schema: &schema,
                allows_dangling,
                checks_references,
                tells_zeros,
            })?);
            let is_last = attempt >= ATTEMPTS_MAX;
            let Err(error) = self.link.batch_without_foreign_keys(&statements) else {
                // Nobody's word is taken for it: a base that has what the server has not would turn
                // into deletions with the next pull.
                if fate(self.link, self.url, self.id)? == Fate::Applied {
                    return Ok(Outcome::Applied);
                }
                if is_last {
                    return Err(inconsistent(self.url, "it took the push and does not know it"));
                }
                continue;
            };
            may_be_applied = error.may_have_been_applied();
            let says = error.to_string();
            let check = says.split_once(SIGN).map(|(_, rest)| {
                rest.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default()
            });
            match (&error, check) {
                (LinkError::Constraint { .. }, Some(ROW_CHECK | "count")) => {
                    let what = "a row to change or delete is not there as expected".to_owned();
                    return Ok(Outcome::Conflict(Reason::Rows(what)));
                }
                (LinkError::Constraint { .. }, Some("setting")) => {
                    let what = "user_version is another one".to_owned();
                    return Ok(Outcome::Conflict(Reason::Rows(what)));
                }
                (LinkError::Constraint { .. }, Some("references")) => {
                    if allows_dangling {
                        let what = "rows would refer to rows that are not there".to_owned();
                        return Ok(Outcome::Conflict(Reason::Rows(what)));
                    }
                    allows_dangling = true;
                }
                // Somebody changed the schema, or cleared the stage, since it was looked at.
                (LinkError::Constraint { .. }, Some("schema" | "stage")) if !is_last => {}
                (LinkError::Constraint { reason, .. }, None) => {
                    if reason.contains("_turso_sync_push") {
                        may_be_applied = true;
                    } else {
                        return Ok(Outcome::Conflict(Reason::Rows(reason.clone())));
                    }
                }
                _ if says.contains("foreign key mismatch") && checks_references => {
                    checks_references = false;
                }
                _ if says.contains(&format!("no such function: {ZERO_SIGN}")) && tells_zeros => {
                    tells_zeros = false;
                }
                (LinkError::Busy { reason, .. } | LinkError::Expired { reason, .. }, _) => {
                    if is_last {
                        let (url, reason) = (self.url.to_owned(), reason.clone());
                        return Err(Error::Interrupted { url, attempts: attempt, reason });
                    }
                    // Those who wait have their turn.
                    std::thread::sleep(PAUSE * attempt);
                }
                _ if !is_last && (may_be_applied || error.is_transient()) => {}
                _ if may_be_applied => {
                    return match fate(self.link, self.url, self.id) {
                        Ok(Fate::Applied) => Ok(Outcome::Applied),
                        _ => Err(Error::Undecided { url: self.url.to_owned(), reason: says }),
                    };
                }
                _ => return Err(error.into()),
            }
        }
    }

    /// Sends the chunks that are missing there; all of them if this `is_first`. Small ones come back
    /// as statements, to be sent with the transaction.
    fn stage(
        &self,
        survey: &mut survey::Survey,
        is_first: bool,
    ) -> Result<(Vec<Statement>, Staged)> {
        self.progress.step(Step::Staging);
        self.progress.total(survey.rows);
        if self.diff.size_bytes() > INLINE_BYTES_MAX {
            return Ok((Vec::new(), self.send(survey, is_first)?));
        }
        let mut statements = script::bookkeeping().to_vec();
        let staged = self.cut(survey, &mut |chunk| {
            statements.push(script::stage(self.id, chunk));
            Ok(0)
        })?;
        Ok((statements, staged))
    }

    /// Cuts the diff into chunks, each handed to `send`, which says how many bytes it has sent.
    fn cut(
        &self,
        survey: &mut survey::Survey,
        send: &mut dyn FnMut(Chunk) -> Result<u64>,
    ) -> Result<Staged> {
        let mut staged = Staged::default();
        let sent = Cell::new(0);
        let (mut last, mut told) = (String::new(), 0);
        let mut row = |table: &str, rows: u64| {
            if last != table || sent.get() != told {
                table.clone_into(&mut last);
                told = sent.get();
                self.progress.advance(table, rows, told);
            }
        };
        chunks::chunks(self.diff, survey, &mut row, &mut |chunk: Chunk| {
            staged.chunks += 1;
            staged.bytes += chunk.length();
            sent.set(send(chunk)?);
            Ok(())
        })?;
        Ok(staged)
    }

    /// Sends the chunks that are missing there, one after the other; the next one is made meanwhile.
    ///
    /// Not several at once: writers that wait for a third can keep all threads of an sqld on two cores
    /// busy with waiting, so that none of them goes on (seen with 0.24.1).
    fn send(&self, survey: &mut survey::Survey, is_first: bool) -> Result<Staged> {
        let present = if is_first {
            self.link.batch_repeatable(&script::bookkeeping())?;
            HashMap::new()
        } else {
            let [markers, stage] = script::bookkeeping();
            let mut answers =
                self.link.batch_repeatable(&[markers, stage, self.present_sql().into()])?;
            self.present(&answers.pop().unwrap_or_default())?
        };
        let (to, chunks) = sync_channel::<Chunk>(0);
        std::thread::scope(|scope| {
            let (link, id) = (self.link, self.id);
            // Ends with the first chunk that cannot be sent; then nobody takes the next one.
            let sender = scope.spawn(move || -> Result<()> {
                for chunk in chunks {
                    link.batch_repeatable(&[script::stage(id, chunk)])?;
                }
                Ok(())
            });
            let mut sent = 0;
            let staged = self.cut(survey, &mut |chunk| {
                if present.get(&(chunk.group, chunk.number)) == Some(&chunk.length()) {
                    return Ok(sent);
                }
                sent += chunk.length();
                to.send(chunk).map_err(|_| inconsistent(self.url, "nobody sends any more"))?;
                Ok(sent)
            });
            drop(to);
            sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            staged
        })
    }

    fn present_sql(&self) -> String {
        format!(
            "SELECT grp, chunk, CASE WHEN typeof(body) IN ('text', 'blob') \
             THEN octet_length(body) ELSE 0 END FROM {STAGE} WHERE push = '{}'",
            self.id
        )
    }

    /// What is staged already, with the lengths.
    fn present(&self, rows: &Rows) -> Result<HashMap<(u64, u64), u64>> {
        let number = |value: &Value| value.as_integer().and_then(|value| u64::try_from(value).ok());
        rows.rows
            .iter()
            .map(|row| match &row[..] {
                [group, chunk, length] => Some(((number(group)?, number(chunk)?), number(length)?)),
                _ => None,
            })
            .collect::<Option<_>>()
            .ok_or_else(|| inconsistent(self.url, "its stage cannot be read"))
    }
}
