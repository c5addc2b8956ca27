//! What a client can ask of message move tasks, what the shell that carries them out asks, and what they get.

use std::time::Duration;

use tsugite_base::{Place, Timestamp, Uuid};

use crate::keys::{QueueId, QueueKey};

/// Start moving the messages of a dead-letter queue away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartMoveTask {
    /// A random UUID: the task's id.
    pub id: Uuid,
    /// The dead-letter queue.
    pub source: QueueKey,
    /// Where its messages go; each to the queue that it is a dead letter of, if absent.
    pub destination: Option<QueueKey>,
    /// Messages per second, 1-500; as fast as possible if absent.
    pub rate: Option<i64>,
}

/// Stop a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelMoveTask {
    /// The dead-letter queue.
    pub source: QueueKey,
    /// The task's id.
    pub id: Uuid,
}

/// List the latest tasks of a dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListMoveTasks {
    /// The dead-letter queue.
    pub source: QueueKey,
    /// At most so many: 1-10, 1 if absent.
    pub max: Option<i64>,
}

/// A task as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveTask {
    /// Its id.
    pub id: Uuid,
    /// The dead-letter queue.
    pub source: QueueKey,
    /// Where its messages go; each to the queue that it is a dead letter of, if absent.
    pub destination: Option<QueueKey>,
    /// Messages per second.
    pub rate: Option<u32>,
    /// Wall clock.
    pub started: Timestamp,
    /// Running, or how it ended.
    pub status: MoveStatus,
    /// Messages that it has moved.
    pub moved: u64,
    /// Messages that were visible when it was started.
    pub total: u64,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStatus {
    /// It moves, or waits for its rate or for room in the store.
    Running,
    /// Nothing visible was left of what lay in the source when it was started.
    Completed,
    /// A client stopped it.
    Cancelled,
    /// It could not go on.
    Failed(MoveFailure),
}

/// Why a task could not go on. What it had moved by then stays moved; the rest stays where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveFailure {
    /// The destination, or the queue that the next message is a dead letter of, is gone.
    DestinationMissing,
    /// The next message is nobody's dead letter, and no destination was given.
    OriginUnknown,
    /// It ran for 36 hours.
    TimeLimit,
    /// The next message cannot be read: its bytes in the log are damaged.
    Unreadable,
}

/// A running task, for the shell that carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningMove {
    /// The dead-letter queue's number.
    pub source: QueueId,
    /// The task's id.
    pub id: Uuid,
    /// Messages per second.
    pub rate: Option<u32>,
    /// Messages that it has moved.
    pub moved: u64,
    /// Time since it was started.
    pub age: Duration,
}

/// What a task could move next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoveBatch {
    /// The messages, longest available first.
    pub candidates: Vec<MoveCandidate>,
    /// Available messages that were looked at to find them.
    pub looked: usize,
}

/// A message that a task could move next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveCandidate {
    /// Its number in the source.
    pub seq: u64,
    /// Where its payload lies.
    pub payload: Place,
    /// Where the description of its delivery lies, if it came by a topic.
    pub delivery: Option<Place>,
    /// Where it goes.
    pub to: QueueId,
}

/// Move these messages, all in one step: as many of them as are still where the look saw them. A step that finds
/// none of them ends the task if there is a reason to.
#[derive(Clone, Debug)]
pub struct MoveStep<'a> {
    /// The dead-letter queue's number.
    pub source: QueueId,
    /// The task's id.
    pub task: Uuid,
    /// [`MoveBatch::looked`].
    pub looked: usize,
    /// The messages.
    pub messages: Vec<MoveMessage<'a>>,
}

/// A message to move, with its bytes.
#[derive(Clone, Copy, Debug)]
pub struct MoveMessage<'a> {
    /// What the look saw.
    pub candidate: MoveCandidate,
    /// A random UUID: the id of the new message.
    pub id: Uuid,
    /// The bytes of the payload; `None` if they cannot be read.
    pub payload: Option<&'a [u8]>,
    /// The bytes of the delivery, if it came by a topic.
    pub delivery: Option<&'a [u8]>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveProgress {
    /// Messages that it moved.
    pub moved: usize,
    /// Whether the task goes on.
    pub running: bool,
}
