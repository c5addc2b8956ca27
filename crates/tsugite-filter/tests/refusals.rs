//! What is refused, in which words, and what is just within the limits.

use tsugite_filter::{Message, Policy, Scope};

#[track_caller]
fn refused_in(scope: Scope, extensions: bool, text: &str, expected: &str) {
    let error = Policy::parse(text, scope, extensions).expect_err(text);
    assert_eq!(error.message, expected, "{text}");
}

/// Refused with these words and, where there is a column, this place in the first line.
#[track_caller]
fn refused(text: &str, reason: &str, column: usize) {
    let place = format!("\n at [Source: (String)\"{text}\"; line: 1, column: {column}]");
    refused_in(
        Scope::MessageBody,
        false,
        text,
        &format!("FilterPolicy: {reason}{place}"),
    );
}

#[track_caller]
fn accepted(text: &str, complexity: u32) {
    let policy =
        Policy::parse(text, Scope::MessageBody, false).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!((policy.complexity(), policy.text()), (complexity, text));
}

fn values(count: usize) -> String {
    let values: Vec<String> = (0..count).map(|n| format!("\"v{n}\"")).collect();
    format!("[{}]", values.join(","))
}

#[test]
fn what_is_no_policy() {
    refused("", "failed to parse JSON. unexpected end of text", 1);
    refused(
        "{invalidjson}",
        "failed to parse JSON. expected a name in double quotes",
        2,
    );
    refused(
        "{\"k\":[1]} x",
        "failed to parse JSON. more text after the value",
        11,
    );
    refused("[1]", "Filter is not an object", 2);
    refused("\"{}\"", "Filter is not an object", 2);
    refused(
        r#"{"key_a":"value_one"}"#,
        "\"key_a\" must be an object or an array",
        11,
    );
    refused(
        r#"{"key":{"suffix":"value"}}"#,
        "\"suffix\" must be an object or an array",
        19,
    );
    refused(r#"{"k":null}"#, "\"k\" must be an object or an array", 10);
    refused(r#"{"k":{}}"#, "Empty objects are not allowed", 8);
    refused(r#"{"k":[]}"#, "Empty arrays are not allowed", 8);
    refused(r#"{"k":[1],"k":[2]}"#, "Key \"k\" appears more than once", 15);
}

#[test]
fn what_is_no_rule() {
    refused(
        r#"{"key":[["value"]]}"#,
        "Match value must be String, number, true, false, or null",
        10,
    );
    refused(
        r#"{"key":[{"wrong-operator":true}]}"#,
        "Unrecognized match type wrong-operator",
        31,
    );
    refused(
        r#"{"key":[{"wildcard":"a*"}]}"#,
        "Unrecognized match type wildcard",
        22,
    );
    refused(
        r#"{"key":[{"suffix":"value","prefix":"value2"}]}"#,
        "Only one key allowed in match expression",
        37,
    );
    refused(r#"{"key":[{}]}"#, "Match expression name not found", 11);
    refused(
        r#"{"key":[{"suffix":100}]}"#,
        "suffix match pattern must be a string",
        22,
    );
    refused(
        r#"{"key":[{"suffix":null}]}"#,
        "suffix match pattern must be a string",
        23,
    );
    refused(
        r#"{"key":[{"prefix":[]}]}"#,
        "prefix match pattern must be a string",
        20,
    );
    refused(
        r#"{"key":[{"equals-ignore-case":{}}]}"#,
        "equals-ignore-case match pattern must be a string",
        32,
    );
    let exists = "exists match pattern must be either true or false.";
    refused(r#"{"key":[{"exists":null}]}"#, exists, 23);
    refused(r#"{"key":[{"exists":"no"}]}"#, exists, 20);
    // One alternative is none, and then this is a rule.
    refused(r#"{"$or":[{"a":[1]}]}"#, "Unrecognized match type a", 15);
}

#[test]
fn numeric_expressions() {
    let numeric = |inner: &str, reason: &str, column: usize| {
        refused(&format!("{{\"key\":[{{\"numeric\":{inner}}}]}}"), reason, column);
    };
    numeric("5", "Value of numeric must be an array.", 21);
    numeric("[]", "Invalid member in numeric match: ]", 22);
    numeric("[1,\"<=\"]", "Invalid member in numeric match: 1", 22);
    numeric(
        "[\"operator\"]",
        "Unrecognized numeric range operator: operator",
        32,
    );
    numeric("[\"=\",\"000\"]", "Value of equals must be numeric", 26);
    numeric("[\">=\"]", "Value of >= must be numeric", 26);
    numeric(
        "[\"<\",100,\">\",10]",
        "Too many elements in numeric expression",
        30,
    );
    numeric("[\">=\",1,\">\",2]", "Bad numeric range operator: >", 31);
    numeric("[\">\",3,\"<\",1]", "Bottom must be less than top", 33);
    numeric("[\">=\",3,\"<=\",3.0]", "Bottom must be less than top", 37);
    numeric("[\">\",20,\"<=\"]", "Value of <= must be numeric", 33);
    numeric("[\">\",20,30]", "Bad value in numeric range: 30", 30);
    numeric("[\">\",20,\"test\"]", "Bad numeric range operator: test", 34);
    numeric("[\">\",\"20\",\"<\",\"30\"]", "Value of > must be numeric", 26);
    numeric("[\">\",20,\"<\",\"30\"]", "Value of < must be numeric", 33);
    numeric(
        "[\">\",20,\"<\",30,\"<\",50]",
        "Too many terms in numeric range expression",
        36,
    );
}

#[test]
fn what_anything_but_takes() {
    let but = |inner: &str, reason: &str, column: usize| {
        refused(
            &format!("{{\"key\":[{{\"anything-but\":{inner}}}]}}"),
            reason,
            column,
        );
    };
    but(
        "{\"wrong-operator\":null}",
        "Unsupported anything-but pattern: wrong-operator",
        47,
    );
    but(
        "{\"suffix\":\"test\"}",
        "Unsupported anything-but pattern: suffix",
        36,
    );
    but(
        "{\"exists\":false}",
        "Unsupported anything-but pattern: exists",
        40,
    );
    but("{\"prefix\":false}", "prefix match pattern must be a string", 40);
    but("{\"prefix\":\"\"}", "Null prefix/suffix not allowed", 36);
    but(
        "{\"prefix\":\"a\",\"b\":1}",
        "Only one key allowed in match expression",
        44,
    );
    but("{}", "Anything-But expression name not found", 27);
    but("[]", "Empty arrays are not allowed", 27);
    but(
        "[{}]",
        "Inside anything but list, only String, number, true, false, or null is supported",
        27,
    );
}

#[test]
fn networks() {
    let cidr = |inner: &str, reason: &str, column: usize| {
        refused(&format!("{{\"key\":[{{\"cidr\":{inner}}}]}}"), reason, column);
    };
    cidr("5", "prefix match pattern must be a string", 18);
    cidr("\"10.0.0.0\"", "Malformed CIDR, one '/' required", 18);
    cidr("\"10.0.0.0/8/8\"", "Malformed CIDR, one '/' required", 18);
    cidr(
        "\"10.0.0.0/x\"",
        "Malformed CIDR, mask bits must be an integer",
        18,
    );
    cidr(
        "\"10.0.0.0/-1\"",
        "Malformed CIDR, mask bits must not be negative",
        18,
    );
    cidr("\"10.0.0/8\"", "Nonstandard IP address: 10.0.0", 18);
    cidr("\"10.0.0.0/33\"", "IPv4 mask bits must be <= 32", 18);
    cidr("\"::/129\"", "IPv6 mask bits must be <= 128", 18);
}

#[test]
fn extensions_are_refused_unless_asked_for() {
    for text in [
        r#"{"k":[{"wildcard":"a*b"}]}"#,
        r#"{"k":[{"anything-but":{"suffix":"x"}}]}"#,
    ] {
        assert!(
            Policy::parse(text, Scope::MessageAttributes, false).is_err(),
            "{text}"
        );
        assert!(
            Policy::parse(text, Scope::MessageAttributes, true).is_ok(),
            "{text}"
        );
    }
    for (pattern, reason) in [
        (r#""a**b""#, "Consecutive wildcard characters"),
        (r#""a\\b""#, "Invalid escape character"),
        (r#""a\\""#, "Invalid escape character"),
        ("5", "wildcard match pattern must be a string"),
    ] {
        let text = format!("{{\"k\":[{{\"wildcard\":{pattern}}}]}}");
        let error = Policy::parse(&text, Scope::MessageAttributes, true).expect_err(&text);
        assert!(error.message.contains(reason), "{text}: {error}");
    }
}

#[test]
fn attributes_do_not_nest() {
    let message = "Filter policy scope MessageAttributes does not support nested filter policy";
    for text in [
        r#"{"object":{"key":[{"prefix":"auto-"}]}}"#,
        r#"{"$or":[{"a":[1]},{"b":{"c":[1]}}]}"#,
        r#"{"$or":{"k":[1]}}"#,
    ] {
        refused_in(Scope::MessageAttributes, false, text, message);
        assert!(Policy::parse(text, Scope::MessageBody, false).is_ok());
    }
}

#[test]
fn five_keys() {
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|n| format!("\"key{n}\":[1]")).collect();
        format!("{{{}}}", keys.join(","))
    };
    accepted(&keys(5), 1);
    let message = "FilterPolicy: Filter policy can not have more than 5 keys";
    refused_in(Scope::MessageBody, false, &keys(6), message);
    // Only those at the top are counted.
    accepted(&format!("{{\"a\":{}}}", keys(6)), 64);
    accepted(&format!("{{\"$or\":[{},{}]}}", keys(6), keys(6)), 2);
}

#[test]
fn complexity() {
    let message = "FilterPolicy: Filter policy is too complex";
    let check = |text: &str, complexity: u32| match complexity {
        0..=150 => accepted(text, complexity),
        _ => refused_in(Scope::MessageBody, false, text, message),
    };
    check("{}", 1);
    check(&format!("{{\"k\":{}}}", values(150)), 150);
    check(&format!("{{\"k\":{}}}", values(151)), 151);
    check(&format!("{{\"j\":{},\"k\":{}}}", values(100), values(51)), 5100);
    // 3 levels times 4, 2 levels times 3, and then times 3 more.
    let nested = format!(
        "\"a\":{{\"b\":{{\"c\":{}}}}},\"d\":{{\"e\":{}}}",
        values(4),
        values(3)
    );
    check(&format!("{{{nested}}}"), 72);
    check(&format!("{{{nested},\"f\":{}}}", values(3)), 216);
    // Four levels: 37 values fit and 38 do not.
    check(
        &format!("{{\"a\":{{\"b\":{{\"c\":{{\"d\":{}}}}}}}}}", values(37)),
        148,
    );
    check(
        &format!("{{\"a\":{{\"b\":{{\"c\":{{\"d\":{}}}}}}}}}", values(38)),
        152,
    );
    let or = |source, metric, kind, id, space| {
        format!(
            "{{\"source\":{},\"$or\":[{{\"m\":{}}},{{\"t\":{},\"$or\":[{{\"i\":{}}},{{\"s\":{}}}]}}]}}",
            values(source),
            values(metric),
            values(kind),
            values(id),
            values(space)
        )
    };
    check(&or(4, 6, 4, 4, 4), 152);
    check(&or(3, 6, 4, 4, 7), 150);
    let both = format!(
        "{{\"$or\":[{{\"m\":{}}},{{\"n\":{}}}],\"d\":{{\"s\":{},\"$or\":[{{\"o\":{}}},{{\"t\":{}}}]}}}}",
        values(3),
        values(2),
        values(2),
        values(1),
        values(3)
    );
    check(&both, 160);
    // So many that the product would overflow.
    let members: Vec<String> = (0..1000).map(|n| format!("\"k{n}\":[1,2]")).collect();
    check(&format!("{{\"a\":{{{}}}}}", members.join(",")), u32::MAX);
}

#[test]
fn long_texts() {
    let limit = 256 * 1024;
    let long = |bytes: usize| format!("{{\"k\":[\"{}\"]}}", "x".repeat(bytes - 10));
    accepted(&long(limit), 1);
    let message = format!(
        "FilterPolicy: Filter policy is too long: {} bytes, the limit is {limit}",
        limit + 1
    );
    refused_in(Scope::MessageBody, false, &long(limit + 1), &message);
}

#[test]
fn places_are_told_in_lines_and_columns() {
    let text = "{\n \"é\": [1],\n \"😀\": 5}";
    let place = format!("\n at [Source: (String)\"{text}\"; line: 3, column: 9]");
    let message = format!("FilterPolicy: \"😀\" must be an object or an array{place}");
    refused_in(Scope::MessageBody, false, text, &message);
    let long = format!("{{\"k\":[{}[]]}}", "1,".repeat(300));
    let error = Policy::parse(&long, Scope::MessageBody, false).expect_err("too many arrays");
    let expected = format!("\"{}\"[truncated 110 chars]; line: 1, column: 608]", &long[..500]);
    assert!(error.message.ends_with(&expected), "{error}");
}

#[test]
fn hostile_texts_are_refused_in_time() {
    let depth = 100_000;
    let many = |open: &str, close: &str| open.repeat(depth) + &close.repeat(depth);
    for text in [
        many("[", "]"),
        many("{\"k\":", "}"),
        many("{\"$or\":[", "]}"),
        "[".repeat(depth),
        "{\"a\":".repeat(50_000),
        format!("{{\"k\":[{}]}}", many("[", "]")),
        format!("{{\"k\":[{}]}}", "1,".repeat(100_000) + "1"),
        // Each path would repeat the long name.
        format!(
            "{{\"{}\":{{{}\"z\":[1]}}}}",
            "n".repeat(100_000),
            (0..9000).map(|n| format!("\"k{n}\":[1],")).collect::<String>()
        ),
        format!("{{{}\"z\":[1]}}", "\"k\":[1],".repeat(20_000)),
    ] {
        for scope in [Scope::MessageAttributes, Scope::MessageBody] {
            assert!(Policy::parse(&text, scope, true).is_err(), "{}…", &text[..30]);
        }
    }
    // Long digits, far exponents and lone surrogates are values like others.
    for text in [
        format!("{{\"k\":[{}]}}", "9".repeat(200_000)),
        "{\"k\":[1e999999999999999999999,-1e-999999999999999999999]}".into(),
        "{\"k\":[\"\\ud800\",{\"prefix\":\"\\udfff\"}]}".into(),
    ] {
        let policy = Policy::parse(&text, Scope::MessageBody, true).expect("a policy");
        let body = text.replace(",{\"prefix\":\"\\udfff\"}", "");
        assert!(policy.matches(&Message::new([], Some(&body))), "{}…", &text[..20]);
    }
}
