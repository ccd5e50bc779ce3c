//! From two schemas to the list of tables to compare, and how.

use std::collections::HashSet;

use rusqlite::Connection;

use crate::diff::{Options, Rowids};
use crate::error::{Error, Result};
use crate::operation::{
    ColumnInfo, ColumnSource, Identity, KeyColumn, ObjectKind, SchemaObject, TableChange, TableEdit,
};
use crate::schema::{Schema, Table, TableKind};
use crate::sqlite::{Encoding, Stmt};
use crate::sqltext::{has_word, quoted, same_name, split_at_commas, tokens};
use crate::value::Value;

pub(crate) struct Plan<'s> {
    pub drops: Vec<SchemaObject>,
    pub sections: Vec<Section<'s>>,
    pub creates: Vec<SchemaObject>,
}

/// One table's work.
pub(crate) struct Section<'s> {
    /// The table before; None if it comes.
    pub a: Option<&'s Table>,
    /// The table after; None if it goes.
    pub b: Option<&'s Table>,
    pub change: TableChange,
    /// What each of the change's columns is in `a`.
    pub sources: Vec<ColumnSource>,
    /// Whether records of the two tables mean the same, byte for byte.
    pub same_record_format: bool,
    pub order: Order,
    /// Whether the numbers of rows are known to hold for anyone who applies the diff.
    pub counted: bool,
}

/// The order in which both tables are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Rowid,
    Key,
    /// Any: each row is looked up in the other table.
    None,
}

const KNOWN_COLLATIONS: [&str; 3] = ["BINARY", "NOCASE", "RTRIM"];

pub(crate) fn is_known_collation(name: &str) -> bool {
    KNOWN_COLLATIONS.iter().any(|known| same_name(known, name))
}

pub(crate) fn plan<'s>(a: &'s Schema, b: &'s Schema, options: &Options) -> Result<Plan<'s>> {
    let mut gone = Vec::new();
    let mut sections = Vec::new();
    // Tables whose indexes and triggers go with them.
    let mut replaced: HashSet<String> = HashSet::new();
    let renamed = renamed_tables(a, b);
    for table in &a.tables {
        if b.table(&table.name).is_none() {
            replaced.insert(table.name.to_ascii_lowercase());
            let is_renamed = renamed.iter().any(|(from, _)| std::ptr::eq(*from, table));
            if !is_renamed && table.owner.is_none() {
                gone.push(dropped(table));
            }
        }
    }
    let mut recreated_owners: HashSet<String> = HashSet::new();
    let mut later = Vec::new();
    // Virtual tables first, as what becomes of a shadow table depends on its owner.
    let (virtual_tables, ordinary): (Vec<_>, Vec<_>) =
        b.tables.iter().partition(|table| table.is_virtual());
    for new in virtual_tables {
        let old = a.table(&new.name);
        if let Some(old) = old
            && old.sql == new.sql
            && old.kind == new.kind
        {
            if new.has_rows() {
                later.push(compared(a, b, old, new, options)?);
            }
            continue;
        }
        if let Some(old) = old {
            replaced.insert(old.name.to_ascii_lowercase());
            gone.push(dropped(old));
        }
        recreated_owners.insert(new.name.to_ascii_lowercase());
        later.push(created(b, new, options)?);
    }
    let mut shadows = Vec::new();
    for new in ordinary {
        let old = a.table(&new.name);
        if let Some(owner) = &new.owner {
            let owner_is_new = recreated_owners.contains(&owner.to_ascii_lowercase());
            shadows.push(shadow(a, b, old.filter(|_| !owner_is_new), new, options)?);
            continue;
        }
        let from = renamed.iter().find(|(_, to)| std::ptr::eq(*to, new)).map(|(from, _)| *from);
        let Some(old) = old.or(from) else {
            sections.push(created(b, new, options)?);
            continue;
        };
        if old.is_virtual() || old.owner.is_some() {
            if old.owner.is_none() {
                gone.push(dropped(old));
            }
            replaced.insert(old.name.to_ascii_lowercase());
            sections.push(created(b, new, options)?);
            continue;
        }
        if old.sql == new.sql {
            sections.push(compared(a, b, old, new, options)?);
        } else if let Some(section) = columns_added(a, b, old, new, options)? {
            sections.push(section);
        } else {
            replaced.insert(old.name.to_ascii_lowercase());
            replaced.insert(new.name.to_ascii_lowercase());
            if let Some(section) = rebuilt(a, b, old, new, options)? {
                sections.push(section);
            } else {
                gone.push(dropped(old));
                sections.push(created(b, new, options)?);
            }
        }
    }
    sections.append(&mut later);
    sections.append(&mut shadows);
    gone.append(&mut sections);
    let mut sections = gone;

    let is_kept = |object: &SchemaObject, other: &Schema| {
        !replaced.contains(&object.table.to_ascii_lowercase()) && other.objects.contains(object)
    };
    let mut drops: Vec<SchemaObject> =
        a.objects.iter().filter(|object| !is_kept(object, b)).cloned().collect();
    // A trigger goes before the view that it is on.
    drops.sort_by_key(|object| match object.kind {
        ObjectKind::Trigger => 0,
        ObjectKind::View => 1,
        ObjectKind::Index => 2,
    });
    let mut creates: Vec<SchemaObject> =
        b.objects.iter().filter(|object| !is_kept(object, a)).cloned().collect();
    creates.sort_by_key(|object| object.kind);
    for section in &mut sections {
        section.change.triggers = b
            .objects
            .iter()
            .filter(|object| object.kind == ObjectKind::Trigger)
            .filter(|object| same_name(&object.table, &section.change.name))
            .filter(|object| is_kept(object, a))
            .cloned()
            .collect();
    }
    Ok(Plan { drops, sections, creates })
}

fn dropped(table: &Table) -> Section<'_> {
    Section {
        a: Some(table),
        b: None,
        change: TableChange {
            name: table.name.clone(),
            edit: TableEdit::Drop { sql: table.sql.clone() },
            columns: Vec::new(),
            identity: Identity::Nothing,
            triggers: Vec::new(),
            is_virtual: table.is_virtual(),
            is_shadow: table.is_shadow(),
        },
        sources: Vec::new(),
        same_record_format: false,
        order: Order::None,
        counted: table.kind == TableKind::Ordinary,
    }
}

fn created<'s>(schema: &Schema, table: &'s Table, options: &Options) -> Result<Section<'s>> {
    let (identity, order) = identify(schema.encoding, table, options)?;
    Ok(Section {
        a: None,
        b: Some(table),
        change: change_of(table, TableEdit::Create { sql: table.sql.clone() }, identity),
        sources: Vec::new(),
        same_record_format: false,
        order,
        counted: true,
    })
}

pub(crate) fn change_of(table: &Table, edit: TableEdit, identity: Identity) -> TableChange {
    TableChange {
        name: table.name.clone(),
        edit,
        columns: table
            .data_columns()
            .map(|index| ColumnInfo {
                name: table.columns[index].name.clone(),
                is_unique: table.unique[index],
            })
            .collect(),
        identity,
        triggers: Vec::new(),
        is_virtual: table.is_virtual(),
        is_shadow: table.is_shadow(),
    }
}

fn own_columns(table: &Table) -> Vec<ColumnSource> {
    table
        .data_columns()
        .map(|index| ColumnSource::Column(table.columns[index].name.clone()))
        .collect()
}

/// How the rows of `table` are told apart, and in which order they can be read for a merge.
pub(crate) fn identify(
    encoding: Encoding,
    table: &Table,
    options: &Options,
) -> Result<(Identity, Order)> {
    if !table.has_rows() {
        return Ok((Identity::Nothing, Order::None));
    }
    let data: Vec<usize> = table.data_columns().collect();
    let position = |column: usize| data.iter().position(|&index| index == column);
    let key_columns: Option<Vec<KeyColumn>> = table
        .primary_key
        .iter()
        .map(|part| {
            let column = position(part.column)?;
            Some(KeyColumn { column, collation: part.collation.clone() })
        })
        .collect();
    let key_columns = key_columns.filter(|columns| !columns.is_empty());
    let rowid = table.rowid_name.map(str::to_owned);
    if table.without_rowid {
        let Some(columns) = key_columns else {
            return Err(Error::damaged(&table.name, "WITHOUT ROWID, but no primary key"));
        };
        if let Some(unknown) = columns.iter().find(|key| !is_known_collation(&key.collation)) {
            return Err(Error::UnknownCollation {
                table: table.name.clone(),
                collation: unknown.collation.clone(),
            });
        }
        // SQLite sorts the texts of a UTF-16 database by their UTF-16 bytes.
        let order = if encoding.is_utf16() { Order::None } else { Order::Key };
        return Ok((Identity::Key { columns, rowid: None }, order));
    }
    if table.rowid_column.is_some()
        && let Some(columns) = key_columns
    {
        return Ok((Identity::Key { columns, rowid }, Order::Rowid));
    }
    let usable =
        key_columns.filter(|columns| columns.iter().all(|key| is_known_collation(&key.collation)));
    match (usable, rowid) {
        (Some(columns), Some(rowid)) if options.rowids == Rowids::OnlyWithoutKey => {
            Ok((Identity::Key { columns, rowid: Some(rowid) }, Order::Rowid))
        }
        (_, Some(rowid)) => Ok((Identity::Rowid { name: rowid }, Order::Rowid)),
        // Without a name for the rowid, a key that may be NULL leaves rows without any identity.
        (Some(columns), None)
            if columns.iter().all(|key| table.columns[data[key.column]].not_null) =>
        {
            Ok((Identity::Key { columns, rowid: None }, Order::None))
        }
        _ => Ok((Identity::Nothing, Order::None)),
    }
}

/// Two tables of one definition.
fn compared<'s>(
    a: &Schema,
    b: &Schema,
    old: &'s Table,
    new: &'s Table,
    options: &Options,
) -> Result<Section<'s>> {
    let (identity, mut order) = identify(b.encoding, new, options)?;
    if order == Order::Key && a.encoding.is_utf16() {
        order = Order::None;
    }
    let edit = if identity == Identity::Nothing { TableEdit::Refill } else { TableEdit::Rows };
    Ok(Section {
        a: Some(old),
        b: Some(new),
        change: change_of(new, edit, identity),
        sources: own_columns(old),
        same_record_format: old.kind == TableKind::Ordinary || old.kind == TableKind::Shadow,
        order,
        counted: new.kind != TableKind::FtsConfig,
    })
}

/// A table that a virtual table keeps its data in; `old` is None if SQLite creates it anew
/// together with its owner, and fills it.
fn shadow<'s>(
    a: &Schema,
    b: &Schema,
    old: Option<&'s Table>,
    new: &'s Table,
    options: &Options,
) -> Result<Section<'s>> {
    if let Some(old) = old {
        if own_columns(old) != own_columns(new) {
            return Err(Error::Unsupported {
                subject: new.name.clone(),
                what: "its virtual table was made by two versions of its module; \
                       rebuild it on one side"
                    .into(),
            });
        }
        let mut section = compared(a, b, old, new, options)?;
        section.same_record_format &= old.sql == new.sql;
        return Ok(section);
    }
    let (identity, order) = identify(b.encoding, new, options)?;
    let edit = if new.kind == TableKind::FtsConfig { TableEdit::Rows } else { TableEdit::Refill };
    Ok(Section {
        a: None,
        b: Some(new),
        change: change_of(new, edit, identity),
        sources: Vec::new(),
        same_record_format: false,
        order,
        counted: false,
    })
}

/// Tables that left one name and came back under another, with nothing else changed.
fn renamed_tables<'s>(a: &'s Schema, b: &'s Schema) -> Vec<(&'s Table, &'s Table)> {
    let is_candidate = |table: &&Table, other: &Schema| {
        table.kind == TableKind::Ordinary && other.table(&table.name).is_none()
    };
    let old: Vec<&Table> = a.tables.iter().filter(|table| is_candidate(table, b)).collect();
    let new: Vec<&Table> = b.tables.iter().filter(|table| is_candidate(table, a)).collect();
    let mut pairs = Vec::new();
    for from in &old {
        let body = definition_body(&from.sql);
        let matching = |tables: &[&'s Table]| -> Vec<&'s Table> {
            tables.iter().filter(|t| definition_body(&t.sql) == body).copied().collect()
        };
        if let ([_], [to]) = (&matching(&old)[..], &matching(&new)[..]) {
            pairs.push((*from, *to));
        }
    }
    pairs
}

/// A `CREATE TABLE` statement from the name's end.
fn definition_body(sql: &str) -> &str {
    match tokens(sql).get(2) {
        Some(name) => &sql[name.start + name.text.len()..],
        None => sql,
    }
}

/// The section if `ALTER TABLE ADD COLUMN` alone leads from `old` to `new`.
fn columns_added<'s>(
    a: &Schema,
    b: &Schema,
    old: &'s Table,
    new: &'s Table,
    options: &Options,
) -> Result<Option<Section<'s>>> {
    if old.name != new.name
        || old.without_rowid != new.without_rowid
        || old.columns.len() >= new.columns.len()
    {
        return Ok(None);
    }
    let Some(definitions) = added_text(&old.sql, &new.sql) else { return Ok(None) };
    let Some(defaults) = try_adding(old, new, &definitions) else { return Ok(None) };
    let mut section = compared(a, b, old, new, options)?;
    if section.change.identity == Identity::Nothing
        || identify(a.encoding, old, options)?.0 != section.change.identity
    {
        return Ok(None);
    }
    section.change.edit = TableEdit::AddColumns {
        statements: definitions
            .iter()
            .map(|definition| format!("ALTER TABLE {} ADD COLUMN {definition}", quoted(&new.name)))
            .collect(),
        columns_before: section.sources.len(),
    };
    section.sources.extend(defaults.into_iter().map(ColumnSource::Fill));
    section.same_record_format = false;
    Ok(Some(section))
}

/// The column definitions that were inserted into `old` to make `new`, if that is all.
fn added_text<'s>(old: &str, new: &'s str) -> Option<Vec<&'s str>> {
    let length = new.len().checked_sub(old.len()).filter(|&length| length > 0)?;
    // SQLite inserts ", definition". The place where the texts part may lie behind that comma
    // when what follows looks alike, so every place before it is tried.
    let parted = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    (0..=parted).rev().find_map(|at| {
        let inserted = new.get(at..at + length)?;
        let is_it =
            inserted.starts_with(", ") && old.as_bytes()[at..] == new.as_bytes()[at + length..];
        is_it.then(|| split_at_commas(&inserted[1..]))
    })
}

/// Does it on an empty copy of the table, and returns the values that existing rows get. None if
/// SQLite refuses, the outcome is not `new`, or existing rows could stand in the way.
fn try_adding(old: &Table, new: &Table, definitions: &[&str]) -> Option<Vec<Value>> {
    let risky = ["CHECK", "GENERATED", "AS", "UNIQUE", "PRIMARY"];
    if definitions.iter().any(|definition| risky.iter().any(|word| has_word(definition, word))) {
        return None;
    }
    let scratch = Connection::open_in_memory().ok()?;
    let strict = if new.strict { "STRICT" } else { "" };
    scratch
        .execute_batch(&format!(
            "PRAGMA foreign_keys = OFF; {};
             CREATE TABLE temp.scratch (one INT) {strict}; INSERT INTO temp.scratch VALUES (1);",
            old.sql
        ))
        .ok()?;
    for definition in definitions {
        let table = quoted(&old.name);
        scratch.execute_batch(&format!("ALTER TABLE main.{table} ADD COLUMN {definition}")).ok()?;
        scratch.execute_batch(&format!("ALTER TABLE temp.scratch ADD COLUMN {definition}")).ok()?;
    }
    let sql: String = scratch
        .query_row("SELECT sql FROM main.sqlite_schema WHERE name = ?1", [&old.name], |row| {
            row.get(0)
        })
        .ok()?;
    if sql != new.sql {
        return None;
    }
    let select = "SELECT * FROM temp.scratch";
    let mut stmt = Stmt::prepare(&scratch, Encoding::Utf8, select, "reading defaults").ok()?;
    if !stmt.step().ok()? {
        return None;
    }
    Some((1..=definitions.len()).map(|column| stmt.column(column).to_owned()).collect())
}

/// The section for a table whose definition changed in any other way. None if the rows of the two
/// have no common identity, so that nothing can be carried over.
fn rebuilt<'s>(
    a: &Schema,
    b: &Schema,
    old: &'s Table,
    new: &'s Table,
    options: &Options,
) -> Result<Option<Section<'s>>> {
    if old.kind != new.kind || old.without_rowid != new.without_rowid {
        return Ok(None);
    }
    let (old_identity, _) = identify(a.encoding, old, options)?;
    let (identity, mut order) = identify(b.encoding, new, options)?;
    if order == Order::Key && a.encoding.is_utf16() {
        order = Order::None;
    }
    let sources = carried_columns(old, new);
    let rowids = match (&old_identity, &identity) {
        (Identity::Rowid { name: from }, Identity::Rowid { name: to }) => {
            Some((from.clone(), to.clone()))
        }
        (
            Identity::Key { columns: from, rowid: from_rowid },
            Identity::Key { columns: to, rowid: to_rowid },
        ) => {
            let old_columns = own_columns(old);
            let same_key = from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| {
                    same_name(&from.collation, &to.collation)
                        && sources[to.column] == old_columns[from.column]
                })
                && old.rowid_column.is_some() == new.rowid_column.is_some()
                && from_rowid.is_some() == to_rowid.is_some();
            // A descending key sorts differently; the merge expects one order.
            let same_order = old
                .primary_key
                .iter()
                .zip(&new.primary_key)
                .all(|(from, to)| from.descending == to.descending);
            if !same_key || !same_order {
                return Ok(None);
            }
            from_rowid.clone().zip(to_rowid.clone()).filter(|_| new.rowid_column.is_none())
        }
        _ => return Ok(None),
    };
    let edit = TableEdit::Rebuild {
        old_name: old.name.clone(),
        old_sql: old.sql.clone(),
        sql: new.sql.clone(),
        parked_name: parked_name(a, b),
        sources: sources.clone(),
        rowids,
    };
    let same_record_format = definition_body(&old.sql) == definition_body(&new.sql);
    Ok(Some(Section {
        a: Some(old),
        b: Some(new),
        change: change_of(new, edit, identity),
        sources,
        same_record_format,
        order,
        counted: true,
    }))
}

/// Columns of one name belong together. What is left is paired as after a renaming: by position if
/// there are as many left on both sides, else by declaration. A wrong guess costs size, never
/// correctness, because only rows that come out as they should are carried over.
fn carried_columns(old: &Table, new: &Table) -> Vec<ColumnSource> {
    let name = |table: &Table, index: usize| table.columns[index].name.clone();
    let mut left: Vec<usize> = old.data_columns().collect();
    let mut sources: Vec<Option<usize>> = new
        .data_columns()
        .map(|column| {
            let found = left
                .iter()
                .position(|&candidate| same_name(&name(old, candidate), &name(new, column)))?;
            Some(left.remove(found))
        })
        .collect();
    let by_position = sources.iter().filter(|source| source.is_none()).count() == left.len();
    for (column, source) in new.data_columns().zip(&mut sources) {
        if source.is_none() {
            let found = left.iter().position(|&candidate| {
                by_position || old.columns[candidate].declared == new.columns[column].declared
            });
            *source = found.map(|found| left.remove(found));
        }
    }
    sources
        .into_iter()
        .map(|source| match source {
            Some(column) => ColumnSource::Column(name(old, column)),
            None => ColumnSource::Fill(Value::Null),
        })
        .collect()
}

fn parked_name(a: &Schema, b: &Schema) -> String {
    let is_taken = |name: &str| {
        [a, b].iter().any(|schema| {
            schema.table(name).is_some()
                || schema.objects.iter().any(|object| same_name(&object.name, name))
        })
    };
    let mut number = 0;
    loop {
        let name = format!("libsql_diff_parked_{number}");
        if !is_taken(&name) {
            return name;
        }
        number += 1;
    }
}

/// `SELECT rowid-or-NULL, column...` in the section's order. `sources` says what each column is in
/// this table; fills are parameters, numbered from 1 in their order.
pub(crate) fn select_sql(
    table: &Table,
    change: &TableChange,
    sources: &[ColumnSource],
    order: Order,
) -> String {
    let mut sql = select_from(table, sources);
    if !table.is_virtual() && !table.without_rowid {
        // Else a covering index could be read, in its own order.
        sql.push_str(" NOT INDEXED");
    }
    sql.push_str(table.filter());
    match order {
        Order::None => {}
        Order::Rowid => {
            sql.push_str(" ORDER BY ");
            sql.push_str(&rowid_of(table));
        }
        Order::Key => {
            let descending = table.primary_key.iter().map(|part| part.descending);
            let parts: Vec<String> = key_names(change, sources)
                .zip(descending)
                .map(|((name, collation), descending)| {
                    let direction = if descending { " DESC" } else { "" };
                    format!("{name} COLLATE {collation}{direction}")
                })
                .collect();
            sql.push_str(" ORDER BY ");
            sql.push_str(&parts.join(", "));
        }
    }
    sql
}

/// As [`select_sql`], for the one row with the key bound after the fills.
pub(crate) fn lookup_sql(table: &Table, change: &TableChange, sources: &[ColumnSource]) -> String {
    let mut sql = select_from(table, sources);
    sql.push_str(table.filter());
    sql.push_str(if table.filter().is_empty() { " WHERE " } else { " AND " });
    let parts: Vec<String> = key_names(change, sources)
        .map(|(name, collation)| format!("{name} = ? COLLATE {collation}"))
        .collect();
    sql.push_str(&parts.join(" AND "));
    sql
}

/// As [`select_sql`], for the one row with the rowid bound after the fills.
pub(crate) fn lookup_by_rowid_sql(table: &Table, sources: &[ColumnSource]) -> String {
    format!("{} WHERE {} = ?", select_from(table, sources), rowid_of(table))
}

/// What the rowid can be read as.
fn rowid_of(table: &Table) -> String {
    match (table.rowid_column, table.rowid_name) {
        (Some(column), _) => quoted(&table.columns[column].name),
        (None, Some(name)) if !table.without_rowid => name.to_owned(),
        _ => "NULL".to_owned(),
    }
}

pub(crate) fn select_from(table: &Table, sources: &[ColumnSource]) -> String {
    let rowid = Places::of(table, sources).has_own_rowid().then(|| rowid_of(table));
    let columns = sources.iter().map(|source| match source {
        ColumnSource::Column(name) => quoted(name),
        ColumnSource::Fill(_) => "?".to_owned(),
    });
    let list: Vec<String> = rowid.into_iter().chain(columns).collect();
    format!("SELECT {} FROM main.{}", list.join(", "), quoted(&table.name))
}

/// Where the rowid and the columns are in what [`select_from`] reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// None where the table has no rowid.
    pub rowid: Option<usize>,
    pub first_column: usize,
}

impl Places {
    /// The rowid stands first, unless that would be one column more than SQLite reads at once, and
    /// the rowid is one of the columns anyway, or is none.
    pub(crate) fn of(table: &Table, sources: &[ColumnSource]) -> Self {
        const COLUMNS_MAX: usize = 2000;
        let first = Self { rowid: Some(0), first_column: 1 };
        if sources.len() < COLUMNS_MAX {
            return first;
        }
        let Some(column) = table.rowid_column else {
            let has_rowid = !table.without_rowid && table.rowid_name.is_some();
            return if has_rowid { first } else { Self { rowid: None, first_column: 0 } };
        };
        let name = &table.columns[column].name;
        let of_rowid = |source: &ColumnSource| matches!(source, ColumnSource::Column(column) if same_name(column, name));
        match sources.iter().position(of_rowid) {
            Some(place) => Self { rowid: Some(place), first_column: 0 },
            None => first,
        }
    }

    fn has_own_rowid(self) -> bool {
        self.first_column == 1
    }
}

/// The names of the key's columns in this table, with their collations.
fn key_names<'c>(
    change: &'c TableChange,
    sources: &'c [ColumnSource],
) -> impl Iterator<Item = (String, &'c str)> {
    change.key_columns().iter().map(|key| {
        let name = match &sources[key.column] {
            ColumnSource::Column(name) => quoted(name),
            ColumnSource::Fill(_) => "NULL".to_owned(),
        };
        (name, key.collation.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_columns_are_found_before_constraints_and_lookalikes() {
        let check = |old, new, expected: Option<Vec<&str>>| {
            assert_eq!(added_text(old, new), expected, "{new}");
        };
        check("CREATE TABLE t(a)", "CREATE TABLE t(a, b)", Some(vec!["b"]));
        check("CREATE TABLE t(a, b)", "CREATE TABLE t(a, b, b2 INT, c)", Some(vec!["b2 INT", "c"]));
        check(
            "CREATE TABLE t(a, b, PRIMARY KEY(a))",
            "CREATE TABLE t(a, b, c TEXT, PRIMARY KEY(a))",
            Some(vec!["c TEXT"]),
        );
        check("CREATE TABLE t(a)", "CREATE TABLE t(b)", None);
        check("CREATE TABLE t(a)", "CREATE TABLE t(a INT)", None);
    }

    #[test]
    fn a_definition_without_its_name() {
        assert_eq!(definition_body("CREATE TABLE \"a b\"(x)"), "(x)");
        assert_eq!(definition_body("CREATE TABLE t (x)"), " (x)");
    }
}
