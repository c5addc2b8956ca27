//! Topics and subscriptions: what they are, and the decisions about them.
//!
//! A publish becomes one record, however many subscriptions it reaches (`publish.rs`). What a subscription delivers to
//! is always a queue: the one that it names (`sqs`), an *outbox* of its own (`http`, `https`), from which the shell
//! takes messages as any receiver does, or the queue of what is captured (`email`, `sms`). So leases, retries over
//! restarts, retention and dead letters are those of queues (`outbox.rs`).

mod apply;
mod attributes;
mod change;
mod command;
mod confirm;
mod error;
mod look;
mod outbox;
mod permissions;
mod publish;
mod replay;
mod roster;
mod settings;
mod subscribe;
mod subscription;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use tsugite_base::{Decision, Now, Timestamp, Uuid, limits, names};
use tsugite_filter::Index;

pub use change::TopicChange;
pub use command::*;
pub use error::*;
pub use replay::{Replay, ReplayBatch, ReplayStatus, ReplayStep};
pub use settings::{TopicSettings, check_topic_attribute};
pub use subscribe::check_subscription;
pub use subscription::{Confirmation, Protocol, Subscription, SubscriptionSettings};

use self::roster::Roster;
use crate::broker::Broker;
use crate::dedup::Deduplication;
use crate::keys::{QueueId, QueueKey, TopicKey};
use crate::record::{Change, Record};
use crate::tally::Count;

/// A topic with its subscriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topic {
    pub(crate) settings: TopicSettings,
    pub(crate) subscriptions: BTreeMap<Uuid, Subscription>,
    /// Subscriptions that ended.
    pub(crate) ended: u64,
    /// What a FIFO topic accepted in the last five minutes.
    pub(crate) accepted: Deduplication,
    /// The number of the next message of a FIFO topic.
    pub(crate) next_number: u64,
    /// Counts of them, and who has which endpoint.
    pub(super) roster: Roster,
    /// Those without a filter policy that take messages.
    pub(super) unfiltered: BTreeSet<Uuid>,
    /// Those with one.
    pub(super) filtered: Index<Uuid>,
    /// What happened here since the start; not part of the state.
    pub(crate) tally: TopicTally,
}

/// What is counted of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicTally {
    /// Messages that were accepted.
    pub published: Count,
    /// Messages stored for a subscription, one for each.
    pub delivered: Count,
    /// Messages that went to the dead-letter queue of a subscription, or were dropped where there is none.
    pub failed: Count,
}

impl Topic {
    /// Without settings; `seed` is that of [`crate::Settings`].
    pub(crate) fn new(seed: u64) -> Topic {
        Topic {
            accepted: Deduplication::new(seed),
            ..Topic::default()
        }
    }

    /// Puts a subscription in, or another state of it.
    pub(super) fn put(&mut self, id: Uuid, subscription: Subscription) {
        self.unlist(id);
        self.roster.enter(id, &subscription);
        if subscription.hears() {
            match &subscription.settings.filter {
                Some(policy) => self.filtered.insert(id, policy),
                None => {
                    self.unfiltered.insert(id);
                }
            }
        }
        self.subscriptions.insert(id, subscription);
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<Subscription> {
        self.unlist(id);
        self.subscriptions.remove(&id)
    }

    fn unlist(&mut self, id: Uuid) {
        self.unfiltered.remove(&id);
        let Some(known) = self.subscriptions.get(&id) else {
            return;
        };
        self.roster.leave(id, known);
        if known.hears() && known.settings.filter.is_some() {
            self.filtered.remove(id);
        }
    }
}

impl Broker {
    /// Creates a topic, or finds it if what is stated agrees.
    pub fn create_topic(
        &self,
        command: CreateTopic,
        now: Now,
    ) -> Result<Decision<Record, ()>, CreateTopicError> {
        let CreateTopic {
            topic,
            attributes,
            tags,
            data_protection,
        } = command;
        names::check_topic_name(&topic.name).map_err(|_| ParameterInvalid::new("Topic Name", ""))?;
        settings::check_type(&topic, &attributes)?;
        let tags = settings::unique(tags)?;
        if let Some(existing) = self.topics.get(&topic) {
            existing.settings.agrees(&topic, &attributes, &tags)?;
            return Ok(Decision::unchanged(()));
        }
        let mut settings = TopicSettings::new(now.wall);
        for (name, value) in &attributes {
            let set = settings.set(&topic, name, value);
            set.map_err(AttributeInvalid::stated)?;
        }
        settings.tag(tags)?;
        if let Some(text) = data_protection {
            settings.protect(&text)?;
        }
        let mut changes = self.archive_changes(&topic, &settings, now);
        let settings = Box::new(settings);
        changes.push(TopicChange::PutTopic { topic, settings }.into());
        Ok(self.decided_all(changes, (), now))
    }

    /// Deletes a topic with its subscriptions, if it exists.
    pub fn delete_topic(&self, topic: TopicKey, now: Now) -> Result<Decision<Record, ()>, DeleteTopicError> {
        let Some(known) = self.topics.get(&topic) else {
            return Ok(Decision::unchanged(()));
        };
        if known.settings.archive_days().is_some() {
            return Err(ArchiveActive { topic }.into());
        }
        let mut changes: Vec<Change> = known.subscriptions.values().filter_map(outbox::removal).collect();
        changes.push(TopicChange::DeleteTopic { topic }.into());
        Ok(self.decided_all(changes, (), now))
    }

    /// Changes one attribute of a topic; an absent or empty value takes it away.
    pub fn set_topic_attribute(
        &self,
        command: &SetTopicAttribute,
        now: Now,
    ) -> Result<Decision<Record, ()>, TopicError> {
        let SetTopicAttribute { topic, name, value } = command;
        let known = self.find_topic(topic)?;
        let mut settings = Box::new(known.settings.clone());
        let set = settings.set_later(topic, name, value.as_deref().unwrap_or_default());
        set.map_err(AttributeInvalid::alone)?;
        if settings.max_size() > limits::TOPIC_MESSAGE_BYTES {
            known.check_large()?;
        }
        let mut changes = self.archive_changes(topic, &settings, now);
        let topic = topic.clone();
        changes.push(TopicChange::PutTopic { topic, settings }.into());
        Ok(self.decided_all(changes, (), now))
    }

    /// Gives a topic tags; one of a key that it has is overwritten.
    pub fn tag_topic(
        &self,
        topic: TopicKey,
        tags: Vec<(String, String)>,
        now: Now,
    ) -> Result<Decision<Record, ()>, TagTopicError> {
        let mut settings = Box::new(self.find_topic(&topic)?.settings.clone());
        settings.tag(settings::unique(tags)?)?;
        Ok(self.decided(TopicChange::PutTopic { topic, settings }.into(), (), now))
    }

    /// Takes tags from a topic; keys that it has not are ignored.
    pub fn untag_topic(
        &self,
        topic: TopicKey,
        keys: &[String],
        now: Now,
    ) -> Result<Decision<Record, ()>, TopicNotFound> {
        let mut settings = Box::new(self.find_topic(&topic)?.settings.clone());
        settings.tags.retain(|key, _| !keys.contains(key));
        Ok(self.decided(TopicChange::PutTopic { topic, settings }.into(), (), now))
    }

    /// Stores a data protection policy, which is kept and does nothing.
    pub fn put_data_protection(
        &self,
        topic: TopicKey,
        text: &str,
        now: Now,
    ) -> Result<Decision<Record, ()>, TopicError> {
        let mut settings = Box::new(self.find_topic(&topic)?.settings.clone());
        settings.protect(text)?;
        Ok(self.decided(TopicChange::PutTopic { topic, settings }.into(), (), now))
    }

    pub(crate) fn find_topic(&self, key: &TopicKey) -> Result<&Topic, TopicNotFound> {
        self.topics
            .get(key)
            .ok_or_else(|| TopicNotFound { topic: key.clone() })
    }

    /// Several records, decided now.
    pub(crate) fn decided_all<R>(&self, changes: Vec<Change>, reply: R, now: Now) -> Decision<Record, R> {
        let at = self.time(now);
        let records = changes.into_iter().map(|change| Record { at, change });
        Decision::record(records.collect(), reply)
    }

    /// What becomes of the archive where these are to be the settings.
    fn archive_changes(&self, topic: &TopicKey, settings: &TopicSettings, now: Now) -> Vec<Change> {
        let key = QueueKey::archive(topic);
        let Some(days) = settings.archive_days() else {
            let queue = self.queue_id(&key);
            return queue
                .map(|queue| Change::DeleteQueue { queue })
                .into_iter()
                .collect();
        };
        let retention = days * 86_400;
        let (mut changes, queue) = self.internal_queue(&key, retention, now.wall);
        if let Ok((_, archive)) = self.find(&key)
            && archive.settings.retention != retention
        {
            let settings = Box::new(crate::settings::QueueSettings {
                retention,
                ..archive.settings.clone()
            });
            let changed = now.wall;
            changes.push(Change::SetQueueAttributes {
                queue,
                changed,
                settings,
            });
        }
        changes
    }

    /// The changes that create an internal queue, unless it exists; and its number.
    pub(crate) fn internal_queue(
        &self,
        key: &QueueKey,
        retention: u32,
        created: Timestamp,
    ) -> (Vec<Change>, QueueId) {
        if let Some(id) = self.queue_id(key) {
            return (Vec::new(), id);
        }
        let queue = QueueId(self.next_queue);
        let settings = Box::new(crate::settings::QueueSettings {
            retention,
            ..crate::settings::QueueSettings::default()
        });
        let key = key.clone();
        let create = Change::CreateQueue {
            queue,
            key,
            created,
            settings,
        };
        (vec![create], queue)
    }
}
