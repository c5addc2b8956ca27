//! A bare AMQP 0-9-1 publisher: persistent messages to a quorum queue, one at a time, each with its confirm.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Client;

const QUEUE: &str = "bench";
const FRAME_END: u8 = 0xCE;
/// Frame types.
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// A method: its class and its number in it (AMQP 0-9-1, section 1.2 of the reference; confirms are RabbitMQ's).
type Method = (u16, u16);
const START: Method = (10, 10);
const START_OK: Method = (10, 11);
const TUNE: Method = (10, 30);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const OPEN_OK: Method = (10, 41);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const QUEUE_DECLARE: Method = (50, 10);
const QUEUE_DECLARE_OK: Method = (50, 11);
const PUBLISH: Method = (60, 40);
const ACK: Method = (60, 80);
const CONFIRM_SELECT: Method = (85, 10);
const CONFIRM_SELECT_OK: Method = (85, 11);

/// One connection with one channel.
pub(crate) struct Publish {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    publish: Vec<u8>,
}

impl Publish {
    pub(crate) fn new(address: SocketAddr, body: &[u8]) -> Publish {
        Publish {
            address,
            stream: None,
            publish: publish(body),
        }
    }
}

/// Declares the queue and waits until it takes a message: a quorum queue refuses them until it has a leader.
pub(crate) async fn prepare(address: SocketAddr) -> io::Result<()> {
    let mut client = Publish::new(address, b"first");
    let mut outcome = client.call().await;
    for _ in 0..100 {
        if outcome.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        outcome = client.call().await;
    }
    outcome.map(drop)
}

impl Client for Publish {
    async fn call(&mut self) -> io::Result<u64> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address).await?,
        };
        stream.get_mut().write_all(&self.publish).await?;
        expect(&mut stream, ACK).await?;
        self.stream = Some(stream);
        Ok(1)
    }
}

/// Signs in as the guest that RabbitMQ lets in from loopback, declares the queue and asks for confirms.
async fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"AMQP\x00\x00\x09\x01").await?;
    expect(&mut stream, START).await?;
    let mut start = BytesMut::new();
    start.put_u32(0); // No client properties.
    short(&mut start, "PLAIN");
    long(&mut start, b"\0guest\0guest");
    short(&mut start, "en_US");
    send(&mut stream, 0, START_OK, &start).await?;
    // Channels, frame size and heartbeat: the server's proposal, without heartbeats.
    let tune = expect(&mut stream, TUNE).await?;
    let mut tuned = BytesMut::from(tune.get(..6).ok_or(io::ErrorKind::InvalidData)?);
    tuned.put_u16(0);
    send(&mut stream, 0, TUNE_OK, &tuned).await?;
    let mut open = BytesMut::new();
    short(&mut open, "/");
    open.put_u16(0);
    call(&mut stream, 0, (OPEN, OPEN_OK), &open).await?;
    call(&mut stream, 1, (CHANNEL_OPEN, CHANNEL_OPEN_OK), &[0]).await?;
    let mut declare = BytesMut::new();
    declare.put_u16(0);
    short(&mut declare, QUEUE);
    declare.put_u8(0b0000_0010); // Durable.
    let mut arguments = BytesMut::new();
    short(&mut arguments, "x-queue-type");
    arguments.put_u8(b'S');
    long(&mut arguments, b"quorum");
    long(&mut declare, &arguments);
    call(&mut stream, 1, (QUEUE_DECLARE, QUEUE_DECLARE_OK), &declare).await?;
    call(&mut stream, 1, (CONFIRM_SELECT, CONFIRM_SELECT_OK), &[0]).await?;
    Ok(stream)
}

/// The three frames of one message to the queue through the default exchange.
fn publish(body: &[u8]) -> Vec<u8> {
    let mut arguments = BytesMut::new();
    arguments.put_u16(0);
    short(&mut arguments, "");
    short(&mut arguments, QUEUE);
    arguments.put_u8(0);
    let mut header = BytesMut::new();
    header.put_u16(PUBLISH.0);
    header.put_u16(0);
    header.put_u64(body.len() as u64);
    header.put_u16(0x1000); // Only the delivery mode follows:
    header.put_u8(2); // persistent.
    [
        frame(METHOD, 1, &method(PUBLISH, &arguments)),
        frame(HEADER, 1, &header),
        frame(BODY, 1, body),
    ]
    .concat()
}

async fn call(
    stream: &mut BufReader<TcpStream>,
    channel: u16,
    (ask, answer): (Method, Method),
    arguments: &[u8],
) -> io::Result<Vec<u8>> {
    send(stream, channel, ask, arguments).await?;
    expect(stream, answer).await
}

async fn send(
    stream: &mut BufReader<TcpStream>,
    channel: u16,
    ask: Method,
    arguments: &[u8],
) -> io::Result<()> {
    let frame = frame(METHOD, channel, &method(ask, arguments));
    stream.get_mut().write_all(&frame).await
}

/// The arguments of the next method, which must be `wanted`.
async fn expect(stream: &mut BufReader<TcpStream>, wanted: Method) -> io::Result<Vec<u8>> {
    loop {
        let kind = stream.read_u8().await?;
        stream.read_u16().await?;
        let length = stream.read_u32().await? as usize;
        let mut payload = vec![0; length + 1];
        stream.read_exact(&mut payload).await?;
        if payload.pop() != Some(FRAME_END) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if kind == HEARTBEAT {
            continue;
        }
        return match payload.strip_prefix(method(wanted, &[]).as_slice()) {
            Some(arguments) if kind == METHOD => Ok(arguments.to_vec()),
            _ => {
                let text = String::from_utf8_lossy(&payload).into_owned();
                Err(io::Error::other(format!("not the method {wanted:?}: {text}")))
            }
        };
    }
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::with_capacity(payload.len() + 8);
    frame.put_u8(kind);
    frame.put_u16(channel);
    frame.put_u32(payload.len() as u32);
    frame.put_slice(payload);
    frame.put_u8(FRAME_END);
    frame.to_vec()
}

fn method((class, number): Method, arguments: &[u8]) -> Vec<u8> {
    let mut payload = BytesMut::new();
    payload.put_u16(class);
    payload.put_u16(number);
    payload.put_slice(arguments);
    payload.to_vec()
}

/// A string of at most 255 bytes.
fn short(into: &mut BytesMut, text: &str) {
    into.put_u8(text.len() as u8);
    into.put_slice(text.as_bytes());
}

/// Bytes, or a table's fields, with a length of four bytes.
fn long(into: &mut BytesMut, bytes: &[u8]) {
    into.put_u32(bytes.len() as u32);
    into.put_slice(bytes);
}
