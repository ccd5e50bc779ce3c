//! What holds after every run, whatever the input (SPEC section 6).

use std::collections::{BTreeMap, BTreeSet};

use curfew_engine::{Contact, Day, KindClass, Placement, Standing, Status, Tally, Verdict};

use super::{
    naive::{self, Person},
    organization::{ContactPlan, Organization, Plan, PlannedMessage, ScheduleRow},
};

/// Checks a plan that was made from `before` and led to `after`.
pub(crate) fn check(
    before: &Organization,
    plan: &Plan,
    after: &Organization,
) -> Result<(), String> {
    for contact in &plan.contacts {
        check_contact(before, plan, contact)
            .and_then(|()| check_frequency(before, contact))
            .map_err(|why| format!("contact {}: {why}", contact.id))?;
    }
    check_rows(before, plan, after)?;
    check_volume(before, plan)?;
    check_counts(plan)
}

/// What a run reports of itself is what it did.
fn check_counts(plan: &Plan) -> Result<(), String> {
    let moved = plan.messages().filter(|(_, message)| message.is_moved).count() as u64;
    require(plan.moved == moved, || format!("{} moved, but there are {moved}", plan.moved))?;
    let mut tally = Tally::default();
    for (_, message) in plan.messages() {
        let counts = match message.message.placement {
            Placement::Excluded(_) | Placement::NoOpenDay { .. } => &mut tally.excluded,
            Placement::LowerPriority { .. } => &mut tally.lower_priority,
            _ if message.is_refused => &mut tally.refused,
            _ => &mut tally.planned,
        };
        *counts.entry(message.message.kind).or_default() += 1;
    }
    require(plan.tally == tally, || format!("the tally is {:?}, not {tally:?}", plan.tally))?;
    for contact in &plan.contacts {
        for planned in &contact.messages {
            let message = &planned.message;
            let notes = contact.notes.iter().filter(|note| {
                note.verdict == Verdict::Considered
                    && (note.kind, note.ideal, note.deadline, note.event)
                        == (message.kind, message.ideal, message.deadline, message.event.date())
            });
            require(notes.count() > 0, || {
                format!("contact {}: nothing explains {message:?}", contact.id)
            })?;
        }
        let considered =
            contact.notes.iter().filter(|note| note.verdict == Verdict::Considered).count();
        require(considered == contact.messages.len(), || {
            format!("contact {}: {considered} are considered", contact.id)
        })?;
    }
    Ok(())
}

fn person(contact: &Contact) -> Person {
    Person {
        states: [Some(contact.state), contact.second_state].into_iter().flatten().collect(),
        birth: contact.birth.map(|birth| naive::date(birth.first())),
        effective: contact.effective.map(|effective| naive::date(effective.first())),
    }
}

fn valid(contact: &ContactPlan) -> Option<&Contact> {
    match &contact.standing {
        Some(Standing::Valid(contact)) => Some(contact),
        _ => None,
    }
}

fn class(plan: &Plan, message: &PlannedMessage) -> KindClass {
    plan.catalog.kind(message.message.kind).class
}

fn committed(organization: &Organization, contact: i64) -> impl Iterator<Item = &ScheduleRow> {
    organization.rows.values().filter(move |row| row.contact_id == contact && counts(row))
}

/// Whether a committed row counts for the volume of its day.
fn counts(row: &ScheduleRow) -> bool {
    matches!(Status::of(Some(&row.status)), Status::Committed { counts: true, .. })
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn check_contact(before: &Organization, plan: &Plan, contact: &ContactPlan) -> Result<(), String> {
    let Some(who) = valid(contact) else {
        return require(contact.messages.is_empty(), || "has messages, but is not valid".into());
    };
    let person = person(who);
    let config = &before.config;
    let reason_on = |day: Day| {
        naive::reason_on(&person, &config.rules, config.pre_window_days, naive::date(day))
    };
    let mut keys = BTreeSet::new();
    let mut days = BTreeSet::new();
    for planned in &contact.messages {
        let message = &planned.message;
        let kind = &plan.catalog.kind(message.kind).text;
        let key = match message.initial_id {
            Some(initial) => (Some(initial), "", None, None),
            None => (None, &**kind, message.instance_id, Some(message.event)),
        };
        require(keys.insert(key), || format!("{kind} is planned twice: {message:?}"))?;

        let reason = if message.respects_windows { reason_on(message.ideal) } else { None };
        match &message.placement {
            Placement::Excluded(given) => {
                require(reason.as_deref() == Some(&given.to_string()), || {
                    format!("{kind} is skipped for {given}, but its ideal date has {reason:?}")
                })?;
                require(planned.date == message.ideal, || {
                    format!("{kind} is not on its ideal date")
                })?;
            }
            Placement::NoOpenDay { wanted, reason: given } => {
                require(reason.is_none() && message.ideal < before.today, || {
                    format!("{kind} is not late, or excluded at its ideal date")
                })?;
                let wanted = reason_on(*wanted);
                require(wanted.as_deref() == Some(&given.to_string()), || {
                    format!("{kind} is skipped for {given}, but that day has {wanted:?}")
                })?;
                // Today only on the deadline.
                let first = i32::from(message.deadline != before.today);
                for ahead in first..=message.deadline - before.today {
                    let day = before.today + ahead;
                    require(reason_on(day).is_some(), || format!("{kind} could go out on {day}"))?;
                }
            }
            _ => require(reason.is_none(), || {
                format!("{kind}'s ideal date is excluded: {reason:?}")
            })?,
        }
        if !message.is_dated() {
            require(!planned.is_planned, || format!("{kind} is planned and skipped"))?;
            continue;
        }
        let (first, last) = (before.today, message.deadline);
        require(first <= planned.date && planned.date <= last, || {
            format!("{kind} is dated {}, outside of {first} to {last}", planned.date)
        })?;
        let reason = if message.respects_windows { reason_on(planned.date) } else { None };
        require(reason.is_none(), || format!("{kind} is on an excluded day: {reason:?}"))?;

        // Step 4: one campaign message, and one follow-up, on a day.
        let (group, of_group): (u8, fn(&ScheduleRow) -> bool) = match class(plan, planned) {
            KindClass::Campaign(_) => {
                (0, |row| row.email_type.to_ascii_lowercase().starts_with("campaign_"))
            }
            KindClass::FollowUp(_) => (1, ScheduleRow::is_follow_up),
            _ => continue,
        };
        let is_taken = !days.insert((group, planned.date))
            || committed(before, contact.id)
                .any(|row| of_group(row) && row.day() == Some(planned.date));
        require(!is_taken, || format!("{kind} is the second of its sort on {}", planned.date))?;
    }
    Ok(())
}

/// Step 6: no planned message makes a fourth one within 30 days, and a refused one would.
fn check_frequency(before: &Organization, contact: &ContactPlan) -> Result<(), String> {
    let max = usize::from(before.config.emails_per_period_max);
    let period = i32::from(before.config.period_days);
    let is_counted = |message: &PlannedMessage| message.message.initial_id.is_none();
    let accepted: Vec<Day> = contact
        .messages
        .iter()
        .filter(|message| message.is_planned && is_counted(message))
        .map(|message| message.date)
        .chain(
            committed(before, contact.id)
                .filter(|row| !row.is_follow_up())
                .filter_map(ScheduleRow::day),
        )
        .collect();
    // The most messages in any period with `day` in it, counting from each of its first days.
    let most_around = |day: Day| {
        let from = |first: Day| {
            accepted.iter().filter(|other| first <= **other && **other - first < period).count()
        };
        (0..period).map(|back| from(day - back)).max().unwrap_or(0)
    };
    for message in contact.messages.iter().filter(|message| message.message.is_dated()) {
        let most = most_around(message.date);
        if message.is_refused {
            require(is_counted(message), || "a follow-up is refused".into())?;
            require(most >= max, || {
                format!("{message:?} is refused, though there are only {most}")
            })?;
        } else if is_counted(message) && period > 0 {
            require(most <= max, || format!("{most} messages around {}", message.date))?;
        }
    }
    Ok(())
}

fn check_rows(before: &Organization, plan: &Plan, after: &Organization) -> Result<(), String> {
    for (id, row) in &before.rows {
        let Some(now) = after.rows.get(id) else {
            let duplicates = |other: &&ScheduleRow| {
                other.contact_id == row.contact_id
                    && other.email_type.eq_ignore_ascii_case(&row.email_type)
                    || other.initial_id.is_some() && other.initial_id == row.initial_id
            };
            let is_past = row.day().is_none_or(|day| day < before.today);
            let is_duplicate = before.rows.values().filter(duplicates).count() > 1;
            require(!is_past || is_duplicate, || format!("row {id} vanished without a trace"))?;
            continue;
        };
        require(row.is_owned() || row == now, || format!("row {id} of the sender was changed"))?;
        let is_history = row.status == "skipped" && row.day() < Some(before.today);
        let has_message = || plan.messages().any(|(_, message)| message.row_id == Some(*id));
        require(!is_history || row.day() == now.day() || has_message(), || {
            format!("row {id} is history, but has a new date")
        })?;
    }
    let mut wanted: BTreeMap<i64, usize> = BTreeMap::new();
    for (contact, message) in plan.messages() {
        *wanted.entry(contact).or_default() += usize::from(message.is_planned);
    }
    for (id, row) in after.rows.iter().filter(|(_, row)| row.is_planned()) {
        require(row.day() >= Some(before.today), || {
            format!("row {id} is planned for a day that is past")
        })?;
        require(row.skip_reason.is_none(), || format!("row {id} is planned, but has a reason"))?;
        let left = wanted.get_mut(&row.contact_id).filter(|left| **left > 0);
        *left.ok_or_else(|| format!("row {id} is planned, but not of a message"))? -= 1;
    }
    let missing = wanted.values().sum::<usize>();
    require(missing == 0, || format!("{missing} planned messages have no row"))?;
    for (id, row) in after.rows.iter().filter(|(_, row)| row.status == "skipped") {
        let is_new_or_changed = before.rows.get(id) != Some(row);
        require(!is_new_or_changed || row.skip_reason.is_some(), || {
            format!("row {id} is skipped without a reason")
        })?;
    }
    Ok(())
}

/// Step 5: a day stays above the threshold only where nothing on it can move.
fn check_volume(before: &Organization, plan: &Plan) -> Result<(), String> {
    let mut volume: BTreeMap<Day, u64> = BTreeMap::new();
    for row in before.rows.values().filter(|row| counts(row)) {
        if let Some(day) = row.day().filter(|day| *day >= before.today) {
            *volume.entry(day).or_default() += 1;
        }
    }
    for (_, message) in plan.messages().filter(|(_, message)| message.message.is_dated()) {
        *volume.entry(message.date).or_default() += 1;
    }
    require(volume == plan.volume, || {
        format!("the volume is {:?}, but there are {volume:?}", plan.volume)
    })?;
    let of = |day: Day| volume.get(&day).copied().unwrap_or(0);
    let (cap, threshold) = (plan.limits.cap, plan.limits.threshold);
    let above = volume.values().filter(|number| **number > threshold).count();
    require(above == plan.days_above_threshold, || format!("{above} days are above"))?;

    for contact in &plan.contacts {
        for message in contact.messages.iter().filter(|message| message.message.is_dated()) {
            if of(message.date) <= threshold || is_pinned(plan, contact, message) {
                continue;
            }
            let who = person(valid(contact).expect("it has messages"));
            let free = (1..=i32::from(before.config.max_overflow_days))
                .map(|ahead| message.date + ahead)
                .take_while(|day| *day <= message.message.deadline)
                .find(|day| {
                    let is_busy = contact
                        .messages
                        .iter()
                        .any(|other| other.message.is_dated() && other.date == *day)
                        || committed(before, contact.id).any(|row| row.day() == Some(*day));
                    let is_open = || {
                        let (rules, pre) = (&before.config.rules, before.config.pre_window_days);
                        naive::reason_on(&who, rules, pre, naive::date(*day)).is_none()
                    };
                    of(*day) < cap && !is_busy && (!message.message.respects_windows || is_open())
                });
            require(free.is_none(), || {
                let (day, id) = (message.date, contact.id);
                format!("{day} is above the threshold, but contact {id} could move to {free:?}")
            })?;
        }
    }
    Ok(())
}

/// Whether step 4 skipped a message of the same sort, so that this one is not moved.
fn is_pinned(plan: &Plan, contact: &ContactPlan, message: &PlannedMessage) -> bool {
    let sort = |message: &PlannedMessage| match class(plan, message) {
        KindClass::Campaign(_) => 1,
        KindClass::FollowUp(_) => 2,
        _ => 0,
    };
    contact.messages.iter().any(|other| {
        matches!(other.message.placement, Placement::LowerPriority { .. })
            && sort(other) == sort(message)
    })
}
