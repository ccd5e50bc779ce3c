//! How long pushing and pulling take, beside the ways that the libsql crate offers, in one run on
//! one real server. Prints one line of tab-separated figures for each measurement; `cargo xtask
//! bench sync` makes a table of them. `push` or `pull` as argument measures only that.
//!
//! What is compared is measured in turn, several times, and the fastest of each counts: others
//! disturb it least.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use libsql_link::{Location, Options};
use rusqlite::Connection;
use testkit::proxy::Proxy;
use testkit::sqld::Sqld;
use tokio::runtime::Runtime;
use turso_sync::{
    CopyOptions, Existing, Place, Progress, PullEnd, PullOptions, PushEnd, PushOptions, Remote,
    Unwatched,
};

const PUSHES: usize = 3;
const PULLS: usize = 5;
/// Statements in one joined text.
const STATEMENTS_PER_TEXT: usize = 1000;
const ROUND_TRIP: Duration = Duration::from_millis(40);

fn main() {
    libsql_link::initialize().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = tempfile::tempdir().unwrap();
    if only.as_deref() != Some("pull") {
        pushes(&runtime, folder.path());
    }
    if only.as_deref() != Some("push") {
        pulls(&runtime, folder.path());
    }
}

fn pushes(runtime: &Runtime, folder: &Path) {
    let before = folder.join("before.db");
    fill(&before);
    let [mut joined, mut pushed, mut far] = [Duration::MAX; 3];
    for _ in 0..PUSHES {
        joined = joined.min(execute_batch(runtime, &before));
        pushed = pushed.min(push(&before, Duration::ZERO));
        far = far.min(push(&before, ROUND_TRIP));
    }
    line("push: joined text through `execute_batch` of the libsql crate, not atomic", joined, None);
    line("push: `turso-sync push`", pushed, Some(joined));
    line("push: `turso-sync push`, 40 ms round trip", far, None);
}

fn pulls(runtime: &Runtime, folder: &Path) {
    let sqld = Sqld::start();
    let rows = folder.join("rows.db");
    fill_wide(&rows);
    serve(&rows, &sqld.url());
    let proxy = Proxy::start(sqld.address());
    proxy.set_delay(ROUND_TRIP);
    let [mut queried, mut fetched, mut done, mut far, mut idle] = [Duration::MAX; 5];
    for _ in 0..PULLS {
        queried = queried.min(query(runtime, &sqld.url()));
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("wide.db");
        let (base, both) = init(&file, &sqld.url());
        (fetched, done) = (fetched.min(base), done.min(both));
        let begun = Instant::now();
        let options = PullOptions::default();
        let report = turso_sync::pull(&file, &remote(&sqld.url()), &options, &Unwatched).unwrap();
        idle = idle.min(begun.elapsed());
        assert_eq!((report.end, report.rows), (PullEnd::Nothing, 0));
        far = far.min(init(&place.path().join("far.db"), &proxy.url()).0);
    }
    line("pull: `query()` of the libsql crate, rows dropped", queried, None);
    line("pull: `turso-sync init`, until the last row is in the base", fetched, Some(queried));
    line("pull: `turso-sync init`, until both files are on the disk", done, Some(queried));
    line("pull: `turso-sync init`, until the last row, 40 ms round trip", far, None);
    line("pull: `turso-sync pull`, when nothing was written there", idle, Some(queried));
}

/// How long the older way of pushing takes: not atomic, one statement after the other.
fn execute_batch(runtime: &Runtime, before: &Path) -> Duration {
    let sqld = Sqld::start();
    serve(before, &sqld.url());
    let texts = texts();
    let took = runtime.block_on(async {
        let url = sqld.url();
        let database = libsql::Builder::new_remote(url, String::new()).build().await.unwrap();
        let conn = database.connect().unwrap();
        let begun = Instant::now();
        for text in &texts {
            conn.execute_batch(text).await.unwrap();
        }
        begun.elapsed()
    });
    assert_eq!(runtime.block_on(count(&sqld.url())), 100_000);
    took
}

/// How long it takes until all rows were there once.
fn query(runtime: &Runtime, url: &str) -> Duration {
    runtime.block_on(async {
        let database =
            libsql::Builder::new_remote(url.to_owned(), String::new()).build().await.unwrap();
        let conn = database.connect().unwrap();
        let begun = Instant::now();
        let mut rows = conn.query("SELECT * FROM wide", ()).await.unwrap();
        let mut bytes = 0;
        while let Some(row) = rows.next().await.unwrap() {
            for column in 0..row.column_count() {
                if let libsql::Value::Text(text) = row.get_value(column).unwrap() {
                    bytes += text.len();
                }
            }
        }
        assert!(bytes > 19_000_000);
        begun.elapsed()
    })
}

/// How long it takes until the last row is written, and until all is done.
fn init(file: &Path, url: &str) -> (Duration, Duration) {
    let last = LastRow(Cell::new(None));
    let begun = Instant::now();
    let report = turso_sync::init(file, &remote(url), Existing::default(), &last).unwrap();
    let took = begun.elapsed();
    assert_eq!(report.rows, 100_000);
    (last.0.get().unwrap().duration_since(begun), took)
}

/// When the last row was written.
struct LastRow(Cell<Option<Instant>>);

impl Progress for LastRow {
    fn advance(&self, _: &str, _: u64, _: u64) {
        self.0.set(Some(Instant::now()));
    }
}

fn line(name: &str, took: Duration, baseline: Option<Duration>) {
    let ratio = baseline
        .map(|baseline| format!("{:.1}", baseline.as_secs_f64() / took.as_secs_f64()))
        .unwrap_or_default();
    println!("{name}\t{:.3}\t{ratio}", took.as_secs_f64());
}

fn remote(url: &str) -> Remote {
    let Location::Remote(url) = Location::parse(url).unwrap().0 else { panic!("{url}") };
    Remote { url: Some(url), options: Options::new() }
}

async fn count(url: &str) -> i64 {
    let database =
        libsql::Builder::new_remote(url.to_owned(), String::new()).build().await.unwrap();
    let conn = database.connect().unwrap();
    let mut rows = conn.query("SELECT count(*) FROM plan", ()).await.unwrap();
    rows.next().await.unwrap().unwrap().get(0).unwrap()
}

/// Makes a server hold what a file does.
fn serve(file: &Path, url: &str) {
    let place = |location| Place { location, options: Options::new() };
    let (to, _) = Location::parse(url).unwrap();
    turso_sync::copy(
        &place(Location::Local(file.to_owned())),
        &place(to),
        CopyOptions::default(),
        &Unwatched,
    )
    .unwrap();
}

/// 100,000 rows of about 150 bytes, three indexes.
fn fill(file: &Path) {
    let conn = Connection::open(file).unwrap();
    conn.execute_batch(
        "CREATE TABLE plan (id INTEGER PRIMARY KEY, contact INTEGER, email TEXT, kind TEXT,
           day TEXT, status TEXT, note TEXT);
         CREATE INDEX plan_contact ON plan (contact); CREATE INDEX plan_status ON plan (status, day);
         CREATE INDEX plan_day ON plan (day);
         WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
         INSERT INTO plan SELECT i, i * 7 % 30011, 'user' || i || '@example.org', 'birthday',
           date('2026-01-01', i % 365 || ' days'), 'pre-scheduled', printf('%.*c', 60, 'n') FROM n;",
    )
    .unwrap();
}

/// 20,000 deletes, 5,000 updates, 20,000 inserts.
const CHANGES: &str = "
    DELETE FROM plan WHERE id <= 20000;
    UPDATE plan SET status = 'sent' WHERE id BETWEEN 40001 AND 45000;
    WITH RECURSIVE n (i) AS (VALUES (100001) UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
    INSERT INTO plan SELECT i, i * 7 % 30011, 'user' || i || '@example.org', 'birthday',
      date('2026-01-01', i % 365 || ' days'), 'pre-scheduled', printf('%.*c', 60, 'n') FROM n;
";

/// The same changes as SQL text.
fn texts() -> Vec<String> {
    let mut statements = Vec::new();
    statements.extend((1..=20_000).map(|id| format!("DELETE FROM plan WHERE id = {id};\n")));
    statements.extend(
        (40_001..=45_000).map(|id| format!("UPDATE plan SET status = 'sent' WHERE id = {id};\n")),
    );
    let note = "n".repeat(60);
    statements.extend((100_001..=120_000).map(|id| {
        format!(
            "INSERT INTO plan VALUES ({id}, {}, 'user{id}@example.org', 'birthday', '2026-03-05', \
             'pre-scheduled', '{note}');\n",
            id * 7 % 30011
        )
    }));
    statements.chunks(STATEMENTS_PER_TEXT).map(<[String]>::concat).collect()
}

fn push(before: &Path, round_trip: Duration) -> Duration {
    let sqld = Sqld::start();
    serve(before, &sqld.url());
    let proxy = Proxy::start(sqld.address());
    let url = if round_trip.is_zero() { sqld.url() } else { proxy.url() };
    proxy.set_delay(round_trip);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("plan.db");
    turso_sync::init(&file, &remote(&url), Existing::default(), &Unwatched).unwrap();
    Connection::open(&file).unwrap().execute_batch(CHANGES).unwrap();
    let begun = Instant::now();
    let report =
        turso_sync::push(&file, &remote(&url), &PushOptions::default(), &Unwatched).unwrap();
    let took = begun.elapsed();
    assert_eq!(report.end, PushEnd::Pushed);
    let changes = report.changes;
    assert_eq!((changes.inserted, changes.updated, changes.deleted), (20_000, 5_000, 20_000));
    took
}

/// 100,000 rows of 200 bytes.
fn fill_wide(file: &Path) {
    let mut columns = String::new();
    for column in 0..4 {
        write!(columns, ", c{column} TEXT").unwrap();
    }
    let conn = Connection::open(file).unwrap();
    conn.execute_batch(&format!(
        "CREATE TABLE wide (id INTEGER PRIMARY KEY{columns});
         WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
         INSERT INTO wide SELECT i, printf('%050d', i), printf('%050d', i * 3),
           printf('%050d', i * 5), printf('%.*c', 50, 'z') FROM n;"
    ))
    .unwrap();
}
