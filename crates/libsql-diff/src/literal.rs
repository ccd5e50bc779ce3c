//! Values as SQL text that every version of SQLite reads back to the same bit.

use std::io::{Result, Write};

use crate::sqlite::Encoding;
use crate::value::ValueRef;
use crate::wtf8;

/// Writes `value` as an SQL expression, for a database of this encoding.
pub(crate) fn write_literal(
    out: &mut dyn Write,
    value: ValueRef<'_>,
    encoding: Encoding,
) -> Result<()> {
    match value {
        ValueRef::Null => out.write_all(b"NULL"),
        ValueRef::Integer(integer) => write!(out, "{integer}"),
        ValueRef::Real(real) => write_real(out, real),
        ValueRef::Text(bytes) => match plain_text(bytes, encoding) {
            Some(text) => {
                out.write_all(b"'")?;
                for (index, part) in text.split('\'').enumerate() {
                    if index > 0 {
                        out.write_all(b"''")?;
                    }
                    out.write_all(part.as_bytes())?;
                }
                out.write_all(b"'")
            }
            None => write_cast(out, bytes, encoding),
        },
        ValueRef::Blob(bytes) => write_hex(out, bytes),
    }
}

/// The text, if it can stand between quotes. A NUL would end the statement; the `sqlite3` shell
/// drops a carriage return at the end of a line; and SQLite replaces the last two characters of the
/// first plane when it converts a statement to UTF-16.
fn plain_text(bytes: &[u8], encoding: Encoding) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_odd = bytes.iter().any(|byte| matches!(byte, 0 | b'\r'))
        || (encoding.is_utf16() && text.contains(['\u{fffe}', '\u{ffff}']));
    (!is_odd).then_some(text)
}

/// A cast takes the bytes for text in the database's own encoding.
pub(crate) fn write_cast(out: &mut dyn Write, bytes: &[u8], encoding: Encoding) -> Result<()> {
    out.write_all(b"CAST(")?;
    if encoding.is_utf16() {
        let mut units = Vec::with_capacity(bytes.len() * 2);
        if !wtf8::to_utf16(bytes, encoding == Encoding::Utf16be, &mut units) {
            let what = "a text that is not UTF-8, which a database in UTF-16 cannot hold";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
        }
        write_hex(out, &units)?;
    } else {
        write_hex(out, bytes)?;
    }
    out.write_all(b" AS TEXT)")
}

fn write_hex(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(b"x'")?;
    let mut digits = [0; 256];
    for chunk in bytes.chunks(128) {
        for (pair, byte) in digits.chunks_exact_mut(2).zip(chunk) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        out.write_all(&digits[..2 * chunk.len()])?;
    }
    out.write_all(b"'")
}

/// 2^52: the largest power of two whose multiples in a float's mantissa need no rounding.
const TWO_TO_52: &str = "4503599627370496.0";

fn write_real(out: &mut dyn Write, real: f64) -> Result<()> {
    if real.is_nan() {
        // SQLite keeps none; it is NULL there.
        return out.write_all(b"NULL");
    }
    if real.is_infinite() {
        return out.write_all(if real > 0.0 { b"9e999" } else { b"-9e999" });
    }
    if real == 0.0 {
        // A minus before a zero is lost in some versions; underflow keeps it in all.
        let zero: &[u8] = if real.is_sign_negative() { b"(-1e-300*1e-300)" } else { b"0.0" };
        return out.write_all(zero);
    }
    if let Some(decimal) = safe_decimal(real) {
        return out.write_all(decimal.as_bytes());
    }
    // An integer and powers of two, each exact, so that every step is.
    let (mantissa, mut exponent) = parts(real);
    let sign = if real < 0.0 { "-" } else { "" };
    write!(out, "({sign}{mantissa}")?;
    let operator = if exponent < 0 { "/" } else { "*" };
    if exponent == 0 {
        out.write_all(b"*1.0")?;
    }
    exponent = exponent.abs();
    while exponent >= 52 {
        write!(out, "{operator}{TWO_TO_52}")?;
        exponent -= 52;
    }
    if exponent > 0 {
        write!(out, "{operator}{}.0", 1_u64 << exponent)?;
    }
    out.write_all(b")")
}

/// A positive integer below 2^53 and an exponent of two that make up the absolute value.
fn parts(real: f64) -> (u64, i32) {
    let bits = real.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    let (mut mantissa, mut power) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | (1 << 52), exponent - 1075) };
    let zeros = mantissa.trailing_zeros();
    mantissa >>= zeros;
    power += zeros.cast_signed();
    (mantissa, power)
}

/// SQLite's reading of a decimal is not correctly rounded in all its versions: some use an 80-bit
/// product or quotient, which rounds twice. So a decimal is only good if what it denotes is clearly
/// nearer to this float than to its neighbours.
fn safe_decimal(real: f64) -> Option<String> {
    let text = format!("{real:?}");
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if text.contains('e') || digits.len() > 15 || decimals > 22 {
        return None;
    }
    let (mantissa, exponent) = parts(real);
    if exponent >= 0 {
        // A whole number below 10^15.
        return Some(text);
    }
    let written: u128 = digits.parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(decimals).ok()?);
    // Both as multiples of 2^exponent / scale.
    let shift = u32::try_from(-exponent).ok()?;
    let written =
        written.checked_shl(shift).filter(|shifted| shifted.checked_shr(shift) == Some(written))?;
    let exact = u128::from(mantissa).checked_mul(scale)?;
    // `parts` leaves out the zeros at the mantissa's end; a float's last place is that much smaller.
    let last_place = scale >> (53 - (64 - mantissa.leading_zeros())).min(127);
    (written.abs_diff(exact).checked_mul(64)? <= last_place.checked_mul(31)?).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use proptest::prelude::*;
    use rusqlite::Connection;

    fn literal(value: &Value) -> String {
        let mut out = Vec::new();
        write_literal(&mut out, value.as_ref(), Encoding::Utf8).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn read_back(conn: &Connection, literal: &str) -> Value {
        conn.query_row(&format!("SELECT {literal}"), [], |row| {
            Ok(crate::value::ValueRef::from(row.get_ref(0)?).to_owned())
        })
        .unwrap()
    }

    #[test]
    fn common_decimals_stay_readable() {
        for (real, text) in [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (-19.99, "-19.99"),
            (123_456_789.0, "123456789.0"),
            (0.5, "0.5"),
            (f64::INFINITY, "9e999"),
            (f64::NEG_INFINITY, "-9e999"),
        ] {
            assert_eq!(literal(&Value::Real(real)), text);
        }
        assert_eq!(literal(&Value::text("it's")), "'it''s'");
        assert_eq!(literal(&Value::Blob(vec![0, 255])), "x'00ff'");
        assert_eq!(literal(&Value::text("a\0")), "CAST(x'6100' AS TEXT)");
    }

    #[test]
    fn reals_at_the_edges_come_back_to_the_bit() {
        let conn = Connection::open_in_memory().unwrap();
        for real in [
            0.0,
            -0.0,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            f64::from_bits((1 << 52) - 1),
            f64::MAX,
            f64::MIN,
            f64::EPSILON,
            9_007_199_254_740_993.0,
            9_223_372_036_854_775_807.0,
            0.1 + 0.2,
            1e22,
            1e23,
            -1e-310,
        ] {
            let value = Value::Real(real);
            assert_eq!(read_back(&conn, &literal(&value)), value, "{}", literal(&value));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn reals_come_back_to_the_bit(bits: u64, decimal in -1_000_000_000_i64..1_000_000_000, places in 0..9_i32) {
            let conn = Connection::open_in_memory().unwrap();
            #[expect(clippy::cast_precision_loss, reason = "any float will do")]
            let short = decimal as f64 / 10_f64.powi(places);
            for real in [f64::from_bits(bits), short] {
                if !real.is_nan() {
                    let value = Value::Real(real);
                    prop_assert_eq!(read_back(&conn, &literal(&value)), value);
                }
            }
        }
    }
}
