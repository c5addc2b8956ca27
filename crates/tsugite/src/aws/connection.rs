//! One connection: HTTP/1.1 by hyper, and a watchdog for peers that send or read too slowly.
//!
//! hyper's own header timeout also ends idle keep-alive connections and arms a timer per request. Ours arms one only
//! when a head stays incomplete, and a coarse one for idleness.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io::{ErrorKind, IoSlice};
use std::net::{IpAddr, Shutdown};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tsugite_base::limits;

/// From the first byte of a request head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests, and for a peer that does not read its answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of an answer that is sent in one piece.
const SHORT: usize = 1024;
/// Pause after a failed accept, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers one request.
pub(super) trait Service: 'static {
    /// The answer to a request of `peer`.
    fn call(
        self: Rc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Full<Bytes>>>;
}

/// The other end of a connection.
#[derive(Clone)]
pub(super) struct Peer(Rc<TcpStream>);

impl Peer {
    /// Where the peer is.
    pub(super) fn address(&self) -> Option<IpAddr> {
        Some(self.0.peer_addr().ok()?.ip().to_canonical())
    }

    /// Completes when the peer has closed its sending side. Most of those are gone altogether, and TCP does not tell
    /// the rest from them, so nobody should wait on their behalf. Never completes once the peer has sent more.
    pub(super) async fn gone(&self) {
        match self.0.peek(&mut [0]).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    }
}

/// Accepts connections until `stop` turns true, then lets the requests under way finish. Must run inside a
/// `LocalSet`; drop the future to cut what does not finish in time.
pub(super) async fn accept<S: Service>(
    listener: TcpListener,
    service: Rc<S>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn_local(serve(stream, service.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the AWS port cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve<S: Service>(stream: TcpStream, service: Rc<S>, mut stop: watch::Receiver<bool>) {
    // A failure only means a peer that waits 40 ms longer.
    let _ = stream.set_nodelay(true);
    let phase = Rc::new(Cell::new(Phase::Head(Instant::now())));
    let stream = Rc::new(stream);
    let peer = Peer(stream.clone());
    let io = TokioIo::new(Watched {
        stream,
        phase: phase.clone(),
    });
    let phase_of_calls = phase.clone();
    let calls = service_fn(move |request| {
        phase_of_calls.set(Phase::Busy);
        let answer = service.clone().call(request, peer.clone());
        let phase = phase_of_calls.clone();
        async move {
            let response = answer.await;
            phase.set(Phase::Idle(Instant::now()));
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // Who stops sending may still be reading: short requests are answered, long polls watch their peer.
            .half_close(true)
            .header_read_timeout(None)
            .max_headers(limits::HEADERS)
            .max_buf_size(limits::HEADER_BYTES)
            .serve_connection(io, calls)
    );
    let mut watchdog = pin!(Watchdog::new(phase));
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            // Errors here are peers that left or never spoke HTTP: hyper has answered what can be answered.
            _ = connection.as_mut() => return,
            () = watchdog.as_mut() => return,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// What the connection is waiting for.
#[derive(Clone, Copy)]
enum Phase {
    /// The rest of a request head, since then.
    Head(Instant),
    /// Us.
    Busy,
    /// The next request, or the peer to read the answer, since then.
    Idle(Instant),
}

impl Phase {
    fn deadline(self) -> Option<Instant> {
        match self {
            Phase::Head(since) => Some(since + HEAD_TIMEOUT),
            Phase::Busy => None,
            Phase::Idle(since) => Some(since + IDLE_TIMEOUT),
        }
    }
}

/// Completes when the peer was too slow. Polled after the connection, so that a whole head never shows as a partial one.
struct Watchdog {
    phase: Rc<Cell<Phase>>,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Watchdog {
    fn new(phase: Rc<Cell<Phase>>) -> Watchdog {
        Watchdog {
            phase,
            sleep: Box::pin(tokio::time::sleep(HEAD_TIMEOUT)),
        }
    }
}

impl Future for Watchdog {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.phase.get().deadline();
            if let Some(deadline) = deadline.filter(|&deadline| deadline < self.sleep.deadline()) {
                self.sleep.as_mut().reset(deadline);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match deadline {
                Some(deadline) if deadline <= now => return Poll::Ready(()),
                Some(deadline) => self.sleep.as_mut().reset(deadline),
                None => self.sleep.as_mut().reset(now + IDLE_TIMEOUT),
            }
        }
    }
}

/// The stream, noting when a head begins to arrive.
struct Watched {
    stream: Rc<TcpStream>,
    phase: Rc<Cell<Phase>>,
}

impl Watched {
    /// Tries `operation` until the socket is not ready for it. Reading, writing and watching a peer all happen in the
    /// connection's one task, so they share its waker.
    fn attempt<T>(
        &self,
        cx: &mut Context<'_>,
        ready: impl Fn(&TcpStream, &mut Context<'_>) -> Poll<std::io::Result<()>>,
        mut operation: impl FnMut(&TcpStream) -> std::io::Result<T>,
    ) -> Poll<std::io::Result<T>> {
        loop {
            ready!(ready(&self.stream, cx))?;
            match operation(&self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = ready!(self.attempt(cx, TcpStream::poll_read_ready, |stream| stream.try_read_buf(buf)))?;
        if read > 0 && buf.remaining() > 0 {
            // That was all there is: the next bytes make the socket ready anew. Saves a vain call for each request.
            let none = || -> std::io::Result<()> { Err(ErrorKind::WouldBlock.into()) };
            let _ = self.stream.try_io(Interest::READABLE, none);
        }
        if let (Phase::Idle(_), true) = (self.phase.get(), read > 0) {
            self.phase.set(Phase::Head(Instant::now()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        self.attempt(cx, TcpStream::poll_write_ready, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let len: usize = bufs.iter().map(|buf| buf.len()).sum();
        if len > SHORT {
            return self.attempt(cx, TcpStream::poll_write_ready, |stream| {
                stream.try_write_vectored(bufs)
            });
        }
        // Cheaper than having the kernel gather head and body.
        let (mut short, mut at) = ([0; SHORT], 0);
        for buf in bufs {
            short[at..at + buf.len()].copy_from_slice(buf);
            at += buf.len();
        }
        self.poll_write(cx, &short[..at])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds after which the watchdog of a connection in `phase` barks; `None` if it does not within an hour.
    async fn check(phase: Phase, expected: Option<u64>) {
        let begin = Instant::now();
        let watchdog = Watchdog::new(Rc::new(Cell::new(phase)));
        let barked = tokio::time::timeout(Duration::from_secs(3600), watchdog)
            .await
            .is_ok();
        let seconds = begin.elapsed().as_secs();
        assert_eq!(barked.then_some(seconds), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_knows_what_it_waits_for() {
        check(Phase::Head(Instant::now()), Some(10)).await;
        check(Phase::Idle(Instant::now()), Some(120)).await;
        check(Phase::Busy, None).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_begins_later_has_its_own_time() {
        let phase = Rc::new(Cell::new(Phase::Idle(Instant::now())));
        let mut watchdog = pin!(Watchdog::new(phase.clone()));
        let begin = Instant::now();
        assert!(
            tokio::time::timeout(Duration::from_secs(60), watchdog.as_mut())
                .await
                .is_err()
        );
        phase.set(Phase::Head(Instant::now()));
        watchdog.await;
        assert_eq!(begin.elapsed().as_secs(), 70);
    }
}
