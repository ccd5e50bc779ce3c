//! What a diff consists of.
//!
//! The operations of a diff come in one fixed order: views, indexes and triggers that go; tables
//! that go; tables that come, change or hold other rows; indexes, views and triggers that come;
//! sequences; settings; the state of the foreign keys. A table's rows stand between its
//! [`Operation::Table`] and its [`Operation::EndTable`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::value::{Value, ValueRef};

/// One step on the way from one database to the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// An index, view or trigger that is dropped, for good or to be created again later.
    DropObject(SchemaObject),
    /// The beginning of a table's section.
    Table(Box<TableChange>),
    /// A row of the table whose section is open.
    Row(RowChange),
    /// The end of a table's section.
    EndTable(TableCounts),
    /// An index, view or trigger that is created, after all rows are in place.
    CreateObject(SchemaObject),
    /// A table's next AUTOINCREMENT key.
    Sequence(SequenceChange),
    /// A number in the file's header.
    Setting(SettingChange),
    /// What the target's foreign keys look like; see [`ForeignKeyState`].
    ForeignKeys(ForeignKeyState),
}

/// The kinds of schema objects besides tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// `CREATE INDEX`.
    Index,
    /// `CREATE VIEW`.
    View,
    /// `CREATE TRIGGER`.
    Trigger,
}

impl ObjectKind {
    /// The kind as an SQL keyword.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Index => "INDEX",
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
        }
    }
}

/// An index, view or trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaObject {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// The table or view that it belongs to; its own name for a view.
    pub table: String,
    /// Its `CREATE` statement, as SQLite keeps it.
    pub sql: String,
}

/// The head of a table's section: what happens to the table, and how to read its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableChange {
    /// The table's name, after the change.
    pub name: String,
    /// What happens to the table itself.
    pub edit: TableEdit,
    /// The columns whose values the section's rows hold, in their order. Generated columns are
    /// not among them.
    pub columns: Vec<ColumnInfo>,
    /// How the rows are told apart.
    pub identity: Identity,
    /// The table's triggers that are the same on both sides. They must not fire while the rows
    /// are changed: what they did is among the differences already.
    pub triggers: Vec<SchemaObject>,
    /// Whether the table is a virtual one, such as FTS5.
    pub is_virtual: bool,
    /// Whether a virtual table keeps its data in it, so that its rows mean nothing by themselves.
    pub is_shadow: bool,
}

/// What happens to a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TableEdit {
    /// Nothing; only its rows differ.
    Rows,
    /// It is created.
    Create {
        /// Its `CREATE TABLE` statement.
        sql: String,
    },
    /// It is dropped, with its rows, which are not listed.
    Drop {
        /// Its `CREATE TABLE` statement.
        sql: String,
    },
    /// Columns are added at its end. Rows are deleted before and changed or inserted after.
    AddColumns {
        /// The `ALTER TABLE` statements.
        statements: Vec<String>,
        /// How many of [`TableChange::columns`] there were before.
        columns_before: usize,
    },
    /// It is defined anew and the rows that stay are carried over. Rows are deleted before, in
    /// the old table, and inserted after; an update is both.
    Rebuild {
        /// The table's name before.
        old_name: String,
        /// Its `CREATE TABLE` statement before.
        old_sql: String,
        /// Its `CREATE TABLE` statement after.
        sql: String,
        /// The name under which the old table waits while its rows are carried over.
        parked_name: String,
        /// Where each of [`TableChange::columns`] comes from.
        sources: Vec<ColumnSource>,
        /// The names of the rowid in the old and in the new table, where it is carried over.
        rowids: Option<(String, String)>,
    },
    /// Its rows cannot be told apart: all are deleted and then inserted.
    Refill,
}

/// Where the values of a rebuilt table's column come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnSource {
    /// The old table's column of this name.
    Column(String),
    /// This value in every row.
    Fill(Value),
}

/// A column of a table's section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Whether it takes part in a key or unique index, so that its value cannot be changed in
    /// place while other rows may still hold the new one.
    pub is_unique: bool,
}

/// How a table's rows are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// By the rowid, which goes by this name.
    Rowid {
        /// `rowid`, `_rowid_` or `oid`.
        name: String,
    },
    /// By the primary key.
    Key {
        /// Its columns, in the key's order.
        columns: Vec<KeyColumn>,
        /// The rowid's name, for the rows whose key holds NULL and is therefore none.
        rowid: Option<String>,
    },
    /// Not at all; only with [`TableEdit::Refill`].
    Nothing,
}

/// A column of a primary key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// Its index in [`TableChange::columns`].
    pub column: usize,
    /// The collation by which the key tells values apart, `BINARY` mostly.
    pub collation: String,
}

/// What tells a row from the others of its table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKey {
    /// Its rowid.
    Rowid(i64),
    /// The values of its key columns, in the key's order.
    Columns(Vec<Value>),
}

impl RowKey {
    /// The rowid, if rows are told apart by it.
    pub fn rowid(&self) -> Option<i64> {
        match self {
            Self::Rowid(rowid) => Some(*rowid),
            Self::Columns(_) => None,
        }
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rowid(rowid) => write!(f, "rowid {rowid}"),
            Self::Columns(values) => {
                f.write_str("key ")?;
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{value}")?;
                }
                Ok(())
            }
        }
    }
}

/// A difference in one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum RowChange {
    /// A row that comes.
    Insert {
        /// Its rowid, where rows are told apart by it. Else SQLite chooses one, as it also does
        /// where a merge found another row under it.
        rowid: Option<i64>,
        /// Its values, one for each of [`TableChange::columns`].
        values: Vec<Value>,
    },
    /// A row that goes.
    Delete {
        /// The row.
        key: RowKey,
        /// Its values, one for each of [`TableChange::columns`].
        values: Vec<Value>,
    },
    /// A row with other values.
    Update {
        /// The row, as it is before.
        key: RowKey,
        /// The columns that differ, in ascending order, never empty.
        changes: Vec<ColumnChange>,
        /// All values after, if the row is to be deleted and inserted again: because a changed
        /// column is in a unique index, where another row may hold the new value until it is
        /// changed itself, or because the table is rebuilt.
        replacement: Option<Vec<Value>>,
    },
}

/// One column's difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnChange {
    /// Its index in [`TableChange::columns`].
    pub column: usize,
    /// The value before.
    pub old: Value,
    /// The value after.
    pub new: Value,
}

/// How many rows a table has; None where that depends on more than the diff, as in the tables
/// that FTS5 fills by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCounts {
    /// Before.
    pub before: Option<u64>,
    /// After.
    pub after: Option<u64>,
}

/// A table's entry in `sqlite_sequence`: the largest key that AUTOINCREMENT has given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceChange {
    /// The table.
    pub table: String,
    /// Before; None without an entry.
    pub old: Option<Value>,
    /// After; None without an entry.
    pub new: Option<Value>,
}

/// A number in the file's header that belongs to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// `PRAGMA user_version`.
    UserVersion,
    /// `PRAGMA application_id`.
    ApplicationId,
}

impl Setting {
    /// The pragma's name.
    pub fn pragma(self) -> &'static str {
        match self {
            Self::UserVersion => "user_version",
            Self::ApplicationId => "application_id",
        }
    }
}

/// A setting's difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// Which.
    pub setting: Setting,
    /// Before.
    pub old: i32,
    /// After.
    pub new: i32,
}

/// What to expect of the foreign keys once the diff is applied.
///
/// A database can hold rows that refer to nothing: enforcement is off by default in SQLite. A diff
/// reproduces them, and applying it lets through as many as its target has, and no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKeyState {
    /// The tables whose foreign keys the differences can have touched.
    pub tables: Vec<String>,
    /// How many references to nothing the differences can bring into them.
    pub dangling: u64,
}

impl TableChange {
    /// The key of a row with these values, in the order of [`TableChange::columns`].
    pub fn key_of(&self, rowid: Option<i64>, values: &[Value]) -> Option<RowKey> {
        match &self.identity {
            Identity::Rowid { .. } => rowid.map(RowKey::Rowid),
            Identity::Key { columns, .. } => Some(RowKey::Columns(
                columns
                    .iter()
                    .map(|key| values.get(key.column).cloned().unwrap_or_default())
                    .collect(),
            )),
            Identity::Nothing => None,
        }
    }

    /// The columns of the primary key by which rows are told apart; none if they are not.
    pub fn key_columns(&self) -> &[KeyColumn] {
        match &self.identity {
            Identity::Key { columns, .. } => columns,
            Identity::Rowid { .. } | Identity::Nothing => &[],
        }
    }
}

impl RowChange {
    /// The row's key. For a row that comes it is the key that it will have; None if SQLite
    /// chooses it.
    pub fn key(&self, table: &TableChange) -> Option<RowKey> {
        match self {
            Self::Insert { rowid, values } => table.key_of(*rowid, values),
            Self::Delete { key, .. } | Self::Update { key, .. } => Some(key.clone()),
        }
    }

    /// The value of `column` before: None if the row comes, or if the column is not changed.
    pub fn old_value(&self, column: usize) -> Option<ValueRef<'_>> {
        match self {
            Self::Insert { .. } => None,
            Self::Delete { values, .. } => values.get(column).map(Value::as_ref),
            Self::Update { changes, .. } => {
                changes.iter().find(|change| change.column == column).map(|c| c.old.as_ref())
            }
        }
    }

    /// The value of `column` after: None if the row goes, or if the column is not changed.
    pub fn new_value(&self, column: usize) -> Option<ValueRef<'_>> {
        match self {
            Self::Insert { values, .. } => values.get(column).map(Value::as_ref),
            Self::Delete { .. } => None,
            Self::Update { changes, .. } => {
                changes.iter().find(|change| change.column == column).map(|c| c.new.as_ref())
            }
        }
    }
}
