//! The lines of a queue kept in order: leftovers go, and a group stands in the ring just while it can be served.

use crate::lane::Lane;
use crate::queue::Queue;
use crate::stored::{State, Stored};

impl Queue {
    /// Finds the first fresh message anew if number `seq` was it.
    pub(super) fn settle_fresh(&mut self, seq: u64) {
        if self.fresh > 0 && seq == self.fresh_from {
            let mut later = self.table.from(seq + 1);
            let next = later.find(|(_, s)| s.is_fresh() && s.group().is_none());
            self.fresh_from = next.map_or(self.next_seq, |(seq, _)| seq);
        }
    }

    /// Brings the line in order in which message `seq` may stand.
    pub(super) fn settle(&mut self, seq: u64) {
        match self.table.get(seq).and_then(|stored| stored.group()) {
            Some(slot) => self.settle_group(slot),
            None => self.settle_returned(),
        }
    }

    /// As [`Queue::settle`] for a message that just came: behind others of its group it changes nothing for them, and
    /// the first of them need not be looked at.
    pub(super) fn settle_new(&mut self, seq: u64) {
        let Some(slot) = self.table.get(seq).and_then(|stored| stored.group()) else {
            return;
        };
        let behind = self.groups.get(slot).is_some_and(|group| group.count > 1);
        if !(self.is_fifo() && behind || self.groups.stands_in_ring(slot)) {
            self.settle_group(slot);
        }
    }

    /// Drops leftovers from the front of the line of those that came back, and all of them once they are many.
    pub(super) fn settle_returned(&mut self) {
        while let Some((turn, entry)) = self.returned.first() {
            if self.has_turn(turn, entry.seq) {
                break;
            }
            self.returned.pop();
        }
        if self.returned.len() > (self.visible - self.fresh) * 2 + 64 {
            let old = std::mem::take(&mut self.returned);
            self.returned = self.renewed(&old);
        }
    }

    /// Drops leftovers of a group's line, and sees to its place in the ring.
    pub(super) fn settle_group(&mut self, slot: usize) {
        let fifo = self.is_fifo();
        let Some(group) = self.groups.get_mut(slot) else {
            return;
        };
        let mut head = None;
        while let Some((turn, entry)) = group.lane.first() {
            let stored = self.table.get(entry.seq);
            head = stored.filter(|s| fifo || s.state == State::Ready && s.due == turn);
            if head.is_some() {
                break;
            }
            group.lane.pop();
        }
        let wanted = if fifo { group.count } else { group.ready() };
        if group.lane.len() > wanted as usize * 2 + 64 {
            let old = std::mem::take(&mut group.lane);
            let renewed = self.renewed(&old);
            if let Some(group) = self.groups.get_mut(slot) {
                group.lane = renewed;
            }
        }
        let available = head.is_some_and(|stored| stored.state == State::Ready);
        match (available, self.groups.stands_in_ring(slot)) {
            (true, false) => self.groups.queue_up(slot, self.next_seq),
            (false, true) => self.groups.withdraw(slot),
            _ => {}
        }
    }

    /// The line without its leftovers, its messages with new turns.
    fn renewed(&mut self, old: &Lane) -> Lane {
        let mut lane = old.successor();
        let fifo = self.is_fifo();
        for (turn, entry) in old.iter() {
            if fifo {
                if self.table.get(entry.seq).is_some() {
                    lane.push(entry);
                }
            } else if self.has_turn(turn, entry.seq) {
                let turn = lane.push(entry);
                self.table.update(entry.seq, |stored| stored.due = turn);
            }
        }
        lane
    }

    /// Whether a message is ready with this turn, so that the entry in its line counts.
    pub(super) fn has_turn(&self, turn: u64, seq: u64) -> bool {
        let counts = |s: Stored| s.state == State::Ready && s.due == turn;
        self.table.get(seq).is_some_and(counts)
    }
}
