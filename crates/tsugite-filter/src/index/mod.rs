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
mod guard;
mod hash;
mod odds;
mod ranges;
mod slots;
#[cfg(test)]
mod tests;
mod trie;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};

use cover::Cover;
use field::Probe;
use fields::{Fields, Place};
use guard::Guard;
use slots::{Bucket, Found, Slot};

use crate::policy::{Key, Tree};
use crate::{Message, Policy, Scope};

/// Policies by the key of their subscription.
#[derive(Clone)]
pub struct Index<K> {
    slots: BTreeMap<K, Slot>,
    /// By slot, apart from the entries because it is looked at more often.
    guards: Vec<Guard>,
    entries: Vec<Entry<K>>,
    /// Entries without keys.
    free: Vec<Slot>,
    by_meaning: HashMap<ByMeaning, Slot>,
    fields: Fields,
    /// Entries that no key leads to.
    always: Bucket,
    /// Entries that look at the body.
    of_body: usize,
}

/// A policy and who has it.
#[derive(Clone)]
struct Entry<K> {
    /// What it admits, by the places of its fields.
    tree: Tree<Place>,
    /// Ascending; none if the entry waits to be used again.
    keys: Vec<K>,
    cover: Option<Cover>,
    policy: Option<Policy>,
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
            guards: Vec::new(),
            entries: Vec::new(),
            free: Vec::new(),
            by_meaning: HashMap::new(),
            fields: Fields::new(),
            always: Bucket::default(),
            of_body: 0,
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

    /// Whether any policy looks at the body: if none does, messages need not have it read.
    pub fn reads_bodies(&self) -> bool {
        self.of_body > 0
    }

    /// Adds the keys whose policies admit the message to `out`, ascending.
    pub fn matching(&self, message: &Message<'_>, out: &mut Vec<K>) {
        let mut found = Found::none(self.entries.len());
        found.add_all(&self.always);
        let present = self.fields.find(message, &mut found);
        let values = |place: &Place| present.values(*place);
        let before = out.len();
        let through = found
            .iter()
            .filter(|slot| self.guards[*slot as usize].lets_through(&present));
        for slot in through {
            let entry = &self.entries[slot as usize];
            if entry.tree.matches(&values) {
                out.extend_from_slice(&entry.keys);
            }
        }
        out[before..].sort_unstable();
    }

    /// Makes an entry that nobody has yet.
    fn add_entry(&mut self, policy: &Policy) -> Slot {
        let (scope, fields) = (policy.scope(), &mut self.fields);
        let mut tree = policy
            .meaning()
            .tree
            .rename(&mut |name| fields.acquire(scope, name));
        let odds = |key: &Key<Place>| {
            let odds = key
                .rules
                .iter()
                .map(|rule| fields.odds(key.name, Probe::of(rule)));
            odds.fold(0, usize::saturating_add)
        };
        let cover = cover::choose(&tree, &odds);
        let slot = self.free.pop().unwrap_or(self.entries.len() as Slot);
        match &cover {
            None => drop(self.always.insert(slot)),
            Some(cover) => {
                probes(cover, |place, probe| fields.insert(scope, place, probe, slot));
                look_last(&mut tree, cover);
            }
        }
        let guard = Guard::of(&tree, cover.as_ref());
        let entry = Entry {
            tree,
            keys: Vec::new(),
            cover,
            policy: Some(policy.clone()),
        };
        match self.entries.get_mut(slot as usize) {
            Some(unused) => {
                *unused = entry;
                self.guards[slot as usize] = guard;
            }
            None => {
                self.entries.push(entry);
                self.guards.push(guard);
            }
        }
        self.by_meaning.insert(ByMeaning(policy.clone()), slot);
        self.of_body += usize::from(scope == Scope::MessageBody);
        slot
    }

    fn remove_entry(&mut self, slot: Slot) {
        let entry = &mut self.entries[slot as usize];
        let Some(policy) = entry.policy.take() else { return };
        let (scope, fields) = (policy.scope(), &mut self.fields);
        match entry.cover.take() {
            None => drop(self.always.remove(slot)),
            Some(cover) => probes(&cover, |place, probe| fields.remove(scope, place, probe, slot)),
        }
        let tree = std::mem::replace(&mut entry.tree, Tree::All(Vec::new()));
        tree.keys().iter().for_each(|key| fields.release(key.name));
        self.guards[slot as usize] = Guard::NONE;
        self.of_body -= usize::from(scope == Scope::MessageBody);
        self.by_meaning.remove(&ByMeaning(policy));
        self.free.push(slot);
    }
}

/// Goes through the rules of a cover.
fn probes(cover: &Cover, mut each: impl FnMut(Place, Probe<'_>)) {
    for key in &cover.keys {
        key.rules.iter().for_each(|rule| each(key.name, Probe::of(rule)));
    }
}

/// Puts the part that the cover is in behind the others: whoever comes through the cover mostly satisfies it, so that
/// the others decide.
fn look_last(tree: &mut Tree<Place>, cover: &Cover) {
    let Tree::All(parts) = tree else { return };
    let covering = |part: &Tree<Place>| part.keys().iter().any(|key| cover.has(key));
    if let Some(at) = parts.iter().position(covering) {
        parts[at..].rotate_left(1);
    }
}
