//! Follow-ups (SPEC section 8).

use super::{Draft, Message, Note, Placement, Verdict, rows::is_live};
use crate::{
    Contact, ContactInput, Exclusions, ExistingRow, FollowUpKind, KindClass, Planner, Status,
    StoredKind, row::Moment,
};

/// A sent row that is followed up.
struct FollowedUp<'c> {
    campaign_name: Option<&'c str>,
}

impl<'c> Planner<'c> {
    /// Follow-ups (SPEC section 8).
    pub(super) fn follow_ups(
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
                let initial_id = Some(initial.id);
                draft.notes.push(Note { kind, event, initial_id, ideal, deadline, verdict });
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
                gave_way_on: None,
                metadata: Some(metadata.into()),
            };
            self.place(&mut message, contact.id, exclusions, input.rows);
            draft.add(message);
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
