//! DNS: queries, and answers from a catalog in which there is everything; rate limits; answers of other servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use tsugite_base::rng::SplitMix64;
use tsugite_discovery::dns::{
    Catalog, Client, Instance, MESSAGE_BYTES, Name, Outcome, Query, RateLimit, Routing, Scratch, Service,
    ServiceSpec, Settings, Snapshot, UDP_SIZE, ZoneSpec, answer, relay,
};

use crate::{Edits, damage};

/// Queries, each with EDNS: the examples that are damaged.
const NAMES: [&str; 12] = [
    "orders.shop.internal",
    "_http._tcp.orders.shop.internal",
    "i1.orders.shop.internal",
    "x.y.orders.shop.internal",
    "_orders._tcp.shop.internal",
    "i1._orders._tcp.shop.internal",
    "_services._dns-sd._udp.shop.internal",
    "b._dns-sd._udp.shop.internal",
    "old.shop.internal",
    "1.0.0.10.in-addr.arpa",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
    "ns.shop.internal",
];
const KINDS: [u8; 9] = [1, 2, 5, 6, 12, 16, 28, 33, 255];

fn instance(id: &str, last: u8) -> Instance {
    Instance {
        id: id.into(),
        ipv4: Some([10, 0, 0, last].into()),
        ipv6: format!("fd00::{last}").parse().ok(),
        port: Some(80),
        cname: Name::from_text("Orders.shop.internal").ok().map(Arc::new),
        weight: Some(last.into()),
        protocol: "http",
        answered: true,
        attributes: Arc::new(BTreeMap::from([("key".to_owned(), "value".repeat(9))])),
    }
}

fn everything() -> Snapshot {
    let many = (0..400).map(|n| instance(&format!("instance-{n}"), 7)).collect();
    let few = vec![instance("i1", 1), instance("x.y", 2)];
    let services = [
        (
            "Orders",
            [Some(1), Some(1), Some(1), None],
            Routing::Multivalue,
            few,
        ),
        (
            "many",
            [Some(1), Some(1), Some(1), None],
            Routing::Multivalue,
            many,
        ),
        (
            "old",
            [None, None, None, Some(1)],
            Routing::Weighted,
            vec![instance("i", 3)],
        ),
    ];
    let mut catalog = Catalog::default();
    catalog.set_zones(&["shop.internal", "internal"].map(|name| ZoneSpec { name, soa_ttl: 1 }));
    for (id, (name, ttls, routing, instances)) in (0..).zip(services) {
        let spec = ServiceSpec {
            name,
            zone: "shop.internal",
            routing,
            ttls,
            default_weight: 100,
            instances,
        };
        catalog.put(id, Service::new(spec).ok());
    }
    catalog.snapshot()
}

fn example(which: u8, kind: u8) -> Vec<u8> {
    let name = NAMES[usize::from(which) % NAMES.len()];
    let mut message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01".to_vec();
    message.extend_from_slice(Name::from_text(name).expect("a name").wire());
    message.extend_from_slice(&[0, KINDS[usize::from(kind) % KINDS.len()], 0, 1]);
    message.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0\x05\0\x0a\0\x01\x07");
    message
}

#[test]
fn every_message_is_answered_within_its_limit_or_ignored() {
    // Its attributes are behind a trait, of which the compiler cannot know that a panic leaves them whole.
    let snapshot = std::panic::AssertUnwindSafe(everything());
    let settings = Settings {
        max_answers: 1_000,
        udp_size: UDP_SIZE,
        server: vec![[127, 0, 0, 1].into()],
        hidden: &[],
    };
    bolero::check!()
        .with_type::<(bool, Vec<u8>, (u8, u8, Edits), bool, bool)>()
        .for_each(|(raw, bytes, (which, kind, edits), over_tcp, may_recurse)| {
            let message = if *raw {
                bytes.clone()
            } else {
                damage(&example(*which, *kind), edits)
            };
            let client = Client {
                over_tcp: *over_tcp,
                may_recurse: *may_recurse,
            };
            let (mut scratch, mut out) = (Scratch::new(SplitMix64::new(1)), Vec::new());
            let outcome = answer(&message, &snapshot, &settings, client, &mut scratch, &mut out);
            if outcome == Outcome::Ignored {
                return assert!(out.is_empty());
            }
            let limit = if *over_tcp { MESSAGE_BYTES } else { UDP_SIZE.into() };
            assert!(out.len() <= limit, "{} bytes for a limit of {limit}", out.len());
            assert_eq!(out[..2], message[..2], "the id comes back");
            assert!(Query::parse(&out).is_err(), "a reply is no query");
            match Query::parse(&message) {
                Ok(query) => {
                    assert_eq!(&out[12..12 + query.question().len()], query.question());
                    assert!(*over_tcp || out.len() <= query.udp_limit(UDP_SIZE));
                }
                Err(_) => assert_eq!(out.len(), 12),
            }
            relay::slip(&mut out, &message);
            assert!(
                out.len() <= message.len().max(12),
                "a slip is no larger than its query"
            );
        });
}

#[test]
fn answers_of_other_servers_are_judged_and_delivered() {
    bolero::check!()
        .with_type::<(u8, u8, Edits, u16, bool)>()
        .for_each(|(which, kind, edits, limit, over_tcp)| {
            let message = example(*which, *kind);
            let query = Query::parse(&message).expect("an example");
            let sent = relay::question(&query, 7, &mut SplitMix64::new(u64::from(*limit)));
            let mut heard = damage(&sent, edits);
            if let Some(flags) = heard.get_mut(2) {
                *flags |= 0x80;
            }
            if relay::judge(&query, &sent, &heard, *over_tcp) == relay::Heard::Answer {
                let limit = usize::from(*limit).max(512);
                relay::deliver(&query, &mut heard, limit);
                assert!(heard.len() <= limit);
                assert_eq!(heard[..2], message[..2]);
            }
        });
}

#[test]
fn rate_limits_hold_for_every_client_and_time() {
    let limit = RateLimit::new(100, 2);
    bolero::check!()
        .with_type::<(u128, u64, u64, u64)>()
        .for_each(|(client, subject, now, random)| {
            let _ = limit.check(
                std::net::Ipv6Addr::from_bits(*client).into(),
                *subject,
                *now,
                *random,
            );
        });
}

#[test]
fn names_survive_the_wire() {
    bolero::check!().with_type::<String>().for_each(|text| {
        let Ok(name) = Name::from_text(text) else { return };
        assert!(name.wire().len() <= 255);
        let mut message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        message.extend_from_slice(name.wire());
        message.extend_from_slice(&[0, 1, 0, 1]);
        let query = Query::parse(&message).expect("a query for a valid name");
        assert_eq!(query.name(), name.wire().to_ascii_lowercase());
    });
}
