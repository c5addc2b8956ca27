//! Endpoints that take what topics post: part of the load generator, on its one thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::histogram::Histogram;
use crate::load::sns::{STAMP, between};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What one endpoint does and has seen.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    seen: Rc<Seen>,
}

struct Seen {
    /// Does not answer notifications.
    hangs: Cell<bool>,
    notifications: Cell<u64>,
    /// From when a message was sent off, as its stamp says, to when it was here.
    latencies: RefCell<Histogram>,
    /// When stamps count from.
    begin: Instant,
    tokens: mpsc::UnboundedSender<String>,
}

impl Endpoint {
    /// Listens on a port of its own. Tokens to confirm with go to `tokens`; stamps count from `begin`.
    pub(super) async fn listen(
        begin: Instant,
        tokens: mpsc::UnboundedSender<String>,
    ) -> io::Result<Endpoint> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let seen = Rc::new(Seen {
            hangs: Cell::new(false),
            notifications: Cell::new(0),
            latencies: RefCell::new(Histogram::new()),
            begin,
            tokens,
        });
        let endpoint = Endpoint {
            address: listener.local_addr()?,
            seen: Rc::clone(&seen),
        };
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Rc::clone(&seen);
                // A connection that breaks is the sender's to notice.
                tokio::task::spawn_local(async move { seen.serve(stream).await.ok() });
            }
        });
        Ok(endpoint)
    }

    pub(super) fn hang(&self) {
        self.seen.hangs.set(true);
    }

    pub(super) fn notifications(&self) -> u64 {
        self.seen.notifications.get()
    }

    /// The latencies since the last call.
    pub(super) fn take_latencies(&self) -> Histogram {
        self.seen.latencies.replace(Histogram::new())
    }
}

impl Seen {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(4096);
        loop {
            let Some((body, end)) = request(&buffer)? else {
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let text = std::str::from_utf8(&buffer[body..end]).map_err(|_| io::ErrorKind::InvalidData)?;
            if text.contains("\"Type\":\"SubscriptionConfirmation\"")
                || text.contains("\"SubscriptionConfirmation\"")
            {
                let message: serde_json::Value = serde_json::from_str(text)?;
                let token = message["Token"].as_str().unwrap_or_default().to_owned();
                // The scenario may be over.
                self.tokens.send(token).ok();
            } else {
                if self.hangs.get() {
                    std::future::pending::<()>().await;
                }
                self.notifications.set(self.notifications.get() + 1);
                self.note(text);
            }
            stream.write_all(ANSWER).await?;
            buffer.drain(..end);
        }
    }

    fn note(&self, text: &str) {
        let stamp = between(text, STAMP, "!")
            .ok()
            .and_then(|micros| micros.parse().ok());
        if let Some(sent) = stamp.map(std::time::Duration::from_micros)
            && let Some(took) = self.begin.elapsed().checked_sub(sent)
        {
            self.latencies.borrow_mut().record(took);
        }
    }
}

/// Where the body of the first request lies and ends, once all of it is there.
fn request(buffer: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[..head]).map_err(|_| io::ErrorKind::InvalidData)?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no Content-Length"))?;
    let (body, end) = (head + 4, head + 4 + length);
    Ok((buffer.len() >= end).then_some((body, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_at_their_length() {
        let text = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcPOST";
        assert_eq!(request(text).unwrap(), Some((38, 41)));
        assert_eq!(request(&text[..40]).unwrap(), None);
        assert!(request(b"POST / HTTP/1.1\r\n\r\n").is_err());
    }
}
