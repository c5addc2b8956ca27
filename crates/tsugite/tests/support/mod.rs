//! The program as a process: started on free ports, asked over sockets, stopped by signals.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "shared by test files, each a crate of its own")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that goes with the test.
pub struct Home(pub PathBuf);

impl Home {
    pub fn new() -> Home {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "tsugite-test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Home(path)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program with no `TSUGITE_*` of ours around it.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsugite"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TSUGITE_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Exit code, standard output and standard error of a command that ends by itself.
pub fn finish(command: &mut Command) -> (i32, String, String) {
    let done = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        done.status.code().unwrap_or(-1),
        text(done.stdout),
        text(done.stderr),
    )
}

/// A running `tsugite up`.
pub struct Running {
    pub home: Home,
    pub child: Child,
    pub ready: Value,
    log: PathBuf,
}

impl Running {
    pub fn start(config: &str, flags: &[&str]) -> Running {
        Running::start_in(Home::new(), config, flags)
    }

    /// All roles on free ports; `flags` win over that, later ones over earlier ones.
    pub fn start_in(home: Home, config: &str, flags: &[&str]) -> Running {
        let listen = "listen: {gateway: \"127.0.0.1:0\", aws: \"127.0.0.1:0\", admin: \"127.0.0.1:0\", dns: \"127.0.0.1:0\"}";
        let file = home.file("tsugite.yaml", &format!("{listen}\n{config}"));
        let log = home.0.join("log");
        let ready_file = home.0.join("ready.json");
        let child = command()
            .arg("up")
            .arg("--config")
            .arg(&file)
            .arg("--data")
            .arg(home.0.join("data"))
            .arg("--ready-file")
            .arg(&ready_file)
            .args(flags)
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut running = Running {
            home,
            child,
            ready: Value::Null,
            log,
        };
        let ready = running.wait_for("the ready file", |running| {
            if let Some(status) = running.child.try_wait().unwrap() {
                panic!("it left with {status}:\n{}", running.log());
            }
            fs::read_to_string(&ready_file).ok()
        });
        running.ready = serde_json::from_str(&ready).unwrap();
        running
    }

    pub fn config(&self) -> PathBuf {
        self.home.0.join("tsugite.yaml")
    }

    pub fn ready_file(&self) -> PathBuf {
        self.home.0.join("ready.json")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn address(&self, role: &str) -> SocketAddr {
        self.ready[role]
            .as_str()
            .unwrap_or_else(|| panic!("{role} is off"))
            .parse()
            .unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.wait_for("the end", |running| running.child.try_wait().unwrap())
    }

    pub fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&mut Running) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "{what} did not come:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks the admin port.
    pub fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.admin_with(
            method,
            path,
            &[],
            &body.map(|body| body.to_string()).unwrap_or_default(),
        )
    }

    pub fn admin_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        request(self.address("admin"), method, path, headers, body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// One request on a connection of its own. A `host` header of the caller replaces the usual one.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        text.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    raw(address, text.as_bytes())
}

/// Sends bytes and reads until the peer closes.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is the peer's way to say that it did not want the rest of the request.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer but `{answer}`"));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Whether a path is gone.
pub fn gone(path: &Path) -> bool {
    !path.exists()
}
