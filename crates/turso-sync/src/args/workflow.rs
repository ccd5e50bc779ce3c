//! The arguments of the commands that keep a file in step with a remote database.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Manner, MergePolicy, RemoteArgs, Secret, WorkingFile, parse_time};

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Bring a file that is there together with what the remote database has.
    #[arg(long)]
    pub(crate) merge: bool,
    /// Who wins where both have something differently: the file (ours) or the remote database.
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = MergePolicy::Abort)]
    #[arg(requires = "merge")]
    pub(crate) policy: MergePolicy,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Do not ask the server.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Keep what is pushed as SQL text in this file.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub(crate) diff_file: Option<PathBuf>,
    /// (older) Bring this local copy in step after the push.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) replica_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Who wins where the same thing was changed differently here (ours) and there (theirs).
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = MergePolicy::Abort)]
    pub(crate) policy: MergePolicy,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) file: WorkingFile,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// How long to wait between two syncs, such as 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_time)]
    pub(crate) every: Duration,
    /// Who wins where the same thing was changed differently here (ours) and there (theirs).
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = MergePolicy::Abort)]
    pub(crate) policy: MergePolicy,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The database to copy: a file, or the address of a remote database.
    #[arg(value_name = "SOURCE", conflicts_with = "source_option")]
    pub(crate) source: Option<String>,
    /// Where the copy goes: a file, or the address of a remote database.
    #[arg(value_name = "DEST", conflicts_with = "dest_option", requires = "source")]
    pub(crate) dest: Option<String>,
    /// The database to copy, as the older tool names it.
    #[arg(
        id = "source_option",
        long = "source",
        short = 's',
        value_name = "FILE",
        default_value = "local_replica.db"
    )]
    pub(crate) source_option: PathBuf,
    /// Where the copy goes, as the older tool names it.
    #[arg(
        id = "dest_option",
        long = "dest",
        short = 'd',
        value_name = "FILE",
        default_value = "working_copy.db"
    )]
    pub(crate) dest_option: PathBuf,
    /// Make a database that is there, and holds something, the copy.
    #[arg(long)]
    pub(crate) replace: bool,
    /// The token that the server asks for; better given in `TURSO_AUTH_TOKEN`.
    #[arg(long, short, value_name = "TOKEN")]
    pub(crate) token: Option<Secret>,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
