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
/// Least latency that is told apart: after hours without calls, pending calls still weigh.
const LEAST_NANOS: f64 = 1_000.0;
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
    /// Whether `rtt` was ever measured.
    measured: bool,
    /// Nanoseconds, as of `at`.
    rtt: f64,
    at: Mono,
    /// Until then the endpoint asked to be left alone.
    held: Mono,
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
        self.load(slot).pending += 1;
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

    /// An endpoint of which nothing is known yet is taken to be as fast as its rival: it gets its share, but, by
    /// its pending calls, not more before it has answered.
    fn cheaper(&mut self, endpoints: &[Endpoint], a: usize, b: usize, now: Mono) -> usize {
        let (x, y) = (*self.load(endpoints[a].slot), *self.load(endpoints[b].slot));
        let known = |mine: &Load, rival: &Load| match (mine.measured, rival.measured) {
            (true, _) => mine.rtt_at(now),
            (false, true) => rival.rtt_at(now),
            (false, false) => LEAST_NANOS,
        };
        let cost = |load: &Load, rtt: f64, endpoint: &Endpoint| {
            rtt.max(LEAST_NANOS) * f64::from(load.pending + 1) / f64::from(endpoint.weight.max(1))
        };
        let cost_a = cost(&x, known(&x, &y), &endpoints[a]);
        let cost_b = cost(&y, known(&y, &x), &endpoints[b]);
        if cost_b < cost_a { b } else { a }
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
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::roster::Roster;
    use crate::table::{Protocol, ServiceKey, ServiceSpec, Table, TableBuilder};

    const START: Mono = Mono(1_000_000_000);

    fn table(roster: &Roster, weights: &[(&str, u32)]) -> Table {
        let endpoints = weights.iter().enumerate().map(|(port, (id, weight))| Endpoint {
            weight: *weight,
            ..Endpoint::new(
                *id,
                SocketAddr::from(([127, 0, 0, 1], port as u16 + 1)),
                Protocol::Http,
            )
        });
        let mut builder = TableBuilder::new();
        builder.service(ServiceSpec::new(
            ServiceKey::new("shop", "orders"),
            endpoints.collect(),
        ));
        builder.build(roster)
    }

    /// Runs calls one after the other, 1 ms apart, each endpoint with its latency; returns the calls of each.
    fn run(table: &Table, balancer: &mut Balancer, latencies: &[u64], calls: u64, start: Mono) -> Vec<u64> {
        let service = &table.services()[0];
        let mut rng = SplitMix64::new(5);
        let mut taken = vec![0; latencies.len()];
        for call in 0..calls {
            let now = start + Duration::from_millis(call);
            let pick = balancer.pick(service, &[], now, &mut rng).unwrap();
            taken[pick.index] += 1;
            balancer.succeeded(pick, now + Duration::from_millis(latencies[pick.index]));
        }
        taken
    }

    #[test]
    fn equal_endpoints_share_and_a_slow_one_is_left_alone() {
        let roster = Roster::new(1);
        let table = table(&roster, &[("a", 100), ("b", 100), ("c", 100), ("d", 100)]);
        let taken = run(&table, &mut Balancer::new(), &[5, 5, 5, 5], 4_000, START);
        assert!(taken.iter().all(|&n| n > 500), "{taken:?}");
        let taken = run(&table, &mut Balancer::new(), &[5, 5, 5, 100], 4_000, START);
        assert!(taken[3] < 100, "{taken:?}");
        assert!(taken[3] > 0, "but it is tried: {taken:?}");
    }

    #[test]
    fn pending_calls_weigh() {
        let roster = Roster::new(1);
        let table = table(&roster, &[("a", 100), ("b", 100)]);
        let mut balancer = Balancer::new();
        let mut rng = SplitMix64::new(1);
        let service = &table.services()[0];
        let mut count = [0u32; 2];
        for _ in 0..100 {
            let pick = balancer.pick(service, &[], START, &mut rng).unwrap();
            count[pick.index] += 1;
        }
        assert_eq!(count, [50, 50], "none comes back, so they alternate");
        assert_eq!(balancer.pending(&service.endpoints[0]), 50);
    }

    #[test]
    fn a_failure_or_a_hint_keeps_calls_away_and_is_forgotten() {
        let roster = Roster::new(1);
        let table = table(&roster, &[("a", 100), ("b", 100), ("c", 100)]);
        let service = &table.services()[0];
        let mut balancer = Balancer::new();
        run(&table, &mut balancer, &[5, 5, 5], 300, START);
        let now = START + Duration::from_secs(1);
        let pick = balancer
            .pick(service, &[1, 2], now, &mut SplitMix64::new(1))
            .unwrap();
        assert_eq!(pick.index, 0);
        balancer.failed(pick, None, now);
        let after = run(&table, &mut balancer, &[5, 5, 5], 3_000, now);
        assert!(after[0] < 30, "less than a tenth of its share: {after:?}");
        let later = run(
            &table,
            &mut balancer,
            &[5, 5, 5],
            3_000,
            now + Duration::from_secs(120),
        );
        assert!(later[0] > 300, "{later:?}");
    }

    #[test]
    fn excluded_and_weightless_endpoints_are_the_last_resort() {
        let roster = Roster::new(1);
        let table = table(&roster, &[("a", 100), ("b", 100), ("c", 0)]);
        let service = &table.services()[0];
        let mut balancer = Balancer::new();
        let mut rng = SplitMix64::new(1);
        let mut only = |exclude: &[usize]| -> Vec<usize> {
            let mut seen: Vec<usize> = (0..50)
                .map(|_| balancer.pick(service, exclude, START, &mut rng).unwrap().index)
                .collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        assert_eq!(only(&[]), [0, 1]);
        assert_eq!(only(&[0]), [1]);
        assert_eq!(only(&[0, 1]), [2]);
        assert!(!only(&[0, 1, 2]).is_empty());
    }

    #[test]
    fn weights_shift_the_share() {
        let roster = Roster::new(1);
        let table = table(&roster, &[("a", 300), ("b", 100), ("c", 100)]);
        let service = &table.services()[0];
        let (mut balancer, mut rng) = (Balancer::new(), SplitMix64::new(1));
        let mut count = [0u32; 3];
        for _ in 0..500 {
            count[balancer.pick(service, &[], START, &mut rng).unwrap().index] += 1;
        }
        assert!(count[0] > 2 * count[1] && count[0] > 2 * count[2], "{count:?}");
    }

    #[test]
    fn none_and_one() {
        let roster = Roster::new(1);
        let (mut balancer, mut rng) = (Balancer::new(), SplitMix64::new(1));
        let none = table(&roster, &[]);
        assert_eq!(balancer.pick(&none.services()[0], &[], START, &mut rng), None);
        let one = table(&roster, &[("a", 0)]);
        let pick = balancer.pick(&one.services()[0], &[0], START, &mut rng).unwrap();
        assert_eq!(pick.index, 0);
    }

    #[test]
    fn what_was_learned_survives_a_new_table_but_not_the_endpoint() {
        let roster = Roster::new(1);
        let mut balancer = Balancer::new();
        let first = table(&roster, &[("a", 100), ("b", 100)]);
        run(&first, &mut balancer, &[5, 500], 100, START);
        let mut rng = SplitMix64::new(1);
        let pick = balancer.pick(&first.services()[0], &[], START, &mut rng).unwrap();
        let second = table(&roster, &[("a", 100), ("b", 100)]);
        let known = balancer.known(second.services()[0].endpoints[1].slot).unwrap();
        assert!(known.rtt > 400e6);
        assert_eq!(balancer.pending(&second.services()[0].endpoints[pick.index]), 1);
        let third = table(&roster, &[("x", 100), ("y", 100)]);
        assert_eq!(balancer.pending(&third.services()[0].endpoints[0]), 0);
        for _ in 0..9 {
            let _ = balancer.pick(&third.services()[0], &[], START, &mut rng);
        }
        balancer.succeeded(pick, START);
        let pending: u32 = third.services()[0]
            .endpoints
            .iter()
            .map(|e| balancer.pending(e))
            .sum();
        assert_eq!(pending, 9, "a call to an endpoint that is gone touches nobody");
    }

    #[test]
    fn a_newcomer_gets_its_share_at_once() {
        let roster = Roster::new(1);
        let mut balancer = Balancer::new();
        let first = table(&roster, &[("a", 100), ("b", 100)]);
        run(&first, &mut balancer, &[5, 5], 100, START);
        let second = table(&roster, &[("a", 100), ("b", 100), ("c", 100)]);
        let taken = run(
            &second,
            &mut balancer,
            &[5, 5, 5],
            300,
            START + Duration::from_millis(100),
        );
        assert!(taken.iter().all(|&n| n > 30), "{taken:?}");
    }
}
