//! Finding what differs between two databases.

use std::path::Path;

use libsql_pages::{LogMark, Pages};
use rusqlite::Connection;

use crate::btree::{RecordLayout, TreeRows};
use crate::error::{Error, Result};
use crate::file::{Diff, DiffWriter};
use crate::foreign_keys::Watch;
use crate::operation::{
    ColumnSource, Identity, Operation, SequenceChange, Setting, SettingChange, TableCounts,
    TableEdit,
};
use crate::plan::{Order, Places, Section, plan};
use crate::progress::{Meter, OnProgress, unwatched};
use crate::rows::{Comparison, Lookup, StmtRows, same_sequence};
use crate::schema::{Schema, Table};
use crate::source::Input;
use crate::sqltext::quoted;

/// How to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether rowids are data; [`Rowids::OnlyWithoutKey`] unless set.
    pub rowids: Rowids,
    /// Whether pages may be compared directly where that is sound; true unless set. The outcome is
    /// the same, only slower without.
    pub pages: bool,
    /// Whether to look for references to nothing among the changed rows, so that applying the diff
    /// can tell those that the target has from those that must not be; true unless set.
    pub foreign_keys: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { rowids: Rowids::OnlyWithoutKey, pages: true, foreign_keys: true }
    }
}

/// Whether the rowid of a row is part of what is compared.
///
/// A table's rowid is always compared if it is the `INTEGER PRIMARY KEY`, or if the table has no
/// primary key. With another primary key, `TEXT` for instance, the rowid is SQLite's own affair: it
/// changes when the rows are copied elsewhere, and programs should not rely on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rowids {
    /// Rows with a primary key are one if their keys are, whatever their rowids.
    #[default]
    OnlyWithoutKey,
    /// Rows are one if their rowids are; their keys are data. For programs that do rely on it, as
    /// with an FTS5 index over the rowids of such a table.
    Always,
}

/// Takes the operations of a diff as they are found.
pub trait Sink {
    /// The next operation. An error ends the comparison and is returned from it.
    fn operation(&mut self, operation: Operation) -> Result<()>;
}

impl Sink for Vec<Operation> {
    fn operation(&mut self, operation: Operation) -> Result<()> {
        self.push(operation);
        Ok(())
    }
}

impl<F: FnMut(Operation) -> Result<()>> Sink for F {
    fn operation(&mut self, operation: Operation) -> Result<()> {
        self(operation)
    }
}

/// What turns the database file `a` into `b`.
///
/// Neither is written to, locked against readers, or checkpointed.
///
/// # Errors
///
/// [`Error::Io`] if a file is not there, [`Error::Sqlite`] if one is not a database or is locked
/// for more than five seconds, [`Error::HotJournal`], [`Error::InputChanged`] and
/// [`Error::Damaged`] as they say; [`Error::UnknownCollation`] if a `WITHOUT ROWID` table is sorted
/// by a collation that only its program knows.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let (a, b) = (folder.path().join("a.db"), folder.path().join("b.db"));
/// # let open = |path: &std::path::Path| rusqlite::Connection::open(path);
/// open(&a)?.execute_batch("CREATE TABLE plan(id INTEGER PRIMARY KEY, day TEXT)")?;
/// std::fs::copy(&a, &b)?;
/// open(&b)?.execute_batch("INSERT INTO plan VALUES (1, '2026-11-20')")?;
///
/// let diff = libsql_diff::diff(&a, &b)?;
/// assert_eq!(diff.summary().tables[0].inserted, 1);
/// libsql_diff::apply(&diff, &open(&a)?)?;
/// assert!(libsql_diff::diff(&a, &b)?.is_empty());
/// # Ok(())
/// # }
/// ```
pub fn diff(a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<Diff> {
    diff_with(a, b, &Options::default(), &mut unwatched)
}

/// As [`diff`], with options and a callback for progress.
pub fn diff_with(
    a: impl AsRef<Path>,
    b: impl AsRef<Path>,
    options: &Options,
    on_progress: &mut OnProgress<'_>,
) -> Result<Diff> {
    let (a, b) = (Input::open(a.as_ref())?, Input::open(b.as_ref())?);
    let sides = (Side::begin_file(&a)?, Side::begin_file(&b)?);
    let mut writer = DiffWriter::new(sides.0.schema.encoding, sides.1.schema.encoding);
    compare_files(&a, &b, sides, options, &mut writer, on_progress)?;
    writer.finish()
}

/// As [`diff_with`], handing each operation to `sink` as soon as it is found.
///
/// If the comparison fails, `sink` has got a part of the operations, and must not use it.
pub fn diff_into(
    a: impl AsRef<Path>,
    b: impl AsRef<Path>,
    options: &Options,
    sink: &mut dyn Sink,
    on_progress: &mut OnProgress<'_>,
) -> Result<()> {
    let (a, b) = (Input::open(a.as_ref())?, Input::open(b.as_ref())?);
    let sides = (Side::begin_file(&a)?, Side::begin_file(&b)?);
    compare_files(&a, &b, sides, options, sink, on_progress)
}

fn compare_files(
    a: &Input,
    b: &Input,
    sides: (Side<'_>, Side<'_>),
    options: &Options,
    sink: &mut dyn Sink,
    on_progress: &mut OnProgress<'_>,
) -> Result<()> {
    let compared = compare(&sides.0, &sides.1, options, sink, on_progress);
    drop(sides);
    // What others write where no lock keeps them from it looks like damage.
    if matches!(compared, Ok(()) | Err(Error::Damaged { .. })) {
        a.check()?;
        b.check()?;
    }
    compared
}

/// As [`diff`], for the main databases of two open connections: in memory, or encrypted, or with
/// collations of their own. Each is read in one transaction, its own if it has none open.
pub fn diff_connections(
    a: &Connection,
    b: &Connection,
    options: &Options,
    on_progress: &mut OnProgress<'_>,
) -> Result<Diff> {
    let sides = (Side::begin(a)?, Side::begin(b)?);
    let mut writer = DiffWriter::new(sides.0.schema.encoding, sides.1.schema.encoding);
    compare(&sides.0, &sides.1, options, &mut writer, on_progress)?;
    writer.finish()
}

/// One of the two databases, inside a read transaction.
pub(crate) struct Side<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) schema: Schema,
    pages: Option<Pages<'c>>,
    ends_transaction: bool,
}

impl<'c> Side<'c> {
    pub(crate) fn begin_file(input: &'c Input) -> Result<Self> {
        Self::begin(&input.conn).map_err(|error| match error {
            Error::Sqlite { code, .. } if code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK => {
                Error::HotJournal { path: input.path().to_owned() }
            }
            Error::Sqlite { doing, code, message } => Error::Sqlite {
                doing: format!("{}: {doing}", input.path().display()),
                code,
                message,
            },
            error => error,
        })
    }

    pub(crate) fn begin(conn: &'c Connection) -> Result<Self> {
        let sqlite = |error: rusqlite::Error| Error::from_rusqlite("beginning to read", &error);
        // A transaction of the caller's may hold pages that are not in the file yet.
        let ends_transaction = conn.is_autocommit();
        // A failure to read is told here, which a mark does not.
        conn.query_row("SELECT count(*) FROM main.sqlite_schema", [], |_| Ok(()))
            .map_err(sqlite)?;
        let mark = ends_transaction.then(|| LogMark::of(conn));
        if ends_transaction {
            conn.execute_batch("BEGIN").map_err(sqlite)?;
        }
        let mut side = Self {
            conn,
            schema: Schema {
                encoding: crate::sqlite::Encoding::Utf8,
                tables: Vec::new(),
                objects: Vec::new(),
                sequences: Vec::new(),
                user_version: 0,
                application_id: 0,
            },
            pages: None,
            ends_transaction,
        };
        side.schema = Schema::read(conn)?;
        // To read every row through SQLite takes longer than to look at any log.
        side.pages = mark.and_then(|mark| Pages::open(conn, mark, u32::MAX));
        Ok(side)
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        if self.ends_transaction {
            // Nothing was written; a failure to end leaves nothing undone.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }
}

fn compare(
    a: &Side<'_>,
    b: &Side<'_>,
    options: &Options,
    sink: &mut dyn Sink,
    on_progress: &mut OnProgress<'_>,
) -> Result<()> {
    let mut meter = Meter::new(on_progress);
    let sink = &mut Counted { sink, operations: 0 };
    let plan = plan(&a.schema, &b.schema, options)?;
    for object in plan.drops {
        sink.operation(Operation::DropObject(object))?;
    }
    let mut watch = options.foreign_keys.then(|| Watch::new(b.conn, &b.schema));
    let mut moved_sequences = Vec::new();
    for mut section in plan.sections {
        meter.table(&section.change.name)?;
        fill_new_columns(b, &mut section)?;
        if let Some(watch) = &mut watch {
            watch.section(&section)?;
        }
        let inserted = compare_section(a, b, &section, options, sink, watch.as_mut(), &mut meter)?;
        // Carrying rows over is inserting too, even of none.
        let is_filled = inserted || matches!(section.change.edit, TableEdit::Rebuild { .. });
        if is_filled && section.b.is_some_and(|table| table.autoincrement) {
            moved_sequences.push(section.change.name.clone());
        }
    }
    for object in plan.creates {
        sink.operation(Operation::CreateObject(object))?;
    }
    sequences(a, b, &moved_sequences, sink)?;
    for (setting, old, new) in [
        (Setting::UserVersion, a.schema.user_version, b.schema.user_version),
        (Setting::ApplicationId, a.schema.application_id, b.schema.application_id),
    ] {
        if old != new {
            sink.operation(Operation::Setting(SettingChange { setting, old, new }))?;
        }
    }
    if sink.operations > 0
        && let Some(watch) = watch
        && let Some(state) = watch.finish()?
    {
        sink.operation(Operation::ForeignKeys(state))?;
    }
    Ok(())
}

/// Knows whether anything differs.
struct Counted<'s> {
    sink: &'s mut dyn Sink,
    operations: u64,
}

impl Sink for Counted<'_> {
    fn operation(&mut self, operation: Operation) -> Result<()> {
        self.operations += 1;
        self.sink.operation(operation)
    }
}

/// A column without a counterpart gets, in rows that are carried over, what the target's first row
/// has there: right in every row if it was added with a default.
fn fill_new_columns(b: &Side<'_>, section: &mut Section<'_>) -> Result<()> {
    let TableEdit::Rebuild { sources, .. } = &mut section.change.edit else { return Ok(()) };
    let Some(table) = section.b else { return Ok(()) };
    if sources.iter().all(|source| matches!(source, ColumnSource::Column(_))) {
        return Ok(());
    }
    let own: Vec<ColumnSource> = section
        .change
        .columns
        .iter()
        .map(|column| ColumnSource::Column(column.name.clone()))
        .collect();
    let sql = format!("{} LIMIT 1", crate::plan::select_from(table, &own));
    let mut stmt = crate::sqlite::Stmt::prepare(
        b.conn,
        b.schema.encoding,
        &sql,
        "reading a table's first row",
    )?;
    let first = Places::of(table, &own).first_column;
    if stmt.step()? {
        for (column, source) in sources.iter_mut().enumerate() {
            if let ColumnSource::Fill(value) = source {
                *value = stmt.column(column + first).to_owned();
            }
        }
        section.sources.clone_from(sources);
    }
    Ok(())
}

fn compare_section(
    a: &Side<'_>,
    b: &Side<'_>,
    section: &Section<'_>,
    options: &Options,
    sink: &mut dyn Sink,
    watch: Option<&mut Watch<'_>>,
    meter: &mut Meter<'_>,
) -> Result<bool> {
    let change = &section.change;
    let own: Vec<ColumnSource> =
        change.columns.iter().map(|c| ColumnSource::Column(c.name.clone())).collect();
    let open_a = |table: &Table, order| {
        StmtRows::open(a.conn, &a.schema, table, change, &section.sources, order)
    };
    let open_b =
        |table: &Table, order| StmtRows::open(b.conn, &b.schema, table, change, &own, order);
    match (section.a, section.b) {
        (Some(old), None) => {
            sink.operation(Operation::Table(Box::new(change.clone())))?;
            let rows = if section.counted { Some(count_rows(a, old)?) } else { None };
            let counts = TableCounts { before: rows, after: rows.map(|_| 0) };
            sink.operation(Operation::EndTable(counts))?;
            Ok(false)
        }
        (None, Some(new)) => {
            let mut comparison = Comparison::new(section, sink, watch, None);
            comparison.start()?;
            if new.has_rows() {
                let order = if section.order == Order::Rowid { Order::Rowid } else { Order::None };
                comparison.add_all(&mut open_b(new, order)?, meter)?;
            }
            let inserted = comparison.inserted;
            comparison.finish()?;
            Ok(inserted)
        }
        (Some(old), Some(new)) if change.identity == Identity::Nothing => {
            let (same, rows) = same_sequence(
                &mut open_a(old, Order::None)?,
                &mut open_b(new, Order::None)?,
                meter,
            )?;
            if same {
                return Ok(false);
            }
            let mut comparison = Comparison::new(section, sink, watch, None);
            comparison.start()?;
            comparison.count_before(rows);
            comparison.add_all(&mut open_b(new, Order::None)?, meter)?;
            let inserted = comparison.inserted;
            comparison.finish()?;
            Ok(inserted)
        }
        (Some(old), Some(new)) => {
            let by_key_only = section.order == Order::None;
            let needs_lookups = by_key_only
                || (section.order == Order::Rowid
                    && new.rowid_column.is_none()
                    && matches!(change.identity, Identity::Key { .. }));
            let lookups = if needs_lookups {
                Some((
                    Lookup::open(a.conn, &a.schema, old, change, &section.sources)?,
                    Lookup::open(b.conn, &b.schema, new, change, &own)?,
                ))
            } else {
                None
            };
            let mut comparison = Comparison::new(section, sink, watch, lookups);
            if !matches!(change.edit, TableEdit::Rows) {
                comparison.start()?;
            }
            let pages = match (&a.pages, &b.pages) {
                (Some(pages_a), Some(pages_b))
                    if options.pages
                        && a.schema.encoding == b.schema.encoding
                        && pages_are_comparable(pages_a, pages_b, section, (old, new)) =>
                {
                    Some((pages_a, pages_b))
                }
                _ => None,
            };
            if let Some((pages_a, pages_b)) = pages {
                let layout = RecordLayout::of(new, change, b.schema.encoding);
                let sources = &section.sources;
                let mut rows_a =
                    TreeRows::open(pages_a, a.conn, &a.schema, old, &layout, change, sources)?;
                let mut rows_b =
                    TreeRows::open(pages_b, b.conn, &b.schema, new, &layout, change, &own)?;
                comparison.merge(&mut rows_a, &mut rows_b, meter)?;
            } else if by_key_only {
                let order = Order::None;
                comparison.look_up_each(
                    &mut open_a(old, order)?,
                    &mut open_b(new, order)?,
                    meter,
                )?;
            } else {
                let order = section.order;
                comparison.merge(&mut open_a(old, order)?, &mut open_b(new, order)?, meter)?;
            }
            let inserted = comparison.inserted;
            Ok(comparison.finish()? && inserted)
        }
        (None, None) => Ok(false),
    }
}

/// The conditions under which equal bytes mean equal rows.
fn pages_are_comparable(
    a: &Pages<'_>,
    b: &Pages<'_>,
    section: &Section<'_>,
    (old, new): (&Table, &Table),
) -> bool {
    let (layout_a, layout_b) = (a.layout(), b.layout());
    // Before format 4, descending keys are kept ascending.
    let order_is_known = !new.primary_key.iter().any(|part| part.descending)
        || (layout_a.schema_format >= 4 && layout_b.schema_format >= 4);
    section.same_record_format
        && section.order != Order::None
        && old.filter().is_empty()
        && layout_a.page_size == layout_b.page_size
        && layout_a.reserved == layout_b.reserved
        && order_is_known
        && old.root_page > 1
        && new.root_page > 1
}

fn count_rows(side: &Side<'_>, table: &Table) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM main.{}", quoted(&table.name));
    side.conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned).map_err(
        |error| Error::from_rusqlite(format!("counting the rows of {}", table.name), &error),
    )
}

/// Inserting rows moves the counter of an AUTOINCREMENT table, so it is set even if it is the same
/// on both sides.
fn sequences(a: &Side<'_>, b: &Side<'_>, moved: &[String], sink: &mut dyn Sink) -> Result<()> {
    for (table, old) in &a.schema.sequences {
        if b.schema.sequence(table).is_none() && !moved.contains(table) {
            let change = SequenceChange { table: table.clone(), old: Some(old.clone()), new: None };
            sink.operation(Operation::Sequence(change))?;
        }
    }
    for table in b.schema.tables.iter().filter(|table| table.autoincrement) {
        let (old, new) = (a.schema.sequence(&table.name), b.schema.sequence(&table.name));
        if moved.contains(&table.name) || (old != new && new.is_some()) {
            sink.operation(Operation::Sequence(SequenceChange {
                table: table.name.clone(),
                old: old.cloned(),
                new: new.cloned(),
            }))?;
        }
    }
    Ok(())
}
