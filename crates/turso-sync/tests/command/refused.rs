//! What every command that needs a server does when it does not get what it needs: an error within
//! the deadline that says what to do, the files as they were, and never a token.

use testkit::{
    jwt::{Access, Keys},
    proxy::Proxy,
    sqld::{Nobody, Settings, Sqld},
};

use crate::desk::Desk;

/// The commands, and what the address and the token are called there.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["init", "new.db"], "--url"),
    (&["sync"], "--url"),
    (&["workflow"], "--url"),
    (&["dump-init"], "--url"),
    (&["libsql-sync"], "--sync-url"),
    (&["offline-sync"], "--sync-url"),
];

const SECRET: &str = "eyJhbGciOiJFZERTQSJ9.s3cret.s3cret";

/// Runs `check` with each command, complete with address and token.
fn each(url: &str, token: &str, timeout: &str, check: impl Fn(&[&str])) {
    for (command, url_name) in COMMANDS {
        let options = [*url_name, url, "--token", token, "--timeout", timeout];
        check(&[*command, &options[..]].concat());
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error_that_names_it() {
    let desk = Desk::new();
    let nobody = Nobody::new();
    let url = nobody.url();
    each(&url, SECRET, "30s", |command| {
        desk.fails(3, command, &format!("cannot reach {url}"));
    });
}

#[test]
fn a_server_that_never_answers_is_an_error_within_the_deadline() {
    let desk = Desk::new();
    let sqld = Sqld::start();
    let proxy = Proxy::start(sqld.address());
    proxy.answer_nothing();
    each(&proxy.url(), SECRET, "300ms", |command| {
        desk.fails(3, command, "within 300ms");
    });
}

#[test]
fn what_is_no_libsql_server_is_an_error_that_says_so() {
    let desk = Desk::new();
    let sqld = Sqld::start();
    let proxy = Proxy::start(sqld.address());
    for (status, body) in [(200, "<html>Welcome</html>"), (500, "oops"), (404, "not found")] {
        proxy.lie(status, body);
        each(&proxy.url(), SECRET, "30s", |command| {
            let (stdout, stderr) = desk.ends_with(3, command);
            assert_eq!(stdout, "");
            assert!(stderr.starts_with("error: "), "{stderr}");
            assert!(stderr.contains(&proxy.url()), "{stderr}");
            assert!(!stderr.contains(SECRET), "{stderr}");
        });
    }
}

#[test]
fn a_wrong_or_expired_or_missing_token_is_refused_and_never_shown() {
    let desk = Desk::new();
    let keys = Keys::generate();
    let settings = Settings { jwt_public_key: Some(keys.public()), ..Settings::default() };
    let sqld = Sqld::start_with(settings);
    let others = Keys::generate().token(Access::ReadWrite);
    for token in [SECRET, &others, &keys.expired_token()] {
        each(&sqld.url(), token, "30s", |command| {
            desk.fails(3, command, "check the token");
        });
    }
    for (command, url_name) in COMMANDS {
        desk.fails(3, &[*command, &[*url_name, &sqld.url()][..]].concat(), "check the token");
    }
}

#[test]
fn an_address_or_token_that_cannot_be_one_is_refused_at_once() {
    let desk = Desk::new();
    for (url, said) in [
        ("ftp://127.0.0.1", "the scheme is unknown"),
        ("http://", "expected something like"),
        ("plan.db", "is a file, not a remote database"),
        ("http://127.0.0.1:1?authToken=s3cret&bad=1", "`bad` is unknown"),
    ] {
        each(url, SECRET, "30s", |command| {
            desk.fails(2, command, said);
            let (_, stderr) = desk.ends_with(2, command);
            assert!(!stderr.contains("s3cret"), "{stderr}");
        });
    }
    each("http://127.0.0.1:1", "s3cret\u{e9}", "30s", |command| {
        desk.fails(2, command, "the token");
    });
}

#[test]
fn a_synced_file_is_as_it_was_when_its_server_falls_silent_or_lies() {
    let desk = Desk::new();
    let sqld = crate::workflow::server();
    let proxy = Proxy::start(sqld.address());
    desk.succeeds(&["init", "work.db", "--url", &proxy.url(), "--token", SECRET]);
    drop(desk.sql("work.db", "DELETE FROM contacts WHERE id = 1"));
    let commands: &[&[&str]] = &[
        &["pull", "work.db"],
        &["reset", "work.db", "--yes"],
        &["libsql-sync", "--db", "work.db"],
        &["sync", "--replica-path", "work.db"],
        &["dump-init", "--db", "work.db"],
    ];
    for lies in [false, true] {
        let (time, said) = if lies {
            proxy.lie(200, "{}");
            ("30s", proxy.url())
        } else {
            proxy.answer_nothing();
            ("300ms", "not finished within 300ms".to_owned())
        };
        for command in commands {
            let command = [*command, &["--timeout", time, "--token", SECRET]].concat();
            desk.fails(3, &command, &said);
        }
        let (status, _) = desk.ends_with(1, &["status", "work.db", "--timeout", "2s"]);
        assert!(status.contains("find out why with `turso-sync test`"), "{status}");
        // What is pushed waits in the state folder.
        let before = desk.read("work.db");
        let (stdout, stderr) = desk.ends_with(3, &["push", "work.db", "--timeout", time]);
        assert_eq!(stdout, "");
        assert!(stderr.contains(&said), "{stderr}");
        assert_eq!(desk.read("work.db"), before);
    }
    proxy.resume();
    desk.succeeds(&["push", "work.db"]);
    assert_eq!(crate::workflow::names(&sqld), "Bob; or not|Cy");
    desk.holds_nowhere(SECRET);
}
