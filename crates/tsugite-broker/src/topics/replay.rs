//! Replays: what a topic archived goes to a subscription again, in order, and then what is published since.
//!
//! While a replay runs, a publish leaves its subscription out: the message is in the archive, and the replay comes to
//! it. The step that finds nothing more in the archive lets publishes through again, under the same lock, so nothing
//! is left out and nothing comes out of order. A replay with an end never does (AWS: SNS developer guide, message
//! archiving and replay).

use std::fmt;

use serde_json::Value;
use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Decision, Now, Place, Timestamp};
use tsugite_filter::Message;

use super::error::{AttributeInvalid, ParameterInvalid};
use super::publish::filter_attributes;
use super::settings::object;
use super::subscription::{Protocol, Subscription};
use super::{Topic, TopicChange};
use crate::broker::Broker;
use crate::keys::{QueueId, QueueKey, SubscriptionKey, TopicKey};
use crate::payload::{self, Delivery};
use crate::record::Record;

/// Messages that one step of a replay looks at.
const LOOKS: usize = 1_000;
/// Messages that one step of a replay delivers.
const STEP: usize = 100;
/// Bytes of payloads that one step of a replay delivers; a longer message makes a step of its own.
const STEP_BYTES: u64 = 1 << 20;

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayStatus {
    /// It has yet to begin.
    Pending,
    /// Under way.
    InProgress,
    /// All that it was to deliver is delivered.
    Completed,
    /// The archive is gone, or the endpoint's queue.
    Failed,
}

impl ReplayStatus {
    const ALL: [ReplayStatus; 4] = [
        ReplayStatus::Pending,
        ReplayStatus::InProgress,
        ReplayStatus::Completed,
        ReplayStatus::Failed,
    ];
}

impl fmt::Display for ReplayStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplayStatus::Pending => "Pending",
            ReplayStatus::InProgress => "In progress",
            ReplayStatus::Completed => "Completed",
            ReplayStatus::Failed => "Failed",
        })
    }
}

/// A replay of a subscription. Times are the machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Messages from then on.
    pub from: Timestamp,
    /// Up to then, if it has an end.
    pub until: Option<Timestamp>,
    /// The number in the archive of the next message to look at.
    pub next: u64,
    /// Messages below this number were there when it began.
    pub old_below: u64,
    /// How far it is.
    pub status: ReplayStatus,
}

impl Replay {
    /// Whether it has something to do.
    pub(crate) const fn is_active(&self) -> bool {
        matches!(self.status, ReplayStatus::Pending | ReplayStatus::InProgress)
    }

    /// Whether publishes reach its subscription.
    pub(crate) fn lets_through(&self) -> bool {
        !self.is_active() && self.until.is_none()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_time(self.from);
        out.put_option(self.until, |out, until| out.put_time(until));
        out.put_u64(self.next);
        out.put_u64(self.old_below);
        out.put_u8(self.status as u8);
    }

    pub(super) fn decode(get: &mut Get<'_>) -> Result<Replay, Malformed> {
        const WHAT: &str = "replay";
        Ok(Replay {
            from: get.time(WHAT)?,
            until: get.option(WHAT, |get| get.time(WHAT))?,
            next: get.u64(WHAT)?,
            old_below: get.u64(WHAT)?,
            status: status_of(get.u8(WHAT)?)?,
        })
    }
}

/// The status of a number in a record.
pub(super) fn status_of(number: u8) -> Result<ReplayStatus, Malformed> {
    let what = "status of a replay";
    let known = ReplayStatus::ALL.get(usize::from(number)).copied();
    known.ok_or(Malformed { what })
}

/// What the next step of a replay looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayBatch {
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// Number and payload of archived messages that may be delivered.
    pub candidates: Vec<(u64, Place)>,
    /// Everything in the archive below this number was looked at, if all candidates are used.
    pub looked: u64,
}

/// A step of a replay: the batch, with the bytes of its payloads.
#[derive(Clone, Debug)]
pub struct ReplayStep<'a> {
    /// What was looked at.
    pub batch: &'a ReplayBatch,
    /// The payload of each candidate; nothing for one that could not be read, which is left out.
    pub payloads: Vec<Option<&'a [u8]>>,
}

impl Broker {
    /// The replay that a policy asks for.
    pub(super) fn new_replay(
        &self,
        key: &TopicKey,
        topic: &Topic,
        text: &str,
        now: Now,
    ) -> Result<Replay, ParameterInvalid> {
        const NAME: &str = "ReplayPolicy";
        let bad = |reason: &str| ParameterInvalid::new(NAME, reason);
        if topic.settings.archive_days().is_none() {
            return Err(bad(
                "the topic has no ArchivePolicy, so there is nothing to replay",
            ));
        }
        let policy = object(NAME, text).map_err(AttributeInvalid::alone)?;
        let known = ["PointType", "StartingPoint", "EndingPoint"];
        if let Some(unknown) = policy.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(bad(&format!("unknown member {unknown}")));
        }
        if policy.get("PointType").and_then(Value::as_str) != Some("Timestamp") {
            return Err(bad("PointType must be Timestamp"));
        }
        let point = |name: &str| match policy.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => match Timestamp::from_iso(text) {
                Some(at) => Ok(Some(at)),
                None => Err(bad(&format!(
                    "{name} must be a time like 2026-01-02T03:04:05.678Z"
                ))),
            },
            Some(_) => Err(bad(&format!("{name} must be a text"))),
        };
        let from = point("StartingPoint")?.ok_or_else(|| bad("StartingPoint is missing"))?;
        let until = point("EndingPoint")?;
        if from > now.wall {
            return Err(bad("StartingPoint must not lie ahead"));
        }
        if until.is_some_and(|until| until <= from) {
            return Err(bad("EndingPoint must come after StartingPoint"));
        }
        let archive = self.find(&QueueKey::archive(key)).ok();
        Ok(Replay {
            from: self.machine_time(from, now),
            until: until.map(|until| self.machine_time(until, now)),
            next: 0,
            old_below: archive.map_or(0, |(_, queue)| queue.next_seq),
            status: ReplayStatus::Pending,
        })
    }

    /// A moment of the wall clock in the machine's time.
    fn machine_time(&self, wall: Timestamp, now: Now) -> Timestamp {
        let time = self.time(now);
        if wall >= now.wall {
            time + wall.since(now.wall)
        } else {
            time - now.wall.since(wall)
        }
    }

    /// Whether a replay was begun, or found under way after a restart, since this was asked last.
    pub fn take_replay_news(&mut self) -> bool {
        std::mem::take(&mut self.replay_news)
    }

    /// The next steps of all replays that have something to do.
    pub fn replay_batches(&self) -> Vec<ReplayBatch> {
        self.replays
            .iter()
            .filter_map(|key| self.replay_batch(key))
            .collect()
    }

    fn replay_batch(&self, key: &SubscriptionKey) -> Option<ReplayBatch> {
        let (_, replay) = self.running_replay(key)?;
        let mut batch = ReplayBatch {
            subscription: key.clone(),
            candidates: Vec::new(),
            looked: replay.next,
        };
        let Ok((_, archive)) = self.find(&QueueKey::archive(&key.topic)) else {
            return Some(batch);
        };
        let mut bytes = 0;
        for (seq, stored) in archive.table.from(replay.next).take(LOOKS) {
            if replay.until.is_some_and(|until| stored.sent > until) {
                batch.looked = u64::MAX;
                return Some(batch);
            }
            if stored.sent >= replay.from {
                bytes += u64::from(stored.len);
                let full = batch.candidates.len() == STEP || bytes > STEP_BYTES;
                if full && !batch.candidates.is_empty() {
                    return Some(batch);
                }
                batch.candidates.push((seq, stored.payload()));
            }
            batch.looked = seq + 1;
        }
        Some(batch)
    }

    fn running_replay(&self, key: &SubscriptionKey) -> Option<(&Subscription, &Replay)> {
        let (_, subscription) = self.find_subscription(key).ok()?;
        let replay = subscription.replay.as_ref()?;
        replay.is_active().then_some((subscription, replay))
    }

    /// Delivers what a step looked at. True if the replay has more to do.
    pub fn replay_step(&self, step: &ReplayStep<'_>, now: Now) -> Decision<Record, bool> {
        let key = &step.batch.subscription;
        let Some((subscription, replay)) = self.running_replay(key) else {
            return Decision::unchanged(false);
        };
        let archive = self.find(&QueueKey::archive(&key.topic)).ok();
        let target = match subscription.outbox {
            Some(outbox) => Some(outbox),
            None => subscription.queue.as_ref().and_then(|queue| self.queue_id(queue)),
        };
        let (Some((_, archive)), Some(target)) = (archive, target) else {
            let status = ReplayStatus::Failed;
            let change = replayed(key, target.unwrap_or(QueueId(0)), replay.next, status);
            return self.decided(change.into(), false, now);
        };
        let looked = step.batch.looked.min(archive.next_seq);
        // Another step came between: what was looked at is no longer next.
        let fresh = step
            .batch
            .candidates
            .first()
            .is_none_or(|(seq, _)| *seq >= replay.next);
        if !fresh || looked < replay.next {
            return Decision::unchanged(true);
        }
        let over = step.batch.looked == u64::MAX || looked == archive.next_seq;
        let status = match (over, replay.until) {
            // What is published until the end belongs to it.
            (true, Some(until)) if step.batch.looked != u64::MAX && self.time(now) <= until => {
                ReplayStatus::InProgress
            }
            (true, _) => ReplayStatus::Completed,
            (false, _) => ReplayStatus::InProgress,
        };
        let mut change = replayed(key, target, looked, status);
        if let TopicChange::Replay { messages, bytes, .. } = &mut change {
            let mut number = self.next_number(target);
            for ((seq, _), payload) in step.batch.candidates.iter().zip(&step.payloads) {
                let delivery = payload.and_then(|payload| {
                    self.replayed_delivery(key, (subscription, replay), *seq, target, payload)
                });
                if let (Some(delivery), Some(payload)) = (delivery, payload) {
                    delivery.encode(bytes);
                    bytes.extend_from_slice(payload);
                    messages.push((number, payload.len() as u32));
                    number += 1;
                }
            }
            if messages.is_empty() && looked == replay.next && status == replay.status {
                return Decision::unchanged(false);
            }
        }
        self.decided(change.into(), status == ReplayStatus::InProgress && !over, now)
    }

    /// How a subscription gets an archived message, unless its filter excludes it.
    fn replayed_delivery(
        &self,
        key: &SubscriptionKey,
        (subscription, replay): (&Subscription, &Replay),
        seq: u64,
        target: QueueId,
        payload: &[u8],
    ) -> Option<Delivery> {
        let archived = payload::archived(payload, subscription.protocol).ok()?;
        if let Some(policy) = &subscription.settings.filter {
            let attributes = filter_attributes(&archived.notification.attributes);
            let message = Message::new(attributes, Some(&archived.notification.message));
            if !policy.matches(&message) {
                return None;
            }
        }
        let fifo = self.queues.get(&target)?.is_fifo();
        Some(Delivery {
            queue: target,
            subscription: key.id,
            raw: subscription.settings.raw,
            grouped: archived.grouped
                && subscription.protocol == Protocol::Sqs
                && fifo == key.topic.is_fifo(),
            replayed: seq < replay.old_below,
            text: archived.text,
        })
    }

    /// Notes whether a subscription's replay has something to do.
    pub(crate) fn note_replay(&mut self, topic: &TopicKey, id: tsugite_base::Uuid, active: bool) {
        let key = SubscriptionKey {
            topic: topic.clone(),
            id,
        };
        if active {
            self.replays.insert(key);
            self.replay_news = true;
        } else if !self.replays.is_empty() {
            self.replays.remove(&key);
        }
    }

    pub(super) fn apply_replay(
        &mut self,
        key: &SubscriptionKey,
        (target, next, status): (QueueId, u64, ReplayStatus),
        messages: &[(u64, u32)],
        bytes: &[u8],
        (end, at): (u64, Timestamp),
    ) {
        let Some(topic) = self.topics.get_mut(&key.topic) else {
            return;
        };
        let Some(mut subscription) = topic.remove(key.id) else {
            return;
        };
        topic.tally.delivered.add(messages.len(), at);
        let mut active = false;
        if let Some(replay) = &mut subscription.replay {
            (replay.next, replay.status) = (next, status);
            active = replay.is_active();
        }
        topic.put(key.id, subscription);
        self.note_replay(&key.topic, key.id, active);
        let mut lsn = end - bytes.len() as u64;
        let mut from = 0;
        for (number, len) in messages {
            let payload = Place {
                lsn: lsn + Delivery::LEN as u64,
                len: *len,
            };
            let start = from + Delivery::LEN;
            let parts = (bytes.get(from..start), bytes.get(start..start + *len as usize));
            let (Some(delivery), Some(bytes)) = parts else {
                return;
            };
            let grouped = Delivery::decode(delivery).is_ok_and(|delivery| delivery.grouped);
            let group = payload::group_of_published(bytes).ok().filter(|_| grouped);
            self.with(target, |queue| {
                queue.number_from(*number);
                let group = group.map(|(_, group, _)| group);
                let delay = std::time::Duration::from_secs(queue.settings.delay.into());
                queue.store(payload, Delivery::LEN as u32, at, at + delay, group);
                queue.tally.sent.add(1, at);
                delay.is_zero()
            });
            from = start + *len as usize;
            lsn = payload.end();
        }
    }
}

fn replayed(key: &SubscriptionKey, target: QueueId, next: u64, status: ReplayStatus) -> TopicChange {
    TopicChange::Replay {
        subscription: key.clone(),
        target,
        next,
        status,
        messages: Vec::new(),
        bytes: Vec::new(),
    }
}
