//! The broker over the log: each operation is one decision; receiving also waits and reads payloads back.

use std::convert::Infallible;
use std::pin::pin;

use tokio::time::Instant;
use tsugite_base::{Decision, Now, Place};
use tsugite_broker::*;
use tsugite_engine::{Failure, Messaging, Unavailable};

use super::LogStore;
use crate::domains::Domains;

/// A command that no rule refuses, as [`LogStore::commit`] wants it.
type Certain = Result<Decision<Record, ()>, Infallible>;

impl Messaging for LogStore {
    async fn create_queue(&self, command: CreateQueue) -> Result<(), Failure<CreateQueueError>> {
        self.commit(|d, now| d.broker.create_queue(command, now)).await
    }

    async fn queue(&self, queue: QueueKey) -> Result<(), Failure<QueueNotFound>> {
        let found = self.read(|d, _| d.broker.queue_id(&queue)).await;
        found.map(drop).ok_or(Failure::Refused(QueueNotFound { queue }))
    }

    async fn list_queues(&self, query: ListQueues) -> Result<QueueNames, Unavailable> {
        Ok(self.read(|d, _| d.broker.list_queues(&query)).await)
    }

    async fn queue_attributes(
        &self,
        queue: QueueKey,
        names: Vec<String>,
    ) -> Result<Vec<(String, String)>, Failure<QueueAttributesError>> {
        let found = self.read(|d, _| d.broker.queue_attributes(&queue, &names)).await;
        found.map_err(Failure::Refused)
    }

    async fn set_queue_attributes(
        &self,
        command: SetQueueAttributes,
    ) -> Result<(), Failure<SetQueueAttributesError>> {
        self.commit(|d, now| d.broker.set_queue_attributes(command, now))
            .await
    }

    async fn delete_queue(&self, queue: QueueKey) -> Result<(), Failure<QueueNotFound>> {
        self.commit(|d, now| d.broker.delete_queue(&queue, now)).await
    }

    async fn purge_queue(&self, queue: QueueKey) -> Result<(), Failure<PurgeQueueError>> {
        self.commit(|d, now| d.broker.purge_queue(&queue, now)).await
    }

    async fn tag_queue(&self, command: TagQueue) -> Result<(), Failure<TagError>> {
        self.commit(|d, now| d.broker.tag_queue(command, now)).await
    }

    async fn untag_queue(&self, command: UntagQueue) -> Result<(), Failure<QueueNotFound>> {
        self.commit(|d, now| d.broker.untag_queue(command, now)).await
    }

    async fn queue_tags(&self, queue: QueueKey) -> Result<Vec<(String, String)>, Failure<QueueNotFound>> {
        let found = self.read(|d, _| d.broker.queue_tags(&queue)).await;
        found.map_err(Failure::Refused)
    }

    async fn add_permission(&self, command: AddPermission) -> Result<(), Failure<PermissionError>> {
        self.commit(|d, now| d.broker.add_permission(&command, now)).await
    }

    async fn remove_permission(&self, command: RemovePermission) -> Result<(), Failure<PermissionError>> {
        self.commit(|d, now| d.broker.remove_permission(&command, now))
            .await
    }

    async fn dead_letter_sources(
        &self,
        query: DeadLetterSources,
    ) -> Result<QueueNames, Failure<QueueNotFound>> {
        let found = self.read(|d, _| d.broker.dead_letter_sources(&query)).await;
        found.map_err(Failure::Refused)
    }

    async fn send(&self, command: SendMessages) -> Result<SendReply, Failure<SendError>> {
        self.commit(|d, now| d.broker.send(command, now)).await
    }

    async fn receive(&self, command: Receive) -> Result<Vec<Message>, Failure<ReceiveError>> {
        let leases = self.lease(&command).await?;
        Ok(self.payloads(leases).await?)
    }

    async fn delete(&self, command: DeleteMessages) -> Result<DeleteReply, Failure<DeleteError>> {
        self.commit(|d, now| d.broker.delete(&command, now)).await
    }

    async fn change_visibility(
        &self,
        command: ChangeVisibility,
    ) -> Result<ChangeVisibilityReply, Failure<ChangeVisibilityError>> {
        self.commit(|d, now| d.broker.change_visibility(&command, now))
            .await
    }

    async fn start_move_task(&self, command: StartMoveTask) -> Result<(), Failure<StartMoveTaskError>> {
        self.commit(|d, now| d.broker.start_move_task(command, now)).await
    }

    async fn cancel_move_task(&self, command: CancelMoveTask) -> Result<u64, Failure<CancelMoveTaskError>> {
        self.commit(|d, now| d.broker.cancel_move_task(&command, now))
            .await
    }

    async fn move_tasks(&self, query: ListMoveTasks) -> Result<Vec<MoveTask>, Failure<ListMoveTasksError>> {
        let found = self.read(|d, _| d.broker.move_tasks(&query)).await;
        found.map_err(Failure::Refused)
    }

    fn queue_stats(&self) -> Vec<QueueStats> {
        self.peek(|d, now| d.broker.queue_stats(now))
    }

    async fn reset_messaging(&self) -> Result<(), Unavailable> {
        self.commit_certain(|d, now| Ok(d.broker.reset(now))).await
    }
}

impl LogStore {
    pub(super) async fn commit_certain(
        &self,
        decide: impl FnOnce(&Domains, Now) -> Certain + Send,
    ) -> Result<(), Unavailable> {
        self.commit(decide).await.map_err(|failure| match failure {
            Failure::Refused(never) => match never {},
            Failure::Unavailable(unavailable) => unavailable,
        })
    }

    /// Leases messages, waiting in the queue's line if there are none.
    async fn lease(&self, command: &Receive) -> Result<Vec<Lease>, Failure<ReceiveError>> {
        let begin = Instant::now();
        let first = self.try_lease(|d, now| self.first_look(d, command, now)).await?;
        if !first.leases.is_empty() || first.wait.is_zero() {
            return Ok(first.leases);
        }
        let turn = self.waiting().join(first.queue);
        let mut deadline = pin!(tokio::time::sleep_until(begin + first.wait));
        loop {
            // The line was joined before this look, so news that come after it ring.
            if turn.is_head() {
                let next = self
                    .try_lease(|d, now| next_look(d, first.queue, command, now))
                    .await?;
                if !next.leases.is_empty() {
                    return Ok(next.leases);
                }
            }
            tokio::select! {
                () = turn.rung() => {}
                () = &mut deadline => return Ok(Vec::new()),
            }
        }
    }

    /// Looks again for as long as there are dead letters in the way.
    async fn try_lease(
        &self,
        decide: impl Fn(&Domains, Now) -> Result<Decision<Record, Leases>, ReceiveError>,
    ) -> Result<Leases, Failure<ReceiveError>> {
        loop {
            let leases = self.commit(&decide).await?;
            if !leases.again {
                return Ok(leases);
            }
        }
    }

    /// The look of one who has just come: at nothing, if it can wait and others wait already.
    fn first_look(
        &self,
        domains: &Domains,
        command: &Receive,
        now: Now,
    ) -> Result<Decision<Record, Leases>, ReceiveError> {
        let mut decision = domains.broker.receive(command, now)?;
        let reply = &mut decision.reply;
        if !reply.wait.is_zero() && self.waiting().any(reply.queue) {
            reply.leases.clear();
            reply.again = false;
            decision.records.clear();
            decision.wait = tsugite_base::Wait::UpTo(0);
        }
        Ok(decision)
    }

    /// Reads the payloads of leased messages. Between the lease and the read a message may have been copied to the
    /// head of the log and its old segment dropped: then it is looked up anew. One that is gone altogether, deleted or
    /// expired meanwhile, is left out.
    pub(super) async fn payloads(&self, mut leases: Vec<Lease>) -> Result<Vec<Message>, Unavailable> {
        loop {
            let read = self.payloads_as_leased(&leases).await;
            let Err(unavailable) = read else { return read };
            if !self.peek(|domains, _| find_again(&domains.broker, &mut leases)) {
                return Err(unavailable);
            }
        }
    }

    async fn payloads_as_leased(&self, leases: &[Lease]) -> Result<Vec<Message>, Unavailable> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<Place> = leases
            .iter()
            .flat_map(|lease| [Some(lease.payload), lease.delivery])
            .flatten()
            .collect();
        let mut bytes = self.fetch(places).await?.into_iter();
        let mut messages = Vec::with_capacity(leases.len());
        for lease in leases.iter().cloned() {
            let place = lease.payload;
            let payload = bytes.next().unwrap_or_default();
            let delivery = lease.delivery.and_then(|_| bytes.next());
            let message = Message::read(lease, &payload, delivery.as_deref()).map_err(|e| {
                let what = format!(
                    "the message at position {:#x} ({} bytes): {e}",
                    place.lsn, place.len
                );
                tracing::error!("{what}");
                Unavailable::Unreadable(what)
            })?;
            messages.push(message);
        }
        Ok(messages)
    }
}

/// Sets the places of leased messages to where they lie now and drops those that are gone; false if nothing changed.
fn find_again(broker: &Broker, leases: &mut Vec<Lease>) -> bool {
    let before = leases.len();
    let mut moved = false;
    leases.retain_mut(|lease| {
        let found = broker.whereabouts(&lease.handle);
        if let Some((payload, delivery)) = found {
            moved |= payload != lease.payload;
            (lease.payload, lease.delivery) = (payload, delivery);
        }
        found.is_some()
    });
    moved || leases.len() < before
}

/// A look at the queue that was there at the beginning, not at one of the same name made since.
fn next_look(
    domains: &Domains,
    queue: QueueId,
    command: &Receive,
    now: Now,
) -> Result<Decision<Record, Leases>, ReceiveError> {
    let found = domains.broker.queue_id(&command.queue);
    if found != Some(queue) {
        let queue = command.queue.clone();
        return Err(QueueNotFound { queue }.into());
    }
    domains.broker.receive(command, now)
}
