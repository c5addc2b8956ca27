//! A queue with millions of messages: what they weigh, whether they slow receives down, and how long a start after
//! `kill -9` takes.

use std::time::{Duration, Instant};

use super::{BODY_BYTES, CONNECTIONS, settle};
use crate::board::Board;
use crate::load::drive_through;
use crate::load::sqs::Queue;
use crate::servers::Tsugite;
use crate::{Options, Result};

/// Messages that are drained to compare rates; both queues give as many.
const DRAINED: u64 = 100_000;
/// Messages of each group.
const PER_GROUP: u64 = 10;
/// Longest that filling or draining may take.
const LIMIT: Duration = Duration::from_secs(1_200);

/// What is measured of one kind of queue.
struct Names {
    is_fifo: bool,
    rss: &'static str,
    rate: &'static str,
    ready: &'static str,
    receive: &'static str,
}

pub(super) async fn run(options: &Options, board: &mut Board) -> Result<()> {
    let standard = Names {
        is_fifo: false,
        rss: "standard RSS",
        rate: "standard rate",
        ready: "standard ready",
        receive: "standard receive",
    };
    let fifo = Names {
        is_fifo: true,
        rss: "FIFO RSS",
        rate: "FIFO rate",
        ready: "FIFO ready",
        receive: "FIFO receive",
    };
    for names in [standard, fifo] {
        let title = if names.is_fifo {
            "stored, FIFO"
        } else {
            "stored, standard"
        };
        if let Err(error) = one_kind(&names, options.stored, board).await {
            board.failed(title, &*error);
        }
    }
    Ok(())
}

async fn one_kind(names: &Names, stored: u64, board: &mut Board) -> Result<()> {
    let drained = DRAINED.min(stored / 2);
    let tsugite = Tsugite::start()?;
    let small = filled(&tsugite, names, "small", drained).await?;
    let rate_alone = drain(&small, drained).await?;
    let begin = Instant::now();
    let large = filled(&tsugite, names, "large", stored).await?;
    eprintln!("  {stored} messages sent in {:.1?}", begin.elapsed());
    settle().await;
    board.value(names.rss, tsugite.server.process.rss_mb());
    let rate = drain(&large, drained).await?;
    eprintln!("  drained {rate:.0}/s, the small queue {rate_alone:.0}/s");
    board.value(names.rate, rate / rate_alone);

    let begin = Instant::now();
    let tsugite = tsugite.kill_and_start()?;
    board.value(names.ready, begin.elapsed().as_secs_f64());
    let mut consumer = large.consumer();
    while consumer.receive().await? == 0 {
        if begin.elapsed() > LIMIT {
            return Err("nothing could be received after the restart".into());
        }
    }
    board.value(names.receive, begin.elapsed().as_secs_f64());
    drop(tsugite);
    Ok(())
}

async fn filled(tsugite: &Tsugite, names: &Names, name: &str, messages: u64) -> Result<Queue> {
    let address = tsugite.server.address;
    let queue = if names.is_fifo {
        Queue::fifo(address, name, messages.div_ceil(PER_GROUP)).await?
    } else {
        Queue::standard(address, name).await?
    };
    let body = "x".repeat(BODY_BYTES);
    let clients = (0..CONNECTIONS).map(|_| queue.batch_sender(&body)).collect();
    drive_through(clients, messages, LIMIT).await?;
    Ok(queue)
}

/// Messages received and deleted per second while so many are.
async fn drain(queue: &Queue, messages: u64) -> Result<f64> {
    let clients = (0..CONNECTIONS).map(|_| queue.consumer()).collect();
    Ok(drive_through(clients, messages, LIMIT).await?.per_second())
}
