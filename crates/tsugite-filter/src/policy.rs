//! A parsed policy, and the plain matcher that says what it means.

use std::sync::Arc;

use crate::message::{Message, Value};
use crate::parse;
use crate::rule::Rule;

/// What the keys of a policy name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Message attributes.
    #[default]
    MessageAttributes,
    /// Members of the body, which is a JSON object.
    MessageBody,
}

/// A filter policy. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Policy(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    text: Box<str>,
    complexity: u32,
    meaning: Meaning,
}

/// What a policy means, however it is written: policies with the same meaning share one entry of an index.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Meaning {
    pub(crate) scope: Scope,
    pub(crate) tree: Tree,
}

/// Keys and how they are joined. A key has the name of an attribute or a dotted path in the body; an index puts
/// numbers in their place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Tree<Name = Arc<str>> {
    /// Every one must be satisfied; none: always.
    All(Vec<Tree<Name>>),
    /// `$or`: at least one must be satisfied.
    Any(Vec<Tree<Name>>),
    Key(Key<Name>),
}

/// A key with its rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key<Name = Arc<str>> {
    pub(crate) name: Name,
    /// At least one.
    pub(crate) rules: Arc<[Rule]>,
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// In the words of AWS as far as they are known, what comes after `Invalid parameter: ` or, in Subscribe,
    /// `Invalid parameter: Attributes Reason: `; in most cases it begins with `FilterPolicy: `. Where the fault has a
    /// place, a second line names it as AWS does.
    pub message: String,
}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Parses a policy and checks its limits. `extensions` admits what AWS refuses: the rules `wildcard` and
    /// `anything-but` with `suffix`.
    ///
    /// `{}` is a policy that admits every message: AWS takes it as the removal of a policy.
    pub fn parse(text: &str, scope: Scope, extensions: bool) -> Result<Policy, PolicyError> {
        let (tree, complexity) = parse::parse(text, scope, extensions)?;
        Ok(Policy(Arc::new(Parsed {
            text: text.into(),
            complexity,
            meaning: Meaning { scope, tree },
        })))
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What its keys name.
    pub fn scope(&self) -> Scope {
        self.0.meaning.scope
    }

    /// What AWS limits to 150: the product over the keys of the number of rules times the depth of the key, where
    /// the alternatives of an `$or` are added.
    pub fn complexity(&self) -> u32 {
        self.0.complexity
    }

    /// Whether it is `{}`, which admits every message.
    pub fn is_empty(&self) -> bool {
        matches!(&self.0.meaning.tree, Tree::All(all) if all.is_empty())
    }

    /// Whether it admits a message. This is the reference: every other way to find out must agree.
    pub fn matches(&self, message: &Message<'_>) -> bool {
        let values = |name: &Arc<str>| message.values(self.scope(), name);
        self.is_empty() || (message.offers(self.scope()) && self.meaning().tree.matches(&values))
    }

    pub(crate) fn meaning(&self) -> &Meaning {
        &self.0.meaning
    }
}

impl<Name> Tree<Name> {
    /// Whether a message is admitted that has these `values` for a name.
    pub(crate) fn matches<'m>(&self, values: &impl Fn(&Name) -> &'m [Value<'m>]) -> bool {
        match self {
            Tree::All(parts) => parts.iter().all(|part| part.matches(values)),
            Tree::Any(parts) => parts.iter().any(|part| part.matches(values)),
            Tree::Key(key) => key.admits(values(&key.name)),
        }
    }

    /// The same with other names.
    pub(crate) fn rename<Other>(&self, rename: &mut impl FnMut(&Name) -> Other) -> Tree<Other> {
        match self {
            Tree::All(parts) => Tree::All(parts.iter().map(|part| part.rename(rename)).collect()),
            Tree::Any(parts) => Tree::Any(parts.iter().map(|part| part.rename(rename)).collect()),
            Tree::Key(key) => Tree::Key(Key {
                name: rename(&key.name),
                rules: key.rules.clone(),
            }),
        }
    }

    /// All keys in their order.
    pub(crate) fn keys(&self) -> Vec<&Key<Name>> {
        fn gather<'a, Name>(tree: &'a Tree<Name>, into: &mut Vec<&'a Key<Name>>) {
            match tree {
                Tree::All(parts) | Tree::Any(parts) => parts.iter().for_each(|part| gather(part, into)),
                Tree::Key(key) => into.push(key),
            }
        }
        let mut all = Vec::new();
        gather(self, &mut all);
        all
    }
}

impl<Name> Key<Name> {
    /// Whether any of its rules admits the values.
    pub(crate) fn admits(&self, values: &[Value<'_>]) -> bool {
        self.rules.iter().any(|rule| rule.admits(values))
    }
}
