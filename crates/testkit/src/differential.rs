//! Runs the real program on a database and says where it differs from the model.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    path::Path,
};

use jiff::civil::Date;
use rusqlite::{Connection, OpenFlags, types::Value};

use crate::model::{ModelConfig, ModelPlan, ModelRow, RowContent, plan, stored_rows};

/// What a difference is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// A row that the scheduler owns: missing, not expected, or with another content.
    Owned,
    /// A row that is as it must be, but was touched; or was changed under a wrong run id.
    Touched,
    /// A committed row that was changed, deleted or made.
    Committed,
    /// A status in `contact_campaigns`.
    Target,
    /// A row of `contact_issues`.
    Issue,
}

/// One difference between the real program and the model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// What it is about.
    pub aspect: Aspect,
    /// The contact, where there is one.
    pub contact_id: Option<i64>,
    /// What differs, with both sides.
    pub text: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// All columns of a row by name.
type RawRow = BTreeMap<String, Value>;

/// Computes the model's plan, calls `run` with the database, the date and a configuration file, and compares. An empty
/// list: they agree. `run` must return after a finished run, and panic when the run fails.
pub fn compare(
    db_path: &Path,
    today: Date,
    config: &ModelConfig,
    run: &mut dyn FnMut(&Path, Date, &Path),
) -> Vec<Difference> {
    let before = State::read(db_path);
    let expected = plan(&open(db_path), today, config);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let yaml = folder.path().join("curfew.yaml");
    std::fs::write(&yaml, config.to_yaml()).expect("a writable temporary folder");
    run(db_path, today, &yaml);

    let after = State::read(db_path);
    let mut differences = Vec::new();
    compare_committed(&before, &after, &mut differences);
    compare_owned(&before, &after, &expected, &mut differences);
    compare_targets(&after, &expected, &mut differences);
    compare_issues(&before, &after, &expected, &mut differences);
    differences
}

/// The differences as one text, with everything known about the first few contacts in question. Empty without
/// differences.
pub fn report(db_path: &Path, today: Date, differences: &[Difference]) -> String {
    let mut out = String::new();
    let written: fmt::Result = (|| {
        if differences.is_empty() {
            return Ok(());
        }
        writeln!(out, "{} differences on {today}:", differences.len())?;
        for difference in differences {
            writeln!(out, "* {difference}")?;
        }
        let contacts: BTreeSet<i64> = differences.iter().filter_map(|d| d.contact_id).collect();
        let conn = open(db_path);
        for contact in contacts.into_iter().take(3) {
            writeln!(out, "contact {contact}, after the run:")?;
            for (table, column) in [
                ("contacts", "id"),
                ("contact_campaigns", "contact_id"),
                ("email_schedules", "contact_id"),
            ] {
                for (id, row) in raw_rows(&conn, table) {
                    if row.get(column) == Some(&Value::Integer(contact)) {
                        writeln!(out, "  {table} {id}: {}", line(&row))?;
                    }
                }
            }
        }
        Ok(())
    })();
    written.expect("writing to a String cannot fail");
    out
}

/// What is compared of a database.
struct State {
    rows: BTreeMap<i64, RawRow>,
    contents: BTreeMap<i64, RowContent>,
    owned: BTreeSet<i64>,
    targets: BTreeMap<i64, RawRow>,
    issues: BTreeMap<i64, RawRow>,
}

impl State {
    fn read(path: &Path) -> Self {
        let conn = open(path);
        let stored = stored_rows(&conn);
        Self {
            rows: raw_rows(&conn, "email_schedules"),
            owned: stored.iter().filter(|row| row.is_owned()).map(|row| row.id).collect(),
            contents: stored.into_iter().map(|row| (row.id, row.content)).collect(),
            targets: raw_rows(&conn, "contact_campaigns"),
            issues: raw_rows(&conn, "contact_issues"),
        }
    }
}

fn open(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database")
}

/// All rows of a table with all their columns, by row id; none when there is no such table.
fn raw_rows(conn: &Connection, table: &str) -> BTreeMap<i64, RawRow> {
    crate::model::records(conn, table)
        .into_iter()
        .map(|record| (record.integer("rowid").expect("a row id"), record.into_values()))
        .collect()
}

/// A row in one line, without NULLs.
fn line(row: &RawRow) -> String {
    let values: Vec<String> = row
        .iter()
        .filter(|(name, value)| **value != Value::Null && *name != "rowid")
        .map(|(name, value)| format!("{name}={}", shown(value)))
        .collect();
    values.join(" ")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

/// The columns of `before` whose values differ in `after`.
fn changed_columns(before: &RawRow, after: &RawRow) -> Vec<String> {
    before
        .iter()
        .filter_map(|(name, old)| {
            let new = after.get(name).unwrap_or(&Value::Null);
            (old != new).then(|| format!("{name} was {}, is {}", shown(old), shown(new)))
        })
        .collect()
}

fn compare_committed(before: &State, after: &State, differences: &mut Vec<Difference>) {
    let mut push = |row: &RowContent, text: String| {
        differences.push(Difference {
            aspect: Aspect::Committed,
            contact_id: Some(row.contact_id),
            text,
        });
    };
    for (id, row) in before.contents.iter().filter(|(id, _)| !before.owned.contains(id)) {
        match after.rows.get(id) {
            None => push(row, format!("committed row {id} ({}) was deleted", name(row))),
            Some(now) => {
                let changes = changed_columns(&before.rows[id], now);
                if !changes.is_empty() {
                    let changes = changes.join("; ");
                    push(row, format!("committed row {id} ({}) was changed: {changes}", name(row)));
                }
            }
        }
    }
    for (id, row) in &after.contents {
        let was_committed = before.contents.contains_key(id) && !before.owned.contains(id);
        if !after.owned.contains(id) && !was_committed {
            push(row, format!("row {id} ({}) became {:?}", name(row), row.status));
        }
    }
}

/// Which message a row is of, in words.
fn name(row: &RowContent) -> String {
    let mut name = format!("contact {}, {}", row.contact_id, row.email_type);
    let number = |number: Option<i64>| number.map_or("?".to_owned(), |n| n.to_string());
    if let Some(instance) = row.campaign_instance_id {
        let _ = write!(name, ", instance {instance}");
    }
    if row.event_year.is_some() {
        let (month, day) = (number(row.event_month), number(row.event_day));
        let _ = write!(name, ", event {}-{month}-{day}", number(row.event_year));
    }
    if let Some(initial) = row.initial_schedule_id {
        let _ = write!(name, ", after row {initial}");
    }
    name
}

fn compare_owned(
    before: &State,
    after: &State,
    expected: &ModelPlan,
    differences: &mut Vec<Difference>,
) {
    let mut push = |aspect, row: &RowContent, text: String| {
        differences.push(Difference { aspect, contact_id: Some(row.contact_id), text });
    };

    // Existing rows, by id.
    for row in &expected.rows {
        let Some(id) = row.existing_id else { continue };
        let Some(actual) = after.contents.get(&id) else {
            push(
                Aspect::Owned,
                &row.content,
                format!("row {id} is gone; the model has {}", described(&row.content)),
            );
            continue;
        };
        if let Some(text) = content_difference(actual, &row.content) {
            let was = &before.contents[&id];
            push(Aspect::Owned, &row.content, format!("row {id} ({}): {text}", name(was)));
        } else if row.unchanged {
            let changes = changed_columns(&before.rows[&id], &after.rows[&id]);
            if !changes.is_empty() {
                let text = format!(
                    "row {id} ({}) was touched without need: {}",
                    name(&row.content),
                    changes.join("; ")
                );
                push(Aspect::Touched, &row.content, text);
            }
        }
    }
    // A new row may have got the id of a deleted one: then nothing of the old row is left.
    let is_new = |id: &i64| {
        !before.contents.contains_key(id)
            || expected.deleted.contains(id)
                && after.rows.get(id).is_some_and(|row| *row != before.rows[id])
    };
    for id in expected.deleted.iter().filter(|id| !is_new(id)) {
        if let Some(actual) = after.contents.get(id) {
            let text =
                format!("row {id} is still there ({}); the model deletes it", described(actual));
            push(Aspect::Owned, actual, text);
        }
    }

    // New rows, by what they are of.
    let mut missing: Vec<&ModelRow> =
        expected.rows.iter().filter(|row| row.existing_id.is_none()).collect();
    let new = after.contents.iter().filter(|(id, _)| after.owned.contains(id) && is_new(id));
    for (id, actual) in new {
        match missing.iter().position(|row| name(&row.content) == name(actual)) {
            Some(at) => {
                let row = missing.remove(at);
                if let Some(text) = content_difference(actual, &row.content) {
                    push(Aspect::Owned, actual, format!("new row {id} ({}): {text}", name(actual)));
                }
            }
            None => push(
                Aspect::Owned,
                actual,
                format!("new row {id} is not in the model: {}", described(actual)),
            ),
        }
    }
    for row in missing {
        let text = format!("a row is missing: {}", described(&row.content));
        push(Aspect::Owned, &row.content, text);
    }
    compare_run_ids(before, after, differences);
}

/// Rows that changed carry the id of this run, which no row had before.
fn compare_run_ids(before: &State, after: &State, differences: &mut Vec<Difference>) {
    let run_id = |row: &RawRow| row.get("scheduler_run_id").cloned().unwrap_or(Value::Null);
    let old_ids: Vec<Value> = before.rows.values().map(run_id).collect();
    let mut this_run: Option<Value> = None;
    for (id, content) in after.contents.iter().filter(|(id, _)| after.owned.contains(id)) {
        if before.contents.get(id) == Some(content) {
            continue;
        }
        let found = run_id(&after.rows[id]);
        let wanted = this_run.get_or_insert_with(|| found.clone());
        if found != *wanted || found == Value::Null || old_ids.contains(&found) {
            differences.push(Difference {
                aspect: Aspect::Touched,
                contact_id: Some(content.contact_id),
                text: format!(
                    "row {id} ({}) changed under the run id {}",
                    name(content),
                    shown(&found)
                ),
            });
        }
    }
}

fn described(row: &RowContent) -> String {
    let reason = row.skip_reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    format!("{}: {} on {}{reason}", name(row), row.status, row.scheduled_send_date)
}

/// How two contents differ, column by column. JSON is compared as JSON.
fn content_difference(actual: &RowContent, model: &RowContent) -> Option<String> {
    let json = |text: &Option<String>| {
        text.as_deref().map(|text| {
            serde_json::from_str::<serde_json::Value>(text)
                .map_or_else(|_| text.to_owned(), |value| value.to_string())
        })
    };
    let mut differences = Vec::new();
    let mut check = |column: &str, actual: String, model: String| {
        if actual != model {
            differences.push(format!("{column} is {actual}, in the model {model}"));
        }
    };
    macro_rules! columns {
        ($($column:ident),*) => {
            $(check(
                stringify!($column),
                format!("{:?}", actual.$column),
                format!("{:?}", model.$column),
            );)*
        };
    }
    columns!(
        contact_id,
        email_type,
        scheduled_send_date,
        scheduled_send_time,
        status,
        skip_reason,
        priority,
        campaign_instance_id,
        email_template,
        sms_template,
        event_year,
        event_month,
        event_day,
        initial_schedule_id,
        shift_days
    );
    check(
        "metadata",
        format!("{:?}", json(&actual.metadata)),
        format!("{:?}", json(&model.metadata)),
    );
    (!differences.is_empty()).then(|| differences.join("; "))
}

fn compare_targets(after: &State, expected: &ModelPlan, differences: &mut Vec<Difference>) {
    for (id, status) in &expected.target_statuses {
        let row = after.targets.get(id);
        let found = row.and_then(|row| row.get("status")).cloned().unwrap_or(Value::Null);
        if found != Value::Text(status.clone()) {
            let contact_id = row.and_then(|row| match row.get("contact_id") {
                Some(Value::Integer(id)) => Some(*id),
                _ => None,
            });
            differences.push(Difference {
                aspect: Aspect::Target,
                contact_id,
                text: format!(
                    "contact_campaigns {id} of contact {contact_id:?}: status is {}, in the model {status:?}",
                    shown(&found)
                ),
            });
        }
    }
}

fn compare_issues(
    before: &State,
    after: &State,
    expected: &ModelPlan,
    differences: &mut Vec<Difference>,
) {
    let found: BTreeSet<(i64, String)> = after
        .issues
        .iter()
        .filter(|(id, _)| !before.issues.contains_key(id))
        .filter_map(|(_, row)| match (row.get("contact_id"), row.get("field")) {
            (Some(Value::Integer(id)), Some(Value::Text(field))) => Some((*id, field.as_str())),
            _ => None,
        })
        // The column that an older table may have.
        .map(|(id, field)| (id, if field == "birthday" { "birth_date" } else { field }.to_owned()))
        .collect();
    let wanted: BTreeSet<(i64, String)> = expected.issues.iter().cloned().collect();
    for ((id, field), text) in
        wanted.difference(&found).map(|issue| (issue, "has no issue on record")).chain(
            found.difference(&wanted).map(|issue| (issue, "has an issue that the model has not")),
        )
    {
        differences.push(Difference {
            aspect: Aspect::Issue,
            contact_id: Some(*id),
            text: format!("contact {id}: {field} {text}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{apply, upgrade_schema},
        organization::{self, Level},
    };

    /// Stands for the real program: the model, and the table of issues.
    fn run_model(path: &Path, today: Date, config: &ModelConfig) {
        let mut conn = Connection::open(path).unwrap();
        upgrade_schema(&conn).unwrap();
        let plan = plan(&conn, today, config);
        apply(&mut conn, &plan, "this run").unwrap();
        conn.execute_batch("CREATE TABLE contact_issues (run_id, contact_id, field, reason)")
            .unwrap();
        for (contact, field) in &plan.issues {
            conn.execute(
                "INSERT INTO contact_issues VALUES ('this run', ?1, ?2, 'x')",
                rusqlite::params![contact, field],
            )
            .unwrap();
        }
    }

    #[test]
    fn a_program_that_does_what_the_model_says_has_no_differences() {
        let folder = tempfile::tempdir().unwrap();
        for seed in 0..15 {
            let path = folder.path().join(format!("{seed}.db"));
            let level = match seed % 3 {
                0 => Level::Plain,
                1 => Level::History,
                _ => Level::Full,
            };
            let organization = organization::write(&path, seed, level, 30).unwrap();
            let (today, config) = (organization.today, &organization.config);
            let differences = compare(&path, today, config, &mut |path, today, yaml| {
                assert!(std::fs::read_to_string(yaml).unwrap().contains("state_rules:"));
                run_model(path, today, config);
            });
            assert_eq!(report(&path, today, &differences), "", "seed {seed}");
        }
    }

    #[test]
    fn every_kind_of_tampering_is_found() {
        let tampering = [
            (
                Aspect::Owned,
                "UPDATE email_schedules SET scheduled_send_date = '2030-01-01' WHERE status = 'pre-scheduled'",
            ),
            (
                Aspect::Owned,
                "UPDATE email_schedules SET sms_template = 'x' WHERE status = 'skipped'",
            ),
            (Aspect::Owned, "DELETE FROM email_schedules WHERE status = 'skipped'"),
            (
                Aspect::Owned,
                "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, scheduled_send_time, status, scheduler_run_id) VALUES (1, 'birthday', '2025-01-01', '', 'skipped', 'this run')",
            ),
            (Aspect::Touched, "UPDATE email_schedules SET updated_at = 'now'"),
            (
                Aspect::Touched,
                "UPDATE email_schedules SET scheduler_run_id = 'earlier' WHERE scheduler_run_id = 'this run'",
            ),
            (
                Aspect::Committed,
                "UPDATE email_schedules SET actual_send_datetime = 'x' WHERE status = 'failed'",
            ),
            (Aspect::Committed, "DELETE FROM email_schedules WHERE status = 'sent'"),
            (
                Aspect::Committed,
                "UPDATE email_schedules SET status = 'sent' WHERE status = 'pre-scheduled'",
            ),
            (Aspect::Target, "UPDATE contact_campaigns SET status = 'x'"),
            (Aspect::Issue, "DELETE FROM contact_issues"),
            (Aspect::Issue, "INSERT INTO contact_issues VALUES ('this run', 1, 'first_name', 'x')"),
        ];
        let folder = tempfile::tempdir().unwrap();
        for (number, (aspect, sql)) in tampering.into_iter().enumerate() {
            let mut found = false;
            for seed in 0..10 {
                let path = folder.path().join(format!("{number}-{seed}.db"));
                let organization = organization::write(&path, seed, Level::Full, 30).unwrap();
                let (today, config) = (organization.today, &organization.config);
                let differences = compare(&path, today, config, &mut |path, today, _| {
                    run_model(path, today, config);
                    open_to_write(path).execute_batch(sql).unwrap();
                });
                found |= differences.iter().any(|difference| difference.aspect == aspect);
                if found {
                    assert!(!report(&path, today, &differences).is_empty());
                    break;
                }
            }
            assert!(found, "{sql}");
        }
    }

    fn open_to_write(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }
}
