//! Applying a diff to a database: all of it, or nothing.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ffi};

use crate::error::{Conflict, ConflictKind, Error, Result};
use crate::file::{Diff, Operations};
use crate::foreign_keys::count_dangling;
use crate::operation::{
    ForeignKeyState, Operation, RowChange, SchemaObject, SequenceChange, SettingChange,
    TableChange, TableEdit,
};
use crate::progress::{Meter, OnProgress, Progress, unwatched};
use crate::schema::read_setting;
use crate::sqlite::{Encoding, encoding};
use crate::sqltext::{quoted, same_name};
use crate::statements::{rebuild_sql, rename_away_sql};
use crate::value::Value;
use crate::writer::TableWriter;

/// What to insist on when applying.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// Every table must have as many rows before and after as the diff says; true unless set.
    pub counts: bool,
    /// No reference to nothing may come in that the diff's target does not have; true unless set.
    /// Foreign keys are not enforced while applying, and no cascade runs: the diff holds what a
    /// cascade did.
    pub foreign_keys: bool,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self { counts: true, foreign_keys: true }
    }
}

/// What was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows inserted.
    pub inserted: u64,
    /// Rows updated, those included that were deleted and inserted again for it.
    pub updated: u64,
    /// Rows deleted, without those of dropped tables.
    pub deleted: u64,
}

/// Applies `diff` to the main database of `conn`, in one transaction.
///
/// Each row to change or delete must hold the values that the diff expects, each row to insert
/// must not be there, and each object must be defined as expected: else [`Error::Conflict`], and
/// nothing is applied. The number of rows of every table and the foreign keys are checked before
/// the transaction is committed.
///
/// Triggers do not fire, and foreign keys do nothing, whatever the connection's settings, which
/// are restored afterwards.
///
/// # Errors
///
/// [`Error::InTransaction`] if the connection is inside a transaction; [`Error::Conflict`],
/// [`Error::RowCount`], [`Error::ForeignKeys`] as above; [`Error::Sqlite`] if SQLite refuses, with
/// [`Error::is_busy`] if another connection is writing.
pub fn apply(diff: &Diff, conn: &Connection) -> Result<Applied> {
    apply_with(diff, conn, &ApplyOptions::default(), &mut unwatched)
}

/// As [`apply`], with options and a callback for progress.
pub fn apply_with(
    diff: &Diff,
    conn: &Connection,
    options: &ApplyOptions,
    on_progress: &mut OnProgress<'_>,
) -> Result<Applied> {
    if !conn.is_autocommit() {
        return Err(Error::InTransaction);
    }
    let _settings = Settings::for_applying(conn)?;
    let mut watched = |progress: &Progress| on_progress(progress);
    match attempt(diff, conn, options, 0, &mut watched) {
        // What was there before is not the diff's doing. Only now is it worth counting.
        Err(Error::ForeignKeys { table, expected, found }) => {
            let mut before = 0;
            for operation in diff.operations() {
                if let Operation::ForeignKeys(state) = operation? {
                    before = count_all_dangling(conn, &state)?.0;
                }
            }
            if before == 0 || found > expected + before {
                return Err(Error::ForeignKeys { table, expected, found });
            }
            attempt(diff, conn, options, before, &mut watched)
        }
        outcome => outcome,
    }
}

fn attempt(
    diff: &Diff,
    conn: &Connection,
    options: &ApplyOptions,
    dangling_before: u64,
    on_progress: &mut OnProgress<'_>,
) -> Result<Applied> {
    let sqlite = |doing: &str, error: &rusqlite::Error| Error::from_rusqlite(doing, error);
    conn.execute_batch("BEGIN IMMEDIATE").map_err(|e| sqlite("beginning to write", &e))?;
    let mut applying = Applying {
        conn,
        encoding: encoding(conn)?,
        options,
        dangling_before,
        meter: Meter::new(on_progress),
        applied: Applied::default(),
        wrote_shadow: false,
    };
    let outcome = applying.run(diff).and_then(|()| {
        conn.execute_batch("COMMIT").map_err(|e| sqlite("committing", &e))?;
        Ok(applying.applied)
    });
    if outcome.is_err() && !conn.is_autocommit() {
        // The first error is the one to report.
        let _ = conn.execute_batch("ROLLBACK");
    }
    outcome
}

/// A connection's settings while something is applied; restored when dropped.
pub(crate) struct Settings<'c> {
    conn: &'c Connection,
    /// In the order of [`switches`].
    on: [bool; 3],
    legacy_alter_table: bool,
}

fn switches() -> [DbConfig; 3] {
    [
        DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY,
        DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
        DbConfig::SQLITE_DBCONFIG_DEFENSIVE,
    ]
}

impl<'c> Settings<'c> {
    /// No foreign keys and no triggers; renaming a table leaves all other objects alone; the
    /// tables that FTS5 keeps its index in can be written.
    pub(crate) fn for_applying(conn: &'c Connection) -> Result<Self> {
        let read = || -> rusqlite::Result<Self> {
            let mut on = [false; 3];
            for (on, switch) in on.iter_mut().zip(switches()) {
                *on = conn.db_config(switch)?;
            }
            let legacy = conn.query_row("PRAGMA legacy_alter_table", [], |row| row.get(0))?;
            Ok(Self { conn, on, legacy_alter_table: legacy })
        };
        let settings =
            read().map_err(|error| Error::from_rusqlite("reading the settings", &error))?;
        settings
            .set([false; 3], true)
            .map_err(|error| Error::from_rusqlite("preparing to write", &error))?;
        Ok(settings)
    }

    fn set(&self, on: [bool; 3], legacy: bool) -> rusqlite::Result<()> {
        for (switch, on) in switches().into_iter().zip(on) {
            self.conn.set_db_config(switch, on)?;
        }
        self.conn.execute_batch(&format!("PRAGMA legacy_alter_table = {legacy}"))
    }
}

impl Drop for Settings<'_> {
    fn drop(&mut self) {
        // These calls only fail on a connection that is no longer usable.
        let _ = self.set(self.on, self.legacy_alter_table);
    }
}

struct Applying<'a> {
    conn: &'a Connection,
    encoding: Encoding,
    options: &'a ApplyOptions,
    dangling_before: u64,
    meter: Meter<'a>,
    applied: Applied,
    wrote_shadow: bool,
}

impl Applying<'_> {
    fn run(&mut self, diff: &Diff) -> Result<()> {
        let mut operations = diff.operations();
        while let Some(operation) = operations.next() {
            match operation? {
                Operation::DropObject(object) => self.drop_object(&object)?,
                Operation::Table(table) => self.section(diff, &table, &mut operations)?,
                Operation::CreateObject(object) => self.execute(&object.sql, &object.name)?,
                Operation::Sequence(change) => self.sequence(&change)?,
                Operation::Setting(change) => self.setting(change)?,
                Operation::ForeignKeys(state) => self.foreign_keys(&state)?,
                // The reader lets rows appear inside of sections only.
                Operation::Row(_) | Operation::EndTable(_) => {}
            }
        }
        if self.wrote_shadow { self.forget_virtual_tables() } else { Ok(()) }
    }

    /// FTS5 remembers parts of its index, which was changed behind its back. It forgets them when
    /// the schema is read anew.
    fn forget_virtual_tables(&self) -> Result<()> {
        let version: i64 = self
            .conn
            .query_row("PRAGMA main.schema_version", [], |row| row.get(0))
            .map_err(|error| Error::from_rusqlite("reading the schema", &error))?;
        self.execute(&format!("PRAGMA main.schema_version = {}", version + 1), "the schema")
    }

    fn is_shadow(&self, table: &str) -> Result<bool> {
        let sql = "SELECT count(*) FROM pragma_table_list
                   WHERE schema = 'main' AND type = 'shadow' AND lower(name) = lower(?1)";
        self.conn
            .query_row(sql, [table], |row| row.get::<_, i64>(0))
            .map(|count| count > 0)
            .map_err(|error| Error::from_rusqlite("reading the schema", &error))
    }

    fn execute(&self, sql: &str, subject: &str) -> Result<()> {
        self.conn
            .execute_batch(sql)
            .map_err(|error| Error::from_rusqlite(format!("changing {subject}"), &error))
    }

    /// The text of an object in the database.
    fn sql_of(&self, kind: &str, name: &str) -> Result<Option<String>> {
        let sql = "SELECT sql FROM main.sqlite_schema WHERE type = ?1 AND lower(name) = lower(?2)";
        match self.conn.query_row(sql, [kind, name], |row| row.get(0)) {
            Ok(sql) => Ok(sql),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) => Err(Error::from_rusqlite("reading the schema", &error)),
        }
    }

    fn require_sql(&self, kind: &str, name: &str, expected: &str) -> Result<()> {
        let detail = match self.sql_of(kind, name)? {
            Some(sql) if sql == expected => return Ok(()),
            Some(sql) => format!("it is: {sql}"),
            None => "it is not there".to_owned(),
        };
        Err(schema_conflict(name, detail))
    }

    fn drop_object(&self, object: &SchemaObject) -> Result<()> {
        let keyword = object.kind.keyword();
        self.require_sql(&keyword.to_lowercase(), &object.name, &object.sql)?;
        self.execute(&format!("DROP {keyword} main.{}", quoted(&object.name)), &object.name)
    }

    fn section(
        &mut self,
        diff: &Diff,
        table: &TableChange,
        operations: &mut Operations<'_>,
    ) -> Result<()> {
        self.meter.table(&table.name)?;
        self.require_not_hidden(&table.name)?;
        match &table.edit {
            TableEdit::Drop { sql } => return self.drop_table(table, sql, operations),
            TableEdit::Create { sql } => {
                if self.sql_of("table", &table.name)?.is_some() {
                    return Err(schema_conflict(&table.name, "it is already there".to_owned()));
                }
                self.execute(sql, &table.name)?;
            }
            TableEdit::Rebuild { old_name, old_sql, .. } => {
                self.require_sql("table", old_name, old_sql)?;
            }
            TableEdit::AddColumns { columns_before, .. } => {
                self.require_columns(table, *columns_before)?;
            }
            TableEdit::Rows | TableEdit::Refill => {
                self.require_columns(table, table.columns.len())?;
                self.wrote_shadow |= self.is_shadow(&table.name)?;
            }
        }
        let start = operations.next_offset();
        let (mut has_more, mut removed) = (false, 0);
        let mut writer = TableWriter::before(self.conn, self.encoding, table);
        if table.edit == TableEdit::Refill {
            removed += writer.delete_all()?;
        }
        let in_place = matches!(table.edit, TableEdit::Rows);
        let counts = loop {
            match operations.next() {
                Some(Ok(Operation::Row(row))) => {
                    match &row {
                        RowChange::Delete { key, values } => {
                            writer.delete(key, values.iter().enumerate())?;
                            removed += 1;
                            self.applied.deleted += 1;
                            self.meter.add(1, 0)?;
                        }
                        RowChange::Update { key, changes, replacement: Some(_) } => {
                            writer.delete(key, changes.iter().map(|c| (c.column, &c.old)))?;
                            removed += 1;
                            has_more = true;
                        }
                        RowChange::Update { key, changes, replacement: None } if in_place => {
                            writer.update(key, changes)?;
                            self.applied.updated += 1;
                            self.meter.add(1, 0)?;
                        }
                        // Counted when they are done.
                        RowChange::Update { .. } | RowChange::Insert { .. } => has_more = true,
                    }
                }
                Some(Ok(Operation::EndTable(counts))) => break counts,
                Some(Err(error)) => return Err(error),
                _ => return Err(unfinished(table)),
            }
        };
        drop(writer);
        let name_before = match &table.edit {
            TableEdit::Rebuild { old_name, .. } => old_name,
            _ => &table.name,
        };
        // Unknown rows are reported only if none of the known ones tells more.
        let unknown_rows =
            self.check_count(name_before, "before applying", counts.before, removed).err();
        match &table.edit {
            TableEdit::AddColumns { statements, .. } => {
                for statement in statements {
                    self.execute(statement, &table.name)?;
                }
            }
            TableEdit::Rebuild { .. } => self.rebuild(table)?,
            _ => {}
        }
        if has_more {
            self.second_pass(diff.operations_from(start, Some(Box::new(table.clone()))), table)?;
        }
        if let Some(error) = unknown_rows {
            return Err(error);
        }
        self.check_count(&table.name, "after applying", counts.after, 0)
    }

    /// What must wait until all that goes is gone.
    fn second_pass(&mut self, operations: Operations<'_>, table: &TableChange) -> Result<()> {
        let mut writer = TableWriter::after(self.conn, self.encoding, table);
        let in_place = !matches!(table.edit, TableEdit::Rows);
        for operation in operations {
            match operation? {
                Operation::Row(RowChange::Insert { rowid, values }) => {
                    writer.insert(rowid, &values)?;
                    self.applied.inserted += 1;
                }
                Operation::Row(RowChange::Update { key, replacement: Some(values), .. }) => {
                    writer.insert(key.rowid(), &values)?;
                    self.applied.updated += 1;
                }
                Operation::Row(RowChange::Update { key, changes, replacement: None })
                    if in_place =>
                {
                    writer.update(&key, &changes)?;
                    self.applied.updated += 1;
                }
                Operation::Row(_) => continue,
                _ => break,
            }
            self.meter.add(1, 0)?;
        }
        Ok(())
    }

    fn drop_table(
        &mut self,
        table: &TableChange,
        sql: &str,
        operations: &mut Operations<'_>,
    ) -> Result<()> {
        self.require_sql("table", &table.name, sql)?;
        match operations.next() {
            Some(Ok(Operation::EndTable(counts))) => {
                self.check_count(&table.name, "before applying", counts.before, 0)?;
            }
            Some(Err(error)) => return Err(error),
            _ => return Err(unfinished(table)),
        }
        self.execute(&format!("DROP TABLE main.{}", quoted(&table.name)), &table.name)
    }

    fn rebuild(&mut self, table: &TableChange) -> Result<()> {
        let TableEdit::Rebuild { parked_name, sql, sources, .. } = &table.edit else {
            return Ok(());
        };
        self.execute(&rename_away_sql(table), &table.name)?;
        self.execute(sql, &table.name)?;
        let mut copy = crate::sqlite::Stmt::prepare(
            self.conn,
            self.encoding,
            &rebuild_sql(table),
            format!("carrying over the rows of {}", table.name),
        )?;
        copy.bind_all(1, crate::rows::fills(sources))?;
        copy.run()?;
        drop(copy);
        self.execute(&format!("DROP TABLE main.{}", quoted(parked_name)), &table.name)
    }

    /// A temporary table of the same name would be changed in place of the real one.
    fn require_not_hidden(&self, name: &str) -> Result<()> {
        let sql = "SELECT count(*) FROM temp.sqlite_schema WHERE lower(name) = lower(?1)";
        match self.conn.query_row(sql, [name], |row| row.get::<_, i64>(0)) {
            Ok(0) => Ok(()),
            Ok(_) => Err(schema_conflict(name, "a temporary table hides it".to_owned())),
            Err(error) => Err(Error::from_rusqlite("reading the schema", &error)),
        }
    }

    /// The table has the first `count` of the change's columns, and no others that hold data.
    fn require_columns(&self, table: &TableChange, count: usize) -> Result<()> {
        let expected: Vec<&str> =
            table.columns.iter().take(count).map(|column| column.name.as_str()).collect();
        let sql = format!("PRAGMA main.table_xinfo({})", quoted(&table.name));
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut stmt = self.conn.prepare(&sql)?;
            let rows = stmt.query_map([], |row| Ok((row.get(1)?, row.get::<_, i64>(6)?)))?;
            let rows: Vec<(String, i64)> = rows.collect::<rusqlite::Result<_>>()?;
            Ok(rows.into_iter().filter(|(_, hidden)| *hidden == 0).map(|(name, _)| name).collect())
        };
        let found = read().map_err(|error| Error::from_rusqlite("reading the schema", &error))?;
        if found.is_empty() {
            return Err(schema_conflict(&table.name, "it is not there".to_owned()));
        }
        let same = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(found, expected)| same_name(found, expected));
        if same {
            return Ok(());
        }
        let detail =
            format!("it has the columns {}, expected {}", found.join(", "), expected.join(", "));
        Err(schema_conflict(&table.name, detail))
    }

    fn check_count(
        &self,
        table: &str,
        when: &'static str,
        expected: Option<u64>,
        removed: u64,
    ) -> Result<()> {
        let Some(expected) = expected.filter(|_| self.options.counts) else { return Ok(()) };
        let sql = format!("SELECT count(*) FROM main.{}", quoted(table));
        let count: i64 = self.conn.query_row(&sql, [], |row| row.get(0)).map_err(|error| {
            Error::from_rusqlite(format!("counting the rows of {table}"), &error)
        })?;
        let found = count.cast_unsigned() + removed;
        if found == expected {
            return Ok(());
        }
        Err(Error::RowCount { table: table.to_owned(), when, expected, found })
    }

    fn sequence(&self, change: &SequenceChange) -> Result<()> {
        let write = || -> rusqlite::Result<()> {
            let has_sequences = self.conn.query_row(
                "SELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_sequence'",
                [],
                |row| row.get::<_, i64>(0),
            )? > 0;
            if has_sequences || change.new.is_some() {
                let sql = "DELETE FROM main.sqlite_sequence WHERE lower(name) = lower(?1)";
                self.conn.execute(sql, [&change.table])?;
            }
            if let Some(value) = &change.new {
                let sql = "INSERT INTO main.sqlite_sequence(name, seq) VALUES (?1, ?2)";
                self.conn.execute(sql, (&change.table, value))?;
            }
            Ok(())
        };
        write().map_err(|error| {
            Error::from_rusqlite(format!("setting the next key of {}", change.table), &error)
        })
    }

    fn setting(&self, change: SettingChange) -> Result<()> {
        let name = change.setting.pragma();
        let found = read_setting(self.conn, change.setting)?;
        if found != change.old {
            return Err(Error::Conflict(Box::new(Conflict {
                kind: ConflictKind::Changed,
                table: name.to_owned(),
                key: None,
                column: Some("value".to_owned()),
                expected: Some(Value::Integer(change.old.into())),
                found: Some(Value::Integer(found.into())),
                detail: String::new(),
            })));
        }
        self.execute(&format!("PRAGMA main.{name} = {}", change.new), name)
    }

    fn foreign_keys(&self, state: &ForeignKeyState) -> Result<()> {
        if !self.options.foreign_keys {
            return Ok(());
        }
        let (found, table) = count_all_dangling(self.conn, state)?;
        let expected = state.dangling;
        if found <= expected + self.dangling_before {
            return Ok(());
        }
        Err(Error::ForeignKeys { table, expected, found })
    }
}

/// How many references of the tables lead nowhere, and the first table with one.
fn count_all_dangling(conn: &Connection, state: &ForeignKeyState) -> Result<(u64, String)> {
    let (mut total, mut first) = (0, String::new());
    for table in &state.tables {
        let count = count_dangling(conn, table)?;
        if count > 0 && total == 0 {
            first.clone_from(table);
        }
        total += count;
    }
    Ok((total, first))
}

fn schema_conflict(name: &str, detail: String) -> Error {
    Error::Conflict(Box::new(Conflict {
        kind: ConflictKind::Schema,
        table: name.to_owned(),
        key: None,
        column: None,
        expected: None,
        found: None,
        detail,
    }))
}

fn unfinished(table: &TableChange) -> Error {
    Error::Format {
        subject: "diff".to_owned(),
        offset: 0,
        what: format!("the section of table {} does not end", table.name),
    }
}

/// Whether an error is that a key is already there, or else that some constraint forbids a change.
pub(crate) fn constraint_kind(code: i32) -> Option<ConflictKind> {
    match code {
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            Some(ConflictKind::Exists)
        }
        code if code & 0xff == ffi::SQLITE_CONSTRAINT => Some(ConflictKind::Constraint),
        _ => None,
    }
}
