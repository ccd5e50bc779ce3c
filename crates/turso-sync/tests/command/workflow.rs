//! A file in step with a real server.

use libsql_link::{Location, Options, Value, blocking::Link};
use serde_json::Value as Json;
use testkit::{
    jwt::{Access, Keys},
    sqld::{Settings, Sqld},
};

use crate::desk::Desk;

/// A server with a table of three contacts.
pub(crate) fn server() -> Sqld {
    let sqld = Sqld::start();
    on_server(
        &sqld,
        &[
            "CREATE TABLE contacts(id INTEGER PRIMARY KEY, name TEXT, weight REAL)",
            "CREATE INDEX by_name ON contacts(name)",
            "INSERT INTO contacts VALUES (1, 'Ann', 1.5), (2, 'Bob; or not', 0.1), (3, 'Cy', NULL)",
        ],
    );
    sqld
}

fn link(sqld: &Sqld) -> Link {
    let location: Location = sqld.url().parse().unwrap();
    Link::open(&location, Options::new()).unwrap()
}

pub(crate) fn on_server(sqld: &Sqld, statements: &[&str]) {
    for sql in statements {
        link(sqld).execute(sql, &[]).unwrap();
    }
}

/// The names on the server, joined.
pub(crate) fn names(sqld: &Sqld) -> String {
    let sql = "SELECT group_concat(name, '|') FROM (SELECT name FROM contacts ORDER BY id)";
    match link(sqld).query(sql, &[]).unwrap().single().unwrap() {
        Value::Text(names) => names.clone(),
        other => panic!("{other:?}"),
    }
}

/// A desk with `work.db`, in step with the server.
fn in_step(sqld: &Sqld) -> Desk {
    let desk = Desk::new();
    let said = desk.succeeds(&["init", "work.db", "--url", &sqld.url()]);
    assert_eq!(said, format!("Fetched work.db from {}: 3 rows in 1 tables\n", sqld.url()));
    desk
}

#[test]
fn a_change_goes_from_one_file_to_the_server_to_another_file() {
    let sqld = server();
    let (here, there) = (in_step(&sqld), in_step(&sqld));
    assert!(here.succeeds(&["status", "work.db"]).contains("Next      nothing to do"));
    assert_eq!(here.succeeds(&["push", "work.db"]), "Nothing to push.\n");

    drop(here.sql("work.db", "UPDATE contacts SET name = 'Anna' WHERE id = 1"));
    let (status, _) = here.ends_with(1, &["status", "work.db"]);
    assert!(status.contains("Here      0 rows inserted, 1 updated, 0 deleted in 1 table"));
    let (diff, _) = here.ends_with(1, &["diff", "work.db"]);
    assert!(diff.contains("~ key 1: name \"Ann\" -> \"Anna\""), "{diff}");
    let (same, _) = here.ends_with(1, &["diff", "--db", "work.db"]);
    assert_eq!(same, diff);
    let dry = here.succeeds(&["push", "work.db", "--dry-run"]);
    assert!(dry.starts_with("Would push work.db: 0 rows inserted, 1 updated"), "{dry}");
    assert_eq!(names(&sqld), "Ann|Bob; or not|Cy");
    let pushed = here.succeeds(&["push", "work.db"]);
    assert_eq!(pushed, "Pushed work.db: 0 rows inserted, 1 updated, 0 deleted in 1 table\n");
    assert_eq!(names(&sqld), "Anna|Bob; or not|Cy");

    let dry = there.succeeds(&["pull", "work.db", "--dry-run"]);
    assert!(dry.starts_with("Would bring into work.db: 0 rows inserted, 1 updated"), "{dry}");
    let pulled = there.succeeds(&["pull", "--db", "work.db"]);
    assert_eq!(pulled, "Brought into work.db: 0 rows inserted, 1 updated, 0 deleted in 1 table\n");
    assert_eq!(there.succeeds(&["pull", "work.db"]), "Nothing new for work.db.\n");
    there.copy("work.db", "theirs.db");
    std::fs::copy(here.path("work.db"), there.path("ours.db")).unwrap();
    there.are_equal("ours.db", "theirs.db");
}

#[test]
fn both_sides_changes_come_together_and_conflicts_are_shown_with_all_values() {
    let sqld = server();
    let desk = in_step(&sqld);
    drop(desk.sql("work.db", "UPDATE contacts SET weight = 7 WHERE id = 1"));
    on_server(&sqld, &["UPDATE contacts SET name = 'Anne' WHERE id = 1"]);
    let pulled = desk.succeeds(&["pull", "work.db"]);
    assert!(pulled.contains("Local changes stay: 0 rows inserted, 1 updated"), "{pulled}");
    let row = "SELECT name || weight FROM contacts WHERE id = 1";
    let text: String = desk.sql("work.db", "").query_row(row, [], |row| row.get(0)).unwrap();
    assert_eq!(text, "Anne7.0");

    drop(desk.sql("work.db", "UPDATE contacts SET name = 'ours' WHERE id = 1"));
    on_server(&sqld, &["UPDATE contacts SET name = 'theirs' WHERE id = 1"]);
    let (push, _) = desk.ends_with(1, &["push", "work.db"]);
    assert!(push.contains("nothing was pushed. Run `turso-sync pull work.db`"), "{push}");
    assert_eq!(names(&sqld), "theirs|Bob; or not|Cy");
    let before = desk.read("work.db");
    let (pull, _) = desk.ends_with(1, &["pull", "work.db"]);
    assert!(pull.contains("contacts key 1: both sides changed it\n"), "{pull}");
    assert!(pull.contains("  name: base \"Anne\", ours \"ours\", theirs \"theirs\"\n"), "{pull}");
    assert_eq!(desk.read("work.db"), before);
    let (json, _) = desk.ends_with(1, &["pull", "work.db", "--json"]);
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(json["end"], "conflict");
    assert_eq!(json["conflicts"][0]["columns"][0]["theirs"], "theirs");

    let settled = desk.succeeds(&["pull", "work.db", "--policy", "ours"]);
    assert!(settled.contains("1 conflicts settled by --policy"), "{settled}");
    desk.succeeds(&["push", "work.db"]);
    assert_eq!(names(&sqld), "ours|Bob; or not|Cy");
}

#[test]
fn a_reset_throws_local_changes_away_and_keeps_a_copy() {
    let sqld = server();
    let desk = in_step(&sqld);
    drop(desk.sql("work.db", "DELETE FROM contacts"));
    // Nobody can answer the question.
    desk.fails(2, &["reset", "work.db"], "give --yes");
    let said = desk.succeeds(&["reset", "work.db", "--yes"]);
    assert!(said.contains("Thrown away: 0 rows inserted, 0 updated, 3 deleted"), "{said}");
    assert_eq!(desk.ends_with(0, &["diff", "work.db"]).0, "No differences.\n");
    let backup = said.rsplit_once("is in ").unwrap().1.trim();
    let conn = desk.sql(backup, "");
    let rows: i64 = conn.query_row("SELECT count(*) FROM contacts", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn a_file_of_ones_own_goes_to_an_empty_server_or_is_merged() {
    let sqld = Sqld::start();
    let desk = Desk::new();
    let make = "CREATE TABLE contacts(id INTEGER PRIMARY KEY, name TEXT, weight REAL);
                INSERT INTO contacts VALUES (1, 'Ann', 1.5), (9, 'Zoe', 2.5)";
    drop(desk.sql("work.db", make));
    let url = sqld.url();
    let said = desk.succeeds(&["init", "work.db", "--url", &url]);
    assert!(said.contains("Send it with `turso-sync push work.db`"), "{said}");
    desk.succeeds(&["push", "work.db"]);
    assert_eq!(names(&sqld), "Ann|Zoe");
    desk.fails(2, &["init", "work.db", "--url", &url], "synced already");

    drop(desk.sql("other.db", make));
    drop(desk.sql("other.db", "UPDATE contacts SET id = 8, name = 'Yan' WHERE id = 9"));
    desk.fails(2, &["init", "other.db", "--url", &url], "--merge");
    desk.succeeds(&["init", "other.db", "--url", &url, "--merge"]);
    desk.succeeds(&["push", "other.db"]);
    assert_eq!(names(&sqld), "Ann|Yan|Zoe");
}

#[test]
fn what_is_not_begun_or_begun_with_another_server_is_an_error_that_says_so() {
    let sqld = server();
    let desk = in_step(&sqld);
    for command in ["push", "pull", "status", "diff"] {
        desk.fails(2, &[command, "other.db"], "begin with `turso-sync init");
    }
    desk.fails(2, &["init", "other.db"], "no remote database is named");
    // A token in the environment is for the address beside it, and for no other.
    let other = ["pull", "work.db", "--url", "http://127.0.0.1:1"];
    desk.fails(2, &other, "synced with");
    let mut command = desk.command(&["pull", "work.db"]);
    let output = command.env("TURSO_DATABASE_URL", "http://127.0.0.1:1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    std::fs::remove_file(desk.path("work.db")).unwrap();
    desk.fails(2, &["push", "work.db"], "the file is missing");
    desk.succeeds(&["pull", "work.db"]);
    desk.fails(2, &["diff", "work.db", "--out", "work.db"], "work.db is read");
}

#[test]
fn every_report_is_json_when_asked_for() {
    let sqld = server();
    let desk = Desk::new();
    let json = |code, command: &[&str]| -> Json {
        let (text, stderr) = desk.ends_with(code, &[command, &["work.db", "--json"][..]].concat());
        assert_eq!(stderr, "");
        serde_json::from_str(&text).unwrap()
    };
    let report = json(0, &["init", "--url", &sqld.url()]);
    assert_eq!(report["rows"], 3);
    assert_eq!(json(0, &["status"])["remote"]["reachable"], true);
    assert_eq!(json(0, &["status", "--offline"])["remote"], Json::Null);
    drop(desk.sql("work.db", "INSERT INTO contacts(name) VALUES ('Di')"));
    assert_eq!(json(1, &["status"])["local"]["inserted"], 1);
    assert_eq!(json(1, &["diff"])["summary"]["tables"][0]["inserted"], 1);
    assert_eq!(json(0, &["push", "--dry-run"])["end"], "dry_run");
    assert_eq!(json(0, &["push"])["end"], "pushed");
    assert_eq!(json(0, &["push"])["end"], "nothing");
    assert_eq!(json(0, &["pull"])["end"], "nothing");
    assert_eq!(json(0, &["reset", "--yes"])["local"]["inserted"], 0);
}

#[test]
fn a_second_process_is_told_who_works_on_the_file() {
    let sqld = server();
    let desk = in_step(&sqld);
    let lock = std::fs::File::open(desk.path("work.db.sync/lock")).unwrap();
    lock.lock().unwrap();
    desk.fails(3, &["push", "work.db"], "in use by process ");
    desk.fails(3, &["pull", "work.db"], "wait until it has ended");
    drop(lock);
    desk.succeeds(&["push", "work.db"]);
}

#[test]
fn a_working_file_or_state_that_is_broken_is_named_with_what_to_do() {
    let sqld = server();
    let desk = in_step(&sqld);
    let good = desk.read("work.db");
    desk.write("work.db", "no database at all, but long enough to look like one\n");
    for command in ["status", "push", "pull", "diff"] {
        desk.fails(2, &[command, "work.db"], "it is no SQLite database");
    }
    // That is when a reset is wanted most.
    desk.succeeds(&["reset", "work.db", "--yes"]);
    assert_eq!(desk.succeeds(&["diff", "work.db"]), "No differences.\n");
    desk.write("work.db", good);

    let base = desk.read("work.db.sync/base.db");
    std::fs::remove_file(desk.path("work.db.sync/base.db")).unwrap();
    desk.fails(3, &["push", "work.db"], "run `turso-sync init` with `--merge`");
    desk.write("work.db.sync/base.db", base);
    let state = desk.read("work.db.sync/state.json");
    desk.write("work.db.sync/state.json", &state[..state.len() / 2]);
    desk.fails(3, &["pull", "work.db"], "state.json: damaged");
    desk.write("work.db.sync/state.json", "{\"format\": 99}");
    desk.fails(3, &["status", "work.db"], "update it");
}

#[test]
fn a_token_in_the_address_lets_in_and_is_kept_nowhere() {
    let keys = Keys::generate();
    let settings = Settings { jwt_public_key: Some(keys.public()), ..Settings::default() };
    let sqld = Sqld::start_with(settings);
    let desk = Desk::new();
    let token = keys.token(Access::ReadWrite);
    let url = format!("{}?authToken={token}", sqld.url());
    drop(desk.sql("work.db", "CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)"));
    let said = desk.succeeds(&["init", "work.db", "--url", &url]);
    assert!(!said.contains(&token), "{said}");
    // It is not kept, so it is to be given again.
    desk.fails(3, &["pull", "work.db"], "check the token");
    desk.succeeds(&["push", "work.db", "--url", &url]);
    let only_reads = keys.token(Access::ReadOnly);
    drop(desk.sql("work.db", "INSERT INTO t VALUES (2)"));
    let push = ["push", "work.db", "--token", &only_reads];
    let (stdout, stderr) = desk.ends_with(3, &push);
    assert_eq!(stdout, "");
    assert!(stderr.contains("check the token and what it allows"), "{stderr}");
    desk.succeeds(&["push", "work.db", "--token", &token, "--json"]);
    desk.succeeds(&["status", "work.db", "--token", &token]);
    desk.holds_nowhere(&token);
    desk.holds_nowhere(&only_reads);
}

#[test]
fn quiet_says_nothing_but_what_was_asked_for() {
    let sqld = server();
    let desk = in_step(&sqld);
    let dump = ["dump-init", "--db", "work.db"];
    assert!(desk.ends_with(0, &dump).1.contains("Wrote baseline.db and original_dump.sql"));
    assert_eq!(desk.ends_with(0, &[&dump[..], &["--quiet"]].concat()).1, "");
    assert_eq!(desk.ends_with(0, &["diff", "work.db", "--out", "f", "-q"]).1, "");
}

#[test]
fn a_place_where_no_file_can_be_is_refused_and_nothing_is_made_there() {
    let sqld = server();
    let desk = Desk::new();
    let url = sqld.url();
    std::fs::create_dir(desk.path("folder")).unwrap();
    for dry in [&[][..], &["--dry-run"]] {
        let init = |file| [&["init", file, "--url", &url][..], dry].concat();
        desk.fails(2, &init("mistyped/work.db"), "there is no folder mistyped; make it first");
        desk.fails(2, &init("folder"), "folder: it is a directory; name a file in it");
    }
    desk.fails(2, &["sync", "-r", "mistyped/work.db", "--url", &url], "there is no folder");
}

#[test]
fn a_proposed_command_can_be_pasted_whatever_the_file_is_called() {
    let sqld = server();
    let desk = Desk::new();
    let name = "Ann's plan; 2026.db";
    desk.fails(2, &["pull", name], r"begin with `turso-sync init 'Ann'\''s plan; 2026.db' --url");
    desk.succeeds(&["init", name, "--url", &sqld.url()]);
    drop(desk.sql(name, "DELETE FROM contacts"));
    let (said, _) = desk.ends_with(1, &["status", name]);
    assert!(said.contains(r"`turso-sync push 'Ann'\''s plan; 2026.db'`"), "{said}");
}

#[test]
fn rows_that_break_a_rule_together_are_named_and_no_policy_is_proposed() {
    let sqld = server();
    let desk = in_step(&sqld);
    on_server(&sqld, &["CREATE TABLE mail(id INTEGER PRIMARY KEY, address TEXT UNIQUE)"]);
    desk.succeeds(&["pull", "work.db"]);
    on_server(&sqld, &["INSERT INTO mail VALUES (1, 'a@example.com')"]);
    drop(desk.sql("work.db", "INSERT INTO mail VALUES (2, 'a@example.com')"));
    let (said, _) = desk.ends_with(1, &["push", "work.db"]);
    assert!(said.contains("The remote database changed meanwhile; nothing was pushed"), "{said}");
    for policy in ["abort", "ours", "theirs"] {
        let (said, _) = desk.ends_with(1, &["pull", "work.db", "--policy", policy]);
        assert!(said.contains("mail key 1: a constraint forbids the change: UNIQUE"), "{said}");
        assert!(said.contains("no --policy settles that; work.db is as it was"), "{said}");
    }
    drop(desk.sql("work.db", "UPDATE mail SET address = 'b@example.com'"));
    desk.succeeds(&["pull", "work.db"]);
    desk.succeeds(&["push", "work.db"]);
}

#[test]
fn a_file_that_another_program_holds_is_neither_reset_nor_copied() {
    let sqld = server();
    let desk = in_step(&sqld);
    drop(desk.sql("work.db", "DELETE FROM contacts"));
    let holder = desk.sql("work.db", "BEGIN EXCLUSIVE");
    // Without knowing what would be lost, nothing is thrown away.
    for command in [&["reset", "work.db", "--yes"][..], &["copy", "work.db", "copy.db"]] {
        let (_, stderr) = desk.ends_with(3, command);
        assert!(stderr.contains("another program is writing to it"), "{stderr}");
    }
    drop(holder);
    assert!(desk.succeeds(&["reset", "work.db", "--yes"]).contains("3 deleted"));
}
