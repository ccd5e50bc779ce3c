//! A folder to work in, and the command run there.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rusqlite::Connection;
use tempfile::TempDir;

/// A folder in which the command runs, without any variable of its surroundings.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn copy(&self, from: &str, to: &str) {
        std::fs::copy(self.path(from), self.path(to)).unwrap();
    }

    /// Runs SQL on a database of the folder, which is made if it is not there.
    pub(crate) fn sql(&self, name: &str, sql: &str) -> Connection {
        let conn = Connection::open(self.path(name)).unwrap();
        conn.execute_batch(sql).unwrap();
        conn
    }

    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turso-sync"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("TURSO_DATABASE_URL")
            .env_remove("TURSO_AUTH_TOKEN")
            .stdin(Stdio::null());
        for proxy in ["https_proxy", "http_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(proxy).env_remove(proxy.to_uppercase());
        }
        command
    }

    /// Runs the command, checks the exit code, and returns stdout and stderr.
    #[track_caller]
    pub(crate) fn ends_with(&self, code: i32, arguments: &[&str]) -> (String, String) {
        said(code, &self.command(arguments).output().unwrap())
    }

    /// Runs the command with this text on stdin, checks the exit code, and returns stdout and
    /// stderr.
    #[track_caller]
    pub(crate) fn piped(&self, code: i32, input: &[u8], arguments: &[&str]) -> (String, String) {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        said(code, &child.wait_with_output().unwrap())
    }

    /// Runs the command, which must end with 0, and returns stdout.
    #[track_caller]
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        self.ends_with(0, arguments).0
    }

    /// Runs the command, checks the exit code, and returns stdout; the folder must stay as it is.
    #[track_caller]
    pub(crate) fn leaves_alone(&self, code: i32, arguments: &[&str]) -> String {
        let before = contents(self.folder.path());
        let (stdout, _) = self.ends_with(code, arguments);
        assert!(contents(self.folder.path()) == before, "something was written");
        stdout
    }

    /// The command must end with this code, say this on stderr, nothing on stdout, and leave the
    /// folder as it is.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, arguments: &[&str], expected: &str) {
        let before = contents(self.folder.path());
        let (stdout, stderr) = self.ends_with(code, arguments);
        assert!(stderr.contains(expected), "{expected:?} is not in: {stderr}");
        assert_eq!(stdout, "");
        assert!(contents(self.folder.path()) == before, "something was written");
        // Where a token is given, it is shown nowhere; that it is in no file follows from above.
        let token = arguments.iter().position(|argument| *argument == "--token");
        if let Some(token) = token.and_then(|at| arguments.get(at + 1)) {
            assert!(!stderr.contains(token), "the token is in: {stderr}");
        }
    }

    /// No file of the folder may hold this.
    #[track_caller]
    pub(crate) fn holds_nowhere(&self, secret: &str) {
        for (path, content) in contents(self.folder.path()) {
            let found = content.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "the secret is in {}", path.display());
        }
    }

    /// Whether two databases hold the same, by the command itself.
    #[track_caller]
    pub(crate) fn are_equal(&self, a: &str, b: &str) {
        assert_eq!(self.succeeds(&["diff", a, b]), "No differences.\n");
    }
}

#[track_caller]
fn said(code: i32, output: &Output) -> (String, String) {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
    (stdout, stderr)
}

/// Names and bytes of all files in a folder and below, SQLite's own and locks apart.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy();
            if path.is_dir() {
                files.push((path.clone(), Vec::new()));
                folders.push(path);
            } else if !["-wal", "-shm", ".sync/lock"].iter().any(|end| name.ends_with(end)) {
                files.push((path.clone(), std::fs::read(&path).unwrap_or_default()));
            }
        }
    }
    files.sort();
    files
}
