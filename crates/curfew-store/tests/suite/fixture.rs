//! Databases to test on.

use std::path::{Path, PathBuf};

use curfew_engine::{Catalog, Day, PlanConfig, rule::RuleTable};
use curfew_store::{Access, Database, RunStart};
use rusqlite::{Connection, types::ValueRef};

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

pub(crate) fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

/// Records the start of a run.
pub(crate) fn start(db: &Database, run_id: &str) {
    db.start_run(&RunStart {
        run_id,
        command: "run",
        today: day("2026-11-20"),
        started_at: NOW,
        config_version_id: None,
        contacts_checksum: None,
        schedules_checksum: None,
    })
    .unwrap();
}

/// All rows of a query, values separated by `|`.
pub(crate) fn query(db: &Database, sql: &str) -> Vec<String> {
    let mut statement = db.connection().prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values = (0..columns).map(|at| match row.get_ref(at).unwrap() {
            ValueRef::Null => String::new(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => format!("{number:?}"),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(bytes) => format!("{bytes:?}"),
        });
        Ok(values.collect::<Vec<_>>().join("|"))
    });
    rows.unwrap().map(Result::unwrap).collect()
}
