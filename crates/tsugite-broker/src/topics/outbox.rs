//! Outboxes: the queue from which the messages of a subscription that posts are taken, and the queue of what is
//! captured. They are queues like others, under names that no client can write.

use std::sync::Arc;

use tsugite_base::{Decision, Now, Uuid, limits};

use super::TopicChange;
use super::command::{GiveUp, Outbox, TextMessage, Unsubscribe};
use super::error::ParameterInvalid;
use super::subscription::{Confirmation, Subscription};
use super::text::Texts;
use crate::broker::Broker;
use crate::handle::Handle;
use crate::keys::{QueueId, QueueKey, SubscriptionKey, TopicKey};
use crate::message::{AnnouncementKind, Captured};
use crate::payload;
use crate::record::{Change, Record, Sent};

/// The change that removes a subscription's outbox with it.
pub(super) fn removal(subscription: &Subscription) -> Option<Change> {
    let queue = subscription.outbox?;
    Some(Change::DeleteQueue { queue })
}

impl Broker {
    /// Puts a subscription in, with the outbox that it needs and, if it waits for its endpoint, the message that tells
    /// the token.
    pub(super) fn put_with_announcement(
        &self,
        key: SubscriptionKey,
        mut subscription: Subscription,
        token: &str,
        message: Uuid,
        now: Now,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let (protocol, pending) = (subscription.protocol, subscription.is_pending());
        let endpoint = subscription.endpoint.clone();
        if protocol.posts() {
            let (create, outbox) =
                self.internal_queue(&QueueKey::outbox(key.id), limits::RETENTION_SECONDS, now.wall);
            changes.extend(create);
            subscription.outbox = Some(outbox);
            if pending {
                let kind = AnnouncementKind::Subscribed;
                changes.push(self.announcement(outbox, kind, &key, token, message, now));
            }
        } else if pending {
            let captured = Captured {
                id: message,
                sent: now.wall,
                protocol,
                endpoint,
                topic: Some(key.topic.clone()),
                subscription: Some(key.id),
                signature_version: self.signature_version(&key.topic),
                subject: None,
                text: token.to_owned(),
                is_token: true,
                attributes: Vec::new(),
            };
            changes.extend(self.capture(&[captured], now));
        }
        let SubscriptionKey { topic, id } = key;
        let subscription = Box::new(subscription);
        let put = TopicChange::PutSubscription {
            topic,
            id,
            subscription,
        };
        changes.push(put.into());
        changes
    }

    /// The end of a subscription whose endpoint is told so: nothing else lies in its outbox from now on.
    pub(super) fn goodbye(
        &self,
        command: Unsubscribe,
        subscription: &Subscription,
        outbox: QueueId,
        now: Now,
    ) -> Vec<Change> {
        let Unsubscribe {
            subscription: key,
            id,
            token,
            ..
        } = command;
        let mut leaving = Box::new(subscription.clone());
        leaving.confirmation = Confirmation::Leaving {
            token: token.clone(),
            until: self.token_until(now),
        };
        let kind = AnnouncementKind::Unsubscribed;
        vec![
            Change::PurgeQueue { queue: outbox },
            self.announcement(outbox, kind, &key, &token, id, now),
            TopicChange::PutSubscription {
                topic: key.topic,
                id: key.id,
                subscription: leaving,
            }
            .into(),
        ]
    }

    fn announcement(
        &self,
        outbox: QueueId,
        kind: AnnouncementKind,
        key: &SubscriptionKey,
        token: &str,
        id: Uuid,
        now: Now,
    ) -> Change {
        let version = self.signature_version(&key.topic);
        let mut payloads = Vec::new();
        payload::announced(&mut payloads, id, now.wall, (kind, version), key, token);
        self.send_internal(outbox, payloads, &[])
    }

    fn signature_version(&self, topic: &TopicKey) -> u8 {
        self.topics
            .get(topic)
            .map_or(1, |topic| topic.settings.signature_version())
    }

    /// The changes that capture messages.
    pub(super) fn capture(&self, captured: &[Captured], now: Now) -> Vec<Change> {
        if captured.is_empty() {
            return Vec::new();
        }
        let (mut changes, queue) =
            self.internal_queue(&QueueKey::captured(), limits::RETENTION_SECONDS, now.wall);
        let (mut payloads, mut lengths) = (Vec::new(), Vec::new());
        for message in captured {
            let start = payloads.len();
            payload::captured(&mut payloads, message);
            lengths.push((payloads.len() - start) as u32);
        }
        changes.push(self.send_internal(queue, payloads, &lengths));
        changes
    }

    /// The record that stores payloads in an internal queue: one payload, if no lengths are given.
    fn send_internal(&self, queue: QueueId, payloads: Vec<u8>, lengths: &[u32]) -> Change {
        let one = [payloads.len() as u32];
        let lengths = if lengths.is_empty() { &one } else { lengths };
        let entry = |&len: &u32| Sent {
            delay_ms: 0,
            len,
            grouped: false,
            key: None,
        };
        Change::Send {
            queue,
            first: self.next_number(queue),
            entries: lengths.iter().map(entry).collect(),
            payloads,
        }
    }

    /// Captures what would be sent to a phone.
    pub fn send_text(
        &self,
        command: TextMessage,
        now: Now,
    ) -> Result<Decision<Record, ()>, ParameterInvalid> {
        let TextMessage { id, phone, entry, .. } = command;
        if !super::subscribe::is_phone(&phone) {
            return Err(ParameterInvalid::new(
                "PhoneNumber",
                format!("{phone} is not valid to publish to"),
            ));
        }
        let texts = Texts::of(&entry)?;
        if texts.default().is_empty() {
            return Err(ParameterInvalid::new("Empty message", ""));
        }
        let protocol = super::Protocol::Sms;
        let captured = Captured {
            id,
            sent: now.wall,
            protocol,
            endpoint: phone,
            topic: None,
            subscription: None,
            signature_version: 0,
            subject: entry.subject.clone(),
            text: texts.of_protocol(protocol).to_owned(),
            is_token: false,
            attributes: entry.attributes.clone(),
        };
        Ok(self.decided_all(self.capture(&[captured], now), (), now))
    }

    /// Every outbox that messages may lie in.
    pub fn outboxes(&self) -> Vec<Outbox> {
        let outbox = |key: &SubscriptionKey| {
            let topic = self.topics.get(&key.topic)?;
            let subscription = topic.subscriptions.get(&key.id)?;
            Some(Outbox {
                queue: QueueKey::outbox(key.id),
                subscription: key.clone(),
                endpoint: subscription.endpoint.clone(),
                raw: subscription.settings.raw,
                policy: Arc::new(topic.delivery_policy(subscription)),
                base_url: subscription.base_url.clone(),
            })
        };
        self.outboxes.values().filter_map(outbox).collect()
    }

    /// Notes whose a new outbox is.
    pub(crate) fn note_outbox(&mut self, outbox: Option<QueueId>, topic: &TopicKey, id: Uuid) {
        if let Some(outbox) = outbox {
            let topic = topic.clone();
            self.outboxes.insert(outbox, SubscriptionKey { topic, id });
        }
    }

    /// Changes its value whenever [`Broker::outboxes`] may have changed.
    pub const fn outbox_changes(&self) -> u64 {
        self.outbox_changes
    }

    /// Gives up a message of an outbox: it goes to the subscription's dead-letter queue, or is dropped. False if it is
    /// not there any more, or was taken again since.
    pub fn give_up(&self, command: &GiveUp, now: Now) -> Decision<Record, bool> {
        let handle = Handle::read(&command.handle);
        let found = handle.and_then(|handle| {
            let (id, queue) = self.find(&command.outbox).ok()?;
            let stored = queue.table.get(handle.seq)?;
            let latest = id == handle.queue && crate::messages::is_latest(handle, &stored);
            let owner = self.owner_of(id)?;
            latest.then_some((id, handle.seq, stored, owner))
        });
        let Some((outbox, seq, stored, (topic, subscription))) = found else {
            return Decision::unchanged(false);
        };
        // An announcement is for its endpoint alone.
        let letters = subscription.settings.dead_letters.as_ref();
        let letters = letters.filter(|_| stored.delivery != 0);
        let target = letters.and_then(|key| {
            let id = self.queue_id(key)?;
            Some((id, self.next_number(id)))
        });
        let change = TopicChange::GiveUp {
            outbox,
            seq,
            target,
            topic: topic.clone(),
        };
        self.decided(change.into(), true, now)
    }

    fn owner_of(&self, outbox: QueueId) -> Option<(&TopicKey, &Subscription)> {
        let SubscriptionKey { topic, id } = self.outboxes.get(&outbox)?;
        Some((topic, self.topics.get(topic)?.subscriptions.get(id)?))
    }
}
