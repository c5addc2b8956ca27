//! Everything together: [`run`] serves all roles until it is told to stop. The caller owns the sockets, the store,
//! the time, the configuration and the stop signal, so that the program, tests and the demo run the same function.

mod declare;
mod keys;
mod listeners;
mod ready;
pub mod reload;
pub mod signals;
mod workers;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tsugite_base::World;
use tsugite_gateway::Shared;

use crate::admin::{self, Admin, Store};
use crate::aws::{self, AwsDoor};
use crate::config::Config;
use crate::deliver::{self, Deliverer};
use crate::dns::{self, Dns};
use crate::feed::Feed;
use crate::signing::Signer;
use crate::watch::Hub;
use crate::world::HostClock;
use crate::{health, leaving};

use self::workers::Worker;

pub use declare::{Undeclared, declare};
pub use listeners::{BindError, Listeners};

/// Threads of deliveries at most: most of their time they wait for others.
const DELIVERY_THREADS: usize = 4;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Serve.
    Not,
    /// Take nothing new, finish what is under way.
    Drain,
    /// Leave everything at once.
    Now,
}

/// Where each role really listens; `None` is a role that is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the role of the same name")]
pub struct Addresses {
    pub gateway: Option<SocketAddr>,
    pub aws: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub dns: Option<SocketAddr>,
}

/// Why a program that could start did not go on.
#[derive(Debug)]
pub enum RunError {
    /// What the configuration declares cannot be.
    Undeclared(Undeclared),
    /// The ready file cannot be written.
    ReadyFile(PathBuf, std::io::Error),
    /// A socket or a thread that the program depends on failed.
    Io(&'static str, std::io::Error),
    /// A thread or task that never ends ended.
    Died(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Undeclared(error) => error.fmt(f),
            RunError::ReadyFile(path, error) => {
                write!(f, "the ready file {} cannot be written: {error}", path.display())
            }
            RunError::Io(what, error) => write!(f, "{what}: {error}"),
            RunError::Died(what) => write!(f, "{what} died; this is a defect of tsugite"),
        }
    }
}

impl std::error::Error for RunError {}

/// What `run` calls once every role serves.
pub type OnReady = Box<dyn FnOnce(&Addresses) + Send>;

/// Serves all roles until `stop`, applying each new `config` that can be applied. Must run on a Tokio runtime with
/// I/O and time; the gateway's and the AWS port's threads are its own. With `movable`, which must be the clock of
/// `world`, the admin port moves it. At the end the store is closed.
pub async fn run<S: Store>(
    config: watch::Receiver<Arc<Config>>,
    listeners: Listeners,
    store: S,
    world: World,
    movable: Option<Arc<HostClock>>,
    stop: watch::Receiver<Stop>,
    on_ready: OnReady,
) -> Result<(), RunError> {
    let first = config.borrow().clone();
    ready::ReadyFile::clear(first.ready_file.as_deref())?;
    declare(&store, &world, &first)
        .await
        .map_err(RunError::Undeclared)?;
    let addresses = listeners
        .addresses()
        .map_err(|error| RunError::Io("a listener has no address", error))?;
    let program = Program::new(store, world, movable, first.clone(), addresses)?;
    let (accept, accepting) = watch::channel(false);
    let mut tasks = JoinSet::new();
    program.spawn_control(&mut tasks).await;
    let mut doors = JoinSet::new();
    let workers = program
        .open_doors(listeners, &mut doors, &accepting, &stop)
        .await?;
    let ready = ready::ReadyFile::write(first.ready_file.as_deref(), &addresses)?;
    program.admin.set_ready(true);
    on_ready(&addresses);

    let outcome = tokio::select! {
        () = stopped(stop.clone()) => Ok(()),
        error = program.follow(config) => Err(error),
        Some(ended) = tasks.join_next() => Err(died(ended)),
        Some(ended) = doors.join_next() => Err(died(ended)),
        error = workers::failure(&workers) => Err(error),
    };
    program.admin.set_ready(false);
    let _ = accept.send(true);
    program.admin.hub.close();
    let drain = program.applied.borrow().drain_timeout;
    let finished = async {
        while doors.join_next().await.is_some() {}
        workers::finish(workers).await;
    };
    tokio::select! {
        () = finished => {}
        () = impatience(stop, drain) => tracing::warn!("some calls did not finish in time and were cut"),
    }
    drop(doors);
    program.deliverer.stop().await;
    // Everything acknowledged is on disk already; this saves the next start from reading the log again.
    program.store.close().await;
    // Whoever waits for the file to go may have the ports and the data directory then.
    drop(ready);
    outcome
}

/// The parts that live as long as the program.
struct Program<S> {
    store: S,
    world: World,
    gateway: Arc<Shared>,
    aws: Arc<AwsDoor<S>>,
    admin: Arc<Admin<S>>,
    deliverer: Arc<Deliverer>,
    signer: Arc<Signer>,
    /// The configuration in force.
    applied: watch::Sender<Arc<Config>>,
    dns: Arc<Dns>,
}

impl<S: Store> Program<S> {
    fn new(
        store: S,
        world: World,
        movable: Option<Arc<HostClock>>,
        config: Arc<Config>,
        addresses: Addresses,
    ) -> Result<Program<S>, RunError> {
        let (applied, in_force) = watch::channel(config.clone());
        let settings = tsugite_gateway::Settings {
            cores: config.workers,
            drain: config.drain_timeout,
            ..tsugite_gateway::Settings::default()
        };
        let gateway = Arc::new(Shared::new(settings, world.clone()));
        let settings = aws::Settings {
            scope: config.aws.scope.clone(),
            host: config.aws.host.clone(),
            any_host: config.insecure,
            auth: keys::mode(config.aws.auth),
            keys: keys::keys(&config.aws.keys),
            validation: config.registry.validation,
            drain_ms: u32::try_from(config.registry.drain.as_millis()).unwrap_or(u32::MAX),
        };
        let base_url = base_url(&config, &addresses);
        let keys = config.data.join("sns");
        let signer = Arc::new(Signer::new(
            keys,
            world.clone(),
            config.aws.sns.certificate_url.clone(),
        ));
        let aws = AwsDoor::new(store.clone(), world.clone(), signer.clone(), settings);
        let aws = Arc::new(aws);
        let settings = deliver::Settings {
            client: client(&config.aws.sns),
            base_url,
            fixed: config.aws.host.is_some(),
            threads: config.workers.min(DELIVERY_THREADS),
        };
        let deliverer = Deliverer::start(store.clone(), world.clone(), signer.clone(), settings);
        let deliverer = Arc::new(
            deliverer.map_err(|error| RunError::Io("the threads of deliveries could not start", error))?,
        );
        let dns = Arc::new(Dns::new(&config.dns, addresses.dns, world.clone()));
        let admin = Admin::new(
            store.clone(),
            world.clone(),
            movable,
            in_force,
            addresses,
            admin::Beside {
                gateway: gateway.clone(),
                aws: aws.clone(),
                deliverer: deliverer.clone(),
                hub: Arc::new(Hub::new(config.registry.max_watchers)),
                dns: dns.clone(),
                signer: signer.clone(),
            },
        );
        Ok(Program {
            store,
            world,
            gateway,
            aws,
            admin: Arc::new(admin),
            deliverer,
            dns,
            signer,
            applied,
        })
    }

    /// What runs beside the doors as long as the program; returns once gateway and DNS know what is registered.
    async fn spawn_control(&self, tasks: &mut JoinSet<()>) {
        tasks.spawn(tsugite_gateway::control(
            self.gateway.clone(),
            std::future::pending(),
        ));
        let mut feed = Feed::new(self.store.clone(), self.gateway.clone(), self.applied.subscribe());
        feed.update().await;
        let published = feed.published();
        tasks.spawn(feed.run());
        tasks.spawn(self.admin.hub.clone().run(self.store.clone()));
        let mut follower = dns::Follower::new(self.store.clone(), self.dns.clone());
        follower.update().await;
        tasks.spawn(follower.run());
        tasks.spawn(health::run(self.store.clone(), self.world.clone()));
        tasks.spawn(health::heed(self.store.clone(), self.gateway.clone()));
        tasks.spawn(leaving::run(self.store.clone(), self.gateway.clone(), published));
    }

    /// Opens every door; returns once all of them serve.
    async fn open_doors(
        &self,
        listeners: Listeners,
        doors: &mut JoinSet<()>,
        accepting: &watch::Receiver<bool>,
        stop: &watch::Receiver<Stop>,
    ) -> Result<Vec<Worker>, RunError> {
        let listen = |listener| {
            tokio::net::TcpListener::from_std(listener)
                .map_err(|error| RunError::Io("a port cannot be served", error))
        };
        if let Some(listener) = listeners.admin {
            doors.spawn(admin::serve(
                listen(listener)?,
                self.admin.clone(),
                accepting.clone(),
            ));
        }
        let ending = workers::Ending {
            accepting: accepting.clone(),
            stop: stop.clone(),
            drain: self.applied.borrow().drain_timeout,
        };
        let (mut gateway, mut aws) = (listeners.gateway.into_iter(), listeners.aws.into_iter());
        let mut dns = listeners.dns.into_iter();
        let mut workers = Vec::new();
        loop {
            let doors = workers::Doors {
                gateway: gateway.next(),
                aws: aws.next(),
                dns: dns.next(),
                shared: self.gateway.clone(),
                door: self.aws.clone(),
                names: self.dns.clone(),
            };
            if doors.are_closed() {
                return Ok(workers);
            }
            workers.push(workers::start(workers.len(), doors, ending.clone()).await?);
        }
    }

    /// Applies configurations as they come. Never returns unless whoever sends them is gone.
    async fn follow(&self, mut config: watch::Receiver<Arc<Config>>) -> RunError {
        loop {
            if config.changed().await.is_err() {
                // A configuration that never changes is as good as one that nobody can change.
                return std::future::pending().await;
            }
            let new = config.borrow_and_update().clone();
            self.apply(new).await;
        }
    }

    async fn apply(&self, new: Arc<Config>) {
        let old = self.applied.borrow().clone();
        if let Err(error) = declare(&self.store, &self.world, &new).await {
            self.admin.reload_refused();
            tracing::error!(%error, "the new configuration was not applied; the old one stays in force");
            return;
        }
        declare::retire(&self.store, &old, &new).await;
        let fixed = old.fixed_differences(&new);
        if !fixed.is_empty() {
            tracing::warn!(
                keys = fixed.join(", "),
                "these keys have changed but take effect only after a restart"
            );
        }
        let in_force = Arc::new(old.with_changes_of(&new));
        self.aws.set_keys(keys::keys(&in_force.aws.keys));
        self.signer.reload().await;
        self.admin.reload(&in_force);
        self.dns.reload(&in_force.dns);
        self.applied.send_replace(in_force);
        tracing::info!("the new configuration is in force");
    }
}

/// Where links in messages lead unless a request says under which name it reached us: the AWS port as others reach it,
/// as far as we know.
pub(crate) fn base_url(config: &Config, addresses: &Addresses) -> String {
    let host = config.aws.host.clone();
    let listening = || addresses.aws.map(|address| near(address).to_string());
    let host = host.or_else(listening);
    format!("http://{}", host.as_deref().unwrap_or("localhost"))
}

/// The address under which this machine reaches itself.
pub(crate) fn near(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr = match address.is_ipv4() {
            true => std::net::Ipv4Addr::LOCALHOST.into(),
            false => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}

fn client(sns: &crate::config::Sns) -> deliver::ClientSettings {
    deliver::ClientSettings {
        timeout: sns.timeout,
        any_address: sns.any_address,
        trust: deliver::Trust {
            ca_file: sns.ca_file.clone(),
            insecure: sns.insecure_tls,
        },
    }
}

fn died(ended: Result<(), tokio::task::JoinError>) -> RunError {
    RunError::Died(match ended {
        Ok(()) => "a task that never ends".to_owned(),
        Err(error) => format!("a task ({error})"),
    })
}

/// Completes when nothing new is to be taken.
async fn quiet(mut accepting: watch::Receiver<bool>) {
    let _ = accepting.wait_for(|stop| *stop).await;
}

async fn stopped(mut stop: watch::Receiver<Stop>) {
    // A caller who dropped the sender can never ask for a stop: serve on.
    if stop.wait_for(|stop| *stop != Stop::Not).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Completes when calls under way have had their time.
async fn impatience(mut stop: watch::Receiver<Stop>, drain: Duration) {
    tokio::select! {
        () = tokio::time::sleep(drain) => {}
        Ok(_) = stop.wait_for(|stop| *stop == Stop::Now) => {}
    }
}
