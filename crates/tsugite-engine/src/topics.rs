//! Topics and subscriptions as a store offers them.

use std::future::Future;

use tokio::sync::watch;
use tsugite_base::names::Scope;
use tsugite_broker::*;

use crate::failure::{Failure, Unavailable};

/// The operations on topics. A reply means that what it says is durable; all of them are safe to drop at any point.
pub trait Topics: Clone + Send + Sync + 'static {
    /// Creates a topic, or finds it if what is stated agrees.
    fn create_topic(
        &self,
        command: CreateTopic,
    ) -> impl Future<Output = Result<(), Failure<CreateTopicError>>> + Send;

    /// Deletes a topic with its subscriptions, if it exists.
    fn delete_topic(
        &self,
        topic: TopicKey,
    ) -> impl Future<Output = Result<(), Failure<DeleteTopicError>>> + Send;

    /// Changes one attribute of a topic.
    fn set_topic_attribute(
        &self,
        command: SetTopicAttribute,
    ) -> impl Future<Output = Result<(), Failure<TopicError>>> + Send;

    /// The attributes of a topic, as AWS lists them.
    fn topic_attributes(
        &self,
        topic: TopicKey,
    ) -> impl Future<Output = Result<Vec<(String, String)>, Failure<TopicNotFound>>> + Send;

    /// Gives a topic tags.
    fn tag_topic(
        &self,
        topic: TopicKey,
        tags: Vec<(String, String)>,
    ) -> impl Future<Output = Result<(), Failure<TagTopicError>>> + Send;

    /// Takes tags from a topic.
    fn untag_topic(
        &self,
        topic: TopicKey,
        keys: Vec<String>,
    ) -> impl Future<Output = Result<(), Failure<TopicNotFound>>> + Send;

    /// The tags of a topic, by key.
    fn topic_tags(
        &self,
        topic: TopicKey,
    ) -> impl Future<Output = Result<Vec<(String, String)>, Failure<TopicNotFound>>> + Send;

    /// Stores a data protection policy, which is kept and does nothing.
    fn put_data_protection(
        &self,
        topic: TopicKey,
        text: String,
    ) -> impl Future<Output = Result<(), Failure<TopicError>>> + Send;

    /// The data protection policy of a topic, if it has one.
    fn data_protection(
        &self,
        topic: TopicKey,
    ) -> impl Future<Output = Result<Option<String>, Failure<TopicNotFound>>> + Send;

    /// Adds a statement to a topic's policy.
    fn add_topic_permission(
        &self,
        command: AddTopicPermission,
    ) -> impl Future<Output = Result<(), Failure<TopicError>>> + Send;

    /// Takes a statement out of a topic's policy.
    fn remove_topic_permission(
        &self,
        topic: TopicKey,
        label: String,
    ) -> impl Future<Output = Result<(), Failure<TopicError>>> + Send;

    /// The policy of a topic: its own, else the one that every topic has at first.
    fn topic_policy(
        &self,
        topic: TopicKey,
    ) -> impl Future<Output = Result<String, Failure<TopicNotFound>>> + Send;

    /// Subscribes an endpoint to a topic, or finds the subscription that exists.
    fn subscribe(
        &self,
        command: Subscribe,
    ) -> impl Future<Output = Result<Subscribed, Failure<SubscribeError>>> + Send;

    /// Confirms the subscription whose endpoint got the token.
    fn confirm_subscription(
        &self,
        command: ConfirmSubscription,
    ) -> impl Future<Output = Result<SubscriptionKey, Failure<TopicError>>> + Send;

    /// Ends a subscription; does nothing if there is none.
    fn unsubscribe(
        &self,
        command: Unsubscribe,
    ) -> impl Future<Output = Result<(), Failure<UnsubscribeError>>> + Send;

    /// Changes one attribute of a subscription.
    fn set_subscription_attribute(
        &self,
        command: SetSubscriptionAttribute,
    ) -> impl Future<Output = Result<(), Failure<SubscriptionError>>> + Send;

    /// The attributes of a subscription, as AWS lists them.
    fn subscription_attributes(
        &self,
        subscription: SubscriptionKey,
    ) -> impl Future<Output = Result<Vec<(String, String)>, Failure<SubscriptionNotFound>>> + Send;

    /// Stores each message for every subscription that it matches, in one atomic step.
    fn publish(
        &self,
        command: Publish,
    ) -> impl Future<Output = Result<PublishReply, Failure<PublishBatchError>>> + Send;

    /// Captures what would be sent to a phone.
    fn send_text(
        &self,
        command: TextMessage,
    ) -> impl Future<Output = Result<(), Failure<ParameterInvalid>>> + Send;

    /// One page of the subscriptions of a topic.
    fn topic_subscriptions(
        &self,
        topic: TopicKey,
        after: Option<SubscriptionKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Page<SubscriptionInfo, SubscriptionKey>, Failure<TopicNotFound>>> + Send;

    /// A subscription as people look at it.
    fn subscription(
        &self,
        subscription: SubscriptionKey,
    ) -> impl Future<Output = Result<SubscriptionInfo, Failure<SubscriptionNotFound>>> + Send;

    /// A topic as people look at it.
    fn topic(
        &self,
        topic: TopicKey,
    ) -> impl Future<Output = Result<TopicInfo, Failure<TopicNotFound>>> + Send;

    /// What a message would do to each subscription of a topic, at most `limit` of them; nothing is published. The
    /// policies of the queues that are `denied` do not let the topic send to them.
    fn matches(
        &self,
        topic: TopicKey,
        entry: PublishEntry,
        denied: Vec<QueueKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Result<Vec<Match>, PublishError>, Failure<TopicNotFound>>> + Send;

    /// Every topic with its counters.
    fn topic_stats(&self) -> Vec<TopicInfo>;

    /// One page of the topics of a scope, by name; `after` is the last name of the page before.
    fn list_topics(
        &self,
        scope: Scope,
        after: Option<String>,
        limit: usize,
    ) -> impl Future<Output = Result<Page<TopicInfo, TopicKey>, Unavailable>> + Send;

    /// One page of the subscriptions of a scope.
    fn list_subscriptions(
        &self,
        scope: Scope,
        after: Option<SubscriptionKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Page<SubscriptionInfo, SubscriptionKey>, Unavailable>> + Send;

    /// The queues that a topic delivers to, each with its policy.
    fn topic_queues(
        &self,
        topic: TopicKey,
    ) -> impl Future<Output = Result<Vec<(QueueKey, Option<String>)>, Unavailable>> + Send;

    /// Gives up a message of an outbox: to the subscription's dead-letter queue, or it is dropped. False if it is not
    /// there any more, or was taken again since.
    fn give_up(&self, command: GiveUp) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// What was captured, latest first.
    fn captured(&self, limit: usize) -> impl Future<Output = Result<Vec<Captured>, Unavailable>> + Send;

    /// Every outbox in which messages for endpoints may lie. They are received, deleted and hidden like those of any
    /// queue.
    fn outboxes(&self) -> Vec<Outbox>;

    /// Changes its value whenever [`Topics::outboxes`] may have changed.
    fn outbox_changes(&self) -> watch::Receiver<u64>;
}
