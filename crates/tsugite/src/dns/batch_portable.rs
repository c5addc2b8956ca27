//! One datagram with one system call: for hosts that take no batches.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// Longest query; a longer one is cut and then refused, for it cannot be a question of ours.
const QUERY_BYTES: usize = 1280;

/// Where a query came from.
#[derive(Clone, Copy)]
pub(super) struct Peer(Option<SocketAddr>);

/// A query and its answer.
pub(super) struct Batch {
    query: [u8; QUERY_BYTES],
    length: usize,
    peer: Peer,
    reply: Vec<u8>,
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch {
            query: [0; QUERY_BYTES],
            length: 0,
            peer: Peer(None),
            reply: Vec::new(),
        }
    }

    /// Takes what has come, without waiting; answers how many. The reply is empty then.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.reply.clear();
        match socket.try_recv_from(&mut self.query) {
            Ok((length, client)) => {
                (self.length, self.peer) = (length, Peer(Some(client)));
                Ok(1)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The query, the way back, and the place for its answer, which stays empty if there is none.
    pub(super) fn query(&mut self, _: usize) -> (&[u8], &Peer, &mut Vec<u8>) {
        (&self.query[..self.length], &self.peer, &mut self.reply)
    }

    /// Sends the answer. One that cannot be sent is lost, as any datagram may be.
    pub(super) fn send(&self, socket: &UdpSocket) {
        if !self.reply.is_empty() {
            send_one(socket, &self.peer, &self.reply);
        }
    }
}

/// Sends one answer.
pub(super) fn send_one(socket: &UdpSocket, peer: &Peer, reply: &[u8]) {
    if let Some(client) = peer.0 {
        let _ = socket.try_send_to(reply, client);
    }
}

impl Peer {
    /// The client.
    pub(super) fn client(&self) -> Option<SocketAddr> {
        self.0
    }
}

/// The host chooses the address from which it answers.
pub(super) fn answer_from_the_same_address(_: &UdpSocket) -> io::Result<()> {
    Ok(())
}
