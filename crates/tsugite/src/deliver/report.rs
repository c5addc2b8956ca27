//! How deliveries to an endpoint go, for people.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tsugite_base::Timestamp;

use super::client::PostError;

/// What happened at one endpoint since the start, and what comes next. Times are the machine's wall clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointReport {
    /// Tries that began.
    pub attempts: u64,
    /// Tries that succeeded.
    pub successes: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Messages for which there was no other try.
    pub given_up: u64,
    /// Tries under way.
    pub in_flight: u64,
    /// The latest status that came back.
    pub last_status: Option<u16>,
    /// When the last try succeeded.
    pub last_success: Option<Timestamp>,
    /// When the last try failed, and why.
    pub last_error: Option<(Timestamp, String)>,
    /// When the next message that failed is tried again.
    pub next_try: Option<Timestamp>,
}

/// What happened at all endpoints since the start, also at those that are gone.
#[derive(Debug, Default)]
pub(super) struct Totals {
    successes: AtomicU64,
    failures: AtomicU64,
    given_up: AtomicU64,
}

impl Totals {
    /// Tries that succeeded, tries that failed, messages given up.
    pub(super) fn read(&self) -> [u64; 3] {
        [&self.successes, &self.failures, &self.given_up].map(|total| total.load(Relaxed))
    }
}

/// The report while it is written.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    report: Mutex<EndpointReport>,
    totals: Arc<Totals>,
}

impl Ledger {
    pub(super) fn new(totals: Arc<Totals>) -> Ledger {
        Ledger {
            report: Mutex::default(),
            totals,
        }
    }

    fn lock(&self) -> MutexGuard<'_, EndpointReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self, now: Timestamp) -> EndpointReport {
        let mut report = self.lock().clone();
        report.next_try = report.next_try.filter(|&at| at > now);
        report
    }

    pub(super) fn begun(&self) {
        let mut report = self.lock();
        report.attempts += 1;
        report.in_flight += 1;
    }

    /// The try was cut before anything came of it.
    pub(super) fn cut(&self) {
        self.lock().in_flight -= 1;
    }

    pub(super) fn succeeded(&self, status: u16, now: Timestamp) {
        self.totals.successes.fetch_add(1, Relaxed);
        let mut report = self.lock();
        report.in_flight -= 1;
        report.successes += 1;
        report.last_status = Some(status);
        report.last_success = Some(now);
    }

    /// `next` is when there will be another try; none means never.
    pub(super) fn failed(&self, error: &PostError, next: Option<Timestamp>, now: Timestamp) {
        self.totals.failures.fetch_add(1, Relaxed);
        let mut report = self.lock();
        report.in_flight -= 1;
        report.failures += 1;
        report.last_status = error.status.or(report.last_status);
        report.last_error = Some((now, error.reason.clone()));
        match next {
            None => {
                self.totals.given_up.fetch_add(1, Relaxed);
                report.given_up += 1;
            }
            Some(next) => {
                let known = report.next_try.filter(|&at| at > now);
                report.next_try = Some(known.map_or(next, |at| at.min(next)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_try_is_the_nearest_that_lies_ahead() {
        let ledger = Ledger::default();
        let error = PostError {
            permanent: false,
            status: Some(503),
            reason: "status 503".into(),
        };
        for next in [Some(50), Some(30), Some(40), None] {
            ledger.begun();
            ledger.failed(&error, next.map(Timestamp), Timestamp(10));
        }
        ledger.begun();
        let report = ledger.report(Timestamp(20));
        assert_eq!(report.next_try, Some(Timestamp(30)));
        assert_eq!((report.attempts, report.failures, report.given_up), (5, 4, 1));
        assert_eq!(report.in_flight, 1);
        assert_eq!(report.last_error, Some((Timestamp(10), "status 503".into())));
        assert_eq!(ledger.report(Timestamp(30)).next_try, None);
        ledger.succeeded(204, Timestamp(60));
        let report = ledger.report(Timestamp(60));
        assert_eq!(
            (report.successes, report.in_flight, report.last_status),
            (1, 0, Some(204))
        );
    }
}
