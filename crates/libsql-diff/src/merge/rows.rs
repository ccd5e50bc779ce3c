//! Merging two changes of one row.

use super::{ColumnConflict, MergeConflict, MergeConflictKind, Merging, Winner};
use crate::error::{Error, Result};
use crate::operation::{ColumnChange, Identity, RowChange, RowKey, TableChange, TableEdit};
use crate::value::Value;

/// What comes of two changes of one row.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Ours holds already what is to be.
    Nothing,
    /// What to do to our row.
    Change(RowChange),
    /// Theirs is another row, and needs another rowid.
    Renumber,
}

/// Both changes are in the columns of `table`, the merged table.
pub(super) fn merge_rows(
    table: &TableChange,
    ours: RowChange,
    theirs: RowChange,
    merging: &mut Merging,
) -> Result<Outcome> {
    use RowChange::{Delete, Insert, Update};
    Ok(match (ours, theirs) {
        (Delete { .. }, Delete { .. }) => Outcome::Nothing,
        (Insert { values: ours, rowid }, Insert { values: theirs, .. }) => {
            if ours == theirs {
                return Ok(Outcome::Nothing);
            }
            if matches!(table.identity, Identity::Rowid { .. }) && !table.is_virtual {
                return Ok(Outcome::Renumber);
            }
            let changes: Vec<ColumnChange> = differing(&ours, &theirs);
            let columns = changes
                .iter()
                .map(|change| ColumnConflict {
                    column: table.columns[change.column].name.clone(),
                    base: None,
                    ours: Some(change.old.clone()),
                    theirs: Some(change.new.clone()),
                })
                .collect();
            let Some(key) = table.key_of(rowid, &ours) else { return Ok(Outcome::Nothing) };
            let conflict = MergeConflict {
                table: table.name.clone(),
                key: Some(key.clone()),
                kind: MergeConflictKind::BothInserted,
                columns,
            };
            match merging.conflict(conflict) {
                Winner::Ours => Outcome::Nothing,
                Winner::Theirs => {
                    let replacement = needs_replacement(table, &changes).then_some(theirs);
                    Outcome::Change(Update { key, changes, replacement })
                }
            }
        }
        (Update { key, changes, .. }, Delete { values, .. }) => {
            let columns = conflicts(table, &changes, |change| {
                (Some(change.old.clone()), Some(change.new.clone()), None)
            });
            let conflict = MergeConflict {
                table: table.name.clone(),
                key: Some(key.clone()),
                kind: MergeConflictKind::TheyDeleted,
                columns,
            };
            match merging.conflict(conflict) {
                Winner::Ours => Outcome::Nothing,
                Winner::Theirs => {
                    let key = key_after(table, &key, &changes);
                    let values = overlaid(values, &changes);
                    Outcome::Change(Delete { key, values })
                }
            }
        }
        (Delete { values, .. }, Update { key, changes, .. }) => {
            let columns = conflicts(table, &changes, |change| {
                (Some(change.old.clone()), None, Some(change.new.clone()))
            });
            let conflict = MergeConflict {
                table: table.name.clone(),
                key: Some(key.clone()),
                kind: MergeConflictKind::WeDeleted,
                columns,
            };
            match merging.conflict(conflict) {
                Winner::Ours => Outcome::Nothing,
                Winner::Theirs => {
                    let rowid = match table.identity {
                        Identity::Rowid { .. } => key.rowid(),
                        Identity::Key { .. } | Identity::Nothing => None,
                    };
                    let values = overlaid(values, &changes);
                    Outcome::Change(Insert { rowid, values })
                }
            }
        }
        (Update { key, changes: ours, .. }, Update { changes: theirs, replacement, .. }) => {
            merge_updates(table, &key, &ours, theirs, replacement, merging)
        }
        (Insert { .. }, Update { .. } | Delete { .. })
        | (Update { .. } | Delete { .. }, Insert { .. }) => {
            return Err(Error::Unsupported {
                subject: format!("table {}", table.name),
                what: "the two diffs do not begin at the same database".to_owned(),
            });
        }
    })
}

fn merge_updates(
    table: &TableChange,
    key: &RowKey,
    ours: &[ColumnChange],
    theirs: Vec<ColumnChange>,
    replacement: Option<Vec<Value>>,
    merging: &mut Merging,
) -> Outcome {
    let our_change = |column: usize| ours.iter().find(|change| change.column == column);
    let contested: Vec<ColumnConflict> = theirs
        .iter()
        .filter_map(|their| {
            let our = our_change(their.column)?;
            (our.new != their.new).then(|| ColumnConflict {
                column: table.columns[their.column].name.clone(),
                base: Some(their.old.clone()),
                ours: Some(our.new.clone()),
                theirs: Some(their.new.clone()),
            })
        })
        .collect();
    let winner = if contested.is_empty() {
        Winner::Ours
    } else {
        merging.conflict(MergeConflict {
            table: table.name.clone(),
            key: Some(key.clone()),
            kind: MergeConflictKind::BothChanged,
            columns: contested,
        })
    };
    let mut changes = Vec::new();
    for their in theirs {
        match our_change(their.column) {
            None => changes.push(their),
            Some(our) if our.new == their.new || winner == Winner::Ours => {}
            Some(our) => changes.push(ColumnChange { old: our.new.clone(), ..their }),
        }
    }
    if changes.is_empty() && !matches!(table.edit, TableEdit::Rebuild { .. }) {
        return Outcome::Nothing;
    }
    let key = key_after(table, key, ours);
    let replacement = replacement.filter(|_| needs_replacement(table, &changes)).map(|values| {
        let mut values = values;
        for our in ours {
            if !changes.iter().any(|change| change.column == our.column) {
                values[our.column] = our.new.clone();
            }
        }
        values
    });
    if changes.is_empty() {
        // A table that is defined anew carries our row over as it is.
        return Outcome::Nothing;
    }
    Outcome::Change(RowChange::Update { key, changes, replacement })
}

/// Whether a row must be taken out and put back.
fn needs_replacement(table: &TableChange, changes: &[ColumnChange]) -> bool {
    matches!(table.edit, TableEdit::Rebuild { .. })
        || changes.iter().any(|change| table.columns[change.column].is_unique)
}

fn differing(ours: &[Value], theirs: &[Value]) -> Vec<ColumnChange> {
    let pairs = ours.iter().zip(theirs).enumerate();
    pairs
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|(column, (ours, theirs))| ColumnChange {
            column,
            old: ours.clone(),
            new: theirs.clone(),
        })
        .collect()
}

type ThreeValues = (Option<Value>, Option<Value>, Option<Value>);

fn conflicts(
    table: &TableChange,
    changes: &[ColumnChange],
    values: impl Fn(&ColumnChange) -> ThreeValues,
) -> Vec<ColumnConflict> {
    changes
        .iter()
        .map(|change| {
            let (base, ours, theirs) = values(change);
            ColumnConflict { column: table.columns[change.column].name.clone(), base, ours, theirs }
        })
        .collect()
}

fn overlaid(mut values: Vec<Value>, changes: &[ColumnChange]) -> Vec<Value> {
    for change in changes {
        values[change.column].clone_from(&change.new);
    }
    values
}

/// The key of a row once `changes` have been made to it, which its collation may not notice.
fn key_after(table: &TableChange, key: &RowKey, changes: &[ColumnChange]) -> RowKey {
    let RowKey::Columns(values) = key else { return key.clone() };
    let mut values = values.clone();
    for (value, part) in values.iter_mut().zip(table.key_columns()) {
        if let Some(change) = changes.iter().find(|change| change.column == part.column) {
            value.clone_from(&change.new);
        }
    }
    RowKey::Columns(values)
}
