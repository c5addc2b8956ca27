//! Queues as a store offers them.

use std::future::Future;

use tsugite_broker::{
    AddPermission, CancelMoveTask, CancelMoveTaskError, ChangeVisibility, ChangeVisibilityError,
    ChangeVisibilityReply, CreateQueue, CreateQueueError, DeadLetterSources, DeleteError, DeleteMessages,
    DeleteReply, ListMoveTasks, ListMoveTasksError, ListQueues, Message, MoveTask, PermissionError,
    PurgeQueueError, QueueAttributesError, QueueKey, QueueNames, QueueNotFound, QueueStats, Receive,
    ReceiveError, RemovePermission, SendError, SendMessages, SendReply, SetQueueAttributes,
    SetQueueAttributesError, StartMoveTask, StartMoveTaskError, TagError, TagQueue, UntagQueue,
};

use crate::failure::{Failure, Unavailable};
use crate::topics::Topics;

/// The operations of the broker. A reply means that what it says is durable; see each operation for the
/// two exceptions. All of them are safe to drop at any point: what was decided by then stays decided.
pub trait Messaging: Topics {
    /// Creates a queue, or does nothing if it exists and the stated attributes agree.
    fn create_queue(
        &self,
        command: CreateQueue,
    ) -> impl Future<Output = Result<(), Failure<CreateQueueError>>> + Send;

    /// Whether the queue exists.
    fn queue(&self, queue: QueueKey) -> impl Future<Output = Result<(), Failure<QueueNotFound>>> + Send;

    /// One page of queue names.
    fn list_queues(&self, query: ListQueues) -> impl Future<Output = Result<QueueNames, Unavailable>> + Send;

    /// The named attributes as AWS spells them; `All` stands for every one, and no name for none.
    fn queue_attributes(
        &self,
        queue: QueueKey,
        names: Vec<String>,
    ) -> impl Future<Output = Result<Vec<(String, String)>, Failure<QueueAttributesError>>> + Send;

    /// Changes attributes, all or none.
    fn set_queue_attributes(
        &self,
        command: SetQueueAttributes,
    ) -> impl Future<Output = Result<(), Failure<SetQueueAttributesError>>> + Send;

    /// Deletes a queue with its messages; those who wait on it get [`ReceiveError::Queue`].
    fn delete_queue(
        &self,
        queue: QueueKey,
    ) -> impl Future<Output = Result<(), Failure<QueueNotFound>>> + Send;

    /// Removes every message that was sent before this call.
    fn purge_queue(
        &self,
        queue: QueueKey,
    ) -> impl Future<Output = Result<(), Failure<PurgeQueueError>>> + Send;

    /// Gives a queue tags.
    fn tag_queue(&self, command: TagQueue) -> impl Future<Output = Result<(), Failure<TagError>>> + Send;

    /// Takes tags from a queue.
    fn untag_queue(
        &self,
        command: UntagQueue,
    ) -> impl Future<Output = Result<(), Failure<QueueNotFound>>> + Send;

    /// The tags of a queue, by key.
    fn queue_tags(
        &self,
        queue: QueueKey,
    ) -> impl Future<Output = Result<Vec<(String, String)>, Failure<QueueNotFound>>> + Send;

    /// Adds a statement to a queue's policy.
    fn add_permission(
        &self,
        command: AddPermission,
    ) -> impl Future<Output = Result<(), Failure<PermissionError>>> + Send;

    /// Takes a statement out of a queue's policy.
    fn remove_permission(
        &self,
        command: RemovePermission,
    ) -> impl Future<Output = Result<(), Failure<PermissionError>>> + Send;

    /// One page of the queues whose dead letters go to one.
    fn dead_letter_sources(
        &self,
        query: DeadLetterSources,
    ) -> impl Future<Output = Result<QueueNames, Failure<QueueNotFound>>> + Send;

    /// Stores messages.
    fn send(
        &self,
        command: SendMessages,
    ) -> impl Future<Output = Result<SendReply, Failure<SendError>>> + Send;

    /// Leases messages, waiting for a first one if asked to. The messages are durable; their lease is
    /// written but not waited for: after a crash they may come again early. Those who wait on a queue are
    /// served in the order in which they came; one whose future was dropped takes nothing.
    fn receive(
        &self,
        command: Receive,
    ) -> impl Future<Output = Result<Vec<Message>, Failure<ReceiveError>>> + Send;

    /// Deletes messages by receipt handle.
    fn delete(
        &self,
        command: DeleteMessages,
    ) -> impl Future<Output = Result<DeleteReply, Failure<DeleteError>>> + Send;

    /// Moves the ends of leases. A release (timeout 0) is written but not waited for.
    fn change_visibility(
        &self,
        command: ChangeVisibility,
    ) -> impl Future<Output = Result<ChangeVisibilityReply, Failure<ChangeVisibilityError>>> + Send;

    /// Starts moving the messages of a dead-letter queue away; the store carries the task out on its own, also after
    /// a restart, and waits while it has no room.
    fn start_move_task(
        &self,
        command: StartMoveTask,
    ) -> impl Future<Output = Result<(), Failure<StartMoveTaskError>>> + Send;

    /// Stops a task: nothing is moved after this. Returns how many messages were.
    fn cancel_move_task(
        &self,
        command: CancelMoveTask,
    ) -> impl Future<Output = Result<u64, Failure<CancelMoveTaskError>>> + Send;

    /// The latest tasks of a dead-letter queue, newest first.
    fn move_tasks(
        &self,
        query: ListMoveTasks,
    ) -> impl Future<Output = Result<Vec<MoveTask>, Failure<ListMoveTasksError>>> + Send;

    /// Every queue with its counters as of now, durable or not: for metrics and people.
    fn queue_stats(&self) -> Vec<QueueStats>;

    /// Deletes all queues and topics.
    fn reset_messaging(&self) -> impl Future<Output = Result<(), Unavailable>> + Send;
}
