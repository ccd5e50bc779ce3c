//! Hrana 3 in its other encoding, Protocol Buffers: for answers with many rows.
//!
//! Values travel as they are: blobs and texts byte by byte, reals by their bits, infinities
//! included. A server takes less time to write it than JSON, and here nothing is copied. Only what
//! a snapshot asks is spoken so; the numbers of the fields are those of Hrana's `http.proto` and
//! `hrana.proto`.

use hyper::body::Bytes;

use crate::hrana::WireError;
use crate::packed::{PackedRows, Packing, ValueRef};
use crate::value::{Statement, Value};

/// Some bytes are no message, or not the one that they should be.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) &'static str);

type Result<T> = std::result::Result<T, Malformed>;

/// A message being written.
#[derive(Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn varint(&mut self, field: u32, value: u64) {
        self.raw(u64::from(field) << 3);
        self.raw(value);
    }

    pub(crate) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.raw(u64::from(field) << 3 | 2);
        self.raw(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u32, message: &Message) {
        self.bytes(field, &message.0);
    }

    fn double(&mut self, field: u32, value: f64) {
        self.raw(u64::from(field) << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn raw(&mut self, mut value: u64) {
        // Seven bits to a byte, the lowest first; the eighth says that more follow.
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Field<'m> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'m [u8]),
}

impl<'m> Field<'m> {
    pub(crate) fn bytes(self) -> Result<&'m [u8]> {
        if let Field::Bytes(bytes) = self {
            Ok(bytes)
        } else {
            Err(Malformed("a field is no text"))
        }
    }

    pub(crate) fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}

/// The fields of a message, in the order that they stand in.
pub(crate) struct Fields<'m>(pub(crate) &'m [u8]);

impl<'m> Fields<'m> {
    #[inline]
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for (at, &byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (at * 7);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed("a number does not end"))
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'m [u8]> {
        let parts = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let (part, rest) = parts.ok_or(Malformed("a field is cut off"))?;
        self.0 = rest;
        Ok(part)
    }

    #[inline]
    fn field(&mut self) -> Result<(u64, Field<'m>)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Field::Fixed(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed(0)
            }
            _ => return Err(Malformed("a field is of no known type")),
        };
        Ok((key >> 3, field))
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u64, Field<'m>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// A request that runs all `statements`.
pub(crate) fn pipeline(baton: Option<&str>, statements: &[Statement]) -> Vec<u8> {
    let mut body = Message::default();
    if let Some(baton) = baton {
        body.bytes(1, baton.as_bytes());
    }
    for one in statements {
        let mut stmt = Message::default();
        stmt.bytes(1, one.sql.as_bytes());
        for param in &one.params {
            stmt.message(3, &value(param));
        }
        stmt.varint(5, 1);
        let (mut execute, mut request) = (Message::default(), Message::default());
        execute.message(1, &stmt);
        request.message(2, &execute);
        body.message(2, &request);
    }
    body.into_bytes()
}

fn value(value: &Value) -> Message {
    let mut message = Message::default();
    match value {
        Value::Null => message.bytes(1, &[]),
        Value::Integer(value) => {
            message.varint(2, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
        }
        Value::Real(value) => message.double(3, *value),
        Value::Text(value) => message.bytes(4, value.as_bytes()),
        Value::Blob(value) => message.bytes(5, value),
    }
    message
}

/// What answers [`pipeline`].
pub(crate) struct Answer {
    pub(crate) baton: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) results: Vec<std::result::Result<PackedRows, WireError>>,
}

/// Reads an answer; its rows keep `body`.
pub(crate) fn answer(body: &Bytes) -> Result<Answer> {
    let mut answer = Answer { baton: None, base_url: None, results: vec![] };
    for field in Fields(body) {
        match field? {
            (1, field) => answer.baton = Some(field.text()?),
            (2, field) => answer.base_url = Some(field.text()?),
            (3, field) => answer.results.push(result(field.bytes()?, body)?),
            _ => {}
        }
    }
    Ok(answer)
}

fn result(message: &[u8], body: &Bytes) -> Result<std::result::Result<PackedRows, WireError>> {
    for field in Fields(message) {
        match field? {
            (1, response) => return Ok(Ok(response_rows(response.bytes()?, body)?)),
            (2, error) => return Ok(Err(wire_error(error.bytes()?)?)),
            _ => {}
        }
    }
    Err(Malformed("a result is neither rows nor an error"))
}

fn wire_error(message: &[u8]) -> Result<WireError> {
    let mut error = WireError { message: String::new(), code: None };
    for field in Fields(message) {
        match field? {
            (1, field) => error.message = field.text()?,
            (2, field) => error.code = Some(field.text()?),
            _ => {}
        }
    }
    Ok(error)
}

/// Of the response to an `execute`.
fn response_rows(message: &[u8], body: &Bytes) -> Result<PackedRows> {
    let within = |message, number, what| {
        Fields(message)
            .find_map(|field| match field {
                Ok((found, field)) if found == number => Some(field.bytes()),
                Ok(_) => None,
                Err(malformed) => Some(Err(malformed)),
            })
            .unwrap_or(Err(Malformed(what)))
    };
    let execute = within(message, 2, "a response answers something else")?;
    let result = within(execute, 1, "a response has no result")?;
    let (mut width, mut rows) = (0, 0);
    for field in Fields(result) {
        match field?.0 {
            1 => width += 1,
            2 => rows += 1,
            _ => {}
        }
    }
    let mut packing = Packing::new(body.clone(), width, rows);
    for field in Fields(result) {
        let (2, row) = field? else { continue };
        let before = packing.len();
        for field in Fields(row.bytes()?) {
            let (1, cell) = field? else { continue };
            if !packing.add(read_value(cell.bytes()?)?) {
                return Err(Malformed("it is too large"));
            }
        }
        if packing.len() - before != width {
            return Err(Malformed("a row has another number of values than of columns"));
        }
    }
    Ok(packing.finish())
}

#[inline]
fn read_value(message: &[u8]) -> Result<ValueRef<'_>> {
    let mut found = None;
    for field in Fields(message) {
        found = Some(match field? {
            (1, _) => ValueRef::Null,
            (2, Field::Varint(raw)) => {
                ValueRef::Integer((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
            }
            (3, Field::Fixed(bits)) => ValueRef::Real(f64::from_bits(bits)),
            (4, Field::Bytes(text)) => ValueRef::Text(text),
            (5, Field::Bytes(blob)) => ValueRef::Blob(blob),
            _ => return Err(Malformed("a value is of no known type")),
        });
    }
    found.ok_or(Malformed("a value is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with one row of the values.
    fn one_row(values: &[Value]) -> Bytes {
        let (mut row, mut result) = (Message::default(), Message::default());
        for one in values {
            result.bytes(1, b"");
            row.message(1, &value(one));
        }
        result.message(2, &row);
        let (mut execute, mut response) = (Message::default(), Message::default());
        execute.message(1, &result);
        response.message(2, &execute);
        let (mut results, mut body) = (Message::default(), Message::default());
        results.message(1, &response);
        body.bytes(1, b"baton");
        body.message(3, &results);
        body.into_bytes().into()
    }

    #[test]
    fn every_value_is_read_as_it_was_written() {
        let values = [
            Value::Null,
            Value::Integer(0),
            Value::Integer(-1),
            Value::Integer(i64::MIN),
            Value::Integer(i64::MAX),
            Value::Real(-0.0),
            Value::Real(f64::NEG_INFINITY),
            Value::Real(0.1),
            Value::Text(String::new()),
            Value::Text("ä\0".into()),
            Value::Blob(vec![0, 255]),
        ];
        let body = one_row(&values);
        let read = answer(&body).unwrap();
        assert_eq!(read.baton.as_deref(), Some("baton"));
        let rows = read.results[0].as_ref().unwrap_or_else(|_| panic!());
        assert_eq!((rows.len(), rows.width()), (1, values.len()));
        for (at, value) in values.iter().enumerate() {
            match (value, rows.get(0, at).unwrap()) {
                (Value::Null, ValueRef::Null) => {}
                (Value::Integer(a), ValueRef::Integer(b)) => assert_eq!(*a, b),
                (Value::Real(a), ValueRef::Real(b)) => assert_eq!(a.to_bits(), b.to_bits()),
                (Value::Text(a), ValueRef::Text(b)) => assert_eq!(a.as_bytes(), b),
                (Value::Blob(a), ValueRef::Blob(b)) => assert_eq!(a, b),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_answer_cut_off_anywhere_is_malformed_or_without_results() {
        let body = one_row(&[Value::Text("some text".into()), Value::Integer(7)]);
        for length in 0..body.len() {
            let read = answer(&body.slice(..length));
            assert!(read.is_err() || read.unwrap().results.is_empty(), "{length}");
        }
    }

    #[test]
    fn a_row_with_a_value_too_few_is_malformed() {
        let mut result = Message::default();
        result.bytes(1, b"");
        result.bytes(2, b"");
        let (mut execute, mut response) = (Message::default(), Message::default());
        execute.message(1, &result);
        response.message(2, &execute);
        let response = Bytes::from(response.into_bytes());
        assert!(response_rows(&response, &response).is_err());
    }
}
