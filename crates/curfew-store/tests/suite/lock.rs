use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use curfew_store::{RunLock, StoreError};

use crate::fixture::{CONTACTS, Folder};

/// Set for the process that [`another_process`] starts: the database to lock.
const DATABASE: &str = "CURFEW_TEST_LOCK";

/// What the other process runs: takes the lock, says so, and holds it until its input ends.
#[test]
fn hold_a_lock_for_another_test() {
    let Ok(path) = std::env::var(DATABASE) else { return };
    let _lock = RunLock::acquire(path, "curfew run", "2026-11-20 06:00:00").unwrap();
    println!("held");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Starts a process that holds the lock, and waits until it does. Its output stays open.
fn another_process(path: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["lock::hold_a_lock_for_another_test", "--exact", "--nocapture"])
        .env(DATABASE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut lines = output.by_ref().lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("held")));
    (child, output)
}

fn acquire(path: &Path) -> Result<RunLock, StoreError> {
    RunLock::acquire(path, "curfew import", "2026-11-20 07:00:00")
}

#[test]
fn a_lock_that_another_process_holds_names_its_holder_and_goes_with_it() {
    let folder = Folder::new();
    let path = folder.file(CONTACTS);
    for ending in ["killed", "done"] {
        let (mut child, _output) = another_process(&path);
        let StoreError::Held { holder, lock, .. } = acquire(&path).unwrap_err() else {
            panic!("the lock is held")
        };
        let holder = holder.unwrap();
        assert_eq!(holder.pid, child.id());
        assert_eq!(holder.command, "curfew run");
        assert_eq!(holder.since, "2026-11-20 06:00:00");
        assert!(!holder.host.is_empty());
        assert_eq!(lock.file_name().unwrap(), "test.db.curfew-lock");
        if ending == "killed" {
            child.kill().unwrap();
        } else {
            child.stdin.take().unwrap().write_all(b"\n").unwrap();
        }
        child.wait().unwrap();
        assert_eq!(lock.exists(), ending == "killed");
        drop(acquire(&path).unwrap());
        assert_eq!(folder.files(), ["test.db"]);
    }
}

#[test]
fn one_process_cannot_have_a_lock_twice() {
    let folder = Folder::new();
    let path = folder.file(CONTACTS);
    let lock = acquire(&path).unwrap();
    let error = acquire(&path).unwrap_err().to_string();
    let pid = std::process::id();
    assert!(error.contains(&format!("`curfew import`, process {pid} on ")), "{error}");
    assert!(error.contains("since 2026-11-20 07:00:00; wait until that is done"), "{error}");
    drop(lock);
    drop(acquire(&path).unwrap());
}

#[cfg(unix)]
#[test]
fn every_path_to_a_database_leads_to_the_same_lock() {
    let folder = Folder::new();
    let path = folder.file(CONTACTS);
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let _lock = acquire(&path).unwrap();
    for way in [link, folder.path().join(".").join("test.db")] {
        assert!(matches!(acquire(&way).unwrap_err(), StoreError::Held { .. }), "{way:?}");
    }
}

#[test]
fn what_is_left_of_an_old_lock_holds_nobody_up() {
    let folder = Folder::new();
    let path = folder.file(CONTACTS);
    fs::write(RunLock::path_for(&path), "{\"pid\": 1").unwrap();
    drop(acquire(&path).unwrap());
}

#[test]
fn a_lock_file_that_cannot_be_made_is_named() {
    let error = acquire(&PathBuf::from("/nowhere/at/all.db")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all.db.curfew-lock cannot be used"), "{error}");
}
