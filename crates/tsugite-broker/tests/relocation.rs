//! Messages whose bytes are moved to the head of the log: nothing changes for anybody but where they lie.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use std::collections::BTreeMap;

use common::{Bench, body, queue, redrive};
use tsugite_base::Decision;
use tsugite_broker::{Broker, Search, Stowed};

/// Finds everything below `end`, a little at a time, and moves it.
fn empty(b: &mut Bench, end: u64) -> usize {
    let mut search = Search::new(vec![0..end / 2, end / 2..end]);
    let mut moved = 0;
    loop {
        let mut found = Vec::new();
        let all = b.broker.survivors(&mut search, 3, 200, &mut found);
        assert!(found.len() <= 3);
        if all && found.is_empty() {
            return moved;
        }
        moved += found.len();
        relocate(b, &found);
    }
}

fn relocate(b: &mut Bench, found: &[Stowed]) {
    let bytes_of = |stowed: &Stowed| {
        let part = |place: tsugite_base::Place| b.log[place.lsn as usize..place.end() as usize].to_vec();
        let parts: Vec<Vec<u8>> = stowed.places().into_iter().map(part).collect();
        assert!(parts.iter().all(|part| tsugite_broker::is_intact(part)));
        (*stowed, parts.concat())
    };
    let copies: Vec<_> = found.iter().map(bytes_of).collect();
    let records = b.broker.relocate(&copies, b.now);
    b.commit(Decision::record(records, ()));
}

fn regions(broker: &Broker) -> BTreeMap<u64, u64> {
    let mut usage = BTreeMap::new();
    broker.usage(&mut usage);
    usage
}

#[test]
fn everything_is_as_before_but_lies_elsewhere() {
    let mut b = Bench::with_queues(&["q", "dead"]);
    b.create("source", &[("RedrivePolicy", &redrive("dead", 1))])
        .unwrap();
    b.create_topic("t");
    b.subscribe("t", "q", &[("RawMessageDelivery", "true")]).unwrap();
    b.subscribe("t", "dead", &[]).unwrap();
    b.send("q", "plain");
    b.send("source", "poison");
    b.publish("t", "news");
    let held = b.receive("q", 1);
    b.receive("source", 1);
    b.seconds(40);
    assert!(b.receive("source", 1).is_empty(), "it is a dead letter now");
    b.publish("t", "more");
    let before = b.broker.clone();
    let end = b.log.len() as u64;
    let needed: u64 = regions(&b.broker).values().sum();
    assert_eq!(empty(&mut b, end), 6);
    assert_eq!(regions(&b.broker).values().sum::<u64>(), needed);
    let all: Vec<Stowed> = b.broker.stored().collect();
    assert!(all.iter().all(|stowed| stowed.places()[0].lsn >= end), "{all:?}");
    let states = |broker: &Broker| {
        let seen = broker.peek(&queue("dead"), None, 10).unwrap();
        seen.iter()
            .map(|p| (p.seq, p.state, p.lease.dead_letter_source.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&b.broker), states(&before));
    // A handle from before is still good, and says where the message lies now.
    let (payload, _) = b.broker.whereabouts(&held[0].handle).unwrap();
    assert!(payload.lsn >= end);
    b.delete("q", &held[0].handle).unwrap();
    assert_eq!(b.broker.whereabouts(&held[0].handle), None);
    let mut bodies = b.bodies("q");
    bodies.sort();
    assert_eq!(bodies, ["more", "news"]);
    assert_eq!(
        b.receive("dead", 10)
            .iter()
            .filter(|m| body(m) == "poison")
            .count(),
        1
    );
    b.assert_replays();
}

#[test]
fn a_copy_is_not_used_if_the_message_lies_elsewhere_by_then() {
    let mut b = Bench::with_queues(&["q"]);
    b.send("q", "one");
    b.send("q", "two");
    let found: Vec<Stowed> = b.broker.stored().collect();
    let held = b.receive("q", 1);
    b.delete("q", &held[0].handle).unwrap();
    relocate(&mut b, &found);
    let once: Vec<Stowed> = b.broker.stored().collect();
    assert_eq!(once.len(), 1);
    relocate(&mut b, &found);
    assert_eq!(b.broker.stored().collect::<Vec<_>>(), once, "moved once");
    assert_eq!(b.bodies("q"), ["two"]);
    b.assert_replays();
}
