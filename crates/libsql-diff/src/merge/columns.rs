//! Bringing the rows of one side into the columns of the merged table.

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::operation::{ColumnChange, ColumnSource, RowChange, TableChange, TableEdit};
use crate::sqlite::{Encoding, Stmt};
use crate::sqltext::{quoted, same_name};
use crate::value::Value;

/// Where each column of the merged table is in a side's rows.
pub(super) struct Mapping {
    sources: Vec<Source>,
    /// The side's columns that the merged table does not have.
    lost: Vec<usize>,
}

enum Source {
    Column(usize),
    Fill(Value),
}

impl Mapping {
    /// The side's columns are the merged table's.
    pub(super) fn identity(change: &TableChange) -> Self {
        let sources = (0..change.columns.len()).map(Source::Column).collect();
        Self { sources, lost: Vec::new() }
    }

    /// From rows of the table as it was to the form that `altered` gave it.
    pub(super) fn into_altered(side: &TableChange, altered: &TableChange) -> Result<Self> {
        let sources: Vec<Source> = match &altered.edit {
            TableEdit::AddColumns { statements, columns_before } => {
                let fills = added_defaults(&altered.name, statements)?;
                (0..*columns_before)
                    .map(Source::Column)
                    .chain(fills.into_iter().map(Source::Fill))
                    .collect()
            }
            TableEdit::Rebuild { sources, .. } => sources
                .iter()
                .map(|source| match source {
                    ColumnSource::Column(name) => side
                        .columns
                        .iter()
                        .position(|column| same_name(&column.name, name))
                        .map_or(Source::Fill(Value::Null), Source::Column),
                    ColumnSource::Fill(value) => Source::Fill(value.clone()),
                })
                .collect(),
            _ => return Ok(Self::identity(side)),
        };
        let is_used =
            |index: &usize| sources.iter().any(|s| matches!(s, Source::Column(c) if c == index));
        let lost = (0..side.columns.len()).filter(|index| !is_used(index)).collect();
        Ok(Self { sources, lost })
    }

    /// Whether the key of a side's rows is the key of the merged table's.
    pub(super) fn keeps_key(&self, side: &TableChange, merged: &TableChange) -> bool {
        let (side, merged) = (side.key_columns(), merged.key_columns());
        side.len() == merged.len()
            && side.iter().zip(merged).all(|(side, merged)| {
                same_name(&side.collation, &merged.collation)
                    && matches!(
                        self.sources.get(merged.column),
                        Some(Source::Column(column)) if *column == side.column
                    )
            })
    }

    /// Whether a column of the side's has no place in the merged table.
    pub(super) fn loses(&self) -> bool {
        !self.lost.is_empty()
    }

    fn values(&self, values: &[Value]) -> Vec<Value> {
        self.sources
            .iter()
            .map(|source| match source {
                Source::Column(column) => values.get(*column).cloned().unwrap_or_default(),
                Source::Fill(value) => value.clone(),
            })
            .collect()
    }

    /// A row's change in the merged columns, and the changes of columns that are lost.
    pub(super) fn row(&self, row: RowChange) -> (RowChange, Vec<ColumnChange>) {
        let mut lost = Vec::new();
        let row = match row {
            RowChange::Insert { rowid, values } => {
                RowChange::Insert { rowid, values: self.values(&values) }
            }
            RowChange::Delete { key, values } => {
                RowChange::Delete { key, values: self.values(&values) }
            }
            RowChange::Update { key, changes, replacement } => {
                let mapped = self.sources.iter().enumerate().filter_map(|(to, source)| {
                    let Source::Column(from) = source else { return None };
                    let change = changes.iter().find(|change| change.column == *from)?;
                    let (old, new) = (change.old.clone(), change.new.clone());
                    Some(ColumnChange { column: to, old, new })
                });
                let mapped = mapped.collect();
                let replacement = replacement.map(|values| self.values(&values));
                lost = changes.into_iter().filter(|c| self.lost.contains(&c.column)).collect();
                RowChange::Update { key, changes: mapped, replacement }
            }
        };
        (row, lost)
    }
}

/// What `ALTER TABLE ADD COLUMN` gives the rows that are there.
pub(super) fn added_defaults(table: &str, statements: &[String]) -> Result<Vec<Value>> {
    let sqlite = |error: rusqlite::Error| Error::from_rusqlite("reading defaults", &error);
    let scratch = Connection::open_in_memory().map_err(sqlite)?;
    let table = quoted(table);
    let sql = format!(
        "PRAGMA foreign_keys = OFF; CREATE TABLE {table}(\"libsql_diff_first\" INT);
         INSERT INTO {table} VALUES (1)"
    );
    scratch.execute_batch(&sql).map_err(sqlite)?;
    for statement in statements {
        scratch.execute_batch(statement).map_err(sqlite)?;
    }
    let sql = format!("SELECT * FROM {table}");
    let mut stmt = Stmt::prepare(&scratch, Encoding::Utf8, &sql, "reading defaults")?;
    stmt.step()?;
    Ok((1..=statements.len()).map(|column| stmt.column(column).to_owned()).collect())
}
