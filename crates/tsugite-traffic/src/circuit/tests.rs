//! Behaviour of one breaker, example by example, driven by hand on one core.

use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use super::{Admission, Breaker, Override, Reason, Rejection, State, Ticket};
use crate::classify::{Outcome, classify_grpc};
use crate::settings::CircuitSettings;

/// A breaker with a clock that the test moves.
pub(super) struct Bench {
    pub(super) breaker: Breaker,
    pub(super) now: Mono,
    pub(super) rng: SplitMix64,
}

impl Bench {
    pub(super) fn new(settings: CircuitSettings) -> Bench {
        settings.check().unwrap();
        let now = Mono(1_000_000_000);
        Bench {
            breaker: Breaker::new("orders.shop", settings, 1, now),
            now,
            rng: SplitMix64::new(1),
        }
    }

    /// Lets time pass with a tick every 50 ms.
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            self.now = (self.now + Duration::from_millis(50)).min(end);
            self.tick();
        }
    }

    fn tick(&mut self) -> State {
        self.breaker.tick(self.now, &mut self.rng);
        self.breaker.state()
    }

    pub(super) fn admit(&self) -> Ticket {
        self.try_admit().unwrap_or_else(|r| panic!("{r:?}"))
    }

    fn try_admit(&self) -> Result<Ticket, Rejection> {
        match self.breaker.admit(0, self.now, Some(Duration::from_secs(15))) {
            Admission::Go(ticket) => Ok(ticket),
            Admission::Rejected(rejection) => Err(rejection),
        }
    }

    fn call(&mut self, outcome: Outcome) -> State {
        let ticket = self.admit();
        ticket.record(outcome, self.now);
        self.tick()
    }

    fn calls(&mut self, n: usize, outcome: Outcome) {
        for _ in 0..n {
            let _ = self.call(outcome);
        }
    }

    fn slow_call(&mut self, millis: u64, outcome: Outcome) {
        let ticket = self.admit();
        self.pass(millis);
        ticket.record(outcome, self.now);
        self.tick();
    }

    fn last_reason(&self) -> Reason {
        self.breaker.report(self.now).transitions[0].1.reason
    }

    /// Opens by failures, and waits until trial calls are let through.
    fn half_open(&mut self) {
        while self.breaker.state() == State::Closed {
            self.call(Outcome::Failure);
        }
        while self.breaker.state() == State::Open {
            self.pass(100);
        }
    }
}

fn defaults() -> CircuitSettings {
    CircuitSettings::default()
}

#[test]
fn opens_at_the_failure_rate_once_there_are_enough_calls() {
    let mut bench = Bench::new(defaults());
    bench.calls(10, Outcome::Success);
    bench.calls(9, Outcome::Failure);
    assert_eq!(bench.breaker.state(), State::Closed);
    assert_eq!(bench.call(Outcome::Failure), State::Open);
    let report = bench.breaker.report(bench.now);
    let (_, last) = &report.transitions[0];
    assert_eq!(
        (last.reason, last.rates.calls, last.rates.failed),
        (Reason::FailureRate, 20, 10)
    );
    let rejection = bench.try_admit().unwrap_err();
    assert_eq!(
        (rejection.state, rejection.reason),
        (State::Open, Reason::FailureRate)
    );
    let wait = rejection.retry_after.unwrap();
    assert!(
        wait >= Duration::from_secs(4) && wait <= Duration::from_secs(6),
        "{wait:?}"
    );
    assert_eq!(bench.breaker.report(bench.now).rejected.open, 1);
}

#[test]
fn opens_by_slow_calls_without_a_single_error() {
    let mut bench = Bench::new(defaults());
    for _ in 0..19 {
        let mut ticket = bench.admit();
        let answered = bench.now + Duration::from_secs(5);
        ticket.responded(answered);
        ticket.record(Outcome::Success, answered + Duration::from_secs(60));
    }
    assert_eq!(bench.tick(), State::Closed);
    let ticket = bench.admit();
    ticket.record(Outcome::Success, bench.now + Duration::from_secs(5));
    assert_eq!(
        (bench.tick(), bench.last_reason()),
        (State::Open, Reason::SlowRate)
    );
}

#[test]
fn a_long_body_after_a_quick_answer_is_not_slow() {
    let mut bench = Bench::new(defaults());
    let mut tickets: Vec<_> = (0..40).map(|_| bench.admit()).collect();
    bench.pass(100);
    for ticket in &mut tickets {
        ticket.responded(bench.now);
    }
    bench.pass(60_000);
    for ticket in tickets {
        ticket.record(Outcome::Success, bench.now);
    }
    assert_eq!(bench.tick(), State::Closed);
    assert_eq!(bench.breaker.report(bench.now).totals.slow(), 0);
}

#[test]
fn hung_calls_open_the_circuit_while_they_hang() {
    for slow in [100u64, 2_000, 5_000] {
        let settings = CircuitSettings {
            slow_call_duration: Duration::from_millis(slow),
            min_calls: 10,
            ..defaults()
        };
        let mut bench = Bench::new(settings);
        let tickets: Vec<_> = (0..20).map(|_| bench.admit()).collect();
        bench.pass(slow - 1);
        assert_eq!(bench.breaker.state(), State::Closed, "never early");
        bench.pass(200);
        assert_eq!(
            bench.breaker.state(),
            State::Open,
            "slow threshold {slow} ms and 0.2 s"
        );
        drop(tickets);
        assert_eq!(bench.breaker.report(bench.now).totals.marked, 20);
    }
}

#[test]
fn a_marked_call_counts_once_and_adds_its_failure() {
    let settings = CircuitSettings {
        slow_call_duration: Duration::from_millis(500),
        ..defaults()
    };
    let mut bench = Bench::new(settings);
    let (first, second, third) = (bench.admit(), bench.admit(), bench.admit());
    bench.pass(700);
    let rates = bench.breaker.report(bench.now).rates;
    assert_eq!((rates.calls, rates.slow, rates.failed), (3, 3, 0));
    first.record(Outcome::Success, bench.now);
    second.record(Outcome::Timeout, bench.now);
    drop(third);
    bench.tick();
    let rates = bench.breaker.report(bench.now).rates;
    assert_eq!((rates.calls, rates.slow, rates.failed), (3, 3, 1));
    assert!((rates.combined_rate - 1.0).abs() < 1e-9);
}

#[test]
fn slow_and_failed_together_reach_the_combined_rate() {
    let settings = CircuitSettings {
        combined_rate: Some(0.5),
        min_calls: 4,
        ..defaults()
    };
    let mut bench = Bench::new(settings);
    bench.calls(2, Outcome::Success);
    bench.slow_call(5_000, Outcome::Success);
    assert_eq!(bench.call(Outcome::Failure), State::Open);
    assert_eq!(bench.last_reason(), Reason::Combined);
}

#[test]
fn rows_of_failures_are_off_by_default_and_overload_neither_counts_nor_resets() {
    let settings = CircuitSettings {
        consecutive_failures: 3,
        ..defaults()
    };
    let mut bench = Bench::new(settings);
    bench.calls(2, Outcome::Failure);
    bench.call(Outcome::Success);
    bench.calls(2, Outcome::Failure);
    bench.calls(5, Outcome::Overload);
    assert_eq!(bench.breaker.state(), State::Closed);
    assert_eq!(bench.call(Outcome::Failure), State::Open);
    assert_eq!(bench.last_reason(), Reason::Consecutive);

    let settings = CircuitSettings {
        consecutive_connect_failures: 2,
        ..defaults()
    };
    let mut bench = Bench::new(settings);
    bench.call(Outcome::ConnectFailure);
    bench.call(Outcome::Failure);
    bench.call(Outcome::ConnectFailure);
    assert_eq!(bench.breaker.state(), State::Closed);
    assert_eq!(bench.call(Outcome::ConnectFailure), State::Open);
    assert_eq!(bench.last_reason(), Reason::Connect);

    let mut bench = Bench::new(defaults());
    bench.calls(19, Outcome::Failure);
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn an_idle_window_is_empty() {
    let mut bench = Bench::new(defaults());
    bench.calls(19, Outcome::Failure);
    bench.pass(10_000);
    assert_eq!(bench.call(Outcome::Failure), State::Closed);
    assert_eq!(bench.breaker.report(bench.now).rates.calls, 1);
}

#[test]
fn trial_calls_close_the_circuit_as_soon_as_success_is_certain() {
    let mut bench = Bench::new(defaults());
    bench.half_open();
    assert_eq!(bench.breaker.report(bench.now).permits_left, 5);
    bench.calls(2, Outcome::Success);
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    assert_eq!(bench.call(Outcome::Success), State::Closed);
    let report = bench.breaker.report(bench.now);
    assert_eq!(
        (report.rates.calls, report.transitions[0].1.reason),
        (0, Reason::TrialSucceeded)
    );
}

#[test]
fn trial_calls_open_it_again_as_soon_as_failure_is_certain() {
    let mut bench = Bench::new(defaults());
    bench.half_open();
    bench.calls(2, Outcome::Success);
    bench.calls(2, Outcome::Failure);
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    assert_eq!(bench.call(Outcome::Failure), State::Open);
    let report = bench.breaker.report(bench.now);
    assert_eq!(
        (report.openings_in_a_row, report.reason),
        (2, Some(Reason::FailureRate))
    );
    let wait = report.until.unwrap();
    assert!(
        wait >= Duration::from_secs(8) && wait <= Duration::from_secs(12),
        "{wait:?}"
    );

    let mut bench = Bench::new(defaults());
    bench.half_open();
    assert_eq!(bench.call(Outcome::Overload), State::Open);
    assert_eq!(bench.last_reason(), Reason::Overload);
}

#[test]
fn hung_trial_calls_are_slow_and_give_the_verdict() {
    let mut bench = Bench::new(defaults());
    bench.half_open();
    let tickets: Vec<_> = (0..5).map(|_| bench.admit()).collect();
    let rejection = bench.try_admit().unwrap_err();
    assert_eq!(
        (rejection.state, rejection.retry_after),
        (State::HalfOpen, Some(Duration::from_secs(1)))
    );
    bench.pass(5_200);
    assert_eq!(
        (bench.breaker.state(), bench.last_reason()),
        (State::Open, Reason::SlowRate)
    );
    assert_eq!(bench.breaker.report(bench.now).trials_upstream, 5);
    drop(tickets);
    assert_eq!(bench.breaker.report(bench.now).trials_upstream, 0);
}

#[test]
fn a_permit_returns_when_the_client_leaves_and_expires_when_nobody_reports() {
    let settings = CircuitSettings {
        inflight_slow: false,
        ..defaults()
    };
    let mut bench = Bench::new(settings);
    bench.half_open();
    for _ in 0..100 {
        drop(bench.admit());
    }
    assert_eq!(bench.breaker.report(bench.now).permits_left, 5);
    // Limit 15 s and a second of grace; three expired permits decide.
    let mut lost: Vec<_> = (0..3).map(|_| bench.admit()).collect();
    bench.pass(15_900);
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    bench.pass(200);
    assert_eq!(bench.breaker.state(), State::Open);
    let late = lost.pop().unwrap();
    late.record(Outcome::Success, bench.now);
    assert_eq!(bench.breaker.report(bench.now).trials_upstream, 0);
}

#[test]
fn without_a_verdict_the_circuit_opens_again() {
    let mut bench = Bench::new(defaults());
    bench.half_open();
    bench.pass(120_000);
    assert_eq!(
        bench.breaker.state(),
        State::HalfOpen,
        "no trial call, no verdict, no hurry"
    );
    bench.call(Outcome::Success);
    bench.pass(29_900);
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    bench.pass(200);
    assert_eq!(
        (bench.breaker.state(), bench.last_reason()),
        (State::Open, Reason::TrialTimeout)
    );
}

#[test]
fn the_wait_doubles_up_to_its_maximum_and_is_forgiven_after_a_minute() {
    let mut settings = defaults();
    settings.open.jitter = 0.0;
    let mut bench = Bench::new(settings);
    let mut waits = Vec::new();
    for _ in 0..6 {
        bench.half_open();
        bench.call(Outcome::Overload);
        waits.push(bench.breaker.report(bench.now).until.unwrap().as_secs());
    }
    assert_eq!(waits, [10, 20, 40, 60, 60, 60]);
    bench.breaker.reset(bench.now);
    bench.pass(59_000);
    bench.calls(20, Outcome::Failure);
    let first = bench.breaker.report(bench.now);
    assert_eq!(
        (first.openings_in_a_row, first.until),
        (1, Some(Duration::from_secs(5)))
    );
    bench.half_open();
    bench.calls(3, Outcome::Success);
    bench.pass(61_000);
    bench.calls(20, Outcome::Failure);
    assert_eq!(bench.breaker.report(bench.now).openings_in_a_row, 1);
}

#[test]
fn outcomes_of_an_older_generation_change_nothing() {
    let mut bench = Bench::new(defaults());
    let old: Vec<_> = (0..50).map(|_| bench.admit()).collect();
    bench.half_open();
    let older: Vec<_> = (0..2).map(|_| bench.admit()).collect();
    bench.calls(3, Outcome::Success);
    assert_eq!(bench.breaker.state(), State::Closed);
    for ticket in old.into_iter().chain(older) {
        ticket.record(Outcome::Failure, bench.now);
    }
    assert_eq!(bench.tick(), State::Closed);
    assert_eq!(bench.breaker.report(bench.now).rates.calls, 0);
}

#[test]
fn overrides_stand_above_the_circuit_and_end() {
    let mut bench = Bench::new(defaults());
    bench
        .breaker
        .set_override(Override::ForcedOpen, None, "maintenance", bench.now);
    let rejection = bench.try_admit().unwrap_err();
    assert_eq!(
        rejection,
        Rejection {
            state: State::ForcedOpen,
            reason: Reason::Manual,
            retry_after: None
        }
    );
    bench.breaker.clear_override(bench.now);
    assert_eq!(bench.breaker.state(), State::Closed);

    let end = bench.now + Duration::from_secs(2);
    bench
        .breaker
        .set_override(Override::Disabled, Some(end), "", bench.now);
    bench.calls(100, Outcome::Failure);
    assert_eq!(bench.breaker.state(), State::Disabled);
    bench.pass(2_000);
    assert_eq!(
        (bench.breaker.state(), bench.last_reason()),
        (State::Closed, Reason::OverrideExpired)
    );
    assert_eq!(bench.breaker.report(bench.now).totals.total(), 0);

    bench.breaker.set_override(Override::Observe, None, "", bench.now);
    bench.calls(40, Outcome::Failure);
    assert_eq!(bench.breaker.state(), State::Open, "it counts and changes state");
    bench.call(Outcome::Success);
    assert_eq!(
        bench.breaker.report(bench.now).rejected.open,
        0,
        "but refuses nothing"
    );
    let report = bench.breaker.report(bench.now);
    assert_eq!(report.override_.map(|o| o.what), Some(Override::Observe));
}

#[test]
fn a_reset_closes_and_keeps_the_override() {
    let mut bench = Bench::new(defaults());
    bench.calls(20, Outcome::Failure);
    bench.breaker.reset(bench.now);
    assert_eq!(bench.breaker.state(), State::Closed);
    assert_eq!(bench.call(Outcome::Failure), State::Closed);
    bench
        .breaker
        .set_override(Override::ForcedOpen, None, "", bench.now);
    bench.breaker.reset(bench.now);
    assert_eq!(bench.breaker.state(), State::ForcedOpen);
}

#[test]
fn tiny_client_deadlines_cannot_open_the_circuit() {
    let mut bench = Bench::new(defaults());
    let tiny = Outcome::ClientDeadline {
        allowed: Duration::from_millis(1),
    };
    for _ in 0..2 {
        for _ in 0..5_000 {
            bench.admit().record(tiny, bench.now + Duration::from_millis(1));
        }
        assert_eq!(bench.tick(), State::Closed);
        // From now on the median is known: 20 ms.
        for _ in 0..100 {
            bench
                .admit()
                .record(Outcome::Success, bench.now + Duration::from_millis(20));
        }
        bench.tick();
    }
    let median = bench.breaker.healthy_median().unwrap();
    assert!(
        median >= Duration::from_millis(19) && median <= Duration::from_millis(21),
        "{median:?}"
    );
}

#[test]
fn short_client_deadlines_do_not_hide_a_hang() {
    let mut bench = Bench::new(defaults());
    for _ in 0..100 {
        bench
            .admit()
            .record(Outcome::Success, bench.now + Duration::from_millis(20));
    }
    bench.pass(11_000);
    let allowed = Duration::from_millis(100);
    for _ in 0..20 {
        let outcome = classify_grpc(Some(4), Some(allowed));
        bench.admit().record(outcome, bench.now + allowed);
    }
    assert_eq!(bench.tick(), State::Open);
}

#[test]
fn a_client_that_leaves_late_has_seen_a_slow_call() {
    let mut bench = Bench::new(defaults());
    bench
        .admit()
        .record(Outcome::Ignored, bench.now + Duration::from_secs(1));
    bench
        .admit()
        .record(Outcome::Ignored, bench.now + Duration::from_secs(5));
    bench.tick();
    let totals = bench.breaker.report(bench.now).totals;
    assert_eq!((totals.ignored, totals.slow(), totals.failed()), (1, 1, 0));
}

#[test]
fn thirty_two_changes_are_remembered_newest_first() {
    let bench = Bench::new(defaults());
    for _ in 0..20 {
        bench
            .breaker
            .set_override(Override::ForcedOpen, None, "", bench.now);
        bench.breaker.clear_override(bench.now);
    }
    let report = bench.breaker.report(bench.now);
    assert_eq!((report.transitions.len(), report.transition_count), (32, 40));
    assert_eq!(report.transitions[0].1.to, State::Closed);
    assert_eq!(report.transitions[1].1.to, State::ForcedOpen);
}

#[test]
fn a_tick_that_comes_hours_late_still_finds_the_hung_calls() {
    let mut bench = Bench::new(CircuitSettings {
        min_calls: 3,
        ..defaults()
    });
    let tickets: Vec<_> = (0..3).map(|_| bench.admit()).collect();
    bench.now = bench.now + Duration::from_secs(5 * 3600);
    assert_eq!(bench.tick(), State::Open);
    drop(tickets);
}
