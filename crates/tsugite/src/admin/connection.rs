//! Connections of the admin port: HTTP/1.1 with bounds on their number, their heads and their patience.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tsugite_base::limits;

use super::{Admin, Store};

/// From the first byte of a head to its last, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// At the same time; above it the kernel queues.
const CONNECTIONS: usize = 512;
/// Pause after a failed accept, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop` turns true, then lets the requests under way finish. Drop the future to
/// cut what does not finish in time.
pub async fn serve<S: Store>(listener: TcpListener, admin: Arc<Admin<S>>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
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

async fn one<S: Store>(stream: TcpStream, admin: Arc<Admin<S>>, mut stop: watch::Receiver<bool>) {
    let calls = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(admin.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(limits::HEADERS)
            .max_buf_size(limits::HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), calls)
    );
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
