//! The older tool's commands, under their names: each comes down to `init`, `pull` and `push`.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use turso_sync::{Changes, Error, PushEnd, PushReport, Remote, shell_word};

use super::{
    apply, files, push,
    step::{self, InStep},
};
use crate::{
    Ending,
    args::{
        GlobalArgs, Manner,
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
    let outcome = step::bring_in_step(&args.replica_path, &remote, args.manner.dry_run, talk)?;
    if args.manner.json {
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
    let Manner { dry_run, json } = args.manner;
    let (replica, working) = (&*args.replica_path, args.file.path());
    let of_replica = step::bring_in_step(replica, &remote, dry_run, talk)?;
    if !json {
        output::print(&of_replica.text(replica))?;
    }
    let of_working = step::bring_in_step(working, &remote, dry_run, talk)?;
    let ending = Ending::of(of_replica.exit_code().max(of_working.exit_code()));
    if json {
        output::print_json(&BothFiles { replica: of_replica, working: of_working })?;
        return Ok(ending);
    }
    let name = shell_word(working);
    output::print(&of_working.text(working))?;
    if !dry_run {
        output::print(&format!(
            "Programs use {name}. Next: `turso-sync status {name}`, `turso-sync pull {name}`, \
             `turso-sync push {name}`\n"
        ))?;
    }
    Ok(ending)
}

/// What `workflow --json` prints.
#[derive(Debug, Serialize)]
struct BothFiles {
    replica: InStep,
    working: InStep,
}

/// What `libsql-sync --json` prints.
#[derive(Debug, Serialize)]
struct BothWays {
    pull: InStep,
    /// None if there were conflicts, and where a file is not begun yet.
    push: Option<PushReport>,
}

/// `libsql-sync`: both ways.
pub(crate) fn libsql_sync(
    args: &LibsqlSyncArgs,
    global: &GlobalArgs,
    talk: Talk,
) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote, global)?;
    let file = args.file.path();
    let Manner { dry_run, json } = args.manner;
    let pull = step::bring_in_step(file, &remote, dry_run, talk)?;
    let mut exit_code = pull.exit_code();
    let mut text = pull.text(file);
    let mut report = BothWays { pull, push: None };
    // What a file that is not begun yet would push is in the first report.
    let can_push = !dry_run || matches!(report.pull, InStep::Pulled(_));
    if exit_code == 0 && can_push {
        let pushed = push::push(file, &remote, dry_run, talk)?;
        exit_code = pushed.exit_code();
        text += &push::text(file, &pushed);
        report.push = Some(pushed);
    }
    if json {
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
        remote = Some(environment::remote(&args.remote, global)?);
    }
    let applied = apply::apply(&args.diff_file, file, args.manner.dry_run, talk)?;
    let mut text = format!("{}\n", applied.in_words(file));
    let mut push = None;
    let mut ending = Ending::Done;
    if let Some(remote) = &remote
        && !args.manner.dry_run
    {
        let report = push::push(file, remote, false, talk).with_context(|| {
            format!(
                "{} was applied, but could not be pushed; do it with `turso-sync push {}`",
                args.diff_file.display(),
                shell_word(file)
            )
        })?;
        text += &push::text(file, &report);
        ending = Ending::of(report.exit_code());
        push = Some(report);
    }
    if args.manner.json {
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
    let file = dump_files.file.path();
    let Manner { dry_run, json } = args.manner;
    let outcome = step::bring_in_step(file, &remote, dry_run, talk)?;
    if json {
        output::print_json(&outcome)?;
    } else {
        output::print(&outcome.text(file))?;
    }
    if outcome.exit_code() == 0 {
        write_dump_files(dump_files, dry_run, talk)?;
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
    let file = args.files.file.path();
    let Manner { dry_run, json } = args.manner;
    dump_files_writable(&args.files)?;
    files::expect_database(file)?;
    let is_new = is_to_be_adopted(file, &args.files.baseline)?;
    let report = if is_new && dry_run {
        adopted_dry(file, &args.files.baseline, talk)?
    } else {
        if is_new {
            adopt(file, &args.files.baseline, &remote, talk)?;
        }
        if !dry_run {
            push::keep_changes(file, &args.diff_file, talk)?;
        }
        push::push(file, &remote, dry_run, talk)?
    };
    if json {
        output::print_json(&report)?;
    } else {
        output::print(&push::text(file, &report))?;
    }
    if report.end == PushEnd::Pushed {
        write_dump_files(&args.files, false, talk)?;
    }
    Ok(Ending::of(report.exit_code()))
}

/// Whether the older tool made the file: it has no state folder; its baseline says what it came
/// from.
fn is_to_be_adopted(file: &Path, baseline: &Path) -> anyhow::Result<bool> {
    match turso_sync::base(file) {
        Ok(_) => return Ok(false),
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
    Ok(true)
}

fn adopt(file: &Path, baseline: &Path, remote: &Remote, talk: Talk) -> anyhow::Result<()> {
    turso_sync::adopt(file, baseline, remote)?;
    talk.say(&format!("Took over {} with {}", file.display(), baseline.display()));
    Ok(())
}

/// What would be pushed of a file that would be taken over.
fn adopted_dry(file: &Path, baseline: &Path, talk: Talk) -> anyhow::Result<PushReport> {
    let bar = talk.bar("Comparing");
    let options = libsql_diff::Options::default();
    let diff = libsql_diff::diff_with(baseline, file, &options, &mut |at| bar.show(at))?;
    drop(bar);
    talk.say(&format!("Would take over {} with {}", file.display(), baseline.display()));
    Ok(PushReport {
        end: if diff.is_empty() { PushEnd::Nothing } else { PushEnd::DryRun },
        changes: Changes::of(diff.summary()),
        resumed: false,
        reason: None,
        conflicts_count: 0,
        conflicts: Vec::new(),
        notes: Vec::new(),
    })
}

fn dump_files_writable(args: &DumpFiles) -> anyhow::Result<()> {
    files::expect_writable(&args.original_dump, &[args.file.path(), &args.baseline])?;
    if args.baseline == args.file.path() {
        return Err(Usage::error("the working file and the baseline must be two files"));
    }
    Ok(())
}

/// The baseline and the dump: what the remote database had when the file was last in step.
fn write_dump_files(args: &DumpFiles, dry_run: bool, talk: Talk) -> anyhow::Result<()> {
    let (baseline, dump) = (args.baseline.display(), args.original_dump.display());
    if dry_run {
        talk.say(&format!("Would write {baseline} and {dump}"));
        return Ok(());
    }
    let base = turso_sync::base(args.file.path())?;
    files::replace_copy(&base, &args.baseline)?;
    let nothing = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    let bar = talk.bar("Dumping");
    let all = libsql_diff::diff_with(
        nothing.path(),
        &base,
        &libsql_diff::Options::default(),
        &mut |at| bar.show(at),
    )?;
    files::write_whole(&args.original_dump, |to| {
        to.write_all(
            b"-- A dump: applied to an empty database, it makes a copy of the remote one.\n",
        )?;
        Ok(all.write_sql(to)?)
    })?;
    drop(bar);
    talk.say(&format!("Wrote {baseline} and {dump}"));
    Ok(())
}
