//! What each name is answered with.

use std::collections::BTreeMap;

use super::*;

fn shop() -> Catalog {
    let mut ids = vec![instance("i1", "10.0.0.1"), instance("i2", "fd00::2")];
    let pairs = [("zone", "a"), ("ADDRESS", "x"), ("k=v", "x")];
    let attributes: BTreeMap<String, String> = pairs.map(|(k, v)| (k.into(), v.into())).into();
    ids[0].attributes = Arc::new(attributes);
    let mut grpc = instance("g", "10.0.0.9");
    grpc.protocol = "grpc";
    catalog(
        &["internal", "shop.example"],
        vec![
            spec("Orders", "internal", ids),
            spec("a.b", "shop.example", vec![instance("x.y", "10.0.0.3"), grpc]),
            spec("empty", "internal", vec![]),
            spec("_web._tcp", "internal", vec![instance("w", "10.0.0.4")]),
        ],
    )
}

const MISSING: u16 = Code::NxDomain.number();

#[test]
fn every_name_has_its_types() {
    let mut shop = shop();
    for (name, kind, expected) in [
        ("orders.internal", kind::A, &["10.0.0.1"][..]),
        ("ORDERS.INTERNAL", kind::AAAA, &["fd00::2"]),
        (
            "orders.internal",
            kind::SRV,
            &["1 1 8001 i1.Orders.internal", "1 1 8001 i2.Orders.internal"],
        ),
        ("orders.internal", kind::ANY, &["10.0.0.1"]),
        ("orders.internal", kind::TXT, &[]),
        ("orders.internal", kind::CNAME, &[]),
        ("i1.orders.internal", kind::A, &["10.0.0.1"]),
        ("I1.orders.internal", kind::SRV, &["1 1 8001 i1.Orders.internal"]),
        ("i1.orders.internal", kind::TXT, &["zone=a"]),
        ("i2.orders.internal", kind::TXT, &[""]),
        ("i2.orders.internal", kind::A, &[]),
        ("i2.orders.internal", kind::ANY, &["fd00::2"]),
        ("x.y.a.b.shop.example", kind::A, &["10.0.0.3"]),
        (
            "_http._tcp.a.b.shop.example",
            kind::SRV,
            &["1 1 8001 x.y.a.b.shop.example"],
        ),
        (
            "_grpc._tcp.a.b.shop.example",
            kind::SRV,
            &["1 1 8001 g.a.b.shop.example"],
        ),
        ("_http._tcp.a.b.shop.example", kind::A, &[]),
        ("internal", kind::SOA, &["ns.internal hostmaster.internal 1"]),
        ("internal", kind::NS, &["ns.internal"]),
        ("internal", kind::ANY, &["ns.internal hostmaster.internal 1"]),
        ("internal", kind::A, &[]),
        ("b.shop.example", kind::A, &[]),
        ("y.a.b.shop.example", kind::A, &[]),
        ("_tcp.orders.internal", kind::SRV, &[]),
        ("ns.internal", kind::A, &[]),
        ("1.0.0.10.in-addr.arpa", kind::PTR, &["i1.Orders.internal"]),
        (
            "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
            kind::PTR,
            &["i2.Orders.internal"],
        ),
        ("1.0.0.10.in-addr.arpa", kind::A, &[]),
        ("0.0.10.in-addr.arpa", kind::A, &[]),
        (
            "10.in-addr.arpa",
            kind::SOA,
            &["ns.10.in-addr.arpa hostmaster.10.in-addr.arpa 1"],
        ),
    ] {
        let message = ask(&mut shop, name, kind);
        assert_eq!((message.code, message.authoritative), (0, true), "{name} {kind}");
        assert_eq!(message.told(), expected, "{name} {kind}");
        assert!(!message.truncated && !message.recursion);
        assert!(message.answers.iter().all(|record| record.name == name));
        assert_eq!(
            message.authority.len(),
            usize::from(expected.is_empty()),
            "{name} {kind}"
        );
        assert_eq!(message.question, name);
    }
}

#[test]
fn what_is_not_there_does_not_exist() {
    let mut shop = shop();
    for name in [
        "x.internal",
        "empty.internal",
        "i1.empty.internal",
        "i3.orders.internal",
        "z.y.a.b.shop.example",
        "a.shop.example",
        "_grpc._tcp.orders.internal",
        "_grpclb._tcp.orders.internal",
        "_orders._udp.internal",
        "_empty._tcp.internal",
        "_x._tcp.internal",
        "i3._orders._tcp.internal",
        "r._dns-sd._udp.internal",
        "2.0.0.10.in-addr.arpa",
        "x.10.in-addr.arpa",
    ] {
        let message = ask(&mut shop, name, kind::A);
        assert_eq!((message.code, message.authoritative), (MISSING, true), "{name}");
        let [soa] = &message.authority[..] else {
            panic!("{name}: {message:?}")
        };
        assert!(
            name.ends_with(&soa.name) && soa.ttl == 1 && soa.data.ends_with(" 1"),
            "{soa:?}"
        );
    }
    for name in [
        "example",
        "shop.example.com",
        "8.8.8.8.in-addr.arpa",
        "in-addr.arpa",
    ] {
        let message = ask(&mut shop, name, kind::A);
        assert_eq!((message.code, message.authoritative), (5, false), "{name}");
    }
}

#[test]
fn services_can_be_browsed() {
    let mut shop = shop();
    let types = ask(&mut shop, "_services._dns-sd._udp.internal", kind::PTR);
    assert_eq!(types.told(), ["_orders._tcp.internal", "_web._tcp.internal"]);
    let dotted = ask(&mut shop, "_services._dns-sd._udp.shop.example", kind::PTR);
    assert_eq!(dotted.told(), ["_a\\.b._tcp.shop.example"]);
    for name in ["b._dns-sd._udp.internal", "lb._dns-sd._udp.internal"] {
        assert_eq!(ask(&mut shop, name, kind::PTR).told(), ["internal"]);
    }
    for name in ["_tcp.internal", "_udp.internal", "_dns-sd._udp.internal"] {
        let message = ask(&mut shop, name, kind::PTR);
        assert_eq!((message.code, message.answers.len()), (0, 0), "{name}");
    }
    let found = ask(&mut shop, "_orders._tcp.internal", kind::PTR);
    assert_eq!(
        found.told(),
        ["i1._orders._tcp.internal", "i2._orders._tcp.internal"]
    );
    // SRV, TXT and address of both.
    assert_eq!(found.additional.len(), 6, "{found:?}");
    for (name, kind, expected) in [
        (
            "i1._orders._tcp.internal",
            kind::SRV,
            "1 1 8001 i1.Orders.internal",
        ),
        ("i1._orders._tcp.internal", kind::TXT, "zone=a"),
        ("w._web._tcp.internal", kind::SRV, "1 1 8001 w._web._tcp.internal"),
        ("_web._tcp.internal", kind::PTR, "w._web._tcp.internal"),
        ("_web._tcp.internal", kind::SRV, "1 1 8001 w._web._tcp.internal"),
    ] {
        assert_eq!(ask(&mut shop, name, kind).told(), [expected], "{name} {kind}");
    }
    // A dot within a label is not one between labels.
    let name = b"\x03x.y\x04_a.b\x04_tcp\x04shop\x07example\0";
    let message = ask_as(&mut shop, &query_for(name, kind::SRV, None), &SETTINGS, OVER_UDP);
    assert_eq!(message.told(), ["1 1 8001 x.y.a.b.shop.example"]);
    let name = b"\x03x.y\x01a\x01b\x04shop\x07example\0";
    let message = ask_as(&mut shop, &query_for(name, kind::A, None), &SETTINGS, OVER_UDP);
    assert_eq!(message.code, MISSING);
}

#[test]
fn srv_answers_say_where_the_hosts_are() {
    let message = ask(&mut shop(), "orders.internal", kind::SRV);
    let mut hosts: Vec<_> = message
        .additional
        .iter()
        .map(|r| (r.name.as_str(), r.data.as_str()))
        .collect();
    hosts.sort_unstable();
    assert_eq!(
        hosts,
        [
            ("i1.Orders.internal", "10.0.0.1"),
            ("i2.Orders.internal", "fd00::2")
        ]
    );
}

#[test]
fn the_server_has_an_address() {
    let settings = Settings {
        server: vec![[192, 0, 2, 53].into(), "fd00::53".parse().unwrap()],
        ..SETTINGS
    };
    let mut shop = shop();
    let mut told = |name, kind| {
        let message = ask_as(&mut shop, &query_bytes(name, kind, None), &settings, OVER_UDP);
        let glue: Vec<_> = message
            .additional
            .iter()
            .map(|r| format!("{} {}", r.name, r.data))
            .collect();
        (message.told().join(" "), glue.join(", "))
    };
    assert_eq!(
        told("internal", kind::NS).1,
        "ns.internal 192.0.2.53, ns.internal fd00::53"
    );
    assert_eq!(told("ns.internal", kind::A).0, "192.0.2.53");
    assert_eq!(told("ns.internal", kind::AAAA).0, "fd00::53");
    assert_eq!(told("ns.internal", kind::ANY).0, "192.0.2.53");
    assert_eq!(told("ns.10.in-addr.arpa", kind::A).0, "192.0.2.53");
}

#[test]
fn only_some_are_in_the_answers_about_their_service_but_each_has_its_name() {
    for (answered, expected) in [
        ([true, false, true], &["10.0.0.0", "10.0.0.2"][..]),
        ([false; 3], &[]),
    ] {
        let instances = answered.iter().enumerate().map(|(n, answered)| Instance {
            answered: *answered,
            ..instance(&format!("i{n}"), &format!("10.0.0.{n}"))
        });
        let mut catalog = catalog(&["n"], vec![spec("s", "n", instances.collect())]);
        let message = ask(&mut catalog, "s.n", kind::A);
        assert_eq!((message.code, message.told()), (0, expected.to_vec()));
        assert_eq!(ask(&mut catalog, "s.n", kind::SRV).told().len(), expected.len());
        assert_eq!(ask(&mut catalog, "i1.s.n", kind::A).told(), ["10.0.0.1"]);
        assert_eq!(
            ask(&mut catalog, "1.0.0.10.in-addr.arpa", kind::PTR).told(),
            ["i1.s.n"]
        );
    }
}

#[test]
fn instances_that_share_an_address_give_one_record() {
    let both = vec![instance("a", "10.0.0.1"), instance("b", "10.0.0.1")];
    let mut catalog = catalog(&["n"], vec![spec("s", "n", both)]);
    assert_eq!(ask(&mut catalog, "s.n", kind::A).told(), ["10.0.0.1"]);
    assert_eq!(ask(&mut catalog, "s.n", kind::SRV).told().len(), 2);
    assert_eq!(
        ask(&mut catalog, "1.0.0.10.in-addr.arpa", kind::PTR).told(),
        ["a.s.n", "b.s.n"]
    );
}

#[test]
fn ids_that_are_no_names_have_no_srv_record() {
    let instances = vec![
        instance("a..b", "10.0.0.1"),
        instance(&"x".repeat(64), "10.0.0.2"),
    ];
    let mut catalog = catalog(&["n"], vec![spec("s", "n", instances)]);
    assert_eq!(ask(&mut catalog, "s.n", kind::A).told(), ["10.0.0.1", "10.0.0.2"]);
    assert!(ask(&mut catalog, "s.n", kind::SRV).answers.is_empty());
    assert_eq!(ask(&mut catalog, "_s._tcp.n", kind::PTR).code, MISSING);
    assert_eq!(
        ask(&mut catalog, "1.0.0.10.in-addr.arpa", kind::PTR).code,
        MISSING
    );
}

#[test]
fn weights_are_in_srv_records_and_in_the_draw() {
    let weighted = |routing, weights: [Option<u16>; 2]| {
        let instances = weights.iter().enumerate().map(|(n, weight)| Instance {
            weight: *weight,
            ..instance(&format!("i{n}"), &format!("10.0.0.{n}"))
        });
        let spec = ServiceSpec {
            routing,
            ..spec("s", "n", instances.collect())
        };
        catalog(&["n"], vec![spec])
    };
    let srv = |weights| ask(&mut weighted(Routing::Multivalue, weights), "s.n", kind::SRV);
    assert_eq!(srv([None, None]).told(), ["1 1 8001 i0.s.n", "1 1 8001 i1.s.n"]);
    assert_eq!(
        srv([None, Some(7)]).told(),
        ["1 100 8001 i0.s.n", "1 7 8001 i1.s.n"]
    );
    let mut one = weighted(Routing::Weighted, [Some(0), Some(1)]);
    for kind in [kind::A, kind::SRV] {
        assert_eq!(ask(&mut one, "s.n", kind).answers.len(), 1);
    }
    assert_eq!(ask(&mut one, "s.n", kind::A).told(), ["10.0.0.1"]);
    assert_eq!(
        ask(&mut one, "_http._tcp.s.n", kind::SRV).told(),
        ["1 1 8001 i1.s.n"]
    );
}

#[test]
fn an_alias_is_followed_within_our_zones() {
    let alias = |name, target: &str| {
        let named = Instance {
            cname: Some(Arc::new(Name::from_text(target).unwrap())),
            ..instance("i", "10.0.0.1")
        };
        let ttls = [None, None, None, Some(9)];
        ServiceSpec {
            ttls,
            routing: Routing::Weighted,
            ..spec(name, "internal", vec![named])
        }
    };
    let mut catalog = catalog(
        &["internal"],
        vec![
            spec("orders", "internal", vec![instance("i1", "10.0.0.1")]),
            alias("old", "Orders.internal."),
            alias("older", "old.internal"),
            alias("out", "www.example."),
            alias("gone", "nothing.internal"),
            alias("loop", "loop.internal"),
        ],
    );
    let mut told = |name, kind| {
        let message = ask(&mut catalog, name, kind);
        let told: Vec<_> = message
            .answers
            .into_iter()
            .map(|r| format!("{} {}", r.name, r.data))
            .collect();
        (message.code, told.join(", "), message.authority.len())
    };
    assert_eq!(
        told("old.internal", kind::CNAME),
        (0, "old.internal Orders.internal".into(), 0)
    );
    assert_eq!(told("old.internal", kind::ANY).1, "old.internal Orders.internal");
    let chain = "older.internal old.internal, old.internal Orders.internal, Orders.internal ";
    assert_eq!(
        told("older.internal", kind::A),
        (0, format!("{chain}10.0.0.1"), 0)
    );
    assert_eq!(
        told("older.internal", kind::SRV).1,
        format!("{chain}1 1 8001 i1.orders.internal")
    );
    assert_eq!(
        told("old.internal", kind::TXT),
        (0, "old.internal Orders.internal".into(), 1)
    );
    assert_eq!(
        told("out.internal", kind::A),
        (0, "out.internal www.example".into(), 0)
    );
    assert_eq!(
        told("gone.internal", kind::A),
        (MISSING, "gone.internal nothing.internal".into(), 1)
    );
    assert_eq!(told("loop.internal", kind::A).0, 0);
}
