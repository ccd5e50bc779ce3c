//! What is known about a server without fetching what it has.

use std::path::Path;

use testkit::proxy::{Direction, Proxy};
use testkit::sqld::{Settings, Sqld};
use turso_sync::{PullEnd, PullOptions, PullReport, PushEnd, Unwatched};

use crate::desk::{Desk, assert_same, change, remote};

const PLAN: &str = "CREATE TABLE plan (id INTEGER PRIMARY KEY, day TEXT)
    INSERT INTO plan SELECT value, 'day ' || value FROM json_each('[1,2,3,4,5]')";

/// Pulls, and says how many rows were fetched.
fn fetched(desk: &Desk, file: &Path) -> (PullEnd, u64) {
    let report = desk.pull(file).unwrap();
    (report.end, report.rows)
}

#[test]
fn nothing_is_fetched_from_a_server_that_was_not_written_to() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    change(&ours, "UPDATE plan SET day = 'ours' WHERE id = 1");
    let proxy = Proxy::start(desk.sqld.address());
    let through = remote(&proxy.url());
    let copy = desk.path("copy.db");
    turso_sync::init(&copy, &through, turso_sync::Existing::default(), &Unwatched).unwrap();
    let before = proxy.requests();
    let report = turso_sync::pull(&copy, &through, &PullOptions::default(), &Unwatched).unwrap();
    assert_eq!((report.end, report.rows), (PullEnd::Nothing, 0));
    assert_eq!(proxy.requests() - before, 1, "one question is asked");
    assert!(proxy.bytes(Direction::ToClient) > 0);

    // Reading is no change there, and local changes are still told.
    desk.link().query("SELECT * FROM plan", &[]).unwrap();
    let PullReport { end, rows, local, .. } = desk.pull(&ours).unwrap();
    assert_eq!((end, rows, local.updated), (PullEnd::Nothing, 0, 1));
}

#[test]
fn every_kind_of_write_is_seen() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    let tables = ["_turso_sync_push", "_turso_sync_stage"];
    for (write, end) in [
        ("UPDATE plan SET day = 'theirs' WHERE id = 1", PullEnd::Pulled),
        ("UPDATE plan SET day = 'theirs' WHERE id = 1", PullEnd::Nothing),
        ("PRAGMA user_version = 7", PullEnd::Pulled),
        ("CREATE INDEX plan_day ON plan (day)", PullEnd::Pulled),
        ("DELETE FROM plan", PullEnd::Pulled),
    ] {
        desk.serve(write);
        let report = desk.pull(&ours).unwrap();
        assert_eq!(report.end, end, "{write}");
        assert_eq!(fetched(&desk, &ours), (PullEnd::Nothing, 0), "{write}");
    }
    desk.assert_server_is(&ours);
    // A push writes, too, and nothing tells it apart from what others write.
    change(&ours, "INSERT INTO plan VALUES (9, 'ours')");
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    assert_eq!(fetched(&desk, &ours), (PullEnd::Nothing, 1));
    assert_eq!(fetched(&desk, &ours), (PullEnd::Nothing, 0));
    for table in tables {
        desk.serve(&format!("DROP TABLE {table}"));
    }
    assert_eq!(fetched(&desk, &ours), (PullEnd::Nothing, 1));
}

#[test]
fn after_a_restart_of_the_server_everything_is_fetched_once() {
    let mut desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    assert_eq!(fetched(&desk, &ours), (PullEnd::Nothing, 0));
    desk.sqld.restart();
    assert_eq!(fetched(&desk, &ours), (PullEnd::Nothing, 5));
    assert_eq!(fetched(&desk, &ours), (PullEnd::Nothing, 0));
}

#[test]
fn a_server_set_back_and_written_to_as_often_is_not_taken_for_the_same() {
    let mut desk = Desk::new();
    desk.serve(PLAN);
    desk.sqld.kill();
    let (data, kept) = (desk.sqld.data_folder(), desk.path("kept"));
    copy_folder(&data, &kept);
    desk.sqld.restart();
    desk.serve("UPDATE plan SET day = 'before' WHERE id = 3");
    let ours = desk.synced("ours.db");
    desk.sqld.kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy_folder(&kept, &data);
    desk.sqld.restart();
    // As many pages as the write that is lost.
    desk.serve("UPDATE plan SET day = 'after!' WHERE id = 3");
    assert_eq!(desk.pull(&ours).unwrap().end, PullEnd::Pulled);
    desk.assert_server_is(&ours);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn status_sees_changed_values_and_knows_when_there_are_none() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    let status = || {
        let status =
            turso_sync::status(&ours, &remote(&desk.sqld.url()), true, &Unwatched).unwrap();
        (status.remote.unwrap().changed, status.next)
    };
    assert_eq!(status(), (Some(false), "nothing to do".to_owned()));
    desk.serve("UPDATE plan SET day = 'theirs' WHERE id = 1");
    let (changed, next) = status();
    assert_eq!(changed, None, "values may have changed, or not");
    assert!(next.contains("pull"), "{next}");
    desk.serve("DELETE FROM plan WHERE id = 1");
    assert_eq!(status().0, Some(true));
    desk.pull(&ours).unwrap();
    assert_eq!(status().0, Some(false));
}

#[test]
fn a_missing_file_is_brought_back_from_a_server_that_was_not_written_to() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    let theirs = desk.synced("theirs.db");
    std::fs::remove_file(&ours).unwrap();
    assert_eq!(desk.pull(&ours).unwrap().end, PullEnd::Pulled);
    assert_same(&ours, &theirs);
}

#[test]
fn answers_that_may_only_be_small_bring_everything() {
    let arguments = ["--max-response-size", "100KB"].map(str::to_owned).to_vec();
    let small = Settings { arguments, ..Settings::default() };
    let desk = Desk { sqld: Sqld::start_with(small), ..Desk::new() };
    let columns: Vec<String> = (0..60).map(|at| format!("c{at}")).collect();
    let columns = columns.join(", ");
    let values = ["printf('%.*c', 2000, 'w')"; 60].join(", ");
    let ours = desk.file(
        "ours.db",
        &format!(
            "CREATE TABLE big (id INTEGER PRIMARY KEY, a TEXT, b BLOB, c);
             WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 300)
             INSERT INTO big SELECT i, printf('%.*c', 900, 'a'), zeroblob(i), i FROM n;
             UPDATE big SET b = zeroblob(400000), c = 9e999 WHERE id IN (7, 200);
             UPDATE big SET a = printf('%.*c', 300000, 'x'), c = -0.0 WHERE id = 8;
             CREATE TABLE keyed (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
             INSERT INTO keyed SELECT 'k' || id, CASE WHEN id % 90 = 0 THEN zeroblob(300000) ELSE id END
               FROM big;
             CREATE TABLE wide ({columns}); INSERT INTO wide VALUES ({values});
             INSERT INTO wide VALUES ({values});"
        ),
    );
    desk.init(&ours).unwrap();
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
}
