//! A quick look at a found policy before the whole one.
//!
//! The keys through which a policy is found say nothing of its other keys, and to look at those costs memory that is
//! far away. So an entry carries, for one other key whose rules are all exact texts, one of 64 marks for each of
//! these texts. A message whose texts under that key have none of the marks has none of the texts.

use super::cover::Cover;
use super::fields::{Place, Present};
use crate::message::Value;
use crate::policy::Tree;
use crate::rule::{Rule, Scalar};

/// The marks of one key of a policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    place: Place,
    /// All for one that lets everything through.
    marks: u64,
}

impl Guard {
    /// Lets everything through.
    pub(super) const NONE: Guard = Guard {
        place: 0,
        marks: u64::MAX,
    };

    /// The strictest of the keys that every message has to satisfy, without those of the cover.
    pub(super) fn of(tree: &Tree<Place>, cover: Option<&Cover>) -> Guard {
        let (Tree::All(parts), Some(cover)) = (tree, cover) else {
            return Guard::NONE;
        };
        let guards = parts.iter().filter_map(|part| match part {
            Tree::Key(key) if !cover.has(key) => Some(Guard {
                place: key.name,
                marks: marks_of_rules(&key.rules)?,
            }),
            _ => None,
        });
        guards
            .min_by_key(|guard| guard.marks.count_ones())
            .unwrap_or(Guard::NONE)
    }

    /// Whether the policy may admit the message.
    pub(super) fn lets_through(&self, present: &Present<'_>) -> bool {
        self.marks == u64::MAX || present.marks(self.place) & self.marks != 0
    }
}

/// The marks of rules that are all exact texts.
fn marks_of_rules(rules: &[Rule]) -> Option<u64> {
    let mark = |rule: &Rule| match rule {
        Rule::Equals(Scalar::Text(text)) => Some(mark(text)),
        _ => None,
    };
    rules
        .iter()
        .map(mark)
        .try_fold(0, |marks, mark| Some(marks | mark?))
}

/// The marks of those values that are texts.
pub(super) fn marks_of(values: &[Value<'_>]) -> u64 {
    let mark = |value: &Value<'_>| match value {
        Value::Text(text) => mark(text),
        _ => 0,
    };
    values.iter().fold(0, |marks, value| marks | mark(value))
}

/// One bit of 64, from the last bytes of a text and its length: where identifiers differ. Two texts with the same mark
/// cost a look, no more, so that nobody gains by making many.
fn mark(text: &str) -> u64 {
    let end = text
        .as_bytes()
        .last_chunk::<8>()
        .map(|end| u64::from_le_bytes(*end));
    let end = end.unwrap_or_else(|| text.bytes().fold(0, |bytes, byte| bytes << 8 | u64::from(byte)));
    let mixed = (end ^ text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    1 << (mixed >> 58)
}
