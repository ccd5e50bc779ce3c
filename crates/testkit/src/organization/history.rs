//! Rows of earlier runs and of the sender: the model's own plans of earlier days, then sent, moved, doubled and damaged.

use fastrand::Rng;
use jiff::civil::Date;
use rusqlite::{Connection, Result, types::Value};

use super::{Table, chance, optional, pick, text};
use crate::{
    calendar::{parse_date, plus},
    model::{ModelConfig, RowContent, plan, stored_rows},
};

const COMMITTED: [&str; 9] = [
    "sent",
    "sent",
    "sent",
    "delivered",
    "scheduled",
    "processing",
    "failed",
    "bounced",
    "cancelled",
];

/// Writes `email_schedules`.
pub(super) fn write(
    conn: &Connection,
    random: &mut Rng,
    today: Date,
    config: &ModelConfig,
) -> Result<()> {
    for days_ago in [50, 20, 3, 1] {
        // Some organizations have been running for long, some since yesterday.
        if random.bool() {
            run(conn, random, plus(today, -days_ago), config)?;
        }
    }
    damage(conn, random, today)?;
    invent(conn, random, today)
}

/// One run and its sender on an earlier day.
fn run(conn: &Connection, random: &mut Rng, day: Date, config: &ModelConfig) -> Result<()> {
    let plan = plan(conn, day, config);
    for id in &plan.deleted {
        conn.execute("DELETE FROM email_schedules WHERE id = ?1", [id])?;
    }
    let table = Table::new(conn, "email_schedules")?;
    for row in plan.rows.into_iter().filter(|row| !row.unchanged) {
        let id = row.existing_id;
        if let Some(id) = id {
            conn.execute("DELETE FROM email_schedules WHERE id = ?1", [id])?;
        }
        let mut content = row.content;
        let mut sent_at = None;
        // What lies around the day is partly sent, as if it had been due.
        let near = parse_date(&content.scheduled_send_date)
            .is_some_and(|date| plus(day, -5) <= date && date <= plus(day, 20));
        if near && content.status == "pre-scheduled" && chance(random, 40) {
            sent_at = send(random, &mut content, day);
        }
        insert(&table, id, &content, sent_at, "earlier")?;
    }
    Ok(())
}

/// Makes a committed row of a planned one; answers when it was sent, if the sender wrote it down.
fn send(random: &mut Rng, row: &mut RowContent, day: Date) -> Option<String> {
    pick(random, &COMMITTED).clone_into(&mut row.status);
    // Mostly on few days: follow-ups of one contact then want one date.
    let days_ago = random.i64(0..12);
    let sent_on = plus(day, -pick(random, &[0, 0, 3, days_ago]));
    if chance(random, 70) {
        row.scheduled_send_date = sent_on.to_string();
    }
    if chance(random, 20) {
        (row.event_year, row.event_month, row.event_day) = (None, None, None);
    }
    if chance(random, 20) {
        row.email_type = row.email_type.to_uppercase();
    }
    if chance(random, 10) {
        row.priority = None;
    }
    let sent = row.status == "sent" || row.status == "delivered";
    let late = plus(sent_on, pick(random, &[0, 0, 0, 1, 3]));
    Some(format!("{late} 10:00:00")).filter(|_| sent && chance(random, 75))
}

/// Does to the rows what people, crashes and older programs do.
fn damage(conn: &Connection, random: &mut Rng, today: Date) -> Result<()> {
    let table = Table::new(conn, "email_schedules")?;
    let much = pick(random, &[5, 30, 70]);
    for row in stored_rows(conn) {
        if !row.is_owned() || !chance(random, much) {
            continue;
        }
        let mut content = row.content.clone();
        let date = parse_date(&content.scheduled_send_date).unwrap_or(today);
        let id = Some(row.id);
        let mut remains = true;
        let mut copy = None;
        match random.u8(..16) {
            // Planned for another day, and still consistent: to be kept.
            0..4 => {
                let days = random.i64(-6..12);
                content.scheduled_send_date = plus(date, days).to_string();
                content.shift_days = content.shift_days.map(|shift| shift + days);
            }
            // To be kept on one day with others.
            4 => {
                let day = plus(today, random.i64(0..4));
                let days = crate::calendar::days_between(date, day);
                content.scheduled_send_date = day.to_string();
                content.shift_days = content.shift_days.map(|shift| shift + days);
            }
            5 => content.shift_days = Some(random.i64(-3..4)),
            6 => content.shift_days = None,
            7 => content.email_type = content.email_type.to_uppercase(),
            8 => {
                let mut other = content.clone();
                other.email_type = other.email_type.to_uppercase();
                other.scheduled_send_date = plus(date, random.i64(-3..4)).to_string();
                if random.bool() {
                    "skipped".clone_into(&mut other.status);
                    other.skip_reason = Some("Frequency limit: 3 emails in 30 days".to_owned());
                }
                copy = Some(other);
            }
            9 | 10 => {
                "skipped".clone_into(&mut content.status);
                let reason = pick(
                    random,
                    &[
                        "Frequency limit: 3 emails in 30 days",
                        "Frequency limit exceeded",
                        "Lower priority than campaign_custom on the same day",
                        "Expired before it was sent",
                        "Birthday exclusion window for CA",
                    ],
                );
                content.skip_reason = Some(reason.to_owned());
                if random.bool() {
                    content.scheduled_send_date = plus(today, random.i64(-10..10)).to_string();
                }
            }
            11 => content.event_year = content.event_year.map(|year| year + pick(random, &[-1, 1])),
            // Not of follow-ups: their rows belong to the initial row, whoever is written into them.
            12 if content.initial_schedule_id.is_none() => content.contact_id += 500_000,
            13 => content.scheduled_send_date = plus(today, -random.i64(1..40)).to_string(),
            14 => remains = false,
            _ => {
                content.priority = None;
                content.email_template = Some("old".to_owned());
                "07:00:00".clone_into(&mut content.scheduled_send_time);
            }
        }
        conn.execute("DELETE FROM email_schedules WHERE id = ?1", [row.id])?;
        if remains {
            insert(&table, id, &content, None, "damaged")?;
        }
        if let Some(copy) = copy {
            insert(&table, None, &copy, None, "doubled")?;
        }
    }
    Ok(())
}

/// Rows that never came from a plan.
fn invent(conn: &Connection, random: &mut Rng, today: Date) -> Result<()> {
    let table = Table::new(conn, "email_schedules")?;
    let contacts: Vec<i64> = conn
        .prepare("SELECT id FROM contacts ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    for contact_id in contacts {
        if chance(random, 10) {
            crowd(&table, random, today, contact_id)?;
        }
        for _ in 0..pick(random, &[0, 0, 0, 1, 1, 3]) {
            let kind = pick(
                random,
                &["birthday", "effective_date", "aep", "post_window", "newsletter", "BIRTHDAY"],
            );
            let days = random.i64(-70..30);
            let date = plus(today, pick(random, &[days, days, -1, -4]));
            let event = plus(date, random.i64(0..35));
            let status = match random.u8(..6) {
                0 => "pre-scheduled",
                1 => "skipped",
                _ => pick(random, &COMMITTED),
            };
            let with_event = chance(random, 60);
            let part = |part: i64| Some(part).filter(|_| with_event);
            let content = RowContent {
                contact_id,
                email_type: kind.to_owned(),
                scheduled_send_date: date.to_string(),
                scheduled_send_time: "08:30:00".to_owned(),
                status: status.to_owned(),
                skip_reason: (status == "skipped").then(|| "Some older reason".to_owned()),
                priority: pick(random, &[None, Some(10), Some(1)]),
                campaign_instance_id: None,
                email_template: None,
                sms_template: None,
                event_year: part(event.year().into()),
                event_month: part(event.month().into()),
                event_day: part(event.day().into()),
                initial_schedule_id: None,
                shift_days: pick(random, &[None, Some(0)]),
                metadata: None,
            };
            insert(&table, None, &content, None, "invented")?;
        }
    }
    Ok(())
}

/// Several messages sent to one contact on one day: their follow-ups want one day, too.
fn crowd(table: &Table<'_>, random: &mut Rng, today: Date, contact_id: i64) -> Result<()> {
    let sent_on = plus(today, -random.i64(0..4));
    for kind in ["birthday", "effective_date", "post_window", "aep"] {
        let content = RowContent {
            contact_id,
            email_type: kind.to_owned(),
            scheduled_send_date: sent_on.to_string(),
            scheduled_send_time: "08:30:00".to_owned(),
            status: "sent".to_owned(),
            skip_reason: None,
            priority: pick(random, &[None, Some(10), Some(10), Some(1)]),
            campaign_instance_id: None,
            email_template: None,
            sms_template: None,
            event_year: None,
            event_month: None,
            event_day: None,
            initial_schedule_id: None,
            shift_days: None,
            metadata: None,
        };
        insert(table, None, &content, Some(format!("{sent_on} 08:30:00")), "crowd")?;
    }
    Ok(())
}

fn insert(
    table: &Table<'_>,
    id: Option<i64>,
    row: &RowContent,
    sent_at: Option<String>,
    run: &str,
) -> Result<()> {
    let integer = |number: Option<i64>| number.map_or(Value::Null, Value::Integer);
    table.insert(&[
        ("id", integer(id)),
        ("contact_id", Value::Integer(row.contact_id)),
        ("email_type", text(&row.email_type)),
        ("scheduled_send_date", text(&row.scheduled_send_date)),
        ("scheduled_send_time", text(&row.scheduled_send_time)),
        ("status", text(&row.status)),
        ("skip_reason", optional(row.skip_reason.as_ref())),
        ("priority", integer(row.priority)),
        ("campaign_instance_id", integer(row.campaign_instance_id)),
        ("email_template", optional(row.email_template.as_ref())),
        ("sms_template", optional(row.sms_template.as_ref())),
        ("scheduler_run_id", text(run)),
        ("event_year", integer(row.event_year)),
        ("event_month", integer(row.event_month)),
        ("event_day", integer(row.event_day)),
        ("initial_schedule_id", integer(row.initial_schedule_id)),
        ("shift_days", integer(row.shift_days)),
        ("metadata", optional(row.metadata.as_ref())),
        ("created_at", text("2024-01-01 06:00:00")),
        ("updated_at", text("2024-01-01 06:00:00")),
        ("actual_send_datetime", optional(sent_at)),
    ])?;
    Ok(())
}
