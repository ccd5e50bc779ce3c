//! The checksum of `email_schedules` followed through the changes of one connection, so that the
//! table need not be read once more to know what they came to.
//!
//! A row is summed up as it will be stored. That is known for rows whose values are all given or
//! constant, in columns that store them as they are. Where anything else may change a row (triggers
//! of the database's owner, a clause of the table that settles conflicts), nothing is followed.

use std::sync::Arc;

use libsql_pages::encode;
use rusqlite::{
    Connection,
    types::{Value, ValueRef},
};

use crate::{
    checksum::{Checksum, Columns},
    history::GUARDS,
    schema::{Affinity, Column, Table},
    stream::{Place, place},
};

type SqlResult<T> = rusqlite::Result<T>;

/// A checksum that follows what one connection writes into a table.
#[derive(Debug)]
pub(crate) struct Followed {
    /// `None` where it is not known how rows are stored, or what else changes with them.
    form: Option<Arc<RowForm>>,
    /// What the committed changes do to the checksum; `None` if that is not known.
    committed: Option<Checksum>,
    /// The same with what the open transaction has written so far.
    pending: Option<Checksum>,
    /// A buffer.
    record: Vec<u8>,
}

/// How rows of a table are stored.
#[derive(Debug)]
struct RowForm {
    columns: Vec<Part>,
    /// Values from this place on are the same in all new rows.
    constants: usize,
    /// Whether a column is the rowid.
    has_key: bool,
}

/// A column.
#[derive(Debug)]
struct Part {
    affinity: Affinity,
    /// Whether it is the rowid.
    is_key: bool,
    /// Its place among the given values.
    given: Option<usize>,
    /// What new rows hold where no value is given.
    default: Value,
}

impl Followed {
    /// For a table of which new rows get a value for each of `columns`, and one for all of them for
    /// each of `constants`; values are known by their places among these.
    pub(crate) fn begin(
        db: &Connection,
        table: &str,
        columns: &[&str],
        constants: &[(&str, &str)],
    ) -> SqlResult<Self> {
        let form = RowForm::of(db, table, columns, constants)?.map(Arc::new);
        let committed = form.as_ref().map(|_| Checksum::default());
        Ok(Self { form, committed, pending: committed, record: Vec::new() })
    }

    /// What the committed changes do to the checksum; `None` if that is not known.
    pub(crate) fn committed(&self) -> Option<Checksum> {
        self.committed
    }

    pub(crate) fn commit(&mut self) {
        self.committed = self.pending;
    }

    pub(crate) fn roll_back(&mut self) {
        self.pending = self.committed;
    }

    /// What is written so far, to go back to.
    pub(crate) fn pending(&self) -> Option<Checksum> {
        self.pending
    }

    pub(crate) fn roll_back_to(&mut self, pending: Option<Checksum>) {
        self.pending = pending;
    }

    /// Something was written that is not known.
    pub(crate) fn lose(&mut self) {
        self.pending = None;
    }

    /// A new row with these values is written.
    pub(crate) fn add_new<'v>(&mut self, id: i64, value: impl Fn(usize) -> ValueRef<'v>) {
        let (Some(form), Some(sum)) = (&self.form, &mut self.pending) else { return };
        match form.new_row(value) {
            Some(row) => sum.add(form.encode(id, &row, &mut self.record), &self.record),
            None => self.pending = None,
        }
    }

    /// Another one for rows that this connection writes, to be added later.
    pub(crate) fn beside(&self) -> Self {
        let nothing = self.form.as_ref().map(|_| Checksum::default());
        Self { form: self.form.clone(), committed: nothing, pending: nothing, record: Vec::new() }
    }

    /// Adds another one, of which everything is committed.
    pub(crate) fn join(&mut self, other: &Self) {
        self.pending = added(self.pending, other.pending);
        self.committed = added(self.committed, other.pending);
    }

    /// What it does to the checksum if this row, in the order of the table's columns, goes.
    pub(crate) fn removal(&mut self, id: i64, row: &[ValueRef<'_>]) -> Option<Checksum> {
        let form = self.form.as_ref().filter(|form| form.columns.len() == row.len())?;
        let mut sum = Checksum::default();
        sum.remove(form.encode(id, row, &mut self.record), &self.record);
        Some(sum)
    }

    /// What it does to the checksum if this row gets the other values that are given.
    pub(crate) fn change<'v>(
        &mut self,
        id: i64,
        row: &[ValueRef<'v>],
        given: impl Fn(usize) -> Option<ValueRef<'v>>,
    ) -> Option<Checksum> {
        let mut sum = self.removal(id, row)?;
        let form = self.form.as_ref()?;
        let changed = form.changed_row(row, given)?;
        sum.add(form.encode(id, &changed, &mut self.record), &self.record);
        Some(sum)
    }

    /// A change is written, see [`Followed::removal`] and [`Followed::change`].
    pub(crate) fn note(&mut self, change: Option<Checksum>) {
        self.pending = added(self.pending, change);
    }
}

fn added(sum: Option<Checksum>, change: Option<Checksum>) -> Option<Checksum> {
    let mut sum = sum?;
    sum += change?;
    Some(sum)
}

impl RowForm {
    fn of(
        db: &Connection,
        table: &str,
        columns: &[&str],
        constants: &[(&str, &str)],
    ) -> SqlResult<Option<Self>> {
        let Some(table) = Table::read(db, table)? else { return Ok(None) };
        // A clause of the table that removes or keeps rows in a conflict.
        let settles_conflicts = table.sql.to_ascii_uppercase().contains("CONFLICT");
        if settles_conflicts || has_triggers(db)? || Columns::of(db, &table).is_none() {
            return Ok(None);
        }
        let key = table.rowid_column();
        let names = || columns.iter().copied().chain(constants.iter().map(|(name, _)| *name));
        let mut parts = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let same = |name: &str| name.eq_ignore_ascii_case(&column.name);
            let (affinity, is_key) = (column.affinity(), key == Some(column));
            let given = names().position(same);
            let constant = given.and_then(|at| constants.get(at.checked_sub(columns.len())?));
            let default = match (given, constant) {
                (Some(_), _) if is_key => return Ok(None),
                (_, Some((_, text))) => Value::Text((*text).to_owned()),
                (Some(_), None) => Value::Null,
                (None, None) if is_key => Value::Null,
                (None, None) => match place(db, &table, &column.name) {
                    Some(Place::Stored(_, default)) if is_constant(column) => default,
                    _ => return Ok(None),
                },
            };
            parts.push(Part { affinity, is_key, given, default });
        }
        if names().count() != parts.iter().filter(|part| part.given.is_some()).count() {
            return Ok(None);
        }
        let (constants, has_key) = (columns.len(), key.is_some());
        Ok(Some(Self { columns: parts, constants, has_key }))
    }

    /// A new row as it will be stored; `None` if that is not known.
    fn new_row<'s, 'v: 's>(
        &'s self,
        value: impl Fn(usize) -> ValueRef<'v>,
    ) -> Option<Vec<ValueRef<'s>>> {
        let stored = |part: &'s Part| match part.given {
            Some(at) if at < self.constants => part.stored(value(at)),
            _ => part.stored((&part.default).into()),
        };
        // With the memory for all asked for once.
        let mut row = Vec::with_capacity(self.columns.len());
        for part in &self.columns {
            row.push(stored(part)?);
        }
        Some(row)
    }

    /// A row with other values as it will be stored; `None` if that is not known.
    fn changed_row<'v>(
        &self,
        row: &[ValueRef<'v>],
        given: impl Fn(usize) -> Option<ValueRef<'v>>,
    ) -> Option<Vec<ValueRef<'v>>> {
        let stored = |(part, value): (&Part, &ValueRef<'v>)| match part.given.and_then(&given) {
            Some(value) => part.stored(value),
            None => Some(*value),
        };
        self.columns.iter().zip(row).map(stored).collect()
    }

    /// Makes the record of a row, and says what its hash begins with.
    fn encode(&self, id: i64, row: &[ValueRef<'_>], record: &mut Vec<u8>) -> i64 {
        record.clear();
        let values = self.columns.iter().zip(row);
        // Nothing is stored in the place of the rowid.
        encode(
            values.map(|(part, value)| if part.is_key { ValueRef::Null } else { *value }),
            record,
        );
        if self.has_key { id } else { 0 }
    }
}

impl Part {
    /// What becomes of a value in this column; `None` if it is converted.
    fn stored<'v>(&self, value: ValueRef<'v>) -> Option<ValueRef<'v>> {
        let is_number = matches!(self.affinity, Affinity::Integer | Affinity::Numeric);
        let stays = match value {
            ValueRef::Null | ValueRef::Blob(_) => true,
            _ if self.affinity == Affinity::Blob => true,
            ValueRef::Text(text) => self.affinity == Affinity::Text || is_no_number(text),
            ValueRef::Integer(_) => is_number,
            ValueRef::Real(_) => false,
        };
        stays.then_some(value)
    }
}

/// Whether a text cannot be taken for a number: with a character that none has, or a sign behind a
/// digit, as dates have it.
fn is_no_number(text: &[u8]) -> bool {
    let of_numbers = |byte: &u8| byte.is_ascii_digit() || b"+-.eE \t\n\x0b\x0c\r".contains(byte);
    !text.iter().all(of_numbers)
        || text.windows(2).any(|two| two[0].is_ascii_digit() && matches!(two[1], b'+' | b'-'))
}

/// Whether a column has the same value in all rows that are not given one.
fn is_constant(column: &Column) -> bool {
    let Some(default) = column.default.as_deref().map(str::trim) else { return true };
    let is_text = || {
        let text = default.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        text.is_some_and(|text| !text.replace("''", "").contains('\''))
    };
    default.eq_ignore_ascii_case("null") || default.parse::<i64>().is_ok() || is_text()
}

/// Whether the database has triggers besides those that keep the history as it is.
fn has_triggers(db: &Connection) -> SqlResult<bool> {
    let [update, delete] = GUARDS.map(|(name, _)| name);
    db.prepare(
        "SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger'
         AND NOT (tbl_name = 'schedule_history' COLLATE NOCASE AND name IN (?1, ?2))",
    )?
    .exists([update, delete])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_would_take_for_a_number_is_told_from_dates_and_words() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (number NUMERIC)").unwrap();
        let mut insert = db.prepare("INSERT INTO t VALUES (?1) RETURNING typeof(number)").unwrap();
        for text in ["1", " 1.5e3 ", "-7", "+.5", "1e", "08:30", "2026-11-20", "1+1", "", "x1"] {
            let stored: String = insert.query_row([text], |row| row.get(0)).unwrap();
            // Some that stay texts are not seen to: that is the safe side.
            assert!(!is_no_number(text.as_bytes()) || stored == "text", "{text}");
        }
        for text in ["08:30:00", "2026-11-20", "2026-11-20 06:00:00", "pre-scheduled", "birthday"] {
            assert!(is_no_number(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn only_literals_are_the_same_in_every_row() {
        let column = |default: &str| Column {
            name: "c".into(),
            declared: String::new(),
            not_null: false,
            default: Some(default.into()),
            key_place: 0,
            is_generated: false,
        };
        for literal in ["NULL", "-7", "'it''s'", "''"] {
            assert!(is_constant(&column(literal)), "{literal}");
        }
        for other in ["CURRENT_TIMESTAMP", "random()", "'a' || random() || 'b'", "(1)", "x"] {
            assert!(!is_constant(&column(other)), "{other}");
        }
    }
}
