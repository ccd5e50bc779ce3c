//! Many rows in one piece of memory, as they came.

use std::fmt;

use hyper::body::Bytes;

use crate::value::{Rows, Value};

/// A value of [`PackedRows`], where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'r> {
    Null,
    /// −2⁶³ to 2⁶³ − 1.
    Integer(i64),
    /// Any number, infinities included where the other side can carry them.
    Real(f64),
    /// The bytes of a text, as they came: UTF-8, unless a server sends something else.
    Text(&'r [u8]),
    Blob(&'r [u8]),
}

impl ValueRef<'_> {
    /// The number of an integer; `None` for every other type.
    pub fn as_integer(self) -> Option<i64> {
        if let ValueRef::Integer(value) = self { Some(value) } else { None }
    }
}

/// What a statement gave, as [`Rows`], for many rows: values stay where they came in, and nothing is
/// allocated for each.
#[derive(Clone)]
pub struct PackedRows {
    width: usize,
    cells: Vec<Cell>,
    bytes: Bytes,
    size_bytes: usize,
}

#[derive(Clone, Copy)]
enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Span),
    Blob(Span),
}

/// A part of the bytes.
#[derive(Clone, Copy)]
struct Span {
    at: u32,
    length: u32,
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let at = self.at as usize;
        &bytes[at..at + self.length as usize]
    }
}

impl PackedRows {
    /// How many columns there are; 0 for a statement that gives no rows.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// How many bytes all values took on their way, without what stands around them.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The value of a row and column, both counted from 0; `None` where there is none.
    pub fn get(&self, row: usize, column: usize) -> Option<ValueRef<'_>> {
        if column >= self.width {
            return None;
        }
        let cell = self.cells.get(row.checked_mul(self.width)?.checked_add(column)?)?;
        Some(self.value(*cell))
    }

    /// The values of each row.
    pub fn rows(&self) -> impl Iterator<Item = impl ExactSizeIterator<Item = ValueRef<'_>>> {
        self.cells
            .chunks_exact(self.width.max(1))
            .map(|row| row.iter().map(|cell| self.value(*cell)))
    }

    fn value(&self, cell: Cell) -> ValueRef<'_> {
        match cell {
            Cell::Null => ValueRef::Null,
            Cell::Integer(value) => ValueRef::Integer(value),
            Cell::Real(value) => ValueRef::Real(value),
            Cell::Text(span) => ValueRef::Text(span.of(&self.bytes)),
            Cell::Blob(span) => ValueRef::Blob(span.of(&self.bytes)),
        }
    }
}

impl fmt::Debug for PackedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows().map(Iterator::collect::<Vec<_>>)).finish()
    }
}

/// Packs what came row by row; `None` if it has more bytes than can be told apart (4 GiB).
pub(crate) fn pack(rows: Rows) -> Option<PackedRows> {
    let mut bytes = Vec::new();
    let mut add = |part: &[u8]| {
        let span =
            Span { at: u32::try_from(bytes.len()).ok()?, length: u32::try_from(part.len()).ok()? };
        bytes.extend_from_slice(part);
        Some(span)
    };
    let mut size = Size::default();
    let width = rows.columns.len();
    let mut cells = Vec::with_capacity(rows.rows.len() * width);
    for value in rows.rows.into_iter().flatten() {
        let cell = match value {
            Value::Null => Cell::Null,
            Value::Integer(value) => Cell::Integer(value),
            Value::Real(value) => Cell::Real(value),
            Value::Text(text) => Cell::Text(add(text.as_bytes())?),
            Value::Blob(blob) => Cell::Blob(add(&blob)?),
        };
        size.add(cell);
        cells.push(cell);
    }
    Some(PackedRows { width, cells, bytes: bytes.into(), size_bytes: size.0 })
}

#[derive(Default)]
struct Size(usize);

impl Size {
    fn add(&mut self, cell: Cell) {
        self.0 += match cell {
            Cell::Null => 1,
            Cell::Integer(_) | Cell::Real(_) => 8,
            Cell::Text(span) | Cell::Blob(span) => span.length as usize,
        };
    }
}

/// Takes values one by one, each by where it stands in `bytes`.
pub(crate) struct Packing {
    bytes: Bytes,
    width: usize,
    cells: Vec<Cell>,
    size: Size,
}

impl Packing {
    /// `rows` is how many are expected.
    pub(crate) fn new(bytes: Bytes, width: usize, rows: usize) -> Self {
        Packing { bytes, width, cells: Vec::with_capacity(width * rows), size: Size::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// False if `value` is not a part of the bytes.
    pub(crate) fn add(&mut self, value: ValueRef<'_>) -> bool {
        let span = |part: &[u8]| {
            // Both are addresses within one piece of memory, if it is a part.
            let at = (part.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize)?;
            if at + part.len() > self.bytes.len() {
                return None;
            }
            Some(Span { at: u32::try_from(at).ok()?, length: u32::try_from(part.len()).ok()? })
        };
        let cell = match value {
            ValueRef::Null => Some(Cell::Null),
            ValueRef::Integer(value) => Some(Cell::Integer(value)),
            ValueRef::Real(value) => Some(Cell::Real(value)),
            ValueRef::Text(part) => span(part).map(Cell::Text),
            ValueRef::Blob(part) => span(part).map(Cell::Blob),
        };
        let Some(cell) = cell else { return false };
        self.size.add(cell);
        self.cells.push(cell);
        true
    }

    pub(crate) fn finish(self) -> PackedRows {
        PackedRows {
            width: self.width,
            cells: self.cells,
            bytes: self.bytes,
            size_bytes: self.size.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_rows_are_the_rows_that_came() {
        let rows = Rows {
            columns: vec!["a".into(), "b".into()],
            rows: vec![
                vec![Value::Null, Value::Integer(i64::MIN)],
                vec![Value::Text("ä\0".into()), Value::Blob(vec![])],
                vec![Value::Real(-0.0), Value::Text(String::new())],
            ],
            affected: 0,
        };
        let packed = pack(rows).unwrap();
        let found: Vec<Vec<ValueRef<'_>>> = packed.rows().map(Iterator::collect).collect();
        assert_eq!(
            found,
            [
                [ValueRef::Null, ValueRef::Integer(i64::MIN)],
                [ValueRef::Text("ä\0".as_bytes()), ValueRef::Blob(b"")],
                [ValueRef::Real(-0.0), ValueRef::Text(b"")],
            ]
        );
        assert_eq!((packed.len(), packed.width()), (3, 2));
        assert_eq!(packed.get(1, 0), Some(ValueRef::Text("ä\0".as_bytes())));
        assert_eq!((packed.get(0, 2), packed.get(3, 0)), (None, None));
    }

    #[test]
    fn what_stands_elsewhere_is_not_taken() {
        let mut packing = Packing::new(Bytes::from_static(b"here"), 1, 1);
        assert!(!packing.add(ValueRef::Text("elsewhere".as_bytes())));
        assert!(packing.finish().is_empty());
    }
}
