//! What always holds after a run, whatever the input (end of section 6), checked on a database.
//!
//! Every check answers what it found wrong, as text that names contact and row; an empty list is a promise kept. The
//! checks look at rows and dates anew; from the model they take what a contact, a window and a deadline are.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use jiff::civil::Date;
use rusqlite::Connection;

use crate::{
    calendar::{occurrence_in, parse_date, plus},
    model::{
        Contact, EXPIRED, FREQUENCY, Facts, Limits, Message, ModelConfig, StoredRow, is_campaign,
        is_followup, stored_rows,
    },
    sender::Sender,
};

/// All checks of one database after a run on `today`.
pub fn after_a_run(conn: &Connection, today: Date, config: &ModelConfig) -> Vec<String> {
    let facts = Facts::read(conn, today, config);
    let mut found = planned_rows_are_open(&facts);
    found.extend(planned_rows_are_in_time(&facts));
    found.extend(nothing_is_planned_twice(&facts));
    found.extend(frequency_is_limited(&facts));
    found
}

fn named(row: &StoredRow) -> String {
    let row_id = row.id;
    let content = &row.content;
    format!(
        "contact {}, row {row_id} ({}, {} on {})",
        content.contact_id, content.email_type, content.status, content.scheduled_send_date
    )
}

fn planned<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a StoredRow> {
    facts.stored.iter().filter(|row| row.is_planned())
}

/// The row has to do with its contact's windows: everything but campaigns that do not respect them.
fn respects_windows(facts: &Facts<'_>, row: &StoredRow) -> bool {
    let settings = || {
        let instance = facts.campaigns.instances.get(&row.instance()?)?;
        facts.campaigns.settings(instance)
    };
    !is_campaign(&row.kind()) || settings().is_none_or(|s| s.respect_exclusion_windows)
}

/// No `pre-scheduled` row that respects windows has an excluded date, and none is of an inactive or invalid contact.
fn planned_rows_are_open(facts: &Facts<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for row in planned(facts) {
        let Some(contact) = facts.contact(row.content.contact_id) else {
            found.push(format!("{} is planned for nobody", named(row)));
            continue;
        };
        let Some(date) = row.date() else {
            found.push(format!("{} has no date", named(row)));
            continue;
        };
        if !respects_windows(facts, row) {
            continue;
        }
        if let Some(reason) = facts.closed[&contact.id].reason_on(date) {
            found.push(format!("{} is planned on an excluded date: {reason}", named(row)));
        }
    }
    found
}

/// The message of a row, from the row's own event date and today's facts.
fn message_of(facts: &Facts<'_>, row: &StoredRow) -> Option<Message> {
    let contact = facts.contact(row.content.contact_id)?;
    let event = || {
        let (year, month, day) = row.event()?;
        Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()
    };
    let world = facts.world();
    match row.kind().as_str() {
        kind if is_followup(kind) => {
            let initial = row.initial()?;
            let initial = facts.stored.iter().find(|other| other.id == initial)?;
            world.followup_of(contact, initial)
        }
        kind if is_campaign(kind) => {
            let id = row.instance()?;
            let instance = facts.campaigns.instances.get(&id)?;
            let settings = facts.campaigns.settings(instance)?;
            Some(world.campaign_message(contact, id, instance, &settings, event()?))
        }
        kind => world.yearly_message(contact, kind, event()?),
    }
}

/// No `pre-scheduled` row is dated before today or after its deadline; `shift_days` leads back to the ideal date.
fn planned_rows_are_in_time(facts: &Facts<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for row in planned(facts) {
        let Some(message) = message_of(facts, row) else {
            found.push(format!("{} has no message behind it", named(row)));
            continue;
        };
        let Some(date) = row.date() else { continue };
        if date < facts.today {
            found.push(format!("{} is planned in the past", named(row)));
        }
        if date > message.deadline {
            found.push(format!(
                "{} is planned after its deadline {}",
                named(row),
                message.deadline
            ));
        }
        if row.content.shift_days.map(|days| plus(date, -days)) != Some(message.ideal) {
            let shift = row.content.shift_days;
            let ideal = message.ideal;
            found
                .push(format!("{} has the shift {shift:?}; its ideal date is {ideal}", named(row)));
        }
    }
    found
}

/// None of a contact's messages is planned twice, nor once more after it was committed.
fn nothing_is_planned_twice(facts: &Facts<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut keys: BTreeMap<_, &StoredRow> = BTreeMap::new();
    for row in facts.stored.iter().filter(|row| row.is_owned()) {
        let key = match row.initial() {
            Some(initial) if is_followup(&row.kind()) => (0, String::new(), None, None, initial),
            _ if row.event().is_none() => continue,
            _ => (row.content.contact_id, row.kind(), row.instance(), row.event(), 0),
        };
        if let Some(other) = keys.insert(key, row) {
            found.push(format!("{} is of the same message as row {}", named(row), other.id));
        }
        if row.content.email_type != row.kind() {
            found.push(format!("{} has capital letters in its kind", named(row)));
        }
    }
    let world = facts.world();
    for row in planned(facts) {
        if let Some(message) = message_of(facts, row) {
            for other in world.handlers(&message) {
                let other = named(other);
                found.push(format!("{} is planned although it is handled: {other}", named(row)));
            }
        }
    }
    found
}

/// No planned message makes more than the limit lie within one period. Follow-ups do not count.
fn frequency_is_limited(facts: &Facts<'_>) -> Vec<String> {
    let config = facts.config;
    let mut found = Vec::new();
    let counts =
        |row: &&StoredRow| (row.is_planned() || row.has_volume()) && !is_followup(&row.kind());
    let mut dates: BTreeMap<i64, Vec<Date>> = BTreeMap::new();
    for row in facts.stored.iter().filter(counts) {
        dates.entry(row.content.contact_id).or_default().extend(row.date());
    }
    for row in planned(facts).filter(counts) {
        let Some(date) = row.date() else { continue };
        let too_many = (0..config.period_days).any(|n| {
            let first = plus(date, -n);
            let last = plus(first, config.period_days - 1);
            let within = &dates[&row.content.contact_id];
            let count = within.iter().filter(|other| first <= **other && **other <= last).count();
            i64::try_from(count).expect("few rows") > config.max_emails_per_period
        });
        if too_many {
            found.push(format!(
                "{} is one too many within {} days",
                named(row),
                config.period_days
            ));
        }
    }
    found
}

/// The rows of `email_schedules` and their run ids, to compare before and after.
#[derive(Debug, Clone)]
pub struct Snapshot {
    rows: BTreeMap<i64, StoredRow>,
    whole: BTreeMap<i64, String>,
}

impl Snapshot {
    /// Takes one.
    pub fn of(conn: &Connection) -> Self {
        let whole = crate::model::records(conn, "email_schedules")
            .into_iter()
            .map(|record| {
                (record.integer("rowid").unwrap_or(0), format!("{:?}", record.into_values()))
            })
            .collect();
        Self { rows: stored_rows(conn).into_iter().map(|row| (row.id, row)).collect(), whole }
    }
}

/// Running again on the same day changes no row: not a column, not a run id, not a time stamp.
pub fn nothing_changed(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    let ids: BTreeSet<&i64> = before.whole.keys().chain(after.whole.keys()).collect();
    for id in ids {
        if before.whole.get(id) != after.whole.get(id) {
            let row = before.rows.get(id).or(after.rows.get(id)).map(named).unwrap_or_default();
            let (was, is) = (before.whole.get(id), after.whole.get(id));
            found.push(format!("{row} changed in a second run: it was {was:?} and is {is:?}"));
        }
    }
    found
}

/// A run on a later day changes the date of no planned row that is in the future, except by steps 4 and 5 of section
/// 6, and no planned row vanishes. `before` is from before the run on `today`; the contacts are the same.
pub fn planned_dates_stay(
    before: &Snapshot,
    after: &Snapshot,
    today: Date,
    limits: Limits,
) -> Vec<String> {
    let mut volumes: BTreeMap<Date, i64> = BTreeMap::new();
    for row in after.rows.values() {
        if row.has_volume() || row.is_planned() || row.skipped_for(&[FREQUENCY]) {
            *volumes.entry(row.date().unwrap_or_default()).or_insert(0) += 1;
        }
    }
    let same_sort = |a: &StoredRow, b: &StoredRow| {
        is_campaign(&a.kind()) && is_campaign(&b.kind())
            || is_followup(&a.kind()) && is_followup(&b.kind())
    };
    let mut found = Vec::new();
    for row in before.rows.values().filter(|row| row.is_planned()) {
        let Some(now) = after.rows.get(&row.id) else {
            found.push(format!("{} vanished", named(row)));
            continue;
        };
        let Some(date) = row.date().filter(|date| *date >= today) else { continue };
        if now.date() == Some(date) {
            continue;
        }
        // Step 4: another message of the sort took the day, or one that moved had it before it went on. Step 5: the day
        // is still as full as it may be.
        let taken = after.rows.values().any(|other| {
            let moved = before.rows.get(&other.id).and_then(StoredRow::date) != other.date();
            other.content.contact_id == row.content.contact_id
                && other.id != row.id
                && (other.date() == Some(date) || moved)
                && same_sort(row, other)
                && (other.is_planned() || other.has_volume() || other.skipped_for(&[FREQUENCY]))
        });
        let full = volumes.get(&date).is_some_and(|volume| *volume >= limits.threshold);
        if now.date() < Some(date) || !(taken || full) {
            found.push(format!("{} is now {}", named(row), named(now)));
        }
    }
    found
}

/// After runs and a reliable sender on every day from `first` to `last`: every message whose deadline was in this time
/// was sent exactly once, or is on record as skipped with a reason that is not its expiry. The database must have had
/// no committed rows and no `sent` targets at `first`, and its contacts and campaigns must not have changed. A sender that works before the
/// scheduler cannot send what is due on the first day of all: then `first` is the second.
pub fn sent_exactly_once(
    conn: &Connection,
    first: Date,
    last: Date,
    config: &ModelConfig,
) -> Vec<String> {
    let facts = Facts::read(conn, last, config);
    let mut found = sent_twice_of(&facts);
    let world = facts.world();
    let mut expected: Vec<Message> = Vec::new();
    for contact in facts.contacts.iter().filter(|contact| contact.active && contact.valid) {
        for year in first.year() - 1..=last.year() + 1 {
            let mut events: Vec<(&str, Date)> = Vec::new();
            for (kind, original) in
                [("birthday", contact.person.birth), ("effective_date", contact.person.effective)]
            {
                let event = original.and_then(|original| occurrence_in(original, year));
                events.extend(event.map(|event| (kind, event)));
            }
            if config.aep_years.is_empty() || config.aep_years.contains(&year) {
                let dates = config.aep_dates.iter();
                let dates = dates.filter_map(|(month, day)| Date::new(year, *month, *day).ok());
                events.extend(dates.map(|date| ("aep", date)));
            }
            expected.extend(
                events
                    .into_iter()
                    .filter_map(|(kind, event)| world.yearly_message(contact, kind, event)),
            );
        }
        expected.extend(expected_campaigns(&facts, contact, first));
        let sent = facts.stored.iter().filter(|row| row.content.contact_id == contact.id);
        expected.extend(sent.filter_map(|row| world.followup_of(contact, row)));
    }
    // A message that windows forbade asks for one after the closed period.
    let mut asked_for: BTreeMap<_, Message> = BTreeMap::new();
    for row in facts.stored.iter().filter(|row| row.skipped_for(&["Birthday", "Effective", "Year"]))
    {
        let ends = closed_period_end(&facts, row);
        let message = facts
            .contact(row.content.contact_id)
            .zip(ends)
            .and_then(|(contact, end)| world.yearly_message(contact, "post_window", end));
        if let Some(message) = message {
            asked_for.insert((message.contact_id, message.event), message);
        }
    }
    expected.extend(asked_for.into_values());

    for message in expected {
        let in_time = first <= message.deadline
            && message.deadline < last
            && message.ideal <= message.deadline;
        if !in_time || !world.handlers(&message).is_empty() {
            continue;
        }
        let own: Vec<&StoredRow> = facts
            .stored
            .iter()
            .filter(|row| match message.initial {
                Some(initial) => row.initial() == Some(initial),
                None => {
                    row.content.contact_id == message.contact_id
                        && row.kind() == message.kind
                        && row.instance() == message.instance
                        && row.event() == message.event
                }
            })
            .collect();
        let fault = match own.as_slice() {
            [] => "has no row".to_owned(),
            [row] if row.content.status != "skipped" => format!("was not sent: {}", named(row)),
            [row] if row.skipped_for(&[EXPIRED]) => format!("expired: {}", named(row)),
            [_] => continue,
            rows => format!("has {} rows", rows.len()),
        };
        found.push(format!(
            "contact {}, {} of {:?} (instance {:?}, after row {:?}, deadline {}) {fault}",
            message.contact_id,
            message.kind,
            message.event,
            message.instance,
            message.initial,
            message.deadline
        ));
    }
    found
}

/// Messages of the targets of instances that took part on some day from `first` on, before the message's deadline.
fn expected_campaigns(facts: &Facts<'_>, contact: &Contact, first: Date) -> Vec<Message> {
    let world = facts.world();
    let mut messages = Vec::new();
    for (id, instance) in &facts.campaigns.instances {
        let Some(settings) = facts.campaigns.settings(instance).filter(|s| s.active) else {
            continue;
        };
        let date = |text: &Option<String>| text.as_deref().and_then(parse_date);
        let start = date(&instance.active_start_date);
        let triggers: Vec<Date> = if settings.target_all_contacts {
            start.into_iter().collect()
        } else {
            let targets = facts.campaigns.targets.iter();
            targets
                .filter(|t| t.contact_id == contact.id && t.instance_id == *id)
                .filter_map(|t| date(&t.trigger))
                .collect()
        };
        let from = start.map_or(first, |start| start.max(first));
        messages.extend(
            triggers
                .into_iter()
                .map(|trigger| world.campaign_message(contact, *id, instance, &settings, trigger))
                .filter(|message| from <= message.deadline),
        );
    }
    messages
}

/// The end of the closed period that a skipped row's ideal date lies in, when the next day is open and the row's kind
/// asks for a message then.
fn closed_period_end(facts: &Facts<'_>, row: &StoredRow) -> Option<Date> {
    let asks = matches!(row.kind().as_str(), "birthday" | "effective_date" | "aep")
        || is_campaign(&row.kind());
    let closed = facts.closed.get(&row.content.contact_id).filter(|_| asks)?;
    let end = closed.period_on(row.date()?)?.end;
    closed.reason_on(plus(end, 1)).is_none().then_some(end)
}

/// Messages that were sent more than once, whatever changed meanwhile.
pub fn sent_twice(conn: &Connection, today: Date, config: &ModelConfig) -> Vec<String> {
    sent_twice_of(&Facts::read(conn, today, config))
}

/// Messages with more than one row that was sent.
fn sent_twice_of(facts: &Facts<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut keys: BTreeMap<_, &StoredRow> = BTreeMap::new();
    for row in facts.stored.iter().filter(|row| row.is_sent() && row.actual_send_datetime.is_some())
    {
        let content = &row.content;
        let key = match row.initial() {
            Some(initial) => (content.contact_id, String::new(), None, None, initial),
            None => (content.contact_id, row.kind(), row.instance(), row.event(), 0),
        };
        if let Some(other) = keys.insert(key, row) {
            found.push(format!("{} was sent already as row {}", named(row), other.id));
        }
    }
    found
}

/// A stretch of days with runs and a sender.
#[derive(Debug, Clone, Copy)]
pub struct Simulation<'a> {
    /// The first day.
    pub first: Date,
    /// How many days, at least 1.
    pub days: i64,
    /// The configuration of all runs.
    pub config: &'a ModelConfig,
    /// The sender works before the scheduler, against the advice of section 1.
    pub sender_first: bool,
}

impl Simulation<'_> {
    /// Runs `schedule` and the sender every day and checks after every run, and a second run, what always holds.
    /// Stops at the first day with something wrong.
    pub fn run(
        &self,
        db_path: &Path,
        sender: &mut Sender,
        schedule: &mut dyn FnMut(&Path, Date),
    ) -> Vec<String> {
        let mut conn = Connection::open(db_path).expect("a database");
        let contacts = |conn: &Connection| {
            conn.query_row("SELECT count(*) FROM contacts", [], |row| row.get(0))
                .expect("the table contacts")
        };
        for n in 0..self.days {
            let today = plus(self.first, n);
            if self.sender_first && n > 0 {
                sender.send(&mut conn, today).expect("a sender that can write");
            }
            let before = Snapshot::of(&conn);
            schedule(db_path, today);
            let after = Snapshot::of(&conn);
            let mut found = after_a_run(&conn, today, self.config);
            if n > 0 {
                let limits = Limits::new(self.config, contacts(&conn));
                found.extend(planned_dates_stay(&before, &after, today, limits));
            }
            schedule(db_path, today);
            found.extend(nothing_changed(&after, &Snapshot::of(&conn)));
            if !self.sender_first {
                sender.send(&mut conn, today).expect("a sender that can write");
            }
            if !found.is_empty() {
                return found.into_iter().map(|text| format!("{today}: {text}")).collect();
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::model::{apply, create_schema, plan};

    const TODAY: Date = date(2025, 3, 1);

    /// Three contacts, one of them in Oregon, and a campaign; planned, and the promises kept.
    fn office() -> (Connection, ModelConfig) {
        let mut conn = Connection::open_in_memory().unwrap();
        create_schema(&conn).unwrap();
        conn.execute_batch(
            "INSERT INTO contacts VALUES
               (1, 'a@b.co', '73301', '1960-06-15', '2020-04-02', NULL, '', 'active'),
               (2, 'a@b.co', '97001', '1960-06-15', NULL, NULL, '', 'active'),
               (3, 'a@b.co', '73301', '1960-03-01', NULL, NULL, '', 'active');
             INSERT INTO campaign_types VALUES ('c', 1, 1, 0, 0, 10, 1);
             INSERT INTO campaign_instances VALUES (1, 'c', 'n', 'm', 's', NULL, NULL, NULL);
             INSERT INTO contact_campaigns VALUES (1, 1, 1, '2025-03-20', NULL);
             INSERT INTO email_schedules (id, contact_id, email_type, scheduled_send_date, scheduled_send_time, status,
               event_year, event_month, event_day)
             VALUES (100, 3, 'birthday', '2025-02-15', '08:30:00', 'sent', 2025, 3, 1);",
        )
        .unwrap();
        let config = ModelConfig::default();
        let plan = plan(&conn, TODAY, &config);
        apply(&mut conn, &plan, "run").unwrap();
        assert_eq!(after_a_run(&conn, TODAY, &config), [] as [&str; 0]);
        (conn, config)
    }

    #[test]
    fn every_broken_promise_after_a_run_is_named() {
        let cases = [
            (
                "planned on an excluded date",
                "UPDATE email_schedules SET status = 'pre-scheduled' WHERE contact_id = 2",
            ),
            ("planned for nobody", "UPDATE contacts SET status = 'gone' WHERE id = 1"),
            (
                "planned in the past",
                "UPDATE email_schedules SET scheduled_send_date = '2025-02-28' WHERE contact_id = 1",
            ),
            (
                "after its deadline",
                "UPDATE email_schedules SET scheduled_send_date = '2025-06-16' WHERE email_type = 'birthday' AND contact_id = 1",
            ),
            (
                "its ideal date is 2025-06-01",
                "UPDATE email_schedules SET shift_days = 1 WHERE email_type = 'birthday' AND contact_id = 1",
            ),
            (
                "no message behind it",
                "UPDATE email_schedules SET email_type = 'x' WHERE contact_id = 1",
            ),
            ("no message behind it", "DELETE FROM campaign_instances"),
            (
                "of the same message",
                "UPDATE email_schedules SET email_type = 'aep', event_month = 9, event_day = 15 WHERE contact_id = 1",
            ),
            (
                "capital letters",
                "UPDATE email_schedules SET email_type = upper(email_type) WHERE contact_id = 1",
            ),
            (
                "although it is handled",
                "UPDATE email_schedules SET status = 'pre-scheduled' WHERE id = 100; INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, scheduled_send_time, status) VALUES (3, 'birthday', '2025-02-20', '', 'sent')",
            ),
            (
                "planned although it is handled",
                "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, scheduled_send_time, status, initial_schedule_id) VALUES (3, 'followup_1_cold', '2025-02-20', '', 'failed', 100)",
            ),
            (
                "one too many",
                "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, scheduled_send_time, status) VALUES (1, 'x', '2025-03-20', '', 'sent'), (1, 'x', '2025-03-20', '', 'sent'), (1, 'x', '2025-03-20', '', 'sent')",
            ),
        ];
        for (fault, sql) in cases {
            let (conn, config) = office();
            conn.execute_batch(sql).unwrap();
            let found = after_a_run(&conn, TODAY, &config);
            assert!(found.iter().any(|text| text.contains(fault)), "{fault}: {found:#?}");
        }
    }

    #[test]
    fn a_second_run_that_touches_a_row_is_found() {
        let (conn, _) = office();
        let before = Snapshot::of(&conn);
        assert_eq!(nothing_changed(&before, &Snapshot::of(&conn)), [] as [&str; 0]);
        for sql in [
            "UPDATE email_schedules SET updated_at = 'x' WHERE contact_id = 2",
            "DELETE FROM email_schedules WHERE id = 100",
            "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, scheduled_send_time, status) VALUES (9, '', '', '', '')",
        ] {
            let before = Snapshot::of(&conn);
            conn.execute_batch(sql).unwrap();
            assert!(!nothing_changed(&before, &Snapshot::of(&conn)).is_empty(), "{sql}");
        }
    }

    #[test]
    fn a_date_that_moves_without_a_reason_is_found() {
        let (conn, config) = office();
        let limits = Limits::new(&config, 3);
        let tomorrow = date(2025, 3, 2);
        for (sql, broken) in [
            ("UPDATE email_schedules SET status = 'sent' WHERE email_type = 'aep'", false),
            (
                "UPDATE email_schedules SET scheduled_send_date = '2025-06-02' WHERE scheduled_send_date = '2025-06-01'",
                true,
            ),
            (
                "UPDATE email_schedules SET scheduled_send_date = '2025-03-19' WHERE email_type = 'campaign_c'",
                true,
            ),
            ("DELETE FROM email_schedules WHERE status = 'pre-scheduled'", true),
        ] {
            let before = Snapshot::of(&conn);
            conn.execute_batch(sql).unwrap();
            let found = planned_dates_stay(&before, &Snapshot::of(&conn), tomorrow, limits);
            assert_eq!(!found.is_empty(), broken, "{sql}: {found:?}");
        }
    }

    #[test]
    fn a_year_in_which_something_was_not_sent_or_sent_twice_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("year.db");
        let (conn, config) = office();
        conn.execute_batch("DELETE FROM email_schedules").unwrap();
        conn.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
        let simulation =
            Simulation { first: TODAY, days: 300, config: &config, sender_first: false };
        let found = simulation.run(&path, &mut Sender::reliable(), &mut |path, today| {
            let mut conn = Connection::open(path).unwrap();
            let plan = plan(&conn, today, &config);
            apply(&mut conn, &plan, "run").unwrap();
        });
        assert_eq!(found, [] as [&str; 0]);
        let check = |sql: &str| {
            let conn = Connection::open(&path).unwrap();
            conn.execute_batch("BEGIN").unwrap();
            conn.execute_batch(sql).unwrap();
            sent_exactly_once(&conn, TODAY, date(2025, 12, 25), &config).join("\n")
        };
        assert_eq!(check(""), "");
        // What was sent: birthday, effective date, aep, post_window, campaign, and a follow-up for each.
        let cases = [
            (
                "birthday",
                "has no row",
                "DELETE FROM email_schedules WHERE email_type = 'birthday' AND contact_id = 1",
            ),
            (
                "effective_date",
                "has no row",
                "DELETE FROM email_schedules WHERE email_type = 'effective_date'",
            ),
            (
                "aep",
                "has no row",
                "DELETE FROM email_schedules WHERE email_type = 'aep' AND contact_id = 1",
            ),
            (
                "post_window",
                "has no row",
                "DELETE FROM email_schedules WHERE email_type = 'post_window'",
            ),
            (
                "campaign_c",
                "has no row",
                "DELETE FROM email_schedules WHERE email_type = 'campaign_c'",
            ),
            (
                "followup_1_cold",
                "has no row",
                "DELETE FROM email_schedules WHERE email_type LIKE 'followup%' AND contact_id = 2",
            ),
            (
                "aep",
                "was not sent",
                "UPDATE email_schedules SET status = 'pre-scheduled' WHERE email_type = 'aep'",
            ),
            (
                "aep",
                "expired",
                "UPDATE email_schedules SET status = 'skipped', skip_reason = 'Expired before it was sent' WHERE email_type = 'aep'",
            ),
            (
                "aep",
                "was sent already",
                "INSERT INTO email_schedules SELECT 1000 + id, contact_id, email_type, '2025-12-01', '', status, '', 1, NULL, '', '', '', event_year, event_month, event_day, NULL, 0, NULL, '', '', actual_send_datetime FROM email_schedules WHERE email_type = 'aep' AND status = 'sent'",
            ),
        ];
        for (kind, fault, sql) in cases {
            let found = check(sql);
            let named = found.lines().any(|line| line.contains(kind) && line.contains(fault));
            assert!(named, "{kind} {fault}: {found}");
        }
    }
}
