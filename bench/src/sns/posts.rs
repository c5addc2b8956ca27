//! Deliveries over HTTP: how many a fast endpoint gets, and what others notice of endpoints that hang.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

use super::goals::{POSTS, RAW_POSTS, SHARED_POSTS};
use super::receiver::Endpoint;
use super::{BODY_BYTES, CONNECTIONS, body};
use crate::board::Board;
use crate::histogram::Histogram;
use crate::load::http1::Http1;
use crate::load::sns::Topic;
use crate::load::{Pace, drive};
use crate::servers::{Peer, Server, Tsugite};
use crate::{Options, Result};

/// Longest that anything here may be waited for.
const LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at what arrived.
const LOOK: Duration = Duration::from_millis(5);
/// Subscriptions of one endpoint that share the signature of a message.
const EACH: usize = 10;
/// Endpoints, the half of which hangs.
const ENDPOINTS: usize = 20;
/// Publishes per second to them.
const RATE: u64 = 50;
/// As many at once, as the load is not to be what is measured.
const PUBLISHERS: usize = 4;

/// A topic whose endpoints have confirmed.
struct Hooked {
    topic: Topic,
    endpoints: Vec<Endpoint>,
    begin: Instant,
}

impl Hooked {
    /// So many endpoints, each subscribed so many times under paths of its own.
    async fn set(address: SocketAddr, endpoints: usize, each: usize, raw: bool) -> Result<Hooked> {
        let topic = Topic::create(address, "bench").await?;
        let (tokens, mut confirmations) = mpsc::unbounded_channel();
        let (mut connection, begin) = (Http1::new(address), Instant::now());
        let mut all = Vec::new();
        for _ in 0..endpoints {
            let endpoint = Endpoint::listen(begin, tokens.clone()).await?;
            for path in 0..each {
                let url = format!("http://{}/{path}", endpoint.address);
                let attributes = [("RawMessageDelivery", if raw { "true" } else { "false" })];
                topic
                    .subscribe(&mut connection, "http", &url, &attributes)
                    .await?;
                confirm(&topic, &mut confirmations).await?;
            }
            all.push(endpoint);
        }
        Ok(Hooked {
            topic,
            endpoints: all,
            begin,
        })
    }

    /// Waits until each of these endpoints has so many messages.
    async fn wait_for(endpoints: &[Endpoint], expected: u64) -> Result<()> {
        let begin = Instant::now();
        while let Some(short) = endpoints
            .iter()
            .find(|endpoint| endpoint.notifications() < expected)
        {
            if begin.elapsed() > LIMIT {
                return Err(
                    format!("{} messages arrived instead of {expected}", short.notifications()).into(),
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

async fn confirm(topic: &Topic, confirmations: &mut UnboundedReceiver<String>) -> Result<()> {
    let token = timeout(LIMIT, confirmations.recv()).await;
    let token = token.map_err(|_| "no confirmation was asked for")?;
    topic.confirm(&token.ok_or("no endpoint listens")?).await?;
    Ok(())
}

/// Publishes go on while the endpoint takes what they bring; the time ends when it has all.
pub(super) async fn fast(options: &Options, board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    let measured = measure(&tsugite.server, options, 1, true).await?;
    board.work(RAW_POSTS, "tsugite", measured);
    drop(tsugite);
    for (what, each) in [(POSTS, 1), (SHARED_POSTS, EACH)] {
        let tsugite = Tsugite::start()?;
        let measured = measure(&tsugite.server, options, each, false).await?;
        board.work(what, "tsugite", measured);
    }
    // moto posts nothing to anybody who has to confirm.
    let peer = Peer::Localstack;
    if options.takes(peer.name()) && peer.missing().is_none() {
        eprintln!("  {}", peer.title());
        let measured = async {
            let server = peer.start()?;
            measure(&server, options, 1, false).await
        };
        match measured.await {
            Ok(measured) => board.work(POSTS, peer.title(), measured),
            Err(error) => board.failed(peer.title(), &*error),
        }
    }
    Ok(())
}

async fn measure(server: &Server, options: &Options, each: usize, raw: bool) -> Result<[f64; 4]> {
    let process = &server.process;
    let hooked = Hooked::set(server.address, 1, each, raw).await?;
    let text = body(BODY_BYTES);
    let clients = (0..CONNECTIONS)
        .map(|_| hooked.topic.stamped_publisher(&text, hooked.begin))
        .collect();
    let (cpu, begin) = (process.cpu_seconds(), Instant::now());
    let (_, outcome) = drive(clients, Pace::Closed, options.seconds).await;
    let messages = outcome.flawless()?.messages * each as u64;
    Hooked::wait_for(&hooked.endpoints, messages).await?;
    let (took, cpu) = (begin.elapsed().as_secs_f64(), process.cpu_seconds() - cpu);
    let latencies = hooked.endpoints.first().map(Endpoint::take_latencies);
    let latencies = latencies.unwrap_or_else(Histogram::new);
    Ok([
        messages as f64 / took,
        cpu * 1e6 / messages as f64,
        latencies.quantile_us(0.50),
        latencies.quantile_us(0.99),
    ])
}

/// The same publishes with all endpoints answering and with half of them hanging.
pub(super) async fn hanging(options: &Options, board: &mut Board) -> Result<()> {
    let mut p99 = [0.0; 2];
    for (half_hangs, p99) in [false, true].into_iter().zip(&mut p99) {
        let tsugite = Tsugite::start()?;
        let hooked = Hooked::set(tsugite.server.address, ENDPOINTS, 1, false).await?;
        let (others, half) = hooked.endpoints.split_at(ENDPOINTS / 2);
        if half_hangs {
            half.iter().for_each(Endpoint::hang);
        }
        let text = body(BODY_BYTES);
        let publisher = |_| hooked.topic.stamped_publisher(&text, hooked.begin);
        let clients = (0..PUBLISHERS).map(publisher).collect();
        let (_, outcome) = drive(clients, Pace::PerSecond(RATE), options.seconds * 2).await;
        Hooked::wait_for(others, outcome.flawless()?.messages).await?;
        let mut latencies = Histogram::new();
        for endpoint in others {
            latencies.merge(&endpoint.take_latencies());
        }
        *p99 = latencies.quantile_us(0.99) / 1e3;
    }
    let [none, half] = p99;
    board.value("p99 none", none);
    board.value("p99 half", half);
    board.value("p99 ratio", half / none);
    Ok(())
}
