//! From a registration to the moment at which each interface shows it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::discover::discover;
use super::stage::admin;
use crate::Result;
use crate::board::{Board, Goal};
use crate::gateway::start_upstream;
use crate::histogram::Histogram;
use crate::load::http1::Http1;
use crate::servers::Tsugite;

/// Registrations that are timed.
const TIMES: usize = 300;
/// Services that are there already.
const SERVICES: usize = 1_000;
/// Between two looks: how exact the figures are.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
/// Longest that one may stay invisible.
const LIMIT: Duration = Duration::from_secs(5);

/// The interfaces, and the names of their figures.
const INTERFACES: [(&str, &str); 4] = [
    ("admin API", "visible admin"),
    ("DiscoverInstances", "visible discover"),
    ("DNS", "visible dns"),
    ("gateway", "visible gateway"),
];

pub(super) async fn run(board: &mut Board) -> Result<()> {
    let (upstream, _process) = start_upstream()?;
    let tsugite = Tsugite::start()?;
    let port = tsugite.role("admin")?;
    let mut registrar = Http1::new(port);
    for number in 0..SERVICES {
        let body = format!(
            r#"{{"address": "127.0.0.1", "port": {}, "ttl_ms": 0}}"#,
            1024 + number
        );
        let path = format!("/v1/instances/bench.internal/there-{number}/one");
        registrar.exchange(&admin(port, "PUT", &path, &body)).await?;
    }
    let mut seen: [Histogram; 4] = std::array::from_fn(|_| Histogram::new());
    for number in 0..TIMES {
        let service = format!("new-{number}");
        let path = format!("/v1/instances/bench.internal/{service}/one");
        let body = format!(
            r#"{{"address": "127.0.0.1", "port": {}, "ttl_ms": 0}}"#,
            upstream.http1
        );
        registrar.exchange(&admin(port, "PUT", &path, &body)).await?;
        let from = Instant::now();
        let (a, b, c, d) = tokio::join!(
            in_admin(port, &service, from),
            in_discover(tsugite.server.address, &service, from),
            in_dns(tsugite.role("dns")?, &service, from),
            on_gateway(tsugite.role("gateway")?, &service, from),
        );
        for (histogram, took) in seen.iter_mut().zip([a?, b?, c?, d?]) {
            histogram.record(took);
        }
    }
    for ((_, name), histogram) in INTERFACES.into_iter().zip(&seen) {
        board.value(name, histogram.quantile_us(0.99) / 1e3);
    }
    Ok(())
}

/// Asks again until the answer is a 200; when that was.
async fn until_answered(address: SocketAddr, request: Vec<u8>, from: Instant) -> Result<Duration> {
    let mut connection = Http1::new(address);
    loop {
        if connection.exchange(&request).await.is_ok() {
            return Ok(from.elapsed());
        }
        // Who asks without a pause takes the processor from those who have to make it visible.
        tokio::time::sleep(BETWEEN_LOOKS).await;
        if from.elapsed() > LIMIT {
            return Err(format!("not visible on {address} after {LIMIT:?}").into());
        }
    }
}

async fn in_admin(address: SocketAddr, service: &str, from: Instant) -> Result<Duration> {
    let path = format!("/v1/instances/bench.internal/{service}/one");
    until_answered(address, admin(address, "GET", &path, ""), from).await
}

async fn in_discover(address: SocketAddr, service: &str, from: Instant) -> Result<Duration> {
    until_answered(address, discover(address, service, 10), from).await
}

async fn on_gateway(address: SocketAddr, service: &str, from: Instant) -> Result<Duration> {
    let request = format!("GET / HTTP/1.1\r\nHost: {service}.bench.internal\r\n\r\n");
    until_answered(address, request.into_bytes(), from).await
}

async fn in_dns(address: SocketAddr, service: &str, from: Instant) -> Result<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(address).await?;
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in service.split('.').chain(["bench", "internal"]) {
        query.push(u8::try_from(label.len())?);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let mut answer = [0; 1500];
    while from.elapsed() < LIMIT {
        socket.send(&query).await?;
        let length = tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut answer)).await??;
        // The number of answers.
        if length > 8 && answer[7] > 0 {
            return Ok(from.elapsed());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(format!("{service} is not in DNS after {LIMIT:?}").into())
}

pub(super) fn goals(board: &Board) -> Vec<Goal> {
    let goal = |(interface, name): (&str, &str)| {
        let line = format!("registered to visible: {interface}");
        Goal::at_most(&line, "p99 after the answer, ms", board.named(name), 10.0, 2)
    };
    INTERFACES.into_iter().map(goal).collect()
}
