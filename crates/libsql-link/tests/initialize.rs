//! SQLite's threading mode, which the libsql crate insists on choosing.

use std::process::Command;

use libsql_link::{Error, Link, Location, Options};

/// Set for the process in which SQLite is used too early.
const CHILD: &str = "LIBSQL_LINK_TEST_CHILD";

#[tokio::test]
async fn other_uses_of_sqlite_may_follow_and_the_libsql_crate_still_works() {
    libsql_link::initialize().unwrap();
    let other = rusqlite::Connection::open_in_memory().unwrap();
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    let database = libsql::Builder::new_local(":memory:").build().await.unwrap();
    database.connect().unwrap().query("SELECT 1", ()).await.unwrap();
    libsql_link::initialize().unwrap();
}

#[test]
fn too_late_is_an_error_for_replicas_only_and_no_panic() {
    if std::env::var_os(CHILD).is_none() {
        // What was chosen in this process cannot be undone: it takes another one.
        let name = "too_late_is_an_error_for_replicas_only_and_no_panic";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let error = libsql_link::initialize().unwrap_err();
    assert!(matches!(&error, Error::Unsupported { reason, .. } if reason.contains("initialize")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let link = Link::open(&Location::Local(path), Options::new()).await.unwrap();
        link.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
        let url = "http://127.0.0.1:9".parse().unwrap();
        let replica = Location::Replica { path: folder.path().join("b.db"), url };
        let error = Link::open(&replica, Options::new()).await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    });
}
