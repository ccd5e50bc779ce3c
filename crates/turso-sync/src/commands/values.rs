//! Values, rows' keys and conflicts, as text and as JSON.

use std::fmt::Write as _;

use libsql_diff::{ColumnConflict, Conflict, MergeConflict, MergeConflictKind, RowKey, Value};
use serde_json::{Map, Value as Json, json};

use crate::output::count;

/// A value as `Diff::write_json` writes it: JSON's own where that loses nothing, else an object
/// that says what it is.
pub(crate) fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(integer) => json!(integer),
        Value::Real(real) if real.is_finite() => json!(real),
        Value::Real(real) => {
            json!({ "real": if *real > 0.0 { "Infinity" } else { "-Infinity" } })
        }
        Value::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "text": hex(bytes) }),
        },
        Value::Blob(bytes) => json!({ "blob": hex(bytes) }),
    }
}

/// A value that may not be there, and is left out of `object` then.
pub(crate) fn put(object: &mut Map<String, Json>, name: &str, value: Option<&Value>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), json(value));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail, here and below.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A row's key: `{"rowid": 7}` or `{"key": [1, "a"]}`.
fn key_json(key: &RowKey) -> Json {
    match key {
        RowKey::Rowid(rowid) => json!({ "rowid": rowid }),
        RowKey::Columns(values) => json!({ "key": values.iter().map(json).collect::<Vec<_>>() }),
    }
}

/// What does not fit, of a changeset that was applied.
pub(crate) fn conflict_json(conflict: &Conflict) -> Json {
    let mut object = Map::new();
    object.insert("table".into(), json!(conflict.table));
    object.insert("row".into(), conflict.key.as_ref().map_or(Json::Null, key_json));
    object.insert("column".into(), json!(conflict.column));
    put(&mut object, "expected", conflict.expected.as_ref());
    put(&mut object, "found", conflict.found.as_ref());
    object.insert("message".into(), json!(conflict.to_string()));
    Json::Object(object)
}

fn kind_name(kind: MergeConflictKind) -> &'static str {
    match kind {
        MergeConflictKind::BothChanged => "both_changed",
        MergeConflictKind::BothInserted => "both_inserted",
        MergeConflictKind::WeDeleted => "we_deleted",
        MergeConflictKind::TheyDeleted => "they_deleted",
        MergeConflictKind::Table => "table",
        MergeConflictKind::Object => "object",
        MergeConflictKind::Setting => "setting",
        _ => "other",
    }
}

/// What both sides changed differently.
pub(crate) fn merge_conflict_json(conflict: &MergeConflict) -> Json {
    let column = |column: &ColumnConflict| {
        let mut object = Map::new();
        object.insert("column".into(), json!(column.column));
        put(&mut object, "base", column.base.as_ref());
        put(&mut object, "ours", column.ours.as_ref());
        put(&mut object, "theirs", column.theirs.as_ref());
        Json::Object(object)
    };
    json!({
        "table": conflict.table,
        "row": conflict.key.as_ref().map_or(Json::Null, key_json),
        "kind": kind_name(conflict.kind),
        "columns": conflict.columns.iter().map(column).collect::<Vec<_>>(),
    })
}

/// Conflicts in lines, at most `limit` of the `total` there are.
pub(crate) fn merge_conflicts_text(
    conflicts: &[MergeConflict],
    total: u64,
    limit: usize,
) -> String {
    let mut text = String::new();
    for conflict in conflicts.iter().take(limit) {
        let row = conflict.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
        let what = match conflict.kind {
            MergeConflictKind::BothChanged => "both sides changed it",
            MergeConflictKind::BothInserted => "both sides inserted it",
            MergeConflictKind::WeDeleted => "we deleted it, they changed it",
            MergeConflictKind::TheyDeleted => "they deleted it, we changed it",
            MergeConflictKind::Table => "the table's definitions do not go together",
            MergeConflictKind::Object => "both sides defined it differently",
            MergeConflictKind::Setting => "both sides set it differently",
            _ => "the two sides contradict each other",
        };
        let _ = writeln!(text, "{}{row}: {what}", conflict.table);
        for column in &conflict.columns {
            let value = |value: &Option<Value>| {
                value.as_ref().map_or_else(|| "(none)".to_owned(), ToString::to_string)
            };
            let _ = writeln!(
                text,
                "  {}: base {}, ours {}, theirs {}",
                column.column,
                value(&column.base),
                value(&column.ours),
                value(&column.theirs)
            );
        }
    }
    let shown = conflicts.len().min(limit) as u64;
    if total > shown {
        let _ = writeln!(text, "and {} more conflicts; --json shows them", count(total - shown));
    }
    text
}
