//! A broker with a log in memory, and short ways to ask it things.

#![allow(dead_code, reason = "each test binary uses its own part of these helpers")]
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::time::Duration;

use tsugite_base::names::Scope;
use tsugite_base::rng::SplitMix64;
use tsugite_base::{Decision, Now, Place, Sheaf, Uuid, Wait};
use tsugite_broker::*;

/// The machine, its log, and its clock.
pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) settings: Settings,
    pub(crate) log: Vec<u8>,
    /// Where each record lies.
    pub(crate) places: Vec<Place>,
    pub(crate) now: Now,
    pub(crate) last_wait: Wait,
    ids: SplitMix64,
}

pub(crate) const START: u64 = 1_700_000_000_000;

impl Bench {
    pub(crate) fn new(settings: Settings) -> Bench {
        Bench {
            broker: Broker::new(settings),
            settings,
            log: vec![0; 64],
            places: Vec::new(),
            now: Now::at(START),
            last_wait: Wait::Own,
            ids: SplitMix64::new(0),
        }
    }

    /// With default settings and these queues.
    pub(crate) fn with_queues(names: &[&str]) -> Bench {
        let mut bench = Bench::new(Settings::default());
        names.iter().for_each(|name| bench.create(name, &[]).unwrap());
        bench
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        let halves = [self.ids.next_u64(), self.ids.next_u64()];
        Uuid::v4(std::array::from_fn(|i| halves[i / 8].to_le_bytes()[i % 8]))
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.wall = self.now.wall + time;
        self.now.steady = self.now.steady + time;
        self.broker.advance(self.now);
    }

    pub(crate) fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Writes and applies what was decided, by way of its bytes.
    pub(crate) fn commit<R>(&mut self, decision: Decision<Record, R>) -> R {
        self.last_wait = decision.wait;
        for record in decision.records {
            let lsn = self.log.len() as u64;
            record.encode(&mut self.log);
            let place = Place {
                lsn,
                len: (self.log.len() as u64 - lsn) as u32,
            };
            let decoded = Record::decode(&self.log[lsn as usize..]).unwrap();
            assert_eq!(decoded, record);
            self.broker.apply(decoded, place);
            self.places.push(place);
        }
        decision.reply
    }

    pub(crate) fn create(&mut self, name: &str, attributes: &[(&str, &str)]) -> Result<(), CreateQueueError> {
        let command = CreateQueue {
            tags: Vec::new(),
            queue: queue(name),
            attributes: pairs(attributes),
        };
        let decision = self.broker.create_queue(command, self.now)?;
        self.commit(decision);
        Ok(())
    }

    pub(crate) fn set(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
    ) -> Result<(), SetQueueAttributesError> {
        let command = SetQueueAttributes {
            queue: queue(name),
            attributes: pairs(attributes),
        };
        let decision = self.broker.set_queue_attributes(command, self.now)?;
        self.commit(decision);
        Ok(())
    }

    pub(crate) fn entry(&mut self, body: &str) -> SendEntry {
        SendEntry {
            id: self.uuid(),
            body: body.into(),
            ..SendEntry::default()
        }
    }

    pub(crate) fn send_all(&mut self, name: &str, entries: Vec<SendEntry>) -> Result<SendReply, SendError> {
        let command = SendMessages {
            queue: queue(name),
            sender: "000000000000".into(),
            entries,
        };
        let decision = self.broker.send(command, self.now)?;
        Ok(self.commit(decision))
    }

    pub(crate) fn send(&mut self, name: &str, body: &str) -> Uuid {
        let entry = self.entry(body);
        self.send_all(name, vec![entry])
            .unwrap()
            .results
            .remove(0)
            .unwrap()
            .id
    }

    pub(crate) fn send_some(&mut self, name: &str, n: usize) {
        for i in 0..n {
            self.send(name, &format!("message {i}"));
        }
    }

    pub(crate) fn receive_with(
        &mut self,
        name: &str,
        max: i64,
        visibility: Option<i64>,
    ) -> Result<Vec<Message>, ReceiveError> {
        self.receive_by(&Receive {
            queue: queue(name),
            max: Some(max),
            visibility,
            wait: Some(0),
            attempt: None,
        })
    }

    pub(crate) fn receive_by(&mut self, command: &Receive) -> Result<Vec<Message>, ReceiveError> {
        loop {
            let decision = self.broker.receive(command, self.now)?;
            let leases = self.commit(decision);
            if !leases.again {
                return Ok(leases.leases.into_iter().map(|lease| self.read(lease)).collect());
            }
        }
    }

    pub(crate) fn read(&self, lease: Lease) -> Message {
        let bytes = |place: Place| &self.log[place.lsn as usize..place.end() as usize];
        let (payload, delivery) = (bytes(lease.payload), lease.delivery.map(bytes));
        Message::read(lease, payload, delivery).unwrap()
    }

    pub(crate) fn receive(&mut self, name: &str, max: i64) -> Vec<Message> {
        self.receive_with(name, max, None).unwrap()
    }

    /// The bodies of what one receive of up to ten returns.
    pub(crate) fn bodies(&mut self, name: &str) -> Vec<String> {
        self.receive(name, 10)
            .iter()
            .map(|m| body(m).to_owned())
            .collect()
    }

    pub(crate) fn delete(&mut self, name: &str, handle: &str) -> Result<(), DeleteEntryError> {
        self.delete_all(name, vec![handle.into()]).remove(0)
    }

    pub(crate) fn delete_all(
        &mut self,
        name: &str,
        handles: Vec<String>,
    ) -> Vec<Result<(), DeleteEntryError>> {
        let queue = queue(name);
        let command = DeleteMessages { queue, handles };
        let decision = self.broker.delete(&command, self.now).unwrap();
        self.commit(decision).results
    }

    pub(crate) fn change(
        &mut self,
        name: &str,
        handle: &str,
        timeout: i64,
    ) -> Result<(), ChangeVisibilityEntryError> {
        let handle = handle.into();
        self.change_all(name, vec![ChangeVisibilityEntry { handle, timeout }])
            .remove(0)
    }

    pub(crate) fn change_all(
        &mut self,
        name: &str,
        entries: Vec<ChangeVisibilityEntry>,
    ) -> Vec<Result<(), ChangeVisibilityEntryError>> {
        let queue = queue(name);
        let command = ChangeVisibility { queue, entries };
        let decision = self.broker.change_visibility(&command, self.now).unwrap();
        self.commit(decision).results
    }

    pub(crate) fn purge(&mut self, name: &str) -> Result<(), PurgeQueueError> {
        let decision = self.broker.purge_queue(&queue(name), self.now)?;
        self.commit(decision);
        Ok(())
    }

    pub(crate) fn delete_queue(&mut self, name: &str) -> Result<(), QueueNotFound> {
        let decision = self.broker.delete_queue(&queue(name), self.now)?;
        self.commit(decision);
        Ok(())
    }

    pub(crate) fn create_topic(&mut self, name: &str) {
        let command = CreateTopic {
            topic: topic(name),
            ..CreateTopic::default()
        };
        let decision = self.broker.create_topic(command, self.now).unwrap();
        self.commit(decision);
    }

    pub(crate) fn subscribe(
        &mut self,
        to: &str,
        name: &str,
        attributes: &[(&str, &str)],
    ) -> Result<SubscriptionKey, SubscribeError> {
        let command = Subscribe {
            topic: topic(to),
            id: self.uuid(),
            protocol: "sqs".into(),
            endpoint: queue(name).arn().to_string(),
            attributes: pairs(attributes),
            ..Subscribe::default()
        };
        Ok(self.subscribe_with(command)?.subscription)
    }

    pub(crate) fn subscribe_with(&mut self, command: Subscribe) -> Result<Subscribed, SubscribeError> {
        let decision = self.broker.subscribe(command, self.now)?;
        Ok(self.commit(decision))
    }

    pub(crate) fn publish_all(
        &mut self,
        to: &str,
        entries: Vec<PublishEntry>,
    ) -> Result<Vec<Result<Published, PublishError>>, PublishBatchError> {
        let command = Publish {
            topic: topic(to),
            sender: "me".into(),
            entries,
            ..Publish::default()
        };
        let decision = self.broker.publish(&command, self.now)?;
        Ok(self.commit(decision).results)
    }

    pub(crate) fn publish_with(&mut self, to: &str, entry: PublishEntry) -> Result<Published, PublishError> {
        self.publish_all(to, vec![entry]).unwrap().remove(0)
    }

    pub(crate) fn publish(&mut self, to: &str, message: &str) -> Published {
        let entry = PublishEntry {
            id: self.uuid(),
            message: message.into(),
            ..PublishEntry::default()
        };
        self.publish_with(to, entry).unwrap()
    }

    /// Visible, in flight, delayed.
    pub(crate) fn counts(&self, name: &str) -> (usize, usize, usize) {
        let stats = self.broker.queue_stats(self.now);
        let stats = stats.iter().find(|s| s.queue == queue(name)).unwrap();
        (stats.visible, stats.in_flight, stats.delayed)
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Sheaf::default();
        self.broker.snapshot(&mut bytes);
        bytes.to_vec()
    }

    /// The state that a restart would build from `snapshot` and the records from number `from` on.
    pub(crate) fn rebuilt(&self, snapshot: Option<&[u8]>, from: usize) -> Broker {
        // The seed of the hashes shows in nothing.
        let settings = Settings {
            seed: self.settings.seed + 1,
            ..self.settings
        };
        let mut broker = match snapshot {
            Some(bytes) => Broker::restore(bytes, settings).unwrap(),
            None => Broker::new(settings),
        };
        for &place in &self.places[from..] {
            let bytes = &self.log[place.lsn as usize..place.end() as usize];
            broker.apply(Record::decode(bytes).unwrap(), place);
        }
        broker.advance(self.now);
        broker
    }

    /// Fails unless a restart from the whole log gives the present state.
    pub(crate) fn assert_replays(&mut self) {
        self.broker.advance(self.now);
        let mut bytes = Sheaf::default();
        self.rebuilt(None, 0).snapshot(&mut bytes);
        assert_eq!(bytes.to_vec(), self.snapshot());
    }
}

/// How many commands a model plays: `TSUGITE_MODEL_OPERATIONS`, or `usual`.
#[expect(
    clippy::disallowed_methods,
    reason = "a test of the pure machine may ask how long it shall run"
)]
pub(crate) fn operations(usual: u64) -> u64 {
    let wanted = std::env::var("TSUGITE_MODEL_OPERATIONS").ok();
    wanted.map_or(usual, |n| n.parse().unwrap())
}

pub(crate) fn queue(name: &str) -> QueueKey {
    QueueKey::new(Scope::default(), name)
}

pub(crate) fn topic(name: &str) -> TopicKey {
    TopicKey::new(Scope::default(), name)
}

pub(crate) fn pairs(attributes: &[(&str, &str)]) -> Vec<(String, String)> {
    attributes
        .iter()
        .map(|&(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

pub(crate) fn redrive(target: &str, max: u32) -> String {
    format!(
        r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":{max}}}"#,
        queue(target).arn()
    )
}

pub(crate) fn body(message: &Message) -> &str {
    match &message.content {
        Content::Plain { body, .. } => body,
        Content::Enveloped(notification) => &notification.message,
        Content::Announced(announcement) => &announcement.token,
        Content::Captured(captured) => &captured.text,
    }
}
