//! The older tool's commands.

use testkit::sqld::Sqld;

use crate::desk::Desk;

/// `local_replica.db` and a diff as `sqldiff --transaction` writes it, for `diff.sql`.
fn replica_and_diff() -> Desk {
    let desk = Desk::new();
    drop(desk.sql(
        "local_replica.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES (1, 'a')",
    ));
    desk.write(
        "diff.sql",
        "BEGIN TRANSACTION;\nUPDATE t SET note='one; two' WHERE id=1;\n\
         INSERT INTO t(id,note) VALUES(2,'-- not; a comment');\nCOMMIT;\n",
    );
    desk
}

#[test]
fn apply_diff_takes_statements_as_sqlite_does_and_not_by_semicolons() {
    let desk = replica_and_diff();
    let said = desk.succeeds(&["apply-diff", "--no-sync"]);
    assert_eq!(said, "Applied to local_replica.db: 2 statements, 2 rows changed\n");
    let conn = desk.sql("local_replica.db", "");
    let notes: String =
        conn.query_row("SELECT group_concat(note, '|') FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(notes, "one; two|-- not; a comment");
}

#[test]
fn apply_diff_takes_other_names_and_applies_all_or_nothing() {
    let desk = replica_and_diff();
    desk.copy("local_replica.db", "other.db");
    desk.write("bad.sql", "DELETE FROM t;\nDELETE FROM nowhere;\n");
    let bad = ["apply-diff", "--db-path", "other.db", "--diff-file", "bad.sql", "--no-sync"];
    desk.fails(2, &bad, "bad.sql: line 2: ");
    desk.fails(2, &["apply-diff", "--no-sync", "-d", "none.db"], "there is no file none.db");
    let dry = desk.succeeds(&["apply-diff", "--no-sync", "--db", "other.db", "--dry-run"]);
    assert!(dry.starts_with("Would apply to other.db: "), "{dry}");
    desk.are_equal("local_replica.db", "other.db");
}

#[test]
fn offline_sync_says_that_a_server_does_not_have_the_protocol_and_what_to_use() {
    let desk = Desk::new();
    let sqld = Sqld::start();
    let url = sqld.url();
    for (direction, instead) in [
        ("pull", "Use `turso-sync pull --db working_copy.db`, which works"),
        ("push", "Use `turso-sync push --db working_copy.db`, which works"),
        ("both", "and then `turso-sync push --db working_copy.db`, which works"),
    ] {
        let command = ["offline-sync", "--direction", direction, "--sync-url", &url];
        desk.fails(3, &command, "does not have libSQL's protocol for offline writes");
        desk.fails(3, &command, instead);
    }
    desk.fails(
        2,
        &["offline-sync", "--direction", "sideways"],
        "possible values: pull, push, both",
    );
}

#[test]
fn the_address_comes_from_the_argument_then_the_environment_then_a_file() {
    let desk = Desk::new();
    desk.fails(2, &["offline-sync"], "no remote database is named; give --url, or set");
    desk.write(".env", "# ours\nexport TURSO_DATABASE_URL='http://127.0.0.1:1/file'\n");
    desk.fails(3, &["offline-sync"], "cannot reach http://127.0.0.1:1/file");
    let mut command = desk.command(&["offline-sync"]);
    let output = command.env("TURSO_DATABASE_URL", "http://127.0.0.1:1/own").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("http://127.0.0.1:1/own"));
    let named = ["offline-sync", "--sync-url", "http://127.0.0.1:1/named"];
    desk.fails(3, &named, "cannot reach http://127.0.0.1:1/named");
    desk.fails(2, &["offline-sync", "--sync-url", "ftp://a"], "the scheme is unknown");
    desk.fails(2, &["offline-sync", "--sync-url", "a.db"], "is a file, not a remote database");
    // A line that cannot be read may hold a token.
    desk.write(".env", "TURSO_AUTH_TOKEN s3cret\n");
    let (_, stderr) = desk.ends_with(2, &["offline-sync"]);
    assert!(stderr.contains("cannot read .env"), "{stderr}");
    assert!(!stderr.contains("s3cret"), "{stderr}");
}
