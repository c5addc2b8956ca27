//! What clients and people may see of topics and subscriptions.

use std::ops::Bound;

use tsugite_base::names::Scope;
use tsugite_base::{Now, Timestamp};

use super::Topic;
use super::command::{Match, Outstanding, Page, PublishEntry, SubscriptionInfo, TopicInfo};
use super::error::*;
use super::permissions::default_policy;
use super::publish::check;
use super::subscription::{Confirmation, Subscription};
use crate::broker::Broker;
use crate::delivery_policy::{DeliveryPolicy, TopicDeliveryPolicy};
use crate::keys::{QueueKey, SubscriptionKey, TopicKey};

impl Broker {
    /// The attributes of a topic, as AWS lists them.
    pub fn topic_attributes(&self, key: &TopicKey, now: Now) -> Result<Vec<(String, String)>, TopicNotFound> {
        let topic = self.find_topic(key)?;
        let set = &topic.settings.attributes;
        let mut list: Vec<(&str, String)> = vec![
            ("TopicArn", key.arn().to_string()),
            ("Owner", key.scope.account.clone()),
            ("SubscriptionsConfirmed", topic.roster.confirmed.to_string()),
            ("SubscriptionsPending", topic.roster.pending.to_string()),
            ("SubscriptionsDeleted", topic.ended.to_string()),
            (
                "EffectiveDeliveryPolicy",
                TopicDeliveryPolicy::effective_json(topic.settings.delivery_policy().as_ref()),
            ),
        ];
        let mut defaults = vec![("DisplayName", String::new()), ("Policy", default_policy(key))];
        if key.is_fifo() {
            defaults.push(("ContentBasedDeduplication", "false".to_owned()));
        }
        list.extend(defaults.into_iter().filter(|(name, _)| !set.contains_key(*name)));
        if topic.settings.archive_days().is_some() {
            let oldest = self.find(&QueueKey::archive(key)).ok();
            let oldest = oldest.and_then(|(_, queue)| queue.oldest_sent());
            let begins = oldest.map_or(now.wall, |sent| self.wall(sent, now));
            list.push(("BeginningArchiveTime", iso(begins)));
        }
        let mut list: Vec<_> = list
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        list.extend(set.clone());
        Ok(list)
    }

    /// The tags of a topic, by key.
    pub fn topic_tags(&self, key: &TopicKey) -> Result<Vec<(String, String)>, TopicNotFound> {
        Ok(self.find_topic(key)?.settings.tags.clone().into_iter().collect())
    }

    /// `DataProtectionPolicy`, if the topic has one.
    pub fn data_protection(&self, key: &TopicKey) -> Result<Option<String>, TopicNotFound> {
        Ok(self.find_topic(key)?.settings.data_protection.clone())
    }

    /// The policy of a topic: its own, else the one that every topic has at first.
    pub fn topic_policy(&self, key: &TopicKey) -> Result<String, TopicNotFound> {
        let own = self.find_topic(key)?.settings.policy().map(str::to_owned);
        Ok(own.unwrap_or_else(|| default_policy(key)))
    }

    /// The attributes of a subscription, as AWS lists them.
    pub fn subscription_attributes(
        &self,
        key: &SubscriptionKey,
    ) -> Result<Vec<(String, String)>, SubscriptionNotFound> {
        let (topic, subscription) = self.find_subscription(key)?;
        let authenticated = matches!(
            subscription.confirmation,
            Confirmation::Confirmed {
                authenticated: true,
                ..
            }
        );
        let set = &subscription.settings.attributes;
        let mut list = vec![
            ("SubscriptionArn", key.arn().to_string()),
            ("TopicArn", key.topic.arn().to_string()),
            ("Owner", subscription.owner.clone()),
            ("Endpoint", subscription.endpoint.clone()),
            ("Protocol", subscription.protocol.to_string()),
            ("PendingConfirmation", subscription.is_pending().to_string()),
            ("ConfirmationWasAuthenticated", authenticated.to_string()),
            ("SubscriptionPrincipal", subscription.principal.clone()),
        ];
        if !set.contains_key("RawMessageDelivery") {
            list.push(("RawMessageDelivery", "false".to_owned()));
        }
        let filtered = set.contains_key("FilterPolicy");
        if filtered && !set.contains_key("FilterPolicyScope") {
            list.push(("FilterPolicyScope", "MessageAttributes".to_owned()));
        }
        if let Some(replay) = &subscription.replay {
            list.push(("ReplayStatus", replay.status.to_string()));
        }
        if subscription.protocol.posts() {
            let effective = topic.delivery_policy(subscription).to_json();
            list.push(("EffectiveDeliveryPolicy", effective));
        }
        let mut list: Vec<_> = list
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        // Without a policy AWS shows no scope, though it is remembered.
        let shown = set
            .iter()
            .filter(|(name, _)| filtered || *name != "FilterPolicyScope");
        list.extend(shown.map(|(name, value)| (name.clone(), value.clone())));
        Ok(list)
    }

    /// One page of the topics of a scope, by name.
    pub fn list_topics(
        &self,
        scope: &Scope,
        after: Option<&str>,
        limit: usize,
        now: Now,
    ) -> Page<TopicInfo, TopicKey> {
        let start = match after {
            Some(after) => Bound::Excluded(TopicKey::new(scope.clone(), after)),
            None => Bound::Included(TopicKey::new(scope.clone(), "")),
        };
        let mut of_scope = self
            .topics
            .range((start, Bound::Unbounded))
            .take_while(|(key, _)| key.scope == *scope);
        let info = |(key, topic): (&TopicKey, &Topic)| self.topic_info(key, topic, now);
        let elements: Vec<TopicInfo> = of_scope.by_ref().take(limit).map(info).collect();
        let last = elements.last().map(|info| info.topic.clone());
        Page {
            next: of_scope.next().and(last),
            elements,
        }
    }

    /// A topic as people look at it.
    pub fn topic(&self, key: &TopicKey, now: Now) -> Result<TopicInfo, TopicNotFound> {
        Ok(self.topic_info(key, self.find_topic(key)?, now))
    }

    /// Every topic with its counters, by scope and name.
    pub fn topic_stats(&self, now: Now) -> Vec<TopicInfo> {
        let info = |(key, topic): (&TopicKey, &Topic)| self.topic_info(key, topic, now);
        self.topics.iter().map(info).collect()
    }

    fn topic_info(&self, key: &TopicKey, topic: &Topic, now: Now) -> TopicInfo {
        TopicInfo {
            topic: key.clone(),
            confirmed: topic.roster.confirmed,
            pending: topic.roster.pending,
            outboxes: self.outstanding(topic, now),
            tally: topic.tally,
            at: self.time(now),
        }
    }

    fn outstanding(&self, topic: &Topic, now: Now) -> Outstanding {
        let mut sum = Outstanding::default();
        let outboxes = topic.roster.outboxes.iter();
        for queue in outboxes.filter_map(|id| self.queues.get(id)) {
            sum.waiting += queue.table.len() - queue.in_flight();
            sum.in_flight += queue.in_flight();
            let age = queue.oldest_sent().map(|sent| self.time(now).since(sent));
            sum.oldest_age = sum.oldest_age.max(age);
        }
        sum
    }

    /// One page of the subscriptions of a scope, by topic and id.
    pub fn list_subscriptions(
        &self,
        scope: &Scope,
        after: Option<&SubscriptionKey>,
        limit: usize,
    ) -> Page<SubscriptionInfo, SubscriptionKey> {
        let first = TopicKey::new(scope.clone(), "");
        let start = after.map_or(&first, |after| &after.topic);
        let topics = self
            .topics
            .range(start..)
            .take_while(|(key, _)| key.scope == *scope);
        self.page(topics, after, limit)
    }

    /// One page of the subscriptions of a topic, by id.
    pub fn topic_subscriptions(
        &self,
        key: &TopicKey,
        after: Option<&SubscriptionKey>,
        limit: usize,
    ) -> Result<Page<SubscriptionInfo, SubscriptionKey>, TopicNotFound> {
        let topic = self.find_topic(key)?;
        Ok(self.page([(key, topic)].into_iter(), after, limit))
    }

    fn page<'a>(
        &'a self,
        topics: impl Iterator<Item = (&'a TopicKey, &'a Topic)>,
        after: Option<&SubscriptionKey>,
        limit: usize,
    ) -> Page<SubscriptionInfo, SubscriptionKey> {
        let of_topic = |(key, topic): (&'a TopicKey, &'a Topic)| {
            let start = match after {
                Some(after) if after.topic == *key => Bound::Excluded(after.id),
                _ => Bound::Unbounded,
            };
            let listed = topic.subscriptions.range((start, Bound::Unbounded));
            listed
                .filter(|(_, s)| s.is_listed())
                .map(move |(id, s)| (key, *id, s))
        };
        let mut all = topics.flat_map(of_topic);
        let info = |(topic, id, s): (&TopicKey, _, &Subscription)| {
            let topic = topic.clone();
            self.subscription_info(SubscriptionKey { topic, id }, s)
        };
        let elements: Vec<SubscriptionInfo> = all.by_ref().take(limit).map(info).collect();
        let last = elements.last().map(|info| info.subscription.clone());
        Page {
            next: all.next().and(last),
            elements,
        }
    }

    /// A subscription as people look at it.
    pub fn subscription(&self, key: &SubscriptionKey) -> Result<SubscriptionInfo, SubscriptionNotFound> {
        let (_, subscription) = self.find_subscription(key)?;
        Ok(self.subscription_info(key.clone(), subscription))
    }

    fn subscription_info(&self, key: SubscriptionKey, subscription: &Subscription) -> SubscriptionInfo {
        let target = subscription.outbox.and_then(|id| self.queues.get(&id));
        let target = target.or_else(|| Some(self.find(subscription.queue.as_ref()?).ok()?.1));
        SubscriptionInfo {
            subscription: key,
            owner: subscription.owner.clone(),
            protocol: subscription.protocol,
            endpoint: subscription.endpoint.clone(),
            pending: subscription.is_pending(),
            raw: subscription.settings.raw,
            filter: subscription.settings.get("FilterPolicy").map(str::to_owned),
            waiting: target.map(|queue| queue.table.len() - queue.in_flight()),
            in_flight: target.map(|queue| queue.in_flight()),
        }
    }

    /// What a message would do to each subscription of a topic; at most `limit` of them. `denied` as in [`Publish`](super::Publish).
    pub fn matches(
        &self,
        key: &TopicKey,
        entry: &PublishEntry,
        denied: &[QueueKey],
        limit: usize,
    ) -> Result<Result<Vec<Match>, PublishError>, TopicNotFound> {
        let topic = self.find_topic(key)?;
        // A topic without subscriptions refuses it as well.
        if let Err(error) = check(topic, entry) {
            return Ok(Err(error));
        }
        let listed = topic.subscriptions.iter().filter(|(_, s)| s.is_listed());
        let look = |(&id, s): (&tsugite_base::Uuid, &Subscription)| {
            Ok(Match {
                subscription: SubscriptionKey {
                    topic: key.clone(),
                    id,
                },
                protocol: s.protocol,
                endpoint: s.endpoint.clone(),
                reasons: self.why_not(topic, s, denied, entry)?,
            })
        };
        Ok(listed.take(limit).map(look).collect())
    }

    /// The queues that a topic delivers to, each with its policy: what a door looks at that lets policies decide.
    pub fn topic_queues(&self, key: &TopicKey) -> Vec<(QueueKey, Option<String>)> {
        let subscriptions = self
            .topics
            .get(key)
            .into_iter()
            .flat_map(|t| t.subscriptions.values());
        let queues = subscriptions.filter_map(|s| s.queue.as_ref());
        let policy = |key: &QueueKey| Some((key.clone(), self.find(key).ok()?.1.settings.policy.clone()));
        queues.filter_map(policy).collect()
    }
}

impl Topic {
    /// How deliveries to a subscription's endpoint are tried.
    pub(super) fn delivery_policy(&self, subscription: &Subscription) -> DeliveryPolicy {
        let own = subscription.settings.delivery_policy();
        DeliveryPolicy::effective(self.settings.delivery_policy().as_ref(), own.as_ref())
    }
}

/// A moment as `YYYY-MM-DDThh:mm:ss.sssZ`.
fn iso(at: Timestamp) -> String {
    at.iso_millis()
}
