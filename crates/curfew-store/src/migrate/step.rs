//! The single steps of migrations: what is missing, found by looking, and how it is mended.

use std::fmt;

use curfew_engine::DeleteReason;
use rusqlite::{Connection, OptionalExtension as _};

use super::tables::{EMAIL_SCHEDULES, EVENT_INDEX, EVENT_KEY, HAS_EVENT_KEY, TableSpec};
use crate::{
    cell::integer,
    create_table::without_constraints,
    history::{Chain, Entry, Happening, old_values},
    schema::{Affinity, Index, Table, indexes, literal, quote},
    writer::written_columns,
};

/// Something that a migration does, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the messages name")]
pub enum Step {
    /// A table is made.
    CreateTable { table: String },
    /// A column is added, empty or with its default.
    AddColumn { table: String, column: String },
    /// A table is copied into one without some of its constraints; everything else stays.
    DropConstraints { table: String, unique: bool, not_null: Vec<String> },
    /// A unique index goes because it would forbid legitimate rows, or one of ours that is not as
    /// it should be.
    DropIndex { index: String },
    /// An index is made.
    CreateIndex { table: String, index: String },
    /// A trigger is made.
    CreateTrigger { table: String, trigger: String },
    /// Owned rows of the same event are removed but for one; they go to the history.
    DeleteDuplicates { rows: u64 },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTable { table } => write!(f, "made table {table}"),
            Self::AddColumn { table, column } => write!(f, "added column {table}.{column}"),
            Self::DropConstraints { table, .. } => {
                write!(f, "rebuilt table {table} without constraints that forbid legitimate rows")
            }
            Self::DropIndex { index } => write!(f, "dropped index {index}"),
            Self::CreateIndex { table, index } => write!(f, "made index {index} on {table}"),
            Self::CreateTrigger { table, trigger } => {
                write!(f, "made trigger {trigger} on {table}")
            }
            Self::DeleteDuplicates { rows } => {
                write!(f, "deleted {rows} planned rows of which another is kept")
            }
        }
    }
}

/// Why a step cannot be taken.
#[derive(Debug)]
pub(crate) enum Obstacle {
    Sqlite(rusqlite::Error),
    /// The table has a shape that cannot be mended.
    Unsupported {
        table: String,
        reason: String,
    },
    /// Only in tests: the program ended here.
    #[cfg(test)]
    Killed,
}

impl From<rusqlite::Error> for Obstacle {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

type Found = Result<Vec<Todo>, Obstacle>;

/// A step with what is needed to take it.
#[derive(Debug)]
pub(super) struct Todo {
    pub(super) step: Step,
    sql: String,
}

impl Todo {
    fn new(step: Step, sql: impl Into<String>) -> Self {
        Self { step, sql: sql.into() }
    }

    /// Takes the step. `run_id` and `now` are for the history.
    pub(super) fn take(
        self,
        db: &Connection,
        run_id: &str,
        now: &str,
    ) -> Result<Option<Step>, Obstacle> {
        match self.step {
            Step::DropConstraints { ref table, unique, ref not_null } => {
                rebuild(db, table, unique, not_null)?;
            }
            Step::DeleteDuplicates { .. } => {
                let rows = delete_duplicates(db, run_id, now)?;
                return Ok((rows > 0).then_some(Step::DeleteDuplicates { rows }));
            }
            _ => db.execute_batch(&self.sql)?,
        }
        Ok(Some(self.step))
    }
}

/// What is missing of a table: the table, columns, freedom to insert.
pub(super) fn table(db: &Connection, spec: &TableSpec) -> Found {
    let Some(found) = Table::read(db, spec.name)? else {
        let step = Step::CreateTable { table: spec.name.to_owned() };
        return Ok(vec![Todo::new(step, spec.create_sql())]);
    };
    let unsupported =
        |reason: String| Err(Obstacle::Unsupported { table: found.name.clone(), reason });
    if found.sort != "table" {
        return unsupported(format!("it is a {} instead of a table", found.sort));
    }
    let mut todos = Vec::new();
    for (column, declared) in spec.columns {
        let is_rowid = declared.starts_with("INTEGER PRIMARY KEY");
        match found.column(column) {
            Some(_) if is_rowid && spec.is_filled => {
                let key = found.rowid_column();
                if !key.is_some_and(|key| key.name.eq_ignore_ascii_case(column)) {
                    return unsupported(format!("its column {column} is no INTEGER PRIMARY KEY"));
                }
            }
            // What is written would come back as a value of another type.
            Some(own)
                if spec.is_filled
                    && declared.starts_with("INTEGER")
                    && matches!(own.affinity(), Affinity::Text | Affinity::Real) =>
            {
                return unsupported(format!(
                    "its column {column} is declared as {}; it must hold whole numbers",
                    own.declared
                ));
            }
            Some(_) => {}
            // Of tables that others fill only the rows are read, in any order.
            None if is_rowid && !spec.is_filled => {}
            None if is_rowid => return unsupported(format!("it has no column {column}")),
            None => {
                let (table, column) = (found.name.clone(), (*column).to_owned());
                let sql = format!(
                    "ALTER TABLE main.{} ADD COLUMN {column} {}",
                    quote(&table),
                    TableSpec::added(declared)
                );
                todos.push(Todo::new(Step::AddColumn { table, column }, sql));
            }
        }
    }
    let not_null = demanding_columns(&found, spec);
    if spec.is_filled && !not_null.is_empty() {
        let table = found.name;
        let step = Step::DropConstraints { table, unique: false, not_null };
        todos.push(Todo::new(step, ""));
    }
    Ok(todos)
}

/// The columns that demand values which this program does not always have.
fn demanding_columns(found: &Table, spec: &TableSpec) -> Vec<String> {
    let may_be_null = |name: &str| {
        let (own, declared) =
            spec.columns.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        let given = declared.contains("NOT NULL") || declared.contains("KEY");
        Some(!given && !spec.always_given.contains(own))
    };
    let demanding = found.columns.iter().filter(|column| {
        column.not_null
            && column.key_place == 0
            && !column.is_generated
            // Not ours: it must have a default. Ours: NULL is written as a value.
            && may_be_null(&column.name).unwrap_or(column.default.is_none())
    });
    demanding.map(|column| column.name.clone()).collect()
}

/// What is missing of the indexes through which a table is read: one that begins with these columns.
pub(super) fn index(db: &Connection, table: &str, name: &str, columns: &[&str]) -> Found {
    let found = indexes(db, table)?;
    if found.iter().any(|index| index.leads_with(columns)) {
        return Ok(Vec::new());
    }
    exact_index(
        db,
        table,
        name,
        &format!("CREATE INDEX {name} ON {table} ({})", columns.join(", ")),
    )
}

/// What is missing of an index that must be exactly as this statement makes it.
pub(super) fn exact_index(db: &Connection, table: &str, name: &str, sql: &str) -> Found {
    let existing: Option<String> = db
        .query_row("SELECT sql FROM main.sqlite_schema WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    let mut todos = Vec::new();
    if let Some(existing) = existing {
        if existing == sql {
            return Ok(todos);
        }
        todos.push(drop_index(name));
    }
    let step = Step::CreateIndex { table: table.to_owned(), index: name.to_owned() };
    todos.push(Todo::new(step, sql));
    Ok(todos)
}

fn drop_index(name: &str) -> Todo {
    let step = Step::DropIndex { index: name.to_owned() };
    Todo::new(step, format!("DROP INDEX main.{}", quote(name)))
}

/// What is missing of a trigger that refuses a kind of statement.
pub(super) fn guard(db: &Connection, table: &str, trigger: &str, statement: &str) -> Found {
    let reason = literal(&format!("{table} is append-only"));
    let sql = format!(
        "CREATE TRIGGER {trigger} BEFORE {statement} ON {table} \
         BEGIN SELECT RAISE(ABORT, {reason}); END"
    );
    let existing: Option<String> = db
        .query_row("SELECT sql FROM main.sqlite_schema WHERE name = ?1", [trigger], |row| {
            row.get(0)
        })
        .optional()?;
    if existing.as_ref() == Some(&sql) {
        return Ok(Vec::new());
    }
    let drop = existing.map_or_else(String::new, |_| format!("DROP TRIGGER main.{trigger};"));
    let step = Step::CreateTrigger { table: table.to_owned(), trigger: trigger.to_owned() };
    Ok(vec![Todo::new(step, format!("{drop}{sql}"))])
}

/// The unique indexes and constraints of `email_schedules` that would forbid legitimate rows.
pub(super) fn unique_constraints(db: &Connection) -> Found {
    let Some(table) = Table::read(db, EMAIL_SCHEDULES.name)? else { return Ok(Vec::new()) };
    let mut todos = Vec::new();
    let mut in_table = false;
    for index in indexes(db, EMAIL_SCHEDULES.name)? {
        if !forbids_rows(&index, &table) {
            continue;
        }
        if index.origin == "c" {
            todos.push(drop_index(&index.name));
        } else {
            in_table = true;
        }
    }
    if in_table {
        let step = Step::DropConstraints { table: table.name, unique: true, not_null: Vec::new() };
        todos.push(Todo::new(step, ""));
    }
    Ok(todos)
}

/// Whether a unique index could refuse a row that the specification wants.
fn forbids_rows(index: &Index, table: &Table) -> bool {
    index.is_unique
        && index.origin != "pk"
        && index.name != EVENT_INDEX
        && index.columns.iter().all(|column| match column {
            None => true,
            Some(name) => !is_always_distinct(name, table),
        })
}

/// Whether no two rows of the plan can be equal in this column: it is the id, or it stays NULL, and
/// NULLs are distinct.
fn is_always_distinct(column: &str, table: &Table) -> bool {
    if table.rowid_column().is_some_and(|id| id.name.eq_ignore_ascii_case(column)) {
        return true;
    }
    let Some(found) = table.column(column) else { return false };
    let default_is_null =
        found.default.as_ref().is_none_or(|text| text.eq_ignore_ascii_case("NULL"));
    !written_columns().any(|name| name.eq_ignore_ascii_case(column))
        && default_is_null
        && !found.is_generated
}

/// One owned row per event: the unique index, and before it is made, the removal of what it forbids.
pub(super) fn event_index(db: &Connection) -> Found {
    let table = EMAIL_SCHEDULES.name;
    let sql =
        format!("CREATE UNIQUE INDEX {EVENT_INDEX} ON {table} ({EVENT_KEY}) WHERE {HAS_EVENT_KEY}");
    let mut todos = exact_index(db, table, EVENT_INDEX, &sql)?;
    if let Some(create) = todos.pop() {
        todos.push(Todo::new(Step::DeleteDuplicates { rows: 0 }, ""));
        todos.push(create);
    }
    Ok(todos)
}

/// Deletes all owned rows of an event but one: `pre-scheduled` is kept before `skipped`, then the
/// lowest id (SPEC section 9).
fn delete_duplicates(db: &Connection, run_id: &str, now: &str) -> rusqlite::Result<u64> {
    let partition = EVENT_KEY;
    let mut duplicates = db.prepare(&format!(
        "SELECT id FROM (
           SELECT id, row_number() OVER (
             PARTITION BY {partition} ORDER BY status = 'skipped', id) AS place
           FROM main.email_schedules
           WHERE {HAS_EVENT_KEY} AND contact_id IS NOT NULL AND email_type IS NOT NULL)
         WHERE place > 1 ORDER BY id"
    ))?;
    let ids: Vec<i64> =
        duplicates.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if ids.is_empty() {
        return Ok(0);
    }
    let mut former = db.prepare("SELECT *, contact_id FROM main.email_schedules WHERE id = ?1")?;
    let mut columns: Vec<String> = former.column_names().iter().map(ToString::to_string).collect();
    columns.pop();
    let mut delete = db.prepare("DELETE FROM main.email_schedules WHERE id = ?1")?;
    let mut insert = Chain::prepare(db)?;
    let mut chain = Chain::at_end(db)?;
    let why = DeleteReason::Duplicate.to_string();
    for id in &ids {
        let (values, contact_id) = former.query_row([id], |row| {
            Ok((old_values(row, &columns)?, integer(row, columns.len())?))
        })?;
        let entry = Entry {
            run_id,
            schedule_id: *id,
            contact_id,
            what: Happening::Deleted,
            why: &why,
            old_values: &values,
            recorded_at: now,
        };
        chain.append(&mut insert, &entry)?;
        delete.execute([id])?;
    }
    Ok(ids.len() as u64)
}

/// Copies a table into one without the constraints, which then takes its place. Foreign keys are
/// not enforced on our connections; otherwise dropping the old table would delete what refers to it.
fn rebuild(db: &Connection, name: &str, unique: bool, not_null: &[String]) -> Result<(), Obstacle> {
    let unsupported =
        |reason: &str| Obstacle::Unsupported { table: name.to_owned(), reason: reason.to_owned() };
    let Some(old) = Table::read(db, name)? else { return Err(unsupported("it is gone")) };
    let new_name = format!("curfew_new_{}", old.name);
    let goes = |columns: &[String]| {
        unique && columns.iter().all(|column| !is_always_distinct(column, &old))
    };
    let create = without_constraints(&old.sql, &new_name, goes, |column| {
        not_null.iter().any(|name| name.eq_ignore_ascii_case(column))
    })
    .ok_or_else(|| unsupported("the text of its definition is not understood"))?;

    let mut dependents = db.prepare(
        "SELECT sql FROM main.sqlite_schema
         WHERE tbl_name = ?1 COLLATE NOCASE AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid",
    )?;
    let dependents: Vec<String> =
        dependents.query_map([&old.name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let sequence = sequence_of(db, &old.name)?;
    let stored: Vec<String> = old
        .columns
        .iter()
        .filter(|column| !column.is_generated)
        .map(|column| quote(&column.name))
        .collect();
    let (stored, old_name) = (stored.join(", "), quote(&old.name));
    let quoted_new = quote(&new_name);

    db.execute_batch(&create)?;
    let order = old.rowid_name().map_or_else(String::new, |rowid| format!(" ORDER BY {rowid}"));
    db.execute_batch(&format!(
        "INSERT INTO main.{quoted_new} ({stored}) SELECT {stored} FROM main.{old_name}{order}"
    ))?;
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM main.{table}");
        db.query_row(&sql, [], |row| row.get::<_, i64>(0))
    };
    if count(&quoted_new)? != count(&old_name)? {
        return Err(unsupported("copying it loses rows"));
    }
    // Otherwise renaming would look into views and triggers that name the table.
    db.pragma_update(None, "legacy_alter_table", true)?;
    let renamed = db.execute_batch(&format!(
        "DROP TABLE main.{old_name}; ALTER TABLE main.{quoted_new} RENAME TO {old_name}"
    ));
    db.pragma_update(None, "legacy_alter_table", false)?;
    renamed?;
    if let Some(sequence) = sequence {
        db.execute("DELETE FROM main.sqlite_sequence WHERE name = ?1", [&old.name])?;
        db.execute(
            "INSERT INTO main.sqlite_sequence (name, seq) VALUES (?1, ?2)",
            (&old.name, sequence),
        )?;
    }
    for sql in dependents {
        db.execute_batch(&sql)?;
    }

    // The text was edited by us: what came of it is compared with what it was.
    let expected: Vec<_> = old
        .columns
        .iter()
        .cloned()
        .map(|mut column| {
            column.not_null &= !not_null.contains(&column.name);
            column
        })
        .collect();
    match Table::read(db, name)? {
        Some(new) if new.columns == expected && new.rowid_column() == old.rowid_column() => Ok(()),
        _ => Err(unsupported("it cannot be rebuilt without its constraints")),
    }
}

/// The highest id that an AUTOINCREMENT table has ever given.
fn sequence_of(db: &Connection, table: &str) -> rusqlite::Result<Option<i64>> {
    let exists =
        db.prepare("SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")?.exists([])?;
    if !exists {
        return Ok(None);
    }
    db.query_row("SELECT seq FROM main.sqlite_sequence WHERE name = ?1", [table], |row| row.get(0))
        .optional()
}
