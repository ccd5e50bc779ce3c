//! The first half of every run: read all contacts, draft their messages, balance them.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, RangeInclusive},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use curfew_engine::{Balance, ContactInput, Draft, Issue, Ledger, Limits, Planner, Standing};
use curfew_store::{Access, Checksums, Database, Scanner, Visited};

use crate::{Error, Progress, Stage};

/// More ranges than threads, so that a thread with little to do takes over from one with much.
const RANGES_PER_THREAD: usize = 4;
/// About so many ids to a range, so that the memory of two that grow is small beside the whole.
const IDS_PER_RANGE: u64 = 50_000;
/// A range costs a few statements.
const RANGES_MAX: u64 = 1_000;
/// How many contacts are read between two reports of progress.
const CONTACTS_PER_REPORT: u64 = 4096;

/// What reading all contacts found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    /// Rows of `contacts`.
    pub(crate) contacts: u64,
    /// Valid, active contacts.
    pub(crate) valid: u64,
    /// Inactive contacts.
    pub(crate) inactive: u64,
    /// Invalid contacts.
    pub(crate) invalid: u64,
    /// Owned rows.
    pub(crate) owned_rows: u64,
    /// Issues with the id of their contact, in the order of the contacts.
    pub(crate) issues: Vec<(Option<i64>, Issue)>,
    /// Of what was read.
    pub(crate) checksums: Checksums,
}

impl Census {
    fn look_at(&mut self, input: &ContactInput<'_>, draft: &Draft) {
        if let Some(standing) = &draft.standing {
            self.contacts += 1;
            *match standing {
                Standing::Valid(_) => &mut self.valid,
                Standing::Inactive => &mut self.inactive,
                Standing::Invalid => &mut self.invalid,
            } += 1;
        }
        self.owned_rows += input.rows.iter().filter(|row| row.status.is_owned()).count() as u64;
        self.issues.extend(draft.issues.iter().map(|issue| (Some(input.id), *issue)));
    }

    fn add(&mut self, mut other: Self) {
        self.contacts += other.contacts;
        self.valid += other.valid;
        self.inactive += other.inactive;
        self.invalid += other.invalid;
        self.owned_rows += other.owned_rows;
        self.issues.append(&mut other.issues);
    }

    /// How often each issue occurs.
    pub(crate) fn issue_counts(&self) -> BTreeMap<String, u64> {
        // Issues are few different ones, but may be many: count before making texts.
        let mut counts: BTreeMap<_, u64> = BTreeMap::new();
        for (_, issue) in &self.issues {
            *counts.entry((issue.field, issue.problem)).or_default() += 1;
        }
        counts
            .into_iter()
            .map(|((field, problem), number)| {
                (format!("{field} {}", Issue { field, problem }), number)
            })
            .collect()
    }
}

/// What was found in one range, by its number.
type Part = (usize, Ledger, Census);

/// Tells progress as the share of the ids that are passed, which is that of the contacts where ids
/// are evenly spread: to count the contacts would mean to read them twice.
struct Passed<'p> {
    progress: &'p dyn Progress,
    first: i64,
    last: i64,
    /// So many ids are one step.
    step: u64,
}

impl<'p> Passed<'p> {
    fn begin(progress: &'p dyn Progress, ids: Option<(i64, i64)>) -> Self {
        let (first, last) = ids.unwrap_or((0, 0));
        let steps_max = 1 << 32;
        let step = last.abs_diff(first) / steps_max + 1;
        progress.stage(Stage::Read, ids.map(|_| last.abs_diff(first) / step + 1));
        Self { progress, first, last, step }
    }

    fn clamp(&self, id: i64) -> i64 {
        id.clamp(self.first, self.last)
    }

    fn advance(&self, from: i64, to: i64) {
        self.progress.advance(to.abs_diff(from) / self.step);
    }
}

/// Reads every contact of a database and drafts its messages. Nothing is written.
pub(crate) fn survey(
    database: &Database,
    planner: &Planner<'_>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<(Vec<Ledger>, Census), Error> {
    let ids = database.contact_ids()?;
    let passed = Passed::begin(progress, ids);
    let by_size = ids.map_or(1, |(first, last)| last.abs_diff(first) / IDS_PER_RANGE);
    let parts = (threads * RANGES_PER_THREAD) as u64;
    let parts = u32::try_from(parts.max(by_size).min(RANGES_MAX)).unwrap_or(1);
    let ranges = database.contact_ranges(parts)?;
    let next = AtomicUsize::new(0);
    let survey_ranges = |database: &Database| -> Result<(Vec<Part>, Checksums), Error> {
        let mut scanner = database.scanner(planner.config(), planner.catalog())?;
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(range) = ranges.get(number) else {
                return Ok((done, scanner.checksums()));
            };
            let (ledger, census) = survey_range(&mut scanner, planner, range.clone(), &passed)?;
            done.push((number, ledger, census));
        }
    };
    let path = database.path().to_owned();
    let (mut done, checksums) = thread::scope(|scope| {
        let workers: Vec<_> = (1..threads)
            .map(|_| scope.spawn(|| survey_ranges(&Database::open(&path, Access::ReadOnly)?)))
            .collect();
        let (mut done, mut checksums) = survey_ranges(database)?;
        for worker in workers {
            let (mut more, sums) = worker.join().expect("a planning thread panicked")?;
            done.append(&mut more);
            checksums += sums;
        }
        Ok::<_, Error>((done, checksums))
    })?;
    done.sort_by_key(|(number, ..)| *number);

    let mut census = Census { checksums, ..Census::default() };
    let mut ledgers = Vec::with_capacity(done.len());
    for (_, ledger, part) in done {
        ledgers.push(ledger);
        census.add(part);
    }
    Ok((ledgers, census))
}

fn survey_range(
    scanner: &mut Scanner<'_>,
    planner: &Planner<'_>,
    ids: RangeInclusive<i64>,
    passed: &Passed<'_>,
) -> Result<(Ledger, Census), Error> {
    let (mut reported, end) = (passed.clamp(*ids.start()), passed.clamp(*ids.end()));
    // No more contacts than ids; untouched memory costs nothing, and growing copies.
    let room = end.abs_diff(reported).min(IDS_PER_RANGE) + 1;
    let mut ledger = Ledger::with_capacity(planner, usize::try_from(room).unwrap_or(0));
    let mut census = Census::default();
    let mut draft = Draft::default();
    let mut unreported = 0;
    let _: ControlFlow<()> = scanner.range(ids, |visited| {
        match visited {
            Visited::Contact(input) => {
                planner.draft(input, &mut draft);
                census.look_at(input, &draft);
                ledger.add(planner, &draft, input.rows, planner.has_stale_targets(input));
            }
            Visited::Unreadable { id, issue } => {
                census.contacts += 1;
                census.invalid += 1;
                census.issues.push((id, issue));
            }
        }
        unreported += 1;
        if unreported >= CONTACTS_PER_REPORT
            && let Visited::Contact(input) = visited
        {
            let id = passed.clamp(input.id);
            passed.advance(reported, id);
            (reported, unreported) = (id, 0);
        }
        ControlFlow::Continue(())
    })?;
    passed.advance(reported, end);
    Ok((ledger.finish(), census))
}

/// Settles the plan of all contacts.
pub(crate) fn balance(
    planner: &Planner<'_>,
    ledgers: Vec<Ledger>,
    census: &Census,
    progress: &dyn Progress,
) -> Balance {
    progress.stage(Stage::Balance, None);
    Balance::new(planner, ledgers, Limits::of(planner.config(), census.contacts))
}
