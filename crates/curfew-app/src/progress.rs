//! How a use case tells its caller how far it is.

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
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
            Self::Read => "reading",
            Self::Balance => "balancing",
            Self::Write => "writing",
        }
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
