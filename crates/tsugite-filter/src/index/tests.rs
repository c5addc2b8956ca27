//! The index gives what the reference gives, whatever came and went before, and keeps nothing of what went.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Index;
use crate::{Attribute, Message, Policy, Scope};

/// Few values, so that rules and messages meet.
fn scalar() -> impl Strategy<Value = String> {
    let text = "[aAbß]{0,3}".prop_map(|text| format!("{text:?}"));
    let number = (-3_i32..4, 0_u32..3).prop_map(|(n, zeros)| match zeros {
        0 => n.to_string(),
        zeros => format!("{n}.5{}", "0".repeat(zeros as usize)),
    });
    let address = (0_u8..3, 0_u8..3).prop_map(|(a, b)| format!("\"10.0.{a}.{b}\""));
    let word = prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned);
    prop_oneof![4 => text, 3 => number, 1 => address, 1 => word]
}

fn rule() -> impl Strategy<Value = String> {
    let affix = || "[aAb]{0,2}";
    let scalars = || prop::collection::vec(scalar(), 1..3).prop_map(|all| format!("[{}]", all.join(",")));
    let range =
        (prop::bool::ANY, -3_i32..3, prop::bool::ANY, 1_i32..4).prop_map(|(open, low, closed, size)| {
            let (above, below) = (if open { ">" } else { ">=" }, if closed { "<=" } else { "<" });
            format!("{{\"numeric\":[{above:?},{low},{below:?},{}]}}", low + size)
        });
    let half = (prop::sample::select(vec!["<", "<=", ">", ">=", "="]), -3_i32..4)
        .prop_map(|(operator, number)| format!("{{\"numeric\":[{operator:?},{number}.0]}}"));
    prop_oneof![
        6 => scalar(),
        2 => affix().prop_map(|text| format!("{{\"prefix\":{text:?}}}")),
        2 => affix().prop_map(|text| format!("{{\"suffix\":{text:?}}}")),
        1 => affix().prop_map(|text| format!("{{\"equals-ignore-case\":{text:?}}}")),
        2 => scalars().prop_map(|all| format!("{{\"anything-but\":{all}}}")),
        1 => "[ab]".prop_map(|text| format!("{{\"anything-but\":{{\"prefix\":{text:?}}}}}")),
        1 => "[ab]".prop_map(|text| format!("{{\"anything-but\":{{\"suffix\":{text:?}}}}}")),
        2 => range,
        2 => half,
        2 => prop::bool::ANY.prop_map(|wanted| format!("{{\"exists\":{wanted}}}")),
        1 => (0_u8..3, 20_u8..33).prop_map(|(a, bits)| format!("{{\"cidr\":\"10.0.{a}.1/{bits}\"}}")),
        1 => "[ab]{0,1}\\*[ab]{0,1}".prop_map(|text| format!("{{\"wildcard\":{text:?}}}")),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["k", "j", "k.j", "", "k.j.k"])
}

/// An object of rules; with names twice or beyond the limits it will be refused, which is no harm.
fn policy() -> impl Strategy<Value = String> {
    let rules = || prop::collection::vec(rule(), 1..4).prop_map(|rules| format!("[{}]", rules.join(",")));
    let leaf = (name(), rules()).prop_map(|(name, rules)| format!("{name:?}:{rules}"));
    let member = leaf.prop_recursive(3, 12, 3, |member| {
        let object =
            prop::collection::vec(member, 1..3).prop_map(|members| format!("{{{}}}", members.join(",")));
        prop_oneof![
            (name(), object.clone()).prop_map(|(name, object)| format!("{name:?}:{object}")),
            prop::collection::vec(object, 2..4).prop_map(|all| format!("\"$or\":[{}]", all.join(","))),
        ]
    });
    prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn body() -> impl Strategy<Value = String> {
    let value = scalar().prop_recursive(4, 16, 3, |value| {
        let member = (name(), value.clone()).prop_map(|(name, value)| format!("{name:?}:{value}"));
        prop_oneof![
            prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
            prop::collection::vec(value, 0..3).prop_map(|values| format!("[{}]", values.join(","))),
        ]
    });
    let member = (name(), value).prop_map(|(name, value)| format!("{name:?}:{value}"));
    let object = prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")));
    prop_oneof![9 => object, 1 => scalar()]
}

/// Name, type and value of an attribute.
fn attribute() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let array = prop::collection::vec(scalar(), 0..4)
        .prop_map(|all| ("String.Array", format!("[{}]", all.join(","))));
    let text = "[aAb]{0,3}|10\\.0\\.[0-2]\\.[0-2]".prop_map(|text| ("String", text));
    let number = (-3_i32..4).prop_map(|number| ("Number", format!("{number}.0")));
    let binary = Just(("Binary", String::new()));
    let typed = prop_oneof![3 => array, 4 => text, 3 => number, 1 => binary];
    (name(), typed).prop_map(|(name, (data_type, text))| (name, data_type, text))
}

fn scope() -> impl Strategy<Value = Scope> {
    prop::sample::select(vec![Scope::MessageAttributes, Scope::MessageBody])
}

/// What a key gets: a policy, or the lack of one.
type Step = (u8, Option<(String, Scope)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let policy = prop_oneof![3 => (policy(), scope()).prop_map(Some), 1 => Just(None)];
    prop::collection::vec((0_u8..16, policy), 0..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_index_is_the_reference(
        steps in steps(),
        messages in prop::collection::vec((prop::collection::vec(attribute(), 0..4), prop::option::of(body())), 1..6),
    ) {
        let mut index = Index::new();
        let mut reference = BTreeMap::new();
        for (key, given) in steps {
            match given.map(|(text, scope)| Policy::parse(&text, scope, true)) {
                Some(Ok(policy)) => {
                    index.insert(key, &policy);
                    reference.insert(key, policy);
                }
                Some(Err(_)) => {}
                None => {
                    index.remove(key);
                    reference.remove(&key);
                }
            }
        }
        prop_assert_eq!(index.len(), reference.len());
        for (attributes, body) in &messages {
            let attributes = attributes.iter().map(|(name, data_type, text)| Attribute {
                name,
                data_type,
                text: (*data_type != "Binary").then_some(text.as_str()),
            });
            let message = Message::new(attributes, body.as_deref());
            let expected: Vec<u8> =
                reference.iter().filter(|(_, policy)| policy.matches(&message)).map(|(key, _)| *key).collect();
            let mut found = vec![200]; // What stands there already stays.
            index.matching(&message, &mut found);
            prop_assert_eq!(found.split_off(1), expected);
            for policy in reference.values() {
                prop_assert_eq!(policy.explain(&message).is_empty(), policy.matches(&message));
            }
        }
        for key in reference.into_keys() {
            index.remove(key);
        }
        check_empty(&index);
    }
}

fn check_empty(index: &Index<u8>) {
    assert!(index.is_empty());
    assert!(index.fields.is_empty(), "fields are left");
    assert!(index.always.is_empty() && index.by_meaning.is_empty() && !index.reads_bodies());
    assert_eq!(index.free.len(), index.entries.len(), "entries are left");
    assert!(
        index
            .entries
            .iter()
            .all(|entry| entry.policy.is_none() && entry.keys.is_empty())
    );
}

fn parse(text: &str) -> Policy {
    Policy::parse(text, Scope::MessageAttributes, false).expect(text)
}

fn matching(index: &Index<u32>, text: &str) -> Vec<u32> {
    let attribute = Attribute {
        name: "k",
        data_type: "String",
        text: Some(text),
    };
    let mut found = Vec::new();
    index.matching(&Message::new([attribute], None), &mut found);
    found
}

#[test]
fn one_meaning_is_one_entry() {
    let mut index = Index::new();
    for key in (0..1000).rev() {
        let spaces = " ".repeat(key as usize % 7);
        index.insert(key, &parse(&format!("{{\"k\":[{spaces}\"a\"]}}")));
    }
    assert_eq!((index.len(), index.entries.len()), (1000, 1));
    assert_eq!(matching(&index, "a"), (0..1000).collect::<Vec<_>>());
    assert_eq!(matching(&index, "b"), []);
    for key in 1..1000 {
        index.remove(key);
    }
    assert_eq!(matching(&index, "a"), [0]);
}

#[test]
fn another_policy_replaces_the_first() {
    let mut index = Index::new();
    index.insert(7, &parse(r#"{"k":["a"]}"#));
    index.insert(7, &parse(r#"{"k":["b"]}"#));
    index.insert(8, &parse("{}"));
    assert_eq!(
        (index.len(), matching(&index, "a"), matching(&index, "b")),
        (2, vec![8], vec![7, 8])
    );
    index.remove(7);
    index.remove(7);
    assert_eq!((index.len(), matching(&index, "b")), (1, vec![8]));
}

/// How many entries a message leads to, right or wrong.
fn looked_at(index: &Index<u32>, message: &Message<'_>) -> usize {
    let mut found = super::Found::none(index.entries.len());
    index.fields.find(message, &mut found);
    found.iter().count()
}

#[test]
fn the_rare_key_is_the_way_in() {
    // All want the same event, each its own customer; an index by the event would look at all of them.
    let mut index = Index::new();
    for key in 0..10_000_u32 {
        let text =
            format!(r#"{{"event":["order"],"k":["customer-{key}"],"price":[{{"numeric":[">=",{key}]}}]}}"#);
        index.insert(key, &parse(&text));
    }
    let attribute = |name, data_type, text| Attribute {
        name,
        data_type,
        text: Some(text),
    };
    let attributes = [
        attribute("event", "String", "order"),
        attribute("k", "String", "customer-77"),
        attribute("price", "Number", "5000"),
    ];
    let message = Message::new(attributes, None);
    let mut found = Vec::new();
    index.matching(&message, &mut found);
    assert_eq!(found, [77]);
    let count = looked_at(&index, &message);
    assert!(count < 50, "{count} entries for one match");
}

#[test]
fn a_wildcard_is_found_by_the_end_that_it_has() {
    let mut index = Index::new();
    for key in 0..999_u32 {
        let pattern = match key % 3 {
            0 => format!("*-end{key}"),
            1 => format!("begin{key}-*"),
            _ => format!("both{key}-*-z"),
        };
        let text = format!(r#"{{"k":[{{"wildcard":"{pattern}"}}]}}"#);
        let policy = Policy::parse(&text, Scope::MessageAttributes, true).expect("a policy");
        index.insert(key, &policy);
    }
    for (text, expected) in [("x-end3", 3), ("begin4-x", 4), ("both5-x-z", 5)] {
        assert_eq!(matching(&index, text), [expected], "{text}");
        let attribute = Attribute {
            name: "k",
            data_type: "String",
            text: Some(text),
        };
        let count = looked_at(&index, &Message::new([attribute], None));
        assert_eq!(count, 1, "{text} leads to others");
    }
    assert_eq!(matching(&index, "both5-x"), []);
}

#[test]
fn bodies_are_read_as_long_as_a_policy_looks_at_them() {
    let mut index = Index::new();
    let of_body = Policy::parse(r#"{"k":["a"]}"#, Scope::MessageBody, false).expect("a policy");
    index.insert(1, &parse(r#"{"k":["a"]}"#));
    assert!(!index.reads_bodies());
    index.insert(2, &of_body);
    index.insert(3, &of_body);
    index.remove(3);
    assert!(index.reads_bodies());
    index.remove(2);
    assert!(!index.reads_bodies());
}

#[test]
fn many_names_in_a_body_are_met_from_the_shorter_side() {
    let mut index = Index::new();
    for key in 0..10_000_u32 {
        let text = format!(r#"{{"tenant{key}":{{"event":["order"]}}}}"#);
        index.insert(
            key,
            &Policy::parse(&text, Scope::MessageBody, false).expect("a policy"),
        );
    }
    let message = Message::new(
        [],
        Some(r#"{"tenant5":{"event":"order"},"tenant6":{"event":"other"}}"#),
    );
    let mut found = Vec::new();
    index.matching(&message, &mut found);
    assert_eq!((found, looked_at(&index, &message)), (vec![5], 1));
}
