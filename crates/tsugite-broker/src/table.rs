//! The messages of one queue, by sequence number.
//!
//! Sequence numbers rise, so messages lie in chunks of 64 consecutive numbers. The chunks in use are open (64 bytes a
//! message); all others are packed ([`Stored::pack`]): three to six bytes for a message that nobody received yet. The
//! oldest message is found at once, and a backlog of millions costs little more than nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tsugite_base::Sheaf;
use tsugite_base::codec::{Get, Malformed, Put};

use crate::stored::Stored;
use crate::varint::{get_varint, put_varint};

const CHUNK: u64 = 64;
/// Chunks that stay open: those that were touched last. The messages of a FIFO group lie far apart, and what is in
/// flight should find its chunks open when it is deleted.
const OPEN: usize = 64;
const WHAT: &str = "messages of a snapshot";

#[derive(Clone, Debug)]
enum Chunk {
    Open(Open),
    /// A mask of the numbers that are here, then each message relative to the one before.
    Packed(Arc<[u8]>),
}

#[derive(Clone, Debug, Default)]
struct Open {
    /// Bit i: number `chunk * 64 + i` is here; its index is the count of bits below.
    live: u64,
    items: Vec<Stored>,
}

impl Open {
    /// The index of bit `bit`, if it is set.
    const fn index(&self, bit: u32) -> Option<usize> {
        if self.live & (1 << bit) == 0 {
            return None;
        }
        Some((self.live & ((1 << bit) - 1)).count_ones() as usize)
    }

    fn pack(&self) -> Arc<[u8]> {
        let mut out = Vec::with_capacity(16 + self.items.len() * 6);
        put_varint(&mut out, !self.live);
        let mut before = Stored::ORIGIN;
        for item in &self.items {
            item.pack(&before, &mut out);
            before = *item;
        }
        out.into()
    }

    fn unpack(bytes: &[u8]) -> Result<Open, Malformed> {
        let mut walk = Walk::new(bytes)?;
        let live = walk.live;
        let mut items = Vec::with_capacity(live.count_ones() as usize);
        while let Some(item) = walk.next()? {
            items.push(item.1);
        }
        walk.get.end(WHAT)?;
        Ok(Open { live, items })
    }
}

/// Walks over a packed chunk.
struct Walk<'a> {
    get: Get<'a>,
    live: u64,
    before: Stored,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Result<Walk<'a>, Malformed> {
        let mut get = Get::new(bytes);
        let live = !get_varint(&mut get)?;
        Ok(Walk {
            get,
            live,
            before: Stored::ORIGIN,
        })
    }

    /// The next bit and its message.
    fn next(&mut self) -> Result<Option<(u32, Stored)>, Malformed> {
        if self.live == 0 {
            return Ok(None);
        }
        let bit = self.live.trailing_zeros();
        self.live &= self.live - 1;
        self.before = Stored::unpack(&mut self.get, &self.before)?;
        Ok(Some((bit, self.before)))
    }
}

/// What a chunk was packed into is read back by this very program: it cannot be malformed.
fn certain<T>(unpacked: Result<T, Malformed>) -> T {
    unpacked.expect("packed by this table")
}

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    chunks: BTreeMap<u64, Chunk>,
    /// The open chunks, those that were opened last at the end.
    open: VecDeque<u64>,
    len: usize,
}

impl Table {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Adds a message whose number is above all that were ever here.
    pub(crate) fn push(&mut self, seq: u64, stored: Stored) {
        let chunk = self.opened(seq / CHUNK);
        chunk.live |= 1 << (seq % CHUNK);
        chunk.items.push(stored);
        self.len += 1;
    }

    pub(crate) fn get(&self, seq: u64) -> Option<Stored> {
        let bit = (seq % CHUNK) as u32;
        match self.chunks.get(&(seq / CHUNK))? {
            Chunk::Open(open) => open.items.get(open.index(bit)?).copied(),
            Chunk::Packed(bytes) => {
                let mut walk = certain(Walk::new(bytes));
                if walk.live & (1 << bit) == 0 {
                    return None;
                }
                while let Some((at, stored)) = certain(walk.next()) {
                    if at == bit {
                        return Some(stored);
                    }
                }
                None
            }
        }
    }

    /// Changes a message; `None` if it is not here.
    pub(crate) fn update<R>(&mut self, seq: u64, change: impl FnOnce(&mut Stored) -> R) -> Option<R> {
        if !self.chunks.contains_key(&(seq / CHUNK)) {
            return None;
        }
        let chunk = self.opened(seq / CHUNK);
        let index = chunk.index((seq % CHUNK) as u32)?;
        chunk.items.get_mut(index).map(change)
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Stored> {
        let number = seq / CHUNK;
        if !self.chunks.contains_key(&number) {
            return None;
        }
        let chunk = self.opened(number);
        let bit = (seq % CHUNK) as u32;
        let index = chunk.index(bit)?;
        let stored = chunk.items.remove(index);
        chunk.live &= !(1 << bit);
        if chunk.items.is_empty() {
            self.chunks.remove(&number);
            self.open.retain(|open| *open != number);
        }
        self.len -= 1;
        Some(stored)
    }

    /// The message with the lowest number.
    pub(crate) fn first(&self) -> Option<(u64, Stored)> {
        self.from(0).next()
    }

    /// All messages from number `seq` on, by number.
    pub(crate) fn from(&self, seq: u64) -> impl Iterator<Item = (u64, Stored)> {
        let chunks = self.chunks.range(seq / CHUNK..);
        chunks.flat_map(move |(number, chunk)| {
            let base = number * CHUNK;
            let items = Items::after(chunk, seq.saturating_sub(base) as u32);
            items.map(move |(bit, stored)| (base + u64::from(bit), stored))
        })
    }

    /// The messages that share a chunk with number `seq`.
    pub(crate) fn neighbours(&self, seq: u64) -> impl Iterator<Item = Stored> {
        let chunk = self.chunks.get(&(seq / CHUNK));
        chunk
            .into_iter()
            .flat_map(|c| Items::new(c).map(|(_, stored)| stored))
    }

    /// The chunk in which a number lies.
    pub(crate) const fn chunk_of(seq: u64) -> u64 {
        seq / CHUNK
    }

    /// The first number of a chunk.
    pub(crate) const fn first_of(chunk: u64) -> u64 {
        chunk * CHUNK
    }

    /// The chunk, open; made if it is not there. Packs the one that was opened longest ago if there are too many.
    fn opened(&mut self, number: u64) -> &mut Open {
        let chunk = self
            .chunks
            .entry(number)
            .or_insert_with(|| Chunk::Packed(Arc::default()));
        if let Chunk::Packed(bytes) = chunk {
            *chunk = Chunk::Open(if bytes.is_empty() {
                Open::default()
            } else {
                certain(Open::unpack(bytes))
            });
            self.open.push_back(number);
            if self.open.len() > OPEN
                && let Some(oldest) = self.open.pop_front()
                && let Some(chunk) = self.chunks.get_mut(&oldest)
                && let Chunk::Open(open) = chunk
            {
                *chunk = Chunk::Packed(open.pack());
            }
        }
        match self.chunks.get_mut(&number) {
            Some(Chunk::Open(open)) => open,
            _ => unreachable!("the chunk was opened above"),
        }
    }

    /// Appends all messages: the same ones give the same bytes, whichever chunks are open.
    pub(crate) fn encode(&self, out: &mut Sheaf) {
        out.bytes().put_u32(self.chunks.len() as u32);
        for (number, chunk) in &self.chunks {
            let bytes = match chunk {
                Chunk::Open(open) => &open.pack(),
                Chunk::Packed(bytes) => bytes,
            };
            let head = out.bytes();
            head.put_u64(*number);
            head.put_u32(bytes.len() as u32);
            out.share(bytes);
        }
    }

    /// Reads what [`Table::encode`] wrote; `each` is told of every message and its number.
    pub(crate) fn decode(get: &mut Get<'_>, mut each: impl FnMut(u64, &Stored)) -> Result<Table, Malformed> {
        let mut table = Table::default();
        let mut last = None;
        for _ in 0..get.u32(WHAT)? {
            let number = get.u64(WHAT)?;
            if last.is_some_and(|last| number <= last) || number > u64::MAX / CHUNK {
                return Err(Malformed { what: WHAT });
            }
            last = Some(number);
            let bytes = get.bytes(WHAT)?;
            let mut walk = Walk::new(bytes)?;
            if walk.live == 0 {
                return Err(Malformed { what: WHAT });
            }
            while let Some((bit, stored)) = walk.next()? {
                each(number * CHUNK + u64::from(bit), &stored);
                table.len += 1;
            }
            walk.get.end(WHAT)?;
            table.chunks.insert(number, Chunk::Packed(bytes.into()));
        }
        Ok(table)
    }
}

/// The messages of a chunk, with their bits.
enum Items<'a> {
    Open(u64, std::slice::Iter<'a, Stored>),
    Packed(Walk<'a>),
}

impl<'a> Items<'a> {
    fn new(chunk: &'a Chunk) -> Items<'a> {
        match chunk {
            Chunk::Open(open) => Items::Open(open.live, open.items.iter()),
            Chunk::Packed(bytes) => Items::Packed(certain(Walk::new(bytes))),
        }
    }

    /// Those from bit `from` on, which is one of the chunk's.
    fn after(chunk: &'a Chunk, from: u32) -> Items<'a> {
        match Items::new(chunk) {
            Items::Open(live, items) => {
                let before = live & ((1 << from) - 1);
                let items = &items.as_slice()[before.count_ones() as usize..];
                Items::Open(live & !before, items.iter())
            }
            Items::Packed(mut walk) => {
                while walk.live.trailing_zeros() < from && certain(walk.next()).is_some() {}
                Items::Packed(walk)
            }
        }
    }
}

impl Iterator for Items<'_> {
    type Item = (u32, Stored);

    fn next(&mut self) -> Option<(u32, Stored)> {
        match self {
            Items::Open(live, items) => {
                let stored = items.next()?;
                let bit = live.trailing_zeros();
                *live &= *live - 1;
                Some((bit, *stored))
            }
            Items::Packed(walk) => certain(walk.next()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::{FRESH, State};
    use tsugite_base::rng::SplitMix64;
    use tsugite_base::{Place, Timestamp};

    /// A message as random as messages are.
    fn random(rng: &mut SplitMix64) -> Stored {
        let place = Place {
            lsn: rng.below(1 << 40),
            len: 200 + rng.below(3) as u32,
        };
        let mut stored = Stored::new(
            place,
            rng.below(2) as u32 * 30,
            Timestamp(1_000_000 + rng.below(50)),
        );
        if rng.below(3) == 0 {
            stored.receives = 1 + rng.below(3) as u32;
            stored.leased = Timestamp(1_000_500);
            stored.first_received = Timestamp(1_000_400);
        }
        (stored.state, stored.due) = match rng.below(4) {
            0 => (State::Delayed, 1_090_000),
            1 => (State::Leased, 1_030_000),
            2 => (State::Ready, 7),
            _ => (State::Ready, FRESH),
        };
        stored.group = rng.below(3) as u32;
        stored.source = rng.below(2) as u16;
        stored
    }

    fn encoded(table: &Table) -> Vec<u8> {
        let mut out = Sheaf::default();
        table.encode(&mut out);
        out.to_vec()
    }

    #[test]
    fn agrees_with_a_plain_map_under_random_use() {
        let mut rng = SplitMix64::new(1);
        let (mut table, mut model) = (Table::default(), BTreeMap::new());
        let mut next = 0;
        for step in 0..60_000 {
            match rng.below(100) {
                0..=51 => {
                    next += 1 + rng.below(40) * u64::from(rng.below(50) == 0);
                    let stored = random(&mut rng);
                    table.push(next, stored);
                    model.insert(next, stored);
                }
                52..=90 => {
                    let seq = rng.below(next + 2);
                    assert_eq!(table.remove(seq), model.remove(&seq));
                }
                _ => {
                    let seq = rng.below(next + 2);
                    let stored = random(&mut rng);
                    let there = table.update(seq, |s| *s = stored).is_some();
                    assert_eq!(there, model.get_mut(&seq).map(|s| *s = stored).is_some());
                }
            }
            let seq = rng.below(next + 2);
            assert_eq!(table.get(seq), model.get(&seq).copied());
            assert_eq!(table.len(), model.len());
            assert_eq!(table.first(), model.first_key_value().map(|(k, v)| (*k, *v)));
            if step % 5_000 == 0 {
                let bytes = encoded(&table);
                let mut told = Vec::new();
                let read = Table::decode(&mut Get::new(&bytes), |seq, s| told.push((seq, *s))).unwrap();
                let all: Vec<_> = model.iter().map(|(k, v)| (*k, *v)).collect();
                assert_eq!(told, all);
                assert_eq!(table.from(0).collect::<Vec<_>>(), all);
                let later: Vec<_> = all.iter().copied().filter(|(k, _)| *k >= seq).collect();
                assert_eq!(read.from(seq).collect::<Vec<_>>(), later);
                assert_eq!(table.from(seq).collect::<Vec<_>>(), later);
                assert_eq!(encoded(&read), bytes);
            }
        }
    }

    #[test]
    fn a_waiting_message_costs_a_few_bytes() {
        let mut table = Table::default();
        for seq in 0..100_000_u64 {
            // Two hundred bytes each, one record in a frame of its own.
            let place = Place {
                lsn: seq * 512 + 96,
                len: 273,
            };
            table.push(seq, Stored::new(place, 0, Timestamp(1_700_000_000_000 + seq / 3)));
        }
        let bytes = encoded(&table);
        assert!(bytes.len() < 450_000, "{}", bytes.len());
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let mut rng = SplitMix64::new(2);
        let mut table = Table::default();
        (0..70).for_each(|seq| table.push(seq, random(&mut rng)));
        let bytes = encoded(&table);
        let decode = |bytes: &[u8]| Table::decode(&mut Get::new(bytes), |_, _| {});
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << rng.below(8);
            // Any outcome but a panic: the snapshot's checksum is what finds a flipped bit.
            let _ = decode(&bad).map(|table| table.from(0).count());
        }
    }
}
