//! Thousands of filter policies on one topic, of which each message matches one.

use std::cell::Cell;
use std::rc::Rc;

use super::goals::{FEW_POLICIES, MANY_POLICIES, PEER_POLICIES};
use super::stage::Stage;
use super::{BODY_BYTES, PEERS, body};
use crate::board::Board;
use crate::servers::Tsugite;
use crate::{Options, Result};

/// As AWS allows at most; so many are asked of the peers too.
const OF_AWS: usize = 200;

pub(super) async fn run(options: &Options, board: &mut Board) -> Result<()> {
    let (text, length) = (body(BODY_BYTES), options.seconds);
    for (what, policies) in [
        (FEW_POLICIES, 10),
        (PEER_POLICIES, OF_AWS),
        (MANY_POLICIES, 10_000),
    ] {
        let tsugite = Tsugite::start()?;
        let stage = Stage::set(tsugite.server.address, "bench", policies, policy).await?;
        let turn = Rc::new(Cell::new(0));
        let make = |_| stage.topic.attribute_publisher(&text, policies as u64, &turn);
        let measured = stage.measure(&tsugite.server.process, length, 1, make).await?;
        board.work(what, "tsugite", measured);
    }
    for peer in PEERS.iter().filter(|peer| options.takes(peer.name())) {
        if peer.missing().is_some() {
            continue; // The fan-out said so.
        }
        eprintln!("  {}", peer.title());
        let measured = async {
            let server = peer.start()?;
            let stage = Stage::set(server.address, "bench", OF_AWS, policy).await?;
            let turn = Rc::new(Cell::new(0));
            let make = |_| stage.topic.attribute_publisher(&text, OF_AWS as u64, &turn);
            stage.measure(&server.process, length, 1, make).await
        };
        match measured.await {
            Ok(measured) => board.work(PEER_POLICIES, peer.title(), measured),
            Err(error) => board.failed(peer.title(), &*error),
        }
    }
    Ok(())
}

/// The policy of a queue: its own `kind` exactly, and a `price` within bounds that every message is within.
fn policy(number: usize) -> Vec<(&'static str, String)> {
    let low = number % 50;
    let policy = format!(r#"{{"kind":["{number:08}"],"price":[{{"numeric":[">=",{low},"<",1000]}}]}}"#);
    vec![("FilterPolicy", policy)]
}
