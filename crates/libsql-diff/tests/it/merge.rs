//! Three databases of one origin, merged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libsql_diff::{
    ConflictKind, Error, Merge, MergeConflict, MergeConflictKind, MergePolicy, Options, Value,
    apply, diff, merge, merge_files,
};
use proptest::prelude::*;

use crate::support::{Folder, content, integrity, open, operations, remove};

/// A base and its two sides.
struct Three {
    folder: Folder,
    base: PathBuf,
    ours: PathBuf,
    theirs: PathBuf,
}

impl Three {
    fn new(base: &str, ours: &str, theirs: &str) -> Self {
        let folder = Folder::new();
        let base = folder.create("base.db", base);
        let (ours, theirs) =
            (folder.copy(&base, "ours.db", ours), folder.copy(&base, "theirs.db", theirs));
        Self { folder, base, ours, theirs }
    }

    fn merge(&self, policy: MergePolicy) -> Merge {
        let (ours, theirs) =
            (diff(&self.base, &self.ours).unwrap(), diff(&self.base, &self.theirs).unwrap());
        merge(&ours, &theirs, policy).unwrap()
    }

    fn merge_back(&self, policy: MergePolicy) -> Merge {
        let (ours, theirs) =
            (diff(&self.base, &self.theirs).unwrap(), diff(&self.base, &self.ours).unwrap());
        merge(&ours, &theirs, policy).unwrap()
    }

    fn settled(&self, policy: MergePolicy) -> Merge {
        let options = Options::default();
        let on_progress = &mut |_: &libsql_diff::Progress| std::ops::ControlFlow::Continue(());
        merge_files(&self.base, &self.ours, &self.theirs, policy, &options, on_progress).unwrap()
    }

    fn settled_back(&self, policy: MergePolicy) -> Merge {
        let options = Options::default();
        let on_progress = &mut |_: &libsql_diff::Progress| std::ops::ControlFlow::Continue(());
        merge_files(&self.base, &self.theirs, &self.ours, policy, &options, on_progress).unwrap()
    }

    /// What each policy makes of it, from both sides.
    fn check_settled(&self, ours: &str, theirs: &str) {
        for (policy, back, expected) in [
            (MergePolicy::Ours, MergePolicy::Theirs, ours),
            (MergePolicy::Theirs, MergePolicy::Ours, theirs),
        ] {
            let shown = format!("{policy:?}: {expected}");
            let expected = self.folder.copy(&self.base, "expected.db", expected);
            for (side, merge) in
                [(&self.ours, self.settled(policy)), (&self.theirs, self.settled_back(back))]
            {
                let conflicts = format!("{:#?}", merge.conflicts);
                let found = self.applied(side, merge);
                let found = found.unwrap_or_else(|e| panic!("{shown}: {e}\n{conflicts}"));
                assert_eq!(found, content(&expected), "{shown}");
            }
            remove(&expected);
        }
    }

    /// The content of a copy of `side` with the merge applied.
    fn applied(&self, side: &Path, merge: Merge) -> Result<String, Error> {
        let merged = self.folder.copy(side, "merged.db", "");
        let diff = merge.into_diff()?;
        let outcome = apply(&diff, &open(&merged));
        if outcome.is_ok() {
            integrity(&merged);
        }
        let found = content(&merged);
        remove(&merged);
        outcome.map(|_| found)
    }

    /// Merges without conflict, into either side, and expects what `sql` makes of the base.
    fn check(&self, expected: &str) {
        let expected = self.folder.copy(&self.base, "expected.db", expected);
        for (side, merge) in [
            (&self.ours, self.merge(MergePolicy::Abort)),
            (&self.theirs, self.merge_back(MergePolicy::Abort)),
        ] {
            assert_eq!(merge.conflicts, []);
            let shown = format!("{:#?}", operations(merge.diff.as_ref().unwrap()));
            let found = self.applied(side, merge).unwrap_or_else(|e| panic!("{e}\n{shown}"));
            assert_eq!(found, content(&expected), "{shown}");
        }
    }

    /// The one conflict, and what each policy makes of it.
    fn check_conflict(&self, ours: &str, theirs: &str) -> MergeConflict {
        let merge = self.merge(MergePolicy::Abort);
        assert!(merge.diff.is_none());
        assert_eq!(merge.conflicts_count, 1, "{:?}", merge.conflicts);
        let conflict = merge.conflicts[0].clone();
        assert!(matches!(merge.into_diff(), Err(Error::MergeConflicts { count: 1, .. })));
        for (policy, back, expected) in [
            (MergePolicy::Ours, MergePolicy::Theirs, ours),
            (MergePolicy::Theirs, MergePolicy::Ours, theirs),
        ] {
            let expected = self.folder.copy(&self.base, "expected.db", expected);
            let merge = self.merge(policy);
            assert_eq!(merge.conflicts, std::slice::from_ref(&conflict));
            assert_eq!(self.applied(&self.ours, merge).unwrap(), content(&expected), "{policy:?}");
            let merge = self.merge_back(back);
            assert_eq!(self.applied(&self.theirs, merge).unwrap(), content(&expected), "{back:?}");
            remove(&expected);
        }
        conflict
    }
}

const PLAN: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, u UNIQUE);
    INSERT INTO t VALUES (1, 'a1', 'b1', 1), (2, 'a2', 'b2', 2), (3, 'a3', 'b3', 3), (4, 'a4', 'b4', 4);";

#[test]
fn rows_and_columns_of_both_sides_come_together() {
    Three::new(
        PLAN,
        "UPDATE t SET a = 'ours' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (10, 'o', 'o', 10);",
        "UPDATE t SET b = 'theirs' WHERE id = 1; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (20, 't', 't', 20);
         UPDATE t SET u = 40 WHERE id = 4;",
    )
    .check(
        "UPDATE t SET a = 'ours', b = 'theirs' WHERE id = 1; DELETE FROM t WHERE id IN (2, 3);
         INSERT INTO t VALUES (10, 'o', 'o', 10), (20, 't', 't', 20); UPDATE t SET u = 40 WHERE id = 4;",
    );
}

#[test]
fn what_both_did_alike_is_no_conflict() {
    let both = "UPDATE t SET a = 'x', u = 9 WHERE id = 1; DELETE FROM t WHERE id = 2;
        INSERT INTO t VALUES (7, 7, 7, 7); CREATE INDEX i ON t(a); CREATE TABLE n(x PRIMARY KEY);
        INSERT INTO n VALUES (1); ALTER TABLE t ADD COLUMN c DEFAULT 'c'; PRAGMA user_version = 5;";
    let three = Three::new(PLAN, both, both);
    three.check(both);
    assert!(three.merge(MergePolicy::Abort).diff.unwrap().is_empty());
    Three::new(
        PLAN,
        &format!("{both} UPDATE t SET b = 'ours' WHERE id = 1; INSERT INTO n VALUES (2);"),
        &format!("{both} UPDATE t SET c = 'theirs' WHERE id = 1; INSERT INTO n VALUES (3);"),
    )
    .check(&format!(
        "{both} UPDATE t SET b = 'ours', c = 'theirs' WHERE id = 1; INSERT INTO n VALUES (2), (3);"
    ));
}

#[test]
fn a_column_given_two_values_is_a_conflict_with_all_three() {
    let conflict = Three::new(
        PLAN,
        "UPDATE t SET a = 'ours', b = 'only ours' WHERE id = 1;",
        "UPDATE t SET a = 'theirs', u = 100 WHERE id = 1; UPDATE t SET a = 'more' WHERE id = 2;",
    )
    .check_conflict(
        "UPDATE t SET a = 'ours', b = 'only ours', u = 100 WHERE id = 1; UPDATE t SET a = 'more' WHERE id = 2;",
        "UPDATE t SET a = 'theirs', b = 'only ours', u = 100 WHERE id = 1; UPDATE t SET a = 'more' WHERE id = 2;",
    );
    assert_eq!(conflict.kind, MergeConflictKind::BothChanged);
    assert_eq!(conflict.key.unwrap().to_string(), "key 1");
    let [column] = &conflict.columns[..] else { panic!("{:?}", conflict.columns) };
    assert_eq!(column.column, "a");
    assert_eq!(column.base, Some(Value::text("a1")));
    assert_eq!(column.ours, Some(Value::text("ours")));
    assert_eq!(column.theirs, Some(Value::text("theirs")));
}

#[test]
fn a_row_deleted_here_and_changed_there_is_a_conflict() {
    let conflict = Three::new(
        PLAN,
        "DELETE FROM t WHERE id = 1;",
        "UPDATE t SET a = 'theirs', u = 11 WHERE id = 1;",
    )
    .check_conflict(
        "DELETE FROM t WHERE id = 1;",
        "UPDATE t SET a = 'theirs', u = 11 WHERE id = 1;",
    );
    assert_eq!(conflict.kind, MergeConflictKind::WeDeleted);
    assert_eq!(conflict.columns[0].ours, None);
    let conflict =
        Three::new(PLAN, "UPDATE t SET a = 'ours' WHERE id = 1;", "DELETE FROM t WHERE id = 1;")
            .check_conflict("UPDATE t SET a = 'ours' WHERE id = 1;", "DELETE FROM t WHERE id = 1;");
    assert_eq!(conflict.kind, MergeConflictKind::TheyDeleted);
    assert_eq!(conflict.columns[0].theirs, None);
}

#[test]
fn one_key_inserted_twice_is_a_conflict() {
    let conflict = Three::new(
        PLAN,
        "INSERT INTO t VALUES (9, 'same', 'ours', 9);",
        "INSERT INTO t VALUES (9, 'same', 'theirs', 8);",
    )
    .check_conflict(
        "INSERT INTO t VALUES (9, 'same', 'ours', 9);",
        "INSERT INTO t VALUES (9, 'same', 'theirs', 8);",
    );
    assert_eq!(conflict.kind, MergeConflictKind::BothInserted);
    let columns: Vec<&str> = conflict.columns.iter().map(|c| c.column.as_str()).collect();
    assert_eq!(columns, ["b", "u"]);
}

#[test]
fn rows_without_a_key_that_both_sides_append_all_stay() {
    let three = Three::new(
        "CREATE TABLE log(what); INSERT INTO log VALUES ('base');",
        "INSERT INTO log VALUES ('ours 1'), ('ours 2'), ('same');",
        "INSERT INTO log VALUES ('theirs'), ('other'), ('same'), ('more');",
    );
    let merge = three.merge(MergePolicy::Abort);
    assert_eq!(merge.conflicts, []);
    apply(&merge.into_diff().unwrap(), &open(&three.ours)).unwrap();
    let conn = open(&three.ours);
    let mut stmt = conn.prepare("SELECT what FROM log ORDER BY what").unwrap();
    let found: Vec<String> =
        stmt.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    // Rowid 4 holds `same` on both sides: that is one row.
    assert_eq!(found, ["base", "more", "other", "ours 1", "ours 2", "same", "theirs"]);
}

#[test]
fn keys_that_hold_null_are_told_apart_by_all_they_hold() {
    Three::new(
        "CREATE TABLE t(a, b, PRIMARY KEY(a, b)); INSERT INTO t VALUES (NULL, 1), (NULL, 2), (1, 1);",
        "INSERT INTO t VALUES (NULL, 7), (NULL, 8); DELETE FROM t WHERE b = 2;",
        "INSERT INTO t VALUES (NULL, 7), (NULL, 7), (NULL, 9); DELETE FROM t WHERE a = 1;",
    )
    .merge(MergePolicy::Abort)
    .into_diff()
    .map(|diff| assert_eq!(diff.summary().tables[0].inserted, 2))
    .unwrap();
}

#[test]
fn keys_that_a_collation_calls_equal_are_one_row() {
    for without_rowid in ["", "WITHOUT ROWID"] {
        let base = format!(
            "CREATE TABLE t(k TEXT PRIMARY KEY COLLATE NOCASE, v, w) {without_rowid};
             INSERT INTO t VALUES ('abc', 1, 1), ('def', 2, 2);"
        );
        Three::new(
            &base,
            "UPDATE t SET k = 'ABC' WHERE k = 'abc'; UPDATE t SET k = 'DEF' WHERE k = 'def';",
            "UPDATE t SET v = 9 WHERE k = 'abc'; DELETE FROM t WHERE k = 'def'; INSERT INTO t VALUES ('x', 1, 1);",
        )
        .check_conflict(
            "UPDATE t SET k = 'ABC', v = 9 WHERE k = 'abc'; UPDATE t SET k = 'DEF' WHERE k = 'def';
             INSERT INTO t VALUES ('x', 1, 1);",
            "UPDATE t SET k = 'ABC', v = 9 WHERE k = 'abc'; DELETE FROM t WHERE k = 'def';
             INSERT INTO t VALUES ('x', 1, 1);",
        );
    }
}

#[test]
fn columns_added_on_one_side_meet_rows_changed_on_the_other() {
    let add = "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'x, y'; ALTER TABLE t ADD COLUMN d REAL DEFAULT 2;
        UPDATE t SET c = 'set' WHERE id = 1; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (30, 3, 3, 30, 'c', 1);";
    let rows = "UPDATE t SET a = 'new', u = 11 WHERE id = 1; DELETE FROM t WHERE id = 2;
        INSERT INTO t(id, a, b, u) VALUES (40, 4, 4, 40);";
    let expected = format!("{add} {rows}");
    Three::new(PLAN, add, rows).check(&expected);
    Three::new(PLAN, rows, add).check(&expected);
}

#[test]
fn a_table_defined_anew_on_one_side_meets_rows_changed_on_the_other() {
    let rows = "UPDATE t SET b = 'new' WHERE id = 1; DELETE FROM t WHERE id = 2; UPDATE t SET u = 44 WHERE id = 4;
        INSERT INTO t(id, b, u) VALUES (40, 4, 40);";
    for (alter, adapted) in [
        (
            "ALTER TABLE t RENAME COLUMN b TO bb;",
            rows.replace("b =", "bb =").replace("id, b", "id, bb"),
        ),
        ("ALTER TABLE t DROP COLUMN a;", rows.to_owned()),
        ("CREATE INDEX i ON t(a); ALTER TABLE t RENAME COLUMN a TO aa;", rows.to_owned()),
    ] {
        let expected = format!("{alter} {adapted}");
        Three::new(PLAN, alter, rows).check(&expected);
        Three::new(PLAN, rows, alter).check(&expected);
    }
}

#[test]
fn a_column_dropped_here_and_changed_there_is_a_conflict() {
    let three = Three::new(
        PLAN,
        "ALTER TABLE t DROP COLUMN a;",
        "UPDATE t SET a = 'lost', b = 'kept' WHERE id = 1;",
    );
    for merge in [three.merge(MergePolicy::Abort), three.merge_back(MergePolicy::Abort)] {
        assert_eq!(merge.conflicts_count, 1);
        assert_eq!(merge.conflicts[0].columns[0].column, "a");
        assert!(merge.diff.is_none());
    }
    let expected = three.folder.copy(
        &three.base,
        "expected.db",
        "ALTER TABLE t DROP COLUMN a; UPDATE t SET b = 'kept' WHERE id = 1;",
    );
    let found = three.applied(&three.ours, three.merge(MergePolicy::Ours)).unwrap();
    assert_eq!(found, content(&expected));
    let found = three.applied(&three.theirs, three.merge_back(MergePolicy::Theirs)).unwrap();
    assert_eq!(found, content(&expected));
}

#[test]
fn a_policy_settles_definitions_and_the_rows_of_both_sides_come_into_them() {
    let add = "ALTER TABLE t ADD COLUMN";
    let index =
        "CREATE INDEX mine ON t(a, b); CREATE TRIGGER tr AFTER DELETE ON t BEGIN SELECT 1; END;";
    let insert = "INSERT INTO t(id, a, b, u) VALUES (9, 'i', 'i', 9);";
    let update = "UPDATE t SET b = 'theirs' WHERE id = 2; UPDATE t SET a = 'ours' WHERE id = 1;";
    for (ours, theirs, if_ours, if_theirs) in [
        // Each side a column of its own, and rows.
        (
            format!("{add} c DEFAULT 5; UPDATE t SET a = 'ours', c = 6 WHERE id = 1;"),
            format!("{add} d; UPDATE t SET b = 'theirs', d = 7 WHERE id = 2; {insert} {index}"),
            format!("{add} c DEFAULT 5; {update} UPDATE t SET c = 6 WHERE id = 1; {insert} {index}"),
            format!("{add} d; {update} UPDATE t SET d = 7 WHERE id = 2; {insert} {index}"),
        ),
        // A column of one name, defined differently.
        (
            format!("{add} c TEXT; UPDATE t SET c = '1' WHERE id < 3;"),
            format!("{add} c INT; UPDATE t SET c = 3 WHERE id > 2;"),
            format!("{add} c TEXT; UPDATE t SET c = iif(id < 3, '1', '3');"),
            format!("{add} c INT; UPDATE t SET c = iif(id < 3, 1, 3);"),
        ),
        // One column under two new names.
        (
            "ALTER TABLE t RENAME COLUMN a TO x; UPDATE t SET x = 'ours' WHERE id = 1;".to_owned(),
            format!("ALTER TABLE t RENAME COLUMN a TO y; UPDATE t SET b = 'theirs' WHERE id = 2; {}",
                "INSERT INTO t VALUES (9, 'i', 'i', 9);"),
            format!("ALTER TABLE t RENAME COLUMN a TO x; {} {}", update.replace(" a =", " x ="), insert.replace("a,", "x,")),
            format!("ALTER TABLE t RENAME COLUMN a TO y; {} {}", update.replace(" a =", " y ="), insert.replace("a,", "y,")),
        ),
        // One table under two new names.
        (
            format!("ALTER TABLE t RENAME TO n; {}", update.replace("t SET", "n SET")),
            "ALTER TABLE t RENAME TO m; DELETE FROM m WHERE id = 4;".to_owned(),
            format!("ALTER TABLE t RENAME TO n; {} DELETE FROM n WHERE id = 4;", update.replace("t SET", "n SET")),
            format!("ALTER TABLE t RENAME TO m; {} DELETE FROM m WHERE id = 4;", update.replace("t SET", "m SET")),
        ),
        // Two tables of one name, with and without a common key.
        (
            "CREATE TABLE n(k INTEGER PRIMARY KEY, a); INSERT INTO n VALUES (1, 1);".to_owned(),
            "CREATE TABLE n(k INTEGER PRIMARY KEY, b); INSERT INTO n VALUES (2, 2);".to_owned(),
            "CREATE TABLE n(k INTEGER PRIMARY KEY, a); INSERT INTO n VALUES (1, 1), (2, NULL);".to_owned(),
            "CREATE TABLE n(k INTEGER PRIMARY KEY, b); INSERT INTO n VALUES (1, NULL), (2, 2);".to_owned(),
        ),
        (
            "CREATE TABLE n(k PRIMARY KEY, a); INSERT INTO n VALUES (1, 1); CREATE INDEX i ON n(a);".to_owned(),
            "CREATE TABLE n(b) STRICT;".to_owned().replace("b)", "b INT)"),
            "CREATE TABLE n(k PRIMARY KEY, a); INSERT INTO n VALUES (1, 1); CREATE INDEX i ON n(a);".to_owned(),
            "CREATE TABLE n(b INT) STRICT;".to_owned(),
        ),
        // A table's new name is another table's there: they are two.
        (
            "ALTER TABLE t RENAME TO n;".to_owned(),
            "CREATE TABLE n(b); INSERT INTO n VALUES (1);".to_owned(),
            "ALTER TABLE t RENAME TO n;".to_owned(),
            "CREATE TABLE n(b); INSERT INTO n VALUES (1);".to_owned(),
        ),
        // Dropped on one side.
        (
            "DROP TABLE t;".to_owned(),
            "UPDATE t SET a = 1 WHERE id = 1;".to_owned(),
            "DROP TABLE t;".to_owned(),
            "UPDATE t SET a = 1 WHERE id = 1;".to_owned(),
        ),
        (
            "DROP TABLE t;".to_owned(),
            format!("{add} c; CREATE INDEX i ON t(c);"),
            "DROP TABLE t;".to_owned(),
            format!("{add} c; CREATE INDEX i ON t(c);"),
        ),
        (
            "DROP TABLE t;".to_owned(),
            "DROP TABLE t; CREATE TABLE t(x, y, z); INSERT INTO t VALUES (1, 2, 3);".to_owned(),
            "DROP TABLE t;".to_owned(),
            "DROP TABLE t; CREATE TABLE t(x, y, z); INSERT INTO t VALUES (1, 2, 3);".to_owned(),
        ),
        // An index that the winner's table has no place for goes.
        (
            format!("{add} c; CREATE INDEX i ON t(c); CREATE INDEX j ON t(b);"),
            format!("{add} d; CREATE VIEW v AS SELECT d FROM t;"),
            format!("{add} c; CREATE INDEX i ON t(c); CREATE INDEX j ON t(b); CREATE VIEW v AS SELECT d FROM t;"),
            format!("{add} d; CREATE INDEX j ON t(b); CREATE VIEW v AS SELECT d FROM t;"),
        ),
    ] {
        let three = Three::new(PLAN, &ours, &theirs);
        let merge = three.merge(MergePolicy::Abort);
        let kinds: Vec<MergeConflictKind> = merge.conflicts.iter().map(|c| c.kind).collect();
        assert!(kinds.contains(&MergeConflictKind::Table), "{ours} {theirs}: {kinds:?}");
        assert!(merge.diff.is_none(), "{ours} {theirs}");
        three.check_settled(&if_ours, &if_theirs);
    }
}

#[test]
fn a_policy_settles_rows_beside_definitions_and_lists_both() {
    let three = Three::new(
        PLAN,
        "ALTER TABLE t ADD COLUMN c; UPDATE t SET a = 'ours' WHERE id = 1;",
        "ALTER TABLE t ADD COLUMN d; UPDATE t SET a = 'theirs' WHERE id = 1;",
    );
    let merge = three.settled(MergePolicy::Theirs);
    let kinds: Vec<MergeConflictKind> = merge.conflicts.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [MergeConflictKind::Table, MergeConflictKind::BothChanged]);
    assert_eq!(merge.conflicts_count, 2);
    three.check_settled(
        "ALTER TABLE t ADD COLUMN c; UPDATE t SET a = 'ours' WHERE id = 1;",
        "ALTER TABLE t ADD COLUMN d; UPDATE t SET a = 'theirs' WHERE id = 1;",
    );
}

#[test]
fn indexes_views_and_triggers() {
    let base = format!(
        "{PLAN} CREATE INDEX i ON t(a); CREATE VIEW v AS SELECT a FROM t; CREATE TABLE log(x);
         CREATE TRIGGER tr AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.id); END;"
    );
    Three::new(
        &base,
        "DROP INDEX i; CREATE INDEX j ON t(b); CREATE TRIGGER mine AFTER INSERT ON t BEGIN DELETE FROM t; END;",
        "DROP VIEW v; CREATE VIEW v AS SELECT b FROM t; UPDATE t SET a = 'x' WHERE id = 1; DELETE FROM log;
         INSERT INTO t VALUES (8, 8, 8, 8);",
    )
    .check(
        "DROP INDEX i; CREATE INDEX j ON t(b); DROP VIEW v; CREATE VIEW v AS SELECT b FROM t;
         UPDATE t SET a = 'x' WHERE id = 1; DELETE FROM log; INSERT INTO t VALUES (8, 8, 8, 8);
         CREATE TRIGGER mine AFTER INSERT ON t BEGIN DELETE FROM t; END;",
    );
    let conflict = Three::new(
        &base,
        "DROP INDEX i; CREATE INDEX i ON t(a, b);",
        "DROP INDEX i; CREATE INDEX i ON t(b, a);",
    )
    .check_conflict(
        "DROP INDEX i; CREATE INDEX i ON t(a, b);",
        "DROP INDEX i; CREATE INDEX i ON t(b, a);",
    );
    assert_eq!((conflict.kind, conflict.table.as_str()), (MergeConflictKind::Object, "i"));
    Three::new(&base, "DROP VIEW v;", "DROP VIEW v; CREATE VIEW v AS SELECT 1;")
        .check_conflict("DROP VIEW v;", "DROP VIEW v; CREATE VIEW v AS SELECT 1;");
}

#[test]
fn an_index_of_ours_survives_a_table_that_they_define_anew() {
    let base =
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c); INSERT INTO t VALUES (1, 1, 1, 1);";
    let index = "CREATE INDEX j ON t(b); CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;";
    let anew = "ALTER TABLE t DROP COLUMN c;";
    let expected = format!("{anew} {index}");
    Three::new(base, index, anew).check(&expected);
    Three::new(base, anew, index).check(&expected);
}

#[test]
fn counters_and_settings() {
    let base =
        "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO t VALUES (5, 5);";
    Three::new(
        base,
        "INSERT INTO t VALUES (8, 8); PRAGMA application_id = 3;",
        "INSERT INTO t VALUES (20, 20); DELETE FROM t WHERE id = 20; PRAGMA user_version = 7;",
    )
    .check(
        "INSERT INTO t VALUES (8, 8), (20, 20); DELETE FROM t WHERE id = 20; PRAGMA application_id = 3;
         PRAGMA user_version = 7;",
    );
    // A counter follows its table to another name.
    let (rename, insert) = ("ALTER TABLE t RENAME TO n;", "INSERT INTO t VALUES (30, 30);");
    let expected = format!("{insert} {rename}");
    Three::new(base, rename, insert).check(&expected);
    Three::new(base, insert, rename).check(&expected);
    let conflict = Three::new(base, "PRAGMA user_version = 1;", "PRAGMA user_version = 2;")
        .check_conflict("PRAGMA user_version = 1;", "PRAGMA user_version = 2;");
    assert_eq!(conflict.kind, MergeConflictKind::Setting);
}

#[test]
fn full_text_rows_merge_and_their_shadows_do_not() {
    let base = "CREATE VIRTUAL TABLE f USING fts5(x, y); INSERT INTO f VALUES ('one', 1), ('two', 2), ('three', 3);";
    Three::new(
        base,
        "UPDATE f SET x = 'uno' WHERE rowid = 1; INSERT INTO f(rowid, x) VALUES (10, 'ten');",
        "UPDATE f SET y = 9 WHERE rowid = 1; DELETE FROM f WHERE rowid = 2; INSERT INTO f(rowid, x) VALUES (11, 'x');",
    )
    .check(
        "UPDATE f SET x = 'uno', y = 9 WHERE rowid = 1; DELETE FROM f WHERE rowid = 2;
         INSERT INTO f(rowid, x) VALUES (10, 'ten'), (11, 'x');",
    );
    let contentless = "CREATE VIRTUAL TABLE f USING fts5(x, content=''); INSERT INTO f(rowid, x) VALUES (1, 'one');";
    // Rows that cannot be read cannot be told apart: one side's hold.
    let (ours, theirs) = (
        "INSERT INTO f(rowid, x) VALUES (2, 'two');",
        "INSERT INTO f(rowid, x) VALUES (3, 'three');",
    );
    let three = Three::new(contentless, ours, theirs);
    let merge = three.merge(MergePolicy::Theirs);
    assert!(merge.diff.is_none());
    assert_eq!(merge.conflicts[0].kind, MergeConflictKind::Table);
    three.check_settled(ours, theirs);
}

#[test]
fn what_breaks_a_constraint_together_is_refused_when_applied() {
    let three = Three::new(
        PLAN,
        "INSERT INTO t VALUES (10, 'o', 'o', 77);",
        "INSERT INTO t VALUES (20, 't', 't', 77);",
    );
    let outcome = three.applied(&three.ours, three.merge(MergePolicy::Abort));
    let Err(Error::Conflict(conflict)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(conflict.kind, ConflictKind::Constraint);
    let three = Three::new(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p);
         INSERT INTO p VALUES (1), (2); CREATE INDEX i ON c(p);",
        "INSERT INTO c VALUES (1, 2);",
        "DELETE FROM p WHERE id = 2;",
    );
    for (side, merge) in [
        (&three.ours, three.merge(MergePolicy::Abort)),
        (&three.theirs, three.merge_back(MergePolicy::Abort)),
    ] {
        let outcome = three.applied(side, merge);
        assert!(matches!(outcome, Err(Error::ForeignKeys { .. })), "{outcome:?}");
    }
}

/// A row of the naive model: its values by column.
type Model = BTreeMap<i64, [i64; 3]>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(i64, [i64; 3]),
    Set(i64, usize, i64),
    Delete(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let value = 0..4_i64;
    prop_oneof![
        (5..12_i64, [value.clone(), value.clone(), value.clone()])
            .prop_map(|(k, v)| Step::Put(k, v)),
        (0..12_i64, 0..3_usize, value).prop_map(|(k, c, v)| Step::Set(k, c, v)),
        (0..12_i64).prop_map(Step::Delete),
    ]
}

fn run_model(base: &Model, steps: &[Step]) -> Model {
    let mut model = base.clone();
    for step in steps {
        match *step {
            Step::Put(key, values) => drop(model.insert(key, values)),
            Step::Set(key, column, value) => {
                if let Some(row) = model.get_mut(&key) {
                    row[column] = value;
                }
            }
            Step::Delete(key) => drop(model.remove(&key)),
        }
    }
    model
}

/// Key by key and column by column, without any cleverness; and the number of conflicts.
fn merge_model(base: &Model, ours: &Model, theirs: &Model, ours_win: bool) -> (Model, u64) {
    let (mut merged, mut conflicts) = (Model::new(), 0);
    for key in 0..12 {
        let (b, o, t) = (base.get(&key), ours.get(&key), theirs.get(&key));
        let row = if o == b {
            t.copied()
        } else if t == b || o == t {
            o.copied()
        } else if let (Some(b), Some(o), Some(t)) = (b, o, t) {
            let mut row = *o;
            let mut is_conflict = false;
            for column in 0..3 {
                if o[column] == b[column] {
                    row[column] = t[column];
                } else if t[column] != b[column] && t[column] != o[column] {
                    is_conflict = true;
                    if !ours_win {
                        row[column] = t[column];
                    }
                }
            }
            conflicts += u64::from(is_conflict);
            Some(row)
        } else {
            conflicts += 1;
            if ours_win { o.copied() } else { t.copied() }
        };
        if let Some(row) = row {
            merged.insert(key, row);
        }
    }
    (merged, conflicts)
}

fn insert_sql(model: &Model, schema: &str) -> String {
    let rows: Vec<String> = model
        .iter()
        .map(|(key, [a, b, c])| format!("INSERT INTO t VALUES ({key}, {a}, {b}, {c})"))
        .collect();
    let rows = rows.join(";");
    format!("{schema}; {rows}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn merging_is_what_a_naive_merge_of_cells_gives(
        ours in proptest::collection::vec(step(), 0..10),
        theirs in proptest::collection::vec(step(), 0..10),
        schema in 0..3_usize,
    ) {
        let schema = [
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c)",
            "CREATE TABLE t(id TEXT PRIMARY KEY, a, b, c)",
            "CREATE TABLE t(id INT PRIMARY KEY, a, b, c) WITHOUT ROWID",
        ][schema];
        let base: Model = (0..7).map(|key| (key, [key % 3, 1, 2])).collect();
        let (our_rows, their_rows) = (run_model(&base, &ours), run_model(&base, &theirs));
        let three = Three {
            base: PathBuf::new(),
            ours: PathBuf::new(),
            theirs: PathBuf::new(),
            folder: Folder::new(),
        };
        let create = |name: &str, model: &Model| three.folder.create(name, &insert_sql(model, schema));
        let three = Three {
            base: create("base.db", &base),
            ours: create("ours.db", &our_rows),
            theirs: create("theirs.db", &their_rows),
            ..three
        };
        for (policy, back, ours_win) in [
            (MergePolicy::Ours, MergePolicy::Theirs, true),
            (MergePolicy::Theirs, MergePolicy::Ours, false),
        ] {
            let (expected, conflicts) = merge_model(&base, &our_rows, &their_rows, ours_win);
            let expected = three.folder.create("expected.db", &insert_sql(&expected, schema));
            let merge = three.merge(policy);
            prop_assert_eq!(merge.conflicts_count, conflicts, "{:?}", merge.conflicts);
            prop_assert_eq!(three.merge(MergePolicy::Abort).diff.is_none(), conflicts > 0);
            prop_assert_eq!(three.applied(&three.ours, merge).unwrap(), content(&expected));
            let merge = three.merge_back(back);
            prop_assert_eq!(three.applied(&three.theirs, merge).unwrap(), content(&expected));
            remove(&expected);
        }
    }
}

/// What one side does to the definition of `t`, and to its rows.
fn side() -> impl Strategy<Value = (String, String)> {
    let definition = prop::sample::select(vec![
        "",
        "ALTER TABLE t ADD COLUMN c DEFAULT 'one';",
        "ALTER TABLE t ADD COLUMN c INT; ALTER TABLE t ADD COLUMN d TEXT DEFAULT 'd';",
        "ALTER TABLE t RENAME COLUMN a TO x;",
        "ALTER TABLE t RENAME COLUMN a TO y;",
        "ALTER TABLE t DROP COLUMN b;",
        "CREATE INDEX i ON t(b, id); ALTER TABLE t ADD COLUMN e;",
        "CREATE TABLE n(id INTEGER PRIMARY KEY, b COLLATE NOCASE, u UNIQUE, a);
         INSERT INTO n SELECT id, b, u, a FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t;",
    ]);
    // Values of their own in the unique column: clashes there are no policy's business.
    let rows = prop::collection::vec(
        prop_oneof![
            (1..8_i64, 0..9_i64)
                .prop_map(|(id, v)| format!("UPDATE t SET u = u + {v}00 WHERE id = {id};")),
            (1..8_i64).prop_map(|id| format!("DELETE FROM t WHERE id = {id};")),
            (20..26_i64).prop_map(|id| format!("INSERT OR IGNORE INTO t(id) VALUES ({id});")),
        ],
        0..5,
    );
    (definition, rows).prop_map(|(definition, rows)| (definition.to_owned(), rows.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_settled_table_has_the_winners_definition_and_is_the_same_from_both_sides(
        ours in side(),
        theirs in side(),
    ) {
        let base = "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, u UNIQUE);
            INSERT INTO t SELECT value, 'a' || value, 'b' || value, value
            FROM json_each('[1,2,3,4,5,6,7]');";
        let sql = |(definition, rows): &(String, String), unique: i64| {
            format!("{rows} UPDATE t SET u = u * 2 + {unique} WHERE u > 99; {definition}")
        };
        let three = Three::new(base, &sql(&ours, 10_000), &sql(&theirs, 20_001));
        for (policy, back, winner) in [
            (MergePolicy::Ours, MergePolicy::Theirs, &three.ours),
            (MergePolicy::Theirs, MergePolicy::Ours, &three.theirs),
        ] {
            let from_ours = three.applied(&three.ours, three.settled(policy));
            let from_theirs = three.applied(&three.theirs, three.settled_back(back));
            let from_ours = from_ours.unwrap_or_else(|error| panic!("{policy:?}: {error}"));
            prop_assert_eq!(&from_ours, &from_theirs.unwrap());
            // No row that both sides kept is lost, and none that nobody had comes.
            let ids = |file: &Path| -> Vec<i64> {
                let conn = open(file);
                let mut stmt = conn.prepare("SELECT id FROM t ORDER BY id").unwrap();
                stmt.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            };
            let merged = three.folder.copy(&three.ours, "ids.db", "");
            apply(&three.settled(policy).into_diff().unwrap(), &open(&merged)).unwrap();
            let definition = |file: &Path| -> String {
                let sql = "SELECT sql FROM sqlite_schema WHERE name = 't'";
                open(file).query_row(sql, [], |row| row.get(0)).unwrap()
            };
            if !ours.0.is_empty() && !theirs.0.is_empty() {
                prop_assert_eq!(definition(&merged), definition(winner));
            }
            let (ours, theirs, merged_ids) = (ids(&three.ours), ids(&three.theirs), ids(&merged));
            remove(&merged);
            prop_assert!(ours.iter().filter(|id| theirs.contains(id)).all(|id| merged_ids.contains(id)));
            prop_assert!(merged_ids.iter().all(|id| ours.contains(id) || theirs.contains(id)));
        }
    }
}
