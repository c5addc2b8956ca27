//! An index of many policies.

use std::collections::BTreeMap;

use crate::{Message, Policy};

/// Policies by the key of their subscription.
#[derive(Debug, Clone)]
pub struct Index<K> {
    policies: BTreeMap<K, Policy>,
}

impl<K: Copy + Ord> Default for Index<K> {
    fn default() -> Self {
        Index::new()
    }
}

impl<K: Copy + Ord> Index<K> {
    /// An index of nothing.
    pub fn new() -> Index<K> {
        Index {
            policies: BTreeMap::new(),
        }
    }

    /// Adds a policy, in place of the one that the key had.
    pub fn insert(&mut self, key: K, policy: &Policy) {
        self.policies.insert(key, policy.clone());
    }

    /// Removes the policy of a key, if it has one.
    pub fn remove(&mut self, key: K) {
        self.policies.remove(&key);
    }

    /// How many keys have a policy.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether no key has a policy.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Adds the keys whose policies admit the message to `out`, ascending.
    pub fn matching(&self, message: &Message<'_>, out: &mut Vec<K>) {
        let matching = self.policies.iter().filter(|(_, policy)| policy.matches(message));
        out.extend(matching.map(|(key, _)| *key));
    }
}
