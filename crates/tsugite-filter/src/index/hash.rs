//! A hash that is quick for texts of a few bytes, of which every message asks for dozens.
//!
//! Words of eight bytes are folded one after the other into a state by a multiplication whose halves are added bit by
//! bit (as wyhash and its kin do). Each map has a key of its own that nobody outside knows, so that whoever writes
//! policies cannot choose texts that meet in one place.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map with this hash.
pub(super) type Map<K, V> = HashMap<K, V, Keyed>;

/// The key of one map.
#[derive(Debug, Clone)]
pub(super) struct Keyed {
    start: u64,
    factor: u64,
}

impl Default for Keyed {
    fn default() -> Keyed {
        // From where the maps of the standard library have theirs; no answer depends on it.
        let random = RandomState::default();
        Keyed {
            start: random.hash_one(0_u8),
            // Odd, so that a multiplication loses nothing in its lower half.
            factor: random.hash_one(1_u8) | 1,
        }
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding {
            state: self.start,
            factor: self.factor,
        }
    }
}

/// A hash in the making.
#[derive(Debug)]
pub(super) struct Folding {
    state: u64,
    factor: u64,
}

impl Folding {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product >> 64) as u64 ^ product as u64;
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.fold(u64::from_le_bytes(*word)));
        // The last byte says how many there are, so that zeros at the end count.
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last[7] = rest.len() as u8;
        self.fold(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, number: u8) {
        self.fold(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.fold(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn alike_texts_get_places_of_their_own() {
        let keyed = Keyed::default();
        let texts = (0..100_000).map(|n| format!("customer-{n}"));
        let texts = texts.chain((0..20).map(|n| "\0".repeat(n)));
        let hashes: HashSet<u64> = texts.map(|text| keyed.hash_one(text.as_str())).collect();
        assert_eq!(hashes.len(), 100_020);
        // Maps go by the lowest bits for the place and by the highest seven for a first look.
        let spread = |part: fn(u64) -> u64, parts: usize| {
            let mut counts = vec![0; parts];
            hashes.iter().for_each(|hash| counts[part(*hash) as usize] += 1);
            let even = hashes.len() / parts;
            counts
                .into_iter()
                .all(|count: usize| count > even / 2 && count < even * 2)
        };
        assert!(spread(|hash| hash % 256, 256) && spread(|hash| hash >> 57, 128));
    }

    #[test]
    fn maps_differ_in_their_keys() {
        let hash = || Keyed::default().hash_one("customer-1");
        assert_ne!(hash(), hash());
    }
}
