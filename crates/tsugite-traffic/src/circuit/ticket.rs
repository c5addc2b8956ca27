//! A call that was let through: what is reported of it, and how it counts in the end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tsugite_base::Mono;

use super::breaker::Core;
use super::gate::{Ended, Gate, Lease};
use super::shard::{Kind, Slice};
use crate::classify::Outcome;

/// A client deadline below this many healthy medians says nothing about the service.
const HEALTHY_MEDIANS: u64 = 3;

/// A call that was let through.
///
/// Report [`Ticket::responded`] when the response headers (HTTP) or the first message (gRPC) arrive: that is the
/// call's latency. Report [`Ticket::record`] once, when the outcome is known: at the end of the response; on
/// streaming routes at the first message. A ticket dropped without a record is a call whose client left:
/// it is ignored, and a half-open permit goes back.
#[derive(Debug)]
#[must_use = "a dropped ticket is a call whose client left"]
pub struct Ticket {
    pub(super) started: Mono,
    pub(super) latency: Option<Duration>,
    pub(super) paused: bool,
    pub(super) generation: u32,
    pub(super) hold: Hold,
    /// `None` if the call is not counted.
    pub(super) core: Option<Arc<Core>>,
}

/// How a call in flight is followed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hold {
    /// Not: it counts when it ends.
    Nothing,
    /// By the slice in which it started.
    Slice(Slice),
    /// It was answered; `true` if it had been counted as slow by then.
    Answered(bool),
    /// By a half-open permit.
    Lease(Lease),
}

impl Ticket {
    /// When the call was admitted.
    pub const fn started(&self) -> Mono {
        self.started
    }

    /// The request is not complete yet, and slowness is to be measured from then (gRPC): until [`Ticket::resume`] the
    /// call cannot become slow, for it waits for its client.
    pub fn pause(&mut self) {
        let Some(core) = &self.core else { return };
        if self.latency.is_some() {
            return;
        }
        self.paused = true;
        match self.hold {
            Hold::Slice(slice) => {
                let marked = core.shard.leave(slice);
                self.hold = if marked {
                    Hold::Answered(true)
                } else {
                    Hold::Nothing
                };
            }
            Hold::Lease(lease) => core.gate.permits.pause(lease),
            Hold::Nothing | Hold::Answered(_) => {}
        }
    }

    /// The request is complete: the call's clock starts anew.
    pub fn resume(&mut self, now: Mono) {
        let Some(core) = &self.core else { return };
        if self.latency.is_some() || !std::mem::take(&mut self.paused) {
            return;
        }
        self.started = now;
        match self.hold {
            Hold::Nothing if core.gate.inflight_slow => {
                let hold = core.shard.join(now, self.generation);
                self.hold = hold.map_or(Hold::Nothing, Hold::Slice);
            }
            Hold::Lease(lease) => self.hold = Hold::Lease(core.gate.permits.resume(lease, now)),
            Hold::Nothing | Hold::Slice(_) | Hold::Answered(_) => {}
        }
    }

    /// The response headers (HTTP) or the first message or trailers (gRPC) arrived. The first report counts.
    pub fn responded(&mut self, now: Mono) {
        if self.latency.is_some() {
            return;
        }
        self.latency = Some(self.latency_at(now));
        let Some(core) = &self.core else { return };
        match self.hold {
            Hold::Slice(slice) => self.hold = Hold::Answered(core.shard.leave(slice)),
            Hold::Lease(lease) => core.gate.permits.answered(lease),
            Hold::Nothing | Hold::Answered(_) => {}
        }
    }

    /// The outcome is known.
    pub fn record(mut self, outcome: Outcome, now: Mono) {
        let latency = self.latency.unwrap_or_else(|| self.latency_at(now));
        self.finish(outcome, Some(latency));
    }

    /// None at all if the service answered before the request was complete.
    fn latency_at(&self, now: Mono) -> Duration {
        if self.paused {
            Duration::ZERO
        } else {
            now.since(self.started)
        }
    }

    fn finish(&mut self, outcome: Outcome, latency: Option<Duration>) {
        let Some(core) = self.core.take() else { return };
        let gate = &*core.gate;
        let marked = match self.hold {
            Hold::Nothing => false,
            Hold::Answered(marked) => marked,
            Hold::Slice(slice) => core.shard.leave(slice),
            Hold::Lease(lease) => match gate.permits.end(lease) {
                Ended::InTime(marked) => marked,
                Ended::Expired => return,
            },
        };
        let slow = latency.is_some_and(|l| l >= gate.slow);
        let outcome = judge_deadline(outcome, gate);
        let kind = kind(outcome, slow, marked);
        core.shard.add(kind, self.generation, 1);
        let connect = outcome == Outcome::ConnectFailure;
        if connect {
            core.shard.add(Kind::Connect, self.generation, 1);
        }
        match kind {
            Kind::Success | Kind::SlowSuccess | Kind::LateSuccess => gate.rows.end(self.generation),
            Kind::Failure | Kind::SlowFailure | Kind::LateFailure => {
                gate.rows.add(self.generation, connect);
            }
            _ => {}
        }
        if let (Kind::Success, Some(latency), false) = (kind, latency, self.paused) {
            core.shard.observe_healthy(latency);
        }
        if let Hold::Lease(_) = self.hold {
            gate.permits.release(self.generation, kind == Kind::Ignored);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.finish(Outcome::Ignored, self.latency);
    }
}

/// Settles what a client's deadline means.
fn judge_deadline(outcome: Outcome, gate: &Gate) -> Outcome {
    let Outcome::ClientDeadline { allowed } = outcome else {
        return outcome;
    };
    let bar = match gate.median.load(Relaxed) {
        0 => gate.slow,
        median => Duration::from_nanos(median.saturating_mul(HEALTHY_MEDIANS)),
    };
    if allowed < bar {
        Outcome::Ignored
    } else {
        Outcome::Timeout
    }
}

fn kind(outcome: Outcome, slow: bool, marked: bool) -> Kind {
    use Outcome::{ClientDeadline, ConnectFailure, Failure, Ignored, Overload, Success, Timeout};
    match (outcome, marked) {
        (Success, true) => Kind::LateSuccess,
        (Ignored | ClientDeadline { .. }, true) => Kind::LateIgnored,
        (Failure | ConnectFailure | Timeout | Overload, true) => Kind::LateFailure,
        (Success, false) if slow => Kind::SlowSuccess,
        (Success, false) => Kind::Success,
        (Failure | ConnectFailure, false) if slow => Kind::SlowFailure,
        (Failure | ConnectFailure, false) => Kind::Failure,
        (Timeout, false) => Kind::SlowFailure,
        (Overload, false) => Kind::Overload,
        // The client waited past the threshold before it left: slow, though nobody knows whether it failed.
        (Ignored | ClientDeadline { .. }, false) if slow => Kind::SlowSuccess,
        (Ignored | ClientDeadline { .. }, false) => Kind::Ignored,
    }
}
