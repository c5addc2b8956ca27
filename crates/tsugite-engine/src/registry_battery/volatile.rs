//! What is not stored: leases, results of probes; and who hears of changes.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::time::Duration;

use tokio::time::timeout;
use tsugite_registry::*;

use super::{LEASE_MS, SOON, Stage, discover, named, orders, put, registration, statuses, until};
use crate::RegistryStore;

/// Answers every probe that is due with silence.
fn deny<S: RegistryStore>(store: &S) {
    let (probes, _) = store.due_probes(100, 7);
    assert!(!probes.is_empty(), "somebody is in doubt");
    for probe in probes {
        store.probe_result(ProbeResult {
            service: probe.service,
            instance: probe.instance,
            generation: probe.generation,
            purpose: probe.purpose,
            passed: false,
        });
    }
}

/// After two thirds of its lease an instance is asked whether it is there. If it does not answer it is unhealthy; when
/// the lease is over the store removes it by itself, for good.
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
    deny(&store);
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
    deny(&store);
    until(&store, &[("i1", HealthStatus::Unhealthy)]).await;
    drop(store);
    stage.restart();
    let store = stage.store();
    until(&store, &[("i1", HealthStatus::Healthy)]).await;
    stage.pass(Duration::from_secs(14));
    deny(&store);
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
            purpose: probe.purpose,
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
    let suspect = &third.services[0].1[0];
    assert_eq!(suspect.health.lease, Some(LeaseHealth::Suspect));
    assert!(suspect.takes_calls);
}

/// Who watched before a restart sees that time went on, and is told anew; who watches after it hears of changes alone.
pub async fn indices_grow_over_restarts<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let bounds = Bounds {
        services: 10,
        instances: 10,
    };
    let scope = Scope::Namespace("internal".into());
    let name = ServiceName {
        namespace: "internal".into(),
        service: "orders".into(),
    };
    let store = stage.store();
    assert_eq!(store.service_index(&name).await, 0);
    store.put_instance(put("i1", None)).await.unwrap();
    let before = store.news(&scope, 0.into(), bounds).await;
    assert!(before.anew && before.complete && before.stories.len() == 1);
    assert_eq!(store.service_index(&name).await, before.stories[0].index());
    stage.pass(Duration::from_secs(1));
    drop(store);
    stage.restart();
    let store = stage.store();
    let after = store.news(&scope, before.index.into(), bounds).await;
    assert!(after.anew && after.index > before.index, "{after:?}");
    let seen = store.touched_since(after.index);
    assert!(!seen.all && seen.names.is_empty());
    store.put_instance(put("i2", None)).await.unwrap();
    let touched = store.touched_since(seen.index);
    assert_eq!((touched.all, touched.names), (false, vec![name.clone()]));
    let page = Page {
        after: None,
        limit: 1,
    };
    let sight = store.sight(name, page).await.unwrap();
    assert_eq!((sight.instances.len(), sight.next.as_deref()), (1, Some("i1")));
    assert!(sight.index > after.index);
}
