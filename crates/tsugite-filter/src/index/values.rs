//! The entries behind each exact value of one kind.

use std::borrow::Borrow;
use std::hash::Hash;

use super::hash::Map;
use super::odds::Odds;
use super::slots::{Bucket, Found, Slot};

/// Buckets by value.
#[derive(Debug, Clone)]
pub(super) struct Values<V> {
    buckets: Map<V, Bucket>,
    odds: Odds,
}

impl<V> Default for Values<V> {
    fn default() -> Self {
        Values {
            buckets: Map::default(),
            odds: Odds::default(),
        }
    }
}

impl<V: Hash + Eq> Values<V> {
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    pub(super) fn insert(&mut self, value: V, slot: Slot) {
        let bucket = self.buckets.entry(value).or_default();
        if bucket.insert(slot) {
            self.odds.add(bucket.len() - 1);
        }
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, value: &Q, slot: Slot)
    where
        V: Borrow<Q>,
    {
        let Some(bucket) = self.buckets.get_mut(value) else {
            return;
        };
        if bucket.remove(slot) {
            self.odds.remove(bucket.len());
        }
        if bucket.is_empty() {
            self.buckets.remove(value);
        }
    }

    pub(super) fn find<Q: Hash + Eq + ?Sized>(&self, value: &Q, found: &mut Found)
    where
        V: Borrow<Q>,
    {
        if !self.buckets.is_empty()
            && let Some(bucket) = self.buckets.get(value)
        {
            found.add_all(bucket);
        }
    }

    /// The chance that a message leads to an entry behind this value.
    pub(super) fn odds<Q: Hash + Eq + ?Sized>(&self, value: &Q) -> usize
    where
        V: Borrow<Q>,
    {
        self.odds.of(self.buckets.get(value).map_or(0, Bucket::len))
    }
}
