//! `curfew explain`.

use std::fmt::Write as _;

use curfew_app::explain::Explanation;

use super::run::request;
use crate::{
    Ending,
    args::ExplainArgs,
    output::{self, Bar},
};

pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<Ending> {
    let mut request = request(&args.source)?;
    if let Some(date) = args.as_of {
        request.config = curfew_app::versions::as_of(&args.source.db, date)?;
        request.today = Some(date);
    }
    let bar = Bar::default();
    let explanation = curfew_app::run::explain(&request, args.contact, &bar);
    bar.finish();
    let explanation = explanation?;
    if args.json {
        output::print_json(&explanation)?;
    } else {
        output::print(&text(&explanation).unwrap_or_default())?;
    }
    Ok(Ending::Done)
}

/// The explanation as a compliance officer reads it. Writing to a string does not fail.
pub(crate) fn text(explanation: &Explanation) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let unknown = || "unknown".to_owned();
    writeln!(
        out,
        "Contact {} on {}: {}",
        explanation.contact_id, explanation.today, explanation.standing
    )?;
    if !explanation.states.is_empty() {
        writeln!(
            out,
            "State {}, born {}, policy effective {}",
            explanation.states.join(" and "),
            explanation.birth_date.clone().unwrap_or_else(unknown),
            explanation.effective_date.clone().unwrap_or_else(unknown)
        )?;
    }
    for issue in &explanation.issues {
        writeln!(out, "  ! {issue}")?;
    }

    if explanation.standing == "valid" {
        writeln!(out, "\nRules")?;
        if explanation.rules.is_empty() {
            writeln!(out, "  none: every day is open")?;
        }
        for rule in &explanation.rules {
            writeln!(out, "  {rule}")?;
        }
    }
    if !explanation.closed_periods.is_empty() {
        writeln!(out, "\nClosed periods")?;
    }
    for period in &explanation.closed_periods {
        let text = |day: &Option<String>| day.clone().unwrap_or_else(|| "…".to_owned());
        writeln!(out, "  {} to {}", text(&period.first), text(&period.last))?;
        for window in &period.windows {
            writeln!(out, "      {window}")?;
        }
    }

    if !explanation.messages.is_empty() {
        writeln!(out, "\nMessages")?;
    }
    for message in &explanation.messages {
        let what = match (&message.date, message.status) {
            (Some(date), Some(status)) => format!("{date} {status}"),
            _ => "not considered".to_owned(),
        };
        let instance =
            message.campaign_instance_id.map(|id| format!(" (instance {id})")).unwrap_or_default();
        writeln!(out, "  {}{instance}: {what}", message.kind)?;
        for step in &message.steps {
            writeln!(out, "      {step}")?;
        }
    }

    if !explanation.rows.is_empty() {
        writeln!(out, "\nRows on record")?;
    }
    for row in &explanation.rows {
        let date = row.date.clone().unwrap_or_else(|| "no date".to_owned());
        writeln!(out, "  {} {} {date}: {}", row.id, row.kind, row.fate)?;
    }
    Ok(out)
}
