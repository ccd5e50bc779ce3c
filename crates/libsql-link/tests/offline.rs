//! libSQL's protocol for offline writes, spoken by the real client to a small server of our own:
//! sqld does not have it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use libsql_link::offline::{self, Direction, OfflineSynced};
use libsql_link::{Error, Options, RemoteUrl, Retry, Token};
use testkit::offline_server::{OfflineServer, open_unchecked};
use testkit::proxy::{Direction as Way, Proxy};
use testkit::sqld::{Nobody, Sqld};

struct Setup {
    server: OfflineServer,
    proxy: Proxy,
    folder: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        // The server of the tests uses SQLite, too.
        libsql_link::initialize().expect("nobody used SQLite before");
        let server = OfflineServer::start("CREATE TABLE t (a); INSERT INTO t VALUES ('base')");
        let proxy = Proxy::start(server.address());
        Setup { server, proxy, folder: tempfile::tempdir().expect("no temporary folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.db")
    }

    fn sync(&self, direction: Direction) -> Result<OfflineSynced, Error> {
        offline::sync(&self.path(), &url(&self.proxy.url()), &options(), direction)
    }
}

fn options() -> Options {
    Options::new().retry(Retry::NEVER).call_timeout(Duration::from_secs(30))
}

fn url(text: &str) -> RemoteUrl {
    text.parse().expect("an address")
}

/// Writes as an application does that knows the rules.
fn write(path: &Path, sql: &str) {
    open_unchecked(path).execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn texts(path: &Path) -> String {
    open_unchecked(path)
        .query_row("SELECT group_concat(a) FROM t", [], |row| row.get(0))
        .expect("the table is there")
}

const TEXTS: &str = "SELECT group_concat(a) FROM t";

#[test]
fn a_file_is_fetched_changed_pushed_and_follows() {
    let setup = Setup::new();
    let path = setup.path();
    let synced = setup.sync(Direction::Pull).unwrap();
    assert!(synced.fetched, "{synced:?}");
    assert_eq!(texts(&path), "base");

    write(&path, "INSERT INTO t VALUES ('here')");
    let synced = setup.sync(Direction::Push).unwrap();
    assert!(synced.pushed_frames > 0 && synced.pulled_frames == 0, "{synced:?}");
    assert_eq!(setup.server.query(TEXTS), r#"Text("base,here")"#);
    assert_eq!(setup.sync(Direction::Push).unwrap().pushed_frames, 0, "nothing more");

    setup.server.execute("INSERT INTO t VALUES ('there')");
    let synced = setup.sync(Direction::Pull).unwrap();
    assert!(synced.pulled_frames > 0 && synced.pushed_frames == 0, "{synced:?}");
    assert_eq!(texts(&path), "base,here,there");

    write(&path, "UPDATE t SET a = upper(a)");
    let synced = setup.sync(Direction::Both).unwrap();
    assert!(synced.pushed_frames > 0, "{synced:?}");
    assert_eq!(setup.server.query(TEXTS), r#"Text("BASE,HERE,THERE")"#);
}

#[test]
fn a_file_follows_into_the_next_generation() {
    let setup = Setup::new();
    let path = setup.path();
    setup.sync(Direction::Pull).unwrap();
    setup.server.execute("INSERT INTO t VALUES ('old')");
    setup.server.checkpoint();
    setup.server.execute("INSERT INTO t VALUES ('new')");
    let synced = setup.sync(Direction::Pull).unwrap();
    assert_eq!(synced.generation, 2);
    assert_eq!(texts(&path), "base,old,new");
    write(&path, "INSERT INTO t VALUES ('mine')");
    setup.sync(Direction::Push).unwrap();
    assert_eq!(setup.server.query(TEXTS), r#"Text("base,old,new,mine")"#);
    // Into one that has no frames yet: what was fetched, and checkpointed by libSQL itself, is
    // what the server goes on from.
    setup.server.checkpoint();
    assert_eq!(setup.sync(Direction::Both).unwrap().generation, 3);
    write(&path, "INSERT INTO t VALUES ('third')");
    assert!(setup.sync(Direction::Both).unwrap().pushed_frames > 0);
    assert_eq!(setup.server.query(TEXTS), r#"Text("base,old,new,mine,third")"#);
}

#[test]
fn changes_on_both_sides_are_a_conflict_and_neither_is_lost() {
    let setup = Setup::new();
    let path = setup.path();
    setup.sync(Direction::Pull).unwrap();
    write(&path, "INSERT INTO t VALUES ('mine')");
    setup.server.execute("INSERT INTO t VALUES ('theirs')");
    for direction in [Direction::Pull, Direction::Push, Direction::Both] {
        let error = setup.sync(direction).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{direction:?}: {error:?}");
        assert_eq!(texts(&path), "base,mine");
        assert_eq!(setup.server.query(TEXTS), r#"Text("base,theirs")"#);
    }
}

#[test]
fn a_checkpoint_by_another_program_is_noticed() {
    // It opens, reads, and checkpoints when it closes.
    let checkpoint = |path: &Path| {
        let other = rusqlite::Connection::open(path).expect("it opens");
        other.query_row("SELECT count(*) FROM t", [], |_| Ok(())).expect("it can be read");
    };
    let unsent = "INSERT INTO t VALUES ('unsent')";
    let much = "INSERT INTO t VALUES (hex(zeroblob(40000)))";
    // Before or after a first push; with nothing, or much, written afterwards.
    for (pushed, afterwards) in [(true, None), (true, Some(much)), (false, Some(unsent))] {
        let setup = Setup::new();
        let path = setup.path();
        setup.sync(Direction::Pull).unwrap();
        if pushed {
            write(&path, "INSERT INTO t VALUES ('sent')");
            setup.sync(Direction::Push).unwrap();
        }
        write(&path, unsent);
        checkpoint(&path);
        if let Some(sql) = afterwards {
            write(&path, sql);
        }
        let sent = setup.server.frames();
        for direction in [Direction::Push, Direction::Both] {
            let error = setup.sync(direction).unwrap_err();
            assert!(
                matches!(&error, Error::Conflict { reason, .. } if reason.contains("checkpointed")),
                "{pushed} {afterwards:?}: {error:?}"
            );
        }
        assert_eq!(setup.server.frames(), sent);
    }
    // With nothing to push, what comes would be mixed with what is here.
    let setup = Setup::new();
    setup.sync(Direction::Pull).unwrap();
    write(&setup.path(), unsent);
    checkpoint(&setup.path());
    setup.server.execute("INSERT INTO t VALUES ('theirs')");
    let error = setup.sync(Direction::Pull).unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
    assert_eq!(texts(&setup.path()), "base,unsent");
}

#[test]
fn ok_is_not_believed() {
    let setup = Setup::new();
    let path = setup.path();
    setup.sync(Direction::Pull).unwrap();
    write(&path, "INSERT INTO t VALUES ('mine')");
    let info = beside_info(&path);
    let before = std::fs::read(&info).unwrap();

    setup.server.swallow_pushes(true);
    let error = setup.sync(Direction::Push).unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }) && error.may_have_been_applied(), "{error:?}");
    // libSQL believes it, and has noted it; without that note the push is repeated.
    assert_eq!(std::fs::read(&info).unwrap(), before);
    setup.server.swallow_pushes(false);
    setup.server.spoil_pushes(true);
    let error = setup.sync(Direction::Push).unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

fn beside_info(path: &Path) -> PathBuf {
    offline::files(path)[3].clone()
}

#[test]
fn a_server_that_is_down_silent_or_cut_off_is_an_error_within_the_deadline() {
    let setup = Setup::new();
    let path = setup.path();
    setup.sync(Direction::Pull).unwrap();
    write(&path, "INSERT INTO t VALUES (hex(zeroblob(20000)))");

    let nobody = Nobody::new();
    let error = offline::sync(&path, &url(&nobody.url()), &options(), Direction::Push).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");

    setup.proxy.answer_nothing();
    let hasty = options().call_timeout(Duration::from_millis(300));
    let through = url(&setup.proxy.url());
    let error = offline::sync(&path, &through, &hasty, Direction::Push).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    setup.proxy.resume();

    let mut failures = 0;
    for cut in [100, 1000, 5000, 20_000] {
        setup.proxy.cut_after_bytes(Way::ToServer, cut);
        let result = setup.sync(Direction::Push);
        setup.proxy.resume();
        failures += usize::from(result.is_err());
    }
    assert_eq!(failures, 4, "more than 20,000 bytes are to be pushed");
    let synced = setup.sync(Direction::Push).unwrap();
    assert!(synced.pushed_frames > 5, "{synced:?}");
    assert_eq!(setup.server.query("SELECT max(length(a)) FROM t"), "Integer(40000)");
}

#[test]
fn a_server_without_the_protocol_is_said_to_be_one() {
    libsql_link::initialize().unwrap();
    let sqld = Sqld::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let error = offline::sync(&path, &url(&sqld.url()), &options(), Direction::Both).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(!path.exists());
}

#[test]
fn what_is_no_synced_database_is_left_alone() {
    let setup = Setup::new();
    let path = setup.path();
    let error = setup.sync(Direction::Push).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    write(&path, "CREATE TABLE mine (a)");
    for direction in [Direction::Pull, Direction::Push, Direction::Both] {
        let error = setup.sync(direction).unwrap_err();
        assert!(
            matches!(&error, Error::Io { reason, .. } if reason.contains("-info")),
            "{error:?}"
        );
    }
    assert_eq!(setup.server.frames(), 0);
    std::fs::write(beside_info(&path), "damaged").unwrap();
    let error = setup.sync(Direction::Push).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}

#[test]
fn the_token_is_asked_for_and_not_shown() {
    let setup = Setup::new();
    setup.server.require_token("s3cret");
    let with = |token: &str| options().token(Token::new(token).unwrap());
    let sync = |options: &Options| {
        offline::sync(&setup.path(), &url(&setup.proxy.url()), options, Direction::Pull)
    };
    for options in [options(), with("wr0ng")] {
        let error = sync(&options).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("wr0ng"));
    }
    assert!(sync(&with("s3cret")).unwrap().fetched);
}
