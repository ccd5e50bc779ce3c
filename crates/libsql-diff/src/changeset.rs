//! Changesets and patchsets in the format of SQLite's session extension.
//!
//! The format knows rows of tables with a primary key and nothing else; what a diff holds besides
//! is listed as an [`Omission`], never dropped in silence.

mod applying;
mod writing;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Conflict, Error, Result};
use crate::file::{Diff, save_atomically};
use crate::value::Value;

use writing::{ChangesetWriter, key_bytes};

/// The two kinds of SQLite's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangesetKind {
    /// Holds old values too: conflicts are seen when it is applied, and it can be inverted.
    Changeset,
    /// Holds new values and keys only: smaller, but an update or delete overwrites whatever it
    /// finds under its key, and it cannot be inverted.
    Patchset,
}

/// A changeset or patchset, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changeset {
    bytes: Vec<u8>,
    kind: ChangesetKind,
}

/// Something in a diff that SQLite's format cannot express.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Omission {
    /// The table, view, index, trigger or setting.
    pub subject: String,
    /// Why it is left out.
    pub reason: OmissionReason,
    /// How many row changes are left out with it.
    pub rows: u64,
}

/// Why something is not in a changeset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OmissionReason {
    /// The definition of a table, view, index or trigger changes; with it the rows of a table that
    /// is created or defined anew.
    Definition,
    /// The table has no primary key, so that its rows have no name in the format.
    NoPrimaryKey,
    /// The table is a virtual one, or holds the data of one.
    VirtualTable,
    /// Rows whose primary key holds NULL.
    NullKey,
    /// A counter of AUTOINCREMENT is not where inserting the rows leaves it.
    Sequence,
    /// `user_version` or `application_id`.
    Setting,
}

/// The head of a table's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesetTable {
    /// The table's name.
    pub name: String,
    /// For each column 0, or its place in the primary key, counted from 1.
    pub key: Vec<u8>,
}

/// One row's change in a changeset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: Arc<ChangesetTable>,
    /// Whether a trigger or foreign key made it, when it was recorded.
    pub is_indirect: bool,
    /// What happens to the row.
    pub row: ChangedRow,
}

/// What happens to a row. Lists hold one entry for each column; None is a value not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedRow {
    /// A row that comes.
    Insert {
        /// All its values.
        new: Vec<Value>,
    },
    /// A row that goes.
    Delete {
        /// Its values; in a patchset those of the key alone.
        old: Vec<Option<Value>>,
    },
    /// A row with other values.
    Update {
        /// The key and the values before of the columns that change; in a patchset the key alone.
        old: Vec<Option<Value>>,
        /// The values after of the columns that change.
        new: Vec<Option<Value>>,
    },
}

/// One table's changes, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesetSummary {
    /// The table.
    pub table: Arc<ChangesetTable>,
    /// Rows that come.
    pub inserted: u64,
    /// Rows with other values.
    pub updated: u64,
    /// Rows that go.
    pub deleted: u64,
}

/// What to do about a row that is not as a changeset expects it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Stop, and apply nothing.
    #[default]
    Abort,
    /// Leave the row as it is and go on.
    Skip,
    /// Let the changeset win where it can: a row with other values is overwritten or deleted, a
    /// row in the place of one to insert is replaced. A row that is not there stays so, and is
    /// listed; a constraint that forbids a change still stops everything.
    Replace,
}

/// How many conflicts [`ChangesetApplied`] keeps.
pub const CONFLICTS_KEPT_MAX: usize = 10_000;

/// What applying a changeset did.
#[derive(Clone, Debug, Default)]
pub struct ChangesetApplied {
    /// Rows inserted.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Changes that were left out.
    pub skipped: u64,
    /// Rows that were overwritten although they were not as expected.
    pub replaced: u64,
    /// The conflicts behind `skipped` and `replaced`, the first [`CONFLICTS_KEPT_MAX`].
    pub conflicts: Vec<Conflict>,
}

/// The changes of a [`Changeset`], in order. An error ends the iteration.
#[derive(Debug)]
pub struct Changes<'c> {
    bytes: &'c [u8],
    at: usize,
    subject: &'c str,
    table: Option<Arc<ChangesetTable>>,
    kind: Option<ChangesetKind>,
}

/// The bytes that begin a change.
const INSERT: u8 = 18;
const DELETE: u8 = 9;
const UPDATE: u8 = 23;
/// SQLite's own limit.
const COLUMNS_MAX: u64 = 32_767;

impl Changes<'_> {
    fn broken(&self, what: &str) -> Error {
        Error::Format {
            subject: self.subject.to_owned(),
            offset: self.at as u64,
            what: what.to_owned(),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| self.broken("it is cut off"))?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, length: u64) -> Result<&[u8]> {
        let start = self.at;
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        match end.filter(|end| *end <= self.bytes.len()) {
            Some(end) => {
                self.at = end;
                Ok(&self.bytes[start..end])
            }
            None => Err(self.broken("it is cut off")),
        }
    }

    fn eight(&mut self) -> Result<[u8; 8]> {
        let mut eight = [0; 8];
        eight.copy_from_slice(self.take(8)?);
        Ok(eight)
    }

    /// SQLite's variable-length integer.
    fn number(&mut self) -> Result<u64> {
        let (number, used) = libsql_pages::varint(self.bytes, self.at)
            .ok_or_else(|| self.broken("it is cut off"))?;
        self.at += used;
        Ok(number)
    }

    fn head(&mut self, kind: ChangesetKind) -> Result<()> {
        if self.kind.is_some_and(|known| known != kind) {
            return Err(self.broken("a changeset and a patchset in one"));
        }
        self.kind = Some(kind);
        self.at += 1;
        let columns = self.number()?;
        if columns == 0 || columns > COLUMNS_MAX {
            return Err(self.broken("a table with an impossible number of columns"));
        }
        let key = self.take(columns)?.to_vec();
        if key.iter().all(|place| *place == 0) {
            return Err(self.broken("a table without a primary key"));
        }
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| self.broken("it is cut off"))?;
        let name = std::str::from_utf8(&rest[..end])
            .map_err(|_| self.broken("a table's name that is not UTF-8"))?
            .to_owned();
        self.at += end + 1;
        self.table = Some(Arc::new(ChangesetTable { name, key }));
        Ok(())
    }

    fn value(&mut self) -> Result<Option<Value>> {
        Ok(Some(match self.byte()? {
            0 => return Ok(None),
            1 => Value::Integer(i64::from_be_bytes(self.eight()?)),
            2 => {
                let real = f64::from_be_bytes(self.eight()?);
                if real.is_nan() { Value::Null } else { Value::Real(real) }
            }
            3 => {
                let length = self.number()?;
                Value::Text(self.take(length)?.to_vec())
            }
            4 => {
                let length = self.number()?;
                Value::Blob(self.take(length)?.to_vec())
            }
            5 => Value::Null,
            _ => return Err(self.broken("a value of an unknown type")),
        }))
    }

    fn record(&mut self, columns: impl Iterator<Item = bool>) -> Result<Vec<Option<Value>>> {
        columns.map(|is_given| if is_given { self.value() } else { Ok(None) }).collect()
    }

    fn change(&mut self) -> Result<Change> {
        loop {
            let kind = match self.bytes[self.at] {
                b'T' => ChangesetKind::Changeset,
                b'P' => ChangesetKind::Patchset,
                _ => break,
            };
            self.head(kind)?;
            if self.at == self.bytes.len() {
                return Err(self.broken("a table without changes"));
            }
        }
        let Some(table) = self.table.clone() else {
            return Err(self.broken("not a changeset"));
        };
        let operation = self.byte()?;
        let is_indirect = self.byte()? != 0;
        let is_patch = self.kind == Some(ChangesetKind::Patchset);
        let all = || table.key.iter().map(|_| true);
        let is_key = || table.key.iter().map(|place| *place > 0);
        let row = match operation {
            INSERT => {
                let new = self.record(all())?.into_iter().collect::<Option<Vec<Value>>>();
                ChangedRow::Insert { new: new.ok_or_else(|| self.incomplete())? }
            }
            DELETE => {
                let old = if is_patch { self.record(is_key())? } else { self.record(all())? };
                if !old.iter().zip(is_key()).all(|(old, key)| old.is_some() || (is_patch && !key)) {
                    return Err(self.incomplete());
                }
                ChangedRow::Delete { old }
            }
            UPDATE => {
                let (old, new) = if is_patch {
                    let mut new = self.record(all())?;
                    let old = new
                        .iter_mut()
                        .zip(is_key())
                        .map(|(value, key)| if key { value.take() } else { None })
                        .collect();
                    (old, new)
                } else {
                    (self.record(all())?, self.record(all())?)
                };
                self.check_update(&table, &old, &new)?;
                ChangedRow::Update { old, new }
            }
            _ => return Err(self.broken("an unknown kind of change")),
        };
        Ok(Change { table, is_indirect, row })
    }

    fn incomplete(&self) -> Error {
        self.broken("a row lacks a value")
    }

    fn check_update(
        &self,
        table: &ChangesetTable,
        old: &[Option<Value>],
        new: &[Option<Value>],
    ) -> Result<()> {
        let is_patch = self.kind == Some(ChangesetKind::Patchset);
        for ((old, new), place) in old.iter().zip(new).zip(&table.key) {
            // SQLite gives a key a new value if only its collation calls it the same.
            let fits =
                if *place > 0 { old.is_some() } else { is_patch || old.is_some() == new.is_some() };
            if !fits {
                return Err(self.broken("an update whose old and new values do not match"));
            }
        }
        Ok(())
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Result<Change>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let change = self.change();
        if change.is_err() {
            self.at = self.bytes.len();
        }
        Some(change)
    }
}

impl Changeset {
    /// Reads a changeset file and checks all of it.
    ///
    /// Fails with [`Error::Format`] if it is not one or is cut off.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            doing: "reading the changeset",
            source,
        })?;
        Self::checked(bytes, &path.display().to_string())
    }

    /// As [`Changeset::open`], from memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::checked(bytes, "changeset")
    }

    fn checked(bytes: Vec<u8>, subject: &str) -> Result<Self> {
        let mut changes = Changes { bytes: &bytes, at: 0, subject, table: None, kind: None };
        for change in &mut changes {
            change?;
        }
        let kind = changes.kind.unwrap_or(ChangesetKind::Changeset);
        Ok(Self { bytes, kind })
    }

    /// The changeset of a diff, and what it could not take in. For large diffs
    /// [`Diff::write_changeset`] needs less memory.
    pub fn of(diff: &Diff, kind: ChangesetKind) -> Result<(Self, Vec<Omission>)> {
        let mut bytes = Vec::new();
        let omissions = diff.write_changeset(kind, &mut bytes)?;
        Ok((Self { bytes, kind }, omissions))
    }

    /// Its bytes, as SQLite reads and writes them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Changeset or patchset. An empty one is both; it is called a changeset.
    pub fn kind(&self) -> ChangesetKind {
        self.kind
    }

    /// Whether it holds no change.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes a file, which appears under its name only when it is complete and on disk.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let write = Error::stream;
        save_atomically(path.as_ref(), "writing the changeset", &mut |out| {
            out.write_all(&self.bytes).map_err(write("writing the changeset"))
        })
    }

    /// Its changes, in order.
    pub fn changes(&self) -> Changes<'_> {
        Changes { bytes: &self.bytes, at: 0, subject: "changeset", table: None, kind: None }
    }

    /// Its changes, counted by table.
    pub fn summary(&self) -> Result<Vec<ChangesetSummary>> {
        let mut tables: Vec<ChangesetSummary> = Vec::new();
        for change in self.changes() {
            let Change { table, row, .. } = change?;
            let found = tables.iter().rposition(|summary| *summary.table == *table);
            let index = found.unwrap_or_else(|| {
                tables.push(ChangesetSummary { table, inserted: 0, updated: 0, deleted: 0 });
                tables.len() - 1
            });
            match row {
                ChangedRow::Insert { .. } => tables[index].inserted += 1,
                ChangedRow::Update { .. } => tables[index].updated += 1,
                ChangedRow::Delete { .. } => tables[index].deleted += 1,
            }
        }
        Ok(tables)
    }

    /// The changeset that undoes this one. Fails with [`Error::Unsupported`] for a patchset, which
    /// does not know the old values.
    pub fn invert(&self) -> Result<Self> {
        if self.kind == ChangesetKind::Patchset && !self.is_empty() {
            return Err(Error::Unsupported {
                subject: "patchset".to_owned(),
                what: "it cannot be inverted, as it does not hold the old values; \
                       make a changeset instead"
                    .to_owned(),
            });
        }
        let mut tables: Vec<Vec<Change>> = Vec::new();
        for change in self.changes() {
            let change = inverted(change?)?;
            match tables.last_mut() {
                Some(group) if group[0].table == change.table => group.push(change),
                _ => tables.push(vec![change]),
            }
        }
        // What was done last is undone first.
        tables.reverse();
        let mut writer = ChangesetWriter::new(self.kind);
        for group in &tables {
            writer.group(group.iter());
        }
        Ok(Self { bytes: writer.bytes, kind: self.kind })
    }

    /// One changeset that does what this one and then `next` do. Both must be of one kind.
    ///
    /// Fails with [`Error::Unsupported`] if the two contradict each other: a row inserted twice,
    /// changed after it was deleted, or in tables of different shape.
    pub fn concat(&self, next: &Self) -> Result<Self> {
        if self.is_empty() || next.is_empty() {
            return Ok(if self.is_empty() { next.clone() } else { self.clone() });
        }
        if self.kind != next.kind {
            return Err(Error::Unsupported {
                subject: "changeset".to_owned(),
                what: "a changeset and a patchset cannot be joined".to_owned(),
            });
        }
        let mut tables: Vec<Joined> = Vec::new();
        for change in self.changes().chain(next.changes()) {
            let change = change?;
            let name = &change.table.name;
            let found =
                tables.iter().position(|joined| joined.table.name.eq_ignore_ascii_case(name));
            let index = found.unwrap_or_else(|| {
                tables.push(Joined {
                    table: Arc::clone(&change.table),
                    places: HashMap::new(),
                    changes: Vec::new(),
                });
                tables.len() - 1
            });
            tables[index].add(change, self.kind)?;
        }
        let mut writer = ChangesetWriter::new(self.kind);
        for joined in &tables {
            writer.group(joined.changes.iter().flatten());
        }
        Ok(Self { bytes: writer.bytes, kind: self.kind })
    }
}

fn inverted(change: Change) -> Result<Change> {
    let row = match change.row {
        ChangedRow::Insert { new } => {
            ChangedRow::Delete { old: new.into_iter().map(Some).collect() }
        }
        ChangedRow::Delete { old } => match old.into_iter().collect() {
            Some(new) => ChangedRow::Insert { new },
            None => return Err(contradiction(&change.table, "a deleted row lacks a value")),
        },
        ChangedRow::Update { mut old, mut new } => {
            for ((old, new), place) in old.iter_mut().zip(&mut new).zip(&change.table.key) {
                if *place == 0 || new.is_some() {
                    std::mem::swap(old, new);
                }
            }
            ChangedRow::Update { old, new }
        }
    };
    Ok(Change { row, ..change })
}

fn contradiction(table: &ChangesetTable, what: &str) -> Error {
    Error::Unsupported { subject: format!("table {}", table.name), what: what.to_owned() }
}

/// One table's changes while two changesets are joined.
struct Joined {
    table: Arc<ChangesetTable>,
    /// Where the change of each row is, by its key's bytes.
    places: HashMap<Vec<u8>, usize>,
    changes: Vec<Option<Change>>,
}

impl Joined {
    fn add(&mut self, change: Change, kind: ChangesetKind) -> Result<()> {
        if change.table.key != self.table.key {
            let what = "the two changesets know it with different columns or keys";
            return Err(contradiction(&self.table, what));
        }
        let key = key_bytes(&change);
        let Some(&place) = self.places.get(&key) else {
            self.places.insert(key, self.changes.len());
            self.changes.push(Some(change));
            return Ok(());
        };
        let Some(before) = self.changes[place].take() else {
            // The row came and went, or is back where it was.
            self.changes[place] = Some(change);
            return Ok(());
        };
        let is_indirect = before.is_indirect && change.is_indirect;
        self.changes[place] = joined_rows(&self.table, before.row, change.row, kind)?
            .map(|row| Change { table: Arc::clone(&self.table), is_indirect, row });
        Ok(())
    }
}

/// What two changes of one row come to; None for nothing.
fn joined_rows(
    table: &ChangesetTable,
    before: ChangedRow,
    after: ChangedRow,
    kind: ChangesetKind,
) -> Result<Option<ChangedRow>> {
    use ChangedRow::{Delete, Insert, Update};
    let is_patch = kind == ChangesetKind::Patchset;
    Ok(match (before, after) {
        (Insert { mut new }, Update { new: later, .. }) => {
            for (value, later) in new.iter_mut().zip(later) {
                if let Some(later) = later {
                    *value = later;
                }
            }
            Some(Insert { new })
        }
        (Insert { .. }, Delete { .. }) => {
            // Whether the row was there before is not known to a patchset either: it was not.
            None
        }
        (Update { mut old, mut new }, Update { old: later_old, new: later }) => {
            for (index, later) in later.into_iter().enumerate() {
                if later.is_none() {
                    continue;
                }
                if new[index].is_none() && !is_patch {
                    old[index].clone_from(&later_old[index]);
                }
                new[index] = later;
                if !is_patch && new[index] == old[index] {
                    (old[index], new[index]) = (None, None);
                }
            }
            new.iter().any(Option::is_some).then_some(Update { old, new })
        }
        (Update { old, .. }, Delete { old: mut deleted }) => {
            if !is_patch {
                for (value, old) in deleted.iter_mut().zip(old) {
                    if old.is_some() {
                        *value = old;
                    }
                }
            }
            Some(Delete { old: deleted })
        }
        (Delete { old }, Insert { new }) if is_patch => {
            // What the row held is not known, so every value is given.
            let new = new.into_iter().zip(&table.key);
            let new = new.map(|(value, place)| (*place == 0).then_some(value));
            let new: Vec<Option<Value>> = new.collect();
            if new.iter().all(Option::is_none) { None } else { Some(Update { old, new }) }
        }
        (Delete { mut old }, Insert { new }) => {
            let mut changed = vec![None; new.len()];
            for (index, value) in new.into_iter().enumerate() {
                if table.key[index] > 0 {
                    continue;
                }
                if old[index].as_ref() == Some(&value) {
                    old[index] = None;
                } else {
                    changed[index] = Some(value);
                }
            }
            changed.iter().any(Option::is_some).then_some(Update { old, new: changed })
        }
        (Insert { .. } | Update { .. }, Insert { .. }) => {
            return Err(contradiction(table, "a row is inserted that is already there"));
        }
        (Delete { .. }, Update { .. } | Delete { .. }) => {
            return Err(contradiction(table, "a row is changed after it was deleted"));
        }
    })
}
