//! What `/metrics` says of queues and topics, by account and region.

use tsugite_broker::{QueueKey, Tally, TopicKey, TopicTally};

use super::Page;
use crate::admin::{Admin, Store};

pub(super) fn queues<S: Store>(page: &mut Page, admin: &Admin<S>) {
    let stats = admin.store.queue_stats();
    let name = "tsugite_queue_messages";
    page.family(name, "gauge", "Stored messages by state.");
    for queue in &stats {
        let key = &queue.queue;
        for (state, count) in [
            ("visible", queue.visible),
            ("in_flight", queue.in_flight),
            ("delayed", queue.delayed),
        ] {
            let [queue, account, region] = labels(key);
            page.sample(name, &[queue, account, region, ("state", state)], count);
        }
    }
    let name = "tsugite_queue_oldest_age_seconds";
    page.family(
        name,
        "gauge",
        "Age of the oldest stored message; 0 if there is none.",
    );
    for queue in &stats {
        let age = queue.oldest_age.unwrap_or_default().as_secs_f64();
        page.sample(name, &labels(&queue.queue), age);
    }
    for (name, help, total) in COUNTS {
        page.family(name, "counter", help);
        for queue in &stats {
            page.sample(name, &labels(&queue.queue), total(&queue.tally));
        }
    }
}

pub(super) fn topics<S: Store>(page: &mut Page, admin: &Admin<S>) {
    let stats = admin.store.topic_stats();
    let name = "tsugite_topic_subscriptions";
    page.family(name, "gauge", "Subscriptions by state.");
    for info in &stats {
        for (state, count) in [("confirmed", info.confirmed), ("pending", info.pending)] {
            let [topic, account, region] = topic_labels(&info.topic);
            page.sample(name, &[topic, account, region, ("state", state)], count);
        }
    }
    let name = "tsugite_outbox_messages";
    page.family(
        name,
        "gauge",
        "Messages for endpoints that are posted to, by state, of all subscriptions of a topic.",
    );
    for info in &stats {
        let outboxes = &info.outboxes;
        for (state, count) in [("waiting", outboxes.waiting), ("in_flight", outboxes.in_flight)] {
            let [topic, account, region] = topic_labels(&info.topic);
            page.sample(name, &[topic, account, region, ("state", state)], count);
        }
    }
    let name = "tsugite_outbox_oldest_age_seconds";
    page.family(
        name,
        "gauge",
        "Age of the oldest message that is still to be posted; 0 if there is none.",
    );
    for info in &stats {
        let age = info.outboxes.oldest_age.unwrap_or_default().as_secs_f64();
        page.sample(name, &topic_labels(&info.topic), age);
    }
    let name = "tsugite_delivery_tries_total";
    page.family(name, "counter", "Requests to endpoints that ended, by outcome.");
    let [successes, failures, given_up] = admin.deliverer.totals();
    for (outcome, count) in [("success", successes), ("failure", failures)] {
        page.sample(name, &[("outcome", outcome)], count);
    }
    page.single(
        "tsugite_delivery_given_up_total",
        "counter",
        "Messages for endpoints after whose last try there was no other.",
        given_up,
    );
    for (name, help, total) in TOPIC_COUNTS {
        page.family(name, "counter", help);
        for info in &stats {
            page.sample(name, &topic_labels(&info.topic), total(&info.tally));
        }
    }
}

/// A counter of every topic, since the start: its name, what it counts, and where.
type TopicCount = (&'static str, &'static str, fn(&TopicTally) -> u64);

const TOPIC_COUNTS: [TopicCount; 3] = [
    ("tsugite_topic_published_total", "Messages accepted.", |t| {
        t.published.total
    }),
    (
        "tsugite_topic_delivered_total",
        "Messages stored for a subscription, one for each.",
        |t| t.delivered.total,
    ),
    (
        "tsugite_topic_failed_total",
        "Messages that a subscription could not take: gone to its dead-letter queue, or dropped.",
        |t| t.failed.total,
    ),
];

fn topic_labels(key: &TopicKey) -> [(&str, &str); 3] {
    [
        ("topic", &key.name),
        ("account", &key.scope.account),
        ("region", &key.scope.region),
    ]
}

/// A counter of every queue, since the start: its name, what it counts, and where.
type QueueCount = (&'static str, &'static str, fn(&Tally) -> u64);

const COUNTS: [QueueCount; 5] = [
    ("tsugite_queue_sent_total", "Messages stored.", |t| t.sent.total),
    ("tsugite_queue_received_total", "Deliveries begun.", |t| {
        t.received.total
    }),
    (
        "tsugite_queue_deleted_total",
        "Messages deleted by receivers.",
        |t| t.deleted.total,
    ),
    (
        "tsugite_queue_expired_total",
        "Messages older than the retention.",
        |t| t.expired.total,
    ),
    (
        "tsugite_queue_dead_lettered_total",
        "Messages gone to the dead-letter queue.",
        |t| t.dead_lettered.total,
    ),
];

fn labels(key: &QueueKey) -> [(&str, &str); 3] {
    [
        ("queue", &key.name),
        ("account", &key.scope.account),
        ("region", &key.scope.region),
    ]
}
