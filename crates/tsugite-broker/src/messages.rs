//! Decisions about messages: send, receive, delete, change visibility.

use std::time::Duration;

use tsugite_base::invalid::in_range;
use tsugite_base::{Decision, Invalid, Now, Timestamp, Wait, limits};

use crate::broker::Broker;
use crate::command::{
    Accepted, ChangeVisibility, ChangeVisibilityEntry, ChangeVisibilityReply, DeleteMessages, DeleteReply,
    Lease, Leases, Receive, SendEntry, SendMessages, SendReply,
};
use crate::error::{
    BatchTooLong, ChangeVisibilityEntryError, ChangeVisibilityError, DeleteError, OverLimit,
    ParameterMissing, ReceiveError, SendEntryError, SendError, Unsupported,
};
use crate::handle::Handle;
use crate::keys::QueueId;
use crate::message::{AttributeRules, BodyError, check_attributes, check_body, message_size};
use crate::payload;
use crate::queue::Queue;
use crate::record::{Change, Record, Sent};
use crate::table::Stored;

impl Broker {
    /// Stores those of the messages that are in order.
    pub fn send(&self, command: SendMessages, now: Now) -> Result<Decision<Record, SendReply>, SendError> {
        let (id, queue) = self.find(&command.queue)?;
        check_entries(command.entries.len())?;
        let size = |e: &SendEntry| message_size(&e.body, &e.attributes);
        let total: usize = command.entries.iter().map(size).sum();
        if command.entries.len() > 1 && total > limits::MESSAGE_BYTES {
            let limit = limits::MESSAGE_BYTES;
            return Err(BatchTooLong { bytes: total, limit }.into());
        }
        if queue.settings.fifo.is_some() && command.entries.iter().any(|e| e.group.is_none()) {
            let name = "MessageGroupId";
            return Err(ParameterMissing { name }.into());
        }
        let mut entries = Vec::with_capacity(command.entries.len());
        let mut results = Vec::with_capacity(command.entries.len());
        let mut payloads = Vec::with_capacity(total + 128 * command.entries.len());
        for entry in &command.entries {
            results.push(check_entry(queue, entry).map(|delay| {
                let start = payloads.len();
                payload::sent(&mut payloads, entry, &command.sender, now.wall);
                entries.push(Sent {
                    delay_ms: delay * 1_000,
                    len: (payloads.len() - start) as u32,
                });
                Accepted {
                    id: entry.id,
                    sequence: None,
                }
            }));
        }
        let reply = SendReply { results };
        if entries.is_empty() {
            return Ok(unseen(reply));
        }
        Ok(self.decided(
            Change::Send {
                queue: id,
                entries,
                payloads,
            },
            reply,
            now,
        ))
    }

    /// Leases what can be received now, and moves dead letters out of the way.
    pub fn receive(&self, command: &Receive, now: Now) -> Result<Decision<Record, Leases>, ReceiveError> {
        let (id, queue) = self.find(&command.queue)?;
        let ranged = |what: &str, value: Option<i64>, default: u32, range: std::ops::RangeInclusive<i64>| {
            in_range(what, value.unwrap_or_else(|| default.into()), range)
        };
        let max = ranged(
            "MaxNumberOfMessages",
            command.max,
            1,
            1..=limits::RECEIVE_MESSAGES as i64,
        )? as usize;
        let visibility = 0..=i64::from(limits::VISIBILITY_SECONDS);
        let timeout = ranged(
            "VisibilityTimeout",
            command.visibility,
            queue.settings.visibility,
            visibility,
        )?;
        let wait = 0..=i64::from(limits::WAIT_SECONDS);
        let wait = ranged("WaitTimeSeconds", command.wait, queue.settings.wait, wait)?;
        refuse_attempt(command.attempt.as_deref())?;
        let mut reply = Leases {
            queue: id,
            leases: Vec::new(),
            wait: Duration::from_secs(wait as u64),
            again: false,
        };
        let room = self.settings.in_flight.saturating_sub(queue.in_flight());
        if room == 0 && wait == 0 {
            return Err(OverLimit {
                name: command.queue.name.clone(),
                limit: self.settings.in_flight,
            }
            .into());
        }
        let (target, limit) = self.dead_letter_target(id, queue);
        let at = self.time(now);
        let (mut leases, mut moves, mut seen) = (Vec::new(), Vec::new(), 0);
        for (seq, stored) in queue.ready() {
            if leases.len() == max.min(room) || moves.len() == limits::DEAD_LETTERS_PER_STEP {
                break;
            }
            if stored.receives >= limit {
                moves.push(seq);
                continue;
            }
            leases.push(seq);
            reply.leases.push(lease(id, queue, seq, stored, at, now.wall));
            seen = seen.max(stored.payload().end());
        }
        reply.again = leases.is_empty() && moves.len() == limits::DEAD_LETTERS_PER_STEP;
        if leases.is_empty() && moves.is_empty() {
            return Ok(unseen(reply));
        }
        let change = Change::Receive {
            queue: id,
            wall: now.wall,
            timeout_ms: timeout as u32 * 1_000,
            leases,
            moves,
            target,
        };
        let mut decision = self.decided(change, reply, now);
        // The messages must be durable before anyone sees them, and so must be a move that brought them here:
        // otherwise a crash could undo it after the receiver deleted its copy. The lease itself may be lost.
        decision.wait = Wait::UpTo(seen.max(queue.moved_end));
        Ok(decision)
    }

    /// The queue that takes dead letters and the receive count that makes one. A target that is gone takes
    /// none: messages then stay and are delivered again.
    fn dead_letter_target(&self, source: QueueId, queue: &Queue) -> (QueueId, u32) {
        let policy = queue.settings.redrive.as_ref();
        let target = policy.and_then(|p| Some((self.queue_id(&p.target)?, p.max_receives)));
        target
            .filter(|(id, _)| *id != source)
            .unwrap_or((source, u32::MAX))
    }

    /// Deletes the messages of which these are the latest handles.
    pub fn delete(
        &self,
        command: &DeleteMessages,
        now: Now,
    ) -> Result<Decision<Record, DeleteReply>, DeleteError> {
        let (id, queue) = self.find(&command.queue)?;
        check_entries(command.handles.len())?;
        let mut seqs = Vec::with_capacity(command.handles.len());
        let mut result = |text: &String| {
            let handle = Handle::parse(text, id)?;
            let stored = queue.table.get(handle.seq);
            if stored.is_some_and(|s| is_latest(handle, s)) && !seqs.contains(&handle.seq) {
                seqs.push(handle.seq);
            }
            Ok(())
        };
        let reply = DeleteReply {
            results: command.handles.iter().map(&mut result).collect(),
        };
        if seqs.is_empty() {
            // Waits for what it may have seen: the deletion that another call is still waiting for.
            return Ok(Decision::unchanged(reply));
        }
        Ok(self.decided(Change::Delete { queue: id, seqs }, reply, now))
    }

    /// Moves the ends of leases.
    pub fn change_visibility(
        &self,
        command: &ChangeVisibility,
        now: Now,
    ) -> Result<Decision<Record, ChangeVisibilityReply>, ChangeVisibilityError> {
        let (id, queue) = self.find(&command.queue)?;
        check_entries(command.entries.len())?;
        let at = self.time(now);
        let mut changes: Vec<(u64, u32)> = Vec::with_capacity(command.entries.len());
        let mut result = |entry: &ChangeVisibilityEntry| {
            let (seq, timeout) = check_change(id, queue, entry, at)?;
            changes.push((seq, timeout * 1_000));
            Ok(())
        };
        let reply = ChangeVisibilityReply {
            results: command.entries.iter().map(&mut result).collect(),
        };
        if changes.is_empty() {
            return Ok(unseen(reply));
        }
        let releases = changes.iter().all(|(_, timeout)| *timeout == 0);
        let mut decision = self.decided(Change::ChangeVisibility { queue: id, changes }, reply, now);
        if releases {
            decision.wait = Wait::UpTo(0);
        }
        Ok(decision)
    }
}

/// Attempts are repeated on FIFO queues only.
fn refuse_attempt(attempt: Option<&str>) -> Result<(), Invalid> {
    let rule = "the request includes a parameter that is not valid for this queue type";
    attempt.map_or(Ok(()), |id| {
        Err(Invalid::new("ReceiveRequestAttemptId", id, rule))
    })
}

/// A decision that changes nothing, with a reply that tells nothing that a crash could undo.
const fn unseen<R>(reply: R) -> Decision<Record, R> {
    Decision {
        records: Vec::new(),
        reply,
        wait: Wait::UpTo(0),
    }
}

fn check_entries(n: usize) -> Result<(), Invalid> {
    in_range("Entries", n as i64, 1..=limits::BATCH_ENTRIES as i64).map(drop)
}

/// The message's delay in seconds, if the message is in order.
fn check_entry(queue: &Queue, entry: &SendEntry) -> Result<u32, SendEntryError> {
    check_body(&entry.body).map_err(|e| match e {
        BodyError::Missing(e) => SendEntryError::Missing(e),
        BodyError::Invalid(e) => SendEntryError::Body(e),
    })?;
    check_attributes(&entry.attributes, AttributeRules::Queue)?;
    let bytes = message_size(&entry.body, &entry.attributes);
    let limit = queue.settings.max_size;
    if bytes > limit as usize {
        let rule = format!("message must be shorter than {limit} bytes");
        return Err(Invalid::new("MessageBody", format!("of {bytes} bytes"), rule).into());
    }
    if let Some(id) = &entry.deduplication {
        let rule = "the request includes a parameter that is not valid for this queue type";
        return Err(Invalid::new("MessageDeduplicationId", id, rule).into());
    }
    if entry.group.is_some() {
        return Err(Unsupported {
            what: "MessageGroupId".into(),
        }
        .into());
    }
    let delay = entry.delay.unwrap_or_else(|| queue.settings.delay.into());
    Ok(in_range("DelaySeconds", delay, 0..=i64::from(limits::DELAY_SECONDS))? as u32)
}

fn lease(id: QueueId, queue: &Queue, seq: u64, stored: &Stored, at: Timestamp, wall: Timestamp) -> Lease {
    let count = stored.receives.saturating_add(1);
    let handle = Handle {
        queue: id,
        seq,
        count,
        leased: at,
    };
    let first = stored.first_received;
    Lease {
        handle: handle.text(),
        payload: stored.payload(),
        delivery: stored.delivery(),
        receive_count: count,
        first_received: if first == Timestamp(0) { wall } else { first },
        dead_letter_source: queue.source(stored),
        sequence: None,
        resent: None,
    }
}

/// Whether the handle is of the last delivery, or of a later one that a crash made us forget.
fn is_latest(handle: Handle, stored: &Stored) -> bool {
    (handle.count, handle.leased) >= (stored.receives, stored.leased)
}

/// The message and its timeout in seconds, if its lease can be changed.
fn check_change(
    id: QueueId,
    queue: &Queue,
    entry: &ChangeVisibilityEntry,
    at: Timestamp,
) -> Result<(u64, u32), ChangeVisibilityEntryError> {
    let handle = Handle::parse(&entry.handle, id)?;
    let limit = i64::from(limits::VISIBILITY_SECONDS);
    let timeout = in_range("VisibilityTimeout", entry.timeout, 0..=limit)? as u32;
    let refuse = |rule: &str| Err(Invalid::new("ReceiptHandle", &entry.handle, rule).into());
    match queue.table.get(handle.seq) {
        None => refuse("message does not exist or is not available for visibility timeout change"),
        Some(stored) if !is_latest(handle, stored) => {
            refuse("the handle has expired: the message was delivered again since")
        }
        Some(_) => {
            let total = at.since(handle.leased) + Duration::from_secs(timeout.into());
            if total > Duration::from_secs(limits::VISIBILITY_SECONDS.into()) {
                let rule = "the total visibility timeout of one delivery is at most 43200 seconds (12 hours)";
                return Err(Invalid::new("VisibilityTimeout", timeout, rule).into());
            }
            Ok((handle.seq, timeout))
        }
    }
}
