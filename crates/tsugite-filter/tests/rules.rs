//! What each rule admits, in tables; alone, in an index, and explained.

use tsugite_filter::{Attribute, Index, Message, Policy, Scope};

fn policy(text: &str, scope: Scope) -> Policy {
    Policy::parse(text, scope, true).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Attributes as `name:Type=value`.
fn attribute(written: &str) -> Attribute<'_> {
    let (name, rest) = written.split_once(':').expect("a name and a colon");
    let (data_type, text) = rest.split_once('=').expect("a type and an equals sign");
    Attribute {
        name,
        data_type,
        text: (!data_type.starts_with("Binary")).then_some(text),
    }
}

#[track_caller]
fn check(policy: &Policy, message: &Message<'_>, expected: bool, shown: &str) {
    let text = policy.text();
    assert_eq!(policy.matches(message), expected, "{text} on {shown}");
    assert_eq!(policy.explain(message).is_empty(), expected, "{text} on {shown}");
    let mut index = Index::new();
    index.insert(7, policy);
    let mut found = Vec::new();
    index.matching(message, &mut found);
    assert_eq!(found == [7], expected, "{text} in an index on {shown}");
}

/// Which messages a policy on attributes admits, and which it does not; a message is attributes with ` & ` between.
#[track_caller]
fn on_attributes(text: &str, admitted: &[&str], refused: &[&str]) {
    let policy = policy(text, Scope::MessageAttributes);
    for (message, expected) in admitted
        .iter()
        .map(|m| (m, true))
        .chain(refused.iter().map(|m| (m, false)))
    {
        let attributes = message.split(" & ").filter(|one| !one.is_empty()).map(attribute);
        let read = Message::new(attributes, Some("{\"k\":\"body\"}"));
        check(&policy, &read, expected, message);
    }
}

/// The same for a policy on the body.
#[track_caller]
fn on_body(text: &str, admitted: &[&str], refused: &[&str]) {
    let policy = policy(text, Scope::MessageBody);
    for (body, expected) in admitted
        .iter()
        .map(|m| (m, true))
        .chain(refused.iter().map(|m| (m, false)))
    {
        let read = Message::new([attribute("k:String=attribute")], Some(body));
        check(&policy, &read, expected, body);
    }
}

#[test]
fn strings_are_equal_to_themselves() {
    on_attributes(
        r#"{"k":["red","blue"]}"#,
        &[
            "k:String=red",
            "k:String.color=blue",
            r#"k:String.Array=["green","blue"]"#,
        ],
        &[
            "",
            "k:String=Red",
            "k:String=red ",
            r#"k:String.Array=["green"]"#,
            "K:String=red",
            "k:Binary=red",
        ],
    );
    on_body(
        r#"{"k":["red","blue"]}"#,
        &[r#"{"k":"red"}"#, r#"{"k":["x","blue"]}"#, r#"{"k":"r\u0065d"}"#],
        &[
            r#"{"k":"green"}"#,
            "{}",
            r#"{"k":{"k":"red"}}"#,
            "red",
            r#""red""#,
            r#"["red"]"#,
            "",
        ],
    );
}

#[test]
fn numbers_are_equal_as_numbers() {
    on_attributes(
        r#"{"k":[3, 0.1]}"#,
        &[
            "k:Number=3",
            "k:Number=3.0",
            "k:Number=+0.3e1",
            "k:Number.cents=0.10",
            "k:String.Array=[7,3]",
        ],
        &[
            "k:String=3",
            "k:Number=3.00001",
            "k:Number=-3",
            r#"k:String.Array=["3"]"#,
            "k:String.Array=[]",
        ],
    );
    on_attributes(r#"{"k":["3"]}"#, &["k:String=3"], &["k:Number=3"]);
    on_body(
        r#"{"k":[3e0]}"#,
        &[r#"{"k":3.00}"#],
        &[r#"{"k":"3"}"#, r#"{"k":3.0000000000000000001}"#],
    );
    on_body(
        r#"{"k":[1e400]}"#,
        &[r#"{"k":10e399}"#],
        &[r#"{"k":1e401}"#, r#"{"k":1e999}"#],
    );
}

#[test]
fn words_are_words() {
    on_attributes(
        r#"{"k":[true,null]}"#,
        &["k:String.Array=[true]", "k:String.Array=[null]"],
        &[
            "k:String=true",
            "k:String=null",
            "k:String.Array=[false]",
            r#"k:String.Array=["true"]"#,
        ],
    );
    on_body(
        r#"{"k":[null,false]}"#,
        &[r#"{"k":null}"#, r#"{"k":false}"#],
        &["{}", r#"{"k":true}"#, r#"{"k":0}"#, r#"{"k":""}"#],
    );
}

#[test]
fn beginnings_and_ends() {
    on_attributes(
        r#"{"k":[{"prefix":"auto-"}]}"#,
        &[
            "k:String=auto-",
            "k:String=auto-12",
            r#"k:String.Array=["x","auto-1"]"#,
        ],
        &["k:String=Auto-1", "k:String=auto", "", "k:Number=5"],
    );
    on_attributes(
        r#"{"k":[{"suffix":".png"}]}"#,
        &["k:String=.png", "k:String=a.png"],
        &["k:String=a.PNG", "k:String=a.png ", ""],
    );
    // The empty affix: any string, and nothing but strings.
    on_body(
        r#"{"k":[{"prefix":""}]}"#,
        &[r#"{"k":""}"#, r#"{"k":"x"}"#],
        &[r#"{"k":5}"#, r#"{"k":null}"#, "{}"],
    );
    on_body(r#"{"k":[{"suffix":""}]}"#, &[r#"{"k":""}"#], &[r#"{"k":true}"#]);
}

#[test]
fn case_can_be_ignored() {
    on_attributes(
        r#"{"k":[{"equals-ignore-case":"Tennis"}]}"#,
        &[
            "k:String=tennis",
            "k:String=TENNIS",
            r#"k:String.Array=["x","tenniS"]"#,
        ],
        &["k:String=tenni", "k:String=tennis ", ""],
    );
    on_attributes(
        r#"{"k":[{"equals-ignore-case":"ÉTÉ"}]}"#,
        &["k:String=été"],
        &["k:String=ete"],
    );
    on_attributes(
        r#"{"k":[{"equals-ignore-case":"ΟΔΟΣ"}]}"#,
        &["k:String=οδος", "k:String=οδοσ"],
        &[],
    );
    on_attributes(
        r#"{"k":[{"equals-ignore-case":"ß"}]}"#,
        &["k:String=ß", "k:String=ẞ"],
        &["k:String=ss"],
    );
}

#[test]
fn numeric_ranges() {
    on_attributes(
        r#"{"k":[{"numeric":[">",0,"<=",100]}]}"#,
        &[
            "k:Number=100",
            "k:Number=0.00001",
            "k:Number=99.99999",
            "k:String.Array=[0,5]",
        ],
        &[
            "k:Number=0",
            "k:Number=100.00001",
            "k:Number=-5",
            "k:String=5",
            "",
        ],
    );
    on_attributes(
        r#"{"k":[{"numeric":[">=",10]}]}"#,
        &["k:Number=10", "k:Number=1e999"],
        &["k:Number=9.99999"],
    );
    on_attributes(
        r#"{"k":[{"numeric":[">",10]}]}"#,
        &["k:Number=10.00001"],
        &["k:Number=10"],
    );
    on_attributes(
        r#"{"k":[{"numeric":["<",10]}]}"#,
        &["k:Number=-1e999"],
        &["k:Number=10"],
    );
    on_attributes(
        r#"{"k":[{"numeric":["<=",10]}]}"#,
        &["k:Number=10"],
        &["k:Number=10.00001"],
    );
    on_attributes(
        r#"{"k":[{"numeric":["=",3.018e2]}]}"#,
        &["k:Number=301.8"],
        &["k:Number=301.80001"],
    );
    // Beyond what AWS documents, and as AWS not refused.
    on_attributes(
        r#"{"k":[{"numeric":[">",2000000000]}]}"#,
        &["k:Number=2000000001"],
        &["k:Number=2000000000"],
    );
}

#[test]
fn presence_and_absence() {
    on_attributes(
        r#"{"k":[{"exists":true}]}"#,
        &["k:String=", "k:Number=0", "k:String.Array=[null]"],
        &["", "j:String=", "k:Binary=", "k:String.Array=[]"],
    );
    on_attributes(
        r#"{"k":[{"exists":false}]}"#,
        &["", "j:String=k", "k:Binary=", "k:String.Array=[]"],
        &["k:String=", "k:Number=0"],
    );
    on_body(
        r#"{"k":[{"exists":false}]}"#,
        &[
            "{}",
            r#"{"k":[]}"#,
            r#"{"k":[[],[]]}"#,
            r#"{"k":{}}"#,
            r#"{"k":{"x":1}}"#,
        ],
        &[r#"{"k":null}"#, r#"{"k":[1]}"#, "", "[]", "hello"],
    );
    on_body(
        r#"{"k":{"x":[{"exists":true}]}}"#,
        &[r#"{"k":{"x":null}}"#, r#"{"k":[{"y":1},{"x":1}]}"#],
        &[r#"{"k":1}"#, r#"{"k":{"x":{"z":1}}}"#, r#"{"k":{"x":[]}}"#],
    );
}

#[test]
fn absence_satisfies_nothing_else() {
    for rule in [
        r#""x""#,
        "null",
        "0",
        r#"{"prefix":""}"#,
        r#"{"anything-but":"x"}"#,
        r#"{"anything-but":{"prefix":"x"}}"#,
        r#"{"numeric":["<",0]}"#,
        r#"{"exists":true}"#,
        r#"{"equals-ignore-case":""}"#,
        r#"{"cidr":"0.0.0.0/0"}"#,
        r#"{"wildcard":"*"}"#,
    ] {
        on_attributes(&format!("{{\"k\":[{rule}]}}"), &[], &["", "j:String=x"]);
        on_attributes(
            &format!("{{\"k\":[{rule},{{\"exists\":false}}]}}"),
            &["", "j:String=x"],
            &[],
        );
    }
}

#[test]
fn anything_but_excludes() {
    on_attributes(
        r#"{"k":[{"anything-but":["rugby","tennis"]}]}"#,
        &[
            "k:String=baseball",
            "k:Number=5",
            r#"k:String.Array=["baseball","golf"]"#,
            "k:String.Array=[null]",
        ],
        &[
            "k:String=rugby",
            "",
            r#"k:String.Array=["baseball","rugby"]"#,
            "k:String.Array=[]",
        ],
    );
    on_attributes(
        r#"{"k":[{"anything-but":"rugby"}]}"#,
        &["k:String=x"],
        &["k:String=rugby"],
    );
    on_attributes(
        r#"{"k":[{"anything-but":[100,500]}]}"#,
        &["k:Number=101", "k:String=100"],
        &["k:Number=100.0", "k:Number=5e2", "k:String.Array=[1,500]"],
    );
    on_body(
        r#"{"k":[{"anything-but":[null,true]}]}"#,
        &[r#"{"k":false}"#],
        &[r#"{"k":null}"#, r#"{"k":[1,true]}"#],
    );
    on_attributes(
        r#"{"k":[{"anything-but":{"prefix":"order-"}}]}"#,
        &["k:String=x", "k:Number=5", "k:String=order"],
        &["k:String=order-1", r#"k:String.Array=["x","order-1"]"#, ""],
    );
    on_attributes(
        r#"{"k":[{"anything-but":{"suffix":"ball"}}]}"#,
        &["k:String=tennis"],
        &["k:String=football", ""],
    );
}

#[test]
fn networks() {
    on_attributes(
        r#"{"k":[{"cidr":"10.0.0.0/24"}]}"#,
        &["k:String=10.0.0.0", "k:String=10.0.0.255"],
        &[
            "k:String=10.0.1.0",
            "k:String=10.0.0",
            "k:String=10.0.0.0/24",
            "k:String=::ffff:10.0.0.1",
            "k:Number=10",
        ],
    );
    on_attributes(
        r#"{"k":[{"cidr":"10.0.0.77/24"}]}"#,
        &["k:String=10.0.0.1"],
        &["k:String=10.0.1.77"],
    );
    on_attributes(
        r#"{"k":[{"cidr":"10.0.0.7/32"}]}"#,
        &["k:String=10.0.0.7"],
        &["k:String=10.0.0.6"],
    );
    on_attributes(
        r#"{"k":[{"cidr":"0.0.0.0/0"}]}"#,
        &["k:String=255.255.255.255"],
        &["k:String=::1"],
    );
    on_attributes(
        r#"{"k":[{"cidr":"2001:db8::/33"}]}"#,
        &["k:String=2001:db8:7fff::1", "k:String=2001:DB8:0:0:0:0:0:0"],
        &["k:String=2001:db8:8000::", "k:String=10.0.0.1"],
    );
}

#[test]
fn wildcards() {
    on_attributes(
        r#"{"k":[{"wildcard":"a*b*c"}]}"#,
        &[
            "k:String=abc",
            "k:String=a-b-c",
            "k:String=abbcc",
            "k:String=acbc",
        ],
        &[
            "k:String=ac",
            "k:String=abcd",
            "k:String=xabc",
            "k:String=acb",
            "",
        ],
    );
    on_attributes(
        r#"{"k":[{"wildcard":"*"}]}"#,
        &["k:String=", "k:String=x"],
        &["k:Number=5"],
    );
    on_attributes(
        r#"{"k":[{"wildcard":"*.png"}]}"#,
        &["k:String=.png"],
        &["k:String=png"],
    );
    on_attributes(
        r#"{"k":[{"wildcard":"a\\*\\\\"}]}"#,
        &[r"k:String=a*\"],
        &["k:String=ab"],
    );
    // Literals must not overlap.
    on_attributes(
        r#"{"k":[{"wildcard":"aa*aa"}]}"#,
        &["k:String=aaaa"],
        &["k:String=aaa"],
    );
    on_attributes(
        r#"{"k":[{"wildcard":"*ab*ab"}]}"#,
        &["k:String=abab"],
        &["k:String=ab"],
    );
}

#[test]
fn keys_and_rules_or() {
    on_attributes(
        r#"{"k":["a",{"prefix":"b"}],"j":[1]}"#,
        &["k:String=a & j:Number=1", "k:String=bb & j:Number=1 & l:String=x"],
        &["k:String=a", "j:Number=1", "k:String=a & j:Number=2"],
    );
    on_attributes("{}", &["", "k:String=a"], &[]);
    on_body("{}", &["{}", "no JSON"], &[]);
}

#[test]
fn alternatives() {
    on_attributes(
        r#"{"k":["a"],"$or":[{"x":[1]},{"y":[1],"z":[1]}]}"#,
        &["k:String=a & x:Number=1", "k:String=a & y:Number=1 & z:Number=1"],
        &[
            "k:String=a",
            "k:String=a & y:Number=1",
            "x:Number=1",
            "k:String=a & z:Number=1",
        ],
    );
    on_body(
        r#"{"d":{"s":["S"],"$or":[{"a":[1]},{"b":{"$or":[{"c":[2]},{"d":[2]}]}}]}}"#,
        &[
            r#"{"d":{"s":"S","a":1}}"#,
            r#"{"d":{"s":"S","b":{"d":2}}}"#,
            r#"{"d.s":"S","d.b.c":2}"#,
        ],
        &[
            r#"{"d":{"s":"S"}}"#,
            r#"{"d":{"a":1}}"#,
            r#"{"d":{"s":"S","b":{"c":1}}}"#,
            r#"{"s":"S","a":1}"#,
        ],
    );
    // With fewer than two alternatives, or with rules, `$or` is a key.
    on_attributes(r#"{"$or":["a"]}"#, &["$or:String=a"], &["a:String=a"]);
    on_attributes(
        r#"{"$or":[{"prefix":"a"},{"suffix":"b"}]}"#,
        &["$or:String=ax", "$or:String=xb"],
        &["prefix:String=a"],
    );
    on_body(r#"{"$or":{"k":[1]}}"#, &[r#"{"$or":{"k":1}}"#], &[r#"{"k":1}"#]);
}

#[test]
fn paths_in_the_body() {
    for policy in [
        r#"{"a":{"b":{"c":[1]}}}"#,
        r#"{"a.b":{"c":[1]}}"#,
        r#"{"a.b.c":[1]}"#,
    ] {
        on_body(
            policy,
            &[
                r#"{"a":{"b":{"c":1}}}"#,
                r#"{"a.b":{"c":1}}"#,
                r#"{"a":{"b.c":1}}"#,
                r#"{"a.b.c":1}"#,
                r#"{"a":[{"b":[[{"c":[0,1]}]]}]}"#,
            ],
            &[
                r#"{"a":{"b":{"c":2}}}"#,
                r#"{"c":1}"#,
                r#"{"a":{"b":1}}"#,
                r#"{"b":{"a":{"c":1}}}"#,
            ],
        );
    }
    // In attributes a dot is a dot.
    on_attributes(r#"{"a.b":[1]}"#, &["a.b:Number=1"], &["a:Number=1", "b:Number=1"]);
}

#[test]
fn scopes_do_not_see_one_another() {
    on_attributes(r#"{"k":["body"]}"#, &[], &[""]);
    on_body(r#"{"k":["attribute"]}"#, &[], &["{}"]);
    let policy = policy(r#"{"k":[{"exists":false}]}"#, Scope::MessageBody);
    assert!(!policy.matches(&Message::new([], None)));
}
