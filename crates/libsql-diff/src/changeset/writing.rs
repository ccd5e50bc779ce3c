//! From a diff, or from changes, to SQLite's bytes.

use std::collections::HashMap;
use std::io::Write;

use super::{
    Change, ChangedRow, ChangesetKind, ChangesetTable, DELETE, INSERT, Omission, OmissionReason,
    UPDATE,
};
use crate::error::{Error, Result};
use crate::file::{Diff, Operations};
use crate::operation::{
    ColumnChange, Identity, ObjectKind, Operation, RowChange, RowKey, SequenceChange, TableChange,
    TableEdit,
};
use crate::value::{Value, ValueRef};

/// Appends changes as bytes.
pub(crate) struct ChangesetWriter {
    pub(crate) bytes: Vec<u8>,
    kind: ChangesetKind,
}

impl ChangesetWriter {
    pub(crate) fn new(kind: ChangesetKind) -> Self {
        Self { bytes: Vec::new(), kind }
    }

    /// One table's changes. Rows that go come first, so that an applier that works in this order
    /// finds their unique values free.
    pub(crate) fn group<'c>(&mut self, changes: impl Iterator<Item = &'c Change> + Clone) {
        let Some(first) = changes.clone().next() else { return };
        self.head(&first.table);
        let is_delete = |change: &&Change| matches!(change.row, ChangedRow::Delete { .. });
        for change in changes.clone().filter(is_delete) {
            self.change(change);
        }
        for change in changes.filter(|change| !is_delete(change)) {
            self.change(change);
        }
    }

    fn head(&mut self, table: &ChangesetTable) {
        self.bytes.push(match self.kind {
            ChangesetKind::Changeset => b'T',
            ChangesetKind::Patchset => b'P',
        });
        self.number(table.key.len() as u64);
        self.bytes.extend_from_slice(&table.key);
        self.bytes.extend_from_slice(table.name.as_bytes());
        self.bytes.push(0);
    }

    /// SQLite's variable-length integer: seven bits a byte, the highest first. Lengths need no
    /// ninth byte with eight.
    fn number(&mut self, number: u64) {
        let bytes = (64 - number.leading_zeros()).div_ceil(7).max(1);
        for index in (0..bytes).rev() {
            let seven = (number >> (7 * index)).to_le_bytes()[0] & 0x7f;
            self.bytes.push(if index > 0 { seven | 0x80 } else { seven });
        }
    }

    fn value(&mut self, value: Option<ValueRef<'_>>) {
        match value {
            None => self.bytes.push(0),
            Some(ValueRef::Integer(integer)) => {
                self.bytes.push(1);
                self.bytes.extend_from_slice(&integer.to_be_bytes());
            }
            Some(ValueRef::Real(real)) => {
                self.bytes.push(2);
                self.bytes.extend_from_slice(&real.to_be_bytes());
            }
            Some(ValueRef::Text(text)) => {
                self.bytes.push(3);
                self.number(text.len() as u64);
                self.bytes.extend_from_slice(text);
            }
            Some(ValueRef::Blob(blob)) => {
                self.bytes.push(4);
                self.number(blob.len() as u64);
                self.bytes.extend_from_slice(blob);
            }
            Some(ValueRef::Null) => self.bytes.push(5),
        }
    }

    fn values<'v>(&mut self, values: impl Iterator<Item = Option<&'v Value>>) {
        for value in values {
            self.value(value.map(Value::as_ref));
        }
    }

    fn begin(&mut self, operation: u8, is_indirect: bool) {
        self.bytes.extend_from_slice(&[operation, u8::from(is_indirect)]);
    }

    fn change(&mut self, change: &Change) {
        let is_key = |column: usize| change.table.key[column] > 0;
        match &change.row {
            ChangedRow::Insert { new } => {
                self.begin(INSERT, change.is_indirect);
                self.values(new.iter().map(Some));
            }
            ChangedRow::Delete { old } => {
                self.begin(DELETE, change.is_indirect);
                for (column, value) in old.iter().enumerate() {
                    if self.kind == ChangesetKind::Changeset || is_key(column) {
                        self.value(value.as_ref().map(Value::as_ref));
                    }
                }
            }
            ChangedRow::Update { old, new } => {
                self.begin(UPDATE, change.is_indirect);
                if self.kind == ChangesetKind::Changeset {
                    self.values(old.iter().chain(new).map(Option::as_ref));
                    return;
                }
                for (column, (old, new)) in old.iter().zip(new).enumerate() {
                    let value = if is_key(column) { old } else { new };
                    self.value(value.as_ref().map(Value::as_ref));
                }
            }
        }
    }
}

/// The bytes of a changed row's key.
pub(crate) fn key_bytes(change: &Change) -> Vec<u8> {
    let mut writer = ChangesetWriter::new(ChangesetKind::Changeset);
    for (column, place) in change.table.key.iter().enumerate() {
        if *place > 0 {
            let value = match &change.row {
                ChangedRow::Insert { new } => new.get(column),
                ChangedRow::Delete { old } | ChangedRow::Update { old, .. } => {
                    old.get(column).and_then(Option::as_ref)
                }
            };
            writer.value(value.map(Value::as_ref));
        }
    }
    writer.bytes
}

impl Diff {
    /// Writes the diff in SQLite's format and returns what the format could not take in; the
    /// caller must tell somebody, or stop, if that is not empty.
    ///
    /// Within a table, rows that go come first. Unique values that are exchanged between rows are
    /// written as updates, as SQLite does itself: [`crate::Changeset::apply`] carries them out, SQLite's
    /// own function reports them as constraint conflicts.
    pub fn write_changeset(
        &self,
        kind: ChangesetKind,
        out: &mut dyn Write,
    ) -> Result<Vec<Omission>> {
        let mut writing = Writing {
            out,
            writer: ChangesetWriter::new(kind),
            omissions: Vec::new(),
            largest_keys: HashMap::new(),
        };
        let mut operations = self.operations();
        while let Some(operation) = operations.next() {
            match operation? {
                Operation::DropObject(object) | Operation::CreateObject(object) => {
                    let kind = match object.kind {
                        ObjectKind::Index => "index",
                        ObjectKind::View => "view",
                        ObjectKind::Trigger => "trigger",
                    };
                    let subject = format!("{kind} {}", object.name);
                    writing.omit(subject, OmissionReason::Definition, 0);
                }
                Operation::Table(table) => writing.section(self, &table, &mut operations)?,
                Operation::Sequence(change) => writing.sequence(&change),
                Operation::Setting(change) => {
                    let subject = change.setting.pragma().to_owned();
                    writing.omit(subject, OmissionReason::Setting, 0);
                }
                // The changes bring what the foreign keys need; it is checked when applying.
                Operation::ForeignKeys(_) | Operation::Row(_) | Operation::EndTable(_) => {}
            }
        }
        writing.flush()?;
        Ok(writing.omissions)
    }
}

/// Bytes are handed on when there are this many.
const FLUSH_BYTES: usize = 1 << 16;

struct Writing<'o> {
    out: &'o mut dyn Write,
    writer: ChangesetWriter,
    omissions: Vec<Omission>,
    /// The largest integer key inserted into each table.
    largest_keys: HashMap<String, i64>,
}

impl Writing<'_> {
    fn flush(&mut self) -> Result<()> {
        self.out.write_all(&self.writer.bytes).map_err(Error::stream("writing the changeset"))?;
        self.writer.bytes.clear();
        Ok(())
    }

    fn omit(&mut self, subject: String, reason: OmissionReason, rows: u64) {
        let known = self.omissions.iter_mut().find(|o| o.subject == subject && o.reason == reason);
        match known {
            Some(known) => known.rows += rows,
            None => self.omissions.push(Omission { subject, reason, rows }),
        }
    }

    fn section(
        &mut self,
        diff: &Diff,
        table: &TableChange,
        operations: &mut Operations<'_>,
    ) -> Result<()> {
        let start = operations.next_offset();
        let mut rows = 0;
        for operation in operations.by_ref() {
            match operation? {
                Operation::Row(_) => rows += 1,
                _ => break,
            }
        }
        let subject = format!("table {}", table.name);
        let columns = match &table.identity {
            _ if table.is_virtual || table.is_shadow => {
                self.omit(subject, OmissionReason::VirtualTable, rows);
                return Ok(());
            }
            _ if !matches!(table.edit, TableEdit::Rows | TableEdit::Refill) => {
                self.omit(subject, OmissionReason::Definition, rows);
                return Ok(());
            }
            Identity::Key { columns, .. } => columns,
            Identity::Rowid { .. } | Identity::Nothing => {
                self.omit(subject, OmissionReason::NoPrimaryKey, rows);
                return Ok(());
            }
        };
        let mut head =
            ChangesetTable { name: table.name.clone(), key: vec![0; table.columns.len()] };
        for (index, key) in columns.iter().enumerate() {
            head.key[key.column] = u8::try_from(index + 1).map_err(|_| Error::Unsupported {
                subject: subject.clone(),
                what: "its primary key has more than 255 columns".to_owned(),
            })?;
        }
        let head = std::sync::Arc::new(head);
        let mut has_begun = false;
        // Rows that go come first, see `ChangesetWriter::group`.
        for is_first_pass in [true, false] {
            for operation in diff.operations_from(start, Some(Box::new(table.clone()))) {
                let Operation::Row(row) = operation? else { break };
                for row in changed_rows(&head, row, is_first_pass) {
                    let Some(row) = row else {
                        let subject = format!("table {}", table.name);
                        self.omit(subject, OmissionReason::NullKey, 1);
                        continue;
                    };
                    if let (ChangedRow::Insert { new }, [key]) = (&row, &columns[..])
                        && let Value::Integer(key) = new[key.column]
                    {
                        let largest = self.largest_keys.entry(table.name.clone()).or_insert(key);
                        *largest = key.max(*largest);
                    }
                    if !has_begun {
                        has_begun = true;
                        self.writer.head(&head);
                    }
                    let table = std::sync::Arc::clone(&head);
                    self.writer.change(&Change { table, is_indirect: false, row });
                    if self.writer.bytes.len() >= FLUSH_BYTES {
                        self.flush()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Inserting rows moves the counter, and mostly to where it belongs.
    fn sequence(&mut self, change: &SequenceChange) {
        let number = |value: Option<&Value>| match value {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        };
        let reached = match (number(change.old.as_ref()), self.largest_keys.get(&change.table)) {
            (Some(old), Some(largest)) => Some(old.max(*largest)),
            (old, largest) => old.or(largest.copied()),
        };
        let is_there =
            change.new.is_none() == reached.is_none() && { number(change.new.as_ref()) == reached };
        if !is_there {
            let subject = format!("table {}", change.table);
            self.omit(subject, OmissionReason::Sequence, 0);
        }
    }
}

/// One row of a diff as changes: two if its key changes in a way that its collation does not see.
/// In the first pass what goes, in the second the rest; None, in the second, for a row whose key
/// holds NULL.
fn changed_rows(
    table: &ChangesetTable,
    row: RowChange,
    is_first_pass: bool,
) -> Vec<Option<ChangedRow>> {
    let all = |values: Vec<Value>| values.into_iter().map(Some).collect::<Vec<_>>();
    let has_null = |values: &[Value]| {
        table.key.iter().zip(values).any(|(place, value)| *place > 0 && *value == Value::Null)
    };
    let omitted = if is_first_pass { Vec::new() } else { vec![None] };
    match row {
        RowChange::Insert { values, .. } if has_null(&values) => omitted,
        RowChange::Insert { .. } if is_first_pass => Vec::new(),
        RowChange::Insert { values, .. } => vec![Some(ChangedRow::Insert { new: values })],
        RowChange::Delete { key: RowKey::Rowid(_), .. }
        | RowChange::Update { key: RowKey::Rowid(_), .. } => omitted,
        RowChange::Delete { values, .. } if is_first_pass => {
            vec![Some(ChangedRow::Delete { old: all(values) })]
        }
        RowChange::Delete { .. } => Vec::new(),
        RowChange::Update { key: RowKey::Columns(key), changes, replacement } => {
            let changes_key = changes.iter().any(|change| table.key[change.column] > 0);
            if changes_key && let Some(new) = replacement {
                if !is_first_pass {
                    return vec![Some(ChangedRow::Insert { new })];
                }
                let mut old = all(new);
                for ColumnChange { column, old: value, .. } in changes {
                    old[column] = Some(value);
                }
                return vec![Some(ChangedRow::Delete { old })];
            }
            if is_first_pass {
                return Vec::new();
            }
            let (mut old, mut new) = (vec![None; table.key.len()], vec![None; table.key.len()]);
            for (column, place) in table.key.iter().enumerate() {
                if *place > 0 {
                    old[column] = key.get(usize::from(*place) - 1).cloned();
                }
            }
            for change in changes {
                old[change.column] = Some(change.old);
                new[change.column] = Some(change.new);
            }
            vec![Some(ChangedRow::Update { old, new })]
        }
    }
}
