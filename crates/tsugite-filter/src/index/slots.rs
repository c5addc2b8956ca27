//! Sets of entries of an index.

/// The number of an entry. Numbers are given again after a removal, so that they stay small.
pub(super) type Slot = u32;

/// The entries behind one value, ascending. Most hold one or two, so they are lists and not trees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bucket(Vec<Slot>);

impl Bucket {
    /// Whether the slot was not there.
    pub(super) fn insert(&mut self, slot: Slot) -> bool {
        let place = self.0.binary_search(&slot);
        if let Err(place) = place {
            self.0.insert(place, slot);
        }
        place.is_err()
    }

    /// Whether the slot was there.
    pub(super) fn remove(&mut self, slot: Slot) -> bool {
        let place = self.0.binary_search(&slot);
        if let Ok(place) = place {
            self.0.remove(place);
        }
        place.is_ok()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.0.iter().copied()
    }
}

/// The entries that a message may concern, each once, however many of its values lead to it.
#[derive(Debug)]
pub(super) struct Found {
    bits: Vec<u64>,
}

impl Found {
    /// None of the slots below `limit`.
    pub(super) fn none(limit: usize) -> Found {
        Found {
            bits: vec![0; limit.div_ceil(64)],
        }
    }

    pub(super) fn add(&mut self, slot: Slot) {
        self.bits[slot as usize / 64] |= 1 << (slot % 64);
    }

    pub(super) fn add_all(&mut self, bucket: &Bucket) {
        bucket.iter().for_each(|slot| self.add(slot));
    }

    /// Ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.bits.iter().enumerate().flat_map(|(word, bits)| {
            let mut left = *bits;
            std::iter::from_fn(move || {
                let bit = left.checked_sub(1).map(|_| left.trailing_zeros())?;
                left &= left - 1;
                Some(word as u32 * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_comes_once_and_in_order() {
        let mut found = Found::none(200);
        for slot in [199, 64, 0, 63, 64, 128, 0] {
            found.add(slot);
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), [0, 63, 64, 128, 199]);
        assert_eq!(Found::none(0).iter().count(), 0);
    }

    #[test]
    fn a_bucket_is_a_set() {
        let mut bucket = Bucket::default();
        for slot in [3, 1, 2, 3, 1] {
            bucket.insert(slot);
        }
        assert!(!bucket.insert(1) && bucket.remove(2) && !bucket.remove(2));
        assert_eq!(bucket.iter().collect::<Vec<_>>(), [1, 3]);
    }
}
