//! An open table of positions by hash: five to seven bytes an entry.
//!
//! Who uses it keeps the entries, each at a position below 2^28, and tells their hashes. A slot holds a position and four
//! bits of the hash, so that of the slots that a search passes few are looked up. Large tables are made of shards that
//! grow one by one, by a third at a time: none is ever moved for longer than a fraction of a millisecond, and an entry
//! three times in all.

/// Bits of a slot that are a position.
const POSITION_BITS: u32 = 28;
/// All positions are below this.
pub(crate) const POSITIONS: u32 = 1 << POSITION_BITS;
const EMPTY: u32 = 0;

/// Shards of a table that has outgrown a single one.
const SHARDS: usize = 256;
/// Entries of a single shard.
const SINGLE: usize = 8 * 1024;
/// Entries that are distributed at a time.
const BATCH: usize = 1 << 20;
/// Slots of a table that has any.
const LEAST: usize = 8;

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index(Vec<Shard>);

#[derive(Clone, Debug, Default)]
struct Shard {
    /// [`EMPTY`], or four bits that are not zero and a position, at the entry's home or after it.
    slots: Vec<u32>,
    /// Slots that are not empty.
    used: usize,
}

/// Where an entry stands, until the next change of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    shard: usize,
    slot: usize,
}

/// Spreads a number's bits over all of it; `seed` keeps it unknown to clients which numbers meet.
pub(crate) const fn mixed(n: u64, seed: u64) -> u64 {
    let mut n = n ^ seed;
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

const fn tag(hash: u64) -> u32 {
    (hash % 15 + 1) as u32
}

const fn position(slot: u32) -> u32 {
    slot & (POSITIONS - 1)
}

impl Index {
    /// A table with room for so many entries.
    pub(crate) fn with_room(entries: usize) -> Index {
        if entries == 0 {
            return Index::default();
        }
        let shards = if entries < SINGLE { 1 } else { SHARDS };
        let each = entries / shards;
        // A few more than the mean: hashes do not spread evenly.
        let slots = Shard::slots_for(each + each / 32);
        let shard = || Shard {
            slots: vec![EMPTY; slots],
            used: 0,
        };
        Index(std::iter::repeat_with(shard).take(shards).collect())
    }

    /// Entries in the table.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.used).sum()
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let slots: usize = self.0.iter().map(|shard| shard.slots.capacity() * 4).sum();
        slots + self.0.capacity() * size_of::<Shard>()
    }

    /// The entry with this hash of which `is_it` says so.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<Spot> {
        let number = self.shard_of(hash);
        let shard = self.0.get(number)?;
        let mut slot = shard.home(hash)?;
        loop {
            let found = shard.slots[slot];
            if found == EMPTY {
                return None;
            }
            if found >> POSITION_BITS == tag(hash) && is_it(position(found)) {
                return Some(Spot { shard: number, slot });
            }
            slot = shard.after(slot);
        }
    }

    /// The position that stands there.
    pub(crate) fn get(&self, spot: Spot) -> u32 {
        position(self.0[spot.shard].slots[spot.slot])
    }

    /// Lets the entry, whose hash is the same, be at another position.
    pub(crate) fn set(&mut self, spot: Spot, position: u32) {
        let slot = &mut self.0[spot.shard].slots[spot.slot];
        *slot = *slot & !(POSITIONS - 1) | position;
    }

    /// Adds an entry; `hash_of` tells those of all others.
    pub(crate) fn insert(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        match self.0.len() {
            0 => self.0.push(Shard::default()),
            1 if self.0[0].used >= SINGLE => self.spread(&hash_of),
            _ => {}
        }
        self.put(hash, position, &hash_of);
    }

    fn put(&mut self, hash: u64, position: u32, hash_of: &impl Fn(u32) -> u64) {
        let number = self.shard_of(hash);
        let shard = &mut self.0[number];
        if (shard.used + 1) * 4 > shard.slots.len() * 3 {
            let len = shard.slots.len();
            let more = if len < 64 { len } else { len / 3 };
            shard.resize((len + more).max(LEAST), hash_of);
        }
        shard.put(hash, tag(hash) << POSITION_BITS | position);
    }

    /// Adds many entries, shard by shard within a million of them: so memory is gone through, not jumped about in. Of
    /// entries that are the `same`, the last one stays.
    pub(crate) fn fill(
        &mut self,
        entries: impl Iterator<Item = (u64, u32)>,
        same: impl Fn(u32, u32) -> bool,
        hash_of: impl Fn(u32) -> u64,
    ) {
        let mut entries = entries.peekable();
        let mut shards: Vec<Vec<(u64, u32)>> = vec![Vec::new(); SHARDS];
        while entries.peek().is_some() {
            for entry in entries.by_ref().take(BATCH) {
                shards[(entry.0 >> 56) as usize].push(entry);
            }
            for (hash, position) in shards.iter_mut().flat_map(|shard| shard.drain(..)) {
                match self.find(hash, |at| same(at, position)) {
                    Some(spot) => self.set(spot, position),
                    None => self.insert(hash, position, &hash_of),
                }
            }
        }
    }

    /// Takes an entry out; `hash_of` tells those of all others.
    pub(crate) fn remove(&mut self, spot: Spot, hash_of: impl Fn(u32) -> u64) {
        let shard = &mut self.0[spot.shard];
        shard.free(spot.slot, &hash_of);
        let len = shard.slots.len();
        if len > 64 && shard.used * 4 < len {
            shard.resize(Shard::slots_for(shard.used).max(LEAST), &hash_of);
        }
    }

    fn shard_of(&self, hash: u64) -> usize {
        if self.0.len() == SHARDS {
            (hash >> 56) as usize
        } else {
            0
        }
    }

    /// Distributes the single shard over many.
    fn spread(&mut self, hash_of: &impl Fn(u32) -> u64) {
        let old = std::mem::take(self);
        *self = Index::with_room(2 * SINGLE);
        for slot in old.0.into_iter().flat_map(|shard| shard.slots) {
            if slot != EMPTY {
                self.put(hash_of(position(slot)), position(slot), hash_of);
            }
        }
    }
}

impl Shard {
    /// Slots for so many entries, of which two thirds are used then.
    const fn slots_for(used: usize) -> usize {
        used + used / 2 + LEAST
    }

    fn home(&self, hash: u64) -> Option<usize> {
        let hash = u64::from((hash >> 24) as u32);
        (!self.slots.is_empty()).then_some(((hash * self.slots.len() as u64) >> 32) as usize)
    }

    const fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    /// How far `to` lies behind `from`, going round.
    const fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.slots.len() - from
        }
    }

    fn put(&mut self, hash: u64, value: u32) {
        let mut slot = self.home(hash).unwrap_or_default();
        while self.slots[slot] != EMPTY {
            slot = self.after(slot);
        }
        self.slots[slot] = value;
        self.used += 1;
    }

    /// Empties a slot and moves those behind it up, so that each is still found from its home.
    fn free(&mut self, mut hole: usize, hash_of: &impl Fn(u32) -> u64) {
        let mut next = self.after(hole);
        while self.slots[next] != EMPTY {
            let home = self.home(hash_of(position(self.slots[next]))).unwrap_or_default();
            if self.distance(home, next) >= self.distance(hole, next) {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.slots[hole] = EMPTY;
        self.used -= 1;
    }

    fn resize(&mut self, slots: usize, hash_of: &impl Fn(u32) -> u64) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        self.used = 0;
        for value in old.into_iter().filter(|value| *value != EMPTY) {
            self.put(hash_of(position(value)), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use tsugite_base::rng::SplitMix64;

    /// Every hash of an entry is made of its position, but few bits of it count, so that many meet.
    fn hash(position: u32) -> u64 {
        mixed(u64::from(position) / 3, 5)
    }

    #[test]
    fn agrees_with_a_plain_map_under_random_use() {
        let mut rng = SplitMix64::new(1);
        let (mut index, mut model) = (Index::default(), BTreeMap::new());
        for step in 0..300_000_u64 {
            let growing = (step / 60_000) % 2 == 0;
            let n = rng.below(1 << 15) as u32 * 3 + rng.below(3) as u32;
            let spot = index.find(hash(n), |at| at == n);
            assert_eq!(spot.is_some(), model.contains_key(&n), "{step}");
            match spot {
                Some(spot) if rng.below(10) < if growing { 2 } else { 9 } => {
                    assert_eq!(index.get(spot), n);
                    index.remove(spot, hash);
                    model.remove(&n);
                }
                None if rng.below(10) < if growing { 9 } else { 2 } => {
                    index.insert(hash(n), n, hash);
                    model.insert(n, ());
                }
                _ => {}
            }
            assert_eq!(index.len(), model.len());
        }
        for n in model.keys() {
            assert!(index.find(hash(*n), |at| at == *n).is_some());
        }
    }

    #[test]
    fn an_entry_costs_five_to_seven_bytes() {
        let (mut index, mut least, mut most) = (Index::default(), 100.0_f64, 0.0_f64);
        let hash = |n: u32| mixed(n.into(), 9);
        for n in 0..2_000_000_u32 {
            index.insert(hash(n), n, hash);
            if n > 200_000 && n % 1_000 == 0 {
                let each = index.bytes() as f64 / f64::from(n);
                (least, most) = (least.min(each), most.max(each));
            }
        }
        assert!(least > 5.0 && most < 7.3, "{least} {most}");
        let mut presized = Index::with_room(2_000_000);
        let before = presized.bytes();
        (0..2_000_000).for_each(|n| presized.insert(hash(n), n, hash));
        assert!(presized.bytes() < before + before / 50, "it need not grow");
        for n in 0..2_000_000 {
            let spot = presized.find(hash(n), |at| at == n).unwrap();
            presized.remove(spot, hash);
        }
        assert!(
            presized.bytes() < 100_000 && presized.len() == 0,
            "{}",
            presized.bytes()
        );
    }

    #[test]
    fn filling_is_adding_one_after_the_other() {
        let same = |a: u32, b: u32| a / 3 == b / 3;
        let mut index = Index::with_room(1_000);
        index.fill((0..1_000).map(|n| (hash(n), n)), same, hash);
        assert_eq!(index.len(), 334);
        for n in 0..333 {
            assert!(index.find(hash(n * 3), |at| at == n * 3 + 2).is_some());
        }
    }

    #[test]
    fn an_entry_can_change_its_position() {
        let mut index = Index::default();
        index.insert(hash(4), 4, hash);
        let spot = index.find(hash(4), |_| true).unwrap();
        index.set(spot, POSITIONS - 1);
        assert_eq!(index.get(spot), POSITIONS - 1);
        assert_eq!(index.find(hash(4), |at| at == POSITIONS - 1), Some(spot));
    }
}
