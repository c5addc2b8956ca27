//! Namespaces, services, instances, operations: what is allowed, what is refused, what is remembered.

use super::*;

#[test]
fn namespaces_are_created_once() {
    let mut rig = Rig::new();
    let first = rig.namespace("Shop", NamespaceKind::Http).unwrap();
    let again = rig.namespace("shop", NamespaceKind::DnsPrivate);
    assert!(matches!(again, Err(CreateNamespaceError::NamespaceAlreadyExists(e)) if e.id == first));
    assert_eq!(rig.registry.get_namespace(first).unwrap().namespace.name, "Shop");
}

#[test]
fn a_repeated_creator_request_answers_as_before() {
    let mut rig = Rig::new();
    let mut command = CreateNamespace {
        id: NamespaceId(1),
        operation: Uuid([1; 16]),
        name: "shop".into(),
        kind: NamespaceKind::Http,
        description: None,
        creator_request_id: Some("r1".into()),
        soa_ttl: None,
        tags: Tags::new(),
    };
    let first = rig.run(|r, now| r.create_namespace(command.clone(), now));
    (command.id, command.operation) = (NamespaceId(2), Uuid([2; 16]));
    assert_eq!(rig.run(|r, now| r.create_namespace(command.clone(), now)), first);
    assert_eq!(rig.log.len(), 1);
    command.creator_request_id = Some("r2".into());
    assert!(
        rig.run(|r, now| r.create_namespace(command.clone(), now))
            .is_err()
    );
    (command.name, command.creator_request_id) = ("another".into(), Some("r1".into()));
    let other = rig.run(|r, now| r.create_namespace(command, now));
    assert!(
        matches!(other, Err(CreateNamespaceError::DuplicateRequest(e)) if e.operation == first.clone().ok()),
        "one request id, two requests"
    );

    let mut command = rig.service_command(NamespaceId(1), "orders", HealthSource::None);
    command.creator_request_id = Some("r3".into());
    let first = rig.run(|r, now| r.create_service(command.clone(), now)).unwrap();
    command.id = ServiceId(99);
    let again = rig.run(|r, now| r.create_service(command.clone(), now)).unwrap();
    assert_eq!(first, again);
    command.health = HealthSource::Custom;
    assert!(rig.run(|r, now| r.create_service(command, now)).is_err());

    let mut command = RegisterInstance {
        operation: Uuid([3; 16]),
        service: first.service.id,
        instance: "i1".into(),
        attributes: map(&[("color", "red")]),
        creator_request_id: Some("r4".into()),
    };
    let first = rig.run(|r, now| r.register_instance(command.clone(), now));
    command.operation = Uuid([4; 16]);
    assert_eq!(rig.run(|r, now| r.register_instance(command.clone(), now)), first);
    command.attributes = map(&[("color", "blue")]);
    let other = rig.run(|r, now| r.register_instance(command, now));
    assert!(
        matches!(other, Err(RegisterError::DuplicateRequest(e)) if e.operation == first.ok().map(|done| done.operation))
    );
}

#[test]
fn what_holds_something_cannot_be_deleted() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    rig.register(service, "i1", &[]).unwrap();
    let namespace = rig.registry.get_service(service).unwrap().service.namespace;
    let delete_namespace = DeleteNamespace {
        id: namespace,
        operation: Uuid([9; 16]),
    };
    let in_use = rig.run(|r, now| r.delete_namespace(&delete_namespace, now));
    assert_eq!(
        in_use.unwrap_err().to_string(),
        format!("namespace {namespace} still has 1 services")
    );
    assert!(rig.run(|r, _| r.delete_service(service)).is_err());
    let gone = DeregisterInstance {
        operation: Uuid([8; 16]),
        service,
        instance: "i1".into(),
        drain_ms: None,
    };
    rig.run(|r, now| r.deregister_instance(&gone, now)).unwrap();
    assert!(rig.run(|r, now| r.deregister_instance(&gone, now)).is_err());
    rig.run(|r, _| r.delete_service(service)).unwrap();
    rig.run(|r, now| r.delete_namespace(&delete_namespace, now))
        .unwrap();
    assert!(rig.registry.namespace_names.is_empty() && rig.registry.service_names.is_empty());
    assert!(rig.namespace("shop", NamespaceKind::Http).is_ok());
}

#[test]
fn service_names_differ_by_case_only_where_dns_does_not_see_them() {
    let mut rig = Rig::new();
    let http = rig.namespace("h", NamespaceKind::Http).unwrap();
    let dns = rig.namespace("d", NamespaceKind::DnsPrivate).unwrap();
    for (namespace, allowed) in [(http, true), (dns, false)] {
        rig.service(namespace, "orders", HealthSource::None).unwrap();
        let second = rig.service(namespace, "Orders", HealthSource::None);
        assert_eq!(second.is_ok(), allowed, "{namespace}");
        assert!(rig.service(namespace, "orders", HealthSource::None).is_err());
    }
    let exact = |name: &str| rig.registry.show_service("h", name).unwrap().0.service.name;
    assert_eq!(
        (exact("orders"), exact("Orders")),
        ("orders".into(), "Orders".into())
    );
}

#[test]
fn names_have_rules() {
    let mut rig = Rig::new();
    for (name, http, dns) in [
        ("a", true, true),
        ("a.b-c.example", true, true),
        ("", false, false),
        ("with space", false, false),
        ("arn:aws:x", false, false),
        ("a..b", true, false),
        (&"x".repeat(64), true, false),
        (&"x".repeat(1025), false, false),
    ] {
        for (kind, expected) in [(NamespaceKind::Http, http), (NamespaceKind::DnsPrivate, dns)] {
            let made = Rig::new().namespace(name, kind);
            assert_eq!(made.is_ok(), expected, "{name} {kind:?}");
        }
    }
    let namespace = rig.namespace("n", NamespaceKind::Http).unwrap();
    for (name, expected) in [
        ("orders", true),
        ("o", true),
        ("_http._tcp.orders", true),
        ("orders-2", true),
        ("my orders", true),
        (" orders", false),
        ("-orders", false),
        ("orders-", false),
        ("_", false),
        ("a..b", false),
        ("ä", false),
        ("", false),
        (&"x".repeat(64), false),
        (&["x"; 64].join("."), true),
        (&["x"; 65].join("."), false),
    ] {
        let made = rig.service(namespace, name, HealthSource::None);
        assert_eq!(made.is_ok(), expected, "{name}");
    }
}

#[test]
fn dns_configs_that_are_not_served_are_refused() {
    use RecordType::{A, Aaaa, Cname, Srv};
    let mut rig = Rig::new();
    let dns = rig.namespace("d", NamespaceKind::DnsPrivate).unwrap();
    let http = rig.namespace("h", NamespaceKind::Http).unwrap();
    for (namespace, kinds, ttl, expected) in [
        (dns, vec![A], 0, true),
        (dns, vec![Aaaa], 1, true),
        (dns, vec![A, Aaaa], 1, true),
        (dns, vec![Srv], i32::MAX as u32, true),
        (dns, vec![Srv], i32::MAX as u32 + 1, false),
        (dns, vec![A, Srv], 1, false),
        (dns, vec![A, A], 1, false),
        (dns, vec![], 1, false),
        (http, vec![A], 1, true),
        (dns, vec![Cname], 1, false),
    ] {
        let name = format!("s{}", rig.draw());
        let mut command = rig.service_command(namespace, &name, HealthSource::None);
        let records = kinds
            .iter()
            .map(|&kind| DnsRecord { kind, ttl: Some(ttl) })
            .collect();
        command.dns = Some(DnsConfig {
            routing: RoutingPolicy::Multivalue,
            records,
        });
        let made = rig.run(|r, now| r.create_service(command, now));
        assert_eq!(made.is_ok(), expected, "{kinds:?} {ttl}");
    }
}

#[test]
fn attributes_have_rules() {
    let long = "x".repeat(1025);
    let key = "k".repeat(256);
    for (health, key, value, expected) in [
        (HealthSource::None, IPV4, "10.0.0.1", true),
        (HealthSource::None, IPV4, "10.0.0.256", false),
        (HealthSource::None, IPV6, "::1", true),
        (HealthSource::None, IPV6, "10.0.0.1", false),
        (HealthSource::None, PORT, "65535", true),
        (HealthSource::None, PORT, "65536", false),
        (HealthSource::None, PROTOCOL, "grpc", true),
        (HealthSource::None, PROTOCOL, "smtp", false),
        (HealthSource::Custom, INIT_HEALTH, "UNHEALTHY", true),
        (HealthSource::Custom, INIT_HEALTH, "unhealthy", false),
        (HealthSource::None, INIT_HEALTH, "HEALTHY", false),
        (HealthSource::None, "AWS_ALIAS_DNS_NAME", "x.example", false),
        (HealthSource::None, "AWS_EC2_INSTANCE_ID", "i-1", true),
        (HealthSource::None, "AWS_INSTANCE_CNAME", "x.example", true),
        (HealthSource::None, "AWS_INSTANCE_CNAME", "x..example", false),
        (HealthSource::None, "TSUGITE_WEIGHT", "0", true),
        (HealthSource::None, "TSUGITE_WEIGHT", "1001", false),
        (HealthSource::None, "TSUGITE_WEIGHT", "much", false),
        (HealthSource::None, "TSUGITE_TTL_MS", "100", true),
        (HealthSource::None, "TSUGITE_TTL_MS", "99", false),
        (HealthSource::None, "TSUGITE_ZONE", "a", true),
        (HealthSource::None, "TSUGITE_ZONE", "", false),
        (HealthSource::None, "TSUGITE_OPENAPI", "/openapi.json", true),
        (HealthSource::None, "TSUGITE_OPENAPI", "ftp://x/", false),
        (HealthSource::None, "TSUGITE_PROTO", "https://x/api.pb", true),
        (HealthSource::None, "color", "light blue", true),
        (HealthSource::None, "color", "", true),
        (HealthSource::None, "color", " blue", false),
        (HealthSource::None, "color", "blau-ä", false),
        (HealthSource::None, "color", &long, false),
        (HealthSource::None, "", "x", false),
        (HealthSource::None, "a b", "x", false),
        (HealthSource::None, &key, "x", false),
    ] {
        let (mut rig, service) = Rig::orders(health);
        let result = rig.register(service, "i", &[(key, value)]);
        assert_eq!(result.is_ok(), expected, "{key}={value}: {result:?}");
    }
}

#[test]
fn attributes_are_bounded_in_number_and_size() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    let many = |n: usize| -> Attributes { (0..n).map(|i| (format!("k{i}"), "v".into())).collect() };
    let big = |n: usize| -> Attributes { (0..n).map(|i| (format!("k{i}"), "v".repeat(998))).collect() };
    for (attributes, expected) in [
        (many(30), true),
        (many(31), false),
        (big(5), true),
        (big(6), false),
    ] {
        let command = RegisterInstance {
            operation: rig.draw_uuid(),
            service,
            instance: "i".into(),
            attributes,
            creator_request_id: None,
        };
        let result = rig.run(|r, now| r.register_instance(command, now));
        assert_eq!(result.is_ok(), expected, "{result:?}");
    }
    for (id, expected) in [
        ("a/b:c.d@e-f_1", true),
        ("", false),
        ("a b", false),
        (&"x".repeat(65), false),
    ] {
        assert_eq!(rig.register(service, id, &[]).is_ok(), expected, "{id}");
    }
}

#[test]
fn limits_hold() {
    let settings = Settings {
        operations: 2,
        namespaces: 1,
        services: 1,
        instances: 1,
        dns_ttl: 1,
        validation: Validation::Lenient,
        min_available_percent: 50,
    };
    let mut rig = Rig::with(settings);
    let namespace = rig.namespace("a", NamespaceKind::Http).unwrap();
    assert!(rig.namespace("b", NamespaceKind::Http).is_err());
    let service = rig.service(namespace, "s", HealthSource::None).unwrap();
    assert!(rig.service(namespace, "t", HealthSource::None).is_err());
    let first = rig.register(service, "i", &[]).unwrap();
    let full = rig.register(service, "j", &[]);
    assert_eq!(
        full.unwrap_err().to_string(),
        "there are 1 instances already, which is the limit"
    );
    let second = rig.register(service, "i", &[("again", "yes")]).unwrap();
    assert!(rig.registry.get_operation(first).is_ok());
    rig.register(service, "i", &[]).unwrap();
    assert!(rig.registry.get_operation(first).is_err(), "forgotten");
    assert_eq!(
        rig.registry.get_operation(second).unwrap().instance.as_deref(),
        Some("i")
    );
}

#[test]
fn operations_are_listed_latest_first_and_filtered() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    let made: Vec<_> = (0..5)
        .map(|n| rig.register(service, &format!("i{n}"), &[]).unwrap())
        .collect();
    let filter = |field, condition, values: &[&str]| Filter {
        field,
        condition,
        values: values.iter().map(|&v| v.into()).collect(),
    };
    let by_type = filter(OperationField::Type, Condition::Eq, &["REGISTER_INSTANCE"]);
    let first = rig
        .registry
        .list_operations(std::slice::from_ref(&by_type), &page(3))
        .unwrap();
    let ids = |listed: &Listed<Operation>| listed.entries.iter().map(|o| o.id).collect::<Vec<_>>();
    assert_eq!(ids(&first), [made[4], made[3], made[2]]);
    // A new operation between two pages disturbs neither.
    rig.register(service, "late", &[]).unwrap();
    let rest = Page {
        after: first.next,
        limit: 3,
    };
    let second = rig.registry.list_operations(&[by_type], &rest).unwrap();
    assert_eq!((ids(&second), second.next), (vec![made[1], made[0]], None));
    for (filter, expected) in [
        (filter(OperationField::Status, Condition::Eq, &["FAIL"]), 0),
        (
            filter(OperationField::Status, Condition::In, &["FAIL", "SUCCESS"]),
            7,
        ),
        (
            filter(OperationField::ServiceId, Condition::Eq, &[&service.to_string()]),
            6,
        ),
        (
            filter(OperationField::UpdateDate, Condition::Between, &["0", "1000"]),
            7,
        ),
        (
            filter(OperationField::UpdateDate, Condition::Between, &["0", "999"]),
            0,
        ),
    ] {
        let found = rig
            .registry
            .list_operations(std::slice::from_ref(&filter), &page(100))
            .unwrap();
        assert_eq!(found.entries.len(), expected, "{filter:?}");
    }
    let bad = Page {
        after: Some("x".into()),
        limit: 1,
    };
    assert!(rig.registry.list_operations(&[], &bad).is_err());
}

#[test]
fn lists_are_paged_without_loss_or_repeat() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    for n in 0..7 {
        rig.register(service, &format!("i{n}"), &[]).unwrap();
        rig.namespace(&format!("n{n}"), NamespaceKind::DnsPrivate)
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut at = page(3);
    loop {
        let listed = rig.registry.list_instances(service, &at).unwrap();
        seen.extend(listed.entries.iter().map(|i| i.id.to_string()));
        match listed.next {
            Some(next) => at.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["i0", "i1", "i2", "i3", "i4", "i5", "i6"]);
    let by_type = Filter {
        field: NamespaceField::Type,
        condition: Condition::Eq,
        values: vec!["DNS_PRIVATE".into()],
    };
    let first = rig
        .registry
        .list_namespaces(std::slice::from_ref(&by_type), &page(4))
        .unwrap();
    let rest = Page {
        after: first.next,
        limit: 4,
    };
    let second = rig.registry.list_namespaces(&[by_type], &rest).unwrap();
    assert_eq!(first.entries.len() + second.entries.len(), 7);
    assert_eq!(second.next, None);
    let all = rig.registry.list_services(None, &page(1)).unwrap();
    assert_eq!((all.entries.len(), all.next), (1, None));
    assert!(
        rig.registry
            .list_services(Some(&[]), &page(1))
            .unwrap()
            .entries
            .is_empty()
    );
}

#[test]
fn revisions_grow_with_instances_and_never_repeat() {
    let (mut rig, service) = Rig::orders(HealthSource::Custom);
    let revision = |rig: &Rig| rig.registry.discover_revision("shop", "orders").unwrap();
    let mut last = revision(&rig);
    let mut grew = |rig: &Rig, expected: bool| {
        let now = revision(rig);
        assert_eq!(now > last, expected);
        last = now;
    };
    rig.register(service, "i", &[]).unwrap();
    grew(&rig, true);
    rig.register(service, "i", &[("color", "red")]).unwrap();
    grew(&rig, true);
    rig.register(service, "i", &[("color", "red")]).unwrap();
    grew(&rig, false);
    let health = UpdateCustomHealth {
        service,
        instance: "i".into(),
        healthy: false,
    };
    rig.run(|r, _| r.update_custom_health(&health)).unwrap();
    grew(&rig, false);
    let gone = DeregisterInstance {
        operation: Uuid([8; 16]),
        service,
        instance: "i".into(),
        drain_ms: None,
    };
    rig.run(|r, now| r.deregister_instance(&gone, now)).unwrap();
    grew(&rig, true);
    rig.run(|r, _| r.delete_service(service)).unwrap();
    let namespace = rig.registry.namespace_named("shop").unwrap().namespace.id;
    let service = rig.service(namespace, "orders", HealthSource::None).unwrap();
    rig.register(service, "i", &[]).unwrap();
    grew(&rig, true);
}

#[test]
fn ids_have_one_form() {
    let id = ServiceId(0x1234);
    assert_eq!(id.to_string(), "srv-0000000000001234");
    assert_eq!(id.to_string().parse(), Ok(id));
    for bad in [
        "",
        "srv-",
        "srv-1234",
        "ns-0000000000001234",
        "srv-+000000000001234",
        "srv-000000000000123g",
    ] {
        assert!(bad.parse::<ServiceId>().is_err(), "{bad}");
    }
}
