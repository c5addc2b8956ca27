//! The machine against a model that is too simple to be wrong: a list of messages, searched from the start.
//!
//! Random commands from a seed; after each one results and counters must agree. At random points the machine
//! is rebuilt from a snapshot and the records after it, and must be the same to the last byte. Some messages name a
//! tenant: then who is next is decided by turns. `TSUGITE_MODEL_OPERATIONS` says how many commands.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Bench, START, body, operations, queue, redrive, topic};
use tsugite_base::rng::SplitMix64;
use tsugite_base::{Sheaf, Uuid};
use tsugite_broker::*;

const QUEUES: [&str; 3] = ["a", "b", "dead"];
const TENANTS: [&str; 3] = ["t1", "t2", "t3"];
const CAP: usize = 25;
const GUARD: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// Since this many events.
    Ready(u64),
    Delayed(u64),
    Leased(u64),
}

#[derive(Clone, Debug)]
struct Item {
    id: Uuid,
    text: String,
    sent: u64,
    seq: u64,
    receives: u32,
    leased: u64,
    at: At,
    group: Option<&'static str>,
    source: Option<&'static str>,
    /// Of the delivery that the latest handle is for.
    handle: String,
}

#[derive(Default)]
struct Line {
    items: Vec<Item>,
    /// Since which event a tenant has something available, or had it and was served.
    since: BTreeMap<&'static str, u64>,
    next_seq: u64,
    retention: u64,
    visibility: u64,
    delay: u64,
    dead_letters_after: Option<u32>,
    purged: Option<u64>,
}

impl Line {
    /// Sees to the tenants after something changed: those that have something available again go to the back.
    fn regroup(&mut self, events: &mut u64) {
        for tenant in TENANTS {
            let mut own = self.items.iter().filter(|i| i.group == Some(tenant));
            if !own.any(|i| matches!(i.at, At::Ready(_))) {
                self.since.remove(tenant);
            } else if !self.since.contains_key(tenant) {
                *events += 1;
                self.since.insert(tenant, *events);
            }
        }
    }

    /// Everything that can be received, the next first: by the event since which it is available; of a tenant one,
    /// and the others after everything else, in turn.
    fn available(&self) -> Vec<u64> {
        let of = |group: Option<&str>| {
            let own = self.items.iter().filter(|i| i.group == group);
            let mut ready: Vec<(u64, u64)> = own
                .filter_map(|i| match i.at {
                    At::Ready(event) => Some((event, i.seq)),
                    _ => None,
                })
                .collect();
            ready.sort_unstable();
            ready
        };
        let mut turns: Vec<(u64, Vec<u64>)> = Vec::new();
        turns.extend(of(None).into_iter().map(|(event, seq)| (event, vec![seq])));
        for (tenant, event) in &self.since {
            turns.push((*event, of(Some(tenant)).into_iter().map(|(_, seq)| seq).collect()));
        }
        turns.sort_unstable();
        let longest = turns.iter().map(|(_, seqs)| seqs.len()).max().unwrap_or(0);
        let round = |n: usize| turns.iter().filter_map(move |(_, seqs)| seqs.get(n).copied());
        (0..longest).flat_map(round).collect()
    }

    /// The next thing that time brings: when, whether a message goes (after what else is due then), and which.
    fn next(&self) -> Option<(u64, bool, u64)> {
        let each = |item: &Item| {
            let expiry = (item.sent + self.retention, true, item.seq);
            match item.at {
                At::Ready(_) => expiry,
                At::Delayed(until) | At::Leased(until) => expiry.min((until, false, item.seq)),
            }
        };
        self.items.iter().map(each).min()
    }
}

#[derive(Default)]
struct Model {
    now: u64,
    events: u64,
    lines: BTreeMap<&'static str, Line>,
}

impl Model {
    fn event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn create(&mut self, name: &'static str) {
        let line = Line {
            retention: 345_600_000,
            visibility: 30_000,
            ..Line::default()
        };
        self.lines.insert(name, line);
    }

    /// Lets everything that is due happen, one after the other.
    fn settle(&mut self) {
        for line in self.lines.values_mut() {
            while let Some((_, gone, seq)) = line.next().filter(|(due, _, _)| *due <= self.now) {
                let at = line.items.iter().position(|i| i.seq == seq).unwrap();
                if gone {
                    line.items.remove(at);
                } else {
                    self.events += 1;
                    line.items[at].at = At::Ready(self.events);
                }
                line.regroup(&mut self.events);
            }
        }
    }

    fn regroup(&mut self, name: &str) {
        let line = self.lines.get_mut(name).unwrap();
        line.regroup(&mut self.events);
    }

    fn put(&mut self, name: &str, id: Uuid, text: String, delay: u64, group: Option<&'static str>) {
        let event = self.event();
        let now = self.now;
        let line = self.lines.get_mut(name).unwrap();
        line.next_seq += 1;
        line.items.push(Item {
            id,
            text,
            sent: now,
            seq: line.next_seq,
            receives: 0,
            leased: 0,
            at: if delay == 0 {
                At::Ready(event)
            } else {
                At::Delayed(now + delay)
            },
            group,
            source: None,
            handle: String::new(),
        });
        self.regroup(name);
    }

    fn counts(&self, name: &str) -> (usize, usize, usize) {
        let count = |f: fn(&At) -> bool| self.lines[name].items.iter().filter(|i| f(&i.at)).count();
        (
            count(|at| matches!(at, At::Ready(_))),
            count(|at| matches!(at, At::Leased(_))),
            count(|at| matches!(at, At::Delayed(_))),
        )
    }

    /// The ids that a receive must return, with their counts; dead letters are moved on the way.
    fn receive(&mut self, name: &'static str, max: usize, timeout: u64) -> Vec<(Uuid, u32)> {
        let now = self.now;
        let room = CAP.saturating_sub(self.counts(name).1).min(max);
        let line = self.lines.get_mut(name).unwrap();
        let limit = line.dead_letters_after.unwrap_or(u32::MAX);
        let (mut out, mut moved) = (Vec::new(), Vec::new());
        for seq in line.available() {
            if out.len() == room {
                break;
            }
            let item = line.items.iter().find(|i| i.seq == seq).unwrap();
            if item.receives >= limit {
                moved.push(seq);
            } else {
                out.push((seq, item.id, item.receives + 1));
            }
        }
        for seq in moved {
            let event = self.event();
            let line = self.lines.get_mut(name).unwrap();
            let at = line.items.iter().position(|i| i.seq == seq).unwrap();
            let mut item = line.items.remove(at);
            self.regroup(name);
            let line = self.lines.get_mut("dead").unwrap();
            line.next_seq += 1;
            item.seq = line.next_seq;
            item.at = At::Ready(event);
            item.source = Some(name);
            item.handle.clear();
            line.items.push(item);
            self.regroup("dead");
        }
        for (seq, _, _) in &out {
            let event = self.event();
            let line = self.lines.get_mut(name).unwrap();
            let item = line.items.iter_mut().find(|i| i.seq == *seq).unwrap();
            item.receives += 1;
            item.leased = now;
            item.at = if timeout == 0 {
                At::Ready(event)
            } else {
                At::Leased(now + timeout)
            };
            let tenant = item.group;
            self.regroup(name);
            // Who was served goes to the back.
            let line = self.lines.get_mut(name).unwrap();
            if tenant.is_some_and(|tenant| line.since.remove(tenant).is_some()) {
                self.regroup(name);
            }
        }
        out.into_iter().map(|(_, id, receives)| (id, receives)).collect()
    }

    fn find(&mut self, name: &str, id: Uuid) -> Option<&mut Item> {
        self.lines.get_mut(name)?.items.iter_mut().find(|i| i.id == id)
    }
}

struct Run {
    rng: SplitMix64,
    bench: Bench,
    model: Model,
    /// Handles given out: queue, message, when, text.
    handles: Vec<(&'static str, Uuid, u64, String)>,
    snapshot: Option<(Vec<u8>, usize)>,
    texts: u64,
    seen: BTreeMap<&'static str, u64>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let settings = Settings {
            in_flight: CAP,
            purge_guard: Duration::from_millis(GUARD),
            deleted_guard: Duration::ZERO,
            ..Settings::default()
        };
        let mut run = Run {
            rng: SplitMix64::new(seed),
            bench: Bench::new(settings),
            model: Model {
                now: START,
                ..Model::default()
            },
            handles: Vec::new(),
            snapshot: None,
            texts: 0,
            seen: BTreeMap::new(),
        };
        for name in QUEUES {
            run.bench.create(name, &[]).unwrap();
            run.model.create(name);
        }
        run.bench.create_topic("t");
        run.bench.subscribe("t", "a", &[]).unwrap();
        run.bench
            .subscribe("t", "b", &[("RawMessageDelivery", "true")])
            .unwrap();
        run
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.below(from.len() as u64) as usize]
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn step(&mut self) {
        let name = self.pick(&QUEUES);
        match self.rng.below(100) {
            0..=24 => self.send(name),
            25..=49 => self.receive(name),
            50..=69 => self.delete(),
            70..=79 => self.change(),
            80..=83 => self.publish(),
            84..=95 => {
                let ms = self.pick(&[1, 7, 400, 1_500, 10_000, 31_000]);
                self.bench.pass(Duration::from_millis(ms));
                self.model.now += ms;
                self.model.settle();
            }
            96 => self.settings(name),
            97 => self.purge(name),
            98 if self.rng.below(40) == 0 => {
                self.bench.delete_queue(name).unwrap();
                self.bench.create(name, &[]).unwrap();
                self.model.create(name);
                self.handles.retain(|h| h.0 != name);
                self.note("re-created");
            }
            _ => self.restart(),
        }
        self.compare();
    }

    fn send(&mut self, name: &'static str) {
        let n = 1 + self.rng.below(4);
        let mut entries = Vec::new();
        for _ in 0..n {
            self.texts += 1;
            let text = format!("text {}", self.texts);
            let delay = self.pick(&[None, None, None, Some(0), Some(1), Some(20)]);
            let group = self.pick(&[None, None, Some(TENANTS[0]), Some(TENANTS[1]), Some(TENANTS[2])]);
            let mut entry = self.bench.entry(&text);
            entry.delay = delay;
            entry.group = group.map(str::to_owned);
            let delay = delay.map_or(self.model.lines[name].delay, |d| d as u64 * 1_000);
            self.model.put(name, entry.id, text, delay, group);
            entries.push(entry);
        }
        let accepted = |e: &SendEntry| {
            Ok(Accepted {
                id: e.id,
                sequence: None,
            })
        };
        let ids: Vec<_> = entries.iter().map(accepted).collect();
        assert_eq!(self.bench.send_all(name, entries).unwrap().results, ids);
    }

    fn receive(&mut self, name: &'static str) {
        let max = self.pick(&[1, 2, 10]);
        let timeout = self.pick(&[None, Some(0), Some(2), Some(60)]);
        let full = self.model.counts(name).1 >= CAP;
        let got = match self.bench.receive_with(name, max, timeout) {
            Err(ReceiveError::OverLimit(_)) if full => return self.note("over the limit"),
            other => other.unwrap(),
        };
        assert!(!full);
        let ms = timeout.map_or(self.model.lines[name].visibility, |t| t as u64 * 1_000);
        let moves = self.model.lines["dead"].items.len();
        let expected = self.model.receive(name, max as usize, ms);
        if self.model.lines["dead"].items.len() > moves && name != "dead" {
            self.note("dead letters");
        }
        let ids: Vec<_> = got.iter().map(|m| (m.id, m.receive_count)).collect();
        assert_eq!(ids, expected);
        for message in got {
            let now = self.model.now;
            let item = self.model.find(name, message.id).unwrap();
            assert_eq!(
                (body(&message), message.sent.millis()),
                (item.text.as_str(), item.sent)
            );
            assert_eq!(message.group.as_deref(), item.group);
            let source = item.source.map(|s| queue(s).arn().to_string());
            assert_eq!(message.dead_letter_source, source);
            item.handle.clone_from(&message.handle);
            self.handles.push((name, message.id, now, message.handle));
        }
        if self.handles.len() > 60 {
            self.handles.drain(..20);
        }
        // A dead letter may be too old for its new queue.
        self.model.settle();
    }

    fn handle(&mut self) -> Option<(&'static str, Uuid, u64, String)> {
        let i = self.rng.below(self.handles.len() as u64) as usize;
        self.handles.get(i).cloned()
    }

    fn delete(&mut self) {
        let Some((name, id, _, handle)) = self.handle() else {
            return;
        };
        self.bench.delete(name, &handle).unwrap();
        match self.model.find(name, id).map(|i| i.handle == handle) {
            Some(true) => {
                let items = &mut self.model.lines.get_mut(name).unwrap().items;
                items.retain(|i| i.id != id);
                self.model.regroup(name);
                self.note("deleted");
            }
            Some(false) => self.note("old handle"),
            None => self.note("already gone"),
        }
    }

    fn change(&mut self) {
        let Some((name, id, since, handle)) = self.handle() else {
            return;
        };
        let timeout = self.pick(&[0, 0, 3, 50, 43_200, 43_201]);
        let result = self.bench.change(name, &handle, timeout);
        let (now, event) = (self.model.now, self.model.event());
        let total = now - since + timeout as u64 * 1_000;
        match self.model.find(name, id).filter(|i| i.handle == handle) {
            Some(item) if timeout <= 43_200 && total <= 43_200_000 => {
                result.unwrap();
                item.at = if timeout == 0 {
                    At::Ready(event)
                } else {
                    At::Leased(now + timeout as u64 * 1_000)
                };
                self.model.regroup(name);
                self.note("changed");
            }
            _ => assert!(matches!(result, Err(ChangeVisibilityEntryError::Invalid(_)))),
        }
    }

    fn publish(&mut self) {
        self.texts += 1;
        let text = format!("news {}", self.texts);
        let before: Vec<_> = QUEUES.map(|n| self.model.lines[n].delay).into();
        let published = self.bench.publish("t", &text);
        assert_eq!((published.deliveries, published.undeliverable), (2, 0));
        // The ids in the queues are the broker's choice: learn them from the topic's subscriptions.
        let listed = self
            .bench
            .broker
            .topic_subscriptions(&topic("t"), None, 10)
            .unwrap();
        for info in &listed.elements {
            let name = if info.endpoint == queue("a").arn().to_string() {
                "a"
            } else {
                "b"
            };
            let id = Uuid::v4(std::array::from_fn(|i| {
                published.id.0[i] ^ info.subscription.id.0[i]
            }));
            let delay = before[usize::from(name == "b")];
            self.model.put(name, id, text.clone(), delay, None);
        }
    }

    fn settings(&mut self, name: &'static str) {
        let retention = self.pick(&[60, 90, 3_600]);
        let delay = self.pick(&[0, 0, 2]);
        let visibility = self.pick(&[0, 5, 30]);
        let after = if name == "dead" {
            None
        } else {
            self.pick(&[None, Some(1), Some(3)])
        };
        let policy = after.map_or(String::new(), |max| redrive("dead", max));
        let attributes = [
            ("MessageRetentionPeriod", retention.to_string()),
            ("DelaySeconds", delay.to_string()),
            ("VisibilityTimeout", visibility.to_string()),
            ("RedrivePolicy", policy),
        ];
        let attributes = attributes.each_ref().map(|(n, v)| (*n, v.as_str()));
        self.bench.set(name, &attributes).unwrap();
        let line = self.model.lines.get_mut(name).unwrap();
        line.retention = retention * 1_000;
        line.delay = delay * 1_000;
        line.visibility = visibility * 1_000;
        line.dead_letters_after = after;
        self.model.settle();
    }

    fn purge(&mut self, name: &'static str) {
        let now = self.model.now;
        let line = self.model.lines.get_mut(name).unwrap();
        let guarded = line.purged.is_some_and(|at| now < at + GUARD);
        assert_eq!(self.bench.purge(name).is_err(), guarded);
        if !guarded {
            line.items.clear();
            line.since.clear();
            line.purged = Some(now);
        }
    }

    /// Rebuilds the machine as a restart would, compares it, and goes on with it.
    fn restart(&mut self) {
        if self.rng.below(3) == 0 {
            self.snapshot = Some((self.bench.snapshot(), self.bench.places.len()));
            return;
        }
        let (snapshot, from) = match &self.snapshot {
            Some((bytes, from)) => (Some(bytes.as_slice()), *from),
            None => (None, 0),
        };
        let rebuilt = self.bench.rebuilt(snapshot, from);
        let mut bytes = Sheaf::default();
        rebuilt.snapshot(&mut bytes);
        assert_eq!(bytes.to_vec(), self.bench.snapshot());
        self.bench.broker = rebuilt;
        self.note("restarted");
    }

    fn compare(&mut self) {
        let stats = self.bench.broker.queue_stats(self.bench.now);
        for (name, stats) in QUEUES.iter().zip(&stats) {
            assert_eq!(
                (stats.visible, stats.in_flight, stats.delayed),
                self.model.counts(name),
                "{name}"
            );
            let items = &self.model.lines[name].items;
            let oldest = items.iter().map(|i| i.sent).min();
            let age = stats
                .oldest_age
                .map(|age| self.model.now - age.as_millis() as u64);
            assert_eq!(age, oldest);
        }
        let lines = self.model.lines.values();
        let due = lines.filter_map(|line| Some(line.next()?.0)).min();
        let planned = self.bench.broker.next_deadline().map(|t| t.millis());
        assert!(
            due.is_none() || planned.is_some_and(|p| p <= due.unwrap()),
            "{planned:?} is after {due:?}"
        );
    }
}

/// Commands of one run: its log stays short enough to be replayed as a whole.
const RUN: u64 = 10_000;

#[test]
fn a_hundred_thousand_random_commands_agree_with_the_model() {
    let mut seen = BTreeMap::new();
    for seed in 0..operations(100_000).div_ceil(RUN) {
        let mut run = Run::new(seed);
        for step in 0..RUN {
            let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.step()));
            assert!(stepped.is_ok(), "seed {seed}, step {step}");
        }
        run.bench.assert_replays();
        for (what, n) in run.seen {
            *seen.entry(what).or_insert(0) += n;
        }
    }
    for what in [
        "over the limit",
        "dead letters",
        "deleted",
        "old handle",
        "already gone",
        "changed",
        "re-created",
        "restarted",
    ] {
        assert!(
            seen.get(what).is_some_and(|n| *n > 5),
            "{what} hardly happened: {seen:?}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let log = |seed| {
        let mut run = Run::new(seed);
        (0..2_000).for_each(|_| run.step());
        (run.bench.log.clone(), run.bench.snapshot())
    };
    assert_eq!(log(7), log(7));
    assert_ne!(log(7), log(8));
}
