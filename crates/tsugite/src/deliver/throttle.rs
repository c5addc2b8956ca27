//! How many deliveries may begin now: a bucket of tokens that fills at the rate of the throttle policy.

use std::time::Duration;

use tsugite_base::Mono;

/// The part of a second's deliveries that may begin at once.
const BURST: u64 = 20;

/// A bucket. It counts in the time at which it would be full again: tokens are time that has passed.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    per_second: Option<u32>,
    /// The moment up to which time was spent.
    spent: u64,
}

impl Throttle {
    /// The rate from now on.
    pub(super) fn set(&mut self, per_second: Option<u32>) {
        self.per_second = per_second.filter(|&rate| rate > 0);
    }

    /// Up to `wanted` tokens, or how long to wait for one.
    pub(super) fn take(&mut self, wanted: usize, now: Mono) -> Result<usize, Duration> {
        let Some(each) = self.each() else {
            return Ok(wanted);
        };
        let burst = (u64::from(self.per_second.unwrap_or(1)) / BURST).max(1);
        self.spent = self.spent.max(now.nanos().saturating_sub(burst * each));
        let there = now.nanos().saturating_sub(self.spent) / each;
        if there == 0 {
            return Err(Duration::from_nanos(self.spent + each - now.nanos()));
        }
        let taken = there.min(wanted as u64);
        self.spent += taken * each;
        Ok(usize::try_from(taken).unwrap_or(wanted))
    }

    /// Puts tokens back that were not needed.
    pub(super) fn put_back(&mut self, tokens: usize) {
        if let Some(each) = self.each() {
            self.spent = self.spent.saturating_sub(tokens as u64 * each);
        }
    }

    /// Nanoseconds of one token.
    fn each(&self) -> Option<u64> {
        self.per_second.map(|rate| 1_000_000_000 / u64::from(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deliveries that begin within two seconds when as many as possible are wanted all the time.
    #[track_caller]
    fn check(per_second: u32, expected: std::ops::RangeInclusive<usize>) {
        let mut throttle = Throttle::default();
        throttle.set(Some(per_second));
        let (mut now, mut begun) = (Mono(50_000_000_000), 0);
        let end = now + Duration::from_secs(2);
        while now < end {
            match throttle.take(10, now) {
                Ok(taken) => begun += taken,
                Err(wait) => {
                    assert!(!wait.is_zero());
                    now = now + wait;
                }
            }
        }
        assert!(expected.contains(&begun), "{per_second}: {begun}");
    }

    #[test]
    fn rates_hold() {
        check(1, 2..=3);
        check(10, 20..=21);
        check(1_000, 2_000..=2_051);
        check(1_000_000, 2_000_000..=2_050_001);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.take(10, Mono(0)), Ok(10));
        throttle.set(Some(1));
        let now = Mono(10_000_000_000);
        assert_eq!(throttle.take(10, now), Ok(1));
        assert_eq!(throttle.take(10, now), Err(Duration::from_secs(1)));
        throttle.put_back(1);
        assert_eq!(throttle.take(1, now), Ok(1));
        // A long silence saves up no more than one burst.
        assert_eq!(throttle.take(10, Mono(90_000_000_000)), Ok(1));
        throttle.set(None);
        assert_eq!(throttle.take(10, now), Ok(10));
    }
}
