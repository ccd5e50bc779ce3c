//! The older tool's commands.

use testkit::{
    jwt::{Access, Keys},
    offline_server::{OfflineServer, open_unchecked},
    sqld::{Settings, Sqld},
};

use crate::{
    desk::Desk,
    workflow::{names, on_server, server},
};

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
        ("pull", "Use `turso-sync pull working_copy.db`, which works"),
        ("push", "Use `turso-sync push working_copy.db`, which works"),
        ("both", "and then `turso-sync push working_copy.db`, which works"),
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
    // A token that was given in the wrong place is not shown either.
    let (_, stderr) = desk.ends_with(2, &["offline-sync", "--sync-url", "eyJhbGciOi.s3cret.x"]);
    assert!(stderr.contains("looks like a token") && !stderr.contains("s3cret"), "{stderr}");
    // The example, as it comes, names nothing.
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../env.example");
    desk.write(".env", std::fs::read(example).unwrap());
    desk.fails(2, &["offline-sync"], "no remote database is named");
    // A line that cannot be read may hold a token.
    desk.write(".env", "TURSO_AUTH_TOKEN s3cret\n");
    let (_, stderr) = desk.ends_with(2, &["offline-sync"]);
    assert!(stderr.contains("cannot read .env"), "{stderr}");
    assert!(!stderr.contains("s3cret"), "{stderr}");
}

#[test]
fn a_token_of_the_environment_goes_to_the_address_beside_it_and_to_no_other() {
    let keys = Keys::generate();
    let settings = Settings { jwt_public_key: Some(keys.public()), ..Settings::default() };
    let sqld = Sqld::start_with(settings);
    let desk = Desk::new();
    let url = sqld.url();
    let token = keys.token(Access::ReadWrite);
    let variables =
        |address: &str| format!("TURSO_DATABASE_URL={address}\nTURSO_AUTH_TOKEN={token}\n");
    desk.write(".env", variables("http://127.0.0.1:1"));
    let sync = ["sync", "--url", &url];
    let (_, stderr) = desk.ends_with(3, &sync);
    assert!(stderr.contains("is for http://127.0.0.1:1 and is not sent to"), "{stderr}");
    assert!(stderr.contains("check the token"), "{stderr}");
    assert!(!stderr.contains(&token), "{stderr}");
    desk.write(".env", variables(&url));
    desk.succeeds(&sync);
    desk.succeeds(&["sync"]);
}

#[test]
fn dump_init_and_dump_push_work_with_their_files_and_defaults() {
    let sqld = server();
    let desk = Desk::new();
    desk.write(".env", format!("TURSO_DATABASE_URL={}\n", sqld.url()));
    desk.succeeds(&["dump-init"]);
    desk.are_equal("working_copy.db", "baseline.db");
    // The dump is the database.
    drop(desk.sql("empty.db", ""));
    desk.succeeds(&["apply", "original_dump.sql", "empty.db"]);
    desk.are_equal("empty.db", "baseline.db");

    drop(desk.sql("working_copy.db", "UPDATE contacts SET name = 'An; na' WHERE id = 1"));
    let said = desk.succeeds(&["dump-push"]);
    assert!(said.starts_with("Pushed working_copy.db: 0 rows inserted, 1 updated"), "{said}");
    assert_eq!(names(&sqld), "An; na|Bob; or not|Cy");
    desk.are_equal("working_copy.db", "baseline.db");
    assert!(String::from_utf8(desk.read("diff.sql")).unwrap().contains("'An; na'"));
    drop(desk.sql("again.db", ""));
    desk.succeeds(&["apply", "original_dump.sql", "again.db"]);
    desk.are_equal("again.db", "baseline.db");
    assert_eq!(desk.succeeds(&["dump-push"]), "Nothing to push.\n");
    // Called again, dump-init brings what is new; local changes stay.
    drop(desk.sql("working_copy.db", "DELETE FROM contacts WHERE id = 3"));
    on_server(&sqld, &["INSERT INTO contacts VALUES (4, 'Di', 1)"]);
    desk.succeeds(&["dump-init"]);
    let kept: String = desk
        .sql("working_copy.db", "")
        .query_row("SELECT group_concat(id) FROM contacts", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, "1,2,4");
}

#[test]
fn dump_push_takes_over_what_the_older_tool_made() {
    let sqld = server();
    let desk = Desk::new();
    desk.succeeds(&["init", "pulled.db", "--url", &sqld.url()]);
    desk.copy("pulled.db", "baseline.db");
    desk.copy("pulled.db", "working_copy.db");
    let push = ["dump-push", "--url", &sqld.url()];
    std::fs::rename(desk.path("baseline.db"), desk.path("away.db")).unwrap();
    desk.fails(2, &push, "begin with `turso-sync dump-init`");
    std::fs::rename(desk.path("away.db"), desk.path("baseline.db")).unwrap();
    drop(desk.sql("working_copy.db", "UPDATE contacts SET name = 'Anna' WHERE id = 1"));
    // What the server has otherwise than the baseline is a conflict, not overwritten.
    on_server(&sqld, &["UPDATE contacts SET name = 'Anne' WHERE id = 1"]);
    let (said, _) = desk.ends_with(1, &push);
    assert!(said.contains("nothing was pushed"), "{said}");
    on_server(&sqld, &["UPDATE contacts SET name = 'Ann' WHERE id = 1"]);
    desk.succeeds(&push);
    assert_eq!(names(&sqld), "Anna|Bob; or not|Cy");
}

#[test]
fn sync_and_workflow_fetch_the_copy_and_the_working_file() {
    let sqld = server();
    let desk = Desk::new();
    let url = sqld.url();
    desk.succeeds(&["sync", "--url", &url]);
    on_server(&sqld, &["INSERT INTO contacts VALUES (4, 'Di', 1)"]);
    let said = desk.succeeds(&["workflow", "--url", &url]);
    assert!(said.contains("Brought into local_replica.db: 1 rows inserted"), "{said}");
    assert!(said.contains("Fetched working_copy.db"), "{said}");
    desk.are_equal("local_replica.db", "working_copy.db");
    drop(desk.sql("working_copy.db", "DELETE FROM contacts WHERE id = 4"));
    // The older tool wrote over the working file here.
    let said = desk.succeeds(&["workflow", "-r", "local_replica.db", "-w", "working_copy.db"]);
    assert!(said.contains("Local changes stay: 0 rows inserted, 0 updated, 1 deleted"), "{said}");
    desk.succeeds(&["push", "-r", "local_replica.db", "-w", "working_copy.db"]);
    desk.are_equal("local_replica.db", "working_copy.db");
    assert_eq!(names(&sqld), "Ann|Bob; or not|Cy");
    drop(desk.sql("old.db", "CREATE TABLE t(x)"));
    desk.fails(2, &["sync", "-r", "old.db", "-u", &url], "move it away, or bring both together");
}

#[test]
fn libsql_sync_goes_both_ways_and_pushes_nothing_over_a_conflict() {
    let sqld = server();
    let desk = Desk::new();
    let sync = ["libsql-sync", "--sync-url", &sqld.url()];
    desk.succeeds(&sync);
    drop(desk.sql("working_copy.db", "UPDATE contacts SET name = 'Anna' WHERE id = 1"));
    on_server(&sqld, &["UPDATE contacts SET name = 'Cyd' WHERE id = 3"]);
    let said = desk.succeeds(&sync);
    assert!(said.contains("Brought into working_copy.db"), "{said}");
    assert!(said.contains("Pushed working_copy.db"), "{said}");
    assert_eq!(names(&sqld), "Anna|Bob; or not|Cyd");
    drop(desk.sql("working_copy.db", "UPDATE contacts SET name = 'here' WHERE id = 1"));
    on_server(&sqld, &["UPDATE contacts SET name = 'there' WHERE id = 1"]);
    let (json, _) = desk.ends_with(1, &[&sync[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["pull"]["end"], "conflict");
    assert_eq!(json["push"], serde_json::Value::Null);
    assert_eq!(names(&sqld), "there|Bob; or not|Cyd");
}

#[test]
fn apply_diff_pushes_what_it_applied() {
    let sqld = server();
    let desk = Desk::new();
    desk.write("diff.sql", "UPDATE contacts SET name = 'a; b' WHERE id = 1;");
    drop(desk.sql("other.db", "CREATE TABLE contacts(id INTEGER PRIMARY KEY, name, weight)"));
    let other = ["apply-diff", "--db-path", "other.db", "--sync-url", &sqld.url()];
    desk.fails(2, &other, "give --no-sync to apply only");
    desk.succeeds(&["sync", "--url", &sqld.url()]);
    let said = desk.succeeds(&["apply-diff"]);
    assert!(said.contains("1 statements, 1 rows changed\nPushed local_replica.db"), "{said}");
    assert_eq!(names(&sqld), "a; b|Bob; or not|Cy");
}

#[test]
fn offline_sync_goes_both_ways_where_the_server_has_the_protocol() {
    libsql_link::initialize().unwrap();
    let server = OfflineServer::start("CREATE TABLE t(a); INSERT INTO t VALUES ('base')");
    let desk = Desk::new();
    let url = server.url();
    let sync = |direction: &str| {
        desk.succeeds(&["offline-sync", "--direction", direction, "-s", &url, "--json"])
    };
    let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let first = json(sync("pull"));
    assert_eq!(first["fetched"], true);
    assert_eq!(first["backup"], serde_json::Value::Null);

    let file = desk.path("working_copy.db");
    open_unchecked(&file).execute_batch("INSERT INTO t VALUES ('here')").unwrap();
    // A pull alone would throw it away.
    let pull = ["offline-sync", "--direction", "pull", "-s", &url];
    let (_, stderr) = desk.ends_with(1, &pull);
    assert!(stderr.contains("push them first"), "{stderr}");
    let pushed = json(sync("push"));
    assert_ne!(pushed["pushed_frames"], 0);
    assert_eq!(server.query("SELECT group_concat(a) FROM t"), r#"Text("base,here")"#);
    assert!(desk.path("working_copy.db.offline-backup/working_copy.db").exists());

    server.execute("INSERT INTO t VALUES ('there')");
    assert_ne!(json(sync("both"))["pulled_frames"], 0);
    let here: String = open_unchecked(&file)
        .query_row("SELECT group_concat(a) FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(here, "base,here,there");
}

#[test]
fn offline_sync_is_no_success_when_the_server_did_not_take_the_changes() {
    libsql_link::initialize().unwrap();
    let server = OfflineServer::start("CREATE TABLE t(a); INSERT INTO t VALUES ('base')");
    let desk = Desk::new();
    let sync = ["offline-sync", "-s", &server.url()];
    desk.succeeds(&sync);
    let file = desk.path("working_copy.db");
    open_unchecked(&file).execute_batch("INSERT INTO t VALUES ('here')").unwrap();
    server.swallow_pushes(true);
    let (_, stderr) = desk.ends_with(3, &sync);
    assert!(stderr.contains("in working_copy.db.offline-backup"), "{stderr}");
    server.swallow_pushes(false);
    desk.succeeds(&sync);
    assert_eq!(server.query("SELECT group_concat(a) FROM t"), r#"Text("base,here")"#);
}
