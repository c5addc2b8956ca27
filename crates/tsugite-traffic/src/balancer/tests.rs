//! Behaviour of the balancer, example by example.

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

fn with_balance(roster: &Roster, ids: &[(&str, u32)], policy: Policy) -> Table {
    let endpoints = ids.iter().enumerate().map(|(port, (id, weight))| Endpoint {
        weight: *weight,
        ..Endpoint::new(
            *id,
            SocketAddr::from(([127, 0, 0, 1], port as u16 + 1)),
            Protocol::Http,
        )
    });
    let mut spec = ServiceSpec::new(ServiceKey::new("shop", "orders"), endpoints.collect());
    spec.balance.policy = policy;
    let mut builder = TableBuilder::new();
    builder.service(spec);
    builder.build(roster)
}

/// How often each endpoint is chosen; no call ends.
fn shares(table: &Table, calls: usize, hash: impl Fn(usize) -> Option<u64>) -> Vec<usize> {
    let service = &table.services()[0];
    let (mut balancer, mut rng) = (Balancer::new(), SplitMix64::new(9));
    let mut taken = vec![0; service.endpoints.len()];
    for call in 0..calls {
        let wanted = Wanted {
            hash: hash(call),
            ..Wanted::default()
        };
        let chosen = balancer.take(service, &wanted, 0, START, &mut rng).unwrap();
        taken[chosen.pick.index] += 1;
    }
    taken
}

#[test]
fn round_robin_goes_in_turn_and_weights_are_exact() {
    let roster = Roster::new(1);
    let equal = with_balance(&roster, &[("a", 7), ("b", 7), ("c", 7)], Policy::RoundRobin);
    let service = &equal.services()[0];
    let (mut balancer, mut rng) = (Balancer::new(), SplitMix64::new(1));
    let turns: Vec<usize> = (0..7)
        .map(|_| balancer.pick(service, &[], START, &mut rng).unwrap().index)
        .collect();
    let first = turns[0];
    assert_eq!(turns, (0..7).map(|n| (first + n) % 3).collect::<Vec<_>>());
    let roster = Roster::new(1);
    let weighed = with_balance(
        &roster,
        &[("a", 100), ("b", 50), ("c", 25), ("d", 0)],
        Policy::RoundRobin,
    );
    assert_eq!(shares(&weighed, 700, |_| None), [400, 200, 100, 0]);
}

#[test]
fn random_and_least_request_follow_weights() {
    for policy in [Policy::Random, Policy::LeastRequest] {
        let roster = Roster::new(1);
        let table = with_balance(&roster, &[("a", 300), ("b", 100), ("c", 100)], policy);
        let taken = shares(&table, 5_000, |_| None);
        let share = taken[0] as f64 / 5_000.0;
        assert!((0.5..0.66).contains(&share), "{policy:?} {taken:?}");
    }
    // What is slow but idle is as good as any to least request.
    let roster = Roster::new(1);
    let table = with_balance(&roster, &[("a", 100), ("b", 100)], Policy::LeastRequest);
    let taken = run(&table, &mut Balancer::new(), &[1, 400], 1_000, START);
    assert!(taken[1] > 300, "{taken:?}");
}

#[test]
fn a_key_stays_with_its_endpoint_when_another_goes() {
    let ids: Vec<String> = (0..10).map(|n| format!("i-{n}")).collect();
    let all: Vec<(&str, u32)> = ids.iter().map(|id| (id.as_str(), 100)).collect();
    for (policy, spread, moved_at_most) in [(Policy::RingHash, 0.45, 0.0), (Policy::Maglev, 0.12, 0.04)] {
        let roster = Roster::new(1);
        let before = with_balance(&roster, &all, policy);
        let key = |n: usize| Some(hash_of(format!("customer-{n}").as_bytes()));
        let taken = shares(&before, 20_000, key);
        for share in &taken {
            let off = (*share as f64 / 2_000.0 - 1.0).abs();
            assert!(off < spread, "{policy:?} {taken:?}");
        }
        let owner = |table: &Table, n: usize| {
            let service = &table.services()[0];
            let wanted = Wanted {
                hash: key(n),
                ..Wanted::default()
            };
            let chosen = Balancer::new()
                .take(service, &wanted, 0, START, &mut SplitMix64::new(n as u64))
                .unwrap();
            service.endpoints[chosen.pick.index].id.clone()
        };
        let after = with_balance(&Roster::new(1), &all[..9], policy);
        let (mut stayed, mut moved) = (0, 0);
        for n in 0..5_000 {
            let (old, new) = (owner(&before, n), owner(&after, n));
            if old != "i-9" {
                *(if old == new { &mut stayed } else { &mut moved }) += 1;
            }
        }
        let moved = f64::from(moved) / f64::from(moved + stayed);
        assert!(moved <= moved_at_most, "{policy:?}: {moved}");
    }
}

#[test]
fn a_key_whose_endpoint_failed_goes_to_the_next_and_always_the_same() {
    for policy in [Policy::RingHash, Policy::Maglev] {
        let roster = Roster::new(1);
        let table = with_balance(&roster, &[("a", 100), ("b", 100), ("c", 100)], policy);
        let service = &table.services()[0];
        for n in 0..50 {
            let pick = |exclude: &[usize], seed: u64| {
                let wanted = Wanted {
                    exclude,
                    hash: Some(hash_of(&[n])),
                    limit: None,
                };
                let mut rng = SplitMix64::new(seed);
                Balancer::new()
                    .take(service, &wanted, 0, START, &mut rng)
                    .unwrap()
                    .pick
                    .index
            };
            let first = pick(&[], 1);
            let second = pick(&[first], 2);
            assert!(second != first && pick(&[first], 3) == second);
            assert_ne!(pick(&[first, second], 4), second);
        }
    }
}

#[test]
fn maglev_weights_and_nothing_to_choose_from() {
    let roster = Roster::new(1);
    let table = with_balance(&roster, &[("a", 300), ("b", 100), ("c", 0)], Policy::Maglev);
    let taken = shares(&table, 20_000, |n| Some(hash_of(&n.to_le_bytes())));
    let share = taken[0] as f64 / 20_000.0;
    assert!((0.72..0.78).contains(&share) && taken[2] == 0, "{taken:?}");
    for policy in Policy::ALL {
        let roster = Roster::new(1);
        let weightless = with_balance(&roster, &[("a", 0), ("b", 0)], policy);
        assert_eq!(
            shares(&weightless, 10, |n| Some(n as u64)).iter().sum::<usize>(),
            10,
            "{policy:?}"
        );
    }
}
