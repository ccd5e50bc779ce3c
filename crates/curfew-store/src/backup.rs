//! Copies of a database that can be relied on, and going back to one.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, TransactionBehavior,
    backup::{Backup, StepResult},
};

use crate::{
    Access, BUSY_WAIT, Database, StoreError,
    database::{sqlite_path, wal_is_empty},
    schema::{Table, quote},
};

/// A copy that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Rows of `contacts`.
    pub contacts: u64,
    /// Rows of `email_schedules`.
    pub schedules: u64,
}

/// What [`restore`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The database as it is now.
    pub database: Copied,
    /// Where the replaced database is kept; `None` if there was none.
    pub kept_aside: Option<PathBuf>,
}

/// Tables whose rows are counted in the original and in the copy.
const COUNTED: [&str; 4] =
    ["contacts", "email_schedules", "schedule_history", "scheduler_checkpoints"];

/// Page cache in KiB while a copy is checked: with SQLite's own 2 MB most pages are read many times.
const CHECK_CACHE_KIB: i64 = 32 * 1024;

/// Between the name of the database and the time in the name of a backup.
const SEPARATOR: char = '-';
const TIME_FORMAT: &str = "%Y%m%dT%H%M%S%.3f";
const ENDING: &str = "Z.backup";
const UNFINISHED: &str = ".unfinished";

/// A copy that nobody finished by then belongs to a process that was killed.
const UNFINISHED_FOR: SignedDuration = SignedDuration::from_hours(24);

impl Database {
    /// Copies the database into a folder, which is made if it does not exist, under a name made of
    /// the database's name and the time: `agency.db-20261120T060000.000Z.backup`. Others may read
    /// and write meanwhile (outside of WAL mode, writers wait until the copy is read); the copy
    /// holds one state of the database.
    ///
    /// The copy bears this name only when it is complete, checked (`PRAGMA integrity_check`, and as
    /// many rows as the original) and on the disk.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is a backup of this millisecond, [`StoreError::Damaged`] or
    /// [`StoreError::BadCopy`] if the copy does not pass the checks, and what can go wrong in
    /// reading and writing.
    pub fn back_up(&self, folder: &Path, at: Timestamp) -> Result<Copied, StoreError> {
        fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
        let time = at.to_zoned(TimeZone::UTC).strftime(TIME_FORMAT).to_string();
        let path = folder.join(backup_name(self.path(), &time));
        if path.exists() {
            return Err(StoreError::Exists { path });
        }
        let unfinished = with_ending(&path, UNFINISHED);
        let copied = copy(self, &unfinished).and_then(|copied| {
            publish(&unfinished, &path)?;
            Ok(Copied { path: path.clone(), ..copied })
        });
        if copied.is_err() {
            remove_copy(&unfinished);
        }
        copied
    }

    /// Whether the database is sound as far as `PRAGMA quick_check` sees: at most `limit` problems,
    /// none if it is.
    pub fn quick_check(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        problems(self.connection(), &format!("PRAGMA quick_check({limit})"))
            .map_err(|error| self.fail("check the database", error))
    }
}

/// The backups of a database in a folder, oldest first, with the time that their names tell. Other
/// files are none of ours. A folder that does not exist holds none.
pub fn backups(database: &Path, folder: &Path) -> Result<Vec<(Timestamp, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    for (name, path) in files(folder)? {
        if let Some(at) = time_of(&name, database) {
            found.push((at, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Removes the backups of a database that are older than `days` days, but never the newest, and
/// returns them. No file is removed that does not bear the name of a backup of this database.
/// Unfinished copies of processes that were killed go too, after a day.
pub fn remove_old_backups(
    database: &Path,
    folder: &Path,
    days: u16,
    now: Timestamp,
) -> Result<Vec<PathBuf>, StoreError> {
    let mut old = backups(database, folder)?;
    old.pop();
    let kept_for = SignedDuration::from_hours(24 * i64::from(days));
    old.retain(|(at, _)| now.duration_since(*at) > kept_for);
    let mut removed = Vec::new();
    for (_, path) in old {
        fs::remove_file(&path).map_err(failed("remove the old backup", &path))?;
        // What readers of it have left.
        remove_copy(&path);
        removed.push(path);
    }
    for (name, path) in files(folder)? {
        let started = name.strip_suffix(UNFINISHED).and_then(|name| time_of(name, database));
        if started.is_some_and(|at| now.duration_since(at) > UNFINISHED_FOR) {
            remove_copy(&path);
        }
    }
    Ok(removed)
}

/// Puts a copy of a backup in the place of a database. The database that is replaced stays beside
/// it, as `agency.db.replaced-20261120T060000.000Z`. The backup stays as it is.
///
/// The caller holds the [`crate::RunLock`]. Killed at any moment, this leaves either the old or the
/// new database in place, complete; what a database that was damaged had in its log is in any
/// case beside it.
///
/// # Errors
/// Nothing is changed if the backup is missing, damaged, not a database or without `contacts`
/// ([`Database::open`], [`StoreError::Damaged`]), was written by a newer version
/// ([`StoreError::Newer`]), or if another program has the database open
/// ([`StoreError::Locked`]; a program that is idle is noticed only in WAL mode).
pub fn restore(database: &Path, backup: &Path, at: Timestamp) -> Result<Restored, StoreError> {
    restore_waiting(database, backup, at, BUSY_WAIT)
}

/// Like [`restore`] with another bound for the wait for other programs.
pub fn restore_waiting(
    database: &Path,
    backup: &Path,
    at: Timestamp,
    wait_max: Duration,
) -> Result<Restored, StoreError> {
    // Through a link, the file that it leads to is the one to be replaced.
    let database = &fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    if fs::canonicalize(backup).is_ok_and(|backup| backup == *database) {
        return Err(StoreError::SameFile { path: backup.to_owned() });
    }
    if database.is_dir() {
        return Err(StoreError::IsDirectory { path: database.clone() });
    }
    // Reading a database in WAL mode makes files beside it, which one who may only read leaves.
    let left_by_reading: Vec<PathBuf> = ["-wal", "-shm"]
        .map(|ending| with_ending(backup, ending))
        .into_iter()
        .filter(|path| !path.exists())
        .collect();
    let restored = restore_from(backup, database, at, wait_max);
    // Nobody else writes to it while its log is empty.
    if wal_is_empty(backup) {
        for path in left_by_reading {
            let _ = fs::remove_file(path);
        }
    }
    restored
}

fn restore_from(
    backup: &Path,
    database: &Path,
    at: Timestamp,
    wait_max: Duration,
) -> Result<Restored, StoreError> {
    let source = Database::open(backup, Access::ReadOnly)?;
    source.pending_migrations()?;
    let incoming = with_ending(database, ".restoring");
    remove_copy(&incoming);
    let replaced = copy(&source, &incoming).and_then(|copied| {
        let time = at.to_zoned(TimeZone::UTC).strftime(TIME_FORMAT);
        let aside = with_ending(database, &format!(".replaced-{time}Z"));
        let kept_aside = replace(database, &incoming, &aside, wait_max)?;
        Ok(Restored { database: Copied { path: database.to_owned(), ..copied }, kept_aside })
    });
    if replaced.is_err() {
        remove_copy(&incoming);
    }
    replaced
}

/// Copies one state of a database to a new file, checks the copy and closes it.
fn copy(source: &Database, target: &Path) -> Result<Copied, StoreError> {
    make_private(target).map_err(failed("make the file", target))?;
    let fail = |doing| move |error| StoreError::of(target, doing, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let expected = {
        let _snapshot =
            source.connection().is_autocommit().then(|| source.snapshot()).transpose()?;
        let expected =
            counts(source.connection()).map_err(|error| source.fail("count the rows", error))?;
        let mut connection =
            Connection::open_with_flags(sqlite_path(target), flags).map_err(fail("make a copy"))?;
        let backup =
            Backup::new(source.connection(), &mut connection).map_err(fail("make a copy"))?;
        // All in one step, from one state: in smaller ones each foreign change begins it anew.
        match backup.step(-1) {
            Ok(StepResult::Done) => {}
            Ok(_) => return Err(StoreError::Locked { path: source.path().to_owned() }),
            Err(error) => return Err(of_either(source.path(), target, error)),
        }
        expected
    };
    // What is checked is what is on the disk, not what is in memory.
    let connection =
        Connection::open_with_flags(sqlite_path(target), flags).map_err(fail("check a copy"))?;
    // Every entry of an index is looked up from its row, all over the index.
    connection.pragma_update(None, "cache_size", -CHECK_CACHE_KIB).map_err(fail("check a copy"))?;
    let found = problems(&connection, "PRAGMA integrity_check(1)").map_err(fail("check a copy"))?;
    if let Some(problem) = found.into_iter().next() {
        return Err(StoreError::Damaged { path: source.path().to_owned(), detail: problem });
    }
    let copied = counts(&connection).map_err(fail("check a copy"))?;
    if copied != expected {
        return Err(StoreError::BadCopy { path: source.path().to_owned() });
    }
    // The last one to close a database in WAL mode takes the log along.
    connection.close().map_err(|(_, error)| fail("close a copy")(error))?;
    if let Ok(original) = fs::metadata(source.path()) {
        fs::set_permissions(target, original.permissions())
            .map_err(failed("set the permissions of", target))?;
    }
    let bytes = fs::metadata(target).map_err(failed("look at", target))?.len();
    let [contacts, schedules, ..] = copied.map(|count| count.unwrap_or(0).cast_unsigned());
    Ok(Copied { path: target.to_owned(), bytes, contacts, schedules })
}

/// Which of the two files an error of copying is about: the target's are of space and of writing.
fn of_either(source: &Path, target: &Path, error: rusqlite::Error) -> StoreError {
    let path = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => target,
        _ => source,
    };
    StoreError::of(path, "copy the database", error)
}

/// Keeps the database aside and puts `incoming` in its place.
fn replace(
    database: &Path,
    incoming: &Path,
    aside: &Path,
    wait_max: Duration,
) -> Result<Option<PathBuf>, StoreError> {
    if aside.exists() {
        return Err(StoreError::Exists { path: aside.to_owned() });
    }
    let exists = database.exists();
    // SQLite deletes the log of a file that it takes for an empty database.
    let mut logs = Vec::new();
    for ending in ["-wal", "-journal"] {
        let log = with_ending(database, ending);
        if log.exists() {
            keep(&log, &with_ending(aside, ending))?;
            logs.push(with_ending(aside, ending));
        }
    }
    let forget_logs = || logs.iter().for_each(|log| drop(fs::remove_file(log)));
    // Held until the new database is in place, so that nobody writes to the old one meanwhile.
    let mut connection =
        if exists { seize(database, wait_max).inspect_err(|_| forget_logs())? } else { None };
    let mut held = None;
    if let Some(connection) = &mut connection {
        // Everything is in the one file now.
        forget_logs();
        let hold = connection.transaction_with_behavior(TransactionBehavior::Exclusive);
        held = Some(hold.map_err(|error| StoreError::of(database, "hold the database", error))?);
    }
    if exists {
        keep(database, aside)?;
    }
    // A log that is still there belongs to a database that is damaged or gone: SQLite would apply
    // it to the new one.
    for ending in ["-wal", "-shm", "-journal"] {
        match fs::remove_file(with_ending(database, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove the log of", database)(error));
            }
            _ => {}
        }
    }
    publish(incoming, database)?;
    drop(held);
    Ok(exists.then(|| aside.to_owned()))
}

/// Brings everything of a database into its one file, which takes that nobody else has it open.
/// `None` if it is too damaged for that.
fn seize(database: &Path, wait_max: Duration) -> Result<Option<Connection>, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(sqlite_path(database), flags)?;
        connection.busy_timeout(wait_max)?;
        connection.query_row("SELECT count(*) FROM main.sqlite_schema", [], |_| Ok(()))?;
        connection.query_row("PRAGMA journal_mode = delete", [], |_| Ok(()))?;
        Ok(connection)
    };
    match open().map_err(|error| StoreError::of(database, "hold the database", error)) {
        Ok(connection) => Ok(Some(connection)),
        Err(StoreError::NotADatabase { .. } | StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives a file a second name, so that it is there under the first until another takes its place.
fn keep(file: &Path, second: &Path) -> Result<(), StoreError> {
    // Some file systems know only one name for a file.
    fs::hard_link(file, second)
        .or_else(|_| fs::copy(file, second).map(|_| ()))
        .map_err(failed("keep the replaced database as", second))
}

/// Brings a finished file to the disk and gives it its name, in the place of what has it now.
fn publish(finished: &Path, name: &Path) -> Result<(), StoreError> {
    let sync = || fs::OpenOptions::new().read(true).open(finished)?.sync_all();
    sync().map_err(failed("bring to the disk", finished))?;
    fs::rename(finished, name).map_err(failed("give its name to", name))?;
    if cfg!(unix) {
        let folder = match name.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("bring to the disk", folder))?;
    }
    Ok(())
}

/// Makes a new file that only its owner may read: it will hold people's addresses.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

/// Removes a copy that is not needed any more. What cannot be removed does no harm.
fn remove_copy(path: &Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(with_ending(path, ending));
    }
}

fn problems(db: &Connection, check: &str) -> rusqlite::Result<Vec<String>> {
    let lines = || {
        let mut statement = db.prepare(check)?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        lines.collect::<rusqlite::Result<Vec<_>>>()
    };
    match lines() {
        Ok(lines) if lines == ["ok"] => Ok(Vec::new()),
        // Some damage ends the check itself.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            Ok(vec![error.to_string()])
        }
        lines => lines,
    }
}

/// How many rows each of [`COUNTED`] has; `None` where there is no such table.
fn counts(db: &Connection) -> rusqlite::Result<[Option<i64>; COUNTED.len()]> {
    let mut counts = [None; COUNTED.len()];
    for (count, name) in counts.iter_mut().zip(COUNTED) {
        if let Some(table) = Table::read(db, name)? {
            let sql = format!("SELECT count(*) FROM main.{}", quote(&table.name));
            *count = Some(db.query_row(&sql, [], |row| row.get(0))?);
        }
    }
    Ok(counts)
}

fn failed<'p>(doing: &'static str, path: &'p Path) -> impl Fn(io::Error) -> StoreError + use<'p> {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull => StoreError::DiskFull { path: path.to_owned() },
        _ => StoreError::File { path: path.to_owned(), doing, source },
    }
}

/// The path with something added to its last name.
pub fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn backup_name(database: &Path, time: &str) -> OsString {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(format!("{SEPARATOR}{time}{ENDING}"));
    name
}

/// The time in the name of a backup of this database; `None` for every other name.
fn time_of(name: &str, database: &Path) -> Option<Timestamp> {
    let time = name
        .strip_prefix(database.file_name()?.to_str()?)?
        .strip_prefix(SEPARATOR)?
        .strip_suffix(ENDING)?;
    let at = DateTime::strptime("%Y%m%dT%H%M%S%.f", time).ok()?;
    let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp();
    // Only the one way in which it is written counts.
    let written = at.to_zoned(TimeZone::UTC).strftime(TIME_FORMAT).to_string();
    (written == time).then_some(at)
}

/// Names and paths of the files in a folder; names that are not text are none of ours.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("read the folder", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("read the folder", folder))?;
        let is_file = entry.file_type().is_ok_and(|sort| sort.is_file());
        if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}
