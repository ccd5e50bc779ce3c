//! What a draft holds: messages, what happens to rows, and notes for an explanation.

use crate::{
    Catalog, Contact, ContactInput, Day, DeleteReason, EventColumns, Issue, KindClass, KindId,
    SkipReason, Standing, WantedRow, WindowReason,
};

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
    /// The day that another campaign message, or follow-up, has, so that this one moved on from it.
    pub gave_way_on: Option<Day>,
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
    #[inline]
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

    /// Whether step 4 skipped this message.
    pub(crate) fn is_lower_priority(&self) -> bool {
        matches!(self.placement, Placement::LowerPriority { .. })
    }

    /// Whether step 4 skipped this message, so that the contact's others of `class` are not moved.
    pub(crate) fn pins(&self, class: KindClass, catalog: &Catalog) -> bool {
        self.is_lower_priority()
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
    /// The initial row, for follow-ups.
    pub initial_id: Option<i64>,
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

impl Draft {
    pub(super) fn clear(&mut self, input: &ContactInput<'_>) {
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

    /// Adds a message where its kind belongs, so that little is left to sort.
    pub(super) fn add(&mut self, message: Message) {
        let place = self.messages.iter().rposition(|other| other.kind <= message.kind);
        self.messages.insert(place.map_or(0, |before| before + 1), message);
    }

    /// A number that changes when what is planned for the contact changes.
    pub(crate) fn fingerprint(&self) -> u32 {
        let pair =
            |a: i32, b: i32| u64::from(a.cast_unsigned()) << 32 | u64::from(b.cast_unsigned());
        let number = |number: Option<i64>| number.map_or(u64::MAX / 3, i64::cast_unsigned);
        let mut hash = Mixer(0);
        for message in &self.messages {
            hash.add(pair(message.ideal.number(), message.deadline.number()));
            let flags = i32::from(message.kind.0) << 1 | i32::from(message.is_dated());
            hash.add(pair(message.date.number(), flags));
            // Rows are few, and years, months and days have two digits or four: each has its own bits.
            let row = message.row.map_or(u64::MAX, |row| row as u64);
            hash.add(number(message.initial_id) ^ row.rotate_left(48));
            let EventColumns { year, month, day } = message.event;
            let [month, day] = [number(month).rotate_left(48), number(day).rotate_left(32)];
            hash.add(number(year) ^ month ^ day);
        }
        // Three bits for each, which no two share.
        for fates in self.fates.chunks(21) {
            hash.add(fates.iter().fold(0, |word, fate| {
                let bits = match fate {
                    Fate::Committed => 1,
                    Fate::OfMessage => 2,
                    Fate::History => 3,
                    Fate::HistoryLowerCase => 4,
                    Fate::Expires => 5,
                    Fate::Deleted(_) => 6,
                };
                word << 3 | bits
            }));
        }
        hash.finish()
    }

    /// The contact, if it is valid and active.
    pub fn contact(&self) -> Option<&Contact> {
        match &self.standing {
            Some(Standing::Valid(contact)) => Some(contact),
            _ => None,
        }
    }
}

/// Mixes numbers, in their order, into one: a multiplication to 128 bits each, both halves used.
struct Mixer(u64);

impl Mixer {
    fn add(&mut self, number: u64) {
        // Any odd constants with irregular bits serve: these are of the golden ratio and of pi.
        let factor = u128::from(self.0 ^ 0x9e37_79b9_7f4a_7c15);
        let product = factor * u128::from(number ^ 0x243f_6a88_85a3_08d3);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        self.0 = low.rotate_left(23) ^ high;
    }

    fn finish(&self) -> u32 {
        // The upper half is as good as the whole.
        u32::try_from(self.0 >> 32).expect("32 bits are left")
    }
}
