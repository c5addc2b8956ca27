//! The embedded store: one segmented log, one committer, and the state machines over it.
//!
//! [`LogStore`] is the store that the program uses. Beneath it, [`Log`] keeps any [`State`] durable:
//!
//! ```text
//! callers ──decide, append, apply (one lock)──► batch ──► committer: one frame, one sync ──► replies
//!                                                │                     │
//!                                     hot frames in memory      segment files ◄── keeper: next segment,
//!                                                                                 checkpoints, dead segments
//! ```
//!
//! What is on disk is told in `format.rs`, how it is read back in `recovery.rs`, and what may go wrong with a
//! disk in [`disk::sim`].

mod batch;
mod checkpoint;
mod cleaner;
mod cold;
mod committer;
pub mod disk;
mod domains;
mod format;
mod front;
mod hot;
mod inbox;
mod keeper;
mod listing;
mod log;
mod metrics;
mod open_error;
mod options;
mod recovery;
mod repair;
mod repaired;
mod room;
mod salvage;
mod segment;
mod space;
mod state;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod threads;
mod verify;
mod waits;

pub use committer::Committer;
pub use domains::{Domains, Record, Settings};
pub use format::VERSION;
pub use keeper::Keeper;
pub use log::Log;
pub use metrics::{LogMetrics, SYNC_BUCKETS_MICROS};
pub use open_error::{Corruption, OpenError};
pub use options::{Fatal, OnFatal, Options, Sizes};
pub use recovery::{Recovery, Torn};
pub use repair::repair;
pub use repaired::{Gap, LostMessage, Missing, Repaired};
pub use state::{Growth, State};
pub use store::LogStore;
pub use threads::{Opened, Threads};
pub use tsugite_broker::{Search, Stowed};
pub use verify::{Report, SegmentReport, verify};
