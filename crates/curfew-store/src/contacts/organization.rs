//! Made-up organizations: databases as they come from a sender that was in use before Curfew.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use curfew_engine::Day;
use fs4::{FileExt, TryLockError};
use rusqlite::{
    Connection, OpenFlags, Params,
    types::{ToSql, ToSqlOutput, ValueRef},
};

use super::{ContactsError, Doing, table};
use crate::database::sqlite_path;

/// What a made-up organization has besides contacts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Campaign types, instances and targets.
    pub campaigns: bool,
    /// Sent messages.
    pub history: bool,
    /// Clicks and answers.
    pub behaviour: bool,
}

/// A value of a contact's column: what belongs there, or what only another program leaves there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cell<'a> {
    /// No value.
    #[default]
    Null,
    /// A text.
    Text(&'a str),
    /// A text in bytes that need not be UTF-8.
    RawText(&'a [u8]),
    /// A blob.
    Blob(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// The text, if it is one.
    pub const fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::RawText(_) | Self::Blob(_) => None,
        }
    }
}

impl<'a> From<Option<&'a str>> for Cell<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::RawText(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A row of `contacts`, valid or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the columns")]
pub struct ContactRow<'a> {
    pub id: i64,
    pub first_name: &'a str,
    pub last_name: &'a str,
    pub email: Cell<'a>,
    pub zip_code: Cell<'a>,
    pub state: Option<&'a str>,
    pub birth_date: Cell<'a>,
    pub effective_date: Cell<'a>,
    pub phone_number: Option<&'a str>,
    pub current_carrier: Option<&'a str>,
    pub plan_type: Option<&'a str>,
    pub status: &'a str,
}

/// A message of the sender's: a committed row of `email_schedules`.
#[derive(Clone, Copy, Debug)]
pub struct SentRow<'a> {
    /// The contact.
    pub contact_id: i64,
    /// `email_type`.
    pub kind: &'a str,
    /// The day it went out.
    pub date: Day,
    /// Its time of day, `HH:MM:SS`.
    pub time: &'a str,
    /// `sent`, `delivered`, `bounced` or `failed`.
    pub status: &'a str,
    /// `priority`.
    pub priority: i64,
    /// `email_template`.
    pub email_template: &'a str,
    /// `sms_template`.
    pub sms_template: Option<&'a str>,
    /// `scheduler_run_id`.
    pub run_id: &'a str,
    /// The event it was for.
    pub event: Day,
    /// Days from the ideal date to `date`.
    pub shift_days: i32,
}

/// A row of `campaign_types`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, clippy::struct_excessive_bools, reason = "they are the columns")]
pub struct CampaignTypeRow<'a> {
    pub name: &'a str,
    pub respect_exclusion_windows: bool,
    pub enable_followups: bool,
    pub days_before_event: i32,
    pub target_all_contacts: bool,
    pub priority: i64,
    pub active: bool,
}

/// A row of `campaign_instances`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are the columns")]
pub struct CampaignRow<'a> {
    pub id: i64,
    pub campaign_type: &'a str,
    pub instance_name: &'a str,
    pub email_template: &'a str,
    pub sms_template: &'a str,
    pub active_start_date: Day,
    pub active_end_date: Day,
}

/// A row of `contact_campaigns`, pending.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are the columns")]
pub struct TargetRow {
    pub contact_id: i64,
    pub campaign_instance_id: i64,
    pub trigger_date: Day,
}

/// A row of `tracking_clicks`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are the columns")]
pub struct ClickRow<'a> {
    pub contact_id: i64,
    pub clicked_at: &'a str,
}

/// A row of `contact_events`: the health questions were answered.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are the columns")]
pub struct AnswerRow<'a> {
    pub contact_id: i64,
    pub created_at: &'a str,
    pub has_medical_conditions: bool,
    pub main_questions_yes_count: u8,
}

const CREATE_HISTORY: &str = "CREATE TABLE IF NOT EXISTS email_schedules (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  contact_id INTEGER NOT NULL,
  email_type TEXT NOT NULL,
  scheduled_send_date TEXT NOT NULL,
  scheduled_send_time TEXT NOT NULL DEFAULT '08:30:00',
  status TEXT NOT NULL DEFAULT 'pre-scheduled',
  skip_reason TEXT,
  priority INTEGER,
  campaign_instance_id INTEGER,
  email_template TEXT,
  sms_template TEXT,
  scheduler_run_id TEXT,
  event_year INTEGER,
  event_month INTEGER,
  event_day INTEGER,
  initial_schedule_id INTEGER,
  shift_days INTEGER,
  metadata TEXT,
  created_at TEXT,
  updated_at TEXT,
  actual_send_datetime TEXT
)";

const CREATE_CAMPAIGNS: &str = "CREATE TABLE IF NOT EXISTS campaign_types (
  name TEXT PRIMARY KEY,
  respect_exclusion_windows INTEGER NOT NULL DEFAULT 1,
  enable_followups INTEGER NOT NULL DEFAULT 1,
  days_before_event INTEGER NOT NULL DEFAULT 0,
  target_all_contacts INTEGER NOT NULL DEFAULT 0,
  priority INTEGER NOT NULL DEFAULT 10,
  active INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS campaign_instances (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  campaign_type TEXT NOT NULL,
  instance_name TEXT NOT NULL,
  email_template TEXT,
  sms_template TEXT,
  active_start_date TEXT,
  active_end_date TEXT,
  metadata TEXT
);
CREATE TABLE IF NOT EXISTS contact_campaigns (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  contact_id INTEGER NOT NULL,
  campaign_instance_id INTEGER NOT NULL,
  trigger_date TEXT,
  status TEXT NOT NULL DEFAULT 'pending',
  metadata TEXT
)";

const CREATE_BEHAVIOUR: &str = "CREATE TABLE IF NOT EXISTS tracking_clicks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  contact_id INTEGER NOT NULL,
  clicked_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS contact_events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  contact_id INTEGER NOT NULL,
  event_type TEXT NOT NULL,
  metadata TEXT,
  created_at TEXT NOT NULL
)";

/// Writes a made-up organization in one transaction; without [`OrganizationWriter::finish`]
/// nothing is left of it.
///
/// The same rows in the same order give a new file with the same bytes. It is called
/// `<path>.partial` until it is complete; what is left of one after a crash is overwritten by the
/// next attempt.
#[derive(Debug)]
pub struct OrganizationWriter {
    /// `None` only while it is being closed.
    connection: Option<Connection>,
    path: PathBuf,
    /// Where a new file is written, until it is complete.
    partial: Option<Partial>,
}

/// A file that is not complete yet, and the lock on it: two programs that make the same file must
/// not write into one another's.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    file: fs::File,
}

impl Partial {
    /// Takes the name for what will be `path`, an empty file.
    fn begin(path: &Path) -> Result<Self, ContactsError> {
        let mut name = path.to_owned().into_os_string();
        name.push(".partial");
        let partial = PathBuf::from(name);
        let fail = |source| ContactsError::Io { path: partial.clone(), source };
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&partial)
            .map_err(|source| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                ContactsError::NoFolder { folder: folder.to_owned() }
            }
            _ => ContactsError::CannotOpen { path: partial.clone(), reason: source.to_string() },
        })?;
        match FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ContactsError::Busy { path: partial });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        // Whoever had the lock before may have completed the file: then it has its name now.
        if path.exists() {
            return Err(ContactsError::Exists { path: path.to_owned() });
        }
        file.set_len(0).map_err(fail)?;
        Ok(Self { path: partial, file })
    }

    /// Gives the complete file its name, unless another one has taken that meanwhile.
    fn complete(&self, path: &Path) -> Result<(), ContactsError> {
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => ContactsError::Exists { path: path.to_owned() },
            _ => ContactsError::Io { path: path.to_owned(), source },
        };
        self.file.sync_all().map_err(fail)?;
        match fs::hard_link(&self.path, path) {
            Ok(()) => remove(&self.path).map_err(fail),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(fail(error)),
            // A file system without hard links.
            Err(_) if path.exists() => Err(ContactsError::Exists { path: path.to_owned() }),
            Err(_) => fs::rename(&self.path, path).map_err(fail),
        }
    }
}

impl OrganizationWriter {
    /// Begins a new file at `path`, which must not exist. It appears there when it is complete.
    ///
    /// # Errors
    /// If the file exists or cannot be made.
    pub fn create(path: impl Into<PathBuf>, parts: Parts) -> Result<Self, ContactsError> {
        let path = path.into();
        if path.exists() {
            return Err(ContactsError::Exists { path });
        }
        let partial = Partial::begin(&path)?;
        let connection = open(&partial.path, OpenFlags::SQLITE_OPEN_CREATE)?;
        let this = Self { connection: Some(connection), path, partial: Some(partial) };
        // Nobody sees the file before it is complete, so it needs no journal. Pages of 4 KB are
        // the only ones that can be synced with a libSQL server.
        this.batch(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
             PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -65536; BEGIN",
        )?;
        this.batch(table::CREATE)?;
        this.make(parts)?;
        Ok(this)
    }

    /// Adds to an existing database; tables that are missing are made.
    ///
    /// # Errors
    /// If there is no such database, or another program is writing to it.
    pub fn open(path: impl Into<PathBuf>, parts: Parts) -> Result<Self, ContactsError> {
        let path = path.into();
        let connection = open(&path, OpenFlags::empty())?;
        let this = Self { connection: Some(connection), path, partial: None };
        this.batch("BEGIN IMMEDIATE")?;
        this.make(parts)?;
        Ok(this)
    }

    fn make(&self, parts: Parts) -> Result<(), ContactsError> {
        for (wanted, sql) in [
            (parts.campaigns, CREATE_CAMPAIGNS),
            (parts.history, CREATE_HISTORY),
            (parts.behaviour, CREATE_BEHAVIOUR),
        ] {
            if wanted {
                self.batch(sql)?;
            }
        }
        Ok(())
    }

    /// Adds a contact.
    pub fn contact(&mut self, row: &ContactRow<'_>) -> Result<(), ContactsError> {
        self.insert(
            "INSERT INTO contacts (id, first_name, last_name, email, zip_code, state, birth_date, \
             effective_date, phone_number, current_carrier, plan_type, status) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            (
                row.id,
                row.first_name,
                row.last_name,
                row.email,
                row.zip_code,
                row.state,
                row.birth_date,
                row.effective_date,
                row.phone_number,
                row.current_carrier,
                row.plan_type,
                row.status,
            ),
        )
    }

    /// Adds a message that was sent.
    pub fn sent(&mut self, row: &SentRow<'_>) -> Result<(), ContactsError> {
        let date = row.date.to_string();
        let sent_at = format!("{date} {}", row.time);
        let event = row.event.to_date();
        self.insert(
            "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, \
             scheduled_send_time, status, priority, email_template, sms_template, \
             scheduler_run_id, event_year, event_month, event_day, shift_days, created_at, \
             updated_at, actual_send_datetime) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15)",
            rusqlite::params![
                row.contact_id,
                row.kind,
                date,
                row.time,
                row.status,
                row.priority,
                row.email_template,
                row.sms_template,
                row.run_id,
                event.year(),
                event.month(),
                event.day(),
                row.shift_days,
                sent_at,
                // What was never sent has no time of sending.
                (row.status != "failed").then_some(&sent_at),
            ],
        )
    }

    /// Adds a campaign type.
    pub fn campaign_type(&mut self, row: &CampaignTypeRow<'_>) -> Result<(), ContactsError> {
        self.insert(
            "INSERT INTO campaign_types (name, respect_exclusion_windows, enable_followups, \
             days_before_event, target_all_contacts, priority, active) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                row.name,
                row.respect_exclusion_windows,
                row.enable_followups,
                row.days_before_event,
                row.target_all_contacts,
                row.priority,
                row.active,
            ),
        )
    }

    /// Adds a campaign instance.
    pub fn campaign(&mut self, row: &CampaignRow<'_>) -> Result<(), ContactsError> {
        self.insert(
            "INSERT INTO campaign_instances (id, campaign_type, instance_name, email_template, \
             sms_template, active_start_date, active_end_date) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                row.id,
                row.campaign_type,
                row.instance_name,
                row.email_template,
                row.sms_template,
                row.active_start_date.to_string(),
                row.active_end_date.to_string(),
            ),
        )
    }

    /// Adds a target of a campaign instance.
    pub fn target(&mut self, row: &TargetRow) -> Result<(), ContactsError> {
        self.insert(
            "INSERT INTO contact_campaigns (contact_id, campaign_instance_id, trigger_date, \
             status) VALUES (?1, ?2, ?3, 'pending')",
            (row.contact_id, row.campaign_instance_id, row.trigger_date.to_string()),
        )
    }

    /// Adds a click.
    pub fn click(&mut self, row: &ClickRow<'_>) -> Result<(), ContactsError> {
        self.insert(
            "INSERT INTO tracking_clicks (contact_id, clicked_at) VALUES (?1, ?2)",
            (row.contact_id, row.clicked_at),
        )
    }

    /// Adds answers to the health questions.
    pub fn answer(&mut self, row: &AnswerRow<'_>) -> Result<(), ContactsError> {
        let metadata = format!(
            "{{\"has_medical_conditions\":{},\"main_questions_yes_count\":{}}}",
            row.has_medical_conditions, row.main_questions_yes_count
        );
        self.insert(
            "INSERT INTO contact_events (contact_id, event_type, metadata, created_at) \
             VALUES (?1, 'eligibility_answered', ?2, ?3)",
            (row.contact_id, metadata, row.created_at),
        )
    }

    /// Commits; a new file is put in its place.
    pub fn finish(mut self) -> Result<(), ContactsError> {
        self.batch("COMMIT")?;
        let Some(connection) = self.connection.take() else { return Ok(()) };
        connection
            .close()
            .map_err(|(_, source)| ContactsError::of(&self.path, "closing the database", source))?;
        match &self.partial {
            Some(partial) => partial.complete(&self.path),
            None => Ok(()),
        }
    }

    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("closed only by finish, which consumes the writer")
    }

    fn insert(&self, sql: &str, parameters: impl Params) -> Result<(), ContactsError> {
        self.connection()
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(parameters))
            .map(|_| ())
            .doing("writing a made-up organization", &self.path)
    }

    fn batch(&self, sql: &str) -> Result<(), ContactsError> {
        self.connection().execute_batch(sql).doing("writing a made-up organization", &self.path)
    }
}

impl Drop for OrganizationWriter {
    fn drop(&mut self) {
        // An open transaction ends with the connection; a file without a journal is only remains.
        drop(self.connection.take());
        if let Some(partial) = &self.partial {
            // Nobody is left to tell, and the next attempt overwrites it. A complete file has
            // another name by now.
            let _ = remove(&partial.path);
        }
    }
}

fn open(path: &Path, more: OpenFlags) -> Result<Connection, ContactsError> {
    let doing = "opening the database";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(sqlite_path(path), flags).doing(doing, path)?;
    connection.busy_timeout(Duration::from_secs(10)).doing(doing, path)?;
    Ok(connection)
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
