//! Who is next: the messages of a queue that can be received, in the order in which they should be.

use std::collections::VecDeque;

use crate::lane::{Entry, Lane};
use crate::queue::Queue;
use crate::stored::{State, Stored};

impl Queue {
    /// The messages that can be received now, the next one first.
    pub(crate) fn ready(&self) -> Box<dyn Iterator<Item = (u64, Stored)> + '_> {
        if self.is_fifo() {
            Box::new(self.in_sequence())
        } else {
            Box::new(self.in_turn())
        }
    }

    /// Of a FIFO queue: the groups as they stand in the ring, of each all messages up to the first that is in flight
    /// or delayed.
    fn in_sequence(&self) -> impl Iterator<Item = (u64, Stored)> {
        self.groups.ring().flat_map(|(_, group)| {
            let stored = |(_, Entry { seq, .. })| Some((seq, self.table.get(seq)?));
            let all = group.lane.iter().filter_map(stored);
            all.take_while(|(_, stored)| stored.state == State::Ready)
        })
    }

    /// Of a standard queue: those without a group by the time since when they are available, and among them one of
    /// each group whenever it is its turn.
    fn in_turn(&self) -> impl Iterator<Item = (u64, Stored)> {
        let fresh = if self.fresh > 0 {
            self.fresh_from
        } else {
            self.next_seq
        };
        let fresh = self.table.from(fresh);
        let mut fresh = fresh
            .filter(|(_, s)| s.is_fresh() && s.group().is_none())
            .take(self.fresh)
            .peekable();
        let mut returned = self.standing(&self.returned).peekable();
        let mut ring = self.groups.ring().peekable();
        let mut later = VecDeque::new();
        std::iter::from_fn(move || {
            loop {
                // A fresh message came before everything that has a mark above its number.
                let keys = [
                    fresh.peek().map(|(seq, _)| *seq + 1),
                    returned.peek().map(|(entry, _)| entry.mark),
                    ring.peek().map(|(mark, _)| *mark),
                ];
                let least = keys.iter().flatten().min().copied();
                if least.is_some() && keys[0] == least {
                    return fresh.next();
                }
                if least.is_some() && keys[1] == least {
                    return returned.next().map(|(entry, stored)| (entry.seq, stored));
                }
                let mut line = match ring.next() {
                    Some((_, group)) => self.standing(&group.lane),
                    None => later.pop_front()?,
                };
                if let Some((entry, stored)) = line.next() {
                    later.push_back(line);
                    return Some((entry.seq, stored));
                }
            }
        })
    }

    /// The entries of a line that count, with their messages.
    fn standing<'a>(&'a self, lane: &'a Lane) -> impl Iterator<Item = (Entry, Stored)> + use<'a> {
        lane.iter().filter_map(|(turn, entry)| {
            let stored = self.table.get(entry.seq)?;
            (stored.state == State::Ready && stored.due == turn).then_some((entry, stored))
        })
    }
}
