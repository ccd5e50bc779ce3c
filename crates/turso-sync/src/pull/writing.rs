//! Writing pages into the file as they come.

use std::path::Path;
use std::sync::mpsc::Receiver;

use libsql_link::ValueRef;
use rusqlite::types::{ToSqlOutput, ValueRef as Stored};
use rusqlite::{Connection, Statement, ToSql};

use super::asking::{Answer, Page};
use super::table::{Form, Table};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::push::inconsistent;

/// Writes the pages of all tables.
pub(crate) struct Writing<'w> {
    pub(crate) conn: &'w Connection,
    pub(crate) url: &'w str,
    pub(crate) file: &'w Path,
    pub(crate) tables: &'w [Table],
}

/// What was written into one table.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// The last row's rowid.
    last: Option<i64>,
}

impl Writing<'_> {
    /// Until there are no more pages.
    pub(crate) fn run(
        &self,
        answers: &Receiver<Answer>,
        progress: &dyn Progress,
    ) -> Result<Vec<Written>> {
        let mut written: Vec<Written> = self.tables.iter().map(|_| Written::default()).collect();
        let mut statements: Vec<Option<Statement<'_>>> = self.tables.iter().map(|_| None).collect();
        let mut total = Written::default();
        for answer in answers {
            let page = match answer {
                Answer::Page(page) => page,
                Answer::Total(rows) => {
                    progress.total(rows);
                    continue;
                }
            };
            let table = &self.tables[page.table];
            let statement = match &mut statements[page.table] {
                Some(statement) => statement,
                empty => {
                    let prepared = self.conn.prepare(&table.insert_sql());
                    empty.insert(prepared.map_err(|error| self.sqlite(table, error))?)
                }
            };
            let of_table = &mut written[page.table];
            let rows = Rows { writing: self, table, page: &page };
            rows.write(statement, &mut of_table.last)?;
            let count = page.parts.first().map_or(0, |part| part.len() as u64);
            let bytes = page.parts.iter().map(|part| part.size_bytes() as u64).sum::<u64>()
                + page.apart.values().map(|value| value.len() as u64).sum::<u64>();
            for counted in [of_table, &mut total] {
                counted.rows += count;
                counted.bytes += bytes;
            }
            progress.advance(&table.name, total.rows, total.bytes);
        }
        Ok(written)
    }

    fn sqlite(&self, table: &Table, error: rusqlite::Error) -> Error {
        Error::sqlite(self.file, format!("writing {}", table.name))(error)
    }
}

/// The rows of one page.
struct Rows<'w> {
    writing: &'w Writing<'w>,
    table: &'w Table,
    page: &'w Page,
}

impl Rows<'_> {
    fn write(&self, statement: &mut Statement<'_>, last: &mut Option<i64>) -> Result<()> {
        let mut parts: Vec<_> = self.page.parts.iter().map(libsql_link::PackedRows::rows).collect();
        let mut at = 0;
        loop {
            let mut column = 0;
            let mut rowid = None;
            for part in &mut parts {
                let Some(mut row) = part.next() else { return Ok(()) };
                let id = row.next();
                if column > 0 && id != rowid {
                    return Err(self.inconsistent("its rows do not go together"));
                }
                rowid = id;
                let mut letters = match self.page.form {
                    Form::Plain => None,
                    Form::Marked { .. } => match row.next() {
                        Some(ValueRef::Text(letters)) => Some(letters.iter()),
                        _ => return Err(self.inconsistent("a row comes without its types")),
                    },
                };
                for value in row {
                    let value = match &mut letters {
                        None => plain(value),
                        Some(letters) => {
                            let apart = self.page.apart.get(&(at, column));
                            let value = letters.next().and_then(|&letter| {
                                marked(letter, value, apart.map(Vec::as_slice))
                            });
                            value.ok_or_else(|| self.inconsistent("a value is of another type"))?
                        }
                    };
                    column += 1;
                    self.bind(statement, column, value)?;
                }
            }
            match (self.table.rowid, rowid) {
                (Some(_), Some(ValueRef::Integer(rowid)))
                    if last.is_none_or(|last| last < rowid) =>
                {
                    *last = Some(rowid);
                    self.bind(statement, column + 1, Stored::Integer(rowid))?;
                }
                (None, Some(ValueRef::Null)) => {}
                _ => return Err(self.inconsistent("its rows are out of order")),
            }
            self.insert(statement)?;
            at += 1;
        }
    }

    fn insert(&self, statement: &mut Statement<'_>) -> Result<()> {
        match statement.raw_execute() {
            Ok(1) => Ok(()),
            Ok(_) => Err(self.inconsistent("a row comes twice")),
            Err(error @ rusqlite::Error::SqliteFailure(..))
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
            {
                Err(self.inconsistent(&error.to_string()))
            }
            Err(error) => Err(self.writing.sqlite(self.table, error)),
        }
    }

    fn bind(&self, statement: &mut Statement<'_>, at: usize, value: Stored<'_>) -> Result<()> {
        let bound = statement.raw_bind_parameter(at, Bound(value));
        bound.map_err(|error| self.writing.sqlite(self.table, error))
    }

    fn inconsistent(&self, what: &str) -> Error {
        inconsistent(self.writing.url, &format!("table {}: {what}", self.table.name))
    }
}

fn plain(value: ValueRef<'_>) -> Stored<'_> {
    match value {
        ValueRef::Null => Stored::Null,
        ValueRef::Integer(value) => Stored::Integer(value),
        ValueRef::Real(value) => Stored::Real(value),
        ValueRef::Text(bytes) => Stored::Text(bytes),
        ValueRef::Blob(bytes) => Stored::Blob(bytes),
    }
}

/// The value that its letter says; `None` if it does not go with it.
fn marked<'v>(letter: u8, value: ValueRef<'v>, apart: Option<&'v [u8]>) -> Option<Stored<'v>> {
    Some(match (letter, value) {
        (b'n', ValueRef::Null) => Stored::Null,
        (b'i', ValueRef::Integer(value)) => Stored::Integer(value),
        (b'r', ValueRef::Real(value)) => Stored::Real(value),
        (b't', ValueRef::Blob(bytes)) => Stored::Text(bytes),
        (b'b', ValueRef::Blob(bytes)) => Stored::Blob(bytes),
        (b'R', ValueRef::Integer(1)) => Stored::Real(f64::INFINITY),
        (b'R', ValueRef::Integer(-1)) => Stored::Real(f64::NEG_INFINITY),
        (b'T', ValueRef::Integer(_)) => Stored::Text(apart?),
        (b'B', ValueRef::Integer(_)) => Stored::Blob(apart?),
        _ => return None,
    })
}

struct Bound<'v>(Stored<'v>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_its_letter_does_not_go_with_is_refused() {
        let real = ValueRef::Real(1.5);
        for (letter, value, apart) in [
            (b'i', real, None),
            (b't', ValueRef::Text(b"text"), None),
            (b'R', ValueRef::Integer(2), None),
            (b'T', ValueRef::Integer(300_000), None),
            (b'?', ValueRef::Null, None),
        ] {
            assert_eq!(marked(letter, value, apart), None, "{letter} {value:?}");
        }
        assert_eq!(marked(b'r', real, None), Some(Stored::Real(1.5)));
        assert_eq!(marked(b'T', ValueRef::Integer(1), Some(b"\xff")), Some(Stored::Text(b"\xff")));
    }
}
