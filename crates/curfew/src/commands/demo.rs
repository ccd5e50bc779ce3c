//! `curfew demo`: a sample organization, planned and shown.

use curfew_app::{
    NoProgress,
    config::Config,
    run::{RunRequest, today_or},
    sample,
};

use super::{explain, run::summary};
use crate::{Ending, args::DemoArgs, calendar::calendar, output};

/// How many months the calendar shows.
const MONTHS: i32 = 3;

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<Ending> {
    let config = Config::default();
    let today = today_or(args.today, &config)?;
    let sample = sample::write_folder(&args.directory, today).map_err(curfew_app::Error::from)?;
    output::print(&format!(
        "Made a sample organization: {} contacts from {}, {} more that other programs left in \
         disorder, and {} messages sent before, in {}\n\n",
        sample.import.inserted,
        sample.contacts.display(),
        sample.dirty,
        sample.sent,
        sample.database.display()
    ))?;

    let request = RunRequest {
        backup: false,
        ..RunRequest::new(&sample.database, config, Some(today.day.to_date()))
    };
    let report = curfew_app::run::run(&request, &NoProgress)?;
    output::print(&summary(&report))?;
    output::print("\nMessages by day\n\n")?;
    output::print(&calendar(&report.volume, today.day.to_date(), MONTHS))?;

    let contact = sample.explained;
    let told = curfew_app::run::explain(&request, contact, &NoProgress)?;
    output::print("One contact explained\n\n")?;
    output::print(&explain::text(&told).unwrap_or_default())?;
    output::print(&format!(
        "\nGo on with: curfew explain --db {db} --contact {contact}, or curfew plan --db {db}\n",
        db = sample.database.display()
    ))?;
    Ok(Ending::Done)
}
