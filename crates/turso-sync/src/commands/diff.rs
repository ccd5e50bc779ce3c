//! `turso-sync diff`.

use std::{fmt::Write as _, ops::ControlFlow};

use libsql_diff::{Diff, EditKind, Operation, RowChange, Summary, TableChange, TableSummary};
use serde::Serialize;

use super::files;
use crate::{
    Ending,
    args::DiffArgs,
    output::{self, Talk, count},
};

pub(crate) fn run(args: &DiffArgs, talk: &Talk) -> anyhow::Result<Ending> {
    files::expect_database(&args.a)?;
    files::expect_database(&args.b)?;
    if let Some(out) = &args.out {
        files::expect_writable(out, &[&args.a, &args.b])?;
    }
    let bar = talk.bar("Comparing");
    let diff =
        libsql_diff::diff_with(&args.a, &args.b, &libsql_diff::Options::default(), &mut |at| {
            bar.show(&at.table, at.rows, at.bytes);
            ControlFlow::Continue(())
        });
    drop(bar);
    let diff = diff?;
    if let Some(out) = &args.out {
        diff.save(out)?;
        talk.say(&format!("Wrote {}: {}", out.display(), in_words(diff.summary())));
        return Ok(Ending::Done);
    }
    if args.json {
        output::print_json(&SummaryJson::new(diff.summary()))?;
    } else if args.summary {
        output::print(&summary_text(diff.summary()))?;
    } else {
        output::print(&listing(&diff, args.limit)?)?;
    }
    Ok(if diff.is_empty() { Ending::Done } else { Ending::Different })
}

/// A diff in one line.
pub(crate) fn in_words(summary: &Summary) -> String {
    if summary.is_empty() {
        return "no differences".to_owned();
    }
    let sum = |of: fn(&TableSummary) -> u64| count(summary.tables.iter().map(of).sum());
    let mut text = format!(
        "{} rows inserted, {} updated, {} deleted in {}",
        sum(|table| table.inserted),
        sum(|table| table.updated),
        sum(|table| table.deleted),
        tables(summary.tables.len())
    );
    let others = summary.dropped.len() + summary.created.len();
    if others > 0 {
        // Writing to a string does not fail, here and below.
        let _ = write!(text, "; indexes, views or triggers changed");
    }
    text
}

fn tables(number: usize) -> String {
    if number == 1 { "1 table".to_owned() } else { format!("{} tables", count(number as u64)) }
}

/// A diff in numbers, a line for each table.
pub(crate) fn summary_text(summary: &Summary) -> String {
    if summary.is_empty() {
        return "No differences.\n".to_owned();
    }
    let mut text = String::new();
    if !summary.tables.is_empty() {
        let mut table = output::table(&["table", "inserted", "updated", "deleted", "rows after"]);
        for entry in &summary.tables {
            table.add_row([
                format!("{}{}", entry.name, edit_note(entry.edit)),
                count(entry.inserted),
                count(entry.updated),
                count(entry.deleted),
                entry.rows.after.map(count).unwrap_or_default(),
            ]);
        }
        text += &output::table_text(&table);
    }
    text += &others_text(summary);
    text
}

fn edit_note(edit: EditKind) -> &'static str {
    match edit {
        EditKind::Create => " (created)",
        EditKind::Drop => " (dropped)",
        EditKind::AddColumns => " (columns added)",
        EditKind::Rebuild => " (defined anew)",
        EditKind::Refill => " (all rows replaced)",
        _ => "",
    }
}

/// What differs besides tables.
fn others_text(summary: &Summary) -> String {
    let mut text = String::new();
    for (what, objects) in [("dropped", &summary.dropped), ("created", &summary.created)] {
        for (kind, name) in objects {
            let _ = writeln!(text, "{} {name} {what}", kind.keyword().to_ascii_lowercase());
        }
    }
    for change in &summary.sequences {
        let value = |value: &Option<libsql_diff::Value>| {
            value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        let (old, new) = (value(&change.old), value(&change.new));
        let _ = writeln!(text, "autoincrement of {}: {old} -> {new}", change.table);
    }
    for change in &summary.settings {
        let _ = writeln!(text, "{}: {} -> {}", change.setting.pragma(), change.old, change.new);
    }
    text
}

/// Every change in a line, at most `limit` of them, and the numbers.
fn listing(diff: &Diff, limit: usize) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut table: Option<Box<TableChange>> = None;
    let (mut shown, mut rows) = (0, 0_u64);
    for operation in diff.operations() {
        match operation? {
            Operation::Table(change) => {
                if shown < limit {
                    let _ = writeln!(text, "{}", change.name);
                }
                table = Some(change);
            }
            Operation::Row(row) => {
                rows += 1;
                if let Some(table) = &table
                    && shown < limit
                {
                    shown += 1;
                    let _ = writeln!(text, "  {}", row_line(table, &row));
                }
            }
            _ => {}
        }
    }
    if rows > shown as u64 {
        let more = count(rows - shown as u64);
        let _ = writeln!(text, "and {more} more rows; --limit, --sql and --json show them");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text += &summary_text(diff.summary());
    Ok(text)
}

fn row_line(table: &TableChange, row: &RowChange) -> String {
    let column = |index: usize| table.columns.get(index).map_or("", |column| &column.name);
    let key = row.key(table).map(|key| format!("{key}: ")).unwrap_or_default();
    let all = |values: &[libsql_diff::Value]| -> String {
        let values = values.iter().enumerate();
        values
            .map(|(index, value)| format!("{} {value}", column(index)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match row {
        RowChange::Insert { values, .. } => format!("+ {key}{}", all(values)),
        RowChange::Delete { values, .. } => format!("- {key}{}", all(values)),
        RowChange::Update { changes, .. } => {
            let changes: Vec<String> = changes
                .iter()
                .map(|change| format!("{} {} -> {}", column(change.column), change.old, change.new))
                .collect();
            format!("~ {key}{}", changes.join(", "))
        }
    }
}

/// A diff in numbers, as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct SummaryJson {
    equal: bool,
    inserted: u64,
    updated: u64,
    deleted: u64,
    tables: Vec<TableJson>,
    dropped: Vec<ObjectJson>,
    created: Vec<ObjectJson>,
    sequences: Vec<String>,
    settings: Vec<SettingJson>,
}

#[derive(Debug, Serialize)]
struct TableJson {
    name: String,
    edit: &'static str,
    inserted: u64,
    updated: u64,
    deleted: u64,
    rows_before: Option<u64>,
    rows_after: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ObjectJson {
    kind: String,
    name: String,
}

#[derive(Debug, Serialize)]
struct SettingJson {
    setting: &'static str,
    old: i32,
    new: i32,
}

impl SummaryJson {
    pub(crate) fn new(summary: &Summary) -> Self {
        let objects = |objects: &[(libsql_diff::ObjectKind, String)]| {
            let object = |(kind, name): &(libsql_diff::ObjectKind, String)| ObjectJson {
                kind: kind.keyword().to_ascii_lowercase(),
                name: name.clone(),
            };
            objects.iter().map(object).collect()
        };
        let sum = |of: fn(&TableSummary) -> u64| summary.tables.iter().map(of).sum();
        Self {
            equal: summary.is_empty(),
            inserted: sum(|table| table.inserted),
            updated: sum(|table| table.updated),
            deleted: sum(|table| table.deleted),
            tables: summary.tables.iter().map(TableJson::new).collect(),
            dropped: objects(&summary.dropped),
            created: objects(&summary.created),
            sequences: summary.sequences.iter().map(|change| change.table.clone()).collect(),
            settings: summary
                .settings
                .iter()
                .map(|change| SettingJson {
                    setting: change.setting.pragma(),
                    old: change.old,
                    new: change.new,
                })
                .collect(),
        }
    }
}

impl TableJson {
    fn new(table: &TableSummary) -> Self {
        Self {
            name: table.name.clone(),
            edit: match table.edit {
                EditKind::Create => "create",
                EditKind::Drop => "drop",
                EditKind::AddColumns => "add_columns",
                EditKind::Rebuild => "rebuild",
                EditKind::Refill => "refill",
                _ => "rows",
            },
            inserted: table.inserted,
            updated: table.updated,
            deleted: table.deleted,
            rows_before: table.rows.before,
            rows_after: table.rows.after,
        }
    }
}
