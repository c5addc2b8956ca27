//! What the door counts: requests by service, action and outcome, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds; one more bucket holds what is slower.
pub const LATENCY_BOUNDS_MICROS: [u64; 12] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000, 20_000_000,
];

/// Actions that are counted by name; the others count as `Other`, so that clients cannot grow the metrics.
const ACTIONS: &[(&str, &str)] = &[
    ("sqs", "SendMessage"),
    ("sqs", "SendMessageBatch"),
    ("sqs", "ReceiveMessage"),
    ("sqs", "DeleteMessage"),
    ("sqs", "DeleteMessageBatch"),
    ("sqs", "ChangeMessageVisibility"),
    ("sqs", "ChangeMessageVisibilityBatch"),
    ("sqs", "Other"),
    ("sns", "Publish"),
    ("sns", "PublishBatch"),
    ("sns", "Other"),
    ("servicediscovery", "DiscoverInstances"),
    ("servicediscovery", "RegisterInstance"),
    ("servicediscovery", "DeregisterInstance"),
    ("servicediscovery", "Other"),
    ("sts", "Other"),
    ("none", "Other"),
];

/// The counters of one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionMetrics {
    /// `sqs`, `sns`, `servicediscovery`, `sts`, or `none` for requests that name no service of ours.
    pub service: &'static str,
    /// The action, or `Other`.
    pub action: &'static str,
    /// Answered with success.
    pub succeeded: u64,
    /// Refused: the caller's fault.
    pub refused: u64,
    /// Failed: our fault.
    pub failed: u64,
    /// Requests per bucket of [`LATENCY_BOUNDS_MICROS`], not cumulated. A long poll counts with its wait.
    pub latency: [u64; LATENCY_BOUNDS_MICROS.len() + 1],
    /// Sum of all latencies, in microseconds.
    pub latency_sum_micros: u64,
}

#[derive(Default)]
struct Counters {
    outcomes: [AtomicU64; 3],
    latency: [AtomicU64; LATENCY_BOUNDS_MICROS.len() + 1],
    latency_sum_micros: AtomicU64,
}

pub(super) struct Metrics(Vec<Counters>);

impl Metrics {
    pub(super) fn new() -> Metrics {
        Metrics(ACTIONS.iter().map(|_| Counters::default()).collect())
    }

    /// Counts a request that was answered with `status` after `took`.
    pub(super) fn count(&self, service: &str, action: &str, status: u16, took: Duration) {
        let of = |action: &str| ACTIONS.iter().position(|known| *known == (service, action));
        let Some(counters) = of(action).or_else(|| of("Other")).and_then(|at| self.0.get(at)) else {
            return;
        };
        let outcome = match status {
            ..400 => 0,
            400..500 => 1,
            500.. => 2,
        };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_MICROS.partition_point(|&bound| bound < micros);
        counters.outcomes[outcome].fetch_add(1, Relaxed);
        counters.latency[bucket].fetch_add(1, Relaxed);
        counters.latency_sum_micros.fetch_add(micros, Relaxed);
    }

    /// Every action's counters.
    pub(super) fn snapshot(&self) -> Vec<ActionMetrics> {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let actions = ACTIONS.iter().zip(&self.0);
        actions
            .map(|(&(service, action), counters)| ActionMetrics {
                service,
                action,
                succeeded: read(&counters.outcomes[0]),
                refused: read(&counters.outcomes[1]),
                failed: read(&counters.outcomes[2]),
                latency: std::array::from_fn(|bucket| read(&counters.latency[bucket])),
                latency_sum_micros: read(&counters.latency_sum_micros),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_outcome_and_bucket() {
        let metrics = Metrics::new();
        metrics.count("sqs", "SendMessage", 200, Duration::from_micros(250));
        metrics.count("sqs", "Nonsense", 404, Duration::from_secs(30));
        metrics.count("what", "ever", 500, Duration::ZERO);
        let snapshot = metrics.snapshot();
        let of = |service, action| {
            let found = snapshot
                .iter()
                .find(|m| m.service == service && m.action == action);
            found.unwrap().clone()
        };
        let send = of("sqs", "SendMessage");
        assert_eq!(
            (send.succeeded, send.latency[0], send.latency_sum_micros),
            (1, 1, 250)
        );
        let other = of("sqs", "Other");
        assert_eq!(
            (other.refused, other.latency[LATENCY_BOUNDS_MICROS.len()]),
            (1, 1)
        );
        assert_eq!(snapshot.iter().map(|m| m.failed).sum::<u64>(), 0);
    }
}
