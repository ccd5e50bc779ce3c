//! A server and some working files that sync with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use libsql_link::blocking::Link;
use libsql_link::{Location, Options, RemoteUrl};
use rusqlite::Connection;
use testkit::sqld::Sqld;
use turso_sync::{
    Existing, InitReport, PullOptions, PullReport, PushOptions, PushReport, Remote, Unwatched,
};

/// A folder with working files.
pub(crate) struct Desk {
    pub(crate) sqld: Sqld,
    pub(crate) folder: tempfile::TempDir,
}

/// Short deadlines: a test that waits for one is a slow test.
pub(crate) fn options() -> Options {
    Options::new().call_timeout(Duration::from_secs(30)).connect_timeout(Duration::from_secs(30))
}

pub(crate) fn remote(url: &str) -> Remote {
    Remote { url: Some(address(url)), options: options() }
}

pub(crate) fn address(url: &str) -> RemoteUrl {
    match Location::parse(url).unwrap().0 {
        Location::Remote(url) => url,
        other => panic!("{other} is no server"),
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        // SQLite is used from here on.
        libsql_link::initialize().unwrap();
        Self { sqld: Sqld::start(), folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn link(&self) -> Link {
        Link::open(&Location::Remote(address(&self.sqld.url())), options()).unwrap()
    }

    /// Runs SQL on the server, one statement a line.
    pub(crate) fn serve(&self, sql: &str) {
        let link = self.link();
        for line in sql.lines().map(str::trim).filter(|line| !line.is_empty()) {
            link.execute(line, &[]).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    /// A file with what `sql` makes.
    pub(crate) fn file(&self, name: &str, sql: &str) -> PathBuf {
        let path = self.path(name);
        change(&path, sql);
        path
    }

    /// A working file initialized from the server.
    pub(crate) fn synced(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        self.init(&path).unwrap();
        path
    }

    pub(crate) fn init(&self, file: &Path) -> turso_sync::Result<InitReport> {
        turso_sync::init(file, &remote(&self.sqld.url()), Existing::default(), &Unwatched)
    }

    pub(crate) fn push(&self, file: &Path) -> turso_sync::Result<PushReport> {
        push_to(file, &remote(&self.sqld.url()))
    }

    pub(crate) fn pull(&self, file: &Path) -> turso_sync::Result<PullReport> {
        turso_sync::pull(file, &remote(&self.sqld.url()), &PullOptions::default(), &Unwatched)
    }

    /// What the server has is what `file` has, by type and bit.
    #[track_caller]
    pub(crate) fn assert_server_is(&self, file: &Path) {
        let fresh = self.path("fresh.db");
        self.init(&fresh).unwrap();
        assert_same(&fresh, file);
        std::fs::remove_file(&fresh).unwrap();
        std::fs::remove_dir_all(self.path("fresh.db.sync")).unwrap();
    }
}

pub(crate) fn push_to(file: &Path, remote: &Remote) -> turso_sync::Result<PushReport> {
    turso_sync::push(file, remote, &PushOptions::default(), &Unwatched)
}

/// Runs SQL on a file.
pub(crate) fn change(file: &Path, sql: &str) {
    let conn = Connection::open(file).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    conn.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[track_caller]
pub(crate) fn assert_same(a: &Path, b: &Path) {
    let diff = libsql_diff::diff(a, b).unwrap();
    assert!(diff.is_empty(), "{:#?}", diff.operations().collect::<Vec<_>>());
}

/// The only value of a query on a file.
pub(crate) fn value<T: rusqlite::types::FromSql>(file: &Path, sql: &str) -> T {
    Connection::open(file).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}
