//! One test for everything that a diff must get right.

use libsql_diff::{EditKind, Operation, RowChange, Value, diff};

use crate::support::{
    Folder, check, check_applying, check_json, check_script, check_sql, operations,
};

fn rows(diff: &libsql_diff::Diff) -> Vec<RowChange> {
    operations(diff)
        .into_iter()
        .filter_map(|operation| match operation {
            Operation::Row(row) => Some(row),
            _ => None,
        })
        .collect()
}

#[test]
fn values_are_compared_by_type_and_bit() {
    let diff = check_sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
         INSERT INTO t VALUES (1, 1), (2, 0.0), (3, 'a'), (4, x'61'), (5, NULL), (6, x''), (7, ''),
           (8, 9223372036854775807), (9, 9223372036854775807.0), (10, 9e999), (11, -9e999),
           (12, 0.1), (13, 'same'), (14, -9223372036854775808), (15, 4.9e-324), (16, 1);",
        "UPDATE t SET v = 1.0 WHERE id = 1;
         UPDATE t SET v = -v WHERE id IN (10, 11);
         UPDATE t SET v = x'61' WHERE id = 3;
         UPDATE t SET v = 'a' WHERE id = 4;
         UPDATE t SET v = x'' WHERE id IN (5, 7);
         UPDATE t SET v = '' WHERE id = 6;
         UPDATE t SET v = 9223372036854775807.0 WHERE id = 8;
         UPDATE t SET v = 9223372036854775807 WHERE id = 9;
         UPDATE t SET v = 0.1000000000000000194 WHERE id = 12;
         UPDATE t SET v = '1' WHERE id = 16;",
    );
    assert_eq!(rows(&diff).len(), 12);
}

#[test]
fn negative_zero_is_not_zero() {
    let folder = Folder::new();
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);";
    let (a, b) = (folder.create("a.db", sql), folder.create("b.db", sql));
    for (path, zero) in [(&a, 0.0), (&b, -0.0)] {
        let conn = rusqlite::Connection::open(path).unwrap();
        conn.execute("INSERT INTO t VALUES (1, ?1)", [zero]).unwrap();
    }
    let diff = check(&folder, &a, &b);
    assert_eq!(rows(&diff).len(), 1);
}

#[test]
fn text_may_hold_nul_and_bytes_that_are_not_utf8() {
    check_sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
         INSERT INTO t VALUES (1, CAST(x'610062' AS TEXT)), (2, CAST(x'ff' AS TEXT)), (3, 'x'),
           (4, CAST(x'eda080' AS TEXT));",
        "UPDATE t SET v = CAST(x'610063' AS TEXT) WHERE id = 1;
         UPDATE t SET v = CAST(x'fe' AS TEXT) WHERE id = 2;
         UPDATE t SET v = CAST(x'00' AS TEXT) WHERE id = 3;
         INSERT INTO t VALUES (5, CAST(x'80ff00' AS TEXT));",
    );
}

#[test]
fn tables_without_a_primary_key_go_by_rowid() {
    let diff = check_sql(
        "CREATE TABLE t(a, b);
         INSERT INTO t VALUES (1, 'x'), (1, 'x'), (2, 'y'), (NULL, NULL), (NULL, NULL);",
        "DELETE FROM t WHERE rowid = 2; UPDATE t SET b = 'z' WHERE rowid = 4;
         INSERT INTO t(rowid, a, b) VALUES (-7, 1, 'x'), (9223372036854775807, 0, 0);",
    );
    assert_eq!(rows(&diff).len(), 4);
}

#[test]
fn a_rowid_behind_columns_of_its_names_is_not_needed() {
    let diff = check_sql(
        "CREATE TABLE t(rowid, oid, _rowid_); INSERT INTO t VALUES (1, 2, 3), (1, 2, 3), (4, 5, 6);
         CREATE TABLE k(rowid TEXT PRIMARY KEY NOT NULL, oid, _rowid_);
         INSERT INTO k VALUES ('a', 1, 1), ('b', 2, 2);",
        "DELETE FROM t WHERE \"rowid\" = 4; INSERT INTO t VALUES (1, 2, 3);
         UPDATE k SET oid = 7 WHERE \"rowid\" = 'a'; INSERT INTO k VALUES ('c', 3, 3);",
    );
    let edits: Vec<EditKind> = diff.summary().tables.iter().map(|table| table.edit).collect();
    assert_eq!(edits, [EditKind::Refill, EditKind::Rows]);
}

#[test]
fn the_rowid_may_go_by_its_other_names() {
    check_sql(
        "CREATE TABLE t(rowid, b); INSERT INTO t VALUES (7, 1), (7, 2);
         CREATE TABLE u(\"ROWID\", _rowid_); INSERT INTO u VALUES (7, 1), (7, 2);",
        "UPDATE t SET b = 3 WHERE b = 2; UPDATE u SET _rowid_ = 3 WHERE _rowid_ = 2;",
    );
}

#[test]
fn without_rowid() {
    check_sql(
        "CREATE TABLE t(b, a, c, PRIMARY KEY(c, a)) WITHOUT ROWID;
         INSERT INTO t VALUES (1, 1, 1), (2, 2, 1), (3, 'x', 'y'), (4, x'00', 2.5);",
        "UPDATE t SET b = 'new' WHERE a = 2; DELETE FROM t WHERE c = 'y';
         INSERT INTO t VALUES (9, 1, 2), (8, 3, 1.5);",
    );
}

#[test]
fn without_rowid_sorted_downwards_and_by_collations() {
    check_sql(
        "CREATE TABLE t(a TEXT COLLATE NOCASE, b COLLATE RTRIM, v, PRIMARY KEY(a DESC, b))
           WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO t SELECT char(65 + i % 26 + 32 * (i / 26 % 2)) || (i / 52), i || '  ', i FROM n;",
        "UPDATE t SET v = -v WHERE v % 97 = 0; DELETE FROM t WHERE v % 53 = 1;
         INSERT INTO t VALUES ('Zz', 1, 1), ('_', 2, 2), ('[', 3, 3);",
    );
}

#[test]
fn composite_keys() {
    check_sql(
        "CREATE TABLE t(a INT, b TEXT, v, PRIMARY KEY(b, a));
         INSERT INTO t VALUES (1, 'x', 1), (1, 'y', 2), (2, 'x', 3);",
        "UPDATE t SET v = 9 WHERE a = 1 AND b = 'y'; UPDATE t SET a = 3 WHERE v = 3;
         INSERT INTO t VALUES (2, 'x', 'new');",
    );
}

#[test]
fn keys_that_nocase_calls_equal_are_one_row() {
    for without_rowid in ["", "WITHOUT ROWID"] {
        let diff = check_sql(
            &format!(
                "CREATE TABLE t(k TEXT PRIMARY KEY COLLATE NOCASE, v) {without_rowid};
                 INSERT INTO t VALUES ('abc', 1), ('def', 2), ('GHI', 3);"
            ),
            "UPDATE t SET k = 'ABC' WHERE k = 'abc'; UPDATE t SET v = 9 WHERE k = 'ghi';",
        );
        let rows = rows(&diff);
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| matches!(row, RowChange::Update { .. })), "{rows:?}");
    }
}

#[test]
fn a_key_may_have_another_collation_than_its_column() {
    check_sql(
        "CREATE TABLE t(k TEXT COLLATE NOCASE, v, PRIMARY KEY(k COLLATE BINARY));
         INSERT INTO t VALUES ('a', 1), ('A', 2), ('b', 3);
         CREATE TABLE u(k TEXT, v, PRIMARY KEY(k COLLATE NOCASE)) WITHOUT ROWID;
         INSERT INTO u VALUES ('a', 1), ('b', 3);",
        "DELETE FROM t WHERE v = 1; UPDATE t SET v = 5 WHERE v = 2; INSERT INTO t VALUES ('B', 4);
         UPDATE u SET k = 'B' WHERE k = 'b';",
    );
}

#[test]
fn numbers_that_are_equal_as_keys_are_one_row() {
    for without_rowid in ["", "WITHOUT ROWID"] {
        check_sql(
            &format!(
                "CREATE TABLE t(k PRIMARY KEY, v) {without_rowid};
                 INSERT INTO t VALUES (1, 1), (2.0, 2), ('1', 3), (x'31', 4);"
            ),
            "UPDATE t SET k = 1.0 WHERE v = 1; UPDATE t SET k = 2 WHERE v = 2;",
        );
    }
}

#[test]
fn keys_that_hold_null_are_no_keys() {
    check_sql(
        "CREATE TABLE t(a TEXT, b, v, PRIMARY KEY(a, b));
         INSERT INTO t VALUES (NULL, 1, 1), (NULL, 1, 1), ('x', NULL, 2), ('x', 1, 3);",
        "UPDATE t SET v = 9 WHERE rowid = 2; DELETE FROM t WHERE rowid = 3;
         INSERT INTO t VALUES (NULL, NULL, NULL), (NULL, 1, 1); UPDATE t SET a = NULL WHERE v = 3;",
    );
}

#[test]
fn strict_tables() {
    check_sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, i INT, r REAL, x TEXT, b BLOB, a ANY) STRICT;
         INSERT INTO t VALUES (1, 1, 1.5, 'x', x'00', '1'), (2, NULL, 2, '', x'', 1);",
        "UPDATE t SET a = 1 WHERE id = 1; UPDATE t SET a = 1.0, r = -0.5 WHERE id = 2;
         INSERT INTO t VALUES (3, 9223372036854775807, 9e999, 'y', NULL, x'01');",
    );
}

#[test]
fn autoincrement_goes_on_from_where_the_target_is() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, v);
               CREATE TABLE other(id INTEGER PRIMARY KEY AUTOINCREMENT);
               INSERT INTO t(v) VALUES (1), (2), (3); INSERT INTO other DEFAULT VALUES;";
    check_sql(sql, "DELETE FROM t WHERE id = 3; INSERT INTO t(v) VALUES (4);");
    check_sql(sql, "UPDATE sqlite_sequence SET seq = 1000 WHERE name = 't';");
    check_sql(sql, "INSERT INTO t VALUES (50, 5); UPDATE sqlite_sequence SET seq = 3;");
    check_sql(sql, "DELETE FROM sqlite_sequence; INSERT INTO other(id) VALUES (9);");
    check_sql(sql, "DROP TABLE t;");
    check_sql("CREATE TABLE x(a);", sql);
}

#[test]
fn generated_columns_are_computed_not_copied() {
    check_sql(
        "CREATE TABLE t(a INT, v AS (a * 2), id INTEGER PRIMARY KEY, s AS (a || '!') STORED, z TEXT);
         CREATE UNIQUE INDEX u ON t(v);
         INSERT INTO t(a, id, z) VALUES (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z');
         CREATE TABLE w(v AS (k), k TEXT PRIMARY KEY, s AS (x) STORED, x) WITHOUT ROWID;
         INSERT INTO w(k, x) VALUES ('a', 1), ('b', 2);",
        "UPDATE t SET a = a + 10; INSERT INTO t(a, z) VALUES (9, NULL);
         UPDATE w SET x = 7 WHERE k = 'b'; INSERT INTO w(k, x) VALUES ('c', 3);",
    );
}

#[test]
fn check_constraints_hold_at_every_step() {
    check_sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, low INT, high INT, CHECK(low < high));
         INSERT INTO t VALUES (1, 1, 2), (2, 10, 20);",
        "UPDATE t SET low = 30, high = 40 WHERE id = 1; UPDATE t SET low = -2, high = -1 WHERE id = 2;",
    );
}

#[test]
fn unique_values_that_are_exchanged_or_passed_round() {
    for schema in [
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, v)",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u, v); CREATE UNIQUE INDEX i ON t(u)",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u, v); CREATE UNIQUE INDEX i ON t(u) WHERE v > 0",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u, v); CREATE UNIQUE INDEX i ON t(u + v)",
        "CREATE TABLE t(id TEXT PRIMARY KEY, u UNIQUE, v) WITHOUT ROWID",
    ] {
        check_sql(
            &format!("{schema}; INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 0);"),
            "UPDATE t SET u = NULL; UPDATE t SET u = 'b' WHERE id = 1; UPDATE t SET u = 'c' WHERE id = 2;
             UPDATE t SET u = 'a' WHERE id = 3; UPDATE t SET u = 'd', v = 10 WHERE id = 4;",
        );
    }
}

#[test]
fn a_unique_value_moves_from_a_row_that_goes_to_one_that_comes() {
    check_sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES (5, 'a'), (6, 'b');",
        "DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (1, 'a'); UPDATE t SET u = 'c' WHERE id = 6;
         INSERT INTO t VALUES (9, 'b');",
    );
}

#[test]
fn a_partial_unique_index_is_touched_by_the_columns_of_its_condition() {
    check_sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u, active);
         CREATE UNIQUE INDEX i ON t(u) WHERE active;
         INSERT INTO t VALUES (1, 'a', 1), (2, 'a', 0);",
        "UPDATE t SET active = 0 WHERE id = 1; UPDATE t SET active = 1 WHERE id = 2;",
    );
}

#[test]
fn keys_that_shift_by_one() {
    for key in ["INTEGER PRIMARY KEY", "INT PRIMARY KEY", "TEXT PRIMARY KEY"] {
        check_sql(
            &format!(
                "CREATE TABLE t(id {key}, v UNIQUE);
                 INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');"
            ),
            "UPDATE t SET id = -(id + 1); UPDATE t SET id = -id;",
        );
    }
}

#[test]
fn conflict_clauses_of_the_schema_lose_no_rows() {
    for clause in ["IGNORE", "REPLACE", "FAIL", "ROLLBACK"] {
        check_sql(
            &format!(
                "CREATE TABLE t(id INTEGER PRIMARY KEY ON CONFLICT {clause},
                   u UNIQUE ON CONFLICT {clause}, n NOT NULL ON CONFLICT {clause} DEFAULT 1);
                 INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);"
            ),
            "UPDATE t SET u = u || '-'; UPDATE t SET u = 'b' WHERE id = 1;
             UPDATE t SET u = 'c' WHERE id = 2; UPDATE t SET u = 'a' WHERE id = 3;",
        );
    }
}

#[test]
fn cascades_of_foreign_keys_do_not_run() {
    let sql = "CREATE TABLE parent(id INTEGER PRIMARY KEY, u TEXT UNIQUE);
         CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent(id) ON DELETE CASCADE
           ON UPDATE CASCADE, pu REFERENCES parent(u) ON DELETE SET NULL ON UPDATE SET DEFAULT);
         CREATE INDEX child_parent ON child(parent);
         INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
         INSERT INTO child VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, NULL, NULL);";
    check_sql(
        sql,
        "UPDATE parent SET u = NULL; UPDATE parent SET u = 'b' WHERE id = 1;
         UPDATE parent SET u = 'a' WHERE id = 2; UPDATE parent SET u = 'c' WHERE id = 3;",
    );
    check_sql(sql, "UPDATE parent SET id = id + 10; UPDATE child SET parent = parent + 10;");
    check_sql(
        sql,
        "DELETE FROM parent WHERE id = 1; DELETE FROM child WHERE parent = 1;
         UPDATE child SET pu = NULL WHERE pu = 'a';",
    );
    check_sql(
        sql,
        "PRAGMA foreign_keys = ON; DELETE FROM parent WHERE id = 1;
         UPDATE parent SET id = 5 WHERE id = 2;",
    );
}

#[test]
fn rows_that_refer_to_nothing_are_reproduced() {
    let sql = "CREATE TABLE parent(id INTEGER PRIMARY KEY);
         CREATE TABLE child(id INTEGER PRIMARY KEY, p REFERENCES parent(id) ON DELETE CASCADE);
         CREATE TABLE indexed(id INTEGER PRIMARY KEY, p REFERENCES parent ON DELETE CASCADE);
         CREATE INDEX i ON indexed(p);
         INSERT INTO parent VALUES (1), (2), (3);
         INSERT INTO child VALUES (1, 1), (2, 99); INSERT INTO indexed VALUES (1, 1), (2, 2), (3, 99);";
    check_sql(sql, "DELETE FROM parent WHERE id = 1;");
    check_sql(sql, "DELETE FROM parent WHERE id = 2; INSERT INTO indexed VALUES (4, 77);");
    check_sql(sql, "UPDATE child SET p = 42 WHERE id = 1;");
    check_sql(sql, "DROP TABLE parent;");
}

#[test]
fn triggers_do_not_fire_and_arrive_changed() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v, changed DEFAULT 0);
         CREATE TABLE log(what);
         CREATE TRIGGER kept AFTER UPDATE ON t BEGIN
           UPDATE t SET changed = changed + 1 WHERE id = new.id; INSERT INTO log VALUES ('u;' || new.id);
         END;
         CREATE TRIGGER gone AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('i' || new.id); END;
         CREATE TRIGGER changes BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'no; never'); END;
         INSERT INTO t(id, v) VALUES (1, 1), (2, 2), (3, 3);";
    check_sql(
        sql,
        "DROP TRIGGER gone; DROP TRIGGER changes; UPDATE t SET v = 9 WHERE id = 1;
         DELETE FROM t WHERE id = 2; INSERT INTO t(id, v) VALUES (7, 7);
         CREATE TRIGGER changes BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'still; no'); END;
         CREATE TRIGGER comes AFTER INSERT ON log BEGIN DELETE FROM log; END;",
    );
}

#[test]
fn views_and_their_triggers() {
    check_sql(
        "CREATE TABLE t(a, b); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w(x) AS SELECT a FROM v;
         CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO t(a) VALUES (new.a); END;
         INSERT INTO t VALUES (1, 2);",
        "DROP VIEW v; CREATE VIEW v AS SELECT a, b FROM t; DROP VIEW w;
         CREATE VIEW z AS SELECT * FROM missing; INSERT INTO t VALUES (3, 4);
         CREATE TRIGGER i INSTEAD OF DELETE ON v BEGIN DELETE FROM t WHERE a = old.a; END;",
    );
}

#[test]
fn a_view_may_take_a_tables_name_and_a_table_a_views() {
    check_sql(
        "CREATE TABLE t(a); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT 1 AS x;",
        "DROP TABLE t; DROP VIEW v; CREATE TABLE v(x); INSERT INTO v VALUES (2);
         CREATE VIEW t AS SELECT x FROM v;",
    );
}

#[test]
fn indexes_partial_and_on_expressions() {
    check_sql(
        "CREATE TABLE t(a, b TEXT, c);
         CREATE INDEX kept ON t(a); CREATE INDEX gone ON t(b); CREATE UNIQUE INDEX changes ON t(c);
         CREATE INDEX part ON t(a) WHERE b > 'm'; CREATE INDEX expr ON t(lower(b), a + 1);
         INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2);",
        "DROP INDEX gone; DROP INDEX changes; DROP INDEX part; DROP INDEX expr;
         CREATE INDEX changes ON t(c DESC);
         INSERT INTO t VALUES (3, 'a', 1), (4, 'b', 2);
         CREATE INDEX part ON t(a) WHERE b > 'n'; CREATE UNIQUE INDEX expr ON t(upper(b));",
    );
}

#[test]
fn columns_added_by_alter_table() {
    for definition in [
        "c",
        "c TEXT DEFAULT 'x, ''y'' (z'",
        "c INTEGER NOT NULL DEFAULT 7",
        "\"odd name, really\" REAL DEFAULT 1",
        "c DEFAULT -3",
        "c REFERENCES t(id)",
        "c CHECK (c > 0)",
        "c AS (v || '!')",
    ] {
        let diff = check_sql(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v, UNIQUE(v, id));
             CREATE INDEX i ON t(v); CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
             INSERT INTO t SELECT i, 'v' || i FROM n;",
            &format!(
                "ALTER TABLE t ADD COLUMN {definition}; DELETE FROM t WHERE id = 2;
                 UPDATE t SET v = 'new' WHERE id = 3; INSERT INTO t(id, v) VALUES (301, 'x');"
            ),
        );
        assert!(diff.summary().rows_changed() < 10, "{definition}: {:?}", diff.summary());
    }
}

#[test]
fn added_columns_are_added_not_rebuilt() {
    let diff = check_sql(
        "CREATE TABLE t(a, PRIMARY KEY(a)); INSERT INTO t VALUES (1), (2);",
        "ALTER TABLE t ADD COLUMN b; ALTER TABLE t ADD COLUMN c INT DEFAULT 5;
         UPDATE t SET b = 1, c = 1 WHERE a = 1;",
    );
    assert_eq!(diff.summary().tables[0].edit, EditKind::AddColumns);
    assert_eq!(diff.summary().tables[0].updated, 1);
}

#[test]
fn rows_older_than_their_columns_hold_the_defaults() {
    for key in ["a INTEGER PRIMARY KEY, t", "a TEXT, t", "a TEXT PRIMARY KEY, t"] {
        check_sql(
            &format!(
                "CREATE TABLE t({key}); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z');
                 ALTER TABLE t ADD COLUMN d REAL DEFAULT 3; ALTER TABLE t ADD COLUMN e DEFAULT 'dd';
                 INSERT INTO t VALUES (4, 'u', 1, 1);
                 CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES (1, 1), (2, 2);
                 ALTER TABLE w ADD COLUMN d DEFAULT 'dd';"
            ),
            "UPDATE t SET t = 'new' WHERE a = 2; UPDATE t SET d = 4 WHERE a = 3;
             UPDATE t SET e = 'dd' WHERE a = 1; UPDATE w SET v = 7 WHERE k = '2';
             UPDATE w SET d = 'dd' WHERE k = '1';",
        );
    }
}

#[test]
fn dropped_renamed_and_reordered_columns() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT NOT NULL, b INT DEFAULT 4, c);
         CREATE INDEX i ON t(b); CREATE VIEW v AS SELECT id, c FROM t;
         CREATE TRIGGER tr AFTER UPDATE ON t BEGIN SELECT new.c; END;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO t SELECT i, 'a' || i, i % 7, x'00' FROM n;";
    let few = "DELETE FROM t WHERE id = 5; UPDATE t SET a = 'new' WHERE id = 6;
               INSERT INTO t(id, a) VALUES (1000, 'm');";
    for change in [
        "DROP INDEX i; ALTER TABLE t DROP COLUMN b",
        "ALTER TABLE t RENAME COLUMN c TO \"a new; name\"",
        "ALTER TABLE t RENAME COLUMN b TO bb; ALTER TABLE t ADD COLUMN e DEFAULT 'e'",
    ] {
        let diff = check_sql(sql, &format!("{change}; {few}"));
        assert_eq!(diff.summary().tables[0].edit, EditKind::Rebuild, "{change}");
        assert_eq!(diff.summary().rows_changed(), 3, "{change}: {:?}", diff.summary());
    }
    let reordered = "ALTER TABLE t RENAME TO old; DROP INDEX i;
         CREATE TABLE t(c, b INTEGER, id INTEGER PRIMARY KEY, extra TEXT DEFAULT 'e', a TEXT);
         INSERT INTO t(id, a, b, c) SELECT id, a, b, c FROM old; DROP VIEW v; DROP TABLE old;
         CREATE INDEX i ON t(b);";
    let diff = check_sql(&format!("{sql} DROP TRIGGER tr;"), &format!("{reordered} {few}"));
    assert_eq!(diff.summary().rows_changed(), 3, "{:?}", diff.summary());
}

#[test]
fn a_column_that_changes_its_type() {
    check_sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, '1'), (2, 'x'), (3, NULL);",
        "CREATE TABLE u(id INTEGER PRIMARY KEY, a INTEGER); INSERT INTO u SELECT id, a FROM t;
         DROP TABLE t; ALTER TABLE u RENAME TO t;",
    );
}

#[test]
fn a_table_that_changes_how_its_rows_are_told_apart() {
    for (old, new) in [
        ("CREATE TABLE t(a, b)", "CREATE TABLE t(a PRIMARY KEY, b)"),
        ("CREATE TABLE t(a PRIMARY KEY, b)", "CREATE TABLE t(a PRIMARY KEY, b) WITHOUT ROWID"),
        ("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "CREATE TABLE t(a, b)"),
        (
            "CREATE TABLE t(a TEXT PRIMARY KEY, b)",
            "CREATE TABLE t(a TEXT COLLATE NOCASE PRIMARY KEY, b)",
        ),
        ("CREATE TABLE t(a, b, PRIMARY KEY(a, b))", "CREATE TABLE t(a, b, PRIMARY KEY(b, a))"),
        ("CREATE TABLE t(a INT, b)", "CREATE TABLE t(a INT, b) STRICT"),
    ] {
        let new = new.replace("b) STRICT", "b ANY) STRICT");
        check_sql(
            &format!("{old}; INSERT INTO t VALUES (1, 'x'), (2, 'y');"),
            &format!("DROP TABLE t; {new}; INSERT INTO t VALUES (1, 'x'), (2, 'z'), (3, 'u');"),
        );
    }
}

#[test]
fn tables_added_dropped_and_renamed() {
    check_sql(
        "CREATE TABLE gone(a); INSERT INTO gone VALUES (1); CREATE INDEX gone_i ON gone(a);
         CREATE TRIGGER gone_t AFTER INSERT ON gone BEGIN SELECT 1; END;",
        "DROP TABLE gone; CREATE TABLE comes(b PRIMARY KEY); INSERT INTO comes VALUES ('x');
         CREATE INDEX gone_i ON comes(b);",
    );
    let diff = check_sql(
        "CREATE TABLE old(id INTEGER PRIMARY KEY, v); CREATE INDEX i ON old(v);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO old SELECT i, 'v' || i FROM n;",
        "ALTER TABLE old RENAME TO new; UPDATE new SET v = 1 WHERE id = 7;",
    );
    assert_eq!(diff.summary().tables[0].edit, EditKind::Rebuild);
    assert_eq!(diff.summary().rows_changed(), 1);
    check_sql(
        "CREATE TABLE t(a); CREATE TABLE u(a); INSERT INTO t VALUES (1); INSERT INTO u VALUES (2);",
        "ALTER TABLE t RENAME TO x; ALTER TABLE u RENAME TO t; ALTER TABLE x RENAME TO u;",
    );
    check_sql(
        "CREATE TABLE t(a, b INT); INSERT INTO t VALUES (1, 1), (2, 2);",
        "ALTER TABLE t RENAME TO temporary; ALTER TABLE temporary RENAME TO T;",
    );
}

#[test]
fn names_that_need_quoting() {
    check_sql(
        r#"CREATE TABLE "select ""x"" from; -- '"("a b", "group" PRIMARY KEY, "ä", [c]]", `d``e`);"#
            .replace("[c]]\"", "\"c]\"")
            .as_str(),
        r#"INSERT INTO "select ""x"" from; -- '" VALUES (1, 2, 3, 4, 5), (6, 7, 8, 9, 10);
           CREATE INDEX "in'dex" ON "select ""x"" from; -- '"("a b");
           CREATE VIEW "v;w" AS SELECT "group" FROM "select ""x"" from; -- '";
           CREATE TABLE "" ("" INTEGER PRIMARY KEY, "x" TEXT); INSERT INTO "" VALUES (1, 'a;b');
           CREATE TABLE "_" (x); CREATE TABLE "table" ("primary" TEXT PRIMARY KEY) WITHOUT ROWID;
           INSERT INTO "table" VALUES ('key');"#,
    );
}

#[test]
fn full_text_tables() {
    let sql = "CREATE VIRTUAL TABLE f USING fts5(title, body, tag UNINDEXED, tokenize = 'porter');
         INSERT INTO f(f, rank) VALUES ('rank', 'bm25(10.0, 5.0)');
         INSERT INTO f VALUES ('One', 'first text', 1), ('Two', 'second', x'00'), ('Three', NULL, 2.5);
         CREATE VIRTUAL TABLE old USING fts4(a, b); INSERT INTO old VALUES ('x', 'y'), ('z', 'u');";
    check_sql(
        sql,
        "UPDATE f SET body = 'changed text' WHERE rowid = 2; DELETE FROM f WHERE rowid = 1;
         INSERT INTO f(rowid, title) VALUES (100, 'far'); UPDATE old SET a = 'q' WHERE docid = 2;
         INSERT INTO f(f, rank) VALUES ('rank', 'bm25(1.0, 2.0)');
         INSERT INTO f(f, rank) VALUES ('automerge', 3); INSERT INTO f(f) VALUES ('optimize');",
    );
    let empty = check_sql(sql, "INSERT INTO f(f) VALUES ('optimize');");
    assert!(empty.is_empty());
    check_sql("CREATE TABLE x(a);", sql);
    check_sql(
        sql,
        "DROP TABLE f; CREATE VIRTUAL TABLE f USING fts5(title, body);
         INSERT INTO f VALUES ('a', 'b'); DROP TABLE old; CREATE TABLE old(a);",
    );
}

#[test]
fn full_text_tables_can_be_searched_after_applying() {
    let folder = Folder::new();
    let sql = "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('apple pie');
         CREATE TABLE t(id INTEGER PRIMARY KEY, body); INSERT INTO t VALUES (1, 'plum');
         CREATE VIRTUAL TABLE e USING fts5(body, content='t', content_rowid='id');
         INSERT INTO e(e) VALUES ('rebuild');
         CREATE VIRTUAL TABLE c USING fts5(body, content=''); INSERT INTO c(rowid, body) VALUES (1, 'fig');";
    let a = folder.create("a.db", sql);
    let b = folder.copy(
        &a,
        "b.db",
        "UPDATE f SET body = 'cherry pie'; INSERT INTO t VALUES (2, 'cherry jam');
         INSERT INTO e(rowid, body) VALUES (2, 'cherry jam');
         INSERT INTO c(rowid, body) VALUES (2, 'cherry');",
    );
    let diff = check(&folder, &a, &b);
    let conn = rusqlite::Connection::open(&a).unwrap();
    let found = |table: &str, word: &str| -> Vec<i64> {
        let sql = format!("SELECT rowid FROM {table} WHERE {table} MATCH ?1 ORDER BY rowid");
        let mut stmt = conn.prepare(&sql).unwrap();
        stmt.query_map([word], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    // The connection has used the index before: what it remembers must not survive.
    assert_eq!(found("c", "cherry"), Vec::<i64>::new());
    assert_eq!(found("e", "plum"), [1]);
    libsql_diff::apply(&diff, &conn).unwrap();
    assert_eq!(found("f", "cherry"), [1]);
    assert_eq!(found("f", "apple"), Vec::<i64>::new());
    assert_eq!(found("e", "cherry"), [2]);
    assert_eq!(found("c", "cherry"), [2]);
    assert_eq!(found("c", "fig"), [1]);
    for table in ["f", "e", "c"] {
        conn.execute_batch(&format!("INSERT INTO {table}({table}) VALUES ('integrity-check')"))
            .unwrap();
    }
}

#[test]
fn r_trees() {
    check_sql(
        "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, y0, y1, +name TEXT);
         INSERT INTO r VALUES (1, 0.1, 1, 2, 3, 'a'), (2, -5, 5, 0.3, 0.7, 'b'), (3, 1, 1, 1, 1, NULL);
         CREATE VIRTUAL TABLE i USING rtree_i32(id, x0, x1); INSERT INTO i VALUES (1, 5, 6);",
        "UPDATE r SET name = 'c', x0 = 0.2 WHERE id = 1; DELETE FROM r WHERE id = 2;
         INSERT INTO r VALUES (7, 1e10, 1.1e10, -1e-10, 1e-10, 'z'); UPDATE i SET x1 = 9;",
    );
}

#[test]
fn vector_indexes_of_libsql_are_built_not_copied() {
    check_sql(
        "CREATE TABLE v(id INTEGER PRIMARY KEY, e F32_BLOB(3));
         INSERT INTO v VALUES (1, vector32('[1,2,3]')), (2, vector32('[4,5,6]'));
         CREATE INDEX vi ON v(libsql_vector_idx(e));",
        "UPDATE v SET e = vector32('[9,9,9]') WHERE id = 2; INSERT INTO v VALUES (3, vector32('[0,0,1]'));
         CREATE TABLE w(e F32_BLOB(2)); CREATE INDEX wi ON w(libsql_vector_idx(e));
         INSERT INTO w VALUES (vector32('[1,0]'));",
    );
}

#[test]
fn page_size_and_encoding_may_differ() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'ä€😀'), (2, 'x');
         CREATE TABLE k(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
         INSERT INTO k VALUES ('é', 1), ('z', 2), ('𐍈', 3), ('ﬀ', 4);
         CREATE TABLE n(k TEXT PRIMARY KEY COLLATE NOCASE, v); INSERT INTO n VALUES ('Ä', 1), ('b', 2);
         CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('öl');";
    let change = "UPDATE t SET v = 'ß' WHERE id = 2; INSERT INTO t VALUES (3, ''); DELETE FROM k WHERE v = 2;
         UPDATE k SET v = 9 WHERE k = '𐍈'; INSERT INTO k VALUES ('ü', 5); UPDATE n SET k = 'B' WHERE v = 2;
         UPDATE f SET x = 'käse'; ALTER TABLE n ADD COLUMN c TEXT DEFAULT 'ö';";
    let pragmas = [
        "PRAGMA page_size = 4096; PRAGMA encoding = 'UTF-8';",
        "PRAGMA page_size = 512; PRAGMA encoding = 'UTF-16le';",
        "PRAGMA page_size = 65536; PRAGMA encoding = 'UTF-16be';",
        "PRAGMA page_size = 1024; PRAGMA encoding = 'UTF-16le';",
    ];
    for a in pragmas {
        for b in pragmas {
            let folder = Folder::new();
            let from = folder.create("a.db", &format!("{a} {sql}"));
            let same = folder.create("same.db", &format!("{b} {sql}"));
            let to = folder.create("b.db", &format!("{b} {sql} {change}"));
            assert!(check(&folder, &from, &same).is_empty());
            check(&folder, &from, &to);
        }
    }
}

#[test]
fn lone_surrogates_in_a_utf16_database() {
    let folder = Folder::new();
    let sql = |hex: &str| {
        format!(
            "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
             INSERT INTO t VALUES (1, CAST(x'{hex}' AS TEXT)), (2, 'ok');"
        )
    };
    let a = folder.create("a.db", &sql("00d84100"));
    let b = folder.create("b.db", &sql("01dc4100"));
    let diff = check(&folder, &a, &b);
    let RowChange::Update { changes, .. } = &rows(&diff)[0] else { panic!("{diff:?}") };
    assert_eq!(changes[0].new, Value::Text(vec![0xed, 0xb0, 0x81, b'A']));
}

#[test]
fn settings_of_the_application() {
    check_sql(
        "CREATE TABLE t(a); PRAGMA user_version = 3;",
        "PRAGMA user_version = -7; PRAGMA application_id = 252006673;",
    );
}

#[test]
fn values_of_megabytes() {
    let folder = Folder::new();
    let a = folder.create(
        "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, small, big);
         INSERT INTO t VALUES (1, 1, zeroblob(5000000)), (2, 2, hex(zeroblob(2500000))), (3, 3, 'x');
         CREATE TABLE w(k TEXT PRIMARY KEY, big) WITHOUT ROWID;
         INSERT INTO w VALUES (hex(zeroblob(3000)), zeroblob(100000)), ('b', zeroblob(5000000));",
    );
    let b = folder.copy(
        &a,
        "b.db",
        "UPDATE t SET small = 9 WHERE id = 1; UPDATE t SET big = big || 'x' WHERE id = 2;
         INSERT INTO t VALUES (4, 4, randomblob(5000000));
         UPDATE w SET big = CAST(zeroblob(99999) || 'y' AS BLOB) WHERE k <> 'b';",
    );
    let diff = check_applying(&folder, &a, &b);
    assert_eq!(rows(&diff).len(), 4);
    // The big value that stays is not carried along.
    assert!(diff.size_bytes() < 16_000_000, "{}", diff.size_bytes());
}

#[test]
fn values_of_megabytes_as_text() {
    let folder = Folder::new();
    let a = folder.create("a.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, big);");
    let b = folder.copy(
        &a,
        "b.db",
        "INSERT INTO t VALUES (1, replace(hex(zeroblob(625000)), '00', 'a;''\n')), (2, randomblob(2500000));",
    );
    let diff = diff(&a, &b).unwrap();
    assert!(diff.size_bytes() > 5_000_000);
    check_script(&folder, &a, &b, &diff);
    check_json(&diff);
}

#[test]
fn two_hundred_columns() {
    let names: Vec<String> = (0..200).map(|i| format!("c{i}")).collect();
    let values: Vec<String> = (0..200).map(|i| i.to_string()).collect();
    check_sql(
        &format!(
            "CREATE TABLE t({}, PRIMARY KEY(c7, c199)); INSERT INTO t VALUES ({}); INSERT INTO t(c7, c199) VALUES (1, 1);",
            names.join(", "),
            values.join(", ")
        ),
        "UPDATE t SET c100 = 'x', c3 = NULL WHERE c7 = 7; INSERT INTO t(c7, c199) VALUES (2, 2);",
    );
}

#[test]
fn as_many_columns_as_sqlite_allows() {
    let names = |count: usize| (0..count).map(|i| format!("c{i}")).collect::<Vec<_>>().join(", ");
    let values = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    let all = (0..1999).map(|i| format!("c{i} = -1")).collect::<Vec<_>>().join(", ");
    for (first, columns, last) in [
        ("id INTEGER PRIMARY KEY, ", 1999, ""),
        ("id TEXT PRIMARY KEY, ", 1999, "WITHOUT ROWID"),
        ("id INT, ", 1998, ""),
    ] {
        check_sql(
            &format!(
                "CREATE TABLE t({first}{}) {last}; INSERT INTO t VALUES (1, {v}), (2, {v}), (3, {v});",
                names(columns),
                v = values(columns)
            ),
            &format!(
                "UPDATE t SET c5 = 'x' WHERE id = 1; DELETE FROM t WHERE id = 2;
                 INSERT INTO t(id, c1997) VALUES (9, 9); {}",
                if last.is_empty() { String::new() } else { format!("UPDATE t SET {all};") },
            ),
        );
    }
}

#[test]
fn an_empty_database_and_an_empty_table() {
    let sql = "CREATE TABLE t(a); CREATE TABLE u(a PRIMARY KEY) WITHOUT ROWID;";
    check_sql("", sql);
    check_sql(sql, "INSERT INTO t VALUES (1); INSERT INTO u VALUES (1);");
    check_sql(sql, "");
}
