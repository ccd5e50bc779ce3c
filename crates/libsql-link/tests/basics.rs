//! The same calls, the same answers: on a file and on a real server.

use libsql_link::blocking::Link;
use libsql_link::{ConstraintKind, Error, Location, Options, Statement, Value};
use testkit::sqld::Sqld;

/// A link to a file and one to a server; what they need lives as long as this.
struct Both {
    links: [(&'static str, Link); 2],
    _folder: tempfile::TempDir,
    _sqld: Sqld,
}

impl Both {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("no temporary folder");
        let sqld = Sqld::start();
        let file = Location::Local(folder.path().join("a.db"));
        let server: Location = sqld.url().parse().expect("an address");
        let open = |location: &Location| Link::open(location, Options::new()).expect("it opens");
        Both {
            links: [("file", open(&file)), ("server", open(&server))],
            _folder: folder,
            _sqld: sqld,
        }
    }
}

fn statement(sql: &str, params: &[Value]) -> Statement {
    Statement::new(sql, params.to_vec())
}

#[test]
fn values_come_back_with_their_type_and_every_bit() {
    let values = [
        Value::Null,
        Value::Integer(i64::MAX),
        Value::Integer(i64::MIN),
        Value::Integer(1),
        Value::Real(1.0),
        Value::Real(0.1 + 0.2),
        Value::Real(-0.0),
        Value::Real(f64::MIN_POSITIVE / 4.0),
        Value::Real(f64::MAX),
        Value::Text(String::new()),
        Value::Text("a\0b 'ü' \u{1F600} \u{2028}\n\"\\".into()),
        Value::Blob(vec![]),
        Value::Blob((0..=255).collect()),
    ];
    let both = Both::open();
    for (name, link) in &both.links {
        link.execute("CREATE TABLE t (a)", &[]).unwrap();
        for value in &values {
            assert_eq!(
                link.execute("INSERT INTO t VALUES (?1)", std::slice::from_ref(value)).unwrap(),
                1
            );
        }
        let rows = link.query("SELECT a, typeof(a) AS kind FROM t ORDER BY rowid", &[]).unwrap();
        assert_eq!(rows.columns, ["a", "kind"], "{name}");
        for (row, value) in rows.rows.iter().zip(&values) {
            assert_eq!(&row[0], value, "{name}");
            if let (Value::Real(here), Value::Real(there)) = (&row[0], value) {
                assert_eq!(here.to_bits(), there.to_bits(), "{name}: {value:?}");
            }
        }
        assert_eq!(rows.len(), values.len());
    }
}

#[test]
fn a_batch_is_applied_as_a_whole_or_not_at_all() {
    let both = Both::open();
    for (name, link) in &both.links {
        let answers = link
            .batch(&[
                "CREATE TABLE t (a INTEGER PRIMARY KEY, b)".into(),
                statement("INSERT INTO t VALUES (?1, ?2), (2, 'z')", &[1.into(), "x".into()]),
                "SELECT a FROM t ORDER BY a".into(),
                "UPDATE t SET b = 'y'".into(),
            ])
            .unwrap();
        let affected: Vec<u64> = answers.iter().map(|rows| rows.affected).collect();
        assert_eq!(affected, [0, 2, 0, 2], "{name}");
        assert_eq!(answers[2].rows, [[Value::Integer(1)], [Value::Integer(2)]], "{name}");

        let error =
            link.batch(&["DELETE FROM t".into(), "INSERT INTO t VALUES (7, 7), (7, 8)".into()]);
        assert!(matches!(error, Err(Error::Constraint { .. })), "{name}: {error:?}");
        let count = link.query("SELECT count(*) FROM t", &[]).unwrap();
        assert_eq!(count.single(), Some(&Value::Integer(2)), "{name}");
        // The failed batch left no transaction behind.
        assert_eq!(link.batch(&[]).unwrap(), [], "{name}");
        assert_eq!(link.execute("DELETE FROM t", &[]).unwrap(), 2, "{name}");
    }
}

#[test]
fn constraints_are_told_apart() {
    let both = Both::open();
    for (name, link) in &both.links {
        link.batch(&[
            "CREATE TABLE p (a INTEGER PRIMARY KEY)".into(),
            "CREATE TABLE t (a TEXT UNIQUE, b NOT NULL, c CHECK (c > 0), d REFERENCES p)".into(),
            "CREATE TABLE s (a INTEGER) STRICT".into(),
            "INSERT INTO t VALUES ('x', 1, 1, NULL)".into(),
            "CREATE TRIGGER r BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'kept'); END".into(),
        ])
        .unwrap();
        for (sql, kind, code, says) in [
            ("INSERT INTO t VALUES ('x', 1, 1, NULL)", ConstraintKind::Unique, 2067, "t.a"),
            ("INSERT INTO t VALUES ('y', NULL, 1, NULL)", ConstraintKind::NotNull, 1299, "t.b"),
            ("INSERT INTO t VALUES ('y', 1, 0, NULL)", ConstraintKind::Check, 275, "c > 0"),
            ("INSERT INTO t VALUES ('y', 1, 1, 5)", ConstraintKind::ForeignKey, 787, "FOREIGN KEY"),
            ("INSERT INTO s VALUES ('x')", ConstraintKind::DataType, 3091, "s.a"),
        ] {
            match link.execute(sql, &[]).unwrap_err() {
                Error::Constraint { kind: k, extended_code, reason, .. } => {
                    assert_eq!((k, extended_code), (kind, code), "{name}: {sql}");
                    assert!(reason.contains(says), "{name}: {reason}");
                }
                error => panic!("{name}: {sql}: {error:?}"),
            }
        }
        let error = link.execute("DELETE FROM t", &[]).unwrap_err();
        assert!(
            matches!(&error, Error::Constraint { reason, .. } if reason == "kept"),
            "{error:?}"
        );
    }
}

#[test]
fn bad_sql_is_told_with_its_reason() {
    let both = Both::open();
    for (name, link) in &both.links {
        for (sql, params, says) in [
            ("SELEC 1", vec![], "syntax error"),
            ("SELECT * FROM nope", vec![], "nope"),
            ("SELECT nope", vec![], "nope"),
            ("SELECT ?1", vec![], "parameter"),
        ] {
            match link.query(sql, &params).unwrap_err() {
                Error::BadSql { reason, .. } => assert!(reason.contains(says), "{name}: {reason}"),
                error => panic!("{name}: {sql}: {error:?}"),
            }
        }
    }
}

#[test]
fn a_snapshot_sees_one_state_while_others_write() {
    let both = Both::open();
    for (name, link) in &both.links {
        link.query("PRAGMA journal_mode = WAL", &[]).ok();
        link.batch(&["CREATE TABLE t (a)".into(), "INSERT INTO t VALUES (1)".into()]).unwrap();
        let mut snapshot = link.read_transaction().unwrap();
        link.execute("INSERT INTO t VALUES (2)", &[]).unwrap();
        for _ in 0..2 {
            let count = snapshot.query("SELECT count(*) FROM t", &[]).unwrap();
            assert_eq!(count.single(), Some(&Value::Integer(1)), "{name}");
        }
        let all = snapshot.query_all(&["SELECT a FROM t".into(), "SELECT 5".into()]).unwrap();
        assert_eq!(all[1].single(), Some(&Value::Integer(5)), "{name}");
        snapshot.end().unwrap();
        let count = link.query("SELECT count(*) FROM t", &[]).unwrap();
        assert_eq!(count.single(), Some(&Value::Integer(2)), "{name}");
    }
}

#[test]
fn a_server_says_what_it_is() {
    let sqld = Sqld::start();
    let link = Link::open(&sqld.url().parse().unwrap(), Options::new()).unwrap();
    let info = link.server().unwrap();
    assert!(info.version.as_ref().is_some_and(|version| version.starts_with("sqld ")), "{info:?}");
    assert_eq!((info.healthy, info.offline_generation), (Some(true), None));
}
