//! The arguments of all commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keeps a local SQLite file and a libSQL or Turso database in step, without loss; and says, keeps
/// and applies what differs between two SQLite files.
#[derive(Debug, Parser)]
#[command(
    name = "turso-sync",
    version,
    after_help = "Exit codes: 0 done, 1 conflicts or differences, 2 bad arguments or input, 3 it failed."
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
    /// Say nothing on stderr but errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show or keep what turns one database file into another.
    #[command(after_help = "\
Examples:
  turso-sync diff old.db new.db
  turso-sync diff old.db new.db --sql > changes.sql
  turso-sync diff old.db new.db --out changes.diff && turso-sync apply changes.diff copy-of-old.db

Neither file is written to. Exit code 1: they differ. Where a file is written the exit code is 0
whether they differ or not, so that the next command can go on; 1 then says that a changeset
could not take in everything.")]
    Diff(Box<DiffArgs>),
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

Exit code 1: both sides changed the same thing differently; every such conflict is shown with all
three values, and with the policy `abort` nothing is written.")]
    Merge(MergeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The database file that is to be changed.
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,
    /// The database file that it is to become equal to.
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,
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
    /// Only say what would be applied; nothing is written.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
    },
    /// Make one changeset that does what several do one after the other.
    Concat {
        /// The changesets, the first one first.
        #[arg(value_name = "FILE", required = true, num_args = 2..)]
        files: Vec<PathBuf>,
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Apply a changeset to a database.
    #[command(after_help = "\
Exit code 1: rows were not as the changeset expects them. With `abort` nothing is applied then; with
`skip` and `replace` the rest is, and what was done about each of them is listed.")]
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
        /// Only say what would be applied; nothing is written.
        #[arg(long)]
        dry_run: bool,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
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
    /// Only say what would be merged; nothing is written.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
