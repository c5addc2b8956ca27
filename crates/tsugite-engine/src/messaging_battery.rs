//! What every store must do with queues and topics, told through [`Messaging`] alone.
//!
//! A store runs it with one line: `tsugite_engine::messaging_battery!(stage);` where `stage` is a function that
//! gives a fresh [`Stage`]. The machine behind a store has tests of its own for every rule; here are those that
//! a store can get wrong: durability, atomicity, waiting, order, and what concurrent callers see of each other.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::time::Duration;

use tsugite_base::Uuid;
use tsugite_base::names::Scope;
use tsugite_base::rng::SplitMix64;
use tsugite_broker::*;

use crate::Messaging;
pub use crate::stage::{Stage, run};

mod moves;
mod stored;
mod waits;

pub use moves::*;
pub use stored::*;
pub use waits::*;

/// Makes one test of each case of the battery, on stages made by `$stage`.
#[macro_export]
macro_rules! messaging_battery {
    ($stage:path) => {
        $crate::messaging_battery!($stage:
            a_message_goes_through_its_life, a_lease_ends, a_delay_ends, order_is_kept, attributes_hold,
            unknown_names_are_refused, purge_and_guard, dead_letters, a_publish_reaches_all,
            topics_and_subscriptions_come_and_go, acknowledged_work_survives_a_restart, a_long_poll_is_woken,
            a_long_poll_ends_empty, those_who_wait_are_served_in_order, a_wait_that_was_given_up_takes_nothing,
            a_deleted_queue_ends_waits, a_new_queue_of_the_same_name_is_another, big_batches,
            many_producers_and_consumers, a_reset_empties_all,
            dead_letters_are_moved_back, a_move_keeps_its_rate, a_move_goes_on_after_a_restart,
            a_move_without_destination_fails, moves_that_cannot_be, a_large_move_loses_nothing,
        );
    };
    ($stage:path: $($case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                $crate::messaging_battery::run(async { $crate::messaging_battery::$case(&mut $stage()).await });
            }
        )*
    };
}

/// Long enough for a call to begin to wait.
const MOMENT: Duration = Duration::from_millis(20);
/// Long enough for anything that does happen.
const SOON: Duration = Duration::from_secs(10);

fn key(name: &str) -> QueueKey {
    QueueKey::new(Scope::default(), name)
}

fn topic(name: &str) -> TopicKey {
    TopicKey::new(Scope::default(), name)
}

fn id(seed: u64) -> Uuid {
    let mut rng = SplitMix64::new(seed);
    let halves = [rng.next_u64(), rng.next_u64()];
    Uuid::v4(std::array::from_fn(|i| halves[i / 8].to_le_bytes()[i % 8]))
}

fn entry(body: &str) -> SendEntry {
    // The same text gets the same id: enough for a test, which knows its texts.
    let seed = body
        .bytes()
        .fold(17, |sum: u64, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    SendEntry {
        id: id(seed),
        body: body.into(),
        ..SendEntry::default()
    }
}

pub(crate) fn pairs(attributes: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(n, v): &(&str, &str)| (n.to_owned(), v.to_owned());
    attributes.iter().map(owned).collect()
}

/// The text of a message, in an envelope or not.
pub(crate) fn text(message: &Message) -> &str {
    match &message.content {
        Content::Plain { body, .. } => body,
        Content::Enveloped(notification) => &notification.message,
        Content::Announced(announcement) => &announcement.token,
        Content::Captured(captured) => &captured.text,
    }
}

pub(crate) fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(text).collect()
}

async fn create<M: Messaging>(store: &M, name: &str, attributes: &[(&str, &str)]) {
    let attributes = pairs(attributes);
    let command = CreateQueue {
        tags: Vec::new(),
        queue: key(name),
        attributes,
    };
    store.create_queue(command).await.unwrap();
}

async fn send_entries<M: Messaging>(store: &M, name: &str, entries: Vec<SendEntry>) {
    let command = SendMessages {
        queue: key(name),
        sender: "me".into(),
        entries,
    };
    let reply = store.send(command).await.unwrap();
    assert!(reply.results.iter().all(Result::is_ok), "{reply:?}");
}

async fn send<M: Messaging>(store: &M, name: &str, body: &str) {
    send_entries(store, name, vec![entry(body)]).await;
}

fn receive(name: &str, max: i64, wait: i64) -> Receive {
    Receive {
        queue: key(name),
        max: Some(max),
        visibility: None,
        wait: Some(wait),
        attempt: None,
    }
}

async fn take<M: Messaging>(store: &M, name: &str, max: i64) -> Vec<Message> {
    store.receive(receive(name, max, 0)).await.unwrap()
}

async fn delete<M: Messaging>(store: &M, name: &str, message: &Message) {
    let handles = vec![message.handle.clone()];
    let reply = store
        .delete(DeleteMessages {
            queue: key(name),
            handles,
        })
        .await;
    assert_eq!(reply.unwrap().results, [Ok(())]);
}

async fn change<M: Messaging>(store: &M, name: &str, message: &Message, timeout: i64) {
    let entries = vec![ChangeVisibilityEntry {
        handle: message.handle.clone(),
        timeout,
    }];
    let reply = store
        .change_visibility(ChangeVisibility {
            queue: key(name),
            entries,
        })
        .await;
    assert_eq!(reply.unwrap().results, [Ok(())]);
}

async fn subscribe<M: Messaging>(
    store: &M,
    to: &str,
    name: &str,
    attributes: &[(&str, &str)],
) -> SubscriptionKey {
    let command = Subscribe {
        topic: topic(to),
        id: id(name.len() as u64),
        protocol: "sqs".into(),
        endpoint: key(name).arn().to_string(),
        attributes: pairs(attributes),
        ..Subscribe::default()
    };
    store.subscribe(command).await.unwrap().subscription
}

async fn publish<M: Messaging>(store: &M, to: &str, message: &str) -> Published {
    let command = Publish {
        topic: topic(to),
        entries: vec![PublishEntry {
            id: id(99),
            message: message.into(),
            ..PublishEntry::default()
        }],
        ..Publish::default()
    };
    store.publish(command).await.unwrap().results.remove(0).unwrap()
}

/// Visible, in flight, delayed.
fn counts<M: Messaging>(store: &M, name: &str) -> (usize, usize, usize) {
    let stats = store.queue_stats();
    let stats = stats.iter().find(|s| s.queue == key(name)).unwrap();
    (stats.visible, stats.in_flight, stats.delayed)
}
