//! The `turso-sync` command: arguments, progress, tables, JSON, exit codes. Nothing else.

mod args;
mod commands;
mod environment;
mod interrupt;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use commands::older;
use output::Talk;

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    /// There are differences, or conflicts, and somebody has to look at them.
    Different,
}

impl Ending {
    /// Of the exit code that a report gives, 0 or 1.
    fn of(exit_code: u8) -> Self {
        if exit_code == 0 { Self::Done } else { Self::Different }
    }
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
        Err(error) => output::report_error(error),
    }
}

fn run(cli: &Cli, talk: Talk) -> anyhow::Result<Ending> {
    // Before anything else uses SQLite.
    libsql_link::initialize()?;
    interrupt::listen()?;
    if let Some(time) = cli.global.timeout
        && !cli.command.is_timed_by_call()
    {
        interrupt::after(time);
    }
    match &cli.command {
        Command::Diff(args) => commands::diff::run(args, talk),
        Command::Apply(args) => commands::apply::run(args, talk),
        Command::Changeset(command) => commands::changeset::run(command, talk),
        Command::Merge(args) => commands::merge::run(args, talk),
        Command::Init(args) => commands::init::run(args, &cli.global, talk),
        Command::Status(args) => commands::status::run(args, &cli.global, talk),
        Command::Push(args) => commands::push::run(args, &cli.global, talk),
        Command::Pull(args) => commands::pull::run(args, &cli.global, talk),
        Command::Watch(args) => commands::watch::run(args, &cli.global, talk),
        Command::Test(args) => commands::test::run(args, &cli.global, talk),
        Command::Reset(args) => commands::reset::run(args, &cli.global, talk),
        Command::Copy(args) => commands::copy::run(args, &cli.global, talk),
        Command::Sync(args) => older::sync(args, &cli.global, talk),
        Command::Workflow(args) => older::workflow(args, &cli.global, talk),
        Command::DumpInit(args) => older::dump_init(args, &cli.global, talk),
        Command::DumpPush(args) => older::dump_push(args, &cli.global, talk),
        Command::ApplyDiff(args) => older::apply_diff(args, &cli.global, talk),
        Command::LibsqlSync(args) => older::libsql_sync(args, &cli.global, talk),
        Command::OfflineSync(args) => commands::offline_sync::run(args, &cli.global, talk),
    }
}
