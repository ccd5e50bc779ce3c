//! What can go wrong, with its subject and what to do about it.

use std::path::{Path, PathBuf};

/// A path as it is written in a command that is proposed: in quotes where a shell would not take it
/// as one word.
pub fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "._-/+@%=:,~\\".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', "'\\''"))
}

/// Everything this crate can fail with.
///
/// No variant ever holds a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server, or the way to it.
    #[error(transparent)]
    Link(#[from] libsql_link::Error),
    /// Comparing, merging or applying.
    #[error(transparent)]
    Diff(#[from] libsql_diff::Error),
    /// A file could not be read or written.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// SQLite refused something on a local file.
    #[error("{}: {doing}: {message}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: String,
        /// SQLite's extended result code; 1 where it gave none.
        code: i32,
        /// SQLite's message.
        message: String,
    },
    /// Another process is syncing the file.
    #[error("{}: in use by {holder}; wait until it has ended, or stop it", folder.display())]
    Locked {
        /// The state folder.
        folder: PathBuf,
        /// Who, as far as it says.
        holder: String,
    },
    /// The file has no state folder yet.
    #[error(
        "{}: not synced yet; begin with `turso-sync init {} --url URL`",
        file.display(),
        shell_word(file)
    )]
    NotInitialized {
        /// The working file.
        file: PathBuf,
    },
    /// The file has a state folder already.
    #[error(
        "{}: synced already, with {url}; use `turso-sync pull` and `turso-sync push`, \
         or remove the folder {} to begin anew",
        file.display(),
        folder.display()
    )]
    AlreadyInitialized {
        /// The working file.
        file: PathBuf,
        /// Its state folder.
        folder: PathBuf,
        /// The address it is synced with.
        url: String,
    },
    /// The working file is there already, and so is content on the server.
    #[error(
        "{}: exists, and {url} is not empty either; move the file away, \
         or bring both together with `--merge`",
        file.display()
    )]
    BothExist {
        /// The working file.
        file: PathBuf,
        /// The server's address.
        url: String,
    },
    /// The working file cannot be where it is said to be.
    #[error("{}: {what}", file.display())]
    NoPlace {
        /// The working file.
        file: PathBuf,
        /// Why not.
        what: String,
    },
    /// The working file is gone.
    #[error(
        "{}: the file is missing; `turso-sync pull {}` brings it back",
        file.display(),
        shell_word(file)
    )]
    FileMissing {
        /// The working file.
        file: PathBuf,
    },
    /// No address was given, and none is known.
    #[error("no address of a server; give `--url` or set TURSO_DATABASE_URL")]
    NoUrl,
    /// Another address than the one the file is synced with.
    #[error(
        "{}: synced with {known}, not with {given}; use that address, or remove the folder {} \
         and begin anew",
        file.display(),
        folder.display()
    )]
    OtherUrl {
        /// The working file.
        file: PathBuf,
        /// Its state folder.
        folder: PathBuf,
        /// The address in the state folder.
        known: String,
        /// The address given now.
        given: String,
    },
    /// The state folder was written by a later version of this program.
    #[error(
        "{}: written in format {found}, this program knows up to {known}; update it",
        path.display()
    )]
    StateVersion {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// A file of the state folder cannot be understood, or is missing.
    #[error(
        "{}: damaged: {what}; remove the folder {} and run `turso-sync init` with `--merge` \
         (the working file stays as it is)",
        path.display(),
        path.parent().unwrap_or(Path::new("")).display()
    )]
    StateDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The target of a copy holds something already.
    #[error("{target}: not empty; give `--replace` to replace what it holds")]
    TargetNotEmpty {
        /// The file or address.
        target: String,
    },
    /// The target of a copy kept changing.
    #[error("{target}: somebody keeps changing it; try again when it is quieter")]
    TargetChanging {
        /// The address.
        target: String,
    },
    /// The server's database was not empty, and now it is.
    #[error(
        "{url}: its database is empty, and was not before; if it was lost, restore it there, or \
         remove the folder {} and run `turso-sync init` and `turso-sync push`; if it is meant to be \
         empty, `turso-sync reset {}` empties the file, too",
        folder.display(),
        shell_word(file)
    )]
    ServerEmpty {
        /// The server's address.
        url: String,
        /// The working file.
        file: PathBuf,
        /// Its state folder.
        folder: PathBuf,
    },
    /// The answers of the server contradict each other. Local files are as they were.
    #[error("{url}: its answers do not hold together: {what}; nothing was changed here, try again")]
    Inconsistent {
        /// The server's address.
        url: String,
        /// The contradiction.
        what: String,
    },
    /// Something that a libSQL server cannot hold or do.
    #[error("{subject}: {what}")]
    Unsupported {
        /// The table, object or value.
        subject: String,
        /// Why not.
        what: String,
    },
    /// The working file kept changing while it was synced.
    #[error("{}: another program keeps changing it; try again when it is quieter", file.display())]
    KeepsChanging {
        /// The working file.
        file: PathBuf,
    },
    /// It is not known whether the server carried the push out.
    #[error(
        "it is not known whether {url} carried the push out: {reason}; \
         run the same command again: it finds out and goes on from there"
    )]
    Undecided {
        /// The server's address.
        url: String,
        /// Why.
        reason: String,
    },
    /// A server lets others wait for a transaction for some seconds only; then it ends it.
    #[error(
        "{url} ended the transaction of this push {attempts} times, because other programs write \
         there and it lets them wait for a few seconds only ({reason}); nothing was applied, and \
         what was sent is kept: stop what writes there, or wait until it is quieter, and run the \
         same command again"
    )]
    Interrupted {
        /// The server's address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What the server said last.
        reason: String,
    },
    /// The user said no.
    #[error("stopped before anything was changed")]
    Declined,
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What a command ends with: 1 for conflicts, 2 for a wrong request, 3 for a failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Diff(
                libsql_diff::Error::Conflict(_)
                | libsql_diff::Error::RowCount { .. }
                | libsql_diff::Error::ForeignKeys { .. }
                | libsql_diff::Error::MergeConflicts { .. },
            )
            | Self::Link(libsql_link::Error::Conflict { .. }) => 1,
            Self::NotInitialized { .. }
            | Self::AlreadyInitialized { .. }
            | Self::BothExist { .. }
            | Self::FileMissing { .. }
            | Self::NoPlace { .. }
            | Self::NoUrl
            | Self::OtherUrl { .. }
            | Self::TargetNotEmpty { .. }
            | Self::Declined
            | Self::Link(libsql_link::Error::BadLocation { .. }) => 2,
            _ => 3,
        }
    }

    /// Whether the same command may succeed later without anything being repaired.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Link(error) => error.is_transient(),
            Self::Diff(error) => error.is_busy(),
            Self::Locked { .. }
            | Self::Inconsistent { .. }
            | Self::KeepsChanging { .. }
            | Self::TargetChanging { .. }
            | Self::Undecided { .. }
            | Self::Interrupted { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), doing, source }
    }

    pub(crate) fn sqlite(
        path: &Path,
        doing: impl Into<String>,
    ) -> impl FnOnce(rusqlite::Error) -> Self {
        let doing = doing.into();
        move |error| {
            let code = error.sqlite_error().map(|failure| failure.extended_code);
            let code = code.unwrap_or(rusqlite::ffi::SQLITE_ERROR);
            // What the backup API gives in place of a message.
            let message = match &error {
                rusqlite::Error::SqliteFailure(failure, text)
                    if text.as_deref().is_none_or(|text| text == "not an error") =>
                {
                    rusqlite::ffi::code_to_str(failure.extended_code).to_owned()
                }
                error => error.to_string(),
            };
            Self::Sqlite { path: path.to_owned(), doing, code, message }
        }
    }
}
