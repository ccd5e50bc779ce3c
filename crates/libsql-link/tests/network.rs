//! What a network and a server can do to a client, each with the real server behind it: every call
//! ends, with the error that says what to do.

use std::time::Duration;

use libsql_link::blocking::Link;
use libsql_link::{CancelToken, Error, Options, Retry, Statement, Value};
use testkit::jwt::{Access, Keys};
use testkit::proxy::{Direction, Proxy};
use testkit::sqld::{Nobody, Settings, Sqld};

/// For calls that are to miss it. Until then even a busy machine has sent the request.
const DEADLINE: Duration = Duration::from_secs(3);

fn hasty() -> Options {
    Options::new().call_timeout(DEADLINE)
}

fn patient() -> Options {
    let retry = Retry {
        attempts_max: 6,
        first_delay: Duration::from_millis(1),
        delay_max: Duration::from_millis(20),
    };
    Options::new().retry(retry)
}

fn open(url: &str, options: Options) -> Link {
    Link::open(&url.parse().expect("an address"), options).expect("servers are opened unasked")
}

fn count(link: &Link) -> i64 {
    let rows = link.query("SELECT count(*) FROM t", &[]).expect("the table is there");
    rows.single().and_then(Value::as_integer).expect("a count")
}

fn insert(value: i64) -> Statement {
    Statement::new("INSERT INTO t VALUES (?1)", [value.into()])
}

/// A server with a table `t (a)`, a proxy before it, and a link that goes around the proxy.
fn served() -> (Sqld, Proxy, Link) {
    let sqld = Sqld::start();
    let direct = open(&sqld.url(), Options::new());
    direct.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)", &[]).expect("the server works");
    let proxy = Proxy::start(sqld.address());
    (sqld, proxy, direct)
}

type Kind = (&'static str, bool, fn(&Link) -> Result<(), Error>);

/// Every kind of call, with whether it may change something.
const EVERY_CALL: [Kind; 7] = [
    ("query", false, |link| link.query("SELECT 1", &[]).map(drop)),
    ("returning", true, |link| link.query("INSERT INTO t VALUES (9) RETURNING a", &[]).map(drop)),
    ("execute", true, |link| link.execute("INSERT INTO t VALUES (9)", &[]).map(drop)),
    ("batch", true, |link| link.batch(&[insert(9)]).map(drop)),
    ("batch_repeatable", true, |link| link.batch_repeatable(&[insert(9)]).map(drop)),
    ("read_transaction", false, |link| link.read_transaction().map(drop)),
    ("server", false, |link| link.server().map(drop)),
];

/// Makes every kind of call, all at once, so that they wait together.
fn every_call(link: &Link) -> Vec<(&'static str, bool, Result<(), Error>)> {
    std::thread::scope(|scope| {
        let calls = EVERY_CALL
            .map(|(name, changes, call)| (name, changes, scope.spawn(move || call(link))));
        calls.map(|(name, changes, call)| (name, changes, call.join().expect(name))).into()
    })
}

fn assert_timed_out(name: &str, changes: bool, result: Result<(), Error>) {
    let error = result.expect_err(name);
    assert!(matches!(error, Error::TimedOut { .. }), "{name}: {error:?}");
    assert_eq!(error.may_have_been_applied(), changes, "{name}: {error:?}");
    assert!(error.is_transient());
}

#[test]
fn a_silent_network_ends_every_call_at_its_deadline() {
    let (_sqld, proxy, _direct) = served();
    proxy.answer_nothing();
    for (name, changes, result) in every_call(&open(&proxy.url(), hasty())) {
        assert_timed_out(name, changes, result);
    }
}

#[test]
fn a_snapshot_that_was_cut_off_has_ended_and_the_link_goes_on() {
    let (_sqld, proxy, _direct) = served();
    // What has to succeed gets more time than a busy machine needs.
    let link = open(&proxy.url(), Options::new().call_timeout(Duration::from_secs(10)));
    let mut snapshot = link.read_transaction().unwrap();
    proxy.answer_nothing();
    assert_timed_out("snapshot", false, snapshot.query("SELECT 1", &[]).map(drop));
    proxy.resume();
    let error = snapshot.query("SELECT 1", &[]).unwrap_err();
    assert!(matches!(error, Error::Expired { .. }), "{error:?}");
    link.query("SELECT 1", &[]).unwrap();
}

#[test]
fn a_server_that_stands_still_ends_every_call_at_its_deadline_and_may_go_on() {
    let (sqld, _proxy, direct) = served();
    sqld.pause();
    for (name, changes, result) in every_call(&open(&sqld.url(), hasty())) {
        assert_timed_out(name, changes, result);
    }
    sqld.unpause();
    // What was sent before the pause ended is carried out after it, or not: both were announced.
    assert!(count(&direct) <= 1);
}

#[test]
fn nobody_at_the_address_is_unreachable_and_nothing_was_sent() {
    let nobody = Nobody::new();
    let link = open(&nobody.url(), patient());
    for (name, _, result) in every_call(&link) {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{name}: {error:?}");
        assert!(error.is_transient() && !error.may_have_been_applied(), "{name}");
        assert!(error.to_string().contains(&nobody.url()), "{error}");
    }
}

#[test]
fn tls_with_a_silent_server_ends_at_the_connect_timeout_and_nothing_was_sent() {
    let (_sqld, proxy, _direct) = served();
    proxy.answer_nothing();
    let url = proxy.url().replace("http://", "https://");
    let link = open(&url, Options::new().connect_timeout(DEADLINE).retry(Retry::NEVER));
    for (name, _, result) in every_call(&link) {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{name}: {error:?}");
        assert!(!error.may_have_been_applied(), "{name}: {error:?}");
    }
}

#[test]
fn tls_with_a_server_that_has_none_is_unreachable() {
    let (sqld, _proxy, _direct) = served();
    let link = open(&sqld.url().replace("http://", "https://"), Options::new().retry(Retry::NEVER));
    let error = link.execute("INSERT INTO t VALUES (1)", &[]).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_lost_answer_is_repeated_only_where_that_does_no_harm() {
    let (_sqld, proxy, direct) = served();
    let link = open(&proxy.url(), patient());

    proxy.cut_next_response();
    let error = link.execute("INSERT INTO t VALUES (1)", &[]).unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(error.may_have_been_applied());
    assert_eq!(count(&direct), 1, "it was carried out once");

    proxy.cut_next_response();
    let error = link.batch(&[insert(2)]).unwrap_err();
    assert!(error.may_have_been_applied(), "{error:?}");
    assert_eq!(count(&direct), 2);

    proxy.cut_next_response();
    let error = link.query("INSERT INTO t VALUES (3) RETURNING a", &[]).unwrap_err();
    assert!(error.may_have_been_applied(), "{error:?}");

    let requests = proxy.requests();
    proxy.cut_next_response();
    assert_eq!(link.query("SELECT count(*) FROM t", &[]).unwrap().single(), Some(&3.into()));
    assert_eq!(proxy.requests() - requests, 2, "asked twice");

    proxy.cut_next_response();
    link.batch_repeatable(&["INSERT OR REPLACE INTO t VALUES (4)".into()]).unwrap();
    assert_eq!(count(&direct), 4);
}

#[test]
fn wherever_the_connection_breaks_an_error_tells_whether_the_batch_may_have_been_applied() {
    let (_sqld, proxy, direct) = served();
    let link = open(&proxy.url(), Options::new().retry(Retry::NEVER));
    // One whole exchange, to know how long it is.
    link.batch(&[insert(0), insert(-1)]).unwrap();
    let ends = [Direction::ToServer, Direction::ToClient].map(|way| (way, proxy.bytes(way)));
    let mut rows = 2;
    let mut value = 1;
    let mut ways_it_ended = [false; 2];
    for (direction, end) in ends {
        for cut in (0..end).step_by(37) {
            let before = proxy.bytes(direction);
            proxy.cut_after_bytes(direction, cut);
            let result = link.batch(&[insert(value), insert(-1 - value)]);
            let passed = proxy.bytes(direction) - before;
            proxy.resume();
            let now = count(&direct);
            let applied = now - rows;
            assert!(applied == 0 || applied == 2, "half a batch: {result:?}");
            match result {
                Err(error) => {
                    assert!(
                        applied == 0 || error.may_have_been_applied(),
                        "{direction:?} after {cut} bytes: it was applied, and {error:?}"
                    );
                    ways_it_ended[usize::from(applied == 2)] = true;
                }
                // Answers tell how long the server took: this one was shorter than the first.
                Ok(_) => assert!(applied == 2 && passed <= cut && end - cut < 37, "{passed}"),
            }
            rows = now;
            value += 1;
        }
    }
    assert_eq!(ways_it_ended, [true; 2], "cut before and after it was applied");
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    let (mut sqld, _proxy, _direct) = served();
    let link = open(&sqld.url(), patient());
    let mut snapshot = link.read_transaction().unwrap();
    sqld.restart();
    let error = snapshot.query("SELECT 1", &[]).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(count(&link), 0);
    sqld.restart();
    // The connection that is kept for the next call is dead, and was not used for this one.
    link.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
    assert_eq!(count(&link), 1);
}

#[test]
fn every_lie_is_an_error_of_its_kind() {
    let (_sqld, proxy, _direct) = served();
    let link = open(&proxy.url(), Options::new().retry(Retry::NEVER));
    let execute = || link.execute("INSERT INTO t VALUES (1)", &[]).unwrap_err();
    let ok = r#"{"type":"ok","response":{"type":"close"}}"#;
    for (status, body) in [
        (200, "garbage"),
        (200, ""),
        (200, "{}"),
        (200, r#"{"results":[]}"#),
        (200, &format!(r#"{{"results":[{ok}]}}"#)),
        (200, &format!(r#"{{"results":[{ok},{ok}]}}"#)),
        (200, &format!(r#"{{"results":[{ok},{ok},{ok}]}}"#)),
        (200, &format!(r#"{{"results":[{{"type":"error"}},{ok}]}}"#)),
        (404, "<html>not here</html>"),
        (405, ""),
        (418, "teapot"),
        (500, "it hurts"),
        (502, "nobody there"),
        (302, ""),
    ] {
        proxy.lie(status, body);
        let error = execute();
        match &error {
            Error::Protocol { status: said, .. } => {
                assert_eq!(said.unwrap_or(200), status, "{status} {body}: {error:?}");
            }
            _ => panic!("{status} {body}: {error:?}"),
        }
        // Of these, only what says that there is nobody to carry it out is sure.
        let sure = [404, 405].contains(&status);
        assert_eq!(error.may_have_been_applied(), !sure, "{status} {body}");
    }
    proxy.lie(401, "");
    assert!(matches!(execute(), Error::Refused { status: Some(401), .. }));
    proxy.lie(403, r#"{"error":"blocked"}"#);
    let error = execute();
    assert!(
        matches!(&error, Error::Refused { status: Some(403), reason, .. } if reason.contains("blocked"))
    );
    proxy.lie(429, "");
    assert!(matches!(execute(), Error::Busy { .. }));
    proxy.lie(413, "");
    assert!(matches!(execute(), Error::TooLarge { .. }));
    proxy.lie_bytes("SSH-2.0-OpenSSH\r\n");
    assert!(matches!(execute(), Error::Lost { .. }));
    proxy.lie_bytes("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"results\":[");
    assert!(matches!(execute(), Error::Lost { .. }));
    // What lies about its size cannot make the client reserve it.
    proxy.lie_bytes("HTTP/1.1 200 OK\r\ncontent-length: 9000000000000\r\n\r\n{");
    assert!(matches!(execute(), Error::Lost { .. }));
    for value in [
        r#"{"type":"integer","value":"12x"}"#,
        r#"{"type":"integer","value":"9223372036854775808"}"#,
        r#"{"type":"blob","base64":"?"}"#,
        r#"{"type":"text"}"#,
        r#"{"type":"odd","value":1}"#,
        r#"{"value":1}"#,
        "7",
        r#"{"type":"null"},{"type":"null"}"#,
    ] {
        let result = format!(r#"{{"cols":[{{"name":"a"}}],"rows":[[{value}]]}}"#);
        let result =
            format!(r#"{{"type":"ok","response":{{"type":"execute","result":{result}}}}}"#);
        proxy.lie(200, &format!(r#"{{"results":[{result},{ok}]}}"#));
        let error = link.query("SELECT a FROM t", &[]).unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{value}: {error:?}");
        assert!(!error.may_have_been_applied());
    }
}

#[test]
fn only_the_right_token_opens_the_door_and_no_error_shows_it() {
    let keys = Keys::generate();
    let settings = Settings { jwt_public_key: Some(keys.public()), ..Settings::default() };
    let sqld = Sqld::start_with(settings);
    let with = |token: &str| {
        let (location, token) =
            libsql_link::Location::parse(&format!("{}?authToken={token}", sqld.url())).unwrap();
        Link::open(&location, Options::new().token(token)).unwrap()
    };
    let right = with(&keys.token(Access::ReadWrite));
    right.batch(&["CREATE TABLE t (a)".into(), insert(1)]).unwrap();

    let reader = keys.token(Access::ReadOnly);
    let reads = with(&reader);
    assert_eq!(count(&reads), 1);
    let error = reads.execute("INSERT INTO t VALUES (2)", &[]).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(&reader));
    let position = right.position().unwrap();
    assert!(position.is_some());
    assert_eq!(reads.position().unwrap(), position);

    let tokens = [keys.expired_token(), Keys::generate().token(Access::ReadWrite), "no-jwt".into()];
    for token in &tokens {
        let link = with(token);
        for (name, result) in [
            ("query", link.query("SELECT 1", &[]).map(drop)),
            ("batch", link.batch(&[insert(3)]).map(drop)),
            ("snapshot", link.read_transaction().map(drop)),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Refused { status: Some(401), .. }), "{name}: {error:?}");
            assert!(!error.is_transient() && !error.may_have_been_applied());
            assert!(!format!("{error} {error:?} {link:?}").contains(token.as_str()));
        }
        assert_eq!(link.position().unwrap(), None, "who is not let in is told nothing");
    }
    let error = open(&sqld.url(), Options::new()).query("SELECT 1", &[]).unwrap_err();
    assert!(matches!(error, Error::Refused { status: Some(401), .. }), "{error:?}");
    assert_eq!(count(&right), 1);
}

#[test]
fn a_server_that_repeats_the_token_does_not_bring_it_into_an_error() {
    let (_sqld, proxy, _direct) = served();
    let secret = "s3cret-s3cret-s3cret";
    let token = libsql_link::Token::new(secret).unwrap();
    let link = open(&proxy.url(), Options::new().token(token).retry(Retry::NEVER));
    let error = format!(r#"{{"type":"error","error":{{"message":"no {secret}","code":"X"}}}}"#);
    for (status, body) in [
        (500, format!("you sent Authorization: Bearer {secret}")),
        (401, format!("{}{secret}", "x".repeat(290))),
        (400, format!(r#"{{"message":"bad {secret}","code":"SQL_X"}}"#)),
        (200, format!(r#"{{"results":[{error},{error}]}}"#)),
    ] {
        proxy.lie(status, &body);
        let error = link.query("SELECT 1", &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{status}: {error:?}");
    }
}

#[test]
fn a_call_is_one_round_trip() {
    let (_sqld, proxy, _direct) = served();
    proxy.set_delay(Duration::from_millis(2));
    let link = open(&proxy.url(), Options::new());
    link.query("SELECT 1", &[]).unwrap();
    let statements: Vec<Statement> = (0..100).map(insert).collect();
    let requests = proxy.requests();
    link.batch(&statements).unwrap();
    link.execute("DELETE FROM t WHERE a = 5", &[]).unwrap();
    link.query("SELECT 1", &[]).unwrap();
    assert_eq!(proxy.requests() - requests, 3);
    // A connection is used again, unless it comes back just too late for the next call.
    let connections = proxy.connections();
    for _ in 0..20 {
        link.query("SELECT 1", &[]).unwrap();
    }
    assert!(proxy.connections() - connections < 20);
}

#[test]
fn an_answer_of_any_size_is_read() {
    let settings = Settings {
        arguments: ["--max-response-size", "100KB"].map(str::to_owned).into(),
        ..Settings::default()
    };
    let sqld = Sqld::start_with(settings);
    let link = open(&sqld.url(), Options::new());
    let sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 300)
         SELECT x, hex(zeroblob(500)) AS zeros FROM c";
    let rows = link.query(sql, &[]).unwrap();
    assert_eq!(rows.columns, ["x", "zeros"]);
    assert_eq!(rows.len(), 300);
    assert_eq!(rows.rows[299], [300.into(), "0".repeat(1000).as_str().into()]);
    let mut snapshot = link.read_transaction().unwrap();
    let both = snapshot.query_all(&[sql.into(), "SELECT 7".into()]).unwrap();
    assert_eq!((both[0].len(), both[1].single()), (300, Some(&Value::Integer(7))));
    snapshot.end().unwrap();
    // What changes rows is not done twice to read it.
    link.execute("CREATE TABLE t (a)", &[]).unwrap();
    let sql = "INSERT INTO t VALUES (hex(zeroblob(100000))) RETURNING a";
    let error = link.query(sql, &[]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert!(error.may_have_been_applied());
}

#[test]
fn an_answer_that_is_larger_than_allowed_is_not_read_to_its_end() {
    let (_sqld, _proxy, direct) = served();
    let link = open(
        direct.location().url().unwrap().base().as_str(),
        Options::new().answer_max_bytes(10_000),
    );
    assert_eq!(link.query("SELECT hex(zeroblob(4000))", &[]).unwrap().len(), 1);
    let error = link.query("SELECT hex(zeroblob(5000))", &[]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

#[test]
fn values_that_json_cannot_carry_are_said_to_be_unreadable() {
    let (_sqld, _proxy, direct) = served();
    for sql in ["SELECT 9e999", "SELECT -9e999", "SELECT CAST(x'ff41' AS TEXT)"] {
        let error = direct.query(sql, &[]).unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }), "{sql}: {error:?}");
    }
    let error = direct.query("SELECT ?1", &[Value::Real(f64::INFINITY)]).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
    // What cannot be sent was not carried out; what gave such a value was.
    let sql = "INSERT INTO t VALUES (1) RETURNING 9e999";
    let error = direct.query(sql, &[]).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }) && error.may_have_been_applied());
    assert_eq!(count(&direct), 1);
    let error = direct.execute("INSERT INTO t VALUES (?1)", &[Value::Real(f64::NAN)]).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }) && !error.may_have_been_applied());
}

#[test]
fn cancelling_ends_the_call_under_way_and_those_to_come() {
    let (_sqld, proxy, _direct) = served();
    let cancel = CancelToken::new();
    let link = open(&proxy.url(), Options::new().cancel(cancel.clone()));
    link.query("SELECT 1", &[]).unwrap();
    proxy.answer_nothing();
    let requests = proxy.requests();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| link.execute("INSERT INTO t VALUES (1)", &[]));
        while proxy.requests() == requests {
            std::thread::yield_now();
        }
        cancel.cancel();
        let error = call.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }), "{error:?}");
        assert!(error.may_have_been_applied() && !error.is_transient());
    });
    let error = link.execute("INSERT INTO t VALUES (1)", &[]).unwrap_err();
    assert!(
        matches!(error, Error::Cancelled { .. }) && !error.may_have_been_applied(),
        "{error:?}"
    );
}

/// The server lets a writer wait for another one for five seconds, then ends the other's
/// transaction. This test waits for that.
#[test]
fn a_transaction_that_the_server_ended_has_expired_and_one_that_came_too_late_is_busy() {
    let (_sqld, _proxy, direct) = served();
    // Transactions that write are none of this library's offers; these pretend to read.
    let mut late = direct.read_transaction().unwrap();
    let mut holder = direct.read_transaction().unwrap();
    holder.query("INSERT INTO t VALUES (1)", &[]).unwrap();
    direct.execute("INSERT INTO t VALUES (2)", &[]).unwrap();
    let error = holder.query("SELECT count(*) FROM t", &[]).unwrap_err();
    assert!(matches!(error, Error::Expired { .. }) && error.is_transient(), "{error:?}");
    let error = late.query("INSERT INTO t VALUES (3)", &[]).unwrap_err();
    assert!(matches!(error, Error::Busy { .. } | Error::Conflict { .. }), "{error:?}");
    assert_eq!(count(&direct), 1, "only the one that was not held up counts");
}

#[tokio::test]
async fn dropping_a_call_lets_go_of_it_and_the_link_stays_usable() {
    let sqld = Sqld::start();
    let proxy = Proxy::start(sqld.address());
    let link =
        libsql_link::Link::open(&proxy.url().parse().unwrap(), Options::new()).await.unwrap();
    proxy.answer_nothing();
    let call = link.query("SELECT 1", &[]);
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
    proxy.resume();
    assert_eq!(link.query("SELECT 1", &[]).await.unwrap().single(), Some(&1.into()));
}
