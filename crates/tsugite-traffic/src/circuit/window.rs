//! Counting calls in a time window of ten buckets.

use std::time::Duration;

use tsugite_base::Mono;

use super::Reason;

/// Buckets of a window.
pub(crate) const BUCKETS: usize = 10;

/// What happened to calls. A call that was counted as slow while it ran is `marked` then, and one of the three
/// `late_*` when it ends; every other call is one of the first six when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Succeeded in time.
    pub success: u64,
    /// Failed in time.
    pub failure: u64,
    /// Succeeded slowly.
    pub slow_success: u64,
    /// Failed slowly.
    pub slow_failure: u64,
    /// Answered "too much" (429, RESOURCE_EXHAUSTED).
    pub overload: u64,
    /// Says nothing about the service.
    pub ignored: u64,
    /// Still running, but past the slow threshold.
    pub marked: u64,
    /// Marked earlier, then succeeded.
    pub late_success: u64,
    /// Marked earlier, then failed.
    pub late_failure: u64,
    /// Marked earlier, then abandoned by the client.
    pub late_ignored: u64,
    /// Of the failures, those to connect.
    pub connect: u64,
}

impl Counts {
    /// Calls that count: everything but the ignored.
    pub const fn total(&self) -> u64 {
        self.success + self.failure + self.slow_success + self.slow_failure + self.overload + self.marked
    }

    /// Failed calls. A call marked before the window began may fail within it: never more than `total`.
    pub fn failed(&self) -> u64 {
        let failed = self.failure + self.slow_failure + self.overload + self.late_failure;
        failed.min(self.total())
    }

    /// Slow calls.
    pub const fn slow(&self) -> u64 {
        self.slow_success + self.slow_failure + self.marked
    }

    /// Calls that were slow, failed or both.
    pub const fn slow_or_failed(&self) -> u64 {
        self.failure + self.overload + self.slow()
    }

    /// Marked calls that have not ended.
    pub const fn unfinished(&self) -> u64 {
        self.marked
            .saturating_sub(self.late_success + self.late_failure + self.late_ignored)
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        self.success += other.success;
        self.failure += other.failure;
        self.slow_success += other.slow_success;
        self.slow_failure += other.slow_failure;
        self.overload += other.overload;
        self.ignored += other.ignored;
        self.marked += other.marked;
        self.late_success += other.late_success;
        self.late_failure += other.late_failure;
        self.late_ignored += other.late_ignored;
        self.connect += other.connect;
    }

    /// What was counted since `before`, an earlier state of the same counts.
    pub(crate) const fn since(&self, before: &Counts) -> Counts {
        Counts {
            success: self.success - before.success,
            failure: self.failure - before.failure,
            slow_success: self.slow_success - before.slow_success,
            slow_failure: self.slow_failure - before.slow_failure,
            overload: self.overload - before.overload,
            ignored: self.ignored - before.ignored,
            marked: self.marked - before.marked,
            late_success: self.late_success - before.late_success,
            late_failure: self.late_failure - before.late_failure,
            late_ignored: self.late_ignored - before.late_ignored,
            connect: self.connect - before.connect,
        }
    }

    /// Calls and shares, for people.
    pub fn rates(&self) -> Rates {
        let total = self.total();
        let share = |part: u64| {
            if total == 0 {
                0.0
            } else {
                part as f64 / total as f64
            }
        };
        Rates {
            calls: total,
            failed: self.failed(),
            slow: self.slow(),
            failure_rate: share(self.failed()),
            slow_rate: share(self.slow()),
            combined_rate: share(self.slow_or_failed()),
        }
    }
}

/// Calls and shares at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Calls that count.
    pub calls: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Of these, slow.
    pub slow: u64,
    /// `failed / calls`, 0 without calls.
    pub failure_rate: f64,
    /// `slow / calls`, 0 without calls.
    pub slow_rate: f64,
    /// Share of calls that were slow, failed or both.
    pub combined_rate: f64,
}

/// What a circuit learns at once: the outcomes since the last batch, all of the current generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The outcomes.
    pub counts: Counts,
    /// When the first trial call of this half-open phase was admitted, if one was.
    pub first_trial: Option<Mono>,
    /// Why the circuit is to open, if a row of failures reached its limit.
    pub row: Option<Reason>,
}

/// The ring of buckets. A bucket covers a tenth of the window, at fixed multiples of that: the result does not
/// depend on when calls arrive, and a gap longer than the window leaves it empty.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    width: u64,
    /// Number of the newest bucket since the clock's origin.
    newest: u64,
    buckets: [Counts; BUCKETS],
    sum: Counts,
}

impl Window {
    pub(crate) fn new(length: Duration) -> Window {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Window {
            width: (nanos / BUCKETS as u64).max(1),
            newest: 0,
            buckets: [Counts::default(); BUCKETS],
            sum: Counts::default(),
        }
    }

    /// Adds `counts` to the bucket of `now`, which must not go back.
    pub(crate) fn add(&mut self, counts: &Counts, now: Mono) {
        self.turn(now);
        self.buckets[(self.newest % BUCKETS as u64) as usize].add(counts);
        self.sum.add(counts);
    }

    /// The sum of the buckets that lie in the window at `now`.
    pub(crate) fn counts(&mut self, now: Mono) -> Counts {
        self.turn(now);
        self.sum
    }

    pub(crate) fn clear(&mut self) {
        self.buckets = [Counts::default(); BUCKETS];
        self.sum = Counts::default();
    }

    fn turn(&mut self, now: Mono) {
        let bucket = now.nanos() / self.width;
        if bucket <= self.newest {
            return;
        }
        let passed = (bucket - self.newest).min(BUCKETS as u64);
        self.newest = bucket;
        for back in 0..passed {
            self.buckets[((bucket - back) % BUCKETS as u64) as usize] = Counts::default();
        }
        self.sum = Counts::default();
        for bucket in &self.buckets {
            self.sum.add(bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Counts {
        Counts {
            success: 1,
            ..Counts::default()
        }
    }

    #[test]
    fn a_bucket_leaves_when_the_window_has_passed_it() {
        let mut window = Window::new(Duration::from_secs(10));
        let at = |millis: u64| Mono(millis * 1_000_000);
        window.add(&one(), at(500));
        window.add(&one(), at(1_500));
        assert_eq!(window.counts(at(9_999)).success, 2);
        assert_eq!(window.counts(at(10_000)).success, 1);
        assert_eq!(window.counts(at(10_999)).success, 1);
        assert_eq!(window.counts(at(11_000)).success, 0);
        window.add(&one(), at(12_000));
        assert_eq!(window.counts(at(12_001)).success, 1);
        assert_eq!(window.counts(at(100_000)).success, 0);
    }

    #[test]
    fn late_failures_never_exceed_the_calls() {
        let counts = Counts {
            success: 1,
            late_failure: 5,
            ..Counts::default()
        };
        assert_eq!((counts.failed(), counts.rates().failure_rate), (1, 1.0));
        assert_eq!(Counts::default().rates(), Rates::default());
    }
}
