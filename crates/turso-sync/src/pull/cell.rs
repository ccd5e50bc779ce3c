//! One value on its way from the server: the SQL that writes it as JSON, and how it is read.
//!
//! | written | is |
//! | --- | --- |
//! | `null`, an integer, a string | itself |
//! | `["1.5"]` | a real, with 17 digits, which tell every real from all others |
//! | `["x","00FF"]` | a blob |
//! | `["t","61FF"]` | text by its bytes |
//! | `["L",n,"t"]`, `["L",n,"b"]` | text or blob of n bytes, to be fetched by itself |

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

/// Longer values are fetched by themselves.
pub(crate) const LARGE_BYTES: usize = 256 << 10;

/// Occurs in a page exactly if a value is to be fetched by itself: within a string, the quotes
/// would have backslashes.
pub(crate) const LARGE_MARK: &str = "[\"L\",";
/// As [`LARGE_MARK`], for a zero that may be −0.0.
pub(crate) const ZERO_MARK: &str = "[\"0.0\"]";

/// The SQL that writes the value of `column`; `in_hex` if some text may not be UTF-8.
pub(crate) fn sql(column: &str, in_hex: bool) -> String {
    let text = if in_hex {
        format!(" WHEN 'text' THEN json_array('t', hex({column}))")
    } else {
        String::new()
    };
    format!(
        "CASE WHEN octet_length({column}) > {LARGE_BYTES} \
         THEN json_array('L', octet_length({column}), substr(typeof({column}), 1, 1)) \
         ELSE CASE typeof({column}) WHEN 'real' THEN json_array(printf('%!.17g', {column})) \
         WHEN 'blob' THEN json_array('x', hex({column})){text} ELSE {column} END END"
    )
}

/// A value as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'p> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'p, str>),
    OddText(Vec<u8>),
    Blob(Vec<u8>),
    Large { bytes: u64, is_text: bool },
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfCell)
    }
}

struct OfCell;

impl<'de> Visitor<'de> for OfCell {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a page")
    }

    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Null)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Cell<'de>, E> {
        i64::try_from(value).map(Cell::Integer).map_err(|_| E::custom("an integer out of range"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Cell<'de>, A::Error> {
        let missing = || A::Error::custom("a value lacks a part");
        let first: Cow<'de, str> = parts.next_element()?.ok_or_else(missing)?;
        let cell = match &*first {
            "x" => Cell::Blob(from_hex(&mut parts)?),
            "t" => Cell::OddText(from_hex(&mut parts)?),
            "L" => {
                let bytes = parts.next_element()?.ok_or_else(missing)?;
                let kind: Cow<'de, str> = parts.next_element()?.ok_or_else(missing)?;
                Cell::Large { bytes, is_text: kind == "t" }
            }
            real => Cell::Real(real.parse().map_err(|_| A::Error::custom("an odd real"))?),
        };
        match parts.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(cell),
            Some(_) => Err(A::Error::custom("a value with too many parts")),
        }
    }
}

fn from_hex<'de, A: SeqAccess<'de>>(parts: &mut A) -> Result<Vec<u8>, A::Error> {
    let odd = || A::Error::custom("odd hex");
    let text: Cow<'de, str> = parts.next_element()?.ok_or_else(odd)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return Err(odd());
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| {
            let byte = digit(pair[0])? << 4 | digit(pair[1])?;
            u8::try_from(byte).ok()
        })
        .collect::<Option<_>>()
        .ok_or_else(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let page = r#"[null,-9223372036854775808,"a\n","b",["1.5"],["-Inf"],["x","00ff"],["t","61FF"],["L",300000,"t"]]"#;
        let cells: Vec<Cell<'_>> = serde_json::from_str(page).unwrap();
        assert_eq!(
            cells,
            [
                Cell::Null,
                Cell::Integer(i64::MIN),
                Cell::Text("a\n".into()),
                Cell::Text("b".into()),
                Cell::Real(1.5),
                Cell::Real(f64::NEG_INFINITY),
                Cell::Blob(vec![0, 255]),
                Cell::OddText(vec![0x61, 255]),
                Cell::Large { bytes: 300_000, is_text: true },
            ]
        );
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for page in
            ["[1.5]", "[[]]", r#"[["x","0"]]"#, r#"[["x","zz"]]"#, r#"[["x","00",1]]"#, "[true]"]
        {
            assert!(serde_json::from_str::<Vec<Cell<'_>>>(page).is_err(), "{page}");
        }
    }
}
