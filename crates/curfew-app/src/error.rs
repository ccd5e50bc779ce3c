//! Errors of the use cases.

use std::path::PathBuf;

/// Why a use case was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration file cannot be used.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The database cannot be used, or the work on it failed.
    #[error(transparent)]
    Store(#[from] curfew_store::StoreError),
    /// The date of a plan is outside of the years that a plan can be made for.
    #[error("no plan can be made for {date}: the year must be from 1900 to 9000")]
    TodayOutOfRange {
        /// The date that was asked for.
        date: jiff::civil::Date,
    },
    /// There is no contact with the id that was asked for.
    #[error("there is no contact {contact_id} in {}", database.display())]
    NoSuchContact {
        /// The database.
        database: PathBuf,
        /// The id that was asked for.
        contact_id: i64,
    },
    /// A campaign could not be changed.
    #[error(transparent)]
    Campaign(#[from] curfew_store::CampaignError),
    /// Contacts could not be imported.
    #[error(transparent)]
    Import(#[from] crate::import::ImportError),
    /// The sample organization could not be made.
    #[error(transparent)]
    Sample(#[from] crate::sample::SampleError),
    /// The organization could not be made.
    #[error(transparent)]
    Generate(#[from] crate::generate::GenerateError),
    /// A file of rules has bad lines.
    #[error(transparent)]
    Rules(#[from] crate::rules::RulesError),
    /// What a plan would change could not be passed on.
    #[error("cannot write the changes")]
    Sink(#[source] std::io::Error),
    /// The contact changed while it was looked at.
    #[error("contact {contact_id} was changed by another program just now; try again")]
    ChangedMeanwhile {
        /// The contact.
        contact_id: i64,
    },
    /// A stretch of days that ends before it begins.
    #[error("no day is from {from} to {to}; give the earlier day as the first")]
    NoDays {
        /// The first day.
        from: jiff::civil::Date,
        /// The last day.
        to: jiff::civil::Date,
    },
    /// No version of the configuration has this number.
    #[error(
        "there is no configuration version {version} in {}; `curfew config history` lists them",
        database.display()
    )]
    NoSuchVersion {
        /// The database.
        database: PathBuf,
        /// The number that was asked for.
        version: i64,
    },
    /// No configuration is on record.
    #[error(
        "no configuration is on record in {}{}; every run records the one that it uses",
        database.display(),
        on.map(|date| format!(" for {date}")).unwrap_or_default()
    )]
    NoVersion {
        /// The database.
        database: PathBuf,
        /// The day that was asked for.
        on: Option<jiff::civil::Date>,
    },
    /// A version of the configuration was named, but not the database that it is in.
    #[error("configuration version {version} is in a database; give it with --db")]
    VersionWithoutDatabase {
        /// The number that was asked for.
        version: i64,
    },
    /// A file could not be read or written.
    #[error("cannot {operation} {}: {cause}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: std::io::Error,
    },
}

/// Whether the user can mend an error by giving other input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The input or the configuration is at fault: exit code 2.
    Input,
    /// The work failed: exit code 3.
    Failure,
}

impl Error {
    /// Whether the same step may succeed when it is repeated.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }

    /// Whose fault it is.
    #[expect(clippy::match_same_arms, reason = "grouped by where an error comes from")]
    pub fn fault(&self) -> Fault {
        use curfew_store::{CampaignError, StoreError as Store, contacts::ContactsError};

        use crate::{generate::GenerateError, import::ImportError, sample::SampleError};
        match self {
            Self::Config(_)
            | Self::Rules(_)
            | Self::TodayOutOfRange { .. }
            | Self::NoSuchContact { .. }
            | Self::NoDays { .. }
            | Self::NoSuchVersion { .. }
            | Self::NoVersion { .. }
            | Self::VersionWithoutDatabase { .. }
            | Self::Store(
                Store::Missing { .. }
                | Store::IsDirectory { .. }
                | Store::NotAFile { .. }
                | Store::Exists { .. }
                | Store::NotADatabase { .. }
                | Store::NoContacts { .. }
                | Store::ContactColumns { .. }
                | Store::ContactIdNotInteger { .. }
                | Store::UnsupportedTable { .. }
                | Store::Newer { .. }
                | Store::NoSuchRun { .. }
                | Store::SameFile { .. },
            ) => Fault::Input,
            Self::Import(ImportError::Database(error))
            | Self::Sample(SampleError::Database(error))
            | Self::Generate(GenerateError::Database(error)) => match error {
                ContactsError::Exists { .. }
                | ContactsError::NoFolder { .. }
                | ContactsError::NotADatabase { .. }
                | ContactsError::NotATable { .. } => Fault::Input,
                _ => Fault::Failure,
            },
            Self::Import(_) | Self::Generate(_) | Self::Sample(SampleError::Exists { .. }) => {
                Fault::Input
            }
            Self::Campaign(CampaignError::Store(_)) | Self::Sample(_) => Fault::Failure,
            Self::Campaign(_) => Fault::Input,
            Self::Store(_) | Self::Sink(_) | Self::ChangedMeanwhile { .. } | Self::File { .. } => {
                Fault::Failure
            }
        }
    }
}
