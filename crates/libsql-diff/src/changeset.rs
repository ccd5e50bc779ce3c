//! Changesets and patchsets in the format of SQLite's session extension.
//!
//! The format knows rows of tables with a primary key and nothing else; what a diff holds besides
//! is listed as an [`Omission`], never dropped in silence.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::error::{Conflict, Error, Result};
use crate::file::Diff;
use crate::progress::OnProgress;
use crate::value::Value;

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
    #[expect(dead_code, reason = "filled in by the next commit")]
    bytes: &'c [u8],
}

impl Iterator for Changes<'_> {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Result<Change>> {
        None
    }
}

fn unbuilt<T>() -> Result<T> {
    Err(Error::Unsupported { subject: "changeset".into(), what: "not built yet".into() })
}

impl Changeset {
    /// Reads a changeset file and checks all of it.
    ///
    /// Fails with [`Error::Format`] if it is not one or is cut off.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let _ = path.as_ref();
        unbuilt()
    }

    /// As [`Changeset::open`], from memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        drop(bytes);
        unbuilt()
    }

    /// The changeset of a diff, and what it could not take in. For large diffs
    /// [`Diff::write_changeset`] needs less memory.
    pub fn of(diff: &Diff, kind: ChangesetKind) -> Result<(Self, Vec<Omission>)> {
        let _ = (diff, kind);
        unbuilt()
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
        let _ = path.as_ref();
        unbuilt()
    }

    /// Its changes, in order.
    pub fn changes(&self) -> Changes<'_> {
        Changes { bytes: &self.bytes }
    }

    /// Its changes, counted by table.
    pub fn summary(&self) -> Result<Vec<ChangesetSummary>> {
        unbuilt()
    }

    /// The changeset that undoes this one. Fails with [`Error::Unsupported`] for a patchset, which
    /// does not know the old values.
    pub fn invert(&self) -> Result<Self> {
        unbuilt()
    }

    /// One changeset that does what this one and then `next` do. Both must be of one kind.
    ///
    /// Fails with [`Error::Unsupported`] if the two contradict each other: a row inserted twice,
    /// changed after it was deleted, or in tables of different shape.
    pub fn concat(&self, next: &Self) -> Result<Self> {
        let _ = next;
        unbuilt()
    }

    /// Applies it to the main database of `conn`, in one transaction.
    ///
    /// Every table must be there, with the same primary key and at least as many columns, whatever
    /// `on_conflict`: SQLite's own function passes over tables that are not, in silence. Triggers
    /// do not fire and no foreign key acts, as the changeset holds what they did; if references to
    /// nothing are left that were not there before, it is [`Error::ForeignKeys`] and nothing is
    /// applied.
    pub fn apply(
        &self,
        conn: &Connection,
        on_conflict: OnConflict,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<ChangesetApplied> {
        let _ = (conn, on_conflict, on_progress);
        unbuilt()
    }
}

impl Diff {
    /// Writes the diff in SQLite's format and returns what the format could not take in; the
    /// caller must tell somebody, or stop, if that is not empty.
    pub fn write_changeset(
        &self,
        kind: ChangesetKind,
        out: &mut dyn Write,
    ) -> Result<Vec<Omission>> {
        let _ = (kind, out);
        unbuilt()
    }
}
