//! The socket of a client connection as hyper sees it: it notices when bytes move, what a request head holds that
//! hyper hides, and turns hyper's bare error answers into problem documents.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::head::HeadScan;
use crate::problem;

/// Bytes that are read and thrown away after an error answer, so that the client gets to read the answer before
/// the kernel resets the connection for unread data.
const LINGER_BYTES: usize = 256 * 1024;

/// What a connection is doing, which decides how long it may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Between requests.
    Idle = 0,
    /// Part of a request head has arrived (or the first one is awaited).
    Head = 1,
    /// At least one exchange is in progress.
    Busy = 2,
}

/// Milliseconds on a clock that one task per core moves on: cheap to read, a quarter of a second coarse.
#[derive(Debug, Default)]
pub(crate) struct CoarseClock(AtomicU64);

impl CoarseClock {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, millis: u64) {
        self.0.store(millis, Relaxed);
    }
}

/// The facts about one connection that its socket, its exchanges and the sweeper share.
///
/// All of them live on one thread; atomics (relaxed, so plain loads and stores) are here only because hyper wants
/// the socket to be `Send` for upgrades.
#[derive(Debug)]
pub(crate) struct ConnState {
    /// The client's address.
    pub(crate) peer: SocketAddr,
    clock: Arc<CoarseClock>,
    phase: AtomicU8,
    exchanges: AtomicU32,
    since: AtomicU64,
    both_lengths: AtomicBool,
}

impl ConnState {
    pub(crate) fn new(peer: SocketAddr, clock: Arc<CoarseClock>) -> ConnState {
        let since = AtomicU64::new(clock.now());
        let phase = AtomicU8::new(Phase::Head as u8);
        ConnState {
            peer,
            clock,
            phase,
            exchanges: AtomicU32::new(0),
            since,
            both_lengths: AtomicBool::new(false),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Busy,
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.touch();
    }

    fn touch(&self) {
        self.since.store(self.clock.now(), Relaxed);
    }

    /// Coarse milliseconds since the phase began or, in a busy connection, since the last byte moved.
    pub(crate) fn resting(&self) -> u64 {
        self.clock.now().saturating_sub(self.since.load(Relaxed))
    }

    /// A request head was parsed.
    pub(crate) fn exchange_begins(&self) {
        self.exchanges.store(self.exchanges.load(Relaxed) + 1, Relaxed);
        self.enter(Phase::Busy);
    }

    /// The answer's body ended or was given up.
    pub(crate) fn exchange_ends(&self) {
        let left = self.exchanges.load(Relaxed).saturating_sub(1);
        self.exchanges.store(left, Relaxed);
        if left == 0 {
            self.enter(Phase::Idle);
        }
    }

    /// Whether the head that was just parsed carried both `Content-Length` and `Transfer-Encoding`, of which hyper
    /// shows only the latter. Unknown, and answered `false`, for a pipelined request, whose head arrived with an earlier one;
    /// then hyper's own care suffices: it follows `Transfer-Encoding`, closes the connection after the answer,
    /// and the request is framed anew towards the endpoint.
    pub(crate) fn take_both_lengths(&self) -> bool {
        self.both_lengths.swap(false, Relaxed)
    }
}

/// A client's socket.
pub(crate) struct ClientIo {
    tcp: TcpStream,
    state: Arc<ConnState>,
    /// Bytes read to tell HTTP/2 from HTTP/1.1, to be handed on first.
    prefix: Bytes,
    scan: HeadScan,
    /// HTTP/1.1: heads are scanned, and error answers of the codec replaced.
    h1: bool,
    /// An error answer on its way out in place of the codec's, and the length of what it replaces.
    substitute: Option<(Bytes, usize)>,
    linger: usize,
}

impl ClientIo {
    pub(crate) fn new(tcp: TcpStream, state: Arc<ConnState>, prefix: Bytes, h1: bool) -> ClientIo {
        if !h1 {
            // A connection that has sent the preface may wait for its first request as for any other.
            state.enter(Phase::Idle);
        }
        ClientIo {
            tcp,
            state,
            prefix,
            scan: HeadScan::default(),
            h1,
            substitute: None,
            linger: 0,
        }
    }

    fn saw(&mut self, bytes: &[u8]) {
        if self.h1 && self.state.phase() != Phase::Busy && !bytes.is_empty() {
            if self.state.phase() == Phase::Idle {
                self.state.enter(Phase::Head);
                self.scan = HeadScan::default();
            }
            self.scan.feed(bytes);
            self.state.both_lengths.store(self.scan.both_lengths(), Relaxed);
        } else {
            self.state.touch();
        }
    }

    /// Writes the rest of a substituted answer; ready with the length of what it replaces.
    fn poll_substitute(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some((answer, replaced)) = &mut self.substitute else {
            return Poll::Ready(Ok(0));
        };
        while answer.has_remaining() {
            let n = ready!(Pin::new(&mut self.tcp).poll_write(cx, answer))?;
            answer.advance(n);
        }
        let replaced = *replaced;
        self.substitute = None;
        self.linger = LINGER_BYTES;
        Poll::Ready(Ok(replaced))
    }

    /// The problem document for an answer that the codec makes without asking us, if `buf` is one.
    fn begin_substitute(&mut self, buf: &[u8]) -> bool {
        if !self.h1 || self.state.phase() != Phase::Head || !buf.starts_with(b"HTTP/1.1 4") {
            return false;
        }
        let Some(answer) = problem::for_codec_answer(buf) else {
            return false;
        };
        self.substitute = Some((answer, buf.len()));
        true
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.prefix.has_remaining() {
            let n = self.prefix.len().min(buf.remaining());
            let head = self.prefix.split_to(n);
            buf.put_slice(&head);
        } else {
            ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        }
        self.saw(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.substitute.is_some() || self.begin_substitute(buf) {
            return self.poll_substitute(cx);
        }
        self.state.touch();
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|b| !b.is_empty()).map_or(&[][..], |b| b);
        if self.substitute.is_some() || self.begin_substitute(first) {
            return self.poll_substitute(cx);
        }
        self.state.touch();
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
        let mut waste = [0; 4096];
        while self.linger > 0 {
            let mut waste = ReadBuf::new(&mut waste);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut waste))?;
            match waste.filled().len() {
                0 => self.linger = 0,
                n => self.linger = self.linger.saturating_sub(n),
            }
        }
        Poll::Ready(Ok(()))
    }
}
