//! All stored texts that a value begins with, in one walk over the value.

use super::odds::Odds;
use super::slots::{Bucket, Found, Slot};

/// The place of a node in [`Trie::nodes`].
type Place = u32;

const ROOT: Place = 0;

/// A radix tree: a node with one child and no entries is never kept, so that there are at most two nodes for each
/// text. Nodes refer to each other by place: a chain of a thousand prefixes is then no recursion.
#[derive(Debug, Clone)]
pub(super) struct Trie {
    odds: Odds,
    nodes: Vec<Node>,
    free: Vec<Place>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// What it adds to its parent's text; empty only at the root.
    label: Box<[u8]>,
    parent: Place,
    /// With the first bytes of their labels, which differ, ascending.
    children: Vec<(u8, Place)>,
    bucket: Bucket,
}

impl Default for Trie {
    fn default() -> Trie {
        Trie {
            odds: Odds::default(),
            nodes: vec![Node::default()],
            free: Vec::new(),
        }
    }
}

impl Trie {
    pub(super) fn is_empty(&self) -> bool {
        let root = &self.nodes[ROOT as usize];
        root.children.is_empty() && root.bucket.is_empty()
    }

    pub(super) fn insert(&mut self, text: &[u8], slot: Slot) {
        let place = self.place(text);
        let bucket = &mut self.node_mut(place).bucket;
        if bucket.insert(slot) {
            let others = bucket.len() - 1;
            self.odds.add(others);
        }
    }

    pub(super) fn remove(&mut self, text: &[u8], slot: Slot) {
        if let Some(place) = self.find(text) {
            let bucket = &mut self.node_mut(place).bucket;
            if bucket.remove(slot) {
                let others = bucket.len();
                self.odds.remove(others);
                self.prune(place);
            }
        }
    }

    /// The chance that a message leads to an entry behind this text.
    pub(super) fn odds(&self, text: &[u8]) -> usize {
        let others = self.find(text).map_or(0, |place| self.node(place).bucket.len());
        self.odds.of(others)
    }

    /// Finds the entries behind every text that `value` begins with.
    pub(super) fn find_prefixes(&self, value: &[u8], found: &mut Found) {
        let (mut node, mut rest) = (self.node(ROOT), value);
        loop {
            found.add_all(&node.bucket);
            let Some((child, after)) = self.step(node, rest) else {
                return;
            };
            (node, rest) = (self.node(child), after);
        }
    }

    fn node(&self, place: Place) -> &Node {
        &self.nodes[place as usize]
    }

    fn node_mut(&mut self, place: Place) -> &mut Node {
        &mut self.nodes[place as usize]
    }

    /// Where among the children the one is, or would be, whose label begins with `byte`.
    fn child(&self, node: &Node, byte: u8) -> Result<usize, usize> {
        node.children.binary_search_by_key(&byte, |(first, _)| *first)
    }

    /// The child whose whole label `text` begins with, and what is left of `text`.
    fn step<'t>(&self, node: &Node, text: &'t [u8]) -> Option<(Place, &'t [u8])> {
        let at = self.child(node, *text.first()?).ok()?;
        let (_, child) = node.children[at];
        Some((child, text.strip_prefix(&*self.node(child).label)?))
    }

    fn find(&self, text: &[u8]) -> Option<Place> {
        let (mut place, mut rest) = (ROOT, text);
        while !rest.is_empty() {
            (place, rest) = self.step(self.node(place), rest)?;
        }
        Some(place)
    }

    /// The node of a text, made if need be.
    fn place(&mut self, text: &[u8]) -> Place {
        let (mut place, mut rest) = (ROOT, text);
        while let Some(first) = rest.first() {
            if let Some((child, after)) = self.step(self.node(place), rest) {
                (place, rest) = (child, after);
                continue;
            }
            match self.child(self.node(place), *first) {
                Ok(at) => {
                    let label = &self.node(self.node(place).children[at].1).label;
                    let common = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
                    place = self.split(place, at, common);
                    rest = &rest[common..];
                }
                Err(at) => {
                    let leaf = self.add(Node {
                        label: rest.into(),
                        parent: place,
                        ..Node::default()
                    });
                    self.node_mut(place).children.insert(at, (*first, leaf));
                    return leaf;
                }
            }
        }
        place
    }

    /// Puts a node between a node and its child, `common` bytes into the child's label.
    fn split(&mut self, parent: Place, at: usize, common: usize) -> Place {
        let (first, child) = self.node(parent).children[at];
        let label = std::mem::take(&mut self.node_mut(child).label);
        let middle = self.add(Node {
            label: label[..common].into(),
            parent,
            children: vec![(label[common], child)],
            bucket: Bucket::default(),
        });
        let below = self.node_mut(child);
        below.label = label[common..].into();
        below.parent = middle;
        self.node_mut(parent).children[at] = (first, middle);
        middle
    }

    fn add(&mut self, node: Node) -> Place {
        match self.free.pop() {
            Some(place) => {
                *self.node_mut(place) = node;
                place
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as Place
            }
        }
    }

    /// Takes a node away that nobody needs any more, and then perhaps its parent.
    fn prune(&mut self, place: Place) {
        if place == ROOT || !self.node(place).bucket.is_empty() {
            return;
        }
        let parent = self.node(place).parent;
        let Ok(at) = self.child(self.node(parent), self.node(place).label[0]) else {
            return;
        };
        match self.node(place).children[..] {
            [] => {
                self.node_mut(parent).children.remove(at);
                self.release(place);
                self.prune(parent); // Ends there: a parent with entries or two other children stays.
            }
            [(_, child)] => {
                let label = [&*self.node(place).label, &*self.node(child).label].concat();
                let below = self.node_mut(child);
                below.label = label.into();
                below.parent = parent;
                self.node_mut(parent).children[at].1 = child;
                self.release(place);
            }
            _ => {}
        }
    }

    fn release(&mut self, place: Place) {
        *self.node_mut(place) = Node::default();
        self.free.push(place);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(trie: &Trie, value: &str) -> Vec<Slot> {
        let mut found = Found::none(1000);
        trie.find_prefixes(value.as_bytes(), &mut found);
        found.iter().collect()
    }

    #[test]
    fn a_thousand_nested_prefixes_are_found_and_go() {
        let text = "a".repeat(1000);
        let mut trie = Trie::default();
        for length in 0..1000 {
            trie.insert(&text.as_bytes()[..length], length as Slot);
        }
        assert_eq!(found(&trie, &text).len(), 1000);
        assert_eq!(found(&trie, "aab"), [0, 1, 2]);
        for length in (0..1000).rev() {
            trie.remove(&text.as_bytes()[..length], length as Slot);
        }
        assert!(trie.is_empty());
        assert_eq!(trie.nodes.len(), 1 + trie.free.len());
    }

    proptest! {
        #[test]
        fn it_finds_what_a_list_finds(
            steps in prop::collection::vec((any::<bool>(), "[ab]{0,5}", 0_u32..4), 0..60),
            values in prop::collection::vec("[abc]{0,8}", 0..8),
        ) {
            let mut trie = Trie::default();
            let mut list = BTreeSet::new();
            for (insert, text, slot) in steps {
                if insert {
                    trie.insert(text.as_bytes(), slot);
                    list.insert((text, slot));
                } else {
                    trie.remove(text.as_bytes(), slot);
                    list.remove(&(text, slot));
                }
                prop_assert_eq!(trie.is_empty(), list.is_empty());
                prop_assert_eq!(trie.odds == Odds::default(), list.is_empty());
                let used = trie.nodes.len() - 1 - trie.free.len();
                prop_assert!(used <= 2 * list.len(), "{} nodes for {} texts", used, list.len());
            }
            for value in values {
                let expected: BTreeSet<Slot> =
                    list.iter().filter(|(text, _)| value.starts_with(text.as_str())).map(|(_, slot)| *slot).collect();
                prop_assert_eq!(found(&trie, &value), expected.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
