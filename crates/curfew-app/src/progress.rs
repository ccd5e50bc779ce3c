//! How a use case tells its caller how far it is, and the log how long each stage took.

use std::time::Instant;

use tracing::span::EnteredSpan;

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The database is migrated and campaigns are brought in step with the configuration.
    Prepare,
    /// The database is copied, before its first change.
    Backup,
    /// Contacts and their rows are read, and their messages drafted.
    Read,
    /// All contacts are balanced against each other.
    Balance,
    /// What differs is written.
    Write,
}

impl Stage {
    /// What the stage does, in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "preparing",
            Self::Backup => "backing up",
            Self::Read => "reading",
            Self::Balance => "balancing",
            Self::Write => "writing",
        }
    }

    /// Its name in logs and in `seconds` of a report.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Backup => "backup",
            Self::Read => "read",
            Self::Balance => "balance",
            Self::Write => "write",
        }
    }

    /// Begins the stage: what is logged until it is dropped is logged in its span.
    pub(crate) fn begin(self) -> StageWatch {
        let span = tracing::info_span!("stage", stage = self.key()).entered();
        tracing::debug!("stage begins");
        StageWatch { start: Instant::now(), _span: span }
    }
}

/// A stage at work. Whoever ends it logs its counts with its time, as `stage ends`.
pub(crate) struct StageWatch {
    start: Instant,
    _span: EnteredSpan,
}

impl StageWatch {
    /// Seconds since the stage began.
    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

/// Is told how far a use case is. All methods may be called from any thread.
pub trait Progress: Sync {
    /// A stage begins, with this many contacts to go through.
    fn stage(&self, stage: Stage, contacts: Option<u64>);
    /// So many more contacts are done.
    fn advance(&self, contacts: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn stage(&self, _: Stage, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
}
