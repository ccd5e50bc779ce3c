//! The arguments of `curfew campaign`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::civil::Date;

use super::parse_date;

#[derive(Debug, Subcommand)]
pub(crate) enum CampaignCommand {
    /// Campaign types: what campaigns of a kind have in common.
    #[command(subcommand)]
    Type(TypeCommand),
    /// Campaign instances: one campaign of a type, with its templates and dates.
    #[command(subcommand)]
    Instance(InstanceCommand),
    /// Targets: which contacts get a campaign's message, and for which date.
    #[command(subcommand)]
    Target(TargetCommand),
    /// Show who changed what in campaigns, and when.
    #[command(after_help = "\
Examples:
  curfew campaign log --db agency.db
  curfew campaign log --db agency.db --type rate_increase
  curfew campaign log --db agency.db --instance \"May 2027\" --limit 20 --json")]
    Log(LogArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TypeCommand {
    /// Add a campaign type. What is not given is as in a new type.
    #[command(after_help = "\
Examples:
  curfew campaign type add rate_increase --db agency.db --days-before-event 14
  curfew campaign type add blast --db agency.db --target-all-contacts true \\
    --respect-exclusion-windows false --priority 60")]
    Add(TypeFieldArgs),
    /// List all campaign types.
    #[command(after_help = "Example:\n  curfew campaign type list --db agency.db")]
    List(ReadArgs),
    /// Show one campaign type.
    #[command(after_help = "Example:\n  curfew campaign type show rate_increase --db agency.db")]
    Show(ShowArgs),
    /// Change a campaign type. What is not given stays.
    #[command(after_help = "\
Examples:
  curfew campaign type edit rate_increase --db agency.db --days-before-event 21
  curfew campaign type edit rate_increase --db agency.db --active false --by ann")]
    Edit(TypeFieldArgs),
    /// Remove a campaign type without instances; one with committed messages is made inactive.
    #[command(after_help = "\
Example:
  curfew campaign type remove rate_increase --db agency.db

Exit code 1: it was made inactive instead.")]
    Remove(RemoveArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum InstanceCommand {
    /// Add a campaign instance.
    #[command(after_help = "\
Examples:
  curfew campaign instance add \"May 2027\" --db agency.db --campaign-type rate_increase \\
    --email-template rate_increase --active-end-date 2027-06-30
  curfew campaign instance add Urgent --db agency.db --campaign-type rate_increase \\
    --metadata '{\"priority\": 1, \"respect_exclusion_windows\": false}'")]
    Add(InstanceAddArgs),
    /// List all campaign instances.
    #[command(after_help = "Example:\n  curfew campaign instance list --db agency.db")]
    List(ReadArgs),
    /// Show one campaign instance, by id or name.
    #[command(after_help = "Example:\n  curfew campaign instance show \"May 2027\" --db agency.db")]
    Show(ShowArgs),
    /// Change a campaign instance, by id or name. What is not given stays; `none` clears.
    #[command(after_help = "\
Examples:
  curfew campaign instance edit 3 --db agency.db --active-end-date 2027-07-31
  curfew campaign instance edit \"May 2027\" --db agency.db --sms-template none")]
    Edit(InstanceEditArgs),
    /// Remove a campaign instance and its targets; one with committed messages is ended.
    #[command(after_help = "\
Example:
  curfew campaign instance remove \"May 2027\" --db agency.db

Exit code 1: it was ended instead.")]
    Remove(RemoveInstanceArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// Make a contact a target.
    #[command(after_help = "\
Examples:
  curfew campaign target add --db agency.db --instance \"May 2027\" --contact 4711 \\
    --trigger-date 2027-05-01
  curfew campaign target add --db agency.db --instance 3 --contact ann@example.com \\
    --trigger-date 2027-05-01")]
    Add(TargetAddArgs),
    /// List targets.
    #[command(after_help = "\
Example:
  curfew campaign target list --db agency.db --instance \"May 2027\"")]
    List(TargetListArgs),
    /// Take a contact from the targets.
    #[command(after_help = "\
Example:
  curfew campaign target remove --db agency.db --instance \"May 2027\" --contact 4711

Exit code 1: it stays, because a message of the campaign to the contact is committed.")]
    Remove(TargetRemoveArgs),
    /// Read targets from a CSV file with the columns `contact_id` or `email`, and `trigger_date`.
    #[command(after_help = "\
Examples:
  curfew campaign target import targets.csv --db agency.db --instance \"May 2027\"
  curfew campaign target import targets.csv --db agency.db --instance 3 --strict \\
    --report lines.csv

Exit code 1: some lines were rejected; with --strict nothing was written then.")]
    Import(TargetImportArgs),
}

/// Where campaigns are, and how to print them.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// The SQLite file.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where campaigns are, and who changes them.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Who is on record for the change; without it the login name.
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
}

impl EditArgs {
    /// Who changes campaigns.
    pub(crate) fn who(&self) -> String {
        who(self.by.as_deref())
    }
}

/// Who is on record: who is named, else the login name.
pub(crate) fn who(by: Option<&str>) -> String {
    let login = || curfew_app::versions::login_name();
    by.map(str::to_owned).or_else(login).unwrap_or_else(|| "unknown".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The name; for an instance also the id.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveInstanceArgs {
    /// The id or the name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
    /// The day that counts as today, YYYY-MM-DD: an instance that cannot be removed ends before it.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) today: Option<Date>,
}

#[derive(Debug, Args)]
pub(crate) struct TypeFieldArgs {
    /// The name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
    /// Whether exclusion windows apply [in a new type: true].
    #[arg(long, value_name = "true|false")]
    pub(crate) respect_exclusion_windows: Option<bool>,
    /// Whether its messages are followed up [in a new type: true].
    #[arg(long, value_name = "true|false")]
    pub(crate) enable_followups: Option<bool>,
    /// Days from the ideal date to the trigger date; negative: after it [in a new type: 0].
    #[arg(long, value_name = "DAYS", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-3650..=3650))]
    pub(crate) days_before_event: Option<i32>,
    /// Whether every valid contact is a target [in a new type: false].
    #[arg(long, value_name = "true|false")]
    pub(crate) target_all_contacts: Option<bool>,
    /// A lower number is more important [in a new type: 10].
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) priority: Option<i64>,
    /// Whether its instances take part [in a new type: true].
    #[arg(long, value_name = "true|false")]
    pub(crate) active: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct InstanceFieldArgs {
    /// Name of the e-mail template, or `none`.
    #[arg(long, value_name = "NAME", value_parser = parse_text)]
    pub(crate) email_template: Option<Given<String>>,
    /// Name of the SMS template, or `none`.
    #[arg(long, value_name = "NAME", value_parser = parse_text)]
    pub(crate) sms_template: Option<Given<String>>,
    /// First day on which it takes part, YYYY-MM-DD, or `none`.
    #[arg(long, value_name = "DATE", value_parser = parse_bound)]
    pub(crate) active_start_date: Option<Given<Date>>,
    /// Last day on which it takes part, YYYY-MM-DD, or `none`.
    #[arg(long, value_name = "DATE", value_parser = parse_bound)]
    pub(crate) active_end_date: Option<Given<Date>>,
    /// A JSON object; in it `days_before_event`, `respect_exclusion_windows`, `enable_followups`
    /// and `priority` override the type. `none` clears it.
    #[arg(long, value_name = "JSON", value_parser = parse_text)]
    pub(crate) metadata: Option<Given<String>>,
}

#[derive(Debug, Args)]
pub(crate) struct InstanceAddArgs {
    /// The name.
    pub(crate) name: String,
    /// The campaign type.
    #[arg(long, value_name = "TYPE")]
    pub(crate) campaign_type: String,
    #[command(flatten)]
    pub(crate) fields: InstanceFieldArgs,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InstanceEditArgs {
    /// The id or the name.
    pub(crate) name: String,
    /// Another campaign type.
    #[arg(long, value_name = "TYPE")]
    pub(crate) campaign_type: Option<String>,
    /// Another name.
    #[arg(long, value_name = "NAME")]
    pub(crate) instance_name: Option<String>,
    #[command(flatten)]
    pub(crate) fields: InstanceFieldArgs,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TargetAddArgs {
    /// The campaign instance: its id or its name.
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) instance: String,
    /// The contact: its id or its e-mail address.
    #[arg(long, value_name = "ID|EMAIL")]
    pub(crate) contact: String,
    /// The date that the message is for, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) trigger_date: Date,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TargetRemoveArgs {
    /// The campaign instance: its id or its name.
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) instance: String,
    /// The contact: its id or its e-mail address.
    #[arg(long, value_name = "ID|EMAIL")]
    pub(crate) contact: String,
    /// Only the target for this date, YYYY-MM-DD; without it those for all dates.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) trigger_date: Option<Date>,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TargetListArgs {
    /// The campaign instance: its id or its name; without it all.
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) instance: Option<String>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TargetImportArgs {
    /// The CSV file, with a line of column names.
    #[arg(value_name = "CSV")]
    pub(crate) csv: PathBuf,
    /// The campaign instance: its id or its name.
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) instance: String,
    /// Import nothing if any line is bad.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Write what came of each line to this CSV file.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Only changes of this campaign type.
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "instance")]
    pub(crate) campaign_type: Option<String>,
    /// Only changes of this campaign instance and its targets: the id, or the name while it exists.
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) instance: Option<String>,
    /// How many entries are shown, at most: the last ones.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
}

/// A value, or that there is to be none.
#[derive(Clone, Debug)]
pub(crate) enum Given<T> {
    /// `none`.
    None,
    /// This one.
    Value(T),
}

impl<T> From<Given<T>> for Option<T> {
    fn from(given: Given<T>) -> Self {
        match given {
            Given::None => None,
            Given::Value(value) => Some(value),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a parser")]
fn parse_text(text: &str) -> Result<Given<String>, String> {
    Ok(if text == "none" { Given::None } else { Given::Value(text.to_owned()) })
}

fn parse_bound(text: &str) -> Result<Given<Date>, String> {
    if text == "none" { Ok(Given::None) } else { parse_date(text).map(Given::Value) }
}
