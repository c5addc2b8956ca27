//! Serving one client connection, in HTTP/1.1 or HTTP/2, told apart by the first bytes.
//!
//! HTTP/2 is spoken with prior knowledge: a connection that begins with its preface is HTTP/2, any other is
//! HTTP/1.1. An `Upgrade: h2c` is not taken (RFC 9113 withdrew it); such a request is answered in HTTP/1.1.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::LocalExec;
use super::io::ClientIo;
use crate::body::Body;
use crate::clients::Client;
use crate::settings::Settings;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that an HTTP/2 client may send on one stream, and on the connection, before the endpoint has taken some.
const H2_WINDOW: u32 = 1024 * 1024;
/// Bytes of answers kept for one HTTP/2 stream whose client does not read.
const H2_SEND_BUFFER: usize = 64 * 1024;
/// HTTP/2 streams that a client may reset before we have looked at them (rapid reset, CVE-2023-44487).
const H2_PENDING_RESETS: usize = 20;
/// Streams that we may reset for a client's protocol errors before its connection is closed (CVE-2025-8671).
const H2_LOCAL_RESETS: usize = 1024;

/// The codecs with the operator's limits, made once for each core.
pub(crate) struct Codecs {
    h1: http1::Builder,
    h2: http2::Builder<LocalExec>,
}

impl Codecs {
    pub(crate) fn new(settings: &Settings) -> Codecs {
        let mut h1 = http1::Builder::new();
        // The sweeper of `clients` watches the time instead: hyper's timer would also run between requests.
        h1.header_read_timeout(None).max_buf_size(settings.header_bytes);
        let mut h2 = http2::Builder::new(LocalExec);
        h2.initial_stream_window_size(H2_WINDOW)
            .initial_connection_window_size(H2_WINDOW)
            .max_concurrent_streams(settings.h2_streams)
            .max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(H2_SEND_BUFFER)
            .max_pending_accept_reset_streams(H2_PENDING_RESETS)
            .max_local_error_reset_streams(H2_LOCAL_RESETS);
        Codecs { h1, h2 }
    }

    /// Serves the connection until it closes, passing each request to `handle`.
    pub(crate) async fn serve<H, F>(&self, mut tcp: TcpStream, client: &Client, handle: H) -> io::Result<()>
    where
        H: Fn(Request<Incoming>) -> F,
        F: Future<Output = Result<Response<Body>, Infallible>> + 'static,
    {
        // A connection that has not asked for anything has nothing to finish.
        let (is_h2, prefix) = tokio::select! {
            sniffed = sniff(&mut tcp) => sniffed?,
            () = poll_fn(|cx| if client.is_stopping(cx) { Poll::Ready(()) } else { Poll::Pending }) => return Ok(()),
        };
        let io = TokioIo::new(ClientIo::new(tcp, client.state.clone(), prefix, !is_h2));
        let service = hyper::service::service_fn(handle);
        let served = if is_h2 {
            drive(pin!(self.h2.serve_connection(io, service)), client).await
        } else {
            drive(
                pin!(self.h1.serve_connection(io, service).with_upgrades()),
                client,
            )
            .await
        };
        served.map_err(io::Error::other)
    }
}

/// Reads until the connection is known to begin with the HTTP/2 preface or not; returns the bytes read.
async fn sniff(tcp: &mut TcpStream) -> io::Result<(bool, Bytes)> {
    let mut start = [0; PREFACE.len()];
    let mut len = 0;
    while len < start.len() {
        let n = tcp.read(&mut start[len..]).await?;
        len += n;
        if n == 0 || start[..len] != PREFACE[..len] {
            return Ok((false, Bytes::copy_from_slice(&start[..len])));
        }
    }
    Ok((true, Bytes::from_static(PREFACE)))
}

trait Graceful: Future {
    fn finish(self: Pin<&mut Self>);
}

impl<S> Graceful for http1::UpgradeableConnection<TokioIo<ClientIo>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Graceful for http2::Connection<TokioIo<ClientIo>, S, LocalExec>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Future: 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Polls the connection; once the client is told to stop, the exchange in progress is its last (HTTP/1.1) or a
/// GOAWAY is sent (HTTP/2).
async fn drive<C: Graceful>(mut connection: Pin<&mut C>, client: &Client) -> C::Output {
    let mut told = false;
    poll_fn(|cx| {
        if !told && client.is_stopping(cx) {
            told = true;
            connection.as_mut().finish();
        }
        connection.as_mut().poll(cx)
    })
    .await
}
