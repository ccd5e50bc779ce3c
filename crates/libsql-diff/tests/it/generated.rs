//! `apply(diff(a, b), a) == b` for databases that nobody thought of.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use libsql_diff::{
    Changeset, ChangesetKind, ConflictKind, Diff, Error, Identity, MergePolicy, OnConflict,
    Operation, RowChange, apply, diff, merge,
};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::support::{Folder, check, check_applying, content, open, operations, remove};

const NAMES: [&str; 10] =
    ["t", "T2", "a b", "x\"y", "select", "ü;é", "_rowid_", "it's", "[c]", "sqlite"];
const COLUMNS: [&str; 9] = ["a", "b b", "C", "group", "ß", "d\"d", "rowid", "e;", "f'"];
const TYPES: [&str; 8] =
    ["", "INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", "VARCHAR(10) COLLATE NOCASE", "INT"];
const STRICT_TYPES: [&str; 5] = ["INTEGER", "TEXT", "REAL", "BLOB", "ANY"];
const CONFLICT: [&str; 5] =
    ["", "", "ON CONFLICT IGNORE", "ON CONFLICT REPLACE", "ON CONFLICT FAIL"];

/// Values that meet each other often, and the odd ones.
const VALUES: [&str; 30] = [
    "NULL",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "1.0",
    "2.0",
    "0.5",
    "0.1",
    "-0.0",
    "9e999",
    "-9e999",
    "9223372036854775807",
    "-9223372036854775808",
    "9007199254740993",
    "1e300",
    "''",
    "'a'",
    "'A'",
    "'a '",
    "'1'",
    "'it''s; x'",
    "CAST(x'610062' AS TEXT)",
    "CAST(x'ff61' AS TEXT)",
    "x''",
    "x'00'",
    "x'61'",
    "hex(zeroblob(700))",
    "zeroblob(5000)",
];

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

struct Dice(fastrand::Rng);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn pick<'p>(&mut self, from: &[&'p str]) -> &'p str {
        from[self.0.usize(..from.len())]
    }

    fn one_in(&mut self, sides: u32) -> bool {
        self.0.u32(..sides) == 0
    }

    fn value(&mut self) -> String {
        if self.one_in(3) { self.0.i32(-3..40).to_string() } else { self.pick(&VALUES).to_owned() }
    }

    fn create_table(&mut self, name: &str) -> String {
        let strict = self.one_in(5);
        let count = self.0.usize(1..5);
        let first = self.0.usize(..COLUMNS.len());
        let names: Vec<String> =
            (0..count).map(|i| quoted(COLUMNS[(first + i) % COLUMNS.len()])).collect();
        let key = self.0.u32(..7);
        let mut columns = Vec::new();
        if matches!(key, 0 | 1) {
            let clause = self.pick(&CONFLICT);
            let auto = if key == 1 { " AUTOINCREMENT" } else { "" };
            columns.push(format!("id INTEGER PRIMARY KEY {clause}{auto}"));
        }
        for name in &names {
            let kind = self.pick(if strict { &STRICT_TYPES } else { &TYPES });
            let mut column = format!("{name} {kind}");
            if self.one_in(6) {
                let _ = write!(column, " UNIQUE {}", self.pick(&CONFLICT));
            }
            if self.one_in(8) {
                let default = if kind == "TEXT" { "'d'" } else { "1" };
                let default = if kind == "BLOB" { "x'01'" } else { default };
                let _ = write!(column, " NOT NULL {} DEFAULT {default}", self.pick(&CONFLICT));
            }
            if self.one_in(10) {
                let _ = write!(column, " CHECK ({name} IS NOT 7)");
            }
            if self.one_in(10) {
                let action = self.pick(&["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"]);
                let parent = quoted(self.pick(&NAMES));
                let _ =
                    write!(column, " REFERENCES {parent} ON DELETE {action} ON UPDATE {action}");
            }
            columns.push(column);
        }
        if self.one_in(6) {
            let kind = if strict { "ANY" } else { "" };
            let stored = self.pick(&["STORED", "VIRTUAL"]);
            columns.push(format!("g {kind} AS ({} || '!') {stored}", names[0]));
        }
        let without_rowid = key >= 5;
        if key >= 3 {
            let mut parts: Vec<String> = Vec::new();
            for name in &names[..self.0.usize(1..=count.min(2))] {
                let collation = self.pick(&["", "", " COLLATE NOCASE", " COLLATE RTRIM"]);
                let direction = self.pick(&["", "", " DESC"]);
                parts.push(format!("{name}{collation}{direction}"));
            }
            columns.push(format!("PRIMARY KEY ({})", parts.join(", ")));
        }
        let options: Vec<&str> = [("STRICT", strict), ("WITHOUT ROWID", without_rowid)]
            .into_iter()
            .filter_map(|(option, is_on)| is_on.then_some(option))
            .collect();
        format!("CREATE TABLE {}({}) {}", quoted(name), columns.join(", "), options.join(", "))
    }
}

/// The table's name and those of its columns that can be written.
fn table(conn: &Connection, dice: &mut Dice) -> Option<(String, Vec<String>)> {
    let names: Vec<String> = conn
        .prepare(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    if names.is_empty() {
        return None;
    }
    let name = names[dice.0.usize(..names.len())].clone();
    let columns: Vec<String> = conn
        .prepare("SELECT name FROM pragma_table_info(?1)")
        .unwrap()
        .query_map([&name], |row| row.get::<_, String>(0))
        .unwrap()
        .map(|name| quoted(&name.unwrap()))
        .collect();
    (!columns.is_empty()).then(|| (quoted(&name), columns))
}

/// Runs a script in the `sqlite3` shell, which has a SQLite of its own.
fn run_in_shell(database: &Path, script: &Path) {
    let output = Command::new("sqlite3")
        .args(["-batch", "-bail"])
        .arg(database)
        .stdin(File::open(script).unwrap())
        .output()
        .expect("the sqlite3 shell is installed: apt-get install sqlite3");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
}

/// The script of a difference, run by the shell on a copy of `a`, leads to `b`.
fn check_in_shell(folder: &Folder, a: &Path, b: &Path) {
    let found = diff(a, b).unwrap();
    let script = folder.path("script.sql");
    found.write_sql(&mut File::create(&script).unwrap()).unwrap();
    let c = folder.copy(a, "shell.db", "");
    run_in_shell(&c, &script);
    let rest = diff(&c, b).unwrap();
    assert!(
        rest.is_empty() && content(&c) == content(b),
        "{:?}\n{}",
        operations(&rest),
        String::from_utf8_lossy(&std::fs::read(&script).unwrap())
    );
    remove(&c);
}

#[test]
fn the_shell_gives_back_what_a_script_holds() {
    let folder = Folder::new();
    let a = folder.create(
        "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE k(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
         CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM k; END;",
    );
    let b = folder.copy(
        &a,
        "b.db",
        "DROP TRIGGER tr; INSERT INTO t(v) VALUES ('line' || char(13, 10) || 'line'), ('a' || char(10) || ';' || char(10)),
           ('.tables' || char(10) || '.quit'), ('/' || char(10) || 'go' || char(10)), ('--'), ('/*'),
           (CAST(x'00' AS TEXT)), (CAST(x'ff' AS TEXT)), (char(65279) || 'x'), (0.1), (1e300), (-0.0), (4.9e-324),
           (9223372036854775807), (-9223372036854775808), (9e999), (x''), (''), (char(13));
         INSERT INTO k VALUES (CAST(x'0061' AS TEXT), 1), (char(13, 10), 2), ('''', 3);",
    );
    // Definitions with the line ends of another system.
    open(&b)
        .execute_batch(
            "CREATE TRIGGER tr AFTER INSERT ON t BEGIN\r\n  DELETE FROM k;\r\nEND;\r\n
             CREATE VIEW v AS\r\nSELECT 1;",
        )
        .unwrap();
    check_in_shell(&folder, &a, &b);
    check_in_shell(&folder, &b, &a);
}

/// One statement, made for what the database holds now. Many fail, which is as good.
fn statement(conn: &Connection, dice: &mut Dice) -> String {
    let what = dice.0.u32(..100);
    if what < 6 {
        let name = dice.pick(&NAMES);
        return dice.create_table(name);
    }
    let Some((name, columns)) = table(conn, dice) else {
        return dice.create_table("t");
    };
    let column = columns[dice.0.usize(..columns.len())].clone();
    let or = dice.pick(&["OR IGNORE", "OR REPLACE", ""]);
    let some = {
        let (modulus, rest) = (dice.0.u32(1..7), dice.0.u32(..3));
        let key = &columns[0];
        if dice.one_in(2) {
            format!("abs(random() % {modulus}) = {rest}")
        } else {
            format!("{key} > {}", dice.value())
        }
    };
    match what {
        6..40 => {
            let rows: Vec<String> = (0..dice.0.usize(1..8))
                .map(|_| {
                    let values: Vec<String> = columns.iter().map(|_| dice.value()).collect();
                    format!("({})", values.join(", "))
                })
                .collect();
            format!("INSERT {or} INTO {name}({}) VALUES {}", columns.join(", "), rows.join(", "))
        }
        40..55 => format!("UPDATE {or} {name} SET {column} = {} WHERE {some}", dice.value()),
        55..62 => format!("UPDATE {or} {name} SET {column} = {column} + 1 WHERE {some}"),
        62..70 => format!("DELETE FROM {name} WHERE {some}"),
        // Values that change places.
        70..74 => format!(
            "UPDATE OR REPLACE {name} SET {column} = (SELECT {column} FROM {name} ORDER BY random() LIMIT 1) WHERE {some}"
        ),
        74..77 => {
            let unique = dice.pick(&["", "UNIQUE"]);
            let condition = dice.pick(&["", " WHERE a > 1", " WHERE id IS NOT NULL"]);
            let expression = if dice.one_in(3) { format!("lower({column})") } else { column };
            format!("CREATE {unique} INDEX i{} ON {name}({expression}){condition}", dice.0.u32(..4))
        }
        77 => format!("DROP INDEX i{}", dice.0.u32(..4)),
        78..81 => format!(
            "CREATE TRIGGER tr{} AFTER {} ON {name} BEGIN UPDATE {name} SET {column} = 'fired; END'; \
             SELECT CASE WHEN 1 THEN 2 END; END",
            dice.0.u32(..3),
            dice.pick(&["INSERT", "UPDATE", "DELETE"])
        ),
        81 => format!("DROP TRIGGER tr{}", dice.0.u32(..3)),
        82 => format!("CREATE VIEW v{} AS SELECT {column} FROM {name}", dice.0.u32(..3)),
        83 => format!("DROP VIEW v{}", dice.0.u32(..3)),
        84..88 => {
            let definition = dice.pick(&[
                "n",
                "n DEFAULT 'd'",
                "n INT NOT NULL DEFAULT 3",
                "n REAL DEFAULT 2",
                "m TEXT",
            ]);
            format!("ALTER TABLE {name} ADD COLUMN {definition}")
        }
        88 => format!("ALTER TABLE {name} DROP COLUMN {column}"),
        89 => format!("ALTER TABLE {name} RENAME COLUMN {column} TO r{}", dice.0.u32(..3)),
        90 => format!("ALTER TABLE {name} RENAME TO {}", quoted(dice.pick(&NAMES))),
        91 => format!("DROP TABLE {name}"),
        92 => "CREATE VIRTUAL TABLE IF NOT EXISTS full USING fts5(x, y)".to_owned(),
        93 => "CREATE VIRTUAL TABLE IF NOT EXISTS boxes USING rtree(id, x0, x1)".to_owned(),
        94 => format!("INSERT INTO full VALUES ({}, {})", dice.value(), dice.value()),
        95 => format!("PRAGMA user_version = {}", dice.0.i16(..)),
        96 => {
            format!("PRAGMA page_size = {}; VACUUM", dice.pick(&["512", "1024", "4096", "65536"]))
        }
        97 => "PRAGMA foreign_keys = ON".to_owned(),
        98 => "UPDATE sqlite_sequence SET seq = seq + 3".to_owned(),
        _ => "REINDEX".to_owned(),
    }
}

fn run_steps(conn: &Connection, steps: &[u64]) {
    for seed in steps {
        let sql = statement(conn, &mut Dice::new(*seed));
        // A constraint, a missing object, a name taken: the next step goes on from here.
        let _ = conn.execute_batch(&sql);
    }
}

fn steps(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(any::<u64>(), count)
}

/// A database of some tables that hold rows.
fn base(folder: &Folder, seed: u64, history: &[u64]) -> std::path::PathBuf {
    let path = folder.path("a.db");
    let conn = open(&path);
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let mut dice = Dice::new(seed);
    for _ in 0..dice.0.usize(1..4) {
        let name = dice.pick(&NAMES);
        let _ = conn.execute_batch(&dice.create_table(name));
    }
    run_steps(&conn, history);
    path
}

/// A generator that stopped making something would let everything pass.
#[test]
fn the_generator_makes_every_feature() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let folder = Folder::new();
        let mut dice = Dice::new(seed);
        let history: Vec<u64> = (0..40).map(|_| dice.0.u64(..)).collect();
        let a = base(&folder, seed, &history);
        let conn = open(&a);
        let sql = "SELECT upper(sql), type FROM sqlite_schema WHERE sql > ''";
        let mut stmt = conn.prepare(sql).unwrap();
        let mut rows = stmt.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (sql, kind): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
            seen.insert(kind);
            seen.extend(FEATURES.into_iter().filter(|word| sql.contains(word)).map(str::to_owned));
        }
        let b = folder.copy(&a, "b.db", "");
        let change: Vec<u64> = (0..30).map(|_| dice.0.u64(..)).collect();
        run_steps(&open(&b), &change);
        for operation in operations(&diff(&a, &b).unwrap()) {
            let shown = match &operation {
                Operation::Table(table) => format!("{:?}", table.edit),
                Operation::Row(row) => format!("{row:?}"),
                other => format!("{other:?}"),
            };
            let name = shown.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            seen.insert(name.to_owned());
            if let Operation::Row(RowChange::Update { replacement, .. }) = &operation {
                seen.insert(format!("replacement {}", replacement.is_some()));
            }
        }
    }
    let expected = FEATURES.into_iter().chain(OPERATIONS);
    let missing: Vec<&str> = expected.filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?} are never made; seen: {seen:?}");
}

/// Words of definitions.
const FEATURES: [&str; 16] = [
    "STRICT",
    "WITHOUT ROWID",
    "AUTOINCREMENT",
    "COLLATE NOCASE",
    "COLLATE RTRIM",
    " DESC",
    "STORED",
    "') VIRTUAL",
    "CHECK",
    "REFERENCES",
    "ON CONFLICT REPLACE",
    "UNIQUE",
    "LOWER(",
    "WHERE",
    "FTS5",
    "RTREE",
];
const OPERATIONS: [&str; 20] = [
    "table",
    "index",
    "view",
    "trigger",
    "Rows",
    "Create",
    "Drop",
    "AddColumns",
    "Rebuild",
    "Insert",
    "Update",
    "Delete",
    "DropObject",
    "CreateObject",
    "Sequence",
    "Setting",
    "ForeignKeys",
    "replacement true",
    "replacement false",
    "EndTable",
];

/// Few cases in the gate; `PROPTEST_CASES=1000` looks longer.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(40),
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn applying_a_difference_makes_the_two_equal(
        seed: u64,
        history in steps(5..40),
        change in steps(0..25),
    ) {
        let folder = Folder::new();
        let a = base(&folder, seed, &history);
        let b = folder.copy(&a, "b.db", "");
        run_steps(&open(&b), &change);
        check(&folder, &a, &b);
        check_applying(&folder, &b, &a);
    }

    /// Two databases that have nothing to do with each other, but for their names.
    #[test]
    fn any_database_becomes_any_other(
        first: u64,
        second: u64,
        histories in (steps(5..30), steps(5..30)),
    ) {
        let folder = Folder::new();
        let a = base(&folder, first, &histories.0);
        let b = folder.path("b.db");
        let other = Folder::new();
        std::fs::copy(base(&other, second, &histories.1), &b).unwrap();
        check(&folder, &a, &b);
    }

    #[test]
    fn the_shell_applies_the_script_of_any_difference(
        seed: u64,
        history in steps(5..40),
        change in steps(1..20),
    ) {
        let folder = Folder::new();
        let a = base(&folder, seed, &history);
        let b = folder.copy(&a, "b.db", "");
        run_steps(&open(&b), &change);
        check_in_shell(&folder, &a, &b);
    }

    /// What a changeset can hold comes through; what it leaves out is listed.
    #[test]
    fn a_changeset_without_omissions_makes_the_two_equal(
        seed: u64,
        history in steps(5..40),
        change in steps(0..12),
        is_patch: bool,
    ) {
        let folder = Folder::new();
        let a = base(&folder, seed, &history);
        let b = folder.copy(&a, "b.db", "");
        run_steps(&open(&b), &change);
        let found = diff(&a, &b).unwrap();
        let kind = if is_patch { ChangesetKind::Patchset } else { ChangesetKind::Changeset };
        let (changeset, omissions) = Changeset::of(&found, kind).unwrap();
        let read = Changeset::from_bytes(changeset.as_bytes().to_vec()).unwrap();
        prop_assert_eq!(&read.as_bytes(), &changeset.as_bytes());
        if omissions.is_empty() {
            let c = folder.copy(&a, "c.db", "");
            let outcome = read.apply(&open(&c), OnConflict::Abort, &mut |_| ControlFlow::Continue(()));
            // The target may hold references to nothing that the base does not.
            if !matches!(outcome, Err(libsql_diff::Error::ForeignKeys { .. })) {
                outcome.unwrap();
                prop_assert_eq!(content(&c), content(&b), "{:?}", operations(&found));
            }
        }
    }

    /// Merging with nothing changes nothing, and with itself neither.
    #[test]
    fn merging_with_the_base_or_with_itself(
        seed: u64,
        history in steps(5..40),
        change in steps(0..15),
    ) {
        let folder = Folder::new();
        let a = base(&folder, seed, &history);
        let b = folder.copy(&a, "b.db", "");
        run_steps(&open(&b), &change);
        let (changed, nothing) = (diff(&a, &b).unwrap(), diff(&a, &a).unwrap());
        let merged = merge(&nothing, &changed, MergePolicy::Abort).unwrap().into_diff().unwrap();
        prop_assert_eq!(operations(&merged), operations(&changed));
        let merged = merge(&changed, &nothing, MergePolicy::Abort).unwrap().into_diff().unwrap();
        prop_assert!(merged.is_empty(), "{:?}", operations(&merged));
        let merged = merge(&changed, &changed, MergePolicy::Abort).unwrap().into_diff().unwrap();
        let c = folder.copy(&b, "c.db", "");
        apply(&merged, &open(&c)).unwrap();
        prop_assert_eq!(content(&c), content(&b), "{:?}", operations(&merged));
    }

    /// Whoever merges, the outcome is the same; and what cannot be merged is said, not mixed up.
    #[test]
    fn both_sides_come_to_the_same_merge(
        seed: u64,
        history in steps(5..40),
        changes in (steps(0..8), steps(0..8)),
    ) {
        let folder = Folder::new();
        let base = base(&folder, seed, &history);
        let (ours, theirs) = (folder.copy(&base, "ours.db", ""), folder.copy(&base, "theirs.db", ""));
        run_steps(&open(&ours), &changes.0);
        run_steps(&open(&theirs), &changes.1);
        let (to_ours, to_theirs) = (diff(&base, &ours).unwrap(), diff(&base, &theirs).unwrap());
        let mut outcomes = Vec::new();
        for (side, merged) in [
            (&ours, merge(&to_ours, &to_theirs, MergePolicy::Theirs).unwrap()),
            (&theirs, merge(&to_theirs, &to_ours, MergePolicy::Ours).unwrap()),
        ] {
            let Some(found) = merged.diff else {
                outcomes.push(None);
                continue;
            };
            let c = folder.copy(side, "merged.db", "");
            match apply(&found, &open(&c)) {
                Ok(_) => outcomes.push(Some(content(&c))),
                // Two sides can break a constraint together.
                Err(Error::Conflict(conflict)) if conflict.kind == ConflictKind::Constraint => {
                    outcomes.push(None);
                }
                Err(Error::ForeignKeys { .. } | Error::Sqlite { .. }) => outcomes.push(None),
                Err(error) => prop_assert!(false, "{error}\n{:#?}", operations(&found)),
            }
            remove(&c);
        }
        // Rows without a key get other rowids on either side.
        let has_rowids = |diff: &Diff| {
            operations(diff).iter().any(|operation| {
                matches!(operation, Operation::Table(table) if matches!(table.identity, Identity::Rowid { .. }))
            })
        };
        if let [Some(here), Some(there)] = &outcomes[..]
            && !(has_rowids(&to_ours) && has_rowids(&to_theirs))
        {
            let lines = |text: &String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
            let (here, there) = (lines(here), lines(there));
            let apart: Vec<&String> = here.symmetric_difference(&there).collect();
            prop_assert!(
                apart.is_empty(),
                "{apart:#?}\n{:#?}\n{:#?}",
                operations(&to_ours),
                operations(&to_theirs)
            );
        }
    }
}
