//! `tsugite register -- CMD …`: starts a program and keeps it registered for as long as it runs.
//!
//! The program is registered once it listens (or passes its check), and renewed until it ends. When it is to stop, it is
//! drained first and gets the signal after that: nobody calls it any more by then, so it loses no request.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tsugite_registry::{CheckKind, Protocol};

use super::Failed;
use super::client::{Server, segment};
use crate::config::text;
use crate::health::{self, parse_check};

/// Between two looks whether the program listens.
const LOOK: Duration = Duration::from_millis(50);
/// Between two attempts to reach the registry.
const RETRY: Duration = Duration::from_secs(1);
/// How long the registry may take for an ordinary answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long one look may take.
const PROBE: Duration = Duration::from_secs(1);
/// How long a program that never listened may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// Signals on their way to the program; more of the same say nothing new.
const SIGNALS: usize = 16;

/// Start a program, register it while it runs, and drain it before it stops.
#[derive(Debug, Args)]
pub(crate) struct Register {
    /// Name of the service
    #[arg(long)]
    service: String,
    /// Name of its namespace
    #[arg(long, default_value = "internal")]
    namespace: String,
    /// Unique in the service [default: host name and port]
    #[arg(long)]
    id: Option<String>,
    /// Where the program listens
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    address: IpAddr,
    /// Where the program listens
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// What it speaks: http, h2c or grpc [default: that of the request]
    #[arg(long, value_parser = protocol)]
    protocol: Option<Protocol>,
    /// When it is ready: tcp, http:/path, https:/path, grpc or grpc:service; all but tcp go on as the service's active
    /// check
    #[arg(long, default_value = "tcp", value_parser = parse_check)]
    check: CheckKind,
    /// A further attribute; may be given more than once
    #[arg(long, value_name = "KEY=VALUE", value_parser = attribute)]
    attribute: Vec<(String, String)>,
    /// How long it may be silent; it is renewed three times as often
    #[arg(long, default_value = "15s", value_parser = positive)]
    ttl: Duration,
    /// How long calls may go on when it is to stop
    #[arg(long, default_value = "30s", value_parser = text::duration)]
    drain: Duration,
    /// How long it may take until it is ready
    #[arg(long, default_value = "60s", value_parser = positive)]
    start_timeout: Duration,
    /// Address of the admin port
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "TSUGITE_ADMIN",
        default_value = "127.0.0.1:9901"
    )]
    admin: String,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    Protocol::parse(text).ok_or_else(|| "it can be http, h2c or grpc".to_owned())
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn positive(value: &str) -> Result<Duration, String> {
    match text::duration(value)? {
        Duration::ZERO => Err("must be at least 1ms".to_owned()),
        duration => Ok(duration),
    }
}

impl Register {
    /// Runs until the program has ended; the exit code is the program's.
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let server = Server::at(&self.admin)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failed::Failure(format!("no runtime: {error}")))?;
        let keeper = {
            let _inside = runtime.enter();
            Keeper::start(self, server)?
        };
        let code = runtime.block_on(keeper.keep());
        // A request under way to a registry that does not answer must not hold us.
        runtime.shutdown_background();
        code
    }
}

/// What the keeper of a program is told.
enum Event {
    Signal(Signal),
    Ended(ExitStatus),
}

/// A running program and its registration.
struct Keeper {
    options: Register,
    server: Server,
    path: String,
    child: Child,
    signals: mpsc::Receiver<Signal>,
    registered: bool,
    /// The registry does not answer as it should, and that was said.
    silent: bool,
}

impl Keeper {
    fn start(options: Register, server: Server) -> Result<Keeper, Failed> {
        let id = options
            .id
            .clone()
            .unwrap_or_else(|| default_id(&options.service, options.port));
        let path = format!(
            "/v1/instances/{}/{}/{}",
            segment(&options.namespace),
            segment(&options.service),
            segment(&id)
        );
        let signals = listen().map_err(|error| Failed::Failure(format!("no signals: {error}")))?;
        let (program, arguments) = options.command.split_first().expect("clap asks for one");
        let child = Command::new(program)
            .args(arguments)
            // A terminal sends its signals to the whole group; the program is to get them from us, after its drain.
            .process_group(0)
            .spawn();
        let child = child.map_err(|error| {
            Failed::Failure(format!(
                "{} cannot be started: {error}",
                program.to_string_lossy()
            ))
        })?;
        Ok(Keeper {
            options,
            server,
            path,
            child,
            signals,
            registered: false,
            silent: false,
        })
    }

    /// The life of the program.
    async fn keep(mut self) -> Result<ExitCode, Failed> {
        if let Some(status) = self.until_ready().await? {
            return Ok(code(status));
        }
        let first = loop {
            let pause = self.renew().await?;
            match self.event(pause).await {
                None => {}
                Some(event) => break event,
            }
        };
        match first {
            Event::Ended(status) => {
                // Nobody is there any more who could finish anything.
                let _ = self.call("DELETE", String::new(), None, ANSWER).await;
                Ok(code(status))
            }
            Event::Signal(signal) => self.stop(signal).await,
        }
    }

    /// Waits until the program is ready. It may end before that.
    async fn until_ready(&mut self) -> Result<Option<ExitStatus>, Failed> {
        let address = SocketAddr::new(self.options.address, self.options.port);
        let kind = self.options.check.clone();
        let begin = Instant::now();
        loop {
            let target = health::Target {
                address,
                kind: &kind,
                protocol: self.options.protocol,
                limit: PROBE,
            };
            let Err(reason) = health::send(&target).await else {
                return Ok(None);
            };
            match self.event(LOOK).await {
                None => {}
                Some(Event::Ended(status)) => return Ok(Some(status)),
                // It is not registered: there is nothing to drain.
                Some(Event::Signal(signal)) => {
                    self.send(signal);
                    return Ok(Some(self.ended().await));
                }
            }
            if begin.elapsed() > self.options.start_timeout {
                self.put_down().await;
                return Err(Failed::Failure(format!(
                    "the program was not ready at {address} within {}: {reason}",
                    text::show_duration(self.options.start_timeout)
                )));
            }
        }
    }

    /// Registers the program, or renews it; answers how long to wait until the next time.
    async fn renew(&mut self) -> Result<Duration, Failed> {
        let body = self.body();
        match self.call("PUT", String::new(), Some(body), ANSWER).await {
            Ok((200 | 201, answer)) => {
                self.registered = true;
                if std::mem::take(&mut self.silent) {
                    say("the registry answers again");
                }
                // An earlier program of that id is still on its way out.
                let again = answer["outcome"] == "leaving";
                Ok(if again { LOOK * 4 } else { self.options.ttl / 3 })
            }
            Ok((status, answer)) => {
                let detail = answer["detail"].as_str().unwrap_or_default();
                let why = format!("the program cannot be registered ({status}): {detail}");
                if self.registered || !(400..500).contains(&status) {
                    return Ok(self.complain(&why));
                }
                self.put_down().await;
                Err(Failed::Failure(why))
            }
            Err(Failed::Failure(why) | Failed::Usage(why)) => Ok(self.complain(&why)),
        }
    }

    /// The program is of use without a registry; that it cannot be found is said once. Answers when to try again.
    fn complain(&mut self, why: &str) -> Duration {
        if !std::mem::replace(&mut self.silent, true) {
            say(&format!("{why}; trying again"));
        }
        RETRY
    }

    /// Drains the program and hands the signal on. A second signal ends the waiting.
    async fn stop(mut self, signal: Signal) -> Result<ExitCode, Failed> {
        let (drain, server) = (self.options.drain, self.server.clone());
        let query = match drain {
            Duration::ZERO => String::new(),
            drain => format!("?drain={}ms&wait=acks", drain.as_millis()),
        };
        let path = format!("{}{query}", self.path);
        let leaving = async move {
            let left = server.call("DELETE", path, None, drain + ANSWER).await;
            let ttl = left.ok().and_then(|(_, answer)| answer["dns_ttl_ms"].as_u64());
            let ttl = Duration::from_millis(ttl.unwrap_or_default()).min(drain);
            tokio::time::sleep(ttl).await;
        };
        tokio::pin!(leaving);
        loop {
            tokio::select! {
                () = &mut leaving => break,
                status = self.child.wait() => return Ok(code(ended(status))),
                Some(signal) = self.signals.recv() => {
                    if ends(signal) {
                        say("not waiting any longer for calls to end");
                        break;
                    }
                    self.send(signal);
                }
            }
        }
        self.send(signal);
        Ok(code(self.ended().await))
    }

    /// Waits for the end of the program; signals are handed on.
    async fn ended(&mut self) -> ExitStatus {
        loop {
            match self.event(Duration::MAX).await {
                Some(Event::Ended(status)) => return status,
                Some(Event::Signal(signal)) => self.send(signal),
                None => {}
            }
        }
    }

    /// What happens next within `limit`: signals that mean nothing to us are handed on and not told.
    async fn event(&mut self, limit: Duration) -> Option<Event> {
        let pause = tokio::time::sleep(limit);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                status = self.child.wait() => return Some(Event::Ended(ended(status))),
                Some(signal) = self.signals.recv() => {
                    if ends(signal) {
                        return Some(Event::Signal(signal));
                    }
                    self.send(signal);
                }
                () = &mut pause => return None,
            }
        }
    }

    fn send(&self, signal: Signal) {
        // A program that has just ended hears nothing, and needs not.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends a program that is of no use.
    async fn put_down(&mut self) {
        self.send(Signal::TERM);
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    fn body(&self) -> Value {
        let options = &self.options;
        let attributes: Map<String, Value> = options
            .attribute
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect();
        let mut body = json!({
            "address": options.address,
            "port": options.port,
            "attributes": attributes,
            "ttl_ms": u64::try_from(options.ttl.as_millis()).unwrap_or(u64::MAX),
        });
        if let Some(protocol) = options.protocol {
            body["protocol"] = protocol.name().into();
        }
        if options.check != CheckKind::Tcp {
            body["check"] = health::show_check(&options.check).into();
        }
        body
    }

    async fn call(
        &self,
        method: &'static str,
        query: String,
        body: Option<Value>,
        limit: Duration,
    ) -> Result<(u16, Value), Failed> {
        let path = format!("{}{query}", self.path);
        self.server.call(method, path, body, limit).await
    }
}

fn ended(status: std::io::Result<ExitStatus>) -> ExitStatus {
    // Waiting for a child of ours fails only if somebody else has reaped it: then nobody knows how it ended.
    status.unwrap_or_default()
}

/// Whether a program that gets this signal is to stop.
const fn ends(signal: Signal) -> bool {
    matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT)
}

/// The exit code of a shell for a program that ended so.
fn code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let by_signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(by_signal).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Host name and port, as far as that can be the id of an instance.
fn default_id(service: &str, port: u16) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let host: String = host.chars().filter(fits).take(50).collect();
    let name = if host.is_empty() { service } else { &host };
    format!("{name}-{port}")
}

/// The signals that are handed on, from now on.
fn listen() -> std::io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(SIGNALS);
    for (kind, named) in [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::quit(), Signal::QUIT),
        (SignalKind::hangup(), Signal::HUP),
        (SignalKind::user_defined1(), Signal::USR1),
        (SignalKind::user_defined2(), Signal::USR2),
    ] {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send(named).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}

fn say(text: &str) {
    // A closed standard error is no reason to leave the program alone.
    let _ = writeln!(std::io::stderr().lock(), "tsugite register: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        for (raw, expected) in [(0, 0), (3 << 8, 3), (15, 143), (9, 137)] {
            assert_eq!(code(ExitStatus::from_raw(raw)), ExitCode::from(expected));
        }
    }

    #[test]
    fn ids_are_legal() {
        let id = default_id("orders", 8080);
        assert!(id.ends_with("-8080") && id.len() <= 64, "{id}");
    }
}
