//! A history: what clients asked, what they were told, and what else they know, in the order in which it happened.
//!
//! One observer writes it, so the order of the events is the order of time. As text it is JSON lines, one event a
//! line: `{"at":12,"what":"ask","op":1,"call":{"send":{"queue":"orders","entries":[{"entry":"0","body":"a"}]}}}`.

use serde::{Deserialize, Serialize};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds on the observer's clock, which never goes back.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A queue exists from here on; its settings stay as they are.
    Queue(Queue),
    /// A client gave a call. It ends with [`What::Done`], [`What::Refused`], or not at all: then what it did is unknown.
    Ask {
        /// Names the call in later events.
        op: u64,
        /// What was asked.
        call: Call,
    },
    /// A call succeeded.
    Done {
        /// The call.
        op: u64,
        /// What the client was told.
        #[serde(default)]
        reply: Reply,
    },
    /// A call was refused: it did nothing.
    Refused {
        /// The call.
        op: u64,
    },
    /// The server died. Calls without a reply did what they did before this, or never will.
    Crash,
    /// Counters of a queue, read while no call was under way.
    Counters {
        /// The queue.
        queue: String,
        /// ApproximateNumberOfMessages.
        visible: usize,
        /// ApproximateNumberOfMessagesNotVisible.
        in_flight: usize,
        /// ApproximateNumberOfMessagesDelayed.
        delayed: usize,
    },
    /// Everything that all queues held was received and deleted: what did not come is lost.
    Drained,
}

/// A queue as it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// Its name.
    pub queue: String,
    /// Whether it is a FIFO queue.
    pub fifo: bool,
    /// Milliseconds before a message without a delay of its own can be received.
    pub delay: u64,
    /// Milliseconds after which a message expires; 0 is never.
    pub retention: u64,
    /// Where dead letters go.
    pub dead_letters: Option<String>,
    /// Receives after which a message is a dead letter.
    pub max_receives: u32,
    /// Deduplication holds for each group apart.
    pub dedup_by_group: bool,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// SendMessage, SendMessageBatch.
    Send {
        /// The queue.
        queue: String,
        /// The messages, in order.
        entries: Vec<Entry>,
    },
    /// Publish: into every one of these queues or into none.
    Publish {
        /// The subscribed queues.
        queues: Vec<String>,
        /// The text, which no other message has.
        body: String,
    },
    /// ReceiveMessage.
    Receive {
        /// The queue.
        queue: String,
        /// At most so many.
        max: usize,
        /// Milliseconds of the lease.
        visibility: u64,
        /// ReceiveRequestAttemptId.
        #[serde(default)]
        attempt: Option<String>,
    },
    /// DeleteMessage, DeleteMessageBatch.
    Delete {
        /// The queue.
        queue: String,
        /// Receipt handles; entry ids are their numbers from 0.
        handles: Vec<String>,
    },
    /// ChangeMessageVisibility and its batch.
    Change {
        /// The queue.
        queue: String,
        /// Receipt handles and milliseconds; entry ids are their numbers from 0.
        entries: Vec<(String, u64)>,
    },
    /// PurgeQueue.
    Purge {
        /// The queue.
        queue: String,
    },
    /// StartMessageMoveTask.
    Move {
        /// The dead-letter queue.
        source: String,
        /// Where to; each message's own source if absent.
        #[serde(default)]
        target: Option<String>,
    },
}

/// One message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Its id in the batch.
    pub entry: String,
    /// The text. Only repeats under one deduplication id may share a text.
    pub body: String,
    /// MessageGroupId.
    pub group: Option<String>,
    /// MessageDeduplicationId, given or computed.
    pub dedup: Option<String>,
    /// Milliseconds; the queue's delay if absent.
    pub delay: Option<u64>,
}

/// What a client was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// No more than that it was done.
    #[default]
    Nothing,
    /// Of a send: one result for each entry.
    Sent(Vec<SentResult>),
    /// Of a receive.
    Received(Vec<Received>),
    /// Of a delete or a change: entry ids, and whether it was done.
    Each(Vec<(String, bool)>),
}

/// What became of one entry of a send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SentResult {
    /// The id in the batch.
    pub entry: String,
    /// MessageId; absent if the entry was refused.
    pub id: Option<String>,
    /// SequenceNumber.
    pub seq: Option<u64>,
}

/// One received message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Received {
    /// MessageId.
    pub id: String,
    /// The text.
    pub body: String,
    /// The receipt handle.
    pub handle: String,
    /// ApproximateReceiveCount.
    pub count: u32,
    /// MessageGroupId.
    pub group: Option<String>,
    /// SequenceNumber.
    pub seq: Option<u64>,
    /// The name of the queue that it was a dead letter of.
    pub source: Option<String>,
}
