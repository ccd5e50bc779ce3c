//! What tables, columns and indexes a database has.

use rusqlite::{Connection, OptionalExtension as _};

type SqlResult<T> = rusqlite::Result<T>;

/// A name as SQL text.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The declared type, as written.
    pub(crate) declared: String,
    pub(crate) not_null: bool,
    pub(crate) default: Option<String>,
    /// Place in the primary key from 1, or 0.
    pub(crate) key_place: i64,
    pub(crate) is_generated: bool,
}

/// What a column does to values that are stored in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Column {
    /// SQLite's rules of affinity (<https://www.sqlite.org/datatype3.html#determination_of_column_affinity>).
    pub(crate) fn affinity(&self) -> Affinity {
        let declared = self.declared.to_ascii_uppercase();
        let has = |part: &str| declared.contains(part);
        if has("INT") {
            Affinity::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Affinity::Text
        } else if declared.is_empty() || has("BLOB") {
            Affinity::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }
}

/// A table, a virtual table or a view.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The name as stored.
    pub(crate) name: String,
    /// `table`, `virtual`, `shadow` or `view`.
    pub(crate) sort: String,
    pub(crate) has_rowid: bool,
    /// The text of its `CREATE` statement.
    pub(crate) sql: String,
    pub(crate) columns: Vec<Column>,
    /// The primary key is kept in an index of its own.
    has_key_index: bool,
}

impl Table {
    /// The table with this name in any case, or `None`.
    pub(crate) fn read(db: &Connection, name: &str) -> SqlResult<Option<Self>> {
        let found = db
            .prepare_cached(
                "SELECT l.name, l.type, l.wr, coalesce(s.sql, '')
                 FROM pragma_table_list(?1) AS l LEFT JOIN main.sqlite_schema AS s
                   ON s.name = l.name AND s.type IN ('table', 'view')
                 WHERE l.schema = 'main'",
            )?
            .query_row([name], |row| {
                let stored: String = row.get(0)?;
                Ok((stored, row.get(1)?, row.get::<_, bool>(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((name, sort, without_rowid, sql)) = found else { return Ok(None) };
        let mut statement = db.prepare_cached(
            "SELECT name, type, \"notnull\", dflt_value, pk, hidden
             FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1",
        )?;
        let columns = statement
            .query_map([&name], |row| {
                Ok(Column {
                    name: row.get(0)?,
                    declared: row.get(1)?,
                    not_null: row.get(2)?,
                    default: row.get(3)?,
                    key_place: row.get(4)?,
                    is_generated: row.get::<_, i64>(5)? != 0,
                })
            })?
            .collect::<SqlResult<_>>()?;
        let has_key_index = db
            .prepare_cached("SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'")?
            .exists([&name])?;
        Ok(Some(Self { name, sort, has_rowid: !without_rowid, sql, columns, has_key_index }))
    }

    /// The column with this name in any case.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The column as SQL text, or `NULL` where there is none.
    pub(crate) fn expression(&self, name: &str) -> String {
        self.column(name).map_or_else(|| "NULL".to_owned(), |column| quote(&column.name))
    }

    /// The column that is another name of the rowid: `INTEGER PRIMARY KEY`.
    pub(crate) fn rowid_column(&self) -> Option<&Column> {
        let mut key = self.columns.iter().filter(|column| column.key_place > 0);
        let (Some(column), None) = (key.next(), key.next()) else { return None };
        let is_alias = self.sort == "table"
            && self.has_rowid
            && !self.has_key_index
            && column.declared.eq_ignore_ascii_case("INTEGER");
        is_alias.then_some(column)
    }

    /// A name by which the rowid can be read, if it has one that no column takes.
    pub(crate) fn rowid_name(&self) -> Option<&'static str> {
        let free = |name: &&&str| self.column(name).is_none();
        let names = ["rowid", "_rowid_", "oid"];
        (self.sort == "table" && self.has_rowid).then(|| names.iter().find(free).copied())?
    }
}

/// An index of a table.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) is_unique: bool,
    /// `c`: made by `CREATE INDEX`; `u`: by a UNIQUE constraint; `pk`: by a primary key.
    pub(crate) origin: String,
    pub(crate) is_partial: bool,
    /// The columns of its key, `None` for expressions.
    pub(crate) columns: Vec<Option<String>>,
}

impl Index {
    /// Whether it covers every row and its key begins with these columns.
    pub(crate) fn leads_with(&self, columns: &[&str]) -> bool {
        !self.is_partial
            && self.columns.len() >= columns.len()
            && self.columns.iter().zip(columns).all(|(own, wanted)| {
                own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(wanted))
            })
    }
}

/// The indexes of a table, in the order of their names.
pub(crate) fn indexes(db: &Connection, table: &str) -> SqlResult<Vec<Index>> {
    let mut list = db.prepare_cached(
        "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1, 'main') ORDER BY name",
    )?;
    let mut keys = db.prepare_cached(
        "SELECT name FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno",
    )?;
    let mut found = Vec::new();
    let mut rows = list.query([table])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let columns = keys.query_map([&name], |row| row.get(0))?.collect::<SqlResult<_>>()?;
        found.push(Index {
            name,
            is_unique: row.get(1)?,
            origin: row.get(2)?,
            is_partial: row.get(3)?,
            columns,
        });
    }
    Ok(found)
}

/// The shortest index through which a table can be read in the order of a column.
pub(crate) fn index_in_order_of(
    db: &Connection,
    table: &str,
    column: &str,
) -> SqlResult<Option<String>> {
    let indexes = indexes(db, table)?.into_iter();
    let leading = indexes.filter(|index| index.leads_with(&[column]));
    Ok(leading.min_by_key(|index| index.columns.len()).map(|index| index.name))
}
