//! `curfew generate`.

use curfew_app::{
    Progress,
    config::Config,
    generate::{GenerateRequest, generate_with},
    run::today_or,
};

use super::run::count;
use crate::{Ending, args::GenerateArgs, output};

/// How many steps its progress bar has.
const STEPS: u32 = 100;

pub(crate) fn run(args: &GenerateArgs) -> anyhow::Result<Ending> {
    let request = GenerateRequest {
        campaigns: args.campaigns,
        history: args.history,
        clicks: args.clicks,
        today: today_or(Some(args.today), &Config::default())?,
        ..GenerateRequest::new(&args.out, args.contacts, args.seed)
    };
    let bar = output::Bar::default();
    bar.begin("making", STEPS.into());
    let mut done = 0;
    let result = generate_with(&request, |share| {
        let now = (1..=STEPS).rev().find(|step| f64::from(*step) <= share * f64::from(STEPS));
        let now = now.unwrap_or(0).max(done);
        Progress::advance(&bar, (now - done).into());
        done = now;
    });
    bar.finish();
    let report = result.map_err(curfew_app::Error::from)?;
    if args.json {
        output::print_json(&report)?;
        return Ok(Ending::Done);
    }
    output::print(&format!(
        "Made {}: {} contacts, {} of them with something wrong, {} inactive; {} sent messages, \
         {} clicks, {} answers, {} campaign targets\n",
        args.out.display(),
        count(report.contacts),
        count(report.dirty),
        count(report.inactive),
        count(report.sent),
        count(report.clicks),
        count(report.answers),
        count(report.targets)
    ))?;
    Ok(Ending::Done)
}
