//! Bytes that reach the disk for each byte of accepted bodies, while as much is consumed as produced.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::CONNECTIONS;
use crate::board::Board;
use crate::load::sqs::Queue;
use crate::load::{Pace, drive};
use crate::peers::repository;
use crate::servers::Tsugite;
use crate::{Options, Result};

const BODY_BYTES: usize = 1024;
/// Messages of one call's batch.
const BATCH: u64 = 10;
/// Bytes of log before the steady state: until then new files are made, later on old ones serve again.
const WARM_BYTES: f64 = 1024.0 * 1024.0 * 1024.0;
/// Measurements' worth of time: segments must fill and be cleaned meanwhile.
const LENGTHS: u32 = 4;

pub(super) async fn run(options: &Options, board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    let queue = Queue::standard(tsugite.server.address, "bench").await?;
    let body = "x".repeat(BODY_BYTES);
    let mut clients = (0..CONNECTIONS).map(|_| queue.cycle(&body)).collect();
    let before = loop {
        let (back, warm) = drive(clients, Pace::Closed, options.seconds).await;
        warm.flawless()?;
        clients = back;
        let counts = counts(&tsugite).await?;
        if counts.log >= WARM_BYTES {
            break counts;
        }
    };
    let (_, outcome) = drive(clients, Pace::Closed, options.seconds * LENGTHS).await;
    let after = counts(&tsugite).await?;
    let outcome = outcome.flawless()?;
    let accepted = (outcome.latencies.count() * BATCH * BODY_BYTES as u64) as f64;
    for (name, before, after) in [
        ("device", before.device, after.device),
        ("written", before.process, after.process),
        ("logged", before.log, after.log),
    ] {
        board.value(name, (after - before) / accepted);
    }
    Ok(())
}

/// Bytes written so far.
struct Counts {
    /// By the disk, for whoever wrote: true on a quiet machine.
    device: f64,
    /// As the kernel counts for the process: pages as they get dirty, a large page whole however little of it changed.
    process: f64,
    /// As the log counts its frames, without what is written ahead to reserve space.
    log: f64,
}

async fn counts(tsugite: &Tsugite) -> Result<Counts> {
    let log = tsugite.metric("tsugite_log_bytes_total").await?;
    let process = tsugite.server.process.written_bytes()?;
    let device = written_by_device()?;
    Ok(Counts { device, process, log })
}

/// Bytes that the disk under the target folder has written, after it was asked to write what it still holds back.
fn written_by_device() -> Result<f64> {
    Command::new("sync").status()?;
    let device = std::fs::metadata(repository())?.dev();
    let (major, minor) = (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xf_ff00),
    );
    let path = format!("/sys/dev/block/{major}:{minor}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // The seventh field counts sectors, which are of 512 bytes here whatever the disk's are.
    let sectors = stat
        .split_whitespace()
        .nth(6)
        .and_then(|field| field.parse::<f64>().ok());
    Ok(sectors.ok_or_else(|| format!("{path}: no sectors written"))? * 512.0)
}
