//! Decisions about queues: create, find, list, attributes, purge, delete.

use std::ops::Bound;

use tsugite_base::{Decision, Invalid, Now, names};

use crate::broker::Broker;
use crate::command::{CreateQueue, ListQueues, QueueNames, QueueStats, SetQueueAttributes};
use crate::error::{
    CreateQueueError, PurgeInProgress, PurgeQueueError, QueueAttributesError, QueueExists, QueueNotFound,
    SetQueueAttributesError, Unsupported,
};
use crate::keys::{QueueId, QueueKey};
use crate::record::{Change, Record};
use crate::settings::{QueueSettings, check_listed_name};

impl Broker {
    /// Creates a queue, or finds it if the stated attributes agree with what it has.
    pub fn create_queue(
        &self,
        command: CreateQueue,
        now: Now,
    ) -> Result<Decision<Record, ()>, CreateQueueError> {
        let CreateQueue {
            queue: key,
            attributes,
        } = command;
        names::check_queue_name(&key.name)?;
        let fifo = attributes.iter().any(|(n, v)| n == "FifoQueue" && v == "true");
        if fifo || key.name.ends_with(".fifo") {
            return Err(Unsupported {
                what: "FifoQueue".into(),
            }
            .into());
        }
        if let Ok((_, queue)) = self.find(&key) {
            return match queue.settings.differs(&attributes)? {
                None => Ok(Decision::unchanged(())),
                Some(attribute) => Err(QueueExists {
                    name: key.name,
                    attribute,
                }
                .into()),
            };
        }
        let mut settings = QueueSettings::default();
        for (name, value) in &attributes {
            settings.set(name, value)?;
        }
        self.check_redrive(&key, &settings)?;
        let change = Change::CreateQueue {
            queue: QueueId(self.next_queue),
            key,
            created: now.wall,
            settings: Box::new(settings),
        };
        Ok(self.decided(change, (), now))
    }

    /// Changes attributes, all or none.
    pub fn set_queue_attributes(
        &self,
        command: SetQueueAttributes,
        now: Now,
    ) -> Result<Decision<Record, ()>, SetQueueAttributesError> {
        let (id, queue) = self.find(&command.queue)?;
        let mut settings = queue.settings.clone();
        for (name, value) in &command.attributes {
            settings.set(name, value)?;
        }
        if command.attributes.iter().any(|(name, _)| name == "RedrivePolicy") {
            self.check_redrive(&command.queue, &settings)?;
        }
        let change = Change::SetQueueAttributes {
            queue: id,
            changed: now.wall,
            settings: Box::new(settings),
        };
        Ok(self.decided(change, (), now))
    }

    /// Checks that the target of a queue's redrive policy exists, lies in the same scope and allows it.
    fn check_redrive(&self, source: &QueueKey, settings: &QueueSettings) -> Result<(), Invalid> {
        let Some(policy) = &settings.redrive else {
            return Ok(());
        };
        let target = self.find(&policy.target);
        let rule = if policy.target == *source {
            "a queue cannot be its own dead-letter queue"
        } else if policy.target.scope != source.scope {
            "the dead-letter queue must be of the same account and region"
        } else if let Ok((_, target)) = target {
            match &target.settings.redrive_allow {
                Some(allow) if !allow.permission.allows(source) => {
                    "the RedriveAllowPolicy of the dead-letter queue does not permit this queue"
                }
                _ => return Ok(()),
            }
        } else {
            "the dead-letter queue does not exist"
        };
        Err(Invalid::new(
            "RedrivePolicy.deadLetterTargetArn",
            policy.target.arn(),
            rule,
        ))
    }

    /// One page of names.
    pub fn list_queues(&self, query: &ListQueues) -> QueueNames {
        let Some(all) = self.names.get(&query.scope) else {
            return QueueNames::default();
        };
        let start = match &query.after {
            Some(after) if *after >= query.prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(query.prefix.as_str()),
        };
        let mut found = all
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(name, _)| name)
            .take_while(|name| name.starts_with(&query.prefix));
        let names: Vec<String> = found.by_ref().take(query.limit).cloned().collect();
        let next = found.next().and(names.last().cloned());
        QueueNames { names, next }
    }

    /// The named attributes; `All` stands for every one.
    pub fn queue_attributes(
        &self,
        key: &QueueKey,
        names: &[String],
    ) -> Result<Vec<(String, String)>, QueueAttributesError> {
        let (_, queue) = self.find(key)?;
        for name in names {
            check_listed_name(name)?;
        }
        let mut list = queue.settings.list();
        list.extend([
            ("QueueArn".into(), key.arn().to_string()),
            ("CreatedTimestamp".into(), queue.created.seconds().to_string()),
            (
                "LastModifiedTimestamp".into(),
                queue.changed.seconds().to_string(),
            ),
            ("ApproximateNumberOfMessages".into(), queue.visible().to_string()),
            (
                "ApproximateNumberOfMessagesNotVisible".into(),
                queue.in_flight().to_string(),
            ),
            (
                "ApproximateNumberOfMessagesDelayed".into(),
                queue.delayed().to_string(),
            ),
        ]);
        if !names.iter().any(|name| name == "All") {
            list.retain(|(name, _)| names.contains(name));
        }
        Ok(list)
    }

    /// Deletes a queue and all that lies in it.
    pub fn delete_queue(&self, key: &QueueKey, now: Now) -> Result<Decision<Record, ()>, QueueNotFound> {
        let (queue, _) = self.find(key)?;
        Ok(self.decided(Change::DeleteQueue { queue }, (), now))
    }

    /// Removes every message of a queue, unless that was done a moment ago.
    pub fn purge_queue(&self, key: &QueueKey, now: Now) -> Result<Decision<Record, ()>, PurgeQueueError> {
        let (id, queue) = self.find(key)?;
        let guard = self.settings.purge_guard;
        if queue.purged.is_some_and(|last| self.time(now) < last + guard) {
            return Err(PurgeInProgress {
                name: key.name.clone(),
                seconds: guard.as_secs(),
            }
            .into());
        }
        Ok(self.decided(Change::PurgeQueue { queue: id }, (), now))
    }

    /// Removes all queues and topics.
    pub fn reset(&self, now: Now) -> Decision<Record, ()> {
        self.decided(Change::Reset, (), now)
    }

    /// Every queue with its counters, by scope and name.
    pub fn queue_stats(&self, now: Now) -> Vec<QueueStats> {
        let ids = self.names.values().flat_map(|names| names.values());
        let stats = |queue: &crate::queue::Queue| QueueStats {
            queue: queue.key.clone(),
            visible: queue.visible(),
            in_flight: queue.in_flight(),
            delayed: queue.delayed(),
            oldest_age: queue.oldest_sent().map(|sent| self.time(now).since(sent)),
            dead_letters: queue.settings.redrive.as_ref().map(|p| p.target.clone()),
        };
        ids.filter_map(|id| self.queues.get(id)).map(stats).collect()
    }

    /// One record, decided now.
    pub(crate) fn decided<R>(&self, change: Change, reply: R, now: Now) -> Decision<Record, R> {
        let at = self.time(now);
        Decision::record(vec![Record { at, change }], reply)
    }
}
