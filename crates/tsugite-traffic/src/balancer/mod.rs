//! Choosing an endpoint, by the service's [`Policy`]; power of two choices by peak-EWMA latency unless it says otherwise.
//!
//! Of two random endpoints the one with the lower cost takes the call. The cost is `rtt · (pending + 1) / weight`,
//! where `rtt` follows a slower answer at once and forgets it over ten seconds: an endpoint that turns slow is
//! left alone quickly and tried again gradually. A failure counts as a very slow answer.
//!
//! Whatever the policy, an endpoint that is ejected is passed over, one that waits for its trial call takes the first
//! call that comes by, and one that is new or came back begins with a tenth of its share.

use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use crate::circuit::{Admission, Ticket};
use crate::limits::Entry;
use crate::table::{Endpoint, Service, Slot};

mod field;
pub(crate) mod hash;
mod policy;

use field::{Candidate, Field};
pub use hash::hash_of;
pub(crate) use policy::Plan;
pub use policy::{Balance, Key, Policy};

/// Time over which a latency is forgotten to a share of 1/e.
const DECAY: Duration = Duration::from_secs(10);
/// Least latency that is told apart: after hours without calls, pending calls still weigh.
const LEAST_NANOS: f64 = 1_000.0;
/// What a failure counts as, if the service gave no hint.
const PENALTY: Duration = Duration::from_secs(5);
/// Draws at random before all endpoints are looked at.
const DRAWS: usize = 6;
/// Times that round robin goes round before it gives up.
const TURNS: usize = 16;
/// What is enough of a call: a little less than one, for sums of shares are not exact.
const ENOUGH: f64 = 1.0 - 1e-9;
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
    /// Whether `rtt` was ever measured.
    measured: bool,
    /// Nanoseconds, as of `at`.
    rtt: f64,
    at: Mono,
    /// Until then the endpoint asked to be left alone.
    held: Mono,
    pending: u32,
    /// Round robin: what an endpoint has saved of a call,
    saved: f64,
    /// and whose turn it is, in the load of a service.
    cursor: u32,
}

/// What a call asks of the choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Indices of endpoints to take only for want of others: those that failed this call before.
    pub exclude: &'a [usize],
    /// What decides where the policy is by hash. Without it such a policy takes the cheaper of two.
    pub hash: Option<u64>,
    /// The time that the call may take, if there is a limit.
    pub limit: Option<Duration>,
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

/// An endpoint that was chosen, and asked.
#[derive(Debug)]
pub struct Chosen {
    /// The endpoint.
    pub pick: Pick,
    /// From its circuit; `None` if the call is not counted, for ejection is off or an ejected endpoint is taken for want of
    /// any other.
    pub ticket: Option<Ticket>,
    /// Its place at the endpoint, if their number is limited.
    pub entry: Option<Entry>,
}

impl Balancer {
    /// A balancer that knows nothing.
    pub fn new() -> Balancer {
        Balancer::default()
    }

    /// Chooses an endpoint of `service`, not one of `exclude` (indices) as long as there is another.
    /// `None` if the service has no endpoint that may take calls.
    pub fn pick(
        &mut self,
        service: &Service,
        exclude: &[usize],
        now: Mono,
        rng: &mut SplitMix64,
    ) -> Option<Pick> {
        let wanted = Wanted {
            exclude,
            ..Wanted::default()
        };
        let index = self.choose(service, &wanted, true, now, rng)?;
        Some(self.begin(service, index, now))
    }

    /// As [`Balancer::pick`], and asks the circuit of the endpoint, on core number `core`, and its limit.
    pub fn take(
        &mut self,
        service: &Service,
        wanted: &Wanted<'_>,
        core: usize,
        now: Mono,
        rng: &mut SplitMix64,
    ) -> Option<Chosen> {
        let mut index = self.choose(service, wanted, true, now, rng)?;
        let ask = |index| match service.circuit(index)?.admit(core, now, wanted.limit) {
            Admission::Go(ticket) => Some(ticket),
            Admission::Rejected(_) => None,
        };
        let mut ticket = ask(index);
        if ticket.is_none() && service.circuit(index).is_some() {
            // Another core took the one permit of a trial, or the circuit opened in this moment.
            index = self.choose(service, wanted, false, now, rng)?;
            ticket = ask(index);
        }
        // Should another core have taken the last place in this moment, there is none for this call.
        let entry = service.enter_endpoint(index).ok()?;
        Some(Chosen {
            pick: self.begin(service, index, now),
            ticket,
            entry,
        })
    }

    fn begin(&mut self, service: &Service, index: usize, now: Mono) -> Pick {
        let slot = service.endpoints[index].slot;
        self.load(slot).pending += 1;
        Pick {
            index,
            slot,
            started: now,
        }
    }

    fn choose(
        &mut self,
        service: &Service,
        wanted: &Wanted<'_>,
        trials: bool,
        now: Mono,
        rng: &mut SplitMix64,
    ) -> Option<usize> {
        let field = Field {
            service,
            exclude: wanted.exclude,
            trials,
            now,
        };
        match service.endpoints.len() {
            0 => return None,
            1 => return field.last_resort(rng),
            _ => {}
        }
        let chosen = match (service.balance().policy, wanted.hash) {
            (Policy::RoundRobin, _) => self.next_in_turn(&field),
            (Policy::Random, _) => field.draw(rng),
            (Policy::RingHash | Policy::Maglev, Some(hash)) => field.by_hash(hash),
            (policy, _) => self.two_choices(&field, policy == Policy::LeastRequest, rng),
        };
        chosen.or_else(|| field.last_resort(rng))
    }

    /// Of two endpoints drawn at random, the one with the lower cost.
    fn two_choices(&mut self, field: &Field<'_>, by_count: bool, rng: &mut SplitMix64) -> Option<usize> {
        let n = field.len() as u64;
        let mut first: Option<(usize, f64)> = None;
        let mut at = rng.below(n) as usize;
        // Almost always every endpoint takes calls, and two draws suffice.
        for _ in 0..DRAWS {
            match (field.candidate(at), first) {
                (Candidate::Trial, _) => return Some(at),
                (Candidate::Takes(share), None) => first = Some((at, share)),
                (Candidate::Takes(share), Some(one)) if one.0 != at => {
                    return Some(self.cheaper(field, one, (at, share), by_count));
                }
                _ => {}
            }
            at = (at + 1 + rng.below(n - 1) as usize) % field.len();
        }
        let one = first.or_else(|| field.nth_that_takes(None, rng))?;
        match field.nth_that_takes(Some(one.0), rng) {
            Some(other) => Some(self.cheaper(field, one, other, by_count)),
            None => Some(one.0),
        }
    }

    /// An endpoint of which nothing is known yet is taken to be as fast as its rival: it gets its share, but, by
    /// its pending calls, not more before it has answered.
    fn cheaper(&mut self, field: &Field<'_>, a: (usize, f64), b: (usize, f64), by_count: bool) -> usize {
        let endpoints = &field.service.endpoints;
        let (x, y) = (*self.load(endpoints[a.0].slot), *self.load(endpoints[b.0].slot));
        let known = |mine: &Load, rival: &Load| match (mine.measured, rival.measured) {
            _ if by_count => LEAST_NANOS,
            (true, _) => mine.rtt_at(field.now),
            (false, true) => rival.rtt_at(field.now),
            (false, false) => LEAST_NANOS,
        };
        let cost =
            |load: &Load, rtt: f64, share: f64| rtt.max(LEAST_NANOS) * f64::from(load.pending + 1) / share;
        let (cost_a, cost_b) = (cost(&x, known(&x, &y), a.1), cost(&y, known(&y, &x), b.1));
        if cost_b < cost_a { b.0 } else { a.0 }
    }

    /// The next endpoint in turn. Those of less weight are passed over until they have saved up for a call.
    fn next_in_turn(&mut self, field: &Field<'_>) -> Option<usize> {
        let n = field.len();
        let heaviest = f64::from(field.service.heaviest());
        for _ in 0..TURNS * n {
            let cursor = &mut self.load(field.service.slot).cursor;
            let at = *cursor as usize % n;
            *cursor = cursor.wrapping_add(1);
            match field.candidate(at) {
                Candidate::Trial => return Some(at),
                Candidate::Takes(share) => {
                    let load = self.load(field.service.endpoints[at].slot);
                    load.saved += share / heaviest;
                    if load.saved >= ENOUGH {
                        load.saved -= 1.0;
                        return Some(at);
                    }
                }
                Candidate::Passed => {}
            }
        }
        None
    }

    /// The load of `slot`, blank if the slot had another owner before.
    fn load(&mut self, slot: Slot) -> &mut Load {
        let at = slot.index as usize;
        if self.loads.len() <= at {
            self.loads.resize(at + 1, Load::default());
        }
        if self.loads[at].serial != slot.serial {
            self.loads[at] = Load {
                serial: slot.serial,
                ..Load::default()
            };
        }
        &mut self.loads[at]
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
        let hint = hint.unwrap_or_default().min(LONGEST_HINT);
        if let Some(load) = self.end(pick) {
            load.observe(PENALTY.max(hint), now);
            load.held = load.held.max(now + hint);
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
        let held = self.held.since(now).as_nanos() as f64;
        (self.rtt * decay(now.since(self.at))).max(held)
    }

    /// A peak is taken over at once, as is the first value; a lower one weighs in by the time that has passed.
    fn observe(&mut self, rtt: Duration, now: Mono) {
        let (new, old) = (rtt.as_nanos() as f64, self.rtt_at(now));
        let keep = decay(now.since(self.at));
        self.rtt = if new > old || !self.measured {
            new
        } else {
            self.rtt * keep + new * (1.0 - keep)
        };
        self.at = self.at.max(now);
        self.measured = true;
    }
}

fn decay(passed: Duration) -> f64 {
    (-passed.as_secs_f64() / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests;
