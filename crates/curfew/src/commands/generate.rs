//! `curfew generate`.

use curfew_app::generate::{GenerateRequest, generate};

use super::run::count;
use crate::{Ending, args::GenerateArgs, output};

pub(crate) fn run(args: &GenerateArgs) -> anyhow::Result<Ending> {
    let request = GenerateRequest {
        campaigns: args.campaigns,
        history: args.history,
        clicks: args.clicks,
        ..GenerateRequest::new(&args.out, args.contacts, args.seed)
    };
    let report = generate(&request).map_err(curfew_app::Error::from)?;
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
