//! The `curfew` command: arguments, progress, tables, JSON, exit codes. Nothing else.

mod args;
mod calendar;
mod commands;
mod log;
mod output;

use std::{process::ExitCode, time::Instant};

use clap::Parser as _;

use args::{Cli, Command};

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    NeedsAttention,
    /// Part of the work failed; what did not is reported.
    Failed,
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
    if let Some(format) = cli.log_format {
        log::begin(format, cli.log_level);
    }
    let start = Instant::now();
    let _span = tracing::info_span!("command", command = cli.command.name()).entered();
    let result = match &cli.command {
        Command::Run(args) => commands::run::run(args),
        Command::Plan(args) => commands::plan::run(args),
        Command::Explain(args) => commands::explain::run(args),
        Command::Import(args) => commands::import::run(args),
        Command::Campaign(command) => commands::campaign::run(command),
        Command::MigrateLegacy(args) => commands::migrate_legacy::run(args),
        Command::Rules(args) => commands::rules::run(args),
        Command::Backup(args) => commands::backup::run(args),
        Command::Restore(args) => commands::backup::restore(args),
        Command::Config(args) => commands::config::run(args),
        Command::Audit(args) => commands::audit::run(args),
        Command::Runs(args) => commands::runs::run(args),
        Command::Status(args) => commands::status::run(args),
        Command::Demo(args) => commands::demo::run(args),
        Command::Generate(args) => commands::generate::run(args),
    };
    let code = match result {
        Ok(Ending::Done) => 0,
        Ok(Ending::NeedsAttention) => 1,
        Ok(Ending::Failed) => 3,
        Err(error) => output::report_error(&error),
    };
    tracing::info!(seconds = start.elapsed().as_secs_f64(), exit_code = code, "command ends");
    ExitCode::from(code)
}
