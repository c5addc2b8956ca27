//! Changes of namespaces and services, their tags and attributes, and what strict validation refuses.

use super::*;

fn update(id: NamespaceId, request: &str, description: &str) -> UpdateNamespace {
    UpdateNamespace {
        id,
        kind: NamespaceKind::DnsPrivate,
        operation: Uuid([7; 16]),
        description: Some(description.into()),
        soa_ttl: Some(9),
        updater_request_id: Some(request.into()),
    }
}

#[test]
fn namespaces_change_once_a_request() {
    let mut rig = Rig::new();
    let id = rig.namespace("n", NamespaceKind::DnsPrivate).unwrap();
    let first = rig
        .run(|r, now| r.update_namespace(update(id, "u1", "d"), now))
        .unwrap();
    let view = rig.registry.get_namespace(id).unwrap();
    assert_eq!(
        (view.namespace.description.as_deref(), view.soa_ttl),
        (Some("d"), 9)
    );
    assert_eq!(
        rig.registry.get_operation(first).unwrap().kind,
        OperationKind::UpdateNamespace
    );
    let logged = rig.log.len();
    let again = UpdateNamespace {
        operation: Uuid([8; 16]),
        ..update(id, "u1", "d")
    };
    assert_eq!(rig.run(|r, now| r.update_namespace(again, now)).unwrap(), first);
    assert_eq!(rig.log.len(), logged);
    let other = rig.run(|r, now| r.update_namespace(update(id, "u1", "e"), now));
    assert!(matches!(other, Err(UpdateNamespaceError::DuplicateRequest(e)) if e.operation == Some(first)));
    let http = UpdateNamespace {
        kind: NamespaceKind::Http,
        ..update(id, "u2", "e")
    };
    let other = rig.run(|r, now| r.update_namespace(http, now));
    assert!(
        matches!(other, Err(UpdateNamespaceError::NamespaceNotFound(_))),
        "another kind"
    );
    assert_eq!(snapshot(&rig.replayed()), snapshot(&rig.registry));
}

#[test]
fn what_an_update_of_a_service_leaves_out_is_removed_except_pushed_health() {
    let mut rig = Rig::new();
    let namespace = rig.namespace("n", NamespaceKind::DnsPublic).unwrap();
    let check = HealthCheck::new(CheckKind::Tcp);
    let record = |kind, ttl| DnsRecord { kind, ttl: Some(ttl) };
    for (name, health) in [
        ("a", HealthSource::Active(check.clone())),
        ("c", HealthSource::Custom),
    ] {
        let mut command = rig.service_command(namespace, name, health.clone());
        command.dns = Some(DnsConfig {
            routing: RoutingPolicy::Weighted,
            records: vec![record(RecordType::A, 5)],
        });
        let id = command.id;
        rig.run(|r, now| r.create_service(command, now)).unwrap();
        let update = |records, check| UpdateService {
            id,
            operation: Uuid([7; 16]),
            description: None,
            records,
            check,
        };
        let wrong = update(Some(vec![record(RecordType::Srv, 5)]), None);
        let refused = rig.run(|r, now| r.update_service(wrong, now)).unwrap_err();
        assert!(
            refused.to_string().contains("Must have the types of the service"),
            "{refused}"
        );
        let with_check = update(None, Some(check.clone()));
        let allowed = rig.run(|r, now| r.update_service(with_check, now)).is_ok();
        assert_eq!(allowed, health != HealthSource::Custom);
        let new_ttl = update(Some(vec![record(RecordType::A, 6)]), None);
        if allowed {
            assert!(rig.registry.get_service(id).unwrap().service.dns.is_none());
        }
        rig.run(|r, now| r.update_service(new_ttl, now)).unwrap();
        let now = rig.registry.get_service(id).unwrap().service;
        assert_eq!(now.dns.unwrap().records, [record(RecordType::A, 6)]);
        assert_eq!(now.health == HealthSource::Custom, health == HealthSource::Custom);
        assert_eq!(now.health == HealthSource::None, allowed);
    }
}

#[test]
fn a_check_that_comes_or_goes_reaches_every_instance() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    rig.register(service, "i", &[(IPV4, "127.0.0.1")]).unwrap();
    rig.register(service, "nowhere", &[]).unwrap();
    let with = |check| UpdateService {
        id: service,
        operation: Uuid([7; 16]),
        description: None,
        records: None,
        check,
    };
    let check = HealthCheck::new(CheckKind::Tcp);
    let on = with(Some(check.clone()));
    rig.run(|r, now| r.update_service(on, now)).unwrap();
    let now = rig.now();
    let probes = rig.registry.due_probes(10, SEED, now);
    assert_eq!(probes.len(), 1, "only what has an address can be probed");
    let status = |rig: &Rig| rig.registry.get_instance(service, "i").unwrap().health.status;
    assert_eq!(status(&rig), HealthStatus::Unknown);
    let now = rig.now();
    rig.registry.probe_result(&answer(&probes[0], false), now);
    let patient = with(Some(HealthCheck {
        unhealthy: 5,
        ..check
    }));
    rig.run(|r, now| r.update_service(patient, now)).unwrap();
    assert_eq!(status(&rig), HealthStatus::Unhealthy, "the verdict stays");
    assert!(
        rig.registry.next_probe() <= Some(rig.now().steady),
        "and is looked into at once"
    );
    let off = with(None);
    rig.run(|r, now| r.update_service(off, now)).unwrap();
    assert_eq!(
        (status(&rig), rig.registry.next_probe()),
        (HealthStatus::Healthy, NEVER)
    );
}

#[test]
fn tags_are_set_removed_and_bounded() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    let resource = Resource::Service(service);
    let many = |n: usize| -> Tags { (0..n).map(|i| (format!("k{i}"), "v".into())).collect() };
    let change = |set: Tags, remove: &[&str]| ChangeTags {
        resource,
        set,
        remove: remove.iter().map(|&key| key.into()).collect(),
    };
    rig.run(|r, _| r.change_tags(change(many(50), &[]))).unwrap();
    let logged = rig.log.len();
    rig.run(|r, _| r.change_tags(change(many(50), &["absent"])))
        .unwrap();
    assert_eq!(rig.log.len(), logged, "nothing changed");
    let more = rig.run(|r, _| r.change_tags(change(map(&[("one", "more")]), &[])));
    assert!(matches!(more, Err(TagError::TooManyTags(e)) if (e.count, e.limit) == (51, 50)));
    rig.run(|r, _| r.change_tags(change(map(&[("one", "more")]), &["k0"])))
        .unwrap();
    let tags = rig.registry.tags(resource).unwrap();
    assert_eq!(
        (tags.len(), tags.get("k0"), tags["one"].as_str()),
        (50, None, "more")
    );
    for (key, value) in [
        ("", "x"),
        ("aws:x", "x"),
        (&"k".repeat(129), "x"),
        ("k", &"v".repeat(257)),
    ] {
        assert!(
            rig.run(|r, _| r.change_tags(change(map(&[(key, value)]), &[])))
                .is_err(),
            "{key}"
        );
    }
    let nothing = Resource::Namespace(NamespaceId(99));
    assert!(rig.registry.tags(nothing).is_err());
    let mut command = rig.service_command(NamespaceId(99), "tagged", HealthSource::None);
    command.namespace = rig.registry.get_service(service).unwrap().service.namespace;
    command.tags = many(51);
    let refused = rig.run(|r, now| r.create_service(command.clone(), now));
    assert!(matches!(refused, Err(CreateServiceError::TooManyTags(_))));
    command.tags = many(2);
    let made = rig
        .run(|r, now| r.create_service(command, now))
        .unwrap()
        .service
        .id;
    assert_eq!(rig.registry.tags(Resource::Service(made)).unwrap().len(), 2);
    assert_eq!(snapshot(&rig.replayed()), snapshot(&rig.registry));
}

#[test]
fn service_attributes_merge_up_to_thirty() {
    let (mut rig, id) = Rig::orders(HealthSource::None);
    let many = |n: usize| -> Attributes { (0..n).map(|i| (format!("k{i}"), "v".into())).collect() };
    let change = |set: Attributes, remove: Vec<String>| ChangeServiceAttributes { id, set, remove };
    rig.run(|r, _| r.change_service_attributes(change(many(30), vec![])))
        .unwrap();
    rig.run(|r, _| r.change_service_attributes(change(map(&[("k3", "w")]), vec![])))
        .unwrap();
    let full = rig.run(|r, _| r.change_service_attributes(change(map(&[("x", "y")]), vec![])));
    assert!(matches!(
        full,
        Err(ServiceAttributesError::ServiceAttributesLimitExceeded(_))
    ));
    rig.run(|r, _| r.change_service_attributes(change(Attributes::new(), vec!["k0".into(), "none".into()])))
        .unwrap();
    let attributes = rig.registry.service_attributes(id).unwrap();
    assert_eq!((attributes.len(), attributes["k3"].as_str()), (29, "w"));
}

#[test]
fn strict_validation_refuses_what_aws_refuses() {
    use RecordType::{A, Aaaa, Cname, Srv};
    let strict = Settings {
        validation: Validation::Strict,
        ..Settings::default()
    };
    for (settings, strict) in [(Settings::default(), false), (strict, true)] {
        let mut rig = Rig::with(settings);
        assert_eq!(rig.namespace("no_dot", NamespaceKind::DnsPublic).is_err(), strict);
        assert!(rig.namespace("shop.example", NamespaceKind::DnsPublic).is_ok());
        let dns = rig.namespace("dns", NamespaceKind::DnsPrivate).unwrap();
        let http = rig.namespace("http", NamespaceKind::Http).unwrap();
        assert_eq!(
            rig.service(http, "my service", HealthSource::None).is_err(),
            strict
        );
        let active = HealthSource::Active(HealthCheck::new(CheckKind::Tcp));
        assert_eq!(rig.service(dns, "checked", active).is_err(), strict);
        for (records, attributes) in [
            (vec![A], vec![]),
            (vec![Aaaa], vec![(IPV4, "10.0.0.1")]),
            (vec![Srv], vec![(IPV4, "10.0.0.1")]),
            (vec![Srv], vec![(PORT, "80")]),
            (vec![Cname], vec![]),
            (vec![A], vec![(IPV4, "10.0.0.1"), ("AWS_NONSENSE", "x")]),
        ] {
            let name = format!("s{}", rig.draw());
            let mut command = rig.service_command(dns, &name, HealthSource::None);
            let records = records.iter().map(|&kind| DnsRecord { kind, ttl: Some(1) });
            command.dns = Some(DnsConfig {
                routing: RoutingPolicy::Weighted,
                records: records.collect(),
            });
            let id = command.id;
            rig.run(|r, now| r.create_service(command, now)).unwrap();
            let register = RegisterInstance {
                operation: Uuid([9; 16]),
                service: id,
                instance: "i".into(),
                attributes: map(&attributes),
                creator_request_id: None,
            };
            match rig.run(|r, now| r.register_instance(register, now)) {
                Ok(done) => assert!(!strict && done.lenient.is_some(), "{attributes:?}"),
                Err(error) => assert!(strict, "{attributes:?}: {error}"),
            }
        }
    }
}

#[test]
fn a_lease_among_the_attributes_is_kept() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    rig.register(service, "i", &[(LEASE, "3000")]).unwrap();
    assert_eq!(
        rig.registry.get_instance(service, "i").unwrap().lease_ms,
        Some(3_000)
    );
    rig.pass(2_999);
    rig.register(service, "i", &[(LEASE, "3000")]).unwrap();
    rig.pass(2_999);
    assert!(
        rig.registry.get_instance(service, "i").is_ok(),
        "registering again renews"
    );
    rig.pass(1);
    assert!(rig.registry.get_instance(service, "i").is_err());
}

/// Snapshots of earlier formats: a namespace, a service and an instance of it, as versions before wrote them.
#[test]
fn snapshots_of_earlier_formats_are_read() {
    use tsugite_base::codec::Put as _;

    let (mut rig, service) = Rig::orders(HealthSource::Custom);
    rig.register(service, "i", &[("color", "red")]).unwrap();
    let registry = &rig.registry;
    let state = &registry.services[&service];
    for format in [1, 2] {
        let mut old = vec![format];
        old.put_u64(registry.revision);
        old.put_u64(1);
        crate::codec::put_namespace(&mut old, &registry.namespaces.values().next().unwrap().namespace);
        if format > 1 {
            // No tags, no updater.
            old.put_u32(0);
            old.put_u8(0);
        }
        old.put_u64(1);
        crate::codec::put_service(&mut old, &state.service);
        if format > 1 {
            // No tags, no attributes.
            old.put_u32(0);
            old.put_u32(0);
        }
        old.put_u64(state.revision);
        old.put_u64(1);
        crate::codec::put_instance(&mut old, &state.instances["i"].instance);
        let operations: Vec<_> = registry.operations.iter().collect();
        old.put_u64(operations.len() as u64);
        for operation in operations {
            old.extend_from_slice(&operation.id.0);
            old.put_u8(if operation.instance.is_some() { 2 } else { 0 });
            old.put_time(operation.at);
            old.put_option(operation.namespace, |out, id| out.put_u64(id.0));
            old.put_option(operation.service, |out, id| out.put_u64(id.0));
            old.put_option(operation.instance.as_deref(), |out, id| out.put_str(id));
        }
        let restored = Registry::restore(&old, Settings::default(), rig.now()).unwrap();
        assert_eq!(snapshot(&restored), snapshot(registry), "format {format}");
    }
}
