//! What a database is like after its writer was killed, and when there is no space left.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use curfew_engine::{Change, Changes};
use curfew_store::{Database, PlanWriter, StoreError, history};

use crate::fixture::{CONTACTS, Folder, NOW, catalog, config, query, read_write, start};

/// Set for the process that is killed: the database to write to.
const DATABASE: &str = "CURFEW_TEST_CRASH";

const ROWS: i64 = 600;
const BATCH: i64 = 50;

/// A migrated database in which every contact from 1 on has a planned row with its own number.
fn planned(folder: &Folder, journal: &str) -> Database {
    let mut db = read_write(&folder.file(&format!("PRAGMA journal_mode = {journal}; {CONTACTS}")));
    db.migrate(NOW).unwrap();
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date,
           scheduled_send_time, status, created_at, updated_at)
         SELECT i, i, 'aep', '2026-01-01', '08:30:00', 'pre-scheduled', 'then', 'then' FROM n"
    );
    db.connection().execute_batch(&sql).unwrap();
    db
}

/// Lets the rows from `first` on expire, batch by batch, and calls `after` for each.
fn expire(db: &Database, run_id: &str, first: i64, mut after: impl FnMut(i64)) {
    let (config, catalog) = (config(), catalog(db));
    let mut writer = PlanWriter::begin(db, run_id, NOW, &config, &catalog).unwrap();
    for id in first..=ROWS {
        let rows = vec![Change::Expire { id }];
        writer.apply(id, &Changes { rows, targets: Vec::new() }).unwrap();
        if id % BATCH == 0 {
            writer.commit_batch(Some(id)).unwrap();
        }
        after(id);
    }
}

/// What the process does that is killed.
#[test]
fn write_until_killed_by_another_test() {
    let Ok(path) = std::env::var(DATABASE) else { return };
    let db = read_write(Path::new(&path));
    start(&db, "r1");
    let mut output = std::io::stdout().lock();
    expire(&db, "r1", 1, |id| {
        writeln!(output, "wrote {id}").unwrap();
        output.flush().unwrap();
    });
    // Nobody ends it but who started it.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_writer_that_is_killed_leaves_whole_batches_and_their_history() {
    for journal in ["wal", "delete"] {
        for kill_at in [1, 49, 50, 51, 123, 400, ROWS] {
            let folder = Folder::new();
            let db = planned(&folder, journal);
            let path = db.path().to_owned();
            drop(db);
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["crash::write_until_killed_by_another_test", "--exact", "--nocapture"])
                .env(DATABASE, &path)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
            let reached = format!("wrote {kill_at}");
            assert!(output.any(|line| line.unwrap() == reached), "{journal} {kill_at}");
            child.kill().unwrap();
            child.wait().unwrap();

            let db = read_write(&path);
            let run = db.run("r1").unwrap().unwrap();
            let done = run.last_contact_id.unwrap_or(0);
            // The writer may have come further than was read of it.
            assert!(done >= kill_at / BATCH * BATCH && done % BATCH == 0, "{kill_at} {done}");
            assert_eq!(run.batches_done, done / BATCH);
            assert_eq!(run.written.expired, done.unsigned_abs());
            let expired = "SELECT count(*), max(id) FROM email_schedules WHERE status = 'skipped'";
            let expected = if done == 0 { "0|".to_owned() } else { format!("{done}|{done}") };
            assert_eq!(query(&db, expired), [expected]);
            let verification = history::verify(&db, None).unwrap();
            assert_eq!(verification.entries, done.unsigned_abs());
            assert!(verification.faults.is_empty());

            // The next run records what became of it, and goes on.
            assert_eq!(db.fail_abandoned_runs(NOW).unwrap(), 1);
            start(&db, "r2");
            expire(&db, "r2", done + 1, |_| {});
            assert_eq!(query(&db, expired), [format!("{ROWS}|{ROWS}")]);
            let verification = history::verify(&db, None).unwrap();
            assert_eq!((verification.entries, verification.faults.len()), (600, 0));
        }
    }
}

#[test]
fn without_space_a_batch_is_lost_and_nothing_else() {
    for journal in ["wal", "delete"] {
        let folder = Folder::new();
        let db = planned(&folder, journal);
        start(&db, "r1");
        let page_count = |db: &Database| query(db, "PRAGMA page_count")[0].parse::<i64>().unwrap();
        let limit = page_count(&db) + 8;
        query(&db, &format!("PRAGMA max_page_count = {limit}"));
        let (config, catalog) = (config(), catalog(&db));
        let mut writer = PlanWriter::begin(&db, "r1", NOW, &config, &catalog).unwrap();
        let change = |id| Changes { rows: vec![Change::Expire { id }], targets: Vec::new() };
        writer.apply(1, &change(1)).unwrap();
        writer.commit_batch(Some(1)).unwrap();
        let full = (2..=ROWS).find_map(|id| writer.apply(id, &change(id)).err()).unwrap();
        assert!(matches!(full, StoreError::DiskFull { .. }), "{full}");
        assert!(!full.is_transient());
        assert_eq!(writer.written().expired, 1);
        drop(writer);
        assert_eq!(
            query(&db, "SELECT count(*) FROM email_schedules WHERE status = 'skipped'"),
            ["1"]
        );
        assert_eq!(query(&db, "PRAGMA integrity_check"), ["ok"]);

        query(&db, "PRAGMA max_page_count = 1000000");
        expire(&db, "r1", 2, |_| {});
        let verification = history::verify(&db, None).unwrap();
        assert_eq!((verification.entries, verification.faults.len()), (600, 0));
    }
}
