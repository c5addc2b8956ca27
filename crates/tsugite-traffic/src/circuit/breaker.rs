//! The breaker of one service: admission on the data path, merging on the control path.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use super::gate::{Ended, Gate, Lease};
use super::machine::{Circuit, Wish};
use super::shard::{Kind, Rejected, Shard, Slice, Slices};
use super::window::Batch;
use super::{Override, Rejection, State, Transition};
use crate::classify::Outcome;
use crate::report::CircuitReport;
use crate::settings::CircuitSettings;

/// What a refused call is told when the circuit is half-open: a verdict is near.
const SOON: Duration = Duration::from_secs(1);
/// A client deadline below this many healthy medians says nothing about the service.
const HEALTHY_MEDIANS: u64 = 3;

/// A circuit breaker, shared by all cores. See the module for its two halves.
#[derive(Debug)]
pub struct Breaker {
    name: String,
    gate: Arc<Gate>,
    cores: Box<[Arc<Core>]>,
    /// Locked by the control path and the admin API only.
    circuit: Mutex<Circuit>,
}

/// A core's own part. Tickets hold it, so that no core counts references on another's cache line.
#[derive(Debug)]
struct Core {
    shard: Shard,
    gate: Arc<Gate>,
}

/// The answer to "may this call go?".
#[derive(Debug)]
pub enum Admission {
    /// Yes; report its end through the ticket.
    Go(Ticket),
    /// No.
    Rejected(Rejection),
}

/// A call that was let through.
///
/// Report [`Ticket::responded`] when the response headers (HTTP) or the first message (gRPC) arrive: that is the
/// call's latency. Report [`Ticket::record`] once, when the outcome is known: at the end of the response; on
/// streaming routes at the first message. A ticket dropped without a record is a call whose client left:
/// it is ignored, and a half-open permit goes back.
#[derive(Debug)]
#[must_use = "a dropped ticket is a call whose client left"]
pub struct Ticket {
    started: Mono,
    latency: Option<Duration>,
    paused: bool,
    generation: u32,
    hold: Hold,
    /// `None` if the call is not counted.
    core: Option<Arc<Core>>,
}

/// How a call in flight is followed.
#[derive(Clone, Copy, Debug)]
enum Hold {
    /// Not: it counts when it ends.
    Nothing,
    /// By the slice in which it started.
    Slice(Slice),
    /// It was answered; `true` if it had been counted as slow by then.
    Answered(bool),
    /// By a half-open permit.
    Lease(Lease),
}

impl Breaker {
    /// A closed breaker for `cores` cores. Settings that break a rule are the caller's to refuse
    /// ([`CircuitSettings::check`]); here they do no worse than a useless circuit.
    pub fn new(name: impl Into<String>, settings: CircuitSettings, cores: usize, now: Mono) -> Breaker {
        let circuit = Circuit::new(settings, now);
        let gate = Arc::new(Gate::new(&circuit));
        let slices = Slices::new(gate.slow);
        let core = || {
            Arc::new(Core {
                shard: Shard::new(slices),
                gate: Arc::clone(&gate),
            })
        };
        Breaker {
            name: name.into(),
            cores: (0..cores.max(1)).map(|_| core()).collect(),
            gate,
            circuit: Mutex::new(circuit),
        }
    }

    /// Its name: that of the service, `orders.shop`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The state that calls meet.
    pub fn state(&self) -> State {
        self.gate.read().state
    }

    /// A call slower than this is slow.
    pub fn slow_call_duration(&self) -> Duration {
        self.gate.slow
    }

    /// Asks for a call to go, on core number `core` (any number is safe; distinct ones are fast). `limit` is the time
    /// that the call may take, if there is one: a half-open permit expires one second after it.
    pub fn admit(&self, core: usize, now: Mono, limit: Option<Duration>) -> Admission {
        let core = &self.cores[core % self.cores.len()];
        let published = self.gate.read();
        if published.state != State::Closed {
            return self.admit_guarded(core, now, limit);
        }
        let hold = if self.gate.inflight_slow {
            core.shard.join(now, published.generation)
        } else {
            None
        };
        Admission::Go(Ticket {
            started: now,
            latency: None,
            paused: false,
            generation: published.generation,
            hold: hold.map_or(Hold::Nothing, Hold::Slice),
            core: Some(Arc::clone(core)),
        })
    }

    #[cold]
    fn admit_guarded(&self, core: &Arc<Core>, now: Mono, limit: Option<Duration>) -> Admission {
        let published = self.gate.read();
        let go = |hold, counted: bool| {
            Admission::Go(Ticket {
                started: now,
                latency: None,
                paused: false,
                generation: published.generation,
                hold,
                core: counted.then(|| Arc::clone(core)),
            })
        };
        let (which, retry_after) = match published.state {
            State::Closed => return go(Hold::Nothing, true),
            State::Disabled => return go(Hold::Nothing, false),
            State::Open => (0, self.gate.remaining(now)),
            State::HalfOpen => match self.gate.permits.take(published.generation, now, limit) {
                Some(lease) => return go(Hold::Lease(lease), true),
                None => (1, Some(SOON)),
            },
            State::ForcedOpen => (2, self.gate.remaining(now)),
        };
        if published.observe {
            return go(Hold::Nothing, false);
        }
        core.shard.reject(which);
        Admission::Rejected(Rejection {
            state: published.state,
            reason: published.reason,
            retry_after,
        })
    }

    /// Merges what the cores counted, lets due timers fire, and shows the cores the result. Returns the changes
    /// of state since the last tick. To be called at least every 50 ms while calls are in flight or a deadline
    /// is due; calls from several threads take turns.
    pub fn tick(&self, now: Mono, rng: &mut SplitMix64) -> Vec<Transition> {
        let mut circuit = self.circuit();
        let (_, before) = circuit.transitions();
        let generation = circuit.generation();
        let gate = &*self.gate;
        let mut batch = Batch {
            counts: gate.permits.sweep(now, generation, gate.slow, gate.inflight_slow),
            first_trial: gate.permits.first(generation),
        };
        let (mut medians, mut known) = (0u64, 0u64);
        for core in &self.cores {
            if gate.inflight_slow {
                core.shard.sweep(now, gate.slow, generation);
            }
            batch.counts.add(&core.shard.drain(generation));
            if let Some(median) = core.shard.median() {
                (medians, known) = (medians.saturating_add(median), known + 1);
            }
        }
        gate.median
            .store(medians.checked_div(known).unwrap_or(0), Relaxed);
        circuit.absorb(&batch, now, rng);
        circuit.advance(now, rng);
        gate.publish(&circuit);
        let (transitions, after) = circuit.transitions();
        let new = usize::try_from(after - before)
            .unwrap_or(usize::MAX)
            .min(transitions.len());
        let skip = transitions.len() - new;
        transitions.skip(skip).cloned().collect()
    }

    /// Sets an override until `until` (`None`: until it is lifted). Effective at once; the next tick reports it.
    pub fn set_override(&self, what: Override, until: Option<Mono>, note: impl Into<String>, now: Mono) {
        let wish = Wish {
            what,
            until,
            note: note.into(),
        };
        self.change(|circuit| circuit.set_override(Some(wish), now));
    }

    /// Lifts an override.
    pub fn clear_override(&self, now: Mono) {
        self.change(|circuit| circuit.set_override(None, now));
    }

    /// Closes the circuit, with an empty window and no backoff. An override stays.
    pub fn reset(&self, now: Mono) {
        self.change(|circuit| circuit.reset(now));
    }

    fn change(&self, f: impl FnOnce(&mut Circuit)) {
        let mut circuit = self.circuit();
        f(&mut circuit);
        self.gate.publish(&circuit);
    }

    /// When [`Breaker::tick`] has something to do even without calls; `None` if nothing is due.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.circuit().next_deadline()
    }

    /// The median latency of healthy calls, once there were some.
    pub fn healthy_median(&self) -> Option<Duration> {
        let median = self.gate.median.load(Relaxed);
        (median > 0).then(|| Duration::from_nanos(median))
    }

    /// Everything about the circuit, for the admin API and metrics.
    pub fn report(&self, now: Mono) -> CircuitReport {
        let mut rejected = [0; 3];
        for core in &self.cores {
            for (sum, n) in rejected.iter_mut().zip(core.shard.rejected()) {
                *sum += n;
            }
        }
        let [open, half_open, forced_open] = rejected;
        let rejected = Rejected {
            open,
            half_open,
            forced_open,
        };
        let permits = self.gate.permits.left();
        CircuitReport::new(
            &self.name,
            &mut self.circuit(),
            rejected,
            permits,
            self.healthy_median(),
            now,
        )
    }

    pub(crate) fn has_settings(&self, settings: &CircuitSettings) -> bool {
        self.circuit().settings() == settings
    }

    pub(crate) fn wish(&self) -> Option<Wish> {
        self.circuit().wish().cloned()
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        // A panic in the pure machine leaves it in a state that is at worst stale.
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        if outcome == Outcome::ConnectFailure {
            core.shard.add(Kind::Connect, self.generation, 1);
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
