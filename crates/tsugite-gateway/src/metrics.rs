//! Counters without locks: each core writes its own, and a reader adds them up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tsugite_grpc::Code;

/// A number that one core writes and anyone reads. An addition is a plain load and store: there is no second
/// writer, so no locked instruction is needed.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.store(self.get().wrapping_sub(n), Relaxed);
    }
}

/// Four buckets for each doubling from 16 microseconds to about 67 seconds, and one for all above.
const BUCKETS: usize = 4 * 22 + 1;
const FIRST_MICROS: u64 = 16;

/// Latencies in log-linear buckets: each bound is at most a quarter above the one before it.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_micros: Counter,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|_| Counter::default()),
            sum_micros: Counter::default(),
        }
    }
}

/// The bucket of a latency.
fn bucket(micros: u64) -> usize {
    if micros <= FIRST_MICROS {
        return 0;
    }
    // Bounds are inclusive, so that the value just below decides: 17..=20 is the first quarter above 16.
    let below = micros - 1;
    let octave = below.ilog2();
    let quarter = (below >> (octave - 2)) & 3;
    let index = 1 + 4 * u64::from(octave - FIRST_MICROS.ilog2()) + quarter;
    usize::try_from(index).map_or(BUCKETS - 1, |i| i.min(BUCKETS - 1))
}

/// The inclusive upper bound of a bucket; none for the last.
fn bound(index: usize) -> Option<u64> {
    match index {
        0 => Some(FIRST_MICROS),
        _ if index == BUCKETS - 1 => None,
        _ => {
            let (octave, quarter) = ((index - 1) / 4, (index - 1) as u64 % 4);
            Some((FIRST_MICROS << octave) / 4 * (5 + quarter))
        }
    }
}

impl Histogram {
    pub(crate) fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].add(1);
        self.sum_micros.add(micros);
    }

    pub(crate) fn add_to(&self, total: &mut Latencies) {
        total.buckets.resize(BUCKETS, 0);
        for (sum, core) in total.buckets.iter_mut().zip(&self.buckets) {
            *sum += core.get();
        }
        total.sum_micros += self.sum_micros.get();
    }
}

/// Latencies of one service, added up over the cores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    buckets: Vec<u64>,
    sum_micros: u64,
}

impl Latencies {
    /// The number of latencies recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_micros as f64 / 1e6
    }

    /// How many were at most each bound: `(bound in seconds, cumulative count)`, one pair for each doubling,
    /// the shape that Prometheus wants (its `+Inf` bucket is [`count`](Self::count)).
    pub fn cumulative(&self) -> Vec<(f64, u64)> {
        let mut seen = 0;
        let mut out = Vec::new();
        for (index, n) in self.buckets.iter().enumerate() {
            seen += n;
            if let Some(bound) = bound(index)
                && index % 4 == 0
            {
                out.push((bound as f64 / 1e6, seen));
            }
        }
        out
    }

    /// The latency that the share `q` (0 to 1) of them does not exceed, in seconds, rounded up to a bucket's bound.
    pub fn quantile(&self, q: f64) -> f64 {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0);
        let mut seen = 0;
        for (index, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen as f64 >= rank {
                return bound(index).unwrap_or(u64::MAX) as f64 / 1e6;
            }
        }
        0.0
    }
}

/// How the gateway counts an answer. The last six are answers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum ResponseClass {
    /// HTTP 1xx (a switched protocol).
    Informational,
    /// HTTP 2xx or gRPC OK.
    Success,
    /// HTTP 3xx.
    Redirection,
    /// HTTP 4xx from the service, or a gRPC status that blames the caller.
    ClientError,
    /// HTTP 5xx from the service, or a gRPC status that blames the service.
    ServerError,
    /// No connection, or it broke before the answer.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// Refused by an open circuit.
    Rejected,
    /// Refused by a limit.
    Overflow,
    /// No endpoint to send it to.
    NoEndpoint,
    /// The client went away before the answer.
    Cancelled,
}

impl ResponseClass {
    /// Every class, in the order of its number.
    pub const ALL: [ResponseClass; 11] = [
        ResponseClass::Informational,
        ResponseClass::Success,
        ResponseClass::Redirection,
        ResponseClass::ClientError,
        ResponseClass::ServerError,
        ResponseClass::Unreachable,
        ResponseClass::Timeout,
        ResponseClass::Rejected,
        ResponseClass::Overflow,
        ResponseClass::NoEndpoint,
        ResponseClass::Cancelled,
    ];

    /// The label of the metric.
    pub const fn label(self) -> &'static str {
        match self {
            ResponseClass::Informational => "1xx",
            ResponseClass::Success => "2xx",
            ResponseClass::Redirection => "3xx",
            ResponseClass::ClientError => "4xx",
            ResponseClass::ServerError => "5xx",
            ResponseClass::Unreachable => "unreachable",
            ResponseClass::Timeout => "timeout",
            ResponseClass::Rejected => "circuit_open",
            ResponseClass::Overflow => "overflow",
            ResponseClass::NoEndpoint => "no_endpoint",
            ResponseClass::Cancelled => "cancelled",
        }
    }

    /// The class of an HTTP status.
    pub(crate) const fn of_http(status: u16) -> ResponseClass {
        match status {
            ..200 => ResponseClass::Informational,
            200..300 => ResponseClass::Success,
            300..400 => ResponseClass::Redirection,
            400..500 => ResponseClass::ClientError,
            500.. => ResponseClass::ServerError,
        }
    }

    /// The class of a gRPC status.
    pub(crate) const fn of_grpc(code: Code) -> ResponseClass {
        match code {
            Code::Ok => ResponseClass::Success,
            Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => ResponseClass::ServerError,
            _ => ResponseClass::ClientError,
        }
    }
}

/// What one core counts for one service.
#[derive(Debug, Default)]
pub(crate) struct ServiceCounters {
    pub(crate) responses: [Counter; ResponseClass::ALL.len()],
    pub(crate) latency: Histogram,
    pub(crate) connect_errors: Counter,
    pub(crate) active: Counter,
    pub(crate) retries: Counter,
    pub(crate) unaffordable: Counter,
}

impl ServiceCounters {
    pub(crate) fn response(&self, class: ResponseClass) {
        self.responses[class as usize].add(1);
    }
}

/// What one core counts for the gateway as a whole.
#[derive(Debug, Default)]
pub(crate) struct CoreCounters {
    pub(crate) connections: Counter,
    pub(crate) accepted: Counter,
    pub(crate) requests: Counter,
    pub(crate) active: Counter,
    /// Answers to requests that no route led anywhere, by class.
    pub(crate) unrouted: Counter,
    pub(crate) bad_requests: Counter,
}

/// The counters of one service, added up over the cores.
#[derive(Clone, Debug, Default)]
pub struct ServiceMetrics {
    /// Namespace of the service.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// Answers by class.
    pub responses: Vec<(ResponseClass, u64)>,
    /// Time from the request's head to the answer's head.
    pub latency: Latencies,
    /// Connections to endpoints that failed.
    pub connect_errors: u64,
    /// Exchanges in progress.
    pub active: u64,
    /// Tries beyond the first.
    pub retries: u64,
    /// Retries that were not made because the budget was exhausted.
    pub unaffordable: u64,
}

/// All counters of the gateway at one moment.
#[derive(Clone, Debug, Default)]
pub struct MetricsSnapshot {
    /// Services that had a request since they appeared, in the order of the table.
    pub services: Vec<ServiceMetrics>,
    /// Client connections that are open.
    pub connections: u64,
    /// Client connections accepted since the start.
    pub accepted: u64,
    /// Requests since the start.
    pub requests: u64,
    /// Exchanges with services in progress.
    pub active: u64,
    /// Requests that no route matched.
    pub unrouted: u64,
    /// Requests refused as malformed or forbidden.
    pub bad_requests: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_bounds_agree() {
        for index in 0..BUCKETS - 1 {
            let top = bound(index).unwrap();
            assert_eq!(bucket(top), index, "bound {top}");
            assert_eq!(bucket(top + 1), index + 1, "just above {top}");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_round_up_by_a_quarter_at_most() {
        let h = Histogram::default();
        for millis in 1..=100 {
            h.record(Duration::from_millis(millis));
        }
        let mut total = Latencies::default();
        h.add_to(&mut total);
        assert_eq!(total.count(), 100);
        assert!(
            (0.050..=0.0625).contains(&total.quantile(0.5)),
            "{}",
            total.quantile(0.5)
        );
        assert!((5.04..5.06).contains(&total.sum_seconds()));
        assert_eq!(total.cumulative().last().map(|b| b.1), Some(100));
    }

    #[test]
    fn classes_are_numbered_in_order() {
        for (number, class) in ResponseClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, number);
        }
    }
}
