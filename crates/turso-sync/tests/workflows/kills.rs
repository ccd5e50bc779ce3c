//! The command is killed at random points and started again.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::sqld::Sqld;

use crate::desk::{Desk, assert_same, change, value};

const KILLS: u32 = 8;

fn start(verb: &str, file: &Path, sqld: &Sqld) -> Child {
    Command::new(env!("CARGO_BIN_EXE_turso-sync"))
        .arg(verb)
        .arg(file)
        .env("TURSO_DATABASE_URL", sqld.url())
        .env_remove("TURSO_AUTH_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// How long it takes when nobody disturbs it.
#[track_caller]
fn to_its_end(verb: &str, file: &Path, sqld: &Sqld) -> Duration {
    let begun = Instant::now();
    let status = start(verb, file, sqld).wait().unwrap();
    assert!(status.success(), "{verb}: {status}");
    begun.elapsed()
}

/// Kills it (SIGKILL) after `time`; false if it came to its end before.
fn kill_after(time: Duration, mut child: Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < time {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return false;
        }
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// Sound, and as it should be.
#[track_caller]
fn assert_sound(file: &Path) {
    assert_eq!(value::<String>(file, "PRAGMA integrity_check"), "ok");
}

const ROWS: &str = "
    CREATE TABLE plan (id INTEGER PRIMARY KEY, round INT, note TEXT UNIQUE);
    CREATE TABLE log (what TEXT);
    CREATE TRIGGER logged AFTER INSERT ON plan BEGIN INSERT INTO log VALUES ('new ' || NEW.id); END;
    WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
    INSERT INTO plan SELECT i, 0, i || printf('%.*c', 600, 'x') FROM n;
";

#[test]
fn a_push_killed_anywhere_is_brought_to_its_end_by_the_next() {
    let desk = Desk::new();
    let file = desk.file("ours.db", ROWS);
    desk.init(&file).unwrap();
    let mut usual = to_its_end("push", &file, &desk.sqld);
    let mut killed = 0;
    for round in 1..=KILLS {
        let sql = format!(
            "UPDATE plan SET round = {round} WHERE id % 2 = 0;
             DELETE FROM plan WHERE id % 10 = {round} % 10;
             INSERT INTO plan SELECT id + 100000 * {round}, {round}, note || '{round}' FROM plan
             WHERE id % 5 = {round} % 5 AND id < 2000;"
        );
        change(&file, &sql);
        let time = usual.mul_f64((f64::from(round) - 0.5) / f64::from(KILLS));
        killed += u32::from(kill_after(time, start("push", &file, &desk.sqld)));
        // What is there now was not there when the killed push began.
        change(&file, &format!("INSERT INTO log VALUES ('after kill {round}')"));
        usual = to_its_end("push", &file, &desk.sqld);
        assert_sound(&file);
        desk.assert_server_is(&file);
        assert!(!desk.path("ours.db.sync/push").exists());
    }
    assert!(killed > 0, "none was killed in time");
}

#[test]
fn a_pull_killed_anywhere_loses_nothing() {
    let desk = Desk::new();
    let theirs = desk.file("theirs.db", ROWS);
    desk.init(&theirs).unwrap();
    desk.push(&theirs).unwrap();
    let ours = desk.synced("ours.db");
    let mut usual = to_its_end("pull", &ours, &desk.sqld);
    let mut killed = 0;
    for round in 1..=KILLS / 2 {
        change(
            &theirs,
            &format!(
                "UPDATE plan SET round = {round} WHERE id % 2 = 0;
                 DELETE FROM plan WHERE id % 10 = {round};"
            ),
        );
        desk.push(&theirs).unwrap();
        change(&ours, &format!("INSERT INTO log (rowid, what) VALUES (9000 + {round}, 'ours')"));
        let time = usual.mul_f64((f64::from(round) - 0.5) / f64::from(KILLS / 2));
        killed += u32::from(kill_after(time, start("pull", &ours, &desk.sqld)));
        assert_sound(&ours);
        usual = to_its_end("pull", &ours, &desk.sqld);
        assert_eq!(
            value::<i64>(&ours, "SELECT count(*) FROM log WHERE what = 'ours'"),
            i64::from(round)
        );
        assert_eq!(
            value::<i64>(&ours, "SELECT count(*) FROM plan"),
            value::<i64>(&theirs, "SELECT count(*) FROM plan")
        );
    }
    assert!(killed > 0, "none was killed in time");
    to_its_end("push", &ours, &desk.sqld);
    desk.pull(&theirs).unwrap();
    assert_same(&ours, &theirs);
}
