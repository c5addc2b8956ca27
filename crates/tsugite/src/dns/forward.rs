//! Asking other servers for names that are not ours, so that a host can have us as its only resolver.
//!
//! One exchange for all who ask the same at the same time: a forger has one id and one port to guess, and a server that
//! sends its questions back to us finds its own question under way and waits for itself in vain, once.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tsugite_base::World;
use tsugite_base::rng::SplitMix64;
use tsugite_discovery::dns::Query;
use tsugite_discovery::dns::relay::{self, Heard};

/// Clients that wait for others at the same time; more are told that it failed.
const WAITING: usize = 512;
/// For which one server has time to answer.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How often all servers are tried.
const ROUNDS: usize = 2;
/// Longest answer over UDP that is read; we ask for no more than 1232 bytes.
const ANSWER_BYTES: usize = 4_096;
/// Failures of the server itself: another may know better.
const FAILURES: [u8; 2] = [2, 5];

/// An answer as it came, for everybody who asked; `None` if nobody answered.
type Exchange = Arc<OnceCell<Option<Vec<u8>>>>;

/// The right to wait for an answer.
pub(super) struct Place(#[expect(dead_code, reason = "it is given back when dropped")] OwnedSemaphorePermit);

/// Asks other servers.
pub(super) struct Forwarder {
    servers: Vec<SocketAddr>,
    world: World,
    room: Arc<Semaphore>,
    /// What is being asked, by what makes two questions the same. As many as there are clients that wait, at most.
    under_way: Mutex<HashMap<Vec<u8>, Exchange>>,
}

impl Forwarder {
    /// Asks these servers, in this order.
    pub(super) fn new(servers: Vec<SocketAddr>, world: World) -> Forwarder {
        Forwarder {
            servers,
            world,
            room: Arc::new(Semaphore::new(WAITING)),
            under_way: Mutex::default(),
        }
    }

    /// A place among those who wait; `None` if there is none.
    pub(super) fn place(&self) -> Option<Place> {
        self.room.clone().try_acquire_owned().ok().map(Place)
    }

    /// The answer to a query for a client that takes `limit` bytes; `None` if nobody gives one.
    pub(super) async fn ask(&self, _: Place, message: &[u8], limit: usize) -> Option<Vec<u8>> {
        let query = Query::parse(message).ok()?;
        let key = key(&query);
        let exchange = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.entry(key.clone()).or_default().clone()
        };
        let heard = exchange.get_or_init(|| self.exchange(&query)).await.clone();
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way
            .get(&key)
            .is_some_and(|other| Arc::ptr_eq(other, &exchange))
        {
            under_way.remove(&key);
        }
        drop(under_way);
        let mut answer = heard?;
        relay::deliver(&query, &mut answer, limit);
        Some(answer)
    }

    async fn exchange(&self, query: &Query<'_>) -> Option<Vec<u8>> {
        let mut failure = None;
        for server in self.servers.iter().cycle().take(self.servers.len() * ROUNDS) {
            let heard = timeout(PATIENCE, self.ask_one(*server, query)).await;
            match heard {
                Ok(Ok(answer)) if FAILURES.contains(&(answer[3] & 15)) => failure = Some(answer),
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%server, %error, "a DNS server cannot be asked"),
                Err(_) => tracing::debug!(%server, "a DNS server did not answer in time"),
            }
        }
        failure
    }

    async fn ask_one(&self, server: SocketAddr, query: &Query<'_>) -> io::Result<Vec<u8>> {
        let [high, low, ..] = self.world.random_u64().to_be_bytes();
        let mut coins = SplitMix64::new(self.world.random_u64());
        let sent = relay::question(query, u16::from_be_bytes([high, low]), &mut coins);
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // The host draws a port for every question, and takes answers from the server alone.
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(server).await?;
        socket.send(&sent).await?;
        let mut answer = vec![0; ANSWER_BYTES];
        loop {
            let length = socket.recv(&mut answer).await?;
            match relay::judge(query, &sent, &answer[..length], false) {
                Heard::Answer => {
                    answer.truncate(length);
                    return Ok(answer);
                }
                Heard::AskOverTcp => return ask_over_tcp(server, query, &sent).await,
                Heard::Noise => {}
            }
        }
    }
}

async fn ask_over_tcp(server: SocketAddr, query: &Query<'_>, sent: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(sent.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream
        .write_all(&[&length.to_be_bytes()[..], sent].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    match relay::judge(query, sent, &answer, true) {
        Heard::Answer => Ok(answer),
        Heard::AskOverTcp | Heard::Noise => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// What makes two questions the same to another server.
fn key(query: &Query<'_>) -> Vec<u8> {
    let checking_disabled = query.message()[3] & 0x10;
    let edns = query.edns.map_or(0, |edns| 1 + u8::from(edns.dnssec_ok));
    let rest = &query.question()[query.name().len()..];
    [query.name(), rest, &[checking_disabled | edns]].concat()
}
