//! Files: locks, deadlines, cancellation, damage.

use std::path::Path;
use std::time::Duration;

use libsql_link::{Error, Link, Location, Options, Statement, Value, blocking};

const DEADLINE: Duration = Duration::from_millis(300);

/// Runs for minutes unless it is interrupted.
const ENDLESS: &str = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)
     SELECT count(*) FROM c WHERE x < 0 LIMIT 1";

fn at(path: &Path) -> Location {
    Location::Local(path.to_owned())
}

/// With the deadline for what follows; a machine that is busy may need some attempts to open it.
fn open_in_time(location: &Location) -> blocking::Link {
    let options = Options::new().call_timeout(DEADLINE);
    (0..50)
        .find_map(|_| blocking::Link::open(location, options.clone()).ok())
        .expect("it opens within the deadline")
}

#[test]
fn an_endless_statement_ends_at_its_deadline_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let location = at(&folder.path().join("a.db"));
    let patient = blocking::Link::open(&location, Options::new()).unwrap();
    patient.execute("CREATE TABLE t (a)", &[]).unwrap();
    let link = open_in_time(&location);
    let error = link.query(ENDLESS, &[]).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    let sql = format!("INSERT INTO t SELECT 1 UNION ALL SELECT * FROM ({ENDLESS})");
    let batch = ["INSERT INTO t VALUES (1)".into(), Statement::from(sql)];
    let error = link.batch(&batch).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert!(!error.may_have_been_applied(), "an interrupted transaction is rolled back");
    let count = patient.query("SELECT count(*) FROM t", &[]).unwrap();
    assert_eq!(count.single(), Some(&Value::Integer(0)));
}

#[test]
fn a_database_that_somebody_else_holds_is_busy_and_free_again_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (a); BEGIN EXCLUSIVE").unwrap();
    let options = Options::new().call_timeout(DEADLINE * 4);
    let error = blocking::Link::open(&at(&path), options.clone()).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    assert!(error.is_transient() && !error.may_have_been_applied());
    other.execute_batch("COMMIT").unwrap();
    let link = blocking::Link::open(&at(&path), options).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = link.execute("INSERT INTO t VALUES (1)", &[]).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(link.execute("INSERT INTO t VALUES (1)", &[]).unwrap(), 1);
}

#[tokio::test]
async fn dropping_a_call_ends_it_and_the_link_stays_usable() {
    let folder = tempfile::tempdir().unwrap();
    let link = Link::open(&at(&folder.path().join("a.db")), Options::new()).await.unwrap();
    let call = link.query(ENDLESS, &[]);
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
    // Waits for the connection, which the interrupted call gives back.
    assert_eq!(link.query("SELECT 1", &[]).await.unwrap().single(), Some(&Value::Integer(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_share_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let link = Link::open(&at(&folder.path().join("a.db")), Options::new()).await.unwrap();
    link.execute("CREATE TABLE t (a)", &[]).await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|value: i64| {
            let link = link.clone();
            tokio::spawn(async move {
                let insert = Statement::new("INSERT INTO t VALUES (?1)", [value.into()]);
                link.batch(&[insert.clone(), insert]).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let count = link.query("SELECT count(*) FROM t", &[]).await.unwrap();
    assert_eq!(count.single(), Some(&Value::Integer(40)));
}

#[test]
fn what_is_no_database_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "this is a text, and a long one, ".repeat(100)).unwrap();
    for path in [folder.path(), &folder.path().join("no/such/folder/a.db"), &text] {
        let error = blocking::Link::open(&at(path), Options::new()).unwrap_err();
        assert!(matches!(error, Error::Sqlite { .. }), "{error:?}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn a_statement_is_one_and_has_all_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let location = at(&folder.path().join("a.db"));
    let link = blocking::Link::open(&location, Options::new()).unwrap();
    for (sql, params) in [
        ("", vec![]),
        ("-- nothing", vec![]),
        ("SELECT 1; SELECT 2", vec![]),
        ("CREATE TABLE t (a); INSERT INTO t VALUES (1)", vec![]),
        ("SELECT ?1, ?2", vec![Value::Null]),
        ("SELECT ?1", vec![Value::Null, Value::Null]),
    ] {
        let error = link.query(sql, &params).unwrap_err();
        assert!(matches!(error, Error::BadSql { .. }), "{sql}: {error:?}");
    }
    assert_eq!(link.query("SELECT 1; -- one", &[]).unwrap().len(), 1);
    // The first of two was not run.
    link.execute("CREATE TABLE t (a)", &[]).unwrap();
}

#[test]
fn infinities_come_back_and_broken_text_is_said_to_be_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let location = at(&folder.path().join("a.db"));
    let link = blocking::Link::open(&location, Options::new()).unwrap();
    let value = Value::Real(f64::NEG_INFINITY);
    let rows = link.query("SELECT ?1, 9e999", std::slice::from_ref(&value)).unwrap();
    assert_eq!(rows.rows, [[value, Value::Real(f64::INFINITY)]]);
    let error = link.query("SELECT CAST(x'ff41' AS TEXT) AS odd", &[]).unwrap_err();
    assert!(
        matches!(&error, Error::Unreadable { reason, .. } if reason.contains("odd")),
        "{error:?}"
    );
    assert!(!error.may_have_been_applied());
    link.execute("CREATE TABLE t (a)", &[]).unwrap();
    let sql = "INSERT INTO t VALUES (1) RETURNING CAST(x'ff41' AS TEXT)";
    assert!(link.query(sql, &[]).unwrap_err().may_have_been_applied());
    assert!(!link.batch(&[sql.into()]).unwrap_err().may_have_been_applied());
    let count = link.query("SELECT count(*) FROM t", &[]).unwrap();
    assert_eq!(count.single(), Some(&Value::Integer(1)));
}
