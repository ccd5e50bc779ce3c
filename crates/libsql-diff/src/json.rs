//! A diff as JSON.

use std::fmt;
use std::io::{BufRead, Write};

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::diff::Sink;
use crate::error::{Error, Result};
use crate::file::{Diff, DiffWriter};
use crate::operation::{ObjectKind, Operation};
use crate::sqlite::Encoding;
use crate::summary::{EditKind, Summary};
use crate::value::Value;

/// The version of the JSON form.
const FORMAT: u64 = 1;

impl Diff {
    /// Writes the diff as one JSON object: `{"format": 1, "encodings": […], "summary": {…},
    /// "operations": [{…}, …]}`, one operation a line.
    ///
    /// An operation has its kind in `op`, and a row's also in `change`; its other members are the
    /// fields of [`Operation`] and [`crate::RowChange`]. Values are JSON's own where that loses
    /// nothing: `null`, numbers (a real always has a point or an exponent, an integer never),
    /// strings. What JSON cannot hold is an object: `{"real": "Infinity"}` and
    /// `{"real": "-Infinity"}`, `{"blob": "00ff"}` for bytes and `{"text": "61ff"}` for text that
    /// is not UTF-8, both in hex. Integers take all 64 bits: a reader that makes floats of them
    /// loses the last digits of large ones.
    ///
    /// [`Diff::read_json`] reads it back without loss.
    pub fn write_json(&self, out: &mut dyn Write) -> Result<()> {
        let write = || Error::stream("writing JSON");
        let (from, to) = self.encodings();
        let encodings = json!([encoding_name(from), encoding_name(to)]);
        let summary = summary_json(self.summary());
        write!(
            out,
            "{{\"format\": {FORMAT},\n\"encodings\": {encodings},\n\"summary\": {summary},\n\
             \"operations\": ["
        )
        .map_err(write())?;
        for (index, operation) in self.operations().enumerate() {
            let separator: &[u8] = if index == 0 { b"\n" } else { b",\n" };
            out.write_all(separator).map_err(write())?;
            serde_json::to_writer(&mut *out, &operation?)
                .map_err(|error| write()(std::io::Error::from(error)))?;
        }
        out.write_all(b"\n]}\n").map_err(write())
    }

    /// Reads what [`Diff::write_json`] wrote.
    ///
    /// Fails with [`Error::Format`] if it is something else, is cut off or contradicts itself. A
    /// diff that was altered is not recognized as such, unlike one in a diff file.
    pub fn read_json(input: &mut dyn BufRead) -> Result<Self> {
        let broken = |error: &serde_json::Error| Error::Format {
            subject: "JSON".to_owned(),
            offset: 0,
            what: error.to_string(),
        };
        let mut deserializer = serde_json::Deserializer::from_reader(input);
        let writer = deserializer.deserialize_map(Document).map_err(|error| broken(&error))?;
        deserializer.end().map_err(|error| broken(&error))?;
        let diff = writer.finish()?;
        // Reading it checks that its parts fit together.
        for operation in diff.operations() {
            operation?;
        }
        Ok(diff)
    }
}

impl Summary {
    /// The summary as a JSON object, as in [`Diff::write_json`].
    pub fn write_json(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "{}", summary_json(self)).map_err(Error::stream("writing JSON"))
    }
}

fn summary_json(summary: &Summary) -> serde_json::Value {
    let objects = |objects: &[(ObjectKind, String)]| -> serde_json::Value {
        objects.iter().map(|(kind, name)| json!({"kind": kind, "name": name})).collect()
    };
    let tables: serde_json::Value = summary
        .tables
        .iter()
        .map(|table| {
            json!({
                "name": table.name,
                "edit": edit_name(table.edit),
                "inserted": table.inserted,
                "updated": table.updated,
                "deleted": table.deleted,
                "rows_before": table.rows.before,
                "rows_after": table.rows.after,
            })
        })
        .collect();
    json!({
        "tables": tables,
        "dropped": objects(&summary.dropped),
        "created": objects(&summary.created),
        "sequences": summary.sequences,
        "settings": summary.settings,
    })
}

fn edit_name(edit: EditKind) -> &'static str {
    match edit {
        EditKind::Rows => "rows",
        EditKind::Create => "create",
        EditKind::Drop => "drop",
        EditKind::AddColumns => "add_columns",
        EditKind::Rebuild => "rebuild",
        EditKind::Refill => "refill",
    }
}

const ENCODINGS: [(Encoding, &str); 3] =
    [(Encoding::Utf8, "UTF-8"), (Encoding::Utf16le, "UTF-16le"), (Encoding::Utf16be, "UTF-16be")];

fn encoding_name(encoding: Encoding) -> &'static str {
    ENCODINGS.iter().find(|(known, _)| *known == encoding).map_or("UTF-8", |(_, name)| name)
}

fn encoding_named(name: &str) -> Option<Encoding> {
    ENCODINGS.iter().find(|(_, known)| *known == name).map(|(encoding, _)| *encoding)
}

/// Reads the outer object, so that operations are never all in memory.
struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = DiffWriter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a diff as JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DiffWriter, A::Error> {
        let (mut has_format, mut encodings, mut writer) = (false, None, None);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "format" => {
                    let format: u64 = map.next_value()?;
                    if format != FORMAT {
                        let what = format!("format {format}, where {FORMAT} is known; update this");
                        return Err(de::Error::custom(what));
                    }
                    has_format = true;
                }
                "encodings" => {
                    let names: [String; 2] = map.next_value()?;
                    let [from, to] = names.each_ref().map(|name| encoding_named(name));
                    encodings = from.zip(to);
                    if encodings.is_none() {
                        return Err(de::Error::custom("an unknown encoding"));
                    }
                }
                "operations" => {
                    let Some((from, to)) = encodings.filter(|_| has_format) else {
                        return Err(de::Error::custom(
                            "`format` and `encodings` must come before `operations`",
                        ));
                    };
                    let mut sink = DiffWriter::new(from, to);
                    map.next_value_seed(OperationList(&mut sink))?;
                    writer = Some(sink);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        writer.ok_or_else(|| de::Error::missing_field("operations"))
    }
}

struct OperationList<'w>(&'w mut DiffWriter);

impl<'de> DeserializeSeed<'de> for OperationList<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OperationList<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(operation) = list.next_element::<Operation>()? {
            self.0.operation(operation).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object = |serializer: S, name: &str, text: &str| {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(name, text)?;
            map.end()
        };
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Integer(integer) => serializer.serialize_i64(*integer),
            Self::Real(real) if real.is_infinite() => {
                let text = if *real > 0.0 { "Infinity" } else { "-Infinity" };
                object(serializer, "real", text)
            }
            Self::Real(real) => serializer.serialize_f64(*real),
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => object(serializer, "text", &hex(bytes)),
            },
            Self::Blob(bytes) => object(serializer, "blob", &hex(bytes)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    out
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(&pair[0])? << 4 | digit(&pair[1])?))
        .collect()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a number, a string, or an object with `real`, `text` or `blob`")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Value, E> {
        Ok(Value::Integer(integer))
    }

    fn visit_u64<E: de::Error>(self, integer: u64) -> Result<Value, E> {
        i64::try_from(integer)
            .map(Value::Integer)
            .map_err(|_| E::custom("an integer of more than 63 bits"))
    }

    fn visit_f64<E>(self, real: f64) -> Result<Value, E> {
        Ok(Value::Real(real))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Some((name, text)) = map.next_entry::<String, String>()? else {
            return Err(de::Error::invalid_length(0, &self));
        };
        let bytes = || from_hex(&text).ok_or_else(|| de::Error::custom("not hexadecimal"));
        let value = match (name.as_str(), text.as_str()) {
            ("real", "Infinity") => Value::Real(f64::INFINITY),
            ("real", "-Infinity") => Value::Real(f64::NEG_INFINITY),
            ("text", _) => Value::Text(bytes()?),
            ("blob", _) => Value::Blob(bytes()?),
            _ => return Err(de::Error::custom("an unknown kind of value")),
        };
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(2, &self));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            any::<u64>()
                .prop_map(f64::from_bits)
                .prop_filter("SQLite keeps no NaN", |real| !real.is_nan())
                .prop_map(Value::Real),
            any::<Vec<u8>>().prop_map(Value::Text),
            any::<String>().prop_map(Value::text),
            any::<Vec<u8>>().prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_were(value in value()) {
            let text = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn values_are_jsons_own_where_that_loses_nothing() {
        for (value, text) in [
            (Value::Null, "null"),
            (Value::Integer(1), "1"),
            (Value::Real(1.0), "1.0"),
            (Value::Real(-0.0), "-0.0"),
            (Value::Real(f64::INFINITY), r#"{"real":"Infinity"}"#),
            (Value::text("a\"\0"), r#""a\"\u0000""#),
            (Value::Text(vec![0xff]), r#"{"text":"ff"}"#),
            (Value::Blob(vec![0, 0xab]), r#"{"blob":"00ab"}"#),
            (Value::Integer(i64::MIN), "-9223372036854775808"),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), value);
        }
    }
}
