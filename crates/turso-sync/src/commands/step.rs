//! Bringing a file in step, begun already or not: what most of the older commands come down to.

use std::path::Path;

use libsql_diff::MergePolicy;
use serde::Serialize;
use turso_sync::{Error, Existing, InitOptions, InitReport, PullReport, Remote, shell_word};

use super::{init, pull};
use crate::output::{Talk, Usage};

/// What was done.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum InStep {
    Begun(InitReport),
    Pulled(PullReport),
}

impl InStep {
    pub(crate) fn text(&self, file: &Path) -> String {
        match self {
            Self::Begun(report) => init::text(file, report),
            Self::Pulled(report) => pull::text(file, report),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Begun(report) => report.exit_code(),
            Self::Pulled(report) => report.exit_code(),
        }
    }
}

/// Pulls into `file`, or fetches it for the first time. Local changes stay.
pub(crate) fn bring_in_step(
    file: &Path,
    remote: &Remote,
    dry_run: bool,
    talk: Talk,
) -> anyhow::Result<InStep> {
    match pull::pull(file, remote, MergePolicy::Abort, dry_run, talk) {
        Ok(report) => return Ok(InStep::Pulled(report)),
        Err(error) => match error.downcast_ref::<Error>() {
            Some(Error::NotInitialized { .. }) => {}
            _ => return Err(error),
        },
    }
    let bar = talk.bar("Asking the server");
    let options = InitOptions { existing: Existing::KeepIfRemoteIsEmpty, dry_run };
    let begun = turso_sync::init(file, remote, options, &bar);
    drop(bar);
    match begun {
        Ok(report) => Ok(InStep::Begun(report)),
        Err(Error::BothExist { url, .. }) => {
            let name = file.display();
            Err(Usage::error(format!(
                "{name} is there, and what it has in common with {url} is not known; move it away, \
                 or bring both together with `turso-sync init {} --url {url} --merge`",
                shell_word(file)
            )))
        }
        Err(error) => Err(error.into()),
    }
}
