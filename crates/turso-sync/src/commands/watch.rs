//! `turso-sync watch`.

use serde_json::json;
use turso_sync::{PullEnd, PushEnd, Remote, WatchEvent, WatchOptions};

use super::{pull, push};
use crate::{
    Ending,
    args::{GlobalArgs, workflow::WatchArgs},
    environment, interrupt,
    output::{self, Talk},
};

pub(crate) fn run(args: &WatchArgs, global: &GlobalArgs, talk: Talk) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote, global)?;
    let file = args.file.path();
    if args.manner.dry_run {
        return one_round(args, &remote, talk);
    }
    let stop = interrupt::stop();
    let options = WatchOptions { every: args.every, policy: args.policy.into() };
    talk.say(&format!("Watching {}; stop with Ctrl-C", file.display()));
    let mut printed = Ok(());
    let bar = talk.bar("Syncing");
    let mut on_event = |event: &WatchEvent<'_>| {
        // Until the next step: what is printed must not meet it, and waiting is no work.
        bar.pause();
        let line = match (event, args.manner.json) {
            (WatchEvent::Pulled(report), true) => {
                line(&json!({ "event": "pulled", "report": report }))
            }
            (WatchEvent::Pushed(report), true) => {
                line(&json!({ "event": "pushed", "report": report }))
            }
            (WatchEvent::Failed { error, again_after }, true) => line(&json!({
                "event": "failed",
                "error": error.to_string(),
                "again_after_seconds": again_after.as_secs(),
            })),
            // Hours of nothing are not worth a line each.
            (WatchEvent::Pulled(report), false) if report.end == PullEnd::Nothing => String::new(),
            (WatchEvent::Pushed(report), false) if report.end == PushEnd::Nothing => String::new(),
            (WatchEvent::Pulled(report), false) => pull::text(file, report),
            (WatchEvent::Pushed(report), false) => push::text(file, report),
            (WatchEvent::Failed { error, again_after }, false) => {
                output::warn(&format!("{error}; trying again in {} s", again_after.as_secs()));
                String::new()
            }
            _ => String::new(),
        };
        if printed.is_ok() {
            printed = if args.manner.json { terminal::print(&line) } else { output::print(&line) };
            if printed.is_err() {
                // Nobody reads any more.
                stop.stop();
            }
        }
    };
    let watched = turso_sync::watch(file, &remote, &options, stop, &mut on_event, &bar);
    drop(bar);
    watched?;
    printed?;
    talk.say("Stopped");
    Ok(Ending::Done)
}

/// What one round would do.
fn one_round(args: &WatchArgs, remote: &Remote, talk: Talk) -> anyhow::Result<Ending> {
    let file = args.file.path();
    let pulled = pull::pull(file, remote, args.policy.into(), true, talk)?;
    let pushed = match pulled.end {
        PullEnd::Conflict => None,
        _ => Some(push::push(file, remote, true, talk)?),
    };
    let text = if args.manner.json {
        let pulled = line(&json!({ "event": "pulled", "report": pulled }));
        let pushed = pushed.as_ref();
        pulled
            + &pushed.map_or_else(String::new, |pushed| {
                line(&json!({ "event": "pushed", "report": pushed }))
            })
    } else {
        let pushed = pushed.as_ref().map(|pushed| push::text(file, pushed));
        pull::text(file, &pulled) + &pushed.unwrap_or_default()
    };
    if args.manner.json { terminal::print(&text) } else { output::print(&text) }?;
    Ok(Ending::of(pulled.exit_code()))
}

fn line(value: &serde_json::Value) -> String {
    format!("{value}\n")
}
