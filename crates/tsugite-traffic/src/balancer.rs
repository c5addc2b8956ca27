//! Choosing an endpoint: power of two choices by peak-EWMA latency.
//!
//! Of two random endpoints the one with the lower cost takes the call. The cost is `rtt · (pending + 1) / weight`,
//! where `rtt` follows a slower answer at once and forgets it over ten seconds: an endpoint that turns slow is
//! left alone quickly and tried again gradually. A failure counts as a very slow answer.

use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use crate::table::{Endpoint, Service, Slot};

/// Time over which a latency is forgotten to a share of 1/e.
const DECAY: Duration = Duration::from_secs(10);
/// Latency of an endpoint about which nothing is known, when nothing is known of its service either.
const UNKNOWN: Duration = Duration::from_secs(1);
/// What a failure counts as, if the service gave no hint.
const PENALTY: Duration = Duration::from_secs(5);
/// The longest hint (Retry-After) that is believed.
const LONGEST_HINT: Duration = Duration::from_secs(300);

/// The balancing state of one core. Endpoints keep theirs across tables by the slots that the
/// [`crate::Roster`] gives them.
#[derive(Debug, Default)]
pub struct Balancer {
    loads: Vec<Load>,
}

/// What a core knows about an endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    serial: u64,
    /// Nanoseconds, as of `at`.
    rtt: f64,
    at: Mono,
    pending: u32,
}

/// A chosen endpoint. Give it back with [`Balancer::succeeded`], [`Balancer::failed`] or [`Balancer::abandoned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a pick that is never given back makes its endpoint look busy for ever"]
pub struct Pick {
    /// Index in [`Service::endpoints`] of the service that was passed in.
    pub index: usize,
    slot: Slot,
    started: Mono,
}

impl Balancer {
    /// A balancer that knows nothing.
    pub fn new() -> Balancer {
        Balancer::default()
    }

    /// Chooses an endpoint of `service`, not one of `exclude` (indices) as long as there is another.
    /// `None` if the service has no endpoint.
    pub fn pick(
        &mut self,
        service: &Service,
        exclude: &[usize],
        now: Mono,
        rng: &mut SplitMix64,
    ) -> Option<Pick> {
        let index = self.choose(&service.endpoints, exclude, now, rng)?;
        let slot = service.endpoints[index].slot;
        let load = self.load(slot, &service.endpoints, now);
        load.pending += 1;
        Some(Pick {
            index,
            slot,
            started: now,
        })
    }

    fn choose(
        &mut self,
        endpoints: &[Endpoint],
        exclude: &[usize],
        now: Mono,
        rng: &mut SplitMix64,
    ) -> Option<usize> {
        if endpoints.len() <= 1 {
            return (!endpoints.is_empty()).then_some(0);
        }
        let usable = |at: usize| endpoints[at].weight > 0 && !exclude.contains(&at);
        // Almost always every endpoint is usable, and two draws suffice.
        let first = rng.below(endpoints.len() as u64) as usize;
        let second = (first + 1 + rng.below(endpoints.len() as u64 - 1) as usize) % endpoints.len();
        if usable(first) && usable(second) {
            return Some(self.cheaper(endpoints, first, second, now));
        }
        let some = |test: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (0..endpoints.len()).filter(|&at| test(at)).collect()
        };
        let mut left = some(&usable);
        if left.is_empty() {
            left = some(&|at| !exclude.contains(&at));
        }
        if left.is_empty() {
            left = some(&|_| true);
        }
        let first = rng.below(left.len() as u64) as usize;
        if left.len() == 1 {
            return Some(left[0]);
        }
        let second = (first + 1 + rng.below(left.len() as u64 - 1) as usize) % left.len();
        Some(self.cheaper(endpoints, left[first], left[second], now))
    }

    fn cheaper(&mut self, endpoints: &[Endpoint], a: usize, b: usize, now: Mono) -> usize {
        let mut cost = |at: usize| {
            let endpoint = &endpoints[at];
            let load = self.load(endpoint.slot, endpoints, now);
            load.rtt_at(now) * f64::from(load.pending + 1) / f64::from(endpoint.weight.max(1))
        };
        if cost(b) < cost(a) { b } else { a }
    }

    /// The load of `slot`, seeded with the median of its peers if it is new here.
    fn load(&mut self, slot: Slot, peers: &[Endpoint], now: Mono) -> &mut Load {
        let at = slot.index as usize;
        if self.loads.len() <= at {
            self.loads.resize(at + 1, Load::default());
        }
        if self.loads[at].serial != slot.serial {
            let rtt = self.seed(peers, now);
            self.loads[at] = Load {
                serial: slot.serial,
                rtt,
                at: now,
                pending: 0,
            };
        }
        &mut self.loads[at]
    }

    fn seed(&self, peers: &[Endpoint], now: Mono) -> f64 {
        let known = |e: &Endpoint| {
            let load = self.loads.get(e.slot.index as usize)?;
            (load.serial == e.slot.serial && e.slot.serial != 0).then(|| load.rtt_at(now))
        };
        let mut known: Vec<f64> = peers.iter().filter_map(known).collect();
        known.sort_by(f64::total_cmp);
        known
            .get(known.len() / 2)
            .copied()
            .unwrap_or(UNKNOWN.as_nanos() as f64)
    }

    /// The call was answered: its latency is the time since the pick.
    pub fn succeeded(&mut self, pick: Pick, now: Mono) {
        let rtt = now.since(pick.started);
        if let Some(load) = self.end(pick) {
            load.observe(rtt, now);
        }
    }

    /// The call failed. `hint` is the service's own wish (Retry-After), at most 300 s of which are believed.
    pub fn failed(&mut self, pick: Pick, hint: Option<Duration>, now: Mono) {
        let penalty = hint.unwrap_or_default().min(LONGEST_HINT).max(PENALTY);
        if let Some(load) = self.end(pick) {
            load.observe(penalty, now);
        }
    }

    /// The call ended without saying anything about the endpoint: the client left.
    pub fn abandoned(&mut self, pick: Pick) {
        self.end(pick);
    }

    /// Calls upstream on this core to the endpoint.
    pub fn pending(&self, endpoint: &Endpoint) -> u32 {
        self.known(endpoint.slot).map_or(0, |load| load.pending)
    }

    fn known(&self, slot: Slot) -> Option<&Load> {
        self.loads
            .get(slot.index as usize)
            .filter(|load| load.serial == slot.serial)
    }

    fn end(&mut self, pick: Pick) -> Option<&mut Load> {
        let load = self.loads.get_mut(pick.slot.index as usize)?;
        if load.serial != pick.slot.serial {
            return None; // The endpoint is gone and its slot in other use.
        }
        load.pending = load.pending.saturating_sub(1);
        Some(load)
    }
}

impl Load {
    fn rtt_at(&self, now: Mono) -> f64 {
        self.rtt * decay(now.since(self.at))
    }

    /// A peak is taken over at once, a lower value weighs in by the time that has passed.
    fn observe(&mut self, rtt: Duration, now: Mono) {
        let (new, old) = (rtt.as_nanos() as f64, self.rtt_at(now));
        let keep = decay(now.since(self.at));
        self.rtt = if new > old {
            new
        } else {
            self.rtt * keep + new * (1.0 - keep)
        };
        self.at = self.at.max(now);
    }
}

fn decay(passed: Duration) -> f64 {
    (-passed.as_secs_f64() / DECAY.as_secs_f64()).exp()
}
