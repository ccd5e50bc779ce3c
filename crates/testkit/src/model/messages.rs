//! Which messages are considered, which are handled, which are excluded (sections 5, 7 and 8), and the two steps of
//! section 6 that look at one message alone.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::{
    config::{CampaignInstance, CampaignType, ModelConfig},
    contacts::Contact,
    database::{Campaigns, StoredRow, Target},
};
use crate::{
    calendar::{day_number, days_between, next_occurrence, parse_date, plus, previous_occurrence},
    periods::{ClosedDays, Period},
};

/// Year, month and day of an event date.
pub(crate) type Event = (i64, i64, i64);

pub(crate) fn event_of(date: Date) -> Event {
    (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()))
}

/// One message considered for one contact.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) contact_id: i64,
    pub(crate) kind: String,
    pub(crate) instance: Option<i64>,
    /// None for follow-ups of rows without event columns.
    pub(crate) event: Option<Event>,
    pub(crate) initial: Option<i64>,
    pub(crate) ideal: Date,
    pub(crate) deadline: Date,
    pub(crate) priority: i64,
    pub(crate) respects_windows: bool,
    pub(crate) targets_all: bool,
    pub(crate) email_template: Option<String>,
    pub(crate) sms_template: Option<String>,
    pub(crate) metadata: Option<String>,
    /// The owned row of its event key.
    pub(crate) owned_id: Option<i64>,
    pub(crate) date: Date,
    pub(crate) origin: Origin,
    pub(crate) skip: Option<Skip>,
}

/// Whether a message has its date from its owned row (section 6, step 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    KeptFromPlanned,
    /// Its row was skipped for frequency.
    KeptFromRefused,
    /// Its row was skipped for lower priority.
    KeptFromOutranked,
    New,
}

/// Why a message is not planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Skip {
    /// Excluded, and attributed to the period if there is one.
    Closed { reason: String, period: Option<Period> },
    /// Section 6, step 4: the kind that has the day.
    LowerPriority(String),
    /// Section 6, step 6.
    Frequency,
}

impl Message {
    pub(crate) fn is_followup(&self) -> bool {
        is_followup(&self.kind)
    }

    pub(crate) fn is_campaign(&self) -> bool {
        is_campaign(&self.kind)
    }

    /// It has a date on which it goes out, or would if it were not refused later.
    pub(crate) fn is_dated(&self) -> bool {
        self.skip.is_none()
    }

    /// The 64-bit FNV-1a hash of section 6.
    pub(crate) fn hash(&self) -> u64 {
        let year = self.event.map_or(0, |(year, ..)| year);
        fnv1a(&format!("{}-{}-{year}", self.contact_id, self.kind))
    }

    /// *Open* for this message: not excluded, or the message does not respect windows.
    pub(crate) fn is_open(&self, closed: &ClosedDays, date: Date) -> bool {
        !self.respects_windows || closed.reason_on(date).is_none()
    }
}

pub(crate) fn is_followup(kind: &str) -> bool {
    kind.starts_with("followup_")
}

pub(crate) fn is_campaign(kind: &str) -> bool {
    kind.starts_with("campaign_")
}

pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The beginnings of the reasons that section 5 tells apart.
pub(crate) const FREQUENCY: &str = "Frequency limit";
pub(crate) const LOWER_PRIORITY: &str = "Lower priority";

/// Everything the rules look at besides one contact.
pub(crate) struct World<'a> {
    pub(crate) today: Date,
    pub(crate) config: &'a ModelConfig,
    pub(crate) campaigns: &'a Campaigns,
    /// Committed rows by contact.
    pub(crate) committed: BTreeMap<i64, Vec<&'a StoredRow>>,
    /// Committed rows by the initial row they name.
    pub(crate) committed_followups: BTreeMap<i64, Vec<&'a StoredRow>>,
    /// Owned rows by contact, one for each event key.
    pub(crate) owned: BTreeMap<i64, Vec<&'a StoredRow>>,
    /// Owned rows of follow-ups by initial row, which alone tells them apart.
    pub(crate) owned_followups: BTreeMap<i64, &'a StoredRow>,
}

/// What one contact brings to the plan.
pub(crate) struct ContactMessages {
    pub(crate) considered: Vec<Message>,
    /// Ideal dates of the effective-date messages, handled ones too, that are not excluded (section 6, step 3).
    pub(crate) effective_ideals: Vec<Date>,
}

impl<'a> World<'a> {
    fn committed_of(&self, contact_id: i64) -> &[&'a StoredRow] {
        self.committed.get(&contact_id).map_or(&[], Vec::as_slice)
    }

    fn owned_of(&self, contact_id: i64) -> &[&'a StoredRow] {
        self.owned.get(&contact_id).map_or(&[], Vec::as_slice)
    }

    /// The committed rows that handle a message (section 5).
    pub(crate) fn handlers(&self, message: &Message) -> Vec<&'a StoredRow> {
        if let Some(initial) = message.initial {
            return self.committed_followups.get(&initial).cloned().unwrap_or_default();
        }
        let has_event_key =
            |row: &StoredRow| row.instance() == message.instance && row.event() == message.event;
        let range = match (message.kind.as_str(), message.event) {
            ("birthday" | "effective_date", Some(event)) => Some((-60, days_of(message, event))),
            ("aep", _) => Some((-30, 60)),
            ("post_window", _) => Some((-60, 30)),
            _ => None,
        };
        // For aep the event is the ideal date; so all ranges count from the ideal date.
        let in_range = |row: &StoredRow| {
            range.zip(row.date()).is_some_and(|((first, last), date)| {
                (first..=last).contains(&days_between(message.ideal, date))
            })
        };
        let of_instance = |row: &StoredRow| {
            message.is_campaign()
                && row.instance() == message.instance
                && (message.targets_all || row.event().is_none())
        };
        self.committed_of(message.contact_id)
            .iter()
            .copied()
            .filter(|row| row.kind() == message.kind)
            .filter(|row| has_event_key(row) || in_range(row) || of_instance(row))
            .collect()
    }

    /// The owned row of a message's event key.
    pub(crate) fn owned_row(&self, message: &Message) -> Option<&'a StoredRow> {
        if let Some(initial) = message.initial {
            return self.owned_followups.get(&initial).copied();
        }
        self.owned_of(message.contact_id).iter().copied().find(|row| {
            row.kind() == message.kind
                && row.instance() == message.instance
                && row.event() == message.event
        })
    }

    /// The second case of *handled*: an owned row that stays as history.
    fn is_handled_by_owned_row(&self, message: &Message) -> bool {
        self.owned_row(message).is_some_and(|row| {
            row.skipped_for(&[FREQUENCY, LOWER_PRIORITY])
                && row.date().is_some_and(|date| date < self.today)
        })
    }

    /// Inside the deadline and the horizon; whether it is handled is another question.
    fn is_in_time(&self, message: &Message) -> bool {
        message.deadline >= self.today
            && message.ideal <= message.deadline
            && message.ideal <= plus(self.today, self.config.horizon_days)
    }

    fn is_considered(&self, message: &Message) -> bool {
        self.is_in_time(message)
            && self.handlers(message).is_empty()
            && !self.is_handled_by_owned_row(message)
    }

    /// All messages of a valid, active contact, with what section 6 decides about each alone: excluded, kept, late, or
    /// new on its ideal date.
    pub(crate) fn messages_of(&self, contact: &Contact, closed: &ClosedDays) -> ContactMessages {
        let yearly = self.yearly_messages(contact);
        let campaigns = self.campaign_messages(contact);
        let effective_ideals = yearly
            .iter()
            .filter(|m| m.kind == "effective_date")
            .filter(|m| self.is_in_time(m) || !self.handlers(m).is_empty())
            .filter(|m| closed.reason_on(m.ideal).is_none())
            .map(|m| m.ideal)
            .collect();

        // The closed periods to which a message without a committed row is attributed.
        let mut attributed: Vec<Period> = Vec::new();
        let mut considered = Vec::new();
        for mut message in yearly {
            if self.is_considered(&message) {
                self.settle(&mut message, closed);
                if let Some(Skip::Closed { period: Some(period), .. }) = message.skip {
                    attributed.push(period);
                }
                considered.push(message);
            } else if self.handlers(&message).is_empty() {
                // Past its deadline, or handled by an owned row only: by the ideal date alone.
                attributed.extend(closed.period_on(message.ideal));
            }
        }
        for mut message in campaigns {
            if self.is_considered(&message) {
                self.settle(&mut message, closed);
                if let Some(Skip::Closed { period: Some(period), .. }) = message.skip {
                    attributed.push(period);
                }
                considered.push(message);
            }
        }
        for period in closed.periods() {
            let message = self.yearly_message(contact, "post_window", period.end);
            let mut message = message.expect("a kind of its own");
            let exists = self
                .owned_row(&message)
                .is_some_and(|row| row.is_planned() || row.skipped_for(&[FREQUENCY]));
            if closed.reason_on(message.ideal).is_none()
                && (attributed.contains(period) || exists)
                && self.is_considered(&message)
            {
                self.settle(&mut message, closed);
                considered.push(message);
            }
        }
        for mut message in self.followup_messages(contact) {
            if self.is_considered(&message) {
                self.settle(&mut message, closed);
                considered.push(message);
            }
        }
        ContactMessages { considered, effective_ideals }
    }

    fn message(&self, contact: &Contact, kind: &str, event: Date, priority: i64) -> Message {
        let templates = self.config.templates.get(kind);
        Message {
            contact_id: contact.id,
            kind: kind.to_owned(),
            instance: None,
            event: Some(event_of(event)),
            initial: None,
            ideal: event,
            deadline: event,
            priority,
            respects_windows: true,
            targets_all: false,
            email_template: templates.map(|t| t.email.clone()),
            sms_template: templates.map(|t| t.sms.clone()).filter(|_| contact.has_phone),
            metadata: None,
            owned_id: None,
            date: event,
            origin: Origin::New,
            skip: None,
        }
    }

    /// The message of a kind that has no campaign and no initial row, for one event date.
    pub(crate) fn yearly_message(
        &self,
        contact: &Contact,
        kind: &str,
        event: Date,
    ) -> Option<Message> {
        let config = self.config;
        let priorities = config.priorities;
        let (ideal, deadline, priority) = match kind {
            "birthday" => {
                (plus(event, -config.birthday_email_days_before), event, priorities.birthday)
            }
            "effective_date" => {
                (plus(event, -config.effective_date_days_before), event, priorities.effective_date)
            }
            "aep" => (event, plus(event, config.grace_days), priorities.aep),
            "post_window" => {
                let ideal = plus(event, 1);
                (ideal, plus(ideal, config.grace_days), priorities.post_window)
            }
            _ => return None,
        };
        Some(Message { ideal, deadline, ..self.message(contact, kind, event, priority) })
    }

    /// Birthday, effective-date and aep messages of this and the last time; most of the last are past their deadline.
    fn yearly_messages(&self, contact: &Contact) -> Vec<Message> {
        let mut events = Vec::new();
        for (kind, original) in
            [("birthday", contact.person.birth), ("effective_date", contact.person.effective)]
        {
            let Some(original) = original else { continue };
            let next = next_occurrence(self.today, original);
            let previous = previous_occurrence(self.today, original);
            events.extend(next.into_iter().chain(previous).map(|event| (kind, event)));
        }
        let mut dates = self.aep_dates();
        dates.sort_unstable();
        let next = dates.iter().copied().find(|date| *date >= self.today);
        let previous = dates.iter().copied().rfind(|date| *date < self.today);
        events.extend(next.into_iter().chain(previous).map(|event| ("aep", event)));
        events
            .into_iter()
            .filter_map(|(kind, event)| self.yearly_message(contact, kind, event))
            .collect()
    }

    fn aep_dates(&self) -> Vec<Date> {
        let year = self.today.year();
        let years = if self.config.aep_years.is_empty() {
            vec![year - 1, year, year + 1]
        } else {
            self.config.aep_years.clone()
        };
        let dates = &self.config.aep_dates;
        years
            .iter()
            .flat_map(|year| dates.iter().map(|(month, day)| Date::new(*year, *month, *day)))
            .filter_map(Result::ok)
            .collect()
    }

    /// The instances that take part today, with their settings (section 7).
    fn instances_today(&self) -> Vec<(i64, &'a CampaignInstance, CampaignType)> {
        let date = |text: &Option<String>| text.as_deref().and_then(parse_date);
        self.campaigns
            .instances
            .iter()
            .filter_map(|(id, i)| Some((*id, i, self.campaigns.settings(i)?)))
            .filter(|(_, i, settings)| {
                settings.active
                    && date(&i.active_start_date).is_none_or(|start| start <= self.today)
                    && date(&i.active_end_date).is_none_or(|end| self.today <= end)
                    && !(settings.target_all_contacts && i.active_start_date.is_none())
            })
            .collect()
    }

    /// The message of an instance for one trigger date, whether it is considered or not.
    pub(crate) fn campaign_message(
        &self,
        contact: &Contact,
        id: i64,
        instance: &CampaignInstance,
        settings: &CampaignType,
        trigger: Date,
    ) -> Message {
        let kind = format!("campaign_{}", instance.campaign_type).to_lowercase();
        let mut message = self.message(contact, &kind, trigger, settings.priority);
        message.instance = Some(id);
        message.respects_windows = settings.respect_exclusion_windows;
        message.targets_all = settings.target_all_contacts;
        message.email_template.clone_from(&instance.email_template);
        message.sms_template = instance.sms_template.clone().filter(|_| contact.has_phone);
        message.ideal = plus(trigger, -settings.days_before_event);

        let end = instance.active_end_date.as_deref().and_then(parse_date);
        let grace = plus(message.ideal, self.config.grace_days);
        message.deadline = if settings.target_all_contacts {
            end.unwrap_or(grace)
        } else {
            let own = if settings.days_before_event > 0 { trigger } else { grace };
            end.map_or(own, |end| end.min(own))
        };
        message
    }

    /// The targets an instance still has, whatever their contacts are.
    fn open_targets(&self, instance_id: i64) -> impl Iterator<Item = &'a Target> {
        let targets = self.campaigns.targets.iter();
        targets.filter(move |t| t.instance_id == instance_id && t.status.as_deref() != Some("sent"))
    }

    /// Targets without a trigger date: the contacts' ids (section 7).
    pub(crate) fn targets_without_trigger(&self) -> Vec<i64> {
        self.instances_today()
            .into_iter()
            .filter(|(.., settings)| !settings.target_all_contacts)
            .flat_map(|(id, ..)| self.open_targets(id))
            .filter(|target| target.trigger.as_deref().and_then(parse_date).is_none())
            .map(|target| target.contact_id)
            .collect()
    }

    fn campaign_messages(&self, contact: &Contact) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        for (id, instance, settings) in self.instances_today() {
            let mut triggers: Vec<Date> = Vec::new();
            if settings.target_all_contacts {
                triggers.extend(instance.active_start_date.as_deref().and_then(parse_date));
            } else {
                let own = self.open_targets(id).filter(|target| target.contact_id == contact.id);
                triggers.extend(own.filter_map(|t| t.trigger.as_deref().and_then(parse_date)));
            }
            // Two rows with one trigger date are one message: they have one event key.
            triggers.sort_unstable();
            triggers.dedup();
            for trigger in triggers {
                messages.push(self.campaign_message(contact, id, instance, &settings, trigger));
            }
        }
        messages
    }

    fn followup_messages(&self, contact: &Contact) -> Vec<Message> {
        self.committed_of(contact.id)
            .iter()
            .filter_map(|initial| self.followup_message(contact, initial))
            .collect()
    }

    /// The follow-up of one committed row that was sent within the lookback.
    fn followup_message(&self, contact: &Contact, initial: &StoredRow) -> Option<Message> {
        let (sent_on, _) = initial.sent_at()?;
        let first = plus(self.today, -self.config.followup_lookback_days);
        let is_recent = first <= sent_on && sent_on <= self.today;
        self.followup_of(contact, initial).filter(|_| is_recent)
    }

    /// The follow-up of a committed row sent at any time, if it has one (section 8).
    pub(crate) fn followup_of(&self, contact: &Contact, initial: &StoredRow) -> Option<Message> {
        let config = self.config;
        let kind = initial.kind();
        let campaign = initial.instance().and_then(|id| self.campaigns.instances.get(&id));
        let has_followup = match kind.as_str() {
            "birthday" | "effective_date" | "aep" | "post_window" => true,
            kind if is_campaign(kind) => campaign
                .and_then(|instance| self.campaigns.settings(instance))
                .is_some_and(|settings| settings.enable_followups),
            _ => false,
        };
        let sent_at = initial.sent_at()?;
        let sent_on = sent_at.0;
        if !initial.is_sent() || !has_followup {
            return None;
        }

        let clicked = self
            .campaigns
            .clicks
            .iter()
            .any(|(contact_id, at)| *contact_id == contact.id && *at >= sent_at);
        // Of several at the same moment, the row written last.
        let answer = self
            .campaigns
            .answers
            .iter()
            .filter(|answer| answer.contact_id == contact.id && answer.at >= sent_at)
            .max_by(|a, b| a.at.cmp(&b.at));
        let conditions = answer.is_some_and(|answer| {
            answer.metadata.get("has_medical_conditions") == Some(&serde_json::Value::Bool(true))
        });
        let yes_count = answer
            .and_then(|answer| answer.metadata.get("main_questions_yes_count")?.as_f64())
            .is_some_and(|count| count > 0.0);
        let followup = match answer {
            Some(_) if conditions || yes_count => "followup_4_hq_with_yes",
            Some(_) => "followup_3_hq_no_yes",
            None if clicked => "followup_2_clicked_no_hq",
            None => "followup_1_cold",
        };

        let text = |text: &str| serde_json::Value::from(text).to_string();
        let mut metadata = format!(
            "{{\"initial_comm_log_id\":{},\"initial_email_type\":{},\"followup_behavior\":\
             {{\"clicked\":{clicked},\"answered\":{},\"has_medical_conditions\":{conditions}}}",
            initial.id,
            text(&kind),
            answer.is_some(),
        );
        if is_campaign(&kind)
            && let Some(campaign) = campaign
        {
            metadata.push_str(",\"campaign_name\":");
            metadata.push_str(&text(&campaign.instance_name));
        }
        metadata.push('}');

        let priority = initial.content.priority.unwrap_or(config.priorities.followup);
        let mut message = self.message(contact, followup, sent_on, priority);
        message.instance = initial.content.campaign_instance_id;
        message.event = initial.event();
        message.initial = Some(initial.id);
        message.ideal = plus(sent_on, config.followup_delay_days);
        message.deadline = plus(sent_on, config.followup_lookback_days);
        message.metadata = Some(metadata);
        Some(message)
    }

    /// Excluded at the ideal date, or steps 1 and 2 of section 6; a new message that is not late gets its ideal date.
    fn settle(&self, message: &mut Message, closed: &ClosedDays) {
        let owned = self.owned_row(message);
        message.owned_id = owned.map(|row| row.id);
        message.date = message.ideal;
        message.origin = Origin::New;

        if !message.is_open(closed, message.ideal) {
            message.skip = closed_on(closed, message.ideal);
        } else if let Some((date, origin)) = owned.and_then(|row| self.kept(message, row, closed)) {
            message.date = date;
            message.origin = origin;
        } else if message.ideal < self.today {
            self.settle_late(message, closed);
        }
    }

    /// Step 1: the date of the owned row, when it may stay.
    fn kept(
        &self,
        message: &Message,
        row: &StoredRow,
        closed: &ClosedDays,
    ) -> Option<(Date, Origin)> {
        let origin = if row.is_planned() {
            Origin::KeptFromPlanned
        } else if row.skipped_for(&[FREQUENCY]) {
            Origin::KeptFromRefused
        } else if row.skipped_for(&[LOWER_PRIORITY]) {
            Origin::KeptFromOutranked
        } else {
            return None;
        };
        let date = row.date()?;
        let stays = date >= self.today
            && date <= message.deadline
            && message.is_open(closed, date)
            && plus(date, -row.content.shift_days?) == message.ideal;
        stays.then_some((date, origin))
    }

    /// Step 2: new, and late.
    fn settle_late(&self, message: &mut Message, closed: &ClosedDays) {
        let days_left = days_between(self.today, message.deadline);
        let first = if days_left == 0 { self.today } else { plus(self.today, 1) };
        let wanted = if days_left == 0 {
            self.today
        } else {
            let spread = if message.is_followup() { 1 } else { self.config.catch_up_spread_days };
            let sum = i128::from(message.hash()) + i128::from(day_number(self.today));
            let offset = sum.rem_euclid(i128::from(spread.min(days_left)));
            plus(first, i64::try_from(offset).expect("less than the spread"))
        };
        let later = days(wanted, message.deadline).into_iter();
        let mut earlier = days(first, wanted).into_iter().rev();
        let open = |date: &Date| message.is_open(closed, *date);
        match later.into_iter().find(open).or_else(|| earlier.find(open)) {
            Some(date) => message.date = date,
            None => message.skip = closed_on(closed, wanted),
        }
    }
}

/// The days from `first` to `last`, both included.
fn days(first: Date, last: Date) -> Vec<Date> {
    (0..=days_between(first, last)).map(|n| plus(first, n)).collect()
}

fn closed_on(closed: &ClosedDays, date: Date) -> Option<Skip> {
    let reason = closed.reason_on(date)?;
    Some(Skip::Closed { reason, period: closed.period_on(date) })
}

/// Days from the ideal date of a message to its event.
fn days_of(message: &Message, (year, month, day): Event) -> i64 {
    let event = i16::try_from(year).ok().zip(i8::try_from(month).ok()).zip(i8::try_from(day).ok());
    let event = event.and_then(|((year, month), day)| Date::new(year, month, day).ok());
    days_between(message.ideal, event.expect("messages have real event dates"))
}
