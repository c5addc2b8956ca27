//! The messages of one queue, by sequence number.
//!
//! Sequence numbers rise, so messages lie in chunks of 32 consecutive numbers, each chunk packed: a message
//! costs its 56 bytes and a few more, whichever of its neighbours are gone, and the oldest is found at once.

use std::collections::BTreeMap;

use tsugite_base::{Place, Timestamp};

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Can be received; `due` is its turn in the ready line.
    Ready,
    /// Not available yet for the first time; `due` is when.
    Delayed,
    /// In flight; `due` is the end of the lease.
    Leased,
}

/// What is kept of a message. Times are the machine's unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Log position of the payload.
    pub(crate) lsn: u64,
    /// When it was sent; retention counts from here.
    pub(crate) sent: Timestamp,
    /// A turn or a deadline, as `state` says.
    pub(crate) due: u64,
    /// When the last lease began.
    pub(crate) leased: Timestamp,
    /// Wall clock of the first receive; zero before it.
    pub(crate) first_received: Timestamp,
    /// Length of the payload.
    pub(crate) len: u32,
    /// How far before the payload its delivery lies; zero if it was sent to the queue itself.
    pub(crate) delivery: u32,
    /// Receives so far.
    pub(crate) receives: u32,
    /// Index + 1 among the queue's dead-letter sources; zero if it is no dead letter.
    pub(crate) source: u16,
    /// Where it stands.
    pub(crate) state: State,
}

const _: () = assert!(size_of::<Stored>() <= 56);

impl Stored {
    pub(crate) const fn payload(&self) -> Place {
        Place {
            lsn: self.lsn,
            len: self.len,
        }
    }

    pub(crate) fn delivery(&self) -> Option<Place> {
        (self.delivery != 0).then(|| Place {
            lsn: self.first_byte(),
            len: crate::payload::Delivery::LEN as u32,
        })
    }

    /// The lowest log position that reading the message touches.
    pub(crate) const fn first_byte(&self) -> u64 {
        self.lsn.saturating_sub(self.delivery as u64)
    }
}

const CHUNK: u64 = 32;

#[derive(Clone, Debug, Default)]
struct Chunk {
    /// Bit i: number `chunk * 32 + i` is here; its index is the count of bits below.
    live: u32,
    items: Vec<Stored>,
}

impl Chunk {
    /// The index of bit `bit`, if it is set.
    const fn index(&self, bit: u32) -> Option<usize> {
        if self.live & (1 << bit) == 0 {
            return None;
        }
        Some((self.live & ((1 << bit) - 1)).count_ones() as usize)
    }
}

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    chunks: BTreeMap<u64, Chunk>,
    len: usize,
}

impl Table {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Adds a message whose number is above all that were ever here; any other is refused with `false`.
    pub(crate) fn push(&mut self, seq: u64, stored: Stored) -> bool {
        let chunk = self.chunks.entry(seq / CHUNK).or_default();
        let bit = (seq % CHUNK) as u32;
        if chunk.live >> bit != 0 {
            return false;
        }
        chunk.live |= 1 << bit;
        chunk.items.push(stored);
        self.len += 1;
        true
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Stored> {
        let chunk = self.chunks.get(&(seq / CHUNK))?;
        chunk.items.get(chunk.index((seq % CHUNK) as u32)?)
    }

    pub(crate) fn get_mut(&mut self, seq: u64) -> Option<&mut Stored> {
        let chunk = self.chunks.get_mut(&(seq / CHUNK))?;
        let index = chunk.index((seq % CHUNK) as u32)?;
        chunk.items.get_mut(index)
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Stored> {
        let chunk = self.chunks.get_mut(&(seq / CHUNK))?;
        let bit = (seq % CHUNK) as u32;
        let index = chunk.index(bit)?;
        let stored = chunk.items.remove(index);
        chunk.live &= !(1 << bit);
        if chunk.items.is_empty() {
            self.chunks.remove(&(seq / CHUNK));
        } else if chunk.items.len() * 2 < chunk.items.capacity() {
            // A chunk may stay for days for the sake of one message.
            chunk.items.shrink_to_fit();
        }
        self.len -= 1;
        Some(stored)
    }

    /// The message with the lowest number.
    pub(crate) fn first(&self) -> Option<(u64, &Stored)> {
        let (number, chunk) = self.chunks.first_key_value()?;
        let seq = number * CHUNK + u64::from(chunk.live.trailing_zeros());
        Some((seq, chunk.items.first()?))
    }

    /// All messages, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Stored)> {
        self.chunks.iter().flat_map(|(number, chunk)| {
            let set = (0..CHUNK as u32).filter(|bit| chunk.live & (1 << bit) != 0);
            set.map(move |bit| number * CHUNK + u64::from(bit))
                .zip(&chunk.items)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsugite_base::rng::SplitMix64;

    fn stored(lsn: u64) -> Stored {
        Stored {
            lsn,
            sent: Timestamp(0),
            due: 0,
            leased: Timestamp(0),
            first_received: Timestamp(0),
            len: 0,
            delivery: 0,
            receives: 0,
            source: 0,
            state: State::Ready,
        }
    }

    #[test]
    fn agrees_with_a_plain_map_under_random_use() {
        let mut rng = SplitMix64::new(1);
        let (mut table, mut model) = (Table::default(), BTreeMap::new());
        let mut next = 0;
        for _ in 0..20_000 {
            if rng.below(100) < 52 {
                next += 1 + rng.below(40) * u64::from(rng.below(50) == 0);
                assert!(table.push(next, stored(next * 7)));
                model.insert(next, next * 7);
            } else {
                let seq = rng.below(next + 2);
                assert_eq!(table.remove(seq).map(|s| s.lsn), model.remove(&seq));
            }
            assert_eq!(table.len(), model.len());
            assert_eq!(
                table.first().map(|(seq, s)| (seq, s.lsn)),
                model.first_key_value().map(|(k, v)| (*k, *v))
            );
        }
        let all: Vec<_> = table.iter().map(|(seq, s)| (seq, s.lsn)).collect();
        assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        assert!(all.iter().all(|(seq, lsn)| table.get(*seq).unwrap().lsn == *lsn));
        assert!(!table.push(next, stored(0)), "a number is used once");
    }
}
