//! A diff in numbers.

use crate::operation::{
    ObjectKind, Operation, RowChange, SchemaObject, SequenceChange, SettingChange, TableCounts,
    TableEdit,
};

/// What a diff holds, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The tables that differ, in the diff's order.
    pub tables: Vec<TableSummary>,
    /// Views, indexes and triggers that are dropped, by kind and name. One that changes is in both
    /// lists.
    pub dropped: Vec<(ObjectKind, String)>,
    /// Views, indexes and triggers that are created.
    pub created: Vec<(ObjectKind, String)>,
    /// AUTOINCREMENT counters that differ.
    pub sequences: Vec<SequenceChange>,
    /// Settings that differ.
    pub settings: Vec<SettingChange>,
}

/// One table's differences, counted.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSummary {
    /// Its name, after the change.
    pub name: String,
    /// What happens to the table itself.
    pub edit: EditKind,
    /// Rows that come.
    pub inserted: u64,
    /// Rows with other values.
    pub updated: u64,
    /// Rows that go; those of a dropped table are not listed and not counted.
    pub deleted: u64,
    /// Its number of rows.
    pub rows: TableCounts,
}

/// What happens to a table, without the details of [`TableEdit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EditKind {
    /// Only its rows differ.
    Rows,
    /// It is created.
    Create,
    /// It is dropped.
    Drop,
    /// Columns are added at its end.
    AddColumns,
    /// It is defined anew.
    Rebuild,
    /// All its rows are replaced.
    Refill,
}

impl Summary {
    pub(crate) fn add(&mut self, operation: &Operation) {
        let name = |object: &SchemaObject| (object.kind, object.name.clone());
        match operation {
            Operation::DropObject(object) => self.dropped.push(name(object)),
            Operation::CreateObject(object) => self.created.push(name(object)),
            Operation::Table(table) => self.tables.push(TableSummary {
                name: table.name.clone(),
                edit: match table.edit {
                    TableEdit::Rows => EditKind::Rows,
                    TableEdit::Create { .. } => EditKind::Create,
                    TableEdit::Drop { .. } => EditKind::Drop,
                    TableEdit::AddColumns { .. } => EditKind::AddColumns,
                    TableEdit::Rebuild { .. } => EditKind::Rebuild,
                    TableEdit::Refill => EditKind::Refill,
                },
                inserted: 0,
                updated: 0,
                deleted: 0,
                rows: TableCounts { before: None, after: None },
            }),
            Operation::Row(row) => {
                if let Some(table) = self.tables.last_mut() {
                    match row {
                        RowChange::Insert { .. } => table.inserted += 1,
                        RowChange::Update { .. } => table.updated += 1,
                        RowChange::Delete { .. } => table.deleted += 1,
                    }
                }
            }
            Operation::EndTable(counts) => {
                if let Some(table) = self.tables.last_mut() {
                    table.rows = *counts;
                }
            }
            Operation::Sequence(change) => self.sequences.push(change.clone()),
            Operation::Setting(change) => self.settings.push(*change),
            Operation::ForeignKeys(_) => {}
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Rows that come, change and go, over all tables.
    pub fn rows_changed(&self) -> u64 {
        self.tables.iter().map(|table| table.inserted + table.updated + table.deleted).sum()
    }
}
