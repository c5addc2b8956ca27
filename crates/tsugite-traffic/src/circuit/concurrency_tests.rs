//! Many cores: the merge rule against one sequential circuit, and the promises that must hold on real threads.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use super::window::{BUCKETS, Batch, Counts};
use super::{Admission, Breaker, Circuit, Reason, State, Ticket};
use crate::classify::Outcome;
use crate::settings::CircuitSettings;

const TICK: u64 = 50_000_000;

fn admit(breaker: &Breaker, core: usize, now: Mono) -> Option<Ticket> {
    match breaker.admit(core, now, None) {
        Admission::Go(ticket) => Some(ticket),
        Admission::Rejected(_) => None,
    }
}

/// The rule itself: whatever the cores and the order, the merged circuit is the sequential one that is given all
/// outcomes of a tick at that tick, and failures in a row in their order.
#[test]
fn merged_cores_equal_one_circuit_fed_at_the_ticks() {
    for seed in 0..300 {
        let mut rng = SplitMix64::new(seed);
        let cores = 1 + rng.below(8) as usize;
        let settings = CircuitSettings {
            failure_rate: 0.3 + rng.unit() * 0.7,
            consecutive_failures: rng.below(2) as u32 * 8,
            slow_call_duration: Duration::from_secs(3600),
            ..CircuitSettings::default()
        };
        let consecutive = settings.consecutive_failures;
        let breaker = Breaker::new("x", settings.clone(), cores, Mono(0));
        let mut reference = Circuit::new(settings, Mono(0));
        let (mut a, mut b) = (SplitMix64::new(seed), SplitMix64::new(seed));
        let mut in_flight: Vec<(u32, Ticket)> = Vec::new();
        let mut row = (0, 0);
        for step in 1..400u64 {
            let mut batch = Batch::default();
            for _ in 0..rng.below(12) {
                let now = Mono(step * TICK - rng.below(TICK));
                let generation = reference.generation();
                let core = rng.below(cores as u64) as usize;
                if reference.state() == State::Closed {
                    in_flight.extend(admit(&breaker, core, now).map(|t| (generation, t)));
                }
                if !in_flight.is_empty() && rng.below(3) > 0 {
                    let (of, ticket) = in_flight.swap_remove(rng.below(in_flight.len() as u64) as usize);
                    let failed = rng.below(2) == 0;
                    ticket.record(
                        if failed {
                            Outcome::Failure
                        } else {
                            Outcome::Success
                        },
                        now,
                    );
                    if of == generation && reference.state() == State::Closed {
                        let one = u64::from(failed);
                        row = match row {
                            (was, length) if was == generation && failed => (generation, length + 1),
                            _ => (generation, one),
                        };
                        if row.1 == u64::from(consecutive) && failed {
                            batch.row = Some(Reason::Consecutive);
                        }
                        batch.counts.add(&Counts {
                            failure: one,
                            success: 1 - one,
                            ..Counts::default()
                        });
                    }
                }
            }
            let now = Mono(step * TICK);
            breaker.tick(now, &mut a);
            reference.absorb(&batch, now, &mut b);
            reference.advance(now, &mut b);
            if reference.state() == State::HalfOpen {
                breaker.reset(now);
                reference.reset(now);
            }
            let report = breaker.report(now);
            assert_eq!(report.state, reference.state(), "seed {seed} step {step}");
            assert_eq!(report.rates, reference.rates(now), "seed {seed} step {step}");
        }
    }
}

/// The bound: a merged window holds every call of the sequential window, and beyond those only calls that lie less
/// than a tick before its edge.
#[test]
fn the_merged_window_is_at_most_one_tick_behind() {
    let settings = CircuitSettings {
        min_calls: u32::MAX,
        inflight_slow: false,
        ..CircuitSettings::default()
    };
    let width = 1_000_000_000;
    for seed in 0..20 {
        let mut rng = SplitMix64::new(seed);
        let breaker = Breaker::new("x", settings.clone(), 4, Mono(0));
        let mut times = Vec::new();
        for step in 1..600u64 {
            for _ in 0..rng.below(5) {
                let at = Mono(step * TICK - rng.below(TICK));
                times.push(at.nanos());
                admit(&breaker, rng.below(4) as usize, at)
                    .unwrap()
                    .record(Outcome::Success, at);
            }
            let now = step * TICK;
            breaker.tick(Mono(now), &mut rng);
            let merged = breaker.report(Mono(now)).rates.calls;
            let oldest = (now / width).saturating_sub(BUCKETS as u64 - 1) * width;
            let exactly = times.iter().filter(|&&t| t >= oldest).count() as u64;
            let at_most = times.iter().filter(|&&t| t + TICK > oldest).count() as u64;
            assert!(
                exactly <= merged && merged <= at_most,
                "{exactly} <= {merged} <= {at_most}"
            );
        }
    }
}

/// Opens a breaker that one failure opens, and moves it to half-open.
fn to_half_open(breaker: &Breaker, now: &mut Mono, rng: &mut SplitMix64) {
    breaker.reset(*now);
    admit(breaker, 0, *now).unwrap().record(Outcome::Failure, *now);
    breaker.tick(*now, rng);
    assert_eq!(breaker.state(), State::Open);
    *now = *now + Duration::from_secs(1);
    breaker.tick(*now, rng);
    assert_eq!(breaker.state(), State::HalfOpen);
}

fn nervous(permits: u16, concurrent: u16) -> CircuitSettings {
    let mut settings = CircuitSettings {
        min_calls: 1,
        ..CircuitSettings::default()
    };
    settings.open.base = Duration::from_millis(1);
    settings.open.max = Duration::from_millis(1);
    settings.half_open.permits = permits;
    settings.half_open.concurrent = concurrent;
    settings
}

#[test]
fn exactly_the_permitted_trial_calls_in_ten_thousand_stampedes() {
    const THREADS: usize = 4;
    const TRIALS: usize = 10_000;
    let breaker = Breaker::new("x", nervous(5, 5), THREADS, Mono(0));
    let (start, end) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    let (clock, granted) = (AtomicU64::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for core in 0..THREADS {
            let (breaker, start, end, clock, granted) = (&breaker, &start, &end, &clock, &granted);
            scope.spawn(move || {
                for _ in 0..TRIALS {
                    start.wait();
                    let now = Mono(clock.load(Ordering::Relaxed));
                    let tickets: Vec<_> = (0..4).filter_map(|_| admit(breaker, core, now)).collect();
                    granted.fetch_add(tickets.len() as u32, Ordering::Relaxed);
                    end.wait();
                    tickets.into_iter().for_each(|t| t.record(Outcome::Success, now));
                }
            });
        }
        let (mut now, mut rng) = (Mono(0), SplitMix64::new(1));
        for trial in 0..TRIALS {
            // Calls of the last trial may still be ending: they hold their permits until then.
            while breaker.report(now).trials_upstream > 0 {
                std::thread::yield_now();
            }
            to_half_open(&breaker, &mut now, &mut rng);
            clock.store(now.nanos(), Ordering::Relaxed);
            granted.store(0, Ordering::Relaxed);
            start.wait();
            end.wait();
            assert_eq!(granted.load(Ordering::Relaxed), 5, "trial {trial}");
        }
    });
}

#[test]
fn never_more_trial_calls_at_a_time_than_allowed_and_returned_permits_are_used_again() {
    const THREADS: usize = 4;
    let breaker = Breaker::new("x", nervous(20, 3), THREADS, Mono(0));
    let (mut now, mut rng) = (Mono(0), SplitMix64::new(1));
    for round in 0..200 {
        to_half_open(&breaker, &mut now, &mut rng);
        let (upstream, most, used) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for core in 0..THREADS {
                let (breaker, upstream, most, used) = (&breaker, &upstream, &most, &used);
                scope.spawn(move || {
                    let mut rng = SplitMix64::new(round * 10 + core as u64);
                    let mut refused = 0;
                    while refused < 200 {
                        let Some(ticket) = admit(breaker, core, now) else {
                            refused += 1;
                            std::thread::yield_now();
                            continue;
                        };
                        let at_once = upstream.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(at_once, Ordering::SeqCst);
                        upstream.fetch_sub(1, Ordering::SeqCst);
                        if rng.below(2) == 0 {
                            drop(ticket);
                        } else {
                            used.fetch_add(1, Ordering::SeqCst);
                            ticket.record(Outcome::Success, now);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 3);
        assert_eq!(
            used.load(Ordering::SeqCst),
            20,
            "returned permits are not lost, used ones not given again"
        );
    }
}

#[test]
fn no_outcome_is_lost_or_counted_twice_while_cores_and_merger_race() {
    const THREADS: usize = 3;
    const CALLS: u64 = 100_000;
    let settings = CircuitSettings {
        min_calls: u32::MAX,
        ..CircuitSettings::default()
    };
    let breaker = Breaker::new("x", settings, THREADS, Mono(0));
    let running = AtomicU32::new(THREADS as u32);
    let mut rng = SplitMix64::new(1);
    std::thread::scope(|scope| {
        for core in 0..THREADS {
            let (breaker, running) = (&breaker, &running);
            scope.spawn(move || {
                for call in 0..CALLS {
                    let start = Mono(call * 1_000_000);
                    let ticket = admit(breaker, core, start).unwrap();
                    let end = start + Duration::from_secs(if call % 5 == 0 { 6 } else { 0 });
                    ticket.record(
                        if call % 2 == 0 {
                            Outcome::Failure
                        } else {
                            Outcome::Success
                        },
                        end,
                    );
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        while running.load(Ordering::Acquire) > 0 {
            breaker.tick(Mono(0), &mut rng);
        }
    });
    breaker.tick(Mono(0), &mut rng);
    let totals = breaker.report(Mono(0)).totals;
    let calls = CALLS * THREADS as u64;
    assert_eq!((totals.total(), totals.failed()), (calls, calls / 2));
    assert_eq!(totals.slow(), calls / 5);
}

#[test]
fn calls_of_an_old_generation_never_reach_the_new_one() {
    const THREADS: usize = 3;
    let settings = CircuitSettings {
        min_calls: u32::MAX,
        ..CircuitSettings::default()
    };
    let breaker = Breaker::new("x", settings, THREADS, Mono(0));
    let (stop, epoch) = (AtomicBool::new(false), AtomicU64::new(0));
    let gone = Barrier::new(THREADS + 1);
    let mut rng = SplitMix64::new(1);
    // Each round admits calls, begins a new generation, and only then lets the calls end, racing with ticks.
    std::thread::scope(|scope| {
        for core in 0..THREADS {
            let (breaker, stop, epoch, gone) = (&breaker, &stop, &epoch, &gone);
            scope.spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    let tickets: Vec<_> = (0..8).filter_map(|_| admit(breaker, core, Mono(0))).collect();
                    gone.wait();
                    gone.wait();
                    tickets
                        .into_iter()
                        .for_each(|t| t.record(Outcome::Failure, Mono(0)));
                    epoch.fetch_add(1, Ordering::Release);
                    gone.wait();
                }
            });
        }
        for round in 0..2_000 {
            gone.wait();
            breaker.reset(Mono(0));
            if round == 1_999 {
                stop.store(true, Ordering::Release);
            }
            epoch.store(0, Ordering::Release);
            gone.wait();
            while epoch.load(Ordering::Acquire) < THREADS as u64 {
                breaker.tick(Mono(0), &mut rng);
            }
            breaker.tick(Mono(0), &mut rng);
            assert_eq!(breaker.report(Mono(0)).totals.total(), 0, "round {round}");
            gone.wait();
        }
    });
}
