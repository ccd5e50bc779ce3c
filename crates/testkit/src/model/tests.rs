//! Examples worked by hand from the scheduling rules. Each names its section.

use jiff::civil::{Date, date};
use rusqlite::{Connection, params};

use super::*;

/// A small database, and what the model makes of it.
struct Office {
    conn: Connection,
    config: ModelConfig,
}

/// A row of `email_schedules` to start from.
struct Row<'a> {
    kind: &'a str,
    on: &'a str,
    status: &'a str,
    reason: Option<&'a str>,
    event: Option<(i64, i64, i64)>,
    shift: Option<i64>,
    instance: Option<i64>,
}

impl Default for Row<'_> {
    fn default() -> Self {
        Row {
            kind: "birthday",
            on: "2025-03-01",
            status: "pre-scheduled",
            reason: None,
            event: None,
            shift: None,
            instance: None,
        }
    }
}

impl Office {
    fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        create_schema(&conn).unwrap();
        // The cap must not move anything unless a test is about it.
        let config = ModelConfig {
            daily_send_percentage_cap: Decimal::new(1000, 0),
            ..ModelConfig::default()
        };
        Self { conn, config }
    }

    /// A contact in Texas, which has no rule, or where the ZIP code says.
    fn contact(&self, id: i64, zip: &str, birth: Option<&str>, effective: Option<&str>) {
        self.conn
            .execute(
                "INSERT INTO contacts VALUES (?1, 'a' || ?1 || '@b.co', ?2, ?3, ?4, NULL, '', 'active')",
                params![id, zip, birth, effective],
            )
            .unwrap();
    }

    fn row(&self, id: i64, contact: i64, row: &Row) {
        let (year, month, day) =
            row.event.map_or((None, None, None), |(y, m, d)| (Some(y), Some(m), Some(d)));
        self.conn
            .execute(
                "INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date,
                   scheduled_send_time, status, skip_reason, event_year, event_month, event_day, shift_days,
                   campaign_instance_id, priority)
                 VALUES (?1, ?2, ?3, ?4, '08:30:00', ?5, ?6, ?7, ?8, ?9, ?10, ?11, 10)",
                params![
                    id, contact, row.kind, row.on, row.status, row.reason, year, month, day, row.shift,
                    row.instance
                ],
            )
            .unwrap();
    }

    fn sql(&self, sql: &str) {
        self.conn.execute_batch(sql).unwrap();
    }

    fn plan(&self, today: Date) -> ModelPlan {
        plan(&self.conn, today, &self.config)
    }

    /// All rows in short, in the order of contact and kind, aep apart: `birthday 2025-06-01` or, skipped,
    /// `birthday 2025-06-01 (reason)`.
    fn short(&self, today: Date) -> Vec<String> {
        let rows = self.plan(today).rows;
        rows.iter().filter(|row| row.content.email_type != "aep").map(short).collect()
    }

    fn apply(&mut self, today: Date) {
        let plan = self.plan(today);
        apply(&mut self.conn, &plan, "run").unwrap();
    }
}

fn short(row: &ModelRow) -> String {
    let content = &row.content;
    let reason = content.skip_reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    format!("{} {}{reason}", content.email_type, content.scheduled_send_date)
}

const TEXAS: &str = "73301";
const OREGON: &str = "97001";
const CALIFORNIA: &str = "90001";
const MISSOURI: &str = "63005";
const NEW_YORK: &str = "10001";

#[test]
fn section_2_inactive_and_invalid_contacts_have_nothing_and_lose_what_is_not_past() {
    let office = Office::new();
    for id in 1..=5 {
        office.contact(id, TEXAS, Some("1960-06-15"), None);
    }
    office.sql(
        "UPDATE contacts SET status = 'Inactive' WHERE id = 1;
         UPDATE contacts SET email = 'x' WHERE id = 2;
         UPDATE contacts SET zip_code = '00000' WHERE id = 3;
         UPDATE contacts SET status = 'ACTIVE' WHERE id = 4;
         UPDATE contacts SET status = '' WHERE id = 5;",
    );
    office.row(1, 1, &Row { on: "2025-03-01", ..Row::default() });
    office.row(2, 1, &Row { on: "2025-02-28", ..Row::default() });
    office.row(3, 2, &Row { on: "2025-03-02", status: "skipped", ..Row::default() });
    office.row(4, 3, &Row { on: "2025-02-27", status: "skipped", ..Row::default() });
    let plan = office.plan(date(2025, 3, 1));
    assert_eq!(plan.deleted, BTreeSet::from([1, 3]));
    assert_eq!(plan.issues, [(2, "email".to_owned()), (3, "zip_code".to_owned())]);
    let of = |id: i64| {
        plan.rows.iter().filter(|r| r.content.contact_id == id).map(short).collect::<Vec<_>>()
    };
    assert_eq!(of(1), ["birthday 2025-02-28 (Expired before it was sent)"]);
    assert_eq!(of(2), [] as [&str; 0]);
    assert_eq!(of(3), ["birthday 2025-02-27"]);
    assert_eq!(of(4), ["aep 2025-09-15", "birthday 2025-06-01"]);
    assert_eq!(of(5), of(4));
}

#[test]
fn section_2_a_bad_date_is_an_issue_and_absent() {
    let office = Office::new();
    office.contact(1, TEXAS, Some("2025-03-02"), Some("2023-02-29"));
    office.contact(2, TEXAS, Some("2025-03-01"), Some(""));
    let plan = office.plan(date(2025, 3, 1));
    assert_eq!(plan.issues, [(1, "birth_date".to_owned()), (1, "effective_date".to_owned())]);
    // Born today: the birthday is today, its ideal date long past, its deadline today.
    assert_eq!(office.short(date(2025, 3, 1)), ["birthday 2025-03-01"]);
}

#[test]
fn section_2_a_stored_state_that_differs_adds_its_rules() {
    let office = Office::new();
    office.contact(1, TEXAS, Some("1960-06-15"), None);
    office.sql("UPDATE contacts SET state = 'or'");
    assert_eq!(office.plan(date(2025, 3, 1)).issues, [(1, "state".to_owned())]);
    assert_eq!(
        office.short(date(2025, 3, 1)),
        // The window ends on June 15 + 31 days.
        ["birthday 2025-06-01 (Birthday exclusion window for OR)", "post_window 2025-07-17"]
    );
    office.sql("UPDATE contacts SET state = 'XX'");
    assert_eq!(office.plan(date(2025, 3, 1)).issues, []);
}

#[test]
fn section_5_ideal_dates() {
    let office = Office::new();
    office.contact(1, TEXAS, Some("1960-06-15"), Some("2020-08-01"));
    let rows = office.plan(date(2025, 3, 1)).rows;
    let short: Vec<String> = rows.iter().map(short).collect();
    assert_eq!(short, ["aep 2025-09-15", "birthday 2025-06-01", "effective_date 2025-07-02"]);
    let birthday = &rows[1].content;
    assert_eq!(birthday.priority, Some(10));
    assert_eq!(birthday.event_year.zip(birthday.event_month), Some((2025, 6)));
    assert_eq!(birthday.event_day, Some(15));
    assert_eq!(birthday.shift_days, Some(0));
    assert_eq!(birthday.scheduled_send_time, "08:30:00");
    assert_eq!(birthday.email_template.as_deref(), Some("birthday"));
    // No phone number.
    assert_eq!(birthday.sms_template, None);
    office.sql("UPDATE contacts SET phone_number = '1'");
    let rows = office.plan(date(2025, 3, 1)).rows;
    assert_eq!(rows[1].content.sms_template.as_deref(), Some("birthday_sms"));
}

#[test]
fn section_5_the_last_aep_date_stays_until_its_deadline() {
    let office = Office::new();
    office.contact(1, TEXAS, None, None);
    let dates = |today| -> Vec<String> {
        let rows = office.plan(today).rows;
        rows.iter().map(|row| row.content.event_year.unwrap_or(0).to_string()).collect()
    };
    assert_eq!(dates(date(2025, 9, 15)), ["2025"]);
    assert_eq!(dates(date(2025, 9, 16)), ["2025", "2026"]);
    assert_eq!(dates(date(2025, 10, 15)), ["2025", "2026"]);
    assert_eq!(dates(date(2025, 10, 16)), ["2026"]);
}

#[test]
fn section_5_committed_rows_handle_messages_within_a_range_of_dates() {
    let today = date(2025, 5, 1);
    // Ideal date 2025-06-01, event 2025-06-15: from April 2 to June 15.
    for (on, handled) in
        [("2025-04-01", false), ("2025-04-02", true), ("2025-06-15", true), ("2025-06-16", false)]
    {
        let office = Office::new();
        office.contact(1, TEXAS, Some("1960-06-15"), None);
        office.row(1, 1, &Row { kind: "BIRTHDAY", on, status: "cancelled", ..Row::default() });
        assert_eq!(office.short(today).is_empty(), handled, "{on}");
    }
    // The event key handles whatever the date is; another instance does not.
    let office = Office::new();
    office.contact(1, TEXAS, Some("1960-06-15"), None);
    let sent =
        Row { on: "2024-01-01", status: "failed", event: Some((2025, 6, 15)), ..Row::default() };
    office.row(1, 1, &Row { instance: Some(3), ..sent });
    assert_eq!(office.short(today), ["birthday 2025-06-01"]);
    office.row(
        2,
        1,
        &Row {
            instance: None,
            on: "2024-01-01",
            status: "failed",
            event: Some((2025, 6, 15)),
            ..Row::default()
        },
    );
    assert!(office.short(today).is_empty());
    // aep: from August 16 to November 14.
    for (on, handled) in
        [("2025-08-15", false), ("2025-08-16", true), ("2025-11-14", true), ("2025-11-15", false)]
    {
        let office = Office::new();
        office.contact(1, TEXAS, None, None);
        office.row(1, 1, &Row { kind: "aep", on, status: "sent", ..Row::default() });
        assert_eq!(office.plan(today).rows.is_empty(), handled, "{on}");
    }
}

#[test]
fn section_5_a_past_refusal_stays_as_history() {
    let today = date(2025, 6, 5);
    let refused = Row {
        on: "2025-06-01",
        status: "skipped",
        reason: Some("Frequency limit: 3 emails in 30 days"),
        event: Some((2025, 6, 15)),
        shift: Some(0),
        ..Row::default()
    };
    let office = Office::new();
    office.contact(1, TEXAS, Some("1960-06-15"), None);
    office.row(1, 1, &refused);
    let rows = office.plan(today).rows;
    assert!(rows.iter().any(|row| row.existing_id == Some(1) && row.unchanged));
    assert_eq!(office.short(today), ["birthday 2025-06-01 (Frequency limit: 3 emails in 30 days)"]);
    // Any other reason does not handle the message: it is late and is caught up.
    office.sql("UPDATE email_schedules SET skip_reason = 'Expired before it was sent'");
    let rows = office.plan(today).rows;
    let row = rows.iter().find(|row| row.existing_id == Some(1)).unwrap();
    assert_eq!(row.content.status, "pre-scheduled");
    assert!(row.content.scheduled_send_date.as_str() > "2025-06-05");
    // Today's date is not past: it is kept, and tried again.
    office.sql("UPDATE email_schedules SET skip_reason = 'Frequency limit: 3 emails in 30 days', scheduled_send_date = '2025-06-05', shift_days = 4");
    assert_eq!(office.short(today), ["birthday 2025-06-05"]);
}

#[test]
fn section_5_post_window_follows_the_closed_period() {
    let office = Office::new();
    office.contact(1, OREGON, Some("1960-06-15"), None);
    // Oregon: April 16 to July 16. The birthday message of June 1 is excluded.
    let skipped = "birthday 2025-06-01 (Birthday exclusion window for OR)";
    assert_eq!(office.short(date(2025, 3, 1)), [skipped, "post_window 2025-07-17"]);
    // On the birthday itself the message is skipped for the last time; then next year's is, and this year's
    // post_window is asked for by the last birthday.
    assert_eq!(office.short(date(2025, 6, 15)), [skipped, "post_window 2025-07-17"]);
    assert_eq!(
        office.short(date(2025, 6, 16)),
        [
            "birthday 2026-06-01 (Birthday exclusion window for OR)",
            // e + 1 of 2026 is July 17, more than 366 days away.
            "post_window 2025-07-17"
        ]
    );
    let next = "birthday 2026-06-01 (Birthday exclusion window for OR)";
    assert_eq!(
        office.short(date(2025, 7, 16)),
        [next, "post_window 2025-07-17", "post_window 2026-07-17"]
    );
    // On the deadline, ideal date + 30.
    assert_eq!(
        office.short(date(2025, 8, 16)),
        [next, "post_window 2025-08-16", "post_window 2026-07-17"]
    );
    assert_eq!(office.short(date(2025, 8, 17)), [next, "post_window 2026-07-17"]);
}

#[test]
fn section_5_no_post_window_for_what_was_sent_or_cannot_be_open() {
    let today = date(2025, 6, 16);
    let office = Office::new();
    office.contact(1, OREGON, Some("1960-06-15"), None);
    office.row(
        1,
        1,
        &Row { on: "2025-06-01", status: "sent", event: Some((2025, 6, 15)), ..Row::default() },
    );
    assert!(!office.short(today).iter().any(|row| row.starts_with("post_window")));
    // But a row that exists keeps its message.
    office.row(
        2,
        1,
        &Row {
            kind: "post_window",
            on: "2025-07-20",
            event: Some((2025, 7, 16)),
            shift: Some(3),
            ..Row::default()
        },
    );
    assert!(office.short(today).contains(&"post_window 2025-07-20".to_owned()));

    let office = Office::new();
    office.contact(1, OREGON, Some("1960-06-15"), None);
    office.sql("UPDATE contacts SET state = 'NY'");
    assert_eq!(office.short(today), ["birthday 2026-06-01 (Year-round exclusion for NY)"]);
    let office = Office::new();
    office.contact(1, NEW_YORK, Some("1960-06-15"), None);
    assert_eq!(office.short(today), ["birthday 2026-06-01 (Year-round exclusion for NY)"]);
}

#[test]
fn section_5_what_nobody_sent_expires() {
    let office = Office::new();
    office.contact(1, TEXAS, Some("1960-06-15"), None);
    office.row(
        1,
        1,
        &Row { on: "2025-06-10", event: Some((2025, 6, 15)), shift: Some(9), ..Row::default() },
    );
    office.row(2, 1, &Row { on: "2025-06-20", event: Some((2024, 6, 15)), ..Row::default() });
    office.row(
        3,
        1,
        &Row { kind: "Newsletter", on: "2025-06-10", status: "skipped", ..Row::default() },
    );
    let plan = office.plan(date(2025, 6, 16));
    let of = |id| plan.rows.iter().find(|row| row.existing_id == Some(id));
    assert_eq!(
        of(1).map(short).as_deref(),
        Some("birthday 2025-06-10 (Expired before it was sent)")
    );
    assert_eq!(of(1).unwrap().content.shift_days, Some(9));
    assert_eq!(plan.deleted, BTreeSet::from([2]));
    // History stays; its kind becomes lower case.
    assert_eq!(of(3).unwrap().content.email_type, "newsletter");
    assert!(!of(3).unwrap().unchanged);
}

#[test]
fn section_6_the_hash_is_fnv_1a() {
    // Published test vectors of the 64-bit FNV-1a.
    assert_eq!(messages::fnv1a(""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(messages::fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(messages::fnv1a("foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn section_6_limits() {
    let limits = |cap: &str, contacts: i64| {
        let config = ModelConfig {
            daily_send_percentage_cap: cap.parse().unwrap(),
            ..ModelConfig::default()
        };
        let Limits { cap, threshold, effective_dates } = Limits::new(&config, contacts);
        (cap, threshold, effective_dates)
    };
    assert_eq!(limits("0.07", 0), (1, 1, 1));
    assert_eq!(limits("0.07", 100), (7, 8, 2));
    assert_eq!(limits("0.07", 1000), (70, 84, 15));
    assert_eq!(limits("0.29", 100), (29, 34, 8));
}

#[test]
fn section_6_step_1_a_planned_date_is_kept_while_its_reasons_hold() {
    let today = date(2025, 3, 1);
    let row = |on, shift| Row { on, shift, event: Some((2025, 6, 15)), ..Row::default() };
    for (on, shift, planned) in [
        ("2025-06-04", Some(3), "2025-06-04"),
        ("2025-03-01", Some(-92), "2025-03-01"),
        ("2025-06-15", Some(14), "2025-06-15"),
        // After the deadline; before today; without a shift; with a shift that leads elsewhere.
        ("2025-06-16", Some(15), "2025-06-01"),
        ("2025-02-28", Some(-93), "2025-06-01"),
        ("2025-06-04", None, "2025-06-01"),
        ("2025-06-04", Some(2), "2025-06-01"),
    ] {
        let office = Office::new();
        office.contact(1, TEXAS, Some("1960-06-15"), None);
        office.row(1, 1, &row(on, shift));
        assert_eq!(office.short(today), [format!("birthday {planned}")], "{on} {shift:?}");
    }
}

#[test]
fn section_6_step_2_late_messages_are_caught_up_before_their_deadline() {
    // Ideal date 2025-06-01, deadline 2025-06-15. The hash and the day number are computed here, apart from the model.
    let hash = |text: &str| {
        let mut hash: u64 = 14_695_981_039_346_656_037;
        for byte in text.as_bytes() {
            hash ^= u64::from(*byte);
            hash = hash.wrapping_mul(1_099_511_628_211);
        }
        u128::from(hash)
    };
    let office = Office::new();
    office.contact(1, TEXAS, Some("1960-06-15"), None);
    // 2025-06-05 is day 20244; ten days are left, so that the spread is seven.
    let offset = (hash("1-birthday-2025") + 20_244) % 7;
    assert_eq!(office.short(date(2025, 6, 5)), [format!("birthday 2025-06-{:02}", 6 + offset)]);
    // Two days are left on June 13 (day 20252).
    let offset = (hash("1-birthday-2025") + 20_252) % 2;
    assert_eq!(office.short(date(2025, 6, 13)), [format!("birthday 2025-06-{}", 14 + offset)]);
    assert_eq!(office.short(date(2025, 6, 14)), ["birthday 2025-06-15"]);
    assert_eq!(office.short(date(2025, 6, 15)), ["birthday 2025-06-15"]);
}

#[test]
fn section_6_step_2_a_late_message_looks_for_an_open_day() {
    let rule = |from: Date, until: Date| {
        crate::periods::Rule::new("TX", crate::periods::Kind::AllYear, 0, 0)
            .with_dates(Some(from), Some(until))
    };
    let mut office = Office::new();
    office.contact(1, TEXAS, Some("1960-06-15"), None);
    office.config.catch_up_spread_days = 1;
    let today = date(2025, 6, 5);
    office.config.state_rules.push(rule(date(2025, 6, 6), date(2025, 6, 10)));
    assert_eq!(office.short(today), ["birthday 2025-06-11"]);
    // Nothing is open later; nothing earlier but today, and today counts only on the deadline.
    office.config.state_rules.push(rule(date(2025, 6, 11), date(2025, 6, 20)));
    assert_eq!(office.short(today), ["birthday 2025-06-01 (Year-round exclusion for TX)"]);
    // June 6 is open: the last earlier one.
    office.config.catch_up_spread_days = 7;
    office.config.state_rules.remove(office.config.state_rules.len() - 2);
    office.config.state_rules.push(rule(date(2025, 6, 7), date(2025, 6, 10)));
    assert_eq!(office.short(today), ["birthday 2025-06-06"]);
}

#[test]
fn section_5_a_late_message_without_an_open_day_asks_for_a_post_window() {
    // Missouri: effective date July 10, closed from April 11 to August 12. An aep message of April 1 may go out until
    // May 1; on April 10 it is late, and all days until its deadline are closed.
    let mut office = Office::new();
    office.config.aep_dates = vec![(4, 1)];
    office.contact(1, MISSOURI, None, Some("2020-07-10"));
    let rows: Vec<String> = office.plan(date(2025, 4, 10)).rows.iter().map(short).collect();
    assert_eq!(
        rows,
        [
            "aep 2025-04-01 (Effective date exclusion window for MO)",
            "aep 2026-04-01",
            "effective_date 2025-06-10 (Effective date exclusion window for MO)",
            "post_window 2025-08-13",
        ]
    );
    // The same without an effective-date message to ask for it: it was sent.
    office.row(
        1,
        1,
        &Row {
            kind: "effective_date",
            on: "2025-06-10",
            status: "sent",
            event: Some((2025, 7, 10)),
            ..Row::default()
        },
    );
    let rows: Vec<String> = office.plan(date(2025, 4, 10)).rows.iter().map(short).collect();
    assert!(rows.contains(&"post_window 2025-08-13".to_owned()));
}

#[test]
fn section_6_step_3_crowded_effective_dates_are_spread() {
    let mut office = Office::new();
    office.config.daily_send_percentage_cap = Decimal::new(1, 0);
    // Ten contacts: cap 10, limit 3.
    for id in 1..=10 {
        let effective = if id <= 4 { "2020-08-01" } else { "2020-11-20" };
        office.contact(id, TEXAS, None, Some(effective).filter(|_| id <= 7));
    }
    let plan = office.plan(date(2025, 3, 1));
    assert_eq!(plan.limits.effective_dates, 3);
    for row in plan.rows.iter().filter(|row| row.content.email_type == "effective_date") {
        let id = row.content.contact_id;
        let hash = messages::fnv1a(&format!("{id}-effective_date-2025"));
        // Four on July 2 are too many, three on October 21 are not.
        let shift = if id <= 4 { i64::try_from(hash % 5).unwrap() - 2 } else { 0 };
        assert_eq!(row.content.shift_days, Some(shift), "contact {id}");
    }
    // A message that was sent counts as well.
    office.row(
        1,
        10,
        &Row { kind: "effective_date", on: "2025-10-01", status: "sent", ..Row::default() },
    );
    office.sql("UPDATE contacts SET effective_date = '2020-11-20' WHERE id = 10");
    let shifted = office
        .plan(date(2025, 3, 1))
        .rows
        .iter()
        .any(|row| row.content.event_month == Some(11) && row.content.shift_days != Some(0));
    assert!(shifted);
}

#[test]
fn section_6_step_5_new_messages_leave_a_full_day_in_order() {
    let mut office = Office::new();
    // Ten contacts, cap 2, threshold 2.
    office.config.daily_send_percentage_cap = Decimal::new(2, 1);
    for id in 1..=10 {
        let birth = (id <= 5).then_some("1960-06-15");
        office.contact(id, TEXAS, birth, None);
    }
    office.config.aep_years = vec![2000];
    let rows = office.plan(date(2025, 3, 1)).rows;
    let mut by_hash: Vec<i64> = (1..=5).collect();
    by_hash.sort_by_key(|id| std::cmp::Reverse(messages::fnv1a(&format!("{id}-birthday-2025"))));
    let date_of = |id: i64| {
        let row = rows.iter().find(|row| row.content.contact_id == id).unwrap();
        row.content.scheduled_send_date.clone()
    };
    // The three with the highest hashes go, to the first days with room: two to June 2, one to June 3.
    let dates: Vec<String> = by_hash.iter().map(|id| date_of(*id)).collect();
    assert_eq!(dates, ["2025-06-02", "2025-06-02", "2025-06-03", "2025-06-01", "2025-06-01"]);
}

#[test]
fn section_6_step_5_kept_messages_leave_only_above_the_threshold() {
    let mut office = Office::new();
    // Ten contacts, cap 2, threshold 4.
    office.config.daily_send_percentage_cap = Decimal::new(2, 1);
    office.config.overage_threshold = Decimal::new(2, 0);
    office.config.aep_years = vec![2000];
    for id in 1..=10 {
        office.contact(id, TEXAS, (id <= 6).then_some("1960-06-15"), None);
    }
    let kept =
        Row { on: "2025-06-01", event: Some((2025, 6, 15)), shift: Some(0), ..Row::default() };
    for id in 1..=4 {
        office.row(id, id, &kept);
    }
    // Six on June 1: the two new ones go; four are not above the threshold.
    let plan = office.plan(date(2025, 3, 1));
    let on = |plan: &ModelPlan, date: &str| {
        plan.rows.iter().filter(|row| row.content.scheduled_send_date == date).count()
    };
    assert_eq!((on(&plan, "2025-06-01"), on(&plan, "2025-06-02")), (4, 2));
    for id in 5..=6 {
        office.row(id, id, &kept);
    }
    let plan = office.plan(date(2025, 3, 1));
    assert_eq!((on(&plan, "2025-06-01"), on(&plan, "2025-06-02")), (4, 2));
    assert_eq!(plan.days_above_threshold, 0);
    // Committed rows count and do not move. Failed ones do not count.
    for id in 11..=13 {
        let status = if id == 13 { "failed" } else { "scheduled" };
        office.row(id, id, &Row { kind: "newsletter", on: "2025-06-01", status, ..Row::default() });
    }
    let plan = office.plan(date(2025, 3, 1));
    assert_eq!((on(&plan, "2025-06-01"), on(&plan, "2025-06-02")), (2, 2));
    assert_eq!(plan.volumes[&date(2025, 6, 1)], 4);
}

#[test]
fn section_6_step_6_the_fourth_in_thirty_days_is_refused() {
    let office = Office::new();
    office.contact(1, TEXAS, Some("1960-06-15"), None);
    for (id, on) in [(1, "2025-05-03"), (2, "2025-05-20"), (3, "2025-06-01")] {
        office.row(id, 1, &Row { kind: "newsletter", on, status: "sent", ..Row::default() });
    }
    let refused = "birthday 2025-06-01 (Frequency limit: 3 emails in 30 days)";
    assert_eq!(office.short(date(2025, 5, 1)), [refused]);
    // From May 2 to June 1 are 30 days of distance: not within 30 days.
    office.sql("UPDATE email_schedules SET scheduled_send_date = '2025-05-02' WHERE id = 1");
    assert_eq!(office.short(date(2025, 5, 1)), ["birthday 2025-06-01"]);
    // Follow-ups and failures do not count.
    office.sql("UPDATE email_schedules SET scheduled_send_date = '2025-06-01'");
    office.sql("UPDATE email_schedules SET email_type = 'FOLLOWUP_1_cold' WHERE id = 1");
    assert_eq!(office.short(date(2025, 5, 1)), ["birthday 2025-06-01"]);
}

impl Office {
    /// A campaign type and an instance of it, both with the id `id`.
    fn campaign(&self, id: i64, days_before: i64, priority: i64, bounds: [&str; 2], rest: &str) {
        let [start, end] = bounds.map(|bound| Some(bound).filter(|bound| !bound.is_empty()));
        let (respect, target_all) = match rest {
            "" => (true, false),
            "no windows" => (false, false),
            "everybody" => (true, true),
            other => panic!("{other}"),
        };
        self.conn
            .execute(
                "INSERT INTO campaign_types VALUES (?1, ?2, 1, ?3, ?4, ?5, 1)",
                params![format!("c{id}"), respect, days_before, target_all, priority],
            )
            .unwrap();
        self.conn
            .execute(
                "INSERT INTO campaign_instances VALUES (?1, ?2, ?3, 'mail', 'sms', ?4, ?5, NULL)",
                params![id, format!("c{id}"), format!("Campaign {id}"), start, end],
            )
            .unwrap();
    }

    fn target(&self, contact: i64, instance: i64, trigger: &str) {
        self.conn
            .execute(
                "INSERT INTO contact_campaigns (contact_id, campaign_instance_id, trigger_date, status)
                 VALUES (?1, ?2, ?3, 'pending')",
                params![contact, instance, Some(trigger).filter(|trigger| !trigger.is_empty())],
            )
            .unwrap();
    }
}

#[test]
fn section_7_ideal_dates_and_deadlines_of_campaigns() {
    let today = date(2025, 3, 1);
    // days before, end, trigger, what becomes of it
    let cases = [
        (7, "", "2025-03-20", vec!["campaign_c1 2025-03-13"]),
        (-7, "", "2025-03-20", vec!["campaign_c1 2025-03-27"]),
        // The end of the campaign comes before the ideal date.
        (0, "2025-03-19", "2025-03-20", vec![]),
        // Late, and the trigger is the deadline.
        (7, "", "2025-03-01", vec!["campaign_c1 2025-03-01"]),
        (7, "", "2025-02-28", vec![]),
        // Late, and the ideal date + 30 is the deadline.
        (0, "", "2025-01-30", vec!["campaign_c1 2025-03-01"]),
        (0, "", "2025-01-29", vec![]),
        // Late, and the end is the deadline.
        (0, "2025-03-01", "2025-02-20", vec!["campaign_c1 2025-03-01"]),
        (0, "2025-02-28", "2025-03-10", vec![]),
    ];
    for (days, end, trigger, expected) in cases {
        let office = Office::new();
        office.contact(1, TEXAS, None, None);
        office.campaign(1, days, 10, ["", end], "");
        office.target(1, 1, trigger);
        assert_eq!(office.short(today), expected, "{days} {end} {trigger}");
    }
}

#[test]
fn section_7_everybody_is_a_target_once() {
    let office = Office::new();
    office.contact(1, TEXAS, None, None);
    office.contact(2, TEXAS, None, None);
    office.campaign(1, 0, 10, ["2025-03-01", "2025-12-31"], "everybody");
    office.campaign(2, 0, 10, ["", "2025-12-31"], "everybody");
    assert!(office.short(date(2025, 2, 28)).is_empty());
    assert_eq!(office.short(date(2025, 3, 1)), ["campaign_c1 2025-03-01"; 2]);
    assert_eq!(office.plan(date(2025, 3, 1)).rejected_instances, [2]);
    // With another event, even: the instance has written to the contact.
    office.row(
        1,
        2,
        &Row {
            kind: "campaign_c1",
            status: "bounced",
            event: Some((2024, 1, 1)),
            instance: Some(1),
            ..Row::default()
        },
    );
    assert_eq!(office.short(date(2025, 3, 1)), ["campaign_c1 2025-03-01"]);
    // The deadline is the end, however far.
    assert_eq!(office.short(date(2025, 12, 31)), ["campaign_c1 2025-12-31"]);
}

#[test]
fn section_7_windows_and_what_ignores_them() {
    let today = date(2025, 5, 1);
    let office = Office::new();
    office.contact(1, OREGON, Some("1960-06-15"), None);
    office.row(
        1,
        1,
        &Row { status: "sent", on: "2025-06-01", event: Some((2025, 6, 15)), ..Row::default() },
    );
    office.campaign(1, 0, 10, ["", ""], "");
    office.target(1, 1, "2025-05-10");
    assert_eq!(
        office.short(today),
        ["campaign_c1 2025-05-10 (Birthday exclusion window for OR)", "post_window 2025-07-17"]
    );
    office.sql("UPDATE campaign_instances SET metadata = '{\"respect_exclusion_windows\": false}'");
    assert_eq!(office.short(today), ["campaign_c1 2025-05-10"]);
    let plan = office.plan(today);
    assert_eq!(plan.target_statuses[&1], "scheduled");
}

#[test]
fn section_7_target_statuses() {
    let mut office = Office::new();
    office.contact(1, OREGON, Some("1960-06-15"), None);
    office.campaign(1, 0, 10, ["", ""], "");
    for trigger in ["2025-05-10", "2025-08-10", "2025-01-10", "2025-01-20", ""] {
        office.target(1, 1, trigger);
    }
    office.sql("UPDATE contact_campaigns SET status = 'sent' WHERE id = 2");
    office.row(
        1,
        1,
        &Row {
            kind: "campaign_c1",
            status: "delivered",
            on: "2025-01-20",
            event: Some((2025, 1, 20)),
            instance: Some(1),
            ..Row::default()
        },
    );
    let plan = office.plan(date(2025, 5, 1));
    let statuses: Vec<&str> = plan.target_statuses.values().map(String::as_str).collect();
    assert_eq!(statuses, ["skipped", "sent", "pending", "sent", "pending"]);
    assert_eq!(plan.issues, [(1, "trigger_date".to_owned())]);
    office.apply(date(2025, 5, 1));
    let status: String = office
        .conn
        .query_row("SELECT status FROM contact_campaigns WHERE id = 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(status, "skipped");
}

#[test]
fn section_6_step_4_one_campaign_a_day() {
    let today = date(2025, 3, 1);
    let mut office = Office::new();
    office.contact(1, TEXAS, None, None);
    office.config.max_emails_per_period = 10;
    office.campaign(1, 0, 10, ["", ""], "");
    office.campaign(2, 0, 5, ["", ""], "");
    office.campaign(3, 0, 10, ["", "2025-03-10"], "");
    for id in 1..=3 {
        office.target(1, id, "2025-03-10");
    }
    // The lowest number stays; of the others the one with the lower instance moves, the last has no day left.
    let expected = [
        "campaign_c1 2025-03-11",
        "campaign_c2 2025-03-10",
        "campaign_c3 2025-03-10 (Lower priority than campaign_c2 on the same day)",
    ];
    let mut found = office.short(today);
    found.sort_unstable();
    assert_eq!(found, expected);
    // A second run keeps all of it.
    office.apply(today);
    assert!(office.plan(today).rows.iter().all(|row| row.unchanged));
    // A committed campaign row has the day: all move that can.
    office.row(
        100,
        1,
        &Row { kind: "CAMPAIGN_old", on: "2025-03-10", status: "sent", ..Row::default() },
    );
    let mut found = office.short(today);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "campaign_c1 2025-03-11",
            "campaign_c2 2025-03-12",
            "campaign_c3 2025-03-10 (Lower priority than campaign_old on the same day)"
        ]
    );
}

#[test]
fn section_6_step_4_what_was_planned_stays_before_what_is_new() {
    let office = Office::new();
    office.contact(1, TEXAS, None, None);
    office.campaign(1, 0, 10, ["", ""], "");
    office.campaign(2, 0, 10, ["", ""], "");
    office.target(1, 1, "2025-03-10");
    office.target(1, 2, "2025-03-10");
    office.row(
        1,
        1,
        &Row {
            kind: "campaign_c2",
            on: "2025-03-10",
            shift: Some(0),
            event: Some((2025, 3, 10)),
            instance: Some(2),
            ..Row::default()
        },
    );
    assert_eq!(
        office.short(date(2025, 3, 1)),
        ["campaign_c2 2025-03-10", "campaign_c1 2025-03-11"]
            .map(str::to_owned)
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
}

#[test]
fn section_8_followups() {
    let today = date(2025, 3, 10);
    let office = Office::new();
    office.contact(1, TEXAS, None, None);
    office.row(
        7,
        1,
        &Row {
            kind: "aep",
            on: "2025-03-09",
            status: "sent",
            event: Some((2024, 9, 15)),
            ..Row::default()
        },
    );
    let followup = || {
        let rows = office.plan(today).rows;
        rows.into_iter().map(|row| row.content).find(|row| row.initial_schedule_id == Some(7))
    };
    let row = followup().unwrap();
    assert_eq!(row.email_type, "followup_1_cold");
    assert_eq!(row.scheduled_send_date, "2025-03-11");
    assert_eq!((row.event_year, row.priority, row.shift_days), (Some(2024), Some(10), Some(0)));
    assert_eq!(
        row.metadata.as_deref(),
        Some(
            "{\"initial_comm_log_id\":7,\"initial_email_type\":\"aep\",\"followup_behavior\":\
             {\"clicked\":false,\"answered\":false,\"has_medical_conditions\":false}}"
        )
    );
    let kind = || followup().map(|row| row.email_type).unwrap_or_default();
    // Without a recorded moment the scheduled time counts: 08:30:00.
    office.sql(
        "INSERT INTO tracking_clicks (contact_id, clicked_at) VALUES (1, '2025-03-09 08:29:59')",
    );
    assert_eq!(kind(), "followup_1_cold");
    office.sql(
        "INSERT INTO tracking_clicks (contact_id, clicked_at) VALUES (1, '2025-03-09 08:30:00')",
    );
    assert_eq!(kind(), "followup_2_clicked_no_hq");
    let answer = |at: &str, metadata: &str| {
        office
            .conn
            .execute(
                "INSERT INTO contact_events (contact_id, event_type, metadata, created_at)
                 VALUES (1, 'eligibility_answered', ?2, ?1)",
                [at, metadata],
            )
            .unwrap();
    };
    answer("2025-03-09 10:00:00", "{\"main_questions_yes_count\": 1}");
    assert_eq!(kind(), "followup_4_hq_with_yes");
    answer("2025-03-09 11:00:00", "{\"main_questions_yes_count\": 0}");
    assert_eq!(kind(), "followup_3_hq_no_yes");
    answer("2025-03-09 10:30:00", "{\"has_medical_conditions\": true}");
    assert_eq!(kind(), "followup_3_hq_no_yes");
    answer("2025-03-10 10:30:00", "{\"has_medical_conditions\": true}");
    assert_eq!(kind(), "followup_4_hq_with_yes");
    // A committed follow-up of any kind that names the row.
    office.row(8, 1, &Row { kind: "followup_1_cold", status: "failed", ..Row::default() });
    office.sql("UPDATE email_schedules SET metadata = '{\"initial_comm_log_id\": 7}' WHERE id = 8");
    assert!(followup().is_none());
}

#[test]
fn section_8_initial_rows() {
    let sent = |on, status| Row { kind: "birthday", on, status, ..Row::default() };
    let followups = |today: Date, row: &Row| {
        let office = Office::new();
        office.contact(1, TEXAS, None, None);
        office.row(7, 1, row);
        office.short(today)
    };
    // Sent on February 1: the last day is 35 days later, March 8, and the day before is March 7.
    assert_eq!(
        followups(date(2025, 3, 8), &sent("2025-02-01", "delivered")),
        ["followup_1_cold 2025-03-08"]
    );
    assert_eq!(
        followups(date(2025, 3, 7), &sent("2025-02-01", "sent")),
        ["followup_1_cold 2025-03-08"]
    );
    assert!(followups(date(2025, 3, 9), &sent("2025-02-01", "sent")).is_empty());
    assert!(followups(date(2025, 2, 2), &sent("2025-02-01", "failed")).is_empty());
    assert!(followups(date(2025, 1, 31), &sent("2025-02-01", "sent")).is_empty());
    let newsletter = Row { kind: "newsletter", ..sent("2025-02-01", "sent") };
    assert!(followups(date(2025, 2, 2), &newsletter).is_empty());
    // The recorded day of sending goes before the scheduled one.
    let office = Office::new();
    office.contact(1, TEXAS, None, None);
    office.row(7, 1, &sent("2025-02-01", "sent"));
    office.sql(
        "UPDATE email_schedules SET actual_send_datetime = '2025-02-04T09:00:00', priority = NULL",
    );
    assert_eq!(office.short(date(2025, 2, 4)), ["followup_1_cold 2025-02-06"]);
    let plan = office.plan(date(2025, 2, 4));
    let followup = plan.rows.iter().find(|row| row.content.initial_schedule_id == Some(7)).unwrap();
    assert_eq!(followup.content.priority, Some(50));
    assert_eq!(followup.content.event_year, None);
}

#[test]
fn section_8_a_campaign_has_followups_when_its_instance_says_so() {
    let office = Office::new();
    office.contact(1, TEXAS, None, None);
    office.campaign(1, 0, 5, ["", "2025-01-01"], "");
    office.row(
        7,
        1,
        &Row { kind: "CAMPAIGN_C1", status: "sent", instance: Some(1), ..Row::default() },
    );
    let rows = office.plan(date(2025, 3, 2)).rows;
    let followup =
        &rows.iter().find(|row| row.content.initial_schedule_id == Some(7)).unwrap().content;
    assert_eq!(followup.campaign_instance_id, Some(1));
    assert!(followup.metadata.as_ref().unwrap().ends_with(",\"campaign_name\":\"Campaign 1\"}"));
    office.sql("UPDATE campaign_instances SET metadata = '{\"enable_followups\": false}'");
    assert!(office.short(date(2025, 3, 2)).is_empty());
    office.sql("DELETE FROM campaign_instances");
    assert!(office.short(date(2025, 3, 2)).is_empty());
}

#[test]
fn section_8_a_change_of_kind_keeps_the_row_and_its_date() {
    let mut office = Office::new();
    office.contact(1, TEXAS, None, None);
    office.row(7, 1, &Row { status: "sent", on: "2025-03-01", ..Row::default() });
    office.apply(date(2025, 3, 2));
    office.sql("UPDATE email_schedules SET scheduled_send_date = '2025-03-09', shift_days = 6 WHERE initial_schedule_id = 7");
    office.sql(
        "INSERT INTO tracking_clicks (contact_id, clicked_at) VALUES (1, '2025-03-02 08:30:00')",
    );
    let rows = office.plan(date(2025, 3, 3)).rows;
    let followup = rows.iter().find(|row| row.content.initial_schedule_id == Some(7)).unwrap();
    assert_eq!(short(followup), "followup_2_clicked_no_hq 2025-03-09");
    assert!(followup.existing_id.is_some());
}

#[test]
fn section_9_one_owned_row_for_a_message() {
    let today = date(2025, 3, 1);
    let office = Office::new();
    office.contact(1, TEXAS, Some("1960-06-15"), None);
    let row = |kind, status, on| Row {
        kind,
        status,
        on,
        event: Some((2025, 6, 15)),
        shift: Some(0),
        ..Row::default()
    };
    office.row(1, 1, &row("birthday", "skipped", "2025-06-01"));
    office.row(2, 1, &row("BIRTHDAY", "pre-scheduled", "2025-06-01"));
    office.row(3, 1, &row("Birthday", "pre-scheduled", "2025-06-01"));
    let plan = office.plan(today);
    assert_eq!(plan.deleted, BTreeSet::from([1, 3]));
    let kept = plan.rows.iter().find(|row| row.existing_id == Some(2)).unwrap();
    assert_eq!(short(kept), "birthday 2025-06-01");
    assert!(!kept.unchanged);
}

#[test]
fn section_9_a_second_run_changes_nothing() {
    let mut office = Office::new();
    office.contact(1, OREGON, Some("1960-06-15"), Some("2020-04-01"));
    office.contact(2, MISSOURI, Some("1960-02-29"), Some("2020-02-29"));
    office.contact(3, CALIFORNIA, Some("1960-12-31"), Some("2025-01-01"));
    for today in [date(2025, 3, 1), date(2025, 3, 2), date(2026, 1, 1)] {
        office.apply(today);
        let plan = office.plan(today);
        assert!(plan.deleted.is_empty());
        assert!(plan.rows.iter().all(|row| row.unchanged));
    }
}

#[test]
fn section_10_the_yaml_has_every_key_and_exact_decimals() {
    let mut config = ModelConfig::default();
    config.state_rules.retain(|rule| rule.state != "NY");
    config.state_rules.push(crate::periods::Rule::new("CA", crate::periods::Kind::AllYear, 0, 0));
    config.campaign_types.insert(
        "c".to_owned(),
        CampaignType {
            respect_exclusion_windows: true,
            enable_followups: false,
            days_before_event: -3,
            target_all_contacts: false,
            priority: 5,
            active: true,
        },
    );
    config.campaign_instances.push(CampaignInstance {
        campaign_type: "c".to_owned(),
        instance_name: "a \"b\"".to_owned(),
        active_end_date: Some("2025-12-31".to_owned()),
        metadata: Some("{\"priority\": 3}".to_owned()),
        ..CampaignInstance::default()
    });
    let yaml = config.to_yaml();
    for line in [
        "  daily_send_percentage_cap: 0.07",
        "  overage_threshold: 1.2",
        "  default_dates: [{month: 9, day: 15}]",
        "  years: []",
        "  NY: []",
        "  CA: [\"birthday -30..+60\", \"all year\"]",
        "  MO: \"effective date -30..+33\"",
        "  \"c\": {respect_exclusion_windows: true, enable_followups: false, days_before_event: -3, target_all_contacts: false, priority: 5, active: true}",
        "    instance_name: \"a \\\"b\\\"\"",
        "    metadata: {\"priority\": 3}",
        "  followup_4_hq_with_yes: {email: \"followup_4_hq_with_yes\", sms: \"followup_4_hq_with_yes_sms\"}",
    ] {
        assert!(yaml.lines().any(|other| other == line), "{line}\nis not in\n{yaml}");
    }
}

#[test]
fn an_older_database_needs_no_column_that_it_lacks() {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code INTEGER, birthday TEXT, effective_date TEXT);
         INSERT INTO contacts VALUES (1, 'a@b.co', '02134', '1960-06-15', NULL), (2, 'a@b.co', 73301, '1960-06-15', NULL);",
    )
    .unwrap();
    let plan = plan(&conn, date(2025, 3, 1), &ModelConfig::default());
    let rows: Vec<String> = plan.rows.iter().map(short).collect();
    assert_eq!(
        rows,
        [
            "aep 2025-09-15 (Year-round exclusion for MA)",
            "birthday 2025-06-01 (Year-round exclusion for MA)",
            "aep 2025-09-15",
            "birthday 2025-06-01",
        ]
    );
}
