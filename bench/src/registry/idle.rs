//! What watchers cost while nothing that they watch changes, and how fast they hear of what does.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{Calls, admin};
use crate::Result;
use crate::board::{Board, Goal};
use crate::histogram::Histogram;
use crate::load::http1::Http1;
use crate::load::{Pace, drive};
use crate::servers::Tsugite;

const WATCHERS: usize = 15_000;
const SERVICES: usize = 1_000;
/// Changes per second of services that nobody watches.
const CHANGES: u64 = 1_000;
const IDLE: Duration = Duration::from_secs(10);
/// Changes of watched services that are timed.
const WAKE_UPS: usize = 200;

pub(super) async fn run(board: &mut Board) -> Result<()> {
    for (form, memory, processor, spurious, wake) in [
        (
            Form::Blocking,
            "watch RSS",
            "watch CPU",
            "watch spurious",
            "watch wake",
        ),
        (
            Form::Events,
            "events RSS",
            "events CPU",
            "events spurious",
            "events wake",
        ),
    ] {
        let found = watch(form).await?;
        board.value(memory, found.kb);
        board.value(processor, found.percent);
        board.value(spurious, found.spurious);
        board.value(wake, found.wake_ms);
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Form {
    Blocking,
    Events,
}

struct Found {
    kb: f64,
    percent: f64,
    spurious: f64,
    wake_ms: f64,
}

async fn watch(form: Form) -> Result<Found> {
    let tsugite = Tsugite::start()?;
    let address = tsugite.role("admin")?;
    let mut connection = Http1::new(address);
    for number in 0..SERVICES {
        change(&mut connection, address, &format!("watched-{number}"), 0).await?;
    }
    let process = &tsugite.server.process;
    let before = process.rss_mb();
    let mut watchers = Vec::with_capacity(WATCHERS);
    for number in 0..WATCHERS {
        watchers.push(open(&mut connection, address, form, number % SERVICES).await?);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let kb = (process.rss_mb() - before) * 1024.0 / WATCHERS as f64;

    let woken = tsugite.metric("tsugite_watch_wakeups_total").await?;
    let cpu = process.cpu_seconds();
    let turn = Rc::new(std::cell::Cell::new(0));
    let changers = (0..8).map(|_| {
        let turn = turn.clone();
        Calls::new(address, move || {
            turn.set(turn.get() + 1);
            let number = turn.get();
            Some(put(address, &format!("elsewhere-{}", number % 100), number))
        })
    });
    let (_, outcome) = drive(changers.collect(), Pace::PerSecond(CHANGES), IDLE).await;
    outcome.flawless()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let percent = (process.cpu_seconds() - cpu) * 100.0 / (IDLE.as_secs_f64() * cores);
    let spurious = tsugite.metric("tsugite_watch_wakeups_total").await? - woken;

    // The first one has been idle for too long.
    let mut connection = Http1::new(address);
    let mut waking = Histogram::new();
    for (number, watcher) in watchers.iter_mut().enumerate().take(WAKE_UPS) {
        change(&mut connection, address, &format!("watched-{number}"), 1).await?;
        let from = Instant::now();
        heard(watcher).await?;
        waking.record(from.elapsed());
    }
    Ok(Found {
        kb,
        percent,
        spurious,
        wake_ms: waking.quantile_us(0.99) / 1e3,
    })
}

fn put(address: SocketAddr, service: &str, turn: usize) -> Vec<u8> {
    let body = format!(
        r#"{{"address": "127.0.0.1", "port": {}, "ttl_ms": 0}}"#,
        1024 + turn % 60_000
    );
    let path = format!("/v1/instances/internal/{service}/one");
    admin(address, "PUT", &path, &body)
}

async fn change(connection: &mut Http1, address: SocketAddr, service: &str, turn: usize) -> Result<()> {
    connection.exchange(&put(address, service, turn)).await?;
    Ok(())
}

/// A watcher that has heard how things are and waits for changes.
async fn open(asking: &mut Http1, address: SocketAddr, form: Form, number: usize) -> Result<TcpStream> {
    let path = format!("/v1/services/internal/watched-{number}/instances");
    let mut stream = TcpStream::connect(address).await?;
    match form {
        Form::Blocking => {
            let now = super::stage::call(asking, &admin(address, "GET", &path, "")).await?;
            let index = now["index"].as_u64().ok_or("no index")?;
            let path = format!("{path}?index={index}&wait=10m");
            stream.write_all(&admin(address, "GET", &path, "")).await?;
        }
        Form::Events => {
            let path = format!("/v1/watch?service=internal/watched-{number}");
            stream.write_all(&admin(address, "GET", &path, "")).await?;
            let mut seen = Vec::new();
            while !seen.windows(13).any(|window| window == b"event: synced") {
                if stream.read_buf(&mut seen).await? == 0 {
                    return Err(String::from_utf8_lossy(&seen).into_owned().into());
                }
            }
        }
    }
    Ok(stream)
}

/// Waits until a watcher is told something that is no heartbeat.
async fn heard(stream: &mut TcpStream) -> Result<()> {
    let mut seen = Vec::new();
    let limit = Duration::from_secs(5);
    while !seen.windows(6).any(|window| window == b"\"index") {
        if tokio::time::timeout(limit, stream.read_buf(&mut seen)).await?? == 0 {
            return Err("the watch ended".into());
        }
    }
    Ok(())
}

pub(super) fn goals(board: &Board) -> Vec<Goal> {
    let mut all = Vec::new();
    for (line, memory, processor, spurious, wake) in [
        (
            "15,000 idle blocking queries",
            "watch RSS",
            "watch CPU",
            "watch spurious",
            "watch wake",
        ),
        (
            "15,000 idle event streams",
            "events RSS",
            "events CPU",
            "events spurious",
            "events wake",
        ),
    ] {
        let named = |name| board.named(name);
        all.extend([
            Goal::at_most(line, "KB of RSS per watcher", named(memory), 15.0, 1),
            Goal::at_most(
                line,
                "wake-ups by 1,000 changes/s elsewhere",
                named(spurious),
                0.0,
                0,
            ),
            Goal::at_most(
                line,
                "% of the machine meanwhile, the changes among it",
                named(processor),
                f64::NAN,
                1,
            ),
            Goal::at_most(
                line,
                "from a change's answer to its watcher, p99 ms",
                named(wake),
                10.0,
                2,
            ),
        ]);
    }
    all
}
