//! `curfew generate`.

use crate::{Ending, args::GenerateArgs, output};

pub(crate) fn run(args: &GenerateArgs) -> anyhow::Result<Ending> {
    let report = curfew_app::generate::generate(&args.request())?;
    output::print(&format!("{report}\n"))?;
    Ok(Ending::Done)
}
