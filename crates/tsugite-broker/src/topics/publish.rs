//! The decision to publish: which subscriptions a message matches, and what each of them gets.

use std::collections::BTreeMap;

use tsugite_base::{Decision, Now, Uuid, limits};
use tsugite_filter::{Attribute, Message};

use super::command::{Publish, PublishEntry, PublishReply, Published};
use super::error::{
    MessageAttributeInvalid, MessageTooLong, ParameterInvalid, PublishBatchError, PublishError,
    PublishTooLong,
};
use super::subscription::{Protocol, Subscription};
use super::text::Texts;
use super::{Topic, TopicChange, attributes};
use crate::broker::Broker;
use crate::dedup::{Fingerprint, First};
use crate::fifo::{FIRST_SEQUENCE, check_id, content_id, deduplication_key};
use crate::keys::{QueueId, QueueKey};
use crate::message::{
    AttributeValue, Captured, MessageAttribute, check_attributes, find_forbidden, message_size,
};
use crate::payload::{self, Delivery, Notice};
use crate::queue::Queue;
use crate::record::{Change, Record};

/// The key of AWS's own for queues, which topics have no access to.
const AWS_OWN_KEY: &str = "alias/aws/sqs";

impl Broker {
    /// Stores each message for every subscription that it matches, all or none of them. A FIFO topic answers a repeat
    /// with the first acceptance.
    pub fn publish(
        &self,
        command: &Publish,
        now: Now,
    ) -> Result<Decision<Record, PublishReply>, PublishBatchError> {
        let topic = self.find_topic(&command.topic)?;
        let size = |entry: &PublishEntry| message_size(&entry.message, &entry.attributes);
        let (bytes, limit) = (command.entries.iter().map(size).sum(), topic.settings.max_size());
        if command.entries.len() > 1 && bytes > limit {
            return Err(PublishTooLong { bytes, limit }.into());
        }
        let texts = command.entries.iter().map(|entry| check_whole(topic, entry));
        let texts = texts.collect::<Result<Vec<Texts>, PublishBatchError>>()?;
        let mut round = Round {
            broker: self,
            topic,
            command,
            now,
            taken: BTreeMap::new(),
            accepted: BTreeMap::new(),
            next_number: topic.next_number,
            changes: Vec::with_capacity(command.entries.len()),
            captured: Vec::new(),
        };
        let entries = command.entries.iter().zip(&texts);
        let results = entries
            .map(|(entry, texts)| round.publish(entry, texts))
            .collect();
        let reply = PublishReply { results };
        let mut changes = round.changes;
        changes.extend(self.capture(&round.captured, now));
        Ok(self.decided_all(changes, reply, now))
    }

    /// Why a subscription would not get a message; empty if it would. The policies of the queues that are `denied` do
    /// not let the topic send to them.
    pub(super) fn why_not(
        &self,
        topic: &Topic,
        subscription: &Subscription,
        denied: &[QueueKey],
        entry: &PublishEntry,
    ) -> Result<Vec<String>, PublishError> {
        let texts = check(topic, entry)?;
        let mut reasons = Vec::new();
        if subscription.is_pending() {
            reasons.push("its endpoint did not confirm the subscription yet".to_owned());
        }
        if let Some(policy) = &subscription.settings.filter {
            let message = filtered_message(entry, texts.of_protocol(subscription.protocol));
            reasons.extend(policy.explain(&message).iter().map(ToString::to_string));
        }
        if subscription.protocol == Protocol::Sqs
            && let Err(why) = self.queue_for(subscription, denied, entry, &texts)
        {
            reasons.push(why.to_owned());
        }
        Ok(reasons)
    }

    /// The queue that takes a message, or why there is none.
    fn queue_for(
        &self,
        subscription: &Subscription,
        denied: &[QueueKey],
        entry: &PublishEntry,
        texts: &Texts,
    ) -> Result<(QueueId, &Queue), &'static str> {
        let key = subscription.queue.as_ref().ok_or("its endpoint is no queue")?;
        let (id, queue) = self.find(key).map_err(|_| "its queue does not exist")?;
        if denied.contains(key) {
            return Err("the queue's policy does not let the topic send to it");
        }
        if queue.settings.kms_key.as_deref() == Some(AWS_OWN_KEY) {
            return Err("the queue is encrypted with a key that topics have no access to");
        }
        if subscription.settings.raw {
            let text = texts.of_protocol(Protocol::Sqs);
            if check_attributes(&entry.attributes).is_err() {
                return Err("with raw delivery, a queue takes at most ten message attributes");
            }
            if message_size(text, &entry.attributes) > queue.settings.max_size as usize {
                return Err("the message is longer than its queue takes");
            }
        }
        Ok((id, queue))
    }
}

/// One call of publish.
struct Round<'a> {
    broker: &'a Broker,
    topic: &'a Topic,
    command: &'a Publish,
    now: Now,
    /// Numbers of queues that this call gave out.
    taken: BTreeMap<QueueId, u64>,
    /// What this very call accepts: a batch may hold repeats of its own.
    accepted: BTreeMap<Fingerprint, First>,
    next_number: u64,
    changes: Vec<Change>,
    captured: Vec<Captured>,
}

impl Round<'_> {
    fn publish(&mut self, entry: &PublishEntry, texts: &Texts) -> Result<Published, PublishError> {
        check_entry(self.topic, entry)?;
        let fifo = self.command.topic.is_fifo();
        let deduplication = fifo.then(|| {
            let given = entry.deduplication.clone();
            given.unwrap_or_else(|| content_id(texts.default()))
        });
        let key = deduplication.as_deref().map(|id| self.key(entry, id));
        if let Some(first) = key.and_then(|key| self.first(key)) {
            return Ok(Published {
                id: first.id,
                sequence: Some(FIRST_SEQUENCE + first.seq),
                deliveries: 0,
                undeliverable: 0,
            });
        }
        let number = self.next_number;
        let mut out = Deliveries::default();
        for id in self.matching(entry, texts) {
            if let Some(subscription) = self.topic.subscriptions.get(&id) {
                self.deliver(id, subscription, entry, texts, deduplication.as_deref(), &mut out);
            }
        }
        let published = Published {
            id: entry.id,
            sequence: fifo.then_some(FIRST_SEQUENCE + number),
            deliveries: out.list.len() + out.captured - out.letters,
            undeliverable: out.failed,
        };
        self.archive(&mut out);
        // What could not be delivered is counted where it is applied.
        if out.list.is_empty() && out.failed == 0 && !fifo {
            return Ok(published);
        }
        if let Some(key) = key {
            let (seq, id) = (number, entry.id);
            self.accepted.insert(key, First { seq, id });
            self.next_number += 1;
        }
        let payload = self.payload(entry, texts, published.sequence, deduplication.as_deref());
        let change = TopicChange::Publish {
            topic: self.command.topic.clone(),
            accepted: key.map(|key| (number, entry.id, key)),
            failed: out.failed as u32,
            numbers: out
                .list
                .iter()
                .map(|delivery| self.number(delivery.queue))
                .collect(),
            deliveries: out.list,
            payload,
        };
        self.changes.push(change.into());
        Ok(published)
    }

    fn payload(
        &self,
        entry: &PublishEntry,
        texts: &Texts,
        sequence: Option<u64>,
        deduplication: Option<&str>,
    ) -> Vec<u8> {
        let signature_version = match sequence {
            // A FIFO topic does not sign.
            Some(_) => 0,
            None => self.topic.settings.signature_version(),
        };
        let notice = Notice {
            id: entry.id,
            published: self.now.wall,
            sender: &self.command.sender,
            trace_header: self.command.trace_header.as_deref(),
            topic: &self.command.topic,
            subject: entry.subject.as_deref(),
            signature_version,
            sequence,
            group: entry.group.as_deref(),
            deduplication,
            texts: texts.all(),
            own_texts: texts.own(),
            attributes: &entry.attributes,
        };
        let mut payload = Vec::with_capacity(entry.message.len() + 256);
        payload::published(&mut payload, &notice);
        payload
    }

    fn key(&self, entry: &PublishEntry, id: &str) -> Fingerprint {
        match &entry.group {
            Some(group) if self.topic.settings.by_group() => Fingerprint::of_group(group, id),
            _ => Fingerprint::of_queue(id),
        }
    }

    fn first(&self, key: Fingerprint) -> Option<First> {
        let before = self.topic.accepted.find(key, self.broker.time(self.now));
        before.or_else(|| self.accepted.get(&key).copied())
    }

    /// The subscriptions that a message matches, by id.
    fn matching(&self, entry: &PublishEntry, texts: &Texts) -> Vec<Uuid> {
        let mut found: Vec<Uuid> = self.topic.unfiltered.iter().copied().collect();
        if !self.topic.filtered.is_empty() {
            let mut matched = Vec::new();
            for (number, text) in texts.all().iter().enumerate() {
                matched.clear();
                let body = self.topic.filtered.reads_bodies().then_some(text.as_str());
                let message = Message::new(filter_attributes(&entry.attributes), body);
                self.topic.filtered.matching(&message, &mut matched);
                // A filter sees the text that its subscription would get.
                found.extend(matched.iter().filter(|id| {
                    let subscription = self.topic.subscriptions.get(id);
                    subscription.is_some_and(|s| usize::from(texts.number(s.protocol)) == number)
                }));
            }
            found.sort_unstable();
        }
        found
    }

    fn deliver(
        &mut self,
        id: Uuid,
        to: &Subscription,
        entry: &PublishEntry,
        texts: &Texts,
        deduplication: Option<&str>,
        out: &mut Deliveries,
    ) {
        let mut delivery = Delivery {
            queue: QueueId(0),
            subscription: id,
            raw: to.settings.raw,
            grouped: false,
            replayed: false,
            text: texts.number(to.protocol),
        };
        match (to.protocol, to.outbox) {
            (Protocol::Sqs, _) => {
                match self.broker.queue_for(to, &self.command.denied, entry, texts) {
                    Ok((queue, target)) => {
                        // A FIFO topic does not pass its groups to standard queues.
                        delivery.grouped =
                            entry.group.is_some() && target.is_fifo() == self.command.topic.is_fifo();
                        if self.is_repeat(target, entry, deduplication) {
                            return;
                        }
                        delivery.queue = queue;
                        out.list.push(delivery);
                    }
                    Err(_) => self.dead_letter(to, delivery, entry, out),
                }
            }
            (Protocol::Http | Protocol::Https, Some(outbox)) => {
                delivery.queue = outbox;
                out.list.push(delivery);
            }
            (Protocol::Http | Protocol::Https, None) => out.failed += 1,
            (protocol, _) => {
                out.captured += 1;
                self.captured.push(Captured {
                    id: entry.id,
                    sent: self.now.wall,
                    protocol,
                    endpoint: to.endpoint.clone(),
                    topic: Some(self.command.topic.clone()),
                    subscription: Some(id),
                    signature_version: self.topic.settings.signature_version(),
                    subject: entry.subject.clone(),
                    text: texts.of_protocol(protocol).to_owned(),
                    is_token: false,
                    attributes: entry.attributes.clone(),
                });
            }
        }
    }

    /// A delivery that cannot be: to the subscription's dead-letter queue, if it has one.
    fn dead_letter(
        &self,
        to: &Subscription,
        mut delivery: Delivery,
        entry: &PublishEntry,
        out: &mut Deliveries,
    ) {
        out.failed += 1;
        let letters = to.settings.dead_letters.as_ref();
        if let Some((queue, target)) = letters.and_then(|key| self.broker.find(key).ok()) {
            delivery.queue = queue;
            delivery.grouped = entry.group.is_some() && target.is_fifo();
            out.letters += 1;
            out.list.push(delivery);
        }
    }

    /// Whether a FIFO queue accepted a message with this deduplication id already, by whichever way it came.
    fn is_repeat(&self, queue: &Queue, entry: &PublishEntry, deduplication: Option<&str>) -> bool {
        let key = queue
            .settings
            .fifo
            .as_ref()
            .and_then(|fifo| Some(deduplication_key(fifo, entry.group.as_deref()?, deduplication?)));
        let at = self.broker.time(self.now);
        key.is_some_and(|key| queue.memory.accepted.find(key, at).is_some())
    }

    fn archive(&self, out: &mut Deliveries) {
        if self.topic.settings.archive_days().is_none() {
            return;
        }
        if let Some(queue) = self.broker.queue_id(&QueueKey::archive(&self.command.topic)) {
            out.list.push(Delivery {
                queue,
                subscription: Uuid([0; 16]),
                raw: false,
                grouped: false,
                replayed: false,
                text: 0,
            });
        }
    }

    /// The next number of a queue.
    fn number(&mut self, queue: QueueId) -> u64 {
        let taken = self.taken.entry(queue).or_default();
        *taken += 1;
        self.broker.next_number(queue) + *taken - 1
    }
}

/// What a message becomes.
#[derive(Default)]
struct Deliveries {
    list: Vec<Delivery>,
    captured: usize,
    /// Subscriptions that could not take it.
    failed: usize,
    /// Those among the deliveries that go to a dead-letter queue.
    letters: usize,
}

fn filtered_message<'a>(entry: &'a PublishEntry, text: &'a str) -> Message<'a> {
    Message::new(filter_attributes(&entry.attributes), Some(text))
}

/// Message attributes as filter policies see them.
pub(super) fn filter_attributes(attributes: &[MessageAttribute]) -> impl Iterator<Item = Attribute<'_>> {
    attributes.iter().map(|attribute| Attribute {
        name: &attribute.name,
        data_type: &attribute.data_type,
        text: match &attribute.value {
            AttributeValue::Text(text) => Some(text.as_str()),
            AttributeValue::Binary(_) => None,
        },
    })
}

/// Checks a message that is published alone; returns its texts.
pub(super) fn check(topic: &Topic, entry: &PublishEntry) -> Result<Texts, PublishError> {
    let texts = check_whole::<PublishError>(topic, entry)?;
    check_entry(topic, entry)?;
    Ok(texts)
}

/// What of an entry fails a whole batch; AWS answers the rest entry by entry.
fn check_whole<E>(topic: &Topic, entry: &PublishEntry) -> Result<Texts, E>
where
    E: From<ParameterInvalid> + From<MessageAttributeInvalid>,
{
    attributes::check(&entry.attributes)?;
    if topic.settings.is_fifo() {
        let missing = |what: &str| Err(ParameterInvalid::new(what, "").into());
        if entry.group.is_none() {
            return missing("The MessageGroupId parameter is required for FIFO topics");
        }
        if entry.deduplication.is_none() && !topic.settings.content_based() {
            return missing(
                "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                 explicitly",
            );
        }
    }
    Ok(Texts::of(entry)?)
}

/// Checks the rest of a message.
fn check_entry(topic: &Topic, entry: &PublishEntry) -> Result<(), PublishError> {
    let invalid = |what: &str, reason: &str| ParameterInvalid::new(what, reason);
    if let Some(subject) = &entry.subject {
        let chars = subject.chars().count();
        if !(1..=limits::SUBJECT_CHARS).contains(&chars) || subject.chars().any(char::is_control) {
            return Err(invalid("Subject", "").into());
        }
    }
    if entry.message.is_empty() {
        return Err(invalid("Empty message", "").into());
    }
    if find_forbidden(&entry.message).is_some() {
        return Err(invalid("Message", "it holds a character that may not be sent").into());
    }
    let bytes = message_size(&entry.message, &entry.attributes);
    let limit = topic.settings.max_size();
    if bytes > limit {
        return Err(MessageTooLong { bytes, limit }.into());
    }
    check_ids(topic.settings.is_fifo(), entry)?;
    Ok(())
}

fn check_ids(fifo: bool, entry: &PublishEntry) -> Result<(), ParameterInvalid> {
    let bad = |what: &str, reason: &str| Err(ParameterInvalid::new(what, reason));
    if entry.deduplication.is_some() && !fifo {
        return bad(
            "MessageDeduplicationId",
            "The request includes MessageDeduplicationId parameter that is not valid for this topic type",
        );
    }
    for (name, id) in [
        ("MessageGroupId", &entry.group),
        ("MessageDeduplicationId", &entry.deduplication),
    ] {
        if let Some(id) = id
            && check_id(name, id).is_err()
        {
            return bad(
                name,
                &format!(
                    "{name} can only include alphanumeric and punctuation characters, 1 to {} in length",
                    limits::GROUP_ID_CHARS
                ),
            );
        }
    }
    Ok(())
}
