//! Through which of its keys a policy is found.
//!
//! A *cover* is a set of keys such that every message that the policy admits satisfies at least one of them. A key
//! covers itself; all of several parts are covered by the cover of any one of them; an `$or` by the covers of all
//! its alternatives together. So an index that finds an entry through each rule of each key of its cover never
//! misses one, whatever else it does, and the choice is only about how often it looks in vain.

use std::sync::Arc;

use super::fields::Place;
use crate::policy::{Key, Tree};

/// A cover, and how many times a message is led to the policy through it, in millionths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cover<Name = Place> {
    pub(super) keys: Vec<Key<Name>>,
    odds: usize,
}

impl<Name: PartialEq> Cover<Name> {
    /// Whether a key, which is of the same policy, is part of it.
    pub(super) fn has(&self, key: &Key<Name>) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|own| own.name == key.name && Arc::ptr_eq(&own.rules, &key.rules))
    }
}

/// The cover with the poorest odds, the first of several; `None` if nothing covers the policy, which then admits every message.
pub(super) fn choose<Name: Clone>(
    tree: &Tree<Name>,
    odds: &impl Fn(&Key<Name>) -> usize,
) -> Option<Cover<Name>> {
    match tree {
        Tree::Key(key) => Some(Cover {
            keys: vec![key.clone()],
            odds: odds(key),
        }),
        Tree::All(parts) => {
            let covers = parts.iter().filter_map(|part| choose(part, odds));
            covers.min_by_key(|cover| cover.odds)
        }
        Tree::Any(parts) => {
            let covers = parts
                .iter()
                .map(|part| choose(part, odds))
                .collect::<Option<Vec<_>>>()?;
            Some(Cover {
                odds: covers
                    .iter()
                    .map(|cover| cover.odds)
                    .fold(0, usize::saturating_add),
                keys: covers.into_iter().flat_map(|cover| cover.keys).collect(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Policy, Scope};

    /// The names of the chosen keys, where a key's odds are as many as its rules.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let policy = Policy::parse(text, Scope::MessageBody, false).expect(text);
        let tree = &policy.meaning().tree;
        let cover = choose(tree, &|key| key.rules.len());
        let keys = cover.iter().flat_map(|cover| &cover.keys);
        let names: Vec<&str> = keys.map(|key| &*key.name).collect();
        assert_eq!(names, expected, "{text}");
    }

    #[test]
    fn the_cover_with_the_poorest_odds_is_chosen() {
        check("{}", &[]);
        check(r#"{"a":[1,2],"b":[1],"c":[1]}"#, &["b"]);
        check(r#"{"a":{"x":[1,2],"y":[1]},"b":[1,2]}"#, &["a.y"]);
        check(r#"{"a":[1,2],"$or":[{"b":[1],"c":[1,2]},{"d":[1]}]}"#, &["a"]);
        check(
            r#"{"a":[1,2,3],"$or":[{"b":[1,2],"c":[1]},{"d":[1]}]}"#,
            &["c", "d"],
        );
        check(
            r#"{"$or":[{"b":[1]},{"$or":[{"c":[1]},{"d":[1]}]}],"z":[1,2,3]}"#,
            &["b", "c", "d"],
        );
    }
}
