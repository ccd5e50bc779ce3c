//! Where equal pages mean equal rows, and where they do not.

use std::path::Path;

use libsql_diff::{Diff, diff};
use proptest::prelude::*;

use crate::support::{Folder, check_applying, diff_without_pages, operations, run};

/// Many pages, and rows that continue on overflow pages.
fn table(page_size: u32, definition: &str) -> String {
    format!(
        "PRAGMA page_size = {page_size}; CREATE TABLE t{definition};
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
         INSERT INTO t SELECT i, 'row ' || i,
           CASE WHEN i % 10 THEN 'short' ELSE hex(zeroblob({page_size})) END FROM n;"
    )
}

const DEFINITIONS: [&str; 4] = [
    "(id INTEGER PRIMARY KEY, name, pad)",
    "(id INT, name, pad)",
    "(id INT, name TEXT PRIMARY KEY, pad) WITHOUT ROWID",
    "(id INT, name TEXT, pad, PRIMARY KEY(pad DESC, name)) WITHOUT ROWID",
];

/// By pages and by rows; both must say the same.
fn changed(a: &Path, b: &Path) -> u64 {
    let (fast, slow) = (diff(a, b).unwrap(), diff_without_pages(a, b));
    assert_eq!(operations(&fast), operations(&slow));
    rows(&fast)
}

fn rows(diff: &Diff) -> u64 {
    diff.summary().rows_changed()
}

#[test]
fn one_changed_byte_is_found_wherever_it_is() {
    for (index, definition) in DEFINITIONS.into_iter().enumerate() {
        let page_size = if index == 0 { 4096 } else { 512 };
        let folder = Folder::new();
        let a = folder.create("a.db", &table(page_size, definition));
        for (change, expected) in [
            ("UPDATE t SET pad = 'Short' WHERE name = 'row 1'", 1),
            ("UPDATE t SET pad = 'Short' WHERE name = 'row 599'", 1),
            // The last byte of the last overflow page; the key stays first of all in the record.
            ("UPDATE t SET pad = substr(pad, 1, length(pad) - 1) || 'x' WHERE name = 'row 300'", 1),
            ("UPDATE t SET pad = 'x' || substr(pad, 2) WHERE name = 'row 310'", 1),
            ("DELETE FROM t WHERE name = 'row 300'", 1),
            ("INSERT INTO t VALUES (-5, 'new', 'new')", 1),
            ("VACUUM", 0),
            ("REINDEX", 0),
        ] {
            let b = folder.copy(&a, "b.db", change);
            let found = changed(&a, &b);
            // A key that changes is a row that goes and one that comes.
            let is_key = definition.contains("PRIMARY KEY(pad") && change.contains("SET pad");
            assert_eq!(found, expected + u64::from(is_key), "{page_size} {definition} {change}");
            assert_eq!(changed(&b, &a), found);
        }
    }
}

#[test]
fn the_same_bytes_under_another_definition_are_other_values() {
    let folder = Folder::new();
    // Whole numbers of a REAL column are stored as integers.
    let rows = "INSERT INTO t VALUES (1, 1.0), (2, 2.0), (3, 2.5);";
    let a =
        folder.create("a.db", &format!("CREATE TABLE t(id INTEGER PRIMARY KEY, v REAL); {rows}"));
    let b = folder.create(
        "b.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2), (3, 2.5);",
    );
    assert_eq!(changed(&a, &b), 2);
    check_applying(&folder, &a, &b);
    check_applying(&folder, &b, &a);
}

#[test]
fn files_of_another_layout_are_read_all_the_same() {
    let sql = table(1024, DEFINITIONS[0]);
    let layouts = [
        "",
        "PRAGMA auto_vacuum = FULL;",
        "PRAGMA auto_vacuum = INCREMENTAL;",
        "PRAGMA legacy_file_format = ON;",
        "PRAGMA journal_mode = WAL;",
    ];
    for (index, layout) in layouts.iter().enumerate() {
        let folder = Folder::new();
        let a = folder.create("a.db", &sql);
        let b = folder.create("b.db", &format!("{layout} {sql}"));
        assert_eq!(changed(&a, &b), 0, "{layout}");
        run(
            &b,
            "UPDATE t SET name = 'x' WHERE id IN (3, 599); DELETE FROM t WHERE id > 300 AND id < 305;",
        );
        assert_eq!(changed(&a, &b), 6, "{index}");
    }
}

#[test]
fn keys_sorted_downwards_are_read_in_files_from_before_there_were_any() {
    let folder = Folder::new();
    let sql = "CREATE TABLE t(a, b, PRIMARY KEY(a DESC)) WITHOUT ROWID;
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO t SELECT i, 'v' || i FROM n;";
    let a = folder.create("a.db", sql);
    let b = folder.create("b.db", &format!("PRAGMA legacy_file_format = ON; {sql}"));
    assert_eq!(changed(&a, &b), 0);
    run(&b, "UPDATE t SET b = 'x' WHERE a = 500");
    assert_eq!(changed(&a, &b), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// A damaged file leads to an error or to some difference, never to a panic.
    #[test]
    fn damaged_files_never_panic(
        definition in 0..DEFINITIONS.len(),
        damage in proptest::collection::vec((0.0..1.0_f64, any::<u8>()), 1..20),
    ) {
        let folder = Folder::new();
        let sql = table(512, DEFINITIONS[definition]).replace("i < 600", "i < 120");
        let a = folder.create("a.db", &sql);
        let mut bytes = std::fs::read(&a).unwrap();
        for (place, byte) in damage {
            // Not the file's own header, which SQLite looks at.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "any place will do"
            )]
            let at = 100 + (place * (bytes.len() - 100) as f64) as usize;
            bytes[at] = byte;
        }
        let b = folder.path("b.db");
        std::fs::write(&b, bytes).unwrap();
        let _ = diff(&a, &b);
        let _ = diff(&b, &a);
    }
}
