//! The configurations that were in force, each kept as it was.

use rusqlite::{OptionalExtension as _, Row, TransactionBehavior, params};

use crate::{Database, StoreError, cell::owned, schema::Table};

/// A configuration that was in force for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigVersion {
    /// Its number.
    pub id: i64,
    /// Since when.
    pub valid_from: String,
    /// Until when; `None`: it is in force.
    pub valid_to: Option<String>,
    /// Who brought it into force.
    pub created_by: Option<String>,
    /// The configuration.
    pub content: String,
}

const SELECT: &str = "SELECT id, valid_from, valid_to, created_by, content
    FROM main.config_versions WHERE hash IS NOT NULL";

impl Database {
    /// Keeps a configuration that comes into force now, unless it is the one in force already, and
    /// gives the number of its version.
    pub fn store_config(
        &self,
        content: &str,
        by: Option<&str>,
        now: &str,
    ) -> Result<i64, StoreError> {
        let hash = blake3::hash(content.as_bytes()).to_hex().to_string();
        let store = || {
            let db = self.connection();
            let transaction =
                rusqlite::Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            let current: Option<(i64, String)> = db
                .query_row(
                    "SELECT id, hash FROM main.config_versions
                     WHERE hash IS NOT NULL AND valid_to IS NULL ORDER BY id DESC LIMIT 1",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            if let Some((id, _)) = current.filter(|(_, current)| *current == hash) {
                return Ok(id);
            }
            db.execute(
                "UPDATE main.config_versions SET valid_to = ?1
                 WHERE hash IS NOT NULL AND valid_to IS NULL",
                [now],
            )?;
            db.execute(
                "INSERT INTO main.config_versions (valid_from, created_by, content, hash)
                 VALUES (?1, ?2, ?3, ?4)",
                params![now, by, content, hash],
            )?;
            let id = db.last_insert_rowid();
            transaction.commit()?;
            Ok(id)
        };
        store().map_err(|error| self.fail("store the configuration", error))
    }

    /// The configuration with this number.
    pub fn config_version(&self, id: i64) -> Result<Option<ConfigVersion>, StoreError> {
        let find = || {
            if !self.has_config_versions()? {
                return Ok(None);
            }
            let sql = format!("{SELECT} AND id = ?1");
            self.connection().query_row(&sql, [id], read).optional()
        };
        find().map_err(|error| self.fail("read the configuration", error))
    }

    /// All configurations that ever were in force, the latest first.
    pub fn config_versions(&self) -> Result<Vec<ConfigVersion>, StoreError> {
        let list = || {
            if !self.has_config_versions()? {
                return Ok(Vec::new());
            }
            let mut statement = self.connection().prepare(&format!("{SELECT} ORDER BY id DESC"))?;
            let versions = statement.query_map([], read)?;
            versions.collect()
        };
        list().map_err(|error| self.fail("read the configurations", error))
    }

    fn has_config_versions(&self) -> rusqlite::Result<bool> {
        let table = Table::read(self.connection(), "config_versions")?;
        Ok(table.is_some_and(|table| table.column("hash").is_some()))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<ConfigVersion> {
    Ok(ConfigVersion {
        id: row.get(0)?,
        valid_from: owned(row, 1)?.unwrap_or_default(),
        valid_to: owned(row, 2)?,
        created_by: owned(row, 3)?,
        content: owned(row, 4)?.unwrap_or_default(),
    })
}
