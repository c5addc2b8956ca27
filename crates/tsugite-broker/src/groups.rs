//! The groups of a queue's messages, and the ring in which they are served.
//!
//! On a FIFO queue a group's line holds every stored message of it, and the group stands in the ring while the first
//! of them can be received. On a standard queue the line holds those that can be received, and the group, a tenant,
//! stands in the ring while there are any. Whoever was served goes to the back: so nobody waits longer than for one
//! turn of each other group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tsugite_base::codec::{Get, Malformed, Put};

use crate::lane::Lane;

const WHAT: &str = "message groups";

/// A group that has stored messages.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// `MessageGroupId`.
    pub(crate) name: Arc<str>,
    pub(crate) lane: Lane,
    /// Stored messages.
    pub(crate) count: u32,
    /// Those in flight.
    pub(crate) leased: u32,
    /// Those that were never available yet.
    pub(crate) delayed: u32,
    /// Its place in the ring: mark and number; the number is zero outside of it.
    place: (u64, u64),
}

impl Group {
    /// Messages that can be received, or could be but for those before them.
    pub(crate) const fn ready(&self) -> u32 {
        self.count - self.leased - self.delayed
    }
}

/// All groups of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    slots: Vec<Option<Group>>,
    /// Empty slots; the last one is used first.
    free: Vec<u32>,
    names: BTreeMap<Arc<str>, u32>,
    /// Mark, number, slot of those that can be served.
    ring: BTreeSet<(u64, u64, u32)>,
    /// Places in the ring that were given out.
    given: u64,
}

impl Groups {
    pub(crate) fn get(&self, slot: usize) -> Option<&Group> {
        self.slots.get(slot)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Group> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Counts one more message of a group, and returns its slot.
    pub(crate) fn enter(&mut self, name: &str) -> usize {
        if let Some(&slot) = self.names.get(name) {
            if let Some(group) = self.get_mut(slot as usize) {
                group.count += 1;
            }
            return slot as usize;
        }
        let name: Arc<str> = name.into();
        let group = Group {
            name: name.clone(),
            lane: Lane::default(),
            count: 1,
            leased: 0,
            delayed: 0,
            place: (0, 0),
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.add_slot(None);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(group);
        self.names.insert(name, slot);
        slot as usize
    }

    /// Adds a slot. Slots are large and may be many: room is made for an eighth more of them, not for twice as many.
    fn add_slot(&mut self, group: Option<Group>) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact((self.slots.len() / 8).max(4));
        }
        self.slots.push(group);
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
        if let Some(group) = self.slots[slot].take() {
            self.names.remove(&group.name);
            self.free.push(slot as u32);
        }
        if self.names.is_empty() {
            let given = self.given;
            *self = Groups {
                given,
                ..Groups::default()
            };
        }
    }

    /// Puts a group at the back of the ring, wherever it stood; `mark` is the number of the queue's next message.
    pub(crate) fn queue_up(&mut self, slot: usize, mark: u64) {
        self.withdraw(slot);
        self.given += 1;
        let place = (mark, self.given);
        if let Some(group) = self.get_mut(slot) {
            group.place = place;
            self.ring.insert((place.0, place.1, slot as u32));
        }
    }

    /// Takes a group out of the ring.
    pub(crate) fn withdraw(&mut self, slot: usize) {
        let Some(group) = self.get_mut(slot) else {
            return;
        };
        let (mark, number) = std::mem::take(&mut group.place);
        if number != 0 {
            self.ring.remove(&(mark, number, slot as u32));
        }
    }

    pub(crate) fn stands_in_ring(&self, slot: usize) -> bool {
        self.get(slot).is_some_and(|group| group.place.1 != 0)
    }

    /// The marks and groups of the ring, the next one first.
    pub(crate) fn ring(&self) -> impl Iterator<Item = (u64, &Group)> {
        let slots = self.ring.iter();
        slots.filter_map(|(mark, _, slot)| Some((*mark, self.get(*slot as usize)?)))
    }

    /// The mark of the group at the back of the ring.
    pub(crate) fn last_mark(&self) -> Option<u64> {
        self.ring.last().map(|(mark, _, _)| *mark)
    }

    /// Every group.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.slots.iter().flatten()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.given);
        out.put_u32(self.slots.len() as u32);
        for slot in &self.slots {
            out.put_option(slot.as_ref(), |out, group| {
                out.put_str(&group.name);
                out.put_u64(group.place.0);
                out.put_u64(group.place.1);
                group.lane.encode(out);
            });
        }
        out.put_u32(self.free.len() as u32);
        self.free.iter().for_each(|slot| out.put_u32(*slot));
    }

    /// Reads what [`Groups::encode`] wrote, but for the counts: those come with the messages.
    pub(crate) fn decode(get: &mut Get<'_>) -> Result<Groups, Malformed> {
        let mut groups = Groups {
            given: get.u64(WHAT)?,
            ..Groups::default()
        };
        for slot in 0..get.u32(WHAT)? {
            let group = get.option(WHAT, |get| {
                Ok(Group {
                    name: get.str(WHAT)?.into(),
                    place: (get.u64(WHAT)?, get.u64(WHAT)?),
                    lane: Lane::decode(get)?,
                    count: 0,
                    leased: 0,
                    delayed: 0,
                })
            })?;
            if let Some(group) = &group {
                groups.names.insert(group.name.clone(), slot);
                if group.place.1 != 0 {
                    groups.ring.insert((group.place.0, group.place.1, slot));
                }
            }
            groups.add_slot(group);
        }
        for _ in 0..get.u32(WHAT)? {
            let slot = get.u32(WHAT)?;
            if groups.slots.get(slot as usize).is_none_or(Option::is_some) {
                return Err(Malformed { what: WHAT });
            }
            groups.free.push(slot);
        }
        Ok(groups)
    }
}
