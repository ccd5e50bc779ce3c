//! The `turso-sync` command: arguments, progress, tables, JSON, exit codes. Nothing else.

mod args;
mod commands;
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
    let result = match &cli.command {
        Command::Diff(args) => commands::diff::run(args, talk),
        Command::Apply(args) => commands::apply::run(args, talk),
        Command::Changeset(command) => commands::changeset::run(command, talk),
        Command::Merge(args) => commands::merge::run(args, talk),
    };
    match result {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Different) => ExitCode::from(1),
        Err(error) => output::report_error(&error),
    }
}
