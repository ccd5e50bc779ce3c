//! Checksums of whole tables, computed while they are read or by themselves.

use std::{fmt, ops::AddAssign};

use libsql_pages::{LogMark, Record, TableCursor, encode};
use rusqlite::types::ValueRef;
use twox_hash::XxHash3_128;

use crate::{
    Database, StoreError, pages,
    schema::{Affinity, Table, quote},
    stream::{Place, place, root},
};

type SqlResult<T> = rusqlite::Result<T>;

/// A table whose contents are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checked {
    /// `contacts`.
    Contacts,
    /// `email_schedules`.
    Schedules,
}

impl Checked {
    const fn table(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Schedules => "email_schedules",
        }
    }
}

/// A checksum of a table: all rows with all columns, types included.
///
/// It is the sum (modulo 2^128) of a hash of each row, so that the order of the rows does not
/// matter and parts of a table can be added. The hash of a row is XXH3 with 128 bits over the row's
/// record as SQLite stores it (<https://www.sqlite.org/fileformat2.html#record_format>), each column
/// in its place, and with the rowid as the seed where a column is the rowid (0 where none is). It
/// detects every accident; it is no proof against somebody who computes rows to match: that is what
/// the chain of the history is for.
///
/// Prints as the number of rows and the sum: `306053-0f3c…`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checksum {
    rows: u64,
    sum: u128,
}

impl Checksum {
    #[inline]
    pub(crate) fn add(&mut self, seed: i64, record: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash(seed, record));
    }

    /// The opposite of [`Checksum::add`]; the number of rows may fall below 0 until others are added.
    #[inline]
    pub(crate) fn remove(&mut self, seed: i64, record: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(seed, record));
    }
}

impl AddAssign for Checksum {
    fn add_assign(&mut self, other: Self) {
        self.rows = self.rows.wrapping_add(other.rows);
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

#[inline]
fn hash(seed: i64, record: &[u8]) -> u128 {
    XxHash3_128::oneshot_with_seed(seed.cast_unsigned(), record)
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{:032x}", self.rows, self.sum))
    }
}

/// How records of a table are hashed as they are on its pages.
#[derive(Debug)]
pub(crate) struct Columns {
    /// Where the value of each column is.
    places: Vec<Place>,
    seeded: bool,
}

impl Columns {
    /// `None` if a record on a page is not always what a row would be stored as today.
    pub(crate) fn of(db: &rusqlite::Connection, table: &Table) -> Option<Self> {
        let is_plain = table.sort == "table"
            && table.has_rowid
            && !table.columns.iter().any(|c| c.is_generated || c.affinity() == Affinity::Real);
        if !is_plain {
            return None;
        }
        let places = table.columns.iter().map(|column| place(db, table, &column.name));
        Some(Self {
            places: places.collect::<Option<_>>()?,
            seeded: table.rowid_column().is_some(),
        })
    }

    /// Adds a row.
    #[inline]
    pub(crate) fn add(&self, sum: &mut Checksum, rowid: i64, record: &Record, bytes: &[u8]) {
        let seed = if self.seeded { rowid } else { 0 };
        if record.len() == self.places.len() {
            sum.add(seed, bytes);
        } else {
            sum.add(seed, &self.complete(record, bytes));
        }
    }

    /// The record of a row that was written before its table got all of its columns.
    #[cold]
    fn complete(&self, record: &Record, bytes: &[u8]) -> Vec<u8> {
        let values = self.places.iter().map(|place| match place {
            Place::Stored(at, default) => {
                record.value(bytes, *at).unwrap_or_else(|| default.into())
            }
            // SQLite stores nothing there.
            Place::Rowid | Place::Nowhere => ValueRef::Null,
        });
        let mut complete = Vec::new();
        encode(values, &mut complete);
        complete
    }
}

impl Database {
    /// The checksum of a table as it is now. A table that does not exist has that of an empty one.
    pub fn checksum(&self, table: Checked) -> Result<Checksum, StoreError> {
        self.sum_up(table, true).map_err(|error| self.fail("compute a checksum", error))
    }

    fn sum_up(&self, checked: Checked, from_pages: bool) -> SqlResult<Checksum> {
        let db = self.connection();
        let mark = LogMark::of(db);
        let snapshot = if db.is_autocommit() { self.snapshot().ok() } else { None };
        let Some(table) = Table::read(db, checked.table())? else { return Ok(Checksum::default()) };
        if from_pages
            && snapshot.is_some()
            && let Some(columns) = Columns::of(db, &table)
            && let Some(root) = root(db, "table", &table.name)?
            && let Some(pages) = pages::open(db, mark)
        {
            let (mut cursor, mut record) = (TableCursor::new(&pages, root), Record::default());
            let mut sum = Checksum::default();
            let mut found = cursor.seek(i64::MIN)?;
            while found {
                record.parse(cursor.bytes())?;
                columns.add(&mut sum, cursor.rowid(), &record, cursor.bytes());
                found = cursor.advance()?;
            }
            return Ok(sum);
        }
        self.sum_up_by_statement(&table)
    }

    /// The same without looking at pages.
    fn sum_up_by_statement(&self, table: &Table) -> SqlResult<Checksum> {
        let key = table.rowid_column().map(|column| column.name.clone());
        let names: Vec<String> = table.columns.iter().map(|column| quote(&column.name)).collect();
        let sql = format!("SELECT {} FROM main.{}", names.join(", "), quote(&table.name));
        let mut statement = self.connection().prepare(&sql)?;
        let mut rows = statement.query([])?;
        let (mut sum, mut record) = (Checksum::default(), Vec::new());
        while let Some(row) = rows.next()? {
            let mut seed = 0;
            let mut values = Vec::with_capacity(names.len());
            for (at, column) in table.columns.iter().enumerate() {
                let value = row.get_ref(at)?;
                if key.as_ref() == Some(&column.name) {
                    seed = value.as_i64().unwrap_or(0);
                    values.push(ValueRef::Null);
                } else {
                    values.push(value);
                }
            }
            record.clear();
            encode(values.iter().copied(), &mut record);
            sum.add(seed, &record);
        }
        Ok(sum)
    }
}

/// Checksums of the tables that a plan is made from, or of the parts that were read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksums {
    /// Of `contacts`; `None` if it could not be computed while reading.
    pub contacts: Option<Checksum>,
    /// Of `email_schedules`, likewise.
    pub schedules: Option<Checksum>,
}

impl Checksums {
    /// Those of nothing.
    pub fn empty() -> Self {
        Self { contacts: Some(Checksum::default()), schedules: Some(Checksum::default()) }
    }
}

impl AddAssign for Checksums {
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut Option<Checksum>, part: Option<Checksum>| {
            *sum = sum.take().zip(part).map(|(mut sum, part)| {
                sum += part;
                sum
            });
        };
        add(&mut self.contacts, other.contacts);
        add(&mut self.schedules, other.schedules);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_statements_give_the_same_sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email, zip_code TEXT,
                   birth_date TEXT, effective_date TEXT);
                 INSERT INTO contacts VALUES (1, 'a', '1', NULL, ''), (-9, x'00', 1, 1.5, 2.0);
                 INSERT INTO contacts VALUES (1000000, 127, 128, -129, hex(zeroblob(9000)));
                 ALTER TABLE contacts ADD COLUMN status TEXT NOT NULL DEFAULT 'active';
                 ALTER TABLE contacts ADD COLUMN plan INTEGER DEFAULT 7;
                 INSERT INTO contacts (id, email) VALUES (2, 'later')",
            )
            .unwrap();
        let db = Database::open(&path, crate::Access::ReadOnly).unwrap();
        let by_pages = db.sum_up(Checked::Contacts, true).unwrap();
        assert_eq!(by_pages, db.sum_up(Checked::Contacts, false).unwrap());
        assert!(by_pages.rows >= 4);
        // Written anew, every row has all of its columns.
        connection.execute_batch("UPDATE contacts SET plan = plan").unwrap();
        assert_eq!(by_pages, db.sum_up(Checked::Contacts, true).unwrap());
        connection.execute_batch("UPDATE contacts SET plan = 8 WHERE id = 1").unwrap();
        assert_ne!(by_pages, db.sum_up(Checked::Contacts, true).unwrap());
    }
}
