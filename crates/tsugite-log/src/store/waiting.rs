//! Who waits for messages: one bell per queue, rung when the broker has news of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tsugite_broker::QueueId;

/// The bells. A queue has one while somebody holds it.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<HashMap<QueueId, Arc<Notify>>>);

impl Waiting {
    /// The bell of a queue. Those who wait for it are woken in the order in which they began to wait.
    pub(crate) fn bell(&self, queue: QueueId) -> Arc<Notify> {
        self.lock().entry(queue).or_default().clone()
    }

    /// Gives a bell back; it goes when nobody waits any more.
    pub(crate) fn put_back(&self, queue: QueueId, bell: Arc<Notify>) {
        let mut bells = self.lock();
        // The map's and this one.
        if Arc::strong_count(&bell) <= 2 {
            bells.remove(&queue);
        }
    }

    /// Wakes the one who has waited longest at each of these queues.
    pub(crate) fn ring(&self, queues: Vec<QueueId>) {
        if queues.is_empty() {
            return;
        }
        let bells = self.lock();
        for bell in queues.iter().filter_map(|queue| bells.get(queue)) {
            bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
