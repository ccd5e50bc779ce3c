//! Reading a database's schema: tables with their columns and keys, and everything else by text.

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::operation::{ObjectKind, SchemaObject, Setting};
use crate::sqlite::{Encoding, Stmt, encoding};
use crate::sqltext::{has_word, quoted, same_name, virtual_module};
use crate::value::{Value, ValueRef};

#[derive(Debug)]
pub(crate) struct Schema {
    pub encoding: Encoding,
    pub tables: Vec<Table>,
    /// Indexes, views and triggers that have a text, in the order of creation.
    pub objects: Vec<SchemaObject>,
    /// The entries of `sqlite_sequence`.
    pub sequences: Vec<(String, Value)>,
    pub user_version: i32,
    pub application_id: i32,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub name: String,
    pub sql: String,
    pub root_page: u32,
    pub kind: TableKind,
    /// All columns, generated and hidden ones included.
    pub columns: Vec<Column>,
    /// Which columns identify a row, by index into `columns`, with their collations.
    pub primary_key: Vec<KeyPart>,
    /// The column that is the rowid.
    pub rowid_column: Option<usize>,
    /// A name of the rowid that no column hides.
    pub rowid_name: Option<&'static str>,
    /// For WITHOUT ROWID: the order in which the record holds the columns.
    pub record_order: Vec<usize>,
    /// Whether each column takes part in a unique index or key.
    pub unique: Vec<bool>,
    pub autoincrement: bool,
    pub strict: bool,
    pub without_rowid: bool,
    /// The virtual table that a shadow table belongs to.
    pub owner: Option<String>,
    pub foreign_keys: Vec<ForeignKey>,
    /// The columns of every index that holds all rows, as far as they are plain columns.
    pub indexes: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableKind {
    Ordinary,
    /// A virtual table whose rows are read and written through it.
    Virtual,
    /// A virtual table that holds nothing, or nothing that can be read through it.
    VirtualSchemaOnly,
    /// A table that a virtual table with unreadable content keeps its data in.
    Shadow,
    /// The settings that FTS5 keeps beside its index.
    FtsConfig,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub name: String,
    pub affinity_is_real: bool,
    pub generated: Generated,
    pub not_null: bool,
    /// Type and default as declared.
    pub declared: (String, Option<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generated {
    No,
    Virtual,
    Stored,
    /// A hidden column of a virtual table.
    Hidden,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPart {
    pub column: usize,
    pub collation: String,
    pub descending: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ForeignKey {
    pub parent: String,
    /// The referring columns, by index into the table's columns.
    pub from: Vec<usize>,
    /// The columns referred to; None for the parent's primary key.
    pub to: Option<Vec<String>>,
}

impl Table {
    /// The indexes of the columns that hold data of their own.
    pub(crate) fn data_columns(&self) -> impl Iterator<Item = usize> {
        (0..self.columns.len()).filter(|&index| self.columns[index].generated == Generated::No)
    }

    pub(crate) fn has_rows(&self) -> bool {
        self.kind != TableKind::VirtualSchemaOnly
    }

    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self.kind, TableKind::Virtual | TableKind::VirtualSchemaOnly)
    }

    pub(crate) fn is_shadow(&self) -> bool {
        matches!(self.kind, TableKind::Shadow | TableKind::FtsConfig)
    }

    /// Narrows the rows that are compared.
    pub(crate) fn filter(&self) -> &'static str {
        match self.kind {
            // The version of the index's format belongs to the index, which applying builds anew.
            TableKind::FtsConfig => " WHERE k IS NOT 'version'",
            _ => "",
        }
    }
}

/// Modules whose tables are nothing but a view of something else.
const MODULES_WITHOUT_DATA: [&str; 6] =
    ["fts5vocab", "fts4aux", "fts3tokenize", "dbstat", "json_each", "json_tree"];
const MODULES_WITH_DATA: [&str; 6] = ["fts3", "fts4", "fts5", "rtree", "rtree_i32", "geopoly"];
/// Options by which a full-text table holds less, or something else, than a reader sees.
const OPAQUE_FTS_OPTIONS: [&str; 4] = ["content", "languageid", "compress", "uncompress"];

enum Module {
    Through,
    Opaque,
    Nothing,
}

fn module_of(sql: &str) -> (Module, String) {
    let Some((name, arguments)) = virtual_module(sql) else {
        return (Module::Nothing, String::new());
    };
    let name = name.to_ascii_lowercase();
    let opaque = name.starts_with("fts")
        && arguments.iter().any(|argument| {
            argument.split_once('=').is_some_and(|(key, _)| {
                OPAQUE_FTS_OPTIONS.iter().any(|option| key.trim().eq_ignore_ascii_case(option))
            })
        });
    let module = if MODULES_WITHOUT_DATA.contains(&name.as_str()) {
        Module::Nothing
    } else if opaque {
        Module::Opaque
    } else if MODULES_WITH_DATA.contains(&name.as_str()) {
        Module::Through
    } else {
        Module::Nothing
    };
    (module, name)
}

struct Entry {
    kind: String,
    name: String,
    table: String,
    root_page: u32,
    sql: Option<String>,
}

impl Schema {
    /// Reads the schema of the main database. The caller holds a transaction, so that all of it
    /// belongs to one state.
    pub(crate) fn read(conn: &Connection) -> Result<Self> {
        let encoding = encoding(conn)?;
        let entries = read_entries(conn, encoding)?;
        let listed = read_table_list(conn, encoding)?;
        let mut tables = Vec::new();
        let mut objects = Vec::new();
        for entry in &entries {
            let Some(sql) = entry.sql.clone() else { continue };
            let kind = match entry.kind.as_str() {
                "table" => {
                    if entry.name.starts_with("sqlite_") || is_vector_shadow(&entry.name, &entries)
                    {
                        continue;
                    }
                    let owner = shadow_owner(entry, &listed, &entries);
                    let Some(kind) = table_kind(entry, &sql, owner) else { continue };
                    let listed = find_listed(&listed, &entry.name);
                    let mut table = read_table(conn, encoding, entry, sql, kind, listed)?;
                    table.owner = owner.map(|owner| owner.name.clone());
                    tables.push(table);
                    continue;
                }
                "index" if is_vector_shadow(&entry.table, &entries) => continue,
                "index" => ObjectKind::Index,
                "view" => ObjectKind::View,
                "trigger" => ObjectKind::Trigger,
                _ => continue,
            };
            let (name, table) = (entry.name.clone(), entry.table.clone());
            objects.push(SchemaObject { kind, name, table, sql });
        }
        let sequences = if entries.iter().any(|entry| entry.name == "sqlite_sequence") {
            read_sequences(conn, encoding)?
        } else {
            Vec::new()
        };
        Ok(Self {
            encoding,
            tables,
            objects,
            sequences,
            user_version: read_setting(conn, Setting::UserVersion)?,
            application_id: read_setting(conn, Setting::ApplicationId)?,
        })
    }

    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| same_name(&table.name, name))
    }

    pub(crate) fn sequence(&self, table: &str) -> Option<&Value> {
        self.sequences.iter().find(|(name, _)| same_name(name, table)).map(|(_, value)| value)
    }
}

pub(crate) fn read_setting(conn: &Connection, setting: Setting) -> Result<i32> {
    conn.query_row(&format!("PRAGMA main.{}", setting.pragma()), [], |row| row.get(0))
        .map_err(|error| Error::from_rusqlite("reading the file's settings", &error))
}

fn text(stmt: &Stmt<'_>, column: usize) -> Result<Option<String>> {
    match stmt.column(column) {
        ValueRef::Text(bytes) => match String::from_utf8(bytes.to_vec()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Error::damaged("sqlite_schema", "a name or text that is not UTF-8")),
        },
        _ => Ok(None),
    }
}

fn read_entries(conn: &Connection, encoding: Encoding) -> Result<Vec<Entry>> {
    let sql = "SELECT type, name, tbl_name, rootpage, sql FROM main.sqlite_schema ORDER BY rowid";
    let mut stmt = Stmt::prepare(conn, encoding, sql, "reading the schema")?;
    let mut entries = Vec::new();
    while stmt.step()? {
        entries.push(Entry {
            kind: text(&stmt, 0)?.unwrap_or_default(),
            name: text(&stmt, 1)?.unwrap_or_default(),
            table: text(&stmt, 2)?.unwrap_or_default(),
            root_page: u32::try_from(stmt.integer(3)).unwrap_or(0),
            sql: text(&stmt, 4)?,
        });
    }
    Ok(entries)
}

struct Listed {
    name: String,
    kind: String,
    without_rowid: bool,
    strict: bool,
}

fn read_table_list(conn: &Connection, encoding: Encoding) -> Result<Vec<Listed>> {
    let sql = "SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main'";
    let mut stmt = Stmt::prepare(conn, encoding, sql, "listing the tables")?;
    let mut listed = Vec::new();
    while stmt.step()? {
        listed.push(Listed {
            name: text(&stmt, 0)?.unwrap_or_default(),
            kind: text(&stmt, 1)?.unwrap_or_default(),
            without_rowid: stmt.integer(2) != 0,
            strict: stmt.integer(3) != 0,
        });
    }
    Ok(listed)
}

/// libSQL keeps a vector index in a table named after it, which it fills by itself.
fn is_vector_shadow(table: &str, entries: &[Entry]) -> bool {
    if same_name(table, "libsql_vector_meta_shadow") {
        return true;
    }
    let Some(index) = table.strip_suffix("_shadow") else { return false };
    entries.iter().any(|entry| {
        entry.kind == "index"
            && same_name(&entry.name, index)
            && entry.sql.as_deref().is_some_and(|sql| has_word(sql, "libsql_vector_idx"))
    })
}

fn find_listed<'l>(listed: &'l [Listed], name: &str) -> Option<&'l Listed> {
    listed.iter().find(|listed| same_name(&listed.name, name))
}

fn shadow_owner<'e>(entry: &Entry, listed: &[Listed], entries: &'e [Entry]) -> Option<&'e Entry> {
    find_listed(listed, &entry.name).filter(|listed| listed.kind == "shadow")?;
    // `a_b_config` may belong to `a` or to `a_b`: the longest name is the owner's.
    entries
        .iter()
        .filter(|owner| owner.root_page == 0 && owner.kind == "table")
        .filter(|owner| {
            let prefix = entry.name.get(..owner.name.len());
            prefix.is_some_and(|prefix| same_name(prefix, &owner.name))
                && entry.name.as_bytes().get(owner.name.len()) == Some(&b'_')
        })
        .max_by_key(|owner| owner.name.len())
}

/// None for a table whose content another table stands for.
fn table_kind(entry: &Entry, sql: &str, owner: Option<&Entry>) -> Option<TableKind> {
    if entry.root_page == 0 {
        return Some(match module_of(sql) {
            (Module::Through, _) => TableKind::Virtual,
            (Module::Opaque | Module::Nothing, _) => TableKind::VirtualSchemaOnly,
        });
    }
    if let Some(owner) = owner {
        return match module_of(owner.sql.as_deref()?) {
            (Module::Through, module)
                if module == "fts5" && entry.name.to_ascii_lowercase().ends_with("_config") =>
            {
                Some(TableKind::FtsConfig)
            }
            (Module::Through, _) => None,
            (Module::Opaque | Module::Nothing, _) => Some(TableKind::Shadow),
        };
    }
    Some(TableKind::Ordinary)
}

fn read_table(
    conn: &Connection,
    encoding: Encoding,
    entry: &Entry,
    sql: String,
    kind: TableKind,
    listed: Option<&Listed>,
) -> Result<Table> {
    let mut table = Table {
        name: entry.name.clone(),
        root_page: entry.root_page,
        kind,
        unique: Vec::new(),
        columns: Vec::new(),
        primary_key: Vec::new(),
        rowid_column: None,
        rowid_name: None,
        record_order: Vec::new(),
        autoincrement: has_word(&sql, "AUTOINCREMENT"),
        strict: listed.is_some_and(|listed| listed.strict),
        without_rowid: listed.is_some_and(|listed| listed.without_rowid),
        owner: None,
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        sql,
    };
    if kind == TableKind::VirtualSchemaOnly {
        // Its module may not even be known here; SQLite would refuse to describe it.
        return Ok(table);
    }
    let mut columns = Vec::new();
    let mut declared_key: Vec<(i64, usize)> = Vec::new();
    let mut stmt = pragma(conn, encoding, "table_xinfo", &entry.name)?;
    while stmt.step()? {
        let declared = text(&stmt, 2)?.unwrap_or_default();
        let generated = match stmt.integer(6) {
            0 => Generated::No,
            1 => Generated::Hidden,
            2 => Generated::Virtual,
            _ => Generated::Stored,
        };
        if stmt.integer(5) > 0 {
            declared_key.push((stmt.integer(5), columns.len()));
        }
        columns.push(Column {
            name: text(&stmt, 1)?.unwrap_or_default(),
            affinity_is_real: has_real_affinity(&declared),
            generated,
            not_null: stmt.integer(3) != 0,
            declared: (declared, text(&stmt, 4)?),
        });
    }
    drop(stmt);
    declared_key.sort_unstable();
    table.rowid_name = ["rowid", "_rowid_", "oid"]
        .into_iter()
        .find(|name| !columns.iter().any(|column| same_name(&column.name, name)));
    table.unique = vec![false; columns.len()];
    table.columns = columns;
    table.foreign_keys = read_foreign_keys(conn, encoding, &table)?;
    if table.is_virtual() {
        if module_of(&table.sql).1.starts_with("rtree") {
            // The first column is the rowid under another name.
            table.primary_key =
                vec![KeyPart { column: 0, collation: "BINARY".into(), descending: false }];
            table.rowid_column = Some(0);
        }
        return Ok(table);
    }
    read_indexes(conn, encoding, &mut table)?;
    if table.primary_key.is_empty()
        && let [(_, column)] = declared_key[..]
    {
        // A primary key without an index of its own is the rowid.
        table.rowid_column = Some(column);
        table.primary_key = vec![KeyPart { column, collation: "BINARY".into(), descending: false }];
    }
    for part in &table.primary_key {
        table.unique[part.column] = true;
    }
    Ok(table)
}

fn pragma<'c>(
    conn: &'c Connection,
    encoding: Encoding,
    pragma: &str,
    argument: &str,
) -> Result<Stmt<'c>> {
    let sql = format!("PRAGMA main.{pragma}({})", quoted(argument));
    Stmt::prepare(conn, encoding, &sql, format!("reading the definition of {argument}"))
}

fn read_indexes(conn: &Connection, encoding: Encoding, table: &mut Table) -> Result<()> {
    struct Listed {
        name: String,
        is_unique: bool,
        is_key: bool,
        is_partial: bool,
    }
    let mut list = pragma(conn, encoding, "index_list", &table.name)?;
    let mut indexes = Vec::new();
    while list.step()? {
        indexes.push(Listed {
            name: text(&list, 1)?.unwrap_or_default(),
            is_unique: list.integer(2) != 0,
            is_key: list.column(3) == ValueRef::Text(b"pk"),
            is_partial: list.integer(4) != 0,
        });
    }
    drop(list);
    for index in indexes {
        let mut info = pragma(conn, encoding, "index_xinfo", &index.name)?;
        let mut touches_all = index.is_partial;
        let mut plain = Some(Vec::new());
        while info.step()? {
            let column = usize::try_from(info.integer(1)).ok();
            let in_key = info.integer(5) != 0;
            if index.is_key
                && let Some(column) = column
            {
                if in_key {
                    table.primary_key.push(KeyPart {
                        column,
                        collation: text(&info, 4)?.unwrap_or_else(|| "BINARY".into()),
                        descending: info.integer(3) != 0,
                    });
                }
                table.record_order.push(column);
            }
            if !in_key {
                continue;
            }
            match (column, &mut plain) {
                (Some(column), Some(plain)) => plain.push(column),
                _ => plain = None,
            }
            match column {
                Some(column) if table.columns[column].generated == Generated::No => {
                    table.unique[column] |= index.is_unique;
                }
                // An expression or a generated column may depend on any other.
                _ => touches_all = true,
            }
        }
        if index.is_unique && touches_all {
            table.unique.fill(true);
        }
        table.indexes.extend(plain.filter(|_| !index.is_partial));
    }
    if !table.without_rowid {
        table.record_order.clear();
    }
    Ok(())
}

fn read_foreign_keys(
    conn: &Connection,
    encoding: Encoding,
    table: &Table,
) -> Result<Vec<ForeignKey>> {
    let mut stmt = pragma(conn, encoding, "foreign_key_list", &table.name)?;
    let mut keys: Vec<ForeignKey> = Vec::new();
    while stmt.step()? {
        if stmt.integer(1) == 0 {
            let parent = text(&stmt, 2)?.unwrap_or_default();
            keys.push(ForeignKey { parent, from: Vec::new(), to: Some(Vec::new()) });
        }
        let from = text(&stmt, 3)?.unwrap_or_default();
        let to = text(&stmt, 4)?;
        let Some(key) = keys.last_mut() else { continue };
        key.from.extend(table.columns.iter().position(|column| same_name(&column.name, &from)));
        match (to, &mut key.to) {
            (Some(to), Some(columns)) => columns.push(to),
            _ => key.to = None,
        }
    }
    Ok(keys)
}

fn read_sequences(conn: &Connection, encoding: Encoding) -> Result<Vec<(String, Value)>> {
    let sql = "SELECT name, seq FROM main.sqlite_sequence ORDER BY rowid";
    let mut stmt = Stmt::prepare(conn, encoding, sql, "reading sqlite_sequence")?;
    let mut sequences: Vec<(String, Value)> = Vec::new();
    while stmt.step()? {
        if let Some(name) = text(&stmt, 0)?
            && !sequences.iter().any(|(known, _)| same_name(known, &name))
        {
            sequences.push((name, stmt.column(1).to_owned()));
        }
    }
    Ok(sequences)
}

/// SQLite's rules for column affinity, in their order; see "Datatypes In SQLite", 3.1.
fn has_real_affinity(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") || has("CHAR") || has("CLOB") || has("TEXT") || has("BLOB") {
        return false;
    }
    has("REAL") || has("FLOA") || has("DOUB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_affinity_follows_the_order_of_the_rules() {
        for declared in ["REAL", "double precision", "FLOAT"] {
            assert!(has_real_affinity(declared), "{declared}");
        }
        for declared in ["", "FLOATING POINT", "CHARREAL", "NUMERIC", "BLOB"] {
            assert!(!has_real_affinity(declared), "{declared}");
        }
    }
}
