//! What the log keeps durable: a state machine that changes only by records.

use std::collections::BTreeMap;

use tsugite_base::codec::Malformed;
use tsugite_base::{Now, Place, Sheaf};
use tsugite_broker::{Search, Stowed};

/// What a record does to the size of the store, which decides how long a full disk takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Growth {
    /// It frees something, or is small: taken to the last.
    Frees,
    /// It carries stored bytes again, so that their old place can be given back: taken as long as the reserve for
    /// those that free is not touched.
    Moves,
    /// It adds something: refused first.
    Grows,
}

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
    /// Appends everything that [`State::restore`] needs. Called under the lock: what is large and does not change is
    /// shared rather than copied.
    fn snapshot(&self, out: &mut Sheaf);
    /// Appends the record's bytes.
    fn encode(record: &Self::Record, out: &mut Vec<u8>);
    /// Reads a record that [`State::encode`] wrote.
    fn decode(bytes: &[u8]) -> Result<Self::Record, Malformed>;
    /// Makes the change. `place` is where the record's bytes are.
    fn apply(&mut self, record: Self::Record, place: Place);
    /// Bits of a log position in one region of [`State::usage`].
    const REGION_BITS: u32 = 20;
    /// Adds, for each region of the log, how many bytes in it may still be read. Called under the lock.
    fn usage(&self, out: &mut BTreeMap<u64, u64>);
    /// Goes on looking for what may still be read in the stretches of the search: at `looks` places at most, for
    /// `bytes` at most but one finding in any case. True once nothing else is there. Called under the lock.
    fn survivors(&self, search: &mut Search, looks: usize, bytes: u64, found: &mut Vec<Stowed>) -> bool;
    /// The records that carry these bytes again, for those that are where they were found.
    fn relocate(&self, found: &[(Stowed, Vec<u8>)], now: Now) -> Vec<Self::Record>;
    /// Whether bytes that stood at a place of a [`Stowed`] are those that were written there.
    fn intact(bytes: &[u8]) -> bool {
        tsugite_broker::is_intact(bytes)
    }
    /// What the record does to the size of the store.
    fn growth(record: &Self::Record) -> Growth;
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
