//! Delivery to HTTP endpoints. Each subscription that posts has an *outbox*, a queue into which a publish puts its
//! message in the same record as into all others; what is durable, what survives a crash and what is tried again is
//! the business of that queue. Here its messages are leased, posted, and deleted, hidden until the next try, or given
//! up.
//!
//! [`Deliverer`] runs on threads of its own: neither a slow endpoint nor the making of signatures takes time from the
//! doors. The supervisor follows the set of outboxes and keeps a loop (`endpoint.rs`) for each.

mod client;
mod endpoint;
mod guard;
mod post;
mod report;
#[cfg(test)]
mod tests;
mod throttle;
mod tls;
mod url;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tsugite_base::World;
use tsugite_broker::{
    ChangeVisibility, ChangeVisibilityError, ChangeVisibilityReply, DeleteError, DeleteMessages, DeleteReply,
    GiveUp, Message, Outbox, Receive, ReceiveError, SubscriptionKey,
};
use tsugite_engine::{Failure, Messaging, Topics, Unavailable};

use self::client::Client;
use self::report::{Ledger, Totals};
use crate::signing::Signer;

pub use self::client::{ClientSettings, Post, PostError};
pub use self::report::EndpointReport;
pub use self::tls::Trust;
pub(crate) use self::tls::client_config;
pub use self::url::EndpointUrl;

/// How long tries under way may go on once the program ends.
const GRACE: Duration = Duration::from_secs(2);
/// How long those that were cut may take to say so.
const CUT: Duration = Duration::from_secs(1);
/// How long changes of subscriptions come together before they are looked at.
const GATHER: Duration = Duration::from_millis(10);

/// Whether a request is a delivery of a topic: ours, or another one's.
pub fn is_delivery(headers: &http::HeaderMap) -> bool {
    headers.contains_key(client::MESSAGE_TYPE)
}

/// What the deliverer needs of a store.
pub trait Source: Clone + Send + Sync + 'static {
    /// Every outbox.
    fn outboxes(&self) -> Vec<Outbox>;
    /// Tells when they may have changed.
    fn outbox_changes(&self) -> watch::Receiver<u64>;
    /// Leases messages of an outbox.
    fn receive(
        &self,
        command: Receive,
    ) -> impl Future<Output = Result<Vec<Message>, Failure<ReceiveError>>> + Send;
    /// Deletes what was delivered.
    fn delete(
        &self,
        command: DeleteMessages,
    ) -> impl Future<Output = Result<DeleteReply, Failure<DeleteError>>> + Send;
    /// Says when a message is tried again.
    fn change_visibility(
        &self,
        command: ChangeVisibility,
    ) -> impl Future<Output = Result<ChangeVisibilityReply, Failure<ChangeVisibilityError>>> + Send;
    /// Gives a message up.
    fn give_up(&self, command: GiveUp) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

impl<M: Messaging> Source for M {
    fn outboxes(&self) -> Vec<Outbox> {
        Topics::outboxes(self)
    }

    fn outbox_changes(&self) -> watch::Receiver<u64> {
        Topics::outbox_changes(self)
    }

    async fn receive(&self, command: Receive) -> Result<Vec<Message>, Failure<ReceiveError>> {
        Messaging::receive(self, command).await
    }

    async fn delete(&self, command: DeleteMessages) -> Result<DeleteReply, Failure<DeleteError>> {
        Messaging::delete(self, command).await
    }

    async fn change_visibility(
        &self,
        command: ChangeVisibility,
    ) -> Result<ChangeVisibilityReply, Failure<ChangeVisibilityError>> {
        Messaging::change_visibility(self, command).await
    }

    async fn give_up(&self, command: GiveUp) -> Result<bool, Unavailable> {
        Topics::give_up(self, command).await
    }
}

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to post.
    pub client: ClientSettings,
    /// `scheme://host` of the AWS port: where links in messages lead.
    pub base_url: String,
    /// They lead there also where a subscriber reached us under another name.
    pub fixed: bool,
    /// Threads.
    pub threads: usize,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Run,
    /// Nothing new is begun.
    Finish,
    /// What is under way is cut.
    Cut,
}

impl Stage {
    /// Completes when the end has come this far.
    async fn reached(self, mut stage: watch::Receiver<Stage>) {
        if stage.wait_for(|stage| *stage >= self).await.is_err() {
            // Nobody can say any more: the runtime is about to go.
            std::future::pending::<()>().await;
        }
    }
}

/// What all loops share.
struct Context<S> {
    store: S,
    world: World,
    signer: Arc<Signer>,
    client: Arc<Client>,
    base_url: String,
    fixed: bool,
    ledgers: Arc<Ledgers>,
    totals: Arc<Totals>,
}

type Ledgers = Mutex<HashMap<SubscriptionKey, Arc<Ledger>>>;

/// Delivers until it is stopped or dropped.
pub struct Deliverer {
    world: World,
    runtime: Option<Runtime>,
    stage: watch::Sender<Stage>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
    ledgers: Arc<Ledgers>,
    totals: Arc<Totals>,
}

impl Deliverer {
    /// Starts to deliver what lies in the outboxes of `store`.
    pub fn start<S: Source>(
        store: S,
        world: World,
        signer: Arc<Signer>,
        settings: Settings,
    ) -> std::io::Result<Deliverer> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads.max(1))
            .thread_name("tsugite-deliver")
            .enable_io()
            .enable_time()
            .build()?;
        let ledgers = Arc::new(Ledgers::default());
        let totals = Arc::new(Totals::default());
        let context = Arc::new(Context {
            store,
            world: world.clone(),
            signer,
            client: Arc::new(Client::new(settings.client)),
            base_url: settings.base_url,
            fixed: settings.fixed,
            ledgers: ledgers.clone(),
            totals: totals.clone(),
        });
        let (stage, stages) = watch::channel(Stage::Run);
        let supervisor = runtime.spawn(supervise(context, stages));
        Ok(Deliverer {
            world,
            runtime: Some(runtime),
            stage,
            supervisor: Mutex::new(Some(supervisor)),
            ledgers,
            totals,
        })
    }

    /// How deliveries to the endpoint of a subscription go; `None` if it does not post.
    pub fn report(&self, subscription: &SubscriptionKey) -> Option<EndpointReport> {
        let ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.world.now().wall;
        ledgers.get(subscription).map(|ledger| ledger.report(now))
    }

    /// Tries that succeeded, tries that failed and messages given up, at all endpoints since the start.
    pub fn totals(&self) -> [u64; 3] {
        self.totals.read()
    }

    /// Begins nothing new, waits a little for what is under way and cuts the rest, which the next start delivers.
    pub async fn stop(&self) {
        let supervisor = self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut supervisor) = supervisor else {
            return;
        };
        self.stage.send_replace(Stage::Finish);
        if timeout(GRACE, &mut supervisor).await.is_err() {
            self.stage.send_replace(Stage::Cut);
            if timeout(CUT, supervisor).await.is_err() {
                tracing::warn!("some deliveries did not end in time; their messages come again");
            }
        }
    }
}

impl Drop for Deliverer {
    fn drop(&mut self) {
        // In the background: a name that does not resolve may hold a thread for long.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A loop and the way to tell it what has changed. Dropping it ends the loop at once.
struct Running {
    outbox: watch::Sender<Outbox>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps one loop for each outbox.
async fn supervise<S: Source>(context: Arc<Context<S>>, stage: watch::Receiver<Stage>) {
    let mut changes = context.store.outbox_changes();
    let mut running: HashMap<SubscriptionKey, Running> = HashMap::new();
    loop {
        changes.borrow_and_update();
        follow(&context, &mut running, &stage);
        let changed = async {
            if changes.changed().await.is_err() {
                // A store that is gone has no more outboxes.
                std::future::pending::<()>().await;
            }
            sleep(GATHER).await;
        };
        tokio::select! {
            () = changed => {}
            () = Stage::Finish.reached(stage.clone()) => break,
        }
    }
    for loops in running.values_mut() {
        let _ = (&mut loops.task).await;
    }
}

fn follow<S: Source>(
    context: &Arc<Context<S>>,
    running: &mut HashMap<SubscriptionKey, Running>,
    stage: &watch::Receiver<Stage>,
) {
    let mut gone = std::mem::take(running);
    let mut ledgers = context.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
    for outbox in context.store.outboxes() {
        let key = outbox.subscription.clone();
        match gone.remove(&key) {
            Some(known) if !known.task.is_finished() && known.outbox.borrow().endpoint == outbox.endpoint => {
                known.outbox.send_if_modified(|old| {
                    let differs = *old != outbox;
                    *old = outbox;
                    differs
                });
                running.insert(key, known);
            }
            _ => {
                let ledger = ledgers.entry(key.clone());
                let ledger = ledger
                    .or_insert_with(|| Arc::new(Ledger::new(context.totals.clone())))
                    .clone();
                let (outbox, of_loop) = watch::channel(outbox);
                let task = tokio::spawn(endpoint::run(context.clone(), of_loop, ledger, stage.clone()));
                running.insert(key, Running { outbox, task });
            }
        }
    }
    ledgers.retain(|key, _| running.contains_key(key));
}
