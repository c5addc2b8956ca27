//! Tsugite's SQS and Redis streams, both with a sync before every answer, on the same disk, taking turns.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::load::{Client, Pace, drive, redis, sqs};
use crate::peers::{fill, home, tsugite_binary};
use crate::process::{Process, free_port};
use crate::report::{Spread, Table, machine, publish, ratio};
use crate::{Options, Result};

const BODY_BYTES: usize = 1024;
const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// Messages of one cycle.
const BATCH: f64 = 10.0;
const WARM_UP: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Figures {
    messages_per_second: Vec<f64>,
    cpu_us_per_message: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
}

/// By what is done and by whom.
type Measured = BTreeMap<(String, &'static str), Figures>;

struct Store {
    process: Process,
    address: SocketAddr,
    queue_url: String,
}

/// Runs every round and publishes the table.
pub(crate) async fn run(options: Options) -> Result<()> {
    let described = describe(&options);
    let (mut measured, mut probes) = (Measured::new(), Vec::new());
    for round in 1..=options.rounds {
        probes.push(syncs_per_second(
            &home("probe")?,
            options.seconds.min(Duration::from_secs(2)),
        )?);
        eprintln!("round {round}: tsugite");
        turn_of_tsugite(&options, &mut measured).await?;
        if options.takes("redis") {
            eprintln!("round {round}: redis");
            turn_of_redis(&options, &mut measured).await?;
        }
    }
    let probe = Spread::of(probes);
    let text = format!(
        "{described}\nProbe of the disk: one writer that appends {BODY_BYTES} bytes and calls fdatasync: {} syncs/s.\n\n{}",
        probe.show(0),
        table(&measured)
    );
    publish("sqs", &text, options.write)
}

async fn turn_of_tsugite(options: &Options, measured: &mut Measured) -> Result<()> {
    let body = "x".repeat(BODY_BYTES);
    let store = start_tsugite(options.threads).await?;
    for connections in CONNECTIONS {
        let make = |_| sqs::Send::new(store.address, &store.queue_url, &body);
        let clients = (0..connections).map(make).collect();
        let figures = measured.entry((send_name(connections), "tsugite")).or_default();
        measure(&store.process, clients, 1.0, options, figures).await?;
    }
    drop(store);
    for connections in CONNECTIONS {
        let store = start_tsugite(options.threads).await?; // An empty queue: receives must find what was just sent.
        let make = |_| sqs::Cycle::new(store.address, &store.queue_url, &body);
        let clients = (0..connections).map(make).collect();
        let figures = measured.entry((cycle_name(connections), "tsugite")).or_default();
        measure(&store.process, clients, BATCH, options, figures).await?;
    }
    Ok(())
}

async fn turn_of_redis(options: &Options, measured: &mut Measured) -> Result<()> {
    let body = "x".repeat(BODY_BYTES);
    let store = start_redis()?;
    redis::prepare(store.address).await?;
    for connections in CONNECTIONS {
        let clients = (0..connections)
            .map(|_| redis::Add::new(store.address, body.as_bytes()))
            .collect();
        let figures = measured.entry((send_name(connections), "redis")).or_default();
        measure(&store.process, clients, 1.0, options, figures).await?;
    }
    for connections in CONNECTIONS {
        redis::prepare(store.address).await?;
        let make = |consumer| redis::Cycle::new(store.address, body.as_bytes(), consumer);
        let clients = (0..connections).map(make).collect();
        let figures = measured.entry((cycle_name(connections), "redis")).or_default();
        measure(&store.process, clients, BATCH, options, figures).await?;
    }
    Ok(())
}

fn send_name(connections: usize) -> String {
    format!("1. send, {connections:>2} connections")
}

fn cycle_name(connections: usize) -> String {
    format!("2. send 10, receive 10, delete 10, {connections:>2} connections")
}

async fn measure<C: Client + 'static>(
    process: &Process,
    clients: Vec<C>,
    messages_per_call: f64,
    options: &Options,
    into: &mut Figures,
) -> Result<()> {
    let (clients, _) = drive(clients, Pace::Closed, WARM_UP).await;
    let before = process.cpu_seconds();
    let (_, outcome) = drive(clients, Pace::Closed, options.seconds).await;
    let cpu_seconds = process.cpu_seconds() - before;
    let outcome = outcome.checked()?;
    into.messages_per_second
        .push(outcome.per_second() * messages_per_call);
    into.cpu_us_per_message
        .push(cpu_seconds * 1e6 / (outcome.latencies.count() as f64 * messages_per_call));
    into.p50_us.push(outcome.latencies.quantile_us(0.50));
    into.p99_us.push(outcome.latencies.quantile_us(0.99));
    Ok(())
}

async fn start_tsugite(threads: usize) -> Result<Store> {
    let home = home("tsugite-sqs")?;
    let port = free_port()?;
    let values = [("AWS", port.to_string()), ("THREADS", threads.to_string())];
    let config = fill("tsugite-sqs.yaml", &home, &values)?;
    let mut command = Command::new(tsugite_binary());
    command
        .arg("up")
        .arg("--config")
        .arg(config)
        .arg("--data")
        .arg(home.join("data"));
    let (log, address) = (home.join("log"), SocketAddr::from(([127, 0, 0, 1], port)));
    let mut process = Process::start("tsugite", &mut command, &log)?;
    process.wait_for(address, &log)?;
    let queue_url = sqs::create_queue(address, "bench").await?;
    Ok(Store {
        process,
        address,
        queue_url,
    })
}

fn start_redis() -> Result<Store> {
    let home = home("redis")?;
    let port = free_port()?;
    let values = [("PORT", port.to_string()), ("HOME", home.display().to_string())];
    let config = fill("redis.conf", &home, &values)?;
    let (log, address) = (home.join("log"), SocketAddr::from(([127, 0, 0, 1], port)));
    let mut process = Process::start("redis", Command::new("redis-server").arg(config), &log)?;
    process.wait_for(address, &log)?;
    Ok(Store {
        process,
        address,
        queue_url: String::new(),
    })
}

/// What the disk gives to one writer that syncs after every append.
fn syncs_per_second(home: &Path, length: Duration) -> Result<f64> {
    let mut file = std::fs::File::create(home.join("probe"))?;
    let (begin, body, mut count) = (Instant::now(), [b'x'; BODY_BYTES], 0u32);
    while begin.elapsed() < length {
        file.write_all(&body)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

fn table(measured: &Measured) -> String {
    let mut table = Table::new(&[
        "what",
        "who",
        "messages/s",
        "Tsugite's ÷ its",
        "CPU µs per message",
        "p50 µs of a call",
        "p99 µs of a call",
    ]);
    let nothing = Figures::default();
    for ((what, who), figures) in measured {
        let ours = measured.get(&(what.clone(), "tsugite")).unwrap_or(&nothing);
        table.row(&[
            what.clone(),
            (*who).to_owned(),
            Spread::of(figures.messages_per_second.clone()).show(0),
            ratio(&ours.messages_per_second, &figures.messages_per_second).show(2),
            Spread::of(figures.cpu_us_per_message.clone()).show(1),
            Spread::of(figures.p50_us.clone()).show(0),
            Spread::of(figures.p99_us.clone()).show(0),
        ]);
    }
    table.into_text()
}

fn describe(options: &Options) -> String {
    format!(
        "{}{} rounds in turn, {} s of each measurement, bodies of {BODY_BYTES} bytes, {} worker(s) of Tsugite. Both \
         answer after a sync. Values: median [least..most] over the rounds; ratios are taken within a round.\n",
        machine(&[("redis-server", &["--version"])]),
        options.rounds,
        options.seconds.as_secs(),
        options.threads
    )
}
