use std::{fs, path::Path};

use rusqlite::Connection;

use super::*;
use crate::{Access, history};

const LEGACY: &str = include_str!("../../tests/data/legacy-schema.sql");
const CONTACTS: &str = "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT,
   birth_date TEXT, effective_date TEXT);";
const NOW: &str = "2026-11-20 06:00:00";

/// A database file with these statements run, open for writing.
fn database(folder: &Path, sql: &str) -> Database {
    let path = folder.join("test.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    connection.execute_batch(sql).unwrap();
    let db = Database::open(path, Access::ReadWrite).unwrap();
    // Only the power could fail, and it is not what these tests are about.
    db.connection().pragma_update(None, "synchronous", "off").unwrap();
    db
}

/// Schema and rows of everything, as text.
fn dump(db: &Connection) -> Vec<String> {
    let mut lines = Vec::new();
    let mut schema = db
        .prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")
        .unwrap();
    let objects: Vec<(String, String, String)> = schema
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (sort, name, sql) in objects {
        lines.push(format!("{sort} {name} {sql}"));
        if sort != "table" {
            continue;
        }
        let mut statement = db.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
        let columns: Vec<String> =
            statement.column_names().iter().map(ToString::to_string).collect();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            lines.push(format!("{name} {}", history::old_values(row, &columns).unwrap()));
        }
    }
    lines
}

fn schedules(db: &Connection) -> Vec<String> {
    let mut lines = dump(db);
    lines.retain(|line| line.starts_with("email_schedules {"));
    lines
}

/// The unique indexes of a table, by name.
fn unique_indexes(db: &Connection, table: &str) -> Vec<String> {
    let indexes = crate::schema::indexes(db, table).unwrap().into_iter();
    indexes.filter(|index| index.is_unique).map(|index| index.name).collect()
}

#[test]
fn a_database_with_contacts_only_gets_every_table_and_a_second_time_nothing_happens() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = database(folder.path(), CONTACTS);
    assert_eq!(db.pending_migrations().unwrap().len(), MIGRATIONS.len());
    let report = db.migrate(NOW).unwrap();
    assert_eq!(report.applied.len(), MIGRATIONS.len());
    assert!(report.mended.is_empty());
    for spec in [
        t::EMAIL_SCHEDULES,
        t::SCHEDULE_HISTORY,
        t::SCHEDULER_CHECKPOINTS,
        t::CONTACT_ISSUES,
        t::CONFIG_VERSIONS,
        t::CAMPAIGN_TYPES,
        t::CAMPAIGN_INSTANCES,
        t::CONTACT_CAMPAIGNS,
        t::CAMPAIGN_CHANGE_LOG,
        t::TRACKING_CLICKS,
        t::CONTACT_EVENTS,
    ] {
        let table = Table::read(db.connection(), spec.name).unwrap().unwrap();
        let names: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let wanted: Vec<_> = spec.columns.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, wanted, "{}", spec.name);
    }
    let recorded: i64 = db
        .connection()
        .query_row("SELECT count(*) FROM curfew_migrations WHERE applied_at = ?1", [NOW], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(recorded, 7);

    let before = dump(db.connection());
    let size = fs::read(db.path()).unwrap();
    assert!(db.pending_migrations().unwrap().is_empty());
    assert!(db.migrate("2026-11-21 06:00:00").unwrap().is_empty());
    assert_eq!(dump(db.connection()), before);
    assert_eq!(fs::read(db.path()).unwrap(), size);
}

#[test]
fn a_new_schedule_table_has_three_indexes_and_no_more() {
    let mut db = Database::in_memory().unwrap();
    db.migrate(NOW).unwrap();
    let indexes = crate::schema::indexes(db.connection(), "email_schedules").unwrap();
    let names: Vec<_> = indexes.iter().map(|index| index.name.as_str()).collect();
    assert_eq!(
        names,
        ["curfew_owned_event", "curfew_schedule_contact", "curfew_schedule_status_date"]
    );
}

#[test]
fn a_legacy_database_loses_only_the_indexes_that_forbid_legitimate_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = database(folder.path(), LEGACY);
    let report = db.migrate(NOW).unwrap();
    let dropped: Vec<_> = report
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::DropIndex { index } => Some(index.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(dropped, ["idx_email_schedules_unique", "idx_email_schedules_unique_event"]);
    assert!(!report.steps.iter().any(|step| matches!(step, Step::DropConstraints { .. })));
    assert_eq!(unique_indexes(db.connection(), "email_schedules"), ["curfew_owned_event"]);
    // Its own indexes serve for reading; the costly ones are not made twice.
    let made: Vec<_> = report
        .steps
        .iter()
        .filter(
            |step| matches!(step, Step::CreateIndex { table, .. } if table == "email_schedules"),
        )
        .collect();
    assert_eq!(made.len(), 1, "{made:?}");
    let table = Table::read(db.connection(), "email_schedules").unwrap().unwrap();
    for column in ["batch_id", "scheduler_run_id", "shift_days", "initial_schedule_id"] {
        assert!(table.column(column).is_some(), "{column}");
    }
    let trigger = dump(db.connection())
        .into_iter()
        .any(|line| line.starts_with("trigger update_email_schedules_updated_at CREATE TRIGGER"));
    assert!(trigger);
}

#[test]
fn a_run_id_column_comes_beside_the_batch_id_of_older_databases() {
    let folder = tempfile::tempdir().unwrap();
    let older = LEGACY.replace("  scheduler_run_id TEXT,\n", "").replace(
        "CREATE INDEX IF NOT EXISTS idx_schedules_run_id ON email_schedules(scheduler_run_id);",
        "",
    );
    let mut db = database(folder.path(), &older);
    db.connection()
        .execute_batch(
            "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, batch_id)
             VALUES (1, 'birthday', '2026-01-01', 'b-7')",
        )
        .unwrap();
    db.migrate(NOW).unwrap();
    let row: (String, Option<String>) = db
        .connection()
        .query_row("SELECT batch_id, scheduler_run_id FROM email_schedules", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(row, ("b-7".to_owned(), None));
}

/// A table with everything that a rebuild could lose.
const CONSTRAINED: &str = "
CREATE TABLE agents (id INTEGER PRIMARY KEY);
CREATE TABLE \"Email_Schedules\" (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- the key
  contact_id INTEGER NOT NULL REFERENCES contacts(id) ON DELETE CASCADE,
  email_type TEXT NOT NULL COLLATE NOCASE,
  scheduled_send_date TEXT NOT NULL,
  scheduled_send_time TEXT NOT NULL DEFAULT '08:30:00',
  status TEXT NOT NULL DEFAULT 'scheduled' CHECK (status <> 'UNIQUE'),
  event_year INTEGER NOT NULL,
  event_month INTEGER NOT NULL DEFAULT 1,
  event_day INTEGER,
  batch_id TEXT CONSTRAINT needed NOT NULL,
  message_id TEXT UNIQUE,
  weight REAL DEFAULT (1.5 + 2),
  label TEXT GENERATED ALWAYS AS (email_type || '/' || status) VIRTUAL,
  CONSTRAINT one_per_day UNIQUE (contact_id, email_type, scheduled_send_date) ON CONFLICT REPLACE,
  UNIQUE (contact_id, email_type, event_year),
  CHECK (contact_id > 0)
);
CREATE INDEX by_label ON email_schedules(label);
CREATE UNIQUE INDEX by_batch ON email_schedules(batch_id, message_id);
CREATE TABLE log (schedule_id INTEGER REFERENCES email_schedules(id) ON DELETE CASCADE);
CREATE TRIGGER logged AFTER INSERT ON email_schedules BEGIN
  INSERT INTO log VALUES (new.id);
END;
CREATE TRIGGER elsewhere AFTER DELETE ON agents BEGIN
  DELETE FROM email_schedules WHERE contact_id = old.id;
END;
CREATE VIEW planned AS SELECT * FROM email_schedules WHERE status = 'pre-scheduled';
INSERT INTO contacts (id) VALUES (1), (2), (3);
INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date, status, event_year,
    batch_id, message_id, weight) VALUES
  (3, 1, 'Birthday', '2026-01-01', 'sent', 2026, x'00ff', 'm1', 0.1),
  (8, 2, 'aep', '2026-09-15', 'pre-scheduled', 2026, 'b', NULL, 1e300),
  (9, 3, 'aep', '2026-09-15', 'pre-scheduled', 2026, 'b', NULL, NULL);
DELETE FROM email_schedules WHERE id = 9;
";

#[test]
fn a_rebuilt_table_keeps_every_row_column_default_index_and_trigger() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = database(folder.path(), &format!("{CONTACTS}{CONSTRAINED}"));
    let kept = |db: &Connection| {
        let mut lines = dump(db);
        lines.retain(|line| {
            ["log {", "index by_", "trigger logged", "trigger elsewhere", "view "]
                .iter()
                .any(|start| line.starts_with(start))
        });
        lines
    };
    let columns = "id, contact_id, email_type, scheduled_send_date, scheduled_send_time, status,
        event_year, event_month, event_day, batch_id, message_id, weight, label, typeof(batch_id)";
    let rows = |db: &Connection| {
        let mut statement =
            db.prepare(&format!("SELECT {columns} FROM email_schedules ORDER BY id")).unwrap();
        let names: Vec<_> = statement.column_names().iter().map(ToString::to_string).collect();
        let rows = statement.query_map([], |row| history::old_values(row, &names)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    };
    let before = (kept(db.connection()), rows(db.connection()));
    assert_eq!(before.0.len(), 8, "{:?}", before.0);
    db.migrate(NOW).unwrap();
    let db = db.connection();
    let by_batch = |line: &String| !line.starts_with("index by_batch");
    assert_eq!((kept(db), rows(db)), before);
    assert!(kept(db).iter().any(|line| !by_batch(line)));

    // What the constraints forbade is allowed, what they did not forbid is as before.
    db.execute_batch(
        "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, event_year)
         VALUES (1, 'birthday', '2026-01-01', NULL)",
    )
    .unwrap();
    let (id, time, status, month, weight): (i64, String, String, i64, f64) = db
        .query_row(
            "SELECT id, scheduled_send_time, status, event_month, weight FROM email_schedules
             WHERE batch_id IS NULL AND email_type = 'BIRTHDAY'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
        .unwrap();
    assert_eq!((id, time.as_str(), status.as_str(), month), (10, "08:30:00", "scheduled", 1));
    assert!((weight - 3.5).abs() < f64::EPSILON);
    let refused = |sql: &str| db.execute_batch(sql).unwrap_err().to_string();
    assert!(refused("UPDATE email_schedules SET status = 'UNIQUE'").contains("CHECK"));
    assert!(refused("UPDATE email_schedules SET message_id = 'm1'").contains("UNIQUE"));
    let logged: i64 = db.query_row("SELECT max(schedule_id) FROM log", [], |r| r.get(0)).unwrap();
    assert_eq!(logged, 10);
    let problems: i64 = db
        .query_row("SELECT count(*) FROM pragma_foreign_key_check('email_schedules')", [], |r| {
            r.get(0)
        })
        .unwrap();
    assert_eq!(problems, 0);
}

#[test]
fn a_unique_index_goes_exactly_if_two_rows_of_a_plan_could_be_equal_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = database(
        folder.path(),
        &format!(
            "{LEGACY}
             ALTER TABLE email_schedules ADD COLUMN tenant INTEGER DEFAULT 1;
             CREATE UNIQUE INDEX a_kept_by_id ON email_schedules(contact_id, id);
             CREATE UNIQUE INDEX b_kept_by_message ON email_schedules(sendgrid_message_id);
             CREATE UNIQUE INDEX c_dropped_default ON email_schedules(contact_id, tenant);
             CREATE UNIQUE INDEX d_dropped_expression
               ON email_schedules(contact_id, lower(email_type));
             CREATE UNIQUE INDEX e_dropped_partial
               ON email_schedules(contact_id) WHERE status = 'pre-scheduled';"
        ),
    );
    db.migrate(NOW).unwrap();
    assert_eq!(
        unique_indexes(db.connection(), "email_schedules"),
        ["a_kept_by_id", "b_kept_by_message", "curfew_owned_event"]
    );
}

#[test]
fn of_owned_rows_of_one_event_the_planned_one_with_the_lowest_id_stays_and_the_others_are_recorded()
{
    let folder = tempfile::tempdir().unwrap();
    let mut db = database(
        folder.path(),
        &format!(
            "{LEGACY}
             DROP INDEX idx_email_schedules_unique_event;
             INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date, status,
                 event_year, event_month, event_day, campaign_instance_id) VALUES
               (1, 1, 'birthday', '2026-01-01', 'skipped', 2026, 1, 15, NULL),
               (2, 1, 'birthday', '2026-01-02', 'pre-scheduled', 2026, 1, 15, NULL),
               (3, 1, 'birthday', '2026-01-03', 'pre-scheduled', 2026, 1, 15, 0),
               (4, 1, 'birthday', '2026-01-04', 'sent', 2026, 1, 15, NULL),
               (5, 1, 'birthday', '2026-01-05', 'sent', 2026, 1, 15, NULL),
               (6, 1, 'BIRTHDAY', '2026-01-06', 'skipped', 2026, 1, 15, NULL),
               (7, 1, 'birthday', '2026-01-07', 'pre-scheduled', NULL, 1, 15, NULL),
               (8, 1, 'birthday', '2026-01-08', 'pre-scheduled', NULL, 1, 15, NULL),
               (9, 2, 'birthday', '2026-01-09', 'skipped', 2026, 1, 15, NULL),
               (10, 2, 'birthday', '2026-01-10', 'skipped', 2026, 1, 15, NULL),
               (11, 1, 'birthday', '2026-01-11', 'pre-scheduled', 2026, 1, 15, 4),
               (12, 1, 'birthday', '2026-01-12', 'Pre-Scheduled', 2026, 1, 15, NULL);"
        ),
    );
    let former = schedules(db.connection())[2]
        .replace("email_schedules ", "")
        .replace(",\"initial_schedule_id\":null,\"shift_days\":null", "");
    let report = db.migrate(NOW).unwrap();
    assert_eq!(report.duplicates_deleted(), 3);
    let connection = db.connection();
    let mut ids = connection.prepare("SELECT id FROM email_schedules ORDER BY id").unwrap();
    let ids: Vec<i64> = ids.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(ids, [2, 4, 5, 6, 7, 8, 9, 11, 12]);
    let mut entries = connection
        .prepare("SELECT schedule_id, what, why, old_values, run_id FROM schedule_history")
        .unwrap();
    let entries: Vec<(i64, String, String, String, String)> = entries
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(entries.iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 3, 10]);
    assert_eq!(entries[0].1, "deleted");
    assert_eq!(entries[0].2, "another row of the same event is kept");
    assert_eq!(
        entries[1].3.replace(",\"initial_schedule_id\":null,\"shift_days\":null", ""),
        former
    );
    assert_eq!(entries[0].4, "migration-4");
    assert_eq!(history::verify(&db, None).unwrap().entries, 3);
    assert!(history::verify(&db, None).unwrap().faults.is_empty());
}

#[test]
fn what_another_program_undoes_later_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = database(folder.path(), LEGACY);
    db.migrate(NOW).unwrap();
    // The older application makes its indexes again whenever it starts.
    db.connection().execute_batch(LEGACY).unwrap();
    db.connection().execute_batch("DROP TABLE contact_events").unwrap();
    let pending: Vec<i64> =
        db.pending_migrations().unwrap().iter().map(|(number, _)| *number).collect();
    assert_eq!(pending, [3, 7]);
    let report = db.migrate("2026-11-21 06:00:00").unwrap();
    assert!(report.applied.is_empty());
    assert_eq!(report.mended.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 7]);
    assert!(db.pending_migrations().unwrap().is_empty());
}

#[test]
fn tables_of_our_names_with_other_columns_are_filled_up_and_take_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = database(
        folder.path(),
        &format!(
            "{CONTACTS}
             CREATE TABLE scheduler_checkpoints (id INTEGER PRIMARY KEY, run_timestamp DATETIME
               NOT NULL, scheduler_run_id TEXT UNIQUE NOT NULL, status TEXT NOT NULL);
             INSERT INTO scheduler_checkpoints VALUES (1, '2025-01-01', 'old', 'completed');
             CREATE TABLE config_versions (id INTEGER PRIMARY KEY, config_type TEXT NOT NULL,
               config_data TEXT NOT NULL, valid_from DATETIME NOT NULL, valid_to DATETIME);
             CREATE TABLE campaign_types (name TEXT PRIMARY KEY, priority INTEGER DEFAULT 10);
             CREATE TABLE campaign_instances (id INTEGER PRIMARY KEY, campaign_type TEXT NOT NULL,
               instance_name TEXT NOT NULL, UNIQUE (campaign_type, instance_name));
             CREATE TABLE contact_campaigns (id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL,
               campaign_instance_id INTEGER NOT NULL, trigger_date DATE);
             INSERT INTO contact_campaigns VALUES (1, 2, 3, '2026-01-01');
             CREATE TABLE campaign_change_log (id INTEGER PRIMARY KEY, campaign_instance_id INTEGER
               NOT NULL, field_changed TEXT NOT NULL, changed_at DATETIME NOT NULL);
             CREATE TABLE tracking_clicks (contact_id INTEGER, url TEXT NOT NULL);
             CREATE TABLE contact_events (event_id TEXT PRIMARY KEY, contact_id INTEGER);
             CREATE TABLE contact_issues (id INTEGER PRIMARY KEY, run_id TEXT, comment TEXT);
             CREATE TABLE schedule_history (id INTEGER PRIMARY KEY, note TEXT);
             INSERT INTO schedule_history VALUES (41, 'before');"
        ),
    );
    db.migrate(NOW).unwrap();
    let connection = db.connection();
    connection
        .execute_batch(
            "INSERT INTO scheduler_checkpoints (run_id, status) VALUES ('new', 'started');
             INSERT INTO config_versions (valid_from, content) VALUES ('2026-01-01', '{}');
             INSERT INTO campaign_change_log (changed_at, entity) VALUES ('2026-01-01', 'type');",
        )
        .unwrap();
    let old: (String, String) = connection
        .query_row(
            "SELECT scheduler_run_id, run_timestamp FROM scheduler_checkpoints WHERE id = 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(old, ("old".to_owned(), "2025-01-01".to_owned()));
    let status: String =
        connection.query_row("SELECT status FROM contact_campaigns", [], |row| row.get(0)).unwrap();
    assert_eq!(status, "pending");
    // The sender's tables are not loosened.
    let clicks = "INSERT INTO tracking_clicks (contact_id) VALUES (1)";
    assert!(connection.execute_batch(clicks).is_err());
    let verification = history::verify(&db, None).unwrap();
    assert_eq!((verification.entries, verification.unchained), (0, 1));
    assert!(verification.faults.is_empty());
}

#[test]
fn tables_that_cannot_be_brought_into_shape_are_named() {
    for (sql, table, reason) in [
        ("CREATE VIEW email_schedules AS SELECT 1 AS id", "email_schedules", "it is a view"),
        ("CREATE TABLE email_schedules (contact_id)", "email_schedules", "it has no column id"),
        (
            "CREATE TABLE Email_Schedules (id TEXT PRIMARY KEY)",
            "Email_Schedules",
            "its column id is no INTEGER PRIMARY KEY",
        ),
        (
            "CREATE TABLE email_schedules (id INTEGER PRIMARY KEY) WITHOUT ROWID",
            "email_schedules",
            "its column id is no INTEGER PRIMARY KEY",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut db = database(folder.path(), &format!("{CONTACTS}{sql}"));
        let error = db.migrate(NOW).unwrap_err();
        let StoreError::UnsupportedTable { table: named, reason: said, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((named.as_str(), said.starts_with(reason)), (table, true), "{error}");
    }
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = database(folder.path(), CONTACTS);
    db.migrate(NOW).unwrap();
    db.connection()
        .execute("INSERT INTO curfew_migrations VALUES (99, 'from the future', ?1)", [NOW])
        .unwrap();
    let error = db.migrate(NOW).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, known: 7, .. }), "{error}");
}

/// Copies the database file with everything beside it, as a crash would leave it.
fn image(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

#[test]
fn a_migration_that_is_killed_anywhere_ends_as_an_undisturbed_one() {
    for journal in ["delete", "wal"] {
        let sql = format!(
            "PRAGMA journal_mode = {journal}; {CONTACTS}{CONSTRAINED}
             CREATE TABLE contact_events (event_id TEXT PRIMARY KEY, contact_id INTEGER);"
        );
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("original");
        fs::create_dir(&original).unwrap();
        let mut db = database(&original, &sql);
        let committed = "SELECT group_concat(id || scheduled_send_date || quote(batch_id))
            FROM email_schedules WHERE status = 'sent'";
        let committed_rows =
            |db: &Connection| db.query_row(committed, [], |row| row.get::<_, String>(0)).unwrap();
        let before = committed_rows(db.connection());

        // The state on disk before every step and every commit, pages written early included.
        db.connection().pragma_update(None, "cache_size", 1).unwrap();
        let mut images = 0;
        let copy_to = folder.path().to_owned();
        db.migrate_watched(NOW, &mut |connection| {
            connection.cache_flush()?;
            image(&original, &copy_to.join(images.to_string()));
            images += 1;
            Ok(())
        })
        .unwrap();
        assert!(images > 25, "{images}");
        let undisturbed = dump(db.connection());

        for number in 0..images {
            let path = copy_to.join(number.to_string()).join("test.db");
            let mut db = Database::open(path, Access::ReadWrite).unwrap();
            db.connection().pragma_update(None, "synchronous", "off").unwrap();
            assert_eq!(committed_rows(db.connection()), before, "{journal} {number}");
            db.migrate(NOW).unwrap();
            assert_eq!(dump(db.connection()), undisturbed, "{journal} {number}");
        }
    }
}

#[test]
fn a_migration_that_fails_midway_leaves_the_transactions_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = database(folder.path(), LEGACY);
    let mut steps = 0;
    let error = db.migrate_watched(NOW, &mut |_| {
        steps += 1;
        if steps == 12 { Err(Obstacle::Killed) } else { Ok(()) }
    });
    assert!(error.is_err());
    assert!(db.connection().is_autocommit());
    let pending = db.pending_migrations().unwrap();
    assert!(!pending.is_empty() && pending.len() < MIGRATIONS.len(), "{pending:?}");
    db.migrate(NOW).unwrap();
    assert!(db.pending_migrations().unwrap().is_empty());
}
