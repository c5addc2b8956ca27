//! Through which of its keys a policy is found.
//!
//! A *cover* is a set of keys such that every message that the policy admits satisfies at least one of them. A key
//! covers itself; all of several parts are covered by the cover of any one of them; an `$or` by the covers of all
//! its alternatives together. So an index that finds an entry through each rule of each key of its cover never
//! misses one, whatever else it does, and the choice is only about how often it looks in vain.

use crate::policy::{Key, Tree};

/// A cover: keys by their place among all keys of the policy, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cover {
    pub(super) keys: Vec<usize>,
    cost: usize,
}

/// The cheapest cover, the first of several; `None` if nothing covers the policy, which then admits every message.
pub(super) fn choose<Name>(tree: &Tree<Name>, cost: &impl Fn(&Key<Name>) -> usize) -> Option<Cover> {
    cheapest(tree, cost, &mut 0)
}

/// `place` is that of the next key.
fn cheapest<Name>(
    tree: &Tree<Name>,
    cost: &impl Fn(&Key<Name>) -> usize,
    place: &mut usize,
) -> Option<Cover> {
    match tree {
        Tree::Key(key) => {
            *place += 1;
            Some(Cover {
                keys: vec![*place - 1],
                cost: cost(key),
            })
        }
        Tree::All(parts) => {
            let mut best: Option<Cover> = None;
            for part in parts {
                let cover = cheapest(part, cost, place);
                best = match (best, cover) {
                    (Some(best), Some(cover)) if cover.cost < best.cost => Some(cover),
                    (best, cover) => best.or(cover),
                };
            }
            best
        }
        Tree::Any(parts) => {
            // Every alternative is walked, so that places stay right even when one has no cover.
            let covers: Vec<Option<Cover>> = parts.iter().map(|part| cheapest(part, cost, place)).collect();
            covers
                .into_iter()
                .collect::<Option<Vec<Cover>>>()
                .map(|covers| Cover {
                    cost: covers
                        .iter()
                        .map(|cover| cover.cost)
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

    /// The names of the chosen keys, where a key costs as many as its rules.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let policy = Policy::parse(text, Scope::MessageBody, false).expect(text);
        let tree = &policy.meaning().tree;
        let cover = choose(tree, &|key| key.rules.len());
        let keys = tree.keys();
        let names: Vec<&str> = cover
            .iter()
            .flat_map(|cover| &cover.keys)
            .map(|key| &*keys[*key].name)
            .collect();
        assert_eq!(names, expected, "{text}");
    }

    #[test]
    fn the_cheapest_cover_is_chosen() {
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
