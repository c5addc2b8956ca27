//! The fields of an index by name, and the walk that brings them together with a message.

use std::collections::{BTreeSet, HashMap};

use super::field::{Field, Probe};
use super::slots::{Found, Slot};
use crate::body::{self, Body};
use crate::message::Message;
use crate::policy::Scope;

/// The place of a node in [`Fields::nodes`].
type Place = u32;

const ROOT: Place = 0;

/// The fields of one scope: a tree by the segments of their names. In the body a dot separates segments; the name of
/// an attribute is one.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    scope: Scope,
    nodes: Vec<Node>,
    free: Vec<Place>,
    /// The fields through which entries are found when they are absent.
    absent: BTreeSet<Place>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    parent: Place,
    /// Its last segment.
    segment: Box<str>,
    children: HashMap<Box<str>, Place>,
    field: Option<Box<Named>>,
}

/// A field and its whole name.
#[derive(Debug, Clone)]
struct Named {
    name: Box<str>,
    field: Field,
}

impl Fields {
    pub(super) fn new(scope: Scope) -> Fields {
        Fields {
            scope,
            nodes: vec![Node::default()],
            free: Vec::new(),
            absent: BTreeSet::new(),
        }
    }

    /// The field of a name, if there is one.
    pub(super) fn get(&self, name: &str) -> Option<&Field> {
        let named = self.node(self.find_place(name)?).field.as_ref()?;
        Some(&named.field)
    }

    pub(super) fn insert(&mut self, name: &str, probe: Probe<'_>, slot: Slot) {
        let mut place = ROOT;
        for segment in segments(self.scope, name) {
            place = self.child(place, segment);
        }
        let named = self.nodes[place as usize].field.get_or_insert_with(|| {
            Box::new(Named {
                name: name.into(),
                field: Field::default(),
            })
        });
        named.field.insert(probe, slot);
        if !named.field.absent().is_empty() {
            self.absent.insert(place);
        }
    }

    pub(super) fn remove(&mut self, name: &str, probe: Probe<'_>, slot: Slot) {
        let Some(mut place) = self.find_place(name) else {
            return;
        };
        let node = &mut self.nodes[place as usize];
        let Some(named) = &mut node.field else { return };
        named.field.remove(probe, slot);
        if named.field.absent().is_empty() {
            self.absent.remove(&place);
        }
        if named.field.is_empty() {
            node.field = None;
        }
        // Nothing is left behind: nodes without field and children go, up to the first that has some.
        while place != ROOT && self.node(place).field.is_none() && self.node(place).children.is_empty() {
            let gone = std::mem::take(&mut self.nodes[place as usize]);
            self.free.push(place);
            self.nodes[gone.parent as usize].children.remove(&gone.segment);
            place = gone.parent;
        }
    }

    /// Finds the entries that a message may concern.
    pub(super) fn find(&self, message: &Message<'_>, found: &mut Found) {
        match self.scope {
            Scope::MessageAttributes => self.find_attributes(message, found),
            Scope::MessageBody => match message.body() {
                Some(body) => self.find_body(body, found),
                None => return,
            },
        }
        for place in &self.absent {
            if let Some(named) = &self.node(*place).field
                && message.values(self.scope, &named.name).is_empty()
            {
                found.add_all(named.field.absent());
            }
        }
    }

    fn find_attributes(&self, message: &Message<'_>, found: &mut Found) {
        let fields = &self.node(ROOT).children;
        for (name, values) in message.attributes() {
            if let Some(place) = fields.get(*name)
                && let Some(named) = &self.node(*place).field
            {
                named.field.find(values, found);
            }
        }
    }

    /// Walks the tree of the fields and that of the body side by side, at each pair of nodes along the one with fewer
    /// children.
    fn find_body(&self, body: &Body<'_>, found: &mut Found) {
        let mut pairs = vec![(ROOT, body::ROOT)];
        while let Some((place, there)) = pairs.pop() {
            let node = self.node(place);
            if let Some(named) = &node.field {
                named.field.find(body.values_at(there), found);
            }
            if node.children.len() <= body.child_count(there) {
                for (segment, child) in &node.children {
                    pairs.extend(body.child(there, segment).map(|below| (*child, below)));
                }
            } else {
                for (segment, below) in body.children(there) {
                    pairs.extend(node.children.get(segment).map(|child| (*child, below)));
                }
            }
        }
    }

    fn node(&self, place: Place) -> &Node {
        &self.nodes[place as usize]
    }

    fn find_place(&self, name: &str) -> Option<Place> {
        let mut segments = segments(self.scope, name);
        segments.try_fold(ROOT, |place, segment| {
            self.node(place).children.get(segment).copied()
        })
    }

    /// The child of a node, made if need be.
    fn child(&mut self, parent: Place, segment: &str) -> Place {
        if let Some(child) = self.node(parent).children.get(segment) {
            return *child;
        }
        let node = Node {
            parent,
            segment: segment.into(),
            ..Node::default()
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.nodes[place as usize] = node;
                place
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as Place
            }
        };
        let children = &mut self.nodes[parent as usize].children;
        children.insert(segment.into(), place);
        place
    }

    /// How many nodes are in use, without the root.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - 1 - self.free.len()
    }
}

/// The segments of a name: at least one.
fn segments(scope: Scope, name: &str) -> impl Iterator<Item = &str> {
    let separator = match scope {
        Scope::MessageAttributes => None,
        Scope::MessageBody => Some('.'),
    };
    name.split(move |char| Some(char) == separator)
}
