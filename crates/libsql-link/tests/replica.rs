//! Embedded replicas of a real server.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use libsql_link::blocking::Link;
use libsql_link::{Error, Location, Options, Statement, SyncStrategy, Value, remove_replica};
use testkit::proxy::Proxy;
use testkit::sqld::{Settings, Sqld};

struct Setup {
    sqld: Sqld,
    proxy: Proxy,
    folder: tempfile::TempDir,
    /// Goes to the server directly.
    server: Link,
}

impl Setup {
    /// A server with a table `t (a)` of one row, 1.
    fn new() -> Self {
        let sqld = Sqld::start();
        let proxy = Proxy::start(sqld.address());
        let url = sqld.url().parse().expect("an address");
        let server = Link::open(&url, Options::new()).expect("servers are opened unasked");
        server
            .batch(&["CREATE TABLE t (a)".into(), "INSERT INTO t VALUES (1)".into()])
            .expect("the server works");
        let folder = tempfile::tempdir().expect("no temporary folder");
        Setup { sqld, proxy, folder, server }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("replica.db")
    }

    fn open(&self, options: Options) -> Result<Link, Error> {
        let url = self.proxy.url().parse().expect("an address");
        Link::open(&Location::Replica { path: self.path(), url }, options)
    }

    fn insert(&self, value: i64) {
        self.server.execute("INSERT INTO t VALUES (?1)", &[value.into()]).expect("it is written");
    }
}

fn count(link: &Link) -> i64 {
    let rows = link.query("SELECT count(*) FROM t", &[]).expect("the table is there");
    rows.single().and_then(Value::as_integer).expect("a count")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_replica_follows_when_it_is_told_to() {
    let setup = Setup::new();
    let replica = setup.open(Options::new()).unwrap();
    assert_eq!(count(&replica), 1, "a new replica is fetched");
    setup.insert(2);
    assert_eq!(count(&replica), 1);
    assert_eq!(replica.execute("INSERT INTO t VALUES (3)", &[]).unwrap(), 1);
    assert_eq!(count(&setup.server), 3, "writes go to the server");
    assert_eq!(count(&replica), 1);
    let synced = replica.sync().unwrap();
    assert!(synced.compared && !synced.anew && synced.pages > 0, "{synced:?}");
    assert_eq!(count(&replica), 3);
    assert_eq!(replica.last_sync_error().map(|error| error.to_string()), None);

    // A text with NUL comes through the file as it is; reads need no network.
    replica.execute("INSERT INTO t VALUES (?1)", &["a\0b".into()]).unwrap();
    replica.sync().unwrap();
    setup.proxy.answer_nothing();
    let rows = replica.query("SELECT a FROM t WHERE typeof(a) = 'text'", &[]).unwrap();
    assert_eq!(rows.single(), Some(&Value::Text("a\0b".into())));
}

#[test]
fn a_replica_syncs_before_reads_or_after_writes_if_asked() {
    let setup = Setup::new();
    let replica = setup.open(Options::new().sync(SyncStrategy::BeforeReads)).unwrap();
    setup.insert(2);
    assert_eq!(count(&replica), 2);
    setup.insert(3);
    let mut snapshot = replica.read_transaction().unwrap();
    setup.insert(4);
    let rows = snapshot.query("SELECT count(*) FROM t", &[]).unwrap();
    assert_eq!(rows.single(), Some(&Value::Integer(3)));
    drop((snapshot, replica));

    let replica = setup.open(Options::new().sync(SyncStrategy::AfterWrites)).unwrap();
    setup.insert(5);
    assert_eq!(count(&replica), 3);
    replica.batch(&["INSERT INTO t VALUES (6)".into()]).unwrap();
    assert_eq!(count(&replica), 6);
    let rows = replica.query("INSERT INTO t VALUES (7) RETURNING a", &[]).unwrap();
    assert_eq!(rows.single(), Some(&Value::Integer(7)));
    assert_eq!(count(&replica), 7);
    assert_eq!(count(&setup.server), 7);
}

#[test]
fn a_background_sync_tells_what_fails_and_goes_on() {
    let mut setup = Setup::new();
    let (tell, heard) = mpsc::channel();
    let options = Options::new()
        .sync(SyncStrategy::Every(Duration::from_millis(5)))
        .retry(libsql_link::Retry::NEVER)
        .on_sync(move |result| {
            let _ = tell.send(result.copied().map_err(Clone::clone));
        });
    let replica = setup.open(options).unwrap();
    let wait_for = |what: &dyn Fn(&Result<libsql_link::Synced, Error>) -> bool| {
        while !what(&heard.recv_timeout(Duration::from_mins(1)).expect("it syncs for ever")) {}
    };
    setup.insert(2);
    wait_for(&|result| result.is_ok() && count(&replica) == 2);

    setup.sqld.kill();
    wait_for(&|result| matches!(result, Err(Error::Lost { .. } | Error::Unreachable { .. })));
    assert!(replica.last_sync_error().is_some());
    assert_eq!(count(&replica), 2, "reads go on");
    setup.sqld.restart();
    setup.insert(3);
    wait_for(&|_| count(&replica) == 3);
    drop(replica);
    while heard.recv().is_ok() {}
}

#[test]
fn metadata_without_its_file_is_not_believed() {
    let setup = Setup::new();
    drop(setup.open(Options::new()).unwrap());
    std::fs::remove_file(setup.path()).unwrap();
    assert!(names(setup.folder.path()).iter().any(|name| name.ends_with("-client_wal_index")));
    let replica = setup.open(Options::new()).unwrap();
    assert_eq!(count(&replica), 1);
}

#[test]
fn a_replica_that_differs_from_the_server_is_made_anew() {
    let setup = Setup::new();
    drop(setup.open(Options::new()).unwrap());
    for name in names(setup.folder.path()) {
        if name.ends_with("-wal") || name.ends_with("-shm") {
            std::fs::remove_file(setup.folder.path().join(name)).unwrap();
        }
    }
    std::fs::remove_file(setup.path()).unwrap();
    let other = rusqlite::Connection::open(setup.path()).unwrap();
    other.execute_batch("CREATE TABLE other (a); INSERT INTO other VALUES (8)").unwrap();
    drop(other);
    let replica = setup.open(Options::new()).unwrap();
    let synced = replica.sync().unwrap();
    assert!(synced.anew && synced.compared, "{synced:?}");
    assert_eq!(count(&replica), 1);
    assert!(replica.query("SELECT * FROM other", &[]).is_err());
    // And it follows from there.
    setup.insert(2);
    assert!(!replica.sync().unwrap().anew);
    assert_eq!(count(&replica), 2);
}

#[test]
fn a_database_that_is_no_replica_is_left_alone() {
    let setup = Setup::new();
    let mine = rusqlite::Connection::open(setup.path()).unwrap();
    mine.execute_batch("CREATE TABLE mine (a)").unwrap();
    drop(mine);
    let before = std::fs::read(setup.path()).unwrap();
    for error in
        [setup.open(Options::new()).unwrap_err(), remove_replica(&setup.path()).unwrap_err()]
    {
        assert!(
            matches!(&error, Error::Io { reason, .. } if reason.contains("no replica")),
            "{error:?}"
        );
    }
    assert_eq!(std::fs::read(setup.path()).unwrap(), before);
}

#[test]
fn a_replica_is_open_once_and_removed_as_a_whole() {
    let setup = Setup::new();
    let replica = setup.open(Options::new()).unwrap();
    let error = setup.open(Options::new()).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    let error = remove_replica(&setup.path()).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    assert_eq!(count(&replica), 1);
    drop(replica);
    remove_replica(&setup.path()).unwrap();
    assert_eq!(names(setup.folder.path()), [""; 0]);
    remove_replica(&setup.path()).unwrap();
}

#[test]
fn without_the_server_a_replica_opens_if_it_exists_and_leaves_nothing_if_not() {
    let mut setup = Setup::new();
    drop(setup.open(Options::new()).unwrap());
    setup.sqld.kill();
    let options = Options::new().retry(libsql_link::Retry::NEVER);
    let replica = setup.open(options.clone()).unwrap();
    assert_eq!(count(&replica), 1);
    let error = replica.sync().unwrap_err();
    assert!(matches!(error, Error::Lost { .. } | Error::Unreachable { .. }), "{error:?}");
    let error = replica.execute("INSERT INTO t VALUES (2)", &[]).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    drop(replica);
    remove_replica(&setup.path()).unwrap();
    setup.open(options).unwrap_err();
    assert_eq!(names(setup.folder.path()), ["replica.db-lock"]);
}

#[test]
fn a_sync_with_a_silent_server_ends_at_its_deadline_and_the_next_one_works() {
    let setup = Setup::new();
    drop(setup.open(Options::new()).unwrap());
    setup.insert(2);
    setup.proxy.answer_nothing();
    let replica = setup.open(Options::new().sync_timeout(Duration::from_millis(300))).unwrap();
    let error = replica.sync().unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert!(!error.may_have_been_applied());
    assert!(matches!(replica.last_sync_error(), Some(Error::TimedOut { .. })));
    assert_eq!(count(&replica), 1);
    drop(replica);
    setup.proxy.resume();
    let replica = setup.open(Options::new()).unwrap();
    replica.sync().unwrap();
    assert_eq!(count(&replica), 2);
}

#[test]
fn wherever_the_connection_breaks_during_a_sync_the_next_one_makes_it_whole() {
    use testkit::proxy::Direction;
    let setup = Setup::new();
    // A connection that breaks just when it is used again is to be expected here.
    let retry = libsql_link::Retry {
        attempts_max: 4,
        first_delay: Duration::from_millis(1),
        delay_max: Duration::from_millis(5),
    };
    let replica = setup.open(Options::new().retry(retry)).unwrap();
    let mut rows = 1;
    for cut in [500, 3000, 20_000] {
        let many: Vec<Statement> = (0..50)
            .map(|value: i64| {
                Statement::new("INSERT INTO t VALUES (hex(zeroblob(200 + ?1)))", [value.into()])
            })
            .collect();
        setup.server.batch(&many).unwrap();
        setup.proxy.cut_after_bytes(Direction::ToClient, cut);
        let cut_off = replica.sync();
        let seen = count(&replica);
        assert!(seen == rows || seen == rows + 50, "part of a transaction: {cut_off:?}");
        rows += 50;
        setup.proxy.resume();
        replica.sync().unwrap();
        assert_eq!(count(&replica), rows);
    }
    let check = replica.query("SELECT * FROM pragma_integrity_check", &[]).unwrap();
    assert_eq!(check.single(), Some(&"ok".into()));
}

#[test]
fn a_replica_needs_the_token_and_no_error_shows_it() {
    let keys = testkit::jwt::Keys::generate();
    let settings = Settings { jwt_public_key: Some(keys.public()), ..Settings::default() };
    let sqld = Sqld::start_with(settings);
    let folder = tempfile::tempdir().unwrap();
    let url: libsql_link::RemoteUrl = sqld.url().parse().unwrap();
    let location = Location::Replica { path: folder.path().join("a.db"), url };
    let wrong = keys.expired_token();
    let token = |text: &str| Options::new().token(libsql_link::Token::new(text).unwrap());
    let error = Link::open(&location, token(&wrong)).unwrap_err();
    assert!(matches!(error, Error::Refused { status: Some(401), .. }), "{error:?}");
    assert!(!format!("{error:?}").contains(&wrong));
    let right = token(&keys.token(testkit::jwt::Access::ReadWrite));
    let replica = Link::open(&location, right).unwrap();
    replica.execute("CREATE TABLE t (a)", &[]).unwrap();
    replica.sync().unwrap();
    assert_eq!(count(&replica), 0);
}
