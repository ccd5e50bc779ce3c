//! The sample organization of `curfew demo`: some hundred made-up contacts in all states.
//!
//! It is the same on every machine; only what hangs on the day (ages, the messages of the last
//! year) follows the day for which it is made. It has one of every thing that can be wrong: in the
//! file, where the import finds it, and in the database, as other programs leave it.

pub(crate) mod history;
pub(crate) mod people;
pub(crate) mod places;
pub(crate) mod random;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use curfew_engine::{Day, State, Today, rule};
use curfew_store::contacts::{ContactsError, OrganizationWriter, Parts};

use self::{
    history::{History, Written},
    people::{Dirt, People, Person},
    places::PLACES,
    random::Part,
};
use crate::import::{ImportError, ImportReport, ImportRequest, import};

/// Name of the file of contacts in a sample folder.
pub const CONTACTS_FILE: &str = "contacts.csv";
/// Name of the database in a sample folder.
pub const DATABASE_FILE: &str = "curfew.db";

const SEED: u64 = 65;
/// Contacts in each state and territory, and how many more where a rule is in force.
const PER_PLACE: usize = 5;
const MORE_WITH_RULES: usize = 8;
/// Contacts that something is wrong with in the database have ids from here on.
const FIRST_DIRTY_ID: i64 = 9001;

/// The contact of the file whose states differ.
const EXPLAINED_ID: i64 = 8012;

/// What was made of a folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// The file of contacts.
    pub contacts: PathBuf,
    /// The database.
    pub database: PathBuf,
    /// What the import said of the file.
    pub import: ImportReport,
    /// Contacts in the database that cannot be imported: other programs left them there.
    pub dirty: u64,
    /// Messages of the last year in the database.
    pub sent: u64,
    /// The id of a contact whose plan has much to explain: the ZIP code is in California, the stored
    /// state is Nevada, and the rules of both apply.
    pub explained: i64,
}

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file of this name is there already.
    #[error("{} exists already; name an empty or a new folder", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The contacts cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The database cannot be written.
    #[error(transparent)]
    Database(#[from] ContactsError),
}

/// Makes a folder with a file of contacts and a database: the file imported, the messages of a
/// sender that was in use before, and some contacts that other programs left in disorder.
///
/// # Errors
/// If one of the files exists or cannot be written.
pub fn write_folder(folder: &Path, today: Today) -> Result<Sample, SampleError> {
    fs::create_dir_all(folder)
        .map_err(|source| SampleError::Write { path: folder.to_owned(), source })?;
    let contacts = folder.join(CONTACTS_FILE);
    let database = folder.join(DATABASE_FILE);
    if database.exists() {
        return Err(SampleError::Exists { path: database });
    }
    write_csv(&contacts, today)?;
    let import = import(&ImportRequest::new(&database, &contacts, today))?;
    let mut writer = OrganizationWriter::open(&database, PARTS)?;
    let organization = Organization::new(today);
    let dirty = organization.write_dirty(&mut writer)?;
    let sent = organization.write_history(&mut writer)?;
    writer.finish()?;
    Ok(Sample { contacts, database, import, dirty, sent, explained: EXPLAINED_ID })
}

/// Makes a database with the contacts and the messages of a folder's, without an import.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn write_database(path: &Path, today: Today) -> Result<(), SampleError> {
    let mut writer = OrganizationWriter::create(path, PARTS)?;
    let organization = Organization::new(today);
    for person in &organization.persons {
        organization.people.with_row(person, None, |row| writer.contact(row))?;
    }
    organization.write_dirty(&mut writer)?;
    organization.write_history(&mut writer)?;
    writer.finish()?;
    Ok(())
}

/// Makes the file of contacts. It is as ugly as such files are.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn write_csv(path: &Path, today: Today) -> Result<(), SampleError> {
    let write_error = |source| SampleError::Write { path: path.to_owned(), source };
    let file = File::create_new(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => SampleError::Exists { path: path.to_owned() },
        _ => write_error(source),
    })?;
    let mut out = BufWriter::new(file);
    Organization::new(today).write_lines(&mut out).and_then(|()| out.flush()).map_err(write_error)
}

const PARTS: Parts = Parts { campaigns: false, history: true, behaviour: true };

struct Organization {
    people: People,
    persons: Vec<Person>,
    today: Today,
}

impl Organization {
    fn new(today: Today) -> Self {
        let people = People::new(SEED, today);
        let rules = rule::default_table();
        let mut persons = Vec::new();
        for (code, ..) in PLACES {
            let state = State::from_code(code).expect("the table's codes exist");
            let more = if rules.of(state).is_empty() { 0 } else { MORE_WITH_RULES };
            for _ in 0..PER_PLACE + more {
                let id = i64::try_from(persons.len()).expect("some hundred") + 1;
                persons.push(people.person(id, Some(state)).0);
            }
        }
        Self { people, persons, today }
    }

    fn write_lines(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(
            b"Contact ID,First Name,Last Name,E-Mail,ZIP,State,Date of Birth,\
              Policy Effective Date,Phone,Carrier,Plan,Status,Agent's Notes\r\n",
        )?;
        for person in &self.persons {
            let line = self.people.with_row(person, None, |row| {
                let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
                // Spreadsheets drop leading zeros, and write dates as their country does.
                let zip = match person.id % 3 {
                    0 => person.zip.to_string(),
                    _ => text(row.zip_code.text()),
                };
                let effective = match (person.effective, person.id % 4) {
                    (Some(day), 0) => us_date(day),
                    _ => text(row.effective_date.text()),
                };
                // Some files know no states.
                let state = if person.id % 5 == 0 { String::new() } else { text(row.state) };
                [
                    row.id.to_string(),
                    row.first_name.to_owned(),
                    row.last_name.to_owned(),
                    text(row.email.text()),
                    zip,
                    state,
                    text(row.birth_date.text()),
                    effective,
                    text(row.phone_number),
                    text(row.current_carrier),
                    text(row.plan_type),
                    row.status.to_owned(),
                    if person.id % 7 == 0 {
                        "\"called, will think\"".into()
                    } else {
                        String::new()
                    },
                ]
                .join(",")
            });
            write!(out, "{line}\r\n")?;
        }
        let future = self.today.day + 200;
        let first = &self.persons[0];
        for line in [
            // What is wrong with each is said by the import.
            "8001,Edna,Frost,edna.frost.example.com,60601,IL,1950-03-04,2016-01-01,,,,active,",
            "8002,Floyd,Hale,,60601,IL,1951-05-06,2017-01-01,,,,active,",
            "8003,Hazel,Marsh,hazel.marsh.8003@example.com,,OH,1949-07-08,2015-02-01,,,,active,",
            "8004,Irma,Nolan,irma.nolan.8004@example.com,00000,,1948-09-10,2014-01-01,,,,active,",
            "8005,Lloyd,Pike,lloyd.pike.8005@example.com,4O351,KY,1947-11-12,2013-01-01,,,,active,",
            "8006,Mabel,Reed,mabel.reed.8006@example.com,97201,OR,1951-02-30,2017-06-01,,,,active,",
            "8007,Oscar,Shaw,oscar.shaw.8007@example.com,63101,MO,3/14/52,2018-01-01,,,,active,",
            "8008,Pearl,Vance,pearl.vance.8008@example.com,89101,NV,May 1950,2016-05-01,,,,active,",
            "8009,Ralph,York,ralph.york.8009@example.com,83702,ID,1950-06-01",
            "8010,\"Rosa,Silva,rosa.silva.8010@example.com,21201,MD,1950-06-01,2016-01-01,,,,active,",
            "eight,Ruth,Ames,ruth.ames@example.com,23219,VA,1950-06-01,2016-01-01,,,,active,",
        ] {
            write!(out, "{line}\r\n")?;
        }
        write!(
            out,
            // Taken, each with a note: a birth date that cannot be, a state that is not the ZIP
            // code's, a second line for a contact; and not taken: an address that is another's.
            "8011,Stella,Bell,stella.bell.8011@example.com,94103,CA,{future},2016-01-01,,,,active,\r\n\
             8012,Vernon,Cole,vernon.cole.8012@example.com,94103,NV,1951-04-05,2016-05-01,,,,active,\r\n\
             {},,,,,,,,907-555-0123,,,,new number\r\n\
             8014,,,{},60601,,,,,,,,whose address is it?\r\n",
            first.id, first.email
        )?;
        // A line in Latin-1, as older programs write it.
        out.write_all(b"8013,Jos\xE9,Ramos,jose.ramos.8013@example.com,87101,NM,1950-06-01,")?;
        out.write_all(b"2016-01-01,,,,active,\r\n")
    }

    /// Contacts as no import would take them, one of every kind.
    fn write_dirty(&self, writer: &mut OrganizationWriter) -> Result<u64, ContactsError> {
        let mut count = 0;
        for (dirt, id) in Dirt::ALL.into_iter().zip(FIRST_DIRTY_ID..) {
            let mut person = self.people.person(id, None).0;
            person.is_active = true;
            self.people.with_row(&person, Some(dirt), |row| writer.contact(row))?;
            count += 1;
        }
        Ok(count)
    }

    /// What was sent to every second contact, so that both sorts can be looked at.
    fn write_history(&self, writer: &mut OrganizationWriter) -> Result<u64, ContactsError> {
        let rules = rule::default_table();
        let history = History { rules: &rules, today: self.today, behaviour: true };
        let mut written = Written::default();
        for person in self.persons.iter().filter(|person| person.is_active && person.id % 2 == 0) {
            let mut random = self.people.random(Part::Sample, person.id);
            history.write(person, &mut random, writer, &mut written)?;
        }
        Ok(written.sent)
    }
}

fn us_date(day: Day) -> String {
    let date = day.to_date();
    format!("{}/{}/{}", date.month(), date.day(), date.year())
}
