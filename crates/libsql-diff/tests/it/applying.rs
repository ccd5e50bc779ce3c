//! A diff is applied as a whole to a database that is as it expects, or not at all.

use std::ops::ControlFlow;

use libsql_diff::{
    ApplyOptions, ConflictKind, Diff, Error, Progress, Value, apply, apply_script, apply_with, diff,
};
use rusqlite::config::DbConfig;

use crate::support::{Folder, content, open, run};

const BASE: &str = "CREATE TABLE p(id INTEGER PRIMARY KEY);
    CREATE TABLE t(id INTEGER PRIMARY KEY, v, u UNIQUE, p REFERENCES p ON DELETE CASCADE);
    CREATE TABLE k(k TEXT PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE log(x);
    CREATE INDEX i ON t(v); CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); END;
    INSERT INTO p VALUES (1), (2); INSERT INTO k VALUES ('a', 1), ('b', 2);
    INSERT INTO t VALUES (1, 'a', 1, 1), (2, 'b', 2, 2), (3, 'c', 3, NULL);";

/// A difference of the base, and a database in which something else happened meanwhile.
fn prepared(change: &str, meanwhile: &str) -> (Folder, Diff, std::path::PathBuf) {
    let folder = Folder::new();
    let a = folder.create("a.db", BASE);
    let b = folder.copy(&a, "b.db", change);
    let c = folder.copy(&a, "c.db", meanwhile);
    let found = diff(&a, &b).unwrap();
    (folder, found, c)
}

/// What stands in the way, when nothing was applied.
fn refused(change: &str, meanwhile: &str) -> Error {
    let (_folder, found, c) = prepared(change, meanwhile);
    let before = content(&c);
    // Another change first, to see that it is taken back.
    let outcome = apply(&found, &open(&c));
    assert_eq!(content(&c), before, "{change}");
    outcome.unwrap_err()
}

#[test]
fn a_row_that_is_not_as_expected_is_a_conflict_and_nothing_is_applied() {
    for (change, meanwhile, kind) in [
        (
            "UPDATE t SET v = 'x' WHERE id = 1",
            "UPDATE t SET v = 'y' WHERE id = 1",
            ConflictKind::Changed,
        ),
        ("UPDATE t SET v = 'x' WHERE id = 1", "DELETE FROM t WHERE id = 1", ConflictKind::Missing),
        (
            "UPDATE t SET u = 9 WHERE id = 1",
            "UPDATE t SET u = 8 WHERE id = 1",
            ConflictKind::Changed,
        ),
        ("DELETE FROM t WHERE id = 3", "UPDATE t SET v = 'y' WHERE id = 3", ConflictKind::Changed),
        (
            "DELETE FROM t WHERE id = 3",
            "UPDATE t SET v = CAST(v AS BLOB) WHERE id = 3",
            ConflictKind::Changed,
        ),
        (
            "DELETE FROM k WHERE k = 'a'",
            "UPDATE k SET v = 1.0 WHERE k = 'a'",
            ConflictKind::Changed,
        ),
        (
            "INSERT INTO t VALUES (7, 7, 7, NULL)",
            "INSERT INTO t VALUES (7, 1, 9, NULL)",
            ConflictKind::Exists,
        ),
        ("INSERT INTO k VALUES ('c', 7)", "INSERT INTO k VALUES ('c', 8)", ConflictKind::Exists),
        (
            "INSERT INTO t VALUES (7, 7, 7, NULL)",
            "INSERT INTO t VALUES (8, 1, 7, NULL)",
            ConflictKind::Constraint,
        ),
        (
            "UPDATE t SET u = 7 WHERE id = 1",
            "UPDATE t SET u = 7 WHERE id = 2",
            ConflictKind::Constraint,
        ),
        ("DROP INDEX i", "DROP INDEX i; CREATE INDEX i ON t(v, u)", ConflictKind::Schema),
        ("DROP TRIGGER tr", "DROP TRIGGER tr", ConflictKind::Schema),
        ("DROP TABLE k", "ALTER TABLE k ADD COLUMN c", ConflictKind::Schema),
        ("UPDATE k SET v = 9", "ALTER TABLE k ADD COLUMN c", ConflictKind::Schema),
        ("UPDATE k SET v = 9", "DROP TABLE k", ConflictKind::Schema),
        ("ALTER TABLE k ADD COLUMN c", "ALTER TABLE k ADD COLUMN c", ConflictKind::Schema),
        ("ALTER TABLE k DROP COLUMN v", "ALTER TABLE k RENAME COLUMN v TO w", ConflictKind::Schema),
        ("CREATE TABLE n(a)", "CREATE TABLE n(b)", ConflictKind::Schema),
        ("PRAGMA user_version = 2", "PRAGMA user_version = 3", ConflictKind::Changed),
    ] {
        // In an earlier table, so that it has been applied when the conflict is met.
        let change =
            format!("DELETE FROM p WHERE id = 2; UPDATE t SET p = NULL WHERE id = 2; {change}");
        match refused(&change, meanwhile) {
            Error::Conflict(conflict) => assert_eq!(conflict.kind, kind, "{change}: {conflict}"),
            error => panic!("{change}: {error}"),
        }
    }
}

#[test]
fn a_conflict_names_the_row_and_both_values() {
    let error = refused("UPDATE t SET v = 'x' WHERE id = 1", "UPDATE t SET v = 'y' WHERE id = 1");
    assert_eq!(
        error.to_string(),
        "t key 1: the row holds other values (column v: expected \"a\", found \"y\")"
    );
    let Error::Conflict(conflict) = error else { panic!() };
    assert_eq!(conflict.expected, Some(Value::text("a")));
    assert_eq!(conflict.found, Some(Value::text("y")));
}

#[test]
fn rows_that_the_diff_does_not_know_are_noticed_by_their_number() {
    let (change, meanwhile) = ("UPDATE t SET v = 'x' WHERE id = 1", "DELETE FROM t WHERE id = 2");
    let error = refused(change, meanwhile);
    assert!(matches!(error, Error::RowCount { expected: 3, found: 2, .. }), "{error}");
    let (_folder, found, c) = prepared(change, meanwhile);
    let options = ApplyOptions { counts: false, ..ApplyOptions::default() };
    apply_with(&found, &open(&c), &options, &mut |_| ControlFlow::Continue(())).unwrap();
}

#[test]
fn references_to_nothing_do_not_come_in() {
    let (change, meanwhile) = (
        "DELETE FROM p WHERE id = 2; UPDATE t SET p = NULL WHERE id = 2",
        "UPDATE t SET p = 2 WHERE id = 3",
    );
    let error = refused(change, meanwhile);
    assert!(matches!(error, Error::ForeignKeys { expected: 0, found: 1, .. }), "{error}");
    let (_folder, found, c) = prepared(change, meanwhile);
    let options = ApplyOptions { foreign_keys: false, ..ApplyOptions::default() };
    apply_with(&found, &open(&c), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    // One that was there before is not the diff's doing.
    let (_folder, found, c) = prepared(change, "UPDATE t SET p = 77 WHERE id = 3");
    apply(&found, &open(&c)).unwrap();
}

#[test]
fn the_settings_of_the_connection_do_not_matter_and_come_back() {
    let change = "DELETE FROM p WHERE id = 2; UPDATE t SET v = 'moved', p = NULL WHERE id = 2;
        INSERT INTO t VALUES (9, 9, 9, 1); ALTER TABLE k RENAME COLUMN v TO w;";
    for on in [false, true] {
        let (folder, found, c) = prepared(change, "");
        let conn = open(&c);
        let switches = || {
            [
                DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY,
                DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
                DbConfig::SQLITE_DBCONFIG_DEFENSIVE,
            ]
        };
        for switch in switches() {
            conn.set_db_config(switch, on).unwrap();
        }
        conn.execute_batch(&format!(
            "PRAGMA legacy_alter_table = {on}; PRAGMA recursive_triggers = {on};"
        ))
        .unwrap();
        let applied = apply(&found, &conn).unwrap();
        // The second row that comes is what the trigger wrote on the other side.
        assert_eq!((applied.inserted, applied.updated, applied.deleted), (2, 1, 1));
        for switch in switches() {
            assert_eq!(conn.db_config(switch).unwrap(), on);
        }
        let legacy: bool = conn.query_row("PRAGMA legacy_alter_table", [], |r| r.get(0)).unwrap();
        assert_eq!(legacy, on);
        assert_eq!(content(&c), content(&folder.path("b.db")));
    }
}

#[test]
fn stopping_leaves_the_database_as_it_was() {
    let (_folder, found, c) = prepared("UPDATE t SET v = 'x'; UPDATE k SET v = 3", "");
    let before = content(&c);
    let mut calls = 0;
    let conn = open(&c);
    let outcome = apply_with(&found, &conn, &ApplyOptions::default(), &mut |_: &Progress| {
        calls += 1;
        if calls == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(outcome, Err(Error::Stopped)));
    assert!(conn.is_autocommit());
    assert_eq!(content(&c), before);
}

#[test]
fn a_transaction_of_the_callers_is_not_touched() {
    let (_folder, found, c) = prepared("UPDATE t SET v = 'x'", "");
    let conn = open(&c);
    conn.execute_batch("BEGIN").unwrap();
    assert!(matches!(apply(&found, &conn), Err(Error::InTransaction)));
    assert!(!conn.is_autocommit());
}

#[test]
fn another_writer_is_reported_as_busy() {
    let (_folder, found, c) = prepared("UPDATE t SET v = 'x'", "");
    let writer = open(&c);
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let conn = open(&c);
    conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert!(apply(&found, &conn).unwrap_err().is_busy());
}

#[test]
fn a_temporary_table_of_the_same_name_is_not_written_to() {
    let (_folder, found, c) = prepared("UPDATE t SET v = 'x'", "");
    let conn = open(&c);
    conn.execute_batch("CREATE TEMP TABLE t AS SELECT * FROM main.t").unwrap();
    assert!(matches!(apply(&found, &conn), Err(Error::Conflict(_))));
}

#[test]
fn applying_twice_is_refused_the_second_time() {
    let (folder, found, c) =
        prepared("UPDATE t SET v = 'x' WHERE id = 1; INSERT INTO k VALUES ('z', 1)", "");
    let conn = open(&c);
    apply(&found, &conn).unwrap();
    assert!(matches!(apply(&found, &conn), Err(Error::Conflict(_))));
    assert_eq!(content(&c), content(&folder.path("b.db")));
}

#[test]
fn a_diff_against_the_way_leads_back() {
    let change = "UPDATE t SET u = u + 10; DELETE FROM k; DROP TABLE log; DROP TRIGGER tr;";
    let (folder, found, c) = prepared(change, "");
    let back = diff(folder.path("b.db"), folder.path("a.db")).unwrap();
    apply(&found, &open(&c)).unwrap();
    apply(&back, &open(&c)).unwrap();
    assert_eq!(content(&c), content(&folder.path("a.db")));
}

fn run_script(sql: &str, path: &std::path::Path) -> Result<libsql_diff::ScriptApplied, Error> {
    apply_script(&mut sql.as_bytes(), &open(path), &mut |_| ControlFlow::Continue(()))
}

#[test]
fn a_script_is_applied_as_a_whole_or_not_at_all() {
    let folder = Folder::new();
    let a = folder.create("a.db", BASE);
    let before = content(&a);
    for (script, line) in [
        ("UPDATE t SET v = 1;\n\nINSERT INTO nowhere VALUES (1);", 3),
        ("BEGIN; UPDATE t SET v = 1; COMMIT;\nINSERT INTO t(id) VALUES (1);", 2),
        ("UPDATE t SET v = 1;\nROLLBACK;", 2),
        ("UPDATE t SET v = 1; UPDATE t SET v = 'cut off", 1),
        ("UPDATE t SET v = 1;\nVACUUM;", 2),
        ("UPDATE t SET v = 1;\n.tables\n", 2),
        ("UPDATE t SET v = 1;\nSELECT 'a\0b';", 2),
    ] {
        let outcome = run_script(script, &a);
        let Err(Error::Script { line: found, .. }) = outcome else {
            panic!("{script}: {outcome:?}")
        };
        assert_eq!(found, line, "{script}");
        assert_eq!(content(&a), before, "{script}");
    }
}

#[test]
fn a_script_of_another_program_runs_as_it_is() {
    let folder = Folder::new();
    let a = folder.create("a.db", BASE);
    // As the shell's .dump, and as sqldiff: with and without a transaction, with what text holds.
    let applied = run_script(
        "\u{feff}PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;
         INSERT INTO k VALUES('x;y','it''s
         two lines; -- no comment');
         SAVEPOINT s; DELETE FROM k; ROLLBACK TO s; RELEASE s;
         CREATE TRIGGER \"a;b\" AFTER DELETE ON k BEGIN
           UPDATE k SET v = CASE WHEN v THEN 'end;' ELSE 'x' END; DELETE FROM log; END;
         END TRANSACTION;\n
         UPDATE t SET v='z' WHERE id=1; -- done;\n DELETE FROM k WHERE k = 'a'",
        &a,
    )
    .unwrap();
    assert_eq!(applied.statements, 9);
    let conn = open(&a);
    let found: String =
        conn.query_row("SELECT group_concat(k || v, '|') FROM k", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "bend;|x;yx");
}

#[test]
fn scripts_leave_foreign_keys_as_the_connection_had_them() {
    let folder = Folder::new();
    let a = folder.create("a.db", BASE);
    let conn = open(&a);
    for on in [true, false] {
        conn.execute_batch(&format!("PRAGMA foreign_keys = {on}")).unwrap();
        let mut script: &[u8] =
            b"PRAGMA foreign_keys = OFF; BEGIN; DELETE FROM p WHERE id = 9; COMMIT;";
        apply_script(&mut script, &conn, &mut |_| ControlFlow::Continue(())).unwrap();
        let found: bool = conn.query_row("PRAGMA foreign_keys", [], |row| row.get(0)).unwrap();
        assert_eq!(found, on);
    }
    // A cascade of a script's own runs, as anywhere.
    conn.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    let mut script: &[u8] = b"DELETE FROM p WHERE id = 2;";
    let applied = apply_script(&mut script, &conn, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(applied.rows_changed, 2);
    run(&a, "SELECT 1");
}
