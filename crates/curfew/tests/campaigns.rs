//! `curfew campaign` as a user meets it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

const TODAY: &str = "2026-11-20";

/// A folder with a database of three contacts.
struct Office {
    folder: TempDir,
}

impl Office {
    fn new() -> Self {
        let office = Self { folder: tempfile::tempdir().unwrap() };
        office
            .database()
            .execute_batch(
                "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT,
                   birth_date TEXT, effective_date TEXT, phone_number TEXT);
                 INSERT INTO contacts VALUES
                   (1, 'ann@example.com', '60601', '1955-07-10', NULL, NULL),
                   (2, 'bob@example.com', '60601', '1956-08-24', NULL, NULL),
                   (3, 'cid@example.com', '60601', '1950-06-01', NULL, NULL);",
            )
            .unwrap();
        office
    }

    /// The same with a type `rate_increase` and its instance `May`, whose id is 1.
    fn with_campaign() -> Self {
        let office = Self::new();
        office.succeeds("campaign type add rate_increase --db agency.db --days-before-event 14");
        office.succeeds("campaign instance add May --db agency.db --campaign-type rate_increase");
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn database(&self) -> Connection {
        Connection::open(self.path("agency.db")).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs the command in the folder; arguments have no blanks here.
    fn curfew(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_curfew"))
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .env("LOGNAME", "login")
            .output()
            .unwrap()
    }

    /// Runs the command, checks the exit code, and returns stdout and stderr.
    #[track_caller]
    fn ends_with(&self, code: i32, arguments: &str) -> (String, String) {
        let output = self.curfew(arguments);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
        (stdout, stderr)
    }

    #[track_caller]
    fn succeeds(&self, arguments: &str) -> String {
        self.ends_with(0, arguments).0
    }

    #[track_caller]
    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.succeeds(&format!("{arguments} --json"))).unwrap()
    }

    /// The command must fail as bad input and say this.
    #[track_caller]
    fn refuses(&self, arguments: &str, said: &str) {
        let before = self.count("SELECT count(*) FROM campaign_change_log");
        let (stdout, stderr) = self.ends_with(2, arguments);
        assert!(stderr.contains(said), "stderr: {stderr}");
        assert_eq!(stdout, "");
        assert_eq!(self.count("SELECT count(*) FROM campaign_change_log"), before);
    }

    fn count(&self, sql: &str) -> i64 {
        self.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

#[test]
fn a_campaign_goes_from_nothing_to_planned() {
    let office = Office::with_campaign();
    office.write("targets.csv", "email,trigger_date\nann@example.com,2027-02-01\n");
    office.succeeds("campaign target import targets.csv --db agency.db --instance May");
    office.succeeds(&format!("run --db agency.db --today {TODAY}"));
    let (date, status): (String, String) = office
        .database()
        .query_row(
            "SELECT scheduled_send_date, status FROM email_schedules
             WHERE email_type = 'campaign_rate_increase' AND campaign_instance_id = 1 AND contact_id = 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((date.as_str(), status.as_str()), ("2027-01-18", "pre-scheduled"));
    let targets = office.json("campaign target list --db agency.db --instance May");
    assert_eq!(targets[0]["status"], "scheduled");
}

/// The block of code in the README that begins with this line, without its fences.
fn readme_block<'t>(text: &'t str, first_line: &str) -> &'t str {
    let from = text.find(first_line).unwrap_or_else(|| panic!("no `{first_line}` in the README"));
    let block = &text[from..];
    &block[..block.find("```").unwrap()]
}

#[test]
fn the_five_commands_of_the_readme_do_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let examples = folder.path().join("examples/campaign");
    std::fs::create_dir_all(&examples).unwrap();
    for name in ["contacts.csv", "targets.csv"] {
        std::fs::copy(root.join("examples/campaign").join(name), examples.join(name)).unwrap();
    }
    let sh = |commands: &str| {
        let bin = Path::new(env!("CARGO_BIN_EXE_curfew")).parent().unwrap().to_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-e", "-c", commands])
            .env("PATH", format!("{}:{path}", bin.display()))
            .current_dir(folder.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{commands}\n{stderr}");
        String::from_utf8(output.stdout).unwrap()
    };
    let commands = readme_block(&readme, "curfew import examples/campaign/contacts.csv");
    assert_eq!(commands.lines().count(), 5, "{commands}");
    sh(commands);
    let table = readme_block(&readme, "instance  contact  trigger date");
    assert_eq!(sh("curfew campaign target list --db agency.db"), table);
    let why = sh("curfew explain --db agency.db --contact 2 --today 2026-11-20");
    assert!(why.contains("Birthday exclusion window for CA (closed from"), "{why}");
}

#[test]
fn every_setting_can_be_given_shown_and_changed() {
    let office = Office::new();
    office.succeeds(
        "campaign type add blast --db agency.db --respect-exclusion-windows false \
         --enable-followups false --days-before-event -3 --target-all-contacts true \
         --priority 60 --active false",
    );
    let shown = office.json("campaign type show blast --db agency.db");
    for (field, value) in [
        ("respect_exclusion_windows", "false"),
        ("enable_followups", "false"),
        ("days_before_event", "-3"),
        ("target_all_contacts", "true"),
        ("priority", "60"),
        ("active", "false"),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    office.succeeds(
        "campaign instance add Spring --db agency.db --campaign-type blast \
         --email-template spring --sms-template spring_sms --active-start-date 2027-03-01 \
         --active-end-date 2027-03-31 --metadata {\"priority\":1}",
    );
    office.succeeds(
        "campaign instance edit Spring --db agency.db --instance-name Summer \
         --sms-template none --active-end-date none",
    );
    let shown = office.json("campaign instance show 1 --db agency.db");
    for (field, value) in [
        ("instance_name", Value::from("Summer")),
        ("campaign_type", Value::from("blast")),
        ("email_template", Value::from("spring")),
        ("sms_template", Value::Null),
        ("active_start_date", Value::from("2027-03-01")),
        ("active_end_date", Value::Null),
        ("metadata", Value::from("{\"priority\":1}")),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert!(office.succeeds("campaign type list --db agency.db").contains("blast"));
    assert!(office.succeeds("campaign instance list --db agency.db").contains("Summer"));
}

#[test]
fn the_log_names_who_changed_what() {
    let office = Office::with_campaign();
    office.succeeds("campaign type edit rate_increase --db agency.db --priority 3 --by carol");
    let log = office.json("campaign log --db agency.db --type rate_increase");
    let entries = log.as_array().unwrap();
    assert_eq!(entries.len(), 7);
    assert_eq!(entries[0]["changed_by"], "login");
    let last = entries.last().unwrap();
    assert_eq!(last["changed_by"], "carol");
    assert_eq!((&last["field"], &last["old_value"]), (&"priority".into(), &"10".into()));
    assert_eq!((&last["new_value"], &last["requires_rescheduling"]), (&"3".into(), &true.into()));
    let text = office.succeeds("campaign log --db agency.db --limit 1");
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn what_is_misspelt_is_refused_with_a_hint() {
    let office = Office::with_campaign();
    office.refuses(
        "campaign type edit rate_incraese --db agency.db --priority 1",
        "did you mean `rate_increase`?",
    );
    office
        .refuses("campaign instance add x --db agency.db --campaign-type blast", "there are rate");
    office.refuses("campaign type add rate_increase --db agency.db", "already");
    office.refuses(
        "campaign target add --db agency.db --instance Mai --contact 1 --trigger-date 2027-02-01",
        "did you mean `May`?",
    );
    office.refuses(
        "campaign target add --db agency.db --instance May --contact 9 --trigger-date 2027-02-01",
        "there is no contact 9",
    );
    office.refuses(
        "campaign type edit rate_increase --db agency.db --days-before-event 5000",
        "--days-before-event",
    );
    office.refuses(
        "campaign instance edit May --db agency.db --active-end-date 2027-02-30",
        "there is no such day",
    );
}

#[test]
fn a_campaign_with_committed_messages_is_ended_instead_of_removed() {
    let office = Office::with_campaign();
    office
        .database()
        .execute_batch(
            "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date,
               scheduled_send_time, status, campaign_instance_id)
             VALUES (1, 'rate_increase', '2026-11-01', '08:30:00', 'sent', 1)",
        )
        .unwrap();
    let (text, _) = office
        .ends_with(1, &format!("campaign instance remove May --db agency.db --today {TODAY}"));
    assert!(text.contains("Did not remove") && text.contains("-> 2026-11-19"), "{text}");
    let (text, _) = office.ends_with(1, "campaign type remove rate_increase --db agency.db");
    assert!(text.contains("made inactive"), "{text}");
}

#[test]
fn removing_target_instance_and_type_leaves_nothing() {
    let office = Office::with_campaign();
    let target = "--db agency.db --instance May --contact bob@example.com";
    office.succeeds(&format!("campaign target add {target} --trigger-date 2027-02-01"));
    let again = office.succeeds(&format!("campaign target add {target} --trigger-date 2027-02-01"));
    assert!(again.contains("so already"), "{again}");
    office.succeeds(&format!("campaign target remove {target}"));
    office.refuses(&format!("campaign target remove {target}"), "no such target");
    office.refuses("campaign type remove rate_increase --db agency.db", "remove them first");
    office.succeeds("campaign instance remove May --db agency.db");
    office.succeeds("campaign type remove rate_increase --db agency.db");
    let tables = ["campaign_types", "campaign_instances", "contact_campaigns"];
    assert!(tables.iter().all(|it| office.count(&format!("SELECT count(*) FROM {it}")) == 0));
}

#[test]
fn an_import_reports_each_line_and_strict_lets_none_in_with_a_bad_one() {
    let office = Office::with_campaign();
    office.write(
        "targets.csv",
        "Contact ID;E-Mail;Trigger Date\n1;;2027-02-01\n;BOB@example.com;2027-02-02\n\
         9;;2027-02-01\n;;2027-02-01\n3;;2027-02-30\n3;;02/01/2027\n1;;2027-02-01\n",
    );
    let import = "campaign target import targets.csv --db agency.db --instance May";
    let (text, _) = office.ends_with(1, &format!("{import} --strict"));
    assert!(text.contains("Nothing written"), "{text}");
    assert_eq!(office.count("SELECT count(*) FROM contact_campaigns"), 0);
    let (text, _) = office.ends_with(1, &format!("{import} --report lines.csv"));
    assert!(text.contains("Lines 7: 2 added, 0 dated, 1 unchanged, 4 rejected"), "{text}");
    let report = std::fs::read_to_string(office.path("lines.csv")).unwrap();
    assert_eq!(
        report,
        "line,contact,trigger_date,outcome,reason\n\
         2,1,2027-02-01,added,\n\
         3,BOB@example.com,2027-02-02,added,\n\
         4,9,2027-02-01,rejected,there is no such contact\n\
         5,,2027-02-01,rejected,the line names no contact\n\
         6,3,2027-02-30,rejected,there is no such trigger date\n\
         7,3,02/01/2027,rejected,the trigger date is not written YYYY-MM-DD\n\
         8,1,2027-02-01,unchanged,\n"
    );
    let (json, _) = office.ends_with(1, &format!("{import} --json"));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["written"], &json["outcomes"]["added"]), (&false.into(), &0.into()));
    assert_eq!(office.count("SELECT count(*) FROM contact_campaigns"), 2);
    office.write("bad.csv", "name,date\nann,2027-02-01\n");
    office.refuses(
        "campaign target import bad.csv --db agency.db --instance May",
        "needs a column `trigger_date`",
    );
}

#[test]
fn a_long_list_of_targets_goes_in_whole() {
    let office = Office::with_campaign();
    let mut database = office.database();
    let transaction = database.transaction().unwrap();
    let mut csv = "contact_id,trigger_date\n".to_owned();
    for id in 100..5100 {
        transaction
            .execute(
                "INSERT INTO contacts (id, email) VALUES (?1, ?2)",
                (id, format!("{id}@a.com")),
            )
            .unwrap();
        writeln!(csv, "{id},2027-02-01").unwrap();
    }
    transaction.commit().unwrap();
    office.write("targets.csv", &csv);
    let import = "campaign target import targets.csv --db agency.db --instance May";
    assert_eq!(office.json(import)["outcomes"]["added"], 5000);
    assert_eq!(office.json(import)["outcomes"]["unchanged"], 5000);
    let log = "SELECT count(*) FROM campaign_change_log WHERE entity = 'campaign_target'";
    assert_eq!(office.count(log), 5000);
}

#[test]
fn a_dry_run_with_configured_campaigns_says_the_same_as_the_run() {
    let office = Office::with_campaign();
    office.write(
        "curfew.yaml",
        "campaign_types:\n  blast: {target_all_contacts: true, days_before_event: -3}\n  \
         rate_increase: {days_before_event: 21}\n\
         campaign_instances:\n  - {campaign_type: blast, instance_name: Winter, \
         active_start_date: 2026-11-18}\n  - {campaign_type: lost, instance_name: Lost}\n",
    );
    office.succeeds(
        "campaign target add --db agency.db --instance May --contact 1 --trigger-date 2027-02-01",
    );
    let run = format!("run --db agency.db --config curfew.yaml --today {TODAY} --json");
    let log = "SELECT count(*) FROM campaign_change_log";
    let before = office.count(log);
    let report = |arguments: &str| -> Value {
        // The instance of an unknown type needs attention.
        serde_json::from_str(&office.ends_with(1, arguments).0).unwrap()
    };
    let dry = report(&format!("{run} --dry-run"));
    assert_eq!(office.count(log), before, "a dry run writes nothing");
    let wet = report(&run);
    assert_eq!(wet["messages"]["campaign_blast"]["planned"], 3);
    for part in ["contacts", "messages", "rows", "volume", "problems"] {
        assert_eq!(dry[part], wet[part], "{part}");
    }
    let date = "SELECT count(*) FROM email_schedules
                WHERE email_type = 'campaign_rate_increase' AND scheduled_send_date = '2027-01-11'";
    assert_eq!(office.count(date), 1);
    let after = office.count(log);
    assert!(after > before);
    report(&run);
    assert_eq!(office.count(log), after, "an unchanged configuration logs nothing");
}

#[test]
fn help_has_examples() {
    let office = Office::new();
    for command in [
        "",
        "log",
        "type add",
        "type list",
        "type show",
        "type edit",
        "type remove",
        "instance add",
        "instance list",
        "instance show",
        "instance edit",
        "instance remove",
        "target add",
        "target list",
        "target remove",
        "target import",
    ] {
        let help = office.succeeds(&format!("campaign {command} --help"));
        assert!(help.contains("Example"), "{command}: {help}");
    }
}
