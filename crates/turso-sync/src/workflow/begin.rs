//! What stands before other work on the file.

use std::path::Path;

use super::{Existing, PullOptions, Remote, init, pull};
use crate::error::Result;
use crate::progress::Progress;
use crate::report::{InitReport, PullReport};
use crate::state::Folder;

/// How the file was brought up to date.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Begun {
    /// It was not synced before.
    Initialized(InitReport),
    /// It was, and has now what is new on the server.
    Pulled(PullReport),
}

impl Begun {
    /// Conflicts that nobody settled: the file is then as it was.
    pub fn conflicts_count(&self) -> u64 {
        match self {
            Self::Initialized(report) => report.conflicts_count,
            Self::Pulled(report) if report.exit_code() > 0 => report.conflicts_count.max(1),
            Self::Pulled(_) => 0,
        }
    }
}

/// Brings a file up to date before work: [`pull`], or [`init`] if it was never synced and an
/// address is given. After the work comes [`push`](super::push).
///
/// # Errors
/// Those of [`pull`] and [`init`].
pub fn begin(file: &Path, remote: &Remote, progress: &dyn Progress) -> Result<Begun> {
    if Folder::of(file).is_initialized() || remote.url.is_none() {
        return pull(file, remote, &PullOptions::default(), progress).map(Begun::Pulled);
    }
    init(file, remote, Existing::default(), progress).map(Begun::Initialized)
}
