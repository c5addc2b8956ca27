//! Latencies in buckets of constant relative width (3 %), from a microsecond to minutes.

use std::time::Duration;

/// Sub-buckets of each power of two.
const STEPS: u32 = 32;
const BUCKETS: usize = (STEPS * 40) as usize;

/// Counts of observed durations.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.counts[bucket(took)] += 1;
        self.total += 1;
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    pub(crate) fn count(&self) -> u64 {
        self.total
    }

    /// The duration below which `share` (0 to 1) of the observations lie, in microseconds.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let rank = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return upper_ns(index) as f64 / 1000.0;
            }
        }
        0.0
    }
}

fn bucket(took: Duration) -> usize {
    let ns = u64::try_from(took.as_nanos())
        .unwrap_or(u64::MAX)
        .max(u64::from(STEPS));
    let shift = ns.ilog2() - STEPS.ilog2();
    let index = u64::from(shift * STEPS) + ((ns >> shift) - u64::from(STEPS));
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The upper edge of a bucket, in nanoseconds.
fn upper_ns(index: usize) -> u64 {
    let (shift, step) = (index as u64 / u64::from(STEPS), index as u64 % u64::from(STEPS));
    (u64::from(STEPS) + step + 1) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_three_percent() {
        let mut histogram = Histogram::new();
        for us in 1..=100_000 {
            histogram.record(Duration::from_micros(us));
        }
        for (share, expected) in [(0.5, 50_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
            let found = histogram.quantile_us(share);
            assert!((found / expected - 1.0).abs() < 0.035, "{share}: {found}");
        }
    }

    #[test]
    fn extremes_stay_inside() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(1_000_000));
        assert_eq!(histogram.count(), 2);
        assert_eq!(Histogram::new().quantile_us(0.99), 0.0);
    }
}
