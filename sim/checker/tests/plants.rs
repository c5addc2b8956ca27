//! A planted bug of every class is caught under its class; a server without bugs is never blamed.
//!
//! The server is a naive one in memory that takes effect somewhere between a call and its reply, loses replies in
//! crashes, and can be told to make one kind of mistake now and then.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::BTreeMap;

use tsugite_checker::{
    Call, Class, Entry, Event, Queue, Received, Reply, Report, Rules, SentResult, What, check,
};

const MAX_RECEIVES: u32 = 3;
const DELAY: u64 = 4_000;
const WINDOW: u64 = 300_000;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

#[derive(Clone, Default)]
struct Item {
    id: String,
    body: String,
    group: Option<String>,
    seq: u64,
    visible: u64,
    count: u32,
    handle: String,
    source: Option<String>,
    /// A planted mistake hides it.
    hidden: bool,
}

/// Groups of the last receives by attempt id: when, and what it returned.
type Attempts = BTreeMap<String, (u64, Vec<Received>)>;

struct Server {
    rng: Rng,
    plant: Option<Class>,
    now: u64,
    ids: u64,
    queues: BTreeMap<&'static str, Vec<Item>>,
    dedup: BTreeMap<String, (u64, String, u64)>,
    attempts: Attempts,
    events: Vec<Event>,
    pending: Vec<(u64, Reply)>,
    handles: Vec<(&'static str, String)>,
    planted: u64,
}

const NAMES: [&str; 3] = ["plain", "dead", "line.fifo"];

impl Server {
    fn new(seed: u64, plant: Option<Class>) -> Server {
        let mut server = Server {
            rng: Rng(seed),
            plant,
            now: 0,
            ids: 0,
            queues: NAMES.map(|name| (name, Vec::new())).into(),
            dedup: BTreeMap::new(),
            attempts: Attempts::new(),
            events: Vec::new(),
            pending: Vec::new(),
            handles: Vec::new(),
            planted: 0,
        };
        for name in NAMES {
            server.event(What::Queue(Queue {
                queue: name.into(),
                fifo: name.ends_with(".fifo"),
                dead_letters: (name == "plain").then(|| "dead".into()),
                max_receives: MAX_RECEIVES,
                ..Queue::default()
            }));
        }
        server
    }

    fn event(&mut self, what: What) {
        self.events.push(Event { at: self.now, what });
    }

    /// Whether to make the mistake now.
    fn slips(&mut self, class: Class) -> bool {
        let slips = self.plant == Some(class) && self.rng.chance(4);
        self.planted += u64::from(slips);
        slips
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// A call: asked, done after some other event, its reply held back for a while or lost in a crash.
    fn call(&mut self, call: Call) {
        let op = self.id();
        self.event(What::Ask {
            op,
            call: call.clone(),
        });
        self.now += self.rng.below(3);
        let reply = self.execute(&call);
        self.pending.push((op, reply));
        while !self.pending.is_empty() && !self.rng.chance(4) {
            let at = self.rng.below(self.pending.len() as u64) as usize;
            let (op, reply) = self.pending.remove(at);
            self.now += self.rng.below(3);
            if let Reply::Received(messages) = &reply {
                // A client knows only handles that it was told.
                let queue = messages.first().map(|m| self.owner(&m.handle));
                let told = messages.iter().map(|m| (queue.unwrap(), m.handle.clone()));
                self.handles.extend(told.collect::<Vec<_>>());
            }
            self.event(What::Done { op, reply });
        }
    }

    fn owner(&self, handle: &str) -> &'static str {
        NAMES.into_iter().find(|name| handle.starts_with(name)).unwrap()
    }

    fn execute(&mut self, call: &Call) -> Reply {
        match call {
            Call::Send { queue, entries } => self.send(queue, entries),
            Call::Receive {
                queue,
                max,
                visibility,
                attempt,
            } => self.receive(queue, *max, *visibility, attempt.as_ref()),
            Call::Delete { queue, handles } => {
                let keep = self.slips(Class::DeliveredAfterDelete);
                let items = self.queues.get_mut(queue.as_str()).unwrap();
                items.retain(|item| keep || !handles.contains(&item.handle));
                Reply::Each((0..handles.len()).map(|n| (n.to_string(), true)).collect())
            }
            Call::Change { queue, entries } => {
                let now = self.now;
                let items = self.queues.get_mut(queue.as_str()).unwrap();
                let change = |(n, (handle, millis)): (usize, &(String, u64))| {
                    let item = items
                        .iter_mut()
                        .find(|item| item.handle == *handle && item.visible > now);
                    let found = item.map(|item| item.visible = now + millis).is_some();
                    (n.to_string(), found)
                };
                Reply::Each(entries.iter().enumerate().map(change).collect())
            }
            Call::Purge { queue } => {
                if !self.slips(Class::DeliveredAfterDelete) {
                    self.queues.get_mut(queue.as_str()).unwrap().clear();
                }
                if queue.ends_with(".fifo") {
                    self.dedup.clear();
                }
                Reply::Nothing
            }
            Call::Publish { .. } | Call::Move { .. } => Reply::Nothing,
        }
    }

    fn send(&mut self, queue: &str, entries: &[Entry]) -> Reply {
        let mut results = Vec::new();
        for entry in entries {
            let (mut id, mut seq) = (format!("id{}", self.id()), self.id());
            let known = entry.dedup.as_ref().and_then(|key| self.dedup.get(key));
            let known = known.filter(|(at, _, _)| self.now < at + WINDOW).cloned();
            if let Some((_, first, first_seq)) = known.filter(|_| !self.slips(Class::Deduplication)) {
                (id, seq) = (first, first_seq);
            } else {
                if let Some(key) = &entry.dedup {
                    self.dedup.insert(key.clone(), (self.now, id.clone(), seq));
                }
                let delay = if self.slips(Class::Early) {
                    0
                } else {
                    entry.delay.unwrap_or(0)
                };
                let item = Item {
                    id: id.clone(),
                    body: entry.body.clone(),
                    group: entry.group.clone(),
                    seq,
                    visible: self.now + delay,
                    hidden: self.slips(Class::Late),
                    ..Item::default()
                };
                if !self.slips(Class::Lost) {
                    self.queues.get_mut(queue).unwrap().push(item);
                }
            }
            results.push(SentResult {
                entry: entry.entry.clone(),
                id: Some(id),
                seq: Some(seq),
            });
        }
        if self.slips(Class::Batch) {
            results.pop();
        }
        Reply::Sent(results)
    }

    fn receive(&mut self, queue: &str, max: usize, visibility: u64, attempt: Option<&String>) -> Reply {
        if let Some((at, messages)) = attempt.and_then(|id| self.attempts.get(id)).cloned()
            && self.now < at + WINDOW
        {
            let now = self.now;
            let items = self.queues.get_mut(queue).unwrap();
            let held = |m: &Received| {
                items
                    .iter()
                    .any(|item| item.handle == m.handle && item.visible > now)
            };
            if messages.iter().all(held) && !(messages.is_empty() || self.slips(Class::Attempt)) {
                let items = self.queues.get_mut(queue).unwrap();
                for item in items
                    .iter_mut()
                    .filter(|item| messages.iter().any(|m| m.handle == item.handle))
                {
                    item.visible = now + visibility;
                }
                return Reply::Received(messages);
            }
        }
        let fifo = queue.ends_with(".fifo");
        let mut blocked: Vec<String> = Vec::new();
        let (mut order, mut got, mut dead) = (
            (0..self.queues[queue].len()).collect::<Vec<_>>(),
            Vec::new(),
            Vec::new(),
        );
        if fifo && self.slips(Class::OutOfOrder) {
            order.reverse();
        }
        for at in order {
            let item = self.queues[queue][at].clone();
            let stuck = item.group.as_ref().is_some_and(|group| blocked.contains(group));
            if got.len() == max || item.hidden || fifo && stuck {
                continue;
            }
            if item.visible > self.now {
                if self.slips(Class::TwoHolders) && fifo {
                    continue;
                }
                blocked.extend(item.group.clone());
                if fifo || item.count == 0 || !self.slips(Class::DuplicatedInLease) {
                    continue;
                }
            }
            if queue == "plain" && item.count >= MAX_RECEIVES {
                dead.push(at);
                continue;
            }
            let handle = format!("{queue}-{}", self.id());
            let wrong = u32::from(self.slips(Class::ReceiveCount));
            let phantom = if self.slips(Class::Phantom) { "?" } else { "" };
            let item = &mut self.queues.get_mut(queue).unwrap()[at];
            item.count += 1;
            item.handle.clone_from(&handle);
            item.visible = self.now + visibility;
            got.push(Received {
                id: item.id.clone(),
                body: format!("{}{phantom}", item.body),
                handle,
                count: item.count + wrong,
                group: item.group.clone(),
                seq: fifo.then_some(item.seq),
                source: item.source.clone(),
            });
        }
        for at in dead.into_iter().rev() {
            let copy = self.slips(Class::TornMove);
            let mut item = self.queues.get_mut(queue).unwrap()[at].clone();
            if copy {
                self.queues.get_mut(queue).unwrap()[at].count = 0;
            } else {
                self.queues.get_mut(queue).unwrap().remove(at);
            }
            item.source = Some(queue.to_owned());
            self.queues.get_mut("dead").unwrap().push(item);
        }
        if let Some(id) = attempt {
            self.attempts.insert(id.clone(), (self.now, got.clone()));
        }
        Reply::Received(got)
    }

    fn step(&mut self) {
        let queue = NAMES[self.rng.below(3) as usize];
        match self.rng.below(20) {
            0..7 => {
                let entries = (0..=self.rng.below(3)).map(|n| {
                    let fifo = queue.ends_with(".fifo");
                    let body = format!("m{}", self.id());
                    Entry {
                        entry: n.to_string(),
                        body,
                        group: fifo.then(|| format!("g{}", self.rng.below(3))),
                        dedup: fifo.then(|| format!("d{}", self.rng.below(40))),
                        delay: Some(if !fifo && self.rng.chance(3) { DELAY } else { 0 }),
                    }
                });
                let entries = entries.collect();
                self.call(Call::Send {
                    queue: queue.into(),
                    entries,
                });
            }
            7..13 => {
                let attempt = queue.ends_with(".fifo") && self.rng.chance(2);
                let attempt = attempt.then(|| format!("a{}", self.rng.below(3)));
                let (max, visibility) = (
                    1 + self.rng.below(10) as usize,
                    [0, 500, 9_000][self.rng.below(3) as usize],
                );
                self.call(Call::Receive {
                    queue: queue.into(),
                    max,
                    visibility,
                    attempt,
                });
            }
            13..16 => self.with_handle(|queue, handle| Call::Delete {
                queue,
                handles: vec![handle],
            }),
            16 => {
                let millis = [0, 20_000][self.rng.below(2) as usize];
                self.with_handle(|queue, handle| Call::Change {
                    queue,
                    entries: vec![(handle, millis)],
                });
            }
            17 => self.now += [1, 600, 5_000, 10_000][self.rng.below(4) as usize],
            18 if self.rng.chance(6) => self.call(Call::Purge { queue: queue.into() }),
            18 if self.rng.chance(3) => {
                self.pending.clear();
                self.event(What::Crash);
            }
            18 => self.counters(),
            _ if self.rng.chance(10) => self.now += 70_000,
            _ => {}
        }
    }

    fn with_handle(&mut self, call: impl FnOnce(String, String) -> Call) {
        if !self.handles.is_empty() {
            let at = self.rng.below(self.handles.len() as u64) as usize;
            let (queue, handle) = self.handles.swap_remove(at);
            self.call(call(queue.into(), handle));
        }
    }

    fn settle(&mut self) {
        for (op, reply) in std::mem::take(&mut self.pending) {
            self.event(What::Done { op, reply });
        }
    }

    fn counters(&mut self) {
        self.settle();
        self.now += 10;
        for name in NAMES {
            let count = |f: &dyn Fn(&Item) -> bool| self.queues[name].iter().filter(|item| f(item)).count();
            let visible = count(&|item| item.visible <= self.now);
            let in_flight = count(&|item| item.visible > self.now && item.count > 0);
            let delayed = count(&|item| item.visible > self.now && item.count == 0);
            let visible = visible + usize::from(self.slips(Class::Counters));
            self.event(What::Counters {
                queue: name.into(),
                visible,
                in_flight,
                delayed,
            });
        }
    }

    fn drain(&mut self) {
        self.settle();
        for _ in 0..200 {
            self.now += 61_000;
            for queue in NAMES {
                let call = Call::Receive {
                    queue: queue.into(),
                    max: 10,
                    visibility: 30_000,
                    attempt: None,
                };
                self.call(call);
                self.settle();
                let handles: Vec<String> = match self.events.last().map(|e| &e.what) {
                    Some(What::Done {
                        reply: Reply::Received(messages),
                        ..
                    }) => messages.iter().map(|m| m.handle.clone()).collect(),
                    _ => Vec::new(),
                };
                if !handles.is_empty() {
                    self.call(Call::Delete {
                        queue: queue.into(),
                        handles,
                    });
                    self.settle();
                }
            }
            if self.queues.values().all(Vec::is_empty) {
                break;
            }
        }
        self.event(What::Drained);
    }
}

/// A history, judged; and how often the mistake was made.
fn play(seed: u64, plant: Option<Class>) -> (Report, u64, Vec<Event>) {
    let mut server = Server::new(seed, plant);
    (0..120).for_each(|_| server.step());
    server.drain();
    (
        check(&server.events, Rules::default()),
        server.planted,
        server.events,
    )
}

#[test]
fn a_server_without_bugs_is_never_blamed() {
    let (mut deliveries, mut unknown) = (0, 0);
    for seed in 0..2_000 {
        let (report, _, _) = play(seed, None);
        assert!(
            report.violations.is_empty(),
            "seed {seed}: {:#?}",
            report.violations
        );
        deliveries += report.deliveries;
        unknown += report.unknown;
    }
    assert!(deliveries > 50_000 && unknown > 500, "{deliveries} {unknown}");
}

#[track_caller]
fn caught(class: Class) {
    let (mut histories, mut found) = (0, 0);
    for seed in 0..300 {
        let (report, planted, _) = play(seed, Some(class));
        histories += u64::from(planted > 0);
        found += u64::from(report.classes().contains_key(&class));
    }
    assert!(
        histories >= 20,
        "{class:?} was planted in {histories} histories only"
    );
    // Some mistakes stay without a consequence that a client could see.
    assert!(
        found * 5 >= histories,
        "{class:?} was found in {found} of {histories} histories"
    );
}

macro_rules! plants {
    ($($name:ident $class:ident),* $(,)?) => { $(#[test] fn $name() { caught(Class::$class); })* };
}

plants! {
    lost_messages Lost,
    duplicates_within_a_lease DuplicatedInLease,
    deliveries_after_a_delete DeliveredAfterDelete,
    groups_out_of_order OutOfOrder,
    two_holders_of_a_group TwoHolders,
    broken_deduplication Deduplication,
    early_deliveries Early,
    late_deliveries Late,
    wrong_counters Counters,
    batches_not_one_to_one Batch,
    wrong_receive_counts ReceiveCount,
    torn_moves TornMove,
    attempts_not_repeated Attempt,
    phantoms Phantom,
}

#[test]
fn time_outs_are_unknown_and_never_mistakes() {
    // The same histories with every second reply of a send, delete, change or purge missing.
    for seed in 0..300 {
        let (_, _, events) = play(seed, None);
        let lost = |op: u64| op.is_multiple_of(2);
        let kept = events.into_iter().filter(|e| match &e.what {
            What::Done { op, reply } => matches!(reply, Reply::Received(_)) || !lost(*op),
            _ => true,
        });
        let kept: Vec<Event> = kept.filter(|e| e.what != What::Drained).collect();
        let report = check(&kept, Rules::default());
        assert!(
            report.violations.is_empty(),
            "seed {seed}: {:#?}",
            report.violations
        );
        assert!(report.unknown > 10);
    }
}

#[test]
fn a_history_as_text_is_the_same_history() {
    let (_, _, events) = play(1, None);
    let text = tsugite_checker::render(&events).unwrap();
    assert_eq!(tsugite_checker::parse(&text).unwrap(), events);
    assert!(tsugite_checker::parse("{}").unwrap_err().starts_with("line 1"));
}

#[test]
fn a_handle_that_came_again_after_a_crash_is_of_the_delivery_before_the_call() {
    let mut events = Vec::new();
    let mut note = |what| events.push(Event { at: 0, what });
    let queue = || "q".to_owned();
    note(What::Queue(Queue {
        queue: queue(),
        ..Queue::default()
    }));
    let mut ops = 0;
    let mut call = |note: &mut dyn FnMut(What), call, reply| {
        ops += 1;
        note(What::Ask { op: ops, call });
        note(What::Done { op: ops, reply });
    };
    let entry = Entry {
        entry: "0".into(),
        body: "a".into(),
        ..Entry::default()
    };
    let sent = SentResult {
        entry: "0".into(),
        id: Some("id".into()),
        seq: None,
    };
    let receive = || Call::Receive {
        queue: queue(),
        max: 1,
        visibility: 10_000,
        attempt: None,
    };
    let got = |handle: &str, count| {
        Reply::Received(vec![Received {
            id: "id".into(),
            body: "a".into(),
            handle: handle.into(),
            count,
            ..Received::default()
        }])
    };
    let send = Call::Send {
        queue: queue(),
        entries: vec![entry],
    };
    call(&mut note, send, Reply::Sent(vec![sent]));
    call(&mut note, receive(), got("first", 1));
    let release = Call::Change {
        queue: queue(),
        entries: vec![("first".into(), 0)],
    };
    call(&mut note, release, Reply::Each(vec![("0".into(), true)]));
    call(&mut note, receive(), got("second", 2));
    note(What::Crash);
    // Within the same millisecond, and as if for the first time.
    call(&mut note, receive(), got("first", 1));
    assert_eq!(check(&events, Rules::default()).violations, []);
}
