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
    let header = office.succeeds(&[&plan[..], &["--csv"]].concat());
    assert_eq!(header.trim_end(), csv.lines().next().unwrap());
}

#[test]
fn a_plan_shows_what_each_row_was_before() {
    let office = Office::new();
    office.succeeds(&["run", "--db", "agency.db", "--today", TODAY]);
    let conn = Connection::open(office.path("agency.db")).unwrap();
    // The first moves, the second is not planned any more, the third was missed, and the contact of
    // all of them has another effective date.
    conn.execute_batch(
        "UPDATE email_schedules SET shift_days = 9 WHERE contact_id = 2 AND email_type = 'birthday';
         UPDATE contacts SET effective_date = '2020-06-01' WHERE id = 2;
         INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date, status) VALUES
           (90, 2, 'Newsletter', '2026-11-01', 'pre-scheduled'),
           (91, 2, 'Newsletter', '2026-11-01', 'skipped');",
    )
    .unwrap();
    let csv = office.succeeds(&["plan", "--db", "agency.db", "--today", TODAY, "--csv"]);
    let changes: Vec<&str> = csv.lines().collect();
    for line in [
        "2,expire,90,newsletter,,,2026-11-01,skipped,Expired before it was sent,2026-11-01,pre-scheduled",
        "2,lowercase,91,newsletter,,,2026-11-01,,,2026-11-01,skipped",
        ",effective_date,,,,,no longer in the plan,2026-12-02,pre-scheduled",
        ",birthday,,2026-12-24,2026-12-10,pre-scheduled,,2026-12-10,pre-scheduled",
    ] {
        assert!(changes.iter().any(|change| change.ends_with(line)), "{line}: {csv}");
    }
    let table = office.succeeds(&["plan", "--db", "agency.db", "--today", TODAY]);
    assert!(table.contains("2026-12-02 pre-scheduled"), "{table}");
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
        "ideal date 2027-01-27: 14 days before the birthday on 2027-02-10; deadline 2027-02-10",
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
fn an_explanation_says_what_moved_a_message_and_what_it_was_refused_for() {
    let office = Office::new();
    let explain = |today| {
        let said = ["explain", "--db", "agency.db", "--contact", "2", "--today", today];
        office.succeeds(&said)
    };
    let late = explain("2026-12-05");
    let said = "late: its ideal date is before 2026-12-05, so that it is caught up on 2026-12-08";
    assert!(late.contains(said), "{late}");
    office.succeeds(&["run", "--db", "agency.db", "--today", "2026-12-05"]);
    let kept = explain("2026-12-05");
    assert!(kept.contains("where an earlier run put it, 6 days after its ideal date"), "{kept}");

    let conn = Connection::open(office.path("agency.db")).unwrap();
    conn.execute_batch(
        "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, status) VALUES
           (2, 'newsletter', '2026-12-01', 'sent'), (2, 'newsletter', '2026-12-02', 'delivered'),
           (2, 'newsletter', '2026-12-03', 'failed'), (2, 'newsletter', '2027-01-07', 'scheduled')",
    )
    .unwrap();
    let refused = explain("2026-12-05");
    let said = "there would be more than 3 messages within 30 days; before it come \
                newsletter on 2026-12-01 (the sender has it), newsletter on 2026-12-02 (the sender has it), \
                birthday on 2026-12-10 (planned)";
    assert!(refused.contains(said), "{refused}");
    assert!(!refused.contains("newsletter on 2026-12-03"), "{refused}");
    assert!(refused.contains("skipped: Frequency limit: 3 emails in 30 days"), "{refused}");
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
    #[cfg(unix)]
    office.fails(2, &run("/dev/null", &[]), "is not a file");
    office.fails(2, &run("text.db", &[]), "is not an SQLite database");
    office.fails(2, &run("other.db", &[]), "has no table `contacts`");
    office.fails(2, &run("agency.db", &["--config", "none.yaml"]), "cannot read the configuration");
    office.fails(2, &run("agency.db", &["--config", "unknown.yaml"]), "unknown.yaml:2:1");
    office.fails(2, &run("agency.db", &["--config", "rule.yaml"]), "^^^^^^^");
    office.fails(2, &run("agency.db", &["--today", "2026-02-30"]), "there is no such day");
    office.fails(2, &run("agency.db", &["--today", "02/03/2026"]), "YYYY-MM-DD");
    office.fails(2, &run("agency.db", &["--today", "9999-01-01"]), "from 1900 to 9000");
    office.fails(2, &["rules", "check", "rules.txt"], "rules.txt:3");
    office.fails(2, &["rules", "check", "none.txt"], "none.txt: cannot be read");
    office.fails(2, &["rnu"], "unrecognized subcommand");
}

#[test]
fn a_read_only_database_can_be_planned_but_not_run() {
    let office = Office::new();
    let mut permissions = std::fs::metadata(office.path("agency.db")).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(office.path("agency.db"), permissions).unwrap();
    let run = ["run", "--db", "agency.db", "--today", TODAY];
    office.fails(3, &run, "agency.db is read-only; make the file and its folder writable");
    assert!(office.succeeds(&["plan", "--db", "agency.db", "--today", TODAY]).contains("insert"));
    let explain = ["explain", "--db", "agency.db", "--contact", "1", "--today", TODAY];
    assert!(office.succeeds(&explain).contains("birthday"));
}

/// Tables of contacts as others make them: each has a contact in Massachusetts, who is closed all
/// year, and one in Texas.
#[test]
fn contacts_in_tables_of_all_sorts_are_planned() {
    let columns = "birth_date TEXT, effective_date TEXT";
    let tables = [
        format!("(id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT, {columns}) WITHOUT ROWID"),
        format!("(id INTEGER PRIMARY KEY, email TEXT, zip_code INTEGER, {columns})"),
        format!("(id BIGINT, email VARCHAR(40), zip_code NUMERIC, {columns})"),
        format!("(id, email, zip_code TEXT, {columns}, state, phone_number, status)"),
        "(ID INTEGER PRIMARY KEY, EMAIL TEXT, Zip_Code TEXT, Birthday TEXT, Effective_Date TEXT)"
            .to_owned(),
        "(id INTEGER PRIMARY KEY, mail TEXT, email TEXT AS (mail || '.example'), zip_code TEXT,
          born TEXT, birth_date TEXT AS (born) STORED, effective_date TEXT)"
            .to_owned(),
    ];
    for table in tables {
        let office = Office { folder: tempfile::tempdir().unwrap() };
        let conn = Connection::open(office.path("agency.db")).unwrap();
        conn.execute_batch(&format!("CREATE TABLE contacts {table}")).unwrap();
        let (email, birth) = match () {
            () if table.contains("mail ||") => ("mail", "born"),
            () if table.contains("Birthday") => ("email", "birthday"),
            () => ("email", "birth_date"),
        };
        conn.execute_batch(&format!(
            "INSERT INTO contacts (id, {email}, zip_code, {birth}, effective_date) VALUES
               (-3, 'ann@mail.example', '02134', '1955-03-10', '2019-06-01 00:00:00'),
               (9007199254740993, 'bob@mail.example', '75201', '1955-03-10T08:30:00Z', '')"
        ))
        .unwrap();
        office.succeeds(&["run", "--db", "agency.db", "--today", TODAY]);
        let rows: Vec<(i64, String, String, String)> = office
            .rows()
            .into_iter()
            .map(|(id, kind, date, status, _)| (id, kind, date, status))
            .collect();
        let row = |id, kind: &str, date: &str, status: &str| {
            (id, kind.to_owned(), date.to_owned(), status.to_owned())
        };
        assert_eq!(
            rows,
            [
                row(-3, "birthday", "2027-02-24", "skipped"),
                row(-3, "effective_date", "2027-05-02", "skipped"),
                row(-3, "aep", "2027-09-15", "skipped"),
                row(9_007_199_254_740_993, "birthday", "2027-02-24", "pre-scheduled"),
                row(9_007_199_254_740_993, "aep", "2027-09-15", "pre-scheduled"),
            ],
            "{table}"
        );
    }
}

#[test]
fn a_table_of_contacts_that_cannot_be_planned_is_refused_and_left_alone() {
    let all = "email TEXT, zip_code TEXT, birth_date TEXT, effective_date TEXT";
    let tables = [
        (format!("CREATE TABLE contacts (id TEXT PRIMARY KEY, {all})"), "must hold whole numbers"),
        (format!("CREATE TABLE contacts (id REAL, {all})"), "must hold whole numbers"),
        (
            format!("CREATE TABLE p (id INTEGER, {all}); CREATE VIEW contacts AS SELECT * FROM p"),
            "it is a view, not a table",
        ),
        (
            "CREATE TABLE contacts (id INTEGER, email TEXT, zip TEXT, birthday TEXT)".to_owned(),
            "lacks the columns `zip_code`, `effective_date`",
        ),
        (
            format!(
                "CREATE TABLE contacts (id INTEGER, {all});
                 CREATE VIEW email_schedules AS SELECT id FROM contacts"
            ),
            "`email_schedules` of agency.db cannot be used: it is a view",
        ),
        (
            format!(
                "CREATE TABLE contacts (id INTEGER, {all});
                 CREATE TABLE email_schedules (id TEXT PRIMARY KEY, contact_id, email_type, status)"
            ),
            "is no INTEGER PRIMARY KEY",
        ),
        (
            format!(
                "CREATE TABLE contacts (id INTEGER, {all});
                 CREATE TABLE email_schedules (id INTEGER PRIMARY KEY, event_year VARCHAR(4))"
            ),
            "its column event_year is declared as VARCHAR(4); it must hold whole numbers",
        ),
    ];
    for (table, said) in tables {
        let office = Office { folder: tempfile::tempdir().unwrap() };
        Connection::open(office.path("agency.db")).unwrap().execute_batch(&table).unwrap();
        office.fails(2, &["run", "--db", "agency.db", "--today", TODAY], said);
        office.fails(2, &["plan", "--db", "agency.db", "--today", TODAY], said);
    }
}

#[test]
fn contacts_whose_values_are_of_no_use_are_issues_and_the_others_are_planned() {
    let office = Office { folder: tempfile::tempdir().unwrap() };
    let conn = Connection::open(office.path("agency.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE contacts (id, email, zip_code, birth_date, effective_date, state, status);
         INSERT INTO contacts VALUES
           (NULL, 'a@mail.example', '75201', '1955-03-10', NULL, NULL, NULL),
           (x'01', 'a@mail.example', '75201', '1955-03-10', NULL, NULL, NULL),
           (1.5, 'a@mail.example', '75201', '1955-03-10', NULL, NULL, NULL),
           ('abc', 'a@mail.example', '75201', '1955-03-10', NULL, NULL, NULL),
           (7, 'a@mail.example', '75201', '1955-03-10', NULL, NULL, NULL),
           (7, 'b@mail.example', '75201', '1955-03-10', NULL, NULL, NULL),
           (8, x'614062', '75201', '1955-03-10', NULL, NULL, NULL),
           (9, 'a@mail.example', 75201.0, '1955-03-10', NULL, NULL, NULL),
           (10, 'a@mail.example', '7520112345', '1955-03-10', NULL, NULL, NULL),
           (11, 'a@mail.example', '75201-1234', 19550310, '0000-00-00', x'00', ''),
           (12, 'a@mail.example', '75201', '1955-03-10', NULL, NULL, 0);",
    )
    .unwrap();
    let text = office.succeeds(&["run", "--db", "agency.db", "--today", TODAY]);
    assert!(text.contains("11 read: 2 valid, 1 inactive, 8 invalid"), "{text}");
    for issue in [
        "1  id is missing",
        "3  id is not a whole number",
        "1  id occurs more than once",
        "1  email is not a valid e-mail address",
        "2  zip_code is not of the form NNNNN or NNNNN-NNNN",
        "1  birth_date is not of the form YYYY-MM-DD",
        "1  effective_date is not a real date",
    ] {
        assert!(text.contains(issue), "{issue}: {text}");
    }
    let planned: Vec<(i64, String)> =
        office.rows().into_iter().map(|(id, kind, ..)| (id, kind)).collect();
    let row = |id, kind: &str| (id, kind.to_owned());
    assert_eq!(planned, [row(7, "birthday"), row(7, "aep"), row(11, "aep")]);
}

/// Names that SQLite takes for something else than files, and names that are no UTF-8.
#[cfg(unix)]
#[test]
fn a_database_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt as _;
    for name in
        [&b"file:agency.db"[..], b":memory:", b"a'b\"c;--?x=1#y%20.db", b"caf\xe9.db", b"-x.db"]
    {
        let office = Office::new();
        let name = std::ffi::OsStr::from_bytes(name);
        std::fs::rename(office.path("agency.db"), office.folder.path().join(name)).unwrap();
        for command in ["run", "plan"] {
            let mut db = std::ffi::OsString::from("--db=");
            db.push(name);
            let output = Command::new(env!("CARGO_BIN_EXE_curfew"))
                .args([command, "--json", "--today", TODAY])
                .arg(db)
                .current_dir(office.folder.path())
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{command} {}: {stderr}", name.display());
            let stdout = String::from_utf8(output.stdout).unwrap();
            assert!(stdout.contains("\"valid\": 2"), "{stdout}");
        }
        let backups = std::fs::read_dir(office.path("backups")).unwrap().count();
        assert_eq!(backups, 1, "{}", name.display());
    }
}

#[test]
fn a_database_that_another_program_writes_to_is_left_alone() {
    let run = ["run", "--db", "agency.db", "--today", TODAY];
    let left_alone = |lock: &str| {
        let office = Office::new();
        let conn = Connection::open(office.path("agency.db")).unwrap();
        conn.execute_batch(lock).unwrap();
        // The file is not read here meanwhile: closing it would give up this process's lock.
        let (stdout, stderr) = office.ends_with(3, &run);
        assert!(stderr.contains("locked by another program"), "{lock}: {stderr}");
        assert_eq!(stdout, "");
        conn.execute_batch("ROLLBACK").unwrap();
        let tables: i64 =
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1, "something was written");
        assert!(!office.path("backups").exists(), "{lock}: a backup was made");
    };
    // They wait for ten and twenty seconds.
    std::thread::scope(|scope| {
        scope.spawn(|| left_alone("BEGIN EXCLUSIVE"));
        left_alone("BEGIN IMMEDIATE");
    });
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
fn a_file_of_rules_is_checked_as_the_defaults_would_use_it() {
    let office = Office::new();
    office.write(
        "good.txt",
        "\u{feff}CA: birthday -30..+60 # all year until 2019\r\n\r\n  # a comment\r\nny: ALL YEAR\r\n",
    );
    assert_eq!(office.succeeds(&["rules", "check", "good.txt"]), "good.txt: 2 rules, all good\n");
    let json = office.succeeds(&["rules", "check", "good.txt", "--json"]);
    assert!(json.contains("\"rule\": \"all year\""), "{json}");
    // 150 and 154 days, and the 60 ahead of the window.
    office.write("long.txt", "CA: birthday -150..+153\nTX: birthday -150..+154\n");
    let long = "long.txt:2: the window reaches over 364 days (150 before, 154 after, 60 ahead of it), \
                it must be below 364\n  TX: birthday -150..+154\n               ^^^^^^^^^^";
    office.fails(2, &["rules", "check", "long.txt"], long);
    std::fs::write(office.path("latin.txt"), b"# Ren\xe9\nCA: all year\n").unwrap();
    office.fails(2, &["rules", "check", "latin.txt"], "is not text in UTF-8");
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
fn generate_says_what_it_made_and_what_it_will_not_make() {
    let office = Office::new();
    let made = ["generate", "--contacts", "50", "--out", "made.db", "--json"];
    let report: serde_json::Value = serde_json::from_str(&office.succeeds(&made)).unwrap();
    assert_eq!(report["contacts"], 50);
    assert_eq!(report["sent"], 0);
    let (_, again) = office.ends_with(2, &made);
    assert!(again.contains("made.db exists already; name another file"), "{again}");

    let later = ["generate", "--contacts", "50", "--today", "2031-05-06", "--out", "later.db"];
    office.succeeds(&later);
    let with = |words: &[&'static str]| [&["generate", "--out", "x.db"], words].concat();
    for (words, said) in [
        (with(&[]), "--contacts <N>"),
        (with(&["--contacts", "0"]), "0 is not in 1..=50000000"),
        (with(&["--contacts", "many"]), "invalid value 'many'"),
        (with(&["--contacts", "9", "--clicks"]), "--history"),
        (with(&["--contacts", "9", "--seed", "x"]), "invalid value 'x'"),
        (with(&["--contacts", "9", "--today", "2027-02-29"]), "there is no such day"),
        (with(&["--contacts", "9", "--today", "1899-12-31"]), "from 1900 to 9000"),
    ] {
        let (_, stderr) = office.ends_with(2, &words);
        assert!(stderr.contains(said), "{words:?}: {stderr}");
    }
    let (_, stderr) = office.ends_with(2, &["generate", "--contacts", "9", "--out", "no/x.db"]);
    assert!(stderr.contains("the folder no does not exist"), "{stderr}");
    assert!(!office.path("x.db").exists() && !office.path("x.db.partial").exists());
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
