//! `--dry-run`: every command that writes says what it would do, and changes nothing here or there.

use serde_json::Value as Json;
use testkit::{offline_server::OfflineServer, offline_server::open_unchecked, sqld::Sqld};

use crate::{
    desk::Desk,
    workflow::{names, on_server, server},
};

/// Runs the command with `--dry-run` as text and as JSON, and returns both.
#[track_caller]
fn dry(desk: &Desk, sqld: &Sqld, code: i32, command: &[&str]) -> (String, Json) {
    let before = names(sqld);
    let said = desk.leaves_alone(code, &[command, &["--dry-run"]].concat());
    let json = desk.leaves_alone(code, &[command, &["--dry-run", "--json"]].concat());
    assert_eq!(names(sqld), before, "{command:?} changed the server");
    (said, serde_json::from_str(&json).unwrap())
}

#[test]
fn a_beginning_is_only_looked_at() {
    let sqld = server();
    let desk = Desk::new();
    let url = sqld.url();
    for command in
        [&["init", "work.db"][..], &["sync", "-r", "work.db"], &["libsql-sync", "work.db"]]
    {
        let (said, _) = dry(&desk, &sqld, 0, &[command, &["--url", &url]].concat());
        assert_eq!(said, format!("Would fetch work.db from {url}: 3 rows in 1 tables\n"));
    }
    let (_, json) = dry(&desk, &sqld, 0, &["init", "--url", &url]);
    assert_eq!((&json["dry_run"], &json["rows"]), (&Json::Bool(true), &3.into()));
    let (said, json) = dry(&desk, &sqld, 0, &["workflow", "--url", &url]);
    assert!(said.starts_with("Would fetch local_replica.db from "), "{said}");
    assert!(said.contains("\nWould fetch working_copy.db from "), "{said}");
    assert_eq!((&json["replica"]["rows"], &json["working"]["rows"]), (&3.into(), &3.into()));
    let (said, json) = dry(&desk, &sqld, 0, &["dump-init", "--url", &url]);
    assert!(said.starts_with("Would fetch working_copy.db from "), "{said}");
    assert_eq!(json["rows"], 3);

    let make = "CREATE TABLE contacts(id INTEGER PRIMARY KEY, name TEXT, weight REAL);
                INSERT INTO contacts VALUES (1, 'Anna', 1.5), (9, 'Zoe', 2.5)";
    drop(desk.sql("own.db", make));
    let init = ["init", "own.db", "--url", &url];
    desk.fails(2, &[&init[..], &["--dry-run"]].concat(), "own.db: exists, and");
    let merge = [&init[..], &["--merge"]].concat();
    let (said, json) = dry(&desk, &sqld, 1, &merge);
    assert!(said.contains("name: base (none), ours \"Anna\", theirs \"Ann\""), "{said}");
    assert_eq!(json["conflicts_count"], 1);
    let ours = [&merge[..], &["--policy", "ours"]].concat();
    let (said, json) = dry(&desk, &sqld, 0, &ours);
    assert!(said.starts_with("Would keep own.db"), "{said}");
    assert_eq!((&json["local"]["inserted"], &json["local"]["updated"]), (&1.into(), &1.into()));
    // What was said is what comes of it.
    desk.succeeds(&ours);
    let (_, json) = dry(&desk, &sqld, 0, &["push", "own.db"]);
    assert_eq!((&json["changes"]["inserted"], &json["changes"]["updated"]), (&1.into(), &1.into()));
    desk.fails(2, &[&init[..], &["--dry-run"]].concat(), "synced already");
}

#[test]
fn what_is_in_step_already_is_only_looked_at() {
    let sqld = server();
    let desk = Desk::new();
    let url = sqld.url();
    desk.succeeds(&["init", "work.db", "--url", &url]);
    drop(desk.sql("work.db", "UPDATE contacts SET name = 'Anna' WHERE id = 1"));
    on_server(&sqld, &["UPDATE contacts SET weight = 9 WHERE id = 2"]);

    let (said, json) = dry(&desk, &sqld, 0, &["sync", "-r", "work.db"]);
    assert!(said.starts_with("Would bring into work.db: 0 rows inserted, 1 updated"), "{said}");
    assert_eq!(json["end"], "dry_run");
    let (said, json) = dry(&desk, &sqld, 0, &["libsql-sync", "work.db"]);
    assert!(said.contains("Would bring into work.db: 0 rows inserted, 1 updated"), "{said}");
    assert!(said.contains("Would push work.db: 0 rows inserted, 1 updated"), "{said}");
    assert_eq!(json["push"]["end"], "dry_run");
    let (said, json) = dry(&desk, &sqld, 0, &["reset", "work.db"]);
    assert!(said.contains("Would throw away: 0 rows inserted, 1 updated"), "{said}");
    assert!(said.contains("would be kept in work.db.sync/backups"), "{said}");
    assert_eq!((&json["dry_run"], &json["rows"]), (&Json::Bool(true), &3.into()));
    desk.leaves_alone(0, &["watch", "work.db", "--dry-run"]);
    let lines = desk.leaves_alone(0, &["watch", "work.db", "--dry-run", "--json"]);
    let events: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["report"]["incoming"]["updated"], 1);
    assert_eq!(events[1]["report"]["changes"]["updated"], 1);
    let (said, _) = dry(&desk, &sqld, 0, &["dump-push", "work.db"]);
    assert!(said.starts_with("Would push work.db: 0 rows inserted, 1 updated"), "{said}");
    // With nothing to push, nothing else is done either.
    desk.succeeds(&["init", "other.db", "--url", &url]);
    on_server(&sqld, &["UPDATE contacts SET weight = 10 WHERE id = 2"]);
    dry(&desk, &sqld, 0, &["push", "work.db", "-r", "other.db"]);
    desk.leaves_alone(0, &["push", "other.db", "-r", "work.db", "--dry-run"]);
}

#[test]
fn a_file_of_the_older_tool_is_only_looked_at() {
    let sqld = server();
    let desk = Desk::new();
    desk.succeeds(&["copy", &sqld.url(), "baseline.db"]);
    desk.copy("baseline.db", "working_copy.db");
    drop(desk.sql("working_copy.db", "DELETE FROM contacts WHERE id = 1"));
    let push = ["dump-push", "--url", &sqld.url()];
    let (said, json) = dry(&desk, &sqld, 0, &push);
    assert!(said.starts_with("Would push working_copy.db: 0 rows inserted, 0 updated, 1 del"));
    assert_eq!(json["end"], "dry_run");
}

#[test]
fn a_copy_is_only_looked_at() {
    let sqld = server();
    let desk = Desk::new();
    let url = sqld.url();
    let (said, json) = dry(&desk, &sqld, 0, &["copy", &url, "new.db"]);
    assert!(said.starts_with(&format!("Would copy {url} to new.db: 3 rows inserted")), "{said}");
    assert_eq!(json["dry_run"], true);
    desk.succeeds(&["copy", &url, "a.db"]);
    drop(desk.sql("a.db", "DELETE FROM contacts WHERE id > 1"));
    let (_, json) = dry(&desk, &sqld, 0, &["copy", &url, "a.db", "--replace"]);
    assert_eq!(json["changes"]["inserted"], 2);
    let (_, json) = dry(&desk, &sqld, 0, &["copy", "a.db", &url, "--replace"]);
    assert_eq!(json["changes"]["deleted"], 2);
    desk.fails(2, &["copy", "a.db", &url, "--dry-run"], "give --replace to make it a copy");
}

#[test]
fn changesets_are_only_looked_at() {
    let desk = Desk::new();
    drop(
        desk.sql("a.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1)"),
    );
    desk.copy("a.db", "b.db");
    drop(desk.sql("b.db", "UPDATE t SET v = 2"));
    desk.succeeds(&["diff", "a.db", "b.db", "--changeset", "c"]);
    desk.leaves_alone(0, &["changeset", "invert", "c", "--out", "d", "--dry-run"]);
    desk.leaves_alone(0, &["changeset", "concat", "c", "c", "--out", "d", "--dry-run"]);
    desk.leaves_alone(0, &["changeset", "apply", "c", "a.db", "--dry-run"]);
}

#[test]
fn an_offline_sync_is_only_looked_at() {
    libsql_link::initialize().unwrap();
    let server = OfflineServer::start("CREATE TABLE t(a); INSERT INTO t VALUES ('base')");
    let desk = Desk::new();
    let url = server.url();
    let sync = ["offline-sync", "-s", &url];
    let dry_sync = [&sync[..], &["--dry-run"]].concat();
    let said = desk.leaves_alone(0, &dry_sync);
    assert_eq!(said, format!("Would fetch working_copy.db from {url}\n"));
    desk.succeeds(&sync);
    let file = desk.path("working_copy.db");
    open_unchecked(&file).execute_batch("INSERT INTO t VALUES ('here')").unwrap();
    let said = desk.leaves_alone(0, &dry_sync);
    assert!(said.contains("changed pages to send"), "{said}");
    assert_eq!(server.query("SELECT group_concat(a) FROM t"), r#"Text("base")"#);
    let pull = [&dry_sync[..], &["--direction", "pull"]].concat();
    desk.fails(1, &pull, "push them first");
}
