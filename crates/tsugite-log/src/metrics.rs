//! Counters of the log, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the sync latency buckets, in microseconds; one more bucket holds the rest.
pub const SYNC_BUCKETS_MICROS: [u64; 12] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000,
];

/// The counters, written by the log's threads.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) records: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) disk_reads: AtomicU64,
    sync_buckets: [AtomicU64; SYNC_BUCKETS_MICROS.len() + 1],
    sync_micros: AtomicU64,
    pauses: AtomicU64,
    pause_micros: AtomicU64,
    longest_pause_micros: AtomicU64,
    pub(crate) relocated_messages: AtomicU64,
    pub(crate) relocated_bytes: AtomicU64,
    pub(crate) dropped_segments: AtomicU64,
    pub(crate) emptied_segments: AtomicU64,
    pub(crate) live_bytes: AtomicU64,
}

impl Metrics {
    pub(crate) fn synced(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = SYNC_BUCKETS_MICROS.partition_point(|&bound| bound < micros);
        self.sync_buckets[bucket].fetch_add(1, Relaxed);
        self.sync_micros.fetch_add(micros, Relaxed);
    }

    /// Everything stood still for so long while a snapshot was encoded.
    pub(crate) fn paused(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.pauses.fetch_add(1, Relaxed);
        self.pause_micros.fetch_add(micros, Relaxed);
        self.longest_pause_micros.fetch_max(micros, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> LogMetrics {
        let mut sync_buckets = [0; SYNC_BUCKETS_MICROS.len() + 1];
        for (out, counter) in sync_buckets.iter_mut().zip(&self.sync_buckets) {
            *out = counter.load(Relaxed);
        }
        LogMetrics {
            records: self.records.load(Relaxed),
            frames: self.frames.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            disk_reads: self.disk_reads.load(Relaxed),
            syncs: sync_buckets.iter().sum(),
            sync_buckets,
            sync_micros: self.sync_micros.load(Relaxed),
            pauses: self.pauses.load(Relaxed),
            pause_micros: self.pause_micros.load(Relaxed),
            longest_pause_micros: self.longest_pause_micros.load(Relaxed),
            relocated_messages: self.relocated_messages.load(Relaxed),
            relocated_bytes: self.relocated_bytes.load(Relaxed),
            dropped_segments: self.dropped_segments.load(Relaxed),
            emptied_segments: self.emptied_segments.load(Relaxed),
            live_bytes: self.live_bytes.load(Relaxed),
            ..LogMetrics::default()
        }
    }
}

/// The counters at one moment. Counts are since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogMetrics {
    /// Records appended.
    pub records: u64,
    /// Frames written.
    pub frames: u64,
    /// Bytes of frames written, headers and padding included.
    pub bytes: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Records read back from disk because memory no longer held them.
    pub disk_reads: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Syncs by duration; bounds in [`SYNC_BUCKETS_MICROS`], not cumulative.
    pub sync_buckets: [u64; SYNC_BUCKETS_MICROS.len() + 1],
    /// Sum of the durations of all syncs, in microseconds.
    pub sync_micros: u64,
    /// How often the store stood still while the state was encoded for a checkpoint.
    pub pauses: u64,
    /// How long it stood still in all for that, in microseconds.
    pub pause_micros: u64,
    /// The longest of these pauses.
    pub longest_pause_micros: u64,
    /// Messages copied to the head of the log, so that their segment could be given back.
    pub relocated_messages: u64,
    /// Bytes of theirs.
    pub relocated_bytes: u64,
    /// Segments that left the log.
    pub dropped_segments: u64,
    /// Segments that were emptied by copying.
    pub emptied_segments: u64,
    /// Bytes of log that stored messages needed at the newest checkpoint.
    pub live_bytes: u64,
    /// Segment files of the log.
    pub segments: u64,
    /// Bytes of them.
    pub segment_bytes: u64,
    /// Position of the newest checkpoint.
    pub checkpoint_lsn: u64,
    /// Everything below this position is durable.
    pub synced_lsn: u64,
    /// Bytes waiting for the next sync.
    pub pending_bytes: u64,
    /// Whether the disk is full, so that growing commands are refused.
    pub full: bool,
}
