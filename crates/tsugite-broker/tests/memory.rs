//! What a stored message costs: bytes in memory, by an allocator that counts, and bytes in a snapshot.
//!
//! Payloads are not in it: they stay in the log. One test only, so that nothing else allocates meanwhile.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe; this one passes everything on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tsugite_base::names::Scope;
use tsugite_base::rng::SplitMix64;
use tsugite_base::{Decision, Now, Place, Sheaf, Uuid};
use tsugite_broker::*;

/// Bytes that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MESSAGES: usize = 1_000_000;

struct Store {
    broker: Broker,
    now: Now,
    end: u64,
    ids: SplitMix64,
}

impl Store {
    fn commit<R>(&mut self, decision: Decision<Record, R>) -> R {
        let mut bytes = Vec::new();
        for record in decision.records {
            bytes.clear();
            record.encode(&mut bytes);
            // A frame has a head, and begins on a multiple of 512 bytes.
            let lsn = self.end.next_multiple_of(512) + 40;
            let len = bytes.len() as u32;
            self.broker.apply(record, Place { lsn, len });
            self.end = lsn + u64::from(len);
        }
        decision.reply
    }
}

/// A million messages of 200 bytes in a queue, ten a call and a thousand calls a second; `group` names their groups.
fn filled(name: &str, group: impl Fn(usize) -> Option<String>) -> Store {
    let mut store = Store {
        broker: Broker::new(Settings::default()),
        now: Now::at(1_700_000_000_000),
        end: 0,
        ids: SplitMix64::new(1),
    };
    let fifo = name.ends_with(".fifo");
    let key = QueueKey::new(Scope::default(), name);
    let create = CreateQueue {
        queue: key.clone(),
        attributes: fifo
            .then(|| ("FifoQueue".into(), "true".into()))
            .into_iter()
            .collect(),
        tags: Vec::new(),
    };
    let decision = store.broker.create_queue(create, store.now).unwrap();
    store.commit(decision);
    for call in 0..MESSAGES / 10 {
        store.now = Now::at(1_700_000_000_000 + call as u64);
        store.broker.advance(store.now);
        let entries = (0..10).map(|i| {
            let halves = [store.ids.next_u64(), store.ids.next_u64()];
            SendEntry {
                id: Uuid::v4(std::array::from_fn(|i| halves[i / 8].to_le_bytes()[i % 8])),
                body: "x".repeat(200),
                group: group(call * 10 + i),
                deduplication: fifo.then(|| format!("{call}-{i}")),
                ..SendEntry::default()
            }
        });
        let command = SendMessages {
            queue: key.clone(),
            sender: "000000000000".into(),
            entries: entries.collect(),
        };
        let decision = store.broker.send(command, store.now).unwrap();
        let reply = store.commit(decision);
        assert!(reply.results.iter().all(Result::is_ok));
    }
    let stats = store.broker.queue_stats(store.now);
    assert_eq!(stats[0].visible, MESSAGES);
    store
}

/// Bytes a message: in memory as the queue was just filled, in memory five minutes later, in a snapshot then, and in
/// memory after a restart.
fn measured(name: &str, group: impl Fn(usize) -> Option<String>) -> [f64; 4] {
    let before = LIVE.load(Ordering::Relaxed);
    let mut store = filled(name, group);
    let each = |bytes: usize| bytes as f64 / MESSAGES as f64;
    let fresh = each(LIVE.load(Ordering::Relaxed) - before);
    // What a FIFO queue remembers of its sends goes after five minutes.
    store.now = Now::at((store.now.steady + Duration::from_secs(301)).millis());
    store.broker.advance(store.now);
    let live = each(LIVE.load(Ordering::Relaxed) - before);
    let mut snapshot = Sheaf::default();
    store.broker.snapshot(&mut snapshot);
    let snapshot = snapshot.to_vec();
    drop(store);
    let before = LIVE.load(Ordering::Relaxed);
    let again = Broker::restore(&snapshot, Settings::default()).unwrap();
    let restored = each(LIVE.load(Ordering::Relaxed) - before);
    drop(again);
    [fresh, live, each(snapshot.len()), restored]
}

#[test]
fn a_stored_message_costs_a_few_bytes() {
    check("standard", |_| None, [8.0, 8.0, 8.0, 8.0]);
    // Ten messages a group, those of all groups in turn: the next of a group is a hundred thousand messages away.
    let group = |n: usize| Some(format!("group-{:06}", n % (MESSAGES / 10)));
    check("queue.fifo", group, [40.0, 20.0, 12.0, 20.0]);
    // Tenants: the same groups on a standard queue.
    check("fair", group, [30.0, 30.0, 16.0, 30.0]);
}

fn check(name: &str, group: impl Fn(usize) -> Option<String>, most: [f64; 4]) {
    let found = measured(name, group);
    let fits = found.iter().zip(most).all(|(found, most)| *found <= most);
    assert!(fits, "{name}: {found:?} of {most:?}");
}
