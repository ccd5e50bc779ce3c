use std::{fs, path::Path, time::Duration};

use curfew_store::{Access, Database, StoreError};
use rusqlite::Connection;

use crate::fixture::{CONTACTS, Folder, LEGACY, NOW, read_write};

fn open(path: &Path, access: Access) -> Result<Database, StoreError> {
    Database::open_waiting(path, access, Duration::ZERO)
}

/// The error of opening, in both ways.
fn error(path: &Path) -> StoreError {
    let reading = open(path, Access::ReadOnly).unwrap_err();
    let writing = open(path, Access::ReadWrite).unwrap_err();
    assert_eq!(reading.to_string(), writing.to_string());
    writing
}

#[test]
fn what_is_no_database_is_said_to_be_none() {
    let folder = Folder::new();
    let missing = folder.path().join("nowhere.db");
    assert!(matches!(error(&missing), StoreError::Missing { .. }));
    assert_eq!(
        error(&missing).to_string(),
        format!("there is no file {}; check the path", missing.display())
    );
    assert!(matches!(error(folder.path()), StoreError::IsDirectory { .. }));
    assert!(folder.files().is_empty(), "nothing was made");

    let text = folder.path().join("notes.txt");
    fs::write(&text, "id,email\n".repeat(1000)).unwrap();
    assert!(matches!(error(&text), StoreError::NotADatabase { .. }));
    assert!(matches!(error(&text.join("x.db")), StoreError::CannotOpen { .. }));
}

#[test]
fn a_damaged_database_is_said_to_be_damaged() {
    let folder = Folder::new();
    let path = folder.file(LEGACY);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..4096].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let error = error(&path);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
}

#[test]
fn contacts_and_their_columns_must_be_there() {
    for (sql, expected) in [
        ("", "has no table `contacts`"),
        ("CREATE TABLE customers (id)", "has no table `contacts`"),
        ("CREATE VIEW contacts AS SELECT 1 AS id", "it is a view, not a table"),
        (
            "CREATE TABLE contacts (id, email, zip_code, birthday)",
            "lacks the column `effective_date`",
        ),
        (
            "CREATE TABLE contacts (id, effective_date)",
            "lacks the columns `email`, `zip_code`, `birth_date`",
        ),
        (
            "CREATE TABLE contacts (id TEXT PRIMARY KEY, email, zip_code, birthday, effective_date)",
            "is declared as TEXT; it must hold whole numbers",
        ),
        (
            "CREATE TABLE contacts (id REAL, email, zip_code, birthday, effective_date)",
            "is declared as REAL; it must hold whole numbers",
        ),
    ] {
        let folder = Folder::new();
        let error = error(&folder.file(sql)).to_string();
        assert!(error.contains(expected) && error.contains("test.db"), "{error}");
    }
    for sql in [
        CONTACTS,
        LEGACY,
        "CREATE TABLE Contacts (ID INT, EMAIL, Zip_Code INT, BirthDay, Effective_DATE)",
        "CREATE TABLE contacts (id PRIMARY KEY, email, zip_code, birth_date, effective_date)
           WITHOUT ROWID",
    ] {
        let folder = Folder::new();
        let path = folder.file(sql);
        open(&path, Access::ReadOnly).unwrap();
        open(&path, Access::ReadWrite).unwrap();
    }
}

#[test]
fn a_database_that_another_connection_holds_is_locked() {
    let folder = Folder::new();
    let path = folder.file(CONTACTS);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let held = error(&path);
    assert!(matches!(held, StoreError::Locked { .. }) && held.is_transient(), "{held}");
    other.execute_batch("ROLLBACK; BEGIN IMMEDIATE").unwrap();
    // Reading is possible, writing is not.
    let mut db = open(&path, Access::ReadWrite).unwrap();
    assert_eq!(db.contact_count().unwrap(), 0);
    assert!(matches!(db.migrate(NOW).unwrap_err(), StoreError::Locked { .. }));
    other.execute_batch("ROLLBACK").unwrap();
    db.migrate(NOW).unwrap();
}

#[test]
fn a_read_only_file_can_be_read_and_nothing_else() {
    let folder = Folder::new();
    let path = folder.file(CONTACTS);
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    let refused = open(&path, Access::ReadWrite).unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    let mut db = open(&path, Access::ReadOnly).unwrap();
    assert_eq!(db.contact_count().unwrap(), 0);
    assert!(!db.pending_migrations().unwrap().is_empty());
    let refused = db.migrate(NOW).unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    assert_eq!(folder.files(), ["test.db"]);
}

#[test]
fn reading_changes_nothing_in_the_folder() {
    for journal in ["delete", "wal"] {
        let folder = Folder::new();
        let path = folder.file(&format!("PRAGMA journal_mode = {journal}; {LEGACY}"));
        let before = (folder.files(), fs::read(&path).unwrap());
        assert_eq!(before.0, ["test.db"], "{journal}");
        let db = open(&path, Access::ReadOnly).unwrap();
        assert_eq!(db.contact_count().unwrap(), 0);
        let meanwhile = folder.files();
        assert!(journal == "wal" || meanwhile == ["test.db"], "{meanwhile:?}");
        drop(db);
        let mut after = folder.files();
        after.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
        assert_eq!((after, fs::read(&path).unwrap()), before, "{journal}");
    }
}

#[cfg(unix)]
#[test]
fn a_database_in_wal_mode_can_be_read_where_no_file_can_be_made_beside_it() {
    let folder = Folder::new();
    let path = folder.file(&format!("PRAGMA journal_mode = wal; {CONTACTS}"));
    Connection::open(&path).unwrap().execute_batch("INSERT INTO contacts (id) VALUES (7)").unwrap();
    // A link that leads nowhere keeps the log from being made, even for a superuser.
    let wal = folder.path().join("test.db-wal");
    std::os::unix::fs::symlink("/nowhere/at/all", &wal).unwrap();
    let db = open(&path, Access::ReadOnly).unwrap();
    assert_eq!(db.contact_count().unwrap(), 1);
    let refused = open(&path, Access::ReadWrite).unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    // With a log that waits to be applied, the file alone is not the database.
    fs::remove_file(&wal).unwrap();
    fs::create_dir(&wal).unwrap();
    let refused = open(&path, Access::ReadOnly).unwrap_err();
    assert!(matches!(refused, StoreError::NeedsRecovery { .. }), "{refused}");
}

#[test]
fn the_journal_mode_of_a_file_stays_and_a_new_file_uses_wal() {
    let mode = |db: &Database| {
        db.connection()
            .pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))
            .unwrap()
    };
    for journal in ["delete", "wal", "truncate"] {
        let folder = Folder::new();
        let path = folder.file(&format!("PRAGMA journal_mode = {journal}; {CONTACTS}"));
        let mut db = read_write(&path);
        db.migrate(NOW).unwrap();
        // Truncating is a habit of a connection, not a mode of the file.
        let kept = if journal == "truncate" { "delete" } else { journal };
        assert_eq!(mode(&db), kept);
    }
    let folder = Folder::new();
    let path = folder.path().join("new.db");
    let mut db = Database::create(&path).unwrap();
    db.migrate(NOW).unwrap();
    assert_eq!(mode(&db), "wal");
    drop(db);
    assert_eq!(mode(&read_write(&path)), "wal");
    assert!(matches!(Database::create(&path).unwrap_err(), StoreError::Exists { .. }));
    assert!(matches!(Database::create(folder.path()).unwrap_err(), StoreError::IsDirectory { .. }));
    let nowhere = folder.path().join("nowhere").join("new.db");
    assert!(matches!(Database::create(nowhere).unwrap_err(), StoreError::CannotOpen { .. }));
}

#[test]
fn a_snapshot_sees_one_state_while_others_write() {
    let folder = Folder::new();
    let path = folder.file(&format!("PRAGMA journal_mode = wal; {CONTACTS}"));
    let other = Connection::open(&path).unwrap();
    let db = open(&path, Access::ReadOnly).unwrap();
    let snapshot = db.snapshot().unwrap();
    other.execute_batch("INSERT INTO contacts (id) VALUES (1)").unwrap();
    assert_eq!(db.contact_count().unwrap(), 0);
    drop(snapshot);
    assert_eq!(db.contact_count().unwrap(), 1);
}

#[test]
fn ranges_of_ids_cover_everything_once() {
    for (ids, parts, expected) in [
        ("", 4, vec![i64::MIN..=i64::MAX]),
        ("(5)", 3, vec![i64::MIN..=i64::MAX]),
        ("(1), (2)", 2, vec![i64::MIN..=1, 2..=i64::MAX]),
        ("(1), (100)", 2, vec![i64::MIN..=50, 51..=i64::MAX]),
        ("(-9), (0)", 5, vec![i64::MIN..=-8, -7..=-6, -5..=-4, -3..=-2, -1..=i64::MAX]),
        ("(1), (100)", 0, vec![i64::MIN..=i64::MAX]),
        ("(-9223372036854775808), (9223372036854775807)", 2, vec![i64::MIN..=-1, 0..=i64::MAX]),
    ] {
        let folder = Folder::new();
        let insert = if ids.is_empty() {
            String::new()
        } else {
            format!("INSERT INTO contacts (id) VALUES {ids}")
        };
        let db = read_write(&folder.file(&format!("{CONTACTS}{insert}")));
        assert_eq!(db.contact_ranges(parts).unwrap(), expected, "{ids}");
    }
}
