//! The groups of a queue's messages, and the ring in which they are served.
//!
//! On a FIFO queue a group's line holds every stored message of it, and the group stands in the ring while the first
//! of them can be received. On a standard queue the line holds those that can be received, and the group, a tenant,
//! stands in the ring while there are any. Whoever was served goes to the back: so nobody waits longer than for one
//! turn of each other group.

use tsugite_base::Sheaf;
use tsugite_base::codec::{Get, Malformed, Put};

use crate::index::{Index, POSITIONS, mixed};
use crate::lane::Lane;

const WHAT: &str = "message groups";
/// Slots of one page. Pages never move: growing costs the same however many groups there are.
const PAGE: usize = 256;
/// In a link: outside of the ring, ...
const OUTSIDE: u32 = u32::MAX;
/// ... or at an end of it.
const END: u32 = u32::MAX - 1;

/// A group that has stored messages.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// `MessageGroupId`.
    pub(crate) name: Box<str>,
    pub(crate) lane: Lane,
    /// Stored messages.
    pub(crate) count: u32,
    /// Those in flight.
    pub(crate) leased: u32,
    /// Those that were never available yet.
    pub(crate) delayed: u32,
    /// Its neighbours in the ring: before it, and behind it.
    links: (u32, u32),
}

const _: () = assert!(size_of::<Option<Group>>() <= 96);

impl Group {
    fn new(name: &str, lane: Lane) -> Group {
        Group {
            name: name.into(),
            lane,
            count: 0,
            leased: 0,
            delayed: 0,
            links: (OUTSIDE, OUTSIDE),
        }
    }

    /// Messages that can be received, or could be but for those before them.
    pub(crate) const fn ready(&self) -> u32 {
        self.count - self.leased - self.delayed
    }
}

/// All groups of a queue.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    pages: Vec<Vec<Option<Group>>>,
    /// Empty slots; the last one is used first.
    free: Vec<u32>,
    /// Slots by name.
    names: Index,
    /// The ends of the ring, of those that can be served: the next one, and the last one.
    ring: (u32, u32),
    /// Whether their lines have turns: those of a standard queue.
    with_turns: bool,
    /// Keeps clients from choosing names that meet in the index. Not part of the state.
    seed: u64,
}

impl Groups {
    /// Those of a FIFO queue, or those of a standard queue, whose lines have turns.
    pub(crate) fn new(with_turns: bool, seed: u64) -> Groups {
        Groups {
            pages: Vec::new(),
            free: Vec::new(),
            names: Index::default(),
            ring: (END, END),
            with_turns,
            seed,
        }
    }

    pub(crate) fn get(&self, slot: usize) -> Option<&Group> {
        self.pages.get(slot / PAGE)?.get(slot % PAGE)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Group> {
        self.pages.get_mut(slot / PAGE)?.get_mut(slot % PAGE)?.as_mut()
    }

    /// Slots, used or not.
    pub(crate) fn slots(&self) -> usize {
        let whole = self.pages.len().saturating_sub(1) * PAGE;
        whole + self.pages.last().map_or(0, Vec::len)
    }

    /// Counts one more message of a group, and returns its slot.
    pub(crate) fn enter(&mut self, name: &str) -> usize {
        let hash = self.hash(name);
        let is_it = |slot: u32| self.get(slot as usize).is_some_and(|group| &*group.name == name);
        if let Some(spot) = self.names.find(hash, is_it) {
            let slot = self.names.get(spot) as usize;
            if let Some(group) = self.get_mut(slot) {
                group.count += 1;
            }
            return slot;
        }
        let lane = if self.with_turns {
            Lane::with_turns()
        } else {
            Lane::default()
        };
        let mut group = Group::new(name, lane);
        group.count = 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.pages[slot as usize / PAGE][slot as usize % PAGE] = Some(group);
                slot as usize
            }
            None => self.add_slot(Some(group)),
        };
        self.enter_name(hash, slot);
        slot
    }

    /// Adds a slot.
    fn add_slot(&mut self, group: Option<Group>) -> usize {
        let slot = self.slots();
        assert!(slot < POSITIONS as usize, "fewer groups than there are positions");
        if slot.is_multiple_of(PAGE) {
            let room = if slot == 0 { 0 } else { PAGE };
            self.pages.push(Vec::with_capacity(room));
        }
        self.pages[slot / PAGE].push(group);
        slot
    }

    /// Lets the group of this slot be found by its name, of which this is the hash.
    fn enter_name(&mut self, hash: u64, slot: usize) {
        let mut names = std::mem::take(&mut self.names);
        names.insert(hash, slot as u32, |slot| self.hash_at(slot));
        self.names = names;
    }

    /// Eight bytes of the name at a time, each mixed with the secret seed: cheap, for a name is looked for with every
    /// message, and those of its neighbours whenever a group goes.
    fn hash(&self, name: &str) -> u64 {
        let words = name.as_bytes().chunks(8).map(|bytes| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(word)
        });
        words.fold(mixed(name.len() as u64, self.seed), |hash, word| {
            mixed(hash ^ word, self.seed)
        })
    }

    fn hash_at(&self, slot: u32) -> u64 {
        let group = self.get(slot as usize);
        group.map_or(0, |group| self.hash(&group.name))
    }

    /// Counts one message less; the group goes with its last one.
    pub(crate) fn leave(&mut self, slot: usize) {
        let Some(group) = self.get_mut(slot) else {
            return;
        };
        group.count -= 1;
        if group.count > 0 {
            return;
        }
        self.withdraw(slot);
        let mut names = std::mem::take(&mut self.names);
        if let Some(spot) = names.find(self.hash_at(slot as u32), |at| at == slot as u32) {
            names.remove(spot, |slot| self.hash_at(slot));
        }
        self.names = names;
        self.pages[slot / PAGE][slot % PAGE] = None;
        self.free.push(slot as u32);
        if self.free.len() == self.slots() {
            *self = Groups::new(self.with_turns, self.seed);
        }
    }

    /// Puts a group at the back of the ring, wherever it stood; `mark` is the number of the queue's next message.
    pub(crate) fn queue_up(&mut self, slot: usize, mark: u64) {
        self.withdraw(slot);
        // Numbers may go back after a record was lost; marks do not.
        let mark = self.last_mark().map_or(mark, |last| last.max(mark));
        let last = self.ring.1;
        let Some(group) = self.get_mut(slot) else {
            return;
        };
        group.lane.set_since(mark);
        group.links = (last, END);
        match self.get_mut(last as usize) {
            Some(group) => group.links.1 = slot as u32,
            None => self.ring.0 = slot as u32,
        }
        self.ring.1 = slot as u32;
    }

    /// Takes a group out of the ring.
    pub(crate) fn withdraw(&mut self, slot: usize) {
        let Some(group) = self.get_mut(slot).filter(|group| group.links.0 != OUTSIDE) else {
            return;
        };
        let (before, behind) = std::mem::replace(&mut group.links, (OUTSIDE, OUTSIDE));
        match self.get_mut(before as usize) {
            Some(group) => group.links.1 = behind,
            None => self.ring.0 = behind,
        }
        match self.get_mut(behind as usize) {
            Some(group) => group.links.0 = before,
            None => self.ring.1 = before,
        }
    }

    pub(crate) fn stands_in_ring(&self, slot: usize) -> bool {
        self.get(slot).is_some_and(|group| group.links.0 != OUTSIDE)
    }

    /// The marks and groups of the ring, the next one first.
    pub(crate) fn ring(&self) -> impl Iterator<Item = (u64, &Group)> {
        self.ring_slots()
            .filter_map(|slot| self.get(slot as usize))
            .map(|group| (group.lane.since(), group))
    }

    fn ring_slots(&self) -> impl Iterator<Item = u32> {
        let mut next = self.ring.0;
        std::iter::from_fn(move || {
            let group = self.get(next as usize)?;
            Some(std::mem::replace(&mut next, group.links.1))
        })
    }

    /// The mark of the group at the back of the ring.
    pub(crate) fn last_mark(&self) -> Option<u64> {
        self.get(self.ring.1 as usize).map(|group| group.lane.since())
    }

    /// Every group.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.pages.iter().flatten().flatten()
    }

    /// Sets the number of messages in each slot; whether just the slots with a group have any.
    pub(crate) fn set_counts(&mut self, counts: &[u32]) -> bool {
        let slots = self.pages.iter_mut().flatten().zip(counts);
        slots.fold(true, |right, (slot, count)| match slot {
            Some(group) => {
                group.count = *count;
                right && group.leased + group.delayed <= *count && *count > 0
            }
            None => right && *count == 0,
        })
    }

    pub(crate) fn encode(&self, out: &mut Sheaf) {
        out.bytes().put_u32(self.slots() as u32);
        for page in &self.pages {
            let out = out.bytes();
            for slot in page {
                out.put_option(slot.as_ref(), |out, group| {
                    out.put_str(&group.name);
                    group.lane.encode(out);
                });
            }
        }
        for slots in [&self.free, &self.ring_slots().collect()] {
            out.bytes().put_u32(slots.len() as u32);
            for page in slots.chunks(PAGE) {
                let out = out.bytes();
                page.iter().for_each(|slot| out.put_u32(*slot));
            }
        }
    }

    /// Reads what [`Groups::encode`] wrote, but for the counts: those come with the messages.
    pub(crate) fn decode(get: &mut Get<'_>, with_turns: bool, seed: u64) -> Result<Groups, Malformed> {
        let malformed = Malformed { what: WHAT };
        let mut groups = Groups::new(with_turns, seed);
        let slots = get.u32(WHAT)?;
        if slots >= POSITIONS || slots as usize > get.remaining() {
            return Err(malformed);
        }
        groups.names = Index::with_room(slots as usize);
        for _ in 0..slots {
            let group = get.option(WHAT, |get| {
                let name = get.str(WHAT)?;
                Ok(Group::new(name, Lane::decode(get, with_turns)?))
            })?;
            let used = group.is_some();
            let slot = groups.add_slot(group);
            if used {
                groups.enter_name(groups.hash_at(slot as u32), slot);
            }
        }
        for _ in 0..get.u32(WHAT)? {
            let slot = get.u32(WHAT)?;
            if slot >= slots || groups.get(slot as usize).is_some() {
                return Err(malformed);
            }
            groups.free.push(slot);
        }
        for _ in 0..get.u32(WHAT)? {
            let slot = get.u32(WHAT)? as usize;
            let group = groups.get(slot).ok_or(malformed)?;
            let mark = group.lane.since();
            if groups.stands_in_ring(slot) {
                return Err(malformed);
            }
            groups.queue_up(slot, mark);
        }
        Ok(groups)
    }
}
