//! Thousands of instances within the limits of messages.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn fleet(count: u32) -> Catalog {
    let instances = (0..count).map(|n| {
        let [_, b, c, d] = n.to_be_bytes();
        instance(&format!("instance-{n}"), &format!("10.{b}.{c}.{d}"))
    });
    catalog(
        &["internal"],
        vec![spec("orders", "internal", instances.collect())],
    )
}

fn settings(max_answers: usize) -> Settings {
    Settings {
        max_answers,
        ..SETTINGS
    }
}

#[test]
fn answers_are_bounded_and_random() {
    let mut fleet = fleet(50);
    for (max, expected) in [(8, 8), (3, 3), (100, 50)] {
        let query = query_bytes("orders.internal", kind::A, Some(1232));
        let message = ask_as(&mut fleet, &query, &settings(max), OVER_UDP);
        assert_eq!(message.told().len(), expected, "{max}");
    }
    let snapshot = fleet.snapshot();
    let (mut scratch, mut out) = (Scratch::new(SplitMix64::new(1)), Vec::new());
    let query = query_bytes("orders.internal", kind::A, None);
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        answer(&query, &snapshot, &SETTINGS, OVER_UDP, &mut scratch, &mut out);
        seen.extend(read(&out).answers.into_iter().map(|record| record.data));
    }
    assert_eq!(seen.len(), 50);
}

#[test]
fn five_thousand_instances_are_cut_over_udp_and_fill_a_message_over_tcp() {
    let mut fleet = fleet(5_000);
    for (edns, limit) in [(None, 512), (Some(1232), 1232), (Some(65_000), 1232)] {
        let query = query_bytes("orders.internal", kind::SRV, edns);
        let message = ask_as(&mut fleet, &query, &settings(10_000), OVER_UDP);
        assert!(message.truncated && message.bytes.len() <= limit);
        assert!(message.bytes.len() > limit - 60, "{}", message.bytes.len());
        assert!(message.additional.is_empty());
    }
    for kind in [kind::A, kind::SRV] {
        let query = query_bytes("orders.internal", kind, None);
        let message = ask_as(&mut fleet, &query, &settings(10_000), OVER_TCP);
        let told: BTreeSet<_> = message.told().into_iter().collect();
        assert_eq!(told.len(), message.answers.len(), "none twice");
        assert!(message.truncated && message.bytes.len() > 65_400 && message.bytes.len() <= 65_535);
    }
    // With the default there is nothing to cut, and there is room for the hosts.
    let message = ask(&mut fleet, "orders.internal", kind::SRV);
    assert_eq!(
        (message.truncated, message.answers.len(), message.additional.len()),
        (false, 8, 8)
    );
}

#[test]
fn additional_records_are_dropped_in_silence() {
    let mut fleet = fleet(9);
    let query = query_bytes("orders.internal", kind::SRV, None);
    let message = ask_as(&mut fleet, &query, &SETTINGS, OVER_UDP);
    assert!(message.bytes.len() <= 512 && !message.truncated);
    assert!(
        message.answers.len() == 8 && message.additional.len() < 8,
        "{message:?}"
    );
    // Beyond the reach of pointers there are none.
    let mut fleet = super::sizes::fleet(900);
    let message = ask_as(&mut fleet, &query, &settings(900), OVER_TCP);
    assert_eq!((message.answers.len(), message.truncated), (900, false));
    assert!(
        (250..400).contains(&message.additional.len()),
        "{}",
        message.additional.len()
    );
}

#[test]
fn a_thousand_services_at_one_address() {
    let names: Vec<_> = (0..1_000).map(|n| format!("service-{n}")).collect();
    let services = names
        .iter()
        .map(|name| spec(name, "internal", vec![instance("i", "127.0.0.1")]));
    let mut catalog = catalog(&["internal"], services.collect());
    let message = ask(&mut catalog, "1.0.0.127.in-addr.arpa", kind::PTR);
    assert_eq!((message.answers.len(), message.truncated), (8, false));
    let browse = "_services._dns-sd._udp.internal";
    let message = ask(&mut catalog, browse, kind::PTR);
    assert!(message.truncated && message.bytes.len() <= 1232 && message.answers.len() > 30);
    let query = query_bytes(browse, kind::PTR, None);
    let message = ask_as(&mut catalog, &query, &SETTINGS, OVER_TCP);
    assert_eq!((message.answers.len(), message.truncated), (1_000, false));
    for id in 0..1_000 {
        catalog.put(id, None);
    }
    assert_eq!(ask(&mut catalog, "1.0.0.127.in-addr.arpa", kind::PTR).code, 3);
    assert_eq!(ask(&mut catalog, browse, kind::PTR).answers, []);
}

#[test]
fn long_attributes_are_cut_over_udp() {
    let mut long = instance("i", "10.0.0.1");
    let pairs = (0..9).map(|n| (format!("key{n}"), "v".repeat(200)));
    let pairs = pairs.chain([("too-long".to_owned(), "v".repeat(255))]);
    long.attributes = Arc::new(pairs.collect::<BTreeMap<_, _>>());
    let mut catalog = catalog(&["n"], vec![spec("s", "n", vec![long])]);
    assert!(ask(&mut catalog, "i.s.n", kind::TXT).truncated);
    let query = query_bytes("i.s.n", kind::TXT, None);
    let message = ask_as(&mut catalog, &query, &SETTINGS, OVER_TCP);
    assert_eq!(message.told()[0].matches("key").count(), 9);
    assert!(!message.told()[0].contains("too-long"));
}
