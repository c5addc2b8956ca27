//! The contenders of the gateway benchmark: how each is configured and started.
//!
//! Configurations lie in `bench/peers/` as one would write them, with `@NAME@` where a port or count goes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::process::{Process, free_port};

/// A proxy in front of the upstream.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Its configuration in `bench/peers/`.
    template: &'static str,
    /// Whether HTTP/1.1 and HTTP/2 come in at one port.
    one_port: bool,
    command: fn(config: &Path, home: &Path, threads: usize) -> Command,
}

/// Tsugite first, then the peers, in the order of every round.
pub(crate) const CONTENDERS: &[Contender] = &[
    Contender {
        name: "tsugite",
        template: "tsugite.yaml",
        one_port: true,
        command: tsugite,
    },
    Contender {
        name: "nginx",
        template: "nginx.conf",
        one_port: false,
        command: nginx,
    },
    Contender {
        name: "haproxy",
        template: "haproxy.cfg",
        one_port: false,
        command: haproxy,
    },
    Contender {
        name: "envoy",
        template: "envoy.yaml",
        one_port: false,
        command: envoy,
    },
];

/// A contender that runs.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) http1: std::net::SocketAddr,
    pub(crate) grpc: std::net::SocketAddr,
}

/// Where the upstream listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upstream {
    pub(crate) http1: u16,
    pub(crate) grpc: u16,
}

impl Contender {
    /// Starts it in front of `upstream` and waits until it serves.
    pub(crate) fn start(&self, upstream: Upstream, threads: usize) -> Result<Running> {
        let home = home(self.name)?;
        let http1 = free_port()?;
        let grpc = if self.one_port { http1 } else { free_port()? };
        let values = [
            ("HOME", home.display().to_string()),
            ("THREADS", threads.to_string()),
            ("HTTP1", http1.to_string()),
            ("GRPC", grpc.to_string()),
            ("UPSTREAM_HTTP1", upstream.http1.to_string()),
            ("UPSTREAM_GRPC", upstream.grpc.to_string()),
        ];
        let config = fill(self.template, &home, &values)?;
        let log = home.join("log");
        let mut process = Process::start(self.name, &mut (self.command)(&config, &home, threads), &log)?;
        let (http1, grpc) = (([127, 0, 0, 1], http1).into(), ([127, 0, 0, 1], grpc).into());
        process.wait_for(http1, &log)?;
        process.wait_for(grpc, &log)?;
        Ok(Running { process, http1, grpc })
    }
}

fn tsugite(config: &Path, home: &Path, threads: usize) -> Command {
    let mut command = Command::new(tsugite_binary());
    command
        .arg("up")
        .arg("--config")
        .arg(config)
        .arg("--data")
        .arg(home.join("data"));
    command.env("TSUGITE_WORKERS", threads.to_string());
    command
}

fn nginx(config: &Path, home: &Path, _: usize) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-p").arg(home).arg("-c").arg(config);
    command
}

fn haproxy(config: &Path, _: &Path, _: usize) -> Command {
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(config);
    command
}

fn envoy(config: &Path, _: &Path, threads: usize) -> Command {
    let mut command = Command::new(envoy_binary());
    command
        .arg("-c")
        .arg(config)
        .arg("--concurrency")
        .arg(threads.to_string());
    command.args(["--log-level", "error", "--disable-hot-restart"]);
    command
}

/// Tsugite's binary.
pub(crate) fn tsugite_binary() -> PathBuf {
    std::env::var_os("TSUGITE_BIN").map_or_else(|| "target/release/tsugite".into(), PathBuf::from)
}

/// The package's `envoy` is a Python script that becomes the binary; we start what it becomes, so that the
/// process we watch is Envoy and nothing else.
fn envoy_binary() -> PathBuf {
    let asked = Command::new("python3")
        .args([
            "-c",
            "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')",
        ])
        .output();
    let path = asked
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|path| path.trim().into());
    path.filter(|path: &PathBuf| path.exists())
        .unwrap_or_else(|| "envoy".into())
}

/// An empty folder of its own on the disk of the target folder (a RAM disk would flatter everyone's fsync).
pub(crate) fn home(name: &str) -> Result<PathBuf> {
    let home = repository().join("target/bench").join(name);
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    std::fs::create_dir_all(&home)?;
    Ok(home)
}

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default()
}

/// Writes a configuration with its places filled in, and returns where.
pub(crate) fn fill(template: &str, home: &Path, values: &[(&str, String)]) -> Result<PathBuf> {
    let mut text = std::fs::read_to_string(repository().join("bench/peers").join(template))?;
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    let path = home.join(template);
    std::fs::write(&path, text)?;
    Ok(path)
}
