//! The circuit as a sequential machine: batches of outcomes and the time go in, changes of state come out.

use std::collections::VecDeque;
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use super::window::{Batch, Counts, Rates, Window};
use super::{Override, Reason, State, Transition};
use crate::settings::{CircuitSettings, Growth};

/// Changes of state that a circuit remembers.
pub(crate) const REMEMBERED: usize = 32;
/// Time in closed after which the next opening waits `open.base` again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// Time in closed after which a linearly growing wait shrinks by one step.
const DECAYS_EVERY: Duration = Duration::from_secs(10);

/// What the circuit itself thinks, whatever an operator wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    /// Until this moment.
    Open(Mono),
    /// A verdict is due at this moment, known once the first trial call is admitted.
    HalfOpen(Option<Mono>),
}

/// An operator's override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What is wished.
    pub what: Override,
    /// When it ends by itself; `None` for never.
    pub until: Option<Mono>,
    /// The operator's remark.
    pub note: String,
}

/// One circuit. Pure: the only inputs are outcomes, wishes, the time and a generator for the jitter.
///
/// Every change of state begins a new *generation*; outcomes of calls admitted before it must not be passed in.
/// Admission, half-open permits and the check of generations are the business of [`super::Breaker`].
#[derive(Clone, Debug)]
pub struct Circuit {
    settings: CircuitSettings,
    phase: Phase,
    wish: Option<Wish>,
    generation: u32,
    /// When the effective state began.
    since: Mono,
    /// When the phase `Closed` began.
    closed_since: Mono,
    /// Openings in a row, for the backoff.
    streak: u32,
    /// Why it last opened.
    opened_by: Reason,
    window: Window,
    trial: Counts,
    /// All outcomes ever taken in.
    totals: Counts,
    transitions: VecDeque<Transition>,
    transition_count: u64,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(settings: CircuitSettings, now: Mono) -> Circuit {
        Circuit {
            window: Window::new(settings.window),
            settings,
            phase: Phase::Closed,
            wish: None,
            generation: 1,
            since: now,
            closed_since: now,
            streak: 0,
            opened_by: Reason::Manual,
            trial: Counts::default(),
            totals: Counts::default(),
            transitions: VecDeque::new(),
            transition_count: 0,
        }
    }

    /// Takes in what happened since the last batch, and judges. Outcomes in a state that does not count are
    /// only added to the totals.
    pub fn absorb(&mut self, batch: &Batch, now: Mono, rng: &mut SplitMix64) {
        if let Some(reason) = self.take_in(batch, now, rng) {
            self.trip(reason, now, rng);
        }
    }

    /// As [`Circuit::absorb`], but a closed circuit that should open only says why, and stays as it is until
    /// [`Circuit::trip`]: whether an endpoint may be ejected depends on the others.
    pub fn take_in(&mut self, batch: &Batch, now: Mono, rng: &mut SplitMix64) -> Option<Reason> {
        if *batch == Batch::default() {
            return None;
        }
        self.totals.add(&batch.counts);
        match self.phase {
            Phase::Closed => {
                self.window.add(&batch.counts, now);
                return batch.row.or_else(|| self.trip_reason(now));
            }
            Phase::HalfOpen(verdict_due) => {
                if let (None, Some(first)) = (verdict_due, batch.first_trial) {
                    self.phase = Phase::HalfOpen(Some(first + self.settings.half_open.max_duration));
                }
                self.trial.add(&batch.counts);
                match self.verdict() {
                    Some(Ok(())) => self.close(Reason::TrialSucceeded, now),
                    Some(Err(reason)) => self.open(reason, now, rng),
                    None => {}
                }
            }
            Phase::Open(_) => {}
        }
        None
    }

    /// Opens the circuit if it is closed.
    pub fn trip(&mut self, reason: Reason, now: Mono, rng: &mut SplitMix64) {
        if self.phase == Phase::Closed {
            self.open(reason, now, rng);
        }
    }

    /// Lets the timers fire that are due.
    pub fn advance(&mut self, now: Mono, rng: &mut SplitMix64) {
        if self
            .wish
            .as_ref()
            .and_then(|w| w.until)
            .is_some_and(|until| until <= now)
        {
            self.apply_wish(None, Reason::OverrideExpired, now);
        }
        match self.phase {
            Phase::Open(until) if until <= now => {
                self.change(Phase::HalfOpen(None), Reason::Timer, now);
            }
            Phase::HalfOpen(Some(due)) if due <= now => self.open(Reason::TrialTimeout, now, rng),
            _ => {}
        }
    }

    /// When [`Circuit::advance`] has something to do; `None` if nothing is due.
    pub fn next_deadline(&self) -> Option<Mono> {
        let timer = match self.phase {
            Phase::Open(until) => Some(until),
            Phase::HalfOpen(due) => due,
            Phase::Closed => None,
        };
        let wish = self.wish.as_ref().and_then(|w| w.until);
        timer.into_iter().chain(wish).min()
    }

    /// Sets or lifts (`None`) an override. Calls in flight no longer count; what the circuit itself thinks, and
    /// its timers, go on beneath.
    pub fn set_override(&mut self, wish: Option<Wish>, now: Mono) {
        self.apply_wish(wish, Reason::Manual, now);
    }

    /// Back to closed with an empty window and no backoff. An override stays.
    pub fn reset(&mut self, now: Mono) {
        self.streak = 0;
        self.close(Reason::Manual, now);
    }

    /// The state that calls meet.
    pub fn state(&self) -> State {
        match (&self.wish, self.phase) {
            (
                Some(Wish {
                    what: Override::ForcedOpen,
                    ..
                }),
                _,
            ) => State::ForcedOpen,
            (
                Some(Wish {
                    what: Override::Disabled,
                    ..
                }),
                _,
            ) => State::Disabled,
            (_, Phase::Closed) => State::Closed,
            (_, Phase::Open(_)) => State::Open,
            (_, Phase::HalfOpen(_)) => State::HalfOpen,
        }
    }

    /// The override in force.
    pub const fn wish(&self) -> Option<&Wish> {
        self.wish.as_ref()
    }

    /// The current generation: one more with every change of state.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// When the state began.
    pub const fn since(&self) -> Mono {
        self.since
    }

    /// When the state ends by itself, if that is known.
    pub fn until(&self) -> Option<Mono> {
        match (self.state(), self.phase) {
            (State::ForcedOpen | State::Disabled, _) => self.wish.as_ref().and_then(|w| w.until),
            (_, Phase::Open(until)) => Some(until),
            (_, Phase::HalfOpen(due)) => due,
            (_, Phase::Closed) => None,
        }
    }

    /// Why the circuit last opened, or `Manual` if it is forced open.
    pub fn reason(&self) -> Reason {
        if self.state() == State::ForcedOpen {
            Reason::Manual
        } else {
            self.opened_by
        }
    }

    /// Openings in a row: the n of `base · 2^(n-1)` or `base · n`.
    pub const fn streak(&self) -> u32 {
        self.streak
    }

    /// The openings in a row that a circuit which has been closed until now still remembers.
    fn streak_at(&self, now: Mono) -> u32 {
        let closed = now.since(self.closed_since);
        match self.settings.open.growth {
            Growth::Doubling if closed >= FORGIVEN_AFTER => 0,
            Growth::Doubling => self.streak,
            Growth::Linear => {
                let healthy = closed.as_nanos() / DECAYS_EVERY.as_nanos();
                self.streak
                    .saturating_sub(u32::try_from(healthy).unwrap_or(u32::MAX))
            }
        }
    }

    /// When it last became closed.
    pub const fn closed_since(&self) -> Mono {
        self.closed_since
    }

    /// The settings.
    pub const fn settings(&self) -> &CircuitSettings {
        &self.settings
    }

    /// What the window (closed) or the trial calls (half-open) hold; empty in other states.
    pub fn rates(&mut self, now: Mono) -> Rates {
        match self.phase {
            Phase::Closed => self.window.counts(now).rates(),
            Phase::HalfOpen(_) => self.trial.rates(),
            Phase::Open(_) => Rates::default(),
        }
    }

    /// All outcomes ever taken in.
    pub const fn totals(&self) -> &Counts {
        &self.totals
    }

    /// The last changes of state, oldest first, and how many there were in all.
    pub fn transitions(
        &self,
    ) -> (
        impl DoubleEndedIterator<Item = &Transition> + ExactSizeIterator,
        u64,
    ) {
        (self.transitions.iter(), self.transition_count)
    }

    /// The first rate, in the order of priority, for which a closed circuit opens, from `min_calls` on.
    fn trip_reason(&mut self, now: Mono) -> Option<Reason> {
        let settings = &self.settings;
        let counts = self.window.counts(now);
        let total = counts.total();
        if total < u64::from(settings.min_calls) {
            return None;
        }
        reached(&counts, total, settings)
    }

    /// Whether the trial calls so far decide. `Err` holds why they failed.
    fn verdict(&self) -> Option<Result<(), Reason>> {
        let settings = &self.settings;
        let permits = u64::from(settings.half_open.permits);
        if self.trial.overload > 0 {
            return Some(Err(Reason::Overload));
        }
        if let Some(reason) = reached(&self.trial, permits, settings) {
            return Some(Err(reason));
        }
        let open = permits.saturating_sub(self.trial.total());
        // The worst that can still come: every open trial call fails slowly, every marked one fails.
        let worst = Counts {
            slow_failure: self.trial.slow_failure + open,
            late_failure: self.trial.late_failure + self.trial.unfinished(),
            ..self.trial
        };
        reached(&worst, permits, settings).is_none().then_some(Ok(()))
    }

    fn open(&mut self, reason: Reason, now: Mono, rng: &mut SplitMix64) {
        if self.phase == Phase::Closed {
            self.streak = self.streak_at(now);
        }
        self.streak = self.streak.saturating_add(1);
        let open = &self.settings.open;
        let factor = match open.growth {
            Growth::Doubling => 2u32.saturating_pow(self.streak - 1),
            Growth::Linear => self.streak,
        };
        let wait = open.base.saturating_mul(factor).min(open.max);
        let jitter = 1.0 + open.jitter * (2.0 * rng.unit() - 1.0);
        let wait = wait.mul_f64(jitter).min(open.max);
        self.opened_by = reason;
        self.change(Phase::Open(now + wait), reason, now);
    }

    fn close(&mut self, reason: Reason, now: Mono) {
        self.closed_since = now;
        self.change(Phase::Closed, reason, now);
    }

    fn apply_wish(&mut self, wish: Option<Wish>, reason: Reason, now: Mono) {
        if self.wish.is_none() && wish.is_none() {
            return;
        }
        let from = self.state();
        let rates = self.rates(now);
        self.wish = wish;
        self.begin_generation(from, reason, now, rates);
    }

    fn change(&mut self, phase: Phase, reason: Reason, now: Mono) {
        let from = self.state();
        let rates = self.rates(now);
        self.phase = phase;
        self.begin_generation(from, reason, now, rates);
    }

    fn begin_generation(&mut self, from: State, reason: Reason, now: Mono, rates: Rates) {
        self.generation = self.generation.wrapping_add(1);
        self.window.clear();
        self.trial = Counts::default();
        if let Phase::HalfOpen(due) = &mut self.phase {
            *due = None;
        }
        let (to, generation) = (self.state(), self.generation);
        if from != to {
            self.since = now;
        } else if !matches!(reason, Reason::Manual | Reason::OverrideExpired) {
            return; // A timer beneath an override changes nothing that anyone meets.
        }
        if self.transitions.len() == REMEMBERED {
            self.transitions.pop_front();
        }
        self.transitions.push_back(Transition {
            at: now,
            from,
            to,
            reason,
            generation,
            rates,
        });
        self.transition_count += 1;
    }
}

/// The first rate, in the order of priority, that reaches its threshold.
fn reached(counts: &Counts, total: u64, settings: &CircuitSettings) -> Option<Reason> {
    // A billionth of tolerance: 11 of 20 reaches 55 %, although 0.55 · 20 is above 11 in floating point.
    let at_least = |part: u64, threshold: f64| part > 0 && part as f64 >= (threshold - 1e-9) * total as f64;
    if at_least(counts.failed(), settings.failure_rate) {
        Some(Reason::FailureRate)
    } else if at_least(counts.slow(), settings.slow_call_rate) {
        Some(Reason::SlowRate)
    } else if settings
        .combined_rate
        .is_some_and(|rate| at_least(counts.slow_or_failed(), rate))
    {
        Some(Reason::Combined)
    } else {
        None
    }
}
