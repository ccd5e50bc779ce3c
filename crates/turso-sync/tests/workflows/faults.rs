//! Whatever happens on the way, nothing is lost and nothing is done twice.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libsql_link::{Retry, Token};
use testkit::jwt::{Access, Keys};
use testkit::proxy::{Direction, Proxy};
use testkit::sqld::{Settings, Sqld};
use turso_sync::{
    Error, Existing, Progress, PullEnd, PullOptions, PushEnd, PushOptions, Remote, Step, Unwatched,
};

use crate::desk::{Desk, assert_same, change, push_to, remote, value};

/// Gives up at once, so that each fault is met alone.
fn impatient(url: &str) -> Remote {
    let mut remote = remote(url);
    remote.options = remote.options.retry(Retry::NEVER);
    remote
}

/// A table with rows of about 1 kB.
const ROWS: &str = "
    CREATE TABLE plan (id INTEGER PRIMARY KEY, day TEXT, note TEXT UNIQUE);
    CREATE INDEX plan_day ON plan (day);
    WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 600)
    INSERT INTO plan SELECT i, date('2026-01-01', i || ' days'), i || printf('%.*c', 900, 'x') FROM n;
";

/// A server, a proxy before it, and a working file with changes to push.
struct Scene {
    desk: Desk,
    proxy: Proxy,
    file: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let desk = Desk::new();
        let file = desk.file("ours.db", ROWS);
        let proxy = Proxy::start(desk.sqld.address());
        let server = remote(&proxy.url());
        turso_sync::init(&file, &server, Existing::default(), &Unwatched).unwrap();
        assert_eq!(push_to(&file, &server).unwrap().end, PushEnd::Pushed);
        Self { desk, proxy, file }
    }

    /// The next changes, different each time.
    fn change(&self, round: u64) {
        change(
            &self.file,
            &format!(
                "UPDATE plan SET day = 'round {round}' WHERE id % 5 < 3;
                 DELETE FROM plan WHERE id >= 1000;
                 WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 650)
                 INSERT INTO plan SELECT 1000 + i + {round}, 'added',
                   '{round} ' || i || printf('%.*c', 900, 'y') FROM n;"
            ),
        );
    }

    /// A push that meets the fault, then one that does not.
    #[track_caller]
    fn survives(&self, fault: &str) {
        let first = push_to(&self.file, &impatient(&self.proxy.url()));
        if let Err(error) = &first {
            assert!(error.is_transient(), "{fault}: {error}");
        }
        self.proxy.resume();
        let second = push_to(&self.file, &impatient(&self.proxy.url()))
            .unwrap_or_else(|error| panic!("{fault}: {error}"));
        assert_ne!(second.end, PushEnd::Conflict, "{fault}: {second:?}");
        self.desk.assert_server_is(&self.file);
        let journal = self.desk.path("ours.db.sync/push");
        assert!(!journal.exists(), "{fault}: the journal is left");
    }
}

#[test]
fn a_push_cut_off_at_any_point_ends_in_the_same_state() {
    let scene = Scene::new();
    scene.change(0);
    let (requests, sent, received) = (
        scene.proxy.requests(),
        scene.proxy.bytes(Direction::ToServer),
        scene.proxy.bytes(Direction::ToClient),
    );
    assert_eq!(push_to(&scene.file, &remote(&scene.proxy.url())).unwrap().end, PushEnd::Pushed);
    let requests = scene.proxy.requests() - requests;
    let sent = scene.proxy.bytes(Direction::ToServer) - sent;
    let received = scene.proxy.bytes(Direction::ToClient) - received;
    assert!(requests > 5, "the push is staged: {requests} requests");
    let mut round = 0;
    for part in 0..8 {
        for (direction, total) in [(Direction::ToServer, sent), (Direction::ToClient, received)] {
            round += 1;
            scene.change(round);
            let bytes = total * part / 7;
            scene.proxy.cut_after_bytes(direction, bytes);
            scene.survives(&format!("cut after {bytes} bytes {direction:?}"));
        }
    }
}

/// Does something when a push or pull has come to a point.
struct At<F: Fn()> {
    step: Step,
    act: F,
    left: Cell<u32>,
}

impl<F: Fn()> Progress for At<F> {
    fn step(&self, step: Step) {
        if step == self.step {
            self.count();
        }
    }

    fn advance(&self, _: &str, _: u64, _: u64) {
        if self.step == Step::Fetching {
            self.count();
        }
    }
}

impl<F: Fn()> At<F> {
    fn count(&self) {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left == 1 {
            (self.act)();
        }
    }
}

#[test]
fn a_lost_answer_is_looked_up_and_the_push_not_repeated() {
    let scene = Scene::new();
    scene.change(1);
    let at =
        At { step: Step::Applying, act: || scene.proxy.cut_next_response(), left: Cell::new(1) };
    let report =
        turso_sync::push(&scene.file, &impatient(&scene.proxy.url()), &PushOptions::default(), &at)
            .unwrap();
    assert_eq!(report.end, PushEnd::Pushed);
    scene.desk.assert_server_is(&scene.file);
    let markers = scene.desk.link().query("SELECT count(*) FROM _turso_sync_push", &[]).unwrap();
    assert_eq!(markers.single().unwrap().as_integer(), Some(2), "one for each push");
}

#[test]
fn a_push_goes_on_after_the_server_was_killed_and_restarted() {
    for step in [Step::Staging, Step::Applying] {
        let scene = Scene::new();
        scene.change(1);
        let Scene { desk, proxy, file } = scene;
        let desk = std::cell::RefCell::new(desk);
        let at = At { step, act: || desk.borrow_mut().sqld.kill(), left: Cell::new(1) };
        let error = turso_sync::push(&file, &impatient(&proxy.url()), &PushOptions::default(), &at)
            .unwrap_err();
        assert!(error.is_transient(), "{error}");
        desk.borrow_mut().sqld.restart();
        let report = push_to(&file, &remote(&proxy.url())).unwrap();
        assert_eq!((report.end, report.resumed), (PushEnd::Pushed, true));
        desk.borrow().assert_server_is(&file);
    }
}

#[test]
fn a_pull_leaves_the_file_alone_when_the_server_is_killed() {
    let scene = Scene::new();
    scene.desk.serve("UPDATE plan SET day = 'theirs' WHERE id < 300");
    change(&scene.file, "DELETE FROM plan WHERE id = 500");
    let Scene { desk, proxy, file } = scene;
    let before = (std::fs::read(&file).unwrap(), std::fs::read(base(&file)).unwrap());
    let desk = std::cell::RefCell::new(desk);
    for calls in [1, 2] {
        let at = At {
            step: Step::Fetching,
            act: || desk.borrow_mut().sqld.kill(),
            left: Cell::new(calls),
        };
        let pulled =
            turso_sync::pull(&file, &impatient(&proxy.url()), &PullOptions::default(), &at);
        assert!(pulled.unwrap_err().is_transient());
        let after = (std::fs::read(&file).unwrap(), std::fs::read(base(&file)).unwrap());
        assert!(before == after, "the files changed");
        desk.borrow_mut().sqld.restart();
    }
    let report = desk.borrow().pull(&file);
    // It was initialized through the proxy.
    assert!(matches!(report, Err(Error::OtherUrl { .. })));
    let report =
        turso_sync::pull(&file, &remote(&proxy.url()), &PullOptions::default(), &Unwatched);
    assert_eq!(report.unwrap().end, PullEnd::Pulled);
    assert_eq!(value::<i64>(&file, "SELECT count(*) FROM plan WHERE day = 'theirs'"), 299);
    assert_eq!(value::<i64>(&file, "SELECT count(*) FROM plan WHERE id = 500"), 0);
}

fn base(file: &Path) -> PathBuf {
    let mut folder = file.as_os_str().to_owned();
    folder.push(".sync");
    PathBuf::from(folder).join("base.db")
}

#[test]
fn a_pull_cut_off_at_any_point_leaves_the_file_alone_until_one_succeeds() {
    let scene = Scene::new();
    let server = impatient(&scene.proxy.url());
    let pull = || turso_sync::pull(&scene.file, &server, &PullOptions::default(), &Unwatched);
    let before = scene.proxy.bytes(Direction::ToClient);
    pull().unwrap();
    let total = scene.proxy.bytes(Direction::ToClient) - before;
    for part in 0..5 {
        scene.desk.serve(&format!("UPDATE plan SET day = 'theirs {part}' WHERE id < 300"));
        let files =
            (std::fs::read(&scene.file).unwrap(), std::fs::read(base(&scene.file)).unwrap());
        scene.proxy.cut_after_bytes(Direction::ToClient, total * part / 5);
        let error = pull().unwrap_err();
        assert!(error.is_transient(), "{error}");
        let after =
            (std::fs::read(&scene.file).unwrap(), std::fs::read(base(&scene.file)).unwrap());
        assert!(files == after, "the files changed in part {part}");
        scene.proxy.resume();
        assert_eq!(pull().unwrap().end, PullEnd::Pulled);
        scene.desk.assert_server_is(&scene.file);
    }
}

#[test]
fn a_server_that_answers_nothing_ends_in_an_error_in_time() {
    let scene = Scene::new();
    scene.change(1);
    scene.proxy.answer_nothing();
    let mut server = impatient(&scene.proxy.url());
    server.options = server.options.call_timeout(Duration::from_millis(300));
    let before = std::fs::read(&scene.file).unwrap();
    let error = push_to(&scene.file, &server).unwrap_err();
    assert!(error.to_string().contains("no answer from"), "{error}");
    let pulled =
        turso_sync::pull(&scene.file, &server, &PullOptions::default(), &Unwatched).unwrap_err();
    assert!(pulled.to_string().contains("no answer from"), "{pulled}");
    let status = turso_sync::status(&scene.file, &server, true, &Unwatched).unwrap();
    assert!(!status.remote.unwrap().reachable && status.push_pending);
    assert!(std::fs::read(&scene.file).unwrap() == before);
    scene.proxy.resume();
    let report = push_to(&scene.file, &remote(&scene.proxy.url())).unwrap();
    assert!(report.resumed);
    scene.desk.assert_server_is(&scene.file);
}

#[test]
fn a_push_whose_transaction_the_server_ends_for_others_says_so_and_goes_on_later() {
    let scene = Scene::new();
    scene.change(1);
    let server = impatient(&scene.proxy.url());
    // As sqld answers when it gave another writer the lock.
    let ended = |code: &str| {
        format!(
            r#"{{"baton":null,"base_url":null,"results":[{{"type":"error","error":{{"message":"it took too long","code":"{code}"}}}},{{"type":"ok","response":{{"type":"close"}}}}]}}"#
        )
    };
    for code in ["TRANSACTION_TIMEOUT", "SQLITE_BUSY"] {
        scene.proxy.lie_to("foreign_keys = OFF", 200, &ended(code));
        let error = push_to(&scene.file, &server).unwrap_err();
        assert!(matches!(error, Error::Interrupted { attempts: 5, .. }), "{error:?}");
        assert!(error.to_string().contains("it took too long"), "{error}");
        assert!(error.is_transient());
    }
    scene.proxy.resume();
    let report = push_to(&scene.file, &server).unwrap();
    assert!(report.resumed);
    scene.desk.assert_server_is(&scene.file);
}

#[test]
fn lies_change_nothing() {
    let scene = Scene::new();
    scene.change(1);
    let server = impatient(&scene.proxy.url());
    let before = (std::fs::read(&scene.file).unwrap(), std::fs::read(base(&scene.file)).unwrap());
    let result = |value: &str| {
        format!(
            r#"{{"baton":null,"base_url":null,"results":[{{"type":"ok","response":{{"type":"execute","result":{{"cols":[{{"name":"a"}}],"rows":[[{value}]],"affected_row_count":0}}}}}},{{"type":"ok","response":{{"type":"close"}}}}]}}"#
        )
    };
    let lies = [
        (200, String::new()),
        (200, "{}".to_owned()),
        (200, "<html>Welcome to the network of the airport</html>".to_owned()),
        (200, r#"{"baton":null,"base_url":null,"results":[]}"#.to_owned()),
        (200, result(r#"{"type":"integer","value":"0"}"#)),
        (200, result(r#"{"type":"text","value":"[]"}"#)),
        (200, result(r#"{"type":"text","value":"applied"}"#)),
        (302, String::new()),
        (500, "oops".to_owned()),
        (503, "come back later".to_owned()),
    ];
    for (status, body) in &lies {
        scene.proxy.lie(*status, body);
        push_to(&scene.file, &server).expect_err(body);
        turso_sync::pull(&scene.file, &server, &PullOptions::default(), &Unwatched)
            .expect_err(body);
        let after =
            (std::fs::read(&scene.file).unwrap(), std::fs::read(base(&scene.file)).unwrap());
        assert!(before == after, "{status} {body}: the files changed");
    }
    scene.proxy.resume();
    assert_ne!(push_to(&scene.file, &server).unwrap().end, PushEnd::Conflict);
    scene.desk.assert_server_is(&scene.file);
}

#[test]
fn of_two_pushes_at_once_both_arrive_if_they_fit_and_one_if_they_do_not() {
    let desk = Desk::new();
    desk.serve("CREATE TABLE t (id INTEGER PRIMARY KEY, a)\n INSERT INTO t SELECT value, 0 FROM json_each('[1,2,3,4]')");
    let files = [desk.synced("one.db"), desk.synced("two.db")];
    let push_both = || {
        std::thread::scope(|scope| {
            let pushes = files.each_ref().map(|file| scope.spawn(|| desk.push(file).unwrap().end));
            pushes.map(|push| push.join().unwrap())
        })
    };
    for (id, file) in (1..).zip(&files) {
        change(
            file,
            &format!("UPDATE t SET a = 'of {id}' WHERE id = {id}; INSERT INTO t VALUES ({id}0, 0)"),
        );
    }
    assert_eq!(push_both(), [PushEnd::Pushed, PushEnd::Pushed]);
    for file in &files {
        assert_eq!(desk.pull(file).unwrap().end, PullEnd::Pulled);
    }
    assert_same(&files[0], &files[1]);
    assert_eq!(value::<i64>(&files[0], "SELECT count(*) FROM t WHERE a LIKE 'of %'"), 2);

    for (id, file) in (1..).zip(&files) {
        change(file, &format!("UPDATE t SET a = 'again of {id}' WHERE id = 3"));
    }
    let mut ends = push_both();
    ends.sort_by_key(|end| *end == PushEnd::Conflict);
    assert_eq!(ends, [PushEnd::Pushed, PushEnd::Conflict]);
}

#[test]
fn a_token_is_asked_for_and_kept_nowhere() {
    libsql_link::initialize().unwrap();
    let keys = Keys::generate();
    let sqld =
        Sqld::start_with(Settings { jwt_public_key: Some(keys.public()), ..Settings::default() });
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("ours.db");
    change(&file, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let with = |token: Option<String>| {
        let mut remote = impatient(&sqld.url());
        remote.options = remote.options.token(token.map(|text| Token::new(text).unwrap()));
        remote
    };
    let right = keys.token(Access::ReadWrite);
    let init = |token: Option<String>| {
        turso_sync::init(&file, &with(token), Existing::default(), &Unwatched)
    };
    let expired = keys.expired_token();
    let wrong = Keys::generate().token(Access::ReadWrite);
    for token in [None, Some(expired), Some(wrong), Some("nonsense".to_owned())] {
        let error = init(token.clone()).unwrap_err();
        assert!(error.to_string().contains("refuses"), "{error}");
        assert!(token.is_none_or(|token| !format!("{error:?}").contains(&token)));
    }
    init(Some(right.clone())).unwrap();
    let error = push_to(&file, &with(Some(keys.token(Access::ReadOnly)))).unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
    assert_eq!(push_to(&file, &with(Some(right.clone()))).unwrap().end, PushEnd::Pushed);
    change(&file, "INSERT INTO t VALUES (2)");
    let error = push_to(&file, &with(None)).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    let mut folders = vec![place.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).unwrap();
                let token = right.as_bytes();
                assert!(!content.windows(token.len()).any(|part| part == token), "{path:?}");
            }
        }
    }
}
