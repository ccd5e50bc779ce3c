//! Applying a changeset to a database.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{
    CONFLICTS_KEPT_MAX, ChangedRow, Changeset, ChangesetApplied, ChangesetTable, OnConflict,
};
use crate::apply::Settings;
use crate::diff::Options;
use crate::error::{Conflict, ConflictKind, Error, Result};
use crate::foreign_keys::count_dangling;
use crate::operation::{ColumnChange, Identity, RowKey, TableChange, TableEdit};
use crate::plan::{change_of, identify};
use crate::progress::{Meter, OnProgress};
use crate::schema::{Schema, Table};
use crate::sqlite::Encoding;
use crate::sqltext::same_name;
use crate::value::Value;
use crate::writer::TableWriter;

/// Where SQLite's session extension records what `ANALYZE` finds, as if it had a primary key.
const STATISTICS: &str = "sqlite_stat1";

impl Changeset {
    /// Applies it to the main database of `conn`, in one transaction.
    ///
    /// Every table must be there, with the same primary key and at least as many columns, whatever
    /// `on_conflict`: SQLite's own function passes over tables that are not, in silence. Triggers
    /// do not fire and no foreign key acts, as the changeset holds what they did; if references to
    /// nothing are left that were not there before, it is [`Error::ForeignKeys`] and nothing is
    /// applied. Unique values may be exchanged between rows. Statistics of `ANALYZE` are left
    /// out and counted as skipped.
    ///
    /// # Errors
    ///
    /// [`Error::InTransaction`] if the connection is inside a transaction; [`Error::Conflict`] as
    /// `on_conflict` says, and for a table that does not fit.
    pub fn apply(
        &self,
        conn: &Connection,
        on_conflict: OnConflict,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<ChangesetApplied> {
        if !conn.is_autocommit() {
            return Err(Error::InTransaction);
        }
        let _settings = Settings::for_applying(conn)?;
        conn.execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| Error::from_rusqlite("beginning to write", &error))?;
        let mut meter = Meter::new(on_progress);
        let outcome = run(self, conn, on_conflict, &mut meter).and_then(|applied| {
            conn.execute_batch("COMMIT")
                .map_err(|error| Error::from_rusqlite("committing", &error))?;
            Ok(applied)
        });
        if outcome.is_err() && !conn.is_autocommit() {
            // The first error is the one to report.
            let _ = conn.execute_batch("ROLLBACK");
        }
        outcome
    }
}

fn run(
    changeset: &Changeset,
    conn: &Connection,
    on_conflict: OnConflict,
    meter: &mut Meter<'_>,
) -> Result<ChangesetApplied> {
    let schema = Schema::read(conn)?;
    let concerned = concerned_by_foreign_keys(changeset, &schema)?;
    let count = || -> Result<(u64, String)> {
        let (mut total, mut first) = (0, String::new());
        for table in &concerned {
            let found = count_dangling(conn, table)?;
            if found > 0 && total == 0 {
                first.clone_from(table);
            }
            total += found;
        }
        Ok((total, first))
    };
    let (expected, _) = count()?;
    let mut applied = ChangesetApplied::default();
    let mut changes = changeset.changes().peekable();
    while let Some(first) = changes.peek() {
        let head = match first {
            Ok(change) => std::sync::Arc::clone(&change.table),
            Err(_) => break,
        };
        let mut rows = Vec::new();
        while let Some(change) =
            changes.next_if(|next| next.as_ref().is_ok_and(|change| change.table == head))
        {
            rows.push(change?.row);
        }
        meter.table(&head.name)?;
        if same_name(&head.name, STATISTICS) {
            applied.skipped += rows.len() as u64;
            let detail = "statistics are not carried over; run ANALYZE";
            keep(&mut applied, conflict(ConflictKind::Schema, &head.name, detail));
            continue;
        }
        let target = target_of(&schema, &head)?;
        let mut group = Group {
            target: &target,
            columns: head.key.len(),
            full: TableWriter::after(conn, schema.encoding, &target.full),
            narrow: TableWriter::after(conn, schema.encoding, &target.narrow),
            on_conflict,
            applied: &mut applied,
            pending: Vec::new(),
        };
        group.apply(rows, meter)?;
    }
    if let Some(error) = changes.next() {
        error?;
    }
    let (found, table) = count()?;
    if found > expected {
        return Err(Error::ForeignKeys { table, expected, found });
    }
    Ok(applied)
}

/// The tables with foreign keys that the changes can touch, from either end.
fn concerned_by_foreign_keys(changeset: &Changeset, schema: &Schema) -> Result<BTreeSet<String>> {
    let mut concerned = BTreeSet::new();
    for summary in changeset.summary()? {
        let name = &summary.table.name;
        for table in &schema.tables {
            let is_child = same_name(&table.name, name) && !table.foreign_keys.is_empty();
            if is_child || table.foreign_keys.iter().any(|key| same_name(&key.parent, name)) {
                concerned.insert(table.name.clone());
            }
        }
    }
    Ok(concerned)
}

/// The table in the database that a changeset's table stands for.
struct Target {
    /// With all its columns.
    full: TableChange,
    /// With the columns that the changeset knows: the first ones.
    narrow: TableChange,
    /// The indexes of the key's columns.
    key: Vec<usize>,
}

fn conflict(kind: ConflictKind, table: &str, detail: &str) -> Conflict {
    Conflict {
        kind,
        table: table.to_owned(),
        key: None,
        column: None,
        expected: None,
        found: None,
        detail: detail.to_owned(),
    }
}

fn target_of(schema: &Schema, head: &ChangesetTable) -> Result<Target> {
    let refuse = |detail: &str| {
        Err(Error::Conflict(Box::new(conflict(ConflictKind::Schema, &head.name, detail))))
    };
    let Some(table) = schema.table(&head.name) else { return refuse("there is no such table") };
    if table.is_virtual() || table.is_shadow() {
        return refuse("it is a virtual table, whose rows have no place in a changeset");
    }
    let full = describe(schema.encoding, table)?;
    let Identity::Key { columns, rowid } = &full.identity else {
        return refuse("it has no primary key by which rows can be found");
    };
    if full.columns.len() < head.key.len() {
        let detail = format!(
            "it has {} columns, the changeset knows {}",
            full.columns.len(),
            head.key.len()
        );
        return refuse(&detail);
    }
    let key: Vec<usize> = columns.iter().map(|key| key.column).collect();
    let mut expected: Vec<usize> = key.clone();
    expected.sort_unstable();
    let found: Vec<usize> =
        head.key.iter().enumerate().filter(|(_, place)| **place > 0).map(|(i, _)| i).collect();
    if found != expected {
        return refuse("its primary key is made of other columns");
    }
    let mut narrow = full.clone();
    narrow.columns.truncate(head.key.len());
    narrow.identity = Identity::Key { columns: columns.clone(), rowid: rowid.clone() };
    Ok(Target { full, narrow, key })
}

fn describe(encoding: Encoding, table: &Table) -> Result<TableChange> {
    let (identity, _) = identify(encoding, table, &Options::default())?;
    Ok(change_of(table, TableEdit::Rows, identity))
}

fn keep(applied: &mut ChangesetApplied, conflict: Conflict) {
    if applied.conflicts.len() < CONFLICTS_KEPT_MAX {
        applied.conflicts.push(conflict);
    }
}

/// The changes of one table.
struct Group<'g> {
    target: &'g Target,
    columns: usize,
    full: TableWriter<'g>,
    narrow: TableWriter<'g>,
    on_conflict: OnConflict,
    applied: &'g mut ChangesetApplied,
    /// Rows that were taken out to come back with other unique values, before and after.
    pending: Vec<(Vec<Value>, Vec<Value>)>,
}

impl Group<'_> {
    /// What goes and what changes in place; then what comes, when unique values are free.
    fn apply(&mut self, rows: Vec<ChangedRow>, meter: &mut Meter<'_>) -> Result<()> {
        let mut inserts = Vec::new();
        for row in rows {
            meter.add(1, 0)?;
            match row {
                ChangedRow::Insert { new } => inserts.push(new),
                ChangedRow::Delete { old } => self.delete(&old)?,
                ChangedRow::Update { old, new } => self.update(&old, &new)?,
            }
        }
        for (before, after) in std::mem::take(&mut self.pending) {
            match self.full.insert(None, &after) {
                Ok(()) => self.applied.updated += 1,
                Err(Error::Conflict(found)) if self.on_conflict == OnConflict::Skip => {
                    self.full.insert(None, &before)?;
                    self.skip(*found);
                }
                Err(error) => return Err(error),
            }
        }
        for new in inserts {
            self.insert(&new)?;
        }
        Ok(())
    }

    fn key(&self, values: &[Option<Value>]) -> RowKey {
        let value = |column: &usize| values.get(*column).cloned().flatten().unwrap_or_default();
        RowKey::Columns(self.target.key.iter().map(value).collect())
    }

    fn skip(&mut self, conflict: Conflict) {
        self.applied.skipped += 1;
        keep(self.applied, conflict);
    }

    /// Settles a conflict about a row that is not as expected; true if the change is to be made
    /// all the same.
    fn settle(&mut self, conflict: Conflict) -> Result<bool> {
        let may_replace = matches!(conflict.kind, ConflictKind::Changed | ConflictKind::Exists);
        match self.on_conflict {
            OnConflict::Replace if may_replace => {
                self.applied.replaced += 1;
                keep(self.applied, conflict);
                Ok(true)
            }
            OnConflict::Replace if conflict.kind == ConflictKind::Missing => {
                self.skip(conflict);
                Ok(false)
            }
            OnConflict::Skip => {
                self.skip(conflict);
                Ok(false)
            }
            OnConflict::Abort | OnConflict::Replace => Err(Error::Conflict(Box::new(conflict))),
        }
    }

    /// The row of a key as it is, if it holds the expected values or is to be changed anyway.
    fn find(&mut self, key: &RowKey, expected: &[Option<Value>]) -> Result<Option<Vec<Value>>> {
        let name = self.target.full.name.as_str();
        let Some(found) = self.full.find(key)? else {
            let mut conflict = conflict(ConflictKind::Missing, name, "");
            conflict.key = Some(key.clone());
            self.settle(conflict)?;
            return Ok(None);
        };
        let mismatch = expected.iter().enumerate().find_map(|(column, expected)| {
            let expected = expected.as_ref()?;
            (*expected != found[column]).then(|| (column, expected.clone()))
        });
        if let Some((column, expected)) = mismatch {
            let mut conflict = conflict(ConflictKind::Changed, name, "");
            conflict.key = Some(key.clone());
            conflict.column = Some(self.target.full.columns[column].name.clone());
            conflict.expected = Some(expected);
            conflict.found = Some(found[column].clone());
            if !self.settle(conflict)? {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    fn delete(&mut self, old: &[Option<Value>]) -> Result<()> {
        let key = self.key(old);
        if self.find(&key, old)?.is_some() {
            self.full.delete(&key, std::iter::empty())?;
            self.applied.deleted += 1;
        }
        Ok(())
    }

    fn update(&mut self, old: &[Option<Value>], new: &[Option<Value>]) -> Result<()> {
        let key = self.key(old);
        // How a key is written may differ where its collation sees no difference.
        let expected: Vec<Option<Value>> = old
            .iter()
            .enumerate()
            .map(
                |(column, value)| {
                    if self.target.key.contains(&column) { None } else { value.clone() }
                },
            )
            .collect();
        let Some(found) = self.find(&key, &expected)? else { return Ok(()) };
        let changes: Vec<ColumnChange> = new
            .iter()
            .enumerate()
            .filter_map(|(column, new)| {
                let (old, new) = (found[column].clone(), new.clone()?);
                (old != new).then_some(ColumnChange { column, old, new })
            })
            .collect();
        let columns = &self.target.full.columns;
        if changes.iter().any(|change| columns[change.column].is_unique) {
            self.full.delete(&key, std::iter::empty())?;
            let mut after = found.clone();
            for change in changes {
                after[change.column] = change.new;
            }
            self.pending.push((found, after));
            return Ok(());
        }
        if changes.is_empty() {
            self.applied.updated += 1;
            return Ok(());
        }
        match self.full.update(&key, &changes) {
            Ok(()) => self.applied.updated += 1,
            Err(Error::Conflict(found)) => {
                self.settle(*found)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn insert(&mut self, new: &[Value]) -> Result<()> {
        let writer = if self.columns < self.target.full.columns.len() {
            &mut self.narrow
        } else {
            &mut self.full
        };
        match writer.insert(None, new) {
            Ok(()) => self.applied.inserted += 1,
            Err(Error::Conflict(found)) => {
                if self.settle(*found)? {
                    let key = RowKey::Columns(
                        self.target.key.iter().map(|column| new[*column].clone()).collect(),
                    );
                    self.full.delete(&key, std::iter::empty())?;
                    let narrow = self.columns < self.target.full.columns.len();
                    let writer = if narrow { &mut self.narrow } else { &mut self.full };
                    writer.insert(None, new)?;
                    self.applied.inserted += 1;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
