//! Messages that are older than their number: dead letters keep the time when they were sent first. For each chunk of
//! numbers that holds some, the oldest of those times.

use std::collections::{BTreeMap, BTreeSet};

use tsugite_base::Timestamp;

use crate::table::Table;

/// The oldest send time of moved messages, by chunk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elders {
    by_chunk: BTreeMap<u64, Timestamp>,
    by_age: BTreeSet<(Timestamp, u64)>,
}

impl Elders {
    /// A moved message came.
    pub(crate) fn add(&mut self, seq: u64, sent: Timestamp) {
        let chunk = Table::chunk_of(seq);
        match self.by_chunk.get(&chunk) {
            Some(oldest) if *oldest <= sent => {}
            _ => self.set(chunk, Some(sent)),
        }
    }

    /// A moved message went; `table` no longer has it.
    pub(crate) fn remove(&mut self, seq: u64, sent: Timestamp, table: &Table) {
        let chunk = Table::chunk_of(seq);
        if self.by_chunk.get(&chunk) == Some(&sent) {
            let moved = table.neighbours(seq).filter(|stored| stored.source != 0);
            self.set(chunk, moved.map(|stored| stored.sent).min());
        }
    }

    fn set(&mut self, chunk: u64, oldest: Option<Timestamp>) {
        let before = match oldest {
            Some(sent) => self.by_chunk.insert(chunk, sent),
            None => self.by_chunk.remove(&chunk),
        };
        if let Some(before) = before {
            self.by_age.remove(&(before, chunk));
        }
        if let Some(sent) = oldest {
            self.by_age.insert((sent, chunk));
        }
    }

    /// The time of the oldest, and the first number of its chunk.
    pub(crate) fn oldest(&self) -> Option<(Timestamp, u64)> {
        let (sent, chunk) = self.by_age.first()?;
        Some((*sent, Table::first_of(*chunk)))
    }
}
