//! Instances that leave: waits until nobody uses one any more, and then removes it.
//!
//! An instance has left when the table that the gateway uses no longer offers it, every core has taken that table over,
//! and the calls that had begun before have ended. The end of its drain time, which the store watches, removes it in any
//! case.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tsugite_engine::RegistryStore;
use tsugite_gateway::Shared;
use tsugite_registry::{InstanceKey, Leaver};
use tsugite_traffic::ServiceKey;

/// Between two attempts to remove one while the store has no room for that.
const RETRY: Duration = Duration::from_millis(500);

/// Waits for all that are leaving, for as long as it is polled. `published` is the number of the registry's change that
/// the gateway's table is made of.
pub async fn run<S: RegistryStore>(store: S, gateway: Arc<Shared>, published: watch::Receiver<u64>) {
    let mut changes = store.registry_changes();
    let mut waits = JoinSet::new();
    let mut known: HashSet<(InstanceKey, u64)> = HashSet::new();
    loop {
        changes.borrow_and_update();
        let (change, leavers) = store.leavers().await;
        for leaver in leavers {
            if known.insert((leaver.key.clone(), leaver.generation)) {
                let (store, gateway, published) = (store.clone(), gateway.clone(), published.clone());
                waits.spawn(see_off(store, gateway, published, change, leaver));
            }
        }
        tokio::select! {
            Some(done) = waits.join_next(), if !waits.is_empty() => {
                match done {
                    Ok(gone) => { known.remove(&gone); }
                    Err(error) => tracing::error!(%error, "an instance that is leaving is not waited for"),
                }
            }
            changed = changes.changed() => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

async fn see_off<S: RegistryStore>(
    store: S,
    gateway: Arc<Shared>,
    mut published: watch::Receiver<u64>,
    change: u64,
    leaver: Leaver,
) -> (InstanceKey, u64) {
    let name = &leaver.name;
    let service = ServiceKey::new(&name.namespace, &name.service);
    // Whoever publishes lives as long as the gateway.
    let _ = published.wait_for(|published| *published >= change).await;
    gateway.left(&service, &name.instance).await;
    while let Err(error) = store.finish_leaving(leaver.clone()).await {
        tracing::warn!(instance = name.instance, %service, %error, "an instance that has left cannot be removed yet");
        tokio::time::sleep(RETRY).await;
    }
    tracing::info!(instance = name.instance, %service, "an instance has left");
    (leaver.key, leaver.generation)
}

/// Waits until an instance has left, or was registered anew; `false` if it has not after `limit`.
pub(crate) async fn gone<S: RegistryStore>(store: &S, key: &InstanceKey, limit: Duration) -> bool {
    let mut changes = store.registry_changes();
    let wait = async {
        loop {
            changes.borrow_and_update();
            let instance = store.get_instance(key.service, key.instance.to_string()).await;
            if !instance.is_ok_and(|instance| instance.health.leaving) {
                return;
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    timeout(limit, wait).await.is_ok()
}
