//! What goes to a database and comes back: values with their types, statements, rows.

/// A value as SQLite stores it, with its type.
///
/// Two values are equal if their types and values are; a NaN cannot be stored (SQLite makes it NULL).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    /// −2⁶³ to 2⁶³ − 1.
    Integer(i64),
    /// Any number, infinities included. A remote database takes no infinity as a parameter and
    /// sends none back: see [`Error::Unreadable`](crate::Error::Unreadable).
    Real(f64),
    /// UTF-8; may contain the character NUL.
    Text(String),
    Blob(Vec<u8>),
}

macro_rules! value_from {
    ($($from:ty => |$value:ident| $to:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        })*
    };
}

value_from! {
    i64 => |value| Value::Integer(value);
    i32 => |value| Value::Integer(value.into());
    u32 => |value| Value::Integer(value.into());
    bool => |value| Value::Integer(value.into());
    f64 => |value| Value::Real(value);
    &str => |value| Value::Text(value.to_owned());
    String => |value| Value::Text(value);
    Vec<u8> => |value| Value::Blob(value);
    &[u8] => |value| Value::Blob(value.to_vec());
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl Value {
    /// The number of an integer; `None` for every other type.
    pub fn as_integer(&self) -> Option<i64> {
        if let Value::Integer(value) = self { Some(*value) } else { None }
    }

    /// The number of a real; `None` for every other type, integers included.
    pub fn as_real(&self) -> Option<f64> {
        if let Value::Real(value) = self { Some(*value) } else { None }
    }

    /// The text of a text; `None` for every other type.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(value) = self { Some(value) } else { None }
    }

    /// The bytes of a blob; `None` for every other type.
    pub fn as_blob(&self) -> Option<&[u8]> {
        if let Value::Blob(value) = self { Some(value) } else { None }
    }
}

/// One SQL statement with its values for `?1`, `?2`, ….
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Exactly one statement; a semicolon at its end is allowed.
    pub sql: String,
    /// As many as the statement has parameters.
    pub params: Vec<Value>,
}

impl Statement {
    pub fn new(sql: impl Into<String>, params: impl IntoIterator<Item = Value>) -> Self {
        Statement { sql: sql.into(), params: params.into_iter().collect() }
    }
}

impl From<&str> for Statement {
    fn from(sql: &str) -> Self {
        Statement::new(sql, [])
    }
}

impl From<String> for Statement {
    fn from(sql: String) -> Self {
        Statement::new(sql, [])
    }
}

/// What a statement gave, read to the end: nothing stays open on either side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    pub columns: Vec<String>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// Rows that the statement inserted, changed or deleted itself (not its triggers).
    pub affected: u64,
}

impl Rows {
    /// The only value of the only row; `None` if there is not exactly one of each.
    pub fn single(&self) -> Option<&Value> {
        match self.rows.as_slice() {
            [row] => match row.as_slice() {
                [value] => Some(value),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }
}
