//! `curfew config`.

use std::{fmt::Write as _, path::Path};

use curfew_app::{
    config::Config,
    versions::{self, Change, Side, VersionReport},
};

use super::run::load_config;
use crate::{
    Ending,
    args::{ConfigArgs, ConfigCommand},
    output,
};

pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<Ending> {
    match &args.command {
        ConfigCommand::Show { version, db: Some(db), .. } => {
            output::print(&versions::show(db, *version)?)?;
        }
        ConfigCommand::Show { config, .. } => {
            output::print(&load_config(config.as_deref())?.to_yaml())?;
        }
        ConfigCommand::History { db, json } => {
            let versions = versions::history(db)?;
            if *json {
                output::print_json(&versions)?;
            } else {
                output::print(&history(&versions).unwrap_or_default())?;
            }
        }
        ConfigCommand::Diff { old, new, db, json } => {
            let changes = versions::compare(db.as_deref(), &side(old), &side(new))?;
            if *json {
                output::print_json(&changes)?;
            } else if changes.is_empty() {
                output::print("No difference\n")?;
            } else {
                let lines: Vec<String> = changes.iter().map(|each| line(each) + "\n").collect();
                output::print(&lines.concat())?;
            }
        }
        ConfigCommand::Rollback { version, db, to } => {
            let report = versions::roll_back(db, *version, to)?;
            let mut text = format!(
                "{} holds version {} again; run with --config {0} to bring it into force\n",
                report.file.display(),
                report.version
            );
            if let Some(aside) = &report.kept_aside {
                // Writing to a string does not fail.
                let _ = writeln!(text, "The replaced file is kept as {}", aside.display());
            }
            output::print(&text)?;
        }
        ConfigCommand::Check { file } => {
            let config = Config::load(file).map_err(curfew_app::Error::from)?;
            let changed = curfew_app::config::diff(&Config::default(), &config).len();
            output::print(&format!(
                "{}: all good; {changed} {} the defaults\n",
                file.display(),
                if changed == 1 { "value differs from" } else { "values differ from" }
            ))?;
        }
    }
    Ok(Ending::Done)
}

/// A number is a version, all else a file.
fn side(text: &Path) -> Side {
    match text.to_str().and_then(|text| text.parse().ok()) {
        Some(version) => Side::Version(version),
        None => Side::File(text.to_owned()),
    }
}

/// The versions as text. Writing to a string does not fail.
fn history(versions: &[VersionReport]) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    if versions.is_empty() {
        writeln!(out, "No configuration is on record; every run records the one that it uses")?;
    }
    for version in versions {
        let until = version.valid_to.as_deref().unwrap_or("now");
        let by = version.created_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        writeln!(out, "{}  {} to {until}{by}", version.version, version.valid_from)?;
        for change in version.changes.iter().flatten() {
            writeln!(out, "     {}", line(change))?;
        }
    }
    Ok(out)
}

fn line(change: &Change) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    format!("{}: {} -> {}", change.key, text(&change.old), text(&change.new))
}
