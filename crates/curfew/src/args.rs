//! The arguments of all commands.

pub(crate) mod campaign;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
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
    /// Log each step to stderr, as text or as one JSON object a line, in place of progress bars.
    #[arg(long, value_name = "FORMAT", global = true, help_heading = "Logging")]
    pub(crate) log_format: Option<LogFormat>,
    /// The least important messages that are logged, with --log-format.
    #[arg(
        long,
        value_name = "LEVEL",
        global = true,
        help_heading = "Logging",
        default_value = "info",
        requires = "log_format"
    )]
    pub(crate) log_level: LogLevel,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
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
changed while the plan was made (the next run plans them).
Exit code 3: it failed; the summary, if there is one, names the contacts that were left out.")]
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
    /// Take over the older application's rows: rate increases become a campaign, everything else is
    /// recognized; the sender's rows stay as they are.
    #[command(after_help = "\
Examples:
  curfew migrate-legacy --db agency.db --dry-run
  curfew migrate-legacy --db agency.db

Do it before the first run, which removes planned rows of kinds that it does not know. Doing it again
changes nothing.

Exit code 1: it is done, but something needs attention; the report says what.")]
    MigrateLegacy(MigrateLegacyArgs),
    /// Show the exclusion rules in force, or check a file of rules.
    #[command(after_help = "\
Examples:
  curfew rules
  curfew rules --config curfew.yaml
  curfew rules check curfew.yaml")]
    Rules(RulesArgs),
    /// Copy a database while others read and write it, and remove its old backups.
    #[command(after_help = "\
Example:
  curfew backup --db agency.db

The copy goes into the folder `backup.directory` of the configuration, beside the database, and is
checked. Every run that changes something makes one before.")]
    Backup(BackupArgs),
    /// Put a backup in the place of a database, which is kept beside it.
    #[command(after_help = "\
Example:
  curfew restore --db agency.db backups/agency.db-20261120T060000.000Z.backup

End the programs that use the database before, and start them again afterwards.")]
    Restore(RestoreArgs),
    /// Show, compare and check configurations: those that runs used, and files.
    #[command(after_help = "\
Examples:
  curfew config show --db agency.db
  curfew config history --db agency.db
  curfew config diff 3 curfew.yaml --db agency.db
  curfew config rollback 3 --db agency.db --to curfew.yaml
  curfew config check curfew.yaml")]
    Config(ConfigArgs),
    /// Prove what was planned, changed and why.
    #[command(after_help = "\
Examples:
  curfew audit verify --db agency.db
  curfew audit show --db agency.db --contact 4711
  curfew audit show --db agency.db --from 2026-11-01 --to 2026-11-30 --csv > november.csv
  curfew audit show --db agency.db --as-of 2026-11-15

Exit code 1: `audit verify` found that the record was edited.")]
    Audit(AuditArgs),
    /// List the runs on record, or show one.
    #[command(after_help = "\
Examples:
  curfew runs --db agency.db
  curfew runs show 20261120T060000.123456Z-4711 --db agency.db")]
    Runs(RunsArgs),
    /// Say whether all is well: the database, the runs, and what was not sent.
    #[command(after_help = "\
Examples:
  curfew status --db agency.db
  curfew status --db agency.db --max-age-hours 200 --json

Exit code 1: something is wrong; the database cannot be read, for example.")]
    Status(StatusArgs),
    /// Write a sample organization, plan it and show the result.
    #[command(after_help = "\
Examples:
  curfew demo
  curfew demo /tmp/sample --today 2026-11-20")]
    Demo(DemoArgs),
    /// Make a large, realistic organization for trying things out.
    ///
    /// All states by population, ZIP codes that agree with them, ages 64 to 95, effective dates that
    /// cluster on the 1st of a month and on January, 1% of the contacts with something wrong. Nobody
    /// in it is real: mail addresses and phone numbers are those kept free for examples.
    ///
    /// The same options give the same bytes, with one version of this program on every machine. The
    /// file is called FILE.partial until it is complete.
    #[command(after_help = "\
Examples:
  curfew generate --contacts 100000 --seed 1 --out big.db
  curfew generate --contacts 3000000 --campaigns --history --clicks --out agency.db")]
    Generate(GenerateArgs),
}

impl Command {
    /// Its name, as it is typed.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Plan(_) => "plan",
            Self::Explain(_) => "explain",
            Self::Import(_) => "import",
            Self::Campaign(_) => "campaign",
            Self::MigrateLegacy(_) => "migrate-legacy",
            Self::Rules(_) => "rules",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Config(_) => "config",
            Self::Audit(_) => "audit",
            Self::Runs(_) => "runs",
            Self::Status(_) => "status",
            Self::Demo(_) => "demo",
            Self::Generate(_) => "generate",
        }
    }
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
    /// Make no backup before the first change.
    #[arg(long)]
    pub(crate) no_backup: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print the summary as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Pull from the libSQL server before the run, and push to it afterwards. A token is read from
    /// the variable `TURSO_AUTH_TOKEN`.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) sync: bool,
    /// The server's address, such as `libsql://agency.example.org`; needed the first time. Without
    /// it, the variable `TURSO_DATABASE_URL` is read.
    #[arg(long, value_name = "URL", requires = "sync")]
    pub(crate) sync_url: Option<String>,
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
    /// Plan for this day with the configuration that was in force on it, YYYY-MM-DD; contacts and
    /// rows are those of now.
    #[arg(long, value_name = "DATE", value_parser = parse_date, conflicts_with_all = ["config", "today"])]
    pub(crate) as_of: Option<Date>,
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
pub(crate) struct MigrateLegacyArgs {
    /// The older application's database.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// The configuration file (YAML), which says where backups go.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Only say what would be done; nothing is written.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make no backup before the first change.
    #[arg(long)]
    pub(crate) no_backup: bool,
    /// Days from the ideal date of a rate increase to its event, for the new campaign type; without
    /// it as most rows have it.
    #[arg(long, value_name = "DAYS", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-3650..=3650))]
    pub(crate) days_before_event: Option<i32>,
    /// Who is on record for it; without it the login name.
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
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
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Check the rules of a configuration file, or of a file with one rule in each line
    /// (`CA: birthday -30..+60`).
    #[command(after_help = "Examples:
  curfew rules check curfew.yaml
  curfew rules check rules.txt --json

What is wrong is shown with its line and place, exit code 2. Days ahead of the windows: those of the
configuration file; for a file of rules the default, 60.")]
    Check {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The SQLite file with the `contacts` table.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// The configuration file (YAML), which says where backups go and how long they are kept.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The SQLite file to replace.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// The backup.
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show a configuration with all its keys: a version on record, a file's, or the defaults.
    Show {
        /// The version; without it the one that the last run used.
        #[arg(value_name = "VERSION", requires = "db")]
        version: Option<i64>,
        /// The database with the versions.
        #[arg(long, value_name = "FILE")]
        db: Option<PathBuf>,
        /// Show this configuration file instead.
        #[arg(long, value_name = "FILE", conflicts_with = "db")]
        config: Option<PathBuf>,
    },
    /// List the versions that runs used, with what changed.
    History {
        /// The database.
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
        /// Print the versions as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare two configurations.
    Diff {
        /// The number of a version, or a file.
        #[arg(value_name = "A")]
        old: PathBuf,
        /// The number of a version, or a file.
        #[arg(value_name = "B")]
        new: PathBuf,
        /// The database with the versions.
        #[arg(long, value_name = "FILE")]
        db: Option<PathBuf>,
        /// Print the differences as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a version to the configuration file, from which the next run takes it.
    Rollback {
        /// The version.
        #[arg(value_name = "VERSION")]
        version: i64,
        /// The database with the versions.
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
        /// The configuration file; what is in it is kept beside it.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Check a configuration file.
    Check {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check the whole history against its chain of hashes.
    Verify {
        /// The database.
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
        /// The hash of an entry that was noted elsewhere; the record must have it.
        #[arg(long, value_name = "HASH", value_parser = parse_hash)]
        expect: Option<String>,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show which rows were changed or deleted, when, by which run and why, and what they were; with
    /// --as-of the plan as it stood.
    Show(AuditShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AuditShowArgs {
    /// The database.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// Only changes of one contact's rows.
    #[arg(long, value_name = "ID")]
    pub(crate) contact: Option<i64>,
    /// Only changes by one run.
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// Only changes of this day and later ones, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) from: Option<Date>,
    /// Only changes of this day and earlier ones, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) to: Option<Date>,
    /// Show the plan as it stood at the end of this day, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = parse_date, conflicts_with_all = ["run", "from", "to"])]
    pub(crate) as_of: Option<Date>,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// The form in which a list is printed.
#[derive(Debug, Args)]
pub(crate) struct Form {
    /// Print everything as JSON.
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print everything as CSV.
    #[arg(long)]
    pub(crate) csv: bool,
    /// How many lines the table shows, at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,
    /// The database.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) db: Option<PathBuf>,
    /// How many of the latest runs, at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Print the runs as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Show one run with its counts and the time of each stage.
    Show {
        /// The run.
        #[arg(value_name = "ID")]
        id: String,
        /// The database.
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
        /// Print the run as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The database.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// How many hours ago the last successful run may have begun.
    #[arg(long, value_name = "HOURS", default_value_t = 30.0, value_parser = parse_hours)]
    pub(crate) max_age_hours: f64,
    /// How many messages may be planned for days that are past.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_overdue: u64,
    /// Which part of the contacts may be invalid, 0 to 1.
    #[arg(long, value_name = "PART", default_value_t = 0.1, value_parser = parse_part)]
    pub(crate) max_invalid_rate: f64,
    /// How many runs may have failed since the last successful one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_failed_runs: u64,
    /// Print the status as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct GenerateArgs {
    /// How many contacts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub(crate) contacts: u32,
    /// The same seed gives the same file, another one another organization.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The SQLite file to make; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The day on which the contacts are of these ages and the history ends, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = parse_date, default_value = "2026-11-20")]
    pub(crate) today: Date,
    /// Also make campaign types, instances and targets.
    #[arg(long)]
    pub(crate) campaigns: bool,
    /// Also make the messages sent in the year before that day.
    #[arg(long)]
    pub(crate) history: bool,
    /// Also make clicks and answers; needs --history.
    #[arg(long, requires = "history")]
    pub(crate) clicks: bool,
    /// Print what was made as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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

/// Reads a BLAKE3 hash as the record shows it.
fn parse_hash(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_owned())
    } else {
        Err("a hash has 64 hexadecimal digits, as `audit verify` prints them".to_owned())
    }
}

fn parse_hours(text: &str) -> Result<f64, String> {
    let hours = text.parse::<f64>().ok().filter(|hours| hours.is_finite() && *hours >= 0.0);
    hours.ok_or_else(|| "hours are a number from 0 on, for example 30".to_owned())
}

fn parse_part(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "a part is a number from 0 to 1, for example 0.1".to_owned())
}
