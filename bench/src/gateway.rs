//! Tsugite, nginx, HAProxy and Envoy in front of the same upstream, taking turns.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::load::grpc::Unary;
use crate::load::http1::Get;
use crate::load::{Client, Outcome, Pace, drive};
use crate::peers::{CONTENDERS, Contender, Running, Upstream, home};
use crate::process::{Process, free_port};
use crate::report::{Spread, Table, machine, publish, ratio};
use crate::{Options, Result};

/// Connections of the HTTP/1.1 load.
const CONNECTIONS: usize = 64;
/// The gRPC load: connections and streams on each.
const GRPC_CONNECTIONS: usize = 8;
const GRPC_STREAMS: usize = 8;
const WARM_UP: Duration = Duration::from_millis(700);

const HTTP1_HOST: &str = "bench.internal";
const GRPC_HOST: &str = "bench-grpc.internal";

/// One contender's figures, a value per round.
#[derive(Default)]
struct Figures {
    per_second: Vec<f64>,
    cpu_us: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    rss_mb: Vec<f64>,
}

type ByContender = BTreeMap<&'static str, Figures>;

/// Runs every round and publishes both tables.
pub(crate) async fn run(options: Options) -> Result<()> {
    let described = describe(&options);
    let (upstream, _process) = start_upstream()?;
    let (mut http1, mut grpc) = (ByContender::new(), ByContender::new());
    for round in 1..=options.rounds {
        for contender in CONTENDERS
            .iter()
            .filter(|contender| options.takes(contender.name))
        {
            eprintln!("round {round}: {}", contender.name);
            one_turn(contender, upstream, &options, &mut http1, &mut grpc).await?;
        }
    }
    let text = format!(
        "{described}\n### HTTP/1.1, keep-alive, answers of 1 KiB, {CONNECTIONS} connections\n\n{}\n\
         ### gRPC unary, answers of 1 KiB, {GRPC_CONNECTIONS} connections with {GRPC_STREAMS} streams each\n\n{}",
        table(&http1),
        table(&grpc)
    );
    publish("gateway", &text, options.write)
}

/// Starts the upstream in a process of its own: its processor time is nobody's.
pub(crate) fn start_upstream() -> Result<(Upstream, Process)> {
    let upstream = Upstream {
        http1: free_port()?,
        grpc: free_port()?,
    };
    let log = home("upstream")?.join("log");
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("upstream")
        .arg(upstream.http1.to_string())
        .arg(upstream.grpc.to_string());
    let mut process = Process::start("upstream", &mut command, &log)?;
    process.wait_for(([127, 0, 0, 1], upstream.http1).into(), &log)?;
    process.wait_for(([127, 0, 0, 1], upstream.grpc).into(), &log)?;
    Ok((upstream, process))
}

async fn one_turn(
    contender: &Contender,
    upstream: Upstream,
    options: &Options,
    http1: &mut ByContender,
    grpc: &mut ByContender,
) -> Result<()> {
    let name = contender.name;
    let failed = |part: &str, error: Box<dyn std::error::Error>| format!("{name}, {part}: {error}");
    let running = contender.start(upstream, options.threads)?;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| Get::new(running.http1, HTTP1_HOST))
        .collect();
    measure(&running, clients, options, http1.entry(name).or_default())
        .await
        .map_err(|error| failed("HTTP/1.1", error))?;
    let clients = Unary::slots(running.grpc, GRPC_HOST, GRPC_CONNECTIONS, GRPC_STREAMS).await?;
    measure(&running, clients, options, grpc.entry(name).or_default())
        .await
        .map_err(|error| failed("gRPC", error))?;
    Ok(())
}

/// Closed loop for throughput and processor time, then the fixed rate for latency.
async fn measure<C: Client + 'static>(
    running: &Running,
    clients: Vec<C>,
    options: &Options,
    into: &mut Figures,
) -> Result<()> {
    let (clients, _) = drive(clients, Pace::Closed, WARM_UP).await;
    let before = running.process.cpu_seconds();
    let (clients, closed) = drive(clients, Pace::Closed, options.seconds).await;
    let cpu_seconds = running.process.cpu_seconds() - before;
    let closed: Outcome = closed.checked()?;
    let (_, paced) = drive(clients, Pace::PerSecond(options.rate), options.seconds).await;
    let paced = paced.checked()?;
    into.per_second.push(closed.per_second());
    into.cpu_us
        .push(cpu_seconds * 1e6 / closed.latencies.count() as f64);
    into.p50_us.push(paced.latencies.quantile_us(0.50));
    into.p99_us.push(paced.latencies.quantile_us(0.99));
    into.rss_mb.push(running.process.rss_mb());
    Ok(())
}

fn table(figures: &ByContender) -> String {
    let mut table = Table::new(&[
        "proxy",
        "requests/s",
        "CPU µs per request",
        "Tsugite's CPU ÷ its",
        "p50 µs",
        "p99 µs",
        "Tsugite's p99 ÷ its",
        "RSS MB",
    ]);
    let nothing = Figures::default();
    let ours = figures.get("tsugite").unwrap_or(&nothing);
    for Contender { name, .. } in CONTENDERS {
        let Some(theirs) = figures.get(name) else { continue };
        table.row(&[
            (*name).to_owned(),
            Spread::of(theirs.per_second.clone()).show(0),
            Spread::of(theirs.cpu_us.clone()).show(1),
            ratio(&ours.cpu_us, &theirs.cpu_us).show(2),
            Spread::of(theirs.p50_us.clone()).show(0),
            Spread::of(theirs.p99_us.clone()).show(0),
            ratio(&ours.p99_us, &theirs.p99_us).show(2),
            Spread::of(theirs.rss_mb.clone()).show(0),
        ]);
    }
    table.into_text()
}

fn describe(options: &Options) -> String {
    let programs: &[(&str, &[&str])] = &[
        ("nginx", &["-v"]),
        ("haproxy", &["-v"]),
        ("envoy", &["--version"]),
    ];
    format!(
        "{}{} rounds in turn, {} s of each measurement, {} thread(s) for each proxy. Values: median [least..most] over \
         the rounds; ratios are taken within a round. Latency at {} requests/s, counted from when each call was due.\n",
        machine(programs),
        options.rounds,
        options.seconds.as_secs(),
        options.threads,
        options.rate
    )
}
