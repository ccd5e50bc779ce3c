use curfew_store::{Access, Database, LogWatch};

use crate::fixture::{CONTACTS, Folder, query, read_write};

/// As many pages as SQLite moves by itself, and more.
const FILL: &str = "
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
  INSERT INTO contacts (email) SELECT hex(zeroblob(2000)) FROM n";

fn log_bytes(db: &Database) -> u64 {
    let log = format!("{}-wal", db.path().display());
    std::fs::metadata(log).map_or(0, |file| file.len())
}

#[test]
fn while_it_is_watched_a_log_stays_until_it_is_moved_and_then_begins_anew() {
    let folder = Folder::new();
    let db = read_write(&folder.file(&format!("PRAGMA journal_mode = wal; {CONTACTS}")));
    let mover = db.beside(Access::ReadWrite).unwrap();
    assert!(db.has_log().unwrap());

    let watch = LogWatch::begin(&db).unwrap();
    assert_eq!(watch.bytes(), 0);
    db.connection().execute_batch(FILL).unwrap();
    let filled = watch.bytes();
    assert!(filled > 1000 * 4096, "{filled}");
    let before = std::fs::metadata(db.path()).unwrap().len();
    assert!(before < filled, "nothing was moved: {before}");
    let length = log_bytes(&db);

    mover.move_log().unwrap();
    assert!(std::fs::metadata(db.path()).unwrap().len() > 1000 * 4096);
    db.connection().execute_batch("UPDATE contacts SET zip_code = '1' WHERE id = 1").unwrap();
    assert!(watch.bytes() < 10 * 4096, "{}", watch.bytes());
    assert_eq!(log_bytes(&db), length);

    // Without a watch, SQLite moves the log by itself again.
    drop(watch);
    db.connection().execute_batch(FILL).unwrap();
    let watch = LogWatch::begin(&db).unwrap();
    db.connection().execute_batch("UPDATE contacts SET zip_code = '2' WHERE id = 1").unwrap();
    assert!(watch.bytes() < 10 * 4096, "{}", watch.bytes());
    assert_eq!(query(&mover, "SELECT count(*) FROM contacts"), ["2400"]);
}

#[test]
fn a_reader_keeps_what_it_reads_in_the_log() {
    let folder = Folder::new();
    let db = read_write(&folder.file(&format!("PRAGMA journal_mode = wal; {CONTACTS}")));
    let reader = db.beside(Access::ReadOnly).unwrap();
    let held = reader.snapshot().unwrap();
    let watch = LogWatch::begin(&db).unwrap();
    db.connection().execute_batch(FILL).unwrap();
    db.move_log().unwrap();
    assert_eq!(query(&reader, "SELECT count(*) FROM contacts"), ["0"]);
    let filled = watch.bytes();
    db.connection().execute_batch("UPDATE contacts SET zip_code = '1' WHERE id = 1").unwrap();
    assert!(watch.bytes() > filled);
    drop(held);
    assert_eq!(query(&reader, "SELECT count(*) FROM contacts"), ["1200"]);
}

#[test]
fn only_in_wal_mode_is_there_a_log_and_may_commits_go_on_without_the_disk() {
    let folder = Folder::new();
    let db = read_write(&folder.file(CONTACTS));
    let level = |db: &Database| query(db, "PRAGMA synchronous").concat();
    db.connection().pragma_update(None, "synchronous", "full").unwrap();
    assert!(!db.has_log().unwrap());
    db.commit_without_waiting().unwrap();
    assert_eq!(level(&db), "2");
    db.connection().pragma_update(None, "journal_mode", "wal").unwrap();
    db.commit_without_waiting().unwrap();
    assert_eq!(level(&db), "1");
    db.commit_to_disk().unwrap();
    assert_eq!(level(&db), "2");
}
