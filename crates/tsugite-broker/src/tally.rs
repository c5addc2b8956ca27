//! What happened in a queue: totals and rates for people. Not part of the state: a start begins at zero.

use std::time::Duration;

use tsugite_base::Timestamp;

/// The span over which a rate is measured.
const WINDOW_MS: u64 = 10_000;

/// What is counted of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages stored: sent, or delivered by a topic.
    pub sent: Count,
    /// Deliveries begun.
    pub received: Count,
    /// Messages deleted by a receiver.
    pub deleted: Count,
    /// Messages that grew older than the queue's retention.
    pub expired: Count,
    /// Messages that went to the dead-letter queue.
    pub dead_lettered: Count,
}

/// A total with the counts of this and the last window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Since the start.
    pub total: u64,
    window: u64,
    now: u32,
    before: u32,
}

impl Count {
    /// Counts `n` at the machine's time `at`.
    pub(crate) fn add(&mut self, n: usize, at: Timestamp) {
        self.turn(at);
        self.total += n as u64;
        self.now = self.now.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
    }

    fn turn(&mut self, at: Timestamp) {
        let window = at.millis() / WINDOW_MS;
        if window > self.window {
            self.before = if window == self.window + 1 { self.now } else { 0 };
            self.now = 0;
            self.window = window;
        }
    }

    /// Per second over about the last ten seconds, as of the machine's time `at`: the last window counts for as much
    /// of it as the current one still lacks.
    pub fn per_second(mut self, at: Timestamp) -> f64 {
        self.turn(at);
        let passed = (at.millis() % WINDOW_MS) as f64 / WINDOW_MS as f64;
        let seen = f64::from(self.before) * (1.0 - passed) + f64::from(self.now);
        seen / Duration::from_millis(WINDOW_MS).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_and_fade() {
        let mut count = Count::default();
        let rate = |count: Count, at| count.per_second(Timestamp(at));
        for at in (100_000..110_000).step_by(100) {
            count.add(2, Timestamp(at));
        }
        assert_eq!(count.total, 200);
        assert!((rate(count, 109_999) - 20.0).abs() < 0.1);
        assert!(
            (rate(count, 115_000) - 10.0).abs() < 0.1,
            "half of the last window"
        );
        assert_eq!(rate(count, 125_000), 0.0);
        assert_eq!(count.total, 200, "looking changes nothing");
    }
}
