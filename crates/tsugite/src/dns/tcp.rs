//! DNS over TCP (RFC 7766): any number of queries on a connection, answered in their order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

use tsugite_discovery::dns::{Client, MESSAGE_BYTES, Outcome, Scratch, answer};

use super::Dns;
use super::stats::Tally;

/// From one query of a connection to the end of the next (RFC 7766 section 6.2.3: of the order of seconds).
const IDLE: Duration = Duration::from_secs(10);
/// The same when connections are getting scarce.
const IDLE_CROWDED: Duration = Duration::from_secs(1);
/// How often a connection that waits looks whether they are.
const GLANCE: Duration = Duration::from_millis(500);
/// Longest query; a longer one cannot be a question of ours.
const QUERY_BYTES: usize = 4_096;
/// Answers to queries that came together are sent together up to here.
const TOGETHER_BYTES: usize = 16_384;
/// Pause after a failed accept, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn serve(listener: TcpListener, dns: Arc<Dns>) {
    loop {
        let Ok(place) = dns.connections.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, client)) => {
                let dns = dns.clone();
                tokio::task::spawn_local(async move {
                    // Whatever ends a connection early is the peer's affair.
                    let _ = converse(stream, client, &dns).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the DNS port cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, client: SocketAddr, dns: &Dns) -> std::io::Result<()> {
    let _ = stream.set_nodelay(true);
    let mut scratch = dns.scratch();
    let (mut input, mut reply, mut output) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let mut rest = input.as_slice();
        loop {
            let query = match first_message(rest) {
                First::Whole(query, after) => {
                    rest = after;
                    query
                }
                First::Part => break,
                First::TooLong => return Ok(()),
            };
            if !reply_to(query, client, dns, &mut scratch, &mut reply).await {
                return Ok(());
            }
            let length = u16::try_from(reply.len()).unwrap_or(u16::MAX);
            output.extend_from_slice(&length.to_be_bytes());
            output.extend_from_slice(&reply);
            if output.len() > TOGETHER_BYTES {
                send(&mut stream, &mut output).await?;
            }
        }
        let left = rest.len();
        input.drain(..input.len() - left);
        send(&mut stream, &mut output).await?;
        if !read_more(&mut stream, &mut input, dns).await? {
            return Ok(());
        }
    }
}

/// Puts the answer into `reply`; false if the query deserves none.
async fn reply_to(
    query: &[u8],
    from: SocketAddr,
    dns: &Dns,
    scratch: &mut Scratch,
    reply: &mut Vec<u8>,
) -> bool {
    let client = Client {
        over_tcp: true,
        may_recurse: dns.may_recurse(from.ip()),
    };
    let outcome = {
        let (snapshot, settings) = (dns.snapshot.load(), dns.settings.load());
        answer(query, &snapshot, &settings, client, scratch, reply)
    };
    let mut tally = Tally {
        over_tcp: 1,
        ..Tally::default()
    };
    if outcome == Outcome::Foreign
        && let Some(forwarder) = &dns.forwarder
        && let Some(place) = forwarder.place()
    {
        tally.forwarded = 1;
        if let Some(heard) = forwarder.ask(place, query, MESSAGE_BYTES).await {
            *reply = heard;
        }
    }
    if outcome != Outcome::Ignored {
        tally.answer(reply);
    }
    dns.stats.add(&mut tally);
    outcome != Outcome::Ignored
}

/// Whoever does not take its answers is not waited for.
async fn send(stream: &mut TcpStream, output: &mut Vec<u8>) -> std::io::Result<()> {
    if !output.is_empty() {
        timeout(IDLE, stream.write_all(output)).await??;
        output.clear();
        output.shrink_to(TOGETHER_BYTES);
    }
    Ok(())
}

enum First<'a> {
    Whole(&'a [u8], &'a [u8]),
    Part,
    TooLong,
}

fn first_message(input: &[u8]) -> First<'_> {
    let Some((length, rest)) = input.split_first_chunk::<2>() else {
        return First::Part;
    };
    let length = usize::from(u16::from_be_bytes(*length));
    match rest.split_at_checked(length) {
        _ if length > QUERY_BYTES => First::TooLong,
        Some((query, after)) => First::Whole(query, after),
        None => First::Part,
    }
}

/// Reads until there is at least one whole message; false at the end of the connection, and of our patience.
async fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>, dns: &Dns) -> std::io::Result<bool> {
    let begin = Instant::now();
    loop {
        let idle = if dns.is_crowded() { IDLE_CROWDED } else { IDLE };
        let end = begin + idle;
        if Instant::now() >= end {
            return Ok(false);
        }
        input.reserve(QUERY_BYTES + 2);
        match timeout_at(end.min(Instant::now() + GLANCE), stream.read_buf(input)).await {
            Err(_) => {}
            Ok(read) => {
                if read? == 0 {
                    return Ok(false);
                }
                if !matches!(first_message(input), First::Part) {
                    return Ok(true);
                }
            }
        }
    }
}
