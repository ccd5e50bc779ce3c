//! Records that resemble each other.

use crate::{Damaged, Record, varint};

/// A header is looked for in one of so many slots, which its bytes choose; a power of two.
const SLOTS: usize = 4096;

/// Finds the values of records whose headers repeat: records with equal headers are of one shape, they
/// have their values in the same places, which are looked for once.
#[derive(Debug, Default)]
pub struct Shapes {
    /// One more than the place of a shape; 0: there is none. Empty at first.
    slots: Vec<u16>,
    list: Vec<Shape>,
    /// How many were found.
    found: u64,
}

/// What records with equal headers have in common.
#[derive(Debug, Default)]
pub struct Shape {
    header: Vec<u8>,
    record: Record,
    place: usize,
    number: u64,
}

impl Shapes {
    /// The shape of a record.
    ///
    /// # Errors
    /// [`Damaged`] if it is none.
    #[inline]
    pub fn of(&mut self, bytes: &[u8]) -> Result<&Shape, Damaged> {
        let cut_off = Damaged("a record is cut off");
        let (length, _) = varint(bytes, 0).ok_or(cut_off)?;
        let length = usize::try_from(length).map_err(|_| cut_off)?;
        let header = bytes.get(..length).ok_or(cut_off)?;
        let slot = slot_of(header);
        let place = self
            .slots
            .get(slot)
            .map_or(usize::MAX, |one_more| usize::from(*one_more).wrapping_sub(1));
        let place = match self.list.get(place) {
            Some(shape) if shape.header == header => place,
            _ => self.learn(slot, header, bytes)?,
        };
        let shape = &self.list[place];
        if shape.record.length() > bytes.len() { Err(cut_off) } else { Ok(shape) }
    }

    /// The shape that was found last in this place.
    ///
    /// # Panics
    /// If none was.
    #[inline]
    pub fn in_place(&self, place: usize) -> &Shape {
        &self.list[place]
    }

    fn learn(&mut self, slot: usize, header: &[u8], bytes: &[u8]) -> Result<usize, Damaged> {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, 0);
        }
        let place = match usize::from(self.slots[slot]).checked_sub(1) {
            Some(place) => place,
            None => self.list.len(),
        };
        // If the record is refused, the slot stays empty.
        let mut shape = self.list.get_mut(place).map(std::mem::take).unwrap_or_default();
        shape.record.parse(bytes)?;
        shape.header.clear();
        shape.header.extend_from_slice(header);
        self.found += 1;
        (shape.place, shape.number) = (place, self.found);
        match self.list.get_mut(place) {
            Some(former) => *former = shape,
            None => self.list.push(shape),
        }
        self.slots[slot] = u16::try_from(place + 1).expect("no more shapes than slots");
        Ok(place)
    }
}

impl Shape {
    /// Where the values are.
    #[inline]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Where something can be kept for the shape: below 4096, and no other shape's until
    /// [`Shape::number`] changes.
    #[inline]
    pub fn place(&self) -> usize {
        self.place
    }

    /// Differs from the number of every other shape of the same [`Shapes`].
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }
}

fn slot_of(header: &[u8]) -> usize {
    // Only the highest bits of a product depend on all others; the factor is of the golden ratio.
    let mix = |mixed: u64, number: u64| {
        let product = (mixed ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ product >> 32
    };
    let mixed = match header.last_chunk() {
        // The last eight bytes overlap with those before, unless that would be none.
        Some(last) => {
            let (eights, _) = header.as_chunks();
            let mixed =
                eights.iter().fold(0, |mixed, eight| mix(mixed, u64::from_le_bytes(*eight)));
            mix(mixed, u64::from_le_bytes(*last))
        }
        None => header.iter().fold(0, |mixed, byte| mix(mixed, u64::from(*byte))),
    };
    usize::try_from(mixed >> (u64::BITS - SLOTS.ilog2())).expect("below `SLOTS`")
}

#[cfg(test)]
mod tests {
    use rusqlite::types::ValueRef;

    use super::*;
    use crate::record::tests::encoded;

    #[test]
    fn records_of_any_headers_in_any_order_give_their_values() {
        let mut shapes = Shapes::default();
        let mut records = vec![Vec::new()];
        for length in 0..60 {
            let text = "x".repeat(length);
            for number in [0, 1, 40, 300, 1 << 40] {
                let values =
                    [ValueRef::Text(text.as_bytes()), ValueRef::Integer(number), ValueRef::Null];
                for places in 1..=values.len() {
                    records.push(encoded(&values[..places]));
                    records.push(encoded(&values.repeat(places)));
                }
            }
        }
        records[0] = encoded(&[ValueRef::Integer(7); 300]);
        for step in [1, 7, 11] {
            for at in 0..records.len() {
                let bytes = &records[at * step % records.len()];
                let mut record = Record::default();
                record.parse(bytes).unwrap();
                let shape = shapes.of(bytes).unwrap();
                assert_eq!(shape.record().len(), record.len());
                for place in 0..=record.len() {
                    assert_eq!(
                        shape.record().value(bytes, place),
                        record.value(bytes, place),
                        "{bytes:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_record_that_is_cut_off_is_reported_whatever_came_before() {
        let whole = encoded(&[ValueRef::Integer(300), ValueRef::Text(b"text")]);
        let mut shapes = Shapes::default();
        for _ in 0..2 {
            for length in 0..whole.len() {
                assert!(shapes.of(&whole[..length]).is_err(), "{length} bytes");
            }
            shapes.of(&whole).unwrap();
        }
        assert!(shapes.of(&[3, 10, 1, 0]).is_err());
        assert!(shapes.of(&[3, 10, 1, 0]).is_err());
    }

    #[test]
    fn a_number_belongs_to_one_header() {
        let mut shapes = Shapes::default();
        let mut headers = std::collections::HashMap::new();
        for length in (0..2_000).chain(0..2_000) {
            let text = "x".repeat(length);
            let bytes = encoded(&[ValueRef::Text(text.as_bytes())]);
            let number = shapes.of(&bytes).unwrap().number();
            assert_eq!(*headers.entry(number).or_insert(length), length);
        }
    }
}
