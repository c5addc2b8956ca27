//! Ejection example by example, and against a naive model over random histories.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::*;
use crate::balancer::{Balancer, Wanted};
use crate::circuit::{Admission, Override, State};
use crate::classify::Outcome;
use crate::roster::Roster;
use crate::settings::CircuitSettings;
use crate::table::{Endpoint, Protocol, Service, ServiceKey, ServiceSpec, Table, TableBuilder};

const CORES: usize = 2;

/// A service of `n` endpoints with a clock that the test moves.
struct Bench {
    roster: Roster,
    table: Table,
    now: Mono,
    rng: SplitMix64,
    changes: Vec<(String, Transition)>,
}

impl Bench {
    fn new(n: usize) -> Bench {
        Bench::with(n, |_| {})
    }

    fn with(n: usize, change: impl FnOnce(&mut ServiceSpec)) -> Bench {
        let roster = Roster::new(CORES);
        let endpoint = |at: usize| {
            let address = SocketAddr::from(([127, 0, 0, 1], 1 + at as u16));
            Endpoint::new(format!("i-{at:02}"), address, Protocol::Http)
        };
        let mut spec = ServiceSpec::new(ServiceKey::new("shop", "orders"), (0..n).map(endpoint).collect());
        change(&mut spec);
        let mut builder = TableBuilder::new();
        builder.service(spec);
        Bench {
            table: builder.build(&roster),
            roster,
            now: Mono(1_000_000_000),
            rng: SplitMix64::new(1),
            changes: Vec::new(),
        }
    }

    fn service(&self) -> &Service {
        &self.table.services()[0]
    }

    /// One call to an endpoint, on a core chosen by its number.
    fn call(&self, at: usize, outcome: Outcome, takes: Duration) {
        let circuit = self.service().circuit(at).unwrap();
        if let Admission::Go(ticket) = circuit.admit(at % CORES, self.now, None) {
            ticket.record(outcome, self.now + takes);
        }
    }

    fn calls(&self, at: usize, n: usize, outcome: Outcome) {
        for _ in 0..n {
            self.call(at, outcome, Duration::from_millis(1));
        }
    }

    fn tick(&mut self) {
        let new = self.roster.tick(self.now, &mut self.rng);
        self.changes.extend(new);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + Duration::from_millis(500)).min(end);
            self.tick();
        }
    }

    fn state(&self, at: usize) -> State {
        self.service().circuit(at).unwrap().state()
    }

    fn ejected(&self) -> Vec<usize> {
        let open = |at: &usize| self.state(*at) != State::Closed;
        (0..self.service().endpoints.len()).filter(open).collect()
    }

    /// The endpoints that calls go to, on a fresh balancer.
    fn chosen(&mut self) -> BTreeSet<usize> {
        let mut balancer = Balancer::new();
        let (service, now) = (&self.table.services()[0], self.now);
        let picks = (0..200).map(|_| balancer.pick(service, &[], now, &mut self.rng).unwrap().index);
        picks.collect()
    }

    fn last_reason(&self, at: usize) -> Reason {
        let report = self.service().circuit(at).unwrap().report(self.now);
        report.transitions[0].1.reason
    }
}

fn until(bench: &Bench, at: usize) -> Duration {
    bench
        .service()
        .circuit(at)
        .unwrap()
        .report(bench.now)
        .until
        .unwrap()
}

#[test]
fn five_failures_in_a_row_eject_at_once_on_all_cores() {
    let mut bench = Bench::new(4);
    bench.calls(2, 4, Outcome::Failure);
    bench.calls(2, 1, Outcome::Overload);
    assert_eq!(bench.chosen().len(), 4);
    // The fifth takes it out of the choice before the circuits are looked at.
    bench.calls(2, 1, Outcome::Failure);
    assert_eq!(bench.chosen(), BTreeSet::from([0, 1, 3]));
    assert_eq!(bench.state(2), State::Closed);
    bench.tick();
    assert_eq!(
        (bench.ejected(), bench.last_reason(2)),
        (vec![2], Reason::Consecutive)
    );
    assert_eq!(bench.chosen(), BTreeSet::from([0, 1, 3]));
    assert_eq!(bench.changes[0].0, "orders.shop/i-02");
    let wait = until(&bench, 2);
    assert!(
        wait >= Duration::from_secs(27) && wait <= Duration::from_secs(33),
        "{wait:?}"
    );
}

#[test]
fn a_success_ends_the_row_whichever_core_it_is_on() {
    let mut bench = Bench::new(4);
    let circuit = |bench: &Bench, core: usize, outcome| {
        let circuit = bench.service().circuit(0).unwrap();
        let Admission::Go(ticket) = circuit.admit(core, bench.now, None) else {
            panic!("closed")
        };
        ticket.record(outcome, bench.now);
    };
    for _ in 0..3 {
        for core in [0, 1, 0, 1] {
            circuit(&bench, core, Outcome::Failure);
        }
        circuit(&bench, 1, Outcome::Success);
    }
    bench.tick();
    assert!(bench.ejected().is_empty());
}

#[test]
fn three_connect_failures_eject() {
    let mut bench = Bench::new(4);
    bench.calls(1, 3, Outcome::ConnectFailure);
    bench.tick();
    assert_eq!(
        (bench.ejected(), bench.last_reason(1)),
        (vec![1], Reason::Connect)
    );
}

#[test]
fn one_trial_call_decides_and_the_next_ejection_is_longer() {
    let mut bench = Bench::new(4);
    bench.calls(0, 5, Outcome::Failure);
    bench.tick();
    bench.pass(Duration::from_secs(34));
    assert_eq!(bench.state(0), State::HalfOpen);
    // The first call that comes by is the trial, and there is no other.
    let mut balancer = Balancer::new();
    let (mut trial, mut others) = (None, 0);
    for core in 0..100 {
        let wanted = Wanted::default();
        let (service, now) = (&bench.table.services()[0], bench.now);
        let chosen = balancer
            .take(service, &wanted, core % 2, now, &mut bench.rng)
            .unwrap();
        let (pick, ticket) = (chosen.pick, chosen.ticket);
        match pick.index {
            0 => assert!(trial.replace(ticket.unwrap()).is_none(), "a second trial"),
            _ => others += 1,
        }
        if core == 50 {
            assert!(trial.is_some(), "the trial is not left to chance");
        }
    }
    assert_eq!(others, 99);
    trial.unwrap().record(Outcome::Failure, bench.now);
    bench.tick();
    assert_eq!(bench.state(0), State::Open);
    let wait = until(&bench, 0);
    assert!(
        wait >= Duration::from_secs(54) && wait <= Duration::from_secs(66),
        "{wait:?}"
    );
    bench.pass(Duration::from_secs(67));
    bench.calls(0, 1, Outcome::Success);
    bench.tick();
    assert_eq!(
        (bench.state(0), bench.last_reason(0)),
        (State::Closed, Reason::TrialSucceeded)
    );
    // Ten healthy seconds take one of the two back: the next ejection is the second again.
    bench.pass(Duration::from_secs(11));
    bench.calls(0, 5, Outcome::Failure);
    bench.tick();
    let wait = until(&bench, 0);
    assert!(
        wait >= Duration::from_secs(54) && wait <= Duration::from_secs(66),
        "{wait:?}"
    );
    assert!((0..20).all(|_| {
        bench.pass(Duration::from_secs(301));
        bench.calls(0, 1, Outcome::Failure);
        bench.tick();
        until(&bench, 0) <= Duration::from_secs(300)
    }));
}

#[test]
fn one_that_comes_back_begins_with_a_tenth() {
    let mut bench = Bench::new(4);
    bench.pass(Duration::from_secs(11));
    let standing = |bench: &Bench| bench.service().standing(0, bench.now);
    assert_eq!(standing(&bench), crate::circuit::Standing::Takes(1.0));
    bench.calls(0, 5, Outcome::Failure);
    bench.tick();
    bench.pass(Duration::from_secs(34));
    bench.calls(0, 1, Outcome::Success);
    bench.tick();
    let share = |bench: &Bench| match standing(bench) {
        crate::circuit::Standing::Takes(share) => share,
        other => panic!("{other:?}"),
    };
    assert!((share(&bench) - 0.1).abs() < 1e-9);
    bench.pass(Duration::from_secs(5));
    assert!((share(&bench) - 0.5).abs() < 1e-9);
    bench.pass(Duration::from_secs(5));
    assert!((share(&bench) - 1.0).abs() < 1e-9);
}

#[test]
fn ejections_leave_half_of_the_instances() {
    for (n, unhealthy, expected) in [
        (1, 0, 0),
        (2, 0, 1),
        (3, 0, 1),
        (4, 0, 2),
        (10, 0, 5),
        // Those that are unhealthy are gone already.
        (8, 2, 3),
        (5, 5, 0),
        (3, 30, 0),
    ] {
        let mut bench = Bench::with(n, |spec| spec.unhealthy = unhealthy);
        for _ in 0..3 {
            for at in 0..n {
                bench.calls(at, 5, Outcome::Failure);
            }
            bench.tick();
        }
        let first: Vec<usize> = (0..expected).collect();
        assert_eq!(
            bench.ejected(),
            first,
            "{n} and {unhealthy}: by name, all being as bad"
        );
        assert_eq!(bench.chosen().len(), n - expected, "the others still take calls");
    }
}

#[test]
fn the_worst_go_first() {
    let mut bench = Bench::new(4);
    for at in 0..4 {
        bench.calls(at, 20 - at, Outcome::Success);
        bench.calls(at, 5 + at, Outcome::Failure);
    }
    bench.tick();
    assert_eq!(bench.ejected(), [2, 3]);
}

#[test]
fn ejection_can_be_off_and_an_operator_stands_above_it() {
    let mut off = Bench::with(3, |spec| spec.ejection.enabled = false);
    assert!(off.service().circuit(0).is_none());
    assert_eq!(off.chosen().len(), 3);

    let mut bench = Bench::new(3);
    let circuit = |bench: &Bench, at| bench.roster.breaker(&format!("orders.shop/i-0{at}")).unwrap();
    circuit(&bench, 0).set_override(
        Override::ForcedOpen,
        Some(bench.now + Duration::from_secs(60)),
        "",
        bench.now,
    );
    circuit(&bench, 1).set_override(Override::Observe, None, "", bench.now);
    bench.calls(1, 5, Outcome::Failure);
    bench.tick();
    assert_eq!(
        bench.chosen(),
        BTreeSet::from([1, 2]),
        "one is held, one only watched"
    );
    bench.pass(Duration::from_secs(61));
    assert!(bench.chosen().contains(&0), "the override is over");
    for at in 0..3 {
        circuit(&bench, at).set_override(Override::ForcedOpen, None, "", bench.now);
    }
    let (service, now) = (&bench.table.services()[0], bench.now);
    assert_eq!(
        Balancer::new().pick(service, &[], now, &mut bench.rng),
        None,
        "held means held"
    );
}

/// Traffic of one interval: `calls` to each endpoint, in the time of each.
fn interval(bench: &mut Bench, calls: usize, times: &[u64]) {
    for _ in 0..calls {
        for (at, millis) in times.iter().enumerate() {
            bench.call(at, Outcome::Success, Duration::from_millis(*millis));
        }
    }
    bench.pass(INTERVAL);
}

#[test]
fn one_far_slower_than_its_peers_is_ejected_after_three_intervals() {
    let mut bench = Bench::new(5);
    bench.tick();
    for interval_number in 0..3 {
        assert!(bench.ejected().is_empty(), "{interval_number}");
        interval(&mut bench, 50, &[20, 20, 20, 100, 20]);
    }
    assert_eq!(
        (bench.ejected(), bench.last_reason(3)),
        (vec![3], Reason::Latency)
    );
}

#[test]
fn slowness_that_is_shared_small_rare_or_short_ejects_nobody() {
    for times in [[20, 20, 60, 60, 20], [200, 200, 300, 500, 200], [2, 2, 2, 49, 2]] {
        let mut bench = Bench::new(5);
        bench.tick();
        for _ in 0..5 {
            interval(&mut bench, 50, &times);
        }
        assert!(bench.ejected().is_empty(), "{times:?}");
    }
    let mut bench = Bench::new(5);
    bench.tick();
    for _ in 0..5 {
        interval(&mut bench, 4, &[20, 20, 20, 900, 20]);
    }
    assert!(bench.ejected().is_empty(), "four calls are no evidence");
    for _ in 0..3 {
        interval(&mut bench, 50, &[20, 20, 20, 900, 20]);
        interval(&mut bench, 50, &[20, 20, 20, 900, 20]);
        interval(&mut bench, 50, &[20, 20, 20, 20, 20]);
    }
    assert!(bench.ejected().is_empty(), "never three in a row");
}

#[test]
fn a_success_rate_far_below_the_mean_ejects() {
    // Nine at 99 %, one at 60 %: mean 95.1, deviation 11.7, bound 72.87.
    let rates = |low: f64| {
        let mut rates = vec![Some(0.99); 9];
        rates.push(Some(low));
        rates
    };
    let bound = lowest_rate(&rates(0.6)).unwrap();
    assert!((bound - 0.7287).abs() < 1e-4, "{bound}");
    assert_eq!(lowest_rate(&rates(0.6)[6..]), None, "too few hosts");

    let settings = |spec: &mut ServiceSpec| {
        spec.circuit = CircuitSettings {
            failure_rate: 0.9,
            ..CircuitSettings::default()
        };
        spec.ejection.consecutive_failures = 0;
    };
    let mut bench = Bench::with(10, settings);
    bench.tick();
    for at in 0..10 {
        let failures = if at == 4 { 40 } else { 1 };
        bench.calls(at, 100 - failures, Outcome::Success);
        bench.calls(at, failures, Outcome::Failure);
    }
    bench.pass(INTERVAL);
    assert_eq!(
        (bench.ejected(), bench.last_reason(4)),
        (vec![4], Reason::SuccessRate)
    );

    let mut quiet = Bench::with(10, settings);
    quiet.tick();
    for at in 0..10 {
        let failures = if at == 4 { 40 } else { 1 };
        quiet.calls(at, 99 - failures, Outcome::Success);
        quiet.calls(at, failures, Outcome::Failure);
    }
    quiet.pass(INTERVAL);
    assert!(quiet.ejected().is_empty(), "99 calls are no evidence");
}

/// The median of the others, the slow way.
#[test]
fn the_comparison_of_medians_equals_the_plain_one() {
    let mut rng = SplitMix64::new(3);
    for _ in 0..5_000 {
        let medians: Vec<Option<Duration>> = (0..rng.below(9))
            .map(|_| {
                let millis = [20, 30, 60, 61, 100, 200, 700][rng.below(7) as usize];
                (rng.below(5) > 0).then_some(Duration::from_millis(millis))
            })
            .collect();
        let plain: Vec<bool> = (0..medians.len())
            .map(|at| {
                let mut others: Vec<Duration> = (0..medians.len())
                    .filter(|other| *other != at)
                    .filter_map(|other| medians[other])
                    .collect();
                others.sort();
                let Some(own) = medians[at] else { return false };
                !others.is_empty() && own > SLOW_AT_ALL && own > others[(others.len() - 1) / 2] * SLOWER
            })
            .collect();
        assert_eq!(far_slower(&medians), plain, "{medians:?}");
    }
}

/// Rows of failures alone, with the share that must be left: a model that remembers every call.
#[test]
fn random_histories_eject_whom_the_model_ejects() {
    struct Model {
        row: u32,
        calls: (u32, u32),
        out: bool,
    }
    for seed in 0..400 {
        let mut rng = SplitMix64::new(seed);
        let n = 1 + rng.below(8) as usize;
        let percent = [0, 30, 50, 80, 100][rng.below(5) as usize];
        let mut bench = Bench::with(n, |spec| {
            spec.circuit.min_calls = u32::MAX;
            spec.ejection.min_available_percent = percent;
            // Long enough that nobody comes back.
            spec.ejection.base = Duration::from_secs(300);
        });
        let mut model: Vec<Model> = (0..n)
            .map(|_| Model {
                row: 0,
                calls: (0, 0),
                out: false,
            })
            .collect();
        let mut tripped = vec![false; n];
        for _ in 0..40 {
            for _ in 0..rng.below(20) {
                let at = rng.below(n as u64) as usize;
                let failed = rng.below(4) > 0;
                let outcome = if failed {
                    Outcome::Failure
                } else {
                    Outcome::Success
                };
                bench.call(at, outcome, Duration::ZERO);
                let one = &mut model[at];
                if !one.out {
                    one.row = if failed { one.row + 1 } else { 0 };
                    one.calls = (one.calls.0 + u32::from(failed), one.calls.1 + 1);
                    tripped[at] |= one.row >= 5;
                }
            }
            let here = model.iter().filter(|one| !one.out).count();
            let least = (n * usize::from(percent)).div_ceil(100);
            let mut wishes: Vec<usize> = (0..n).filter(|&at| tripped[at] && !model[at].out).collect();
            let bad = |at: usize| f64::from(model[at].calls.0) / f64::from(model[at].calls.1);
            wishes.sort_by(|&a, &b| bad(b).partial_cmp(&bad(a)).unwrap().then(a.cmp(&b)));
            for (nth, at) in wishes.into_iter().enumerate() {
                if nth < here.saturating_sub(least) {
                    model[at].out = true;
                } else {
                    model[at].row = 0;
                }
                tripped[at] = false;
            }
            bench.tick();
            let expected: Vec<usize> = (0..n).filter(|&at| model[at].out).collect();
            assert_eq!(bench.ejected(), expected, "seed {seed}");
            assert!(!bench.chosen().is_empty());
        }
    }
}
