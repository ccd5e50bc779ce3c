//! Checksums of whole tables.

use std::fmt;

use rusqlite::types::ValueRef;

use crate::{
    Database, StoreError,
    schema::{Table, quote},
};

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

/// A checksum: equal for equal contents, different for different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Checksum(blake3::Hash);

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_hex())
    }
}

/// What is hashed in one go; BLAKE3 is fastest on long stretches.
const STRETCH: usize = 64 * 1024;

impl Database {
    /// The BLAKE3 hash of all rows and columns of a table, types included. Rows count in the order
    /// of their ids, so that it does not matter in which order they were written. A table that does
    /// not exist has the checksum of an empty one.
    pub fn checksum(&self, table: Checked) -> Result<Checksum, StoreError> {
        self.hash(table).map_err(|error| self.fail("compute a checksum", error))
    }

    fn hash(&self, checked: Checked) -> rusqlite::Result<Checksum> {
        let mut hasher = blake3::Hasher::new();
        let db = self.connection();
        let Some(table) = Table::read(db, checked.table())? else {
            return Ok(Checksum(hasher.finalize()));
        };
        let order = table.rowid_name().map_or_else(|| table.expression("id"), str::to_owned);
        let mut statement =
            db.prepare(&format!("SELECT * FROM main.{} ORDER BY {order}", quote(&table.name)))?;
        let columns = statement.column_count();
        let mut buffer = Vec::with_capacity(2 * STRETCH);
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for at in 0..columns {
                // A byte for the type, then as many bytes as the type or the length before them
                // say: no two rows are written alike.
                match row.get_ref(at)? {
                    ValueRef::Null => buffer.push(0),
                    ValueRef::Integer(number) => {
                        buffer.push(1);
                        buffer.extend_from_slice(&number.to_le_bytes());
                    }
                    ValueRef::Real(number) => {
                        buffer.push(2);
                        buffer.extend_from_slice(&number.to_bits().to_le_bytes());
                    }
                    ValueRef::Text(text) => push_bytes(&mut buffer, 3, text),
                    ValueRef::Blob(bytes) => push_bytes(&mut buffer, 4, bytes),
                }
            }
            if buffer.len() >= STRETCH {
                hasher.update(&buffer);
                buffer.clear();
            }
        }
        Ok(Checksum(hasher.update(&buffer).finalize()))
    }
}

fn push_bytes(buffer: &mut Vec<u8>, sort: u8, bytes: &[u8]) {
    buffer.push(sort);
    buffer.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    buffer.extend_from_slice(bytes);
}
