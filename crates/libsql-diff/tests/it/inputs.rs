//! Inputs are read as they are, in one snapshot, and never written to.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};

use libsql_diff::{Error, Options, Progress, diff, diff_connections, diff_into, diff_with};
use rusqlite::Connection;

use crate::support::{
    Folder, check, content, copy_log, diff_without_pages, files, operations, remove, run,
};

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
    CREATE TABLE k(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
    INSERT INTO t SELECT i, 'value ' || i FROM n; INSERT INTO k SELECT v, id FROM t;";

/// A database whose last changes are only in its log, with nobody having it open.
fn with_log(folder: &Folder, name: &str, sql: &str, logged: &str) -> std::path::PathBuf {
    let live = folder.create("live.db", &format!("PRAGMA journal_mode = WAL; {sql}"));
    let conn = Connection::open(&live).unwrap();
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    conn.execute_batch(logged).unwrap();
    let path = folder.path(name);
    std::fs::copy(&live, &path).unwrap();
    copy_log(&live, &path);
    drop(conn);
    remove(&live);
    path
}

#[test]
fn a_log_that_nobody_has_open_is_read_and_left_as_it_is() {
    let folder = Folder::new();
    let change = "UPDATE t SET v = 'new' WHERE id % 100 = 0; DELETE FROM k WHERE v = 5;
        INSERT INTO t VALUES (5000, 'late'); CREATE INDEX i ON t(v);";
    let a = folder.create("a.db", TABLE);
    let b = with_log(&folder, "b.db", TABLE, change);
    assert!(std::fs::metadata(folder.path("b.db-wal")).unwrap().len() > 0);
    let before = files(folder.0.path());
    let found = diff(&a, &b).unwrap();
    let slow = diff_without_pages(&a, &b);
    assert_eq!(files(folder.0.path()), before);
    assert_eq!(operations(&found), operations(&slow));
    assert_eq!(found.summary().rows_changed(), 22);
    check(&folder, &a, &b);
    check(&folder, &b, &a);
}

#[test]
fn a_database_that_another_connection_has_open_is_read_with_its_log() {
    let folder = Folder::new();
    let a = folder.create("a.db", TABLE);
    let b = folder.create("b.db", &format!("PRAGMA journal_mode = WAL; {TABLE}"));
    let writer = Connection::open(&b).unwrap();
    writer
        .execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE t SET v = 'x' WHERE id = 7;")
        .unwrap();
    // What is not committed is not there.
    writer.execute_batch("BEGIN; UPDATE t SET v = 'never' WHERE id = 8;").unwrap();
    let log = || std::fs::read(folder.path("b.db-wal")).unwrap();
    let before = (std::fs::read(&b).unwrap(), log());
    for pages in [true, false] {
        let options = Options { pages, ..Options::default() };
        let found = diff_with(&a, &b, &options, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(found.summary().rows_changed(), 1, "{:?}", operations(&found));
    }
    assert_eq!((std::fs::read(&b).unwrap(), log()), before);
    writer.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn what_is_written_while_comparing_is_not_seen() {
    let folder = Folder::new();
    let a = folder.create("a.db", &format!("PRAGMA journal_mode = WAL; {TABLE}"));
    let b = folder.create("b.db", &format!("PRAGMA journal_mode = WAL; {TABLE}"));
    run(&b, "UPDATE t SET v = 'before' WHERE id = 1999;");
    let writer = Connection::open(&b).unwrap();
    writer
        .execute_batch("PRAGMA journal_mode = WAL; UPDATE t SET v = 'before' WHERE id = 3")
        .unwrap();
    let mut found = Vec::new();
    for pages in [true, false] {
        let options = Options { pages, ..Options::default() };
        let mut operations = Vec::new();
        let mut wrote = false;
        diff_into(&a, &b, &options, &mut operations, &mut |_: &Progress| {
            if !wrote {
                // The comparison has begun: both snapshots are taken.
                wrote = true;
                writer
                    .execute_batch(
                        "UPDATE t SET v = v || ' later'; DELETE FROM k; CREATE TABLE later(x);
                         PRAGMA wal_checkpoint(PASSIVE); UPDATE t SET v = v || '!';",
                    )
                    .unwrap();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(wrote);
        found.push(operations);
        writer
            .execute_batch(
                "DROP TABLE later; INSERT INTO k SELECT 'value ' || id, id FROM t;
                 UPDATE t SET v = 'value ' || id; UPDATE t SET v = 'before' WHERE id IN (3, 1999);",
            )
            .unwrap();
    }
    assert_eq!(found[0], found[1]);
    let rows: Vec<_> =
        found[0].iter().filter(|o| matches!(o, libsql_diff::Operation::Row(_))).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
}

#[test]
fn a_log_that_is_begun_anew_while_comparing_changes_nothing() {
    let folder = Folder::new();
    let a = folder.create("a.db", TABLE);
    let b = folder.create("b.db", &format!("PRAGMA journal_mode = WAL; {TABLE}"));
    let writer = Connection::open(&b).unwrap();
    // All of the log is in the file, so that the next to write begins it anew.
    writer
        .execute_batch("UPDATE t SET v = 'before' WHERE id = 3; PRAGMA wal_checkpoint(FULL)")
        .unwrap();
    let log = || std::fs::read(folder.path("b.db-wal")).unwrap();
    let before = log();
    let mut wrote = false;
    let mut operations = Vec::new();
    diff_into(&a, &b, &Options::default(), &mut operations, &mut |_: &Progress| {
        if !wrote {
            wrote = true;
            writer.execute_batch("UPDATE t SET v = v || ' later'; DELETE FROM k").unwrap();
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(wrote);
    assert_ne!(log()[..32], before[..32], "the log has a new header");
    let is_row =
        |operation: &&libsql_diff::Operation| matches!(operation, libsql_diff::Operation::Row(_));
    assert_eq!(operations.iter().filter(is_row).count(), 1, "{operations:?}");
}

/// Every transaction of the writer raises a counter in two tables at once, in rows far apart: a
/// mixture of two states would show two values.
const WRITER: &str = "CREATE TABLE state(id INTEGER PRIMARY KEY, n, pad);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    INSERT INTO state SELECT i, 0, hex(zeroblob(200)) FROM n;
    CREATE TABLE other(k TEXT PRIMARY KEY, n, pad) WITHOUT ROWID;
    INSERT INTO other SELECT 'k' || id, n, pad FROM state;";

#[test]
fn one_snapshot_is_compared_while_another_process_writes() {
    let folder = Folder::new();
    let a = folder.create("a.db", &format!("PRAGMA journal_mode = WAL; {WRITER}"));
    let b = folder.create("b.db", &format!("PRAGMA journal_mode = WAL; {WRITER}"));
    let mut shell = Command::new("sqlite3")
        .args(["-batch", "-bail"])
        .arg(&b)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the sqlite3 shell is installed: apt-get install sqlite3");
    let mut input = shell.stdin.take().unwrap();
    let mut output = BufReader::new(shell.stdout.take().unwrap());
    writeln!(input, ".timeout 10000\nPRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 20;")
        .unwrap();
    let step = "BEGIN; UPDATE state SET n = n + 1; UPDATE other SET n = n + 1; COMMIT;";
    let mut states = BTreeSet::new();
    for _ in 0..20 {
        // The shell works through these while the comparison runs, or before, or after.
        for _ in 0..5 {
            writeln!(input, "{step}").unwrap();
        }
        writeln!(input, "SELECT 'done';").unwrap();
        input.flush().unwrap();
        for pages in [true, false] {
            let options = Options { pages, ..Options::default() };
            let found = match diff_with(&a, &b, &options, &mut |_| ControlFlow::Continue(())) {
                Ok(found) => found,
                // Opened before the shell did, and so without locks: said, not guessed.
                Err(Error::InputChanged { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            let values: BTreeSet<String> = operations(&found)
                .iter()
                .filter_map(|operation| match operation {
                    libsql_diff::Operation::Row(row) => Some(row.new_value(1)?.to_string()),
                    _ => None,
                })
                .collect();
            assert!(values.len() <= 1, "two states in one comparison: {values:?}");
            let rows = found.summary().rows_changed();
            assert!(rows == 0 || rows == 600, "{rows}");
            states.extend(values);
        }
        let mut line = String::new();
        while !line.contains("done") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the shell ended");
        }
    }
    drop(input);
    assert!(shell.wait().unwrap().success());
    assert!(!states.is_empty());
}

#[test]
fn an_interrupted_transaction_is_named_not_rolled_back() {
    let folder = Folder::new();
    let a = folder.create("a.db", TABLE);
    let live = folder.create("live.db", TABLE);
    let conn = Connection::open(&live).unwrap();
    // A small cache makes the transaction write to the file before it ends.
    conn.execute_batch(
        "PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; UPDATE t SET v = v || 'x';",
    )
    .unwrap();
    let b = folder.path("b.db");
    std::fs::copy(&live, &b).unwrap();
    std::fs::copy(folder.path("live.db-journal"), folder.path("b.db-journal")).unwrap();
    conn.execute_batch("ROLLBACK").unwrap();
    drop(conn);
    let before = files(folder.0.path());
    let outcome = diff(&a, &b);
    assert!(matches!(outcome, Err(Error::HotJournal { .. })), "{outcome:?}");
    assert_eq!(files(folder.0.path()), before);
}

#[cfg(unix)]
#[test]
fn read_only_files_in_read_only_folders_can_be_compared() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let a = folder.create("a.db", TABLE);
    let b = with_log(&folder, "b.db", TABLE, "UPDATE t SET v = 1 WHERE id = 1;");
    let set = |file_mode: u32, folder_mode: u32| {
        let log = folder.path("b.db-wal");
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(folder.0.path(), 0o755);
        for path in [&a, &b, &log] {
            set(path, file_mode);
        }
        set(folder.0.path(), folder_mode);
    };
    set(0o444, 0o555);
    let found = diff(&a, &b);
    set(0o644, 0o755);
    assert_eq!(found.unwrap().summary().rows_changed(), 1);
}

#[test]
fn what_is_no_database_is_said_so() {
    let folder = Folder::new();
    let a = folder.create("a.db", TABLE);
    let text = folder.path("text.db");
    std::fs::write(&text, "this is not a database, but it is long enough to have a header")
        .unwrap();
    let error = diff(&a, &text).unwrap_err().to_string();
    assert!(error.contains("text.db") && error.contains("not a database"), "{error}");
    assert!(matches!(diff(&a, folder.path("missing.db")), Err(Error::Io { .. })));
    assert!(matches!(diff(&a, folder.0.path()), Err(Error::Io { .. })));
    // An empty file is an empty database to SQLite.
    std::fs::write(&text, "").unwrap();
    assert_eq!(diff(&text, &a).unwrap().summary().tables.len(), 2);
}

#[test]
fn a_file_name_may_hold_anything() {
    let folder = Folder::new();
    let a = folder.create("a b?c#d%20é'\"&.db", TABLE);
    let b = folder.copy(&a, "file:b?mode=memory", "DELETE FROM t WHERE id = 1");
    assert_eq!(diff(&a, &b).unwrap().summary().rows_changed(), 1);
}

#[test]
fn open_connections_are_compared_in_their_transactions() {
    let (a, b) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
    for conn in [&a, &b] {
        conn.execute_batch(TABLE).unwrap();
    }
    b.execute_batch("BEGIN; UPDATE t SET v = 'uncommitted' WHERE id = 4").unwrap();
    let found =
        diff_connections(&a, &b, &Options::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(found.summary().rows_changed(), 1);
    b.execute_batch("ROLLBACK").unwrap();
    assert!(a.is_autocommit());
}

#[test]
fn a_callback_can_stop_the_comparison() {
    let folder = Folder::new();
    let a = folder.create("a.db", TABLE);
    let before = content(&a);
    let mut tables = Vec::new();
    let outcome = diff_with(&a, &a, &Options::default(), &mut |progress| {
        tables.push(progress.table.clone());
        if tables.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(outcome, Err(Error::Stopped)));
    assert_eq!(tables, ["t", "k"]);
    assert_eq!(content(&a), before);
}
