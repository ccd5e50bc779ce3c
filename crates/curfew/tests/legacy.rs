//! Moving from the older application, as a user meets it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{path::PathBuf, process::Command};

use rusqlite::Connection;
use serde_json::Value as Json;
use tempfile::TempDir;

const LEGACY: &str = include_str!("../../testkit/src/legacy-schema.sql");
const TODAY: &str = "2026-11-20";

/// Rows of every kind and status that the older application's databases have, of contacts in
/// Illinois, whose birthdays and effective dates are far away. The id says what a row is about.
const ROWS: &str = "
  INSERT INTO contacts (id, first_name, last_name, email, current_carrier, plan_type, effective_date,
      birth_date, tobacco_user, gender, state, zip_code)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
    SELECT i, 'A', 'B', 'a' || i || '@example.com', 'C', 'N', '2019-05-01', '1950-06-10', 0, 'F',
      'IL', '60601' FROM n;
  INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date, status, event_year,
      event_month, event_day, email_template, sms_template, batch_id, metadata, skip_reason) VALUES
    -- Rate increases: planned, skipped, sent, failed, with the sender, sent and planned for one date.
    (10, 1, 'SCHEDULED_RATE_INCREASE', '2026-12-02', 'pre-scheduled', 2027, 1, 1, 'rate', NULL, 'b', NULL, NULL),
    (11, 2, 'SCHEDULED_RATE_INCREASE', '2026-12-03', 'skipped', 2027, 1, 2, 'rate', NULL, 'b', NULL, 'why'),
    (12, 3, 'SCHEDULED_RATE_INCREASE', '2026-10-02', 'sent', 2026, 11, 1, 'rate', NULL, 'b', '{\"a\": 1}', NULL),
    (13, 4, 'SCHEDULED_RATE_INCREASE', '2026-11-15', 'failed', 2026, 12, 15, 'rate', NULL, 'b', NULL, NULL),
    (14, 5, 'SCHEDULED_RATE_INCREASE', '2026-12-05', 'scheduled', 2027, 1, 4, 'rate', NULL, 'b', NULL, NULL),
    (15, 6, 'SCHEDULED_RATE_INCREASE', '2026-11-10', 'delivered', 2026, 12, 10, 'rate', NULL, 'b', NULL, NULL),
    (16, 6, 'scheduled_rate_increase', '2026-12-01', 'pre-scheduled', 2026, 12, 10, 'rate', NULL, 'b', NULL, NULL),
    (17, 7, 'SCHEDULED_RATE_INCREASE', '2026-12-20', 'pre-scheduled', NULL, NULL, NULL, 'rate', NULL, 'b', NULL, NULL),
    (18, 8, 'scheduled_rate_increase', 'soon', 'pre-scheduled', NULL, NULL, NULL, 'rate', NULL, 'b', NULL, NULL),
    (19, 99, 'SCHEDULED_RATE_INCREASE', '2026-12-02', 'pre-scheduled', 2027, 1, 1, 'rate', NULL, 'b', NULL, NULL),
    (20, 9, 'SCHEDULED_RATE_INCREASE', '2026-12-02', 'pre-scheduled', 2027, 1, 1, 'other', 'sms', 'b', NULL, NULL),
    -- Every other kind, committed.
    (30, 10, 'BIRTHDAY', '2026-05-27', 'sent', 2026, NULL, NULL, NULL, NULL, 'b', NULL, NULL),
    (31, 10, 'EFFECTIVE_DATE', '2026-04-01', 'failed', NULL, NULL, NULL, NULL, NULL, 'b', NULL, NULL),
    (32, 10, 'AEP', '2026-09-15', 'sent', NULL, NULL, NULL, NULL, NULL, 'b', x'00ff', NULL),
    (33, 10, 'POST_WINDOW', '2026-08-01', 'delivered', NULL, NULL, NULL, NULL, NULL, 'b', NULL, NULL),
    (34, 11, 'POST_WINDOW_BIRTHDAY', '2026-11-19', 'sent', NULL, NULL, NULL, NULL, NULL, 'b', NULL, NULL),
    (35, 12, 'POST_WINDOW_EFFECTIVE_DATE', '2026-08-01', 'failed', NULL, NULL, NULL, NULL, NULL, 'b', NULL, NULL),
    (36, 10, 'followup_1_cold', '2026-05-29', 'sent', NULL, NULL, NULL, NULL, NULL, 'b', NULL, NULL),
    (37, 10, 'followup_2_clicked_no_hq', '2026-05-30', 'sent', NULL, NULL, NULL, NULL, NULL, 'b', NULL, NULL),
    (38, 10, 'followup_3_hq_no_yes', '2026-05-31', 'sent', NULL, NULL, NULL, NULL, NULL, 'b', NULL, NULL),
    (39, 10, 'followup_4_hq_with_yes', '2026-06-01', 'failed', NULL, NULL, NULL, NULL, NULL, 'b', NULL, NULL),
    (40, 10, 'birthday', '2025-05-27', 'sent', 2025, 6, 10, NULL, NULL, 'b', NULL, NULL),
    -- And of the scheduler.
    (50, 11, 'BIRTHDAY', '2027-05-27', 'pre-scheduled', 2027, 6, 10, NULL, NULL, 'b', NULL, NULL),
    (51, 11, 'effective_date', '2027-04-01', 'pre-scheduled', 2027, 5, 1, NULL, NULL, 'b', NULL, NULL);
";

struct Office {
    folder: TempDir,
}

impl Office {
    fn new(rows: &str) -> Self {
        let office = Self { folder: tempfile::tempdir().unwrap() };
        // The older application did not enforce foreign keys.
        let rows = format!("PRAGMA foreign_keys = off;{LEGACY}{rows}");
        office.db().execute_batch(&rows).unwrap();
        office
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("agency.db")
    }

    fn db(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// The rows of a query, the columns joined by `|`.
    fn query(&self, sql: &str) -> Vec<String> {
        let db = self.db();
        let mut statement = db.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells: rusqlite::Result<Vec<String>> = (0..columns)
                .map(|at| {
                    row.get::<_, rusqlite::types::Value>(at).map(|value| match value {
                        rusqlite::types::Value::Null => String::new(),
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        rusqlite::types::Value::Text(text) => text,
                        other => format!("{other:?}"),
                    })
                })
                .collect();
            Ok(cells?.join("|"))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    #[track_caller]
    fn ends_with(&self, code: i32, words: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_curfew"))
            .args(words.split_whitespace())
            .env("LOGNAME", "ann")
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{words}\n{out}\n{err}");
        out.into_owned()
    }

    #[track_caller]
    fn migrate(&self, code: i32, words: &str) -> Json {
        let words = format!("migrate-legacy --db agency.db {words} --json");
        serde_json::from_str(&self.ends_with(code, &words)).unwrap()
    }

    /// Every value of every committed row in the columns of the older application.
    fn committed(&self) -> Vec<String> {
        self.query(
            "SELECT id, contact_id, email_type, scheduled_send_date, scheduled_send_time, status,
               skip_reason, created_at, updated_at, batch_id, event_year, event_month, event_day,
               catchup_note, sent_at, actual_send_datetime, priority, campaign_instance_id,
               email_template, sms_template, scheduler_run_id, quote(metadata)
             FROM email_schedules WHERE status NOT IN ('pre-scheduled', 'skipped', 'handled')
             ORDER BY id",
        )
    }
}

const MESSAGES: &str =
    "SELECT s.id, s.contact_id, s.scheduled_send_date, s.status, s.event_year || '-' ||
    s.event_month || '-' || s.event_day, s.shift_days, i.email_template
  FROM email_schedules AS s JOIN campaign_instances AS i ON i.id = s.campaign_instance_id
  WHERE s.email_type = 'campaign_rate_increase' AND s.status IN ('pre-scheduled', 'skipped')
  ORDER BY s.id";

const TARGETS: &str = "SELECT t.contact_id, t.trigger_date, t.status, i.email_template
  FROM contact_campaigns AS t JOIN campaign_instances AS i ON i.id = t.campaign_instance_id
  ORDER BY 1, 2";

#[test]
fn rate_increases_become_a_campaign_and_nothing_is_lost() {
    let office = Office::new(ROWS);
    let committed = office.committed();
    assert_eq!(committed.len(), 15);
    let before = std::fs::read(office.path()).unwrap();
    let dry = office.migrate(1, "--dry-run");
    assert_eq!(std::fs::read(office.path()).unwrap(), before, "a dry run writes nothing");
    assert!(!office.folder.path().join("backups").exists());

    let report = office.migrate(1, "");
    for field in ["kinds", "committed_kept", "stand_ins_added", "problems", "table_migrations"] {
        assert_eq!(report[field], dry[field], "{field}");
    }
    let campaign = &report["campaign"];
    assert_eq!(
        (&campaign["type_added"], &campaign["days_before_event"]),
        (&true.into(), &30.into()),
        "{campaign}"
    );
    for (field, number) in [
        ("targets_added", 9),
        ("targets_sent", 2),
        ("rows_converted", 7),
        ("rows_deleted", 0),
        ("targets_unchanged", 0),
    ] {
        assert_eq!(campaign[field], number, "{field}");
        assert_eq!(dry["campaign"][field], number, "{field}");
    }
    assert_eq!((&report["committed_kept"], &report["stand_ins_added"]), (&15.into(), &4.into()));
    let kinds = report["kinds"].as_array().unwrap();
    let rows: u64 = kinds.iter().map(|kind| kind["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, 24, "every row is in the report");
    assert!(report["backup"]["backup"].is_string());

    // The sender's rows are as they were, and the dates that were planned stay.
    assert_eq!(office.committed(), committed);
    assert_eq!(
        office.query(MESSAGES),
        [
            "10|1|2026-12-02|pre-scheduled|2027-1-1|0|rate",
            "11|2|2026-12-03|skipped|2027-1-2|0|rate",
            "16|6|2026-12-01|pre-scheduled|2026-12-10|21|rate",
            "17|7|2026-12-20|pre-scheduled|2027-1-19|0|rate",
            "18|8|soon|pre-scheduled|||rate",
            "19|99|2026-12-02|pre-scheduled|2027-1-1|0|rate",
            "20|9|2026-12-02|pre-scheduled|2027-1-1|0|other",
        ]
    );
    assert_eq!(
        office.query(TARGETS),
        [
            "1|2027-01-01|pending|rate",
            "2|2027-01-02|pending|rate",
            "3|2026-11-01|sent|rate",
            "4|2026-12-15|pending|rate",
            "5|2027-01-04|pending|rate",
            "6|2026-12-10|sent|rate",
            "7|2027-01-19|pending|rate",
            "8||pending|rate",
            "9|2027-01-01|pending|other",
        ]
    );
    // What it changed is in the history, with what it was, and on record as a run.
    let history = office.query(
        "SELECT h.schedule_id, h.what, h.old_values ->> 'email_type' FROM schedule_history AS h
         JOIN scheduler_checkpoints AS r ON r.run_id = h.run_id AND r.command = 'migrate-legacy'
         WHERE h.schedule_id IN (10, 18) ORDER BY 1",
    );
    assert_eq!(
        history,
        ["10|updated|SCHEDULED_RATE_INCREASE", "18|updated|scheduled_rate_increase"]
    );
    office.ends_with(0, "audit verify --db agency.db");
    let log = office.ends_with(0, "campaign log --db agency.db --limit 500");
    assert!(log.contains("ann") && log.contains("rate_increase"), "{log}");
    let runs = office.ends_with(0, "runs --db agency.db");
    assert!(runs.contains("completed"), "{runs}");
}

#[test]
fn doing_it_again_changes_nothing_and_makes_no_backup() {
    let office = Office::new(ROWS);
    office.migrate(1, "");
    let rows = office.query("SELECT * FROM email_schedules ORDER BY id");
    let again = office.migrate(0, "");
    assert_eq!((&again["run_id"], &again["backup"]), (&Json::Null, &Json::Null));
    assert_eq!(office.query("SELECT * FROM email_schedules ORDER BY id"), rows);
    let text = office.ends_with(0, "migrate-legacy --db agency.db");
    assert!(text.contains("There is nothing to do"), "{text}");

    // What the older application wrote meanwhile is taken over.
    office
        .db()
        .execute_batch(
            "UPDATE email_schedules SET status = 'sent' WHERE id = 14;
             INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, status,
                 event_year, event_month, event_day, email_template)
               VALUES (10, 'SCHEDULED_RATE_INCREASE', '2026-12-09', 'pre-scheduled', 2027, 1, 8, 'rate'),
                 (1, 'SCHEDULED_RATE_INCREASE', '2026-12-09', 'pre-scheduled', 2027, 1, 1, 'rate');",
        )
        .unwrap();
    let third = office.migrate(0, "");
    let campaign = &third["campaign"];
    for (field, number) in
        [("targets_added", 1), ("targets_updated", 1), ("rows_converted", 1), ("rows_deleted", 1)]
    {
        assert_eq!(campaign[field], number, "{field}");
    }
    assert_eq!(office.query("SELECT count(*) FROM campaign_instances"), ["2"]);
    assert!(office.query(TARGETS).contains(&"5|2027-01-04|sent|rate".to_owned()));
    office.ends_with(0, "audit verify --db agency.db");
}

#[test]
fn after_it_a_run_keeps_the_dates_and_repeats_nothing_that_was_sent() {
    let office = Office::new(ROWS);
    office.migrate(1, "");
    let committed = office.committed();
    // The cap of twelve contacts would move messages.
    let config = "load_balancing: {daily_send_percentage_cap: 1}\n";
    std::fs::write(office.folder.path().join("own.yaml"), config).unwrap();
    office
        .ends_with(0, &format!("run --db agency.db --today {TODAY} --no-backup --config own.yaml"));
    assert_eq!(office.committed(), committed);
    assert_eq!(
        office.query(MESSAGES),
        [
            "10|1|2026-12-02|pre-scheduled|2027-1-1|0|rate",
            // It is not skipped any more, and planned on its ideal date.
            "11|2|2026-12-03|pre-scheduled|2027-1-2|0|rate",
            "17|7|2026-12-20|pre-scheduled|2027-1-19|0|rate",
            // Without a date it cannot be planned.
            "18|8|soon|skipped|||rate",
            "20|9|2026-12-02|pre-scheduled|2027-1-1|0|other",
        ],
        "the double of what was sent is gone, and so is the row without a contact"
    );
    // What was sent, failed or is with the sender is not planned again: by kind in capitals,
    let planned = |kind: &str, contact: i64| {
        let sql = format!(
            "SELECT event_year FROM email_schedules WHERE email_type = '{kind}'
               AND contact_id = {contact} AND status IN ('pre-scheduled', 'skipped')"
        );
        office.query(&sql)
    };
    assert_eq!(planned("birthday", 10), ["2027"]);
    assert_eq!(planned("effective_date", 10), ["2027"]);
    assert_eq!(planned("aep", 10), ["2027"]);
    assert_eq!(planned("aep", 11), ["2027"]);
    // and campaigns of the older kind.
    for contact in [3, 4, 5, 6] {
        assert!(planned("campaign_rate_increase", contact).is_empty(), "{contact}");
    }
    let problems = office.query("SELECT contact_id, field, reason FROM contact_issues");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("8|trigger_date|"), "{problems:?}");
}

#[test]
fn what_a_run_removed_before_is_recovered_from_the_history() {
    let office = Office::new(ROWS);
    let config = "load_balancing: {daily_send_percentage_cap: 1}\n";
    std::fs::write(office.folder.path().join("own.yaml"), config).unwrap();
    let run = format!("run --db agency.db --today {TODAY} --no-backup --config own.yaml");
    office.ends_with(0, &run);
    let left = "SELECT count(*) FROM email_schedules
      WHERE email_type LIKE 'scheduled_rate%' AND status = 'pre-scheduled'";
    assert_eq!(office.query(left), ["0"]);

    let report = office.migrate(1, "");
    let campaign = &report["campaign"];
    assert_eq!(
        (&campaign["targets_added"], &campaign["targets_recovered"]),
        (&9.into(), &4.into()),
        "{campaign}"
    );
    let targets = office.query(TARGETS);
    assert!(targets.contains(&"1|2027-01-01|pending|rate".to_owned()), "{targets:?}");
    office.ends_with(0, &run);
    assert_eq!(
        office.query(&format!("{MESSAGES} LIMIT 1"))[0].split_once('|').unwrap().1,
        "8|soon|skipped|||rate"
    );
    let planned = office.query(
        "SELECT contact_id, scheduled_send_date FROM email_schedules
         WHERE email_type = 'campaign_rate_increase' AND status = 'pre-scheduled' ORDER BY 1",
    );
    assert_eq!(planned, ["1|2026-12-02", "2|2026-12-03", "7|2026-12-20", "9|2026-12-02"]);
    assert!(office.migrate(0, "")["run_id"].is_null());
}

#[test]
fn a_post_window_message_under_its_older_name_is_recognized() {
    // In Idaho the closed period of a birthday on August 20 ends on October 22.
    let rows = "
      INSERT INTO contacts (id, first_name, last_name, email, current_carrier, plan_type,
          effective_date, birth_date, tobacco_user, gender, state, zip_code)
        SELECT value, 'A', 'B', 'a' || value || '@example.com', 'C', 'N', '2019-05-01', '1950-08-20',
          0, 'F', 'ID', '83702' FROM json_each('[1, 2]');
      INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date, status)
        VALUES (7, 1, 'POST_WINDOW_BIRTHDAY', '2026-10-23', 'sent');";
    let office = Office::new(rows);
    office.migrate(0, "");
    office.ends_with(0, "run --db agency.db --today 2026-10-24 --no-backup");
    let first = office.query(
        "SELECT contact_id FROM email_schedules WHERE email_type = 'post_window'
           AND status = 'pre-scheduled' AND event_year = 2026",
    );
    assert_eq!(first, ["2"], "the other one had it");
    assert_eq!(
        office.query("SELECT email_type, status, metadata FROM email_schedules WHERE id = 7"),
        ["POST_WINDOW_BIRTHDAY|sent|"]
    );
}

#[test]
fn a_campaign_that_there_is_keeps_its_settings_and_bad_input_is_refused() {
    let office = Office::new(ROWS);
    office.ends_with(
        0,
        "campaign type add Rate_Increase --db agency.db --days-before-event 20 --priority 3",
    );
    let report = office.migrate(1, "--days-before-event 5");
    assert_eq!(report["campaign"]["days_before_event"], 20);
    assert_eq!(report["campaign"]["campaign_type"], "Rate_Increase");
    assert_eq!(office.query("SELECT priority FROM campaign_types"), ["3"]);
    // The dates stay, whatever the ideal ones are.
    let first = &office.query(MESSAGES)[0];
    assert_eq!(first, "10|1|2026-12-02|pre-scheduled|2027-1-1|-10|rate");

    office.ends_with(2, "migrate-legacy --db none.db");
    office.ends_with(2, "migrate-legacy --db agency.db --days-before-event many");
    let plain = Office::new("");
    let report = plain.migrate(0, "--dry-run");
    assert_eq!((&report["campaign"], &report["kinds"]), (&Json::Null, &Json::Array(Vec::new())));
}
