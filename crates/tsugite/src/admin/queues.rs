//! `/v1/queues`: the queues, and what is done to a whole one.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tsugite_base::names::Scope;
use tsugite_broker::{Count, PurgeQueueError, QueueKey, QueueStats};
use tsugite_engine::Failure;

use super::answer::{Answer, Links, Problem, document, with_links};
use super::located::{Located, scope};
use super::messages::refused;
use super::{Admin, Query, Store};

/// The queues of all accounts and regions, or of those that `?account=…&region=…` names.
pub(super) fn list<S: Store>(admin: &Admin<S>, query: &Query) -> Answer {
    let default = admin.default_scope();
    let stats = admin.store.queue_stats();
    let named = |parameter: &str, value: &str| query.get(parameter).is_none_or(|named| named == value);
    let queues: Vec<Value> = stats
        .iter()
        .filter(|queue| {
            let scope = &queue.queue.scope;
            named("account", &scope.account) && named("region", &scope.region)
        })
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

/// Finds the queue that a request names.
pub(super) fn locate<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Located, Problem> {
    let (scope, default) = (scope(admin, query), admin.default_scope());
    let key = QueueKey::new(scope, name);
    if !admin.store.queue_exists(&key) {
        return Err(Problem::not_found(format!(
            "no queue `{name}` in account {}, region {}",
            key.scope.account, key.scope.region
        )));
    }
    let scope = key.scope.clone();
    Ok(Located::new(key, "queues", name, &scope, &default))
}

pub(super) fn get<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let at = locate(admin, name, query)?;
    let stats = admin.store.queue_stats();
    let gone = || Problem::not_found(format!("no queue `{name}` any more"));
    let queue = stats
        .iter()
        .find(|queue| queue.queue == at.key)
        .ok_or_else(gone)?;
    let default = admin.default_scope();
    let mut links: Links = vec![
        ("self", at.path("", &[])),
        ("messages", at.path("/messages", &[])),
        ("groups", at.path("/groups", &[])),
        ("receive", at.path("/receive", &[])),
        ("delete", at.path("/delete", &[])),
        ("purge", at.path("/purge", &[])),
        ("redrive", at.path("/redrive", &[])),
    ];
    let mut body = queue_body(queue);
    if let Some(dead) = &queue.dead_letters {
        body["dead_letters"] = json!({
            "arn": dead.arn().to_string(),
            "max_receive_count": queue.max_receives,
        });
        links.push(("dead_letters", queue_path(dead, &default)));
    }
    let sources: Vec<Value> = stats
        .iter()
        .filter(|other| other.dead_letters.as_ref() == Some(&at.key))
        .map(|other| {
            let own = json!({ "name": other.queue.name, "max_receive_count": other.max_receives });
            with_links(own, vec![("queue", queue_path(&other.queue, &default))])
        })
        .collect();
    body["dead_letter_sources"] = json!(sources);
    links.push(("queues", "/v1/queues".into()));
    Ok(document(StatusCode::OK, body, links))
}

/// Groups shown unless asked for otherwise, and at most.
const GROUPS: (usize, usize) = (20, 1_000);

/// The groups with most messages: of a FIFO queue, or the tenants of a fair one.
pub(super) fn groups<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let at = locate(admin, name, query)?;
    let limit = match query.get("limit").map(str::parse::<usize>) {
        None => GROUPS.0,
        Some(Ok(limit)) if (1..=GROUPS.1).contains(&limit) => limit,
        Some(_) => {
            return Err(Problem::invalid(format!(
                "`limit` is a number from 1 to {}",
                GROUPS.1
            )));
        }
    };
    let groups = admin.store.groups(&at.key, limit);
    let groups = groups.map_err(|missing| Problem::not_found(missing.to_string()))?;
    let groups: Vec<Value> = groups
        .iter()
        .map(|group| {
            json!({
                "group": group.group,
                "depth": group.visible,
                "in_flight": group.in_flight,
                "delayed": group.delayed,
                "oldest_age_ms": group.oldest_age.map(millis),
            })
        })
        .collect();
    let links = vec![("self", at.path("/groups", &[])), ("queue", at.path("", &[]))];
    Ok(document(StatusCode::OK, json!({ "groups": groups }), links))
}

/// Removes all messages.
pub(super) async fn purge<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let at = locate(admin, name, query)?;
    let purged = admin.store.purge_queue(at.key.clone()).await;
    purged.map_err(|failure| match failure {
        Failure::Refused(PurgeQueueError::InProgress(error)) => Problem::conflict(error.to_string()),
        other => refused(other),
    })?;
    tracing::warn!(queue = name, "a queue was purged through the admin API");
    let links = vec![("queue", at.path("", &[]))];
    Ok(document(StatusCode::OK, json!({ "outcome": "purged" }), links))
}

/// Removes the queue with all that lies in it.
pub(super) async fn remove<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let at = locate(admin, name, query)?;
    admin.store.delete_queue(at.key).await.map_err(refused)?;
    tracing::warn!(queue = name, "a queue was removed through the admin API");
    let links = vec![("queues", "/v1/queues".into())];
    Ok(document(StatusCode::OK, json!({ "outcome": "removed" }), links))
}

pub(super) fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn queue_body(queue: &QueueStats) -> Value {
    // One decimal is more than any decision needs.
    let rate = |count: Count| (count.per_second(queue.at) * 10.0).round() / 10.0;
    json!({
        "name": queue.queue.name,
        "arn": queue.queue.arn().to_string(),
        "depth": queue.visible,
        "in_flight": queue.in_flight,
        "delayed": queue.delayed,
        "oldest_age_ms": queue.oldest_age.map(millis),
        "per_second": {
            "sent": rate(queue.tally.sent),
            "received": rate(queue.tally.received),
            "deleted": rate(queue.tally.deleted),
        },
        "since_start": {
            "sent": queue.tally.sent.total,
            "received": queue.tally.received.total,
            "deleted": queue.tally.deleted.total,
            "expired": queue.tally.expired.total,
            "dead_lettered": queue.tally.dead_lettered.total,
        },
    })
}

pub(super) fn queue_path(queue: &QueueKey, default: &Scope) -> String {
    Located::new((), "queues", &queue.name, &queue.scope, default).path("", &[])
}
