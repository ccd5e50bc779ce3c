//! What can be wrong with a configuration, and where.

use std::{fmt, io, ops::Range, path::PathBuf};

use curfew_engine::rule::point_at;

use super::Config;

/// A configuration could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file does not exist or cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error(
        "the configuration {} is larger than {} bytes, is it the right file?",
        path.display(),
        Config::FILE_BYTES_MAX
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not text in UTF-8.
    #[error("the configuration {} is not text in UTF-8 (line {line})", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line of the first byte that is wrong, from 1.
        line: usize,
    },
    /// The file has problems.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// The problems of one configuration, at least one, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    name: String,
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// No more than so many are listed.
    pub const LISTED_MAX: usize = 100;

    pub(super) fn new(name: &str, mut list: Vec<Problem>, more: usize) -> Self {
        list.sort_by_key(|problem| (problem.line, problem.column));
        Self { name: name.to_owned(), list, more }
    }

    /// What the configuration is called: the path of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The problems, at most [`Problems::LISTED_MAX`].
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// How many there are, those included that are not listed.
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }
}

/// Every problem with its line and a caret below the place, then how many there are, if several.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{}:{problem}", self.name)?;
        }
        if self.count() > 1 {
            write!(f, "\n\n{}: {} problems", self.name, self.count())?;
        }
        if self.more > 0 {
            write!(f, ", {} of them shown", self.list.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `timing_constants.grace_days`; empty if the text is not YAML.
    pub key: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
    /// What to do about it, if that can be told.
    pub hint: Option<String>,
    excerpt: [String; 2],
}

impl Problem {
    /// A problem at these bytes of the text.
    pub(super) fn new(
        text: &str,
        place: Range<usize>,
        key: &str,
        message: String,
        hint: Option<String>,
    ) -> Self {
        let start = floor(text, place.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let rest = &text[line_start..];
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        // A place of several lines is marked on its first.
        let first = (start - line_start).min(line.len());
        let last = floor(text, place.end).saturating_sub(line_start).clamp(first, line.len());
        Self {
            key: key.to_owned(),
            line: 1 + text[..line_start].matches('\n').count(),
            column: 1 + line[..first].chars().count(),
            message,
            hint,
            excerpt: point_at(line, first..last),
        }
    }
}

/// The nearest boundary between two characters at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    (0..=byte.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// `LINE:COLUMN: KEY: MESSAGE`, then the line, carets below the place, and the hint.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, line, column, message, hint, excerpt: [shown, carets] } = self;
        write!(f, "{line}:{column}: ")?;
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        write!(f, "{message}")?;
        let number = line.to_string();
        let space = " ".repeat(number.len());
        if !shown.is_empty() {
            write!(f, "\n  {number} | {shown}\n  {space} | {carets}")?;
        }
        hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  {space} = {hint}"))
    }
}
