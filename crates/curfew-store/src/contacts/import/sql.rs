//! The statements that depend on the columns.

use super::place::Queue;
use crate::contacts::table::{ContactsTable, quoted};

/// Texts of the statements that depend on the columns.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) stage: String,
    pub(super) staged: String,
    pub(super) merge: String,
    pub(super) postpone_id: String,
    pub(super) postpone: String,
    pub(super) wait: String,
    pub(super) insert: String,
    pub(super) update: String,
    pub(super) differs: String,
    pub(super) existing: String,
}

/// Columns of `import_contacts`: id, `is_new`, line, lines, origin, cells.
pub(super) const STAGED_ORIGIN: usize = 4;
pub(super) const STAGED_CELLS: usize = 5;

/// The texts for each of so many columns, one after the other.
pub(super) fn each(columns: usize, text: impl FnMut(usize) -> String) -> String {
    (0..columns).map(text).collect::<Vec<_>>().concat()
}

impl Sql {
    pub(super) fn new(table: &ContactsTable, columns: &[usize], email: Option<usize>) -> Self {
        let names: Vec<String> =
            columns.iter().map(|column| quoted(&table.columns[*column].name)).collect();
        let parameters = |first| each(columns.len(), |i| format!(", ?{}", first + i));
        let cells = each(columns.len(), |i| format!(", c{i}"));
        let postpone = |queue: Queue| {
            format!(
                "INSERT OR IGNORE INTO temp.{} (line{cells}, id) VALUES (?1{}, ?{})",
                queue.table(),
                parameters(2),
                2 + columns.len()
            )
        };
        let merged = each(columns.len(), |i| format!(", c{i} = coalesce(?{}, c{i})", 3 + i));

        // What an INSERT gives to each column of the table; the others have a default, or none.
        let mut insert_names = vec!["id".to_owned()];
        let mut insert_values = vec!["?1".to_owned()];
        let mut stamps = Vec::new();
        for (at, column) in table.columns.iter().enumerate() {
            let written = columns.iter().position(|written| *written == at);
            let is_stamp = |name: &str| {
                column.name.eq_ignore_ascii_case(name) && !column.numeric && written.is_none()
            };
            let value = match (written, &column.fill) {
                (Some(i), Some(fill)) => format!("coalesce(?{}, {fill})", 3 + i),
                (Some(i), None) => format!("?{}", 3 + i),
                // The time is given rather than left to a default, which costs as much as the row.
                (None, _) if is_stamp("created_at") || is_stamp("updated_at") => "?2".to_owned(),
                (None, Some(fill)) => fill.clone(),
                (None, None) => continue,
            };
            if is_stamp("updated_at") {
                stamps.push(format!("{} = ?2", quoted(&column.name)));
            }
            insert_names.push(quoted(&column.name));
            insert_values.push(value);
        }

        let differences: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                // `COLLATE BINARY`: in a column that ignores case, a change of case is a change.
                let p = 3 + i;
                format!("(?{p} IS NOT NULL AND {name} COLLATE BINARY IS NOT ?{p})")
            })
            .collect();
        let mut assignments: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(i, name)| format!("{name} = coalesce(?{}, {name})", 3 + i))
            .collect();
        assignments.extend(stamps);
        let differs =
            if differences.is_empty() { "0".to_owned() } else { differences.join(" OR ") };
        let state =
            table.position("state").map_or("NULL".to_owned(), |at| quoted(&table.columns[at].name));
        // A file of ids alone changes nothing, but the statement must have a column to set.
        if assignments.is_empty() {
            assignments.push("id = id".to_owned());
        }
        let assignments = assignments.join(", ");
        Self {
            stage: format!(
                "INSERT INTO temp.import_contacts (id, is_new, line, lines{cells}) \
                 VALUES (?1, ?2, ?3, 1{})",
                parameters(4)
            ),
            staged: format!(
                "SELECT line, {} FROM temp.import_contacts WHERE id = ?1",
                email.map_or("NULL".to_owned(), |place| format!("c{place}"))
            ),
            merge: format!(
                "UPDATE temp.import_contacts SET lines = lines + 1, line = min(line, ?2), \
                 origin = ?{}{merged} WHERE id = ?1",
                3 + columns.len()
            ),
            postpone_id: postpone(Queue::Ids),
            postpone: postpone(Queue::NoIds),
            wait: postpone(Queue::Waiting),
            // `OR ABORT`: whatever the table says of conflicts, no other contact is lost to one.
            insert: format!(
                "INSERT OR ABORT INTO main.contacts ({}) VALUES ({})",
                insert_names.join(", "),
                insert_values.join(", ")
            ),
            update: format!(
                "UPDATE OR ABORT main.contacts SET {assignments} WHERE id = ?1 AND ({differs})"
            ),
            differs: format!("SELECT 1 FROM main.contacts WHERE id = ?1 AND ({differs})"),
            existing: format!("SELECT zip_code, {state} FROM main.contacts WHERE id = ?1"),
        }
    }
}
