//! Moving stored messages to the head of the log, so that the segments in which they lie can be given back.
//!
//! [`Broker::survivors`] finds the messages that lie in such segments, [`Broker::relocate`] decides the record that
//! carries their bytes again, and applying it sets each message's place to its copy. Nothing else about a message
//! changes: who holds it, whose turn it is, what its handles are.

use std::collections::BTreeMap;
use std::ops::Range;

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Now, Place};

use crate::broker::Broker;
use crate::handle::Handle;
use crate::keys::{QueueId, QueueKey};
use crate::payload::{self, Delivery};
use crate::queue::Queue;
use crate::record::{Change, Record};

const WHAT: &str = "relocation of messages";

/// A stored message and the places of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stowed {
    /// Its queue.
    pub queue: QueueId,
    /// Its number there.
    pub seq: u64,
    /// Where its payload lies.
    pub payload: Place,
    /// Where the delivery lies that belongs to it, if it was published.
    pub delivery: Option<Place>,
}

impl Stowed {
    /// Its places, in the order in which a relocation carries their bytes.
    pub fn places(&self) -> Vec<Place> {
        self.delivery.into_iter().chain([self.payload]).collect()
    }

    /// Bytes that it needs: what a copy of it takes.
    pub fn bytes(&self) -> u64 {
        self.places().iter().map(|place| u64::from(place.len)).sum()
    }
}

/// A search through all queues, a piece at a time, for messages that lie in certain stretches of the log.
///
/// Messages come into a queue only at its end, so that what was passed need not be looked at again: once every
/// queue was passed to its end in one look, nothing lies in the stretches any more but what was found.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The stretches, ascending and apart.
    pub stretches: Vec<Range<u64>>,
    /// How far each queue was searched: the number from which to go on.
    passed: BTreeMap<QueueId, u64>,
}

impl Search {
    /// A search that is at its beginning.
    pub fn new(stretches: Vec<Range<u64>>) -> Search {
        let passed = BTreeMap::new();
        Search { stretches, passed }
    }

    /// The number from which a queue is still to be searched.
    pub fn next(&self, queue: QueueId) -> u64 {
        self.passed.get(&queue).copied().unwrap_or(0)
    }

    /// Notes that a queue was searched up to, but not including, `seq`.
    pub fn pass(&mut self, queue: QueueId, seq: u64) {
        self.passed.insert(queue, seq);
    }

    /// Whether a position lies in one of the stretches.
    pub fn covers(&self, lsn: u64) -> bool {
        let after = self.stretches.partition_point(|stretch| stretch.start <= lsn);
        after > 0 && lsn < self.stretches[after - 1].end
    }
}

/// One message of a relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The message's number.
    pub seq: u64,
    /// Where its payload lay; if it lies elsewhere by now, the copy is not used.
    pub from: u64,
    /// How far before the payload its delivery lies in the copy; zero if it has none.
    pub delivery: u32,
    /// Bytes of the payload.
    pub len: u32,
}

impl Broker {
    /// Every stored message.
    pub fn stored(&self) -> impl Iterator<Item = Stowed> {
        let queues = self.queues.iter();
        queues.flat_map(|(id, queue)| {
            queue.table.from(0).map(|(seq, stored)| Stowed {
                queue: *id,
                seq,
                payload: stored.payload(),
                delivery: stored.delivery(),
            })
        })
    }

    /// Goes on with a search: looks at `looks` messages at most and adds what it finds, `bytes` at most (but one
    /// message in any case). True once every queue was passed to its end within this very call.
    pub fn survivors(&self, search: &mut Search, looks: usize, bytes: u64, found: &mut Vec<Stowed>) -> bool {
        let (mut looks, mut room) = (looks, bytes);
        for (&id, queue) in &self.queues {
            let from = search.next(id);
            if from == queue.next_seq {
                continue;
            }
            for (seq, stored) in queue.table.from(from) {
                search.pass(id, seq);
                if looks == 0 {
                    return false;
                }
                looks -= 1;
                if search.covers(stored.lsn) {
                    let (payload, delivery) = (stored.payload(), stored.delivery());
                    let stowed = Stowed {
                        queue: id,
                        seq,
                        payload,
                        delivery,
                    };
                    if stowed.bytes() > room && !found.is_empty() {
                        return false;
                    }
                    room = room.saturating_sub(stowed.bytes());
                    found.push(stowed);
                }
            }
            search.pass(id, queue.next_seq);
        }
        true
    }

    /// Decides the records that carry the bytes of these messages again, for those that still lie where they lay.
    /// The bytes of each stand at its [`Stowed::places`], in that order.
    pub fn relocate(&self, messages: &[(Stowed, Vec<u8>)], now: Now) -> Vec<Record> {
        let at = self.time(now);
        let mut records: Vec<Record> = Vec::new();
        for (stowed, copied) in messages {
            let stored = self
                .queues
                .get(&stowed.queue)
                .and_then(|queue| queue.table.get(stowed.seq));
            if stored.is_none_or(|stored| stored.lsn != stowed.payload.lsn) {
                continue;
            }
            let delivery = stowed.delivery.map_or(0, |_| Delivery::LEN as u32);
            let entry = Moved {
                seq: stowed.seq,
                from: stowed.payload.lsn,
                delivery,
                len: stowed.payload.len,
            };
            match records.last_mut().map(|record| &mut record.change) {
                Some(Change::Relocate { queue, moved, bytes }) if *queue == stowed.queue => {
                    moved.push(entry);
                    bytes.extend_from_slice(copied);
                }
                _ => records.push(Record {
                    at,
                    change: Change::Relocate {
                        queue: stowed.queue,
                        moved: vec![entry],
                        bytes: copied.clone(),
                    },
                }),
            }
        }
        records
    }

    /// The name of a queue.
    pub fn queue_key(&self, queue: QueueId) -> Option<&QueueKey> {
        self.queues.get(&queue).map(|queue| &queue.key)
    }

    /// Where the message of a receipt handle lies now, if it is still there: its payload, and its delivery.
    pub fn whereabouts(&self, handle: &str) -> Option<(Place, Option<Place>)> {
        let handle = Handle::read(handle)?;
        let stored = self.queues.get(&handle.queue)?.table.get(handle.seq)?;
        Some((stored.payload(), stored.delivery()))
    }

    /// Sets the places of messages that still lie where they lay to their copies, which end at `end`.
    pub(crate) fn apply_relocation(&mut self, id: QueueId, moved: &[Moved], bytes: &[u8], end: u64) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let mut at = end - bytes.len() as u64;
        for entry in moved {
            let lsn = at + u64::from(entry.delivery);
            queue.relocate(entry, lsn);
            at = lsn + u64::from(entry.len);
        }
    }
}

impl Queue {
    /// Says that a message's payload is at `lsn` from now on, if it still was where it is said to have been.
    fn relocate(&mut self, moved: &Moved, lsn: u64) {
        let usage = &mut self.usage;
        self.table.update(moved.seq, |stored| {
            if stored.lsn == moved.from {
                usage.sub(stored);
                stored.lsn = lsn;
                stored.len = moved.len;
                stored.delivery = moved.delivery;
                usage.add(stored);
            }
        });
    }
}

/// Whether bytes that stand at one of a message's places are those that were written there.
pub fn is_intact(bytes: &[u8]) -> bool {
    payload::verified(bytes, WHAT).is_ok()
}

pub(crate) fn encode(out: &mut Vec<u8>, queue: QueueId, moved: &[Moved], bytes: &[u8]) {
    out.put_u32(queue.0);
    out.put_u32(moved.len() as u32);
    for entry in moved {
        out.put_u64(entry.seq);
        out.put_u64(entry.from);
        out.put_u32(entry.delivery);
        out.put_u32(entry.len);
    }
    out.extend_from_slice(bytes);
}

pub(crate) fn decode(get: &mut Get<'_>) -> Result<Change, Malformed> {
    let queue = QueueId(get.u32(WHAT)?);
    let (mut moved, mut total) = (Vec::new(), 0);
    for _ in 0..get.u32(WHAT)? {
        let entry = Moved {
            seq: get.u64(WHAT)?,
            from: get.u64(WHAT)?,
            delivery: get.u32(WHAT)?,
            len: get.u32(WHAT)?,
        };
        total += u64::from(entry.delivery) + u64::from(entry.len);
        moved.push(entry);
    }
    let bytes = get.take(get.remaining(), WHAT)?.to_vec();
    if total != bytes.len() as u64 {
        return Err(Malformed { what: WHAT });
    }
    Ok(Change::Relocate { queue, moved, bytes })
}
