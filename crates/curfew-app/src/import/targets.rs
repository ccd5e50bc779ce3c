//! Importing the targets of a campaign from a CSV file: a contact, by id or e-mail address, and a
//! trigger date in each line.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use curfew_engine::{DateError, Day};
use serde::Serialize;

use super::{
    ImportError, form_problem,
    records::{Encoding, Next, Record, Records},
};
use crate::{
    Error,
    campaigns::{self, NewTarget, TargetOutcome},
};

/// What to import, and how.
#[derive(Clone, Debug)]
pub struct TargetImport {
    /// The database.
    pub database: PathBuf,
    /// The CSV file.
    pub file: PathBuf,
    /// The campaign instance: its id or its name.
    pub instance: String,
    /// Who is on record for the change.
    pub by: String,
    /// Write nothing if a line is rejected.
    pub strict: bool,
    /// A CSV file to make, with what came of each line.
    pub report: Option<PathBuf>,
}

/// What came of an import of targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetImportReport {
    /// The file.
    pub file: String,
    /// The database.
    pub database: String,
    /// The instance.
    pub campaign_instance_id: i64,
    /// Whether anything was written.
    pub written: bool,
    /// Whether one bad line keeps all out.
    pub strict: bool,
    /// Lines with targets.
    pub lines: u64,
    /// How many lines came to what: `added`, `dated`, `unchanged`, `rejected`.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The rejected lines, in the order of the file.
    pub rejected: Vec<TargetLine>,
}

impl TargetImportReport {
    /// How many lines came to this.
    pub fn count(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }
}

/// A line of the file, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetLine {
    /// Its number, from 1.
    pub line: u64,
    /// The contact as the line names it.
    pub contact: String,
    /// The date as the line has it.
    pub trigger_date: String,
    /// `added`; `dated`: a target without a date has got one; `unchanged`: it was a target for this
    /// date already; `rejected`.
    pub outcome: &'static str,
    /// Why it was rejected.
    pub reason: Option<String>,
}

/// Imports a file of targets. Good lines go in and bad ones are reported, unless
/// [`TargetImport::strict`] is set; all in one transaction. A second import of the same file changes
/// nothing.
///
/// # Errors
/// If the file, the database or the instance cannot be used, or the report cannot be written; then
/// nothing is written to the database.
pub fn import(request: &TargetImport) -> Result<TargetImportReport, Error> {
    check_report(request)?;
    let lines = read(&request.file)?;
    let (report, changes) = campaigns::edit_if(&request.database, &request.by, |editor| {
        let instance_id = editor.instance(&request.instance)?;
        let (places, new): (Vec<usize>, Vec<NewTarget<'_>>) = lines
            .iter()
            .enumerate()
            .filter_map(|(place, line)| Some((place, line.as_ref().ok()?.target())))
            .unzip();
        let outcomes = editor.add_targets(instance_id, &new)?;
        let outcomes: Vec<_> = places.into_iter().zip(outcomes).collect();
        let report = report(request, instance_id, lines, outcomes)?;
        let is_kept = !(report.strict && report.count("rejected") > 0);
        Ok((report, is_kept))
    })?;
    let report = TargetImportReport { written: !changes.is_empty(), ..report };
    tracing::info!(
        lines = report.lines,
        added = report.count("added"),
        rejected = report.count("rejected"),
        written = report.written,
        "import ends"
    );
    Ok(report)
}

/// A line that can be looked up.
#[derive(Debug)]
struct Wanted {
    line: u64,
    contact_id: Option<i64>,
    email: Option<String>,
    trigger_date: Day,
}

impl Wanted {
    fn target(&self) -> NewTarget<'_> {
        NewTarget {
            contact_id: self.contact_id,
            email: self.email.as_deref(),
            trigger_date: self.trigger_date,
        }
    }

    fn into_line(self, outcome: TargetOutcome) -> TargetLine {
        let contact = match (self.contact_id, self.email) {
            (Some(id), Some(email)) => format!("{id} {email}"),
            (Some(id), None) => id.to_string(),
            (None, email) => email.unwrap_or_default(),
        };
        let (outcome, reason) = match outcome {
            TargetOutcome::Added { .. } => ("added", None),
            TargetOutcome::Dated { .. } => ("dated", None),
            TargetOutcome::Unchanged { .. } => ("unchanged", None),
            TargetOutcome::UnknownContact => {
                ("rejected", Some("there is no such contact".to_owned()))
            }
            TargetOutcome::SeveralContacts { contact_ids } => {
                let ids: Vec<String> = contact_ids.iter().map(ToString::to_string).collect();
                let ids = ids.join(", ");
                let reason = format!("several contacts have this address; give the id: {ids}");
                ("rejected", Some(reason))
            }
            TargetOutcome::OtherEmail { contact_id } => {
                ("rejected", Some(format!("contact {contact_id} has another e-mail address")))
            }
        };
        let trigger_date = self.trigger_date.to_string();
        TargetLine { line: self.line, contact, trigger_date, outcome, reason }
    }
}

type Lines = Vec<Result<Wanted, TargetLine>>;

/// The counts and the rejected lines; all lines go into the report file.
fn report(
    request: &TargetImport,
    campaign_instance_id: i64,
    lines: Lines,
    outcomes: Vec<(usize, TargetOutcome)>,
) -> Result<TargetImportReport, Error> {
    let failed =
        |source| ImportError::Report { path: request.report.clone().unwrap_or_default(), source };
    let file = request.report.as_ref().map(File::create).transpose().map_err(failed)?;
    let mut file = file.map(csv::Writer::from_writer);
    let mut report = TargetImportReport {
        file: request.file.display().to_string(),
        database: request.database.display().to_string(),
        campaign_instance_id,
        written: false,
        strict: request.strict,
        lines: 0,
        outcomes: ["added", "dated", "unchanged", "rejected"].map(|name| (name, 0)).into(),
        rejected: Vec::new(),
    };
    let mut outcomes = outcomes.into_iter().peekable();
    for (place, line) in lines.into_iter().enumerate() {
        let line = match line {
            Err(rejected) => rejected,
            Ok(wanted) => match outcomes.next_if(|(of, _)| *of == place) {
                Some((_, outcome)) => wanted.into_line(outcome),
                None => continue,
            },
        };
        report.lines += 1;
        *report.outcomes.entry(line.outcome).or_default() += 1;
        if let Some(file) = &mut file {
            file.serialize(&line).map_err(|error| failed(error.into()))?;
        }
        if line.reason.is_some() {
            report.rejected.push(line);
        }
    }
    if let Some(mut file) = file {
        file.flush().map_err(failed)?;
    }
    Ok(report)
}

/// Whether the report would destroy what it is about.
fn check_report(request: &TargetImport) -> Result<(), ImportError> {
    let Some(report) = &request.report else { return Ok(()) };
    let is = |other: &Path| match (report.canonicalize(), other.canonicalize()) {
        (Ok(report), Ok(other)) => report == other,
        _ => report == other,
    };
    if is(&request.file) || is(&request.database) {
        return Err(ImportError::ReportOverwrites { path: report.clone() });
    }
    Ok(())
}

/// Where the cells of a line are.
struct Columns {
    contact_id: Option<usize>,
    email: Option<usize>,
    trigger_date: usize,
}

impl Columns {
    fn of(record: &Record) -> Option<Self> {
        let names: Vec<String> = record
            .fields()
            .map(|field| {
                let letters = String::from_utf8_lossy(field).to_lowercase();
                letters.chars().filter(|c| c.is_alphanumeric()).collect()
            })
            .collect();
        let all = |known: &[&str]| -> Vec<usize> {
            let is_known = |(_, name): &(usize, &String)| known.contains(&name.as_str());
            names.iter().enumerate().filter(is_known).map(|(at, _)| at).collect()
        };
        let contact_id = all(&["contactid", "id"]);
        let email = all(&["email", "emailaddress"]);
        let [trigger_date] = all(&["triggerdate", "trigger", "date", "eventdate"])[..] else {
            return None;
        };
        let is_good = contact_id.len() <= 1 && email.len() <= 1;
        (is_good && contact_id.len() + email.len() > 0).then(|| Self {
            contact_id: contact_id.first().copied(),
            email: email.first().copied(),
            trigger_date,
        })
    }
}

fn read(path: &Path) -> Result<Lines, ImportError> {
    let failed = |source: io::Error| ImportError::Read { path: path.to_owned(), source };
    let mut records = Records::new(File::open(path).map_err(failed)?).map_err(failed)?;
    if let Some(encoding) = records.encoding_problem() {
        let what = match encoding {
            Encoding::Utf16 => "UTF-16 text",
            Encoding::Spreadsheet => "a spreadsheet or ZIP archive",
            Encoding::Binary => "not a text file",
        };
        return Err(ImportError::NotText { path: path.to_owned(), what });
    }
    let fits = |delimiter: &u8| {
        records.peek(*delimiter).is_some_and(|record| Columns::of(&record).is_some())
    };
    let delimiter = [b',', b';', b'\t'].into_iter().find(fits).unwrap_or(b',');
    records.set_form(delimiter, None);
    let mut record = Record::default();
    match records.next(&mut record).map_err(failed)? {
        Next::Record => {}
        Next::Bad(_) => return Err(ImportError::HeaderUnreadable { line: record.line }),
        Next::End => return Err(ImportError::Empty),
    }
    let columns = Columns::of(&record).ok_or_else(|| ImportError::NoTargetColumns {
        names: record.fields().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
    })?;
    records.set_form(delimiter, Some(record.len()));
    let mut lines = Vec::new();
    loop {
        match records.next(&mut record).map_err(failed)? {
            Next::End => return Ok(lines),
            Next::Record => lines.push(check(&record, &columns)),
            Next::Bad(problem) => lines.push(Err(TargetLine {
                line: record.line,
                contact: String::new(),
                trigger_date: String::new(),
                outcome: "rejected",
                reason: Some(form_problem(problem).1),
            })),
        }
    }
}

fn check(record: &Record, columns: &Columns) -> Result<Wanted, TargetLine> {
    let cell = |at: Option<usize>| {
        at.map(|at| String::from_utf8_lossy(record.get(at)).trim().to_owned())
            .filter(|text| !text.is_empty())
    };
    let (id, email) = (cell(columns.contact_id), cell(columns.email));
    let date = cell(Some(columns.trigger_date)).unwrap_or_default();
    let rejected = |reason: &str| TargetLine {
        line: record.line,
        contact: id.clone().or(email.clone()).unwrap_or_default(),
        trigger_date: date.clone(),
        outcome: "rejected",
        reason: Some(reason.to_owned()),
    };
    if id.is_none() && email.is_none() {
        return Err(rejected("the line names no contact"));
    }
    let contact_id = id
        .as_ref()
        .map(|id| id.parse::<i64>().map_err(|_| rejected("the contact's id is not a whole number")))
        .transpose()?;
    let trigger_date = match Day::parse(&date) {
        Ok(day) if date.len() == 10 => day,
        Err(DateError::NotReal) => return Err(rejected("there is no such trigger date")),
        _ if date.is_empty() => return Err(rejected("the trigger date is missing")),
        _ => return Err(rejected("the trigger date is not written YYYY-MM-DD")),
    };
    Ok(Wanted { line: record.line, contact_id, email, trigger_date })
}
