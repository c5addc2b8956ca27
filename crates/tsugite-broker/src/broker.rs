//! The machine's state and its clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tsugite_base::names::Scope;
use tsugite_base::{Now, Timestamp, limits};

use crate::error::QueueNotFound;
use crate::keys::{QueueId, QueueKey, SubscriptionKey, TopicKey};
use crate::queue::Queue;
use crate::tags::Tags;
use crate::tally::Tally;
use crate::tasks::Tasks;
use crate::topics::{Topic, TopicTally};

/// What an operator can set for the whole broker. What `apply` does depends on none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Messages of one queue that may be in flight at the same time.
    pub in_flight: usize,
    /// Time before a queue can be purged again; zero switches the guard off.
    pub purge_guard: Duration,
    /// Time before the name of a deleted queue can be used again, up to a minute; zero switches the guard off.
    pub deleted_guard: Duration,
    /// Filter policies that the subscriptions of one topic can have (AWS: 200).
    pub filter_policies: usize,
    /// A secret number, so that clients cannot choose group names or deduplication ids whose hashes meet. Shows in
    /// nothing but speed.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            in_flight: limits::IN_FLIGHT_MESSAGES,
            purge_guard: Duration::from_secs(limits::PURGE_GUARD_SECONDS),
            deleted_guard: Duration::ZERO,
            filter_policies: limits::FILTER_POLICIES,
            seed: 0,
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
    /// Subscriptions that wait for their endpoint, and until when; follows from the topics.
    pub(crate) unconfirmed: BTreeSet<(Timestamp, SubscriptionKey)>,
    /// Subscriptions whose replay has something to do; follows from the topics.
    pub(crate) replays: BTreeSet<SubscriptionKey>,
    /// Whose outbox a queue is; follows from the topics.
    pub(crate) outboxes: BTreeMap<QueueId, SubscriptionKey>,
    /// A replay came up since this was asked last; not part of the state.
    pub(crate) replay_news: bool,
    /// Counts changes of the outboxes; not part of the state.
    pub(crate) outbox_changes: u64,
    pub(crate) tags: Tags,
    pub(crate) tasks: Tasks,
    /// Queues deleted within the last minute, by the machine's time.
    pub(crate) deleted: VecDeque<(Timestamp, QueueKey)>,
    /// When to look at which queue; an entry may be early, never late.
    pub(crate) agenda: BTreeSet<(Timestamp, QueueId)>,
    /// Queues where a waiting receive may now succeed or must end.
    pub(crate) news: Vec<QueueId>,
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

    pub(crate) fn advance_to(&mut self, time: Timestamp) {
        self.clock = self.clock.max(time);
        self.drop_unconfirmed(self.clock);
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
        let queue = self.agenda.first().map(|(due, _)| *due);
        let subscription = self.unconfirmed.first().map(|(until, _)| *until);
        let first = queue.into_iter().chain(subscription).min();
        first.map(|due| due - self.ahead)
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
        if news && !queue.woken && queue.has_available() {
            queue.woken = true;
            self.news.push(id);
        }
    }

    /// Begins every tally at zero: to be called once the log was replayed, whose changes are old news.
    pub fn begin_tallies(&mut self) {
        for queue in self.queues.values_mut() {
            queue.tally = Tally::default();
        }
        for topic in self.topics.values_mut() {
            topic.tally = TopicTally::default();
        }
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
}
