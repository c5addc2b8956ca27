//! The client connections of one core, and the sweeper that ends those which rest too long.
//!
//! One sweep over all connections every quarter of a second replaces a timer for each request: a slow-loris client,
//! a forgotten keep-alive connection and a stalled stream are all "in a phase for longer than it may last".

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::codec::io::{CoarseClock, ConnState, Phase};
use crate::headers;
use crate::settings::Settings;

/// How often the sweeper looks, and so how late it may be.
const SWEEP: Duration = Duration::from_millis(250);

/// One client connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) state: Arc<ConnState>,
    /// The peer's address as `X-Forwarded-For` has it.
    pub(crate) forwarded_for: HeaderValue,
    stopping: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    abort: RefCell<Option<AbortHandle>>,
}

impl Client {
    /// Whether the connection should end after what is in progress. Remembers whom to wake when that changes; a
    /// connection stays on one task, so that the first waker is good for all its life.
    pub(crate) fn is_stopping(&self, cx: &Context<'_>) -> bool {
        let mut waker = self.waker.borrow_mut();
        if waker.is_none() {
            *waker = Some(cx.waker().clone());
        }
        self.stopping.get()
    }

    /// Names the task that serves the connection, so that the sweeper can end it.
    pub(crate) fn served_by(&self, task: AbortHandle) {
        *self.abort.borrow_mut() = Some(task);
    }

    fn stop(&self) {
        self.stopping.set(true);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn abort(&self) {
        if let Some(abort) = self.abort.borrow().as_ref() {
            abort.abort();
        }
    }
}

/// All client connections of a core.
#[derive(Debug)]
pub(crate) struct Clients {
    open: RefCell<HashMap<u64, Rc<Client>>>,
    next: Cell<u64>,
    clock: Arc<CoarseClock>,
    start: Instant,
    /// A connection came or went.
    changed: Notify,
    draining: Cell<bool>,
}

impl Clients {
    pub(crate) fn new() -> Clients {
        Clients {
            open: RefCell::default(),
            next: Cell::new(0),
            clock: Arc::default(),
            start: Instant::now(),
            changed: Notify::new(),
            draining: Cell::new(false),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// The coarse clock that connections of this core are stamped with, in milliseconds.
    pub(crate) fn coarse_now(&self) -> u64 {
        self.clock.now()
    }

    fn move_clock(&self) {
        self.clock
            .set(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX));
    }

    /// Enters a connection. It leaves when the returned guard is dropped.
    pub(crate) fn enter(self: &Rc<Clients>, peer: SocketAddr) -> Entered {
        self.move_clock();
        let client = Rc::new(Client {
            state: Arc::new(ConnState::new(peer, self.clock.clone())),
            forwarded_for: headers::forwarded_for(peer.ip()),
            stopping: Cell::new(self.draining.get()),
            waker: RefCell::default(),
            abort: RefCell::default(),
        });
        let id = self.next.replace(self.next.get() + 1);
        self.open.borrow_mut().insert(id, client.clone());
        self.changed.notify_waiters();
        Entered {
            clients: self.clone(),
            client,
            id,
        }
    }

    /// Waits until the number of connections differs.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Ends connections that rest too long, for as long as it is polled, and calls `age` after each round. Sleeps while
    /// there is neither a connection nor, as `age` says, anything else to look after.
    pub(crate) async fn sweep(&self, settings: &Settings, mut age: impl FnMut() -> bool) {
        let mut more = false;
        loop {
            if self.len() == 0 && !more {
                self.changed().await;
            }
            tokio::time::sleep(SWEEP).await;
            self.move_clock();
            self.sweep_once(settings);
            more = age();
        }
    }

    fn sweep_once(&self, settings: &Settings) {
        for client in self.open.borrow().values() {
            let rested = Duration::from_millis(client.state.resting());
            match client.state.phase() {
                // An HTTP/1.1 connection that is told to stop in this phase just closes; an HTTP/2 client gets a GOAWAY
                // and some time to heed it.
                Phase::Idle if rested >= settings.keep_alive + settings.header_timeout => client.abort(),
                Phase::Idle if rested >= settings.keep_alive => client.stop(),
                Phase::Head if rested >= settings.header_timeout => client.abort(),
                Phase::Busy if rested >= settings.stream_idle => client.abort(),
                _ => {}
            }
        }
    }

    /// Tells every connection to end after what is in progress, those that come later too.
    pub(crate) fn stop_all(&self) {
        self.draining.set(true);
        self.open.borrow().values().for_each(|client| client.stop());
    }

    /// Ends every connection now.
    pub(crate) fn abort_all(&self) {
        self.open.borrow().values().for_each(|client| client.abort());
    }
}

/// Membership of a connection in [`Clients`].
pub(crate) struct Entered {
    clients: Rc<Clients>,
    pub(crate) client: Rc<Client>,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.clients.open.borrow_mut().remove(&self.id);
        self.clients.changed.notify_waiters();
    }
}
