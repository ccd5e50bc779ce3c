//! What reading and writing the tables costs: 100,000 contacts with 250,000 rows.
//!
//! `cargo bench -p curfew-store`

#![expect(clippy::unwrap_used, reason = "a benchmark has nobody to report to")]

use std::{ops::ControlFlow, path::PathBuf};

use curfew_engine::{
    Catalog, Change, Changes, Day, EventColumns, KindClass, PlanConfig, WantedRow, rule::RuleTable,
};
use curfew_store::{Access, Checked, Database, PlanWriter, RunStart};
use divan::{Bencher, black_box, counter::ItemsCount};
use tempfile::TempDir;

fn main() {
    divan::main();
}

const CONTACTS: i64 = 100_000;
const BATCH: i64 = 10_000;
const NOW: &str = "2026-11-20 06:00:00";

/// A migrated database in WAL mode with contacts only, and its folder.
fn contacts() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.db");
    let mut db = Database::create(&path).unwrap();
    db.migrate(NOW).unwrap();
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {CONTACTS})
         INSERT INTO contacts (id, email, first_name, last_name, zip_code, state, birth_date,
           effective_date, phone_number, status)
         SELECT i, 'somebody' || i || '@example.com', 'Some', 'Body', '90210', 'CA',
           date('1940-01-01', (i * 37 % 9000) || ' days'),
           date('2015-01-01', (i % 100) || ' months'), '555-0100', 'active' FROM n"
    );
    db.connection().execute_batch(&sql).unwrap();
    (folder, path)
}

/// What is inserted for one contact: two rows, for every other contact three.
fn rows(catalog: &Catalog, contact: i64, changes: &mut Changes) {
    changes.rows.clear();
    let first = Day::parse("2026-11-21").unwrap();
    let kinds = [KindClass::Birthday, KindClass::Aep, KindClass::EffectiveDate];
    for (at, class) in (0..2 + contact % 2).zip(kinds) {
        let offset = i32::try_from((contact * 13 + at * 101) % 360).unwrap();
        changes.rows.push(Change::Insert(WantedRow {
            kind: catalog.id_of(class),
            date: first + offset,
            skip: None,
            priority: 10,
            instance_id: None,
            event: EventColumns::of(first + offset + 14),
            initial_id: None,
            shift_days: 0,
            sms: true,
            metadata: None,
        }));
    }
}

fn fill(db: &Database) {
    let config = PlanConfig::with_rules(RuleTable::empty());
    let catalog = Catalog::new(&config, Vec::new());
    db.start_run(&RunStart {
        run_id: "bench",
        command: "bench",
        today: Day::parse("2026-11-20").unwrap(),
        started_at: NOW,
        config_version_id: None,
        contacts_checksum: None,
        schedules_checksum: None,
    })
    .unwrap();
    let mut writer = PlanWriter::begin(db, "bench", NOW, &config, &catalog).unwrap();
    let mut batch = Vec::new();
    for contact in 1..=CONTACTS {
        let mut changes = Changes::default();
        rows(&catalog, contact, &mut changes);
        batch.push((contact, changes));
        if contact % BATCH == 0 {
            writer.apply_all(&batch).unwrap();
            writer.commit_batch(Some(contact)).unwrap();
            batch.clear();
        }
    }
}

fn full() -> (TempDir, Database) {
    let (folder, path) = contacts();
    let db = Database::open(path, Access::ReadWrite).unwrap();
    fill(&db);
    (folder, db)
}

fn per_contact() -> ItemsCount {
    ItemsCount::new(CONTACTS.unsigned_abs())
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn insert_all(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| {
            let (folder, path) = contacts();
            (folder, Database::open(path, Access::ReadWrite).unwrap())
        })
        .counter(per_contact())
        .bench_local_refs(|(_, db)| fill(db));
}

/// What the same rows cost SQLite alone, in one statement: the measure for [`insert_all`]. The columns
/// are named: with `SELECT *` it would copy table and indexes entry by entry.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn insert_all_by_sqlite(bencher: Bencher<'_, '_>) {
    let (_folder, source) = full();
    bencher
        .with_inputs(|| {
            let (folder, path) = contacts();
            let db = Database::open(path, Access::ReadWrite).unwrap();
            db.connection().execute("ATTACH ?1 AS source", [source.path().to_str()]).unwrap();
            (folder, db)
        })
        .counter(per_contact())
        .bench_local_refs(|(_, db)| {
            let columns =
                "contact_id, email_type, scheduled_send_date, scheduled_send_time, status,
              skip_reason, priority, campaign_instance_id, email_template, sms_template,
              scheduler_run_id, event_year, event_month, event_day, initial_schedule_id, shift_days,
              metadata, created_at, updated_at";
            let sql = format!(
                "INSERT INTO main.email_schedules ({columns})
                 SELECT {columns} FROM source.email_schedules"
            );
            db.connection().execute_batch(&sql).unwrap();
        });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn scan_all(bencher: Bencher<'_, '_>) {
    let (_folder, db) = full();
    let config = PlanConfig::with_rules(RuleTable::empty());
    let catalog = Catalog::new(&config, Vec::new());
    let mut scanner = db.scanner(&config, &catalog).unwrap();
    bencher.counter(per_contact()).bench_local(|| {
        let flow = scanner.range(.., |visited| {
            black_box(visited);
            ControlFlow::<()>::Continue(())
        });
        assert!(flow.unwrap().is_continue());
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn scan_every_hundredth(bencher: Bencher<'_, '_>) {
    let (_folder, db) = full();
    let config = PlanConfig::with_rules(RuleTable::empty());
    let catalog = Catalog::new(&config, Vec::new());
    let mut scanner = db.scanner(&config, &catalog).unwrap();
    let ids: Vec<i64> = (1..=CONTACTS).step_by(100).collect();
    bencher.counter(ItemsCount::new(ids.len())).bench_local(|| {
        let flow = scanner.chosen(&ids, |visited| {
            black_box(visited);
            ControlFlow::<()>::Continue(())
        });
        assert!(flow.unwrap().is_continue());
    });
}

#[divan::bench(sample_count = 5, sample_size = 1, args = [Checked::Contacts, Checked::Schedules])]
fn checksum(bencher: Bencher<'_, '_>, table: Checked) {
    let (_folder, db) = full();
    bencher.counter(per_contact()).bench_local(|| db.checksum(table).unwrap());
}
