//! Writing single rows of one table, each checked against what it is expected to be.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::apply::constraint_kind;
use crate::error::{Conflict, ConflictKind, Error, Result};
use crate::operation::{ColumnChange, RowKey, TableChange};
use crate::sqlite::{Encoding, Stmt};
use crate::statements::{Names, insert_head};
use crate::value::{Value, ValueRef};

/// Statements for updates are kept for this many sets of columns.
const UPDATE_SHAPES_MAX: usize = 64;

/// Statements come in two kinds: by key, and by rowid for rows whose key is none.
type ByKind<'c> = [Option<Stmt<'c>>; 2];

pub(crate) struct TableWriter<'c> {
    conn: &'c Connection,
    encoding: Encoding,
    table: &'c TableChange,
    names: Names,
    select: ByKind<'c>,
    delete: ByKind<'c>,
    insert: ByKind<'c>,
    updates: HashMap<(bool, Vec<usize>), (Stmt<'c>, Stmt<'c>)>,
}

impl<'c> TableWriter<'c> {
    /// For the table as it is before it is rebuilt or gets new columns.
    pub(crate) fn before(conn: &'c Connection, encoding: Encoding, table: &'c TableChange) -> Self {
        Self::new(conn, encoding, table, Names::before(table))
    }

    pub(crate) fn after(conn: &'c Connection, encoding: Encoding, table: &'c TableChange) -> Self {
        Self::new(conn, encoding, table, Names::after(table))
    }

    fn new(conn: &'c Connection, encoding: Encoding, table: &'c TableChange, names: Names) -> Self {
        Self {
            conn,
            encoding,
            table,
            names,
            select: [None, None],
            delete: [None, None],
            insert: [None, None],
            updates: HashMap::new(),
        }
    }

    fn prepare(&self, sql: &str) -> Result<Stmt<'c>> {
        let doing = format!("changing table {}", self.table.name);
        Stmt::prepare(self.conn, self.encoding, sql, doing)
    }

    /// ` WHERE` for a key of one kind, with parameters.
    fn condition(&self, by_rowid: bool) -> String {
        if by_rowid {
            self.names.by_rowid("?")
        } else {
            self.names.by_key(self.table, |_| "?".to_owned())
        }
    }

    fn select_list(&self, columns: impl Iterator<Item = usize>) -> String {
        let names: Vec<&str> =
            columns.map(|column| self.names.columns[column].as_deref().unwrap_or("NULL")).collect();
        if names.is_empty() { "NULL".to_owned() } else { names.join(", ") }
    }

    pub(crate) fn delete_all(&mut self) -> Result<u64> {
        self.prepare(&format!("DELETE FROM main.{}", self.names.table))?.run()
    }

    /// All values of the row with this key, if there is one.
    pub(crate) fn find(&mut self, key: &RowKey) -> Result<Option<Vec<Value>>> {
        let mut select = self.take_select(key.rowid().is_some())?;
        bind_key(&mut select, 1, key)?;
        let columns = 0..self.table.columns.len();
        let found = select.step()?.then(|| columns.map(|c| select.column(c).to_owned()).collect());
        select.reset();
        self.select[usize::from(key.rowid().is_some())] = Some(select);
        Ok(found)
    }

    fn take_select(&mut self, by_rowid: bool) -> Result<Stmt<'c>> {
        match self.select[usize::from(by_rowid)].take() {
            Some(select) => Ok(select),
            None => self.prepare(&format!(
                "SELECT {} FROM main.{}{}",
                self.select_list(0..self.table.columns.len()),
                self.names.table,
                self.condition(by_rowid)
            )),
        }
    }

    /// Deletes a row that must be there and hold the expected values.
    pub(crate) fn delete<'v>(
        &mut self,
        key: &RowKey,
        expected: impl Iterator<Item = (usize, &'v Value)>,
    ) -> Result<()> {
        let by_rowid = key.rowid().is_some();
        let kind = usize::from(by_rowid);
        let mut select = self.take_select(by_rowid)?;
        bind_key(&mut select, 1, key)?;
        if !select.step()? {
            return Err(self.conflict(ConflictKind::Missing, Some(key), None));
        }
        for (column, value) in expected {
            if self.names.columns[column].is_some() && select.column(column) != value.as_ref() {
                let found = select.column(column).to_owned();
                let mismatch = (column, value.clone(), found);
                return Err(self.conflict(ConflictKind::Changed, Some(key), Some(mismatch)));
            }
        }
        select.reset();
        self.select[kind] = Some(select);
        let mut delete = match self.delete[kind].take() {
            Some(delete) => delete,
            None => self.prepare(&format!(
                "DELETE FROM main.{}{}",
                self.names.table,
                self.condition(by_rowid)
            ))?,
        };
        bind_key(&mut delete, 1, key)?;
        let outcome = delete.run();
        self.delete[kind] = Some(delete);
        self.require_one(outcome, Some(key))
    }

    /// Changes a row that must be there and hold the old values.
    pub(crate) fn update(&mut self, key: &RowKey, changes: &[ColumnChange]) -> Result<()> {
        let by_rowid = key.rowid().is_some();
        let shape = (by_rowid, changes.iter().map(|change| change.column).collect::<Vec<_>>());
        let (mut select, mut update) = match self.updates.remove(&shape) {
            Some(statements) => statements,
            None => self.prepare_update(by_rowid, &shape.1)?,
        };
        bind_key(&mut select, 1, key)?;
        if !select.step()? {
            return Err(self.conflict(ConflictKind::Missing, Some(key), None));
        }
        for (index, change) in changes.iter().enumerate() {
            if select.column(index) != change.old.as_ref() {
                let found = select.column(index).to_owned();
                let mismatch = (change.column, change.old.clone(), found);
                return Err(self.conflict(ConflictKind::Changed, Some(key), Some(mismatch)));
            }
        }
        select.reset();
        update.bind_all(1, changes.iter().map(|change| change.new.as_ref()))?;
        bind_key(&mut update, 1 + changes.len(), key)?;
        let outcome = update.run();
        if self.updates.len() >= UPDATE_SHAPES_MAX {
            self.updates.clear();
        }
        self.updates.insert(shape, (select, update));
        self.require_one(outcome, Some(key))
    }

    fn prepare_update(&self, by_rowid: bool, columns: &[usize]) -> Result<(Stmt<'c>, Stmt<'c>)> {
        let condition = self.condition(by_rowid);
        let table = &self.names.table;
        let list = self.select_list(columns.iter().copied());
        let select = self.prepare(&format!("SELECT {list} FROM main.{table}{condition}"))?;
        let set: Vec<String> = columns
            .iter()
            .map(|&column| format!("{} = ?", self.names.columns[column].as_deref().unwrap_or("")))
            .collect();
        let set = set.join(", ");
        let update = self.prepare(&format!("UPDATE OR ABORT main.{table} SET {set}{condition}"))?;
        Ok((select, update))
    }

    /// Inserts a row that must not be there.
    pub(crate) fn insert(&mut self, rowid: Option<i64>, values: &[Value]) -> Result<()> {
        let kind = usize::from(rowid.is_some());
        let mut insert = if let Some(insert) = self.insert[kind].take() {
            insert
        } else {
            let places = vec!["?"; values.len() + kind].join(", ");
            let head = insert_head(self.table, rowid.is_some());
            self.prepare(&format!("{head}({places})"))?
        };
        if let Some(rowid) = rowid {
            insert.bind(1, ValueRef::Integer(rowid))?;
        }
        insert.bind_all(1 + kind, values.iter().map(Value::as_ref))?;
        let outcome = insert.run();
        self.insert[kind] = Some(insert);
        let key = self.table.key_of(rowid, values);
        // A virtual table does not count its changes.
        self.require_one(outcome.map(|_| 1), key.as_ref())
    }

    fn require_one(&self, outcome: Result<u64>, key: Option<&RowKey>) -> Result<()> {
        match outcome {
            Ok(1) => Ok(()),
            Ok(_) if self.table.is_virtual => Ok(()),
            Ok(rows) => {
                let mut error = self.conflict_value(ConflictKind::Changed, key, None);
                error.detail = format!("{rows} rows have this key");
                Err(Error::Conflict(Box::new(error)))
            }
            Err(Error::Sqlite { doing, code, message }) => match constraint_kind(code) {
                Some(kind) => {
                    let mut error = self.conflict_value(kind, key, None);
                    error.detail = message;
                    Err(Error::Conflict(Box::new(error)))
                }
                None => Err(Error::Sqlite { doing, code, message }),
            },
            Err(error) => Err(error),
        }
    }

    fn conflict(
        &self,
        kind: ConflictKind,
        key: Option<&RowKey>,
        mismatch: Option<(usize, Value, Value)>,
    ) -> Error {
        Error::Conflict(Box::new(self.conflict_value(kind, key, mismatch)))
    }

    fn conflict_value(
        &self,
        kind: ConflictKind,
        key: Option<&RowKey>,
        mismatch: Option<(usize, Value, Value)>,
    ) -> Conflict {
        let (column, expected, found) = match mismatch {
            Some((column, expected, found)) => {
                (Some(self.table.columns[column].name.clone()), Some(expected), Some(found))
            }
            None => (None, None, None),
        };
        Conflict {
            kind,
            table: self.table.name.clone(),
            key: key.cloned(),
            column,
            expected,
            found,
            detail: String::new(),
        }
    }
}

fn bind_key(stmt: &mut Stmt<'_>, first: usize, key: &RowKey) -> Result<()> {
    match key {
        RowKey::Rowid(rowid) => stmt.bind(first, ValueRef::Integer(*rowid)),
        RowKey::Columns(values) => stmt.bind_all(first, values.iter().map(Value::as_ref)),
    }
}
