//! One table as it is asked for: which rows, and in which form.
//!
//! Rows are asked for as they are, which the server carries out fastest. Where it cannot carry them
//! so, because a text is not UTF-8 or a row exceeds what it sends at once, each row comes *marked*:
//! a letter for each value, and the value in a form that always arrives.
//!
//! | letter | value | comes as |
//! | --- | --- | --- |
//! | `n`, `i`, `r`, `b` | NULL, an integer, a real, a blob | itself |
//! | `t` | text | its bytes, as a blob |
//! | `R` | an infinity | 1 or -1 |
//! | `T`, `B` | large text, a large blob | its length in bytes; it is fetched by itself |

use std::ops::Range;
use std::path::Path;

use libsql_diff::quoted;
use libsql_link::{Statement, Value};
use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::push::listed;

/// At most 2,000 columns come from one statement; others are asked for by a second one.
const PART_COLUMNS: usize = 1000;
/// `||` nests to the left, and SQLite limits the depth.
const CHAIN_MAX: usize = 100;

/// A table as it is defined.
pub(crate) struct Table {
    pub(crate) name: String,
    /// The columns that hold values of their own.
    pub(crate) columns: Vec<String>,
    /// The rowid's name, if it has one that no column hides.
    pub(crate) rowid: Option<&'static str>,
    without_rowid: bool,
    /// The primary key of a table without rowid, as it is sorted.
    key: Vec<String>,
}

/// How rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// Values of more than `large_bytes` are left out.
    Marked {
        large_bytes: usize,
    },
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Start,
    /// After a rowid.
    After(i64),
    /// After so many rows, in a table without rowids.
    Skip(u64),
}

impl Table {
    pub(crate) fn read(conn: &Connection, file: &Path, name: &str) -> Result<Self> {
        let read = || -> rusqlite::Result<Self> {
            let without_rowid = conn.query_row(
                "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1",
                [name],
                |row| row.get(0),
            )?;
            let mut stmt = conn.prepare("SELECT name, pk, hidden FROM pragma_table_xinfo(?1)")?;
            let mut rows = stmt.query([name])?;
            let mut table = Self {
                name: name.to_owned(),
                columns: Vec::new(),
                rowid: None,
                without_rowid,
                key: Vec::new(),
            };
            let mut names = Vec::new();
            let mut key = Vec::new();
            while let Some(row) = rows.next()? {
                let column: String = row.get(0)?;
                if let part @ 1.. = row.get::<_, i64>(1)? {
                    key.push((part, quoted(&column)));
                }
                names.push(column.to_ascii_lowercase());
                if row.get::<_, i64>(2)? == 0 {
                    table.columns.push(column);
                }
            }
            key.sort();
            table.key = key.into_iter().map(|(_, name)| name).collect();
            table.rowid = ["rowid", "_rowid_", "oid"]
                .into_iter()
                .find(|name| !without_rowid && !names.iter().any(|column| column == name));
            Ok(table)
        };
        read().map_err(Error::sqlite(file, format!("reading the definition of {name}")))
    }

    /// The columns of each statement that a page takes.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let count = self.columns.len();
        (0..count.max(1))
            .step_by(PART_COLUMNS)
            .map(move |from| from..count.min(from + PART_COLUMNS))
    }

    /// The statements that give at most `limit` rows from `from` on, one for each part: the rowid
    /// or NULL, the letters if rows come marked, the values.
    pub(crate) fn page(&self, form: Form, from: From, limit: usize) -> Vec<Statement> {
        let place = self.place(from);
        let params = [Value::Integer(limit as i64), Value::Integer(start(from))];
        let params = if from == From::Start { &params[..1] } else { &params[..] };
        self.parts()
            .map(|part| {
                let names = self.columns[part].iter().map(|name| quoted(name));
                let values = match form {
                    Form::Plain => listed(names),
                    Form::Marked { large_bytes } => {
                        let names: Vec<String> = names.collect();
                        let letters =
                            names.iter().map(|name| letter(name, large_bytes)).collect::<Vec<_>>();
                        let values = names.iter().map(|name| marked(name, large_bytes));
                        format!(", {}{}", joined(&letters), listed(values))
                    }
                };
                let rowid = self.rowid.unwrap_or("NULL");
                let sql = format!("SELECT {rowid}{values} FROM {} {place}", quoted(&self.name));
                Statement::new(sql, params.iter().cloned())
            })
            .collect()
    }

    /// A part of one value as a blob: `length` bytes after the first `from`. The row is the first
    /// one of a page that begins at `row`.
    pub(crate) fn piece(&self, column: usize, row: From, from: u64, length: u64) -> Statement {
        let name = quoted(&self.columns[column]);
        let params = [
            Value::Integer(1),
            Value::Integer(start(row)),
            Value::Integer(from as i64 + 1),
            Value::Integer(length as i64),
        ];
        Statement::new(
            format!(
                "SELECT substr(CAST({name} AS BLOB), ?3, ?4) FROM {} {}",
                quoted(&self.name),
                self.place(row)
            ),
            params,
        )
    }

    /// Which rows, in which order: `?1` is how many at most, `?2` where they begin.
    fn place(&self, from: From) -> String {
        if let Some(rowid) = self.rowid {
            let after = match from {
                From::Start => String::new(),
                From::After(_) | From::Skip(_) => format!("WHERE {rowid} > ?2 "),
            };
            return format!("NOT INDEXED {after}ORDER BY {rowid} LIMIT ?1");
        }
        let order = if self.without_rowid {
            format!("ORDER BY {} ", self.key.join(", "))
        } else {
            String::new()
        };
        let skip = if from == From::Start { "" } else { " OFFSET ?2" };
        format!("{order}LIMIT ?1{skip}")
    }

    pub(crate) fn count(&self) -> Statement {
        format!("SELECT count(*) FROM {}", quoted(&self.name)).into()
    }

    pub(crate) fn insert_sql(&self) -> String {
        let mut names: Vec<String> = self.columns.iter().map(|name| quoted(name)).collect();
        names.extend(self.rowid.map(str::to_owned));
        format!(
            "INSERT OR ABORT INTO {} ({}) VALUES ({})",
            quoted(&self.name),
            names.join(", "),
            vec!["?"; names.len()].join(", ")
        )
    }
}

fn start(from: From) -> i64 {
    match from {
        From::Start => 0,
        From::After(rowid) => rowid,
        From::Skip(rows) => rows as i64,
    }
}

/// Compared as a number only where it is one: a text column would make a text of the infinity.
fn is_infinite(name: &str) -> String {
    format!("typeof({name}) = 'real' AND abs({name}) = 9e999")
}

fn letter(name: &str, large_bytes: usize) -> String {
    format!(
        "CASE WHEN octet_length({name}) > {large_bytes} OR {} \
         THEN upper(substr(typeof({name}), 1, 1)) ELSE substr(typeof({name}), 1, 1) END",
        is_infinite(name)
    )
}

fn marked(name: &str, large_bytes: usize) -> String {
    format!(
        "CASE WHEN octet_length({name}) > {large_bytes} THEN octet_length({name}) \
         WHEN typeof({name}) = 'text' THEN CAST({name} AS BLOB) \
         WHEN {} THEN CASE WHEN {name} > 0 THEN 1 ELSE -1 END ELSE {name} END",
        is_infinite(name)
    )
}

/// The texts of all expressions, one behind the other.
fn joined(expressions: &[String]) -> String {
    let groups: Vec<String> =
        expressions.chunks(CHAIN_MAX).map(|some| format!("({})", some.join(" || "))).collect();
    if groups.is_empty() { "''".to_owned() } else { groups.join(" || ") }
}
