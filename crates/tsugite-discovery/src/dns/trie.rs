//! A persistent map from names to values: clones share everything, and a change copies one path.
//!
//! Two levels of 128 by the first bits of the hash, then a short bucket. A lookup is two loads and a scan; a change
//! of a map that somebody else holds copies two arrays of pointers and one bucket, however large the map is.

use std::sync::Arc;

const FAN: usize = 1 << BITS;
/// Of the hash for each level. More make buckets shorter, and copies longer.
const BITS: u32 = 7;

#[derive(Clone, Debug)]
struct Entry<V> {
    hash: u64,
    key: Arc<[u8]>,
    value: V,
}

type Bucket<V> = Option<Arc<[Entry<V>]>>;
type Branch<V> = [Bucket<V>; FAN];

/// The map. Keys are bytes.
#[derive(Clone, Debug)]
pub(super) struct Trie<V> {
    root: Arc<[Option<Arc<Branch<V>>>; FAN]>,
    len: usize,
}

impl<V> Default for Trie<V> {
    fn default() -> Trie<V> {
        Trie {
            root: Arc::new(std::array::from_fn(|_| None)),
            len: 0,
        }
    }
}

impl<V: Clone> Trie<V> {
    /// Whether nothing is in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        let hash = hash(key);
        let (high, low) = slots(hash);
        let bucket = self.root[high].as_ref()?[low].as_ref()?;
        let found = bucket
            .iter()
            .find(|entry| entry.hash == hash && *entry.key == *key)?;
        Some(&found.value)
    }

    /// Sets the value of a key, or takes it out.
    pub(super) fn set(&mut self, key: &[u8], value: Option<V>) {
        let hash = hash(key);
        let (high, low) = slots(hash);
        if value.is_none() && self.get(key).is_none() {
            return;
        }
        let empty = || Arc::new(std::array::from_fn(|_| None));
        let branch = Arc::make_mut(&mut self.root)[high].get_or_insert_with(empty);
        let bucket = &mut Arc::make_mut(branch)[low];
        let others = bucket
            .iter()
            .flat_map(|entries| entries.iter())
            .filter(|entry| *entry.key != *key);
        let mut entries: Vec<_> = others.cloned().collect();
        let before = bucket.as_ref().map_or(0, |entries| entries.len());
        entries.extend(value.map(|value| Entry {
            hash,
            key: key.into(),
            value,
        }));
        self.len = self.len + entries.len() - before;
        *bucket = (!entries.is_empty()).then(|| entries.into());
    }

    /// Every entry once, beginning at a place that `start` chooses.
    pub(super) fn iter_from(&self, start: u64) -> impl Iterator<Item = (&[u8], &V)> {
        let (high, low) = slots(start);
        let branches = (0..FAN).filter_map(move |at| self.root[(high + at) % FAN].as_ref());
        let buckets =
            branches.flat_map(move |branch| (0..FAN).filter_map(move |at| branch[(low + at) % FAN].as_ref()));
        let entries = buckets.flat_map(|bucket| bucket.iter());
        entries.map(|entry| (&*entry.key, &entry.value))
    }
}

const fn slots(hash: u64) -> (usize, usize) {
    let high = hash >> (u64::BITS - BITS);
    let low = hash >> (u64::BITS - 2 * BITS);
    (high as usize, low as usize % FAN)
}

/// Eight bytes at a time, folded by a multiplication. Only names that were registered are ever inserted, so whoever
/// merely asks cannot make a bucket long.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ (product >> 64) as u64
    };
    let mut state = FACTOR ^ bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), FACTOR);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(
        state ^ u64::from_le_bytes(last),
        FACTOR.rotate_left(32) ^ 0x1234_5677,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clones_keep_what_they_had() {
        let mut trie = Trie::default();
        for n in 0..1_000_u32 {
            trie.set(&n.to_be_bytes(), Some(n));
        }
        let old = trie.clone();
        trie.set(&7_u32.to_be_bytes(), Some(70));
        trie.set(&8_u32.to_be_bytes(), None);
        assert_eq!(old.get(&7_u32.to_be_bytes()), Some(&7));
        assert_eq!(old.get(&8_u32.to_be_bytes()), Some(&8));
        assert_eq!(trie.get(&7_u32.to_be_bytes()), Some(&70));
        assert_eq!(trie.get(&8_u32.to_be_bytes()), None);
        assert_eq!(
            (old.iter_from(5).count(), trie.iter_from(u64::MAX).count()),
            (1_000, 999)
        );
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0u8..40, any::<Option<u8>>()), 0..200)) {
            let (mut trie, mut model) = (Trie::default(), BTreeMap::new());
            for (key, value) in steps {
                trie.set(&[key], value);
                match value {
                    Some(value) => model.insert([key], value),
                    None => model.remove(&[key]),
                };
                prop_assert_eq!(trie.is_empty(), model.is_empty());
            }
            let mut all: Vec<_> = trie.iter_from(99).map(|(key, value)| ([key[0]], *value)).collect();
            all.sort_unstable();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }
}
