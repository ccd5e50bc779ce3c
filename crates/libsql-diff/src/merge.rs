//! Three-way merge: what two sides made of one base, brought together by row and column.

mod columns;
mod objects;
mod rows;
mod settle;
mod tables;

use std::collections::HashSet;
use std::path::Path;

use crate::diff::{Options, Sink};
use crate::error::{Error, Result};
use crate::file::{Diff, DiffWriter};
use crate::operation::{
    ForeignKeyState, Operation, RowKey, SchemaObject, SequenceChange, SettingChange, TableChange,
    TableCounts,
};
use crate::progress::OnProgress;
use crate::value::Value;

use objects::MergedObjects;

/// Who wins where both sides changed the same thing differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MergePolicy {
    /// Nobody: the conflicts are listed and nothing is merged.
    #[default]
    Abort,
    /// Ours stays.
    Ours,
    /// Theirs replaces ours.
    Theirs,
}

/// Two sides' changes of one base, brought together.
#[derive(Debug)]
pub struct Merge {
    /// What brings theirs into ours: to be applied to the database of our side. None if there are
    /// conflicts that the policy does not settle.
    pub diff: Option<Diff>,
    /// What both sides changed differently, the first [`MERGE_CONFLICTS_KEPT_MAX`], settled or not.
    pub conflicts: Vec<MergeConflict>,
    /// How many there are in all.
    pub conflicts_count: u64,
    /// The tables that were defined differently and are not settled, by all their names.
    contested: HashSet<String>,
}

/// How many conflicts a [`Merge`] keeps.
pub const MERGE_CONFLICTS_KEPT_MAX: usize = 10_000;

/// Something that both sides changed, each differently.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeConflict {
    /// The table; for a view, index, trigger or setting its own name.
    pub table: String,
    /// The row, by its key in the base; None if it is not about one row.
    pub key: Option<RowKey>,
    /// What happened.
    pub kind: MergeConflictKind,
    /// The values in question; for a definition one entry named `sql`.
    pub columns: Vec<ColumnConflict>,
}

/// How two sides contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeConflictKind {
    /// Both gave columns of one row different values.
    BothChanged,
    /// Both inserted a row with one key and different values.
    BothInserted,
    /// We deleted a row that they changed.
    WeDeleted,
    /// They deleted a row that we changed.
    TheyDeleted,
    /// A table's definition: changed by both differently, or by one while the other changed rows in
    /// a way that cannot be carried over. A policy settles it where the databases are at hand, as in
    /// [`merge_files`]: the winner's definition holds, and the rows of both come into it.
    Table,
    /// An index, view or trigger.
    Object,
    /// `user_version` or `application_id`.
    Setting,
}

/// One column's three values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnConflict {
    /// The column.
    pub column: String,
    /// In the base; None if the row, or the object, is not there.
    pub base: Option<Value>,
    /// On our side.
    pub ours: Option<Value>,
    /// On their side.
    pub theirs: Option<Value>,
}

impl Merge {
    /// The diff to apply to our side's database, or [`Error::MergeConflicts`].
    pub fn into_diff(self) -> Result<Diff> {
        let table = self.conflicts.first().map(|conflict| conflict.table.clone());
        let count = usize::try_from(self.conflicts_count).unwrap_or(usize::MAX);
        self.diff.ok_or(Error::MergeConflicts { count, table: table.unwrap_or_default() })
    }
}

/// Merges the differences of two sides from one base: `ours` leads from the base to our side,
/// `theirs` from the base to theirs.
///
/// A row that only one side changed, and a column that only one side changed, is taken from there;
/// what both changed alike is no conflict. Rows of a table without a key are told apart by their
/// rowid; two different rows that both sides inserted under one rowid are two rows, and theirs gets
/// another rowid.
///
/// A table that one side widened with `ALTER TABLE ADD COLUMN` or defined anew, while the other
/// changed rows, is merged in its new form. Definitions that both sides changed must have been
/// changed alike: only [`merge_files`] and [`merge_databases`] can settle them otherwise.
///
/// Needs some fifty bytes of memory for each row that we changed, for one table at a time; the
/// rows themselves are read from the diffs.
///
/// Whether the outcome keeps constraints that join several rows, such as a unique index over values
/// that both sides inserted, or a foreign key to a row that one side deleted, is known when it is
/// applied: [`crate::apply`] refuses it then.
pub fn merge(ours: &Diff, theirs: &Diff, policy: MergePolicy) -> Result<Merge> {
    let (side_a, side_b) = (Side::scan(ours)?, Side::scan(theirs)?);
    let mut merging = Merging {
        policy,
        conflicts: Vec::new(),
        conflicts_count: 0,
        unsettled: false,
        contested: HashSet::new(),
        writer: DiffWriter::new(ours.encodings().1, ours.encodings().1),
    };
    let objects = MergedObjects::of(&side_a, &side_b, &mut merging);
    for object in objects.drops {
        merging.writer.operation(Operation::DropObject(object))?;
    }
    tables::merge_all(&side_a, &side_b, &objects.triggers, &mut merging)?;
    for object in objects.creates {
        merging.writer.operation(Operation::CreateObject(object))?;
    }
    objects::merge_counters(&side_a, &side_b, &mut merging)?;
    if let Some(state) = side_b.foreign_keys {
        merging.writer.operation(Operation::ForeignKeys(state))?;
    }
    let is_settled = !merging.unsettled;
    Ok(Merge {
        diff: if is_settled { Some(merging.writer.finish()?) } else { None },
        conflicts: merging.conflicts,
        conflicts_count: merging.conflicts_count,
        contested: merging.contested,
    })
}

/// The three databases of a merge.
#[derive(Clone, Copy, Debug)]
pub struct Databases<'f> {
    /// What both sides had.
    pub base: &'f Path,
    /// Our side.
    pub ours: &'f Path,
    /// Their side.
    pub theirs: &'f Path,
}

/// As [`merge`], from three database files, none of which is written to.
pub fn merge_files(
    base: impl AsRef<Path>,
    ours: impl AsRef<Path>,
    theirs: impl AsRef<Path>,
    policy: MergePolicy,
    options: &Options,
    on_progress: &mut OnProgress<'_>,
) -> Result<Merge> {
    let mut watched = |progress: &crate::progress::Progress| on_progress(progress);
    let files = Databases { base: base.as_ref(), ours: ours.as_ref(), theirs: theirs.as_ref() };
    let to_ours = crate::diff::diff_with(&base, &ours, options, &mut watched)?;
    let to_theirs = crate::diff::diff_with(&base, &theirs, options, &mut watched)?;
    merge_databases(&files, &to_ours, &to_theirs, policy, options, on_progress)
}

/// As [`merge`], with the databases that the differences were found in at hand. With them, a policy
/// settles definitions, too.
///
/// The winner's definition of a table holds. The rows of both sides come into it, column by column
/// of one name or place; columns and indexes that it has no place for go. Where the rows of the two
/// definitions cannot be told apart by one key, or where one side dropped the table, the winner's
/// rows hold as well.
pub fn merge_databases(
    files: &Databases<'_>,
    ours: &Diff,
    theirs: &Diff,
    policy: MergePolicy,
    options: &Options,
    on_progress: &mut OnProgress<'_>,
) -> Result<Merge> {
    let first = merge(ours, theirs, policy)?;
    if policy == MergePolicy::Abort || first.contested.is_empty() {
        return Ok(first);
    }
    settle::settle(files, policy, first, options, on_progress)
}

/// What is being put together.
struct Merging {
    policy: MergePolicy,
    conflicts: Vec<MergeConflict>,
    conflicts_count: u64,
    unsettled: bool,
    contested: HashSet<String>,
    writer: DiffWriter,
}

/// Who wins a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Winner {
    Ours,
    Theirs,
}

impl Merging {
    /// Takes a conflict down and says who wins. Nobody does under [`MergePolicy::Abort`]; the
    /// merge then goes on with ours, only to find the other conflicts.
    fn conflict(&mut self, conflict: MergeConflict) -> Winner {
        let can_settle = conflict.kind != MergeConflictKind::Table;
        self.unsettled |= self.policy == MergePolicy::Abort || !can_settle;
        self.conflicts_count += 1;
        if self.conflicts.len() < MERGE_CONFLICTS_KEPT_MAX {
            self.conflicts.push(conflict);
        }
        if can_settle && self.policy == MergePolicy::Theirs { Winner::Theirs } else { Winner::Ours }
    }
}

/// One table's section in a side's diff.
struct Section {
    change: TableChange,
    /// Where its rows begin.
    start: u64,
    counts: TableCounts,
}

/// One side's diff, without its rows.
struct Side<'d> {
    diff: &'d Diff,
    sections: Vec<Section>,
    drops: Vec<SchemaObject>,
    creates: Vec<SchemaObject>,
    sequences: Vec<SequenceChange>,
    settings: Vec<SettingChange>,
    foreign_keys: Option<ForeignKeyState>,
}

impl<'d> Side<'d> {
    fn scan(diff: &'d Diff) -> Result<Self> {
        let mut side = Self {
            diff,
            sections: Vec::new(),
            drops: Vec::new(),
            creates: Vec::new(),
            sequences: Vec::new(),
            settings: Vec::new(),
            foreign_keys: None,
        };
        let mut operations = diff.operations();
        while let Some(operation) = operations.next() {
            match operation? {
                Operation::DropObject(object) => side.drops.push(object),
                Operation::CreateObject(object) => side.creates.push(object),
                Operation::Table(change) => side.sections.push(Section {
                    change: *change,
                    start: operations.next_offset(),
                    counts: TableCounts { before: None, after: None },
                }),
                Operation::EndTable(counts) => {
                    if let Some(section) = side.sections.last_mut() {
                        section.counts = counts;
                    }
                }
                Operation::Row(_) => {}
                Operation::Sequence(change) => side.sequences.push(change),
                Operation::Setting(change) => side.settings.push(change),
                Operation::ForeignKeys(state) => side.foreign_keys = Some(state),
            }
        }
        Ok(side)
    }
}
