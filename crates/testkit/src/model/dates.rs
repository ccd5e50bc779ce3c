//! The steps of section 6 that look at several messages: smoothing, campaigns on one date, the daily cap, frequency.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::{
    config::ModelConfig,
    database::StoredRow,
    messages::{Message, Origin, Skip, is_campaign, is_followup},
};
use crate::{
    calendar::{days_between, plus},
    periods::ClosedDays,
};

/// The numbers that the count of contacts decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages a day.
    pub cap: i64,
    /// Messages a day above which the day is relieved.
    pub threshold: i64,
    /// Effective-date messages with one ideal date above which they are smoothed.
    pub effective_dates: i64,
}

impl Limits {
    /// The limits for `contacts`, the number of rows in `contacts`.
    pub fn new(config: &ModelConfig, contacts: i64) -> Self {
        let cap = config.daily_send_percentage_cap.floor_times(contacts).max(1);
        Self {
            cap,
            threshold: config.overage_threshold.floor_times(cap),
            effective_dates: (cap * 3 / 10).min(config.ed_daily_soft_limit).max(1),
        }
    }
}

/// The whole plan while it gets its dates.
pub(crate) struct Dating<'a> {
    pub(crate) today: Date,
    pub(crate) config: &'a ModelConfig,
    pub(crate) limits: Limits,
    pub(crate) messages: Vec<Message>,
    pub(crate) closed: &'a BTreeMap<i64, ClosedDays>,
    /// All committed rows by contact, also of contacts that are not there.
    pub(crate) committed: &'a BTreeMap<i64, Vec<&'a StoredRow>>,
}

impl Dating<'_> {
    fn committed_of(&self, contact: i64) -> &[&StoredRow] {
        self.committed.get(&contact).map_or(&[], Vec::as_slice)
    }

    fn is_open(&self, message: &Message, date: Date) -> bool {
        message.is_open(&self.closed[&message.contact_id], date)
    }

    /// Step 3. `effective_ideals` are the ideal dates of all effective-date messages that count.
    pub(crate) fn smooth(&mut self, effective_ideals: &[Date]) {
        for index in 0..self.messages.len() {
            let message = &self.messages[index];
            let on_ideal_date = message.is_dated()
                && message.origin == Origin::New
                && message.ideal >= self.today
                && message.kind == "effective_date";
            if !on_ideal_date {
                continue;
            }
            let same = effective_ideals.iter().filter(|ideal| **ideal == message.ideal).count();
            if i64::try_from(same).expect("few contacts") <= self.limits.effective_dates {
                continue;
            }
            let window = self.config.ed_smoothing_window_days;
            let hash = i128::from(message.hash());
            let offset = i64::try_from(hash.rem_euclid(i128::from(window))).expect("few days");
            let date = plus(message.ideal, offset - window / 2);
            if date >= self.today && date <= message.deadline && self.is_open(message, date) {
                self.messages[index].date = date;
            }
        }
    }

    /// Step 4, for campaigns and then for follow-ups.
    pub(crate) fn one_a_day(&mut self) {
        self.one_of_a_sort_a_day(is_campaign);
        self.one_of_a_sort_a_day(is_followup);
    }

    fn one_of_a_sort_a_day(&mut self, sort: fn(&str) -> bool) {
        let contacts: Vec<i64> = self.closed.keys().copied().collect();
        for contact in contacts {
            // Moves go to later dates only, so that each date is looked at when nothing can come to it any more.
            let mut after: Option<Date> = None;
            while let Some(date) = self
                .messages
                .iter()
                .filter(|m| m.contact_id == contact && sort(&m.kind) && m.is_dated())
                .map(|m| m.date)
                .filter(|date| after.is_none_or(|after| *date > after))
                .min()
            {
                self.clear_day(contact, date, sort);
                after = Some(date);
            }
        }
    }

    fn clear_day(&mut self, contact: i64, date: Date, sort: fn(&str) -> bool) {
        let mut group: Vec<usize> = (0..self.messages.len())
            .filter(|&i| {
                let m = &self.messages[i];
                m.contact_id == contact && sort(&m.kind) && m.is_dated() && m.date == date
            })
            .collect();
        group.sort_by_key(|&i| {
            let m = &self.messages[i];
            (
                m.priority,
                m.origin != Origin::KeptFromPlanned,
                // Follow-ups go by the initial row alone.
                m.initial.map_or(m.instance, |_| None),
                m.initial,
                m.event,
            )
        });
        // Else a second run on the same day would give the day to the one that gave way in the first.
        let (first, priority) = (self.messages[group[0]].origin, self.messages[group[0]].priority);
        if first == Origin::KeptFromOutranked
            && let Some(place) = group.iter().position(|&i| {
                let m = &self.messages[i];
                m.origin == Origin::KeptFromRefused && m.priority == priority
            })
        {
            let refused = group.remove(place);
            group.insert(0, refused);
        }
        let has_day = self.committed_on(contact, date, sort);
        let kind_that_has_it = match has_day.first() {
            Some(row) => row.kind(),
            None => self.messages[group.remove(0)].kind.clone(),
        };
        for index in group {
            let message = &self.messages[index];
            let free =
                (1..=days_between(date, message.deadline)).map(|n| plus(date, n)).find(|&day| {
                    self.is_open(message, day)
                        && self.committed_on(contact, day, sort).is_empty()
                        && !self.messages.iter().any(|m| {
                            m.contact_id == contact
                                && sort(&m.kind)
                                && m.is_dated()
                                && m.date == day
                        })
                });
            match free {
                Some(day) => self.messages[index].date = day,
                None => {
                    self.messages[index].skip = Some(Skip::LowerPriority(kind_that_has_it.clone()));
                }
            }
        }
    }

    /// Committed rows of a contact on a date that count, the lowest id first.
    fn committed_on(&self, contact: i64, date: Date, sort: fn(&str) -> bool) -> Vec<&StoredRow> {
        let mut rows: Vec<&StoredRow> = self
            .committed_of(contact)
            .iter()
            .copied()
            .filter(|row| row.has_volume() && row.date() == Some(date) && sort(&row.kind()))
            .collect();
        rows.sort_by_key(|row| row.id);
        rows
    }

    /// Messages by date: committed rows that count, and dated messages.
    pub(crate) fn volumes(&self) -> BTreeMap<Date, i64> {
        let mut volumes = BTreeMap::new();
        let committed = self.committed.values().flatten().filter(|row| row.has_volume());
        let planned = self.messages.iter().filter(|m| m.is_dated()).map(|m| m.date);
        for date in committed.filter_map(|row| row.date()).chain(planned) {
            *volumes.entry(date).or_insert(0) += 1;
        }
        volumes
    }

    /// Step 5.
    pub(crate) fn relieve_full_days(&mut self) {
        let volume_on = |volumes: &BTreeMap<Date, i64>, date| volumes.get(&date).map_or(0, |n| *n);
        let mut volumes = self.volumes();
        let Some((&last, _)) = volumes.last_key_value() else { return };
        let mut date = self.today;
        // Messages move to later days, also beyond the last day that has any now.
        let end = plus(last, self.config.max_overflow_days);
        while date <= end {
            if volume_on(&volumes, date) > self.limits.threshold {
                let order = self.order_of_moving(date);
                for (only_new, enough) in [(true, self.limits.cap), (false, self.limits.threshold)]
                {
                    for &index in &order {
                        if volume_on(&volumes, date) <= enough {
                            break;
                        }
                        let message = &self.messages[index];
                        if (message.origin == Origin::New) != only_new || message.date != date {
                            continue;
                        }
                        if let Some(day) = self.relief_day(message, &volumes) {
                            *volumes.entry(date).or_insert(0) -= 1;
                            *volumes.entry(day).or_insert(0) += 1;
                            self.messages[index].date = day;
                        }
                    }
                }
            }
            date = plus(date, 1);
        }
    }

    /// The messages of a day that may be moved, in the order in which they are.
    fn order_of_moving(&self, date: Date) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.messages.len())
            .filter(|&i| {
                let message = &self.messages[i];
                message.is_dated() && message.date == date && !self.shares_a_skipped_day(message)
            })
            .collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&self.messages[a], &self.messages[b]);
            b.priority
                .cmp(&a.priority)
                .then(b.hash().cmp(&a.hash()))
                .then(b.contact_id.cmp(&a.contact_id))
                .then(a.kind.cmp(&b.kind))
                .then(a.instance.cmp(&b.instance))
                .then(a.initial.cmp(&b.initial))
                .then(a.event.cmp(&b.event))
        });
        order
    }

    /// Step 4 skipped a campaign message (a follow-up) of this campaign message's (follow-up's) contact.
    fn shares_a_skipped_day(&self, message: &Message) -> bool {
        self.messages.iter().any(|other| {
            other.contact_id == message.contact_id
                && matches!(other.skip, Some(Skip::LowerPriority(_)))
                && ((message.is_campaign() && other.is_campaign())
                    || (message.is_followup() && other.is_followup()))
        })
    }

    fn relief_day(&self, message: &Message, volumes: &BTreeMap<Date, i64>) -> Option<Date> {
        (1..=self.config.max_overflow_days).map(|n| plus(message.date, n)).find(|&day| {
            volumes.get(&day).is_none_or(|volume| *volume < self.limits.cap)
                && day <= message.deadline
                && self.is_open(message, day)
                && !self.messages.iter().any(|other| {
                    other.contact_id == message.contact_id && other.is_dated() && other.date == day
                })
                && self.committed_on(message.contact_id, day, |_| true).is_empty()
        })
    }

    /// Step 6.
    pub(crate) fn limit_frequency(&mut self) {
        let contacts: Vec<i64> = self.closed.keys().copied().collect();
        for contact in contacts {
            let mut taken: Vec<Date> = self
                .committed_of(contact)
                .iter()
                .filter(|row| row.has_volume() && !is_followup(&row.kind()))
                .filter_map(|row| row.date())
                .collect();
            let mut order: Vec<usize> = (0..self.messages.len())
                .filter(|&i| {
                    let m = &self.messages[i];
                    m.contact_id == contact && m.is_dated() && !m.is_followup()
                })
                .collect();
            order.sort_by_key(|&i| {
                let m = &self.messages[i];
                (m.priority, m.date, m.kind.clone(), m.instance, m.event)
            });
            for index in order {
                let date = self.messages[index].date;
                if self.is_too_many(&taken, date) {
                    self.messages[index].skip = Some(Skip::Frequency);
                } else {
                    taken.push(date);
                }
            }
        }
    }

    /// With one more on `date`, more than the limit would lie within one period that holds `date`.
    fn is_too_many(&self, taken: &[Date], date: Date) -> bool {
        let period = self.config.period_days;
        (1 - period..=0).any(|n| {
            let first = plus(date, n);
            let within = taken
                .iter()
                .filter(|other| (0..period).contains(&days_between(first, **other)))
                .count();
            i64::try_from(within).expect("few messages") + 1 > self.config.max_emails_per_period
        })
    }
}
