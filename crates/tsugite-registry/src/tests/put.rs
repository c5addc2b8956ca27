//! Puts by name, and what watchers are told.

use super::*;

#[test]
fn what_is_missing_is_created() {
    let mut rig = Rig::new();
    assert_eq!(rig.put("i1", Some(15_000)), PutOutcome::Created);
    let (service, instances) = rig.registry.show_service("internal", "orders").unwrap();
    assert_eq!(service.namespace_kind, NamespaceKind::DnsPrivate);
    let kinds: Vec<_> = service
        .service
        .dns
        .unwrap()
        .records
        .iter()
        .map(|r| r.kind.name())
        .collect();
    assert_eq!(kinds, ["A", "AAAA", "SRV"]);
    assert_eq!(
        instances[0].attributes,
        map(&[(IPV4, "127.0.0.1"), (PORT, "8001"), (PROTOCOL, "http")])
    );
    assert_eq!(
        address_of(&instances[0].attributes),
        "127.0.0.1:8001".parse().ok()
    );
    assert_eq!(rig.put("i2", Some(15_000)), PutOutcome::Created);
    assert_eq!(rig.log.len(), 4, "namespace and service are created once");
}

#[test]
fn a_put_that_contradicts_itself_is_refused() {
    let mut rig = Rig::new();
    for (key, value) in [
        (IPV4, "10.0.0.1"),
        (PORT, "1"),
        (PROTOCOL, "grpc"),
        (INIT_HEALTH, "HEALTHY"),
    ] {
        let mut command = rig.put_command("i1", None);
        command.attributes = map(&[(key, value)]);
        let refused = rig.run(|r, now| r.put_instance(command, now)).unwrap_err();
        assert!(refused.to_string().contains(key), "{refused}");
    }
    for lease in [0, 99, 86_400_001] {
        let command = rig.put_command("i1", Some(lease));
        assert!(rig.run(|r, now| r.put_instance(command, now)).is_err(), "{lease}");
    }
    for (namespace, service) in [
        ("", "orders"),
        ("a..b", "orders"),
        ("internal", ""),
        ("internal", "-"),
    ] {
        let mut command = rig.put_command("i1", None);
        (command.namespace, command.service) = (namespace.into(), service.into());
        assert!(
            rig.run(|r, now| r.put_instance(command, now)).is_err(),
            "{namespace} {service}"
        );
    }
    assert!(rig.log.is_empty());
}

#[test]
fn a_service_keeps_its_health_source() {
    let mut rig = Rig::new();
    let mut command = PutService {
        new_namespace: NamespaceId(1),
        new_service: ServiceId(2),
        namespace: "internal".into(),
        service: "orders".into(),
        health: Some(HealthSource::Active(HealthCheck::new(CheckKind::Tcp))),
    };
    let mut put = |command: &PutService| rig.run(|r, now| r.put_service(command, now));
    assert_eq!(put(&command), Ok(ServiceId(2)));
    command.new_service = ServiceId(3);
    assert_eq!(put(&command), Ok(ServiceId(2)));
    command.health = None;
    assert_eq!(put(&command), Ok(ServiceId(2)));
    command.health = Some(HealthSource::None);
    assert!(matches!(put(&command), Err(PutError::ServiceAlreadyExists(_))));
    let bad = HealthCheck {
        timeout_ms: 20_000,
        ..HealthCheck::new(CheckKind::Tcp)
    };
    command.health = Some(HealthSource::Active(bad));
    assert!(matches!(put(&command), Err(PutError::Invalid(_))));
}

fn ids(changes: &Changes) -> Vec<String> {
    changes
        .services
        .iter()
        .map(|(view, _)| view.service.name.clone())
        .collect()
}

#[test]
fn watchers_hear_of_what_changed_and_of_nothing_else() {
    let mut rig = Rig::new();
    let namespace = rig.namespace("n", NamespaceKind::Http).unwrap();
    let a = rig.service(namespace, "a", HealthSource::None).unwrap();
    let b = rig.service(namespace, "b", HealthSource::None).unwrap();
    let all = rig.registry.changes_since(0);
    assert_eq!(
        (ids(&all), all.full),
        (vec!["a".to_owned(), "b".to_owned()], true)
    );
    rig.register(a, "i", &[]).unwrap();
    rig.register(a, "j", &[]).unwrap();
    let one = rig.registry.changes_since(all.seen);
    assert_eq!(
        (all.namespaces.unwrap().len(), one.namespaces.is_none()),
        (1, true)
    );
    assert_eq!(
        (ids(&one), one.full, one.services[0].1.len()),
        (vec!["a".to_owned()], false, 2)
    );
    let none = rig.registry.changes_since(one.seen);
    assert!(none.services.is_empty() && none.removed.is_empty());
    rig.run(|r, _| r.delete_service(b)).unwrap();
    assert_eq!(rig.registry.changes_since(one.seen).removed, [b]);
    rig.namespace("m", NamespaceKind::Http).unwrap();
    let namespaces = rig.registry.changes_since(one.seen).namespaces;
    assert_eq!(namespaces.unwrap().len(), 2);
    let anew = rig.registry.changes_since(0);
    assert_eq!((ids(&anew), anew.removed.len()), (vec!["a".to_owned()], 0));
}

#[test]
fn a_watcher_that_fell_far_behind_gets_everything() {
    let mut rig = Rig::new();
    let namespace = rig.namespace("n", NamespaceKind::Http).unwrap();
    rig.service(namespace, "stays", HealthSource::None).unwrap();
    let seen = rig.registry.changes_since(0).seen;
    for n in 0..1_100 {
        let id = rig
            .service(namespace, &format!("s{n}"), HealthSource::None)
            .unwrap();
        rig.run(|r, _| r.delete_service(id)).unwrap();
    }
    let late = rig.registry.changes_since(seen);
    assert_eq!((ids(&late), late.full), (vec!["stays".to_owned()], true));
    let soon = rig.registry.changes_since(late.seen);
    assert!(!soon.full && soon.services.is_empty());
}

#[test]
fn reset_drops_everything_and_says_so() {
    let mut rig = Rig::new();
    rig.put("i1", Some(15_000));
    let seen = rig.registry.changes_since(0).seen;
    let record = rig.registry.reset(rig.now());
    rig.take(Decision::record(vec![record], ()));
    let changes = rig.registry.changes_since(seen);
    assert!(changes.full && changes.services.is_empty() && changes.seen > seen);
    assert_eq!(rig.registry.next_deadline(), NEVER);
    assert_eq!(rig.put("i1", Some(15_000)), PutOutcome::Created);
}
