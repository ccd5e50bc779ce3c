//! The work for one contact takes no memory of its own in the common case: millions of contacts are
//! drafted with what the first one left behind.

#![expect(unsafe_code, reason = "an allocator that counts is an implementation of an unsafe trait")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use curfew_engine::{
    Behaviour, Catalog, ContactInput, Day, Draft, ExistingRow, Ledger, PlanConfig, Planner,
    RawContact, RawRow, RowReader, Today, Value, rule::default_table,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on as it is; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// A contact in one state, or with a stored state that differs from that of the ZIP code.
fn contact<'a>(id: i64, zip_code: &'a str, state: Value<'a>) -> RawContact<'a> {
    RawContact {
        id,
        email: Value::of("somebody.or.other@example.com"),
        zip_code: Value::of(zip_code),
        birth_date: Value::of("1952-02-29"),
        effective_date: Value::of("2019-06-01"),
        state,
        phone_number: Value::of("555-0100"),
        status: Value::of("active"),
    }
}

/// What a contact has in its second year: a message sent, and a planned one of each kind.
fn rows(planner: &Planner<'_>) -> Vec<ExistingRow> {
    let reader = RowReader::new(planner.config(), planner.catalog());
    let rows = [
        ("birthday", "2026-02-14", "sent", [2026, 2, 28]),
        ("birthday", "2027-02-14", "pre-scheduled", [2027, 2, 28]),
        ("effective_date", "2027-05-02", "pre-scheduled", [2027, 6, 1]),
        ("aep", "2027-09-15", "pre-scheduled", [2027, 9, 15]),
    ];
    (1_i64..)
        .zip(rows)
        .map(|(id, (kind, date, status, [year, month, day]))| {
            reader.read(&RawRow {
                id,
                email_type: Some(kind.as_bytes()),
                scheduled_send_date: Some(date.as_bytes()),
                scheduled_send_time: Some(b"08:30:00"),
                status: Some(status.as_bytes()),
                email_template: Some(kind.as_bytes()),
                event_year: Some(year),
                event_month: Some(month),
                event_day: Some(day),
                shift_days: Some(0),
                actual_send_datetime: (status == "sent").then_some("2026-02-14 08:30:05"),
                ..RawRow::default()
            })
        })
        .collect()
}

#[test]
fn drafting_and_reading_a_contact_takes_no_memory_once_one_was_drafted() {
    let config = PlanConfig::with_rules(default_table());
    let catalog = Catalog::new(&config, Vec::new());
    let today = Today::new(Day::parse("2026-11-20").expect("a date")).expect("a year of our times");
    let planner = Planner::new(&config, &catalog, today);
    let (behaviour, existing) = (Behaviour::default(), rows(&planner));
    let mut draft = Draft::default();
    let mut draft_all = |rows: &[ExistingRow]| {
        let contacts = [
            contact(1, "60601", Value::Null),
            contact(2, "90210", Value::Null),
            contact(3, "10001", Value::of("NY")),
            contact(4, "63101", Value::of("mo")),
            contact(5, "90210", Value::of("NV")),
            contact(6, "not a ZIP", Value::Null),
        ];
        for contact in contacts {
            let (id, targets) = (contact.id, &[]);
            let contact = Some(contact);
            let input = ContactInput { id, contact, rows, targets, behaviour: &behaviour };
            planner.draft(&input, &mut draft);
        }
    };
    let first = allocations(|| draft_all(&existing));
    assert!(first > 0, "the allocator does not count");
    assert_eq!(allocations(|| draft_all(&existing)), 0);
    assert_eq!(allocations(|| draft_all(&[])), 0);
}

#[test]
fn a_ledger_grows_by_doubling_not_by_contact() {
    let config = PlanConfig::with_rules(default_table());
    let catalog = Catalog::new(&config, Vec::new());
    let today = Today::new(Day::parse("2026-11-20").expect("a date")).expect("a year of our times");
    let planner = Planner::new(&config, &catalog, today);
    let (behaviour, mut draft) = (Behaviour::default(), Draft::default());
    let mut ledger = Ledger::new(&planner);
    let mut fill = |ids: std::ops::RangeInclusive<i64>| {
        for id in ids {
            let contact = Some(contact(id, "90210", Value::Null));
            let input =
                ContactInput { id, contact, rows: &[], targets: &[], behaviour: &behaviour };
            planner.draft(&input, &mut draft);
            ledger.add(&planner, &draft, &[], false);
        }
    };
    fill(1..=1);
    let more = allocations(|| fill(2..=20_000));
    assert!(more < 200, "{more} allocations for 20,000 contacts");
}
