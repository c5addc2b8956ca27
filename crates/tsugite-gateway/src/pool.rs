//! One core's connections to one endpoint address.
//!
//! HTTP/1.1 connections rest in a stack: the one used last is the warmest, and those below it age out. HTTP/2
//! connections are shared by requests; another is opened when all have as many streams as the endpoint allows.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;

use crate::codec::client::{self, ConnectError, H1, H2};
use crate::settings::Settings;

/// The connections.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) address: SocketAddr,
    max_idle: usize,
    max_h2: usize,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<Rc<SharedH2>>>,
    /// A connection attempt that all requests wait for.
    connecting: RefCell<Option<Attempt>>,
}

type Attempt = watch::Receiver<Option<Result<(), ConnectError>>>;

#[derive(Debug)]
struct Idle {
    h1: H1,
    /// Coarse milliseconds.
    since: u64,
}

#[derive(Debug)]
struct SharedH2 {
    h2: H2,
    allowed: Rc<Cell<usize>>,
    streams: Cell<usize>,
    /// Coarse milliseconds of the last time that it had a stream.
    used: Cell<u64>,
}

impl SharedH2 {
    fn has_room(&self) -> bool {
        self.streams.get() < self.allowed.get()
    }
}

/// A stream on a shared connection, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Stream(Rc<SharedH2>);

impl Stream {
    fn on(shared: &Rc<SharedH2>, now: u64) -> Stream {
        shared.streams.set(shared.streams.get() + 1);
        shared.used.set(now);
        Stream(shared.clone())
    }

    pub(crate) fn sender(&self) -> H2 {
        self.0.h2.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
    }
}

impl Pool {
    pub(crate) fn new(address: SocketAddr, settings: &Settings) -> Pool {
        Pool {
            address,
            max_idle: settings.upstream_idle_connections,
            max_h2: settings.upstream_h2_connections.max(1),
            idle: RefCell::default(),
            shared: RefCell::default(),
            connecting: RefCell::default(),
        }
    }

    /// The resting connection that was used last, if one is still good.
    pub(crate) fn take_idle(&self) -> Option<H1> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { h1, .. }) = idle.pop() {
            if h1.is_ready() {
                return Some(h1);
            }
        }
        None
    }

    /// Puts a connection to rest after a complete exchange.
    pub(crate) fn put_idle(&self, h1: H1, now: u64) {
        let mut idle = self.idle.borrow_mut();
        if !h1.is_closed() && idle.len() < self.max_idle {
            idle.push(Idle { h1, since: now });
        }
    }

    pub(crate) async fn connect_h1(&self, limit: Duration) -> Result<H1, ConnectError> {
        client::connect_h1(self.address, limit).await
    }

    /// A stream on a shared connection, which is opened first if need be.
    pub(crate) async fn stream(self: &Rc<Pool>, limit: Duration, now: u64) -> Result<Stream, ConnectError> {
        loop {
            if let Some(stream) = self.stream_now(now) {
                return Ok(stream);
            }
            let mut attempt = self.attempt(limit);
            // The sender lives until it has reported; should it vanish, the next round starts another attempt.
            if let Ok(done) = attempt.wait_for(Option::is_some).await
                && let Some(Err(error)) = &*done
            {
                return Err(error.clone());
            }
        }
    }

    /// A stream without waiting: on the first connection with room or, when no more may be opened, the emptiest.
    fn stream_now(&self, now: u64) -> Option<Stream> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|s| !s.h2.is_closed());
        if let Some(roomy) = shared.iter().find(|s| s.has_room()) {
            return Some(Stream::on(roomy, now));
        }
        if shared.len() < self.max_h2 {
            return None;
        }
        let emptiest = shared.iter().min_by_key(|s| s.streams.get())?;
        Some(Stream::on(emptiest, now))
    }

    /// Joins the attempt in progress, or starts one. It runs on a task of its own: a caller that leaves does not take
    /// it away from the others.
    fn attempt(self: &Rc<Pool>, limit: Duration) -> Attempt {
        if let Some(running) = &*self.connecting.borrow() {
            return running.clone();
        }
        let (report, attempt) = watch::channel(None);
        *self.connecting.borrow_mut() = Some(attempt.clone());
        let pool = self.clone();
        tokio::task::spawn_local(async move {
            let result = client::connect_h2(pool.address, limit)
                .await
                .map(|(h2, allowed)| {
                    let shared = SharedH2 {
                        h2,
                        allowed,
                        streams: Cell::new(0),
                        used: Cell::new(u64::MAX),
                    };
                    pool.shared.borrow_mut().push(Rc::new(shared));
                });
            *pool.connecting.borrow_mut() = None;
            report.send_replace(Some(result));
        });
        attempt
    }

    /// Closes connections that rested for longer than they may, or that the endpoint closed. Says whether any is left.
    pub(crate) fn age(&self, now: u64, limit: Duration) -> bool {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let old = |since: u64| now.saturating_sub(since) >= limit;
        self.idle
            .borrow_mut()
            .retain(|i| !i.h1.is_closed() && !old(i.since));
        self.shared.borrow_mut().retain(|s| {
            let in_use = s.streams.get() > 0;
            if in_use {
                s.used.set(now);
            }
            !s.h2.is_closed() && (in_use || !old(s.used.get()))
        });
        !(self.idle.borrow().is_empty() && self.shared.borrow().is_empty())
    }
}
