//! What a FIFO queue has accepted in the last five minutes: a repeat is answered with the first acceptance.
//!
//! The window counts from the first acceptance in the machine's time and is not extended by repeats (AWS: SQS
//! developer guide, exactly-once processing). Entries lie in a ring by time (`ring.rs`), twelve bytes each, beside an
//! open table of their positions (`../index.rs`): eighteen to
//! twenty-three bytes an entry.
//!
//! The message ids of a queue need no room: each follows from the queue's salt, the message's number and its
//! fingerprint. The first one is random, and is the salt.

mod ring;

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Sheaf, Timestamp, Uuid, limits};

use self::ring::{Key, Noted, PIECE, Ring, key_of};
use crate::index::{Index, POSITIONS, mixed};

const WINDOW: Duration = Duration::from_secs(limits::DEDUPLICATION_SECONDS);
const WHAT: &str = "deduplication entries";

/// Stands for a deduplication id, an attempt id or an endpoint: a SHA-256, cut to 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub [u64; 2]);

impl Fingerprint {
    /// Of a deduplication id or attempt id that counts for the whole queue.
    pub(crate) fn of_queue(id: &str) -> Fingerprint {
        Fingerprint::of(&[b"q", id.as_bytes()])
    }

    /// Of a deduplication id that counts within its group.
    pub(crate) fn of_group(group: &str, id: &str) -> Fingerprint {
        // Neither text can hold the separator: both are printable ASCII.
        Fingerprint::of(&[b"g", group.as_bytes(), b"\0", id.as_bytes()])
    }

    /// Of an endpoint that subscribes: the names of protocols hold no separator.
    pub(crate) fn of_endpoint(protocol: &str, endpoint: &str) -> Fingerprint {
        Fingerprint::of(&[b"e", protocol.as_bytes(), b"\0", endpoint.as_bytes()])
    }

    fn of(parts: &[&[u8]]) -> Fingerprint {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        let hash = hash.finalize();
        let half = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| hash[from + i]));
        Fingerprint([half(0), half(8)])
    }

    /// The id of the message of this number and deduplication id, unlike that of any other message.
    fn message_id(self, salt: Uuid, seq: u64) -> Uuid {
        let mut hash = Sha256::new();
        hash.update(salt.0);
        hash.update(seq.to_le_bytes());
        self.0.iter().for_each(|half| hash.update(half.to_le_bytes()));
        let hash = hash.finalize();
        Uuid::v4(std::array::from_fn(|i| hash[i]))
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|half| out.put_u64(*half));
    }

    pub(crate) fn decode(get: &mut Get<'_>) -> Result<Fingerprint, Malformed> {
        Ok(Fingerprint([get.u64(WHAT)?, get.u64(WHAT)?]))
    }
}

/// The message that a repeat is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First {
    /// Its number in the queue.
    pub(crate) seq: u64,
    /// Its id.
    pub(crate) id: Uuid,
}

/// Expired entries that an acceptance removes: more than it adds, few enough not to be noticed.
const STEP: usize = 4;
/// Entries at most; the oldest make room. That is 890,000 acceptances a second for five minutes.
const MOST: usize = POSITIONS as usize - PIECE;

/// The acceptances of the last five minutes, by time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deduplication {
    ring: Ring,
    /// Entries of the ring's first piece that the index no longer has.
    gone: usize,
    /// Positions in the ring, by key.
    index: Index,
    /// The first message id, of which later ones are made.
    salt: Option<Uuid>,
    /// Keeps clients from choosing what meets in the index. Not part of the state.
    seed: u64,
}

impl Deduplication {
    /// Empty.
    pub(crate) fn new(seed: u64) -> Deduplication {
        Deduplication {
            seed,
            ..Deduplication::default()
        }
    }

    /// The first acceptance of `key`, if it lies less than five minutes before `now`.
    pub(crate) fn find(&self, key: Fingerprint, now: Timestamp) -> Option<First> {
        let kept = key_of(key);
        let same = |position| self.ring.key(position) == kept;
        let spot = self.index.find(hash(&kept, self.seed), same)?;
        let Noted { seq, at, id } = self.ring.noted(self.index.get(spot));
        let id = id.or_else(|| self.next_id(seq, key))?;
        (now < at + WINDOW).then_some(First { seq, id })
    }

    /// The id that the message of this number and key should have; `None` before there is a first one.
    pub(crate) fn next_id(&self, seq: u64, key: Fingerprint) -> Option<Uuid> {
        self.salt.map(|salt| key.message_id(salt, seq))
    }

    /// Notes an acceptance. The caller has found none for `key`; times do not go back.
    pub(crate) fn accept(&mut self, key: Fingerprint, first: First, at: Timestamp) {
        self.expire(at);
        if self.ring.len() >= MOST {
            (self.gone..PIECE).for_each(|_| self.pop());
        }
        let expected = self.next_id(first.seq, key);
        self.salt.get_or_insert(first.id);
        let noted = Noted {
            seq: first.seq,
            at,
            id: (expected != Some(first.id)).then_some(first.id),
        };
        let kept = key_of(key);
        let position = self.ring.end();
        self.ring.push(&kept, noted);
        self.enter(&kept, position);
    }

    /// Lets the index point to `position` for `key`: if an expired entry of it still lies in the ring, nothing points
    /// to that any more.
    fn enter(&mut self, key: &Key, position: u32) {
        let Deduplication {
            ring, index, seed, ..
        } = self;
        let same = |position| ring.key(position) == *key;
        match index.find(hash(key, *seed), same) {
            Some(spot) => index.set(spot, position),
            None => index.insert(hash(key, *seed), position, |at| hash(&ring.key(at), *seed)),
        }
    }

    /// Forgets a few of those that are over; all at once if all are.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        let over = |at: Timestamp| at + WINDOW <= now;
        if self.ring.last().is_none_or(over) {
            self.clear();
        } else if self.ring.first_full().is_some_and(over) {
            (0..STEP.min(PIECE - self.gone)).for_each(|_| self.pop());
        }
    }

    /// Takes the oldest entry of the first piece, which is full, out of the index; the piece goes with its last one.
    fn pop(&mut self) {
        let Deduplication {
            ring, index, seed, ..
        } = self;
        let position = ring.in_first(self.gone);
        let hash = |at| hash(&ring.key(at), *seed);
        if let Some(spot) = index.find(hash(position), |at| at == position) {
            index.remove(spot, hash);
        }
        self.gone += 1;
        if self.gone == PIECE {
            self.ring.drop_first();
            self.gone = 0;
        }
    }

    /// When the last entry is over, if there is one.
    pub(crate) fn over_at(&self) -> Option<Timestamp> {
        Some(self.ring.last()? + WINDOW)
    }

    /// Forgets every acceptance.
    pub(crate) fn clear(&mut self) {
        *self = Deduplication {
            salt: self.salt,
            ..Deduplication::new(self.seed)
        };
    }

    /// Appends what is still in force at `now`, oldest first, and a little that is not.
    pub(crate) fn encode(&self, out: &mut Sheaf, now: Timestamp) {
        let salt = self.salt.as_ref();
        out.bytes()
            .put_option(salt, |out, salt| out.extend_from_slice(&salt.0));
        self.ring.encode(out, |at| at + WINDOW <= now);
    }

    pub(crate) fn decode(get: &mut Get<'_>, seed: u64) -> Result<Deduplication, Malformed> {
        let salt = get.option(WHAT, |get| get.bytes16(WHAT).map(Uuid))?;
        let ring = Ring::decode(get)?;
        let len = ring.len();
        if len > MOST || len > 0 && salt.is_none() {
            return Err(Malformed { what: WHAT });
        }
        let mut index = Index::with_room(len);
        let hash_of = |position| hash(&ring.key(position), seed);
        let entries = (0..len as u32).map(|position| (hash_of(position), position));
        index.fill(entries, |a, b| ring.key(a) == ring.key(b), hash_of);
        Ok(Deduplication {
            index,
            ring,
            salt,
            ..Deduplication::new(seed)
        })
    }
}

fn hash(key: &Key, seed: u64) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    mixed(u64::from_le_bytes([a, b, c, d, e, f, g, h]), seed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use tsugite_base::rng::SplitMix64;

    fn key(n: u64) -> Fingerprint {
        Fingerprint::of_queue(&n.to_string())
    }

    fn first(seq: u64) -> First {
        First {
            seq,
            id: Uuid([seq as u8; 16]),
        }
    }

    fn encoded(state: &Deduplication, now: Timestamp) -> Vec<u8> {
        let mut out = Sheaf::default();
        state.encode(&mut out, now);
        out.to_vec()
    }

    fn decoded(bytes: &[u8]) -> Result<Deduplication, Malformed> {
        let mut get = Get::new(bytes);
        let read = Deduplication::decode(&mut get, 3)?;
        get.end(WHAT)?;
        Ok(read)
    }

    #[test]
    fn the_window_counts_from_the_first_acceptance() {
        let mut state = Deduplication::default();
        state.accept(key(1), first(7), Timestamp(1_000));
        assert_eq!(state.find(key(1), Timestamp(300_999)), Some(first(7)));
        assert_eq!(state.find(key(1), Timestamp(301_000)), None);
        assert_eq!(state.find(key(2), Timestamp(1_000)), None);
        state.accept(key(1), first(8), Timestamp(301_000));
        assert_eq!(state.find(key(1), Timestamp(301_000)), Some(first(8)));
        state.clear();
        assert_eq!(state.find(key(1), Timestamp(301_000)), None);
    }

    #[test]
    fn scopes_and_groups_are_apart() {
        let keys = [
            Fingerprint::of_queue("a"),
            Fingerprint::of_group("a", "b"),
            Fingerprint::of_group("ab", ""),
            Fingerprint::of_group("b", "a"),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn ids_that_follow_and_ids_of_their_own_are_both_found_again() {
        let mut state = Deduplication::default();
        assert_eq!(state.next_id(0, key(0)), None);
        let mut ids = Vec::new();
        for seq in 0..5_000 {
            let follows = state.next_id(seq, key(seq)).filter(|_| seq % 700 != 0);
            let id = follows.unwrap_or(first(seq).id);
            assert!(!ids.contains(&id));
            ids.push(id);
            state.accept(key(seq), First { seq, id }, Timestamp(seq / 100));
        }
        let again = decoded(&encoded(&state, Timestamp(50))).unwrap();
        for (seq, id) in (0..).zip(ids) {
            let found = Some(First { seq, id });
            assert_eq!(state.find(key(seq), Timestamp(60)), found);
            assert_eq!(again.find(key(seq), Timestamp(60)), found);
        }
        // Forgetting keeps the salt.
        state.clear();
        assert_eq!(state.next_id(0, key(0)), again.next_id(0, key(0)));
    }

    #[test]
    fn agrees_with_a_plain_map_under_random_use() {
        for (seed, seldom) in [(1, 4_000), (2, 10_000), (3, 30_000)] {
            let mut rng = SplitMix64::new(seed);
            let mut state = Deduplication::new(seed);
            let mut model: BTreeMap<u64, (Timestamp, First)> = BTreeMap::new();
            let (mut now, mut seq) = (Timestamp(1), 0);
            for step in 0..60_000 {
                // Bursts of many within a window, and now and then a long silence.
                let pause = if rng.below(seldom) == 0 {
                    400_000
                } else {
                    rng.below(100)
                };
                now = now + Duration::from_millis(pause);
                let n = rng.below(20_000);
                let expected = model
                    .get(&n)
                    .filter(|(at, _)| now < *at + WINDOW)
                    .map(|(_, first)| *first);
                assert_eq!(state.find(key(n), now), expected, "{seed} {step}");
                if expected.is_none() {
                    seq += 1 + rng.below(50) / 49;
                    let id = state.next_id(seq, key(n)).filter(|_| rng.below(10) > 0);
                    let first = First {
                        seq,
                        id: id.unwrap_or(first(seq).id),
                    };
                    state.accept(key(n), first, now);
                    model.insert(n, (now, first));
                }
                if rng.below(4_000) == 0 {
                    let bytes = encoded(&state, now);
                    state = decoded(&bytes).unwrap();
                    assert_eq!(encoded(&state, now), bytes);
                }
            }
            assert!(state.index.len() <= state.ring.len());
        }
    }

    #[test]
    fn an_entry_costs_about_twenty_bytes() {
        // Ten a call and a hundred a millisecond, one a millisecond, or one now and then with others between.
        for (per_ms, gap) in [(100, 1), (1, 1), (1, 2)] {
            let mut state = Deduplication::default();
            let mut now = Timestamp(0);
            for n in 0..250_000 {
                now = Timestamp(n / per_ms);
                let id = state.next_id(n * gap, key(n));
                let (seq, id) = (n * gap, id.unwrap_or_default());
                state.accept(key(n), First { seq, id }, now);
            }
            let bytes = state.ring.bytes() + state.index.bytes();
            assert!(bytes < 250_000 * 23, "{per_ms} {gap} {bytes}");
            assert!(per_ms == 1 || bytes < 250_000 * 20, "{bytes}");
            // A single acceptance after a silence gives all of it back.
            state.accept(key(0), first(0), now + WINDOW + WINDOW);
            assert_eq!((state.ring.len(), state.index.len()), (1, 1));
        }
    }

    #[test]
    fn what_is_over_goes_while_others_come() {
        let mut state = Deduplication::default();
        for n in 0..200_000 {
            state.accept(key(n), first(n), Timestamp(n * 30));
        }
        // 10,000 of them lie in the window.
        assert!(state.ring.len() < 10_000 + 2 * PIECE, "{}", state.ring.len());
        assert!(state.index.len() < 10_000 + 2 * PIECE);
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let mut state = Deduplication::default();
        (0..PIECE as u64 + 2).for_each(|n| state.accept(key(n), first(n), Timestamp(5 + n)));
        let bytes = encoded(&state, Timestamp(6));
        assert!(decoded(&bytes).is_ok());
        for len in (0..bytes.len()).step_by(7) {
            assert!(decoded(&bytes[..len]).is_err(), "{len}");
        }
        let mut rng = SplitMix64::new(2);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << rng.below(8);
            // Any outcome but a panic: the snapshot's checksum is what finds a flipped bit.
            if let Ok(mut read) = decoded(&bad) {
                let _ = read.find(key(3), Timestamp(7));
                read.accept(key(70_000), first(70_000), Timestamp(1 << 60));
            }
        }
    }
}
