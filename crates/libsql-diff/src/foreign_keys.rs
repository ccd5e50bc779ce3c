//! Which references to nothing a diff brings.
//!
//! Rows are watched one by one as they are found to differ, by looking their partners up in the
//! target: checking whole tables would cost more than comparing them. Only where a lookup has no
//! index, or a definition changed, a table is checked as a whole.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::operation::{ForeignKeyState, TableEdit};
use crate::plan::Section;
use crate::rows::Row;
use crate::schema::{ForeignKey, Schema, Table};
use crate::sqlite::Stmt;
use crate::sqltext::{quoted, same_name};

pub(crate) struct Watch<'c> {
    conn: &'c Connection,
    schema: &'c Schema,
    tables: BTreeMap<String, TableWatch<'c>>,
    concerned: BTreeSet<String>,
    whole: BTreeSet<String>,
    dangling: u64,
}

#[derive(Default)]
struct TableWatch<'c> {
    /// What this table refers to.
    parents: Vec<Reference<'c>>,
    /// What refers to this table.
    children: Vec<Dependent<'c>>,
}

struct Reference<'c> {
    /// The referring columns, as the section numbers them, and how to find what they refer to;
    /// None if it cannot be said.
    lookup: Option<(Vec<usize>, Stmt<'c>)>,
}

struct Dependent<'c> {
    child: String,
    /// The columns referred to, as the section numbers them; None if it cannot be said.
    lookups: Option<DependentLookups<'c>>,
}

struct DependentLookups<'c> {
    columns: Vec<usize>,
    itself: Stmt<'c>,
    children: Stmt<'c>,
}

impl<'c> Watch<'c> {
    /// `conn` and `schema` are the target's.
    pub(crate) fn new(conn: &'c Connection, schema: &'c Schema) -> Self {
        Self {
            conn,
            schema,
            tables: BTreeMap::new(),
            concerned: BTreeSet::new(),
            whole: BTreeSet::new(),
            dangling: 0,
        }
    }

    /// A section is about to be compared or announced.
    pub(crate) fn section(&mut self, section: &Section<'c>) -> Result<()> {
        let name = &section.change.name;
        match &section.change.edit {
            TableEdit::Rows | TableEdit::Refill => {}
            TableEdit::Create { .. } => self.check_children_whole(name),
            TableEdit::Drop { .. } => {
                self.check_children_whole(name);
                return Ok(());
            }
            TableEdit::Rebuild { old_name, .. } => {
                self.check_children_whole(old_name);
                self.check_children_whole(name);
                self.check_whole(name);
            }
            TableEdit::AddColumns { .. } => self.check_whole(name),
        }
        let Some(table) = section.b else { return Ok(()) };
        let watch = self.watch_table(table)?;
        self.tables.insert(name.clone(), watch);
        Ok(())
    }

    fn check_whole(&mut self, table: &str) {
        if self.schema.table(table).is_some_and(|table| !table.foreign_keys.is_empty()) {
            self.whole.insert(table.to_owned());
        }
    }

    fn check_children_whole(&mut self, parent: &str) {
        let refers = |key: &ForeignKey| same_name(&key.parent, parent);
        let children = self.schema.tables.iter().filter(|t| t.foreign_keys.iter().any(refers));
        self.whole.extend(children.map(|child| child.name.clone()));
    }

    fn watch_table(&mut self, table: &'c Table) -> Result<TableWatch<'c>> {
        let mut watch = TableWatch::default();
        for key in &table.foreign_keys {
            let lookup = match (positions(table, &key.from), self.parent_columns(key)) {
                (Some(columns), Some(names)) if columns.len() == names.len() => {
                    self.exists(&key.parent, &names)?.map(|parent| (columns, parent))
                }
                _ => None,
            };
            watch.parents.push(Reference { lookup });
        }
        for child in &self.schema.tables {
            for key in child.foreign_keys.iter().filter(|k| same_name(&k.parent, &table.name)) {
                let lookups = self.dependent_lookups(table, child, key)?;
                watch.children.push(Dependent { child: child.name.clone(), lookups });
            }
        }
        Ok(watch)
    }

    fn dependent_lookups(
        &self,
        table: &Table,
        child: &Table,
        key: &ForeignKey,
    ) -> Result<Option<DependentLookups<'c>>> {
        let Some(names) = self.parent_columns(key) else { return Ok(None) };
        let indexes: Option<Vec<usize>> = names
            .iter()
            .map(|name| table.columns.iter().position(|column| same_name(&column.name, name)))
            .collect();
        let Some(columns) = indexes.and_then(|indexes| positions(table, &indexes)) else {
            return Ok(None);
        };
        let is_indexed = child.rowid_column.is_some_and(|column| key.from == [column])
            || child.indexes.iter().any(|index| index.starts_with(&key.from));
        if columns.len() != key.from.len() || !is_indexed {
            return Ok(None);
        }
        let Some(itself) = self.exists(&table.name, &names)? else { return Ok(None) };
        let conditions: Vec<String> = key
            .from
            .iter()
            .map(|&column| format!("{} = ?", quoted(&child.columns[column].name)))
            .collect();
        let sql = format!(
            "SELECT count(*) FROM main.{} WHERE {}",
            quoted(&child.name),
            conditions.join(" AND ")
        );
        let doing = "looking for rows that refer to another";
        let children = Stmt::prepare(self.conn, self.schema.encoding, &sql, doing)?;
        Ok(Some(DependentLookups { columns, itself, children }))
    }

    fn parent_columns(&self, key: &ForeignKey) -> Option<Vec<String>> {
        let parent = self.schema.table(&key.parent)?;
        let names = key.to.clone().unwrap_or_else(|| {
            let parts = parent.primary_key.iter();
            parts.map(|part| parent.columns[part.column].name.clone()).collect()
        });
        let all_known = names
            .iter()
            .all(|name| parent.columns.iter().any(|column| same_name(&column.name, name)));
        (all_known && !names.is_empty()).then_some(names)
    }

    fn exists(&self, table: &str, columns: &[String]) -> Result<Option<Stmt<'c>>> {
        if self.schema.table(table).is_none_or(Table::is_virtual) {
            return Ok(None);
        }
        let conditions: Vec<String> =
            columns.iter().map(|name| format!("{} = ?", quoted(name))).collect();
        let sql =
            format!("SELECT 1 FROM main.{} WHERE {}", quoted(table), conditions.join(" AND "));
        let doing = "looking for the row that another refers to";
        Stmt::prepare(self.conn, self.schema.encoding, &sql, doing).map(Some)
    }

    /// A row differs; `before` and `after` are its two sides.
    pub(crate) fn row(
        &mut self,
        section: &Section<'_>,
        before: Option<&dyn Row>,
        after: Option<&dyn Row>,
    ) -> Result<()> {
        let Some(watch) = self.tables.get_mut(&section.change.name) else { return Ok(()) };
        let is_changed = |columns: &[usize]| match (before, after) {
            (Some(before), Some(after)) => {
                columns.iter().any(|&column| before.value(column) != after.value(column))
            }
            _ => true,
        };
        if let Some(after) = after {
            for reference in &mut watch.parents {
                let Some((columns, parent)) = &mut reference.lookup else {
                    self.whole.insert(section.change.name.clone());
                    continue;
                };
                if !is_changed(columns) {
                    continue;
                }
                self.concerned.insert(section.change.name.clone());
                if !find(parent, after, columns)? {
                    self.dangling += 1;
                }
            }
        }
        if let Some(before) = before {
            for dependent in &mut watch.children {
                let Some(lookups) = &mut dependent.lookups else {
                    self.whole.insert(dependent.child.clone());
                    continue;
                };
                if !is_changed(&lookups.columns) {
                    continue;
                }
                self.concerned.insert(dependent.child.clone());
                if !find(&mut lookups.itself, before, &lookups.columns)?
                    && find(&mut lookups.children, before, &lookups.columns)?
                {
                    self.dangling += lookups.children.integer(0).cast_unsigned();
                }
            }
        }
        Ok(())
    }

    /// What to record, if any foreign key can be touched.
    pub(crate) fn finish(mut self) -> Result<Option<ForeignKeyState>> {
        self.tables.clear();
        for table in &self.whole {
            self.dangling += count_dangling(self.conn, table)?;
        }
        self.concerned.append(&mut self.whole);
        if self.concerned.is_empty() {
            return Ok(None);
        }
        let tables = self.concerned.into_iter().collect();
        Ok(Some(ForeignKeyState { tables, dangling: self.dangling }))
    }
}

/// Stands on the row found by the values of `columns`; a NULL among them refers to nothing, which
/// is allowed and counts as found.
fn find(stmt: &mut Stmt<'_>, row: &dyn Row, columns: &[usize]) -> Result<bool> {
    stmt.reset();
    if !stmt.can_hold(columns.iter().map(|&column| row.value(column))) {
        return Ok(false);
    }
    for (index, &column) in columns.iter().enumerate() {
        let value = row.value(column);
        if value.is_null() {
            return Ok(true);
        }
        stmt.bind(index + 1, value)?;
    }
    stmt.step()
}

fn positions(table: &Table, columns: &[usize]) -> Option<Vec<usize>> {
    let data: Vec<usize> = table.data_columns().collect();
    columns.iter().map(|column| data.iter().position(|data| data == column)).collect()
}

/// How many of a table's references lead nowhere. A foreign key that SQLite calls mismatched
/// holds for no row, on either side of a diff, and counts nothing.
pub(crate) fn count_dangling(conn: &Connection, table: &str) -> Result<u64> {
    let sql = format!("PRAGMA main.foreign_key_check({})", quoted(table));
    let count = || -> rusqlite::Result<u64> {
        let mut stmt = conn.prepare(&sql)?;
        let mut rows = stmt.query([])?;
        let mut count = 0;
        while rows.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    };
    match count() {
        Ok(count) => Ok(count),
        Err(error) if error.to_string().contains("foreign key mismatch") => Ok(0),
        Err(error) => {
            Err(Error::from_rusqlite(format!("checking the foreign keys of {table}"), &error))
        }
    }
}
