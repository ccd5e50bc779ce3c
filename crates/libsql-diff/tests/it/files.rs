//! Diff files: whole, or refused.

use std::ops::ControlFlow;

use libsql_diff::{
    Diff, DiffWriter, Encoding, Error, FileKind, Operation, Options, Rowids, Sink, apply, diff,
    diff_with,
};

use crate::support::{Folder, content, open, operations};

fn small() -> (Folder, Diff) {
    let folder = Folder::new();
    let a = folder.create(
        "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'a'), (2, 'b');",
    );
    let b = folder.copy(
        &a,
        "b.db",
        "UPDATE t SET v = 2.5 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, x'00');
         CREATE INDEX i ON t(v); CREATE TABLE n(x REFERENCES t); ALTER TABLE t ADD COLUMN w DEFAULT 'w';
         PRAGMA user_version = 3;",
    );
    let found = diff(&a, &b).unwrap();
    (folder, found)
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let (_folder, found) = small();
    let mut bytes = Vec::new();
    found.write_to(&mut bytes).unwrap();
    assert_eq!(operations(&Diff::from_bytes(bytes.clone()).unwrap()), operations(&found));
    assert_eq!(FileKind::of_bytes(&bytes), FileKind::Diff);
    for length in 0..bytes.len() {
        let outcome = Diff::from_bytes(bytes[..length].to_vec());
        assert!(matches!(outcome, Err(Error::Format { .. })), "{length}: {outcome:?}");
    }
    bytes.push(0);
    assert!(Diff::from_bytes(bytes).is_err());
}

#[test]
fn a_file_with_any_bit_altered_is_refused() {
    let (_folder, found) = small();
    let mut bytes = Vec::new();
    found.write_to(&mut bytes).unwrap();
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            bytes[at] ^= bit;
            let outcome = Diff::from_bytes(bytes.clone());
            assert!(outcome.is_err(), "byte {at}, bit {bit}");
            bytes[at] ^= bit;
        }
    }
}

#[test]
fn a_file_of_a_later_version_is_named() {
    let (folder, found) = small();
    let mut bytes = Vec::new();
    found.write_to(&mut bytes).unwrap();
    bytes[16] = 2;
    let path = folder.path("later.diff");
    std::fs::write(&path, &bytes).unwrap();
    let error = Diff::open(&path).unwrap_err();
    assert!(matches!(error, Error::Version { found: 2, supported: 1, .. }), "{error}");
    assert!(error.to_string().contains("later.diff"), "{error}");
}

#[test]
fn operations_that_contradict_each_other_are_refused_when_read() {
    let (_folder, found) = small();
    let all = operations(&found);
    // Each of the first operations left out: rows without their table, tables without an end.
    for left_out in 0..all.len() {
        if matches!(all[left_out], Operation::Table(_) | Operation::EndTable(_)) {
            let mut writer = DiffWriter::new(Encoding::Utf8, Encoding::Utf8);
            for (index, operation) in all.iter().enumerate() {
                if index != left_out {
                    writer.operation(operation.clone()).unwrap();
                }
            }
            let mut bytes = Vec::new();
            writer.finish().unwrap().write_to(&mut bytes).unwrap();
            assert!(matches!(Diff::from_bytes(bytes), Err(Error::Format { .. })), "{left_out}");
        }
    }
}

#[test]
fn large_differences_go_through_a_temporary_file() {
    let folder = Folder::new();
    let a = folder.create("a.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, v);");
    let b = folder.copy(
        &a,
        "b.db",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
         INSERT INTO t SELECT i, randomblob(2000000) FROM n;",
    );
    let found = diff(&a, &b).unwrap();
    assert!(found.size_bytes() > 17 << 20);
    let saved = folder.path("saved.diff");
    found.save(&saved).unwrap();
    apply(&Diff::open(&saved).unwrap(), &open(&a)).unwrap();
    assert!(diff(&a, &b).unwrap().is_empty());
}

#[test]
fn rowids_are_compared_where_they_are_data() {
    let folder = Folder::new();
    let a = folder.create(
        "a.db",
        "CREATE TABLE t(k TEXT PRIMARY KEY, v); INSERT INTO t(rowid, k, v) VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);",
    );
    let b = folder.copy(
        &a,
        "b.db",
        "UPDATE t SET rowid = rowid + 10; UPDATE t SET v = 9 WHERE k = 'b';",
    );
    assert_eq!(diff(&a, &b).unwrap().summary().rows_changed(), 1);
    let options = Options { rowids: Rowids::Always, ..Options::default() };
    let found = diff_with(&a, &b, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(found.summary().rows_changed(), 6);
    apply(&found, &open(&a)).unwrap();
    let rest = diff_with(&a, &b, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn collations_of_a_program_are_left_to_it() {
    let folder = Folder::new();
    let create = |name: &str, sql: &str| {
        let path = folder.create(name, sql);
        // As if another program had registered it; here nobody knows it.
        open(&path)
            .execute_batch(
                "PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'own');",
            )
            .unwrap();
        path
    };
    let table = "CREATE TABLE t(k TEXT PRIMARY KEY COLLATE NOCASE, v); INSERT INTO t VALUES ('b', 1), ('c', 2);";
    let a = create("a.db", table);
    let b = create("b.db", &format!("{table} UPDATE t SET v = 3 WHERE k = 'c';"));
    // Such a key cannot be looked up here, so the rowid tells rows apart.
    assert_eq!(diff(a, b).unwrap().summary().rows_changed(), 1);
    let table = "CREATE TABLE w(k TEXT PRIMARY KEY COLLATE NOCASE, v) WITHOUT ROWID;";
    let c = create("c.db", table);
    let d = create("d.db", &format!("{table} INSERT INTO w VALUES ('a', 1);"));
    let error = diff(c, d).unwrap_err();
    assert!(matches!(error, Error::UnknownCollation { .. }), "{error}");
}

#[test]
fn text_that_utf16_cannot_hold_is_an_error_not_another_text() {
    let folder = Folder::new();
    let a = folder.create(
        "a.db",
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(k TEXT PRIMARY KEY, v);
         INSERT INTO t VALUES (char(65533), 1);",
    );
    let b = folder.create(
        "b.db",
        "CREATE TABLE t(k TEXT PRIMARY KEY, v); INSERT INTO t VALUES (CAST(x'ff' AS TEXT), 1);",
    );
    let found = diff(&a, &b).unwrap();
    assert_eq!(found.summary().rows_changed(), 2);
    let before = content(&a);
    let error = apply(&found, &open(&a)).unwrap_err();
    assert!(error.to_string().contains("UTF-16"), "{error}");
    assert_eq!(content(&a), before);
    assert!(found.write_sql(&mut Vec::new()).is_err());
    // The other way round nothing is lost.
    apply(&diff(&b, &a).unwrap(), &open(&b)).unwrap();
    assert!(diff(&b, &a).unwrap().is_empty());
}
