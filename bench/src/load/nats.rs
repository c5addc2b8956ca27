//! A bare client of NATS's text protocol: publishes to a JetStream stream and waits for its acknowledgement.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Client;

const SUBJECT: &str = "bench";

/// One connection.
pub(crate) struct Publish {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    inbox: String,
    publish: Vec<u8>,
}

impl Publish {
    /// `number` tells the inboxes of the clients apart.
    pub(crate) fn new(address: SocketAddr, body: &[u8], number: usize) -> Publish {
        let inbox = format!("_INBOX.{number}");
        let mut publish = format!("PUB {SUBJECT} {inbox} {}\r\n", body.len()).into_bytes();
        publish.extend_from_slice(body);
        publish.extend_from_slice(b"\r\n");
        Publish {
            address,
            stream: None,
            inbox,
            publish,
        }
    }

    /// Makes the stream that keeps what is published.
    pub(crate) async fn create_stream(address: SocketAddr) -> io::Result<()> {
        let mut client = Publish::new(address, b"", 1_000_000);
        let settings = format!(
            r#"{{"name":"{SUBJECT}","subjects":["{SUBJECT}"],"storage":"file","retention":"limits"}}"#
        );
        let request = format!(
            "PUB $JS.API.STREAM.CREATE.{SUBJECT} {} {}\r\n{settings}\r\n",
            client.inbox,
            settings.len()
        );
        client.publish = request.into_bytes();
        let answer = client.request().await?;
        if answer.contains("\"error\"") {
            return Err(io::Error::other(answer));
        }
        Ok(())
    }

    async fn request(&mut self) -> io::Result<String> {
        if self.stream.is_none() {
            self.stream = Some(connect(self.address, &self.inbox).await?);
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let outcome = exchange(stream, &self.publish).await;
        if outcome.is_err() {
            self.stream = None;
        }
        outcome
    }
}

impl Client for Publish {
    async fn call(&mut self) -> io::Result<u64> {
        let answer = self.request().await?;
        if answer.contains("\"seq\":") && !answer.contains("\"error\"") {
            Ok(1)
        } else {
            Err(io::Error::other(answer))
        }
    }
}

async fn connect(address: SocketAddr, inbox: &str) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut information = String::new();
    stream.read_line(&mut information).await?;
    let hello = format!("CONNECT {{\"verbose\":false}}\r\nSUB {inbox} 1\r\n");
    stream.get_mut().write_all(hello.as_bytes()).await?;
    Ok(stream)
}

/// Writes a request and returns the payload of the next message.
async fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) -> io::Result<String> {
    stream.get_mut().write_all(request).await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with("PING") {
            stream.get_mut().write_all(b"PONG\r\n").await?;
        } else if line.starts_with("MSG") {
            break;
        } else if line.starts_with("-ERR") {
            return Err(io::Error::other(line));
        }
    }
    let length = line
        .split_whitespace()
        .next_back()
        .and_then(|length| length.parse::<usize>().ok());
    let length = length.ok_or_else(|| io::Error::other(line.clone()))?;
    let mut payload = vec![0; length + 2];
    stream.read_exact(&mut payload).await?;
    payload.truncate(length);
    String::from_utf8(payload).map_err(|_| io::ErrorKind::InvalidData.into())
}
