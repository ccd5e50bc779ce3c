//! Operations as bytes: the records of a diff file. `docs/format.md` describes them.

use crate::operation::{
    ColumnChange, ColumnInfo, ColumnSource, ForeignKeyState, Identity, KeyColumn, ObjectKind,
    Operation, RowChange, RowKey, SchemaObject, SequenceChange, Setting, SettingChange,
    TableChange, TableCounts, TableEdit,
};
use crate::value::Value;

/// The first byte of a record.
pub(crate) mod kind {
    pub(crate) const DROP_OBJECT: u8 = 1;
    pub(crate) const TABLE: u8 = 2;
    pub(crate) const INSERT: u8 = 3;
    pub(crate) const DELETE: u8 = 4;
    pub(crate) const UPDATE: u8 = 5;
    pub(crate) const END_TABLE: u8 = 6;
    pub(crate) const CREATE_OBJECT: u8 = 7;
    pub(crate) const SEQUENCE: u8 = 8;
    pub(crate) const SETTING: u8 = 9;
    pub(crate) const FOREIGN_KEYS: u8 = 10;
    pub(crate) const END: u8 = 255;
}

/// Appends values to a record.
#[derive(Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Seven bits a byte, the lowest first, the top bit set on all but the last.
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }

    /// Small numbers of either sign in few bytes: 0, -1, 1, -2 ...
    pub(crate) fn integer(&mut self, integer: i64) {
        self.number((integer.cast_unsigned() << 1) ^ (integer >> 63).cast_unsigned());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.byte(0),
            Value::Integer(integer) => {
                self.byte(1);
                self.integer(*integer);
            }
            Value::Real(real) => {
                self.byte(2);
                self.bytes.extend_from_slice(&real.to_bits().to_le_bytes());
            }
            Value::Text(text) => {
                self.byte(3);
                self.bytes(text);
            }
            Value::Blob(blob) => {
                self.byte(4);
                self.bytes(blob);
            }
        }
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.number(items.len() as u64);
        for item in items {
            each(self, item);
        }
    }

    fn option<T>(&mut self, item: Option<&T>, each: impl FnOnce(&mut Self, &T)) {
        match item {
            None => self.byte(0),
            Some(item) => {
                self.byte(1);
                each(self, item);
            }
        }
    }

    fn object(&mut self, object: &SchemaObject) {
        self.byte(match object.kind {
            ObjectKind::Index => 1,
            ObjectKind::View => 2,
            ObjectKind::Trigger => 3,
        });
        self.text(&object.name);
        self.text(&object.table);
        self.text(&object.sql);
    }

    fn edit(&mut self, edit: &TableEdit) {
        match edit {
            TableEdit::Rows => self.byte(0),
            TableEdit::Create { sql } => {
                self.byte(1);
                self.text(sql);
            }
            TableEdit::Drop { sql } => {
                self.byte(2);
                self.text(sql);
            }
            TableEdit::AddColumns { statements, columns_before } => {
                self.byte(3);
                self.list(statements, |out, statement| out.text(statement));
                self.number(*columns_before as u64);
            }
            TableEdit::Rebuild { old_name, old_sql, sql, parked_name, sources, rowids } => {
                self.byte(4);
                for text in [old_name, old_sql, sql, parked_name] {
                    self.text(text);
                }
                self.list(sources, |out, source| match source {
                    ColumnSource::Column(name) => {
                        out.byte(0);
                        out.text(name);
                    }
                    ColumnSource::Fill(value) => {
                        out.byte(1);
                        out.value(value);
                    }
                });
                self.option(rowids.as_ref(), |out, (from, to)| {
                    out.text(from);
                    out.text(to);
                });
            }
            TableEdit::Refill => self.byte(5),
        }
    }

    fn table(&mut self, table: &TableChange) {
        self.text(&table.name);
        self.edit(&table.edit);
        self.list(&table.columns, |out, column| {
            out.text(&column.name);
            out.byte(u8::from(column.is_unique));
        });
        match &table.identity {
            Identity::Nothing => self.byte(0),
            Identity::Rowid { name } => {
                self.byte(1);
                self.text(name);
            }
            Identity::Key { columns, rowid } => {
                self.byte(2);
                self.list(columns, |out, key| {
                    out.number(key.column as u64);
                    out.text(&key.collation);
                });
                self.option(rowid.as_ref(), |out, name| out.text(name));
            }
        }
        self.list(&table.triggers, Self::object);
        self.byte(u8::from(table.is_virtual));
        self.byte(u8::from(table.is_shadow));
    }

    fn key(&mut self, key: &RowKey) {
        match key {
            RowKey::Rowid(rowid) => {
                self.byte(0);
                self.integer(*rowid);
            }
            RowKey::Columns(values) => {
                self.byte(1);
                self.list(values, Self::value);
            }
        }
    }

    fn row(&mut self, row: &RowChange) {
        match row {
            RowChange::Insert { rowid, values } => {
                self.byte(kind::INSERT);
                self.option(rowid.as_ref(), |out, rowid| out.integer(*rowid));
                self.list(values, Self::value);
            }
            RowChange::Delete { key, values } => {
                self.byte(kind::DELETE);
                self.key(key);
                self.list(values, Self::value);
            }
            RowChange::Update { key, changes, replacement } => {
                self.byte(kind::UPDATE);
                self.key(key);
                self.list(changes, |out, change| {
                    out.number(change.column as u64);
                    out.value(&change.old);
                    out.value(&change.new);
                });
                self.option(replacement.as_ref(), |out, values| out.list(values, Self::value));
            }
        }
    }

    /// Appends the record of one operation, without its length.
    pub(crate) fn operation(&mut self, operation: &Operation) {
        match operation {
            Operation::DropObject(object) => {
                self.byte(kind::DROP_OBJECT);
                self.object(object);
            }
            Operation::Table(table) => {
                self.byte(kind::TABLE);
                self.table(table);
            }
            Operation::Row(row) => self.row(row),
            Operation::EndTable(counts) => {
                self.byte(kind::END_TABLE);
                self.option(counts.before.as_ref(), |out, rows| out.number(*rows));
                self.option(counts.after.as_ref(), |out, rows| out.number(*rows));
            }
            Operation::CreateObject(object) => {
                self.byte(kind::CREATE_OBJECT);
                self.object(object);
            }
            Operation::Sequence(sequence) => {
                self.byte(kind::SEQUENCE);
                self.text(&sequence.table);
                self.option(sequence.old.as_ref(), Self::value);
                self.option(sequence.new.as_ref(), Self::value);
            }
            Operation::Setting(setting) => {
                self.byte(kind::SETTING);
                self.byte(match setting.setting {
                    Setting::UserVersion => 1,
                    Setting::ApplicationId => 2,
                });
                self.integer(i64::from(setting.old));
                self.integer(i64::from(setting.new));
            }
            Operation::ForeignKeys(state) => {
                self.byte(kind::FOREIGN_KEYS);
                self.list(&state.tables, |out, table| out.text(table));
                self.number(state.dangling);
            }
        }
    }
}

/// Why a record cannot be read.
pub(crate) type Broken = &'static str;

/// Takes values from a record.
pub(crate) struct Decoder<'b> {
    bytes: &'b [u8],
}

type Decoded<T> = Result<T, Broken>;

impl<'b> Decoder<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    fn take(&mut self, length: usize) -> Decoded<&'b [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or("a record is cut off")?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Decoded<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn number(&mut self) -> Decoded<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number is too long")
    }

    fn size(&mut self) -> Decoded<usize> {
        usize::try_from(self.number()?).map_err(|_| "a length is too large")
    }

    fn integer(&mut self) -> Decoded<i64> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    fn bytes(&mut self) -> Decoded<&'b [u8]> {
        let length = self.size()?;
        self.take(length)
    }

    fn text(&mut self) -> Decoded<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| "a name is not UTF-8")
    }

    fn flag(&mut self) -> Decoded<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a flag is neither 0 nor 1"),
        }
    }

    pub(crate) fn value(&mut self) -> Decoded<Value> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Integer(self.integer()?),
            2 => {
                let mut bits = [0; 8];
                bits.copy_from_slice(self.take(8)?);
                Value::Real(f64::from_bits(u64::from_le_bytes(bits)))
            }
            3 => Value::Text(self.bytes()?.to_vec()),
            4 => Value::Blob(self.bytes()?.to_vec()),
            _ => return Err("a value has an unknown type"),
        })
    }

    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Decoded<T>) -> Decoded<Vec<T>> {
        let length = self.size()?;
        // Every item takes at least a byte, so a false length cannot ask for much memory.
        let mut items = Vec::with_capacity(length.min(self.bytes.len()));
        for _ in 0..length {
            items.push(each(self)?);
        }
        Ok(items)
    }

    fn option<T>(&mut self, each: impl FnOnce(&mut Self) -> Decoded<T>) -> Decoded<Option<T>> {
        if self.flag()? { each(self).map(Some) } else { Ok(None) }
    }

    fn object(&mut self) -> Decoded<SchemaObject> {
        let kind = match self.byte()? {
            1 => ObjectKind::Index,
            2 => ObjectKind::View,
            3 => ObjectKind::Trigger,
            _ => return Err("an object has an unknown kind"),
        };
        Ok(SchemaObject { kind, name: self.text()?, table: self.text()?, sql: self.text()? })
    }

    fn edit(&mut self) -> Decoded<TableEdit> {
        Ok(match self.byte()? {
            0 => TableEdit::Rows,
            1 => TableEdit::Create { sql: self.text()? },
            2 => TableEdit::Drop { sql: self.text()? },
            3 => TableEdit::AddColumns {
                statements: self.list(Self::text)?,
                columns_before: self.size()?,
            },
            4 => TableEdit::Rebuild {
                old_name: self.text()?,
                old_sql: self.text()?,
                sql: self.text()?,
                parked_name: self.text()?,
                sources: self.list(|input| match input.byte()? {
                    0 => Ok(ColumnSource::Column(input.text()?)),
                    1 => Ok(ColumnSource::Fill(input.value()?)),
                    _ => Err("a column has an unknown source"),
                })?,
                rowids: self.option(|input| Ok((input.text()?, input.text()?)))?,
            },
            5 => TableEdit::Refill,
            _ => return Err("a table has an unknown change"),
        })
    }

    fn table(&mut self) -> Decoded<TableChange> {
        Ok(TableChange {
            name: self.text()?,
            edit: self.edit()?,
            columns: self
                .list(|input| Ok(ColumnInfo { name: input.text()?, is_unique: input.flag()? }))?,
            identity: match self.byte()? {
                0 => Identity::Nothing,
                1 => Identity::Rowid { name: self.text()? },
                2 => Identity::Key {
                    columns: self.list(|input| {
                        Ok(KeyColumn { column: input.size()?, collation: input.text()? })
                    })?,
                    rowid: self.option(Self::text)?,
                },
                _ => return Err("a table has an unknown identity"),
            },
            triggers: self.list(Self::object)?,
            is_virtual: self.flag()?,
            is_shadow: self.flag()?,
        })
    }

    fn key(&mut self) -> Decoded<RowKey> {
        Ok(match self.byte()? {
            0 => RowKey::Rowid(self.integer()?),
            1 => RowKey::Columns(self.list(Self::value)?),
            _ => return Err("a row has an unknown key"),
        })
    }

    fn setting(&mut self) -> Decoded<SettingChange> {
        let setting = match self.byte()? {
            1 => Setting::UserVersion,
            2 => Setting::ApplicationId,
            _ => return Err("an unknown setting"),
        };
        let number = |input: &mut Self| {
            i32::try_from(input.integer()?).map_err(|_| "a setting is out of range")
        };
        Ok(SettingChange { setting, old: number(self)?, new: number(self)? })
    }

    /// The operation of a whole record.
    pub(crate) fn operation(mut self) -> Decoded<Operation> {
        let operation = match self.byte()? {
            kind::DROP_OBJECT => Operation::DropObject(self.object()?),
            kind::TABLE => Operation::Table(Box::new(self.table()?)),
            kind::INSERT => Operation::Row(RowChange::Insert {
                rowid: self.option(Self::integer)?,
                values: self.list(Self::value)?,
            }),
            kind::DELETE => Operation::Row(RowChange::Delete {
                key: self.key()?,
                values: self.list(Self::value)?,
            }),
            kind::UPDATE => Operation::Row(RowChange::Update {
                key: self.key()?,
                changes: self.list(|input| {
                    Ok(ColumnChange {
                        column: input.size()?,
                        old: input.value()?,
                        new: input.value()?,
                    })
                })?,
                replacement: self.option(|input| input.list(Self::value))?,
            }),
            kind::END_TABLE => Operation::EndTable(TableCounts {
                before: self.option(Self::number)?,
                after: self.option(Self::number)?,
            }),
            kind::CREATE_OBJECT => Operation::CreateObject(self.object()?),
            kind::SEQUENCE => Operation::Sequence(SequenceChange {
                table: self.text()?,
                old: self.option(Self::value)?,
                new: self.option(Self::value)?,
            }),
            kind::SETTING => Operation::Setting(self.setting()?),
            kind::FOREIGN_KEYS => Operation::ForeignKeys(ForeignKeyState {
                tables: self.list(Self::text)?,
                dangling: self.number()?,
            }),
            _ => return Err("a record has an unknown kind"),
        };
        if self.bytes.is_empty() { Ok(operation) } else { Err("a record is too long") }
    }
}

/// Whether a row change fits the table whose section it is in: what later code relies on when it
/// indexes columns.
pub(crate) fn check_row(table: &TableChange, row: &RowChange) -> Decoded<()> {
    let width = table.columns.len();
    let key_fits = |key: &RowKey| match (key, &table.identity) {
        (RowKey::Rowid(_), Identity::Rowid { .. } | Identity::Key { rowid: Some(_), .. }) => true,
        (RowKey::Columns(values), Identity::Key { columns, .. }) => values.len() == columns.len(),
        _ => false,
    };
    let fits = match row {
        RowChange::Insert { rowid, values } => {
            values.len() == width
                && (rowid.is_none() || matches!(table.identity, Identity::Rowid { .. }))
        }
        RowChange::Delete { key, values } => values.len() == width && key_fits(key),
        RowChange::Update { key, changes, replacement } => {
            key_fits(key)
                && !changes.is_empty()
                && changes.windows(2).all(|pair| pair[0].column < pair[1].column)
                && changes.iter().all(|change| change.column < width)
                && replacement.as_ref().is_none_or(|values| values.len() == width)
        }
    };
    if fits { Ok(()) } else { Err("a row does not fit its table") }
}

/// As [`check_row`], for the head of a section.
pub(crate) fn check_table(table: &TableChange) -> Decoded<()> {
    let width = table.columns.len();
    let key_fits = table.key_columns().iter().all(|key| key.column < width);
    let edit_fits = match &table.edit {
        TableEdit::AddColumns { columns_before, .. } => *columns_before <= width,
        TableEdit::Rebuild { sources, .. } => sources.len() == width,
        _ => true,
    };
    if key_fits && edit_fits { Ok(()) } else { Err("a table contradicts itself") }
}
