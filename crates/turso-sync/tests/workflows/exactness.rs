//! What travels arrives as it was, by type and bit, and with its definitions.

use std::fmt::Write as _;

use rusqlite::Connection;
use turso_sync::{PullEnd, PushEnd};

use crate::desk::{Desk, assert_same, change, value};

/// Values that are easily damaged on the way.
const ODD: &str = "
    INSERT INTO odd (v) VALUES
      (1), (1.0), (0.0), (0.0 * -1), (9e999), (-9e999), (0.1), (12.34), (1e300), (5e-324), (1e-20),
      (1.7976931348623157e308), (2.2250738585072014e-308), (123456789012345680000.0),
      (9223372036854775807), (-9223372036854775808), (9007199254740993), (NULL),
      (''), (x''), ('text'), (x'74657874'), ('it''s \"quoted\" \\ and
      lines'), (char(9, 13, 7, 27, 127, 8232, 65279, 65535, 128512)), ('a' || char(0) || 'b'),
      (CAST(x'61ff62' AS TEXT)), (CAST(x'eda080' AS TEXT)), ('1'), ('1.0'), ('true'), (x'00'),
      ('[\"x\",\"00\"]'), ('[\"L\",1,\"t\"]'), ('null'), (char(65533));
";

#[test]
fn odd_values_are_pushed_and_pulled_exactly() {
    let desk = Desk::new();
    let sql = format!(
        "CREATE TABLE odd (id INTEGER PRIMARY KEY, v, r REAL, t TEXT, n NUMERIC, b BLOB); {ODD}
         UPDATE odd SET r = v, t = v, n = v, b = v;"
    );
    let ours = desk.file("ours.db", &sql);
    desk.init(&ours).unwrap();
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
    let theirs = desk.synced("theirs.db");
    assert_same(&ours, &theirs);

    // As values to change from and to, and to delete.
    change(
        &ours,
        "UPDATE odd SET v = (SELECT o.v FROM odd AS o WHERE o.id = odd.id % 35 + 1), r = NULL
         WHERE id % 3 > 0; DELETE FROM odd WHERE id % 3 = 0;",
    );
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
    assert_eq!(desk.pull(&theirs).unwrap().end, PullEnd::Pulled);
    assert_same(&ours, &theirs);
}

#[test]
fn a_zero_whose_sign_changed_on_the_server_is_a_conflict() {
    let changes = [
        "DELETE FROM t WHERE id = 1",
        "UPDATE t SET v = 7 WHERE id = 1",
        "UPDATE t SET u = 7 WHERE id = 1",
    ];
    for (server_has, base_has) in [("0.0 * -1", "0.0"), ("0.0", "0.0 * -1")] {
        for change_here in changes {
            let desk = Desk::new();
            desk.serve("CREATE TABLE t (id INTEGER PRIMARY KEY, v, u UNIQUE)");
            desk.serve(&format!("INSERT INTO t VALUES (1, {base_has}, {base_has}), (2, 0, 2.5)"));
            let ours = desk.synced("ours.db");
            desk.serve(&format!("UPDATE t SET v = {server_has}, u = {server_has} WHERE id = 1"));
            change(&ours, change_here);
            let report = desk.push(&ours).unwrap();
            assert_eq!(
                report.end,
                PushEnd::Conflict,
                "{change_here} with {server_has}: {report:?}"
            );
            // As it was, it fits.
            desk.serve(&format!("UPDATE t SET v = {base_has}, u = {base_has} WHERE id = 1"));
            assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed, "{change_here}");
            desk.assert_server_is(&ours);
        }
    }
}

#[test]
fn one_odd_value_among_plain_rows_arrives_exactly() {
    let odd = [
        "1.5",
        "0.0 * -1",
        "9e999",
        "x''",
        "x'00'",
        "x'0b'",
        "CAST(x'61ff' AS TEXT)",
        "'a' || char(0) || 'b'",
        "9007199254740993",
        "zeroblob(300000)",
        "printf('%.*c', 300000, 'x')",
        "'1.5'",
        "NULL",
    ];
    let mut sql = String::new();
    for (at, odd) in odd.iter().enumerate() {
        // Each type of column, in a page that is plain besides.
        for column in ["i", "t", "v", "n"] {
            write!(
                sql,
                "CREATE TABLE p{at}{column} (id INTEGER PRIMARY KEY, i INT, t TEXT, v, n NUMERIC);
                 WITH RECURSIVE s (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM s WHERE x < 40)
                 INSERT INTO p{at}{column} SELECT x, x, 't' || x, x, x FROM s;
                 UPDATE p{at}{column} SET {column} = {odd} WHERE id = 17;"
            )
            .unwrap();
        }
    }
    let desk = Desk::new();
    let ours = desk.file("ours.db", &sql);
    desk.init(&ours).unwrap();
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    let theirs = desk.synced("theirs.db");
    assert_same(&ours, &theirs);
}

#[test]
fn wide_tables_travel() {
    let mut sql = String::new();
    let widths = [99, 100, 126, 127, 200, 700, 1999];
    for width in widths {
        let columns =
            |of: &dyn Fn(usize) -> String| (0..width).map(of).collect::<Vec<_>>().join(", ");
        let types = ["TEXT", "INT", "", "REAL"];
        write!(
            sql,
            "CREATE TABLE w{width} (id INTEGER PRIMARY KEY, {});
             INSERT INTO w{width} VALUES (1, {});
             INSERT INTO w{width} VALUES (2, {});",
            columns(&|at| format!("c{at} {}", types[at % 4])),
            columns(&|at| at.to_string()),
            columns(&|at| if at == width - 1 { "x'00ff'".into() } else { format!("'v{at}'") }),
        )
        .unwrap();
    }
    let desk = Desk::new();
    let ours = desk.file("ours.db", &sql);
    desk.init(&ours).unwrap();
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    let theirs = desk.synced("theirs.db");
    assert_same(&ours, &theirs);
    let mut sql = String::new();
    for width in widths {
        let all: Vec<String> = (0..width).map(|at| format!("c{at} = 'new {at}'")).collect();
        write!(
            sql,
            "UPDATE w{width} SET {} WHERE id = 1; DELETE FROM w{width} WHERE id = 2;",
            all.join(", ")
        )
        .unwrap();
    }
    change(&ours, &sql);
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
    // Each value is checked, also those of a row that is changed piece by piece.
    change(&ours, &sql.replace("new", "newer"));
    for width in widths {
        desk.serve(&format!("UPDATE w{width} SET c{} = 'theirs' WHERE id = 1", width - 1));
    }
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Conflict);
}

#[test]
fn large_values_travel_by_themselves() {
    let desk = Desk::new();
    let ours = desk.path("ours.db");
    let conn = Connection::open(&ours).unwrap();
    conn.execute_batch(
        "CREATE TABLE big (k TEXT PRIMARY KEY, a, b) WITHOUT ROWID;
                        CREATE TABLE more (a, b)",
    )
    .unwrap();
    let text = "ä\u{1}\"\\".repeat(300_000);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    for (key, text) in [("one", text.as_str()), ("two", &text[..100_000]), ("three", "x")] {
        conn.execute("INSERT INTO big VALUES (?1, ?2, ?3)", (key, text, &bytes)).unwrap();
        conn.execute("INSERT INTO more VALUES (?1, CAST(?2 AS TEXT))", (text, &bytes[..300_000]))
            .unwrap();
    }
    drop(conn);
    desk.init(&ours).unwrap();
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
    change(&ours, "UPDATE big SET b = x'00' WHERE k = 'one'; DELETE FROM big WHERE k = 'two'");
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
}

/// From one schema and content to another; both ways through the server.
fn travels(from: &str, to: &str) {
    let desk = Desk::new();
    let ours = desk.file("ours.db", from);
    desk.init(&ours).unwrap();
    desk.push(&ours).unwrap();
    desk.assert_server_is(&ours);
    let theirs = desk.synced("theirs.db");
    assert_same(&ours, &theirs);
    change(&ours, to);
    let report = desk.push(&ours).unwrap();
    assert_eq!(report.end, PushEnd::Pushed, "{report:?}");
    desk.assert_server_is(&ours);
    let report = desk.pull(&theirs).unwrap();
    assert_eq!(report.end, PullEnd::Pulled, "{report:?}");
    assert_same(&ours, &theirs);
}

#[test]
fn all_kinds_of_keys_travel() {
    travels(
        "CREATE TABLE without (a TEXT, b INT, c, PRIMARY KEY (b DESC, a)) WITHOUT ROWID;
         INSERT INTO without VALUES ('x', 1, 1), ('y', 1, 2), ('x', 2, 3);
         CREATE TABLE folded (name TEXT COLLATE NOCASE PRIMARY KEY, v);
         INSERT INTO folded VALUES ('Anna', 1), ('Berta', 2);
         CREATE TABLE keyless (a, b); INSERT INTO keyless VALUES (1, 1), (1, 1), (2, 2);
         CREATE TABLE nullable (k TEXT PRIMARY KEY, v);
         INSERT INTO nullable VALUES (NULL, 1), (NULL, 2), ('k', 3);
         CREATE TABLE \"odd \"\"name\" (\"a b\" INTEGER PRIMARY KEY, \"select\" TEXT UNIQUE);
         INSERT INTO \"odd \"\"name\" VALUES (1, 'p'), (2, 'q'), (3, 'r');
         CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
         INSERT INTO counted (v) VALUES (1), (2), (3); DELETE FROM counted WHERE id = 3;
         CREATE TABLE strict (id INTEGER PRIMARY KEY, a ANY, b TEXT NOT NULL) STRICT;
         INSERT INTO strict VALUES (1, 1.5, 'x'), (2, x'00', 'y');
         CREATE TABLE made (a INT, b AS (a * 2), c AS (a + 1) STORED);
         INSERT INTO made VALUES (1), (2);
         CREATE TABLE real_key (k REAL PRIMARY KEY, v); INSERT INTO real_key VALUES (0.1, 1);",
        "UPDATE without SET c = 9 WHERE a = 'x'; DELETE FROM without WHERE a = 'y';
         UPDATE folded SET name = 'ANNA', v = 5 WHERE v = 1; DELETE FROM folded WHERE v = 2;
         DELETE FROM keyless WHERE rowid = 1; UPDATE keyless SET b = 7 WHERE rowid = 2;
         INSERT INTO keyless VALUES (3, 3);
         UPDATE nullable SET v = v + 10; DELETE FROM nullable WHERE v = 12;
         UPDATE \"odd \"\"name\" SET \"select\" = 'tmp' WHERE \"a b\" = 1;
         UPDATE \"odd \"\"name\" SET \"select\" = 'p' WHERE \"a b\" = 2;
         UPDATE \"odd \"\"name\" SET \"select\" = 'q' WHERE \"a b\" = 1;
         INSERT INTO counted (v) VALUES (4); DELETE FROM counted WHERE v = 4;
         UPDATE strict SET a = 2, b = 'z' WHERE id = 1; DELETE FROM strict WHERE id = 2;
         UPDATE made SET a = a + 10; UPDATE real_key SET v = 2;
         INSERT INTO real_key VALUES (0.30000000000000004, 1);",
    );
}

#[test]
fn definitions_travel_in_the_same_transaction() {
    travels(
        "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT, y);
         INSERT INTO a (x, y) VALUES ('1', 1.5), ('2', NULL); DELETE FROM a WHERE id = 2;
         CREATE INDEX a_x ON a (x); CREATE VIEW v AS SELECT x FROM a;
         CREATE TRIGGER log_a AFTER INSERT ON a BEGIN UPDATE a SET y = 'fired' WHERE id = NEW.id; END;
         CREATE TABLE gone (z); INSERT INTO gone VALUES (1); CREATE TABLE old_name (q, r);
         INSERT INTO old_name VALUES (1, 2);",
        "ALTER TABLE a ADD COLUMN w TEXT DEFAULT 'w'; DROP TABLE gone; DROP VIEW v;
         ALTER TABLE old_name RENAME TO new_name; ALTER TABLE new_name DROP COLUMN r;
         CREATE TABLE b (k PRIMARY KEY); INSERT INTO b VALUES (1), ('x');
         CREATE VIEW v AS SELECT x, y FROM a; CREATE INDEX a_y ON a (y) WHERE y IS NOT NULL;
         DROP INDEX a_x; INSERT INTO a (x) VALUES ('3'); UPDATE a SET w = 'changed' WHERE id = 1;
         PRAGMA user_version = 12;",
    );
}

#[test]
fn triggers_and_cascades_of_the_server_do_nothing_twice() {
    travels(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, children INT DEFAULT 0);
         CREATE TABLE child (id INTEGER PRIMARY KEY,
           parent REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE INDEX child_parent ON child (parent);
         CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
         CREATE TRIGGER counted AFTER INSERT ON child BEGIN
           UPDATE parent SET children = children + 1 WHERE id = NEW.parent;
           INSERT INTO log (what) VALUES ('born');
         END;
         CREATE TRIGGER died AFTER DELETE ON child BEGIN INSERT INTO log (what) VALUES ('died'); END;
         INSERT INTO parent (id) VALUES (1), (2), (3);
         INSERT INTO child (parent) VALUES (1), (1), (2), (3);",
        "DELETE FROM parent WHERE id = 1; UPDATE parent SET id = 30 WHERE id = 3;
         INSERT INTO child (parent) VALUES (2), (30);",
    );
}

#[test]
fn full_text_and_spatial_indexes_travel() {
    travels(
        "CREATE VIRTUAL TABLE note USING fts5(title, body);
         INSERT INTO note VALUES ('one', 'the quick brown fox'), ('two', 'jumps over');
         CREATE VIRTUAL TABLE place USING rtree(id, x0, x1);
         INSERT INTO place VALUES (1, 0.5, 1.5), (2, 3, 4);",
        "INSERT INTO note VALUES ('three', 'the lazy dog'); DELETE FROM note WHERE title = 'one';
         UPDATE note SET body = 'stands still' WHERE title = 'two';
         UPDATE place SET x1 = 9 WHERE id = 1; DELETE FROM place WHERE id = 2;",
    );
}

#[test]
fn full_text_indexes_over_other_tables_travel_and_are_found_in() {
    let desk = Desk::new();
    let ours = desk.file(
        "ours.db",
        "CREATE TABLE doc (id INTEGER PRIMARY KEY, title TEXT, body TEXT);
         CREATE VIRTUAL TABLE doc_fts USING fts5(title, body, content='doc', content_rowid='id');
         CREATE TRIGGER doc_in AFTER INSERT ON doc BEGIN
           INSERT INTO doc_fts (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body); END;
         CREATE TRIGGER doc_out AFTER DELETE ON doc BEGIN
           INSERT INTO doc_fts (doc_fts, rowid, title, body)
             VALUES ('delete', OLD.id, OLD.title, OLD.body); END;
         CREATE TRIGGER doc_new AFTER UPDATE ON doc BEGIN
           INSERT INTO doc_fts (doc_fts, rowid, title, body)
             VALUES ('delete', OLD.id, OLD.title, OLD.body);
           INSERT INTO doc_fts (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body); END;
         CREATE VIRTUAL TABLE bare USING fts5(word, content='');
         INSERT INTO bare (rowid, word) VALUES (1, 'alpha'), (2, 'beta');
         WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO doc SELECT i, 'title ' || i, 'the quick brown fox ' || i FROM n;",
    );
    desk.init(&ours).unwrap();
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
    let theirs = desk.synced("theirs.db");
    assert_same(&ours, &theirs);
    change(
        &ours,
        "INSERT INTO doc VALUES (1000, 'new', 'a lazy dog'); DELETE FROM doc WHERE id % 3 = 0;
         UPDATE doc SET body = 'stands still' WHERE id % 7 = 0;
         INSERT INTO bare (rowid, word) VALUES (3, 'gamma');",
    );
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
    assert_eq!(desk.pull(&theirs).unwrap().end, PullEnd::Pulled);
    assert_same(&ours, &theirs);
    let link = desk.link();
    for (table, word) in
        [("doc_fts", "quick"), ("doc_fts", "still"), ("doc_fts", "dog"), ("bare", "gamma")]
    {
        let sql = format!("SELECT group_concat(rowid) FROM {table} WHERE {table} MATCH '{word}'");
        let here: String = value(&ours, &sql);
        assert!(!here.is_empty(), "{word}");
        assert_eq!(value::<String>(&theirs, &sql), here, "{word}");
        let there = link.query(&sql, &[]).unwrap();
        assert_eq!(there.single().unwrap().as_text(), Some(&*here), "{word}");
    }
    for file in [&ours, &theirs] {
        change(file, "INSERT INTO doc_fts (doc_fts, rank) VALUES ('integrity-check', 1)");
    }
    link.execute("INSERT INTO doc_fts (doc_fts, rank) VALUES ('integrity-check', 1)", &[]).unwrap();
}

#[test]
fn more_shapes_of_updates_than_statements_travel_all_the_same() {
    let columns: Vec<String> = (0..8).map(|column| format!("c{column}")).collect();
    let sets: Vec<String> = (1..256)
        .map(|id| {
            let changed: Vec<String> = (0..8)
                .filter(|bit| id >> bit & 1 == 1)
                .map(|bit| format!("c{bit} = 'new {id} {bit}'"))
                .collect();
            format!("UPDATE wide SET {} WHERE id = {id};", changed.join(", "))
        })
        .collect();
    travels(
        &format!(
            "CREATE TABLE wide (id INTEGER PRIMARY KEY, {}, u UNIQUE);
             WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 300)
             INSERT INTO wide SELECT i, {}, i FROM n;",
            columns.join(", "),
            ["i"; 8].join(", "),
        ),
        &sets.join("\n"),
    );
}
