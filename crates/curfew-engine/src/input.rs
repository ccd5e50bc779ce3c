//! What the planner is given for one contact.

use crate::{Day, ExistingRow, Moment, RawContact};

/// All that a plan needs to know about one contact, with its rows in the order of their ids.
#[derive(Clone, Copy, Debug)]
pub struct ContactInput<'a> {
    /// The contact's id.
    pub id: i64,
    /// Its row in `contacts`; `None` for rows whose contact does not exist.
    pub contact: Option<RawContact<'a>>,
    /// Its rows in `email_schedules`, by id.
    pub rows: &'a [ExistingRow],
    /// Its rows in `contact_campaigns`, by id.
    pub targets: &'a [Target],
    /// What it did after messages.
    pub behaviour: &'a Behaviour,
}

/// A row of `contact_campaigns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: i64,
    /// Index of the instance in [`crate::Catalog::campaigns`]; `None` if there is no such instance.
    pub campaign: Option<u16>,
    /// `trigger_date`: `Err` if the column holds something that is not a date.
    pub trigger: Result<Option<Day>, crate::DateError>,
    /// `status`.
    pub status: TargetStatus,
}

/// The column `status` of `contact_campaigns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetStatus {
    /// `pending`: no message is planned or sent.
    Pending,
    /// `scheduled`: a message is planned.
    Scheduled,
    /// `skipped`: a message will not be sent, its row says why.
    Skipped,
    /// `sent`.
    Sent,
    /// Another text.
    Other,
}

impl TargetStatus {
    /// Reads the column.
    pub fn of(text: Option<&str>) -> Self {
        match text {
            Some("pending") => Self::Pending,
            Some("scheduled") => Self::Scheduled,
            Some("skipped") => Self::Skipped,
            Some("sent") => Self::Sent,
            _ => Self::Other,
        }
    }

    /// The text that is written; [`TargetStatus::Other`] is never written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Skipped => "skipped",
            Self::Sent => "sent",
            Self::Other => "other",
        }
    }
}

/// What a contact did (SPEC section 8), oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Rows of `tracking_clicks`.
    pub clicks: Vec<Moment>,
    /// Rows of `contact_events` with type `eligibility_answered`, by time, then by id.
    pub answers: Vec<Answer>,
}

impl Behaviour {
    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.clicks.clear();
        self.answers.clear();
    }
}

/// Answers to the health questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When they were given.
    pub at: Moment,
    /// `metadata.has_medical_conditions` is true.
    pub has_medical_conditions: bool,
    /// `metadata.main_questions_yes_count` is above 0.
    pub any_yes: bool,
}
