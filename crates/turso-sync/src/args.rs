//! The arguments of all commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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

Neither file is written to. Exit code 1: they differ. With --out the exit code is 0
whether they differ or not, so that the next command can go on.")]
    Diff(DiffArgs),
    /// Apply a diff, a changeset or SQL text to a database: all of it, or nothing.
    #[command(after_help = "\
Examples:
  turso-sync apply changes.diff agency.db
  turso-sync diff old.db new.db --sql | turso-sync apply - agency.db

What FILE is shows from its content. A diff expects the rows that it was made from: where the
database holds others, the first such row is reported, nothing is applied, and the exit code is 1.")]
    Apply(ApplyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The database file that is to be changed.
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,
    /// The database file that it is to become equal to.
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,
    /// Write the diff to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Print only how many rows of which tables differ.
    #[arg(long)]
    pub(crate) summary: bool,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// How many changed rows are listed, at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
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
