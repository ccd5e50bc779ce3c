//! Databases from SQL, and what they hold, read without the crate under test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use libsql_diff::{Diff, FileKind, Operation, Options, apply, apply_script, diff, diff_with};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

/// A folder with the databases of one test.
pub(crate) struct Folder(pub TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A new database made by `sql`.
    pub(crate) fn create(&self, name: &str, sql: &str) -> PathBuf {
        let path = self.path(name);
        run(&path, sql);
        path
    }

    /// A copy of a database, changed by `sql`.
    pub(crate) fn copy(&self, from: &Path, name: &str, sql: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::copy(from, &path).unwrap();
        run(&path, sql);
        path
    }
}

/// Opens a database without waiting for the disk at every commit.
pub(crate) fn open(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
    conn
}

pub(crate) fn run(path: &Path, sql: &str) {
    let conn = open(path);
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    conn.execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(integer) => format!("i{integer}"),
        ValueRef::Real(real) => format!("r{:016x}", real.to_bits()),
        ValueRef::Text(text) => format!("t{}", hex(text)),
        ValueRef::Blob(blob) => format!("b{}", hex(blob)),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = format!("{}:", bytes.len());
    for byte in &bytes[..bytes.len().min(200)] {
        let _ = write!(out, "{byte:02x}");
    }
    if bytes.len() > 200 {
        let _ = write!(out, "...{}", blake3::hash(bytes));
    }
    out
}

/// All that a database means, as text: definitions, rows, counters, settings. Rowids where a table
/// has nothing else to tell its rows apart.
pub(crate) fn content(path: &Path) -> String {
    content_of(&Connection::open(path).unwrap(), false)
}

pub(crate) fn content_of(conn: &Connection, all_rowids: bool) -> String {
    let mut out = String::new();
    let query = |sql: &str| -> Vec<Vec<String>> {
        let mut stmt = conn.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let width = stmt.column_count();
        let mut rows = stmt.query([]).unwrap();
        let mut out = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            out.push((0..width).map(|column| shown(row.get_ref(column).unwrap())).collect());
        }
        out
    };
    let names = |sql: &str| -> Vec<(String, String, String)> {
        let mut stmt = conn.prepare(sql).unwrap();
        stmt.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    for row in query(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema
         WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
           -- How a module writes its own tables down depends on how they came by their names.
           AND tbl_name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow')
         ORDER BY type, name",
    ) {
        let _ = writeln!(out, "{row:?}");
    }
    let tables = names(
        "SELECT l.name, l.type, s.sql FROM pragma_table_list l JOIN sqlite_schema s ON s.name = l.name
         WHERE l.schema = 'main' AND l.type IN ('table', 'virtual')
           AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY l.name",
    );
    for (name, kind, sql) in tables {
        // What libSQL builds for a vector index depends on the order of its building.
        if sql.contains("fts5vocab") || sql.contains("content=''") || name.ends_with("_shadow") {
            continue;
        }
        let columns = names(&format!(
            "SELECT name, '', '' FROM pragma_table_xinfo('{}') WHERE hidden <> 1",
            name.replace('\'', "''")
        ));
        let has_key = query(&format!(
            "SELECT 1 FROM pragma_table_info('{}') WHERE pk > 0",
            name.replace('\'', "''")
        ));
        let mut list: Vec<String> =
            columns.iter().map(|(name, ..)| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        let rowid = ["rowid", "_rowid_", "oid"]
            .into_iter()
            .find(|rowid| !columns.iter().any(|(name, ..)| name.eq_ignore_ascii_case(rowid)));
        let without_rowid = sql.to_uppercase().contains("WITHOUT ROWID");
        if let Some(rowid) = rowid
            && !without_rowid
            && kind == "table"
            && (has_key.is_empty() || all_rowids)
        {
            list.insert(0, rowid.into());
        }
        let table = format!("\"{}\"", name.replace('"', "\"\""));
        let mut rows = query(&format!("SELECT {} FROM {table}", list.join(", ")));
        rows.sort();
        let _ = writeln!(out, "{name}: {} rows", rows.len());
        for row in rows {
            let _ = writeln!(out, "  {}", row.join(" "));
        }
    }
    let has_sequences = query("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'");
    if !has_sequences.is_empty() {
        for row in query("SELECT name, seq FROM sqlite_sequence ORDER BY name") {
            let _ = writeln!(out, "sequence {row:?}");
        }
    }
    for pragma in ["user_version", "application_id"] {
        let _ = writeln!(out, "{pragma} {:?}", query(&format!("PRAGMA {pragma}")));
    }
    out
}

/// Every file in a folder with its content, to see that nothing was touched.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

pub(crate) fn operations(diff: &Diff) -> Vec<Operation> {
    diff.operations().map(Result::unwrap).collect()
}

pub(crate) fn diff_without_pages(a: &Path, b: &Path) -> Diff {
    let options = Options { pages: false, ..Options::default() };
    diff_with(a, b, &options, &mut |_| ControlFlow::Continue(())).unwrap()
}

pub(crate) fn integrity(path: &Path) {
    let conn = Connection::open(path).unwrap();
    let found: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

/// The promises that hold for any two databases; returns the difference.
pub(crate) fn check(folder: &Folder, a: &Path, b: &Path) -> Diff {
    let found = check_applying(folder, a, b);
    check_script(folder, a, b, &found);
    check_json(&found);
    found
}

/// As [`check`], without the text forms.
pub(crate) fn check_applying(folder: &Folder, a: &Path, b: &Path) -> Diff {
    let before = files(folder.0.path());
    let found = diff(a, b).unwrap();
    let slow = diff_without_pages(a, b);
    let itself = [diff(a, a).unwrap(), diff(b, b).unwrap()];
    assert_eq!(files(folder.0.path()), before, "an input was touched");
    for diff in itself {
        assert!(diff.is_empty(), "{:?}", operations(&diff));
    }
    assert_eq!(operations(&found), operations(&slow), "pages and rows tell different things");
    assert_eq!(found.is_empty(), content(a) == content(b), "{:?}", operations(&found));

    // Through a file, into a copy.
    let saved = folder.path("saved.diff");
    found.save(&saved).unwrap();
    let read = Diff::open(&saved).unwrap();
    assert_eq!(operations(&read), operations(&found));
    assert_eq!(read.summary(), found.summary());
    let c = folder.copy(a, "applied.db", "");
    copy_log(a, &c);
    apply(&read, &open(&c)).unwrap_or_else(|error| panic!("{error}\n{:#?}", operations(&found)));
    assert_same(&content(&c), &content(b), &found);
    integrity(&c);
    let rest = diff(&c, b).unwrap();
    assert!(rest.is_empty(), "{:?}", operations(&rest));
    std::fs::remove_file(&saved).unwrap();
    remove(&c);
    found
}

/// As JSON, there and back.
pub(crate) fn check_json(found: &Diff) {
    let mut json = Vec::new();
    found.write_json(&mut json).unwrap();
    let read = Diff::read_json(&mut &json[..])
        .unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&json)));
    assert_eq!(operations(&read), operations(found));
    assert_eq!((read.summary(), read.encodings()), (found.summary(), found.encodings()));
    assert_eq!(FileKind::of_bytes(&json), FileKind::Json);
}

/// As SQL text, into another copy.
pub(crate) fn check_script(folder: &Folder, a: &Path, b: &Path, found: &Diff) {
    let mut script = Vec::new();
    found.write_sql(&mut script).unwrap();
    let c = folder.copy(a, "scripted.db", "");
    copy_log(a, &c);
    let conn = open(&c);
    let went_on = &mut |_: &libsql_diff::Progress| ControlFlow::Continue(());
    apply_script(&mut &script[..], &conn, went_on).unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(&script);
        panic!("{error}\n{}", text.chars().take(5000).collect::<String>())
    });
    drop(conn);
    assert_same(&content(&c), &content(b), found);
    integrity(&c);
    let rest = diff(&c, b).unwrap();
    assert!(rest.is_empty(), "{:?}", operations(&rest));
    remove(&c);
}

/// Removes a database with all that belongs to it.
pub(crate) fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{suffix}", path.display()));
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn assert_same(found: &str, expected: &str, diff: &Diff) {
    if found == expected {
        return;
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (found, expected) = (lines(found), lines(expected));
    let missing: Vec<&String> = expected.difference(&found).collect();
    let surplus: Vec<&String> = found.difference(&expected).collect();
    panic!("missing: {missing:#?}\nsurplus: {surplus:#?}\n{:#?}", operations(diff));
}

/// Brings the write-ahead log of `from` along.
pub(crate) fn copy_log(from: &Path, to: &Path) {
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    if log(from).exists() {
        std::fs::copy(log(from), log(to)).unwrap();
    }
}

/// Two databases made by SQL, in both ways that files come to differ: made separately, and one
/// made by changing a copy of the other. Checks both directions and returns the one of the copy.
pub(crate) fn check_sql(a: &str, change: &str) -> Diff {
    let folder = Folder::new();
    let from = folder.create("a.db", a);
    let copied = folder.copy(&from, "b.db", change);
    let separate = folder.create("separate.db", &format!("{a};\n{change}"));
    check(&folder, &from, &separate);
    check(&folder, &copied, &from);
    check(&folder, &from, &copied)
}
