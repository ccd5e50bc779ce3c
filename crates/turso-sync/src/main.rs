//! The `turso-sync` command: arguments, progress, tables, JSON, exit codes. Nothing else.

mod args;
mod commands;
mod environment;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use output::Talk;

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    /// There are differences, or conflicts, and somebody has to look at them.
    Different,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Asking for help is not an error; clap prints it to stdout then.
            let code = if error.use_stderr() { 2 } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(3),
            };
        }
    };
    let talk = Talk::new(cli.global.quiet);
    match run(&cli, talk) {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Different) => ExitCode::from(1),
        Err(error) => output::report_error(&error),
    }
}

fn run(cli: &Cli, talk: Talk) -> anyhow::Result<Ending> {
    // Before anything else uses SQLite.
    libsql_link::initialize()?;
    match &cli.command {
        Command::Diff(args) => commands::diff::run(args, talk),
        Command::Apply(args) => commands::apply::run(args, talk),
        Command::Changeset(command) => commands::changeset::run(command, talk),
        Command::Merge(args) => commands::merge::run(args, talk),
        Command::Copy(args) => commands::copy::run(args, talk),
        Command::ApplyDiff(args) => commands::apply_diff::run(args, talk),
        Command::OfflineSync(args) => commands::offline_sync::run(args, &cli.global),
    }
}
