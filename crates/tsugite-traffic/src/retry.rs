//! Retries: whether a try that failed may be repeated, when, and out of which budget.
//!
//! A retry helps while few calls fail and harms when all do: then it multiplies the load of a service that is already
//! down. So each core keeps a [`Budget`] for each service, and a retry that finds it empty is not made. What a client
//! sends once reaches a dead service 1.2 times at most, plus ten a second, whatever the number of tries.
//!
//! Modelled on Finagle's retry budget (a share of calls, a floor and a time to live) and gRPC's retry design (proposal A6:
//! pushback, and no retry once a call is committed).

use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

/// The first wait is up to this, the n-th up to `2^(n-1)` times that,
const BACKOFF: Duration = Duration::from_millis(25);
/// but never more than this.
const LONGEST_BACKOFF: Duration = Duration::from_millis(250);
/// A service that asks for more patience than this is not tried again.
const LONGEST_HINT: Duration = Duration::from_secs(300);
/// Tries of one call, at most.
pub const MAX_TRIES: u32 = 5;
/// Seconds for which a call counts towards the budget.
const TTL: usize = 10;
/// Retries of a service that may be in progress at once, however few its calls are.
const LEAST_CONCURRENT: u32 = 3;

/// When calls to a service are tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySettings {
    /// Tries of one call in all; 1 is no retry. Default 3, at most [`MAX_TRIES`].
    pub tries: u32,
    /// Time for the answer's head of one try, if it may be repeated. Default none.
    pub per_try_timeout: Option<Duration>,
    /// Retries for each call. Default 0.2.
    pub budget: f64,
    /// Retries a second that are always allowed. Default 10.
    pub floor: u32,
}

impl Default for RetrySettings {
    fn default() -> RetrySettings {
        RetrySettings {
            tries: 3,
            per_try_timeout: None,
            budget: 0.2,
            floor: 10,
        }
    }
}

/// How a try ended, before a byte of its answer was handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryEnd {
    /// There was no connection, or the endpoint refused the request unprocessed.
    NotSent,
    /// The connection broke before the head of an answer.
    Broken,
    /// The head of the answer did not come in the time of one try.
    TimedOut,
    /// An answer with this HTTP status.
    Http(u16),
    /// An answer of headers only with this gRPC status.
    Grpc(u32),
}

/// What a request allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nature {
    /// It changes nothing: GET, HEAD, OPTIONS, TRACE.
    pub safe: bool,
    /// Twice is the same as once: the safe ones, PUT, DELETE.
    pub idempotent: bool,
    /// A gRPC call.
    pub grpc: bool,
}

impl Nature {
    /// Whether a try that ended so is worth another, and harmless. `hinted`: the answer says when to come back.
    pub const fn allows_retry(self, end: TryEnd, hinted: bool) -> bool {
        match end {
            TryEnd::NotSent => true,
            TryEnd::Broken => self.idempotent || self.grpc,
            TryEnd::TimedOut => self.idempotent,
            TryEnd::Http(502..=504) => self.idempotent || self.grpc,
            TryEnd::Http(500) => self.safe,
            TryEnd::Http(429) => hinted && (self.idempotent || self.grpc),
            TryEnd::Http(_) => false,
            // UNAVAILABLE.
            TryEnd::Grpc(code) => code == 14,
        }
    }
}

/// What the service itself says about another try: `Retry-After`, `grpc-retry-pushback-ms`, `Tsugite-Retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// After this time.
    After(Duration),
    /// Not at all.
    Never,
}

/// The wait before retry number `retry` (from 1), `left` being the time that the call still has. `None`: it would be
/// too late, or the service does not want one.
pub fn wait_before(
    retry: u32,
    hint: Option<Hint>,
    left: Option<Duration>,
    rng: &mut SplitMix64,
) -> Option<Duration> {
    let wait = match hint {
        Some(Hint::Never) => return None,
        Some(Hint::After(wait)) if wait > LONGEST_HINT => return None,
        Some(Hint::After(wait)) => wait,
        None => {
            let most = BACKOFF.saturating_mul(2u32.saturating_pow(retry.saturating_sub(1)));
            most.min(LONGEST_BACKOFF).mul_f64(rng.unit())
        }
    };
    left.is_none_or(|left| wait < left).then_some(wait)
}

/// A core's share of the retries of one service.
///
/// Over the last ten seconds, retries are at most `budget` for each call and `floor` a second. A retry is paid for when
/// it is decided on, not when it is sent, so that retries which wait are not forgotten. And none is decided on while as
/// many are on their way as a fifth of the calls in progress, or three; those that still wait are no load.
#[derive(Clone, Debug)]
pub struct Budget {
    share: f64,
    floor: f64,
    least_concurrent: u32,
    seconds: [Second; TTL],
    in_progress: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    calls: u32,
    retries: u32,
}

impl Budget {
    /// A budget for one of `cores` cores: each has its part of the floor.
    pub fn new(settings: &RetrySettings, cores: usize) -> Budget {
        let cores = u32::try_from(cores).unwrap_or(u32::MAX).max(1);
        Budget {
            share: settings.budget,
            floor: f64::from(settings.floor) / f64::from(cores),
            least_concurrent: LEAST_CONCURRENT.div_ceil(cores),
            seconds: Default::default(),
            in_progress: 0,
        }
    }

    /// A call begins.
    pub fn deposit(&mut self, now: Mono) {
        let second = self.second(now);
        second.calls = second.calls.saturating_add(1);
    }

    /// Takes a retry out of the budget, if there is one left, `active` calls being in progress on this core.
    pub fn withdraw(&mut self, now: Mono, active: u64) -> bool {
        let concurrent = u64::from(self.least_concurrent).max(active / 5);
        if u64::from(self.in_progress) >= concurrent || self.balance(now) < 1.0 {
            return false;
        }
        let second = self.second(now);
        second.retries = second.retries.saturating_add(1);
        true
    }

    /// A retry is sent. [`Budget::ended`] must follow.
    pub fn sent(&mut self) {
        self.in_progress = self.in_progress.saturating_add(1);
    }

    /// A retry ended, whatever came of it.
    pub fn ended(&mut self) {
        self.in_progress = self.in_progress.saturating_sub(1);
    }

    /// Retries that are left now.
    pub fn balance(&self, now: Mono) -> f64 {
        let number = number(now);
        let recent = self.seconds.iter().filter(|s| s.number + TTL as u64 > number);
        let (calls, retries) = recent.fold((0.0, 0.0), |(calls, retries), s| {
            (calls + f64::from(s.calls), retries + f64::from(s.retries))
        });
        self.floor * TTL as f64 + self.share * calls - retries
    }

    fn second(&mut self, now: Mono) -> &mut Second {
        let number = number(now);
        let second = &mut self.seconds[number as usize % TTL];
        if second.number != number {
            *second = Second {
                number,
                ..Second::default()
            };
        }
        second
    }
}

/// Seconds since a moment so long before the clock's origin that no slot of a new budget is recent.
fn number(now: Mono) -> u64 {
    now.nanos() / 1_000_000_000 + TTL as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    #[test]
    fn what_may_be_repeated() {
        let get = Nature {
            safe: true,
            idempotent: true,
            grpc: false,
        };
        let put = Nature { safe: false, ..get };
        let post = Nature::default();
        let grpc = Nature { grpc: true, ..post };
        // GET, PUT, POST, gRPC.
        for (end, hinted, expected) in [
            (TryEnd::NotSent, false, [true, true, true, true]),
            (TryEnd::Broken, false, [true, true, false, true]),
            (TryEnd::TimedOut, false, [true, true, false, false]),
            (TryEnd::Http(500), false, [true, false, false, false]),
            (TryEnd::Http(501), false, [false; 4]),
            (TryEnd::Http(502), false, [true, true, false, true]),
            (TryEnd::Http(503), false, [true, true, false, true]),
            (TryEnd::Http(503), true, [true, true, false, true]),
            (TryEnd::Http(504), false, [true, true, false, true]),
            (TryEnd::Http(505), false, [false; 4]),
            (TryEnd::Http(429), false, [false; 4]),
            (TryEnd::Http(429), true, [true, true, false, true]),
            (TryEnd::Http(404), true, [false; 4]),
            (TryEnd::Http(200), false, [false; 4]),
            (TryEnd::Grpc(14), false, [true; 4]),
            (TryEnd::Grpc(8), true, [false; 4]),
            (TryEnd::Grpc(13), false, [false; 4]),
        ] {
            let allowed = [get, put, post, grpc].map(|nature| nature.allows_retry(end, hinted));
            assert_eq!(allowed, expected, "{end:?} hinted {hinted}");
        }
    }

    #[test]
    fn waits_grow_with_full_jitter_and_hints_are_kept_exactly() {
        let mut rng = SplitMix64::new(1);
        for (retry, most) in [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (60, 250)] {
            let waits: Vec<_> = (0..500)
                .map(|_| wait_before(retry, None, None, &mut rng).unwrap())
                .collect();
            let most = Duration::from_millis(most);
            assert!(waits.iter().all(|wait| *wait < most));
            assert!(waits.iter().any(|wait| *wait > most * 9 / 10));
            assert!(waits.iter().any(|wait| *wait < most / 10));
        }
        let second = Duration::from_secs(1);
        let mut ask = |hint, left| wait_before(1, hint, left, &mut rng);
        assert_eq!(ask(Some(Hint::After(second)), None), Some(second));
        assert_eq!(ask(Some(Hint::After(second)), Some(second * 2)), Some(second));
        assert_eq!(ask(Some(Hint::After(second)), Some(second)), None);
        assert_eq!(ask(Some(Hint::After(second * 300)), None), Some(second * 300));
        assert_eq!(ask(Some(Hint::After(second * 301)), None), None);
        assert_eq!(ask(Some(Hint::Never), None), None);
        assert_eq!(ask(None, Some(Duration::ZERO)), None);
    }

    /// The naive model: every call and retry in a list.
    #[test]
    fn the_budget_equals_a_list_of_everything() {
        for seed in 0..200 {
            let mut rng = SplitMix64::new(seed);
            let cores = 1 + rng.below(4) as usize;
            let settings = RetrySettings {
                budget: rng.unit(),
                floor: rng.below(12) as u32,
                ..RetrySettings::default()
            };
            let mut budget = Budget::new(&settings, cores);
            let (mut calls, mut retries): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
            let (mut now, mut running) = (rng.below(100_000), 0u64);
            for _ in 0..2_000 {
                now += [0, 1, 20, 400, 1_500][rng.below(5) as usize];
                let second = now / 1000;
                let recent = |list: &[u64]| list.iter().filter(|s| **s + 10 > second).count() as f64;
                let active = rng.below(60);
                match rng.below(4) {
                    0 | 1 => {
                        budget.deposit(at(now));
                        calls.push(second);
                    }
                    2 => {
                        let floor = f64::from(settings.floor) * 10.0 / cores as f64;
                        let left = floor + settings.budget * recent(&calls) - recent(&retries);
                        let room = running < (active / 5).max(3u64.div_ceil(cores as u64));
                        // A hundred-thousandth of a retry is the difference between two orders of adding up.
                        if (left - 1.0).abs() > 1e-5 {
                            assert_eq!(
                                budget.withdraw(at(now), active),
                                room && left > 1.0,
                                "seed {seed}"
                            );
                            if room && left > 1.0 {
                                retries.push(second);
                                budget.sent();
                                running += 1;
                            }
                        }
                    }
                    _ => {
                        budget.ended();
                        running = running.saturating_sub(1);
                    }
                }
            }
        }
    }

    #[test]
    fn a_dead_service_gets_at_most_a_fifth_more() {
        let mut budget = Budget::new(&RetrySettings::default(), 1);
        let (mut calls, mut sent) = (0u32, 0u32);
        for millisecond in 0..60_000 {
            // A thousand calls a second, each of which fails at once and would be tried twice more.
            budget.deposit(at(millisecond));
            (calls, sent) = (calls + 1, sent + 1);
            for _ in 0..2 {
                if !budget.withdraw(at(millisecond), 1) {
                    break;
                }
                sent += 1;
                budget.sent();
                budget.ended();
            }
        }
        let ratio = f64::from(sent) / f64::from(calls);
        assert!((1.19..=1.212).contains(&ratio), "{ratio}");
    }

    #[test]
    fn retries_in_progress_are_bounded_by_calls_in_progress() {
        let mut budget = Budget::new(&RetrySettings::default(), 1);
        let granted = |budget: &mut Budget, active| {
            let sends = |_: &i32| {
                let granted = budget.withdraw(at(0), active);
                if granted {
                    budget.sent();
                }
                granted
            };
            (0..50).filter(sends).count()
        };
        assert_eq!(granted(&mut budget, 0), 3);
        assert_eq!(granted(&mut budget, 15), 0);
        assert_eq!(granted(&mut budget, 40), 5);
        budget.ended();
        assert_eq!(granted(&mut budget, 40), 1);
    }
}
