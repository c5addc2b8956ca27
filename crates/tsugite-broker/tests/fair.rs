//! Tenants on standard queues: what the turns promise, one story each.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use std::collections::BTreeMap;

use common::{Bench, body, redrive};
use tsugite_base::rng::SplitMix64;

fn send(bench: &mut Bench, tenant: &str, texts: &[String]) {
    for batch in texts.chunks(10) {
        let entry = |text: &String| {
            let mut entry = bench.entry(text);
            entry.group = (!tenant.is_empty()).then(|| tenant.to_owned());
            entry
        };
        let entries = batch.iter().map(entry).collect();
        bench.send_all("q", entries).unwrap();
    }
}

fn texts(tenant: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{tenant} {i}")).collect()
}

#[test]
fn one_message_does_not_wait_for_the_hundred_thousand_of_another_tenant() {
    let mut b = Bench::with_queues(&["q"]);
    send(&mut b, "A", &texts("A", 100_000));
    for round in 0..50 {
        let wanted = format!("B {round}");
        send(&mut b, "B", std::slice::from_ref(&wanted));
        let got: Vec<String> = (0..2).map(|_| body(&b.receive("q", 1)[0]).to_owned()).collect();
        assert!(got.contains(&wanted), "{got:?}");
        // The same in one call.
        let wanted = format!("B again {round}");
        send(&mut b, "B", std::slice::from_ref(&wanted));
        assert!(b.bodies("q")[..2].contains(&wanted));
    }
    // Without a tenant a message stands behind one of A's, too.
    send(&mut b, "", &["alone".to_owned()]);
    assert!(b.bodies("q")[..2].contains(&"alone".to_owned()));
}

#[test]
fn a_tenants_first_message_waits_for_one_of_each_other() {
    let mut b = Bench::with_queues(&["q"]);
    let mut rng = SplitMix64::new(5);
    let (mut n, mut waiting) = (0, BTreeMap::<String, Vec<String>>::new());
    // Deliveries since a tenant was served or had nothing.
    let mut passed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..20_000 {
        if rng.below(5) < 2 {
            let tenant = format!("t{}", rng.below(8).min(rng.below(8)));
            let many = 1 + rng.below(5) as usize * usize::from(tenant == "t0");
            let own: Vec<String> = (0..many).map(|i| format!("{tenant} {}", n + i)).collect();
            n += many;
            send(&mut b, &tenant, &own);
            if waiting.get(&tenant).is_none_or(Vec::is_empty) {
                passed.insert(tenant.clone(), Vec::new());
            }
            waiting.entry(tenant).or_default().extend(own);
            continue;
        }
        for message in b.receive("q", 1 + rng.below(10) as i64) {
            let text = body(&message).to_owned();
            let (tenant, _) = text.split_once(' ').unwrap();
            let own = waiting.get_mut(tenant).unwrap();
            assert_eq!(own.remove(0), text, "in the order of one tenant's sends");
            passed.insert(tenant.to_owned(), Vec::new());
            for (other, list) in waiting
                .iter()
                .filter(|(other, list)| *other != tenant && !list.is_empty())
            {
                let before = passed.get_mut(other).unwrap();
                assert!(
                    !before.contains(&tenant.to_owned()),
                    "{} waits for {before:?} and {tenant}",
                    list[0]
                );
                before.push(tenant.to_owned());
            }
            b.delete("q", &message.handle).unwrap();
        }
    }
    b.assert_replays();
}

#[test]
fn a_message_that_is_released_again_and_again_stops_nobody() {
    let mut b = Bench::with_queues(&["q"]);
    send(&mut b, "", &["poison".to_owned()]);
    send(&mut b, "A", &texts("A", 3));
    let mut seen = Vec::new();
    for _ in 0..6 {
        let got = b.receive("q", 1).remove(0);
        seen.push(body(&got).to_owned());
        if body(&got) == "poison" {
            b.change("q", &got.handle, 0).unwrap();
        }
    }
    assert_eq!(seen, ["poison", "A 0", "poison", "A 1", "poison", "A 2"]);
    b.assert_replays();
}

#[test]
fn whatever_becomes_of_a_message_it_stays_its_tenants() {
    let mut b = Bench::with_queues(&["q", "dead"]);
    b.set("q", &[("RedrivePolicy", &redrive("dead", 2))]).unwrap();
    let mut delayed = b.entry("delayed");
    (delayed.group, delayed.delay) = (Some("A".into()), Some(5));
    b.send_all("q", vec![delayed]).unwrap();
    send(&mut b, "A", &["released".to_owned(), "leased".to_owned()]);
    let got = b.receive("q", 2);
    b.change("q", &got[0].handle, 0).unwrap();
    b.seconds(40);
    let got = b.receive("q", 10);
    assert_eq!(
        got.iter().map(body).collect::<Vec<_>>(),
        ["released", "delayed", "leased"]
    );
    assert!(got.iter().all(|m| m.group.as_deref() == Some("A")));
    b.seconds(40);
    // Two are dead letters now. In their new queue they wait for B's turn as before.
    let got = b.receive("q", 10);
    assert_eq!(got.iter().map(body).collect::<Vec<_>>(), ["delayed"]);
    let mut entry = b.entry("B");
    entry.group = Some("B".into());
    b.send_all("dead", vec![entry]).unwrap();
    let got = b.receive("dead", 10);
    assert_eq!(
        got.iter().map(body).collect::<Vec<_>>(),
        ["released", "B", "leased"]
    );
    assert_eq!(got[2].group.as_deref(), Some("A"));
    // What expires takes its tenant's turn with it.
    b.set("q", &[("MessageRetentionPeriod", "60"), ("RedrivePolicy", "")])
        .unwrap();
    b.seconds(1);
    assert_eq!(b.counts("q"), (0, 0, 0));
    assert_eq!(b.broker.groups(&common::queue("q"), 10, b.now).unwrap(), []);
    b.assert_replays();
}
