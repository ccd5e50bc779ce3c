//! Records: the values of a row as they are stored.

use std::ops::Range;

use rusqlite::types::ValueRef;

use crate::Damaged;

/// Where the values of a record are; kept from one record to the next for its memory.
#[derive(Clone, Debug, Default)]
pub struct Record {
    fields: Vec<Field>,
    length: usize,
}

/// One value of a record: its serial type, and where its content begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Field {
    serial: u32,
    at: u32,
}

impl Field {
    /// The whole number; `None` if the value is of another type. `bytes` is what was parsed.
    #[inline]
    pub fn integer(self, bytes: &[u8]) -> Option<i64> {
        let end = self.at as usize + integer_length(self.serial)?;
        integer_ending(self.serial, bytes, end)
            .or_else(|| integer_of(self.serial, bytes.get(self.at as usize..)?))
    }

    /// The text, UTF-8 or not; `None` if the value is of another type. `bytes` is what was parsed.
    #[inline]
    pub fn text(self, bytes: &[u8]) -> Option<&[u8]> {
        if !self.is_text() {
            return None;
        }
        let at = self.at as usize;
        bytes.get(at..at + (self.serial as usize - 13) / 2)
    }

    /// Where the whole number is in all records whose headers equal this one's; `None` if fewer than
    /// eight bytes end with it.
    pub fn number_place(self) -> Option<NumberPlace> {
        let length = match self.serial {
            8 => return Some(NumberPlace::constant(Some(0))),
            9 => return Some(NumberPlace::constant(Some(1))),
            serial => match integer_length(serial) {
                None => return Some(NumberPlace::constant(None)),
                Some(length) => length,
            },
        };
        let start = (self.at as usize + length).checked_sub(8)?;
        let others = 64 - 8 * u32::try_from(length).ok()?;
        Some(NumberPlace { start, others, stored: -1, constant: 0, is_number: true })
    }

    /// Whether the value is a text.
    #[inline]
    pub fn is_text(self) -> bool {
        self.serial >= 13 && !self.serial.is_multiple_of(2)
    }

    /// Where the content is.
    pub fn range(self) -> Range<usize> {
        let at = self.at as usize;
        at..at + serial_length(self.serial).unwrap_or(0)
    }

    /// The value; `None` if `bytes` is not what was parsed.
    #[inline]
    pub fn value(self, bytes: &[u8]) -> Option<ValueRef<'_>> {
        let serial = self.serial;
        let content = bytes.get(self.at as usize..)?;
        Some(match serial {
            0 => ValueRef::Null,
            1..=6 | 8 | 9 => ValueRef::Integer(integer_of(serial, content)?),
            7 => {
                let real = f64::from_bits(integer::<8>(content)?.cast_unsigned());
                // SQLite has no NaN.
                if real.is_nan() { ValueRef::Null } else { ValueRef::Real(real) }
            }
            _ => {
                let content = content.get(..(serial as usize - 12) / 2)?;
                if serial.is_multiple_of(2) {
                    ValueRef::Blob(content)
                } else {
                    ValueRef::Text(content)
                }
            }
        })
    }
}

/// A whole number that has its place in all records with equal headers.
#[derive(Clone, Copy, Debug)]
pub struct NumberPlace {
    /// Where the eight bytes begin that end with it.
    start: usize,
    /// How many of their bits are before it.
    others: u32,
    /// All bits, or none if records do not store it.
    stored: i64,
    /// What is not stored: 0, 1, or a default.
    constant: i64,
    is_number: bool,
}

impl NumberPlace {
    /// For a value that is the same in all records; `None` if it is no whole number.
    pub fn constant(value: Option<i64>) -> Self {
        let is_number = value.is_some();
        Self { start: 0, others: 0, stored: 0, constant: value.unwrap_or_default(), is_number }
    }

    /// The number in one of the records; `None` if the value is of another type.
    #[inline]
    pub fn read(self, bytes: &[u8]) -> Option<i64> {
        let eight = bytes.get(self.start..).and_then(<[u8]>::first_chunk);
        let wide = eight.map_or(0, |eight| i64::from_be_bytes(*eight));
        // Without a branch: which column is stored how is hard to foresee.
        let number = (wide << self.others >> self.others) & self.stored | self.constant;
        self.is_number.then_some(number)
    }
}

impl Record {
    /// Finds the values of a record.
    ///
    /// # Errors
    /// [`Damaged`] if it is none.
    #[inline]
    pub fn parse(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        // Nearly all types take one byte, and so does the length of the header, which begins it.
        if let Some(&[first]) = bytes.first_chunk()
            && let Some(serials) = bytes.get(1..first.into())
            && first < 0x80
            && bytes.len() < LONG as usize
        {
            let mut content = u32::from(first);
            self.fields.resize(serials.len(), Field::default());
            for (field, serial) in self.fields.iter_mut().zip(serials) {
                *field = Field { serial: u32::from(*serial), at: content };
                content += SHORT_LENGTHS[usize::from(*serial)];
            }
            self.length = content as usize;
            if self.length <= bytes.len() {
                return Ok(());
            }
        }
        self.parse_long(bytes)
    }

    fn parse_long(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        self.fields.clear();
        let broken = Damaged("a record is cut off");
        let (header, mut at) = varint(bytes, 0).ok_or(broken)?;
        let header = usize::try_from(header).map_err(|_| broken)?;
        let mut content = header;
        if header > bytes.len() {
            return Err(broken);
        }
        while at < header {
            let (serial, used) = varint(bytes, at).ok_or(broken)?;
            at += used;
            let serial = u32::try_from(serial).map_err(|_| broken)?;
            // A record has at most 2^31 bytes.
            let place = u32::try_from(content).map_err(|_| broken)?;
            content += serial_length(serial).ok_or(Damaged("a record has an unknown type"))?;
            self.fields.push(Field { serial, at: place });
        }
        self.length = content;
        if content > bytes.len() { Err(broken) } else { Ok(()) }
    }

    /// The bytes of its header and of all values together.
    #[inline]
    pub fn length(&self) -> usize {
        self.length
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

    /// The value in this place, to be taken out of what was parsed; `None` if the record ends before.
    #[inline]
    pub fn field(&self, place: usize) -> Option<Field> {
        self.fields.get(place).copied()
    }

    /// The whole number in this place; `None` if the value is of another type, or there is none.
    /// `bytes` is what was parsed.
    #[inline]
    pub fn integer(&self, bytes: &[u8], place: usize) -> Option<i64> {
        self.field(place)?.integer(bytes)
    }

    /// The text in this place, UTF-8 or not; `None` if the value is of another type, or there is none.
    /// `bytes` is what was parsed.
    #[inline]
    pub fn text<'r>(&self, bytes: &'r [u8], place: usize) -> Option<&'r [u8]> {
        self.field(place)?.text(bytes)
    }

    /// The value in this place; `None` if the record ends before. `bytes` is what was parsed.
    #[inline]
    pub fn value<'r>(&self, bytes: &'r [u8], place: usize) -> Option<ValueRef<'r>> {
        self.field(place)?.value(bytes)
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
    // Nearly all are types of one byte.
    if number < 0x80 {
        return 1;
    }
    (2..9).find(|bytes| number >> (7 * bytes) == 0).unwrap_or(9)
}

/// Appends a number below 2^56.
fn push_varint(record: &mut Vec<u8>, number: u64) {
    if let Ok(byte @ 0..0x80) = u8::try_from(number) {
        return record.push(byte);
    }
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

/// The number of one of the serial types of whole numbers, at the beginning of `content`.
#[inline]
fn integer_of(serial: u32, content: &[u8]) -> Option<i64> {
    match serial {
        1 => integer::<1>(content),
        2 => integer::<2>(content),
        3 => integer::<3>(content),
        4 => integer::<4>(content),
        5 => integer::<6>(content),
        6 => integer::<8>(content),
        8 => Some(0),
        9 => Some(1),
        _ => None,
    }
}

/// The number of one of the serial types of whole numbers whose content ends at `end`; `None` also if
/// fewer than eight bytes are before that.
#[inline]
fn integer_ending(serial: u32, bytes: &[u8], end: usize) -> Option<i64> {
    let others = match serial {
        8 => return Some(0),
        9 => return Some(1),
        serial => 64 - 8 * integer_length(serial)?,
    };
    // Its bytes are the last ones of these eight.
    let eight = bytes.get(end.checked_sub(8)?..end)?.first_chunk()?;
    Some(i64::from_be_bytes(*eight) << others >> others)
}

/// How many bytes a whole number takes; `None` for the serial types of other values.
#[inline]
fn integer_length(serial: u32) -> Option<usize> {
    const LENGTHS: [u8; 10] = [0, 1, 2, 3, 4, 6, 8, 0, 0, 0];
    match serial {
        1..=6 | 8 | 9 => Some(LENGTHS[serial as usize].into()),
        _ => None,
    }
}

/// The values of a record that is two whole numbers and nothing else, with at least five bytes before
/// it; `None` for others.
#[inline]
pub(crate) fn two_numbers(bytes: &[u8], record: Range<usize>) -> Option<(i64, i64)> {
    let &[3, first, second] = bytes.get(record.start..record.start + 3)? else { return None };
    let middle = record.start + 3 + integer_length(first.into())?;
    let end = middle + integer_length(second.into())?;
    if end != record.end {
        return None;
    }
    Some((integer_ending(first.into(), bytes, middle)?, integer_ending(second.into(), bytes, end)?))
}

/// Longer than any record that is found by [`SHORT_LENGTHS`]; and as often as a header of 127 bytes
/// can have it, it fits into 32 bits.
const LONG: u32 = 1 << 24;

/// How many bytes values take whose serial type is one byte; [`LONG`] if there is no such type, or it
/// has more bytes.
const SHORT_LENGTHS: [u32; 256] = {
    let mut lengths = [LONG; 256];
    let mut serial = 0;
    while serial < 0x80 {
        if let Some(length) = serial_length(serial) {
            #[expect(clippy::cast_possible_truncation, reason = "at most 57")]
            let length = length as u32;
            lengths[serial as usize] = length;
        }
        serial += 1;
    }
    lengths
};

/// How many bytes a value of this serial type takes; `None` for the two that files never hold.
const fn serial_length(serial: u32) -> Option<usize> {
    match serial {
        0 | 8 | 9 => Some(0),
        1..=4 => Some(serial as usize),
        5 => Some(6),
        6 | 7 => Some(8),
        10 | 11 => None,
        _ => Some((serial as usize - 12) / 2),
    }
}

/// SQLite's variable-length integer at `at`, and its length; `None` if it is cut off.
#[inline]
pub fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let seven = |byte: &u8| u64::from(byte & 0x7f);
    match bytes.get(at..)? {
        [a, ..] if *a < 0x80 => Some((seven(a), 1)),
        [a, b, ..] if *b < 0x80 => Some((seven(a) << 7 | seven(b), 2)),
        [a, b, c, ..] if *c < 0x80 => Some((seven(a) << 14 | seven(b) << 7 | seven(c), 3)),
        longer => long_varint(longer),
    }
}

fn long_varint(bytes: &[u8]) -> Option<(u64, usize)> {
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The record of these values.
    pub(crate) fn encoded(values: &[ValueRef<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(values.iter().copied(), &mut bytes);
        bytes
    }

    #[test]
    fn short_and_long_records_give_back_their_values() {
        let (long, texts) = ("x".repeat(60), ["", "a", "é"]);
        let numbers = [0, 1, -1, 127, 128, -129, 40_000, 1 << 23, 1 << 31, 1 << 47, i64::MIN];
        let mut values = vec![ValueRef::Null, ValueRef::Real(1.5), ValueRef::Blob(b"\xff")];
        values.extend(numbers.map(ValueRef::Integer));
        values.extend(texts.map(|text| ValueRef::Text(text.as_bytes())));
        let short = values.clone();
        values.push(ValueRef::Text(long.as_bytes()));
        let many = vec![ValueRef::Integer(300); 200];
        let mut record = Record::default();
        for values in [short, values, many, Vec::new()] {
            let bytes = encoded(&values);
            record.parse(&bytes).unwrap();
            assert_eq!(record.len(), values.len());
            for (place, value) in values.iter().enumerate() {
                assert_eq!(record.value(&bytes, place), Some(*value));
                assert_eq!(record.integer(&bytes, place), value.as_i64().ok());
                let field = record.field(place).unwrap();
                match field.number_place() {
                    Some(number) => assert_eq!(number.read(&bytes), value.as_i64().ok()),
                    None => assert!(field.range().end < 8, "{value:?}"),
                }
                assert_eq!(
                    record.text(&bytes, place),
                    value.as_bytes().ok().filter(|_| { matches!(value, ValueRef::Text(_)) })
                );
            }
            assert_eq!(record.value(&bytes, values.len()), None);
            assert_eq!(record.integer(&bytes, values.len()), None);
            assert_eq!(record.text(&bytes, values.len()), None);
        }
    }

    #[test]
    fn a_number_that_is_not_stored_needs_no_bytes() {
        let bytes = encoded(&[0, 1].map(ValueRef::Integer));
        assert_eq!(bytes.len(), 3);
        let mut record = Record::default();
        record.parse(&bytes).unwrap();
        for (place, value) in [(0, 0), (1, 1)] {
            let number = record.field(place).unwrap().number_place().unwrap();
            assert_eq!(number.read(&bytes), Some(value));
        }
        for value in [None, Some(i64::MIN), Some(7)] {
            assert_eq!(NumberPlace::constant(value).read(&bytes), value);
            assert_eq!(NumberPlace::constant(value).read(&[0xff; 8]), value);
        }
    }

    #[test]
    fn what_is_no_record_is_reported() {
        let whole = encoded(&[ValueRef::Integer(300), ValueRef::Text(b"text")]);
        let mut record = Record::default();
        for length in 0..whole.len() {
            assert!(record.parse(&whole[..length]).is_err(), "{length} bytes");
        }
        for unknown in [10, 11] {
            let error = record.parse(&[3, unknown, 1, 0]).unwrap_err();
            assert_eq!(error, Damaged("a record has an unknown type"));
        }
    }
}
