//! The codec wall: all that knows hyper, h2 and raw sockets. The rest of the crate sees `http` types, bodies,
//! and connections that it can send on or be served by.

pub(crate) mod client;
mod head;
pub(crate) mod io;
pub(crate) mod server;
pub(crate) mod tunnel;

use std::future::Future;

/// Runs hyper's helper tasks on the core's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExec;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExec {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}
