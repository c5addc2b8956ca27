//! All stored ranges that a number lies in.

use std::collections::{BTreeMap, BTreeSet};

use super::hash::Map;
use super::slots::{Found, Slot};

/// Ranges from one number to another, both within. Think of a binary tree over all numbers of 64 bits, of which only
/// the nodes in use exist: a range is kept at the highest node whose middle it holds, sorted by either end. Whoever
/// looks for a number walks from the root to it, and at each node one of the two sortings begins or ends with just
/// the ranges that hold it. So looking costs 65 steps at most and the ranges found; adding and removing, two
/// logarithms.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    /// By level, which is how many low bits the node leaves open, and the bits above those.
    nodes: Map<(u32, u64), Node>,
    /// How many nodes each level has, of those that have any.
    levels: BTreeMap<u32, usize>,
    len: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    by_low: BTreeSet<(u64, Slot)>,
    by_high: BTreeSet<(u64, Slot)>,
}

/// The node of a range: the bits in which its ends agree.
fn fork(low: u64, high: u64) -> (u32, u64) {
    let level = u64::BITS - (low ^ high).leading_zeros();
    (level, above(low, level))
}

/// The bits of a number above the lowest `level`.
fn above(number: u64, level: u32) -> u64 {
    number.checked_shr(level).unwrap_or(0)
}

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many ranges hold `number`, where `limit` is as good as more.
    pub(super) fn count(&self, number: u64, limit: usize) -> usize {
        let mut count = 0;
        let node_counts = self.nodes_around(number).map(|marks| marks.take(limit).count());
        for more in node_counts {
            count += more;
            if count >= limit {
                return limit;
            }
        }
        count
    }

    /// `low` is `high` at most.
    pub(super) fn insert(&mut self, low: u64, high: u64, slot: Slot) {
        let (level, prefix) = fork(low, high);
        let node = self.nodes.entry((level, prefix)).or_insert_with(|| {
            *self.levels.entry(level).or_default() += 1;
            Node::default()
        });
        node.by_high.insert((high, slot));
        self.len += usize::from(node.by_low.insert((low, slot)));
    }

    /// Removes a range of an entry. Its other ranges have to go too before the next look: those with the same end
    /// share a mark.
    pub(super) fn remove(&mut self, low: u64, high: u64, slot: Slot) {
        let (level, prefix) = fork(low, high);
        let Some(node) = self.nodes.get_mut(&(level, prefix)) else {
            return;
        };
        node.by_high.remove(&(high, slot));
        self.len -= usize::from(node.by_low.remove(&(low, slot)));
        if node.by_low.is_empty() && node.by_high.is_empty() {
            self.nodes.remove(&(level, prefix));
            if let Some(count) = self.levels.get_mut(&level) {
                *count -= 1;
            }
            self.levels.retain(|_, count| *count > 0);
        }
    }

    /// Finds the entries with a range that holds `number`.
    pub(super) fn find(&self, number: u64, found: &mut Found) {
        self.nodes_around(number)
            .flatten()
            .for_each(|slot| found.add(slot));
    }

    /// From each node on the way to `number` the entries with a range that holds it.
    fn nodes_around(&self, number: u64) -> impl Iterator<Item = impl Iterator<Item = Slot>> {
        let nodes = self.levels.keys().filter_map(move |level| {
            let node = self.nodes.get(&(*level, above(number, *level)))?;
            Some((*level, node))
        });
        nodes.map(move |(level, node)| {
            // The middle is the first number whose next bit is set; ranges here begin below it and end at or above.
            let low_half = level > 0 && number >> (level - 1) & 1 == 0;
            let marks = match low_half {
                true => node.by_low.range(..=(number, Slot::MAX)),
                false => node.by_high.range((number, 0)..),
            };
            marks.map(|(_, slot)| *slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(ranges: &Ranges, number: u64) -> Vec<Slot> {
        let mut found = Found::none(100);
        ranges.find(number, &mut found);
        found.iter().collect()
    }

    #[test]
    fn the_ends_are_within() {
        let mut ranges = Ranges::default();
        for (slot, (low, high)) in [(5, 9), (0, u64::MAX), (9, u64::MAX), (0, 5), (7, 7)]
            .into_iter()
            .enumerate()
        {
            ranges.insert(low, high, slot as Slot);
        }
        assert_eq!(found(&ranges, 0), [1, 3]);
        assert_eq!(found(&ranges, 5), [0, 1, 3]);
        assert_eq!(found(&ranges, 7), [0, 1, 4]);
        assert_eq!(found(&ranges, 9), [0, 1, 2]);
        assert_eq!(found(&ranges, u64::MAX), [1, 2]);
    }

    /// Numbers near one another and near the ends and the middle.
    fn number() -> impl Strategy<Value = u64> {
        let near = |base: u64| (0_u64..20).prop_map(move |offset| base.wrapping_add(offset).wrapping_sub(10));
        prop_oneof![near(0), near(1 << 63), near(1000), any::<u64>()]
    }

    proptest! {
        #[test]
        fn it_finds_what_a_list_finds(
            entries in prop::collection::vec(prop::collection::vec((number(), number()), 0..4), 0..30),
            removed in prop::collection::vec(any::<bool>(), 30),
            numbers in prop::collection::vec(number(), 1..20),
        ) {
            let ordered = |(a, b): (u64, u64)| (a.min(b), a.max(b));
            let mut ranges = Ranges::default();
            for (slot, own) in entries.iter().enumerate() {
                own.iter().for_each(|range| {
                    let (low, high) = ordered(*range);
                    ranges.insert(low, high, slot as Slot);
                });
            }
            for (slot, own) in entries.iter().enumerate().filter(|(slot, _)| removed[*slot]) {
                own.iter().for_each(|range| {
                    let (low, high) = ordered(*range);
                    ranges.remove(low, high, slot as Slot);
                });
            }
            let kept = || entries.iter().enumerate().filter(|(slot, _)| !removed[*slot]);
            for number in numbers {
                let holds = |range: &(u64, u64)| {
                    let (low, high) = ordered(*range);
                    (low..=high).contains(&number)
                };
                let expected: Vec<Slot> =
                    kept().filter(|(_, own)| own.iter().any(holds)).map(|(slot, _)| slot as Slot).collect();
                let several = kept().flat_map(|(_, own)| own).filter(|range| holds(range)).count();
                prop_assert!((expected.len()..=several).contains(&ranges.count(number, 1000)));
                prop_assert_eq!(ranges.count(number, 1), expected.len().min(1));
                prop_assert_eq!(found(&ranges, number), expected);
            }
            let empty = kept().all(|(_, own)| own.is_empty());
            prop_assert_eq!(ranges.is_empty(), empty);
            prop_assert_eq!(ranges.nodes.is_empty(), empty);
            prop_assert_eq!(ranges.levels.is_empty(), empty);
        }
    }
}
