//! What people may look at without receiving: single messages, and the groups of a queue.

use std::time::Duration;

use tsugite_base::{Now, Timestamp};

use crate::broker::Broker;
use crate::command::{GroupStats, Lease, MessageState, Peeked};
use crate::error::QueueNotFound;
use crate::keys::QueueKey;
use crate::table::State;

impl Broker {
    /// The stored messages after number `after` (from the first, if absent), by number, at most `limit`.
    pub fn peek(
        &self,
        queue: &QueueKey,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Peeked>, QueueNotFound> {
        let (_, queue) = self.find(queue)?;
        let later = queue
            .table
            .iter()
            .skip_while(|(seq, _)| after.is_some_and(|after| *seq <= after));
        let peeked = later.take(limit).map(|(seq, stored)| Peeked {
            seq,
            state: match stored.state {
                State::Ready => MessageState::Visible,
                State::Delayed => MessageState::Delayed(Timestamp(stored.due)),
                State::Leased => MessageState::InFlight(Timestamp(stored.due)),
            },
            last_received: (stored.receives > 0).then_some(stored.leased),
            lease: Lease {
                handle: String::new(),
                payload: stored.payload(),
                delivery: stored.delivery(),
                receive_count: stored.receives,
                first_received: stored.first_received,
                dead_letter_source: queue.source(stored),
                sequence: None,
                resent: None,
            },
        });
        Ok(peeked.collect())
    }

    /// A moment of the machine's time as the wall clock shows it.
    pub fn wall(&self, at: Timestamp, now: Now) -> Timestamp {
        let time = self.time(now);
        if at >= time {
            now.wall + at.since(time)
        } else {
            now.wall - time.since(at)
        }
    }

    /// The groups that have messages, those with the most messages first, at most `limit`. Messages without a
    /// group are one of them.
    pub fn groups(&self, queue: &QueueKey, limit: usize, now: Now) -> Result<Vec<GroupStats>, QueueNotFound> {
        let (_, queue) = self.find(queue)?;
        let age = |sent: Timestamp| -> Duration { self.time(now).since(sent) };
        let all = GroupStats {
            group: None,
            visible: queue.visible(),
            in_flight: queue.in_flight(),
            delayed: queue.delayed(),
            oldest_age: queue.oldest_sent().map(age),
        };
        let some = queue.table.len() > 0;
        Ok(some.then_some(all).into_iter().take(limit).collect())
    }
}
