//! `/v1/queues/{name}/messages` and what else touches messages: look, send, receive, delete, purge.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tsugite_base::Timestamp;
use tsugite_broker::{
    AttributeValue, Content, DeleteMessages, Message, MessageAttribute, MessageState, QueueKey, QueueStats,
    Receive, SendEntry, SendMessages,
};
use tsugite_engine::Failure;

use super::answer::{Answer, Links, Problem, document, with_links};
use super::located::Located;
use super::queues;
use super::store::Seen;
use super::{Admin, Query, Store};

/// Messages on a page, unless asked for otherwise.
const PAGE: usize = 10;
/// Messages on a page at most.
const PAGE_MAX: usize = 100;
/// Messages that one search for an id looks at: the next page goes on from there.
const SEARCHED: usize = 10_000;
/// Characters of a body that a list shows; the message itself shows all.
const EXCERPT: usize = 1_000;
/// What the admin port calls itself as a sender.
pub(super) const SENDER: &str = "tsugite-admin";

/// A page of stored messages, oldest first, or those of them that have an id.
pub(super) async fn list<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let at = queues::locate(admin, name, query)?;
    let limit = number(query, "limit")?.map_or(PAGE, |limit| limit as usize);
    if !(1..=PAGE_MAX).contains(&limit) {
        let detail = format!("`limit`: {limit}; a page has 1 to {PAGE_MAX} messages");
        return Err(Problem::invalid(detail));
    }
    let after = number(query, "after")?;
    let (found, next) = match query.get("id") {
        None => page(admin, &at.key, after, limit).await?,
        Some(id) => search(admin, &at.key, after, limit, id).await?,
    };
    let stats = admin.store.queue_stats();
    let messages: Vec<Value> = found
        .iter()
        .map(|seen| {
            let links = links(&at, seen, &stats, admin);
            with_links(message_body(seen, &at.key, &stats, Some(EXCERPT)), links)
        })
        .collect();
    let own = |after: Option<u64>| {
        let mut parameters: Vec<String> = after.map(|after| format!("after={after}")).into_iter().collect();
        parameters.extend(query.get("limit").map(|limit| format!("limit={limit}")));
        let id = query.get("id").map(super::resource::encode);
        parameters.extend(id.map(|id| format!("id={id}")));
        at.path("/messages", &parameters)
    };
    let mut links: Links = vec![("self", own(after)), ("queue", at.path("", &[]))];
    if let Some(next) = next {
        links.push(("next", own(Some(next))));
    }
    Ok(document(
        StatusCode::OK,
        json!({ "messages": messages, "next": next }),
        links,
    ))
}

async fn page<S: Store>(
    admin: &Admin<S>,
    queue: &QueueKey,
    after: Option<u64>,
    limit: usize,
) -> Result<(Vec<Seen>, Option<u64>), Problem> {
    let mut found = look(admin, queue, after, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().map(|seen| seen.peeked.seq).filter(|_| more);
    Ok((found, next))
}

/// The messages with an id: at most one, except where a redrive or a topic has made copies of it.
async fn search<S: Store>(
    admin: &Admin<S>,
    queue: &QueueKey,
    mut after: Option<u64>,
    limit: usize,
    id: &str,
) -> Result<(Vec<Seen>, Option<u64>), Problem> {
    let mut hits = Vec::new();
    for _ in 0..SEARCHED / PAGE_MAX {
        let found = look(admin, queue, after, PAGE_MAX).await?;
        let last = found.len() < PAGE_MAX;
        after = found.last().map(|seen| seen.peeked.seq).or(after);
        let is_it = |seen: &Seen| {
            let text = seen.message.as_ref().ok().map(|message| message.id.text());
            text.is_some_and(|text| text.eq_ignore_ascii_case(id.as_bytes()))
        };
        hits.extend(found.into_iter().filter(is_it));
        if last || hits.len() >= limit {
            return Ok((hits, None));
        }
    }
    Ok((hits, after))
}

async fn look<S: Store>(
    admin: &Admin<S>,
    queue: &QueueKey,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<Seen>, Problem> {
    let found = admin.store.look(queue.clone(), after, limit).await;
    found.map_err(|failure| match failure {
        Failure::Refused(missing) => Problem::not_found(missing.to_string()),
        Failure::Unavailable(unavailable) => unavailable.into(),
    })
}

/// One stored message, whole, by its number in the queue.
pub(super) async fn get<S: Store>(
    admin: &Admin<S>,
    name: &str,
    number: &str,
    query: &Query,
) -> Result<Answer, Problem> {
    let at = queues::locate(admin, name, query)?;
    let gone = || {
        Problem::not_found(format!(
            "no message `{number}` in queue `{name}`; it may have been deleted, have expired or have been moved"
        ))
    };
    let seq: u64 = number.parse().map_err(|_| gone())?;
    let found = look(admin, &at.key, seq.checked_sub(1), 1).await?;
    let seen = found
        .first()
        .filter(|seen| seen.peeked.seq == seq)
        .ok_or_else(gone)?;
    let stats = admin.store.queue_stats();
    let body = message_body(seen, &at.key, &stats, None);
    Ok(document(StatusCode::OK, body, links(&at, seen, &stats, admin)))
}

fn links<S: Store>(at: &Located, seen: &Seen, stats: &[QueueStats], admin: &Admin<S>) -> Links {
    let mut links: Links = vec![
        ("self", at.path(&format!("/messages/{}", seen.peeked.seq), &[])),
        ("queue", at.path("", &[])),
    ];
    let source = seen.peeked.lease.dead_letter_source.as_deref();
    if let Some(source) = source.and_then(|arn| queue_of(arn, stats)) {
        links.push((
            "source",
            queues::queue_path(&source.queue, &admin.default_scope()),
        ));
    }
    links
}

fn queue_of<'a>(arn: &str, stats: &'a [QueueStats]) -> Option<&'a QueueStats> {
    stats.iter().find(|queue| queue.queue.arn().to_string() == arn)
}

fn message_body(seen: &Seen, queue: &QueueKey, stats: &[QueueStats], excerpt: Option<usize>) -> Value {
    let peeked = &seen.peeked;
    let (state, until) = match peeked.state {
        MessageState::Visible => ("visible", None),
        MessageState::Delayed(until) => ("delayed", Some(until)),
        MessageState::InFlight(until) => ("in_flight", Some(until)),
    };
    let first = peeked.lease.first_received;
    let first = (first != Timestamp(0)).then(|| first.iso_millis());
    let mut body = json!({
        "number": peeked.seq,
        "state": state,
        "until": until.map(Timestamp::iso_millis),
        "receive_count": peeked.lease.receive_count,
        "first_received": first,
        "last_received": peeked.last_received.map(Timestamp::iso_millis),
        "dead_letter": why_dead(seen, queue, stats),
    });
    match &seen.message {
        Ok(message) => describe(message, excerpt, &mut body),
        Err(error) => body["unreadable"] = json!(error.to_string()),
    }
    body
}

/// Why a message lies in a dead-letter queue, as far as that is known.
fn why_dead(seen: &Seen, queue: &QueueKey, stats: &[QueueStats]) -> Value {
    let lease = &seen.peeked.lease;
    let Some(arn) = &lease.dead_letter_source else {
        return Value::Null;
    };
    let name = arn.rsplit(':').next().unwrap_or(arn);
    let source = queue_of(arn, stats);
    let limit = source.filter(|source| source.dead_letters.as_ref() == Some(queue));
    let limit = limit.and_then(|source| source.max_receives);
    let count = lease.receive_count;
    // Receives from here count on.
    let rule = match (limit, source) {
        (Some(limit), _) => format!("`{name}` allows {limit} (maxReceiveCount)"),
        (None, Some(_)) => format!("`{name}` has another redrive policy by now"),
        (None, None) => format!("`{name}` does not exist any more"),
    };
    json!({
        "source_arn": arn,
        "max_receive_count": limit,
        "reason": format!(
            "received from `{name}` too often without being deleted: {count} receives in all, and {rule}"
        ),
    })
}

fn describe(message: &Message, excerpt: Option<usize>, body: &mut Value) {
    let (text, attributes) = match &message.content {
        Content::Plain { body, attributes } => (body, attributes),
        Content::Enveloped(notification) => {
            body["topic_arn"] = json!(notification.topic_arn().to_string());
            body["subject"] = json!(notification.subject);
            (&notification.message, &notification.attributes)
        }
        Content::Announced(announcement) => (&announcement.token, &Vec::new()),
        Content::Captured(captured) => (&captured.text, &captured.attributes),
    };
    let end = excerpt.and_then(|limit| text.char_indices().nth(limit));
    let shown = end.map_or(text.as_str(), |(end, _)| &text[..end]);
    let attributes: Map<String, Value> = attributes
        .iter()
        .map(|attribute| (attribute.name.clone(), attribute_body(attribute)))
        .collect();
    let id = message.id.text();
    body["id"] = json!(std::str::from_utf8(&id).unwrap_or_default());
    body["sent"] = json!(message.sent.iso_millis());
    body["sender"] = json!(message.sender);
    body["group"] = json!(message.group);
    body["deduplication_id"] = json!(message.deduplication);
    body["sequence_number"] = json!(message.sequence.map(|number| number.to_string()));
    body["trace_header"] = json!(message.trace_header);
    body["attributes"] = Value::Object(attributes);
    body["body_bytes"] = json!(text.len());
    body["body_cut"] = json!(shown.len() < text.len());
    body["body"] = json!(shown);
}

pub(super) fn attribute_body(attribute: &MessageAttribute) -> Value {
    let value = match &attribute.value {
        AttributeValue::Text(text) => text.clone(),
        AttributeValue::Binary(bytes) => STANDARD.encode(bytes),
    };
    json!({ "type": attribute.data_type, "value": value })
}

/// A message to send.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToSend {
    body: String,
    /// Names and texts; all become attributes of type String.
    #[serde(default)]
    attributes: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    delay_seconds: Option<i64>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    deduplication_id: Option<String>,
}

pub(super) async fn send<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
    body: &[u8],
) -> Result<Answer, Problem> {
    let at = queues::locate(admin, name, query)?;
    let wish: ToSend = read(body, "{\"body\": \"hello\"}")?;
    let text = |(name, text)| MessageAttribute {
        name,
        data_type: "String".into(),
        value: AttributeValue::Text(text),
    };
    let entry = SendEntry {
        id: admin.world.uuid(),
        body: wish.body,
        attributes: wish.attributes.into_iter().map(text).collect(),
        delay: wish.delay_seconds,
        trace_header: None,
        group: wish.group,
        deduplication: wish.deduplication_id,
    };
    let command = SendMessages {
        queue: at.key.clone(),
        sender: SENDER.into(),
        entries: vec![entry],
    };
    let reply = admin.store.send(command).await.map_err(refused)?;
    let mut results = reply.results.into_iter();
    let accepted = results
        .next()
        .ok_or_else(|| Problem::invalid("nothing was sent"))?;
    let accepted = accepted.map_err(|error| Problem::invalid(error.to_string()))?;
    let id = accepted.id.text();
    let body = json!({
        "id": std::str::from_utf8(&id).unwrap_or_default(),
        "sequence_number": accepted.sequence.map(|number| number.to_string()),
    });
    let links = vec![
        ("queue", at.path("", &[])),
        ("messages", at.path("/messages", &[])),
    ];
    Ok(document(StatusCode::CREATED, body, links))
}

/// What to receive.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ToReceive {
    max: Option<i64>,
    visibility_seconds: Option<i64>,
    wait_seconds: Option<i64>,
}

pub(super) async fn receive<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
    body: &[u8],
) -> Result<Answer, Problem> {
    let at = queues::locate(admin, name, query)?;
    let wish: ToReceive = match body {
        [] => ToReceive::default(),
        body => read(
            body,
            "{\"max\": 1, \"visibility_seconds\": 30, \"wait_seconds\": 0}",
        )?,
    };
    let command = Receive {
        queue: at.key.clone(),
        max: wish.max,
        visibility: wish.visibility_seconds,
        wait: wish.wait_seconds,
        attempt: None,
    };
    let messages = admin.store.receive(command).await.map_err(refused)?;
    let messages: Vec<Value> = messages
        .iter()
        .map(|message| {
            let mut body = json!({
                "receipt_handle": message.handle,
                "receive_count": message.receive_count,
                "dead_letter_source": message.dead_letter_source,
            });
            describe(message, None, &mut body);
            body
        })
        .collect();
    let links = vec![("queue", at.path("", &[])), ("delete", at.path("/delete", &[]))];
    Ok(document(StatusCode::OK, json!({ "messages": messages }), links))
}

/// What to delete.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToDelete {
    receipt_handles: Vec<String>,
}

pub(super) async fn delete<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
    body: &[u8],
) -> Result<Answer, Problem> {
    let at = queues::locate(admin, name, query)?;
    let wish: ToDelete = read(body, "{\"receipt_handles\": [\"…\"]}")?;
    let command = DeleteMessages {
        queue: at.key.clone(),
        handles: wish.receipt_handles,
    };
    let reply = admin.store.delete(command).await.map_err(refused)?;
    let count = reply.results.len();
    if let Some(error) = reply.results.into_iter().find_map(Result::err) {
        return Err(Problem::invalid(error.to_string()));
    }
    let links = vec![("queue", at.path("", &[]))];
    Ok(document(StatusCode::OK, json!({ "deleted": count }), links))
}

pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8], example: &str) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("{error}; the body looks like {example}")))
}

pub(super) fn refused<E: Display>(failure: Failure<E>) -> Problem {
    match failure {
        Failure::Refused(error) => Problem::invalid(error.to_string()),
        Failure::Unavailable(unavailable) => unavailable.into(),
    }
}

pub(super) fn number(query: &Query, key: &str) -> Result<Option<u64>, Problem> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| Problem::invalid(format!("`{key}`: {text} is not a number")))
    };
    query.get(key).map(parse).transpose()
}
