//! The keeper's letter box: how the committer hands it work without waiting for it.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tsugite_base::Sheaf;

/// The state between two batches, on its way to disk.
pub(crate) struct Snapshot {
    pub(crate) lsn: u64,
    /// Live bytes by region of the log.
    pub(crate) usage: BTreeMap<u64, u64>,
    pub(crate) bytes: Sheaf,
}

/// The keeper's letter box.
#[derive(Default)]
pub(crate) struct Inbox {
    slot: Mutex<Letter>,
    bell: Condvar,
}

#[derive(Default)]
struct Letter {
    snapshot: Option<Snapshot>,
    nudged: bool,
}

impl Inbox {
    /// Has the keeper look around, with or without a snapshot to write.
    pub(crate) fn nudge(&self, snapshot: Option<Snapshot>) {
        let mut letter = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        letter.nudged = true;
        if snapshot.is_some() {
            letter.snapshot = snapshot;
        }
        self.bell.notify_one();
    }

    pub(crate) fn take(&self) -> Option<Snapshot> {
        let mut letter = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        letter.nudged = false;
        letter.snapshot.take()
    }

    /// Sleeps until nudged, at most for `longest`.
    pub(crate) fn wait(&self, longest: Duration) {
        let letter = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = self.bell.wait_timeout_while(letter, longest, |l| !l.nudged);
        drop(woken);
    }
}
