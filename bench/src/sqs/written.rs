//! Bytes that reach the disk for each byte of accepted bodies, while as much is consumed as produced.

use super::board::Board;
use super::servers::Tsugite;
use super::{CONNECTIONS, Result};
use crate::Options;
use crate::load::http1::Http1;
use crate::load::sqs::Queue;
use crate::load::{Pace, drive};

const BODY_BYTES: usize = 1024;
/// Messages of one call's batch.
const BATCH: u64 = 10;
/// Measurements' worth of time: segments must fill and be cleaned meanwhile.
const LENGTHS: u32 = 4;

pub(super) async fn run(options: &Options, board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    let queue = Queue::standard(tsugite.server.address, "bench").await?;
    let body = "x".repeat(BODY_BYTES);
    let clients = (0..CONNECTIONS).map(|_| queue.cycle(&body)).collect();
    let (clients, warm) = drive(clients, Pace::Closed, options.seconds).await;
    warm.flawless()?;
    let before = counts(&tsugite).await?;
    let (_, outcome) = drive(clients, Pace::Closed, options.seconds * LENGTHS).await;
    let after = counts(&tsugite).await?;
    let outcome = outcome.flawless()?;
    let accepted = (outcome.latencies.count() * BATCH * BODY_BYTES as u64) as f64;
    board.value("written", (after.0 - before.0) / accepted);
    board.value("logged", (after.1 - before.1) / accepted);
    Ok(())
}

/// Bytes written so far: by the kernel's count of pages, and by the log's of records.
async fn counts(tsugite: &Tsugite) -> Result<(f64, f64)> {
    let admin = tsugite.admin()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    let mut connection = Http1::new(admin);
    let metrics = std::str::from_utf8(connection.exchange(request.as_bytes()).await?)?;
    let logged = metrics
        .lines()
        .find_map(|line| line.strip_prefix("tsugite_log_bytes_total ")?.trim().parse().ok());
    let logged = logged.ok_or("no tsugite_log_bytes_total among the metrics")?;
    Ok((tsugite.server.process.written_bytes()?, logged))
}
