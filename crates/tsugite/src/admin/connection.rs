//! Connections of the admin port: HTTP/1.1 or HTTP/2, with bounds on their number, their heads and their patience.

use std::convert::Infallible;
use std::io::{Error, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tsugite_base::limits;

use super::{Admin, Store};

/// From the first byte of a head to its last, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// For a peer that does not read what it asked for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two pings of HTTP/2, and for their answers.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// At the same time, beside those of watchers; above it the kernel queues.
const CONNECTIONS: usize = 512;
/// Requests at the same time on one connection of HTTP/2.
const STREAMS: u32 = 256;
/// Pause after a failed accept, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How a connection of HTTP/2 begins. No method of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a preface that comes in pieces.
const PIECE: Duration = Duration::from_millis(5);

/// Accepts connections until `stop` turns true, then lets the requests under way finish. Drop the future to
/// cut what does not finish in time.
pub async fn serve<S: Store>(listener: TcpListener, admin: Arc<Admin<S>>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS + admin.hub.limit()));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let serving = one(stream, admin.clone(), stop.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn one<S: Store>(stream: TcpStream, admin: Arc<Admin<S>>, stop: watch::Receiver<bool>) {
    let Ok(Ok(is_http2)) = timeout(HEAD_TIMEOUT, begins_http2(&stream)).await else {
        return; // It left, or never said anything.
    };
    // Events are small and should not wait for one another; if it fails they do.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Patient {
        stream,
        stalled: None,
    });
    let calls = service_fn(move |request| {
        // In a box, so that a connection that waits is no larger than what it waits for.
        let answer = Box::pin(admin.clone().answer(request));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(limits::HEADER_BYTES as u32)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        // In a box: most connections are of the other kind, and should not be as large as these.
        Box::pin(finish(builder.serve_connection(io, calls), stop)).await;
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(limits::HEADERS)
            .max_buf_size(limits::HEADER_BYTES);
        finish(builder.serve_connection(io, calls), stop).await;
    }
}

/// Whether the peer speaks HTTP/2 from its first byte; nothing is taken from the stream.
async fn begins_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut seen).await?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if !PREFACE.starts_with(&seen[..length]) {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        sleep(PIECE).await;
    }
}

/// Serves a connection to its end, which comes with the request under way once `stop` turns true.
async fn finish(connection: impl GracefulConnection, mut stop: watch::Receiver<bool>) {
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            // Errors here are peers that left or never spoke HTTP: hyper has answered what can be answered.
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The stream, with an end to the patience for who does not read: a watch goes on for ever otherwise.
struct Patient {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<std::io::Result<usize>>,
    ) -> Poll<std::io::Result<usize>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(Error::from(ErrorKind::TimedOut))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
