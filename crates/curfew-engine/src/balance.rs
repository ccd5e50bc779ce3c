//! What depends on all contacts: smoothing counts, the daily cap, and the frequency limit after it
//! (SPEC section 6, steps 3, 5 and 6).
//!
//! The messages of millions of contacts are held as records of twelve bytes, in the order of the
//! contacts. A [`Ledger`] collects them, one for each range of contacts; [`Balance::new`] joins the
//! ledgers and settles every date. Which contacts change at all is known afterwards, so that only
//! those are planned once more and written.

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeMap,
    ops::Range,
};

use smallvec::SmallVec;

use crate::{
    Anniversary, Catalog, Contact, Day, Draft, Exclusions, ExistingRow, KindClass, KindId, Message,
    Placement, PlanConfig, Planner, State, Status, draft::spreading_hash,
};

/// How many messages a day may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What a day is brought down to when it has too many.
    pub cap: u64,
    /// What a day may have before messages are moved.
    pub threshold: u64,
    /// How many effective-date messages may have one ideal date before they are spread.
    pub effective_date_limit: u64,
}

impl Limits {
    /// The limits of an organization with this number of rows in `contacts`.
    ///
    /// ```
    /// use curfew_engine::{Limits, PlanConfig, rule::RuleTable};
    /// let limits = Limits::of(&PlanConfig::with_rules(RuleTable::empty()), 1_000);
    /// assert_eq!((limits.cap, limits.threshold, limits.effective_date_limit), (70, 84, 15));
    /// ```
    pub fn of(config: &PlanConfig, contacts: u64) -> Self {
        let cap = config.daily_cap.floor_of(contacts).max(1);
        let soft = u64::from(config.ed_daily_soft_limit);
        Self {
            cap,
            threshold: config.overage_threshold.floor_of(cap),
            effective_date_limit: crate::Decimal::new(3, 1).floor_of(cap).min(soft).max(1),
        }
    }
}

/// One dated message, or one committed row that counts.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    date: i32,
    kind: u16,
    hash_year: i16,
    /// Days from the date to the deadline, at most 65,535.
    room_days: u16,
    /// Where smoothing would move an effective-date message.
    spread_days: i8,
    flags: u8,
}

const KEPT: u8 = 1;
const COMMITTED: u8 = 1 << 1;
/// Step 4 skipped a message of this contact, so that this one is not moved.
const PINNED: u8 = 1 << 2;
/// The existing row has the content that is wanted, if the date stays.
const SAME: u8 = 1 << 3;
/// The existing row is `pre-scheduled`.
const ROW_PLANNED: u8 = 1 << 4;
/// The existing row is skipped for the frequency limit.
const ROW_REFUSED: u8 = 1 << 5;
/// The frequency limit refuses the message.
const REFUSED: u8 = 1 << 6;
/// The daily cap moved the message.
const MOVED: u8 = 1 << 7;

impl Record {
    /// The settled date.
    pub fn date(&self) -> Day {
        Day::new(self.date)
    }

    /// Whether this is a committed row rather than a message.
    pub fn is_committed(&self) -> bool {
        self.has(COMMITTED)
    }

    /// Whether the frequency limit refuses the message.
    pub fn is_refused(&self) -> bool {
        self.has(REFUSED)
    }

    /// Whether the daily cap moved the message.
    pub fn is_moved(&self) -> bool {
        self.has(MOVED)
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn kind(&self) -> KindId {
        KindId(self.kind)
    }
}

/// About so many records a contact has: birthday, effective date, enrollment.
const USUAL_RECORDS: usize = 3;

/// What a follow-up has of its own where other messages have it of their kind.
#[derive(Clone, Copy, Debug)]
struct Extra {
    record: u32,
    priority: i64,
    hash_year: i64,
}

/// A contact that has records, or something to write.
#[derive(Clone, Copy, Debug)]
struct Entry {
    first_record: u32,
    /// Changes when the contact's draft changes.
    fingerprint: u32,
}

const _: () = assert!(size_of::<Record>() == 12 && size_of::<Entry>() == 8);

/// Ascending ids, in four bytes each while they are not too far apart.
#[derive(Debug, Default)]
struct Ids {
    first: i64,
    /// What has to be added to `first`; empty once that is too much for one of them.
    offsets: Vec<u32>,
    wide: Vec<i64>,
}

impl Ids {
    fn push(&mut self, id: i64) {
        if self.wide.is_empty() {
            if self.offsets.is_empty() {
                self.first = id;
            }
            if let Ok(offset) = u32::try_from(self.first.abs_diff(id)) {
                self.offsets.push(offset);
                return;
            }
            let first = self.first;
            self.wide = self.offsets.drain(..).map(|offset| first + i64::from(offset)).collect();
            self.offsets.shrink_to_fit();
        }
        self.wide.push(id);
    }

    fn at(&self, place: usize) -> i64 {
        match self.offsets.get(place) {
            Some(offset) => self.first + i64::from(*offset),
            None => self.wide[place],
        }
    }

    fn find(&self, id: i64) -> Option<usize> {
        if self.wide.is_empty() {
            let offset = u32::try_from(id.checked_sub(self.first)?).ok()?;
            return self.offsets.binary_search(&offset).ok();
        }
        self.wide.binary_search(&id).ok()
    }
}

/// What decides on open days, for contacts whose states have rules.
#[derive(Clone, Copy, Debug)]
struct Facts {
    contact: u32,
    /// Day numbers; [`NO_DAY`] for none.
    birth: i32,
    effective: i32,
    states: [Option<State>; 2],
}

const NO_DAY: i32 = i32::MIN;

impl Facts {
    fn exclusions<'c>(&self, planner: &Planner<'c>) -> Exclusions<'c> {
        let anniversary = |day: i32| (day != NO_DAY).then(|| Anniversary::of(Day::new(day)));
        planner.exclusions_of(self.states, anniversary(self.birth), anniversary(self.effective))
    }
}

/// Collects the drafts of a range of contacts, in ascending order of their ids.
#[derive(Debug)]
pub struct Ledger {
    today: Day,
    /// Of the entries, which are in the same order.
    ids: Ids,
    entries: Vec<Entry>,
    records: Vec<Record>,
    extras: Vec<Extra>,
    facts: Vec<Facts>,
    /// Places of contacts with something to write whatever balancing decides.
    dirty: Vec<u32>,
    /// Committed messages by days from today.
    committed_volume: Vec<u32>,
    /// Effective-date messages by days from today to their ideal date.
    effective_date_ideals: Vec<u32>,
    tally: Tally,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(planner: &Planner<'_>) -> Self {
        Self::with_capacity(planner, 0)
    }

    /// An empty ledger with room for so many contacts of the usual sort; more may come.
    pub fn with_capacity(planner: &Planner<'_>, contacts: usize) -> Self {
        Self {
            today: planner.today().day,
            ids: Ids { offsets: Vec::with_capacity(contacts), ..Ids::default() },
            entries: Vec::with_capacity(contacts),
            records: Vec::with_capacity(contacts.saturating_mul(USUAL_RECORDS)),
            extras: Vec::new(),
            facts: Vec::new(),
            dirty: Vec::new(),
            committed_volume: Vec::new(),
            effective_date_ideals: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Adds a contact's draft. `dirty` says that something of the contact has to be written even if
    /// every row of a message fits.
    ///
    /// # Panics
    /// If a ledger gets more than four billion records.
    pub fn add(&mut self, planner: &Planner<'_>, draft: &Draft, rows: &[ExistingRow], dirty: bool) {
        let place = u32::try_from(self.entries.len()).expect("at most four billion contacts");
        let first_record = u32::try_from(self.records.len()).expect("at most four billion records");
        for row in rows {
            if let (Status::Committed { counts: true, .. }, Some(date)) = (row.status, row.date) {
                count(&mut self.committed_volume, date - self.today);
            }
        }
        if let Some(ideal) = draft.effective_date_ideal {
            count(&mut self.effective_date_ideals, ideal - self.today);
        }

        let mut dirty = dirty || draft.fates.iter().any(|fate| fate.is_change());
        if let Some(contact) = draft.contact() {
            let catalog = planner.catalog();
            let pins = draft.messages.iter().any(Message::is_lower_priority);
            for message in &draft.messages {
                let row = message.row.map(|at| &rows[at]);
                let wanted = message.wanted(contact);
                if !message.is_dated() {
                    dirty |= !row.is_some_and(|row| row.is(&wanted, catalog));
                    self.tally.add_undated(message);
                    continue;
                }
                let mut flags = 0;
                if message.is_kept() {
                    flags |= KEPT;
                }
                if let Some(row) = row
                    && row.has_content(&wanted, catalog)
                {
                    flags |= SAME;
                    flags |= if row.is_planned() { ROW_PLANNED } else { 0 };
                    flags |= if row.is_refused() { ROW_REFUSED } else { 0 };
                }
                let class = catalog.kind(message.kind).class;
                if pins && draft.messages.iter().any(|other| other.pins(class, catalog)) {
                    flags |= PINNED;
                }
                if let KindClass::FollowUp(_) = class {
                    self.extras.push(Extra {
                        record: record_index(self.records.len()),
                        priority: message.priority,
                        hash_year: message.hash_year(),
                    });
                }
                self.records.push(Record {
                    date: message.date.number(),
                    kind: message.kind.0,
                    hash_year: i16::try_from(message.hash_year()).unwrap_or(0),
                    room_days: u16::try_from(message.deadline - message.date).unwrap_or(u16::MAX),
                    spread_days: match message.placement {
                        Placement::Ideal { spread_days } => spread_days,
                        _ => 0,
                    },
                    flags,
                });
            }
            if self.records.len() > first_record as usize {
                self.add_committed(planner, rows);
                self.add_facts(planner, place, contact);
            }
        }
        if dirty {
            self.dirty.push(place);
        }
        if dirty || self.records.len() > first_record as usize {
            let fingerprint = draft.fingerprint();
            self.entries.push(Entry { first_record, fingerprint });
            self.ids.push(draft.id);
        }
    }

    /// Gives back memory that was kept for more contacts.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.ids.offsets.shrink_to_fit();
        self.ids.wide.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.records.shrink_to_fit();
        self.extras.shrink_to_fit();
        self.facts.shrink_to_fit();
        self.dirty.shrink_to_fit();
        self
    }

    /// Committed rows near enough to matter for the frequency limit, or for where messages move.
    fn add_committed(&mut self, planner: &Planner<'_>, rows: &[ExistingRow]) {
        let oldest = self.today - i32::from(planner.config().period_days);
        for row in rows {
            let (Status::Committed { counts: true, .. }, Some(date)) = (row.status, row.date)
            else {
                continue;
            };
            if date < oldest {
                continue;
            }
            // Of a committed row only this is asked of the kind: whether it is a follow-up.
            let class = if row.is_follow_up {
                KindClass::FollowUp(crate::FollowUpKind::Cold)
            } else {
                KindClass::Birthday
            };
            self.records.push(Record {
                date: date.number(),
                kind: planner.catalog().id_of(class).0,
                hash_year: 0,
                room_days: 0,
                spread_days: 0,
                flags: COMMITTED,
            });
        }
    }

    fn add_facts(&mut self, planner: &Planner<'_>, place: u32, contact: &Contact) {
        let states = [Some(contact.state), contact.second_state];
        let rules = &planner.config().rules;
        if states.iter().flatten().any(|state| !rules.of(*state).is_empty()) {
            self.facts.push(Facts {
                contact: place,
                birth: contact.birth.map_or(NO_DAY, |birth| birth.first().number()),
                effective: contact.effective.map_or(NO_DAY, |first| first.first().number()),
                states,
            });
        }
    }

    fn extra(&self, record: usize) -> Option<&Extra> {
        let record = record_index(record);
        let place = self.extras.binary_search_by_key(&record, |extra| extra.record).ok()?;
        Some(&self.extras[place])
    }

    fn priority(&self, record: usize, catalog: &Catalog) -> i64 {
        self.extra(record)
            .map_or_else(|| catalog.kind(self.records[record].kind()).priority, |e| e.priority)
    }

    /// The hash of a record of the contact at `place`.
    fn hash(&self, place: usize, record: usize, catalog: &Catalog) -> u64 {
        let entry = &self.records[record];
        let year = self.extra(record).map_or(entry.hash_year.into(), |extra| extra.hash_year);
        spreading_hash(self.ids.at(place), &catalog.kind(entry.kind()).text, year)
    }

    /// The records of the contact at `place`.
    fn range(&self, place: usize) -> Range<usize> {
        let end =
            self.entries.get(place + 1).map_or(self.records.len(), |e| e.first_record as usize);
        self.entries[place].first_record as usize..end
    }
}

fn record_index(index: usize) -> u32 {
    u32::try_from(index).expect("at most four billion records")
}

/// Counts a day at or after today.
fn count(counts: &mut Vec<u32>, days_from_today: i32) {
    let Ok(index) = usize::try_from(days_from_today) else { return };
    if index >= counts.len() {
        counts.resize(index + 1, 0);
    }
    counts[index] += 1;
}

/// How many messages of each kind end how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// `pre-scheduled`.
    pub planned: BTreeMap<KindId, u64>,
    /// Skipped because of an exclusion window.
    pub excluded: BTreeMap<KindId, u64>,
    /// Skipped because another message of the same day is more important.
    pub lower_priority: BTreeMap<KindId, u64>,
    /// Skipped for the frequency limit.
    pub refused: BTreeMap<KindId, u64>,
}

impl Tally {
    fn add_undated(&mut self, message: &Message) {
        let counts = match message.placement {
            Placement::LowerPriority { .. } => &mut self.lower_priority,
            _ => &mut self.excluded,
        };
        *counts.entry(message.kind).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        for (into, from) in [
            (&mut self.planned, other.planned),
            (&mut self.excluded, other.excluded),
            (&mut self.lower_priority, other.lower_priority),
            (&mut self.refused, other.refused),
        ] {
            for (kind, number) in from {
                *into.entry(kind).or_default() += number;
            }
        }
    }
}

/// The settled plan of all contacts.
#[derive(Debug)]
pub struct Balance {
    today: Day,
    limits: Limits,
    ledgers: Vec<Ledger>,
    /// Messages and committed rows by days from today.
    volume: Vec<u64>,
    moved: u64,
    tally: Tally,
}

/// A contact for which something may have to be written.
#[derive(Clone, Copy, Debug)]
pub struct Changed<'b> {
    /// The contact's id.
    pub id: i64,
    /// Its settled records.
    pub settled: Settled<'b>,
}

/// What balancing decided for one contact.
#[derive(Clone, Copy, Debug)]
pub struct Settled<'b> {
    pub(crate) records: &'b [Record],
    pub(crate) fingerprint: u32,
}

impl Balance {
    /// Joins ledgers, whose contacts ascend from one to the next, and settles every date.
    ///
    /// # Panics
    /// With more than 65,535 ledgers.
    pub fn new(planner: &Planner<'_>, mut ledgers: Vec<Ledger>, limits: Limits) -> Self {
        assert!(u16::try_from(ledgers.len()).is_ok(), "at most 65,535 ledgers");
        let today = planner.today().day;
        smooth_effective_dates(&mut ledgers, limits);
        let mut volume = total_volume(&ledgers, today);
        let moved = move_overflow(planner, &mut ledgers, limits, &mut volume);
        let mut tally = Tally::default();
        for ledger in &mut ledgers {
            ledger.settle_frequency(planner);
            tally.add(std::mem::take(&mut ledger.tally));
        }
        Self { today, limits, ledgers, volume, moved, tally }
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many messages the daily cap moved.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// How many messages of each kind end how.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Every day from today on that has messages or counting committed rows, with their number.
    /// Messages that the frequency limit refuses are still in it, as the daily cap comes first.
    pub fn volume(&self) -> impl Iterator<Item = (Day, u64)> + '_ {
        (0_i32..)
            .zip(&self.volume)
            .filter(|(_, number)| **number > 0)
            .map(|(index, number)| (self.today + index, *number))
    }

    /// How many days remain above the threshold.
    pub fn days_above_threshold(&self) -> usize {
        self.volume.iter().filter(|number| **number > self.limits.threshold).count()
    }

    /// The contacts for which something may have to be written, in ascending order of their ids.
    pub fn changed(&self) -> impl Iterator<Item = Changed<'_>> {
        self.ledgers.iter().flat_map(|ledger| {
            ledger.dirty.iter().map(|place| Changed {
                id: ledger.ids.at(*place as usize),
                settled: ledger.settled(*place as usize),
            })
        })
    }

    /// How many contacts [`Balance::changed`] gives.
    pub fn changed_count(&self) -> usize {
        self.ledgers.iter().map(|ledger| ledger.dirty.len()).sum()
    }

    /// What was decided for a contact; `None` if it has no dated message and nothing to write.
    pub fn settled(&self, contact_id: i64) -> Option<Settled<'_>> {
        self.ledgers.iter().find_map(|ledger| {
            let place = ledger.ids.find(contact_id)?;
            Some(ledger.settled(place))
        })
    }
}

/// Step 3: where too many effective-date messages have one ideal date, the new ones are spread.
fn smooth_effective_dates(ledgers: &mut [Ledger], limits: Limits) {
    let mut ideals: Vec<u64> = Vec::new();
    for ledger in &mut *ledgers {
        add_counts(&mut ideals, &ledger.effective_date_ideals);
    }
    for ledger in ledgers {
        let today = ledger.today.number();
        for record in ledger.records.iter_mut().filter(|record| record.spread_days != 0) {
            let index =
                usize::try_from(record.date - today).expect("not late, so not before today");
            if ideals.get(index).is_some_and(|number| *number > limits.effective_date_limit) {
                record.date += i32::from(record.spread_days);
                // The spread date was checked to be within the deadline.
                let room = i32::from(record.room_days) - i32::from(record.spread_days);
                record.room_days = u16::try_from(room).unwrap_or(u16::MAX);
            }
        }
    }
}

fn add_counts(into: &mut Vec<u64>, from: &[u32]) {
    if from.len() > into.len() {
        into.resize(from.len(), 0);
    }
    for (sum, number) in into.iter_mut().zip(from) {
        *sum += u64::from(*number);
    }
}

fn total_volume(ledgers: &[Ledger], today: Day) -> Vec<u64> {
    let mut volume = Vec::new();
    for ledger in ledgers {
        add_counts(&mut volume, &ledger.committed_volume);
        for record in ledger.records.iter().filter(|record| !record.is_committed()) {
            let index =
                usize::try_from(record.date() - today).expect("messages are not in the past");
            if index >= volume.len() {
                volume.resize(index + 1, 0);
            }
            volume[index] += 1;
        }
    }
    volume
}

/// A message of an overfull day: millions have to be sorted at once.
#[derive(Clone, Copy)]
struct Overflow {
    hash: u64,
    record: u32,
    /// Places of its contact's [`Entry`] and [`Facts`]; [`NO_FACTS`] for none. They are noted while all
    /// are passed in order: later on each would have to be searched in memory that no cache holds.
    contact: u32,
    facts: u32,
    /// Index of its [`Rank`].
    rank: u16,
    ledger: u16,
}

const NO_FACTS: u32 = u32::MAX;

const _: () = assert!(size_of::<Overflow>() == 24);

/// What decides first which messages of an overfull day move: those that keep their date last, the
/// less important first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    kept: bool,
    priority: Reverse<i64>,
}

/// The ranks that occur, numbered in their order.
struct Ranks(Vec<Rank>);

impl Ranks {
    fn of(ledgers: &[Ledger], catalog: &Catalog) -> Self {
        let priorities = catalog.kinds().map(|kind| kind.priority);
        let own = ledgers.iter().flat_map(|ledger| ledger.extras.iter().map(|e| e.priority));
        let mut ranks: Vec<Rank> = Vec::new();
        let mut last = None;
        for priority in priorities.chain(own) {
            if last.replace(priority) == Some(priority) {
                continue;
            }
            for kept in [false, true] {
                let rank = Rank { kept, priority: Reverse(priority) };
                if let Err(place) = ranks.binary_search(&rank) {
                    ranks.insert(place, rank);
                }
            }
        }
        Self(ranks)
    }

    /// Saturates: beyond the first 65,535 the ranks have to be looked at themselves.
    fn number(&self, rank: Rank) -> u16 {
        let place = self.0.binary_search(&rank).expect("all that occur were collected");
        u16::try_from(place).unwrap_or(u16::MAX)
    }
}

impl Overflow {
    fn compare(&self, other: &Self, ledgers: &[Ledger], catalog: &Catalog) -> Ordering {
        let rank = |m: &Self| {
            let ledger = &ledgers[usize::from(m.ledger)];
            let kept = ledger.records[m.record as usize].has(KEPT);
            Rank { kept, priority: Reverse(ledger.priority(m.record as usize, catalog)) }
        };
        let contact = |m: &Self| {
            let ledger = &ledgers[usize::from(m.ledger)];
            Reverse(ledger.ids.at(m.contact as usize))
        };
        self.rank
            .cmp(&other.rank)
            .then_with(|| match self.rank {
                u16::MAX => rank(self).cmp(&rank(other)),
                _ => Ordering::Equal,
            })
            .then_with(|| other.hash.cmp(&self.hash))
            .then_with(|| contact(self).cmp(&contact(other)))
            // Records are in the order of kind, instance, initial row and event within a contact.
            .then_with(|| (self.ledger, self.record).cmp(&(other.ledger, other.record)))
    }
}

/// Days are looked at together while they have at most so many messages, to bound the memory.
const OVERFLOW_MAX: u64 = 2_000_000;

/// Step 5: days above the threshold give messages to later days. Returns how many moved.
///
/// Messages only move to days below the cap, so no day becomes overfull by it.
fn move_overflow(
    planner: &Planner<'_>,
    ledgers: &mut [Ledger],
    limits: Limits,
    volume: &mut Vec<u64>,
) -> u64 {
    let overfull: Vec<(usize, u64)> = volume
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, number)| *number > limits.threshold)
        .collect();
    if overfull.is_empty() {
        return 0;
    }
    let ranks = Ranks::of(ledgers, planner.catalog());
    let mut moved = 0;
    let mut left = overfull.as_slice();
    while !left.is_empty() {
        let mut sum = 0;
        let fitting = left
            .iter()
            .take_while(|(_, number)| {
                sum += number;
                sum <= OVERFLOW_MAX
            })
            .count();
        let (days, rest) = left.split_at(fitting.max(1));
        left = rest;
        for (day, messages) in messages_of(days, ledgers, &ranks, planner) {
            moved += move_day(day, &messages, ledgers, limits, volume, planner);
        }
    }
    while volume.last() == Some(&0) {
        volume.pop();
    }
    moved
}

/// The messages that may leave these days, in the order in which they do.
fn messages_of(
    days: &[(usize, u64)],
    ledgers: &[Ledger],
    ranks: &Ranks,
    planner: &Planner<'_>,
) -> Vec<(usize, Vec<Overflow>)> {
    let catalog = planner.catalog();
    let today = planner.today().day.number();
    let (first, last) = (days[0].0, days[days.len() - 1].0);
    // By days from the first one.
    let mut by_day: Vec<Option<Vec<Overflow>>> = vec![None; last - first + 1];
    for (day, _) in days {
        by_day[day - first] = Some(Vec::new());
    }
    for (number, ledger) in (0_u16..).zip(ledgers) {
        let mut facts = (0..).zip(&ledger.facts).peekable();
        for place in 0..ledger.entries.len() {
            let contact = record_index(place);
            let facts = facts
                .next_if(|(_, facts)| facts.contact == contact)
                .map_or(NO_FACTS, |(facts, _)| facts);
            for index in ledger.range(place) {
                let record = &ledger.records[index];
                let day = usize::try_from(record.date - today).ok();
                let Some(messages) = day
                    .and_then(|day| by_day.get_mut(day.checked_sub(first)?)?.as_mut())
                    .filter(|_| !record.has(COMMITTED | PINNED))
                else {
                    continue;
                };
                messages.push(Overflow {
                    hash: ledger.hash(place, index, catalog),
                    record: record_index(index),
                    contact,
                    facts,
                    rank: ranks.number(Rank {
                        kept: record.has(KEPT),
                        priority: Reverse(ledger.priority(index, catalog)),
                    }),
                    ledger: number,
                });
            }
        }
    }
    (first..)
        .zip(by_day)
        .filter_map(|(day, messages)| {
            let mut messages = messages?;
            messages.sort_unstable_by(|a, b| a.compare(b, ledgers, catalog));
            Some((day, messages))
        })
        .collect()
}

/// Moves messages from the day that lies `from` days after today. Returns how many moved.
fn move_day(
    from: usize,
    messages: &[Overflow],
    ledgers: &mut [Ledger],
    limits: Limits,
    volume: &mut Vec<u64>,
    planner: &Planner<'_>,
) -> u64 {
    let last = from + usize::from(planner.config().max_overflow_days);
    if volume.len() <= last {
        volume.resize(last + 1, 0);
    }
    let mut moved = 0;
    let mut first_free = from + 1;
    for message in messages {
        let ledger = &mut ledgers[usize::from(message.ledger)];
        let record = message.record as usize;
        let kept = ledger.records[record].has(KEPT);
        let enough = if kept { limits.threshold } else { limits.cap };
        if volume[from] <= enough {
            if kept {
                break;
            }
            continue;
        }
        while first_free <= last && volume[first_free] >= limits.cap {
            first_free += 1;
        }
        let room_days = usize::from(ledger.records[record].room_days);
        let to = (first_free..=last.min(from + room_days))
            .find(|to| volume[*to] < limits.cap && ledger.may_move(message, *to - from, planner));
        if let Some(to) = to {
            ledger.move_by(record, to - from);
            volume[from] -= 1;
            volume[to] += 1;
            moved += 1;
        }
    }
    moved
}

impl Ledger {
    fn settled(&self, place: usize) -> Settled<'_> {
        Settled {
            records: &self.records[self.range(place)],
            fingerprint: self.entries[place].fingerprint,
        }
    }

    /// Whether a message may go out this many days later, which is not after its deadline: on an open
    /// day on which the contact has nothing else.
    fn may_move(&self, message: &Overflow, days: usize, planner: &Planner<'_>) -> bool {
        let record = &self.records[message.record as usize];
        let date = record.date + i32::try_from(days).expect("at most max_overflow_days");
        if self.range(message.contact as usize).any(|other| self.records[other].date == date) {
            return false;
        }
        let respects_windows = match planner.catalog().kind(record.kind()).class {
            KindClass::Campaign(campaign) => {
                planner.catalog().campaigns()[usize::from(campaign)].respects_windows
            }
            _ => true,
        };
        !respects_windows
            || self
                .facts
                .get(message.facts as usize)
                .is_none_or(|facts| !facts.exclusions(planner).excludes(Day::new(date)))
    }

    fn move_by(&mut self, index: usize, days: usize) {
        let record = &mut self.records[index];
        record.date += i32::try_from(days).expect("at most max_overflow_days");
        record.room_days -= u16::try_from(days).expect("checked by `may_move`");
        record.flags = (record.flags | MOVED) & !SAME;
    }

    /// Step 6 for every contact; also finds the contacts with something to write.
    fn settle_frequency(&mut self, planner: &Planner<'_>) {
        let catalog = planner.catalog();
        let (max, period) = (
            usize::from(planner.config().emails_per_period_max),
            i32::from(planner.config().period_days),
        );
        let was_dirty = std::mem::take(&mut self.dirty);
        let mut was_dirty = was_dirty.into_iter().peekable();
        // How many messages of each kind are planned, and how many refused.
        let mut counts = vec![[0; 2]; catalog.kinds().len()];
        for place in 0..self.entries.len() {
            let range = self.range(place);
            let refused = self.refused(range.clone(), catalog, max, period);
            let index = record_index(place);
            let mut dirty = was_dirty.next_if_eq(&index).is_some();
            for at in range {
                let is_refused = refused.contains(&at);
                let record = &mut self.records[at];
                if record.is_committed() {
                    continue;
                }
                let row_fits = if is_refused { ROW_REFUSED } else { ROW_PLANNED };
                dirty |= !record.has(SAME) || !record.has(KEPT) || !record.has(row_fits);
                if is_refused {
                    record.flags |= REFUSED;
                }
                counts[usize::from(record.kind)][usize::from(is_refused)] += 1;
            }
            if dirty {
                self.dirty.push(index);
            }
        }
        for (kind, [planned, refused]) in (0..).map(KindId).zip(counts) {
            for (tally, number) in
                [(&mut self.tally.planned, planned), (&mut self.tally.refused, refused)]
            {
                if number > 0 {
                    *tally.entry(kind).or_default() += number;
                }
            }
        }
    }

    /// Step 6 for the records of one contact: those that the frequency limit refuses.
    fn refused(
        &self,
        range: Range<usize>,
        catalog: &Catalog,
        max: usize,
        period: i32,
    ) -> SmallVec<[usize; 4]> {
        let mut refused = SmallVec::new();
        if range.len() <= max {
            return refused;
        }
        let is_follow_up = |at: usize| {
            matches!(catalog.kind(self.records[at].kind()).class, KindClass::FollowUp(_))
        };
        let mut dates: SmallVec<[i32; 16]> = SmallVec::new();
        let mut messages: SmallVec<[usize; 16]> = SmallVec::new();
        for at in range.filter(|at| !is_follow_up(*at)) {
            if self.records[at].is_committed() {
                dates.push(self.records[at].date);
            } else {
                messages.push(at);
            }
        }
        if dates.len() + messages.len() <= max {
            return refused;
        }
        dates.sort_unstable();
        messages.sort_by_key(|at| (self.priority(*at, catalog), self.records[*at].date, *at));
        for at in messages {
            let date = self.records[at].date;
            let place = dates.partition_point(|other| *other <= date);
            dates.insert(place, date);
            let too_many = (place.saturating_sub(max)..=place)
                .filter_map(|first| Some(dates.get(first + max)? - dates[first]))
                .any(|span_days| span_days < period);
            if too_many {
                dates.remove(place);
                refused.push(at);
            }
        }
        refused
    }
}
