//! Decisions about delivered messages: delete, change visibility.

use std::time::Duration;

use tsugite_base::invalid::in_range;
use tsugite_base::{Decision, Invalid, Now, Timestamp, Wait, limits};

use crate::broker::Broker;
use crate::command::{
    ChangeVisibility, ChangeVisibilityEntry, ChangeVisibilityReply, DeleteMessages, DeleteReply,
};
use crate::error::{ChangeVisibilityEntryError, ChangeVisibilityError, DeleteEntryError, DeleteError};
use crate::handle::Handle;
use crate::keys::QueueId;
use crate::queue::Queue;
use crate::record::{Change, Record};
use crate::stored::{State, Stored};

impl Broker {
    /// Deletes the messages of which these are the latest handles.
    pub fn delete(
        &self,
        command: &DeleteMessages,
        now: Now,
    ) -> Result<Decision<Record, DeleteReply>, DeleteError> {
        let (id, queue) = self.find(&command.queue)?;
        check_entries(command.handles.len())?;
        let mut seqs = Vec::with_capacity(command.handles.len());
        let mut result = |text: &String| -> Result<(), DeleteEntryError> {
            let handle = Handle::parse(text, id)?;
            let Some(stored) = queue.table.get(handle.seq) else {
                return Ok(());
            };
            let latest = is_latest(handle, &stored);
            if queue.is_fifo() && !(latest && stored.state == State::Leased) {
                return Err(expired(text).into());
            }
            if latest && !seqs.contains(&handle.seq) {
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

/// A decision that changes nothing, with a reply that tells nothing that a crash could undo.
pub(crate) const fn unseen<R>(reply: R) -> Decision<Record, R> {
    Decision {
        records: Vec::new(),
        reply,
        wait: Wait::UpTo(0),
    }
}

pub(crate) fn check_entries(n: usize) -> Result<(), Invalid> {
    in_range("Entries", n as i64, 1..=limits::BATCH_ENTRIES as i64).map(drop)
}

/// On FIFO queues a handle is worth nothing once its lease has ended: the message may go to somebody else.
fn expired(handle: &str) -> Invalid {
    Invalid::new("ReceiptHandle", handle, "the receipt handle has expired")
}

/// Whether the handle is of the last delivery, or of a later one that a crash made us forget. Of which of the two is later
/// time tells more than counts, which a crash sets back.
pub(crate) fn is_latest(handle: Handle, stored: &Stored) -> bool {
    (handle.leased, handle.count) >= (stored.leased, stored.receives)
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
        Some(stored) if queue.is_fifo() && stored.state != State::Leased => {
            Err(expired(&entry.handle).into())
        }
        Some(stored) if !is_latest(handle, &stored) => {
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
