//! What the admin port, beside the doors, needs of a store.

use std::future::Future;

use tsugite_broker::{GroupStats, Message, MessageState, Peeked, QueueKey, QueueNotFound};
use tsugite_engine::{Failure, Messaging, RegistryStore, Unavailable};
use tsugite_log::{LogMetrics, LogStore};

/// A stored message that was looked at, not received. Times are the wall clock's.
#[derive(Debug)]
pub struct Seen {
    /// The message and where it stands.
    pub peeked: Peeked,
    /// What it says, or why that cannot be read.
    pub message: Result<Message, Unavailable>,
}

/// What the program needs of a store beside its domains.
pub trait Store: Messaging + RegistryStore {
    /// The log's counters; nothing for a store without a log.
    fn log_metrics(&self) -> Option<LogMetrics>;

    /// Looks at the clock again, which was moved: what is due by now happens before this returns.
    fn clock_moved(&self);

    /// At most `limit` stored messages of a queue after number `after`, without receiving them.
    fn look(
        &self,
        queue: QueueKey,
        after: Option<u64>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Seen>, Failure<QueueNotFound>>> + Send;

    /// Whether there is such a queue now.
    fn queue_exists(&self, queue: &QueueKey) -> bool;

    /// The groups of a queue that have messages, those with the most messages first.
    fn groups(&self, queue: &QueueKey, limit: usize) -> Result<Vec<GroupStats>, QueueNotFound>;

    /// Takes no more commands and lets go of what is held, on behalf of all clones.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

impl Store for LogStore {
    fn log_metrics(&self) -> Option<LogMetrics> {
        Some(self.metrics())
    }

    fn clock_moved(&self) {
        LogStore::clock_moved(self);
    }

    async fn look(
        &self,
        queue: QueueKey,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Seen>, Failure<QueueNotFound>> {
        let found = self.peek(|domains, now| {
            let mut found = domains.broker.peek(&queue, after, limit)?;
            for peeked in &mut found {
                let wall = |at| domains.broker.wall(at, now);
                peeked.last_received = peeked.last_received.map(wall);
                peeked.state = match peeked.state {
                    MessageState::Visible => MessageState::Visible,
                    MessageState::Delayed(until) => MessageState::Delayed(wall(until)),
                    MessageState::InFlight(until) => MessageState::InFlight(wall(until)),
                };
            }
            Ok(found)
        });
        let mut seen = Vec::new();
        for peeked in found.map_err(Failure::Refused)? {
            // One by one: what one damaged message hides is that message alone.
            let lease = peeked.lease.clone();
            let places = [Some(lease.payload), lease.delivery];
            let message = match self.fetch(places.into_iter().flatten().collect()).await {
                Ok(bytes) => {
                    let payload = bytes.first().map(AsRef::as_ref).unwrap_or_default();
                    let delivery = bytes.get(1).map(AsRef::as_ref);
                    Message::read(lease, payload, delivery)
                        .map_err(|error| Unavailable::Unreadable(error.to_string()))
                }
                Err(error) => Err(error),
            };
            seen.push(Seen { peeked, message });
        }
        Ok(seen)
    }

    fn queue_exists(&self, queue: &QueueKey) -> bool {
        self.peek(|domains, _| domains.broker.queue_id(queue).is_some())
    }

    fn groups(&self, queue: &QueueKey, limit: usize) -> Result<Vec<GroupStats>, QueueNotFound> {
        self.peek(|domains, now| domains.broker.groups(queue, limit, now))
    }

    async fn close(&self) {
        self.clone().close().await;
    }
}
