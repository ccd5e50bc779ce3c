//! What an import did, as a value that can be printed and is written as JSON.

use std::{
    collections::{BTreeMap, BinaryHeap},
    fs::File,
    io,
    path::Path,
};

use serde::Serialize;

/// What an import did. Its JSON form, with these names, is a promise (`docs/import.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// The file that was read.
    pub file: String,
    /// The database.
    pub database: String,
    /// Whether the database was written to: not on a dry run, and not with `strict` if a line was
    /// rejected. If not, the counts say what would have been done.
    pub written: bool,
    /// Nothing was to be written.
    pub dry_run: bool,
    /// All or nothing was to be written.
    pub strict: bool,
    /// Lines of contacts in the file: `inserted + updated + unchanged + repeated + rejected`. The
    /// header and blank lines do not count; a record over several lines counts once.
    pub lines: u64,
    /// Contacts that are new.
    pub inserted: u64,
    /// Contacts of which something changed.
    pub updated: u64,
    /// Contacts that were as the file has them already.
    pub unchanged: u64,
    /// Lines that add to a contact of another line.
    pub repeated: u64,
    /// Lines that were not taken.
    pub rejected: u64,
    /// Dates that were given as M/D/YYYY, month first, in lines that were taken.
    pub dates_normalized: u64,
    /// Contacts whose state was taken from the ZIP code.
    pub states_derived: u64,
    /// The columns of the file in their order, and where they go.
    pub columns: Vec<ColumnReport>,
    /// What is wrong with rejected lines.
    pub problems: Findings,
    /// What is to be known about lines that were taken.
    pub notes: Findings,
}

impl ImportReport {
    /// Whether the contacts were all there already.
    pub fn is_unchanged(&self) -> bool {
        self.inserted == 0 && self.updated == 0
    }
}

/// A column of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnReport {
    /// Its name in the file.
    pub header: String,
    /// The column of the table that it goes into; `None` if it is ignored.
    pub column: Option<String>,
}

/// Problems or notes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// How many there are of each reason.
    pub by_reason: BTreeMap<Reason, u64>,
    /// The first of them by line, at most [`Findings::LISTED_MAX`].
    pub listed: Vec<Entry>,
    /// How many more there are; a report file has all of them.
    pub not_listed: u64,
}

impl Findings {
    /// How many findings a report lists.
    pub const LISTED_MAX: usize = 1000;
}

/// Something to say about a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entry {
    /// The line of the file, from 1.
    pub line: u64,
    /// The column's name in the file, if it is about one.
    pub column: Option<String>,
    /// What the cell holds, shortened to [`Entry::VALUE_CHARS_MAX`] characters.
    pub value: Option<String>,
    /// Why, as one of a fixed list.
    pub reason: Reason,
    /// Why, in words; with the column's name before it a sentence.
    pub text: String,
}

impl Entry {
    /// How much of a cell is shown.
    pub const VALUE_CHARS_MAX: usize = 80;
}

/// Reasons of problems and notes. In JSON and in report files they are written in lower case with
/// underscores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Problem: the cell is not UTF-8.
    NotUtf8,
    /// Problem: the cell holds a NUL character.
    NulCharacter,
    /// Problem: a quotation mark is opened and not closed.
    OpenQuote,
    /// Problem: the line is longer than 64 KB.
    LineTooLong,
    /// Problem: the line has more or fewer fields than the header.
    FieldCount,
    /// Problem: the id is not a whole number from 1 to 2^53 - 1.
    IdMalformed,
    /// Problem: a new contact needs an e-mail address.
    EmailMissing,
    /// Problem: the e-mail address cannot be written to.
    EmailMalformed,
    /// Problem: a new contact needs a ZIP code.
    ZipMissing,
    /// Problem: the ZIP code does not have the form of one.
    ZipMalformed,
    /// Problem: the ZIP code is not in use.
    ZipUnknown,
    /// Problem: the date cannot be read.
    DateMalformed,
    /// Problem: there is no such day.
    DateNotReal,
    /// Problem: the century is missing.
    DateTwoDigitYear,
    /// Problem: the id says one contact, the e-mail address another.
    EmailOfAnother,
    /// Problem: several contacts have the e-mail address, and the line has no id.
    EmailOfSeveral,
    /// Problem: an earlier line gives the contact with the same id another e-mail address.
    OtherEmail,
    /// Problem: the e-mail address would change, but another line uses the old one.
    OldEmailInUse,
    /// Problem: a condition of the table refuses the contact.
    RefusedByDatabase,
    /// Note: zeros were put before the ZIP code.
    ZipPadded,
    /// Note: the state is none, and was left out.
    StateUnreadable,
    /// Note: the state is not the one of the ZIP code; the rules of both apply.
    StateMismatch,
    /// Note: the birth date lies in the future, and will be ignored until then.
    BirthDateInTheFuture,
    /// Note: another line speaks of the same contact; for each column the later line counts.
    Repeated,
}

impl Reason {
    /// Whether it keeps a line out.
    pub fn is_problem(self) -> bool {
        self <= Self::RefusedByDatabase
    }
}

/// Collects findings: all into a report file, the first ones and the counts into the report.
pub(super) struct Reporter {
    problems: Collected,
    notes: Collected,
    file: Option<csv::Writer<File>>,
}

#[derive(Default)]
struct Collected {
    by_reason: BTreeMap<Reason, u64>,
    /// The last line on top, so that an earlier one can take its place.
    listed: BinaryHeap<Entry>,
    count: u64,
}

/// A line of a report file.
#[derive(Serialize)]
struct FileLine<'e> {
    line: u64,
    level: &'static str,
    column: Option<&'e str>,
    value: Option<&'e str>,
    reason: Reason,
    text: &'e str,
}

impl Reporter {
    pub(super) fn new(file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(File::create).transpose()?.map(csv::Writer::from_writer);
        Ok(Self { problems: Collected::default(), notes: Collected::default(), file })
    }

    pub(super) fn add(&mut self, mut entry: Entry) -> Result<(), csv::Error> {
        if let Some(value) = &mut entry.value
            && let Some((end, _)) = value.char_indices().nth(Entry::VALUE_CHARS_MAX)
        {
            value.truncate(end);
            value.push('…');
        }
        let is_problem = entry.reason.is_problem();
        if let Some(file) = &mut self.file {
            file.serialize(FileLine {
                line: entry.line,
                level: if is_problem { "problem" } else { "note" },
                column: entry.column.as_deref(),
                value: entry.value.as_deref(),
                reason: entry.reason,
                text: &entry.text,
            })?;
        }
        let collected = if is_problem { &mut self.problems } else { &mut self.notes };
        *collected.by_reason.entry(entry.reason).or_default() += 1;
        collected.count += 1;
        if collected.listed.len() < Findings::LISTED_MAX {
            collected.listed.push(entry);
        } else if let Some(mut last) = collected.listed.peek_mut()
            && entry < *last
        {
            *last = entry;
        }
        Ok(())
    }

    /// The problems and the notes.
    pub(super) fn finish(self) -> io::Result<(Findings, Findings)> {
        if let Some(mut file) = self.file {
            // A file without findings has its header all the same.
            if self.problems.count + self.notes.count == 0 {
                file.write_record(["line", "level", "column", "value", "reason", "text"])?;
            }
            file.flush()?;
        }
        Ok((self.problems.finish(), self.notes.finish()))
    }
}

impl Collected {
    fn finish(self) -> Findings {
        let not_listed = self.count - self.listed.len() as u64;
        Findings { by_reason: self.by_reason, listed: self.listed.into_sorted_vec(), not_listed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_are_listed_in_whatever_order_they_come() {
        let mut reporter = Reporter::new(None).unwrap();
        for line in (1..=3000).rev() {
            reporter
                .add(Entry {
                    line,
                    column: None,
                    value: Some("é".repeat(100)),
                    reason: Reason::ZipPadded,
                    text: String::new(),
                })
                .unwrap();
        }
        let (problems, notes) = reporter.finish().unwrap();
        assert_eq!(problems, Findings::default());
        assert_eq!(notes.not_listed, 2000);
        assert!(notes.listed.iter().map(|entry| entry.line).eq(1..=1000));
        assert_eq!(notes.listed[0].value.as_ref().unwrap().chars().count(), 81);
        assert_eq!(notes.by_reason, BTreeMap::from([(Reason::ZipPadded, 3000)]));
    }

    #[test]
    fn reasons_are_written_in_lower_case() {
        let json = serde_json::to_string(&[Reason::NotUtf8, Reason::DateTwoDigitYear]).unwrap();
        assert_eq!(json, r#"["not_utf8","date_two_digit_year"]"#);
        assert!(Reason::RefusedByDatabase.is_problem());
        assert!(!Reason::ZipPadded.is_problem());
    }
}
