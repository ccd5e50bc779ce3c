//! `turso-sync apply`.

use std::{fs::File, io::BufReader, path::Path};

use anyhow::Context as _;
use libsql_diff::{Applied, ApplyOptions, Changeset, Diff, FileKind, OnConflict, OnProgress};
use rusqlite::Connection;
use serde::Serialize;

use super::files::{self, Given, Scratch};
use crate::{
    Ending,
    args::ApplyArgs,
    output::{self, Bar, Talk, Usage, count},
};

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What the file was.
    format: &'static str,
    #[serde(flatten)]
    rows: Rows,
    dry_run: bool,
}

/// What was done. A script does not say which of its rows were inserted, updated or deleted.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Rows {
    Told { inserted: u64, updated: u64, deleted: u64 },
    Script { statements: u64, rows_changed: u64 },
}

impl Report {
    pub(crate) fn in_words(&self, db: &Path) -> String {
        let done = if self.dry_run { "Would apply" } else { "Applied" };
        format!("{done} to {}: {}", db.display(), self.rows.in_words())
    }
}

impl From<Applied> for Rows {
    fn from(applied: Applied) -> Self {
        let Applied { inserted, updated, deleted } = applied;
        Self::Told { inserted, updated, deleted }
    }
}

impl Rows {
    fn in_words(&self) -> String {
        match self {
            Self::Told { inserted, updated, deleted } => format!(
                "{} rows inserted, {} updated, {} deleted",
                count(*inserted),
                count(*updated),
                count(*deleted)
            ),
            Self::Script { statements, rows_changed } => {
                format!("{} statements, {} rows changed", count(*statements), count(*rows_changed))
            }
        }
    }
}

pub(crate) fn run(args: &ApplyArgs, talk: Talk) -> anyhow::Result<Ending> {
    let report = apply(&args.file, &args.db, args.manner.dry_run, talk)?;
    if args.manner.json {
        output::print_json(&report)?;
    } else {
        output::print(&format!("{}\n", report.in_words(&args.db)))?;
    }
    Ok(Ending::Done)
}

/// Applies a file to a database, or tries that out on a copy.
pub(crate) fn apply(file: &Path, db: &Path, dry_run: bool, talk: Talk) -> anyhow::Result<Report> {
    let given = Given::new(file)?;
    expect_no_database(given.path(), file)?;
    let conn = files::open_database(db)?;
    let scratch;
    let target = if dry_run {
        scratch = Scratch::of(&conn, db, None)?;
        &scratch.conn
    } else {
        &conn
    };
    let bar = talk.bar("Applying");
    let report = apply_file(given.path(), target, &bar);
    drop(bar);
    let (format, rows) = report.map_err(|error| given.name_in(error))?;
    Ok(Report { format, rows, dry_run })
}

/// Refuses a database where something to apply is expected.
pub(crate) fn expect_no_database(path: &Path, name: &Path) -> anyhow::Result<()> {
    if files::is_database(path)? {
        return Err(Usage::error(format!(
            "{} is a database, not a diff; to see what differs, use `turso-sync diff`",
            name.display()
        )));
    }
    Ok(())
}

/// How many changes a changeset holds.
pub(crate) fn changes_of(changeset: &Changeset) -> anyhow::Result<u64> {
    let tables = changeset.summary()?;
    Ok(tables.iter().map(|table| table.inserted + table.updated + table.deleted).sum())
}

fn apply_file(path: &Path, conn: &Connection, bar: &Bar) -> anyhow::Result<(&'static str, Rows)> {
    let options = ApplyOptions::default();
    let on_progress: &mut OnProgress<'_> = &mut |at| bar.show(at);
    let open = || -> anyhow::Result<BufReader<File>> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(BufReader::new(file))
    };
    Ok(match FileKind::of(path)? {
        FileKind::Diff => {
            let diff = Diff::open(path)?;
            bar.total(diff.summary().rows_changed());
            ("diff", libsql_diff::apply_with(&diff, conn, &options, on_progress)?.into())
        }
        FileKind::Json => {
            let diff = Diff::read_json(&mut open()?)?;
            bar.total(diff.summary().rows_changed());
            ("json", libsql_diff::apply_with(&diff, conn, &options, on_progress)?.into())
        }
        FileKind::Changeset => {
            let changeset = Changeset::open(path)?;
            bar.total(changes_of(&changeset)?);
            let applied = changeset.apply(conn, OnConflict::Abort, on_progress)?;
            let (inserted, updated) = (applied.inserted, applied.updated);
            ("changeset", Rows::Told { inserted, updated, deleted: applied.deleted })
        }
        FileKind::Sql => {
            let applied = libsql_diff::apply_script(&mut open()?, conn, on_progress)?;
            let (statements, rows_changed) = (applied.statements, applied.rows_changed);
            ("sql", Rows::Script { statements, rows_changed })
        }
    })
}
