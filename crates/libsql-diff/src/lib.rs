//! What differs between two SQLite files, exactly: found, kept, applied and merged.
//!
//! [`diff()`] compares two databases and gives a [`Diff`]: a list of typed [`Operation`]s with
//! values, in memory or on disk however large it is. [`apply()`] carries it out on a third
//! database in one transaction, checking every row it changes; applied to the first, it makes that
//! one equal to the second: same definitions, same rows, same values by type and bit.
//! [`merge()`] brings the differences of two sides from one base together.
//!
//! A diff can be kept in four forms:
//!
//! | form | written by | read by | holds |
//! | --- | --- | --- | --- |
//! | diff file | [`Diff::save`] | [`Diff::open`] | all; a file that is cut off or altered is refused |
//! | JSON | [`Diff::write_json`] | [`Diff::read_json`] | all |
//! | SQL text | [`Diff::write_sql`] | [`apply_script`], any SQL runner | all, but rows are not checked |
//! | changeset | [`Diff::write_changeset`] | [`Changeset`], SQLite's session extension | rows with a primary key; the rest is listed |
//!
//! Nothing is done through SQL text that would have to be split again (where text is given,
//! [`statements`] splits it as SQLite does), no trigger fires and no foreign key acts while a diff
//! is applied, and the inputs are never written to: not even their write-ahead logs are
//! checkpointed.
//!
//! Not compared: what `ANALYZE` found, the physical layout of the files, rowids that no program
//! should rely on ([`Rowids`] says which), and the internal index of full-text tables, whose rows
//! are compared instead.
//!
//! A program that also uses the `libsql` crate must open its first `libsql` database before it
//! calls anything here: that crate sets SQLite's threading mode, which only works before its first
//! use.

#![deny(missing_docs)]

mod apply;
mod btree;
mod changeset;
mod codec;
mod diff;
mod error;
mod file;
mod foreign_keys;
mod json;
mod key;
mod literal;
mod merge;
mod operation;
mod plan;
mod progress;
mod rows;
mod schema;
mod script;
mod source;
mod splitter;
mod sqlite;
mod sqltext;
mod statements;
mod summary;
mod value;
mod writer;
mod wtf8;

pub use apply::{Applied, ApplyOptions, apply, apply_with};
pub use changeset::{
    CONFLICTS_KEPT_MAX, Change, ChangedRow, Changes, Changeset, ChangesetApplied, ChangesetKind,
    ChangesetSummary, ChangesetTable, Omission, OmissionReason, OnConflict,
};
pub use diff::{Options, Rowids, Sink, diff, diff_connections, diff_into, diff_with};
pub use error::{Conflict, ConflictKind, Error, Result};
pub use file::{Diff, DiffWriter, FORMAT_VERSION, FileKind, Operations};
pub use merge::{
    ColumnConflict, Databases, MERGE_CONFLICTS_KEPT_MAX, Merge, MergeConflict, MergeConflictKind,
    MergePolicy, merge, merge_databases, merge_files,
};
pub use operation::{
    ColumnChange, ColumnInfo, ColumnSource, ForeignKeyState, Identity, KeyColumn, ObjectKind,
    Operation, RowChange, RowKey, SchemaObject, SequenceChange, Setting, SettingChange,
    TableChange, TableCounts, TableEdit,
};
pub use progress::{OnProgress, Progress};
pub use script::{ScriptApplied, Statement, Statements, apply_script, statements};
pub use sqlite::Encoding;
pub use sqltext::quoted;
pub use statements::Names;
pub use summary::{EditKind, Summary, TableSummary};
pub use value::{Value, ValueRef};
