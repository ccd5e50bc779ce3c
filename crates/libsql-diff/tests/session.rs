//! Changesets, beside SQLite's own session extension: what one writes the other reads.
//!
//! A test binary of its own, because the extension wants SQLite built with a hook that slows down
//! every change.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the other tests, which use all of it")]
#[path = "it/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use libsql_diff::{
    ChangedRow, Changeset, ChangesetApplied, ChangesetKind, ConflictKind, Diff, Error, FileKind,
    OmissionReason, OnConflict, Progress, diff,
};
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::session::{ConflictAction, ConflictType, Session, invert_strm};

use support::{Folder, content, open, remove};

fn on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Makes both changesets without anything left out.
fn whole(diff: &Diff, kind: ChangesetKind) -> Changeset {
    let (changeset, omissions) = Changeset::of(diff, kind).unwrap();
    assert_eq!(omissions, []);
    changeset
}

fn apply_here(changeset: &Changeset, path: &Path) -> ChangesetApplied {
    changeset.apply(&open(path), OnConflict::Abort, &mut on).unwrap()
}

/// Lets SQLite apply it, and insists that it meets no conflict.
fn apply_there(changeset: &[u8], path: &Path) {
    let mut input = changeset;
    let conn = open(path);
    // Else a cascade deletes what the changeset deletes too.
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    conn.apply_strm(&mut input, None::<fn(&str) -> bool>, |conflict, item| {
        panic!("{conflict:?} {:?}", item.op().map(|op| op.code()));
    })
    .unwrap();
}

/// What SQLite records while `sql` runs.
fn recorded(path: &Path, sql: &str, kind: ChangesetKind) -> Vec<u8> {
    let conn = open(path);
    let mut session = Session::new(&conn).unwrap();
    session.attach(None).unwrap();
    conn.execute_batch(sql).unwrap();
    let mut bytes = Vec::new();
    match kind {
        ChangesetKind::Changeset => session.changeset_strm(&mut bytes).unwrap(),
        ChangesetKind::Patchset => session.patchset_strm(&mut bytes).unwrap(),
    }
    bytes
}

/// Changes without their order, which the format leaves open.
fn changes(changeset: &Changeset) -> BTreeSet<String> {
    changeset
        .changes()
        .map(Result::unwrap)
        .map(|c| format!("{} {:?} {:?}", c.table.name, c.table.key, c.row))
        .collect()
}

/// Tables that SQLite's session extension can record, and changes of them without unique values
/// that go round.
const CASES: [(&str, &str); 9] = [
    (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b, c REAL);
         INSERT INTO t VALUES (1, 'x', 1, 1.5), (2, '', x'', 9e999), (3, NULL, NULL, NULL),
           (-5, 'y', 9223372036854775807, -9e999);",
        "UPDATE t SET a = 'changed', b = 1.0 WHERE id = 1; DELETE FROM t WHERE id = 2;
         INSERT INTO t VALUES (7, 'a''b;', x'00ff', 2), (9223372036854775807, NULL, '', -0.5);
         UPDATE t SET b = NULL WHERE id = -5;",
    ),
    (
        "CREATE TABLE t(b, a TEXT, c, d, PRIMARY KEY(c, a)) WITHOUT ROWID;
         INSERT INTO t VALUES (1, 'k', 1, 1), (2, 'l', 1, 2), (3, 'k', 'y', 3);",
        "UPDATE t SET b = 'new' WHERE a = 'l'; DELETE FROM t WHERE c = 'y';
         INSERT INTO t VALUES (9, '', 2.5, x'01');",
    ),
    (
        "CREATE TABLE t(x, y INT, z TEXT, PRIMARY KEY(z, x));
         INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (x'00', 3, 'a');",
        "UPDATE t SET y = 9 WHERE z = 'b'; UPDATE t SET x = 5 WHERE y = 3; INSERT INTO t VALUES (7, 7, 'q');",
    ),
    (
        "CREATE TABLE t(k TEXT PRIMARY KEY COLLATE NOCASE, v); INSERT INTO t VALUES ('abc', 1), ('DEF', 2);",
        "UPDATE t SET k = 'ABC' WHERE k = 'abc'; UPDATE t SET v = 3 WHERE k = 'def';",
    ),
    (
        "CREATE TABLE \"a \"\"b; c\"(\"select\" INTEGER PRIMARY KEY, \"x'y\" TEXT);
         INSERT INTO \"a \"\"b; c\" VALUES (1, 'x'); CREATE TABLE other(a PRIMARY KEY, b); CREATE TABLE quiet(a PRIMARY KEY);",
        "UPDATE \"a \"\"b; c\" SET \"x'y\" = 'z'; INSERT INTO other VALUES ('p', 'q'), ('r', 's');",
    ),
    (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES (5, 'a'), (6, 'b'), (7, 'c');",
        "DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (1, 'a'); UPDATE t SET u = 'd' WHERE id = 6;
         UPDATE t SET u = 'b' WHERE id = 7;",
    ),
    (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, big); INSERT INTO t VALUES (1, zeroblob(100000)), (2, hex(zeroblob(70000)));",
        "UPDATE t SET big = big || 'x' WHERE id = 2; INSERT INTO t VALUES (3, zeroblob(3000000));
         DELETE FROM t WHERE id = 1;",
    ),
    (
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);
         INSERT INTO p VALUES (1), (2), (3); INSERT INTO c VALUES (1, 1), (2, 1), (3, 2);",
        "PRAGMA foreign_keys = ON; DELETE FROM p WHERE id = 1; INSERT INTO c VALUES (9, 3);",
    ),
    (
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
         INSERT INTO t VALUES ('ä', '€'), ('z', '😀');",
        "UPDATE t SET v = 'ß' WHERE k = 'ä'; INSERT INTO t VALUES ('ü', ''); DELETE FROM t WHERE k = 'z';",
    ),
];

const KINDS: [ChangesetKind; 2] = [ChangesetKind::Changeset, ChangesetKind::Patchset];

#[test]
fn sqlite_applies_what_is_written_here() {
    for (sql, change) in CASES {
        let folder = Folder::new();
        let a = folder.create("a.db", sql);
        let b = folder.copy(&a, "b.db", change);
        let found = diff(&a, &b).unwrap();
        for kind in KINDS {
            let changeset = whole(&found, kind);
            let c = folder.copy(&a, "c.db", "");
            apply_there(changeset.as_bytes(), &c);
            assert_eq!(content(&c), content(&b), "{kind:?} {change}");
            remove(&c);
            let c = folder.copy(&a, "c.db", "");
            apply_here(&changeset, &c);
            assert_eq!(content(&c), content(&b), "{kind:?} {change}");
            remove(&c);
        }
    }
}

#[test]
fn what_sqlite_records_is_applied_here() {
    for (sql, change) in CASES {
        // SQLite records two changes of one row if its key changes only for the eye.
        if sql.contains("NOCASE") {
            continue;
        }
        let folder = Folder::new();
        let a = folder.create("a.db", sql);
        for kind in KINDS {
            let b = folder.copy(&a, "b.db", "");
            let bytes = recorded(&b, change, kind);
            let changeset = Changeset::from_bytes(bytes).unwrap();
            assert_eq!(changeset.kind(), kind);
            let c = folder.copy(&a, "c.db", "");
            let applied = apply_here(&changeset, &c);
            assert_eq!(content(&c), content(&b), "{kind:?} {change}");
            let counted: u64 = changeset
                .summary()
                .unwrap()
                .iter()
                .map(|table| table.inserted + table.updated + table.deleted)
                .sum();
            assert_eq!(applied.inserted + applied.updated + applied.deleted, counted);
            assert_eq!((applied.skipped, applied.replaced), (0, 0));
            remove(&b);
            remove(&c);
        }
    }
}

#[test]
fn both_say_the_same_about_two_databases() {
    for (sql, change) in CASES {
        let folder = Folder::new();
        let a = folder.create("a.db", sql);
        let b = folder.copy(&a, "b.db", change);
        for kind in KINDS {
            let here = whole(&diff(&a, &b).unwrap(), kind);
            let conn = open(&b);
            conn.execute("ATTACH ?1 AS a", [a.to_str().unwrap()]).unwrap();
            let mut session = Session::new(&conn).unwrap();
            let tables: Vec<String> =
                here.summary().unwrap().iter().map(|s| s.table.name.clone()).collect();
            for table in &tables {
                session.attach(Some(table)).unwrap();
                session.diff(rusqlite::DatabaseName::Attached("a"), table).unwrap();
            }
            let mut there = Vec::new();
            match kind {
                ChangesetKind::Changeset => session.changeset_strm(&mut there).unwrap(),
                ChangesetKind::Patchset => session.patchset_strm(&mut there).unwrap(),
            }
            let there = Changeset::from_bytes(there).unwrap();
            // SQLite compares keys through their collation and then loses how they are written.
            if !sql.contains("NOCASE") {
                assert_eq!(changes(&here), changes(&there), "{kind:?} {change}");
            }
        }
    }
}

#[test]
fn the_inverse_leads_back_by_either_applier() {
    for (sql, change) in CASES {
        let folder = Folder::new();
        let a = folder.create("a.db", sql);
        let b = folder.copy(&a, "b.db", change);
        let changeset = whole(&diff(&a, &b).unwrap(), ChangesetKind::Changeset);
        let inverse = changeset.invert().unwrap();
        let mut there = Vec::new();
        invert_strm(&mut changeset.as_bytes(), &mut there).unwrap();
        assert_eq!(changes(&inverse), changes(&Changeset::from_bytes(there).unwrap()));
        assert_eq!(changes(&inverse.invert().unwrap()), changes(&changeset));
        let c = folder.copy(&b, "c.db", "");
        apply_here(&inverse, &c);
        assert_eq!(content(&c), content(&a), "{change}");
        remove(&c);
        let c = folder.copy(&b, "c.db", "");
        apply_there(inverse.as_bytes(), &c);
        assert_eq!(content(&c), content(&a), "{change}");
        let patchset = whole(&diff(&a, &b).unwrap(), ChangesetKind::Patchset);
        assert!(matches!(patchset.invert(), Err(Error::Unsupported { .. })));
    }
}

#[test]
fn unique_values_that_go_round_are_applied_here_and_refused_there() {
    let folder = Folder::new();
    let a = folder.create(
        "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, v);
         INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);",
    );
    let b = folder.copy(
        &a,
        "b.db",
        "UPDATE t SET u = NULL; UPDATE t SET u = 'b' WHERE id = 1; UPDATE t SET u = 'c' WHERE id = 2;
         UPDATE t SET u = 'a' WHERE id = 3;",
    );
    for kind in KINDS {
        let changeset = whole(&diff(&a, &b).unwrap(), kind);
        let c = folder.copy(&a, "c.db", "");
        apply_here(&changeset, &c);
        assert_eq!(content(&c), content(&b));
        remove(&c);
        let c = folder.copy(&a, "c.db", "");
        let mut input = changeset.as_bytes();
        let outcome = open(&c).apply_strm(&mut input, None::<fn(&str) -> bool>, |conflict, _| {
            assert_eq!(conflict, ConflictType::SQLITE_CHANGESET_CONSTRAINT);
            ConflictAction::SQLITE_CHANGESET_ABORT
        });
        assert!(outcome.is_err());
        assert_eq!(content(&c), content(&a));
        remove(&c);
    }
}

#[test]
fn what_the_format_cannot_express_is_listed() {
    let folder = Folder::new();
    let a = folder.create(
        "a.db",
        "CREATE TABLE keyless(a); CREATE TABLE nullable(a, b, v, PRIMARY KEY(a, b));
         CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, v);
         CREATE TABLE kept(id INTEGER PRIMARY KEY AUTOINCREMENT, v);
         CREATE TABLE widened(id INTEGER PRIMARY KEY); CREATE TABLE gone(id INTEGER PRIMARY KEY, x);
         CREATE VIRTUAL TABLE f USING fts5(x); CREATE INDEX i ON keyless(a);
         INSERT INTO nullable VALUES (NULL, 1, 1), (1, 1, 1);",
    );
    let b = folder.copy(
        &a,
        "b.db",
        "INSERT INTO keyless VALUES (1), (2); UPDATE nullable SET v = 2;
         INSERT INTO counted VALUES (1, 1), (5, 2); DELETE FROM counted WHERE id = 5;
         INSERT INTO kept VALUES (1, 1), (5, 2);
         ALTER TABLE widened ADD COLUMN w; INSERT INTO widened VALUES (1, 1);
         DROP TABLE gone; INSERT INTO f VALUES ('text'); DROP INDEX i;
         CREATE TABLE comes(id INTEGER PRIMARY KEY); INSERT INTO comes VALUES (1), (2), (3);
         CREATE VIEW v AS SELECT 1; PRAGMA user_version = 4;",
    );
    let (changeset, omissions) =
        Changeset::of(&diff(&a, &b).unwrap(), ChangesetKind::Changeset).unwrap();
    let found: BTreeSet<(String, String, u64)> = omissions
        .into_iter()
        .map(|omission| (omission.subject, format!("{:?}", omission.reason), omission.rows))
        .collect();
    let expected = [
        ("table keyless", OmissionReason::NoPrimaryKey, 2),
        // One row before and one after: without a key there is no update.
        ("table nullable", OmissionReason::NullKey, 2),
        ("table counted", OmissionReason::Sequence, 0),
        ("table widened", OmissionReason::Definition, 1),
        ("table gone", OmissionReason::Definition, 0),
        ("table comes", OmissionReason::Definition, 3),
        ("table f", OmissionReason::VirtualTable, 1),
        ("index i", OmissionReason::Definition, 0),
        ("view v", OmissionReason::Definition, 0),
        ("user_version", OmissionReason::Setting, 0),
    ];
    let expected: BTreeSet<(String, String, u64)> = expected
        .into_iter()
        .map(|(subject, reason, rows)| (subject.to_owned(), format!("{reason:?}"), rows))
        .collect();
    assert_eq!(found, expected);
    let tables: Vec<String> =
        changeset.summary().unwrap().iter().map(|summary| summary.table.name.clone()).collect();
    assert_eq!(tables, ["nullable", "counted", "kept"]);
}

#[test]
fn the_key_bytes_hold_each_columns_place_in_the_key() {
    let folder = Folder::new();
    let a = folder.create("a.db", "CREATE TABLE t(a, b, c, d, PRIMARY KEY(d, a, c));");
    let b = folder.copy(&a, "b.db", "INSERT INTO t VALUES (1, 2, 3, 4);");
    let changeset = whole(&diff(&a, &b).unwrap(), ChangesetKind::Changeset);
    assert_eq!(changeset.summary().unwrap()[0].table.key, [2, 0, 3, 1]);
    assert!(changeset.as_bytes().starts_with(b"T\x04\x02\x00\x03\x01t\0\x12\x00"));
    assert_eq!(FileKind::of_bytes(changeset.as_bytes()), FileKind::Changeset);
}

#[test]
fn a_table_of_any_width_is_recognized_and_applied() {
    for width in [1, 8, 9, 64, 127, 128, 200, 600] {
        let folder = Folder::new();
        let columns: Vec<String> = (0..width).map(|i| format!("c{i}")).collect();
        let last = width - 1;
        let a = folder.create(
            "a.db",
            &format!(
                "CREATE TABLE t({}, PRIMARY KEY(c{last})); INSERT INTO t(c{last}) VALUES (1), (2);",
                columns.join(", ")
            ),
        );
        let b = folder.copy(
            &a,
            "b.db",
            &format!("DELETE FROM t WHERE c{last} = 1; INSERT INTO t(c{last}) VALUES (3); UPDATE t SET c0 = 5 WHERE c{last} = 2;"),
        );
        for kind in KINDS {
            let changeset = whole(&diff(&a, &b).unwrap(), kind);
            assert_eq!(
                FileKind::of_bytes(&changeset.as_bytes()[..64.min(changeset.as_bytes().len())]),
                FileKind::Changeset
            );
            let c = folder.copy(&a, "c.db", "");
            apply_there(changeset.as_bytes(), &c);
            assert_eq!(content(&c), content(&b), "{width}");
            remove(&c);
            let c = folder.copy(&a, "c.db", "");
            apply_here(&changeset, &c);
            assert_eq!(content(&c), content(&b), "{width}");
            remove(&c);
        }
    }
}

const BASE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v, u UNIQUE);
    INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);";

/// A changeset made on the base, applied to a base that has changed in another way.
fn applied_to(
    change: &str,
    meanwhile: &str,
    on_conflict: OnConflict,
) -> (Result<ChangesetApplied, Error>, String) {
    let folder = Folder::new();
    let a = folder.create("a.db", BASE);
    let b = folder.copy(&a, "b.db", change);
    let changeset = whole(&diff(&a, &b).unwrap(), ChangesetKind::Changeset);
    let c = folder.copy(&a, "c.db", meanwhile);
    let outcome = changeset.apply(&open(&c), on_conflict, &mut on);
    let rows: Vec<String> = open(&c)
        .prepare("SELECT id || v || ifnull(u, '-') FROM t ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    (outcome, rows.join(" "))
}

#[test]
fn conflicts_are_settled_as_asked() {
    // What the changeset does, what happened meanwhile, the conflict, the rows after skipping and
    // after replacing; None where replacing stops.
    let cases = [
        (
            "UPDATE t SET v = 'x' WHERE id = 1",
            "UPDATE t SET v = 'y' WHERE id = 1",
            ConflictKind::Changed,
            "1y1 2b2 3c3",
            Some("1x1 2b2 3c3"),
        ),
        (
            "DELETE FROM t WHERE id = 1",
            "UPDATE t SET v = 'y' WHERE id = 1",
            ConflictKind::Changed,
            "1y1 2b2 3c3",
            Some("2b2 3c3"),
        ),
        (
            "UPDATE t SET v = 'x' WHERE id = 1",
            "DELETE FROM t WHERE id = 1",
            ConflictKind::Missing,
            "2b2 3c3",
            Some("2b2 3c3"),
        ),
        (
            "DELETE FROM t WHERE id = 1",
            "DELETE FROM t WHERE id = 1",
            ConflictKind::Missing,
            "2b2 3c3",
            Some("2b2 3c3"),
        ),
        (
            "INSERT INTO t VALUES (4, 'x', 4)",
            "INSERT INTO t VALUES (4, 'y', 5)",
            ConflictKind::Exists,
            "1a1 2b2 3c3 4y5",
            Some("1a1 2b2 3c3 4x4"),
        ),
        (
            "INSERT INTO t VALUES (4, 'x', 4)",
            "INSERT INTO t VALUES (5, 'y', 4)",
            ConflictKind::Constraint,
            "1a1 2b2 3c3 5y4",
            None,
        ),
        (
            "UPDATE t SET u = 9 WHERE id = 1",
            "INSERT INTO t VALUES (5, 'y', 9)",
            ConflictKind::Constraint,
            "1a1 2b2 3c3 5y9",
            None,
        ),
    ];
    for (change, meanwhile, kind, skipped, replaced) in cases {
        // Another change that fits, to see that everything or nothing is applied.
        let change = format!("{change}; UPDATE t SET v = 'fits' WHERE id = 3");
        let fitting = |rows: &str| rows.replace("3c3", "3fits3");
        let (outcome, rows) = applied_to(&change, meanwhile, OnConflict::Abort);
        let Err(Error::Conflict(conflict)) = outcome else { panic!("{change}: {outcome:?}") };
        assert_eq!((conflict.kind, conflict.table.as_str()), (kind, "t"), "{change}");
        assert_eq!(rows, skipped, "{change}");
        let (outcome, rows) = applied_to(&change, meanwhile, OnConflict::Skip);
        let applied = outcome.unwrap();
        assert_eq!((applied.skipped, applied.replaced), (1, 0), "{change}");
        assert_eq!(applied.conflicts[0].kind, kind, "{change}");
        assert_eq!(rows, fitting(skipped), "{change}");
        let (outcome, rows) = applied_to(&change, meanwhile, OnConflict::Replace);
        match replaced {
            Some(replaced) => {
                let applied = outcome.unwrap();
                let is_missing = kind == ConflictKind::Missing;
                let expected = (u64::from(is_missing), u64::from(!is_missing));
                assert_eq!((applied.skipped, applied.replaced), expected, "{change}");
                assert_eq!(rows, fitting(replaced), "{change}");
            }
            None => assert!(matches!(outcome, Err(Error::Conflict(_))), "{change}"),
        }
    }
}

#[test]
fn tables_that_do_not_fit_are_never_passed_over() {
    let folder = Folder::new();
    let a = folder.create("a.db", "CREATE TABLE t(a, b, PRIMARY KEY(a, b));");
    let b = folder.copy(&a, "b.db", "INSERT INTO t VALUES (1, 2);");
    let changeset = whole(&diff(&a, &b).unwrap(), ChangesetKind::Changeset);
    for sql in [
        "CREATE TABLE u(a, b, PRIMARY KEY(a, b));",
        "CREATE VIEW t AS SELECT 1 AS a, 2 AS b;",
        "CREATE TABLE t(a, b);",
        "CREATE TABLE t(a PRIMARY KEY, b);",
        "CREATE TABLE t(a PRIMARY KEY);",
        "CREATE VIRTUAL TABLE t USING fts5(a, b);",
    ] {
        let folder = Folder::new();
        let c = folder.create("c.db", sql);
        for on_conflict in [OnConflict::Abort, OnConflict::Skip, OnConflict::Replace] {
            let outcome = changeset.apply(&open(&c), on_conflict, &mut on);
            let Err(Error::Conflict(conflict)) = outcome else { panic!("{sql}: {outcome:?}") };
            assert_eq!(conflict.kind, ConflictKind::Schema, "{sql}");
        }
    }
    // More columns than the changeset knows are filled with their defaults, as SQLite does.
    let c = folder.create("c.db", "CREATE TABLE t(a, b, c DEFAULT 'd', PRIMARY KEY(a, b));");
    apply_here(&changeset, &c);
    let found: String = open(&c).query_row("SELECT a || b || c FROM t", [], |r| r.get(0)).unwrap();
    assert_eq!(found, "12d");
}

#[test]
fn a_changeset_keeps_triggers_still_and_brings_no_dangling_references() {
    let folder = Folder::new();
    let a = folder.create(
        "a.db",
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p);
         CREATE TABLE log(id INTEGER PRIMARY KEY, what);
         CREATE TRIGGER tr AFTER INSERT ON c BEGIN INSERT INTO log(what) VALUES (new.id); END;
         INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 1), (2, 77);",
    );
    let b = folder.copy(&a, "b.db", "INSERT INTO c VALUES (3, 2);");
    let changeset = whole(&diff(&a, &b).unwrap(), ChangesetKind::Changeset);
    let c = folder.copy(&a, "c.db", "");
    apply_here(&changeset, &c);
    assert_eq!(content(&c), content(&b));
    let without_parent = folder.copy(&a, "d.db", "DELETE FROM p WHERE id = 2;");
    let before = content(&without_parent);
    let outcome = changeset.apply(&open(&without_parent), OnConflict::Abort, &mut on);
    let Err(Error::ForeignKeys { expected: 1, found: 2, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(content(&without_parent), before);
}

#[test]
fn statistics_are_counted_not_applied() {
    let folder = Folder::new();
    let sql = "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b); INSERT INTO t VALUES (1, 1);
               CREATE TABLE x(y); ANALYZE;";
    let a = folder.create("a.db", sql);
    let b = folder.copy(&a, "b.db", "");
    let bytes = recorded(&b, "INSERT INTO t VALUES (2, 2); ANALYZE", ChangesetKind::Changeset);
    let applied = apply_here(&Changeset::from_bytes(bytes).unwrap(), &a);
    assert_eq!((applied.inserted, applied.skipped), (1, 1));
}

#[test]
fn files_that_are_cut_off_or_altered_are_refused() {
    let folder = Folder::new();
    let a = folder.create("a.db", CASES[0].0);
    let b = folder.copy(&a, "b.db", CASES[0].1);
    let changeset = whole(&diff(&a, &b).unwrap(), ChangesetKind::Changeset);
    let bytes = changeset.as_bytes();
    let whole_changes: Vec<usize> = {
        // Cutting between two changes leaves a changeset, only a shorter one.
        let lengths =
            (1..bytes.len()).filter(|n| Changeset::from_bytes(bytes[..*n].to_vec()).is_ok());
        lengths.collect()
    };
    let summary = &changeset.summary().unwrap()[0];
    let count = summary.inserted + summary.updated + summary.deleted;
    assert_eq!(whole_changes.len() as u64, count - 1);
    let path = folder.path("changes");
    changeset.save(&path).unwrap();
    assert_eq!(Changeset::open(&path).unwrap(), changeset);
    assert!(Changeset::from_bytes(b"SELECT 1".to_vec()).is_err());
    assert!(Changeset::from_bytes(Vec::new()).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Bytes of any kind are read or refused, without a panic.
    #[test]
    fn altered_bytes_never_panic(at in 0..400_usize, byte: u8) {
        let folder = Folder::new();
        let a = folder.create("a.db", CASES[0].0);
        let b = folder.copy(&a, "b.db", CASES[0].1);
        let mut bytes = whole(&diff(&a, &b).unwrap(), ChangesetKind::Changeset).as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(changeset) = Changeset::from_bytes(bytes) {
            let _ = changeset.apply(&open(&a), OnConflict::Skip, &mut on);
        }
    }

    #[test]
    fn joining_gives_what_sqlite_gives(
        first in proptest::collection::vec((0..3_u8, 0..6_i64, 0..4_i64), 1..12),
        second in proptest::collection::vec((0..3_u8, 0..6_i64, 0..4_i64), 1..12),
        is_patch: bool,
    ) {
        let kind = KINDS[usize::from(is_patch)];
        let sql = |steps: &[(u8, i64, i64)]| -> String {
            steps
                .iter()
                .map(|(what, id, v)| match what {
                    0 => format!("INSERT OR IGNORE INTO t VALUES ({id}, {v}, {});", v * 2),
                    1 => format!("UPDATE t SET a = {v} WHERE id = {id};"),
                    _ => format!("DELETE FROM t WHERE id = {id};"),
                })
                .collect()
        };
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (0, 0, 0), (1, 1, 2), (2, 2, 4);",
        )
        .unwrap();
        let mut parts = Vec::new();
        for steps in [&first, &second] {
            let mut session = Session::new(&conn).unwrap();
            session.attach(None).unwrap();
            conn.execute_batch(&sql(steps)).unwrap();
            let mut bytes = Vec::new();
            match kind {
                ChangesetKind::Changeset => session.changeset_strm(&mut bytes).unwrap(),
                ChangesetKind::Patchset => session.patchset_strm(&mut bytes).unwrap(),
            }
            parts.push(Changeset::from_bytes(bytes).unwrap());
        }
        let here = parts[0].concat(&parts[1]).unwrap();
        let mut there = Vec::new();
        rusqlite::session::concat_strm(
            &mut parts[0].as_bytes(),
            &mut parts[1].as_bytes(),
            &mut there,
        )
        .unwrap();
        prop_assert_eq!(changes(&here), changes(&Changeset::from_bytes(there).unwrap()));
    }
}

#[test]
fn changesets_that_contradict_each_other_are_not_joined() {
    let folder = Folder::new();
    let a = folder.create("a.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, v);");
    let b = folder.copy(&a, "b.db", "INSERT INTO t VALUES (1, 1);");
    let insert = whole(&diff(&a, &b).unwrap(), ChangesetKind::Changeset);
    let delete = insert.invert().unwrap();
    assert!(matches!(insert.concat(&insert), Err(Error::Unsupported { .. })));
    assert!(matches!(delete.concat(&delete), Err(Error::Unsupported { .. })));
    assert!(insert.concat(&delete).unwrap().is_empty());
    let patch = whole(&diff(&a, &b).unwrap(), ChangesetKind::Patchset);
    assert!(matches!(insert.concat(&patch), Err(Error::Unsupported { .. })));
    let change = insert.changes().next().unwrap().unwrap();
    assert!(matches!(change.row, ChangedRow::Insert { .. }));
}
