//! What people may look at without receiving: single messages, and the groups of a queue.

use std::time::Duration;

use tsugite_base::{Now, Timestamp};

use crate::broker::Broker;
use crate::command::{GroupStats, Lease, MessageState, Peeked};
use crate::error::QueueNotFound;
use crate::groups::Group;
use crate::keys::QueueKey;
use crate::stored::State;

impl Broker {
    /// The stored messages after number `after` (from the first, if absent), by number, at most `limit`.
    pub fn peek(
        &self,
        queue: &QueueKey,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Peeked>, QueueNotFound> {
        let (_, queue) = self.find(queue)?;
        let later = queue.table.from(after.map_or(0, |after| after.saturating_add(1)));
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
                dead_letter_source: queue.source(&stored),
                sequence: queue.sequence(seq),
                resent: queue.resent(&stored),
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
        let mut groups: Vec<&Group> = queue.groups.iter().collect();
        groups.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        let sum = |count: fn(&Group) -> u32| groups.iter().map(|group| count(group) as usize).sum::<usize>();
        let rest = GroupStats {
            group: None,
            visible: queue.visible() - sum(Group::ready),
            in_flight: queue.in_flight() - sum(|group| group.leased),
            delayed: queue.delayed() - sum(|group| group.delayed),
            // With groups beside them, finding their oldest would be a walk over all messages.
            oldest_age: queue.oldest_sent().filter(|_| groups.is_empty()).map(age),
        };
        let stats = |group: &Group| GroupStats {
            group: Some(group.name.to_string()),
            visible: group.ready() as usize,
            in_flight: group.leased as usize,
            delayed: group.delayed as usize,
            oldest_age: group
                .lane
                .first()
                .and_then(|(_, entry)| Some(age(queue.table.get(entry.seq)?.sent))),
        };
        let mut all: Vec<GroupStats> = groups.into_iter().map(stats).collect();
        if rest.visible + rest.in_flight + rest.delayed > 0 {
            all.push(rest);
        }
        all.sort_by_key(|group| std::cmp::Reverse(group.visible + group.in_flight + group.delayed));
        all.truncate(limit);
        Ok(all)
    }
}
