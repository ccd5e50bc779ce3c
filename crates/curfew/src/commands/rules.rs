//! `curfew rules`.

use curfew_app::rules::{self, RuleReport};

use crate::{
    Ending,
    args::{RulesArgs, RulesCommand},
    output,
};

pub(crate) fn run(args: &RulesArgs) -> anyhow::Result<Ending> {
    if let Some(RulesCommand::Check { file }) = &args.command {
        let rules = rules::check(file)?;
        if args.json {
            output::print_json(&rules)?;
        } else {
            output::print(&format!("{}: {} rules, all good\n", file.display(), rules.len()))?;
        }
        return Ok(Ending::Done);
    }
    let config = super::run::load_config(args.config.as_deref())?;
    let rules = rules::in_force(&config);
    if args.json {
        output::print_json(&rules)?;
    } else {
        output::print(&text(&rules))?;
    }
    Ok(Ending::Done)
}

fn text(rules: &[RuleReport]) -> String {
    let mut table = output::table(&["state", "rule", "from", "last checked"]);
    for rule in rules {
        table.add_row([
            rule.state.to_owned(),
            rule.rule.clone(),
            rule.origin.to_owned(),
            rule.checked_on.clone().unwrap_or_default(),
        ]);
    }
    output::table_text(&table)
        + "All other states: none. Sources: docs/rules.md, or --json. Not legal advice.\n"
}
