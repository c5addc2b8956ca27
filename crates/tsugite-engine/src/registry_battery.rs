//! What every store must do with namespaces, services and instances, told through [`RegistryStore`] alone.
//!
//! A store runs it with one line: `tsugite_engine::registry_battery!(stage);` where `stage` is a function that
//! gives a fresh [`Stage`]. The machine behind a store has tests of its own for every rule; here are those that
//! a store can get wrong: durability, what is volatile, expiry by itself, watchers, and concurrent callers.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tsugite_base::Uuid;
use tsugite_registry::*;

pub use crate::stage::{Stage, run};
use crate::{Failure, RegistryStore};

/// Makes one test of each case of the battery, on stages made by `$stage`.
#[macro_export]
macro_rules! registry_battery {
    ($stage:path) => {
        $crate::registry_battery!($stage:
            an_instance_goes_through_its_life, unknown_names_are_refused, repeats_are_harmless,
            acknowledged_registrations_survive_a_restart, a_silent_instance_is_suspected_and_removed,
            heartbeats_keep_an_instance, a_restart_grants_full_leases, probes_decide_and_are_forgotten,
            pushed_health_is_kept, watchers_hear_of_everything, many_register_at_once, a_reset_drops_all,
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

/// Register, find, change, deregister, delete; each step with its operation.
pub async fn an_instance_goes_through_its_life<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let service = orders(&store, HealthSource::None).await;
    let operation = store
        .register_instance(registration(service, "i1", &[("a", "1")], 3))
        .await
        .unwrap();
    let made = store.get_operation(operation).await.unwrap();
    assert_eq!(
        (made.kind, made.service),
        (OperationKind::RegisterInstance, Some(service))
    );
    let before = store
        .discover_revision("shop".into(), "orders".into())
        .await
        .unwrap();
    store
        .register_instance(registration(service, "i1", &[("a", "2")], 4))
        .await
        .unwrap();
    let after = store
        .discover_revision("shop".into(), "orders".into())
        .await
        .unwrap();
    assert!(after > before);
    let view = store.get_instance(service, "i1".into()).await.unwrap();
    assert_eq!(*view.attributes, map(&[("a", "2")]));
    assert_eq!(discover(&store, HealthFilter::default()).await, ["i1"]);
    let gone = DeregisterInstance {
        operation: uuid(5),
        service,
        instance: "i1".into(),
    };
    assert_eq!(store.deregister_instance(gone).await.unwrap(), uuid(5));
    assert!(discover(&store, HealthFilter::All).await.is_empty());
    store.delete_service(service).await.unwrap();
    let gone = DeleteNamespace {
        id: NamespaceId(1),
        operation: uuid(6),
    };
    store.delete_namespace(gone).await.unwrap();
    let page = Page {
        after: None,
        limit: 10,
    };
    let listed = store.list_operations(vec![], page).await.unwrap();
    let kinds: Vec<_> = listed.entries.iter().map(|o| o.kind.name()).collect();
    assert_eq!(
        kinds,
        [
            "DELETE_NAMESPACE",
            "DEREGISTER_INSTANCE",
            "REGISTER_INSTANCE",
            "REGISTER_INSTANCE",
            "CREATE_NAMESPACE"
        ]
    );
}

/// Each operation names what it did not find.
pub async fn unknown_names_are_refused<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let missing = ServiceId(404);
    let page = || Page {
        after: None,
        limit: 1,
    };
    assert!(matches!(
        store.get_service(missing).await,
        Err(Failure::Refused(_))
    ));
    assert!(matches!(
        store.delete_service(missing).await,
        Err(Failure::Refused(_))
    ));
    assert!(matches!(
        store.list_instances(missing, page()).await,
        Err(Failure::Refused(_))
    ));
    assert!(matches!(
        store.get_namespace(NamespaceId(404)).await,
        Err(Failure::Refused(_))
    ));
    assert!(matches!(
        store.get_operation(uuid(9)).await,
        Err(Failure::Refused(_))
    ));
    assert!(matches!(
        store.heartbeat(named("i1")).await,
        Err(Failure::Refused(_))
    ));
    assert!(matches!(
        store.delete_instance(named("i1")).await,
        Err(Failure::Refused(_))
    ));
    let register = store.register_instance(registration(missing, "i1", &[], 3)).await;
    assert!(matches!(
        register,
        Err(Failure::Refused(RegisterError::ServiceNotFound(_)))
    ));
    assert!(
        store
            .list_namespaces(vec![], page())
            .await
            .unwrap()
            .entries
            .is_empty()
    );
    assert!(
        store
            .list_services(None, page())
            .await
            .unwrap()
            .entries
            .is_empty()
    );
}

/// A repeated request answers as the first did, before and after a restart.
pub async fn repeats_are_harmless<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let service = orders(&store, HealthSource::None).await;
    let first = store
        .register_instance(registration(service, "i1", &[], 3))
        .await
        .unwrap();
    drop(store);
    stage.restart();
    let store = stage.store();
    assert_eq!(orders(&store, HealthSource::None).await, service);
    let mut again = registration(service, "i1", &[], 3);
    again.operation = uuid(33);
    assert_eq!(store.register_instance(again).await.unwrap(), first);
    let other = store
        .register_instance(registration(service, "i1", &[("a", "1")], 3))
        .await;
    assert!(matches!(
        other,
        Err(Failure::Refused(RegisterError::DuplicateRequest(_)))
    ));
}

/// What was acknowledged is there after a restart: instances, attributes, operations, revisions.
pub async fn acknowledged_registrations_survive_a_restart<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let service = orders(&store, HealthSource::None).await;
    for n in 0..20 {
        let attributes = [("n", &*n.to_string())];
        let command = registration(service, &format!("i{n:02}"), &attributes, 50 + n);
        store.register_instance(command).await.unwrap();
    }
    let gone = DeregisterInstance {
        operation: uuid(90),
        service,
        instance: "i07".into(),
    };
    store.deregister_instance(gone).await.unwrap();
    let revision = store
        .discover_revision("shop".into(), "orders".into())
        .await
        .unwrap();
    drop(store);
    stage.restart();
    let store = stage.store();
    let found = discover(&store, HealthFilter::All).await;
    let expected: Vec<_> = (0..20).filter(|n| *n != 7).map(|n| format!("i{n:02}")).collect();
    assert_eq!(found, expected);
    let view = store.get_instance(service, "i19".into()).await.unwrap();
    assert_eq!(*view.attributes, map(&[("n", "19")]));
    assert_eq!(
        store
            .discover_revision("shop".into(), "orders".into())
            .await
            .unwrap(),
        revision
    );
    assert_eq!(
        store.get_operation(uuid(90)).await.unwrap().kind,
        OperationKind::DeregisterInstance
    );
}

/// After two thirds of its lease an instance is unhealthy; when it is over the store removes it by itself, for good.
pub async fn a_silent_instance_is_suspected_and_removed<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    assert_eq!(
        store.put_instance(put("i1", Some(LEASE_MS))).await,
        Ok(PutOutcome::Created)
    );
    store.put_instance(put("stays", None)).await.unwrap();
    let healthy = HealthStatus::Healthy;
    until(&store, &[("i1", healthy), ("stays", healthy)]).await;
    stage.pass(Duration::from_secs(10));
    until(&store, &[("i1", HealthStatus::Unhealthy), ("stays", healthy)]).await;
    stage.pass(Duration::from_secs(5));
    until(&store, &[("stays", healthy)]).await;
    // What was seen of the removal is durable.
    assert!(store.heartbeat(named("i1")).await.is_err());
    drop(store);
    stage.restart();
    until(&stage.store(), &[("stays", healthy)]).await;
}

/// Renewals by either way keep an instance beyond its lease.
pub async fn heartbeats_keep_an_instance<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    store.put_instance(put("i1", Some(LEASE_MS))).await.unwrap();
    for round in 0..6 {
        stage.pass(Duration::from_secs(9));
        if round % 2 == 0 {
            assert_eq!(
                store.put_instance(put("i1", Some(LEASE_MS))).await,
                Ok(PutOutcome::Renewed)
            );
        } else {
            let renewed = store.heartbeat(named("i1")).await.unwrap();
            assert_eq!(renewed.lease_ms, Some(LEASE_MS));
        }
    }
    assert_eq!(statuses(&store).await, [("i1".into(), HealthStatus::Healthy)]);
}

/// Heartbeats are not stored, so a restart counts as one from everybody.
pub async fn a_restart_grants_full_leases<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    store.put_instance(put("i1", Some(LEASE_MS))).await.unwrap();
    stage.pass(Duration::from_secs(14));
    until(&store, &[("i1", HealthStatus::Unhealthy)]).await;
    drop(store);
    stage.restart();
    let store = stage.store();
    until(&store, &[("i1", HealthStatus::Healthy)]).await;
    stage.pass(Duration::from_secs(14));
    until(&store, &[("i1", HealthStatus::Unhealthy)]).await;
    stage.pass(Duration::from_secs(1));
    until(&store, &[]).await;
}

/// A probe is due at once; its result shows everywhere; a restart asks anew.
pub async fn probes_decide_and_are_forgotten<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let check = HealthSource::Active(HealthCheck::new(CheckKind::Tcp));
    let service = orders(&store, check).await;
    let command = registration(service, "i1", &[(IPV4, "127.0.0.1"), (PORT, "8001")], 3);
    store.register_instance(command).await.unwrap();
    drop(store);
    for healthy in [true, false] {
        let (probes, next) = stage.store().due_probes(10, 7);
        let [probe] = &probes[..] else {
            panic!("one probe: {probes:?}");
        };
        assert_eq!(
            (probe.address, probe.name.as_str()),
            (([127, 0, 0, 1], 8001).into(), "i1.orders.shop")
        );
        assert!(next.is_some());
        let result = ProbeResult {
            service,
            instance: probe.instance.clone(),
            generation: probe.generation,
            passed: healthy,
        };
        assert!(stage.store().probe_result(result));
        let filter = if healthy {
            HealthFilter::Healthy
        } else {
            HealthFilter::Unhealthy
        };
        assert_eq!(discover(&stage.store(), filter).await, ["i1"]);
        stage.restart();
    }
}

/// A pushed status is durable.
pub async fn pushed_health_is_kept<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let service = orders(&store, HealthSource::Custom).await;
    store
        .register_instance(registration(service, "i1", &[], 3))
        .await
        .unwrap();
    store
        .register_instance(registration(service, "i2", &[], 4))
        .await
        .unwrap();
    let push = UpdateCustomHealth {
        service,
        instance: "i1".into(),
        healthy: false,
    };
    store.update_custom_health(push).await.unwrap();
    assert_eq!(discover(&store, HealthFilter::default()).await, ["i2"]);
    drop(store);
    stage.restart();
    assert_eq!(discover(&stage.store(), HealthFilter::Unhealthy).await, ["i1"]);
}

/// A watcher that follows the changes knows what one that reads everything knows.
pub async fn watchers_hear_of_everything<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let mut bell = store.registry_changes();
    let first = store.changes_since(0).await;
    assert!(first.full && first.services.is_empty());
    store.put_instance(put("i1", Some(LEASE_MS))).await.unwrap();
    timeout(SOON, bell.changed()).await.unwrap().unwrap();
    let second = store.changes_since(first.seen).await;
    assert_eq!(second.namespaces.unwrap().len(), 1);
    assert_eq!(second.services[0].1.len(), 1);
    bell.borrow_and_update();
    store.put_instance(put("i1", Some(LEASE_MS))).await.unwrap();
    assert!(!bell.has_changed().unwrap(), "a renewal is no news");
    stage.pass(Duration::from_secs(10));
    timeout(SOON, bell.changed()).await.unwrap().unwrap();
    let third = store.changes_since(second.seen).await;
    assert!(!third.full && third.namespaces.is_none());
    assert_eq!(third.services[0].1[0].health.status, HealthStatus::Unhealthy);
}

/// Concurrent puts all arrive, and create what they share once.
pub async fn many_register_at_once<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let mut tasks = JoinSet::new();
    for n in 0..64_u64 {
        let store = store.clone();
        tasks.spawn(async move {
            let command = PutInstance {
                new_namespace: NamespaceId(100 + n),
                new_service: ServiceId(100 + n),
                ..put(&format!("i{n}"), None)
            };
            store.put_instance(command).await
        });
    }
    for outcome in tasks.join_all().await {
        assert_eq!(outcome, Ok(PutOutcome::Created));
    }
    assert_eq!(statuses(&store).await.len(), 64);
    let page = Page {
        after: None,
        limit: 10,
    };
    assert_eq!(store.list_services(None, page).await.unwrap().entries.len(), 1);
}

/// Nothing is left after a reset, now or after a restart, and watchers are told.
pub async fn a_reset_drops_all<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    store.put_instance(put("i1", Some(LEASE_MS))).await.unwrap();
    let seen = store.changes_since(0).await.seen;
    store.reset_registry().await.unwrap();
    let changes = store.changes_since(seen).await;
    assert!(changes.full && changes.services.is_empty());
    drop(store);
    stage.restart();
    let store = stage.store();
    assert!(store.changes_since(0).await.services.is_empty());
    assert_eq!(store.put_instance(put("i1", None)).await, Ok(PutOutcome::Created));
}
