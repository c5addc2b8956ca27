//! Which segments are still needed, and which are so sparse that what lives in them is better copied.

use std::collections::BTreeMap;

use crate::format::SEGMENT_HEADER;
use crate::options::Sizes;
use crate::segment::Closed;

/// A segment that ends below the checkpoint, and the bytes in it that may still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occupied {
    pub(crate) segment: Closed,
    /// Counted in whole regions at both edges, so never too few; at most what the segment holds.
    pub(crate) live: u64,
    /// How much of it lived at the checkpoint before; `None` if that did not know the segment.
    pub(crate) before: Option<u64>,
}

/// How much of each segment lives, from the live bytes of each region of the log.
pub(crate) fn occupied(segments: &[Closed], usage: &BTreeMap<u64, u64>, region_bits: u32) -> Vec<Occupied> {
    let live = |segment: &Closed| -> u64 {
        let regions = segment.base >> region_bits..=(segment.end - 1) >> region_bits;
        let live = usage.range(regions).map(|(_, live)| live).sum();
        u64::min(live, segment.end - segment.base)
    };
    let with = |segment: &Closed| Occupied {
        segment: *segment,
        live: live(segment),
        before: None,
    };
    segments.iter().map(with).collect()
}

/// What cleaning is decided by.
pub(crate) struct Balance {
    /// Bytes that stored messages need, wherever they are.
    pub(crate) live: u64,
    /// Bytes of a checkpoint.
    pub(crate) checkpoint: u64,
    /// While the disk is full: what a copy may take.
    pub(crate) left: Option<u64>,
}

/// What to empty now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The segments, the cheapest first.
    pub(crate) victims: Vec<Closed>,
    /// Their space is wanted at once: a checkpoint is to follow.
    pub(crate) urgent: bool,
}

/// The segments to empty now.
///
/// Nothing is copied while the directory is far from its bound, since most of what is alive now will have been
/// received and deleted before it matters. On the way to the bound, segments of which less than a quarter lives are
/// taken, at a price of a third of the space that they give, unless they are emptying by themselves: more than half of
/// what lived at the checkpoint before must still live. When the bound would be exceeded, any is taken that gives a
/// fifth. A full disk takes the one segment whose copy is sure to find room.
pub(crate) fn plan(occupied: &[Occupied], balance: &Balance, sizes: &Sizes) -> Plan {
    let size = |o: &Occupied| SEGMENT_HEADER as u64 + o.segment.capacity;
    let mut candidates: Vec<&Occupied> = occupied.iter().collect();
    candidates.sort_by_key(|o| (o.live.saturating_mul(1_000) / size(o), o.segment.base));
    if let Some(left) = balance.left {
        // Each message costs some bytes of record beside its own.
        let fits = |o: &&&Occupied| o.live + o.live / 4 <= left && o.live * 5 < size(o) * 4;
        let found = candidates.iter().find(fits).map(|o| o.segment);
        return Plan {
            victims: found.into_iter().collect(),
            urgent: true,
        };
    }
    let bound = 2 * balance.live + sizes.slack;
    let early = bound - sizes.slack.saturating_sub(sizes.working()) / 2;
    let mut expected = occupied.iter().map(size).sum::<u64>() + 2 * balance.checkpoint + sizes.working();
    let (mut victims, urgent) = (Vec::new(), expected > bound);
    for candidate in candidates {
        let sparse = candidate.live * 4 < size(candidate);
        let worthwhile = candidate.live * 5 < size(candidate) * 4;
        let calm = candidate.before.is_some_and(|before| candidate.live * 2 > before);
        let wanted = (sparse && calm && expected > early) || (worthwhile && expected > bound);
        if !wanted {
            continue;
        }
        expected = expected.saturating_sub(size(candidate)) + candidate.live;
        victims.push(candidate.segment);
    }
    Plan { victims, urgent }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        segment: 1_000 - 64,
        checkpoint_bytes: 2_000,
        slack: 6_000,
        ..crate::testing::TINY
    };

    fn segment(n: u64) -> Closed {
        Closed {
            base: n * 936,
            end: (n + 1) * 936,
            capacity: 936,
        }
    }

    fn chosen(live: &[u64], left: Option<u64>) -> Vec<u64> {
        chosen_after(live, None, left)
    }

    fn chosen_after(live: &[u64], before: Option<u64>, left: Option<u64>) -> Vec<u64> {
        let occupied: Vec<Occupied> = (0..)
            .zip(live)
            .map(|(n, &live)| Occupied {
                segment: segment(n),
                live,
                before: Some(before.unwrap_or(live)),
            })
            .collect();
        let balance = Balance {
            live: live.iter().sum(),
            checkpoint: 0,
            left,
        };
        let plan = plan(&occupied, &balance, &SIZES);
        plan.victims.iter().map(|closed| closed.base / 936).collect()
    }

    #[test]
    fn live_bytes_of_a_segment_are_those_of_its_regions() {
        let usage = BTreeMap::from([(0, 10), (3, 100), (4, 5_000)]);
        let found = occupied(&[segment(0), segment(1), segment(2)], &usage, 8);
        let live: Vec<u64> = found.iter().map(|o| o.live).collect();
        // Region 3 is 768..1024 and belongs to the first two; the second cannot hold all of region 4.
        assert_eq!(live, [110, 936, 0]);
    }

    #[test]
    fn sparse_segments_go_early_and_dense_ones_at_the_bound_only() {
        let none: [u64; 0] = [];
        assert_eq!(chosen(&[], None), none);
        // Far from the bound of 2 x 900 + 6,000 there is no hurry, ...
        assert_eq!(chosen(&[900], None), none);
        // ... on the way to it what is cheap is taken if it stays, ...
        assert_eq!(chosen(&[100, 400, 500, 500], None), [0]);
        assert_eq!(chosen_after(&[100, 400, 500, 500], Some(200), None), none);
        // ... and at it what is cheapest, until the bound is kept.
        assert_eq!(chosen(&[300, 260, 340, 280, 350, 330], None), [1, 3]);
        assert_eq!(chosen(&[900; 40], None), none, "nothing would be won");
    }

    #[test]
    fn a_full_disk_takes_one_segment_that_fits() {
        assert_eq!(chosen(&[300, 200, 100], Some(120)), [] as [u64; 0]);
        assert_eq!(chosen(&[300, 200, 100], Some(125)), [2]);
        assert_eq!(chosen(&[300, 900, 850], Some(9_000)), [0]);
    }
}
