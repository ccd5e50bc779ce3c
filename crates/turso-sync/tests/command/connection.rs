//! `test`, `copy` and `watch` with a real server.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value as Json;
use testkit::{
    http_proxy::HttpProxy,
    jwt::Keys,
    proxy::Proxy,
    sqld::{Settings, Sqld},
};

use crate::{
    desk::Desk,
    workflow::{names, on_server, server},
};

#[test]
fn a_connection_that_is_well_is_shown_step_by_step() {
    let sqld = server();
    let desk = Desk::new();
    let text = desk.succeeds(&["test", "--url", &sqld.url()]);
    for step in ["look the name up", "connect", "ask for the version", "round trip"] {
        assert!(text.contains(step), "{step} is not in\n{text}");
    }
    let json = desk.succeeds(&["test", "--url", &sqld.url(), "--json"]);
    let json: Json = serde_json::from_str(&json).unwrap();
    let steps = json["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["error"] == Json::Null), "{json}");
    assert!(steps.iter().any(|step| step["step"] == "write" && step["found"].is_string()));
}

#[test]
fn the_environment_names_a_proxy_and_who_is_reached_without_it() {
    let sqld = server();
    let desk = Desk::new();
    let proxy = HttpProxy::start(sqld.address(), "Proxy-Authorization: Basic bWU6czNjcmV0");
    let through = format!("http://me:s3cret@{}", proxy.address());
    let run = |url: &str, variables: &[(&str, &str)]| {
        let mut command = desk.command(&["test", "--url", url]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("s3cret"), "{said}");
        (output.status.code(), said)
    };
    let (code, said) = run("http://db.example", &[("ALL_PROXY", &through)]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("of the proxy http://127.0.0.1:"), "{said}");
    let count = proxy.asked().len();
    assert!(count > 0);
    let here = run(&sqld.url(), &[("ALL_PROXY", &through)]);
    let exempt = run("http://db.invalid", &[("ALL_PROXY", &through), ("NO_PROXY", ".invalid")]);
    assert_eq!((here.0, exempt.0), (Some(0), Some(3)));
    assert_eq!(proxy.asked().len(), count, "this machine and exempt hosts are reached directly");
    let (code, said) = run("http://db.example", &[("http_proxy", "socks5://me:s3cret@p")]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("in http_proxy: only proxies of the scheme http are known"), "{said}");
}

#[test]
fn a_connection_that_is_not_well_shows_where_it_ends() {
    let desk = Desk::new();
    let keys = Keys::generate();
    let settings = Settings { jwt_public_key: Some(keys.public()), ..Settings::default() };
    let sqld = Sqld::start_with(settings);
    let token = keys.expired_token();
    let test = ["test", "--url", &sqld.url(), "--token", &token];
    let (stdout, stderr) = desk.ends_with(3, &test);
    assert!(stdout.contains("be let in"), "{stdout}");
    assert!(stdout.contains("check the token"), "{stdout}");
    assert!(stderr.starts_with("error: the connection to http://127.0.0.1:"), "{stderr}");
    assert!(!stdout.contains(&token) && !stderr.contains(&token));

    let proxy = Proxy::start(sqld.address());
    proxy.answer_nothing();
    let test = ["test", "--url", &proxy.url(), "--timeout", "3s", "--json"];
    let (stdout, _) = desk.ends_with(3, &test);
    let json: Json = serde_json::from_str(&stdout).unwrap();
    let last = json["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["step"], "version");
    assert!(last["error"].as_str().unwrap().contains("within 3s"), "{last}");
}

#[test]
fn a_database_is_copied_to_a_server_and_back() {
    let sqld = Sqld::start();
    let desk = Desk::new();
    let url = sqld.url();
    let make = "CREATE TABLE contacts(id INTEGER PRIMARY KEY, name TEXT);
                INSERT INTO contacts VALUES (1, 'Ann'), (2, 'Bob')";
    drop(desk.sql("a.db", make));
    let said = desk.succeeds(&["copy", "a.db", &url]);
    assert_eq!(
        said,
        format!("Copied a.db to {url}: 2 rows inserted, 0 updated, 0 deleted in 1 table\n")
    );
    assert_eq!(names(&sqld), "Ann|Bob");
    desk.succeeds(&["copy", &url, "b.db"]);
    desk.are_equal("a.db", "b.db");
    drop(desk.sql("a.db", "DELETE FROM contacts WHERE id = 1"));
    desk.fails(2, &["copy", "a.db", &url], "give --replace to make it a copy");
    assert_eq!(names(&sqld), "Ann|Bob");
    let json = desk.succeeds(&["copy", "a.db", &url, "--replace", "--json"]);
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(json["changes"]["deleted"], 1);
    assert_eq!(names(&sqld), "Bob");
    desk.fails(2, &["copy", "ftp://a", "c.db"], "the scheme is unknown");
    desk.fails(3, &["copy", "http://127.0.0.1:1", "c.db"], "cannot reach http://127.0.0.1:1");
}

/// `watch` while it runs; ended when dropped.
struct Watching {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(desk: &Desk, arguments: &[&str]) -> Self {
        let mut command = desk.command(&[&["watch", "work.db", "--json"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next event of this kind.
    fn next(&mut self, event: &str) -> Json {
        for line in &mut self.lines {
            let json: Json = serde_json::from_str(&line.unwrap()).unwrap();
            if json["event"] == event {
                return json;
            }
        }
        panic!("watch ended before it {event}");
    }

    /// Asks it to stop, as Ctrl-C does, and returns the exit code.
    fn stop(mut self) -> Option<i32> {
        let status =
            Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Fails if it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn watch_pulls_and_pushes_again_and_again_until_it_is_stopped() {
    let sqld = server();
    let desk = Desk::new();
    desk.succeeds(&["init", "work.db", "--url", &sqld.url()]);
    drop(desk.sql("work.db", "UPDATE contacts SET name = 'Anna' WHERE id = 1"));
    let mut watching = Watching::start(&desk, &["--every", "50ms"]);
    assert_eq!(watching.next("pushed")["report"]["end"], "pushed");
    assert_eq!(names(&sqld), "Anna|Bob; or not|Cy");
    on_server(&sqld, &["UPDATE contacts SET name = 'Cyd' WHERE id = 3"]);
    while watching.next("pulled")["report"]["end"] != "pulled" {}
    let name = "SELECT name FROM contacts WHERE id = 3";
    let name: String = desk.sql("work.db", "").query_row(name, [], |row| row.get(0)).unwrap();
    assert_eq!(name, "Cyd");
    assert_eq!(watching.stop(), Some(0));
}

#[test]
fn watch_tells_failures_and_goes_on_but_ends_on_a_wrong_request() {
    let mut sqld = server();
    let desk = Desk::new();
    desk.succeeds(&["init", "work.db", "--url", &sqld.url()]);
    sqld.kill();
    let mut watching = Watching::start(&desk, &["--every", "10ms", "--timeout", "2s"]);
    let failed = watching.next("failed");
    assert!(failed["error"].as_str().unwrap().contains("cannot reach"), "{failed}");
    sqld.restart();
    watching.next("pulled");
    assert_eq!(watching.stop(), Some(0));
    desk.fails(2, &["watch", "other.db", "--quiet"], "not synced yet");
}
