//! One table's rows, page by page: while one page is written, the next one is fetched.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use libsql_diff::quoted;
use libsql_link::blocking::Snapshot;
use libsql_link::{Error as LinkError, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::Fetched;
use super::cell::{self, Cell, LARGE_BYTES, LARGE_MARK, ZERO_MARK};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::push::{inconsistent, listed};

/// What a page should have. A server sends at most 10 MB at once, and texts of at most 5 MB.
const PAGE_BYTES: usize = 3 << 20;
/// Before anything is known about the rows.
const FIRST_PAGE_ROWS: usize = 500;
const PAGE_ROWS_MAX: usize = 50_000;
/// SQLite gives a function at most 127 arguments; 20 arrays hold the 2,000 columns it allows.
const ARRAY_MAX: usize = 100;
/// How much of a large value is fetched at once.
const PIECE_BYTES: u64 = 2 << 20;

/// A table as it is defined.
pub(crate) struct Table {
    name: String,
    /// The columns that hold values of their own.
    columns: Vec<Column>,
    /// The rowid's name, if it has one that no column hides.
    rowid: Option<&'static str>,
    without_rowid: bool,
    /// The primary key of a table without rowid, as it is sorted.
    key: Vec<String>,
}

struct Column {
    name: String,
    expects: Expects,
    /// Whether it keeps reals as they are, so that −0.0 occurs.
    keeps_zeros: bool,
}

/// What a column holds as a rule, by its declaration. Nothing depends on it but the time.
#[derive(Clone, Copy)]
enum Expects {
    Text,
    /// Reals or blobs.
    Odd,
    Any,
}

impl Expects {
    /// `declared` is in upper case.
    fn of(declared: &str) -> Self {
        let has_any = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
        if has_any(&["INT"]) {
            Self::Any
        } else if has_any(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if has_any(&["BLOB", "REAL", "FLOA", "DOUB"]) {
            Self::Odd
        } else {
            Self::Any
        }
    }
}

/// The SQL of an array of `r` and the values; of arrays of them, if there are [`ARRAY_MAX`] or more.
fn array(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = std::iter::once("r".to_owned()).chain(values).collect();
    let arrays: Vec<String> =
        values.chunks(ARRAY_MAX).map(|some| format!("json_array({})", some.join(", "))).collect();
    match &arrays[..] {
        [array] => array.clone(),
        arrays => format!("json_array({})", arrays.join(", ")),
    }
}

impl Table {
    pub(crate) fn read(conn: &Connection, file: &Path, name: &str) -> Result<Self> {
        let read = || -> rusqlite::Result<Self> {
            let without_rowid = conn.query_row(
                "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1",
                [name],
                |row| row.get(0),
            )?;
            let mut stmt =
                conn.prepare("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1)")?;
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
                let declared = row.get::<_, String>(1)?.to_ascii_uppercase();
                if let part @ 1.. = row.get::<_, i64>(2)? {
                    key.push((part, quoted(&column)));
                }
                names.push(column.to_ascii_lowercase());
                if row.get::<_, i64>(3)? == 0 {
                    let keeps_zeros =
                        declared.is_empty() || declared == "ANY" || declared.contains("BLOB");
                    let expects = Expects::of(&declared);
                    table.columns.push(Column { name: column, expects, keeps_zeros });
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

    /// The SQL that writes one row as JSON.
    ///
    /// Writing each value with what it is takes a server nearly twice as long as without. So a row
    /// whose values JSON holds as they are, told by comparisons, is written so; only other rows are
    /// written value by value.
    fn row(&self, in_hex: bool) -> String {
        let names = || (0..self.columns.len()).map(|at| format!("c{at}"));
        let full = array(names().map(|name| cell::sql(&name, in_hex)));
        if in_hex {
            return full;
        }
        let columns = || names().zip(&self.columns);
        let plain = array(columns().map(|(name, column)| match column.expects {
            Expects::Odd => cell::sql(&name, false),
            Expects::Text | Expects::Any => name,
        }));
        let odd: Vec<String> = columns()
            .filter_map(|(name, column)| match column.expects {
                // Numbers come before every text, blobs after; without its affinity, marked by the
                // plus, a value stays what it is.
                Expects::Text => Some(format!(
                    "+{name} < '' OR +{name} >= x'' OR octet_length({name}) > {LARGE_BYTES}"
                )),
                Expects::Any => Some(format!(
                    "typeof({name}) <> 'integer' AND (typeof({name}) = 'real' OR +{name} >= x'' \
                     OR octet_length({name}) > {LARGE_BYTES})"
                )),
                Expects::Odd => None,
            })
            .collect();
        if odd.is_empty() {
            return plain;
        }
        // In brackets by groups, because SQLite nests what `OR` connects, and only so deep.
        let odd: Vec<String> =
            odd.chunks(ARRAY_MAX).map(|group| format!("({})", group.join(" OR "))).collect();
        format!("CASE WHEN {} THEN {full} ELSE {plain} END", odd.join(" OR "))
    }

    /// Whether a row comes in several arrays, see [`array`].
    fn is_wide(&self) -> bool {
        self.columns.len() >= ARRAY_MAX
    }

    /// The rows of one page as `r`, the rowid, and `c0`, `c1`, …; its parameters are where it
    /// begins and how many rows it has.
    fn page(&self) -> String {
        let names = self.columns.iter().map(|column| quoted(&column.name)).enumerate();
        let columns = listed(names.map(|(at, name)| format!("{name} AS c{at}")));
        let table = quoted(&self.name);
        if let Some(rowid) = self.rowid {
            // Without a limit of its own, SQLite need not copy the rows before it looks at them.
            return format!(
                "(SELECT {rowid} AS r{columns} FROM {table} NOT INDEXED WHERE {rowid} > ?1 \
                 AND {rowid} <= coalesce((SELECT {rowid} FROM {table} NOT INDEXED \
                 WHERE {rowid} > ?1 ORDER BY {rowid} LIMIT 1 OFFSET ?2 - 1), {}))",
                i64::MAX
            );
        }
        let order = if self.without_rowid {
            format!(" ORDER BY {}", self.key.join(", "))
        } else {
            String::new()
        };
        format!("(SELECT NULL AS r{columns} FROM {table}{order} LIMIT ?2 OFFSET ?1)")
    }

    fn insert_sql(&self) -> String {
        let mut names: Vec<String> =
            self.columns.iter().map(|column| quoted(&column.name)).collect();
        names.extend(self.rowid.map(str::to_owned));
        format!(
            "INSERT OR ABORT INTO {} ({}) VALUES ({})",
            quoted(&self.name),
            names.join(", "),
            vec!["?"; names.len()].join(", ")
        )
    }
}

/// Fetching one table.
pub(crate) struct Work<'w> {
    pub(crate) table: &'w Table,
    pub(crate) url: &'w str,
    pub(crate) file: &'w Path,
    pub(crate) in_hex: bool,
    pub(crate) progress: &'w dyn Progress,
    pub(crate) before: Fetched,
}

/// A page on its way from fetching to writing.
struct Page {
    rows: u64,
    /// The last row's rowid.
    last: Option<i64>,
    json: String,
    /// Values that the page itself does not hold, by row and column.
    apart: HashMap<(usize, usize), Value>,
}

impl Work<'_> {
    /// Copies all rows into the table of the same name behind `conn`.
    pub(crate) fn fetch(&self, snapshot: &mut Snapshot, conn: &Connection) -> Result<Fetched> {
        let (to, pages) = sync_channel(1);
        let table = self.table;
        let (url, file) = (self.url, self.file);
        std::thread::scope(|scope| {
            // The connection stays here, where it may be used; the other thread fetches.
            let asking = Asking { work: Shared { table, url, in_hex: self.in_hex } };
            let asker = scope.spawn(move || asking.pages(snapshot, &to));
            let mut writing = Writing { table, url, file, fetched: Fetched::default() };
            let written = writing.pages(conn, &pages, &mut |fetched| {
                let (rows, bytes) =
                    (self.before.rows + fetched.rows, self.before.bytes + fetched.bytes);
                self.progress.advance(&table.name, rows, bytes);
            });
            // An asker that still sends ends now.
            drop(pages);
            let asked = asker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            written?;
            asked?;
            Ok(writing.fetched)
        })
    }
}

#[derive(Clone, Copy)]
struct Shared<'w> {
    table: &'w Table,
    url: &'w str,
    in_hex: bool,
}

struct Asking<'w> {
    work: Shared<'w>,
}

impl Asking<'_> {
    fn inconsistent(&self, what: &str) -> Error {
        inconsistent(self.work.url, &format!("table {}: {what}", self.work.table.name))
    }

    fn pages(&self, snapshot: &mut Snapshot, to: &SyncSender<Page>) -> Result<()> {
        let table = self.work.table;
        let page = table.page();
        let row = table.row(self.work.in_hex);
        let sql = format!("SELECT count(*), max(r), json_group_array({row}) FROM {page}");
        let mut limit = FIRST_PAGE_ROWS;
        // A rowid that is the smallest possible is none that SQLite gives out, but it may occur.
        let mut from = if table.rowid.is_some() { i64::MIN } else { 0 };
        let mut is_first = true;
        loop {
            let begin = if is_first && table.rowid.is_some() {
                // Includes the smallest.
                sql.replace("> ?1", ">= ?1")
            } else {
                sql.clone()
            };
            let params = [Value::Integer(from), Value::Integer(limit as i64)];
            let rows = match snapshot.query(&begin, &params) {
                Ok(rows) => rows,
                Err(LinkError::TooLarge { .. }) if limit > 1 => {
                    limit = (limit / 4).max(1);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let (count, last, json) = match <[Vec<Value>; 1]>::try_from(rows.rows) {
                Ok([row]) => match <[Value; 3]>::try_from(row) {
                    Ok([Value::Integer(count), last, Value::Text(json)]) => (count, last, json),
                    _ => return Err(self.inconsistent("a page has another shape than asked for")),
                },
                _ => return Err(self.inconsistent("a page has another shape than asked for")),
            };
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            if count > limit {
                return Err(self.inconsistent("a page is longer than asked for"));
            }
            if count == 0 {
                return Ok(());
            }
            let last = last.as_integer();
            let mut apart = HashMap::new();
            if json.contains(LARGE_MARK) {
                self.large(snapshot, &json, from, &mut apart)?;
            }
            let has_zeros = table.columns.iter().any(|column| column.keeps_zeros);
            if has_zeros && json.contains(ZERO_MARK) {
                self.zeros(snapshot, &page, is_first, from, limit, &json, &mut apart)?;
            }
            let bytes = json.len();
            from = match (table.rowid, last) {
                (Some(_), Some(last)) if is_first || last > from => last,
                (None, None) => from + count as i64,
                _ => return Err(self.inconsistent("its pages are out of order")),
            };
            if to.send(Page { rows: count as u64, last, json, apart }).is_err() {
                // Writing failed and says why.
                return Ok(());
            }
            is_first = false;
            if count < limit {
                return Ok(());
            }
            limit = (PAGE_BYTES / (bytes / count).max(1)).clamp(1, PAGE_ROWS_MAX).min(limit * 20);
        }
    }

    fn parse<'p>(&self, json: &'p str) -> Result<Vec<Vec<Cell<'p>>>> {
        self.work.table.parse(json).map_err(|what| self.inconsistent(&what))
    }

    /// Values too large for a page.
    fn large(
        &self,
        snapshot: &mut Snapshot,
        json: &str,
        from: i64,
        apart: &mut HashMap<(usize, usize), Value>,
    ) -> Result<()> {
        let table = self.work.table;
        for (at, row) in self.parse(json)?.iter().enumerate() {
            for (column, cell) in row.iter().skip(1).enumerate() {
                let Cell::Large { bytes, is_text } = cell else { continue };
                let name = quoted(
                    &table
                        .columns
                        .get(column)
                        .ok_or_else(|| self.inconsistent("a row is too long"))?
                        .name,
                );
                let (condition, key) = match (table.rowid, row.first()) {
                    (Some(rowid), Some(Cell::Integer(key))) => {
                        (format!(" WHERE {rowid} = ?1"), *key)
                    }
                    (None, _) => {
                        let order = if table.without_rowid {
                            format!(" ORDER BY {}", table.key.join(", "))
                        } else {
                            String::new()
                        };
                        (format!("{order} LIMIT 1 OFFSET ?1"), from + at as i64)
                    }
                    _ => return Err(self.inconsistent("a row has no rowid")),
                };
                let sql = format!(
                    "SELECT substr(CAST({name} AS BLOB), ?2, ?3) FROM {}{condition}",
                    quoted(&table.name)
                );
                let mut value = Vec::new();
                while (value.len() as u64) < *bytes {
                    let params = [
                        Value::Integer(key),
                        Value::Integer(value.len() as i64 + 1),
                        Value::Integer(PIECE_BYTES as i64),
                    ];
                    let rows = snapshot.query(&sql, &params)?;
                    match rows.single().and_then(Value::as_blob) {
                        Some(piece) if !piece.is_empty() => value.extend_from_slice(piece),
                        _ => return Err(self.inconsistent("a large value is cut off")),
                    }
                }
                if value.len() as u64 != *bytes {
                    return Err(self.inconsistent("a large value changed its length"));
                }
                let value = if *is_text {
                    match String::from_utf8(value) {
                        Ok(text) => Value::Text(text),
                        Err(error) => {
                            // Kept apart from blobs by the writer, which knows what it was.
                            Value::Blob(error.into_bytes())
                        }
                    }
                } else {
                    Value::Blob(value)
                };
                apart.insert((at, column), value);
            }
        }
        Ok(())
    }

    /// Which zeros are negative: no function of SQLite's tells, only the value itself.
    #[expect(clippy::too_many_arguments, reason = "what describes the page that it looks at again")]
    fn zeros(
        &self,
        snapshot: &mut Snapshot,
        page: &str,
        is_first: bool,
        from: i64,
        limit: usize,
        json: &str,
        apart: &mut HashMap<(usize, usize), Value>,
    ) -> Result<()> {
        let table = self.work.table;
        let parsed = self.parse(json)?;
        let page = if is_first && table.rowid.is_some() {
            page.replace("> ?1", ">= ?1")
        } else {
            page.to_owned()
        };
        for (column, _) in table.columns.iter().enumerate().filter(|(_, c)| c.keeps_zeros) {
            let zeros: Vec<usize> = parsed
                .iter()
                .enumerate()
                .filter(|(_, row)| {
                    matches!(row.get(column + 1), Some(Cell::Real(real)) if *real == 0.0)
                })
                .map(|(at, _)| at)
                .collect();
            if zeros.is_empty() {
                continue;
            }
            let order = if table.rowid.is_some() { " ORDER BY r" } else { "" };
            let sql = format!(
                "SELECT c{column} FROM {page} WHERE typeof(c{column}) = 'real' \
                 AND c{column} = 0.0{order}"
            );
            let params = [Value::Integer(from), Value::Integer(limit as i64)];
            let rows = snapshot.query(&sql, &params)?;
            if rows.len() != zeros.len() {
                return Err(self.inconsistent("it counts its zeros differently"));
            }
            for (at, row) in zeros.into_iter().zip(rows.rows) {
                match row.first() {
                    Some(Value::Real(zero)) if *zero == 0.0 => {
                        if zero.is_sign_negative() {
                            apart.insert((at, column), Value::Real(*zero));
                        }
                    }
                    _ => return Err(self.inconsistent("a zero is none")),
                }
            }
        }
        Ok(())
    }
}

impl Table {
    /// The rows of a page.
    fn parse<'p>(&self, json: &'p str) -> Result<Vec<Vec<Cell<'p>>>, String> {
        let rows = if self.is_wide() {
            serde_json::from_str::<Vec<Vec<Vec<Cell<'p>>>>>(json)
                .map(|rows| rows.into_iter().map(|arrays| arrays.concat()).collect())
        } else {
            serde_json::from_str(json)
        };
        rows.map_err(|error| format!("a page cannot be read: {error}"))
    }
}

struct Writing<'w> {
    table: &'w Table,
    url: &'w str,
    file: &'w Path,
    fetched: Fetched,
}

impl Writing<'_> {
    fn pages(
        &mut self,
        conn: &Connection,
        pages: &Receiver<Page>,
        on_page: &mut dyn FnMut(Fetched),
    ) -> Result<()> {
        let table = self.table;
        let mut stmt = conn
            .prepare(&table.insert_sql())
            .map_err(Error::sqlite(self.file, format!("writing {}", table.name)))?;
        let mut last = None;
        for page in pages {
            let rows = table.parse(&page.json).map_err(|what| self.inconsistent(&what))?;
            if rows.len() as u64 != page.rows {
                return Err(self.inconsistent("a page has not the rows that it counts"));
            }
            for (at, row) in rows.iter().enumerate() {
                let Some((rowid, cells)) = row.split_first() else {
                    return Err(self.inconsistent("an empty row"));
                };
                if cells.len() != table.columns.len() {
                    return Err(self.inconsistent("a row has another number of values"));
                }
                match (table.rowid, rowid) {
                    (Some(_), Cell::Integer(rowid)) if last.is_none_or(|last| last < *rowid) => {
                        last = Some(*rowid);
                    }
                    (None, Cell::Null) => {}
                    _ => return Err(self.inconsistent("its rows are out of order")),
                }
                self.row(&mut stmt, at, cells, rowid, &page)?;
            }
            if table.rowid.is_some() && last != page.last {
                return Err(self.inconsistent("a page ends elsewhere than it says"));
            }
            self.fetched.rows += page.rows;
            self.fetched.bytes += page.json.len() as u64;
            on_page(self.fetched);
        }
        Ok(())
    }

    fn row(
        &self,
        stmt: &mut rusqlite::Statement<'_>,
        at: usize,
        cells: &[Cell<'_>],
        rowid: &Cell<'_>,
        page: &Page,
    ) -> Result<()> {
        for (column, cell) in cells.iter().enumerate() {
            let apart = page.apart.get(&(at, column));
            let value = match (cell, apart) {
                (Cell::Large { is_text: true, .. }, Some(Value::Text(text))) => {
                    ValueRef::Text(text.as_bytes())
                }
                (Cell::Large { is_text: true, .. }, Some(Value::Blob(bytes))) => {
                    ValueRef::Text(bytes)
                }
                (Cell::Large { is_text: false, .. }, Some(Value::Blob(bytes))) => {
                    ValueRef::Blob(bytes)
                }
                (Cell::Large { .. }, _) => return Err(self.inconsistent("a value is missing")),
                (Cell::Real(_), Some(Value::Real(zero))) => ValueRef::Real(*zero),
                (Cell::Null, _) => ValueRef::Null,
                (Cell::Integer(value), _) => ValueRef::Integer(*value),
                (Cell::Real(value), _) => ValueRef::Real(*value),
                (Cell::Text(text), _) => ValueRef::Text(text.as_bytes()),
                (Cell::OddText(bytes), _) => ValueRef::Text(bytes),
                (Cell::Blob(bytes), _) => ValueRef::Blob(bytes),
            };
            self.bind(stmt, column + 1, value)?;
        }
        if let Cell::Integer(rowid) = rowid {
            self.bind(stmt, cells.len() + 1, ValueRef::Integer(*rowid))?;
        }
        match stmt.raw_execute() {
            Ok(1) => Ok(()),
            Ok(_) => Err(self.inconsistent("a row comes twice")),
            Err(error @ rusqlite::Error::SqliteFailure(..))
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
            {
                Err(self.inconsistent(&error.to_string()))
            }
            Err(error) => {
                Err(Error::sqlite(self.file, format!("writing {}", self.table.name))(error))
            }
        }
    }

    fn bind(
        &self,
        stmt: &mut rusqlite::Statement<'_>,
        at: usize,
        value: ValueRef<'_>,
    ) -> Result<()> {
        stmt.raw_bind_parameter(at, Bound(value))
            .map_err(Error::sqlite(self.file, format!("writing {}", self.table.name)))
    }

    fn inconsistent(&self, what: &str) -> Error {
        inconsistent(self.url, &format!("table {}: {what}", self.table.name))
    }
}

struct Bound<'v>(ValueRef<'v>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}
