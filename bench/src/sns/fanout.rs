//! One publish to a hundred queues: deliveries per second, and bytes that reach the disk for them.

use super::goals::{FANOUT, FANOUT_BATCH};
use super::stage::Stage;
use super::{BODY_BYTES, CONNECTIONS, PEERS, body};
use crate::board::Board;
use crate::load::{Pace, drive};
use crate::servers::Tsugite;
use crate::{Options, Result};

const QUEUES: usize = 100;
/// Of the messages whose bytes are counted: what each delivery adds must not hide what the body costs.
const LARGE_BODY_BYTES: usize = 64 * 1024;

pub(super) async fn run(options: &Options, board: &mut Board) -> Result<()> {
    let (text, length) = (body(BODY_BYTES), options.seconds);
    for what in [FANOUT, FANOUT_BATCH] {
        let tsugite = Tsugite::start()?;
        let stage = Stage::set(tsugite.server.address, "bench", QUEUES, |_| Vec::new()).await?;
        let process = &tsugite.server.process;
        let make = |_| match what {
            FANOUT => stage.topic.publisher(&text),
            _ => stage.topic.batch_publisher(&text),
        };
        let measured = stage.measure(process, length, QUEUES as u64, make).await?;
        board.work(what, "tsugite", measured);
    }
    for peer in PEERS.iter().filter(|peer| options.takes(peer.name())) {
        if let Some(why) = peer.missing() {
            board.skipped(peer.title(), &why);
            continue;
        }
        eprintln!("  {}", peer.title());
        let measured = async {
            let server = peer.start()?;
            let stage = Stage::set(server.address, "bench", QUEUES, |_| Vec::new()).await?;
            let make = |_| stage.topic.publisher(&text);
            stage.measure(&server.process, length, QUEUES as u64, make).await
        };
        match measured.await {
            Ok(measured) => board.work(FANOUT, peer.title(), measured),
            Err(error) => board.failed(peer.title(), &*error),
        }
    }
    Ok(())
}

/// Bytes that the log writes for each byte that was accepted.
pub(super) async fn written(options: &Options, board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    let stage = Stage::set(tsugite.server.address, "bench", QUEUES, |_| Vec::new()).await?;
    let text = body(LARGE_BODY_BYTES);
    let clients = (0..CONNECTIONS).map(|_| stage.topic.publisher(&text)).collect();
    let before = tsugite.metric("tsugite_log_bytes_total").await?;
    let (_, outcome) = drive(clients, Pace::Closed, options.seconds).await;
    let accepted = outcome.flawless()?.messages as f64 * LARGE_BODY_BYTES as f64;
    let logged = tsugite.metric("tsugite_log_bytes_total").await? - before;
    board.value("logged", logged / accepted);
    Ok(())
}
