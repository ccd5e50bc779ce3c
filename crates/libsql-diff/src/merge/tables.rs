//! Merging the sections of tables.

use std::collections::HashMap;

use super::columns::Mapping;
use super::rows::{Outcome, merge_rows};
use super::{ColumnConflict, MergeConflict, MergeConflictKind, Merging, Section, Side, Winner};
use crate::codec::Encoder;
use crate::diff::Sink;
use crate::error::{Error, Result};
use crate::file::Operations;
use crate::key::{Collation, canonical};
use crate::operation::{
    ColumnChange, Identity, Operation, RowChange, RowKey, SchemaObject, TableChange, TableCounts,
    TableEdit,
};
use crate::sqltext::same_name;
use crate::value::Value;

pub(super) fn merge_all(
    ours: &Side<'_>,
    theirs: &Side<'_>,
    triggers: &[SchemaObject],
    merging: &mut Merging,
) -> Result<()> {
    for their in &theirs.sections {
        let our = match counterpart(ours, theirs, their) {
            Ok(our) => our,
            Err(our) => {
                conflict(merging, our, their);
                continue;
            }
        };
        let Some(our) = our else {
            pass_through(theirs, their, triggers, merging)?;
            continue;
        };
        if is_same(ours, our, theirs, their)? {
            continue;
        }
        match shape(our, their)? {
            Some(shape) => Pair { ours, our, theirs, their, shape }.merge(triggers, merging)?,
            None => conflict(merging, our, their),
        }
    }
    Ok(())
}

/// The name of a section's table in the base; None if it is created.
pub(super) fn base_name(section: &Section) -> Option<&str> {
    match &section.change.edit {
        TableEdit::Create { .. } => None,
        TableEdit::Rebuild { old_name, .. } => Some(old_name),
        _ => Some(&section.change.name),
    }
}

fn is_drop(section: &Section) -> bool {
    matches!(section.change.edit, TableEdit::Drop { .. })
}

fn is_create(section: &Section) -> bool {
    matches!(section.change.edit, TableEdit::Create { .. })
}

fn is_refill(section: &Section) -> bool {
    matches!(section.change.edit, TableEdit::Refill)
}

/// What we did to the table that their section is about, if anything; Err if that rules out what
/// they did.
fn counterpart<'o>(
    ours: &'o Side<'_>,
    theirs: &Side<'_>,
    their: &Section,
) -> std::result::Result<Option<&'o Section>, &'o Section> {
    let name = base_name(their);
    let of_table = ours.sections.iter().find(|our| match (name, base_name(our)) {
        (Some(name), Some(our)) => same_name(name, our),
        (None, None) => same_name(&their.change.name, &our.change.name),
        _ => false,
    });
    // Another table of ours has taken the name.
    let takes_name = is_create(their)
        || matches!(&their.change.edit, TableEdit::Rebuild { old_name, .. }
            if !same_name(old_name, &their.change.name));
    if takes_name {
        let taken = ours.sections.iter().find(|our| {
            same_name(&our.change.name, &their.change.name)
                && !is_drop(our)
                && of_table.is_none_or(|of_table| !std::ptr::eq(of_table, *our))
        });
        if let Some(taken) = taken {
            return Err(taken);
        }
    }
    // We dropped what they replaced by another table of that name, or the other way round.
    let replaced = |side: &Side<'_>, name: &str| {
        let named = || side.sections.iter().filter(|s| same_name(&s.change.name, name));
        named().any(is_drop) && named().any(is_create)
    };
    if let Some(our) = of_table
        && is_drop(our)
        && is_drop(their)
        && replaced(ours, &our.change.name) != replaced(theirs, &their.change.name)
    {
        return Err(our);
    }
    Ok(of_table)
}

fn definition(section: &Section) -> Option<Value> {
    match &section.change.edit {
        TableEdit::Create { sql } | TableEdit::Rebuild { sql, .. } => Some(Value::text(sql)),
        TableEdit::AddColumns { statements, .. } => Some(Value::text(statements.join("; "))),
        TableEdit::Rows | TableEdit::Refill => Some(Value::text("(other rows)")),
        TableEdit::Drop { .. } => None,
    }
}

fn conflict(merging: &mut Merging, our: &Section, their: &Section) {
    for section in [our, their] {
        let names = [Some(section.change.name.as_str()), base_name(section)];
        merging.contested.extend(names.into_iter().flatten().map(str::to_ascii_lowercase));
    }
    let base = [their, our].iter().find_map(|section| match &section.change.edit {
        TableEdit::Rebuild { old_sql: sql, .. } | TableEdit::Drop { sql } => Some(Value::text(sql)),
        _ => None,
    });
    merging.conflict(MergeConflict {
        table: base_name(their).unwrap_or(&their.change.name).to_owned(),
        key: None,
        kind: MergeConflictKind::Table,
        columns: vec![ColumnConflict {
            column: "sql".to_owned(),
            base,
            ours: definition(our),
            theirs: definition(their),
        }],
    });
}

fn rows<'d>(side: &Side<'d>, section: &Section) -> Operations<'d> {
    side.diff.operations_from(section.start, Some(Box::new(section.change.clone())))
}

fn own_triggers(change: &mut TableChange, triggers: &[SchemaObject]) {
    let name = change.name.clone();
    change.triggers =
        triggers.iter().filter(|trigger| same_name(&trigger.table, &name)).cloned().collect();
}

/// A table that we did not touch.
fn pass_through(
    theirs: &Side<'_>,
    their: &Section,
    triggers: &[SchemaObject],
    merging: &mut Merging,
) -> Result<()> {
    let mut change = their.change.clone();
    own_triggers(&mut change, triggers);
    merging.writer.operation(Operation::Table(Box::new(change)))?;
    for operation in rows(theirs, their) {
        let operation = operation?;
        let is_end = matches!(operation, Operation::EndTable(_));
        merging.writer.operation(operation)?;
        if is_end {
            break;
        }
    }
    Ok(())
}

/// Whether both sides did the same, where that is all that can be told.
fn is_same(ours: &Side<'_>, our: &Section, theirs: &Side<'_>, their: &Section) -> Result<bool> {
    if is_drop(our) && is_drop(their) {
        return Ok(true);
    }
    let is_opaque = is_refill(our) || is_refill(their) || their.change.is_shadow;
    if !is_opaque || our.change.edit != their.change.edit {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (rows(ours, our), rows(theirs, their));
    loop {
        match (ours.next().transpose()?, theirs.next().transpose()?) {
            (Some(Operation::EndTable(_)) | None, Some(Operation::EndTable(_)) | None) => {
                return Ok(true);
            }
            (our, their) if our == their => {}
            _ => return Ok(false),
        }
    }
}

/// The merged table's form, and how both sides' rows come into it.
struct Shape {
    table: TableChange,
    ours: Mapping,
    theirs: Mapping,
}

/// None if the two sides cannot be brought together.
fn shape(our: &Section, their: &Section) -> Result<Option<Shape>> {
    let is_opaque =
        |section: &Section| is_refill(section) || section.change.is_shadow || is_drop(section);
    if is_opaque(our) || is_opaque(their) {
        return Ok(None);
    }
    let is_plain = |section: &Section| section.change.edit == TableEdit::Rows;
    let shape = if same_definition(&our.change.edit, &their.change.edit) {
        let mut table = our.change.clone();
        table.edit = TableEdit::Rows;
        let (ours, theirs) = (Mapping::identity(&our.change), Mapping::identity(&their.change));
        Shape { table, ours, theirs }
    } else if is_plain(our) && !is_create(their) {
        let ours = Mapping::into_altered(&our.change, &their.change)?;
        let theirs = Mapping::identity(&their.change);
        Shape { table: their.change.clone(), ours, theirs }
    } else if is_plain(their) && !is_create(our) {
        let mut table = our.change.clone();
        table.edit = TableEdit::Rows;
        let theirs = Mapping::into_altered(&their.change, &our.change)?;
        Shape { table, ours: Mapping::identity(&our.change), theirs }
    } else {
        return Ok(None);
    };
    let kind = |identity: &Identity| std::mem::discriminant(identity);
    let fits = |mapping: &Mapping, section: &Section| {
        kind(&section.change.identity) == kind(&shape.table.identity)
            && mapping.keeps_key(&section.change, &shape.table)
    };
    let fits = fits(&shape.ours, our) && fits(&shape.theirs, their);
    Ok(fits.then_some(shape))
}

fn same_definition(ours: &TableEdit, theirs: &TableEdit) -> bool {
    match (ours, theirs) {
        (TableEdit::Rows, TableEdit::Rows) => true,
        (TableEdit::Create { sql: ours }, TableEdit::Create { sql: theirs })
        | (TableEdit::Rebuild { sql: ours, .. }, TableEdit::Rebuild { sql: theirs, .. }) => {
            ours == theirs
        }
        (
            TableEdit::AddColumns { statements: ours, .. },
            TableEdit::AddColumns { statements: theirs, .. },
        ) => ours == theirs,
        _ => false,
    }
}

/// A table that both sides changed.
struct Pair<'m> {
    ours: &'m Side<'m>,
    our: &'m Section,
    theirs: &'m Side<'m>,
    their: &'m Section,
    shape: Shape,
}

/// Sixteen bytes stand for a key. That two keys share them does not happen.
type Fingerprint = [u8; 16];

fn fingerprint_of(bytes: &[u8]) -> Fingerprint {
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    fingerprint
}

impl Pair<'_> {
    /// Two keys that SQLite calls one have one fingerprint. Rows without a key that hold the same
    /// are numbered by `seen`, so that each has a partner of its own.
    fn fingerprint(&self, row: &RowChange, seen: &mut HashMap<Fingerprint, u64>) -> Fingerprint {
        let (fingerprint, is_keyless) = self.fingerprint_of(row);
        if !is_keyless {
            return fingerprint;
        }
        let count = seen.entry(fingerprint).or_default();
        *count += 1;
        let mut encoder = Encoder::default();
        encoder.bytes(&fingerprint);
        encoder.number(*count);
        fingerprint_of(&encoder.bytes)
    }

    fn fingerprint_of(&self, row: &RowChange) -> (Fingerprint, bool) {
        let mut encoder = Encoder::default();
        let mut is_keyless = false;
        match row.key(&self.shape.table) {
            Some(RowKey::Columns(values)) if !values.contains(&Value::Null) => {
                encoder.byte(1);
                for (value, key) in values.iter().zip(self.shape.table.key_columns()) {
                    let collation = Collation::named(&key.collation).unwrap_or(Collation::Binary);
                    encoder.value(&canonical(value.as_ref(), collation));
                }
            }
            Some(RowKey::Rowid(rowid)) => {
                encoder.byte(2);
                encoder.integer(rowid);
            }
            // A row that comes without a key is known by all that it holds.
            _ => {
                is_keyless = true;
                encoder.byte(3);
                if let RowChange::Insert { values, .. } = row {
                    for value in values {
                        encoder.value(value);
                    }
                }
            }
        }
        (fingerprint_of(&encoder.bytes), is_keyless)
    }

    /// Where our change of each row is in our diff.
    fn index(&self) -> Result<HashMap<Fingerprint, u64>> {
        let (mut index, mut seen) = (HashMap::new(), HashMap::new());
        let mut operations = rows(self.ours, self.our);
        loop {
            let at = operations.next_offset();
            match operations.next().transpose()? {
                Some(Operation::Row(row)) => {
                    let (row, _) = self.shape.ours.row(row);
                    index.insert(self.fingerprint(&row, &mut seen), at);
                }
                _ => return Ok(index),
            }
        }
    }

    fn merge(&self, triggers: &[SchemaObject], merging: &mut Merging) -> Result<()> {
        let index = self.index()?;
        let mut our_rows = rows(self.ours, self.our);
        let mut section =
            Output { table: self.shape.table.clone(), begun: false, inserted: 0, deleted: 0 };
        own_triggers(&mut section.table, triggers);
        if section.table.edit != TableEdit::Rows {
            section.begin(merging)?;
        }
        let (mut renumbered, mut seen) = (Vec::new(), HashMap::new());
        let mut their_rows = rows(self.theirs, self.their);
        loop {
            let at = their_rows.next_offset();
            let Some(Operation::Row(row)) = their_rows.next().transpose()? else { break };
            let (their, their_lost) = self.shape.theirs.row(row);
            let fingerprint = self.fingerprint(&their, &mut seen);
            let Some(&our_offset) = index.get(&fingerprint) else {
                self.report_lost(&their, &their_lost, true, merging);
                section.row(their, merging)?;
                continue;
            };
            our_rows.seek(our_offset);
            let Some(Operation::Row(our)) = our_rows.next().transpose()? else {
                return Err(Error::Format {
                    subject: "diff".to_owned(),
                    offset: our_offset,
                    what: "a row is not where it was".to_owned(),
                });
            };
            let (our, _) = self.shape.ours.row(our);
            self.report_lost(&their, &their_lost, true, merging);
            match merge_rows(&self.shape.table, our, their, merging)? {
                Outcome::Nothing => {}
                Outcome::Change(row) => section.row(row, merging)?,
                Outcome::Renumber => renumbered.push(at),
            }
        }
        // After all rows whose rowids are given, so that SQLite chooses others.
        let mut their_rows = rows(self.theirs, self.their);
        for offset in renumbered {
            their_rows.seek(offset);
            if let Some(Operation::Row(row)) = their_rows.next().transpose()?
                && let (RowChange::Insert { values, .. }, _) = self.shape.theirs.row(row)
            {
                section.row(RowChange::Insert { rowid: None, values }, merging)?;
            }
        }
        self.report_our_lost(merging)?;
        section.end(self.our.counts.after, merging)
    }

    /// Our changes of columns that they dropped.
    fn report_our_lost(&self, merging: &mut Merging) -> Result<()> {
        if !self.shape.ours.loses() {
            return Ok(());
        }
        for operation in rows(self.ours, self.our) {
            let Operation::Row(row) = operation? else { break };
            let (row, lost) = self.shape.ours.row(row);
            self.report_lost(&row, &lost, false, merging);
        }
        Ok(())
    }

    /// A column that one side changed and the other dropped. Whoever wins, the column stays
    /// dropped: the conflict is a warning that its value is lost.
    fn report_lost(
        &self,
        row: &RowChange,
        lost: &[ColumnChange],
        is_theirs: bool,
        merging: &mut Merging,
    ) {
        if lost.is_empty() {
            return;
        }
        let side = if is_theirs { &self.their.change } else { &self.our.change };
        let columns = lost.iter().map(|change| {
            let new = Some(change.new.clone());
            ColumnConflict {
                column: side.columns[change.column].name.clone(),
                base: Some(change.old.clone()),
                ours: if is_theirs { None } else { new.clone() },
                theirs: if is_theirs { new } else { None },
            }
        });
        let _: Winner = merging.conflict(MergeConflict {
            table: side.name.clone(),
            key: row.key(&self.shape.table),
            kind: MergeConflictKind::BothChanged,
            columns: columns.collect(),
        });
    }
}

/// A section of the merged diff, begun with its first row.
struct Output {
    table: TableChange,
    begun: bool,
    inserted: u64,
    deleted: u64,
}

impl Output {
    fn begin(&mut self, merging: &mut Merging) -> Result<()> {
        if !self.begun {
            self.begun = true;
            merging.writer.operation(Operation::Table(Box::new(self.table.clone())))?;
        }
        Ok(())
    }

    fn row(&mut self, row: RowChange, merging: &mut Merging) -> Result<()> {
        match &row {
            RowChange::Insert { .. } => self.inserted += 1,
            RowChange::Delete { .. } => self.deleted += 1,
            // Only columns that are no more.
            RowChange::Update { changes, .. } if changes.is_empty() => return Ok(()),
            RowChange::Update { .. } => {}
        }
        self.begin(merging)?;
        merging.writer.operation(Operation::Row(row))
    }

    fn end(self, before: Option<u64>, merging: &mut Merging) -> Result<()> {
        if !self.begun {
            return Ok(());
        }
        let after = before.map(|before| (before + self.inserted).saturating_sub(self.deleted));
        merging.writer.operation(Operation::EndTable(TableCounts { before, after }))
    }
}
