//! What a FIFO queue has accepted in the last five minutes: a repeat is answered with the first acceptance.
//!
//! The window counts from the first acceptance in the machine's time and is not extended by repeats (AWS: SQS
//! developer guide, exactly-once processing). Entries lie in a ring by time, 48 bytes each, beside an open table of
//! four-byte positions: 64 bytes an entry at most once there are some hundred.

use std::collections::VecDeque;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Timestamp, Uuid, limits};

const WINDOW: Duration = Duration::from_secs(limits::DEDUPLICATION_SECONDS);
const WHAT: &str = "deduplication entries";

/// Stands for a deduplication id or an attempt id: a SHA-256, cut to 128 bits.
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

    fn of(parts: &[&[u8]]) -> Fingerprint {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        let hash = hash.finalize();
        let half = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| hash[from + i]));
        Fingerprint([half(0), half(8)])
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    key: Fingerprint,
    first: First,
    at: Timestamp,
}

const _: () = assert!(size_of::<Entry>() == 48);

/// Entries of one piece of the ring.
const PIECE: usize = 512;
/// Expired entries that an acceptance removes: more than it adds, few enough not to be noticed.
const STEP: usize = 4;
const EMPTY: u32 = u32::MAX;

/// The acceptances of the last five minutes, by time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deduplication {
    pieces: VecDeque<Vec<Entry>>,
    /// Entries of the first piece that are gone.
    gone: usize,
    /// Position of the first entry of the first piece; a multiple of [`PIECE`], and it wraps.
    base: u32,
    /// Position of an entry, or [`EMPTY`], at its key's home or after it. A power of two long.
    slots: Vec<u32>,
    /// Slots that hold a position.
    used: usize,
}

impl Deduplication {
    /// The first acceptance of `key`, if it lies less than five minutes before `now`.
    pub(crate) fn find(&self, key: Fingerprint, now: Timestamp) -> Option<First> {
        let entry = self.entry(self.slots[self.slot(key)?])?;
        (now < entry.at + WINDOW).then_some(entry.first)
    }

    /// Notes an acceptance. The caller has found none for `key`; times do not go back.
    pub(crate) fn accept(&mut self, key: Fingerprint, first: First, at: Timestamp) {
        self.expire(at);
        if self.used * 4 >= self.slots.len() * 3 {
            self.resize();
        }
        let position = self.end();
        self.push(Entry { key, first, at });
        if let Some(slot) = self.slot(key) {
            // An expired entry of the same key still lies in the ring: nothing points to it any more.
            self.slots[slot] = position;
        } else {
            self.put(key, position);
        }
    }

    /// Forgets a few of those that are over; all at once if all are.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        let over = |entry: &Entry| entry.at + WINDOW <= now;
        if self.pieces.back().and_then(|piece| piece.last()).is_none_or(over) {
            self.clear();
            return;
        }
        for _ in 0..STEP {
            let Some(first) = self.pieces.front().and_then(|piece| piece.get(self.gone)) else {
                return;
            };
            if !over(first) {
                return;
            }
            self.pop(first.key);
        }
    }

    /// When the last entry is over, if there is one.
    pub(crate) fn over_at(&self) -> Option<Timestamp> {
        let last = self.pieces.back()?.last()?;
        Some(last.at + WINDOW)
    }

    /// Forgets everything: a purge.
    pub(crate) fn clear(&mut self) {
        *self = Deduplication::default();
    }

    /// Appends what is still in force at `now`, oldest first.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, now: Timestamp) {
        let live = || self.iter().filter(|entry| now < entry.at + WINDOW);
        out.put_u32(live().count() as u32);
        for entry in live() {
            entry.key.encode(out);
            out.put_u64(entry.first.seq);
            out.extend_from_slice(&entry.first.id.0);
            out.put_time(entry.at);
        }
    }

    pub(crate) fn decode(get: &mut Get<'_>) -> Result<Deduplication, Malformed> {
        let mut read = Deduplication::default();
        let mut last = Timestamp(0);
        for _ in 0..get.u32(WHAT)? {
            let key = Fingerprint::decode(get)?;
            let (seq, id) = (get.u64(WHAT)?, Uuid(get.bytes16(WHAT)?));
            let at = get.time(WHAT)?;
            if at < last {
                return Err(Malformed { what: WHAT });
            }
            last = at;
            read.accept(key, First { seq, id }, at);
        }
        Ok(read)
    }

    fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.pieces.iter().flatten().skip(self.gone)
    }

    /// The position that the next entry gets. Positions wrap, and leave out [`EMPTY`].
    fn end(&self) -> u32 {
        let last = self.pieces.back().map_or(PIECE, Vec::len);
        let whole = self.pieces.len().saturating_sub(1);
        let count = if self.pieces.is_empty() {
            0
        } else {
            whole * PIECE + last
        };
        self.base.wrapping_add(count as u32)
    }

    fn entry(&self, position: u32) -> Option<&Entry> {
        if position == EMPTY {
            return None;
        }
        let at = position.wrapping_sub(self.base) as usize;
        self.pieces.get(at / PIECE)?.get(at % PIECE)
    }

    fn push(&mut self, entry: Entry) {
        match self.pieces.back_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(entry),
            _ => self.pieces.push_back(vec![entry]),
        }
        if self.end() == EMPTY {
            // The one position that a slot cannot hold gets an entry that nothing points to.
            if let Some(piece) = self.pieces.back_mut() {
                piece.push(entry);
            }
        }
    }

    /// Takes the oldest entry, of `key`, out of the ring, and its slot if that points to it.
    fn pop(&mut self, key: Fingerprint) {
        let position = self.base.wrapping_add(self.gone as u32);
        if let Some(slot) = self.slot(key).filter(|slot| self.slots[*slot] == position) {
            self.free(slot);
        }
        self.gone += 1;
        if self.gone == PIECE {
            self.pieces.pop_front();
            self.base = self.base.wrapping_add(PIECE as u32);
            self.gone = 0;
            if self.slots.len() > 64 && self.used * 8 < self.slots.len() {
                self.resize();
            }
        }
    }

    fn home(&self, key: Fingerprint) -> usize {
        key.0[0] as usize & (self.slots.len() - 1)
    }

    /// The slot of `key`.
    fn slot(&self, key: Fingerprint) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut slot = self.home(key);
        while let Some(entry) = self.entry(self.slots[slot]) {
            if entry.key == key {
                return Some(slot);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        None
    }

    /// Lets `key`, which has no slot, point to `position`.
    fn put(&mut self, key: Fingerprint, position: u32) {
        let mut slot = self.home(key);
        while self.slots[slot] != EMPTY {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = position;
        self.used += 1;
    }

    /// Empties a slot and moves those behind it up, so that each is still found from its home.
    fn free(&mut self, mut hole: usize) {
        let mask = self.slots.len() - 1;
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let Some(entry) = self.entry(self.slots[next]) else {
                break;
            };
            let home = self.home(entry.key);
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
        }
        self.slots[hole] = EMPTY;
        self.used -= 1;
    }

    /// Gives the table the size for what it holds.
    fn resize(&mut self) {
        let size = (self.used.max(4) * 2).next_power_of_two();
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
        self.used = 0;
        for position in old {
            if let Some(key) = self.entry(position).map(|entry| entry.key) {
                self.put(key, position);
            }
        }
    }
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
        let mut out = Vec::new();
        state.encode(&mut out, now);
        out
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
    fn agrees_with_a_plain_map_under_random_use() {
        for (seed, base) in [(1, 0), (2, u32::MAX - 700), (3, u32::MAX - 511)] {
            let mut rng = SplitMix64::new(seed);
            let mut state = Deduplication {
                base: base / PIECE as u32 * PIECE as u32,
                ..Deduplication::default()
            };
            let mut model: BTreeMap<u64, (Timestamp, u64)> = BTreeMap::new();
            let mut now = Timestamp(1);
            for seq in 0..20_000 {
                // Bursts of many within a window, and now and then a long silence.
                let pause = if rng.below(4_000) == 0 {
                    400_000
                } else {
                    rng.below(300)
                };
                now = now + Duration::from_millis(pause);
                let n = rng.below(6_000);
                let expected = model
                    .get(&n)
                    .filter(|(at, _)| now < *at + WINDOW)
                    .map(|(_, seq)| *seq);
                assert_eq!(state.find(key(n), now).map(|f| f.seq), expected, "{seed} {seq}");
                if expected.is_none() {
                    state.accept(key(n), first(seq), now);
                    model.insert(n, (now, seq));
                }
                if rng.below(2_000) == 0 {
                    let bytes = encoded(&state, now);
                    state = Deduplication::decode(&mut Get::new(&bytes)).unwrap();
                    assert_eq!(encoded(&state, now), bytes);
                }
            }
        }
    }

    #[test]
    fn an_entry_costs_at_most_64_bytes() {
        let mut state = Deduplication::default();
        let mut now = Timestamp(0);
        for seq in 0..1_000_000 {
            now = Timestamp(seq / 100);
            state.accept(key(seq), first(seq), now);
        }
        let ring: usize = state
            .pieces
            .iter()
            .map(|p| p.capacity() * size_of::<Entry>())
            .sum();
        let bytes = ring + state.slots.capacity() * 4 + state.pieces.capacity() * size_of::<Vec<Entry>>();
        assert!(bytes < 64_000_000, "{bytes}");
        // A single acceptance after a silence gives all of it back.
        state.accept(key(0), first(0), now + WINDOW + WINDOW);
        assert_eq!((state.pieces.len(), state.used), (1, 1));
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let mut state = Deduplication::default();
        state.accept(key(1), first(1), Timestamp(5));
        state.accept(key(2), first(2), Timestamp(6));
        let bytes = encoded(&state, Timestamp(6));
        for len in 0..bytes.len() {
            assert!(
                Deduplication::decode(&mut Get::new(&bytes[..len])).is_err(),
                "{len}"
            );
        }
        let mut backwards = bytes.clone();
        *backwards.last_mut().unwrap() = 1;
        let at = bytes.len() - 8;
        backwards[at] = 1;
        backwards[at + 7] = 0;
        assert!(Deduplication::decode(&mut Get::new(&backwards)).is_err());
    }
}
