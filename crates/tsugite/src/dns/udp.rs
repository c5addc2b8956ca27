//! DNS over UDP: as many queries as have come are answered from one snapshot.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tsugite_discovery::dns::{Client, Outcome, Query, Scratch, Settings, Snapshot, Verdict, answer, relay};

use super::Dns;
use super::batch::{Batch, Peer, answer_from_the_same_address, send_one};
use super::forward::Forwarder;
use super::stats::Tally;

/// Pause after an error that says nothing of a query.
const PAUSE: Duration = Duration::from_millis(1);

/// One worker's socket.
struct Door {
    socket: Rc<UdpSocket>,
    dns: Arc<Dns>,
    scratch: Scratch,
    tally: Tally,
}

pub(super) async fn serve(socket: UdpSocket, dns: Arc<Dns>) {
    let listens_everywhere = socket.local_addr().is_ok_and(|at| at.ip().is_unspecified());
    if listens_everywhere && let Err(error) = answer_from_the_same_address(&socket) {
        tracing::warn!(%error, "a host with several addresses may answer DNS queries from the wrong one");
    }
    let mut door = Door {
        socket: Rc::new(socket),
        scratch: dns.scratch(),
        tally: Tally::default(),
        dns,
    };
    let mut batch = Batch::new();
    loop {
        let ready = door.socket.readable().await;
        match ready.and_then(|()| batch.receive(&door.socket)) {
            Ok(count) => {
                door.answer_all(&mut batch, count);
                batch.send(&door.socket);
                door.dns.stats.add(&mut door.tally);
            }
            // Those of earlier answers (a port that closed) concern nobody here.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

impl Door {
    fn answer_all(&mut self, batch: &mut Batch, count: usize) {
        let dns = self.dns.clone();
        let (snapshot, settings) = (dns.snapshot.load(), dns.settings.load());
        for at in 0..count {
            let (query, peer, reply) = batch.query(at);
            let Some(client) = peer.client().filter(|client| !is_reserved(*client)) else {
                continue;
            };
            self.answer(&snapshot, &settings, client, peer, query, reply);
            self.tally.answer(reply);
        }
    }

    fn answer(
        &mut self,
        snapshot: &Snapshot,
        settings: &Settings,
        from: SocketAddr,
        peer: &Peer,
        query: &[u8],
        reply: &mut Vec<u8>,
    ) {
        let client = Client {
            over_tcp: false,
            may_recurse: self.dns.may_recurse(from.ip()),
        };
        match answer(query, snapshot, settings, client, &mut self.scratch, reply) {
            Outcome::Ignored => {}
            Outcome::Answered(subject) => match self.dns.limit(from.ip(), subject, &mut self.scratch) {
                Verdict::Send => {}
                Verdict::Slip => {
                    relay::slip(reply, query);
                    self.tally.withheld += 1;
                }
                Verdict::Drop => {
                    reply.clear();
                    self.tally.withheld += 1;
                }
            },
            Outcome::Foreign => {
                if let Some(forwarder) = &self.dns.forwarder {
                    self.forward(forwarder.clone(), peer, query, reply, settings.udp_size);
                }
            }
        }
    }

    /// Leaves the answer to others, unless too many wait for them already.
    fn forward(
        &mut self,
        forwarder: Arc<Forwarder>,
        peer: &Peer,
        query: &[u8],
        failure: &mut Vec<u8>,
        most: u16,
    ) {
        let Some(place) = forwarder.place() else { return };
        self.tally.forwarded += 1;
        let (query, failure) = (query.to_vec(), std::mem::take(failure));
        let (peer, socket, dns) = (*peer, self.socket.clone(), self.dns.clone());
        tokio::task::spawn_local(async move {
            let limit = Query::parse(&query).map_or(0, |query| query.udp_limit(most));
            let reply = forwarder.ask(place, &query, limit).await.unwrap_or(failure);
            let mut tally = Tally::default();
            tally.answer(&reply);
            dns.stats.add(&mut tally);
            send_one(&socket, &peer, &reply);
        });
    }
}

/// Ports of services that answer whatever they get: a forged query from there would start a loop.
fn is_reserved(client: SocketAddr) -> bool {
    matches!(client.port(), 0 | 7 | 13 | 17 | 19 | 37)
}
