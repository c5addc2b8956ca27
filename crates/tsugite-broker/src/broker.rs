//! The machine's state, its clock, and `apply`: the only way in which it changes durably.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tsugite_base::names::Scope;
use tsugite_base::{Now, Place, Timestamp, Uuid, limits};

use crate::error::{QueueNotFound, TopicNotFound};
use crate::keys::{QueueId, QueueKey, TopicKey};
use crate::payload::Delivery;
use crate::queue::Queue;
use crate::record::{Change, Record, Sent};

/// What an operator can set for the whole broker. Only decisions look at it, never `apply`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Messages of one queue that may be in flight at the same time.
    pub in_flight: usize,
    /// Time before a queue can be purged again; zero switches the guard off.
    pub purge_guard: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            in_flight: limits::IN_FLIGHT_MESSAGES,
            purge_guard: Duration::from_secs(limits::PURGE_GUARD_SECONDS),
        }
    }
}

/// Queues, topics, subscriptions and the messages in them.
///
/// The methods that take a command decide, without changing anything; [`Broker::apply`] makes a decided
/// record true; [`Broker::advance`] lets time pass. Call `advance` before each decision: a decision sees the
/// timers only as far as they have fired. State depends on the records alone, however often `advance` was
/// called between them.
#[derive(Clone, Debug, Default)]
pub struct Broker {
    pub(crate) settings: Settings,
    /// The machine's time: never goes back, over restarts neither.
    pub(crate) clock: Timestamp,
    /// What is added to the steady clock to get the machine's time: the host's clock may have been set back
    /// while the process was down. Not part of the state.
    ahead: Duration,
    pub(crate) names: BTreeMap<Scope, BTreeMap<String, QueueId>>,
    pub(crate) queues: BTreeMap<QueueId, Queue>,
    pub(crate) next_queue: u32,
    pub(crate) topics: BTreeMap<TopicKey, Topic>,
    /// When to look at which queue; an entry may be early, never late.
    agenda: BTreeSet<(Timestamp, QueueId)>,
    /// Queues where a waiting receive may now succeed or must end.
    news: Vec<QueueId>,
}

/// A topic's subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) subscriptions: BTreeMap<Uuid, Subscription>,
}

/// Where a subscription delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) queue: QueueKey,
    pub(crate) raw: bool,
}

impl Broker {
    /// An empty broker.
    pub fn new(settings: Settings) -> Broker {
        Broker {
            settings,
            ..Broker::default()
        }
    }

    /// `now` in the machine's time.
    pub(crate) fn time(&self, now: Now) -> Timestamp {
        (now.steady + self.ahead).max(self.clock)
    }

    /// Fires everything that is due: delays and leases that end, messages that expire.
    pub fn advance(&mut self, now: Now) {
        let time = now.steady + self.ahead;
        if time < self.clock {
            self.ahead += self.clock.since(time);
        }
        self.advance_to(now.steady + self.ahead);
    }

    fn advance_to(&mut self, time: Timestamp) {
        self.clock = self.clock.max(time);
        while let Some(&(due, id)) = self.agenda.first() {
            if due > self.clock {
                break;
            }
            self.agenda.pop_first();
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.wake_at = Timestamp::NEVER;
                let news = queue.advance(self.clock);
                self.touched(id, news);
            }
        }
    }

    /// When [`Broker::advance`] is due next, on the steady clock; `None` if nothing is pending.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.agenda.first().map(|(due, _)| *due - self.ahead)
    }

    /// Takes the queues where a waiting receive may now succeed, or must end because the queue is gone.
    pub fn take_news(&mut self) -> Vec<QueueId> {
        for id in &self.news {
            if let Some(queue) = self.queues.get_mut(id) {
                queue.woken = false;
            }
        }
        std::mem::take(&mut self.news)
    }

    /// After a change of a queue: renews its entry in the agenda and notes news for those who wait.
    pub(crate) fn touched(&mut self, id: QueueId, news: bool) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let due = queue.next_deadline();
        if due < queue.wake_at {
            self.agenda.remove(&(queue.wake_at, id));
            self.agenda.insert((due, id));
            queue.wake_at = due;
        }
        if news && !queue.woken && queue.visible() > 0 {
            queue.woken = true;
            self.news.push(id);
        }
    }

    /// The lowest log position whose bytes a stored message may still need; `None` if no message is stored.
    pub fn oldest_needed(&self) -> Option<u64> {
        self.queues.values().filter_map(Queue::oldest_needed).min()
    }

    /// A queue's number, if it exists.
    pub fn queue_id(&self, key: &QueueKey) -> Option<QueueId> {
        self.names.get(&key.scope)?.get(&key.name).copied()
    }

    pub(crate) fn find(&self, key: &QueueKey) -> Result<(QueueId, &Queue), QueueNotFound> {
        self.queue_id(key)
            .and_then(|id| Some((id, self.queues.get(&id)?)))
            .ok_or_else(|| QueueNotFound { queue: key.clone() })
    }

    pub(crate) fn find_topic(&self, key: &TopicKey) -> Result<&Topic, TopicNotFound> {
        self.topics
            .get(key)
            .ok_or_else(|| TopicNotFound { topic: key.clone() })
    }

    /// Makes a record true. `place` is where its bytes lie in the log.
    pub fn apply(&mut self, record: Record, place: Place) {
        let at = record.at.max(self.clock);
        self.advance_to(at);
        match record.change {
            Change::CreateQueue {
                queue,
                key,
                created,
                settings,
            } => {
                self.next_queue = self.next_queue.max(queue.0.saturating_add(1));
                self.names
                    .entry(key.scope.clone())
                    .or_default()
                    .insert(key.name.clone(), queue);
                self.queues.insert(queue, Queue::new(key, *settings, created));
            }
            Change::SetQueueAttributes {
                queue,
                changed,
                settings,
            } => {
                self.with(queue, |q| {
                    q.settings = *settings;
                    q.changed = changed;
                    q.advance(at)
                });
            }
            Change::DeleteQueue { queue } => self.remove_queue(queue),
            Change::PurgeQueue { queue } => self.with(queue, |q| {
                q.purge(at);
                false
            }),
            Change::Send {
                queue,
                entries,
                payloads,
            } => {
                self.apply_send(queue, &entries, place.end() - payloads.len() as u64, at);
            }
            Change::Receive {
                queue,
                wall,
                timeout_ms,
                leases,
                moves,
                target,
            } => {
                let until = at + Duration::from_millis(timeout_ms.into());
                self.apply_moves(queue, &moves, target, place.end());
                self.with(queue, |q| {
                    leases.iter().for_each(|&seq| q.lease(seq, at, wall, until));
                    timeout_ms == 0
                });
            }
            Change::Delete { queue, seqs } => self.with_freed(queue, |q| {
                for seq in seqs {
                    q.remove(seq);
                }
            }),
            Change::ChangeVisibility { queue, changes } => self.with_freed(queue, |q| {
                for (seq, timeout_ms) in changes {
                    q.hide(seq, at, at + Duration::from_millis(timeout_ms.into()));
                }
            }),
            Change::CreateTopic { topic } => {
                self.topics.entry(topic).or_default();
            }
            Change::DeleteTopic { topic } => {
                self.topics.remove(&topic);
            }
            Change::Subscribe {
                topic,
                subscription,
                queue,
                raw,
            } => {
                if let Some(topic) = self.topics.get_mut(&topic) {
                    topic
                        .subscriptions
                        .insert(subscription, Subscription { queue, raw });
                }
            }
            Change::Unsubscribe { topic, subscription } => {
                if let Some(topic) = self.topics.get_mut(&topic) {
                    topic.subscriptions.remove(&subscription);
                }
            }
            Change::Publish { deliveries, payload } => {
                let place = Place {
                    lsn: place.end() - payload.len() as u64,
                    len: payload.len() as u32,
                };
                self.apply_publish(&deliveries, place, at);
            }
            Change::Reset => self.reset_now(),
        }
    }

    /// Changes a queue that exists; `change` says whether there may be something to receive.
    fn with(&mut self, id: QueueId, change: impl FnOnce(&mut Queue) -> bool) {
        if let Some(queue) = self.queues.get_mut(&id) {
            let news = change(queue);
            self.touched(id, news);
        }
    }

    /// Changes a queue so that messages may become visible, or leases free for those who met the cap.
    fn with_freed(&mut self, id: QueueId, change: impl FnOnce(&mut Queue)) {
        let cap = self.settings.in_flight;
        self.with(id, |queue| {
            let (visible, full) = (queue.visible(), queue.in_flight() >= cap);
            change(queue);
            queue.visible() > visible || (full && queue.in_flight() < cap)
        });
    }

    fn remove_queue(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.remove(&id) {
            self.agenda.remove(&(queue.wake_at, id));
            if let Some(names) = self.names.get_mut(&queue.key.scope) {
                names.remove(&queue.key.name);
                if names.is_empty() {
                    self.names.remove(&queue.key.scope);
                }
            }
            self.news.push(id);
        }
    }

    fn apply_send(&mut self, id: QueueId, entries: &[Sent], mut lsn: u64, at: Timestamp) {
        self.with(id, |queue| {
            for entry in entries {
                let until = at + Duration::from_millis(entry.delay_ms.into());
                queue.store(Place { lsn, len: entry.len }, 0, at, until);
                lsn += u64::from(entry.len);
            }
            entries.iter().any(|entry| entry.delay_ms == 0)
        });
    }

    fn apply_publish(&mut self, deliveries: &[Delivery], payload: Place, at: Timestamp) {
        for (i, delivery) in deliveries.iter().enumerate() {
            let before = (deliveries.len() - i) * Delivery::LEN;
            self.with(delivery.queue, |queue| {
                let delay = Duration::from_secs(queue.settings.delay.into());
                queue.store(payload, before as u32, at, at + delay);
                delay.is_zero()
            });
        }
    }

    fn apply_moves(&mut self, id: QueueId, seqs: &[u64], target: QueueId, record_end: u64) {
        if seqs.is_empty() || !self.queues.contains_key(&target) {
            return;
        }
        let mut moved = Vec::with_capacity(seqs.len());
        let mut source = String::new();
        self.with(id, |queue| {
            source = queue.key.arn().to_string();
            moved.extend(seqs.iter().filter_map(|&seq| queue.remove(seq)));
            false
        });
        self.with(target, |queue| {
            moved
                .into_iter()
                .for_each(|stored| queue.take_in(stored, &source, record_end));
            true
        });
        // A message may be older than the target's retention allows.
        let at = self.clock;
        self.with(target, |queue| queue.advance(at));
    }

    fn reset_now(&mut self) {
        let ids: Vec<QueueId> = self.queues.keys().copied().collect();
        ids.into_iter().for_each(|id| self.remove_queue(id));
        self.topics.clear();
    }
}
