//! The arguments of all commands.

pub(crate) mod older;
pub(crate) mod workflow;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keeps a local SQLite file and a libSQL or Turso database in step, without loss; and says, keeps
/// and applies what differs between two SQLite files.
#[derive(Debug, Parser)]
#[command(
    name = "turso-sync",
    version,
    after_help = "Exit codes: 0 done, 1 conflicts or differences, 2 bad arguments or input, 3 it failed, \
                  130 stopped by Ctrl-C."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Say nothing on stderr but errors and warnings.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// How long the command may take in all, such as 5s, 500ms or 2m. Without it, it ends when the
    /// server does not answer a call within 30s.
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_time)]
    pub(crate) timeout: Option<Duration>,
}

/// How a command that writes is carried out, and how it reports.
#[derive(Debug, Args)]
pub(crate) struct Manner {
    /// Only say what would be done; nothing is written, here or there.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The file that programs work on.
#[derive(Debug, Args)]
pub(crate) struct WorkingFile {
    /// The SQLite file that programs work on; what is known of the remote database is kept beside
    /// it, in the folder FILE.sync.
    #[arg(value_name = "FILE", conflicts_with = "db")]
    file: Option<PathBuf>,
    /// The same file, as other commands name it.
    #[arg(
        long,
        short,
        visible_alias = "db-path",
        alias = "working-path",
        short_alias = 'w',
        value_name = "FILE",
        default_value = WORKING_FILE
    )]
    db: PathBuf,
}

/// The file that programs work on, if none is named: as with the older tool.
pub(crate) const WORKING_FILE: &str = "working_copy.db";

impl WorkingFile {
    pub(crate) fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(&self.db)
    }
}

/// The remote database.
#[derive(Debug, Args)]
pub(crate) struct RemoteArgs {
    /// The remote database: libsql://…, https://… or http://…; without it `TURSO_DATABASE_URL` of
    /// the environment or of a file `.env`.
    #[arg(
        long,
        short,
        visible_aliases = ["remote-url", "sync-url"],
        short_alias = 's',
        value_name = "URL"
    )]
    pub(crate) url: Option<String>,
    /// The token that the server asks for; better given in `TURSO_AUTH_TOKEN`, as other users of the
    /// machine see arguments.
    #[arg(long, short, value_name = "TOKEN")]
    pub(crate) token: Option<Secret>,
}

/// A text that is never shown.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Reads `30`, `30s`, `500ms`, `2m`, `1h 30m`; more than nothing.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "write a time such as 30s, 500ms or 5m";
    let text = text.trim();
    let time = if let Ok(seconds) = text.parse::<u32>() {
        Duration::from_secs(seconds.into())
    } else {
        let time: jiff::SignedDuration = text.parse().map_err(|_| EXPECTED)?;
        Duration::try_from(time).map_err(|_| EXPECTED)?
    };
    if time.is_zero() { Err("it must be more than nothing".into()) } else { Ok(time) }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Begin: fetch a remote database into a file, or keep a file for a remote one that is empty.
    #[command(after_help = "\
Examples:
  turso-sync init agency.db --url libsql://agency-example.turso.io
  turso-sync init agency.db --url http://127.0.0.1:8080 --merge

What both sides last had in common is kept beside the file, in agency.db.sync. A file that is
there already stays: if the remote database is empty, all of it waits for the first push; with
--merge, what only one of them has goes into the file, and exit code 1 says that both have
something differently.")]
    Init(workflow::InitArgs),
    /// Say how a file and its remote database stand to each other, and what to do next.
    #[command(after_help = "\
Examples:
  turso-sync status agency.db
  turso-sync status agency.db --offline --json

Exit code 1: there is something to do; local changes, for example.")]
    Status(workflow::StatusArgs),
    /// Show or keep what turns one database file into another, or what changed in a synced file.
    #[command(after_help = "\
Examples:
  turso-sync diff agency.db
  turso-sync diff old.db new.db
  turso-sync diff old.db new.db --sql > changes.sql
  turso-sync diff old.db new.db --out changes.diff && turso-sync apply changes.diff copy-of-old.db

Neither file is written to. Exit code 1: they differ. Where a file is written the exit code is 0
whether they differ or not, so that the next command can go on; 1 then says that a changeset
could not take in everything.")]
    Diff(Box<DiffArgs>),
    /// Send local changes to the remote database: all of them, or none.
    #[command(after_help = "\
Examples:
  turso-sync push agency.db
  turso-sync push agency.db --dry-run

A push that was interrupted is brought to its end by the next one. Exit code 1: a row was changed
in the remote database meanwhile; nothing was pushed, and a pull comes first.")]
    Push(workflow::PushArgs),
    /// Bring what is new in the remote database into a file; local changes stay.
    #[command(after_help = "\
Examples:
  turso-sync pull agency.db
  turso-sync pull agency.db --policy theirs

Exit code 1: both sides changed the same thing, a column of a row or a definition, and nobody settled it: the file
is as it was. Every such conflict is shown with all three values; the policies `ours` and `theirs`
settle them, and the exit code is 0.")]
    Pull(workflow::PullArgs),
    /// Throw local changes away: make a file what the remote database has.
    #[command(after_help = "\
Examples:
  turso-sync reset agency.db
  turso-sync reset agency.db --yes

It asks before, and keeps what the file was in agency.db.sync/backups.")]
    Reset(workflow::ResetArgs),
    /// Sync in the background until it is stopped.
    #[command(after_help = "\
Examples:
  turso-sync watch agency.db
  turso-sync watch agency.db --every 30s --policy theirs --json

Pulls, pushes, waits, and begins anew. Conflicts and failures are told and end nothing; after
failures the wait grows, up to an hour. With --json, each line is an object. With --dry-run, it says
what one round would do, and ends. --timeout is for each call to the server.")]
    Watch(workflow::WatchArgs),
    /// Look at the connection to a remote database step by step.
    #[command(after_help = "\
Example:
  turso-sync test --url libsql://agency-example.turso.io

Name, connection, encryption, version, token, reading, writing (a table that is rolled back),
and the time of a round trip. --timeout is for each of them. Exit code 3: a step failed.")]
    Test(workflow::TestArgs),
    /// Copy a database to another place: from a file or a server, to a file or a server.
    #[command(after_help = "\
Examples:
  turso-sync copy agency.db copy.db
  turso-sync copy agency.db http://127.0.0.1:8080
  turso-sync copy --source local_replica.db --dest working_copy.db --replace

A database that is there and holds something only becomes the copy with --replace: all at once,
so that programs that have it open see the old one or the new one.")]
    Copy(workflow::CopyArgs),
    /// Apply a diff, a changeset or SQL text to a database: all of it, or nothing.
    #[command(after_help = "\
Examples:
  turso-sync apply changes.diff agency.db
  turso-sync diff old.db new.db --sql | turso-sync apply - agency.db

What FILE is shows from its content. A diff expects the rows that it was made from: where the
database holds others, the first such row is reported, nothing is applied, and the exit code is 1.")]
    Apply(ApplyArgs),
    /// Look at, invert, join and apply changesets and patchsets of SQLite's session extension.
    #[command(
        subcommand,
        after_help = "\
Examples:
  turso-sync diff old.db new.db --changeset changes
  turso-sync changeset inspect changes
  turso-sync changeset invert changes --out undo && turso-sync changeset apply undo new.db"
    )]
    Changeset(ChangesetCommand),
    /// Bring together what two sides made of one base, by row and column.
    #[command(after_help = "\
Examples:
  turso-sync merge base.db ours.db theirs.db --out merged.db
  turso-sync merge base.db ours.db theirs.db --out merged.db --policy theirs

Exit code 1: both sides changed the same thing differently, and nobody settled it: nothing is
written. Every such conflict is shown with all three values; the policies `ours` and `theirs` settle
them, and the exit code is 0.")]
    Merge(MergeArgs),
    /// (older) Keep a local copy in step with the remote database.
    #[command(after_help = "\
Example:
  turso-sync sync --replica-path local_replica.db

Newer: `init` once, then `pull`. It is an ordinary file with its state folder, no embedded
replica.")]
    Sync(older::SyncArgs),
    /// (older) Bring a local copy and a working file in step with the remote database.
    #[command(after_help = "\
Example:
  turso-sync workflow --replica-path local_replica.db --working-path working_copy.db

Newer: `init` once, then `pull` and `push`. Changes in the working file stay.")]
    Workflow(older::WorkflowArgs),
    /// (older) Fetch the remote database into a working file, a baseline and a dump.
    #[command(after_help = "\
Example:
  turso-sync dump-init --db-path working_copy.db

Writes working_copy.db, baseline.db and original_dump.sql. Newer: `init`. Called again, it
brings what is new into the working file; changes there stay.")]
    DumpInit(older::DumpInitArgs),
    /// (older) Push what changed since the baseline.
    #[command(after_help = "\
Example:
  turso-sync dump-push --db-path working_copy.db

Writes diff.sql before, and baseline.db and original_dump.sql afterwards. Newer: `push`. A file
of the older tool, which has a baseline but no state folder, is taken over.")]
    DumpPush(older::DumpPushArgs),
    /// (older) Pull, then push.
    #[command(after_help = "\
Example:
  turso-sync libsql-sync --db-path working_copy.db

Newer: `pull`, then `push`. Exit code 1: both sides changed the same; nothing was pushed then.")]
    LibsqlSync(older::LibsqlSyncArgs),
    /// (older) Apply a file of changes to a database, then push them.
    #[command(after_help = "\
Example:
  turso-sync apply-diff --db-path working_copy.db --diff-file diff.sql --no-sync

Newer: `apply`, then `push`. All of the file is applied, in one transaction, or nothing.")]
    ApplyDiff(older::ApplyDiffArgs),
    /// (older) Sync by libSQL's protocol for offline writes, where the server has it.
    #[command(after_help = "\
Example:
  turso-sync offline-sync --db-path working_copy.db --direction both

Newer: `pull` and `push`, which work with every libSQL server. Most servers, sqld among them,
do not have the protocol; the command says so then and does nothing.")]
    OfflineSync(older::OfflineSyncArgs),
}

impl Command {
    /// Whether `--timeout` is for each call to the server, because the command is to go on.
    pub(crate) fn is_timed_by_call(&self) -> bool {
        match self {
            Self::Watch(args) => !args.manner.dry_run,
            Self::Test(_) => true,
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The database file that is to be changed; alone, a file that is synced: what changed in it
    /// since it was last in step.
    #[arg(value_name = "A", conflicts_with = "db")]
    pub(crate) a: Option<PathBuf>,
    /// The database file that it is to become equal to.
    #[arg(value_name = "B")]
    pub(crate) b: Option<PathBuf>,
    /// The file that is synced, as other commands name it.
    #[arg(long, short, visible_alias = "db-path", value_name = "FILE", default_value = WORKING_FILE)]
    pub(crate) db: PathBuf,
    #[command(flatten)]
    pub(crate) form: DiffForm,
    /// Compare rowids too where a table has a primary key of its own.
    #[arg(long)]
    pub(crate) rowids: bool,
    /// How many changed rows are listed, at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// How differences are shown or kept; without any of these they are listed for reading.
#[derive(Debug, Args)]
pub(crate) struct DiffForm {
    /// Write the diff to this file, for `apply`; with --sql or --json in that form.
    #[arg(long, value_name = "FILE", conflicts_with = "summary")]
    pub(crate) out: Option<PathBuf>,
    /// Print the diff as SQL text.
    #[arg(long, conflicts_with_all = ["json", "summary"])]
    pub(crate) sql: bool,
    /// Write a changeset of SQLite's session extension to this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "sql", "json", "summary"])]
    pub(crate) changeset: Option<PathBuf>,
    /// Write a patchset, which is smaller and knows no old values, to this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "sql", "json", "summary", "changeset"])]
    pub(crate) patchset: Option<PathBuf>,
    /// Print only how many rows of which tables differ.
    #[arg(long)]
    pub(crate) summary: bool,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// What to apply; `-` reads it from stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The database file to change.
    #[arg(value_name = "DB")]
    pub(crate) db: PathBuf,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChangesetCommand {
    /// List the changes of a changeset.
    Inspect {
        /// The changeset; `-` reads it from stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// How many changes are listed, at most.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Print all changes as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make the changeset that undoes another one.
    Invert {
        /// The changeset; `-` reads it from stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Only say what would be written.
        #[arg(long)]
        dry_run: bool,
    },
    /// Make one changeset that does what several do one after the other.
    Concat {
        /// The changesets, the first one first.
        #[arg(value_name = "FILE", required = true, num_args = 2..)]
        files: Vec<PathBuf>,
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Only say what would be written.
        #[arg(long)]
        dry_run: bool,
    },
    /// Apply a changeset to a database.
    #[command(after_help = "\
Exit code 1: rows were not as the changeset expects them, and with `abort` nothing is applied then.
With `skip` and `replace` the rest is, what was done about each of them is listed, and the exit
code is 0.")]
    Apply {
        /// The changeset; `-` reads it from stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The database file to change.
        #[arg(value_name = "DB")]
        db: PathBuf,
        /// What to do about a row that is not as the changeset expects it.
        #[arg(long, value_name = "POLICY", value_enum, default_value_t = ConflictPolicy::Abort)]
        on_conflict: ConflictPolicy,
        #[command(flatten)]
        manner: Manner,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ConflictPolicy {
    /// Apply nothing.
    Abort,
    /// Leave the row as it is.
    Skip,
    /// Let the changeset win.
    Replace,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The database that both sides began with.
    #[arg(value_name = "BASE")]
    pub(crate) base: PathBuf,
    /// Our side.
    #[arg(value_name = "OURS")]
    pub(crate) ours: PathBuf,
    /// Their side.
    #[arg(value_name = "THEIRS")]
    pub(crate) theirs: PathBuf,
    /// The database file to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Who wins where both changed the same thing differently.
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = MergePolicy::Abort)]
    pub(crate) policy: MergePolicy,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MergePolicy {
    /// Nobody: list the conflicts and merge nothing.
    Abort,
    /// Ours stays.
    Ours,
    /// Theirs replaces ours.
    Theirs,
}

impl From<MergePolicy> for libsql_diff::MergePolicy {
    fn from(policy: MergePolicy) -> Self {
        match policy {
            MergePolicy::Abort => Self::Abort,
            MergePolicy::Ours => Self::Ours,
            MergePolicy::Theirs => Self::Theirs,
        }
    }
}

impl From<ConflictPolicy> for libsql_diff::OnConflict {
    fn from(policy: ConflictPolicy) -> Self {
        match policy {
            ConflictPolicy::Abort => Self::Abort,
            ConflictPolicy::Skip => Self::Skip,
            ConflictPolicy::Replace => Self::Replace,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_contradict_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_in_seconds_and_in_units() {
        for (text, milliseconds) in
            [("30", 30_000), ("5s", 5_000), ("500ms", 500), ("5m", 300_000), ("1h 30m", 5_400_000)]
        {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "0", "0s", "-1s", "5 parsecs", "1e3"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_is_not_in_the_debug_text() {
        let cli = Cli::parse_from(["turso-sync", "offline-sync", "--token", "s3cret"]);
        assert!(!format!("{cli:?}").contains("s3cret"));
    }
}
