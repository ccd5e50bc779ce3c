//! One contact's messages (SPEC section 5), and their dates as far as they depend on that contact
//! alone (section 6, steps 1 to 4). What depends on all contacts is settled in [`crate::balance`].

use std::{
    cmp::Reverse,
    hash::{Hash as _, Hasher as _},
};

use smallvec::SmallVec;

use crate::{
    Anniversary, Catalog, ClosedPeriod, Contact, ContactInput, Day, DeleteReason, EventColumns,
    Exclusions, ExistingRow, FollowUpKind, Issue, KindClass, KindId, PlanConfig, Problem,
    SkipReason, Standing, Status, StoredKind, TargetStatus, Today, WantedRow, WindowReason,
    contact::Field, row::Moment,
};

/// Days before its ideal date in which a sent message of the same kind handles a message.
const HANDLED_BEFORE_IDEAL_DAYS: i32 = 60;
/// Days before an enrollment date in which a sent message handles it.
const AEP_HANDLED_BEFORE_DAYS: i32 = 30;
/// Days after an enrollment date in which a sent message handles it.
const AEP_HANDLED_AFTER_DAYS: i32 = 60;
/// Days after its ideal date in which a sent post-window message handles it.
const POST_WINDOW_HANDLED_AFTER_DAYS: i32 = 30;

/// Plans contact by contact, for one day, configuration and catalog.
#[derive(Clone, Debug)]
pub struct Planner<'c> {
    config: &'c PlanConfig,
    catalog: &'c Catalog,
    today: Today,
    aep_before: Option<Day>,
    aep_next: Option<Day>,
    /// The instances that take part and target every contact.
    campaigns_for_all: Vec<u16>,
}

/// What is planned for one contact before the contacts are balanced against each other.
#[derive(Debug, Default)]
pub struct Draft {
    /// The contact's id.
    pub id: i64,
    /// What the contact is, once it was looked at.
    pub standing: Option<Standing>,
    /// The considered messages, in the order that breaks ties: kind, instance, initial row, event.
    pub messages: Vec<Message>,
    /// What happens to each existing row.
    pub fates: Vec<Fate>,
    /// The status that each target must have, as far as it does not depend on balancing.
    pub issues: Vec<Issue>,
    /// The ideal date of the next effective-date message where that counts for smoothing.
    pub effective_date_ideal: Option<Day>,
    /// Collects [`Note`]s when set.
    pub explain: bool,
    /// How each message that could be considered was judged; only with `explain`.
    pub notes: Vec<Note>,
}

/// A message that is considered for a contact.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its kind.
    pub kind: KindId,
    /// Its event date as columns.
    pub event: EventColumns,
    /// The day on which it should best go out.
    pub ideal: Day,
    /// The last day on which it may go out.
    pub deadline: Day,
    /// A lower number is more important.
    pub priority: i64,
    /// `campaign_instance_id`; follow-ups inherit it.
    pub instance_id: Option<i64>,
    /// The initial row, for follow-ups.
    pub initial_id: Option<i64>,
    /// Whether exclusion windows apply.
    pub respects_windows: bool,
    /// The index of its row among the contact's rows.
    pub row: Option<usize>,
    /// How it got its date.
    pub placement: Placement,
    /// The date so far.
    pub date: Day,
    /// `metadata`, for follow-ups.
    pub metadata: Option<Box<str>>,
}

/// How a message got its date, or why it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The ideal date is excluded.
    Excluded(WindowReason),
    /// Late, and every day that is left is excluded; the reason is that of the day it would have had.
    NoOpenDay {
        /// The day it would have had.
        wanted: Day,
        /// Why that day is excluded.
        reason: WindowReason,
    },
    /// Its row keeps its date.
    Kept {
        /// Whether the row is `pre-scheduled`, not skipped.
        planned: bool,
    },
    /// Late: put on a day soon after today.
    CaughtUp {
        /// The day before windows were looked at.
        wanted: Day,
    },
    /// On its ideal date. If too many effective-date messages have that, it moves by `spread_days`.
    Ideal {
        /// 0, or where smoothing would put it.
        spread_days: i8,
    },
    /// Another campaign message or follow-up has the day, and no later day is left.
    LowerPriority {
        /// The kind of the other one.
        than: Box<str>,
    },
}

impl Message {
    /// Whether the message has a date on which it would go out.
    pub fn is_dated(&self) -> bool {
        !matches!(
            self.placement,
            Placement::Excluded(_) | Placement::NoOpenDay { .. } | Placement::LowerPriority { .. }
        )
    }

    /// Whether its date comes from its row.
    pub fn is_kept(&self) -> bool {
        matches!(self.placement, Placement::Kept { .. })
    }

    /// The row that the message wants, with its date and reason so far.
    pub(crate) fn wanted(&self, contact: &Contact) -> WantedRow {
        let skip = match &self.placement {
            Placement::Excluded(reason) | Placement::NoOpenDay { reason, .. } => {
                Some(SkipReason::Window(*reason))
            }
            Placement::LowerPriority { than } => Some(SkipReason::LowerPriority(than.clone())),
            Placement::Kept { .. } | Placement::CaughtUp { .. } | Placement::Ideal { .. } => None,
        };
        WantedRow {
            kind: self.kind,
            date: self.date,
            skip,
            priority: self.priority,
            instance_id: self.instance_id,
            event: self.event,
            initial_id: self.initial_id,
            shift_days: self.date - self.ideal,
            sms: contact.has_phone,
            metadata: self.metadata.clone(),
        }
    }

    /// Whether step 4 skipped this message, so that the contact's others of `class` are not moved.
    pub(crate) fn pins(&self, class: KindClass, catalog: &Catalog) -> bool {
        matches!(self.placement, Placement::LowerPriority { .. })
            && std::mem::discriminant(&catalog.kind(self.kind).class)
                == std::mem::discriminant(&class)
    }

    /// The year that the spreading hash takes: the event's, 0 where there are no event columns.
    pub fn hash_year(&self) -> i64 {
        self.event.year.unwrap_or(0)
    }
}

/// What happens to an existing row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The sender has it.
    Committed,
    /// It is the row of a message.
    OfMessage,
    /// It is history and stays.
    History,
    /// It is history and stays, but its kind becomes lower case.
    HistoryLowerCase,
    /// It was not sent on its day, and is not planned any more.
    Expires,
    /// It is removed.
    Deleted(DeleteReason),
}

impl Fate {
    /// Whether the row is changed or removed.
    pub(crate) fn is_change(self) -> bool {
        matches!(self, Self::HistoryLowerCase | Self::Expires | Self::Deleted(_))
    }
}

/// How a message that could be considered was judged, for an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The kind.
    pub kind: KindId,
    /// The event date, if the event columns name one.
    pub event: Option<Day>,
    /// The ideal date.
    pub ideal: Day,
    /// The deadline.
    pub deadline: Day,
    /// The judgement.
    pub verdict: Verdict,
}

/// Whether a message is considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Considered,
    /// Its deadline is past.
    DeadlinePast,
    /// Its ideal date is after its deadline.
    IdealAfterDeadline,
    /// Its ideal date is beyond the horizon.
    BeyondHorizon,
    /// The sender already has a row for it.
    HandledByCommitted {
        /// Id of that row.
        row: i64,
    },
    /// It was skipped on a past day for the frequency limit or lower priority.
    HandledByOwned {
        /// Id of that row.
        row: i64,
    },
}

/// What makes a committed row handle a message besides the same event.
#[derive(Clone, Copy)]
enum AlsoHandledBy {
    /// A row of the kind dated within these days.
    DatedWithin(Day, Day),
    /// A row of the kind and instance that has no event columns.
    NoEventColumns,
    /// Any row of the kind and instance.
    AnyOfInstance,
}

struct Candidate {
    kind: KindId,
    event: Day,
    ideal: Day,
    deadline: Day,
    respects_windows: bool,
    also: AlsoHandledBy,
}

/// A sent row that is followed up.
struct FollowedUp<'c> {
    campaign_name: Option<&'c str>,
}

/// The closed period that a message waits behind: attribution by ideal date, or by the date that a
/// late message would have had.
type Attributions = SmallVec<[Day; 6]>;

impl<'c> Planner<'c> {
    /// A planner for `today`.
    pub fn new(config: &'c PlanConfig, catalog: &'c Catalog, today: Today) -> Self {
        let (aep_before, aep_next) = aep_dates(config, today);
        let campaigns_for_all = catalog
            .campaigns()
            .iter()
            .zip(0_u16..)
            .filter(|(campaign, _)| campaign.targets_all && campaign.takes_part(today.day))
            .map(|(_, index)| index)
            .collect();
        Self { config, catalog, today, aep_before, aep_next, campaigns_for_all }
    }

    /// The configuration.
    pub fn config(&self) -> &'c PlanConfig {
        self.config
    }

    /// The catalog.
    pub fn catalog(&self) -> &'c Catalog {
        self.catalog
    }

    /// The day of the plan.
    pub fn today(&self) -> Today {
        self.today
    }

    /// The exclusions of a contact.
    pub fn exclusions(&self, contact: &Contact) -> Exclusions<'c> {
        self.exclusions_of(
            [Some(contact.state), contact.second_state],
            contact.birth,
            contact.effective,
        )
    }

    pub(crate) fn exclusions_of(
        &self,
        states: [Option<crate::State>; 2],
        birth: Option<Anniversary>,
        effective: Option<Anniversary>,
    ) -> Exclusions<'c> {
        Exclusions::new(
            &self.config.rules,
            states.into_iter().flatten(),
            birth,
            effective,
            self.config.pre_window_days.into(),
            self.today,
        )
    }

    /// The closed period around `day`, as far as it lies within three years of today.
    pub fn closed_period(&self, exclusions: &Exclusions<'_>, day: Day) -> Option<ClosedPeriod> {
        exclusions.in_closed_period(day).then(|| ClosedPeriod {
            first: exclusions.closed_period_start(day, self.today.day.min(day) - 1100),
            last: exclusions.closed_period_end(day, self.today.day.max(day) + 1100),
        })
    }

    /// Plans one contact. `draft` is overwritten; its memory is reused.
    pub fn draft(&self, input: &ContactInput<'_>, draft: &mut Draft) {
        draft.clear(input);
        mark_duplicates(input.rows, &mut draft.fates);
        let Some(raw) = input.contact else {
            self.settle_rows_without_message(input, draft, Some(DeleteReason::ContactMissing));
            return;
        };
        let standing = raw.check(self.today, |issue| draft.issues.push(issue));
        match &standing {
            Standing::Valid(contact) => {
                self.plan_messages(contact, input, draft);
                self.settle_rows_without_message(input, draft, None);
            }
            Standing::Inactive => {
                self.settle_rows_without_message(input, draft, Some(DeleteReason::ContactInactive));
            }
            Standing::Invalid => {
                self.settle_rows_without_message(input, draft, Some(DeleteReason::ContactInvalid));
            }
        }
        draft.standing = Some(standing);
    }

    fn plan_messages(&self, contact: &Contact, input: &ContactInput<'_>, draft: &mut Draft) {
        let exclusions = self.exclusions(contact);
        let mut attributions = Attributions::new();
        self.yearly(
            KindClass::Birthday,
            contact.birth,
            contact,
            &exclusions,
            input,
            draft,
            &mut attributions,
        );
        self.yearly(
            KindClass::EffectiveDate,
            contact.effective,
            contact,
            &exclusions,
            input,
            draft,
            &mut attributions,
        );
        self.aep(contact, &exclusions, input, draft, &mut attributions);
        self.campaigns(contact, &exclusions, input, draft, &mut attributions);
        self.post_window(contact, &exclusions, input, draft, &attributions);
        self.follow_ups(contact, &exclusions, input, draft);
        self.resolve_conflicts(
            &exclusions,
            input,
            draft,
            |row| row.is_campaign,
            |class| matches!(class, KindClass::Campaign(_)),
        );
        self.resolve_conflicts(
            &exclusions,
            input,
            draft,
            |row| row.is_follow_up,
            |class| matches!(class, KindClass::FollowUp(_)),
        );
        draft.messages.sort_by_key(|message| {
            let event = message.event;
            (message.kind, message.instance_id.unwrap_or(0), message.initial_id.unwrap_or(0), event)
        });
    }

    /// Birthday and effective-date messages: the next occurrence is considered, and the one before
    /// may still wait behind a closed period.
    #[expect(clippy::too_many_arguments, reason = "one step of `plan_messages`")]
    fn yearly(
        &self,
        class: KindClass,
        anniversary: Option<Anniversary>,
        contact: &Contact,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        draft: &mut Draft,
        attributions: &mut Attributions,
    ) {
        let Some(anniversary) = anniversary else { return };
        let days_before = i32::from(match class {
            KindClass::Birthday => self.config.birthday_days_before,
            _ => self.config.effective_date_days_before,
        });
        let candidate = |event: Day| {
            let ideal = event - days_before;
            Candidate {
                kind: self.catalog.id_of(class),
                event,
                ideal,
                deadline: event,
                respects_windows: true,
                also: AlsoHandledBy::DatedWithin(ideal - HANDLED_BEFORE_IDEAL_DAYS, event),
            }
        };
        let next = candidate(anniversary.next_from(self.today));
        if class == KindClass::EffectiveDate && next.ideal >= self.today.day {
            draft.effective_date_ideal = Some(next.ideal).filter(|d| !exclusions.excludes(*d));
        }
        self.consider(&next, contact, exclusions, input, draft, Some(attributions));
        if !exclusions.is_empty()
            && let Some(event) = anniversary.last_before(self.today)
        {
            self.attribute_by_ideal(&candidate(event), exclusions, input, attributions);
        }
    }

    fn aep(
        &self,
        contact: &Contact,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        draft: &mut Draft,
        attributions: &mut Attributions,
    ) {
        for event in [self.aep_before, self.aep_next].into_iter().flatten() {
            let candidate = Candidate {
                kind: self.catalog.id_of(KindClass::Aep),
                event,
                ideal: event,
                deadline: event + i32::from(self.config.grace_days),
                respects_windows: true,
                also: AlsoHandledBy::DatedWithin(
                    event - AEP_HANDLED_BEFORE_DAYS,
                    event + AEP_HANDLED_AFTER_DAYS,
                ),
            };
            self.consider(&candidate, contact, exclusions, input, draft, Some(attributions));
        }
    }

    fn campaigns(
        &self,
        contact: &Contact,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        draft: &mut Draft,
        attributions: &mut Attributions,
    ) {
        for index in &self.campaigns_for_all {
            let Some(trigger) = self.catalog.campaigns()[usize::from(*index)].active_start else {
                continue;
            };
            let candidate = self.campaign_candidate(*index, trigger);
            self.consider(&candidate, contact, exclusions, input, draft, Some(attributions));
        }
        for (place, target) in input.targets.iter().enumerate() {
            let campaign = &self.catalog.campaigns()[usize::from(target.campaign)];
            if campaign.targets_all
                || target.status == TargetStatus::Sent
                || !campaign.takes_part(self.today.day)
            {
                continue;
            }
            let problem = match target.trigger {
                Ok(Some(trigger)) => {
                    let twin = |other: &crate::Target| {
                        (other.campaign, other.trigger, other.status == TargetStatus::Sent)
                            == (target.campaign, target.trigger, false)
                    };
                    if !input.targets[..place].iter().any(twin) {
                        let candidate = self.campaign_candidate(target.campaign, trigger);
                        self.consider(
                            &candidate,
                            contact,
                            exclusions,
                            input,
                            draft,
                            Some(attributions),
                        );
                    }
                    continue;
                }
                Ok(None) => Problem::Missing,
                Err(crate::DateError::NotReal) => Problem::NotARealDate,
                Err(crate::DateError::Malformed) => Problem::Malformed,
            };
            draft.issues.push(Issue { field: Field::TriggerDate, problem });
        }
    }

    fn campaign_candidate(&self, index: u16, trigger: Day) -> Candidate {
        let campaign = &self.catalog.campaigns()[usize::from(index)];
        let ideal = trigger - campaign.days_before_event;
        let late = ideal + i32::from(self.config.grace_days);
        let deadline = match campaign.active_end {
            Some(end) if campaign.targets_all => end,
            None if campaign.targets_all => late,
            end => {
                let own = if campaign.days_before_event > 0 { trigger } else { late };
                end.map_or(own, |end| end.min(own))
            }
        };
        Candidate {
            kind: self.catalog.id_of(KindClass::Campaign(index)),
            event: trigger,
            ideal,
            deadline,
            respects_windows: campaign.respects_windows,
            also: if campaign.targets_all {
                AlsoHandledBy::AnyOfInstance
            } else {
                AlsoHandledBy::NoEventColumns
            },
        }
    }

    fn post_window(
        &self,
        contact: &Contact,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        draft: &mut Draft,
        attributions: &Attributions,
    ) {
        let (today, grace) = (self.today.day, i32::from(self.config.grace_days));
        let kind = self.catalog.id_of(KindClass::PostWindow);
        let horizon = today + i32::from(self.config.horizon_days);
        for end in exclusions.period_ends(today - grace - 1, horizon - 1) {
            let ideal = end + 1;
            let has_row = || {
                input.rows.iter().zip(&draft.fates).any(|(row, fate)| {
                    is_live(row, *fate)
                        && row.kind == StoredKind::Known(kind)
                        && row.instance_id.unwrap_or(0) == 0
                        && row.event.date() == Some(end)
                        && (row.status == Status::PreScheduled || row.reason.is_frequency())
                })
            };
            if exclusions.excludes(ideal) || !(attributions.contains(&end) || has_row()) {
                continue;
            }
            let candidate = Candidate {
                kind,
                event: end,
                ideal,
                deadline: ideal + grace,
                respects_windows: true,
                also: AlsoHandledBy::DatedWithin(
                    ideal - HANDLED_BEFORE_IDEAL_DAYS,
                    ideal + POST_WINDOW_HANDLED_AFTER_DAYS,
                ),
            };
            self.consider(&candidate, contact, exclusions, input, draft, None);
        }
    }

    /// Judges a candidate; if it is considered, gives it its date by steps 1 to 3.
    fn consider(
        &self,
        candidate: &Candidate,
        contact: &Contact,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        draft: &mut Draft,
        attributions: Option<&mut Attributions>,
    ) {
        let kind = self.catalog.kind(candidate.kind);
        let same_event = |row: &ExistingRow| {
            row.kind == StoredKind::Known(candidate.kind)
                && row.instance_id.unwrap_or(0) == kind.instance_id
                && row.event.date() == Some(candidate.event)
        };
        let own_row = input
            .rows
            .iter()
            .zip(&draft.fates)
            .position(|(row, fate)| is_live(row, *fate) && same_event(row));

        let handled = committed_row_handling(candidate, &same_event, input.rows);
        let verdict = if let Some(row) = handled {
            Verdict::HandledByCommitted { row }
        } else if candidate.deadline < self.today.day {
            Verdict::DeadlinePast
        } else if candidate.ideal > candidate.deadline {
            Verdict::IdealAfterDeadline
        } else if candidate.ideal > self.today.day + i32::from(self.config.horizon_days) {
            Verdict::BeyondHorizon
        } else if let Some(row) = own_row.filter(|at| self.is_history(&input.rows[*at])) {
            Verdict::HandledByOwned { row: input.rows[row].id }
        } else {
            Verdict::Considered
        };
        if draft.explain {
            draft.notes.push(Note {
                kind: candidate.kind,
                event: Some(candidate.event),
                ideal: candidate.ideal,
                deadline: candidate.deadline,
                verdict,
            });
        }
        match verdict {
            Verdict::Considered => {}
            Verdict::HandledByOwned { .. } | Verdict::DeadlinePast => {
                if let Some(attributions) = attributions
                    && candidate.respects_windows
                    && (verdict != Verdict::DeadlinePast || kind.class == KindClass::Aep)
                    && !matches!(kind.class, KindClass::Campaign(_))
                {
                    self.attribute(candidate.ideal, exclusions, attributions);
                }
                return;
            }
            _ => return,
        }

        let mut message = Message {
            kind: candidate.kind,
            event: EventColumns::of(candidate.event),
            ideal: candidate.ideal,
            deadline: candidate.deadline,
            priority: kind.priority,
            instance_id: (kind.instance_id != 0).then_some(kind.instance_id),
            initial_id: None,
            respects_windows: candidate.respects_windows,
            row: own_row,
            placement: Placement::Ideal { spread_days: 0 },
            date: candidate.ideal,
            metadata: None,
        };
        self.place(&mut message, contact.id, exclusions, input.rows);
        if let Some(attributions) = attributions {
            match message.placement {
                Placement::Excluded(_) => self.attribute(message.ideal, exclusions, attributions),
                Placement::NoOpenDay { wanted, .. } => {
                    self.attribute(wanted, exclusions, attributions);
                }
                _ => {}
            }
        }
        draft.messages.push(message);
    }

    /// Attributes a message that is not considered by its ideal date alone, unless it was sent.
    fn attribute_by_ideal(
        &self,
        candidate: &Candidate,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        attributions: &mut Attributions,
    ) {
        let same_event = |row: &ExistingRow| {
            row.kind == StoredKind::Known(candidate.kind)
                && row.instance_id.unwrap_or(0) == 0
                && row.event.date() == Some(candidate.event)
        };
        if committed_row_handling(candidate, &same_event, input.rows).is_none() {
            self.attribute(candidate.ideal, exclusions, attributions);
        }
    }

    fn attribute(&self, day: Day, exclusions: &Exclusions<'_>, attributions: &mut Attributions) {
        let limit = self.today.day + i32::from(self.config.horizon_days);
        if let Some(end) = exclusions.closed_period_end(day, limit) {
            attributions.push(end);
        }
    }

    /// A row skipped for the frequency limit or lower priority on a past day stays as history.
    fn is_history(&self, row: &ExistingRow) -> bool {
        row.status == Status::Skipped
            && (row.reason.is_frequency() || row.reason.is_lower_priority())
            && row.date.is_some_and(|date| date < self.today.day)
    }

    /// Steps 1 to 3 of section 6, except for the decision whether effective-date messages are
    /// spread, which depends on all contacts.
    fn place(
        &self,
        message: &mut Message,
        contact_id: i64,
        exclusions: &Exclusions<'_>,
        rows: &[ExistingRow],
    ) {
        let today = self.today.day;
        let open = |day: Day| !message.respects_windows || !exclusions.excludes(day);
        if message.respects_windows
            && let Some(reason) = exclusions.reason_on(message.ideal)
        {
            message.placement = Placement::Excluded(reason);
            return;
        }

        if let Some(row) = message.row.map(|at| &rows[at])
            && let Some(date) = row.date
            && (row.status == Status::PreScheduled
                || row.reason.is_frequency()
                || row.reason.is_lower_priority())
            && date >= today
            && date <= message.deadline
            && row.shift_days == Some((date - message.ideal).into())
            && open(date)
        {
            message.placement = Placement::Kept { planned: row.status == Status::PreScheduled };
            message.date = date;
            return;
        }

        let kind = self.catalog.kind(message.kind);
        let hash = || spreading_hash(contact_id, &kind.text, message.hash_year());
        if message.ideal < today {
            let left = u64::try_from(message.deadline - today).expect("the deadline is not past");
            let wanted = if left == 0 {
                today
            } else {
                let spread = match kind.class {
                    KindClass::FollowUp(_) => 1,
                    _ => u64::from(self.config.catch_up_spread_days),
                };
                let sum = i128::from(hash()) + i128::from(today.number());
                let offset = sum.rem_euclid(i128::from(spread.min(left)));
                today + 1 + i32::try_from(offset).expect("below the spread")
            };
            let first = if left == 0 { today } else { today + 1 };
            let later = days(wanted, message.deadline).find(|day| open(*day));
            let date = later.or_else(|| days(first, wanted - 1).rev().find(|day| open(*day)));
            if let Some(date) = date {
                message.placement = Placement::CaughtUp { wanted };
                message.date = date;
            } else {
                let reason = exclusions.reason_on(wanted).expect("the day is not open");
                message.placement = Placement::NoOpenDay { wanted, reason };
            }
        } else if kind.class == KindClass::EffectiveDate {
            let window = self.config.ed_smoothing_window_days;
            let place = hash() % u64::from(window);
            let shift = i32::try_from(place).expect("below the window") - i32::from(window / 2);
            let day = message.ideal + shift;
            if day >= today && day <= message.deadline && open(day) {
                let spread_days = i8::try_from(shift).expect("the window is at most 255 days");
                message.placement = Placement::Ideal { spread_days };
            }
        }
    }

    /// Follow-ups (SPEC section 8).
    fn follow_ups(
        &self,
        contact: &Contact,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        draft: &mut Draft,
    ) {
        for initial in input.rows {
            let (Status::Committed { sent: true, .. }, Some(sent_at)) =
                (initial.status, initial.sent_at)
            else {
                continue;
            };
            let Some(FollowedUp { campaign_name }) = self.followed_up(initial) else { continue };
            let sent_on = sent_at.day();
            let deadline = sent_on + i32::from(self.config.followup_lookback_days);
            if sent_on > self.today.day || deadline < self.today.day {
                continue;
            }
            let names_initial = |row: &ExistingRow| {
                row.initial_id == Some(initial.id) || row.metadata_initial_id == Some(initial.id)
            };
            let (follow_up, metadata) = judge_behaviour(
                sent_at,
                input,
                initial,
                initial.kind_text(self.catalog),
                campaign_name,
            );
            let kind = self.catalog.id_of(KindClass::FollowUp(follow_up));
            let ideal = sent_on + i32::from(self.config.followup_delay_days);
            let own_row = input.rows.iter().zip(&draft.fates).position(|(row, fate)| {
                is_live(row, *fate) && row.is_follow_up && row.initial_id == Some(initial.id)
            });
            let committed =
                input.rows.iter().find(|row| !row.status.is_owned() && names_initial(row));
            let verdict = if let Some(row) = committed {
                Verdict::HandledByCommitted { row: row.id }
            } else if ideal > deadline {
                Verdict::IdealAfterDeadline
            } else if ideal > self.today.day + i32::from(self.config.horizon_days) {
                Verdict::BeyondHorizon
            } else if let Some(row) = own_row.filter(|at| self.is_history(&input.rows[*at])) {
                Verdict::HandledByOwned { row: input.rows[row].id }
            } else {
                Verdict::Considered
            };
            if draft.explain {
                let event = initial.event.date();
                draft.notes.push(Note { kind, event, ideal, deadline, verdict });
            }
            if verdict != Verdict::Considered {
                continue;
            }
            let mut message = Message {
                kind,
                event: initial.event,
                ideal,
                deadline,
                priority: initial.priority.unwrap_or(self.config.priorities.followup),
                instance_id: initial.instance_id,
                initial_id: Some(initial.id),
                respects_windows: true,
                row: own_row,
                placement: Placement::Ideal { spread_days: 0 },
                date: ideal,
                metadata: Some(metadata.into()),
            };
            self.place(&mut message, contact.id, exclusions, input.rows);
            draft.messages.push(message);
        }
    }

    /// Whether a sent row is followed up; the campaign's name for a campaign's.
    fn followed_up(&self, row: &ExistingRow) -> Option<FollowedUp<'c>> {
        if row.is_campaign {
            let index = self.catalog.campaign_index(row.instance_id?)?;
            let campaign = &self.catalog.campaigns()[usize::from(index)];
            return campaign
                .follow_ups
                .then_some(FollowedUp { campaign_name: Some(&campaign.name) });
        }
        let StoredKind::Known(kind) = row.kind else { return None };
        (!matches!(self.catalog.kind(kind).class, KindClass::FollowUp(_)))
            .then_some(FollowedUp { campaign_name: None })
    }

    /// Step 4: of several campaign messages (or follow-ups) on one day one stays.
    fn resolve_conflicts(
        &self,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        draft: &mut Draft,
        is_row: fn(&ExistingRow) -> bool,
        is_class: fn(KindClass) -> bool,
    ) {
        let group: SmallVec<[usize; 8]> = (0..draft.messages.len())
            .filter(|at| {
                let message = &draft.messages[*at];
                message.is_dated() && is_class(self.catalog.kind(message.kind).class)
            })
            .collect();
        let committed = |day: Day| {
            input.rows.iter().find(|row| {
                matches!(row.status, Status::Committed { counts: true, .. })
                    && is_row(row)
                    && row.date == Some(day)
            })
        };
        if group.is_empty()
            || (group.len() == 1 && committed(draft.messages[group[0]].date).is_none())
        {
            return;
        }
        let mut dates: SmallVec<[Day; 8]> =
            group.iter().map(|at| draft.messages[*at].date).collect();
        dates.sort_unstable();
        dates.dedup();
        // Moved messages only go to days that have none, so that these dates are all to look at.
        for date in dates {
            let mut rivals: SmallVec<[usize; 8]> = group
                .iter()
                .copied()
                .filter(|at| draft.messages[*at].is_dated() && draft.messages[*at].date == date)
                .collect();
            rivals.sort_by_key(|at| {
                let message = &draft.messages[*at];
                let kept_planned = message.placement == (Placement::Kept { planned: true });
                // Follow-ups go by their initial row alone.
                let instance = match message.initial_id {
                    Some(initial) => initial,
                    None => message.instance_id.unwrap_or(0),
                };
                (message.priority, Reverse(kept_planned), instance, message.event)
            });
            let (than, movers): (Box<str>, &[usize]) = match (committed(date), rivals.split_first())
            {
                (Some(row), _) => (row.kind_text(self.catalog).into(), &rivals),
                (None, Some((stays, movers))) => {
                    let kind = draft.messages[*stays].kind;
                    (self.catalog.kind(kind).text.clone(), movers)
                }
                (None, None) => continue,
            };
            for at in movers {
                let message = &draft.messages[*at];
                let free = days(date + 1, message.deadline).find(|day| {
                    (!message.respects_windows || !exclusions.excludes(*day))
                        && committed(*day).is_none()
                        && !group.iter().any(|other| {
                            let other = &draft.messages[*other];
                            other.is_dated() && other.date == *day
                        })
                });
                match free {
                    Some(day) => draft.messages[*at].date = day,
                    None => {
                        draft.messages[*at].placement =
                            Placement::LowerPriority { than: than.clone() };
                    }
                }
            }
        }
    }

    /// Decides on every owned row that is not the row of a message.
    fn settle_rows_without_message(
        &self,
        input: &ContactInput<'_>,
        draft: &mut Draft,
        why: Option<DeleteReason>,
    ) {
        for message in &draft.messages {
            if let Some(row) = message.row {
                draft.fates[row] = Fate::OfMessage;
            }
        }
        for at in 0..input.rows.len() {
            let row = &input.rows[at];
            if draft.fates[at] != Fate::History {
                continue;
            }
            draft.fates[at] = match (row.date, row.status) {
                (Some(date), _) if date >= self.today.day => {
                    Fate::Deleted(why.unwrap_or_else(|| {
                        let handled = input
                            .rows
                            .iter()
                            .any(|other| !other.status.is_owned() && other.kind == row.kind);
                        if handled { DeleteReason::Handled } else { DeleteReason::NotPlanned }
                    }))
                }
                (_, Status::PreScheduled) => Fate::Expires,
                _ if !row.kind_is_lower() => Fate::HistoryLowerCase,
                _ => Fate::History,
            };
        }
    }
}

impl Draft {
    fn clear(&mut self, input: &ContactInput<'_>) {
        self.id = input.id;
        self.standing = None;
        self.messages.clear();
        self.issues.clear();
        self.notes.clear();
        self.effective_date_ideal = None;
        self.fates.clear();
        // Owned rows begin as history, the fate of those that nothing else is said of.
        self.fates.extend(
            input
                .rows
                .iter()
                .map(|row| if row.status.is_owned() { Fate::History } else { Fate::Committed }),
        );
    }

    /// A number that changes when what is planned for the contact changes.
    pub(crate) fn fingerprint(&self) -> u32 {
        let mut hasher = std::hash::DefaultHasher::new();
        for message in &self.messages {
            let event = (message.event, message.initial_id, message.row, message.is_dated());
            (message.kind, message.ideal, message.deadline, message.date, event).hash(&mut hasher);
        }
        for fate in &self.fates {
            std::mem::discriminant(fate).hash(&mut hasher);
        }
        // The upper half is as good as the whole.
        u32::try_from(hasher.finish() >> 32).expect("32 bits are left")
    }

    /// The contact, if it is valid and active.
    pub fn contact(&self) -> Option<&Contact> {
        match &self.standing {
            Some(Standing::Valid(contact)) => Some(contact),
            _ => None,
        }
    }
}

/// Whether an owned row takes part in planning: it is not a duplicate that goes.
fn is_live(row: &ExistingRow, fate: Fate) -> bool {
    row.status.is_owned() && fate == Fate::History
}

/// Of several owned rows of one event key one is kept: a `pre-scheduled` one before a `skipped`
/// one, then the lowest id (SPEC section 9).
fn mark_duplicates(rows: &[ExistingRow], fates: &mut [Fate]) {
    for at in 0..rows.len() {
        if !is_live(&rows[at], fates[at]) {
            continue;
        }
        let mut best = at;
        for other in at + 1..rows.len() {
            if !is_live(&rows[other], fates[other]) || !same_event_key(&rows[at], &rows[other]) {
                continue;
            }
            let rank = |i: usize| (rows[i].status != Status::PreScheduled, rows[i].id);
            let loser =
                if rank(other) < rank(best) { std::mem::replace(&mut best, other) } else { other };
            fates[loser] = Fate::Deleted(DeleteReason::Duplicate);
        }
    }
}

fn same_event_key(a: &ExistingRow, b: &ExistingRow) -> bool {
    if a.is_follow_up && b.is_follow_up && a.initial_id.is_some() {
        return a.initial_id == b.initial_id;
    }
    // Only follow-ups have an initial row: what another kind's row names is no part of its key.
    a.event.is_complete()
        && a.event == b.event
        && a.kind == b.kind
        && a.instance_id.unwrap_or(0) == b.instance_id.unwrap_or(0)
        && (!a.is_follow_up || a.initial_id == b.initial_id)
}

/// The id of a committed row that handles a message.
fn committed_row_handling(
    candidate: &Candidate,
    same_event: &impl Fn(&ExistingRow) -> bool,
    rows: &[ExistingRow],
) -> Option<i64> {
    let of_kind = |row: &ExistingRow| row.kind == StoredKind::Known(candidate.kind);
    rows.iter()
        .filter(|row| !row.status.is_owned() && of_kind(row))
        .find(|row| {
            same_event(row)
                || match candidate.also {
                    AlsoHandledBy::DatedWithin(first, last) => {
                        row.date.is_some_and(|date| first <= date && date <= last)
                    }
                    AlsoHandledBy::NoEventColumns => !row.event.is_complete(),
                    AlsoHandledBy::AnyOfInstance => true,
                }
        })
        .map(|row| row.id)
}

/// Kind and metadata of a follow-up, from what the contact did at or after the sending.
fn judge_behaviour(
    sent_at: Moment,
    input: &ContactInput<'_>,
    initial: &ExistingRow,
    initial_kind: &str,
    campaign_name: Option<&str>,
) -> (FollowUpKind, String) {
    let clicked = input.behaviour.clicks.iter().any(|at| *at >= sent_at);
    let answer = input.behaviour.answers.iter().rev().find(|answer| answer.at >= sent_at);
    let conditions = answer.is_some_and(|answer| answer.has_medical_conditions);
    let kind = match answer {
        Some(answer) if answer.has_medical_conditions || answer.any_yes => {
            FollowUpKind::AnsweredWithYes
        }
        Some(_) => FollowUpKind::AnsweredNoYes,
        None if clicked => FollowUpKind::ClickedNoAnswers,
        None => FollowUpKind::Cold,
    };
    let mut metadata = format!(
        "{{\"initial_comm_log_id\":{},\"initial_email_type\":{},\"followup_behavior\":\
         {{\"clicked\":{clicked},\"answered\":{},\"has_medical_conditions\":{conditions}}}",
        initial.id,
        json_text(initial_kind),
        answer.is_some(),
    );
    if let Some(name) = campaign_name {
        metadata.push_str(",\"campaign_name\":");
        metadata.push_str(&json_text(name));
    }
    metadata.push('}');
    (kind, metadata)
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `h` of SPEC section 6: the 64-bit FNV-1a hash of `<contact id>-<kind>-<event year>`.
///
/// ```
/// // The offset basis and prime are those of the algorithm's published 64-bit variant.
/// assert_eq!(curfew_engine::spreading_hash(1, "birthday", 2026), 0xe720_2145_2d7e_42ab);
/// ```
pub fn spreading_hash(contact_id: i64, kind: &str, event_year: i64) -> u64 {
    struct Fnv(u64);
    impl std::fmt::Write for Fnv {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for byte in text.bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
            Ok(())
        }
    }
    let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
    std::fmt::Write::write_fmt(&mut fnv, format_args!("{contact_id}-{kind}-{event_year}"))
        .expect("hashing does not fail");
    fnv.0
}

/// The days from `first` to `last`, both included; none if `last` is before `first`.
fn days(first: Day, last: Day) -> impl DoubleEndedIterator<Item = Day> {
    (first.number()..=last.number()).map(Day::new)
}

/// The last enrollment date before today and the first one on or after it.
fn aep_dates(config: &PlanConfig, today: Today) -> (Option<Day>, Option<Day>) {
    let years: Vec<i16> = if config.aep_years.is_empty() {
        (today.year - 1..=today.year + 1).collect()
    } else {
        config.aep_years.clone()
    };
    let dates = || {
        years.iter().flat_map(|year| {
            config.aep_dates.iter().map(|(month, day)| crate::day::day_in_year(*year, *month, *day))
        })
    };
    (
        dates().filter(|date| *date < today.day).max(),
        dates().filter(|date| *date >= today.day).min(),
    )
}
