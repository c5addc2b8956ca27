//! The data plane's threads: each a runtime of its own with its own listeners, sharing nothing that locks.

use std::future::Future;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;
use tsugite_gateway::Shared;

use super::{RunError, Stop, impatience, quiet};
use crate::admin::Store;
use crate::aws::{self, AwsDoor};
use crate::dns::{self, Dns};

/// What a worker serves.
pub(super) struct Doors<S> {
    pub(super) gateway: Option<TcpListener>,
    pub(super) aws: Option<TcpListener>,
    pub(super) dns: Option<(UdpSocket, TcpListener)>,
    pub(super) shared: Arc<Shared>,
    pub(super) door: Arc<AwsDoor<S>>,
    pub(super) names: Arc<Dns>,
}

impl<S> Doors<S> {
    /// Whether there is nothing to serve.
    pub(super) const fn are_closed(&self) -> bool {
        self.gateway.is_none() && self.aws.is_none() && self.dns.is_none()
    }
}

/// When a worker stops.
#[derive(Clone)]
pub(super) struct Ending {
    /// True: take nothing new.
    pub(super) accepting: watch::Receiver<bool>,
    /// The whole story, for those who cannot wait.
    pub(super) stop: watch::Receiver<Stop>,
    /// How long calls under way may go on.
    pub(super) drain: Duration,
}

/// A running worker.
pub(super) struct Worker {
    /// True once it has ended, in whatever way.
    ended: watch::Receiver<bool>,
}

/// Starts worker number `core`; returns once it serves.
pub(super) async fn start<S: Store>(
    core: usize,
    doors: Doors<S>,
    ending: Ending,
) -> Result<Worker, RunError> {
    let failed = |error| RunError::Io("a worker could not start", error);
    let (serving, served) = oneshot::channel();
    let (end, ended) = watch::channel(false);
    std::thread::Builder::new()
        .name(format!("tsugite-{core}"))
        .spawn(move || {
            let end = EndGuard(end);
            let outcome = runtime().map(|runtime| {
                let local = LocalSet::new();
                local.block_on(&runtime, serve(core, doors, ending, serving));
            });
            if let Err(error) = outcome {
                tracing::error!(%error, core, "a worker could not start its runtime");
            }
            drop(end);
        })
        .map_err(failed)?;
    match served.await {
        Ok(Ok(())) => Ok(Worker { ended }),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(RunError::Died(format!("worker {core}"))),
    }
}

/// Says that the thread has ended, even if it panicked.
struct EndGuard(watch::Sender<bool>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        let _ = self.0.send(true);
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
}

async fn serve<S: Store>(
    core: usize,
    doors: Doors<S>,
    ending: Ending,
    serving: oneshot::Sender<std::io::Result<()>>,
) {
    let listen = |listener: Option<TcpListener>| listener.map(tokio::net::TcpListener::from_std).transpose();
    let both = |(udp, tcp)| {
        Ok((
            tokio::net::UdpSocket::from_std(udp)?,
            tokio::net::TcpListener::from_std(tcp)?,
        ))
    };
    let dns = doors.dns.map(both).transpose();
    let (gateway, aws, dns) = match (listen(doors.gateway), listen(doors.aws), dns) {
        (Ok(gateway), Ok(aws), Ok(dns)) => (gateway, aws, dns),
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
            let _ = serving.send(Err(error));
            return;
        }
    };
    let _ = serving.send(Ok(()));
    let quiet = quiet(ending.accepting.clone());
    let shared = doors.shared;
    let gateway = maybe(gateway.map(|listener| tsugite_gateway::serve(listener, shared, core, quiet)));
    let door = doors.door;
    let accepting = ending.accepting.clone();
    let aws = maybe(aws.map(|listener| aws::serve(listener, door, accepting)));
    let quiet = super::quiet(ending.accepting.clone());
    let dns = maybe(dns.map(|(udp, tcp)| dns::serve(udp, tcp, doors.names, quiet)));
    let mut accepting = ending.accepting;
    let cut = async {
        let _ = accepting.wait_for(|stop| *stop).await;
        impatience(ending.stop, ending.drain).await;
    };
    tokio::select! {
        _ = async { tokio::join!(gateway, aws, dns) } => {}
        () = cut => {}
    }
}

async fn maybe(serving: Option<impl Future<Output = ()>>) {
    if let Some(serving) = serving {
        serving.await;
    }
}

/// Completes when a worker ends that should not.
pub(super) async fn failure(workers: &[Worker]) -> RunError {
    let mut ends: Vec<_> = workers.iter().map(|worker| worker.ended.clone()).collect();
    let waits = ends.iter_mut().map(|end| Box::pin(end.wait_for(|ended| *ended)));
    let mut waits: Vec<_> = waits.collect();
    std::future::poll_fn(|cx| {
        let ended = waits
            .iter_mut()
            .position(|wait| wait.as_mut().poll(cx).is_ready());
        match ended {
            Some(core) => std::task::Poll::Ready(RunError::Died(format!("worker {core}"))),
            None => std::task::Poll::Pending,
        }
    })
    .await
}

/// Waits for all of them to end.
pub(super) async fn finish(workers: Vec<Worker>) {
    for mut worker in workers {
        let _ = worker.ended.wait_for(|ended| *ended).await;
    }
}
