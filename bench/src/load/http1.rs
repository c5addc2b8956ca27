//! A bare HTTP/1.1 keep-alive client: one prepared request, written again and again.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Client;

/// One connection.
pub(crate) struct Http1 {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// Where a response lies in the buffer, and whether the connection ends with it.
struct Framing {
    body: usize,
    end: usize,
    closes: bool,
}

impl Http1 {
    pub(crate) fn new(address: SocketAddr) -> Http1 {
        Http1 {
            address,
            stream: None,
            buffer: Vec::with_capacity(1024),
        }
    }

    /// Opens the connection ahead of the first exchange.
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Sends `request` and returns the body of a 200 or 201; anything else is an error.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        let framing = match self.try_exchange(request).await {
            Ok(framing) => framing,
            Err(error) => {
                self.stream = None;
                return Err(error);
            }
        };
        if framing.closes {
            self.stream = None;
        }
        Ok(&self.buffer[framing.body..framing.end])
    }

    async fn try_exchange(&mut self, request: &[u8]) -> io::Result<Framing> {
        if self.stream.is_none() {
            self.connect().await?;
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(framing) = framing(&self.buffer)?
                && self.buffer.len() >= framing.end
            {
                return Ok(framing);
            }
        }
    }
}

/// Reads status and length once the head is complete.
fn framing(buffer: &[u8]) -> io::Result<Option<Framing>> {
    let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[..head]).map_err(|_| io::ErrorKind::InvalidData)?;
    if !text.starts_with("HTTP/1.1 200") && !text.starts_with("HTTP/1.1 201") {
        let message = String::from_utf8_lossy(&buffer[..buffer.len().min(400)]).into_owned();
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no Content-Length"))?;
    Ok(Some(Framing {
        body: head + 4,
        end: head + 4 + length,
        closes: text
            .lines()
            .any(|line| line.eq_ignore_ascii_case("connection: close")),
    }))
}

/// `GET /` with the Host that routes to the upstream.
pub(crate) struct Get {
    connection: Http1,
    request: Vec<u8>,
}

impl Get {
    pub(crate) fn new(address: SocketAddr, host: &str) -> Get {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\n\r\n");
        Get {
            connection: Http1::new(address),
            request: request.into_bytes(),
        }
    }
}

impl Client for Get {
    async fn call(&mut self) -> io::Result<u64> {
        let body = self.connection.exchange(&self.request).await?;
        if body.len() == crate::upstream::ANSWER_BYTES {
            Ok(1)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::framing;

    #[test]
    fn heads_are_read_in_any_case() {
        let found = framing(b"HTTP/1.1 200 OK\r\nCONTENT-length: 3\r\n\r\nabc")
            .unwrap()
            .unwrap();
        assert_eq!((found.body, found.end), (38, 41));
        assert!(!found.closes);
        let closing = framing(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert!(closing.unwrap().unwrap().closes);
        assert!(
            framing(b"HTTP/1.1 200 OK\r\nConte").unwrap().is_none(),
            "incomplete"
        );
        assert!(
            framing(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").is_err(),
            "not a success"
        );
        assert!(framing(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "no length");
    }
}
