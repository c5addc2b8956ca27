//! Random traces: a breaker on one core, ticked after every event, against a naive model that keeps every event and
//! recomputes everything from the list.

use std::collections::BTreeMap;
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use super::shard::Slices;
use super::{Admission, Breaker, Override, Reason, State, Ticket};
use crate::classify::Outcome;
use crate::settings::{CircuitSettings, Growth, HalfOpenSettings, OpenSettings};

#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Good { slow: bool },
    Bad { slow: bool, connect: bool },
    Overload,
    Nothing,
    Marked,
    LateGood,
    LateBad { connect: bool },
    LateNothing,
}

struct Call {
    start: Mono,
    generation: u64,
    /// When the permit expires.
    permit: Option<Mono>,
    life: Duration,
    counted: bool,
    /// The latency.
    answered: Option<Duration>,
    paused: bool,
    marked: bool,
    ended: bool,
}

/// The model. Events of the current generation only, grouped by the tick that saw them.
struct Model {
    settings: CircuitSettings,
    now: Mono,
    rng: SplitMix64,
    state: State,
    until: Option<Mono>,
    wish: Option<(Override, Option<Mono>)>,
    generation: u64,
    closed_since: Mono,
    openings: u32,
    batches: Vec<Vec<(Mono, What)>>,
    fresh: Vec<(Mono, What)>,
    calls: Vec<Call>,
    first_trial: Option<Mono>,
    reasons: Vec<Reason>,
}

impl Model {
    fn new(settings: CircuitSettings, now: Mono) -> Model {
        Model {
            settings,
            now,
            rng: SplitMix64::new(7),
            state: State::Closed,
            until: None,
            wish: None,
            generation: 0,
            closed_since: now,
            openings: 0,
            batches: Vec::new(),
            fresh: Vec::new(),
            calls: Vec::new(),
            first_trial: None,
            reasons: Vec::new(),
        }
    }

    fn effective(&self) -> State {
        match self.wish {
            Some((Override::ForcedOpen, _)) => State::ForcedOpen,
            Some((Override::Disabled, _)) => State::Disabled,
            _ => self.state,
        }
    }

    fn upstream(&self) -> usize {
        self.calls
            .iter()
            .filter(|c| c.permit.is_some() && !c.ended)
            .count()
    }

    fn taken(&self) -> usize {
        let returned = |c: &&Call| !c.ended || c.counted;
        self.calls
            .iter()
            .filter(|c| c.permit.is_some() && c.generation == self.generation)
            .filter(returned)
            .count()
    }

    /// `None`: refused.
    fn admit(&mut self, limit: Option<Duration>) -> Option<usize> {
        let trial = &self.settings.half_open;
        let observe = matches!(self.wish, Some((Override::Observe, _)));
        let life = limit.map_or(trial.max_duration, |l| l + Duration::from_secs(1));
        let life = Duration::from_millis(100) * life.as_millis().div_ceil(100) as u32;
        let (counted, permit) = match self.effective() {
            State::Closed => (true, None),
            State::Disabled => (false, None),
            State::HalfOpen
                if self.taken() < usize::from(trial.permits)
                    && self.upstream() < usize::from(trial.concurrent) =>
            {
                self.first_trial.get_or_insert(self.now);
                (true, Some(self.now + life))
            }
            _ if observe => (false, None),
            _ => return None,
        };
        let call = Call {
            start: self.now,
            generation: if counted { self.generation } else { u64::MAX },
            permit,
            life,
            counted: true,
            answered: None,
            paused: false,
            marked: false,
            ended: false,
        };
        self.calls.push(call);
        Some(self.calls.len() - 1)
    }

    fn answer(&mut self, at: usize) {
        let call = &mut self.calls[at];
        let latency = if call.paused {
            Duration::ZERO
        } else {
            self.now.since(call.start)
        };
        call.answered.get_or_insert(latency);
    }

    fn pause(&mut self, at: usize) {
        self.calls[at].paused |= self.calls[at].answered.is_none();
    }

    fn resume(&mut self, at: usize) {
        let call = &mut self.calls[at];
        if call.paused && call.answered.is_none() {
            call.paused = false;
            call.start = self.now;
            call.permit = call.permit.map(|_| self.now + call.life);
        }
    }

    fn end(&mut self, at: usize, outcome: Option<Outcome>) {
        let (now, slow_limit) = (self.now, self.settings.slow_call_duration);
        let call = &mut self.calls[at];
        if call.ended {
            return; // Expired before.
        }
        call.ended = true;
        let latency = match (call.answered, outcome) {
            (Some(latency), _) => Some(latency),
            (None, Some(_)) if !call.paused => Some(now.since(call.start)),
            _ => None,
        };
        let slow = latency.is_some_and(|l| l >= slow_limit);
        let what = match (outcome.unwrap_or(Outcome::Ignored), call.marked) {
            (Outcome::Success, false) => What::Good { slow },
            (Outcome::Success, true) => What::LateGood,
            (Outcome::Failure, false) => What::Bad { slow, connect: false },
            (Outcome::ConnectFailure, false) => What::Bad { slow, connect: true },
            (Outcome::Timeout, false) => What::Bad {
                slow: true,
                connect: false,
            },
            (Outcome::ConnectFailure, true) => What::LateBad { connect: true },
            (Outcome::Failure | Outcome::Timeout | Outcome::Overload, true) => {
                What::LateBad { connect: false }
            }
            (Outcome::Overload, false) => What::Overload,
            (Outcome::Ignored, true) => What::LateNothing,
            (Outcome::Ignored, false) if slow => What::Good { slow: true },
            (Outcome::Ignored, false) => What::Nothing,
            (Outcome::ClientDeadline { .. }, _) => unreachable!("not in these traces"),
        };
        call.counted = what != What::Nothing;
        if call.generation == self.generation {
            self.fresh.push((now, what));
        }
    }

    fn tick(&mut self) {
        self.watch_calls();
        let fresh: Vec<_> = std::mem::take(&mut self.fresh)
            .into_iter()
            .map(|(_, w)| (self.now, w))
            .collect();
        if !fresh.is_empty() {
            self.batches.push(fresh);
            match self.state {
                State::Closed => {
                    if let Some(reason) = self.trip() {
                        self.open(reason);
                    }
                }
                State::HalfOpen => self.judge_trial(),
                _ => {}
            }
        }
        if self
            .wish
            .is_some_and(|(_, until)| until.is_some_and(|u| u <= self.now))
        {
            self.wish = None;
            self.begin(Reason::OverrideExpired);
        }
        if self.state == State::Open && self.until.is_some_and(|u| u <= self.now) {
            self.state = State::HalfOpen;
            self.begin(Reason::Timer);
        } else if self.state == State::HalfOpen
            && self
                .first_trial
                .is_some_and(|f| f + self.settings.half_open.max_duration <= self.now)
        {
            self.open(Reason::TrialTimeout);
        }
    }

    fn watch_calls(&mut self) {
        let slow = self.settings.slow_call_duration;
        let slice = Slices::new(slow).width().as_nanos() as u64;
        for call in self.calls.iter_mut().filter(|c| !c.ended) {
            let current = call.generation == self.generation;
            let elapsed = self.now.since(call.start);
            if call.permit.is_some_and(|end| end <= self.now) {
                call.ended = true;
                let what = match (call.marked, call.answered.is_some(), call.paused) {
                    (true, true, _) => What::LateGood,
                    (true, false, _) => What::LateBad { connect: false },
                    (false, true, _) => What::Good { slow: false },
                    (false, false, true) => What::Nothing,
                    (false, false, false) => What::Bad {
                        slow: elapsed >= slow,
                        connect: false,
                    },
                };
                call.counted = what != What::Nothing;
                if current {
                    self.fresh.push((self.now, what));
                }
            } else if self.settings.inflight_slow
                && current
                && !call.marked
                && call.answered.is_none()
                && !call.paused
            {
                let counted_from = match call.permit {
                    Some(_) => call.start,
                    None => Mono((call.start.nanos() / slice + 1) * slice),
                };
                if counted_from + slow <= self.now {
                    call.marked = true;
                    self.fresh.push((self.now, What::Marked));
                }
            }
        }
    }

    /// Events of the window (closed) or of the whole generation (half-open).
    fn events(&self) -> Vec<What> {
        let width = self.settings.window.as_nanos() as u64 / 10;
        let bucket = |at: Mono| at.nanos() / width;
        let inside = |at: Mono| self.state == State::HalfOpen || bucket(at) + 10 > bucket(self.now);
        self.batches
            .iter()
            .flatten()
            .filter(|(at, _)| inside(*at))
            .map(|(_, what)| *what)
            .collect()
    }

    fn sums(&self) -> (f64, f64, f64, f64) {
        let count = |test: fn(&What) -> bool| self.events().iter().filter(|w| test(w)).count() as f64;
        let total = count(|w| {
            matches!(
                w,
                What::Good { .. } | What::Bad { .. } | What::Overload | What::Marked
            )
        });
        let failed = count(|w| matches!(w, What::Bad { .. } | What::Overload | What::LateBad { .. }));
        let slow = count(|w| {
            matches!(
                w,
                What::Good { slow: true } | What::Bad { slow: true, .. } | What::Marked
            )
        });
        let fast_failed = count(|w| matches!(w, What::Bad { slow: false, .. } | What::Overload));
        (total, failed.min(total), slow, slow + fast_failed)
    }

    fn trip(&self) -> Option<Reason> {
        let row = |stops: fn(&What) -> bool, counts: fn(&What) -> bool| {
            let mut length = 0;
            for batch in self.batches.iter().rev() {
                if batch.iter().any(|(_, w)| stops(w)) {
                    break;
                }
                length += batch.iter().filter(|(_, w)| counts(w)).count();
            }
            length as u32
        };
        let good = |w: &What| matches!(w, What::Good { .. } | What::LateGood);
        let bad = |w: &What| matches!(w, What::Bad { .. } | What::LateBad { .. });
        let connect = |w: &What| {
            matches!(
                w,
                What::Bad { connect: true, .. } | What::LateBad { connect: true }
            )
        };
        let other = |w: &What| {
            matches!(
                w,
                What::Good { .. }
                    | What::LateGood
                    | What::Bad { connect: false, .. }
                    | What::LateBad { connect: false }
            )
        };
        let settings = &self.settings;
        if settings.consecutive_failures > 0 && row(good, bad) >= settings.consecutive_failures {
            return Some(Reason::Consecutive);
        }
        let limit = settings.consecutive_connect_failures;
        if limit > 0 && row(other, connect) >= limit {
            return Some(Reason::Connect);
        }
        let (total, failed, slow, either) = self.sums();
        if total < f64::from(settings.min_calls) {
            return None;
        }
        self.reached(total, failed, slow, either)
    }

    fn reached(&self, of: f64, failed: f64, slow: f64, either: f64) -> Option<Reason> {
        let at_least = |part: f64, rate: f64| part > 0.0 && part / of >= rate - 1e-9;
        if at_least(failed, self.settings.failure_rate) {
            Some(Reason::FailureRate)
        } else if at_least(slow, self.settings.slow_call_rate) {
            Some(Reason::SlowRate)
        } else {
            self.settings
                .combined_rate
                .filter(|&rate| at_least(either, rate))
                .map(|_| Reason::Combined)
        }
    }

    fn judge_trial(&mut self) {
        let permits = f64::from(self.settings.half_open.permits);
        let events = self.events();
        if events.contains(&What::Overload) {
            return self.open(Reason::Overload);
        }
        let (total, failed, slow, either) = self.sums();
        if let Some(reason) = self.reached(permits, failed, slow, either) {
            return self.open(reason);
        }
        let late = events
            .iter()
            .filter(|w| matches!(w, What::LateGood | What::LateBad { .. } | What::LateNothing))
            .count();
        let marked = events.iter().filter(|w| **w == What::Marked).count();
        let running = permits - total;
        let worst_failed = failed + running + (marked - late) as f64;
        if self
            .reached(permits, worst_failed, slow + running, either + running)
            .is_none()
        {
            self.state = State::Closed;
            self.until = None;
            self.closed_since = self.now;
            self.begin(Reason::TrialSucceeded);
        }
    }

    fn open(&mut self, reason: Reason) {
        let OpenSettings {
            base,
            max,
            jitter,
            growth,
        } = self.settings.open;
        let mut closed = self.now.since(self.closed_since);
        if self.state != State::Closed {
            closed = Duration::ZERO;
        }
        if growth == Growth::Doubling && closed >= Duration::from_secs(60) {
            self.openings = 0;
        }
        while growth == Growth::Linear && self.openings > 0 && closed >= Duration::from_secs(10) {
            closed -= Duration::from_secs(10);
            self.openings -= 1;
        }
        self.openings += 1;
        let mut wait = base;
        for _ in 1..self.openings.min(30) {
            wait = match growth {
                Growth::Doubling => wait * 2,
                Growth::Linear => wait + base,
            };
            wait = wait.min(max);
        }
        let wait = wait
            .min(max)
            .mul_f64(1.0 + jitter * (2.0 * self.rng.unit() - 1.0))
            .min(max);
        self.state = State::Open;
        self.until = Some(self.now + wait);
        self.begin(reason);
    }

    fn reset(&mut self) {
        self.openings = 0;
        self.state = State::Closed;
        self.closed_since = self.now;
        self.begin(Reason::Manual);
    }

    fn begin(&mut self, reason: Reason) {
        self.generation += 1;
        self.batches.clear();
        self.fresh.clear();
        self.first_trial = None;
        self.reasons.push(reason);
    }
}

fn pick<T: Copy>(rng: &mut SplitMix64, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

fn random_settings(rng: &mut SplitMix64) -> CircuitSettings {
    let ms = Duration::from_millis;
    let base = pick(rng, &[ms(50), ms(400), ms(5_000)]);
    CircuitSettings {
        window: pick(rng, &[ms(1_000), ms(10_000)]),
        min_calls: pick(rng, &[1, 2, 4, 8]),
        failure_rate: pick(rng, &[0.1, 0.5, 0.55, 1.0]),
        slow_call_duration: pick(rng, &[ms(20), ms(300), ms(2_000)]),
        slow_call_rate: pick(rng, &[0.25, 0.8, 1.0]),
        combined_rate: pick(rng, &[None, None, Some(0.5)]),
        inflight_slow: rng.below(4) > 0,
        consecutive_failures: pick(rng, &[0, 0, 3]),
        consecutive_connect_failures: pick(rng, &[0, 0, 2]),
        open: OpenSettings {
            base,
            max: base * 3,
            jitter: pick(rng, &[0.0, 0.2]),
            growth: pick(rng, &[Growth::Doubling, Growth::Linear]),
        },
        half_open: HalfOpenSettings {
            permits: pick(rng, &[1, 2, 3, 5]),
            concurrent: pick(rng, &[1, 2, 5]),
            max_duration: pick(rng, &[ms(900), ms(30_000)]),
        },
        slow_start: Duration::ZERO,
    }
}

/// Runs one trace; returns why the circuit changed its state.
fn run(seed: u64, steps: u32) -> Vec<Reason> {
    let mut rng = SplitMix64::new(seed);
    let settings = random_settings(&mut rng);
    let mut now = Mono(1_000_000_000 * (1 + rng.below(1_000)));
    let breaker = Breaker::new("x", settings.clone(), 1, now);
    let mut model = Model::new(settings, now);
    let mut jitter = SplitMix64::new(7);
    let mut open: Vec<(usize, Ticket)> = Vec::new();
    for step in 0..steps {
        now = now + Duration::from_millis(pick(&mut rng, &[0, 0, 0, 1, 7, 30, 120, 400, 2_500, 6_000]));
        if rng.below(400) == 0 {
            now = now + Duration::from_secs(61);
        }
        model.now = now;
        // Time alone may change the state: both sides see it before the event.
        model.tick();
        breaker.tick(now, &mut jitter);
        match rng.below(20) {
            0..=7 => {
                let limit = pick(&mut rng, &[None, Some(Duration::from_millis(500))]);
                match (breaker.admit(0, now, limit), model.admit(limit)) {
                    (Admission::Go(ticket), Some(at)) => open.push((at, ticket)),
                    (Admission::Rejected(r), None) => assert_eq!(r.state, model.effective()),
                    (ours, theirs) => panic!("seed {seed} step {step}: {ours:?} but model {theirs:?}"),
                }
            }
            8..=18 if !open.is_empty() => {
                let at = rng.below(open.len() as u64) as usize;
                let (call, ticket) = &mut open[at];
                match rng.below(10) {
                    0 => {
                        ticket.responded(now);
                        model.answer(*call);
                    }
                    1 => {
                        ticket.pause();
                        model.pause(*call);
                    }
                    2 | 3 => {
                        ticket.resume(now);
                        model.resume(*call);
                    }
                    _ => {
                        let (call, ticket) = open.swap_remove(at);
                        let outcome = random_outcome(&mut rng);
                        match outcome {
                            Some(outcome) => ticket.record(outcome, now),
                            None => drop(ticket),
                        }
                        model.end(call, outcome);
                    }
                }
            }
            19 if rng.below(8) == 0 => administer(&breaker, &mut model, now, &mut rng),
            _ => {}
        }
        model.tick();
        breaker.tick(now, &mut jitter);
        compare(&breaker, &model, now, &format!("seed {seed} step {step}"));
    }
    model.reasons
}

fn random_outcome(rng: &mut SplitMix64) -> Option<Outcome> {
    use Outcome::{ConnectFailure, Failure, Ignored, Overload, Success, Timeout};
    let outcomes = [
        Some(Success),
        Some(Success),
        Some(Success),
        Some(Success),
        Some(Failure),
        Some(Failure),
        Some(ConnectFailure),
        Some(Timeout),
        Some(Overload),
        Some(Ignored),
        None,
    ];
    pick(rng, &outcomes)
}

fn administer(breaker: &Breaker, model: &mut Model, now: Mono, rng: &mut SplitMix64) {
    match rng.below(5) {
        0 => {
            breaker.reset(now);
            model.reset();
        }
        1 => {
            breaker.clear_override(now);
            if model.wish.take().is_some() {
                model.begin(Reason::Manual);
            }
        }
        _ => {
            let what = pick(
                rng,
                &[Override::ForcedOpen, Override::Disabled, Override::Observe],
            );
            let until = pick(rng, &[None, Some(now + Duration::from_secs(3))]);
            breaker.set_override(what, until, "", now);
            model.wish = Some((what, until));
            model.begin(Reason::Manual);
        }
    }
}

fn compare(breaker: &Breaker, model: &Model, now: Mono, place: &str) {
    let report = breaker.report(now);
    assert_eq!(report.state, model.effective(), "{place}");
    assert_eq!(usize::from(report.trials_upstream), model.upstream(), "{place}");
    if report.state == State::HalfOpen {
        let left = usize::from(model.settings.half_open.permits) - model.taken();
        assert_eq!(usize::from(report.permits_left), left, "{place}");
    }
    if report.state == State::Open {
        assert_eq!(report.until, model.until.map(|u| u.since(now)), "{place}");
        assert_eq!(report.openings_in_a_row, model.openings, "{place}");
    }
    if matches!(report.state, State::Closed | State::HalfOpen) {
        let (total, failed, slow, either) = model.sums();
        let rates = report.rates;
        let ours = (rates.calls as f64, rates.failed as f64, rates.slow as f64);
        assert_eq!(ours, (total, failed, slow), "{place}");
        assert!(
            total == 0.0 || (rates.combined_rate - either / total).abs() < 1e-9,
            "{place}"
        );
    }
}

#[test]
fn a_hundred_thousand_traces_equal_the_naive_model() {
    let mut reached: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..100_000 {
        for reason in run(seed, 60) {
            *reached.entry(reason.as_str()).or_default() += 1;
        }
    }
    // The traces are worth something only if they go everywhere.
    let of_peers = [Reason::Latency, Reason::SuccessRate];
    for reason in Reason::ALL.into_iter().filter(|r| !of_peers.contains(r)) {
        let times = reached.get(reason.as_str()).copied().unwrap_or(0);
        assert!(times > 1_000, "{reason} only {times} times: {reached:?}");
    }
}
