//! `apply`: what each record changes.

use std::time::Duration;

use tsugite_base::{Place, Timestamp, limits};

use crate::broker::Broker;
use crate::dedup::First;
use crate::keys::QueueId;
use crate::payload;
use crate::queue::Queue;
use crate::record::{Change, Record, Sent};

impl Broker {
    /// Makes a record true. `place` is where its bytes lie in the log.
    pub fn apply(&mut self, record: Record, place: Place) {
        let at = record.at.max(self.clock);
        self.advance_to(at);
        match record.change {
            Change::Send {
                queue,
                first,
                entries,
                payloads,
            } => {
                self.with(queue, |q| {
                    q.number_from(first);
                    false
                });
                self.apply_send(queue, &entries, &payloads, place.end(), at);
                self.trim_captured(queue);
            }
            Change::Receive {
                queue,
                wall,
                timeout_ms,
                leases,
                moves,
                target,
                first,
                attempt,
            } => {
                let until = at + Duration::from_millis(timeout_ms.into());
                self.apply_moves(queue, &moves, (target, first), place.end());
                self.with(queue, |q| {
                    leases.iter().for_each(|&seq| q.lease(seq, at, wall, until));
                    q.tally.received.add(leases.len(), at);
                    if let Some(attempt) = attempt {
                        q.note_attempt(attempt, &leases, at, until);
                    }
                    timeout_ms == 0
                });
            }
            Change::RepeatReceive {
                queue,
                attempt,
                timeout_ms,
            } => self.with_freed(queue, |q| {
                q.repeat_attempt(attempt, at, at + Duration::from_millis(timeout_ms.into()));
            }),
            Change::Delete { queue, seqs } => self.with_freed(queue, |q| {
                let deleted = seqs.into_iter().filter_map(|seq| q.remove(seq)).count();
                q.tally.deleted.add(deleted, at);
            }),
            Change::ChangeVisibility { queue, changes } => self.with_freed(queue, |q| {
                for (seq, timeout_ms) in changes {
                    q.hide(seq, at, at + Duration::from_millis(timeout_ms.into()));
                }
            }),
            Change::Topic(change) => self.apply_topic(change, place.end(), at),
            Change::MoveTask(change) => self.apply_task(change, place.end(), at),
            Change::Relocate { queue, moved, bytes } => {
                self.apply_relocation(queue, &moved, &bytes, place.end());
            }
            of_queues_and_topics => self.apply_other(of_queues_and_topics, at),
        }
    }

    /// Records that are about no single message.
    fn apply_other(&mut self, change: Change, at: Timestamp) {
        match change {
            Change::CreateQueue {
                queue,
                key,
                created,
                settings,
            } => {
                let created = Queue::new(key, *settings, created, self.settings.seed);
                self.add_queue(queue, created);
            }
            Change::SetQueueAttributes {
                queue,
                changed,
                settings,
            } => self.with(queue, |q| {
                q.set(*settings, at);
                q.changed = changed;
                q.advance(at);
                q.has_available()
            }),
            Change::DeleteQueue { queue } => {
                self.note_deleted(queue, at);
                self.remove_queue(queue);
            }
            Change::PurgeQueue { queue } => self.with(queue, |q| {
                q.purge(at);
                false
            }),
            Change::TagQueue { queue, set, removed } => {
                if self.queues.contains_key(&queue) {
                    self.tags.change(queue, set, &removed);
                }
            }
            Change::Reset => self.reset_now(),
            Change::Send { .. }
            | Change::Receive { .. }
            | Change::RepeatReceive { .. }
            | Change::Delete { .. }
            | Change::ChangeVisibility { .. }
            | Change::MoveTask(_)
            | Change::Topic(_)
            | Change::Relocate { .. } => {}
        }
    }

    /// Changes a queue that exists; `change` says whether there may be something to receive.
    pub(crate) fn with(&mut self, id: QueueId, change: impl FnOnce(&mut Queue) -> bool) {
        if let Some(queue) = self.queues.get_mut(&id) {
            let news = change(queue);
            self.touched(id, news);
        }
    }

    /// Changes a queue so that messages may become visible, or leases free for those who met the cap.
    pub(crate) fn with_freed(&mut self, id: QueueId, change: impl FnOnce(&mut Queue)) {
        let cap = self.settings.in_flight;
        self.with(id, |queue| {
            let (visible, full) = (queue.visible(), queue.in_flight() >= cap);
            change(queue);
            // Where a message of a group goes, those behind it may become available without any becoming visible.
            queue.is_fifo() || queue.visible() > visible || (full && queue.in_flight() < cap)
        });
    }

    /// Remembers the name for as long as the guard against creating it anew can want.
    fn note_deleted(&mut self, id: QueueId, at: Timestamp) {
        let window = Duration::from_secs(limits::DELETED_GUARD_SECONDS);
        while self.deleted.front().is_some_and(|(then, _)| *then + window <= at) {
            self.deleted.pop_front();
        }
        if let Some(queue) = self.queues.get(&id) {
            self.deleted.push_back((at, queue.key.clone()));
        }
    }

    fn add_queue(&mut self, id: QueueId, queue: Queue) {
        self.next_queue = self.next_queue.max(id.0.saturating_add(1));
        // Only after records were lost: among them the one that deleted a queue of this name.
        if let Some(old) = self.queue_id(&queue.key) {
            self.remove_queue(old);
        }
        let names = self.names.entry(queue.key.scope.clone()).or_default();
        names.insert(queue.key.name.clone(), id);
        self.queues.insert(id, queue);
    }

    pub(crate) fn remove_queue(&mut self, id: QueueId) {
        self.tags.forget(id);
        self.tasks.forget(id);
        if let Some(queue) = self.queues.remove(&id) {
            self.agenda.remove(&(queue.wake_at, id));
            if let Some(names) = self.names.get_mut(&queue.key.scope) {
                names.remove(&queue.key.name);
                if names.is_empty() {
                    self.names.remove(&queue.key.scope);
                }
            }
            self.news.push(id);
        }
    }

    fn apply_send(&mut self, id: QueueId, entries: &[Sent], payloads: &[u8], end: u64, at: Timestamp) {
        self.with(id, |queue| {
            queue.tally.sent.add(entries.len(), at);
            let mut from = 0;
            for entry in entries {
                let until = at + Duration::from_millis(entry.delay_ms.into());
                let (payload, len) = (&payloads[from..][..entry.len as usize], entry.len);
                let lsn = end - (payloads.len() - from) as u64;
                // A payload without a group where the entry says that it has one would be a bug of `send`.
                let grouped = payload::group_and_id(payload).ok().filter(|_| entry.grouped);
                if let (Some(key), Some((_, id))) = (entry.key, grouped) {
                    let first = First {
                        seq: queue.next_seq,
                        id,
                    };
                    queue.memory.accepted.accept(key, first, at);
                }
                queue.store(Place { lsn, len }, 0, at, until, grouped.map(|(group, _)| group));
                from += entry.len as usize;
            }
            entries.iter().any(|entry| entry.delay_ms == 0)
        });
    }

    fn apply_moves(&mut self, id: QueueId, seqs: &[u64], (target, first): (QueueId, u64), record_end: u64) {
        if seqs.is_empty() || !self.queues.contains_key(&target) {
            return;
        }
        let mut moved = Vec::with_capacity(seqs.len());
        let mut source = String::new();
        let at = self.clock;
        self.with(id, |queue| {
            source = queue.key.arn().to_string();
            moved.extend(seqs.iter().enumerate().filter_map(|(i, &seq)| {
                let number = first.saturating_add(i as u64);
                let slot = queue.table.get(seq)?.group();
                let group = slot.and_then(|slot| queue.groups.get(slot));
                let group = group.map(|group| group.name.clone());
                Some((number, queue.remove(seq)?, group))
            }));
            queue.tally.dead_lettered.add(moved.len(), at);
            false
        });
        self.with(target, |queue| {
            for (number, stored, group) in moved {
                queue.number_from(number);
                queue.take_in(stored, group.as_deref(), &source, record_end, at);
            }
            true
        });
        // A message may be older than the target's retention allows.
        self.with(target, |queue| queue.advance(at));
    }

    fn reset_now(&mut self) {
        let ids: Vec<QueueId> = self.queues.keys().copied().collect();
        ids.into_iter().for_each(|id| self.remove_queue(id));
        self.topics.clear();
        self.unconfirmed.clear();
        self.replays.clear();
        self.outboxes.clear();
        self.outbox_changes += 1;
        self.deleted.clear();
    }
}
