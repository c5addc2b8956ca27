//! FIFO queues against a model that is too simple to be wrong: a list of messages, searched from the start.
//!
//! Random commands from a seed; after each one results, order, counters and deadlines must agree. At random points the
//! machine is rebuilt from a snapshot and the records after it, and must be the same to the last byte.
//! `TSUGITE_MODEL_OPERATIONS` says how many commands; a nightly run gives many (`cargo xtask models`).

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Bench, START, body, operations, queue, redrive};
use sha2::{Digest as _, Sha256};
use tsugite_base::rng::SplitMix64;
use tsugite_base::{Sheaf, Uuid};
use tsugite_broker::*;

const QUEUES: [&str; 3] = ["a.fifo", "b.fifo", "dead.fifo"];
const GROUPS: [&str; 5] = ["g1", "g2", "g3", "g4", "g5"];
const CAP: usize = 10;
const GUARD: u64 = 5_000;
const WINDOW: u64 = 300_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Ready,
    Delayed(u64),
    Leased(u64),
}

#[derive(Clone, Debug)]
struct Item {
    id: Uuid,
    /// Tells its stays apart if it comes back to a queue as a dead letter.
    stay: u64,
    text: String,
    group: String,
    dedup: String,
    sent: u64,
    /// Once it was told.
    sequence: Option<u64>,
    receives: u32,
    first_received: u64,
    leased: u64,
    at: At,
    source: Option<&'static str>,
    /// Of the delivery that the latest handle is for.
    handle: String,
}

/// What a receive with an attempt id got.
#[derive(Clone, Debug)]
struct Attempt {
    at: u64,
    until: u64,
    /// Ids and handles.
    got: Vec<(Uuid, String)>,
}

#[derive(Default)]
struct Line {
    /// In sequence.
    items: Vec<Item>,
    /// Since which event the head of a group is available.
    since: BTreeMap<String, u64>,
    /// Key, first acceptance, and what was accepted.
    accepted: Vec<(String, u64, Accepted)>,
    attempts: BTreeMap<String, Attempt>,
    retention: u64,
    visibility: u64,
    delay: u64,
    dead_letters: Option<(&'static str, u32)>,
    by_group: bool,
    content_based: bool,
    purged: Option<u64>,
    highest: u64,
}

impl Line {
    /// Sees to the groups after something changed: those whose head became available go to the back.
    fn regroup(&mut self, events: &mut u64) {
        for group in GROUPS {
            let head = self.items.iter().find(|i| i.group == group);
            if head.is_none_or(|i| i.at != At::Ready) {
                self.since.remove(group);
            } else if !self.since.contains_key(group) {
                *events += 1;
                self.since.insert(group.into(), *events);
            }
        }
    }

    /// Every message that can be received, the next first: the blocking rule.
    fn available(&self) -> Vec<Uuid> {
        let mut groups: Vec<(u64, &String)> =
            self.since.iter().map(|(group, since)| (*since, group)).collect();
        groups.sort_unstable();
        let mut all = Vec::new();
        for (_, group) in groups {
            let members = self.items.iter().filter(|i| i.group == *group);
            all.extend(members.take_while(|i| i.at == At::Ready).map(|i| i.id));
        }
        all
    }

    fn find(&mut self, id: Uuid) -> Option<&mut Item> {
        self.items.iter_mut().find(|i| i.id == id)
    }

    fn key(&self, group: &str, dedup: &str) -> String {
        if self.by_group {
            format!("{group} {dedup}")
        } else {
            dedup.to_owned()
        }
    }

    fn first(&self, key: &str, now: u64) -> Option<Accepted> {
        let mut known = self.accepted.iter().rev();
        known
            .find(|(k, at, _)| k == key && now < at + WINDOW)
            .map(|(_, _, accepted)| *accepted)
    }

    /// Whether the attempt can be repeated: nothing happened to what it got.
    fn repeatable(&self, name: &str, now: u64) -> Option<Attempt> {
        let attempt = self.attempts.get(name).filter(|a| now < a.at + WINDOW)?;
        let untouched = |(id, handle): &(Uuid, String)| {
            let item = self.items.iter().find(|i| i.id == *id);
            item.is_some_and(|i| i.handle == *handle && i.at == At::Leased(attempt.until))
        };
        attempt.got.iter().all(untouched).then(|| attempt.clone())
    }

    fn counts(&self) -> (usize, usize, usize) {
        let count = |f: fn(&At) -> bool| self.items.iter().filter(|i| f(&i.at)).count();
        (
            count(|at| *at == At::Ready),
            count(|at| matches!(at, At::Leased(_))),
            count(|at| matches!(at, At::Delayed(_))),
        )
    }

    /// The next thing that time brings: when, whether a message goes (after what else is due then), and which.
    fn next(&self) -> Option<(u64, bool, usize)> {
        let each = |(n, item): (usize, &Item)| {
            let expiry = (item.sent + self.retention, true, n);
            match item.at {
                At::Ready => expiry,
                At::Delayed(until) | At::Leased(until) => expiry.min((until, false, n)),
            }
        };
        self.items.iter().enumerate().map(each).min()
    }
}

#[derive(Default)]
struct Model {
    now: u64,
    events: u64,
    lines: BTreeMap<&'static str, Line>,
}

impl Model {
    fn line(&mut self, name: &str) -> &mut Line {
        self.lines.get_mut(name).unwrap()
    }

    fn regroup(&mut self, name: &str) {
        let line = self.lines.get_mut(name).unwrap();
        line.regroup(&mut self.events);
    }

    fn create(&mut self, name: &'static str, by_group: bool, content_based: bool) {
        let line = Line {
            retention: 345_600_000,
            visibility: 30_000,
            by_group,
            content_based,
            ..Line::default()
        };
        self.lines.insert(name, line);
    }

    /// Lets everything that is due happen, one after the other.
    fn settle(&mut self) {
        for line in self.lines.values_mut() {
            while let Some((_, gone, n)) = line.next().filter(|(due, _, _)| *due <= self.now) {
                if gone {
                    line.items.remove(n);
                } else {
                    line.items[n].at = At::Ready;
                }
                line.regroup(&mut self.events);
            }
        }
    }

    /// What a receive must return, with receive counts; dead letters are moved on the way.
    fn receive(&mut self, name: &'static str, max: usize, timeout: u64) -> Vec<Uuid> {
        let now = self.now;
        let line = self.line(name);
        let room = CAP.saturating_sub(line.counts().1).min(max);
        let (target, limit) = line.dead_letters.unwrap_or((name, u32::MAX));
        let (mut got, mut moved) = (Vec::new(), Vec::new());
        for id in line.available() {
            if got.len() == room {
                break;
            }
            if line.find(id).unwrap().receives >= limit {
                moved.push(id);
            } else {
                got.push(id);
            }
        }
        for id in moved {
            let line = self.line(name);
            let at = line.items.iter().position(|i| i.id == id).unwrap();
            let mut item = line.items.remove(at);
            self.regroup(name);
            self.events += 1;
            item.stay = self.events;
            item.sent = now;
            item.sequence = None;
            item.dedup = item.id.to_string();
            item.source = Some(name);
            item.handle.clear();
            self.line(target).items.push(item);
            self.regroup(target);
        }
        for id in &got {
            let item = self.line(name).find(*id).unwrap();
            item.receives += 1;
            item.leased = now;
            if item.first_received == 0 {
                item.first_received = now;
            }
            if timeout > 0 {
                item.at = At::Leased(now + timeout);
            }
            let group = item.group.clone();
            self.regroup(name);
            // Who was served goes to the back.
            if self.line(name).since.remove(&group).is_some() {
                self.regroup(name);
            }
        }
        got
    }
}

struct Handed {
    name: &'static str,
    id: Uuid,
    stay: u64,
    since: u64,
    text: String,
}

struct Run {
    rng: SplitMix64,
    bench: Bench,
    model: Model,
    handles: Vec<Handed>,
    snapshot: Option<(Vec<u8>, usize)>,
    texts: u64,
    /// Ids that messages ever had.
    ids: BTreeSet<Uuid>,
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
            ids: BTreeSet::new(),
            seen: BTreeMap::new(),
        };
        QUEUES.iter().for_each(|name| run.create(name));
        run
    }

    fn create(&mut self, name: &'static str) {
        let (by_group, content_based) = (self.rng.below(2) == 0, self.rng.below(2) == 0);
        let scope = if by_group { "messageGroup" } else { "queue" };
        let content = content_based.to_string();
        let attributes = [
            ("FifoQueue", "true"),
            ("DeduplicationScope", scope),
            ("ContentBasedDeduplication", &content),
        ];
        self.bench.create(name, &attributes).unwrap();
        self.model.create(name, by_group, content_based);
        self.note(if by_group { "scope group" } else { "scope queue" });
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
            25..=51 => self.receive(name),
            52..=71 => self.delete(),
            72..=81 => self.change(),
            82..=94 => {
                let ms = self.pick(&[1, 7, 400, 1_500, 10_000, 31_000, 120_000]);
                self.bench.pass(Duration::from_millis(ms));
                self.model.now += ms;
                self.model.settle();
            }
            95 | 96 => self.settings(name),
            97 => self.purge(name),
            98 if self.rng.below(40) == 0 => {
                self.bench.delete_queue(name).unwrap();
                self.create(name);
                let stale = self.handles.iter().position(|h| h.name == name);
                if let Some(at) = stale {
                    let handed = self.handles.remove(at);
                    let result = self.bench.delete(name, &handed.text);
                    assert!(matches!(result, Err(DeleteEntryError::Handle(_))), "{result:?}");
                }
                self.handles.retain(|h| h.name != name);
                self.note("re-created");
            }
            _ => self.restart(),
        }
        self.compare();
    }

    /// A message; with a deduplication id that may be that of an earlier one.
    fn entry(&mut self) -> SendEntry {
        self.texts += 1;
        let text = match self.rng.below(4) {
            0 => format!(
                "text {}",
                self.rng.below(self.texts).max(self.texts.saturating_sub(20))
            ),
            _ => format!("text {}", self.texts),
        };
        let mut entry = self.bench.entry(&text);
        entry.group = Some(self.pick(&GROUPS).into());
        entry.deduplication = match self.rng.below(4) {
            0 => None,
            1 => Some(hex(&text)),
            2 => Some(format!("d{}", self.rng.below(30))),
            _ => Some(format!("unique{}", self.texts)),
        };
        entry
    }

    fn send(&mut self, name: &'static str) {
        let mut entries = Vec::new();
        for _ in 0..1 + self.rng.below(5) {
            let entry = self.entry();
            entries.push(entry);
        }
        let content_based = self.model.line(name).content_based;
        let broken = self.rng.below(40);
        if broken == 0 {
            entries[0].group = None;
        }
        if broken == 1 {
            entries[0].delay = Some(1);
        }
        if broken == 2 {
            entries[0].deduplication = Some("not one word".into());
        }
        entries[0].delay = entries[0].delay.or(self.pick(&[None, Some(0)]));
        let whole = |e: &SendEntry| e.group.is_some() && (content_based || e.deduplication.is_some());
        if !entries.iter().all(whole) {
            let before = self.bench.places.len();
            let refused = self.bench.send_all(name, entries).unwrap_err();
            let expected = matches!(refused, SendError::Missing(_) | SendError::Invalid(_));
            assert!(expected, "{refused}");
            assert_eq!(self.bench.places.len(), before);
            return self.note("refused as a whole");
        }
        let reply = self.bench.send_all(name, entries.clone()).unwrap();
        assert_eq!(reply.results.len(), entries.len());
        let now = self.model.now;
        for (n, (entry, result)) in entries.into_iter().zip(reply.results).enumerate() {
            if n == 0 && (broken == 1 || broken == 2) {
                assert!(matches!(result, Err(SendEntryError::Invalid(_))), "{result:?}");
                self.note("refused alone");
                continue;
            }
            let accepted = result.unwrap();
            let group = entry.group.unwrap();
            let dedup = entry.deduplication.unwrap_or_else(|| hex(&entry.body));
            let line = self.model.line(name);
            let key = line.key(&group, &dedup);
            if let Some(first) = line.first(&key, now) {
                assert_eq!(accepted, first, "a repeat of {key}");
                self.note("repeats");
                continue;
            }
            assert!(
                self.ids.insert(accepted.id),
                "{key} is no repeat, and gets an id of its own"
            );
            let sequence = accepted.sequence.unwrap();
            assert!(
                sequence > line.highest && sequence.to_string().len() == 20,
                "{sequence}"
            );
            line.highest = sequence;
            line.accepted.push((key, now, accepted));
            let at = match line.delay {
                0 => At::Ready,
                delay => At::Delayed(now + delay),
            };
            line.items.push(Item {
                id: accepted.id,
                stay: 0,
                text: entry.body,
                group,
                dedup,
                sent: now,
                sequence: Some(sequence),
                receives: 0,
                first_received: 0,
                leased: 0,
                at,
                source: None,
                handle: String::new(),
            });
            self.model.regroup(name);
        }
        let line = self.model.line(name);
        line.accepted.retain(|(_, at, _)| now < at + WINDOW);
    }

    fn receive(&mut self, name: &'static str) {
        let max = self.pick(&[1, 2, 3, 10]);
        let timeout = self.pick(&[None, Some(0), Some(2), Some(60), Some(200)]);
        let attempt = self.pick(&[None, None, None, Some("r1"), Some("r2"), Some("r3")]);
        let ms = timeout.map_or(self.model.line(name).visibility, |t| t as u64 * 1_000);
        let command = Receive {
            queue: queue(name),
            max: Some(max),
            visibility: timeout,
            wait: Some(0),
            attempt: attempt.map(str::to_owned),
        };
        let got = self.bench.receive_by(&command).unwrap();
        let now = self.model.now;
        let line = self.model.line(name);
        let known = attempt.is_some_and(|a| line.attempts.contains_key(a));
        if let Some(same) = attempt.and_then(|a| line.repeatable(a, now)) {
            let again: Vec<_> = got.iter().map(|m| (m.id, m.handle.clone())).collect();
            assert_eq!(again, same.got, "attempt {attempt:?}");
            line.attempts.get_mut(attempt.unwrap()).unwrap().until = now + ms;
            for (id, _) in &same.got {
                let item = self.model.line(name).find(*id).unwrap();
                item.at = if ms == 0 { At::Ready } else { At::Leased(now + ms) };
                self.model.regroup(name);
            }
            return self.note("repeated attempts");
        }
        if known {
            self.note("attempts that cannot be repeated");
        }
        let line = self.model.line(name);
        if line.counts().1 >= CAP {
            assert!(got.is_empty(), "more than may be in flight");
            return self.note("over the limit");
        }
        let target = line.dead_letters.map(|(target, _)| target);
        let before = target.map(|t| self.model.line(t).items.len());
        let expected = self.model.receive(name, max as usize, ms);
        if target.map(|t| self.model.line(t).items.len()) > before {
            self.note("dead letters");
        }
        let ids: Vec<_> = got.iter().map(|m| m.id).collect();
        assert_eq!(ids, expected);
        if ids.len() > 1 {
            self.note("several at once");
        }
        if let Some(attempt) = attempt.filter(|_| !got.is_empty()) {
            let got = got.iter().map(|m| (m.id, m.handle.clone())).collect();
            let until = now + ms;
            let attempts = &mut self.model.line(name).attempts;
            attempts.insert(attempt.into(), Attempt { at: now, until, got });
        }
        got.iter().for_each(|message| self.check_message(name, message));
        if self.handles.len() > 60 {
            self.handles.drain(..20);
        }
        // A dead letter may be too old for its new queue.
        self.model.settle();
    }

    fn check_message(&mut self, name: &'static str, message: &Message) {
        let now = self.model.now;
        let line = self.model.line(name);
        let at = line.items.iter().position(|i| i.id == message.id).unwrap();
        let sequence = message.sequence.unwrap();
        let item = &line.items[at];
        assert_eq!(
            (body(message), message.sent.millis(), message.receive_count),
            (item.text.as_str(), item.sent, item.receives)
        );
        assert_eq!(message.first_received.millis(), item.first_received);
        assert_eq!(message.group.as_ref(), Some(&item.group));
        assert_eq!(message.deduplication.as_ref(), Some(&item.dedup));
        assert!(item.sequence.is_none_or(|told| told == sequence));
        let source = item.source.map(|s| queue(s).arn().to_string());
        assert_eq!(message.dead_letter_source, source);
        assert!(
            line.items[..at]
                .iter()
                .all(|i| i.sequence.is_none_or(|s| s < sequence))
        );
        assert!(
            line.items[at + 1..]
                .iter()
                .all(|i| i.sequence.is_none_or(|s| s > sequence))
        );
        line.items[at].sequence = Some(sequence);
        line.items[at].handle.clone_from(&message.handle);
        line.highest = line.highest.max(sequence);
        let stay = line.items[at].stay;
        self.handles.push(Handed {
            name,
            id: message.id,
            stay,
            since: now,
            text: message.handle.clone(),
        });
    }

    /// Some handles of one queue, each at most once.
    fn some_handles(&mut self) -> Vec<usize> {
        let n = self.handles.len() as u64;
        let mut some: Vec<usize> = Vec::new();
        for _ in 0..if n == 0 { 0 } else { 1 + self.rng.below(3) } {
            let at = self.rng.below(n) as usize;
            let one_queue = some
                .iter()
                .all(|i| self.handles[*i].name == self.handles[at].name);
            if one_queue && some.iter().all(|i| self.handles[*i].id != self.handles[at].id) {
                some.push(at);
            }
        }
        some
    }

    fn delete(&mut self) {
        let some = self.some_handles();
        let Some(name) = some.first().map(|at| self.handles[*at].name) else {
            return;
        };
        let handles = some.iter().map(|at| self.handles[*at].text.clone()).collect();
        let results = self.bench.delete_all(name, handles);
        assert_eq!(results.len(), some.len());
        for (at, result) in some.iter().zip(results) {
            let Handed { id, stay, .. } = self.handles[*at];
            let text = self.handles[*at].text.clone();
            let line = self.model.lines.get_mut(name).unwrap();
            let Some(n) = line.items.iter().position(|i| i.id == id && i.stay == stay) else {
                assert_eq!(result, Ok(()));
                self.note("already gone");
                continue;
            };
            let held = matches!(line.items[n].at, At::Leased(_)) && line.items[n].handle == text;
            if held {
                assert_eq!(result, Ok(()));
                line.items.remove(n);
                self.model.regroup(name);
                self.note("deleted");
            } else {
                assert!(matches!(result, Err(DeleteEntryError::Invalid(_))), "{result:?}");
                self.note("expired handle");
            }
        }
    }

    fn change(&mut self) {
        let some = self.some_handles();
        let Some(name) = some.first().map(|at| self.handles[*at].name) else {
            return;
        };
        let mut entries = Vec::new();
        for at in &some {
            let timeout = self.pick(&[0, 0, 3, 50, 43_200, 43_201]);
            let handle = self.handles[*at].text.clone();
            entries.push(ChangeVisibilityEntry { handle, timeout });
        }
        let results = self.bench.change_all(name, entries.clone());
        assert_eq!(results.len(), some.len());
        let now = self.model.now;
        for ((at, entry), result) in some.iter().zip(entries).zip(results) {
            let (id, since) = (self.handles[*at].id, self.handles[*at].since);
            let ms = entry.timeout as u64 * 1_000;
            let line = self.model.line(name);
            let held = line
                .find(id)
                .filter(|i| matches!(i.at, At::Leased(_)) && i.handle == entry.handle);
            let fits = entry.timeout <= 43_200 && now - since + ms <= 43_200_000;
            let Some(item) = held.filter(|_| fits) else {
                assert!(
                    matches!(result, Err(ChangeVisibilityEntryError::Invalid(_))),
                    "{result:?}"
                );
                self.note("change refused");
                continue;
            };
            assert_eq!(result, Ok(()));
            item.at = if ms == 0 { At::Ready } else { At::Leased(now + ms) };
            self.model.regroup(name);
            self.note("changed");
        }
    }

    fn settings(&mut self, name: &'static str) {
        let retention = self.pick(&[60, 90, 3_600]);
        let delay = self.pick(&[0, 0, 2, 20]);
        let visibility = self.pick(&[0, 5, 30]);
        let content_based = self.rng.below(2) == 0;
        let target = if name == "dead.fifo" {
            "b.fifo"
        } else {
            "dead.fifo"
        };
        let after = self.pick(&[None, Some(1), Some(3)]);
        let policy = after.map_or(String::new(), |max| redrive(target, max));
        let attributes = [
            ("MessageRetentionPeriod", retention.to_string()),
            ("DelaySeconds", delay.to_string()),
            ("VisibilityTimeout", visibility.to_string()),
            ("ContentBasedDeduplication", content_based.to_string()),
            ("RedrivePolicy", policy),
        ];
        let attributes = attributes.each_ref().map(|(n, v)| (*n, v.as_str()));
        self.bench.set(name, &attributes).unwrap();
        let (now, delay) = (self.model.now, delay * 1_000);
        let line = self.model.line(name);
        line.retention = retention * 1_000;
        line.visibility = visibility * 1_000;
        line.content_based = content_based;
        line.dead_letters = after.map(|max| (target, max));
        let retimed = std::mem::replace(&mut line.delay, delay) != delay;
        for n in 0..line.items.len() {
            let line = self.model.line(name);
            let item = &mut line.items[n];
            if retimed && matches!(item.at, At::Delayed(_)) {
                let until = item.sent + delay;
                item.at = if until > now {
                    At::Delayed(until)
                } else {
                    At::Ready
                };
                self.model.regroup(name);
                self.note("re-timed");
            }
        }
        self.model.settle();
    }

    fn purge(&mut self, name: &'static str) {
        let now = self.model.now;
        let line = self.model.line(name);
        let guarded = line.purged.is_some_and(|at| now < at + GUARD);
        assert_eq!(self.bench.purge(name).is_err(), guarded);
        if !guarded {
            let line = self.model.line(name);
            line.items.clear();
            line.accepted.clear();
            line.attempts.clear();
            line.purged = Some(now);
            self.model.regroup(name);
            self.note("purged");
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

    fn compare(&self) {
        let stats = self.bench.broker.queue_stats(self.bench.now);
        for (name, stats) in QUEUES.iter().zip(&stats) {
            let line = &self.model.lines[name];
            let counts = (stats.visible, stats.in_flight, stats.delayed);
            assert_eq!(counts, line.counts(), "{name}");
            let oldest = line.items.iter().map(|i| i.sent).min();
            let age = stats
                .oldest_age
                .map(|age| self.model.now - age.as_millis() as u64);
            assert_eq!(age, oldest);
        }
        let due = self
            .model
            .lines
            .values()
            .filter_map(|line| Some(line.next()?.0))
            .min();
        let planned = self.bench.broker.next_deadline().map(|t| t.millis());
        let late = due.is_some_and(|due| planned.is_none_or(|p| p > due));
        assert!(!late, "{planned:?} is after {due:?}");
    }
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
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
        "already gone",
        "attempts that cannot be repeated",
        "change refused",
        "changed",
        "dead letters",
        "deleted",
        "expired handle",
        "over the limit",
        "purged",
        "re-created",
        "re-timed",
        "refused alone",
        "refused as a whole",
        "repeated attempts",
        "repeats",
        "restarted",
        "scope group",
        "scope queue",
        "several at once",
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
