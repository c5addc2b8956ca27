//! `/v1/topics`: look at topics, create and remove them, publish, and ask whom a message would reach.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tsugite_broker::{
    AttributeValue, Count, CreateTopic, CreateTopicError, DeleteTopicError, Match, MessageAttribute, Publish,
    PublishBatchError, PublishEntry, QueueKey, TopicInfo, TopicKey, TopicNotFound,
};
use tsugite_engine::Failure;

use super::answer::{Answer, Problem, document, with_links};
use super::located::{Located, scope};
use super::messages::{SENDER, number, read};
use super::queues::millis;
use super::{Admin, Query, Store, subscriptions};
use crate::aws::{Policies, check_topic_policy};
use crate::config::Auth;

/// Subscriptions that a dry run looks at, unless asked for otherwise, and at most.
const MATCHES: (usize, usize) = (1_000, 100_000);
const EXAMPLE: &str =
    r#"{"message": "hello", "subject": "Greeting", "attributes": {"kind": "test", "price": 3}}"#;

/// The topics of all accounts and regions, or of those that `?account=…&region=…` names.
pub(super) fn list<S: Store>(admin: &Admin<S>, query: &Query) -> Answer {
    let default = admin.default_scope();
    let named = |parameter: &str, value: &str| query.get(parameter).is_none_or(|named| named == value);
    let stats = admin.store.topic_stats();
    let topics: Vec<Value> = stats
        .iter()
        .filter(|info| {
            let scope = &info.topic.scope;
            named("account", &scope.account) && named("region", &scope.region)
        })
        .map(|info| {
            let key = &info.topic;
            let at = Located::new((), "topics", &key.name, &key.scope, &default);
            with_links(topic_body(info), vec![("self", at.path("", &[]))])
        })
        .collect();
    let links = vec![
        ("self", "/v1/topics".into()),
        ("find", "/v1/topics/{name}".into()),
        ("captured", "/v1/captured".into()),
        ("index", "/v1".into()),
    ];
    document(StatusCode::OK, json!({ "topics": topics }), links)
}

/// Finds the topic that a request names.
pub(super) async fn locate<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
) -> Result<(Located<TopicKey>, TopicInfo), Problem> {
    let key = TopicKey::new(scope(admin, query), name);
    let info = admin.store.topic(key.clone()).await.map_err(missing)?;
    Ok((named(admin, key), info))
}

fn named<S: Store>(admin: &Admin<S>, key: TopicKey) -> Located<TopicKey> {
    let (name, scope) = (key.name.clone(), key.scope.clone());
    Located::new(key, "topics", &name, &scope, &admin.default_scope())
}

/// The problem of a topic that is not there.
pub(super) fn missing(failure: Failure<TopicNotFound>) -> Problem {
    match failure {
        Failure::Refused(TopicNotFound { topic }) => Problem::not_found(format!(
            "no topic `{}` in account {}, region {}",
            topic.name, topic.scope.account, topic.scope.region
        )),
        Failure::Unavailable(unavailable) => unavailable.into(),
    }
}

/// One topic: what is set of it, and the first page of its subscriptions.
pub(super) async fn get<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let (at, info) = locate(admin, name, query).await?;
    let attributes = admin.store.topic_attributes(at.key.clone()).await;
    let attributes: BTreeMap<String, String> = attributes.map_err(missing)?.into_iter().collect();
    let tags = admin.store.topic_tags(at.key.clone()).await.map_err(missing)?;
    let tags: BTreeMap<String, String> = tags.into_iter().collect();
    let (subscriptions, next) = subscriptions::page(admin, &at, None, subscriptions::PAGE).await?;
    let mut body = topic_body(&info);
    body["attributes"] = json!(attributes);
    body["tags"] = json!(tags);
    body["subscriptions"] = json!(subscriptions);
    let mut links = vec![
        ("self", at.path("", &[])),
        ("subscriptions", at.path("/subscriptions", &[])),
        ("messages", at.path("/messages", &[])),
        ("matches", at.path("/matches", &[])),
        ("captured", "/v1/captured".into()),
        ("topics", "/v1/topics".into()),
    ];
    links.extend(next.map(|next| ("more_subscriptions", next)));
    Ok(document(StatusCode::OK, body, links))
}

fn topic_body(info: &TopicInfo) -> Value {
    // One decimal is more than any decision needs.
    let rate = |count: Count| (count.per_second(info.at) * 10.0).round() / 10.0;
    json!({
        "name": info.topic.name,
        "arn": info.topic.arn().to_string(),
        "fifo": info.topic.is_fifo(),
        "subscription_count": info.confirmed,
        "pending_count": info.pending,
        "outbox": {
            "waiting": info.outboxes.waiting,
            "in_flight": info.outboxes.in_flight,
            "oldest_age_ms": info.outboxes.oldest_age.map(millis),
        },
        "per_second": {
            "published": rate(info.tally.published),
            "delivered": rate(info.tally.delivered),
            "failed": rate(info.tally.failed),
        },
        "since_start": {
            "published": info.tally.published.total,
            "delivered": info.tally.delivered.total,
            "failed": info.tally.failed.total,
        },
    })
}

/// What a topic shall have.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ToCreate {
    attributes: BTreeMap<String, Value>,
    tags: BTreeMap<String, String>,
}

/// Creates a topic, or finds it if what is stated agrees.
pub(super) async fn put<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
    body: &[u8],
) -> Result<Answer, Problem> {
    let wish: ToCreate = match body {
        [] => ToCreate::default(),
        body => read(
            body,
            r#"{"attributes": {"DisplayName": "Orders"}, "tags": {"team": "kitchen"}}"#,
        )?,
    };
    let topic = TopicKey::new(scope(admin, query), name);
    let existed = admin.store.topic(topic.clone()).await.is_ok();
    let mut attributes: BTreeMap<String, String> =
        wish.attributes.into_iter().map(|(k, v)| (k, text(v))).collect();
    if topic.is_fifo() {
        // The name says it already.
        attributes
            .entry("FifoTopic".to_owned())
            .or_insert_with(|| "true".to_owned());
    }
    if let Some(policy) = attributes.get("Policy") {
        check_topic_policy(policy).map_err(|why| Problem::invalid(format!("Policy: {why}")))?;
    }
    let command = CreateTopic {
        topic: topic.clone(),
        attributes: attributes.into_iter().collect(),
        tags: wish.tags.into_iter().collect(),
        data_protection: None,
    };
    let created = admin.store.create_topic(command).await;
    created.map_err(|failure| match failure {
        Failure::Refused(CreateTopicError::Invalid(error)) if existed => Problem::conflict(error.to_string()),
        Failure::Refused(error) => Problem::invalid(error.to_string()),
        Failure::Unavailable(unavailable) => unavailable.into(),
    })?;
    let (at, info) = locate(admin, name, query).await?;
    let status = if existed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let links = vec![
        ("self", at.path("", &[])),
        ("subscriptions", at.path("/subscriptions", &[])),
    ];
    Ok(document(status, topic_body(&info), links))
}

/// The text of an AWS attribute; policies may be written as objects.
pub(super) fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Removes the topic with its subscriptions.
pub(super) async fn remove<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let (at, _) = locate(admin, name, query).await?;
    let removed = admin.store.delete_topic(at.key).await;
    removed.map_err(|failure| match failure {
        Failure::Refused(DeleteTopicError::Archive(error)) => Problem::conflict(error.to_string()),
        Failure::Unavailable(unavailable) => unavailable.into(),
    })?;
    tracing::warn!(topic = name, "a topic was removed through the admin API");
    let links = vec![("topics", "/v1/topics".into())];
    Ok(document(StatusCode::OK, json!({ "outcome": "removed" }), links))
}

/// A message to publish, or to ask about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToPublish {
    message: String,
    /// The message is JSON with one text for each protocol.
    #[serde(default)]
    structured: bool,
    #[serde(default)]
    subject: Option<String>,
    /// A text is a String, a number a Number, a list a String.Array; or an object with `type` and `value`.
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    deduplication_id: Option<String>,
}

impl ToPublish {
    fn entry<S: Store>(self, admin: &Admin<S>) -> Result<PublishEntry, Problem> {
        Ok(PublishEntry {
            id: admin.world.uuid(),
            message: self.message,
            structured: self.structured,
            subject: self.subject,
            attributes: self
                .attributes
                .into_iter()
                .map(|(name, value)| attribute(name, value))
                .collect::<Result<_, _>>()?,
            group: self.group,
            deduplication: self.deduplication_id,
        })
    }
}

fn attribute(name: String, value: Value) -> Result<MessageAttribute, Problem> {
    let of = |data_type: &str, text: String| (data_type.to_owned(), AttributeValue::Text(text));
    let bad = |what: &str| {
        Problem::invalid(format!(
            "attribute `{name}`: {what}; write a text, a number, a list, or {{\"type\": \"Binary\", \"value\": \"AAE=\"}}"
        ))
    };
    let (data_type, value) = match value {
        Value::String(text) => of("String", text),
        Value::Number(number) => of("Number", number.to_string()),
        list @ Value::Array(_) => of("String.Array", list.to_string()),
        Value::Object(mut members) => {
            match (members.remove("type"), members.remove("value"), members.len()) {
                (Some(Value::String(kind)), Some(value), 0) if kind.starts_with("Binary") => {
                    let bytes = STANDARD.decode(text(value));
                    let bytes = bytes.map_err(|error| bad(&format!("its value is not base64: {error}")))?;
                    (kind, AttributeValue::Binary(bytes))
                }
                (Some(Value::String(kind)), Some(value), 0) => (kind, AttributeValue::Text(text(value))),
                _ => return Err(bad("an object has the members `type` and `value`")),
            }
        }
        Value::Null | Value::Bool(_) => return Err(bad("it has no type of SNS")),
    };
    Ok(MessageAttribute {
        name,
        data_type,
        value,
    })
}

/// The queues of a topic whose policies do not let it send to them, where policies count.
async fn denied<S: Store>(admin: &Admin<S>, topic: &TopicKey) -> Result<Vec<QueueKey>, Problem> {
    if admin.config.borrow().aws.auth != Auth::Strict {
        return Ok(Vec::new());
    }
    let queues = admin.store.topic_queues(topic.clone()).await?;
    Ok(Policies::default().denied(topic, queues))
}

/// Publishes one message.
pub(super) async fn publish<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
    body: &[u8],
) -> Result<Answer, Problem> {
    let (at, _) = locate(admin, name, query).await?;
    let wish: ToPublish = read(body, EXAMPLE)?;
    let command = Publish {
        topic: at.key.clone(),
        sender: SENDER.into(),
        trace_header: None,
        entries: vec![wish.entry(admin)?],
        denied: denied(admin, &at.key).await?,
    };
    let reply = admin.store.publish(command).await;
    let reply = reply.map_err(|failure| match failure {
        Failure::Refused(PublishBatchError::Topic(error)) => missing(Failure::Refused(error)),
        Failure::Refused(refused) => Problem::invalid(refused.to_string()),
        Failure::Unavailable(unavailable) => unavailable.into(),
    })?;
    let published = reply.results.into_iter().next();
    let published = published.ok_or_else(|| Problem::invalid("nothing was published"))?;
    let published = published.map_err(|error| Problem::invalid(error.to_string()))?;
    let body = json!({
        "id": published.id.to_string(),
        "sequence_number": published.sequence.map(|number| number.to_string()),
        "deliveries": published.deliveries,
        "undeliverable": published.undeliverable,
    });
    let links = vec![
        ("topic", at.path("", &[])),
        ("subscriptions", at.path("/subscriptions", &[])),
    ];
    Ok(document(StatusCode::CREATED, body, links))
}

/// What a message would do to each subscription; nothing is published.
pub(super) async fn matches<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
    body: &[u8],
) -> Result<Answer, Problem> {
    let (at, info) = locate(admin, name, query).await?;
    let limit = number(query, "limit")?.map_or(MATCHES.0, |limit| limit as usize);
    if !(1..=MATCHES.1).contains(&limit) {
        let detail = format!("`limit`: {limit}; it must be 1 to {}", MATCHES.1);
        return Err(Problem::invalid(detail));
    }
    let wish: ToPublish = read(body, EXAMPLE)?;
    let denied = denied(admin, &at.key).await?;
    let found = admin
        .store
        .matches(at.key.clone(), wish.entry(admin)?, denied, limit)
        .await;
    let found = found.map_err(missing)?;
    let found = found.map_err(|error| Problem::invalid(error.to_string()))?;
    let subscriptions: Vec<Value> = found.iter().map(|found| match_body(found, &at)).collect();
    let body = json!({
        "matching": found.iter().filter(|found| found.reasons.is_empty()).count(),
        "looked_at": found.len(),
        "all": info.confirmed + info.pending,
        "subscriptions": subscriptions,
    });
    let links = vec![
        ("topic", at.path("", &[])),
        ("messages", at.path("/messages", &[])),
    ];
    Ok(document(StatusCode::OK, body, links))
}

fn match_body(found: &Match, at: &Located<TopicKey>) -> Value {
    let id = found.subscription.id.to_string();
    let link = at.path(&format!("/subscriptions/{id}"), &[]);
    let body = json!({
        "id": id,
        "protocol": found.protocol.name(),
        "endpoint": found.endpoint,
        "matches": found.reasons.is_empty(),
        "reasons": found.reasons,
    });
    with_links(body, vec![("subscription", link)])
}
