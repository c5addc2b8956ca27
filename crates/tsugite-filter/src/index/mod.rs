//! An index of many policies: those that admit a message, without looking at most of the others.
//!
//! Each policy is found through a few of its keys (`cover.rs`), each of them through each of its rules: exact values
//! by hash, beginnings and ends by a radix tree, ranges by an interval tree, networks by length and hash, and
//! whatever is left by the key's presence or absence (`field.rs`). What is found is held against the reference
//! matcher, so that an index can be slow and cannot be wrong in what it gives; that it misses nothing follows from
//! the cover. Policies with the same meaning are one entry, looked at once.
//!
//! Looking costs a walk over the message and a look at each entry found. What stays linear: in the matches
//! themselves; in policies whose rarest key is still one that most messages satisfy, such as a lone `anything-but`
//! or `exists`, or a value that all of them share; in the distinct names under which `{"exists": false}` is all that
//! there is to go by; and, for a key with many values, in what each of them leads to.

mod cover;
mod field;
mod fields;
mod ranges;
mod slots;
#[cfg(test)]
mod tests;
mod trie;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};

use cover::Cover;
use field::Probe;
use fields::Fields;
use slots::{Bucket, Found, Slot};

use crate::policy::{Key, Scope};
use crate::{Message, Policy};

/// Policies by the key of their subscription.
#[derive(Clone)]
pub struct Index<K> {
    slots: BTreeMap<K, Slot>,
    entries: Vec<Entry<K>>,
    /// Entries without keys.
    free: Vec<Slot>,
    by_meaning: HashMap<ByMeaning, Slot>,
    attributes: Fields,
    body: Fields,
    /// Entries that no key leads to.
    always: Bucket,
}

/// A policy and who has it. Without keys, it waits to be used again.
#[derive(Clone)]
struct Entry<K> {
    policy: Option<Policy>,
    /// Ascending.
    keys: Vec<K>,
    cover: Option<Cover>,
}

/// Policies are the same here if they mean the same.
#[derive(Clone)]
struct ByMeaning(Policy);

impl PartialEq for ByMeaning {
    fn eq(&self, other: &ByMeaning) -> bool {
        self.0.meaning() == other.0.meaning()
    }
}

impl Eq for ByMeaning {}

impl Hash for ByMeaning {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.meaning().hash(state);
    }
}

impl<K: Copy + Ord> Default for Index<K> {
    fn default() -> Self {
        Index::new()
    }
}

impl<K> fmt::Debug for Index<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("keys", &self.slots.len())
            .field("policies", &self.by_meaning.len())
            .finish_non_exhaustive()
    }
}

impl<K: Copy + Ord> Index<K> {
    /// An index of nothing.
    pub fn new() -> Index<K> {
        Index {
            slots: BTreeMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            by_meaning: HashMap::new(),
            attributes: Fields::new(Scope::MessageAttributes),
            body: Fields::new(Scope::MessageBody),
            always: Bucket::default(),
        }
    }

    /// Adds a policy, in place of the one that the key had.
    pub fn insert(&mut self, key: K, policy: &Policy) {
        self.remove(key);
        let known = self.by_meaning.get(&ByMeaning(policy.clone())).copied();
        let slot = known.unwrap_or_else(|| self.add_entry(policy));
        let keys = &mut self.entries[slot as usize].keys;
        if let Err(place) = keys.binary_search(&key) {
            keys.insert(place, key);
        }
        self.slots.insert(key, slot);
    }

    /// Removes the policy of a key, if it has one.
    pub fn remove(&mut self, key: K) {
        let Some(slot) = self.slots.remove(&key) else {
            return;
        };
        let keys = &mut self.entries[slot as usize].keys;
        if let Ok(place) = keys.binary_search(&key) {
            keys.remove(place);
        }
        if keys.is_empty() {
            self.remove_entry(slot);
        }
    }

    /// How many keys have a policy.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no key has a policy.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds the keys whose policies admit the message to `out`, ascending.
    pub fn matching(&self, message: &Message<'_>, out: &mut Vec<K>) {
        let mut found = Found::none(self.entries.len());
        found.add_all(&self.always);
        self.attributes.find(message, &mut found);
        self.body.find(message, &mut found);
        let before = out.len();
        for slot in found.iter() {
            let entry = &self.entries[slot as usize];
            if entry
                .policy
                .as_ref()
                .is_some_and(|policy| policy.matches(message))
            {
                out.extend_from_slice(&entry.keys);
            }
        }
        out[before..].sort_unstable();
    }

    fn fields(&mut self, scope: Scope) -> &mut Fields {
        match scope {
            Scope::MessageAttributes => &mut self.attributes,
            Scope::MessageBody => &mut self.body,
        }
    }

    /// Makes an entry that nobody has yet.
    fn add_entry(&mut self, policy: &Policy) -> Slot {
        let fields = self.fields(policy.scope());
        let cost = |key: &Key| {
            let field = fields.get(&key.name);
            let cost = |rule| field.map_or(0, |field| field.cost(Probe::of(rule)));
            key.rules.iter().map(cost).fold(0, usize::saturating_add)
        };
        let cover = cover::choose(&policy.meaning().tree, &cost);
        let entry = Entry {
            policy: Some(policy.clone()),
            keys: Vec::new(),
            cover,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as Slot
            }
        };
        self.by_meaning.insert(ByMeaning(policy.clone()), slot);
        self.each_probe(slot, policy, |fields, name, probe| {
            fields.insert(name, probe, slot)
        });
        if self.entries[slot as usize].cover.is_none() {
            self.always.insert(slot);
        }
        slot
    }

    fn remove_entry(&mut self, slot: Slot) {
        let Some(policy) = self.entries[slot as usize].policy.take() else {
            return;
        };
        self.each_probe(slot, &policy, |fields, name, probe| {
            fields.remove(name, probe, slot)
        });
        self.always.remove(slot);
        self.entries[slot as usize].cover = None;
        self.by_meaning.remove(&ByMeaning(policy));
        self.free.push(slot);
    }

    /// Goes through the rules of an entry's cover.
    fn each_probe(
        &mut self,
        slot: Slot,
        policy: &Policy,
        mut each: impl FnMut(&mut Fields, &str, Probe<'_>),
    ) {
        let meaning = policy.meaning();
        let all = cover::keys(&meaning.tree);
        let cover = self.entries[slot as usize].cover.take();
        let fields = self.fields(meaning.scope);
        for place in cover.iter().flat_map(|cover| &cover.keys) {
            let Key { name, rules } = all[*place];
            rules.iter().for_each(|rule| each(fields, name, Probe::of(rule)));
        }
        self.entries[slot as usize].cover = cover;
    }
}
