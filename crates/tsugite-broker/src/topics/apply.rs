//! `apply` for topics.

use std::time::Duration;

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Place, Sheaf, Timestamp, Uuid};

use super::settings::TopicSettings;
use super::subscription::Subscription;
use super::{Topic, TopicChange};
use crate::broker::Broker;
use crate::dedup::{Deduplication, First};
use crate::fifo::deduplication_key;
use crate::keys::{QueueId, QueueKey, TopicKey};
use crate::payload::{self, Delivery};

impl Broker {
    pub(crate) fn apply_topic(&mut self, change: TopicChange, end: u64, at: Timestamp) {
        match change {
            TopicChange::PutTopic { topic, settings } => {
                let seed = self.settings.seed;
                let topic = self.topics.entry(topic).or_insert_with(|| Topic::new(seed));
                topic.settings = *settings;
                self.outbox_changes += 1;
            }
            TopicChange::DeleteTopic { topic } => {
                let known = self.topics.get(&topic).into_iter();
                let ids: Vec<Uuid> = known.flat_map(|t| t.subscriptions.keys().copied()).collect();
                ids.into_iter()
                    .for_each(|id| self.remove_subscription(&topic, id));
                self.topics.remove(&topic);
            }
            TopicChange::PutSubscription {
                topic,
                id,
                subscription,
            } => {
                self.put_subscription(&topic, id, *subscription);
            }
            TopicChange::Unsubscribe { topic, id } => self.remove_subscription(&topic, id),
            TopicChange::Publish {
                topic,
                accepted,
                failed,
                numbers,
                deliveries,
                payload,
            } => {
                if let Some(topic) = self.topics.get_mut(&topic) {
                    topic.tally.published.add(1, at);
                    topic.tally.delivered.add(deliveries.len(), at);
                    topic.tally.failed.add(failed as usize, at);
                    if let Some((number, id, key)) = accepted {
                        topic.next_number = number + 1;
                        topic.accepted.accept(key, First { seq: number, id }, at);
                    }
                }
                // A replay with an end that lies ahead goes on with what is published until then.
                self.replay_news |= !self.replays.is_empty();
                self.apply_publish(&numbers, &deliveries, &payload, end, at);
            }
            TopicChange::Replay {
                subscription,
                target,
                next,
                status,
                messages,
                bytes,
            } => {
                let step = (target, next, status);
                self.apply_replay(&subscription, step, &messages, &bytes, (end, at));
            }
            TopicChange::GiveUp {
                outbox,
                seq,
                target,
                topic,
            } => {
                if let Some(topic) = self.topics.get_mut(&topic) {
                    topic.tally.failed.add(1, at);
                }
                self.apply_give_up(outbox, seq, target, (end, at));
            }
        }
    }

    fn put_subscription(&mut self, topic: &TopicKey, id: Uuid, subscription: Subscription) {
        let Some(known) = self.topics.get_mut(topic) else {
            return;
        };
        let before = known.subscriptions.get(&id);
        known.ended += u64::from(!subscription.is_listed() && before.is_some_and(|s| s.is_listed()));
        let (before, after) = (before.and_then(|s| s.until()), subscription.until());
        let replays = subscription.replays();
        let outbox = subscription.outbox;
        known.put(id, subscription);
        self.note_outbox(outbox, topic, id);
        self.note_replay(topic, id, replays);
        self.note_waiting(topic, id, before, after);
        self.outbox_changes += 1;
    }

    /// Takes a subscription out with its outbox.
    pub(super) fn remove_subscription(&mut self, topic: &TopicKey, id: Uuid) {
        let Some(known) = self.topics.get_mut(topic) else {
            return;
        };
        if let Some(gone) = known.remove(id) {
            known.ended += u64::from(gone.is_listed());
            self.note_waiting(topic, id, gone.until(), None);
            self.note_replay(topic, id, false);
            if let Some(outbox) = gone.outbox {
                self.outboxes.remove(&outbox);
                self.remove_queue(outbox);
            }
            self.outbox_changes += 1;
        }
    }

    fn apply_publish(
        &mut self,
        numbers: &[u64],
        deliveries: &[Delivery],
        bytes: &[u8],
        end: u64,
        at: Timestamp,
    ) {
        let len = bytes.len() as u32;
        let payload = Place {
            lsn: end - u64::from(len),
            len,
        };
        let grouped = deliveries.iter().any(|delivery| delivery.grouped);
        let group = grouped
            .then(|| payload::group_of_published(bytes))
            .and_then(Result::ok);
        for (i, (delivery, number)) in deliveries.iter().zip(numbers).enumerate() {
            let before = (deliveries.len() - i) * Delivery::LEN;
            let group = group.as_ref().filter(|_| delivery.grouped);
            self.with(delivery.queue, |queue| {
                let delay = Duration::from_secs(queue.settings.delay.into());
                queue.number_from(*number);
                if let (Some(fifo), Some((publish, group, Some(deduplication)))) =
                    (queue.settings.fifo.as_ref(), group)
                {
                    let key = deduplication_key(fifo, group, deduplication);
                    let first = First {
                        seq: queue.next_seq,
                        id: delivery.message_id(*publish),
                    };
                    queue.memory.accepted.accept(key, first, at);
                }
                let group = group.map(|(_, group, _)| *group);
                queue.store(payload, before as u32, at, at + delay, group);
                queue.tally.sent.add(1, at);
                delay.is_zero()
            });
        }
    }

    fn apply_give_up(
        &mut self,
        outbox: QueueId,
        seq: u64,
        target: Option<(QueueId, u64)>,
        (end, at): (u64, Timestamp),
    ) {
        let mut taken = None;
        self.with_freed(outbox, |queue| {
            taken = queue.remove(seq);
            queue.tally.dead_lettered.add(usize::from(taken.is_some()), at);
        });
        let (Some(stored), Some((target, number))) = (taken, target) else {
            return;
        };
        self.with(target, |queue| {
            queue.number_from(number);
            queue.store(stored.payload(), stored.delivery, at, at, None);
            queue.moved_end = queue.moved_end.max(end);
            queue.tally.sent.add(1, at);
            true
        });
    }

    /// Keeps the captured ones to the latest.
    pub(crate) fn trim_captured(&mut self, id: QueueId) {
        let captured = |queue: &&mut crate::queue::Queue| queue.key == QueueKey::captured();
        if let Some(queue) = self.queues.get_mut(&id).filter(captured) {
            while queue.table.len() > tsugite_base::limits::CAPTURED_MESSAGES {
                let Some((oldest, _)) = queue.table.from(0).next() else {
                    return;
                };
                queue.remove(oldest);
            }
        }
    }
}

impl Topic {
    pub(crate) fn encode(&self, sheaf: &mut Sheaf, clock: Timestamp) {
        let out = sheaf.bytes();
        self.settings.encode(out);
        out.put_u64(self.ended);
        out.put_u64(self.next_number);
        self.accepted.encode(sheaf, clock);
        sheaf.bytes().put_u32(self.subscriptions.len() as u32);
        for (id, subscription) in &self.subscriptions {
            let out = sheaf.bytes();
            out.extend_from_slice(&id.0);
            subscription.encode(out);
        }
    }

    pub(crate) fn decode(get: &mut Get<'_>, seed: u64) -> Result<Topic, Malformed> {
        const WHAT: &str = "topic of a snapshot";
        let mut topic = Topic {
            settings: TopicSettings::decode(get)?,
            ended: get.u64(WHAT)?,
            next_number: get.u64(WHAT)?,
            accepted: Deduplication::decode(get, seed)?,
            ..Topic::default()
        };
        for _ in 0..get.u32(WHAT)? {
            let id = Uuid(get.bytes16(WHAT)?);
            topic.put(id, Subscription::decode(get)?);
        }
        Ok(topic)
    }
}
