//! How a store is opened: sizes, times, the outside world.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tsugite_base::World;

use crate::format::ALIGN;

/// How to open a log.
#[derive(Clone)]
pub struct Options<Settings> {
    /// Clock and entropy.
    pub world: World,
    /// What the state machines need to know.
    pub settings: Settings,
    /// Sizes on disk and in memory.
    pub sizes: Sizes,
    /// A checkpoint is written this long after the last one if anything changed.
    pub checkpoint_interval: Duration,
    /// Called once when the store cannot go on; the process is expected to end there and then.
    pub on_fatal: OnFatal,
}

impl<Settings> Options<Settings> {
    /// The defaults; a fatal error is only logged until `on_fatal` is set.
    pub fn new(world: World, settings: Settings) -> Self {
        Options {
            world,
            settings,
            sizes: Sizes::default(),
            checkpoint_interval: Duration::from_secs(60),
            on_fatal: Arc::new(|_| {}),
        }
    }
}

/// What to do when the store cannot go on.
pub type OnFatal = Arc<dyn Fn(&Fatal) + Send + Sync>;

/// The store cannot go on: a write or sync failed, and what the disk holds now is unknown.
///
/// Nothing is retried: after a failed fsync the kernel may have dropped the very pages that a second, successful
/// one would be about. Replies that wait are never sent; a restart recovers what reached the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// What failed, on which file, and how.
    pub what: String,
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store cannot go on: {}", self.what)
    }
}

impl std::error::Error for Fatal {}

/// Sizes in bytes.
///
/// A disk in use holds segments with something live in them, `checkpoint_bytes` of log that the newest checkpoint
/// does not cover yet, `spares` and one prepared segment, and one checkpoint or, for a moment, two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Capacity of the first segment: small, because it is made while somebody waits for the start.
    pub first_segment: u64,
    /// Capacity of a full-sized segment. Each segment has four times the capacity of the one before until then.
    pub segment: u64,
    /// Longest decision (all its records), and what stays free for deletes when the disk is full.
    pub reserve: u64,
    /// Commands wait while this much is pending for the next sync.
    pub max_batch: u64,
    /// A checkpoint is written after this much log.
    pub checkpoint_bytes: u64,
    /// Recent frames kept in memory, so that fresh messages are delivered without a read.
    pub hot: u64,
    /// Emptied full-sized segments kept for reuse: overwriting is cheaper than extending.
    pub spares: usize,
    /// The directory may hold this much more than twice the bytes that stored messages need; beyond, the survivors
    /// of sparse segments are copied to the head of the log.
    pub slack: u64,
}

impl Default for Sizes {
    fn default() -> Sizes {
        const MIB: u64 = 1024 * 1024;
        Sizes {
            first_segment: 4 * MIB,
            segment: 64 * MIB,
            reserve: MIB + MIB / 2,
            max_batch: 8 * MIB,
            checkpoint_bytes: 256 * MIB,
            hot: 48 * MIB,
            spares: 5,
            slack: 512 * MIB,
        }
    }
}

impl Sizes {
    /// A segment must have room for the longest batch, and be worth a file.
    pub(crate) const fn smallest_segment(&self) -> u64 {
        self.max_batch + self.reserve + 1024
    }

    /// What the directory may come to hold until the next checkpoint, beside segments that something keeps: log that
    /// no checkpoint covers, with the segments at both its ends, and the prepared segment. Spares are used up by then.
    pub(crate) const fn working(&self) -> u64 {
        self.checkpoint_bytes + 3 * self.segment
    }

    /// Bytes that one step of cleaning copies at most, unless a single message is longer.
    pub(crate) const fn relocation(&self) -> u64 {
        self.reserve / 3 * 2
    }

    /// Checks that a full batch fits into the segment that it may open.
    pub(crate) fn check(&self) -> Result<(), String> {
        let second = self.segment.min(self.first_segment.saturating_mul(4));
        let batch = self.smallest_segment();
        // A next segment is wanted at half; until then there must be room for a decision and a frame's edges.
        let first = 2 * self.reserve + 1024;
        if self.first_segment < first
            || second < batch
            || !self.first_segment.is_multiple_of(ALIGN)
            || !self.segment.is_multiple_of(ALIGN)
        {
            return Err(format!(
                "segments of {} and {second} bytes do not suit batches of {} and decisions of {} bytes",
                self.first_segment, self.max_batch, self.reserve
            ));
        }
        Ok(())
    }
}
