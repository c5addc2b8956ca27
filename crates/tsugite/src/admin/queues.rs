//! `/v1/queues` and `/v1/topics`: what the broker holds.

use http::StatusCode;
use serde_json::{Value, json};
use tsugite_base::names::Scope;
use tsugite_broker::{QueueKey, QueueStats, TopicInfo};

use super::answer::{Answer, Links, Problem, document, with_links};
use super::resource::encode;
use super::{Admin, Query, Store};

pub(super) fn list<S: Store>(admin: &Admin<S>) -> Answer {
    let default = admin.default_scope();
    let stats = admin.store.queue_stats();
    let queues: Vec<Value> = stats
        .iter()
        .map(|queue| {
            with_links(
                queue_body(queue),
                vec![("self", queue_path(&queue.queue, &default))],
            )
        })
        .collect();
    let links = vec![
        ("self", "/v1/queues".into()),
        ("find", "/v1/queues/{name}".into()),
        ("index", "/v1".into()),
    ];
    document(StatusCode::OK, json!({ "queues": queues }), links)
}

pub(super) fn get<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let scope = scope(admin, query);
    let stats = admin.store.queue_stats();
    let queue = stats
        .iter()
        .find(|queue| queue.queue.name == *name && queue.queue.scope == scope);
    let queue = queue.ok_or_else(|| {
        Problem::not_found(format!(
            "no queue `{name}` in account {}, region {}",
            scope.account, scope.region
        ))
    })?;
    let default = admin.default_scope();
    let mut links: Links = vec![("self", queue_path(&queue.queue, &default))];
    if let Some(dead) = &queue.dead_letters {
        links.push(("dead_letters", queue_path(dead, &default)));
    }
    links.push(("queues", "/v1/queues".into()));
    Ok(document(StatusCode::OK, queue_body(queue), links))
}

fn queue_body(queue: &QueueStats) -> Value {
    json!({
        "name": queue.queue.name,
        "arn": queue.queue.arn().to_string(),
        "depth": queue.visible,
        "in_flight": queue.in_flight,
        "delayed": queue.delayed,
        "oldest_age_ms": queue.oldest_age.and_then(|age| u64::try_from(age.as_millis()).ok()),
    })
}

/// The scope that `?account=…&region=…` names; the default one where they are silent.
fn scope<S: Store>(admin: &Admin<S>, query: &Query) -> Scope {
    let default = admin.default_scope();
    Scope {
        account: query.get("account").map_or(default.account, str::to_owned),
        region: query.get("region").map_or(default.region, str::to_owned),
    }
}

fn queue_path(queue: &QueueKey, default: &Scope) -> String {
    path("queues", &queue.name, &queue.scope, default)
}

fn path(kind: &str, name: &str, scope: &Scope, default: &Scope) -> String {
    let path = format!("/v1/{kind}/{}", encode(name));
    if scope == default {
        return path;
    }
    format!(
        "{path}?account={}&region={}",
        encode(&scope.account),
        encode(&scope.region)
    )
}

pub(super) async fn list_topics<S: Store>(admin: &Admin<S>, query: &Query) -> Result<Answer, Problem> {
    let (scope, default) = (scope(admin, query), admin.default_scope());
    let topics = admin.store.topics(scope).await?;
    let topics: Vec<Value> = topics
        .iter()
        .map(|topic| {
            let links = vec![(
                "self",
                path("topics", &topic.topic.name, &topic.topic.scope, &default),
            )];
            with_links(topic_body(topic, &default), links)
        })
        .collect();
    let links = vec![
        ("self", "/v1/topics".into()),
        ("find", "/v1/topics/{name}".into()),
        ("index", "/v1".into()),
    ];
    Ok(document(StatusCode::OK, json!({ "topics": topics }), links))
}

pub(super) async fn get_topic<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
) -> Result<Answer, Problem> {
    let (scope, default) = (scope(admin, query), admin.default_scope());
    let topics = admin.store.topics(scope.clone()).await?;
    let topic = topics.iter().find(|topic| topic.topic.name == *name);
    let topic = topic.ok_or_else(|| {
        Problem::not_found(format!(
            "no topic `{name}` in account {}, region {}",
            scope.account, scope.region
        ))
    })?;
    let links = vec![
        ("self", path("topics", name, &scope, &default)),
        ("topics", "/v1/topics".into()),
    ];
    Ok(document(StatusCode::OK, topic_body(topic, &default), links))
}

fn topic_body(topic: &TopicInfo, default: &Scope) -> Value {
    let subscriptions: Vec<Value> = topic
        .subscriptions
        .iter()
        .map(|subscription| {
            let body = json!({
                "arn": subscription.subscription.arn().to_string(),
                "queue": subscription.queue.name,
                "raw": subscription.raw,
            });
            with_links(body, vec![("queue", queue_path(&subscription.queue, default))])
        })
        .collect();
    json!({
        "name": topic.topic.name,
        "arn": topic.topic.arn().to_string(),
        "subscription_count": subscriptions.len(),
        "subscriptions": subscriptions,
    })
}
