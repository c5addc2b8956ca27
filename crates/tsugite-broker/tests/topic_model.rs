//! Topics against a model that holds lists: whatever is subscribed, filtered, ended, missing or given up, every
//! subscription gets every message that it matches, once, and no other.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Bench, body, operations, queue, topic};
use tsugite_base::Uuid;
use tsugite_base::rng::SplitMix64;
use tsugite_broker::*;

const QUEUES: [&str; 4] = ["a", "b", "letters", "sometimes"];
const URLS: [&str; 2] = ["http://one/", "http://two/"];
const COLOURS: [&str; 3] = ["red", "green", "blue"];

/// Whether a policy admits a message of this colour and price.
type Admits = fn(Option<&str>, u32) -> bool;

/// Policies, each with the rule that it means, in the model's own words.
const FILTERS: [(&str, Admits); 6] = [
    (r#"{"colour":["red"]}"#, |colour, _| colour == Some("red")),
    (r#"{"colour":[{"anything-but":"red"}]}"#, |colour, _| {
        colour.is_some_and(|colour| colour != "red")
    }),
    (r#"{"colour":[{"exists":false}]}"#, |colour, _| colour.is_none()),
    (r#"{"price":[{"numeric":[">=",50]}]}"#, |_, price| price >= 50),
    (
        r#"{"colour":["green","blue"],"price":[{"numeric":["<",50]}]}"#,
        |colour, price| matches!(colour, Some("green" | "blue")) && price < 50,
    ),
    (
        r#"{"$or":[{"colour":[{"prefix":"gr"}]},{"price":[7]}]}"#,
        |colour, price| colour == Some("green") || price == 7,
    ),
];

/// A subscription as the model sees it.
#[derive(Clone, Debug)]
struct Known {
    endpoint: String,
    confirmed: bool,
    filter: Option<usize>,
    letters: bool,
}

struct Run {
    bench: Bench,
    rng: SplitMix64,
    subscriptions: BTreeMap<Uuid, Known>,
    /// By queue or outbox: the texts that lie there, and for which subscription.
    lies: BTreeMap<QueueKey, BTreeSet<(String, Uuid)>>,
    texts: u32,
    tried: u32,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut run = Run {
            bench: Bench::with_queues(&QUEUES),
            rng: SplitMix64::new(seed),
            subscriptions: BTreeMap::new(),
            lies: BTreeMap::new(),
            texts: 0,
            tried: 0,
        };
        run.bench.create_topic("t");
        run
    }

    fn below(&mut self, n: usize) -> usize {
        self.rng.below(n as u64) as usize
    }

    fn step(&mut self) {
        match self.below(20) {
            0..=7 => self.publish(),
            8..=11 => self.take(),
            12 | 13 => self.subscribe(),
            14 => self.confirm(),
            15 => self.change(),
            16 => self.unsubscribe(),
            17 => self.come_and_go(),
            18 => self.give_up(),
            _ => self.bench.seconds(1),
        }
    }

    fn attributes(filter: Option<usize>, letters: bool) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        attributes.extend(filter.map(|filter| ("FilterPolicy".to_owned(), FILTERS[filter].0.to_owned())));
        if letters {
            let target = format!(r#"{{"deadLetterTargetArn":"{}"}}"#, queue("letters").arn());
            attributes.push(("RedrivePolicy".to_owned(), target));
        }
        attributes
    }

    fn subscribe(&mut self) {
        let to_queue = self.below(2) == 0;
        let endpoint = if to_queue {
            let name = ["a", "b", "sometimes"][self.below(3)];
            queue(name).arn().to_string()
        } else {
            URLS[self.below(URLS.len())].to_owned()
        };
        if self
            .subscriptions
            .values()
            .any(|known| known.endpoint == endpoint)
        {
            return;
        }
        let filter = Some(self.below(FILTERS.len() * 2)).filter(|filter| *filter < FILTERS.len());
        let letters = self.below(2) == 0;
        let id = self.bench.uuid();
        let command = Subscribe {
            topic: topic("t"),
            id,
            token: id.to_string(),
            protocol: if to_queue { "sqs" } else { "http" }.into(),
            endpoint: endpoint.clone(),
            attributes: Run::attributes(filter, letters),
            ..Subscribe::default()
        };
        let subscribed = self.bench.subscribe_with(command).unwrap();
        assert_eq!((subscribed.subscription.id, subscribed.pending), (id, !to_queue));
        if !to_queue {
            let asked = (id.to_string(), id);
            self.lies.entry(QueueKey::outbox(id)).or_default().insert(asked);
        }
        let known = Known {
            endpoint,
            confirmed: to_queue,
            filter,
            letters,
        };
        self.subscriptions.insert(id, known);
    }

    fn some_subscription(&mut self) -> Option<Uuid> {
        let n = self.below(self.subscriptions.len().max(1));
        self.subscriptions.keys().nth(n).copied()
    }

    fn confirm(&mut self) {
        let Some(id) = self.some_subscription() else {
            return;
        };
        let command = ConfirmSubscription {
            topic: topic("t"),
            token: id.to_string(),
            ..ConfirmSubscription::default()
        };
        let decision = self.bench.broker.confirm_subscription(&command, self.bench.now);
        let known = self.subscriptions.get_mut(&id).unwrap();
        if known.endpoint.starts_with("http") {
            assert_eq!(self.bench.commit(decision.unwrap()).id, id);
            known.confirmed = true;
        } else {
            assert!(decision.is_err(), "a queue has no token");
        }
    }

    fn change(&mut self) {
        let Some(id) = self.some_subscription() else {
            return;
        };
        let filter = Some(self.below(FILTERS.len() * 2)).filter(|filter| *filter < FILTERS.len());
        let command = SetSubscriptionAttribute {
            subscription: SubscriptionKey {
                topic: topic("t"),
                id,
            },
            name: "FilterPolicy".into(),
            value: filter.map(|filter| FILTERS[filter].0.to_owned()),
        };
        let decision = self
            .bench
            .broker
            .set_subscription_attribute(&command, self.bench.now);
        self.bench.commit(decision.unwrap());
        self.subscriptions.get_mut(&id).unwrap().filter = filter;
    }

    fn unsubscribe(&mut self) {
        let Some(id) = self.some_subscription() else {
            return;
        };
        let command = Unsubscribe {
            subscription: SubscriptionKey {
                topic: topic("t"),
                id,
            },
            by_owner: true,
            id: self.bench.uuid(),
            token: String::new(),
        };
        let decision = self.bench.broker.unsubscribe(command, self.bench.now).unwrap();
        self.bench.commit(decision);
        self.subscriptions.remove(&id);
        // What waited for the endpoint is gone; the message that says so is not looked at here.
        self.lies.remove(&QueueKey::outbox(id));
    }

    /// A queue that is there only sometimes.
    fn come_and_go(&mut self) {
        if self.bench.delete_queue("sometimes").is_ok() {
            self.lies.remove(&queue("sometimes"));
        } else {
            self.bench.create("sometimes", &[]).unwrap();
        }
    }

    fn publish(&mut self) {
        self.texts += 1;
        let colour = Some(self.below(COLOURS.len() + 1)).and_then(|n| COLOURS.get(n).copied());
        let price = [7, 49, 50, 99][self.below(4)];
        let text = format!("{} {colour:?} {price}", self.texts);
        let attribute = |name: &str, data_type: &str, value: String| MessageAttribute {
            name: name.into(),
            data_type: data_type.into(),
            value: AttributeValue::Text(value),
        };
        let mut attributes = vec![attribute("price", "Number", price.to_string())];
        attributes.extend(colour.map(|colour| attribute("colour", "String", colour.into())));
        let entry = PublishEntry {
            id: self.bench.uuid(),
            message: text.clone(),
            attributes,
            ..PublishEntry::default()
        };
        let published = self.bench.publish_with("t", entry).unwrap();
        let (mut deliveries, mut failed) = (0, 0);
        for (id, known) in &self.subscriptions {
            let admits = known.filter.is_none_or(|filter| FILTERS[filter].1(colour, price));
            if !known.confirmed || !admits {
                continue;
            }
            let target = match QueueKey::from_arn("Endpoint", &known.endpoint) {
                Ok(key) if self.bench.broker.queue_id(&key).is_some() => Some(key),
                Ok(_) => None,
                Err(_) => Some(QueueKey::outbox(*id)),
            };
            match target {
                Some(target) => {
                    deliveries += 1;
                    self.lies.entry(target).or_default().insert((text.clone(), *id));
                }
                None => {
                    failed += 1;
                    if known.letters {
                        let letters = self.lies.entry(queue("letters")).or_default();
                        letters.insert((text.clone(), *id));
                    }
                }
            }
        }
        assert_eq!(
            (published.deliveries, published.undeliverable),
            (deliveries, failed),
            "{text}"
        );
    }

    /// Everything that can be received somewhere now.
    fn receive(&mut self, key: &QueueKey) -> Vec<Message> {
        let command = Receive {
            queue: key.clone(),
            max: Some(10),
            visibility: Some(5),
            wait: None,
            attempt: None,
        };
        self.bench.broker.advance(self.bench.now);
        let Ok(decision) = self.bench.broker.receive(&command, self.bench.now) else {
            return Vec::new();
        };
        let leases = self.bench.commit(decision).leases;
        leases.into_iter().map(|lease| self.bench.read(lease)).collect()
    }

    fn some_place(&mut self) -> QueueKey {
        let places: Vec<QueueKey> = self.lies.keys().cloned().collect();
        match self.below(places.len() + 1) {
            n if n < places.len() => places[n].clone(),
            _ => queue(QUEUES[self.below(QUEUES.len())]),
        }
    }

    /// What a message is in the model.
    fn seen(message: &Message) -> (String, Uuid) {
        let of = match &message.content {
            Content::Enveloped(notification) => notification.subscription.id,
            Content::Announced(announcement) => announcement.subscription.id,
            other => panic!("{other:?}"),
        };
        (body(message).to_owned(), of)
    }

    fn take(&mut self) {
        let place = self.some_place();
        for message in self.receive(&place) {
            let seen = Run::seen(&message);
            let there = self.lies.get(&place).is_some_and(|lies| lies.contains(&seen));
            assert!(there, "{seen:?} should not lie in {place:?}");
            if self.below(3) > 0 {
                let command = DeleteMessages {
                    queue: place.clone(),
                    handles: vec![message.handle],
                };
                let decision = self.bench.broker.delete(&command, self.bench.now).unwrap();
                self.bench.commit(decision);
                self.lies.get_mut(&place).unwrap().remove(&seen);
            }
        }
    }

    fn give_up(&mut self) {
        let outboxes: Vec<QueueKey> = self
            .lies
            .keys()
            .filter(|key| key.is_internal())
            .cloned()
            .collect();
        if outboxes.is_empty() {
            return;
        }
        let place = outboxes[self.below(outboxes.len())].clone();
        for message in self.receive(&place) {
            let command = GiveUp {
                outbox: place.clone(),
                handle: message.handle.clone(),
            };
            let decision = self.bench.broker.give_up(&command, self.bench.now);
            assert!(self.bench.commit(decision));
            let seen = Run::seen(&message);
            assert!(self.lies.get_mut(&place).unwrap().remove(&seen));
            let letters = self.subscriptions[&seen.1].letters;
            if letters && matches!(message.content, Content::Enveloped(_)) {
                self.lies.entry(queue("letters")).or_default().insert(seen);
            }
            self.tried += 1;
        }
    }

    /// Takes out all that lies anywhere; it must be what the model says.
    fn drain(&mut self) {
        self.bench.seconds(5);
        let mut places: BTreeSet<QueueKey> = self.lies.keys().cloned().collect();
        places.extend(QUEUES.map(queue));
        for place in places {
            let mut found = BTreeSet::new();
            loop {
                let messages = self.receive(&place);
                if messages.is_empty() {
                    break;
                }
                for message in messages {
                    assert!(found.insert(Run::seen(&message)), "twice in {place:?}");
                }
            }
            let expected = self.lies.remove(&place).unwrap_or_default();
            assert_eq!(found, expected, "in {place:?}");
        }
    }
}

#[test]
fn agrees_with_lists() {
    let steps = operations(100_000);
    let rounds = steps.div_ceil(400);
    let (mut texts, mut tried) = (0, 0);
    for seed in 0..rounds {
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.step();
        }
        run.bench.assert_replays();
        run.drain();
        texts += run.texts;
        tried += run.tried;
    }
    assert!(texts > 0 && tried > 0, "{texts} published, {tried} given up");
}
