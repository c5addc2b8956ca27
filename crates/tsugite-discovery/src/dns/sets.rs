//! The instances that an answer may hold, and the choice among them.

use tsugite_base::rng::SplitMix64;

/// Up to here, and where many are wanted, all are shuffled; a few among more are drawn one by one.
const SHUFFLED: usize = 1_024;
/// From here on many are wanted.
const MANY: usize = 64;

/// Positions in the list of instances.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) members: Box<[u32]>,
    /// The sum of the weights up to each member; empty for a set without weights.
    sums: Box<[u32]>,
}

impl Set {
    /// All alike.
    pub(super) fn even(members: Box<[u32]>) -> Set {
        Set {
            members,
            sums: Box::default(),
        }
    }

    /// Each by its weight; those without weight only if none has any.
    pub(super) fn weighted(members: impl Iterator<Item = (u32, u16)>) -> Set {
        let (members, weights): (Vec<_>, Vec<_>) = members.unzip();
        let sums = weights.iter().scan(0_u32, |sum, weight| {
            *sum = sum.saturating_add(u32::from(*weight));
            Some(*sum)
        });
        let sums: Box<[u32]> = sums.collect();
        let any = sums.last().is_some_and(|sum| *sum > 0);
        Set {
            members: members.into(),
            sums: if any { sums } else { Box::default() },
        }
    }

    /// One of them by weight.
    pub(super) fn one(&self, random: &mut SplitMix64) -> Option<u32> {
        let at = match self.sums.last() {
            Some(sum) => {
                let point = u32::try_from(random.below(u64::from(*sum))).unwrap_or_default();
                self.sums.partition_point(|sum| *sum <= point)
            }
            None => below(random, self.members.len()),
        };
        self.members.get(at).copied()
    }

    /// Puts up to `count` of them into `chosen`, at random and in random order, all alike.
    pub(super) fn some(&self, count: usize, random: &mut SplitMix64, chosen: &mut Vec<u32>) {
        chosen.clear();
        let all = &self.members;
        if let [one] = **all {
            chosen.extend((count > 0).then_some(one));
        } else if all.len() <= SHUFFLED || count >= MANY {
            chosen.extend_from_slice(all);
            for at in 0..count.min(all.len()) {
                let other = at + below(random, all.len() - at);
                chosen.swap(at, other);
            }
            chosen.truncate(count);
        } else {
            while chosen.len() < count {
                let one = all[below(random, all.len())];
                if !chosen.contains(&one) {
                    chosen.push(one);
                }
            }
        }
    }
}

fn below(random: &mut SplitMix64, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn counts(mut draw: impl FnMut() -> Vec<u32>) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for member in (0..10_000).flat_map(|_| draw()) {
            *counts.entry(member).or_default() += 1;
        }
        counts
    }

    #[test]
    fn weights_share_the_draws() {
        for (weights, expected) in [
            (&[300, 100][..], &[7_500, 2_500][..]),
            (&[0, 1], &[0, 10_000]),
            (&[0, 0], &[5_000, 5_000]),
            (&[1, 0, 1], &[5_000, 0, 5_000]),
        ] {
            let set = Set::weighted((0..).zip(weights.iter().copied()));
            let mut random = SplitMix64::new(1);
            let counts = counts(|| set.one(&mut random).into_iter().collect());
            for (at, expected) in (0..).zip(expected) {
                let count = counts.get(&at).copied().unwrap_or_default();
                assert!(count.abs_diff(*expected) < 300, "{weights:?}: {counts:?}");
            }
        }
        assert_eq!(Set::default().one(&mut SplitMix64::new(1)), None);
    }

    #[test]
    fn every_draw_is_a_fair_choice_without_repetition() {
        let mut random = SplitMix64::new(1);
        let mut chosen = Vec::new();
        for (all, count) in [
            (0, 8),
            (1, 8),
            (1, 0),
            (2, 8),
            (50, 8),
            (5_000, 8),
            (5_000, 100),
            (2_000, 9_000),
        ] {
            let set = Set::even((0..all).collect());
            set.some(count, &mut random, &mut chosen);
            let mut sorted = chosen.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), count.min(all as usize), "{count} of {all}");
        }
        let set = Set::even((0..20).collect());
        let firsts = counts(|| {
            set.some(8, &mut random, &mut chosen);
            chosen[..1].to_vec()
        });
        assert!(
            firsts.len() == 20 && firsts.values().all(|count| count.abs_diff(500) < 120),
            "{firsts:?}"
        );
    }
}
