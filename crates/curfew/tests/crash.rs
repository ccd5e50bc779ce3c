//! A command that is killed at any point and started again ends as an undisturbed one does. For a run
//! that holds for the rows where no day exceeds the cap (SPEC section 6).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use testkit::{
    model::ModelConfig,
    promises::{Snapshot, after_a_run, nothing_changed},
};

const CONTACTS: &str = "20000";
const KILLS: u64 = 50;

/// Every column of the plan but ids, run ids and timestamps.
const ROWS: &str = "SELECT group_concat(row, char(10)) FROM (
    SELECT json_array(contact_id, email_type, scheduled_send_date, scheduled_send_time, status,
      skip_reason, priority, campaign_instance_id, email_template, sms_template, event_year,
      event_month, event_day, initial_schedule_id, shift_days, metadata) AS row
    FROM email_schedules ORDER BY row)";

fn curfew(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(folder: &Path, db: &str) -> Child {
    let arguments =
        ["run", "--db", db, "--today", "2026-11-20", "--config", "curfew.yaml", "--no-backup"];
    curfew(folder, &arguments).spawn().unwrap()
}

/// Kills the process (with SIGKILL) once `is_time` says so; `false` if it came to its end before.
fn kill_when(mut child: Child, mut is_time: impl FnMut() -> bool) -> bool {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return false;
        }
        if is_time() {
            break;
        }
        std::thread::yield_now();
    }
    child.kill().unwrap();
    // It may have come to its end just then.
    child.wait().unwrap().code().is_none()
}

/// Another number each time, the same on every run of the test.
struct Random(u64);

impl Random {
    const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, bound: u64) -> u64 {
        // Xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

#[track_caller]
fn assert_sound(path: &Path) {
    let found: String = Connection::open(path)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(found, "ok");
}

fn remove(path: &Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(format!("{}{ending}", path.display()));
    }
}

fn query(path: &Path, sql: &str) -> String {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

fn rows(path: &Path) -> String {
    Connection::open(path).unwrap().query_row(ROWS, [], |row| row.get(0)).unwrap()
}

/// Bytes of the database and its log.
fn size(path: &Path) -> u64 {
    let log = PathBuf::from(format!("{}-wal", path.display()));
    [path, &log].iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

#[test]
fn killed_at_any_point_and_run_again_it_ends_in_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(
        folder.join("curfew.yaml"),
        "batch_size: 500\n\
         load_balancing: {daily_send_percentage_cap: 1, overage_threshold: 3}\n",
    )
    .unwrap();
    let generate =
        ["generate", "--contacts", CONTACTS, "--history", "--clicks", "--out", "base.db"];
    assert!(curfew(folder, &generate).status().unwrap().success());
    let copy = |name: &str| fs::copy(folder.join("base.db"), folder.join(name)).unwrap();

    copy("calm.db");
    let before = size(&folder.join("calm.db"));
    let start = Instant::now();
    assert!(run(folder, "calm.db").wait().unwrap().success());
    let calm_time = u64::try_from(start.elapsed().as_micros()).unwrap();
    let expected = rows(&folder.join("calm.db"));
    let grown = size(&folder.join("calm.db")) - before;

    copy("killed.db");
    let killed = folder.join("killed.db");
    let (mut random, mut kills) = (Random::new(), 0);
    // Runs that were killed before, and after, they had written a batch.
    let (mut early, mut late) = (0, 0);
    while kills < KILLS {
        // By the time, so that it is reading, too, or by what it has written.
        let by_time = kills % 2 == 0;
        let time = Duration::from_micros(random.below(calm_time));
        let until = size(&killed) + 1 + random.below(grown / 4);
        let start = Instant::now();
        let is_time = || if by_time { start.elapsed() >= time } else { size(&killed) >= until };
        if kill_when(run(folder, "killed.db"), is_time) {
            kills += 1;
            let db = Connection::open(&killed).unwrap();
            let batches: i64 = db
                .query_row(
                    "SELECT coalesce((SELECT batches_done FROM scheduler_checkpoints
                       ORDER BY rowid DESC LIMIT 1), 0)",
                    [],
                    |row| row.get(0),
                )
                // It was killed before there was such a table.
                .unwrap_or(0);
            *if batches == 0 { &mut early } else { &mut late } += 1;
        } else {
            // It came to its end: begin anew.
            assert!(rows(&killed) == expected, "after {kills} kills");
            remove(&killed);
            copy("killed.db");
        }
    }
    assert!(early >= 5 && late >= 5, "{early} kills before the first batch, {late} after it");
    assert_sound(&killed);
    assert!(run(folder, "killed.db").wait().unwrap().success());
    assert!(rows(&killed) == expected, "the rows differ from those of an undisturbed run");
    let audit = curfew(folder, &["audit", "verify", "--db", "killed.db"]).status().unwrap();
    assert!(audit.success());
}

/// Where days exceed the cap, a second attempt may move other messages than the first would have; all
/// that is promised of a plan holds all the same.
#[test]
fn killed_where_days_exceed_the_cap_all_promises_hold_after_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = ModelConfig { batch_size: 7, ..ModelConfig::default() };
    fs::write(folder.join("curfew.yaml"), config.to_yaml()).unwrap();
    let generate = ["generate", "--contacts", "250", "--history", "--clicks", "--campaigns"];
    let generate = [&generate[..], &["--out", "base.db"]].concat();
    assert!(curfew(folder, &generate).status().unwrap().success());
    let copy = |name: &str| fs::copy(folder.join("base.db"), folder.join(name)).unwrap();
    copy("calm.db");
    let before = size(&folder.join("calm.db"));
    assert!(run(folder, "calm.db").wait().unwrap().success());
    let grown = size(&folder.join("calm.db")) - before;

    let today = jiff::civil::date(2026, 11, 20);
    let (mut random, mut kills) = (Random::new(), 0);
    let killed = folder.join("killed.db");
    while kills < 4 {
        remove(&killed);
        copy("killed.db");
        // Once or twice, so that a run finds what a killed one left.
        for _ in 0..=kills % 2 {
            let until = size(&killed) + 1 + random.below(grown / 2);
            kills += u32::from(kill_when(run(folder, "killed.db"), || size(&killed) >= until));
        }
        assert!(run(folder, "killed.db").wait().unwrap().success());
        let db = Connection::open(&killed).unwrap();
        let broken = after_a_run(&db, today, &config);
        assert!(broken.is_empty(), "after {kills} kills: {}", broken.join("\n"));
        let first = Snapshot::of(&db);
        assert!(run(folder, "killed.db").wait().unwrap().success());
        let touched = nothing_changed(&first, &Snapshot::of(&db));
        assert!(touched.is_empty(), "after {kills} kills: {}", touched.join("\n"));
    }
    let moved =
        "SELECT '' || count(*) FROM scheduler_checkpoints WHERE counts ->> '$.moved_by_cap' > 0";
    assert_ne!(query(&killed, moved), "0", "no day exceeded the cap");
}

/// The older application's database with 5,000 contacts and 20,000 rows.
fn legacy(path: &Path) {
    let db = Connection::open(path).unwrap();
    db.execute_batch(&format!(
        "{}
         BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO contacts (id, first_name, last_name, email, current_carrier, plan_type,
             effective_date, birth_date, tobacco_user, gender, state, zip_code)
           SELECT i, 'A', 'B', 'a' || i || '@example.com', 'C', 'N', '2019-05-01',
             date('1950-01-01', i || ' days'), 0, 'F', 'IL', '60601' FROM n;
         INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, status, event_year,
             event_month, event_day, email_template)
           SELECT contacts.id, kind.value, '2026-11-' || (10 + contacts.id % 20), status.value, 2027, 1, 1, 'rate'
           FROM contacts
             JOIN json_each('[\"BIRTHDAY\", \"SCHEDULED_RATE_INCREASE\", \"POST_WINDOW_BIRTHDAY\",
               \"effective_date\"]') AS kind
             JOIN json_each('[\"sent\", \"pre-scheduled\", \"failed\"]') AS status
               ON status.key = (contacts.id + kind.key) % 3;
         COMMIT;",
        include_str!("../../testkit/src/legacy-schema.sql")
    ))
    .unwrap();
}

/// Schema and rows without what differs from one time to the next: run ids and timestamps.
fn migrated(path: &Path) -> String {
    let schema = "SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema
      WHERE sql IS NOT NULL ORDER BY type, name)";
    let targets = "SELECT group_concat(row, char(10)) FROM (SELECT json_array(contact_id,
      campaign_instance_id, trigger_date, status) AS row FROM contact_campaigns ORDER BY row)";
    let others = "SELECT json_array((SELECT count(*) FROM schedule_history),
      (SELECT count(*) FROM campaign_change_log), (SELECT group_concat(name) FROM curfew_migrations))";
    [schema, ROWS, targets, others].map(|sql| query(path, sql)).join("\n")
}

#[test]
fn killed_during_migrations_and_started_again_it_ends_in_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    legacy(&folder.join("base.db"));
    let copy = |name: &str| fs::copy(folder.join("base.db"), folder.join(name)).unwrap();
    let migrate =
        |db: &str| curfew(folder, &["migrate-legacy", "--db", db, "--no-backup"]).spawn().unwrap();
    copy("calm.db");
    let start = Instant::now();
    assert!(migrate("calm.db").wait().unwrap().success());
    let calm_time = u64::try_from(start.elapsed().as_micros()).unwrap();
    let expected = migrated(&folder.join("calm.db"));

    let (mut random, mut kills) = (Random::new(), 0);
    let killed = folder.join("killed.db");
    copy("killed.db");
    while kills < 8 {
        let (start, time) = (Instant::now(), Duration::from_micros(random.below(calm_time)));
        if kill_when(migrate("killed.db"), || start.elapsed() >= time) {
            kills += 1;
            assert_sound(&killed);
        } else {
            assert!(migrated(&killed) == expected, "after {kills} kills");
            remove(&killed);
            copy("killed.db");
        }
    }
    assert!(migrate("killed.db").wait().unwrap().success());
    assert!(migrated(&killed) == expected, "other tables than without a kill");
}

#[test]
fn killed_during_an_import_and_started_again_it_ends_with_the_same_contacts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut csv = "email,zip_code,birth_date,effective_date\n".to_owned();
    for number in 0..20_000 {
        let (month, day) = (1 + number % 12, 1 + number % 28);
        writeln!(csv, "p{number}@example.com,60601,1955-{month:02}-{day:02},2019-05-01").unwrap();
    }
    fs::write(folder.join("contacts.csv"), csv).unwrap();
    let import =
        |db: &str| curfew(folder, &["import", "--db", db, "contacts.csv"]).spawn().unwrap();
    let contacts = |db: &Path| {
        query(
            db,
            "SELECT group_concat(row, char(10)) FROM (SELECT json_array(id, email, zip_code,
               birth_date, effective_date, state) AS row FROM contacts ORDER BY id)",
        )
    };
    let start = Instant::now();
    assert!(import("calm.db").wait().unwrap().success());
    let calm_time = u64::try_from(start.elapsed().as_micros()).unwrap();
    let expected = contacts(&folder.join("calm.db"));

    let (mut random, mut kills) = (Random::new(), 0);
    let killed = folder.join("killed.db");
    while kills < 5 {
        let (start, time) = (Instant::now(), Duration::from_micros(random.below(calm_time)));
        if kill_when(import("killed.db"), || start.elapsed() >= time) {
            kills += 1;
            if killed.exists() {
                assert_sound(&killed);
            }
        } else {
            assert!(contacts(&killed) == expected, "after {kills} kills");
            remove(&killed);
        }
    }
    assert!(import("killed.db").wait().unwrap().success());
    assert!(contacts(&killed) == expected, "other contacts than without a kill");
}

#[test]
fn killed_during_a_backup_or_a_restore_nothing_is_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let generate = ["generate", "--contacts", "20000", "--history", "--out", "agency.db"];
    assert!(curfew(folder, &generate).status().unwrap().success());
    let database = folder.join("agency.db");
    let contents = |path: &Path| query(path, "SELECT sum(id) || ':' || count(*) FROM contacts");
    let expected = contents(&database);
    let backups = |ending: &str| -> Vec<PathBuf> {
        let files = fs::read_dir(folder.join("backups")).into_iter().flatten();
        files
            .map(|file| file.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect()
    };

    // Killed as soon as the copy is begun; how far it has come differs.
    let backup = || curfew(folder, &["backup", "--db", "agency.db"]).spawn().unwrap();
    let mut kills = 0;
    while kills < 3 {
        let begun = backups(".unfinished").len();
        kills += u32::from(kill_when(backup(), || backups(".unfinished").len() > begun));
        for complete in backups(".backup") {
            assert_sound(&complete);
            assert_eq!(
                contents(&complete),
                expected,
                "a backup bears its name when it is complete"
            );
        }
    }
    assert!(!backups(".unfinished").is_empty());
    assert_eq!(contents(&database), expected);
    assert!(backup().wait().unwrap().success());
    let good = backups(".backup").pop().unwrap();

    // The database is another one now, and then whole: the old or the new one.
    let changed = "DELETE FROM contacts WHERE id > 10000";
    Connection::open(&database).unwrap().execute_batch(changed).unwrap();
    let old = contents(&database);
    assert_ne!(old, expected);
    let good = good.to_str().unwrap();
    let restore = || curfew(folder, &["restore", "--db", "agency.db", good]).spawn().unwrap();
    let incoming = folder.join("agency.db.restoring");
    let (mut random, mut kills) = (Random::new(), 0);
    while kills < 4 {
        let _ = fs::remove_file(&incoming);
        // From the first byte of the copy to its last, and what comes after.
        let bytes = random.below(fs::metadata(good).unwrap().len());
        let is_time = || fs::metadata(&incoming).is_ok_and(|copy| copy.len() >= bytes);
        kills += u32::from(kill_when(restore(), is_time));
        assert_sound(&database);
        let found = contents(&database);
        assert!(found == old || found == expected, "{found} is neither {old} nor {expected}");
        if found == expected {
            Connection::open(&database).unwrap().execute_batch(changed).unwrap();
        }
    }
    assert!(restore().wait().unwrap().success());
    assert_eq!(contents(&database), expected);
    assert!(curfew(folder, &["run", "--db", "agency.db"]).status().unwrap().success());
}

#[test]
fn killed_while_it_makes_an_organization_there_is_none_and_the_next_attempt_makes_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let generate = |out: &str| {
        let words = ["generate", "--contacts", "8000", "--history", "--clicks", "--campaigns"];
        curfew(folder, &[&words[..], &["--out", out]].concat()).spawn().unwrap()
    };
    assert!(generate("calm.db").wait().unwrap().success());
    let expected = fs::read(folder.join("calm.db")).unwrap();
    let (killed, partial) = (folder.join("killed.db"), folder.join("killed.db.partial"));

    let (mut random, mut kills) = (Random::new(), 0);
    while kills < 5 {
        // What an earlier one left must not count.
        let _ = fs::remove_file(&partial);
        // From the first byte to the last, which nearly all are written when it commits.
        let bytes = random.below(expected.len() as u64);
        let is_time = || fs::metadata(&partial).is_ok_and(|file| file.len() >= bytes);
        if kill_when(generate("killed.db"), is_time) {
            kills += 1;
            // Killed just before its end it may be complete, but never less.
            if killed.exists() {
                assert!(fs::read(&killed).unwrap() == expected, "half an organization");
            }
        }
        let _ = fs::remove_file(&killed);
    }
    fs::write(&partial, "what an earlier attempt left").unwrap();
    assert!(generate("killed.db").wait().unwrap().success());
    assert!(fs::read(&killed).unwrap() == expected, "other bytes than without a kill");
    assert!(!partial.exists());
}

/// On a file system of its own with little room, where one can be mounted for this process alone
/// (`$2`); else with a limit for the size of files. `$0` is the command, `$1` the room in KiB.
const WITH_LITTLE_ROOM: &str = r#"
  RUN="run --db a.db --today 2026-11-20 --no-backup --config ../curfew.yaml"
  if [ "$2" = unshared ] && mount -t tmpfs -o size="$1"k none small 2>/dev/null; then MORE="mount -o remount,size=400m ."; fi
  cp base.db small/a.db && cd small || exit 9
  if [ -n "$MORE" ]; then "$0" $RUN; else (trap '' XFSZ; ulimit -f $(($1 * 2)); exec "$0" $RUN); fi
  echo $? >../code
  "$0" audit verify --db a.db && "$0" runs --db a.db >../runs && "$0" plan --db a.db || exit 8
  cp a.db ../full.db && { [ ! -e a.db-wal ] || cp a.db-wal ../full.db-wal; } || exit 7
  $MORE
  "$0" $RUN || exit 6
  "$0" backup --db a.db --config ../curfew.yaml && mv backups/*.backup ../after.db"#;

#[test]
fn without_space_a_run_fails_and_the_database_stays_usable() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("small")).unwrap();
    fs::write(folder.join("curfew.yaml"), "batch_size: 200\n").unwrap();
    let generate = ["generate", "--contacts", "4000", "--history", "--out", "base.db"];
    assert!(curfew(folder, &generate).status().unwrap().success());
    fs::copy(folder.join("base.db"), folder.join("calm.db")).unwrap();
    assert!(run(folder, "calm.db").wait().unwrap().success());
    let [base, calm] = ["base.db", "calm.db"].map(|name| size(&folder.join(name)));

    // Room for about half of what is to be written.
    let room = (base + (calm - base) / 2) / 1024;
    let unshared = Command::new("unshare").args(["-rm", "true"]).output();
    let unshared = unshared.is_ok_and(|output| output.status.success());
    let (program, words): (_, &[&str]) =
        if unshared { ("unshare", &["-rm", "sh"]) } else { ("sh", &[]) };
    let output = Command::new(program)
        .args(words)
        .args(["-c", WITH_LITTLE_ROOM, env!("CARGO_BIN_EXE_curfew"), &room.to_string()])
        .arg(if unshared { "unshared" } else { "alone" })
        .current_dir(folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stderr}", output.status);
    assert_eq!(fs::read_to_string(folder.join("code")).unwrap().trim(), "3", "{stderr}");
    let runs = fs::read_to_string(folder.join("runs")).unwrap();
    assert!(runs.contains("failed"), "{runs}");
    let full = folder.join("full.db");
    assert_sound(&full);
    let written: i64 = query(&full, "SELECT '' || count(*) FROM email_schedules").parse().unwrap();
    let all: i64 = query(&folder.join("calm.db"), "SELECT '' || count(*) FROM email_schedules")
        .parse()
        .unwrap();
    assert!(written > 0 && written < all, "{written} of {all} rows were written");
    // With more room the next run writes the rest.
    let after = folder.join("after.db");
    let count: i64 = query(&after, "SELECT '' || count(*) FROM email_schedules").parse().unwrap();
    assert_eq!(count, all);
}
