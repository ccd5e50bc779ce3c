//! Many rows at once, in both encodings of the protocol; and where a server's log has got to.

use libsql_link::blocking::Link;
use libsql_link::{Error, Options, PackedRows, Statement, Value, ValueRef};
use testkit::proxy::Proxy;
use testkit::sqld::Sqld;

fn open(url: &str) -> Link {
    Link::open(&url.parse().expect("an address"), Options::new()).expect("servers are opened")
}

/// A link that may use either encoding, and one through a proxy that knows JSON only.
fn both() -> (Sqld, Proxy, [Link; 2]) {
    let sqld = Sqld::start();
    let proxy = Proxy::start(sqld.address());
    proxy.know_not("/v3-protobuf");
    let links = [open(&sqld.url()), open(&proxy.url())];
    (sqld, proxy, links)
}

fn packed(link: &Link, sql: &str) -> Result<PackedRows, Error> {
    let mut snapshot = link.read_transaction()?;
    let mut all = snapshot.query_all_packed(&[sql.into()])?;
    snapshot.end()?;
    Ok(all.pop().expect("one answer"))
}

#[test]
fn values_arrive_by_type_and_bit_in_both_encodings() {
    let (_sqld, _proxy, links) = both();
    let sql = "SELECT NULL, 0, -9223372036854775807 - 1, 9223372036854775807, 0.1, 0.0 * -1, 1e300,
                 '', 'ä' || char(0) || '\"', x'', x'00ff'
               UNION ALL SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11";
    for link in &links {
        let rows = packed(link, sql).unwrap();
        assert_eq!((rows.len(), rows.width()), (2, 11));
        let expected = [
            ValueRef::Null,
            ValueRef::Integer(0),
            ValueRef::Integer(i64::MIN),
            ValueRef::Integer(i64::MAX),
            ValueRef::Real(0.1),
            ValueRef::Real(-0.0),
            ValueRef::Real(1e300),
            ValueRef::Text(b""),
            ValueRef::Text("ä\0\"".as_bytes()),
            ValueRef::Blob(b""),
            ValueRef::Blob(b"\0\xff"),
        ];
        assert_eq!(rows.rows().next().unwrap().collect::<Vec<_>>(), expected);
        let Some(ValueRef::Real(zero)) = rows.get(0, 5) else { panic!("{rows:?}") };
        assert!(zero.is_sign_negative());
        assert_eq!(rows.get(1, 10), Some(ValueRef::Integer(11)));
    }
}

#[test]
fn several_statements_with_values_are_answered_in_order() {
    let (_sqld, _proxy, links) = both();
    let parameters = [Value::Null, (-7).into(), 0.5.into(), "it's".into(), Value::Blob(vec![1, 2])];
    let echo = Statement::new("SELECT ?1, ?2, ?3, ?4, ?5", parameters);
    for link in &links {
        let mut snapshot = link.read_transaction().unwrap();
        let all = snapshot
            .query_all_packed(&["SELECT 1 WHERE 0".into(), echo.clone(), "SELECT 2".into()])
            .unwrap();
        assert_eq!(all.iter().map(PackedRows::len).collect::<Vec<_>>(), [0, 1, 1]);
        let expected = [
            ValueRef::Null,
            ValueRef::Integer(-7),
            ValueRef::Real(0.5),
            ValueRef::Text(b"it's"),
            ValueRef::Blob(&[1, 2]),
        ];
        assert_eq!(all[1].rows().next().unwrap().collect::<Vec<_>>(), expected);
        assert!(snapshot.query_all_packed(&[]).unwrap().is_empty());
        // The snapshot can be asked in the other way, too.
        let rows = snapshot.query("SELECT 3", &[]).unwrap();
        assert_eq!(rows.single().and_then(Value::as_integer), Some(3));
        snapshot.end().unwrap();
    }
}

#[test]
fn a_server_that_knows_only_json_is_asked_for_the_other_encoding_once() {
    let (_sqld, proxy, [_, link]) = both();
    packed(&link, "SELECT 1").unwrap();
    let before = proxy.requests();
    packed(&link, "SELECT 1").unwrap();
    assert_eq!(proxy.requests() - before, 3, "to begin, to ask, to end");
}

#[test]
fn infinities_need_the_encoding_that_has_them() {
    let (_sqld, _proxy, [protobuf, json]) = both();
    let rows = packed(&protobuf, "SELECT -9e999").unwrap();
    assert_eq!(rows.get(0, 0), Some(ValueRef::Real(f64::NEG_INFINITY)));
    let error = packed(&json, "SELECT -9e999").unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
}

#[test]
fn an_error_is_the_same_in_both_encodings() {
    let (_sqld, _proxy, links) = both();
    for link in &links {
        for (sql, expected) in [
            ("SELECT nothing", "BadSql"),
            ("SELECT CAST(x'61ff' AS TEXT)", "Unreadable"),
            (
                "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 12)
              SELECT printf('%.*c', 1000000, 'x') FROM n",
                "TooLarge",
            ),
        ] {
            let error = format!("{:?}", packed(link, sql).unwrap_err());
            assert!(error.starts_with(expected), "{sql}: {error}");
        }
    }
}

#[test]
fn a_snapshot_goes_on_after_an_answer_that_was_too_large() {
    let (_sqld, _proxy, links) = both();
    for link in &links {
        let mut snapshot = link.read_transaction().unwrap();
        let huge = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 12)
                    SELECT printf('%.*c', 1000000, 'x') FROM n";
        let error = snapshot.query_all_packed(&[huge.into()]).unwrap_err();
        assert!(matches!(error, Error::TooLarge { maybe_applied: false, .. }), "{error:?}");
        let all = snapshot.query_all_packed(&["SELECT 4".into()]).unwrap();
        assert_eq!(all[0].get(0, 0), Some(ValueRef::Integer(4)));
        snapshot.end().unwrap();
    }
}

#[test]
fn a_position_moves_with_every_write_and_with_nothing_else() {
    let mut sqld = Sqld::start();
    let link = open(&sqld.url());
    link.execute("CREATE TABLE t (a)", &[]).unwrap();
    let position = || link.position().unwrap().expect("sqld tells");
    let first = position();
    link.query("SELECT * FROM t", &[]).unwrap();
    assert_eq!(position(), first);
    link.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
    let second = position();
    assert_eq!((&second.log, &second.generation), (&first.log, &first.generation));
    assert!(second.frame > first.frame);
    sqld.restart();
    let third = position();
    assert_ne!(third.generation, second.generation);
}

#[test]
fn a_server_that_does_not_know_positions_tells_none() {
    let (_sqld, proxy, [_, link]) = both();
    link.execute("CREATE TABLE t (a)", &[]).unwrap();
    assert!(link.position().unwrap().is_some());
    proxy.know_not("/wal_log");
    assert_eq!(link.position().unwrap(), None);
    proxy.lie(200, "{}");
    assert_eq!(link.position().unwrap(), None);
}
