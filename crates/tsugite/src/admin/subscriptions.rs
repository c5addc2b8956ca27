//! `/v1/topics/{name}/subscriptions`: who gets what is published, how far each lags behind, and changes of that.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tsugite_base::{Timestamp, Uuid};
use tsugite_broker::{
    Protocol, QueueKey, Subscribe, SubscribeError, SubscriptionInfo, SubscriptionKey, SubscriptionNotFound,
    TopicKey, Unsubscribe,
};
use tsugite_engine::Failure;

use super::answer::{Answer, Links, Problem, document, with_links};
use super::located::Located;
use super::messages::{number, read};
use super::queues::queue_path;
use super::topics::{locate, missing, text};
use super::{Admin, Query, Store};
use crate::deliver::EndpointReport;

/// Subscriptions on a page, unless asked for otherwise.
pub(super) const PAGE: usize = 100;
/// Subscriptions on a page at most.
const PAGE_MAX: usize = 1_000;
const EXAMPLE: &str = r#"{"queue": "kitchen", "raw": true, "filter_policy": {"kind": ["order"]}} or {"endpoint": "https://shop.example/hook"}"#;

/// A page of the subscriptions of a topic.
pub(super) async fn list<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let (at, _) = locate(admin, name, query).await?;
    let limit = number(query, "limit")?.map_or(PAGE, |limit| limit as usize);
    if !(1..=PAGE_MAX).contains(&limit) {
        let detail = format!("`limit`: {limit}; a page has 1 to {PAGE_MAX} subscriptions");
        return Err(Problem::invalid(detail));
    }
    let parse = |text: &str| {
        text.parse::<Uuid>()
            .map_err(|_| Problem::invalid(format!("`after`: {text} is not the id of a subscription")))
    };
    let after = query.get("after").map(parse).transpose()?;
    let (subscriptions, next) = page(admin, &at, after, limit).await?;
    let mut links: Links = vec![
        ("self", at.path("/subscriptions", &parameters(after, limit))),
        ("topic", at.path("", &[])),
    ];
    links.extend(next.map(|next| ("next", next)));
    Ok(document(
        StatusCode::OK,
        json!({ "subscriptions": subscriptions }),
        links,
    ))
}

fn parameters(after: Option<Uuid>, limit: usize) -> Vec<String> {
    let after = after.map(|after| format!("after={after}"));
    let limit = (limit != PAGE).then(|| format!("limit={limit}"));
    after.into_iter().chain(limit).collect()
}

/// The subscriptions after one, and the path of the page that follows.
pub(super) async fn page<S: Store>(
    admin: &Admin<S>,
    at: &Located<TopicKey>,
    after: Option<Uuid>,
    limit: usize,
) -> Result<(Vec<Value>, Option<String>), Problem> {
    let topic = at.key.clone();
    let start = after.map(|id| SubscriptionKey {
        topic: topic.clone(),
        id,
    });
    let page = admin.store.topic_subscriptions(topic, start, limit).await;
    let page = page.map_err(missing)?;
    let bodies = page.elements.iter().map(|info| {
        let links = links(admin, at, info);
        with_links(body_of(admin, info), links)
    });
    let bodies = bodies.collect();
    let next = page
        .next
        .map(|last| at.path("/subscriptions", &parameters(Some(last.id), limit)));
    Ok((bodies, next))
}

fn body_of<S: Store>(admin: &Admin<S>, info: &SubscriptionInfo) -> Value {
    // What was found valid is JSON.
    let filter = info.filter.as_deref();
    let filter: Option<Value> = filter.and_then(|text| serde_json::from_str(text).ok());
    let lag = info
        .waiting
        .zip(info.in_flight)
        .map(|(waiting, flight)| waiting + flight);
    json!({
        "id": info.subscription.id.to_string(),
        "arn": info.subscription.arn().to_string(),
        "protocol": info.protocol.name(),
        "endpoint": info.endpoint,
        "owner": info.owner,
        "pending": info.pending,
        "raw": info.raw,
        "filter_policy": filter,
        "lag": lag,
        "waiting": info.waiting,
        "in_flight": info.in_flight,
        "deliveries": admin.deliverer.report(&info.subscription).map(|report| deliveries(&report)),
    })
}

/// How deliveries to an endpoint go, since the start.
fn deliveries(report: &EndpointReport) -> Value {
    let (failed, error) = report.last_error.clone().unzip();
    json!({
        "attempts": report.attempts,
        "successes": report.successes,
        "failures": report.failures,
        "given_up": report.given_up,
        "under_way": report.in_flight,
        "last_status": report.last_status,
        "last_success": report.last_success.map(Timestamp::iso_millis),
        "last_failure": failed.map(Timestamp::iso_millis),
        "last_error": error,
        "next_try": report.next_try.map(Timestamp::iso_millis),
    })
}

fn links<S: Store>(admin: &Admin<S>, at: &Located<TopicKey>, info: &SubscriptionInfo) -> Links {
    let id = info.subscription.id;
    let mut links: Links = vec![
        ("self", at.path(&format!("/subscriptions/{id}"), &[])),
        ("topic", at.path("", &[])),
    ];
    let queue = (info.protocol == Protocol::Sqs).then(|| QueueKey::from_arn("Endpoint", &info.endpoint));
    if let Some(Ok(queue)) = queue
        && admin.store.queue_exists(&queue)
    {
        links.push(("queue", queue_path(&queue, &admin.default_scope())));
    }
    if info.protocol.is_captured() {
        links.push(("captured", "/v1/captured".into()));
    }
    links
}

/// One subscription with its attributes.
pub(super) async fn get<S: Store>(
    admin: &Admin<S>,
    name: &str,
    id: &str,
    query: &Query,
) -> Result<Answer, Problem> {
    let (at, info) = find(admin, name, id, query).await?;
    let attributes = admin.store.subscription_attributes(info.subscription.clone());
    let attributes = attributes.await.map_err(|failure| gone(failure, name, id))?;
    let attributes: BTreeMap<String, String> = attributes.into_iter().collect();
    let mut body = body_of(admin, &info);
    body["attributes"] = json!(attributes);
    Ok(document(StatusCode::OK, body, links(admin, &at, &info)))
}

async fn find<S: Store>(
    admin: &Admin<S>,
    name: &str,
    id: &str,
    query: &Query,
) -> Result<(Located<TopicKey>, SubscriptionInfo), Problem> {
    let (at, _) = locate(admin, name, query).await?;
    let uuid: Uuid = id.parse().map_err(|_| absent(name, id))?;
    let key = SubscriptionKey {
        topic: at.key.clone(),
        id: uuid,
    };
    let info = admin.store.subscription(key).await;
    Ok((at, info.map_err(|failure| gone(failure, name, id))?))
}

fn absent(name: &str, id: &str) -> Problem {
    Problem::not_found(format!("no subscription `{id}` of topic `{name}`"))
}

fn gone(failure: Failure<SubscriptionNotFound>, name: &str, id: &str) -> Problem {
    match failure {
        Failure::Refused(_) => absent(name, id),
        Failure::Unavailable(unavailable) => unavailable.into(),
    }
}

/// Who shall get what is published.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToSubscribe {
    /// The name of a queue of the topic's account and region.
    #[serde(default)]
    queue: Option<String>,
    /// Or the ARN of a queue, a URL, an address, a number.
    #[serde(default)]
    endpoint: Option<String>,
    /// As AWS spells it; what the endpoint looks like, if absent.
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    raw: Option<bool>,
    #[serde(default)]
    filter_policy: Option<Value>,
    #[serde(default)]
    filter_policy_scope: Option<String>,
    /// Further attributes, as AWS spells them; policies may be objects.
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
}

impl ToSubscribe {
    fn target<S: Store>(&self, admin: &Admin<S>, topic: &TopicKey) -> Result<(String, String), Problem> {
        match (&self.queue, &self.endpoint) {
            (Some(queue), None) => {
                let key = QueueKey::new(topic.scope.clone(), queue);
                if !admin.store.queue_exists(&key) {
                    return Err(Problem::invalid(format!(
                        "no queue `{queue}` in account {}, region {}; create it first",
                        key.scope.account, key.scope.region
                    )));
                }
                Ok(("sqs".to_owned(), key.arn().to_string()))
            }
            (None, Some(endpoint)) => {
                let looks = || Protocol::of_endpoint(endpoint).map(Protocol::name);
                let looks = self.protocol.as_deref().or_else(looks);
                let protocol = looks.ok_or_else(|| {
                    Problem::invalid(format!(
                        "`{endpoint}` is no URL, ARN of a queue, mail address or phone number; name a queue of this \
                         account and region as `queue`"
                    ))
                })?;
                Ok((protocol.to_owned(), endpoint.clone()))
            }
            _ => Err(Problem::invalid(format!(
                "either `queue` or `endpoint` says who subscribes; the body looks like {EXAMPLE}"
            ))),
        }
    }

    fn attributes(self) -> Vec<(String, String)> {
        let mut attributes = self.attributes;
        let stated = [
            ("RawMessageDelivery", self.raw.map(Value::from)),
            ("FilterPolicy", self.filter_policy),
            ("FilterPolicyScope", self.filter_policy_scope.map(Value::from)),
        ];
        for (name, value) in stated {
            attributes.extend(value.map(|value| (name.to_owned(), value)));
        }
        attributes
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect()
    }
}

/// Subscribes an endpoint, or finds its subscription if what is stated agrees.
pub(super) async fn subscribe<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
    body: &[u8],
) -> Result<Answer, Problem> {
    let (at, _) = locate(admin, name, query).await?;
    let wish: ToSubscribe = read(body, EXAMPLE)?;
    let (protocol, endpoint) = wish.target(admin, &at.key)?;
    let account = at.key.scope.account.clone();
    let command = Subscribe {
        topic: at.key.clone(),
        id: admin.world.uuid(),
        token: token(admin),
        principal: format!("arn:aws:iam::{account}:root"),
        owner: account,
        protocol,
        endpoint,
        attributes: wish.attributes(),
        base_url: None,
    };
    let id = command.id;
    let subscribed = admin.store.subscribe(command).await;
    let subscribed = subscribed.map_err(|failure| match failure {
        Failure::Refused(SubscribeError::Topic(error)) => missing(Failure::Refused(error)),
        Failure::Refused(error) => Problem::invalid(error.to_string()),
        Failure::Unavailable(unavailable) => unavailable.into(),
    })?;
    let key = subscribed.subscription;
    let status = match key.id == id {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let shown = key.id.to_string();
    let info = admin.store.subscription(key).await;
    let info = info.map_err(|failure| gone(failure, name, &shown))?;
    Ok(document(status, body_of(admin, &info), links(admin, &at, &info)))
}

/// What only the endpoint gets to know.
fn token<S: Store>(admin: &Admin<S>) -> String {
    format!("{}{}", admin.world.uuid(), admin.world.uuid())
}

/// Ends a subscription.
pub(super) async fn remove<S: Store>(
    admin: &Admin<S>,
    name: &str,
    id: &str,
    query: &Query,
) -> Result<Answer, Problem> {
    let (at, info) = find(admin, name, id, query).await?;
    let command = Unsubscribe {
        subscription: info.subscription,
        by_owner: true,
        id: admin.world.uuid(),
        token: token(admin),
    };
    let ended = admin.store.unsubscribe(command).await;
    ended.map_err(|failure| match failure {
        Failure::Refused(error) => Problem::conflict(error.to_string()),
        Failure::Unavailable(unavailable) => unavailable.into(),
    })?;
    tracing::warn!(
        topic = name,
        endpoint = info.endpoint,
        "a subscription was ended through the admin API"
    );
    let links = vec![
        ("topic", at.path("", &[])),
        ("subscriptions", at.path("/subscriptions", &[])),
    ];
    Ok(document(StatusCode::OK, json!({ "outcome": "removed" }), links))
}
