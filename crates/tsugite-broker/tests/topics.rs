//! Topics: who gets what of a publish, and what becomes of subscriptions.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use common::*;
use tsugite_broker::*;

fn entry(message: &str) -> PublishEntry {
    PublishEntry {
        message: message.into(),
        ..PublishEntry::default()
    }
}

fn attribute(name: &str, value: &str) -> MessageAttribute {
    MessageAttribute {
        name: name.into(),
        data_type: "String".into(),
        value: AttributeValue::Text(value.into()),
    }
}

fn fifo_topic(b: &mut Bench, name: &str, attributes: &[(&str, &str)]) {
    let mut all = pairs(attributes);
    all.push(("FifoTopic".into(), "true".into()));
    let command = CreateTopic {
        topic: topic(name),
        attributes: all,
        ..CreateTopic::default()
    };
    let decision = b.broker.create_topic(command, b.now).unwrap();
    b.commit(decision);
}

fn set_topic(b: &mut Bench, name: &str, attribute: &str, value: &str) -> Result<(), TopicError> {
    let command = SetTopicAttribute {
        topic: topic(name),
        name: attribute.into(),
        value: Some(value.into()),
    };
    let decision = b.broker.set_topic_attribute(&command, b.now)?;
    b.commit(decision);
    Ok(())
}

fn topic_attribute(b: &Bench, topic_name: &str, name: &str) -> Option<String> {
    let all = b.broker.topic_attributes(&topic(topic_name), b.now).unwrap();
    let mut found = all.iter().filter(|(n, _)| n == name);
    let value = found.next().map(|(_, value)| value.clone());
    assert!(found.next().is_none(), "{name} is listed twice");
    value
}

fn post_to(b: &mut Bench, to: &str, url: &str) -> Subscribed {
    let command = Subscribe {
        topic: topic(to),
        id: b.uuid(),
        token: format!("token-{url}"),
        owner: "000000000000".into(),
        protocol: "http".into(),
        endpoint: url.into(),
        ..Subscribe::default()
    };
    b.subscribe_with(command).unwrap()
}

fn confirm(b: &mut Bench, to: &str, token: &str) -> Result<SubscriptionKey, TopicError> {
    let command = ConfirmSubscription {
        topic: topic(to),
        token: token.into(),
        ..ConfirmSubscription::default()
    };
    let decision = b.broker.confirm_subscription(&command, b.now)?;
    Ok(b.commit(decision))
}

fn outbox(b: &mut Bench, subscription: &Subscribed) -> Vec<Message> {
    let command = Receive {
        queue: QueueKey::outbox(subscription.subscription.id),
        max: Some(10),
        visibility: None,
        wait: None,
        attempt: None,
    };
    b.broker.advance(b.now);
    let decision = b.broker.receive(&command, b.now).unwrap();
    let leases = b.commit(decision).leases;
    leases.into_iter().map(|lease| b.read(lease)).collect()
}

fn delete(b: &mut Bench, subscription: &Subscribed, message: &Message) {
    let command = DeleteMessages {
        queue: QueueKey::outbox(subscription.subscription.id),
        handles: vec![message.handle.clone()],
    };
    let decision = b.broker.delete(&command, b.now).unwrap();
    b.commit(decision);
}

fn all_captured(b: &Bench) -> Vec<Captured> {
    let peeked = b.broker.peek(&QueueKey::captured(), None, usize::MAX).unwrap();
    let read = |peeked: Peeked| match b.read(peeked.lease).content {
        Content::Captured(captured) => *captured,
        other => panic!("{other:?}"),
    };
    peeked.into_iter().map(read).collect()
}

fn unsubscribe(
    b: &mut Bench,
    subscription: &SubscriptionKey,
    by_owner: bool,
) -> Result<(), UnsubscribeError> {
    let command = Unsubscribe {
        subscription: subscription.clone(),
        by_owner,
        id: b.uuid(),
        token: "again".into(),
    };
    let decision = b.broker.unsubscribe(command, b.now)?;
    b.commit(decision);
    Ok(())
}

fn listed(b: &Bench, name: &str) -> Vec<SubscriptionInfo> {
    b.broker
        .topic_subscriptions(&topic(name), None, 100)
        .unwrap()
        .elements
}

#[test]
fn a_publish_reaches_every_queue_with_one_body() {
    let mut b = Bench::with_queues(&["a", "raw"]);
    b.create("slow", &[("DelaySeconds", "10")]).unwrap();
    b.create_topic("t");
    let subscription = b.subscribe("t", "a", &[]).unwrap();
    b.subscribe("t", "raw", &[("RawMessageDelivery", "true")])
        .unwrap();
    b.subscribe("t", "slow", &[]).unwrap();
    b.subscribe("t", "missing", &[]).unwrap();
    let attributes = vec![attribute("kind", "order")];
    let text = "a message of some length ".repeat(40);
    let (id, before) = (b.uuid(), b.log.len());
    let published = PublishEntry {
        id,
        subject: Some("Hello".into()),
        attributes: attributes.clone(),
        ..entry(&text)
    };
    let published = b.publish_with("t", published).unwrap();
    assert_eq!(
        (published.id, published.deliveries, published.undeliverable),
        (id, 3, 1)
    );
    assert!(b.log.len() - before < text.len() + 350, "one record, one body");
    assert_eq!(b.counts("slow"), (0, 0, 1));
    let plain = b.receive("raw", 1).remove(0);
    assert_eq!(
        plain.content,
        Content::Plain {
            body: text.clone(),
            attributes: attributes.clone()
        }
    );
    let enveloped = b.receive("a", 1).remove(0);
    let expected = Notification {
        id,
        topic: topic("t"),
        subscription,
        subject: Some("Hello".into()),
        message: text,
        published: b.now.wall,
        attributes,
        signature_version: 1,
        sequence: None,
        replayed: false,
    };
    assert_eq!(enveloped.content, Content::Enveloped(Box::new(expected)));
    assert_ne!(plain.id, enveloped.id, "ids differ from queue to queue");
    assert_eq!(enveloped.sender, "me");
    b.assert_replays();
}

#[test]
fn each_protocol_gets_its_text() {
    let mut b = Bench::with_queues(&["a"]);
    b.create_topic("t");
    b.subscribe("t", "a", &[("RawMessageDelivery", "true")]).unwrap();
    let endpoint = post_to(&mut b, "t", "http://e/");
    confirm(&mut b, "t", "token-http://e/").unwrap();
    let first = outbox(&mut b, &endpoint).remove(0);
    delete(&mut b, &endpoint, &first);
    let structured = PublishEntry {
        structured: true,
        ..entry(r#"{"default":"d","sqs":"for queues"}"#)
    };
    b.publish_with("t", structured).unwrap();
    assert_eq!(body(&b.receive("a", 1)[0]), "for queues");
    assert_eq!(body(&outbox(&mut b, &endpoint)[0]), "d");
    let bad = PublishEntry {
        structured: true,
        ..entry(r#"{"sqs":"for queues"}"#)
    };
    assert!(matches!(
        b.publish_all("t", vec![bad, entry("beside it")]),
        Err(PublishBatchError::Invalid(_))
    ));
    assert!(b.receive("a", 1).is_empty());
    b.assert_replays();
}

#[test]
fn a_delivered_message_outlives_its_topic() {
    let mut b = Bench::with_queues(&["a"]);
    b.create_topic("t");
    let subscription = b.subscribe("t", "a", &[]).unwrap();
    b.publish("t", "x");
    let decision = b.broker.delete_topic(topic("t"), b.now).unwrap();
    b.commit(decision);
    match b.receive("a", 1).remove(0).content {
        Content::Enveloped(n) => assert_eq!((n.subscription, n.topic), (subscription, topic("t"))),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        b.publish_all("t", vec![entry("x")]),
        Err(PublishBatchError::Topic(_))
    ));
    let decision = b.broker.delete_topic(topic("t"), b.now).unwrap();
    assert!(decision.records.is_empty(), "idempotent");
}

#[test]
fn what_a_queue_cannot_take_goes_to_the_dead_letters_of_the_subscription() {
    let mut b = Bench::with_queues(&["letters"]);
    b.create("small", &[("MaximumMessageSize", "1024")]).unwrap();
    b.create("locked", &[("KmsMasterKeyId", "alias/aws/sqs")])
        .unwrap();
    b.create_topic("t");
    let letters = format!(r#"{{"deadLetterTargetArn":"{}"}}"#, queue("letters").arn());
    for name in ["small", "missing", "locked", "denied"] {
        let raw = ("RawMessageDelivery", "true");
        b.subscribe("t", name, &[raw, ("RedrivePolicy", &letters)])
            .unwrap();
    }
    b.create("denied", &[]).unwrap();
    let command = Publish {
        topic: topic("t"),
        entries: vec![PublishEntry {
            attributes: (0..11).map(|i| attribute(&format!("a{i}"), "x")).collect(),
            ..entry("x")
        }],
        denied: vec![queue("denied")],
        ..Publish::default()
    };
    let decision = b.broker.publish(&command, b.now).unwrap();
    let published = b.commit(decision).results.remove(0).unwrap();
    assert_eq!((published.deliveries, published.undeliverable), (0, 4));
    assert_eq!(b.counts("letters"), (4, 0, 0));
    assert!(
        b.receive("letters", 10)
            .iter()
            .all(|m| body(m) == "x" && m.receive_count == 1)
    );
    let published = b.publish("t", "short");
    assert_eq!(
        (published.deliveries, published.undeliverable),
        (2, 2),
        "denied is known to the door alone"
    );
    b.assert_replays();
}

#[test]
fn filters_decide_and_changes_of_them_count_at_once() {
    let mut b = Bench::with_queues(&["red", "rest", "all"]);
    b.create_topic("t");
    let red = b
        .subscribe("t", "red", &[("FilterPolicy", r#"{"colour":["red"]}"#)])
        .unwrap();
    b.subscribe(
        "t",
        "rest",
        &[("FilterPolicy", r#"{"colour":[{"anything-but":"red"}]}"#)],
    )
    .unwrap();
    b.subscribe("t", "all", &[]).unwrap();
    let publish = |b: &mut Bench, colour: Option<&str>| {
        let attributes = colour
            .map(|colour| attribute("colour", colour))
            .into_iter()
            .collect();
        let published = b
            .publish_with(
                "t",
                PublishEntry {
                    attributes,
                    ..entry("x")
                },
            )
            .unwrap();
        let counts = ["red", "rest", "all"].map(|name| b.counts(name).0);
        (published.deliveries, counts)
    };
    assert_eq!(publish(&mut b, Some("red")), (2, [1, 0, 1]));
    assert_eq!(publish(&mut b, Some("blue")), (2, [1, 1, 2]));
    assert_eq!(publish(&mut b, None), (1, [1, 1, 3]));
    let set = |b: &mut Bench, name: &str, value: &str| {
        let command = SetSubscriptionAttribute {
            subscription: red.clone(),
            name: name.into(),
            value: Some(value.into()),
        };
        let decision = b.broker.set_subscription_attribute(&command, b.now)?;
        b.commit(decision);
        Ok::<_, SubscriptionError>(())
    };
    set(&mut b, "FilterPolicyScope", "MessageBody").unwrap();
    assert_eq!(
        publish(&mut b, Some("red")),
        (1, [1, 1, 4]),
        "the body is no object"
    );
    b.publish("t", r#"{"colour":"red"}"#);
    assert_eq!(b.counts("red").0, 2);
    set(&mut b, "FilterPolicy", "").unwrap();
    assert_eq!(publish(&mut b, None), (2, [3, 1, 6]));
    assert!(matches!(
        set(&mut b, "FilterPolicy", r#"{"a":[{"wildcard":"x*"}]}"#),
        Err(SubscriptionError::Invalid(_))
    ));
    b.assert_replays();
    let snapshot = b.snapshot();
    let restored = Broker::restore(&snapshot, b.settings).unwrap();
    let command = Publish {
        topic: topic("t"),
        entries: vec![PublishEntry {
            attributes: vec![attribute("colour", "blue")],
            ..entry("x")
        }],
        ..Publish::default()
    };
    let decision = restored.publish(&command, b.now).unwrap();
    assert_eq!(
        decision.reply.results[0].as_ref().unwrap().deliveries,
        3,
        "filters survive a snapshot"
    );
}

#[test]
fn filter_policies_have_a_cap() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    let policy = ("FilterPolicy", r#"{"a":["b"]}"#);
    for i in 0..200 {
        b.subscribe("t", &format!("q{i}"), &[policy]).unwrap();
    }
    assert!(matches!(
        b.subscribe("t", "more", &[policy]),
        Err(SubscribeError::Filters(_))
    ));
    let plain = b.subscribe("t", "more", &[]).unwrap();
    let command = SetSubscriptionAttribute {
        subscription: plain,
        name: policy.0.into(),
        value: Some(policy.1.into()),
    };
    let result = b.broker.set_subscription_attribute(&command, b.now);
    assert!(matches!(result, Err(SubscriptionError::Filters(_))));
}

#[test]
fn subscriptions_are_found_again_unless_they_differ() {
    let mut b = Bench::with_queues(&["a"]);
    b.create_topic("t");
    let first = b.subscribe("t", "a", &[]).unwrap();
    assert_eq!(b.subscribe("t", "a", &[]), Ok(first.clone()));
    assert_eq!(
        b.subscribe("t", "a", &[("RawMessageDelivery", "false")]),
        Ok(first.clone())
    );
    let mut refused =
        |to: &str, name: &str, attributes: &[(&str, &str)]| match b.subscribe(to, name, attributes) {
            Err(e) => e.to_string(),
            Ok(key) => panic!("{key:?}"),
        };
    let differs = refused("t", "a", &[("RawMessageDelivery", "true")]);
    assert!(
        differs.ends_with("Subscription already exists with different attributes"),
        "{differs}"
    );
    assert!(refused("none", "a", &[]).contains("does not exist"));
    for (name, value, part) in [
        ("RawMessageDelivery", "maybe", "[maybe]"),
        ("Nonsense", "x", "Unknown attribute Nonsense"),
        ("RedrivePolicy", "{}", "RedrivePolicy"),
        (
            "RedrivePolicy",
            r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:d.fifo"}"#,
            "FIFO",
        ),
        ("DeliveryPolicy", "{}", "sqs"),
        ("FilterPolicyScope", "Both", "[Both]"),
        ("FilterPolicy", "[]", "FilterPolicy"),
    ] {
        let error = refused("t", "b", &[(name, value)]);
        assert!(error.contains(part), "{name} {value}: {error}");
    }
    assert!(refused("t", "q.fifo", &[]).contains("FIFO SQS Queues can not be subscribed"));
    for (protocol, endpoint, part) in [
        ("sqs", "http://localhost/q", "SQS endpoint ARN"),
        ("http", "https://localhost/q", "must match"),
        (
            "lambda",
            "arn:aws:lambda:us-east-1:000000000000:function:f",
            "lambda",
        ),
        ("x", "y", "protocol string: x"),
        ("email", "nobody", "Email"),
        ("sms", "call me", "SMS"),
        ("sqs", "", "Endpoint"),
    ] {
        let command = Subscribe {
            topic: topic("t"),
            id: b.uuid(),
            protocol: protocol.into(),
            endpoint: endpoint.into(),
            ..Subscribe::default()
        };
        let error = b.subscribe_with(command).unwrap_err().to_string();
        assert!(error.contains(part), "{protocol} {endpoint}: {error}");
    }
    assert_eq!(
        SubscriptionKey::from_arn("x", &first.arn().to_string()),
        Ok(first.clone())
    );
    for _ in 0..2 {
        unsubscribe(&mut b, &first, true).unwrap();
        assert!(listed(&b, "t").is_empty());
    }
    assert_eq!(
        topic_attribute(&b, "t", "SubscriptionsDeleted").as_deref(),
        Some("1")
    );
    b.assert_replays();
}

#[test]
fn an_endpoint_confirms_gets_messages_and_is_told_when_it_ends() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    let endpoint = post_to(&mut b, "t", "http://e/");
    assert!(endpoint.pending && listed(&b, "t")[0].pending);
    assert_eq!(b.publish("t", "too early").deliveries, 0);
    let asked = outbox(&mut b, &endpoint).remove(0);
    let Content::Announced(announcement) = &asked.content else {
        panic!("{:?}", asked.content)
    };
    assert_eq!(
        (announcement.kind, announcement.token.as_str()),
        (AnnouncementKind::Subscribed, "token-http://e/")
    );
    assert!(confirm(&mut b, "t", "guess").is_err() && confirm(&mut b, "t", "").is_err());
    for _ in 0..2 {
        assert_eq!(
            confirm(&mut b, "t", "token-http://e/"),
            Ok(endpoint.subscription.clone())
        );
    }
    delete(&mut b, &endpoint, &asked);
    assert_eq!(b.publish("t", "news").deliveries, 1);
    assert_eq!(body(&outbox(&mut b, &endpoint)[0]), "news");
    assert_eq!(b.broker.outboxes().len(), 1);
    assert!(
        b.broker.queue_stats(b.now).is_empty(),
        "an outbox is no queue of clients"
    );
    unsubscribe(&mut b, &endpoint.subscription, false).unwrap();
    assert!(listed(&b, "t").is_empty());
    assert_eq!(b.publish("t", "too late").deliveries, 0);
    let told = outbox(&mut b, &endpoint);
    assert_eq!(told.len(), 1, "what waited is gone");
    let Content::Announced(announcement) = &told[0].content else {
        panic!("{:?}", told[0].content)
    };
    assert_eq!(announcement.kind, AnnouncementKind::Unsubscribed);
    assert_eq!(
        confirm(&mut b, "t", "again"),
        Ok(endpoint.subscription.clone()),
        "it can begin again"
    );
    assert_eq!(b.publish("t", "news").deliveries, 1);
    unsubscribe(&mut b, &endpoint.subscription, true).unwrap();
    b.seconds(172_800);
    b.broker.advance(b.now);
    assert!(b.broker.outboxes().is_empty(), "nobody came back");
    b.assert_replays();
}

#[test]
fn a_token_counts_for_two_days() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    let late = post_to(&mut b, "t", "http://late/");
    b.seconds(172_799);
    let early = post_to(&mut b, "t", "http://early/");
    b.seconds(1);
    assert!(confirm(&mut b, "t", "token-http://late/").is_err());
    assert_eq!(listed(&b, "t").len(), 1);
    assert!(
        b.broker
            .peek(&QueueKey::outbox(late.subscription.id), None, 1)
            .is_err()
    );
    assert_eq!(
        confirm(&mut b, "t", "token-http://early/"),
        Ok(early.subscription)
    );
    b.assert_replays();
    let restored = Broker::restore(&b.snapshot(), b.settings).unwrap();
    assert_eq!(restored.outboxes().len(), 1);
}

#[test]
fn only_the_owner_ends_a_guarded_subscription() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    let endpoint = post_to(&mut b, "t", "http://e/");
    let command = ConfirmSubscription {
        topic: topic("t"),
        token: "token-http://e/".into(),
        guarded: true,
        authenticated: true,
    };
    let decision = b.broker.confirm_subscription(&command, b.now).unwrap();
    b.commit(decision);
    assert!(unsubscribe(&mut b, &endpoint.subscription, false).is_err());
    assert_eq!(listed(&b, "t").len(), 1);
    unsubscribe(&mut b, &endpoint.subscription, true).unwrap();
    assert!(listed(&b, "t").is_empty());
}

#[test]
fn a_message_is_given_up_once_and_only_by_who_holds_it() {
    let mut b = Bench::with_queues(&["letters"]);
    b.create_topic("t");
    let endpoint = post_to(&mut b, "t", "http://e/");
    confirm(&mut b, "t", "token-http://e/").unwrap();
    let outbox_key = QueueKey::outbox(endpoint.subscription.id);
    let asked = outbox(&mut b, &endpoint).remove(0);
    let give_up = |b: &mut Bench, handle: &str| {
        let command = GiveUp {
            outbox: outbox_key.clone(),
            handle: handle.into(),
        };
        let decision = b.broker.give_up(&command, b.now);
        b.commit(decision)
    };
    assert!(give_up(&mut b, &asked.handle));
    assert!(!give_up(&mut b, &asked.handle), "it is gone");
    b.publish("t", "dropped");
    let dropped = outbox(&mut b, &endpoint).remove(0);
    assert!(give_up(&mut b, &dropped.handle));
    let command = SetSubscriptionAttribute {
        subscription: endpoint.subscription.clone(),
        name: "RedrivePolicy".into(),
        value: Some(format!(
            r#"{{"deadLetterTargetArn":"{}"}}"#,
            queue("letters").arn()
        )),
    };
    let decision = b.broker.set_subscription_attribute(&command, b.now).unwrap();
    b.commit(decision);
    b.publish("t", "kept");
    let first = outbox(&mut b, &endpoint).remove(0);
    b.seconds(40);
    let second = outbox(&mut b, &endpoint).remove(0);
    assert_eq!(second.receive_count, 2, "tries are receives");
    assert!(!give_up(&mut b, &first.handle), "somebody else tries by now");
    assert!(give_up(&mut b, &second.handle));
    assert!(!give_up(&mut b, "nonsense"));
    let letter = b.receive("letters", 10).remove(0);
    assert_eq!((body(&letter), letter.receive_count), ("kept", 1));
    assert!(matches!(letter.content, Content::Enveloped(_)));
    assert_eq!(b.broker.topic(&topic("t"), b.now).unwrap().tally.failed.total, 3);
    b.assert_replays();
}

#[test]
fn mails_and_texts_are_captured_and_bounded() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    for (protocol, endpoint) in [("email", "a@b.example"), ("sms", "+4930123456")] {
        let command = Subscribe {
            topic: topic("t"),
            id: b.uuid(),
            token: "mail-token".into(),
            protocol: protocol.into(),
            endpoint: endpoint.into(),
            ..Subscribe::default()
        };
        let subscribed = b.subscribe_with(command).unwrap();
        assert_eq!(subscribed.pending, protocol == "email");
    }
    assert_eq!(b.publish("t", "one").deliveries, 1);
    confirm(&mut b, "t", "mail-token").unwrap();
    assert_eq!(b.publish("t", "two").deliveries, 2);
    let phone = TextMessage {
        id: b.uuid(),
        scope: topic("t").scope,
        phone: "+1-555-0100".into(),
        entry: entry("direct"),
    };
    let decision = b.broker.send_text(phone.clone(), b.now).unwrap();
    b.commit(decision);
    for bad in ["", "x", "+", "+1--2"] {
        let phone = TextMessage {
            phone: bad.into(),
            ..phone.clone()
        };
        assert!(b.broker.send_text(phone, b.now).is_err(), "{bad}");
    }
    let captured = all_captured(&b);
    let mut seen: Vec<_> = captured
        .iter()
        .map(|c| (c.text.as_str(), c.protocol.name(), c.is_token))
        .collect();
    seen[2..4].sort_unstable();
    assert_eq!(
        seen,
        [
            ("mail-token", "email", true),
            ("one", "sms", false),
            ("two", "email", false),
            ("two", "sms", false),
            ("direct", "sms", false)
        ]
    );
    for i in 0..600 {
        b.publish("t", &i.to_string());
    }
    let captured = all_captured(&b);
    assert_eq!((captured.len(), captured[999].text.as_str()), (1_000, "599"));
    b.assert_replays();
}

#[test]
fn a_fifo_topic_orders_and_deduplicates() {
    let mut b = Bench::with_queues(&["plain"]);
    for name in ["a.fifo", "b.fifo"] {
        b.create(name, &[("FifoQueue", "true")]).unwrap();
    }
    fifo_topic(&mut b, "t.fifo", &[("ContentBasedDeduplication", "true")]);
    b.subscribe("t.fifo", "a.fifo", &[]).unwrap();
    b.subscribe("t.fifo", "b.fifo", &[("RawMessageDelivery", "true")])
        .unwrap();
    b.subscribe("t.fifo", "plain", &[("RawMessageDelivery", "true")])
        .unwrap();
    let in_group = |group: &str, text: &str, id: Option<&str>| PublishEntry {
        group: Some(group.into()),
        deduplication: id.map(str::to_owned),
        ..entry(text)
    };
    let first = PublishEntry {
        id: b.uuid(),
        ..in_group("g", "one", None)
    };
    let first = b.publish_with("t.fifo", first).unwrap();
    assert_eq!((first.deliveries, first.sequence.is_some()), (3, true));
    let repeat = b.publish_with("t.fifo", in_group("other", "one", None)).unwrap();
    assert_eq!(
        (repeat.id, repeat.sequence, repeat.deliveries),
        (first.id, first.sequence, 0)
    );
    let batch = vec![
        in_group("g", "two", Some("2")),
        in_group("g", "two again", Some("2")),
        in_group("h", "three", Some("3")),
        PublishEntry {
            subject: Some(String::new()),
            ..in_group("h", "with a bad subject", Some("4"))
        },
    ];
    let groupless = vec![entry("without a group"), in_group("g", "x", None)];
    assert!(matches!(
        b.publish_all("t.fifo", groupless),
        Err(PublishBatchError::Invalid(_))
    ));
    let results = b.publish_all("t.fifo", batch).unwrap();
    let numbers: Vec<_> = results
        .iter()
        .map(|r| r.as_ref().ok().and_then(|p| p.sequence))
        .collect();
    assert_eq!(numbers[0], numbers[1]);
    assert!(numbers[2] > numbers[0] && numbers[0] > first.sequence && numbers[3].is_none());
    let taken = b.receive("b.fifo", 10);
    let seen: Vec<_> = taken
        .iter()
        .map(|m| (body(m), m.group.as_deref(), m.deduplication.as_deref()))
        .collect();
    assert_eq!(
        seen[1..],
        [("two", Some("g"), Some("2")), ("three", Some("h"), Some("3"))]
    );
    assert_eq!(
        (seen[0].0, seen[0].1, seen[0].2.map(str::len)),
        ("one", Some("g"), Some(64))
    );
    match &b.receive("a.fifo", 1)[0].content {
        Content::Enveloped(n) => {
            assert_eq!((n.sequence, n.signature_version), (first.sequence, 0));
        }
        other => panic!("{other:?}"),
    }
    let plain = b.receive("plain", 10);
    assert!(
        plain.len() == 3
            && plain
                .iter()
                .all(|m| m.group.is_none() && m.deduplication.is_none())
    );
    let restored = Broker::restore(&b.snapshot(), b.settings).unwrap();
    let again = Publish {
        topic: topic("t.fifo"),
        entries: vec![in_group("g", "two once more", Some("2"))],
        ..Publish::default()
    };
    let decision = restored.publish(&again, b.now).unwrap();
    assert_eq!(
        decision.reply.results[0].as_ref().unwrap().sequence,
        numbers[0],
        "it is remembered over a snapshot"
    );
    b.seconds(301);
    b.broker.advance(b.now);
    let later = b.publish_with("t.fifo", in_group("g", "two", Some("2"))).unwrap();
    assert_eq!(later.deliveries, 3);
    b.assert_replays();
}

#[test]
fn a_fifo_queue_knows_a_repeat_whichever_way_it_came() {
    let mut b = Bench::with_queues(&[]);
    b.create("a.fifo", &[("FifoQueue", "true")]).unwrap();
    fifo_topic(&mut b, "t.fifo", &[("FifoThroughputScope", "MessageGroup")]);
    b.subscribe("t.fifo", "a.fifo", &[]).unwrap();
    let publish = |b: &mut Bench, group: &str| {
        let entry = PublishEntry {
            group: Some(group.into()),
            deduplication: Some("1".into()),
            ..entry("x")
        };
        b.publish_with("t.fifo", entry).unwrap()
    };
    assert_eq!(publish(&mut b, "g").deliveries, 1);
    assert_eq!(b.counts("a.fifo").0, 1);
    let other = publish(&mut b, "h");
    assert_eq!(
        (other.deliveries, b.counts("a.fifo").0),
        (0, 1),
        "another message to the topic, whose groups are apart, but not to the queue"
    );
    assert!(matches!(
        set_topic(&mut b, "t.fifo", "FifoThroughputScope", "Topic"),
        Err(TopicError::Invalid(_))
    ));
    b.assert_replays();
}

#[test]
fn publishes_are_checked() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    let mut check = |change: fn(&mut PublishEntry)| {
        let mut publish = entry("x");
        change(&mut publish);
        b.publish_with("t", publish).map(drop)
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|p| p.group = Some("tenant".into())), Ok(()));
    let invalid: [fn(&mut PublishEntry); 6] = [
        |p| p.message.clear(),
        |p| p.message = "\u{1}".into(),
        |p| p.subject = Some(String::new()),
        |p| p.subject = Some("x".repeat(101)),
        |p| p.subject = Some("a\nb".into()),
        |p| p.deduplication = Some("d".into()),
    ];
    for change in invalid {
        assert!(matches!(check(change), Err(PublishError::Invalid(_))));
    }
    assert!(matches!(
        check(|p| p.message = "x".repeat(262_145)),
        Err(PublishError::TooLong(_))
    ));
    let mut bad = entry("x");
    bad.attributes.push(attribute("a..b", "x"));
    assert!(matches!(
        b.publish_all("t", vec![entry("y"), bad]),
        Err(PublishBatchError::Attribute(_))
    ));
    let long = || entry(&"x".repeat(131_073));
    assert!(matches!(
        b.publish_all("t", vec![long(), long()]),
        Err(PublishBatchError::TooLong(_))
    ));
    set_topic(&mut b, "t", "MaximumMessageSize", "1048576").unwrap();
    assert!(b.publish_all("t", vec![long(), long()]).is_ok());
}

#[test]
fn tenants_of_a_topic_are_tenants_of_its_queues() {
    let mut b = Bench::with_queues(&["a"]);
    b.create_topic("t");
    b.subscribe("t", "a", &[]).unwrap();
    let of_tenant = PublishEntry {
        group: Some("tenant".into()),
        ..entry("x")
    };
    b.publish_with("t", of_tenant).unwrap();
    assert_eq!(b.receive("a", 1)[0].group.as_deref(), Some("tenant"));
    b.assert_replays();
}

#[test]
fn topics_are_found_again_unless_they_differ() {
    let mut b = Bench::with_queues(&[]);
    let mut create = |name: &str, attributes: &[(&str, &str)], tags: &[(&str, &str)]| {
        let command = CreateTopic {
            topic: topic(name),
            attributes: pairs(attributes),
            tags: pairs(tags),
            data_protection: None,
        };
        let decision = b.broker.create_topic(command, b.now).map_err(|e| e.to_string())?;
        b.commit(decision);
        Ok::<_, String>(())
    };
    assert_eq!(create("t", &[("DisplayName", "x")], &[("k", "v")]), Ok(()));
    assert_eq!(create("t", &[], &[]), Ok(()));
    assert_eq!(
        create(
            "t",
            &[("DisplayName", "x"), ("FifoTopic", "false")],
            &[("k", "v")]
        ),
        Ok(())
    );
    for (attributes, tags, part) in [
        (&[("DisplayName", "y")][..], &[][..], "different attributes"),
        (&[], &[("k", "w")], "different tags"),
        (&[], &[("l", "v")], "different tags"),
        (&[], &[("l", "v"), ("l", "v")], "Duplicated keys"),
        (&[("Nonsense", "y")], &[], "Unknown attribute Nonsense"),
        (&[("SignatureVersion", "3")], &[], "SignatureVersion"),
        (&[("ContentBasedDeduplication", "true")], &[], "FIFO"),
        (&[("FifoTopic", "true")], &[], "Topic Name"),
    ] {
        let error = create("t", attributes, tags).unwrap_err();
        assert!(error.contains(part), "{attributes:?} {tags:?}: {error}");
    }
    for name in ["a b", "", ".fifo", "t.fifo", &"x".repeat(257)] {
        assert!(
            create(name, &[], &[]).unwrap_err().contains("Topic Name"),
            "{name}"
        );
    }
    assert_eq!(create("t.fifo", &[("FifoTopic", "true")], &[]), Ok(()));
    assert_eq!(
        topic_attribute(&b, "t.fifo", "ContentBasedDeduplication").as_deref(),
        Some("false")
    );
    assert_eq!(topic_attribute(&b, "t", "DisplayName").as_deref(), Some("x"));
    assert_eq!(topic_attribute(&b, "t", "SignatureVersion"), None);
    b.assert_replays();
}

#[test]
fn an_archive_keeps_what_was_published_and_its_topic() {
    let mut b = Bench::with_queues(&[]);
    fifo_topic(
        &mut b,
        "t.fifo",
        &[
            ("ArchivePolicy", r#"{"MessageRetentionPeriod":"1"}"#),
            ("ContentBasedDeduplication", "true"),
        ],
    );
    let grouped = PublishEntry {
        group: Some("g".into()),
        ..entry("x")
    };
    assert_eq!(b.publish_with("t.fifo", grouped).unwrap().deliveries, 0);
    let archive = QueueKey::archive(&topic("t.fifo"));
    assert_eq!(b.broker.peek(&archive, None, 10).unwrap().len(), 1);
    assert!(topic_attribute(&b, "t.fifo", "BeginningArchiveTime").is_some());
    assert!(b.broker.delete_topic(topic("t.fifo"), b.now).is_err());
    b.seconds(86_400);
    b.broker.advance(b.now);
    assert_eq!(
        b.broker.peek(&archive, None, 10).unwrap().len(),
        0,
        "kept for a day"
    );
    for bad in [
        r#"{"MessageRetentionPeriod":"366"}"#,
        r#"{"MessageRetentionPeriod":"0"}"#,
        r#"{"x":1}"#,
        "x",
    ] {
        assert!(
            set_topic(&mut b, "t.fifo", "ArchivePolicy", bad).is_err(),
            "{bad}"
        );
    }
    set_topic(&mut b, "t.fifo", "ArchivePolicy", "{}").unwrap();
    assert!(b.broker.peek(&archive, None, 10).is_err());
    assert!(b.broker.delete_topic(topic("t.fifo"), b.now).is_ok());
    b.assert_replays();
}

#[test]
fn permissions_come_and_go() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    let before = topic_attribute(&b, "t", "Policy").unwrap();
    let command = AddTopicPermission {
        topic: topic("t"),
        label: "one".into(),
        accounts: vec!["111122223333".into()],
        actions: vec!["Publish".into()],
    };
    let decision = b.broker.add_topic_permission(&command, b.now).unwrap();
    b.commit(decision);
    let policy = topic_attribute(&b, "t", "Policy").unwrap();
    assert!(
        policy.contains("SNS:Publish")
            && policy.contains("111122223333")
            && policy.contains("__default_statement_ID")
    );
    assert!(b.broker.add_topic_permission(&command, b.now).is_err());
    let decision = b
        .broker
        .remove_topic_permission(&topic("t"), "one", b.now)
        .unwrap();
    b.commit(decision);
    assert_eq!(topic_attribute(&b, "t", "Policy").unwrap(), before);
    b.assert_replays();
}

#[test]
fn a_dry_run_says_who_and_why_not() {
    let mut b = Bench::with_queues(&["a", "b"]);
    b.create_topic("t");
    b.subscribe("t", "a", &[("FilterPolicy", r#"{"colour":["red"]}"#)])
        .unwrap();
    b.subscribe("t", "b", &[]).unwrap();
    b.subscribe("t", "missing", &[]).unwrap();
    post_to(&mut b, "t", "http://e/");
    let found = b
        .broker
        .matches(&topic("t"), &entry("x"), &[], 10)
        .unwrap()
        .unwrap();
    let why = |endpoint: &str| {
        let found = found.iter().find(|m| m.endpoint.ends_with(endpoint)).unwrap();
        found.reasons.join("; ")
    };
    assert!(why(":a").contains("colour"), "{}", why(":a"));
    assert_eq!(why(":b"), "");
    assert!(why(":missing").contains("does not exist"));
    assert!(why("e/").contains("confirm"));
    let denied = [queue("b")];
    let found = b.broker.matches(&topic("t"), &entry("x"), &denied, 10);
    let found = found.unwrap().unwrap();
    let of_b = found.iter().find(|m| m.endpoint.ends_with(":b")).unwrap();
    assert!(of_b.reasons[0].contains("policy"), "{:?}", of_b.reasons);
}

#[test]
fn an_outbox_knows_under_which_name_its_subscriber_reached_us() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    let command = |b: &mut Bench, token: &str, base_url: &str| Subscribe {
        topic: topic("t"),
        id: b.uuid(),
        token: token.into(),
        protocol: "http".into(),
        endpoint: "http://h/".into(),
        base_url: Some(base_url.into()),
        ..Subscribe::default()
    };
    let told = |b: &Bench| {
        let [outbox] = &b.broker.outboxes()[..] else {
            panic!("one outbox")
        };
        outbox.base_url.clone().unwrap()
    };
    let first = command(&mut b, "1", "http://one:4566");
    let first = b.subscribe_with(first).unwrap();
    assert_eq!(told(&b), "http://one:4566");
    // Whoever asks for the token once more is told where it is now.
    let again = command(&mut b, "2", "http://other:4566");
    assert_eq!(b.subscribe_with(again).unwrap(), first);
    confirm(&mut b, "t", "2").unwrap();
    assert_eq!(told(&b), "http://other:4566");
    let late = command(&mut b, "3", "http://third:4566");
    assert!(!b.subscribe_with(late).unwrap().pending);
    assert_eq!(told(&b), "http://other:4566");
    b.assert_replays();
}

#[test]
fn captured_mails_know_their_subscription() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    set_topic(&mut b, "t", "SignatureVersion", "2").unwrap();
    let command = Subscribe {
        topic: topic("t"),
        id: b.uuid(),
        token: "token".into(),
        protocol: "email-json".into(),
        endpoint: "a@b.example".into(),
        ..Subscribe::default()
    };
    let subscribed = b.subscribe_with(command).unwrap();
    confirm(&mut b, "t", "token").unwrap();
    b.publish("t", "hello");
    let captured = all_captured(&b);
    let known = captured.iter().map(|c| (c.subscription, c.signature_version));
    assert_eq!(
        known.collect::<Vec<_>>(),
        [(Some(subscribed.subscription.id), 2); 2]
    );
}

#[test]
fn reserved_tags_are_refused() {
    let mut b = Bench::with_queues(&[]);
    b.create_topic("t");
    for (key, good) in [
        ("aws:x", false),
        ("Aws:x", false),
        ("aws", true),
        ("x-aws:y", true),
    ] {
        let tagged = b.broker.tag_topic(topic("t"), pairs(&[(key, "v")]), b.now);
        assert_eq!(tagged.is_ok(), good, "{key}");
    }
}

fn replay_policy(from: tsugite_base::Timestamp, until: Option<tsugite_base::Timestamp>) -> String {
    let end = until.map_or_else(String::new, |until| {
        format!(r#","EndingPoint":"{}""#, until.iso_millis())
    });
    format!(
        r#"{{"PointType":"Timestamp","StartingPoint":"{}"{end}}}"#,
        from.iso_millis()
    )
}

fn archived_topic(b: &mut Bench) {
    b.create("q.fifo", &[("FifoQueue", "true")]).unwrap();
    fifo_topic(
        b,
        "t.fifo",
        &[
            ("ArchivePolicy", r#"{"MessageRetentionPeriod":"30"}"#),
            ("ContentBasedDeduplication", "true"),
        ],
    );
}

fn publish_in_group(b: &mut Bench, group: &str, text: &str) {
    let entry = PublishEntry {
        id: b.uuid(),
        group: Some(group.into()),
        ..entry(text)
    };
    b.publish_with("t.fifo", entry).unwrap();
}

/// Steps of all replays until none has more to do; returns how many there were.
fn run_replays(b: &mut Bench) -> usize {
    let mut steps = 0;
    loop {
        b.broker.advance(b.now);
        let batches = b.broker.replay_batches();
        let mut more = false;
        for batch in &batches {
            let read = |place: tsugite_base::Place| b.log[place.lsn as usize..place.end() as usize].to_vec();
            let bytes: Vec<Vec<u8>> = batch.candidates.iter().map(|(_, place)| read(*place)).collect();
            let step = ReplayStep {
                batch,
                payloads: bytes.iter().map(|bytes| Some(bytes.as_slice())).collect(),
            };
            let decision = b.broker.replay_step(&step, b.now);
            more |= b.commit(decision);
            steps += 1;
        }
        if !more {
            return steps;
        }
    }
}

fn replay_status(b: &Bench, subscription: &SubscriptionKey) -> Option<String> {
    let all = b.broker.subscription_attributes(subscription).unwrap();
    all.into_iter()
        .find(|(name, _)| name == "ReplayStatus")
        .map(|(_, value)| value)
}

/// Text and whether it is replayed, of every message that a FIFO queue gives out.
fn drain_fifo(b: &mut Bench, name: &str) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    loop {
        let taken = b.receive(name, 10);
        if taken.is_empty() {
            return all;
        }
        for message in taken {
            match &message.content {
                Content::Enveloped(n) => all.push((n.message.clone(), n.replayed)),
                other => panic!("{other:?}"),
            }
            b.delete(name, &message.handle).unwrap();
        }
    }
}

#[test]
fn a_replay_brings_the_archive_in_order_and_then_the_news() {
    let mut b = Bench::with_queues(&[]);
    archived_topic(&mut b);
    publish_in_group(&mut b, "g", "too old");
    b.seconds(60);
    let from = b.now.wall;
    for i in 0..250 {
        publish_in_group(&mut b, "g", &format!("{i:03}"));
    }
    b.seconds(400);
    let policy = replay_policy(from, None);
    let subscription = b
        .subscribe("t.fifo", "q.fifo", &[("ReplayPolicy", &policy)])
        .unwrap();
    assert_eq!(replay_status(&b, &subscription).as_deref(), Some("Pending"));
    publish_in_group(&mut b, "g", "while it runs");
    assert_eq!(b.counts("q.fifo").0, 0, "the replay will come to it");
    let snapshot = b.snapshot();
    assert_eq!(
        Broker::restore(&snapshot, b.settings)
            .unwrap()
            .replay_batches()
            .len(),
        1
    );
    assert!(run_replays(&mut b) >= 3);
    assert_eq!(replay_status(&b, &subscription).as_deref(), Some("Completed"));
    publish_in_group(&mut b, "g", "live");
    let seen = drain_fifo(&mut b, "q.fifo");
    let mut expected: Vec<_> = (0..250).map(|i| (format!("{i:03}"), true)).collect();
    expected.push(("while it runs".into(), false));
    expected.push(("live".into(), false));
    assert_eq!(seen, expected);
    b.assert_replays();
}

#[test]
fn a_replay_with_an_end_lets_nothing_else_through_until_it_is_taken_away() {
    let mut b = Bench::with_queues(&[]);
    archived_topic(&mut b);
    let from = b.now.wall;
    publish_in_group(&mut b, "g", "in the window");
    let until = from + std::time::Duration::from_secs(10);
    b.seconds(20);
    publish_in_group(&mut b, "g", "after it");
    let filter = ("FilterPolicyScope", "MessageBody");
    let policy = replay_policy(from, Some(until));
    let subscription = b
        .subscribe("t.fifo", "q.fifo", &[("ReplayPolicy", &policy), filter])
        .unwrap();
    run_replays(&mut b);
    assert_eq!(replay_status(&b, &subscription).as_deref(), Some("Completed"));
    publish_in_group(&mut b, "g", "live, unheard");
    assert_eq!(drain_fifo(&mut b, "q.fifo"), [("in the window".to_owned(), true)]);
    let command = SetSubscriptionAttribute {
        subscription: subscription.clone(),
        name: "ReplayPolicy".into(),
        value: Some(String::new()),
    };
    let decision = b.broker.set_subscription_attribute(&command, b.now).unwrap();
    b.commit(decision);
    assert_eq!(replay_status(&b, &subscription), None);
    publish_in_group(&mut b, "g", "live");
    assert_eq!(drain_fifo(&mut b, "q.fifo"), [("live".to_owned(), false)]);
    b.assert_replays();
}

#[test]
fn a_replay_obeys_the_filter_and_fails_without_an_archive() {
    let mut b = Bench::with_queues(&[]);
    archived_topic(&mut b);
    let from = b.now.wall;
    for text in [r#"{"a":1}"#, r#"{"a":2}"#] {
        publish_in_group(&mut b, "g", text);
    }
    let policy = replay_policy(from, None);
    let attributes = [
        ("FilterPolicy", r#"{"a":[2]}"#),
        ("FilterPolicyScope", "MessageBody"),
        ("ReplayPolicy", policy.as_str()),
    ];
    b.subscribe("t.fifo", "q.fifo", &attributes).unwrap();
    run_replays(&mut b);
    assert_eq!(drain_fifo(&mut b, "q.fifo"), [(r#"{"a":2}"#.to_owned(), true)]);
    b.create("other.fifo", &[("FifoQueue", "true")]).unwrap();
    let other = b.subscribe("t.fifo", "other.fifo", &[attributes[2]]).unwrap();
    set_topic(&mut b, "t.fifo", "ArchivePolicy", "{}").unwrap();
    run_replays(&mut b);
    assert_eq!(replay_status(&b, &other).as_deref(), Some("Failed"));
    for bad in [
        "{}",
        r#"{"PointType":"Sequence","StartingPoint":"2026-01-02T03:04:05Z"}"#,
        r#"{"PointType":"Timestamp"}"#,
        r#"{"PointType":"Timestamp","StartingPoint":"yesterday"}"#,
        r#"{"PointType":"Timestamp","StartingPoint":"2900-01-02T03:04:05Z"}"#,
        r#"{"PointType":"Timestamp","StartingPoint":"2026-01-02T03:04:05Z","EndingPoint":"2026-01-02T03:04:05Z"}"#,
        r#"{"PointType":"Timestamp","StartingPoint":"2026-01-02T03:04:05Z","x":1}"#,
        "x",
    ] {
        set_topic(
            &mut b,
            "t.fifo",
            "ArchivePolicy",
            r#"{"MessageRetentionPeriod":"30"}"#,
        )
        .unwrap();
        let result = b.subscribe("t.fifo", "third.fifo", &[("ReplayPolicy", bad)]);
        assert!(matches!(result, Err(SubscribeError::Invalid(_))), "{bad}");
    }
    b.assert_replays();
}
