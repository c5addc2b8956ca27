//! `DiscoverInstances` of a service with ten instances, beside nginx that answers a constant of the same size.

use serde_json::json;

use super::CONNECTIONS;
use super::stage::{Calls, measure, namespace, operation, registration, services};
use crate::board::{Board, Goal, over};
use crate::load::http1::Http1;
use crate::peers::{fill, home};
use crate::process::{Process, free_port};
use crate::servers::{Peer, Tsugite};
use crate::{Options, Result};

const DISCOVER: &str = "DiscoverInstances, 10 instances";
const INSTANCES: usize = 10;

pub(super) async fn run(options: &Options, board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    let address = tsugite.server.address;
    let space = namespace(&tsugite, "bench.internal").await?;
    let ids = services(&tsugite, &space, "orders", 1).await?;
    let mut connection = Http1::new(address);
    for number in 0..INSTANCES {
        connection
            .exchange(&registration(address, &ids[0], number))
            .await?;
    }
    let request = discover(address, "orders-0", 100);
    let answer = connection.exchange(&request).await?.to_vec();
    let clients = (0..CONNECTIONS).map(|_| repeated(address, &request));
    let measured = measure(&tsugite.server.process, options.seconds, clients.collect()).await?;
    board.work(DISCOVER, "tsugite", measured);
    board.value("discover per core", 1e6 / measured[1]);
    drop(tsugite);
    if !options.takes("nginx") {
        return Ok(());
    }
    if let Some(why) = Peer::Nginx.missing() {
        board.skipped("nginx", &why);
        return Ok(());
    }
    let (nginx, address) = constant(&String::from_utf8(answer)?)?;
    let clients = (0..CONNECTIONS).map(|_| repeated(address, &request));
    let measured = measure(&nginx, options.seconds, clients.collect()).await?;
    board.work(DISCOVER, "nginx", measured);
    Ok(())
}

/// A `DiscoverInstances` of a service of the scenarios' namespace.
pub(super) fn discover(address: std::net::SocketAddr, service: &str, results: usize) -> Vec<u8> {
    let input = json!({
        "NamespaceName": "bench.internal", "ServiceName": service, "MaxResults": results,
    });
    operation(address, "DiscoverInstances", &input)
}

/// A client that makes the same request again and again.
pub(super) fn repeated(
    address: std::net::SocketAddr,
    request: &[u8],
) -> Calls<impl FnMut() -> Option<Vec<u8>> + use<>> {
    let request = request.to_vec();
    Calls::new(address, move || Some(request.clone()))
}

/// nginx that answers everything with `body`.
fn constant(body: &str) -> Result<(Process, std::net::SocketAddr)> {
    let (home, port) = (home("nginx-registry")?, free_port()?);
    let values = [
        ("PORT", port.to_string()),
        ("HOME", home.display().to_string()),
        // In nginx's configuration a dollar sign begins a variable; there is none in the answer.
        ("BODY", body.replace('\'', "\\'")),
    ];
    let config = fill("nginx-registry.conf", &home, &values)?;
    let (log, address) = (home.join("log"), ([127, 0, 0, 1], port).into());
    let mut command = std::process::Command::new("nginx");
    command.arg("-p").arg(&home).arg("-c").arg(config);
    let mut process = Process::start("nginx", &mut command, &log)?;
    process.wait_for(address, &log)?;
    Ok((process, address))
}

pub(super) fn goals(board: &Board) -> Vec<Goal> {
    let ours = board.rate(DISCOVER, "tsugite");
    let ratio = over(&ours, &board.rate(DISCOVER, "nginx"));
    let per_core = board.named("discover per core");
    // Either is enough.
    let mut best = ratio.clone();
    for (round, share) in &mut best {
        let cores = per_core.get(round).map_or(0.0, |rate| rate / 40_000.0);
        *share = cores.max(*share / 0.6);
    }
    vec![
        Goal::at_least(
            DISCOVER,
            "calls per second of processor time",
            per_core,
            f64::NAN,
            0,
        ),
        Goal::at_least(DISCOVER, "÷ nginx with a constant", ratio, f64::NAN, 2),
        Goal::at_least(
            DISCOVER,
            "the better of: ÷ 40,000 per second of processor time, ÷ 0.6 of nginx",
            best,
            1.0,
            2,
        ),
    ]
}
