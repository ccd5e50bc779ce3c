//! What every command that needs a server does when it does not get what it needs: an error within
//! the deadline that says what to do, the files as they were, and never a token.

use testkit::{
    jwt::{Access, Keys},
    proxy::Proxy,
    sqld::{Settings, Sqld},
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
fn each(url: &str, token: &str, check: impl Fn(&[&str])) {
    for (command, url_name) in COMMANDS {
        let options = [*url_name, url, "--token", token, "--timeout", "1s"];
        check(&[*command, &options[..]].concat());
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error_that_names_it() {
    let desk = Desk::new();
    // A port that was free a moment ago.
    let port = testkit::sqld::free_port();
    let url = format!("http://127.0.0.1:{port}");
    each(&url, SECRET, |command| {
        desk.fails(3, command, &format!("cannot reach {url}"));
        desk.fails_without(3, command, SECRET);
    });
}

#[test]
fn a_server_that_never_answers_is_an_error_within_the_deadline() {
    let desk = Desk::new();
    let sqld = Sqld::start();
    let proxy = Proxy::start(sqld.address());
    proxy.answer_nothing();
    each(&proxy.url(), SECRET, |command| {
        desk.fails(3, command, "within 1s");
        desk.fails_without(3, command, SECRET);
    });
}

#[test]
fn what_is_no_libsql_server_is_an_error_that_says_so() {
    let desk = Desk::new();
    let sqld = Sqld::start();
    let proxy = Proxy::start(sqld.address());
    for (status, body) in [(200, "<html>Welcome</html>"), (500, "oops"), (404, "not found")] {
        proxy.lie(status, body);
        each(&proxy.url(), SECRET, |command| {
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
        each(&sqld.url(), token, |command| {
            desk.fails(3, command, "check the token");
            desk.fails_without(3, command, token);
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
        each(url, SECRET, |command| {
            desk.fails(2, command, said);
            desk.fails_without(2, command, "s3cret");
        });
    }
    each("http://127.0.0.1:1", "s3cret\u{e9}", |command| {
        desk.fails(2, command, "the token");
        desk.fails_without(2, command, "s3cret");
    });
}
