//! Settling definitions: a table that both sides defined differently is given the winner's
//! definition on a copy of the loser's database, and what has one definition then merges by rows.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::columns::added_defaults;
use super::tables::base_name;
use super::{
    ColumnConflict, Databases, Merge, MergeConflict, MergeConflictKind, MergePolicy, Side, merge,
};
use crate::apply::{ApplyOptions, apply_with};
use crate::diff::{Options, Sink as _, diff_with};
use crate::error::{Error, Result};
use crate::file::{Diff, DiffWriter};
use crate::operation::{
    ColumnSource, Operation, SchemaObject, TableChange, TableCounts, TableEdit,
};
use crate::progress::{OnProgress, Progress};
use crate::schema::Schema;
use crate::source::Input;
use crate::sqltext::{same_name, virtual_owner};
use crate::value::Value;

/// Merges once more, with one definition for each of the tables that `first` could not settle.
pub(super) fn settle(
    files: &Databases<'_>,
    policy: MergePolicy,
    first: Merge,
    options: &Options,
    on_progress: &mut OnProgress<'_>,
) -> Result<Merge> {
    let mut watched = |progress: &Progress| on_progress(progress);
    let ours_win = policy == MergePolicy::Ours;
    let (winner, loser) =
        if ours_win { (files.ours, files.theirs) } else { (files.theirs, files.ours) };
    let folder =
        tempfile::tempdir().map_err(Error::stream("creating a folder for intermediate files"))?;
    // Other programs may write to the loser's database meanwhile; everything is told from this copy.
    let before = folder.path().join("before.db");
    let after = folder.path().join("after.db");
    copy(loser, &before)?;
    copy(&before, &after)?;
    let to_winner = diff_with(files.base, winner, options, &mut watched)?;
    let to_loser = diff_with(files.base, &before, options, &mut watched)?;
    let mut lost = Vec::new();
    {
        let across = diff_with(&before, winner, options, &mut watched)?;
        let conversion = Conversion {
            contested: &first.contested,
            owners: owners(winner, &first.contested)?,
            winner: Side::scan(&to_winner)?,
            loser: Side::scan(&to_loser)?,
        };
        let conn = open(&after)?;
        let (diff, again) = conversion.of(&across)?;
        let unchecked = ApplyOptions { counts: false, foreign_keys: false };
        apply_with(&diff, &conn, &unchecked, &mut watched)?;
        for object in again {
            // It may be about what the winner's table does not have.
            if conn.execute_batch(&object.sql).is_err() && !has(winner, &object)? {
                lost.push(object);
            }
        }
        conn.close().map_err(|(_, error)| Error::from_rusqlite("closing a copy", &error))?;
    }
    let converted = diff_with(files.base, &after, options, &mut watched)?;
    let (ours, theirs) = if ours_win { (&to_winner, &converted) } else { (&converted, &to_winner) };
    let mut second = merge(ours, theirs, policy)?;
    if let Some(diff) = second.diff.take() {
        second.diff = Some(if ours_win {
            diff
        } else {
            // It leads on from the copy; wanted is what leads on from our side.
            let conn = open(&after)?;
            apply_with(&diff, &conn, &ApplyOptions::default(), &mut watched)?;
            conn.close().map_err(|(_, error)| Error::from_rusqlite("closing a copy", &error))?;
            diff_with(&before, &after, options, &mut watched)?
        });
    }
    Ok(joined(first, second, lost, ours_win))
}

/// What was contested at first, and what came after that.
fn joined(first: Merge, second: Merge, lost: Vec<SchemaObject>, ours_win: bool) -> Merge {
    let is_known = |conflict: &MergeConflict, known: &[MergeConflict]| {
        known.iter().any(|other| {
            other.kind == conflict.kind
                && other.table == conflict.table
                && other.key == conflict.key
        })
    };
    let tables = first.conflicts.into_iter().filter(|c| c.kind == MergeConflictKind::Table);
    let mut conflicts: Vec<MergeConflict> = tables.collect();
    let known = conflicts.len();
    let mut count = second.conflicts_count;
    for conflict in second.conflicts {
        if is_known(&conflict, &conflicts[..known]) {
            count -= 1;
        } else {
            conflicts.push(conflict);
        }
    }
    for object in lost {
        let sql = Some(Value::text(&object.sql));
        let (ours, theirs) = if ours_win { (None, sql) } else { (sql, None) };
        conflicts.push(MergeConflict {
            table: object.name,
            key: None,
            kind: MergeConflictKind::Object,
            columns: vec![ColumnConflict { column: "sql".to_owned(), base: None, ours, theirs }],
        });
        count += 1;
    }
    let conflicts_count = count + known as u64;
    Merge { diff: second.diff, conflicts, conflicts_count, contested: second.contested }
}

fn open(path: &Path) -> Result<Connection> {
    Connection::open(path).map_err(|error| Error::from_rusqlite("opening a copy", &error))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = |error: rusqlite::Error| {
        Error::from_rusqlite(format!("copying {}", from.display()), &error)
    };
    let input = Input::open(from)?;
    let mut target = open(to)?;
    // Nobody needs the copy after a crash.
    target
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY")
        .map_err(failed)?;
    let outcome = Backup::new(&input.conn, &mut target).and_then(|backup| backup.step(-1));
    match outcome.map_err(failed)? {
        StepResult::Done => {}
        _ => {
            return Err(Error::Sqlite {
                doing: format!("copying {}", from.display()),
                code: rusqlite::ffi::SQLITE_BUSY,
                message: "another program is writing to it".to_owned(),
            });
        }
    }
    // A log would outlive the copy's connection.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(failed)?;
    input.check()
}

fn schema(path: &Path) -> Result<Schema> {
    Schema::read(&Input::open(path)?.conn)
}

fn has(path: &Path, object: &SchemaObject) -> Result<bool> {
    let schema = schema(path)?;
    Ok(schema.objects.iter().any(|other| same_name(&other.name, &object.name)))
}

/// The virtual tables that keep their data in some of the tables.
fn owners(path: &Path, tables: &HashSet<String>) -> Result<HashSet<String>> {
    let schema = schema(path)?;
    let owned = schema.tables.iter().filter(|table| tables.contains(&lower(&table.name)));
    Ok(owned.filter_map(|table| table.owner.as_deref()).map(lower).collect())
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

struct Conversion<'m> {
    /// The names of the tables, on both sides and in the base, in lower case.
    contested: &'m HashSet<String>,
    /// Virtual tables of which all data has to come from one side.
    owners: HashSet<String>,
    winner: Side<'m>,
    loser: Side<'m>,
}

/// What is done with a contested table of the loser's.
enum Way {
    /// It becomes the winner's, with all rows.
    Whole,
    /// It gets the winner's definition and keeps its rows.
    Redefined(Box<TableChange>),
}

impl Conversion<'_> {
    /// What gives the loser's tables the winner's definitions, and the loser's indexes and triggers
    /// that are to be created again afterwards.
    fn of(&self, across: &Diff) -> Result<(Diff, Vec<SchemaObject>)> {
        let mut ways = HashMap::new();
        let (mut replaced, mut rebuilt) = (HashSet::new(), HashSet::new());
        // Objects come before tables, so what becomes of the tables is looked at first.
        for operation in across.operations() {
            if let Operation::Table(table) = operation?
                && self.is_contested(&table)
                && let Some(way) = self.way(&table)?
            {
                let names = name_before(&table).into_iter().chain([&*table.name]).map(lower);
                match &way {
                    Way::Whole => replaced.extend(names),
                    Way::Redefined(change) if is_rebuilt(change) => rebuilt.extend(names),
                    Way::Redefined(_) => {}
                }
                // A table that is dropped and one that is created may have one name.
                ways.insert((lower(&table.name), is_dropped(&table)), way);
            }
        }
        let mut writer = DiffWriter::new(across.encodings().0, across.encodings().1);
        let (mut dropped, mut open) = (Vec::new(), None);
        for operation in across.operations() {
            match operation? {
                Operation::DropObject(object) => {
                    let table = lower(&object.table);
                    if rebuilt.contains(&table) {
                        dropped.push(object.clone());
                    }
                    if rebuilt.contains(&table) || replaced.contains(&table) {
                        writer.operation(Operation::DropObject(object))?;
                    }
                }
                Operation::Table(table) => {
                    open = ways.get(&(lower(&table.name), is_dropped(&table)));
                    let change = match open {
                        None => continue,
                        Some(Way::Whole) => table,
                        Some(Way::Redefined(change)) => change.clone(),
                    };
                    writer.operation(Operation::Table(change))?;
                }
                Operation::Row(row) if matches!(open, Some(Way::Whole)) => {
                    writer.operation(Operation::Row(row))?;
                }
                Operation::EndTable(_) if open.take().is_some() => {
                    let unknown = TableCounts { before: None, after: None };
                    writer.operation(Operation::EndTable(unknown))?;
                }
                Operation::CreateObject(object) if replaced.contains(&lower(&object.table)) => {
                    writer.operation(Operation::CreateObject(object))?;
                }
                _ => {}
            }
        }
        Ok((writer.finish()?, dropped))
    }

    fn is_contested(&self, table: &TableChange) -> bool {
        let is_named = |name: &str| self.contested.contains(&lower(name));
        is_named(&table.name)
            || name_before(table).is_some_and(is_named)
            || (table.is_shadow
                && self.owners.iter().any(|owner| virtual_owner(&table.name, owner)))
    }

    /// The table comes whole where the loser's rows are not those of the same table, or cannot be
    /// told apart in the winner's. None if there is nothing to do.
    fn way(&self, table: &TableChange) -> Result<Option<Way>> {
        let name = name_before(table).unwrap_or(&table.name);
        let of_loser = Origin::of(&self.loser, name, table)?;
        let of_winner = Origin::of(&self.winner, &table.name, table)?;
        if table.is_shadow || of_loser.table != of_winner.table {
            return Ok(Some(Way::Whole));
        }
        Ok(Some(match &table.edit {
            TableEdit::Rows => return Ok(None),
            TableEdit::AddColumns { .. } => Way::Redefined(Box::new(table.clone())),
            TableEdit::Rebuild { sources, .. } => {
                let new: Vec<ColumnSource> = (table.columns.iter())
                    .map(|column| of_winner.source(&column.name, &of_loser))
                    .collect();
                // Another key would mix up the rows.
                if table.key_columns().iter().any(|key| new[key.column] != sources[key.column]) {
                    return Ok(Some(Way::Whole));
                }
                let mut change = table.clone();
                if let TableEdit::Rebuild { sources, .. } = &mut change.edit {
                    *sources = new;
                }
                Way::Redefined(Box::new(change))
            }
            _ => Way::Whole,
        }))
    }
}

/// Where a side's table and its columns come from.
struct Origin {
    /// The table of the base; None if it is new.
    table: Option<String>,
    columns: Vec<ColumnOrigin>,
}

struct ColumnOrigin {
    name: String,
    /// The column of the base; None if it is new.
    base: Option<String>,
    /// What a new column holds in rows that were there before.
    fill: Value,
}

impl Origin {
    /// Of the table that is called `name` on this side. `change` has its columns if the side did
    /// not change it.
    fn of(side: &Side<'_>, name: &str, change: &TableChange) -> Result<Self> {
        let kept = |name: &str| ColumnOrigin {
            name: name.to_owned(),
            base: Some(name.to_owned()),
            fill: Value::Null,
        };
        let section = side
            .sections
            .iter()
            .find(|section| same_name(&section.change.name, name) && !is_dropped(&section.change));
        let Some(section) = section else {
            let columns = match &change.edit {
                TableEdit::Rebuild { sources, .. } => sources
                    .iter()
                    .filter_map(|source| match source {
                        ColumnSource::Column(name) => Some(kept(name)),
                        ColumnSource::Fill(_) => None,
                    })
                    .collect(),
                _ => change.columns.iter().map(|column| kept(&column.name)).collect(),
            };
            return Ok(Self { table: Some(lower(name)), columns });
        };
        let names = section.change.columns.iter().map(|column| &*column.name);
        let new = |name: &str, fill| ColumnOrigin { name: name.to_owned(), base: None, fill };
        let columns = match &section.change.edit {
            TableEdit::AddColumns { statements, columns_before } => {
                let fills = added_defaults(&section.change.name, statements)?;
                let added = names.clone().skip(*columns_before).zip(fills);
                let added = added.map(|(name, fill)| new(name, fill));
                names.take(*columns_before).map(kept).chain(added).collect()
            }
            TableEdit::Rebuild { sources, .. } => names
                .zip(sources)
                .map(|(name, source)| match source {
                    ColumnSource::Column(base) => {
                        ColumnOrigin { base: Some(base.clone()), ..kept(name) }
                    }
                    ColumnSource::Fill(fill) => new(name, fill.clone()),
                })
                .collect(),
            _ => names.map(kept).collect(),
        };
        Ok(Self { table: base_name(section).map(lower), columns })
    }

    /// Where the values of this side's column are in another side's table.
    fn source(&self, name: &str, other: &Self) -> ColumnSource {
        let Some(column) = self.columns.iter().find(|column| same_name(&column.name, name)) else {
            return ColumnSource::Column(name.to_owned());
        };
        let is_same = |other: &&ColumnOrigin| match (&column.base, &other.base) {
            (Some(base), Some(other)) => same_name(base, other),
            (None, None) => same_name(&other.name, &column.name),
            _ => false,
        };
        match other.columns.iter().find(is_same) {
            Some(other) => ColumnSource::Column(other.name.clone()),
            None => ColumnSource::Fill(column.fill.clone()),
        }
    }
}

fn is_rebuilt(table: &TableChange) -> bool {
    matches!(table.edit, TableEdit::Rebuild { .. })
}

fn is_dropped(table: &TableChange) -> bool {
    matches!(table.edit, TableEdit::Drop { .. })
}

fn name_before(table: &TableChange) -> Option<&str> {
    match &table.edit {
        TableEdit::Rebuild { old_name, .. } => Some(old_name),
        _ => None,
    }
}
