//! Decisions about queues: create, find, list, attributes, purge, delete.

use std::ops::Bound;

use tsugite_base::{Decision, Invalid, Now, Timestamp, names};

use crate::broker::Broker;
use crate::command::{CreateQueue, ListQueues, QueueNames, QueueStats, SetQueueAttributes};
use crate::error::{
    CreateQueueError, PurgeInProgress, PurgeQueueError, QueueAttributesError, QueueDeletedRecently,
    QueueExists, QueueNotFound, SetQueueAttributesError,
};
use crate::keys::{QueueId, QueueKey};
use crate::record::{Change, Record};
use crate::settings::{QueueSettings, check_listed_name};
use crate::tags::check_new_tags;

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
            tags,
        } = command;
        names::check_queue_name(&key.name)?;
        check_type(&key, &attributes)?;
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
        self.check_deleted(&key, now)?;
        let mut settings = QueueSettings::new(key.is_fifo());
        settings.set_all(&attributes)?;
        if let Some(fifo) = &mut settings.fifo {
            fifo.enforced = fifo.scope;
        }
        self.check_redrive(&key, &settings)?;
        check_new_tags(&key, &tags)?;
        let queue = QueueId(self.next_queue);
        let change = Change::CreateQueue {
            queue,
            key,
            created: now.wall,
            settings: Box::new(settings),
        };
        let mut decision = self.decided(change, (), now);
        if !tags.is_empty() {
            let (set, removed) = (tags, Vec::new());
            let at = self.time(now);
            let change = Change::TagQueue { queue, set, removed };
            decision.records.push(Record { at, change });
        }
        Ok(decision)
    }

    /// Refuses the name of a queue that was deleted a moment ago, if the operator wants that.
    fn check_deleted(&self, key: &QueueKey, now: Now) -> Result<(), QueueDeletedRecently> {
        let guard = self.settings.deleted_guard;
        let recent = |(at, deleted): &&(Timestamp, QueueKey)| deleted == key && self.time(now) < *at + guard;
        if guard.is_zero() || !self.deleted.iter().any(|entry| recent(&entry)) {
            return Ok(());
        }
        Err(QueueDeletedRecently {
            name: key.name.clone(),
            seconds: guard.as_secs(),
        })
    }

    /// Changes attributes, all or none.
    pub fn set_queue_attributes(
        &self,
        command: SetQueueAttributes,
        now: Now,
    ) -> Result<Decision<Record, ()>, SetQueueAttributesError> {
        let (id, queue) = self.find(&command.queue)?;
        let mut settings = queue.settings.clone();
        settings.set_all(&command.attributes)?;
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
        } else if policy.target.is_fifo() != source.is_fifo() {
            "the dead-letter queue of a FIFO queue must be a FIFO queue, and that of a standard queue a standard one"
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
            check_listed_name(&queue.settings, name)?;
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
        let of_clients = self.names.iter().filter(|(scope, _)| !scope.account.is_empty());
        let ids = of_clients.flat_map(|(_, names)| names.values());
        let stats = |queue: &crate::queue::Queue| QueueStats {
            queue: queue.key.clone(),
            visible: queue.visible(),
            in_flight: queue.in_flight(),
            delayed: queue.delayed(),
            oldest_age: queue.oldest_sent().map(|sent| self.time(now).since(sent)),
            dead_letters: queue.settings.redrive.as_ref().map(|p| p.target.clone()),
            max_receives: queue.settings.redrive.as_ref().map(|p| p.max_receives),
            tally: queue.tally,
            at: self.time(now),
        };
        ids.filter_map(|id| self.queues.get(id)).map(stats).collect()
    }

    /// One record, decided now.
    pub(crate) fn decided<R>(&self, change: Change, reply: R, now: Now) -> Decision<Record, R> {
        let at = self.time(now);
        Decision::record(vec![Record { at, change }], reply)
    }
}

/// A queue is FIFO if its name ends so and it says so: neither without the other.
fn check_type(key: &QueueKey, attributes: &[(String, String)]) -> Result<(), Invalid> {
    let says = |(name, value): &(String, String)| name == "FifoQueue" && value.eq_ignore_ascii_case("true");
    if attributes.iter().any(says) == key.is_fifo() {
        return Ok(());
    }
    let rule = if key.is_fifo() {
        "can only include alphanumeric characters, hyphens, or underscores; 1 to 80 in length. Only the name of a \
         queue with the attribute FifoQueue ends with the .fifo suffix"
    } else {
        "the name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with \
         .fifo suffix and be 1 to 80 in length"
    };
    Err(Invalid::new("QueueName", &key.name, rule))
}
