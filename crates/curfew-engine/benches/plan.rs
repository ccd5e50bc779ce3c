//! What planning costs without a database: parsing, drafting one contact, balancing a million.
//!
//! `cargo bench -p curfew-engine`

#![expect(clippy::unwrap_used, reason = "a benchmark has nobody to report to")]

use curfew_engine::{
    Balance, Behaviour, Catalog, ContactInput, Day, Draft, Ledger, Limits, PlanConfig, Planner,
    RawContact, Today, Value, rule::default_table,
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
        email: Value::Text("somebody.or.other@example.com"),
        zip_code: Value::Text(zip),
        birth_date: Value::Text(&birth),
        effective_date: Value::Text(&effective),
        state: Value::Null,
        phone_number: Value::Text("555-0100"),
        status: Value::Text("active"),
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
