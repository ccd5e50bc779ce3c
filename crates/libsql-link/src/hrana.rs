//! Hrana 3 over HTTP, as JSON: what a libSQL server is asked, and what it answers.
//!
//! Values are read where they stand, without the detour through a tree of JSON: rows are most of
//! what is carried.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

use crate::value::{Statement, Value};

/// Writes without padding and reads with and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(serde::Serialize)]
pub(crate) struct Pipeline<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baton: Option<&'a str>,
    pub(crate) requests: Vec<Request<'a>>,
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Request<'a> {
    Close,
    Execute { stmt: Stmt<'a> },
    Batch { batch: Batch<'a> },
}

#[derive(serde::Serialize)]
pub(crate) struct Stmt<'a> {
    sql: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    args: Vec<Arg<'a>>,
    want_rows: bool,
}

impl<'a> Stmt<'a> {
    pub(crate) fn new(sql: &'a str, params: &'a [Value]) -> Self {
        Stmt { sql, args: params.iter().map(Arg).collect(), want_rows: true }
    }
}

struct Arg<'a>(&'a Value);

impl Serialize for Arg<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        let (kind, key, text): (_, _, Cow<'_, str>) = match self.0 {
            Value::Null => ("null", "", "".into()),
            Value::Integer(value) => ("integer", "value", value.to_string().into()),
            Value::Real(value) => {
                if !value.is_finite() {
                    return Err(S::Error::custom(
                        "JSON has no infinities and no NaN; write 9e999 in the statement",
                    ));
                }
                map.serialize_entry("type", "float")?;
                map.serialize_entry("value", value)?;
                return map.end();
            }
            Value::Text(value) => ("text", "value", value.into()),
            Value::Blob(value) => ("blob", "base64", BASE64.encode(value).into()),
        };
        map.serialize_entry("type", kind)?;
        if !key.is_empty() {
            map.serialize_entry(key, &text)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
pub(crate) struct Batch<'a> {
    steps: Vec<Step<'a>>,
}

impl<'a> Batch<'a> {
    pub(crate) fn single(stmt: Stmt<'a>) -> Self {
        Batch { steps: vec![Step { condition: None, stmt }] }
    }
}

/// Asks for the rows of a batch one by one, without the limit that whole answers have.
#[derive(serde::Serialize)]
pub(crate) struct Cursor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baton: Option<&'a str>,
    pub(crate) batch: Batch<'a>,
}

/// The first line of what answers a cursor.
#[derive(serde::Deserialize)]
pub(crate) struct CursorAnswer {
    #[serde(default)]
    pub(crate) baton: Option<String>,
    #[serde(default)]
    pub(crate) base_url: Option<String>,
}

/// Each further line; which fields there are depends on `type`.
#[derive(serde::Deserialize)]
pub(crate) struct CursorEntry {
    #[serde(rename = "type")]
    pub(crate) kind: EntryKind,
    #[serde(default)]
    pub(crate) cols: Vec<Column>,
    #[serde(default)]
    pub(crate) row: Vec<WireValue>,
    #[serde(default)]
    pub(crate) error: Option<WireError>,
}

#[derive(serde::Deserialize, PartialEq, Clone, Copy, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EntryKind {
    StepBegin,
    StepEnd,
    StepError,
    Row,
    Error,
    #[serde(other)]
    Other,
}

#[derive(serde::Serialize)]
struct Step<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
    stmt: Stmt<'a>,
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Condition {
    Ok { step: usize },
    Not { cond: Box<Condition> },
}

impl<'a> Batch<'a> {
    /// The `first` statements, then the others up to `COMMIT`, each only if the one before
    /// succeeded; and a `ROLLBACK` if the `COMMIT` did not. `first` ends with a `BEGIN`.
    pub(crate) fn transaction(first: &[&'a str], statements: &'a [Statement]) -> Self {
        let first = first.iter().map(|sql| Stmt::new(sql, &[]));
        let inner = statements.iter().map(|one| Stmt::new(&one.sql, &one.params));
        let all = first.chain(inner).chain([Stmt::new("COMMIT", &[])]);
        let after = |step: usize| step.checked_sub(1).map(|step| Condition::Ok { step });
        let mut steps: Vec<Step<'a>> =
            all.enumerate().map(|(step, stmt)| Step { condition: after(step), stmt }).collect();
        let committed = Condition::Ok { step: steps.len() - 1 };
        let not_committed = Condition::Not { cond: Box::new(committed) };
        steps.push(Step { condition: Some(not_committed), stmt: Stmt::new("ROLLBACK", &[]) });
        Batch { steps }
    }
}

#[derive(serde::Deserialize)]
pub(crate) struct PipelineAnswer {
    #[serde(default)]
    pub(crate) baton: Option<String>,
    #[serde(default)]
    pub(crate) base_url: Option<String>,
    pub(crate) results: Vec<RequestResult>,
}

/// Either a response or an error; which one, says `type`.
#[derive(serde::Deserialize)]
pub(crate) struct RequestResult {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) response: Option<Response>,
    #[serde(default)]
    pub(crate) error: Option<WireError>,
}

#[derive(serde::Deserialize, PartialEq, Clone, Copy, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Ok,
    Error,
}

#[derive(serde::Deserialize)]
pub(crate) struct WireError {
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) code: Option<String>,
}

#[derive(serde::Deserialize)]
pub(crate) struct Response {
    #[serde(default)]
    pub(crate) result: Option<ResponseResult>,
}

/// Of `execute` or of `batch`: which fields there are depends on what was asked.
#[derive(serde::Deserialize)]
pub(crate) struct ResponseResult {
    #[serde(default)]
    pub(crate) cols: Vec<Column>,
    #[serde(default)]
    pub(crate) rows: Vec<Vec<WireValue>>,
    #[serde(default)]
    pub(crate) affected_row_count: Option<u64>,
    #[serde(default)]
    pub(crate) step_results: Option<Vec<Option<ResponseResult>>>,
    #[serde(default)]
    pub(crate) step_errors: Option<Vec<Option<WireError>>>,
}

#[derive(serde::Deserialize)]
pub(crate) struct Column {
    #[serde(default)]
    pub(crate) name: Option<String>,
}

pub(crate) struct WireValue(pub(crate) Value);

/// What an error of [`WireValue`] begins with that is no fault of the protocol but of the value.
pub(crate) const INFINITE: &str = "a real number came without its value";

impl<'de> Deserialize<'de> for WireValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap;

        impl<'de> Visitor<'de> for OfMap {
            type Value = WireValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its type")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireValue, A::Error> {
                let mut kind = None;
                let mut scalar = Scalar::None;
                while let Some(field) = map.next_key()? {
                    match field {
                        Field::Type => kind = Some(map.next_value()?),
                        Field::Value | Field::Base64 => scalar = map.next_value()?,
                        Field::Other => {
                            map.next_value::<de::IgnoredAny>()?;
                        }
                    }
                }
                let kind = kind.ok_or_else(|| de::Error::missing_field("type"))?;
                let odd = || de::Error::custom(format_args!("odd {kind:?} value"));
                Ok(WireValue(match (kind, scalar) {
                    (Type::Null, _) => Value::Null,
                    (Type::Integer, Scalar::Text(text)) => {
                        Value::Integer(text.parse().map_err(|_| odd())?)
                    }
                    (Type::Integer, Scalar::Integer(value)) => Value::Integer(value),
                    (Type::Float, Scalar::Real(value)) => Value::Real(value),
                    #[expect(clippy::cast_precision_loss, reason = "JSON has one kind of number")]
                    (Type::Float, Scalar::Integer(value)) => Value::Real(value as f64),
                    (Type::Float, Scalar::None) => return Err(de::Error::custom(INFINITE)),
                    (Type::Text, Scalar::Text(text)) => Value::Text(text.into_owned()),
                    (Type::Blob, Scalar::Text(text)) => {
                        Value::Blob(BASE64.decode(&*text).map_err(|_| odd())?)
                    }
                    _ => return Err(odd()),
                }))
            }
        }

        deserializer.deserialize_map(OfMap)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Type,
    Value,
    Base64,
    #[serde(other)]
    Other,
}

#[derive(serde::Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Type {
    Null,
    Integer,
    Float,
    Text,
    Blob,
}

enum Scalar<'de> {
    None,
    Integer(i64),
    Real(f64),
    Text(Cow<'de, str>),
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfScalar;

        impl<'de> Visitor<'de> for OfScalar {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or null")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::None)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Integer(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar<'de>, E> {
                #[expect(clippy::cast_precision_loss, reason = "only a real can be as large")]
                Ok(i64::try_from(value).map_or(Scalar::Real(value as f64), Scalar::Integer))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Real(value))
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_any(OfScalar)
    }
}
