//! What is defined on the server, and whether a diff fits it.

use std::path::Path;

use libsql_diff::{Diff, ObjectKind, Operation, TableEdit};
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result};

/// One entry of `sqlite_schema`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) table: String,
    pub(crate) sql: Option<String>,
}

/// The entries in the order of their creation, without this program's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) entries: Vec<Entry>,
}

/// A definition that is another one on the server than the push expects.
#[derive(Clone, Debug)]
pub(crate) struct Misfit {
    pub(crate) name: String,
    pub(crate) expected: Option<String>,
    pub(crate) found: Option<String>,
}

/// Reads the schema as one text, for [`Schema::parse`] and to see whether it is still the same.
pub(crate) const SCHEMA_SQL: &str = "SELECT json_group_array(json_array(type, name, tbl_name, sql)) \
     FROM (SELECT * FROM sqlite_schema WHERE name NOT GLOB '_turso_sync_*' \
     AND tbl_name NOT GLOB '_turso_sync_*' ORDER BY rowid)";

impl Schema {
    /// Reads what [`SCHEMA_SQL`] gave.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rows: Vec<(String, String, String, Option<String>)> =
            serde_json::from_str(text).ok()?;
        let entries = rows
            .into_iter()
            .map(|(kind, name, table, sql)| Entry { kind, name, table, sql })
            .collect();
        Some(Self { entries })
    }

    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let failed = || Error::sqlite(path, "reading the schema");
        let conn =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed())?;
        let text: String = conn.query_row(SCHEMA_SQL, [], |row| row.get(0)).map_err(failed())?;
        Self::parse(&text).ok_or_else(|| Error::StateDamaged {
            path: path.to_owned(),
            what: "its schema cannot be read".to_owned(),
        })
    }

    pub(crate) fn has_no_table(&self) -> bool {
        self.entries.iter().all(|entry| entry.kind != "table" || entry.name.starts_with("sqlite_"))
    }

    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.kind == kind && entry.name.eq_ignore_ascii_case(name))
    }

    fn any(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn belonging_to<'s>(
        &'s self,
        table: &'s str,
    ) -> impl Iterator<Item = &'s Entry> + 's {
        self.entries.iter().filter(move |entry| {
            entry.kind != "table" && entry.sql.is_some() && entry.table.eq_ignore_ascii_case(table)
        })
    }

    /// What in this schema, the server's, is not as in `base`, as far as `diff` depends on it.
    pub(crate) fn misfits(&self, base: &Self, diff: &Diff) -> Result<Vec<Misfit>> {
        let mut misfits = Vec::new();
        let mut goes = Vec::new();
        let mut expect = |name: &str, expected: Option<&str>, found: Option<&Entry>| {
            let found = found.and_then(|entry| entry.sql.clone());
            if found.as_deref() != expected {
                let (name, expected) = (name.to_owned(), expected.map(str::to_owned));
                misfits.push(Misfit { name, expected, found });
            }
        };
        for operation in diff.operations() {
            match operation? {
                Operation::DropObject(object) => {
                    let kind = kind_name(object.kind);
                    expect(&object.name, Some(&object.sql), self.find(kind, &object.name));
                    goes.push(object.name.to_ascii_lowercase());
                }
                Operation::Table(table) => {
                    let before = match &table.edit {
                        TableEdit::Create { .. } => {
                            if !goes.contains(&table.name.to_ascii_lowercase()) {
                                expect(&table.name, None, self.any(&table.name));
                            }
                            continue;
                        }
                        TableEdit::Rebuild { old_name, .. } => old_name,
                        _ => &table.name,
                    };
                    let Some(expected) = base.find("table", before) else { continue };
                    expect(before, expected.sql.as_deref(), self.find("table", before));
                    let is_replaced =
                        matches!(table.edit, TableEdit::Drop { .. } | TableEdit::Rebuild { .. });
                    if is_replaced {
                        goes.push(before.to_ascii_lowercase());
                        // What only the server has would go with the table.
                        for entry in self.belonging_to(before) {
                            let known = base.find(&entry.kind, &entry.name);
                            let known = known.and_then(|entry| entry.sql.as_deref());
                            expect(&entry.name, known, Some(entry));
                        }
                    }
                }
                Operation::CreateObject(object) => {
                    let found = self.any(&object.name).filter(|entry| {
                        !goes.contains(&object.name.to_ascii_lowercase())
                            && !goes.contains(&entry.table.to_ascii_lowercase())
                    });
                    expect(&object.name, None, found);
                }
                _ => {}
            }
        }
        Ok(misfits)
    }
}

fn kind_name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Index => "index",
        ObjectKind::View => "view",
        ObjectKind::Trigger => "trigger",
    }
}
