//! What planning costs without a database: parsing, drafting one contact, balancing a million, merging
//! what is wanted with the rows that exist.
//!
//! `cargo bench -p curfew-engine`

#![expect(clippy::unwrap_used, reason = "a benchmark has nobody to report to")]

use curfew_engine::{
    Balance, Behaviour, Catalog, Change, Changes, ContactInput, Day, Draft, ExistingRow, Ledger,
    Limits, PlanConfig, Planner, RawContact, RawRow, RowReader, Today, Value, WantedRow,
    rule::default_table,
};
use divan::{Bencher, black_box, counter::ItemsCount};

fn main() {
    divan::main();
}

const ZIP_CODES: [&str; 8] =
    ["90210", "10001", "60601", "77001", "89101", "63101", "33101", "97201"];

/// Made-up contacts: every eighth in California, New York, Nevada, Missouri, Oregon each.
fn with_contact<T>(number: i64, look: impl FnOnce(RawContact<'_>) -> T) -> T {
    let spread = |factor: i64, range: i64| number.wrapping_mul(factor).rem_euclid(range);
    let birth = format!(
        "{}-{:02}-{:02}",
        1931 + spread(7919, 30),
        1 + spread(31, 12),
        1 + spread(6133, 28)
    );
    let effective = format!("{}-{:02}-01", 2015 + spread(104_729, 10), 1 + spread(17, 12));
    let zip = ZIP_CODES[usize::try_from(number.rem_euclid(8)).unwrap()];
    look(RawContact {
        id: number,
        email: Value::of("somebody.or.other@example.com"),
        zip_code: Value::of(zip),
        birth_date: Value::of(&birth),
        effective_date: Value::of(&effective),
        state: Value::Null,
        phone_number: Value::of("555-0100"),
        status: Value::of("active"),
    })
}

fn today() -> Today {
    Today::new(Day::parse("2026-11-20").unwrap()).unwrap()
}

fn fill(ledger: &mut Ledger, planner: &Planner<'_>, contacts: i64) {
    let (mut draft, behaviour) = (Draft::default(), Behaviour::default());
    for number in 1..=contacts {
        with_contact(number, |contact| {
            let input = ContactInput {
                id: number,
                contact: Some(contact),
                rows: &[],
                targets: &[],
                behaviour: &behaviour,
            };
            planner.draft(&input, &mut draft);
            ledger.add(planner, &draft, &[], false);
        });
    }
}

#[divan::bench]
fn parse_date(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Day::parse(black_box("1954-02-28")));
}

#[divan::bench]
fn check_contact(bencher: Bencher<'_, '_>) {
    with_contact(8, |contact| {
        bencher.bench_local(|| black_box(&contact).check(today(), |_| ()));
    });
}

/// One contact: in California (0), New York (1), Illinois, which has no rule (2), Missouri (5).
#[divan::bench(args = [0, 1, 2, 5])]
fn draft_contact(bencher: Bencher<'_, '_>, number: i64) {
    let config = PlanConfig::with_rules(default_table());
    let catalog = Catalog::new(&config, Vec::new());
    let planner = Planner::new(&config, &catalog, today());
    let (mut draft, behaviour) = (Draft::default(), Behaviour::default());
    with_contact(800 + number, |contact| {
        let input = ContactInput {
            id: contact.id,
            contact: Some(contact),
            rows: &[],
            targets: &[],
            behaviour: &behaviour,
        };
        bencher.bench_local(|| planner.draft(black_box(&input), &mut draft));
    });
}

/// Settling a million contacts, of whom hundreds of thousands have the same enrollment date.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn balance_a_million(bencher: Bencher<'_, '_>) {
    let config = PlanConfig::with_rules(default_table());
    let catalog = Catalog::new(&config, Vec::new());
    let planner = Planner::new(&config, &catalog, today());
    bencher
        .counter(ItemsCount::new(1_000_000_u32))
        .with_inputs(|| {
            let mut ledger = Ledger::new(&planner);
            fill(&mut ledger, &planner, 1_000_000);
            vec![ledger]
        })
        .bench_local_values(|ledgers| {
            Balance::new(&planner, ledgers, Limits::of(&config, 1_000_000)).moved()
        });
}

/// What exists of the rows that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    /// Nothing: every row is inserted.
    None,
    /// All of them: nothing is written.
    Same,
    /// All of them, with another template: every row is updated.
    OtherTemplate,
}

/// A wanted row as the database would have it.
fn existing(
    planner: &Planner<'_>,
    id: i64,
    row: &WantedRow,
    template: Option<&str>,
) -> ExistingRow {
    let kind = planner.catalog().kind(row.kind);
    let date = row.date.to_string();
    let reason = row.skip.as_ref().map(|reason| reason.text(planner.config()));
    let status: &[u8] = if row.skip.is_some() { b"skipped" } else { b"pre-scheduled" };
    let sms = kind.sms_template.as_deref().filter(|_| row.sms);
    let bytes = |text: &'static str| Some(text.as_bytes());
    RowReader::new(planner.config(), planner.catalog()).read(&RawRow {
        id,
        email_type: Some(kind.text.as_bytes()),
        scheduled_send_date: Some(date.as_bytes()),
        scheduled_send_time: bytes("08:30:00"),
        status: Some(status),
        skip_reason: reason.as_deref().map(str::as_bytes),
        priority: Some(row.priority),
        email_template: template.or(kind.email_template.as_deref()).map(str::as_bytes),
        sms_template: sms.map(str::as_bytes),
        event_year: row.event.year,
        event_month: row.event.month,
        event_day: row.event.day,
        shift_days: Some(row.shift_days.into()),
        ..RawRow::default()
    })
}

/// Merging a thousand drafted contacts with their rows.
#[divan::bench(args = [Existing::None, Existing::Same, Existing::OtherTemplate])]
fn merge_a_thousand(bencher: Bencher<'_, '_>, which: Existing) {
    const CONTACTS: i64 = 1000;
    let config = PlanConfig::with_rules(default_table());
    let catalog = Catalog::new(&config, Vec::new());
    let planner = Planner::new(&config, &catalog, today());
    let behaviour = Behaviour::default();
    let draft_with = |rows: &[Vec<ExistingRow>]| -> Vec<Draft> {
        let draft = |(number, rows): (i64, &Vec<ExistingRow>)| {
            let mut draft = Draft::default();
            with_contact(number, |contact| {
                let (id, targets, contact) = (number, &[][..], Some(contact));
                let input = ContactInput { id, contact, rows, targets, behaviour: &behaviour };
                planner.draft(&input, &mut draft);
            });
            draft
        };
        (1..).zip(rows).map(draft).collect()
    };
    let settle = |drafts: &[Draft], rows: &[Vec<ExistingRow>]| {
        let mut ledger = Ledger::new(&planner);
        for (draft, rows) in drafts.iter().zip(rows) {
            ledger.add(&planner, draft, rows, true);
        }
        Balance::new(&planner, vec![ledger.finish()], Limits::of(&config, 1_000_000))
    };
    // The rows are those that a first run inserts.
    let merge = |drafts: &[Draft],
                 balance: &Balance,
                 rows: &[Vec<ExistingRow>],
                 each: &mut dyn FnMut(i64, &Changes)| {
        let mut changes = Changes::default();
        for ((id, draft), rows) in (1..).zip(drafts).zip(rows) {
            // The contact itself is in its draft.
            let input =
                ContactInput { id, contact: None, rows, targets: &[], behaviour: &behaviour };
            planner.changes(&input, draft, balance.settled(id), &mut changes).unwrap();
            each(id, &changes);
        }
    };
    let mut rows = vec![Vec::new(); CONTACTS.unsigned_abs().try_into().unwrap()];
    let mut drafts = draft_with(&rows);
    let mut balance = settle(&drafts, &rows);
    if which != Existing::None {
        let template = (which == Existing::OtherTemplate).then_some("older");
        let mut found = rows.clone();
        let mut next_id = 1;
        merge(&drafts, &balance, &rows, &mut |id, changes| {
            for change in &changes.rows {
                let Change::Insert(row) = change else { panic!("{change:?}") };
                let at = usize::try_from(id - 1).unwrap();
                found[at].push(existing(&planner, next_id, row, template));
                next_id += 1;
            }
        });
        rows = found;
        drafts = draft_with(&rows);
        balance = settle(&drafts, &rows);
    }
    let wanted = if which == Existing::Same { 0..1 } else { 3500..3800 };
    bencher.counter(ItemsCount::new(CONTACTS.unsigned_abs())).bench_local(|| {
        let mut count = 0;
        merge(&drafts, &balance, &rows, &mut |_, changes| count += changes.rows.len());
        assert!(wanted.contains(&count), "{count} changes");
    });
}
