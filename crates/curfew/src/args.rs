//! The arguments of all commands.

pub(crate) mod campaign;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::civil::Date;

/// Plans an organization's messages: on the right day, never in a closed period, evenly spread, and
/// with a reason on record for each message sent or not sent.
#[derive(Debug, Parser)]
#[command(
    name = "curfew",
    version,
    after_help = "Exit codes: 0 done, 1 done but something needs attention, 2 bad input or \
                  configuration, 3 it failed.\nTo see it work: curfew demo"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plan every message of a database and write what differs.
    #[command(after_help = "\
Examples:
  curfew run --db agency.db
  curfew run --db agency.db --config curfew.yaml --today 2026-11-20
  curfew run --db agency.db --dry-run --json

Exit code 1: the run is complete, but a campaign was left out because of its settings, or contacts
changed while the plan was made (the next run plans them).")]
    Run(RunArgs),
    /// Show what a run would change, without writing anything.
    #[command(after_help = "\
Examples:
  curfew plan --db agency.db
  curfew plan --db agency.db --csv > changes.csv")]
    Plan(PlanArgs),
    /// Explain one contact's plan: its closed periods, every message, and the reason of each step.
    #[command(after_help = "\
Examples:
  curfew explain --db agency.db --contact 4711
  curfew explain --db agency.db --contact 4711 --today 2027-01-15 --json")]
    Explain(ExplainArgs),
    /// Read contacts from a CSV file into a database.
    #[command(after_help = "\
Examples:
  curfew import --db agency.db contacts.csv
  curfew import --db agency.db contacts.csv --dry-run --report problems.csv

Exit code 1: good lines went in, but some lines were rejected.")]
    Import(ImportArgs),
    /// Manage campaigns: types, instances, targets, and the log of changes.
    #[command(
        subcommand,
        after_help = "\
Examples:
  curfew campaign type add rate_increase --db agency.db --days-before-event 14
  curfew campaign instance add \"May 2027\" --db agency.db --campaign-type rate_increase
  curfew campaign target import targets.csv --db agency.db --instance \"May 2027\"
  curfew campaign log --db agency.db"
    )]
    Campaign(campaign::CampaignCommand),
    /// Show the exclusion rules in force, or check a file of rules.
    #[command(after_help = "\
Examples:
  curfew rules
  curfew rules --config curfew.yaml
  curfew rules check curfew.yaml")]
    Rules(RulesArgs),
    /// Write a sample organization, plan it and show the result.
    #[command(after_help = "\
Examples:
  curfew demo
  curfew demo /tmp/sample --today 2026-11-20")]
    Demo(DemoArgs),
    /// Make a large, realistic organization for trying things out.
    #[command(after_help = "\
Example:
  curfew generate --contacts 100000 --seed 1 --out big.db")]
    Generate(GenerateArgs),
}

/// What a plan is made from.
#[derive(Debug, Args)]
pub(crate) struct PlanSource {
    /// The SQLite file with the `contacts` table.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// The configuration file (YAML); without it the defaults are in force.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The day to plan for, YYYY-MM-DD; without it today in the organization's time zone.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) today: Option<Date>,
    /// How many threads read and plan; without it one for each core. The plan is always the same.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) source: PlanSource,
    /// Only say what would be done; nothing is written.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) source: PlanSource,
    /// Print every change and the summary as JSON.
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print every change as CSV.
    #[arg(long)]
    pub(crate) csv: bool,
    /// How many changes the table shows, at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) source: PlanSource,
    /// The contact's id.
    #[arg(long, value_name = "ID")]
    pub(crate) contact: i64,
    /// Print the explanation as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The SQLite file; it is made if it does not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// The CSV file, with a line of column names.
    #[arg(value_name = "CSV")]
    pub(crate) csv: PathBuf,
    /// Import nothing if any line is bad.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Only say what would be done; nothing is written.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write every rejected line and every note to this CSV file.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    pub(crate) command: Option<RulesCommand>,
    /// The configuration file whose rules are shown; without it the default table.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the rules as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Check the rules of a configuration file, or of a file with one rule in each line
    /// (`CA: birthday -30..+60`).
    Check {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The folder to write to; without it a folder `curfew-demo` here.
    #[arg(value_name = "DIR", default_value = "curfew-demo")]
    pub(crate) directory: PathBuf,
    /// The day to plan for, YYYY-MM-DD; without it today.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) today: Option<Date>,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// How many contacts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub(crate) contacts: u32,
    /// The same seed gives the same file.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The SQLite file to make; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Reads a date as the command line takes it: a real day, nothing else.
fn parse_date(text: &str) -> Result<Date, String> {
    let well_formed = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !well_formed {
        return Err("a date is written YYYY-MM-DD, for example 2026-11-20".to_owned());
    }
    text.parse::<Date>().map_err(|_| "there is no such day".to_owned())
}
