//! Message move tasks: what each promises, and that random tasks amid other work lose and double nothing.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Bench, body, queue, redrive};
use tsugite_base::names::Scope;
use tsugite_base::rng::SplitMix64;
use tsugite_base::{Timestamp, Uuid, limits};
use tsugite_broker::*;

/// Moves of a bench: what the shell does.
trait Moves {
    fn start(
        &mut self,
        source: &str,
        to: Option<&str>,
        rate: Option<i64>,
    ) -> Result<Uuid, StartMoveTaskError>;
    fn cancel(&mut self, source: &str, id: Uuid) -> Result<u64, CancelMoveTaskError>;
    fn tasks(&self, source: &str) -> Vec<MoveTask>;
    fn look(&self, source: &str, id: Uuid, limit: usize) -> MoveBatch;
    fn step(&mut self, source: &str, id: Uuid, batch: MoveBatch) -> MoveProgress;
    fn run(&mut self, source: &str, id: Uuid) -> MoveStatus;
    fn status(&self, source: &str) -> MoveStatus;
    fn dead_letters(&mut self, name: &str, texts: &[&str]);
}

impl Moves for Bench {
    fn start(
        &mut self,
        source: &str,
        to: Option<&str>,
        rate: Option<i64>,
    ) -> Result<Uuid, StartMoveTaskError> {
        let command = StartMoveTask {
            id: self.uuid(),
            source: queue(source),
            destination: to.map(queue),
            rate,
        };
        let id = command.id;
        let decision = self.broker.start_move_task(command, self.now)?;
        self.commit(decision);
        Ok(id)
    }

    fn cancel(&mut self, source: &str, id: Uuid) -> Result<u64, CancelMoveTaskError> {
        let source = queue(source);
        let decision = self
            .broker
            .cancel_move_task(&CancelMoveTask { source, id }, self.now)?;
        Ok(self.commit(decision))
    }

    fn tasks(&self, source: &str) -> Vec<MoveTask> {
        let (source, max) = (queue(source), Some(10));
        self.broker.move_tasks(&ListMoveTasks { source, max }).unwrap()
    }

    fn look(&self, source: &str, id: Uuid, limit: usize) -> MoveBatch {
        let source = self.broker.queue_id(&queue(source)).unwrap();
        self.broker.move_batch(source, id, limit)
    }

    fn step(&mut self, source: &str, task: Uuid, batch: MoveBatch) -> MoveProgress {
        let source = self.broker.queue_id(&queue(source)).unwrap();
        let ids: Vec<Uuid> = batch.candidates.iter().map(|_| self.uuid()).collect();
        let log = self.log.clone();
        let bytes = |place: tsugite_base::Place| &log[place.lsn as usize..place.end() as usize];
        let messages = batch
            .candidates
            .iter()
            .zip(ids)
            .map(|(&candidate, id)| MoveMessage {
                candidate,
                id,
                payload: Some(bytes(candidate.payload)),
                delivery: candidate.delivery.map(bytes),
            });
        let step = MoveStep {
            source,
            task,
            looked: batch.looked,
            messages: messages.collect(),
        };
        let decision = self.broker.move_step(&step, self.now);
        self.commit(decision)
    }

    fn run(&mut self, source: &str, id: Uuid) -> MoveStatus {
        for _ in 0..1_000 {
            let batch = self.look(source, id, 100);
            if !self.step(source, id, batch).running {
                return self.status(source);
            }
        }
        panic!("a task that does not end");
    }

    fn status(&self, source: &str) -> MoveStatus {
        self.tasks(source)[0].status
    }

    /// Sends to a queue of which the first receive is the last, and lets them become dead letters.
    fn dead_letters(&mut self, name: &str, texts: &[&str]) {
        for text in texts {
            self.send(name, text);
            assert_eq!(self.receive_with(name, 1, Some(0)).unwrap().len(), 1);
            assert!(self.receive(name, 1).is_empty());
        }
    }
}

/// Two queues, `a` and `b`, with the dead-letter queue `dead`, and another queue `other`.
fn bench() -> Bench {
    let mut b = Bench::with_queues(&["dead", "other"]);
    for name in ["a", "b"] {
        b.create(name, &[("RedrivePolicy", &redrive("dead", 1))]).unwrap();
    }
    b
}

#[test]
fn dead_letters_go_back_to_where_they_came_from() {
    let mut b = bench();
    b.dead_letters("a", &["1"]);
    b.dead_letters("b", &["2"]);
    b.dead_letters("a", &["3"]);
    let old: BTreeSet<Uuid> = b
        .receive_with("dead", 10, Some(0))
        .unwrap()
        .iter()
        .map(|m| m.id)
        .collect();
    b.seconds(7);
    let id = b.start("dead", None, None).unwrap();
    assert_eq!(b.tasks("dead")[0].total, 3);
    assert_eq!(b.run("dead", id), MoveStatus::Completed);
    assert_eq!((b.tasks("dead")[0].moved, b.counts("dead")), (3, (0, 0, 0)));
    let a = b.receive("a", 10);
    assert_eq!(a.iter().map(body).collect::<Vec<_>>(), ["1", "3"]);
    for message in &a {
        assert_eq!((message.receive_count, &message.dead_letter_source), (1, &None));
        assert_eq!(message.sent, b.now.wall, "sent anew");
        assert!(!old.contains(&message.id), "a new message");
    }
    assert_eq!(b.bodies("b"), ["2"]);
    b.assert_replays();
    // They can become dead letters again, and be moved again.
    b.seconds(31);
    assert!(b.receive("a", 10).is_empty());
    let id = b.start("dead", Some("other"), None).unwrap();
    b.run("dead", id);
    assert_eq!(b.bodies("other"), ["1", "3"]);
    b.assert_replays();
}

#[test]
fn a_notification_keeps_its_envelope_and_a_message_its_attributes() {
    let mut b = bench();
    b.create_topic("t");
    b.subscribe("t", "a", &[]).unwrap();
    b.subscribe("t", "b", &[("RawMessageDelivery", "true")]).unwrap();
    b.publish("t", "hello");
    let mut seen = Vec::new();
    for name in ["a", "b"] {
        seen.push(b.receive_with(name, 1, Some(0)).unwrap().remove(0));
        assert!(b.receive(name, 1).is_empty());
    }
    b.seconds(5);
    for round in 0..3 {
        let id = b.start("dead", Some("other"), None).unwrap();
        b.run("dead", id);
        let moved = b.receive_with("other", 2, Some(0)).unwrap();
        assert_eq!(moved.len(), 2, "round {round}");
        for (before, after) in seen.iter().zip(&moved) {
            assert_eq!(before.content, after.content);
            assert_eq!(before.sender, after.sender);
            assert_ne!(before.id, after.id);
        }
        // Back again: the payload of a moved message does not grow.
        let set = [("RedrivePolicy", redrive("dead", 1))];
        b.set("other", &[(set[0].0, &set[0].1)]).unwrap();
        assert!(b.receive("other", 2).is_empty());
    }
    let batch = |b: &mut Bench| {
        let id = b.start("dead", Some("other"), None).unwrap();
        let batch = b.look("dead", id, 100);
        b.run("dead", id);
        let lengths: Vec<u32> = batch.candidates.iter().map(|c| c.payload.len).collect();
        b.receive_with("other", 2, Some(0)).unwrap();
        assert!(b.receive("other", 2).is_empty());
        lengths
    };
    let first = batch(&mut b);
    assert_eq!(first, batch(&mut b));
    b.assert_replays();
}

#[test]
fn only_what_lay_there_and_is_visible_is_moved() {
    let mut b = bench();
    b.dead_letters("a", &["in flight", "1", "2"]);
    let taken = b.receive("dead", 1).remove(0);
    let mut late = b.entry("delayed");
    late.delay = Some(60);
    b.send_all("dead", vec![late]).unwrap();
    let id = b.start("dead", Some("other"), None).unwrap();
    b.send("dead", "new");
    assert_eq!(b.tasks("dead")[0].total, 2);
    // One is taken between look and step: it stays with its receiver.
    let batch = b.look("dead", id, 100);
    assert_eq!(batch.candidates.len(), 2);
    let one = b.receive("dead", 1).remove(0);
    assert_eq!(body(&one), "1");
    assert_eq!(b.step("dead", id, batch).moved, 1);
    assert_eq!(b.bodies("other"), ["2"]);
    // A lease that ends before the task does gives the message to the task.
    b.change("dead", &taken.handle, 0).unwrap();
    assert_eq!(b.run("dead", id), MoveStatus::Completed);
    assert_eq!(b.bodies("other"), ["in flight"]);
    assert_eq!(b.counts("dead"), (1, 1, 1));
    b.delete("dead", &one.handle).unwrap();
    b.assert_replays();
}

#[test]
fn a_message_that_others_stand_before_since_the_look_is_found() {
    let mut b = bench();
    b.dead_letters("a", &["1", "2"]);
    let id = b.start("dead", Some("other"), None).unwrap();
    let batch = b.look("dead", id, 1);
    // It is visible again, at the end of the line.
    b.receive_with("dead", 1, Some(0)).unwrap();
    assert_eq!(b.step("dead", id, batch).moved, 1);
    assert_eq!(b.run("dead", id), MoveStatus::Completed);
    assert_eq!(b.bodies("other"), ["1", "2"]);
}

#[test]
fn a_task_whose_messages_come_back_ends() {
    let mut b = bench();
    b.dead_letters("a", &["1", "2", "3"]);
    let id = b.start("dead", None, None).unwrap();
    for _ in 0..3 {
        let batch = b.look("dead", id, 1);
        assert_eq!(b.step("dead", id, batch).moved, 1);
        assert_eq!(b.receive_with("a", 1, Some(0)).unwrap().len(), 1);
        assert!(b.receive("a", 1).is_empty());
    }
    let batch = b.look("dead", id, 1);
    assert!(!b.step("dead", id, batch).running);
    assert_eq!(b.status("dead"), MoveStatus::Completed);
    assert_eq!(b.counts("dead"), (3, 0, 0));
}

#[test]
fn what_cannot_be_started() {
    let mut b = bench();
    let missing = |parameter| move |e: &StartMoveTaskError| matches!(e, StartMoveTaskError::Queue(e) if e.parameter == parameter);
    let invalid = |what: &'static str| move |e: &StartMoveTaskError| matches!(e, StartMoveTaskError::Invalid(e) if e.what == what);
    let mut refused = |source: &str, to: Option<&str>, rate, is: &dyn Fn(&StartMoveTaskError) -> bool| {
        let error = b.start(source, to, rate).unwrap_err();
        assert!(is(&error), "{source} {to:?} {rate:?}: {error}");
    };
    refused("nowhere", None, None, &missing("SourceArn"));
    refused("dead", Some("nowhere"), None, &missing("DestinationArn"));
    refused("other", None, None, &invalid("SourceArn"));
    refused("dead", Some("dead"), None, &invalid("DestinationArn"));
    for rate in [-1, 0, 501] {
        refused("dead", None, Some(rate), &invalid("MaxNumberOfMessagesPerSecond"));
    }
    b.create("x.fifo", &[("FifoQueue", "true")]).unwrap();
    let error = b.start("dead", Some("x.fifo"), None).unwrap_err();
    assert!(invalid("DestinationArn")(&error), "{error}");
    let away = Scope {
        region: "elsewhere".into(),
        ..Scope::default()
    };
    let far = QueueKey::new(away, "far");
    let command = CreateQueue {
        queue: far.clone(),
        attributes: Vec::new(),
        tags: Vec::new(),
    };
    let decision = b.broker.create_queue(command, b.now).unwrap();
    b.commit(decision);
    let command = StartMoveTask {
        id: b.uuid(),
        source: queue("dead"),
        destination: Some(far),
        rate: None,
    };
    let error = b.broker.start_move_task(command, b.now).unwrap_err();
    assert!(invalid("DestinationArn")(&error), "{error}");

    b.start("dead", None, Some(500)).unwrap();
    let error = b.start("dead", None, None).unwrap_err();
    assert!(
        matches!(error, StartMoveTaskError::Busy(_)),
        "one at a time: {error}"
    );
}

#[test]
fn an_account_runs_a_hundred_tasks() {
    let mut b = Bench::new(Settings::default());
    for i in 0..=limits::MOVE_TASKS {
        b.create(&format!("dead{i}"), &[]).unwrap();
        let policy = redrive(&format!("dead{i}"), 1);
        b.create(&format!("q{i}"), &[("RedrivePolicy", &policy)]).unwrap();
    }
    let mut first = None;
    for i in 0..limits::MOVE_TASKS {
        let id = b.start(&format!("dead{i}"), None, None).unwrap();
        first.get_or_insert(id);
    }
    let last = format!("dead{}", limits::MOVE_TASKS);
    assert!(matches!(
        b.start(&last, None, None),
        Err(StartMoveTaskError::Busy(_))
    ));
    b.cancel("dead0", first.unwrap()).unwrap();
    b.start(&last, None, None).unwrap();
    assert_eq!(b.broker.running_moves(b.now).len(), limits::MOVE_TASKS);
}

#[test]
fn a_cancelled_task_stays_where_it_was() {
    let mut b = bench();
    b.dead_letters("a", &["1", "2", "3"]);
    let id = b.start("dead", Some("other"), Some(1)).unwrap();
    let batch = b.look("dead", id, 2);
    b.step("dead", id, batch);
    let late = b.look("dead", id, 100);
    assert_eq!(b.cancel("dead", id), Ok(2));
    assert_eq!(
        b.step("dead", id, late),
        MoveProgress {
            moved: 0,
            running: false
        }
    );
    assert_eq!(
        (b.status("dead"), b.tasks("dead")[0].moved),
        (MoveStatus::Cancelled, 2)
    );
    assert_eq!((b.counts("dead"), b.counts("other")), ((1, 0, 0), (2, 0, 0)));
    assert!(matches!(
        b.cancel("dead", id),
        Err(CancelMoveTaskError::Invalid(_))
    ));
    let unknown = b.uuid();
    assert!(matches!(
        b.cancel("dead", unknown),
        Err(CancelMoveTaskError::Task(_))
    ));
    assert!(matches!(b.cancel("other", id), Err(CancelMoveTaskError::Task(_))));
    assert!(matches!(
        b.cancel("nowhere", id),
        Err(CancelMoveTaskError::Queue(_))
    ));
    b.assert_replays();
}

#[test]
fn tasks_fail_for_a_reason_and_keep_what_they_moved() {
    let failed = MoveStatus::Failed;
    // A destination that is deleted, also if another of its name comes.
    let mut b = bench();
    b.dead_letters("a", &["1", "2"]);
    let id = b.start("dead", Some("other"), None).unwrap();
    let batch = b.look("dead", id, 1);
    b.step("dead", id, batch);
    let late = b.look("dead", id, 100);
    b.delete_queue("other").unwrap();
    b.create("other", &[]).unwrap();
    assert!(!b.step("dead", id, late).running);
    assert_eq!(
        (b.status("dead"), b.tasks("dead")[0].moved),
        (failed(MoveFailure::DestinationMissing), 1)
    );
    assert_eq!(b.counts("dead"), (1, 0, 0));

    // An origin that is deleted: those before it go home.
    b.dead_letters("b", &["3"]);
    let id = b.start("dead", None, None).unwrap();
    b.delete_queue("b").unwrap();
    assert_eq!(b.run("dead", id), failed(MoveFailure::DestinationMissing));
    assert_eq!(
        (b.tasks("dead")[0].moved, b.counts("a"), b.counts("dead")),
        (1, (1, 0, 0), (1, 0, 0))
    );

    // A message that is nobody's dead letter.
    b.purge("dead").unwrap();
    b.purge("a").unwrap();
    b.dead_letters("a", &["4"]);
    b.send("dead", "5");
    let id = b.start("dead", None, None).unwrap();
    assert_eq!(b.run("dead", id), failed(MoveFailure::OriginUnknown));
    assert_eq!(b.counts("dead"), (1, 0, 0));

    // Thirty-six hours.
    let id = b.start("dead", Some("other"), Some(1)).unwrap();
    b.seconds(36 * 3_600 - 1);
    let batch = b.look("dead", id, 0);
    assert!(b.step("dead", id, batch).running);
    b.seconds(1);
    assert_eq!(b.run("dead", id), failed(MoveFailure::TimeLimit));
    b.assert_replays();
}

#[test]
fn what_cannot_be_read_is_not_moved() {
    for damage in [None, Some(())] {
        let mut b = bench();
        b.dead_letters("a", &["1", "2"]);
        let id = b.start("dead", Some("other"), None).unwrap();
        let batch = b.look("dead", id, 100);
        let bytes = |place: tsugite_base::Place| b.log[place.lsn as usize..place.end() as usize].to_vec();
        let first = bytes(batch.candidates[0].payload);
        let mut second = bytes(batch.candidates[1].payload);
        *second.last_mut().unwrap() ^= 1;
        let message = |i: usize, payload| MoveMessage {
            candidate: batch.candidates[i],
            id: Uuid([9; 16]),
            payload,
            delivery: None,
        };
        let step = MoveStep {
            source: b.broker.queue_id(&queue("dead")).unwrap(),
            task: id,
            looked: batch.looked,
            messages: vec![message(0, Some(&first)), message(1, damage.map(|()| &second[..]))],
        };
        for (moved, running) in [(1, true), (0, false)] {
            let decision = b.broker.move_step(&step, b.now);
            assert_eq!(b.commit(decision), MoveProgress { moved, running });
        }
        assert_eq!(b.status("dead"), MoveStatus::Failed(MoveFailure::Unreadable));
        assert_eq!(b.counts("dead"), (1, 0, 0), "still there for who mends it");
    }
}

#[test]
fn a_list_shows_the_latest_first_and_goes_with_its_queue() {
    let mut b = bench();
    let mut ids = Vec::new();
    for _ in 0..12 {
        b.seconds(1);
        let id = b.start("dead", None, None).unwrap();
        b.run("dead", id);
        ids.insert(0, id);
    }
    let listed: Vec<Uuid> = b.tasks("dead").iter().map(|task| task.id).collect();
    assert_eq!(listed, ids[..10]);
    let list = |b: &Bench, source: &str, max| {
        let source = queue(source);
        b.broker.move_tasks(&ListMoveTasks { source, max })
    };
    assert_eq!(list(&b, "dead", None).unwrap().len(), 1);
    for max in [0, 11] {
        assert!(matches!(
            list(&b, "dead", Some(max)),
            Err(ListMoveTasksError::Invalid(_))
        ));
    }
    assert!(matches!(
        list(&b, "nowhere", None),
        Err(ListMoveTasksError::Queue(_))
    ));
    assert_eq!(list(&b, "other", None), Ok(Vec::new()));
    b.assert_replays();
    let id = b.start("dead", None, None).unwrap();
    let batch = b.look("dead", id, 1);
    b.delete_queue("dead").unwrap();
    assert_eq!(b.broker.running_moves(b.now), []);
    b.create("dead", &[]).unwrap();
    assert_eq!(b.tasks("dead"), []);
    assert!(!b.step("dead", id, batch).running);
    b.assert_replays();
}

#[test]
fn a_batch_fits_into_a_record() {
    let mut b = bench();
    let big = "x".repeat(600 * 1024);
    b.dead_letters("a", &[&big, &big, "small"]);
    let id = b.start("dead", None, None).unwrap();
    assert_eq!(b.look("dead", id, 100).candidates.len(), 1);
    assert_eq!(b.run("dead", id), MoveStatus::Completed);
    assert_eq!(b.counts("a"), (3, 0, 0));
    let many: Vec<String> = (0..150).map(|i| i.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    b.purge("a").unwrap();
    b.dead_letters("a", &many);
    let id = b.start("dead", None, None).unwrap();
    assert_eq!(b.look("dead", id, 1_000).candidates.len(), limits::MOVES_PER_STEP);
    b.run("dead", id);
    assert_eq!(b.tasks("dead")[0].moved, 150);
}

#[test]
fn the_shell_learns_of_new_tasks_and_of_those_that_a_restart_finds() {
    let mut b = bench();
    assert!(!b.broker.take_move_news());
    b.dead_letters("a", &["1"]);
    let id = b.start("dead", None, Some(3)).unwrap();
    assert!(b.broker.take_move_news() && !b.broker.take_move_news());
    let snapshot = b.snapshot();
    let mut again = b.rebuilt(Some(&snapshot), b.places.len());
    assert!(again.take_move_news());
    let running = again.running_moves(b.now);
    assert_eq!(
        (running[0].id, running[0].rate, running[0].moved),
        (id, Some(3), 0)
    );
    b.run("dead", id);
    let snapshot = b.snapshot();
    assert!(!b.rebuilt(Some(&snapshot), b.places.len()).take_move_news());
}

/// Random work on queues with tasks amid it. Each text is sent once; at every moment each one that was not deleted
/// lies in exactly one queue.
fn history(seed: u64) {
    const QUEUES: [&str; 4] = ["a", "b", "dead", "other"];
    let mut rng = SplitMix64::new(seed);
    let mut b = bench();
    let mut alive: BTreeSet<String> = BTreeSet::new();
    // Deliveries: queue, text, receipt handle.
    let mut handles: Vec<(usize, String, String)> = Vec::new();
    let (mut task, mut seen): (Option<Uuid>, Option<MoveBatch>) = (None, None);
    let mut checkpoint = (b.snapshot(), b.places.len());
    for n in 0..300 {
        let mut pick = |n: u64| rng.next_u64() % n;
        match pick(12) {
            0..=2 => {
                let text = format!("{seed} {n}");
                b.send(QUEUES[pick(3) as usize], &text);
                alive.insert(text);
            }
            3..=5 => {
                let at = pick(4) as usize;
                let timeout = if pick(2) == 0 { 0 } else { 20 };
                for message in b.receive_with(QUEUES[at], 3, Some(timeout)).unwrap() {
                    assert!(alive.contains(body(&message)), "seed {seed}: {message:?}");
                    handles.push((at, body(&message).to_owned(), message.handle));
                }
            }
            6 if !handles.is_empty() => {
                let (at, text, handle) = handles.swap_remove(pick(handles.len() as u64) as usize);
                let before: usize = QUEUES.iter().map(|name| total(&b, name)).sum();
                b.delete(QUEUES[at], &handle).unwrap();
                if QUEUES.iter().map(|name| total(&b, name)).sum::<usize>() < before {
                    assert!(alive.remove(&text), "seed {seed}: {text} was there twice");
                }
            }
            7 => b.seconds(pick(15)),
            8 => {
                let to = if pick(3) > 0 { Some("other") } else { None };
                if let Ok(id) = b.start("dead", to, None) {
                    task = Some(id);
                }
            }
            9 => seen = task.map(|id| b.look("dead", id, 1 + pick(4) as usize)),
            10 => {
                if let (Some(id), Some(batch)) = (task, seen.take()) {
                    let flying = b.counts("dead").1;
                    b.step("dead", id, batch);
                    assert_eq!(
                        b.counts("dead").1,
                        flying,
                        "seed {seed}: a leased message was moved"
                    );
                }
            }
            _ => match pick(4) {
                0 => {
                    let _ = task.map(|id| b.cancel("dead", id));
                }
                1 => checkpoint = (b.snapshot(), b.places.len()),
                _ => b.broker = b.rebuilt(Some(&checkpoint.0), checkpoint.1),
            },
        }
        let all: usize = QUEUES.iter().map(|name| total(&b, name)).sum();
        assert_eq!(all, alive.len(), "seed {seed}, step {n}");
    }
    b.assert_replays();
    b.seconds(43_200);
    let mut left = BTreeMap::<String, usize>::new();
    for name in QUEUES {
        for peeked in b.broker.peek(&queue(name), None, 1_000).unwrap() {
            let message = b.read(peeked.lease);
            assert!(message.sent >= Timestamp(common::START));
            *left.entry(body(&message).to_owned()).or_default() += 1;
        }
    }
    assert!(left.values().all(|n| *n == 1), "seed {seed}: {left:?}");
    assert_eq!(left.into_keys().collect::<BTreeSet<_>>(), alive, "seed {seed}");
}

fn total(b: &Bench, name: &str) -> usize {
    let (visible, in_flight, delayed) = b.counts(name);
    visible + in_flight + delayed
}

#[test]
fn random_histories_lose_and_double_nothing() {
    (0..300).for_each(history);
}

#[test]
fn retention_begins_anew() {
    let mut b = bench();
    b.dead_letters("a", &["1"]);
    b.pass(Duration::from_secs(345_590));
    let id = b.start("dead", Some("other"), None).unwrap();
    b.run("dead", id);
    b.seconds(11);
    assert_eq!(b.bodies("other"), ["1"]);
}

fn grouped(b: &mut Bench, text: &str, group: &str) -> SendEntry {
    SendEntry {
        group: Some(group.into()),
        ..b.entry(text)
    }
}

#[test]
fn a_fifo_queue_keeps_its_order_and_its_groups() {
    let mut b = Bench::new(Settings::default());
    let fifo = [("FifoQueue", "true"), ("ContentBasedDeduplication", "true")];
    b.create("dead.fifo", &fifo).unwrap();
    let policy = redrive("dead.fifo", 1);
    let attributes = [fifo[0], fifo[1], ("RedrivePolicy", policy.as_str())];
    b.create("q.fifo", &attributes).unwrap();
    let texts = ["1 a", "2 b", "3 a", "4 b", "5 c"];
    let entries = texts.map(|text| grouped(&mut b, text, &text[2..])).to_vec();
    b.send_all("q.fifo", entries).unwrap();
    let first = b.receive_with("q.fifo", 10, Some(0)).unwrap();
    assert!(b.receive("q.fifo", 10).is_empty());
    assert_eq!(b.counts("dead.fifo"), (5, 0, 0));
    // The head of b is in flight: what stands behind it can be neither received nor moved.
    let dead = b.receive_with("dead.fifo", 10, Some(60)).unwrap();
    for message in dead.iter().filter(|m| body(m) != "2 b") {
        b.change("dead.fifo", &message.handle, 0).unwrap();
    }
    let id = b.start("dead.fifo", None, None).unwrap();
    assert_eq!(b.run("dead.fifo", id), MoveStatus::Completed);
    assert_eq!(b.counts("dead.fifo"), (1, 1, 0));
    let moved = b.receive_with("q.fifo", 10, Some(60)).unwrap();
    let shown = |m: &Message| format!("{} {}", body(m), m.group.clone().unwrap());
    // The texts are those that the queue accepted a moment ago: no repeat is seen in them.
    let mut got: Vec<String> = moved.iter().map(shown).collect();
    got.sort_by_key(|text| text[2..].to_owned());
    assert_eq!(got, ["1 a a", "3 a a", "5 c c"]);
    for message in &moved {
        let before = first.iter().find(|m| body(m) == body(message)).unwrap();
        assert!(message.sequence > before.sequence && message.id != before.id);
        assert_eq!((message.receive_count, message.sent), (1, b.now.wall));
        assert_eq!(message.deduplication, before.deduplication);
    }
    b.assert_replays();
    // Once it is free, b goes too, and keeps its order. As dead letters again they have their new ids.
    b.change(
        "dead.fifo",
        &dead.iter().find(|m| body(m) == "2 b").unwrap().handle,
        0,
    )
    .unwrap();
    let id = b.start("dead.fifo", None, None).unwrap();
    b.run("dead.fifo", id);
    let moved = b.receive_with("q.fifo", 10, Some(0)).unwrap();
    assert_eq!(moved.iter().map(body).collect::<Vec<_>>(), ["2 b", "4 b"]);
    assert!(b.receive("q.fifo", 10).is_empty());
    let again = b.receive("dead.fifo", 10);
    for (before, after) in moved.iter().zip(&again) {
        assert_eq!((before.id, body(before)), (after.id, body(after)));
        assert_eq!(after.deduplication, Some(after.id.to_string()));
    }
    b.assert_replays();
}

#[test]
fn a_small_step_keeps_the_order_of_a_fifo_queue() {
    for limit in 1..4 {
        let mut b = Bench::new(Settings::default());
        let fifo = [("FifoQueue", "true"), ("ContentBasedDeduplication", "true")];
        b.create("dead.fifo", &fifo).unwrap();
        b.create("other.fifo", &fifo).unwrap();
        let policy = redrive("dead.fifo", 1);
        b.create("q.fifo", &[fifo[0], ("RedrivePolicy", &policy)])
            .unwrap();
        for n in 0..20 {
            let entry = grouped(&mut b, &format!("{n:02}"), ["a", "b", "c"][n % 3]);
            b.send_all("dead.fifo", vec![entry]).unwrap();
        }
        let id = b.start("dead.fifo", Some("other.fifo"), None).unwrap();
        while b.status("dead.fifo") == MoveStatus::Running {
            let batch = b.look("dead.fifo", id, limit);
            // Somebody receives and releases between look and step: the groups change their turns.
            b.receive_with("dead.fifo", 2, Some(0)).unwrap();
            b.step("dead.fifo", id, batch);
        }
        let mut got = BTreeMap::<String, Vec<String>>::new();
        for _ in 0..20 {
            for message in b.receive("other.fifo", 1) {
                got.entry(message.group.clone().unwrap())
                    .or_default()
                    .push(body(&message).to_owned());
                b.delete("other.fifo", &message.handle).unwrap();
            }
        }
        assert_eq!(got.values().map(Vec::len).sum::<usize>(), 20);
        assert!(got.values().all(|texts| texts.is_sorted()), "{got:?}");
    }
}

#[test]
fn a_tenant_stays_a_tenant() {
    let mut b = bench();
    let entries = vec![grouped(&mut b, "1", "x"), b.entry("2"), grouped(&mut b, "3", "y")];
    b.send_all("a", entries).unwrap();
    b.receive_with("a", 10, Some(0)).unwrap();
    assert!(b.receive("a", 10).is_empty());
    let id = b.start("dead", None, None).unwrap();
    assert_eq!(b.run("dead", id), MoveStatus::Completed);
    let groups = b.broker.groups(&queue("a"), 10, b.now).unwrap();
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|group| (group.group, group.visible))
        .collect();
    groups.sort();
    assert_eq!(groups, [(None, 1), (Some("x".into()), 1), (Some("y".into()), 1)]);
    b.assert_replays();
}
