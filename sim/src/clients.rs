//! What clients do in a history: commands at random, and what each of them notes down.

use tsugite_base::{Decision, Now};
use tsugite_broker::{
    ChangeVisibility, ChangeVisibilityEntry, CreateQueue, CreateTopic, DeleteMessages, Publish, Receive,
    SendMessages, Subscribe,
};
use tsugite_engine::Failure;
use tsugite_log::{Domains, Record};
use tsugite_registry::InstanceName;

use crate::history::{Held, History, Life, Reply};
use crate::machine::Machine;
use crate::notebook::Known;
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
        let messages: Vec<Known> = texts.into_iter().map(|text| (queue.to_owned(), text)).collect();
        if let Some((_, wait)) = self.give(life, |d, now| d.broker.send(command, now)) {
            messages.iter().for_each(|m| self.notebook.sending(m.clone()));
            life.waiting.push_back((wait, Reply::Sent(messages)));
        }
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
            let messages: Vec<Known> = QUEUES[..2]
                .iter()
                .map(|q| ((*q).to_owned(), text.clone()))
                .collect();
            messages.iter().for_each(|m| self.notebook.sending(m.clone()));
            life.waiting.push_back((wait, Reply::Sent(messages)));
        }
    }

    pub(crate) fn receive(&mut self, life: &mut Life, queue: &str) -> bool {
        let command = Receive {
            queue: scene::queue(queue),
            max: Some(1 + self.rng.below(10) as i64),
            visibility: Some([0, 2, 10, 60][self.rng.below(4) as usize]),
            wait: None,
        };
        let Some((reply, wait)) = self.give(life, |d, now| d.broker.receive(&command, now)) else {
            return false;
        };
        let some = !reply.leases.is_empty() || reply.again;
        life.waiting
            .push_back((wait, Reply::Received(queue.to_owned(), reply.leases)));
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
            handles: vec![held.handle],
        };
        let before = self.journal.len();
        if let Some((_, wait)) = self.give(life, |d, now| d.broker.delete(&command, now)) {
            // A handle that is no longer the latest deletes nothing and is answered alike.
            if self.journal.len() > before {
                self.notebook.deleting(&held.message);
                life.waiting.push_back((wait, Reply::Deleted(held.message)));
            }
        }
    }

    fn change_visibility(&mut self, life: &mut Life) {
        let Some(held) = self.held.last() else { return };
        let command = ChangeVisibility {
            queue: scene::queue(&held.queue),
            entries: vec![ChangeVisibilityEntry {
                handle: held.handle.clone(),
                timeout: [0, 30][self.rng.below(2) as usize],
            }],
        };
        if let Some((_, wait)) = self.give(life, |d, now| d.broker.change_visibility(&command, now)) {
            life.waiting.push_back((wait, Reply::Other));
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
