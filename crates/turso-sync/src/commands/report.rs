//! What the workflows' reports say, as text.

use std::fmt::Write as _;

use turso_sync::{Changes, Conflict, ConflictColumn, Shown};

use crate::output::{self, count};

/// Changes in one line.
pub(crate) fn in_words(changes: &Changes) -> String {
    if changes.is_empty() {
        return "no changes".to_owned();
    }
    let mut parts = Vec::new();
    if !changes.tables.is_empty() {
        let tables = match changes.tables.len() {
            1 => "1 table".to_owned(),
            number => format!("{} tables", count(number as u64)),
        };
        parts.push(format!(
            "{} rows inserted, {} updated, {} deleted in {tables}",
            count(changes.inserted),
            count(changes.updated),
            count(changes.deleted),
        ));
    }
    parts.extend(changes.definitions.iter().cloned());
    parts.extend(changes.settings.iter().cloned());
    parts.join("; ")
}

/// Changes with a line for each table.
pub(crate) fn by_table(changes: &Changes) -> String {
    if changes.tables.is_empty() {
        return String::new();
    }
    let mut table = output::table(&["table", "inserted", "updated", "deleted"]);
    for entry in &changes.tables {
        table.add_row([
            entry.table.clone(),
            count(entry.inserted),
            count(entry.updated),
            count(entry.deleted),
        ]);
    }
    output::table_text(&table)
}

/// The conflicts that a report lists, of `total`.
pub(crate) fn conflicts(conflicts: &[Conflict], total: u64) -> String {
    let mut text = String::new();
    for conflict in conflicts {
        let what = match conflict.kind {
            "both_changed" => "both sides changed it",
            "both_inserted" => "both sides inserted it",
            "we_deleted" => "we deleted it, they changed it",
            "they_deleted" => "they deleted it, we changed it",
            "table" => "the table's definitions do not go together",
            "object" => "both sides defined it differently",
            "setting" => "both sides set it differently",
            _ => "the two sides contradict each other",
        };
        let row = conflict.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
        // Writing to a string does not fail, here and below.
        let _ = writeln!(text, "{}{row}: {what}", conflict.table);
        for ConflictColumn { column, base, ours, theirs } in &conflict.columns {
            let value = |value: &Option<Shown>| {
                value.as_ref().map_or_else(|| "(none)".to_owned(), ToString::to_string)
            };
            let (base, ours, theirs) = (value(base), value(ours), value(theirs));
            let _ = writeln!(text, "  {column}: base {base}, ours {ours}, theirs {theirs}");
        }
    }
    let shown = conflicts.len() as u64;
    if total > shown {
        let _ = writeln!(text, "and {} more conflicts", count(total - shown));
    }
    text
}
