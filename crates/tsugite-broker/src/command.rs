//! What a client can ask of the broker, and what it gets.
//!
//! Random identifiers come inside the command; numbers come as the client gave them, and the machine
//! checks their ranges, so that every door refuses the same values with the same words.

use std::time::Duration;

use tsugite_base::names::Scope;
use tsugite_base::{Place, Timestamp, Uuid};

use crate::error::{ChangeVisibilityEntryError, DeleteEntryError, SendEntryError};
use crate::keys::{QueueId, QueueKey};
use crate::message::MessageAttribute;
use crate::tally::Tally;

/// Create a queue, or find it if the stated attributes agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateQueue {
    /// Its name.
    pub queue: QueueKey,
    /// Attribute names and values as AWS spells them.
    pub attributes: Vec<(String, String)>,
    /// Keys and values; not compared, nor set, if the queue exists.
    pub tags: Vec<(String, String)>,
}

/// Give a queue tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagQueue {
    /// The queue.
    pub queue: QueueKey,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
}

/// Take tags from a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntagQueue {
    /// The queue.
    pub queue: QueueKey,
    /// Their keys.
    pub keys: Vec<String>,
}

/// Let other accounts use a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPermission {
    /// The queue.
    pub queue: QueueKey,
    /// Names the statement in the queue's policy.
    pub label: String,
    /// Twelve digits each.
    pub accounts: Vec<String>,
    /// Names of actions, or `*`.
    pub actions: Vec<String>,
}

/// Take a statement out of a queue's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovePermission {
    /// The queue.
    pub queue: QueueKey,
    /// Names the statement.
    pub label: String,
}

/// List the queues whose dead letters go to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterSources {
    /// The dead-letter queue.
    pub queue: QueueKey,
    /// Only names after this one: the `next` of the page before.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Change some attributes of a queue: all of them or, on any error, none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetQueueAttributes {
    /// The queue.
    pub queue: QueueKey,
    /// Attribute names and values as AWS spells them; an empty text removes a policy.
    pub attributes: Vec<(String, String)>,
}

/// List queue names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQueues {
    /// Account and region.
    pub scope: Scope,
    /// Only names that begin so; empty for all.
    pub prefix: String,
    /// Only names after this one: the `next` of the page before.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// One page of names, in byte order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueNames {
    /// The names.
    pub names: Vec<String>,
    /// Given if there are more: the last name of this page.
    pub next: Option<String>,
}

/// Store 1-10 messages in one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendMessages {
    /// The queue.
    pub queue: QueueKey,
    /// Shown to receivers as `SenderId`.
    pub sender: String,
    /// The messages, in the order in which they shall lie in the queue.
    pub entries: Vec<SendEntry>,
}

/// One message to store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendEntry {
    /// A random UUID: the message id.
    pub id: Uuid,
    /// The text.
    pub body: String,
    /// Named values beside the text.
    pub attributes: Vec<MessageAttribute>,
    /// Seconds until it can be received for the first time; the queue's own delay if absent.
    pub delay: Option<i64>,
    /// The `AWSTraceHeader` system attribute.
    pub trace_header: Option<String>,
    /// `MessageGroupId`: needed on a FIFO queue; on others it names the tenant.
    pub group: Option<String>,
    /// `MessageDeduplicationId`: FIFO queues only, where it is needed unless the queue derives it from the text.
    pub deduplication: Option<String>,
}

/// One result per entry of [`SendMessages`], in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendReply {
    /// Each accepted message, or why it was not stored.
    pub results: Vec<Result<Accepted, SendEntryError>>,
}

/// A message that is stored, or that a FIFO queue had accepted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id: for a repeat, that of the first acceptance.
    pub id: Uuid,
    /// `SequenceNumber`, on FIFO queues: 20 digits, that of the first acceptance.
    pub sequence: Option<u64>,
}

/// Lease up to ten messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receive {
    /// The queue.
    pub queue: QueueKey,
    /// At most so many: 1-10, 1 if absent.
    pub max: Option<i64>,
    /// Seconds of the lease: 0-43,200, the queue's setting if absent.
    pub visibility: Option<i64>,
    /// Seconds to wait for a first message: 0-20, the queue's setting if absent.
    pub wait: Option<i64>,
    /// `ReceiveRequestAttemptId`: FIFO queues only. A repeat within five minutes gets the same messages again.
    pub attempt: Option<String>,
}

/// What the machine leased; the store turns it into [`crate::Message`]s by reading the payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leases {
    /// The queue's number, to notice that it was deleted and made anew during a wait.
    pub queue: QueueId,
    /// The leased messages, oldest availability first.
    pub leases: Vec<Lease>,
    /// How long the client is ready to wait if there is none.
    pub wait: Duration,
    /// Nothing was leased, but dead letters were moved out of the way: ask again at once.
    pub again: bool,
}

/// One leased message, without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The receipt handle of this delivery.
    pub handle: String,
    /// Where the payload lies.
    pub payload: Place,
    /// Where the description of the delivery lies, for a message that came by a topic.
    pub delivery: Option<Place>,
    /// `ApproximateReceiveCount`, this delivery included.
    pub receive_count: u32,
    /// `ApproximateFirstReceiveTimestamp`.
    pub first_received: Timestamp,
    /// The ARN of the queue that it was a dead letter of.
    pub dead_letter_source: Option<String>,
    /// `SequenceNumber`, on FIFO queues.
    pub sequence: Option<u64>,
    /// A dead letter of a FIFO queue: sent anew when it was moved, and its message id is its deduplication id.
    pub resent: Option<Timestamp>,
}

/// Delete 1-10 messages by receipt handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteMessages {
    /// The queue.
    pub queue: QueueKey,
    /// The handles.
    pub handles: Vec<String>,
}

/// One result per handle of [`DeleteMessages`], in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteReply {
    /// Also `Ok` if the message was gone, or leased again by somebody else.
    pub results: Vec<Result<(), DeleteEntryError>>,
}

/// Move the ends of 1-10 leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeVisibility {
    /// The queue.
    pub queue: QueueKey,
    /// What to change.
    pub entries: Vec<ChangeVisibilityEntry>,
}

/// One lease to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeVisibilityEntry {
    /// The receipt handle.
    pub handle: String,
    /// Seconds from now, 0-43,200; 0 releases the message.
    pub timeout: i64,
}

/// One result per entry of [`ChangeVisibility`], in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeVisibilityReply {
    /// Done, or why not.
    pub results: Vec<Result<(), ChangeVisibilityEntryError>>,
}

/// A group of messages as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    /// `MessageGroupId`; `None` for the messages without one.
    pub group: Option<String>,
    /// Messages that are not in flight and not delayed; in a FIFO queue those before them may still block them.
    pub visible: usize,
    /// Messages that are leased.
    pub in_flight: usize,
    /// Messages that were never available yet.
    pub delayed: usize,
    /// Age of the oldest stored message of the group.
    pub oldest_age: Option<Duration>,
}

/// A stored message as people look at it, without receiving it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// Its number in the queue: the `after` of the next page.
    pub seq: u64,
    /// Where it stands.
    pub state: MessageState,
    /// When its last delivery began, in the machine's time.
    pub last_received: Option<Timestamp>,
    /// What [`crate::Message::read`] wants: the handle is empty and the receive count is that of the past.
    pub lease: Lease,
}

/// Where a stored message stands. Times are the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// It can be received; in a FIFO queue once those before it in its group are gone.
    Visible,
    /// Not available yet for the first time.
    Delayed(Timestamp),
    /// Leased until then.
    InFlight(Timestamp),
}

/// A queue as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// The queue.
    pub queue: QueueKey,
    /// Messages that can be received now.
    pub visible: usize,
    /// Messages that are leased.
    pub in_flight: usize,
    /// Messages that were never available yet.
    pub delayed: usize,
    /// Age of the oldest stored message.
    pub oldest_age: Option<Duration>,
    /// The queue to which its dead letters go.
    pub dead_letters: Option<QueueKey>,
    /// The receive count that makes a dead letter, if it has a redrive policy.
    pub max_receives: Option<u32>,
    /// What happened since the start.
    pub tally: Tally,
    /// The machine's time of all this, for the rates of the tally.
    pub at: Timestamp,
}
