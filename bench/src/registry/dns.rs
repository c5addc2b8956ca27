//! DNS queries per second of processor time, beside servers that do nothing else: dnsperf asks for the A and SRV records
//! of ten thousand services. Tsugite registers a thousand instances a second meanwhile; the peers' data stands still.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use super::stage::{Calls, admin, all};
use crate::board::{Board, Goal, over};
use crate::load::{Pace, drive};
use crate::peers::{fill, home};
use crate::process::{Process, free_port};
use crate::servers::Tsugite;
use crate::{Options, Result};

const ZONE: &str = "bench.internal";
const SERVICES: usize = 10_000;
/// Queries in the file that dnsperf goes through.
const QUERIES: usize = 100_000;
/// Registrations per second.
const RATE: u64 = 1_000;
/// Connections that register.
const REGISTRARS: usize = 16;
/// For which they register before the queries begin, and after they have ended.
const BEFORE: Duration = Duration::from_millis(500);

/// What is asked, and the name of its file.
const KINDS: [(&str, &str); 2] = [
    ("DNS A over UDP, 10,000 services", "A"),
    ("DNS SRV over UDP, 10,000 services", "SRV"),
];

/// A peer: its name, its program, its configuration, and what share of it is the goal.
struct Contender {
    name: &'static str,
    program: &'static str,
    template: &'static str,
    figure: &'static str,
    goal: f64,
    command: fn(config: &Path) -> Command,
}

const CONTENDERS: &[Contender] = &[
    Contender {
        name: "knot",
        figure: "÷ knot, per second of processor time",
        program: "/usr/sbin/knotd",
        template: "knot.conf",
        goal: 1.0,
        command: |config| command("/usr/sbin/knotd", &["-c"], config),
    },
    Contender {
        name: "unbound",
        figure: "÷ unbound, local data",
        program: "/usr/sbin/unbound",
        template: "unbound.conf",
        goal: 1.3,
        command: |config| command("/usr/sbin/unbound", &["-d", "-c"], config),
    },
    Contender {
        name: "bind9",
        figure: "÷ bind9",
        program: "/usr/sbin/named",
        template: "named.conf",
        goal: 1.5,
        command: |config| command("/usr/sbin/named", &["-g", "-n", "1", "-c"], config),
    },
    Contender {
        name: "dnsmasq",
        figure: "÷ dnsmasq",
        program: "/usr/sbin/dnsmasq",
        template: "dnsmasq.conf",
        goal: 2.0,
        command: |config| command("/usr/sbin/dnsmasq", &["-C"], config),
    },
];

fn command(program: &str, flags: &[&str], config: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(flags).arg(config);
    command
}

pub(super) async fn run(options: &Options, board: &mut Board) -> Result<()> {
    if !Path::new("/usr/bin/dnsperf").exists() {
        board.skipped("DNS", "no dnsperf (`cargo xtask install bench`)");
        return Ok(());
    }
    let files = home("dnsperf")?;
    for (_, kind) in KINDS {
        std::fs::write(files.join(kind), queries(kind))?;
    }
    of_tsugite(&files, options.seconds, board).await?;
    for contender in CONTENDERS
        .iter()
        .filter(|contender| options.takes(contender.name))
    {
        if !Path::new(contender.program).exists() {
            board.skipped(contender.name, &format!("no {}", contender.program));
            continue;
        }
        let (process, address) = contender.start()?;
        for (line, kind) in KINDS {
            let measured = dnsperf(&process, address, &files.join(kind), options.seconds).await?;
            board.work(line, contender.name, measured);
        }
    }
    Ok(())
}

async fn of_tsugite(files: &Path, seconds: Duration, board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start_with_workers(1)?;
    let (port, dns) = (tsugite.role("admin")?, tsugite.role("dns")?);
    let register = move |number: usize| {
        let (service, body) = (number % SERVICES, instance(number));
        admin(port, "PUT", &format!("/v1/instances/{ZONE}/s-{service}/i"), &body)
    };
    all(port, (0..SERVICES).map(register).collect()).await?;
    wait_for_answers(&tsugite.server.process, dns)?;
    let next = Rc::new(RefCell::new((SERVICES..).map(register)));
    for (line, kind) in KINDS {
        let file = files.join(kind);
        let quiet = dnsperf(&tsugite.server.process, dns, &file, seconds).await?;
        board.work(line, "tsugite, nobody registers", quiet);
        let clients = (0..REGISTRARS).map(|_| {
            let next = next.clone();
            Calls::new(port, move || next.borrow_mut().next())
        });
        let registering = drive(clients.collect(), Pace::PerSecond(RATE), seconds + BEFORE * 2);
        let asking = async {
            tokio::time::sleep(BEFORE).await;
            dnsperf(&tsugite.server.process, dns, &file, seconds).await
        };
        let ((_, registered), measured) = tokio::join!(registering, asking);
        let rate = registered.flawless()?.per_second();
        if rate < RATE as f64 * 0.95 {
            return Err(format!("{rate:.0} registrations a second instead of {RATE}").into());
        }
        board.work(line, "tsugite", measured?);
    }
    Ok(())
}

/// An instance at another place than before.
fn instance(number: usize) -> String {
    let port = 1024 + number / SERVICES;
    format!(
        r#"{{"address": "{}", "port": {port}, "ttl_ms": 0}}"#,
        address(number)
    )
}

fn address(number: usize) -> String {
    format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255)
}

impl Contender {
    fn start(&self) -> Result<(Process, SocketAddr)> {
        let (home, port) = (home(self.name)?, free_port()?);
        let (mut zone, mut local, mut hosts, mut srv) =
            (String::new(), String::new(), String::new(), String::new());
        zone.push_str(&format!(
            "$ORIGIN {ZONE}.\n$TTL 1\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n"
        ));
        for number in 0..SERVICES {
            let (name, ip) = (format!("s-{number}.{ZONE}"), address(number));
            writeln!(
                zone,
                "s-{number} A {ip}\ns-{number} SRV 1 1 1024 i.s-{number}\ni.s-{number} A {ip}"
            )?;
            writeln!(
                local,
                "local-data: '{name}. 1 IN A {ip}'\nlocal-data: 'i.{name}. 1 IN A {ip}'"
            )?;
            writeln!(local, "local-data: '{name}. 1 IN SRV 1 1 1024 i.{name}.'")?;
            writeln!(hosts, "{ip} {name} i.{name}")?;
            writeln!(srv, "srv-host={name},i.{name},1024,1,1")?;
        }
        for (file, text) in [
            ("zone", zone),
            ("local-data", local),
            ("hosts", hosts),
            ("srv", srv),
        ] {
            std::fs::write(home.join(file), text)?;
        }
        let values = [("HOME", home.display().to_string()), ("PORT", port.to_string())];
        let config = fill(self.template, &home, &values)?;
        let address = ([127, 0, 0, 1], port).into();
        let process = Process::start(self.name, &mut (self.command)(&config), &home.join("log"))?;
        wait_for_answers(&process, address)?;
        Ok((process, address))
    }
}

/// Asks until the last service is known.
fn wait_for_answers(process: &Process, address: SocketAddr) -> Result<()> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in format!("s-{}.{ZONE}", SERVICES - 1).split('.') {
        query.push(u8::try_from(label.len())?);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let mut answer = [0; 1500];
    for _ in 0..300 {
        // The number of answers.
        if socket.send(&query).is_ok()
            && socket
                .recv(&mut answer)
                .is_ok_and(|length| length > 8 && answer[7] > 0)
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!("{} does not answer at {address}", process.name()).into())
}

/// Names in an order that no cache of the processor can follow.
fn queries(kind: &str) -> String {
    let mut text = String::new();
    let mut state = 1_u64;
    for _ in 0..QUERIES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let number = (state >> 33) % SERVICES as u64;
        text.push_str(&format!("s-{number}.{ZONE} {kind}\n"));
    }
    text
}

/// Queries per second of the server's processor time, and µs of it per query; an error when an answer is wrong or more than
/// one in a thousand is lost.
async fn dnsperf(process: &Process, address: SocketAddr, file: &Path, length: Duration) -> Result<[f64; 4]> {
    let mut command = Command::new("/usr/bin/dnsperf");
    command
        .args([
            "-s",
            &address.ip().to_string(),
            "-p",
            &address.port().to_string(),
            "-d",
        ])
        .arg(file);
    command.args([
        "-l",
        &length.as_secs().to_string(),
        "-T",
        "1",
        "-c",
        "8",
        "-q",
        "400",
    ]);
    let before = process.cpu_seconds();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    while child.try_wait()?.is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let cpu = process.cpu_seconds() - before;
    let told = String::from_utf8(child.wait_with_output()?.stdout)?;
    let number = |label: &str| -> Result<f64> {
        let rest = told
            .split(label)
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next());
        Ok(rest
            .ok_or_else(|| format!("dnsperf tells no {label}\n{told}"))?
            .parse()?)
    };
    let (completed, lost) = (number("Queries completed:")?, number("Queries lost:")?);
    if number("NOERROR")? < completed || lost > completed / 1_000.0 {
        return Err(format!("wrong or lost answers:\n{told}").into());
    }
    Ok([completed / cpu, cpu * 1e6 / completed, f64::NAN, f64::NAN])
}

pub(super) fn goals(board: &Board) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (line, _) in KINDS {
        let ours = board.rate(line, "tsugite");
        for contender in CONTENDERS {
            let ratio = over(&ours, &board.rate(line, contender.name));
            goals.push(Goal::at_least(line, contender.figure, ratio, contender.goal, 2));
        }
    }
    goals
}
