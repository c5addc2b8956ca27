//! The decision to store messages.

use std::collections::BTreeMap;

use tsugite_base::invalid::in_range;
use tsugite_base::{Decision, Invalid, Now, limits};

use crate::broker::Broker;
use crate::command::{Accepted, SendEntry, SendMessages, SendReply};
use crate::dedup::{Fingerprint, First};
use crate::error::{BatchTooLong, ParameterMissing, SendEntryError, SendError};
use crate::fifo::{check_id, check_no_delay, deduplication_id, deduplication_key};
use crate::message::{BodyError, check_attributes, check_body, message_size};
use crate::messages::{check_entries, unseen};
use crate::payload;
use crate::queue::Queue;
use crate::record::{Change, Record, Sent};
use crate::settings::Fifo;

impl Broker {
    /// Stores those of the messages that are in order. A FIFO queue answers a repeat with the first acceptance.
    pub fn send(
        &self,
        mut command: SendMessages,
        now: Now,
    ) -> Result<Decision<Record, SendReply>, SendError> {
        let (id, queue) = self.find(&command.queue)?;
        check_entries(command.entries.len())?;
        let total = check_size(&command.entries)?;
        if let Some(fifo) = &queue.settings.fifo {
            command
                .entries
                .iter_mut()
                .try_for_each(|entry| complete(fifo, entry))?;
        }
        let mut letter = Letter {
            queue,
            now,
            entries: Vec::with_capacity(command.entries.len()),
            payloads: Vec::with_capacity(total + 128 * command.entries.len()),
            accepted: BTreeMap::new(),
        };
        let at = self.time(now);
        let results: Vec<_> = command
            .entries
            .iter_mut()
            .map(|entry| {
                let delay = check_entry(queue, entry)?;
                let fifo = queue.settings.fifo.as_ref();
                let key = fifo.and_then(|fifo| {
                    let (group, id) = (entry.group.as_deref()?, entry.deduplication.as_deref()?);
                    Some(deduplication_key(fifo, group, id))
                });
                let first = key.and_then(|key| {
                    let before = queue.memory.accepted.find(key, at);
                    before.or_else(|| letter.accepted.get(&key).copied())
                });
                Ok(match first {
                    Some(first) => Accepted {
                        id: first.id,
                        sequence: queue.sequence(first.seq),
                    },
                    None => letter.add(entry, &command.sender, delay, key),
                })
            })
            .collect();
        let reply = SendReply { results };
        if letter.entries.is_empty() {
            // The first acceptance of a repeat may still be on its way to the disk.
            let repeats = reply.results.iter().any(Result::is_ok);
            return Ok(if repeats {
                Decision::unchanged(reply)
            } else {
                unseen(reply)
            });
        }
        let change = Change::Send {
            queue: id,
            first: queue.next_seq,
            entries: letter.entries,
            payloads: letter.payloads,
        };
        Ok(self.decided(change, reply, now))
    }
}

/// What one call stores.
struct Letter<'a> {
    queue: &'a Queue,
    now: Now,
    entries: Vec<Sent>,
    payloads: Vec<u8>,
    /// What this very call accepts: a batch may hold repeats of its own.
    accepted: BTreeMap<Fingerprint, First>,
}

impl Letter<'_> {
    fn add(&mut self, entry: &mut SendEntry, sender: &str, delay: u32, key: Option<Fingerprint>) -> Accepted {
        let start = self.payloads.len();
        let seq = self.queue.next_seq + self.entries.len() as u64;
        if let Some(id) = key.and_then(|key| self.queue.memory.accepted.next_id(seq, key)) {
            entry.id = id;
        }
        let id = entry.id;
        payload::sent(&mut self.payloads, entry, sender, self.now.wall);
        let first = First { seq, id };
        self.accepted.extend(key.map(|key| (key, first)));
        self.entries.push(Sent {
            delay_ms: delay * 1_000,
            len: (self.payloads.len() - start) as u32,
            grouped: entry.group.is_some(),
            key,
        });
        Accepted {
            id: first.id,
            sequence: self.queue.sequence(first.seq),
        }
    }
}

/// The bytes of all entries.
fn check_size(entries: &[SendEntry]) -> Result<usize, BatchTooLong> {
    let size = |e: &SendEntry| message_size(&e.body, &e.attributes);
    let (bytes, limit) = (entries.iter().map(size).sum(), limits::MESSAGE_BYTES);
    if entries.len() > 1 && bytes > limit {
        return Err(BatchTooLong { bytes, limit });
    }
    Ok(bytes)
}

/// Gives a FIFO queue's message its deduplication id; without that or a group, none of the call is stored.
fn complete(fifo: &Fifo, entry: &mut SendEntry) -> Result<(), SendError> {
    if entry.group.is_none() {
        let name = "MessageGroupId";
        return Err(ParameterMissing { name }.into());
    }
    entry.deduplication = deduplication_id(fifo, entry);
    if entry.deduplication.is_none() {
        let rule = "the queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId \
                    provided explicitly";
        return Err(Invalid::new("MessageDeduplicationId", "", rule).into());
    }
    Ok(())
}

/// The message's delay in seconds, if the message is in order.
fn check_entry(queue: &Queue, entry: &SendEntry) -> Result<u32, SendEntryError> {
    check_body(&entry.body).map_err(|e| match e {
        BodyError::Missing(e) => SendEntryError::Missing(e),
        BodyError::Invalid(e) => SendEntryError::Body(e),
    })?;
    check_attributes(&entry.attributes)?;
    let bytes = message_size(&entry.body, &entry.attributes);
    let limit = queue.settings.max_size;
    if bytes > limit as usize {
        let rule = format!("message must be shorter than {limit} bytes");
        return Err(Invalid::new("MessageBody", format!("of {bytes} bytes"), rule).into());
    }
    if let Some(group) = &entry.group {
        check_id("MessageGroupId", group)?;
    }
    if let Some(id) = &entry.deduplication {
        if !queue.is_fifo() {
            let rule = "the request includes a parameter that is not valid for this queue type";
            return Err(Invalid::new("MessageDeduplicationId", id, rule).into());
        }
        check_id("MessageDeduplicationId", id)?;
    }
    let of_queue = i64::from(queue.settings.delay);
    let delay = if queue.is_fifo() {
        check_no_delay(entry)?;
        of_queue
    } else {
        entry.delay.unwrap_or(of_queue)
    };
    Ok(in_range("DelaySeconds", delay, 0..=i64::from(limits::DELAY_SECONDS))? as u32)
}
