//! One queue: which messages are ready, delayed, in flight, and when that changes.
//!
//! A message has one of three states and lies, while it is ready, in one place: among the fresh (ready since it was
//! stored: its number is its place), in the line of those that came back, or in the line of its group (`groups.rs`).
//! Who is next follows from these three in `ready.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use tsugite_base::{Place, Timestamp};

use crate::elders::Elders;
use crate::groups::Groups;
use crate::keys::QueueKey;
use crate::lane::{Entry, Lane};
use crate::memory::Memory;
use crate::settings::QueueSettings;
use crate::stored::{FRESH, State, Stored};
use crate::table::Table;
use crate::tally::Tally;
use crate::usage::Usage;

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
    /// Fresh messages.
    pub(super) fresh: usize,
    /// The number of the first fresh message, if there is one.
    pub(super) fresh_from: u64,
    /// Ready messages without a group that are not fresh: released, delayed once, or their lease ended.
    pub(super) returned: Lane,
    pub(crate) groups: Groups,
    pub(super) visible: usize,
    in_flight: usize,
    /// (deadline, number) of every delayed or leased message.
    pub(super) timers: BTreeSet<(Timestamp, u64)>,
    pub(super) elders: Elders,
    pub(crate) usage: Usage,
    /// Log position after the last record that moved a message here; who receives here waits for it.
    pub(crate) moved_end: u64,
    /// ARNs of the queues that messages were moved from.
    pub(super) sources: Vec<String>,
    /// What a FIFO queue remembers.
    pub(crate) memory: Memory,
    /// Not part of the state.
    seed: u64,
    /// The entry in the machine's agenda; never later than the next deadline.
    pub(crate) wake_at: Timestamp,
    /// Already listed among the queues with news.
    pub(crate) woken: bool,
    /// What happened here since the start.
    pub(crate) tally: Tally,
}

impl Queue {
    /// An empty queue; `seed` is that of [`crate::Settings`].
    pub(crate) fn new(key: QueueKey, settings: QueueSettings, created: Timestamp, seed: u64) -> Queue {
        let with_turns = settings.fifo.is_none();
        Queue {
            key,
            settings,
            created,
            changed: created,
            purged: None,
            table: Table::default(),
            next_seq: 0,
            fresh: 0,
            fresh_from: 0,
            returned: Lane::with_turns(),
            groups: Groups::new(with_turns, seed),
            visible: 0,
            in_flight: 0,
            timers: BTreeSet::new(),
            elders: Elders::default(),
            usage: Usage::default(),
            moved_end: 0,
            sources: Vec::new(),
            memory: Memory::new(seed),
            seed,
            wake_at: Timestamp::NEVER,
            woken: false,
            tally: Tally::default(),
        }
    }

    pub(crate) const fn is_fifo(&self) -> bool {
        self.settings.fifo.is_some()
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

    /// Stores a new message: available at `until`, or at once if that is not after `at`.
    pub(crate) fn store(
        &mut self,
        payload: Place,
        delivery: u32,
        at: Timestamp,
        until: Timestamp,
        group: Option<&str>,
    ) {
        let seq = self.admit(Stored::new(payload, delivery, at), group);
        if until > at {
            self.set_timer(seq, State::Delayed, until);
        } else {
            self.make_ready(seq, true);
        }
        self.settle_new(seq);
    }

    /// Takes in a dead letter of `source`: visible at once, its history kept. A FIFO queue counts its age anew.
    pub(crate) fn take_in(
        &mut self,
        mut stored: Stored,
        group: Option<&str>,
        source: &str,
        record_end: u64,
        at: Timestamp,
    ) {
        stored.source = self.source_index(source);
        stored.state = State::Ready;
        if self.is_fifo() {
            stored.sent = at;
        }
        let sent = stored.sent;
        let seq = self.admit(stored, group);
        if !self.is_fifo() {
            self.elders.add(seq, sent);
        }
        self.moved_end = self.moved_end.max(record_end);
        self.make_ready(seq, true);
        self.settle_new(seq);
    }

    /// Gives a message its number and its group; its state follows.
    fn admit(&mut self, mut stored: Stored, group: Option<&str>) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        stored.due = FRESH;
        stored.group = group.map_or(0, |name| self.groups.enter(name) as u32 + 1);
        if self.is_fifo()
            && let Some(slot) = stored.group()
            && let Some(group) = self.groups.get_mut(slot)
        {
            group.lane.push(Entry { seq, mark: 0 });
        }
        self.usage.add(&stored);
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

    /// Begins a delivery: counts it, and hides the message until `until` if that is after `at`. Its group goes to the
    /// back of the ring.
    pub(crate) fn lease(&mut self, seq: u64, at: Timestamp, wall: Timestamp, until: Timestamp) {
        let counted = self.table.update(seq, |stored| {
            stored.receives = stored.receives.saturating_add(1);
            stored.leased = at;
            if stored.first_received == Timestamp(0) {
                stored.first_received = wall;
            }
            stored.group()
        });
        self.hide(seq, at, until);
        if let Some(slot) = counted.flatten()
            && self.groups.stands_in_ring(slot)
        {
            self.groups.queue_up(slot, self.next_seq);
        }
    }

    /// Hides a message until `until`, or makes it available if that is not after `at`.
    pub(crate) fn hide(&mut self, seq: u64, at: Timestamp, until: Timestamp) {
        if self.leave(seq).is_none() {
            return;
        }
        if until > at {
            self.set_timer(seq, State::Leased, until);
        } else {
            self.make_ready(seq, false);
        }
        self.settle(seq);
    }

    /// Takes a message out of the queue.
    pub(crate) fn remove(&mut self, seq: u64) -> Option<Stored> {
        let stored = self.leave(seq)?;
        self.table.remove(seq);
        self.usage.sub(&stored);
        if stored.source != 0 {
            self.elders.remove(seq, stored.sent, &self.table);
        }
        if let Some(slot) = stored.group() {
            self.groups.leave(slot);
            self.settle_group(slot);
        } else {
            self.settle_returned();
        }
        Some(stored)
    }

    /// Removes all messages, and forgets what was accepted.
    pub(crate) fn purge(&mut self, at: Timestamp) {
        let emptied = Queue::new(self.key.clone(), self.settings.clone(), self.created, self.seed);
        let old = std::mem::replace(self, emptied);
        self.changed = old.changed;
        self.purged = Some(at);
        self.next_seq = old.next_seq;
        self.moved_end = old.moved_end;
        self.wake_at = old.wake_at;
        self.woken = old.woken;
        self.tally = old.tally;
    }

    /// Lets everything happen that is due by `now`, in the order in which it was due, so that it makes no difference
    /// how often this is called. True if messages became available.
    pub(crate) fn advance(&mut self, now: Timestamp) -> bool {
        let mut news = false;
        loop {
            let timer = self.timers.first().copied();
            let due = timer.map_or(Timestamp::NEVER, |(due, _)| due);
            let expiry = self.next_expiry();
            if expiry <= now && expiry < due {
                let Some(seq) = self.expired(expiry) else { break };
                self.remove(seq);
                self.tally.expired.add(1, now);
                // Where an older message of a group expires, those behind it may become available.
                news |= self.is_fifo();
            } else if let Some((_, seq)) = timer.filter(|_| due <= now) {
                self.leave(seq);
                self.make_ready(seq, false);
                self.settle(seq);
                news = true;
            } else {
                break;
            }
        }
        self.memory.forget(now);
        news && self.has_available()
    }

    /// When [`Queue::advance`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Timestamp {
        let timer = self.timers.first().map_or(Timestamp::NEVER, |(due, _)| *due);
        timer.min(self.next_expiry()).min(self.memory.forgotten_at())
    }

    fn next_expiry(&self) -> Timestamp {
        let oldest = self.oldest_sent();
        oldest.map_or(Timestamp::NEVER, |sent| sent + self.retention())
    }

    /// Changes the settings. A FIFO queue's delay holds for messages that are delayed already (AWS: DelaySeconds).
    pub(crate) fn set(&mut self, settings: QueueSettings, at: Timestamp) {
        let delay = settings.delay;
        let retimed = self.is_fifo() && delay != self.settings.delay;
        self.settings = settings;
        if !retimed {
            return;
        }
        let waiting: Vec<u64> = self.timers.iter().map(|(_, seq)| *seq).collect();
        for seq in waiting {
            let delayed = self.table.get(seq).filter(|s| s.state == State::Delayed);
            let Some(stored) = delayed else { continue };
            self.leave(seq);
            let until = stored.sent + Duration::from_secs(delay.into());
            if until > at {
                self.set_timer(seq, State::Delayed, until);
            } else {
                self.make_ready(seq, true);
            }
            self.settle(seq);
        }
    }

    fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.retention))
    }

    fn expired(&self, now: Timestamp) -> Option<u64> {
        let over = |sent: Timestamp| sent + self.retention() <= now;
        if let Some((seq, _)) = self.table.first().filter(|(_, s)| over(s.sent)) {
            return Some(seq);
        }
        let (sent, from) = self.elders.oldest().filter(|(sent, _)| over(*sent))?;
        let mut moved = self.table.from(from).filter(|(_, s)| s.source != 0);
        moved.find(|(_, s)| s.sent == sent).map(|(seq, _)| seq)
    }

    /// When the oldest message was sent.
    pub(crate) fn oldest_sent(&self) -> Option<Timestamp> {
        let moved = self.elders.oldest().map(|(sent, _)| sent);
        let first = self.table.first().map(|(_, stored)| stored.sent);
        moved.into_iter().chain(first).min()
    }

    /// Whether a receive would get something, or find dead letters to move.
    pub(crate) fn has_available(&self) -> bool {
        if self.is_fifo() {
            self.groups.ring().next().is_some()
        } else {
            self.visible > 0
        }
    }

    fn set_timer(&mut self, seq: u64, state: State, until: Timestamp) {
        let group = self.table.update(seq, |stored| {
            stored.state = state;
            stored.due = until.0;
            stored.group()
        });
        self.timers.insert((until, seq));
        let leased = usize::from(state == State::Leased);
        self.in_flight += leased;
        if let Some(slot) = group.flatten()
            && let Some(group) = self.groups.get_mut(slot)
        {
            group.leased += leased as u32;
            group.delayed += 1 - leased as u32;
        }
    }

    /// Makes a message available that has left its state; `fresh` if it comes into the queue with this.
    fn make_ready(&mut self, seq: u64, fresh: bool) {
        let Some(stored) = self.table.get(seq) else {
            return;
        };
        self.visible += 1;
        let due = if self.is_fifo() {
            FRESH
        } else if let Some(slot) = stored.group() {
            let Some(group) = self.groups.get_mut(slot) else {
                return;
            };
            group.lane.push(Entry { seq, mark: 0 })
        } else if fresh {
            self.fresh += 1;
            if self.fresh == 1 {
                self.fresh_from = seq;
            }
            FRESH
        } else {
            // A group that queued up under this very mark came before: a number is left out, to tell the two apart. Else a
            // message that is released again and again would stay ahead of every group.
            if self.groups.last_mark() == Some(self.next_seq) {
                self.next_seq += 1;
            }
            let mark = self.returned.mark(self.next_seq);
            self.returned.push(Entry { seq, mark })
        };
        self.table.update(seq, |stored| {
            stored.state = State::Ready;
            stored.due = due;
        });
    }

    /// Takes a message out of its present state, so that the caller gives it another or removes it. Returns what it was.
    fn leave(&mut self, seq: u64) -> Option<Stored> {
        let stored = self.table.get(seq)?;
        match stored.state {
            State::Ready => {
                self.visible -= 1;
                if stored.is_fresh() && stored.group().is_none() {
                    self.fresh -= 1;
                    self.settle_fresh(seq);
                }
                // The entry in a line stays behind: this message no longer has that turn.
                self.table.update(seq, |stored| stored.due = u64::MAX);
            }
            State::Delayed | State::Leased => {
                let leased = usize::from(stored.state == State::Leased);
                self.timers.remove(&(Timestamp(stored.due), seq));
                self.in_flight -= leased;
                if let Some(slot) = stored.group()
                    && let Some(group) = self.groups.get_mut(slot)
                {
                    group.leased -= leased as u32;
                    group.delayed -= 1 - leased as u32;
                }
            }
        }
        Some(stored)
    }

    /// Counts a message that a snapshot brought; lines and groups are restored apart.
    pub(super) fn count(&mut self, seq: u64, stored: &Stored) {
        self.usage.add(stored);
        if stored.source != 0 && !self.is_fifo() {
            self.elders.add(seq, stored.sent);
        }
        if stored.state == State::Ready {
            self.visible += 1;
            if stored.is_fresh() && stored.group().is_none() {
                if self.fresh == 0 {
                    self.fresh_from = seq;
                }
                self.fresh += 1;
            }
            return;
        }
        self.timers.insert((Timestamp(stored.due), seq));
        let leased = usize::from(stored.state == State::Leased);
        self.in_flight += leased;
        if let Some(slot) = stored.group()
            && let Some(group) = self.groups.get_mut(slot)
        {
            group.leased += leased as u32;
            group.delayed += 1 - leased as u32;
        }
    }
}
