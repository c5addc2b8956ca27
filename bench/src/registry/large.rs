//! A million instances, and a hundred thousand in one service: memory, restart, and how fast one is found.

use std::time::Instant;

use serde_json::{Value, json};

use super::discover::{discover, repeated};
use super::stage::{all, call, measure, namespace, operation, registration, services};
use crate::board::{Board, Goal};
use crate::load::http1::Http1;
use crate::servers::Tsugite;
use crate::{Options, Result};

const SERVICES: usize = 10_000;
const INSTANCES: usize = 1_000_000;
/// Requests that are made before the next ones are written down: bounds the memory of the load generator.
const AT_ONCE: usize = 50_000;
const IN_ONE: usize = 100_000;
const FIND: &str = "DiscoverInstances, 100 of 100,000 in one service";

/// A million instances in ten thousand services.
pub(super) async fn million(board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    let address = tsugite.server.address;
    let space = namespace(&tsugite, "bench.internal").await?;
    let ids = services(&tsugite, &space, "orders", SERVICES).await?;
    let begin = Instant::now();
    for from in (0..INSTANCES).step_by(AT_ONCE) {
        let some = from..(from + AT_ONCE).min(INSTANCES);
        let requests = some.map(|number| registration(address, &ids[number % SERVICES], number));
        all(address, requests.collect()).await?;
    }
    board.value("million loaded", INSTANCES as f64 / begin.elapsed().as_secs_f64());
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    board.value("million RSS", tsugite.server.process.rss_mb());
    let tsugite = tsugite.kill_and_start()?;
    board.value("million ready", tsugite.started_in.as_secs_f64());
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    board.value("million RSS again", tsugite.server.process.rss_mb());
    Ok(())
}

/// A hundred thousand instances in one service.
pub(super) async fn one_service(options: &Options, board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    let address = tsugite.server.address;
    let space = namespace(&tsugite, "bench.internal").await?;
    let ids = services(&tsugite, &space, "crowd", 1).await?;
    let requests = (0..IN_ONE).map(|number| registration(address, &ids[0], number));
    all(address, requests.collect()).await?;
    let request = discover(address, "crowd-0", 100);
    let clients = (0..4).map(|_| repeated(address, &request));
    let measured = measure(&tsugite.server.process, options.seconds, clients.collect()).await?;
    board.work(FIND, "tsugite", measured);
    board.value("crowd p99", measured[3] / 1e3);
    board.value("crowd pages", pages(address, &ids[0]).await?);
    Ok(())
}

/// Seconds that all pages of `ListInstances` take, which must hold every instance once.
async fn pages(address: std::net::SocketAddr, service: &str) -> Result<f64> {
    let begin = Instant::now();
    let (mut connection, mut seen, mut token) = (Http1::new(address), 0, Value::Null);
    loop {
        let mut input = json!({ "ServiceId": service, "MaxResults": 100 });
        if token.is_string() {
            input["NextToken"] = token;
        }
        let page = call(&mut connection, &operation(address, "ListInstances", &input)).await?;
        seen += page["Instances"].as_array().map_or(0, Vec::len);
        token = page["NextToken"].clone();
        if !token.is_string() {
            break;
        }
    }
    match seen {
        IN_ONE => Ok(begin.elapsed().as_secs_f64()),
        _ => Err(format!("{seen} instances are listed instead of {IN_ONE}").into()),
    }
}

pub(super) fn goals(board: &Board) -> Vec<Goal> {
    let named = |name| board.named(name);
    let million = "1,000,000 instances in 10,000 services";
    let crowd = "100,000 instances in one service";
    vec![
        Goal::at_most(million, "RSS MB after loading", named("million RSS"), 1024.0, 0),
        Goal::at_most(
            million,
            "RSS MB after a restart",
            named("million RSS again"),
            1024.0,
            0,
        ),
        Goal::at_most(
            million,
            "kill -9 to ready file, s",
            named("million ready"),
            10.0,
            2,
        ),
        Goal::at_least(
            million,
            "registrations/s while loading",
            named("million loaded"),
            f64::NAN,
            0,
        ),
        Goal::at_most(
            crowd,
            "DiscoverInstances of 100, p99 ms",
            named("crowd p99"),
            5.0,
            2,
        ),
        Goal::at_most(
            crowd,
            "ListInstances, 1,000 pages of 100, s",
            named("crowd pages"),
            f64::NAN,
            2,
        ),
    ]
}
