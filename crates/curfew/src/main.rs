//! The `curfew` command: arguments, progress, tables, JSON, exit codes. Nothing else.

mod args;
mod calendar;
mod commands;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    NeedsAttention,
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
    let result = match &cli.command {
        Command::Run(args) => commands::run::run(args),
        Command::Plan(args) => commands::plan::run(args),
        Command::Explain(args) => commands::explain::run(args),
        Command::Import(args) => commands::import::run(args),
        Command::Campaign(command) => commands::campaign::run(command),
        Command::Rules(args) => commands::rules::run(args),
        Command::Backup(args) => commands::backup::run(args),
        Command::Restore(args) => commands::backup::restore(args),
        Command::Config(args) => commands::config::run(args),
        Command::Audit(args) => commands::audit::run(args),
        Command::Runs(args) => commands::runs::run(args),
        Command::Status(args) => commands::status::run(args),
        Command::Demo(_) => Ok(Ending::Done),
        Command::Generate(_) => Ok(Ending::Done),
    };
    match result {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::NeedsAttention) => ExitCode::from(1),
        Err(error) => output::report_error(&error),
    }
}
