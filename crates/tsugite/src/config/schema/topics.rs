//! The keys of topics.

use serde_json::json;
use tsugite_base::limits;

use super::{Keys, choice, default, duration, flag, list, object, string};
use crate::config::sns::FILTER_POLICIES_MOST;

pub(super) fn sns() -> Keys {
    vec![
        (
            "filter_policies",
            json!({
                "description": "Filter policies that the subscriptions of one topic can have: 200 at AWS.",
                "type": "integer", "minimum": 1, "maximum": FILTER_POLICIES_MOST, "default": limits::FILTER_POLICIES
            }),
        ),
        (
            "certificate_url",
            string("What SigningCertURL begins with, like https://sns.example; as other links by default."),
        ),
        (
            "timeout",
            default(duration("Of one try of an HTTP delivery."), "15s"),
        ),
        (
            "any_address",
            flag("Post to link-local, metadata, multicast and reserved addresses too."),
        ),
        (
            "ca_file",
            string("PEM file of authorities that HTTPS endpoints may have, beside those of the host."),
        ),
        (
            "insecure_tls",
            flag("Do not check the certificates of HTTPS endpoints."),
        ),
    ]
}

pub(super) fn topic() -> Keys {
    let attributes = || {
        json!({
            "description": "AWS attribute names and values; a policy may be a mapping.",
            "type": "object",
            "additionalProperties": { "type": ["string", "number", "boolean", "object"] }
        })
    };
    let filter_policy = json!({
        "description": "Only messages that this filter policy admits; all by default.",
        "type": ["string", "object"]
    });
    let subscription = vec![
        ("queue", string("Name of a queue in the same account and region.")),
        (
            "endpoint",
            string("Instead of a queue's name: a URL, the ARN of a queue, a mail address or a phone number."),
        ),
        (
            "protocol",
            choice(
                "How it delivers; what the endpoint looks like by default.",
                &["sqs", "http", "https", "email", "email-json", "sms"],
            ),
        ),
        ("raw", flag("Deliver messages without the SNS envelope.")),
        ("filter_policy", filter_policy),
        (
            "filter_policy_scope",
            default(
                choice("What the policy looks at.", &["MessageAttributes", "MessageBody"]),
                "MessageAttributes",
            ),
        ),
        ("attributes", attributes()),
    ];
    vec![
        ("name", string("Its name, as CreateTopic takes it.")),
        ("attributes", attributes()),
        (
            "subscriptions",
            list(
                "Who gets what is published.",
                object("A subscription.", &[], subscription),
            ),
        ),
    ]
}
