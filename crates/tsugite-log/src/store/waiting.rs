//! Who waits for messages: one line per queue, served from its head.
//!
//! Only the head of a line tries to receive. News of a queue ring the head; whoever leaves the head rings the
//! next. So those who wait are served in the order in which they came, a call that was given up holds up nobody
//! and takes nothing, and news that come while nobody listens ring a bell that keeps the ring.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tsugite_broker::QueueId;

/// The lines. A queue has one while somebody stands in it.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<HashMap<QueueId, Line>>);

/// Bells by ticket; tickets rise.
type Line = BTreeMap<u64, Arc<Notify>>;

impl Waiting {
    /// Whether anybody waits at a queue.
    pub(crate) fn any(&self, queue: QueueId) -> bool {
        self.lock().contains_key(&queue)
    }

    /// Joins the end of a queue's line.
    pub(crate) fn join(self: &Arc<Self>, queue: QueueId) -> Turn {
        let mut lines = self.lock();
        let line = lines.entry(queue).or_default();
        let ticket = line.last_key_value().map_or(0, |(last, _)| last + 1);
        let bell = Arc::<Notify>::default();
        line.insert(ticket, bell.clone());
        drop(lines);
        Turn {
            waiting: self.clone(),
            queue,
            ticket,
            bell,
        }
    }

    /// Wakes the head of the line at each of these queues.
    pub(crate) fn ring(&self, queues: Vec<QueueId>) {
        if queues.is_empty() {
            return;
        }
        let lines = self.lock();
        for line in queues.iter().filter_map(|queue| lines.get(queue)) {
            ring_head(line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ring_head(line: &Line) {
    if let Some((_, bell)) = line.first_key_value() {
        bell.notify_one();
    }
}

/// A place in a line; dropping it leaves the line.
pub(crate) struct Turn {
    waiting: Arc<Waiting>,
    queue: QueueId,
    ticket: u64,
    bell: Arc<Notify>,
}

impl Turn {
    /// Whether it is this one's turn to try.
    pub(crate) fn is_head(&self) -> bool {
        let lines = self.waiting.lock();
        let head = lines.get(&self.queue).and_then(|line| line.first_key_value());
        head.is_some_and(|(ticket, _)| *ticket == self.ticket)
    }

    /// Resolves when there may be something for the head, or when this one has become the head.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.waiting.lock();
        let Some(line) = lines.get_mut(&self.queue) else {
            return;
        };
        let was_head = line
            .first_key_value()
            .is_some_and(|(ticket, _)| *ticket == self.ticket);
        line.remove(&self.ticket);
        if line.is_empty() {
            lines.remove(&self.queue);
        } else if was_head {
            ring_head(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_rung(turn: &Turn) -> bool {
        let mut rung = pin!(turn.rung());
        rung.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn only_the_head_is_rung_and_leaving_rings_the_next() {
        let (waiting, queue) = (Arc::<Waiting>::default(), QueueId(1));
        let [first, second, third] = [(); 3].map(|()| waiting.join(queue));
        assert!(first.is_head() && !second.is_head());
        waiting.ring(vec![queue, QueueId(2)]);
        assert!(is_rung(&first) && !is_rung(&second));
        // One in the middle was given up: nobody notices.
        drop(second);
        assert!(!is_rung(&first) && !is_rung(&third));
        // The head was given up with its ring unheard: the next gets it.
        waiting.ring(vec![queue]);
        drop(first);
        assert!(third.is_head() && is_rung(&third));
        drop(third);
        assert!(!waiting.any(queue));
        waiting.ring(vec![queue]);
    }

    #[test]
    fn a_ring_that_nobody_heard_is_kept() {
        let (waiting, queue) = (Arc::<Waiting>::default(), QueueId(1));
        let turn = waiting.join(queue);
        waiting.ring(vec![queue]);
        assert!(is_rung(&turn) && !is_rung(&turn));
    }
}
