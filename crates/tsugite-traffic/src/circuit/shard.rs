//! What one core writes on the request path: counters, calls in flight by the slice of time in which they
//! started, and an estimate of the healthy median.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tsugite_base::Mono;

use super::window::Counts;

/// The counters of a shard, in the order of [`Counts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Success,
    Failure,
    SlowSuccess,
    SlowFailure,
    Overload,
    Ignored,
    Marked,
    LateSuccess,
    LateFailure,
    LateIgnored,
    Connect,
}

const KINDS: usize = 11;

/// Refused calls, by what refused them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// By the open circuit.
    pub open: u64,
    /// By the half-open circuit, which had no permit left.
    pub half_open: u64,
    /// By an operator's override.
    pub forced_open: u64,
}

/// Aligned so that two cores never write to the same cache line (128: processors fetch lines in pairs).
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard {
    /// Generation in the upper half, count in the lower: an outcome and its generation change together.
    counts: [AtomicU64; KINDS],
    /// Nanoseconds; 0 before the first healthy call.
    median: AtomicU64,
    /// Healthy calls that the estimate rests on, as far as that matters for its next step.
    observed: AtomicU64,
    /// Ever growing: open, half-open, forced open.
    rejected: [AtomicU64; 3],
    in_flight: InFlight,
}

impl Shard {
    pub(super) fn new(slices: Slices) -> Shard {
        Shard {
            counts: Default::default(),
            median: AtomicU64::new(0),
            observed: AtomicU64::new(0),
            rejected: Default::default(),
            in_flight: InFlight::new(slices),
        }
    }

    /// Adds to a counter of `generation`. Dropped if the counter already belongs to a newer one.
    pub(super) fn add(&self, kind: Kind, generation: u32, n: u32) {
        let counter = &self.counts[kind as usize];
        let mut word = counter.load(Relaxed);
        loop {
            let (of, count) = ((word >> 32) as u32, word as u32);
            let next = if of == generation {
                count.saturating_add(n)
            } else if is_newer(generation, of) {
                n
            } else {
                return;
            };
            let next = u64::from(generation) << 32 | u64::from(next);
            match counter.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Takes out what was counted for `generation`.
    pub(super) fn drain(&self, generation: u32) -> Counts {
        let take = |kind: Kind| -> u64 {
            let counter = &self.counts[kind as usize];
            let mut word = counter.load(Relaxed);
            while (word >> 32) as u32 == generation && word as u32 > 0 {
                match counter.compare_exchange_weak(word, u64::from(generation) << 32, Relaxed, Relaxed) {
                    Ok(_) => return u64::from(word as u32),
                    Err(now) => word = now,
                }
            }
            0
        };
        // `Marked` last: a call ends after it was marked, so that its mark is seen in the same tick or before.
        Counts {
            success: take(Kind::Success),
            failure: take(Kind::Failure),
            slow_success: take(Kind::SlowSuccess),
            slow_failure: take(Kind::SlowFailure),
            overload: take(Kind::Overload),
            ignored: take(Kind::Ignored),
            late_success: take(Kind::LateSuccess),
            late_failure: take(Kind::LateFailure),
            late_ignored: take(Kind::LateIgnored),
            connect: take(Kind::Connect),
            marked: take(Kind::Marked),
        }
    }

    pub(super) fn reject(&self, which: usize) {
        self.rejected[which].fetch_add(1, Relaxed);
    }

    pub(super) fn rejected(&self) -> [u64; 3] {
        [0, 1, 2].map(|which: usize| self.rejected[which].load(Relaxed))
    }

    /// Moves the estimate towards `latency`, by a quarter at first and by a sixty-fourth from the sixty-fourth call on: it
    /// settles where half of the calls are above it.
    pub(super) fn observe_healthy(&self, latency: Duration) {
        let latency = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1);
        let (median, observed) = (self.median.load(Relaxed), self.observed.load(Relaxed));
        let step = (median / observed.clamp(4, 64)).max(1);
        let next = match median {
            0 => latency,
            m if latency > m => m + step,
            m if latency < m => (m - step).max(1),
            m => m,
        };
        // Only this core writes; a rare lost update would change nothing that matters.
        self.median.store(next, Relaxed);
        if observed < 64 {
            self.observed.store(observed + 1, Relaxed);
        }
    }

    pub(super) fn median(&self) -> Option<u64> {
        Some(self.median.load(Relaxed)).filter(|&m| m > 0)
    }

    /// Begins a new estimate. A call that ends in the same moment may carry the old one over: no harm.
    pub(super) fn forget_median(&self) {
        self.observed.store(0, Relaxed);
        self.median.store(0, Relaxed);
    }

    /// Notes a call that starts now. `None`: it cannot be followed, and counts when it ends.
    pub(super) fn join(&self, now: Mono, generation: u32) -> Option<Slice> {
        let (slice, overdue) = self.in_flight.join(now, generation)?;
        if overdue > 0 {
            self.add(Kind::Marked, generation, overdue);
        }
        Some(slice)
    }

    /// Notes that a call is no longer in flight; `true` if it was counted as slow before.
    pub(super) fn leave(&self, slice: Slice) -> bool {
        self.in_flight.leave(slice)
    }

    /// Counts as slow all calls in flight that started in slices which have wholly passed the threshold.
    pub(super) fn sweep(&self, now: Mono, slow: Duration, generation: u32) {
        let marked = self.in_flight.sweep(now, slow, generation);
        if marked > 0 {
            self.add(Kind::Marked, generation, marked);
        }
    }
}

/// Generations wrap; one is newer if it lies less than half the circle ahead.
pub(super) const fn is_newer(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// How time is cut into slices: width a power of two of nanoseconds, at most 67 ms and, where a millisecond allows,
/// at most an eighth of the slow threshold; enough slices that one is used again only after its calls are slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slices {
    shift: u32,
    count: usize,
}

impl Slices {
    pub(super) fn new(slow: Duration) -> Slices {
        let slow = u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX);
        let mut shift = 26;
        while shift > 20 && (8 << shift) > slow {
            shift -= 1;
        }
        // A threshold of minutes does not need slices of 67 ms; memory stays at most 8 KiB a core.
        while (slow >> shift) + 2 > 1024 {
            shift += 1;
        }
        let count = ((slow >> shift) + 2).next_power_of_two();
        Slices {
            shift,
            count: count as usize,
        }
    }

    /// The longest time by which a hung call is marked after it passed the threshold.
    #[cfg(test)]
    pub(super) const fn width(self) -> Duration {
        Duration::from_nanos(1 << self.shift)
    }
}

/// A call's place among the calls in flight: the tag of its slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice(u64);

const COUNT_BITS: u32 = 20;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const SWEPT: u64 = 1 << COUNT_BITS;
const NUMBER_BITS: u32 = 27;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;
const TAG_SHIFT: u32 = COUNT_BITS + 1;

/// Calls in flight, counted by the slice in which they started.
///
/// All calls of a circuit share one threshold, so the calls of a slice become slow together; no call needs a
/// timer of its own. A slot's word: generation (16 bits) | slice number (27) | swept (1) | count (20).
/// The tag is the first two. Whoever finds a slot of an older slice sweeps it before using it again.
#[derive(Debug)]
struct InFlight {
    slices: Slices,
    slots: Box<[AtomicU64]>,
    /// First slice that the sweeper has not looked at.
    next: AtomicU64,
}

impl InFlight {
    fn new(slices: Slices) -> InFlight {
        InFlight {
            slices,
            slots: (0..slices.count).map(|_| AtomicU64::new(0)).collect(),
            next: AtomicU64::new(0),
        }
    }

    fn slot(&self, number: u64) -> &AtomicU64 {
        &self.slots[number as usize & (self.slots.len() - 1)]
    }

    fn join(&self, now: Mono, generation: u32) -> Option<(Slice, u32)> {
        let number = now.nanos() >> self.slices.shift;
        let tag = tag(generation, number);
        let slot = self.slot(number);
        let mut word = slot.load(Relaxed);
        loop {
            let (next, overdue) = if word >> TAG_SHIFT == tag {
                if word & (SWEPT | COUNT) >= COUNT {
                    return None;
                }
                (word + 1, 0)
            } else if word & COUNT == 0 || supersedes(tag, word >> TAG_SHIFT) {
                let same_generation = generation_of(word >> TAG_SHIFT) == generation as u16;
                (
                    tag << TAG_SHIFT | 1,
                    if same_generation { (word & COUNT) as u32 } else { 0 },
                )
            } else {
                return None;
            };
            match slot.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) => return Some((Slice(tag), overdue)),
                Err(now) => word = now,
            }
        }
    }

    fn leave(&self, Slice(tag): Slice) -> bool {
        let slot = self.slot(tag & NUMBER);
        let mut word = slot.load(Relaxed);
        while word >> TAG_SHIFT == tag && word & SWEPT == 0 {
            match slot.compare_exchange_weak(word, word - 1, Relaxed, Relaxed) {
                Ok(_) => return false,
                Err(now) => word = now,
            }
        }
        true
    }

    fn sweep(&self, now: Mono, slow: Duration, generation: u32) -> u32 {
        let slow = u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX);
        let end = now.nanos().saturating_sub(slow) >> self.slices.shift;
        let start = self
            .next
            .load(Relaxed)
            .max(end.saturating_sub(self.slots.len() as u64));
        let mut marked = 0;
        for number in start..end {
            marked += sweep_slot(self.slot(number), tag(generation, end));
        }
        self.next.store(start.max(end), Relaxed);
        marked
    }
}

/// Sweeps a slot if it is of the generation of `end`, and of a slice before it.
fn sweep_slot(slot: &AtomicU64, end: u64) -> u32 {
    let mut word = slot.load(Relaxed);
    loop {
        let tag = word >> TAG_SHIFT;
        let due = generation_of(tag) == generation_of(end) && supersedes(end, tag);
        if !due || word & COUNT == 0 {
            return 0;
        }
        match slot.compare_exchange_weak(word, tag << TAG_SHIFT | SWEPT, Relaxed, Relaxed) {
            Ok(_) => return (word & COUNT) as u32,
            Err(now) => word = now,
        }
    }
}

const fn tag(generation: u32, number: u64) -> u64 {
    (generation as u16 as u64) << NUMBER_BITS | (number & NUMBER)
}

const fn generation_of(tag: u64) -> u16 {
    (tag >> NUMBER_BITS) as u16
}

/// Whether a call of tag `new` may take over a slot of tag `old`: its generation is newer, or equal with a later slice.
const fn supersedes(new: u64, old: u64) -> bool {
    let generations = generation_of(new).wrapping_sub(generation_of(old)) as i16;
    let slices = (((new & NUMBER).wrapping_sub(old & NUMBER) & NUMBER) as i64) << (64 - NUMBER_BITS);
    generations > 0 || (generations == 0 && slices > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_secs(2);

    fn shard() -> (Shard, Slices) {
        let slices = Slices::new(SLOW);
        (Shard::new(slices), slices)
    }

    #[test]
    fn a_counter_belongs_to_the_newest_generation_that_touched_it() {
        let (shard, _) = shard();
        shard.add(Kind::Success, 7, 1);
        shard.add(Kind::Success, 8, 2);
        shard.add(Kind::Success, 7, 4);
        shard.add(Kind::Failure, 7, 8);
        assert_eq!(
            shard.drain(7),
            Counts {
                failure: 8,
                ..Counts::default()
            }
        );
        assert_eq!(
            shard.drain(8),
            Counts {
                success: 2,
                ..Counts::default()
            }
        );
        assert_eq!(shard.drain(8), Counts::default());
        for generation in [1 << 30, 1 << 31, 3 << 30, u32::MAX, 0] {
            shard.add(Kind::Success, generation, 1);
        }
        assert_eq!(shard.drain(0).success, 1, "generations wrap");
    }

    #[test]
    fn whoever_uses_a_slot_again_counts_the_calls_that_hang_in_it() {
        let (shard, slices) = shard();
        let ring = slices.width() * u32::try_from(slices.count).unwrap();
        let hung = shard.join(Mono(0), 1).unwrap();
        let next = shard.join(Mono(0) + ring, 1).unwrap();
        assert_eq!(shard.drain(1).marked, 1);
        assert!(shard.leave(hung), "it was counted");
        assert!(!shard.leave(next));
        // Calls of an older generation are not counted for the new one.
        let old = shard.join(Mono(0) + ring * 2, 1).unwrap();
        let new = shard.join(Mono(0) + ring * 3, 2).unwrap();
        assert_eq!((shard.drain(1).marked, shard.drain(2).marked), (0, 0));
        assert!(shard.leave(old) && !shard.leave(new));
        assert_eq!(
            shard.join(Mono(0), 2).map(|s| shard.leave(s)),
            Some(false),
            "an empty slot is anyone's"
        );
    }

    #[test]
    fn a_sweep_counts_each_hung_call_once_and_never_early() {
        let (shard, slices) = shard();
        let start = Mono(123_456_789_000);
        let calls: Vec<_> = (0..5).map(|_| shard.join(start, 1).unwrap()).collect();
        shard.sweep(start + SLOW, SLOW, 1);
        assert_eq!(shard.drain(1).marked, 0);
        assert!(!shard.leave(calls[0]));
        shard.sweep(start + SLOW + slices.width(), SLOW, 1);
        shard.sweep(start + SLOW + slices.width(), SLOW, 1);
        assert_eq!(shard.drain(1).marked, 4);
        assert!(shard.leave(calls[1]));
    }

    #[test]
    fn a_full_slice_follows_no_further_calls() {
        let (shard, _) = shard();
        let most = (0..=COUNT)
            .take_while(|_| shard.join(Mono(0), 1).is_some())
            .count() as u64;
        assert_eq!(most, COUNT);
        shard.sweep(Mono(0) + SLOW * 2, SLOW, 1);
        assert_eq!(shard.drain(1).marked, COUNT);
    }

    #[test]
    fn slices_are_fine_enough_and_memory_is_bounded() {
        for millis in [1, 8, 100, 500, 2_000, 5_000, 60_000, 3_600_000] {
            let slow = Duration::from_millis(millis);
            let slices = Slices::new(slow);
            assert!(slices.count.is_power_of_two() && slices.count <= 1024, "{millis}");
            assert!(
                slices.width() * u32::try_from(slices.count - 1).unwrap() >= slow,
                "{millis}"
            );
            assert!(
                slices.width() <= Duration::from_millis(68).max(slow / 500),
                "{millis}"
            );
        }
    }

    #[test]
    fn the_median_settles_between_the_halves() {
        let (shard, _) = shard();
        assert_eq!(shard.median(), None);
        for call in 0..10_000u64 {
            shard.observe_healthy(Duration::from_micros(if call % 10 < 4 {
                100
            } else {
                900 + call % 7 * 50
            }));
        }
        let median = shard.median().unwrap();
        assert!((900_000..1_000_000).contains(&median), "{median}");
    }
}
