//! Declared topics: their attributes, and who gets what is published.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;
use tsugite_base::names::{self, Scope};
use tsugite_broker::{
    ParameterInvalid, Protocol, QueueKey, TopicKey, check_subscription, check_topic_attribute,
};

use super::build::one_of;
use super::declared::{Seen, attribute_text};
use super::error::{Place, nearest};
use super::raw;
use super::reader::Reader;

/// A declared topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// As `CreateTopic` takes it.
    pub name: String,
    /// AWS attribute names and values.
    pub attributes: BTreeMap<String, String>,
    /// Who gets what is published.
    pub subscriptions: Vec<Subscription>,
}

/// A declared subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Name of the queue in the same account and region, if it is one.
    pub queue: Option<String>,
    /// How it delivers.
    pub protocol: Protocol,
    /// As `Subscribe` takes it: the queue's ARN, a URL, an address, a number.
    pub endpoint: String,
    /// AWS attribute names and values.
    pub attributes: BTreeMap<String, String>,
}

/// Names that a misspelt one may have meant.
const OF_TOPIC: [&str; 10] = [
    "DisplayName",
    "Policy",
    "DeliveryPolicy",
    "KmsMasterKeyId",
    "SignatureVersion",
    "TracingConfig",
    "MaximumMessageSize",
    "ContentBasedDeduplication",
    "FifoThroughputScope",
    "ArchivePolicy",
];
const OF_SUBSCRIPTION: [&str; 4] = [
    "RedrivePolicy",
    "DeliveryPolicy",
    "ReplayPolicy",
    "SubscriptionRoleArn",
];
/// Attributes that have a key of their own.
const OWN_KEYS: [(&str, &str); 3] = [
    ("RawMessageDelivery", "raw"),
    ("FilterPolicy", "filter_policy"),
    ("FilterPolicyScope", "filter_policy_scope"),
];
const SCOPES: [(&str, &str); 2] = [
    ("MessageAttributes", "MessageAttributes"),
    ("MessageBody", "MessageBody"),
];

pub(super) fn topic(r: &mut Reader, seen: &mut Seen, scope: &Scope, raw: raw::Topic) -> Option<Topic> {
    let name = r.one(raw.name, |name| {
        names::check_topic_name(&name).map_err(|rule| rule.to_string())?;
        seen.first("topic", &name)?;
        Ok(name)
    });
    // What is below a topic whose name is wrong is checked as that of a standard one.
    let key = TopicKey::new(scope.clone(), name.as_deref().unwrap_or_default());
    let attributes = raw.attributes.into_iter().filter_map(|(name, value)| {
        let value = r.one(value, |value| {
            let text = attribute_text(&name, value)?;
            let checked = check_topic_attribute(&key, &name, &text);
            checked.map_err(|error| told(&error, &name, "a topic", &OF_TOPIC))?;
            if name == "Policy" {
                crate::aws::check_topic_policy(&text)?;
            }
            Ok(text)
        })?;
        Some((name, value))
    });
    let mut attributes: BTreeMap<String, String> = attributes.collect();
    if key.is_fifo() {
        // The name says it already.
        attributes
            .entry("FifoTopic".to_owned())
            .or_insert_with(|| "true".to_owned());
    }
    let subscriptions = raw.subscriptions.into_iter();
    let subscriptions = subscriptions
        .filter_map(|raw| subscription(r, &key, raw))
        .collect();
    Some(Topic {
        name: name?,
        attributes,
        subscriptions,
    })
}

/// What is wrong with an attribute, with a hint if there is none of that name.
fn told(error: &ParameterInvalid, name: &str, of: &str, known: &[&str]) -> String {
    if !error.text.contains("Unknown attribute") {
        return error.to_string();
    }
    let near = nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
    format!("`{name}` is no attribute of {of}{}", near.unwrap_or_default())
}

fn subscription(r: &mut Reader, topic: &TopicKey, raw: raw::Subscription) -> Option<Subscription> {
    let (place, queue, protocol, endpoint) = recipient(r, topic, raw.queue, raw.endpoint, raw.protocol)?;
    let fits = check_subscription(topic, protocol, &endpoint, Vec::new());
    if let Err(error) = fits {
        r.refuse(place, error.to_string());
        return None;
    }
    let check =
        |attributes: Vec<(String, String)>| check_subscription(topic, protocol, &endpoint, attributes);
    let attributes = raw.attributes.into_iter().filter_map(|(name, value)| {
        let text = r.one(value, |value| {
            if let Some((_, key)) = OWN_KEYS.iter().find(|(own, _)| *own == name) {
                return Err(format!("the attribute `{name}` has a key of its own: `{key}`"));
            }
            let text = attribute_text(&name, value)?;
            let checked = check(vec![(name.clone(), text.clone())]);
            checked.map_err(|error| told(&error, &name, "a subscription", &OF_SUBSCRIPTION))?;
            Ok(text)
        })?;
        Some((name, text))
    });
    let mut attributes: BTreeMap<String, String> = attributes.collect();
    attributes.insert("RawMessageDelivery".to_owned(), raw.raw.to_string());
    let scope = r.maybe(raw.filter_policy_scope, |scope| one_of(&scope, &SCOPES));
    let scope = scope.map(|scope| ("FilterPolicyScope".to_owned(), scope.to_owned()));
    let policy = r.maybe(raw.filter_policy, |policy| {
        let text = attribute_text("filter_policy", policy)?;
        let policy = ("FilterPolicy".to_owned(), text);
        // What it may be depends on the scope.
        let both = scope.iter().cloned().chain([policy.clone()]).collect();
        check(both).map_err(|error| error.to_string())?;
        Ok(policy)
    });
    attributes.extend(scope.into_iter().chain(policy));
    Some(Subscription {
        queue,
        protocol,
        endpoint,
        attributes,
    })
}

/// Who gets the messages: where that stands, the queue's name if it is one of ours, the protocol, the endpoint.
fn recipient(
    r: &mut Reader,
    topic: &TopicKey,
    queue: raw::Maybe<String>,
    endpoint: raw::Maybe<String>,
    protocol: raw::Maybe<String>,
) -> Option<(Place, Option<String>, Protocol, String)> {
    let protocol = r.maybe(protocol, |name| {
        name.parse::<Protocol>().map_err(|error| error.to_string())
    });
    match (queue, endpoint) {
        (Some(queue), None) => {
            let place = r.place(&queue);
            let name = r.one(queue, |name| {
                names::check_queue_name(&name).map_err(|rule| rule.to_string())?;
                Ok(name)
            })?;
            let arn = QueueKey::new(topic.scope.clone(), &name).arn().to_string();
            Some((place, Some(name), Protocol::Sqs, arn))
        }
        (None, Some(endpoint)) => {
            let place = r.place(&endpoint);
            r.one(endpoint, |endpoint| {
                let looks = protocol.or_else(|| Protocol::of_endpoint(&endpoint));
                let looks = looks.ok_or_else(|| {
                    format!("`{endpoint}` is no URL, ARN of a queue, mail address or phone number; write `queue: {endpoint}` if it is the name of a queue")
                })?;
                Ok((place, None, looks, endpoint))
            })
        }
        (None, None) => {
            let text = format!(
                "a subscription of `{}` has neither `queue` nor `endpoint`",
                topic.name
            );
            r.refuse(Place::Nowhere, text);
            None
        }
        (Some(queue), Some(_)) => {
            refuse_both(r, &queue);
            None
        }
    }
}

fn refuse_both(r: &mut Reader, queue: &Spanned<String>) {
    let place = r.place(queue);
    r.refuse(place, "a subscription has either `queue` or `endpoint`, not both");
}
