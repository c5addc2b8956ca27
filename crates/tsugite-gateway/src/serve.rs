//! Accepting connections on one core, and stopping gracefully.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::codec::server::Codecs;
use crate::core::Core;
use crate::leaving;
use crate::request;
use crate::session::Session;
use crate::shared::Shared;

/// How long accepting pauses when the process has no file descriptor left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// Serves one core's listener until `shutdown` completes, then lets exchanges in progress finish for at most the
/// drain time.
///
/// To be run on a current-thread runtime inside a `LocalSet`, once for each core; `core` counts from 0.
/// HTTP/1.1 connections close after the answer in progress, HTTP/2 connections get a GOAWAY.
pub async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    core: usize,
    shutdown: impl Future<Output = ()>,
) {
    let core = Rc::new(Core::new(shared, core));
    let codecs = Rc::new(Codecs::new(core.settings()));
    let sweeper = tokio::task::spawn_local(sweep(core.clone()));
    let teller = tokio::task::spawn_local(leaving::tell(core.clone()));
    {
        let accepting = pin!(accept_all(&listener, &core, &codecs));
        let shutdown = pin!(shutdown);
        tokio::select! {
            () = accepting => {}
            () = shutdown => {}
        }
    }
    drop(listener);
    drain(&core).await;
    sweeper.abort();
    teller.abort();
}

async fn accept_all(listener: &TcpListener, core: &Rc<Core>, codecs: &Rc<Codecs>) {
    let limit = core.settings().connections_per_core();
    loop {
        while core.clients.len() >= limit {
            // The kernel queues newcomers meanwhile, and then refuses them.
            core.clients.changed().await;
        }
        match listener.accept().await {
            Ok((tcp, peer)) => {
                // Only a hint to the kernel: without it small writes wait for acknowledgements.
                let _ = tcp.set_nodelay(true);
                let session = Session::begin(core.clone(), peer);
                let serving = serve_client(tcp, session.clone(), codecs.clone());
                session.served_by(tokio::task::spawn_local(serving).abort_handle());
            }
            // The client left before we looked at it.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "the gateway cannot accept connections for the moment");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
}

async fn serve_client(tcp: TcpStream, session: Rc<Session>, codecs: Rc<Codecs>) {
    let handle = |request| request::handle(session.clone(), request);
    if let Err(error) = codecs.serve(tcp, &session, handle).await {
        tracing::debug!(%error, peer = %session.state.peer, "client connection ended");
    }
}

async fn sweep(core: Rc<Core>) {
    core.clients.sweep(core.settings(), || core.age_pools()).await;
}

async fn drain(core: &Core) {
    core.clients.stop_all();
    let emptied = async {
        while core.clients.len() > 0 {
            core.clients.changed().await;
        }
    };
    if tokio::time::timeout(core.settings().drain, emptied)
        .await
        .is_err()
    {
        tracing::warn!(
            connections = core.clients.len(),
            "cut connections that did not end within the drain time"
        );
        core.clients.abort_all();
        while core.clients.len() > 0 {
            core.clients.changed().await;
        }
    }
}
