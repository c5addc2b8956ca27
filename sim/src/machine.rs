//! The product's machines with a journal: what was applied, and where it lies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tsugite_base::codec::Malformed;
use tsugite_base::{Now, Place, Sheaf};
use tsugite_log::{Domains, Growth, Record, Search, Settings, State, Stowed};

/// Records in the order in which they were applied. It stands outside the store and survives its crashes.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<(Record, Place)>>>);

impl Journal {
    fn with<R>(&self, f: impl FnOnce(&mut Vec<(Record, Place)>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn len(&self) -> usize {
        self.with(|entries| entries.len())
    }

    /// From where to where the records from number `first` on lie.
    pub(crate) fn span(&self, first: usize) -> Option<(u64, u64)> {
        self.with(|entries| Some((entries.get(first)?.1.lsn, entries.last()?.1.end())))
    }

    /// Forgets what lies at or above `end`: it never happened.
    pub(crate) fn cut(&self, end: u64) {
        self.with(|entries| entries.retain(|(_, place)| place.lsn < end));
    }

    /// A journal of its own of what lies below `end`.
    pub(crate) fn until(&self, end: u64) -> Journal {
        let mut entries = self.with(|entries| entries.clone());
        entries.retain(|(_, place)| place.lsn < end);
        Journal(Arc::new(Mutex::new(entries)))
    }

    /// The snapshot of machines that saw exactly these records, and then a start at `now`.
    pub(crate) fn replayed(&self, now: Now) -> Result<Vec<u8>, Malformed> {
        let mut domains = Domains::restore(&Settings::default(), None, now)?;
        self.with(|entries| {
            for (record, place) in entries {
                domains.apply(record.clone(), *place);
            }
        });
        domains.recovered(now);
        let mut out = Sheaf::default();
        domains.snapshot(&mut out);
        Ok(out.to_vec())
    }
}

/// The machines as the log drives them.
pub(crate) struct Machine {
    pub(crate) domains: Domains,
    journal: Journal,
    /// Not while the log replays.
    writing: bool,
}

impl State for Machine {
    type Settings = Journal;
    type Record = Record;

    fn restore(journal: &Journal, snapshot: Option<&[u8]>, now: Now) -> Result<Machine, Malformed> {
        Ok(Machine {
            domains: Domains::restore(&Settings::default(), snapshot, now)?,
            journal: journal.clone(),
            writing: false,
        })
    }

    fn snapshot(&self, out: &mut Sheaf) {
        self.domains.snapshot(out);
    }

    fn encode(record: &Record, out: &mut Vec<u8>) {
        Domains::encode(record, out);
    }

    fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        Domains::decode(bytes)
    }

    fn apply(&mut self, record: Record, place: Place) {
        if self.writing {
            self.journal.with(|entries| entries.push((record.clone(), place)));
        }
        self.domains.apply(record, place);
    }

    /// Small, as the segments are.
    const REGION_BITS: u32 = 8;

    fn usage(&self, out: &mut BTreeMap<u64, u64>) {
        for stowed in self.domains.broker.stored() {
            for place in stowed.places() {
                for at in place.lsn..place.end() {
                    *out.entry(at >> Self::REGION_BITS).or_default() += 1;
                }
            }
        }
    }

    fn survivors(&self, search: &mut Search, looks: usize, bytes: u64, found: &mut Vec<Stowed>) -> bool {
        // Few at a time, so that much happens between two of them.
        self.domains.survivors(search, looks.min(3), bytes, found)
    }

    fn relocate(&self, found: &[(Stowed, Vec<u8>)], now: Now) -> Vec<Record> {
        self.domains.relocate(found, now)
    }

    fn growth(record: &Record) -> Growth {
        Domains::growth(record)
    }

    fn recovered(&mut self, now: Now) {
        self.domains.recovered(now);
        self.writing = true;
    }

    fn advance(&mut self, now: Now) {
        self.domains.advance(now);
    }

    fn settle(&mut self) {
        self.domains.broker.take_news();
    }
}
