//! The table `contacts` as a database has it: columns are found by name, whatever else there is.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::{ContactsError, Doing};

/// The table of a database that Curfew makes itself. `AUTOINCREMENT`, because the id of a deleted
/// contact must not go to another one: the messages on record would count as the new contact's.
/// `current_carrier` and `plan_type` are what older databases have.
pub(super) const CREATE: &str = "CREATE TABLE contacts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  first_name TEXT,
  last_name TEXT,
  email TEXT,
  zip_code TEXT,
  state TEXT,
  birth_date TEXT,
  effective_date TEXT,
  phone_number TEXT,
  current_carrier TEXT,
  plan_type TEXT,
  status TEXT NOT NULL DEFAULT 'active'
)";

/// A column that values can be written to.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name as the table has it.
    pub(super) name: String,
    /// What an insert writes where no value is given: an SQL expression.
    pub(super) fill: Option<String>,
    /// Numbers are stored as numbers.
    pub(super) numeric: bool,
}

/// The table's columns, `id` apart.
#[derive(Clone, Debug)]
pub(super) struct ContactsTable {
    pub(super) columns: Vec<Column>,
}

impl ContactsTable {
    /// The table of a database, or `None` if there is none.
    pub(super) fn find(
        connection: &Connection,
        path: &Path,
    ) -> Result<Option<Self>, ContactsError> {
        let doing = "reading the table definition of contacts";
        let entry = connection
            .query_row(
                "SELECT type, coalesce(sql, '') FROM main.sqlite_schema \
                 WHERE name = 'contacts' COLLATE NOCASE AND type IN ('table', 'view')",
                [],
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
            )
            .optional()
            .doing(doing, path)?;
        let Some((kind, sql)) = entry else { return Ok(None) };
        let is_virtual = sql
            .trim_start()
            .get(..14)
            .is_some_and(|start| start.eq_ignore_ascii_case("CREATE VIRTUAL"));
        if kind != "table" || is_virtual {
            let kind = if is_virtual { "virtual table".to_owned() } else { kind };
            return Err(ContactsError::NotATable { path: path.to_owned(), kind });
        }

        let mut statement = connection
            .prepare(
                "SELECT name, type, \"notnull\", dflt_value, hidden \
                 FROM pragma_table_xinfo('contacts', 'main') ORDER BY cid",
            )
            .doing(doing, path)?;
        let mut rows = statement.query([]).doing(doing, path)?;
        let mut columns = Vec::new();
        let mut has_id = false;
        while let Some(row) = rows.next().doing(doing, path)? {
            let name: String = row.get(0).doing(doing, path)?;
            let declared: String = row.get(1).doing(doing, path)?;
            let not_null: bool = row.get(2).doing(doing, path)?;
            let default: Option<String> = row.get(3).doing(doing, path)?;
            let hidden: i64 = row.get(4).doing(doing, path)?;
            if name.eq_ignore_ascii_case("id") {
                has_id = true;
            } else if hidden == 0 {
                let numeric = has_numbers(&declared);
                let fill = match default {
                    Some(expression) => Some(default_expression(&expression)),
                    None if not_null && numeric => Some("0".to_owned()),
                    None if not_null => Some("''".to_owned()),
                    None => None,
                };
                columns.push(Column { name, fill, numeric });
            }
        }
        let table = Self { columns };
        let missing = |column| ContactsError::MissingColumn { path: path.to_owned(), column };
        if !has_id {
            return Err(missing("id"));
        }
        for column in ["email", "zip_code"] {
            table.position(column).ok_or_else(|| missing(column))?;
        }
        if !id_is_unique(connection).doing(doing, path)? {
            return Err(ContactsError::IdNotUnique { path: path.to_owned() });
        }
        Ok(Some(table))
    }

    /// The place of a column with this name, in any case.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The column that birth dates are read from: `birth_date`, else `birthday`.
    pub(super) fn birth_date(&self) -> Option<usize> {
        self.position("birth_date").or_else(|| self.position("birthday"))
    }
}

/// Whether a declared type has integer or real affinity (section 3.1 of "Datatypes In SQLite").
fn has_numbers(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    has("INT")
        || (!has("CHAR") && !has("CLOB") && !has("TEXT") && !has("BLOB"))
            && (has("REAL") || has("FLOA") || has("DOUB"))
}

/// A column's default as an expression of an INSERT. In a table definition a database takes a bare or
/// double-quoted word for a text, elsewhere for a column.
fn default_expression(default: &str) -> String {
    const KEYWORDS: [&str; 6] =
        ["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "NULL", "TRUE", "FALSE"];
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    if let Some(quoted) = default.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return text(&quoted.replace("\"\"", "\""));
    }
    let is_word = default.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && default.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_word && !KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(default)) {
        return text(default);
    }
    format!("({default})")
}

/// Whether `id` is the row's own number, or has a unique index to itself.
fn id_is_unique(connection: &Connection) -> rusqlite::Result<bool> {
    let is_key = connection.query_row(
        "SELECT count(*) = 1 AND max(name = 'id' COLLATE NOCASE) = 1 \
         FROM pragma_table_info('contacts', 'main') WHERE pk > 0",
        [],
        |row| row.get::<_, Option<bool>>(0),
    )?;
    if is_key == Some(true) {
        return Ok(true);
    }
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_index_list('contacts', 'main') AS list \
         WHERE list.\"unique\" AND NOT list.partial \
         AND (SELECT count(*) = 1 AND max(name = 'id' COLLATE NOCASE) = 1 \
              FROM pragma_index_info(list.name, 'main')))",
        [],
        |row| row.get(0),
    )
}

/// A name as SQL quotes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
