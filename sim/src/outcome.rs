//! What can be planted in a history, and what comes of it.

/// A mistake to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// None.
    None,
    /// Replies do not wait for the sync.
    EarlyReplies,
    /// The disk says that it synced, and did not.
    LazySyncs,
    /// A restarted store trusts what it reads without making it durable.
    TrustingRestart,
}

/// What a history came to, if all went well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Commands that were taken.
    pub commands: u64,
    /// Replies that were sent.
    pub replies: u64,
    /// Crashes.
    pub crashes: u64,
    /// Interrupted writes that were cut off.
    pub torn: u64,
    /// Restarts from a checkpoint.
    pub checkpoints: u64,
    /// Commands refused because the disk was full.
    pub full: u64,
    /// Messages read where they had been copied to after they were leased.
    pub found_again: u64,
    /// Segments dropped.
    pub dropped: u64,
    /// Messages copied to the head of the log.
    pub copied: u64,
    /// Messages delivered, repeats included.
    pub deliveries: u64,
    /// Bits that flipped on disk, and those of them that were reported.
    pub flips: u64,
    /// See [`Outcome::flips`]; the others were in nothing that is ever read.
    pub flips_reported: u64,
    /// Sends that were answered with an earlier acceptance, and receives with the messages of an earlier one.
    pub repeats: u64,
    /// See [`Outcome::repeats`].
    pub repeated_receives: u64,
    /// Calls that never had a reply.
    pub unknown: u64,
    /// Hash of everything done to the disk and of what it holds at the end.
    pub digest: u64,
}
