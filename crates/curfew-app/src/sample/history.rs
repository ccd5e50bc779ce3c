//! What a sender that kept to the rules would have sent in the last year.

use curfew_engine::{Anniversary, Day, Exclusions, Today, rule::RuleTable};
use curfew_store::contacts::{AnswerRow, ClickRow, ContactsError, OrganizationWriter, SentRow};

use super::{people::Person, random::Random};

/// How far back the messages go.
const HISTORY_DAYS: i32 = 365;
/// The default of `pre_window_exclusion_days` (SPEC section 10).
const PRE_WINDOW_DAYS: i32 = 60;
const SEND_TIME: &str = "08:30:00";
/// Rows of the sender's have no run of the scheduler; this takes its place.
const RUN_ID: &str = "before-curfew";

/// How many rows were written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) sent: u64,
    pub(crate) clicks: u64,
    pub(crate) answers: u64,
}

/// Writes messages of the last year.
#[derive(Debug)]
pub(crate) struct History<'r> {
    pub(crate) rules: &'r RuleTable,
    pub(crate) today: Today,
    /// Whether messages are clicked and answered.
    pub(crate) behaviour: bool,
}

/// A kind of message, as SPEC section 5 has it.
struct Kind {
    name: &'static str,
    sms: &'static str,
    priority: i64,
}

const BIRTHDAY: Kind = Kind { name: "birthday", sms: "birthday_sms", priority: 10 };
const EFFECTIVE: Kind = Kind { name: "effective_date", sms: "effective_date_sms", priority: 20 };
const AEP: Kind = Kind { name: "aep", sms: "aep_sms", priority: 30 };
const POST_WINDOW: Kind = Kind { name: "post_window", sms: "post_window_sms", priority: 40 };

/// A message that might have been sent.
struct Message {
    kind: &'static Kind,
    event: Day,
    ideal: Day,
    deadline: Day,
    /// The first and the last day, from the ideal date on, among which senders divide such
    /// messages, so that they do not all go out at once.
    spread: (i32, i32),
}

impl History<'_> {
    /// Writes the messages of a contact who can be written to.
    pub(crate) fn write(
        &self,
        person: &Person,
        random: &mut Random,
        writer: &mut OrganizationWriter,
        written: &mut Written,
    ) -> Result<(), ContactsError> {
        let birth = person.birth.map(Anniversary::of);
        let effective = person.effective.map(Anniversary::of);
        let exclusions = Exclusions::new(
            self.rules,
            [person.state],
            birth,
            effective,
            PRE_WINDOW_DAYS,
            self.today,
        );
        // Nobody was a customer before the first policy.
        let known_since = person.effective.unwrap_or(self.today.day - HISTORY_DAYS);
        let period = self.today.day - HISTORY_DAYS..self.today.day;
        let can_send =
            |day: Day| period.contains(&day) && day > known_since && !exclusions.excludes(day);

        let mut ends: Vec<Day> = Vec::new();
        for message in self.messages(birth, effective) {
            let (first, last) = message.spread;
            let spread = first + random.days(u16::try_from(last - first + 1).unwrap_or(1));
            if exclusions.excludes(message.ideal) {
                let end = exclusions.closed_period_end(message.ideal, self.today.day);
                if let Some(end) = end
                    && !ends.contains(&end)
                    && can_send(end + 1)
                {
                    ends.push(end);
                    let ideal = end + 1;
                    let message = Message {
                        kind: &POST_WINDOW,
                        event: end,
                        ideal,
                        deadline: ideal + 30,
                        spread: (0, 0),
                    };
                    self.send(person, &message, ideal, random, writer, written)?;
                }
                continue;
            }
            let in_time = |day: &Day| *day <= message.deadline && can_send(*day);
            let days = [message.ideal + spread, message.ideal];
            if let Some(day) = days.into_iter().find(in_time) {
                self.send(person, &message, day, random, writer, written)?;
            }
        }
        Ok(())
    }

    /// The messages with an ideal date in or near the last year.
    fn messages(
        &self,
        birth: Option<Anniversary>,
        effective: Option<Anniversary>,
    ) -> impl Iterator<Item = Message> {
        let years = self.today.year - 2..=self.today.year + 1;
        let birthdays = years.clone().filter_map(move |year| {
            let event = birth?.in_year(year)?;
            Some(Message {
                kind: &BIRTHDAY,
                event,
                ideal: event - 14,
                deadline: event,
                spread: (0, 0),
            })
        });
        let renewals = years.clone().filter_map(move |year| {
            let event = effective?.in_year(year)?;
            Some(Message {
                kind: &EFFECTIVE,
                event,
                ideal: event - 30,
                deadline: event,
                spread: (-7, 7),
            })
        });
        let enrollments = years.filter_map(|year| {
            let event = Day::from_ymd(year, 9, 15)?;
            let deadline = event + 30;
            // To everybody, in the days that follow.
            Some(Message { kind: &AEP, event, ideal: event, deadline, spread: (0, 14) })
        });
        birthdays.chain(renewals).chain(enrollments)
    }

    fn send(
        &self,
        person: &Person,
        message: &Message,
        day: Day,
        random: &mut Random,
        writer: &mut OrganizationWriter,
        written: &mut Written,
    ) -> Result<(), ContactsError> {
        let Message { kind, event, ideal, .. } = message;
        let status = match random.below(100) {
            0 => "failed",
            1..=3 => "bounced",
            4..=39 => "sent",
            _ => "delivered",
        };
        writer.sent(&SentRow {
            contact_id: person.id,
            kind: kind.name,
            date: day,
            time: SEND_TIME,
            status,
            priority: kind.priority,
            email_template: kind.name,
            sms_template: person.phone.as_ref().map(|_| kind.sms),
            run_id: RUN_ID,
            event: *event,
            shift_days: day - *ideal,
        })?;
        written.sent += 1;
        if !self.behaviour {
            return Ok(());
        }
        let (clicks, answers) = (random.in_thousand(150), random.in_thousand(400));
        let after = random.days(3);
        let has_medical_conditions = random.in_thousand(300);
        let yes_count = random.below(4);
        let clicked_on = day + after;
        if !clicks || clicked_on >= self.today.day || !matches!(status, "sent" | "delivered") {
            return Ok(());
        }
        // In the afternoon: after the message also on its own day.
        let clicked_at = format!("{clicked_on} 14:05:00");
        writer.click(&ClickRow { contact_id: person.id, clicked_at: &clicked_at })?;
        written.clicks += 1;
        if answers {
            writer.answer(&AnswerRow {
                contact_id: person.id,
                created_at: &format!("{clicked_on} 14:20:00"),
                has_medical_conditions,
                main_questions_yes_count: if has_medical_conditions {
                    u8::try_from(yes_count).unwrap_or(0)
                } else {
                    0
                },
            })?;
            written.answers += 1;
        }
        Ok(())
    }
}
