//! `turso-sync diff`.

use std::{fmt::Write as _, path::Path};

use libsql_diff::{
    ChangesetKind, Diff, EditKind, Omission, OmissionReason, Operation, Options, RowChange, Rowids,
    Summary, TableChange, TableSummary,
};

use super::files;
use crate::{
    Ending,
    args::{DiffArgs, DiffForm},
    output::{self, Talk, Usage, count},
};

pub(crate) fn run(args: &DiffArgs, talk: Talk) -> anyhow::Result<Ending> {
    let form = &args.form;
    let (Some(a), Some(b)) = (&args.a, &args.b) else {
        return since_in_step(args, talk);
    };
    files::expect_database(a)?;
    files::expect_database(b)?;
    expect_outputs(form, &[a, b])?;
    let rowids = if args.rowids { Rowids::Always } else { Rowids::OnlyWithoutKey };
    let options = Options { rowids, ..Options::default() };
    let bar = talk.bar("Comparing");
    let diff = libsql_diff::diff_with(a, b, &options, &mut |at| bar.show(at));
    drop(bar);
    show(&diff?, form, args.limit, talk)
}

/// What a synced file has that it had not when it was last in step.
fn since_in_step(args: &DiffArgs, talk: Talk) -> anyhow::Result<Ending> {
    if args.rowids {
        return Err(Usage::error("--rowids is for two files; name both"));
    }
    let file = args.a.as_deref().unwrap_or(&args.db);
    expect_outputs(&args.form, &[file])?;
    let bar = talk.bar("Comparing");
    let diff = turso_sync::diff(file, &bar);
    drop(bar);
    show(&diff?, &args.form, args.limit, talk)
}

fn expect_outputs(form: &DiffForm, inputs: &[&Path]) -> anyhow::Result<()> {
    for out in [&form.out, &form.changeset, &form.patchset].into_iter().flatten() {
        files::expect_writable(out, inputs)?;
    }
    Ok(())
}

/// Shows or keeps a diff in the form that was asked for.
pub(crate) fn show(
    diff: &Diff,
    form: &DiffForm,
    limit: usize,
    talk: Talk,
) -> anyhow::Result<Ending> {
    let out = form.out.as_deref();
    if form.sql {
        files::write_to(out, |to| Ok(diff.write_sql(to)?))?;
    } else if form.json && form.summary {
        files::write_to(None, |to| Ok(diff.summary().write_json(to)?))?;
    } else if form.json {
        files::write_to(out, |to| Ok(diff.write_json(to)?))?;
    } else if form.summary {
        output::print(&summary_text(diff.summary()))?;
    } else if let Some(out) = out {
        diff.save(out)?;
    } else if let Some(out) = &form.changeset {
        return changeset(diff, ChangesetKind::Changeset, out, talk);
    } else if let Some(out) = &form.patchset {
        return changeset(diff, ChangesetKind::Patchset, out, talk);
    } else {
        output::print(&listing(diff, limit)?)?;
    }
    if let Some(out) = out {
        talk.say(&format!("Wrote {}: {}", out.display(), in_words(diff.summary())));
        return Ok(Ending::Done);
    }
    Ok(if diff.is_empty() { Ending::Done } else { Ending::Different })
}

/// Writes a changeset, and says what it could not take in.
fn changeset(diff: &Diff, kind: ChangesetKind, out: &Path, talk: Talk) -> anyhow::Result<Ending> {
    let mut omissions = Vec::new();
    files::write_whole(out, |to| {
        omissions = diff.write_changeset(kind, to)?;
        Ok(())
    })?;
    talk.say(&format!("Wrote {}: {}", out.display(), in_words(diff.summary())));
    for omission in &omissions {
        output::warn(&omission_text(omission));
    }
    Ok(if omissions.is_empty() { Ending::Done } else { Ending::Different })
}

fn omission_text(omission: &Omission) -> String {
    let why = match omission.reason {
        OmissionReason::Definition => "a changeset knows rows only, no definitions",
        OmissionReason::NoPrimaryKey => "the table has no primary key",
        OmissionReason::VirtualTable => "it is a virtual table, or holds the data of one",
        OmissionReason::NullKey => "rows whose primary key holds NULL",
        OmissionReason::Sequence => "its AUTOINCREMENT counter",
        OmissionReason::Setting => "a setting of the file",
        _ => "SQLite's format cannot hold it",
    };
    let rows = match omission.rows {
        0 => String::new(),
        rows => format!(", with {} row changes", count(rows)),
    };
    format!("left out of the changeset: {}{rows}: {why}", omission.subject)
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
