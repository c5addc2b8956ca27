//! SQS: which operation a request names, and what every operation has at hand. Endpoints take and give JSON;
//! [`query`] carries the older protocol over to it.

mod access;
mod acknowledge;
mod attributes;
mod batch;
mod errors;
mod permissions;
pub(super) mod query;
mod queues;
mod receive;
mod send;
mod tags;
mod tasks;
mod url;

use tokio::sync::watch;
use tsugite_aws::{AwsError, Context, Fields};
use tsugite_base::World;
use tsugite_broker::QueueKey;
use tsugite_engine::Messaging;

use errors::IntoAws as _;

use super::connection::Peer;
use super::policies::Policies;
use crate::signing::Signer;

pub(super) use access::policy_of;
pub(super) use errors::unavailable;
pub(super) use url::is_queue_path;

/// XML namespace of answers over the Query protocol.
pub(super) const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";

/// One request to SQS.
pub(super) struct Call<'a, M> {
    /// Where the queues are.
    pub store: &'a M,
    /// Source of message ids.
    pub world: &'a World,
    /// Who asks.
    pub context: &'a Context,
    /// Turns true when the server stops: long polls end.
    pub stop: &'a watch::Receiver<bool>,
    /// Policies that were parsed already.
    pub policies: &'a Policies,
    /// Signs what topics deliver.
    pub signer: &'a Signer,
    /// Who waits for the answer.
    pub peer: &'a Peer,
    /// The parameters.
    pub fields: Fields<'a>,
}

/// Answers one request with the JSON body of its output.
pub(super) async fn handle<M: Messaging>(action: &str, call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    access::check(action, &call).await?;
    match action {
        "SendMessage" => send::message(call).await,
        "SendMessageBatch" => send::batch(call).await,
        "ReceiveMessage" => receive::receive(call).await,
        "DeleteMessage" => acknowledge::delete(call).await,
        "DeleteMessageBatch" => acknowledge::delete_batch(call).await,
        "ChangeMessageVisibility" => acknowledge::change_visibility(call).await,
        "ChangeMessageVisibilityBatch" => acknowledge::change_visibility_batch(call).await,
        // Apart, so that calls about messages do not carry the room that these need.
        _ => Box::pin(manage(action, call)).await,
    }
}

/// Answers a request that is about queues, not messages.
async fn manage<M: Messaging>(action: &str, call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    match action {
        "CreateQueue" => queues::create(call).await,
        "DeleteQueue" => queues::delete(call).await,
        "PurgeQueue" => queues::purge(call).await,
        "GetQueueUrl" => queues::get_url(call).await,
        "ListQueues" => queues::list(call).await,
        "ListDeadLetterSourceQueues" => queues::dead_letter_sources(call).await,
        "TagQueue" => tags::tag(call).await,
        "UntagQueue" => tags::untag(call).await,
        "ListQueueTags" => tags::list(call).await,
        "AddPermission" => permissions::add(call).await,
        "RemovePermission" => permissions::remove(call).await,
        "StartMessageMoveTask" => tasks::start(call).await,
        "ListMessageMoveTasks" => tasks::list(call).await,
        "CancelMessageMoveTask" => tasks::cancel(call).await,
        "GetQueueAttributes" => attributes::get(call).await,
        "SetQueueAttributes" => attributes::set(call).await,
        unknown => Err(AwsError::unknown_operation(unknown)),
    }
}

impl<M: Messaging> Call<'_, M> {
    /// The queue that the request's `QueueUrl` names; whether it exists is for the store to say.
    fn queue(&self) -> Result<QueueKey, AwsError> {
        Ok(url::queue_of(
            self.fields.required_text("QueueUrl")?,
            &self.context.scope,
        ))
    }

    /// AWS looks for the queue before it looks at parameters: of a request that is wrong in both ways, it says
    /// that the queue does not exist.
    async fn after_queue<T>(&self, queue: &QueueKey, checked: Result<T, AwsError>) -> Result<T, AwsError> {
        match checked {
            Ok(value) => Ok(value),
            Err(error) if error.shape == "SerializationException" => Err(error),
            Err(error) => match self.store.queue(queue.clone()).await {
                Err(missing) => Err(missing.into_aws()),
                Ok(()) => Err(error),
            },
        }
    }
}
