//! What people read about a message that did not come.

use tsugite_filter::{Attribute, Message, Policy, Scope};

#[track_caller]
fn check(policy: &str, body: &str, expected: &[&str]) {
    let policy = Policy::parse(policy, Scope::MessageBody, true).expect(policy);
    let reasons = policy.explain(&Message::new([], Some(body)));
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(reasons, expected);
}

#[test]
fn each_failing_key_has_its_sentence() {
    check(
        r#"{"price":[{"numeric":[">=",100]}],"event":["paid"],"ok":[true]}"#,
        r#"{"price":12,"ok":true}"#,
        &[
            "key `price`: 12 is not in numeric [>=, 100]",
            "key `event` is absent",
        ],
    );
    check(
        r#"{"a":{"b":["x"]}}"#,
        r#"{"a":{"b":"y"}}"#,
        &["key `a.b`: \"y\" is not \"x\""],
    );
    check(
        r#"{"k":[{"numeric":[">",0,"<=",5.50]}]}"#,
        r#"{"k":[6,"5"]}"#,
        &["key `k`: 6, \"5\" is not in numeric [>, 0, <=, 5.5]"],
    );
    check(
        r#"{"k":[{"numeric":["=",5]}]}"#,
        r#"{"k":6}"#,
        &["key `k`: 6 is not in numeric [=, 5]"],
    );
    check(
        r#"{"k":[{"anything-but":["a","b"]}]}"#,
        r#"{"k":"a"}"#,
        &["key `k`: \"a\" is excluded by anything-but [\"a\", \"b\"]"],
    );
    check(
        r#"{"k":[{"exists":false}]}"#,
        r#"{"k":null}"#,
        &["key `k` is present: null"],
    );
    check(
        r#"{"k":[{"exists":true}]}"#,
        r#"{"k":[]}"#,
        &["key `k` is absent"],
    );
    check(
        r#"{"k":[{"cidr":"10.0.0.1/8"}]}"#,
        r#"{"k":"11.0.0.1"}"#,
        &["key `k`: \"11.0.0.1\" does not satisfy cidr 10.0.0.0/8"],
    );
    check(
        r#"{"k":["a",1,null,{"prefix":"b"},{"suffix":"c"},{"equals-ignore-case":"D"}]}"#,
        r#"{"k":false}"#,
        &["key `k`: false satisfies none of \"a\", 1, null, prefix \"b\", suffix \"c\" and 1 more"],
    );
    check(
        r#"{"k":[{"wildcard":"a*b"},{"anything-but":{"prefix":"x"}},{"exists":false}]}"#,
        r#"{"k":"xyz"}"#,
        &["key `k`: \"xyz\" satisfies none of wildcard \"a*b\", anything-but prefix \"x\", exists false"],
    );
}

#[test]
fn alternatives_have_theirs() {
    check(
        r#"{"k":["a"],"$or":[{"x":[1]},{"y":[1],"z":[1]}]}"#,
        r#"{"k":"a","x":2,"y":1}"#,
        &[
            "$or, alternative 1 of 2: key `x`: 2 is not 1",
            "$or, alternative 2 of 2: key `z` is absent",
        ],
    );
    // One that is satisfied leaves nothing to say of the others.
    check(
        r#"{"k":["a"],"$or":[{"x":[1]},{"y":[1]}]}"#,
        r#"{"k":"b","y":1}"#,
        &["key `k`: \"b\" is not \"a\""],
    );
}

#[test]
fn a_body_that_is_no_object_is_one_reason() {
    check(
        r#"{"k":["a"],"j":["b"]}"#,
        "hello",
        &["the body is not a JSON object"],
    );
    check(r#"{"k":["a"]}"#, r#"{"k":"a"}"#, &[]);
}

#[test]
fn attributes_are_explained_too() {
    let policy = Policy::parse(r#"{"k":[3]}"#, Scope::MessageAttributes, false).expect("a policy");
    let attribute = |data_type, text| Attribute {
        name: "k",
        data_type,
        text,
    };
    for (attribute, expected) in [
        (attribute("String", Some("3")), "key `k`: \"3\" is not 3"),
        (attribute("Number", Some("3.10")), "key `k`: 3.10 is not 3"),
        (attribute("Binary", None), "key `k` is absent"),
    ] {
        let reasons = policy.explain(&Message::new([attribute], None));
        assert_eq!(reasons.len(), 1);
        assert_eq!(
            (reasons[0].key.as_deref(), reasons[0].to_string().as_str()),
            (Some("k"), expected)
        );
    }
}
