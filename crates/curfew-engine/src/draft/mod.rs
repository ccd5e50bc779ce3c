//! One contact's messages (SPEC section 5), and their dates as far as they depend on that contact
//! alone (section 6, steps 1 to 4). What depends on all contacts is settled in [`crate::balance`].

mod conflict;
mod follow_up;
mod message;
mod place;
mod rows;

use smallvec::SmallVec;

pub use message::{Draft, Fate, Message, Note, Placement, Verdict};
pub use place::spreading_hash;

use crate::{
    Anniversary, Catalog, ClosedPeriod, Contact, ContactInput, Day, DeleteReason, EventColumns,
    Exclusions, ExistingRow, Issue, KindClass, KindId, PlanConfig, Problem, Standing, Status,
    StoredKind, Target, TargetStatus, Today, contact::Field,
};
use rows::{is_live, mark_duplicates};

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
    /// The enrollment dates before and after today.
    aep: [Option<(Day, EventColumns)>; 2],
    /// The instances that take part and target every contact.
    campaigns_for_all: Vec<u16>,
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
    /// Of `event`.
    columns: EventColumns,
    ideal: Day,
    deadline: Day,
    respects_windows: bool,
    also: AlsoHandledBy,
}

/// The closed period that a message waits behind: attribution by ideal date, or by the date that a
/// late message would have had.
type Attributions = SmallVec<[Day; 6]>;

impl<'c> Planner<'c> {
    /// A planner for `today`.
    pub fn new(config: &'c PlanConfig, catalog: &'c Catalog, today: Today) -> Self {
        let aep = aep_dates(config, today).map(|day| day.map(|day| (day, EventColumns::of(day))));
        let campaigns_for_all = catalog
            .campaigns()
            .iter()
            .zip(0_u16..)
            .filter(|(campaign, _)| campaign.targets_all && campaign.takes_part(today.day))
            .map(|(_, index)| index)
            .collect();
        Self { config, catalog, today, aep, campaigns_for_all }
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
            self.report_targets_without_date(input, draft);
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
        self.report_targets_without_date(input, draft);
    }

    /// A target without a date that its message could hang on is an issue, whatever the contact is.
    fn report_targets_without_date(&self, input: &ContactInput<'_>, draft: &mut Draft) {
        for target in input.targets.iter().filter(|target| self.is_targeted(target)) {
            let problem = match target.trigger {
                Ok(Some(_)) => continue,
                Ok(None) => Problem::Missing,
                Err(crate::DateError::NotReal) => Problem::NotARealDate,
                Err(crate::DateError::Malformed) => Problem::Malformed,
            };
            draft.issues.push(Issue { field: Field::TriggerDate, problem });
        }
    }

    /// Whether a target's own trigger date counts: its instance takes part and does not target all.
    fn is_targeted(&self, target: &Target) -> bool {
        target.campaign.is_some_and(|index| {
            let campaign = &self.catalog.campaigns()[usize::from(index)];
            !campaign.targets_all
                && target.status != TargetStatus::Sent
                && campaign.takes_part(self.today.day)
        })
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
        let others = draft.messages.len();
        self.campaigns(contact, &exclusions, input, draft, &mut attributions);
        let has_campaigns = draft.messages.len() > others;
        self.post_window(contact, &exclusions, input, draft, &attributions);
        let others = draft.messages.len();
        self.follow_ups(contact, &exclusions, input, draft);
        let has_follow_ups = draft.messages.len() > others;
        if has_campaigns {
            self.resolve_conflicts(
                &exclusions,
                input,
                draft,
                |row| row.is_campaign,
                |class| matches!(class, KindClass::Campaign(_)),
            );
        }
        if has_follow_ups {
            self.resolve_conflicts(
                &exclusions,
                input,
                draft,
                |row| row.is_follow_up,
                |class| matches!(class, KindClass::FollowUp(_)),
            );
        }
        draft.messages.sort_by(|a, b| {
            let rest = |message: &Message| {
                let (instance, initial) = (message.instance_id, message.initial_id);
                (instance.unwrap_or(0), initial.unwrap_or(0), message.event)
            };
            a.kind.cmp(&b.kind).then_with(|| rest(a).cmp(&rest(b)))
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
        let candidate = |(event, year): (Day, i16)| {
            let ideal = event - days_before;
            Candidate {
                kind: self.catalog.id_of(class),
                event,
                columns: anniversary.columns_in(year),
                ideal,
                deadline: event,
                respects_windows: true,
                also: AlsoHandledBy::DatedWithin(ideal - HANDLED_BEFORE_IDEAL_DAYS, event),
            }
        };
        let next = candidate(anniversary.next_with_year(self.today));
        if class == KindClass::EffectiveDate && next.ideal >= self.today.day {
            draft.effective_date_ideal = Some(next.ideal).filter(|d| !exclusions.excludes(*d));
        }
        self.consider(&next, contact, exclusions, input, draft, Some(attributions));
        if !exclusions.is_empty()
            && let Some(event) = anniversary.last_with_year(self.today)
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
        for (event, columns) in self.aep.into_iter().flatten() {
            let candidate = Candidate {
                kind: self.catalog.id_of(KindClass::Aep),
                event,
                columns,
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
        let live: SmallVec<[&Target; 4]> =
            input.targets.iter().filter(|target| self.is_targeted(target)).collect();
        for (place, target) in live.iter().enumerate() {
            let (Some(index), Ok(Some(trigger))) = (target.campaign, target.trigger) else {
                continue;
            };
            let is_twin = |other: &&Target| {
                (other.campaign, other.trigger) == (target.campaign, target.trigger)
            };
            if live[..place].iter().copied().any(|other| is_twin(&other)) {
                continue;
            }
            let candidate = self.campaign_candidate(index, trigger);
            self.consider(&candidate, contact, exclusions, input, draft, Some(attributions));
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
            columns: EventColumns::of(trigger),
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
                columns: EventColumns::of(end),
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
        let event = candidate.columns;
        let (mut own_row, mut handled) = (None, None);
        for (at, row) in input.rows.iter().enumerate().filter(|(_, row)| candidate.is_of(row)) {
            if !row.status.is_owned() {
                handled =
                    handled.or(candidate.is_handled_by(row, kind.instance_id).then_some(row.id));
            } else if own_row.is_none()
                && is_live(row, draft.fates[at])
                && candidate.is_same_event(row, kind.instance_id)
            {
                own_row = Some(at);
            }
        }
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
                initial_id: None,
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
            event,
            ideal: candidate.ideal,
            deadline: candidate.deadline,
            priority: kind.priority,
            instance_id: (kind.instance_id != 0).then_some(kind.instance_id),
            initial_id: None,
            respects_windows: candidate.respects_windows,
            row: own_row,
            placement: Placement::Ideal { spread_days: 0 },
            date: candidate.ideal,
            gave_way_on: None,
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
        draft.add(message);
    }

    /// Attributes a message that is not considered by its ideal date alone, unless it was sent.
    fn attribute_by_ideal(
        &self,
        candidate: &Candidate,
        exclusions: &Exclusions<'_>,
        input: &ContactInput<'_>,
        attributions: &mut Attributions,
    ) {
        let handles = |row: &ExistingRow| {
            !row.status.is_owned() && candidate.is_of(row) && candidate.is_handled_by(row, 0)
        };
        if !input.rows.iter().any(handles) {
            self.attribute(candidate.ideal, exclusions, attributions);
        }
    }

    fn attribute(&self, day: Day, exclusions: &Exclusions<'_>, attributions: &mut Attributions) {
        let limit = self.today.day + i32::from(self.config.horizon_days);
        if let Some(end) = exclusions.closed_period_end(day, limit) {
            attributions.push(end);
        }
    }
}

impl Candidate {
    /// Whether a row is of its kind.
    #[inline]
    fn is_of(&self, row: &ExistingRow) -> bool {
        matches!(row.kind, StoredKind::Known(kind) if kind == self.kind)
    }

    /// Whether a row of its kind is for the same event.
    #[inline]
    fn is_same_event(&self, row: &ExistingRow, instance_id: i64) -> bool {
        row.instance_id.unwrap_or(0) == instance_id && row.event == self.columns
    }

    /// Whether a committed row of its kind handles it.
    fn is_handled_by(&self, row: &ExistingRow, instance_id: i64) -> bool {
        self.is_same_event(row, instance_id)
            || match self.also {
                AlsoHandledBy::DatedWithin(first, last) => {
                    row.date.is_some_and(|date| first <= date && date <= last)
                }
                AlsoHandledBy::NoEventColumns => !row.event.is_complete(),
                AlsoHandledBy::AnyOfInstance => true,
            }
    }
}

/// The last enrollment date before today and the first one on or after it. A date that a year does
/// not have is left out.
fn aep_dates(config: &PlanConfig, today: Today) -> [Option<Day>; 2] {
    // February 29 may be eight years away, and horizon and grace days may be ten years.
    let near = today.year - 20..=today.year + 20;
    let years: Vec<i16> =
        if config.aep_years.is_empty() { near.collect() } else { config.aep_years.clone() };
    let dates = || {
        years.iter().flat_map(|year| {
            config.aep_dates.iter().filter_map(|(month, day)| Day::from_ymd(*year, *month, *day))
        })
    };
    [
        dates().filter(|date| *date < today.day).max(),
        dates().filter(|date| *date >= today.day).min(),
    ]
}
