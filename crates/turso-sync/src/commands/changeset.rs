//! `turso-sync changeset`.

use std::{fmt::Write as _, path::Path};

use libsql_diff::{Change, ChangedRow, Changeset, ChangesetKind, FileKind, Value};
use serde_json::{Map, Value as Json, json};

use super::{
    apply::{changes_of, expect_no_database},
    files::{self, Given, Scratch},
    values,
};
use crate::{
    Ending,
    args::{ChangesetCommand, Manner},
    output::{self, Talk, Usage, count},
};

pub(crate) fn run(command: &ChangesetCommand, talk: Talk) -> anyhow::Result<Ending> {
    match command {
        ChangesetCommand::Inspect { file, limit, json } => inspect(file, *limit, *json),
        ChangesetCommand::Invert { file, out, dry_run } => {
            files::expect_writable(out, &[file])?;
            write(&open(file)?.invert()?, out, *dry_run, talk)
        }
        ChangesetCommand::Concat { files, out, dry_run } => {
            let inputs: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
            files::expect_writable(out, &inputs)?;
            let mut joined = Changeset::from_bytes(Vec::new())?;
            for (index, file) in files.iter().enumerate() {
                let next = open(file)?;
                joined = if index == 0 { next } else { joined.concat(&next)? };
            }
            write(&joined, out, *dry_run, talk)
        }
        ChangesetCommand::Apply { file, db, on_conflict, manner } => {
            let Manner { dry_run, json } = manner;
            let changeset = open(file)?;
            let conn = files::open_database(db)?;
            let scratch;
            let target = if *dry_run {
                scratch = Scratch::of(&conn, db, None)?;
                &scratch.conn
            } else {
                &conn
            };
            let bar = talk.bar("Applying");
            bar.total(changes_of(&changeset)?);
            let applied = changeset.apply(target, (*on_conflict).into(), &mut |at| bar.show(at));
            drop(bar);
            let applied = applied?;
            if *json {
                let conflicts: Vec<Json> =
                    applied.conflicts.iter().map(values::conflict_json).collect();
                output::print_json(&json!({
                    "inserted": applied.inserted,
                    "updated": applied.updated,
                    "deleted": applied.deleted,
                    "skipped": applied.skipped,
                    "replaced": applied.replaced,
                    "conflicts": conflicts,
                    "dry_run": dry_run,
                }))?;
            } else {
                let mut text = String::new();
                // Writing to a string does not fail, here and below.
                for conflict in &applied.conflicts {
                    let _ = writeln!(text, "{conflict}");
                }
                let _ = writeln!(
                    text,
                    "{} to {}: {} rows inserted, {} updated, {} deleted; {} skipped, {} replaced",
                    if *dry_run { "Would apply" } else { "Applied" },
                    db.display(),
                    count(applied.inserted),
                    count(applied.updated),
                    count(applied.deleted),
                    count(applied.skipped),
                    count(applied.replaced),
                );
                output::print(&text)?;
            }
            Ok(Ending::Done)
        }
    }
}

fn open(file: &Path) -> anyhow::Result<Changeset> {
    let given = Given::new(file)?;
    expect_no_database(given.path(), file)?;
    let empty = std::fs::metadata(given.path()).is_ok_and(|metadata| metadata.len() == 0);
    if !empty && FileKind::of(given.path())? != FileKind::Changeset {
        return Err(Usage::error(format!("{} is not a changeset", file.display())));
    }
    Changeset::open(given.path()).map_err(|error| given.name_in(error.into()))
}

fn write(changeset: &Changeset, out: &Path, dry_run: bool, talk: Talk) -> anyhow::Result<Ending> {
    if !dry_run {
        changeset.save(out)?;
    }
    let (mut inserted, mut updated, mut deleted) = (0, 0, 0);
    for table in changeset.summary()? {
        inserted += table.inserted;
        updated += table.updated;
        deleted += table.deleted;
    }
    talk.say(&format!(
        "{} {}: {} rows inserted, {} updated, {} deleted",
        if dry_run { "Would write" } else { "Wrote" },
        out.display(),
        count(inserted),
        count(updated),
        count(deleted)
    ));
    Ok(Ending::Done)
}

fn inspect(file: &Path, limit: usize, json: bool) -> anyhow::Result<Ending> {
    let changeset = open(file)?;
    if json {
        output::print_json(&whole_json(&changeset)?)?;
        return Ok(Ending::Done);
    }
    let mut text = String::new();
    let mut total = 0_u64;
    for change in changeset.changes() {
        let change = change?;
        total += 1;
        if total <= limit as u64 {
            let _ = writeln!(text, "{}", line(&change));
        }
    }
    if total > limit as u64 {
        let more = count(total - limit as u64);
        let _ = writeln!(text, "and {more} more changes; --limit and --json show them");
    }
    let mut table = output::table(&["table", "inserted", "updated", "deleted"]);
    for entry in changeset.summary()? {
        table.add_row([
            entry.table.name.clone(),
            count(entry.inserted),
            count(entry.updated),
            count(entry.deleted),
        ]);
    }
    if total == 0 {
        text += "No changes.\n";
    } else {
        let _ = write!(text, "\n{}, {} changes\n", kind_name(&changeset), count(total));
        text += &output::table_text(&table);
    }
    output::print(&text)?;
    Ok(Ending::Done)
}

fn kind_name(changeset: &Changeset) -> &'static str {
    match changeset.kind() {
        ChangesetKind::Changeset => "changeset",
        ChangesetKind::Patchset => "patchset",
    }
}

/// A change in one line. The format knows columns by their numbers only, counted from 0.
fn line(change: &Change) -> String {
    let given = |values: &[Option<Value>]| -> String {
        let values = values.iter().enumerate();
        let given = values.filter_map(|(column, value)| Some((column, value.as_ref()?)));
        given.map(|(column, value)| format!("{column}: {value}")).collect::<Vec<_>>().join(", ")
    };
    let name = &change.table.name;
    let indirect = if change.is_indirect { " (indirect)" } else { "" };
    match &change.row {
        ChangedRow::Insert { new } => {
            let new: Vec<Option<Value>> = new.iter().cloned().map(Some).collect();
            format!("+ {name} {}{indirect}", given(&new))
        }
        ChangedRow::Delete { old } => format!("- {name} {}{indirect}", given(old)),
        ChangedRow::Update { old, new } => {
            format!("~ {name} {} -> {}{indirect}", given(old), given(new))
        }
    }
}

fn whole_json(changeset: &Changeset) -> anyhow::Result<Json> {
    let tables: Vec<Json> = changeset
        .summary()?
        .iter()
        .map(|entry| {
            json!({
                "name": entry.table.name,
                "key": entry.table.key,
                "inserted": entry.inserted,
                "updated": entry.updated,
                "deleted": entry.deleted,
            })
        })
        .collect();
    let mut changes = Vec::new();
    for change in changeset.changes() {
        changes.push(change_json(&change?));
    }
    Ok(json!({ "kind": kind_name(changeset), "tables": tables, "changes": changes }))
}

fn change_json(change: &Change) -> Json {
    // By column number; a value that is not given is not there, unlike NULL.
    let given = |values: &[Option<Value>]| -> Json {
        let mut object = Map::new();
        for (column, value) in values.iter().enumerate() {
            values::put(&mut object, &column.to_string(), value.as_ref());
        }
        Json::Object(object)
    };
    let (name, old, new) = match &change.row {
        ChangedRow::Insert { new } => {
            let new: Vec<Option<Value>> = new.iter().cloned().map(Some).collect();
            ("insert", Json::Null, given(&new))
        }
        ChangedRow::Delete { old } => ("delete", given(old), Json::Null),
        ChangedRow::Update { old, new } => ("update", given(old), given(new)),
    };
    json!({
        "table": change.table.name,
        "change": name,
        "indirect": change.is_indirect,
        "old": old,
        "new": new,
    })
}
