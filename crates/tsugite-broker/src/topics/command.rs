//! What a client can ask about topics, and what it gets.

use std::sync::Arc;
use std::time::Duration;

use tsugite_base::names::Scope;
use tsugite_base::{Timestamp, Uuid};

use super::TopicTally;
use super::error::PublishError;
use super::subscription::Protocol;
use crate::delivery_policy::DeliveryPolicy;
use crate::keys::{QueueKey, SubscriptionKey, TopicKey};
use crate::message::MessageAttribute;

/// Create a topic, or find it if what is stated agrees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTopic {
    /// Its name.
    pub topic: TopicKey,
    /// Attribute names and values as AWS spells them.
    pub attributes: Vec<(String, String)>,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
    /// `DataProtectionPolicy`, JSON.
    pub data_protection: Option<String>,
}

/// Change one attribute of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetTopicAttribute {
    /// The topic.
    pub topic: TopicKey,
    /// The attribute, as AWS spells it.
    pub name: String,
    /// The value; absent or empty takes the attribute away.
    pub value: Option<String>,
}

/// Add a statement to a topic's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddTopicPermission {
    /// The topic.
    pub topic: TopicKey,
    /// Names the statement.
    pub label: String,
    /// Twelve digits each.
    pub accounts: Vec<String>,
    /// Names of actions, or `*`.
    pub actions: Vec<String>,
}

/// Subscribe an endpoint to a topic, or find the subscription if what is stated agrees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// The topic.
    pub topic: TopicKey,
    /// A random UUID: the end of the new subscription's ARN.
    pub id: Uuid,
    /// A random text that only the endpoint gets to know, for protocols whose endpoints confirm.
    pub token: String,
    /// The account that subscribes.
    pub owner: String,
    /// `SubscriptionPrincipal`: the ARN of who subscribes.
    pub principal: String,
    /// As AWS spells it: `sqs`, `http`, `https`, `email`, `email-json`, `sms`.
    pub protocol: String,
    /// The queue's ARN, the URL, the address or the number.
    pub endpoint: String,
    /// Attribute names and values as AWS spells them.
    pub attributes: Vec<(String, String)>,
    /// `scheme://host` under which who subscribes reaches us.
    pub base_url: Option<String>,
}

/// A subscription that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// Its name.
    pub subscription: SubscriptionKey,
    /// Whether the endpoint has yet to confirm.
    pub pending: bool,
}

/// Confirm a subscription with the token that its endpoint got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfirmSubscription {
    /// The topic.
    pub topic: TopicKey,
    /// The token.
    pub token: String,
    /// Whether only the owner shall be able to end the subscription.
    pub guarded: bool,
    /// Whether the call was signed.
    pub authenticated: bool,
}

/// End a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// Whether the topic's or the subscription's owner asks; else whoever knows the ARN.
    pub by_owner: bool,
    /// A random UUID: the id of the message that tells the endpoint.
    pub id: Uuid,
    /// A random text, with which the endpoint can subscribe again.
    pub token: String,
}

/// Change one attribute of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSubscriptionAttribute {
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// The attribute, as AWS spells it.
    pub name: String,
    /// The value; absent or empty takes the attribute away.
    pub value: Option<String>,
}

/// Publish 1-10 messages to a topic: each goes to every subscription that it matches, or to none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// The topic.
    pub topic: TopicKey,
    /// Shown to receivers of bare messages as `SenderId`.
    pub sender: String,
    /// The `AWSTraceHeader` system attribute of the deliveries.
    pub trace_header: Option<String>,
    /// The messages, in their order.
    pub entries: Vec<PublishEntry>,
    /// Queues whose policy does not let the topic send to them.
    pub denied: Vec<QueueKey>,
}

/// One message to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishEntry {
    /// A random UUID: the message id.
    pub id: Uuid,
    /// The text: JSON with one text for each protocol, if `structured`.
    pub message: String,
    /// `MessageStructure` is `json`.
    pub structured: bool,
    /// Shown in the envelope.
    pub subject: Option<String>,
    /// Named values beside the text.
    pub attributes: Vec<MessageAttribute>,
    /// `MessageGroupId`.
    pub group: Option<String>,
    /// `MessageDeduplicationId`.
    pub deduplication: Option<String>,
}

/// One result per entry of [`Publish`], in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishReply {
    /// What became of each message.
    pub results: Vec<Result<Published, PublishError>>,
}

/// What became of a message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The message id; of a repeat, that of the first acceptance.
    pub id: Uuid,
    /// `SequenceNumber`, on FIFO topics.
    pub sequence: Option<u64>,
    /// Subscriptions for which it is now stored.
    pub deliveries: usize,
    /// Matching subscriptions that could not take it: it went to their dead-letter queue, or nowhere.
    pub undeliverable: usize,
}

/// Send a text message to a phone, that is: capture it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMessage {
    /// A random UUID: the message id.
    pub id: Uuid,
    /// Account and region of who sends.
    pub scope: Scope,
    /// The number.
    pub phone: String,
    /// What is sent.
    pub entry: PublishEntry,
}

/// Give up a message of an outbox: to the subscription's dead-letter queue, else it is dropped and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveUp {
    /// The outbox.
    pub outbox: QueueKey,
    /// The message.
    pub handle: String,
}

/// An outbox as the shell that empties it needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbox {
    /// The queue to receive from.
    pub queue: QueueKey,
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// The URL.
    pub endpoint: String,
    /// Whether the endpoint gets the bare message.
    pub raw: bool,
    /// How deliveries are tried.
    pub policy: Arc<DeliveryPolicy>,
    /// `scheme://host` under which who subscribed reaches us.
    pub base_url: Option<String>,
}

/// One page of a list, and where the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, K> {
    /// The elements, in order of their keys.
    pub elements: Vec<T>,
    /// The key of the last one, if there are more.
    pub next: Option<K>,
}

/// A topic as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// The topic.
    pub topic: TopicKey,
    /// Subscriptions that are confirmed.
    pub confirmed: usize,
    /// Subscriptions whose endpoint has yet to confirm.
    pub pending: usize,
    /// What waits for the endpoints that are posted to.
    pub outboxes: Outstanding,
    /// What happened since the start.
    pub tally: TopicTally,
    /// The machine's time of all this, for the rates of the tally.
    pub at: Timestamp,
}

/// What lies in the outboxes of a topic, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outstanding {
    /// Messages to post, now or later.
    pub waiting: usize,
    /// Messages that are being posted.
    pub in_flight: usize,
    /// Age of the oldest of them.
    pub oldest_age: Option<Duration>,
}

/// A subscription as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionInfo {
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// Whose it is.
    pub owner: String,
    /// How it delivers.
    pub protocol: Protocol,
    /// Where it delivers.
    pub endpoint: String,
    /// Whether the endpoint has yet to confirm.
    pub pending: bool,
    /// Whether the endpoint gets the bare message.
    pub raw: bool,
    /// `FilterPolicy`, if it has one.
    pub filter: Option<String>,
    /// Messages that wait in its outbox, or in its queue.
    pub waiting: Option<usize>,
    /// Messages under way from its outbox, or in flight in its queue.
    pub in_flight: Option<usize>,
}

/// What a message would do to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// How it delivers.
    pub protocol: Protocol,
    /// Where it delivers.
    pub endpoint: String,
    /// Why it would not get the message; empty if it would.
    pub reasons: Vec<String>,
}
