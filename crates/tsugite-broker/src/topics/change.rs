//! What changes of topics are in the log. They state what is true from then on, so each is applied by putting it there.

use tsugite_base::Uuid;
use tsugite_base::codec::{Get, Malformed, Put};

use super::replay::{ReplayStatus, status_of};
use super::settings::TopicSettings;
use super::subscription::Subscription;
use crate::dedup::Fingerprint;
use crate::keys::{QueueId, SubscriptionKey, TopicKey};
use crate::payload::Delivery;
use crate::record::Change;
use crate::settings::{get_topic, put_topic};

/// A change of topics; see the table of `record.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the table of record.rs and the commands of the same names explain the fields"
)]
pub enum TopicChange {
    PutTopic {
        topic: TopicKey,
        settings: Box<TopicSettings>,
    },
    DeleteTopic {
        topic: TopicKey,
    },
    PutSubscription {
        topic: TopicKey,
        id: Uuid,
        subscription: Box<Subscription>,
    },
    Unsubscribe {
        topic: TopicKey,
        id: Uuid,
    },
    Publish {
        topic: TopicKey,
        /// On FIFO topics: the message's number, its id, and what makes another one a repeat of it.
        accepted: Option<(u64, Uuid, Fingerprint)>,
        /// Matching subscriptions that could not take it.
        failed: u32,
        numbers: Vec<u64>,
        deliveries: Vec<Delivery>,
        payload: Vec<u8>,
    },
    Replay {
        subscription: SubscriptionKey,
        target: QueueId,
        /// The number in the archive of the message to look at next.
        next: u64,
        status: ReplayStatus,
        /// Number in the target and length of each message.
        messages: Vec<(u64, u32)>,
        /// Of each message its delivery and its payload.
        bytes: Vec<u8>,
    },
    GiveUp {
        outbox: QueueId,
        seq: u64,
        /// The dead-letter queue and the message's number there; else it is dropped.
        target: Option<(QueueId, u64)>,
        topic: TopicKey,
    },
}

impl From<TopicChange> for Change {
    fn from(change: TopicChange) -> Change {
        Change::Topic(change)
    }
}

const WHAT: &str = "record of a topic";

impl TopicChange {
    pub(crate) const fn kind(&self) -> u8 {
        match self {
            TopicChange::PutTopic { .. } => 9,
            TopicChange::DeleteTopic { .. } => 10,
            TopicChange::PutSubscription { .. } => 11,
            TopicChange::Unsubscribe { .. } => 12,
            TopicChange::Publish { .. } => 13,
            TopicChange::GiveUp { .. } => 23,
            TopicChange::Replay { .. } => 24,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            TopicChange::PutTopic { topic, settings } => {
                put_topic(out, topic);
                settings.encode(out);
            }
            TopicChange::DeleteTopic { topic } => put_topic(out, topic),
            TopicChange::PutSubscription {
                topic,
                id,
                subscription,
            } => {
                put_topic(out, topic);
                out.extend_from_slice(&id.0);
                subscription.encode(out);
            }
            TopicChange::Unsubscribe { topic, id } => {
                put_topic(out, topic);
                out.extend_from_slice(&id.0);
            }
            TopicChange::Publish {
                topic,
                accepted,
                failed,
                numbers,
                deliveries,
                payload,
            } => {
                put_topic(out, topic);
                put_acceptance(out, accepted.as_ref(), *failed);
                put_deliveries(out, numbers, deliveries);
                out.extend_from_slice(payload);
            }
            TopicChange::Replay {
                subscription,
                target,
                next,
                status,
                messages,
                bytes,
            } => {
                put_topic(out, &subscription.topic);
                out.extend_from_slice(&subscription.id.0);
                out.put_u32(target.0);
                out.put_u64(*next);
                out.put_u8(*status as u8);
                out.put_u32(messages.len() as u32);
                for (number, len) in messages {
                    out.put_u64(*number);
                    out.put_u32(*len);
                }
                out.extend_from_slice(bytes);
            }
            TopicChange::GiveUp {
                outbox,
                seq,
                target,
                topic,
            } => {
                out.put_u32(outbox.0);
                out.put_u64(*seq);
                out.put_option(target.as_ref(), |out, (queue, number)| {
                    out.put_u32(queue.0);
                    out.put_u64(*number);
                });
                put_topic(out, topic);
            }
        }
    }

    pub(crate) fn decode(kind: u8, get: &mut Get<'_>) -> Result<TopicChange, Malformed> {
        Ok(match kind {
            9 => TopicChange::PutTopic {
                topic: get_topic(get)?,
                settings: Box::new(TopicSettings::decode(get)?),
            },
            10 => TopicChange::DeleteTopic {
                topic: get_topic(get)?,
            },
            11 => TopicChange::PutSubscription {
                topic: get_topic(get)?,
                id: Uuid(get.bytes16(WHAT)?),
                subscription: Box::new(Subscription::decode(get)?),
            },
            12 => TopicChange::Unsubscribe {
                topic: get_topic(get)?,
                id: Uuid(get.bytes16(WHAT)?),
            },
            13 => get_publish(get)?,
            24 => get_replay(get)?,
            _ => TopicChange::GiveUp {
                outbox: QueueId(get.u32(WHAT)?),
                seq: get.u64(WHAT)?,
                target: get.option(WHAT, |get| Ok((QueueId(get.u32(WHAT)?), get.u64(WHAT)?)))?,
                topic: get_topic(get)?,
            },
        })
    }
}

fn put_acceptance(out: &mut Vec<u8>, accepted: Option<&(u64, Uuid, Fingerprint)>, failed: u32) {
    out.put_option(accepted, |out, (number, id, key)| {
        out.put_u64(*number);
        out.extend_from_slice(&id.0);
        key.encode(out);
    });
    out.put_u32(failed);
}

fn put_deliveries(out: &mut Vec<u8>, numbers: &[u64], deliveries: &[Delivery]) {
    out.put_u32(numbers.len() as u32);
    numbers.iter().for_each(|number| out.put_u64(*number));
    deliveries.iter().for_each(|delivery| delivery.encode(out));
}

fn get_replay(get: &mut Get<'_>) -> Result<TopicChange, Malformed> {
    let (topic, id) = (get_topic(get)?, Uuid(get.bytes16(WHAT)?));
    let (target, next) = (QueueId(get.u32(WHAT)?), get.u64(WHAT)?);
    let status = status_of(get.u8(WHAT)?)?;
    let (mut messages, mut total) = (Vec::new(), 0);
    for _ in 0..get.u32(WHAT)? {
        let (number, len) = (get.u64(WHAT)?, get.u32(WHAT)?);
        total += Delivery::LEN as u64 + u64::from(len);
        messages.push((number, len));
    }
    let bytes = get.take(get.remaining(), WHAT)?.to_vec();
    if total != bytes.len() as u64 {
        return Err(Malformed { what: WHAT });
    }
    Ok(TopicChange::Replay {
        subscription: SubscriptionKey { topic, id },
        target,
        next,
        status,
        messages,
        bytes,
    })
}

fn get_publish(get: &mut Get<'_>) -> Result<TopicChange, Malformed> {
    let topic = get_topic(get)?;
    let accepted = get.option(WHAT, |get| {
        let (number, id) = (get.u64(WHAT)?, Uuid(get.bytes16(WHAT)?));
        Ok((number, id, Fingerprint::decode(get)?))
    })?;
    let failed = get.u32(WHAT)?;
    let (mut numbers, mut deliveries) = (Vec::new(), Vec::new());
    for _ in 0..get.u32(WHAT)? {
        numbers.push(get.u64(WHAT)?);
    }
    for _ in &numbers {
        deliveries.push(Delivery::decode(get.take(Delivery::LEN, WHAT)?)?);
    }
    Ok(TopicChange::Publish {
        topic,
        accepted,
        failed,
        numbers,
        deliveries,
        payload: get.take(get.remaining(), WHAT)?.to_vec(),
    })
}
