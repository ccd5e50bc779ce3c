//! Comparing key values as SQLite does: across types, and under its three collations.

use std::cmp::Ordering;

use crate::value::{Value, ValueRef};

/// The collations that SQLite has built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collation {
    Binary,
    NoCase,
    Rtrim,
}

impl Collation {
    /// None for a collation that a program has defined.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [("BINARY", Self::Binary), ("NOCASE", Self::NoCase), ("RTRIM", Self::Rtrim)]
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, collation)| collation)
    }
}

/// SQLite's order of two values: NULL, numbers, text, blobs.
pub(crate) fn compare(a: ValueRef<'_>, b: ValueRef<'_>, collation: Collation) -> Ordering {
    match (a, b) {
        (ValueRef::Integer(a), ValueRef::Integer(b)) => a.cmp(&b),
        (ValueRef::Real(a), ValueRef::Real(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (ValueRef::Integer(a), ValueRef::Real(b)) => compare_mixed(a, b),
        (ValueRef::Real(a), ValueRef::Integer(b)) => compare_mixed(b, a).reverse(),
        (ValueRef::Text(a), ValueRef::Text(b)) => compare_text(a, b, collation),
        (ValueRef::Blob(a), ValueRef::Blob(b)) => a.cmp(b),
        _ => class(a).cmp(&class(b)),
    }
}

fn class(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
    }
}

/// Exact, unlike a conversion of the integer to a float.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "guarded")]
fn compare_mixed(integer: i64, real: f64) -> Ordering {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if real.is_nan() || real < -TWO_TO_63 {
        return Ordering::Greater;
    }
    if real >= TWO_TO_63 {
        return Ordering::Less;
    }
    let whole = real as i64;
    integer.cmp(&whole).then_with(|| (integer as f64).partial_cmp(&real).unwrap_or(Ordering::Equal))
}

fn compare_text(a: &[u8], b: &[u8], collation: Collation) -> Ordering {
    match collation {
        Collation::Binary => a.cmp(b),
        Collation::NoCase => {
            // SQLite stops at a NUL here: what follows one does not count, only the length.
            let common = a.len().min(b.len());
            for (x, y) in a[..common].iter().zip(&b[..common]) {
                let order = x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase());
                if order != Ordering::Equal {
                    return order;
                }
                if *x == 0 {
                    break;
                }
            }
            a.len().cmp(&b.len())
        }
        Collation::Rtrim => trimmed(a).cmp(trimmed(b)),
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &text[..end]
}

/// A value that stands for all those that `collation` calls equal to `value`.
#[expect(clippy::cast_possible_truncation, reason = "only where the float is that integer")]
pub(crate) fn canonical(value: ValueRef<'_>, collation: Collation) -> Value {
    match (value, collation) {
        (ValueRef::Real(real), _) => {
            let whole = real as i64;
            if compare_mixed(whole, real) == Ordering::Equal {
                Value::Integer(whole)
            } else {
                Value::Real(real)
            }
        }
        (ValueRef::Text(text), Collation::NoCase) => {
            let end = text.iter().position(|byte| *byte == 0);
            let mut folded = text.to_ascii_lowercase();
            if let Some(end) = end {
                // Equal up to a NUL and in length is equal.
                folded[end..].fill(0);
            }
            Value::Text(folded)
        }
        (ValueRef::Text(text), Collation::Rtrim) => Value::Text(trimmed(text).to_vec()),
        (value, _) => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    fn samples() -> Vec<Value> {
        let mut samples = vec![
            Value::Null,
            Value::Real(-0.0),
            Value::Real(f64::INFINITY),
            Value::Real(f64::NEG_INFINITY),
            Value::Real(9_223_372_036_854_775_808.0),
            Value::Real(9_007_199_254_740_993.0),
            Value::Real(0.5),
            Value::Real(-0.5),
            Value::Real(1.0),
        ];
        for integer in [0, 1, -1, i64::MAX, i64::MIN, 9_007_199_254_740_993] {
            samples.push(Value::Integer(integer));
        }
        for text in
            ["", " ", "a", "A", "a ", "a  ", "b", "ab", "a\0b", "a\0c", "A\0d", "ä", "Ä", "["]
        {
            samples.push(Value::text(text));
            samples.push(Value::Blob(text.as_bytes().to_vec()));
        }
        samples
    }

    #[test]
    fn order_and_equality_are_those_of_sqlite() {
        let conn = Connection::open_in_memory().unwrap();
        for (name, collation) in [
            ("BINARY", Collation::Binary),
            ("NOCASE", Collation::NoCase),
            ("RTRIM", Collation::Rtrim),
        ] {
            for a in &samples() {
                for b in &samples() {
                    // A sort puts NULL and different types in order, which operators do not.
                    let sql = format!(
                        "SELECT rank() OVER (ORDER BY v COLLATE {name}) FROM
                         (SELECT 0 AS i, ?1 AS v UNION ALL SELECT 1, ?2) ORDER BY i"
                    );
                    let mut stmt = conn.prepare(&sql).unwrap();
                    let ranks: Vec<i64> = stmt
                        .query_map([a, b], |row| row.get(0))
                        .unwrap()
                        .map(Result::unwrap)
                        .collect();
                    let expected = ranks[0].cmp(&ranks[1]);
                    assert_eq!(
                        compare(a.as_ref(), b.as_ref(), collation),
                        expected,
                        "{a} {b} {name}"
                    );
                    let same = canonical(a.as_ref(), collation) == canonical(b.as_ref(), collation);
                    assert_eq!(same, expected == Ordering::Equal, "{a} {b} {name}");
                }
            }
        }
    }
}
