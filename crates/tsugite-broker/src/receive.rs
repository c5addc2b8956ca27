//! The decision to deliver messages.

use std::time::Duration;

use tsugite_base::invalid::in_range;
use tsugite_base::{Decision, Invalid, Now, Timestamp, Wait, limits};

use crate::broker::Broker;
use crate::command::{Lease, Leases, Receive};
use crate::dedup::Fingerprint;
use crate::error::{OverLimit, ReceiveError};
use crate::fifo::check_id;
use crate::handle::Handle;
use crate::keys::QueueId;
use crate::messages::unseen;
use crate::queue::Queue;
use crate::record::{Change, Record};
use crate::stored::Stored;

impl Broker {
    /// Leases what can be received now, and moves dead letters out of the way.
    pub fn receive(&self, command: &Receive, now: Now) -> Result<Decision<Record, Leases>, ReceiveError> {
        let (id, queue) = self.find(&command.queue)?;
        let Wanted { max, timeout, wait } = Wanted::of(command, queue)?;
        let attempt = check_attempt(queue, command.attempt.as_deref())?;
        let mut reply = Leases {
            queue: id,
            leases: Vec::new(),
            wait: Duration::from_secs(wait.into()),
            again: false,
        };
        let timeout_ms = timeout * 1_000;
        if let Some(attempt) = attempt
            && let Some(same) = queue
                .repeatable(attempt, self.time(now))
                .filter(|s| !s.is_empty())
        {
            let lease = |(seq, stored): &(u64, Stored)| lease(id, queue, *seq, stored);
            reply.leases = same.iter().map(lease).collect();
            let queue = id;
            let repeat = Change::RepeatReceive {
                queue,
                attempt,
                timeout_ms,
            };
            return Ok(self.decided(repeat, reply, now));
        }
        let room = self.room(queue, wait)?;
        let (target, limit) = self.dead_letter_target(id, queue);
        let at = self.time(now);
        let (mut leases, mut moves, mut seen) = (Vec::new(), Vec::new(), 0);
        for (seq, mut stored) in queue.ready() {
            if leases.len() == max.min(room) || moves.len() == limits::DEAD_LETTERS_PER_STEP {
                break;
            }
            if stored.receives >= limit {
                moves.push(seq);
                continue;
            }
            leases.push(seq);
            stored.receives = stored.receives.saturating_add(1);
            stored.leased = at;
            if stored.first_received == Timestamp(0) {
                stored.first_received = now.wall;
            }
            reply.leases.push(lease(id, queue, seq, &stored));
            seen = seen.max(stored.payload().end());
        }
        reply.again = leases.is_empty() && moves.len() == limits::DEAD_LETTERS_PER_STEP;
        if leases.is_empty() && moves.is_empty() {
            return Ok(unseen(reply));
        }
        let change = Change::Receive {
            queue: id,
            wall: now.wall,
            timeout_ms,
            attempt: attempt.filter(|_| !leases.is_empty()),
            leases,
            moves,
            target,
            first: self.next_number(target),
        };
        let mut decision = self.decided(change, reply, now);
        if !queue.is_fifo() {
            // The messages must be durable before anyone sees them, and so must be a move that brought them here:
            // otherwise a crash could undo it after the receiver deleted its copy. The lease itself may be lost. Not so
            // on a FIFO queue, where two receivers would then hold one group.
            decision.wait = Wait::UpTo(seen.max(queue.moved_end));
        }
        Ok(decision)
    }

    /// How many more messages may be in flight. Without any, a short poll on a standard queue is refused (AWS).
    fn room(&self, queue: &Queue, wait: u32) -> Result<usize, OverLimit> {
        let limit = self.settings.in_flight;
        let room = limit.saturating_sub(queue.in_flight());
        if room == 0 && wait == 0 && !queue.is_fifo() {
            let name = queue.key.name.clone();
            return Err(OverLimit { name, limit });
        }
        Ok(room)
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
}

/// What a receive asks for, or the queue's defaults; times in seconds.
struct Wanted {
    max: usize,
    timeout: u32,
    wait: u32,
}

impl Wanted {
    fn of(command: &Receive, queue: &Queue) -> Result<Wanted, Invalid> {
        let ranged = |what: &str, value: Option<i64>, default: u32, most: u32| {
            let value = value.unwrap_or_else(|| default.into());
            let least = i64::from(what == "MaxNumberOfMessages");
            in_range(what, value, least..=i64::from(most)).map(|value| value as u32)
        };
        let settings = &queue.settings;
        let most = limits::RECEIVE_MESSAGES as u32;
        Ok(Wanted {
            max: ranged("MaxNumberOfMessages", command.max, 1, most)? as usize,
            timeout: ranged(
                "VisibilityTimeout",
                command.visibility,
                settings.visibility,
                limits::VISIBILITY_SECONDS,
            )?,
            wait: ranged(
                "WaitTimeSeconds",
                command.wait,
                settings.wait,
                limits::WAIT_SECONDS,
            )?,
        })
    }
}

/// The key of a stated attempt; attempts are repeated on FIFO queues only.
fn check_attempt(queue: &Queue, attempt: Option<&str>) -> Result<Option<Fingerprint>, Invalid> {
    const NAME: &str = "ReceiveRequestAttemptId";
    let Some(id) = attempt else {
        return Ok(None);
    };
    if !queue.is_fifo() {
        let rule = "the request includes a parameter that is not valid for this queue type";
        return Err(Invalid::new(NAME, id, rule));
    }
    check_id(NAME, id)?;
    Ok(Some(Fingerprint::of_queue(id)))
}

/// A delivery as the message stands with it.
fn lease(id: QueueId, queue: &Queue, seq: u64, stored: &Stored) -> Lease {
    let handle = Handle {
        queue: id,
        seq,
        count: stored.receives,
        leased: stored.leased,
    };
    Lease {
        handle: handle.text(),
        payload: stored.payload(),
        delivery: stored.delivery(),
        receive_count: stored.receives,
        first_received: stored.first_received,
        dead_letter_source: queue.source(stored),
        sequence: queue.sequence(seq),
        resent: queue.resent(stored),
    }
}
