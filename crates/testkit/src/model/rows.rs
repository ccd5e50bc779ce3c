//! From messages to rows: what is inserted, updated, kept, expired and deleted (section 9).

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::{
    ModelRow,
    config::ModelConfig,
    database::{RowContent, StoredRow},
    messages::{Event, FREQUENCY, LOWER_PRIORITY, Message, Skip, is_followup},
};
use crate::calendar::days_between;

/// The reason of rows that nobody sent and no message stands behind any more (section 5).
pub(crate) const EXPIRED: &str = "Expired before it was sent";

/// What makes owned rows rows of one message.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum EventKey {
    Followup(i64),
    Event(i64, String, Option<i64>, Event),
}

fn event_key(row: &StoredRow) -> Option<EventKey> {
    match (is_followup(&row.kind()), row.initial()) {
        (true, Some(initial)) => Some(EventKey::Followup(initial)),
        _ => {
            Some(EventKey::Event(row.content.contact_id, row.kind(), row.instance(), row.event()?))
        }
    }
}

/// The owned rows that are one too many for their event key: all but one pre-scheduled row, or else one skipped row, in
/// both cases that of the lowest id.
pub(crate) fn duplicates(rows: &[StoredRow]) -> BTreeSet<i64> {
    let mut best: BTreeMap<EventKey, &StoredRow> = BTreeMap::new();
    let mut duplicates = BTreeSet::new();
    for row in rows.iter().filter(|row| row.is_owned()) {
        let Some(key) = event_key(row) else { continue };
        let rank = |row: &StoredRow| (!row.is_planned(), row.id);
        match best.get(&key) {
            None => {
                best.insert(key, row);
            }
            Some(other) if rank(other) < rank(row) => {
                duplicates.insert(row.id);
            }
            Some(other) => {
                duplicates.insert(other.id);
                best.insert(key, row);
            }
        }
    }
    duplicates
}

/// The row of a message.
pub(crate) fn row_of(
    message: &Message,
    owned: Option<&StoredRow>,
    config: &ModelConfig,
) -> ModelRow {
    let (year, month, day) = match message.event {
        Some((year, month, day)) => (Some(year), Some(month), Some(day)),
        None => (None, None, None),
    };
    let content = RowContent {
        contact_id: message.contact_id,
        email_type: message.kind.clone(),
        scheduled_send_date: message.date.to_string(),
        scheduled_send_time: config.send_time.clone(),
        status: if message.is_dated() { "pre-scheduled" } else { "skipped" }.to_owned(),
        skip_reason: message.skip.as_ref().map(|skip| match skip {
            Skip::Closed { reason, .. } => reason.clone(),
            Skip::LowerPriority(kind) => format!("{LOWER_PRIORITY} than {kind} on the same day"),
            Skip::Frequency => format!(
                "{FREQUENCY}: {} emails in {} days",
                config.max_emails_per_period, config.period_days
            ),
        }),
        priority: Some(message.priority),
        campaign_instance_id: message.instance,
        email_template: message.email_template.clone(),
        sms_template: message.sms_template.clone(),
        event_year: year,
        event_month: month,
        event_day: day,
        initial_schedule_id: message.initial,
        shift_days: Some(days_between(message.ideal, message.date)),
        metadata: message.metadata.clone(),
    };
    ModelRow {
        existing_id: owned.map(|row| row.id),
        unchanged: owned.is_some_and(|row| row.content == content),
        content,
    }
}

/// What becomes of an owned row without a message; `None`: it is deleted.
pub(crate) fn row_without_message(row: &StoredRow, today: Date) -> Option<ModelRow> {
    if row.date().is_some_and(|date| date >= today) {
        return None;
    }
    let mut content = row.content.clone();
    content.email_type = row.kind();
    if row.is_planned() {
        "skipped".clone_into(&mut content.status);
        content.skip_reason = Some(EXPIRED.to_owned());
    }
    Some(ModelRow { existing_id: Some(row.id), unchanged: content == row.content, content })
}
