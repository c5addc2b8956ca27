//! The numbers of messages: given in order, and told from records where some of the records are lost.
//!
//! Records that store messages say their numbers, although these follow from the state: so a lost record cannot make
//! later ones mean other messages, and its gap in the numbers is seen.

use tsugite_base::Uuid;

use crate::broker::Broker;
use crate::keys::QueueId;
use crate::payload;
use crate::queue::Queue;
use crate::record::{Change, Record};
use crate::tasks::TaskChange;
use crate::topics::TopicChange;

/// Numbers stay below: far more than any queue gives.
const NUMBERS: u64 = 1 << 62;

impl Queue {
    /// Makes `first` the number of the next message. It is that already unless records before were lost: then what
    /// they changed is missing in the state, and the record knows better.
    pub(crate) fn number_from(&mut self, first: u64) {
        if first != self.next_seq && first < NUMBERS && self.table.from(first).next().is_none() {
            self.next_seq = first;
        }
    }
}

/// What a record says about the numbers of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Messages that it stores: queue and number, ascending in each queue.
    pub stored: Vec<(QueueId, u64)>,
    /// Messages that it takes out of their queue.
    pub removed: Vec<(QueueId, u64)>,
    /// The queue that it empties or removes.
    pub emptied: Option<QueueId>,
    /// Whether it removes all queues.
    pub reset: bool,
}

impl Record {
    /// What the record says about the numbers of messages.
    pub fn numbers(&self) -> Numbers {
        let mut numbers = Numbers::default();
        match &self.change {
            Change::Send {
                queue,
                first,
                entries,
                ..
            } => {
                let number = |i: usize| (*queue, first.saturating_add(i as u64));
                numbers.stored.extend((0..entries.len()).map(number));
            }
            Change::Topic(TopicChange::Publish {
                numbers: given,
                deliveries,
                ..
            }) => {
                let stored = deliveries.iter().zip(given);
                numbers
                    .stored
                    .extend(stored.map(|(d, number)| (d.queue, *number)));
            }
            Change::Topic(TopicChange::Replay { target, messages, .. }) => {
                let stored = messages.iter().map(|(number, _)| (*target, *number));
                numbers.stored.extend(stored);
            }
            Change::Topic(TopicChange::GiveUp {
                outbox, seq, target, ..
            }) => {
                numbers.removed.push((*outbox, *seq));
                numbers.stored.extend(*target);
            }
            Change::Receive {
                queue,
                moves,
                target,
                first,
                ..
            } => {
                numbers.removed.extend(moves.iter().map(|seq| (*queue, *seq)));
                let number = |i: usize| (*target, first.saturating_add(i as u64));
                numbers.stored.extend((0..moves.len()).map(number));
            }
            Change::MoveTask(TaskChange::Move { source, moves, .. }) => {
                numbers.removed.extend(moves.iter().map(|one| (*source, one.seq)));
                numbers
                    .stored
                    .extend(moves.iter().map(|one| (one.to, one.number)));
            }
            Change::Delete { queue, seqs } => {
                numbers.removed.extend(seqs.iter().map(|seq| (*queue, *seq)));
            }
            Change::PurgeQueue { queue } | Change::DeleteQueue { queue } => numbers.emptied = Some(*queue),
            Change::Reset => numbers.reset = true,
            _ => {}
        }
        numbers
    }
}

impl Broker {
    /// The number that the next message of a queue gets; zero if there is no such queue.
    pub fn next_number(&self, queue: QueueId) -> u64 {
        self.queues.get(&queue).map_or(0, |queue| queue.next_seq)
    }

    /// Whether a message is stored.
    pub fn holds(&self, queue: QueueId, number: u64) -> bool {
        let queue = self.queues.get(&queue);
        queue.is_some_and(|queue| queue.table.get(number).is_some())
    }

    /// For a repair: takes a message out of its queue because its bytes are lost.
    pub fn discard(&mut self, queue: QueueId, number: u64) {
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.remove(number);
        }
        self.touched(queue, true);
    }

    /// For a repair: leaves out as many numbers of messages and of queues as lost records may have given, so that
    /// nothing that a client knows of those comes to mean something else.
    pub fn skip_numbers(&mut self, by: u64) {
        for queue in self.queues.values_mut() {
            queue.next_seq = queue.next_seq.saturating_add(by).min(NUMBERS);
        }
        let by = u32::try_from(by).unwrap_or(u32::MAX / 2);
        self.next_queue = self.next_queue.saturating_add(by);
    }
}

/// The message id that stands in a payload, right or not; `None` where the payload alone does not say it.
pub fn id_in_payload(payload: &[u8]) -> Option<Uuid> {
    payload::id_as_it_stands(payload)
}
