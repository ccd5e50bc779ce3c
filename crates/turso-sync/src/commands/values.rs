//! Values, rows' keys and conflicts, as text and as JSON.

use std::fmt::Write as _;

use libsql_diff::{Conflict, Value};
use serde_json::{Map, Value as Json, json};

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

/// What does not fit, of a changeset that was applied.
pub(crate) fn conflict_json(conflict: &Conflict) -> Json {
    let mut object = Map::new();
    object.insert("table".into(), json!(conflict.table));
    object.insert("key".into(), json!(conflict.key.as_ref().map(ToString::to_string)));
    object.insert("column".into(), json!(conflict.column));
    put(&mut object, "expected", conflict.expected.as_ref());
    put(&mut object, "found", conflict.found.as_ref());
    object.insert("message".into(), json!(conflict.to_string()));
    Json::Object(object)
}
