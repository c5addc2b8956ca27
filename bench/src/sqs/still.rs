//! What Tsugite costs while nothing happens: alone, and with many long polls open.

use std::io::{self, Seek as _, Write as _};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{BODY_BYTES, settle};
use crate::Result;
use crate::board::Board;
use crate::histogram::Histogram;
use crate::load::Client;
use crate::load::sqs::{Poll, Queue, Send};
use crate::peers::home;
use crate::servers::Tsugite;

/// Long polls that stay open, spread over this many queues.
const POLLS: usize = 15_000;
const QUEUES: usize = 1_000;
/// Each poll ends and is renewed once in this time: that belongs to the price of idling.
const IDLE: Duration = Duration::from_secs(20);
/// Messages whose poller is timed, one after the other.
const WAKE_UPS: usize = 1_000;
const BETWEEN_WAKE_UPS: Duration = Duration::from_millis(5);

/// Memory and start of a process that nobody calls.
pub(super) async fn idle(board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    board.value("idle start", tsugite.started_in.as_secs_f64() * 1e3);
    settle().await;
    board.value("idle RSS", tsugite.server.process.rss_mb());
    Ok(())
}

/// Which queue's poller got a message and when, or what went wrong.
type Woken = io::Result<(usize, Instant)>;

/// Memory and processor time of open polls, and how fast they wake.
pub(super) async fn polls(board: &mut Board) -> Result<()> {
    let files_max = open_files_max();
    if files_max.is_some_and(|files| files < POLLS + 500) {
        let why = format!("{POLLS} polls need as many open files (`ulimit -n` says {files_max:?})");
        board.skipped("polls", &why);
        return Ok(());
    }
    let tsugite = Tsugite::start()?;
    let mut senders: Vec<Send> = Vec::new();
    let mut pollers: Vec<(usize, Poll)> = Vec::new();
    for number in 0..QUEUES {
        let queue = Queue::standard(tsugite.server.address, &format!("poll-{number}")).await?;
        let mut sender = queue.sender(&"x".repeat(BODY_BYTES));
        // Before the polls take half of the ports: from then on the kernel looks for a free one for milliseconds.
        sender.connect().await?;
        senders.push(sender);
        pollers.extend((0..POLLS / QUEUES).map(|_| (number, queue.poller())));
    }
    let process = &tsugite.server.process;
    let before = process.rss_mb();
    let (report, mut woken) = mpsc::unbounded_channel::<Woken>();
    let mut tasks = Vec::new();
    for (number, mut poller) in pollers {
        poller.connect().await?;
        tasks.push(tokio::task::spawn_local(poll(number, poller, report.clone())));
    }
    settle().await;
    let rss_mb = process.rss_mb() - before;
    board.value("poll RSS", rss_mb * 1024.0 / POLLS as f64);
    let cpu_before = process.cpu_seconds();
    tokio::time::sleep(IDLE).await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let cpu_seconds = process.cpu_seconds() - cpu_before;
    board.value("poll CPU", cpu_seconds * 100.0 / (IDLE.as_secs_f64() * cores));
    let latencies = wake(&mut senders, &mut woken).await;
    for task in &tasks {
        task.abort();
    }
    let WakeUps { polls, sends, after } = latencies?;
    for (name, latencies, quantile) in [
        ("wake p50", &polls, 0.50),
        ("wake p99", &polls, 0.99),
        ("wake send p50", &sends, 0.50),
        ("wake send p99", &sends, 0.99),
        ("wake after p99", &after, 0.99),
    ] {
        board.value(name, latencies.quantile_us(quantile) / 1e3);
    }
    drop(tsugite);
    let alone = syncs_after_pauses().await?;
    board.value("wake disk p50", alone.quantile_us(0.50) / 1e3);
    board.value("wake disk p99", alone.quantile_us(0.99) / 1e3);
    Ok(())
}

/// What the disk takes for as many writes in place and their syncs with the same pauses, when nobody else does anything:
/// no answer of ours can be faster. A virtual disk that has fallen asleep may take milliseconds.
async fn syncs_after_pauses() -> Result<Histogram> {
    let mut file = std::fs::File::create(home("probe")?.join("probe"))?;
    file.write_all(&vec![0; WAKE_UPS * BODY_BYTES])?;
    file.sync_all()?;
    file.rewind()?;
    let mut latencies = Histogram::new();
    for _ in 0..WAKE_UPS {
        tokio::time::sleep(BETWEEN_WAKE_UPS).await;
        let from = Instant::now();
        file.write_all(&[b'x'; BODY_BYTES])?;
        file.sync_data()?;
        latencies.record(from.elapsed());
    }
    Ok(latencies)
}

/// Polls one queue again and again, and tells of each message.
async fn poll(number: usize, mut poller: Poll, report: mpsc::UnboundedSender<Woken>) {
    loop {
        let told = match poller.call().await {
            Ok(0) => continue,
            Ok(_) => Ok((number, Instant::now())),
            Err(error) => Err(error),
        };
        let failed = told.is_err();
        if report.send(told).is_err() || failed {
            return;
        }
    }
}

/// How long wake-ups took.
struct WakeUps {
    /// From the start of a send to its poller's answer.
    polls: Histogram,
    /// From the start of a send to its own answer: both wait for the same sync.
    sends: Histogram,
    /// From the sender's answer to the poller's: what waking costs beside the sync.
    after: Histogram,
}

async fn wake(senders: &mut [Send], woken: &mut mpsc::UnboundedReceiver<Woken>) -> Result<WakeUps> {
    let mut found = WakeUps {
        polls: Histogram::new(),
        sends: Histogram::new(),
        after: Histogram::new(),
    };
    for number in (0..senders.len()).cycle().take(WAKE_UPS) {
        let from = Instant::now();
        senders[number].call().await?;
        let sent = Instant::now();
        let told = timeout(Duration::from_secs(5), woken.recv()).await;
        let told = told.map_err(|_| format!("no poller of queue {number} woke within 5 s"))?;
        let (queue, at) = told.ok_or("the pollers are gone")??;
        if queue != number {
            return Err(format!("a poller of queue {queue} got a message of queue {number}").into());
        }
        found.polls.record(at.duration_since(from));
        found.sends.record(sent.duration_since(from));
        // The poller may well be first.
        found.after.record(at.saturating_duration_since(sent));
        tokio::time::sleep(BETWEEN_WAKE_UPS).await;
    }
    Ok(found)
}

fn open_files_max() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
