//! `curfew campaign`.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use curfew_app::{
    campaigns::{
        self, CampaignChange, CampaignEditor, InstanceFields, InstanceRecord, LogEntry, NewTarget,
        Removal, TargetOutcome, TargetRecord, TypeFields, TypeRecord,
    },
    config::Config,
    import::targets::{TargetImport, TargetImportReport, import},
    run::today_or,
};
use serde::Serialize;

use super::run::count;
use crate::{
    Ending,
    args::campaign::{
        CampaignCommand, EditArgs, Given, InstanceCommand, InstanceFieldArgs, LogArgs, ReadArgs,
        TargetAddArgs, TargetCommand, TargetImportArgs, TargetListArgs, TargetRemoveArgs,
        TypeCommand, TypeFieldArgs,
    },
    output,
};

/// How many rejected lines the text names one by one; `--report` has all of them.
const SHOWN_MAX: usize = 20;

pub(crate) fn run(command: &CampaignCommand) -> anyhow::Result<Ending> {
    match command {
        CampaignCommand::Type(command) => of_type(command),
        CampaignCommand::Instance(command) => instance(command),
        CampaignCommand::Target(command) => target(command),
        CampaignCommand::Log(args) => log(args),
    }
}

fn of_type(command: &TypeCommand) -> anyhow::Result<Ending> {
    match command {
        TypeCommand::Add(args) => {
            let what = format!("campaign type `{}`", args.name);
            edit(&args.edit, &format!("Added {what}"), |editor| {
                Ok(editor.add_type(&args.name, &type_fields(args))?)
            })
        }
        TypeCommand::Edit(args) => {
            let what = format!("Changed campaign type `{}`", args.name);
            edit(&args.edit, &what, |editor| Ok(editor.edit_type(&args.name, &type_fields(args))?))
        }
        TypeCommand::Remove(args) => {
            let what = format!("campaign type `{}`", args.name);
            remove(&args.edit, &what, "made inactive", |editor| Ok(editor.remove_type(&args.name)?))
        }
        TypeCommand::List(args) => {
            let types = campaigns::open(&args.db)?.campaign_types().map_err(app)?;
            print(args, &types, || types_table(&types))
        }
        TypeCommand::Show(args) => {
            let database = campaigns::open(&args.read.db)?;
            let record = database.campaign_type(&args.name).map_err(app)?;
            print(&args.read, &record, || {
                let instances = ("instances", Some(record.instances.to_string()));
                let name = ("name", Some(record.name.clone()));
                let settings = record.settings.iter().map(|(key, value)| (*key, value.clone()));
                fields_text(std::iter::once(name).chain(settings).chain([instances]))
            })
        }
    }
}

fn type_fields(args: &TypeFieldArgs) -> TypeFields {
    TypeFields {
        respect_exclusion_windows: args.respect_exclusion_windows,
        enable_followups: args.enable_followups,
        days_before_event: args.days_before_event,
        target_all_contacts: args.target_all_contacts,
        priority: args.priority,
        active: args.active,
    }
}

/// An instance as it is shown: with what is wrong with it, and its targets.
#[derive(Serialize)]
struct InstanceView {
    #[serde(flatten)]
    record: InstanceRecord,
    problems: Vec<String>,
    /// How many targets have which status.
    targets: BTreeMap<String, u64>,
}

fn instance(command: &InstanceCommand) -> anyhow::Result<Ending> {
    match command {
        InstanceCommand::Add(args) => {
            let given = InstanceFields {
                campaign_type: Some(args.campaign_type.clone()),
                instance_name: Some(args.name.clone()),
                ..instance_fields(&args.fields)
            };
            let what = format!("Added campaign instance `{}`", args.name);
            edit(&args.edit, &what, |editor| Ok(editor.add_instance(&given).map(|_| ())?))
        }
        InstanceCommand::Edit(args) => {
            let given = InstanceFields {
                campaign_type: args.campaign_type.clone(),
                instance_name: args.instance_name.clone(),
                ..instance_fields(&args.fields)
            };
            let what = format!("Changed campaign instance `{}`", args.name);
            edit(&args.edit, &what, |editor| {
                let id = editor.instance(&args.name)?;
                Ok(editor.edit_instance(id, &given)?)
            })
        }
        InstanceCommand::Remove(args) => {
            let today = today_or(args.today, &Config::default())?;
            let what = format!("campaign instance `{}`", args.name);
            remove(&args.edit, &what, "ended", |editor| {
                let id = editor.instance(&args.name)?;
                Ok(editor.remove_instance(id, today.day)?)
            })
        }
        InstanceCommand::List(args) => {
            let views = views(&args.db, None)?;
            print(args, &views, || instances_table(&views))
        }
        InstanceCommand::Show(args) => {
            let views = views(&args.read.db, Some(&args.name))?;
            let Some(view) = views.first() else { return Ok(Ending::Done) };
            print(&args.read, view, || {
                let id = ("id", Some(view.record.id.to_string()));
                let fields = view.record.fields.iter().map(|(key, value)| (*key, value.clone()));
                let targets = ("targets", Some(targets_text(&view.targets)));
                let problems = view.problems.iter().map(|text| ("problem", Some(text.clone())));
                fields_text(std::iter::once(id).chain(fields).chain([targets]).chain(problems))
            })
        }
    }
}

fn instance_fields(args: &InstanceFieldArgs) -> InstanceFields {
    let text = |given: &Option<Given<String>>| given.clone().map(Into::into);
    let day = |given: &Option<Given<jiff::civil::Date>>| {
        given.clone().map(|given| Option::from(given).map(campaigns::day))
    };
    InstanceFields {
        campaign_type: None,
        instance_name: None,
        email_template: text(&args.email_template),
        sms_template: text(&args.sms_template),
        active_start_date: day(&args.active_start_date),
        active_end_date: day(&args.active_end_date),
        metadata: text(&args.metadata),
    }
}

fn views(database: &Path, name: Option<&str>) -> anyhow::Result<Vec<InstanceView>> {
    let database = campaigns::open(database)?;
    let records = match name {
        Some(name) => vec![database.campaign_instance(name).map_err(app)?],
        None => database.campaign_instances().map_err(app)?,
    };
    let (_, problems) = database.campaigns().map_err(app)?;
    let mut targets: BTreeMap<i64, BTreeMap<String, u64>> = BTreeMap::new();
    let of = match &records[..] {
        [record] if name.is_some() => Some(record.id),
        _ => None,
    };
    for target in database.campaign_targets(of).map_err(app)? {
        let by_status = targets.entry(target.campaign_instance_id).or_default();
        *by_status.entry(target.status.unwrap_or_default()).or_default() += 1;
    }
    let view = |record: InstanceRecord| InstanceView {
        problems: problems
            .iter()
            .filter(|problem| problem.instance_id == record.id)
            .map(|problem| problem.flaw.to_string())
            .collect(),
        targets: targets.remove(&record.id).unwrap_or_default(),
        record,
    };
    Ok(records.into_iter().map(view).collect())
}

fn target(command: &TargetCommand) -> anyhow::Result<Ending> {
    match command {
        TargetCommand::Add(args) => add_target(args),
        TargetCommand::Remove(args) => remove_target(args),
        TargetCommand::List(args) => list_targets(args),
        TargetCommand::Import(args) => import_targets(args),
    }
}

fn add_target(args: &TargetAddArgs) -> anyhow::Result<Ending> {
    let what = format!("Contact {} is a target of `{}` now", args.contact, args.instance);
    edit(&args.edit, &what, |editor| {
        let instance_id = editor.instance(&args.instance)?;
        let contact_id = Some(editor.contact(&args.contact)?);
        let trigger_date = campaigns::day(args.trigger_date);
        let new = NewTarget { contact_id, email: None, trigger_date };
        let outcomes = editor.add_targets(instance_id, &[new])?;
        match outcomes[..] {
            [TargetOutcome::UnknownContact] => {
                Err(campaigns::CampaignError::UnknownContact { contact: args.contact.clone() })?
            }
            _ => Ok(()),
        }
    })
}

fn remove_target(args: &TargetRemoveArgs) -> anyhow::Result<Ending> {
    let what = format!("contact {} from the targets of `{}`", args.contact, args.instance);
    remove(&args.edit, &what, "left as it is", |editor| {
        let instance_id = editor.instance(&args.instance)?;
        let contact_id = editor.contact(&args.contact)?;
        Ok(editor.remove_target(instance_id, contact_id, args.trigger_date.map(campaigns::day))?)
    })
}

fn list_targets(args: &TargetListArgs) -> anyhow::Result<Ending> {
    let database = campaigns::open(&args.read.db)?;
    let instance = args.instance.as_deref().map(|name| database.campaign_instance(name));
    let instance = instance.transpose().map_err(app)?.map(|record| record.id);
    let targets = database.campaign_targets(instance).map_err(app)?;
    print(&args.read, &targets, || targets_table(&targets))
}

fn import_targets(args: &TargetImportArgs) -> anyhow::Result<Ending> {
    let report = import(&TargetImport {
        database: args.edit.read.db.clone(),
        file: args.csv.clone(),
        instance: args.instance.clone(),
        by: args.edit.who(),
        strict: args.strict,
        report: args.report.clone(),
    })?;
    print(&args.edit.read, &report, || import_text(&report))?;
    let is_good = report.rejected.is_empty();
    Ok(if is_good { Ending::Done } else { Ending::NeedsAttention })
}

fn log(args: &LogArgs) -> anyhow::Result<Ending> {
    let database = campaigns::open(&args.read.db)?;
    let (entity, id) = match (&args.campaign_type, &args.instance) {
        (Some(name), _) => (Some("campaign_type"), Some(name.clone())),
        (None, Some(name)) => {
            // One that was removed is known by its id only.
            let id = match name.parse::<i64>() {
                Ok(id) => id,
                Err(_) => database.campaign_instance(name).map_err(app)?.id,
            };
            (Some("campaign_instance"), Some(id.to_string()))
        }
        (None, None) => (None, None),
    };
    let entries = database.campaign_log(entity, id.as_deref(), args.limit).map_err(app)?;
    print(&args.read, &entries, || log_table(&entries))
}

/// What a command changed, as JSON.
#[derive(Serialize)]
struct Edited {
    /// `removed`, or `deactivated` because of committed messages; absent for other changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// Committed messages because of which it was not removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    committed: Option<u64>,
    changes: Vec<CampaignChange>,
}

fn edit(
    args: &EditArgs,
    done: &str,
    change: impl FnOnce(&mut CampaignEditor<'_>) -> Result<(), curfew_app::Error>,
) -> anyhow::Result<Ending> {
    let ((), changes) = campaigns::edit(&args.read.db, &args.who(), change)?;
    let edited = Edited { outcome: None, committed: None, changes };
    print(&args.read, &edited, || {
        if edited.changes.is_empty() {
            "Nothing changed: it is so already\n".to_owned()
        } else {
            format!("{done}\n{}", changes_text(&edited.changes))
        }
    })
}

fn remove(
    args: &EditArgs,
    what: &str,
    instead: &str,
    change: impl FnOnce(&mut CampaignEditor<'_>) -> Result<Removal, curfew_app::Error>,
) -> anyhow::Result<Ending> {
    let (removal, changes) = campaigns::edit(&args.read.db, &args.who(), change)?;
    let (outcome, committed) = match removal {
        Removal::Removed => ("removed", None),
        Removal::Deactivated { committed } => ("deactivated", Some(committed)),
    };
    let edited = Edited { outcome: Some(outcome), committed, changes };
    print(&args.read, &edited, || match committed {
        None => format!("Removed {what}\n{}", changes_text(&edited.changes)),
        Some(committed) => format!(
            "Did not remove {what}: messages of it are committed ({}). It was {instead}.\n{}",
            count(committed),
            changes_text(&edited.changes)
        ),
    })?;
    Ok(if committed.is_some() { Ending::NeedsAttention } else { Ending::Done })
}

fn print(
    args: &ReadArgs,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> anyhow::Result<Ending> {
    if args.json {
        output::print_json(value)?;
    } else {
        output::print(&text())?;
    }
    Ok(Ending::Done)
}

/// Errors of the store as errors of the use cases, so that the exit code says whose fault it is.
fn app(error: impl Into<curfew_app::Error>) -> curfew_app::Error {
    error.into()
}

fn changes_text(changes: &[CampaignChange]) -> String {
    let mut out = String::new();
    for change in changes.iter().take(SHOWN_MAX) {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let (old, new) = (value(&change.old_value), value(&change.new_value));
        // Writing to a string does not fail.
        let _ = writeln!(out, "  {}: {old} -> {new}", change.field);
    }
    let more = changes.len().saturating_sub(SHOWN_MAX) as u64;
    if more > 0 {
        let _ = writeln!(out, "  … and {} more; `curfew campaign log` shows them", count(more));
    }
    if changes.iter().any(|change| change.requires_rescheduling) {
        out.push_str("The next run plans accordingly.\n");
    }
    out
}

fn fields_text<'k>(fields: impl Iterator<Item = (&'k str, Option<String>)>) -> String {
    let mut out = String::new();
    for (key, value) in fields {
        let _ = writeln!(out, "{key:<26} {}", value.unwrap_or_else(|| "none".to_owned()));
    }
    out
}

fn types_table(types: &[TypeRecord]) -> String {
    if types.is_empty() {
        return "There are no campaign types. `curfew campaign type add` adds one.\n".to_owned();
    }
    let columns =
        ["days_before_event", "priority", "respect_exclusion_windows", "enable_followups"];
    let more = ["target_all_contacts", "active"];
    let mut table = output::table(&[
        "name",
        "days before",
        "priority",
        "windows",
        "follow-ups",
        "all contacts",
        "active",
        "instances",
    ]);
    for record in types {
        let mut cells = vec![record.name.clone()];
        for column in columns.iter().chain(&more) {
            cells.push(record.settings.get(column).cloned().flatten().unwrap_or_default());
        }
        cells.push(record.instances.to_string());
        table.add_row(cells);
    }
    output::table_text(&table)
}

fn instances_table(views: &[InstanceView]) -> String {
    if views.is_empty() {
        return "There are no campaign instances. `curfew campaign instance add` adds one.\n"
            .to_owned();
    }
    let mut table =
        output::table(&["id", "name", "type", "from", "to", "template", "targets", "problem"]);
    for view in views {
        let field = |name| view.record.fields.get(name).cloned().flatten().unwrap_or_default();
        table.add_row([
            view.record.id.to_string(),
            field("instance_name"),
            field("campaign_type"),
            field("active_start_date"),
            field("active_end_date"),
            field("email_template"),
            targets_text(&view.targets),
            view.problems.join("; "),
        ]);
    }
    output::table_text(&table)
}

fn targets_text(targets: &BTreeMap<String, u64>) -> String {
    if targets.is_empty() {
        return "none".to_owned();
    }
    let parts: Vec<String> =
        targets.iter().map(|(status, number)| format!("{} {status}", count(*number))).collect();
    parts.join(", ")
}

fn targets_table(targets: &[TargetRecord]) -> String {
    if targets.is_empty() {
        return "There are no targets.\n".to_owned();
    }
    let mut table = output::table(&["instance", "contact", "trigger date", "status"]);
    for target in targets {
        table.add_row([
            target.campaign_instance_id.to_string(),
            target.contact_id.to_string(),
            target.trigger_date.clone().unwrap_or_default(),
            target.status.clone().unwrap_or_default(),
        ]);
    }
    output::table_text(&table)
}

fn import_text(report: &TargetImportReport) -> String {
    let mut out = String::new();
    let what = if report.written {
        "Imported"
    } else if report.strict && !report.rejected.is_empty() {
        "Nothing written, because lines were rejected and --strict was given"
    } else {
        "Nothing to write"
    };
    let instance = report.campaign_instance_id;
    let _ = writeln!(out, "{what}: {} into campaign instance {instance}", report.file);
    let outcomes: Vec<String> = ["added", "dated", "unchanged", "rejected"]
        .iter()
        .map(|outcome| format!("{} {outcome}", count(report.count(outcome))))
        .collect();
    let _ = writeln!(out, "Lines {}: {}", count(report.lines), outcomes.join(", "));
    for line in report.rejected.iter().take(SHOWN_MAX) {
        let reason = line.reason.as_deref().unwrap_or_default();
        let _ = writeln!(
            out,
            "  line {}: {:?} {:?}: {reason}",
            line.line, line.contact, line.trigger_date
        );
    }
    let more = report.rejected.len().saturating_sub(SHOWN_MAX) as u64;
    if more > 0 {
        let _ = writeln!(out, "  … and {} more; --report FILE has all lines", count(more));
    }
    out
}

fn log_table(entries: &[LogEntry]) -> String {
    if entries.is_empty() {
        return "Nothing is on record.\n".to_owned();
    }
    let mut table =
        output::table(&["at", "by", "what", "which", "field", "old", "new", "reschedule"]);
    for entry in entries {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        table.add_row([
            text(&entry.changed_at),
            text(&entry.changed_by),
            text(&entry.entity),
            text(&entry.entity_id),
            text(&entry.field),
            text(&entry.old_value),
            text(&entry.new_value),
            if entry.requires_rescheduling == Some(true) { "yes" } else { "no" }.to_owned(),
        ]);
    }
    output::table_text(&table)
}
