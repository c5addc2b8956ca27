//! The loop of one endpoint: leases messages from its outbox as long as there is room, posts them side by side, and
//! says of each what came of it. It shares nothing with the loops of others but the threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tsugite_base::limits;
use tsugite_broker::{
    ChangeVisibility, ChangeVisibilityEntry, DeleteMessages, GiveUp, Message, Outbox, QueueKey, Receive,
};
use tsugite_engine::Failure;

use super::client::{EndpointClient, PostError};
use super::report::Ledger;
use super::throttle::Throttle;
use super::url::EndpointUrl;
use super::{Context, Source, Stage, post};

/// Tries under way to one endpoint.
const CONCURRENT: usize = limits::DELIVERIES_PER_ENDPOINT;
/// Deletions of one endpoint under way: each waits for a sync, and several share one.
const DELETIONS: usize = 8;
/// Seconds beyond the time of a try for which its message is leased: what was under way in a crash comes again then.
const LEASE_SLACK: u64 = 5;
/// How long to wait when the store cannot give messages.
const PAUSE: Duration = Duration::from_secs(1);

/// What the tasks of one endpoint share.
struct Endpoint<S> {
    context: Arc<Context<S>>,
    queue: QueueKey,
    outbox: watch::Receiver<Outbox>,
    /// Or what is wrong with the URL.
    client: Result<EndpointClient, String>,
    ledger: Arc<Ledger>,
    /// Handles of messages that were delivered.
    done: mpsc::Sender<String>,
}

/// Delivers what lies in an outbox until the stage says that it is enough.
pub(super) async fn run<S: Source>(
    context: Arc<Context<S>>,
    outbox: watch::Receiver<Outbox>,
    ledger: Arc<Ledger>,
    stage: watch::Receiver<Stage>,
) {
    let first = outbox.borrow().clone();
    let url = EndpointUrl::parse(&first.endpoint);
    let (done, deletions) = mpsc::channel(CONCURRENT);
    let endpoint = Arc::new(Endpoint {
        client: url.map(|url| EndpointClient::new(context.client.clone(), url, CONCURRENT)),
        queue: first.queue,
        context,
        outbox,
        ledger,
        done,
    });
    let deleting = delete_all(endpoint.context.store.clone(), endpoint.queue.clone(), deletions);
    let mut tries = JoinSet::new();
    let mut deleting = std::pin::pin!(deleting);
    tokio::select! {
        () = lease_all(&endpoint, &mut tries, &stage) => {}
        () = Stage::Finish.reached(stage.clone()) => {}
        () = deleting.as_mut() => {}
    }
    // What is under way may end; the supervisor says when it is to be cut.
    let ending = async {
        while tries.join_next().await.is_some() {}
        drop(endpoint);
    };
    tokio::join!(ending, deleting);
}

/// Leases messages and starts a try for each, for ever.
async fn lease_all<S: Source>(
    endpoint: &Arc<Endpoint<S>>,
    tries: &mut JoinSet<()>,
    stage: &watch::Receiver<Stage>,
) {
    let mut throttle = Throttle::default();
    let context = &endpoint.context;
    let lease = context.client.timeout().as_secs() + LEASE_SLACK;
    loop {
        while tries.try_join_next().is_some() {}
        if tries.len() >= CONCURRENT {
            tries.join_next().await;
            continue;
        }
        throttle.set(endpoint.outbox.borrow().policy.max_per_second);
        let room = (CONCURRENT - tries.len()).min(limits::RECEIVE_MESSAGES);
        let tokens = match throttle.take(room, context.world.mono()) {
            Ok(tokens) => tokens,
            Err(wait) => {
                sleep(wait).await;
                continue;
            }
        };
        let command = Receive {
            queue: endpoint.queue.clone(),
            max: i64::try_from(tokens).ok(),
            visibility: i64::try_from(lease).ok(),
            wait: Some(limits::WAIT_SECONDS.into()),
            attempt: None,
        };
        let messages = match context.store.receive(command).await {
            Ok(messages) => messages,
            Err(error) => {
                // The subscription is gone, which the supervisor will know soon, or the store has its troubles.
                tracing::debug!(%error, queue = endpoint.queue.name, "nothing can be leased from an outbox");
                sleep(PAUSE).await;
                continue;
            }
        };
        throttle.put_back(tokens.saturating_sub(messages.len()));
        if let (true, Ok(client)) = (messages.is_empty(), &endpoint.client) {
            client.sweep();
        }
        for message in messages {
            tries.spawn(attempt(endpoint.clone(), message, stage.clone()));
        }
    }
}

/// One try, unless it is cut.
async fn attempt<S: Source>(endpoint: Arc<Endpoint<S>>, message: Message, stage: watch::Receiver<Stage>) {
    endpoint.ledger.begun();
    let outbox = endpoint.outbox.borrow().clone();
    let posted = tokio::select! {
        posted = endpoint.post(&message, &outbox) => posted,
        () = Stage::Cut.reached(stage) => {
            endpoint.ledger.cut();
            return endpoint.hide(message.handle, 0).await;
        }
    };
    let now = endpoint.context.world.now().wall;
    match posted {
        Ok(status) => {
            endpoint.ledger.succeeded(status, now);
            // Only a loop that is dropped has no receiver; then the message is delivered once more.
            let _ = endpoint.done.send(message.handle).await;
        }
        Err(error) => {
            let jitter = endpoint.context.world.random_u64();
            let delay = (!error.permanent)
                .then(|| outbox.policy.delay(message.receive_count, jitter))
                .flatten();
            endpoint
                .ledger
                .failed(&error, delay.map(|delay| now + delay), now);
            endpoint.failed(message, &outbox, &error, delay).await;
        }
    }
}

impl<S: Source> Endpoint<S> {
    async fn post(&self, message: &Message, outbox: &Outbox) -> Result<u16, PostError> {
        let client = self
            .client
            .as_ref()
            .map_err(|why| PostError::permanent(why.as_str()))?;
        let context = &self.context;
        let told = outbox.base_url.as_ref().filter(|_| !context.fixed);
        let base_url = told.unwrap_or(&context.base_url);
        let post = post::of(message, outbox, &context.signer, base_url).await?;
        client.post(&post).await
    }

    async fn failed(&self, message: Message, outbox: &Outbox, error: &PostError, delay: Option<Duration>) {
        let subscription = outbox.subscription.arn();
        let tries = message.receive_count;
        if let Some(delay) = delay {
            tracing::debug!(%subscription, message_id = %message.id, tries, %error, ?delay, "a delivery failed");
            return self.hide(message.handle, delay.as_secs()).await;
        }
        tracing::warn!(%subscription, message_id = %message.id, tries, %error, "a delivery was given up");
        let command = GiveUp {
            outbox: self.queue.clone(),
            handle: message.handle,
        };
        if let Err(error) = self.context.store.give_up(command).await {
            tracing::warn!(%subscription, %error, "a delivery could not be given up and is tried again");
        }
    }

    /// Lets a message be received again after some seconds. If that fails, it will be when its lease ends.
    async fn hide(&self, handle: String, seconds: u64) {
        let timeout = i64::try_from(seconds).unwrap_or(i64::from(limits::VISIBILITY_SECONDS));
        let command = ChangeVisibility {
            queue: self.queue.clone(),
            entries: vec![ChangeVisibilityEntry { handle, timeout }],
        };
        if let Err(error) = self.context.store.change_visibility(command).await {
            tracing::debug!(%error, queue = self.queue.name, "the next try of a delivery could not be set");
        }
    }
}

/// Deletes what was delivered, as many at once as have come together.
async fn delete_all<S: Source>(store: S, queue: QueueKey, mut done: mpsc::Receiver<String>) {
    let room = Arc::new(Semaphore::new(DELETIONS));
    let mut under_way = JoinSet::new();
    loop {
        // Permission first: while it is awaited, more come together.
        let Ok(permit) = room.clone().acquire_owned().await else {
            break;
        };
        let Some(first) = done.recv().await else { break };
        let mut handles = vec![first];
        while handles.len() < limits::BATCH_ENTRIES
            && let Ok(handle) = done.try_recv()
        {
            handles.push(handle);
        }
        while under_way.try_join_next().is_some() {}
        let command = DeleteMessages {
            queue: queue.clone(),
            handles,
        };
        let store = store.clone();
        under_way.spawn(async move {
            match store.delete(command).await {
                Ok(_) => {}
                // Its subscription is gone.
                Err(Failure::Refused(_)) => {}
                Err(Failure::Unavailable(error)) => {
                    tracing::warn!(%error, "what was delivered could not be deleted and will be delivered again");
                }
            }
            drop(permit);
        });
    }
    while under_way.join_next().await.is_some() {}
}
