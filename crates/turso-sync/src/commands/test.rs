//! `turso-sync test`: a connection, looked at step by step.

use anyhow::anyhow;
use libsql_link::{Probed, Step};
use serde_json::json;

use crate::{
    Ending,
    args::{GlobalArgs, workflow::TestArgs},
    environment,
    output::{self, Talk},
};

pub(crate) fn run(args: &TestArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    let (remote, url) = environment::named_remote(&args.remote, global)?;
    let bar = talk.bar("Testing");
    let steps = libsql_link::blocking::probe(&url, &remote.options);
    drop(bar);
    let steps = steps?;
    if args.json {
        let steps: Vec<serde_json::Value> = steps.iter().map(step_json).collect();
        output::print_json(&json!({ "url": url.to_string(), "steps": steps }))?;
    } else {
        let mut table = output::table(&["step", "time", "result"]);
        for step in &steps {
            table.add_row([
                what(step.step).to_owned(),
                format!("{:.1} ms", milliseconds(step)),
                match &step.result {
                    Ok(found) => found.clone(),
                    Err(error) => format!("failed: {error}"),
                },
            ]);
        }
        output::print(&format!("{url}\n{}", output::table_text(&table)))?;
    }
    match steps.iter().filter(|step| step.result.is_err()).count() {
        0 => Ok(Ending::Done),
        _ => Err(anyhow!("the connection to {url} is not well; see the steps")),
    }
}

fn milliseconds(step: &Probed) -> f64 {
    step.took.as_secs_f64() * 1000.0
}

fn step_json(step: &Probed) -> serde_json::Value {
    json!({
        "step": name(step.step),
        "took_ms": milliseconds(step),
        "found": step.result.as_ref().ok(),
        "error": step.result.as_ref().err().map(ToString::to_string),
    })
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Resolve => "resolve",
        Step::Connect => "connect",
        Step::Encrypt => "encrypt",
        Step::Version => "version",
        Step::Authenticate => "authenticate",
        Step::Read => "read",
        Step::Write => "write",
        Step::RoundTrip => "round_trip",
        _ => "other",
    }
}

fn what(step: Step) -> &'static str {
    match step {
        Step::Resolve => "look the name up",
        Step::Connect => "connect",
        Step::Encrypt => "encrypt",
        Step::Version => "ask for the version",
        Step::Authenticate => "be let in",
        Step::Read => "read",
        Step::Write => "write",
        Step::RoundTrip => "round trip",
        _ => "another step",
    }
}
