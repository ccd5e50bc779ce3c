//! Rows of `email_schedules`: those that exist, and those that a plan wants.

use std::{borrow::Cow, fmt};

use crate::{CAMPAIGN_PREFIX, Catalog, Day, FOLLOWUP_PREFIX, KindId, PlanConfig, WindowReason};

/// A row of `email_schedules` as the database has it. A column that is missing, or that holds a
/// value of another type, is `None`. Texts that are only compared come as bytes: one that is not
/// UTF-8 equals no other.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the names are the columns")]
pub struct RawRow<'a> {
    pub id: i64,
    pub email_type: Option<&'a [u8]>,
    pub scheduled_send_date: Option<&'a [u8]>,
    pub scheduled_send_time: Option<&'a [u8]>,
    pub status: Option<&'a [u8]>,
    pub skip_reason: Option<&'a [u8]>,
    pub priority: Option<i64>,
    pub campaign_instance_id: Option<i64>,
    pub email_template: Option<&'a [u8]>,
    pub sms_template: Option<&'a [u8]>,
    pub event_year: Option<i64>,
    pub event_month: Option<i64>,
    pub event_day: Option<i64>,
    pub initial_schedule_id: Option<i64>,
    pub shift_days: Option<i64>,
    /// `metadata`, for follow-ups only; others have none.
    pub metadata: Option<&'a str>,
    /// `metadata.initial_comm_log_id`.
    pub metadata_initial: Option<i64>,
    pub actual_send_datetime: Option<&'a str>,
}

/// The columns of [`RawRow`] in which rows of one sort mostly differ, see [`RowReader::read_like`].
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the names are the columns")]
pub struct VaryingColumns<'a> {
    pub id: i64,
    pub scheduled_send_date: Option<&'a [u8]>,
    pub skip_reason: Option<&'a [u8]>,
    pub event_year: Option<i64>,
    pub event_month: Option<i64>,
    pub event_day: Option<i64>,
    pub initial_schedule_id: Option<i64>,
    pub shift_days: Option<i64>,
}

/// Whose a row is, by its status (SPEC section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `pre-scheduled`: owned, will be sent.
    PreScheduled,
    /// `skipped`: owned, will not be sent.
    Skipped,
    /// Any other status: the sender has it.
    Committed {
        /// `scheduled`, `processing`, `sent` or `delivered`: counts for the volume of its day and
        /// for the frequency limit.
        counts: bool,
        /// `sent` or `delivered`: may be followed up.
        sent: bool,
    },
}

impl Status {
    /// Reads the column `status`.
    pub fn of(text: Option<&str>) -> Self {
        Self::of_bytes(text.map(str::as_bytes))
    }

    fn of_bytes(text: Option<&[u8]>) -> Self {
        match text {
            Some(b"pre-scheduled") => Self::PreScheduled,
            Some(b"skipped") => Self::Skipped,
            Some(b"sent" | b"delivered") => Self::Committed { counts: true, sent: true },
            Some(b"scheduled" | b"processing") => Self::Committed { counts: true, sent: false },
            _ => Self::Committed { counts: false, sent: false },
        }
    }

    /// Whether the scheduler may change or delete the row.
    pub fn is_owned(self) -> bool {
        !matches!(self, Self::Committed { .. })
    }
}

/// Event columns as stored, valid or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventColumns {
    /// `event_year`.
    pub year: Option<i64>,
    /// `event_month`.
    pub month: Option<i64>,
    /// `event_day`.
    pub day: Option<i64>,
}

impl EventColumns {
    /// The columns of an event on `day`.
    pub fn of(day: Day) -> Self {
        let (year, month, day) = day.civil();
        Self { year: Some(year.into()), month: Some(month.into()), day: Some(day.into()) }
    }

    /// Whether all three columns have a value.
    pub fn is_complete(&self) -> bool {
        self.year.is_some() && self.month.is_some() && self.day.is_some()
    }

    /// The date, if the columns name a real one.
    pub fn date(&self) -> Option<Day> {
        Day::from_ymd(
            i16::try_from(self.year?).ok()?,
            i8::try_from(self.month?).ok()?,
            i8::try_from(self.day?).ok()?,
        )
    }
}

/// The reason on record for a row that is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The date is excluded.
    Window(WindowReason),
    /// Too many messages to this contact within the period.
    FrequencyLimit,
    /// Another campaign message or follow-up has the day; its kind in lower case.
    LowerPriority(Box<str>),
    /// Its day passed without its being sent, and it is not planned any more.
    Expired,
}

const FREQUENCY_START: &str = "Frequency limit";
const LOWER_PRIORITY_START: &str = "Lower priority";
const LOWER_PRIORITY: (&str, &str) = ("Lower priority than ", " on the same day");
const EXPIRED: &str = "Expired before it was sent";

impl SkipReason {
    /// The text of `skip_reason`.
    pub fn text<'a>(&self, config: &PlanConfig) -> Cow<'a, str> {
        match self {
            Self::Window(reason) => reason.to_string().into(),
            Self::FrequencyLimit => format!(
                "{FREQUENCY_START}: {} emails in {} days",
                config.emails_per_period_max, config.period_days
            )
            .into(),
            Self::LowerPriority(kind) => {
                format!("{}{kind}{}", LOWER_PRIORITY.0, LOWER_PRIORITY.1).into()
            }
            Self::Expired => EXPIRED.into(),
        }
    }
}

/// The column `skip_reason` of an existing row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredReason {
    /// No reason.
    None,
    /// Exactly a text that a plan writes.
    Known(SkipReason),
    /// Begins as the reason of the frequency limit, but was written with other settings.
    OtherFrequency,
    /// Begins as the reason of lower priority, but says something else.
    OtherLowerPriority,
    /// Something else.
    Other,
}

impl StoredReason {
    fn parse(text: Option<&[u8]>, frequency_text: &str) -> Self {
        let Some(text) = text else { return Self::None };
        if let Some(reason) = WindowReason::parse(text) {
            return Self::Known(SkipReason::Window(reason));
        }
        let Ok(text) = std::str::from_utf8(text) else { return Self::Other };
        if text.starts_with(FREQUENCY_START) {
            if text == frequency_text {
                return Self::Known(SkipReason::FrequencyLimit);
            }
            return Self::OtherFrequency;
        }
        if text.starts_with(LOWER_PRIORITY_START) {
            return text
                .strip_prefix(LOWER_PRIORITY.0)
                .and_then(|rest| rest.strip_suffix(LOWER_PRIORITY.1))
                .map_or(Self::OtherLowerPriority, |kind| {
                    Self::Known(SkipReason::LowerPriority(kind.into()))
                });
        }
        if text == EXPIRED { Self::Known(SkipReason::Expired) } else { Self::Other }
    }

    /// Whether the row was skipped for the frequency limit; the reason's beginning tells.
    pub fn is_frequency(&self) -> bool {
        matches!(self, Self::OtherFrequency | Self::Known(SkipReason::FrequencyLimit))
    }

    /// Whether the row was skipped for lower priority; the reason's beginning tells.
    pub fn is_lower_priority(&self) -> bool {
        matches!(self, Self::OtherLowerPriority | Self::Known(SkipReason::LowerPriority(_)))
    }
}

/// The column `email_type` of an existing row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredKind {
    /// A kind of the catalog; campaigns with the row's own instance.
    Known(KindId),
    /// Another text, in lower case.
    Other(Box<str>),
}

/// A row of `email_schedules`, with what the planner asks of it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub struct ExistingRow {
    /// Its id.
    pub id: i64,
    /// Its kind.
    pub kind: StoredKind,
    /// Whether it is a campaign's message, known or not.
    pub is_campaign: bool,
    /// Whether it is a follow-up, known or not.
    pub is_follow_up: bool,
    /// Whose it is.
    pub status: Status,
    /// Its day, if the column holds a date.
    pub date: Option<Day>,
    /// Its reason.
    pub reason: StoredReason,
    /// `priority`.
    pub priority: Option<i64>,
    /// `campaign_instance_id`.
    pub instance_id: Option<i64>,
    /// The event columns.
    pub event: EventColumns,
    /// `initial_schedule_id`.
    pub initial_id: Option<i64>,
    /// `metadata.initial_comm_log_id`, another way to name the initial row.
    pub metadata_initial_id: Option<i64>,
    /// `shift_days`.
    pub shift_days: Option<i64>,
    /// `metadata`, for follow-ups.
    pub metadata: Option<Box<str>>,
    /// When it was sent: `actual_send_datetime`, else the scheduled date and time.
    pub sent_at: Option<Moment>,
    /// The kind is stored in lower case.
    kind_is_lower: bool,
    /// Date and time are stored exactly as a plan writes them, and the template is that of the kind.
    form_is_current: bool,
    sms: StoredSms,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoredSms {
    None,
    OfKind,
    Other,
}

/// Turns rows of the database into [`ExistingRow`]s, for one catalog and configuration.
#[derive(Clone, Debug)]
pub struct RowReader<'c> {
    catalog: &'c Catalog,
    send_time: &'c str,
    frequency_text: String,
}

impl<'c> RowReader<'c> {
    /// A reader for rows that a plan of `config` and `catalog` is compared with.
    pub fn new(config: &'c PlanConfig, catalog: &'c Catalog) -> Self {
        Self {
            catalog,
            send_time: &config.send_time,
            frequency_text: SkipReason::FrequencyLimit.text(config).into_owned(),
        }
    }

    /// Reads a row.
    pub fn read(&self, raw: &RawRow<'_>) -> ExistingRow {
        let stored = raw.email_type.unwrap_or_default();
        let mut lower = Cow::Borrowed(stored);
        if stored.iter().any(u8::is_ascii_uppercase) {
            lower = stored.to_ascii_lowercase().into();
        }
        let kind = self.catalog.find_bytes(&lower, raw.campaign_instance_id);
        if kind.is_none() && str::from_utf8(&lower).is_err() {
            lower = Cow::Borrowed(b"");
        }
        let is_follow_up = lower.starts_with(FOLLOWUP_PREFIX.as_bytes());
        let status = Status::of_bytes(raw.status);
        let date_text = raw.scheduled_send_date.unwrap_or_default();
        let date = Day::parse_bytes(date_text).ok();
        let entry = kind.map(|id| self.catalog.kind(id));
        let sms = match (raw.sms_template, entry) {
            (None, _) => StoredSms::None,
            (Some(text), Some(entry))
                if entry.sms_template.as_ref().is_some_and(|own| own.as_bytes() == text) =>
            {
                StoredSms::OfKind
            }
            _ => StoredSms::Other,
        };
        let sent_at = match status {
            Status::Committed { sent: true, .. } => {
                raw.actual_send_datetime.and_then(Moment::parse).or_else(|| {
                    let midnight = Moment::of(date?);
                    let time = raw.scheduled_send_time.and_then(|time| str::from_utf8(time).ok());
                    let time = time.unwrap_or_default();
                    Some(Moment::parse(&format!("{} {time}", date?)).unwrap_or(midnight))
                })
            }
            _ => None,
        };
        ExistingRow {
            id: raw.id,
            is_campaign: lower.starts_with(CAMPAIGN_PREFIX.as_bytes()),
            is_follow_up,
            status,
            date,
            reason: StoredReason::parse(raw.skip_reason, &self.frequency_text),
            priority: raw.priority,
            instance_id: raw.campaign_instance_id,
            event: EventColumns {
                year: raw.event_year,
                month: raw.event_month,
                day: raw.event_day,
            },
            initial_id: raw.initial_schedule_id,
            metadata_initial_id: raw.metadata_initial,
            shift_days: raw.shift_days,
            metadata: raw.metadata.map(Into::into),
            sent_at,
            kind_is_lower: matches!(lower, Cow::Borrowed(_)),
            form_is_current: date_text.len() == 10
                && raw.scheduled_send_time == Some(self.send_time.as_bytes())
                && entry.is_some_and(|entry| {
                    entry.email_template.as_deref().map(str::as_bytes) == raw.email_template
                }),
            sms,
            kind: kind.map_or_else(
                || StoredKind::Other(str::from_utf8(&lower).unwrap_or_default().into()),
                StoredKind::Known,
            ),
        }
    }
}

impl RowReader<'_> {
    /// Reads a row that differs from `known` in no other columns than these: the same as
    /// [`RowReader::read`] of the whole row, with less work.
    ///
    /// `known` was not sent and has no metadata, and its date is as long as this one.
    #[inline]
    pub fn read_like(&self, known: &ExistingRow, columns: &VaryingColumns<'_>) -> ExistingRow {
        ExistingRow {
            id: columns.id,
            kind: known.kind.clone(),
            is_campaign: known.is_campaign,
            is_follow_up: known.is_follow_up,
            status: known.status,
            date: Day::parse_bytes(columns.scheduled_send_date.unwrap_or_default()).ok(),
            reason: StoredReason::parse(columns.skip_reason, &self.frequency_text),
            priority: known.priority,
            instance_id: known.instance_id,
            event: EventColumns {
                year: columns.event_year,
                month: columns.event_month,
                day: columns.event_day,
            },
            initial_id: columns.initial_schedule_id,
            metadata_initial_id: None,
            shift_days: columns.shift_days,
            metadata: None,
            sent_at: None,
            kind_is_lower: known.kind_is_lower,
            form_is_current: known.form_is_current,
            sms: known.sms,
        }
    }
}

impl ExistingRow {
    /// The text of its kind, in lower case.
    pub fn kind_text<'a>(&'a self, catalog: &'a Catalog) -> &'a str {
        match &self.kind {
            StoredKind::Known(id) => &catalog.kind(*id).text,
            StoredKind::Other(text) => text,
        }
    }

    /// Whether the kind is stored in lower case, as plans write it.
    pub fn kind_is_lower(&self) -> bool {
        self.kind_is_lower
    }

    /// Whether the row is exactly what a plan wants, so that it is not touched.
    pub fn is(&self, wanted: &WantedRow, catalog: &Catalog) -> bool {
        let status = match &wanted.skip {
            None => self.is_planned(),
            Some(reason) => {
                self.status == Status::Skipped
                    && matches!(&self.reason, StoredReason::Known(known) if known == reason)
            }
        };
        status && self.has_content(wanted, catalog)
    }

    /// Whether the row is planned, without a reason left over.
    pub(crate) fn is_planned(&self) -> bool {
        self.status == Status::PreScheduled && self.reason == StoredReason::None
    }

    /// Whether the row is skipped for the frequency limit in force.
    pub(crate) fn is_refused(&self) -> bool {
        self.status == Status::Skipped
            && self.reason == StoredReason::Known(SkipReason::FrequencyLimit)
    }

    /// Whether the row is what a plan wants, apart from its status and reason.
    #[inline]
    pub(crate) fn has_content(&self, wanted: &WantedRow, catalog: &Catalog) -> bool {
        let sms = match self.sms {
            StoredSms::None => !wanted.sms || catalog.kind(wanted.kind).sms_template.is_none(),
            StoredSms::OfKind => wanted.sms,
            StoredSms::Other => false,
        };
        sms && self.kind == StoredKind::Known(wanted.kind)
            && self.kind_is_lower
            && self.form_is_current
            && self.date == Some(wanted.date)
            && self.priority == Some(wanted.priority)
            && self.instance_id == wanted.instance_id
            && self.event == wanted.event
            && self.initial_id == wanted.initial_id
            && self.shift_days == Some(wanted.shift_days.into())
            && self.metadata.as_deref() == wanted.metadata.as_deref()
    }
}

/// An owned row as a plan wants it (SPEC section 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRow {
    /// Kind and templates.
    pub kind: KindId,
    /// `scheduled_send_date`.
    pub date: Day,
    /// Why it is not sent; `None`: it is `pre-scheduled`.
    pub skip: Option<SkipReason>,
    /// `priority`.
    pub priority: i64,
    /// `campaign_instance_id`.
    pub instance_id: Option<i64>,
    /// The event columns.
    pub event: EventColumns,
    /// `initial_schedule_id`, for follow-ups.
    pub initial_id: Option<i64>,
    /// Days from the ideal date to the date.
    pub shift_days: i32,
    /// Whether there is an SMS as well.
    pub sms: bool,
    /// `metadata`, for follow-ups.
    pub metadata: Option<Box<str>>,
}

/// What happens to one row, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A message that has no row yet.
    Insert(WantedRow),
    /// The row of a message gets new content.
    Update {
        /// Id of the row.
        id: i64,
        /// Its new content.
        row: WantedRow,
    },
    /// The row's day passed before it was sent, and its message is no longer in the plan.
    Expire {
        /// Id of the row.
        id: i64,
    },
    /// The row is history, but its kind is not in lower case.
    LowerCase {
        /// Id of the row.
        id: i64,
    },
    /// The row is removed.
    Delete {
        /// Id of the row.
        id: i64,
        /// Why.
        why: DeleteReason,
    },
}

/// Why an owned row is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeleteReason {
    /// Its message is not in the plan any more.
    NotPlanned,
    /// Its message has already been sent or given to the sender.
    Handled,
    /// The contact is not active.
    ContactInactive,
    /// The contact cannot be written to.
    ContactInvalid,
    /// There is no such contact.
    ContactMissing,
    /// Another owned row of the same event exists.
    Duplicate,
}

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotPlanned => "no longer in the plan",
            Self::Handled => "already handled by a committed row",
            Self::ContactInactive => "the contact is inactive",
            Self::ContactInvalid => "the contact is invalid",
            Self::ContactMissing => "the contact does not exist",
            Self::Duplicate => "another row of the same event is kept",
        })
    }
}

/// A point in civil time, in microseconds since 1970-01-01 00:00; zones are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl Moment {
    /// The beginning of a day.
    pub fn of(day: Day) -> Self {
        Self(i64::from(day.number()) * MICROS_PER_DAY)
    }

    /// Reads a date with an optional time part, see [`Day::parse`]. A zone is not applied.
    pub fn parse(text: &str) -> Option<Self> {
        let day = Day::parse(text).ok()?;
        let time = text.get(11..).unwrap_or_default();
        let part = |range| time.get(range).and_then(|t: &str| t.parse::<i64>().ok()).unwrap_or(0);
        let mut micros = (part(0..2) * 60 + part(3..5)) * 60_000_000;
        if time.as_bytes().get(5) == Some(&b':') {
            micros += part(6..8) * 1_000_000;
            if time.as_bytes().get(8) == Some(&b'.') {
                let digits = time[9..].bytes().take_while(u8::is_ascii_digit).take(6);
                let mut unit = 100_000;
                for digit in digits {
                    micros += i64::from(digit - b'0') * unit;
                    unit /= 10;
                }
            }
        }
        Some(Self(Self::of(day).0 + micros))
    }

    /// The civil date.
    pub fn day(self) -> Day {
        let days = self.0.div_euclid(MICROS_PER_DAY);
        Day::new(i32::try_from(days).expect("made from a day"))
    }
}
