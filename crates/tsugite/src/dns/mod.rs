//! The DNS door: every worker answers from its own UDP and TCP sockets, from a snapshot of the registry that one task
//! keeps up to date.

#[cfg(target_os = "linux")]
mod batch;
#[cfg(not(target_os = "linux"))]
#[path = "batch_portable.rs"]
mod batch;
mod directory;
mod forward;
pub(crate) mod stats;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tsugite_base::World;
use tsugite_base::rng::SplitMix64;
use tsugite_discovery::dns::{RateLimit, Scratch, Settings, Snapshot, Verdict};
use tsugite_engine::RegistryStore;
use tsugite_registry::{IPV4, IPV6, PORT};

use self::directory::Directory;
use self::forward::Forwarder;
use self::stats::Stats;
use crate::config;

/// Connections at the same time; more wait in the kernel's queue.
const CONNECTIONS: usize = 512;
/// From here on those that wait are not waited for as long.
const CROWD: usize = CONNECTIONS / 2;
/// Attributes that other records than TXT tell.
const HIDDEN: &[&str] = &[IPV4, IPV6, PORT];

/// What all workers share.
pub struct Dns {
    snapshot: ArcSwap<Snapshot>,
    settings: ArcSwap<Settings>,
    limit: Option<RateLimit>,
    /// Networks that the limit does not hold for.
    exempt: Vec<config::Network>,
    forwarder: Option<Arc<Forwarder>>,
    connections: Arc<Semaphore>,
    stats: Stats,
    world: World,
}

impl Dns {
    /// A door that knows no names yet. `address` is where it listens.
    pub fn new(config: &config::Dns, address: Option<SocketAddr>, world: World) -> Dns {
        let config::RateLimit {
            answers,
            slip,
            exempt,
        } = &config.rate_limit;
        let servers = &config.forward;
        Dns {
            snapshot: ArcSwap::default(),
            settings: ArcSwap::from_pointee(Settings {
                max_answers: config.max_answers,
                udp_size: config.udp_size,
                server: address.and_then(own_address).into_iter().collect(),
                hidden: HIDDEN,
            }),
            limit: (*answers > 0).then(|| RateLimit::new(*answers, *slip)),
            exempt: exempt.clone(),
            forwarder: (!servers.is_empty())
                .then(|| Arc::new(Forwarder::new(servers.clone(), world.clone()))),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            stats: Stats::default(),
            world,
        }
    }

    /// Puts into force what can change without a restart.
    pub fn reload(&self, config: &config::Dns) {
        let settings = Settings::clone(&self.settings.load());
        self.settings.store(Arc::new(Settings {
            max_answers: config.max_answers,
            ..settings
        }));
    }

    /// What has been done so far.
    pub(crate) const fn stats(&self) -> &Stats {
        &self.stats
    }

    fn scratch(&self) -> Scratch {
        Scratch::new(SplitMix64::new(self.world.random_u64()))
    }

    fn is_crowded(&self) -> bool {
        self.connections.available_permits() < CROWD
    }

    /// Whether names that are not ours are asked of others for a client: an open resolver would be everybody's tool.
    fn may_recurse(&self, client: IpAddr) -> bool {
        self.forwarder.is_some() && is_near(client.to_canonical())
    }

    fn limit(&self, client: IpAddr, subject: u64, scratch: &mut Scratch) -> Verdict {
        let Some(limit) = &self.limit else {
            return Verdict::Send;
        };
        let client = client.to_canonical();
        if self.exempt.iter().any(|network| network.contains(client)) {
            return Verdict::Send;
        }
        let now_us = self.world.mono().nanos() / 1_000;
        limit.check(client, subject, now_us, scratch.random())
    }
}

/// Addresses of this host, its site and its carrier.
fn is_near(client: IpAddr) -> bool {
    match client {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// The address under which others reach a server that listens there, as far as can be known without asking anybody.
fn own_address(listens: SocketAddr) -> Option<IpAddr> {
    if !listens.ip().is_unspecified() {
        return Some(listens.ip());
    }
    // Addresses of nobody (RFC 5737, 3849): choosing a route to them sends nothing.
    let (any, far): (IpAddr, IpAddr) = match listens.is_ipv4() {
        true => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        false => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        ),
    };
    let socket = StdUdpSocket::bind((any, 0)).ok()?;
    socket.connect((far, 9)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

/// Takes changes of the registry over as they become durable.
pub struct Follower<S> {
    store: S,
    dns: Arc<Dns>,
    directory: Directory,
    changes: watch::Receiver<u64>,
    seen: u64,
}

impl<S: RegistryStore> Follower<S> {
    /// A follower that has not looked yet.
    pub fn new(store: S, dns: Arc<Dns>) -> Follower<S> {
        Follower {
            changes: store.registry_changes(),
            store,
            dns,
            directory: Directory::default(),
            seen: 0,
        }
    }

    /// Takes over all that is durable now.
    pub async fn update(&mut self) {
        self.changes.borrow_and_update();
        let changes = self.store.changes_since(self.seen).await;
        self.seen = changes.seen;
        let snapshot = self.directory.update(&changes);
        self.dns.snapshot.store(Arc::new(snapshot));
    }

    /// Follows for as long as it is polled.
    pub async fn run(mut self) {
        while self.changes.changed().await.is_ok() {
            self.update().await;
        }
        // The store is gone; what was known stays answered until the door closes.
        std::future::pending().await
    }
}

/// Answers queries on one worker's sockets until `quiet` completes. Must run in a `LocalSet`.
pub async fn serve(udp: UdpSocket, tcp: TcpListener, dns: Arc<Dns>, quiet: impl Future<Output = ()>) {
    tokio::select! {
        () = udp::serve(udp, dns.clone()) => {}
        () = tcp::serve(tcp, dns) => {}
        () = quiet => {}
    }
}
