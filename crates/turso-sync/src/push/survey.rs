//! Which groups the row changes of a diff fall into: rows of one group go through one statement.

use std::collections::HashMap;

use libsql_diff::{ColumnChange, Diff, Operation, RowChange, RowKey, TableChange, Value};

use super::cell::{Form, Forms, WIDE_ROW_BYTES};
use crate::error::Result;

/// Sets of changed columns that get statements of their own, in one table. What else changes goes
/// through one statement that can change any column.
const SHAPES_MAX: usize = 32;

/// A row in which more columns change is changed piece by piece, so many columns at a time: SQLite
/// knows at most 2,000 columns, and each of these takes up to three.
const PIECE_COLUMNS: usize = 600;

/// What the rows of a group are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// Rows that go.
    Delete,
    /// Rows that go and come back with other values.
    Replace,
    /// Rows that change in place.
    Update,
    /// Rows that come, also those that come back.
    Insert,
}

/// Rows that one statement takes care of.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) work: Work,
    /// Whether the rowid stands first; else rows are told apart by their key, or come without.
    pub(crate) by_rowid: bool,
    /// The columns whose values the rows hold, by index into the table's.
    pub(crate) columns: Vec<usize>,
    /// Whether each row says for itself which of the columns change.
    pub(crate) is_loose: bool,
    /// The forms of each cell.
    pub(crate) forms: Vec<Forms>,
    pub(crate) rows: u64,
}

/// Takes a group, its number, and a row's cells in it.
pub(crate) type Visit<'v> = dyn FnMut(&mut Group, usize, &[Cell<'_>]) -> Result<()> + 'v;

/// One cell of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'v> {
    Value(&'v Value),
    Rowid(i64),
    /// A column that does not change.
    Same,
}

/// The groups of one table's section. In the stage, groups are numbered from 1 over all sections.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) groups: Vec<Group>,
    /// The number of the first group.
    pub(crate) first: usize,
    /// How many rows the table has before, if that is known.
    pub(crate) rows_before: Option<u64>,
    index: HashMap<(Work, bool, Vec<usize>), usize>,
}

impl Section {
    /// Where a row goes; a row that is replaced goes to two places.
    fn place(&mut self, table: &TableChange, work: Work, row: &RowChange) -> usize {
        let by_rowid = match row {
            RowChange::Insert { rowid, .. } => rowid.is_some(),
            RowChange::Delete { key, .. } | RowChange::Update { key, .. } => key.rowid().is_some(),
        };
        let all = || match row {
            RowChange::Update { changes, .. } if work == Work::Update => {
                let piece = changes.first().map_or(0, |change| change.column / PIECE_COLUMNS);
                let begin = piece * PIECE_COLUMNS;
                (begin..table.columns.len().min(begin + PIECE_COLUMNS)).collect::<Vec<_>>()
            }
            _ => (0..table.columns.len()).collect(),
        };
        let (columns, is_shaped) = match (work, row) {
            (Work::Update | Work::Replace, RowChange::Update { changes, .. }) => {
                (changes.iter().map(|change| change.column).collect(), true)
            }
            _ => (all(), false),
        };
        let key = (work, by_rowid, columns);
        if let Some(&group) = self.index.get(&key) {
            return group;
        }
        let shapes = self.index.keys().filter(|known| known.0 == work).count();
        if is_shaped && shapes >= SHAPES_MAX {
            let columns = all();
            let loose = self.groups.iter().position(|group| {
                group.is_loose
                    && (group.work, group.by_rowid) == (work, by_rowid)
                    && group.columns == columns
            });
            return loose.unwrap_or_else(|| self.add(table, work, by_rowid, columns, true));
        }
        let group = self.add(table, work, by_rowid, key.2.clone(), false);
        self.index.insert(key, group);
        group
    }

    fn add(
        &mut self,
        table: &TableChange,
        work: Work,
        by_rowid: bool,
        columns: Vec<usize>,
        is_loose: bool,
    ) -> usize {
        let mut group = Group { work, by_rowid, columns, is_loose, forms: Vec::new(), rows: 0 };
        group.forms = vec![Forms::default(); group.width(table)];
        self.groups.push(group);
        self.groups.len() - 1
    }

    /// Calls `visit` with each group that `row` belongs to and the cells that it has there.
    pub(crate) fn rows(
        &mut self,
        table: &TableChange,
        row: &RowChange,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let works: &[Work] = match row {
            RowChange::Insert { .. } => &[Work::Insert],
            RowChange::Delete { .. } => &[Work::Delete],
            RowChange::Update { replacement: None, .. } => &[Work::Update],
            RowChange::Update { replacement: Some(_), .. } => &[Work::Replace, Work::Insert],
        };
        for &work in works {
            match row {
                RowChange::Update { key, changes, .. }
                    if work == Work::Update && table.columns.len() > PIECE_COLUMNS =>
                {
                    let piece = |change: &ColumnChange| change.column / PIECE_COLUMNS;
                    for some in changes.chunk_by(|a, b| piece(a) == piece(b)) {
                        let (key, changes) = (key.clone(), some.to_vec());
                        let part = RowChange::Update { key, changes, replacement: None };
                        self.row(table, work, &part, visit)?;
                    }
                }
                _ => self.row(table, work, row, visit)?,
            }
        }
        Ok(())
    }

    fn row(
        &mut self,
        table: &TableChange,
        work: Work,
        row: &RowChange,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let at = self.place(table, work, row);
        let group = &mut self.groups[at];
        let cells = group.cells(row);
        visit(group, self.first + at, &cells)
    }
}

impl Group {
    /// How many cells the key takes.
    pub(crate) fn key_width(&self, table: &TableChange) -> usize {
        match self.work {
            Work::Insert => usize::from(self.by_rowid),
            // A deleted row's key is among its values.
            Work::Delete if !self.by_rowid => 0,
            _ if self.by_rowid => 1,
            _ => table.key_columns().len(),
        }
    }

    fn width(&self, table: &TableChange) -> usize {
        let values = if self.work == Work::Update { 2 } else { 1 };
        self.key_width(table) + values * self.columns.len()
    }

    /// The key, then for each column the old value, the new one, or both.
    fn cells<'r>(&self, row: &'r RowChange) -> Vec<Cell<'r>> {
        let mut cells = Vec::with_capacity(self.forms.len());
        match row {
            RowChange::Delete { key, values } => {
                cells.extend(key.rowid().map(Cell::Rowid));
                cells.extend(values.iter().map(Cell::Value));
            }
            RowChange::Insert { rowid, values } => {
                cells.extend(rowid.map(Cell::Rowid));
                cells.extend(values.iter().map(Cell::Value));
            }
            RowChange::Update { key, replacement: Some(values), .. }
                if self.work == Work::Insert =>
            {
                cells.extend(key.rowid().map(Cell::Rowid));
                cells.extend(values.iter().map(Cell::Value));
            }
            RowChange::Update { key, changes, .. } => {
                match key {
                    RowKey::Rowid(rowid) => cells.push(Cell::Rowid(*rowid)),
                    RowKey::Columns(values) => cells.extend(values.iter().map(Cell::Value)),
                }
                let mut changes = changes.iter().peekable();
                for &column in &self.columns {
                    let change = changes.next_if(|change: &&ColumnChange| change.column == column);
                    cells.push(change.map_or(Cell::Same, |change| Cell::Value(&change.old)));
                    if self.work == Work::Update {
                        cells.push(change.map_or(Cell::Same, |change| Cell::Value(&change.new)));
                    }
                }
            }
        }
        cells
    }
}

/// Whether a row is so large that more of its values are staged by themselves.
pub(crate) fn is_wide(cells: &[Cell<'_>]) -> bool {
    let bytes: usize = cells
        .iter()
        .map(|cell| match cell {
            Cell::Value(Value::Text(bytes) | Value::Blob(bytes)) => bytes.len(),
            _ => 8,
        })
        .sum();
    bytes > WIDE_ROW_BYTES
}

/// The sections of all tables, in the diff's order.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) sections: Vec<Section>,
    /// Row changes in all.
    pub(crate) rows: u64,
}

/// Reads all of `diff` once.
pub(crate) fn survey(diff: &Diff) -> Result<Survey> {
    let mut survey = Survey { sections: Vec::new(), rows: 0 };
    let mut next = 1;
    let mut open: Option<(TableChange, Section)> = None;
    for operation in diff.operations() {
        match operation? {
            Operation::Table(table) => {
                open = Some((*table, Section { first: next, ..Section::default() }));
            }
            Operation::Row(row) => {
                let Some((table, section)) = &mut open else { continue };
                survey.rows += 1;
                section.rows(table, &row, &mut |group, _, cells| {
                    group.rows += 1;
                    let is_wide = is_wide(cells);
                    for (forms, cell) in group.forms.iter_mut().zip(cells) {
                        forms.add(match cell {
                            Cell::Value(value) => Form::of(value, is_wide),
                            Cell::Rowid(_) | Cell::Same => Form::Plain,
                        });
                    }
                    Ok(())
                })?;
            }
            Operation::EndTable(counts) => {
                if let Some((_, mut section)) = open.take() {
                    section.rows_before = counts.before;
                    next += section.groups.len();
                    survey.sections.push(section);
                }
            }
            _ => {}
        }
    }
    Ok(survey)
}
