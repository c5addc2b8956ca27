//! What the log keeps durable: a state machine that changes only by records.

use tsugite_base::codec::Malformed;
use tsugite_base::{Now, Place};

/// A state machine over the log.
///
/// The log appends records and applies them at once, in order; after a restart it applies the same records to
/// the newest snapshot, and the state must come out the same.
pub trait State: Sized + Send + 'static {
    /// What the machine needs to know to start; never stored.
    type Settings: Clone + Send + Sync + 'static;
    /// A durable change.
    type Record: Send;

    /// The state that `snapshot` holds, or the empty state.
    fn restore(settings: &Self::Settings, snapshot: Option<&[u8]>, now: Now) -> Result<Self, Malformed>;
    /// Appends everything that [`State::restore`] needs.
    fn snapshot(&self, out: &mut Vec<u8>);
    /// Appends the record's bytes.
    fn encode(record: &Self::Record, out: &mut Vec<u8>);
    /// Reads a record that [`State::encode`] wrote.
    fn decode(bytes: &[u8]) -> Result<Self::Record, Malformed>;
    /// Makes the change. `place` is where the record's bytes are.
    fn apply(&mut self, record: Self::Record, place: Place);
    /// The lowest position of a record whose bytes may still be read; `None` if there is none.
    fn oldest_needed(&self) -> Option<u64>;
    /// Whether the record makes the store larger: such records are refused when the disk is full.
    fn grows(record: &Self::Record) -> bool;
    /// Called once, after recovery has applied every record.
    fn recovered(&mut self, now: Now) {
        let _ = now;
    }
    /// Lets time pass; called before each decision. Changes nothing that records would not bring about as well.
    fn advance(&mut self, now: Now) {
        let _ = now;
    }
    /// Called under the lock after each change, durable or not: the place to wake those who wait for it.
    fn settle(&mut self) {}
}
