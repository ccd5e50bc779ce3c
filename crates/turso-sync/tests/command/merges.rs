//! Three-way merge of plain files.

use crate::desk::Desk;

const MERGE: [&str; 6] = ["merge", "base.db", "ours.db", "theirs.db", "--out", "merged.db"];

/// A base; ours and theirs with changes of one row each, in different columns.
fn three_databases() -> Desk {
    let desk = Desk::new();
    drop(desk.sql(
        "base.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, weight REAL);
         INSERT INTO t VALUES (1, 'Ann', 1.5), (2, 'Bob', 2.5), (3, 'Cy', 3.5)",
    ));
    desk.copy("base.db", "ours.db");
    desk.copy("base.db", "theirs.db");
    drop(desk.sql("ours.db", "UPDATE t SET name = 'Anna' WHERE id = 1"));
    drop(desk.sql("theirs.db", "UPDATE t SET weight = 9.5 WHERE id = 1"));
    desk
}

#[test]
fn what_one_side_changed_is_taken_from_there() {
    let desk = three_databases();
    drop(desk.sql("theirs.db", "INSERT INTO t VALUES (4, 'Di', 0); DELETE FROM t WHERE id = 3"));
    let ours = desk.read("ours.db");
    let said = desk.succeeds(&MERGE);
    assert_eq!(
        said,
        "Wrote merged.db: ours with 1 rows inserted, 1 updated, 1 deleted in 1 table taken from theirs\n"
    );
    drop(desk.sql(
        "wanted.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, weight REAL);
         INSERT INTO t VALUES (1, 'Anna', 9.5), (2, 'Bob', 2.5), (4, 'Di', 0)",
    ));
    desk.are_equal("merged.db", "wanted.db");
    assert_eq!(desk.read("ours.db"), ours);
}

#[test]
fn a_conflict_is_shown_with_all_three_values_and_nothing_is_written() {
    let desk = three_databases();
    drop(desk.sql("theirs.db", "UPDATE t SET name = 'Anne' WHERE id = 1"));
    let (stdout, stderr) = desk.ends_with(1, &MERGE);
    assert_eq!(
        stdout,
        "t key 1: both sides changed it\n  \
           name: base \"Ann\", ours \"Anna\", theirs \"Anne\"\n\
         1 conflicts; nothing was written. Settle them, or choose a side with --policy\n"
    );
    assert_eq!(stderr, "");
    assert!(!desk.path("merged.db").exists());
    let (json, _) = desk.ends_with(1, &[&MERGE[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["merged"], false);
    assert_eq!(json["conflicts_count"], 1);
    assert_eq!(json["conflicts"][0]["kind"], "both_changed");
    assert_eq!(
        json["conflicts"][0]["columns"],
        serde_json::json!([{"column": "name", "base": "Ann", "ours": "Anna", "theirs": "Anne"}])
    );
}

#[test]
fn a_policy_settles_conflicts() {
    let desk = three_databases();
    drop(desk.sql("theirs.db", "UPDATE t SET name = 'Anne' WHERE id = 1"));
    for (policy, name) in [("ours", "Anna"), ("theirs", "Anne")] {
        let out = format!("{policy}-won.db");
        let merge = ["merge", "base.db", "ours.db", "theirs.db", "--out", &out, "--policy", policy];
        let stdout = desk.succeeds(&merge);
        assert!(stdout.contains("1 conflicts settled by --policy"), "{stdout}");
        let row: (String, f64) = desk
            .sql(&out, "")
            .query_row("SELECT name, weight FROM t WHERE id = 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(row, (name.to_owned(), 9.5));
    }
}

#[test]
fn a_merge_overwrites_no_database_and_a_dry_run_writes_none() {
    let desk = three_databases();
    desk.fails(2, &["merge", "base.db", "ours.db", "theirs.db"], "--out <FILE>");
    let onto_ours = ["merge", "base.db", "ours.db", "theirs.db", "--out", "ours.db"];
    desk.fails(2, &onto_ours, "ours.db is read; name another file");
    desk.copy("base.db", "merged.db");
    desk.fails(2, &MERGE, "merged.db is a database and would be overwritten");
    std::fs::remove_file(desk.path("merged.db")).unwrap();
    let said = desk.succeeds(&[&MERGE[..], &["--dry-run"]].concat());
    assert!(said.starts_with("Would write merged.db: ours with 0 rows inserted, 1 updated"));
    assert!(!desk.path("merged.db").exists());
}
