//! Records: the values of a row as they are stored.

use rusqlite::types::ValueRef;

use crate::Damaged;

/// Where the values of a record are; kept from one record to the next for its memory.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Serial types and the places of their contents.
    fields: Vec<(u32, u32)>,
}

impl Record {
    /// Finds the values of a record.
    ///
    /// # Errors
    /// [`Damaged`] if it is none.
    pub fn parse(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        self.fields.clear();
        let broken = Damaged("a record is cut off");
        let (header, mut at) = varint(bytes, 0).ok_or(broken)?;
        let header = usize::try_from(header).map_err(|_| broken)?;
        let mut content = header;
        if header > bytes.len() {
            return Err(broken);
        }
        while at < header {
            let byte = bytes[at];
            let serial = if byte < 0x80 {
                at += 1;
                u32::from(byte)
            } else {
                let (serial, used) = varint(bytes, at).ok_or(broken)?;
                at += used;
                u32::try_from(serial).map_err(|_| broken)?
            };
            // A record has at most 2^31 bytes.
            let place = u32::try_from(content).map_err(|_| broken)?;
            content += serial_length(serial).ok_or(Damaged("a record has an unknown type"))?;
            self.fields.push((serial, place));
        }
        if content > bytes.len() { Err(broken) } else { Ok(()) }
    }

    /// How many values the record has: fewer than its table has columns, if it was written before
    /// the last were added.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value in this place; `None` if the record ends before. `bytes` is what was parsed.
    #[inline]
    pub fn value<'r>(&self, bytes: &'r [u8], place: usize) -> Option<ValueRef<'r>> {
        let (serial, at) = *self.fields.get(place)?;
        let content = bytes.get(at as usize..)?;
        Some(match serial {
            0 => ValueRef::Null,
            8 => ValueRef::Integer(0),
            9 => ValueRef::Integer(1),
            1 => ValueRef::Integer(integer::<1>(content)?),
            2 => ValueRef::Integer(integer::<2>(content)?),
            3 => ValueRef::Integer(integer::<3>(content)?),
            4 => ValueRef::Integer(integer::<4>(content)?),
            5 => ValueRef::Integer(integer::<6>(content)?),
            6 => ValueRef::Integer(integer::<8>(content)?),
            7 => {
                let real = f64::from_bits(integer::<8>(content)?.cast_unsigned());
                // SQLite has no NaN.
                if real.is_nan() { ValueRef::Null } else { ValueRef::Real(real) }
            }
            _ => {
                let content = content.get(..(serial as usize - 12) / 2)?;
                if serial % 2 == 0 { ValueRef::Blob(content) } else { ValueRef::Text(content) }
            }
        })
    }
}

/// Appends the record that SQLite makes of these values.
pub fn encode<'v>(values: impl Iterator<Item = ValueRef<'v>> + Clone, record: &mut Vec<u8>) {
    let length = values.clone().map(|value| varint_length(serial_of(value))).sum::<usize>();
    // The header begins with its own length.
    let mut header = length + 1;
    while varint_length(header as u64) + length > header {
        header += 1;
    }
    push_varint(record, header as u64);
    for value in values.clone() {
        push_varint(record, serial_of(value));
    }
    for value in values {
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(number) => {
                let bytes = serial_length(u32::try_from(serial_of(value)).unwrap_or(0));
                record.extend_from_slice(&number.to_be_bytes()[8 - bytes.unwrap_or(0)..]);
            }
            ValueRef::Real(number) => record.extend_from_slice(&number.to_bits().to_be_bytes()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => record.extend_from_slice(bytes),
        }
    }
}

fn serial_of(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(0) => 8,
        ValueRef::Integer(1) => 9,
        ValueRef::Integer(number) => {
            // Bits besides the sign.
            let bits = 64 - (number ^ (number >> 63)).leading_zeros();
            match bits {
                0..=7 => 1,
                8..=15 => 2,
                16..=23 => 3,
                24..=31 => 4,
                32..=47 => 5,
                _ => 6,
            }
        }
        ValueRef::Real(_) => 7,
        ValueRef::Blob(bytes) => 12 + 2 * bytes.len() as u64,
        ValueRef::Text(bytes) => 13 + 2 * bytes.len() as u64,
    }
}

fn varint_length(number: u64) -> usize {
    (1..9).find(|bytes| number >> (7 * bytes) == 0).unwrap_or(9)
}

/// Appends a number below 2^56.
fn push_varint(record: &mut Vec<u8>, number: u64) {
    for place in (0..varint_length(number)).rev() {
        let seven = u8::try_from(number >> (7 * place) & 0x7f).expect("seven bits");
        record.push(if place == 0 { seven } else { seven | 0x80 });
    }
}

/// A big-endian signed number.
#[inline]
fn integer<const BYTES: usize>(content: &[u8]) -> Option<i64> {
    let bytes: &[u8; BYTES] = content.first_chunk()?;
    let mut wide = [if bytes[0] >= 0x80 { 0xff } else { 0 }; 8];
    wide[8 - BYTES..].copy_from_slice(bytes);
    Some(i64::from_be_bytes(wide))
}

/// How many bytes a value of this serial type takes; `None` for the two that files never hold.
#[inline]
fn serial_length(serial: u32) -> Option<usize> {
    const LENGTHS: [u8; 12] = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, u8::MAX, u8::MAX];
    match LENGTHS.get(serial as usize) {
        None => Some((serial as usize - 12) / 2),
        Some(&u8::MAX) => None,
        Some(length) => Some(usize::from(*length)),
    }
}

/// SQLite's variable-length integer at `at`, and its length.
#[inline]
pub(crate) fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let bytes = bytes.get(at..)?;
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((u64::from(first), 1));
    }
    let mut number = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some((number << 8 | u64::from(*byte), 9));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if *byte < 0x80 {
            return Some((number, index + 1));
        }
    }
    None
}
