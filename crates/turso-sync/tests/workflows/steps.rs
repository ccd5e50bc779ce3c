//! Each workflow as it should go.

use std::cell::RefCell;

use libsql_diff::MergePolicy;
use libsql_link::Location;
use turso_sync::{
    CopyOptions, Error, Existing, Place, Progress, PullEnd, PullOptions, PushEnd, PushOptions,
    ResetOptions, Step, Stop, Unwatched, WatchEvent, WatchOptions, copy,
};

use crate::desk::{Desk, assert_same, change, remote, value};

const PLAN: &str = "
    CREATE TABLE plan (id INTEGER PRIMARY KEY, day TEXT, status TEXT DEFAULT 'planned', note)
    CREATE INDEX plan_day ON plan (day)
    INSERT INTO plan (id, day) VALUES (1, '2026-11-20'), (2, '2026-11-21'), (3, '2026-11-22')
";

#[test]
fn what_one_copy_pushes_another_pulls() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    let theirs = desk.synced("theirs.db");
    assert_eq!(value::<i64>(&ours, "SELECT count(*) FROM plan"), 3);
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Nothing);
    assert_eq!(desk.pull(&ours).unwrap().end, PullEnd::Nothing);

    change(
        &ours,
        "UPDATE plan SET status = 'sent' WHERE id = 1; DELETE FROM plan WHERE id = 2;
         INSERT INTO plan (id, day) VALUES (4, '2026-11-23');",
    );
    let pushed = desk.push(&ours).unwrap();
    assert_eq!(pushed.end, PushEnd::Pushed);
    let changes = &pushed.changes;
    assert_eq!((changes.inserted, changes.updated, changes.deleted), (1, 1, 1));
    desk.assert_server_is(&ours);
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Nothing);

    let pulled = desk.pull(&theirs).unwrap();
    assert_eq!(pulled.end, PullEnd::Pulled);
    assert_eq!(pulled.incoming.inserted, 1);
    assert_same(&ours, &theirs);
}

#[test]
fn a_pull_keeps_local_changes_and_the_next_push_sends_them() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    change(&ours, "UPDATE plan SET status = 'sent' WHERE id = 1; DELETE FROM plan WHERE id = 2");
    desk.serve(
        "UPDATE plan SET day = '2026-12-24' WHERE id = 1\n INSERT INTO plan (id) VALUES (9)",
    );
    let pulled = desk.pull(&ours).unwrap();
    assert_eq!((pulled.end, pulled.conflicts_count), (PullEnd::Pulled, 0));
    assert_eq!((pulled.local.updated, pulled.local.deleted), (1, 1));
    let row: String = value(&ours, "SELECT day || status FROM plan WHERE id = 1");
    assert_eq!(row, "2026-12-24sent");
    assert_eq!(value::<i64>(&ours, "SELECT count(*) FROM plan"), 3);
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
}

#[test]
fn a_row_changed_on_both_sides_is_a_conflict_with_all_three_values() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    change(&ours, "UPDATE plan SET status = 'sent' WHERE id = 1; DELETE FROM plan WHERE id = 3");
    desk.serve("UPDATE plan SET status = 'skipped' WHERE id = 1");
    let before = std::fs::read(&ours).unwrap();

    let pushed = desk.push(&ours).unwrap();
    assert_eq!((pushed.end, pushed.exit_code()), (PushEnd::Conflict, 1));
    let [conflict] = &pushed.conflicts[..] else { panic!("{:?}", pushed.conflicts) };
    assert_eq!(conflict.key.as_deref(), Some("key 1"));
    let [column] = &conflict.columns[..] else { panic!("{conflict:?}") };
    let shown = |value: &Option<turso_sync::Shown>| value.as_ref().map(ToString::to_string);
    assert_eq!(column.column, "status");
    assert_eq!(shown(&column.base).as_deref(), Some("\"planned\""));
    assert_eq!(shown(&column.ours).as_deref(), Some("\"sent\""));
    assert_eq!(shown(&column.theirs).as_deref(), Some("\"skipped\""));

    let pulled = desk.pull(&ours).unwrap();
    assert_eq!((pulled.end, pulled.exit_code()), (PullEnd::Conflict, 1));
    assert_eq!(pulled.conflicts, pushed.conflicts);
    assert_eq!(std::fs::read(&ours).unwrap(), before, "a conflict changes nothing");
    let rows = desk.link().query("SELECT count(*) FROM plan", &[]).unwrap();
    assert_eq!(rows.single().unwrap().as_integer(), Some(3), "nothing was applied");

    for (policy, expected) in
        [(libsql_diff::MergePolicy::Ours, "sent"), (libsql_diff::MergePolicy::Theirs, "skipped")]
    {
        let copy = desk.path("copy.db");
        std::fs::copy(&ours, &copy).unwrap();
        let folder = desk.path("copy.db.sync");
        std::fs::create_dir(&folder).unwrap();
        for name in ["base.db", "state.json"] {
            std::fs::copy(desk.path("ours.db.sync").join(name), folder.join(name)).unwrap();
        }
        let options = turso_sync::PullOptions { policy, ..Default::default() };
        let report =
            turso_sync::pull(&copy, &remote(&desk.sqld.url()), &options, &Unwatched).unwrap();
        assert_eq!((report.end, report.conflicts_count), (PullEnd::Pulled, 1));
        assert_eq!(value::<String>(&copy, "SELECT status FROM plan WHERE id = 1"), expected);
        std::fs::remove_file(&copy).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_file_that_exists_is_pushed_to_an_empty_server() {
    let desk = Desk::new();
    let ours = desk.file(
        "ours.db",
        "PRAGMA journal_mode = wal; CREATE TABLE t (a PRIMARY KEY, b) WITHOUT ROWID;
         INSERT INTO t VALUES ('x', 1), ('y', 2); CREATE VIEW v AS SELECT a FROM t;
         PRAGMA user_version = 7;",
    );
    let report = desk.init(&ours).unwrap();
    assert!(report.kept_file && report.local.inserted == 2, "{report:?}");
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
}

#[test]
fn a_file_and_a_server_with_content_are_only_merged_when_told_to() {
    let desk = Desk::new();
    desk.serve(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)\n INSERT INTO t VALUES (1, 'x'), (2, 'y')",
    );
    let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 'x'), (3, 'z')";
    let ours = desk.file("ours.db", sql);
    assert!(matches!(desk.init(&ours), Err(Error::BothExist { .. })));
    assert!(!desk.path("ours.db.sync").exists());

    let merge = Existing::Merge(libsql_diff::MergePolicy::Abort);
    let server = remote(&desk.sqld.url());
    let report = turso_sync::init(&ours, &server, merge, &Unwatched).unwrap();
    assert_eq!((report.conflicts_count, report.local.inserted), (0, 1));
    assert_eq!(value::<i64>(&ours, "SELECT count(*) FROM t"), 3);
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);

    let other = desk.file(
        "other.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 'another')",
    );
    let report = turso_sync::init(&other, &server, merge, &Unwatched).unwrap();
    assert_eq!((report.conflicts_count, report.exit_code()), (1, 1));
    assert!(!desk.path("other.db.sync").exists());
    assert_eq!(value::<i64>(&other, "SELECT count(*) FROM t"), 1);
}

#[test]
fn a_reset_asks_and_keeps_what_it_throws_away() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    change(&ours, "DELETE FROM plan; INSERT INTO plan (id) VALUES (77)");
    let server = remote(&desk.sqld.url());
    let declined =
        turso_sync::reset(&ours, &server, ResetOptions::default(), &mut |_| false, &Unwatched);
    assert!(matches!(declined, Err(Error::Declined)));
    assert_eq!(value::<i64>(&ours, "SELECT count(*) FROM plan"), 1);

    let report = turso_sync::reset(
        &ours,
        &server,
        ResetOptions::default(),
        &mut |preview| preview.local.deleted == 3 && preview.backup.is_some(),
        &Unwatched,
    )
    .unwrap();
    desk.assert_server_is(&ours);
    assert_eq!(value::<i64>(&report.backup.unwrap(), "SELECT id FROM plan"), 77);

    // A damaged file, too.
    std::fs::write(&ours, "no database at all, but long enough to look like one").unwrap();
    turso_sync::reset(&ours, &server, ResetOptions::default(), &mut |_| true, &Unwatched).unwrap();
    desk.assert_server_is(&ours);
}

#[test]
fn a_missing_file_is_no_deletion() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    std::fs::remove_file(&ours).unwrap();
    assert!(matches!(desk.push(&ours), Err(Error::FileMissing { .. })));
    assert_eq!(desk.pull(&ours).unwrap().end, PullEnd::Pulled);
    desk.assert_server_is(&ours);
}

#[test]
fn status_tells_what_to_do_next() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    let server = remote(&desk.sqld.url());
    let status = || turso_sync::status(&ours, &server, true, &Unwatched).unwrap();
    let clean = status();
    assert_eq!((clean.exit_code(), &*clean.next), (0, "nothing to do"));
    assert!(clean.remote.unwrap().version.unwrap().contains("sqld"));
    change(&ours, "DELETE FROM plan WHERE id = 1");
    let status_now = status();
    assert!(status_now.next.contains("turso-sync push"), "{}", status_now.next);
    assert_eq!((status_now.exit_code(), status_now.local.unwrap().deleted), (1, 1));
    desk.serve("INSERT INTO plan (id) VALUES (50)");
    assert!(status().next.contains("turso-sync pull"));
}

#[test]
fn nothing_to_push_opens_no_connection() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let proxy = testkit::proxy::Proxy::start(desk.sqld.address());
    let ours = desk.path("ours.db");
    let server = remote(&proxy.url());
    turso_sync::init(&ours, &server, Existing::default(), &Unwatched).unwrap();
    let connections = proxy.connections();
    let report = crate::desk::push_to(&ours, &server).unwrap();
    assert_eq!((report.end, proxy.connections()), (PushEnd::Nothing, connections));
}

#[test]
fn only_the_address_that_it_was_initialized_with_is_used() {
    let desk = Desk::new();
    let ours = desk.synced("ours.db");
    change(&ours, "CREATE TABLE t (a)");
    let other = remote("http://127.0.0.1:9");
    assert!(matches!(crate::desk::push_to(&ours, &other), Err(Error::OtherUrl { .. })));
    assert!(matches!(desk.init(&ours), Err(Error::AlreadyInitialized { .. })));
}

#[test]
fn a_database_is_copied_from_file_to_server_to_server_to_file() {
    let desk = Desk::new();
    let other = Desk::new();
    let file = desk.file(
        "source.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO t (a) VALUES (1), (x'ff');
         PRAGMA application_id = 77; PRAGMA user_version = 3;",
    );
    let place = |location: Location| Place { location, options: crate::desk::options() };
    let server = |desk: &Desk| place(Location::Remote(crate::desk::address(&desk.sqld.url())));
    let local = |path: &std::path::Path| place(Location::Local(path.to_owned()));
    let copy = |from: &Place, to: &Place, replaces| {
        copy(from, to, CopyOptions { replaces, dry_run: false }, &Unwatched)
    };
    let report = copy(&local(&file), &server(&desk), false).unwrap();
    assert_eq!(report.changes.inserted, 2);
    copy(&server(&desk), &server(&other), false).unwrap();
    let back = desk.path("back.db");
    copy(&server(&other), &local(&back), false).unwrap();
    change(&back, "PRAGMA application_id = 77");
    assert_same(&file, &back);

    change(&file, "INSERT INTO t (a) VALUES (9); DELETE FROM t WHERE a = 1");
    for to in [server(&desk), local(&back)] {
        assert!(matches!(copy(&local(&file), &to, false), Err(Error::TargetNotEmpty { .. })));
        copy(&local(&file), &to, true).unwrap();
    }
    assert_same(&file, &back);
    let names: Vec<_> = std::fs::read_dir(desk.folder.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "nothing is left beside the files: {names:?}");
}

#[test]
fn watching_syncs_both_ways_until_it_is_stopped() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    change(&ours, "INSERT INTO plan (id) VALUES (100)");
    desk.serve("INSERT INTO plan (id) VALUES (200)");
    let stop = Stop::new();
    let options =
        WatchOptions { every: std::time::Duration::from_hours(1), ..WatchOptions::default() };
    let mut seen = Vec::new();
    let stop_after_push = stop.clone();
    turso_sync::watch(
        &ours,
        &remote(&desk.sqld.url()),
        &options,
        &stop,
        &mut |event| match event {
            WatchEvent::Pulled(report) => seen.push(format!("{:?}", report.end)),
            WatchEvent::Pushed(report) => {
                seen.push(format!("{:?}", report.end));
                stop_after_push.stop();
            }
            other => panic!("{other:?}"),
        },
        &Unwatched,
    )
    .unwrap();
    assert_eq!(seen, ["Pulled", "Pushed"]);
    desk.assert_server_is(&ours);
    assert_eq!(value::<i64>(&ours, "SELECT count(*) FROM plan WHERE id >= 100"), 2);
}

#[test]
fn a_server_that_lost_its_data_takes_nothing_with_it() {
    let desk = Desk::new();
    desk.serve(PLAN);
    let ours = desk.synced("ours.db");
    let before = std::fs::read(&ours).unwrap();
    desk.serve("DROP TABLE plan");
    assert!(matches!(desk.pull(&ours), Err(Error::ServerEmpty { .. })));
    assert_eq!(std::fs::read(&ours).unwrap(), before);
    // What the error says: from the file back to the server.
    std::fs::remove_dir_all(desk.path("ours.db.sync")).unwrap();
    desk.init(&ours).unwrap();
    assert_eq!(desk.push(&ours).unwrap().end, PushEnd::Pushed);
    desk.assert_server_is(&ours);
}

#[test]
fn a_policy_settles_a_table_that_both_sides_defined_differently() {
    for policy in [MergePolicy::Ours, MergePolicy::Theirs] {
        let desk = Desk::new();
        desk.serve(PLAN);
        let ours = desk.synced("ours.db");
        change(&ours, "ALTER TABLE plan ADD COLUMN place TEXT; UPDATE plan SET place = 'x'");
        desk.serve("ALTER TABLE plan ADD COLUMN hour INT\n INSERT INTO plan (id, day, hour) VALUES (4, '2026-11-23', 9)");
        let server = remote(&desk.sqld.url());
        let pull = |policy| {
            let options = PullOptions { policy, dry_run: false };
            turso_sync::pull(&ours, &server, &options, &Unwatched).unwrap()
        };
        let before = std::fs::read(&ours).unwrap();
        assert_eq!(pull(MergePolicy::Abort).end, PullEnd::Conflict);
        assert!(std::fs::read(&ours).unwrap() == before);
        let report = pull(policy);
        assert_eq!((report.end, report.conflicts_count), (PullEnd::Pulled, 1), "{report:?}");
        assert_eq!(
            desk.push(&ours).unwrap().end,
            match policy {
                MergePolicy::Ours => PushEnd::Pushed,
                _ => PushEnd::Nothing,
            }
        );
        desk.assert_server_is(&ours);
        let columns: String =
            value(&ours, "SELECT group_concat(name) FROM pragma_table_info('plan')");
        let column = if policy == MergePolicy::Ours { "place" } else { "hour" };
        assert_eq!(columns, format!("id,day,status,note,{column}"));
        let sql = format!("SELECT group_concat(coalesce({column}, '-')) FROM plan");
        let expected = if policy == MergePolicy::Ours { "x,x,x,-" } else { "-,-,-,9" };
        assert_eq!(value::<String>(&ours, &sql), expected);
    }
}

/// A step, how many rows it has in all, rows and bytes.
type Seen = (Step, Option<u64>, u64, u64);

/// Keeps the last numbers of each step.
#[derive(Default)]
struct Watched(RefCell<Vec<Seen>>);

impl Progress for Watched {
    fn step(&self, step: Step) {
        self.0.borrow_mut().push((step, None, 0, 0));
    }

    fn total(&self, rows: u64) {
        self.0.borrow_mut().last_mut().unwrap().1 = Some(rows);
    }

    fn advance(&self, _: &str, rows: u64, bytes: u64) {
        let mut steps = self.0.borrow_mut();
        let last = steps.last_mut().unwrap();
        (last.2, last.3) = (rows, bytes);
    }
}

impl Watched {
    /// What a step counted in all, and how far it came.
    fn of(&self, step: Step) -> (Option<u64>, u64, u64) {
        let steps = self.0.borrow();
        let (_, total, rows, bytes) = *steps.iter().rev().find(|of| of.0 == step).unwrap();
        (total, rows, bytes)
    }
}

#[test]
fn who_watches_is_told_rows_and_bytes_and_how_many_rows_there_are() {
    let desk = Desk::new();
    let make = "CREATE TABLE plan (id INTEGER PRIMARY KEY, note TEXT);
         WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO plan SELECT i, printf('%.*c', 90, 'x') FROM n;
         CREATE TABLE other (a); INSERT INTO other VALUES (1)";
    let ours = desk.file("ours.db", make);
    let server = remote(&desk.sqld.url());
    turso_sync::init(&ours, &server, Existing::default(), &Unwatched).unwrap();
    let watched = Watched::default();
    turso_sync::push(&ours, &server, &PushOptions::default(), &watched).unwrap();
    let (total, rows, bytes) = watched.of(Step::Staging);
    assert_eq!(total, Some(20_001));
    assert!(rows > 10_000 && bytes > 1_000_000, "{rows} {bytes}");

    let watched = Watched::default();
    let theirs = desk.path("theirs.db");
    turso_sync::init(&theirs, &server, Existing::default(), &watched).unwrap();
    let (total, rows, bytes) = watched.of(Step::Fetching);
    assert_eq!((total, rows), (Some(20_001), 20_001));
    assert!(bytes > 1_000_000, "{bytes}");
    change(&ours, "DELETE FROM plan WHERE id > 500; UPDATE plan SET note = 'new'");
    desk.push(&ours).unwrap();
    let watched = Watched::default();
    turso_sync::pull(&theirs, &server, &PullOptions::default(), &watched).unwrap();
    let (total, rows, _) = watched.of(Step::Writing);
    assert_eq!(total, Some(20_000));
    assert!((10_000..=20_000).contains(&rows), "{rows}");
}
