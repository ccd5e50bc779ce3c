//! `--timeout` is for the whole command: no server, however it behaves, holds it longer.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use testkit::proxy::Proxy;

use crate::{
    desk::Desk,
    workflow::{names, on_server, server},
};

/// Every command that talks to the server, for the file `work.db`.
fn commands(url: &str) -> Vec<Vec<&str>> {
    let new = |command| vec![command, "--url", url];
    vec![
        vec!["init", "new.db", "--url", url],
        vec!["init", "own.db", "--url", url, "--merge"],
        vec!["push", "work.db"],
        vec!["pull", "work.db"],
        vec!["reset", "work.db", "--yes"],
        vec!["copy", url, "new.db"],
        vec!["copy", "own.db", url, "--replace"],
        vec!["sync", "-r", "work.db"],
        vec!["workflow", "-r", "work.db", "-w", "other.db", "--url", url],
        vec!["dump-init", "work.db"],
        vec!["dump-push", "work.db"],
        vec!["libsql-sync", "work.db"],
        new("offline-sync"),
        vec!["apply-diff", "-d", "work.db", "--diff-file", "nothing.sql"],
    ]
}

fn desk(url: &str) -> Desk {
    let desk = Desk::new();
    desk.succeeds(&["init", "work.db", "--url", url]);
    drop(desk.sql("work.db", "UPDATE contacts SET name = 'Anna' WHERE id = 1"));
    drop(desk.sql("own.db", "CREATE TABLE more(a)"));
    desk.write("nothing.sql", "-- no statement\n");
    desk
}

#[test]
fn a_server_that_answers_nothing_ends_every_command_with_an_error_and_the_file_as_it_was() {
    let sqld = server();
    let proxy = Proxy::start(sqld.address());
    let url = proxy.url();
    let desk = desk(&url);
    let before = desk.read("work.db");
    proxy.answer_nothing();
    for command in commands(&url) {
        let (_, stderr) = desk.ends_with(3, &[&command[..], &["--timeout", "300ms"]].concat());
        assert!(stderr.contains("allow more time"), "{command:?}: {stderr}");
        assert!(desk.read("work.db") == before, "{command:?} changed the file");
        assert!(!desk.path("new.db").exists(), "{command:?} left a file");
    }
    let (said, _) = desk.ends_with(1, &["status", "work.db", "--timeout", "2s"]);
    assert!(said.contains("the server does not answer"), "{said}");
    proxy.resume();
    desk.succeeds(&["push", "work.db"]);
    assert_eq!(names(&sqld), "Anna|Bob; or not|Cy");
}

#[test]
fn a_server_that_answers_each_call_in_time_but_slowly_ends_every_command_in_time() {
    for at in 0..commands("").len() {
        // Each with a server of its own: what one sent may be carried out after its time is over.
        let sqld = server();
        let proxy = Proxy::start(sqld.address());
        let url = proxy.url();
        let desk = desk(&url);
        let before = desk.read("work.db");
        // Else a pull would be done when the server has said that nothing is new.
        on_server(&sqld, &["UPDATE contacts SET weight = 2 WHERE id = 3"]);
        // One call fits into the time; no command makes do with one.
        proxy.set_delay(Duration::from_millis(500));
        let command = [&commands(&url)[at][..], &["--timeout", "750ms"]].concat();
        let (_, stderr) = desk.ends_with(3, &command);
        assert!(stderr.contains("not finished within 750ms; try again, or allow"), "{stderr}");
        assert!(desk.read("work.db") == before, "{command:?} changed the file");
    }
}

#[test]
fn a_signal_ends_work_in_good_order() {
    let sqld = server();
    let proxy = Proxy::start(sqld.address());
    let url = proxy.url();
    let desk = desk(&url);
    let before = desk.read("work.db");
    proxy.answer_nothing();
    for command in [
        &["pull", "work.db"][..],
        &["push", "work.db"],
        &["init", "new.db", "--url", &url],
        &["copy", &url, "new.db"],
    ] {
        let requests = proxy.connections();
        let mut child =
            desk.command(command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while proxy.connections() == requests {
            std::thread::yield_now();
        }
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let mut stderr = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{stderr}");
        assert_eq!(stderr, "error: stopped; the next command takes up what was begun\n");
        assert!(desk.read("work.db") == before);
        assert!(!desk.path("new.db").exists() && !desk.path("new.db.sync").exists());
        // Nothing of what was being made is left.
        let left = std::fs::read_dir(desk.path("")).unwrap().map(|entry| entry.unwrap().path());
        assert!(left.into_iter().all(|path| !path.to_string_lossy().contains(".turso-sync-")));
    }
    proxy.resume();
    desk.succeeds(&["push", "work.db"]);
    assert_eq!(names(&sqld), "Anna|Bob; or not|Cy");
}
