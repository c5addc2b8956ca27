//! Replays of archives, a step of each at a time, on the thread of the move tasks.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use tsugite_broker::{ReplayBatch, ReplayStep};
use tsugite_engine::{Failure, Unavailable};

use super::Live;
use super::mover::{FULL, RETRY, Stopping};
use crate::log::Log;

/// Between two looks of a replay that has come to the end of its archive, and whose own end lies ahead.
const IDLE: Duration = Duration::from_secs(1);

/// One step of each replay that has something to do. Returns how long to wait for the next; nothing, if there is none.
pub(super) fn round(log: &Log<Live>) -> Result<Option<Duration>, Stopping> {
    let batches = log.peek(|live, _| live.domains.broker.replay_batches());
    let mut pause = None;
    for batch in &batches {
        let wanted = match step(log, batch) {
            None => RETRY,
            Some(Ok(true)) => Duration::ZERO,
            Some(Ok(false)) => IDLE,
            Some(Err(Unavailable::Stopping)) => return Err(Stopping),
            Some(Err(unavailable)) => {
                let subscription = batch.subscription.arn();
                tracing::warn!("the replay to {subscription} waits: {unavailable}");
                FULL
            }
        };
        pause = Some(pause.map_or(wanted, |pause: Duration| pause.min(wanted)));
    }
    Ok(pause)
}

/// Delivers a batch; true if more waits. `None` if the log has no room for a decision now.
fn step(log: &Log<Live>, batch: &ReplayBatch) -> Option<Result<bool, Unavailable>> {
    let read = |place| log.fetch_blocking(&[place]).ok()?.into_iter().next();
    let payloads: Vec<Option<Bytes>> = batch.candidates.iter().map(|(_, place)| read(*place)).collect();
    let step = ReplayStep {
        batch,
        payloads: payloads.iter().map(Option::as_deref).collect(),
    };
    let mut decide =
        Some(|live: &Live, now| Ok::<_, Infallible>(live.domains.broker.replay_step(&step, now)));
    // Nobody waits for the sync: a step that a crash undoes is done again.
    Some(match log.attempt(&mut decide)? {
        Ok((more, _)) => Ok(more),
        Err(Failure::Unavailable(unavailable)) => Err(unavailable),
        Err(Failure::Refused(never)) => match never {},
    })
}
