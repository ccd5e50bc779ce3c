//! Rows as JSON, exactly; and single values out of JSON that others wrote.

use std::{borrow::Cow, fmt::Write as _};

use rusqlite::types::ValueRef;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

/// Writes a value of the database so that it can be restored exactly: integers and reals as
/// numbers (a real always has a point or an exponent), texts as strings. What JSON has no form for
/// becomes an object: `{"blob":"<hex>"}`, `{"text":"<hex>"}` for a text that is not UTF-8, and
/// `{"real":"inf"}` or `{"real":"-inf"}`.
pub(crate) fn write_value(out: &mut String, value: ValueRef<'_>) {
    let written = match value {
        ValueRef::Null => {
            out.push_str("null");
            Ok(())
        }
        ValueRef::Integer(number) => write!(out, "{number}"),
        ValueRef::Real(number) if number.is_finite() => write!(out, "{number:?}"),
        ValueRef::Real(number) => write!(out, "{{\"real\":\"{number}\"}}"),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => {
                write_text(out, text);
                Ok(())
            }
            Err(_) => write_hex(out, "text", bytes),
        },
        ValueRef::Blob(bytes) => write_hex(out, "blob", bytes),
    };
    written.expect("a String takes everything");
}

/// Writes a JSON string.
pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn write_hex(out: &mut String, sort: &str, bytes: &[u8]) -> std::fmt::Result {
    write!(out, "{{\"{sort}\":\"")?;
    for byte in bytes {
        write!(out, "{byte:02x}")?;
    }
    out.push_str("\"}");
    Ok(())
}

/// The values of these keys of a JSON object; of a key that occurs more than once, the last one.
/// `None` if the text is not a JSON object.
pub(crate) fn pick<const N: usize>(
    text: &str,
    keys: [&str; N],
) -> Option<[Option<serde_json::Value>; N]> {
    let mut source = serde_json::Deserializer::from_str(text);
    let picked = Picker { keys }.deserialize(&mut source).ok()?;
    source.end().ok()?;
    Some(picked)
}

struct Picker<'k, const N: usize> {
    keys: [&'k str; N],
}

impl<'de, const N: usize> DeserializeSeed<'de> for Picker<'_, N> {
    type Value = [Option<serde_json::Value>; N];

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Picker<'_, N> {
    type Value = [Option<serde_json::Value>; N];

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut picked = [const { None }; N];
        while let Some(key) = map.next_key_seed(Key)? {
            match self.keys.iter().position(|wanted| *wanted == key) {
                Some(at) => picked[at] = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(picked)
    }
}

/// A key, borrowed from the text where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Self::Value, E> {
        Err(E::custom("a key that is not a text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: ValueRef<'_>) -> String {
        let mut out = String::new();
        write_value(&mut out, value);
        out
    }

    #[test]
    fn every_value_has_an_exact_form() {
        for (value, expected) in [
            (ValueRef::Null, "null"),
            (ValueRef::Integer(i64::MIN), "-9223372036854775808"),
            (ValueRef::Real(1.0), "1.0"),
            (ValueRef::Real(0.1 + 0.2), "0.30000000000000004"),
            (ValueRef::Real(-1e300), "-1e300"),
            (ValueRef::Real(f64::INFINITY), r#"{"real":"inf"}"#),
            (ValueRef::Real(f64::NEG_INFINITY), r#"{"real":"-inf"}"#),
            (ValueRef::Text("a\"b\n\0é".as_bytes()), r#""a\"b\n\u0000é""#),
            (ValueRef::Text(b"\xff"), r#"{"text":"ff"}"#),
            (ValueRef::Blob(b"\0\x7f"), r#"{"blob":"007f"}"#),
            (ValueRef::Blob(b""), r#"{"blob":""}"#),
        ] {
            assert_eq!(json(value), expected);
            serde_json::from_str::<serde_json::Value>(&json(value)).unwrap();
        }
    }

    #[test]
    fn keys_are_picked_from_objects_only() {
        let picked = pick(r#"{"a":1,"b":{"a":2},"c":[3],"\u0061":4} "#, ["a", "c", "x"]).unwrap();
        assert_eq!(picked, [Some(4.into()), Some(vec![3].into()), None]);
        for bad in ["", "[1]", "{", "{\"a\":1} x", "null", "{a:1}"] {
            assert!(pick(bad, ["a"]).is_none(), "{bad}");
        }
    }
}
