//! The language of policies, in tables.

use proptest::prelude::*;

use super::{Asker, Policy, Question, Verdict, pattern};

const QUEUE: &str = "arn:aws:sqs:us-east-1:111111111111:orders";
const ALICE: Asker<'_> = Asker::Principal("222222222222", "arn:aws:iam::222222222222:user/alice");
const SESSION: Asker<'_> = Asker::Principal(
    "222222222222",
    "arn:aws:sts::222222222222:assumed-role/deploy/session-1",
);
const SNS: Asker<'_> = Asker::Service("sns.amazonaws.com");

fn keys() -> Vec<(&'static str, String)> {
    [
        ("aws:SourceIp", "10.1.2.3"),
        ("aws:SecureTransport", "false"),
        ("aws:CurrentTime", "2026-01-02T03:04:05.000Z"),
        ("aws:EpochTime", "1767323045"),
        ("aws:UserAgent", "Boto3/1.43 md/Botocore"),
        ("aws:SourceArn", "arn:aws:sns:us-east-1:111111111111:events"),
        ("aws:SourceAccount", "111111111111"),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .to_vec()
}

/// A policy of one statement; `more` are its members beside those of a plain permission that it replaces.
fn one(more: &str) -> String {
    let mut statement =
        serde_json::json!({"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"});
    let given: serde_json::Value = serde_json::from_str(more).unwrap();
    for (key, value) in given.as_object().unwrap() {
        let members = statement.as_object_mut().unwrap();
        if let Some(replaced) = key.strip_prefix("Not") {
            members.remove(replaced);
        }
        members.insert(key.clone(), value.clone());
    }
    serde_json::json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn ask(policy: &str, asker: Asker<'_>, action: &str) -> Verdict {
    let policy = Policy::parse(policy).unwrap_or_else(|why| panic!("{policy}: {why}"));
    policy.evaluate(&Question {
        asker,
        action,
        resource: QUEUE,
        keys: &keys(),
    })
}

fn allows(more: &str, asker: Asker<'_>, expected: bool) {
    let verdict = ask(&one(more), asker, "SendMessage");
    let expected = if expected {
        Verdict::Allowed
    } else {
        Verdict::Silent
    };
    assert_eq!(verdict, expected, "{more} for {asker:?}");
}

#[test]
fn principals() {
    for (principal, alice, session, sns, anonymous) in [
        (r#""*""#, true, true, true, true),
        (r#"{"AWS": "*"}"#, true, true, true, true),
        (r#"{"AWS": "222222222222"}"#, true, true, false, false),
        (
            r#"{"AWS": ["333333333333", "arn:aws:iam::222222222222:root"]}"#,
            true,
            true,
            false,
            false,
        ),
        (
            r#"{"AWS": "arn:aws:iam::222222222222:user/alice"}"#,
            true,
            false,
            false,
            false,
        ),
        (
            r#"{"AWS": "arn:aws:iam::222222222222:user/bob"}"#,
            false,
            false,
            false,
            false,
        ),
        (
            r#"{"AWS": "arn:aws:iam::222222222222:role/deploy"}"#,
            false,
            true,
            false,
            false,
        ),
        (r#"{"AWS": "333333333333"}"#, false, false, false, false),
        (r#"{"Service": "sns.amazonaws.com"}"#, false, false, true, false),
        (
            r#"{"Service": ["s3.amazonaws.com"], "Federated": "x"}"#,
            false,
            false,
            false,
            false,
        ),
    ] {
        for (asker, expected) in [
            (ALICE, alice),
            (SESSION, session),
            (SNS, sns),
            (Asker::Anonymous, anonymous),
        ] {
            allows(&format!(r#"{{"Principal": {principal}}}"#), asker, expected);
            allows(&format!(r#"{{"NotPrincipal": {principal}}}"#), asker, !expected);
        }
    }
}

#[test]
fn actions_and_resources() {
    for (action, expected) in [
        (r#""*""#, true),
        (r#""sqs:*""#, true),
        (r#""SQS:SendMessage""#, true),
        (r#""sqs:sendmessage""#, true),
        (r#""sqs:Send*""#, true),
        (r#""sqs:?endMessage""#, true),
        (r#"["sqs:ReceiveMessage", "sqs:SendMessage"]"#, true),
        (r#""sqs:ReceiveMessage""#, false),
        (r#""sqs:Send""#, false),
    ] {
        allows(&format!(r#"{{"Action": {action}}}"#), ALICE, expected);
        allows(&format!(r#"{{"NotAction": {action}}}"#), ALICE, !expected);
    }
    for (resource, expected) in [
        ("*", true),
        (QUEUE, true),
        ("arn:aws:sqs:*:111111111111:orders", true),
        ("arn:aws:sqs:us-east-1:111111111111:ord*", true),
        ("arn:aws:sqs:us-east-1:111111111111:order", false),
        ("arn:aws:sqs:us-east-1:222222222222:*", false),
    ] {
        allows(&format!(r#"{{"Resource": "{resource}"}}"#), ALICE, expected);
        allows(&format!(r#"{{"NotResource": ["{resource}"]}}"#), ALICE, !expected);
    }
}

#[test]
fn conditions() {
    for (condition, expected) in [
        (r#"{"StringEquals": {"aws:SourceAccount": "111111111111"}}"#, true),
        (
            r#"{"StringEquals": {"AWS:sourceaccount": ["x", "111111111111"]}}"#,
            true,
        ),
        (
            r#"{"StringEquals": {"aws:SourceAccount": "222222222222"}}"#,
            false,
        ),
        (
            r#"{"StringNotEquals": {"aws:SourceAccount": ["x", "111111111111"]}}"#,
            false,
        ),
        (
            r#"{"StringNotEquals": {"aws:SourceAccount": "222222222222"}}"#,
            true,
        ),
        (
            r#"{"StringEqualsIgnoreCase": {"aws:UserAgent": "BOTO3/1.43 MD/BOTOCORE"}}"#,
            true,
        ),
        (
            r#"{"StringNotEqualsIgnoreCase": {"aws:UserAgent": "BOTO3/1.43 MD/BOTOCORE"}}"#,
            false,
        ),
        (r#"{"StringLike": {"aws:UserAgent": "Boto3/*"}}"#, true),
        (r#"{"StringNotLike": {"aws:UserAgent": "Boto3/*"}}"#, false),
        (r#"{"StringLike": {"aws:UserAgent": "boto3/*"}}"#, false),
        // Absent keys.
        (r#"{"StringEquals": {"aws:Nothing": "x"}}"#, false),
        (r#"{"StringEqualsIfExists": {"aws:Nothing": "x"}}"#, true),
        (r#"{"StringNotEquals": {"aws:Nothing": "x"}}"#, true),
        (
            r#"{"StringNotEqualsIfExists": {"aws:SourceAccount": "111111111111"}}"#,
            false,
        ),
        (r#"{"ForAllValues:StringEquals": {"aws:Nothing": "x"}}"#, true),
        (r#"{"ForAnyValue:StringEquals": {"aws:Nothing": "x"}}"#, false),
        (r#"{"Null": {"aws:Nothing": "true"}}"#, true),
        (r#"{"Null": {"aws:Nothing": "false"}}"#, false),
        (r#"{"Null": {"aws:SourceArn": "true"}}"#, false),
        (r#"{"Null": {"aws:SourceArn": false}}"#, true),
        (
            r#"{"ArnEquals": {"aws:SourceArn": "arn:aws:sns:us-east-1:111111111111:events"}}"#,
            true,
        ),
        (
            r#"{"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:111111111111:*"}}"#,
            true,
        ),
        (
            r#"{"ArnLike": {"aws:SourceArn": "arn:aws:*:111111111111:events:*"}}"#,
            false,
        ),
        (
            r#"{"ArnNotLike": {"aws:SourceArn": "arn:aws:sns:*:222222222222:*"}}"#,
            true,
        ),
        (
            r#"{"ArnEquals": {"aws:SourceArn": "arn:aws:sns:us-east-1:111111111111:other"}}"#,
            false,
        ),
        (r#"{"Bool": {"aws:SecureTransport": "false"}}"#, true),
        (r#"{"Bool": {"aws:SecureTransport": true}}"#, false),
        (
            r#"{"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}}"#,
            true,
        ),
        (r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#, true),
        (
            r#"{"IpAddress": {"aws:SourceIp": ["192.168.0.0/16", "10.1.2.3"]}}"#,
            true,
        ),
        (r#"{"IpAddress": {"aws:SourceIp": "10.1.2.0/31"}}"#, false),
        (r#"{"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}"#, true),
        (r#"{"IpAddress": {"aws:SourceIp": "::/0"}}"#, false),
        (r#"{"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#, false),
        (
            r#"{"DateLessThan": {"aws:CurrentTime": "2026-01-02T03:04:06Z"}}"#,
            true,
        ),
        (r#"{"DateLessThan": {"aws:CurrentTime": "2026-01-02"}}"#, false),
        (
            r#"{"DateGreaterThan": {"aws:CurrentTime": "2026-01-02T03:04Z"}}"#,
            true,
        ),
        (
            r#"{"DateGreaterThanEquals": {"aws:CurrentTime": "1767323045"}}"#,
            true,
        ),
        (
            r#"{"DateEquals": {"aws:EpochTime": "2026-01-02T03:04:05Z"}}"#,
            true,
        ),
        (
            r#"{"NumericLessThanEquals": {"aws:EpochTime": 1767323045}}"#,
            true,
        ),
        (
            r#"{"NumericGreaterThan": {"aws:EpochTime": "1767323045"}}"#,
            false,
        ),
        (r#"{"NumericNotEquals": {"aws:EpochTime": "5"}}"#, true),
        // All of them must hold.
        (
            r#"{"StringEquals": {"aws:SourceAccount": "111111111111", "aws:Nothing": "x"}}"#,
            false,
        ),
        (
            r#"{"Bool": {"aws:SecureTransport": "false"}, "IpAddress": {"aws:SourceIp": "9.0.0.0/8"}}"#,
            false,
        ),
    ] {
        allows(&format!(r#"{{"Condition": {condition}}}"#), ALICE, expected);
    }
}

#[test]
fn a_denial_wins() {
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"},
        {"Effect": "Deny", "NotPrincipal": {"AWS": "222222222222"}, "Action": "sqs:DeleteMessage", "Resource": "*"},
        {"Effect": "Allow", "Principal": "*", "Action": "sqs:DeleteMessage", "Resource": "*"}]}"#;
    assert_eq!(ask(policy, ALICE, "DeleteMessage"), Verdict::Allowed);
    assert_eq!(ask(policy, SNS, "DeleteMessage"), Verdict::Denied);
    assert_eq!(ask(policy, SNS, "SendMessage"), Verdict::Allowed);
}

#[test]
fn topics_have_policies_of_their_own_actions() {
    const TOPIC: &str = "arn:aws:sns:us-east-1:111111111111:events";
    // The policy that every topic has at first.
    let text = r#"{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID",
        "Effect":"Allow","Principal":{"AWS":"*"},"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes",
        "SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe",
        "SNS:ListSubscriptionsByTopic","SNS:Publish"],"Resource":"arn:aws:sns:us-east-1:111111111111:events",
        "Condition":{"StringEquals":{"AWS:SourceOwner":"111111111111"}}}]}"#;
    let policy = Policy::parse_of_topic(text).unwrap();
    for (owner, action, verdict) in [
        ("111111111111", "Publish", Verdict::Allowed),
        ("222222222222", "Publish", Verdict::Silent),
        ("111111111111", "TagResource", Verdict::Silent),
    ] {
        let question = Question {
            asker: ALICE,
            action,
            resource: TOPIC,
            keys: &[("aws:SourceOwner", owner.to_owned())],
        };
        assert_eq!(policy.evaluate(&question), verdict, "{owner} {action}");
    }
    assert!(Policy::parse(text).is_err(), "its actions are none of SQS");
    assert!(Policy::parse_of_topic(&text.replace("SNS:Publish", "SQS:SendMessage")).is_err());
    assert!(Policy::parse_of_topic(&format!("{text}{}", " ".repeat(30_720))).is_err());
}

#[test]
fn malformed_policies_are_refused_by_name() {
    let long = format!("\"{}\"", "x".repeat(8192));
    let many = |n: usize| {
        let one = r#"{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}"#;
        format!(r#"{{"Statement": [{}]}}"#, vec![one; n].join(","))
    };
    assert!(Policy::parse(&many(20)).is_ok());
    for (text, naming) in [
        (String::new(), "not JSON"),
        ("[]".into(), "object"),
        (long, "8194 bytes"),
        ("{}".into(), "Statement"),
        (r#"{"Statement": []}"#.into(), "Statement"),
        (many(21), "21 statements"),
        (
            r#"{"Version": "2020-01-01", "Statement": []}"#.into(),
            "2020-01-01",
        ),
        (r#"{"Statment": []}"#.into(), "Statment"),
        (one(r#"{"Effect": "allow"}"#), "Effect"),
        (one(r#"{"Principals": "*"}"#), "Principals"),
        (one(r#"{"Principal": {"AWS": "me"}}"#), "me"),
        (
            one(r#"{"Principal": {"AWS": "arn:aws:iam::222222222222:user/*"}}"#),
            "user/*",
        ),
        (one(r#"{"Principal": {"Aws": "*"}}"#), "Aws"),
        (one(r#"{"Principal": {}}"#), "nobody"),
        (one(r#"{"Action": "s3:GetObject"}"#), "s3:getobject"),
        (one(r#"{"Action": []}"#), "Action"),
        (
            one(r#"{"Action": ["sqs:A","sqs:B","sqs:C","sqs:D","sqs:E","sqs:F","sqs:G","sqs:H"]}"#),
            "8 actions",
        ),
        (one(r#"{"Resource": 5}"#), "Resource"),
        (
            one(r#"{"Resource": "arn:aws:sqs:*:*:${aws:username}"}"#),
            "variables",
        ),
        (
            one(r#"{"Condition": {"StringMatches": {"a": "b"}}}"#),
            "StringMatches",
        ),
        (
            one(r#"{"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}}"#),
            "10.0.0.0/33",
        ),
        (
            one(r#"{"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}}"#),
            "soon",
        ),
        (
            one(r#"{"Condition": {"Bool": {"aws:SecureTransport": "maybe"}}}"#),
            "maybe",
        ),
        (one(r#"{"Condition": {"StringEquals": {"a": {}}}}"#), "no text"),
        (
            one(r#"{"Condition": {"StringEquals": "a"}}"#),
            "object of objects",
        ),
    ] {
        let why = Policy::parse(&text).unwrap_err().to_string();
        assert!(why.contains(naming), "{text}: {why}");
    }
}

#[test]
fn patterns() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("*", "", true),
        ("a*b*c", "aXXbYYc", true),
        ("a*b*c", "aXXbYY", false),
        ("a*", "b", false),
        ("?", "", false),
        ("??", "ab", true),
        ("*ab", "aab", true),
        ("é?", "éx", true),
    ] {
        assert_eq!(pattern::matches(pattern, text), expected, "{pattern} {text}");
    }
    let hostile = "a*".repeat(2000);
    assert!(!pattern::matches(&format!("{hostile}b"), &"a".repeat(4000)));
}

proptest! {
    #[test]
    fn garbage_never_panics(text in ".{0,300}") {
        let _ = Policy::parse(&text);
        let _ = Policy::parse(&one(&serde_json::json!({"Condition": {"DateEquals": {"k": text}}}).to_string()));
    }

    #[test]
    fn texts_match_themselves(text in "[a-z:/]{0,40}", more in "[a-z]{0,10}") {
        let both = format!("{text}{more}");
        let pattern = format!("{text}*");
        prop_assert!(pattern::matches(&text, &text));
        prop_assert!(pattern::matches(&pattern, &both));
        prop_assert_eq!(pattern::matches(&pattern, &more), more.starts_with(&text));
    }
}
