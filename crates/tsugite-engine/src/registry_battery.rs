//! What every store must do with namespaces, services and instances, told through [`RegistryStore`] alone.
//!
//! A store runs it with one line: `tsugite_engine::registry_battery!(stage);` where `stage` is a function that
//! gives a fresh [`Stage`]. The machine behind a store has tests of its own for every rule; here are those that
//! a store can get wrong: durability, what is volatile, expiry by itself, watchers, and concurrent callers.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;
use tsugite_base::Uuid;
use tsugite_registry::*;

use crate::RegistryStore;
pub use crate::stage::{Stage, run};

mod stored;
mod volatile;

pub use stored::*;
pub use volatile::*;

/// Makes one test of each case of the battery, on stages made by `$stage`.
#[macro_export]
macro_rules! registry_battery {
    ($stage:path) => {
        $crate::registry_battery!($stage:
            an_instance_goes_through_its_life, unknown_names_are_refused, repeats_are_harmless,
            acknowledged_registrations_survive_a_restart, a_silent_instance_is_suspected_and_removed,
            heartbeats_keep_an_instance, a_restart_grants_full_leases, probes_decide_and_are_forgotten,
            pushed_health_is_kept, leaving_is_kept, an_operators_word_is_kept, changes_survive_a_restart, watchers_hear_of_everything, indices_grow_over_restarts, many_register_at_once, a_reset_drops_all,
        );
    };
    ($stage:path: $($case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                $crate::registry_battery::run(async { $crate::registry_battery::$case(&mut $stage()).await });
            }
        )*
    };
}

/// Long enough for anything that does happen.
const SOON: Duration = Duration::from_secs(10);
const LEASE_MS: u32 = 15_000;

fn uuid(n: u8) -> Uuid {
    Uuid([n; 16])
}

fn map(pairs: &[(&str, &str)]) -> Attributes {
    let owned = |&(k, v): &(&str, &str)| (k.to_owned(), v.to_owned());
    pairs.iter().map(owned).collect()
}

/// Namespace `shop` with service `orders`.
async fn orders<R: RegistryStore>(store: &R, health: HealthSource) -> ServiceId {
    let namespace = NamespaceId(1);
    let command = CreateNamespace {
        id: namespace,
        operation: uuid(1),
        name: "shop".into(),
        kind: NamespaceKind::Http,
        description: None,
        creator_request_id: Some("n".into()),
        soa_ttl: None,
        tags: map(&[("team", "shop")]),
    };
    store.create_namespace(command).await.unwrap();
    let command = CreateService {
        id: ServiceId(2),
        namespace,
        name: "orders".into(),
        description: None,
        creator_request_id: Some("s".into()),
        dns: None,
        health,
        tags: Tags::new(),
    };
    store.create_service(command).await.unwrap().service.id
}

fn registration(service: ServiceId, instance: &str, attributes: &[(&str, &str)], n: u8) -> RegisterInstance {
    RegisterInstance {
        operation: uuid(n),
        service,
        instance: instance.into(),
        attributes: map(attributes),
        creator_request_id: Some(format!("r{n}")),
    }
}

async fn discover<R: RegistryStore>(store: &R, health: HealthFilter) -> Vec<String> {
    let command = Discover {
        namespace: "shop".into(),
        service: "orders".into(),
        health,
        max_results: 1000,
        ..Discover::default()
    };
    let found = store.discover_instances(command).await.unwrap().instances;
    let ids: BTreeSet<_> = found.iter().map(|i| i.id.to_string()).collect();
    ids.into_iter().collect()
}

fn put(instance: &str, lease_ms: Option<u32>) -> PutInstance {
    PutInstance {
        new_namespace: NamespaceId(11),
        new_service: ServiceId(12),
        namespace: "internal".into(),
        service: "orders".into(),
        instance: instance.into(),
        address: Some(([127, 0, 0, 1], 8001).into()),
        protocol: None,
        attributes: Attributes::new(),
        lease_ms,
    }
}

fn named(instance: &str) -> InstanceName {
    InstanceName {
        namespace: "internal".into(),
        service: "orders".into(),
        instance: instance.into(),
    }
}

/// Health of the instances of `orders.internal`.
async fn statuses<R: RegistryStore>(store: &R) -> Vec<(String, HealthStatus)> {
    let (_, instances) = store
        .show_service("internal".into(), "orders".into())
        .await
        .unwrap();
    let status = |i: InstanceView| (i.id.to_string(), i.health.status);
    instances.into_iter().map(status).collect()
}

/// Waits until the instances of `orders.internal` are as expected, woken by the feed of changes alone.
async fn until<R: RegistryStore>(store: &R, expected: &[(&str, HealthStatus)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|&(id, status)| (id.to_owned(), status))
        .collect();
    let mut changes = store.registry_changes();
    let wait = async {
        while statuses(store).await != expected {
            changes.changed().await.unwrap();
        }
    };
    timeout(SOON, wait)
        .await
        .expect("the instances never became what was expected");
}
