//! What clients do in a history: commands at random, and what each of them notes down.

use tsugite_base::{Decision, Now, Uuid};
use tsugite_broker::{
    Accepted, AttributeValue, ChangeVisibility, ChangeVisibilityEntry, ConfirmSubscription, CreateQueue,
    CreateTopic, DeleteMessages, Lease, MessageAttribute, Publish, PublishEntry, Receive, SendMessages,
    Subscribe,
};
use tsugite_checker::{Call, Entry, Reply as Told, SentResult, What};
use tsugite_engine::Failure;
use tsugite_log::{Domains, Record};
use tsugite_registry::InstanceName;

use crate::history::{Held, History, Life, Reply};
use crate::machine::Machine;
use crate::scene::{self, QUEUES};

/// The attribute that a filter policy looks at, and what it wants.
const KIND: &str = "kind";
const NEWS: &str = "news";
/// What confirms the endpoint's subscription.
const TOKEN: &str = "of the hook";
const RAW: (&str, &str) = ("RawMessageDelivery", "true");

impl History {
    /// A client gives a command.
    pub(crate) fn command(&mut self, life: &mut Life) {
        if !self.furnished {
            return self.furnish(life);
        }
        let queue = self.queues[self.rng.below(self.queues.len() as u64) as usize];
        let publishes = self.queues.contains(&QUEUES[0]);
        match self.rng.below(20) {
            6..8 if publishes => self.publish(life),
            0..8 if scene::is_dead(queue) || scene::is_outbox(queue) => self.register(life),
            0..8 => self.send(life, queue),
            8..13 => drop(self.receive(life, queue, true)),
            13..16 => self.delete(life),
            16 => self.change_visibility(life),
            17 if self.rng.below(6) == 0 && !scene::is_outbox(queue) => self.purge(life, queue),
            _ => self.register(life),
        }
    }

    /// Gives a command to the store. `None`: there is no room now; a refusal changes nothing.
    pub(crate) fn give<Rec: Into<Record>, R, E>(
        &mut self,
        life: &Life,
        decide: impl FnOnce(&Domains, Now) -> Result<Decision<Rec, R>, E>,
    ) -> Option<(R, u64)> {
        let before = self.journal.len();
        let mut decide = Some(|machine: &Machine, now| decide(&machine.domains, now));
        match life.log.attempt(&mut decide)? {
            Ok(done) => {
                self.outcome.commands += 1;
                self.bounds.extend(self.journal.span(before));
                Some(done)
            }
            Err(Failure::Unavailable(_)) => {
                self.outcome.full += 1;
                None
            }
            Err(Failure::Refused(_)) => None,
        }
    }

    /// Creates queues, topic and subscriptions, as a deployment does at each start until it succeeded.
    pub(crate) fn furnish(&mut self, life: &mut Life) {
        let mut done = Vec::new();
        for name in QUEUES.iter().rev().filter(|name| !scene::is_outbox(name)) {
            let command = CreateQueue {
                tags: Vec::new(),
                queue: scene::queue(name),
                attributes: scene::attributes(name),
            };
            done.push(
                self.give(life, |d, now| d.broker.create_queue(command, now))
                    .map(|(_, wait)| wait),
            );
        }
        let command = CreateTopic {
            topic: scene::topic(),
            ..CreateTopic::default()
        };
        done.push(
            self.give(life, |d, now| d.broker.create_topic(command, now))
                .map(|(_, wait)| wait),
        );
        for command in self.subscriptions() {
            done.push(
                self.give(life, |d, now| d.broker.subscribe(command, now))
                    .map(|(_, wait)| wait),
            );
        }
        let command = ConfirmSubscription {
            topic: scene::topic(),
            token: TOKEN.into(),
            guarded: false,
            authenticated: false,
        };
        done.push(
            self.give(life, |d, now| d.broker.confirm_subscription(&command, now))
                .map(|(_, wait)| wait),
        );
        life.dead |= life.committer.step().is_err();
        let synced = life.log.synced();
        self.furnished = done.iter().all(|wait| wait.is_some_and(|wait| wait <= synced));
    }

    /// Two queues, of which one wants some messages only, and an endpoint.
    fn subscriptions(&self) -> [Subscribe; 3] {
        let to_queue = |name: &str, attributes: &[(&str, &str)]| Subscribe {
            topic: scene::topic(),
            id: self.world.uuid(),
            protocol: "sqs".into(),
            endpoint: scene::queue(name).arn().to_string(),
            attributes: attributes
                .iter()
                .chain(&[RAW])
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            ..Subscribe::default()
        };
        let hook = Subscribe {
            id: scene::HOOK,
            token: TOKEN.into(),
            protocol: "http".into(),
            endpoint: "http://hook.example/".into(),
            ..to_queue(QUEUES[0], &[])
        };
        let news = format!(r#"{{"{KIND}":["{NEWS}"]}}"#);
        [
            to_queue(QUEUES[0], &[]),
            to_queue(QUEUES[1], &[("FilterPolicy", &news)]),
            hook,
        ]
    }

    /// A text that no other message has.
    fn text(&mut self) -> String {
        self.numbers += 1;
        let padding = [0, 10, 100, 400][self.rng.below(4) as usize];
        format!(
            "{}{}",
            self.numbers,
            ".".repeat(self.rng.below(padding + 1) as usize)
        )
    }

    /// A message for `queue`.
    fn entry(&mut self, queue: &str) -> Entry {
        let body = self.text();
        if scene::is_fifo(queue) {
            return self.repeats.entry(&mut self.rng, queue, body);
        }
        let tenant = self.rng.below(6);
        Entry {
            body,
            group: (queue == QUEUES[0] && tenant < 3).then(|| format!("t{tenant}")),
            delay: Some([0, 0, 0, 5_000][self.rng.below(4) as usize]),
            ..Entry::default()
        }
    }

    fn send(&mut self, life: &mut Life, queue: &str) {
        let many = 1 + self.rng.below(3);
        let entry = |n| Entry {
            entry: format!("{n}"),
            ..self.entry(queue)
        };
        let entries: Vec<Entry> = (0..many).map(entry).collect();
        let command = SendMessages {
            queue: scene::queue(queue),
            sender: "sim".into(),
            entries: entries
                .iter()
                .map(|entry| scene::entry(&self.world, entry))
                .collect(),
        };
        let ids: Vec<Uuid> = command.entries.iter().map(|entry| entry.id).collect();
        if let Some((reply, wait)) = self.give(life, |d, now| d.broker.send(command, now)) {
            let accepted = reply.results.iter().zip(ids);
            let repeats = accepted.filter(|(result, id)| result.as_ref().is_ok_and(|first| first.id != *id));
            self.outcome.repeats += repeats.count() as u64;
            let op = self.asked(Call::Send {
                queue: queue.into(),
                entries,
            });
            let result = |(n, result): (usize, Result<Accepted, _>)| SentResult {
                entry: n.to_string(),
                id: result.as_ref().ok().map(|accepted| accepted.id.to_string()),
                seq: result.ok().and_then(|accepted| accepted.sequence),
            };
            let results = reply.results.into_iter().enumerate().map(result).collect();
            life.waiting
                .push_back((wait, Reply::Told(op, Told::Sent(results))));
        }
    }

    /// Notes that a call took effect, or will have done nothing: the reply must follow.
    fn asked(&mut self, call: Call) -> u64 {
        self.ops += 1;
        let op = self.ops;
        self.note(What::Ask { op, call });
        op
    }

    fn publish(&mut self, life: &mut Life) {
        let text = self.text();
        let kind = [NEWS, "order"][self.rng.below(2) as usize];
        let command = Publish {
            topic: scene::topic(),
            sender: "sim".into(),
            entries: vec![PublishEntry {
                id: self.world.uuid(),
                message: text.clone(),
                attributes: vec![MessageAttribute {
                    name: KIND.into(),
                    data_type: "String".into(),
                    value: AttributeValue::Text(kind.into()),
                }],
                ..PublishEntry::default()
            }],
            ..Publish::default()
        };
        if let Some((_, wait)) = self.give(life, |d, now| d.broker.publish(&command, now)) {
            let wanted = |queue: &&&str| **queue != QUEUES[1] || kind == NEWS;
            let outbox = QUEUES.iter().filter(|queue| scene::is_outbox(queue));
            let queues = QUEUES[..2].iter().filter(wanted).chain(outbox);
            let queues = queues.map(|queue| (*queue).to_owned()).collect();
            let op = self.asked(Call::Publish { queues, body: text });
            life.waiting.push_back((wait, Reply::Told(op, Told::Nothing)));
        }
    }

    /// `attempts`: on a FIFO queue, perhaps under an attempt id.
    pub(crate) fn receive(&mut self, life: &mut Life, queue: &str, attempts: bool) -> bool {
        let max = 1 + self.rng.below(10);
        let visibility = [0, 2, 10, 60][self.rng.below(4) as usize];
        let attempts = attempts && scene::is_fifo(queue);
        let attempt = attempts
            .then(|| self.repeats.attempt(&mut self.rng, queue))
            .flatten();
        let command = Receive {
            queue: scene::queue(queue),
            max: Some(max as i64),
            visibility: Some(visibility as i64),
            wait: None,
            attempt: attempt.clone(),
        };
        let Some((reply, wait)) = self.give(life, |d, now| d.broker.receive(&command, now)) else {
            return false;
        };
        let some = !reply.leases.is_empty() || reply.again;
        // What tells the endpoint of its subscription is nobody's message.
        let announced = reply.leases.iter().filter(|lease| lease.delivery.is_none());
        let announced = if scene::is_outbox(queue) {
            announced.count()
        } else {
            0
        };
        let known = |lease: &Lease| self.held.iter().any(|held| held.handle == lease.handle);
        self.outcome.repeated_receives += u64::from(attempt.is_some() && reply.leases.iter().any(known));
        let op = self.asked(Call::Receive {
            queue: queue.into(),
            // Who is told to ask again was not told that there is no more.
            max: if reply.again { 0 } else { max as usize - announced },
            visibility: visibility * 1_000,
            attempt,
        });
        life.waiting
            .push_back((wait, Reply::Received(op, queue.to_owned(), reply.leases)));
        some
    }

    /// Handles of up to three messages of one queue, taken from those that clients hold.
    fn some_held(&mut self) -> Vec<Held> {
        let mut some: Vec<Held> = Vec::new();
        for _ in 0..=self.rng.below(3) {
            let at = self.rng.below(self.held.len().max(1) as u64) as usize;
            let fits = |held: &Held| {
                let distinct = some.iter().all(|other| other.handle != held.handle);
                distinct && some.first().is_none_or(|other| other.queue == held.queue)
            };
            if self.held.get(at).is_some_and(fits) {
                some.push(self.held.swap_remove(at));
            }
        }
        some
    }

    fn delete(&mut self, life: &mut Life) {
        let held = self.some_held();
        self.delete_held(life, held);
    }

    /// Deletes messages of one queue.
    pub(crate) fn delete_held(&mut self, life: &mut Life, held: Vec<Held>) {
        let Some(queue) = held.first().map(|held| held.queue.clone()) else {
            return;
        };
        let handles: Vec<String> = held.into_iter().map(|held| held.handle).collect();
        let command = DeleteMessages {
            queue: scene::queue(&queue),
            handles: handles.clone(),
        };
        if let Some((reply, wait)) = self.give(life, |d, now| d.broker.delete(&command, now)) {
            let op = self.asked(Call::Delete { queue, handles });
            life.waiting
                .push_back((wait, Reply::Told(op, each(&reply.results))));
        }
    }

    fn change_visibility(&mut self, life: &mut Life) {
        let some = self.some_held();
        let Some(queue) = some.first().map(|held| held.queue.clone()) else {
            return;
        };
        let entry = |held: &Held| ChangeVisibilityEntry {
            handle: held.handle.clone(),
            timeout: [0, 30][self.rng.below(2) as usize],
        };
        let entries: Vec<ChangeVisibilityEntry> = some.iter().map(entry).collect();
        self.held.extend(some);
        let told = |entry: &ChangeVisibilityEntry| (entry.handle.clone(), entry.timeout as u64 * 1_000);
        let changed = entries.iter().map(told).collect();
        let command = ChangeVisibility {
            queue: scene::queue(&queue),
            entries,
        };
        if let Some((reply, wait)) = self.give(life, |d, now| d.broker.change_visibility(&command, now)) {
            let op = self.asked(Call::Change {
                queue,
                entries: changed,
            });
            life.waiting
                .push_back((wait, Reply::Told(op, each(&reply.results))));
        }
    }

    fn purge(&mut self, life: &mut Life, queue: &str) {
        let key = scene::queue(queue);
        if let Some((_, wait)) = self.give(life, |d, now| d.broker.purge_queue(&key, now)) {
            let op = self.asked(Call::Purge { queue: queue.into() });
            life.waiting.push_back((wait, Reply::Told(op, Told::Nothing)));
        }
    }

    fn register(&mut self, life: &mut Life) {
        let instance = ["a", "b", "c"][self.rng.below(3) as usize];
        if self.rng.below(3) == 0 {
            let command = InstanceName {
                namespace: "internal".into(),
                service: "kitchen".into(),
                instance: instance.into(),
            };
            if let Some((_, wait)) = self.give(life, |d, now| d.registry.delete_instance(&command, now)) {
                self.notebook.putting(instance, 0);
                life.waiting.push_back((wait, Reply::Put(instance.into(), 0)));
            }
            return;
        }
        self.numbers += 1;
        let version = self.numbers;
        let command = scene::put(&self.world, instance, version);
        if let Some((_, wait)) = self.give(life, |d, now| d.registry.put_instance(command, now)) {
            self.notebook.putting(instance, version);
            life.waiting
                .push_back((wait, Reply::Put(instance.into(), version)));
        }
    }
}

/// What became of each entry of a batch.
fn each<E>(results: &[Result<(), E>]) -> Told {
    let result = |(n, result): (usize, &Result<(), E>)| (n.to_string(), result.is_ok());
    Told::Each(results.iter().enumerate().map(result).collect())
}
