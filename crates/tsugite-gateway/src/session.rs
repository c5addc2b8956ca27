//! One client connection as its requests see it. It counts as open until the last of them lets go of it: a connection
//! that switched to another protocol outlives the HTTP codec.

use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;

use crate::clients::{Client, Entered};
use crate::core::Core;

/// The connection, on its core.
pub(crate) struct Session {
    pub(crate) core: Rc<Core>,
    entered: Entered,
}

impl Session {
    pub(crate) fn begin(core: Rc<Core>, peer: SocketAddr) -> Rc<Session> {
        core.counters().accepted.add(1);
        core.counters().connections.add(1);
        let entered = core.clients.enter(peer);
        Rc::new(Session { core, entered })
    }
}

impl Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.entered.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.core.counters().connections.sub(1);
    }
}
