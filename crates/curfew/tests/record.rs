//! The record that stands, as a user meets it: backups, configuration versions, history, status.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rusqlite::Connection;
use serde_json::Value as Json;
use tempfile::TempDir;

const FIRST: &str = "2026-11-20";
/// After Bob's first message was due.
const LATER: &str = "2026-12-05";

/// A folder with a database of two contacts in Illinois.
struct Office {
    folder: TempDir,
}

impl Office {
    fn new() -> Self {
        let office = Self { folder: tempfile::tempdir().unwrap() };
        office.sql(
            "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT,
               birth_date TEXT, effective_date TEXT, phone_number TEXT);
             INSERT INTO contacts VALUES
               (1, 'ann@example.com', '60601', '1955-02-10', '2019-05-01', '555-0100'),
               (2, 'bob@example.com', '60601', '1956-12-24', '2020-01-01', NULL);",
        );
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn sql(&self, statements: &str) {
        Connection::open(self.path("agency.db")).unwrap().execute_batch(statements).unwrap();
    }

    fn rows(&self) -> Vec<(i64, String, String)> {
        let db = Connection::open(self.path("agency.db")).unwrap();
        let mut statement =
            db.prepare("SELECT id, email_type, status FROM email_schedules ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Runs the command in the folder and returns the exit code, stdout and stderr. The words are
    /// separated by blanks.
    fn curfew(&self, words: &str) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_curfew"))
            .args(words.split_whitespace())
            .env("LOGNAME", "ann")
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    #[track_caller]
    fn ends_with(&self, code: i32, words: &str) -> String {
        let (ended, stdout, stderr) = self.curfew(words);
        assert_eq!(ended, code, "{words}\nstdout: {stdout}\nstderr: {stderr}");
        stdout
    }

    #[track_caller]
    fn succeeds(&self, words: &str) -> String {
        self.ends_with(0, words)
    }

    #[track_caller]
    fn json(&self, words: &str) -> Json {
        serde_json::from_str(&self.succeeds(&format!("{words} --json"))).unwrap()
    }

    #[track_caller]
    fn fails(&self, code: i32, words: &str, said: &str) {
        let (ended, stdout, stderr) = self.curfew(words);
        assert_eq!(ended, code, "{words}\nstdout: {stdout}\nstderr: {stderr}");
        assert!(stderr.contains(said), "{words}\nstderr: {stderr}");
        assert_eq!(stdout, "", "{words}");
    }

    fn run(&self, today: &str) -> Json {
        self.json(&format!("run --db agency.db --today {today}"))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|files| files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[test]
fn a_run_backs_up_before_it_changes_something_and_only_then() {
    let office = Office::new();
    let backups = office.path("backups");
    let first = office.run(FIRST);
    // Before the migrations: only the contacts are in it.
    assert_eq!(
        (&first["backup"]["contacts"], &first["backup"]["schedules"]),
        (&2.into(), &0.into())
    );
    assert_eq!(names(&backups).len(), 1);
    let copy = Connection::open(backups.join(&names(&backups)[0])).unwrap();
    let tables: i64 =
        copy.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
    drop(copy);

    assert_eq!(office.run(FIRST)["backup"], Json::Null, "nothing changed");
    office.succeeds(&format!("run --db agency.db --today {LATER} --dry-run"));
    assert_eq!(names(&backups).len(), 1);
    let summary = office.succeeds(&format!("run --db agency.db --today {LATER}"));
    assert!(summary.contains("Backup       backups/agency.db-"), "{summary}");
    assert_eq!(names(&backups).len(), 2);
    office.sql("UPDATE contacts SET zip_code = '90210'");
    office.succeeds(&format!("run --db agency.db --today {LATER} --no-backup"));
    assert_eq!(names(&backups).len(), 2);
}

#[test]
fn a_backup_goes_where_the_configuration_says_and_old_ones_go() {
    let office = Office::new();
    office.write("own.yaml", "backup: {directory: safe/copies, retention_days: 3}\n");
    let folder = office.path("safe/copies");
    fs::create_dir_all(&folder).unwrap();
    let old = "agency.db-20200101T000000.000Z.backup";
    fs::write(folder.join(old), "").unwrap();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    let report = office.json("backup --db agency.db --config own.yaml");
    assert_eq!(report["removed"][0], format!("safe/copies/{old}"));
    assert_eq!(report["contacts"], 2);
    let left = names(&folder);
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left[1], "notes.txt");
    office.fails(2, "backup --db none.db", "there is no file none.db");
}

#[test]
fn a_restored_database_is_the_one_of_the_backup() {
    let office = Office::new();
    office.run(FIRST);
    let rows = office.rows();
    let report = office.json("backup --db agency.db");
    let backup = report["backup"].as_str().unwrap();
    office.sql("DELETE FROM email_schedules; DELETE FROM contacts WHERE id = 2;");
    let text = office.succeeds(&format!("restore --db agency.db {backup}"));
    assert!(text.contains("2 contacts"), "{text}");
    let aside = text.lines().last().unwrap().rsplit(' ').next().unwrap();
    assert_eq!(office.rows(), rows);
    let kept = Connection::open(office.path(aside)).unwrap();
    let left: i64 = kept.query_row("SELECT count(*) FROM contacts", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
    assert_eq!(office.run(FIRST)["rows"]["unchanged"], rows.len());
}

#[test]
fn what_is_no_good_backup_is_not_restored() {
    let office = Office::new();
    office.write("text", "this is not a database, but long enough to look like a file\n");
    Connection::open(office.path("other")).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let before = fs::read(office.path("agency.db")).unwrap();
    office.fails(2, "restore --db agency.db text", "is not an SQLite database");
    office.fails(2, "restore --db agency.db other", "has no table `contacts`");
    office.fails(2, "restore --db agency.db none", "there is no file none");
    office.fails(2, "restore --db agency.db agency.db", "is the database itself");
    assert_eq!(fs::read(office.path("agency.db")).unwrap(), before);
    assert_eq!(names(office.folder.path()), ["agency.db", "other", "text"]);
}

#[test]
fn every_configuration_that_was_in_force_is_on_record() {
    let office = Office::new();
    office.fails(2, "config show --db agency.db", "no configuration is on record");
    office.run(FIRST);
    office.run(FIRST);
    office.write("own.yaml", "timing_constants: {birthday_email_days_before: 7}\n");
    office.succeeds(&format!("run --db agency.db --config own.yaml --today {FIRST}"));

    let versions = office.json("config history --db agency.db");
    assert_eq!(versions.as_array().unwrap().len(), 2, "a second run with the first adds none");
    assert_eq!((&versions[0]["version"], &versions[1]["version"]), (&2.into(), &1.into()));
    assert_eq!(versions[0]["created_by"], "ann");
    assert_eq!(versions[0]["valid_to"], Json::Null);
    assert_eq!(versions[1]["valid_to"], versions[0]["valid_from"]);
    let change = "timing_constants.birthday_email_days_before: 14 -> 7";
    assert!(office.succeeds("config history --db agency.db").contains(change));

    let diff = |sides: &str| office.succeeds(&format!("config diff {sides} --db agency.db"));
    assert_eq!(diff("1 2"), format!("{change}\n"));
    assert_eq!(diff("1 own.yaml"), format!("{change}\n"));
    assert_eq!(diff("2 own.yaml"), "No difference\n");
    office.fails(2, "config diff 1 2", "give it with --db");
    office.fails(2, "config diff 1 3 --db agency.db", "no configuration version 3");

    let shown = office.succeeds("config show --db agency.db");
    assert!(shown.contains("birthday_email_days_before: 7"), "{shown}");
    let first = office.succeeds("config show 1 --db agency.db");
    assert!(first.contains("birthday_email_days_before: 14"), "{first}");
    assert_eq!(office.succeeds("config show --config own.yaml"), shown);
    assert_eq!(office.succeeds("config show"), first);

    let runs = office.json("runs --db agency.db");
    let used: Vec<i64> = runs
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["config_version"].as_i64().unwrap())
        .collect();
    assert_eq!(used, [2, 1, 1]);
}

#[test]
fn going_back_to_a_configuration_takes_its_file_and_a_run() {
    let office = Office::new();
    office.write("own.yaml", "batch_size: 100\n");
    office.succeeds(&format!("run --db agency.db --config own.yaml --today {FIRST}"));
    office.write("own.yaml", "batch_size: 200\n");
    office.succeeds(&format!("run --db agency.db --config own.yaml --today {FIRST}"));
    let text = office.succeeds("config rollback 1 --db agency.db --to own.yaml");
    let aside = text.lines().last().unwrap().rsplit(' ').next().unwrap();
    assert_eq!(office.read(aside), "batch_size: 200\n");
    assert!(office.read("own.yaml").contains("batch_size: 100"));
    assert!(office.succeeds("config show --db agency.db").contains("batch_size: 200"));
    office.succeeds(&format!("run --db agency.db --config own.yaml --today {FIRST}"));
    assert!(office.succeeds("config show --db agency.db").contains("batch_size: 100"));
    assert_eq!(office.json("config history --db agency.db").as_array().unwrap().len(), 3);
    office.fails(2, "config rollback 9 --db agency.db --to x.yaml", "no configuration version 9");
    assert!(!office.path("x.yaml").exists());
}

#[test]
fn a_configuration_file_is_checked() {
    let office = Office::new();
    office.write("good.yaml", "batch_size: 100\n");
    office.write("bad.yaml", "batch_size: 100\ngrace: 3\n");
    let text = office.succeeds("config check good.yaml");
    assert_eq!(text, "good.yaml: all good; 1 value differs from the defaults\n");
    office.fails(2, "config check bad.yaml", "bad.yaml:2:1");
}

#[test]
fn an_explanation_uses_the_configuration_of_its_day() {
    let office = Office::new();
    office.run(FIRST);
    office.write("own.yaml", "timing_constants: {birthday_email_days_before: 7}\n");
    office.succeeds(&format!("run --db agency.db --config own.yaml --today {FIRST}"));
    office.sql(
        "UPDATE config_versions SET valid_from = '2026-03-01 18:00:00', valid_to = '2026-06-02 04:59:00'
           WHERE id = 1;
         UPDATE config_versions SET valid_from = '2026-06-02 04:59:00' WHERE id = 2;",
    );
    let explain =
        |day: &str| office.succeeds(&format!("explain --db agency.db --contact 1 --as-of {day}"));
    assert!(explain("2026-05-31").contains("14 days before the birthday"));
    // Just before midnight in Chicago, where the second one came into force.
    assert!(explain("2026-06-01").contains("7 days before the birthday"));
    let before = "explain --db agency.db --contact 1 --as-of 2026-02-28";
    office.fails(2, before, "no configuration is on record in agency.db for 2026-02-28");
}

/// The first run plans, the second one finds a message that was not sent in time.
fn two_runs() -> (Office, Vec<String>) {
    let office = Office::new();
    let ids = [office.run(FIRST), office.run(LATER)]
        .map(|report| report["run_id"].as_str().unwrap().to_owned());
    (office, ids.to_vec())
}

#[test]
fn the_record_tells_what_was_changed_when_and_why() {
    let (office, runs) = two_runs();
    let entries = office.json("audit show --db agency.db");
    let entry = &entries[0];
    assert_eq!(
        (&entry["run_id"], &entry["contact_id"], &entry["old_values"]["email_type"]),
        (&runs[1].as_str().into(), &2.into(), &"effective_date".into())
    );
    assert_eq!(entry["old_values"]["scheduled_send_date"], "2026-12-02");
    let count = |words: &str| {
        office.json(&format!("audit show --db agency.db {words}")).as_array().unwrap().len()
    };
    let all = entries.as_array().unwrap().len();
    assert!(all > 0);
    assert_eq!(count("--contact 2"), all);
    assert_eq!(count("--contact 1"), 0);
    assert_eq!(count(&format!("--run {}", runs[1])), all);
    assert_eq!(count(&format!("--run {}", runs[0])), 0);
    assert_eq!(count("--from 2020-01-01"), all);
    assert_eq!(count("--to 2020-01-01"), 0);
    office.fails(2, "audit show --db agency.db --run nobody", "there is no run nobody");
    let table = office.succeeds("audit show --db agency.db");
    assert!(table.contains("effective_date  2026-12-02  pre-scheduled"), "{table}");
    let csv = office.succeeds("audit show --db agency.db --csv");
    assert!(csv.starts_with("id,recorded_at,run_id,contact_id,schedule_id,what,why,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + all);
}

#[test]
fn an_edited_record_is_found_with_its_first_bad_entry() {
    let (office, _) = two_runs();
    assert!(office.succeeds("audit verify --db agency.db").starts_with("The record stands"));
    office.sql(
        "DROP TRIGGER schedule_history_no_update;
         UPDATE schedule_history SET why = 'nothing to see here' WHERE id = 1;",
    );
    let text = office.ends_with(1, "audit verify --db agency.db");
    assert!(text.contains("first: entry 1 was changed after it was recorded"), "{text}");
    let json = office.ends_with(1, "audit verify --db agency.db --json");
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(json["stands"], false);
}

#[test]
fn a_hash_that_was_noted_vouches_for_everything_before_it() {
    let (office, runs) = two_runs();
    let hash = office.json("audit verify --db agency.db")["last_hash"].as_str().unwrap().to_owned();
    let verify = format!("audit verify --db agency.db --expect {hash}");
    office.succeeds(&verify);
    // The end is cut off, the run that made it is removed, and the triggers are put back.
    office.sql(&format!(
        "DROP TRIGGER schedule_history_no_delete;
         DELETE FROM schedule_history;
         DELETE FROM scheduler_checkpoints WHERE run_id = '{}';",
        runs[1]
    ));
    office.sql(
        "CREATE TRIGGER schedule_history_no_delete BEFORE DELETE ON schedule_history \
         BEGIN SELECT RAISE(ABORT, 'schedule_history is append-only'); END",
    );
    office.succeeds("audit verify --db agency.db");
    assert!(office.ends_with(1, &verify).contains("no entry has the hash"));
    office.fails(2, "audit verify --db agency.db --expect 12ab", "64 hexadecimal digits");
}

#[test]
fn an_export_takes_days_in_their_order() {
    let (office, _) = two_runs();
    let words = "audit show --db agency.db --from 2026-12-02 --to 2026-12-01";
    office.fails(2, words, "no day is from 2026-12-02 to 2026-12-01");
    office.fails(2, "audit show --db agency.db --as-of 2026-12-02 --run x", "cannot be used with");
}

#[test]
fn the_plan_of_an_earlier_day_is_shown_as_it_stood() {
    let (office, runs) = two_runs();
    // As if the runs had been on two days, an hour after midnight in Chicago.
    office.sql(&format!(
        "DROP TRIGGER schedule_history_no_update;
         UPDATE schedule_history SET recorded_at = '2026-12-05 07:00:00',
           old_values = json_set(old_values, '$.created_at', '2026-11-20 07:00:00');
         UPDATE email_schedules SET created_at = CASE WHEN id IN
             (SELECT schedule_id FROM schedule_history) OR scheduler_run_id = '{}'
           THEN '2026-11-20 07:00:00' ELSE '2026-12-05 07:00:00' END;",
        runs[0]
    ));
    let plan = |day: &str| {
        let rows = office.json(&format!("audit show --db agency.db --contact 2 --as-of {day}"));
        let text = |row: &Json, name: &str| row[name].as_str().unwrap().to_owned();
        let rows = rows.as_array().unwrap().iter().map(|row| {
            (text(row, "email_type"), text(row, "scheduled_send_date"), text(row, "status"))
        });
        rows.collect::<Vec<_>>()
    };
    let due = |status: &str| ("effective_date".into(), "2026-12-02".into(), status.into());
    assert!(plan("2026-11-19").is_empty());
    assert!(plan("2026-11-20").contains(&due("pre-scheduled")));
    assert_eq!(plan("2026-12-04"), plan("2026-11-20"));
    assert!(!plan("2026-12-05").contains(&due("pre-scheduled")));
    let table = office.succeeds("audit show --db agency.db --as-of 2026-11-20");
    assert!(table.contains("effective_date  2026-12-02  pre-scheduled"), "{table}");
    let csv = office.succeeds("audit show --db agency.db --as-of 2026-11-20 --csv");
    assert!(csv.starts_with("schedule_id,contact_id,email_type,"), "{csv}");
}

#[test]
fn runs_are_listed_and_shown() {
    let (office, runs) = two_runs();
    let table = office.succeeds("runs --db agency.db");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[1].starts_with(&runs[1]) && lines[1].contains("completed"), "{table}");
    assert!(lines[2].starts_with(&runs[0]), "{table}");
    assert_eq!(office.succeeds("runs --db agency.db --limit 1").lines().count(), 2);
    let text = office.succeeds(&format!("runs show {} --db agency.db", runs[0]));
    for said in
        ["completed", "Config       version 1", "2 valid", "\nbackup ", "\nwrite ", "birthday"]
    {
        assert!(text.contains(said), "{said:?} is not in\n{text}");
    }
    let json = office.json(&format!("runs show {} --db agency.db", runs[0]));
    assert_eq!(json["today"], FIRST);
    assert_eq!(json["counts"]["contacts"]["valid"], 2);
    office.fails(2, "runs show nobody --db agency.db", "there is no run nobody");
    office.fails(2, "runs", "--db");
}

#[test]
fn the_status_tells_what_is_wrong() {
    let office = Office::new();
    let problems = |words: &str| {
        let report = office.ends_with(1, &format!("status --db {words} --json"));
        let report: Json = serde_json::from_str(&report).unwrap();
        assert_eq!(report["healthy"], false);
        let problems = report["problems"].as_array().unwrap().clone();
        problems.iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for bad in ["--max-age-hours nan", "--max-invalid-rate 7", "--max-overdue few"] {
        office.fails(2, &format!("status --db agency.db {bad}"), "invalid value");
    }
    assert_eq!(problems("none.db"), ["there is no file none.db; check the path"]);
    assert_eq!(problems("agency.db"), ["no run was ever completed"]);

    office.succeeds("run --db agency.db");
    let text = office.succeeds("status --db agency.db");
    assert!(text.starts_with("agency.db: all is well\n"), "{text}");
    assert!(text.contains("Invalid      0 of 2 contacts (0.0 %)"), "{text}");
    let report = office.json("status --db agency.db");
    assert_eq!((&report["healthy"], &report["sound"]), (&true.into(), &true.into()));

    office.sql("UPDATE scheduler_checkpoints SET started_at = '2026-01-01 06:00:00'");
    assert!(problems("agency.db")[0].contains("hours ago, more than 30"));
    office.succeeds("status --db agency.db --max-age-hours 1000000");

    office.sql(
        "UPDATE scheduler_checkpoints SET started_at = '2999-01-01 06:00:00';
         UPDATE email_schedules SET scheduled_send_date = '2026-01-01'
           WHERE id = (SELECT min(id) FROM email_schedules WHERE status = 'pre-scheduled');",
    );
    assert!(problems("agency.db")[0].starts_with("1 messages were planned for days before"));
    office.succeeds("status --db agency.db --max-overdue 1");

    office.sql(
        "INSERT INTO scheduler_checkpoints (run_id, status, error)
           VALUES ('x', 'failed', 'no space is left'), ('y', 'started', NULL);",
    );
    let failed = problems("agency.db --max-overdue 1");
    assert_eq!(
        failed,
        ["1 run failed since the last successful one, lastly because no space is left"]
    );
    office.succeeds("status --db agency.db --max-overdue 1 --max-failed-runs 1");
    let text = office.ends_with(1, "status --db agency.db");
    assert!(text.contains("Unfinished   y"), "{text}");

    office.sql("INSERT INTO contacts (id, email) VALUES (3, 'nobody')");
    office.succeeds("run --db agency.db");
    assert_eq!(problems("agency.db"), ["33.3 % of the contacts are invalid, more than 10.0 %"]);
    office.succeeds("status --db agency.db --max-invalid-rate 0.4");
}

/// The log of a command, an object a line.
fn log(stderr: &str) -> Vec<Json> {
    stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

#[test]
fn a_structured_log_has_each_stage_with_its_counts_and_time() {
    let office = Office::new();
    let (code, stdout, stderr) =
        office.curfew(&format!("run --db agency.db --today {FIRST} --json --log-format json"));
    assert_eq!(code, 0, "{stderr}");
    let report: Json = serde_json::from_str(&stdout).unwrap();
    let entries = log(&stderr);
    let mut stages = Vec::new();
    for entry in entries.iter().filter(|entry| entry["message"] == "stage ends") {
        let spans = entry["spans"].as_array().unwrap();
        assert_eq!((&spans[1]["name"], &spans[1]["run_id"]), (&"run".into(), &report["run_id"]));
        let stage = spans.last().unwrap()["stage"].as_str().unwrap();
        assert_eq!(entry["seconds"], report["seconds"][stage], "{entry}");
        stages.push((stage, entry));
    }
    let names: Vec<&str> = stages.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(names, ["backup", "prepare", "read", "balance", "write"]);
    assert_eq!(stages[2].1["contacts"], 2);
    assert_eq!(stages[4].1["inserted"], report["rows"]["inserted"]);

    let last = entries.last().unwrap();
    assert_eq!((&last["message"], &last["exit_code"]), (&"command ends".into(), &0.into()));
    assert_eq!(last["spans"][0]["command"], "run");

    // An error is an entry too, and the exit code is what it is without a log.
    let (code, _, stderr) = office.curfew("run --db none.db --log-format json");
    let entries = log(&stderr);
    assert_eq!((code, &entries[0]["level"]), (2, &"ERROR".into()), "{stderr}");
    let words = format!("run --db agency.db --today {FIRST} --log-format json --log-level warn");
    assert_eq!(office.curfew(&words).2, "");
}

#[test]
fn a_batch_that_cannot_be_written_is_left_out_reported_and_made_up_for() {
    let office = Office::new();
    office.write("own.yaml", "batch_size: 1\n");
    let run = format!("run --db agency.db --today {FIRST} --config own.yaml");
    office.succeeds(&run);
    let ours = "SELECT count(*) FROM email_schedules WHERE contact_id =";
    let count = |sql: &str| -> i64 {
        let db = Connection::open(office.path("agency.db")).unwrap();
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let (ann, bob) = (count(&format!("{ours} 1")), count(&format!("{ours} 2")));
    office.sql(
        "DELETE FROM email_schedules;
         CREATE TRIGGER vault BEFORE INSERT ON email_schedules WHEN new.contact_id = 1
         BEGIN SELECT raise(rollback, 'the vault is closed'); END;",
    );

    let text = office.ends_with(3, &run);
    assert!(text.contains("Not written  1 contacts from 1 to 1: "), "{text}");
    assert!(text.contains("the vault is closed"), "{text}");
    assert_eq!((count(&format!("{ours} 1")), count(&format!("{ours} 2"))), (0, bob));
    let report: Json =
        serde_json::from_str(&office.ends_with(3, &format!("{run} --json"))).unwrap();
    assert_eq!(report["failed_batches"][0]["first_contact_id"], 1);
    let failed =
        office.json(&format!("runs show {} --db agency.db", report["run_id"].as_str().unwrap()));
    assert_eq!(failed["status"], "failed");
    assert!(
        failed["error"].as_str().unwrap().starts_with("1 batch with 1 contact was not written")
    );
    assert_eq!(failed["counts"]["contacts"]["valid"], 2);
    let text = office.ends_with(1, "status --db agency.db");
    assert!(text.contains("2 runs failed since the last successful one"), "{text}");

    office.sql("DROP TRIGGER vault");
    office.succeeds(&run);
    assert_eq!((count(&format!("{ours} 1")), count(&format!("{ours} 2"))), (ann, bob));
}

#[test]
fn a_run_that_finds_the_database_busy_tries_again() {
    let office = Office::new();
    office.sql("PRAGMA journal_mode = wal");
    let other = Connection::open(office.path("agency.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_curfew"))
        .args(["run", "--db", "agency.db", "--today", FIRST, "--no-backup"])
        .args(["--log-format", "json"])
        .current_dir(office.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut entries = BufReader::new(run.stderr.take().unwrap()).lines();
    let retry = entries.find(|line| line.as_ref().unwrap().contains("\"retry: ")).unwrap();
    assert!(retry.unwrap().contains("locked by another program"));
    other.execute_batch("ROLLBACK").unwrap();
    let rest: Vec<String> = entries.map(Result::unwrap).collect();
    assert!(run.wait().unwrap().success(), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("\"run ends\"")), "{rest:?}");
    assert!(!office.rows().is_empty());
}
