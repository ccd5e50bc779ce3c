//! One value on its way to the server: as JSON in a chunk, and as the SQL that reads it there.
//!
//! JSON holds NULL, integers and text as they are. Everything else is an array whose first element
//! says what it is:
//!
//! | written | is |
//! | --- | --- |
//! | `["r",m,e]` | the real m · 2ᵉ, −62 ≤ e ≤ 62: exact, whatever the server makes of decimals |
//! | `["q",m,e]` | the same, −124 ≤ e ≤ 124 |
//! | `["i",1]`, `["i",-1]`, `["z"]` | the infinities, −0.0 |
//! | `["x","00ff"]` | a blob |
//! | `["t","61ff"]` | text with NUL, or that is not UTF-8, by its bytes |
//! | `["v",n]`, `["V",n]` | the n-th value that is staged by itself; text by its bytes |
//! | `true` | a column that does not change |

use std::fmt::Write as _;

use libsql_diff::Value;

/// Values of more bytes are staged by themselves.
const LARGE_BYTES: usize = 64 << 10;
/// In a row with many values, those of more bytes.
const LARGE_BYTES_IN_WIDE_ROW: usize = 1 << 10;
/// A row with more bytes is wide.
pub(crate) const WIDE_ROW_BYTES: usize = 512 << 10;

/// The forms that the values of one cell take, over all rows of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forms(u16);

/// How one value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Real,
    FarReal,
    Infinity,
    NegativeZero,
    /// The other zero, written as any real.
    Zero,
    Blob,
    OddText,
    Apart,
    TextApart,
}

impl Form {
    pub(crate) fn of(value: &Value, in_wide_row: bool) -> Self {
        let large = if in_wide_row { LARGE_BYTES_IN_WIDE_ROW } else { LARGE_BYTES };
        match value {
            Value::Null | Value::Integer(_) => Self::Plain,
            Value::Real(real) if real.is_infinite() => Self::Infinity,
            Value::Real(real) if *real == 0.0 && real.is_sign_negative() => Self::NegativeZero,
            Value::Real(real) if *real == 0.0 => Self::Zero,
            Value::Real(real) => match parts(*real).1.unsigned_abs() {
                0..=62 => Self::Real,
                63..=124 => Self::FarReal,
                _ => Self::Apart,
            },
            Value::Text(bytes) => {
                let is_odd = bytes.contains(&0) || std::str::from_utf8(bytes).is_err();
                match (is_odd, bytes.len() > large) {
                    (false, false) => Self::Plain,
                    (false, true) => Self::Apart,
                    (true, false) => Self::OddText,
                    (true, true) => Self::TextApart,
                }
            }
            Value::Blob(bytes) if bytes.len() > large => Self::Apart,
            Value::Blob(_) => Self::Blob,
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }

    /// What the server gets for a value that is staged by itself.
    pub(crate) fn apart(value: &Value) -> libsql_link::Value {
        match value {
            Value::Null => libsql_link::Value::Null,
            Value::Integer(value) => libsql_link::Value::Integer(*value),
            Value::Real(value) => libsql_link::Value::Real(*value),
            Value::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if !bytes.contains(&0) => libsql_link::Value::Text(text.to_owned()),
                _ => libsql_link::Value::Blob(bytes.clone()),
            },
            Value::Blob(bytes) => libsql_link::Value::Blob(bytes.clone()),
        }
    }
}

impl Forms {
    pub(crate) fn add(&mut self, form: Form) {
        self.0 |= form.bit();
    }

    fn has(self, form: Form) -> bool {
        self.0 & form.bit() != 0
    }

    /// Whether some values are zeros, of which there are two that SQL calls equal.
    pub(crate) fn has_zeros(self) -> bool {
        self.has(Form::NegativeZero) || self.has(Form::Zero)
    }

    /// The SQL that reads cell `index` of the row `j.value`; `push` is the push's identity.
    pub(crate) fn sql(self, index: usize, push: &str) -> String {
        if self.0 & !Form::Plain.bit() == 0 {
            return format!("j.value->>{index}");
        }
        let part = |part: usize| format!("(j.value->>'$[{index}][{part}]')");
        let apart = format!(
            "(SELECT v.body FROM {stage} AS v WHERE v.push = '{push}' AND v.grp = 0 \
             AND v.chunk = {})",
            part(1),
            stage = super::STAGE,
        );
        let (m, e) = (part(1), part(2));
        let arms: [(Form, &str, String); 8] = [
            (
                Form::Real,
                "r",
                format!(
                    "CASE WHEN {e} < 0 THEN {m} * 1.0 / (1 << -{e}) \
                     ELSE {m} * 1.0 * (1 << {e}) END"
                ),
            ),
            (
                Form::FarReal,
                "q",
                format!(
                    "CASE WHEN {e} < 0 THEN {m} * 1.0 / (1 << 62) / (1 << (-{e} - 62)) \
                     ELSE {m} * 1.0 * (1 << 62) * (1 << ({e} - 62)) END"
                ),
            ),
            (Form::Infinity, "i", format!("9e999 * {m}")),
            (Form::NegativeZero, "z", "0.0 * -1.0".to_owned()),
            (Form::Blob, "x", format!("unhex({m})")),
            (Form::OddText, "t", format!("CAST(unhex({m}) AS TEXT)")),
            (Form::Apart, "v", apart.clone()),
            (Form::TextApart, "V", format!("CAST({apart} AS TEXT)")),
        ];
        let mut sql = format!("CASE json_type(j.value, '$[{index}]') WHEN 'array' THEN CASE ");
        let _ = write!(sql, "{}", part(0));
        for (form, letter, expression) in arms {
            let is_zero = form == Form::Real && self.has(Form::Zero);
            if self.has(form) || is_zero {
                let _ = write!(sql, " WHEN '{letter}' THEN {expression}");
            }
        }
        let _ = write!(sql, " END ELSE j.value->>{index} END");
        sql
    }
}

/// Writes a value as JSON; `apart` gives the number of a value that is staged by itself.
pub(crate) fn write(
    out: &mut String,
    value: &Value,
    form: Form,
    apart: &mut impl FnMut(&Value) -> u64,
) {
    // Writing to a String cannot fail.
    let _ = match (form, value) {
        (Form::Plain, Value::Integer(value)) => write!(out, "{value}"),
        (Form::Plain, Value::Text(bytes)) => {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            push_text(out, text);
            Ok(())
        }
        (Form::Real | Form::FarReal | Form::Zero, Value::Real(real)) => {
            let (m, e) = parts(*real);
            let letter = if form == Form::FarReal { 'q' } else { 'r' };
            write!(out, "[\"{letter}\",{m},{e}]")
        }
        (Form::Infinity, Value::Real(real)) => {
            write!(out, "[\"i\",{}]", if *real > 0.0 { 1 } else { -1 })
        }
        (Form::NegativeZero, _) => write!(out, "[\"z\"]"),
        (Form::Blob, Value::Blob(bytes)) => {
            push_hex(out, 'x', bytes);
            Ok(())
        }
        (Form::OddText, Value::Text(bytes)) => {
            push_hex(out, 't', bytes);
            Ok(())
        }
        (Form::Apart, value) => write!(out, "[\"v\",{}]", apart(value)),
        (Form::TextApart, value) => write!(out, "[\"V\",{}]", apart(value)),
        (_, _) => {
            out.push_str("null");
            Ok(())
        }
    };
}

fn push_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let byte = special.as_bytes()[0];
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
        rest = &special[1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn push_hex(out: &mut String, letter: char, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push_str("[\"");
    out.push(letter);
    out.push_str("\",\"");
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out.push_str("\"]");
}

/// A finite real as m · 2ᵉ with an odd m, or (0, 0).
fn parts(real: f64) -> (i64, i32) {
    let bits = real.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    let fraction = (bits & ((1 << 52) - 1)).cast_signed();
    let (m, e) = match exponent {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, exponent - 1075),
    };
    if m == 0 {
        return (0, 0);
    }
    let zeros = m.trailing_zeros();
    let m = m >> zeros;
    let e = e + zeros.cast_signed();
    (if real.is_sign_negative() { -m } else { m }, e)
}

/// A value inside of a statement: the SQL, with a parameter where it needs one.
pub(crate) fn inline(value: &Value, params: &mut Vec<libsql_link::Value>) -> String {
    match value {
        Value::Real(real) if real.is_infinite() => {
            if *real > 0.0 { "9e999" } else { "-9e999" }.to_owned()
        }
        Value::Text(bytes) if bytes.contains(&0) || std::str::from_utf8(bytes).is_err() => {
            params.push(libsql_link::Value::Blob(bytes.clone()));
            format!("CAST(?{} AS TEXT)", params.len())
        }
        value => {
            params.push(Form::apart(value));
            format!("?{}", params.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_is_its_parts_exactly() {
        let power = |e: i32| 2_f64.powi(e / 2) * 2_f64.powi(e - e / 2);
        for real in
            [0.0, 1.0, -1.0, 0.1, 12.34, 1e15, -1e300, 5e-324, f64::MAX, f64::MIN_POSITIVE, 1e-20]
        {
            let (m, e) = parts(real);
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let back = m as f64 * power(e);
            assert_eq!(back.to_bits(), real.to_bits(), "{real}");
        }
    }
}
