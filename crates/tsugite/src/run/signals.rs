//! Signals: the first SIGTERM or SIGINT drains, the second ends at once; SIGHUP loads the configuration again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::Stop;

/// Turns SIGTERM and SIGINT into a [`Stop`].
pub fn stop() -> io::Result<watch::Receiver<Stop>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (send, receive) = watch::channel(Stop::Not);
    tokio::spawn(async move {
        for stage in [Stop::Drain, Stop::Now] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match stage {
                Stop::Drain => {
                    tracing::info!("stopping; calls under way may finish, another signal ends at once")
                }
                _ => tracing::warn!("ending at once"),
            }
            let _ = send.send(stage);
        }
    });
    Ok(receive)
}

/// SIGHUP, as it comes.
pub(super) fn hangup() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
