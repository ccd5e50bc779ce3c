//! What the cursors give is what SQLite gives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on")]

use libsql_pages::{Encoding, IndexCursor, Layout, LogMark, Pages, Record, TableCursor, encode};
use proptest::prelude::*;
use rusqlite::{
    Connection,
    types::{Value, ValueRef},
};

type Row = (i64, Vec<Value>);

fn root(conn: &Connection, name: &str) -> u32 {
    conn.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0))
        .unwrap()
}

fn owned(value: ValueRef<'_>) -> Value {
    value.into()
}

fn current(cursor: &TableCursor<'_>, record: &mut Record) -> Row {
    record.parse(cursor.bytes()).unwrap();
    let values = (0..record.len()).map(|at| record.value(cursor.bytes(), at).unwrap());
    let mut again = Vec::new();
    encode(values, &mut again);
    assert_eq!(again, cursor.bytes(), "encoding is the inverse of parsing");
    let values = (1..record.len()).map(|at| owned(record.value(cursor.bytes(), at).unwrap()));
    (cursor.rowid(), values.collect())
}

fn by_cursor(pages: &Pages<'_>, root: u32, from: i64) -> Vec<Row> {
    let (mut cursor, mut record, mut rows) =
        (TableCursor::new(pages, root), Record::default(), Vec::new());
    let mut found = cursor.seek(from).unwrap();
    while found {
        rows.push(current(&cursor, &mut record));
        found = cursor.advance().unwrap();
    }
    rows
}

fn by_sqlite(conn: &Connection, from: i64) -> Vec<Row> {
    let mut statement =
        conn.prepare("SELECT id, key, a, b FROM t WHERE id >= ?1 ORDER BY id").unwrap();
    let rows = statement
        .query_map([from], |row| Ok((row.get(0)?, vec![row.get(1)?, row.get(2)?, row.get(3)?])))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn entries_by_cursor(pages: &Pages<'_>, root: u32, from: Option<i64>) -> Vec<(Value, i64)> {
    let (mut cursor, mut entries) = (IndexCursor::new(pages, root), Vec::new());
    let mut found = match from {
        Some(number) => cursor.seek(number).unwrap(),
        None => cursor.first().unwrap(),
    };
    while found {
        entries.push((owned(cursor.key()), cursor.rowid().unwrap()));
        found = cursor.advance().unwrap();
    }
    entries
}

fn entries_by_sqlite(conn: &Connection, index: &str, condition: &str) -> Vec<(Value, i64)> {
    let order = if index == "i" { "key, b, id" } else { "key, id" };
    let sql =
        format!("SELECT key, id FROM t INDEXED BY {index} WHERE {condition} ORDER BY {order}");
    let mut statement = conn.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Insert(i64, Value, String, f64),
    Delete(i64),
    Update(i64, String),
}

fn key() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (-300_i64..300).prop_map(Value::Integer),
        1 => any::<i64>().prop_map(Value::Integer),
        2 => (0..63_u32, any::<bool>(), -2_i64..2).prop_map(|(bits, negative, near)| {
            let power: i64 = 1 << bits;
            Value::Integer((if negative { -power } else { power }).saturating_add(near))
        }),
        1 => (-400.0..400.0).prop_map(Value::Real),
        1 => Just(Value::Null),
        1 => "[a-z]{0,4}".prop_map(Value::Text),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z]{0,30}",
        1 => (0..9_000_usize).prop_map(|length| "x".repeat(length)),
    ]
}

fn id() -> impl Strategy<Value = i64> {
    prop_oneof![10 => -50_i64..2_000, 1 => any::<i64>()]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (id(), key(), text(), any::<f64>()).prop_map(|(id, key, a, b)| Step::Insert(id, key, a, b)),
        1 => id().prop_map(Step::Delete),
        1 => (id(), text()).prop_map(|(id, a)| Step::Update(id, a)),
    ];
    prop::collection::vec(step, 0..600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_entries_are_those_of_sqlite(
        steps in steps(),
        page_size in prop::sample::select(vec![512, 1024, 4096, 65_536]),
        wal in any::<bool>(),
        from in id(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let conn = Connection::open(folder.path().join("a.db")).unwrap();
        conn.pragma_update(None, "page_size", page_size).unwrap();
        if wal {
            conn.pragma_update(None, "journal_mode", "wal").unwrap();
        }
        conn.execute_batch(
            "PRAGMA synchronous = OFF; BEGIN;
             CREATE TABLE t (id INTEGER PRIMARY KEY, key, a TEXT, b);
             CREATE INDEX i ON t (key, b);
             CREATE INDEX j ON t (key)",
        )
        .unwrap();
        for step in steps {
            match step {
                Step::Insert(id, key, a, b) => {
                    let values = rusqlite::params![id, key, a, b];
                    conn.execute("INSERT OR IGNORE INTO t VALUES (?1, ?2, ?3, ?4)", values)
                }
                Step::Delete(id) => conn.execute("DELETE FROM t WHERE id <= ?1 AND id > ?1 - 40", [id]),
                Step::Update(id, a) => conn.execute("UPDATE t SET a = ?2 WHERE id = ?1", (id, a)),
            }
            .unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();

        let mark = LogMark::of(&conn);
        conn.execute_batch("BEGIN").unwrap();
        let table = root(&conn, "t");
        let pages = Pages::open(&conn, mark, u32::MAX).expect("a plain file");
        let rows = by_sqlite(&conn, i64::MIN);
        prop_assert_eq!(by_cursor(&pages, table, i64::MIN), rows.clone());
        prop_assert_eq!(by_cursor(&pages, table, from), by_sqlite(&conn, from));
        // The entries of the second one are nothing but two numbers, where the keys are numbers.
        for index in ["i", "j"] {
            let at = root(&conn, index);
            prop_assert_eq!(
                entries_by_cursor(&pages, at, None),
                entries_by_sqlite(&conn, index, "true")
            );
            let condition = format!("key >= {from}");
            prop_assert_eq!(
                entries_by_cursor(&pages, at, Some(from)),
                entries_by_sqlite(&conn, index, &condition)
            );
        }

        // Rows looked up one by one, in any order.
        let (mut cursor, mut record) = (TableCursor::new(&pages, table), Record::default());
        for (_, id) in entries_by_sqlite(&conn, "i", "true") {
            prop_assert!(cursor.find(id).unwrap());
            let found = rows.binary_search_by_key(&id, |row| row.0).unwrap();
            prop_assert_eq!(&current(&cursor, &mut record), &rows[found]);
        }
        let exists = rows.binary_search_by_key(&from, |row| row.0).is_ok();
        prop_assert_eq!(cursor.find(from).unwrap(), exists);
    }
}

fn file(name: &str, sql: &str) -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let conn = Connection::open(folder.path().join(name)).unwrap();
    conn.execute_batch(sql).unwrap();
    (folder, conn)
}

#[test]
fn a_transaction_keeps_its_state_while_others_write_and_begin_the_log_anew() {
    let (_folder, conn) = file(
        "a.db",
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, key, a, b);
         WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO t SELECT i, i % 7, 'text ' || i, NULL FROM n",
    );
    let other = Connection::open(conn.path().unwrap()).unwrap();
    for checkpoint_before in [false, true] {
        if checkpoint_before {
            conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        }
        let mark = LogMark::of(&conn);
        conn.execute_batch("BEGIN").unwrap();
        let before = by_sqlite(&conn, i64::MIN);
        let pages = Pages::open(&conn, mark, u32::MAX).expect("a plain file");
        let table = root(&conn, "t");
        assert_eq!(by_cursor(&pages, table, i64::MIN), before);
        other
            .execute_batch(
                "UPDATE t SET a = 'other ' || a; DELETE FROM t WHERE id % 3 = 0; UPDATE t SET b = 1",
            )
            .unwrap();
        let _ = other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        assert_eq!(by_cursor(&pages, table, i64::MIN), before);
        drop(pages);
        conn.execute_batch("COMMIT").unwrap();
        assert_ne!(by_sqlite(&conn, i64::MIN), before);
    }
}

#[test]
fn what_cannot_be_read_with_certainty_is_left_to_sqlite() {
    let in_memory = Connection::open_in_memory().unwrap();
    in_memory.execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(Pages::open(&in_memory, LogMark::of(&in_memory), u32::MAX).is_none());

    let (_folder, conn) =
        file("b.db", "PRAGMA journal_mode = WAL; CREATE TABLE t (a); CREATE TABLE u (a)");
    let mark = LogMark::of(&conn);
    conn.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    assert!(Pages::open(&conn, mark, 2).is_none(), "the log is longer");
    assert!(Pages::open(&conn, mark, 100).is_some());
}

#[test]
fn the_layout_is_that_of_the_file() {
    for (encoding, name) in [
        (Encoding::Utf8, "UTF-8"),
        (Encoding::Utf16le, "UTF-16le"),
        (Encoding::Utf16be, "UTF-16be"),
    ] {
        let (_folder, conn) = file(
            "l.db",
            &format!("PRAGMA encoding = '{name}'; PRAGMA page_size = 1024; CREATE TABLE t (a)"),
        );
        let mark = LogMark::of(&conn);
        conn.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        let layout = Pages::open(&conn, mark, 0).unwrap().layout();
        assert_eq!(layout, Layout { page_size: 1024, reserved: 0, schema_format: 4, encoding });
    }
}

#[test]
fn a_connection_that_has_read_nothing_yet_has_a_mark() {
    let (_folder, conn) =
        file("m.db", "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; CREATE TABLE t (a)");
    let fresh = Connection::open(conn.path().unwrap()).unwrap();
    let mark = LogMark::of(&fresh);
    assert_eq!(mark, LogMark::of(&conn));
    fresh.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    let pages = Pages::open(&fresh, mark, u32::MAX).expect("a plain file");
    assert_eq!(pages.layout().page_size, 1024);
}

#[test]
fn a_log_whose_generation_is_not_known_is_left_to_sqlite() {
    let (_folder, conn) = file("c.db", "PRAGMA journal_mode = WAL; CREATE TABLE t (a)");
    let fresh = Connection::open(conn.path().unwrap()).unwrap();
    fresh.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let mark = LogMark::of(&conn);
    fresh.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    conn.execute_batch("BEGIN").unwrap();
    conn.query_row("SELECT * FROM t", [], |_| Ok(())).unwrap();
    assert!(Pages::open(&conn, mark, u32::MAX).is_none());
    conn.execute_batch("COMMIT").unwrap();
    let mark = LogMark::of(&conn);
    conn.execute_batch("BEGIN").unwrap();
    conn.query_row("SELECT * FROM t", [], |_| Ok(())).unwrap();
    assert!(Pages::open(&conn, mark, u32::MAX).is_some());
}

#[test]
fn a_damaged_page_is_an_error() {
    let (_folder, conn) = file("d.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, key, a, b)");
    conn.execute_batch("BEGIN").unwrap();
    let table = root(&conn, "t");
    let pages = Pages::open(&conn, LogMark::of(&conn), u32::MAX).expect("a plain file");
    assert!(TableCursor::new(&pages, 1).seek(0).is_err());
    assert!(TableCursor::new(&pages, table + 1_000).seek(0).is_err());
    assert!(IndexCursor::new(&pages, table).first().is_err());
    assert!(!TableCursor::new(&pages, table).seek(0).unwrap());
}
