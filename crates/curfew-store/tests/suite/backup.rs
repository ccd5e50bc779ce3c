use std::{fs, path::Path, time::Duration};

use curfew_store::{
    Access, Database, StoreError,
    backup::{backups, remove_old_backups, restore, restore_waiting},
};
use jiff::{Timestamp, ToSpan as _};
use rusqlite::Connection;

use crate::fixture::{CONTACTS, Folder, NOW, query, read_write};

const TWO: &str = "INSERT INTO contacts (id, email) VALUES (1, 'ann@example.com'), (2, NULL);";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn six() -> Timestamp {
    at("2026-11-20T06:00:00Z")
}

/// The contacts' ids of a database file.
fn ids(path: &Path) -> Vec<String> {
    query(&Database::open(path, Access::ReadOnly).unwrap(), "SELECT id FROM contacts ORDER BY id")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_backup_holds_one_state_while_others_write() {
    for mode in ["wal", "delete"] {
        let folder = Folder::new();
        let path = folder.file(&format!("PRAGMA journal_mode = {mode}; {CONTACTS} {TWO}"));
        let mut db = read_write(&path);
        db.migrate(NOW).unwrap();
        let other = Connection::open(&path).unwrap();
        if mode == "wal" {
            // Not committed yet: no part of the copy.
            other.execute_batch("BEGIN IMMEDIATE; INSERT INTO contacts (id) VALUES (3)").unwrap();
        }
        let copied = db.back_up(&folder.path().join("kept/here"), six()).unwrap();
        if mode == "wal" {
            other.execute_batch("COMMIT").unwrap();
        }
        assert_eq!((copied.contacts, copied.schedules), (2, 0));
        assert_eq!(copied.bytes, fs::metadata(&copied.path).unwrap().len());
        assert_eq!(
            names(&folder.path().join("kept/here")),
            ["test.db-20261120T060000.000Z.backup"],
            "the copy alone, without a log"
        );
        assert_eq!(ids(&copied.path), ["1", "2"]);
        assert!(db.quick_check(1).unwrap().is_empty());
    }
}

#[test]
fn a_backup_never_takes_the_place_of_another() {
    let folder = Folder::new();
    let db = read_write(&folder.file(CONTACTS));
    db.back_up(folder.path(), six()).unwrap();
    assert!(matches!(db.back_up(folder.path(), six()), Err(StoreError::Exists { .. })));
}

#[test]
fn a_copy_of_a_damaged_database_is_not_kept() {
    let folder = Folder::new();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO contacts (id, email) SELECT i, 'someone-' || i || '@example.com' FROM n;
        CREATE INDEX by_email ON contacts (email);";
    let path = folder.file(&format!("{CONTACTS} {many}"));
    let sound = fs::read(&path).unwrap();
    let mut bytes = sound.clone();
    // An entry of the index that no row has.
    let needle = b"someone-4321@";
    let last = bytes.windows(needle.len()).rposition(|part| part == needle).unwrap();
    bytes[last..last + 4].copy_from_slice(b"SOME");
    fs::write(&path, &bytes).unwrap();
    let db = Database::open(&path, Access::ReadOnly).unwrap();
    let error = db.back_up(&folder.path().join("kept"), six()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(names(&folder.path().join("kept")).is_empty());
    drop(db);

    // And no damaged backup takes the place of a database.
    let backup = folder.path().join("damaged");
    fs::rename(&path, &backup).unwrap();
    fs::write(&path, &sound).unwrap();
    let error = restore(&path, &backup, six()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), sound);
    assert_eq!(folder.files(), ["damaged", "kept", "test.db"]);
}

#[test]
fn old_backups_go_but_never_the_newest_nor_anything_else() {
    let folder = Folder::new();
    let database = folder.path().join("agency.db");
    let newest = six() - (24 * 20).hours();
    let name = |at: Timestamp| format!("agency.db-{}Z.backup", at.strftime("%Y%m%dT%H%M%S%.3f"));
    let others = [
        "agency.db",
        "agency.db-20200101T000000.000Z.backup.txt",
        "agency.db-20200101T000000Z.backup",
        "agency.db-20201301T000000.000Z.backup",
        "agency.db.replaced-20200101T000000.000Z",
        "other.db-20200101T000000.000Z.backup",
        "my-agency.db-20200101T000000.000Z.backup",
    ];
    let unfinished = format!("{}.unfinished", name(six() - 23.hours()));
    let given_up = format!("{}.unfinished", name(six() - 25.hours()));
    let older = [name(newest - 1.hour()), name(newest - 900.hours())];
    for file in others.into_iter().chain([
        name(newest).as_str(),
        &older[0],
        &older[1],
        &unfinished,
        &given_up,
    ]) {
        fs::write(folder.path().join(file), "").unwrap();
    }
    let removed = remove_old_backups(&database, folder.path(), 7, six()).unwrap();
    let removed: Vec<_> = removed.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(removed, [older[1].as_str(), &older[0]]);
    let mut left: Vec<String> = others.map(str::to_owned).to_vec();
    left.extend([name(newest), unfinished]);
    left.sort();
    assert_eq!(folder.files(), left);
    assert_eq!(backups(&database, folder.path()).unwrap()[0].0, newest);
    assert!(backups(&database, &folder.path().join("nowhere")).unwrap().is_empty());
}

#[test]
fn a_backup_is_kept_for_whole_days() {
    let folder = Folder::new();
    let database = folder.path().join("agency.db");
    for name in ["agency.db-20261101T000000.000Z.backup", "agency.db-20261119T000000.000Z.backup"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let remove = |now| remove_old_backups(&database, folder.path(), 7, at(now)).unwrap().len();
    assert_eq!(remove("2026-11-08T00:00:00Z"), 0);
    assert_eq!(remove("2026-11-08T00:00:00.001Z"), 1);
}

#[test]
fn restoring_brings_the_backup_back_and_keeps_what_it_replaces() {
    for mode in ["wal", "delete"] {
        let folder = Folder::new();
        let path = folder.file(&format!("PRAGMA journal_mode = {mode}; {CONTACTS} {TWO}"));
        let db = read_write(&path);
        let copied = db.back_up(folder.path(), six()).unwrap();
        db.connection().execute_batch("INSERT INTO contacts (id) VALUES (3)").unwrap();
        drop(db);
        let before = fs::read(&copied.path).unwrap();

        let restored = restore(&path, &copied.path, at("2026-11-20T07:00:00Z")).unwrap();
        assert_eq!(
            folder.files(),
            [
                "test.db",
                "test.db-20261120T060000.000Z.backup",
                "test.db.replaced-20261120T070000.000Z"
            ],
            "and no logs"
        );
        let aside = folder.path().join("test.db.replaced-20261120T070000.000Z");
        assert_eq!(restored.kept_aside.as_deref(), Some(aside.as_path()));
        assert_eq!((restored.database.path.as_path(), restored.database.contacts), (&*path, 2));
        assert_eq!(ids(&path), ["1", "2"]);
        assert_eq!(ids(&aside), ["1", "2", "3"]);
        assert_eq!(fs::read(&copied.path).unwrap(), before, "the backup is as it was");
    }
}

#[test]
fn what_is_only_in_the_log_is_kept_aside_too() {
    let folder = Folder::new();
    let path = folder.file(&format!("PRAGMA journal_mode = wal; {CONTACTS} {TWO}"));
    let copied = read_write(&path).back_up(folder.path(), six()).unwrap();
    // A program that was killed leaves its log: a copy of both files while it is at work.
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch("PRAGMA wal_autocheckpoint = 0; DELETE FROM contacts WHERE id = 2")
        .unwrap();
    let killed = folder.path().join("killed.db");
    fs::copy(&path, &killed).unwrap();
    fs::copy(folder.path().join("test.db-wal"), folder.path().join("killed.db-wal")).unwrap();

    let restored = restore(&killed, &copied.path, six()).unwrap();
    assert_eq!(ids(&killed), ["1", "2"], "nothing of the log is applied to what was restored");
    assert_eq!(ids(&restored.kept_aside.unwrap()), ["1"]);
}

#[test]
fn a_database_that_others_use_is_not_replaced() {
    let folder = Folder::new();
    let path = folder.file(&format!("PRAGMA journal_mode = delete; {CONTACTS} {TWO}"));
    let copied = read_write(&path).back_up(&folder.path().join("kept"), six()).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO contacts (id) VALUES (3)").unwrap();
    let result = restore_waiting(&path, &copied.path, six(), Duration::ZERO);
    assert!(matches!(result, Err(StoreError::Locked { .. })), "{result:?}");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(ids(&path), ["1", "2", "3"]);
    assert!(!folder.files().iter().any(|name| name.contains("restoring")), "{:?}", folder.files());
}

#[test]
fn a_damaged_or_missing_database_is_replaced_with_its_log() {
    let folder = Folder::new();
    let path = folder.file(&format!("{CONTACTS} {TWO}"));
    let copied = read_write(&path).back_up(folder.path(), six()).unwrap();
    fs::write(&path, "what is left of a database").unwrap();
    fs::write(folder.path().join("test.db-wal"), "a log").unwrap();
    let aside = restore(&path, &copied.path, six()).unwrap().kept_aside.unwrap();
    assert_eq!(ids(&path), ["1", "2"]);
    assert_eq!(fs::read_to_string(&aside).unwrap(), "what is left of a database");
    let log = aside.with_file_name("test.db.replaced-20261120T060000.000Z-wal");
    assert_eq!(fs::read_to_string(log).unwrap(), "a log");

    fs::remove_file(&path).unwrap();
    let restored = restore(&path, &copied.path, at("2026-11-20T08:00:00Z")).unwrap();
    assert_eq!(restored.kept_aside, None);
    assert_eq!(ids(&path), ["1", "2"]);
}

#[test]
fn what_is_no_backup_is_refused_and_nothing_changes() {
    let folder = Folder::new();
    let path = folder.file(&format!("{CONTACTS} {TWO}"));
    let before = fs::read(&path).unwrap();
    let other = folder.path().join("other");
    let refused = || restore(&path, &other, six()).unwrap_err();
    assert!(matches!(refused(), StoreError::Missing { .. }));
    fs::write(&other, "Dear Sir or Madam").unwrap();
    assert!(matches!(refused(), StoreError::NotADatabase { .. }));
    fs::remove_file(&other).unwrap();
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(refused(), StoreError::NoContacts { .. }));
    assert!(matches!(restore(&path, &path, six()), Err(StoreError::SameFile { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(folder.files(), ["other", "test.db"]);
}
