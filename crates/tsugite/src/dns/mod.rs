//! The DNS door: A, AAAA and SRV answers from the registry over UDP and TCP.
//!
//! Every service with DNS records in a DNS namespace is `<service>.<namespace>`, and each of its instances
//! `<instance>.<service>.<namespace>`. Answers hold healthy instances, or all if none is healthy.

mod answer;
mod directory;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tsugite_base::World;
use tsugite_base::rng::SplitMix64;
use tsugite_discovery::dns::Query;
use tsugite_engine::RegistryStore;

use directory::Directory;

/// Connections at the same time; more wait in the kernel's queue.
const CONNECTIONS: usize = 256;
/// From one query of a connection to the end of the next (RFC 7766 section 6.2.3: of the order of seconds).
const IDLE: Duration = Duration::from_secs(10);
/// Longest query over UDP; a longer one is cut and then refused, for it cannot be a question of ours.
const QUERY_BYTES: usize = 4096;
/// Longest message over TCP.
const MESSAGE_BYTES: usize = 65_535;
/// Pause after a failed accept, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every query has at hand.
struct Door {
    directory: RwLock<Directory>,
    max_answers: watch::Receiver<usize>,
    world: World,
}

impl Door {
    /// The answer to a message, at most as long as the client takes; `None` if it deserves none.
    fn answer(&self, message: &[u8], random: &mut SplitMix64, over_tcp: bool) -> Option<Vec<u8>> {
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(bad) => return bad.encode().map(Vec::from),
        };
        let limit = if over_tcp {
            MESSAGE_BYTES
        } else {
            query.udp_limit()
        };
        let max_answers = *self.max_answers.borrow();
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        let reply = answer::answer(&directory, &query, max_answers, random);
        drop(directory);
        Some(reply.encode(&query, limit))
    }

    fn random(&self) -> SplitMix64 {
        SplitMix64::new(self.world.random_u64())
    }
}

/// Answers queries until `stop` turns true. `max_answers` bounds the instances in one answer, and may change.
pub async fn serve<S: RegistryStore>(
    udp: UdpSocket,
    tcp: TcpListener,
    store: S,
    world: World,
    max_answers: watch::Receiver<usize>,
    mut stop: watch::Receiver<bool>,
) {
    let door = Arc::new(Door {
        directory: RwLock::default(),
        max_answers,
        world,
    });
    let changes = store.registry_changes();
    // What was registered before the door opens is answered by the first query.
    let seen = follow_once(&store, &door, 0).await;
    tokio::select! {
        () = follow(&store, &door, changes, seen) => {}
        () = serve_udp(&udp, &door) => {}
        () = serve_tcp(&tcp, &door) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Takes changes of the registry over as they become durable.
async fn follow<S: RegistryStore>(store: &S, door: &Door, mut changes: watch::Receiver<u64>, mut seen: u64) {
    loop {
        if changes.changed().await.is_err() {
            // The store is gone; what was known stays answered until the door closes.
            return std::future::pending().await;
        }
        seen = follow_once(store, door, seen).await;
    }
}

async fn follow_once<S: RegistryStore>(store: &S, door: &Door, seen: u64) -> u64 {
    let changes = store.changes_since(seen).await;
    let mut directory = door.directory.write().unwrap_or_else(PoisonError::into_inner);
    directory.update(&changes);
    changes.seen
}

async fn serve_udp(socket: &UdpSocket, door: &Door) {
    let mut buffer = vec![0; QUERY_BYTES];
    let mut random = door.random();
    loop {
        // Errors are those of earlier answers (a port that closed): they concern nobody here.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if is_reserved(client) {
            continue;
        }
        if let Some(answer) = door.answer(&buffer[..length], &mut random, false) {
            // An answer that cannot be sent is lost, as any datagram may be.
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

/// Ports of services that answer whatever they get: a forged query from there would start a loop.
fn is_reserved(client: SocketAddr) -> bool {
    matches!(client.port(), 0 | 7 | 13 | 17 | 19 | 37)
}

async fn serve_tcp(listener: &TcpListener, door: &Arc<Door>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let door = door.clone();
                connections.spawn(async move {
                    // Whatever ends a connection early is the peer's affair.
                    let _ = converse(stream, &door).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the DNS port cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Answers the queries of one connection in order, as many as the client sends.
async fn converse(mut stream: TcpStream, door: &Door) -> std::io::Result<()> {
    let _ = stream.set_nodelay(true);
    let mut random = door.random();
    let mut message = Vec::new();
    loop {
        let read = async {
            let length = stream.read_u16().await?;
            message.resize(usize::from(length), 0);
            stream.read_exact(&mut message).await
        };
        timeout(IDLE, read).await??;
        let Some(answer) = door.answer(&message, &mut random, true) else {
            return Ok(());
        };
        let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
