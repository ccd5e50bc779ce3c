//! The older tool's commands, under their names: each comes down to `init`, `pull` and `push`.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use turso_sync::{Error, PushEnd, PushReport, Remote};

use super::{
    apply, files, push,
    step::{self, InStep},
};
use crate::{
    Ending,
    args::{
        GlobalArgs,
        older::{
            ApplyDiffArgs, DumpFiles, DumpInitArgs, DumpPushArgs, LibsqlSyncArgs, SyncArgs,
            WorkflowArgs,
        },
    },
    environment,
    output::{self, Talk, Usage},
};

/// `sync`: a local copy that follows the remote database.
pub(crate) fn sync(args: &SyncArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote, global)?;
    let outcome = step::bring_in_step(&args.replica_path, &remote, talk)?;
    if args.json {
        output::print_json(&outcome)?;
    } else {
        output::print(&outcome.text(&args.replica_path))?;
    }
    Ok(Ending::of(outcome.exit_code()))
}

/// `workflow`: a local copy, and a working file.
pub(crate) fn workflow(
    args: &WorkflowArgs,
    global: &GlobalArgs,
    talk: Talk,
) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote, global)?;
    let (replica, working) = (&args.replica_path, &args.working_path);
    let mut exit_code = 0;
    for file in [replica, working] {
        let outcome = step::bring_in_step(file, &remote, talk)?;
        output::print(&outcome.text(file))?;
        exit_code = exit_code.max(outcome.exit_code());
    }
    let name = working.display();
    output::print(&format!(
        "Programs use {name}. Next: `turso-sync status {name}`, `turso-sync pull {name}`, \
         `turso-sync push {name}`\n"
    ))?;
    Ok(Ending::of(exit_code))
}

/// What `libsql-sync --json` prints.
#[derive(Debug, Serialize)]
struct BothWays {
    pull: InStep,
    /// None if there were conflicts.
    push: Option<PushReport>,
}

/// `libsql-sync`: both ways.
pub(crate) fn libsql_sync(
    args: &LibsqlSyncArgs,
    global: &GlobalArgs,
    talk: Talk,
) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote.remote(), global)?;
    let file = &args.db_path;
    let pull = step::bring_in_step(file, &remote, talk)?;
    let mut exit_code = pull.exit_code();
    let mut text = pull.text(file);
    let mut report = BothWays { pull, push: None };
    if exit_code == 0 {
        let pushed = push::push(file, &remote, false, talk)?;
        exit_code = pushed.exit_code();
        text += &push::text(file, &pushed);
        report.push = Some(pushed);
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text)?;
    }
    Ok(Ending::of(exit_code))
}

/// What `apply-diff --json` prints.
#[derive(Debug, Serialize)]
struct AppliedAndPushed {
    #[serde(flatten)]
    applied: apply::Report,
    /// None with `--no-sync` and `--dry-run`.
    push: Option<PushReport>,
}

/// `apply-diff`: changes into a file, then to the remote database.
pub(crate) fn apply_diff(
    args: &ApplyDiffArgs,
    global: &GlobalArgs,
    talk: Talk,
) -> anyhow::Result<Ending> {
    let file = &args.db_path;
    let mut remote = None;
    if !args.no_sync {
        files::expect_database(file)?;
        // Before anything is changed: whether it can be pushed at all.
        turso_sync::base(file).with_context(|| {
            format!("cannot push {}; give --no-sync to apply only", file.display())
        })?;
        remote = Some(environment::remote(&args.remote.remote(), global)?);
    }
    let applied = apply::apply(&args.diff_file, file, args.dry_run, talk)?;
    let mut text = format!("{}\n", applied.in_words(file));
    let mut push = None;
    let mut ending = Ending::Done;
    if let Some(remote) = &remote
        && !args.dry_run
    {
        let report = push::push(file, remote, false, talk).with_context(|| {
            format!(
                "{} was applied, but could not be pushed; do it with `turso-sync push {}`",
                args.diff_file.display(),
                file.display()
            )
        })?;
        text += &push::text(file, &report);
        ending = Ending::of(report.exit_code());
        push = Some(report);
    }
    if args.json {
        output::print_json(&AppliedAndPushed { applied, push })?;
    } else {
        output::print(&text)?;
    }
    Ok(ending)
}

/// `dump-init`: a working file, and beside it what the remote database had, as a file and as SQL.
pub(crate) fn dump_init(
    args: &DumpInitArgs,
    global: &GlobalArgs,
    talk: Talk,
) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote, global)?;
    let dump_files = &args.files;
    dump_files_writable(dump_files)?;
    let outcome = step::bring_in_step(&dump_files.db_path, &remote, talk)?;
    output::print(&outcome.text(&dump_files.db_path))?;
    if outcome.exit_code() == 0 {
        write_dump_files(dump_files, talk)?;
    }
    Ok(Ending::of(outcome.exit_code()))
}

/// `dump-push`: local changes to the remote database, and what it has then into the files.
pub(crate) fn dump_push(
    args: &DumpPushArgs,
    global: &GlobalArgs,
    talk: Talk,
) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote, global)?;
    let file = &args.files.db_path;
    dump_files_writable(&args.files)?;
    files::expect_database(file)?;
    adopt_baseline(file, &args.files.baseline, &remote, talk)?;
    if !args.dry_run {
        push::keep_changes(file, &args.diff_file, talk)?;
    }
    let report = push::push(file, &remote, args.dry_run, talk)?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&push::text(file, &report))?;
    }
    if report.end == PushEnd::Pushed {
        write_dump_files(&args.files, talk)?;
    }
    Ok(Ending::of(report.exit_code()))
}

/// A file that the older tool made has no state folder; its baseline says what it came from.
fn adopt_baseline(file: &Path, baseline: &Path, remote: &Remote, talk: Talk) -> anyhow::Result<()> {
    match turso_sync::base(file) {
        Ok(_) => return Ok(()),
        Err(Error::NotInitialized { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    if !baseline.exists() {
        return Err(Usage::error(format!(
            "there is neither {} nor {}.sync; begin with `turso-sync dump-init`",
            baseline.display(),
            file.display()
        )));
    }
    files::expect_database(baseline)?;
    turso_sync::adopt(file, baseline, remote)?;
    talk.say(&format!("Took over {} with {}", file.display(), baseline.display()));
    Ok(())
}

fn dump_files_writable(args: &DumpFiles) -> anyhow::Result<()> {
    files::expect_writable(&args.original_dump, &[&args.db_path, &args.baseline])?;
    if args.baseline == args.db_path {
        return Err(Usage::error("the working file and the baseline must be two files"));
    }
    Ok(())
}

/// The baseline and the dump: what the remote database had when the file was last in step.
fn write_dump_files(args: &DumpFiles, talk: Talk) -> anyhow::Result<()> {
    let base = turso_sync::base(&args.db_path)?;
    files::replace_copy(&base, &args.baseline)?;
    let nothing = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    let bar = talk.bar("Dumping");
    let all = libsql_diff::diff_with(
        nothing.path(),
        &base,
        &libsql_diff::Options::default(),
        &mut |at| {
            bar.show(&at.table, at.rows, at.bytes);
            std::ops::ControlFlow::Continue(())
        },
    )?;
    files::write_whole(&args.original_dump, |to| {
        to.write_all(
            b"-- A dump: applied to an empty database, it makes a copy of the remote one.\n",
        )?;
        Ok(all.write_sql(to)?)
    })?;
    drop(bar);
    talk.say(&format!("Wrote {} and {}", args.baseline.display(), args.original_dump.display()));
    Ok(())
}
