//! Names and what they are answered with, without a socket.

use tsugite_base::Timestamp;
use tsugite_base::rng::SplitMix64;
use tsugite_discovery::dns::{CLASS_IN, Code, Data, Name, Query, Reply, kind};
use tsugite_registry::{
    Attributes, CNAME, Changes, DnsConfig, DnsRecord, Health, HealthSource, HealthStatus, IPV4, IPV6,
    InstanceView, Namespace, NamespaceId, NamespaceKind, NamespaceView, PORT, RecordType, RoutingPolicy,
    Service, ServiceId, ServiceView, WEIGHT,
};

use super::answer::answer;
use super::directory::Directory;

fn service(id: u64, name: &str, namespace: &str, kinds: &[RecordType]) -> ServiceView {
    let records = kinds
        .iter()
        .map(|&kind| DnsRecord { kind, ttl: Some(5) })
        .collect();
    ServiceView {
        service: Service {
            id: ServiceId(id),
            namespace: NamespaceId(1),
            name: name.into(),
            description: None,
            creator_request_id: None,
            dns: Some(DnsConfig {
                routing: RoutingPolicy::Multivalue,
                records,
            }),
            health: HealthSource::None,
            created: Timestamp(0),
        },
        namespace_name: namespace.into(),
        namespace_kind: NamespaceKind::DnsPrivate,
        soa_ttl: 1,
        default_ttl: 1,
        instances: 0,
        revision: 0,
    }
}

fn instance(id: &str, ip: &str, status: HealthStatus) -> InstanceView {
    let key = if ip.contains(':') { IPV6 } else { IPV4 };
    let attributes: Attributes = [(key, ip), (PORT, "8001")]
        .map(|(k, v)| (k.into(), v.into()))
        .into();
    InstanceView {
        id: id.into(),
        attributes: attributes.into(),
        health: Health {
            status,
            lease: None,
            active: None,
            custom: None,
        },
        lease_ms: None,
        lease_until: None,
        creator_request_id: None,
        registered: Timestamp(0),
    }
}

const ALL: &[RecordType] = &[RecordType::A, RecordType::Aaaa, RecordType::Srv];

fn namespace(name: &str, kind: NamespaceKind) -> NamespaceView {
    NamespaceView {
        namespace: Namespace {
            id: NamespaceId(1),
            name: name.into(),
            kind,
            description: None,
            creator_request_id: None,
            soa_ttl: None,
            operation: None,
            created: Timestamp(0),
        },
        soa_ttl: 1,
        services: 0,
    }
}

fn directory(services: Vec<(ServiceView, Vec<InstanceView>)>) -> Directory {
    let mut directory = Directory::default();
    let dns = ["n", "shop.example", "fresh.example"].map(|name| namespace(name, NamespaceKind::DnsPrivate));
    let http = [namespace("only.api", NamespaceKind::Http)];
    directory.update(&Changes {
        seen: 1,
        full: true,
        namespaces: Some(dns.into_iter().chain(http).collect()),
        services,
        removed: vec![],
    });
    directory
}

fn small() -> Directory {
    use HealthStatus::Healthy;
    directory(vec![
        (
            service(1, "Orders", "internal", ALL),
            vec![
                instance("i1", "10.0.0.1", Healthy),
                instance("i2", "::2", Healthy),
            ],
        ),
        (
            service(2, "a.b", "shop.example", &[RecordType::Srv]),
            vec![instance("x.y", "10.0.0.3", Healthy)],
        ),
        (service(3, "empty", "internal", ALL), vec![]),
    ])
}

fn ask(directory: &Directory, name: &str, kind: u16) -> Reply {
    ask_for(directory, name, kind, 8)
}

fn ask_for(directory: &Directory, name: &str, kind: u16, max_answers: usize) -> Reply {
    let query = Query {
        id: 1,
        recursion_desired: true,
        name: Name::from_text(name).unwrap(),
        kind,
        class: CLASS_IN,
        edns: None,
    };
    answer(directory, &query, max_answers, &mut SplitMix64::new(7))
}

fn texts(reply: &Reply) -> Vec<String> {
    let text = |data: &Data| match data {
        Data::A(ip) => ip.to_string(),
        Data::Aaaa(ip) => ip.to_string(),
        Data::Srv { port, target, .. } => format!("{target}:{port}"),
        Data::Cname(target) => target.to_string(),
        Data::Soa { minimum, .. } => format!("soa {minimum}"),
    };
    let mut texts: Vec<_> = reply.answers.iter().map(|r| text(&r.data)).collect();
    texts.sort();
    texts
}

#[test]
fn names_and_types() {
    let directory = small();
    let srv = &["i1.Orders.internal:8001", "i2.Orders.internal:8001"][..];
    for (name, asked, code, expected) in [
        ("orders.internal", kind::A, Code::NoError, &["10.0.0.1"][..]),
        ("ORDERS.Internal", kind::AAAA, Code::NoError, &["::2"]),
        ("orders.internal", kind::SRV, Code::NoError, srv),
        ("orders.internal", kind::ANY, Code::NoError, &["10.0.0.1"]),
        ("orders.internal", 16, Code::NoError, &[]),
        ("i1.orders.internal", kind::A, Code::NoError, &["10.0.0.1"]),
        ("i1.orders.internal", kind::AAAA, Code::NoError, &[]),
        ("i1.orders.internal", kind::SRV, Code::NoError, &[]),
        ("i9.orders.internal", kind::A, Code::NxDomain, &[]),
        ("empty.internal", kind::A, Code::NxDomain, &[]),
        ("nothing.internal", kind::A, Code::NxDomain, &[]),
        ("internal", kind::SOA, Code::NoError, &["soa 1"]),
        ("internal", kind::A, Code::NoError, &[]),
        (
            "a.b.shop.example",
            kind::SRV,
            Code::NoError,
            &["x.y.a.b.shop.example:8001"],
        ),
        ("a.b.shop.example", kind::A, Code::NoError, &[]),
        ("x.y.a.b.shop.example", kind::A, Code::NoError, &["10.0.0.3"]),
        ("b.shop.example", kind::A, Code::NoError, &[]),
        ("c.shop.example", kind::A, Code::NxDomain, &[]),
        ("orders.fresh.example", kind::A, Code::NxDomain, &[]),
        ("fresh.example", kind::SOA, Code::NoError, &["soa 1"]),
        ("orders.only.api", kind::A, Code::Refused, &[]),
        ("example", kind::A, Code::Refused, &[]),
        ("www.example.org", kind::A, Code::Refused, &[]),
        (".", kind::A, Code::Refused, &[]),
        ("orders.internal", kind::AXFR, Code::Refused, &[]),
    ] {
        let reply = ask(&directory, name, asked);
        assert_eq!(
            (reply.code, texts(&reply)),
            (code, expected.iter().map(|&s| s.into()).collect()),
            "{name} {asked}"
        );
        let soa = matches!(reply.authority[..], [ref r] if matches!(r.data, Data::Soa { minimum: 1, .. }));
        assert_eq!(
            soa,
            code != Code::Refused && expected.is_empty(),
            "{name} {asked}"
        );
        assert_eq!(reply.authoritative, code != Code::Refused, "{name} {asked}");
    }
}

#[test]
fn srv_answers_bring_the_addresses_along() {
    let reply = ask(&small(), "orders.internal", kind::SRV);
    assert_eq!(reply.additional.len(), 2);
    assert!(reply.additional.iter().all(|r| r.ttl == 5));
}

#[test]
fn other_classes_and_newer_edns_are_refused() {
    let mut query = Query {
        id: 1,
        recursion_desired: false,
        name: Name::from_text("orders.internal").unwrap(),
        kind: kind::A,
        class: 3,
        edns: None,
    };
    let code = |query: &Query| answer(&small(), query, 8, &mut SplitMix64::new(7)).code;
    assert_eq!(code(&query), Code::Refused);
    query.edns = Some(tsugite_discovery::dns::Edns {
        udp_size: 512,
        version: 1,
        dnssec_ok: false,
    });
    assert_eq!(code(&query), Code::BadVers);
}

#[test]
fn unhealthy_ones_are_answered_only_if_none_is_healthy() {
    use HealthStatus::{Healthy, Unhealthy, Unknown};
    for (statuses, expected) in [
        ([Healthy, Unhealthy, Unknown], &["10.0.0.0"][..]),
        (
            [Unknown, Unhealthy, Unknown],
            &["10.0.0.0", "10.0.0.1", "10.0.0.2"],
        ),
    ] {
        let made = statuses.iter().enumerate();
        let instances = made
            .map(|(n, s)| instance(&format!("i{n}"), &format!("10.0.0.{n}"), *s))
            .collect();
        let directory = directory(vec![(service(1, "s", "n", ALL), instances)]);
        assert_eq!(texts(&ask(&directory, "s.n", kind::A)), expected);
        assert_eq!(texts(&ask(&directory, "i1.s.n", kind::A)), ["10.0.0.1"]);
    }
}

#[test]
fn answers_are_bounded_and_random() {
    let many: Vec<_> = (0..50)
        .map(|n| instance(&format!("i{n}"), &format!("10.0.0.{n}"), HealthStatus::Healthy))
        .collect();
    let mut weighted = service(2, "w", "n", ALL);
    weighted.service.dns.as_mut().unwrap().routing = RoutingPolicy::Weighted;
    let directory = directory(vec![(service(1, "s", "n", ALL), many.clone()), (weighted, many)]);
    for (name, max, expected) in [("s.n", 8, 8), ("s.n", 3, 3), ("s.n", 100, 50), ("w.n", 8, 1)] {
        assert_eq!(
            ask_for(&directory, name, kind::A, max).answers.len(),
            expected,
            "{name} {max}"
        );
    }
    let query = Query {
        id: 1,
        recursion_desired: false,
        name: Name::from_text("w.n").unwrap(),
        kind: kind::A,
        class: CLASS_IN,
        edns: None,
    };
    let mut random = SplitMix64::new(1);
    let all: std::collections::BTreeSet<_> = (0..1_000)
        .flat_map(|_| texts(&answer(&directory, &query, 8, &mut random)))
        .collect();
    assert_eq!(all.len(), 50);
}

#[test]
fn instances_that_share_an_address_give_one_record() {
    let same = |id| instance(id, "10.0.0.1", HealthStatus::Healthy);
    let directory = directory(vec![(service(1, "s", "n", ALL), vec![same("a"), same("b")])]);
    assert_eq!(texts(&ask(&directory, "s.n", kind::A)), ["10.0.0.1"]);
    assert_eq!(texts(&ask(&directory, "s.n", kind::SRV)).len(), 2);
}

#[test]
fn ids_that_are_no_names_have_no_srv_record() {
    let healthy = HealthStatus::Healthy;
    let instances = vec![
        instance("a..b", "10.0.0.1", healthy),
        instance(&"x".repeat(64), "10.0.0.2", healthy),
    ];
    let directory = directory(vec![(service(1, "s", "n", ALL), instances)]);
    assert_eq!(texts(&ask(&directory, "s.n", kind::A)), ["10.0.0.1", "10.0.0.2"]);
    assert!(ask(&directory, "s.n", kind::SRV).answers.is_empty());
}

#[test]
fn changes_replace_and_remove() {
    let mut directory = small();
    let mut change = Changes {
        seen: 2,
        full: false,
        namespaces: None,
        services: vec![(
            service(1, "orders", "internal", ALL),
            vec![instance("i3", "10.0.0.9", HealthStatus::Healthy)],
        )],
        removed: vec![ServiceId(2)],
    };
    directory.update(&change);
    assert_eq!(texts(&ask(&directory, "orders.internal", kind::A)), ["10.0.0.9"]);
    assert_eq!(
        ask(&directory, "a.b.shop.example", kind::SRV).code,
        Code::NxDomain
    );
    change.namespaces = Some(vec![]);
    change.services[0].0.service.dns = None;
    directory.update(&change);
    assert_eq!(ask(&directory, "orders.internal", kind::A).code, Code::NxDomain);
    assert_eq!(ask(&directory, "a.b.shop.example", kind::SRV).code, Code::Refused);
    (change.full, change.services) = (true, vec![]);
    directory.update(&change);
    assert_eq!(texts(&ask(&directory, "internal", kind::SOA)), ["soa 1"]);
}

fn with(view: InstanceView, pairs: &[(&str, &str)]) -> InstanceView {
    let mut attributes: Attributes = view
        .attributes
        .iter()
        .map(|(k, v)| (k.into(), v.into()))
        .collect();
    attributes.extend(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())));
    InstanceView {
        attributes: attributes.into(),
        ..view
    }
}

#[test]
fn a_cname_answers_whatever_is_asked() {
    let mut view = service(1, "old", "internal", &[RecordType::Cname]);
    view.service.dns.as_mut().unwrap().routing = RoutingPolicy::Weighted;
    let instance = with(
        instance("i", "10.0.0.1", HealthStatus::Healthy),
        &[(CNAME, "new.example.")],
    );
    let directory = directory(vec![(view, vec![instance])]);
    for asked in [kind::A, kind::AAAA, kind::CNAME, kind::ANY] {
        let reply = ask(&directory, "old.internal", asked);
        assert_eq!(
            texts(&reply),
            [Name::from_text("new.example").unwrap().to_string()],
            "{asked}"
        );
        assert_eq!(reply.answers[0].ttl, 5);
    }
}

#[test]
fn weights_share_the_answers() {
    let mut view = service(1, "w", "internal", &[RecordType::A]);
    view.service.dns.as_mut().unwrap().routing = RoutingPolicy::Weighted;
    let of = |id, ip, weight| with(instance(id, ip, HealthStatus::Healthy), &[(WEIGHT, weight)]);
    for (weights, expected) in [
        (["300", "100"], 600..900),
        (["0", "1"], 0..1),
        (["0", "0"], 350..650),
    ] {
        let instances = vec![of("a", "10.0.0.1", weights[0]), of("b", "10.0.0.2", weights[1])];
        let directory = directory(vec![(view.clone(), instances)]);
        let mut random = SplitMix64::new(7);
        let query = Query {
            id: 1,
            recursion_desired: true,
            name: Name::from_text("w.internal").unwrap(),
            kind: kind::A,
            class: CLASS_IN,
            edns: None,
        };
        let first = (0..1_000)
            .filter(|_| texts(&answer(&directory, &query, 8, &mut random)) == ["10.0.0.1"])
            .count();
        assert!(expected.contains(&first), "{weights:?}: {first}");
    }
}
