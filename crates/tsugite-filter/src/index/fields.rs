//! The fields of an index by name, and the walk that brings them together with a message.

use std::collections::BTreeSet;

use super::field::{Field, Probe};
use super::guard;
use super::hash::Map;
use super::slots::{Found, Slot};
use crate::body::{self, Body};
use crate::message::{Message, Value};
use crate::policy::Scope;

/// The place of a node in [`Fields::nodes`].
pub(super) type Place = u32;

/// Above all names of attributes.
const ATTRIBUTES: Place = 0;
/// Above all paths in the body.
const BODY: Place = 1;
const ROOTS: usize = 2;

/// The fields that the policies of an index name: trees by the segments of their names. In the body a dot separates
/// segments; the name of an attribute is one.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    nodes: Vec<Node>,
    free: Vec<Place>,
    /// By root, the fields through which entries are found when they are absent.
    absent: [BTreeSet<Place>; ROOTS],
}

#[derive(Debug, Clone, Default)]
struct Node {
    parent: Place,
    /// The last of its name.
    segment: Box<str>,
    children: Map<Box<str>, Place>,
    /// How many keys of entries have this name.
    uses: usize,
    /// Of a name through which entries are found.
    field: Option<Box<Field>>,
}

/// The fields that a message has, ascending by place.
#[derive(Debug)]
pub(super) struct Present<'m>(Vec<Met<'m>>);

/// A field that a message has.
#[derive(Debug)]
struct Met<'m> {
    place: Place,
    values: &'m [Value<'m>],
    marks: u64,
}

impl<'m> Present<'m> {
    /// The values of a field; none if it is absent.
    pub(super) fn values(&self, place: Place) -> &'m [Value<'m>] {
        self.get(place).map_or(&[], |met| met.values)
    }

    /// The marks of the texts of a field; see `guard.rs`.
    pub(super) fn marks(&self, place: Place) -> u64 {
        self.get(place).map_or(0, |met| met.marks)
    }

    fn get(&self, place: Place) -> Option<&Met<'m>> {
        let at = self.0.binary_search_by_key(&place, |met| met.place).ok()?;
        Some(&self.0[at])
    }

    fn add(&mut self, place: Place, values: &'m [Value<'m>]) {
        self.0.push(Met {
            place,
            values,
            marks: guard::marks_of(values),
        });
    }
}

fn root(scope: Scope) -> Place {
    match scope {
        Scope::MessageAttributes => ATTRIBUTES,
        Scope::MessageBody => BODY,
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

impl Fields {
    pub(super) fn new() -> Fields {
        Fields {
            nodes: vec![Node::default(); ROOTS],
            free: Vec::new(),
            absent: Default::default(),
        }
    }

    /// Names a field once more: it keeps its place until it is released as often.
    pub(super) fn acquire(&mut self, scope: Scope, name: &str) -> Place {
        let mut place = root(scope);
        for segment in segments(scope, name) {
            place = self.child(place, segment);
        }
        self.nodes[place as usize].uses += 1;
        place
    }

    /// Takes back one [`Fields::acquire`].
    pub(super) fn release(&mut self, mut place: Place) {
        self.nodes[place as usize].uses -= 1;
        while place as usize >= ROOTS && self.node(place).uses == 0 && self.node(place).children.is_empty() {
            let gone = std::mem::take(&mut self.nodes[place as usize]);
            self.free.push(place);
            self.nodes[gone.parent as usize].children.remove(&gone.segment);
            place = gone.parent;
        }
    }

    /// The chance, in millionths, that a message leads to another entry through a probe of this field.
    pub(super) fn odds(&self, place: Place, probe: Probe<'_>) -> usize {
        match &self.node(place).field {
            Some(field) => field.odds(probe),
            None => Field::default().odds(probe),
        }
    }

    pub(super) fn insert(&mut self, scope: Scope, place: Place, probe: Probe<'_>, slot: Slot) {
        let field = self.nodes[place as usize].field.get_or_insert_default();
        field.insert(probe, slot);
        if !field.absent().is_empty() {
            self.absent[root(scope) as usize].insert(place);
        }
    }

    pub(super) fn remove(&mut self, scope: Scope, place: Place, probe: Probe<'_>, slot: Slot) {
        let node = &mut self.nodes[place as usize];
        let Some(field) = &mut node.field else { return };
        field.remove(probe, slot);
        if field.absent().is_empty() {
            self.absent[root(scope) as usize].remove(&place);
        }
        if field.is_empty() {
            node.field = None;
        }
    }

    /// Finds the entries that a message may concern, and the fields that it has.
    pub(super) fn find<'m>(&self, message: &'m Message<'m>, found: &mut Found) -> Present<'m> {
        let mut present = Present(Vec::with_capacity(16));
        self.meet_attributes(message, &mut present);
        if let Some(body) = message.body() {
            self.meet_body(body, &mut present);
        }
        present.0.sort_unstable_by_key(|met| met.place);
        for met in &present.0 {
            if let Some(field) = &self.node(met.place).field {
                field.find(met.values, found);
            }
        }
        for scope in [Scope::MessageAttributes, Scope::MessageBody] {
            if message.offers(scope) {
                self.find_absent(scope, &present, found);
            }
        }
        present
    }

    fn find_absent(&self, scope: Scope, present: &Present<'_>, found: &mut Found) {
        for place in &self.absent[root(scope) as usize] {
            if let Some(field) = &self.node(*place).field
                && present.values(*place).is_empty()
            {
                found.add_all(field.absent());
            }
        }
    }

    fn meet_attributes<'m>(&self, message: &'m Message<'m>, present: &mut Present<'m>) {
        let fields = &self.node(ATTRIBUTES).children;
        for (name, values) in message.attributes() {
            if let Some(place) = fields.get(name) {
                present.add(*place, values);
            }
        }
    }

    /// Walks the tree of the fields and that of the body side by side, at each pair of nodes along the one with fewer
    /// children.
    fn meet_body<'m>(&self, body: &'m Body<'m>, present: &mut Present<'m>) {
        let mut pairs = vec![(BODY, body::ROOT)];
        while let Some((place, there)) = pairs.pop() {
            let values = body.values_at(there);
            if !values.is_empty() {
                present.add(place, values);
            }
            let children = &self.node(place).children;
            if children.len() <= body.child_count(there) {
                for (segment, child) in children {
                    pairs.extend(body.child(there, segment).map(|below| (*child, below)));
                }
            } else {
                for (segment, below) in body.children(there) {
                    pairs.extend(children.get(segment).map(|child| (*child, below)));
                }
            }
        }
    }

    fn node(&self, place: Place) -> &Node {
        &self.nodes[place as usize]
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

    /// Whether nothing is left of what was inserted.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let unused = |node: &Node| node.children.is_empty() && node.uses == 0 && node.field.is_none();
        let gone = self.nodes.len() == ROOTS + self.free.len() && self.nodes.iter().all(unused);
        gone && self.absent.iter().all(BTreeSet::is_empty)
    }
}
