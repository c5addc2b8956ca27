//! Topics over the log: each operation is one decision.

use tokio::sync::watch;
use tsugite_base::names::Scope;
use tsugite_broker::*;
use tsugite_engine::{Failure, Topics, Unavailable};

use super::LogStore;

impl Topics for LogStore {
    async fn create_topic(&self, command: CreateTopic) -> Result<(), Failure<CreateTopicError>> {
        self.commit(|d, now| d.broker.create_topic(command, now)).await
    }

    async fn delete_topic(&self, topic: TopicKey) -> Result<(), Failure<DeleteTopicError>> {
        self.commit(|d, now| d.broker.delete_topic(topic, now)).await
    }

    async fn set_topic_attribute(&self, command: SetTopicAttribute) -> Result<(), Failure<TopicError>> {
        self.commit(|d, now| d.broker.set_topic_attribute(&command, now))
            .await
    }

    async fn topic_attributes(
        &self,
        topic: TopicKey,
    ) -> Result<Vec<(String, String)>, Failure<TopicNotFound>> {
        let found = self.read(|d, now| d.broker.topic_attributes(&topic, now)).await;
        found.map_err(Failure::Refused)
    }

    async fn tag_topic(
        &self,
        topic: TopicKey,
        tags: Vec<(String, String)>,
    ) -> Result<(), Failure<TagTopicError>> {
        self.commit(|d, now| d.broker.tag_topic(topic, tags, now)).await
    }

    async fn untag_topic(&self, topic: TopicKey, keys: Vec<String>) -> Result<(), Failure<TopicNotFound>> {
        self.commit(|d, now| d.broker.untag_topic(topic, &keys, now))
            .await
    }

    async fn topic_tags(&self, topic: TopicKey) -> Result<Vec<(String, String)>, Failure<TopicNotFound>> {
        let found = self.read(|d, _| d.broker.topic_tags(&topic)).await;
        found.map_err(Failure::Refused)
    }

    async fn put_data_protection(&self, topic: TopicKey, text: String) -> Result<(), Failure<TopicError>> {
        self.commit(|d, now| d.broker.put_data_protection(topic, &text, now))
            .await
    }

    async fn data_protection(&self, topic: TopicKey) -> Result<Option<String>, Failure<TopicNotFound>> {
        let found = self.read(|d, _| d.broker.data_protection(&topic)).await;
        found.map_err(Failure::Refused)
    }

    async fn add_topic_permission(&self, command: AddTopicPermission) -> Result<(), Failure<TopicError>> {
        self.commit(|d, now| d.broker.add_topic_permission(&command, now))
            .await
    }

    async fn remove_topic_permission(
        &self,
        topic: TopicKey,
        label: String,
    ) -> Result<(), Failure<TopicError>> {
        self.commit(|d, now| d.broker.remove_topic_permission(&topic, &label, now))
            .await
    }

    async fn topic_policy(&self, topic: TopicKey) -> Result<String, Failure<TopicNotFound>> {
        let found = self.read(|d, _| d.broker.topic_policy(&topic)).await;
        found.map_err(Failure::Refused)
    }

    async fn subscribe(&self, command: Subscribe) -> Result<Subscribed, Failure<SubscribeError>> {
        self.commit(|d, now| d.broker.subscribe(command, now)).await
    }

    async fn confirm_subscription(
        &self,
        command: ConfirmSubscription,
    ) -> Result<SubscriptionKey, Failure<TopicError>> {
        self.commit(|d, now| d.broker.confirm_subscription(&command, now))
            .await
    }

    async fn unsubscribe(&self, command: Unsubscribe) -> Result<(), Failure<UnsubscribeError>> {
        self.commit(|d, now| d.broker.unsubscribe(command, now)).await
    }

    async fn set_subscription_attribute(
        &self,
        command: SetSubscriptionAttribute,
    ) -> Result<(), Failure<SubscriptionError>> {
        self.commit(|d, now| d.broker.set_subscription_attribute(&command, now))
            .await
    }

    async fn subscription_attributes(
        &self,
        subscription: SubscriptionKey,
    ) -> Result<Vec<(String, String)>, Failure<SubscriptionNotFound>> {
        let found = self
            .read(|d, _| d.broker.subscription_attributes(&subscription))
            .await;
        found.map_err(Failure::Refused)
    }

    async fn publish(&self, command: Publish) -> Result<PublishReply, Failure<PublishBatchError>> {
        self.commit(|d, now| d.broker.publish(&command, now)).await
    }

    async fn send_text(&self, command: TextMessage) -> Result<(), Failure<ParameterInvalid>> {
        self.commit(|d, now| d.broker.send_text(command, now)).await
    }

    async fn topic_subscriptions(
        &self,
        topic: TopicKey,
        after: Option<SubscriptionKey>,
        limit: usize,
    ) -> Result<Page<SubscriptionInfo, SubscriptionKey>, Failure<TopicNotFound>> {
        let look = self.read(|d, _| d.broker.topic_subscriptions(&topic, after.as_ref(), limit));
        look.await.map_err(Failure::Refused)
    }

    async fn subscription(
        &self,
        subscription: SubscriptionKey,
    ) -> Result<SubscriptionInfo, Failure<SubscriptionNotFound>> {
        let found = self.read(|d, _| d.broker.subscription(&subscription)).await;
        found.map_err(Failure::Refused)
    }

    async fn topic(&self, topic: TopicKey) -> Result<TopicInfo, Failure<TopicNotFound>> {
        let found = self.read(|d, now| d.broker.topic(&topic, now)).await;
        found.map_err(Failure::Refused)
    }

    async fn matches(
        &self,
        topic: TopicKey,
        entry: PublishEntry,
        denied: Vec<QueueKey>,
        limit: usize,
    ) -> Result<Result<Vec<Match>, PublishError>, Failure<TopicNotFound>> {
        let found = self.read(|d, _| d.broker.matches(&topic, &entry, &denied, limit));
        let found = found.await;
        found.map_err(Failure::Refused)
    }

    fn topic_stats(&self) -> Vec<TopicInfo> {
        self.peek(|d, now| d.broker.topic_stats(now))
    }

    async fn list_topics(
        &self,
        scope: Scope,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<TopicInfo, TopicKey>, Unavailable> {
        Ok(self
            .read(|d, now| d.broker.list_topics(&scope, after.as_deref(), limit, now))
            .await)
    }

    async fn list_subscriptions(
        &self,
        scope: Scope,
        after: Option<SubscriptionKey>,
        limit: usize,
    ) -> Result<Page<SubscriptionInfo, SubscriptionKey>, Unavailable> {
        Ok(self
            .read(|d, _| d.broker.list_subscriptions(&scope, after.as_ref(), limit))
            .await)
    }

    async fn topic_queues(&self, topic: TopicKey) -> Result<Vec<(QueueKey, Option<String>)>, Unavailable> {
        Ok(self.read(|d, _| d.broker.topic_queues(&topic)).await)
    }

    async fn give_up(&self, command: GiveUp) -> Result<bool, Unavailable> {
        let decided =
            self.commit(|d, now| Ok::<_, std::convert::Infallible>(d.broker.give_up(&command, now)));
        decided.await.map_err(|failure| match failure {
            Failure::Refused(never) => match never {},
            Failure::Unavailable(unavailable) => unavailable,
        })
    }

    async fn captured(&self, limit: usize) -> Result<Vec<Captured>, Unavailable> {
        let found = self
            .read(|d, _| d.broker.peek(&QueueKey::captured(), None, usize::MAX))
            .await;
        // Without a queue, nothing was captured yet.
        let all = found.unwrap_or_default();
        let latest = all.into_iter().rev().take(limit);
        let messages = self.payloads(latest.map(|peeked| peeked.lease).collect()).await?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message.content {
                Content::Captured(captured) => Some(*captured),
                _ => None,
            })
            .collect())
    }

    fn outboxes(&self) -> Vec<Outbox> {
        self.peek(|d, _| d.broker.outboxes())
    }

    fn outbox_changes(&self) -> watch::Receiver<u64> {
        self.0.outboxes.clone()
    }
}
