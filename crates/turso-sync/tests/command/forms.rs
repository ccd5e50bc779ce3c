//! Whatever form differences are kept in, applying them to a copy makes it equal.

use crate::desk::Desk;

/// Two databases that differ in most of what can differ.
fn ugly_databases() -> Desk {
    let desk = Desk::new();
    drop(desk.sql(
        "a.db",
        r#"
        CREATE TABLE "order by"("a ""b""" TEXT, "select" BLOB, PRIMARY KEY("a ""b""")) WITHOUT ROWID;
        INSERT INTO "order by" VALUES ('x', 1), ('X', 1.0), ('y;z', x'');
        CREATE TABLE codes(id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT UNIQUE COLLATE NOCASE);
        INSERT INTO codes(code) VALUES ('one'), ('two'), ('three');
        CREATE TABLE logged(id INTEGER PRIMARY KEY, note TEXT);
        CREATE TABLE log(what TEXT);
        CREATE TRIGGER log_inserts AFTER INSERT ON logged BEGIN
          INSERT INTO log VALUES ('inserted; ' || new.id);
        END;
        INSERT INTO logged VALUES (1, 'a');
        CREATE TABLE parents(id INTEGER PRIMARY KEY);
        CREATE TABLE children(id INTEGER PRIMARY KEY,
          parent INTEGER REFERENCES parents(id) ON DELETE CASCADE,
          doubled INTEGER GENERATED ALWAYS AS (parent * 2) STORED);
        INSERT INTO parents VALUES (1), (2);
        INSERT INTO children(id, parent) VALUES (10, 1), (20, 2);
        CREATE TABLE keyless(v);
        INSERT INTO keyless VALUES (1), (1), ('1');
        CREATE VIRTUAL TABLE texts USING fts5(body);
        INSERT INTO texts VALUES ('the first text'), ('the second');
        CREATE TABLE widened(id INTEGER PRIMARY KEY, v REAL);
        INSERT INTO widened VALUES (1, 0.1), (2, 1e999);
        CREATE VIEW seen AS SELECT * FROM widened;
        "#,
    ));
    desk.copy("a.db", "b.db");
    drop(desk.sql(
        "b.db",
        r#"
        DELETE FROM "order by" WHERE "a ""b""" = 'X';
        INSERT INTO "order by" VALUES (char(10) || '--' || char(13), zeroblob(3000));
        UPDATE codes SET code = CASE id WHEN 1 THEN 'temporary' ELSE code END;
        UPDATE codes SET code = 'one' WHERE id = 2;
        UPDATE codes SET code = 'two' WHERE id = 1;
        INSERT INTO logged VALUES (2, 'b');
        PRAGMA foreign_keys = ON;
        DELETE FROM parents WHERE id = 1;
        DELETE FROM keyless WHERE rowid = 2;
        INSERT INTO keyless VALUES (CAST(x'61ff62' AS TEXT)), (CAST(x'610062' AS TEXT));
        DELETE FROM texts WHERE rowid = 1;
        INSERT INTO texts VALUES ('a third; text');
        UPDATE widened SET v = -1e999 WHERE id = 1;
        ALTER TABLE widened ADD COLUMN later TEXT DEFAULT 'x';
        DROP VIEW seen;
        CREATE VIEW seen AS SELECT id FROM widened;
        CREATE INDEX partial ON widened(v) WHERE v > 0;
        PRAGMA user_version = 7;
        "#,
    ));
    desk
}

#[test]
fn a_diff_file_makes_an_ugly_copy_equal() {
    let desk = ugly_databases();
    desk.copy("a.db", "c.db");
    desk.succeeds(&["diff", "a.db", "b.db", "--out", "f"]);
    desk.succeeds(&["apply", "f", "c.db"]);
    desk.are_equal("b.db", "c.db");
}

#[test]
fn sql_text_makes_an_ugly_copy_equal() {
    let desk = ugly_databases();
    desk.copy("a.db", "c.db");
    desk.succeeds(&["diff", "a.db", "b.db", "--sql", "--out", "f"]);
    desk.succeeds(&["apply", "f", "c.db"]);
    desk.are_equal("b.db", "c.db");
}

#[test]
fn the_older_command_applies_sql_text_of_an_ugly_database() {
    let desk = ugly_databases();
    desk.copy("a.db", "local_replica.db");
    desk.succeeds(&["diff", "a.db", "b.db", "--sql", "--out", "diff.sql"]);
    desk.succeeds(&["apply-diff", "--no-sync"]);
    desk.are_equal("b.db", "local_replica.db");
}

#[test]
fn json_makes_an_ugly_copy_equal() {
    let desk = ugly_databases();
    desk.copy("a.db", "c.db");
    let (json, _) = desk.ends_with(1, &["diff", "a.db", "b.db", "--json"]);
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
    let (report, _) = desk.piped(0, json.as_bytes(), &["apply", "-", "c.db", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["format"], "json");
    desk.are_equal("b.db", "c.db");
}
