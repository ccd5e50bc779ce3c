//! Campaigns, targets, and what contacts did with what they were sent.

use fastrand::Rng;
use jiff::civil::Date;
use rusqlite::{Connection, Result, types::Value};

use super::{Table, chance, optional, pick, text};
use crate::{
    calendar::plus,
    model::{CampaignType, stored_rows},
};

const TYPES: [&str; 5] = ["rate_increase", "seasonal", "initial_blast", "custom", "retired"];

/// Writes types, instances and targets.
pub(super) fn write(conn: &Connection, random: &mut Rng, today: Date) -> Result<()> {
    let types = Table::new(conn, "campaign_types")?;
    // In some organizations all campaigns of a contact want one date, and have a day or two.
    let crowded = random.u8(..3) == 0;
    let usual_days = if crowded { 1 } else { pick(random, &[0, 1, 7]) };
    for name in TYPES {
        let days = pick(random, &[-5, 0, 1, 1, 7, 14, 40]);
        let kind = CampaignType {
            respect_exclusion_windows: chance(random, 70),
            enable_followups: chance(random, 60),
            days_before_event: if crowded { usual_days } else { pick(random, &[usual_days, days]) },
            target_all_contacts: !crowded && chance(random, 30),
            // Ties with each other and with other kinds.
            priority: pick(random, &[5, 10, 10, 30]),
            active: name != "retired",
        };
        types.insert(&[
            ("name", text(name)),
            ("respect_exclusion_windows", Value::Integer(kind.respect_exclusion_windows.into())),
            ("enable_followups", Value::Integer(kind.enable_followups.into())),
            ("days_before_event", Value::Integer(kind.days_before_event)),
            ("target_all_contacts", Value::Integer(kind.target_all_contacts.into())),
            ("priority", Value::Integer(kind.priority)),
            ("active", Value::Integer(kind.active.into())),
        ])?;
    }

    let instances = Table::new(conn, "campaign_instances")?;
    let count = random.i64(3..10);
    for id in 1..=count {
        // One instance in twenty is of a type that nobody knows.
        let campaign_type = if chance(random, 5) { "unknown" } else { pick(random, &TYPES) };
        let bound = |random: &mut Rng, days: &[i64]| {
            let date = plus(today, pick(random, days)).to_string();
            Some(date).filter(|_| chance(random, 40))
        };
        let start = bound(random, &[-400, -45, -20, -20, -3, -1, 0, 1]);
        let end = bound(random, &[-1, 0, 5, 10, 40, 400]);
        let metadata = match random.u8(..9) {
            0 => Some("{}".to_owned()),
            1 => Some(format!("{{\"days_before_event\": {}}}", pick(random, &[-3, 0, 3, 10]))),
            2 => Some(format!("{{\"respect_exclusion_windows\": {}}}", random.bool())),
            3 => Some(format!("{{\"enable_followups\": {}, \"note\": \"x\"}}", random.bool())),
            4 => Some(format!("{{\"priority\": {}}}", pick(random, &[1, 10, 50]))),
            _ => None,
        };
        instances.insert(&[
            ("id", Value::Integer(id * 3)),
            ("campaign_type", text(campaign_type)),
            ("instance_name", text(format!("Instance \"{id}\""))),
            ("email_template", optional(Some(format!("mail_{id}")).filter(|_| id != 2))),
            ("sms_template", optional(Some(format!("sms_{id}")).filter(|_| random.bool()))),
            ("active_start_date", optional(start)),
            ("active_end_date", optional(end)),
            ("metadata", optional(metadata)),
        ])?;
    }
    write_targets(conn, random, today, count)
}

fn write_targets(conn: &Connection, random: &mut Rng, today: Date, instances: i64) -> Result<()> {
    // Targets of instances for everybody mean nothing; what their status would be is nobody's business.
    let everybody: Vec<i64> = ids(
        conn,
        "SELECT campaign_instances.id FROM campaign_instances
         JOIN campaign_types ON name = campaign_type WHERE target_all_contacts = 1",
    )?;
    let table = Table::new(conn, "contact_campaigns")?;
    let triggers: Vec<Date> = (0..4).map(|_| plus(today, random.i64(-20..30))).collect();
    for contact in ids(conn, "SELECT id FROM contacts ORDER BY id")? {
        // Mostly one date for all campaigns of a contact: more than one day can hold.
        let usual = pick(random, &triggers);
        for _ in 0..pick(random, &[0, 0, 1, 2, 4, 6]) {
            // One target in fifty is of an instance or a contact that is not there.
            let instance = if chance(random, 2) { 1000 } else { random.i64(1..=instances) * 3 };
            let contact = if chance(random, 2) { contact + 500_000 } else { contact };
            let trigger = match random.u8(..40) {
                0 => Value::Null,
                1 => text("soon"),
                2 => text(format!("{} 00:00:00", pick(random, &triggers))),
                3 => text("2026-02-30"),
                4..15 => text(pick(random, &triggers).to_string()),
                _ => text(usual.to_string()),
            };
            let status = match random.u8(..10) {
                0 => text("sent"),
                1 => Value::Null,
                2 => text("scheduled"),
                3 => text("skipped"),
                _ => text("pending"),
            };
            if !everybody.contains(&instance) {
                table.insert(&[
                    ("contact_id", Value::Integer(contact)),
                    ("campaign_instance_id", Value::Integer(instance)),
                    ("trigger_date", trigger),
                    ("status", status),
                ])?;
            }
        }
    }
    Ok(())
}

/// Writes clicks and answers around the moments at which rows were sent.
pub(super) fn write_behaviour(conn: &Connection, random: &mut Rng) -> Result<()> {
    let clicks = Table::new(conn, "tracking_clicks")?;
    let events = Table::new(conn, "contact_events")?;
    let mut second = 0;
    for row in stored_rows(conn) {
        let Some((sent_on, _)) = row.sent_at().filter(|_| row.is_sent()) else { continue };
        // Before, at, and after the usual moments of sending, which are 08:30:00 and 10:00:00. Seconds keep answers
        // of one contact apart: of two at one moment no rule says which is the later.
        let mut moment = |random: &mut Rng| {
            let day = plus(sent_on, pick(random, &[-3, 0, 0, 0, 1, 4]));
            let time = pick(random, &["08:29", "08:30", "09:59", "10:00", "23:00"]);
            second = (second + 7) % 60;
            let between = if random.u8(..4) == 0 { "T" } else { " " };
            format!("{day}{between}{time}:{second:02}")
        };
        if chance(random, 40) {
            let at = if chance(random, 10) {
                row.sent_at().map(|(date, time)| format!("{date} {time}")).unwrap_or_default()
            } else {
                moment(random)
            };
            clicks.insert(&[
                ("contact_id", Value::Integer(row.content.contact_id)),
                ("clicked_at", text(at)),
            ])?;
        }
        for _ in 0..pick(random, &[0, 0, 1, 2]) {
            let event = pick(random, &["eligibility_answered", "eligibility_answered", "opened"]);
            let metadata = pick(
                random,
                &[
                    text("{\"has_medical_conditions\": true}"),
                    text("{\"has_medical_conditions\": false}"),
                    text("{\"has_medical_conditions\": false, \"main_questions_yes_count\": 2}"),
                    text("{\"main_questions_yes_count\": 0}"),
                    text("{}"),
                    text("not json"),
                    Value::Null,
                ],
            );
            events.insert(&[
                ("contact_id", Value::Integer(row.content.contact_id)),
                ("event_type", text(event)),
                ("metadata", metadata),
                ("created_at", text(moment(random))),
            ])?;
        }
    }
    Ok(())
}

fn ids(conn: &Connection, sql: &str) -> Result<Vec<i64>> {
    conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}
