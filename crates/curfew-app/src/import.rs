//! Importing contacts from a CSV file.
//!
//! Every line is checked with the engine's own check, so that what goes in is what can be planned.
//! Good lines go in, bad ones are reported with line, column and reason; with
//! [`ImportRequest::strict`] one bad line keeps all out. An import is one transaction, and a
//! second import of the same file changes nothing.

mod cells;
mod header;
mod records;
mod report;
pub mod targets;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use curfew_engine::{Field, Today};
use curfew_store::contacts::{
    Access, Applied, Change, ContactsDatabase, ContactsError, Line, Placement, Refusal, Staging,
};

pub use self::report::{ColumnReport, Entry, Findings, ImportReport, Reason};
use self::{
    cells::Finding,
    header::{Header, Known, Use},
    records::{Encoding, FormProblem, Next, Record, Records},
    report::Reporter,
};

/// What to import, and how.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The database; made if it is missing.
    pub database: PathBuf,
    /// The CSV file.
    pub file: PathBuf,
    /// The day on which birth dates lie in the future or not.
    pub today: Today,
    /// Write nothing if a line is rejected.
    pub strict: bool,
    /// Write nothing, only report.
    pub dry_run: bool,
    /// A CSV file to make, with everything there is to say about lines, in the order in which it
    /// was found.
    pub report: Option<PathBuf>,
}

impl ImportRequest {
    /// An import of `file` into `database` with the good lines going in.
    pub fn new(database: impl Into<PathBuf>, file: impl Into<PathBuf>, today: Today) -> Self {
        Self {
            database: database.into(),
            file: file.into(),
            today,
            strict: false,
            dry_run: false,
            report: None,
        }
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Lines are read; `bytes` of the file so far.
    Reading {
        /// Bytes of the file.
        bytes: u64,
    },
    /// Contacts are compared and written; so many so far.
    Writing {
        /// Contacts.
        contacts: u64,
    },
}

/// [`Progress`] is told after so many lines or contacts.
const PROGRESS_STEP: u64 = 10_000;

/// Why nothing could be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The input failed while it was read.
    #[error("the contacts cannot be read: {0}")]
    Input(#[from] io::Error),
    /// The file is not a text file.
    #[error("{} is {what}; save it as CSV in UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// There is no line in the file.
    #[error("the file is empty; its first line must name the columns")]
    Empty,
    /// The first line cannot be read.
    #[error(
        "the names of the columns on line {line} cannot be read; is a quotation mark left open?"
    )]
    HeaderUnreadable {
        /// The line.
        line: u64,
    },
    /// Several columns go into the same column of the table.
    #[error(
        "the columns {} all mean {column}; remove or rename all but one",
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
    )]
    AmbiguousHeader {
        /// The column of the table.
        column: String,
        /// Those of the file.
        names: Vec<String>,
    },
    /// No column tells whose the line is.
    #[error(
        "no column is named `email` or `id`; the first line must name the columns, but it reads: {}",
        names.join(", ")
    )]
    NoIdentity {
        /// What the first line says.
        names: Vec<String>,
    },
    /// The columns of a file of targets cannot be made out.
    #[error(
        "the file needs a column `trigger_date` and one of `contact_id` and `email`, each once; its \
         first line reads: {}",
        names.join(", ")
    )]
    NoTargetColumns {
        /// What the first line says.
        names: Vec<String>,
    },
    /// The report file cannot be written.
    #[error("the report {} cannot be written: {source}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The report file is also the input or the database.
    #[error("the report would overwrite {}; name another file", path.display())]
    ReportOverwrites {
        /// The file.
        path: PathBuf,
    },
    /// The database fails.
    #[error(transparent)]
    Database(#[from] ContactsError),
}

/// Imports a file.
///
/// # Errors
/// If the file or the database cannot be used at all; then nothing is written. A bad line is no
/// error, but in the report.
pub fn import(request: &ImportRequest) -> Result<ImportReport, ImportError> {
    import_with(request, |_| {})
}

/// Imports a file and tells how far it is.
///
/// # Errors
/// As [`import`].
pub fn import_with(
    request: &ImportRequest,
    progress: impl FnMut(Progress),
) -> Result<ImportReport, ImportError> {
    let file = File::open(&request.file)
        .map_err(|source| ImportError::Read { path: request.file.clone(), source })?;
    import_from(request, file, progress)
}

/// Imports what `input` reads; the request's file is only its name.
///
/// # Errors
/// As [`import`].
pub fn import_from(
    request: &ImportRequest,
    input: impl Read,
    progress: impl FnMut(Progress),
) -> Result<ImportReport, ImportError> {
    check_report_path(request)?;
    let mut records = Records::new(input)?;
    if let Some(problem) = records.encoding_problem() {
        let what = match problem {
            Encoding::Utf16 => "UTF-16 text",
            Encoding::Spreadsheet => "a spreadsheet or ZIP archive",
            Encoding::Binary => "not a text file",
        };
        return Err(ImportError::NotText { path: request.file.clone(), what });
    }
    let access = if request.dry_run { Access::DryRun } else { Access::Write };
    let database = ContactsDatabase::open(&request.database, access)?;
    let header = header::read(&mut records, &database)?;
    let reporter =
        Reporter::new(request.report.as_deref()).map_err(|source| report_error(request, source))?;
    let ids_given = header.columns.iter().any(|(_, using)| *using == Use::Id);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let staging = database.stage(&header.targets(), ids_given, &now)?;
    let tally = Tally {
        email: header.place_of(Known::Email),
        header,
        reporter,
        counts: Counts::default(),
        failure: None,
    };
    let report = Import { request, staging, progress, tally }.run(records)?;
    tracing::info!(
        lines = report.lines,
        inserted = report.inserted,
        updated = report.updated,
        unchanged = report.unchanged,
        repeated = report.repeated,
        rejected = report.rejected,
        written = report.written,
        "import ends"
    );
    Ok(report)
}

/// Whether the report would destroy what it is about.
fn check_report_path(request: &ImportRequest) -> Result<(), ImportError> {
    let Some(report) = &request.report else { return Ok(()) };
    let same = |other: &Path| match (report.canonicalize(), other.canonicalize()) {
        (Ok(report), Ok(other)) => report == other,
        _ => report == other,
    };
    if same(&request.file) || same(&request.database) {
        return Err(ImportError::ReportOverwrites { path: report.clone() });
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Counts {
    lines: u64,
    inserted: u64,
    updated: u64,
    unchanged: u64,
    repeated: u64,
    rejected: u64,
    dates_normalized: u64,
    states_derived: u64,
}

struct Import<'r, P> {
    request: &'r ImportRequest,
    staging: Staging,
    progress: P,
    tally: Tally,
}

/// What is known so far.
struct Tally {
    header: Header,
    /// Where the e-mail address is among the cells of a line.
    email: Option<usize>,
    reporter: Reporter,
    counts: Counts,
    /// The report file could not be written. It is looked at after each step; callbacks of the
    /// database cannot fail.
    failure: Option<io::Error>,
}

impl<P: FnMut(Progress)> Import<'_, P> {
    fn run<R: Read>(mut self, mut records: Records<R>) -> Result<ImportReport, ImportError> {
        self.read(&mut records)?;
        self.staging.settle(|line, placement| self.tally.placed(line, placement))?;
        self.check()?;
        let is_refused = |this: &Self| this.request.strict && this.tally.counts.rejected > 0;
        let may_write = !is_refused(&self);
        self.apply(may_write)?;
        // The table may have refused a contact that nothing was wrong with before.
        let written = !self.request.dry_run && !is_refused(&self);

        let Self { request, staging, tally, .. } = self;
        let Tally { header, reporter, counts, .. } = tally;
        let (problems, notes) =
            reporter.finish().map_err(|source| report_error(request, source))?;
        if written {
            staging.commit()?;
        }
        Ok(ImportReport {
            file: request.file.display().to_string(),
            database: request.database.display().to_string(),
            written,
            dry_run: request.dry_run,
            strict: request.strict,
            lines: counts.lines,
            inserted: counts.inserted,
            updated: counts.updated,
            unchanged: counts.unchanged,
            repeated: counts.repeated,
            rejected: counts.rejected,
            dates_normalized: counts.dates_normalized,
            states_derived: counts.states_derived,
            columns: header.into_report(),
            problems,
            notes,
        })
    }

    /// Reads all lines and finds out whose they are.
    fn read<R: Read>(&mut self, records: &mut Records<R>) -> Result<(), ImportError> {
        let mut record = Record::default();
        loop {
            let next = records.next(&mut record)?;
            if next == Next::End {
                return Ok(());
            }
            self.tally.counts.lines += 1;
            if self.tally.counts.lines.is_multiple_of(PROGRESS_STEP) {
                (self.progress)(Progress::Reading { bytes: records.bytes_read });
            }
            match next {
                Next::Bad(problem) => self.tally.bad_form(record.line, problem),
                Next::Record | Next::End => self.take(&record)?,
            }
            self.check()?;
        }
    }

    fn take(&mut self, record: &Record) -> Result<(), ImportError> {
        let mut findings = Vec::new();
        let line = cells::check(record, &self.tally.header, self.request.today, &mut findings);
        if self.tally.found(record.line, findings) {
            if let Some(id) = line.id {
                self.staging.reserve_id(id);
            }
            return Ok(());
        }
        self.tally.counts.dates_normalized += line.dates_normalized;
        let cells: Vec<Option<&str>> = line.cells.iter().map(Option::as_deref).collect();
        let line = Line { number: record.line, id: line.id, cells: &cells };
        let placement = self.staging.add(line)?;
        self.tally.placed(line, placement);
        Ok(())
    }

    fn apply(&mut self, may_write: bool) -> Result<(), ImportError> {
        let Self { request, staging, progress, tally } = self;
        let mut contacts = 0;
        staging.apply(request.today, may_write, |applied| {
            contacts += 1;
            if contacts % PROGRESS_STEP == 0 {
                progress(Progress::Writing { contacts });
            }
            tally.applied(applied);
        })?;
        self.check()
    }

    fn check(&mut self) -> Result<(), ImportError> {
        match self.tally.failure.take() {
            None => Ok(()),
            Some(source) => Err(report_error(self.request, source)),
        }
    }
}

impl Tally {
    fn bad_form(&mut self, line: u64, problem: FormProblem) {
        let (reason, text) = form_problem(problem);
        self.counts.rejected += 1;
        self.entry(Entry { line, column: None, value: None, reason, text });
    }

    /// Reports what was found in the cells of a line; `true` if the line is not to be taken.
    fn found(&mut self, line: u64, findings: Vec<Finding<'_>>) -> bool {
        let is_bad = findings.iter().any(|finding| finding.reason.is_problem());
        self.counts.rejected += u64::from(is_bad);
        for Finding { column, value, reason, text } in findings {
            // What is noted about a line that is not taken is of no use to anybody.
            if !is_bad || reason.is_problem() {
                let column = Some(self.header.columns[column].0.clone());
                let value = Some(value.into_owned());
                self.entry(Entry { line, column, value, reason, text });
            }
        }
        is_bad
    }

    fn placed(&mut self, line: Line<'_>, placement: Placement) {
        match placement {
            Placement::Staged | Placement::Postponed => {}
            Placement::Repeats { line: other } => {
                self.counts.repeated += 1;
                let text = format!(
                    "the line speaks of the same contact as line {other}; for each column the \
                     later line counts"
                );
                let reason = Reason::Repeated;
                self.entry(Entry { line: line.number, column: None, value: None, reason, text });
            }
            Placement::Refused(refusal) => {
                self.counts.rejected += 1;
                let (reason, known) = match &refusal {
                    Refusal::Missing(Field::ZipCode) => (Reason::ZipMissing, Some(Known::ZipCode)),
                    Refusal::Missing(_) => (Reason::EmailMissing, Some(Known::Email)),
                    Refusal::EmailOfAnother { .. } => (Reason::EmailOfAnother, Some(Known::Email)),
                    Refusal::EmailOfSeveral { .. } => (Reason::EmailOfSeveral, Some(Known::Email)),
                    Refusal::OtherEmail { .. } => (Reason::OtherEmail, Some(Known::Email)),
                    Refusal::OldEmailInUse { .. } => (Reason::OldEmailInUse, Some(Known::Email)),
                    _ => (Reason::RefusedByDatabase, None),
                };
                let value = (known == Some(Known::Email))
                    .then(|| line.cells[self.email?])
                    .flatten()
                    .map(ToOwned::to_owned);
                self.entry(Entry {
                    line: line.number,
                    column: known.map(|known| self.header.name_of(known).to_owned()),
                    value,
                    reason,
                    text: refusal.to_string(),
                });
            }
        }
    }

    fn applied(&mut self, applied: Applied) {
        let Applied { line, lines, change, state_derived, mismatch } = applied;
        match change {
            Ok(Change::Inserted) => self.counts.inserted += 1,
            Ok(Change::Updated) => self.counts.updated += 1,
            Ok(Change::Unchanged) => self.counts.unchanged += 1,
            Err(refusal) => {
                // With the line, all that add to it are lost.
                self.counts.rejected += lines;
                self.counts.repeated -= lines - 1;
                let more = match lines {
                    1 => String::new(),
                    _ => format!(" ({} more lines speak of the same contact)", lines - 1),
                };
                let text = format!("{refusal}{more}");
                let reason = Reason::RefusedByDatabase;
                self.entry(Entry { line, column: None, value: None, reason, text });
                return;
            }
        }
        self.counts.states_derived += u64::from(state_derived);
        if let Some(issue) = mismatch {
            self.entry(Entry {
                line,
                column: Some(self.header.name_of(Known::State).to_owned()),
                value: None,
                reason: Reason::StateMismatch,
                text: issue.to_string(),
            });
        }
    }

    fn entry(&mut self, entry: Entry) {
        if let Err(error) = self.reporter.add(entry) {
            self.failure.get_or_insert(error.into());
        }
    }
}

fn report_error(request: &ImportRequest, source: io::Error) -> ImportError {
    ImportError::Report { path: request.report.clone().unwrap_or_default(), source }
}

fn form_problem(problem: FormProblem) -> (Reason, String) {
    match problem {
        FormProblem::OpenQuote => {
            (Reason::OpenQuote, "a quotation mark is opened and not closed".to_owned())
        }
        FormProblem::TooLong => (Reason::LineTooLong, "the line is longer than 64 KB".to_owned()),
        FormProblem::FieldCount { found, expected } => (
            Reason::FieldCount,
            format!("the line has {found} fields, but the header has {expected}"),
        ),
    }
}
