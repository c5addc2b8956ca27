//! One standard queue: which messages are ready, delayed, in flight, and when that changes.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tsugite_base::{Place, Timestamp};

use crate::keys::QueueKey;
use crate::settings::QueueSettings;
use crate::table::{State, Stored, Table};
use crate::tally::Tally;

/// A queue and its messages.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) key: QueueKey,
    pub(crate) settings: QueueSettings,
    /// Wall clock.
    pub(crate) created: Timestamp,
    /// Wall clock.
    pub(crate) changed: Timestamp,
    /// The machine's time of the last purge.
    pub(crate) purged: Option<Timestamp>,
    pub(crate) table: Table,
    pub(crate) next_seq: u64,
    /// The ready line: entry i has turn `first_turn + i` and counts only if its message is ready with that
    /// turn. Others are leftovers of messages that went away from the middle; the first entry always counts.
    line: VecDeque<u64>,
    first_turn: u64,
    visible: usize,
    in_flight: usize,
    /// (deadline, number) of every delayed or leased message.
    timers: BTreeSet<(Timestamp, u64)>,
    /// (payload position, number) of every dead letter from another queue: they are older than their number.
    moved: BTreeSet<(u64, u64)>,
    /// Log position after the last record that moved a message here; who receives here waits for it.
    pub(crate) moved_end: u64,
    /// ARNs of the queues that messages were moved from.
    sources: Vec<String>,
    /// The entry in the machine's agenda; never later than the next deadline.
    pub(crate) wake_at: Timestamp,
    /// Already listed among the queues with news.
    pub(crate) woken: bool,
    /// What happened here since the start.
    pub(crate) tally: Tally,
}

impl Queue {
    pub(crate) fn new(key: QueueKey, settings: QueueSettings, created: Timestamp) -> Queue {
        Queue {
            key,
            settings,
            created,
            changed: created,
            purged: None,
            table: Table::default(),
            next_seq: 0,
            line: VecDeque::new(),
            first_turn: 0,
            visible: 0,
            in_flight: 0,
            timers: BTreeSet::new(),
            moved: BTreeSet::new(),
            moved_end: 0,
            sources: Vec::new(),
            wake_at: Timestamp::NEVER,
            woken: false,
            tally: Tally::default(),
        }
    }

    pub(crate) const fn visible(&self) -> usize {
        self.visible
    }

    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) const fn delayed(&self) -> usize {
        self.table.len() - self.visible - self.in_flight
    }

    /// The numbers of the messages that can be received, in the order in which they became available.
    pub(crate) fn ready(&self) -> impl Iterator<Item = (u64, &Stored)> {
        let turns = self.first_turn..;
        self.line.iter().zip(turns).filter_map(|(&seq, turn)| {
            let stored = self.table.get(seq)?;
            (stored.state == State::Ready && stored.due == turn).then_some((seq, stored))
        })
    }

    /// Stores a new message: available at `until`, or at once if that is not after `at`.
    pub(crate) fn store(&mut self, place: Place, delivery: u32, at: Timestamp, until: Timestamp) {
        let stored = Stored {
            lsn: place.lsn,
            sent: at,
            due: 0,
            leased: Timestamp(0),
            first_received: Timestamp(0),
            len: place.len,
            delivery,
            receives: 0,
            source: 0,
            state: State::Delayed,
        };
        let seq = self.push(stored);
        if until > at {
            self.set_timer(seq, State::Delayed, until);
        } else {
            self.make_ready(seq);
        }
    }

    /// Takes in a dead letter of `source`: visible at once, its history kept.
    pub(crate) fn take_in(&mut self, mut stored: Stored, source: &str, record_end: u64) {
        stored.source = self.source_index(source);
        let lsn = stored.lsn;
        let seq = self.push(stored);
        self.moved.insert((lsn, seq));
        self.moved_end = self.moved_end.max(record_end);
        self.make_ready(seq);
    }

    fn push(&mut self, stored: Stored) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.table.push(seq, stored);
        seq
    }

    fn source_index(&mut self, source: &str) -> u16 {
        let known = self.sources.iter().position(|s| s == source);
        let index = known.unwrap_or_else(|| {
            self.sources.push(source.to_owned());
            self.sources.len() - 1
        });
        // The 65,536th source shares the last number: a wrong hint beats a refused move.
        u16::try_from(index + 1).unwrap_or(u16::MAX)
    }

    /// The ARN of the queue that a dead letter came from.
    pub(crate) fn source(&self, stored: &Stored) -> Option<String> {
        let index = usize::from(stored.source).checked_sub(1)?;
        self.sources.get(index).cloned()
    }

    /// Begins a delivery: counts it, and hides the message until `until` if that is after `at`.
    pub(crate) fn lease(&mut self, seq: u64, at: Timestamp, wall: Timestamp, until: Timestamp) {
        let Some(stored) = self.table.get_mut(seq) else {
            return;
        };
        stored.receives = stored.receives.saturating_add(1);
        stored.leased = at;
        if stored.first_received == Timestamp(0) {
            stored.first_received = wall;
        }
        self.hide(seq, at, until);
    }

    /// Hides a message until `until`, or makes it available if that is not after `at`.
    pub(crate) fn hide(&mut self, seq: u64, at: Timestamp, until: Timestamp) {
        if !self.leave(seq) {
            return;
        }
        if until > at {
            self.set_timer(seq, State::Leased, until);
        } else {
            self.make_ready(seq);
        }
        self.tidy_line();
    }

    /// Takes a message out of the queue.
    pub(crate) fn remove(&mut self, seq: u64) -> Option<Stored> {
        self.leave(seq);
        let stored = self.table.remove(seq)?;
        if stored.source != 0 {
            self.moved.remove(&(stored.lsn, seq));
        }
        self.tidy_line();
        Some(stored)
    }

    /// Removes all messages.
    pub(crate) fn purge(&mut self, at: Timestamp) {
        self.purged = Some(at);
        self.table = Table::default();
        self.timers = BTreeSet::new();
        self.moved = BTreeSet::new();
        self.sources = Vec::new();
        self.line = VecDeque::new();
        self.visible = 0;
        self.in_flight = 0;
    }

    /// Moves everything that is due by `now`. True if messages became available.
    pub(crate) fn advance(&mut self, now: Timestamp) -> bool {
        let visible = self.visible;
        while let Some(&(due, seq)) = self.timers.first() {
            if due > now {
                break;
            }
            self.leave(seq);
            self.make_ready(seq);
        }
        let news = self.visible > visible;
        while let Some(seq) = self.expired(now) {
            self.remove(seq);
            self.tally.expired.add(1, now);
        }
        news && self.visible > 0
    }

    /// When [`Queue::advance`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Timestamp {
        let timer = self.timers.first().map_or(Timestamp::NEVER, |(due, _)| *due);
        let expiry = self
            .oldest_sent()
            .map_or(Timestamp::NEVER, |sent| sent + self.retention());
        timer.min(expiry)
    }

    fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.retention))
    }

    /// The oldest message by send time and the oldest by number: one of them expires first.
    fn oldest(&self) -> impl Iterator<Item = (u64, &Stored)> {
        let moved = self
            .moved
            .first()
            .and_then(|&(_, seq)| Some((seq, self.table.get(seq)?)));
        self.table.first().into_iter().chain(moved)
    }

    fn expired(&self, now: Timestamp) -> Option<u64> {
        let retention = self.retention();
        self.oldest()
            .find(|(_, s)| s.sent + retention <= now)
            .map(|(seq, _)| seq)
    }

    /// When the oldest message was sent.
    pub(crate) fn oldest_sent(&self) -> Option<Timestamp> {
        self.oldest().map(|(_, s)| s.sent).min()
    }

    /// The lowest log position that a message here may need.
    pub(crate) fn oldest_needed(&self) -> Option<u64> {
        self.oldest().map(|(_, s)| s.first_byte()).min()
    }

    fn set_timer(&mut self, seq: u64, state: State, until: Timestamp) {
        if let Some(stored) = self.table.get_mut(seq) {
            stored.state = state;
            stored.due = until.0;
            self.in_flight += usize::from(state == State::Leased);
            self.timers.insert((until, seq));
        }
    }

    fn make_ready(&mut self, seq: u64) {
        if let Some(stored) = self.table.get_mut(seq) {
            stored.state = State::Ready;
            stored.due = self.first_turn + self.line.len() as u64;
            self.line.push_back(seq);
            self.visible += 1;
        }
    }

    pub(crate) fn sources(&self) -> &[String] {
        &self.sources
    }

    pub(crate) fn set_sources(&mut self, sources: Vec<String>) {
        self.sources = sources;
    }

    /// Puts a message back as a snapshot has it; [`Queue::set_line`] must follow. False if the number is not
    /// above all before it.
    pub(crate) fn restore(&mut self, seq: u64, stored: Stored) -> bool {
        if stored.source != 0 {
            self.moved.insert((stored.lsn, seq));
        }
        if stored.state != State::Ready {
            self.in_flight += usize::from(stored.state == State::Leased);
            self.timers.insert((Timestamp(stored.due), seq));
        }
        self.table.push(seq, stored)
    }

    /// Takes a message out of its present state, so that the caller gives it another or removes it.
    fn leave(&mut self, seq: u64) -> bool {
        let Some(stored) = self.table.get_mut(seq) else {
            return false;
        };
        match stored.state {
            State::Ready => {
                stored.due = u64::MAX;
                self.visible -= 1;
            }
            State::Delayed => {
                self.timers.remove(&(Timestamp(stored.due), seq));
            }
            State::Leased => {
                self.timers.remove(&(Timestamp(stored.due), seq));
                self.in_flight -= 1;
            }
        }
        true
    }

    /// Drops leftovers from the front of the ready line, and all of them once they outnumber the rest.
    fn tidy_line(&mut self) {
        while let Some(&seq) = self.line.front() {
            let turn = self.first_turn;
            let counts = |s: &Stored| s.state == State::Ready && s.due == turn;
            if self.table.get(seq).is_some_and(counts) {
                break;
            }
            self.line.pop_front();
            self.first_turn += 1;
        }
        if self.line.len() > self.visible * 2 + 64 {
            let ready: Vec<u64> = self.ready().map(|(seq, _)| seq).collect();
            self.set_line(ready);
        } else if self.line.is_empty() && self.line.capacity() > 1_024 {
            self.line = VecDeque::new();
        }
    }

    /// Renews the line: exactly these messages are ready, in this order.
    pub(crate) fn set_line(&mut self, seqs: Vec<u64>) {
        self.first_turn += self.line.len() as u64;
        for (turn, &seq) in (self.first_turn..).zip(&seqs) {
            if let Some(stored) = self.table.get_mut(seq) {
                stored.due = turn;
            }
        }
        self.visible = seqs.len();
        self.line = seqs.into();
    }
}
