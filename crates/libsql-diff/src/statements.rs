//! The statements that write a table's rows, shared by applying, by SQL text, and by who applies a
//! diff elsewhere.

use crate::operation::{ColumnSource, Identity, TableChange, TableEdit};
use crate::sqltext::{quoted, quoted_list};

/// A table and its columns, quoted, as they are called at one moment of its change: for those who
/// carry out a diff by statements of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The table.
    pub table: String,
    /// For each of the change's columns, its name; None if it is not there yet.
    pub columns: Vec<Option<String>>,
    /// The rowid; None if it has no name.
    pub rowid: Option<String>,
}

impl Names {
    /// Before a table is rebuilt or gets its new columns.
    pub fn before(change: &TableChange) -> Self {
        let mut names = Self::after(change);
        match &change.edit {
            TableEdit::Rebuild { old_name, sources, rowids, .. } => {
                names.table = quoted(old_name);
                names.columns = sources
                    .iter()
                    .map(|source| match source {
                        ColumnSource::Column(name) => Some(quoted(name)),
                        ColumnSource::Fill(_) => None,
                    })
                    .collect();
                if let Some((old, _)) = rowids {
                    names.rowid = Some(old.clone());
                }
            }
            TableEdit::AddColumns { columns_before, .. } => {
                names.columns[*columns_before..].fill(None);
            }
            _ => {}
        }
        names
    }

    /// Once it is.
    pub fn after(change: &TableChange) -> Self {
        Self {
            table: quoted(&change.name),
            columns: change.columns.iter().map(|column| Some(quoted(&column.name))).collect(),
            rowid: match &change.identity {
                Identity::Rowid { name } => Some(name.clone()),
                Identity::Key { rowid, .. } => rowid.clone(),
                Identity::Nothing => None,
            },
        }
    }

    fn column(&self, column: usize) -> &str {
        self.columns.get(column).and_then(Option::as_deref).unwrap_or("NULL")
    }

    /// A term for each part of the key, its value given by `value`; nothing for a table without.
    pub fn key_condition(
        &self,
        change: &TableChange,
        mut value: impl FnMut(usize) -> String,
    ) -> String {
        let terms: Vec<String> = change
            .key_columns()
            .iter()
            .enumerate()
            .map(|(index, key)| {
                let (name, value) = (self.column(key.column), value(index));
                if key.collation.eq_ignore_ascii_case("BINARY") {
                    // The column's own collation may be another one.
                    format!("{name} = {value} COLLATE BINARY")
                } else {
                    format!("{name} = {value} COLLATE {}", quoted(&key.collation))
                }
            })
            .collect();
        terms.join(" AND ")
    }

    /// ` WHERE` with the key's condition.
    pub(crate) fn by_key(
        &self,
        change: &TableChange,
        value: impl FnMut(usize) -> String,
    ) -> String {
        format!(" WHERE {}", self.key_condition(change, value))
    }

    /// ` WHERE` for the rowid.
    pub(crate) fn by_rowid(&self, value: &str) -> String {
        format!(" WHERE {} = {value}", self.rowid.as_deref().unwrap_or("rowid"))
    }
}

/// `INSERT OR ABORT INTO t(...) VALUES `; OR ABORT overrides what the schema says about conflicts.
pub(crate) fn insert_head(change: &TableChange, with_rowid: bool) -> String {
    let names = Names::after(change);
    let mut columns = Vec::with_capacity(names.columns.len() + 1);
    if with_rowid {
        columns.push(names.rowid.clone().unwrap_or_else(|| "rowid".to_owned()));
    }
    columns.extend(names.columns.into_iter().flatten());
    format!("INSERT OR ABORT INTO main.{}({}) VALUES ", names.table, columns.join(", "))
}

/// Gives the old table of a rebuild its waiting name.
pub(crate) fn rename_away_sql(change: &TableChange) -> String {
    let TableEdit::Rebuild { old_name, parked_name, .. } = &change.edit else {
        return String::new();
    };
    format!("ALTER TABLE main.{} RENAME TO {}", quoted(old_name), quoted(parked_name))
}

/// Carries the rows of a rebuilt table over; fills are parameters.
pub(crate) fn rebuild_sql(change: &TableChange) -> String {
    rebuild_sql_with(change, |_| "?".to_owned())
}

/// As [`rebuild_sql`], with the fills as text.
pub(crate) fn rebuild_sql_with(
    change: &TableChange,
    mut fill: impl FnMut(&crate::value::Value) -> String,
) -> String {
    let TableEdit::Rebuild { parked_name, sources, rowids, .. } = &change.edit else {
        return String::new();
    };
    let mut to = quoted_list(change.columns.iter().map(|column| column.name.as_str()));
    let mut from: Vec<String> = sources
        .iter()
        .map(|source| match source {
            ColumnSource::Column(name) => quoted(name),
            ColumnSource::Fill(value) => fill(value),
        })
        .collect();
    if let Some((old, new)) = rowids {
        to = format!("{new}, {to}");
        from.insert(0, old.clone());
    }
    format!(
        "INSERT OR ABORT INTO main.{}({to}) SELECT {} FROM main.{}",
        quoted(&change.name),
        from.join(", "),
        quoted(parked_name)
    )
}
