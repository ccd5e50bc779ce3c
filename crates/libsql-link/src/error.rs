//! What can go wrong, told apart by what to do about it.

use std::fmt;
use std::time::Duration;

/// A call that did not do what it was asked.
///
/// Every variant names its subject: the address of the server, without token, or the path of the
/// file. [`is_transient`](Error::is_transient) says whether the same call may succeed later,
/// [`may_have_been_applied`](Error::may_have_been_applied) whether it may have changed the database
/// all the same.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection came about: the name is unknown, nobody listens, TLS failed.
    #[error("cannot reach {subject}: {reason}; check the address and the network")]
    Unreachable { subject: String, reason: String },

    /// The deadline passed before the answer was complete.
    #[error(
        "no answer from {subject} to `{operation}` within {after:?}; {}",
        applied_or(*maybe_applied, "try again, or allow more time")
    )]
    TimedOut { subject: String, operation: &'static str, after: Duration, maybe_applied: bool },

    /// The connection broke, or a server in between gave up, after the request had been sent.
    #[error(
        "the connection to {subject} broke during `{operation}`: {reason}; {}",
        applied_or(*maybe_applied, "try again")
    )]
    Lost { subject: String, operation: &'static str, reason: String, maybe_applied: bool },

    /// The caller cancelled the call.
    #[error("`{operation}` on {subject} was cancelled{}", applied(*maybe_applied))]
    Cancelled { subject: String, operation: &'static str, maybe_applied: bool },

    /// The server does not let this client in, or not do this. `status` is its HTTP status, where
    /// it gave one.
    #[error("{subject} refuses: {reason}; check the token and what it allows")]
    Refused { subject: String, status: Option<u16>, reason: String },

    /// Somebody else holds the database, or the server has too much to do. Nothing was changed.
    #[error("{subject} is busy: {reason}; try again")]
    Busy { subject: String, reason: String },

    /// A constraint of the schema does not allow the change. Nothing was changed.
    #[error("{subject}: {reason}")]
    Constraint {
        subject: String,
        kind: ConstraintKind,
        /// SQLite's extended result code, 19 (the primary code) where it cannot be told. A server
        /// does not say whether a unique column is the primary key: then it is that of `UNIQUE`.
        extended_code: i32,
        /// Table and column, as SQLite writes them.
        reason: String,
    },

    /// The database moved on in a way that this change does not fit. Nothing was changed.
    #[error("conflict on {subject}: {reason}; fetch the newest state and begin anew")]
    Conflict { subject: String, reason: String },

    /// A snapshot or transaction ended on the server before it was finished here. What it changed
    /// was rolled back.
    #[error("the transaction on {subject} has ended there: {reason}; begin it anew")]
    Expired { subject: String, reason: String },

    /// The other side does not speak libSQL's protocol, or breaks it.
    #[error("{subject} gives no proper answer: {reason}{}; check that a libSQL server runs there", applied(*maybe_applied))]
    Protocol { subject: String, status: Option<u16>, reason: String, maybe_applied: bool },

    /// The statement cannot be understood, or does not fit the schema or its parameters.
    #[error("{subject} cannot run the statement: {reason}")]
    BadSql { subject: String, reason: String },

    /// A value, statement or answer exceeds a limit.
    #[error("too large for {subject}: {reason}{}; split it up", applied(*maybe_applied))]
    TooLarge { subject: String, reason: String, maybe_applied: bool },

    /// A value cannot be carried: infinities and text that is not UTF-8, on their way from or to a
    /// server.
    #[error("{subject} cannot carry a value: {reason}{}", applied(*maybe_applied))]
    Unreadable { subject: String, reason: String, maybe_applied: bool },

    /// The server or the location does not offer this.
    #[error("{subject} does not offer this: {reason}")]
    Unsupported { subject: String, reason: String },

    /// Any other failure of SQLite: disk full, damaged file, read-only.
    #[error("{subject}: {reason} (SQLite code {extended_code})")]
    Sqlite { subject: String, extended_code: i32, reason: String },

    /// A file beside the database cannot be read or written.
    #[error("{subject}: {reason}")]
    Io { subject: String, reason: String },

    /// An address, a token or a key that cannot be understood.
    #[error("{given}: {problem}")]
    BadLocation { given: String, problem: String },
}

/// The constraint that a change would have broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConstraintKind {
    Check,
    DataType,
    ForeignKey,
    NotNull,
    PrimaryKey,
    RowId,
    /// `RAISE` in a trigger.
    Trigger,
    Unique,
    Other,
}

fn applied(maybe_applied: bool) -> &'static str {
    if maybe_applied { " (what was asked for may have been done)" } else { "" }
}

/// Nobody is told to repeat what may have been done; whoever knows that it does no harm does not
/// need to be told.
fn applied_or(maybe_applied: bool, advice: &'static str) -> &'static str {
    if maybe_applied { "what was asked for may have been done" } else { advice }
}

/// Primary result codes of SQLite, from its documentation.
pub(crate) mod code {
    pub(crate) const ERROR: i32 = 1;
    pub(crate) const PERM: i32 = 3;
    pub(crate) const BUSY: i32 = 5;
    pub(crate) const LOCKED: i32 = 6;
    pub(crate) const INTERRUPT: i32 = 9;
    pub(crate) const TOOBIG: i32 = 18;
    pub(crate) const CONSTRAINT: i32 = 19;
    pub(crate) const MISMATCH: i32 = 20;
    pub(crate) const MISUSE: i32 = 21;
    pub(crate) const AUTH: i32 = 23;
    pub(crate) const RANGE: i32 = 25;
    #[cfg(feature = "encryption")]
    pub(crate) const NOTADB: i32 = 26;
    pub(crate) const BUSY_SNAPSHOT: i32 = BUSY | 2 << 8;
}

/// Extended codes of constraints, with the names that servers use and the words that SQLite begins
/// its message with.
const CONSTRAINTS: &[(i32, &str, &str, ConstraintKind)] = &[
    (275, "CHECK", "CHECK constraint failed", ConstraintKind::Check),
    (787, "FOREIGNKEY", "FOREIGN KEY constraint failed", ConstraintKind::ForeignKey),
    (1299, "NOTNULL", "NOT NULL constraint failed", ConstraintKind::NotNull),
    // SQLite words this as it does UNIQUE.
    (1555, "PRIMARYKEY", "PRIMARY KEY constraint failed", ConstraintKind::PrimaryKey),
    (1811, "TRIGGER", "", ConstraintKind::Trigger),
    (2067, "UNIQUE", "UNIQUE constraint failed", ConstraintKind::Unique),
    (2579, "ROWID", "", ConstraintKind::RowId),
    (3091, "DATATYPE", "cannot store ", ConstraintKind::DataType),
];

impl Error {
    /// Whether the same call may succeed later without anything being repaired.
    ///
    /// It may be repeated safely if in addition it changes nothing, or doing it twice does no harm,
    /// or [`may_have_been_applied`](Error::may_have_been_applied) is false.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable { .. }
            | Error::TimedOut { .. }
            | Error::Lost { .. }
            | Error::Busy { .. }
            | Error::Expired { .. } => true,
            // A server in between that has no server behind it.
            Error::Protocol { status, .. } => matches!(status, Some(502..=504)),
            _ => false,
        }
    }

    /// Whether the change that was asked for may have been made although no answer says so.
    ///
    /// Always false for what only reads.
    pub fn may_have_been_applied(&self) -> bool {
        match self {
            Error::TimedOut { maybe_applied, .. }
            | Error::Lost { maybe_applied, .. }
            | Error::Cancelled { maybe_applied, .. }
            | Error::TooLarge { maybe_applied, .. }
            | Error::Unreadable { maybe_applied, .. }
            | Error::Protocol { maybe_applied, .. } => *maybe_applied,
            _ => false,
        }
    }

    /// What it says, from whoever said it.
    pub(crate) fn reason_mut(&mut self) -> Option<&mut String> {
        match self {
            Error::Unreachable { reason, .. }
            | Error::Lost { reason, .. }
            | Error::Refused { reason, .. }
            | Error::Busy { reason, .. }
            | Error::Constraint { reason, .. }
            | Error::Conflict { reason, .. }
            | Error::Expired { reason, .. }
            | Error::Protocol { reason, .. }
            | Error::BadSql { reason, .. }
            | Error::TooLarge { reason, .. }
            | Error::Unreadable { reason, .. }
            | Error::Unsupported { reason, .. }
            | Error::Sqlite { reason, .. }
            | Error::Io { reason, .. } => Some(reason),
            Error::TimedOut { .. } | Error::Cancelled { .. } | Error::BadLocation { .. } => None,
        }
    }

    /// The error of SQLite's `extended_code` with its message.
    pub(crate) fn from_sqlite(subject: &str, extended_code: i32, message: &str) -> Self {
        let subject = subject.to_owned();
        let reason = message.to_owned();
        match extended_code & 0xff {
            _ if extended_code == code::BUSY_SNAPSHOT => Error::Conflict { subject, reason },
            code::BUSY | code::LOCKED => Error::Busy { subject, reason },
            code::CONSTRAINT => Error::constraint(subject, extended_code, reason),
            code::ERROR | code::MISMATCH | code::MISUSE | code::RANGE => {
                Error::BadSql { subject, reason }
            }
            code::TOOBIG => Error::TooLarge { subject, reason, maybe_applied: false },
            code::AUTH | code::PERM => Error::Refused { subject, status: None, reason },
            _ => Error::Sqlite { subject, extended_code, reason },
        }
    }

    /// The code of a constraint is looked up in the message where only the primary one is known.
    fn constraint(subject: String, extended_code: i32, reason: String) -> Self {
        let known = CONSTRAINTS.iter().find(|&&(code, _, words, _)| {
            code == extended_code
                || (extended_code == code::CONSTRAINT
                    && !words.is_empty()
                    && reason.starts_with(words))
        });
        let (extended_code, kind) = match known {
            Some(&(code, _, _, kind)) => (code, kind),
            None => (extended_code, ConstraintKind::Other),
        };
        Error::Constraint { subject, kind, extended_code, reason }
    }

    /// The error that a server names with `code`, such as `SQLITE_CONSTRAINT`.
    pub(crate) fn from_server(call: Call<'_>, code: &str, message: &str) -> Self {
        let subject = call.subject;
        let reason = ["SQLite error: ", "SQL input error: ", "SQLite input error: "]
            .iter()
            .find_map(|prefix| message.strip_prefix(prefix))
            .unwrap_or(message);
        let owned = || (subject.to_owned(), reason.to_owned());
        let sqlite = |extended_code| Error::from_sqlite(subject, extended_code, reason);
        if let Some(name) = code.strip_prefix("SQLITE_CONSTRAINT_") {
            let known = CONSTRAINTS.iter().find(|(_, known, _, _)| *known == name);
            return sqlite(known.map_or(code::CONSTRAINT, |&(code, ..)| code));
        }
        match code {
            "SQLITE_CONSTRAINT" => sqlite(code::CONSTRAINT),
            "SQLITE_BUSY_SNAPSHOT" => sqlite(code::BUSY_SNAPSHOT),
            "SQLITE_INTERRUPT" => sqlite(code::INTERRUPT),
            "SQLITE_TOOBIG" => sqlite(code::TOOBIG),
            "SQLITE_AUTH" | "SQLITE_PERM" => sqlite(code::AUTH),
            "SQLITE_READONLY" => sqlite(8),
            "SQLITE_IOERR" => sqlite(10),
            "SQLITE_CORRUPT" => sqlite(11),
            "SQLITE_FULL" => sqlite(13),
            "SQLITE_NOTADB" => sqlite(26),
            "SQLITE_UNKNOWN" | "SQLITE_ERROR" | "SQLITE_MISMATCH" | "SQLITE_RANGE" => {
                sqlite(code::ERROR)
            }
            _ if code.starts_with("SQLITE_BUSY") || code.starts_with("SQLITE_LOCKED") => {
                sqlite(code::BUSY)
            }
            _ if code.starts_with("SQL_") || code.starts_with("ARGS_") => {
                let (subject, reason) = owned();
                Error::BadSql { subject, reason }
            }
            _ if code.starts_with("STREAM_")
                || code.starts_with("BATON_")
                || code.starts_with("TRANSACTION_") =>
            {
                let (subject, reason) = owned();
                Error::Expired { subject, reason }
            }
            // The statement has run; what it gave is what is too large.
            "RESPONSE_TOO_LARGE" => call.too_large(reason),
            _ if code.contains("BLOCKED") || code.starts_with("AUTH_") => {
                let (subject, reason) = owned();
                Error::Refused { subject, status: None, reason }
            }
            _ => {
                let (subject, reason) = owned();
                let reason = if code.is_empty() { reason } else { format!("{reason} ({code})") };
                Error::Sqlite { subject, extended_code: code::ERROR, reason }
            }
        }
    }
}

/// The message of an error and of everything that caused it, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

/// For one call: what is named in its errors.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) subject: &'a str,
    pub(crate) operation: &'static str,
    /// Whether it may change the database.
    pub(crate) changes: bool,
}

impl Call<'_> {
    pub(crate) fn timed_out(&self, after: Duration, sent: bool) -> Error {
        Error::TimedOut {
            subject: self.subject.to_owned(),
            operation: self.operation,
            after,
            maybe_applied: sent && self.changes,
        }
    }

    pub(crate) fn cancelled(&self, sent: bool) -> Error {
        Error::Cancelled {
            subject: self.subject.to_owned(),
            operation: self.operation,
            maybe_applied: sent && self.changes,
        }
    }

    pub(crate) fn lost(&self, reason: impl fmt::Display) -> Error {
        Error::Lost {
            subject: self.subject.to_owned(),
            operation: self.operation,
            reason: reason.to_string(),
            maybe_applied: self.changes,
        }
    }

    pub(crate) fn protocol(&self, status: Option<u16>, reason: impl fmt::Display) -> Error {
        Error::Protocol {
            subject: self.subject.to_owned(),
            status,
            reason: reason.to_string(),
            maybe_applied: self.changes,
        }
    }

    /// The answer is too large, to what has been carried out.
    pub(crate) fn too_large(&self, reason: impl fmt::Display) -> Error {
        Error::TooLarge {
            subject: self.subject.to_owned(),
            reason: reason.to_string(),
            maybe_applied: self.changes,
        }
    }

    /// The answer cannot be read, to what has been carried out.
    pub(crate) fn unreadable(&self, reason: impl fmt::Display) -> Error {
        Error::Unreadable {
            subject: self.subject.to_owned(),
            reason: reason.to_string(),
            maybe_applied: self.changes,
        }
    }

    pub(crate) fn unreachable(&self, reason: impl fmt::Display) -> Error {
        Error::Unreachable { subject: self.subject.to_owned(), reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'static> = Call { subject: "s", operation: "query", changes: true };

    /// The variant's name.
    fn variant(code: &str, message: &str) -> String {
        let error = Error::from_server(CALL, code, message);
        format!("{error:?}").split(' ').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_a_server_calls_an_error_is_an_error_of_its_kind() {
        for (code, expected) in [
            ("SQLITE_BUSY", "Busy"),
            ("SQLITE_BUSY_TIMEOUT", "Busy"),
            ("SQLITE_LOCKED_SHAREDCACHE", "Busy"),
            ("SQLITE_BUSY_SNAPSHOT", "Conflict"),
            ("SQLITE_UNKNOWN", "BadSql"),
            ("SQL_PARSE_ERROR", "BadSql"),
            ("ARGS_INVALID", "BadSql"),
            ("STREAM_EXPIRED", "Expired"),
            ("BATON_INVALID", "Expired"),
            ("TRANSACTION_TIMEOUT", "Expired"),
            ("RESPONSE_TOO_LARGE", "TooLarge"),
            ("SQLITE_TOOBIG", "TooLarge"),
            ("SQLITE_AUTH", "Refused"),
            ("BLOCKED", "Refused"),
            ("SQLITE_FULL", "Sqlite"),
            ("SQLITE_READONLY", "Sqlite"),
            ("SOMETHING_NEW", "Sqlite"),
            ("", "Sqlite"),
        ] {
            assert_eq!(variant(code, "what it says"), expected, "{code}");
        }
    }

    #[test]
    fn a_constraint_is_found_by_its_name_or_by_its_message() {
        for (code, message, kind, extended) in [
            ("SQLITE_CONSTRAINT_PRIMARYKEY", "x", ConstraintKind::PrimaryKey, 1555),
            ("SQLITE_CONSTRAINT_TRIGGER", "x", ConstraintKind::Trigger, 1811),
            ("SQLITE_CONSTRAINT_VTAB", "x", ConstraintKind::Other, 19),
            (
                "SQLITE_CONSTRAINT",
                "SQLite error: UNIQUE constraint failed: t.a",
                ConstraintKind::Unique,
                2067,
            ),
            ("SQLITE_CONSTRAINT", "a trigger says so", ConstraintKind::Other, 19),
        ] {
            match Error::from_server(CALL, code, message) {
                Error::Constraint { kind: k, extended_code, reason, .. } => {
                    assert_eq!((k, extended_code), (kind, extended), "{code}");
                    assert!(!reason.contains("SQLite error"), "{reason}");
                }
                error => panic!("{code}: {error:?}"),
            }
        }
    }

    #[test]
    fn what_may_succeed_later_is_transient() {
        for (code, transient) in [
            ("SQLITE_BUSY", true),
            ("TRANSACTION_TIMEOUT", true),
            ("SQLITE_CONSTRAINT", false),
            ("SQLITE_BUSY_SNAPSHOT", false),
            ("SQL_PARSE_ERROR", false),
        ] {
            let error = Error::from_server(CALL, code, "");
            assert_eq!(error.is_transient(), transient, "{code}");
            assert!(!error.may_have_been_applied(), "{code}");
        }
    }
}
