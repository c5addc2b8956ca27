//! What is durable: registrations, operations, pushed health; and what concurrent callers see of each other.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tsugite_registry::*;

use super::{LEASE_MS, SOON, Stage, discover, map, named, orders, put, registration, statuses, uuid};
use crate::{Failure, RegistryStore};

/// Register, find, change, deregister, delete; each step with its operation.
pub async fn an_instance_goes_through_its_life<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let service = orders(&store, HealthSource::None).await;
    let operation = store
        .register_instance(registration(service, "i1", &[("a", "1")], 3))
        .await
        .unwrap()
        .operation;
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
    assert_eq!(view.attributes, map(&[("a", "2")]));
    assert_eq!(discover(&store, HealthFilter::default()).await, ["i1"]);
    let gone = DeregisterInstance {
        operation: uuid(5),
        service,
        instance: "i1".into(),
        drain_ms: None,
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
        drain_ms: None,
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
    assert_eq!(view.attributes, map(&[("n", "19")]));
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

/// Who is leaving leaves after a restart too, and the operation that waits for it ends then.
pub async fn leaving_is_kept<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let service = orders(&store, HealthSource::None).await;
    for (n, id) in ["told", "in-time"].into_iter().enumerate() {
        let n = u8::try_from(n).unwrap();
        store
            .register_instance(registration(service, id, &[], 10 + n))
            .await
            .unwrap();
        let gone = DeregisterInstance {
            operation: uuid(20 + n),
            service,
            instance: id.into(),
            drain_ms: Some(30_000),
        };
        assert_eq!(store.deregister_instance(gone).await.unwrap(), uuid(20 + n));
    }
    drop(store);
    stage.restart();
    let store = stage.store();
    let status = async |n| store.get_operation(uuid(n)).await.unwrap().status;
    assert_eq!(
        (status(20).await, status(21).await),
        (OperationStatus::Pending, OperationStatus::Pending)
    );
    assert!(discover(&store, HealthFilter::default()).await.is_empty());
    let (_, leavers) = store.leavers().await;
    let told = leavers
        .iter()
        .find(|leaver| &*leaver.key.instance == "told")
        .unwrap();
    store.finish_leaving(told.clone()).await.unwrap();
    assert_eq!(
        (status(20).await, status(21).await),
        (OperationStatus::Success, OperationStatus::Pending)
    );
    stage.pass(Duration::from_secs(30));
    let mut changes = store.registry_changes();
    let wait = async {
        while !store.leavers().await.1.is_empty() {
            changes.changed().await.unwrap();
        }
    };
    timeout(SOON, wait).await.unwrap();
    assert_eq!(status(21).await, OperationStatus::Success);
    assert!(discover(&store, HealthFilter::All).await.is_empty());
}

/// What an operator said of an instance is durable.
pub async fn an_operators_word_is_kept<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    store.put_instance(put("i1", None)).await.unwrap();
    let out = |out: Option<&str>| SetAdminHealth {
        name: named("i1"),
        out: out.map(str::to_owned),
    };
    store.set_admin_health(out(Some("a new disk"))).await.unwrap();
    drop(store);
    stage.restart();
    let store = stage.store();
    assert_eq!(statuses(&store).await, [("i1".into(), HealthStatus::Unhealthy)]);
    store.set_admin_health(out(None)).await.unwrap();
    assert_eq!(statuses(&store).await, [("i1".into(), HealthStatus::Healthy)]);
    let beats = Heartbeats {
        namespace: "internal".into(),
        service: "orders".into(),
        instances: (0..5_000).map(|n| format!("i{n}")).collect(),
    };
    let unknown = store.heartbeats(beats).await.unwrap();
    assert_eq!((unknown.len(), unknown[0].as_str()), (4_999, "i0"));
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

/// Changes of namespaces and services, tags and attributes.
pub async fn changes_survive_a_restart<S: Stage<Store: RegistryStore>>(stage: &mut S) {
    let store = stage.store();
    let service = orders(&store, HealthSource::None).await;
    let update = UpdateNamespace {
        id: NamespaceId(1),
        kind: NamespaceKind::Http,
        operation: uuid(7),
        description: Some("of the shop".into()),
        soa_ttl: None,
        updater_request_id: Some("u".into()),
    };
    assert_eq!(store.update_namespace(update.clone()).await.unwrap(), uuid(7));
    let described = UpdateService {
        id: service,
        operation: uuid(8),
        description: Some("takes orders".into()),
        records: None,
        check: Some(HealthCheck::new(CheckKind::Tcp)),
    };
    assert_eq!(store.update_service(described).await.unwrap(), uuid(8));
    let attributes = ChangeServiceAttributes {
        id: service,
        set: map(&[("port", "80"), ("old", "x")]),
        remove: vec![],
    };
    store.change_service_attributes(attributes).await.unwrap();
    let removed = ChangeServiceAttributes {
        id: service,
        set: map(&[]),
        remove: vec!["old".into()],
    };
    store.change_service_attributes(removed).await.unwrap();
    let tags = ChangeTags {
        resource: Resource::Service(service),
        set: map(&[("k", "v")]),
        remove: vec![],
    };
    store.change_tags(tags).await.unwrap();
    drop(store);
    stage.restart();
    let store = stage.store();
    let again = UpdateNamespace {
        operation: uuid(9),
        ..update
    };
    assert_eq!(
        store.update_namespace(again).await.unwrap(),
        uuid(7),
        "the same request"
    );
    let view = store.get_service(service).await.unwrap().service;
    assert_eq!(view.description.as_deref(), Some("takes orders"));
    assert!(matches!(view.health, HealthSource::Active(_)));
    assert_eq!(
        store.service_attributes(service).await.unwrap(),
        map(&[("port", "80")])
    );
    assert_eq!(
        store.tags(Resource::Service(service)).await.unwrap(),
        map(&[("k", "v")])
    );
    let of_namespace = store.tags(Resource::Namespace(NamespaceId(1))).await.unwrap();
    assert_eq!(of_namespace, map(&[("team", "shop")]), "given at creation");
    let updated = store.get_operation(uuid(8)).await.unwrap();
    assert_eq!(
        (updated.kind, updated.service),
        (OperationKind::UpdateService, Some(service))
    );
}
