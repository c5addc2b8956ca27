//! What a FIFO queue remembers for five minutes: what it accepted, and what receive attempts got.

use tsugite_base::codec::{Get, Malformed};
use tsugite_base::{Sheaf, Timestamp};

use crate::attempts::Attempts;
use crate::dedup::Deduplication;

/// Empty on standard queues.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) accepted: Deduplication,
    pub(crate) attempts: Attempts,
}

impl Memory {
    pub(crate) fn new(seed: u64) -> Memory {
        Memory {
            accepted: Deduplication::new(seed),
            ..Memory::default()
        }
    }

    /// Frees the space of acceptances once all of them are over.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        if self.forgotten_at() <= now {
            self.accepted.clear();
        }
    }

    /// When the last acceptance is over.
    pub(crate) fn forgotten_at(&self) -> Timestamp {
        self.accepted.over_at().unwrap_or(Timestamp::NEVER)
    }

    pub(crate) fn encode(&self, out: &mut Sheaf, now: Timestamp) {
        self.accepted.encode(out, now);
        self.attempts.encode(out.bytes(), now);
    }

    pub(crate) fn decode(get: &mut Get<'_>, seed: u64) -> Result<Memory, Malformed> {
        Ok(Memory {
            accepted: Deduplication::decode(get, seed)?,
            attempts: Attempts::decode(get)?,
        })
    }
}
