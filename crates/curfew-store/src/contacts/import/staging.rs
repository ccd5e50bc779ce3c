//! The transaction of an import, and its temporary tables.

use rusqlite::{CachedStatement, OptionalExtension};

use super::{
    Access, ContactsDatabase,
    sql::{Sql, each},
};
use crate::contacts::{ContactsError, Doing, table};

/// The places of the columns that an import asks about, among its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    pub(super) email: Option<usize>,
    pub(super) zip_code: Option<usize>,
    pub(super) state: Option<usize>,
}

/// An import in progress: one transaction, rolled back unless it is committed.
#[derive(Debug)]
pub struct Staging {
    pub(super) database: ContactsDatabase,
    /// Places of the written columns in the table.
    pub(super) columns: Vec<usize>,
    /// How many of them the lines have; the state may be one more.
    pub(super) given: usize,
    pub(super) places: Places,
    pub(super) ids_given: bool,
    /// What `created_at` and `updated_at` get.
    pub(super) now: String,
    pub(super) next_id: i64,
    pub(super) id_max_mentioned: i64,
    /// The table of addresses has those of the database.
    pub(super) emails_loaded: bool,
    pub(super) sql: Sql,
    pub(super) committed: bool,
}

impl Staging {
    pub(super) fn begin(
        database: ContactsDatabase,
        names: &[impl AsRef<str>],
        ids_given: bool,
        now: &str,
    ) -> Result<Self, ContactsError> {
        let mut columns: Vec<usize> = names
            .iter()
            .map(|name| database.table.position(name.as_ref()).expect("a column of the table"))
            .collect();
        let given = columns.len();
        let place = |name: &str| {
            let at = database.table.position(name)?;
            columns.iter().position(|column| *column == at)
        };
        let mut places =
            Places { email: place("email"), zip_code: place("zip_code"), state: place("state") };
        // The state is taken from the ZIP code where the file has none.
        if let (None, Some(at)) = (places.state, database.table.position("state")) {
            places.state = Some(columns.len());
            columns.push(at);
        }
        let sql = Sql::new(&database.table, &columns, places.email);
        let mut this = Self {
            database,
            columns,
            given,
            places,
            ids_given,
            now: now.to_owned(),
            next_id: 1,
            id_max_mentioned: 0,
            emails_loaded: false,
            sql,
            committed: false,
        };
        this.prepare()?;
        Ok(this)
    }

    /// Begins the transaction and makes the temporary tables.
    fn prepare(&mut self) -> Result<(), ContactsError> {
        let cells = each(self.columns.len(), |i| format!(", c{i}"));
        let begin = match self.database.access {
            Access::Write => "BEGIN IMMEDIATE",
            Access::DryRun => "BEGIN",
        };
        let table = match self.database.access {
            // The table of a dry run into nothing is never asked for.
            Access::Write if self.database.table_is_new => table::CREATE,
            _ => "",
        };
        self.batch(
            "beginning the import",
            &format!(
                "{begin}; {table};
                 CREATE TEMP TABLE import_contacts
                   (id INTEGER PRIMARY KEY, is_new, line, lines, origin{cells});
                 CREATE TEMP TABLE import_emails
                   (email TEXT COLLATE NOCASE, id INTEGER, PRIMARY KEY (email, id)) WITHOUT ROWID;
                 CREATE TEMP TABLE import_given (id INTEGER PRIMARY KEY, email, line);
                 CREATE TEMP TABLE import_mentions
                   (email TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID;
                 CREATE TEMP TABLE import_postponed_ids (line INTEGER PRIMARY KEY, id{cells});
                 CREATE TEMP TABLE import_postponed (line INTEGER PRIMARY KEY, id{cells});
                 CREATE TEMP TABLE import_waiting (line INTEGER PRIMARY KEY, id{cells});"
            ),
        )?;
        if self.database.table_is_new {
            return Ok(());
        }
        let id_max: Option<i64> = self
            .database
            .connection
            .query_row("SELECT max(CAST(id AS INTEGER)) FROM main.contacts", [], |row| row.get(0))
            .doing("reading the ids of the contacts", &self.database.path)?;
        let used = id_max.unwrap_or(0).max(self.sequence()?).max(0);
        self.next_id = used.checked_add(1).ok_or_else(|| self.no_ids_left())?;
        Ok(())
    }

    /// Collects who has which address, the first time that it matters: a file of known contacts
    /// whose addresses stay need not know.
    pub(super) fn load_emails(&mut self) -> Result<(), ContactsError> {
        if self.emails_loaded || self.database.table_is_new {
            return Ok(());
        }
        self.emails_loaded = true;
        // Ids that are not whole numbers cannot be meant by a file, and never get a message.
        self.batch(
            "reading the e-mail addresses of the contacts",
            "INSERT OR IGNORE INTO temp.import_emails
             SELECT trim(email), CAST(id AS INTEGER) FROM main.contacts
             WHERE typeof(email) = 'text' AND trim(email) <> ''
               AND CAST(CAST(id AS INTEGER) AS TEXT) = CAST(id AS TEXT)
             ORDER BY trim(email) COLLATE NOCASE, id",
        )
    }

    /// The highest id that was ever given out, where the table remembers it; else 0.
    fn sequence(&self) -> Result<i64, ContactsError> {
        const DOING: &str = "reading the ids of the contacts";
        let path = &self.database.path;
        // The table exists from the first AUTOINCREMENT of the database on.
        let exists = self
            .cached("SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")?
            .exists([])
            .doing(DOING, path)?;
        if !exists {
            return Ok(0);
        }
        self.cached("SELECT seq FROM main.sqlite_sequence WHERE name = 'contacts' COLLATE NOCASE")?
            .query_row([], |row| row.get(0))
            .optional()
            .map(Option::unwrap_or_default)
            .doing(DOING, path)
    }

    /// Makes the import last. On a dry run there is nothing to do.
    pub fn commit(mut self) -> Result<(), ContactsError> {
        if self.database.access == Access::Write {
            self.batch("committing the import", "COMMIT")?;
            self.committed = true;
        }
        Ok(())
    }

    pub(super) fn cached(&self, sql: &str) -> Result<CachedStatement<'_>, ContactsError> {
        self.database
            .connection
            .prepare_cached(sql)
            .doing("preparing a statement", &self.database.path)
    }

    pub(super) fn run(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<(), ContactsError> {
        self.cached(sql)?
            .execute(parameters)
            .map(|_| ())
            .doing("collecting the lines", &self.database.path)
    }

    fn batch(&self, doing: &'static str, sql: &str) -> Result<(), ContactsError> {
        self.database.connection.execute_batch(sql).doing(doing, &self.database.path)
    }

    pub(super) fn no_ids_left(&self) -> ContactsError {
        ContactsError::NoIdsLeft { path: self.database.path.clone() }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.committed {
            // Closing the connection would roll back as well, but an empty file is looked for
            // before. There may be no transaction; that is as good.
            let _ = self.database.connection.execute_batch("ROLLBACK");
        }
    }
}
