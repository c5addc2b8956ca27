//! The breaker of a service or an endpoint: admission on the data path, merging on the control path.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use super::gate::Gate;
use super::machine::{Circuit, Wish};
use super::shard::{Rejected, Shard, Slices};
use super::ticket::{Hold, Ticket};
use super::window::{Batch, Counts, Rates};
use super::{Override, Reason, Rejection, State, Transition};
use crate::report::CircuitReport;
use crate::settings::CircuitSettings;

/// What a refused call is told when the circuit is half-open: a verdict is near.
const SOON: Duration = Duration::from_secs(1);

/// A circuit breaker of a service or an endpoint, shared by all cores. See the module for its two halves.
#[derive(Debug)]
pub struct Breaker {
    name: String,
    gate: Arc<Gate>,
    cores: Box<[Arc<Core>]>,
    /// Locked by the control path and the admin API only.
    judge: Mutex<Judge>,
}

/// The pure machine, and how many of its changes of state were reported.
#[derive(Debug)]
struct Judge {
    circuit: Circuit,
    reported: u64,
}

/// How an endpoint stands with its circuit when one is to be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// It takes calls, for this share of its weight.
    Takes(f64),
    /// It waits for a trial call.
    Trial,
    /// It is ejected: only for want of any other.
    Ejected,
    /// An operator holds it open, or it has as many calls as it may have: not at all.
    Held,
}

/// A core's own part. Tickets hold it, so that no core counts references on another's cache line.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) shard: Shard,
    pub(super) gate: Arc<Gate>,
}

/// The answer to "may this call go?".
#[derive(Debug)]
pub enum Admission {
    /// Yes; report its end through the ticket.
    Go(Ticket),
    /// No.
    Rejected(Rejection),
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
            judge: Mutex::new(Judge { circuit, reported: 0 }),
        }
    }

    /// Its name: that of the service, `orders.shop`, with that of the instance behind it, `orders.shop/i-1`.
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
    /// of state since the last tick, by whoever made them. To be called at least every 50 ms while calls are in flight
    /// or a deadline is due; calls from several threads take turns.
    pub fn tick(&self, now: Mono, rng: &mut SplitMix64) -> Vec<Transition> {
        let reason = self.merge(now, rng);
        self.settle(reason, now, rng)
    }

    /// The first half of a tick: merges what the cores counted. Says why a closed circuit should open now.
    pub(crate) fn merge(&self, now: Mono, rng: &mut SplitMix64) -> Option<Reason> {
        let mut judge = self.judge();
        let generation = judge.circuit.generation();
        let gate = &*self.gate;
        let mut batch = Batch {
            counts: gate.permits.sweep(now, generation, gate.slow, gate.inflight_slow),
            first_trial: gate.permits.first(generation),
            row: gate.rows.tripped(generation),
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
        if let Some(median) = medians.checked_div(known) {
            gate.median.store(median, Relaxed);
        }
        judge.circuit.take_in(&batch, now, rng)
    }

    /// The second half of a tick: opens the circuit if there is a `reason`, lets due timers fire, and shows the result.
    pub(crate) fn settle(&self, reason: Option<Reason>, now: Mono, rng: &mut SplitMix64) -> Vec<Transition> {
        let mut judge = self.judge();
        if let Some(reason) = reason {
            judge.circuit.trip(reason, now, rng);
        }
        judge.circuit.advance(now, rng);
        self.gate.publish(&judge.circuit);
        let (transitions, count) = judge.circuit.transitions();
        let new = usize::try_from(count - judge.reported).unwrap_or(usize::MAX);
        let old = transitions.len().saturating_sub(new);
        let new = transitions.skip(old).cloned().collect();
        judge.reported = count;
        new
    }

    /// A row of failures that reached its limit is not to open the circuit: it begins again.
    pub(crate) fn spare(&self) {
        self.gate.rows.clear();
    }

    /// What the choice of an endpoint must know of its circuit.
    pub fn standing(&self, now: Mono) -> Standing {
        let published = self.gate.read();
        match published.state {
            State::ForcedOpen => Standing::Held,
            State::Closed if self.gate.rows.tripped(published.generation).is_some() => {
                if published.observe {
                    Standing::Takes(1.0)
                } else {
                    Standing::Ejected
                }
            }
            State::Closed => Standing::Takes(self.gate.warmth(now)),
            State::Disabled => Standing::Takes(1.0),
            State::Open | State::HalfOpen if published.observe => Standing::Takes(1.0),
            State::HalfOpen if self.gate.permits.available(published.generation) => Standing::Trial,
            State::Open | State::HalfOpen => Standing::Ejected,
        }
    }

    /// Whether calls flow, by the circuit's own judgement or an operator's wish.
    pub(crate) fn is_available(&self) -> bool {
        let published = self.gate.read();
        published.observe || matches!(published.state, State::Closed | State::Disabled)
    }

    /// The median of the healthy calls since this was asked last; `None` if there were none.
    pub(crate) fn take_median(&self) -> Option<Duration> {
        let medians = || self.cores.iter().filter_map(|core| core.shard.median());
        let (sum, known) = medians().fold((0u64, 0), |(sum, n), m| (sum.saturating_add(m), n + 1));
        for core in &self.cores {
            core.shard.forget_median();
        }
        sum.checked_div(known).map(Duration::from_nanos)
    }

    /// All outcomes ever taken in.
    pub(crate) fn totals(&self) -> Counts {
        *self.judge().circuit.totals()
    }

    /// Shares of failed and slow calls now: how bad it is.
    pub(crate) fn rates(&self, now: Mono) -> Rates {
        self.judge().circuit.rates(now)
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
        let mut judge = self.judge();
        f(&mut judge.circuit);
        self.gate.publish(&judge.circuit);
    }

    /// When [`Breaker::tick`] has something to do even without calls; `None` if nothing is due.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.judge().circuit.next_deadline()
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
            &mut self.judge().circuit,
            rejected,
            permits,
            self.healthy_median(),
            now,
        )
    }

    pub(crate) fn has_settings(&self, settings: &CircuitSettings) -> bool {
        self.judge().circuit.settings() == settings
    }

    pub(crate) fn wish(&self) -> Option<Wish> {
        self.judge().circuit.wish().cloned()
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        // A panic in the pure machine leaves it in a state that is at worst stale.
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
