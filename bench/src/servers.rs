//! Tsugite and its peers as brokers: how each is configured and started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;
use crate::load::http1::Http1;
use crate::peers::{fill, home, repository, tsugite_binary};
use crate::process::{Process, free_port};

/// Longest that a start may take, with ten million messages to read.
const START_MAX: Duration = Duration::from_secs(600);

/// A broker that runs.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// A process that it needs, stopped after it.
    _helper: Option<Process>,
}

/// Who else takes messages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Peer {
    Nginx,
    Redis,
    Localstack,
    Moto,
    Nats,
    NatsUnsafe,
    Rabbitmq,
}

pub(crate) const PEERS: &[Peer] = &[
    Peer::Nginx,
    Peer::Redis,
    Peer::Localstack,
    Peer::Moto,
    Peer::Nats,
    Peer::NatsUnsafe,
    Peer::Rabbitmq,
];

impl Peer {
    /// Its name for `--peers`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Nginx => "nginx",
            Peer::Redis => "redis",
            Peer::Localstack => "localstack",
            Peer::Moto => "moto",
            Peer::Nats | Peer::NatsUnsafe => "nats",
            Peer::Rabbitmq => "rabbitmq",
        }
    }

    /// Its name in tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Peer::Nats => "nats, sync_interval always",
            Peer::NatsUnsafe => "nats, its default (unsafe: syncs every two minutes)",
            Peer::Rabbitmq => "rabbitmq quorum queue, confirms",
            Peer::Localstack => "localstack",
            _ => self.name(),
        }
    }

    /// Why it cannot run here, if so.
    pub(crate) fn missing(self) -> Option<String> {
        let program = match self {
            Peer::Nginx => "nginx".into(),
            Peer::Redis => "redis-server".into(),
            Peer::Localstack => venv("localstack").join("bin/python"),
            Peer::Moto => venv("moto").join("bin/moto_server"),
            Peer::Nats | Peer::NatsUnsafe => "nats-server".into(),
            Peer::Rabbitmq => RABBITMQ.into(),
        };
        if !is_there(&program) {
            let shown = program.strip_prefix(repository()).unwrap_or(&program);
            return Some(format!("no {} (`cargo xtask install bench`)", shown.display()));
        }
        (self == Peer::Nats && !nats_takes_always())
            .then(|| "this nats-server has no sync_interval (2.10 has it)".to_owned())
    }

    pub(crate) fn start(self) -> Result<Server> {
        match self {
            Peer::Nginx => {
                let config = ("nginx-sqs.conf", vec![]);
                start("nginx", config, |config, home| {
                    let mut command = Command::new("nginx");
                    command.arg("-p").arg(home).arg("-c").arg(config);
                    command
                })
            }
            Peer::Redis => start("redis", ("redis.conf", vec![]), |config, _| {
                let mut command = Command::new("redis-server");
                command.arg(config);
                command
            }),
            Peer::Nats => start("nats", nats_config("always"), nats_command),
            Peer::NatsUnsafe => start("nats", nats_config("2m"), nats_command),
            Peer::Localstack => start_localstack(),
            Peer::Moto => start("moto", ("moto.env", vec![]), |config, _| {
                let mut command = Command::new("sh");
                command.args(["-ac", ". \"$0\" && exec \"$1\""]).arg(config);
                command.arg(venv("moto").join("bin/moto_server"));
                command
            }),
            Peer::Rabbitmq => start_rabbitmq(),
        }
    }
}

type Config = (&'static str, Vec<(&'static str, String)>);

/// Fills the configuration in, starts what `command` makes of it and its home, and waits until it accepts.
fn start(name: &str, config: Config, command: impl FnOnce(&Path, &Path) -> Command) -> Result<Server> {
    let (home, port) = (home(name)?, free_port()?);
    let (template, mut values) = config;
    values.extend([("PORT", port.to_string()), ("HOME", home.display().to_string())]);
    let config = fill(template, &home, &values)?;
    let (log, address) = (home.join("log"), SocketAddr::from(([127, 0, 0, 1], port)));
    let mut process = Process::start(name, &mut command(&config, &home), &log)?;
    process.wait_for(address, &log)?;
    Ok(Server {
        process,
        address,
        _helper: None,
    })
}

const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// RabbitMQ with a port mapper of its own, which would otherwise stay behind as a daemon.
fn start_rabbitmq() -> Result<Server> {
    let (mapper, distribution) = (free_port()?.to_string(), free_port()?.to_string());
    let epmd_log = home("epmd")?.join("log");
    let mut epmd = Command::new("epmd");
    epmd.args(["-port", &mapper, "-address", "127.0.0.1"]);
    let helper = Process::start("epmd", &mut epmd, &epmd_log)?;
    let values = vec![("EPMD", mapper), ("DISTRIBUTION", distribution)];
    let server = start("rabbitmq", ("rabbitmq.env", values), |config, _| {
        let mut command = Command::new("sh");
        command
            .args(["-ac", ". \"$0\" && exec \"$1\" -noinput"])
            .arg(config)
            .arg(RABBITMQ);
        command
    })?;
    Ok(Server {
        _helper: Some(helper),
        ..server
    })
}

fn start_localstack() -> Result<Server> {
    start("localstack", ("localstack.env", vec![]), |config, _| {
        let mut command = Command::new("sh");
        command.args(["-ac", ". \"$0\" && exec \"$1\" -m localstack.runtime.main"]);
        command.arg(config).arg(venv("localstack").join("bin/python"));
        command
    })
}

fn nats_config(sync: &str) -> Config {
    // Before 2.10 the key is unknown and the default cannot be written down.
    let line = if nats_takes_always() {
        format!("sync_interval: {sync}")
    } else {
        String::new()
    };
    ("nats.conf", vec![("SYNC", line)])
}

fn nats_command(config: &Path, _: &Path) -> Command {
    let mut command = Command::new("nats-server");
    command.arg("-c").arg(config);
    command
}

/// Asks nats-server itself whether it knows `sync_interval`.
fn nats_takes_always() -> bool {
    let checked = || -> Result<bool> {
        let values = [
            ("SYNC", "sync_interval: always".to_owned()),
            ("PORT", free_port()?.to_string()),
            ("HOME", home("nats-check")?.display().to_string()),
        ];
        let config = fill("nats.conf", &home("nats-check")?, &values)?;
        Ok(Command::new("nats-server")
            .arg("-t")
            .arg("-c")
            .arg(config)
            .output()?
            .status
            .success())
    };
    checked().unwrap_or(false)
}

fn venv(name: &str) -> PathBuf {
    repository().join(".cache").join(format!("venv-{name}"))
}

fn is_there(program: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Tsugite as it comes: every role on, a worker for each core.
pub(crate) struct Tsugite {
    pub(crate) server: Server,
    /// From the start of the process to its ready file.
    pub(crate) started_in: Duration,
    home: PathBuf,
    /// How many, if it was told.
    workers: Option<usize>,
}

impl Tsugite {
    pub(crate) fn start() -> Result<Tsugite> {
        Tsugite::prepare(None)
    }

    /// As [`Tsugite::start`], with so many workers instead of one for each core.
    pub(crate) fn start_with_workers(workers: usize) -> Result<Tsugite> {
        Tsugite::prepare(Some(workers))
    }

    fn prepare(workers: Option<usize>) -> Result<Tsugite> {
        let (home, port) = (home("tsugite-sqs")?, free_port()?);
        let values = [
            ("AWS", port.to_string()),
            ("READY", home.join("ready").display().to_string()),
        ];
        fill("tsugite-sqs.yaml", &home, &values)?;
        Tsugite::start_in(home, port, workers)
    }

    fn start_in(home: PathBuf, port: u16, workers: Option<usize>) -> Result<Tsugite> {
        let mut command = Command::new(tsugite_binary());
        command
            .arg("up")
            .arg("--config")
            .arg(home.join("tsugite-sqs.yaml"));
        command.arg("--data").arg(home.join("data"));
        if let Some(workers) = workers {
            command.arg("--workers").arg(workers.to_string());
        }
        let log = home.join("log");
        let begin = Instant::now();
        let mut process = Process::start("tsugite", &mut command, &log)?;
        process.wait_until(|| home.join("ready").exists(), START_MAX, &log)?;
        let server = Server {
            process,
            address: ([127, 0, 0, 1], port).into(),
            _helper: None,
        };
        Ok(Tsugite {
            server,
            started_in: begin.elapsed(),
            home,
            workers,
        })
    }

    /// Kills it without warning and starts it again at once on the same data.
    pub(crate) fn kill_and_start(self) -> Result<Tsugite> {
        let Tsugite {
            server,
            home,
            workers,
            ..
        } = self;
        let port = server.address.port();
        std::fs::remove_file(home.join("ready"))?;
        server.process.kill_now()?;
        Tsugite::start_in(home, port, workers)
    }

    /// A figure of `/metrics` that has no labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let admin = self.role("admin")?;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        let mut connection = Http1::new(admin);
        let metrics = std::str::from_utf8(connection.exchange(request.as_bytes()).await?)?;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
        value.ok_or_else(|| format!("no {name} among the metrics").into())
    }

    /// Where a role listens, from the ready file.
    pub(crate) fn role(&self, name: &str) -> Result<SocketAddr> {
        let ready: serde_json::Value = serde_json::from_slice(&std::fs::read(self.home.join("ready"))?)?;
        let address = ready[name].as_str();
        let address = address.ok_or_else(|| format!("the ready file names no port of the role {name}"))?;
        Ok(address.parse()?)
    }
}
