//! Filter policies that a subscriber wrote, over messages that a publisher wrote.

use bolero::TypeGenerator;
use tsugite_filter::{Attribute, Index, Message, Policy, Scope};

use crate::{Edits, damage};

const POLICIES: [&str; 6] = [
    r#"{"store":["a","b",null,true,-1.5e3],"event":[{"anything-but":["x","y"]}],"n":[{"numeric":[">",0,"<=",100]}]}"#,
    r#"{"a":{"b":[{"prefix":"x"},{"suffix":"y"}],"c.d":[{"exists":false},{"equals-ignore-case":"É"}]}}"#,
    r#"{"k":["a"],"$or":[{"n":[1]},{"a":{"$or":[{"b":[2]},{"c":[{"exists":true}]}]}}]}"#,
    r#"{"ip":[{"cidr":"10.0.0.0/8"},{"cidr":"2001:db8::/32"},{"wildcard":"a*b\\*c"}],"k":[{"anything-but":{"prefix":"z"}}]}"#,
    r#"{"n":[{"numeric":["=",3.0]},{"numeric":["<",-1e2]}],"k":[{"anything-but":{"suffix":"z"}},{"prefix":""}]}"#,
    "{}",
];
const BODIES: [&str; 3] = [
    r#"{"store":"a","event":["z"],"n":1e2,"k":["a",null,[true]],"ip":"10.1.2.3","a":[{"b":"xy"},{"b":2,"c.d":"é"}]}"#,
    r#"{"a.b":2,"a":{"c":{"d":false}},"n":3,"n":-200,"k":"\ud83d\ude00b","ip":"2001:db8::1"}"#,
    "[{}]",
];
const NAMES: [&str; 8] = ["store", "event", "n", "k", "ip", "a", "a.b", "$or"];
const TYPES: [&str; 5] = ["String", "Number", "String.Array", "Binary", "Number.x"];
const VALUES: [&str; 8] = [
    "a",
    "3.00",
    "[\"a\",1,[null]]",
    "",
    "10.0.0.1",
    "-1500",
    "É",
    "ab*c",
];

/// A text from scratch, or an example with damage.
#[derive(Debug, TypeGenerator)]
enum Text {
    Raw(String),
    Damaged(u8, Edits),
}

impl Text {
    fn make(&self, examples: &[&str]) -> String {
        match self {
            Text::Raw(text) => text.clone(),
            Text::Damaged(example, edits) => {
                let example = examples[usize::from(*example) % examples.len()];
                String::from_utf8_lossy(&damage(example.as_bytes(), edits)).into_owned()
            }
        }
    }
}

type Input = (Vec<(Text, bool, bool)>, Vec<(u8, u8, Text)>, Option<Text>, u8);

#[test]
fn the_index_agrees_with_the_reference() {
    bolero::check!()
        .with_type::<Input>()
        .for_each(|(policies, attributes, body, removed)| {
            let scope = |body: bool| match body {
                true => Scope::MessageBody,
                false => Scope::MessageAttributes,
            };
            let policies: Vec<Policy> = policies
                .iter()
                .filter_map(|(text, body, extensions)| {
                    Policy::parse(&text.make(&POLICIES), scope(*body), *extensions).ok()
                })
                .collect();
            let texts: Vec<String> = attributes.iter().map(|(_, _, text)| text.make(&VALUES)).collect();
            let attributes = attributes
                .iter()
                .zip(&texts)
                .map(|((name, data_type, _), text)| Attribute {
                    name: NAMES[usize::from(*name) % NAMES.len()],
                    data_type: TYPES[usize::from(*data_type) % TYPES.len()],
                    text: Some(text),
                });
            let body = body.as_ref().map(|body| body.make(&BODIES));
            let message = Message::new(attributes, body.as_deref());
            let mut index = Index::new();
            for (key, policy) in policies.iter().enumerate() {
                index.insert(key, policy);
                assert!((1..=150).contains(&policy.complexity()), "{}", policy.text());
                assert_eq!(
                    policy.explain(&message).is_empty(),
                    policy.matches(&message),
                    "{}",
                    policy.text()
                );
            }
            let gone = usize::from(*removed);
            index.remove(gone);
            let mut found = Vec::new();
            index.matching(&message, &mut found);
            let expected: Vec<usize> = policies
                .iter()
                .enumerate()
                .filter(|(key, policy)| *key != gone && policy.matches(&message))
                .map(|(key, _)| key)
                .collect();
            assert_eq!(found, expected);
        });
}

#[test]
fn policies_are_read_or_refused() {
    bolero::check!()
        .with_type::<(Text, bool, bool)>()
        .for_each(|(text, body, extensions)| {
            let text = text.make(&POLICIES);
            let scope = if *body {
                Scope::MessageBody
            } else {
                Scope::MessageAttributes
            };
            match Policy::parse(&text, scope, *extensions) {
                Ok(policy) => {
                    assert_eq!(policy.text(), text);
                    // What AWS takes means the same with extensions.
                    let wider = Policy::parse(&text, scope, true).expect("extensions only add");
                    assert_eq!(wider.complexity(), policy.complexity());
                }
                Err(error) => assert!(error.message.starts_with("Filter"), "{error}"),
            }
        });
}
