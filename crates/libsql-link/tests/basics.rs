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
fn whatever_values_there_are_come_back_as_they_went() {
    let mut random = fastrand::Rng::with_seed(7);
    let values: Vec<Value> = (0..600)
        .map(|_| match random.u8(0..5) {
            0 => Value::Integer(random.i64(..) >> random.u32(0..64)),
            // Any bits that are a number; the infinities have a test of their own.
            1 => match f64::from_bits(random.u64(..)) {
                real if real.is_finite() => Value::Real(real),
                _ => Value::Real(0.1 * f64::from(random.i32(..))),
            },
            2 => {
                let characters = random.usize(0..30);
                // Half of them plain, the others from all planes.
                Value::Text(
                    (0..characters)
                        .map(|_| {
                            if random.bool() { random.char('\0'..='\x7f') } else { random.char(..) }
                        })
                        .collect(),
                )
            }
            3 => Value::Blob((0..random.usize(0..40)).map(|_| random.u8(..)).collect()),
            _ => Value::Null,
        })
        .collect();
    let both = Both::open();
    for (name, link) in &both.links {
        link.execute("CREATE TABLE t (a)", &[]).unwrap();
        let inserts: Vec<Statement> = values
            .iter()
            .map(|value| Statement::new("INSERT INTO t VALUES (?1)", [value.clone()]))
            .collect();
        link.batch(&inserts).unwrap();
        let rows = link.query("SELECT a, a IS ?1 FROM t ORDER BY rowid", &[Value::Null]).unwrap();
        let bits = |value: &Value| value.as_real().map(f64::to_bits);
        for (row, value) in rows.rows.iter().zip(&values) {
            assert_eq!((&row[0], bits(&row[0])), (value, bits(value)), "{name}");
            assert_eq!(row[1], Value::Integer((*value == Value::Null).into()), "{name}");
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
fn foreign_keys_are_off_for_one_batch_only() {
    let both = Both::open();
    for (name, link) in &both.links {
        link.batch(&[
            "CREATE TABLE p (a INTEGER PRIMARY KEY)".into(),
            "CREATE TABLE c (a REFERENCES p ON DELETE CASCADE)".into(),
            "INSERT INTO p VALUES (1)".into(),
            "INSERT INTO c VALUES (1)".into(),
        ])
        .unwrap();
        let delete = [statement("DELETE FROM p WHERE a = ?1", &[1.into()])];
        let answers = link.batch_without_foreign_keys(&delete).unwrap();
        assert_eq!((answers.len(), answers[0].affected), (1, 1), "{name}");
        let count = link.query("SELECT count(*) FROM c", &[]).unwrap();
        assert_eq!(count.single(), Some(&Value::Integer(1)), "{name}: nothing cascades");

        let orphan =
            ["INSERT INTO c VALUES (7)".into(), "INSERT INTO p VALUES (NULL), ('x')".into()];
        link.batch_without_foreign_keys(&orphan).unwrap_err();
        let error = link.execute("INSERT INTO c VALUES (7)", &[]).unwrap_err();
        assert!(matches!(error, Error::Constraint { .. }), "{name}: {error:?}");
        let count = link.query("SELECT count(*) FROM c", &[]).unwrap();
        assert_eq!(count.single(), Some(&Value::Integer(1)), "{name}: all or nothing");
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
