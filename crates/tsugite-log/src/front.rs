//! What is behind the lock: the state, the batch being filled, and where both stand.

use tsugite_base::Now;
use tsugite_engine::Unavailable;

use crate::batch::Batch;
use crate::options::Sizes;
use crate::room::Room;
use crate::state::{Growth, State};

/// What is behind the lock.
pub(crate) struct Front<S> {
    pub(crate) state: S,
    pub(crate) batch: Batch,
    pub(crate) room: Room,
    pub(crate) checkpoint: CheckpointState,
    /// No command is taken any more.
    pub(crate) closing: bool,
    /// The threads end once nothing is left to do.
    pub(crate) quit: bool,
    /// A write failed.
    pub(crate) dead: bool,
    /// Records are being applied: if a panic is found here, state and log no longer agree.
    pub(crate) applying: bool,
}

/// Where checkpointing stands.
#[derive(Default)]
pub(crate) struct CheckpointState {
    /// Position of the newest checkpoint on disk.
    pub(crate) lsn: u64,
    /// A snapshot is to be taken between two batches.
    pub(crate) due: bool,
    /// A snapshot was taken and is not written yet.
    pub(crate) busy: bool,
}

impl<S> Front<S> {
    /// Whether the committer has nothing to do.
    pub(crate) const fn is_idle(&self) -> bool {
        self.batch.is_empty() && (!self.checkpoint.due || self.checkpoint.busy)
    }
}

impl<S: State> Front<S> {
    /// Lets time pass in the state.
    pub(crate) fn advance(&mut self, now: Now) {
        self.applying = true;
        self.state.advance(now);
        self.applying = false;
    }

    /// Appends and applies all records, or none. Returns what the reply waits for.
    pub(crate) fn append<Rec: Into<S::Record>>(
        &mut self,
        records: Vec<Rec>,
        sizes: &Sizes,
    ) -> Result<(), Unavailable> {
        if records.is_empty() {
            return Ok(());
        }
        let mark = self.batch.mark();
        let records: Vec<S::Record> = records.into_iter().map(Into::into).collect();
        let growth = records.iter().map(S::growth).max().unwrap_or(Growth::Frees);
        for record in &records {
            self.batch.push(|out| S::encode(record, out));
        }
        let fits = self
            .room
            .fits(self.batch.start(), self.batch.frame_len(), growth, sizes);
        if let Err(why) = fits {
            self.batch.cut(mark);
            return Err(Unavailable::Full(why));
        }
        self.applying = true;
        for (record, place) in records.into_iter().zip(self.batch.places_after(mark)) {
            self.state.apply(record, place);
        }
        self.applying = false;
        Ok(())
    }
}
