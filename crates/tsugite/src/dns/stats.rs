//! What the DNS port has done, counted by each worker on its own and added up now and then.

use std::sync::atomic::{AtomicU64, Ordering};

/// Response codes that are told apart; the last stands for all others.
pub(crate) const CODES: [&str; 7] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "other",
];

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    answers: [AtomicU64; CODES.len()],
    truncated: AtomicU64,
    withheld: AtomicU64,
    forwarded: AtomicU64,
    over_tcp: AtomicU64,
}

/// One reading.
pub(crate) struct Reading {
    /// Answers by response code.
    pub(crate) answers: [u64; CODES.len()],
    /// Those that said to come back over TCP.
    pub(crate) truncated: u64,
    /// Answers that the rate limit has kept back.
    pub(crate) withheld: u64,
    /// Queries that were passed on.
    pub(crate) forwarded: u64,
    /// Queries over TCP.
    pub(crate) over_tcp: u64,
}

/// What one worker has not told yet.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answers: [u64; CODES.len()],
    pub(super) truncated: u64,
    pub(super) withheld: u64,
    pub(super) forwarded: u64,
    pub(super) over_tcp: u64,
}

impl Tally {
    /// Counts an answer that is about to be sent.
    pub(super) fn answer(&mut self, reply: &[u8]) {
        if let [_, _, high, low, ..] = reply {
            self.answers[usize::from(low & 15).min(CODES.len() - 1)] += 1;
            self.truncated += u64::from(high >> 1 & 1);
        }
    }
}

impl Stats {
    /// Adds what a worker has counted, and empties it.
    pub(super) fn add(&self, tally: &mut Tally) {
        let Tally {
            answers,
            truncated,
            withheld,
            forwarded,
            over_tcp,
        } = std::mem::take(tally);
        let rest = [
            (&self.truncated, truncated),
            (&self.withheld, withheld),
            (&self.forwarded, forwarded),
            (&self.over_tcp, over_tcp),
        ];
        for (sum, count) in self.answers.iter().zip(answers).chain(rest) {
            if count > 0 {
                sum.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// All counters now.
    pub(crate) fn read(&self) -> Reading {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Reading {
            answers: std::array::from_fn(|at| read(&self.answers[at])),
            truncated: read(&self.truncated),
            withheld: read(&self.withheld),
            forwarded: read(&self.forwarded),
            over_tcp: read(&self.over_tcp),
        }
    }
}
