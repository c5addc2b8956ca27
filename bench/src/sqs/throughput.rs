//! Sends, batches and cycles in a closed loop, of Tsugite and whoever else does the same; and one connection
//! beside the bare disk.

use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::goals::{BATCH, CYCLE, FIFO_BATCH, FIFO_CYCLE, FIFO_SEND, GROUP_CYCLE, GROUP_SEND, ONE, SEND};
use super::{BODY_BYTES, CONNECTIONS};
use crate::board::Board;
use crate::histogram::Histogram;
use crate::load::sqs::Queue;
use crate::load::{Client, Pace, amqp, drive, nats, redis, sqs};
use crate::peers::{fill, home};
use crate::process::Process;
use crate::servers::{PEERS, Peer, Server, Tsugite};
use crate::{Options, Result, calibrate};

const WARM_UP: Duration = Duration::from_millis(500);
/// Message groups of a FIFO queue with many.
const GROUPS: u64 = 1_000;
/// nginx gets the very bytes that Tsugite gets, queue URL included.
const NGINX_QUEUE: &str = "http://127.0.0.1:4566/000000000000/bench";

/// SendMessage of Tsugite and of every peer.
pub(super) async fn send(options: &Options, board: &mut Board) -> Result<()> {
    let body = body();
    let tsugite = Tsugite::start()?;
    let queue = Queue::standard(tsugite.server.address, "bench").await?;
    let measured = measure(&tsugite.server.process, options, |_| queue.sender(&body)).await?;
    board.work(SEND, "tsugite", measured);
    drop(tsugite);
    for peer in PEERS.iter().filter(|peer| options.takes(peer.name())) {
        if let Some(why) = peer.missing() {
            board.skipped(peer.title(), &why);
            continue;
        }
        eprintln!("  {}", peer.title());
        match send_of(*peer, options).await {
            Ok(measured) => board.work(SEND, peer.title(), measured),
            Err(error) => board.failed(peer.title(), &*error),
        }
    }
    Ok(())
}

async fn send_of(peer: Peer, options: &Options) -> Result<[f64; 4]> {
    let body = body();
    let Server { process, address, .. } = &peer.start()?;
    match peer {
        Peer::Nginx => {
            let queue = Queue::known(*address, NGINX_QUEUE);
            measure(process, options, |_| queue.sender(&body)).await
        }
        Peer::Localstack | Peer::Moto => {
            let queue = Queue::standard(*address, "bench").await?;
            measure(process, options, |_| queue.sender(&body)).await
        }
        Peer::Redis => {
            redis::prepare(*address).await?;
            measure(process, options, |_| {
                redis::Add::new(*address, body.as_bytes(), 1)
            })
            .await
        }
        Peer::Nats | Peer::NatsUnsafe => {
            nats::Publish::create_stream(*address).await?;
            let make = |number| nats::Publish::new(*address, body.as_bytes(), number);
            measure(process, options, make).await
        }
        Peer::Rabbitmq => {
            amqp::prepare(*address).await?;
            let make = |_| amqp::Publish::new(*address, body.as_bytes());
            measure(process, options, make).await
        }
    }
}

/// SendMessageBatch of ten, and Redis with ten in a pipeline.
pub(super) async fn batch(options: &Options, board: &mut Board) -> Result<()> {
    let body = body();
    let tsugite = Tsugite::start()?;
    let queue = Queue::standard(tsugite.server.address, "bench").await?;
    let measured = measure(&tsugite.server.process, options, |_| queue.batch_sender(&body)).await?;
    board.work(BATCH, "tsugite", measured);
    drop(tsugite);
    if let Some(Server { process, address, .. }) = &start_redis(options, board).await? {
        let make = |_| redis::Add::new(*address, body.as_bytes(), 10);
        board.work(BATCH, "redis", measure(process, options, make).await?);
    }
    Ok(())
}

/// Send ten, receive ten, delete ten, on a queue that holds next to nothing.
pub(super) async fn cycle(options: &Options, board: &mut Board) -> Result<()> {
    let body = body();
    let tsugite = Tsugite::start()?;
    let queue = Queue::standard(tsugite.server.address, "bench").await?;
    let measured = measure(&tsugite.server.process, options, |_| queue.cycle(&body)).await?;
    board.work(CYCLE, "tsugite", measured);
    drop(tsugite);
    if let Some(Server { process, address, .. }) = &start_redis(options, board).await? {
        let make = |consumer| redis::Cycle::new(*address, body.as_bytes(), consumer);
        board.work(CYCLE, "redis", measure(process, options, make).await?);
    }
    Ok(())
}

async fn start_redis(options: &Options, board: &mut Board) -> Result<Option<Server>> {
    if !options.takes("redis") {
        return Ok(None);
    }
    if let Some(why) = Peer::Redis.missing() {
        board.skipped("redis", &why);
        return Ok(None);
    }
    let server = Peer::Redis.start()?;
    redis::prepare(server.address).await?;
    Ok(Some(server))
}

/// One connection's SendMessage beside one writer that appends as many bytes and calls fdatasync.
pub(super) async fn one_connection(options: &Options, board: &mut Board) -> Result<()> {
    let length = options.seconds.min(Duration::from_secs(2));
    let folder = home("probe")?;
    let appended = sync_latencies(&folder, length, false)?;
    let rewritten = sync_latencies(&folder, length, true)?;
    let body = body();
    let tsugite = Tsugite::start()?;
    let queue = Queue::standard(tsugite.server.address, "bench").await?;
    let process = &tsugite.server.process;
    let measured = measure_clients(process, options, vec![queue.sender(&body)]).await?;
    let [_, _, p50_us, _] = measured;
    board.work(ONE, "tsugite", measured);
    for (who, name, probe) in [
        ("the disk: append, fdatasync", "one above sync", &appended),
        (
            "the disk: write in place, fdatasync",
            "one above sync in place",
            &rewritten,
        ),
    ] {
        let per_second = probe.count() as f64 / length.as_secs_f64();
        let (sync_p50, sync_p99) = (probe.quantile_us(0.50), probe.quantile_us(0.99));
        board.work(ONE, who, [per_second, f64::NAN, sync_p50, sync_p99]);
        board.value(name, p50_us - sync_p50);
    }
    Ok(())
}

/// How long the disk takes to write a body and sync it: at the end of a file, which grows, or in one that is written
/// to its full length already.
fn sync_latencies(home: &Path, length: Duration, in_place: bool) -> Result<Histogram> {
    let mut file = std::fs::File::create(home.join("probe"))?;
    if in_place {
        file.write_all(&vec![0; 1024 * 1024])?;
        file.sync_all()?;
    }
    let (begin, body, mut latencies) = (Instant::now(), [b'x'; BODY_BYTES], Histogram::new());
    while begin.elapsed() < length {
        let from = Instant::now();
        if in_place && latencies.count() % 4096 == 0 {
            file.rewind()?;
        }
        file.write_all(&body)?;
        file.sync_data()?;
        latencies.record(from.elapsed());
    }
    Ok(latencies)
}

/// FIFO queues with many groups and with one.
pub(super) async fn fifo(options: &Options, board: &mut Board) -> Result<()> {
    let body = body();
    for (what, groups) in [
        (FIFO_SEND, GROUPS),
        (FIFO_BATCH, GROUPS),
        (FIFO_CYCLE, GROUPS),
        (GROUP_SEND, 1),
    ] {
        let tsugite = Tsugite::start()?;
        let process = &tsugite.server.process;
        let queue = Queue::fifo(tsugite.server.address, "bench", groups).await?;
        let measured = match what {
            FIFO_BATCH => measure(process, options, |_| queue.batch_sender(&body)).await?,
            FIFO_CYCLE => measure(process, options, |_| queue.cycle(&body)).await?,
            _ => measure(process, options, |_| queue.sender(&body)).await?,
        };
        board.work(what, "tsugite", measured);
    }
    let tsugite = Tsugite::start()?;
    let queue = Queue::fifo(tsugite.server.address, "bench", 1).await?;
    let clients = vec![queue.cycle(&body)];
    let measured = measure_clients(&tsugite.server.process, options, clients).await?;
    board.work(GROUP_CYCLE, "tsugite", measured);
    Ok(())
}

/// Is the load generator itself in order? wrk sends the same request to the same Tsugite.
pub(super) async fn generator(options: &Options, board: &mut Board) -> Result<()> {
    let body = body();
    let tsugite = Tsugite::start()?;
    let address = tsugite.server.address;
    let queue = Queue::standard(address, "bench").await?;
    let [before, ..] = measure(&tsugite.server.process, options, |_| queue.sender(&body)).await?;
    let values = [
        ("URL", queue.url.clone()),
        ("BODY", body.clone()),
        ("AUTHORIZATION", sqs::AUTHORIZATION.to_owned()),
    ];
    let script = fill("send.lua", &home("wrk")?, &values)?.display().to_string();
    let seconds = format!("-d{}s", options.seconds.as_secs());
    let url = format!("http://{address}/");
    let connections = format!("-c{CONNECTIONS}");
    let arguments = ["-t1", &connections, &seconds, "-s", &script, &url];
    let wrk = calibrate::rate_of("wrk", &arguments, "Requests/sec:")?;
    // Ours on either side of theirs, so that a machine that changes its pace favours neither.
    let [after, ..] = measure(&tsugite.server.process, options, |_| queue.sender(&body)).await?;
    board.value("generator", (before + after) / 2.0 / wrk);
    Ok(())
}

fn body() -> String {
    "x".repeat(BODY_BYTES)
}

/// The figures of [`CONNECTIONS`] clients in a closed loop, as [`Board::work`] takes them.
async fn measure<C: Client + 'static>(
    process: &Process,
    options: &Options,
    make: impl FnMut(usize) -> C,
) -> Result<[f64; 4]> {
    measure_clients(process, options, (0..CONNECTIONS).map(make).collect()).await
}

async fn measure_clients<C: Client + 'static>(
    process: &Process,
    options: &Options,
    clients: Vec<C>,
) -> Result<[f64; 4]> {
    let (clients, warm) = drive(clients, Pace::Closed, WARM_UP).await;
    warm.flawless()?;
    let before = process.cpu_seconds();
    let (_, outcome) = drive(clients, Pace::Closed, options.seconds).await;
    let cpu_seconds = process.cpu_seconds() - before;
    let outcome = outcome.flawless()?;
    Ok([
        outcome.per_second(),
        cpu_seconds * 1e6 / outcome.messages as f64,
        outcome.latencies.quantile_us(0.50),
        outcome.latencies.quantile_us(0.99),
    ])
}
