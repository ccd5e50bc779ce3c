//! The command as a user meets it: exit codes, what goes to stdout and what to stderr.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rusqlite::Connection;
use tempfile::TempDir;

const TODAY: &str = "2026-11-20";

/// A folder with a database of three contacts: one in California, one in Illinois, one invalid.
struct Office {
    folder: TempDir,
}

impl Office {
    fn new() -> Self {
        let office = Self { folder: tempfile::tempdir().unwrap() };
        let conn = Connection::open(office.path("agency.db")).unwrap();
        conn.execute_batch(
            "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT,
               birth_date TEXT, effective_date TEXT, phone_number TEXT);
             INSERT INTO contacts VALUES
               (1, 'ann@example.com', '90210', '1955-02-10', '2019-05-01', '555-0100'),
               (2, 'bob@example.com', '60601', '1956-12-24', '2020-01-01', NULL),
               (3, 'nobody', '60601', '1950-01-01', NULL, NULL);",
        )
        .unwrap();
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs the command in the folder.
    fn curfew(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_curfew"))
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Runs the command, checks the exit code, and returns stdout.
    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        self.ends_with(0, arguments).0
    }

    /// Runs the command, checks the exit code, and returns stdout and stderr.
    #[track_caller]
    fn ends_with(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.curfew(arguments);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
        (stdout, stderr)
    }

    /// The command must fail with this code, say this on stderr, nothing on stdout, and leave the
    /// folder as it is.
    #[track_caller]
    fn fails(&self, code: i32, arguments: &[&str], said: &str) {
        let before = contents(self.folder.path());
        let (stdout, stderr) = self.ends_with(code, arguments);
        assert!(stderr.contains(said), "stderr: {stderr}");
        assert_eq!(stdout, "");
        assert_eq!(contents(self.folder.path()), before, "something was written");
    }

    fn rows(&self) -> Vec<(i64, String, String, String, Option<String>)> {
        let conn = Connection::open(self.path("agency.db")).unwrap();
        let mut statement = conn
            .prepare(
                "SELECT contact_id, email_type, scheduled_send_date, status, skip_reason
                 FROM email_schedules ORDER BY contact_id, scheduled_send_date",
            )
            .unwrap();
        statement
            .query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }
}

/// Names and bytes of all files in a folder, lock files and SQLite's own apart.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.to_string_lossy();
            path.is_file() && !["-wal", "-shm", "-lock"].iter().any(|end| name.ends_with(end))
        })
        .map(|path| (path.clone(), std::fs::read(&path).unwrap_or_default()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_run_plans_every_message_and_a_second_one_changes_no_row() {
    let office = Office::new();
    let summary = office.succeeds(&["run", "--db", "agency.db", "--today", TODAY]);
    assert!(summary.contains("3 read: 2 valid, 0 inactive, 1 invalid"), "{summary}");
    assert!(summary.contains("email is not a valid e-mail address"), "{summary}");
    let rows = office.rows();
    let planned: Vec<(i64, &str, &str, &str)> = rows
        .iter()
        .map(|(contact, kind, date, status, _)| {
            (*contact, kind.as_str(), date.as_str(), status.as_str())
        })
        .collect();
    assert_eq!(
        planned,
        [
            // Ann's birthday window in California closes 2026-11-12 to 2027-04-11.
            (1, "birthday", "2027-01-27", "skipped"),
            (1, "effective_date", "2027-04-01", "skipped"),
            (1, "post_window", "2027-04-12", "pre-scheduled"),
            // The daily cap of three contacts is one message: of two on that day, this one moves.
            (1, "aep", "2027-09-16", "pre-scheduled"),
            // Bob's effective-date message is for 2027-01-01, thirty days before it.
            (2, "effective_date", "2026-12-02", "pre-scheduled"),
            (2, "birthday", "2026-12-10", "pre-scheduled"),
            (2, "aep", "2027-09-15", "pre-scheduled"),
        ]
    );
    assert_eq!(rows[0].4.as_deref(), Some("Birthday exclusion window for CA"));

    let json = office.succeeds(&["run", "--db", "agency.db", "--today", TODAY, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["rows"]["unchanged"], 7);
    for change in ["inserted", "updated", "expired", "deleted"] {
        assert_eq!(report["rows"][change], 0, "{change}");
    }
    assert_eq!(office.rows(), rows);
}

#[test]
fn a_dry_run_writes_nothing_and_says_the_same_as_the_run() {
    let office = Office::new();
    let before = contents(office.folder.path());
    let run = ["run", "--db", "agency.db", "--today", TODAY, "--json", "--dry-run"];
    let dry: serde_json::Value = serde_json::from_str(&office.succeeds(&run)).unwrap();
    assert_eq!(contents(office.folder.path()), before);
    let wet: serde_json::Value = serde_json::from_str(&office.succeeds(&run[..6])).unwrap();
    for part in ["contacts", "messages", "rows", "volume", "daily_cap"] {
        assert_eq!(dry[part], wet[part], "{part}");
    }
}

#[test]
fn a_plan_shows_what_would_change_as_table_json_and_csv() {
    let office = Office::new();
    let plan = ["plan", "--db", "agency.db", "--today", TODAY];
    let table = office.succeeds(&plan);
    assert!(table.contains("insert  1"), "{table}");
    assert!(table.contains("Birthday exclusion window for CA"), "{table}");
    let csv = office.succeeds(&[&plan[..], &["--csv"]].concat());
    assert_eq!(csv.lines().count(), 1 + 7, "{csv}");
    assert!(csv.starts_with("contact_id,change,schedule_id,email_type,"), "{csv}");
    let json = office.succeeds(&[&plan[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["changes"].as_array().unwrap().len(), 7);
    assert_eq!(json["summary"]["dry_run"], true);
    office.succeeds(&["run", "--db", "agency.db", "--today", TODAY]);
    assert!(office.succeeds(&plan).starts_with("Nothing would change."));
}

#[test]
fn an_explanation_names_periods_steps_and_reasons() {
    let office = Office::new();
    let explain = |contact| {
        office.succeeds(&["explain", "--db", "agency.db", "--contact", contact, "--today", TODAY])
    };
    let ann = explain("1");
    for said in [
        "State CA, born 1955-02-10",
        "CA: birthday -30..+60",
        "2026-11-12 to 2027-04-11",
        "ideal date 2027-01-27: 14 days before the birthday on 2027-02-10",
        "skipped: Birthday exclusion window for CA",
        "the day after the closed period that ends on 2027-04-11",
    ] {
        assert!(ann.contains(said), "{said:?} is not in\n{ann}");
    }
    assert!(explain("3").contains("email \"nobody\" is not a valid e-mail address"));
    let other = ["explain", "--db", "agency.db", "--contact", "9", "--today", TODAY];
    office.fails(2, &other, "there is no contact 9");
}

#[test]
fn bad_input_is_a_clear_error_and_nothing_is_written() {
    let office = Office::new();
    office.write("text.db", "this is not a database, but long enough to look like a file\n");
    Connection::open(office.path("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE things (id INTEGER)")
        .unwrap();
    office.write("unknown.yaml", "batch_size: 10\ngrace: 3\n");
    office.write("rule.yaml", "state_rules:\n  CA: birthdy -30..+60\n");
    office.write("rules.txt", "# a list\nCA: birthday -30..+60\nNV: birthday 30..60\n");
    let run = |db, more: &[&'static str]| [&["run", "--db", db][..], more].concat();
    office.fails(2, &run("none.db", &[]), "there is no file none.db");
    office.fails(2, &run(".", &[]), "is a directory");
    office.fails(2, &run("text.db", &[]), "is not an SQLite database");
    office.fails(2, &run("other.db", &[]), "has no table `contacts`");
    office.fails(2, &run("agency.db", &["--config", "none.yaml"]), "cannot read the configuration");
    office.fails(2, &run("agency.db", &["--config", "unknown.yaml"]), "unknown.yaml:2:1");
    office.fails(2, &run("agency.db", &["--config", "rule.yaml"]), "^^^^^^^");
    office.fails(2, &run("agency.db", &["--today", "2026-02-30"]), "there is no such day");
    office.fails(2, &run("agency.db", &["--today", "02/03/2026"]), "YYYY-MM-DD");
    office.fails(2, &run("agency.db", &["--today", "9999-01-01"]), "from 1900 to 9000");
    office.fails(2, &["rules", "check", "rules.txt"], "rules.txt:3");
    office.fails(2, &["rnu"], "unrecognized subcommand");
}

#[test]
fn a_database_that_another_program_writes_to_is_left_alone() {
    let office = Office::new();
    let conn = Connection::open(office.path("agency.db")).unwrap();
    conn.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // The file is not read here meanwhile: closing it would give up this process's lock.
    let (stdout, stderr) = office.ends_with(3, &["run", "--db", "agency.db", "--today", TODAY]);
    assert!(stderr.contains("locked by another program"), "{stderr}");
    assert_eq!(stdout, "");
    conn.execute_batch("ROLLBACK").unwrap();
    let tables: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1, "something was written");
}

#[test]
fn the_rules_in_force_are_shown_with_their_origin() {
    let office = Office::new();
    let table = office.succeeds(&["rules"]);
    assert!(table.contains("CA     birthday -30..+60"), "{table}");
    office.write("own.yaml", "state_rules: {CA: [], TX: [all year age 90..]}\n");
    let own = office.succeeds(&["rules", "--config", "own.yaml"]);
    assert!(!own.contains("CA "), "{own}");
    assert!(own.contains("TX     all year age 90..") && own.contains("configuration"), "{own}");
    office.succeeds(&["rules", "check", "own.yaml"]);
}

#[test]
fn imported_contacts_are_planned() {
    let office = Office::new();
    office.write(
        "more.csv",
        "E-Mail,ZIP,DOB,Policy Effective Date\ncid@example.com,89101,1950-03-14,2021-07-01\n\
         bad,89101,1950-03-14,\n",
    );
    let import = ["import", "--db", "new.db", "more.csv"];
    let (text, _) = office.ends_with(1, &import);
    assert!(text.contains("1 inserted") && text.contains("line 3"), "{text}");
    let (again, _) = office.ends_with(1, &import);
    assert!(again.contains("0 inserted") && again.contains("1 unchanged"), "{again}");
    let (_, stderr) = office.ends_with(0, &["run", "--db", "new.db", "--today", TODAY]);
    assert_eq!(stderr, "");
}

#[test]
fn help_has_examples() {
    let office = Office::new();
    for command in [
        "run", "plan", "explain", "import", "rules", "backup", "restore", "config", "audit",
        "runs", "status", "demo", "generate",
    ] {
        let help = office.succeeds(&[command, "--help"]);
        assert!(help.contains("Example"), "{help}");
    }
}
