//! Outboxes in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tsugite_base::names::Scope;
use tsugite_base::{Timestamp, Uuid};
use tsugite_broker::{
    ChangeVisibility, ChangeVisibilityError, ChangeVisibilityReply, Content, DeleteError, DeleteMessages,
    DeleteReply, DeliveryPolicy, GiveUp, Message, Notification, Outbox, QueueKey, Receive, ReceiveError,
    SubscriptionDeliveryPolicy, SubscriptionKey, TopicKey,
};
use tsugite_engine::{Failure, Unavailable};

use crate::deliver::Source;

struct Item {
    id: u64,
    content: Content,
    visible: Instant,
    received: u32,
}

#[derive(Default)]
struct State {
    queues: HashMap<QueueKey, Vec<Item>>,
    outboxes: Vec<Outbox>,
    given_up: Vec<u64>,
    next: u64,
}

#[derive(Clone)]
pub(super) struct Memory {
    state: Arc<Mutex<State>>,
    put: Arc<Notify>,
    changes: watch::Sender<u64>,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory {
            state: Arc::default(),
            put: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// An outbox that posts to `url`, with a delivery policy.
    pub(super) fn subscribe(&self, url: &str, policy: &str) -> Outbox {
        let mut state = self.state.lock().unwrap();
        state.next += 1;
        let id = Uuid(u128::from(state.next).to_be_bytes());
        let policy = SubscriptionDeliveryPolicy::parse(policy).unwrap();
        let outbox = Outbox {
            queue: QueueKey::outbox(id),
            subscription: SubscriptionKey {
                topic: TopicKey::new(Scope::default(), "orders"),
                id,
            },
            endpoint: url.to_owned(),
            raw: false,
            policy: Arc::new(DeliveryPolicy::effective(None, policy.as_ref())),
            base_url: None,
        };
        state.queues.insert(outbox.queue.clone(), Vec::new());
        state.outboxes.push(outbox.clone());
        drop(state);
        self.changes.send_modify(|n| *n += 1);
        outbox
    }

    pub(super) fn unsubscribe(&self, outbox: &Outbox) {
        let mut state = self.state.lock().unwrap();
        state.outboxes.retain(|other| other.queue != outbox.queue);
        state.queues.remove(&outbox.queue);
        drop(state);
        self.changes.send_modify(|n| *n += 1);
    }

    pub(super) fn publish(&self, outbox: &Outbox, messages: usize) {
        let mut state = self.state.lock().unwrap();
        for _ in 0..messages {
            state.next += 1;
            let id = state.next;
            let notification = Notification {
                id: Uuid(u128::from(id).to_be_bytes()),
                topic: outbox.subscription.topic.clone(),
                subscription: outbox.subscription.clone(),
                subject: None,
                message: format!("message {id}"),
                published: Timestamp(1_767_323_045_678),
                attributes: Vec::new(),
                signature_version: 0,
                sequence: None,
                replayed: false,
            };
            let item = Item {
                id,
                content: Content::Enveloped(Box::new(notification)),
                visible: Instant::now(),
                received: 0,
            };
            state.queues.get_mut(&outbox.queue).unwrap().push(item);
        }
        drop(state);
        self.put.notify_waiters();
    }

    /// Messages that are still there.
    pub(super) fn left(&self, outbox: &Outbox) -> usize {
        let state = self.state.lock().unwrap();
        state.queues.get(&outbox.queue).map_or(0, Vec::len)
    }

    /// Messages that could be received now.
    pub(super) fn visible(&self, outbox: &Outbox) -> usize {
        let (state, now) = (self.state.lock().unwrap(), Instant::now());
        state.queues[&outbox.queue]
            .iter()
            .filter(|item| item.visible <= now)
            .count()
    }

    pub(super) fn given_up(&self) -> usize {
        self.state.lock().unwrap().given_up.len()
    }

    fn take(&self, command: &Receive) -> Vec<Message> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap();
        let Some(items) = state.queues.get_mut(&command.queue) else {
            return Vec::new();
        };
        let max = usize::try_from(command.max.unwrap()).unwrap();
        let lease = Duration::from_secs(command.visibility.unwrap().try_into().unwrap());
        let taken = items.iter_mut().filter(|item| item.visible <= now).take(max);
        let message = |item: &mut Item| {
            item.visible = now + lease;
            item.received += 1;
            Message {
                id: Uuid(u128::from(item.id).to_be_bytes()),
                handle: item.id.to_string(),
                sender: String::new(),
                sent: Timestamp(0),
                receive_count: item.received,
                first_received: Timestamp(0),
                trace_header: None,
                dead_letter_source: None,
                group: None,
                deduplication: None,
                sequence: None,
                content: item.content.clone(),
            }
        };
        taken.map(message).collect()
    }
}

impl Source for Memory {
    fn outboxes(&self) -> Vec<Outbox> {
        self.state.lock().unwrap().outboxes.clone()
    }

    fn outbox_changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn receive(&self, command: Receive) -> Result<Vec<Message>, Failure<ReceiveError>> {
        let end = Instant::now() + Duration::from_secs(command.wait.unwrap().try_into().unwrap());
        loop {
            let put = self.put.notified();
            let taken = self.take(&command);
            if !taken.is_empty() || Instant::now() >= end {
                return Ok(taken);
            }
            // A look every now and then, for what becomes visible again.
            let look = Instant::now() + Duration::from_millis(5);
            let _ = timeout_at(look.min(end), put).await;
        }
    }

    async fn delete(&self, command: DeleteMessages) -> Result<DeleteReply, Failure<DeleteError>> {
        assert!((1..=10).contains(&command.handles.len()));
        let mut state = self.state.lock().unwrap();
        let results = command.handles.iter().map(|_| Ok(())).collect();
        if let Some(items) = state.queues.get_mut(&command.queue) {
            items.retain(|item| !command.handles.contains(&item.id.to_string()));
        }
        Ok(DeleteReply { results })
    }

    async fn change_visibility(
        &self,
        command: ChangeVisibility,
    ) -> Result<ChangeVisibilityReply, Failure<ChangeVisibilityError>> {
        let mut state = self.state.lock().unwrap();
        let items = state.queues.get_mut(&command.queue).unwrap();
        for entry in &command.entries {
            let timeout = Duration::from_secs(entry.timeout.try_into().unwrap());
            let found = items.iter_mut().find(|item| item.id.to_string() == entry.handle);
            found.unwrap().visible = Instant::now() + timeout;
        }
        let results = vec![Ok(()); command.entries.len()];
        Ok(ChangeVisibilityReply { results })
    }

    async fn give_up(&self, command: GiveUp) -> Result<bool, Unavailable> {
        let id: u64 = command.handle.parse().unwrap();
        let mut state = self.state.lock().unwrap();
        state.given_up.push(id);
        state
            .queues
            .get_mut(&command.outbox)
            .unwrap()
            .retain(|item| item.id != id);
        Ok(true)
    }
}
