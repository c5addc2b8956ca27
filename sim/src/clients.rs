//! What clients do in a history: commands at random, and what each of them notes down.

use tsugite_base::{Decision, Now};
use tsugite_broker::{
    Accepted, ChangeVisibility, ChangeVisibilityEntry, CreateQueue, CreateTopic, DeleteMessages, Publish,
    Receive, SendMessages, Subscribe,
};
use tsugite_checker::{Call, Entry, Reply as Told, SentResult, What};
use tsugite_engine::Failure;
use tsugite_log::{Domains, Record};
use tsugite_registry::InstanceName;

use crate::history::{Held, History, Life, Reply};
use crate::machine::Machine;
use crate::scene::{self, QUEUES};

impl History {
    /// A client gives a command.
    pub(crate) fn command(&mut self, life: &mut Life) {
        if !self.furnished {
            return self.furnish(life);
        }
        let queue = QUEUES[self.rng.below(2) as usize];
        match self.rng.below(20) {
            0..6 => self.send(life, queue),
            6..8 => self.publish(life),
            8..13 => {
                let queue = QUEUES[self.rng.below(3) as usize];
                self.receive(life, queue);
            }
            13..16 => self.delete(life),
            16 => self.change_visibility(life),
            17 if self.rng.below(6) == 0 => self.purge(life, queue),
            _ => self.register(life),
        }
    }

    /// Gives a command to the store. `None`: there is no room now; a refusal changes nothing.
    fn give<Rec: Into<Record>, R, E>(
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
        for name in QUEUES.iter().rev() {
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
            attributes: Vec::new(),
        };
        done.push(
            self.give(life, |d, now| d.broker.create_topic(command, now))
                .map(|(_, wait)| wait),
        );
        for name in &QUEUES[..2] {
            let command = Subscribe {
                topic: scene::topic(),
                id: self.world.uuid(),
                protocol: "sqs".into(),
                endpoint: scene::queue(name).arn().to_string(),
                attributes: vec![("RawMessageDelivery".into(), "true".into())],
            };
            done.push(
                self.give(life, |d, now| d.broker.subscribe(command, now))
                    .map(|(_, wait)| wait),
            );
        }
        life.dead |= life.committer.step().is_err();
        let synced = life.log.synced();
        self.furnished = done.iter().all(|wait| wait.is_some_and(|wait| wait <= synced));
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

    fn send(&mut self, life: &mut Life, queue: &str) {
        let texts: Vec<String> = (0..=self.rng.below(3)).map(|_| self.text()).collect();
        let delay = [0, 0, 0, 5][self.rng.below(4) as usize];
        let entries = texts
            .iter()
            .map(|text| scene::entry(&self.world, text.clone(), delay));
        let command = SendMessages {
            queue: scene::queue(queue),
            sender: "sim".into(),
            entries: entries.collect(),
        };
        if let Some((reply, wait)) = self.give(life, |d, now| d.broker.send(command, now)) {
            let entry = |(n, body)| Entry {
                entry: format!("{n}"),
                body,
                delay: Some(delay as u64 * 1_000),
                ..Entry::default()
            };
            let entries = texts.into_iter().enumerate().map(entry).collect();
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
        let command = Publish {
            topic: scene::topic(),
            id: self.world.uuid(),
            sender: "sim".into(),
            message: text.clone(),
            ..Publish::default()
        };
        if let Some((_, wait)) = self.give(life, |d, now| d.broker.publish(&command, now)) {
            let queues = QUEUES[..2].iter().map(|q| (*q).to_owned()).collect();
            let op = self.asked(Call::Publish { queues, body: text });
            life.waiting.push_back((wait, Reply::Told(op, Told::Nothing)));
        }
    }

    pub(crate) fn receive(&mut self, life: &mut Life, queue: &str) -> bool {
        let max = 1 + self.rng.below(10);
        let visibility = [0, 2, 10, 60][self.rng.below(4) as usize];
        let command = Receive {
            queue: scene::queue(queue),
            max: Some(max as i64),
            visibility: Some(visibility as i64),
            wait: None,
            attempt: None,
        };
        let Some((reply, wait)) = self.give(life, |d, now| d.broker.receive(&command, now)) else {
            return false;
        };
        let some = !reply.leases.is_empty() || reply.again;
        let op = self.asked(Call::Receive {
            queue: queue.into(),
            // Who is told to ask again was not told that there is no more.
            max: if reply.again { 0 } else { max as usize },
            visibility: visibility * 1_000,
            attempt: None,
        });
        life.waiting
            .push_back((wait, Reply::Received(op, queue.to_owned(), reply.leases)));
        some
    }

    fn delete(&mut self, life: &mut Life) {
        if self.held.is_empty() {
            return;
        }
        let at = self.rng.below(self.held.len() as u64) as usize;
        let held = self.held.swap_remove(at);
        self.delete_held(life, held);
    }

    pub(crate) fn delete_held(&mut self, life: &mut Life, held: Held) {
        let command = DeleteMessages {
            queue: scene::queue(&held.queue),
            handles: vec![held.handle.clone()],
        };
        if let Some((reply, wait)) = self.give(life, |d, now| d.broker.delete(&command, now)) {
            let op = self.asked(Call::Delete {
                queue: held.queue,
                handles: vec![held.handle],
            });
            let results = vec![("0".to_owned(), reply.results[0].is_ok())];
            life.waiting
                .push_back((wait, Reply::Told(op, Told::Each(results))));
        }
    }

    fn change_visibility(&mut self, life: &mut Life) {
        let Some(held) = self.held.last() else { return };
        let (queue, handle) = (held.queue.clone(), held.handle.clone());
        let timeout = [0, 30][self.rng.below(2) as usize];
        let command = ChangeVisibility {
            queue: scene::queue(&queue),
            entries: vec![ChangeVisibilityEntry {
                handle: handle.clone(),
                timeout,
            }],
        };
        if let Some((reply, wait)) = self.give(life, |d, now| d.broker.change_visibility(&command, now)) {
            let op = self.asked(Call::Change {
                queue,
                entries: vec![(handle, timeout as u64 * 1_000)],
            });
            let results = vec![("0".to_owned(), reply.results[0].is_ok())];
            life.waiting
                .push_back((wait, Reply::Told(op, Told::Each(results))));
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
