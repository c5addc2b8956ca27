//! The whole way over the real store: confirmation, signed deliveries, retries, dead letters, a crash between.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tsugite_base::World;
use tsugite_base::names::Scope;
use tsugite_broker::{
    ConfirmSubscription, Content, CreateQueue, CreateTopic, Publish, PublishEntry, QueueKey, Receive,
    SetSubscriptionAttribute, Subscribe, SubscriptionKey, TopicKey, Unsubscribe,
};
use tsugite_engine::{Messaging as _, Topics as _};
use tsugite_log::disk::sim::{Crash, Image, SimDisk};
use tsugite_log::{LogStore, Options};

use super::endpoints::until;
use super::server::{Answer, Asked, BUSY, GONE, OK, Server};
use crate::deliver::{ClientSettings, Deliverer, Settings};
use crate::signing::Signer;
use crate::signing::tests::{Scratch, openssl_accepts};

/// A program with one topic.
struct Program {
    world: World,
    store: LogStore,
    disk: SimDisk,
    signer: Arc<Signer>,
    deliverer: Deliverer,
}

fn topic() -> TopicKey {
    TopicKey::new(Scope::default(), "orders")
}

impl Program {
    async fn start(keys: &Scratch) -> Program {
        let program = Program::on(Image::new(), keys);
        let create = CreateTopic {
            topic: topic(),
            attributes: Vec::new(),
            tags: Vec::new(),
            data_protection: None,
        };
        program.store.create_topic(create).await.unwrap();
        program
    }

    fn on(image: Image, keys: &Scratch) -> Program {
        let (world, _) = crate::world::host();
        let disk = SimDisk::new(1, image);
        let options = Options::new(world.clone(), tsugite_log::Settings::default());
        let store = LogStore::open(options, Arc::new(disk.clone())).unwrap();
        let signer = Arc::new(keys.signer());
        let settings = Settings {
            client: ClientSettings::default(),
            base_url: "http://localhost:4566".into(),
            fixed: false,
            threads: 2,
        };
        let deliverer = Deliverer::start(store.clone(), world.clone(), signer.clone(), settings).unwrap();
        Program {
            world,
            store,
            disk,
            signer,
            deliverer,
        }
    }

    async fn subscribe(&self, url: &str, attributes: &[(&str, &str)]) -> SubscriptionKey {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let command = Subscribe {
            topic: topic(),
            id: self.world.uuid(),
            token: format!("{}{}", self.world.uuid(), self.world.uuid()),
            owner: Scope::default().account,
            protocol: "http".into(),
            endpoint: url.to_owned(),
            attributes: attributes.iter().map(owned).collect(),
            ..Subscribe::default()
        };
        let subscribed = self.store.subscribe(command).await.unwrap();
        assert!(subscribed.pending);
        subscribed.subscription
    }

    /// Confirms with the token that the endpoint was told.
    async fn confirm(&self, asked: &Asked) {
        let command = ConfirmSubscription {
            topic: topic(),
            token: json(asked)["Token"].as_str().unwrap().to_owned(),
            ..ConfirmSubscription::default()
        };
        self.store.confirm_subscription(command).await.unwrap();
    }

    async fn publish(&self, message: &str) {
        let entry = PublishEntry {
            id: self.world.uuid(),
            message: message.to_owned(),
            subject: Some("New \"order\"".into()),
            ..PublishEntry::default()
        };
        let command = Publish {
            topic: topic(),
            entries: vec![entry],
            ..Publish::default()
        };
        self.store.publish(command).await.unwrap();
    }

    /// The signature of what was posted, held against the certificate by a program that is not ours.
    async fn check_signature(&self, keys: &Scratch, asked: &Asked, members: &[&str]) {
        let message = json(asked);
        let text = |name: &str| {
            message[name]
                .as_str()
                .unwrap_or_else(|| panic!("{name}: {message}"))
                .to_owned()
        };
        let signed: String = members
            .iter()
            .map(|name| format!("{name}\n{}\n", text(name)))
            .collect();
        let url = text("SigningCertURL");
        let path = url.strip_prefix("http://localhost:4566").unwrap();
        let certificate = self.signer.certificate(path).await.unwrap().unwrap();
        assert!(
            openssl_accepts(&keys.0, "-sha1", &certificate, &text("Signature"), &signed),
            "{message}"
        );
    }
}

fn json(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).unwrap()
}

const CONFIRMATION: [&str; 7] = [
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
];

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_confirm_receive_and_leave() {
    let keys = Scratch::new();
    let program = Program::start(&keys).await;
    let server = Server::start(|_, _| Answer::Bytes(OK)).await;
    let subscription = program.subscribe(&server.url(), &[]).await;
    until("a request to confirm", || server.asked().len() == 1).await;
    let first = server.asked()[0].clone();
    assert!(
        first
            .head
            .contains("x-amz-sns-message-type: SubscriptionConfirmation"),
        "{}",
        first.head
    );
    assert!(
        !first.head.contains("x-amz-sns-subscription-arn"),
        "{}",
        first.head
    );
    program.check_signature(&keys, &first, &CONFIRMATION).await;
    program.publish("too early").await;
    program.confirm(&first).await;
    program.publish("a message").await;
    until("a notification", || server.asked().len() == 2).await;
    let second = server.asked()[1].clone();
    assert_eq!(json(&second)["Message"], "a message");
    let arn = subscription.arn().to_string();
    assert!(
        second
            .head
            .contains(&format!("x-amz-sns-subscription-arn: {arn}")),
        "{}",
        second.head
    );
    let members = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
    program.check_signature(&keys, &second, &members).await;

    let raw = SetSubscriptionAttribute {
        subscription: subscription.clone(),
        name: "RawMessageDelivery".into(),
        value: Some("true".into()),
    };
    program.store.set_subscription_attribute(raw).await.unwrap();
    program.publish("bare").await;
    until("a bare message", || server.asked().len() == 3).await;
    let third = server.asked()[2].clone();
    assert_eq!(third.body, "bare");
    assert!(
        third.head.contains("x-amz-sns-rawdelivery: true"),
        "{}",
        third.head
    );

    let end = Unsubscribe {
        subscription: subscription.clone(),
        by_owner: false,
        id: program.world.uuid(),
        token: "so long".into(),
    };
    program.store.unsubscribe(end).await.unwrap();
    until("a request to confirm the end", || server.asked().len() == 4).await;
    let last = server.asked()[3].clone();
    assert!(
        last.head
            .contains("x-amz-sns-message-type: UnsubscribeConfirmation"),
        "{}",
        last.head
    );
    program.check_signature(&keys, &last, &CONFIRMATION).await;
    program.publish("too late").await;
    program.deliverer.stop().await;
    assert_eq!(server.asked().len(), 4);
    program.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_is_a_dead_letter_in_its_envelope() {
    let keys = Scratch::new();
    let program = Program::start(&keys).await;
    let letters = QueueKey::new(Scope::default(), "letters");
    let create = CreateQueue {
        queue: letters.clone(),
        attributes: Vec::new(),
        tags: Vec::new(),
    };
    program.store.create_queue(create).await.unwrap();
    let server = Server::start(|n, _| Answer::Bytes(if n == 0 { OK } else { GONE })).await;
    let redrive = format!(r#"{{"deadLetterTargetArn":"{}"}}"#, letters.arn());
    program
        .subscribe(&server.url(), &[("RedrivePolicy", &redrive)])
        .await;
    until("a request to confirm", || server.asked().len() == 1).await;
    program.confirm(&server.asked()[0]).await;
    program.publish("lost").await;
    let receive = Receive {
        queue: letters,
        max: Some(1),
        visibility: None,
        wait: Some(10),
        attempt: None,
    };
    let received = program.store.receive(receive).await.unwrap();
    let Content::Enveloped(notification) = &received[0].content else {
        panic!("{:?}", received[0].content);
    };
    let body = program
        .signer
        .envelope(notification, "http://localhost:4566")
        .await
        .unwrap();
    assert_eq!(
        body,
        server.asked()[1].body,
        "the same as the subscriber was sent"
    );
    program.deliverer.stop().await;
    program.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_survive_a_crash() {
    let keys = Scratch::new();
    let program = Program::start(&keys).await;
    let server = Server::start(|n, _| Answer::Bytes(if (1..4).contains(&n) { BUSY } else { OK })).await;
    let policy = r#"{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":1,"numRetries":10,"numNoDelayRetries":2}}"#;
    let subscription = program
        .subscribe(&server.url(), &[("DeliveryPolicy", policy)])
        .await;
    until("a request to confirm", || server.asked().len() == 1).await;
    program.confirm(&server.asked()[0]).await;
    program.publish("survives").await;
    until("three failures", || server.asked().len() == 4).await;
    until("a next try", || {
        let report = program.deliverer.report(&subscription).unwrap();
        report.failures == 3 && report.next_try.is_some()
    })
    .await;
    let image = program.disk.crash(Crash::Power);
    drop(program.deliverer);
    drop(program.store);

    let program = Program::on(image, &keys);
    until("the delivery", || server.asked().len() == 5).await;
    assert_eq!(json(&server.asked()[4])["Message"], "survives");
    until("a report", || {
        program
            .deliverer
            .report(&subscription)
            .is_some_and(|report| report.successes == 1)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.asked().len(), 5, "once it is delivered, no more");
    program.deliverer.stop().await;
    program.store.close().await;
}
