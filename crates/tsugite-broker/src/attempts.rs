//! What a FIFO queue's receives with a ReceiveRequestAttemptId delivered: a repeat within five minutes gets the same
//! messages again (AWS: ReceiveMessage), as long as nothing happened to any of them.
//!
//! Whether nothing happened is the queue's to see: each message must still have the receive count that is kept here
//! and a lease until [`Attempt::until`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Timestamp, limits};

use crate::dedup::Fingerprint;

const WINDOW: Duration = Duration::from_secs(limits::DEDUPLICATION_SECONDS);
const WHAT: &str = "receive attempts";

/// What one receive delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// When its leases began: a part of their handles, and the begin of the five minutes.
    pub(crate) at: Timestamp,
    /// When its leases end: moved on by each repeat.
    pub(crate) until: Timestamp,
    /// Number and receive count of each message, in the order of the answer.
    pub(crate) deliveries: Vec<(u64, u32)>,
}

/// The attempts of the last five minutes, at most [`limits::RECEIVE_ATTEMPTS`] of them: the oldest go first, and a
/// repeat of such a one is a fresh receive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    by_key: BTreeMap<Fingerprint, Attempt>,
    /// By time; an entry counts only if its attempt began then.
    line: VecDeque<(Timestamp, Fingerprint)>,
}

impl Attempts {
    /// The attempt of that id, if it began less than five minutes before `now`.
    pub(crate) fn find(&self, key: Fingerprint, now: Timestamp) -> Option<&Attempt> {
        self.by_key.get(&key).filter(|attempt| now < attempt.at + WINDOW)
    }

    /// Notes what a fresh receive delivered. Times do not go back.
    pub(crate) fn insert(&mut self, key: Fingerprint, attempt: Attempt) {
        while let Some(&(at, oldest)) = self.line.front() {
            let over = at + WINDOW <= attempt.at;
            if !over && self.line.len() < limits::RECEIVE_ATTEMPTS {
                break;
            }
            self.line.pop_front();
            if self.by_key.get(&oldest).is_some_and(|a| a.at == at) {
                self.by_key.remove(&oldest);
            }
        }
        self.line.push_back((attempt.at, key));
        self.by_key.insert(key, attempt);
    }

    /// Notes that a repeat was answered: the leases now end at `until`.
    pub(crate) fn restart(&mut self, key: Fingerprint, until: Timestamp) {
        if let Some(attempt) = self.by_key.get_mut(&key) {
            attempt.until = until;
        }
    }

    /// Appends what is still in force at `now`, oldest first.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, now: Timestamp) {
        let mut live: Vec<(Fingerprint, &Attempt)> = Vec::new();
        for (at, key) in &self.line {
            let found = self.find(*key, now).filter(|attempt| attempt.at == *at);
            // A key that was used twice in one millisecond stands in the line twice.
            live.extend(
                found
                    .filter(|_| live.last().is_none_or(|(last, _)| last != key))
                    .map(|a| (*key, a)),
            );
        }
        out.put_u32(live.len() as u32);
        for (key, attempt) in live {
            key.encode(out);
            out.put_time(attempt.at);
            out.put_time(attempt.until);
            out.put_u8(attempt.deliveries.len() as u8);
            for (seq, count) in &attempt.deliveries {
                out.put_u64(*seq);
                out.put_u32(*count);
            }
        }
    }

    pub(crate) fn decode(get: &mut Get<'_>) -> Result<Attempts, Malformed> {
        let mut read = Attempts::default();
        let mut last = Timestamp(0);
        for _ in 0..get.u32(WHAT)? {
            let key = Fingerprint::decode(get)?;
            let (at, until) = (get.time(WHAT)?, get.time(WHAT)?);
            if at < last {
                return Err(Malformed { what: WHAT });
            }
            last = at;
            let mut deliveries = Vec::new();
            for _ in 0..get.u8(WHAT)? {
                deliveries.push((get.u64(WHAT)?, get.u32(WHAT)?));
            }
            read.insert(
                key,
                Attempt {
                    at,
                    until,
                    deliveries,
                },
            );
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsugite_base::rng::SplitMix64;

    fn key(n: u64) -> Fingerprint {
        Fingerprint::of_queue(&n.to_string())
    }

    fn attempt(at: Timestamp, seq: u64) -> Attempt {
        Attempt {
            at,
            until: at + Duration::from_secs(30),
            deliveries: vec![(seq, 1), (seq + 1, 2)],
        }
    }

    fn encoded(state: &Attempts, now: Timestamp) -> Vec<u8> {
        let mut out = Vec::new();
        state.encode(&mut out, now);
        out
    }

    #[test]
    fn five_minutes_from_the_first_and_a_new_end_by_each_repeat() {
        let mut state = Attempts::default();
        state.insert(key(1), attempt(Timestamp(1_000), 5));
        state.restart(key(1), Timestamp(99_000));
        let found = state.find(key(1), Timestamp(300_999)).unwrap();
        assert_eq!((found.until, found.deliveries.len()), (Timestamp(99_000), 2));
        assert_eq!(state.find(key(1), Timestamp(301_000)), None);
    }

    #[test]
    fn agrees_with_a_plain_map_under_random_use() {
        let mut rng = SplitMix64::new(1);
        let (mut state, mut model) = (Attempts::default(), BTreeMap::new());
        let mut now = Timestamp(0);
        for seq in 0..10_000 {
            now = now + Duration::from_millis(rng.below(2_000));
            let n = rng.below(500);
            let expected = model.get(&n).filter(|a: &&Attempt| now < a.at + WINDOW);
            assert_eq!(state.find(key(n), now), expected);
            if rng.below(3) > 0 || expected.is_none() {
                state.insert(key(n), attempt(now, seq));
                model.insert(n, attempt(now, seq));
            } else {
                state.restart(key(n), now);
                model.get_mut(&n).unwrap().until = now;
            }
            if rng.below(500) == 0 {
                let bytes = encoded(&state, now);
                state = Attempts::decode(&mut Get::new(&bytes)).unwrap();
                assert_eq!(encoded(&state, now), bytes);
            }
        }
        assert!(state.by_key.len() < 500);
    }

    #[test]
    fn the_oldest_give_way() {
        let mut state = Attempts::default();
        for n in 0..=limits::RECEIVE_ATTEMPTS as u64 {
            state.insert(key(n), attempt(Timestamp(n / 100), n));
        }
        assert_eq!(state.by_key.len(), limits::RECEIVE_ATTEMPTS);
        assert_eq!(state.find(key(0), Timestamp(1_000)), None);
        assert!(state.find(key(1), Timestamp(1_000)).is_some());
    }
}
