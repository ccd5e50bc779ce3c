//! The arguments of the older tool's commands: its names, its short forms, its defaults.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{RemoteArgs, Secret};

/// The remote database, as some of the older commands call it.
#[derive(Debug, Args)]
pub(crate) struct SyncUrlArgs {
    /// The remote database: libsql://…, https://… or http://…; without it `TURSO_DATABASE_URL` of
    /// the environment or of a file `.env`.
    #[arg(long, short, visible_alias = "url", value_name = "URL")]
    pub(crate) sync_url: Option<String>,
    /// The token that the server asks for; better given in `TURSO_AUTH_TOKEN`, as other users of the
    /// machine see arguments.
    #[arg(long, short, value_name = "TOKEN")]
    pub(crate) token: Option<Secret>,
}

impl SyncUrlArgs {
    pub(crate) fn remote(&self) -> RemoteArgs {
        RemoteArgs { url: self.sync_url.clone(), token: self.token.clone() }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// The local copy of the remote database.
    #[arg(long, short, alias = "db", value_name = "FILE", default_value = "local_replica.db")]
    pub(crate) replica_path: PathBuf,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WorkflowArgs {
    /// The local copy of the remote database.
    #[arg(long, short, value_name = "FILE", default_value = "local_replica.db")]
    pub(crate) replica_path: PathBuf,
    /// The file that programs work on.
    #[arg(long, short, alias = "db", value_name = "FILE", default_value = "working_copy.db")]
    pub(crate) working_path: PathBuf,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DumpFiles {
    /// The file that programs work on.
    #[arg(
        long,
        short,
        visible_alias = "db",
        value_name = "FILE",
        default_value = "working_copy.db"
    )]
    pub(crate) db_path: PathBuf,
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
    /// Only say what would be pushed; nothing is written.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
    pub(crate) remote: SyncUrlArgs,
    /// Apply only; push nothing.
    #[arg(long)]
    pub(crate) no_sync: bool,
    /// Only say what would be applied; nothing is written.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LibsqlSyncArgs {
    /// The file that programs work on.
    #[arg(
        long,
        short,
        visible_alias = "db",
        value_name = "FILE",
        default_value = "working_copy.db"
    )]
    pub(crate) db_path: PathBuf,
    #[command(flatten)]
    pub(crate) remote: SyncUrlArgs,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OfflineSyncArgs {
    /// The file that programs work on.
    #[arg(
        long,
        short,
        visible_alias = "db",
        value_name = "FILE",
        default_value = "working_copy.db"
    )]
    pub(crate) db_path: PathBuf,
    #[command(flatten)]
    pub(crate) remote: SyncUrlArgs,
    /// Which way changes go.
    #[arg(long, value_name = "DIRECTION", value_enum, default_value_t = Direction::Both)]
    pub(crate) direction: Direction,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
