//! Commands on plain files.

use rusqlite::Connection;

use crate::desk::Desk;

/// `a.db` with three contacts; in `b.db` one came, one went, one changed.
fn two_databases() -> Desk {
    let desk = Desk::new();
    drop(desk.sql(
        "a.db",
        "CREATE TABLE contacts(id INTEGER PRIMARY KEY, name TEXT, weight REAL);
         INSERT INTO contacts VALUES (1, 'Ann', 1.5), (2, 'Bob; or not', 0.1), (3, 'Cy', NULL);
         CREATE INDEX by_name ON contacts(name);",
    ));
    desk.copy("a.db", "b.db");
    drop(desk.sql(
        "b.db",
        "DELETE FROM contacts WHERE id = 1;
         UPDATE contacts SET weight = 1e308 * 10 WHERE id = 2;
         INSERT INTO contacts VALUES (4, 'Di ''quoted''; DROP TABLE contacts;', 2.5);",
    ));
    desk
}

#[test]
fn a_name_cannot_make_a_terminal_do_anything() {
    let desk = Desk::new();
    drop(desk.sql("a.db", "CREATE TABLE \"t\u{1b}[2J\"(\"c\u{7}\" TEXT)"));
    desk.copy("a.db", "b.db");
    drop(desk.sql("b.db", "INSERT INTO \"t\u{1b}[2J\" VALUES ('\u{1b}]0;x')"));
    for form in [&[][..], &["--summary"]] {
        let (said, _) = desk.ends_with(1, &[&["diff", "a.db", "b.db"], form].concat());
        assert!(said.contains(r"t\u{1b}[2J"), "{said}");
        assert!(!said.contains(['\u{1b}', '\u{7}']), "{said:?}");
    }
    desk.succeeds(&["diff", "a.db", "b.db", "--out", "f"]);
    desk.succeeds(&["apply", "f", "a.db"]);
    desk.are_equal("a.db", "b.db");
    let (_, said) = desk.ends_with(1, &["apply", "f", "a.db"]);
    assert!(said.contains(r"t\u{1b}[2J") && !said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn a_diff_that_is_applied_to_a_copy_makes_it_equal() {
    let desk = two_databases();
    desk.copy("a.db", "c.db");
    let (stdout, stderr) = desk.ends_with(0, &["diff", "a.db", "b.db", "--out", "f"]);
    assert_eq!(stdout, "");
    assert_eq!(stderr, "Wrote f: 1 rows inserted, 1 updated, 1 deleted in 1 table\n");
    let applied = desk.succeeds(&["apply", "f", "c.db"]);
    assert_eq!(applied, "Applied to c.db: 1 rows inserted, 1 updated, 1 deleted\n");
    desk.are_equal("b.db", "c.db");
}

#[test]
fn differences_are_shown_and_give_exit_code_1() {
    let desk = two_databases();
    let (stdout, stderr) = desk.ends_with(1, &["diff", "a.db", "b.db"]);
    for line in [
        "contacts\n",
        "  - key 1: id 1, name \"Ann\", weight 1.5\n",
        "  ~ key 2: weight 0.1 -> inf\n",
        "  + key 4: id 4, name \"Di 'quoted'; DROP TABLE contacts;\", weight 2.5\n",
        "contacts  1         1        1        3\n",
    ] {
        assert!(stdout.contains(line), "{line:?} is not in\n{stdout}");
    }
    assert_eq!(stderr, "");
    let (stdout, _) = desk.ends_with(1, &["diff", "a.db", "b.db", "--limit", "1"]);
    assert!(stdout.contains("and 2 more rows"), "{stdout}");
    let (stdout, _) = desk.ends_with(1, &["diff", "a.db", "b.db", "--summary", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(summary["tables"][0]["name"], "contacts");
    assert_eq!(summary["tables"][0]["inserted"], 1);
    let (stdout, _) = desk.ends_with(1, &["diff", "a.db", "b.db", "--json"]);
    let whole: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(whole["summary"], summary);
}

#[test]
fn a_file_does_not_differ_from_itself() {
    let desk = two_databases();
    assert_eq!(desk.succeeds(&["diff", "a.db", "a.db"]), "No differences.\n");
    assert_eq!(desk.succeeds(&["diff", "a.db", "a.db", "--summary"]), "No differences.\n");
}

#[test]
fn a_dry_run_says_what_would_be_applied_and_writes_nothing() {
    let desk = two_databases();
    desk.copy("a.db", "c.db");
    desk.succeeds(&["diff", "a.db", "b.db", "--out", "f", "--quiet"]);
    let before = desk.read("c.db");
    let said = desk.succeeds(&["apply", "f", "c.db", "--dry-run"]);
    assert_eq!(said, "Would apply to c.db: 1 rows inserted, 1 updated, 1 deleted\n");
    assert_eq!(desk.read("c.db"), before);
}

#[test]
fn a_diff_of_another_state_is_a_conflict_and_nothing_is_applied() {
    let desk = two_databases();
    desk.succeeds(&["diff", "a.db", "b.db", "--out", "f", "--quiet"]);
    // The last of the changes is the one that does not fit.
    desk.copy("a.db", "c.db");
    drop(desk.sql("c.db", "UPDATE contacts SET weight = 7 WHERE id = 2"));
    let said = "contacts key 2: the row holds other values (column weight: expected 0.1, found 7";
    desk.fails(1, &["apply", "f", "c.db"], said);
    desk.fails(1, &["apply", "f", "c.db", "--dry-run"], said);
    // And what is applied already.
    desk.fails(1, &["apply", "f", "b.db"], "contacts key 1: the row is not there");
}

#[test]
fn sql_text_is_applied_as_a_whole_or_not_at_all() {
    let desk = two_databases();
    desk.copy("a.db", "c.db");
    let (sql, _) = desk.ends_with(1, &["diff", "a.db", "b.db", "--sql"]);
    desk.write("f.sql", &sql);
    let applied = desk.succeeds(&["apply", "f.sql", "c.db"]);
    assert!(applied.starts_with("Applied to c.db: "), "{applied}");
    desk.are_equal("b.db", "c.db");
    // In a file, the same text.
    desk.succeeds(&["diff", "a.db", "b.db", "--sql", "--out", "g.sql"]);
    assert_eq!(desk.read("g.sql"), sql.as_bytes());

    desk.write("bad.sql", "DELETE FROM contacts;\n\nINSERT INTO nowhere VALUES (';');\n");
    desk.fails(2, &["apply", "bad.sql", "a.db"], "bad.sql: line 3: ");
    desk.write("open.sql", "DELETE FROM contacts;\nINSERT INTO contacts VALUES (9, 'Ed");
    desk.fails(2, &["apply", "open.sql", "a.db"], "open.sql: line 2: ");
    desk.piped(0, sql.as_bytes(), &["apply", "-", "a.db"]);
    desk.are_equal("b.db", "a.db");
}

#[test]
fn a_diff_is_read_from_a_pipe() {
    let desk = two_databases();
    desk.succeeds(&["diff", "a.db", "b.db", "--out", "f", "--quiet"]);
    let diff = desk.read("f");
    for cut in [20, 40, diff.len() - 1] {
        let stderr = desk.piped(2, &diff[..cut], &["apply", "-", "a.db"]).1;
        assert!(stderr.starts_with("error: stdin: "), "{stderr}");
    }
    desk.piped(0, &diff, &["apply", "-", "a.db"]);
    desk.are_equal("a.db", "b.db");
}

#[test]
fn bad_files_are_named_and_nothing_is_written() {
    let desk = two_databases();
    desk.succeeds(&["diff", "a.db", "b.db", "--out", "f", "--quiet"]);
    let diff = desk.read("f");
    desk.write("cut", &diff[..diff.len() - 10]);
    let mut altered = diff.clone();
    altered[60] ^= 1;
    desk.write("altered", altered);
    desk.write("text", "this is no database, but long enough to look like a file\n");
    std::fs::create_dir(desk.path("folder")).unwrap();

    desk.fails(2, &["diff", "none.db", "b.db"], "there is no file none.db");
    desk.fails(2, &["diff", "a.db", "folder"], "folder is a directory, not a file");
    desk.fails(2, &["diff", "a.db", "text"], "text is not an SQLite database");
    desk.fails(2, &["diff", "a.db"], "a.db: not synced yet");
    desk.fails(2, &["diff", "a.db", "b.db", "--out", "a.db"], "a.db is read");
    desk.fails(2, &["diff", "a.db", "a.db", "--out", "./b.db"], "b.db is a database");
    desk.fails(2, &["diff", "a.db", "b.db", "--out", "none/f"], "there is no folder none");
    desk.fails(2, &["apply", "none", "a.db"], "there is no file none");
    desk.fails(2, &["apply", "f", "none.db"], "there is no file none.db");
    desk.fails(2, &["apply", "f", "text"], "text is not an SQLite database");
    desk.fails(2, &["apply", "b.db", "a.db"], "b.db is a database, not a diff");
    desk.fails(2, &["apply", "cut", "a.db"], "cut: byte");
    desk.fails(2, &["apply", "altered", "a.db"], "the checksum does not match");
    desk.fails(2, &["aply", "f", "a.db"], "unrecognized subcommand");
}

#[test]
fn a_database_that_another_program_writes_to_is_left_alone() {
    let desk = two_databases();
    desk.succeeds(&["diff", "a.db", "b.db", "--out", "f", "--quiet"]);
    let conn = Connection::open(desk.path("a.db")).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE; UPDATE contacts SET name = 'Zoe' WHERE id = 1").unwrap();
    let (stdout, stderr) = desk.ends_with(3, &["apply", "f", "a.db"]);
    assert!(stderr.contains("locked"), "{stderr}");
    assert!(stderr.contains("another program is writing to it; end that"), "{stderr}");
    assert_eq!(stdout, "");
    conn.execute_batch("ROLLBACK").unwrap();
    desk.succeeds(&["apply", "f", "a.db"]);
}

#[test]
fn help_names_examples_and_exit_codes_on_stdout() {
    let desk = Desk::new();
    let help = desk.succeeds(&["--help"]);
    assert!(help.contains("Exit codes: 0 done, 1 conflicts or differences"), "{help}");
    assert!(desk.succeeds(&["diff", "--help"]).contains("Examples:"));
    assert!(desk.succeeds(&["apply", "--help"]).contains("Examples:"));
    desk.fails(2, &[], "Usage: turso-sync");
}

#[test]
fn a_copy_replaces_another_database_only_when_told_to() {
    let desk = two_databases();
    desk.succeeds(&["copy", "a.db", "c.db"]);
    desk.are_equal("a.db", "c.db");
    desk.fails(2, &["copy", "b.db", "c.db"], "c.db is there and holds something");
    // A program that has it open in the meantime sees the new rows.
    let conn = desk.sql("c.db", "PRAGMA journal_mode = WAL");
    desk.succeeds(&["copy", "b.db", "c.db", "--replace"]);
    let rows: i64 = conn.query_row("SELECT max(id) FROM contacts", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 4);
    drop(conn);
    desk.are_equal("b.db", "c.db");
    desk.fails(2, &["copy", "a.db", "a.db", "--replace"], "a.db cannot be copied to itself");
    desk.write("text", "no database at all, but a file");
    desk.fails(2, &["copy", "a.db", "text", "--replace"], "text is not an SQLite database");
    desk.fails(2, &["copy"], "there is no file local_replica.db");
    desk.copy("a.db", "local_replica.db");
    desk.succeeds(&["copy"]);
    desk.are_equal("a.db", "working_copy.db");
}

#[test]
fn a_copy_does_not_stumble_over_what_an_earlier_database_left() {
    let desk = two_databases();
    desk.write("c.db-wal", "left over");
    desk.fails(2, &["copy", "a.db", "c.db"], "c.db-wal is left of an earlier database");
}

#[test]
fn what_is_not_checkpointed_is_copied_and_compared() {
    let desk = two_databases();
    let writer = desk.sql("b.db", "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
    writer.execute_batch("INSERT INTO contacts VALUES (5, 'Eve', 0)").unwrap();
    desk.succeeds(&["copy", "b.db", "c.db"]);
    desk.are_equal("b.db", "c.db");
    let (stdout, _) = desk.ends_with(1, &["diff", "a.db", "b.db"]);
    assert!(stdout.contains("+ key 5"), "{stdout}");
}

#[cfg(unix)]
#[test]
fn written_files_may_be_read_by_whom_the_users_mask_allows() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = two_databases();
    desk.write("plain", "");
    let mode = |name: &str| std::fs::metadata(desk.path(name)).unwrap().permissions().mode();
    desk.succeeds(&["diff", "a.db", "b.db", "--out", "f"]);
    desk.succeeds(&["diff", "a.db", "b.db", "--sql", "--out", "f.sql"]);
    desk.succeeds(&["diff", "a.db", "b.db", "--changeset", "f.changeset"]);
    for name in ["f", "f.sql", "f.changeset"] {
        assert_eq!(mode(name), mode("plain"), "{name}");
    }
    desk.succeeds(&["merge", "a.db", "a.db", "b.db", "--out", "m.db"]);
    assert_eq!(mode("m.db"), mode("a.db"));
}
