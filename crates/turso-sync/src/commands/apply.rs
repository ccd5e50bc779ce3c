//! `turso-sync apply`.

use std::{ops::ControlFlow, path::Path};

use anyhow::Context as _;
use libsql_diff::{Applied, Diff, FileKind};
use rusqlite::{Connection, backup::Backup};
use serde::Serialize;

use super::files::{self, Given};
use crate::{
    Ending,
    args::ApplyArgs,
    output::{self, Talk, Usage, count},
};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    file: &'static str,
    inserted: u64,
    updated: u64,
    deleted: u64,
    dry_run: bool,
}

pub(crate) fn run(args: &ApplyArgs, talk: &Talk) -> anyhow::Result<Ending> {
    let given = Given::new(&args.file)?;
    if files::is_database(given.path())? {
        return Err(Usage::error(format!(
            "{} is a database, not a diff; to see what differs, use `turso-sync diff`",
            args.file.display()
        )));
    }
    let conn = files::open_database(&args.db)?;
    let scratch;
    let target = if args.dry_run {
        scratch = Scratch::of(&conn, &args.db)?;
        &scratch.conn
    } else {
        &conn
    };
    let bar = talk.bar("Applying");
    let (file, applied) = apply_file(given.path(), &args.file, target, &mut |at| {
        bar.show(&at.table, at.rows, at.bytes);
        ControlFlow::Continue(())
    })?;
    drop(bar);
    if args.json {
        output::print_json(&Report {
            file,
            inserted: applied.inserted,
            updated: applied.updated,
            deleted: applied.deleted,
            dry_run: args.dry_run,
        })?;
    } else {
        let done = if args.dry_run { "Would apply" } else { "Applied" };
        output::print(&format!("{done} to {}: {}\n", args.db.display(), in_words(&applied)))?;
    }
    Ok(Ending::Done)
}

pub(crate) fn in_words(applied: &Applied) -> String {
    format!(
        "{} rows inserted, {} updated, {} deleted",
        count(applied.inserted),
        count(applied.updated),
        count(applied.deleted)
    )
}

/// Applies the file at `path`, which the user knows as `name`.
fn apply_file(
    path: &Path,
    name: &Path,
    conn: &Connection,
    on_progress: &mut libsql_diff::OnProgress<'_>,
) -> anyhow::Result<(&'static str, Applied)> {
    match FileKind::of(path)? {
        FileKind::Diff => {
            let diff = Diff::open(path)?;
            let options = libsql_diff::ApplyOptions::default();
            Ok(("diff", libsql_diff::apply_with(&diff, conn, &options, on_progress)?))
        }
        FileKind::Changeset | FileKind::Sql => {
            Err(Usage::error(format!("{} is not a diff file", name.display())))
        }
    }
}

/// A copy of a database on which something is tried.
struct Scratch {
    conn: Connection,
    _folder: tempfile::TempDir,
}

impl Scratch {
    fn of(conn: &Connection, path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot copy {} to try it out", path.display());
        let folder = tempfile::tempdir().with_context(cannot)?;
        let copy = || -> rusqlite::Result<Connection> {
            let mut copy = Connection::open(folder.path().join("scratch.db"))?;
            // Nobody needs this file after a crash.
            copy.execute_batch("PRAGMA synchronous = OFF")?;
            Backup::new(conn, &mut copy)?.run_to_completion(-1, std::time::Duration::ZERO, None)?;
            Ok(copy)
        };
        let conn = copy().with_context(cannot)?;
        Ok(Self { conn, _folder: folder })
    }
}
