//! Databases to test on.

use std::path::{Path, PathBuf};

use curfew_engine::{Catalog, PlanConfig, rule::RuleTable};
use curfew_store::{Access, Database};
use rusqlite::Connection;

pub(crate) const LEGACY: &str = include_str!("../data/legacy-schema.sql");

/// The columns of contacts that a plan needs, and no more.
pub(crate) const CONTACTS: &str = "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT,
   zip_code TEXT, birth_date TEXT, effective_date TEXT);";

pub(crate) const NOW: &str = "2026-11-20 06:00:00";

/// A folder that goes with its files when it is dropped.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A database file with these statements run.
    pub(crate) fn file(&self, sql: &str) -> PathBuf {
        let path = self.0.path().join("test.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF").unwrap();
        connection.execute_batch(sql).unwrap();
        path
    }

    /// The names of all files in it.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn read_write(path: &Path) -> Database {
    let db = Database::open(path, Access::ReadWrite).unwrap();
    // Only the power could fail, and it is not what these tests are about.
    db.connection().pragma_update(None, "synchronous", "off").unwrap();
    db
}

/// The default settings, with nothing ever closed.
pub(crate) fn config() -> PlanConfig {
    PlanConfig::with_rules(RuleTable::empty())
}

/// The catalog of a database's campaigns, which must be sound.
pub(crate) fn catalog(db: &Database) -> Catalog {
    let (campaigns, problems) = db.campaigns().unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    Catalog::new(&config(), campaigns)
}
