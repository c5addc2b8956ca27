//! The health checker: sends the probes that the registry asks for, of active checks and of instances in doubt, and
//! reports what came of them; passes on what the gateway finds out about instances that it cannot reach.

mod checks;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tsugite_base::World;
use tsugite_engine::RegistryStore;
use tsugite_gateway::Shared;
use tsugite_registry::{InstanceName, Probe, ProbeResult, Purpose};

pub(crate) use self::checks::{parse_check, show_check};
use self::probe::ProbeError;
pub(crate) use self::probe::{Target, send};

/// Probes under way at the same time: bounds sockets when a large fleet starts or falls silent at once. If none of them
/// is answered, so many are done in a second.
const CONCURRENT: usize = 2_048;
/// Slept at most while a probe is awaited: the virtual clock of a test may jump without telling.
const LONGEST: Duration = Duration::from_secs(1);

/// Probes for as long as it is polled.
pub async fn run<S: RegistryStore>(store: S, world: World) {
    let mut changes = store.registry_changes();
    let mut probes = JoinSet::new();
    loop {
        changes.borrow_and_update();
        let room = CONCURRENT - probes.len();
        let (due, next) = store.due_probes(room, world.random_u64());
        for probe in due {
            probes.spawn(async move {
                let outcome = send(&Target::of(&probe)).await;
                (probe, outcome)
            });
        }
        let full = probes.len() == CONCURRENT;
        let pause = next.map(|next| next.since(world.now().steady).min(LONGEST));
        tokio::select! {
            Some(done) = probes.join_next(), if !probes.is_empty() => {
                // A probe that panicked counts as none; the next one is due an interval later.
                if let Ok((probe, outcome)) = done {
                    report(&store, probe, outcome);
                }
                while let Some(Ok((probe, outcome))) = probes.try_join_next() {
                    report(&store, probe, outcome);
                }
            }
            () = sleep(pause.unwrap_or_default()), if pause.is_some() && !full => {}
            changed = changes.changed(), if !full => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// Tells the registry of instances that the gateway cannot reach, for as long as it is polled.
pub async fn heed<S: RegistryStore>(store: S, gateway: Arc<Shared>) {
    let Some(mut complaints) = gateway.complaints() else {
        return std::future::pending().await;
    };
    while let Some(complaint) = complaints.recv().await {
        let who = InstanceName {
            namespace: complaint.service.namespace,
            service: complaint.service.service,
            instance: complaint.instance,
        };
        // Whether it is news shows in the probe that follows.
        let _ = store.report_unreachable(&who, complaint.address);
    }
    std::future::pending().await
}

fn report<S: RegistryStore>(store: &S, probe: Probe, outcome: Result<(), ProbeError>) {
    if let Err(ProbeError::Here(error)) = &outcome {
        // That says nothing about the instance; it is asked again.
        tracing::warn!(instance = probe.name, %error, "a health check could not be sent");
        return;
    }
    let passed = outcome.is_ok();
    let changed = store.probe_result(ProbeResult {
        service: probe.service,
        instance: probe.instance,
        generation: probe.generation,
        purpose: probe.purpose,
        passed,
    });
    let instance = probe.name;
    match (outcome, probe.purpose) {
        _ if !changed => {}
        (Ok(()), Purpose::Check) => tracing::info!(instance, "the health check passes"),
        (Err(reason), Purpose::Check) => tracing::warn!(instance, %reason, "the health check fails"),
        (Ok(()), Purpose::Doubt) => tracing::info!(instance, "an instance in doubt answers"),
        (Err(reason), Purpose::Doubt) => {
            tracing::warn!(instance, %reason, "an instance in doubt does not answer")
        }
    }
}
