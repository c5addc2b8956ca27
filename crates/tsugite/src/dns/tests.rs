//! The registry as DNS tells it, and whom the door serves.

use tsugite_base::Timestamp;
use tsugite_base::rng::SplitMix64;
use tsugite_discovery::dns::{Client, Name, Scratch, Settings, answer, kind};
use tsugite_registry::{
    Attributes, CNAME, Changes, DnsConfig, DnsRecord, HealthSource, IPV4, IPV6, InstanceView, Namespace,
    NamespaceId, NamespaceKind, NamespaceView, PORT, RecordType, RoutingPolicy, Service, ServiceId,
    ServiceView, WEIGHT,
};

use super::directory::Directory;
use super::{HIDDEN, is_near, own_address};

fn service(id: u64, name: &str, namespace: &str, kinds: &[RecordType]) -> ServiceView {
    let records = kinds.iter().map(|&kind| DnsRecord { kind, ttl: None }).collect();
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
        default_ttl: 7,
        instances: 0,
        revision: 0,
    }
}

fn instance(id: &str, takes_calls: bool, pairs: &[(&str, &str)]) -> InstanceView {
    let attributes: Attributes = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    InstanceView {
        id: id.into(),
        attributes: attributes.into(),
        takes_calls,
        ..InstanceView::default()
    }
}

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
        soa_ttl: 3,
        services: 0,
    }
}

fn changes(services: Vec<(ServiceView, Vec<InstanceView>)>) -> Changes {
    Changes {
        seen: 1,
        full: true,
        namespaces: Some(vec![
            namespace("shop.example", NamespaceKind::DnsPublic),
            namespace("only.api", NamespaceKind::Http),
        ]),
        services,
        removed: vec![],
    }
}

/// Code, number of answers, and the message.
fn ask(directory: &mut Directory, name: &str, kind: u16) -> (u8, u8, Vec<u8>) {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(Name::from_text(name).unwrap().wire());
    query.extend_from_slice(&[kind.to_be_bytes(), [0, 1]].concat());
    let settings = Settings {
        max_answers: 8,
        udp_size: 1232,
        server: vec![],
        hidden: HIDDEN,
    };
    let client = Client {
        over_tcp: false,
        may_recurse: false,
    };
    let empty = Changes {
        full: false,
        namespaces: None,
        ..changes(vec![])
    };
    let mut out = Vec::new();
    let mut scratch = Scratch::new(SplitMix64::new(1));
    answer(
        &query,
        &directory.update(&empty),
        &settings,
        client,
        &mut scratch,
        &mut out,
    );
    (out[3] & 15, out[7], out)
}

const A_AND_SRV: &[RecordType] = &[RecordType::A, RecordType::Aaaa, RecordType::Srv];

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn attributes_become_records() {
    let mut directory = Directory::default();
    let one = instance(
        "i1",
        true,
        &[
            (IPV4, "10.0.0.1"),
            (IPV6, "fd00::1"),
            (PORT, "8001"),
            (WEIGHT, "300"),
            ("version", "7"),
        ],
    );
    let two = instance("i2", false, &[(IPV4, "10.0.0.2"), (PORT, "8002")]);
    let alias = instance("c", true, &[(CNAME, "www.example.")]);
    directory.update(&changes(vec![
        (service(1, "orders", "internal", A_AND_SRV), vec![one, two]),
        (
            service(2, "old", "shop.example", &[RecordType::Cname]),
            vec![alias],
        ),
    ]));
    let (code, count, bytes) = ask(&mut directory, "orders.internal", kind::A);
    assert_eq!((code, count), (0, 1), "only the healthy one");
    // TTL, length, address.
    assert!(contains(&bytes, &[0, 0, 0, 7, 0, 4, 10, 0, 0, 1]), "{bytes:?}");
    let (_, count, bytes) = ask(&mut directory, "orders.internal", kind::SRV);
    let [weight, port] = [300_u16, 8001].map(u16::to_be_bytes);
    assert_eq!(count, 1);
    assert!(
        contains(&bytes, &[&weight[..], &port, b"\x02i1\x06orders"].concat()),
        "{bytes:?}"
    );
    let (_, _, bytes) = ask(&mut directory, "i1.orders.internal", kind::TXT);
    assert!(
        contains(&bytes, b"\x09version=7") && !contains(&bytes, b"AWS_"),
        "{bytes:?}"
    );
    let (_, count, bytes) = ask(&mut directory, "old.shop.example", kind::A);
    assert_eq!(count, 1);
    assert!(contains(&bytes, b"\x03www\x07example\0"));
}

#[test]
fn namespaces_become_zones() {
    let mut directory = Directory::default();
    let up = || vec![instance("i", true, &[(IPV4, "10.0.0.1")])];
    let mut api_only = service(1, "s", "only.api", A_AND_SRV);
    api_only.namespace_kind = NamespaceKind::Http;
    let mut undeclared = service(2, "quiet", "shop.example", A_AND_SRV);
    undeclared.service.dns = None;
    directory.update(&changes(vec![
        (api_only, up()),
        (undeclared, up()),
        (service(3, "empty", "shop.example", A_AND_SRV), vec![]),
        (service(4, "s", "shop.example", A_AND_SRV), up()),
    ]));
    for (name, code) in [
        ("x.internal", 3),
        ("s.only.api", 5),
        ("quiet.shop.example", 3),
        ("empty.shop.example", 3),
        ("s.shop.example", 0),
    ] {
        assert_eq!(ask(&mut directory, name, kind::A).0, code, "{name}");
    }
    let mut change = changes(vec![]);
    (change.full, change.namespaces, change.removed) = (false, None, vec![ServiceId(4)]);
    directory.update(&change);
    assert_eq!(ask(&mut directory, "s.shop.example", kind::A).0, 3);
    change.namespaces = Some(vec![]);
    directory.update(&change);
    assert_eq!(ask(&mut directory, "s.shop.example", kind::A).0, 5);
    assert_eq!(ask(&mut directory, "internal", kind::SOA).1, 1);
}

#[test]
fn only_neighbours_may_have_foreign_names_resolved() {
    for (client, near) in [
        ("127.0.0.1", true),
        ("10.1.2.3", true),
        ("172.31.0.1", true),
        ("172.32.0.1", false),
        ("192.168.0.1", true),
        ("100.64.0.1", true),
        ("100.128.0.1", false),
        ("169.254.1.1", true),
        ("8.8.8.8", false),
        ("::1", true),
        ("fd00::1", true),
        ("fe80::1", true),
        ("2001:db8::1", false),
    ] {
        assert_eq!(is_near(client.parse().unwrap()), near, "{client}");
    }
}

#[test]
fn the_server_knows_its_address_if_it_was_told() {
    let told = "192.0.2.53:8600".parse().unwrap();
    assert_eq!(own_address(told), Some([192, 0, 2, 53].into()));
}
