//! What only FIFO queues do: sequence numbers, deduplication, and receives that can be repeated.

use sha2::{Digest as _, Sha256};
use tsugite_base::{Invalid, Timestamp, limits};

use crate::attempts::Attempt;
use crate::command::SendEntry;
use crate::dedup::Fingerprint;
use crate::error::SendEntryError;
use crate::queue::Queue;
use crate::settings::{DeduplicationScope, Fifo};
use crate::stored::{State, Stored};

/// Sequence numbers begin here, so that all of them have 20 digits.
pub(crate) const FIRST_SEQUENCE: u64 = 10_000_000_000_000_000_000;

impl Queue {
    /// `SequenceNumber` of a message of a FIFO queue.
    pub(crate) fn sequence(&self, seq: u64) -> Option<u64> {
        self.is_fifo().then_some(FIRST_SEQUENCE + seq)
    }

    /// When a dead letter was sent, in the sense of a FIFO queue: when it was moved.
    pub(crate) fn resent(&self, stored: &Stored) -> Option<Timestamp> {
        (self.is_fifo() && stored.source != 0).then_some(stored.sent)
    }

    /// The messages that an earlier receive with this attempt id got, if it can be repeated: none of them was deleted,
    /// changed or expired since.
    pub(crate) fn repeatable(&self, attempt: Fingerprint, now: Timestamp) -> Option<Vec<(u64, Stored)>> {
        let attempt = self.memory.attempts.find(attempt, now)?;
        let same = |&(seq, count): &(u64, u32)| {
            let stored = self.table.get(seq)?;
            let unchanged = stored.state == State::Leased
                && stored.receives == count
                && stored.due == attempt.until.0
                && stored.leased == attempt.at;
            unchanged.then_some((seq, stored))
        };
        attempt.deliveries.iter().map(same).collect()
    }

    /// Notes what a receive with an attempt id got.
    pub(crate) fn note_attempt(
        &mut self,
        attempt: Fingerprint,
        leases: &[u64],
        at: Timestamp,
        until: Timestamp,
    ) {
        let count = |&seq: &u64| Some((seq, self.table.get(seq)?.receives));
        let deliveries: Vec<(u64, u32)> = leases.iter().filter_map(count).collect();
        let made = Attempt {
            at,
            until,
            deliveries,
        };
        self.memory.attempts.insert(attempt, made);
    }

    /// Begins the leases of a repeated receive anew.
    pub(crate) fn repeat_attempt(&mut self, attempt: Fingerprint, at: Timestamp, until: Timestamp) {
        let Some(found) = self.memory.attempts.find(attempt, at) else {
            return;
        };
        let seqs: Vec<u64> = found.deliveries.iter().map(|(seq, _)| *seq).collect();
        self.memory.attempts.restart(attempt, until);
        seqs.into_iter().for_each(|seq| self.hide(seq, at, until));
    }
}

/// The deduplication id of a message: the one given, or, if the queue makes it from the text, the text's SHA-256.
pub(crate) fn deduplication_id(fifo: &Fifo, entry: &SendEntry) -> Option<String> {
    let given = entry.deduplication.clone();
    given.or_else(|| fifo.content_based.then(|| content_id(&entry.body)))
}

/// The deduplication id that is made from a text: its SHA-256.
pub(crate) fn content_id(text: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // Writing to a string cannot fail.
            text
        })
}

/// Under what a message counts as a repeat.
pub(crate) fn deduplication_key(fifo: &Fifo, group: &str, id: &str) -> Fingerprint {
    match fifo.enforced {
        DeduplicationScope::Queue => Fingerprint::of_queue(id),
        DeduplicationScope::MessageGroup => Fingerprint::of_group(group, id),
    }
}

/// Checks a group, a deduplication id or an attempt id: 1-128 letters, digits and marks of ASCII.
pub(crate) fn check_id(what: &str, id: &str) -> Result<(), Invalid> {
    let fits = (1..=limits::GROUP_ID_CHARS).contains(&id.len());
    if fits && id.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    let rule = "can only include alphanumeric and punctuation characters, 1 to 128 in length";
    Err(Invalid::new(what, id, rule))
}

/// A delay of its own is not for messages of a FIFO queue: it would let later ones overtake it.
pub(crate) fn check_no_delay(entry: &SendEntry) -> Result<(), SendEntryError> {
    match entry.delay {
        None | Some(0) => Ok(()),
        Some(delay) => {
            let rule = "the request includes a parameter that is not valid for this queue type";
            Err(Invalid::new("DelaySeconds", delay, rule).into())
        }
    }
}
