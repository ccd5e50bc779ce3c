//! What always holds, on made-up organizations (SPEC section 6). A property that fails prints the
//! smallest organization that it was found to fail for.

mod support;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use curfew_engine::{
    Decimal, KindClass, Limits, Placement, PlanConfig, rule::default_table, spreading_hash,
};
use proptest::{
    prelude::*,
    test_runner::{RngSeed, TestRunner},
};
use support::{
    day,
    organization::{Cell, ContactRow, Effect, Organization, Plan, ScheduleRow},
    promises,
    sample::samples,
};

/// The same samples on every run of the gate, unless `PROPTEST_RNG_SEED` or `PROPTEST_CASES` is set.
fn holds<S: Strategy>(cases: u32, strategy: S, check: impl Fn(&S::Value)) {
    let mut config = ProptestConfig::default();
    if config.cases == 256 {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0x0c0f_fee0);
    }
    config.failure_persistence = None;
    let outcome = TestRunner::new(config).run(&strategy, |sample| {
        check(&sample);
        Ok(())
    });
    if let Err(why) = outcome {
        panic!("{why}");
    }
}

/// Runs, checks what holds after every run, and returns what it led to.
#[track_caller]
fn run(organization: &Organization) -> Organization {
    let plan = organization.plan(usize::MAX);
    let mut after = organization.clone();
    after.apply(&plan);
    if let Err(why) = promises::check(organization, &plan, &after) {
        panic!("{why}");
    }
    after
}

#[test]
fn the_promises_hold_after_every_run() {
    holds(400, samples(12), |sample| {
        run(&sample.build());
    });
}

/// A property that is never put to the test holds as well: what the samples lead to.
#[test]
fn the_samples_reach_every_outcome() {
    let reached = RefCell::new(BTreeMap::<String, u32>::new());
    holds(400, samples(12), |sample| {
        let organization = sample.build();
        let plan = organization.plan(usize::MAX);
        let reach = |what: &str| *reached.borrow_mut().entry(what.to_owned()).or_default() += 1;
        for (_, message) in plan.messages() {
            reach(match message.message.placement {
                Placement::Excluded(_) => "excluded",
                Placement::NoOpenDay { .. } => "no open day",
                Placement::Kept { planned: true } => "kept, planned",
                Placement::Kept { planned: false } => "kept, skipped",
                Placement::CaughtUp { wanted } if wanted == message.date => "caught up",
                Placement::CaughtUp { .. } => "caught up, on another day",
                Placement::Ideal { .. } if message.date == message.message.ideal => "ideal",
                Placement::Ideal { .. } => "not ideal",
                Placement::LowerPriority { .. } => "lower priority",
            });
            if message.is_moved {
                reach("moved");
            }
            if message.is_refused {
                reach("refused");
            }
            reach(&plan.catalog.kind(message.message.kind).text);
        }
        for _ in 0..plan.days_above_threshold {
            reach("above the threshold");
        }
        for effect in organization.clone().apply(&plan).into_values() {
            match effect {
                Effect::Inserted => reach("inserted"),
                Effect::Updated => reach("updated"),
                Effect::Deleted(why) => reach(&format!("deleted: {why}")),
            }
        }
    });
    let reached = reached.into_inner();
    let wanted = [
        "excluded",
        "no open day",
        "kept, planned",
        "kept, skipped",
        "caught up",
        "caught up, on another day",
        "ideal",
        "not ideal",
        "lower priority",
        "moved",
        "refused",
        "above the threshold",
        "updated",
        "deleted: no longer in the plan",
        "deleted: already handled by a committed row",
        "deleted: the contact is inactive",
        "deleted: the contact is invalid",
        "deleted: the contact does not exist",
        "deleted: another row of the same event is kept",
    ];
    for what in wanted {
        let times = reached.get(what).copied().unwrap_or(0);
        assert!(times >= 5, "`{what}` was reached {times} times only: {reached:#?}");
    }
}

#[test]
fn a_second_run_on_the_same_day_changes_nothing() {
    holds(300, samples(12), |sample| {
        let after = run(&sample.build());
        let again = after.plan(usize::MAX);
        for contact in &again.contacts {
            assert!(contact.changes.is_empty(), "{:#?} {:#?}", contact.id, contact.changes);
        }
    });
}

#[test]
fn however_the_work_is_divided_the_plan_is_the_same() {
    holds(200, (samples(30), 1_usize..12), |(sample, contacts_per_ledger)| {
        let organization = sample.build();
        let whole = organization.plan(usize::MAX);
        let divided = organization.plan(*contacts_per_ledger);
        assert_eq!(whole.moved, divided.moved);
        assert_eq!(whole.volume, divided.volume);
        for (whole, divided) in whole.contacts.iter().zip(&divided.contacts) {
            assert_eq!(whole.changes, divided.changes, "contact {}", whole.id);
        }
    });
}

#[test]
fn the_next_day_keeps_the_dates_of_what_is_planned() {
    holds(300, samples(12), |sample| {
        let today = sample.build();
        let plan_today = today.plan(usize::MAX);
        let today = run(&today);
        let mut tomorrow = today.clone();
        tomorrow.today += 1;
        let plan = tomorrow.plan(usize::MAX);
        let next = run(&tomorrow);
        for (id, row) in today.rows.iter().filter(|(_, row)| row.is_planned()) {
            // A birth date that lay in the future is known from tomorrow on.
            let who = |plan: &Plan| plan.contact(row.contact_id).and_then(|c| c.standing.clone());
            if row.day() < Some(tomorrow.today) || who(&plan) != who(&plan_today) {
                continue;
            }
            let now = next.rows.get(id);
            let message = plan.messages().find(|(_, message)| message.row_id == Some(*id));
            let Some((_, message)) = message else {
                panic!("row {id} was planned for {}, and is {now:?} a day later", row.date);
            };
            let class = plan.catalog.kind(message.message.kind).class;
            let may_move = message.is_moved
                || matches!(class, KindClass::Campaign(_) | KindClass::FollowUp(_));
            assert!(may_move || now.and_then(ScheduleRow::day) == row.day(), "{row:?} is {now:?}");
        }
    });
}

#[test]
fn contacts_do_not_change_each_others_plans_where_no_limit_is_reached() {
    holds(150, samples(10), |sample| {
        let mut organization = sample.build();
        organization.contacts_in_all = Some(1_000_000);
        organization.config.daily_cap = Decimal::new(1, 0);
        organization.config.ed_daily_soft_limit = 1_000_000;
        let whole = organization.plan(usize::MAX);
        for contact in &whole.contacts {
            let mut alone = organization.clone();
            alone.contacts.retain(|id, _| *id == contact.id);
            alone.rows.retain(|_, row| row.contact_id == contact.id);
            alone.targets.retain(|_, target| target.contact_id == contact.id);
            let alone = alone.plan(usize::MAX);
            let changes = alone.contacts.first().map(|alone| alone.changes.clone());
            assert_eq!(contact.changes, changes.unwrap_or_default(), "contact {}", contact.id);
        }
    });
}

#[test]
fn a_contact_that_changes_while_the_plan_is_made_is_noticed() {
    let mut organization =
        Organization::new(day("2026-05-01"), PlanConfig::with_rules(default_table()));
    let cell = |text: &str| Cell::text(text);
    let contact = ContactRow {
        email: cell("ann@example.com"),
        zip_code: cell("75201"),
        birth_date: cell("1960-06-15"),
        ..ContactRow::default()
    };
    organization.contacts.insert(1, contact);
    let unchanged = organization.settle_later(&organization, 1).expect("nothing changed");
    assert_eq!(unchanged.rows.len(), 2, "birthday and enrollment message");

    let changes: [fn(&mut ContactRow); 4] = [
        |contact| contact.birth_date = Cell::text("1960-06-16"),
        |contact| contact.effective_date = Cell::text("2020-07-01"),
        |contact| contact.zip_code = Cell::text("90210"),
        |contact| contact.status = Cell::text("inactive"),
    ];
    for change in changes {
        let mut now = organization.clone();
        change(now.contacts.get_mut(&1).unwrap());
        let contact = now.contacts[&1].clone();
        organization.settle_later(&now, 1).expect_err(&format!("{contact:?}"));
    }
}

/// What the sender did with the rows of an organization while days went by.
#[derive(Default)]
struct Outbox {
    /// Every message that was sent, by what makes it one message.
    sent: Vec<EventKey>,
}

/// What makes two rows the same message: contact, kind, instance and event; of a follow-up the
/// initial row.
type EventKey = (i64, String, Option<i64>, [Option<i64>; 3], Option<i64>);

fn event_key(row: &ScheduleRow) -> EventKey {
    match row.initial_id {
        Some(initial) if row.is_follow_up() => {
            (row.contact_id, String::new(), None, [None; 3], Some(initial))
        }
        _ => {
            (row.contact_id, row.email_type.to_ascii_lowercase(), row.instance_id, row.event, None)
        }
    }
}

impl Outbox {
    /// Sends what is planned for today.
    fn send(&mut self, organization: &mut Organization, status: &str) {
        let today = organization.today;
        for row in organization.rows.values_mut() {
            if row.is_planned() && row.day() == Some(today) {
                status.clone_into(&mut row.status);
                row.actual_send_datetime = Some(format!("{today} 09:00:00"));
                self.sent.push(event_key(row));
            }
        }
    }

    fn check_nothing_was_sent_twice(&self) {
        let mut keys = BTreeSet::new();
        for key in &self.sent {
            assert!(keys.insert(key), "{key:?} was sent twice");
        }
    }
}

#[test]
fn a_year_of_runs_sends_every_message_once_or_has_a_reason_on_record() {
    holds(12, samples(4), |sample| {
        let mut organization = sample.build();
        // A birth date becomes known on its day: nobody is born in this year.
        let today = organization.today;
        for contact in organization.contacts.values_mut() {
            if matches!(&contact.birth_date, Cell::Text(date) if **date >= *today.to_string()) {
                contact.birth_date = Cell::Null;
            }
        }
        let mut outbox = Outbox::default();
        let mut considered: BTreeSet<EventKey> = BTreeSet::new();
        let mut expired_before: BTreeSet<i64> = BTreeSet::new();
        for day in 0..400 {
            let plan = organization.plan(usize::MAX);
            let mut after = organization.clone();
            after.apply(&plan);
            if day % 25 == 0
                && let Err(why) = promises::check(&organization, &plan, &after)
            {
                panic!("on {}: {why}", organization.today);
            }
            organization = after;
            let rows = organization.rows.values().filter(|row| row.is_owned());
            let planned = rows.filter(|row| row.day() >= Some(organization.today));
            considered.extend(planned.map(event_key));
            let expired = organization.rows.iter().filter(|(_, row)| {
                row.skip_reason.as_deref() == Some("Expired before it was sent")
            });
            let expired: BTreeSet<i64> = expired.map(|(id, _)| *id).collect();
            if day == 0 {
                expired_before = expired;
            } else {
                let new = expired.difference(&expired_before).next();
                assert_eq!(new, None, "expired on {}", organization.today);
            }
            outbox.send(&mut organization, "sent");
            organization.today += 1;
        }
        outbox.check_nothing_was_sent_twice();
        let on_record: BTreeSet<EventKey> = organization.rows.values().map(event_key).collect();
        for key in &considered {
            assert!(on_record.contains(key), "{key:?} was considered, and is gone");
        }
    });
}

#[test]
fn however_the_sender_works_nothing_is_sent_twice() {
    let days = proptest::collection::vec((0..6_u8, 0..4_usize), 200);
    holds(12, (samples(4), days), |(sample, days)| {
        let mut organization = sample.build();
        let mut outbox = Outbox::default();
        for (what, status) in days {
            let status = ["sent", "delivered", "scheduled", "failed"][*status];
            let (sends_first, runs, sends_last) = match what {
                0 => (true, true, false),
                1 => (false, false, true),
                2 => (false, true, false),
                3 => (true, true, true),
                _ => (false, true, true),
            };
            if sends_first {
                outbox.send(&mut organization, status);
            }
            if runs {
                let plan = organization.plan(usize::MAX);
                organization.apply(&plan);
            }
            if sends_last {
                outbox.send(&mut organization, status);
            }
            organization.today += 1;
        }
        outbox.check_nothing_was_sent_twice();
    });
}

/// The 64-bit FNV-1a hash: computed by hand with the published offset basis and prime.
#[test]
fn the_spreading_hash_is_the_published_one() {
    // A second, plain reading of the algorithm, checked against its published vectors.
    let fnv = |text: &str| {
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    for (text, hash) in [
        ("", 0xcbf2_9ce4_8422_2325),
        ("a", 0xaf63_dc4c_8601_ec8c),
        ("b", 0xaf63_df4c_8601_f1a5),
        ("foobar", 0x8594_4171_f739_67e8),
    ] {
        assert_eq!(fnv(text), hash, "{text}");
    }
    for (contact, kind, year) in [
        (1, "birthday", 2026),
        (42, "effective_date", 2027),
        (3_000_000, "campaign_rate_increase", 2028),
        (7, "followup_1_cold", 0),
        (-5, "aep", 2026),
        (i64::MAX, "post_window", 9999),
    ] {
        let text = format!("{contact}-{kind}-{year}");
        assert_eq!(spreading_hash(contact, kind, year), fnv(&text), "{text}");
    }
}

#[test]
fn limits_are_the_floors_of_exact_products_and_at_least_one() {
    // contacts: cap = max(1, floor(N * 0.07)), threshold = floor(cap * 1.2),
    // ed_limit = max(1, min(15, floor(cap * 0.3))).
    let table: [(u64, [u64; 3]); 17] = [
        (0, [1, 1, 1]),
        (1, [1, 1, 1]),
        (14, [1, 1, 1]),       // 0.98
        (15, [1, 1, 1]),       // 1.05
        (28, [1, 1, 1]),       // 1.96
        (29, [2, 2, 1]),       // 2.03; 2.4; 0.6
        (71, [4, 4, 1]),       // 4.97; 4.8; 1.2
        (72, [5, 6, 1]),       // 5.04; 6; 1.5
        (100, [7, 8, 2]),      // 7 exactly; 8.4; 2.1
        (142, [9, 10, 2]),     // 9.94; 10.8; 2.7
        (143, [10, 12, 3]),    // 10.01; 12; 3 exactly
        (300, [21, 25, 6]),    // 21 exactly, in binary 21.000000000000004; 25.2; 6.3
        (700, [49, 58, 14]),   // 49 exactly, in binary 49.00000000000001; 58.8; 14.7
        (714, [49, 58, 14]),   // 49.98
        (715, [50, 60, 15]),   // 50.05; 60; 15
        (1_000, [70, 84, 15]), // 84 exactly; 21, but at most 15
        (3_000_000, [210_000, 252_000, 15]),
    ];
    let config = PlanConfig::with_rules(default_table());
    for (contacts, expected) in table {
        let limits = Limits::of(&config, contacts);
        let found = [limits.cap, limits.threshold, limits.effective_date_limit];
        assert_eq!(found, expected, "{contacts} contacts");
    }
}
