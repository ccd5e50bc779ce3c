//! Why a contact gets which message when: the same plan, told for one contact.

use curfew_engine::{
    Contact, ContactInput, Day, Draft, ExistingRow, Fate, Issue, KindClass, Limits, Note, Outcome,
    Placement, Planner, RawContact, Settled, SkipReason, Standing, Status, Value, Verdict,
};
use serde::Serialize;

/// A contact's plan with the reason of each step.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The contact's id.
    pub contact_id: i64,
    /// The day of the plan.
    pub today: String,
    /// `valid`, `inactive`, `invalid` or `missing`.
    pub standing: &'static str,
    /// What is wrong with the contact's data.
    pub issues: Vec<String>,
    /// The states whose rules apply.
    pub states: Vec<&'static str>,
    /// The birth date, if it is known.
    pub birth_date: Option<String>,
    /// The policy effective date, if it is known.
    pub effective_date: Option<String>,
    /// The rules that apply.
    pub rules: Vec<String>,
    /// The closed periods from 100 days before today to the horizon.
    pub closed_periods: Vec<PeriodReport>,
    /// Every message that could be considered, by ideal date.
    pub messages: Vec<MessageReport>,
    /// The contact's rows as they are now, and what a run does to them.
    pub rows: Vec<RowReport>,
}

/// A stretch of days on which nothing may go out.
#[derive(Clone, Debug, Serialize)]
pub struct PeriodReport {
    /// First day; absent if the period began more than three years ago.
    pub first: Option<String>,
    /// Last day; absent if the period lasts for more than three years.
    pub last: Option<String>,
    /// The windows that it is made of.
    pub windows: Vec<String>,
}

/// One message.
#[derive(Clone, Debug, Serialize)]
pub struct MessageReport {
    /// `email_type`.
    pub kind: String,
    /// The campaign's instance.
    pub campaign_instance_id: Option<i64>,
    /// The event date.
    pub event_date: Option<String>,
    /// The ideal date.
    pub ideal_date: String,
    /// The deadline.
    pub deadline: String,
    /// Whether the message is considered.
    pub considered: bool,
    /// The date of its row, if it is considered.
    pub date: Option<String>,
    /// `pre-scheduled` or `skipped`, if it is considered.
    pub status: Option<&'static str>,
    /// Why it is skipped.
    pub skip_reason: Option<String>,
    /// How it came to that, step by step.
    pub steps: Vec<String>,
}

/// One existing row.
#[derive(Clone, Debug, Serialize)]
pub struct RowReport {
    /// Its id.
    pub id: i64,
    /// `email_type`, in lower case.
    pub kind: String,
    /// Its date.
    pub date: Option<String>,
    /// Whether the scheduler may change it.
    pub owned: bool,
    /// What a run does to it.
    pub fate: String,
}

/// Explains one contact. `draft` must have been made with [`Draft::explain`] set.
pub fn explain(
    planner: &Planner<'_>,
    input: &ContactInput<'_>,
    draft: &Draft,
    settled: Option<Settled<'_>>,
    limits: Limits,
) -> Result<Explanation, curfew_engine::ChangedMeanwhile> {
    let outcomes = draft.outcomes(settled)?;
    let teller = Teller { planner, input, limits };
    let contact = draft.contact();
    let mut messages: Vec<MessageReport> =
        draft.notes.iter().map(|note| teller.message(note, contact, &outcomes)).collect();
    messages.sort_by(|a, b| (&a.ideal_date, &a.kind).cmp(&(&b.ideal_date, &b.kind)));
    Ok(Explanation {
        contact_id: input.id,
        today: planner.today().day.to_string(),
        standing: match draft.standing {
            Some(Standing::Valid(_)) => "valid",
            Some(Standing::Inactive) => "inactive",
            Some(Standing::Invalid) => "invalid",
            None => "missing",
        },
        issues: draft.issues.iter().map(|issue| teller.issue(*issue)).collect(),
        states: contact
            .map(|c| {
                [Some(c.state), c.second_state]
                    .into_iter()
                    .flatten()
                    .map(curfew_engine::State::code)
            })
            .into_iter()
            .flatten()
            .collect(),
        birth_date: contact.and_then(|c| Some(c.birth?.first().to_string())),
        effective_date: contact.and_then(|c| Some(c.effective?.first().to_string())),
        rules: contact.map(|contact| teller.rules(contact)).unwrap_or_default(),
        closed_periods: contact.map(|contact| teller.periods(contact)).unwrap_or_default(),
        messages,
        rows: input
            .rows
            .iter()
            .zip(&draft.fates)
            .map(|(row, fate)| teller.row(row, *fate, &outcomes))
            .collect(),
    })
}

struct Teller<'a> {
    planner: &'a Planner<'a>,
    input: &'a ContactInput<'a>,
    limits: Limits,
}

impl Teller<'_> {
    fn issue(&self, issue: Issue) -> String {
        let value = self.input.contact.as_ref().and_then(|contact| shown(contact, issue));
        match value {
            Some(value) => format!("{} {value} {issue}", issue.field),
            None => format!("{} {issue}", issue.field),
        }
    }

    fn rules(&self, contact: &Contact) -> Vec<String> {
        [Some(contact.state), contact.second_state]
            .into_iter()
            .flatten()
            .flat_map(|state| {
                let rules = self.planner.config().rules.of(state);
                rules.iter().map(move |rule| format!("{state}: {rule}"))
            })
            .collect()
    }

    fn periods(&self, contact: &Contact) -> Vec<PeriodReport> {
        let exclusions = self.planner.exclusions(contact);
        let today = self.planner.today().day;
        let last = today + i32::from(self.planner.config().horizon_days);
        let mut reports: Vec<PeriodReport> = Vec::new();
        let mut day = today - 100;
        while day <= last {
            let Some(period) = self.planner.closed_period(&exclusions, day) else {
                day += 1;
                continue;
            };
            let windows = exclusions
                .windows_between(period.first.unwrap_or(day), period.last.unwrap_or(last))
                .iter()
                .map(|window| {
                    format!(
                        "{} to {}: {} (statutory from {})",
                        window.first, window.last, window.reason, window.statutory_first
                    )
                })
                .collect();
            reports.push(PeriodReport {
                first: period.first.map(|day| day.to_string()),
                last: period.last.map(|day| day.to_string()),
                windows,
            });
            let Some(end) = period.last else { break };
            day = end + 1;
        }
        reports
    }

    fn message(
        &self,
        note: &Note,
        contact: Option<&Contact>,
        outcomes: &[Outcome<'_>],
    ) -> MessageReport {
        let kind = self.planner.catalog().kind(note.kind);
        let outcome = (note.verdict == Verdict::Considered)
            .then(|| {
                outcomes.iter().find(|outcome| {
                    let message = outcome.message;
                    message.kind == note.kind
                        && message.ideal == note.ideal
                        && message.event.date() == note.event
                        && message.initial_id == note.initial_id
                })
            })
            .flatten();
        let ideal = self.ideal_step(note, kind.class);
        let mut steps = vec![format!("{ideal}; deadline {}", note.deadline)];
        let today = self.planner.today().day;
        match note.verdict {
            Verdict::Considered => {}
            Verdict::DeadlinePast => steps.push("its deadline is past".to_owned()),
            Verdict::IdealAfterDeadline => steps.push(
                "its ideal date is after its deadline, so that it is not considered".to_owned(),
            ),
            Verdict::BeyondHorizon => steps.push(format!(
                "its ideal date is more than {} days away, so that it is not considered yet",
                self.planner.config().horizon_days
            )),
            Verdict::HandledByCommitted { row } => {
                steps.push(format!("already handled: the sender has row {row} for it"));
            }
            Verdict::HandledByOwned { row } => steps.push(format!(
                "already decided: row {row} was skipped on a day before {today} and stays on record"
            )),
        }
        if let (Some(outcome), Some(contact)) = (outcome, contact) {
            self.placement_steps(outcome, outcomes, contact, &mut steps);
        }
        let skip_reason = outcome.and_then(|outcome| self.skip_reason(outcome));
        MessageReport {
            kind: kind.text.to_string(),
            campaign_instance_id: (kind.instance_id != 0).then_some(kind.instance_id),
            event_date: note.event.map(|day| day.to_string()),
            ideal_date: note.ideal.to_string(),
            deadline: note.deadline.to_string(),
            considered: note.verdict == Verdict::Considered,
            date: outcome.map(|outcome| outcome.date.to_string()),
            status: outcome
                .map(|outcome| if outcome.is_planned() { "pre-scheduled" } else { "skipped" }),
            skip_reason,
            steps,
        }
    }

    fn ideal_step(&self, note: &Note, class: KindClass) -> String {
        let event = note.event.map_or_else(|| "an unknown day".to_owned(), |day| day.to_string());
        let ideal = note.ideal;
        let away = note.event.map_or(0, |event| event - ideal);
        match class {
            KindClass::Birthday => {
                format!("ideal date {ideal}: {away} days before the birthday on {event}")
            }
            KindClass::EffectiveDate => {
                format!(
                    "ideal date {ideal}: {away} days before the effective date's return on {event}"
                )
            }
            KindClass::Aep => format!("ideal date {ideal}: the enrollment date"),
            KindClass::PostWindow => {
                format!("ideal date {ideal}: the day after the closed period that ends on {event}")
            }
            KindClass::FollowUp(_) => format!(
                "ideal date {ideal}: {} days after the initial message was sent",
                self.planner.config().followup_delay_days
            ),
            KindClass::Campaign(_) if away == 0 => {
                format!("ideal date {ideal}: the campaign's trigger date")
            }
            KindClass::Campaign(_) => format!(
                "ideal date {ideal}: {} days {} the campaign's trigger date {event}",
                away.abs(),
                if away > 0 { "before" } else { "after" }
            ),
        }
    }

    fn placement_steps(
        &self,
        outcome: &Outcome<'_>,
        outcomes: &[Outcome<'_>],
        contact: &Contact,
        steps: &mut Vec<String>,
    ) {
        let message = outcome.message;
        let today = self.planner.today().day;
        match &message.placement {
            Placement::Excluded(reason) => {
                steps.push(format!(
                    "{} is excluded: {reason}{}",
                    message.ideal,
                    self.period_around(contact, message.ideal)
                ));
            }
            Placement::NoOpenDay { wanted, reason } => steps.push(format!(
                "late, and no open day is left: it would have gone out on {wanted}, but {reason}{}",
                self.period_around(contact, *wanted)
            )),
            Placement::Kept { planned } => {
                let row = message.row.map_or(0, |at| self.input.rows[at].id);
                let kept = message.gave_way_on.unwrap_or(message.date);
                let moved = match kept - message.ideal {
                    0 => String::new(),
                    days => format!(", where an earlier run put it, {}", away(days)),
                };
                steps.push(if *planned {
                    format!("keeps the date {kept} of its row {row}{moved}")
                } else {
                    format!("its row {row} was skipped on {kept}; it keeps that date{moved}")
                });
            }
            Placement::CaughtUp { wanted } => {
                steps.push(format!(
                    "late: its ideal date is before {today}, so that it is caught up on {wanted}"
                ));
                let date = message.gave_way_on.unwrap_or(message.date);
                if *wanted != date {
                    steps.push(format!("{wanted} is excluded; the nearest open day is {date}"));
                }
            }
            Placement::Ideal { .. } => {}
            Placement::LowerPriority { than } => steps.push(format!(
                "on {} there is also {than}, which comes first, and no later open day is free",
                message.date
            )),
        }
        if let Some(day) = message.gave_way_on {
            steps.push(format!(
                "on {day} another one comes first: moved to the next free day, {}",
                message.date
            ));
        }
        if outcome.smoothed {
            steps.push(format!(
                "more than {} effective-date messages have that ideal date: spread to {}",
                self.limits.effective_date_limit, outcome.date
            ));
        }
        if outcome.moved {
            steps.push(format!(
                "its day had more than {} messages, above the daily cap of {}: moved to {}",
                self.limits.threshold, self.limits.cap, outcome.date
            ));
        }
        if outcome.refused {
            steps.push(self.frequency_step(outcome, outcomes));
        }
        steps.push(match self.skip_reason(outcome) {
            Some(reason) => format!("skipped: {reason}"),
            None => format!("planned for {}", outcome.date),
        });
    }

    /// What a message that the frequency limit refuses would be too near to.
    fn frequency_step(&self, outcome: &Outcome<'_>, outcomes: &[Outcome<'_>]) -> String {
        let (config, catalog) = (self.planner.config(), self.planner.catalog());
        let is_near = |day: Day| (day - outcome.date).abs() < i32::from(config.period_days);
        let committed = self.input.rows.iter().filter_map(|row| {
            let counts = matches!(row.status, Status::Committed { counts: true, .. });
            let day = row.date.filter(|day| counts && !row.is_follow_up && is_near(*day))?;
            Some((day, row.kind_text(catalog), "the sender has it"))
        });
        let planned = outcomes.iter().filter_map(|other| {
            let kind = catalog.kind(other.message.kind);
            let counts = other.is_planned() && !matches!(kind.class, KindClass::FollowUp(_));
            (counts && is_near(other.date)).then_some((other.date, &*kind.text, "planned"))
        });
        let mut near: Vec<_> = committed.chain(planned).collect();
        near.sort_unstable();
        let near: Vec<String> =
            near.iter().map(|(day, kind, how)| format!("{kind} on {day} ({how})")).collect();
        format!(
            "with it on {} there would be more than {} messages within {} days; before it come {}",
            outcome.date,
            config.emails_per_period_max,
            config.period_days,
            near.join(", ")
        )
    }

    fn period_around(&self, contact: &Contact, day: Day) -> String {
        let exclusions = self.planner.exclusions(contact);
        match self.planner.closed_period(&exclusions, day) {
            None => String::new(),
            Some(period) => {
                let text = |day: Option<Day>| day.map_or("…".to_owned(), |day| day.to_string());
                format!(" (closed from {} to {})", text(period.first), text(period.last))
            }
        }
    }

    fn skip_reason(&self, outcome: &Outcome<'_>) -> Option<String> {
        let reason = match &outcome.message.placement {
            Placement::Excluded(reason) | Placement::NoOpenDay { reason, .. } => {
                SkipReason::Window(*reason)
            }
            Placement::LowerPriority { than } => SkipReason::LowerPriority(than.clone()),
            _ if outcome.refused => SkipReason::FrequencyLimit,
            _ => return None,
        };
        Some(reason.text(self.planner.config()).into_owned())
    }

    fn row(&self, row: &ExistingRow, fate: Fate, outcomes: &[Outcome<'_>]) -> RowReport {
        let fate = match fate {
            Fate::Committed => "the sender has it, it is never changed".to_owned(),
            Fate::History | Fate::HistoryLowerCase => "stays on record".to_owned(),
            Fate::Expires => "skipped: its day passed before it was sent".to_owned(),
            Fate::Deleted(why) => format!("deleted: {why}"),
            Fate::OfMessage => outcomes
                .iter()
                .find(|outcome| {
                    outcome.message.row.is_some_and(|at| self.input.rows[at].id == row.id)
                })
                .map_or_else(String::new, |outcome| {
                    let status = if outcome.is_planned() { "planned for" } else { "skipped on" };
                    let kept = row.date == Some(outcome.date)
                        && outcome.is_planned() == (row.status == Status::PreScheduled);
                    let verb = if kept { "stays" } else { "becomes" };
                    format!("{verb} {status} {}", outcome.date)
                }),
        };
        RowReport {
            id: row.id,
            kind: row.kind_text(self.planner.catalog()).to_owned(),
            date: row.date.map(|day| day.to_string()),
            owned: row.status.is_owned(),
            fate,
        }
    }
}

/// A shift in words.
fn away(days: i32) -> String {
    let unit = if days.abs() == 1 { "day" } else { "days" };
    let side = if days < 0 { "before" } else { "after" };
    format!("{} {unit} {side} its ideal date", days.abs())
}

/// The value that an issue is about, as the database has it.
fn shown(contact: &RawContact<'_>, issue: Issue) -> Option<String> {
    let value = match issue.field {
        curfew_engine::Field::Email => contact.email,
        curfew_engine::Field::ZipCode => contact.zip_code,
        curfew_engine::Field::BirthDate => contact.birth_date,
        curfew_engine::Field::EffectiveDate => contact.effective_date,
        _ => return None,
    };
    match value {
        Value::Text(text) => str::from_utf8(text).ok().map(|text| format!("{text:?}")),
        Value::Integer(number) => Some(number.to_string()),
        Value::Null | Value::Other => None,
    }
}
