//! The arguments of the older tool's commands: its names, its short forms, its defaults.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Manner, RemoteArgs, WorkingFile};

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// The local copy of the remote database.
    #[arg(long, short, alias = "db", value_name = "FILE", default_value = "local_replica.db")]
    pub(crate) replica_path: PathBuf,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct WorkflowArgs {
    /// The local copy of the remote database.
    #[arg(long, short, value_name = "FILE", default_value = "local_replica.db")]
    pub(crate) replica_path: PathBuf,
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct DumpFiles {
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    /// The copy of the remote database that changes are told from.
    #[arg(long, value_name = "FILE", default_value = "baseline.db")]
    pub(crate) baseline: PathBuf,
    /// The remote database as SQL text.
    #[arg(long, visible_alias = "dump", value_name = "FILE", default_value = "original_dump.sql")]
    pub(crate) original_dump: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DumpInitArgs {
    #[command(flatten)]
    pub(crate) files: DumpFiles,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct DumpPushArgs {
    #[command(flatten)]
    pub(crate) files: DumpFiles,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Where the changes are kept as SQL text.
    #[arg(long, visible_alias = "diff", value_name = "FILE", default_value = "diff.sql")]
    pub(crate) diff_file: PathBuf,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyDiffArgs {
    /// The database that the changes are applied to.
    #[arg(
        long,
        short,
        visible_alias = "db",
        value_name = "FILE",
        default_value = "local_replica.db"
    )]
    pub(crate) db_path: PathBuf,
    /// The changes: SQL text, or any other file that `apply` takes.
    #[arg(long, visible_alias = "diff", value_name = "FILE", default_value = "diff.sql")]
    pub(crate) diff_file: PathBuf,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Apply only; push nothing.
    #[arg(long)]
    pub(crate) no_sync: bool,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct LibsqlSyncArgs {
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct OfflineSyncArgs {
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Which way changes go.
    #[arg(long, value_name = "DIRECTION", value_enum, default_value_t = Direction::Both)]
    pub(crate) direction: Direction,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    /// From the remote database.
    Pull,
    /// To the remote database.
    Push,
    /// Both ways.
    Both,
}
